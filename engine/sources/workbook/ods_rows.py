"""The cells of the sheets of an OpenDocument spreadsheet, as they pass by.

Elements are told by their local names, attributes by their usual prefixes, which all programs write.
"""

import re
from typing import Final

from engine.sources.raw.source import LONGEST_CELL
from engine.sources.workbook.archive import Attributes, tags
from engine.sources.workbook.cells import Cell, address, iso_date, iso_time, plain_number, whole_number
from engine.sources.workbook.workbook import (
    LAST_COLUMN,
    LAST_ROW,
    NO_VALUE,
    SheetRow,
    an_error,
    bad_value,
    out_of_order,
    too_long,
)

_MOST_REPEATED: Final = 10**9
_NUMBERS: Final = frozenset({"float", "currency", "percentage"})
_ERROR: Final = re.compile(r"#[A-ZА-Я/0!?]+[!?A]|Err:\d+|Ошибка:\d+")
"""What an older LibreOffice shows for a formula that came to nothing, beside a number."""
_ZEROS: Final = re.compile(r"-?0\d+")
_BESIDE: Final = ("annotation", "note", "ruby-text", "frame")
"""What stands in a paragraph and is no part of the text: remarks, footnotes, readings in another script, drawings."""
_CLOCK: Final = re.compile(r"\d:\d\d")


class Survey:
    """Notes which sheets there are, and which of them hold something."""

    __slots__ = ("_open", "_tags", "done", "filled", "sheets")

    end = None
    text = None

    def __init__(self) -> None:
        self._tags = tags("table", "table-cell", "p")
        self._open = self.done = False
        self.sheets: list[str] = []
        self.filled: list[str] = []

    def start(self, name: str, attributes: Attributes, /) -> None:
        """A sheet begins, or something that makes one count as filled."""
        tag = self._tags[name]
        if tag == "table":
            sheet = attributes.get("table:name", "")
            self._open = not _is_elsewhere(sheet)
            if self._open:
                self.sheets.append(sheet)
        elif self._open and (tag == "p" or (tag and "office:value-type" in attributes)):
            self.filled.append(self.sheets[-1])
            self._open = False


