"""All billings at one moment, `status --all`: where each run stands, how far it is, and what it needs of a person.

Facts come from the journals and their queues alone: no billing and no process is asked, so all machines see the same.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import anyio
import anyio.to_thread
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from checkpoints.errors import JournalError
from checkpoints.history import NOTHING_SEEN, RunSummary
from checkpoints.journal import Journal
from checkpoints.stores import is_there
from checkpoints.tally import NOTHING, Subtotal
from cli.session.control_client import heard
from cli.session.journal import open_existing
from cli.session.queue import NOTE, queued_runs
from cli.session.run_view import FleetGroup, RunView, ended_facts
from cli.settings.settings import KnownBillings, Settings, known_billings
from cli.show.progress import looks, show_looks
from cli.terminal.exits import Exit, code_of
from cli.terminal.layout import Hanging, one_line, render, steps_list
from cli.terminal.screen import Screen
from cli.terminal.texts import WHOLE, CatalogueLanguage, duration, printable, rate
from texts.said import Quantity, Said, command_line, counted, in_clauses, said, text_of


@dataclass(slots=True)
class FleetJournal:
    """An open journal that is looked at again and again."""

    journal: Journal
    _before: Mapping[int, RunSummary] = field(default_factory=lambda: NOTHING_SEEN)

    async def look(self, known: KnownBillings, *, recount: bool = True) -> list[RunView]:
        """All of its runs, the oldest first; rows are counted as `Overview.look` says. Raises `JournalError`."""
        # The queue first: what has left it since is seen to work, or to have ended.
        queued = await queued_runs(self.journal)
        found = await self.journal.history.overview(NOTE, self._before, recount=recount)
        self._before = {one.run.run_id: one for one in found}
        now = datetime.now(UTC)
        return [
            RunView(
                **{each.name: getattr(one, each.name) for each in fields(one)},
                live=live.status if one.holder and (live := heard(one.told)[0]) else None,
                name=known.name_of(one.run),
                profile=known.profile_of(one.run),
                journal=self.journal.name,
                is_shared=self.journal.address.is_shared,
                queued=queued.get(one.run.name),
                now=now,
            )
            for one in found
        ]


def run_facts(one: RunView) -> dict[str, object]:
    """The facts of a run, for scripts and for the page; sums are plain decimals."""
    run, holder, queued = one.run, one.holder, one.queued
    return {
        "run": run.name,
        "job": run.job,
        "target": run.target,
        "profile": one.profile,
        "journal": one.journal,
        "group": one.group.name.lower(),
        "stage": one.stage,
        "holder": holder and {"host": holder.host, "process": holder.process, "since": one.began_at},
        "queue": queued and queued.facts,
        "waits_for": one.waits_for,
        "paused": run.paused_at and {"since": run.paused_at, "by": run.paused_by},
        "ended": ended_facts(run),
        "taken_back": one.totals.taken_back,
        **_progress(one),
        "needs": [{"what": need.kind, "rows": need.rows, "text": need.sentence} for need in one.needs],
    }


def _progress(one: "RunView | FleetView") -> dict[str, object]:
    return {
        "rows": one.rows,
        "done": one.done,
        "entered": format(one.entered, "f"),
        "standing": format(one.standing.amount, "f"),
        "per_second": round(one.per_second, 2),
        "seconds_left": None if one.seconds_left is None else round(one.seconds_left),
    }


ENDED_SHOWN: Final = 10
"""The latest runs that have ended, which are shown; the others are counted."""

_HEAD: Final = (
    *(said("billing"), said("name"), said("job"), said("stage")),
    *(said("rows"), "%", said("rows/s"), said("left")),
)
_JOB, _FIRST_NUMBER = 2, 4
_GAP: Final = 2
_NARROWEST: Final = 20
"""Columns that the name of a billing has at least; where there are fewer, the job is not shown."""

_STYLES: Final = {
    FleetGroup.PERSON: "yellow",
    FleetGroup.WORKING: "green",
    FleetGroup.WAITING: "",
    FleetGroup.ENDED: "dim",
}


@dataclass(frozen=True, slots=True)
class FleetView:
    """All runs at one moment, what needs a person first and of each group the newest first, and what they come to.

    On a screen it is a table of its width, in which a name that is too long is cut.
    """

    runs: Sequence[RunView]
    groups: Mapping[FleetGroup, int]
    billings: int
    needs_at_work: int
    """Those of the runs that need a person which are worked on meanwhile."""
    rows: int
    done: int
    entered: Decimal
    standing: Subtotal
    per_second: float
    seconds_left: float | None
    """Those of the last run at the present pace, None where nobody knows."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        more = max(self.groups[FleetGroup.ENDED] - ENDED_SHOWN, 0)
        runs = self.runs[: len(self.runs) - more]
        lines = [[render(text, "dim") for text in _HEAD], *map(_cells, runs)]
        widths = [max(cell.cell_len for cell in column) for column in zip(*lines, strict=True)]
        # The billing gets what the others leave of the room.
        room = options.max_width - sum(width + _GAP for width in widths[1:])
        is_narrow = room < min(widths[0], _NARROWEST)
        if is_narrow:
            room += widths[_JOB] + _GAP
        widths[0] = max(min(widths[0], room), 1)
        for one, cells in zip([None, *runs], lines if runs else (), strict=False):
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
                cell.truncate(width, overflow="ellipsis")
                cell.align("right" if place >= _FIRST_NUMBER else "left", width)
            if is_narrow:
                del cells[_JOB]
            yield one_line(Text(" " * _GAP).join(cells))
            if one and one.waits_for:
                yield Hanging(Text("  … ", "dim"), render(one.waits_for, "dim", 300))
            if one and one.needs:
                needs = in_clauses([need.sentence for need in one.needs])
                yield Hanging(Text("  ! ", "bold yellow"), render(needs, "yellow", 300))
        if more:
            yield render(counted("and {n} more that [has|have] ended", more), "dim")
        yield Text("")
        for sentence in sums_lines(self):
            yield Hanging(Text(""), render(sentence, "bold"))


