from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from math import inf

import anyio
import pytest

from checkpoints.pace import BillingPace, BreakerPace
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.outcomes import Cause, Outcome
from engine.pacing.breaker import LONGEST_GAP, SLOWLY, Breaker
from engine.pacing.holds import Holds, Stop, StopKind
from engine.pacing.policy import Policy
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock

WELL = Outcome(State.ACCEPTED, Cause.ANSWERED)
BUSY = Outcome(State.PENDING, Cause.BUSY, message="busy")
AWAY = Outcome(State.UNKNOWN, Cause.NO_ANSWER, message="time-out")
READ_ONLY = Outcome(State.PENDING, Cause.NOT_NOW, message="read-only")


def asked_to_wait(seconds: float) -> Outcome:
    return Outcome(State.PENDING, Cause.NOT_NOW, message="HTTP 503", retry_after=seconds)


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


# ---- half-open ---------------------------------------------------------------------------------------------------


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


async def test_a_billing_that_answers_the_probe_and_fails_the_call_is_asked_ever_more_rarely() -> None:
    setting = Setting()
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        for _ in range(5):
            await setting.holds.lifted()
            assert setting.breaker.most == 1
            setting.seen(AWAY)
            assert setting.breaker.open
        assert setting.probed == [0.0, 1.0, 3.0, 7.0, 15.0]
        await setting.holds.lifted()
        setting.seen(WELL, AWAY, AWAY)
        assert not setting.holds  # once a call is answered, it takes as many failures as ever
        setting.seen(AWAY)
        await setting.holds.lifted()
        setting.seen(AWAY)
        await setting.holds.lifted()
        assert setting.now == 31.0 + 1.0  # and the gaps begin anew


# ---- "not now" ---------------------------------------------------------------------------------------------------


async def test_an_absurd_pause_is_tried_again_after_five_minutes() -> None:
    setting = Setting()
    async with setting.kept():
        setting.seen(asked_to_wait(1e9))
        await setting.holds.lifted()
        assert setting.now == 300.0
        setting.seen(WELL)
        setting.seen(WELL, AWAY, AWAY)
        assert not setting.holds
        assert not setting.stop.requested


# ---- busy --------------------------------------------------------------------------------------------------------


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


async def test_a_row_that_is_busy_again_says_nothing_of_the_billing() -> None:
    setting = Setting()
    async with setting.kept():
        for _ in range(50):
            setting.breaker.seen(BUSY, again=True)
        assert not setting.holds
        setting.seen(BUSY, BUSY, BUSY)
        await setting.holds.lifted()
        setting.breaker.seen(BUSY, again=True)
        assert not setting.holds
        setting.seen(BUSY)
        assert setting.holds


async def test_who_is_to_blame_for_a_failure() -> None:
    setting = Setting()
    async with setting.kept():
        assert not any(map(setting.breaker.blames_billing, (AWAY, BUSY, WELL)))
        setting.seen(AWAY, AWAY, AWAY)
        assert [setting.breaker.blames_billing(one) for one in (AWAY, BUSY, WELL)] == [True, True, False]
        await setting.holds.lifted()
        # The trial call: what is lost may be lost because of its row.
        assert [setting.breaker.blames_billing(one) for one in (AWAY, BUSY, WELL)] == [False, True, False]


# ---- patience, and a stop ----------------------------------------------------------------------------------------


async def test_patience_ends_with_a_stop_that_tells_what_to_do() -> None:
    setting = Setting(well_at=10_000.0, away_patience=120.0)
    async with setting.kept():
        setting.seen(AWAY, AWAY, AWAY)
        await setting.stop.wait()
        await settle()
        assert setting.stop.kind is StopKind.SYSTEM
        assert setting.stop.reason.startswith("the billing has taken no call for 121 s: connection refused. ")
        assert "`carbon-migrate resume`" in setting.stop.reason
        assert not setting.holds
        assert setting.probed[-1] == 121.0


@pytest.mark.parametrize("why", [AWAY, asked_to_wait(3000.0)], ids=["away", "asked to wait"])
async def test_a_stop_ends_the_waiting_and_the_asking(why: Outcome) -> None:
    setting = Setting(well_at=10_000.0)
    async with setting.kept():
        setting.seen(why, why, why)
        await anyio.sleep(10)
        assert setting.holds
        setting.stop.request(StopKind.INTERRUPTED, "enough")
        await settle()
        assert not setting.holds
        asked = len(setting.probed)
        setting.seen(AWAY, AWAY, AWAY, AWAY, READ_ONLY)
        assert not setting.holds
        await anyio.sleep(1000)
        assert len(setting.probed) == asked


# ---- another process goes on -------------------------------------------------------------------------------------


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
