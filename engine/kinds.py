"""Kinds of error: texts without what differs from row to row."""

import re
from collections import Counter
from typing import Final

LONGEST: Final = 160
"""Characters of a kind."""

MOST: Final = 20
"""Kinds that are told apart; the rest counts together."""

OTHER: Final = "other errors"

_DIGITS: Final = re.compile(r"\d+")


def kind_of(text: str) -> str:
    """What `text` says, without its numbers: "account 17 is locked" and "account 4 is locked" are one kind."""
    return " ".join(_DIGITS.sub("", text[: 4 * LONGEST]).split())[:LONGEST]


class Kinds:
    """How often each kind was met; however many there are, the memory is that of `MOST`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """One more."""
        kind = kind_of(text)
        self._counts[kind if kind in self._counts or len(self._counts) < MOST else OTHER] += 1

    def counted(self) -> dict[str, int]:
        """The commonest first."""
        return dict(self._counts.most_common())
