"""The error budget: how many rows may go wrong before a run stops and lets somebody look."""

import re
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

LEAST: Final = 100
"""Rows that must have an outcome before a share speaks."""

LAST: Final = 1000
"""A share is taken of all rows, and of so many last ones: a run that goes wrong late has long been right."""

_HUNDRED: Final = Decimal(100)
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,6})?)\s*%")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of rows, in percent."""

    value: Decimal

    def __str__(self) -> str:
        return f"{self.value.normalize():f}%"


ErrorLimit: TypeAlias = int | Percent
"""So many rows, or so large a share of them."""


def error_limit(text: str) -> ErrorLimit | None:
    """The limit that `50` or `1%` means; None for 0 or `never`. Raises `ValueError` with a sentence."""
    words = text.strip()
    if words in {"0", "never"}:
        return None
    if _NUMBER.fullmatch(words):
        return int(words) or None
    percent = _PERCENT.fullmatch(words)
    if percent and (value := Decimal(percent[1].replace(",", "."))) < _HUNDRED:
        return Percent(value)
    raise ValueError(f"{text!r} is no limit of errors: write a number of rows as 50, a share as 1%, or never")


class ErrorBudget:
    """Counts rows that came out right and wrong, in this process."""

    def __init__(self) -> None:
        self._rows = 0
        self._wrong = 0
        self._last: deque[bool] = deque(maxlen=LAST)
        self._wrong_of_last = 0

    def add(self, *, wrong: bool) -> None:
        """A row has come out."""
        if len(self._last) == LAST:
            self._wrong_of_last -= self._last[0]
        self._last.append(wrong)
        self._wrong_of_last += wrong
        self._rows += 1
        self._wrong += wrong

    def spent(self, limit: ErrorLimit | None) -> str | None:
        """What is too much, in words: as many errors as the limit, or a larger share; None while it is not."""
        match limit:
            case int() if self._wrong >= limit:
                return "1 row went wrong" if self._wrong == 1 else f"{self._wrong:,} rows went wrong"
            case Percent(value) if self._rows >= LEAST:
                if self._wrong * _HUNDRED > value * self._rows:
                    return f"{self._wrong:,} of {self._rows:,} rows went wrong"
                if self._wrong_of_last * _HUNDRED > value * len(self._last):
                    return f"{self._wrong_of_last:,} of the last {len(self._last):,} rows went wrong"
        return None
