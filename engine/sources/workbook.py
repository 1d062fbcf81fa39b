"""Workbooks of any format: the ZIP archive, the XML in it as a stream of elements, a sheet as a table, cells as text.

The content is not trusted: a document type is refused, so no entities are expanded; sizes and the parser's memory are
limited.
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cached_property
from typing import IO, Final, NamedTuple, TypeAlias
from xml.parsers import expat

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import FAULTS, Row
from engine.sources.sample import (
    LONGEST_CELL,
    OLE2,
    ZIP,
    Layout,
    Original,
    Sample,
    Table,
    bare_names,
    check_names,
    empty,
    label_of,
    wrong_width,
)
from texts.said import Quantity, ValueRefused, counted, said, setting, wording

# ---- cells as text: numbers without an exponent, dates by their format, addresses ---------------------------------


_MOST_DIGITS: Final = 400
_KEPT_DIGITS: Final = 15
_PRECISION: Final = Context(prec=_KEPT_DIGITS, rounding=ROUND_HALF_EVEN)
_SIMPLE: Final = re.compile(r"[1-9]\d{0,14}|(?=.{1,16}$)(0|[1-9]\d*)\.\d*[1-9]")
"""Most numbers, which need no conversion: at most 15 digits, no redundant ones."""
_SHOWN: Final = 40
_NO_DATE: Final = wording("{text!r} is no date")
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:[.,]\d+)?Z?)?", re.ASCII)
_ISO_SPAN: Final = re.compile(r"PT(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:[.,]\d+)?S)?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?", re.ASCII)
"""A valid number; `Decimal` also accepts 1_000, digits of other scripts, and NaN."""
_LETTERS: Final = 26
_SECONDS_A_DAY: Final = 86400
_LAST_DAY: Final = 2958465
"""9999-12-31 as an Excel serial date."""
_FEIGNED: Final = 60
"""The serial date of 1900-02-29, which exists only in Excel."""


@dataclass(frozen=True, slots=True)
class CellFault:
    """A cell that cannot be read; `reason` follows its address in a sentence."""

    reason: str


Cell: TypeAlias = str | bool | CellFault
"""The value of a cell: a text, also for numbers and dates; a boolean; or a fault."""


# The format of a number, as far as it changes the value: zeros for as many digits, as 00123 has; a date, a date with
# a time of day, a time of day, or an elapsed time, which may exceed 24 hours.
PLAIN, _DATE, _MOMENT, _TIME, _ELAPSED = "", "d", "dh", "h", "["


def whole_number(text: str | None, most: int) -> int | None:
    """Parse a whole number in an attribute; None for an invalid one, or one above `most`."""
    if not text or not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(most)) and int(digits) <= most else None


def address(column: int, row: int) -> str:
    """The address of a cell, such as B7, by its column from 0 and its row from 1."""
    letters, rest = "", column + 1
    while rest:
        rest, letter = divmod(rest - 1, _LETTERS)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


def plain_number(text: str) -> str:
    """The number of a cell in full, without an exponent and without trailing zeros.

    Spreadsheets calculate with 15 digits, but some write 17, such as 1.1000000000000001 for 1.1. A fraction is
    rounded to 15 digits; a whole number is kept as written. Raises ValueError for an invalid number.
    """
    if _SIMPLE.fullmatch(text):
        return text
    plain = text.strip()
    if not _NUMBER.fullmatch(plain):
        raise ValueRefused("{text!r} is no number", text=text[:_SHOWN])
    number = Decimal(plain)
    if abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueRefused("{text!r} is no number that can be written out", text=text[:_SHOWN])
    if number != number.to_integral_value():
        number = _PRECISION.plus(number)
    written = format(number, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written in {"-0", ""} else written


def cell_text(text: str, form: str, *, since_1904: bool = False) -> str:
    """Convert the number of a cell by its format to a number, date, date with time, or time.

    Raises ValueError for an invalid number.
    """
    if not form.strip("0"):
        number = plain_number(text)
        return number if "." in number else number.zfill(len(form) + number.startswith("-"))
    seconds = _seconds(text)
    days, second = divmod(seconds, _SECONDS_A_DAY)
    if form == _ELAPSED or (form == _TIME and days == 0):
        return _clock(seconds)
    if since_1904:
        day = date(1904, 1, 1)
    elif days == 0:
        raise ValueRefused(_NO_DATE, text=text[:_SHOWN])
    elif days == _FEIGNED:
        raise ValueError(said("29 February 1900 was no day"))
    else:
        day = date(1899, 12, 30) if days > _FEIGNED else date(1899, 12, 31)
    day += timedelta(days=days)
    # A time of day that the format does not show is kept.
    return f"{day} {_clock(second)}" if second or form != _DATE else str(day)


def iso_date(text: str) -> str:
    """Convert an ISO 8601 date or date with time. Raises ValueError for an invalid one."""
    match = _ISO.fullmatch(text)
    try:
        # Parsed only as a check: fractions of a second are dropped, as the billing has none.
        datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00:00'}" if match else "")
    except ValueError:
        match = None
    if match is None:
        raise ValueRefused(_NO_DATE, text=text[:_SHOWN])
    return f"{match[1]} {match[2]}" if match[2] else match[1]


def iso_time(text: str) -> str:
    """Convert an ISO 8601 time of day or time span, such as PT12H30M00S. Raises ValueError for an invalid one."""
    match = _ISO_SPAN.fullmatch(text)
    if match is None:
        raise ValueRefused("{text!r} is no time", text=text[:_SHOWN])
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return _clock(hours * 3600 + minutes * 60 + seconds)


def _seconds(text: str) -> int:
    days = Decimal(plain_number(text))
    if not 0 <= days <= _LAST_DAY:
        raise ValueRefused(_NO_DATE, text=text[:_SHOWN])
    return int((days * _SECONDS_A_DAY).to_integral_value())


def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}"


# ---- number formats ------------------------------------------------------------------------------------------------

_BUILT_IN: Final = {
    **dict.fromkeys((*range(14, 18), *range(27, 32), 36, *range(50, 55), 57, 58), _DATE),
    **dict.fromkeys((*range(18, 22), *range(32, 36), 45, 47, 55, 56), _TIME),
    22: _MOMENT,
    46: _ELAPSED,
}
"""The built-in formats by number, which a workbook does not define; all others are plain numbers."""
_LITERAL: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
"""The literal text of a format, and its colours, conditions and languages."""


def format_of(number: int, code: str | None) -> str:
    if code is None:
        return _BUILT_IN.get(number, PLAIN)
    marks = _LITERAL.sub("", code).split(";")[0].strip().casefold()
    if "[" in marks:
        return _ELAPSED
    if not marks.strip("0") or marks in {"general", "@"}:
        return marks if len(marks) > 1 and not marks.strip("0") else PLAIN
    of_day, of_clock = not {"y", "d"}.isdisjoint(marks), not {"h", "s"}.isdisjoint(marks)
    return _DATE * of_day + _TIME * of_clock or _DATE * ("m" in marks)


# ---- the archive and its elements ---------------------------------------------------------------------------------


_CHUNK: Final = 2 * 1024
"""Bytes that are parsed at once: the elements of more would set off the garbage collector again and again."""
_LARGEST_PART: Final = 4 * 1024**3
"""Maximum unpacked size of a part, in bytes: a million rows of fifty columns take less."""
_LARGE_PART: Final = 64 * 1024**2
_BEST_PACKED: Final = 500
"""Maximum compression ratio of a large part: only a ZIP bomb exceeds it."""
_LARGEST_TAG: Final = 2 * 1024**2
"""Maximum length of a tag or a text, in bytes: the parser keeps it in memory."""
_ENCRYPTED: Final = 0x1
_MOST_NAMES: Final = 1000
_MOST_PIECES: Final = 100_000
"""Pieces of one cell: more than these are as good as a cell that is too long."""

_MARK: Final = "EncryptedPackage".encode("utf-16-le")
"""The name of the stream that holds the encrypted workbook, in the container's directory."""
_BLOCK: Final = 1024 * 1024

