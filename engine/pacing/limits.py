"""The limits that stop a run: the money that it may send, and the rows that may go wrong.

A run that reaches a limit stops for a person to check; it can be resumed with a higher limit.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State, states_where
from texts.remedies import Remedy, setting
from texts.said import Quantity, ValueRefused, counted, said, two_decimals

# At most two decimals: 10,000 is ambiguous.
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:[.,][0-9]{1,2})?")


def money_limit(text: str) -> Decimal | None:
    """Parse an amount such as `10000` or `10 000,50`; None for `none`. Raises `ValueError` with a sentence."""
    words = "".join(text.split())
    if words == "none":
        return None
    if not _AMOUNT.fullmatch(words):
        raise ValueRefused(
            "{text!r} is not a limit of money: write an amount as 10000 or 10000.50, or none", text=text
        )
    return Decimal(words.replace(",", "."))


class Spending:
    """The sum of absolute amounts of all rows of a run that were sent, also by earlier processes.

    `limit` gives the present limit, None for none. The sum is kept without a limit too, so that a limit set later
    counts the rows already under way. A row that is refused or found absent is subtracted again.
    """

    def __init__(self, limit: Callable[[], Decimal | None]) -> None:
        self._limit = limit
        self._sent = Decimal(0)
        self.must_look = True
        """Whether the sum is unknown and must be read from the journal, as after items in doubt were settled."""

    async def look(self, run: Run, journal: Journal) -> None:
        """Read the sum from the journal; no call may be under way meanwhile."""
        self._sent = await journal.absolute_sum(run, states_where(counts_money=True))
        self.must_look = False

    def fitting(self, items: Sequence[Item]) -> int:
        limit = self._limit()
        if limit is None:
            return len(items)
        sum_ = self._sent
        for place, item in enumerate(items):
            sum_ += abs(item.amount or Decimal(0))
            if sum_ > limit:
                return place
        return len(items)

    def sent(self, items: Sequence[Item]) -> None:
        self._sent += sum([abs(item.amount) for item in items if item.amount], Decimal(0))

    def came_out(self, item: Item, state: State) -> None:
        if not state.counts_money:
            self._sent -= abs(item.amount or Decimal(0))

    def overdrawn(self, run: Run) -> str | None:
        """The stop message if the limit is now below the sum sent, None otherwise."""
        limit = self._limit()
        if limit is None or self.must_look or self._sent <= limit:
            return None
        return said(
            "{sent} has been sent or was about to be, and {flag} is {limit} now. {resume} goes on with a higher one",
            sent=self._sent,
            flag=setting("limit-money"),
            limit=limit,
            resume=_with_higher_limit(run),
        )

    def told(self, item: Item, run: Run) -> str:
        limit, sent = self._limit() or Decimal(0), self._sent
        return said(
            "{sent} has been sent, and row {row} ({label}) of {amount} would pass {flag}: {left} is left. {resume} "
            "goes on with a higher one",
            sent=sent,
            row=item.number,
            label=item.label,
            amount=item.amount or Decimal(0),
            flag=setting("limit-money", two_decimals(limit)),
            left=max(limit - sent, Decimal(0)),
            resume=_with_higher_limit(run),
        )


def _with_higher_limit(run: Run) -> Remedy:
    return Remedy("resume", run.name, (("limit-money", "AMOUNT"),))


LEAST: Final = 100
"""Minimum number of rows with an outcome before a share is checked."""

LAST: Final = 1000
"""Number of last rows whose share is checked as well as that of all rows, for a run that goes wrong late."""

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
"""A number of rows, or a share of them."""


def error_limit(text: str) -> ErrorLimit | None:
    """Parse a limit such as `50` or `1%`; None for 0 or `never`. Raises `ValueError` with a sentence."""
    words = text.strip()
    if words in {"0", "never"}:
        return None
    if _NUMBER.fullmatch(words):
        return int(words) or None
    percent = _PERCENT.fullmatch(words)
    if percent and (value := Decimal(percent[1].replace(",", "."))) < _HUNDRED:
        return Percent(value)
    raise ValueRefused(
        "{text!r} is not a limit of errors: write a number of rows as 50, a share as 1%, or never", text=text
    )


class ErrorBudget:
    """Counts right and wrong outcomes in this process."""

    def __init__(self) -> None:
        self._rows = 0
        self._wrong = 0
        self._last: deque[bool] = deque(maxlen=LAST)
        self._wrong_of_last = 0

    def add(self, *, wrong: bool) -> None:
        if len(self._last) == LAST:
            self._wrong_of_last -= self._last[0]
        self._last.append(wrong)
        self._wrong_of_last += wrong
        self._rows += 1
        self._wrong += wrong

    def spent(self, limit: ErrorLimit | None) -> str | None:
        """Describe how the limit is reached: its number of errors, or a larger share; None while it is not."""
        match limit:
            case int() if self._wrong >= limit:
                return counted("{n} row went wrong", "{n} rows went wrong", self._wrong)
            case Percent(value) if self._rows >= LEAST:
                if self._wrong * _HUNDRED > value * self._rows:
                    return said(
                        "{wrong} of {rows} rows went wrong", wrong=Quantity(self._wrong), rows=Quantity(self._rows)
                    )
                if self._wrong_of_last * _HUNDRED > value * len(self._last):
                    return said(
                        "{wrong} of the last {rows} rows went wrong",
                        wrong=Quantity(self._wrong_of_last),
                        rows=Quantity(len(self._last)),
                    )
        return None
