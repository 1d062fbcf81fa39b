"""OpenDocument spreadsheets (.ods), read as a stream: one part holds all sheets, one after another.

Observed in LibreOffice 25: equal rows, and equal cells in a row, are written once with a repeat count, also the empty
ones up to the last row of the sheet; the displayed text of a cell is next to its value; errors have a value type of
LibreOffice's own. Elements are matched by their local names, attributes with their usual prefixes, which all programs
write.
"""

import re
from collections.abc import Iterator
from typing import Final

from engine.errors import InputRefused
from engine.sources.sample import LONGEST_CELL, Sample, Table
from engine.sources.workbook import (
    LAST_COLUMN,
    LAST_ROW,
    NO_VALUE,
    Archive,
    Attributes,
    Book,
    Cell,
    Inner,
    SheetRow,
    address,
    an_error,
    archive_of,
    bad_value,
    iso_date,
    iso_time,
    locked,
    open_sheet,
    out_of_order,
    plain_number,
    too_long,
    whole_number,
)
from texts.said import Quantity, ValueRefused, said

_CONTENT = "content.xml"
_KIND = "mimetype"
_MANIFEST = "META-INF/manifest.xml"
_ENCRYPTED = "encrypted-package"
_SPREADSHEET = b"opendocument.spreadsheet"
MOST_REPEATED: Final = 10_000
"""Rows of a sheet that repeat the one before. A few bytes can say a million of them; no list of subscribers does."""
_MOST_REPEATED: Final = 10**9
_NUMBERS: Final = frozenset({"float", "currency", "percentage"})
_ERROR: Final = re.compile(r"#[A-ZА-Я/0!?]+[!?A]|Err:\d+|Ошибка:\d+")
"""The displayed text of a failed formula in an older LibreOffice, next to a number."""
_HIDDEN: Final = frozenset({"collapse", "filter"})
"""What a row says of itself that is hidden, by hand or by a filter."""
_ZEROS: Final = re.compile(r"-?0\d+")
_BESIDE: Final = ("annotation", "note", "ruby-text", "frame")
"""Elements in a paragraph that are not part of its text: comments, footnotes, ruby texts, drawings."""
_CLOCK: Final = re.compile(r"\d:\d\d")
_BREAKS: Final = {"tab": "\t", "line-break": "\n"}


def open_ods(sample: Sample) -> Table | None:
    archive = archive_of(sample)
    if archive is None or not {_CONTENT, _ENCRYPTED} & archive.parts:
        return None
    if _MANIFEST in archive.parts and next(archive.starts(_MANIFEST, "encryption-data"), None) is not None:
        raise locked(archive.name)
    if _KIND in archive.parts:
        with archive.open(_KIND) as stream:
            if _SPREADSHEET not in stream.read(200):
                raise InputRefused(
                    "{file} is a document, but no spreadsheet: save the table as .ods or CSV UTF-8", file=archive.name
                )
    return open_sheet(sample, _book(archive)) if _CONTENT in archive.parts else None


def _book(archive: Archive) -> Book:
    """The workbook; the list of its sheets needs one reading of the whole file."""
    sheets: list[str] = []
    filled: list[str] = []
    is_open = False
    for tag, attributes in archive.starts(_CONTENT, "table", "table-cell", "p"):
        if tag == "table":
            sheet = attributes.get("table:name", "")
            # Or it is the cached copy of another file's sheet.
            is_open = not (sheet.startswith("'") and "'#$" in sheet)
            if is_open:
                sheets.append(sheet)
        elif is_open and (tag == "p" or "office:value-type" in attributes):
            filled.append(sheets[-1])
            is_open = False
    return Book(
        words=said("an OpenDocument spreadsheet"),
        sheets=tuple(sheets),
        filled=lambda: filled,
        rows=lambda sheet: _rows(archive, sheet),
        merged=lambda sheet, row: _merged(archive, sheet, row),
    )


def _cells(archive: Archive, sheet: str) -> Iterator[tuple[int, int, bool, int, Attributes | None, Inner | None]]:
    """The cells of a sheet: row from 0, its repeats, whether it is hidden, column from 0, attributes and content.

    The end of a row comes without attributes.
    """
    live = hidden = False
    row = place = 0
    times = 1
    for tag, attributes, inner in archive.elements(
        *(_CONTENT, "table", "table-row", "p", "s", "tab", "line-break", *_BESIDE),
        whole=("table-cell", "covered-table-cell"),
    ):
        if tag == "table":
            if live:
                return
            live = attributes is not None and attributes.get("table:name") == sheet
        elif not live:
            continue
        elif tag == "table-row" and attributes is None:
            yield row, times, hidden, place, None, ()
            row += times
        elif tag == "table-row" and attributes is not None:
            times, place = _count(attributes.get("table:number-rows-repeated")), 0
            hidden = attributes.get("table:visibility") in _HIDDEN
        elif attributes is not None:
            # Content hidden by merged cells is ignored; only its place counts.
            if tag == "table-cell":
                yield row, times, hidden, place, attributes, inner
            place += _count(attributes.get("table:number-columns-repeated"))