Attributes = Mapping[str, str]
"""The attributes of an element, by their names as written."""
Tag: TypeAlias = tuple[str, Attributes | None]
"""A tag: with its attributes where it begins, without them where it ends."""
Inner: TypeAlias = Sequence[Tag | str]
"""The content of an element: tags and texts."""
Element: TypeAlias = tuple[str, Attributes | None, Inner | None]
"""A tag, its attributes, and its content; see `Archive.elements`."""


class Archive:
    """The parts of a ZIP archive, listed on first access. Each reading opens the original again."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self.name = original.name

    @cached_property
    def parts(self) -> frozenset[str]:
        with self._opened() as archive:
            return frozenset(archive.namelist())

    @contextmanager
    def open(self, part: str) -> Iterator[IO[bytes]]:
        """The bytes of a part, unpacked as they are read. Raises `InputRefused`."""
        if part not in self.parts:
            raise InputRefused("{file} is no whole workbook: {part} is missing in it", file=self.name, part=part)
        with self._opened() as archive:
            info = archive.getinfo(part)
            if info.flag_bits & _ENCRYPTED:
                raise locked(self.name)
            packed_well = info.file_size > _BEST_PACKED * max(info.compress_size, 1)
            if info.file_size > _LARGEST_PART or (info.file_size > _LARGE_PART and packed_well):
                raise InputRefused(
                    "{file}: {part} in it unpacks from {packed} to {size} bytes, which no table of rows does; save "
                    "the rows as CSV UTF-8",
                    file=self.name,
                    part=part,
                    packed=Quantity(info.compress_size),
                    size=Quantity(info.file_size),
                )
            with archive.open(info) as stream:
                yield stream

    def elements(self, part: str, *tags: str, whole: Collection[str] = ()) -> Iterator[Element]:
        """The elements of a part with these tags: each where it begins, and again, without attributes, at its end.

        An element of `whole` comes once, at its end, with its content; with None for it as soon as that is too long.
        Tags are local names, for any prefix; others in the content are "". With nothing to come whole, there are no
        ends. Raises `InputRefused`, with line and column, for invalid XML and for a document type.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _no_doctype
        found = _gathered(parser, _Tags((*tags, *whole)), whole)
        with self.open(part) as stream:
            try:
                while chunk := stream.read(_CHUNK):
                    parser.Parse(chunk)
                    if stream.tell() - parser.CurrentByteIndex > _LARGEST_TAG:
                        endless = wording("{file} is broken: {part} has a tag without an end")
                        raise InputRefused(endless, file=self.name, part=part)
                    yield from found
                    found.clear()
                parser.Parse(b"", True)  # noqa: FBT003 - expat has no keyword arguments
            except expat.ExpatError as error:
                raise InputRefused(
                    "{file} is broken: line {line}, column {column} of {part}: {error}",
                    file=self.name,
                    line=error.lineno,
                    column=error.offset + 1,
                    part=part,
                    error=expat.ErrorString(error.code),
                ) from error
            except _DoctypeFound as error:
                declares = wording("{file}: {part} declares a document type, which no spreadsheet program does")
                raise InputRefused(declares, file=self.name, part=part) from error

    def starts(self, part: str, *tags: str) -> Iterator[tuple[str, Attributes]]:
        """The tags and attributes of the elements of a part with these tags. Raises `InputRefused`."""
        return ((tag, attributes or {}) for tag, attributes, _ in self.elements(part, *tags))

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with self._original.open() as file, zipfile.ZipFile(file) as archive:
                yield archive
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, UnicodeDecodeError) as error:
            # An entry may begin before the file does, which is no argument for a seek, or have a name of no charset.
            raise InputRefused(
                "{file} is broken, as a file that was not copied whole: {error}. Copy or save it anew",
                file=self.name,
                error=str(error) or said("it ends too early"),
            ) from error


