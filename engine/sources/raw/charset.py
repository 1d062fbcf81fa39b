"""Encoding detection of a text: UTF-8 if all of it is valid UTF-8, otherwise an old Cyrillic encoding.

The words tell the old encoding, and a note names it: each of CP1251, KOI8-R, CP866 and ISO 8859-5 decodes nearly the
same bytes to Russian letters. Two methods judge the distinct words, as repeated rows add nothing: letter frequencies
with the places of capitals, and charset-normalizer, restricted to these four. If they disagree, or there are too few
words, nothing is guessed: the operator is asked, and shown a word in both.

Columns in places count characters of the physical line, from 1; physical lines end with LF, CR or both.
"""

import codecs
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from typing import BinaryIO, Final, TextIO, TypeAlias

from engine.errors import InputRefused
from engine.rows import LastLine
from engine.sources.raw.original import Original, unreadable
from engine.sources.raw.source import LONGEST_CELL
from texts.remedies import setting
from texts.said import Quantity, any_of, said

AUTO: Final = "auto"
UTF_8: Final = "utf-8-sig"
"""UTF-8 with or without a BOM, in Python's spelling."""

_CHUNK: Final = 256 * 1024
_TWO: Final = 2
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a text: line and column from 1."""

    line: int
    column: int

    @property
    def words(self) -> str:
        """The place in words."""
        return said("line {line}, column {column}", line=self.line, column=self.column)


@dataclass(frozen=True, slots=True)
class Charset:
    """A codec in Python's spelling; `note` explains a detected encoding, "" if no note is needed."""

    codec: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class CyrillicWord:
    """A word with at least one byte above ASCII, and its first place, from 0."""

    data: bytes
    place: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """Several possible encodings, the likeliest first; `word` is the first that they decode differently."""

    codecs: tuple[str, ...]
    word: CyrillicWord

    @property
    def readings(self) -> str:
        """The word in each encoding, in a sentence."""
        *others, last = (
            said("{word!r} in {encoding}", word=self.word.data.decode(codec), encoding=NAMES.get(codec, "UTF-8"))
            for codec in self.codecs
        )
        return said("{others} and {last}", others=tuple(others), last=last)


Verdict: TypeAlias = str | Doubt | None
"""The codec, a doubt between several, or None if none fits."""


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
        if file.read(2) in UTF_16:
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
        fault = not_this_encoding(file, UTF_8)
    raise _undecodable(original.name, fault, verdict)


def verdict_on(original: Original) -> Verdict:
    """The verdict on bytes that are not UTF-8."""
    with original.open() as file:
        words = list(distinct_words(file))
    return None if holds_utf_8(words) else judge(words)


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
        return by_chance_utf_8(distinct_words(file))


def _question(original: Original, doubt: Doubt) -> InputRefused:
    with original.open() as file:
        spot = spot_of(file, doubt.word.place)
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


# ---- the words of an old Cyrillic encoding -------------------------------------------------------------------------

CP1251: Final = "cp1251"
NAMES: Final[Mapping[str, str]] = {
    CP1251: "CP1251",
    "koi8-r": "KOI8-R",
    "cp866": "CP866",
    "iso8859-5": "ISO 8859-5",
}
"""The common names of the encodings, by their codecs in Python's spelling."""
_ISOLATED: Final = {"cp1251": CP1251, "koi8_r": "koi8-r", "cp866": "cp866", "iso8859_5": "iso8859-5"}
"""The codecs, by their names in charset-normalizer."""

