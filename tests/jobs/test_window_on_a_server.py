"""The window over real sockets, against a mock billing with slots and latency.

What is compared was measured in one run: how much of the time its slots were at work, by the mock's own count, and
how long answers took. A slow machine makes all of it slower alike.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from billing.api.calls import version
from billing.api.client import BillingClient, ClientSettings
from billing.database.dsn import Dsn
from checkpoints.states import State
from engine.outcomes import Cause, Outcome
from engine.pacing.breaker import Breaker
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import Throttle
from engine.pipeline.gate import Gate
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress
from lab.mock.capacity import Slots
from lab.mock.server import MockBilling, running

SLOTS = 6
LATENCY = 0.3
TO_FIND = int(10 / LATENCY)
"""Answers of each slot in ten seconds."""
ROUNDS = 30
"""Answers of each slot that are looked at: long enough for the own latency to be measured once meanwhile."""
WELL = Outcome(State.ACCEPTED, Cause.ANSWERED)


class Metered(Slots):
    """Slots that add up how long they are at work, and how long they could have been."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.worked = self.could = 0.0
        self._since = time.monotonic()

    def account(self) -> None:
        now = time.monotonic()
        self.worked += min(self.taken, self.total) * (now - self._since)
        self.could += self.total * (now - self._since)
        self._since = now

    def enter(self, begin: Callable[[], None]) -> None:
        self.account()
        super().enter(begin)

    def leave(self) -> None:
        self.account()
        super().leave()


@dataclass(frozen=True, slots=True)
class Stretch:
    """The share of the slots that was at work, how long an answer took in seconds, and the most in flight."""

    used: float
    latency: float
    largest: int


class Load:
    """Calls of the smallest sort through a gate, until the context ends, as many at a time as the policy says."""

    def __init__(self, client: BillingClient, slots: Metered, policy: Policy) -> None:
        self._client = client
        self._slots = slots
        self.stop = Stop()
        steering = LivePolicy(policy, Progress(), self.stop)
        breaker = Breaker(self._probe, policy, steering.progress.holds, self.stop)
        throttle = Throttle((), steering.progress.holds, self.stop, lambda: self.gate.in_flight, 600.0)
        self.gate = Gate(steering, breaker, throttle)
        self._times: list[float] = []
        self._largest = 0
        self._answered = anyio.Event()

    async def _probe(self) -> None:
        """Nothing fails here."""

    async def work(self) -> None:
        while (passed := await self.gate.enter()) is not None:
            began = time.monotonic()
            await self._client.ask(version())
            self._times.append(time.monotonic() - began)
            self._largest = max(self._largest, self.gate.size)
            self.gate.leave(passed, WELL)
            self._answered.set()
            self._answered = anyio.Event()

    async def stretch(self, answers: int) -> Stretch:
        """What is seen until so many more are answered."""
        self._slots.account()
        self._largest = 0
        worked, could, known = self._slots.worked, self._slots.could, len(self._times)
        while len(self._times) < known + answers:
            await self._answered.wait()
        self._slots.account()
        times = self._times[known:]
        used = (self._slots.worked - worked) / (self._slots.could - could)
        return Stretch(used, sum(times) / len(times), self._largest)


@asynccontextmanager
async def loaded(client: BillingClient, slots: Metered, policy: Policy) -> AsyncIterator[Load]:
    load = Load(client, slots, policy)
    async with anyio.create_task_group() as tasks:
        for _ in range(64):
            tasks.start_soon(load.work)
        yield load
        load.stop.request(StopKind.INTERRUPTED, "enough was seen")
        load.gate.release()


@asynccontextmanager
async def metered(billing_file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[MockBilling, Metered]]:
    slots = Metered(SLOTS)
    monkeypatch.setattr("lab.mock.server.Slots", lambda *_: slots)
    async with running(Dsn(str(billing_file)), latency=LATENCY) as billing:
        yield billing, slots


@pytest.mark.prove
@pytest.mark.loops(180)
async def test_the_window_finds_what_a_real_server_can_do_and_again_when_that_halves(
    billing_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        metered(billing_file, monkeypatch) as (billing, slots),
        BillingClient(ClientSettings(billing.url)) as client,
    ):
        async with loaded(client, slots, Policy(in_flight=1)) as alone:
            own = (await alone.stretch(8)).latency
        async with loaded(client, slots, Policy(in_flight=SLOTS + 2)) as fixed:
            await fixed.stretch(SLOTS * 2)
            best = (await fixed.stretch(SLOTS * 8)).used
        async with loaded(client, slots, Policy()) as load:
            await load.stretch(TO_FIND * SLOTS)
            found = await load.stretch(ROUNDS * SLOTS)
            assert found.used >= 0.95 * best
            assert found.latency < 2 * own
            assert SLOTS <= found.largest <= 2 * SLOTS
            billing.slots = SLOTS // 2
            await load.stretch(TO_FIND * SLOTS // 2)
            halved = await load.stretch(ROUNDS * SLOTS // 2)
            assert halved.used >= 0.95 * best
            assert halved.latency < 2 * own
            # Two more than twice the slots: on a loaded machine each answer takes longer, and more are tried.
            assert SLOTS // 2 <= halved.largest <= SLOTS + 2
