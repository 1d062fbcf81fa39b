"""A run and what paces it: canary, limits, gauges, a person; on a virtual clock and with a journal in memory."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import anyio
import msgspec
import pytest

from checkpoints.records import Change, Item
from checkpoints.states import State
from engine.budget import Percent
from engine.evidence import Busy, Lost, RowRefused, SystemRefused
from engine.pipeline import Pipeline
from engine.policy import Policy
from engine.progress import Progress
from engine.status import Status
from engine.steering import Steering
from engine.stop import Stop, StopKind
from engine.throttle import Gauge, Measure
from tests.engine.doubles import A_RUN, LOST_WITH_EFFECT, LOST_WITHOUT, Call, FakeJob, MemoryJournal, change, item
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock

STEADY = Policy(in_flight=4, canary=False, stop_after_errors=None)
REFUSED = Call(RowRefused("no such tariff 17"))


def items(count: int, *, amount: str = "1.10", lanes: int | None = None) -> list[Item]:
    return [item(number, amount=amount, lane=str(number % (lanes or count))) for number in range(1, count + 1)]


class Setting:
    """A run over items in memory; each call takes `takes` seconds."""

    def __init__(
        self,
        kept: Sequence[Item] | MemoryJournal,
        policy: Policy = STEADY,
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        takes: float = 1.0,
        gauges: Sequence[Gauge] = (),
        paused_by: str | None = None,
    ) -> None:
        self.job = FakeJob(plan=plan)
        self.job.during = self.during
        self.takes = takes
        self.journal = kept if isinstance(kept, MemoryJournal) else MemoryJournal(*kept)
        self.stop = Stop()
        self.steering = Steering(policy, Progress(), self.stop, paused_by=paused_by)
        self.pipeline = Pipeline(A_RUN, self.job, self.journal, self.steering, gauges=gauges)
        self.began = anyio.current_time()
        self.sent: list[tuple[float, str]] = []

    @property
    def now(self) -> float:
        return round(anyio.current_time() - self.began, 3)

    @property
    def status(self) -> Status:
        return self.steering.look()

    async def during(self, one: Item) -> None:
        self.sent.append((self.now, one.key))
        await anyio.sleep(self.takes)

    async def go(self) -> "Setting":
        await self.pipeline.migrate()
        return self

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """The run goes while the body does, and to its end after it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.pipeline.migrate)
            await settle()
            yield

    def counts(self) -> dict[State, int]:
        return dict(Counter(self.journal.states().values()))

    def sent_at(self) -> list[tuple[float, int]]:
        """How many calls began at each moment."""
        return sorted(Counter(moment for moment, _ in self.sent).items())


# ---- the canary --------------------------------------------------------------------------------------------------

CAREFUL = replace(STEADY, canary=True)


async def test_a_run_begins_with_one_row_then_ten_then_a_hundred_and_each_step_waits_for_its_outcomes() -> None:
    setting = Setting(items(300), replace(CAREFUL, in_flight=200))
    async with setting.going():
        assert setting.status.why == "canary: 1 first"
        await anyio.sleep(1.5)
        assert setting.status.why == "canary: 10 first"
    assert setting.sent_at() == [(0.0, 1), (1.0, 10), (2.0, 100), (3.0, 189)]
    assert setting.counts() == {State.ACCEPTED: 300}
    assert setting.status.why == ""


@pytest.mark.parametrize("count", [0, 1, 2, 5, 10, 11, 12])
async def test_a_small_run_comes_to_its_end_within_the_first_steps(count: int) -> None:
    setting = await Setting(items(count), replace(CAREFUL, in_flight=20)).go()
    assert setting.counts() == ({State.ACCEPTED: count} if count else {})
    assert len(setting.sent) == count
    assert not setting.stop.requested


async def test_without_a_canary_all_go_at_once() -> None:
    setting = await Setting(items(20), replace(STEADY, in_flight=20)).go()
    assert setting.sent_at() == [(0.0, 20)]


@pytest.mark.parametrize(("row", "sent"), [("1", 1), ("2", 11), ("9", 11)])
async def test_an_error_among_the_first_rows_stops_at_once(row: str, sent: int) -> None:
    setting = await Setting(items(300), replace(CAREFUL, in_flight=200), {row: [REFUSED]}).go()
    assert setting.stop.kind is StopKind.BUDGET
    assert f"row {row}, line {int(row) + 1} (subscriber {row}): no such tariff 17." in setting.stop.reason
    assert "--no-canary" in setting.stop.reason
    assert "`carbon-migrate resume k7m2q`" in setting.stop.reason
    assert len(setting.sent) == sent
    assert setting.counts()[State.PENDING] == 300 - sent


