"""`pause`, `continue`, `set`, `get`, `stop`: control of a working run from another terminal."""

from collections.abc import Sequence
from typing import Annotated, Final

import anyio
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.commands.execution import execute
from cli.session.control_client import by_flag, give, hear, resume_command, unreachable
from cli.session.journal import chosen_run, open_existing
from cli.session.stages import holds_its_file, is_followed
from cli.settings.flags import JournalFlags, RunNameOrNone, argument, flag, grouped, parse_pairs
from cli.settings.settings import Settings
from cli.show.closing import next_steps, outcome_table, states_object
from cli.show.steps import steps_of
from cli.terminal.exits import CommandRefused, Exit, exit_of
from cli.terminal.layout import render, steps_list, with_commands
from cli.terminal.screen import AsJson, BriefVoice, Screen, Voice
from cli.terminal.texts import moment, printable
from cli.terminal.waiting import waiting
from engine.pacing.holds import StopKind
from engine.pipeline.control import ControlAnswer, ControlRequest
from texts.remedies import PROGRAM, command_line
from texts.said import said

GLANCE: Final = 0.1
"""Seconds between two checks whether a run that was asked to stop has ended."""

app: Final = typer.Typer(add_completion=False)


# ---- the commands -----------------------------------------------------------------------------------------------


@app.command("pause")
@grouped
def _pause(name: RunNameOrNone = None, *, flags: JournalFlags, voice: BriefVoice) -> None:
    """Send nothing more until `continue`, also after a restart.

    What is in flight is finished. Without a name, the only run that is not at its end.
    """
    _give("pause", name, flags, voice)


@app.command("continue")
@grouped
def _continue(name: RunNameOrNone = None, *, flags: JournalFlags, voice: BriefVoice) -> None:
    """Let a paused run go on."""
    _give("continue", name, flags, voice)


