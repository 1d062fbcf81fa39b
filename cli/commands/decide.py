"""`decide`: records an operator's decision on a row that no look-up can settle."""

from typing import Annotated, Final

import structlog
import typer

from billing.api.answers import created_id
from billing.directory.models import LARGEST_ID
from checkpoints.errors import ForbiddenTransition
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.commands.execution import execute
from cli.session.journal import locked, open_existing, own_name
from cli.settings.flags import JournalFlags, argument, flag, grouped
from cli.settings.settings import Settings
from cli.show.closing import next_steps, states_object
from cli.show.parts import stack
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import render, steps_list
from cli.terminal.names import STATE_NAMES
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import printable
from jobs.access.payload import payload_of
from jobs.spec.words import IMPORT
from texts.remedies import command_line, setting
from texts.said import said

log = structlog.get_logger(__name__)

CHOICES: Final = (State.ACCEPTED, State.PENDING)
"""States that a person can choose: the row is in the billing, or it is not and is sent again."""

app: Final = typer.Typer(add_completion=False)


@app.command("decide")
@grouped
def _decide(  # noqa: PLR0913 - each is a flag or a group of them
    name: Annotated[str, argument("RUN", "The run, or the row as it is printed: k7m2q/12.")],
    key: Annotated[str, argument("KEY", "The row: its key or contract number; left out after k7m2q/12.")],
    choice: Annotated[
        str | None,
        argument("accepted|pending", "It is in the billing, or it is not and goes again."),
    ] = None,
    *,
    why: Annotated[str, flag("--why", "TEXT", "The reason, kept in the journal with your name.")],
    new_id: Annotated[
        str | None, flag("--id", "ID", "The id in the billing of what an accepted row created.")
    ] = None,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Record a person's decision on a row that no look-up can settle."""
    row = (name, name, key) if choice is None else (name.partition("/")[0], key, choice)
    execute(lambda settings, screen: decide_row(*row, why, settings, screen, new_id=new_id), flags, voice.whole())


async def decide_row(  # noqa: PLR0913 - a row, a decision, and where they are
    name: str, key: str, choice: str, why: str, settings: Settings, screen: Screen, *, new_id: str | None = None
) -> Exit:
    """Record a decision on one manual row, with name and reason; `resume` sends rows that are pending.

    `key` is the row as it is printed (run and number), its key or its label. Raises `CommandRefused` when no row or
    several rows match, or the row is not manual.
    """
    if choice not in CHOICES:
        raise CommandRefused(
            "{given} is no decision: accepted (it is in the billing) or pending (it is not, send it again)",
            given=printable(choice),
        )
    if not why.strip():
        raise CommandRefused(said("a decision needs its reason: --why 'seen in the billing by Olga, operation 4711'"))
    state = State(choice)
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name.partition("/")[0])
        item = await _matching_row(run, key, journal)
        answer = await _id_of(run, item, state, new_id, screen)
        who = own_name()
        try:
            async with locked(run, journal, "decide") as ours:
                await journal.decide(ours, item, state, who=who, why=why.strip(), answer=answer)
        except ForbiddenTransition:
            raise CommandRefused(
                "row {number} of run {run} is {state}: a person decides only on what is manual. {command} looks "
                "up what is unknown",
                number=item.number,
                run=run.name,
                state=STATE_NAMES[item.state],
                command=command_line("reconcile", run.name),
            ) from None
        log.info("decided", run=run.name, item=item.number, state=choice, who=who, why=why.strip())
        totals = await journal.totals(run)
        if screen.voice.as_json:
            screen.emit({"run": run.name, "job": run.job, **states_object(totals), "exit": int(Exit.DONE)})
        decided = said(
            "✓ row {number} ({label}) is {state}",
            number=item.number,
            label=printable(item.label, 60),
            state=STATE_NAMES[state],
        )
        steps = next_steps(run, totals)
        screen.result(stack(render(decided, "green"), steps_list(steps) if steps else None), good=True)
        return Exit.DONE


async def _matching_row(run: Run, key: str, journal: Journal) -> Item:
    """The row as it is printed, by its number; or the one with this key or label, and no other reading of it."""
    number = key.removeprefix(f"{run.name}/")
    by_number = number != key and number.isdecimal()
    found = [
        item
        for item in await journal.find(run, number if by_number else key)
        if (str(item.number) == number if by_number else key in {item.key, item.label})
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandRefused(
            "run {run} has no row {key}: give its key, its contract number, or the row as it is printed, {row}",
            run=run.name,
            key=printable(key),
            row=f"{run.name}/{key if key.isdecimal() else 12}",
        )
    raise CommandRefused(
        "{key} may be any of the rows {rows}: give the one that is meant as it stands here",
        key=printable(key),
        rows=tuple(f"{run.name}/{item.number}" for item in found),
    )


async def _id_of(run: Run, item: Item, state: State, given: str | None, screen: Screen) -> str | None:
    """The id of what an accepted row has created; asked for where other rows need it. Raises `CommandRefused`."""
    if state is not State.ACCEPTED:
        if given is not None:
            raise CommandRefused("{flag} is for a row that is accepted", flag=setting("id"))
        return None
    if given is None:
        if run.job != IMPORT or not payload_of(item).creates_subscriber:
            return None
        whose = said("the id of {label} in the billing", label=printable(item.label, 60))
        with screen.keyboard("") as keyboard:
            if keyboard is None:
                raise CommandRefused(
                    "other rows of the run need {what}: add {flag}", what=whose, flag=setting("id", "4711")
                )
            given = await screen.chooses(said("What is {what}?", what=whose), keyboard)
    found = created_id(given.strip())
    if found is None or int(found) > LARGEST_ID:
        raise CommandRefused("{given} is no id of the billing", given=printable(given) or "–")
    return found