_MOST_WORDS: Final = 20_000
"""Maximum number of distinct words kept: memory must not depend on the input."""
_LONGEST_WORD: Final = 64
_WORD: Final = re.compile(rb"[\x80-\xff][A-Za-z\x80-\xff]{0,63}")
_END_OF_WORD: Final = re.compile(rb"[A-Za-z\x80-\xff]{1,128}\Z")
_UTF_8_LETTERS: Final = re.compile(rb"(?:[\xd0\xd1][\x80-\xbf]){2}")
"""Two Russian letters in UTF-8: these bytes occur in no word of an old encoding."""

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
        "ё": 2,
        "ъ": 0.4,
        "іїєґў": 0.3,
    }.items()
    for letter in letters
}
"""Frequencies of letters in Russian text; letters of Ukrainian and Belarusian at the end."""
_SIGNS: Final = frozenset("„…€‰‹‘’“”•–—™›\xa0¦§°©«\xad®±·»№")
"""Quotes, dashes, the no-break space and other signs of Russian text."""
_SIGN: Final = log(0.001)
_STRANGE: Final = log(0.0001)
_LETTER: Final = {letter: log(times / 1000) for letter, times in _PER_MILLE.items()}
_ANY_LETTER: Final = log(1 / 32)
_FULL_WORD: Final = 4
"""Minimum length of a word for letter frequencies, in letters: a contract's prefix and ООО are shorter."""
_LOWER, _TITLE, _UPPER, _MIXED = log(0.5), log(0.35), log(0.15), log(0.0005)
_CLEARLY: Final = 7.0
"""Odds of a thousand to one, as a logarithm."""

_MOSTLY: Final = 0.75
_RARELY: Final = 0.25
_HARDLY: Final = 0.01


def distinct_words(file: BinaryIO) -> Iterator[CyrillicWord]:
    """The distinct words with a byte above ASCII, in order, up to the maximum number kept.

    A word begins with the first such byte, or with the one Latin letter before it.
    """
    seen: set[bytes] = set()
    for start, data in _between_words(file):
        new = set(_WORD.findall(data)) - seen
        if not new:
            continue
        for found in _WORD.finditer(data):
            if found[0] in new:
                new.remove(found[0])
                seen.add(found[0])
                begin = found.start() - data[max(found.start() - 1, 0) : found.start()].isalpha()
                yield CyrillicWord(data[begin : found.end()], start + begin)
                if len(seen) >= _MOST_WORDS:
                    return


