from datetime import datetime

import pytest

from engine.pacing.gauges import Hours, hours_gauge, hours_of
from engine.pacing.throttle import GaugeReading


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2025-11-24T{text}")


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("01:00-06:00", ["01:00:00", "03:30:00", "05:59:59"], ["00:59:59", "06:00:00", "13:00:00"]),
        ("22:00-05:30", ["22:00:00", "23:59:59", "00:00:00", "05:29:59"], ["05:30:00", "12:00:00", "21:59:59"]),
        ("18:00-24:00", ["18:00:00", "23:59:59"], ["00:00:00", "17:59:59"]),
        ("0:00-6:00", ["00:00:00", "05:59:59"], ["06:00:00", "23:59:59"]),
    ],
)
def test_the_beginning_is_inside_and_the_end_is_not(hours: str, inside: list[str], outside: list[str]) -> None:
    wanted = hours_of(hours)
    assert [moment for moment in inside if at(moment) not in wanted] == []
    assert [moment for moment in outside if at(moment) in wanted] == []


def test_they_are_written_as_they_are_read() -> None:
    assert [str(hours_of(text)) for text in (" 1:00 – 06:30 ", "22:00-24:00")] == ["01:00-06:30", "22:00-00:00"]
    assert hours_of(str(hours_of("22:00-24:00"))) == hours_of("22:00-24:00")


@pytest.mark.parametrize(
    "text", ["", "night", "1-6", "01:00", "25:00-26:00", "01:60-02:00", "24:00-01:00", "01:00-06:00-", "-1:00-06:00"]
)
def test_what_is_none_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time range") as refused:
        hours_of(text)
    assert repr(text) in str(refused.value)


async def read(hours: Hours | None, now: str) -> GaugeReading | None:
    async def clock() -> datetime:
        return at(now)

    return await hours_gauge(lambda: hours, clock).measure()


@pytest.mark.parametrize(
    ("hours", "now", "seconds"),
    [
        ("01:00-06:00", "00:59:59", 1),
        ("01:00-06:00", "06:00:00", 19 * 3600),
        ("01:00-06:00", "01:00:00", 24 * 3600),
        ("22:00-05:30", "12:00:00", 10 * 3600),
    ],
)
async def test_a_run_that_is_not_to_wait_ends_outside_and_knows_when_they_begin(
    hours: str, now: str, seconds: float
) -> None:
    assert hours_of(hours).begin_in(at(now)).total_seconds() == seconds

    async def clock() -> datetime:
        return at(now)

    reading = await hours_gauge(lambda: hours_of(hours), clock, ends=True).measure()
    assert reading is not None
    outside = at(now) not in hours_of(hours)
    assert (reading.value > reading.end) == outside
    assert reading.again == (seconds if outside else None)


async def test_the_gauge_holds_outside_and_says_what_time_it_is_there() -> None:
    night = hours_of("22:00-05:30")
    outside, inside = await read(night, "12:05:00"), await read(night, "23:00:00")
    assert outside is not None
    assert inside is not None
    assert outside.value > outside.high
    assert outside.text == "hours 22:00-05:30: it is 12:05 at the billing"
    assert inside.value <= inside.low
    assert await read(None, "12:05:00") is None
