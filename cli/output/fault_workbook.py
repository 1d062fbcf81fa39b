"""A checked table as a workbook: its own rows, the faulty cells marked and commented, and a sheet that lists them.

It comes back as input: the column of faults and the sheet of faults are known by their name, and all other cells are
as they were (`engine/sources/exported.py`). Memory does not grow with the rows.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.output.item_files import OutputFile, in_a_cell, replacing
from cli.output.tables import SHEET_ROWS
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from engine.rows import FAULTS
from engine.sources.exported import harmless, is_of_export, named
from engine.sources.workbook.cells import address
from jobs.imports.subscriber import ValueFault
from texts.said import Quantity, in_clauses, said

MOST_COMMENTS: Final = 10_000
"""Comments of a workbook, which a spreadsheet keeps in memory; the column of faults has the reasons of all rows."""

_ROWS: Final = "rows"
"""The sheet of the table, where the input has none whose name is known."""
_LONGEST_NAME: Final = 31
_HEAD: Final = {"bold": True, "bg_color": "#DDE6F0", "bottom": 1}
_FAULT: Final = {"bg_color": "#F8C9C4"}
_WARNING: Final = {"bg_color": "#FCE8B2"}
_COLUMNS: Final = (
    said("line"),
    said("column"),
    said("cell"),
    said("what it is"),
    said("reason"),
    said("cell of this workbook"),
)
_WIDTHS: Final = (10, 22, 30, 14, 90, 14)
_WIDTH, _REASONS_WIDTH = 18, 70
_COMMENT: Final = {"author": "carbon-migrate", "width": 320, "font_size": 9}
_LONGEST: Final = 4_000
"""Characters of what is told in one cell or comment; the sheet of faults has each fault by itself."""
_LETTERS_A_LINE, _LINE_HEIGHT, _LEAST_HEIGHT = 48, 16, 34


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row of the input with what was found in it; `truths` are the places of cells that hold a boolean."""

    line: int | None
    cells: Sequence[str]
    faults: Sequence[ValueFault] = ()
    warnings: Sequence[ValueFault] = ()
    truths: frozenset[int] = frozenset()

    def found(self) -> Iterator[tuple[ValueFault, bool]]:
        """Its faults and its warnings, each with whether it is a fault."""
        yield from ((one, True) for one in self.faults)
        yield from ((one, False) for one in self.warnings)


