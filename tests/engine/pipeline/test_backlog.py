import random
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints.records import Item
from engine.pacing.retries import RetryBudget
from engine.pipeline.backlog import MOST_HELD, Backlog
from tests import virtual_clock
from tests.engine.doubles import item
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


class Frozen:
    """A frozen list that can grow, read `size` at a time."""

    def __init__(self, *items: Item, size: int = 3) -> None:
        self.items = list(items)
        self.size = size
        self.reads: list[int] = []

    async def read(self, after: int) -> Sequence[Item]:
        self.reads.append(after)
        await checkpoint()
        return [one for one in self.items if one.number > after][: self.size]


def plenty() -> RetryBudget:
    """A budget that is never in the way."""
    return RetryBudget(share=1.0, floor=1e6)


def backlog_of(*lanes: str, ended: bool = True, size: int = 3, left_out: frozenset[int] = frozenset()) -> Backlog:
    """A backlog of items numbered from 1, each in the lane of its letter."""
    frozen = Frozen(*(item(number, lane=lane) for number, lane in enumerate(lanes, 1)), size=size)
    return Backlog(frozen.read, plenty(), intake_ended=ended, left_out=left_out)


def numbers(items: Sequence[Item]) -> list[int]:
    return [one.number for one in items]


async def waits(backlog: Backlog) -> bool:
    """Whether nothing can be taken now and the pass is not over either."""
    with anyio.move_on_after(0.001) as scope:
        await backlog.take(1)
    return scope.cancelled_caught


# ---- one thing at a time -----------------------------------------------------------------------------------------


async def test_what_is_left_for_a_later_pass_frees_its_place_and_others_take_it() -> None:
    frozen = Frozen(*(item(number, lane=lane) for number, lane in enumerate("aabcdef", 1)), size=1)
    backlog = Backlog(frozen.read, plenty(), intake_ended=True, most_held=2)
    backlog.begin(3)
    taken = [one for _ in range(2) for one in await backlog.take(5)]
    assert numbers(taken) == [1, 3]
    for one in taken:
        backlog.wait(one)
    assert await waits(backlog)
    backlog.leave(taken[0])
    assert numbers([one for _ in range(2) for one in await backlog.take(5)]) == [4, 5]
    assert not backlog.holds("a")
    assert await waits(backlog)


async def test_items_left_out_are_passed_over_and_what_is_behind_them_is_kept_back_in_every_pass() -> None:
    backlog = backlog_of("a", "a", "b", "a", left_out=frozenset({1001}))
    for _ in range(2):
        (three,) = await backlog.take(5)
        assert three.number == 3
        backlog.finish(three)
        assert await backlog.take(5) == []
        assert (backlog.passed_over, backlog.behind) == (1, 2)
        backlog.begin()


async def test_closing_ends_the_pass_for_who_waits_and_for_who_asks() -> None:
    backlog = backlog_of("a", "a", "b", ended=False)
    one, _ = await backlog.take(2)
    got: list[list[Item]] = []

    async def wait() -> None:
        got.append(await backlog.take(1))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await settle()
        assert got == []
        backlog.close()
    assert got == [[]]
    backlog.finish(one)
    assert await backlog.take(5) == []


# ---- long lists --------------------------------------------------------------------------------------------------

LONG = 100_000
PAGE = 1000


class Endless:
    """A list that is made as it is read, and counts what it has given."""

    def __init__(self, *, lanes: int) -> None:
        self.given = 0
        self._lanes = lanes

    async def read(self, after: int) -> Sequence[Item]:
        page = [
            item(number, lane=str(number % self._lanes)) for number in range(after + 1, min(after + PAGE, LONG) + 1)
        ]
        self.given += len(page)
        return page


@pytest.mark.slow
async def test_a_hundred_thousand_items_of_one_lane_are_never_all_in_memory() -> None:
    frozen = Endless(lanes=1)
    backlog = Backlog(frozen.read, plenty(), intake_ended=True)
    taken = 0
    while group := await backlog.take(64):
        (one,) = group
        taken += 1
        assert one.number == taken
        if taken % 10_000 == 1:
            assert await waits(backlog)  # it has looked for something else as far ahead as it may
        assert frozen.given - taken <= MOST_HELD + PAGE
        backlog.finish(one)
    assert taken == LONG


