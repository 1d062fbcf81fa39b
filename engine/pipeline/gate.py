"""The gate: decides when the next call may leave.

    claimed ──▶ a place in the window ──▶ turnstile ──▶ the call
                (as many as it says)       (holds, room below the gauges' thresholds,
                                                   a slow start, the rate; one at a time, in order)

When nothing holds and there is no rate, a call passes both without waiting.
"""

import asyncio
import time
from collections import deque
from contextvars import ContextVar
from math import inf
from typing import Final, TypeAlias

import anyio
import structlog

from checkpoints.journal import Journal
from checkpoints.lease import BillingPace, machine
from checkpoints.records import Run
from engine.outcomes import Cause, Outcome
from engine.pacing.breaker import Breaker
from engine.pacing.holds import PAUSED, Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import Rate, Throttle
from engine.pacing.window import InFlight, Ticket, Window
from engine.pipeline.progress import LivePolicy, Progress
from engine.pipeline.reconciler import count_down
from texts.said import Quantity, advised, reason, said

log = structlog.get_logger(__name__)

FIRST: Final = 2
"""Initial size of a window: a vendor's sample of the server runs 2 threads [V]."""


READY: Final = 16
"""Minimum number of ready calls for an adaptive window: it does not grow while calls are missing."""


def window_of(policy: Policy) -> InFlight:
    if policy.in_flight is not None:
        return InFlight(policy.in_flight)
    return Window(cap=policy.max_in_flight, start=min(FIRST, policy.max_in_flight))


Passed: TypeAlias = tuple[InFlight, Ticket]
"""The pass of a call: its window and its ticket, given back with `leave`."""


_BUSY: Final = said("busy")
_TROUBLES: Final = {Cause.NOT_REACHED: said("not reached"), Cause.NO_ANSWER: said("no answer")}
"""The trouble of a call without an answer, in a word or two."""


