"""A run and what paces it: places, rate, retries, gauges, a person; on a virtual clock, with a journal in memory."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
import msgspec
import pytest

from checkpoints.records import Item, Run, Totals
from checkpoints.states import State
from engine.errors import LookUpDelayed, LookUpFailed
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused
from engine.pacing.holds import Percent, Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge, GaugeReading
from engine.pipeline.progress import LivePolicy, Progress, Sending
from tests.engine.doubles import (
    LOST_WITH_EFFECT,
    LOST_WITHOUT,
    REFUSED,
    STEADY,
    Call,
    FakeJob,
    Setting,
    Watchful,
    change,
    items,
)

pytestmark = pytest.mark.virtual_clock


def two(policy: Policy = STEADY, plan: Mapping[str, Sequence[Call]] | None = None, **more: Any) -> Setting:
    return Setting(items(2), replace(policy, in_flight=2), plan, takes=0.0, **more)


BUSY = [Call(Busy("429", 3000.0))]
WAITS: Mapping[str, Callable[[], Setting]] = {
    "the rate": lambda: two(replace(STEADY, rate=0.001)),
    "a busy billing": lambda: two(plan={"1": BUSY, "2": BUSY}),
    "the settling": lambda: two(replace(STEADY, settle=3000.0), {"1": [LOST_WITH_EFFECT]}),
    "a billing that is away": lambda: two(
        replace(STEADY, away_after=1, away_patience=9000.0), {"1": [Call(NotSent("refused"))]}
    ),
    "a pause": lambda: two(paused_by="olga@ops"),
    "a reading": lambda: two(gauges=[Gauge("STACK", anyio.sleep_forever)]),
}


@pytest.mark.parametrize("made", WAITS.values(), ids=list(WAITS))
async def test_a_stop_waits_for_nothing(made: Callable[[], Setting]) -> None:
    setting = made()
    setting.job.probe_errors.extend([LookUpFailed("refused")] * 1000)
    await setting.stopped_at(50.0)
    assert setting.now == 50.0
    assert State.SENDING not in setting.counts()


@pytest.mark.parametrize("repeatable", [False, True], ids=["must not repeat", "can repeat"])
@pytest.mark.parametrize("trouble", [Call(Busy("locked")), LOST_WITHOUT], ids=["busy", "lost"])
async def test_behind_a_row_out_of_tries_its_lane_stays_shut_for_resume(trouble: Call, repeatable: bool) -> None:
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


# ---- retries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(7.5, 7.5, 7.5), (0.0, 0.0, 0.5), (None, 0.0, 0.5), (1e9, 300.0, 300.0)]
)
async def test_a_retry_after_is_obeyed_within_reason(asked: float | None, least: float, most: float) -> None:
    setting = await Setting(items(1), STEADY, {"1": [Call(Busy("HTTP 503", asked))]}, takes=0.0).go()
    (first, _), (second, _) = setting.sent
    assert least <= second - first <= most
    assert setting.counts() == {State.ACCEPTED: 1}


async def test_a_person_ends_the_pause_and_the_wait_of_the_row_that_was_refused() -> None:
    setting = Setting(items(3), STEADY, {"1": [Call(Busy("HTTP 503", 600.0))]}, takes=0.0)
    async with setting.going():
        await anyio.sleep(10.5)
        assert len(setting.steering.end_waits()) == 2
        await anyio.sleep(5.0)
        assert setting.steering.end_waits() == []
    assert setting.moments("1") == [0.0, 11.0]
    assert setting.counts() == {State.ACCEPTED: 3}


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


async def test_a_window_that_is_made_smaller_in_a_pause_holds_for_the_calls_that_wait_already() -> None:
    setting = Setting(items(9))
    async with setting.going():
        await anyio.sleep(0.5)
        setting.steering.pause("olga@ops")
        await anyio.sleep(9.5)
        change(setting.steering, "in-flight", "2")
        await anyio.sleep(10.0)
        setting.steering.unpause()
        await anyio.sleep(0.5)
        assert (setting.status.in_flight, setting.status.why) == (2, "in-flight 2")
    assert setting.sent_at() == [(0.0, 4), (20.0, 2), (21.0, 2), (22.0, 1)]


@pytest.mark.parametrize(
    ("rows", "lanes", "seconds", "why", "in_flight"),
    [(40, None, 2.5, "in-flight 4", 4), (40, 2, 2.5, "account locks", 2), (3, None, 0.5, "", 3)],
    ids=["the window is full", "rows wait for their account", "the last calls"],
)
async def test_why_it_is_not_faster(rows: int, lanes: int | None, seconds: float, why: str, in_flight: int) -> None:
    setting = Setting(items(rows, lanes=lanes))
    async with setting.going():
        await anyio.sleep(seconds)
        assert (setting.status.why, setting.status.in_flight) == (why, in_flight)


# ---- what a kill would leave in doubt ----------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, 2, 3, 8, 64])
async def test_no_more_is_in_doubt_than_twice_the_window_and_a_group(in_flight: int) -> None:
    journal = Watchful(*items(in_flight * 12))
    setting = await Setting(journal, replace(STEADY, in_flight=in_flight)).go()
    assert setting.counts() == {State.ACCEPTED: in_flight * 12}
    assert in_flight <= journal.most_in_doubt <= 3 * in_flight


# ---- the canary --------------------------------------------------------------------------------------------------

CAREFUL = replace(STEADY, canary=True)


async def test_a_run_begins_with_one_row_then_ten_then_a_hundred_and_each_step_waits_for_its_outcomes() -> None:
    setting = Setting(items(300), replace(CAREFUL, in_flight=200))
    async with setting.going():
        assert setting.status.why == "trial rows first: 1"
        await anyio.sleep(1.5)
        assert setting.status.why == "trial rows first: 10"
    assert setting.sent_at() == [(0.0, 1), (1.0, 10), (2.0, 100), (3.0, 189)]
    assert setting.counts() == {State.ACCEPTED: 300}
    assert setting.status.why == ""


@pytest.mark.parametrize(("row", "sent"), [("1", 1), ("2", 11), ("10", 11)])
async def test_an_error_among_the_first_rows_stops_at_once(row: str, sent: int) -> None:
    setting = await Setting(items(300), replace(CAREFUL, in_flight=200), {row: [REFUSED]}).go()
    assert setting.stop.kind is StopKind.BUDGET
    assert setting.stop.reason == (
        f"one of the first 10 rows met an error that this run has not met before: row {row}, line {int(row) + 1} "
        f"(subscriber {row}): no such tariff 17. If it is only this row, `carbon-migrate resume k7m2q` goes on with "
        "the others; with --no-canary it does not begin with a few rows"
    )
    assert len(setting.sent) == sent
    assert setting.counts()[State.PENDING] == 300 - sent


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


async def test_a_first_row_that_runs_out_of_tries_is_an_error_and_what_then_is_said_of_resume_is_true() -> None:
    busy = {"1": [Call(Busy("locked"))] * 10}
    setting = await Setting(items(30), replace(CAREFUL, tries=3), busy).go()
    assert setting.stop.kind is StopKind.BUDGET
    assert setting.stop.reason == (
        "one of the first 10 rows was tried 3 times in vain and is left for another time: row 1, line 2 "
        "(subscriber 1): locked. `carbon-migrate resume k7m2q` tries it again; with --no-canary the others do not "
        "wait for it"
    )
    assert len(setting.sent) == 3
    again = await Setting(setting.journal, replace(CAREFUL, tries=3), busy).go()
    assert [key for _, key in again.sent] == ["1"] * 3
    others = await Setting(setting.journal, replace(STEADY, tries=3), busy).go()
    assert others.counts() == {State.ACCEPTED: 29, State.PENDING: 1}


# ---- errors ------------------------------------------------------------------------------------------------------


async def test_a_share_of_errors_stops_the_run_within_its_first_thousand_rows() -> None:
    policy = replace(STEADY, stop_after_errors=Percent(Decimal(1)))
    plan = {str(row): [REFUSED] for row in range(50, 2000, 50)}  # two percent
    setting = await Setting(items(2000), policy, plan).go()
    assert setting.stop.kind is StopKind.BUDGET
    assert setting.stop.reason.startswith("2 of 100 rows went wrong (--stop-after-errors 1%).")
    assert 100 <= len(setting.sent) <= 108


@pytest.mark.parametrize(("trouble", "state"), [(REFUSED, "rejected"), (Call(Busy("locked")), "pending")])
async def test_who_is_stopped_by_errors_is_told_where_they_are(trouble: Call, state: str) -> None:
    policy = replace(STEADY, tries=2, stop_after_errors=1)
    setting = await Setting(items(30), policy, {"7": [trouble] * 2}).go()
    assert setting.stop.reason == (
        f"1 row went wrong (--stop-after-errors 1). Look at them with `carbon-migrate export k7m2q "
        f"--state {state}`; `carbon-migrate resume` goes on"
    )


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


@pytest.mark.parametrize("before", [None, Decimal("500.00")])
async def test_a_limit_that_falls_below_what_was_sent_holds_for_what_is_claimed(before: Decimal | None) -> None:
    setting = Setting(items(100), replace(STEADY, limit_money=before))
    async with setting.going():
        await anyio.sleep(4.5)
        setting.steering.pause("olga@ops")
        await anyio.sleep(10.0)
        left = len(setting.sent)
        # Four more are claimed and wait at the gate: of these not one may go.
        assert setting.counts()[State.SENDING] == 4
        change(setting.steering, "limit-money", f"{left * Decimal('1.10')}")
        setting.steering.unpause()
    assert len(setting.sent) == left
    assert setting.counts() == {State.ACCEPTED: left, State.PENDING: 100 - left}
    assert setting.stop.kind is StopKind.BUDGET
    assert "`carbon-migrate resume k7m2q --limit-money 110.00`" in setting.stop.reason


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


SECONDS = 0.1
"""What the server works on a call."""

AT_ONCE = 0.001
"""What a refusal takes."""


class Server(FakeJob):
    """Works on `slots` calls at a time. While it is sick it refuses all, or the accounts in `locked`, at once."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots = anyio.CapacityLimiter(slots)
        self.sick = False
        self.locked: set[str] = set()
        self.moments: list[float] = []
        self.worked = 0

    async def send(self, run: Run, item: Item) -> Evidence:
        self.moments.append(anyio.current_time())
        if self.sick or item.lane in self.locked:
            await anyio.sleep(AT_ONCE)
            return Busy("Слишком частые запросы")
        async with self.slots:
            await anyio.sleep(SECONDS)
            self.worked += 1
        return Accepted(f"id {item.key}")

    def calls_since(self, moment: float) -> int:
        return sum(one >= moment for one in self.moments)