class FaultWorkbook:
    """A checked table as it is written; `apart` is a folder for temporary files until it is closed."""

    def __init__(self, path: Path, apart: Path, header: Sequence[str], sheet: str = "") -> None:
        # Imported here: the import takes as long as the rest of a command.
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415
        from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # noqa: PLC0415

        self._errors: type[Exception] = XlsxWriterException
        self._book = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": str(apart)})
        self._book.use_zip64()
        self._table = self._book.add_worksheet(_sheet_name(sheet))
        self._list = self._book.add_worksheet(FAULTS)
        self._styles = {True: self._book.add_format(_FAULT), False: self._book.add_format(_WARNING)}
        self._places = {name.strip(): place for place, name in enumerate(header)}
        self._width = len(header)
        # An exported table is restored when it comes back: its cells are made harmless once more.
        self._spell = harmless if any(map(is_of_export, header)) else str
        self._row = self._listed = 1
        self.comments = 0
        self._closed = False
        self._head([*map(self._spell, header), named(FAULTS, header)])

    def write(self, rows: Iterable[CheckedRow]) -> None:
        """Write rows of the table; one without cells, as of a joined table, is only listed.

        Raises `CommandRefused` for more than a sheet holds, and for too long a text.
        """
        for row in rows:
            if not any(row.cells):
                self._list_found(row)
                continue
            if self._row >= SHEET_ROWS:
                raise CommandRefused(
                    said(
                        "a sheet holds {most} rows, and the table has more: check it in parts",
                        most=Quantity(SHEET_ROWS - 1),
                    )
                )
            self._write_cells(row)
            self._write_reasons(row)
            self._list_found(row, self._row + 1)
            self._row += 1

    def close(self) -> None:
        """Complete the file, which takes as long as its rows did. Raises `CommandRefused` if it cannot be written."""
        if self._closed:
            return
        self._closed = True
        self._table.autofilter(0, 0, self._row - 1, self._width)
        self._list.autofilter(0, 0, self._listed - 1, len(_COLUMNS) - 1)
        try:
            self._book.close()
        except self._errors as error:
            raise CommandRefused(said("the workbook cannot be written: {error}", error=error)) from error

    def _head(self, header: Sequence[str]) -> None:
        style = self._book.add_format(_HEAD)
        for place, name in enumerate(header):
            self._put(0, place, name, style)
        self._table.set_column(0, self._width - 1, _WIDTH)
        self._table.set_column(self._width, self._width, _REASONS_WIDTH)
        for place, (name, width) in enumerate(zip(_COLUMNS, _WIDTHS, strict=True)):
            self._list.write_string(0, place, in_a_cell(name), style)
            self._list.set_column(place, place, width)
        for sheet in (self._table, self._list):
            sheet.freeze_panes(1, 0)
            # A contract number is a text; a spreadsheet need not mark each as a mistake.
            sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})

    def _write_cells(self, row: CheckedRow) -> None:
        marked: dict[int, tuple[bool, list[str]]] = {}
        for fault, is_fault in row.found():
            place = self._place_of(fault)
            if place is not None:
                worst, reasons = marked.get(place, (False, []))
                marked[place] = (worst or is_fault, [*reasons, in_a_cell(fault.reason)])
        for place, cell in enumerate(row.cells[: self._width]):
            style = self._styles[marked[place][0]] if place in marked else None
            if place in row.truths:
                self._table.write_boolean(self._row, place, cell.casefold() == "true", style)
            elif cell:
                self._put(self._row, place, self._spell(cell), style)
            elif style is not None:
                self._table.write_blank(self._row, place, None, style)
        for place, (_, reasons) in marked.items():
            self._comment(place, _shortened("\n".join(reasons)))

    def _write_reasons(self, row: CheckedRow) -> None:
        reasons = [
            _with_column(fault) if is_fault else said("to be looked at: {reason}", reason=_with_column(fault))
            for fault, is_fault in row.found()
        ]
        if reasons:
            told = _shortened(in_a_cell(in_clauses(reasons)))
            self._put(self._row, self._width, told, self._styles[bool(row.faults)])

    def _list_found(self, row: CheckedRow, here: int | None = None) -> None:
        """Lines of the sheet of faults; a sheet that is full takes no more, and the table has them all."""
        for fault, is_fault in row.found():
            if self._listed >= SHEET_ROWS:
                return
            place, found = fault.place, self._place_of(fault)
            line = place.line if place.line is not None else row.line
            cells = (
                f"{place.table}:{line}" if place.table else str(line or ""),
                place.column,
                fault.cell,
                in_a_cell(said("fault") if is_fault else said("to be looked at")),
                in_a_cell(fault.reason),
                "" if here is None else address(self._width if found is None else found, here),
            )
            for column, text in enumerate(cells):
                if text:
                    self._list.write_string(self._listed, column, _writable(_shortened(text)))
            self._listed += 1

    def _comment(self, place: int, text: str) -> None:
        if self.comments < MOST_COMMENTS:
            lines = sum(1 + len(line) // _LETTERS_A_LINE for line in text.split("\n"))
            height = max(_LEAST_HEIGHT, (lines + 1) * _LINE_HEIGHT)
            self._table.write_comment(self._row, place, _writable(text), {**_COMMENT, "height": height})
            self.comments += 1

    def _place_of(self, fault: ValueFault) -> int | None:
        """The column of the table that a fault is of; None for a joined table, a constant or a whole row."""
        return None if fault.place.table else self._places.get(fault.place.column.strip())

    def _put(self, row: int, place: int, text: str, style: object = None) -> None:
        if self._table.write_string(row, place, _writable(text), style):
            raise CommandRefused(
                said(
                    "row {row}, column {column}: a cell of a workbook cannot hold so much text",
                    row=Quantity(row + 1),
                    column=place + 1,
                )
            )


@contextmanager
def fault_workbook(target: OutputFile, header: Sequence[str], sheet: str = "") -> Iterator[FaultWorkbook]:
    """A workbook that is put in place, mode 0600, when the context ends well, and discarded otherwise.

    Raises `CommandRefused` where it exists or cannot be written.
    """
    with replacing(target) as made, tempfile.TemporaryDirectory(prefix=f"{made.name}.", dir=made.parent) as apart:
        book = FaultWorkbook(made, Path(apart), header, sheet)
        try:
            yield book
        except BaseException:
            # The library closes its temporary files only on a complete save; the result is discarded.
            with suppress(CommandRefused, OSError):
                book.close()
            raise
        book.close()


def check_target(target: OutputFile) -> None:
    """Raise `CommandRefused` for a path that is no workbook's."""
    if target.path.suffix.casefold() != ".xlsx":
        raise CommandRefused(
            said("{path}: a checked table is written as a workbook; name it .xlsx", path=printable(target.path))
        )


def _with_column(fault: ValueFault) -> str:
    place = fault.place
    if place.table:
        return said(
            "{table}, line {line}, column {column}: {reason}",
            table=place.table,
            line=place.line or 0,
            column=place.column,
            reason=fault.reason,
        )
    return said("{column}: {why}", column=place.column, why=fault.reason) if place.column else fault.reason


def _sheet_name(wanted: str) -> str:
    """The name of the table's sheet: the one that is asked for, if a workbook can have it."""
    bad = set("[]:*?/\\") & set(wanted) or len(wanted) > _LONGEST_NAME or wanted.casefold() in {FAULTS, "history"}
    return _ROWS if bad or not wanted.strip("' ") or wanted.startswith("'") or wanted.endswith("'") else wanted


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _writable(text: str) -> str:
    """A text without what no file can hold: halves of characters."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
