import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.statistics import BUCKETS, SHORTEST, SPAN, Histogram, RecentCalls


def test_before_the_first_call_there_is_nothing_to_tell() -> None:
    assert Histogram().quantile(0.5) is None


@given(
    times=st.lists(st.floats(2 * SHORTEST, 900), min_size=1, max_size=200),
    share=st.sampled_from([0.05, 0.5, 0.95, 1]),
)
def test_a_quantile_is_right_to_five_percent(times: list[float], share: float) -> None:
    histogram = Histogram()
    for seconds in times:
        histogram.add(seconds)
    exact = sorted(times)[max(0, -(-len(times) * share // 1) - 1).__int__()]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.051)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, SHORTEST])
def test_what_is_too_short_to_measure_is_the_shortest(seconds: float) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.quantile(0.5) == SHORTEST


def test_its_size_stays_whatever_it_is_told() -> None:
    histogram = Histogram()
    for exponent in range(-12, 13):
        histogram.add(10.0**exponent)
    assert len(histogram._counts) == BUCKETS
    assert (histogram.quantile(1.0) or 0) > 900


def test_recent_calls_forget_what_was_before_their_marks() -> None:
    times, recent = Histogram(), RecentCalls()
    times.add(100.0)
    assert recent.mark(0.0, 1, times)[1].quantile(0.5) is None, "before the first mark nobody knows when they came"
    slowest: list[float | None] = []
    for second in range(1, 2 * SPAN + 1):
        for _ in range(4):
            times.add(10.0 if second <= SPAN else 0.1)
        rate, found = recent.mark(float(second), 1 + 4 * second, times)
        assert rate == 4.0
        slowest.append(found.quantile(0.95))
    assert slowest[-2] == pytest.approx(10.0, rel=0.051), "the last seconds, one of them slow"
    assert slowest[-1] == pytest.approx(0.1, rel=0.051)
    assert times.quantile(0.95) == pytest.approx(10.0, rel=0.051), "all calls are counted as before"
