import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.statistics import BUCKETS, SHORTEST, Histogram


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