@pytest.mark.slow
async def test_a_hundred_thousand_items_that_go_again_are_never_all_in_memory() -> None:
    frozen = Endless(lanes=LONG)
    backlog = Backlog(frozen.read, plenty(), intake_ended=True)
    seen: Counter[int] = Counter()
    finished = 0
    while group := await backlog.take(64):
        for one in group:
            seen[one.number] += 1
            if seen[one.number] == 1:
                backlog.again(one, 1000.0)
            else:
                finished += 1
                backlog.finish(one)
        # Held are no more than `MOST_HELD`, the page that was being handed out, and the group itself.
        assert frozen.given - finished <= MOST_HELD + PAGE + 64
    assert len(seen) == LONG
    assert set(seen.values()) == {2}


# ---- any interleaving --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to an item: how often it goes again, and whether its lane is shut behind it in the end."""

    lane: str
    agains: int
    shut: bool


FATES = st.lists(
    st.builds(
        Fate, st.sampled_from("abcde"), st.sampled_from([0, 0, 0, 1, 2]), st.sampled_from([False, False, False, True])
    ),
    max_size=40,
)


class Drive:
    """A feeder, calls that take a random time, and an intake that freezes at random moments."""

    def __init__(self, fates: list[Fate], seed: int, most: int, size: int) -> None:
        self.fates = dict(enumerate(fates, 1))
        self.draw = random.Random(seed)
        self.most = most
        self.unfrozen = deque(item(number, lane=fate.lane) for number, fate in self.fates.items())
        self.frozen = Frozen(size=size)
        self.backlog = Backlog(self.frozen.read, plenty(), intake_ended=False)
        self.handed: Counter[int] = Counter()
        self.out: set[str] = set()
        self.order: defaultdict[str, list[int]] = defaultdict(list)

    async def intake(self) -> None:
        while self.unfrozen:
            await anyio.sleep(self.draw.choice([0, 0, 1, 5]))
            for _ in range(self.draw.randint(1, 10)):
                if self.unfrozen:
                    self.frozen.items.append(self.unfrozen.popleft())
            self.backlog.more()
        await anyio.sleep(self.draw.choice([0, 3]))
        self.backlog.end_intake()

    async def call(self, one: Item) -> None:
        await anyio.sleep(self.draw.choice([0, 0, 1, 2, 7]))
        self.out.discard(one.lane)
        fate = self.fates[one.number]
        if self.handed[one.number] <= fate.agains:
            self.backlog.again(one, self.draw.choice([0.0, 0.5, 3.0]))
        elif fate.shut:
            self.backlog.shut(one)
        else:
            self.backlog.finish(one)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.intake)
            while group := await self.backlog.take(self.draw.randint(1, self.most)):
                for one in group:
                    assert one.lane not in self.out, "two of one lane at once"
                    self.out.add(one.lane)
                    self.handed[one.number] += 1
                    self.order[one.lane].append(one.number)
                    tasks.start_soon(self.call, one)
            assert self.out == set(), "over before all were back"

    def expected(self) -> Counter[int]:
        wanted: Counter[int] = Counter()
        shut: set[str] = set()
        for number, fate in self.fates.items():
            if fate.lane not in shut:
                wanted[number] = fate.agains + 1
            if fate.shut:
                shut.add(fate.lane)
        return wanted


@settings(max_examples=150)
@given(fates=FATES, seed=st.integers(0, 10**6), most=st.integers(1, 8), size=st.integers(1, 12))
def test_every_item_is_handed_out_exactly_as_often_as_it_should_be(
    fates: list[Fate], seed: int, most: int, size: int
) -> None:
    drive = Drive(fates, seed, most, size)
    virtual_clock.run(drive.run())
    assert drive.handed == drive.expected()
    for order in drive.order.values():
        assert order == sorted(order)
    assert drive.backlog._held == drive.backlog._out == 0
