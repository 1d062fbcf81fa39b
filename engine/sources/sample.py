"""What each format takes and gives: a sample of the input, by its bytes and their encoding, and a table in pages.

An encoding is UTF-8 if all of the text is valid UTF-8, otherwise an old Cyrillic one, which the words tell and a note
names: each of CP1251, KOI8-R, CP866 and ISO 8859-5 decodes nearly the same bytes to Russian letters. Two methods
judge the distinct words, as repeated rows add nothing: letter frequencies with the places of capitals, and
charset-normalizer, restricted to these four. If they disagree, or there are too few words, nothing is guessed: the
operator is asked, and shown a word in both.

Columns in places count characters of the physical line, from 1; physical lines end with LF, CR or both.
"""

import codecs
import hashlib
import io
import os
import re
import sys
import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import log
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple, TextIO, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import STANDARD_INPUT, LastLine, Row, RowPage
from texts.said import Quantity, any_of, counted, reason_of, said, setting, wording

# ---- the bytes of an input -----------------------------------------------------------------------------------------
# A file, or standard input kept in an unnamed temporary file, is read more than once: for format, header, digest and
# rows. All readings must see the same bytes, so the digest is computed before the first and checked after the last.


_BLOCK: Final = 1024 * 1024
LONGEST_CELL: Final = 1_000_000
"""Maximum length of a cell, in characters; a longer one counts as a fault of the file."""


class FileOnDisk:
    """A regular file that is not empty, as an `Original`; it is opened on first access."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        self.suffix = path.suffix.casefold()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, as they were at the first access; a file that cannot hold rows is refused."""
        try:
            if self._path.is_dir():
                raise InputRefused("{file} is a folder: name a file in it", file=self.name)
            if self._path.exists() and not self._path.is_file():
                raise InputRefused(
                    "{file} is not a regular file; it is read more than once, so save it as one, or pipe it into "
                    "standard input",
                    file=self.name,
                )
            if self._path.stat().st_size == 0:
                raise empty(self.name)
        except OSError as error:
            raise unreadable(self.name, error) from error
        return self._digest_now()

    def open(self) -> BinaryIO:
        _ = self.digest
        try:
            return self._path.open("rb")
        except OSError as error:
            raise unreadable(self.name, error) from error

    def check_unchanged(self) -> None:
        if self.digest != self._digest_now():
            raise InputRefused(
                "{file}: the file changed while it was read, so nothing of it was sent. Let the program that "
                "writes it finish, then start again",
                file=self.name,
            )

    def _digest_now(self) -> str:
        try:
            with self._path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unreadable(self.name, error) from error


