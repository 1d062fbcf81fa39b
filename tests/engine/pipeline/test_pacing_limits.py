"""A run and its limits: the canary, errors, money; on a virtual clock and with a journal in memory."""

from dataclasses import replace
from decimal import Decimal

import anyio
import msgspec
import pytest

from checkpoints.states import State
from engine.evidence import Busy, RowRefused
from engine.pacing.holds import StopKind
from engine.pacing.limits import Percent
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, Call, change
from tests.engine.paced import REFUSED, STEADY, Setting, Watchful, items

pytestmark = pytest.mark.virtual_clock

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


@pytest.mark.parametrize(("row", "sent"), [("1", 1), ("2", 11), ("9", 11)])
async def test_an_error_among_the_first_rows_stops_at_once(row: str, sent: int) -> None:
    setting = await Setting(items(300), replace(CAREFUL, in_flight=200), {row: [REFUSED]}).go()
    assert setting.stop.kind is StopKind.BUDGET
    assert f"row {row}, line {int(row) + 1} (subscriber {row}): no such tariff 17." in setting.stop.reason
    assert "no-canary" in setting.stop.reason
    assert "`carbon-migrate resume k7m2q`" in setting.stop.reason
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


async def test_a_first_row_whose_answer_is_lost_is_found_out_before_any_other_goes() -> None:
    setting = await Setting(items(30), replace(CAREFUL, in_flight=50, settle=30.0), {"1": [LOST_WITHOUT] * 2}).go()
    assert setting.sent_at()[:4] == [(0.0, 1), (31.0, 1), (62.0, 1), (63.0, 10)]
    assert {key for _, key in setting.sent[:3]} == {"1"}
    assert setting.counts() == {State.ACCEPTED: 30}


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


async def test_errors_are_told_by_their_kind() -> None:
    plan = {str(row): [Call(RowRefused(f"no account {row}"))] for row in (1, 2, 3)}
    plan |= {"4": [Call(Busy("locked"))], "5": [LOST_WITH_EFFECT]}
    setting = await Setting(items(9), replace(STEADY, settle=0.0), plan).go()
    assert setting.status.errors == {"no account 1": 3, "locked": 1, "reset": 1}
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
        setting.steering.unpause()
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
