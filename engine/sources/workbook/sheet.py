"""A sheet of a workbook as a table, whatever the workbook's format, and the faults of its cells."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import FAULTS, Row
from engine.sources.raw.original import empty
from engine.sources.raw.sample import Layout, Sample
from engine.sources.raw.source import LONGEST_CELL, Table, bare_names, check_names, label_of, wrong_width
from engine.sources.workbook.cells import Cell, CellFault, address
from texts.remedies import setting
from texts.said import Quantity, said, wording

LAST_ROW: Final = 1_048_576
LAST_COLUMN: Final = 16_384
"""The size of the largest sheet in Excel and LibreOffice."""
_MOST_NAMES: Final = 20
_MOST_SHEETS: Final = 200
"""Sheets that are looked into for the one that is not empty; each look opens the workbook again."""


class SheetRow(NamedTuple):
    """A non-empty row of a sheet: its number from 1, and its cells from column A, "" for empty ones.

    The last cell is not empty.
    """

    number: int
    cells: list[Cell]

    @property
    def written(self) -> list[str]:
        """The cells as texts, booleans as a sheet displays them; "" for an unreadable cell."""
        return [
            cell if isinstance(cell, str) else str(cell).upper() if isinstance(cell, bool) else ""
            for cell in self.cells
        ]

    @property
    def fault(self) -> tuple[int, CellFault] | None:
        """The place of the first unreadable cell, and what is wrong with it."""
        return next(((place, cell) for place, cell in enumerate(self.cells) if isinstance(cell, CellFault)), None)


@dataclass(frozen=True, slots=True)
class Book:
    """A workbook. Each of its functions reads it again, as a stream, and may raise `InputRefused`.

    `words` name its format, `sheets` its sheets of cells, in order, and `filled` those that are not empty. `rows` are
    the non-empty rows of a sheet, in order; `merged` is a range of merged cells that touches a row, such as A1:B1,
    None for none.
    """

    words: str
    sheets: tuple[str, ...]
    filled: Callable[[], Sequence[str]]
    rows: Callable[[str], Iterator[SheetRow]]
    merged: Callable[[str, int], str | None]


def open_sheet(sample: Sample, book: Book) -> Table:
    """The sheet of a workbook that the layout names, as a table; its first non-empty row is the header.

    With no sheet named, the only non-empty one is read; of a workbook that was checked, the one of `Layout.table`, or
    else the first. A row's line is its number in the sheet. A row with an unreadable cell is refused, with the cell's
    address. Raises `InputRefused`.
    """
    sheet = _chosen(sample.name, book, sample.layout)
    header, above = bare_names(sample.layout.columns), 0
    if not header:
        filled = (
            row for row in book.rows(sheet) if any(not isinstance(cell, str) or cell.strip() for cell in row.cells)
        )
        first = next(filled, None)
        if first is None:
            raise empty(said("{file}, sheet {sheet!r}", file=sample.name, sheet=sheet))
        header, above = _names(sample.name, book, sheet, first), first.number
    notes = (said("{format}, sheet {sheet!r}", format=book.words, sheet=sheet),)
    return Table(header, lambda: _entries(book.rows(sheet), header, above), notes)


def _entries(rows: Iterator[SheetRow], header: Sequence[str], above: int) -> Iterator[Row | Refusal]:
    width = len(header)
    blank = [""] * width
    for row in rows:
        if row.number <= above:
            continue
        cells = [cell for cell in row.cells if isinstance(cell, str)]
        truths: frozenset[int] = frozenset()
        if len(cells) < len(row.cells):
            cells = row.written
            if row.fault:
                place, fault = row.fault
                reason = said("the cell {cell} {reason}", cell=address(place, row.number), reason=fault.reason)
                column = header[place] if place < width else None
                yield Refusal(row.number, column, label_of(cells), reason, tuple(cells))
                continue
            truths = frozenset(place for place, cell in enumerate(row.cells) if isinstance(cell, bool))
        if any(map(str.strip, cells[width:])):
            yield wrong_width(row.number, cells, width)
        elif any(map(str.strip, cells)):
            yield Row(row.number, tuple(cells[:width] + blank[len(cells) :]), truths)


def _chosen(file: str, book: Book, layout: Layout) -> str:
    names = book.sheets
    was_checked = any(name.strip().casefold() == FAULTS for name in names)
    wanted = layout.sheet or (was_checked and (layout.table or names[0])) or ""
    for name in names:
        if wanted and name.strip().casefold() == wanted.strip().casefold():
            return name
    if wanted:
        no_sheet = wording("{file} has no sheet {sheet!r}; it has: {names}")
        raise InputRefused(no_sheet, file=file, sheet=wanted, names=_listed(names))
    several = wording("{file} has {sheets} sheets: {names}. Name the one to read with {flag}")
    found: Sequence[str] = names
    if len(names) <= _MOST_SHEETS:
        several = wording("{file} has {sheets} sheets that hold something: {names}. Name the one to read with {flag}")
        found = book.filled()
    if not found:
        raise empty(file)
    if len(found) > 1:
        flag, sheets = setting("sheet", "NAME"), Quantity(len(found))
        raise InputRefused(several, file=file, sheets=sheets, names=_listed(found), flag=flag)
    return found[0]


def _names(file: str, book: Book, sheet: str, row: SheetRow) -> tuple[str, ...]:
    """The names of the columns, by the first row."""
    if merged := book.merged(sheet, row.number):
        raise InputRefused(
            "{file}: the cells {cells} are merged, and row {row} is the header: which column has which name "
            "cannot be told. Unmerge them and name every column",
            file=file,
            cells=merged,
            row=row.number,
        )
    if row.fault:
        place, fault = row.fault
        unreadable, cell = wording("{file}: the cell {cell} of the header {reason}"), address(place, row.number)
        raise InputRefused(unreadable, file=file, cell=cell, reason=fault.reason)
    names = row.written
    while not names[-1].strip():
        names.pop()
    check_names(
        said("{file}, sheet {sheet!r}", file=file, sheet=sheet),
        names,
        line=said("row {row}, the first that is not empty,", row=row.number),
        cell=lambda place: said("cell {cell}", cell=address(place - 1, row.number)),
    )
    return tuple(names)


def _listed(names: Sequence[str]) -> str:
    named = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    if len(names) <= _MOST_NAMES:
        return named
    return said("{named} and {more} more", named=named, more=Quantity(len(names) - _MOST_NAMES))


# ---- faults of cells -----------------------------------------------------------------------------------------------

NO_VALUE: Final = CellFault(
    said("holds a formula without its value: open the workbook in Excel or LibreOffice, save it, and take that file")
)
"""A formula without a calculated value."""
CONTRADICTS_ITSELF: Final = CellFault(
    said(
        "has a value that is not of the kind that it names: open the workbook in Excel or LibreOffice, save it, and "
        "take that file"
    )
)
"""A cell with an ambiguous value: two values, or one that does not match its type."""


def an_error(error: str) -> CellFault:
    return CellFault(said("holds the error {error}", error=error[:40]))


def bad_value(error: ValueError) -> CellFault:
    """The fault of a cell whose value does not match its type."""
    return CellFault(said("holds what its kind does not allow: {error}", error=error))


def too_long(name: str, column: int, row: int) -> InputRefused:
    longer, cell = wording("{file}, cell {cell} is longer than {most} characters"), address(column, row)
    return InputRefused(longer, file=name, cell=cell, most=Quantity(LONGEST_CELL))


def out_of_order(name: str, column: int, row: int) -> InputRefused:
    """The refusal of a workbook with a cell out of order, or outside the largest sheet."""
    broken = wording("{file} is broken: the cell {cell} is out of its order, or beyond any sheet")
    return InputRefused(broken, file=name, cell=address(column, row))