class SheetReader:
    """Gathers the rows of a sheet that hold something.

    Of the row `watched` it notes merged cells, and goes no further.
    """

    __slots__ = (
        "_attributes",
        "_cells",
        "_gathers",
        "_inside",
        "_length",
        "_live",
        "_muted",
        "_name",
        "_paragraphs",
        "_parts",
        "_place",
        "_row",
        "_rows",
        "_sheet",
        "_tags",
        "_times",
        "_watched",
        "done",
        "merged",
    )

    def __init__(self, name: str, sheet: str, *, watched: int = 0) -> None:
        self._name = name
        self._sheet = sheet
        self._watched = watched
        self._tags = tags(
            *("table", "table-row", "table-cell", "covered-table-cell", "p", "s", "tab", "line-break"),
            *_BESIDE,
        )
        self._attributes: Attributes = {}
        self._rows: list[tuple[SheetRow, int]] = []
        self._cells: list[Cell] = []
        self._parts: list[str] = []
        self._inside = self._muted = self._paragraphs = self._length = 0
        self._place = self._row = 0
        self._times = 1
        self._live = self._gathers = self.done = False
        self.merged: str | None = None

    def taken(self) -> list[tuple[SheetRow, int]]:
        """The rows gathered since this was asked last, each with how many times it comes."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attributes: Attributes, /) -> None:
        """A sheet, a row, a cell, or something in it begins. Raises `InputRefused` beyond the end of any sheet."""
        tag = self._tags[name]
        if self._inside:
            self._begin_inside(tag, attributes)
        elif tag == "table":
            self._live = attributes.get("table:name") == self._sheet
        elif not self._live:
            return
        elif tag == "table-cell":
            self._inside = 1
            self._attributes = attributes
        elif tag == "covered-table-cell":
            # What merged cells hide is not meant to be read: its place counts, nothing else.
            self._inside = 1
            self._attributes = {"table:number-columns-repeated": attributes.get("table:number-columns-repeated", "1")}
            self._muted = 1
        elif tag == "table-row":
            self._times = _count(attributes.get("table:number-rows-repeated"))
            self._place = 0

    def end(self, name: str, /) -> None:
        """Keep a cell, and at its end a row that holds something."""
        if self._inside:
            self._inside -= 1
            if self._inside == 0:
                self._end_cell()
            elif self._inside == 1:
                self._gathers = False
            if self._inside < self._muted:
                self._muted = 0
            return
        tag = self._tags[name]
        if tag == "table-row" and self._live:
            self._end_row()
        elif tag == "table" and self._live:
            self._live = False
            self.done = True

    def text(self, data: str, /) -> None:
        """A piece of what a cell shows. Raises `InputRefused` when it grows too long."""
        if not self._gathers or self._muted:
            return
        self._parts.append(data)
        self._length += len(data)
        if self._length > LONGEST_CELL:
            raise too_long(self._name, self._place, self._row + 1)

    def _begin_inside(self, tag: str, attributes: Attributes) -> None:
        """Something in a cell: only its own paragraphs count, not those of notes and drawings in it."""
        self._inside += 1
        if self._muted:
            return
        if self._inside == 2:  # noqa: PLR2004 - just inside the cell
            if tag == "p":
                if self._paragraphs:
                    self._parts.append("\n")
                self._paragraphs += 1
                self._gathers = True
            else:
                self._muted = self._inside
        elif tag == "s":
            self.text(" " * min(_count(attributes.get("text:c")), LONGEST_CELL + 1))
        elif tag == "tab":
            self.text("\t")
        elif tag == "line-break":
            self.text("\n")
        elif tag in _BESIDE:
            self._muted = self._inside

    def _end_cell(self) -> None:
        attributes, place = self._attributes, self._place
        text = "".join(self._parts)
        value = _value(attributes, text, has_text=self._paragraphs > 0)
        self._parts.clear()
        self._paragraphs = self._length = 0
        times = _count(attributes.get("table:number-columns-repeated"))
        self._place += times
        if self._row + 1 <= self._watched < self._row + 1 + self._times:
            self._note_merged(attributes, place)
        if value == "":
            return
        if self._place > LAST_COLUMN:
            raise out_of_order(self._name, place, self._row + 1)
        self._cells.extend([""] * (place - len(self._cells)))
        self._cells.extend([value] * times)

    def _end_row(self) -> None:
        if self._cells:
            if self._row + self._times > LAST_ROW:
                raise out_of_order(self._name, 0, self._row + self._times)
            self._rows.append((SheetRow(self._row + 1, self._cells), self._times))
            self._cells = []
        self._row += self._times
        if self._watched and self._row >= self._watched:
            self.done = True

    def _note_merged(self, attributes: Attributes, place: int) -> None:
        columns = _count(attributes.get("table:number-columns-spanned"))
        rows = _count(attributes.get("table:number-rows-spanned"))
        if columns * rows > 1:
            last = address(place + columns - 1, self._watched + rows - 1)
            self.merged = f"{address(place, self._watched)}:{last}"


def _is_elsewhere(sheet: str) -> bool:
    """Whether it is what is kept of another file's sheet, under the name of that file."""
    return sheet.startswith("'") and "'#$" in sheet


def _value(attributes: Attributes, text: str, *, has_text: bool) -> Cell:
    """What a cell holds, by its kind; `text` is what it shows."""
    is_formula = "table:formula" in attributes
    if attributes.get("calcext:value-type") == "error" or (is_formula and _ERROR.fullmatch(text)):
        return an_error(text)
    kind = attributes.get("office:value-type")
    if kind is None and is_formula and not has_text:
        return NO_VALUE
    try:
        return _of_kind(kind, attributes, text)
    except ValueError as error:
        return NO_VALUE if is_formula and not text else bad_value(error)


def _of_kind(kind: str | None, attributes: Attributes, text: str) -> str | bool:
    """The value of a cell of a kind. Raises ValueError where it is none."""
    if kind in _NUMBERS:
        return _number(attributes.get("office:value", ""), text)
    if kind == "date":
        day = iso_date(attributes.get("office:date-value", ""))
        # A moment at midnight is written as a date alone.
        return f"{day} 00:00:00" if len(day) == len("2019-06-01") and _CLOCK.search(text) else day
    if kind == "time":
        return iso_time(attributes.get("office:time-value", ""))
    if kind == "boolean":
        return _truth(attributes.get("office:boolean-value", ""))
    if kind not in {None, "string", "void"}:
        raise ValueError(f"{kind[:20]!r} is no kind of a value")
    return attributes.get("office:string-value", text)


def _truth(value: str) -> bool:
    if value not in {"true", "false"}:
        raise ValueError(f"{value[:20]!r} is neither true nor false")
    return value == "true"


def _number(value: str, text: str) -> str:
    """A number, with the zeros before it that the cell shows. Raises ValueError."""
    number = plain_number(value)
    return text if _ZEROS.fullmatch(text) and text.isascii() and plain_number(text) == number else number


def _count(text: str | None) -> int:
    return whole_number(text, _MOST_REPEATED) or 1
