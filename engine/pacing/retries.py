"""When a row goes again, and how often: the wait, the tries of a row, and the budget of all retries.

The wait is drawn with full jitter, so that rows which failed together do not come back together.
"""

import random
from collections.abc import Callable
from typing import Final

from checkpoints.records import Item
from engine.outcomes import Outcome

BASE: Final = 0.5
"""Seconds that the first wait is drawn from."""

CAP: Final = 30.0
"""Seconds that no wait is drawn beyond, unless the billing asks for more."""

LONGEST_RETRY_AFTER: Final = 300.0
"""Seconds; a billing that asks for more is tried again after this, with one call."""

SAVED: Final = 10.0
"""Retries that a run may have in hand at most, or a second's worth: those it begins with, and those not used."""

_ROUNDING: Final = 1e-6
"""Of a token: who waits as long as he is told finds one, although times are not exact."""


def backoff(
    failures: int, retry_after: float | None = None, draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds to wait after the `failures`-th failure (from 1), never less than what the billing asked for.

    Full jitter: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    ceiling = min(CAP, BASE * 2.0 ** min(failures - 1, 16))
    return max(draw(0.0, ceiling), min(retry_after or 0.0, LONGEST_RETRY_AFTER))


class RetryBudget:
    """How many retries of a whole run may come to nothing: a `share` of its successes, and `floor` a second always.

    A token bucket, a pure function of what it is told and when. Who finds no token waits; no row fails of it. A retry
    that was answered gives its token back: once the billing is well, what has failed goes as fast as it takes it.
    """

    def __init__(self, share: float, floor: float) -> None:
        self._share = share
        self._floor = floor
        self._most = max(SAVED, floor)
        self._tokens = self._most
        self._since: float | None = None

    def succeeded(self) -> None:
        """The billing has done what was asked."""
        self._tokens = min(self._most, self._tokens + self._share)

    def answered(self) -> None:
        """A retry has brought its row to its end."""
        self._tokens = min(self._most, self._tokens + 1.0)

    def wait(self, now: float) -> float:
        """Seconds until a token is there, if nothing succeeds before; 0 when one is."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self._floor) if self._tokens < 1.0 - _ROUNDING else 0.0

    def take(self, now: float) -> bool:
        """Take a token; whether there was one."""
        if self.wait(now) > 0:
            return False
        self._tokens -= 1.0
        return True

    def _fill(self, now: float) -> None:
        if self._since is not None:
            self._tokens = min(self._most, self._tokens + (now - self._since) * self._floor)
        self._since = now


class Tries:
    """Calls that have failed for each row; a row out of tries is left for the next `resume`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._failures: dict[int, int] = {}
        self.out: set[int] = set()

    def failed(self, item: Item, outcome: Outcome) -> bool:
        """Count a failure, unless it says nothing about the row; whether the row has tries left."""
        if outcome.cause.says_nothing_of_row:
            self.excuse(item)
            return True
        failures = self.of(item) + 1
        self._failures[item.item_id] = failures
        if failures < self.most:
            return True
        self.out.add(item.item_id)
        return False

    def excuse(self, item: Item) -> None:
        """The row has failed, of what says nothing about it."""
        self._failures.setdefault(item.item_id, 0)

    def has_failed(self, item: Item) -> bool:
        """Whether the row has failed before, whoever was to blame."""
        return item.item_id in self._failures

    def of(self, item: Item) -> int:
        """Failures so far."""
        return self._failures.get(item.item_id, 0)

    def forget(self, item: Item) -> None:
        """The row needs no further call."""
        self._failures.pop(item.item_id, None)
