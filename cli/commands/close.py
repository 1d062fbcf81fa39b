"""`close`: ends a stopped run for good."""

from typing import Annotated, Final

import structlog
import typer
from rich.console import RenderableType

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage, Totals
from checkpoints.states import State
from cli.commands.execution import execute
from cli.session.journal import (
    in_doubt,
    locked,
    open_existing,
    ourselves,
    own_name,
    refuse_ended,
    refuse_purged,
    unfinished,
)
from cli.session.stages import ended_facts
from cli.session.vaults import wipe_secrets
from cli.settings.flags import JournalFlags, RunName, flag, grouped
from cli.settings.settings import Settings
from cli.show.closing import describe_end, next_steps, outcome_table, perhaps_in_effect, states_object
from cli.show.parts import stack
from cli.show.steps import steps_of
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import labelled, render, steps_list
from cli.terminal.screen import BriefVoice, Screen
from texts.said import counted, said

log = structlog.get_logger(__name__)

app: Final = typer.Typer(add_completion=False)


@app.command("close")
@grouped
def _close(
    name: RunName,
    *,
    reason: Annotated[str, flag("--reason", "TEXT", "The reason, kept in the journal with your name.")],
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """End a stopped run for good: what was not sent never is.

    What is in the billing stays and counts. Rows in doubt are to be settled first.
    """
    execute(lambda settings, screen: close(name, reason, settings, screen), flags, voice.whole())


async def close(name: str, reason: str, settings: Settings, screen: Screen) -> Exit:
    """End a run for good, with name and reason. Raises `CommandRefused` and `JournalError`."""
    why = reason.strip()
    if not why:
        raise CommandRefused(said("a run is closed for a reason: --reason 'the file was that of October'"))
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        refuse_purged(run)
        if run.stage is Stage.DISCARDED:
            raise CommandRefused("run {run} was given up before anything was sent", run=run.name)
        async with locked(run, journal, "close") as ours:
            totals = await journal.totals(ours)
            refuse_ended(ours, totals)
            if not await unfinished(ours, journal):
                raise CommandRefused("run {run} is at its end: there is nothing to close", run=run.name)
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
        screen.result(await _screen(closed, totals, journal), good=True)
    return Exit.DONE


async def _screen(run: Run, totals: Totals, journal: Journal) -> RenderableType:
    end = describe_end(run)
    if end is None:
        return render(said("✓ run {run} is given up: nothing of it was sent", run=run.name), "green")
    ended = counted(
        "✓ run {run} has ended: {end}. {n} row was not sent, and never is",
        "✓ run {run} has ended: {end}. {n} rows were not sent, and never are",
        totals.unsent,
        run=run.name,
        end=end,
    )
    manual, steps = totals.count(State.MANUAL), next_steps(run, totals)
    left = counted(
        "{n} row still waits for a person to decide whether it is in the billing",
        "{n} rows still wait for a person to decide whether they are in the billing",
        manual,
    )
    return stack(
        render(ended, "green", 600),
        outcome_table(totals, await steps_of(run, journal)),
        labelled(said("note:"), left, "yellow") if manual else None,
        labelled(said("note:"), perhaps, "yellow") if (perhaps := perhaps_in_effect(totals)) else None,
        steps_list(steps) if steps else None,
    )
