"""The pipeline and time: pacing, waiting and stopping, on a virtual clock and with a journal in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest

from checkpoints.records import Item
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Busy, NotSent
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import Progress
from tests.engine.doubles import A_RUN, LOST_WITH_EFFECT, LOST_WITHOUT, Call, FakeJob, MemoryJournal, item

pytestmark = pytest.mark.virtual_clock


class Setting:
    """A pipeline over items in memory; each call takes `takes` seconds."""

    def __init__(
        self, items: Sequence[Item], policy: Policy, plan: dict[str, list[Call]] | None = None, *, takes: float = 0.0
    ) -> None:
        self.job = FakeJob(plan=plan)
        self.job.during = self.during
        self.takes = takes
        self.journal = MemoryJournal(*items)
        self.progress, self.stop = Progress(), Stop()
        self.steering = LivePolicy(replace(policy, canary=False), self.progress, self.stop)
        self.pipeline = Pipeline(A_RUN, self.job, self.journal, self.steering)
        self.began = anyio.current_time()
        self.sent: list[tuple[float, str]] = []

    @property
    def now(self) -> float:
        return round(anyio.current_time() - self.began, 3)

    async def during(self, item: Item) -> None:
        self.sent.append((self.now, item.key))
        await anyio.sleep(self.takes)

    def counts(self) -> dict[State, int]:
        return dict(Counter(self.journal.states().values()))

    def moments(self, key: str) -> list[float]:
        return [moment for moment, sent in self.sent if sent == key]


def items(count: int, *, lanes: int | None = None) -> list[Item]:
    return [item(number, lane=str(number % (lanes or count))) for number in range(1, count + 1)]


@pytest.mark.parametrize("in_flight", [1, 2, 3, 4, 7, 64])
async def test_all_places_are_in_use_all_the_time(in_flight: int) -> None:
    setting = Setting(items(in_flight * 10), Policy(in_flight=in_flight), takes=1.0)
    await setting.pipeline.migrate()
    assert setting.job.most_in_flight == in_flight
    assert setting.now == 10.0


async def test_one_lane_goes_one_by_one_while_the_others_pass_it() -> None:
    mixed = [item(number, lane="slow" if number <= 5 else str(number)) for number in range(1, 16)]
    setting = Setting(mixed, Policy(in_flight=3), takes=1.0)
    await setting.pipeline.migrate()
    assert setting.job.by_lane["slow"] == ["1", "2", "3", "4", "5"]
    assert setting.job.most_in_lane == 1
    assert 5.0 <= setting.now <= 8.0  # the slow lane takes its turn among the others; one by one all would take 15


async def test_the_rate_holds_over_all_workers_and_all_retries() -> None:
    plan = {str(number): [Call(Busy("locked"))] for number in range(1, 41, 2)}
    setting = Setting(items(40), Policy(in_flight=8, rate=2.0), plan, takes=0.1)
    await setting.pipeline.migrate()
    moments = [moment for moment, _ in setting.sent]
    assert len(moments) == 60
    assert min(b - a for a, b in pairwise(moments)) >= 0.499
    assert setting.counts() == {State.ACCEPTED: 40}


async def test_a_busy_billing_is_asked_again_no_sooner_than_it_said() -> None:
    setting = Setting(items(3), Policy(in_flight=3), {"2": [Call(Busy("429", 45.0)), Call(Busy("429", 90.0))]})
    await setting.pipeline.migrate()
    first, second, third = setting.moments("2")
    assert second - first >= 45.0
    assert third - second >= 90.0
    assert setting.moments("1") == setting.moments("3") == [0.0]


async def test_nobody_looks_before_the_last_loss_has_settled() -> None:
    setting = Setting(items(4), Policy(in_flight=1, settle=30.0), {"4": [LOST_WITHOUT]}, takes=10.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.pipeline.migrate)
        await anyio.sleep(69.9)
        assert setting.job.looked_up == []
    assert setting.moments("4") == [30.0, 70.0]


async def test_while_the_billing_is_away_nothing_is_sent_and_no_row_fails() -> None:
    refused = {str(number): [Call(NotSent("refused"))] for number in range(1, 5)}
    setting = Setting(items(40), Policy(in_flight=4, away_after=4, tries=2), refused)
    setting.job.probe_errors.extend([LookUpFailed("refused")] * 6)
    await setting.pipeline.migrate()
    assert setting.counts() == {State.ACCEPTED: 40}
    assert {moment for moment, _ in setting.sent if 0.0 < moment < 61.0} == set()
    assert setting.job.probes == 7
    assert not setting.stop.requested


async def test_a_billing_that_stays_away_stops_the_run_with_nothing_lost() -> None:
    refused = {str(number): [Call(NotSent("refused"))] * 1000 for number in range(1, 11)}
    setting = Setting(items(10), Policy(in_flight=4, away_patience=100.0), refused)
    setting.job.probe_errors.extend([LookUpFailed("refused")] * 1000)
    await setting.pipeline.migrate()
    assert setting.stop.kind is StopKind.SYSTEM
    assert "has taken no call for" in setting.stop.reason
    assert setting.counts() == {State.PENDING: 10}
    assert setting.now == pytest.approx(121.0, abs=30.0)


async def test_a_stop_ends_with_the_calls_that_were_in_flight() -> None:
    setting = Setting(items(40), Policy(in_flight=4), takes=1.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.pipeline.migrate)
        await anyio.sleep(2.5)
        setting.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
    assert setting.now == 3.0
    assert setting.counts() == {State.ACCEPTED: 12, State.PENDING: 28}


@pytest.mark.parametrize(
    ("policy", "plan"),
    [
        (Policy(in_flight=2, rate=0.001), {}),
        (Policy(in_flight=2), {"1": [Call(Busy("429", 3000.0))], "2": [Call(Busy("429", 3000.0))]}),
        (Policy(in_flight=2, settle=3000.0), {"1": [LOST_WITH_EFFECT]}),
        (Policy(in_flight=2, away_after=1, away_patience=9000.0), {"1": [Call(NotSent("refused"))]}),
    ],
    ids=["the rate", "a busy billing", "the settling", "a billing that is away"],
)
async def test_a_stop_waits_for_nothing(policy: Policy, plan: dict[str, list[Call]]) -> None:
    setting = Setting(items(2), policy, plan)
    setting.job.probe_errors.extend([LookUpFailed("refused")] * 1000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.pipeline.migrate)
        await anyio.sleep(50.0)
        setting.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
    assert setting.now == 50.0
    assert State.SENDING not in setting.counts()


async def test_a_row_that_is_lost_every_time_ends_out_of_tries_and_pending() -> None:
    setting = Setting(items(3), Policy(in_flight=2, tries=4), {"2": [LOST_WITHOUT] * 100})
    await setting.pipeline.migrate()
    assert len(setting.moments("2")) == 4
    assert setting.journal.states() == {"1": State.ACCEPTED, "2": State.PENDING, "3": State.ACCEPTED}
    assert setting.stop.kind is StopKind.SYSTEM


@pytest.mark.parametrize("repeatable", [False, True], ids=["must not repeat", "can repeat"])
@pytest.mark.parametrize("trouble", [Call(Busy("locked")), LOST_WITHOUT], ids=["busy", "lost"])
async def test_behind_a_row_out_of_tries_its_lane_stays_shut_and_is_taken_up_in_order(
    trouble: Call, repeatable: bool
) -> None:
    setting = Setting(items(6, lanes=2), Policy(in_flight=2, tries=3), {"2": [trouble] * 3})
    setting.job.repeatable = repeatable
    await setting.pipeline.migrate()
    assert setting.job.by_lane == {"1": ["1", "3", "5"], "0": ["2"] * 3}
    assert setting.counts() == {State.ACCEPTED: 3, State.PENDING: 3}
    assert setting.stop.reason.startswith(
        "1 row is left pending, having failed 3 times, and 2 more wait, each for an earlier row"
    )

    stop = Stop()
    steering = LivePolicy(Policy(canary=False), Progress(), stop)
    await Pipeline(A_RUN, setting.job, setting.journal, steering).migrate()
    assert setting.job.by_lane["0"][3:] == ["2", "4", "6"]
    assert setting.counts() == {State.ACCEPTED: 6}
    assert not stop.requested


async def test_a_row_whose_last_try_was_lost_and_is_found_leaves_nothing_pending() -> None:
    setting = Setting(items(2, lanes=1), Policy(in_flight=1, tries=1), {"1": [LOST_WITH_EFFECT]})
    await setting.pipeline.migrate()
    assert setting.counts() == {State.ACCEPTED: 2}
    assert not setting.stop.requested
