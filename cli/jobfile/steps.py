"""Steps of a job file, run in order: each is a run of its own, with a barrier between them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from operator import attrgetter
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog
from rich.console import Group
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from cli.jobfile.job_file import JobFile, JobFileStep, read_file
from cli.session.control_client import serve_control
from cli.session.events import Events, FileEnded, LiveRun, RunEnded, RunReaders
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
from cli.settings.pacing_flags import Pacing, with_file
from cli.show.closing import Closing, StepOutcome, steps_of_file
from cli.show.progress import show_sending
from cli.terminal.exits import AWAY, OPERATOR_ERRORS, CommandRefused, Exit, NothingSent, code_of, exit_of
from cli.terminal.layout import labelled, render, steps_list
from cli.terminal.signals import Interrupts, heeding_between
from cli.terminal.texts import SENTENCE, printable
from engine.pacing.holds import Stop, StopKind
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
    # The run of the current last step, or of the last step at that time, has ended the round. Rejected rows do not
    # matter there; rows that wait for a person keep the round open.
    of_last = runs.get(len(steps))
    last = next((run for mark, run in latest if mark.is_last or (of_last and run.run_id == of_last.run_id)), None)
    ends = last is not None and not await unfinished(last, journal)
    if last is not None and ends and exit_of(await totals_at_end(last, journal)) in {Exit.DONE, Exit.REJECTED}:
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


async def _decide(step: JobFileStep, run: Run | None, journal: Journal) -> list[StepDecision]:
    if run is None:
        return [StepDecision(step, StepState.BEGUN)]
    why, is_open = await _reason_to_repeat(step, run, journal), await unfinished(run, journal)
    anew = [StepDecision(step, StepState.BEGUN, run, why)] if why else []
    if is_open:
        # A run that was never approved has sent nothing, so the new one replaces it.
        return anew if why and run.approved_at is None else [StepDecision(step, StepState.TAKEN_UP, run), *anew]
    # Where the file is paused after this run it waits there first, whatever begins next.
    waits = run.paused_at is not None and passes(step, exit_of(await totals_at_end(run, journal)))
    return [StepDecision(step, StepState.PASSED_OVER, run), *anew] if waits or not why else anew


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
            if session.gateway.database is None:
                gauge = settled(live.policy.settle, BLIND)
            else:
                job = await session.for_run(ours).rebuild(ours)
                gauge = is_worked_off(ours, job, journal, live.policy.drain_patience)
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


async def run(name: str, told: Invocation, pacing: Pacing, *, typed: Mapping[str, str]) -> Closing:
    """Run what is left of the round of a job file, or a new one.

    The closing is the last step's, with the worst exit code, the outcomes of all steps, which are shown as a table,
    and the time waited between them. A step without success ends the file, unless `go_on` allows rejected rows; so
    does a stop between two steps. `typed` is the command line, by parameter; options that would be ignored are
    refused. A step that is resumed takes the pacing of the command line alone, since its run keeps the rest.
    Raises `JobFileRefused`, `CommandRefused`, `InputRefused`, `BillingError` and `JournalError` while nothing was
    sent; an error after that is shown, and in the closing. A billing that is away is no refusal, for a job file is
    started at night, when nobody is there: the code says that the same command goes on.
    """
    file = await read_file(name, typed, told.settings.catalogue)
    given = with_file(pacing, file.pacing).given
    try:
        async with open_session(told) as session:
            return await _FileRun(file, session, given).run()
    except AWAY as error:
        raise CommandRefused(
            "{error}\nWhen the billing is back, the same command goes on:\n{command}",
            Exit.STOPPED,
            error=error,
            command=file.command,
        ) from error


class _FileRun:
    """Works on the steps of a job file; `pacing` is that of a step that begins."""

    def __init__(self, file: JobFile, session: Session, pacing: Mapping[str, str]) -> None:
        self._file = file
        self._session = session
        self._pacing = pacing
        self._screen = session.screen
        self._journal = session.journal
        self._done: list[StepOutcome] = []
        self._waited = WaitResult()
        self._untold: Run | None = None
        """The run after which the file has ended between two steps; None where a run has ended it, and told so."""

    async def run(self) -> Closing:
        screen, session = self._screen, self._session
        now = await round_of(self._file, await session.target(), self._journal, datetime.now().astimezone())
        await self._show_round(now)
        piped = await check_all(now.decisions, session)
        async with heeding_between():
            closing = await self._work_through(now, piped)
        left = [_outcome(decision, None) for decision in now.decisions[len(self._done) :]]
        closing = replace(closing, steps=(*self._done, *left))
        screen.result(Group(Text(""), steps_of_file(closing.steps)), good=closing.exit is Exit.DONE)
        if self._untold is not None and session.readers:
            # A signal ends the waiting for the readers, who are told that the file ends after this run.
            interrupts = Interrupts(Stop(), screen)
            readers = RunReaders(self._untold, self._journal, Progress(), interrupts, ended=True)
            async with interrupts.listening(), readers.following(session.readers):
                readers.end(FileEnded(closing))
        return closing

    async def _work_through(self, now: Round, piped: Mapping[int, Ready]) -> Closing:
        """Work on the steps in order, and note the outcome of each; returns the closing without its steps."""
        file, worst = self._file, Exit.DONE
        closing, run = Closing(worst), None
        for decision in now.decisions:
            step, ended = decision.step, anyio.Event()

            async def hear_end(_: LiveRun, events: Events, ended: anyio.Event = ended) -> None:
                async for event in events:
                    if isinstance(event, RunEnded):
                        ended.set()

            consent = replace(self._session.consent, skip_bad=self._session.consent.skip_bad or step.skip_bad)
            readers = (*self._session.readers, hear_end) if self._session.readers else ()
            session = replace(self._session, consent=consent, stop=Stop(), readers=readers)
            place = said("Step {number} of {steps}:", number=step.number, steps=len(file.steps))
            self._screen.say(Group(Text(""), labelled(place, printable(step.order.kind.name), "bold")))
            try:
                mark = StepMark(str(file.path), now.number, step.number, len(file.steps), now.begun, file.digest)
                closing = await self._work_on(decision, mark, piped.get(step.number), session)
                self._done.append(_outcome(decision, closing))
                if not passes(step, closing.exit):
                    self._show_end(step, closing)
                    return self._waited.counted_in(closing)
                if decision is not now.decisions[-1] and closing.run is not None:
                    run = await self._journal.run(closing.run)
                    self._waited = self._waited.and_then(await wait(run, session))
                    if self._waited.stop.requested:
                        await self._show_stop(step, run)
                        # Who interrupts what a step has still to tell wants no more to be told.
                        self._untold = None if session.stop.kind is StopKind.INTERRUPTED else run
                        return self._waited.counted_in(closing)
            except OPERATOR_ERRORS as error:
                if all(one.done_before for one in self._done):
                    raise
                self._untold = None if ended.is_set() else run
                return self._waited.counted_in(self._failed(decision, error))
            worst = max(worst, closing.exit)
        return replace(self._waited.counted_in(closing), exit=worst)

    async def _work_on(
        self, decision: StepDecision, mark: StepMark, piped: Ready | None, session: Session
    ) -> Closing:
        screen, step, run = self._screen, decision.step, decision.run
        if decision.state is StepState.BEGUN or run is None:
            if decision.why:
                screen.say(said("{why}: the step is begun anew", why=decision.why))
            # Rows opened for the check may be hours old, so they are opened again; standard input cannot be.
            one = piped or prepare(step.order, check_files(step.order, step.output), session)
            return await start_run(one, replace(session, pacing=self._pacing), mark.to_parameters())
        await require_unlocked(run, self._journal)
        if decision.state is StepState.TAKEN_UP:
            screen.say(said("taking up run {run}", run=run.name))
            resumed = session.for_run(run)
            return await RunSession(run, await resumed.rebuild(run), resumed, fresh=False).run()
        screen.say(
            counted(
                "done before in this round: run {run}, {n} row",
                "done before in this round: run {run}, {n} rows",
                (await self._journal.totals(run)).frozen,
                run=run.name,
            )
        )
        closing, _ = await close_ended(run, self._journal, session.settings.catalogue)
        if closing.error:
            screen.complain(closing.error)
        return closing

    async def _show_round(self, now: Round) -> None:
        if now.note:
            self._screen.say(render(now.note))
        for run in now.strays:
            stray = counted(
                "no step of the file is like run {run} ({job}) any more, and it is not at its end: {n} row left. "
                "{command} takes it there",
                "no step of the file is like run {run} ({job}) any more, and it is not at its end: {n} rows left. "
                "{command} takes it there",
                (await self._journal.totals(run)).count_where(open=True),
                run=run.name,
                job=run.job,
                command=command_line("resume", run.name),
            )
            self._screen.say_always(labelled(said("note:"), stray, "yellow"))

    def _failed(self, decision: StepDecision, error: Exception) -> Closing:
        """The closing of a file that an error ends in its middle: what is wrong, what is done, what to type."""
        sent = [
            said("step {number} (run {run})", number=one.number, run=str(one.closing.run))
            for one in self._done
            if one.closing
        ]
        why = said(
            "{step}: {why}\nStopped in the middle of {file}; done before that: {sent}.\n"
            "Put right what is wrong, then go on with: {command} (it passes over what is done)",
            step=decision.step.named,
            why=error.why if isinstance(error, NothingSent) else text_of(error),
            file=printable(self._file.path),
            sent=tuple(sent),
            command=self._file.command,
        )
        code = code_of(error)
        code = Exit.STOPPED if code is Exit.REFUSED else code
        failed = Closing(code, job=decision.step.order.kind.name, error=why)
        self._screen.complain(why)
        if self._done[-1].number != decision.step.number:
            self._done.append(_outcome(decision, failed))
        return failed

    async def _show_stop(self, step: JobFileStep, run: Run) -> None:
        run = await self._journal.run(run.name)
        unpause = [(command_line("continue", run.name), said("end the pause"))] if run.paused_at else []
        steps = [*unpause, (self._file.command, said("go on with the next step"))]
        stopped = said("stopped after step {number}: {why}", number=step.number, why=self._waited.stop.reason)
        line = Text("■ ", "bold yellow").append(printable(stopped, SENTENCE))
        self._screen.result(Group(line, steps_list(steps)), good=False)

    def _show_end(self, step: JobFileStep, closing: Closing) -> None:
        if not (left := len(self._file.steps) - step.number):
            return
        ended = counted(
            "Step {number} ended with exit code {code}: the {n} after it was not begun.",
            "Step {number} ended with exit code {code}: the {n} after it were not begun.",
            left,
            number=step.number,
            code=int(closing.exit),
        )
        command = self._file.command
        remedy = (
            said("Put right what is wrong or give the step go_on = true, then: {command}", command=command)
            if closing.exit is Exit.REJECTED
            else said("Put right what is wrong, then: {command}", command=command)
        )
        self._screen.say_always(labelled(ended, remedy, "yellow"))


def _outcome(decision: StepDecision, closing: Closing | None) -> StepOutcome:
    step, before = decision.step, decision.state is StepState.PASSED_OVER
    output = None if step.output is None else str(step.output)
    return StepOutcome(step.number, step.order.kind.name, closing, output, done_before=before)
