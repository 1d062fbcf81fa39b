"""The breaker: when the billing is away, busy or asks to be left alone, hold all calls and ask for it.

  ┌──────────── a call is answered ────────────┐
  ▼                                            │
closed ── failures in a row ──▶ open ── probe answered ──▶ half-open: one call, then a few, then all
  └─── "not now" ──────────────▶ ▲             │
                                 └── failed ───┘

Answered is what was accepted, or refused because of the row. A busy answer is as good a failure as a lost one: it
comes back in a millisecond, and whoever only counts the calls in flight sends a thousand a second into it. It may be
about one account alone, too. So a row that is busy again says nothing of the billing, or a few locked accounts, which
go again and again, would hold all others; how often they go is the retry budget's business.
"""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from math import ceil, inf
from typing import Final

import anyio
import structlog

from engine.errors import LookUpFailed, Remedy
from engine.outcomes import Cause, Outcome
from engine.pacing.holds import BILLING, POLL_SECONDS, Holds, Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.retries import LONGEST_RETRY_AFTER

log = structlog.get_logger(__name__)

SHORTEST_GAP: Final = 1.0
LONGEST_GAP: Final = 30.0
"""Seconds between two probes: each gap is twice the one before."""

LONGEST_GAP_WHILE_BUSY: Final = 5.0
"""The same while it answers that it is busy: a call costs it little then, and it may be well at any moment."""

LONGEST_ASKED: Final = 3600.0
"""Seconds that a billing is waited for which asks for more than the run's patience."""

SLOWLY: Final = 1000
"""Calls in flight at which a slow start is over, whatever the window."""


class _State(Enum):
    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Breaker:
    """Opens after `policy.away_after` failed calls in a row, or at once when the billing says "not now".

    It fails no rows: what was provably not sent is pending again, what may have been sent is looked up. A billing
    that has answered no call for `policy.away_patience` seconds stops the run; one that asks for more time gets it.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], policy: Policy, holds: Holds, stop: Stop) -> None:
        self._probe = probe
        self._policy = policy
        self._holds = holds
        self._stop = stop
        self._state = _State.CLOSED
        self._failures = 0
        self._gap = SHORTEST_GAP
        self._why = ""
        self._unwell_since: float | None = None
        self._asked_until = -inf
        self._not_before = -inf
        self._opened = anyio.Event()
        self._let_through = anyio.Event()
        self.most: float = inf
        """Calls in flight that it lets through: after it has been open it begins with one."""

    @property
    def open(self) -> bool:
        """Whether all calls are held."""
        return self._state is _State.OPEN

    def blames_billing(self, outcome: Outcome) -> bool:
        """Whether a failure says nothing about its row; to be asked before it is `seen`.

        Of a trial call that is lost the row has to answer for itself: it may be what the billing dies of.
        """
        if outcome.answered:
            return False
        return self.open or (self._state is _State.HALF_OPEN and not outcome.cause.away)

    def seen(self, outcome: Outcome, *, again: bool = False) -> None:
        """Judge a call's outcome; `again` tells that of a row that has failed before."""
        if outcome.answered:
            if not self.open:
                self._answered()
        elif outcome.cause is Cause.NOT_NOW:
            self._put_off(outcome)
        elif again and not outcome.cause.away:
            self._watch_patience(f"the billing is busy ({outcome.message})")
        else:
            self._failures += 1
            if self._failures >= self._policy.away_after or self._state is _State.HALF_OPEN:
                self._failed(outcome)

    def look_up_failed(self, why: str) -> None:
        """A look-up has found the billing away: no call would fare better."""
        self._open(f"the billing is away ({why})")

    async def let_through(self) -> None:
        """Wait until calls may be tried again; returns at once when a stop is asked for."""
        while self.open and not self._stop.requested:
            await self._let_through.wait()

    async def keep(self) -> None:
        """Whenever the breaker has opened, wait and probe until it can close; runs beside the workers."""
        while True:
            await self._opened.wait()
            await self._until_well()
            self._opened = anyio.Event()
            self._state = _State.HALF_OPEN
            self._failures = 0
            self.most = 1
            self._holds.lift(BILLING)
            self._let_through.set()
            self._let_through = anyio.Event()

    def _answered(self) -> None:
        """The billing is there and works."""
        self._failures = 0
        if self._state is _State.HALF_OPEN:
            self._state = _State.CLOSED
            self._unwell_since = None
            self._asked_until = -inf
            self._gap = SHORTEST_GAP
            log.info("the billing works again")
        if self.most < inf:
            # One more for each answer: twice as many each time that all have come back.
            self.most = self.most + 1 if self.most < SLOWLY else inf

    def _put_off(self, outcome: Outcome) -> None:
        """The billing as a whole takes nothing for now."""
        asked = outcome.retry_after or 0.0
        self._open(f"the billing says: not now ({outcome.message})", min(asked or self._gap, LONGEST_RETRY_AFTER))
        # Only now: who has had all of the patience does not get more of it by asking again.
        self._asked_until = max(self._asked_until, anyio.current_time() + min(asked, LONGEST_ASKED))

    def _failed(self, outcome: Outcome) -> None:
        """One failure too many: nobody answers, or all that is answered is that it is busy."""
        if outcome.cause.away:
            self._open(f"the billing is away ({outcome.message})")
        else:
            self._gap = min(self._gap, LONGEST_GAP_WHILE_BUSY)
            self._open(f"the billing is busy ({outcome.message})", SHORTEST_GAP)

    def _open(self, why: str, wait: float = 0.0) -> None:
        """Hold all calls, and ask for the billing in `wait` seconds at the earliest."""
        if self._stop.requested:
            return
        now = anyio.current_time()
        if self._state is _State.HALF_OPEN:
            # It answers the probe and takes no call: ask ever more rarely.
            wait = max(wait, self._next_gap())
        if now + wait > self._not_before:
            self._not_before = now + wait
            self._why = why
        if self.open:
            return
        log.warning("holding all calls", why=why)
        self._state = _State.OPEN
        self._why = why
        if self._unwell_since is None:
            self._unwell_since = now
        self._holds.put(BILLING, why)
        self._opened.set()
        self._watch_patience(why)

    async def _until_well(self) -> None:
        """Wait as long as was asked for, also when more is asked for meanwhile, and probe at growing gaps."""
        while not self._stop.requested:
            if (wait := self._not_before - anyio.current_time()) > 0:
                self._holds.put(BILLING, f"{self._why}: asking again in {ceil(wait)} s")
                await self._stop.sleep(min(wait, POLL_SECONDS))
                continue
            try:
                await self._probe()
            except LookUpFailed as error:
                self._watch_patience(str(error))
                self._why = f"the billing is away ({error})"
                self._not_before = max(self._not_before, anyio.current_time() + self._next_gap())
            else:
                if self._not_before <= anyio.current_time():
                    break

    def _next_gap(self) -> float:
        gap, self._gap = self._gap, min(LONGEST_GAP, self._gap * 2)
        return gap

    def _watch_patience(self, why: str) -> None:
        if self._unwell_since is None:
            return
        now = anyio.current_time()
        unwell = now - self._unwell_since
        asked = min(self._asked_until - self._unwell_since, LONGEST_ASKED)
        if unwell > self._policy.away_patience and unwell >= asked:
            self._stop.request(
                StopKind.SYSTEM,
                f"the billing has taken no call for {unwell:.0f} s: {why}. "
                "Nothing is lost; when it is back, take the run up with ",
                Remedy("resume"),
            )