async def test_an_error_after_the_first_rows_does_not_stop_it() -> None:
    setting = await Setting(items(300), CAREFUL, {str(row): [REFUSED] for row in range(12, 40)}).go()
    assert setting.counts() == {State.ACCEPTED: 272, State.REJECTED: 28}
    assert not setting.stop.requested


async def test_taken_up_again_the_run_goes_on_whatever_the_first_rows_met() -> None:
    plan = {"1": [REFUSED], "2": [Call(RowRefused("no such tariff 18"))], "3": [Call(RowRefused("no account"))]}
    first = await Setting(items(30), CAREFUL, plan).go()
    assert first.counts() == {State.REJECTED: 1, State.PENDING: 29}
    second = await Setting(first.journal, CAREFUL, plan).go()
    # That no such tariff is there has been seen; that there is no account has not.
    assert second.stop.kind is StopKind.BUDGET
    assert "no account" in second.stop.reason
    third = await Setting(first.journal, CAREFUL, plan).go()
    assert third.counts()[State.REJECTED] == 3
    assert not third.stop.requested
    assert third.counts() == {State.ACCEPTED: 27, State.REJECTED: 3}


async def test_a_run_that_has_accepted_rows_begins_without_one() -> None:
    kept = [msgspec.structs.replace(one, state=State.ACCEPTED) if one.number == 1 else one for one in items(30)]
    setting = await Setting(kept, replace(CAREFUL, in_flight=50), {"2": [REFUSED]}).go()
    assert setting.sent_at() == [(0.0, 29)]
    assert not setting.stop.requested


async def test_a_first_row_whose_answer_is_lost_is_found_out_before_any_other_goes() -> None:
    setting = await Setting(items(30), replace(CAREFUL, in_flight=50, settle=30.0), {"1": [LOST_WITHOUT] * 2}).go()
    assert setting.sent_at()[:4] == [(0.0, 1), (31.0, 1), (62.0, 1), (63.0, 10)]
    assert {key for _, key in setting.sent[:3]} == {"1"}
    assert setting.counts() == {State.ACCEPTED: 30}


async def test_a_first_row_that_finds_the_billing_busy_is_tried_again_and_no_error() -> None:
    setting = await Setting(items(30), CAREFUL, {"1": [Call(Busy("locked"))] * 3, "5": [Call(Busy("locked"))]}).go()
    assert [key for _, key in setting.sent[:4]] == ["1"] * 4
    assert setting.counts() == {State.ACCEPTED: 30}


async def test_a_first_row_that_runs_out_of_tries_is_an_error() -> None:
    setting = await Setting(items(30), replace(CAREFUL, tries=3), {"1": [Call(Busy("locked"))] * 3}).go()
    assert setting.stop.kind is StopKind.BUDGET
    assert "locked" in setting.stop.reason
    assert len(setting.sent) == 3


# ---- errors ------------------------------------------------------------------------------------------------------


async def test_a_share_of_errors_stops_the_run_within_its_first_thousand_rows() -> None:
    policy = replace(STEADY, stop_after_errors=Percent(Decimal(1)))
    plan = {str(row): [REFUSED] for row in range(50, 2000, 50)}  # two percent
    setting = await Setting(items(2000), policy, plan).go()
    assert setting.stop.kind is StopKind.BUDGET
    assert setting.stop.reason.startswith("2 of 100 rows went wrong (--stop-after-errors 1%).")
    assert 100 <= len(setting.sent) <= 108


async def test_fewer_errors_than_the_share_stop_nothing() -> None:
    policy = replace(STEADY, in_flight=50, stop_after_errors=Percent(Decimal(1)))
    plan = {str(row): [REFUSED] for row in range(150, 2000, 125)}  # less than one percent
    setting = await Setting(items(2000), policy, plan).go()
    assert not setting.stop.requested
    assert setting.counts() == {State.ACCEPTED: 1985, State.REJECTED: 15}


async def test_a_limit_of_errors_that_is_changed_counts_from_then_on() -> None:
    setting = Setting(items(50), STEADY, {str(row): [REFUSED] for row in range(50)})
    async with setting.going():
        await anyio.sleep(3.5)
        change(setting.steering, "stop-after-errors", "5")
    assert setting.stop.kind is StopKind.BUDGET
    assert len(setting.sent) <= 20


async def test_errors_are_told_by_their_kind() -> None:
    plan = {str(row): [Call(RowRefused(f"no account {row}"))] for row in (1, 2, 3)}
    plan |= {"4": [Call(Busy("locked"))], "5": [LOST_WITH_EFFECT]}
    setting = await Setting(items(9), replace(STEADY, settle=0.0), plan).go()
    assert setting.status.errors == {"no account": 3, "locked": 1, "reset": 1}
    assert setting.status.retries == 1


