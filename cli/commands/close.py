"""`close`: ends a stopped run for good."""

from typing import Annotated, Final

import structlog
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage, Totals
from checkpoints.states import State
from cli.commands.execution import execute
from cli.session.control_client import ourselves, own_name
from cli.session.journal import in_doubt, locked, open_existing, refuse_ended, refuse_purged, unfinished
from cli.session.stages import ended_facts
from cli.session.vaults import wipe_secrets
from cli.settings.flags import JournalFlags, RunName, grouped
from cli.settings.settings import Settings
from cli.show.closing import describe_end, next_steps, outcome_table, perhaps_in_effect, states_object
from cli.show.steps import steps_of
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import labelled, steps_list
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import printable
from texts.said import counted, said

log = structlog.get_logger(__name__)

app: Final = typer.Typer(add_completion=False)


@app.command("close")
@grouped
def _close(
    name: RunName,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, kept in the journal with your name.")
    ],
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """End a stopped run for good: what was not sent never is.

    What is in the billing stays and counts. Rows in doubt are to be settled first.
    """
    execute(lambda settings, screen: close(name, reason, settings, screen), flags.whole(), voice.whole())


async def close(name: str, reason: str, settings: Settings, screen: Screen) -> Exit:
    """End a run for good, with name and reason. Raises `CommandRefused` and `JournalError`."""
    why = reason.strip()
    if not why:
        raise CommandRefused(said("a run is closed for a reason: --reason 'the file was that of October'"))
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        refuse_purged(run)
        if run.stage is Stage.DISCARDED:
            raise CommandRefused(said("run {run} was given up before anything was sent", run=run.name))
        async with locked(run, journal, "close") as ours:
            totals = await journal.totals(ours)
            refuse_ended(ours, totals)
            if not await unfinished(ours, journal):
                raise CommandRefused(said("run {run} is at its end: there is nothing to close", run=run.name))
            if doubtful := totals.count_where(open=True, counts_money=True):
                raise CommandRefused(in_doubt(ours, doubtful))
            if ours.approved_at is None:
                # Nobody has said yes to it: there is nothing to keep.
                await journal.discard(ours)
            else:
                await journal.end(ours, own_name(), why)
            await wipe_secrets(ours, journal)
        await journal.history.note_command(run, ourselves(), "close", why)
        closed = await journal.run(run.name)
        totals = await journal.totals(closed)
        log.info("closed", run=run.name, why=why, unsent=totals.unsent)
        if screen.voice.as_json:
            facts = {"run": run.name, "job": run.job, **states_object(totals), "ended": ended_facts(closed)}
            screen.emit({**facts, "exit": int(Exit.DONE)})
        screen.result(Group(*await _screen(closed, totals, journal)), good=True)
    return Exit.DONE


async def _screen(run: Run, totals: Totals, journal: Journal) -> list[RenderableType]:
    end = describe_end(run)
    if end is None:
        given_up = said("run {run} is given up: nothing of it was sent", run=run.name)
        return [Text(f"✓ {printable(given_up)}", "green")]
    told = counted(
        "run {run} has ended: {end}. {n} row was not sent, and never is",
        "run {run} has ended: {end}. {n} rows were not sent, and never are",
        totals.unsent,
        run=run.name,
        end=end,
    )
    parts: list[RenderableType] = [
        Text(f"✓ {printable(told, 600)}", "green"),
        outcome_table(totals, await steps_of(run, journal)),
    ]
    if manual := totals.count(State.MANUAL):
        left = counted(
            "{n} row still waits for a person to decide whether it is in the billing",
            "{n} rows still wait for a person to decide whether they are in the billing",
            manual,
        )
        parts.append(labelled(said("note:"), left, "yellow"))
    if perhaps := perhaps_in_effect(totals):
        parts.append(labelled(said("note:"), perhaps, "yellow"))
    if steps := next_steps(run, totals):
        parts.append(steps_list(steps))
    return parts