def view_of(runs: Iterable[RunView]) -> FleetView:
    ordered = sorted(runs, key=lambda one: one.run.created_at, reverse=True)
    ordered.sort(key=lambda one: (one.group, one.has_ended))
    counted_runs = [one for one in ordered if not one.is_discarded]
    pace = sum(one.per_second for one in ordered)
    left = sum(one.totals.count_where(open=True) for one in counted_runs)
    each = [one.seconds_left for one in ordered if one.seconds_left is not None]
    groups = [one.group for one in ordered]
    return FleetView(
        ordered,
        {group: groups.count(group) for group in FleetGroup},
        billings=len({one.run.target for one in ordered}),
        needs_at_work=sum(one.group is FleetGroup.PERSON and one.is_at_work for one in ordered),
        rows=sum(one.rows for one in counted_runs),
        done=sum(one.done for one in counted_runs),
        entered=sum((one.entered for one in ordered if not one.is_undo), Decimal(0)),
        # An undo is a run of its own: what it has taken back is no more in what stands of the other.
        standing=sum((one.standing for one in ordered if not one.is_undo), NOTHING),
        per_second=pace,
        # A billing is as slow as it is: the last one is awaited, however fast all of them are together.
        seconds_left=max(left / pace, *each) if pace and each else None,
    )


