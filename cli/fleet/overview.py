"""All billings at one moment: where each run stands, how far it is, how fast, and what it needs of a person.

Facts come from the journals and their queues alone: no billing and no process is asked, so all machines see the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.overview import NOTHING_SEEN, RunSummary
from checkpoints.records import Stage, Totals
from checkpoints.states import State, states_where
from cli.fleet.queue import NOTE, QueuedRun, queued_runs
from cli.session.stages import CLOSED, ENDED, STOPPED, TAKEN_BACK, ended_facts, stage_of
from cli.settings.known_billings import KnownBillings
from cli.terminal.language import CatalogueLanguage
from cli.terminal.layout import Hanging, one_line, render
from cli.terminal.names import STAGE_NAMES
from cli.terminal.texts import duration, printable, rate, short_moment
from jobs.spec.undo_words import UNDO
from texts.said import Quantity, Said, counted, in_clauses, said

_IN_EFFECT: Final = states_where(in_effect=True)
_LONGEST_HOST: Final = 16


class FleetGroup(IntEnum):
    """Where a run stands in the list, the first first."""

    PERSON = 0
    WORKING = 1
    WAITING = 2
    ENDED = 3

    @property
    def word(self) -> str:
        """The word for scripts."""
        return self.name.lower()


class NeedKind(StrEnum):
    """What a person has to see to, by its word for scripts."""

    DECIDE = "decide"
    REJECTED = "rejected"
    REFUSED = "refused"
    LEFT = "left"
    IDLE = "idle"
    UNAPPROVED = "unapproved"


@dataclass(frozen=True, slots=True)
class Need:
    """What a person has to see to, and how many rows it is about."""

    kind: NeedKind
    rows: int
    sentence: Said


@dataclass(frozen=True, slots=True)
class FleetRun:
    """A run at one moment. `name` is what its billing is called, `queued` its place in the queue, None for none.

    A journal that `is_shared` has a queue, from which workers of several machines take runs.
    """

    summary: RunSummary
    name: str
    profile: str | None
    journal: str
    is_shared: bool
    queued: QueuedRun | None
    now: datetime

    @property
    def totals(self) -> Totals:
        """Its rows by state."""
        return self.summary.totals

    @property
    def stage(self) -> str:
        """The stage of the run, as `status` has it."""
        return stage_of(self.summary.run, self.totals, is_held=self.summary.holder is not None)

    @property
    def has_ended(self) -> bool:
        """Whether nobody has anything to do for it, but for rows that were not entered."""
        run = self.summary.run
        is_over = run.purged_at is not None or run.stage is Stage.DISCARDED
        return self.summary.holder is None and (is_over or self.stage in ENDED)

    @property
    def rows(self) -> int:
        """All of its rows; a corrected one is counted once, and what a run that has ended never sent is none."""
        return self.totals.frozen - self.totals.count(State.REPLACED) - self.totals.unsent

    @property
    def done(self) -> int:
        """The rows with which nothing is left to do."""
        return self.rows - self.totals.count_where(settled=False)

    @property
    def entered(self) -> Decimal:
        """The money that is in the billing."""
        return sum((self.totals.amounts.get(state, Decimal(0)) for state in _IN_EFFECT), Decimal(0))

    @property
    def seconds_left(self) -> float | None:
        """How long it takes at the pace of the last minute, None where nobody knows."""
        run, pace = self.summary.run, self.summary.per_second
        return self.totals.count_where(open=True) / pace if pace and run.frozen_at else None

    @property
    def group(self) -> FleetGroup:
        """Where it stands in the list."""
        if self.needs:
            return FleetGroup.PERSON
        if self.summary.holder is not None and self.summary.run.paused_at is None:
            return FleetGroup.WORKING
        return FleetGroup.ENDED if self.has_ended else FleetGroup.WAITING

    @property
    def needs(self) -> Sequence[Need]:
        """What a person has to see to."""
        run = self.summary.run
        return [] if run.purged_at or run.stage is Stage.DISCARDED else list(self._needs())

    def _needs(self) -> Iterator[Need]:
        totals = self.totals
        if manual := totals.count(State.MANUAL):
            yield Need(NeedKind.DECIDE, manual, counted("{n} row to decide on", "{n} rows to decide on", manual))
        if self.summary.run.ended_at:
            return
        if rejected := totals.count(State.REJECTED):
            yield Need(NeedKind.REJECTED, rejected, counted("{n} row rejected", "{n} rows rejected", rejected))
        if totals.refused:
            refused = counted("{n} row of the input refused", "{n} rows of the input refused", totals.refused)
            yield Need(NeedKind.REFUSED, totals.refused, refused)
        run = self.summary.run
        rests = self.summary.holder is None and self.queued is None and not self.has_ended
        if not rests or run.paused_at is not None:
            return
        left = totals.count_where(open=True)
        note = self.summary.note
        if note is not None and note.given_at >= (self.summary.began_at or note.given_at):
            yield Need(NeedKind.LEFT, left, said("a worker has left it: {why}", why=note.answer))
        elif self.stage == STOPPED:
            idle = said("nobody works on it, and it is in no queue") if self.is_shared else said("nobody works on it")
            yield Need(NeedKind.IDLE, left, idle)
        elif run.frozen_at is None:
            yield Need(NeedKind.IDLE, left, said("its rows are not all read, and nobody works on it"))
        else:
            yield Need(NeedKind.UNAPPROVED, left, said("nobody has said yes to it"))

    @property
    def where(self) -> Said:
        """Who works on it, or what it waits for, in few words."""
        holder, is_paused = self.summary.holder, self.summary.run.paused_at is not None
        if holder is not None:
            host = _short(holder.host)
            if is_paused:
                return said("paused on {host}", host=host)
            return said("on {host}, {process}", host=host, process=str(holder.process))
        if self.has_ended:
            return self._ended
        if is_paused:
            return said("paused")
        if self.queued is not None:
            return self._waits(self.queued)
        return STAGE_NAMES[self.stage]

    @property
    def _ended(self) -> Said:
        """How it has ended; of one that was ended for good, by whom, when, and how much of it is in the billing."""
        run, standing = self.summary.run, self.totals.count(*_IN_EFFECT) - self.totals.taken_back
        if run.ended_at is None or self.stage not in {CLOSED, TAKEN_BACK}:
            return STAGE_NAMES[self.stage]
        return said(
            "{stage} {time} by {who}; in the billing: {n}",
            stage=STAGE_NAMES[self.stage],
            time=short_moment(run.ended_at, self.now),
            who=printable(run.ended_by.partition("@")[0], _LONGEST_HOST) or "?",
            n=Quantity(standing),
        )

    def _waits(self, queued: QueuedRun) -> Said:
        """What it waits for in the queue."""
        if queued.given_out:
            return said("being taken up")
        run = self.summary.run
        if queued.not_before is None or queued.not_before <= self.now:
            since = queued.since or run.approved_at or run.created_at
            return said("queued since {time}", time=short_moment(since, self.now))
        until = short_moment(queued.not_before, self.now)
        return (
            said("waits until {time}", time=until) if "hours" in run.policy else said("again at {time}", time=until)
        )


def _short(host: str) -> str:
    """The first part of a host's name; an address has no such part."""
    first = host.partition(".")[0]
    return printable(host if first.isdecimal() else first, _LONGEST_HOST)


