"""A checked table as a workbook: its own rows, the faulty cells marked and commented, and a sheet that lists them.

It comes back as input: the column of faults and the sheet of faults are known by their name, and all other cells are
as they were (`engine/sources/exported.py`); each joined table has a sheet of its name. Memory does not grow with the
rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cli.output.item_files import OutputFile, in_a_cell, replacing
from cli.output.tables import SHEET_ROWS, written_workbook
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from engine.rows import FAULTS
from engine.sources.exported import harmless, is_of_export, named
from engine.sources.workbook.cells import address
from jobs.imports.column_map import TABLE_OF_STEP
from jobs.imports.subscriber import ValueFault
from texts.said import Quantity, in_clauses, said

# ---- a table as a sheet of a workbook -----------------------------------------------------------------------------


_HEAD: Final = {"bold": True, "bg_color": "#DDE6F0", "bottom": 1}
_FAULT: Final = {"bg_color": "#F8C9C4"}
_WARNING: Final = {"bg_color": "#FCE8B2"}
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


class MarkStyles:
    """The styles of a workbook, and how many comments it may still have."""

    def __init__(self, book: Any, comments: int) -> None:  # noqa: ANN401 - the library has no types
        self.head = book.add_format(_HEAD)
        self.marks = {True: book.add_format(_FAULT), False: book.add_format(_WARNING)}
        self.comments_left = comments


class MarkedSheet:
    """The sheet of a table; `of` is the name by which faults name a joined one, "" for the main one."""

    def __init__(self, sheet: Any, header: Sequence[str], styles: MarkStyles, of: str = "") -> None:  # noqa: ANN401
        self._sheet = sheet
        self._styles = styles
        self._of = of
        self._places = {name.strip(): place for place, name in enumerate(header)}
        self._width = len(header)
        # An exported table is restored when it comes back: its cells are made harmless once more.
        self._spell = harmless if any(map(is_of_export, header)) else str
        self._row = 1
        for place, name in enumerate([*map(self._spell, header), named(FAULTS, header)]):
            self._put(0, place, name, styles.head)
        sheet.set_column(0, self._width - 1, _WIDTH)
        sheet.set_column(self._width, self._width, _REASONS_WIDTH)
        keep_in_sight(sheet)

    def write(self, row: CheckedRow) -> None:
        """Write a row. Raises `CommandRefused` for more than a sheet holds, and for too long a text."""
        if self._row >= SHEET_ROWS:
            raise CommandRefused(
                "a sheet holds {most} rows, and the table has more: check it in parts", most=Quantity(SHEET_ROWS - 1)
            )
        self._write_cells(row)
        self._write_reasons(row)
        self._row += 1

    def place_of_next(self, fault: ValueFault) -> str:
        """The address of a fault's cell in the row that is written next, or of its reasons where it has none here."""
        place = self._place_of(fault)
        return address(self._width if place is None else place, self._row + 1)

    def close(self) -> None:
        """Let the columns filter; no row follows."""
        self._sheet.autofilter(0, 0, self._row - 1, self._width)

    def _write_cells(self, row: CheckedRow) -> None:
        marked: dict[int, tuple[bool, list[str]]] = {}
        for fault, is_fault in row.found():
            place = self._place_of(fault)
            if place is not None:
                worst, reasons = marked.get(place, (False, []))
                marked[place] = (worst or is_fault, [*reasons, in_a_cell(fault.reason)])
        for place, cell in enumerate(row.cells[: self._width]):
            style = self._styles.marks[marked[place][0]] if place in marked else None
            if place in row.truths:
                self._sheet.write_boolean(self._row, place, cell.casefold() == "true", style)
            elif cell:
                self._put(self._row, place, self._spell(cell), style)
            elif style is not None:
                self._sheet.write_blank(self._row, place, None, style)
        for place, (_, reasons) in marked.items():
            self._comment(place, shortened("\n".join(reasons)))

    def _write_reasons(self, row: CheckedRow) -> None:
        reasons = [
            _with_column(fault) if is_fault else said("to be looked at: {reason}", reason=_with_column(fault))
            for fault, is_fault in row.found()
        ]
        if reasons:
            told = shortened(in_a_cell(in_clauses(reasons)))
            self._put(self._row, self._width, told, self._styles.marks[bool(row.faults)])

    def _comment(self, place: int, text: str) -> None:
        if self._styles.comments_left:
            lines = sum(1 + len(line) // _LETTERS_A_LINE for line in text.split("\n"))
            height = max(_LEAST_HEIGHT, (lines + 1) * _LINE_HEIGHT)
            self._sheet.write_comment(self._row, place, writable(text), {**_COMMENT, "height": height})
            self._styles.comments_left -= 1

    def _place_of(self, fault: ValueFault) -> int | None:
        """The column of this table that a fault is of; None for another table, a constant or a whole row."""
        return None if fault.place.table != self._of else self._places.get(fault.place.column.strip())

    def _put(self, row: int, place: int, text: str, style: object = None) -> None:
        if self._sheet.write_string(row, place, writable(text), style):
            raise CommandRefused(
                "row {row}, column {column}: a cell of a workbook cannot hold so much text",
                row=Quantity(row + 1),
                column=place + 1,
            )


def keep_in_sight(sheet: Any) -> None:  # noqa: ANN401 - the library has no types
    """Keep the header of a sheet in sight, and let no text of digits be marked as a mistake."""
    sheet.freeze_panes(1, 0)
    sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})


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