class Loaded(Setting):
    """A run of so many rows on a server."""

    def __init__(self, slots: int, count: int, in_flight: int | None = None) -> None:
        self.server = Server(slots)
        super().__init__(items(count), Policy(in_flight=in_flight, canary=False), job=self.server)

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[None]:
        """The run goes while the body does, and is stopped after it."""
        async with self.going():
            yield
            self.stop.request(StopKind.INTERRUPTED, "enough")

    async def load(self, seconds: float) -> float:
        """The share of what the server can do that it did in these seconds."""
        before = self.server.worked
        await anyio.sleep(seconds)
        return (self.server.worked - before) * SECONDS / seconds / self.server.slots.total_tokens


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slots", "in_flight", "spell"),
    [
        (4, None, 2.0),
        (4, None, 60.0),
        (16, None, 5.0),
        (16, None, 200.0),
        (4, 6, 60.0),
        (16, 64, 2.0),
        (16, 64, 200.0),
    ],
)
async def test_a_spell_of_busy_answers_is_met_with_few_calls_and_forgotten_within_ten_seconds(
    slots: int, in_flight: int | None, spell: float
) -> None:
    setting = Loaded(slots, 12_000, in_flight)
    async with setting.loaded():
        await anyio.sleep(10.0)
        assert await setting.load(5.0) >= 0.9
        setting.server.sick = True
        began = anyio.current_time()
        await anyio.sleep(spell)
        setting.server.sick = False
        # What was in flight when it began; then a call now and then, and the retries that are always made.
        assert setting.server.calls_since(began) <= 64 + 10 + 1.4 * spell
        assert setting.server.calls_since(began + 1.5) <= 10 + 1.4 * spell
        await anyio.sleep(10.0)
        assert await setting.load(10.0) >= 0.9
    assert setting.steering.look().held_seconds["billing"] >= spell / 2
    assert set(setting.journal.states().values()) == {State.ACCEPTED, State.PENDING}


