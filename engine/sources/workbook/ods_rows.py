"""Stream handlers for the sheets of an OpenDocument spreadsheet: the list of sheets, and the rows of a sheet.

Elements are matched by their local names, attributes with their usual prefixes, which all programs write.
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
from texts.said import ValueRefused

_MOST_REPEATED: Final = 10**9
_NUMBERS: Final = frozenset({"float", "currency", "percentage"})
_ERROR: Final = re.compile(r"#[A-ZА-Я/0!?]+[!?A]|Err:\d+|Ошибка:\d+")
"""The displayed text of a failed formula in an older LibreOffice, next to a number."""
_ZEROS: Final = re.compile(r"-?0\d+")
_BESIDE: Final = ("annotation", "note", "ruby-text", "frame")
"""Elements in a paragraph that are not part of its text: comments, footnotes, ruby texts, drawings."""
_CLOCK: Final = re.compile(r"\d:\d\d")


class Survey:
    """A handler that lists the sheets, and which of them are not empty."""

    __slots__ = ("_open", "_tags", "done", "filled", "sheets")

    end = None
    text = None

    def __init__(self) -> None:
        self._tags = tags("table", "table-cell", "p")
        self._open = self.done = False
        self.sheets: list[str] = []
        self.filled: list[str] = []

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Note a sheet, or content of a sheet."""
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
    """A handler that collects the non-empty rows of a sheet.

    With `watched`, it looks for merged cells in that row only.
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
        """Take the rows collected since the last call, each with its repeat count."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Handle the start of a sheet, row, cell or its content. Raises `InputRefused` outside the largest sheet."""
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
            # Content hidden by merged cells is ignored; only its place counts.
            self._inside = 1
            self._attributes = {"table:number-columns-repeated": attributes.get("table:number-columns-repeated", "1")}
            self._muted = 1
        elif tag == "table-row":
            self._times = _count(attributes.get("table:number-rows-repeated"))
            self._place = 0

    def end(self, name: str, /) -> None:
        """Handle the end of a cell, or of a row, which is kept if it is not empty."""
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
        """Add a piece of a cell's displayed text. Raises `InputRefused` if it is too long."""
        if not self._gathers or self._muted:
            return
        self._parts.append(data)
        self._length += len(data)
        if self._length > LONGEST_CELL:
            raise too_long(self._name, self._place, self._row + 1)

    def _begin_inside(self, tag: str, attributes: Attributes) -> None:
        """Handle the start of a cell's content; paragraphs of its notes and drawings do not count."""
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
    """Whether a sheet is the cached copy of another file's sheet."""
    return sheet.startswith("'") and "'#$" in sheet


def _value(attributes: Attributes, text: str, *, has_text: bool) -> Cell:
    """The value of a cell by its type; `text` is its displayed text."""
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
    """The value of a cell of the type `kind`. Raises ValueError for an invalid one."""
    if kind in _NUMBERS:
        return _number(attributes.get("office:value", ""), text)
    if kind == "date":
        day = iso_date(attributes.get("office:date-value", ""))
        # A date with time at midnight is written as a date alone.
        return f"{day} 00:00:00" if len(day) == len("2019-06-01") and _CLOCK.search(text) else day
    if kind == "time":
        return iso_time(attributes.get("office:time-value", ""))
    if kind == "boolean":
        return _truth(attributes.get("office:boolean-value", ""))
    if kind not in {None, "string", "void"}:
        raise ValueRefused("{kind!r} is no kind of a value", kind=kind[:20])
    return attributes.get("office:string-value", text)


def _truth(value: str) -> bool:
    if value not in {"true", "false"}:
        raise ValueRefused("{text!r} is neither true nor false", text=value[:20])
    return value == "true"


def _number(value: str, text: str) -> str:
    """A number with the leading zeros of its displayed text. Raises ValueError for an invalid number."""
    number = plain_number(value)
    return text if _ZEROS.fullmatch(text) and text.isascii() and plain_number(text) == number else number


def _count(text: str | None) -> int:
    return whole_number(text, _MOST_REPEATED) or 1