class Gate:
    """Lets calls through in order; `in_flight` is the number of calls in flight."""

    def __init__(self, steering: LivePolicy, breaker: Breaker, throttle: Throttle) -> None:
        self._steering = steering
        self._policy = steering.policy
        self._progress = steering.progress
        self._holds = steering.progress.holds
        self._stop = steering.stopping
        self._breaker = breaker
        self._throttle = throttle
        self._rate = Rate(steering.policy.rate)
        self._window = window_of(steering.policy)
        self._taken = 0
        """Places of the window, by calls in flight or at the turnstile."""
        self._held_up = 0
        self._waiting: deque[asyncio.Event] = deque()
        self._turnstile = anyio.Lock()
        self._bell = anyio.Event()
        self._why = ""
        self._last_call = anyio.current_time()
        self.in_flight = 0
        self.foreign = 0
        """Calls of an earlier owner of the billing that may be under way."""
        self._holds.listen(self.ring)
        throttle.listen(self.ring)

    # ---- for the workers ----

    async def enter(self) -> Passed | None:
        """Wait until a call may leave; returns its pass, None if a stop is requested."""
        if self._stop.requested:
            return None
        if self._taken < self._window.size and not self._waiting:
            self._taken += 1
        else:
            turn = asyncio.Event()
            self._waiting.append(turn)
            await turn.wait()
        is_clear = not self._holds and self._throttle.has_room and self.in_flight < self._most
        if self._rate.per_second is not None or self._turnstile.locked() or not is_clear:
            self._held_up += 1
            await self._pass(anyio.current_time())
            self._held_up -= 1
        # Asked in another way, as it may have come during the wait.
        if self._stop.kind is not None:
            return None
        self.in_flight += 1
        self._throttle.left()
        # Those at the turnstile are not in flight yet.
        return self._window, self._window.started(time.monotonic(), self._taken - self._held_up)

    def leave(self, passed: Passed, outcome: Outcome, *, again: bool = False) -> bool:
        """Take in a call's outcome, `again` if its row has failed before; True if it is independent of the row."""
        answered = outcome.cause.answered
        window, ticket = passed
        now = time.monotonic()
        self._last_call = anyio.current_time()
        self.in_flight -= 1
        blameless = not answered and self._breaker.blames_billing(outcome)
        if answered:
            window.delivered(now, ticket)
        elif blameless or outcome.cause is Cause.REFUSES_ALL:
            window.dismissed(now, ticket)
        else:
            window.troubled(now, ticket, _TROUBLES.get(outcome.cause, _BUSY))
        self._progress.called(now - ticket.started)
        self._breaker.seen(outcome, again=again)
        if self._give_back() or self._most < inf:
            self.ring()
        return blameless

    def is_withdrawn(self) -> bool:
        """Whether somebody has paused the run, or made its window smaller, since the calls have passed."""
        return PAUSED in self._holds or self.in_flight > (self._policy.in_flight or self._policy.max_in_flight)

    def step_aside(self, passed: Passed) -> None:
        window, ticket = passed
        window.dismissed(time.monotonic(), ticket)
        self.in_flight -= 1
        if self._give_back():
            self.ring()

    def _give_back(self) -> bool:
        """Give a place back; True where more had been taken than the window, smaller by now, has."""
        was_over = self._taken > self._window.size
        self._taken -= 1
        if self._waiting:
            self._hand_out()
        return was_over

    def _hand_out(self) -> None:
        while self._waiting and self._taken < self._window.size:
            self._taken += 1
            self._waiting.popleft().set()

    # ---- for the next owner of the billing ----

    def pace(self) -> BillingPace:
        return BillingPace(
            self._window.pace if isinstance(self._window, Window) else None,
            self._breaker.pace,
            anyio.current_time() - self._last_call,
        )

    def go_on(self, pace: BillingPace) -> None:
        if pace.window is not None and isinstance(self._window, Window):
            self._window.go_on(pace.window)
        self._breaker.go_on(pace.breaker)
        if pace.since_call is not None:
            self._last_call = anyio.current_time() - pace.since_call
            self._rate.left(self._last_call)
        log.info("going on at the pace of the owner before", window=self.size, held=self._breaker.open)
        self._hand_out()
        self.ring()

    # ---- for changes of the policy, and stops ----

    def ring(self) -> None:
        self._bell.set()
        self._bell = anyio.Event()

    def heed_change(self) -> None:
        """Apply a changed policy at once, also to waiting calls."""
        before, now = self._policy, self._steering.policy
        self._policy = now
        self._rate.per_second = now.rate
        if before.in_flight != now.in_flight:
            # Calls in flight report to the window that let them through.
            self._window = window_of(now)
        elif isinstance(self._window, Window):
            self._window.bound(now.max_in_flight)
        self._hand_out()
        self.ring()

    def release(self) -> None:
        while self._waiting:
            self._waiting.popleft().set()
        self.ring()

    # ---- status ----

    @property
    def size(self) -> int:
        return self._window.size

    def ahead(self) -> int:
        """The number of calls to keep ready beside those in flight, so that no worker waits for a claim."""
        return self.size if self._policy.in_flight is not None else max(self.size, READY)

    @property
    def keeps_back(self) -> bool:
        """Whether a call that has its place in the window waits all the same."""
        return self._turnstile.locked()

    @property
    def why(self) -> str:
        if self.keeps_back:
            return self._why
        return self._window.why if self._taken >= self.size else ""

    # ---- the turnstile ----

    @property
    def _most(self) -> float:
        """Calls at once, where that is less than the window: beside calls of an earlier owner, one at least."""
        beside = max(self.size - self.foreign, 1) if self.foreign else inf
        return min(self._breaker.most, beside)

    async def _pass(self, asked: float) -> None:
        """Wait for all holds, then for the rate; changes take effect at once.

        A call may have taken its place in a window that was larger: then it waits until the window of now has room.
        """
        async with self._turnstile:
            while not self._stop.requested:
                wait = inf
                if self._holds:
                    self._why = ""
                elif self.in_flight >= self.size:
                    self._why = self._window.why
                elif not self._throttle.has_room:
                    self._why = self._throttle.why
                elif self.in_flight >= self._most:
                    self._why = said("slow start")
                else:
                    rate = self._rate.per_second
                    self._why = "" if rate is None else reason("rate {rate}", "rate", rate=rate)
                    now = anyio.current_time()
                    moment = self._rate.moment(asked, now)
                    wait = moment - now
                    if wait <= 0:
                        self._rate.left(moment)
                        return
                with anyio.move_on_after(wait):
                    await self._bell.wait()


