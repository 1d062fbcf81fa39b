"""The breaker: when the billing is away or asks to be left alone, hold all calls and ask for it.

  ┌──────────── a call is answered ────────────┐
  ▼                                            │
closed ── failures in a row ──▶ open ── probe answered ──▶ half-open: one call, then a few, then all
  └─── "not now" ──────────────▶ ▲             │
                                 └── failed ───┘
"""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from math import inf
from typing import Final

import anyio
import structlog

from engine.errors import LookUpFailed
from engine.holds import BILLING, Holds
from engine.outcomes import Outcome
from engine.policy import Policy
from engine.retries import LONGEST_RETRY_AFTER
from engine.stop import Stop, StopKind

log = structlog.get_logger(__name__)

SHORTEST_GAP: Final = 1.0
LONGEST_GAP: Final = 30.0
"""Seconds between two probes: each gap is twice the one before."""

SLOWLY: Final = 1000
"""Calls in flight at which a slow start is over, whatever the window."""


class _State(Enum):
    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Breaker:
    """Opens after `policy.away_after` failed calls in a row, or at once when the billing says "not now".

    It fails no rows: what was provably not sent is pending again, what may have been sent is looked up. A billing
    that has answered no call for `policy.away_patience` seconds stops the run.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], policy: Policy, holds: Holds, stop: Stop) -> None:
        self._probe = probe
        self._policy = policy
        self._holds = holds
        self._stop = stop
        self._state = _State.CLOSED
        self._failures = 0
        self._gap = SHORTEST_GAP
        self._away_since: float | None = None
        self._not_before = -inf
        self._opened = anyio.Event()
        self.most: float = inf
        """Calls in flight that it lets through: after it has been open it begins with one."""

    @property
    def open(self) -> bool:
        """Whether all calls are held: what comes back lost meanwhile says nothing about its row."""
        return self._state is _State.OPEN

    def seen(self, outcome: Outcome) -> None:
        """Judge a call's outcome."""
        if outcome.not_now:
            asked = outcome.retry_after or self._gap
            self._open(f"the billing says: not now ({outcome.message})", min(asked, LONGEST_RETRY_AFTER))
        elif outcome.away:
            self._failures += 1
            if self._failures >= self._policy.away_after or self._state is _State.HALF_OPEN:
                self._open(f"the billing is away ({outcome.message})")
        elif self._state is not _State.OPEN:
            self._answered()

    async def keep(self) -> None:
        """Whenever the breaker has opened, wait and probe until it can close; runs beside the workers."""
        while True:
            await self._opened.wait()
            await self._wait_as_asked()
            await self._probe_until_well()
            self._opened = anyio.Event()
            self._state = _State.HALF_OPEN
            self._failures = 0
            self.most = 1
            self._holds.lift(BILLING)

    def _answered(self) -> None:
        """The billing is there and works."""
        self._failures = 0
        if self._state is _State.HALF_OPEN:
            self._state = _State.CLOSED
            self._away_since = None
            self._gap = SHORTEST_GAP
            log.info("the billing works again")
        if self.most < inf:
            # One more for each answer: twice as many each time that all have come back.
            self.most = self.most + 1 if self.most < SLOWLY else inf

    def _open(self, why: str, wait: float = 0.0) -> None:
        """Hold all calls, and ask for the billing in `wait` seconds at the earliest."""
        if self._stop.requested:
            return
        now = anyio.current_time()
        if self._state is _State.HALF_OPEN:
            # It answers the probe and takes no call: ask ever more rarely.
            wait = max(wait, self._next_gap())
        self._not_before = max(self._not_before, now + wait)
        if self._state is _State.OPEN:
            return
        log.warning("holding all calls", why=why)
        self._state = _State.OPEN
        if self._away_since is None:
            self._away_since = now
        self._holds.put(BILLING, why)
        self._opened.set()
        self._watch_patience(why)

    async def _wait_as_asked(self) -> None:
        why = self._holds.why_of(BILLING)
        while (wait := self._not_before - anyio.current_time()) > 0 and not self._stop.requested:
            self._holds.put(BILLING, f"{why}: asking again in {wait:.0f} s")
            await self._stop.sleep(wait)

    async def _probe_until_well(self) -> None:
        while not self._stop.requested:
            try:
                await self._probe()
            except LookUpFailed as error:
                self._watch_patience(str(error))
                gap = self._next_gap()
                self._holds.put(BILLING, f"the billing is away: asking again in {gap:.0f} s ({error})")
                await self._stop.sleep(gap)
            else:
                break

    def _next_gap(self) -> float:
        gap, self._gap = self._gap, min(LONGEST_GAP, self._gap * 2)
        return gap

    def _watch_patience(self, why: str) -> None:
        away = 0.0 if self._away_since is None else anyio.current_time() - self._away_since
        if away > self._policy.away_patience:
            self._stop.request(
                StopKind.SYSTEM,
                f"the billing has been away for {away:.0f} s: {why}. "
                "Nothing is lost; when it is back, take the run up with `carbon-migrate resume`",
            )
