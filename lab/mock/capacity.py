"""Capacity of a mock billing: slots, a queue before them, and changes over time."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from billing.errors import SettingsError


class QueueFull(Exception):
    """Raised when all slots are taken and the queue is full: the request is not worked on."""


class Slots:
    """Limits the requests in work; up to `queue` others wait in order, or any number where it is None.

    A small threaded server accepts connections while its queue has room and rejects the rest at once. The number of
    slots may change at any time: requests in work are not affected.
    """

    def __init__(self, slots: int, queue: int | None = None) -> None:
        self.queue = queue
        self.taken = 0
        self._total = slots
        self._waiting: deque[Callable[[], None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def total(self) -> int:
        """The number of slots; requests in work are temporarily more after it was lowered."""
        return self._total

    @total.setter
    def total(self, slots: int) -> None:
        self._total = slots
        self._admit()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether another request would be rejected."""
        return self.queue is not None and self.taken >= self.total and self.waiting >= self.queue

    def enter(self, begin: Callable[[], None]) -> None:
        """Call `begin` with a slot that is held until `leave`: now, or when one is free. Raises `QueueFull`."""
        if self.full:
            raise QueueFull
        self._idle.clear()
        self._waiting.append(begin)
        self._admit()

    def leave(self) -> None:
        """Give a slot back."""
        self.taken -= 1
        self._admit()
        if not self.taken:
            self._idle.set()

    async def wait_until_idle(self) -> None:
        """Wait until no request is in work, and none waits."""
        await self._idle.wait()

    def _admit(self) -> None:
        while self._waiting and self.taken < self._total:
            self.taken += 1
            self._waiting.popleft()()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Numbers of slots over time: the start of each, in seconds since the server began, in ascending order."""

    steps: tuple[tuple[float, int], ...]

    async def follow(self, slots: Slots, clock: Callable[[], float] = time.monotonic) -> None:
        """Change the slots at their times; returns after the last change."""
        began = clock()
        for since, wanted in self.steps:
            if (wait := since - (clock() - began)) > 0:
                await asyncio.sleep(wait)
            slots.total = wanted


def read_schedule(text: str) -> Schedule:
    """A schedule from `SECONDS:SLOTS,…`, as `0:8,30:4,60:8`; raises SettingsError."""
    steps: list[tuple[float, int]] = []
    for part in text.split(","):
        moment, colon, slots = part.strip().partition(":")
        try:
            steps.append((float(moment), int(slots)))
        except ValueError:
            colon = ""
        if not colon or not 0 <= steps[-1][0] < _FOREVER or steps[-1][1] < 1:
            raise SettingsError("the capacity {part} is not SECONDS:SLOTS, as 30:4", part=repr(part.strip()))
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(steps)):
        raise SettingsError("the capacity {text} goes back in time: its seconds are to ascend", text=repr(text))
    return Schedule(tuple(steps))


_FOREVER: Final = 1e9
