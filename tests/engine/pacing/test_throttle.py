"""Gauges: when they are read, when they hold, and that a queue of the billing never grows past its threshold."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from engine.errors import LookUpFailed
from engine.pacing.holds import Holds, Stop, StopKind
from engine.pacing.throttle import EVERY, EVERY_WHILE_HELD, Gauge, GaugeReading, Throttle
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


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
        self.nothing = False
        self.moments: list[float] = []
        self.gauge = Gauge(name, self.measure)
        self.began = anyio.current_time()

    async def measure(self) -> GaugeReading | None:
        self.moments.append(round(anyio.current_time() - self.began, 3))
        value = self.value
        await anyio.sleep(self.takes)
        if self.error:
            raise self.error
        if self.nothing:
            return None
        return GaugeReading(value, self.high, self.low, grows=self.grows, end=self.end)


class Setting:
    """A throttle that watches while a test goes on."""

    def __init__(self, *readers: Reader, patience: float = 600.0) -> None:
        self.holds = Holds()
        self.stop = Stop()
        self.in_flight = 0
        gauges = [reader.gauge for reader in readers]
        self.throttle = Throttle(gauges, self.holds, self.stop, lambda: self.in_flight, patience)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
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


# ---- holding -----------------------------------------------------------------------------------------------------


async def test_it_holds_above_the_high_mark_and_goes_on_at_the_low_one() -> None:
    reader = Reader()
    setting = Setting(reader)
    held: list[bool] = []
    async with setting.watched():
        for reader.value in (9, 10, 10.5, 10, 9, 8.5, 8, 9, 10, 11, 1):
            await anyio.sleep(EVERY)
            held.append(bool(setting.holds))
    assert held == [False, False, True, True, True, True, False, False, False, True, False]
    assert setting.holds.seconds["STACK"] == pytest.approx(5 * EVERY, abs=EVERY)


async def test_far_above_the_high_mark_the_run_is_stopped() -> None:
    reader = Reader()
    reader.value, reader.end = 21, 20
    setting = Setting(reader)
    async with setting.watched():
        assert setting.stop.kind is StopKind.SYSTEM
        assert setting.stop.reason.startswith("STACK 21 > 10. Nothing is lost;")


async def test_a_changed_threshold_counts_at_once() -> None:
    reader = Reader()
    reader.value = 9
    setting = Setting(reader)
    async with setting.watched():
        reader.high = reader.low = 5
        setting.throttle.look()
        await settle()
        assert setting.holds.why == "STACK 9 > 5"


# ---- a gauge that cannot be read ---------------------------------------------------------------------------------


async def test_a_gauge_that_cannot_be_read_holds_until_it_can() -> None:
    reader = Reader(grows=True)
    setting = Setting(reader)
    async with setting.watched():
        reader.error = LookUpFailed("the database is away")
        await anyio.sleep(1.1 * EVERY)
        assert setting.holds.why == "STACK cannot be read: the database is away"
        await anyio.sleep(100.0)
        assert setting.leave(1) == 0
        reader.error = None
        await anyio.sleep(1.1 * EVERY_WHILE_HELD)
        assert setting.leave(1) == 1


async def test_one_that_cannot_be_read_for_long_stops_the_run() -> None:
    reader = Reader()
    setting = Setting(reader, patience=60.0)
    async with setting.watched():
        reader.error = LookUpFailed("the database is away")
        await anyio.sleep(58.0)
        reader.error = None
        await anyio.sleep(EVERY)
        reader.error = LookUpFailed("the database is away")
        await anyio.sleep(60.0)
        assert not setting.stop.requested  # the time begins anew with each reading
        await anyio.sleep(5.0)
        assert setting.stop.kind is StopKind.SYSTEM
        assert "STACK could not be read for 60 s: the database is away" in setting.stop.reason


# ---- when it is read ---------------------------------------------------------------------------------------------


async def test_one_that_calls_add_nothing_to_is_read_every_so_often_and_oftener_while_it_holds() -> None:
    reader = Reader()
    setting = Setting(reader)
    async with setting.watched():
        setting.leave(100_000)
        await anyio.sleep(3.1 * EVERY)
        assert reader.moments == [0.0, 2.0, 4.0, 6.0]
        reader.value = 11
        await anyio.sleep(EVERY + 3 * EVERY_WHILE_HELD)
        assert reader.moments[4:] == [8.0, 8.5, 9.0, 9.5]


async def test_no_more_calls_leave_than_there_is_room_and_it_is_read_again_at_half_of_it() -> None:
    reader = Reader(grows=True, high=1000.0, low=800.0)
    reader.value = 500
    setting = Setting(reader)
    async with setting.watched():
        assert setting.leave(249) == 249
        await settle()
        assert reader.moments == [0.0]
        reader.takes = 1.0
        assert setting.leave(1) == 1
        await settle()
        assert reader.moments == [0.0, 0.0]
        assert setting.leave(1000) == 250  # while it is being read
        reader.value = 700
        await anyio.sleep(1.1)  # what was read then was 500, and 250 had left before
        assert setting.leave(1000) == 250


@pytest.mark.parametrize("seed", range(10))
async def test_a_stack_never_passes_its_threshold_however_it_is_worked_off(seed: int) -> None:
    """A load that would bury it: calls as fast as may be, entries that come some time after their call began."""
    draw = random.Random(seed)
    high = draw.choice([1, 2, 5, 20, 100])
    reader = Reader(grows=True, high=high, low=int(0.8 * high))
    reader.takes = draw.choice([0.0, 0.01, 0.5])
    setting = Setting(reader)
    deepest = entered = 0

    async def call() -> None:
        nonlocal deepest, entered
        await anyio.sleep(draw.uniform(0.0, 0.3))
        reader.value += 1
        entered += 1
        deepest = max(deepest, int(reader.value))
        await anyio.sleep(draw.uniform(0.0, 0.3))
        setting.in_flight -= 1

    async def work_off() -> None:
        while True:
            await anyio.sleep(draw.expovariate(5.5))
            reader.value = max(0, reader.value - 1)

    async with setting.watched(), anyio.create_task_group() as tasks:
        tasks.start_soon(work_off)
        for _ in range(6000):
            await anyio.sleep(0.01)
            for _ in range(min(16 - setting.in_flight, 4)):
                if setting.leave(1):
                    setting.in_flight += 1
                    tasks.start_soon(call)
        tasks.cancel_scope.cancel()
    assert deepest <= high
    assert entered > 25  # in a minute, of some 330 that could be worked off: a tiny stack waits for its readings
    assert high < 20 or entered > 250
