"""Encoding detection of a text: UTF-8 if all of it is valid UTF-8, otherwise an old Cyrillic encoding.

`cyrillic.py` detects the old encoding from the words, and a note names it. If two encodings fit and give different
texts, nothing is guessed: the operator is asked, and shown a word in both.
"""

import codecs
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, TextIO, TypeAlias

from engine.errors import InputRefused
from engine.rows import LastLine
from engine.sources.raw import cyrillic
from engine.sources.raw import fault_places as faults
from engine.sources.raw.cyrillic import NAMES, Doubt
from engine.sources.raw.original import Original, unreadable
from engine.sources.raw.source import LONGEST_CELL
from texts.remedies import setting
from texts.said import Quantity, any_of, said

AUTO: Final = "auto"
UTF_8: Final = "utf-8-sig"
"""UTF-8 with or without a BOM, in Python's spelling."""

_CHUNK: Final = 256 * 1024
_TWO: Final = 2
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Charset:
    """A codec in Python's spelling; `note` explains a detected encoding, "" if no note is needed."""

    codec: str
    note: str = ""


def named(encoding: str) -> str:
    """The codec of a name, in Python's spelling. Raises `InputRefused` for an unknown name."""
    try:
        codec = codecs.lookup(encoding.strip())
        # Some codecs, such as rot13, do not decode bytes; otherwise only open() would fail.
        bytes(4).decode(codec.name)
    except (LookupError, ValueError) as error:
        raise InputRefused(
            "there is no encoding {encoding!r}; use auto, utf-8 or cp1251", encoding=encoding
        ) from error
    # With plain utf-8, a BOM would become part of the first name.
    return UTF_8 if codec.name == "utf-8" else codec.name


def is_wide(codec: str) -> bool:
    """Whether the codec has two or four bytes a character."""
    return codec.startswith(("utf-16", "utf-32"))


def is_auto(encoding: str) -> bool:
    """Whether the encoding is to be detected."""
    return encoding.strip().casefold() == AUTO


_BEGINNING: Final = 64
"""Bytes in which the start of a JSON object is looked for."""


def detect_charset(original: Original, encoding: str) -> Charset:
    """The encoding of a text: the one given, or for "auto" the one detected from its bytes.

    Raises `InputRefused`, with line and column, if it cannot be detected.
    """
    if not is_auto(encoding):
        return Charset(named(encoding))
    with original.open() as file:
        if file.read(2) in _UTF_16:
            return Charset("utf-16", said("read as UTF-16, as its first bytes say"))
    with original.open() as file:
        is_utf_8 = _is_utf_8(file)
    if is_utf_8:
        if doubt := _doubtful_utf_8(original):
            raise _question(original, doubt)
        return Charset(UTF_8)
    verdict = verdict_on(original)
    match verdict:
        case str():
            return Charset(verdict, said("read as {encoding}, for its bytes are not UTF-8", encoding=NAMES[verdict]))
        case Doubt():
            raise _question(original, verdict)
    with original.open() as file:
        fault = faults.not_this_encoding(file, UTF_8)
    raise _undecodable(original.name, fault, verdict)


Verdict: TypeAlias = str | Doubt | None
"""The codec, a doubt between several, or None if none fits."""


def verdict_on(original: Original) -> Verdict:
    """The verdict on bytes that are not UTF-8."""
    with original.open() as file:
        words = list(cyrillic.distinct_words(file))
    return None if cyrillic.holds_utf_8(words) else cyrillic.judge(words)


def _undecodable(name: str, fault: str, verdict: Verdict) -> InputRefused:
    """The refusal of bytes that are not in the encoding, with the remedy by the verdict on them."""
    match verdict:
        case str():
            remedy = said(
                "it looks like {encoding}: give {flag}", encoding=NAMES[verdict], flag=setting("encoding", verdict)
            )
        case Doubt():
            names = [NAMES.get(codec, "UTF-8") for codec in verdict.codecs]
            remedy = said(
                "it may be {encodings}: say which with {flags}", encodings=any_of(names), flags=_flags(verdict)
            )
        case _:
            remedy = said(
                "save the file as CSV UTF-8, or name its encoding with {flag}", flag=setting("encoding", "…")
            )
    return InputRefused("{file}, {fault}; {remedy}", file=name, fault=fault, remedy=remedy)


