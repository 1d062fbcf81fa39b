"""Steps of a job file, run in order: each is a run of its own, with a barrier between them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from operator import attrgetter
from pathlib import Path
from typing import Final

import anyio.to_thread
import structlog
from rich.console import Group
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from cli.jobfile.job_file import JobFile, JobFileStep
from cli.session.control_server import serve_control
from cli.session.events import LiveRun, RunEnded, RunEvent, RunReader, RunReaders
from cli.session.journal import locked, require_unlocked, unfinished
from cli.session.order import identity
from cli.session.run_session import (
    Ready,
    RunSession,
    check_files,
    close_ended,
    prepare,
    start_run,
    totals_at_end,
)
from cli.session.session import Invocation, Session, open_session
from cli.session.stages import StepMark, mark_of
from cli.show.closing import Closing, StepOutcome, steps_of_file
from cli.show.progress import show_sending
from cli.terminal.exits import AWAY, OPERATOR_ERRORS, Exit, NothingSent, code_of, exit_of
from cli.terminal.layout import labelled, render, steps_list
from cli.terminal.screen import Screen
from cli.terminal.signals import Interrupts, heeding_between
from cli.terminal.texts import SENTENCE, printable
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge
from engine.pipeline.barrier import is_worked_off, settled, wait_at_barrier
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress
from engine.rows import STDIN
from engine.sources.raw.original import FileOnDisk
from texts.remedies import command_line
from texts.said import counted, said, text_of

# ---- the rounds of a job file -------------------------------------------------------------------------------------


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
    here = [run for run in await journal.runs() if run.target == target and run.stage is not Stage.DISCARDED]
    marked = [(mark, run) for run in reversed(here) if (mark := mark_of(run)) and mark.file == str(file.path)]
    number = max((mark.round for mark, _ in marked), default=0)
    latest = [(mark, run) for mark, run in marked if mark.round == number]
    anew = tuple(StepDecision(step, StepState.BEGUN) for step in file.at(now).steps)
    if not latest:
        return Round(1, now, anew)
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
        return Round(number + 1, now, anew, note)
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


def _runs_of(steps: Sequence[JobFileStep], latest: Sequence[tuple[StepMark, Run]]) -> dict[int, Run]:
    """The newest run of each step: by its number first, since two steps may be equal, then among the others."""
    found: dict[int, Run] = {}
    for only_its_own in (True, False):
        for step in steps:
            wanted = identity(step.order.to_parameters())
            left = [one for one in latest if one[1] not in found.values() and one[1].job == step.order.kind.name]
            own = [run for mark, run in left if mark.number == step.number or not only_its_own]
            same = next((run for run in own if identity(run.parameters) == wanted), None)
            if same is not None and step.number not in found:
                found[step.number] = same
    return found


async def _run_that_ended(latest: Sequence[tuple[StepMark, Run]], last: Run | None, journal: Journal) -> Run | None:
    """The run that has ended the round: that of the current last step, or of the last step at that time."""
    ends = [run for mark, run in latest if mark.is_last or (last is not None and run.run_id == last.run_id)]
    if not ends or await unfinished(ends[0], journal):
        return None
    # Rejected rows do not matter after the last step; rows that wait for a person keep the round open.
    outcome = exit_of(await totals_at_end(ends[0], journal))
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
    if not is_open and run.paused_at and passes(step, exit_of(await totals_at_end(run, journal))):
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

    def has_changed() -> bool:
        # A missing file has no rows left to send.
        return Path(file).exists() and FileOnDisk(Path(file)).digest != run.source_digest

    if file not in {"", STDIN} and await anyio.to_thread.run_sync(has_changed):
        return said("{file} has changed since run {run} began with it", file=printable(file), run=run.name)
    return ""


# ---- waiting between two steps ------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

BLIND: Final = said("without a database nobody can see what the billing has still to do")
"""Why a fixed time is waited instead of waiting for the billing."""


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The result of waiting between steps: its duration, how much of it by cause, and the stop that ended it."""

    seconds: float = 0.0
    held: Mapping[str, float] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)

    def and_then(self, later: "WaitResult") -> "WaitResult":
        """The sum of two results, in order."""
        return WaitResult(self.seconds + later.seconds, Counter(self.held) + Counter(later.held), later.stop)

    def counted_in(self, closing: Closing) -> Closing:
        """The closing of the file's last step with this waiting added."""
        held = Counter(self.held) + Counter(closing.held)
        whole = replace(closing, seconds=closing.seconds + self.seconds, held=held)
        if not self.stop.requested:
            return whole
        code = Exit.INTERRUPTED if self.stop.kind is StopKind.INTERRUPTED else Exit.STOPPED
        return replace(whole, exit=code, stopped=self.stop.reason)


