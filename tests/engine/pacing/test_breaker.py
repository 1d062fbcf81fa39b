from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from math import inf

import anyio
import pytest

from checkpoints.lease import BillingPace, BreakerPace
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.outcomes import Cause, Outcome
from engine.pacing.breaker import LONGEST_GAP, SLOWLY, Breaker
from engine.pacing.holds import Holds, Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import EVERY, Gauge, GaugeReading, Throttle
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


WELL = Outcome(State.ACCEPTED, Cause.ANSWERED)
BUSY = Outcome(State.PENDING, Cause.BUSY, message="busy")
AWAY = Outcome(State.UNKNOWN, Cause.NO_ANSWER, message="time-out")


class Setting:
    """A breaker over a billing that is away until `well_at`, and the moments at which it was asked."""

    def __init__(self, well_at: float = 0.0, away_patience: float = 600.0) -> None:
        self.stop = Stop()
        self.holds = Holds()
        policy = Policy(away_after=3, away_patience=away_patience)
        self.breaker = Breaker(self.probe, policy, self.holds, self.stop)
        self.began = anyio.current_time()
        self.well_at = well_at
        self.probed: list[float] = []
        self.held: list[str | None] = []

    @property
    def now(self) -> float:
        return round(anyio.current_time() - self.began, 6)

    async def probe(self) -> None:
        self.probed.append(self.now)
        self.held.append(self.holds.why)
        if self.now < self.well_at:
            raise LookUpFailed("connection refused")

    def seen(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.breaker.seen(outcome)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.breaker.keep)
            yield
            tasks.cancel_scope.cancel()


async def test_it_asks_at_ever_longer_gaps_and_closes_when_it_is_answered() -> None:
    setting = Setting(well_at=70.0)
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        await setting.holds.lifted()
        assert setting.probed == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0]
        assert max(b - a for a, b in pairwise(setting.probed)) == LONGEST_GAP
        assert setting.held[1] == "asking again in 1 s: the billing is away (connection refused)"
        assert not setting.holds
        assert not setting.stop.requested


async def test_it_begins_with_one_call_and_doubles_with_each_round_of_answers() -> None:
    setting = Setting()
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        await setting.holds.lifted()
        in_flight = []
        while setting.breaker.most < 64:
            in_flight.append(setting.breaker.most)
            setting.seen(*[WELL] * int(setting.breaker.most))
        assert in_flight == [1, 2, 4, 8, 16, 32]
        setting.seen(*[WELL] * SLOWLY)
        assert setting.breaker.most == inf


async def test_busy_answers_in_a_row_hold_all_calls_and_are_tried_again_at_growing_gaps() -> None:
    setting = Setting()
    async with setting.kept():
        setting.seen(BUSY, BUSY)
        assert not setting.holds
        setting.seen(BUSY)
        assert setting.holds.why == "the billing is busy (busy)"
        for _ in range(6):
            await setting.holds.lifted()
            assert setting.breaker.most == 1
            setting.seen(BUSY)
        assert setting.probed == [1.0, 2.0, 4.0, 8.0, 13.0, 18.0]
        await setting.holds.lifted()
        setting.seen(WELL)
        assert not setting.holds


def after(pace: BreakerPace, seconds: float) -> BreakerPace:
    return BillingPace(breaker=pace).after(seconds).breaker


async def left_open(seconds: float) -> BreakerPace:
    """What a breaker leaves after so many seconds of a billing that is away."""
    before = Setting(well_at=1e9)
    async with before.kept():
        before.seen(AWAY, AWAY, AWAY)
        await anyio.sleep(seconds)
        before.stop.request(StopKind.INTERRUPTED, "moved")
    # Written at the end, when nothing waits any more.
    return before.breaker.pace


async def test_the_next_owner_holds_all_calls_for_what_is_left_and_asks_at_the_gaps_of_the_one_before() -> None:
    # It has asked at 0, 1, 3, 7, 15 and would again at 31.
    pace = await left_open(20.0)
    setting = Setting(well_at=15.0)
    async with setting.kept():
        setting.breaker.go_on(pace)
        assert setting.breaker.open
        assert setting.holds.why == "the billing was away or busy when another process worked on it"
        await setting.holds.lifted()
        assert setting.probed == [11.0, 41.0]
        assert setting.breaker.most == 1


# Gauges: when they are read, when they hold, and that a queue of the billing never grows past its threshold.


