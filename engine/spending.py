"""The limit of money: a run stops before the amounts that it has sent would add up to more."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State

COUNTED: Final = frozenset({State.SENDING, State.ACCEPTED, State.APPLIED, State.UNKNOWN, State.MANUAL})
"""States in which an amount has been entered, or may have been."""

# Two decimals at most: what is meant by 10,000 only a person can say.
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:[.,][0-9]{1,2})?")


def money_limit(text: str) -> Decimal | None:
    """The amount that `10000` or `10 000,50` means; None for `none`. Raises `ValueError` with a sentence."""
    words = "".join(text.split())
    if words == "none":
        return None
    if not _AMOUNT.fullmatch(words):
        raise ValueError(f"{text!r} is no limit of money: write an amount as 10000 or 10000.50, or none")
    return Decimal(words.replace(",", "."))


class Spending:
    """The sum of absolute amounts of all rows of a run that have been sent, also by earlier processes.

    `limit` gives the amount that it may not pass, None for none; it may change. It is known with no limit as well, or
    one that is set while rows are under way would come too late for them. A row that turns out to be refused, or
    absent, is taken off again.
    """

    def __init__(self, limit: Callable[[], Decimal | None]) -> None:
        self._limit = limit
        self._sent = Decimal(0)
        self.must_look = True
        """Whether nobody knows how much has been sent."""

    async def look(self, run: Run, journal: Journal) -> None:
        """Add up what the journal has; nothing may be under way meanwhile."""
        self._sent = await journal.absolute_sum(run, COUNTED)
        self.must_look = False

    def forget(self) -> None:
        """What was in doubt has been settled: look again."""
        self.must_look = True

    def fitting(self, items: Sequence[Item]) -> int:
        """How many of the first of `items` may be sent on top."""
        limit = self._limit()
        if limit is None:
            return len(items)
        sum_ = self._sent
        for place, item in enumerate(items):
            sum_ += _absolute(item)
            if sum_ > limit:
                return place
        return len(items)

    def sent(self, items: Sequence[Item]) -> None:
        """These are being sent."""
        self._sent += sum((_absolute(item) for item in items), Decimal(0))

    def came_out(self, item: Item, state: State) -> None:
        """What became of one of them."""
        if state not in COUNTED:
            self._sent -= _absolute(item)

    def overdrawn(self, run: Run) -> str | None:
        """Why nothing more may leave, and what to do: the limit is now below what is sent. None when it is not."""
        limit = self._limit()
        if limit is None or self.must_look or self._sent <= limit:
            return None
        return (
            f"{in_roubles(self._sent)} has been sent or was about to be, and --limit-money is {in_roubles(limit)} "
            f"now. {_goes_on(run)}"
        )

    def told(self, item: Item, run: Run) -> str:
        """Why `item` cannot go, and what to do."""
        limit, sent = self._limit() or Decimal(0), self._sent
        return (
            f"{in_roubles(sent)} has been sent, and row {item.number} ({item.label}) of "
            f"{in_roubles(item.amount or Decimal(0))} would pass --limit-money {in_roubles(limit)}: "
            f"{in_roubles(max(limit - sent, Decimal(0)))} is left. {_goes_on(run)}"
        )


def in_roubles(amount: Decimal) -> str:
    """An amount with two decimals at least, and all that it has."""
    return f"{amount:,.2f}" if amount == round(amount, 2) else f"{amount:,f}"


def _goes_on(run: Run) -> str:
    return f"`carbon-migrate resume {run.name} --limit-money AMOUNT` goes on with a higher one"


def _absolute(item: Item) -> Decimal:
    return abs(item.amount or Decimal(0))
