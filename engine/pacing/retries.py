"""Retries: the wait before a retry, the tries of a row, and the retry budget of the whole run.

The wait is drawn with full jitter, so that rows that failed together do not come back together.
"""

import random
from collections.abc import Callable
from typing import Final

from checkpoints.records import Item

BASE: Final = 0.5
"""Upper bound of the first wait, in seconds."""

CAP: Final = 30.0
"""Upper bound of every wait, in seconds, unless the billing asks for more."""

LONGEST_RETRY_AFTER: Final = 300.0
"""Seconds; a billing that asks for a longer wait is tried with one call after this."""

SAVED: Final = 10.0
"""Minimum size of the retry bucket, in retries; the bucket is full at the start."""

_ROUNDING: Final = 1e-6
"""Share of a token that may be missing, as times are inexact."""


def backoff(
    failures: int, retry_after: float | None = None, draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds to wait after the `failures`-th failure (from 1), never less than what the billing asked for.

    Full jitter: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    ceiling = min(CAP, BASE * 2.0 ** min(failures - 1, 16))
    return max(draw(0.0, ceiling), min(retry_after or 0.0, LONGEST_RETRY_AFTER))


class RetryBudget:
    """The retry budget of a run: a `share` of its successes, and always `floor` retries a second.

    A token bucket without a clock of its own. A retry without a token waits; no row fails for lack of one. An
    answered retry returns its token, so that failed rows go at full speed once the billing is well.
    """

    def __init__(self, share: float, floor: float) -> None:
        self._share = share
        self._floor = floor
        self._most = max(SAVED, floor)
        self._tokens = self._most
        self._since: float | None = None

    def succeeded(self) -> None:
        self._tokens = min(self._most, self._tokens + self._share)

    def answered(self) -> None:
        self._tokens = min(self._most, self._tokens + 1.0)

    def wait(self, now: float) -> float:
        """Seconds until the next token if nothing succeeds meanwhile; 0 if there is one."""
        if self._since is not None:
            self._tokens = min(self._most, self._tokens + (now - self._since) * self._floor)
        self._since = now
        return max(0.0, (1.0 - self._tokens) / self._floor) if self._tokens < 1.0 - _ROUNDING else 0.0

    def take(self, now: float) -> bool:
        if self.wait(now) > 0:
            return False
        self._tokens -= 1.0
        return True


class Tries:
    """Failed calls of each row; a row out of tries is left for the next `resume`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._failures: dict[int, int] = {}
        self.out: set[int] = set()

    def failed(self, item: Item, *, blameless: bool) -> bool:
        """Note a failure, counted unless it is independent of the row; returns whether the row has tries left."""
        failures = self._failures[item.item_id] = self.of(item) + (not blameless)
        if blameless or failures < self.most:
            return True
        self.out.add(item.item_id)
        return False

    def has_failed(self, item: Item) -> bool:
        return item.item_id in self._failures

    def of(self, item: Item) -> int:
        return self._failures.get(item.item_id, 0)

    def forget(self, item: Item) -> bool:
        return self._failures.pop(item.item_id, None) is not None
