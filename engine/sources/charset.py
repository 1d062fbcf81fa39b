"""Which encoding a text is in, where nobody says: UTF-8 when it is that from end to end, else CP1251 when it must be.

Nothing is guessed between two that fit: bytes that are UTF-8 by chance do not occur in Russian text, and CP1251 is
taken only when it gives hardly anything but letters, and no other old encoding gives clearly more Russian ones. That
it was taken is told. General detectors were tried and are no use here: of a table with a few Cyrillic letters among
its digits they make Korean.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from typing import BinaryIO, Final

from engine.errors import InputRefused
from engine.sources import faults, options
from engine.sources.original import Original

AUTO: Final = "auto"
UTF_8: Final = "utf-8-sig"
"""UTF-8 with or without a BOM, in Python's spelling."""
CP1251: Final = "cp1251"

_CHUNK: Final = 256 * 1024
_SAMPLE: Final = 64 * 1024
"""High bytes whose letters are weighed; all of them are counted."""

_ASCII: Final = bytes(range(0x80))
_LETTERS: Final = bytes((*range(0xC0, 0x100), *b"\xa8\xb8\xb9", *b"\xa1\xa2\xa5\xaa\xaf\xb2\xb3\xb4\xba\xbf"))
"""In CP1251: А to я, Ё, ё, №, and the letters of Ukrainian and Belarusian."""
_SIGNS: Final = "„…€‰‹‘’“”•–—™›\xa0¦§©«\xad®°±·»".encode("cp1251")
"""In CP1251: quotes, dashes, the no-break space and other signs that stand in Russian text."""
_BESIDE_LATIN: Final = re.compile(rb"[A-Za-z][\xc0-\xff]|[\xc0-\xff][A-Za-z]")
"""Müller, in Western Europe's encoding, would be Mьller in CP1251."""
_UTF_8_LETTER: Final = re.compile(rb"[\xd0\xd1][\x80-\xbf]")
"""Where half of the bytes are of these, it is UTF-8 with a fault, or with another encoding's lines among its own."""
_MOSTLY: Final = 0.75
_RARELY: Final = 0.25
_HARDLY: Final = 0.01

_RIVALS: Final = {"koi8-r": "KOI8-R", "cp866": "CP866", "iso8859-5": "ISO 8859-5"}
_ENOUGH: Final = 6
"""Different letters from which a language can be told; the prefix of a contract's number has fewer."""
_CLEARLY: Final = 0.5
_PER_MILLE: Final = {
    letter: times
    for letters, times in {
        "о": 110,
        "е": 84,
        "а": 80,
        "и": 74,
        "н": 67,
        "т": 63,
        "с": 55,
        "рвл": 45,
        "кмд": 32,
        "пуя": 25,
        "ыьгзбч": 17,
        "йхж": 10,
        "шюцщ": 5,
        "эф": 3,
    }.items()
    for letter in letters
}
"""How often a letter stands in Russian text."""
_HARDLY_EVER: Final = 0.1
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


def told(original: Original, encoding: str) -> Charset:
    """The encoding of a text: the one that is named, or for "auto" the one that its bytes tell.

    Raises `InputRefused`, with line and column, when they are neither UTF-8 nor surely CP1251.
    """
    if not is_auto(encoding):
        return Charset(named(encoding))
    with original.open() as file:
        if file.read(2) in _UTF_16:
            return Charset("utf-16", "read as UTF-16, as its first bytes say")
    with original.open() as file:
        if _is_utf_8(file):
            return Charset(UTF_8)
    verdict = cyrillic(original)
    if verdict == CP1251:
        return Charset(CP1251, "read as CP1251, for its bytes are not UTF-8")
    with original.open() as file:
        words = faults.not_this_encoding(file, UTF_8)
    raise InputRefused(f"{original.name}, {words}; {advice(verdict)}")


def cyrillic(original: Original) -> str:
    """What the bytes are that are not UTF-8: `CP1251`, a rival whose letters are more Russian, or "" for neither."""
    high = letters = strange = beside_latin = 0
    sample = bytearray()
    with original.open() as file:
        for chunk in _chunks(file):
            above = chunk.translate(None, _ASCII)
            high += len(above)
            others = above.translate(None, _LETTERS)
            letters += len(above) - len(others)
            strange += len(others.translate(None, _SIGNS))
            beside_latin += sum(1 for _ in _BESIDE_LATIN.finditer(chunk))
            sample += above[: _SAMPLE - len(sample)]
    if len(b"".join(_UTF_8_LETTER.findall(sample))) > len(sample) / 2:
        return ""
    counts = Counter(bytes(sample))
    own = _weight(counts, CP1251)
    rival = max(_RIVALS, key=lambda codec: _weight(counts, codec))
    if len(counts) >= _ENOUGH and _weight(counts, rival) > own + _CLEARLY:
        return rival
    fits = letters >= _MOSTLY * high and strange <= _HARDLY * high and beside_latin <= _RARELY * letters
    return CP1251 if fits else ""


def advice(verdict: str) -> str:
    """What to do about bytes that are not UTF-8, by what `cyrillic` says of them."""
    if verdict == CP1251:
        return f"it looks like CP1251: give {options.ENCODING}cp1251"
    if verdict:
        return f"it may be {_RIVALS[verdict]}, or CP1251: say which with {options.ENCODING}{verdict} or cp1251"
    return f"save the file as CSV UTF-8, or name its encoding with {options.ENCODING}…"


def _is_utf_8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        for chunk in _chunks(file):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _weight(counts: Counter[int], codec: str) -> float:
    """How Russian the letters are that a codec makes of these bytes: the mean logarithm of their frequency."""
    total = 0.0
    for byte, times in counts.items():
        letter = bytes((byte,)).decode(codec, "replace").casefold()
        total += times * log(_PER_MILLE.get(letter, _HARDLY_EVER))
    return total / max(counts.total(), 1)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