@pytest.mark.parametrize(("each", "least"), [(25, 0.9), (10, 0.85)])
async def test_locked_accounts_do_not_hold_the_others(each: int, least: float) -> None:
    setting = Loaded(4, 4000, in_flight=6)
    setting.server.locked = {f"account {number}" for number in range(1, 4000, each)}
    async with setting.loaded():
        await anyio.sleep(10.0)
        assert await setting.load(50.0) >= least
    assert "billing" not in setting.steering.look().held_seconds


async def test_a_server_that_is_busy_for_ever_stops_the_run_when_its_patience_is_over() -> None:
    setting = Loaded(4, 8, in_flight=8)
    setting.server.sick = True
    await setting.go()
    assert 600.0 < setting.now <= 640.0
    assert setting.stop.kind is StopKind.SYSTEM
    assert setting.stop.reason.startswith("the billing has taken no call for 6")
    assert "Слишком частые запросы" in setting.stop.reason
    assert "`carbon-migrate resume`" in setting.stop.reason
    assert setting.journal.states() == {str(number): State.PENDING for number in range(1, 9)}


# ---- look-ups ----------------------------------------------------------------------------------------------------


class InDoubt(Setting):
    """A run that has rows in doubt when the billing goes away."""

    def __init__(self, patience: float = 600.0) -> None:
        policy = Policy(in_flight=4, canary=False, settle=10.0, away_patience=patience)
        super().__init__(items(4), policy, {"1": [LOST_WITH_EFFECT], "2": [LOST_WITHOUT]}, takes=0.0)

    def go_away(self) -> None:
        self.job.look_up_error = LookUpDelayed("connection refused")
        self.job.probe_errors.extend([LookUpDelayed("connection refused")] * 1000)

    def come_back(self) -> None:
        self.job.look_up_error = None
        self.job.probe_errors.clear()


