"""The one door to what people have: a file or standard input, of whichever kind, as a source of rows.

The kind is told by the first bytes, and by the ending of the name only where these leave it open.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from engine.errors import InputRefused
from engine.rows import RowPage, Source
from engine.sources.exported import restore_cells
from engine.sources.raw import charset, options
from engine.sources.raw import fault_places as faults
from engine.sources.raw.charset import AUTO, DecodedText
from engine.sources.raw.original import FileOnDisk, Original, StandardInput, empty
from engine.sources.raw.source import bare_names, check_given
from engine.sources.text.delimited import DelimitedFile, announced_by
from engine.sources.text.isql import PrintedRows, form_of
from engine.sources.text.json_lines import JsonLines
from engine.sources.workbook.archive import Archive
from engine.sources.workbook.ods import OpenDocumentBook, is_ods
from engine.sources.workbook.sheet_source import SheetRows
from engine.sources.workbook.workbook import Book
from engine.sources.workbook.xlsx import ExcelBook, is_xlsx

_MARK: Final = "EncryptedPackage".encode("utf-16-le")
"""The name of the stream that holds the encrypted workbook, in the container's directory."""
_CHUNK: Final = 1024 * 1024


def is_behind_a_password(original: Original) -> bool:
    """Whether the container holds an encrypted workbook. Raises `InputRefused` when it cannot be read."""
    before = b""
    with original.open() as file:
        while chunk := file.read(_CHUNK):
            if _MARK in before + chunk:
                return True
            before = chunk[-len(_MARK) :]
    return False


_OBJECT: Final = re.compile(r'\s*\{\s*["}]')
_LIST: Final = re.compile(r"\s*\[\s*[\[{\]]")
_JSON: Final = frozenset({".json", ".jsonl", ".ndjson"})
_DELIMITED: Final = frozenset({".csv", ".tsv", ".tab"})
_SPELLED: Final = {"\\t": "\t", "tab": "\t", "TAB": "\t"}
_HEAD_LINES: Final = 200
_HEAD_CHARACTERS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """What is said of an input; all of it may be left to be found out.

    `encoding` is "auto" or the name of a codec; `delimiter` one character, or "" where it is to be found; `sheet` the
    name of the sheet of a workbook; `columns` the names of the columns of an input without a header.
    """

    encoding: str = AUTO
    delimiter: str = ""
    sheet: str = ""
    columns: tuple[str, ...] = ()


@runtime_checkable
class Input(Source, Protocol):
    """A source that can tell how it is read."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How the input is read, as far as nobody has said so, each in a few words. Raises `InputRefused`."""
        ...


def notes_of(source: Source) -> tuple[str, ...]:
    """How a source is read, as far as nobody has said so; nothing for one that cannot tell. Raises `InputRefused`."""
    return source.notes if isinstance(source, Input) else ()


def open_input(path: Path | None, layout: Layout, *, page_rows: int = 1000) -> Input:
    """The rows of a file, or of standard input for None.

    Nothing is read before the first question, which is to be asked in a worker thread. Raises `InputRefused` for a
    layout that makes no sense; what is wrong with the input is raised when it is asked for.
    """
    if not charset.is_auto(layout.encoding):
        charset.named(layout.encoding)
    delimiter = _SPELLED.get(layout.delimiter, layout.delimiter)
    if len(delimiter) > 1 or delimiter in {'"', "\r", "\n", "\0"}:
        raise InputRefused(f"{options.DELIMITER} {layout.delimiter}: one character is expected, as ; or tab")
    columns = check_given(layout.columns)
    original = StandardInput() if path is None else FileOnDisk(path)
    return _Told(original, Layout(layout.encoding, delimiter, layout.sheet, columns), page_rows)


