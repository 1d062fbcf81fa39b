"""Stream handlers for a sheet of an Excel workbook: its rows, and its merged cells."""

import re
from collections.abc import Mapping
from typing import Final

from engine.errors import InputRefused
from engine.sources.raw.source import LONGEST_CELL
from engine.sources.workbook.archive import Attributes, tags
from engine.sources.workbook.cells import Cell, CellFault, cell_text, iso_date, whole_number
from engine.sources.workbook.shared_strings import SpilledStrings
from engine.sources.workbook.workbook import (
    CONTRADICTS_ITSELF,
    LAST_COLUMN,
    LAST_ROW,
    NO_VALUE,
    SheetRow,
    an_error,
    bad_value,
    misplaced,
    out_of_order,
    too_long,
)
from engine.sources.workbook.xlsx_parts import Styles, unescaped

_MOST_TEXTS: Final = 10**12
_TRUTHS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False}
_COLUMN: Final = re.compile(r"[A-Za-z]{1,3}", re.ASCII)
_CORNERS: Final = re.compile(r"[A-Z]+(\d{1,7}):[A-Z]+(\d{1,7})", re.ASCII)


class RowReader:
    """A handler that collects the non-empty rows of a sheet."""

    __slots__ = (
        "_cells",
        "_columns",
        "_formula",
        "_gathers",
        "_holds",
        "_inline",
        "_length",
        "_muted",
        "_name",
        "_parts",
        "_place",
        "_row",
        "_row_text",
        "_rows",
        "_since_1904",
        "_strings",
        "_style",
        "_styles",
        "_tags",
        "_type",
        "_values",
        "done",
    )

    def __init__(self, name: str, strings: SpilledStrings, styles: Styles, *, since_1904: bool) -> None:
        self._name = name
        self._strings = strings
        self._styles = styles
        self._since_1904 = since_1904
        self._tags = tags("row", "c", "v", "is", "t", "f", "rPh", "extLst", "sheetData")
        self._columns: dict[str, int] = {}
        self._rows: list[SheetRow] = []
        self._cells: list[Cell] = []
        self._parts: list[str] = []
        self._row = self._place = self._length = self._values = 0
        self._row_text = "0"
        self._type = "n"
        self._style: str | None = None
        self._formula = self._holds = self._inline = self._gathers = self._muted = self.done = False

    def taken(self) -> list[SheetRow]:
        """Take the rows collected since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Handle the start of a row, cell or value. Raises `InputRefused` for cells out of order."""
        tag = self._tags[name]
        if tag == "c":
            self._begin_cell(attributes)
        elif tag == "v":
            self._holds = True
            if not self._muted:
                # The type tells where the value is: an inline text counts only in cells of inline text.
                self._gathers = self._type != "inlineStr"
                self._values += self._gathers
        elif tag == "t":
            self._gathers = self._inline and not self._muted
        elif tag == "is":
            self._inline = self._type == "inlineStr"
            self._values += self._inline
            self._holds = True
        elif tag == "f":
            self._formula = self._muted = True
        elif tag == "row":
            self._begin_row(attributes.get("r"))
        elif tag:
            self._muted = tag != "sheetData"

    def end(self, name: str, /) -> None:
        """Handle the end of a cell, or of a row, which is kept if it is not empty."""
        tag = self._tags[name]
        if tag in {"v", "t"}:
            self._gathers = False
        elif tag == "c":
            self._end_cell()
        elif tag == "row":
            self._end_row()
        elif tag == "is":
            self._inline = False
        elif tag == "sheetData":
            self.done = True
        elif tag:
            self._muted = False

    def text(self, data: str, /) -> None:
        """Add a piece of a value. Raises `InputRefused` if it is too long."""
        if not self._gathers:
            return
        self._parts.append(data)
        self._length += len(data)
        if self._length > LONGEST_CELL:
            raise too_long(self._name, self._place, self._row)

    def _begin_row(self, number: str | None) -> None:
        row = self._row + 1 if number is None else whole_number(number, LAST_ROW) or LAST_ROW + 1
        if not self._row < row <= LAST_ROW:
            raise out_of_order(self._name, 0, row)
        self._row = row
        self._row_text = str(row)
        self._place = -1

    def _begin_cell(self, attributes: Attributes) -> None:
        where = attributes.get("r")
        place = self._column(where) if where else self._place + 1
        if not self._place < place < LAST_COLUMN:
            raise out_of_order(self._name, min(place, LAST_COLUMN), self._row)
        self._place = place
        self._type = attributes.get("t", "n")
        self._style = attributes.get("s")
        self._formula = self._holds = False
        self._values = 0

    def _end_cell(self) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        self._length = 0
        if not (text or self._formula or self._holds):
            return
        value = self._value(text)
        if value == "":
            return
        missing = self._place - len(self._cells)
        if missing:
            self._cells.extend([""] * missing)
        self._cells.append(value)

    def _end_row(self) -> None:
        if self._cells:
            self._rows.append(SheetRow(self._row, self._cells))
            self._cells = []

    def _value(self, text: str) -> Cell:  # noqa: PLR0911 - a list of kinds
        kind = self._type
        if self._values != 1 and (self._holds or self._values):
            return CONTRADICTS_ITSELF
        if not text:
            # A formula with an empty text as its result has the type of a text.
            return "" if kind == "str" or not self._formula else NO_VALUE
        if kind == "s":
            return self._shared(text)
        if kind == "n":
            return self._number(text)
        if kind in {"str", "inlineStr"}:
            return unescaped(text)
        if kind == "b":
            return _truth(text)
        if kind == "d":
            return _date(text)
        return an_error(text) if kind == "e" else CONTRADICTS_ITSELF

    def _shared(self, text: str) -> str:
        number = whole_number(text.strip(), _MOST_TEXTS)
        try:
            return self._strings[-1 if number is None else number]
        except IndexError:
            raise InputRefused(
                "{file} is broken: it has no text number {number}, which row {row} refers to",
                file=self._name,
                number=text[:20],
                row=self._row,
            ) from None

    def _number(self, text: str) -> str | CellFault:
        try:
            return cell_text(text, self._styles.format(self._style), since_1904=self._since_1904)
        except ValueError as error:
            return bad_value(error)

    def _column(self, where: str) -> int:
        """The number of a column from 0, by a cell address. Raises `InputRefused` for an address in another row."""
        letters = where.removesuffix(self._row_text)
        place = self._columns.get(letters)
        if place is None:
            if not _COLUMN.fullmatch(letters):
                raise misplaced(self._name, where, self._row)
            place = 0
            for letter in letters.upper():
                place = place * 26 + ord(letter) - ord("A") + 1
            place -= 1
            self._columns[letters] = place
        return place


def _truth(text: str) -> bool | CellFault:
    return _TRUTHS.get(text.strip(), CONTRADICTS_ITSELF)


def _date(text: str) -> str | CellFault:
    try:
        return iso_date(text.strip())
    except ValueError as error:
        return bad_value(error)


class Merges:
    """A handler that looks for merged cells that touch a row."""

    __slots__ = ("_row", "_tags", "done", "found")

    end = None
    text = None

    def __init__(self, row: int) -> None:
        self._row = row
        self._tags = tags("mergeCell")
        self.found: str | None = None
        self.done = False

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Compare the rows of merged cells with the row."""
        match = _CORNERS.fullmatch(attributes.get("ref", "")) if self._tags[name] else None
        if match and int(match[1]) <= self._row <= int(match[2]):
            self.found = match[0]
            self.done = True
