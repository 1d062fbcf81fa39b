"""`decide`: records an operator's decision on a row that no look-up can settle."""

from typing import Annotated, Final

import structlog
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.errors import ForbiddenTransition
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.commands.execution import execute
from cli.session.control_client import own_name
from cli.session.journal import locked, open_existing
from cli.settings.flags import JournalFlags, RunName, grouped
from cli.settings.settings import Settings
from cli.show.closing import next_steps, states_object
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import steps_list
from cli.terminal.names import STATE_NAMES
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import printable
from texts.remedies import command_line
from texts.said import said

log = structlog.get_logger(__name__)

CHOICES: Final = (State.ACCEPTED, State.PENDING)
"""States that a person can choose: the row is in the billing, or it is not and is sent again."""

app: Final = typer.Typer(add_completion=False)


@app.command("decide")
@grouped
def _decide(
    name: RunName,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The row: its key, contract number or number in the run.")
    ],
    choice: Annotated[
        str, typer.Argument(metavar="accepted|pending", help="It is in the billing, or it is not and goes again.")
    ],
    *,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="The reason, kept in the journal with your name.")
    ],
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Record a person's decision on a row that no look-up can settle."""
    execute(
        lambda settings, screen: decide_row(name, key, choice, why, settings, screen), flags.whole(), voice.whole()
    )


async def decide_row(name: str, key: str, choice: str, why: str, settings: Settings, screen: Screen) -> Exit:
    """Record a decision on one manual row, with name and reason; `resume` sends rows that are pending.

    Raises `CommandRefused` when no row or several rows match, or the row is not manual.
    """
    if choice not in CHOICES:
        raise CommandRefused(
            said(
                "{given} is no decision: accepted (it is in the billing) or pending (it is not, send it again)",
                given=printable(choice),
            )
        )
    if not why.strip():
        raise CommandRefused(said("a decision needs its reason: --why 'seen in the billing by Olga, operation 4711'"))
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        item = await _matching_row(run, key, journal)
        who = own_name()
        try:
            async with locked(run, journal, "decide") as ours:
                await journal.decide(ours, item, State(choice), who=who, why=why.strip())
        except ForbiddenTransition:
            raise CommandRefused(
                said(
                    "row {number} of run {run} is {state}: a person decides only on what is manual. {command} looks "
                    "up what is unknown",
                    number=item.number,
                    run=run.name,
                    state=STATE_NAMES[item.state],
                    command=command_line("reconcile", run.name),
                )
            ) from None
        log.info("decided", run=run.name, item=item.number, state=choice, who=who, why=why.strip())
        totals = await journal.totals(run)
        if screen.voice.as_json:
            screen.emit({"run": run.name, "job": run.job, **states_object(totals), "exit": int(Exit.DONE)})
        decided = said(
            "row {number} ({label}) is {state}",
            number=item.number,
            label=printable(item.label, 60),
            state=STATE_NAMES[State(choice)],
        )
        parts: list[RenderableType] = [Text(f"✓ {printable(decided)}", "green")]
        if steps := next_steps(run, totals):
            parts.append(steps_list(steps))
        screen.result(Group(*parts), good=True)
        return Exit.DONE


async def _matching_row(run: Run, key: str, journal: Journal) -> Item:
    found = await journal.find(run, key)
    manual = [item for item in found if item.state is State.MANUAL]
    if len(manual) == 1:
        return manual[0]
    if not found:
        raise CommandRefused(
            said(
                "run {run} has no row {key}: give its key, its contract number or its number in the run",
                run=run.name,
                key=printable(key),
            )
        )
    if len(found) == 1:
        return found[0]
    raise CommandRefused(
        said(
            "{key} may be any of the rows {numbers} of run {run}: give its number",
            key=printable(key),
            numbers=tuple(str(item.number) for item in manual or found),
            run=run.name,
        )
    )
