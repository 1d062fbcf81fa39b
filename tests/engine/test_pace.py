import pytest

from engine.statistics import SPAN, Pace


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(1000.0)
    for tenth in range(300):
        pace.add(1000.0 + tenth / 10, 10)  # a hundred a second
    assert pace.recent(1030.0) == pytest.approx(100.0, rel=0.12)
    for tenth in range(300):
        pace.add(1030.0 + tenth / 10)  # ten a second
    assert pace.recent(1060.0) == pytest.approx(10.0, rel=0.12)
    assert pace.average(1060.0) == pytest.approx(55.0)


def test_when_nothing_has_come_to_its_end_for_a_while_there_is_no_pace() -> None:
    pace = Pace(1000.0)
    pace.add(1001.0, 4000)
    assert pace.recent(1001.0 + SPAN) == 0.0
    assert pace.average(1100.0) == pytest.approx(40.0)
