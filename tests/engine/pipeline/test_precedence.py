"""Items that need others: sent in their turn, whatever the billing makes of it, and however late it shows it."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Self

import anyio
import msgspec
import pytest

from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from engine.errors import LookUpDelayed, LookUpFailed
from engine.evidence import Busy, NotSent, RowRefused
from engine.job import Different
from engine.pacing.holds import StopKind
from engine.pacing.policy import Policy
from engine.pipeline.precedence import LONGEST_GAP
from tests.engine import doubles
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, Call, MemoryJournal, SteppedJob, item, subscribers

pytestmark = pytest.mark.virtual_clock

STEADY = replace(doubles.STEADY, in_flight=8, settle=0.0, tries=3)
REFUSED = Call(RowRefused("no such folder"))


class SlowJournal(MemoryJournal):
    """A journal of which what is read of a key in `slow` for the first time is out of date when it is given."""

    def __init__(self, *items: Item) -> None:
        super().__init__(*items)
        self.slow: dict[str, anyio.Event] = {}

    async def items_by_key(self, run: Run, keys: Collection[str]) -> list[Item]:
        found = await super().items_by_key(run, keys)
        # Much can happen until what was read is looked at.
        await anyio.sleep(0.01)
        for key in [one.key for one in found if one.state.to_send and one.key in self.slow]:
            await self.slow[key].wait()
            del self.slow[key]
        return found

    async def record(self, run: Run, changes: Sequence[Change]) -> list[Item]:
        doubted = await super().record(run, changes)
        for change in changes:
            if event := self.slow.get(self.kept[change.item_id].key):
                event.set()
        return doubted


class Setting(doubles.Setting):
    """A run over items in memory, each call of `takes` seconds, or of those in `lasts`."""

    job: SteppedJob
    journal: SlowJournal

    def __init__(
        self,
        items: Sequence[Item],
        needed: Mapping[str, Sequence[str]],
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        lag: float = 0.0,
        takes: float = 0.0,
        policy: Policy = STEADY,
    ) -> None:
        there = [one.key for one in items if one.state is State.SKIPPED]
        job = SteppedJob(needed, plan, lag=lag, there=there)
        super().__init__(SlowJournal(*items), policy, job=job, takes=takes)
        self.lasts: dict[str, float] = {}

    async def during(self, one: Item) -> None:
        self.sent.append((self.now, one.key))
        assert self.journal.kept[one.item_id].payload == one.payload, "what is sent is written down before"
        await anyio.sleep(self.lasts.get(one.key, self.takes))

    async def resumed(self) -> Self:
        """Take it up in another process."""
        self.take_up()
        return await self.go()

    def messages(self) -> dict[str, str]:
        return {one.key: str(one.message) for one in self.journal.kept.values() if one.message}

    def decide(self, key: str, state: State, answer: str | None = None) -> None:
        """What a person decides while nothing runs."""
        (one,) = (one for one in self.journal.kept.values() if one.key == key)
        self.journal.kept[one.item_id] = msgspec.structs.replace(one, state=state, answer=answer)


def settings_of(count: int, steps: int = 3, *, folders: int = 1, **more: object) -> Setting:
    return Setting(*subscribers(count, steps, folders=folders), **more)  # type: ignore[arg-type]


async def passed_over(*, work: str | None) -> Setting:
    """A run of which the billing never shows 3.1, and shows all else; `work` is what it has left to do of 3.1."""
    setting = settings_of(40, steps=2, lag=100.0, policy=replace(STEADY, drain_patience=300.0, in_flight=1))
    setting.takes = 10.0
    setting.job.lags["3.1"] = inf
    setting.job.unfinished_for.append(work)
    return await setting.go()


@pytest.mark.parametrize("lag", [0.0, 0.4, 3.0])
async def test_each_step_goes_when_the_one_before_it_shows_with_the_id_of_its_answer(lag: float) -> None:
    setting = await settings_of(4, folders=2, lag=lag).go()
    assert setting.counts() == {State.ACCEPTED: 14}
    assert set(setting.job.effects.values()) == {1}
    assert setting.job.most_in_lane == 1
    assert setting.job.payloads["3.1"] == "id f1"
    assert setting.job.payloads["4.1"] == "id f2"
    assert setting.job.payloads["4.3"] == "id 4.2"
    kept = {one.key: one.payload for one in setting.journal.kept.values()}
    assert kept == {"f1": "{}", "f2": "{}"} | setting.job.payloads


@pytest.mark.parametrize(("slots", "count", "lag"), [(8, 50, 0.3), (16, 200, 0.0), (64, 1000, 0.3)])
async def test_steps_of_many_subscribers_keep_more_than_half_of_the_slots_busy(
    slots: int, count: int, lag: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = settings_of(count, steps=5, folders=4, lag=lag, takes=0.1, policy=replace(STEADY, in_flight=slots))
    monkeypatch.setattr(SteppedJob, "looks_together", True)
    visible = setting.job.visible

    async def after_a_select(run: Run, items: Sequence[Item]) -> Collection[int]:
        await anyio.sleep(0.05)
        return await visible(run, items)

    monkeypatch.setattr(setting.job, "visible", after_a_select)
    setting.take_up()
    await setting.go()
    assert setting.counts() == {State.ACCEPTED: 5 * count + 4}
    assert 5 * count * setting.takes / slots > 0.5 * setting.now
    # What is visible is asked of many at once.
    assert len(setting.job.polls) < 12 * setting.now


@pytest.mark.parametrize("lane", ["f", "g"])
async def test_an_outcome_that_is_recorded_while_it_is_read_is_not_missed(lane: str) -> None:
    items = [item(1, key="f1", lane="f"), item(2, key="f2", lane=lane), item(3, lane="a"), item(4, lane="a")]
    setting = Setting(items, {"4": ["f1"]})
    setting.lasts = {"f1": 1.0, "f2": 60.0, "3": 0.1}
    setting.journal.slow["f1"] = anyio.Event()
    await setting.go()
    assert not setting.journal.slow
    assert {key: moment for moment, key in setting.sent}["4"] < 1.1 + LONGEST_GAP


async def test_thousands_of_lanes_wait_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.pipeline.pipeline.MOST_HELD_OF_STEPS", 1500)
    setting = settings_of(3000, steps=2, folders=3, lag=2.0, policy=replace(STEADY, in_flight=64, page=500))
    setting.takes = 0.02
    reads: list[int] = []
    read = setting.journal.items

    async def noted(*given: object, **more: object) -> list[Item]:
        page = await read(*given, **more)  # type: ignore[arg-type]
        done = sum(not one.state.open for one in setting.journal.kept.values())
        reads.append((page[-1].number if page else 0) - done)
        return page

    monkeypatch.setattr(setting.journal, "items", noted)
    await setting.go()
    assert setting.counts() == {State.ACCEPTED: 6003}
    assert max(reads) < 1500 + 500 + 200
    # One question a page, of which there are a few each second.
    assert len(setting.job.polls) < 120
    assert setting.now < 60


async def test_what_needs_a_refused_row_is_rejected_without_a_call_and_says_which_one() -> None:
    policy = replace(STEADY, stop_after_errors=2)
    setting = await settings_of(20, folders=2, plan={"f1": [REFUSED]}, policy=policy).go()
    assert setting.counts() == {State.REJECTED: 31, State.ACCEPTED: 31}
    assert setting.messages()["f1"] == "no such folder"
    assert {setting.messages()[f"{lane}.{step}"] for lane in range(1, 20, 2) for step in (1, 2, 3)} == {
        "not sent: subscriber f1 was rejected"
    }
    assert len(setting.sent) == 32
    assert setting.stop.kind is None
    assert setting.steering.look().counts == {"rejected": 31, "accepted": 31}


async def test_a_row_that_cannot_be_completed_or_needs_what_is_no_row_is_rejected_with_the_reason() -> None:
    items, needed = subscribers(1, 2)
    items[0] = msgspec.structs.replace(items[0], state=State.ACCEPTED)
    setting = Setting([*items, item(9, lane="9"), item(10)], {**needed, "9": ["10", "elsewhere"]})
    setting.job.shows_at["f1"] = -inf
    await setting.go()
    assert setting.messages() == {
        "1.1": "not sent: a person has decided on what it needs, and its id is not known",
        "1.2": "not sent: subscriber 1.1 was rejected",
        "9": "not sent: what it needs is no row of this run",
    }


@pytest.mark.parametrize("lost", [LOST_WITH_EFFECT, LOST_WITHOUT])
@pytest.mark.parametrize("key", ["f1", "1.1", "1.2"])
async def test_a_lost_step_is_looked_up_and_those_that_need_it_go_on(lost: Call, key: str) -> None:
    setting = await settings_of(3, plan={key: [lost]}, lag=2.0).go()
    assert setting.counts() == {State.ACCEPTED: 10}
    assert set(setting.job.effects.values()) == {1}


async def test_what_is_entered_anew_after_a_doubt_must_show_anew() -> None:
    items = [item(1, key="f"), item(2), item(3, lane="b"), item(4, lane="b")]
    setting = Setting(items, {"2": ["f"], "4": ["f"]}, lag=3.0)
    setting.lasts["3"] = 20.0
    async with setting.going():
        await anyio.sleep(10.0)
        # The folder that the answer named was never there.
        setting.job.effects["f"] = 0
        del setting.job.shows_at["f"]
        setting.job.report(1001)
    assert setting.counts() == {State.ACCEPTED: 4}
    assert [key for _, key in setting.sent] == ["f", "3", "2", "f", "4"]


async def test_rows_that_wait_for_a_decision_are_left_and_go_on_when_it_is_made() -> None:
    setting = settings_of(6, folders=2, plan={"f1": [LOST_WITH_EFFECT]}, lag=2.0)
    setting.job.sightings["f1"] = Different("another folder")
    await setting.go()
    assert setting.counts() == {State.MANUAL: 1, State.PENDING: 9, State.ACCEPTED: 10}
    assert setting.stop.kind is StopKind.DECISION
    assert setting.stop.reason == (
        "9 rows are left pending, for they wait for others: a person has to decide on subscriber f1 first "
        "(`carbon-migrate export k7m2q --state manual`). `carbon-migrate resume k7m2q` goes on with them"
    )
    setting.decide("f1", State.ACCEPTED, "id f1")
    assert (await setting.resumed()).stop.reason == ""
    assert setting.counts() == {State.ACCEPTED: 20}
    assert set(setting.job.effects.values()) == {1}


async def test_rows_that_wait_for_one_out_of_tries_are_left_with_it() -> None:
    setting = await settings_of(4, steps=2, folders=2, plan={"f1": [Call(Busy("locked"))] * 3}, lag=2.0).go()
    assert setting.counts() == {State.PENDING: 5, State.ACCEPTED: 5}
    assert setting.stop.reason == (
        "1 row is left pending, having failed 3 times; `carbon-migrate resume k7m2q` tries again, in the order of "
        "the list. 4 rows are left pending, for they wait for others: subscriber f1 is not sent yet. "
        "`carbon-migrate resume k7m2q` goes on with them"
    )
    await setting.resumed()
    assert setting.counts() == {State.ACCEPTED: 10}


async def test_what_does_not_show_within_the_patience_is_left_while_the_others_go_on() -> None:
    setting = await passed_over(work="2 records in the stack")
    assert setting.counts() == {State.PENDING: 1, State.ACCEPTED: 80}
    assert setting.stop.reason == (
        "1 row is left pending, for it waits for others: the billing does not show subscriber 3.1 after 300 s. "
        "`carbon-migrate resume k7m2q` goes on with it"
    )
    setting.job.shows_at["3.1"] = -inf
    await setting.resumed()
    assert setting.counts() == {State.ACCEPTED: 81}


async def test_what_needs_an_item_that_is_passed_over_and_of_which_no_work_is_left_is_refused() -> None:
    setting = await passed_over(work=None)
    assert setting.counts() == {State.REJECTED: 1, State.ACCEPTED: 80}
    assert setting.stop.reason == ""
    assert setting.messages() == {
        "3.2": "not sent: the billing had accepted subscriber 3.1, and does not show it after 300 s: perhaps it was "
        "put back from its backup. Do the same once more by a new run, which goes by what is there then"
    }


async def test_a_resumed_run_ends_where_what_it_needs_is_lost_and_nothing_comes_after_it() -> None:
    setting = settings_of(10, steps=2, policy=replace(STEADY, drain_patience=300.0))
    setting.job.lags = {f"{lane}.1": inf for lane in range(1, 11)}
    await setting.go()
    assert setting.counts() == {State.PENDING: 10, State.ACCEPTED: 11}
    await setting.resumed()
    assert setting.counts() == {State.REJECTED: 10, State.ACCEPTED: 11}
    assert setting.stop.reason == ""
    assert setting.now < 700


async def test_what_the_billing_has_lost_while_a_call_waited_is_seen_before_it_leaves() -> None:
    setting = settings_of(3, steps=1, policy=replace(STEADY, rate=0.1, drain_patience=300.0))
    async with setting.going():
        await anyio.sleep(12.0)
        assert [key for _, key in setting.sent] == ["f1", "1.1"]
        # The billing is put back from its backup, and does not have the folder any more.
        del setting.job.shows_at["f1"]
    assert [key for _, key in setting.sent] == ["f1", "1.1"]
    assert setting.counts() == {State.PENDING: 2, State.ACCEPTED: 2}


async def test_a_billing_that_shows_nothing_any_more_stops_the_run() -> None:
    setting = settings_of(10, steps=2, lag=inf, policy=replace(STEADY, drain_patience=300.0))
    await setting.go()
    assert setting.counts() == {State.PENDING: 20, State.ACCEPTED: 1}
    assert setting.stop.kind is StopKind.SYSTEM
    assert setting.stop.reason == (
        "for 300 s the billing has shown nothing of what rows wait for, such as subscriber f1. "
        "`carbon-migrate resume k7m2q` goes on when it has caught up"
    )
    assert 300 <= setting.now <= 310


async def test_a_billing_that_is_away_is_waited_for_and_the_patience_begins_anew() -> None:
    setting = settings_of(3, steps=1, lag=500.0, policy=replace(STEADY, drain_patience=300.0, away_patience=900.0))
    async with setting.going():
        await anyio.sleep(250.0)
        setting.job.poll_errors = [LookUpDelayed("nobody answers")] * 3
        setting.job.probe_errors.extend([LookUpFailed("nobody answers")] * 8)
        await anyio.sleep(10.0)
        assert setting.steering.look().held
    assert setting.counts() == {State.ACCEPTED: 4}
    assert setting.stop.kind is None


async def test_a_billing_that_cannot_be_asked_stops_the_run() -> None:
    setting = settings_of(3, steps=1, lag=5.0)
    setting.job.poll_errors = [LookUpFailed("Column unknown")] * 2
    await setting.go()
    assert setting.counts() == {State.ACCEPTED: 1, State.PENDING: 3}
    assert setting.stop.kind is StopKind.SYSTEM
    assert setting.stop.reason == "whether the billing shows what rows need cannot be seen: Column unknown"


async def test_a_paused_run_asks_nothing_and_its_patience_begins_anew() -> None:
    setting = settings_of(2, steps=1, lag=5000.0, policy=replace(STEADY, drain_patience=300.0))
    async with setting.going():
        await anyio.sleep(10.0)
        setting.steering.pause("olga")
        asked = len(setting.job.polls)
        await anyio.sleep(4900.0)
        assert len(setting.job.polls) == asked
        setting.steering.unpause()
    assert setting.counts() == {State.ACCEPTED: 3}


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_fails_the_run_ends_and_each_row_has_its_place(seed: int) -> None:
    draw = random.Random(seed)
    items, needed = subscribers(draw.randint(1, 30), draw.randint(1, 5), folders=draw.randint(1, 4))
    keys = [one.key for one in items]
    for number, key in enumerate(keys):
        # Some need rows of other lanes as well, before or behind them, or what is nowhere.
        if draw.random() < 0.1:
            needed[key] = [*needed.get(key, ()), draw.choice([*keys[:number], *keys[:number], *keys, "nowhere"])]
    kinds = [LOST_WITH_EFFECT, LOST_WITHOUT, Call(Busy("locked")), Call(NotSent("no route")), REFUSED]
    plan = {key: [draw.choice(kinds)] for key in keys if draw.random() < 0.15}
    setting = Setting(items, needed, plan, lag=draw.choice([0.0, 0.5, 4.0]), takes=0.1)
    setting.job.lags = {key: draw.choice([inf, 20.0]) for key in keys if draw.random() < 0.02}
    setting.job.sightings = {key: Different("another") for key in keys if draw.random() < 0.02}
    await setting.go()
    states = setting.journal.states()
    assert max(setting.job.effects.values(), default=0) <= 1
    for key, state in states.items():
        if any(states.get(other) is State.REJECTED for other in needed.get(key, ())):
            assert state in {State.REJECTED, State.PENDING}
    assert (State.PENDING in states.values()) == (setting.stop.kind in {StopKind.SYSTEM, StopKind.DECISION})
    assert State.UNKNOWN not in states.values()