@dataclass(frozen=True, slots=True)
class FleetSums:
    """What all runs come to. `seconds_left` is that of the last one at the present pace, None where nobody knows."""

    billings: int
    runs: Mapping[FleetGroup, int]
    rows: int
    done: int
    entered: Decimal
    per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class FleetView:
    """All runs at one moment, what needs a person first, and of each group the newest first."""

    runs: Sequence[FleetRun]
    sums: FleetSums

    @property
    def is_busy(self) -> bool:
        """Whether somebody works on a run, or takes one out of a queue."""
        return any(one.summary.holder is not None or one.queued is not None for one in self.runs)


@dataclass(slots=True)
class FleetJournal:
    """An open journal that is looked at again and again."""

    journal: Journal
    _before: Mapping[int, RunSummary] = field(default_factory=lambda: NOTHING_SEEN)

    async def look(self, known: KnownBillings, *, recount: bool = True) -> list[FleetRun]:
        """All of its runs, the oldest first; rows are counted as `Overview.look` says. Raises `JournalError`."""
        # The queue first: what has left it since is seen to work, or to have ended.
        queued = await queued_runs(self.journal.address)
        found = await self.journal.overview.look(NOTE, self._before, recount=recount)
        self._before = {one.run.run_id: one for one in found}
        now = datetime.now(UTC)
        return [
            FleetRun(
                one,
                known.name_of(one.run.target),
                known.profile_of(one.run.target),
                self.journal.name,
                self.journal.address.is_shared,
                queued.get(one.run.name),
                now,
            )
            for one in found
        ]


