"""`status --all`: all billings that the settings name, with their runs, once or again and again."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.errors import JournalError
from checkpoints.stores import is_there
from cli.fleet.overview import (
    FleetJournal,
    FleetRun,
    FleetTable,
    FleetView,
    run_facts,
    sums_facts,
    sums_lines,
    view_of,
)
from cli.session.journal import open_existing
from cli.settings.known_billings import KnownBillings, known_billings
from cli.settings.settings import Settings
from cli.show.progress import LOOK_EVERY, show_looks
from cli.terminal.exits import Exit, code_of
from cli.terminal.layout import Hanging, render, steps_list
from cli.terminal.screen import Screen
from cli.terminal.texts import WHOLE, printable
from texts.remedies import command_line
from texts.said import in_clauses, said, text_of

PAUSE: Final = 4
"""The pause after a look is at least this many times its duration: the work of the runs has priority."""


@dataclass(frozen=True, slots=True)
class OpenedFleet:
    """The journals of all billings, open; `unread` has the errors of those that cannot be read, by their names."""

    known: KnownBillings
    journals: Sequence[FleetJournal]
    unread: dict[str, JournalError]

    async def look(self) -> FleetView:
        """All runs at this moment. Raises the error of a journal where none can be read."""
        runs: list[FleetRun] = []
        for one in self.journals:
            try:
                runs += await one.look(self.known)
            except JournalError as error:
                self.unread[one.journal.name] = error
            else:
                self.unread.pop(one.journal.name, None)
        if self.unread and len(self.unread) >= len(self.journals) and not runs:
            raise next(iter(self.unread.values()))
        return view_of(runs)

    @property
    def exit(self) -> Exit:
        """The exit code: that of a journal that cannot be read."""
        return next((code_of(error) for error in self.unread.values()), Exit.DONE)


async def status_all(settings: Settings, screen: Screen) -> Exit:
    """Show all billings once. Raises `CommandRefused` and `JournalError`."""
    async with _opened(settings) as fleet:
        view = await fleet.look()
        if screen.voice.as_json:
            screen.emit(_object(fleet, view))
        else:
            screen.show(_screen(fleet, view))
        return fleet.exit


async def watch_all(settings: Settings, screen: Screen) -> Exit:
    """Show all billings again and again, until nobody works on a run and none is in a queue.

    A terminal is redrawn; otherwise each change prints the sums, or with `--json` an object.
    """
    async with _opened(settings) as fleet:
        if screen.out.is_terminal and not screen.voice.as_json:
            await show_looks((_screen(fleet, view) async for view in _looks(fleet)), screen)
            screen.show(_screen(fleet, await fleet.look()))
            return fleet.exit
        before: object = None
        async for view in _looks(fleet):
            now = [(one.summary.run, one.totals, one.summary.holder, one.queued) for one in view.runs]
            if now != before:
                if screen.voice.as_json:
                    screen.emit(_object(fleet, view))
                else:
                    line = printable(in_clauses([*sums_lines(view.sums)]), WHOLE)
                    screen.out.print(line, markup=False, soft_wrap=True)
            before = now
        return fleet.exit


async def _looks(fleet: OpenedFleet) -> AsyncIterator[FleetView]:
    while True:
        began = anyio.current_time()
        view = await fleet.look()
        yield view
        if not view.is_busy:
            return
        took = anyio.current_time() - began
        await anyio.sleep(max(LOOK_EVERY - took, PAUSE * took))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[OpenedFleet]:
    """The journals of all billings. Raises `JournalAbsent` where there is none, or the error of one if all fail."""
    known = known_billings(settings, os.environ)
    journals: list[FleetJournal] = []
    unread: dict[str, JournalError] = {}
    async with AsyncExitStack() as stack:
        for place in known.journals:
            try:
                # A billing of which nothing was run yet has no journal.
                if len(known.journals) == 1 or await anyio.to_thread.run_sync(is_there, place):
                    journals.append(FleetJournal(await stack.enter_async_context(open_existing(place))))
            except JournalError as error:
                unread[str(place)] = error
        if not journals:
            if unread:
                raise next(iter(unread.values()))
            await stack.enter_async_context(open_existing(settings.journal.value))
        yield OpenedFleet(known, journals, unread)


def _screen(fleet: OpenedFleet, view: FleetView) -> RenderableType:
    parts: list[RenderableType] = [FleetTable(view)]
    parts += [
        Hanging(Text("! ", "bold yellow"), render(said("not shown: {why}", why=error), limit=WHOLE))
        for error in fleet.unread.values()
    ]
    if needing := next((one for one in view.runs if one.needs), None):
        command = command_line("status", needing.summary.run.name, *_named(needing, fleet.known))
        parts.append(steps_list([(command, said("see what a run needs"))]))
    return Group(*parts)


def _named(one: FleetRun, known: KnownBillings) -> Sequence[str]:
    """What leads to the journal of a run: its profile, else any one, for it has the journal of all of them."""
    profile = one.profile or next(iter(known.profiles.values()), None)
    return ("--profile", profile) if profile else ("--journal", one.journal)


def _object(fleet: OpenedFleet, view: FleetView) -> dict[str, object]:
    return {
        "journals": [one.journal.name for one in fleet.journals if one.journal.name not in fleet.unread],
        "unread": {name: text_of(error) for name, error in fleet.unread.items()},
        "runs": [run_facts(one) for one in view.runs],
        "sums": sums_facts(view.sums),
    }
