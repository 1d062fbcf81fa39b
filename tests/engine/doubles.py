"""A billing in memory that fails as it is told to, and a journal and a run in memory for tests on a virtual clock."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Self

import anyio
import anyio.lowlevel
import msgspec
from msgspec import structs

from checkpoints.errors import ForbiddenTransition, RunTakenOver
from checkpoints.history import History
from checkpoints.journal import Journal
from checkpoints.lease import Lease
from checkpoints.records import Change, Item, LookUps, NewItem, Reason, Refusal, Run, StandingItem, Totals
from checkpoints.states import State, may_follow, states_where
from checkpoints.transitions import NO_PAYLOADS
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, Evidence, Lost, RowRefused
from engine.job import (
    ALL_BEFORE,
    Absent,
    AskMates,
    BeforeImageMode,
    CannotLook,
    Effect,
    Entries,
    Found,
    Job,
    LookUpResult,
    Prepared,
    ReadBack,
    Row,
    RowPage,
    Source,
)
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy, policy_with
from engine.pacing.throttle import Gauge
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy, Progress, Status
from tests.checkpoints.samples import sending_item
from tests.virtual_clock import settle

NOW = datetime(2025, 11, 24, 12, 0, tzinfo=UTC)

A_RUN = Run(
    "fake", {}, "http://billing", "memory", run_id=1, name="k7m2q", created_at=NOW, frozen_at=NOW, approved_at=NOW
)


def change(steering: LivePolicy, name: str, value: str) -> None:
    """What `set` does to a run."""
    steering.take(policy_with(steering.policy, {name: value}))


def row(key: str, amount: str = "1.10", *, lane: str | None = None) -> NewItem:
    return NewItem(key, f"subscriber {key}", lane or f"account {key}", "{}", Decimal(amount), None, (key,))


def rows(count: int, *, lanes: int | None = None, amount: str = "1.10") -> list[NewItem]:
    """Rows of keys "0", "1" and so on, dealt out to `lanes` lanes in turn, or each in its own."""
    return [row(str(key), amount, lane=f"account {key % (lanes or count)}") for key in range(count)]


def item(
    number: int,
    *,
    lane: str | None = None,
    state: State = State.PENDING,
    amount: str = "1.10",
    key: str | None = None,
) -> Item:
    new = structs.replace(row(key or str(number), amount, lane=lane or f"account {number}"), line=number + 1)
    return msgspec.structs.replace(sending_item(new, number), item_id=1000 + number, state=state, attempts=0)


@dataclass(slots=True)
class MemorySource(Source):
    """Rows that are places in a list, `page` at a time; `before_page` is called in the reading thread."""

    count: int
    page: int = 10
    name: str = "memory"
    digest: str = ""
    header: tuple[str, ...] = ("id",)
    is_read_whole: bool = False
    before_page: Callable[[int], None] = lambda _start: None
    refusals: Mapping[int, Refusal] = field(default_factory=dict)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        start = int(after or 0)
        while start < self.count:
            self.before_page(start)
            end = min(start + self.page, self.count)
            yield RowPage(
                tuple(Row(None, (str(place),)) for place in range(start, end)),
                tuple(self.refusals[place] for place in range(start, end) if place in self.refusals),
                str(end),
            )
            start = end


@dataclass(frozen=True, slots=True)
class Call:
    """How one call goes: what is seen of it, and whether it has its effect."""

    evidence: Evidence
    effect: bool = False


LOST_WITH_EFFECT = Call(Lost("reset"), effect=True)
LOST_WITHOUT = Call(Lost("reset"))


async def _at_once(_item: Item) -> None:
    await asyncio.sleep(0)


class FakeJob(Effect, Job):
    """A job on a billing in memory, and its effect.

    `plan` says for a key how its calls go, one after the other; a call without a plan is accepted. `during` runs in
    every call, before its effect; `after` runs between the effect and the answer.
    """

    name = "fake"
    source: MemorySource = MemorySource(0)

    def __init__(
        self,
        new: Sequence[NewItem] = (),
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        repeatable: bool = False,
        page: int = 10,
    ) -> None:
        self.effect = self
        self.repeatable = repeatable
        self.source = MemorySource(len(new), page)
        self.new = list(new)
        self.plan = {key: deque(calls) for key, calls in (plan or {}).items()}
        self.during: Callable[[Item], Awaitable[None]] = _at_once
        self.after: Callable[[Item], Awaitable[None]] = _at_once
        self.effects: Counter[str] = Counter()
        self.calls: list[str] = []
        self.by_lane: defaultdict[str, list[str]] = defaultdict(list)
        self.in_flight: Counter[str] = Counter()
        self.most_in_lane = 0
        self.asked: list[tuple[str, list[str]]] = []
        self.sightings: dict[str, LookUpResult | None] = {}
        self.look_up_error: LookUpFailed | None = None
        self.unfinished_for: deque[str | None] = deque()
        self.readings: dict[str, ReadBack | CannotLook | None] = {}
        self.entries: dict[str, Entries] = {}
        self.probes = 0
        self.probe_errors: deque[LookUpFailed] = deque()
        self.report: Callable[[int], None] = lambda _: None

    @contextmanager
    def doubts(self, report: Callable[[int], None]) -> Iterator[None]:
        self.report = report
        yield

    @property
    def looked_up(self) -> list[list[str]]:
        """The keys of each look-up."""
        return [keys for what, keys in self.asked if what == "look up"]

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        return Prepared(tuple(self.new[int(one.cells[0])] for one in rows), ())

    async def try_out(self) -> None:
        return

    async def send(self, run: Run, item: Item) -> Evidence:
        self.calls.append(item.key)
        self.by_lane[item.lane].append(item.key)
        self.in_flight[item.lane] += 1
        self.most_in_lane = max(self.most_in_lane, self.in_flight[item.lane])
        try:
            await self.during(item)
            left = self.plan.get(item.key)
            call = left.popleft() if left else Call(Accepted(f"id {item.key}"), effect=True)
            self.effects[item.key] += call.effect
            await self.after(item)
            return call.evidence
        finally:
            self.in_flight[item.lane] -= 1

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        self.asked.append(("unfinished_work", [one.key for one in items]))
        return self.unfinished_for.popleft() if self.unfinished_for else None

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        assert self.in_flight.total() == 0, "looked up while calls were in flight"
        if self.look_up_error:
            raise self.look_up_error
        self.asked.append(("look up", [one.key for one in items]))
        seen = {one.item_id: self._sighting(one) for one in items}
        return {item_id: sighting for item_id, sighting in seen.items() if sighting is not None}

    def _sighting(self, item: Item) -> LookUpResult | None:
        if item.key in self.sightings:
            return self.sightings[item.key]
        return Found(f"id {item.key}", marked=True) if self.effects[item.key] else Absent()

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        if self.look_up_error:
            raise self.look_up_error
        seen = {one.item_id: self.readings.get(one.key, ReadBack(one.amount)) for one in items}
        return {item_id: reading for item_id, reading in seen.items() if reading is not None}

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        return {one.key: self.entries[one.key] for one in items if one.key in self.entries}

    def describe(self, run_name: str, item: Item) -> str:
        return f"{run_name}/{item.number}: {item.payload}"

    async def probe(self) -> None:
        self.probes += 1
        if self.probe_errors:
            raise self.probe_errors.popleft()


class OverwritingJob(FakeJob):
    """One that sets something for each key to `SET`, and keeps in the payload what there was.

    `there` is what there is; a key that is not in it has "old".
    """

    SET = "set"

    def __init__(
        self,
        new: Sequence[NewItem] = (),
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        keeps: BeforeImageMode = BeforeImageMode.TOGETHER,
        page: int = 10,
    ) -> None:
        super().__init__(new, plan, repeatable=True, page=page)
        self.keeps = keeps
        self.there: defaultdict[str, str] = defaultdict(lambda: "old")
        self.read: list[list[str]] = []
        self.read_errors: deque[LookUpFailed] = deque()
        self.overwritten: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        """By key, of each call that had its effect what there was and what the item said there was."""

    async def renew_before_images(self, items: Sequence[Item], mates: AskMates) -> Mapping[int, str]:
        self.read.append([one.key for one in items])
        await asyncio.sleep(0)
        if self.read_errors:
            raise self.read_errors.popleft()
        return {one.item_id: self.there[one.key] for one in items if self._is_news(one)}

    def _is_news(self, one: Item) -> bool:
        now = self.there[one.key]
        return now != one.payload and not (one.attempts and now == self.SET)

    async def send(self, run: Run, item: Item) -> Evidence:
        before = self.effects[item.key]
        evidence = await super().send(run, item)
        if self.effects[item.key] > before:
            self.overwritten[item.key].append((self.there[item.key], item.payload))
            self.there[item.key] = self.SET
        return evidence


class MemoryHistory(History):
    """Adds up look-ups, without a file."""

    def __init__(self) -> None:
        self.looked_up = LookUps()

    async def note_look_ups(self, run: Run, look_ups: LookUps) -> None:
        so_far = self.looked_up
        self.looked_up = LookUps(
            so_far.found + look_ups.found, so_far.absent + look_ups.absent, so_far.left + look_ups.left
        )


class MemoryJournal(Journal):
    """What a started pipeline asks of a journal, without a file and without threads."""

    def __init__(self, *items: Item) -> None:
        self.path = Path("memory")
        self.history = self.noted = MemoryHistory()
        self.kept = {one.item_id: one for one in items}
        self._by_key = {one.key: one.item_id for one in items}
        self.recorded: list[list[Change]] = []
        self.taken_over = False
        self.lease = Lease()

    def lease_of(self, run: Run) -> Lease:
        return self.lease

    async def confirm(self, run: Run) -> None:
        self._check(run)

    def _check(self, run: Run) -> None:
        if self.taken_over:
            raise RunTakenOver(f"run {run.name} was taken over by process 4711 on elsewhere")

    async def in_effect(self, run: Run, *, after: int = 0, size: int = 1000) -> list[Item]:
        return await self.items(run, states_where(in_effect=True), after=after, size=size)

    async def lanes_gone(self, run: Run, lanes: Collection[str]) -> set[str]:
        return set()

    async def set_since(self, run: Run, keys: Collection[str], lanes: Collection[str]) -> list[StandingItem]:
        return []

    async def taken_back(self, run: Run) -> dict[str, int]:
        return {}

    async def restored_by(self, item_ids: Collection[int]) -> dict[int, tuple[str, int, str]]:
        return {}

    async def doubt(self, run: Run) -> int:
        self._check(run)
        sending = [one for one in self.kept.values() if one.state is State.SENDING]
        self._move([Change(one.item_id, State.UNKNOWN) for one in sending])
        return len(sending)

    async def claim(self, run: Run, item_ids: Sequence[int], payloads: Mapping[int, str] = NO_PAYLOADS) -> None:
        self._check(run)
        self._move([Change(item_id, State.SENDING) for item_id in item_ids])
        await self.keep(run, payloads)
        for item_id in item_ids:
            self.kept[item_id] = msgspec.structs.replace(self.kept[item_id], attempts=self.kept[item_id].attempts + 1)

    async def keep(self, run: Run, payloads: Mapping[int, str]) -> None:
        self._check(run)
        for item_id, payload in payloads.items():
            self.kept[item_id] = msgspec.structs.replace(self.kept[item_id], payload=payload)

    async def record(self, run: Run, changes: Sequence[Change]) -> list[Item]:
        self._check(run)
        self._move(changes)
        self.recorded.append(list(changes))
        return []

    async def doubt_answers(self, run: Run, item_ids: Collection[int], why: str) -> list[Item]:
        self._check(run)
        doubted = [item_id for item_id in item_ids if self.kept[item_id].state is State.ACCEPTED]
        self._move([Change(item_id, State.UNKNOWN, message=why) for item_id in doubted])
        return [self.kept[item_id] for item_id in doubted]

    async def items(self, run: Run, states: Collection[State], *, after: int = 0, size: int = 1000) -> list[Item]:
        found = [one for one in self.kept.values() if one.state in states and one.number > after]
        return sorted(found, key=lambda one: one.number)[:size]

    async def items_by_key(self, run: Run, keys: Collection[str]) -> list[Item]:
        return [self.kept[self._by_key[key]] for key in keys if key in self._by_key]

    async def last_unsettled(self, run: Run, before: int) -> list[Item]:
        return [one for one in self.kept.values() if one.number < before and not one.state.settled][-1:]

    async def absolute_sum(self, run: Run, states: Collection[State]) -> Decimal:
        return sum((abs(one.amount or Decimal(0)) for one in self.kept.values() if one.state in states), Decimal(0))

    async def totals(self, run: Run) -> Totals:
        amounts: defaultdict[State, Decimal] = defaultdict(Decimal)
        for one in self.kept.values():
            amounts[one.state] += one.amount or 0
        return Totals(Counter(one.state for one in self.kept.values()), amounts)

    async def reasons(self, run: Run, state: State, *, size: int = 20) -> list[Reason]:
        messages = [one.message or "" for one in self.kept.values() if one.state is state]
        return [Reason(text, 1, Decimal(0), None, "", text) for text in messages[:size]]

    def states(self) -> dict[str, State]:
        return {one.key: one.state for one in self.kept.values()}

    def _move(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if not may_follow(self.kept[change.item_id].state, change.state):
                raise ForbiddenTransition(f"{self.kept[change.item_id].state} to {change.state}")
        now = (NOW + timedelta(seconds=anyio.current_time())).isoformat(timespec="milliseconds")
        for change in changes:
            old = self.kept[change.item_id]
            self.kept[change.item_id] = msgspec.structs.replace(
                old, state=change.state, answer=change.answer or old.answer, message=change.message, changed_at=now
            )


# ---- items that need one another ---------------------------------------------------------------------------------


class SteppedJob(FakeJob):
    """`needed` has the keys that each key needs. An effect shows `lag` seconds after its call, or as `lags` says.

    The answers of the needed items become the payload. A call fails the test if what it needs does not show.
    """

    has_steps = True

    def __init__(
        self,
        needed: Mapping[str, Sequence[str]],
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        new: Sequence[NewItem] = (),
        lag: float = 0.0,
        there: Collection[str] = (),
    ) -> None:
        super().__init__(new, plan)
        self.needed = needed
        self.lag = lag
        self.lags: dict[str, float] = {}
        self.shows_at = dict.fromkeys(there, -inf)
        self.polls: list[tuple[float, list[str]]] = []
        self.poll_errors: list[LookUpFailed] = []
        self.payloads: dict[str, str] = {}

    def needs(self, item: Item) -> Sequence[str]:
        return self.needed.get(item.key, ())

    def fill(self, item: Item, needed: Mapping[str, Item]) -> str:
        if any(one.state.in_effect and one.answer is None for one in needed.values()):
            raise InputRefused("a person has decided on what it needs, and its id is not known")
        return ", ".join(one.answer or f"{one.key} was there" for one in needed.values()) or item.payload

    async def visible(self, run: Run, items: Sequence[Item]) -> Collection[int]:
        self.polls.append((anyio.current_time(), [one.key for one in items]))
        await anyio.lowlevel.checkpoint()
        if self.poll_errors:
            raise self.poll_errors.pop(0)
        return {one.item_id for one in items if self._shows(one.key)}

    async def send(self, run: Run, item: Item) -> Evidence:
        hidden = [key for key in self.needs(item) if key != ALL_BEFORE and not self._shows(key)]
        assert not hidden, f"{item.key} was sent before {hidden} showed"
        self.payloads[item.key] = item.payload
        before = self.effects[item.key]
        try:
            return await super().send(run, item)
        finally:
            if self.effects[item.key] > before:
                self.shows_at[item.key] = anyio.current_time() + self.lags.get(item.key, self.lag)

    def _shows(self, key: str) -> bool:
        return anyio.current_time() >= self.shows_at.get(key, inf)


def subscribers(count: int, steps: int = 3, *, folders: int = 1) -> tuple[list[Item], dict[str, list[str]]]:
    """Folders "f1" and so on, and the steps "1.1" and so on of subscribers, which each have a lane of their own.

    The first step needs the folder, any other the one before it. Returns the items and what they need.
    """
    items = [item(number, key=f"f{number}") for number in range(1, folders + 1)]
    needed: dict[str, list[str]] = {}
    for subscriber in range(1, count + 1):
        for step in range(1, steps + 1):
            key = f"{subscriber}.{step}"
            items.append(item(len(items) + 1, lane=f"subscriber {subscriber}", key=key))
            needed[key] = [f"{subscriber}.{step - 1}" if step > 1 else f"f{(subscriber - 1) % folders + 1}"]
    return items, needed


# ---- a run on a virtual clock -------------------------------------------------------------------------------------

STEADY = Policy(in_flight=4, canary=False, stop_after_errors=None)
REFUSED = Call(RowRefused("no such tariff 17"))


def items(count: int, *, amount: str = "1.10", lanes: int | None = None) -> list[Item]:
    return [item(number, amount=amount, lane=str(number % (lanes or count))) for number in range(1, count + 1)]


class Setting:
    """A run over items in memory; each call takes `takes` seconds."""

    def __init__(
        self,
        kept: Sequence[Item] | MemoryJournal,
        policy: Policy = STEADY,
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        job: FakeJob | None = None,
        takes: float = 1.0,
        gauges: Sequence[Gauge] = (),
        paused_by: str | None = None,
        known: int = 0,
        trust_journal: bool = False,
    ) -> None:
        self.job = job or FakeJob(plan=plan)
        self.job.during = self.during
        self.takes = takes
        self.journal = kept if isinstance(kept, MemoryJournal) else MemoryJournal(*kept)
        self.policy = policy
        self.gauges = gauges
        self.known = known
        self.trust_journal = trust_journal
        self.take_up()
        if paused_by is not None:
            self.steering.pause(paused_by)
        self.began = anyio.current_time()
        self.sent: list[tuple[float, str]] = []

    def take_up(self) -> None:
        """Begin anew, as another process does."""
        self.stop = Stop()
        self.steering = LivePolicy(self.policy, Progress(), self.stop)
        self.pipeline = Pipeline(
            A_RUN,
            self.job,
            self.journal,
            self.steering,
            gauges=self.gauges,
            known=self.known,
            trust_journal=self.trust_journal,
        )

    @property
    def now(self) -> float:
        return round(anyio.current_time() - self.began, 3)

    @property
    def status(self) -> Status:
        return self.steering.look()

    async def during(self, one: Item) -> None:
        self.sent.append((self.now, one.key))
        await anyio.sleep(self.takes)

    def moments(self, key: str) -> list[float]:
        return [moment for moment, sent in self.sent if sent == key]

    async def go(self) -> Self:
        await self.pipeline.migrate()
        return self

    async def stopped_at(self, seconds: float) -> Self:
        """The run goes, and somebody stops it then."""
        async with self.going():
            await anyio.sleep(seconds)
            self.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
        return self

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """The run goes while the body does, and to its end after it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.pipeline.migrate)
            await settle()
            yield

    def counts(self) -> dict[State, int]:
        return dict(Counter(self.journal.states().values()))

    def sent_at(self) -> list[tuple[float, int]]:
        """How many calls began at each moment."""
        return sorted(Counter(moment for moment, _ in self.sent).items())


class Watchful(MemoryJournal):
    """A journal that takes a second for each commit, and notes the most that was claimed and not recorded."""

    def __init__(self, *kept: Item) -> None:
        super().__init__(*kept)
        self.most_in_doubt = 0

    async def claim(self, run: Run, item_ids: Sequence[int], payloads: Mapping[int, str] = NO_PAYLOADS) -> None:
        await anyio.sleep(0.3)
        await super().claim(run, item_ids, payloads)
        sending = sum(one.state is State.SENDING for one in self.kept.values())
        self.most_in_doubt = max(self.most_in_doubt, sending)

    async def record(self, run: Run, changes: Sequence[Change]) -> list[Item]:
        await anyio.sleep(0.3)
        return await super().record(run, changes)
