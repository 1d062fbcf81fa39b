"""The rate: how many calls a second may leave at most."""

from typing import Final

LATENESS: Final = 0.01
"""Seconds that a call which leaves later than it might have may be behind without the next ones losing them."""


class Rate:
    """GCRA (the leaky bucket as a meter): at most `per_second` calls, evenly spaced, without a burst.

    A pure function of the times it is asked at: no clock of its own. `per_second` may be changed at any time, and
    counts from the last call that left; None is no limit.
    """

    def __init__(self, per_second: float | None = None) -> None:
        self.per_second = per_second
        self._last = float("-inf")

    def moment(self, asked: float, now: float) -> float:
        """When the next call may leave that was ready at `asked`; not after `now` when it may leave at once."""
        if self.per_second is None:
            return now
        # Whoever had to wait in a queue leaves on schedule; whoever comes after an idle hour finds no burst saved up.
        return max(self._last + 1.0 / self.per_second, asked, now - LATENESS)

    def left(self, moment: float) -> None:
        """A call has left, whose moment was `moment`."""
        self._last = moment
