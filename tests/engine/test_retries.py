import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.retries import BASE, CAP, LONGEST_RETRY_AFTER, backoff


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


def test_never_sooner_than_the_billing_asks_for_and_never_for_ever() -> None:
    assert backoff(1, 12.5, draw=longest) == 12.5
    assert backoff(9, 12.5, draw=longest) == CAP
    assert backoff(9, 12.5, draw=shortest) == 12.5
    assert backoff(1, 10**9) == LONGEST_RETRY_AFTER
    assert backoff(1, None, draw=shortest) == backoff(1, 0.0, draw=shortest) == 0.0


@given(failures=st.integers(1, 1000), asked=st.none() | st.floats(0, 10**6))
def test_a_wait_lies_between_what_was_asked_for_and_the_ceiling(failures: int, asked: float | None) -> None:
    wait = backoff(failures, asked)
    floor = min(asked or 0.0, LONGEST_RETRY_AFTER)
    assert floor <= wait <= max(floor, min(CAP, BASE * 2.0 ** min(failures - 1, 100)))


def test_rows_that_failed_together_do_not_come_back_together() -> None:
    waits = [backoff(5) for _ in range(200)]
    assert len(set(waits)) == 200
    assert min(waits) < 2.0
    assert max(waits) > 6.0
