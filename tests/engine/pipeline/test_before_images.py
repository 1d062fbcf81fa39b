"""What is overwritten is kept as it is when the call leaves: on a virtual clock, with a journal in memory."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import msgspec
import pytest

from checkpoints.records import Item
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Busy
from engine.job import BeforeImageMode
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.before_images import FRESH, BeforeImages
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import Progress
from tests.engine.doubles import A_RUN, LOST_WITH_EFFECT, LOST_WITHOUT, Call, MemoryJournal, OverwritingJob, item

pytestmark = pytest.mark.virtual_clock


def items(count: int) -> list[Item]:
    """Items that were frozen when there was "old"."""
    return [msgspec.structs.replace(item(number), payload="old") for number in range(1, count + 1)]


class Setting:
    """A pipeline over items in memory, whose calls overwrite something."""

    def __init__(self, job: OverwritingJob, listed: Sequence[Item], policy: Policy) -> None:
        self.job = job
        self.journal = MemoryJournal(*listed)
        self.stop = Stop()
        steering = LivePolicy(replace(policy, canary=False), Progress(), self.stop)
        self.pipeline = Pipeline(A_RUN, job, self.journal, steering)

    def kept(self) -> dict[str, str]:
        return {one.key: one.payload for one in self.journal.kept.values()}


BOTH_WAYS = pytest.mark.parametrize("keeps", [BeforeImageMode.TOGETHER, BeforeImageMode.ONE_BY_ONE], ids=str)


@BOTH_WAYS
async def test_what_was_changed_before_the_run_went_on_is_kept(keeps: BeforeImageMode) -> None:
    setting = Setting(OverwritingJob(keeps=keeps), items(5), Policy(in_flight=2))
    setting.job.there["3"] = "somebody's"
    await setting.pipeline.migrate()
    assert setting.kept() == {"1": "old", "2": "old", "3": "somebody's", "4": "old", "5": "old"}
    assert setting.job.overwritten["3"] == [("somebody's", "somebody's")]


@BOTH_WAYS
async def test_what_is_changed_while_a_claimed_row_waits_for_its_turn_is_kept(keeps: BeforeImageMode) -> None:
    setting = Setting(OverwritingJob(keeps=keeps), items(20), Policy(in_flight=8, rate=0.1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.pipeline.migrate)
        await anyio.sleep(15.0)
        # Two have gone; more are claimed and wait for the rate.
        assert sum(one.state is State.SENDING for one in setting.journal.kept.values()) > 2
        setting.job.there |= {str(number): "somebody's" for number in range(3, 21)}
    assert set(setting.kept().values()) == {"old", "somebody's"}
    assert all(there == kept for calls in setting.job.overwritten.values() for there, kept in calls)


async def test_it_is_durable_before_the_call_leaves() -> None:
    setting = Setting(OverwritingJob(), items(3), Policy(in_flight=1))
    setting.job.there["2"] = "somebody's"
    durable: list[str] = []

    async def during(one: Item) -> None:
        durable.append(setting.journal.kept[one.item_id].payload)

    setting.job.during = during
    await setting.pipeline.migrate()
    assert durable == ["old", "somebody's", "old"]


@pytest.mark.parametrize("trouble", [LOST_WITH_EFFECT, LOST_WITHOUT, Call(Busy("locked"))])
async def test_what_an_earlier_call_of_the_same_row_has_set_is_not_taken_for_what_was_there(trouble: Call) -> None:
    setting = Setting(OverwritingJob(plan={"1": [trouble] * 3}), items(2), Policy(in_flight=2))
    await setting.pipeline.migrate()
    assert setting.kept() == {"1": "old", "2": "old"}
    assert setting.job.calls.count("1") == 4


async def test_rows_that_go_fast_are_read_once_and_in_groups() -> None:
    setting = Setting(OverwritingJob(), items(64), Policy(in_flight=8))
    await setting.pipeline.migrate()
    assert sorted(key for group in setting.job.read for key in group) == sorted(str(key) for key in range(1, 65))
    assert len(setting.job.read) <= 16


async def test_a_job_that_overwrites_nothing_is_asked_for_nothing() -> None:
    setting = Setting(OverwritingJob(keeps=BeforeImageMode.NOTHING), items(8), Policy(in_flight=4))
    await setting.pipeline.migrate()
    assert setting.job.read == []


async def test_while_it_cannot_be_read_nothing_is_overwritten() -> None:
    setting = Setting(OverwritingJob(), items(1), Policy(in_flight=1))
    setting.job.there["1"] = "somebody's"
    # The first reading is made ahead; the second, by whoever is about to make the call.
    setting.job.read_errors.extend([LookUpFailed("the database is away")] * 2)
    await setting.pipeline.migrate()
    (_, failed), *_ = [(one.state, one.message) for group in setting.journal.recorded for one in group]
    assert failed == "what this would overwrite cannot be read: the database is away"
    assert setting.job.overwritten["1"] == [("somebody's", "somebody's")]
    assert setting.journal.states() == {"1": State.ACCEPTED}


async def test_a_database_that_stays_away_stops_the_run_with_nothing_overwritten() -> None:
    setting = Setting(OverwritingJob(), items(3), Policy(in_flight=1, away_patience=100.0))
    setting.job.read_errors.extend([LookUpFailed("the database is away")] * 10_000)
    await setting.pipeline.migrate()
    assert "what this would overwrite cannot be read: the database is away" in setting.stop.reason
    assert setting.job.calls == []
    assert setting.journal.states() == dict.fromkeys("123", State.PENDING)


async def test_a_reading_is_of_the_moment_for_a_second() -> None:
    job = OverwritingJob()
    (one,) = items(1)
    keeping = BeforeImages(A_RUN, job, MemoryJournal(one))
    for waited, readings in [(FRESH, 1), (FRESH + 0.1, 2)]:
        job.read.clear()
        (ahead,) = await keeping.ahead([one])
        await anyio.sleep(waited)
        await keeping.at_call(ahead)
        assert len(job.read) == readings