async def test_a_billing_that_is_away_when_rows_are_looked_up_is_waited_for() -> None:
    setting = InDoubt()
    setting.go_away()
    async with setting.going():
        await anyio.sleep(100.0)
        held = setting.steering.look().held or ""
        assert held.startswith("asking again in ")
        assert held.endswith(" s: the billing is away (connection refused)")
        assert setting.job.probes <= 8
        setting.come_back()
    assert set(setting.journal.states().values()) == {State.ACCEPTED}
    assert setting.job.effects == {"1": 1, "2": 1, "3": 1, "4": 1}
    assert not setting.stop.requested


async def test_after_it_has_come_back_the_settling_is_waited_for_anew() -> None:
    setting = InDoubt()
    setting.go_away()
    async with setting.going():
        await anyio.sleep(100.0)
        setting.come_back()
        await setting.pipeline._breaker.let_through()
        await anyio.sleep(9.9)
        assert setting.job.looked_up == []
        assert setting.steering.look().held == "2 in doubt: looking them up in 1 s"
        await anyio.sleep(0.2)
        assert setting.job.looked_up == [["1", "2"]]


async def test_a_stop_ends_the_waiting_for_a_look_up_at_once() -> None:
    setting = InDoubt()
    setting.go_away()
    await setting.stopped_at(100.5)
    assert setting.now == 100.5


def steering_of(policy: Policy | None = None) -> LivePolicy:
    return LivePolicy(policy or Policy(), Progress(), Stop())


async def test_the_status_is_plain_and_tells_where_the_run_stands() -> None:
    steering = steering_of()
    progress = steering.progress
    sums = {State.PENDING: Decimal("22.50"), State.SKIPPED: Decimal(7)}
    progress.take_up(Totals({State.PENDING: 90, State.SKIPPED: 10}, sums), intake_ended=True)
    progress.sending = lambda: Sending(3, 4, "rate 20")
    for _ in range(20):
        await anyio.sleep(0.5)
        progress.moved(State.PENDING, State.SENDING, amount=Decimal("0.25"))
        progress.called(0.25)
        progress.moved(State.SENDING, State.ACCEPTED, amount=Decimal("0.25"))
    progress.moved(State.PENDING, State.SENDING, amount=Decimal("0.25"))
    progress.moved(State.SENDING, State.REJECTED, amount=Decimal("0.25"))
    progress.met("subscriber 7", "no account 17")
    progress.retries = 2
    status = msgspec.to_builtins(steering.look(), enc_hook=str)
    assert status == {
        "counts": {"pending": 69, "skipped": 10, "accepted": 20, "rejected": 1},
        "total": 100,
        "done": 31,
        "skipped": 10,
        "held_back": 0,
        "refused": 0,
        "intake_ended": True,
        "calls": 20,
        "retries": 2,
        "seconds": 10.0,
        "rate": pytest.approx(2.1, abs=0.3),
        "average": 2.1,
        "eta": pytest.approx(33, abs=5),
        "in_flight": 3,
        "window": 4,
        "p50": pytest.approx(0.25, rel=0.06),
        "p95": pytest.approx(0.25, rel=0.06),
        "why": "rate 20",
        "held": None,
        "held_seconds": {},
        "paused": False,
        "errors": {"no account 17": 1},
        "last_error": "subscriber 7: no account 17",
        "entered": "5.00",
        "has_steps": False,
        "amounts": {"pending": "17.25", "skipped": "7", "accepted": "5.00", "rejected": "0.25"},
    }
    assert (steering.look().sent, steering.look().to_send) == (21, 90)


async def test_nobody_can_tell_the_end_of_what_is_held_or_still_read() -> None:
    steering = steering_of()
    progress = steering.progress
    progress.take_up(Totals({State.PENDING: 90}), intake_ended=False)
    await anyio.sleep(1)
    progress.moved(State.PENDING, State.ACCEPTED, 10)
    assert steering.look().eta is None
    progress.intake_ended = True
    assert steering.look().eta is not None
    progress.hold("9 in doubt: looking them up in 30 s")
    assert (steering.look().eta, steering.look().why) == (None, "9 in doubt: looking them up in 30 s")
    progress.hold(None)
    await anyio.sleep(60)
    assert steering.look().eta is None  # nothing has come to its end for a while
