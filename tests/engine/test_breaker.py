from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest

from checkpoints.states import State
from engine.breaker import LONGEST_GAP, Breaker
from engine.errors import LookUpFailed
from engine.outcomes import Outcome
from engine.policy import Policy
from engine.progress import Progress
from engine.stop import Stop, StopKind
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock

WELL = Outcome(State.ACCEPTED)
BUSY = Outcome(State.PENDING, message="busy")
AWAY = Outcome(State.UNKNOWN, message="time-out", away=True)


class Setting:
    """A breaker over a billing that is away until `well_at`, and the moments at which it was asked."""

    def __init__(self, well_at: float = 0.0, away_patience: float = 600.0) -> None:
        self.stop = Stop()
        self.progress = Progress()
        policy = Policy(away_after=3, away_patience=away_patience)
        self.breaker = Breaker(self.probe, policy, self.progress, self.stop)
        self.began = anyio.current_time()
        self.well_at = well_at
        self.probed: list[float] = []
        self.held: list[str | None] = []

    @property
    def now(self) -> float:
        return round(anyio.current_time() - self.began, 6)

    async def probe(self) -> None:
        self.probed.append(self.now)
        self.held.append(self.progress.held)
        if self.now < self.well_at:
            raise LookUpFailed("connection refused")

    def seen(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.breaker.seen(outcome)

    async def passes(self) -> bool:
        """Whether a call may leave now."""
        with anyio.move_on_after(0) as scope:
            await self.breaker.passable()
        return not scope.cancelled_caught

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.breaker.keep)
            yield
            tasks.cancel_scope.cancel()


async def test_it_opens_after_enough_failures_in_a_row() -> None:
    setting = Setting()
    setting.seen(AWAY, AWAY)
    assert await setting.passes()
    setting.seen(AWAY)
    assert not await setting.passes()


@pytest.mark.parametrize("between", [WELL, BUSY, Outcome(State.REJECTED, message="no")])
async def test_any_answer_between_begins_the_count_anew(between: Outcome) -> None:
    setting = Setting()
    setting.seen(AWAY, AWAY, between, AWAY, AWAY)
    assert await setting.passes()
    setting.seen(AWAY)
    assert not await setting.passes()


async def test_it_asks_at_ever_longer_gaps_and_closes_when_it_is_answered() -> None:
    setting = Setting(well_at=70.0)
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        await setting.breaker.passable()
        assert setting.probed == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0]
        assert max(b - a for a, b in pairwise(setting.probed)) == LONGEST_GAP
        assert setting.held[1] == "the billing is away: asking again in 1 s (connection refused)"
        assert setting.progress.held is None
        assert not setting.stop.requested


async def test_it_asks_nobody_while_all_is_well() -> None:
    setting = Setting()
    async with setting.kept():
        setting.seen(AWAY, WELL, AWAY)
        await anyio.sleep(1000)
    assert setting.probed == []


async def test_all_that_wait_leave_when_it_closes() -> None:
    setting = Setting(well_at=2.0)
    left: list[float] = []

    async def call() -> None:
        await setting.breaker.passable()
        left.append(setting.now)

    setting.seen(AWAY, AWAY, AWAY)
    async with setting.kept(), anyio.create_task_group() as calls:
        for _ in range(4):
            calls.start_soon(call)
    assert left == [3.0] * 4


async def test_calls_that_were_in_flight_when_it_opened_do_not_count_for_the_next_time() -> None:
    setting = Setting(well_at=2.0)
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        await settle()
        setting.seen(AWAY, AWAY, AWAY, AWAY)
        await setting.breaker.passable()
        setting.seen(AWAY, AWAY)
        assert await setting.passes()


async def test_it_opens_and_closes_again_and_again() -> None:
    setting = Setting()
    async with setting.kept():
        for turn in range(1, 5):
            setting.well_at = setting.now + 1.0
            setting.seen(AWAY, AWAY, AWAY)
            assert not await setting.passes()
            await setting.breaker.passable()
            await settle()
            assert len(setting.probed) == 2 * turn


async def test_patience_ends_with_a_stop_that_tells_what_to_do() -> None:
    setting = Setting(well_at=10_000.0, away_patience=120.0)
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        await setting.stop.wait()
        await settle()
        assert setting.stop.kind is StopKind.SYSTEM
        assert setting.stop.reason.startswith("the billing has been away for 121 s: connection refused. ")
        assert "carbon-migrate resume" in setting.stop.reason
        assert setting.progress.held is None
        assert await setting.passes()
        assert setting.probed[-1] == 121.0


async def test_a_stop_lets_nobody_wait_and_ends_the_asking() -> None:
    setting = Setting(well_at=10_000.0)
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        async with anyio.create_task_group() as calls:
            calls.start_soon(setting.breaker.passable)
            await anyio.sleep(10)
            assert not await setting.passes()
            setting.stop.request(StopKind.INTERRUPTED, "enough")
            setting.breaker.release()
        assert setting.now == 10.0
        asked = len(setting.probed)
        setting.seen(AWAY, AWAY, AWAY, AWAY)
        assert await setting.passes()
        await settle()
        assert len(setting.probed) <= asked + 1
