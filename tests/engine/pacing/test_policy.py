"""The settings: what their texts mean, how they are told, and that what a run keeps is what it was driven by."""

import os
import resource
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LookUpFailed
from engine.pacing.breaker import SAVED, RetryBudget, backoff
from engine.pacing.holds import LAST, Canary, ErrorBudget, Percent
from engine.pacing.policy import (
    ALL,
    BASE,
    SETTINGS,
    Policy,
    TooFewFiles,
    describe_policy,
    describe_settings,
    policy_with,
    provide_files,
    to_settings,
)
from engine.pacing.throttle import GaugeReading, Hours, Rate, disk_gauge, hours_gauge, hours_of
from tests.engine.doubles import item

SQL = "select count(*) from abonents"

OTHER = Policy(
    in_flight=8,
    max_in_flight=16,
    rate=2.5,
    hours=hours_of("22:00-05:30"),
    max_stack=0,
    max_latency=1.5,
    throttle_sql=SQL,
    throttle_above=5120000.5,
    min_disk=50_000_000,
    canary=False,
    stop_after_errors=Percent(Decimal(1)),
    limit_money=Decimal("1000.50"),
    like_last=Decimal("12.5"),
    settle=0.1,
)
"""All that can be given, given."""


@pytest.mark.parametrize(
    ("name", "value", "said", "now"),
    [
        ("rate", "20", "at most 20 calls a second", Policy(rate=20.0)),
        ("rate", "none", "as many calls a second as the window lets through", Policy()),
        ("in-flight", "8", "parallel calls: 8", Policy(in_flight=8)),
        ("in-flight", "auto", "parallel calls: automatic, at most 64", Policy()),
        ("max-in-flight", "32", "at most 32 parallel calls, while in-flight is auto", Policy(max_in_flight=32)),
        ("hours", "01:00-06:00", "from 01:00 to 06:00", Policy(hours=hours_of("01:00-06:00"))),
        ("hours", "always", "at all hours", Policy()),
        ("hours", "none", "at all hours", Policy()),
        ("max-stack", "5000", "held above 5000 entries in a stack", Policy(max_stack=5000)),
        ("max-stack", "never", "never held for the stacks", Policy(max_stack=0)),
        (
            "max-latency",
            "0.5",
            "held while the billing takes longer than 0.5 s for its version",
            Policy(max_latency=0.5),
        ),
        ("max-latency", "none", "never held for the latency", Policy()),
        ("throttle-above", "7", "holds nothing: there is no throttle-sql", Policy(throttle_above=7.0)),
        ("min-disk", "500", "held while less than 500 MB are free for the journal", Policy(min_disk=500_000_000)),
        ("min-disk", "never", "never held for the disk", Policy(min_disk=0)),
        ("stop-after-errors", "50", "stops after 50 errors", Policy(stop_after_errors=50)),
        *(
            ("stop-after-errors", text, "never stops for errors", Policy(stop_after_errors=None))
            for text in ("never", "0")
        ),
        *(
            ("stop-after-errors", text, f"stops when more than {share}% go wrong", Policy(stop_after_errors=limit))
            for text, share in (("1%", "1"), ("0.5%", "0.5"), ("0%", "0"), ("2,25 %", "2.25"))
            for limit in (Percent(Decimal(share)),)
        ),
        ("limit-money", "0", "at most 0.00 in this run", Policy(limit_money=Decimal(0))),
        ("limit-money", " 10 000,50 ", "at most 10000.50 in this run", Policy(limit_money=Decimal("10000.50"))),
        ("limit-money", "none", "any sum", Policy()),
    ],
)
def test_a_text_changes_one_thing_and_is_told_in_words(name: str, value: str, said: str, now: Policy) -> None:
    policy = policy_with(Policy(), {name: value})
    assert policy == now
    assert describe_settings(policy, [name]) == f"{name}: {said}"


