"""The cells of a sheet of an Excel workbook, as they pass by."""

import re
from typing import Final

from engine.errors import InputRefused
from engine.sources.books.archive import Attributes, tags
from engine.sources.books.book import (
    LAST_COLUMN,
    LAST_ROW,
    NO_VALUE,
    SheetRow,
    an_error,
    bad_value,
    out_of_order,
    too_long,
)
from engine.sources.books.cells import Cell, CellFault, iso_date, shown
from engine.sources.books.strings import SpilledStrings
from engine.sources.books.xlsx_parts import Styles, unescaped
from engine.sources.paging import LONGEST_CELL

_DIGITS: Final = "0123456789"
_CORNERS: Final = re.compile(r"[A-Z]+(\d+):[A-Z]+(\d+)")


class RowReader:
    """Gathers the rows of a sheet that hold something."""

    __slots__ = (
        "_cells",
        "_columns",
        "_formula",
        "_gathers",
        "_length",
        "_name",
        "_parts",
        "_phonetic",
        "_place",
        "_row",
        "_rows",
        "_since_1904",
        "_strings",
        "_style",
        "_styles",
        "_tags",
        "_type",
        "done",
    )

    def __init__(self, name: str, strings: SpilledStrings, styles: Styles, *, since_1904: bool) -> None:
        self._name = name
        self._strings = strings
        self._styles = styles
        self._since_1904 = since_1904
        self._tags = tags("row", "c", "v", "t", "f", "rPh", "sheetData")
        self._columns: dict[str, int] = {}
        self._rows: list[SheetRow] = []
        self._cells: list[Cell] = []
        self._parts: list[str] = []
        self._row = self._place = self._length = 0
        self._type = "n"
        self._style: str | None = None
        self._formula = self._gathers = self._phonetic = self.done = False

    def taken(self) -> list[SheetRow]:
        """The rows gathered since this was asked last."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attributes: Attributes, /) -> None:
        """A row, a cell, or its value begins. Raises `InputRefused` where cells are out of order."""
        tag = self._tags[name]
        if tag == "c":
            self._begin_cell(attributes)
        elif tag in {"v", "t"}:
            self._gathers = not self._phonetic
        elif tag == "f":
            self._formula = True
        elif tag == "row":
            self._begin_row(attributes.get("r"))
        elif tag == "rPh":
            self._phonetic = True

    def end(self, name: str, /) -> None:
        """Keep a cell, and at its end a row that holds something."""
        tag = self._tags[name]
        if tag in {"v", "t"}:
            self._gathers = False
        elif tag == "c":
            self._end_cell()
        elif tag == "row":
            self._end_row()
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "sheetData":
            self.done = True

    def text(self, data: str, /) -> None:
        """A piece of a value. Raises `InputRefused` when it grows too long."""
        if not self._gathers:
            return
        self._parts.append(data)
        self._length += len(data)
        if self._length > LONGEST_CELL:
            raise too_long(self._name, self._place, self._row)

    def _begin_row(self, number: str | None) -> None:
        row = int(number) if number and number.isdecimal() else self._row + 1
        if not self._row < row <= LAST_ROW:
            raise out_of_order(self._name, 0, row)
        self._row = row
        self._place = -1

    def _begin_cell(self, attributes: Attributes) -> None:
        where = attributes.get("r")
        place = self._column(where.rstrip(_DIGITS)) if where else self._place + 1
        if not self._place < place < LAST_COLUMN:
            raise out_of_order(self._name, min(place, LAST_COLUMN), self._row)
        self._place = place
        self._type = attributes.get("t", "n")
        self._style = attributes.get("s")
        self._formula = False

    def _end_cell(self) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        self._length = 0
        if not text and not self._formula:
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
        if not text:
            # A formula that gives an empty text says so by its type.
            return "" if kind == "str" else NO_VALUE
        if kind == "s":
            return self._shared(text)
        if kind == "n":
            return self._number(text)
        if kind in {"str", "inlineStr"}:
            return unescaped(text)
        if kind == "b":
            return text.strip() in {"1", "true"}
        if kind == "d":
            return _date(text)
        return an_error(text)

    def _shared(self, text: str) -> str:
        try:
            return self._strings[int(text)]
        except (ValueError, IndexError):
            raise InputRefused(
                f"{self._name} is broken: it has no text number {text[:20]}, which row {self._row} refers to"
            ) from None

    def _number(self, text: str) -> str | CellFault:
        try:
            return shown(text, self._styles.format(self._style), since_1904=self._since_1904)
        except ValueError as error:
            return bad_value(error)

    def _column(self, letters: str) -> int:
        """The place of a column, from 0, by its letters."""
        place = self._columns.get(letters)
        if place is None:
            place = 0
            for letter in letters[:4]:
                place = place * 26 + ord(letter) - ord("A") + 1
            place -= 1
            self._columns[letters] = place
        return place


def _date(text: str) -> str | CellFault:
    try:
        return iso_date(text.strip())
    except ValueError as error:
        return bad_value(error)


class Merges:
    """Looks for merged cells that touch a row."""

    __slots__ = ("_row", "_tags", "done", "found")

    end = None
    text = None

    def __init__(self, row: int) -> None:
        self._row = row
        self._tags = tags("mergeCell")
        self.found: str | None = None
        self.done = False

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Compare the rows of some merged cells."""
        match = _CORNERS.fullmatch(attributes.get("ref", "")) if self._tags[name] else None
        if match and int(match[1]) <= self._row <= int(match[2]):
            self.found = match[0]
            self.done = True
