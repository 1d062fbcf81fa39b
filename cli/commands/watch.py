"""`status --watch`: shows a run again every second, until no process works on it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import anyio
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.journal import Journal
from cli.commands.status import RunSeen, detail, facts_object, run_object, see
from cli.session.journal import open_existing
from cli.session.stages import RUNNING, describe_stage
from cli.settings.settings import Settings
from cli.show.progress import LOOK_EVERY, line, screen_of, show_looks
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import badge_of, render
from cli.terminal.names import STATE_NAMES
from cli.terminal.screen import Screen
from cli.terminal.texts import WHOLE, moment, printable
from engine.pipeline.progress import Status
from texts.remedies import command_line
from texts.said import Quantity, in_lines, said

PAUSE: Final = 4
"""The pause after a look is at least this many times its duration."""


async def watch(name: str | None, settings: Settings, screen: Screen) -> Exit:
    """Watch a run until it ends; without a name, the only one that is working.

    A terminal is redrawn; otherwise each change prints a line, or with `--json` an object.
    Raises `CommandRefused` and `JournalError`.
    """
    async with open_existing(settings.journal.value) as journal:
        name = name or await _only_working_run(journal)
        if screen.voice.as_json:
            await _objects(name, journal, screen)
        elif screen.out.is_terminal:
            await _drawn(name, journal, screen)
        else:
            await _lines(name, journal, screen)
    return Exit.DONE


async def _only_working_run(journal: Journal) -> str:
    working = [run.name for run in await journal.runs() if await journal.holder(run)]
    if len(working) == 1:
        return working[0]
    if not working:
        raise CommandRefused(
            said(
                "nobody works on any run of {journal}: {command} shows them",
                journal=printable(journal.name),
                command=command_line("status"),
            )
        )
    lines = [f"  {command_line('status', run, '--watch')}" for run in working]
    raise CommandRefused(in_lines([said("several runs are being worked on; which?"), *lines]))


async def _looks(name: str, journal: Journal) -> AsyncIterator[RunSeen]:
    """One look a second; the last one shows the run at rest."""
    while True:
        began = anyio.current_time()
        seen = await see(name, journal)
        yield seen
        if seen.holder is None:
            return
        # Counting in the journal can be slow, and the run's own work has priority.
        took = anyio.current_time() - began
        await anyio.sleep(max(LOOK_EVERY - took, PAUSE * took))


async def _drawn(name: str, journal: Journal, screen: Screen) -> None:
    async def views() -> AsyncIterator[RenderableType]:
        async for seen in _looks(name, journal):
            if seen.holder:
                yield await _view(seen, journal)

    await show_looks(views(), screen)
    screen.show(await detail(await see(name, journal), journal))


async def _view(seen: RunSeen, journal: Journal) -> RenderableType:
    """The screen: a short view that needs no counting while the run reports its status."""
    return Group(_title(seen), screen_of(seen.live)) if seen.live else await detail(seen, journal)


async def _lines(name: str, journal: Journal, screen: Screen) -> None:
    before = "", ""
    async for seen in _looks(name, journal):
        words = line(seen.live).plain if seen.live else printable(await _describe_idle(seen, journal), WHOLE)
        now = line(_without_times(seen.live)).plain if seen.live else words
        title = _title(seen).plain
        if (title, now) != before:
            screen.out.print(f"{title}: {words}", markup=False, soft_wrap=True)
        before = title, now


async def _objects(name: str, journal: Journal, screen: Screen) -> None:
    before: dict[str, object] = {}
    async for seen in _looks(name, journal):
        found = _live_object(seen, seen.live) if seen.live else await run_object(seen, journal)
        now = found | {"live": seen.live and _without_times(seen.live)}
        if now != before:
            screen.emit(found)
        before = now


def _without_times(live: Status) -> Status:
    """The status without the values that change every second."""
    return replace(live, seconds=0.0, average=0.0, held_seconds={})


def _live_object(seen: RunSeen, live: Status) -> dict[str, object]:
    """The status that the run reports, for scripts; without sums, which would have to be counted."""
    return {**facts_object(seen, RUNNING), "states": live.counts, "refused": live.refused, "live": live}


async def _describe_idle(seen: RunSeen, journal: Journal) -> str:
    """The state, from its journal, of a run that reports no status."""
    totals = await journal.totals(seen.run)
    states = tuple(
        said("{n} {state}", n=Quantity(number), state=STATE_NAMES[state])
        for state, number in totals.counts.items()
        if number
    ) or (said("no rows yet"),)
    stage = describe_stage(seen.run, totals, is_held=seen.holder is not None)
    where = said("{stage}, {states}", stage=stage, states=states)
    return said("{where} ({silent})", where=where, silent=seen.silent) if seen.silent else where


def _title(seen: RunSeen) -> Text:
    run = seen.run
    title = render(said("run {run}", run=run.name), "bold")
    if badge := badge_of(run.parameters):
        title.append(" ").append_text(badge.line)
    if run.paused_at:
        paused = said("paused, by {who}, since {when}", who=run.paused_by or "", when=moment(run.paused_at))
        return title.append(" ").append_text(render(paused, "bold yellow"))
    return title
