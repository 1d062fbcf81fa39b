"""What a person can do to a live run, as far as it shows without one: settings, pauses, the status."""

import json
from decimal import Decimal

import anyio
import pytest

from checkpoints.records import Totals
from checkpoints.states import State
from engine.budget import Percent
from engine.hours import hours_of
from engine.policy import Policy
from engine.progress import Progress, Sending
from engine.steering import SETTINGS, Steering, in_words
from engine.stop import Stop, StopKind

pytestmark = pytest.mark.virtual_clock

NAMES = ("rate", "in-flight", "max-in-flight", "hours", "max-stack", "stop-after-errors", "limit-money")


def steering_of(policy: Policy | None = None) -> Steering:
    return Steering(policy or Policy(), Progress(), Stop())


async def test_all_settings_are_told_with_their_values() -> None:
    assert steering_of().get() == {
        "rate": "none",
        "in-flight": "auto",
        "max-in-flight": "64",
        "hours": "always",
        "max-stack": "1000",
        "stop-after-errors": "100",
        "limit-money": "none",
    }
    policy = Policy(
        rate=2.5,
        in_flight=8,
        max_in_flight=16,
        hours=hours_of("22:00-05:30"),
        max_stack=0,
        stop_after_errors=Percent(Decimal(1)),
        limit_money=Decimal("1000.50"),
    )
    assert tuple(steering_of(policy).get().values()) == ("2.5", "8", "16", "22:00-05:30", "0", "1%", "1000.50")


@pytest.mark.parametrize(
    ("name", "value", "said", "now"),
    [
        ("rate", "20", "rate: at most 20 calls a second", Policy(rate=20.0)),
        ("rate", "none", "rate: as many calls a second as the window lets through", Policy()),
        ("in-flight", "8", "in-flight: 8 in flight", Policy(in_flight=8)),
        (
            "in-flight",
            "auto",
            "in-flight: as many in flight as the billing takes well, 64 at most",
            Policy(),
        ),
        (
            "max-in-flight",
            "32",
            "max-in-flight: 32 in flight at most, while in-flight is auto",
            Policy(max_in_flight=32),
        ),
        ("hours", "01:00-06:00", "hours: from 01:00 to 06:00", Policy(hours=hours_of("01:00-06:00"))),
        ("hours", "always", "hours: at all hours", Policy()),
        ("max-stack", "5000", "max-stack: held above 5,000 entries in a stack", Policy(max_stack=5000)),
        ("max-stack", "never", "max-stack: never held for the stacks", Policy(max_stack=0)),
        ("stop-after-errors", "50", "stop-after-errors: stops after 50 errors", Policy(stop_after_errors=50)),
        (
            "stop-after-errors",
            "1%",
            "stop-after-errors: stops when more than 1% go wrong",
            Policy(stop_after_errors=Percent(Decimal(1))),
        ),
        ("stop-after-errors", "never", "stop-after-errors: never stops for errors", Policy(stop_after_errors=None)),
        (
            "limit-money",
            " 10 000,50 ",
            "limit-money: at most 10,000.50 in this run",
            Policy(limit_money=Decimal("10000.50")),
        ),
        ("limit-money", "none", "limit-money: any sum", Policy()),
    ],
)
async def test_a_change_takes_effect_and_is_told_in_words(name: str, value: str, said: str, now: Policy) -> None:
    steering = steering_of()
    heard: list[Policy] = []
    steering.listen(lambda: heard.append(steering.policy))
    assert steering.change(name, value) == said
    assert steering.policy == now
    assert heard == [now]


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
        ("stop-after-errors", "some"),
        ("limit-money", "much"),
    ],
)
async def test_a_bad_value_is_refused_with_a_sentence_and_changes_nothing(name: str, value: str) -> None:
    steering = steering_of()
    with pytest.raises(ValueError, match=f"^{name}: ") as refused:
        steering.change(name, value)
    assert len(str(refused.value)) < 200
    assert steering.policy == Policy()


