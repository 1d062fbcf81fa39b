"""Holds and stops: the reasons why no call may leave now, and the request to stop the run.

A hold ends by itself or by a person, and the run goes on. A stop ends the run, which can be resumed.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import anyio
import structlog

log = structlog.get_logger(__name__)


class StopKind(StrEnum):
    """The kind of a stop; a run can be resumed after each."""

    INTERRUPTED = "interrupted"
    """A person or the system asked for it."""
    SYSTEM = "system"
    """The billing as a whole refuses or fails, or something else that the run needs has failed."""
    BUDGET = "budget"
    """A limit on errors or money was reached: a person has to check."""


class Stop:
    """The stop request of a run, shared by all of its tasks; the first reason is kept."""

    def __init__(self) -> None:
        self.kind: StopKind | None = None
        self.reason = ""
        """What has happened, and what to do next."""
        self.again: float | None = None
        """Seconds after which it passes by itself, None where nobody knows."""
        self.requested = False
        self._event = anyio.Event()

    def request(self, kind: StopKind, reason: str, again: float | None = None) -> None:
        """Request a stop: begin nothing new, finish the calls in flight."""
        if self.kind is None:
            self.kind, self.reason, self.again = kind, reason, again
            self.requested = True
            self._event.set()

    async def wait(self) -> None:
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until a stop is requested."""
        if seconds > 0:
            with anyio.move_on_after(seconds):
                await self._event.wait()


IN_DOUBT: Final = "in doubt"
"""Rows in doubt are looked up, and nothing is sent meanwhile."""

PAUSED: Final = "paused"
"""A person has paused the run."""

BILLING: Final = "billing"
"""The billing is away, busy, or asks for a pause."""

BARRIER: Final = "barrier"
"""The run has ended, and the next step waits until the billing has processed what was sent."""

POLL_SECONDS: Final = 1.0
"""Seconds between two updates of a countdown."""


class Holds:
    """The present holds by holder; calls leave when there is none. A pause is shown first, then the oldest hold.

    `who` is the holder, a short fixed word; `why` is a text for people that may change during the hold.
    """

    def __init__(self) -> None:
        self._holds: dict[str, tuple[str, float]] = {}
        """By holder: why, and since when."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._listeners: list[Callable[[], None]] = []
        self._free = anyio.Event()
        self._free.set()
        self._released = False

    def __bool__(self) -> bool:
        return bool(self._holds)

    def __contains__(self, who: str) -> bool:
        return who in self._holds

    @property
    def why(self) -> str | None:
        why, _ = self._holds.get(PAUSED) or next(iter(self._holds.values()), (None, 0.0))
        return why

    @property
    def present(self) -> dict[str, str]:
        return {who: why for who, (why, _) in self._holds.items()}

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds held so far, by holder; overlapping holds count in full."""
        now = time.monotonic()
        present = {who: self._seconds.get(who, 0.0) + now - since for who, (_, since) in self._holds.items()}
        return {**self._seconds, **present}

    def put(self, who: str, why: str) -> None:
        before = self._holds.get(who)
        was_free = not self._holds
        self._holds[who] = why, before[1] if before else time.monotonic()
        if before is None:
            log.info("held", by=who, why=why)
            # One event for overlapping holds: it is set when the last of them ends.
            if was_free and not self._released:
                self._free = anyio.Event()
            self._tell()

    def lift(self, who: str) -> None:
        hold = self._holds.pop(who, None)
        if hold is None:
            return
        held = time.monotonic() - hold[1]
        self._seconds[who] += held
        log.info("held no longer", by=who, seconds=round(held, 1))
        if not self._holds:
            self._free.set()
        self._tell()

    def listen(self, heard: Callable[[], None]) -> None:
        self._listeners.append(heard)

    async def lifted(self) -> None:
        await self._free.wait()

    def release(self) -> None:
        """Wake all waiters for good, because a stop was requested."""
        self._released = True
        self._free.set()

    def _tell(self) -> None:
        for heard in self._listeners:
            heard()