def _doubtful_utf_8(original: Original) -> Doubt | None:
    with original.open() as file:
        head = file.read(_BEGINNING)
    # JSON is UTF-8, as its standard says (RFC 8259, 8.1).
    if head.startswith(codecs.BOM_UTF8) or head.lstrip().startswith(b"{"):
        return None
    with original.open() as file:
        return cyrillic.by_chance_utf_8(cyrillic.distinct_words(file))


def _question(original: Original, doubt: Doubt) -> InputRefused:
    with original.open() as file:
        spot = faults.spot_of(file, doubt.word.place)
    return InputRefused(
        "{file}, {place}: the encoding cannot be told from so few letters: this is {readings}. Say which is "
        "right with {flags}",
        file=original.name,
        place=spot.words,
        readings=doubt.readings,
        flags=_flags(doubt),
    )


def _flags(doubt: Doubt) -> str:
    """The settings for the encodings of a doubt, one of which is to be given."""
    return any_of([str(setting("encoding", codec)) for codec in doubt.codecs])


def _is_utf_8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        for chunk in _chunks(file):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


LONGEST_LINE: Final = 8 * LONGEST_CELL
"""Maximum length of a physical line, in characters; a longer one counts as a fault of the file."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    """An original with its codec. Line ends are LF, CR or both, and are kept."""

    original: Original
    codec: str

    @property
    def name(self) -> str:
        """The name of the original."""
        return self.original.name

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open the text at its first line. Raises `InputRefused`, with the place of undecodable bytes."""
        try:
            with io.TextIOWrapper(self.original.open(), encoding=self.codec, errors="strict", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise self._not_this_encoding() from error
        except OSError as error:
            raise unreadable(self.name, error) from error

    def lines(self, file: TextIO, start: int = 0) -> Iterator[str]:
        """The physical lines after line `start`, with their ends; `file` is already at that place.

        Raises `InputRefused`, naming the line, for content that is not text.
        """
        number = start
        while line := file.readline(LONGEST_LINE):
            number += 1
            if "\0" in line:
                spot = faults.Spot(number, line.index("\0") + 1)
                raise InputRefused(
                    "{file}, {place}: a NUL byte, which no text file has; save it as CSV UTF-8",
                    file=self.name,
                    place=spot.words,
                )
            if len(line) >= LONGEST_LINE:
                raise InputRefused(
                    "{file}, line {line} is longer than {most} characters",
                    file=self.name,
                    line=number,
                    most=Quantity(LONGEST_LINE),
                )
            yield line

    def numbered(self) -> Iterator[tuple[int, str]]:
        """The non-blank lines without their ends, with their numbers from 1."""
        with self.open() as file:
            for number, line in enumerate(self.lines(file), 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last line, where it has no end and others have: the text may have been cut there.

        Raises `InputRefused`.
        """
        try:
            last = self._wide_tail() if is_wide(self.codec) else self._tail().decode(self.codec, "replace")
        except OSError as error:
            raise unreadable(self.name, error) from error
        return (LastLine(self.name, last.strip()),) if last.strip() else ()

    def _tail(self) -> bytes:
        """The bytes behind the last line end; none where there is no line end."""
        tail = b""
        with self.original.open() as file:
            end = file.seek(0, os.SEEK_END)
            while end and len(tail) < LONGEST_LINE:
                start = max(end - _CHUNK, 0)
                file.seek(start)
                tail = file.read(end - start) + tail
                if (place := max(tail.rfind(b"\n"), tail.rfind(b"\r"))) >= 0:
                    return tail[place + 1 :]
                end = start
        return b""

    def _wide_tail(self) -> str:
        """The same of a text with two or four bytes a character, which is read whole."""
        with self.open() as file:
            number, last = 0, ""
            for number, last in enumerate(self.lines(file), 1):  # noqa: B007 - the last one counts
                pass
        return "" if number < _TWO or last.endswith(("\n", "\r")) else last

    def _not_this_encoding(self) -> InputRefused:
        with self.original.open() as file:
            fault = faults.not_this_encoding(file, self.codec)
        return _undecodable(self.name, fault, verdict_on(self.original) if self.codec == UTF_8 else None)