async def wait(run: Run, session: Session) -> WaitResult:
    """Wait after a finished run until the next step may begin, or a stop is requested.

    Raises `CommandRefused` when another process works on the run, `JournalError`, and what `rebuild` raises.
    """
    structlog.contextvars.bind_contextvars(run=run.name)
    journal, screen, progress = session.journal, session.screen, Progress()
    # An interrupt that came when the step had nothing left to stop applies to the file; other stops are over.
    stop = session.stop if session.stop.kind is StopKind.INTERRUPTED else Stop()
    live, interrupts = LivePolicy(session.policy_of(run), progress, stop), Interrupts(stop, screen)
    readers = RunReaders(run, journal, progress, interrupts, ended=True)
    async with (
        locked(run, journal, "run") as ours,
        interrupts.listening(),
        readers.following(session.readers),
    ):
        progress.take_up(await journal.totals(ours), intake_ended=True)
        with interrupts.before_sending():
            gauge = await _gauge(ours, session, live.policy)
            paused = True
            while paused and not stop.requested:
                async with (
                    serve_control(ours, journal, live, screen),
                    show_sending(progress, screen, ours.name),
                ):
                    await wait_at_barrier(gauge, live)
                # A pause may have been confirmed just as the waiting ended, and must hold.
                paused = (await journal.run(ours.name)).paused_at is not None
    if stop.requested:
        log.info("the next step does not begin", why=stop.reason)
    return WaitResult(progress.seconds, progress.holds.seconds, stop)


async def _gauge(run: Run, session: Session, policy: Policy) -> Gauge:
    if session.gateway.database is None:
        return settled(policy.settle, BLIND)
    job = await session.for_run(run).rebuild(run)
    return is_worked_off(run, job, session.journal, policy.drain_patience)


# ---- the steps in order -------------------------------------------------------------------------------------------


async def check_all(decisions: Sequence[StepDecision], session: Session) -> Mapping[int, Ready]:
    """Open the rows of each step that begins, so that a missing file is reported before anything is sent.

    Returns, by number, the steps that read standard input, since it can be read only once. Rows that an earlier step
    writes are opened later. Raises `CommandRefused`, naming the step.
    """
    piped: dict[int, Ready] = {}
    makers: dict[Path, JobFileStep] = {}
    for decision in decisions:
        step = decision.step
        if decision.state is StepState.BEGUN:
            try:
                one = prepare(step.order, check_files(step.order, step.output), session)
                await one.job.check()
                if not is_to_be_made(step, makers):
                    # All that the source knows before its first row.
                    await anyio.to_thread.run_sync(attrgetter("source.digest", "source.header"), one.job)
            except OPERATOR_ERRORS as error:
                why = said("{step}: {error}", step=step.named, error=error)
                raise NothingSent(why, Exit.STOPPED if isinstance(error, AWAY) else code_of(error)) from error
            if step.order.rows.file == STDIN:
                piped[step.number] = one
        for path in files_made(step):
            if (other := makers.setdefault(path, step)).number != step.number:
                raise NothingSent(
                    "{step} and {other} both make {path}: name another file in one of them",
                    step=step.named,
                    other=other.named,
                    path=printable(path),
                )
    return piped


def is_to_be_made(step: JobFileStep, makers: Mapping[Path, JobFileStep]) -> bool:
    """Whether an earlier step writes the rows of this one."""
    file = Path(step.order.rows.file)
    return file.resolve() in makers and not file.exists()


def files_made(step: JobFileStep) -> tuple[Path, ...]:
    """The files that the step writes: its answers, and its job's own output."""
    named_by = [step.order.parameters[one.name] for one in step.order.kind.parameters if one.makes_file]
    return tuple(Path(file).resolve() for file in (step.output, *named_by) if file is not None)


