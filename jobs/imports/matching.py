"""Proposals for a dictionary: the object of a billing that a name of the old one probably means.

An equal name is one that differs in case, spaces, ё, punctuation, or letters that look the same, and in nothing else.
A near one is alike; numbers count more than letters, for "Домашний 50" is not "Домашний 100". A person confirms it.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from billing.directory.names import NamedObject
from jobs.imports.names_there import plain_name

NEAR: Final = 70
"""The least likeness, of 100, at which a name is proposed."""

SHOWN: Final = 3
"""The other objects that a proposal names."""

_TOKEN: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[+%]")
_ALIKE: Final = str.maketrans("авекмнорстухіјѕ", "abekmhopctyxijs")
"""Cyrillic letters in lower case, and the Latin ones that look the same in upper case."""
_SPELLED: Final = str.maketrans(
    dict(
        zip(
            "абвгдезийклмнопрстуфхцыэ",
            "abvgdeziyklmnoprstufhcye",
            strict=True,
        )
    )
    | {"ж": "zh", "ч": "ch", "ш": "sh", "щ": "sch", "ю": "yu", "я": "ya", "ъ": "", "ь": ""}
)
"""Cyrillic letters as they are spelled in Latin ones."""
_MOST: Final = 99
"""The likeness of a near name at most: 100 is that of an equal one."""
_OF_WORDS: Final = 0.8
"""What it counts that all words of a name are among those of the other."""
_OF_NUMBERS: Final = 0.9
"""What it counts that one of two names has a number, or a sign, that the other lacks."""


class Match(StrEnum):
    """How a name was matched, as a dictionary says it."""

    EQUAL = "equal"
    NEAR = "near"
    ID = "id"
    """The name is a number, and an object has it as its id."""
    SEVERAL = "several"
    """Several objects have the name."""
    NEW = "new"
    """There is no such folder: the import creates it."""
    NONE = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a name probably means: the object, if it is one, how likely of 100, and others that are near."""

    match: Match
    found: NamedObject | None = None
    likeness: int = 0
    others: tuple[NamedObject, ...] = ()


@dataclass(frozen=True, slots=True)
class _Words:
    """A name as likeness is measured: with letters that look the same as one, spelled in Latin ones; its numbers."""

    alike: str
    spelled: str
    numbers: frozenset[str]


@dataclass(slots=True)
class _Group:
    """The names that have the same numbers, in both ways in which their words are compared, and whose they are."""

    objects: list[NamedObject] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    spelled: list[str] = field(default_factory=list)

    def add(self, one: NamedObject, words: _Words) -> None:
        """Add a name of an object."""
        self.objects.append(one)
        self.alike.append(words.alike)
        self.spelled.append(words.spelled)

    def near(self, wanted: _Words, share: float) -> Iterator[tuple[int, NamedObject]]:
        """The objects whose likeness, of which `share` counts, is that of a near name."""
        # Imported here: the import takes as long as the rest of a command, and most propose nothing.
        from rapidfuzz import fuzz, process  # noqa: PLC0415

        scorers = ((fuzz.ratio, 1.0), (fuzz.token_sort_ratio, 1.0), (fuzz.token_set_ratio, _OF_WORDS))
        for query, names in ((wanted.alike, self.alike), (wanted.spelled, self.spelled)):
            for scorer, counts in scorers:
                least = NEAR / (counts * share)
                for _, likeness, place in process.extract_iter(query, names, scorer=scorer, score_cutoff=least):
                    yield int(likeness * counts * share), self.objects[place]


class Matcher:
    """Proposes objects of one kind."""

    def __init__(self, objects: Iterable[NamedObject]) -> None:
        self._objects = sorted(objects, key=lambda one: one.id)
        self._by_id = {one.id: one for one in self._objects}
        # Most objects differ in their numbers, and are not compared further.
        self._by_numbers: defaultdict[frozenset[str], _Group] = defaultdict(_Group)
        for one in self._objects:
            for words in map(_words, one.names):
                self._by_numbers[words.numbers].add(one, words)
        # The first name of an object, as the path of a folder, goes before its others.
        self._equal = [
            _index(self._objects, key, names)
            for names in (slice(0, 1), slice(1, None))
            for key in (plain_name, core_of)
        ]

    def propose(self, name: str) -> Proposal:
        """The proposal for a name."""
        for keys, key in zip(self._equal, (plain_name, core_of) * 2, strict=True):
            if found := keys.get(key(name)):
                if len(found) > 1:
                    return Proposal(Match.SEVERAL, others=tuple(found[:SHOWN]))
                return Proposal(Match.EQUAL, found[0], 100)
        near = self._near(name)
        if of_id := self._of_id(name):
            others = [one for _, one in near if one is not of_id]
            return Proposal(Match.ID, of_id, others=tuple(others[:SHOWN]))
        if not near:
            return Proposal(Match.NONE)
        (likeness, best), *rest = near
        return Proposal(Match.NEAR, best, min(likeness, _MOST), tuple(one for _, one in rest[:SHOWN]))

    def _of_id(self, name: str) -> NamedObject | None:
        text = name.strip()
        return self._by_id.get(int(text)) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID else None

    def _near(self, name: str) -> list[tuple[int, NamedObject]]:
        """The objects that are near, the nearest first."""
        if not any(map(str.isalnum, name)):
            return []
        wanted = _words(name)
        best: dict[int, int] = {}
        for numbers, group in self._by_numbers.items():
            if share := _share_of(wanted.numbers, numbers):
                for likeness, one in group.near(wanted, share):
                    best[one.id] = max(likeness, best.get(one.id, 0))
        nearest = sorted(best, key=lambda key: (-best[key], key))[: SHOWN + 1]
        return [(best[key], self._by_id[key]) for key in nearest]


_LONGEST_ID: Final = 10


def _index(
    objects: Iterable[NamedObject], key: Callable[[str], str], names: slice
) -> Mapping[str, Sequence[NamedObject]]:
    found: defaultdict[str, list[NamedObject]] = defaultdict(list)
    for one in objects:
        for text in dict.fromkeys(map(key, one.names[names])):
            if text:
                found[text].append(one)
    return found


def core_of(name: str) -> str:
    """The core of a name: equal for names that differ in case, spaces, ё, punctuation and look-alikes alone.

    Numbers stay apart, and a + or % counts: "Старт+" is not "Старт", 1,5 is not 15.
    """
    parts: list[str] = []
    for token in _tokens(name):
        parts += [" ", token] if parts and token[0].isdigit() and parts[-1][-1].isdigit() else [token]
    return "".join(parts).translate(_ALIKE)


def _words(name: str) -> _Words:
    tokens = _tokens(name)
    words = " ".join(tokens)
    numbers = frozenset(token for token in tokens if not token[0].isalpha())
    return _Words(words.translate(_ALIKE), words.translate(_SPELLED), numbers)


def _tokens(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", name.replace("№", " ")).casefold().replace("ё", "е")
    return [token.replace(",", ".") for token in _TOKEN.findall(plain)]


def _share_of(one: frozenset[str], other: frozenset[str]) -> float:
    """What the likeness of two names counts by their numbers: nothing where each has one that the other lacks."""
    if one == other:
        return 1
    return _OF_NUMBERS if one < other or one > other else 0
