"""What keeps a run from sending: the reasons why no call may leave now, and the wish to stop.

A hold ends by itself or by a person, and the run goes on; a stop ends the run, which can be resumed.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import anyio
import structlog

from engine.errors import Remedy, Said, sentence

log = structlog.get_logger(__name__)


class StopKind(StrEnum):
    """Who or what stopped a run; each leaves it resumable."""

    INTERRUPTED = "interrupted"
    """A person or the system asked for it."""
    SYSTEM = "system"
    """The billing as a whole will not or cannot, or what the run rests on has failed."""
    BUDGET = "budget"
    """Too many rows went wrong to go on without somebody looking."""


class Stop:
    """One wish to stop, shared by all that works on a run; the first reason is the one that is kept."""

    def __init__(self) -> None:
        self.kind: StopKind | None = None
        self.said: Said = ()
        self._event = anyio.Event()

    @property
    def requested(self) -> bool:
        """Whether to begin nothing new."""
        return self.kind is not None

    @property
    def reason(self) -> str:
        """Why, with what there is to do in plain words."""
        return sentence(self.said)

    def request(self, kind: StopKind, *said: str | Remedy) -> None:
        """Begin nothing new; finish what is in flight."""
        if self.kind is None:
            self.kind, self.said = kind, said
            self._event.set()

    async def wait(self) -> None:
        """Wait for the wish."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, less when a stop is asked for."""
        if seconds > 0:
            with anyio.move_on_after(seconds):
                await self._event.wait()


IN_DOUBT: Final = "in doubt"
"""Rows are looked up, and nothing is sent meanwhile."""

PAUSED: Final = "paused"
"""A person wants it so."""

BILLING: Final = "billing"
"""It is away, or asks to be left alone for a while."""

BARRIER: Final = "barrier"
"""The run is at its end, and what comes after it waits until the billing has worked off what was sent."""

POLL_SECONDS: Final = 1.0
"""Seconds after which a text that counts down is told anew."""


@dataclass(frozen=True, slots=True)
class _Hold:
    why: str
    since: float


class Holds:
    """Reasons by who holds; calls leave when there is none. Of several the first is told, but for a person's pause.

    Who holds is a word of a few, `why` a text for people that may change while it lasts.
    """

    def __init__(self) -> None:
        self._holds: dict[str, _Hold] = {}
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
        """The reason that is told, None when nothing holds."""
        if PAUSED in self._holds:
            return self._holds[PAUSED].why
        return next((hold.why for hold in self._holds.values()), None)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each has held until now; two that held at one time count both."""
        now = time.monotonic()
        total = self._seconds | {who: self._seconds[who] + now - hold.since for who, hold in self._holds.items()}
        return dict(total)

    def put(self, who: str, why: str) -> None:
        """Hold, or hold on for another reason."""
        before = self._holds.get(who)
        was_free = not self._holds
        self._holds[who] = _Hold(why, before.since if before else time.monotonic())
        if before is None:
            log.info("held", by=who, why=why)
            # One event for all that hold at one time, or who waits for the first would never hear of the last.
            if was_free and not self._released:
                self._free = anyio.Event()
            self._tell()

    def lift(self, who: str) -> None:
        """Hold no longer."""
        hold = self._holds.pop(who, None)
        if hold is None:
            return
        held = time.monotonic() - hold.since
        self._seconds[who] += held
        log.info("held no longer", by=who, seconds=round(held, 1))
        if not self._holds:
            self._free.set()
        self._tell()

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` whenever somebody begins or ceases to hold."""
        self._listeners.append(heard)

    async def lifted(self) -> None:
        """Wait until nobody holds; returns at once after `release`."""
        await self._free.wait()

    def release(self) -> None:
        """A stop is asked for: let nobody wait here any longer."""
        self._released = True
        self._free.set()

    def _tell(self) -> None:
        for heard in self._listeners:
            heard()
