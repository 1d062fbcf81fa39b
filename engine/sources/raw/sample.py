"""The sample of an input for format detection: its first bytes, and its first lines if it is text."""

import codecs
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from engine.errors import InputRefused
from engine.sources.raw import charset
from engine.sources.raw.charset import AUTO, UTF_16, Charset, DecodedText
from engine.sources.raw.original import Original, empty
from texts.remedies import setting
from texts.said import said

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
        """The first bytes."""
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
        """The first non-blank line of the text."""
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
        wide = charset.is_auto(encoding) or charset.is_wide(charset.named(encoding))
        if trouble := _no_text(self.start, wide=wide):
            raise InputRefused("{file} {trouble}", file=self.name, trouble=trouble)
        return charset.detect_charset(self.original, encoding)


def _no_text(head: bytes, *, wide: bool) -> str | None:
    """What a file is whose first bytes are not text, and the remedy: a predicate to its name. None for text.

    `wide` means that a codec of two or four bytes a character was given: a UTF-16 BOM is then no fault.
    """
    if head.startswith(UTF_16) and not wide:
        return said("is UTF-16: save it as CSV UTF-8, or give {flag}", flag=setting("encoding", "utf-16"))
    if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_MARKUP):
        return said("is a page of HTML or XML, whatever its name says: save the table as .xlsx or CSV UTF-8")
    return next((what for signature, what in _SIGNATURES if head.startswith(signature)), None)