async def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="there is no setting 'speed': rate, in-flight, "):
        steering_of().change("speed", "1")


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_told_of_a_setting_is_what_it_takes(name: str) -> None:
    assert tuple(SETTINGS) == NAMES
    policy = Policy(
        rate=1 / 3, in_flight=7, hours=hours_of("22:00-24:00"), limit_money=Decimal("0.01"), stop_after_errors=None
    )
    for before in (Policy(), policy):
        steering = steering_of(before)
        steering.change(name, steering.get()[name])
        assert steering.get() == steering_of(before).get()


async def test_in_words_says_what_is_set() -> None:
    assert in_words(Policy()) == ("as many in flight as the billing takes well, 64 at most; stops after 100 errors")
    policy = Policy(in_flight=4, rate=5.0, hours=hours_of("1:00-6:00"), limit_money=Decimal(100))
    assert in_words(policy) == (
        "4 in flight; at most 5 calls a second; from 01:00 to 06:00; "
        "stops after 100 errors; at most 100.00 in this run"
    )


async def test_who_paused_first_is_told_until_it_goes_on() -> None:
    steering = steering_of()
    steering.pause("olga@ops")
    steering.pause("anna@ops")
    assert (steering.look().held, steering.look().paused) == ("paused by olga@ops", True)
    await anyio.sleep(5)
    steering.go_on()
    steering.go_on()
    assert (steering.look().held, steering.look().paused) == (None, False)
    assert steering.look().held_seconds == {"paused": 5.0}


async def test_a_run_can_begin_paused() -> None:
    assert Steering(Policy(), Progress(), Stop(), paused_by="olga@ops").look().why == "paused by olga@ops"


async def test_a_stop_is_that_of_a_person() -> None:
    steering = steering_of()
    steering.stop("olga@ops")
    assert (steering.stopping.kind, steering.stopping.reason) == (StopKind.INTERRUPTED, "stopped by olga@ops")


async def test_the_status_is_plain_and_tells_where_the_run_stands() -> None:
    steering = steering_of()
    progress = steering.progress
    progress.take_up(Totals({State.PENDING: 90, State.SKIPPED: 10}), intake_ended=True)
    progress.sending = lambda: Sending(3, 4, "rate cap")
    for _ in range(20):
        await anyio.sleep(0.5)
        progress.moved(State.PENDING, State.SENDING)
        progress.called(0.25)
        progress.moved(State.SENDING, State.ACCEPTED)
    progress.moved(State.PENDING, State.SENDING)
    progress.moved(State.SENDING, State.REJECTED)
    progress.met("subscriber 7", "no account 17")
    progress.retries = 2
    status = steering.status()
    assert status == json.loads(json.dumps(status))
    assert status == {
        "counts": {"pending": 69, "skipped": 10, "accepted": 20, "rejected": 1},
        "total": 100,
        "done": 31,
        "skipped": 10,
        "refused": 0,
        "intake_ended": True,
        "calls": 20,
        "retries": 2,
        "seconds": 10.0,
        "rate": pytest.approx(2.1, abs=0.3),
        "average": 2.1,
        "eta": pytest.approx(33, abs=5),
        "in_flight": 3,
        "window": 4,
        "p50": pytest.approx(0.25, rel=0.06),
        "p95": pytest.approx(0.25, rel=0.06),
        "why": "rate cap",
        "held": None,
        "held_seconds": {},
        "paused": False,
        "errors": {"no account": 1},
        "last_error": "subscriber 7: no account 17",
    }
    assert (steering.look().sent, steering.look().to_send) == (21, 90)


async def test_nobody_can_tell_the_end_of_what_is_held_or_still_read() -> None:
    steering = steering_of()
    progress = steering.progress
    progress.take_up(Totals({State.PENDING: 90}), intake_ended=False)
    await anyio.sleep(1)
    progress.moved(State.PENDING, State.ACCEPTED, 10)
    assert steering.look().eta is None
    progress.intake_ended = True
    assert steering.look().eta is not None
    progress.hold("9 in doubt: looking them up in 30 s")
    assert (steering.look().eta, steering.look().why) == (None, "9 in doubt: looking them up in 30 s")
    progress.hold(None)
    await anyio.sleep(60)
    assert steering.look().eta is None  # nothing has come to its end for a while
