"""What each format takes and gives: a sample of the input, and a table of its rows in pages."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Final

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import LastLine, Row, RowPage
from engine.sources.raw import charset
from engine.sources.raw.charset import AUTO, LONGEST_CELL, UTF_16, Charset, DecodedText, Original, empty
from texts.remedies import setting
from texts.said import Quantity, counted, said, wording

HEAD: Final = 8 * 1024
"""Bytes from which the format of a file is detected."""
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""Magic numbers of a ZIP archive and of an empty one."""
OLE2: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Magic number of an old workbook (.xls), and of an encrypted new one."""

_SIGNATURES: Final = (
    (OLE2, said("is an Excel workbook of the old kind (.xls): save it as .xlsx or CSV UTF-8")),
    (b"\x1f\x8b", said("is compressed with gzip: unpack it first")),
    (b"%PDF-", said("is a PDF document, not a table: save the table itself as .xlsx or CSV UTF-8")),
    (b"{\\rtf", said("is a text document (RTF), not a table: save the table itself as .xlsx or CSV UTF-8")),
)
_MARKUP: Final = (b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta", b"<head")
_HEAD_LINES: Final = 200
_HEAD_CHARACTERS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """The given reading options of an input; all of them can be detected.

    `encoding` is "auto" or the name of a codec; `delimiter` is one character, or "" to detect it; `sheet` is the name
    of a sheet in a workbook; `columns` are the column names of an input without a header. `table` is the one that is
    wanted of a workbook that was checked, "" for its main table.
    """

    encoding: str = AUTO
    delimiter: str = ""
    sheet: str = ""
    columns: tuple[str, ...] = ()
    table: str = ""


class Sample:
    """An input whose format is to be detected. Everything is read once; every property may raise `InputRefused`."""

    def __init__(self, original: Original, layout: Layout) -> None:
        self.original = original
        self.layout = layout

    @property
    def name(self) -> str:
        return self.original.name

    @cached_property
    def start(self) -> bytes:
        with self.original.open() as file:
            return file.read(HEAD)

    @cached_property
    def text(self) -> DecodedText:
        """The input as text; an input that is not text is refused, with the remedy."""
        return DecodedText(self.original, self._charset.codec)

    @cached_property
    def lines(self) -> list[str]:
        """The first lines of the text, without their ends."""
        lines: list[str] = []
        size = 0
        with self.text.open() as file:
            for line in islice(self.text.lines(file), _HEAD_LINES):
                lines.append(line.rstrip("\r\n"))
                size += len(line)
                if size > _HEAD_CHARACTERS:
                    break
        return lines

    @cached_property
    def first_line(self) -> str:
        first = next((line for line in self.lines if line.strip()), None)
        if first is None:
            raise empty(self.name)
        return first

    def notes(self, words: str = "") -> tuple[str, ...]:
        """Notes on how the text is read: `words` for its form, and its encoding if it was detected."""
        return tuple(note for note in (words, self._charset.note) if note)

    @cached_property
    def _charset(self) -> Charset:
        encoding = self.layout.encoding
        if self.layout.sheet:
            raise InputRefused(
                "{file} is not a workbook and has no sheets: leave {flag} out", file=self.name, flag=setting("sheet")
            )
        trouble = next((what for signature, what in _SIGNATURES if self.start.startswith(signature)), None)
        if self.start.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_MARKUP):
            trouble = said("is a page of HTML or XML, whatever its name says: save the table as .xlsx or CSV UTF-8")
        is_wide = charset.is_auto(encoding) or charset.is_wide(charset.named(encoding))
        if self.start.startswith(UTF_16) and not is_wide:
            trouble = said("is UTF-16: save it as CSV UTF-8, or give {flag}", flag=setting("encoding", "utf-16"))
        if trouble:
            raise InputRefused("{file} {trouble}", file=self.name, trouble=trouble)
        return charset.detect_charset(self.original, encoding)


# ---- the table -----------------------------------------------------------------------------------------------------

REST: Final = "..."
"""Suffix of the last given column name: with values separated by spaces, the column takes the rest of the line.

