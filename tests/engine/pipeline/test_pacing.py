"""A run and what paces it: places, rate, retries, gauges, a person; on a virtual clock, with a journal in memory."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest

from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Busy, Lost, NotSent
from engine.pacing.holds import StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge, GaugeReading
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, Call, change, item
from tests.engine.paced import STEADY, Setting, Watchful, items

pytestmark = pytest.mark.virtual_clock


@pytest.mark.parametrize("in_flight", [1, 2, 3, 4, 7, 64])
async def test_all_places_are_in_use_all_the_time(in_flight: int) -> None:
    setting = await Setting(items(in_flight * 10), replace(STEADY, in_flight=in_flight), takes=1.0).go()
    assert setting.job.most_in_flight == in_flight
    assert setting.now == 10.0


async def test_one_lane_goes_one_by_one_while_the_others_pass_it() -> None:
    mixed = [item(number, lane="slow" if number <= 5 else str(number)) for number in range(1, 16)]
    setting = await Setting(mixed, replace(STEADY, in_flight=3), takes=1.0).go()
    assert setting.job.by_lane["slow"] == ["1", "2", "3", "4", "5"]
    assert setting.job.most_in_lane == 1
    assert 5.0 <= setting.now <= 8.0  # the slow lane takes its turn among the others; one by one all would take 15


async def test_the_rate_holds_over_all_workers_and_all_retries() -> None:
    plan = {str(number): [Call(Busy("locked"))] for number in range(1, 41, 2)}
    setting = await Setting(items(40), replace(STEADY, in_flight=8, rate=2.0), plan, takes=0.1).go()
    moments = [moment for moment, _ in setting.sent]
    assert len(moments) == 60
    assert min(b - a for a, b in pairwise(moments)) >= 0.499
    assert setting.counts() == {State.ACCEPTED: 40}


async def test_while_the_billing_is_away_nothing_is_sent_and_no_row_fails() -> None:
    refused = {str(number): [Call(NotSent("refused"))] for number in range(1, 5)}
    setting = Setting(items(40), replace(STEADY, in_flight=4, away_after=4, tries=2), refused, takes=0.0)
    setting.job.probe_errors.extend([LookUpFailed("refused")] * 6)
    await setting.go()
    assert setting.counts() == {State.ACCEPTED: 40}
    assert {moment for moment, _ in setting.sent if 0.0 < moment < 61.0} == set()
    assert setting.job.probes == 7
    assert not setting.stop.requested


async def test_a_billing_that_stays_away_stops_the_run_with_nothing_lost() -> None:
    refused = {str(number): [Call(NotSent("refused"))] * 1000 for number in range(1, 11)}
    setting = Setting(items(10), replace(STEADY, in_flight=4, away_patience=100.0), refused, takes=0.0)
    setting.job.probe_errors.extend([LookUpFailed("refused")] * 1000)
    await setting.go()
    assert setting.stop.kind is StopKind.SYSTEM
    assert "has taken no call for" in setting.stop.reason
    assert setting.counts() == {State.PENDING: 10}
    assert setting.now == pytest.approx(121.0, abs=30.0)


@pytest.mark.parametrize(
    ("policy", "plan"),
    [
        (replace(STEADY, in_flight=2, rate=0.001), {}),
        (replace(STEADY, in_flight=2), {"1": [Call(Busy("429", 3000.0))], "2": [Call(Busy("429", 3000.0))]}),
        (replace(STEADY, in_flight=2, settle=3000.0), {"1": [LOST_WITH_EFFECT]}),
        (replace(STEADY, in_flight=2, away_after=1, away_patience=9000.0), {"1": [Call(NotSent("refused"))]}),
    ],
    ids=["the rate", "a busy billing", "the settling", "a billing that is away"],
)
async def test_a_stop_waits_for_nothing(policy: Policy, plan: dict[str, list[Call]]) -> None:
    setting = Setting(items(2), policy, plan, takes=0.0)
    setting.job.probe_errors.extend([LookUpFailed("refused")] * 1000)
    await setting.stopped_at(50.0)
    assert setting.now == 50.0
    assert State.SENDING not in setting.counts()


@pytest.mark.parametrize("repeatable", [False, True], ids=["must not repeat", "can repeat"])
@pytest.mark.parametrize("trouble", [Call(Busy("locked")), LOST_WITHOUT], ids=["busy", "lost"])
async def test_behind_a_row_out_of_tries_its_lane_stays_shut_and_is_taken_up_in_order(
    trouble: Call, repeatable: bool
) -> None:
    setting = Setting(items(6, lanes=2), replace(STEADY, in_flight=2, tries=3), {"2": [trouble] * 3}, takes=0.0)
    setting.job.repeatable = repeatable
    await setting.go()
    assert setting.job.by_lane == {"1": ["1", "3", "5"], "0": ["2"] * 3}
    assert setting.counts() == {State.ACCEPTED: 3, State.PENDING: 3}
    assert setting.stop.reason.startswith(
        "1 row is left pending, having failed 3 times, and 2 more wait, each for an earlier row"
    )

    again = await Setting(setting.journal, STEADY, job=setting.job).go()
    assert setting.job.by_lane["0"][3:] == ["2", "4", "6"]
    assert setting.counts() == {State.ACCEPTED: 6}
    assert not again.stop.requested


async def test_a_row_whose_last_try_was_lost_and_is_found_leaves_nothing_pending() -> None:
    setting = await Setting(
        items(2, lanes=1), replace(STEADY, in_flight=1, tries=1), {"1": [LOST_WITH_EFFECT]}, takes=0.0
    ).go()
    assert setting.counts() == {State.ACCEPTED: 2}
    assert not setting.stop.requested


# ---- retries -----------------------------------------------------------------------------------------------------


async def test_a_sick_billing_is_not_hammered_with_retries_and_no_row_fails_of_it() -> None:
    plan = {str(row): [Call(Busy("locked"))] * 3 for row in range(2, 401, 2)}
    setting = Setting(items(400), STEADY, plan, takes=0.1)
    async with setting.going():
        await anyio.sleep(5.05)
        accepted = setting.counts()[State.ACCEPTED]
        failed = [call for call, times in Counter(setting.job.calls).items() if times > 1 and int(call) % 2 == 0]
        again = sum(setting.job.calls.count(call) - 1 for call in failed)
        # Ten retries were in hand, one a second comes on top, and a tenth of what succeeds.
        assert again <= 10 + 5.05 + 0.1 * accepted
        assert accepted >= 70
    assert setting.counts() == {State.ACCEPTED: 400}


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(7.5, 7.5, 7.5), (0.0, 0.0, 0.5), (None, 0.0, 0.5), (1e9, 300.0, 300.0)]
)
async def test_a_retry_after_is_obeyed_and_a_past_absurd_or_missing_one_does_no_harm(
    asked: float | None, least: float, most: float
) -> None:
    setting = await Setting(items(1), STEADY, {"1": [Call(Busy("HTTP 503", asked))]}, takes=0.0).go()
    (first, _), (second, _) = setting.sent
    assert least <= second - first <= most
    assert setting.counts() == {State.ACCEPTED: 1}


async def test_a_billing_that_asks_for_a_pause_gets_it_from_all_rows_and_then_one_call() -> None:
    plan = {"3": [Call(Busy("HTTP 503", 45.0))]}
    setting = Setting(items(40), replace(STEADY, in_flight=8), plan)
    async with setting.going():
        await anyio.sleep(30.5)
        assert setting.status.held == "asking again in 16 s: the billing says: not now (HTTP 503)"
    # One had come back before it asked, and the next row had left.
    assert setting.sent_at()[:5] == [(0.0, 8), (1.0, 1), (46.0, 1), (47.0, 2), (48.0, 4)]
    assert setting.counts() == {State.ACCEPTED: 40}
    assert setting.status.held_seconds == {"billing": 45.0}


async def test_what_is_lost_while_the_billing_is_away_costs_its_rows_no_tries() -> None:
    lost = Call(Lost("time-out"))
    plan = {str(row): [lost] for row in range(1, 17)}
    setting = Setting(items(40), replace(STEADY, in_flight=16, tries=2, settle=0.0, away_after=3), plan)
    setting.job.repeatable = True
    await setting.go()
    assert setting.counts() == {State.ACCEPTED: 40}
    assert setting.pipeline._tries.out == set()


# ---- gauges ------------------------------------------------------------------------------------------------------


async def test_a_gauge_holds_the_run_and_its_reason_and_its_time_are_told() -> None:
    depth = 0.0

    async def read() -> GaugeReading:
        return GaugeReading(depth, 1000, 800)

    setting = Setting(items(100), gauges=[Gauge("EVENTS_STACK", read)])
    async with setting.going():
        await anyio.sleep(2.5)
        depth = 5120
        await anyio.sleep(10.0)
        assert setting.status.why == setting.status.held == "EVENTS_STACK 5120 > 1000"
        assert setting.status.eta is None
        sent = len(setting.sent)
        await anyio.sleep(100.0)
        assert len(setting.sent) == sent
        depth = 700
    assert setting.counts() == {State.ACCEPTED: 100}
    assert setting.status.held_seconds == pytest.approx({"EVENTS_STACK": 109.0}, abs=2.0)


# ---- a person ----------------------------------------------------------------------------------------------------


async def test_a_run_that_begins_paused_sends_nothing_until_it_goes_on() -> None:
    setting = Setting(items(8), paused_by="olga@ops")
    async with setting.going():
        await anyio.sleep(50.0)
        assert (setting.sent, setting.status.why) == ([], "paused by olga@ops")
        assert setting.counts() == {State.PENDING: 8}
        setting.steering.unpause()
    assert setting.sent_at() == [(50.0, 4), (51.0, 4)]


async def test_a_pause_lets_what_is_in_flight_finish_and_nothing_new_begin() -> None:
    setting = Setting(items(20))
    async with setting.going():
        await anyio.sleep(0.5)
        setting.steering.pause("olga@ops")
        await anyio.sleep(50.0)
        assert setting.sent_at() == [(0.0, 4)]
        assert setting.counts()[State.ACCEPTED] == 4
        setting.steering.unpause()
    assert setting.counts() == {State.ACCEPTED: 20}
    assert setting.status.held_seconds == {"paused": 50.0}


async def test_a_pause_that_comes_while_the_billing_is_waited_for_ends_like_any_other() -> None:
    # The third row is to go again at once, and waits for the pause that the fourth has met.
    setting = Setting(items(4), plan={"3": [Call(Busy("locked"))], "4": [Call(Busy("HTTP 503", 30.0))]})
    async with setting.going():
        await anyio.sleep(10.0)
        setting.steering.pause("olga@ops")
        await anyio.sleep(40.0)
        setting.steering.unpause()
    assert setting.counts() == {State.ACCEPTED: 4}


async def test_another_window_and_another_rate_count_at_once() -> None:
    setting = Setting(items(60), replace(STEADY, in_flight=1))
    async with setting.going():
        await anyio.sleep(2.5)
        change(setting.steering, "in-flight", "10")
        await anyio.sleep(2.0)
        assert setting.sent_at()[:3] == [(0.0, 1), (1.0, 1), (2.0, 1)]
        assert setting.status.in_flight == setting.status.window == 10
        change(setting.steering, "rate", "0.5")
        await anyio.sleep(10.0)
        assert setting.status.why == "rate 0.5"
        change(setting.steering, "rate", "none")
    assert setting.counts() == {State.ACCEPTED: 60}
    slow = [moment for moment, _ in setting.sent if 5.0 < moment < 14.5]
    assert min(b - a for a, b in pairwise(slow)) >= 1.99


# ---- why it is not faster ----------------------------------------------------------------------------------------


async def test_it_says_that_the_window_is_full() -> None:
    setting = Setting(items(40))
    async with setting.going():
        await anyio.sleep(2.5)
        assert setting.status.why == "in-flight 4"


async def test_it_says_that_rows_wait_for_their_account() -> None:
    setting = Setting(items(40, lanes=2))
    async with setting.going():
        await anyio.sleep(2.5)
        assert (setting.status.why, setting.status.in_flight) == ("account locks", 2)


async def test_at_the_end_it_waits_for_nothing_but_the_last_calls() -> None:
    setting = Setting(items(3))
    async with setting.going():
        await anyio.sleep(0.5)
        assert (setting.status.why, setting.status.in_flight) == ("", 3)


# ---- what a kill would leave in doubt ----------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, 2, 3, 8, 64])
async def test_no_more_is_in_doubt_than_twice_the_window_and_a_group(in_flight: int) -> None:
    journal = Watchful(*items(in_flight * 12))
    setting = await Setting(journal, replace(STEADY, in_flight=in_flight)).go()
    assert setting.counts() == {State.ACCEPTED: in_flight * 12}
    assert in_flight <= journal.most_in_doubt <= 3 * in_flight


async def test_a_small_window_that_is_to_grow_need_not_wait_for_claims_and_leaves_no_more_than_a_few_in_doubt() -> (
    None
):
    journal = Watchful(*items(100))
    setting = Setting(journal, replace(STEADY, in_flight=None, max_in_flight=2), takes=0.05)
    await setting.go()
    # A commit takes six times as long as a call: with two rows a commit the last would come after 15 s.
    assert setting.now < 8.0
    assert 16 <= journal.most_in_doubt <= 2 + 16 + 16