async def run_file(file: JobFile, told: Invocation, pacing: Mapping[str, str]) -> Closing:
    """Run what is left of the file's round, or a new one; the closing is the last step's, with the worst exit code.

    It has the outcomes of all steps, which are shown as a table at the end. A step without success ends the file,
    unless `go_on` allows rejected rows; so does a stop between two steps. The closing includes the time waited
    between the steps. `pacing` is that of a step that begins, of the command line or the file; a step that is resumed
    takes that of the command line alone, since its run keeps the rest.
    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError` while nothing was sent; an error after
    that is shown, and in the closing.
    """
    async with open_session(told) as opened:
        screen, journal = told.screen, opened.journal
        now = await round_of(file, await opened.target(), journal, datetime.now().astimezone())
        await _show_round(now, journal, screen)
        piped = await check_all(now.decisions, opened)
        done: list[StepOutcome] = []
        async with heeding_between():
            closing, ended_after = await _work_through(file, now, piped, opened, pacing, done)
        left = [_outcome(decision, None) for decision in now.decisions[len(done) :]]
        closing = replace(closing, steps=(*done, *left))
        screen.result(Group(Text(""), steps_of_file(closing.steps)), good=closing.exit is Exit.DONE)
        if ended_after is not None and told.readers:
            # A signal ends the waiting for the readers, who are told that the file ends after this run.
            interrupts = Interrupts(Stop(), screen)
            readers = RunReaders(ended_after, journal, Progress(), interrupts, ended=True)
            async with interrupts.listening(), readers.following(told.readers):
                readers.end_file(closing)
    return closing


async def _work_through(
    file: JobFile,
    now: Round,
    piped: Mapping[int, Ready],
    opened: Session,
    pacing: Mapping[str, str],
    done: list[StepOutcome],
) -> tuple[Closing, Run | None]:
    """Work on the steps in order, and add the outcome of each to `done`; returns the closing without its steps.

    The run with it is the one after which the file has ended between two steps; None where a run has ended it, whose
    readers know.
    """
    screen, journal = opened.screen, opened.journal
    closing, worst = Closing(Exit.DONE), Exit.DONE
    waited, run = WaitResult(), None
    for decision in now.decisions:
        step, ends = decision.step, _Ends()
        consent = replace(opened.consent, skip_bad=opened.consent.skip_bad or step.skip_bad)
        readers = (*opened.readers, ends.open) if opened.readers else ()
        session = replace(opened, consent=consent, stop=Stop(), readers=readers)
        place = said("Step {number} of {steps}:", number=step.number, steps=len(file.steps))
        screen.say(Group(Text(""), labelled(place, printable(step.order.kind.name), "bold")))
        try:
            mark = StepMark(str(file.path), now.number, step.number, len(file.steps), now.begun, file.digest)
            closing = await _work_on(decision, mark, piped.get(step.number), session, pacing)
            done.append(_outcome(decision, closing))
            if not passes(step, closing.exit):
                _show_end(file, step, closing, screen)
                return waited.counted_in(closing), None
            if decision is not now.decisions[-1] and closing.run is not None:
                run = await journal.run(closing.run)
                waited = waited.and_then(await wait(run, session))
                if waited.stop.requested:
                    _show_stop(file, step, await journal.run(closing.run), waited.stop.reason, screen)
                    # Who interrupts what a step has still to tell wants no more to be told.
                    interrupted = session.stop.kind is StopKind.INTERRUPTED
                    return waited.counted_in(closing), None if interrupted else run
        except OPERATOR_ERRORS as error:
            if all(one.done_before for one in done):
                raise
            failed = _closing_after_sending(file, step, done, error)
            screen.complain(failed.error or "")
            if done[-1].number != step.number:
                done.append(_outcome(decision, failed))
            return waited.counted_in(failed), None if ends.heard else run
        worst = max(worst, closing.exit)
    return replace(waited.counted_in(closing), exit=worst), None


class _Ends(RunReader):
    """Hears whether a run of the step has told its end itself."""

    def __init__(self) -> None:
        self.heard = False

    def open(self, _: LiveRun) -> RunReader:
        """Be the reader of a run."""
        return self

    def hear(self, event: RunEvent) -> None:
        self.heard |= isinstance(event, RunEnded)

    async def follow(self) -> None:
        """There is nothing to do beside the run."""


