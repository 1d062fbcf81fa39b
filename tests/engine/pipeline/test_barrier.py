"""The barrier behind a run: what is waited for, what holds besides, and what ends the waiting."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from checkpoints.records import Item
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import EVERY_WHILE_HELD, Gauge
from engine.pipeline.barrier import Barrier, is_worked_off, settled
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress
from tests.engine.doubles import A_RUN, FakeJob, MemoryJournal, item
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock

LEFT = "ACCOUNT_STACK holds 3 entries"


class Behind(FakeJob):
    """A job whose billing has still `left` to work off, or cannot be asked."""

    def __init__(self, left: str | None = LEFT) -> None:
        super().__init__()
        self.left = left
        self.answers: Iterator[str | None] = iter(())
        self.error: Exception | None = None

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        self.asked.append(("unfinished_work", [one.key for one in items]))
        if self.error:
            raise self.error
        return next(self.answers, self.left)


class Setting:
    """A barrier behind a run of two accepted rows and a rejected one."""

    def __init__(self, gauge: Gauge | None = None, *, left: str | None = LEFT) -> None:
        self.job = Behind(left)
        self.steering = LivePolicy(Policy(drain_patience=60.0, away_patience=20.0), Progress(), Stop())
        states = (State.ACCEPTED, State.REJECTED, State.APPLIED)
        journal = MemoryJournal(*(item(number, state=state) for number, state in enumerate(states, 1)))
        self.barrier = Barrier(gauge or is_worked_off(A_RUN, self.job, journal, 60.0), self.steering)
        self.began = anyio.current_time()
        self.waited: float | None = None

    @property
    def held(self) -> str | None:
        return self.steering.look().held

    async def wait(self) -> None:
        await self.barrier.wait()
        self.waited = anyio.current_time() - self.began

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.wait)
            await settle()
            yield


async def test_where_nothing_is_left_to_work_off_nothing_is_held() -> None:
    setting = Setting(left=None)
    await setting.wait()
    assert setting.waited == 0.0
    assert setting.steering.look().held_seconds == {}
    assert setting.job.asked == [("unfinished_work", ["1", "3"])]


async def test_it_holds_until_the_billing_has_worked_it_off_and_says_what_is_left() -> None:
    setting = Setting()
    async with setting.waiting():
        assert setting.held == f"the next step waits: {LEFT}"
        setting.job.left = "ACCOUNT_STACK holds 1 entry"
        await anyio.sleep(10.0)
        assert setting.held == "the next step waits: ACCOUNT_STACK holds 1 entry"
        setting.job.left = None
    assert setting.waited == pytest.approx(10.0, abs=EVERY_WHILE_HELD)
    assert setting.steering.look().held_seconds == {"barrier": setting.waited}
    assert not setting.steering.stopping.requested


async def test_what_was_worked_off_once_is_not_asked_for_again_however_long_a_pause_lasts() -> None:
    setting = Setting(left=None)
    setting.steering.pause("olga@ops")
    async with setting.waiting():
        # An entry of somebody else for the same account is none of the run's.
        setting.job.left = LEFT
        await anyio.sleep(3600.0)
        assert setting.held == "paused by olga@ops"
        setting.steering.unpause()
    assert setting.waited == 3600.0
    assert len(setting.job.asked) == 1


async def test_a_long_run_is_asked_for_page_by_page_and_from_where_the_billing_stands() -> None:
    job = Behind(left=None)
    journal = MemoryJournal(*(item(number, state=State.ACCEPTED) for number in range(1, 2_501)))
    setting = Setting(is_worked_off(A_RUN, job, journal, 60.0))
    job.answers = iter([None, LEFT, LEFT, None, None])
    await setting.wait()
    assert [keys[0] for _, keys in job.asked] == ["1", "1001", "1001", "1001", "2001"]
    assert setting.waited == 2 * EVERY_WHILE_HELD


async def test_a_billing_that_does_not_catch_up_ends_the_waiting_and_it_is_said_what_to_do() -> None:
    setting = Setting()
    async with setting.waiting():
        await anyio.sleep(59.0)
        assert not setting.steering.stopping.requested
    stop = setting.steering.stopping
    assert stop.kind is StopKind.SYSTEM
    assert stop.reason == (
        f"after 60 s the billing has not worked off what was sent: {LEFT}. Nothing is lost; once that is mended, "
        "start the same command again"
    )
    assert setting.waited == pytest.approx(60.0, abs=2 * EVERY_WHILE_HELD)


async def test_who_cannot_see_the_stacks_may_not_go_on() -> None:
    setting = Setting(left=None)
    setting.job.error = LookUpFailed("the database is away")
    async with setting.waiting():
        assert setting.held == "barrier cannot be read: the database is away"
        await anyio.sleep(15.0)
        setting.job.error = None
    assert setting.waited == pytest.approx(15.0, abs=EVERY_WHILE_HELD)
    assert not setting.steering.stopping.requested


async def test_where_nobody_can_see_it_a_time_is_waited_and_counted_down() -> None:
    setting = Setting(settled(5.0, "nobody can see"))
    async with setting.waiting():
        assert setting.held == "the next step waits 5 s: nobody can see"
        await anyio.sleep(3.1)
        assert setting.held == "the next step waits 2 s: nobody can see"
    assert setting.waited == 5.0
    assert setting.steering.look().held_seconds == {"barrier": 5.0}
