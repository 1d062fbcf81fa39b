"""What is overwritten is kept as it is when the call leaves: on a virtual clock, with a journal in memory."""

from dataclasses import replace

import anyio
import msgspec
import pytest

from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Busy
from engine.job import BeforeImageMode
from engine.pipeline.before_images import FRESH, BeforeImages
from tests.engine.doubles import A_RUN, LOST_WITH_EFFECT, LOST_WITHOUT, Call, MemoryJournal, OverwritingJob
from tests.engine.paced import STEADY, Setting, items

pytestmark = pytest.mark.virtual_clock


def going_over(job: OverwritingJob, count: int, in_flight: int, *, rate: float | None = None) -> Setting:
    """A run over items that were frozen when there was "old"."""
    listed = [msgspec.structs.replace(one, payload="old") for one in items(count)]
    return Setting(listed, replace(STEADY, in_flight=in_flight, rate=rate), job=job, takes=0.0)


def kept(setting: Setting) -> dict[str, str]:
    return {one.key: one.payload for one in setting.journal.kept.values()}


@pytest.mark.parametrize("keeps", [BeforeImageMode.TOGETHER, BeforeImageMode.ONE_BY_ONE], ids=str)
async def test_what_is_changed_while_a_claimed_row_waits_for_its_turn_is_kept(keeps: BeforeImageMode) -> None:
    job = OverwritingJob(keeps=keeps)
    setting = going_over(job, 20, 8, rate=0.1)
    async with setting.going():
        await anyio.sleep(15.0)
        # Two have gone; more are claimed and wait for the rate.
        assert setting.counts()[State.SENDING] > 2
        job.there |= {str(number): "somebody's" for number in range(3, 21)}
    assert set(kept(setting).values()) == {"old", "somebody's"}
    assert all(there == kept for calls in job.overwritten.values() for there, kept in calls)


@pytest.mark.parametrize("trouble", [LOST_WITH_EFFECT, LOST_WITHOUT, Call(Busy("locked"))])
async def test_what_an_earlier_call_of_the_same_row_has_set_is_not_taken_for_what_was_there(trouble: Call) -> None:
    setting = await going_over(OverwritingJob(plan={"1": [trouble] * 3}), 2, 2).go()
    assert kept(setting) == {"1": "old", "2": "old"}
    assert setting.job.calls.count("1") == 4


async def test_rows_that_go_fast_are_read_once_and_in_groups() -> None:
    job, untouched = OverwritingJob(), OverwritingJob(keeps=BeforeImageMode.NOTHING)
    for one in (job, untouched):
        await going_over(one, 64, 8).go()
    assert sorted(key for group in job.read for key in group) == sorted(str(key) for key in range(1, 65))
    assert len(job.read) <= 16
    assert untouched.read == []


async def test_while_it_cannot_be_read_nothing_is_overwritten() -> None:
    job = OverwritingJob()
    job.there["1"] = "somebody's"
    # The first reading is made ahead; the second, by whoever is about to make the call.
    job.read_errors.extend([LookUpFailed("the database is away")] * 2)
    setting = await going_over(job, 1, 1).go()
    (_, failed), *_ = [(one.state, one.message) for group in setting.journal.recorded for one in group]
    assert failed == "what this would overwrite cannot be read: the database is away"
    assert job.overwritten["1"] == [("somebody's", "somebody's")]
    assert setting.journal.states() == {"1": State.ACCEPTED}


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
