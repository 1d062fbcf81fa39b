"""The exact place of a fault in a file: the slow second reading after an error, for the message.

Columns count characters of the physical line, from 1; physical lines end with LF, CR or both.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, TextIO

from texts.remedies import setting
from texts.said import Quantity, said

HEAD: Final = 8 * 1024
"""Bytes from which the format of a file is detected."""
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""Magic numbers of a ZIP archive and of an empty one."""
OLE2: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Magic number of an old workbook (.xls), and of an encrypted new one."""

_CHUNK: Final = 64 * 1024
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SIGNATURES: Final = (
    (OLE2, said("is an Excel workbook of the old kind (.xls): save it as .xlsx or CSV UTF-8")),
    (b"\x1f\x8b", said("is compressed with gzip: unpack it first")),
    (b"%PDF-", said("is a PDF document, not a table: save the table itself as .xlsx or CSV UTF-8")),
    (b"{\\rtf", said("is a text document (RTF), not a table: save the table itself as .xlsx or CSV UTF-8")),
)
_MARKUP: Final = (b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta", b"<head")


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a text: line and column from 1."""

    line: int
    column: int

    @property
    def words(self) -> str:
        """The place in words."""
        return said("line {line}, column {column}", line=self.line, column=self.column)


def no_text(head: bytes, *, wide: bool) -> str | None:
    """What a file is whose first bytes are not text, and the remedy: a predicate to its name. None for text.

    `wide` means that a codec of two or four bytes a character was given: a UTF-16 BOM is then no fault.
    """
    if head.startswith(ZIP):
        if b"xl/" in head or b"[Content_Types].xml" in head:
            return said("is an Excel workbook: save it as CSV UTF-8")
        return said("is a ZIP archive: unpack it first")
    if head.startswith(_UTF_16) and not wide:
        return said("is UTF-16: save it as CSV UTF-8, or give {flag}", flag=setting("encoding", "utf-16"))
    if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_MARKUP):
        return said("is a page of HTML or XML, whatever its name says: save the table as .xlsx or CSV UTF-8")
    return next((what for signature, what in _SIGNATURES if head.startswith(signature)), None)


def not_this_encoding(file: BinaryIO, codec: str) -> str:
    """The first place of bytes that are invalid in `codec`, in words."""
    name = "UTF-8" if codec == "utf-8-sig" else codec
    decoder = codecs.getincrementaldecoder(codec)("strict")
    line, column, ended_in_cr = 1, 0, False
    read = 0
    while True:
        chunk = file.read(_CHUNK)
        read += len(chunk)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # `object` holds the decoder's rest of the previous chunk, and this chunk.
            good, bad = error.object[: error.start], error.object[error.start :]
            before = good.decode(codec.removesuffix("-sig"), "ignore")
            line, column, _ = _advance(before, line, column, ended_in_cr=ended_in_cr)
            place = read - len(bad) + 1
            return said(
                "{place}: byte {byte} (byte {number} of the file) is not {encoding}",
                place=Spot(line, column + 1).words,
                byte=f"0x{bad[0]:02X}",
                number=place,
                encoding=name,
            )
        if not chunk:
            return said("cannot be read as {encoding}", encoding=name)
        line, column, ended_in_cr = _advance(text, line, column, ended_in_cr=ended_in_cr)


def spot_of(file: BinaryIO, place: int) -> Spot:
    """The line and column of the byte at `place`, from 0, in an encoding of one byte a character."""
    line, column, ended_in_cr = 1, 0, False
    while place > 0 and (chunk := file.read(min(place, _CHUNK))):
        place -= len(chunk)
        line, column, ended_in_cr = _advance(chunk.decode("latin-1"), line, column, ended_in_cr=ended_in_cr)
    return Spot(line, column + 1)


def quoting(file: TextIO, first_line: int, delimiter: str, longest: int) -> str:
    """Describe the fault in the quotes or cells of the row that begins on line `first_line`.

    `file` is at the beginning of that line.
    """
    opened: Spot | None = None
    closed = False
    begun, length = Spot(first_line, 1), 0
    for spot, character in _characters(file, first_line):
        if closed and character != '"':
            if character not in {delimiter, "\r", "\n"}:
                return said(
                    "{place}: {character!r} after the closing quote of a cell; a quote inside a cell is written "
                    'twice: "" (the cell begins at {begins})',
                    place=spot.words,
                    character=character,
                    begins=begun.words,
                )
            opened, closed = None, False
        if opened is None and (character == delimiter or character in "\r\n"):
            begun, length = Spot(spot.line, spot.column + 1), 0
            continue
        if character == '"' and opened is None and length == 0:
            opened = begun = spot
            continue
        if character == '"' and opened is not None:
            closed = not closed
        length += 1
        if length > longest:
            if opened is None:
                return said(
                    "{place}: a cell begins that is longer than {most} characters",
                    place=begun.words,
                    most=Quantity(longest),
                )
            return said(
                "{place}: a quote opens that is not closed within {most} characters; close it or remove it",
                place=opened.words,
                most=Quantity(longest),
            )
    if opened is not None and not closed:
        return said("{place}: a quote opens that is never closed; close it or remove it", place=opened.words)
    return said("line {line}: the row cannot be taken apart", line=first_line)


def _characters(file: TextIO, line: int) -> Iterator[tuple[Spot, str]]:
    """Each character with its place; a line end belongs to the line that it ends."""
    while text := file.readline(_CHUNK):
        column = 0
        while text:
            for column, character in enumerate(text, column + 1):  # noqa: B020 - goes on in a long line
                yield Spot(line, column), character
            if text.endswith(("\n", "\r")):
                break
            text = file.readline(_CHUNK)
        line += 1


def _advance(text: str, line: int, column: int, *, ended_in_cr: bool) -> tuple[int, int, bool]:
    """Line and column after `text`, which came after a CR when `ended_in_cr`."""
    if not text:
        return line, column, ended_in_cr
    line += text.count("\n") + text.count("\r") - text.count("\r\n")
    if ended_in_cr and text.startswith("\n"):
        line -= 1
    last = max(text.rfind("\n"), text.rfind("\r"))
    column = len(text) - last - 1 if last >= 0 else column + len(text)
    return line, column, text.endswith("\r")