class StandardInput:
    """Standard input as an `Original`: read to its end on first access, and kept in a private temporary file."""

    name = STANDARD_INPUT
    suffix = ""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream

    @property
    def digest(self) -> str:
        return self._kept[1]

    def open(self) -> BinaryIO:
        # Opened anew, it has a position of its own.
        return Path(f"/proc/self/fd/{self._kept[0].fileno()}").open("rb")

    def check_unchanged(self) -> None:
        """Do nothing: no other process can change the kept bytes."""

    @cached_property
    def _kept(self) -> tuple[IO[bytes], str]:
        stream = self._stream
        if stream is None:
            # None if the process was started without standard input.
            if sys.stdin is None or sys.stdin.closed:
                raise InputRefused(said("there is no standard input: name a file of rows, or pipe the rows in"))
            if sys.stdin.isatty():
                raise InputRefused(said("standard input is the keyboard: pipe the rows in, or name a file of rows"))
            stream = sys.stdin.buffer
        digest = hashlib.sha256()
        try:
            spool = cast("IO[bytes]", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - closed with this object
            weakref.finalize(self, spool.close)
            while block := stream.read(_BLOCK):
                digest.update(block)
                view = memoryview(block)
                while view:
                    view = view[spool.write(view) :]
        except OSError as error:
            raise InputRefused(
                "{file} cannot be kept in a temporary file: {error}. Free some room there, or name another "
                "folder with TMPDIR",
                file=self.name,
                error=reason_of(error),
            ) from error
        if spool.tell() == 0:
            raise empty(self.name)
        return spool, digest.hexdigest()


Original: TypeAlias = FileOnDisk | StandardInput
"""Bytes that can be read repeatedly, with a name for messages and the journal."""


def proven(original: Original, pages: Iterator[RowPage]) -> Iterator[RowPage]:
    """The pages of one reading, followed by the check that the bytes have not changed.

    After a fault the bytes are checked first: a file that is being written is reported as changed, not as faulty.
    """
    try:
        yield from pages
    except InputRefused:
        original.check_unchanged()
        raise
    except OSError as error:
        raise unreadable(original.name, error) from error
    original.check_unchanged()


def unreadable(name: str, error: OSError) -> InputRefused:
    if isinstance(error, FileNotFoundError):
        return InputRefused("there is no file {file}; check the path", file=name)
    return InputRefused("{file} cannot be read: {error}", file=name, error=reason_of(error))


def empty(name: str) -> InputRefused:
    return InputRefused("{file} is empty: a header and rows are expected", file=name)


# ---- encoding detection of a text ---------------------------------------------------------------------------------


AUTO: Final = "auto"
UTF_8: Final = "utf-8-sig"
"""UTF-8 with or without a BOM, in Python's spelling."""
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHUNK: Final = 256 * 1024
_BEGINNING: Final = 64
"""Bytes in which the start of a JSON object is looked for."""


def spot(line: int, column: int) -> str:
    """A place in a text: line and column from 1."""
    return said("line {line}, column {column}", line=line, column=column)


class Charset(NamedTuple):
    """A codec in Python's spelling; `note` explains a detected encoding, "" if no note is needed."""

    codec: str
    note: str = ""


class _Word(NamedTuple):
    """A word with at least one byte above ASCII, and its first place, from 0."""

    data: bytes
    place: int


class _Doubt(NamedTuple):
    """Several possible encodings, the likeliest first; `word` is the first that they decode differently."""

    codecs: tuple[str, ...]
    word: _Word

    @property
    def flags(self) -> str:
        return any_of([str(setting("encoding", codec)) for codec in self.codecs])


_Verdict: TypeAlias = str | _Doubt | None
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
    return codec.startswith(("utf-16", "utf-32"))


def is_auto(encoding: str) -> bool:
    return encoding.strip().casefold() == AUTO


def detect_charset(original: Original, encoding: str) -> Charset:
    """The encoding of a text: the one given, or for "auto" the one detected from its bytes."""
    if not is_auto(encoding):
        return Charset(named(encoding))
    with original.open() as file:
        head = file.read(_BEGINNING)
    if head.startswith(UTF_16):
        return Charset("utf-16", said("read as UTF-16, as its first bytes say"))
    is_utf_8 = _is_utf_8(original)
    # JSON is UTF-8, as its standard says (RFC 8259, 8.1).
    if is_utf_8 and (head.startswith(codecs.BOM_UTF8) or head.lstrip().startswith(b"{")):
        return Charset(UTF_8)
    verdict = _doubt_of_utf_8(original) if is_utf_8 else _verdict_on(original)
    if isinstance(verdict, str):
        return Charset(verdict, said("read as {encoding}, for its bytes are not UTF-8", encoding=CODECS[verdict]))
    if isinstance(verdict, _Doubt):
        *others, last = (
            said(
                "{word!r} in {encoding}",
                word=verdict.word.data.decode(codec),
                encoding=CODECS.get(codec, "UTF-8"),
            )
            for codec in verdict.codecs
        )
        raise InputRefused(
            "{file}, {place}: the encoding cannot be told from so few letters: this is {readings}. Say which is "
            "right with {flags}",
            file=original.name,
            place=_spot_of(original, verdict.word.place),
            readings=said("{others} and {last}", others=tuple(others), last=last),
            flags=verdict.flags,
        )
    if not is_utf_8:
        raise _undecodable(original, UTF_8, None)
    return Charset(UTF_8)


def _is_utf_8(original: Original) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    with original.open() as file:
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _undecodable(original: Original, codec: str, verdict: _Verdict) -> InputRefused:
    match verdict:
        case str():
            likely, flag = CODECS[verdict], setting("encoding", verdict)
            remedy = said("it looks like {encoding}: give {flag}", encoding=likely, flag=flag)
        case _Doubt():
            encodings = any_of([CODECS.get(one, "UTF-8") for one in verdict.codecs])
            remedy = said("it may be {encodings}: say which with {flags}", encodings=encodings, flags=verdict.flags)
        case _:
            flag = setting("encoding", "…")
            remedy = said("save the file as CSV UTF-8, or name its encoding with {flag}", flag=flag)
    fault = _fault_of(original, codec)
    return InputRefused("{file}, {fault}; {remedy}", file=original.name, fault=fault, remedy=remedy)


# ---- the words of an old Cyrillic encoding -------------------------------------------------------------------------

CP1251: Final = "cp1251"
CODECS: Final[Mapping[str, str]] = {
    CP1251: "CP1251",
    "koi8-r": "KOI8-R",
    "cp866": "CP866",
    "iso8859-5": "ISO 8859-5",
}
"""The common names of the encodings, by their codecs in Python's spelling."""

_MOST_WORDS: Final = 20_000
"""Maximum number of distinct words kept: memory must not depend on the input."""
_WORD: Final = re.compile(rb"[\x80-\xff][A-Za-z\x80-\xff]{0,63}")
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


def _distinct_words(original: Original) -> Iterator[_Word]:
    """The distinct words with a byte above ASCII, in order, up to the maximum number kept.

    A word begins with the first such byte, or with the one Latin letter before it.
    """
    seen: set[bytes] = set()
    start = 0
    with original.open() as file:
        # A chunk ends with a line: no word is cut.
        while data := file.read(_CHUNK) + file.readline(_CHUNK):
            new = set(_WORD.findall(data)) - seen
            for found in _WORD.finditer(data) if new else ():
                if found[0] in new:
                    new.remove(found[0])
                    seen.add(found[0])
                    begin = found.start() - data[max(found.start() - 1, 0) : found.start()].isalpha()
                    yield _Word(data[begin : found.end()], start + begin)
                    if len(seen) >= _MOST_WORDS:
                        return
            start += len(data)


def _verdict_on(original: Original) -> _Verdict:
    """The verdict on bytes that are not UTF-8: the codec that gives Russian words, or a doubt between several."""
    words = list(_distinct_words(original))
    # With words in UTF-8 it is UTF-8 with a fault, or has two encodings.
    if not words or any(_UTF_8_LETTERS.search(word.data) for word in words):
        return None
    found = {codec: _weight(words, codec) for codec in CODECS}
    best = max(weight for weight, _ in found.values())
    fitting = sorted((codec for codec in CODECS if found[codec][1]), key=lambda codec: -found[codec][0])
    if not fitting or best - found[fitting[0]][0] > _CLEARLY:
        return None
    likely = [codec for codec in fitting if found[fitting[0]][0] - found[codec][0] <= _CLEARLY]
    # The codecs that charset-normalizer prefers to this one. Its import is slow, and few inputs need it.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    own = {name.replace("-", "_"): name for name in CODECS} | {"iso8859_5": "iso8859-5"}
    matches = from_bytes(b"\n".join(word.data for word in words), cp_isolation=[*own], enable_fallback=False)
    marks = {own[match.encoding]: (match.chaos, -match.coherence) for match in matches}
    other = min(marks, key=marks.__getitem__, default=fitting[0])
    if marks.get(fitting[0]) != marks.get(other) and other in fitting and other not in likely:
        likely.append(other)
    for word in words:
        if len({word.data.decode(codec) for codec in likely}) > 1:
            return _Doubt(tuple(likely), word)
    return likely[0]


def _doubt_of_utf_8(original: Original) -> _Doubt | None:
    """A doubt if a text is valid UTF-8 without Russian words, but Russian in an old encoding.

    For example, фио in CP866 is one Chinese character in UTF-8; ТА in ISO 8859-5 is the degree sign.
    """
    first: _Word | None = None
    plain = [*CODECS]
    for word in _distinct_words(original):
        text = word.data.decode("utf-8", "replace")
        if any(letter.isascii() or (_is_known(letter) and letter != "°") for letter in text):
            return None
        first = first or word
        # Only Cyrillic letters, with capitals in the usual places.
        read = {codec: _decoded(word.data, codec) for codec in plain}
        usual = [codec for codec, one in read.items() if one.islower() or one.isupper() or one.istitle()]
        plain = [codec for codec in usual if all(letter.casefold() in _LETTER for letter in read[codec])]
        if not plain:
            return None
    return _Doubt((*plain, "utf-8"), first) if first else None


def _weight(words: Sequence[_Word], codec: str) -> tuple[float, bool]:
    """The log-likelihood of the words as Russian text, and whether they can be such a text at all.

    It comes of the letters, and of the places of capitals: KOI8-R and CP1251 have upper and lower case swapped. A
    text is nearly all Cyrillic letters, not mixed with Latin ones, as Müller would be, read as Mьller in CP1251.
    """
    total, fits = 0.0, True
    high = known = strange = mixed = 0
    for word in words:
        text = _decoded(word.data, codec)
        if not text:
            total += len(word.data) * _STRANGE * 2
            fits = False
            continue
        above = [letter for letter in text if not letter.isascii()]
        letters = "".join(letter for letter in text if letter.casefold() in _LETTER)
        full = len(above) >= _FULL_WORD
        if len(letters) > 1 and (letters.islower() or letters.isupper()):
            total += (_LOWER if letters.islower() else _UPPER) if full else _TITLE
        elif len(letters) > 1:
            total += _TITLE if letters.istitle() else _MIXED
        for letter in above:
            if not _is_known(letter):
                strange += 1
                total += _STRANGE
            else:
                total += _LETTER.get(letter.casefold(), _SIGN) if full else _ANY_LETTER
        high += len(above)
        of_word = len(letters) + text.count("№")
        known += of_word
        mixed += len(above) < len(text) and of_word > 0
    fits = fits and known >= _MOSTLY * high and strange <= _HARDLY * high and mixed <= _RARELY * len(words)
    return total, fits


def _is_known(letter: str) -> bool:
    return letter.casefold() in _LETTER or letter in _SIGNS


def _decoded(data: bytes, codec: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return ""


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
        return self.original.name

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open the text at its first line. Raises `InputRefused`, with the place of undecodable bytes."""
        try:
            with io.TextIOWrapper(self.original.open(), encoding=self.codec, errors="strict", newline="") as file:
                yield file
        except UnicodeError as error:
            verdict = _verdict_on(self.original) if self.codec == UTF_8 else None
            raise _undecodable(self.original, self.codec, verdict) from error
        except OSError as error:
            raise unreadable(self.name, error) from error

    def lines(self, file: TextIO, start: int = 0) -> Iterator[str]:
        """The physical lines after line `start`, with their ends; `file` is already at that place."""
        number = start
        while line := file.readline(LONGEST_LINE):
            number += 1
            if "\0" in line:
                raise InputRefused(
                    "{file}, {place}: a NUL byte, which no text file has; save it as CSV UTF-8, or give {flag} if it "
                    "is UTF-16 without its mark",
                    file=self.name,
                    flag=setting("encoding", "utf-16-le"),
                    place=spot(number, line.index("\0") + 1),
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
        """The last line, where it has no end and others have: the text may have been cut there."""
        try:
            if is_wide(self.codec):
                # It is read whole.
                with self.open() as wide:
                    last = deque(self.lines(wide), maxlen=2)
                text = "" if len(last) == 1 or last[-1].endswith(("\n", "\r")) else last[-1]
            else:
                with self.original.open() as file:
                    start = max(file.seek(0, os.SEEK_END) - _CHUNK, 0)
                    file.seek(start)
                    tail = file.read()
                end = max(tail.rfind(b"\n"), tail.rfind(b"\r")) + 1
                text = tail[end:].decode(self.codec, "replace") if end or start else ""
        except OSError as error:
            raise unreadable(self.name, error) from error
        return (LastLine(self.name, text.strip()),) if text.strip() else ()


def _escaped_lines(original: Original, codec: str, errors: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a text with marks in place of undecodable bytes; a long line comes in parts."""
    with io.TextIOWrapper(original.open(), encoding=codec, errors=errors, newline="") as file:
        number = 1
        while line := file.readline(LONGEST_LINE):
            yield number, line
            number += line.endswith(("\n", "\r"))


def _fault_of(original: Original, codec: str) -> str:
    """The first place of bytes that are invalid in `codec`, in words."""
    name, plain = ("UTF-8" if codec == UTF_8 else codec), codec.removesuffix("-sig")
    with original.open() as file:
        before = len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 and codec == UTF_8 else 0
    # Of a wide encoding no single byte is wrong.
    marks, errors = ("\ufffd", "replace") if is_wide(codec) else ("[\udc80-\udcff]", "surrogateescape")
    # Without its first bytes no place can be told of a wide encoding.
    with suppress(UnicodeError):
        for number, line in _escaped_lines(original, codec, errors):
            bad = re.search(marks, line)
            if bad and is_wide(codec):
                place = spot(number, bad.start() + 1)
                return said("{place} cannot be read as {encoding}", place=place, encoding=name)
            if bad:
                return said(
                    "{place}: byte {byte} (byte {number} of the file) is not {encoding}",
                    place=spot(number, bad.start() + 1),
                    byte=f"0x{ord(bad[0]) - 0xDC00:02X}",
                    number=before + len(line[: bad.start()].encode(plain)) + 1,
                    encoding=name,
                )
            before += len(line.encode(plain))
    return said("cannot be read as {encoding}", encoding=name)


def _spot_of(original: Original, place: int) -> str:
    """The line and column of the byte at `place`, from 0, in an encoding of one byte a character."""
    for number, line in _escaped_lines(original, "latin-1", "strict"):
        if place < len(line):
            return spot(number, place + 1)
        place -= len(line)
    return spot(1, 1)


# ---- what each format takes and gives -----------------------------------------------------------------------------


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
        wide_given = is_auto(encoding) or is_wide(named(encoding))
        if self.start.startswith(UTF_16) and not wide_given:
            trouble = said("is UTF-16: save it as CSV UTF-8, or give {flag}", flag=setting("encoding", "utf-16"))
        if trouble:
            raise InputRefused("{file} {trouble}", file=self.name, trouble=trouble)
        return detect_charset(self.original, encoding)


# ---- the table -----------------------------------------------------------------------------------------------------

REST: Final = "..."
"""Suffix of the last given column name: with values separated by spaces, the column takes the rest of the line.

As a name of its own at the end it stands for values of a line that are in no column: they are passed over.
"""
_NUMBER: Final = re.compile(r"[-+]?\d[\d ]*([.,]\d+)?")


class Table(msgspec.Struct, frozen=True):
    """A file of a known format: the names of its columns, and its rows, from the first whenever they are called for.

    `entries` are rows and refusals of unreadable ones, in ascending order of their lines; `notes` tell how the file
    is read, once it is read also what was seen on the way; `unended` is the last line of a text that may have been
    cut. All calls may raise `InputRefused`.
    """

    header: tuple[str, ...]
    entries: Callable[[], Iterator[Row | Refusal]]
    notes: Callable[[], tuple[str, ...]] = tuple
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
        reason=counted("the header has {n} cell[s], this row {cells}", width, cells=Quantity(len(cells))),
        row=tuple(cells[: width + SURPLUS_KEPT]),
    )


def label_of(cells: Iterable[str]) -> str:
    return next(iter(cells), "").strip()[:LONGEST_LABEL]
