"""Detection of the old Cyrillic encodings of a text that is not UTF-8: CP1251, KOI8-R, CP866 or ISO 8859-5.

Each of them decodes nearly the same bytes to Russian letters, so the words decide. Two methods judge the distinct
words, as repeated rows add nothing: letter frequencies with the places of capitals, and charset-normalizer,
restricted to these four. If they disagree, or there are too few words, the result is a `Doubt`, and the operator is
asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import BinaryIO, Final

from texts.said import said

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

_CHUNK: Final = 256 * 1024
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
