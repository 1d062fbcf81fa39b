"""What a person can do to a live run, as far as it shows without one: policies, pauses, the status."""

import json
from decimal import Decimal

import anyio
import pytest

from checkpoints.records import Totals
from checkpoints.states import State
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress, Sending

pytestmark = pytest.mark.virtual_clock


def steering_of(policy: Policy | None = None) -> LivePolicy:
    return LivePolicy(policy or Policy(), Progress(), Stop())


async def test_who_paused_first_is_told_until_it_goes_on() -> None:
    steering = steering_of()
    steering.pause("olga@ops")
    steering.pause("anna@ops")
    assert (steering.look().held, steering.look().paused) == ("paused by olga@ops", True)
    await anyio.sleep(5)
    steering.unpause()
    steering.unpause()
    assert (steering.look().held, steering.look().paused) == (None, False)
    assert steering.look().held_seconds == {"paused": 5.0}


async def test_the_status_is_plain_and_tells_where_the_run_stands() -> None:
    steering = steering_of()
    progress = steering.progress
    sums = {State.PENDING: Decimal("22.50"), State.SKIPPED: Decimal(7)}
    progress.take_up(Totals({State.PENDING: 90, State.SKIPPED: 10}, sums), intake_ended=True)
    progress.sending = lambda: Sending(3, 4, "rate 20")
    for _ in range(20):
        await anyio.sleep(0.5)
        progress.moved(State.PENDING, State.SENDING, amount=Decimal("0.25"))
        progress.called(0.25)
        progress.moved(State.SENDING, State.ACCEPTED, amount=Decimal("0.25"))
    progress.moved(State.PENDING, State.SENDING, amount=Decimal("0.25"))
    progress.moved(State.SENDING, State.REJECTED, amount=Decimal("0.25"))
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
        "why": "rate 20",
        "held": None,
        "held_seconds": {},
        "paused": False,
        "errors": {"no account 17": 1},
        "last_error": "subscriber 7: no account 17",
        "entered": "5.00",
        "has_steps": False,
        "amounts": {"pending": "17.25", "skipped": "7", "accepted": "5.00", "rejected": "0.25"},
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
