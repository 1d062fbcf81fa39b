"""Steps of a job file, run in order: each is a run of its own, with a barrier between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import anyio.to_thread
from rich.console import Group
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.jobfile.job_file import JobFile, JobFileStep
from cli.jobfile.rounds import Round, StepDecision, StepState, passes, round_of
from cli.jobfile.wait import WaitResult, wait
from cli.session.journal import require_unlocked
from cli.session.run_session import NOTHING_SENT, RunSession
from cli.session.session import OpenRecorder, Session, close_ended, open_session
from cli.session.start import Ready, check_files, prepare, start_run
from cli.session.step_mark import StepMark
from cli.settings.flags import Consent
from cli.settings.settings import Settings
from cli.show.closing import Closing, StepOutcome, steps_of_file
from cli.terminal.exits import OPERATOR_ERRORS, CommandRefused, Exit, code_of
from cli.terminal.layout import steps_list
from cli.terminal.screen import Screen
from cli.terminal.texts import markup_safe, printable, rows
from engine.job import Job
from engine.pacing.holds import Stop
from engine.rows import STDIN
from texts.remedies import PROGRAM
from texts.said import text_of


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
                raise CommandRefused(f"{named(step)}: {text_of(error)}\n{NOTHING_SENT}", code_of(error)) from error
            if step.order.rows.file == STDIN:
                piped[step.number] = one
        for path in files_made(step):
            if (other := makers.setdefault(path, step)).number != step.number:
                raise CommandRefused(
                    f"{named(step)} and {named(other)} both make {printable(path)}: name another file in one of "
                    "them\n"
                    f"{NOTHING_SENT}"
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


def named(step: JobFileStep) -> str:
    """The name of the step, as shown to people."""
    return f"step {step.number} ({step.order.kind.name})"


def _open(job: Job) -> None:
    """Read everything that the source knows before its first row. Raises what the source raises."""
    source = job.source
    _ = source.digest, source.header


@dataclass(frozen=True, slots=True)
class FileRunOptions:
    """The options for all steps."""

    pacing: Mapping[str, str]
    """Pacing for a step that begins: from the command line, else from the file."""
    pacing_now: Mapping[str, str]
    """Pacing from the command line alone, for a step that is resumed; its run keeps the rest."""
    consent: Consent
    record: OpenRecorder | None = None


async def run_file(file: JobFile, settings: Settings, options: FileRunOptions, screen: Screen) -> Closing:
    """Run what is left of the file's round, or a new one; the closing is the last step's, with the worst exit code.

    It has the outcomes of all steps, which are shown as a table at the end. A step without success ends the file,
    unless `go_on` allows rejected rows; so does a stop between two steps. The closing includes the time waited
    between the steps.
    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError` while nothing was sent; an error after
    that is shown, and in the closing.
    """
    async with open_session(settings, screen, pacing=options.pacing, record=options.record) as opened:
        journal = opened.journal
        now = await round_of(file, settings.target, journal, datetime.now().astimezone())
        await _show_round(now, journal, screen)
        piped = await check_all(now.decisions, opened)
        done: list[StepOutcome] = []
        closing = await _work_through(file, now, piped, opened, options, done)
        left = [_outcome(decision, None) for decision in now.decisions[len(done) :]]
        closing = replace(closing, steps=(*done, *left))
        screen.result(Group(Text(""), steps_of_file(closing.steps)), good=closing.exit is Exit.DONE)
    return closing


async def _work_through(
    file: JobFile,
    now: Round,
    piped: Mapping[int, Ready],
    opened: Session,
    options: FileRunOptions,
    done: list[StepOutcome],
) -> Closing:
    """Work on the steps in order, and add the outcome of each to `done`; returns the closing without its steps."""
    screen, journal = opened.screen, opened.journal
    closing, worst = Closing(Exit.DONE), Exit.DONE
    waited = WaitResult()
    for decision in now.decisions:
        step = decision.step
        consent = replace(options.consent, skip_bad=options.consent.skip_bad or step.skip_bad)
        session = replace(opened, consent=consent, stop=Stop())
        screen.say(f"\n[bold]Step {step.number} of {len(file.steps)}:[/] {markup_safe(step.order.kind.name)}")
        try:
            mark = StepMark(str(file.path), now.number, step.number, len(file.steps), now.begun, file.digest)
            closing = await _work_on(decision, mark, piped.get(step.number), session, options.pacing_now)
            done.append(_outcome(decision, closing))
            if not passes(step, closing.exit):
                _show_end(file, step, closing, screen)
                return waited.counted_in(closing)
            if decision is not now.decisions[-1] and closing.run is not None:
                run = await journal.run(closing.run)
                waited = waited.and_then(await wait(run, replace(session, pacing=options.pacing_now)))
                if waited.stop.requested:
                    _show_stop(file, step, await journal.run(closing.run), waited.stop.reason, screen)
                    return waited.counted_in(closing)
        except OPERATOR_ERRORS as error:
            if all(one.done_before for one in done):
                raise
            failed = _closing_after_sending(file, step, done, error)
            screen.complain(failed.error or "")
            if done[-1].number != step.number:
                done.append(_outcome(decision, failed))
            return waited.counted_in(failed)
        worst = max(worst, closing.exit)
    return replace(waited.counted_in(closing), exit=worst)


def _outcome(decision: StepDecision, closing: Closing | None) -> StepOutcome:
    step = decision.step
    output = None if step.output is None else str(step.output)
    before = decision.state is StepState.PASSED_OVER
    return StepOutcome(step.number, step.order.kind.name, closing, output, done_before=before)


async def _show_round(now: Round, journal: Journal, screen: Screen) -> None:
    """Show the round, and its runs that match no step."""
    if now.note:
        screen.say(markup_safe(now.note))
    for run in now.strays:
        left = rows((await journal.totals(run)).count_where(open=True))
        screen.say_always(
            f"[yellow]note:[/] no step of the file is like run {run.name} ({markup_safe(run.job)}) any more, and "
            "it is not "
            f"at its end: {left} left. {PROGRAM} resume {run.name} takes it there"
        )


async def _work_on(
    decision: StepDecision, mark: StepMark, piped: Ready | None, session: Session, pacing_now: Mapping[str, str]
) -> Closing:
    """Carry out the decision on a step."""
    match decision:
        case StepDecision(state=StepState.PASSED_OVER, run=Run() as run):
            return await _passed_over(run, session)
        case StepDecision(state=StepState.TAKEN_UP, run=Run() as run):
            return await _taken_up(run, replace(session, pacing=pacing_now))
    if decision.why:
        session.screen.say(f"{markup_safe(decision.why)}: the step is begun anew")
    # Rows opened for the check may be hours old, so they are opened again; standard input cannot be.
    step = decision.step
    one = piped or prepare(step.order, check_files(step.order, step.output), session)
    return await start_run(one, session, remembered=mark.to_parameters())


async def _passed_over(run: Run, session: Session) -> Closing:
    await require_unlocked(run, session.journal)
    totals = await session.journal.totals(run)
    session.screen.say(f"done before in this round: run {run.name}, {rows(totals.frozen)}")
    closing, _ = await close_ended(run, totals, session.journal)
    if closing.error:
        session.screen.complain(closing.error)
    return closing


async def _taken_up(run: Run, session: Session) -> Closing:
    await require_unlocked(run, session.journal)
    session.screen.say(f"taking up run {run.name}")
    session = session.for_run(run)
    return await RunSession(run, await session.rebuild(run), session, fresh=False).run()


def _closing_after_sending(
    file: JobFile, step: JobFileStep, done: Sequence[StepOutcome], error: Exception
) -> Closing:
    """The closing of a file that an error ends in its middle: what is wrong, what is done, what to type."""
    sent = ", ".join(f"step {one.number} (run {one.closing.run})" for one in done if one.closing)
    code = code_of(error)
    return Closing(
        Exit.STOPPED if code is Exit.REFUSED else code,
        job=step.order.kind.name,
        error=f"{named(step)}: {text_of(error).removesuffix(NOTHING_SENT).rstrip()}\n"
        f"Stopped in the middle of {printable(file.path)}; done before that: {sent}.\n"
        f"Put right what is wrong, then go on with: {_again(file)} (it passes over what is done)",
    )


def _show_stop(file: JobFile, step: JobFileStep, run: Run, why: str, screen: Screen) -> None:
    """Show that the file was stopped after a finished step, and how to continue."""
    end_of_pause = [(f"{PROGRAM} continue {run.name}", "end the pause")] if run.paused_at else []
    headline = Text(f"■ stopped after step {step.number}: {printable(why, 600)}", "bold yellow")
    again = (_again(file), "go on with the next step")
    screen.result(Group(headline, steps_list([*end_of_pause, again])), good=False)


def _again(file: JobFile) -> str:
    return f"{PROGRAM} run {printable(file.path)}"


def _show_end(file: JobFile, step: JobFileStep, closing: Closing, screen: Screen) -> None:
    left = len(file.steps) - step.number
    if left:
        hint = " or give the step go_on = true" if closing.exit is Exit.REJECTED else ""
        screen.say_always(
            f"[yellow]Step {step.number} ended with exit code {int(closing.exit)}: the {left} after it "
            f"{'was' if left == 1 else 'were'} not begun.[/] Put right what is wrong{hint}, then: "
            f"{markup_safe(_again(file))}"
        )
