import anyio
import pytest

from engine.pipeline.backlog import Claims
from tests.engine.doubles import item
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


class Setting:
    """Claims for a window of `size`, and workers that take them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.claims = Claims(lambda: self.size)
        self.taken: list[int] = []
        self.rooms: list[int] = []

    def put(self, *numbers: int) -> None:
        self.claims.put([item(number) for number in numbers])

    async def take(self) -> None:
        self.taken.append((await self.claims.next()).number)

    async def ask(self) -> None:
        self.rooms.append(await self.claims.room())


@pytest.mark.parametrize(("size", "passes"), [(1, 1), (2, 1), (3, 2), (8, 4), (64, 32)])
async def test_a_group_is_asked_for_when_half_of_the_places_are_empty(size: int, passes: int) -> None:
    setting = Setting(size)
    await setting.ask()
    assert setting.rooms == [size]
    setting.put(*range(size))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.ask)
        await settle()
        assert setting.claims.full
        for passed in range(passes):
            assert len(setting.rooms) == 1, passed
            setting.claims.passed()
        await settle()
    assert setting.rooms[1] == passes
    assert not setting.claims.full


async def test_items_go_to_workers_in_order_whether_they_wait_or_come_later() -> None:
    setting = Setting(8)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(setting.take)
        await settle()
        setting.put(1, 2, 3)
        await settle()
        assert setting.taken == [1, 2]
        tasks.start_soon(setting.take)
        tasks.start_soon(setting.take)
        await settle()
        setting.put(4)
    assert setting.taken == [1, 2, 3, 4]


async def test_one_that_was_taken_counts_until_it_has_passed() -> None:
    setting = Setting(4)
    setting.put(1, 2, 3, 4)
    for _ in range(4):
        await setting.take()
    assert setting.claims.waiting == 4
    setting.claims.passed()
    assert setting.claims.waiting == 3


async def test_a_window_that_grows_makes_room_and_one_that_shrinks_takes_it() -> None:
    setting = Setting(4)
    setting.put(1, 2, 3, 4)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.ask)
        await settle()
        setting.size = 16
        setting.claims.look()
    assert setting.rooms == [12]
    setting.size = 2
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.ask)
        for left in (3, 2, 1):
            await settle()
            assert setting.claims.full
            setting.claims.passed()
            assert setting.claims.waiting == left
    assert setting.rooms == [12, 1]


async def test_after_the_end_nobody_waits_for_room() -> None:
    setting = Setting(1)
    setting.put(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.ask)
        await settle()
        setting.claims.close()
    await setting.ask()
    assert setting.rooms == [1, 1]
