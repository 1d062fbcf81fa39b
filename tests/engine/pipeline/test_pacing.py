"""A run and what paces it: retries, gauges, a person; on a virtual clock and with a journal in memory."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest

from checkpoints.states import State
from engine.evidence import Busy, Lost
from engine.pacing.holds import StopKind
from engine.pacing.throttle import Gauge, GaugeReading
from tests.engine.doubles import Call, change
from tests.engine.paced import STEADY, Setting, Watchful, items

pytestmark = pytest.mark.virtual_clock

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


async def test_when_the_billing_is_well_again_what_has_failed_goes_as_fast_as_it_takes_it() -> None:
    plan = {str(row): [Call(Busy("locked"))] for row in range(2, 401, 2)}
    setting = Setting(items(400), replace(STEADY, in_flight=8), plan, takes=0.1)
    async with setting.going():
        await anyio.sleep(1.0)
        assert setting.counts()[State.ACCEPTED] > 30
    # Six hundred calls, eight at a time: 7.5 s, and a little for the waits of those that failed last.
    assert setting.now <= 8.5
    assert setting.counts() == {State.ACCEPTED: 400}


async def test_fresh_rows_pass_those_that_wait_for_the_retry_budget() -> None:
    plan = {str(row): [Call(Busy("locked"))] for row in range(2, 101, 2)}
    setting = Setting(items(500), STEADY, plan, takes=0.1)
    async with setting.going():
        await anyio.sleep(13.0)
        accepted = setting.counts()[State.ACCEPTED]
    assert accepted > 440
    assert setting.counts() == {State.ACCEPTED: 500}


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


async def test_a_billing_that_takes_nothing_for_now_is_waited_for_and_no_row_fails() -> None:
    backup = Call(Busy("a backup is made", 1.0))
    setting = Setting(items(40), replace(STEADY, tries=2), {str(row): [backup] * 2 for row in range(1, 41)})
    plan = setting.job.plan

    async def until_the_backup_is_over() -> None:
        await anyio.sleep(300.0)
        plan.clear()

    for row in range(1, 41):
        plan[str(row)].extend([backup] * 1000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_the_backup_is_over)
        await setting.go()
    assert setting.counts() == {State.ACCEPTED: 40}
    assert not setting.stop.requested
    assert len(setting.sent) < 4 + 20 + 40


async def test_one_that_takes_nothing_for_long_stops_the_run_with_all_rows_kept() -> None:
    backup = Call(Busy("a backup is made", 1.0))
    policy = replace(STEADY, tries=2, away_patience=600.0)
    setting = await Setting(items(4), policy, {str(row): [backup] * 1000 for row in range(1, 5)}).go()
    assert setting.stop.kind is StopKind.SYSTEM
    assert "a backup is made" in setting.stop.reason
    assert setting.counts() == {State.PENDING: 4}


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


async def test_while_it_is_held_no_more_is_claimed_than_waits_already() -> None:
    full = False

    async def read() -> GaugeReading:
        return GaugeReading(float(full), 0.5, 0.5)

    setting = Setting(items(100), gauges=[Gauge("STACK", read)])
    async with setting.going():
        await anyio.sleep(1.5)
        full = True
        await anyio.sleep(50.0)
        assert setting.counts()[State.SENDING] <= 4
        full = False


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


async def test_a_row_whose_time_comes_during_a_pause_is_not_even_claimed() -> None:
    setting = Setting(items(1), plan={"1": [Call(Busy("locked", 30.0))]})
    async with setting.going():
        await anyio.sleep(10.0)
        setting.steering.pause("olga@ops")
        await anyio.sleep(100.0)
        assert setting.counts() == {State.PENDING: 1}
        setting.steering.unpause()
    assert setting.counts() == {State.ACCEPTED: 1}


async def test_a_pause_that_comes_while_the_billing_is_waited_for_ends_like_any_other() -> None:
    # The third row is to go again at once, and waits for the pause that the fourth has met.
    setting = Setting(items(4), plan={"3": [Call(Busy("locked"))], "4": [Call(Busy("HTTP 503", 30.0))]})
    async with setting.going():
        await anyio.sleep(10.0)
        setting.steering.pause("olga@ops")
        await anyio.sleep(40.0)
        setting.steering.unpause()
    assert setting.counts() == {State.ACCEPTED: 4}


async def test_a_paused_run_can_be_stopped() -> None:
    setting = Setting(items(20), paused_by="olga@ops")
    async with setting.going():
        await anyio.sleep(5.0)
        setting.steering.stop("olga@ops")
    assert setting.now == 5.0
    assert setting.counts() == {State.PENDING: 20}


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


async def test_claims_follow_the_window_and_not_what_it_may_grow_to() -> None:
    journal = Watchful(*items(600))
    setting = Setting(journal, replace(STEADY, in_flight=64))
    async with setting.going():
        await anyio.sleep(5.0)
        change(setting.steering, "in-flight", "2")
        await anyio.sleep(60.0)  # until what was claimed for sixty-four has gone out
        journal.most_in_doubt = 0
        await anyio.sleep(20.0)
        assert 2 <= journal.most_in_doubt <= 6
        change(setting.steering, "in-flight", "64")
    assert setting.counts() == {State.ACCEPTED: 600}
