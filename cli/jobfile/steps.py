"""Steps of a job file, run in order: each is a run of its own, with a barrier between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
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
from cli.terminal.signals import Interrupts
from cli.terminal.texts import SENTENCE, WHOLE, printable
from engine.job import Job
from engine.pacing.holds import Stop, StopKind
from engine.pacing.throttle import Gauge
from engine.pipeline.barrier import Barrier, is_worked_off, settled
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress
from engine.rows import STDIN
from engine.sources.raw.original import FileOnDisk
from texts.remedies import command_line
from texts.said import Said, counted, said, text_of

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
    if file not in {"", STDIN} and await anyio.to_thread.run_sync(_has_changed, Path(file), run.source_digest):
        return said("{file} has changed since run {run} began with it", file=printable(file), run=run.name)
    return ""


def _has_changed(file: Path, digest: str) -> bool:
    """Whether the content of the file has changed; a missing file has no rows left to send."""
    return file.exists() and FileOnDisk(file).digest != digest


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
        return WaitResult(self.seconds + later.seconds, _sum(self.held, later.held), later.stop)

    def counted_in(self, closing: Closing) -> Closing:
        """The closing of the file's last step with this waiting added."""
        whole = replace(closing, seconds=closing.seconds + self.seconds, held=_sum(self.held, closing.held))
        if not self.stop.requested:
            return whole
        code = Exit.INTERRUPTED if self.stop.kind is StopKind.INTERRUPTED else Exit.STOPPED
        return replace(whole, exit=code, stopped=self.stop.reason)


async def wait(run: Run, session: Session) -> WaitResult:
    """Wait after a finished run until the next step may begin, or a stop is requested.

    Raises `CommandRefused` when another process works on the run, `JournalError`, and what `rebuild` raises.
    """
    structlog.contextvars.bind_contextvars(run=run.name)
    return await _Waiting(run, session).wait()


async def tell_end(run: Run, closing: Closing, session: Session) -> None:
    """Tell the readers of a run that its job file ends after it; a signal ends the waiting for them."""
    interrupts = Interrupts(Stop(), session.screen)
    readers = RunReaders(run, session.journal, Progress(), interrupts, ended=True)
    async with interrupts.listening(), readers.following(session.readers):
        readers.end_file(closing)


class _Waiting:
    """One wait after one run."""

    def __init__(self, run: Run, session: Session) -> None:
        self._run = run
        self._session = session
        self._journal = session.journal
        # An interrupt that came when the step had nothing left to stop applies to the file; other stops are over.
        self._stop = session.stop if session.stop.kind is StopKind.INTERRUPTED else Stop()
        self._live_policy = LivePolicy(session.policy_of(run), Progress(), self._stop)
        self._interrupts = Interrupts(self._stop, session.screen)

    async def wait(self) -> WaitResult:
        progress = self._live_policy.progress
        readers = RunReaders(self._run, self._journal, progress, self._interrupts, ended=True)
        async with (
            locked(self._run, self._journal, "run") as self._run,
            self._interrupts.listening(),
            readers.following(self._session.readers),
        ):
            progress.take_up(await self._journal.totals(self._run), intake_ended=True)
            with self._interrupts.before_sending():
                await self._until_open(Barrier(await self._gauge(), self._live_policy))
        if self._stop.requested:
            log.info("the next step does not begin", why=self._stop.reason)
        return WaitResult(progress.seconds, progress.holds.seconds, self._stop)

    async def _until_open(self, barrier: Barrier) -> None:
        paused = True
        while paused and not self._stop.requested:
            async with (
                serve_control(self._run, self._journal, self._live_policy, self._session.screen),
                show_sending(self._live_policy.progress, self._session.screen, self._run.name),
            ):
                await barrier.wait()
            # A pause may have been confirmed just as the waiting ended, and must hold.
            paused = (await self._journal.run(self._run.name)).paused_at is not None

    async def _gauge(self) -> Gauge:
        policy = self._live_policy.policy
        if self._session.gateway.database is None:
            return settled(policy.settle, BLIND)
        job = await self._session.for_run(self._run).rebuild(self._run)
        return is_worked_off(self._run, job, self._journal, policy.drain_patience)


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> Mapping[str, float]:
    return {who: one.get(who, 0.0) + other.get(who, 0.0) for who in {**one, **other}}


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
                    await anyio.to_thread.run_sync(_open, one.job)
            except OPERATOR_ERRORS as error:
                why = said("{step}: {error}", step=named(step), error=error)
                raise NothingSent(why, Exit.STOPPED if isinstance(error, AWAY) else code_of(error)) from error
            if step.order.rows.file == STDIN:
                piped[step.number] = one
        for path in files_made(step):
            if (other := makers.setdefault(path, step)).number != step.number:
                raise NothingSent(
                    "{step} and {other} both make {path}: name another file in one of them",
                    step=named(step),
                    other=named(other),
                    path=printable(path),
                )
    return piped