@app.command("set")
@grouped
def _set(
    name: RunNameOrNone = None,
    changes: Annotated[list[str] | None, argument("NAME=VALUE…", f"As `{PROGRAM} get` lists them: rate=20.")] = None,
    *,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Change how hard a working run drives the billing.

    All that is named is changed, or nothing where one is wrong. Without RUN, the only run that is worked on.
    """
    words = [*([name] if name else []), *(changes or [])]
    run = words.pop(0) if words and "=" not in words[0] else None
    _give("set", run, flags, voice, words)


def _give(
    command: str, name: str | None, flags: JournalFlags, voice: BriefVoice, changes: Sequence[str] = ()
) -> None:
    async def work(settings: Settings, screen: Screen) -> Exit:
        if command == "set" and not changes:
            raise CommandRefused(said("nothing is named that is to be set"))
        wanted = {name: text.strip() for name, text in parse_pairs(changes, "set", example="rate=20").items()}
        async with open_existing(settings.journal.value) as journal:
            run = await chosen_run(name, journal, command, is_open=True)
            answer = await give(ControlRequest(command, wanted), run, journal)
            return _show_answer(run, command, answer, screen)

    execute(work, flags, voice.whole())


@app.command("get")
@grouped
def _get(name: RunNameOrNone = None, *, flags: JournalFlags, as_json: AsJson = False) -> None:
    """Show what can be set on a working run, and what it is now."""
    voice = Voice(as_json=as_json)
    execute(lambda settings, screen: show(name, settings, screen), flags, voice, only_reads=True)


@app.command("stop")
@grouped
def _stop(
    name: RunNameOrNone = None,
    *,
    no_wait: Annotated[bool, flag("--no-wait", None, "Do not wait until it has ended.")] = False,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Stop a run as Ctrl-C would; `resume` goes on.

    What is in flight is finished, and the run's process ends with 130.
    """
    execute(lambda settings, screen: stop(name, settings, screen, wait=not no_wait), flags, voice.whole())


# ---- what they do -----------------------------------------------------------------------------------------------


async def show(name: str | None, settings: Settings, screen: Screen) -> Exit:
    """Show the settings of a working run that can be changed. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        run = await chosen_run(name, journal, "get", is_open=True)
        holder = await journal.holder(run)
        live, silent = await hear(run, journal)
        if holder is None or await journal.mailbox.live(run) is None:
            raise await unreachable(run, journal, said("there is nothing to get"), by_flag(run))
        if live is None:
            raise CommandRefused(
                said("run {run} ({holder}): {why}", run=run.name, holder=holder.sentence, why=silent or ""),
                Exit.STOPPED,
            )
        if screen.voice.as_json:
            screen.emit(
                {
                    "run": run.name,
                    "command": "get",
                    "said": "",
                    "settings": dict(live.settings),
                    "exit": int(Exit.DONE),
                }
            )
            return Exit.DONE
        for setting, value in live.settings.items():
            screen.out.print(Text(f"{printable(setting)}=", "dim").append(printable(value), "bold"))
        return Exit.DONE


async def stop(name: str | None, settings: Settings, screen: Screen, *, wait: bool) -> Exit:
    """Stop a run, and wait until it has ended. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        run = await chosen_run(name, journal, "stop", is_open=True)
        is_held = await journal.holder(run) is not None
        answer = await give(ControlRequest("stop"), run, journal)
        if answer.refused or not wait or not is_held:
            return _show_answer(run, "stop", answer, screen)
        stops = said(
            "run {run}: {answer}; its process ends with {code}",
            run=run.name,
            answer=answer.said,
            code=int(Exit.INTERRUPTED),
        )
        waits = render(said("(Ctrl-C here ends the waiting, not the stop)"), "dim")
        screen.say(render(stops).append(" ").append_text(waits))
        with waiting(said("waiting for the end of run {run}", run=run.name)):
            while await journal.holder(run):  # noqa: ASYNC110 - the end of another process gives no event
                await anyio.sleep(GLANCE)
        return await _show_stopped(run.name, journal, screen)


async def _show_stopped(name: str, journal: Journal, screen: Screen) -> Exit:
    """The state of a run after a stop was requested."""
    run = await journal.run(name)
    totals = await journal.totals(run)
    code = exit_of(totals, StopKind.INTERRUPTED, intake_ended=run.frozen_at is not None)
    if screen.voice.as_json:
        screen.emit({"run": run.name, "command": "stop", **states_object(totals), "exit": int(Exit.DONE)})
    stays_paused = run.paused_at is not None and (code is Exit.INTERRUPTED or holds_its_file(run))
    title = Text(f"■ {printable(_describe_stop(run, code))}", "bold")
    parts: list[RenderableType] = [title, outcome_table(totals, await steps_of(run, journal))]
    if stays_paused:
        paused = said(
            "It stays paused, as {who} wanted it at {when}.", who=run.paused_by or "", when=moment(run.paused_at)
        )
        parts.append(render(paused, "yellow"))
    goes_on: list[tuple[str, str]] = []
    if stays_paused:
        goes_on.append((command_line("continue", run.name), said("end the pause")))
    if code is not Exit.INTERRUPTED and is_followed(run):
        goes_on.append((await resume_command(run, journal), said("go on with its next step")))
    if steps := goes_on + next_steps(run, totals):
        parts.append(steps_list(steps))
    screen.result(Group(*parts))
    return Exit.DONE


def _describe_stop(run: Run, code: Exit) -> str:
    """The result of a stop request; where the step had already finished, the stop ends its job file."""
    if code is Exit.INTERRUPTED:
        return said("run {run} has stopped", run=run.name)
    if is_followed(run):
        return said("run {run} is at its end, and no further step of its job file begins", run=run.name)
    return said("run {run} came to its end before it could be stopped", run=run.name)


# ---- messages ---------------------------------------------------------------------------------------------------


def _show_answer(run: Run, command: str, answer: ControlAnswer, screen: Screen) -> Exit:
    """Show the answer to a command. Raises `CommandRefused` where it was refused."""
    if answer.refused:
        raise CommandRefused(said("run {run}: {answer}", run=run.name, answer=answer.said))
    if screen.voice.as_json:
        screen.emit({"run": run.name, "command": command, "said": answer.said, "exit": int(Exit.DONE)})
    elif answer.said:
        screen.result(with_commands(said("run {run}: {answer}", run=run.name, answer=answer.said)))
    return Exit.DONE
