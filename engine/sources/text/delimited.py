"""Delimited text files, read page by page.

A file is read with the standard library's `io` and `csv`. Only after an error is it read a second time, to find the
exact place.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import Row
from engine.sources.raw.sample import (
    LONGEST_CELL,
    LONGEST_LINE,
    DecodedText,
    Sample,
    Table,
    bare_names,
    check_names,
    empty,
    has_open_end,
    spot,
    wrong_width,
)
from texts.said import Quantity, said, wording

DELIMITERS: Final = (";", "\t", ",")
"""Delimiters in order of precedence: a comma beside another one is part of a name, as in "Сумма, руб;Договор"."""

DELIMITED_SUFFIXES: Final = frozenset({".csv", ".tsv", ".tab"})
"""File suffixes of delimited text."""

_ANNOUNCED: Final = re.compile(r'(?P<quote>"?)sep=(?P<delimiter>[^\w"\r\n])(?P=quote)[\r\n]*', re.IGNORECASE)

# The csv module's default limit is lower, and is global to the process.
csv.field_size_limit(LONGEST_CELL)
_FAULTY: Final = 2 * LONGEST_CELL
"""Characters of a row with a fault that are looked at."""


def opens(sample: Sample) -> Table:
    """The lines as a table: text of no other format is read as delimited. Raises `InputRefused`.

    The delimiter is given, or named by a first line `sep=;` (Excel), or detected from the header, which stands there
    unless columns are given. Blank lines and rows of empty cells are skipped.
    """
    text, layout = sample.text, sample.layout
    columns = bare_names(layout.columns)
    with text.open() as file:
        lines = text.lines(file)
        filled = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        first, line = next(filled, (0, ""))
        above, announced = 0, announced_by(line)
        if announced:
            above = first
            first, line = next(filled, (0, ""))
        if not line:
            raise empty(text.name)
        last = first
        while line.count('"') % 2 and len(line) <= LONGEST_CELL and (more := next(lines, "")):
            # A quoted name may contain a line end.
            line += more
            last += 1
    delimiter = layout.delimiter or announced or delimiter_of(line, len(columns))
    if not columns:
        above = last
        try:
            columns = tuple(next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True)))
        except csv.Error as error:
            raise _quoting(text, first, delimiter) from error
        check_names(said("{file}, line {line}", file=text.name, line=first), columns)
    width, open_end = len(columns), has_open_end(layout.columns)
    return Table(
        columns, lambda: _entries(text, above, delimiter, width, open_end=open_end), sample.notes, text.unended
    )


def _entries(text: DecodedText, above: int, delimiter: str, width: int, *, open_end: bool) -> Iterator[Row | Refusal]:
    """The rows below the line `above`; with an open end, cells behind the columns are passed over."""
    with text.open() as file:
        for _ in range(above):
            file.readline(LONGEST_LINE)
        reader = csv.reader(text.lines(file, above), delimiter=delimiter, strict=True)
        begins = above + 1
        try:
            for cells in reader:
                line, begins = begins, above + reader.line_num + 1
                if not any(map(str.strip, cells)):
                    continue
                if len(cells) == width:
                    yield Row(line, tuple(cells))
                elif len(cells) > width and (open_end or not any(cells[width:])):
                    yield Row(line, tuple(cells[:width]))
                else:
                    yield wrong_width(line, cells, width)
        except csv.Error as error:
            raise _quoting(text, begins, delimiter) from error


def announced_by(line: str) -> str:
    """The delimiter that a line such as `sep=;` names, as Excel writes and reads it; "" for any other line."""
    found = _ANNOUNCED.fullmatch(line)
    return found["delimiter"] if found else ""


def delimiter_of(text: str, columns: int = 0) -> str:
    """The delimiter of a line: one that gives as many cells as there are columns, otherwise the first in the line."""
    outside = "".join(text.split('"')[::2])
    there = [mark for mark in DELIMITERS if mark in outside]
    fitting = [mark for mark in there if outside.count(mark) == columns - 1]
    return next(iter(fitting or there), DELIMITERS[0])


# ---- the place of a fault: the slow second reading -----------------------------------------------------------------

_QUOTED: Final = re.compile(r'"(?:[^"]|"")*+"')
_LINE_END: Final = re.compile(r"\r\n|\r|\n")


def _quoting(text: DecodedText, line: int, delimiter: str) -> InputRefused:
    """The refusal of the row that begins on a line, for a fault in its quotes or the length of a cell."""
    with text.open() as file:
        for _ in range(line - 1):
            file.readline(LONGEST_LINE)
        rows = file.read(_FAULTY)
    fault = _fault_of_quotes(rows, line, delimiter) or said("line {line}: the row cannot be taken apart", line=line)
    return InputRefused("{file}, {fault}", file=text.name, fault=fault)


def _fault_of_quotes(rows: str, first_line: int, delimiter: str) -> str:
    """Describe the first fault in rows from line `first_line` on, "" for none."""
    plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*+")
    most = Quantity(LONGEST_CELL)

    def place(at: int) -> str:
        ends = [found.end() for found in _LINE_END.finditer(rows, 0, at)]
        return spot(first_line + len(ends), at - (ends[-1] if ends else 0) + 1)

    at = 0
    while at < len(rows):
        is_quoted = rows[at] == '"'
        found = (_QUOTED if is_quoted else plain).match(rows, at)
        end = found.end() if found else len(rows)
        if end - at - 2 * is_quoted > LONGEST_CELL and is_quoted:
            unclosed = wording(
                "{place}: a quote opens that is not closed within {most} characters; close it or remove it"
            )
            return said(unclosed, place=place(at), most=most)
        if end - at > LONGEST_CELL and not is_quoted:
            return said("{place}: a cell begins that is longer than {most} characters", place=place(at), most=most)
        if found is None:
            return said("{place}: a quote opens that is never closed; close it or remove it", place=place(at))
        if is_quoted and rows[end : end + 1] not in ("", delimiter, "\r", "\n"):
            return said(
                "{place}: {character!r} after the closing quote of a cell; a quote inside a cell is written "
                'twice: "" (the cell begins at {begins})',
                place=place(end),
                character=rows[end],
                begins=place(at),
            )
        at = end + 1
    return ""