def is_to_be_made(step: JobFileStep, makers: Mapping[Path, JobFileStep]) -> bool:
    """Whether an earlier step writes the rows of this one."""
    file = Path(step.order.rows.file)
    return file.resolve() in makers and not file.exists()


def files_made(step: JobFileStep) -> tuple[Path, ...]:
    """The files that the step writes: its answers, and its job's own output."""
    named_by = [one.name for one in step.order.kind.parameters if one.makes_file]
    return tuple(
        Path(file).resolve()
        for file in (step.output, *(step.order.parameters[name] for name in named_by))
        if file is not None
    )


def named(step: JobFileStep) -> Said:
    """The name of the step, as shown to people."""
    return said("step {number} ({job})", number=step.number, job=step.order.kind.name)


def _open(job: Job) -> None:
    """Read everything that the source knows before its first row. Raises what the source raises."""
    source = job.source
    _ = source.digest, source.header


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
        closing, ended_after = await _work_through(file, now, piped, opened, pacing, done)
        left = [_outcome(decision, None) for decision in now.decisions[len(done) :]]
        closing = replace(closing, steps=(*done, *left))
        screen.result(Group(Text(""), steps_of_file(closing.steps)), good=closing.exit is Exit.DONE)
        if ended_after is not None and told.readers:
            await tell_end(ended_after, closing, opened)
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
        step = decision.step
        consent = replace(opened.consent, skip_bad=opened.consent.skip_bad or step.skip_bad)
        ends = _Ends()
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


async def _work_on(
    decision: StepDecision, mark: StepMark, piped: Ready | None, session: Session, pacing: Mapping[str, str]
) -> Closing:
    """Carry out the decision on a step."""
    match decision:
        case StepDecision(state=StepState.PASSED_OVER, run=Run() as run):
            return await _passed_over(run, session)
        case StepDecision(state=StepState.TAKEN_UP, run=Run() as run):
            return await _taken_up(run, session)
    if decision.why:
        session.screen.say(said("{why}: the step is begun anew", why=decision.why))
    # Rows opened for the check may be hours old, so they are opened again; standard input cannot be.
    step = decision.step
    one = piped or prepare(step.order, check_files(step.order, step.output), session)
    return await start_run(one, replace(session, pacing=pacing), mark.to_parameters())


async def _passed_over(run: Run, session: Session) -> Closing:
    await require_unlocked(run, session.journal)
    totals = await session.journal.totals(run)
    session.screen.say(
        counted(
            "done before in this round: run {run}, {n} row",
            "done before in this round: run {run}, {n} rows",
            totals.frozen,
            run=run.name,
        )
    )
    closing, _ = await close_ended(run, session.journal, session.settings.catalogue)
    if closing.error:
        session.screen.complain(closing.error)
    return closing


async def _taken_up(run: Run, session: Session) -> Closing:
    await require_unlocked(run, session.journal)
    session.screen.say(said("taking up run {run}", run=run.name))
    session = session.for_run(run)
    return await RunSession(run, await session.rebuild(run), session, fresh=False).run()


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
            step=named(step),
            why=error.why if isinstance(error, NothingSent) else text_of(error),
            file=printable(file.path),
            sent=tuple(sent),
            command=_again(file),
        ),
    )


def _show_stop(file: JobFile, step: JobFileStep, run: Run, why: str, screen: Screen) -> None:
    """Show that the file was stopped after a finished step, and how to continue."""
    steps: list[tuple[str, str]] = []
    if run.paused_at:
        steps.append((command_line("continue", run.name), said("end the pause")))
    steps.append((_again(file), said("go on with the next step")))
    stopped = said("stopped after step {number}: {why}", number=step.number, why=why)
    screen.result(
        Group(Text("■ ", "bold yellow").append(printable(stopped, SENTENCE)), steps_list(steps)), good=False
    )


def _again(file: JobFile) -> str:
    return command_line("run", printable(file.path, WHOLE))


def _show_end(file: JobFile, step: JobFileStep, closing: Closing, screen: Screen) -> None:
    left = len(file.steps) - step.number
    if not left:
        return
    ended = counted(
        "Step {number} ended with exit code {code}: the {n} after it was not begun.",
        "Step {number} ended with exit code {code}: the {n} after it were not begun.",
        left,
        number=step.number,
        code=int(closing.exit),
    )
    again = _again(file)
    screen.say_always(
        labelled(
            ended,
            said("Put right what is wrong or give the step go_on = true, then: {command}", command=again)
            if closing.exit is Exit.REJECTED
            else said("Put right what is wrong, then: {command}", command=again),
            "yellow",
        )
    )
