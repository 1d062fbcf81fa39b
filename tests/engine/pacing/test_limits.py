from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.records import Item
from checkpoints.states import State
from engine.outcomes import Cause, Outcome
from engine.pacing.canary import Canary
from engine.pacing.limits import LAST, LEAST, ErrorBudget, ErrorLimit, Percent, Spending, error_limit, money_limit
from engine.pacing.retries import BASE, CAP, LONGEST_RETRY_AFTER, SAVED, RetryBudget, Tries, backoff
from engine.pacing.throttle import LATENESS, Rate
from tests.engine.doubles import A_RUN, MemoryJournal, item


def budget_of(outcomes: str) -> ErrorBudget:
    """A budget after rows that came out right (`.`) and wrong (`x`)."""
    budget = ErrorBudget()
    for outcome in outcomes:
        budget.add(wrong=outcome == "x")
    return budget


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("50", 50),
        (" 1 ", 1),
        ("1%", Percent(Decimal(1))),
        ("0.5%", Percent(Decimal("0.5"))),
        ("2,25 %", Percent(Decimal("2.25"))),
        ("0%", Percent(Decimal(0))),
        ("0", None),
        ("never", None),
    ],
)
def test_a_limit_is_a_number_or_a_share(text: str, limit: ErrorLimit | None) -> None:
    assert error_limit(text) == limit


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "%", "-1%", "100%", "101%", "nan%", "1e3", "5 rows", "٣"])
def test_what_is_none_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a limit of errors") as refused:
        error_limit(text)
    assert repr(text) in str(refused.value)


def test_a_number_is_spent_when_it_is_reached_from_the_first_row_on() -> None:
    assert budget_of("xx").spent(3) is None
    assert budget_of("xxx").spent(3) == "3 rows went wrong"
    assert budget_of("." * 5000 + "x.x.x").spent(3) == "3 rows went wrong"
    assert budget_of("x").spent(1) == "1 row went wrong"


def test_a_share_says_nothing_before_so_many_rows_have_an_outcome() -> None:
    one = Percent(Decimal(1))
    assert budget_of("x" * (LEAST - 1)).spent(one) is None
    assert budget_of("x" * LEAST).spent(one) == "100 of 100 rows went wrong"


@pytest.mark.parametrize(("wrong", "of", "spent"), [(1, 100, False), (2, 100, True), (5, 500, False), (6, 500, True)])
def test_a_share_is_spent_when_it_is_passed_in_the_first_thousand_too(wrong: int, of: int, spent: bool) -> None:
    budget = budget_of("x" * wrong + "." * (of - wrong))
    assert (budget.spent(Percent(Decimal(1))) is not None) == spent


def test_a_run_that_goes_wrong_late_is_seen_in_its_last_rows() -> None:
    one = Percent(Decimal(1))
    assert budget_of("." * 100_000 + "x" * 10).spent(one) is None
    assert budget_of("." * 100_000 + "x" * 11).spent(one) == "11 of the last 1000 rows went wrong"


def test_errors_of_long_ago_count_no_longer_among_the_last() -> None:
    budget = budget_of("." * 2000 + "x" * 9 + "." * LAST + "x" * 9)
    assert budget.spent(Percent(Decimal(1))) is None
    assert budget._wrong_of_last == 9


def must_look(spending: Spending) -> bool:
    """A call, so that no checker takes the answer of before for the one of now."""
    return spending.must_look


IN_THE_BILLING = [State.SENDING, State.ACCEPTED, State.APPLIED, State.UNCONFIRMED, State.UNKNOWN, State.MANUAL]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10000", Decimal(10_000)),
        ("10 000,50", Decimal("10000.50")),
        ("0.5", Decimal("0.5")),
        ("0", Decimal(0)),
        ("none", None),
    ],
)
def test_a_limit_is_an_amount(text: str, limit: Decimal | None) -> None:
    assert money_limit(text) == limit


@pytest.mark.parametrize("text", ["", "much", "-1", "10,000", "10.000.000", "1e6", "nan", "1.234"])
def test_what_is_none_or_may_be_meant_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a limit of money"):
        money_limit(text)