# ---- money -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "sent"), [("9.90", 9), ("10.99", 9), ("11", 10), ("0", 0), ("1.09", 0), ("33", 30)]
)
@pytest.mark.parametrize("amount", ["1.10", "-1.10"])
async def test_as_much_is_sent_as_the_limit_allows_and_no_kopeck_more(limit: str, sent: int, amount: str) -> None:
    policy = replace(STEADY, limit_money=Decimal(limit))
    setting = await Setting(items(30, amount=amount), policy).go()
    assert len(setting.sent) == sent
    assert setting.counts().get(State.ACCEPTED, 0) == sent
    assert setting.stop.requested == (sent < 30)
    if sent < 30:
        left = Decimal(limit) - sent * Decimal("1.10")
        assert setting.stop.kind is StopKind.BUDGET
        assert f"{sent * Decimal('1.10'):f} has been sent" in setting.stop.reason
        assert f"{left:f} is left" in setting.stop.reason
        assert f"row {sent + 1} (subscriber {sent + 1})" in setting.stop.reason


async def test_what_earlier_processes_have_sent_counts_and_what_they_have_not_does_not() -> None:
    states = {1: State.ACCEPTED, 2: State.APPLIED, 3: State.REJECTED, 4: State.SENDING, 5: State.MANUAL}
    kept = [msgspec.structs.replace(one, state=states.get(one.number, State.PENDING)) for one in items(30)]
    setting = Setting(kept, replace(STEADY, settle=0.0, limit_money=Decimal("8.80")))
    setting.job.effects["4"] = 1
    await setting.go()
    assert len(setting.sent) == 4
    assert setting.counts()[State.ACCEPTED] == 6  # the first, that which was being sent, and the four


async def test_what_is_refused_or_absent_makes_room_again() -> None:
    plan = {"2": [REFUSED], "3": [Call(Busy("locked"))], "4": [LOST_WITHOUT], "5": [LOST_WITH_EFFECT]}
    setting = await Setting(items(30), replace(STEADY, settle=1.0, limit_money=Decimal("11.00")), plan).go()
    assert setting.stop.kind is StopKind.BUDGET
    in_the_billing = setting.job.effects.total()
    # What was lost and is absent was in doubt when the limit was met: no more was sent for its sake.
    assert in_the_billing in {9, 10}
    resumed = Setting(setting.journal, replace(STEADY, settle=1.0, limit_money=Decimal("11.00")))
    resumed.job.effects = setting.job.effects
    await resumed.go()
    assert resumed.job.effects.total() == 10


async def test_a_limit_that_comes_while_it_runs_counts_what_was_sent_before() -> None:
    setting = Setting(items(100))
    async with setting.going():
        await anyio.sleep(5.5)
        change(setting.steering, "limit-money", "33.00")
    assert setting.counts() == {State.ACCEPTED: 30, State.PENDING: 70}


@pytest.mark.parametrize("before", [None, Decimal("500.00")])
async def test_a_limit_that_falls_below_what_was_sent_holds_for_what_is_claimed_already(
    before: Decimal | None,
) -> None:
    setting = Setting(items(100), replace(STEADY, limit_money=before))
    async with setting.going():
        await anyio.sleep(4.5)
        setting.steering.pause("olga@ops")
        await anyio.sleep(10.0)
        left = len(setting.sent)
        # Four more are claimed and wait at the gate: of these not one may go.
        assert setting.counts()[State.SENDING] == 4
        change(setting.steering, "limit-money", f"{left * Decimal('1.10')}")
        setting.steering.go_on()
    assert len(setting.sent) == left
    assert setting.counts() == {State.ACCEPTED: left, State.PENDING: 100 - left}
    assert setting.stop.kind is StopKind.BUDGET
    assert "`carbon-migrate resume k7m2q --limit-money AMOUNT`" in setting.stop.reason


async def test_a_limit_that_is_lowered_while_rows_are_being_claimed_holds_for_them_too() -> None:
    journal = Watchful(*items(100))
    setting = Setting(journal)
    async with setting.going():
        # In the middle of the first claim.
        await anyio.sleep(0.1)
        assert journal.most_in_doubt == 0
        change(setting.steering, "limit-money", "1.10")
    assert setting.sent == []
    assert setting.counts() == {State.PENDING: 100}


