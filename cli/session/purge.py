"""What of a journal is purged: runs that are at their end for everybody, plans, and kept copies that hold them.

A run is left alone while anything needs its rows: itself, a person who has to decide, an undo of it that is under
way, or the round of a job file, which would begin its step anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal, open_journal
from checkpoints.own_files import kept_copies
from checkpoints.purge import Purge
from checkpoints.records import Purged, Run, Stage, Totals
from cli.output.answer_files import ANSWER_FILE_PARAMETER
from cli.session.journal import unfinished
from cli.session.order import PLAN
from cli.session.plans import plans_beside
from cli.session.stages import PLACE, mark_of
from cli.session.vaults import wipe_secrets
from cli.show.plan import same_input
from cli.terminal.texts import printable
from jobs.access.payload import emptied
from jobs.catalogue.catalogue import Catalogue
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST, JobSpec
from jobs.spec.undo_words import RUN, UNDO
from texts.remedies import command_line
from texts.said import counted, said

_ALWAYS_KEPT: Final = frozenset({REPEAT, SHARED_ACCOUNTS, PLAN, DECLARATION, DECLARATION_DIGEST})
"""Parameters without anything of people: how often rows may be entered, what shares an account, the plan's name,
the declaration of the job."""

_OP_TYPE: Final = "op_type"
"""The kind of operation that a run has entered, which an accountant needs."""


@dataclass(frozen=True, slots=True)
class RunToPurge:
    """A run that can be purged, the time of its last change, its totals, and files of it that are not."""

    run: Run
    ended: datetime
    totals: Totals
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class RunLeftAlone:
    """A run that cannot be purged now, and why."""

    run: Run
    why: str


@dataclass(frozen=True, slots=True)
class PurgeSelection:
    """The runs and plans of a purge, the runs that are left alone, and kept copies of the journal that go as well."""

    runs: tuple[RunToPurge, ...] = ()
    left_alone: tuple[RunLeftAlone, ...] = ()
    plans: tuple[Run, ...] = ()
    copies: tuple[Path, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to purge."""
        return not (self.runs or self.plans or self.copies)


async def select_old(
    journal: Journal, before: datetime, catalogue: Catalogue, *, keep_totals: bool
) -> PurgeSelection:
    """All runs whose last change was before a time, and the plans of that age; kept copies, too."""
    runs = await journal.runs()
    chosen: list[RunToPurge] = []
    left_alone: list[RunLeftAlone] = []
    needed = await _needed(runs, journal)
    for run in runs:
        if _is_purged(run, keep_totals=keep_totals) or (ended := await journal.history.last_change(run)) >= before:
            continue
        if why := await _reason_to_keep(run, needed, journal):
            left_alone.append(RunLeftAlone(run, why))
        else:
            chosen.append(await _to_purge(run, ended, journal, catalogue))
    plans = [plan for plan in await _plans(journal) if plan.created_at < before]
    copies = _copies_with(journal, [one.run for one in chosen], plans, before)
    return PurgeSelection(tuple(chosen), tuple(left_alone), tuple(plans), copies)


async def select_run(journal: Journal, name: str, catalogue: Catalogue, *, keep_totals: bool) -> PurgeSelection:
    """The run of that name, with the plans of its input; or the plan of that name. Raises `NoSuchRun`."""
    plans = await _plans(journal)
    try:
        run = await journal.run(name)
    except NoSuchRun:
        named = tuple(plan for plan in plans if plan.name == name)
        if not named:
            raise
        return PurgeSelection(plans=named, copies=_copies_with(journal, (), named))
    if _is_purged(run, keep_totals=keep_totals):
        return PurgeSelection(copies=_copies_with(journal, [run], ()))
    if why := await _reason_to_keep(run, await _needed(await journal.runs(), journal), journal):
        return PurgeSelection(left_alone=(RunLeftAlone(run, why),))
    chosen = await _to_purge(run, await journal.history.last_change(run), journal, catalogue)
    own = tuple(plan for plan in plans if same_input(plan, run) or plan.name == run.parameters.get(PLAN))
    return PurgeSelection((chosen,), (), own, _copies_with(journal, [run], own))


def _copies_with(
    journal: Journal, runs: Sequence[Run], plans: Sequence[Run], before: datetime | None = None
) -> tuple[Path, ...]:
    """The kept copies that hold rows of these runs or plans, and all that were made before a time."""
    beside = ((journal.path, runs), (plans_beside(journal.path), plans))
    return tuple(
        copy
        for path, listed in beside
        for copy in kept_copies(path)
        if (made := datetime.fromtimestamp(copy.stat().st_mtime, UTC)) < (before or made)
        or any(_was_in(run, made) for run in listed)
    )


def _was_in(run: Run, made: datetime) -> bool:
    """Whether a copy of that time can hold rows of the run."""
    return run.created_at <= made and not (run.has_only_totals and run.purged_at and run.purged_at <= made)


async def purge_run(run: Run, journal: Journal, catalogue: Catalogue, *, keep_totals: bool) -> Purged:
    """Purge a run. Raises `RunHeld`, `RunTakenOver` and `RunUnfinished`, and removes nothing then."""
    purged = await journal.purge(run, Purge(kept_parameters(run, catalogue), emptied, keep_totals=keep_totals))
    await wipe_secrets(run, journal)
    return purged