def shortened(text: str) -> str:
    """A text that is not too long for a cell."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def writable(text: str) -> str:
    """A text without what no file can hold: halves of characters."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


# ---- a checked table as a workbook --------------------------------------------------------------------------------


MOST_COMMENTS: Final = 10_000
"""Comments of a workbook, which a spreadsheet keeps in memory; the column of faults has the reasons of all rows."""

MOST_OF_JOINED: Final = 50_000
"""Faults of joined tables that are kept in memory until these are written; all of them are listed at once."""

_ROWS: Final = "rows"
"""The sheet of the table, where the input has none whose name is known."""
_LONGEST_NAME: Final = 31
_TAKEN: Final = frozenset({FAULTS, "history", *TABLE_OF_STEP.values()})
"""Names of sheets that the main table cannot have: "history" is a spreadsheet's own."""
_COLUMNS: Final = (
    said("line"),
    said("column"),
    said("cell"),
    said("what it is"),
    said("reason"),
    said("cell of this workbook"),
)
_WIDTHS: Final = (10, 22, 30, 14, 90, 14)


class FaultWorkbook:
    """A checked table as it is written, with those joined to it; `apart` is a folder for temporary files."""

    def __init__(self, path: Path, apart: Path, header: Sequence[str], sheet: str = "") -> None:
        # Imported here: the import takes as long as the rest of a command.
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415
        from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # noqa: PLC0415

        self._errors: type[Exception] = XlsxWriterException
        self._book = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": str(apart)})
        self._book.use_zip64()
        self._styles = MarkStyles(self._book, MOST_COMMENTS)
        self._table = MarkedSheet(self._book.add_worksheet(_sheet_name(sheet)), header, self._styles)
        self._list = self._book.add_worksheet(FAULTS)
        self._listed = 1
        self._joined: dict[str, MarkedSheet] = {}
        self._of_joined: defaultdict[tuple[str, int | None], list[tuple[ValueFault, bool]]] = defaultdict(list)
        self._kept = 0
        self._closed = False
        for place, (name, width) in enumerate(zip(_COLUMNS, _WIDTHS, strict=True)):
            self._list.write_string(0, place, in_a_cell(name), self._styles.head)
            self._list.set_column(place, place, width)
        keep_in_sight(self._list)

    @property
    def lacks_marks(self) -> bool:
        """Whether more was found than is marked and commented; the sheet of faults has all of it."""
        return not self._styles.comments_left or self._kept >= MOST_OF_JOINED

    def write(self, rows: Iterable[CheckedRow]) -> None:
        """Write rows of the main table; one without cells, as of a joined table, is only listed.

        Raises `CommandRefused` for more than a sheet holds, and for too long a text.
        """
        for row in rows:
            has_cells = any(row.cells)
            for fault, is_fault in row.found():
                self._enter(row, fault, is_fault=is_fault, here=self._table.place_of_next(fault) if has_cells else "")
            if has_cells:
                self._table.write(row)

    def write_joined(self, name: str, of: str, header: Sequence[str], rows: Iterable[CheckedRow]) -> None:
        """Write rows of a joined table, once all of the main one are written; what was found in these is marked here.

        `name` is the table's, and that of its sheet; faults name it as `of`. Raises what `write` raises.
        """
        if name not in self._joined:
            self._joined[name] = MarkedSheet(self._book.add_worksheet(name), header, self._styles, of)
        for row in rows:
            found = self._of_joined.pop((of, row.line), [])
            faults = [*row.faults, *(one for one, is_fault in found if is_fault)]
            warnings = [one for one, is_fault in found if not is_fault]
            self._joined[name].write(replace(row, faults=faults, warnings=warnings))

    def close(self) -> None:
        """Complete the file, which takes as long as its rows did. Raises `CommandRefused` if it cannot be written."""
        if self._closed:
            return
        self._closed = True
        for sheet in (self._table, *self._joined.values()):
            sheet.close()
        self._list.autofilter(0, 0, self._listed - 1, len(_COLUMNS) - 1)
        try:
            self._book.close()
        except self._errors as error:
            raise CommandRefused("the workbook cannot be written: {error}", error=error) from error

    def _enter(self, row: CheckedRow, fault: ValueFault, *, is_fault: bool, here: str) -> None:
        """A line of the sheet of faults, if it is not full; what is of a joined table is kept for that."""
        place = fault.place
        if place.table and self._kept < MOST_OF_JOINED:
            self._of_joined[place.table, place.line].append((fault, is_fault))
            self._kept += 1
        if self._listed >= SHEET_ROWS:
            return
        line = place.line if place.line is not None else row.line
        cells = (
            f"{place.table}:{line}" if place.table else str(line or ""),
            place.column,
            fault.cell,
            in_a_cell(said("fault") if is_fault else said("to be looked at")),
            in_a_cell(fault.reason),
            here,
        )
        for column, text in enumerate(cells):
            if text:
                self._list.write_string(self._listed, column, writable(shortened(text)))
        self._listed += 1


@contextmanager
def fault_workbook(target: OutputFile, header: Sequence[str], sheet: str = "") -> Iterator[FaultWorkbook]:
    """A workbook that is put in place, mode 0600, when the context ends well, and discarded otherwise.

    Raises `CommandRefused` where it exists or cannot be written.
    """
    with (
        replacing(target) as made,
        written_workbook(made, lambda apart: FaultWorkbook(made, apart, header, sheet)) as book,
    ):
        yield book


def check_target(target: OutputFile) -> None:
    """Raise `CommandRefused` for a path that is no workbook's."""
    if target.path.suffix.casefold() != ".xlsx":
        raise CommandRefused(
            "{path}: a checked table is written as a workbook; name it .xlsx", path=printable(target.path)
        )


def _sheet_name(wanted: str) -> str:
    """The name of the table's sheet: the one that is asked for, if a workbook can have it."""
    bad = set("[]:*?/\\") & set(wanted) or len(wanted) > _LONGEST_NAME or wanted.casefold() in _TAKEN
    return _ROWS if bad or not wanted.strip("' ") or wanted.startswith("'") or wanted.endswith("'") else wanted
