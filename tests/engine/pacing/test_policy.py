"""The settings: what their texts mean, how they are told, and that what a run keeps is what it was driven by."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.pacing.gauges import hours_of
from engine.pacing.limits import Percent
from engine.pacing.policy import (
    ALL,
    SETTINGS,
    Policy,
    describe_settings,
    policy_with,
    to_settings,
)

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
        (
            "stop-after-errors",
            "1%",
            "stops when more than 1% go wrong",
            Policy(stop_after_errors=Percent(Decimal(1))),
        ),
        ("stop-after-errors", "never", "never stops for errors", Policy(stop_after_errors=None)),
        ("limit-money", " 10 000,50 ", "at most 10000.50 in this run", Policy(limit_money=Decimal("10000.50"))),
        ("limit-money", "none", "any sum", Policy()),
    ],
)
def test_a_text_changes_one_thing_and_is_told_in_words(name: str, value: str, said: str, now: Policy) -> None:
    policy = policy_with(Policy(), {name: value})
    assert policy == now
    assert describe_settings(policy, [name]) == f"{name}: {said}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", "0"),
        ("rate", "-1"),
        ("rate", "nan"),
        ("rate", "inf"),
        ("rate", "fast"),
        ("rate", "1000000"),
        ("in-flight", "0"),
        ("in-flight", "2.5"),
        ("in-flight", "1001"),
        ("in-flight", "9" * 5000),
        ("max-in-flight", "auto"),
        ("hours", "night"),
        ("max-stack", "-1"),
        ("max-latency", "0"),
        ("max-latency", "nan"),
        ("max-latency", "3601"),
        ("throttle-above", "inf"),
        ("throttle-above", "much"),
        ("min-disk", "1.5"),
        ("min-disk", "1000001"),
        ("stop-after-errors", "some"),
        ("limit-money", "much"),
        ("canary", "perhaps"),
        ("settle", "-1"),
        ("settle", "nan"),
        ("settle", "inf"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: ") as refused:
        policy_with(Policy(), {name: value}, ALL)
    assert len(str(refused.value)) < 200


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
