"""A sheet of a workbook as a source of rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import FAULTS, Row, RowPage, Source
from engine.sources.raw.original import Original, empty, proven
from engine.sources.raw.sample import Sample
from engine.sources.raw.source import bare_names, check_names, label_of, paged, wrong_width
from engine.sources.workbook.cells import CellFault, address
from engine.sources.workbook.workbook import Book, SheetRow
from texts.remedies import setting
from texts.said import Quantity, said

_MOST_NAMES = 20
_MOST_SHEETS = 200
"""Sheets that are looked into for the one that is not empty; each look opens the workbook again."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The sheet, its column names, and the row of its header, 0 for none."""

    sheet: str
    header: tuple[str, ...]
    row: int


class SheetRows(Source):
    """A sheet as a `Source`: its first non-empty row is the header, unless `columns` are given.

    A row's line is its number in the sheet, and the cursor is the number of the last row read. Empty rows are
    skipped; a row with an unreadable cell is refused, with the cell's address. With `sheet` "", the only non-empty
    sheet is read; of a workbook that was checked, the sheet `table`, or else the first.
    """

    __slots__ = ("_book", "_columns", "_layout", "_original", "_page_rows", "_sheet", "_table")

    def __init__(
        self,
        original: Original,
        book: Book,
        *,
        sheet: str = "",
        table: str = "",
        columns: Sequence[str] = (),
        page_rows: int = 1000,
    ) -> None:
        self._original = original
        self._book = book
        self._sheet = sheet
        self._table = table
        self._columns = tuple(columns)
        self._page_rows = page_rows
        self._layout: _Layout | None = None

    @property
    def name(self) -> str:
        """The name of the original."""
        return self._original.name

    @property
    def digest(self) -> str:
        """SHA-256 of the workbook's bytes. Raises `InputRefused`."""
        return self._original.digest

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns. Raises `InputRefused`."""
        return self._read_layout().header

    @property
    def sheet(self) -> str:
        """The name of the sheet. Raises `InputRefused`."""
        return self._read_layout().sheet

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`, naming the cell where there is one."""
        entries = self._entries(self._read_layout())
        yield from proven(self._original, paged(self.name, entries, after, self._page_rows))

    def _entries(self, layout: _Layout) -> Iterator[Row | Refusal]:
        width = len(layout.header)
        blank = [""] * width
        for row in self._book.rows(layout.sheet):
            if row.number <= layout.row:
                continue
            cells = [cell for cell in row.cells if isinstance(cell, str)]
            truths: frozenset[int] = frozenset()
            if len(cells) < len(row.cells):
                if any(isinstance(cell, CellFault) for cell in row.cells):
                    yield _faulty(row, layout.header)
                    continue
                truths = frozenset(place for place, cell in enumerate(row.cells) if isinstance(cell, bool))
                cells = _written(row)
            if any(map(str.strip, cells[width:])):
                yield wrong_width(row.number, cells, width)
            elif any(map(str.strip, cells)):
                yield Row(row.number, tuple(cells[:width] + blank[len(cells) :]), truths)

    def _read_layout(self) -> _Layout:
        if self._layout is None:
            sheet = self._chosen()
            if self._columns:
                self._layout = _Layout(sheet, self._columns, 0)
            else:
                first = next((row for row in self._book.rows(sheet) if _says_something(row)), None)
                if first is None:
                    raise empty(said("{file}, sheet {sheet!r}", file=self.name, sheet=sheet))
                self._layout = _Layout(sheet, self._names(sheet, first), first.number)
        return self._layout

    def _chosen(self) -> str:
        names = self._book.sheets
        was_checked = any(name.strip().casefold() == FAULTS for name in names)
        wanted = self._sheet or (was_checked and (self._table or names[0])) or ""
        if not wanted:
            if len(names) > _MOST_SHEETS:
                raise InputRefused(
                    "{file} has {sheets} sheets: {names}. Name the one to read with {flag}",
                    file=self.name,
                    sheets=Quantity(len(names)),
                    names=_listed(names),
                    flag=setting("sheet", "NAME"),
                )
            return self._only(self._book.filled())
        plain = wanted.strip().casefold()
        for name in names:
            if name.strip().casefold() == plain:
                return name
        raise InputRefused(
            "{file} has no sheet {sheet!r}; it has: {names}", file=self.name, sheet=wanted, names=_listed(names)
        )

    def _only(self, filled: Sequence[str]) -> str:
        if not filled:
            raise empty(self.name)
        if len(filled) > 1:
            raise InputRefused(
                "{file} has {sheets} sheets that hold something: {names}. Name the one to read with {flag}",
                file=self.name,
                sheets=Quantity(len(filled)),
                names=_listed(filled),
                flag=setting("sheet", "NAME"),
            )
        return filled[0]

    def _names(self, sheet: str, row: SheetRow) -> tuple[str, ...]:
        if merged := self._book.merged(sheet, row.number):
            raise InputRefused(
                "{file}: the cells {cells} are merged, and row {row} is the header: which column has which name "
                "cannot be told. Unmerge them and name every column",
                file=self.name,
                cells=merged,
                row=row.number,
            )
        for place, cell in enumerate(row.cells):
            if isinstance(cell, CellFault):
                raise InputRefused(
                    "{file}: the cell {cell} of the header {reason}",
                    file=self.name,
                    cell=address(place, row.number),
                    reason=cell.reason,
                )
        names = _written(row)
        while not names[-1].strip():
            names.pop()
        check_names(
            said("{file}, sheet {sheet!r}", file=self.name, sheet=sheet),
            names,
            line=said("row {row}, the first that is not empty,", row=row.number),
            cell=lambda place: address(place - 1, row.number),
        )
        return tuple(names)


def open_sheet(sample: Sample, book: Book) -> tuple[Source, tuple[str, ...]]:
    """The sheet that the layout names, and a note on how it is read. Raises `InputRefused`."""
    columns = bare_names(sample.layout.columns)
    layout = sample.layout
    rows = SheetRows(
        sample.original, book, sheet=layout.sheet, table=layout.table, columns=columns, page_rows=sample.page_rows
    )
    return rows, (said("{format}, sheet {sheet!r}", format=book.words, sheet=rows.sheet),)


def _says_something(row: SheetRow) -> bool:
    return any(not isinstance(cell, str) or cell.strip() for cell in row.cells)


def _written(row: SheetRow) -> list[str]:
    """The cells of a row as texts, booleans as a sheet displays them; "" for an unreadable cell."""
    return [
        cell if isinstance(cell, str) else str(cell).upper() if isinstance(cell, bool) else "" for cell in row.cells
    ]


def _faulty(row: SheetRow, header: Sequence[str]) -> Refusal:
    place, fault = next((place, cell) for place, cell in enumerate(row.cells) if isinstance(cell, CellFault))
    cells = _written(row)
    column = header[place] if place < len(header) else None
    reason = said("the cell {cell} {reason}", cell=address(place, row.number), reason=fault.reason)
    return Refusal(row.number, column, label_of(cells), reason, tuple(cells))


def _listed(names: Sequence[str]) -> str:
    named = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    if len(names) <= _MOST_NAMES:
        return named
    return said("{named} and {more} more", named=named, more=Quantity(len(names) - _MOST_NAMES))
