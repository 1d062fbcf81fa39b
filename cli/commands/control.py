"""`pause`, `continue`, `set`, `get`, `stop`: control of a working run from another terminal."""

import socket
from collections.abc import Sequence
from typing import Annotated, Final

import anyio
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.commands.execution import execute
from cli.session.control_client import ask, ask_facts, claim, note_at_rest, ourselves
from cli.session.journal import open_existing, unfinished
from cli.session.step_mark import holds_its_file, is_followed, mark_of
from cli.settings.flags import JournalFlags, RunName, grouped, parse_pairs
from cli.settings.settings import Settings
from cli.show.closing import next_steps, states_object, states_table
from cli.terminal.exits import CommandRefused, Exit, exit_of
from cli.terminal.layout import steps_list
from cli.terminal.screen import AsJson, BriefVoice, Screen, Voice
from cli.terminal.texts import markup_safe, moment, printable
from engine.control.messages import ControlAnswer, ControlRequest
from engine.pacing.holds import StopKind
from engine.pacing.policy import SETTINGS, check_names
from texts.remedies import PROGRAM

GLANCE: Final = 0.1
"""Seconds between two checks whether a run that was asked to stop has ended."""

app: Final = typer.Typer(add_completion=False)


# ---- the commands -----------------------------------------------------------------------------------------------


@app.command("pause")
@grouped
def _pause(name: RunName, *, flags: JournalFlags, voice: BriefVoice) -> None:
    """Send nothing more until `continue`, also after a restart.

    What is in flight is finished.
    """
    execute(lambda settings, screen: pause(name, settings, screen), flags.whole(), voice.whole())


@app.command("continue")
@grouped
def _continue(name: RunName, *, flags: JournalFlags, voice: BriefVoice) -> None:
    """Let a paused run go on."""
    execute(lambda settings, screen: continue_paused(name, settings, screen), flags.whole(), voice.whole())


@app.command("set")
@grouped
def _set(
    name: RunName,
    changes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help=f"As `{PROGRAM} get` lists them: rate=20.")
    ],
    *,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Change how hard a working run drives the billing.

    All that is named is changed, or nothing where one is wrong.
    """
    execute(lambda settings, screen: change(name, changes, settings, screen), flags.whole(), voice.whole())


@app.command("get")
@grouped
def _get(name: RunName, *, flags: JournalFlags, as_json: AsJson = False) -> None:
    """Show what can be set on a working run, and what it is now."""
    voice = Voice(as_json=as_json)
    execute(lambda settings, screen: show(name, settings, screen), flags.whole(), voice, only_reads=True)


@app.command("stop")
@grouped
def _stop(
    name: RunName,
    *,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until it has ended.")] = False,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Stop a run as Ctrl-C would; `resume` goes on.

    What is in flight is finished, and the run's process ends with 130.
    """
    execute(lambda settings, screen: stop(name, settings, screen, wait=not no_wait), flags.whole(), voice.whole())


# ---- pause and continue -----------------------------------------------------------------------------------------


async def pause(name: str, settings: Settings, screen: Screen) -> Exit:
    """Pause a run; without a working process, only in its journal. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        run = await _controllable_run(name, journal)
        answer = await ask(run, journal, ControlRequest("pause", who=claim()))
        if answer is None:
            await _refuse_elsewhere(run, journal)
            await journal.pause(run, ourselves())
            said = await _paused_at_rest(await journal.run(name), journal)
            answer = await note_at_rest(run, journal, "pause", said)
        return _show_answer(run, "pause", answer, screen)


async def _paused_at_rest(run: Run, journal: Journal) -> str:
    waits = f"it sends nothing until {PROGRAM} continue {run.name}"
    if holder := await journal.holder(run):
        return f"paused; {holder} does not listen at this moment and finds it in the journal: {waits}"
    return f"paused; nobody works on it, and when {await _resume_command(run, journal)} takes it up, {waits}"


async def continue_paused(name: str, settings: Settings, screen: Screen) -> Exit:
    """Continue a run; without a working process, only in its journal. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        run = await _controllable_run(name, journal)
        answer = await ask(run, journal, ControlRequest("continue", who=claim()))
        if answer is None:
            await _refuse_elsewhere(run, journal)
            run = await journal.run(name)
            await journal.unpause(run)
            answer = await note_at_rest(run, journal, "continue", await _unpaused_at_rest(run, journal))
        return _show_answer(run, "continue", answer, screen)


async def _unpaused_at_rest(run: Run, journal: Journal) -> str:
    was = "it is not paused any more" if run.paused_at else "it was not paused"
    if holder := await journal.holder(run):
        return f"{was}; {holder} does not listen at this moment and finds it in the journal"
    return f"{was}; nobody works on it: {await _resume_command(run, journal)} goes on with it"


async def _resume_command(run: Run, journal: Journal) -> str:
    """The command that resumes an idle run; for one at its end, the command that continues its job file."""
    mark = mark_of(run)
    if mark is None or await unfinished(run, journal):
        return f"{PROGRAM} resume {run.name}"
    return f"{PROGRAM} run {printable(mark.file)}"


async def _controllable_run(name: str, journal: Journal) -> Run:
    """The run of that name, if it can be paused or continued. Raises `CommandRefused`."""
    run = await journal.run(name)
    if await journal.holder(run) or holds_its_file(run) or await unfinished(run, journal):
        return run
    raise CommandRefused(_ended(run))


def _ended(run: Run) -> str:
    how = "was given up before anything was sent" if run.discarded_at else "is at its end: nothing is left to send"
    return f"run {run.name} {how}. {PROGRAM} status {run.name} shows how it came out"


# ---- set and get ------------------------------------------------------------------------------------------------