def _cells(one: RunView) -> list[Text]:
    style = _STYLES[one.group]
    return [
        Text(one.name, style),
        Text(one.run.name, "bold"),
        Text(one.run.job),
        render(one.where, style),
        render(said("{done} of {rows}", done=Quantity(one.done), rows=Quantity(one.rows))),
        # 100 only where all are done.
        Text(str(one.done * 100 // one.rows) if one.run.frozen_at and one.rows else "–"),
        Text(rate(one.per_second) if one.is_held else "–"),
        Text("–" if one.seconds_left is None else duration(one.seconds_left)),
    ]


def sums_lines(view: FleetView, language: CatalogueLanguage | None = None) -> Iterator[Said]:
    """How many billings and runs there are, and what they come to; for the reader, or of that language."""
    groups = view.groups
    kinds = (
        counted("{n} run[s] [needs|need] a person", groups[FleetGroup.PERSON]),
        counted("of which {n} [works|work] meanwhile", view.needs_at_work),
        counted("{n} [works|work]", groups[FleetGroup.WORKING]),
        counted("{n} [waits|wait]", groups[FleetGroup.WAITING]),
        counted("{n} [has|have] ended", groups[FleetGroup.ENDED]),
    )
    there = tuple(one for one in kinds if one.n)
    yield counted("{n} billing[s]: {kinds}", view.billings, kinds=there)
    yield said(
        "{done} of {rows} rows done, {sum} entered, {rate} rows/s, left: {left}",
        done=Quantity(view.done),
        rows=Quantity(view.rows),
        sum=view.standing.amount,
        rate=rate(view.per_second, language),
        left="–" if view.seconds_left is None else duration(view.seconds_left),
    )


@dataclass(slots=True)
class _Fleet:
    """The journals of all billings, open; `unread` has the errors of those that cannot be read, by their names."""

    known: KnownBillings
    journals: list[FleetJournal] = field(default_factory=list)
    unread: dict[str, JournalError] = field(default_factory=dict)

    async def open(self, settings: Settings, stack: AsyncExitStack) -> None:
        """Raises `JournalAbsent` where there is no journal, or the error of one if all fail."""
        for place in self.known.journals:
            try:
                # A billing of which nothing was run yet has no journal.
                if len(self.known.journals) == 1 or await anyio.to_thread.run_sync(is_there, place):
                    self.journals.append(FleetJournal(await stack.enter_async_context(open_existing(place))))
            except JournalError as error:
                self.unread[str(place)] = error
        if not self.journals:
            if self.unread:
                raise next(iter(self.unread.values()))
            await stack.enter_async_context(open_existing(settings.journal.value))

    async def look(self) -> FleetView:
        """All runs at this moment. Raises the error of a journal where none can be read."""
        runs: list[RunView] = []
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

    def screen(self, view: FleetView) -> RenderableType:
        parts: list[RenderableType] = [view]
        parts += [
            Hanging(Text("! ", "bold yellow"), render(said("not shown: {why}", why=error), limit=WHOLE))
            for error in self.unread.values()
        ]
        if needing := next((one for one in view.runs if one.needs), None):
            # What leads to the journal of a run: its profile, else any one, for it has the journal of all of them.
            profile = needing.profile or next(iter(self.known.profiles.values()), [None])[0]
            place = ("--profile", profile) if profile else ("--journal", needing.journal)
            steps = [(command_line("status", needing.run.name, *place), said("see what a run needs"))]
            parts.append(steps_list(steps))
        return Group(*parts)

    def facts(self, view: FleetView) -> dict[str, object]:
        return {
            "journals": [one.journal.name for one in self.journals if one.journal.name not in self.unread],
            "unread": {name: text_of(error) for name, error in self.unread.items()},
            "runs": [run_facts(one) for one in view.runs],
            "sums": {
                "billings": view.billings,
                "runs": {group.name.lower(): number for group, number in view.groups.items()},
                **_progress(view),
            },
        }


async def status_all(settings: Settings, screen: Screen, *, again: bool) -> Exit:
    """Show all billings once, or `again` and again, until nobody works on a run and none is in a queue.

    A terminal is redrawn; otherwise each change prints the sums, or with `--json` an object. The exit code is that of
    a journal that cannot be read. Raises `CommandRefused` and `JournalError`.
    """
    as_json, before = screen.voice.as_json, None
    redraws = again and screen.out.is_terminal and not as_json
    fleet = _Fleet(known_billings(settings, os.environ))
    async with AsyncExitStack() as stack:
        await fleet.open(settings, stack)
        views = looks(fleet.look, lambda view: any(one.holder or one.queued for one in view.runs))
        if redraws:
            await show_looks((fleet.screen(view) async for view in views), screen)
        elif again:
            async for view in views:
                now = [(one.run, one.totals, one.holder, one.queued) for one in view.runs]
                if now != before and as_json:
                    screen.emit(fleet.facts(view))
                elif now != before:
                    line = printable(in_clauses([*sums_lines(view)]), WHOLE)
                    screen.out.print(line, markup=False, soft_wrap=True)
                before = now
        if redraws or not again:
            view = await fleet.look()
            if as_json:
                screen.emit(fleet.facts(view))
            else:
                screen.show(fleet.screen(view))
        return next((code_of(error) for error in fleet.unread.values()), Exit.DONE)