As a name of its own at the end it stands for values of a line that are in no column: they are passed over.
"""
_NUMBER: Final = re.compile(r"[-+]?\d[\d ]*([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Table:
    """A file of a known format: the names of its columns, and its rows, from the first whenever they are called for.

    `entries` are rows and refusals of unreadable ones, in ascending order of their lines; `notes` tell how the file
    is read; `unended` is the last line of a text that may have been cut. Both calls may raise `InputRefused`.
    """

    header: tuple[str, ...]
    entries: Callable[[], Iterator[Row | Refusal]]
    notes: tuple[str, ...] = ()
    unended: Callable[[], tuple[LastLine, ...]] = tuple


THE_FIRST_LINE: Final = said("the first line")


def _column(place: int) -> str:
    return said("column {column}", column=place)


def check_names(
    where: str, header: Sequence[str], *, line: str = THE_FIRST_LINE, cell: Callable[[int], str] = _column
) -> None:
    """Check that every column has a name, that no two are the same, and that they are not the numbers of a row.

    `where` names the input and the place of its header, `line` the line of the header, `cell` the place of a name by
    the number of its column, from 1, in messages. Raises `InputRefused`.
    """
    seen: dict[str, int] = {}
    for place, name in enumerate(header, 1):
        plain = name.strip().casefold()
        if not plain:
            nameless = wording("{where}: {cell} of the header has no name; {line} must name every column")
            raise InputRefused(nameless, where=where, cell=cell(place), line=line)
        if plain in seen:
            raise InputRefused(
                "{where}: {one} and {other} of the header have the same name, {name!r}; rename one of them",
                where=where,
                one=cell(seen[plain]),
                other=cell(place),
                name=name.strip(),
            )
        seen[plain] = place
    if all(_NUMBER.fullmatch(name.strip()) for name in header):
        raise InputRefused(
            "{where}: {line} holds numbers ({numbers}) where the names of the columns are expected. If the input "
            "has no header, name its columns with {flag}",
            where=where,
            line=line,
            numbers=", ".join(header)[:60],
            flag=setting("columns", example(len(header))),
        )


def example(columns: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ",".join(letters[:columns]) if columns <= len(letters) else "a,b,…"


def bare_names(columns: Sequence[str]) -> tuple[str, ...]:
    """The given column names, without `REST` at the end of the last one, or behind it."""
    return tuple(name.removesuffix(REST) for name in (columns[:-1] if has_open_end(columns) else columns))


def has_open_end(columns: Sequence[str]) -> bool:
    """Whether values behind the last given column are passed over."""
    return len(columns) > 1 and columns[-1] == REST


def check_given(columns: Sequence[str]) -> tuple[str, ...]:
    """The given column names of an input without a header, stripped of spaces."""
    names = tuple(name.strip() for name in columns)
    plain = [name.casefold() for name in names]
    given = setting("columns", ",".join(columns))
    if "" in plain:
        raise InputRefused("{flag}: the name number {number} is empty", flag=given, number=plain.index("") + 1)
    for place, name in enumerate(plain):
        if name in plain[:place]:
            raise InputRefused("{flag}: the name {name!r} is there twice", flag=given, name=names[place])
    return names


LARGEST_PAGE: Final = 4_000_000
"""Characters after which a page ends early: memory must not depend on the length of cells."""

LONGEST_LABEL: Final = 60


def paged(name: str, entries: Iterable[Row | Refusal], after: str | None, page_rows: int) -> Iterator[RowPage]:
    """The entries after the cursor, which is the line of the last entry read; lines are ascending.

    A page holds `page_rows` entries at most, and about `LARGEST_PAGE` characters. Raises `InputRefused` for an input
    `name` without entries, and for a row with a cell that is too long. A refusal stays one, however long its row is:
    only so much of it is kept as fits a page.
    """
    start = int(after) if after is not None else 0
    rows: list[Row] = []
    refusals: list[Refusal] = []
    size = line = kept = 0
    for entry in entries:
        line = entry.line or 0
        if line <= start:
            continue
        kept += 1
        if isinstance(entry, Row):
            cells = entry.cells
            length = sum(map(len, cells)) + len(cells)
            if length > LONGEST_CELL:
                for column, cell in enumerate(cells, 1):
                    if len(cell) > LONGEST_CELL:
                        longer = wording("{file}, line {line}: column {column} is longer than {most} characters")
                        raise InputRefused(longer, file=name, line=line, column=column, most=Quantity(LONGEST_CELL))
            # The cells together: a workbook can repeat a text.
            if length - len(cells) > LARGEST_PAGE:
                longer = wording("{file}, line {line}: the row is longer than {most} characters")
                raise InputRefused(longer, file=name, line=line, most=Quantity(LARGEST_PAGE))
            rows.append(entry)
        else:
            length = sum(map(len, entry.row)) + len(entry.row)
            refusal = entry
            if length > LARGEST_PAGE:
                room = length = LARGEST_PAGE
                shortened: list[str] = []
                for cell in entry.row:
                    shortened.append(cell[:room])
                    room -= len(shortened[-1]) + 1
                    if room <= 0:
                        break
                reason = said(
                    "{reason}; the row is longer than {most} characters, and only these are kept",
                    reason=entry.reason,
                    most=Quantity(LARGEST_PAGE),
                )
                refusal = replace(entry, reason=reason, row=tuple(shortened))
            refusals.append(refusal)
        size += length
        if kept >= page_rows or size >= LARGEST_PAGE:
            yield RowPage(tuple(rows), tuple(refusals), str(line))
            rows, refusals, size, kept = [], [], 0, 0
    if line == 0:
        raise InputRefused("{file} has a header and no rows: there is nothing to do", file=name)
    if rows or refusals:
        yield RowPage(tuple(rows), tuple(refusals), str(line))


SURPLUS_KEPT: Final = 20
"""Cells beyond the header's that are kept of a refused row: a workbook can say thousands of them in a few bytes."""


def wrong_width(line: int, cells: list[str], width: int) -> Refusal:
    """The refusal of a row with more or fewer cells than the header; the first surplus cells are kept."""
    return Refusal(
        line=line,
        column=None,
        label=label_of(cells),
        reason=counted(
            "the header has {n} cell, this row {cells}",
            "the header has {n} cells, this row {cells}",
            width,
            cells=Quantity(len(cells)),
        ),
        row=tuple(cells[: width + SURPLUS_KEPT]),
    )


def label_of(cells: Iterable[str]) -> str:
    return next(iter(cells), "").strip()[:LONGEST_LABEL]
