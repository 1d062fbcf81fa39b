"""The billing is asked before a call leaves: what a journal that is older than its run does not know."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
import msgspec
import pytest

from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.errors import LookUpDelayed, LookUpFailed
from engine.evidence import Busy
from engine.job import BeforeImageMode, CannotLook, LookedFor, LookUpResult
from engine.pacing.holds import StopKind
from tests.engine.doubles import (
    LOST_WITH_EFFECT,
    LOST_WITHOUT,
    Call,
    FakeJob,
    OverwritingJob,
    item,
)
from tests.engine.paced import STEADY, Setting, items

pytestmark = pytest.mark.virtual_clock


OLDER = "found in the billing before it was sent: this journal is older than the run"


class MarkingJob(FakeJob):
    """One whose effects bear marks. `delayed` are looks that fail, one after the other."""

    def __init__(
        self,
        *,
        looked_for: LookedFor = LookedFor.ALWAYS,
        looks_together: bool = True,
        plan: Mapping[str, Sequence[Call]] | None = None,
    ) -> None:
        super().__init__(plan=plan)
        self.looked_for = looked_for
        self.looks_together = looks_together
        self.looks: list[list[str]] = []
        self.moments: list[float] = []
        self.failures: deque[LookUpFailed] = deque()

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        self.looks.append([one.key for one in items])
        self.moments.append(anyio.current_time())
        if self.failures:
            raise self.failures.popleft()
        found = {one.item_id: self._sighting(one) for one in items}
        return {item_id: sighting for item_id, sighting in found.items() if sighting is not None}


def setting_of(job: MarkingJob, count: int = 4, *, known: int = 0, trust_journal: bool = False) -> Setting:
    """A run of rows 1 to `count`, of which those up to `known` were in the journal before."""
    policy = replace(STEADY, in_flight=2, settle=30.0, page=3)
    return Setting(items(count), policy, job=job, takes=0.0, known=known, trust_journal=trust_journal)


@pytest.mark.parametrize("known", [0, 4], ids=["fresh", "taken up"])
@pytest.mark.parametrize("together", [True, False])
async def test_what_is_there_already_is_accepted_and_not_sent(known: int, together: bool) -> None:
    job = MarkingJob(looks_together=together)
    job.effects["2"] = job.effects["4"] = 1
    setting = setting_of(job, known=known)
    await setting.pipeline.migrate()
    assert sorted(job.calls) == ["1", "3"]
    assert set(job.effects.values()) == {1}
    assert set(setting.journal.states().values()) == {State.ACCEPTED}
    assert {one.key: one.message for one in setting.journal.kept.values()} == {
        "1": None,
        "2": OLDER,
        "3": None,
        "4": OLDER,
    }
    assert setting.journal.kept[1002].answer == "id 2"


async def test_rows_that_came_into_the_journal_with_this_process_need_no_wait() -> None:
    job, began = MarkingJob(), anyio.current_time()
    setting = setting_of(job, known=2)
    for item_id in (1001, 1002):
        setting.journal.kept[item_id] = item(item_id - 1000, state=State.ACCEPTED)
    await setting.pipeline.migrate()
    assert job.calls == ["3", "4"]
    assert anyio.current_time() < began + 1


async def test_while_the_stacks_hold_something_of_a_row_its_absence_proves_nothing() -> None:
    job = MarkingJob()
    # For all three of the first page, for the first half, for the second, and then once more for that one.
    job.unfinished_for.extend(["ACCOUNT_STACK holds 1 entry"] * 2)
    setting = setting_of(job, known=3, count=3)

    async def late() -> None:
        await anyio.sleep(30.5)
        job.effects["1"] = 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(late)
        await setting.pipeline.migrate()
    assert job.asked[:2] == [("unfinished_work", ["1", "2", "3"]), ("unfinished_work", ["1"])]
    assert ("unfinished_work", ["1"]) in job.asked[3:], "only what waits is asked for again"
    assert sorted(job.calls) == ["2", "3"]
    assert job.effects["1"] == 1


async def test_what_can_be_told_at_a_price_is_looked_for_only_where_a_run_is_taken_up() -> None:
    fresh, again = MarkingJob(looked_for=LookedFor.WHEN_TAKEN_UP), MarkingJob(looked_for=LookedFor.WHEN_TAKEN_UP)
    for job, known in ((fresh, 0), (again, 4)):
        job.sightings["3"] = CannotLook("it may be this row's, or somebody else's")
        ended = (await setting_of(job, known=known).go()).journal.states()
        assert ended["3"] is (State.MANUAL if known else State.ACCEPTED)
    assert fresh.looks == []
    assert sorted(fresh.calls) == ["1", "2", "3", "4"]
    assert sorted(again.calls) == ["1", "2", "4"]


@pytest.mark.parametrize("known", [0, 4])
async def test_a_journal_that_is_trusted_is_not_held_against_the_billing(known: int) -> None:
    job, began = MarkingJob(), anyio.current_time()
    await setting_of(job, known=known, trust_journal=True).pipeline.migrate()
    assert job.looks == []
    assert anyio.current_time() < began + 1


async def test_nothing_is_sent_while_it_cannot_be_seen() -> None:
    job = MarkingJob()
    job.failures.extend([LookUpFailed("the database is away")] * 2)
    setting = setting_of(job, 1)
    await setting.pipeline.migrate()
    (_, first), *_ = [(one.state, one.message) for group in setting.journal.recorded for one in group]
    assert first == "whether it is in the billing already cannot be seen: the database is away"
    assert job.calls == ["1"]


async def test_a_billing_that_is_away_at_taking_up_is_waited_for() -> None:
    job = MarkingJob()
    job.failures.append(LookUpDelayed("nobody answers"))
    job.effects["1"] = 1
    setting = setting_of(job, known=4)
    await setting.pipeline.migrate()
    assert sorted(job.calls) == ["2", "3", "4"]


async def test_a_billing_that_cannot_be_asked_at_taking_up_stops_the_run_before_the_first_call() -> None:
    job = MarkingJob()
    job.failures.append(LookUpFailed("Column unknown"))
    setting = setting_of(job, known=4)
    await setting.pipeline.migrate()
    assert job.calls == []
    assert setting.stop.kind is StopKind.SYSTEM
    assert setting.stop.reason == "whether rows are in the billing already cannot be seen: Column unknown"


async def test_a_row_that_goes_again_is_looked_for_again() -> None:
    job = MarkingJob(plan={"1": [Call(Busy("попробуйте позже"))]})
    setting = setting_of(job, 1)
    await setting.pipeline.migrate()
    assert job.looks == [["1"], ["1"]]
    assert job.calls == ["1", "1"]


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