async def test_all_that_is_in_the_billing_or_may_be_counts_without_its_sign() -> None:
    kept = [item(number, state=state, amount="-1.10") for number, state in enumerate(State, 1)]
    spending = Spending(lambda: Decimal("8.80"))
    assert must_look(spending)
    await spending.look(A_RUN, MemoryJournal(*kept))
    assert not must_look(spending)
    assert len(IN_THE_BILLING) == 6
    assert spending.fitting([item(1, amount="-1.10")] * 9) == 2


async def test_a_limit_below_what_was_sent_is_overdrawn_and_says_so() -> None:
    limits: list[Decimal | None] = [None]
    spending = Spending(lambda: limits[-1])
    await spending.look(A_RUN, MemoryJournal(item(1, state=State.ACCEPTED, amount="-999.50")))
    assert spending.overdrawn(A_RUN) is None
    limits.append(Decimal("999.50"))
    assert spending.overdrawn(A_RUN) is None
    limits.append(Decimal("999.49"))
    assert spending.overdrawn(A_RUN) == (
        "999.50 has been sent or was about to be, and --limit-money is 999.49 now. "
        "`carbon-migrate resume k7m2q --limit-money AMOUNT` goes on with a higher one"
    )
    spending.forget()
    # Whoever does not know how much was sent says nothing of it: the next look does.
    assert spending.overdrawn(A_RUN) is None


def longest(_low: float, high: float) -> float:
    return high


def shortest(low: float, _high: float) -> float:
    return low


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, 30.0), (8, 30.0), (10**9, 30.0)]
)
def test_the_ceiling_doubles_with_each_failure_up_to_the_cap(failures: int, ceiling: float) -> None:
    assert backoff(failures, draw=longest) == ceiling
    assert backoff(failures, draw=shortest) == 0.0


@given(failures=st.integers(1, 1000), asked=st.none() | st.floats(0, 10**6))
def test_a_wait_lies_between_what_was_asked_for_and_the_ceiling(failures: int, asked: float | None) -> None:
    wait = backoff(failures, asked)
    floor = min(asked or 0.0, LONGEST_RETRY_AFTER)
    assert floor <= wait <= max(floor, min(CAP, BASE * 2.0 ** min(failures - 1, 100)))


# ---- the budget of the whole run ---------------------------------------------------------------------------------


def taken(budget: RetryBudget, now: float) -> int:
    """How many retries may be made at one moment."""
    count = 0
    while budget.take(now):
        count += 1
    return count


def test_a_run_begins_with_a_few_and_then_earns_a_share_of_its_successes() -> None:
    budget = RetryBudget(share=0.1, floor=1e-9)
    assert taken(budget, 0.0) == SAVED
    for _ in range(49):
        budget.succeeded()
    assert taken(budget, 0.0) == 4
    budget.succeeded()
    assert taken(budget, 0.0) == 1


def test_a_retry_that_brought_its_row_to_its_end_costs_nothing() -> None:
    budget = RetryBudget(share=1e-9, floor=1e-9)
    for _ in range(100):
        assert budget.take(0.0)
        budget.answered()
    assert taken(budget, 0.0) == SAVED


@given(floor=st.floats(0.01, 100), began=st.floats(0, 1e6))
def test_who_waits_as_long_as_he_is_told_finds_one(floor: float, began: float) -> None:
    budget = RetryBudget(share=0.1, floor=floor)
    taken(budget, began)
    now = began
    for _ in range(20):
        now += budget.wait(now)
        assert budget.take(now)
        assert not budget.take(now)


# ---- the tries of a row ------------------------------------------------------------------------------------------

BUSY = Outcome(State.PENDING, Cause.BUSY, message="busy")


def test_a_row_is_out_of_tries_after_so_many_failures_of_its_own() -> None:
    tries = Tries(3)
    assert [tries.failed(item(1), BUSY) for _ in range(3)] == [True, True, False]
    assert tries.failed(item(2), BUSY)
    assert tries.out == {item(1).item_id}
    assert (tries.of(item(1)), tries.of(item(2)), tries.of(item(3))) == (3, 1, 0)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(State.PENDING, Cause.NOT_REACHED, message="refused"),
        Outcome(State.PENDING, Cause.NOT_NOW, message="503", retry_after=5.0),
    ],
    ids=["not sent", "not now"],
)
def test_what_says_nothing_about_the_row_costs_it_no_try(outcome: Outcome) -> None:
    tries = Tries(2)
    assert all(tries.failed(item(1), outcome) for _ in range(100))
    assert tries.of(item(1)) == 0


