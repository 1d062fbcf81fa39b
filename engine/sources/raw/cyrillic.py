"""Which of the old Cyrillic encodings a text is in that is not UTF-8: CP1251, KOI8-R, CP866 or ISO 8859-5.

Each of them makes Russian letters of nearly the same bytes, so what is weighed is how Russian the words are. Two
witnesses are heard, over the distinct words alone, for ten thousand equal rows say no more than one: how often the
letters stand in Russian and how capitals stand among them, and charset-normalizer, isolated to these four. Where they
disagree, or the words are too few, the answer is a `Doubt`, and the operator is asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import BinaryIO, Final

CP1251: Final = "cp1251"
NAMES: Final[Mapping[str, str]] = {
    CP1251: "CP1251",
    "koi8-r": "KOI8-R",
    "cp866": "CP866",
    "iso8859-5": "ISO 8859-5",
}
"""What people call the encodings, by the codecs in Python's spelling."""
_ISOLATED: Final = {"cp1251": CP1251, "koi8_r": "koi8-r", "cp866": "cp866", "iso8859_5": "iso8859-5"}
"""The codecs, by what charset-normalizer calls them."""

_CHUNK: Final = 256 * 1024
_MOST_WORDS: Final = 20_000
"""Distinct words that are kept: memory must not depend on the input."""
_LONGEST_WORD: Final = 64
_WORD: Final = re.compile(rb"[\x80-\xff][A-Za-z\x80-\xff]{0,63}")
_END_OF_WORD: Final = re.compile(rb"[A-Za-z\x80-\xff]{1,128}\Z")
_UTF_8_LETTERS: Final = re.compile(rb"(?:[\xd0\xd1][\x80-\xbf]){2}")
"""Two Russian letters in UTF-8: no old encoding makes a word with these bytes in it."""

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
"""How often a letter stands in Russian text; those of Ukrainian and Belarusian at the end."""
_SIGNS: Final = frozenset("„…€‰‹‘’“”•–—™›\xa0¦§°©«\xad®±·»№")
"""Quotes, dashes, the no-break space and other signs that stand in Russian text."""
_SIGN: Final = log(0.001)
_STRANGE: Final = log(0.0001)
_LETTER: Final = {letter: log(times / 1000) for letter, times in _PER_MILLE.items()}
_ANY_LETTER: Final = log(1 / 32)
_FULL_WORD: Final = 4
"""Letters from which how often each stands says something: a contract's prefix and ООО are shorter."""
_LOWER, _TITLE, _UPPER, _MIXED = log(0.5), log(0.35), log(0.15), log(0.0005)
_CLEARLY: Final = 7.0
"""Odds of a thousand to one, as a logarithm."""

_MOSTLY: Final = 0.75
_RARELY: Final = 0.25
_HARDLY: Final = 0.01


@dataclass(frozen=True, slots=True)
class CyrillicWord:
    """Bytes with one above ASCII at least, and where they stand first, counted from 0."""

    data: bytes
    place: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """Several encodings fit, the likeliest first; `word` is the first that they read differently."""

    codecs: tuple[str, ...]
    word: CyrillicWord

    @property
    def readings(self) -> str:
        """The word in each encoding, in a sentence."""
        each = [f"{self.word.data.decode(codec)!r} in {NAMES.get(codec, 'UTF-8')}" for codec in self.codecs]
        return f"{', '.join(each[:-1])} and {each[-1]}"


def distinct_words(file: BinaryIO) -> Iterator[CyrillicWord]:
    """The distinct words with a byte above ASCII, in their order, as many as are kept at most.

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
    """The bytes, in pieces that end between words, each with its place."""
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
    """Whether some of the words are UTF-8: then the text is UTF-8 with a fault, or of two encodings."""
    return any(_UTF_8_LETTERS.search(word.data) for word in words)


def judge(words: Sequence[CyrillicWord]) -> str | Doubt | None:
    """The codec that the words are in, a `Doubt` between several, or None where none of them makes Russian of it."""
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
    """A `Doubt` where a text is UTF-8 as it were, with no sign of Russian in it, and Russian in an old encoding.

    In CP866 фио is one Chinese character of UTF-8; in ISO 8859-5 ТА is the sign of a degree.
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
    """The codec that charset-normalizer finds better than this one, None where it finds none."""
    # Loading it takes more than half as long as all else of a command, and hardly any needs it.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    text = b"\n".join(word.data for word in words)
    matches = from_bytes(text, cp_isolation=[*_ISOLATED], enable_fallback=False)
    marks = {_ISOLATED[match.encoding]: (match.chaos, -match.coherence) for match in matches}
    if not marks or marks.get(codec) == min(marks.values()):
        return None
    return min(marks, key=marks.__getitem__)


def _differing(words: Sequence[CyrillicWord], codecs: Sequence[str]) -> str | Doubt:
    """The first codec where all read the same, else the doubt between them."""
    for word in words:
        if len({word.data.decode(codec) for codec in codecs}) > 1:
            return Doubt(tuple(codecs), word)
    return codecs[0]


def _weight(words: Sequence[CyrillicWord], codec: str) -> float:
    """The logarithm of how likely it is that a Russian text has these words, if they are in this encoding."""
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
    """How likely it is that capitals stand as they do: KOI8-R and CP1251 have them in each other's places."""
    if len(letters) <= 1:
        return 0.0
    if letters.islower():
        return _LOWER if full else _TITLE
    if letters.isupper():
        return _UPPER if full else _TITLE
    return _TITLE if letters.istitle() else _MIXED


def _fits(words: Sequence[CyrillicWord], codec: str) -> bool:
    """Whether the words are hardly anything but Cyrillic letters, and stand apart from Latin ones.

    Müller, in Western Europe's encoding, would be Mьller in CP1251.
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
    """Whether each of the words is one of Cyrillic letters, its capitals where they should be."""
    texts = [_decoded(word.data, codec) or "" for word in words]
    return all(
        text != ""
        and all(letter.casefold() in _LETTER for letter in text)
        and (text.islower() or text.isupper() or text.istitle())
        for text in texts
    )


def _is_strange(data: bytes) -> bool:
    """Whether a word that is UTF-8 has nothing that a table of ours has: Cyrillic, Latin, or a usual sign."""
    text = data.decode("utf-8", "replace")
    return not any(letter.isascii() or (_is_known(letter) and letter != "°") for letter in text)


def _is_known(letter: str) -> bool:
    return letter.casefold() in _LETTER or letter in _SIGNS


def _decoded(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None
