"""All billings on one screen: a line for each run, below it what it needs of a person, and the sums of all."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from cli.fleet.overview import FleetGroup, FleetRun, FleetSums, FleetView
from cli.terminal.language import CatalogueLanguage
from cli.terminal.layout import Hanging, one_line, render
from cli.terminal.texts import duration, rate
from texts.said import Quantity, Said, counted, in_clauses, said

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
