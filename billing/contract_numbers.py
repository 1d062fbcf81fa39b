"""Contract numbers similar to one that does not exist, as suggestions.

An unknown number from a file is often an existing one in another spelling: `А15` with a Cyrillic А for `A15` with a
Latin one, without a leading zero that a spreadsheet removed, in another letter case, with a space. Such numbers come
first, then similar ones.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from heapq import heappush, heapreplace
from typing import Final

from texts.said import said

# Cyrillic letters and the Latin letters that look the same.
_LATIN: Final = str.maketrans("АВЕЁКМНОРСТУХІЈЅ", "ABEEKMHOPCTYXIJS")
# Latin letters that look like a digit.
_DIGITS: Final = str.maketrans("OЗI", "031")
_LEADING_ZEROS: Final = re.compile(r"(?<!\d)0+(?=\d)")
_SPACES: Final = re.compile(r"\s+")
_ALIKE_ENOUGH: Final = 0.6  # as difflib.get_close_matches
_SAME: Final = 2.0  # above every ratio


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An existing contract number that may be meant, and the reason for the suggestion."""

    contract_number: str
    reason: str


def undressed(number: str) -> str:
    """The core of a number: equal for numbers that differ only in look-alikes, case, leading zeros or spaces."""
    return _LEADING_ZEROS.sub("", _plain(number))


def _plain(number: str) -> str:
    return _SPACES.sub("", number).upper().translate(_LATIN).translate(_DIGITS)


class Search:
    """A search for many unknown numbers at once, which takes the existing numbers page by page.

    Memory is proportional to the unknown numbers alone. Similar numbers are searched for the first `compared` of them
    only: the comparison is slow, and a file with more unknown numbers is probably the wrong file. Other spellings of
    an existing number are found for all.
    """

    def __init__(self, unknown: Collection[str], n: int = 3, compared: int = 200) -> None:
        self._n = n
        self._best: dict[str, list[tuple[float, str]]] = {number: [] for number in unknown}
        self._by_core: dict[str, list[str]] = {}
        for number in self._best:
            self._by_core.setdefault(undressed(number), []).append(number)
        # difflib analyses its second text, and caches the result.
        self._matchers: list[tuple[str, str, SequenceMatcher[str]]] = []
        for number in tuple(self._best)[:compared]:
            # The core keeps its zeros here: a short number consists mostly of them.
            core = _plain(number)
            self._matchers.append((number, core, SequenceMatcher(None, "", core, autojunk=False)))
        self._by_pair: dict[str, list[int]] = {}
        self._enough: list[int] = []
        for place, (_, core, _) in enumerate(self._matchers):
            pairs = _pairs(core)
            # Numbers with less than half of their pairs in common are not compared further.
            self._enough.append((len(pairs) + 1) // 2)
            for pair in pairs:
                self._by_pair.setdefault(pair, []).append(place)

    def offer(self, existing: Iterable[str]) -> None:
        for number in existing:
            for unknown in self._by_core.get(undressed(number), ()):
                self._keep(unknown, _SAME, number)
            core = _plain(number)
            shared: Counter[int] = Counter()
            for pair in _pairs(core):
                shared.update(self._by_pair.get(pair, ()))
            for place, count in shared.items():
                unknown, wanted, matcher = self._matchers[place]
                if count < self._enough[place] or undressed(core) == undressed(wanted):
                    continue
                matcher.set_seq1(core)
                best = self._best[unknown]
                least = best[0][0] if len(best) == self._n else _ALIKE_ENOUGH
                if matcher.quick_ratio() >= least and (ratio := matcher.ratio()) >= least:
                    self._keep(unknown, ratio, number)

    def found(self) -> dict[str, list[Suggestion]]:
        """The suggestions so far by unknown number, nearest first; an empty list if none is near."""
        return {
            unknown: [
                Suggestion(number, reason(unknown, number))
                for _, number in sorted(best, key=lambda entry: (-entry[0], entry[1]))
            ]
            for unknown, best in self._best.items()
        }

    def _keep(self, unknown: str, likeness: float, number: str) -> None:
        best = self._best[unknown]
        if (likeness, number) in best:
            return
        if len(best) < self._n:
            heappush(best, (likeness, number))
        elif likeness > best[0][0]:
            heapreplace(best, (likeness, number))


def reason(unknown: str, existing: str) -> str:
    if undressed(unknown) != undressed(existing):
        return said("similar")
    differences: list[str] = []
    plain, wanted = _SPACES.sub("", unknown), _SPACES.sub("", existing)
    if len(plain) != len(unknown) or len(wanted) != len(existing):
        differences.append(said("without spaces") if len(plain) != len(unknown) else said("with spaces"))
    zeros, zeros_wanted = (len(_plain(text)) - len(undressed(text)) for text in (unknown, existing))
    if zeros != zeros_wanted:
        differences.append(said("with leading zeros") if zeros < zeros_wanted else said("without leading zeros"))
    short, short_wanted = _LEADING_ZEROS.sub("", plain), _LEADING_ZEROS.sub("", wanted)
    if short.upper().translate(_LATIN) != short_wanted.upper().translate(_LATIN):
        differences.append(said("but for letters that look like digits"))
    elif short.upper() != short_wanted.upper():
        latin = {letter.isascii() for letter in short_wanted if letter.isalpha()}
        scripts = said("in Latin letters") if latin <= {True} else said("in Cyrillic letters")
        differences.append(said("in mixed letters") if len(latin) > 1 else scripts)
    elif short != short_wanted:
        differences.append(said("in another letter case"))
    return said("the same {differences}", differences=tuple(differences)) if differences else said("the same")


def _pairs(core: str) -> set[str]:
    framed = f"^{core}$"
    return {framed[place : place + 2] for place in range(len(framed) - 1)}