def _rows(archive: Archive, sheet: str) -> Iterator[SheetRow]:
    repeated = 0
    cells: list[Cell] = []
    for row, times, hidden, place, attributes, inner in _cells(archive, sheet):
        if attributes is not None:
            text = None if inner is None else _shown(inner)
            if inner is None or len(text or "") > LONGEST_CELL:
                raise too_long(archive.name, place, row + 1)
            value = _value(attributes, text)
            if value != "":
                same = _count(attributes.get("table:number-columns-repeated"))
                if place + same > LAST_COLUMN:
                    raise out_of_order(archive.name, place, row + 1)
                cells.extend([""] * (place - len(cells)))
                cells.extend([value] * same)
        elif cells:
            if row + times > LAST_ROW:
                raise out_of_order(archive.name, 0, row + times)
            repeated += times - 1
            if repeated > MOST_REPEATED:
                raise InputRefused(
                    "{file}: {rows} rows of the sheet {sheet!r} repeat the row above them, the last of them "
                    "the rows {first} to {last}: delete what was filled down by mistake",
                    file=archive.name,
                    rows=Quantity(repeated),
                    sheet=sheet,
                    first=row + 2,
                    last=row + times,
                )
            for number in range(row + 1, row + times + 1):
                yield SheetRow(number, cells, hidden)
            cells = []


def _merged(archive: Archive, sheet: str, wanted: int) -> str | None:
    for row, times, _, place, attributes, _ in _cells(archive, sheet):
        if row >= wanted:
            return None
        if attributes is not None and wanted <= row + times:
            columns = _count(attributes.get("table:number-columns-spanned"))
            rows = _count(attributes.get("table:number-rows-spanned"))
            if columns * rows > 1:
                return f"{address(place, wanted)}:{address(place + columns - 1, wanted + rows - 1)}"
    return None


def _shown(inner: Inner) -> str | None:
    """The displayed text of a cell, without its notes and drawings, None if it has no paragraph.

    Repeated spaces are not written out far beyond what fits a cell.
    """
    parts: list[str] = []
    paragraphs = depth = muted = length = 0
    for one in inner:
        piece = ""
        if isinstance(one, str):
            piece = one if depth and not muted else ""
        elif one[1] is None:
            depth -= 1
            muted = muted if depth >= muted else 0
        else:
            tag, attributes = one[0], one[1]
            depth += 1
            if muted:
                continue
            if tag in _BESIDE or (depth == 1 and tag != "p"):
                muted = depth
            elif depth == 1:
                piece = "\n" if paragraphs else ""
                paragraphs += 1
            elif tag == "s":
                piece = " " * min(_count(attributes.get("text:c")), LONGEST_CELL + 1)
            else:
                piece = _BREAKS.get(tag, "")
        parts.append(piece)
        length += len(piece)
        if length > LONGEST_CELL:
            break
    return "".join(parts) if paragraphs else None


def _value(attributes: Attributes, shown: str | None) -> Cell:
    text = shown or ""
    is_formula = "table:formula" in attributes
    if attributes.get("calcext:value-type") == "error" or (is_formula and _ERROR.fullmatch(text)):
        return an_error(text)
    kind = attributes.get("office:value-type")
    if kind is None and is_formula and shown is None:
        return NO_VALUE
    try:
        return _of_kind(kind, attributes, text)
    except ValueError as error:
        return NO_VALUE if is_formula and not text else bad_value(error)


def _of_kind(kind: str | None, attributes: Attributes, text: str) -> str | bool:
    """The value of a cell of the type `kind`. Raises ValueError for an invalid one."""
    if kind in _NUMBERS:
        number = plain_number(attributes.get("office:value", ""))
        # The displayed text has the leading zeros.
        is_same = _ZEROS.fullmatch(text) and text.isascii() and plain_number(text) == number
        return text if is_same else number
    if kind == "date":
        day = iso_date(attributes.get("office:date-value", ""))
        # A date with time at midnight is written as a date alone.
        return f"{day} 00:00:00" if len(day) == len("2019-06-01") and _CLOCK.search(text) else day
    if kind == "time":
        return iso_time(attributes.get("office:time-value", ""))
    if kind == "boolean":
        truth = attributes.get("office:boolean-value", "")
        if truth not in {"true", "false"}:
            raise ValueRefused("{text!r} is neither true nor false", text=truth[:20])
        return truth == "true"
    if kind not in {None, "string", "void"}:
        raise ValueRefused("{kind!r} is no kind of a value", kind=kind[:20])
    return attributes.get("office:string-value", text)


def _count(text: str | None) -> int:
    return whole_number(text, _MOST_REPEATED) or 1