class _DoctypeFound(Exception):
    """Raised at a document type, before its entities are declared."""


def _no_doctype(*_: object) -> None:
    raise _DoctypeFound


class _Tags(dict[str, tuple[Tag, Tag]]):
    """The beginnings and ends of tags, by names with any prefix; those that are not wanted are named ""."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__({name: ((name, {}), (name, None)) for name in (*names, "")})

    def __missing__(self, name: str) -> tuple[Tag, Tag]:
        both = self[name.rpartition(":")[2]] if ":" in name else self[""]
        if len(self) < _MOST_NAMES:
            self[name] = both
        return both


def _gathered(parser: expat.XMLParserType, tags: _Tags, whole: Collection[str]) -> list[Element]:
    found: list[Element] = []
    tag, opened = "", dict[str, str]()
    inner: list[Tag | str] = []
    depth = length = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal tag, opened, inner, depth, length
        begins = tags[name][0]
        if depth:
            depth += 1
            inner.append((begins[0], attributes) if attributes else begins)
            if len(inner) > _MOST_PIECES:
                give_up()
        elif begins[0] in whole:
            tag, opened, inner, depth, length = begins[0], attributes, [], 1, 0
        elif begins[0]:
            found.append((begins[0], attributes, ()))

    def end(name: str) -> None:
        nonlocal depth
        if depth > 1:
            depth -= 1
            inner.append(tags[name][1])
        elif depth:
            depth = 0
            found.append((tag, opened, inner))
        elif ended := tags[name][1][0]:
            found.append((ended, None, ()))

    def text(data: str) -> None:
        nonlocal length
        if depth:
            inner.append(data)
            length += len(data)
            if length > LONGEST_CELL:
                give_up()

    def give_up() -> None:
        nonlocal length
        found.append((tag, opened, None))
        inner.clear()
        length = 0

    parser.StartElementHandler = start
    parser.EndElementHandler = end if whole else None
    parser.CharacterDataHandler = text if whole else None
    return found


# ---- archives that are not readable workbooks ----------------------------------------------------------------------


def refuse_locked(sample: Sample) -> None:
    if not sample.start.startswith(OLE2):
        return
    before = b""
    with sample.original.open() as file:
        while block := file.read(_BLOCK):
            if _MARK in before + block:
                raise locked(sample.name)
            before = block[-len(_MARK) :]


def locked(name: str) -> InputRefused:
    return InputRefused("{file} is behind a password: save it without one", file=name)


def archive_of(sample: Sample) -> Archive | None:
    return Archive(sample.original) if sample.start.startswith(ZIP) else None


def refuse_archive(sample: Sample) -> None:
    if sample.start.startswith(ZIP):
        raise InputRefused("{file} is a ZIP archive and no workbook: unpack it first", file=sample.name)


# ---- the sheet as a table ------------------------------------------------------------------------------------------

LAST_ROW: Final = 1_048_576
LAST_COLUMN: Final = 16_384
"""The size of the largest sheet in Excel and LibreOffice."""
_MOST_LISTED: Final = 20
_MOST_SHEETS: Final = 200
"""Sheets that are looked into for the one that is not empty; each look opens the workbook again."""


class SheetRow(NamedTuple):
    """A non-empty row of a sheet: its number from 1, and its cells from column A, "" for empty ones.

    The last cell is not empty. A row that the sheet does not show is `hidden`.
    """

    number: int
    cells: list[Cell]
    hidden: bool

    @property
    def written(self) -> list[str]:
        """The cells as texts, booleans as a sheet displays them; "" for an unreadable cell."""
        return [
            cell if isinstance(cell, str) else str(cell).upper() if isinstance(cell, bool) else ""
            for cell in self.cells
        ]

    @property
    def fault(self) -> tuple[int, CellFault] | None:
        """The place of the first unreadable cell, and what is wrong with it."""
        return next(((place, cell) for place, cell in enumerate(self.cells) if isinstance(cell, CellFault)), None)


@dataclass(frozen=True, slots=True)
class Book:
    """A workbook. Each of its functions reads it again, as a stream, and may raise `InputRefused`.

    `words` name its format, `sheets` its sheets of cells, in order, and `filled` those that are not empty. `rows` are
    the non-empty rows of a sheet, in order; `merged` is a range of merged cells that touches a row, such as A1:B1,
    None for none.
    """

    words: str
    sheets: tuple[str, ...]
    filled: Callable[[], Sequence[str]]
    rows: Callable[[str], Iterator[SheetRow]]
    merged: Callable[[str, int], str | None]


def open_sheet(sample: Sample, book: Book) -> Table:
    """The sheet of a workbook that the layout names, as a table; its first non-empty row is the header.

    A title above the header is passed over: one cell that is merged with others, or alone above a row of several.
    With no sheet named, the only non-empty one is read; of a workbook that was checked, the one of `Layout.table`, or
    else the first. A row's line is its number in the sheet. A row with an unreadable cell is refused, with the cell's
    address. Raises `InputRefused`.
    """
    sheet = _chosen(sample.name, book, sample.layout)
    header, above, titles, file = bare_names(sample.layout.columns), 0, 0, sample.name
    if not header:
        where = said("{file}, sheet {sheet!r}", file=file, sheet=sheet)
        filled = (one for one in book.rows(sheet) if any(map(str.strip, one.written)) or one.fault)
        first = next(filled, None)
        while first and _cells(first) == 1:
            following = next(filled, None)
            is_alone = first.written[0].strip() and following is not None and _cells(following) > 1
            if not is_alone and not book.merged(sheet, first.number):
                break
            titles, first = first.number, following
        if first is None:
            raise empty(where)
        above = first.number
        if merged := book.merged(sheet, above):
            raise InputRefused(
                "{file}: the cells {cells} are merged, and row {row} is the header: which column has which name "
                "cannot be told. Unmerge them and name every column",
                file=file,
                cells=merged,
                row=above,
            )
        if first.fault:
            place, fault = first.fault
            unreadable, cell = wording("{file}: the cell {cell} of the header {reason}"), address(place, above)
            raise InputRefused(unreadable, file=file, cell=cell, reason=fault.reason)
        names = first.written
        while not names[-1].strip():
            names.pop()
        check_names(
            where,
            names,
            line=said("row {row}, the first that is not empty,", row=above),
            cell=lambda place: said("cell {cell}", cell=address(place - 1, above)),
        )
        header = tuple(names)
    notes = [said("{format}, sheet {sheet!r}", format=book.words, sheet=sheet)]
    if titles:
        notes.append(said("the header is in row {row}; above it is a title", row=above))
    hidden = 0

    def rows() -> Iterator[SheetRow]:
        nonlocal hidden
        hidden = 0
        for row in book.rows(sheet):
            if row.number > above:
                hidden += row.hidden
                yield row

    def told() -> tuple[str, ...]:
        are_hidden = counted("{n} row[s] of the sheet [is|are] hidden, and [is|are] read too", hidden)
        return (*notes, are_hidden) if hidden else tuple(notes)

    return Table(header, lambda: _entries(rows(), header), told)


def _cells(row: SheetRow) -> int:
    return sum(map(bool, map(str.strip, row.written)))


def _entries(rows: Iterator[SheetRow], header: Sequence[str]) -> Iterator[Row | Refusal]:
    width = len(header)
    blank = [""] * width
    for row in rows:
        cells = [cell for cell in row.cells if isinstance(cell, str)]
        truths: frozenset[int] = frozenset()
        if len(cells) < len(row.cells):
            cells = row.written
            if row.fault:
                place, fault = row.fault
                reason = said("the cell {cell} {reason}", cell=address(place, row.number), reason=fault.reason)
                column = header[place] if place < width else None
                yield Refusal(row.number, column, label_of(cells), reason, tuple(cells))
                continue
            truths = frozenset(place for place, cell in enumerate(row.cells) if isinstance(cell, bool))
        if any(map(str.strip, cells[width:])):
            yield wrong_width(row.number, cells, width)
        elif any(map(str.strip, cells)):
            yield Row(row.number, tuple(cells[:width] + blank[len(cells) :]), truths)


def _chosen(file: str, book: Book, layout: Layout) -> str:
    names = book.sheets
    was_checked = any(name.strip().casefold() in FAULTS for name in names)
    wanted = layout.sheet or (was_checked and (layout.table or names[0])) or ""
    for name in names:
        if wanted and name.strip().casefold() == wanted.strip().casefold():
            return name
    if wanted:
        no_sheet = wording("{file} has no sheet {sheet!r}; it has: {names}")
        raise InputRefused(no_sheet, file=file, sheet=wanted, names=_listed(names))
    several = wording("{file} has {sheets} sheets: {names}. Name the one to read with {flag}")
    found: Sequence[str] = names
    if len(names) <= _MOST_SHEETS:
        several = wording("{file} has {sheets} sheets that hold something: {names}. Name the one to read with {flag}")
        found = book.filled()
    if not found:
        raise empty(file)
    if len(found) > 1:
        flag, sheets = setting("sheet", "NAME"), Quantity(len(found))
        raise InputRefused(several, file=file, sheets=sheets, names=_listed(found), flag=flag)
    return found[0]


def _listed(names: Sequence[str]) -> str:
    named = ", ".join(repr(name) for name in names[:_MOST_LISTED])
    if len(names) <= _MOST_LISTED:
        return named
    return said("{named} and {more} more", named=named, more=Quantity(len(names) - _MOST_LISTED))


# ---- faults of cells -----------------------------------------------------------------------------------------------

NO_VALUE: Final = CellFault(
    said("holds a formula without its value: open the workbook in Excel or LibreOffice, save it, and take that file")
)
"""A formula without a calculated value."""
CONTRADICTS_ITSELF: Final = CellFault(
    said(
        "has a value that is not of the kind that it names: open the workbook in Excel or LibreOffice, save it, and "
        "take that file"
    )
)
"""A cell with an ambiguous value: two values, or one that does not match its type."""


def an_error(error: str) -> CellFault:
    return CellFault(said("holds the error {error}", error=error[:40]))


def bad_value(error: ValueError) -> CellFault:
    return CellFault(said("holds what its kind does not allow: {error}", error=error))


def too_long(name: str, column: int, row: int) -> InputRefused:
    longer, cell = wording("{file}, cell {cell} is longer than {most} characters"), address(column, row)
    return InputRefused(longer, file=name, cell=cell, most=Quantity(LONGEST_CELL))


def out_of_order(name: str, column: int, row: int) -> InputRefused:
    """The refusal of a workbook with a cell out of order, or outside the largest sheet."""
    broken = wording("{file} is broken: the cell {cell} is out of its order, or beyond any sheet")
    return InputRefused(broken, file=name, cell=address(column, row))
