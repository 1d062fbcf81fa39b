"""What tests do over and over with whole runs, and with subscribers as a table has them and their steps in order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from billing.api.calls import NOTHING
from checkpoints.journal import Journal
from checkpoints.records import Item, NewItem, NewRun, Run
from checkpoints.states import State
from engine.evidence import Accepted
from engine.job import Job, Prepared, Row, RowPage, Source
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy, Progress
from jobs.access.gateway import Gateway
from jobs.access.payload import encode_payload, payload_of
from jobs.effects.effect import CallEffect
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import NUMBER, Part, Place, Step, Subscriber, Value
from jobs.job import BillingJob
from jobs.undo import EarlierItems, UndoJob
from tests.checkpoints.samples import sending_item
from tests.jobs.making import RUN


def subscriber(number: str, line: int = 1, *parts: tuple[Step, Mapping[str, str]], **person: str) -> Subscriber:
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
    own = {Step.FOLDER: {"path": folder}, Step.ACCOUNT: {"login": login, "pull": "6"}}
    parts = [(step, own.get(step, values)) for step, values in WHOLE]
    return subscriber(number, line, *parts, name="Новиков Пётр", sms="+79001234567")


async def planned(effect: SubscriberSteps, subscribers: Sequence[Subscriber]) -> list[Item]:
    """The items of these subscribers' steps, none of them refused; those that are skipped are so."""
    done = await effect.plan_subscribers(subscribers)
    assert done.refusals == ()
    return [_frozen(new, number) for number, new in enumerate(done.items, 1)]


def _frozen(new: NewItem, number: int) -> Item:
    state = State.SKIPPED if new.skip_reason else State.PENDING
    return msgspec.structs.replace(sending_item(new, number), state=state, attempts=0)


def filled(effect: CallEffect, item: Item, done: Mapping[str, Item]) -> Item:
    """The item as it is sent, once those that it needs are there."""
    needed = {key: done[key] for key in effect.needs(item)}
    return msgspec.structs.replace(item, payload=effect.fill(item, needed))


async def step_by_step(effect: SubscriberSteps, items: Sequence[Item]) -> list[Item]:
    """The items after their calls, each accepted, with its answer; skipped ones as they are."""
    done: dict[str, Item] = {}
    for item in items:
        done[item.key] = item if item.state is State.SKIPPED else await _sent(effect, filled(effect, item, done))
    return list(done.values())


async def _sent(effect: SubscriberSteps, item: Item) -> Item:
    payloads = await effect.read_before_images([item])
    ready = msgspec.structs.replace(item, payload=encode_payload(payloads.get(item.item_id, payload_of(item))))
    evidence = await effect.send(RUN, ready)
    assert isinstance(evidence, Accepted), (item.key, evidence)
    return msgspec.structs.replace(ready, state=State.ACCEPTED, answer=evidence.answer)


@dataclass(frozen=True, slots=True)
class TableInMemory(Source):
    subscribers: Sequence[Subscriber]
    name: str = "subscribers"
    header: tuple[str, ...] = (NUMBER, "name")

    def pages(self, after: str | None) -> Iterator[RowPage]:
        if not after:
            yield RowPage(tuple(one.row for one in self.subscribers), (), str(len(self.subscribers)))


class TableJob(BillingJob):
    """An import of subscribers that stand in memory, by their rows."""

    def __init__(self, gateway: Gateway, subscribers: Sequence[Subscriber], *, change: bool = False) -> None:
        self.steps = SubscriberSteps(gateway, change=change)
        super().__init__("import", gateway, self.steps)
        self._by_row = {one.row: one for one in subscribers}
        self._source = TableInMemory(subscribers)

    @property
    def source(self) -> Source:
        return self._source

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        return await self.steps.plan_subscribers([self._by_row[row] for row in rows])


POLICY = Policy(in_flight=4, settle=0, tries=1000, retry_floor=1000.0, stop_after_errors=None, canary=False)


async def approved(
    job: Job, journal: Journal, parameters: Mapping[str, str] = NOTHING, enter: Repeat = Repeat.ONCE
) -> Run:
    """A run of the job whose list is approved, and of which nothing is sent."""
    source = job.source
    paced = {"settle": f"{POLICY.settle:g}"}
    new = NewRun(job.name, parameters, "http://billing", source.name, source.digest, source.header, paced)
    run = await journal.create_run(new)
    await Intake(run, job, journal, Progress(), enter=enter).freeze_all()
    await journal.approve(run)
    return run


async def carried_out(
    job: Job,
    journal: Journal,
    meanwhile: Callable[[], None] = lambda: None,
    parameters: Mapping[str, str] = NOTHING,
    enter: Repeat = Repeat.ONCE,
) -> Run:
    """A run of the job from its first row to its end; `meanwhile` runs between the list and the first call."""
    run = await approved(job, journal, parameters, enter)
    meanwhile()
    return await sent_to_the_end(job, journal, run.name)


async def sent_to_the_end(job: Job, journal: Journal, name: str, policy: Policy = POLICY) -> Run:
    run = await journal.run(name)
    await Pipeline(run, job, journal, LivePolicy(policy, Progress(), Stop())).migrate()
    return await journal.run(name)


def undo_of(gateway: Gateway, journal: Journal, run: Run, *, takes_unproven: bool = False, **how: str) -> UndoJob:
    back = SubscriberSteps(gateway).undo(how)
    assert isinstance(back, CallEffect)
    source = EarlierItems(run, journal, last_first=True)
    return UndoJob(gateway, journal, source, back, takes_unproven=takes_unproven)


async def states(journal: Journal, run: Run) -> dict[str, tuple[State, str]]:
    """The state and the message of each item of a run, by key."""
    return {item.key: (item.state, item.message or "") for item in await journal.items(run, set(State), size=100_000)}
