"""`reconcile`: looks up rows in doubt again, and shows those that only a person can decide."""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Item, Run, Stage
from checkpoints.states import State
from cli.commands.execution import execute
from cli.session.journal import locked, open_existing, require_content
from cli.session.session import open_session, own_journal
from cli.settings.flags import ChangedDeclaration, Flags, RunName, grouped
from cli.settings.pacing_flags import Pacing, ReadingRate, SettleDelay
from cli.settings.settings import Settings
from cli.show.closing import next_steps, outcome_table, states_object
from cli.show.progress import show_sending
from cli.show.steps import steps_of
from cli.terminal.exits import CommandRefused, Exit, outcome_of
from cli.terminal.layout import Facts, Hanging, command, render, steps_list
from cli.terminal.names import place_of
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import Interrupts
from cli.terminal.texts import printable
from engine.job import Absent, CannotLook, Different, LookUpResult
from engine.pacing.holds import Stop
from engine.pipeline.progress import Progress
from engine.pipeline.reconciler import Reconciler
from texts.remedies import command_line
from texts.said import counted, said

log = structlog.get_logger(__name__)

MAX_MANUAL_SHOWN: Final = 50
"""Manual rows that are shown; the rest is counted, and `export --state manual` has them all."""

app: Final = typer.Typer(add_completion=False)


@app.command("reconcile")
@grouped
def _reconcile(
    name: RunName,
    *,
    rate: ReadingRate = None,
    settle: SettleDelay = None,
    changed_declaration: ChangedDeclaration = False,
    flags: Flags,
    voice: Voice,
) -> None:
    """Look up what is in doubt; sends nothing.

    It can be typed days later, and after rows were put right by hand.
    """
    pacing = Pacing(rate=rate, settle=settle)

    async def work(settings: Settings, screen: Screen) -> Exit:
        taken = settings.with_changed_declaration(changed_declaration)
        return await reconcile_run(name, taken, pacing.given, screen)

    execute(work, flags, voice)


async def reconcile_run(name: str, settings: Settings, pacing: Mapping[str, str], screen: Screen) -> Exit:
    """Settle unknown rows and look up manual rows again; sends nothing.

    It uses the run's pacing, with the settings of `pacing` for this command only.

    Raises `CommandRefused`, `LookUpFailed`, `BillingError`, `JournalError`; rows settled by then stay settled.
    """
    async with open_existing(await own_journal(settings)) as journal:
        run = await journal.run(name)
        await require_content(run, journal)
        if run.stage is not Stage.APPROVED:
            raise CommandRefused("run {run} has sent nothing: there is nothing to look up", run=run.name)
        async with open_session(settings, screen, journal, of=run, pacing=pacing) as opened:
            session = opened.for_run(run)
            job = await session.rebuild(run)
            stop, progress = session.stop, Progress()
            interrupts = Interrupts(stop, screen)
            left: Mapping[int, LookUpResult] = {}
            async with (
                locked(run, journal, "reconcile", billing=session.billing.health.version) as run,
                interrupts.listening(),
            ):
                reconciler = Reconciler(run, job, journal, session.policy_of(run), progress, stop)
                await journal.doubt(run)
                progress.take_up(await journal.totals(run), intake_ended=run.frozen_at is not None)
                with interrupts.while_sending():
                    async with show_sending(progress, screen, run.name):
                        await reconciler.settle()
                    left = await reconciler.look_again()
        return await _close(run, journal, left, stop, screen)


async def _close(run: Run, journal: Journal, left: Mapping[int, LookUpResult], stop: Stop, screen: Screen) -> Exit:
    totals = await journal.totals(run)
    code = outcome_of(totals)
    if stop.requested and totals.count_where(in_doubt=True):
        code = Exit.INTERRUPTED
    log.info("reconciled", exit=int(code), unknown=totals.count(State.UNKNOWN), manual=totals.count(State.MANUAL))
    if screen.voice.as_json:
        screen.emit({"run": run.name, "job": run.job, **states_object(totals), "exit": int(code)})
    parts: list[RenderableType] = [outcome_table(totals, await steps_of(run, journal))]
    if totals.count(State.MANUAL):
        parts.append(_manual_rows(run, await journal.items(run, {State.MANUAL}, size=MAX_MANUAL_SHOWN), left))
        undecided = counted(
            "{n} row for a person to decide on", "{n} rows for a person to decide on", totals.count(State.MANUAL)
        )
        parts.append(render(undecided, "bold yellow"))
    elif not totals.count_where(in_doubt=True):
        settled = said("run {run}: nothing is in doubt", run=run.name)
        parts.insert(0, Text(f"✓ {printable(settled)}", "bold green"))
    if stop.requested:
        parts.append(render(stop.reason, "yellow", 600))
    if steps := next_steps(run, totals):
        parts.append(steps_list(steps))
    screen.result(Group(*parts), good=code is Exit.DONE)
    return code


def _manual_rows(run: Run, items: Sequence[Item], left: Mapping[int, LookUpResult]) -> RenderableType:
    """The manual rows with both sides, and the command that records a decision."""
    lines: list[RenderableType] = []
    for item in items:
        place = render(place_of(item), "bold").append(f" ({printable(item.label, 60)})", "dim")
        sides = Facts(indent=4)
        sides.add(said("sent:"), render(item.payload))
        sides.add(said("found:"), render(_seen(item, left)))
        how = said("when it is in the billing; `pending` instead of `accepted` sends it again:")
        lines += [
            Hanging(Text("? ", "yellow"), place),
            sides,
            Text(f"    {printable(how)}", "dim"),
            command(command_line("decide", f"{run.name}/{item.number}", "accepted", "--why", "…")),
        ]
    return Group(*lines)


def _seen(item: Item, left: Mapping[int, LookUpResult]) -> str:
    match left.get(item.item_id):
        case Different(text) | CannotLook(text):
            return text
        case Absent():
            return said("no longer there; before: {message}", message=item.message or "")
        case _:
            return item.message or said("nothing")