def view_of(runs: Iterable[FleetRun]) -> FleetView:
    """The view of all runs of several journals."""
    ordered = sorted(runs, key=lambda one: one.summary.run.created_at, reverse=True)
    ordered.sort(key=_place)
    return FleetView(ordered, _sums_of(ordered))


def _place(one: FleetRun) -> tuple[FleetGroup, bool]:
    return one.group, one.has_ended


def _sums_of(runs: Sequence[FleetRun]) -> FleetSums:
    counted_runs = [one for one in runs if one.summary.run.stage is not Stage.DISCARDED]
    pace = sum(one.summary.per_second for one in runs)
    left = sum(one.totals.count_where(open=True) for one in counted_runs)
    each = [one.seconds_left for one in runs if one.seconds_left is not None]
    # A billing is as slow as it is: the last one is awaited, however fast all of them are together.
    seconds = max(left / pace, *each) if pace and each else None
    groups = [one.group for one in runs]
    return FleetSums(
        billings=len({one.summary.run.target for one in runs}),
        runs={group: groups.count(group) for group in FleetGroup},
        rows=sum(one.rows for one in counted_runs),
        done=sum(one.done for one in counted_runs),
        # What an undo takes back is not subtracted: it is a run of its own.
        entered=sum((one.entered for one in runs if one.summary.run.job != UNDO), Decimal(0)),
        per_second=pace,
        seconds_left=seconds,
    )


# ---- for scripts --------------------------------------------------------------------------------------------------


def run_facts(one: FleetRun) -> dict[str, object]:
    """The facts of a run, for scripts and for the page; sums are plain decimals."""
    run, holder, queued = one.summary.run, one.summary.holder, one.queued
    return {
        "run": run.name,
        "job": run.job,
        "target": run.target,
        "profile": one.profile,
        "journal": one.journal,
        "group": one.group.word,
        "stage": one.stage,
        "holder": None
        if holder is None
        else {"host": holder.host, "process": holder.process, "since": one.summary.began_at},
        "queue": None
        if queued is None
        else {
            "since": queued.since,
            "not_before": queued.not_before,
            "given_out": queued.given_out,
            "attempts": queued.attempts,
            "priority": queued.priority,
        },
        "paused": None if run.paused_at is None else {"since": run.paused_at, "by": run.paused_by},
        "ended": ended_facts(run),
        "taken_back": one.totals.taken_back,
        "rows": one.rows,
        "done": one.done,
        "entered": format(one.entered, "f"),
        "per_second": round(one.summary.per_second, 2),
        "seconds_left": None if one.seconds_left is None else round(one.seconds_left),
        "needs": [{"what": need.kind, "rows": need.rows, "text": need.sentence} for need in one.needs],
    }


def sums_facts(sums: FleetSums) -> dict[str, object]:
    """The sums of all runs, for scripts and for the page."""
    return {
        "billings": sums.billings,
        "runs": {group.word: number for group, number in sums.runs.items()},
        "rows": sums.rows,
        "done": sums.done,
        "entered": format(sums.entered, "f"),
        "per_second": round(sums.per_second, 2),
        "seconds_left": None if sums.seconds_left is None else round(sums.seconds_left),
    }


# ---- all billings on one screen -----------------------------------------------------------------------------------


ENDED_SHOWN: Final = 10
"""The latest runs that have ended, which are shown; the others are counted."""

_HEAD: Final = (
    said("billing"),
    said("name"),
    said("job"),
    said("stage"),
    said("rows"),
    "%",
    said("rows/s"),
    said("left"),
)
_BILLING, _JOB, _FIRST_NUMBER = 0, 2, 4
_GAP: Final = 2
_NARROWEST: Final = 20
"""Columns that the name of a billing has at least; where there are fewer, the job is not shown."""

_STYLES: Final = {
    FleetGroup.PERSON: "yellow",
    FleetGroup.WORKING: "green",
    FleetGroup.WAITING: "",
    FleetGroup.ENDED: "dim",
}


