import os
import resource
from datetime import datetime
from pathlib import Path

import pytest

from engine.errors import LookUpFailed
from engine.pacing.gauges import Hours, disk_gauge, hours_gauge, hours_of
from engine.pacing.open_files import BASE, TooFewFiles, provide_files
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


@pytest.mark.parametrize(
    "text", ["", "night", "1-6", "01:00", "25:00-26:00", "01:60-02:00", "24:00-01:00", "01:00-06:00-", "-1:00-06:00"]
)
def test_what_is_none_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time range") as refused:
        hours_of(text)
    assert repr(text) in str(refused.value)
    with pytest.raises(ValueError, match="at the same time"):
        hours_of("06:00-06:00")


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


async def read_disk(place: Path, least: int) -> GaugeReading | None:
    return await disk_gauge(place, lambda: least).measure()


async def test_what_is_free_is_asked_of_the_real_disk(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    free = found.f_bavail * found.f_frsize
    plenty, little = await read_disk(tmp_path, free // 2), await read_disk(tmp_path, free * 2)
    assert plenty is not None
    assert little is not None
    assert plenty.value < plenty.low
    assert little.value > little.high
    assert little.value < little.end
    assert "MB free for the journal" in little.text


class Found:
    """A disk with so much free."""

    f_frsize = 4096

    def __init__(self, free: int) -> None:
        self.f_bavail = free // self.f_frsize


@pytest.mark.parametrize(
    ("megabytes", "held", "stopped"), [(230, False, False), (199, True, False), (60, True, False), (40, True, True)]
)
async def test_a_little_is_held_and_far_less_is_the_end(
    megabytes: int, held: bool, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: Found(megabytes * 1_000_000))
    measure = await read_disk(Path("journal"), 200_000_000)
    assert measure is not None
    assert (measure.value > measure.high, measure.value > measure.end) == (held, stopped)


async def test_a_disk_that_is_gone_cannot_be_read(tmp_path: Path) -> None:
    assert await read_disk(tmp_path / "nowhere", 0) is None, "with nothing wanted nothing is asked"
    with pytest.raises(LookUpFailed, match="nowhere: No such file"):
        await read_disk(tmp_path / "nowhere", 1)


class FilesOfASystem:
    """The limits of a process, soft and hard."""

    def __init__(self, soft: int, hard: int) -> None:
        self.limits = soft, hard

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.limits

    def put(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        assert limits[1] == self.limits[1]
        self.limits = limits


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> FilesOfASystem:
    system = FilesOfASystem(*request.param)
    monkeypatch.setattr(resource, "getrlimit", system.get)
    monkeypatch.setattr(resource, "setrlimit", system.put)
    return system


NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limited", "calls", "soft"),
    [
        ((1024, 4096), 64, 1024),
        ((64, 4096), 64, 192),
        ((1024, NO_LIMIT), 1000, BASE + 2000),
        ((NO_LIMIT, NO_LIMIT), 1000, NO_LIMIT),
        ((192, 192), 64, 192),
        ((16, 64), 0, 64),
    ],
    indirect=["limited"],
)
def test_the_limit_is_raised_as_far_as_is_needed(limited: FilesOfASystem, calls: int, soft: int) -> None:
    provide_files(calls)
    assert limited.limits[0] == soft


@pytest.mark.parametrize(
    ("limited", "calls", "told"),
    [
        ((64, 64), 64, r"64 parallel calls need 192 open files, and the system lets this process open 64\. Raise"),
        ((100, 191), 64, r"open 191; with it, 63 are possible\. Raise the limit: ulimit -n 4096"),
        ((16, 32), 0, "this command needs 64 open files"),
    ],
    indirect=["limited"],
)
def test_a_system_that_allows_too_few_is_told(limited: FilesOfASystem, calls: int, told: str) -> None:
    before = limited.limits
    with pytest.raises(TooFewFiles, match=told):
        provide_files(calls)
    assert limited.limits == before