async def test_a_limit_that_is_lowered_to_what_was_sent_and_claimed_stops_nothing_before_its_time() -> None:
    setting = Setting(items(100))
    async with setting.going():
        await anyio.sleep(4.5)
        change(setting.steering, "limit-money", "55.00")
        assert not setting.stop.requested
    assert setting.counts() == {State.ACCEPTED: 50, State.PENDING: 50}


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
        assert setting.status.held == "the billing says: not now (HTTP 503): asking again in 16 s"
    # One had come back before it asked, and the next row had left.
    assert setting.sent_at()[:5] == [(0.0, 8), (1.0, 1), (46.0, 1), (47.0, 2), (48.0, 4)]
    assert setting.counts() == {State.ACCEPTED: 40}
    assert setting.status.held_seconds == {"billing": 45.0}


async def test_a_billing_that_takes_nothing_for_now_is_waited_for_and_no_row_fails() -> None:
    backup = Call(SystemRefused("read-only", passing=True))
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
    backup = Call(SystemRefused("read-only", passing=True))
    policy = replace(STEADY, tries=2, away_patience=600.0)
    setting = await Setting(items(4), policy, {str(row): [backup] * 1000 for row in range(1, 5)}).go()
    assert setting.stop.kind is StopKind.SYSTEM
    assert "read-only" in setting.stop.reason
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

    async def read() -> Measure:
        return Measure(depth, 1000, 800)

    setting = Setting(items(100), gauges=[Gauge("EVENTS_STACK", read)])
    async with setting.going():
        await anyio.sleep(2.5)
        depth = 5120
        await anyio.sleep(10.0)
        assert setting.status.why == setting.status.held == "EVENTS_STACK 5,120 > 1,000"
        assert setting.status.eta is None
        sent = len(setting.sent)
        await anyio.sleep(100.0)
        assert len(setting.sent) == sent
        depth = 700
    assert setting.counts() == {State.ACCEPTED: 100}
    assert setting.status.held_seconds == pytest.approx({"EVENTS_STACK": 109.0}, abs=2.0)


async def test_while_it_is_held_no_more_is_claimed_than_waits_already() -> None:
    full = False

    async def read() -> Measure:
        return Measure(float(full), 0.5, 0.5)

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
        setting.steering.go_on()
    assert setting.sent_at() == [(50.0, 4), (51.0, 4)]


async def test_a_pause_lets_what_is_in_flight_finish_and_nothing_new_begin() -> None:
    setting = Setting(items(20))
    async with setting.going():
        await anyio.sleep(0.5)
        setting.steering.pause("olga@ops")
        await anyio.sleep(50.0)
        assert setting.sent_at() == [(0.0, 4)]
        assert setting.counts()[State.ACCEPTED] == 4
        setting.steering.go_on()
    assert setting.counts() == {State.ACCEPTED: 20}
    assert setting.status.held_seconds == {"paused": 50.0}


async def test_a_row_whose_time_comes_during_a_pause_is_not_even_claimed() -> None:
    setting = Setting(items(1), plan={"1": [Call(Busy("locked", 30.0))]})
    async with setting.going():
        await anyio.sleep(10.0)
        setting.steering.pause("olga@ops")
        await anyio.sleep(100.0)
        assert setting.counts() == {State.PENDING: 1}
        setting.steering.go_on()
    assert setting.counts() == {State.ACCEPTED: 1}


async def test_a_pause_that_comes_while_the_billing_is_waited_for_ends_like_any_other() -> None:
    # The third row is to go again at once, and waits for the pause that the fourth has met.
    setting = Setting(items(4), plan={"3": [Call(Busy("locked"))], "4": [Call(Busy("HTTP 503", 30.0))]})
    async with setting.going():
        await anyio.sleep(10.0)
        setting.steering.pause("olga@ops")
        await anyio.sleep(40.0)
        setting.steering.go_on()
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
        assert setting.status.why == "rate cap"
        change(setting.steering, "rate", "none")
    assert setting.counts() == {State.ACCEPTED: 60}
    slow = [moment for moment, _ in setting.sent if 5.0 < moment < 14.5]
    assert min(b - a for a, b in pairwise(slow)) >= 1.99


# ---- why it is not faster ----------------------------------------------------------------------------------------


async def test_it_says_that_the_window_is_full() -> None:
    setting = Setting(items(40))
    async with setting.going():
        await anyio.sleep(2.5)
        assert setting.status.why == "in flight 4 (fixed)"


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


class Watchful(MemoryJournal):
    """A journal that takes a second for each commit, and notes the most that was claimed and not recorded."""

    def __init__(self, *kept: Item) -> None:
        super().__init__(*kept)
        self.most_in_doubt = 0

    async def claim(self, item_ids: Sequence[int]) -> None:
        await anyio.sleep(0.3)
        await super().claim(item_ids)
        sending = sum(one.state is State.SENDING for one in self.kept.values())
        self.most_in_doubt = max(self.most_in_doubt, sending)

    async def record(self, changes: Sequence[Change]) -> None:
        await anyio.sleep(0.3)
        await super().record(changes)


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
