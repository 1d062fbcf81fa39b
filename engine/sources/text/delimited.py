"""Delimited text files, read page by page.

A file is read with the standard library's `io` and `csv`. Only after an error is it read a second time, to find the
exact place (`fault_places.py`).
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TextIO

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import LastLine, Row, RowPage, Source
from engine.sources.raw import fault_places as faults
from engine.sources.raw.charset import LONGEST_LINE, DecodedText
from engine.sources.raw.original import empty, proven
from engine.sources.raw.sample import Sample
from engine.sources.raw.source import (
    LARGEST_PAGE,
    LONGEST_CELL,
    bare_names,
    check_names,
    has_open_end,
    no_rows,
    wrong_width,
)
from texts.said import said

DELIMITERS: Final = (";", "\t", ",")
"""Delimiters in order of precedence: a comma beside another one is part of a name, as in "Сумма, руб;Договор"."""

DELIMITED_SUFFIXES: Final = frozenset({".csv", ".tsv", ".tab"})
"""File suffixes of delimited text."""

_ANNOUNCED: Final = re.compile(r'(?P<quote>"?)sep=(?P<delimiter>[^\w"\r\n])(?P=quote)[\r\n]*', re.IGNORECASE)

# The csv module's default limit is lower, and is global to the process.
csv.field_size_limit(LONGEST_CELL)


def matches(sample: Sample) -> bool:
    """Whether an input is text with lines; text of no other format is read as delimited."""
    return bool(sample.first_line)


def opens(sample: Sample) -> tuple[Source, tuple[str, ...]]:
    """The lines as a source of rows."""
    file = DelimitedFile(
        sample.text,
        delimiter=sample.layout.delimiter,
        columns=bare_names(sample.layout.columns),
        has_open_end=has_open_end(sample.layout.columns),
        page_rows=sample.page_rows,
    )
    return file, sample.notes()


@dataclass(frozen=True, slots=True)
class _Layout:
    """The column names, the delimiter, and the last physical line before the rows, 0 for none."""

    header: tuple[str, ...]
    delimiter: str
    last_line: int


class DelimitedFile(Source):
    """A CSV file with `;`, `,` or tab as a `Source`; all of it is checked before anything is sent.

    The delimiter is given, or named by a first line `sep=;` (Excel), or detected from the header; `columns` are the
    column names of a file without a header. With `has_open_end` cells behind these are passed over. Blank lines and
    rows of empty cells are skipped. A page holds `page_rows` rows at most; its cursor is the number of the last
    physical line read. Every reading opens the file again.
    """

    __slots__ = ("_columns", "_delimiter", "_has_open_end", "_layout", "_page_rows", "_text")

    def __init__(
        self,
        text: DecodedText,
        *,
        delimiter: str = "",
        columns: tuple[str, ...] = (),
        has_open_end: bool = False,
        page_rows: int = 1000,
    ) -> None:
        self._text = text
        self._delimiter = delimiter
        self._columns = columns
        self._has_open_end = has_open_end
        self._page_rows = page_rows
        self._layout: _Layout | None = None

    @property
    def name(self) -> str:
        """The path, as it was given."""
        return self._text.name

    @property
    def is_read_whole(self) -> bool:
        """A file is read to its end before its first row is sent."""
        return True

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes in hexadecimal, computed when first asked for. Raises `InputRefused`."""
        return self._text.original.digest

    @property
    def header(self) -> tuple[str, ...]:
        """The column names of the file. Raises `InputRefused`."""
        return self._read_layout().header

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last line, where it may have been cut. Raises `InputRefused`."""
        return self._text.unended

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`.

        Raises `InputRefused`, naming line and column where there is one, also when the file changes meanwhile.
        """
        layout = self._read_layout()
        start = int(after) if after is not None else layout.last_line
        yield from proven(self._text.original, self._from(layout, start, may_be_empty=after is not None))

    def _from(self, layout: _Layout, start: int, *, may_be_empty: bool) -> Iterator[RowPage]:
        with self._text.open() as file:
            for _ in range(start):
                file.readline(LONGEST_LINE)
            yield from self._pages(file, layout, start, may_be_empty=may_be_empty)

    def _pages(self, file: TextIO, layout: _Layout, start: int, *, may_be_empty: bool) -> Iterator[RowPage]:
        reader = csv.reader(self._text.lines(file, start), delimiter=layout.delimiter, strict=True)
        width, page_rows = len(layout.header), self._page_rows
        rows: list[Row] = []
        refusals: list[Refusal] = []
        nothing = not may_be_empty
        size, begins = 0, start + 1
        try:
            for cells in reader:
                line, begins = begins, start + reader.line_num + 1
                written = "".join(cells)
                if not written or written.isspace():
                    continue
                if len(cells) == width:
                    rows.append(Row(line, tuple(cells)))
                elif len(cells) > width and (self._has_open_end or not any(cells[width:])):
                    rows.append(Row(line, tuple(cells[:width])))
                else:
                    refusals.append(wrong_width(line, cells, width))
                nothing = False
                size += len(written) + len(cells)
                if len(rows) + len(refusals) >= page_rows or size >= LARGEST_PAGE:
                    yield RowPage(tuple(rows), tuple(refusals), str(begins - 1))
                    rows, refusals, size = [], [], 0
        except csv.Error as error:
            raise self._quoting(begins, layout.delimiter) from error
        if nothing:
            raise no_rows(self.name)
        if rows or refusals:
            yield RowPage(tuple(rows), tuple(refusals), str(begins - 1))

    def _read_layout(self) -> _Layout:
        if self._layout is None:
            with self._text.open() as file:
                self._layout = self._layout_of(file)
        return self._layout

    def _layout_of(self, file: TextIO) -> _Layout:
        lines = self._text.lines(file)
        filled = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        first_line, text = next(filled, (0, ""))
        before, announced = 0, announced_by(text)
        if announced:
            before = first_line
            first_line, text = next(filled, (0, ""))
        if not text:
            raise empty(self.name)
        last_line = first_line
        while text.count('"') % 2 and len(text) <= LONGEST_CELL and (more := next(lines, "")):
            # A quoted name may contain a line end.
            text += more
            last_line += 1
        if self._columns:
            found = self._delimiter or announced or delimiter_of(text, len(self._columns))
            return _Layout(self._columns, found, before)
        delimiter = self._delimiter or announced or delimiter_of(text)
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise self._quoting(first_line, delimiter) from error
        check_names(said("{file}, line {line}", file=self.name, line=first_line), header)
        return _Layout(tuple(header), delimiter, last_line)

    def _quoting(self, line: int, delimiter: str) -> InputRefused:
        with self._text.open() as file:
            for _ in range(line - 1):
                file.readline(LONGEST_LINE)
            fault = faults.quoting(file, line, delimiter, LONGEST_CELL)
        return InputRefused("{file}, {fault}", file=self.name, fault=fault)


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