async def purge_plans(journal: Journal, plans: Sequence[Run]) -> Purged:
    """Remove the lists of these plans, which were never sent, and rewrite their file. Raises `JournalNotCleaned`."""
    path = plans_beside(journal.path)
    if not path.exists():
        return Purged()
    removed = refusals = 0
    async with open_journal(path) as lists:
        for plan in plans:
            removed += (await lists.totals(plan)).frozen
            await lists.discard(plan)
            refusals += (await lists.purge(plan, Purge({}, emptied, keep_totals=False))).refusals
        if not await lists.is_cleaned():
            await lists.clean()
    return Purged(removed=removed, refusals=refusals)


def kept_parameters(run: Run, catalogue: Catalogue) -> dict[str, str]:
    """The parameters that a purged run keeps: none that may hold something of a person.

    Values that are chosen from a list are kept, and those without which the journal does not know what a run is: the
    run that an undo takes back, the place in a job file.
    """
    spec = catalogue.get(run.job)
    return {name: value for name, value in run.parameters.items() if _is_kept(run, spec, name, value)}


def _is_kept(run: Run, spec: JobSpec | None, name: str, value: str) -> bool:
    if name in _ALWAYS_KEPT or name.startswith(PLACE):
        return True
    if run.job == UNDO:
        return name == RUN
    if spec is None:
        return False
    own = [one for one in spec.parameters if one.name == name]
    return any(name == _OP_TYPE or value in one.choices for one in own)


async def _plans(journal: Journal) -> list[Run]:
    """The plans beside the journal with anything left; a list that is being made is left alone."""
    path = plans_beside(journal.path)
    if not path.exists():
        return []
    async with open_journal(path) as lists:
        complete = [plan for plan in await lists.runs() if plan.frozen_at or plan.discarded_at]
    return [plan for plan in complete if plan.purged_at is None]


async def _to_purge(run: Run, ended: datetime, journal: Journal, catalogue: Catalogue) -> RunToPurge:
    return RunToPurge(run, ended, await journal.totals(run), tuple(files_of(run, catalogue)))


def files_of(run: Run, catalogue: Catalogue) -> list[Path]:
    """The files that a run has written for people, as far as they are still there."""
    spec = catalogue.get(run.job)
    made = [one.name for one in spec.parameters if one.makes_file] if spec else []
    named = [run.parameters[name] for name in (ANSWER_FILE_PARAMETER, *made) if run.parameters.get(name)]
    return [path for path in map(Path, named) if path.exists()]


def _is_purged(run: Run, *, keep_totals: bool) -> bool:
    return run.has_only_totals or (keep_totals and run.purged_at is not None)


async def _reason_to_keep(run: Run, needed: Mapping[int, str], journal: Journal) -> str | None:
    """Why the rows of a run are still needed, None if they are not."""
    if holder := await journal.holder(run):
        return said("{holder} works on it", holder=holder.sentence)
    if await unfinished(run, journal):
        resume = command_line("resume", run.name)
        if run.approved_at is None:
            return said("it was read and never approved: {command} goes on with it, or gives it up", command=resume)
        return said("it is not at its end: {command} goes on with it", command=resume)
    undecided = (await journal.totals(run)).count_where(settled=False)
    if undecided and run.stage is not Stage.DISCARDED:
        return counted(
            "{n} row of it waits for a decision: {command} shows it",
            "{n} rows of it wait for a decision: {command} shows them",
            undecided,
            command=command_line("reconcile", run.name),
        )
    return needed.get(run.run_id)


async def _needed(runs: Sequence[Run], journal: Journal) -> dict[int, str]:
    """The runs whose rows are needed by others, with the reason."""
    by_name = {run.name: run for run in runs}
    needed = await _steps_of_open_rounds(runs, journal)
    for undo in runs:
        if undo.job != UNDO or not await unfinished(undo, journal):
            continue
        taken = by_name.get(undo.parameters[RUN])
        while taken is not None:
            needed[taken.run_id] = said("run {undo} takes it back and is not at its end", undo=undo.name)
            taken = by_name.get(taken.parameters[RUN]) if taken.job == UNDO else None
    return needed


async def _steps_of_open_rounds(runs: Sequence[Run], journal: Journal) -> dict[int, str]:
    """The runs of job files whose newest round has not come to the end of its last step."""
    rounds: dict[tuple[str, str], tuple[int, list[Run]]] = {}
    for run in runs:
        mark = mark_of(run)
        if mark is None or run.stage is Stage.DISCARDED:
            continue
        number, steps = rounds.get((mark.file, run.target), (0, []))
        if mark.round >= number:
            steps = [run] if mark.round > number else [*steps, run]
            rounds[mark.file, run.target] = mark.round, steps
    needed: dict[int, str] = {}
    for (file, _), (_, steps) in rounds.items():
        last = next((run for run in reversed(steps) if (mark := mark_of(run)) and mark.is_last), None)
        if last is None or (await journal.totals(last)).count_where(settled=False) or last.frozen_at is None:
            why = said(
                "its job file {file} has steps left in this round, and would begin this one anew",
                file=printable(file),
            )
            needed.update(dict.fromkeys((run.run_id for run in steps), why))
    return needed
