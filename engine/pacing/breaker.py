"""The breaker: holds all calls while the billing is away, busy or asks for a pause, and probes it.

  ┌──────────── a call is answered ────────────┐
  ▼                                            │
closed ── failures in a row ──▶ open ── probe answered ──▶ half-open: one call, then a few, then all
  └─── "not now" ──────────────▶ ▲             │
                                 └── failed ───┘

A call is answered if it was accepted, or refused because of the row. A busy answer is a failure like a lost one: it
comes back in a millisecond, and the window alone would let a thousand of them a second through. But it may concern
one account only, so a row that is busy again does not count: a few locked accounts, retried again and again, would
hold all others. The retry budget limits how often they are retried.
"""

import random
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from math import ceil, inf
from typing import Final

import anyio
import structlog

from checkpoints.lease import BreakerPace
from checkpoints.records import Item
from engine.errors import LookUpFailed
from engine.outcomes import Cause, Outcome
from engine.pacing.holds import ASKING_AGAIN, BILLING, POLL_SECONDS, Holds, Stop, StopKind
from engine.pacing.policy import Policy
from texts.said import Quantity, advised, reason, said, text_of

# ---- retries ------------------------------------------------------------------------------------------------------
# The wait is drawn with full jitter, so that rows that failed together do not come back together.


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


# ---- the breaker --------------------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

SHORTEST_GAP: Final = 1.0
LONGEST_GAP: Final = 30.0
"""Seconds between two probes: each gap is twice the one before."""

LONGEST_GAP_WHILE_BUSY: Final = 5.0
"""Seconds between two probes of a busy billing: a probe is cheap then, and it may recover at any moment."""

LONGEST_ASKED: Final = 3600.0
"""Maximum wait in seconds for a billing that asks for more than the run's patience."""

SLOWLY: Final = 1000
"""Calls in flight at which a slow start is over."""


class _State(Enum):
    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Breaker:
    """Opens after `policy.away_after` failed calls in a row, or at once when the billing says "not now".

    It fails no rows: rows that were provably not sent are pending again, rows that may have been sent are looked up.
    The run stops after `policy.away_patience` seconds without an answered call, or after the time that the billing
    asked for, up to `LONGEST_ASKED`.
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
        """Maximum calls in flight: one after the breaker was open, then more."""

    @property
    def open(self) -> bool:
        return self._state is _State.OPEN

    def blames_billing(self, outcome: Outcome) -> bool:
        """Whether a failure is the billing's, not the row's; call it before `seen`.

        A lost trial call counts against its row: the row itself may crash the billing.
        """
        if outcome.cause.answered:
            return False
        return self.open or (self._state is _State.HALF_OPEN and not outcome.cause.away)

    def seen(self, outcome: Outcome, *, again: bool = False) -> None:
        """Take in a call's outcome; `again` means that its row has failed before."""
        if outcome.cause.answered:
            if self.open:
                return
            self._failures = 0
            if self._state is _State.HALF_OPEN:
                self._state = _State.CLOSED
                self._unwell_since = None
                self._asked_until = -inf
                self._gap = SHORTEST_GAP
                log.info("the billing works again")
            if self.most < inf:
                # One more for each answer doubles the calls in flight with each round trip.
                self.most = self.most + 1 if self.most < SLOWLY else inf
        elif outcome.cause is Cause.NOT_NOW:
            asked = outcome.retry_after or 0.0
            why = said("the billing says: not now ({why})", why=outcome.message or "")
            self._open(why, min(asked or self._gap, LONGEST_RETRY_AFTER))
            # Set after `_open`: a billing that has used up the patience gets no more by asking again.
            self._asked_until = max(self._asked_until, anyio.current_time() + min(asked, LONGEST_ASKED))
        elif again and not outcome.cause.away:
            self._watch_patience(_busy(outcome))
        else:
            self._failures += 1
            if self._failures < self._policy.away_after and self._state is not _State.HALF_OPEN:
                return
            if outcome.cause.away:
                self.look_up_failed(outcome.message or "")
            else:
                self._gap = min(self._gap, LONGEST_GAP_WHILE_BUSY)
                self._open(_busy(outcome), SHORTEST_GAP)

    def look_up_failed(self, why: str) -> None:
        self._open(said("the billing is away ({why})", why=why))

    @property
    def pace(self) -> BreakerPace:
        """What the next owner of the billing goes on with; half-open, also after a stop, counts as open."""
        now = anyio.current_time()
        return BreakerPace(
            failures=self._failures,
            is_open=self._state is not _State.CLOSED,
            wait=max(self._not_before - now, 0.0),
            gap=self._gap,
            asked=max(self._asked_until - now, 0.0),
        )

    def go_on(self, pace: BreakerPace) -> None:
        """Go on where the breaker of another process was; the patience is this process's own."""
        self._failures = pace.failures
        if pace.is_open:
            self._gap = min(max(pace.gap, SHORTEST_GAP), LONGEST_GAP)
            why = said("the billing was away or busy when another process worked on it")
            self._open(why, min(pace.wait, LONGEST_RETRY_AFTER))
            self._asked_until = anyio.current_time() + min(pace.asked, LONGEST_ASKED)

    def ask_now(self) -> bool:
        """End the wait before the next probe, whatever the billing has asked for; False where none waits."""
        now = anyio.current_time()
        if not self.open or self._not_before <= now:
            return False
        self._not_before, self._gap = now, SHORTEST_GAP
        return True

    async def let_through(self) -> None:
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

    def _open(self, why: str, wait: float = 0.0) -> None:
        """Hold all calls, and probe the billing after at least `wait` seconds."""
        if self._stop.requested:
            return
        now = anyio.current_time()
        if self._state is _State.HALF_OPEN:
            # The billing answers the probe but no call: probe less and less often.
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
        """Wait for as long as the billing asked, extended by later requests, and probe at growing gaps."""
        while not self._stop.requested:
            if (wait := self._not_before - anyio.current_time()) > 0:
                again = reason("asking again in {seconds} s: {why}", ASKING_AGAIN, seconds=ceil(wait), why=self._why)
                self._holds.put(BILLING, again)
                await self._stop.sleep(min(wait, POLL_SECONDS))
                continue
            try:
                await self._probe()
            except LookUpFailed as error:
                self._watch_patience(text_of(error))
                self._why = said("the billing is away ({why})", why=error)
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
                said(
                    "the billing has taken no call for {seconds} s: {why}. Nothing is lost; when it is back, take "
                    "the run up with {resume}",
                    seconds=Quantity(round(unwell)),
                    why=why,
                    resume=advised("resume"),
                ),
            )


def _busy(outcome: Outcome) -> str:
    return said("the billing is busy ({why})", why=outcome.message or "")