async def change(name: str, changes: Sequence[str], settings: Settings, screen: Screen) -> Exit:
    """Change settings of a working run, all or none. Raises `CommandRefused` and `JournalError`."""
    wanted = {name: text.strip() for name, text in parse_pairs(changes, "set", example="rate=20").items()}
    try:
        check_names(wanted, SETTINGS)
    except ValueError as error:
        raise CommandRefused(str(error)) from error
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        answer = await ask(run, journal, ControlRequest("set", wanted, claim()))
        if answer is None:
            raise await _unreachable(run, journal, "there is nothing to set", _by_flag(run))
        return _show_answer(run, "set", answer, screen)


async def show(name: str, settings: Settings, screen: Screen) -> Exit:
    """Show the settings of a working run that can be changed. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        found = await ask_facts(run, journal, "settings")
        if found is None:
            raise await _unreachable(run, journal, "there is nothing to get", _by_flag(run))
        if screen.voice.as_json:
            screen.emit({"run": run.name, "command": "get", "said": "", "settings": found, "exit": int(Exit.DONE)})
            return Exit.DONE
        for setting, value in found.items():
            screen.out.print(Text(f"{printable(setting)}=", "dim").append(printable(value), "bold"))
        return Exit.DONE


def _by_flag(run: Run) -> str:
    kept = " ".join(f"{name}={text}" for name, text in run.policy.items()) or "nothing but the defaults"
    return f"it keeps {printable(kept)}, which a flag changes: {PROGRAM} resume {run.name} --rate 20 --in-flight 8"


# ---- stop -------------------------------------------------------------------------------------------------------


async def stop(name: str, settings: Settings, screen: Screen, *, wait: bool) -> Exit:
    """Stop a run, and wait until it has ended. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        answer = await ask(run, journal, ControlRequest("stop", who=claim()))
        if answer is None:
            raise await _unreachable(run, journal, "there is nothing to stop", "")
        if answer.refused or not wait:
            return _show_answer(run, "stop", answer, screen)
        screen.say(
            f"run {run.name}: {markup_safe(answer.said)}; its process ends with {int(Exit.INTERRUPTED)} "
            "[dim](Ctrl-C here ends the waiting, not the stop)[/]"
        )
        while await journal.holder(run):  # noqa: ASYNC110 - the end of another process gives no event
            await anyio.sleep(GLANCE)
        return await _show_stopped(name, journal, screen)


async def _show_stopped(name: str, journal: Journal, screen: Screen) -> Exit:
    """The state of a run after a stop was requested."""
    run = await journal.run(name)
    totals = await journal.totals(run)
    code = exit_of(totals, StopKind.INTERRUPTED, intake_ended=run.frozen_at is not None)
    if screen.voice.as_json:
        screen.emit({"run": run.name, "command": "stop", **states_object(totals), "exit": int(Exit.DONE)})
    stays_paused = run.paused_at is not None and (code is Exit.INTERRUPTED or holds_its_file(run))
    title = Text(f"■ run {run.name} {_describe_stop(run, code)}", "bold")
    parts: list[RenderableType] = [title, states_table(totals)]
    if stays_paused:
        parts.append(
            Text(f"It stays paused, as {printable(run.paused_by)} wanted it at {moment(run.paused_at)}.", "yellow")
        )
    goes_on = [(f"{PROGRAM} continue {run.name}", "end the pause")] if stays_paused else []
    if code is not Exit.INTERRUPTED and is_followed(run):
        goes_on.append((await _resume_command(run, journal), "go on with its next step"))
    if steps := goes_on + next_steps(run, totals):
        parts.append(steps_list(steps))
    screen.result(Group(*parts))
    return Exit.DONE


def _describe_stop(run: Run, code: Exit) -> str:
    """The result of a stop request; where the step had already finished, the stop ends its job file."""
    if code is Exit.INTERRUPTED:
        return "has stopped"
    if is_followed(run):
        return "is at its end, and no further step of its job file begins"
    return "came to its end before it could be stopped"


# ---- messages ---------------------------------------------------------------------------------------------------


def _show_answer(run: Run, command: str, answer: ControlAnswer, screen: Screen) -> Exit:
    """Show the answer to a command. Raises `CommandRefused` where it was refused."""
    if answer.refused:
        raise CommandRefused(f"run {run.name}: {answer.said}")
    if screen.voice.as_json:
        screen.emit({"run": run.name, "command": command, "said": answer.said, "exit": int(Exit.DONE)})
    elif answer.said:
        screen.result(Text(f"run {run.name}: {printable(answer.said, 600)}"))
    return Exit.DONE


async def _refuse_elsewhere(run: Run, journal: Journal) -> None:
    """Refuse a run on another machine: its control socket cannot be reached from here."""
    holder = await journal.holder(run)
    if holder and holder.host != socket.gethostname():
        raise CommandRefused(f"run {run.name} is worked on by {holder}: type the command on {printable(holder.host)}")


async def _unreachable(run: Run, journal: Journal, what: str, instead: str) -> CommandRefused:
    """The error for a command without a process to carry it out, with the way out."""
    await _refuse_elsewhere(run, journal)
    if holder := await journal.holder(run):
        return CommandRefused(
            f"run {run.name} does not listen at this moment, and {what}: {holder} reads its rows, waits for an "
            "answer to a question, looks something up, or could not open its socket, which it said when it began.\n"
            f"Try again when it sends, or end it with kill -INT {holder.process}"
        )
    if not await unfinished(run, journal):
        return CommandRefused(_ended(run))
    then = instead or f"{PROGRAM} status {run.name} shows where it stands, {PROGRAM} resume {run.name} takes it up"
    return CommandRefused(f"nobody works on run {run.name} at this moment, and {what}: {then}")