class FleetTable:
    """The table of a view, in the width of the screen. A name that is too long for it is cut."""

    def __init__(self, view: FleetView) -> None:
        ended = [one for one in view.runs if one.group is FleetGroup.ENDED]
        self._more = len(ended[ENDED_SHOWN:])
        self._runs = view.runs[: len(view.runs) - self._more]
        self._sums = view.sums

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = [render(text, "dim") for text in _HEAD]
        lines = [list(_cells(one)) for one in self._runs]
        columns = range(len(_HEAD))
        widths = [max(cell_len(line[column].plain) for line in (head, *lines)) for column in columns]
        shown = _fitted(widths, options.max_width)
        if lines:
            yield _line(head, shown, widths)
        for one, cells in zip(self._runs, lines, strict=True):
            yield _line(cells, shown, widths)
            if one.needs:
                needs = in_clauses([need.sentence for need in one.needs])
                yield Hanging(Text("  ! ", "bold yellow"), render(needs, "yellow", 300))
        if self._more:
            more = counted("and {n} more that has ended", "and {n} more that have ended", self._more)
            yield render(more, "dim")
        yield Text("")
        for sentence in sums_lines(self._sums):
            yield Hanging(Text(""), render(sentence, "bold"))


def _fitted(widths: list[int], room: int) -> Sequence[int]:
    """The columns that are shown; the billing gets what the others leave of the room."""

    def rest(columns: Sequence[int]) -> int:
        return room - sum(widths[column] + _GAP for column in columns if column != _BILLING)

    shown = [*range(len(widths))]
    if rest(shown) < min(widths[_BILLING], _NARROWEST):
        shown.remove(_JOB)
    widths[_BILLING] = max(min(widths[_BILLING], rest(shown)), 1)
    return shown


def _line(cells: Sequence[Text], columns: Sequence[int], widths: Sequence[int]) -> Text:
    parts = [_padded(cells[column], widths[column], is_number=column >= _FIRST_NUMBER) for column in columns]
    return one_line(Text(" " * _GAP).join(parts))


def _padded(text: Text, width: int, *, is_number: bool) -> Text:
    text.truncate(width, overflow="ellipsis")
    missing = width - text.cell_len
    if is_number:
        text.pad_left(missing)
    else:
        text.pad_right(missing)
    return text


def _cells(one: FleetRun) -> Iterator[Text]:
    run, style = one.summary.run, _STYLES[one.group]
    yield Text(one.name, style)
    yield Text(run.name, "bold")
    yield Text(run.job)
    yield render(one.where, style)
    yield render(rows_done(one))
    yield Text(share(one.done, one.rows) if run.frozen_at else "–")
    yield Text(rate(one.summary.per_second) if one.summary.holder else "–")
    yield Text("–" if one.seconds_left is None else duration(one.seconds_left))


def rows_done(one: FleetRun) -> Said:
    """How many of the rows are done."""
    return said("{done} of {rows}", done=Quantity(one.done), rows=Quantity(one.rows))


def share(done: int, rows: int) -> str:
    """The share in per cent, 100 only where all are done."""
    return str(done * 100 // rows) if rows else "–"


def sums_lines(sums: FleetSums, language: CatalogueLanguage | None = None) -> Iterator[Said]:
    """How many billings and runs there are, and what they come to; for the reader, or of that language."""
    kinds = [_of_group(group, number) for group, number in sums.runs.items() if number]
    yield counted("{n} billing: {kinds}", "{n} billings: {kinds}", sums.billings, kinds=tuple(kinds))
    yield said(
        "{done} of {rows} rows done, {sum} entered, {rate} rows/s, left: {left}",
        done=Quantity(sums.done),
        rows=Quantity(sums.rows),
        sum=sums.entered,
        rate=rate(sums.per_second, language),
        left="–" if sums.seconds_left is None else duration(sums.seconds_left),
    )


def _of_group(group: FleetGroup, number: int) -> Said:
    match group:
        case FleetGroup.PERSON:
            return counted("{n} run needs a person", "{n} runs need a person", number)
        case FleetGroup.WORKING:
            return counted("{n} works", "{n} work", number)
        case FleetGroup.WAITING:
            return counted("{n} waits", "{n} wait", number)
        case FleetGroup.ENDED:
            return counted("{n} has ended", "{n} have ended", number)