def _outcome(decision: StepDecision, closing: Closing | None) -> StepOutcome:
    step = decision.step
    output = None if step.output is None else str(step.output)
    before = decision.state is StepState.PASSED_OVER
    return StepOutcome(step.number, step.order.kind.name, closing, output, done_before=before)


async def _work_on(
    decision: StepDecision, mark: StepMark, piped: Ready | None, session: Session, pacing: Mapping[str, str]
) -> Closing:
    """Carry out the decision on a step."""
    screen, journal, run = session.screen, session.journal, decision.run
    if decision.state is StepState.BEGUN or run is None:
        if decision.why:
            screen.say(said("{why}: the step is begun anew", why=decision.why))
        # Rows opened for the check may be hours old, so they are opened again; standard input cannot be.
        step = decision.step
        one = piped or prepare(step.order, check_files(step.order, step.output), session)
        return await start_run(one, replace(session, pacing=pacing), mark.to_parameters())
    await require_unlocked(run, journal)
    if decision.state is StepState.TAKEN_UP:
        screen.say(said("taking up run {run}", run=run.name))
        resumed = session.for_run(run)
        return await RunSession(run, await resumed.rebuild(run), resumed, fresh=False).run()
    screen.say(
        counted(
            "done before in this round: run {run}, {n} row",
            "done before in this round: run {run}, {n} rows",
            (await journal.totals(run)).frozen,
            run=run.name,
        )
    )
    closing, _ = await close_ended(run, journal, session.settings.catalogue)
    if closing.error:
        screen.complain(closing.error)
    return closing


# ---- what is shown of them ----------------------------------------------------------------------------------------


async def _show_round(now: Round, journal: Journal, screen: Screen) -> None:
    """Show the round, and its runs that match no step."""
    if now.note:
        screen.say(render(now.note))
    for run in now.strays:
        stray = counted(
            "no step of the file is like run {run} ({job}) any more, and it is not at its end: {n} row left. "
            "{command} takes it there",
            "no step of the file is like run {run} ({job}) any more, and it is not at its end: {n} rows left. "
            "{command} takes it there",
            (await journal.totals(run)).count_where(open=True),
            run=run.name,
            job=run.job,
            command=command_line("resume", run.name),
        )
        screen.say_always(labelled(said("note:"), stray, "yellow"))


def _closing_after_sending(
    file: JobFile, step: JobFileStep, done: Sequence[StepOutcome], error: Exception
) -> Closing:
    """The closing of a file that an error ends in its middle: what is wrong, what is done, what to type."""
    sent = (
        said("step {number} (run {run})", number=one.number, run=str(one.closing.run)) for one in done if one.closing
    )
    code = code_of(error)
    return Closing(
        Exit.STOPPED if code is Exit.REFUSED else code,
        job=step.order.kind.name,
        error=said(
            "{step}: {why}\nStopped in the middle of {file}; done before that: {sent}.\n"
            "Put right what is wrong, then go on with: {command} (it passes over what is done)",
            step=step.named,
            why=error.why if isinstance(error, NothingSent) else text_of(error),
            file=printable(file.path),
            sent=tuple(sent),
            command=file.command,
        ),
    )


def _show_stop(file: JobFile, step: JobFileStep, run: Run, why: str, screen: Screen) -> None:
    """Show that the file was stopped after a finished step, and how to continue."""
    unpause = [(command_line("continue", run.name), said("end the pause"))] if run.paused_at else []
    steps = [*unpause, (file.command, said("go on with the next step"))]
    stopped = said("stopped after step {number}: {why}", number=step.number, why=why)
    screen.result(
        Group(Text("■ ", "bold yellow").append(printable(stopped, SENTENCE)), steps_list(steps)), good=False
    )


def _show_end(file: JobFile, step: JobFileStep, closing: Closing, screen: Screen) -> None:
    if left := len(file.steps) - step.number:
        ended = counted(
            "Step {number} ended with exit code {code}: the {n} after it was not begun.",
            "Step {number} ended with exit code {code}: the {n} after it were not begun.",
            left,
            number=step.number,
            code=int(closing.exit),
        )
        remedy = (
            said("Put right what is wrong or give the step go_on = true, then: {command}", command=file.command)
            if closing.exit is Exit.REJECTED
            else said("Put right what is wrong, then: {command}", command=file.command)
        )
        screen.say_always(labelled(ended, remedy, "yellow"))