def _between_words(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The bytes in chunks that end between words, each with its place."""
    rest, start = b"", 0
    while chunk := file.read(_CHUNK):
        data = rest + chunk
        unfinished = _END_OF_WORD.search(data, max(len(data) - 2 * _LONGEST_WORD, 0))
        end = unfinished.start() if unfinished else len(data)
        yield start, data[:end]
        rest = data[end:]
        start += end
    yield start, rest


def holds_utf_8(words: Sequence[CyrillicWord]) -> bool:
    """Whether some of the words are UTF-8: the text is then UTF-8 with a fault, or has two encodings."""
    return any(_UTF_8_LETTERS.search(word.data) for word in words)


def judge(words: Sequence[CyrillicWord]) -> str | Doubt | None:
    """The codec of the words, a `Doubt` between several, or None if none of them gives Russian words."""
    weights = {codec: _weight(words, codec) for codec in NAMES}
    fitting = sorted((codec for codec in NAMES if _fits(words, codec)), key=lambda codec: -weights[codec])
    if not words or not fitting or max(weights.values()) - weights[fitting[0]] > _CLEARLY:
        return None
    likely = [codec for codec in fitting if weights[fitting[0]] - weights[codec] <= _CLEARLY]
    other = _other_witness(words, fitting[0])
    if other in fitting and other not in likely:
        likely.append(other)
    return _differing(words, likely)


def by_chance_utf_8(words: Iterator[CyrillicWord]) -> Doubt | None:
    """A `Doubt` if a text is valid UTF-8 without Russian words, but Russian in an old encoding.

    For example, фио in CP866 is one Chinese character in UTF-8; ТА in ISO 8859-5 is the degree sign.
    """
    strange: list[CyrillicWord] = []
    for word in words:
        if not _is_strange(word.data):
            return None
        strange.append(word)
        if not any(_is_plain(strange[-1:], codec) for codec in NAMES):
            return None
    codecs = [codec for codec in NAMES if _is_plain(strange, codec)]
    return Doubt((*codecs, "utf-8"), strange[0]) if strange and codecs else None


def _other_witness(words: Sequence[CyrillicWord], codec: str) -> str | None:
    """The codec that charset-normalizer prefers to this one, None for none."""
    # The import is slow, and few inputs need it.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    text = b"\n".join(word.data for word in words)
    matches = from_bytes(text, cp_isolation=[*_ISOLATED], enable_fallback=False)
    marks = {_ISOLATED[match.encoding]: (match.chaos, -match.coherence) for match in matches}
    if not marks or marks.get(codec) == min(marks.values()):
        return None
    return min(marks, key=marks.__getitem__)


def _differing(words: Sequence[CyrillicWord], codecs: Sequence[str]) -> str | Doubt:
    """The first codec if all of them decode the words alike, otherwise a doubt between them."""
    for word in words:
        if len({word.data.decode(codec) for codec in codecs}) > 1:
            return Doubt(tuple(codecs), word)
    return codecs[0]


def _weight(words: Sequence[CyrillicWord], codec: str) -> float:
    """The log-likelihood of the words as Russian text in this encoding."""
    return sum(_likeliness(word.data, codec) for word in words)


def _likeliness(data: bytes, codec: str) -> float:
    text = _decoded(data, codec)
    if text is None:
        return len(data) * _STRANGE * 2
    letters = [letter for letter in text if letter.casefold() in _LETTER]
    full = sum(1 for letter in text if not letter.isascii()) >= _FULL_WORD
    total = _of_case("".join(letters), full=full)
    for letter in text:
        if letter.isascii():
            continue
        known = _LETTER.get(letter.casefold())
        if known is not None:
            total += known if full else _ANY_LETTER
        elif letter in _SIGNS:
            total += _SIGN if full else _ANY_LETTER
        else:
            total += _STRANGE
    return total


def _of_case(letters: str, *, full: bool) -> float:
    """The log-likelihood of the places of capitals: KOI8-R and CP1251 have upper and lower case swapped."""
    if len(letters) <= 1:
        return 0.0
    if letters.islower():
        return _LOWER if full else _TITLE
    if letters.isupper():
        return _UPPER if full else _TITLE
    return _TITLE if letters.istitle() else _MIXED


def _fits(words: Sequence[CyrillicWord], codec: str) -> bool:
    """Whether the words are nearly all Cyrillic letters, not mixed with Latin ones.

    For example, Müller in a Western European encoding would be Mьller in CP1251.
    """
    high = letters = strange = mixed = 0
    for word in words:
        text = _decoded(word.data, codec)
        if text is None:
            return False
        of_word = sum(1 for letter in text if letter.casefold() in _LETTER or letter == "№")
        above = sum(1 for letter in text if not letter.isascii())
        high += above
        letters += of_word
        strange += sum(1 for letter in text if not letter.isascii() and not _is_known(letter))
        mixed += above < len(text) and of_word > 0
    return letters >= _MOSTLY * high and strange <= _HARDLY * high and mixed <= _RARELY * len(words)


def _is_plain(words: Sequence[CyrillicWord], codec: str) -> bool:
    """Whether each word has only Cyrillic letters, with capitals in the usual places."""
    texts = [_decoded(word.data, codec) or "" for word in words]
    return all(
        text != ""
        and all(letter.casefold() in _LETTER for letter in text)
        and (text.islower() or text.isupper() or text.istitle())
        for text in texts
    )


def _is_strange(data: bytes) -> bool:
    """Whether a UTF-8 word has none of the expected characters: Cyrillic, Latin, or a usual sign."""
    text = data.decode("utf-8", "replace")
    return not any(letter.isascii() or (_is_known(letter) and letter != "°") for letter in text)


def _is_known(letter: str) -> bool:
    return letter.casefold() in _LETTER or letter in _SIGNS


def _decoded(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


# ---- decoded text, and places in it --------------------------------------------------------------------------------

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
                spot = Spot(number, line.index("\0") + 1)
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
            fault = not_this_encoding(file, self.codec)
        return _undecodable(self.name, fault, verdict_on(self.original) if self.codec == UTF_8 else None)


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