# ---- ownership ----------------------------------------------------------------------------------------------------
# Whether the run still belongs to this process.
#
# Each write to the journal names this process's epoch, so a successful write proves the ownership. A claim can wait
# at the gate for a long time after the last write, and another process may have taken the run up meanwhile. So the
# journal is asked before such a call leaves.


TRUSTED: Final = 1.0
"""Seconds for which a confirmation is valid: far less than the settle delay, after which a process that takes the run
up treats calls in flight here as absent."""

CHECKED: Final[ContextVar[float]] = ContextVar("checked", default=inf)
"""The moment of the last check before the call of a row that is on its way; in the task that makes the call."""


class Ownership:
    """Confirms that this process owns `run`, and asks the journal again when the last confirmation is old.

    A process can be frozen after its last check, with the call at its turn. By the time that it goes on, another one
    may have waited for its own settle delay of `settle` seconds and sent the row: so such a call does not leave.
    """

    def __init__(self, run: Run, journal: Journal, settle: float) -> None:
        self._run = run
        self._journal = journal
        self._longest = max(settle / 2 - TRUSTED, TRUSTED)
        self.lease = journal.lease_of(run)
        self._confirmed_at = anyio.current_time() - 2 * TRUSTED
        self._one_at_a_time = anyio.Lock()

    def told(self, moment: float) -> None:
        """Note a successful write under this process's epoch that began at `moment`."""
        self._confirmed_at = max(self._confirmed_at, moment)

    async def wait_for_earlier(self, progress: Progress, stop: Stop) -> None:
        """Wait until no earlier owner of the billing can send any more: one that was frozen or cut off."""
        if not self.lease.until_free:
            return

        try:
            await count_down(
                anyio.current_time() + self.lease.until_free,
                progress,
                stop,
                lambda seconds: said(
                    "the process that worked on this billing before was not ended in order and may still send: "
                    "going on in {seconds} s",
                    seconds=Quantity(seconds),
                ),
            )
        finally:
            progress.hold(None)
        if not self.lease.until_free:
            await self._journal.history.note_free(self._run, machine())

    def carry_on(self, gate: Gate) -> None:
        """Go on at the billing's pace as its owner before has left it, and leave it to the next one."""
        if (pace := self.lease.carried) is not None:
            gate.go_on(pace)
        self.lease.pace = gate.pace

    async def stop_when_lost(self, stop: Stop) -> None:
        await self.lease.lost.wait()
        resume = advised("resume", self._run.name)
        stop.request(StopKind.SYSTEM, said("{why}; {resume} goes on", why=self.lease.why, resume=resume))

    async def confirm(self) -> None:
        """Check the ownership before a call leaves. Raises `RunTakenOver`."""
        if anyio.current_time() - self._confirmed_at <= TRUSTED:
            return
        async with self._one_at_a_time:
            # Another worker may have confirmed it meanwhile.
            if (now := anyio.current_time()) - self._confirmed_at > TRUSTED:
                await self._journal.confirm(self._run)
                self.told(now)

    def may_leave(self) -> bool:
        """Whether a call may leave at this moment; one of a row only soon after it was `CHECKED`."""
        return anyio.current_time() - CHECKED.get() <= self._longest and self.lease.is_valid()
