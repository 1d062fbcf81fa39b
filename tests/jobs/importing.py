"""What the tests of an import do over and over: subscribers as a table has them, and their steps in their order."""

from collections.abc import Mapping, Sequence

import msgspec

from checkpoints.records import Item, NewItem, Run
from checkpoints.states import State
from engine.evidence import Accepted
from engine.rows import Row
from jobs.access.payload import encode_payload, payload_of
from jobs.effects.effect import CallEffect
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import NUMBER, Part, Place, Step, Subscriber, Value
from tests.jobs.conftest import Frozen


def subscriber(number: str, line: int = 1, *parts: tuple[Step, Mapping[str, str]], **person: str) -> Subscriber:
    """A subscriber with its fields, and its other parts."""
    own = (Step.SUBSCRIBER, {NUMBER: number, **person})
    made = tuple(
        Part(step, {name: Value(text, Place(line, name)) for name, text in values.items()})
        for step, values in (own, *parts)
    )
    return Subscriber(Row(line, (number, *person.values())), number, made)


WHOLE: tuple[tuple[Step, dict[str, str]], ...] = (
    (Step.FOLDER, {"path": "Дома/Новые"}),
    (Step.ACCOUNT, {"login": "novikov", "pull": "6"}),
    (Step.TARIFF, {"tarif_id": "2"}),
    (Step.SERVICE, {"usluga_id": "126", "manager_id": "33"}),
    (Step.ATTRIBUTE, {"attribute_id": "7", "attribute_value": "0015"}),
    (Step.THRESHOLD, {"limit_warning": "-50.00"}),
    (Step.LIMIT, {"limit": "-100"}),
    (Step.BALANCE, {"op_summa": "12.50"}),
)
"""A part of each step."""


def whole(number: str = "00777", line: int = 1, login: str = "novikov", folder: str = "Дома/Новые") -> Subscriber:
    """A subscriber that has a part of each step."""
    own = {Step.FOLDER: {"path": folder}, Step.ACCOUNT: {"login": login, "pull": "6"}}
    parts = [(step, own.get(step, values)) for step, values in WHOLE]
    return subscriber(number, line, *parts, name="Новиков Пётр", sms="+79001234567")


async def planned(effect: SubscriberSteps, subscribers: Sequence[Subscriber], frozen: Frozen) -> list[Item]:
    """The items of these subscribers' steps, none of them refused; those that are skipped are so."""
    done = await effect.plan_subscribers(subscribers)
    assert done.refusals == ()
    return [_frozen(new, number, frozen) for number, new in enumerate(done.items, 1)]


def _frozen(new: NewItem, number: int, frozen: Frozen) -> Item:
    state = State.SKIPPED if new.skip_reason else State.PENDING
    return msgspec.structs.replace(frozen(new, number), state=state, attempts=0)


def filled(effect: CallEffect, item: Item, done: Mapping[str, Item]) -> Item:
    """The item as it is sent, once those that it needs are there."""
    needed = {key: done[key] for key in effect.needs(item)}
    return msgspec.structs.replace(item, payload=effect.fill(item, needed))


async def step_by_step(effect: SubscriberSteps, run: Run, items: Sequence[Item]) -> list[Item]:
    """The items after their calls, each accepted, with its answer; skipped ones as they are."""
    done: dict[str, Item] = {}
    for item in items:
        done[item.key] = item if item.state is State.SKIPPED else await _sent(effect, run, filled(effect, item, done))
    return list(done.values())


async def _sent(effect: SubscriberSteps, run: Run, item: Item) -> Item:
    payloads = await effect.read_before_images([item])
    ready = msgspec.structs.replace(item, payload=encode_payload(payloads.get(item.item_id, payload_of(item))))
    evidence = await effect.send(run, ready)
    assert isinstance(evidence, Accepted), (item.key, evidence)
    return msgspec.structs.replace(ready, state=State.ACCEPTED, answer=evidence.answer)
