import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.states import State
from engine.outcomes import Cause, Outcome
from engine.pacing.retries import BASE, CAP, LONGEST_RETRY_AFTER, SAVED, RetryBudget, Tries, backoff
from tests.engine.doubles import item


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
