from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.records import Item
from checkpoints.states import State
from engine.outcomes import Cause, Outcome
from engine.pacing.canary import Canary
from engine.pacing.limits import LAST, ErrorBudget, ErrorLimit, Percent, Spending, error_limit, money_limit
from engine.pacing.retries import SAVED, RetryBudget, backoff
from engine.pacing.throttle import Rate
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


def answered(canary: Canary, rows: int) -> None:
    for _ in range(rows):
        canary.answered()


def alarm(canary: Canary, error: str, of: Item | None = None) -> str | None:
    return canary.alarm(of or item(3), error, "k7m2q")


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


def test_a_timer_that_is_late_each_time_costs_no_rate() -> None:
    rate = Rate(100.0)
    now = 0.0
    for _ in range(1000):
        moment = rate.moment(0.0, now)
        rate.left(moment)
        now = max(now, moment) + 0.004  # woken late
    assert now == pytest.approx(10.0, abs=0.02)