class _Told:
    """An `Input` that finds out what it is when it is first asked."""

    __slots__ = ("_found", "_layout", "_original", "_page_rows")

    checked_whole = True

    def __init__(self, original: Original, layout: Layout, page_rows: int) -> None:
        self._original = original
        self._layout = layout
        self._page_rows = page_rows
        self._found: tuple[Source, tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        """The path as it was given, or "standard input"."""
        return self._original.name

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes in hexadecimal. Raises `InputRefused`."""
        return self._original.digest

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns. Raises `InputRefused`."""
        return self._told()[0].header

    @property
    def notes(self) -> tuple[str, ...]:
        """How the input is read. Raises `InputRefused`."""
        return self._told()[1]

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`, naming line and column, or the cell."""
        yield from self._told()[0].pages(after)

    def _told(self) -> tuple[Source, tuple[str, ...]]:
        if self._found is None:
            source, notes = _tell(self._original, self._layout, self._page_rows)
            self._found = restore_cells(source), notes
        return self._found


def _tell(original: Original, layout: Layout, page_rows: int) -> tuple[Source, tuple[str, ...]]:
    with original.open() as file:
        head = file.read(faults.HEAD)
    if head.startswith(faults.OLE2) and is_behind_a_password(original):
        raise InputRefused(f"{original.name} is behind a password: save it without one")
    if head.startswith(faults.ZIP):
        book = _book(original)
        columns = bare_names(layout.columns)
        rows = SheetRows(original, book, sheet=layout.sheet, columns=columns, page_rows=page_rows)
        return rows, (f"{book.words}, sheet {rows.sheet!r}",)
    if layout.sheet:
        raise InputRefused(f"{original.name} is no workbook and has no sheets: leave {options.SHEET} out")
    auto = charset.is_auto(layout.encoding)
    if trouble := faults.no_text(head, wide=auto or charset.is_wide(charset.named(layout.encoding))):
        raise InputRefused(f"{original.name} {trouble}")
    found = charset.detect_charset(original, layout.encoding)
    source, words = _of_text(DecodedText(original, found.codec), layout, page_rows)
    return source, tuple(note for note in (words, found.note) if note)


def _book(original: Original) -> Book:
    archive = Archive(original)
    if is_ods(archive):
        return OpenDocumentBook(archive)
    if is_xlsx(archive):
        return ExcelBook(archive)
    raise InputRefused(f"{original.name} is a ZIP archive and no workbook: unpack it first")


def _of_text(text: DecodedText, layout: Layout, page_rows: int) -> tuple[Source, str]:
    """The source that a text is, with the words for it where its name does not say so."""
    head = _head(text)
    first = next((line for line in head if line.strip()), None)
    if first is None:
        raise empty(text.name)
    suffix = text.original.suffix
    if _LIST.match(first) and suffix not in _DELIMITED:
        raise InputRefused(
            f"{text.name} is a list of JSON, and one object a line is expected: write it anew with jq -c '.[]'"
        )
    if _OBJECT.match(first) or (suffix in _JSON and not layout.columns):
        if layout.columns:
            raise InputRefused(f"{text.name} names its columns itself: leave {options.COLUMNS} out")
        return JsonLines(text, page_rows=page_rows), "JSON lines"
    if not layout.delimiter and not announced_by(first):
        form = form_of(text, head, layout.columns, may_be_bare=suffix not in _DELIMITED)
        if form is not None:
            return PrintedRows(text, form, page_rows=page_rows), form.words
    csv = DelimitedFile(
        text.original,
        encoding=text.codec,
        delimiter=layout.delimiter,
        columns=bare_names(layout.columns),
        page_rows=page_rows,
    )
    return csv, ""


def _head(text: DecodedText) -> list[str]:
    """The first lines, without their ends."""
    lines: list[str] = []
    size = 0
    with text.open() as file:
        for line in islice(text.lines(file), _HEAD_LINES):
            lines.append(line.rstrip("\r\n"))
            size += len(line)
            if size > _HEAD_CHARACTERS:
                break
    return lines