@pytest.mark.parametrize(
    ("name", "says", "values"),
    [
        ("rate", "", "0|-1|nan|inf|fast|1000000"),
        ("in-flight", "", f"0|2.5|1001|{'9' * 5000}"),
        ("max-in-flight", "", "auto"),
        (
            "hours",
            "is not a time range",
            "|night|1-6|01:00|25:00-26:00|01:60-02:00|24:00-01:00|01:00-06:00-|-1:00-06:00",
        ),
        ("hours", "at the same time", "06:00-06:00"),
        ("max-stack", "", "-1"),
        ("max-latency", "", "0|nan|3601"),
        ("throttle-above", "", "inf|much"),
        ("min-disk", "", "1.5|1000001"),
        ("stop-after-errors", "is not a limit of errors", "|some|-1|1.5|%|-1%|100%|101%|nan%|1e3|5 rows|٣"),
        ("limit-money", "is not a limit of money", "|much|-1|10,000|10.000.000|1e6|nan|1.234"),
        ("like-last", "", "50|-1%|1e3%"),
        ("canary", "", "perhaps"),
        ("settle", "", "-1|nan|inf"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(name: str, says: str, values: str) -> None:
    for value in values.split("|"):
        with pytest.raises(ValueError, match=f"^{name}: .*{says}") as refused:
            policy_with(Policy(), {name: value}, ALL)
        assert len(str(refused.value)) < 200
        assert not says or value in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "meant"), [("rte", "rate"), ("in_flight", "in-flight"), ("inflight", "in-flight"), ("HOURS", "hours")]
)
def test_a_name_that_is_nearly_right_gets_a_suggestion(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"there is no setting '{typed}' \(did you mean '{meant}'"):
        policy_with(Policy(), {typed: "1"})


@pytest.mark.parametrize("name", sorted(ALL.keys() - SETTINGS.keys()))
def test_what_a_run_is_taken_up_with_cannot_be_set_while_it_goes(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is set when a run is begun or taken up"):
        policy_with(Policy(), {name: ALL[name].shown(OTHER)})


@pytest.mark.parametrize("name", ALL)
def test_what_is_told_of_a_setting_is_what_it_takes(name: str) -> None:
    third = Policy(rate=1 / 3, in_flight=7, hours=hours_of("22:00-24:00"), limit_money=Decimal("0.01"))
    for policy in (Policy(), OTHER, third, replace(Policy(), stop_after_errors=None)):
        text = ALL[name].shown(policy)
        assert ALL[name].shown(policy_with(policy, {name: text}, ALL)) == text


def test_a_run_keeps_what_is_not_as_by_default_and_is_driven_by_it_again() -> None:
    assert to_settings(Policy()) == {}
    assert to_settings(Policy(rate=5.0, canary=False)) == {"rate": "5", "canary": "no"}
    assert to_settings(OTHER).keys() == ALL.keys()
    for policy in (Policy(), OTHER, Policy(limit_money=Decimal(0)), Policy(throttle_sql=SQL)):
        assert policy_with(Policy(), to_settings(policy), ALL) == policy


def test_in_words_says_what_is_set() -> None:
    assert describe_policy(Policy()) == "parallel calls: automatic, at most 64; stops after 100 errors"
    assert describe_policy(OTHER) == (
        "parallel calls: 8; at most 2.5 calls a second; from 22:00 to 05:30; never held for the stacks; "
        "held while the billing takes longer than 1.5 s for its version; "
        "held while less than 50 MB are free for the journal; stops when more than 1% go wrong; "
        "at most 1000.50 in this run; held while throttle-sql gives more than 5120000.5; "
        "like the last load, up to 12.5%; begins with all rows at once; looks lost answers up after 0.1 s"
    )


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
async def test_a_run_that_may_not_wait_ends_outside_and_knows_the_begin(hours: str, now: str, seconds: float) -> None:
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
    # Of one that is gone nothing is asked where nothing is wanted.
    assert await read_disk(tmp_path / "nowhere", 0) is None
    with pytest.raises(LookUpFailed, match="nowhere: No such file"):
        await read_disk(tmp_path / "nowhere", 1)


class Found:
    """A disk with so much free."""

    f_frsize = 4096

    def __init__(self, free: int) -> None:
        self.f_bavail = free // self.f_frsize


@pytest.mark.parametrize(
    ("megabytes", "held", "stopped"), [(230, False, False), (199, True, False), (60, True, False), (40, True, True)]
)
async def test_a_disk_nearly_full_holds_or_ends(
    megabytes: int, held: bool, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: Found(megabytes * 1_000_000))
    measure = await read_disk(Path("journal"), 200_000_000)
    assert measure is not None
    assert (measure.value > measure.high, measure.value > measure.end) == (held, stopped)


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


def budget_of(outcomes: str) -> ErrorBudget:
    """A budget after rows that came out right (`.`) and wrong (`x`)."""
    budget = ErrorBudget()
    for outcome in outcomes:
        budget.add(wrong=outcome == "x")
    return budget


@pytest.mark.parametrize(("wrong", "of", "spent"), [(1, 100, False), (2, 100, True), (5, 500, False), (6, 500, True)])
def test_a_share_is_spent_when_it_is_passed_in_the_first_thousand_too(wrong: int, of: int, spent: bool) -> None:
    budget = budget_of("x" * wrong + "." * (of - wrong))
    assert (budget.spent(Percent(Decimal(1))) is not None) == spent


def test_a_run_that_goes_wrong_late_is_seen_in_its_last_rows_and_in_no_others() -> None:
    one = Percent(Decimal(1))
    assert budget_of("." * 100_000 + "x" * 10).spent(one) is None
    assert budget_of("." * 100_000 + "x" * 11).spent(one) == "11 of the last 1000 rows went wrong"
    assert budget_of("." * 2000 + "x" * 9 + "." * LAST + "x" * 9).spent(one) is None


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


def taken(budget: RetryBudget, now: float) -> int:
    """How many retries may be made at one moment."""
    count = 0
    while budget.take(now):
        count += 1
    return count


def test_a_run_begins_with_a_few_retries_and_then_earns_a_share_of_its_successes() -> None:
    budget = RetryBudget(share=0.1, floor=1e-9)
    # One that brings its row to its end costs nothing.
    for _ in range(100):
        assert budget.take(0.0)
        budget.answered()
    assert taken(budget, 0.0) == SAVED
    for _ in range(49):
        budget.succeeded()
    assert taken(budget, 0.0) == 4
    budget.succeeded()
    assert taken(budget, 0.0) == 1


@given(floor=st.floats(0.01, 100), began=st.floats(0, 1e6))
def test_who_waits_as_long_as_he_is_told_finds_one(floor: float, began: float) -> None:
    budget = RetryBudget(share=0.1, floor=floor)
    taken(budget, began)
    now = began
    for _ in range(20):
        now += budget.wait(now)
        assert budget.take(now)
        assert not budget.take(now)


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


def test_the_first_ten_rows_are_watched_and_no_other() -> None:
    canary, without_line = Canary(wanted=True), msgspec.structs.replace(item(3), line=None)
    for answered in range(1, 12):
        canary.answered()
        assert (canary.alarm(item(3), "no such tariff", "k7m2q") is not None) == (answered <= 10)
        assert ("row 3 (subscriber 3)" in str(canary.alarm(without_line, "no account", "k7m2q"))) == (answered <= 10)
