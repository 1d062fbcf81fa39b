"""Which encoding a text is in, where nobody says: UTF-8 when it is that from end to end, else an old Cyrillic one.

Which of the old ones it is `cyrillic.py` tells by the words; what it takes is said in a note. Where two encodings fit
and give different texts nothing is guessed: the operator is asked, and shown what both make of a word.
"""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, TextIO, TypeAlias

from engine.errors import InputRefused, Said, setting
from engine.sources.raw import cyrillic
from engine.sources.raw import fault_places as faults
from engine.sources.raw.cyrillic import NAMES, Doubt
from engine.sources.raw.original import Original, unreadable
from engine.sources.raw.source import LONGEST_CELL

AUTO: Final = "auto"
UTF_8: Final = "utf-8-sig"
"""UTF-8 with or without a BOM, in Python's spelling."""

_CHUNK: Final = 256 * 1024
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Charset:
    """A codec in Python's spelling; `note` says that nobody asked for it and why it was taken, "" where none need."""

    codec: str
    note: str = ""


def named(encoding: str) -> str:
    """The codec of a name, in Python's own spelling. Raises `InputRefused` for one that there is not."""
    try:
        codec = codecs.lookup(encoding.strip())
        # Some codecs, as rot13, know no bytes: open() would be the first to say so.
        bytes(4).decode(codec.name)
    except (LookupError, ValueError) as error:
        raise InputRefused(f"there is no encoding {encoding!r}; use auto, utf-8 or cp1251") from error
    # A BOM before a named UTF-8 would become part of the first name.
    return UTF_8 if codec.name == "utf-8" else codec.name


def is_wide(codec: str) -> bool:
    """Whether a character takes two bytes of the codec, or four."""
    return codec.startswith(("utf-16", "utf-32"))


def is_auto(encoding: str) -> bool:
    """Whether the encoding is to be told from the bytes."""
    return encoding.strip().casefold() == AUTO


_BEGINNING: Final = 64
"""Bytes by which an object of JSON is known."""


def detect_charset(original: Original, encoding: str) -> Charset:
    """The encoding of a text: the one that is named, or for "auto" the one that its bytes tell.

    Raises `InputRefused`, with line and column, when that cannot be told.
    """
    if not is_auto(encoding):
        return Charset(named(encoding))
    with original.open() as file:
        if file.read(2) in _UTF_16:
            return Charset("utf-16", "read as UTF-16, as its first bytes say")
    with original.open() as file:
        is_utf_8 = _is_utf_8(file)
    if is_utf_8:
        if doubt := _doubtful_utf_8(original):
            raise _question(original, doubt)
        return Charset(UTF_8)
    verdict = verdict_on(original)
    match verdict:
        case str():
            return Charset(verdict, f"read as {NAMES[verdict]}, for its bytes are not UTF-8")
        case Doubt():
            raise _question(original, verdict)
    with original.open() as file:
        words = faults.not_this_encoding(file, UTF_8)
    raise InputRefused(f"{original.name}, {words}; ", *advice(verdict))


Verdict: TypeAlias = str | Doubt | None
"""The codec, several that fit, or None where none does."""


def verdict_on(original: Original) -> Verdict:
    """What the bytes are that are not UTF-8."""
    with original.open() as file:
        words = list(cyrillic.distinct_words(file))
    return None if cyrillic.holds_utf_8(words) else cyrillic.judge(words)


def advice(verdict: Verdict) -> Said:
    """What to do about bytes that are not UTF-8, by what `verdict_on` says of them."""
    match verdict:
        case str():
            return f"it looks like {NAMES[verdict]}: give ", setting("encoding", verdict)
        case Doubt():
            names = [NAMES.get(codec, "UTF-8") for codec in verdict.codecs]
            return f"it may be {', '.join(names[:-1])} or {names[-1]}: say which with ", *_either(verdict)
    return "save the file as CSV UTF-8, or name its encoding with ", setting("encoding", "…")


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
        f"{original.name}, {spot}: the encoding cannot be told from so few letters: this is {doubt.readings}. Say "
        "which is right with ",
        *_either(doubt),
    )


def _either(doubt: Doubt) -> Said:
    """The encodings of a doubt, one of which is to be given."""
    *before, last = (setting("encoding", codec) for codec in doubt.codecs)
    listed = [part for each in before for part in (", ", each)]
    return *listed[1:], " or ", last


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
"""Characters of a physical line; what is longer is taken for a mistake of the file."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Bytes and the codec that they are read by. Line ends are LF, CR or both, and stay as they are."""

    original: Original
    codec: str

    @property
    def name(self) -> str:
        """What the original is called."""
        return self.original.name

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """One more reading, from the first line. Raises `InputRefused`, with the place of bytes that are no text."""
        try:
            with io.TextIOWrapper(self.original.open(), encoding=self.codec, errors="strict", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise self._not_this_encoding() from error
        except OSError as error:
            raise unreadable(self.name, error) from error

    def lines(self, file: TextIO, start: int = 0) -> Iterator[str]:
        """The physical lines after line `start`, with their ends; `file` stands there already.

        Raises `InputRefused`, naming the line, for what no text has.
        """
        number = start
        while line := file.readline(LONGEST_LINE):
            number += 1
            if "\0" in line:
                spot = faults.Spot(number, line.index("\0") + 1)
                raise InputRefused(f"{self.name}, {spot}: a NUL byte, which no text file has; save it as CSV UTF-8")
            if len(line) >= LONGEST_LINE:
                raise InputRefused(f"{self.name}, line {number} is longer than {LONGEST_LINE} characters")
            yield line

    def numbered(self) -> Iterator[tuple[int, str]]:
        """All lines that are not blank, without their ends, each with its number from 1."""
        with self.open() as file:
            for number, line in enumerate(self.lines(file), 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")

    def _not_this_encoding(self) -> InputRefused:
        with self.original.open() as file:
            words = faults.not_this_encoding(file, self.codec)
        verdict = verdict_on(self.original) if self.codec == UTF_8 else None
        return InputRefused(f"{self.name}, {words}; ", *advice(verdict))
