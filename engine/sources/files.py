"""Delimited text files, read page by page.

The quick way through a file is the standard library's `open` and `csv`; only when one of them stumbles is the file
read a second time to say exactly where (`faults.py`).
"""

import codecs
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import Row, RowPage
from engine.sources import faults

AUTO: Final = "auto"
DELIMITERS: Final = (";", "\t", ",")
"""In this order: a comma beside one of the others belongs to a name, as in "Сумма, руб;Договор"."""

LONGEST_CELL: Final = 100_000
LONGEST_LINE: Final = 1_000_000
_LONGEST_LABEL: Final = 60


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the header tells: the names, what divides them, and the physical line on which it ends."""

    header: tuple[str, ...]
    delimiter: str
    last_line: int


class DelimitedFile:
    """A CSV file with `;`, `,` or tab as a `Source`: the whole of it is checked before anything is sent.

    The header is required and tells the delimiter. `encoding` is "auto" (UTF-8, strictly, with or without BOM) or the
    name of a codec. Blank lines and rows of nothing but empty cells are skipped. A page holds `page_rows` rows at
    most; its cursor is the number of the last physical line read. Every reading opens the file anew.
    """

    __slots__ = ("_codec", "_digest", "_layout", "_page_rows", "_path")

    def __init__(self, path: Path, *, encoding: str = AUTO, page_rows: int = 1000) -> None:
        self._path = path
        self._codec = _codec(encoding)
        self._page_rows = page_rows
        self._digest: str | None = None
        self._layout: _Layout | None = None

    @property
    def name(self) -> str:
        """The path, as it was given."""
        return str(self._path)

    @property
    def checked_whole(self) -> bool:
        """A file is read to its end before its first row is sent."""
        return True

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes in hexadecimal, computed when first asked for. Raises `InputRefused`."""
        if self._digest is None:
            self._refuse_what_is_no_file()
            try:
                with self._path.open("rb") as file:
                    self._digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise self._unreadable(error) from error
        return self._digest

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns, as the file has them. Raises `InputRefused`."""
        return self._read_layout().header

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`, naming line and column where there is one."""
        layout = self._read_layout()
        start = int(after) if after is not None else layout.last_line
        try:
            with self._open() as file:
                for _ in range(start):
                    file.readline(LONGEST_LINE)
                yield from self._pages(file, layout, start, may_be_empty=after is not None)
        except UnicodeDecodeError as error:
            raise self._not_this_encoding() from error
        except OSError as error:
            raise self._unreadable(error) from error

    def _pages(self, file: TextIO, layout: _Layout, start: int, *, may_be_empty: bool) -> Iterator[RowPage]:
        reader = csv.reader(self._lines(file, start), delimiter=layout.delimiter, strict=True)
        width = len(layout.header)
        rows: list[Row] = []
        refusals: list[Refusal] = []
        empty = not may_be_empty
        begins = start + 1
        try:
            for cells in reader:
                line, begins = begins, start + reader.line_num + 1
                if not any(cells) or not any(map(str.strip, cells)):
                    continue
                if len(cells) != width and not (len(cells) > width and not any(cells[width:])):
                    refusals.append(_wrong_width(line, cells, width))
                else:
                    rows.append(Row(line, self._checked(cells, line, layout)))
                empty = False
                if len(rows) + len(refusals) >= self._page_rows:
                    yield RowPage(tuple(rows), tuple(refusals), str(begins - 1))
                    rows, refusals = [], []
        except csv.Error as error:
            raise self._quoting(begins, layout.delimiter) from error
        if empty:
            raise InputRefused(f"{self.name} has a header and no rows: there is nothing to do")
        if rows or refusals:
            yield RowPage(tuple(rows), tuple(refusals), str(begins - 1))

    def _checked(self, cells: list[str], line: int, layout: _Layout) -> tuple[str, ...]:
        width = len(layout.header)
        if max(map(len, cells)) > LONGEST_CELL:
            number = next(number for number, cell in enumerate(cells) if len(cell) > LONGEST_CELL)
            raise InputRefused(
                f"{self.name}, line {line}: the cell of column {number + 1} ({layout.header[number]}) is longer than "
                f"{LONGEST_CELL} characters; is a quote missing?"
            )
        return tuple(cells[:width])

    def _read_layout(self) -> _Layout:
        if self._layout is None:
            self._refuse_what_is_no_file()
            try:
                with self._open() as file:
                    self._layout = self._layout_of(file)
            except UnicodeDecodeError as error:
                raise self._not_this_encoding() from error
            except OSError as error:
                raise self._unreadable(error) from error
        return self._layout

    def _layout_of(self, file: TextIO) -> _Layout:
        lines = self._lines(file, 0)
        first_line, text = next(((number, line) for number, line in enumerate(lines, 1) if line.strip()), (0, ""))
        if not text:
            raise InputRefused(f"{self.name} is empty: a header and rows are expected")
        last_line = first_line
        while text.count('"') % 2 and len(text) <= LONGEST_CELL and (more := next(lines, "")):
            # A name may have a line end between its quotes.
            text += more
            last_line += 1
        outside = "".join(text.split('"')[::2])
        delimiter = next((mark for mark in DELIMITERS if mark in outside), DELIMITERS[0])
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise self._quoting(first_line, delimiter) from error
        self._check_names(header, first_line)
        return _Layout(tuple(header), delimiter, last_line)

    def _check_names(self, header: list[str], line: int) -> None:
        seen: dict[str, int] = {}
        for number, name in enumerate(header, 1):
            plain = name.strip().casefold()
            if not plain:
                raise InputRefused(
                    f"{self.name}, line {line}: column {number} of the header has no name; "
                    "the first line must name every column"
                )
            if plain in seen:
                raise InputRefused(
                    f"{self.name}, line {line}: columns {seen[plain]} and {number} of the header have the same name, "
                    f"{name.strip()!r}; rename one of them"
                )
            seen[plain] = number

    def _lines(self, file: TextIO, start: int) -> Iterator[str]:
        """The physical lines after line `start`, with their ends; refuses what no text has."""
        number = start
        while line := file.readline(LONGEST_LINE):
            number += 1
            if "\0" in line:
                spot = faults.Spot(number, line.index("\0") + 1)
                raise InputRefused(f"{self.name}, {spot}: a NUL byte, which no text file has; save it as CSV UTF-8")
            if len(line) >= LONGEST_LINE:
                raise InputRefused(f"{self.name}, line {number} is longer than {LONGEST_LINE} characters")
            yield line

    def _open(self) -> TextIO:
        return self._path.open(encoding=self._codec, errors="strict", newline="")

    def _refuse_what_is_no_file(self) -> None:
        try:
            if self._path.is_dir():
                raise InputRefused(f"{self.name} is a folder: name a file in it")
            if self._path.exists() and not self._path.is_file():
                raise InputRefused(f"{self.name} is not a regular file; it is read more than once, so save it as one")
            if self._path.stat().st_size == 0:
                raise InputRefused(f"{self.name} is empty: a header and rows are expected")
            trouble = faults.no_text(self._path, wide=self._codec.startswith(("utf-16", "utf-32")))
        except OSError as error:
            raise self._unreadable(error) from error
        if trouble:
            raise InputRefused(f"{self.name} {trouble}")

    def _unreadable(self, error: OSError) -> InputRefused:
        if isinstance(error, FileNotFoundError):
            return InputRefused(f"there is no file {self.name}; check the path")
        return InputRefused(f"{self.name} cannot be read: {error.strerror or error}")

    def _not_this_encoding(self) -> InputRefused:
        return InputRefused(f"{self.name}, {faults.not_this_encoding(self._path, self._codec)}")

    def _quoting(self, line: int, delimiter: str) -> InputRefused:
        with self._open() as file:
            for _ in range(line - 1):
                file.readline(LONGEST_LINE)
            return InputRefused(f"{self.name}, {faults.quoting(file, line, delimiter, LONGEST_CELL)}")


def _wrong_width(line: int, cells: list[str], width: int) -> Refusal:
    return Refusal(
        line=line,
        column=None,
        label=cells[0].strip()[:_LONGEST_LABEL],
        reason=f"the header has {width} cells, this row {len(cells)}",
        row=tuple(cells),
    )


def _codec(encoding: str) -> str:
    """The name of the codec in Python's own spelling. Raises `InputRefused` for one that there is not."""
    if encoding.strip().casefold() == AUTO:
        return "utf-8-sig"
    try:
        codec = codecs.lookup(encoding.strip())
        # Some codecs, as rot13, know no bytes: open() would be the first to say so.
        bytes(4).decode(codec.name)
    except (LookupError, ValueError) as error:
        raise InputRefused(f"there is no encoding {encoding!r}; use auto, utf-8 or cp1251") from error
    # A BOM before a named UTF-8 would become part of the first name.
    return "utf-8-sig" if codec.name == "utf-8" else codec.name
