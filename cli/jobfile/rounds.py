"""Rounds of a job file: the round number, and what is left to do in the round.

    a round ends with its last step: the next start begins a new round, from step 1
    until then each start continues the round: finished steps are skipped, stopped ones are resumed

A step is recognised by its content and not only by its number, so the file can be edited in the middle of a round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from cli.jobfile.job_file import JobFile, JobFileStep
from cli.session.journal import unfinished
from cli.session.order import identity
from cli.session.session import totals_at_end
from cli.session.stages import StepMark, mark_of
from cli.terminal.exits import Exit, outcome_of
from cli.terminal.texts import printable
from engine.rows import STDIN
from engine.sources.raw.original import FileOnDisk
from texts.said import said


class StepState(Enum):
    """What is done with a step."""

    PASSED_OVER = auto()
    """It is finished."""
    TAKEN_UP = auto()
    """Its run is resumed."""
    BEGUN = auto()
    """A new run of it begins."""


@dataclass(frozen=True, slots=True)
class StepDecision:
    """The decision on a step. `run` is its run of this round, `why` says why that run is not enough."""

    step: JobFileStep
    state: StepState
    run: Run | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What is left to do in a round, or a whole new one; `note` says which, "" for the first round.

    It was begun at `begun`; the files of its steps are named with that date.
    `strays` are unfinished runs of the round that match no step of the file any more.
    """

    number: int
    begun: datetime
    decisions: tuple[StepDecision, ...]
    note: str = ""
    strays: tuple[Run, ...] = ()


def passes(step: JobFileStep, outcome: Exit) -> bool:
    """Whether the next step may begin after this outcome."""
    return outcome is Exit.DONE or (step.go_on and outcome is Exit.REJECTED)


async def round_of(file: JobFile, target: str, journal: Journal, now: datetime) -> Round:
    """The round that a start of the file at `now` continues or begins. Raises `InputRefused` for a file of rows."""
    marked = [(mark, run) for run in reversed(await journal.runs()) if (mark := _mark_here(run, file, target))]
    number = max((mark.round for mark, _ in marked), default=0)
    latest = [(mark, run) for mark, run in marked if mark.round == number]
    if not latest:
        return Round(1, now, _all_of(file.at(now).steps))
    begun = latest[-1][0].begun
    steps = file.at(begun).steps
    runs = _runs_of(steps, latest)
    if last := await _run_that_ended(latest, runs.get(len(steps)), journal):
        note = said(
            "Round {number} is at its end, with run {run} of {date}: this is round {next}, from step 1. What must "
            "not be entered twice is left out where an earlier run has it",
            number=number,
            run=last.name,
            date=last.created_at,
            next=number + 1,
        )
        return Round(number + 1, now, _all_of(file.at(now).steps), note)
    decisions = [decision for step in steps for decision in await _decide(step, runs.get(step.number), journal)]
    known = {run.run_id for run in runs.values()}
    strays = [run for _, run in latest if run.run_id not in known and run.approved_at]
    return Round(
        number,
        begun,
        tuple(decisions),
        said("Going on with round {number}, which is not at its end", number=number),
        tuple([run for run in strays if await unfinished(run, journal)]),
    )


def _mark_here(run: Run, file: JobFile, target: str) -> StepMark | None:
    mark = mark_of(run)
    here = mark is not None and mark.file == str(file.path) and run.target == target
    return mark if here and run.stage is not Stage.DISCARDED else None


def _all_of(steps: Sequence[JobFileStep]) -> tuple[StepDecision, ...]:
    return tuple(StepDecision(step, StepState.BEGUN) for step in steps)


def _runs_of(steps: Sequence[JobFileStep], latest: Sequence[tuple[StepMark, Run]]) -> dict[int, Run]:
    """The newest run of each step: by its number first, since two steps may be equal, then among the others."""
    found: dict[int, Run] = {}
    for only_its_own in (True, False):
        for step in steps:
            left = [one for one in latest if one[1] not in found.values() and _same(step, one[1])]
            own = [run for mark, run in left if mark.number == step.number or not only_its_own]
            if own and step.number not in found:
                found[step.number] = own[0]
    return found


def _same(step: JobFileStep, run: Run) -> bool:
    return run.job == step.order.kind.name and identity(run.parameters) == identity(step.order.to_parameters())


async def _run_that_ended(latest: Sequence[tuple[StepMark, Run]], last: Run | None, journal: Journal) -> Run | None:
    """The run that has ended the round: that of the current last step, or of the last step at that time."""
    ends = [run for mark, run in latest if mark.is_last or (last is not None and run.run_id == last.run_id)]
    if not ends or await unfinished(ends[0], journal):
        return None
    # Rejected rows do not matter after the last step; rows that wait for a person keep the round open.
    outcome = outcome_of(await totals_at_end(ends[0], journal))
    return ends[0] if outcome in {Exit.DONE, Exit.REJECTED} else None


async def _decide(step: JobFileStep, run: Run | None, journal: Journal) -> list[StepDecision]:
    """What is left to do for a step of a continued round."""
    if run is None:
        return [StepDecision(step, StepState.BEGUN)]
    why = await _reason_to_repeat(step, run, journal)
    is_open = await unfinished(run, journal)
    if why and is_open and run.approved_at is None:
        # Nothing of it was sent, so the new run replaces it.
        return [StepDecision(step, StepState.BEGUN, run, why)]
    first = [StepDecision(step, StepState.TAKEN_UP, run)] if is_open else []
    if not is_open and run.paused_at and passes(step, outcome_of(await totals_at_end(run, journal))):
        # The file is paused after this run: it waits there first, whatever begins next.
        first = [StepDecision(step, StepState.PASSED_OVER, run)]
    return (
        [*first, StepDecision(step, StepState.BEGUN, run, why)]
        if why
        else first or [StepDecision(step, StepState.PASSED_OVER, run)]
    )


async def _reason_to_repeat(step: JobFileStep, run: Run, journal: Journal) -> str:
    if await journal.taken_back(run):
        return said("run {run} was taken back", run=run.name)
    file = step.order.rows.file
    if file not in {"", STDIN} and await anyio.to_thread.run_sync(_has_changed, Path(file), run.source_digest):
        return said("{file} has changed since run {run} began with it", file=printable(file), run=run.name)
    return ""


def _has_changed(file: Path, digest: str) -> bool:
    """Whether the content of the file has changed; a missing file has no rows left to send."""
    return file.exists() and FileOnDisk(file).digest != digest
