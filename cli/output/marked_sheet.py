"""A table as a sheet of a workbook: its own rows, and the cells in which something was found marked and commented."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cli.output.item_files import in_a_cell
from cli.output.tables import SHEET_ROWS
from cli.terminal.exits import CommandRefused
from engine.rows import FAULTS
from engine.sources.exported import harmless, is_of_export, named
from engine.sources.workbook.cells import address
from jobs.imports.subscriber import ValueFault
from texts.said import Quantity, in_clauses, said

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
                said(
                    "a sheet holds {most} rows, and the table has more: check it in parts",
                    most=Quantity(SHEET_ROWS - 1),
                )
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
                said(
                    "row {row}, column {column}: a cell of a workbook cannot hold so much text",
                    row=Quantity(row + 1),
                    column=place + 1,
                )
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