def test_a_row_has_failed_before_whoever_was_to_blame() -> None:
    tries = Tries(3)
    tries.excuse(item(1))
    tries.failed(item(2), BUSY)
    tries.failed(item(3), Outcome(State.PENDING, Cause.NOT_REACHED, message="refused"))
    assert [tries.has_failed(item(number)) for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert [tries.of(item(number)) for number in (1, 2, 3)] == [0, 1, 0]
    tries.excuse(item(2))
    assert tries.of(item(2)) == 1


def test_a_row_that_needs_no_further_call_is_forgotten() -> None:
    tries = Tries(3)
    tries.failed(item(1), BUSY)
    tries.forget(item(1))
    tries.forget(item(2))
    assert tries.of(item(1)) == 0
    assert not tries._failures


def answered(canary: Canary, rows: int) -> None:
    for _ in range(rows):
        canary.answered()


def alarm(canary: Canary, error: str, of: Item | None = None) -> str | None:
    return canary.alarm(of or item(3), error, "k7m2q")


def test_a_new_error_among_the_first_ten_is_an_alarm_that_says_what_where_and_how_to_go_on() -> None:
    canary = Canary(wanted=True, known=["account 4 is locked"])
    answered(canary, 10)
    assert alarm(canary, "account 17 is locked") is None
    assert alarm(canary, "no such tariff") == (
        "one of the first 10 rows met an error that this run has not met before: row 3, line 4 (subscriber 3): "
        "no such tariff. If it is only this row, `carbon-migrate resume k7m2q` goes on with the others; "
        "with --no-canary it does not begin with a few rows"
    )
    assert "row 3 (subscriber 3)" in (
        alarm(canary, "no such tariff", msgspec.structs.replace(item(3), line=None)) or ""
    )


async def counts(journal: MemoryJournal) -> Mapping[State, int]:
    return (await journal.totals(A_RUN)).counts


def departures(rate: Rate, moments: list[float]) -> list[float]:
    """When each call leaves that asks at one of `moments` and waits as it is told."""
    leaving: list[float] = []
    for asked in moments:
        moment = rate.moment(asked, max(asked, leaving[-1] if leaving else asked))
        rate.left(moment)
        leaving.append(max(moment, asked))
    return leaving


@given(
    per_second=st.floats(0.01, 10_000),
    gaps=st.lists(st.floats(0, 100), min_size=1, max_size=60),
)
def test_never_more_than_the_rate_allows_in_any_window(per_second: float, gaps: list[float]) -> None:
    now = 0.0
    moments = [now := now + gap for gap in gaps]
    leaving = departures(Rate(per_second), moments)
    assert leaving == sorted(leaving)
    for first, start in enumerate(leaving):
        for last in range(first, len(leaving)):
            window = leaving[last] - start
            assert last - first + 1 <= per_second * window * (1 + 1e-9) + 1 + 1e-6


@given(per_second=st.floats(0.1, 1000), count=st.integers(2, 50))
def test_who_asks_all_at_once_leaves_evenly_spaced_without_loss(per_second: float, count: int) -> None:
    leaving = departures(Rate(per_second), [5.0] * count)
    assert leaving[0] == 5.0
    for place, moment in enumerate(leaving):
        assert moment == pytest.approx(5.0 + place / per_second)


def test_who_was_held_for_an_hour_finds_no_burst_either() -> None:
    rate = Rate(10.0)
    leaving = []
    now = 3600.0
    for _ in range(4):  # all of them asked at the beginning of the hour
        now = max(now, rate.moment(0.0, now))
        rate.left(rate.moment(0.0, now))
        leaving.append(now)
    assert leaving == pytest.approx([3600.0, 3600.1 - LATENESS, 3600.2 - LATENESS, 3600.3 - LATENESS])


def test_a_timer_that_is_late_each_time_costs_no_rate() -> None:
    rate = Rate(100.0)
    now = 0.0
    for _ in range(1000):
        moment = rate.moment(0.0, now)
        rate.left(moment)
        now = max(now, moment) + 0.004  # woken late
    assert now == pytest.approx(10.0, abs=0.02)
