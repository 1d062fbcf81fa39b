"""The gate: when one more call may leave.

What is in flight is bounded by the number of workers, each of which has one call; the gate spaces the calls in time
and holds them all while the billing is away. A window that follows the server goes behind the same two methods.
"""

from typing import Protocol

import anyio

from engine.breaker import Breaker
from engine.outcomes import Outcome
from engine.stop import Stop


class Gate(Protocol):
    """What stands between a claimed item and its call."""

    async def enter(self) -> None:
        """Wait until one more call may leave. Returns at once when a stop is asked for."""
        ...

    def leave(self, outcome: Outcome, seconds: float) -> None:
        """Tell what came of a call that had entered, and how long it took."""
        ...


class Rate:
    """GCRA (the leaky bucket as a meter): at most `per_second` calls, evenly spaced, without a burst.

    A pure function of the times it is asked at: no clock of its own.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._next = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next free moment; returns how many seconds from `now` it lies."""
        moment = max(self._next, now)
        self._next = moment + self._interval
        return moment - now


class FixedGate:
    """A gate for a fixed number of workers, with an optional rate and the breaker."""

    def __init__(self, breaker: Breaker, rate: Rate | None, stop: Stop) -> None:
        self._breaker = breaker
        self._rate = rate
        self._stop = stop

    async def enter(self) -> None:
        """Wait for the breaker, then for the rate."""
        await self._breaker.passable()
        if self._rate is not None:
            await self._stop.sleep(self._rate.reserve(anyio.current_time()))

    def leave(self, outcome: Outcome, seconds: float) -> None:  # noqa: ARG002 - a window will want the time
        """Let the breaker see it."""
        self._breaker.seen(outcome)
