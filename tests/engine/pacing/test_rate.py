import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pacing.throttle import LATENESS, Rate


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