class Reader:
    """A gauge that reads what a test has set, and notes when."""

    def __init__(self, name: str = "STACK", *, grows: bool = False, high: float = 10.0, low: float = 8.0) -> None:
        self.value = 0.0
        self.high = high
        self.low = low
        self.grows = grows
        self.end = float("inf")
        self.error: LookUpFailed | None = None
        self.takes = 0.0
        self.moments: list[float] = []
        self.gauge = Gauge(name, self.measure)
        self.began = anyio.current_time()

    async def measure(self) -> GaugeReading:
        self.moments.append(round(anyio.current_time() - self.began, 3))
        value = self.value
        await anyio.sleep(self.takes)
        if self.error:
            raise self.error
        return GaugeReading(value, self.high, self.low, grows=self.grows, end=self.end)


class Watched:
    """A throttle that watches while a test goes on."""

    def __init__(self, *readers: Reader, patience: float = 600.0) -> None:
        self.holds = Holds()
        self.stop = Stop()
        self.in_flight = 0
        gauges = [reader.gauge for reader in readers]
        self.throttle = Throttle(gauges, self.holds, self.stop, lambda: self.in_flight, patience)

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.throttle.watch)
            await settle()
            yield
            tasks.cancel_scope.cancel()

    def leave(self, calls: int) -> int:
        """Let up to so many calls leave; how many could."""
        for left in range(calls):
            if self.holds or not self.throttle.has_room:
                return left
            self.throttle.left()
        return calls


async def test_it_holds_above_the_high_mark_and_goes_on_at_the_low_one() -> None:
    reader = Reader()
    watched = Watched(reader)
    held: list[bool] = []
    async with watched.going():
        for reader.value in (9, 10, 10.5, 10, 9, 8.5, 8, 9, 10, 11, 1):
            await anyio.sleep(EVERY)
            held.append(bool(watched.holds))
    assert held == [False, False, True, True, True, True, False, False, False, True, False]
    assert watched.holds.seconds["STACK"] == pytest.approx(5 * EVERY, abs=EVERY)


async def test_far_above_the_high_mark_the_run_is_stopped_and_a_changed_mark_counts_at_once() -> None:
    reader = Reader()
    reader.value = 9
    watched = Watched(reader)
    async with watched.going():
        reader.high = reader.low = 5
        watched.throttle.look()
        await settle()
        assert watched.holds.why == "STACK 9 > 5"
        reader.value, reader.end = 21, 20
        watched.throttle.look()
        await settle()
        assert watched.stop.kind is StopKind.SYSTEM
        assert watched.stop.reason.startswith("STACK 21 > 5. Nothing is lost;")


async def test_one_that_cannot_be_read_for_long_stops_the_run() -> None:
    reader = Reader()
    watched = Watched(reader, patience=60.0)
    async with watched.going():
        reader.error = LookUpFailed("the database is away")
        await anyio.sleep(58.0)
        reader.error = None
        await anyio.sleep(EVERY)
        reader.error = LookUpFailed("the database is away")
        await anyio.sleep(60.0)
        assert not watched.stop.requested  # the time begins anew with each reading
        await anyio.sleep(5.0)
        assert watched.stop.kind is StopKind.SYSTEM
        assert "STACK could not be read for 60 s: the database is away" in watched.stop.reason


async def test_no_more_calls_leave_than_there_is_room_and_it_is_read_again_at_half_of_it() -> None:
    reader = Reader(grows=True, high=1000.0, low=800.0)
    reader.value = 500
    watched = Watched(reader)
    async with watched.going():
        assert watched.leave(249) == 249
        await settle()
        assert reader.moments == [0.0]
        reader.takes = 1.0
        assert watched.leave(1) == 1
        await settle()
        assert reader.moments == [0.0, 0.0]
        assert watched.leave(1000) == 250  # while it is being read
        reader.value = 700
        await anyio.sleep(1.1)  # what was read then was 500, and 250 had left before
        assert watched.leave(1000) == 250


async def test_each_counts_its_own_time_also_while_it_still_holds() -> None:
    holds = Holds()
    holds.put("hours", "it is noon")
    await anyio.sleep(10)
    holds.put("disk", "it is full")
    await anyio.sleep(5)
    holds.put("hours", "it is one o'clock")  # the same hold, another text
    holds.lift("disk")
    await anyio.sleep(1)
    assert holds.seconds == pytest.approx({"hours": 16.0, "disk": 5.0})
    holds.lift("hours")
    await anyio.sleep(100)
    holds.put("disk", "again")
    await anyio.sleep(2)
    assert holds.seconds == pytest.approx({"hours": 16.0, "disk": 7.0})
