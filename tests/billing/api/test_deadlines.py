"""Many deadlines on one timer, on a virtual clock: what is late is cut short, what is not is left alone."""

import asyncio

import pytest

from billing.api.wire import Deadlines
from tests import virtual_clock
from tests.virtual_clock import START, settle

SECONDS = 10.0


def now() -> float:
    return asyncio.get_running_loop().time() - START


async def tells_when(work: "asyncio.Task[object]") -> tuple[str, float]:
    """How a task ended, and when."""
    try:
        result = await work
    except TimeoutError:
        return "late", now()
    except asyncio.CancelledError:
        return "cancelled", now()
    return str(result), now()


def test_each_has_its_time_from_its_own_beginning() -> None:
    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)
        ends = []
        for begin, needs in ((0, 30), (1, 2), (1, 9.5), (4, 30), (4, 10.5), (25, 3), (25, 30)):
            await asyncio.sleep(begin - now())
            work = asyncio.create_task(deadlines.within(asyncio.sleep(needs, "done")))
            ends.append(asyncio.create_task(tells_when(work)))
        return list(await asyncio.gather(*ends))

    assert virtual_clock.run(scenario()) == [
        ("late", 10),
        ("done", 3),
        ("done", 10.5),
        ("late", 14),
        ("late", 14),
        ("done", 28),
        ("late", 35),
    ]


def test_what_is_done_in_time_leaves_its_task_alone_afterwards() -> None:
    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)

        async def works(*needs: float) -> str:
            for seconds in needs:
                await deadlines.within(asyncio.sleep(seconds))
                await asyncio.sleep(20)
            return "done"

        tasks = [asyncio.create_task(works(*needs)) for needs in ((2, 9.5), (1, 30), (3, 9))]
        return list(await asyncio.gather(*(tells_when(task) for task in tasks)))

    assert virtual_clock.run(scenario()) == [("done", 51.5), ("late", 31), ("done", 52)]


def test_what_is_cut_short_has_ended_before_the_deadline_is_told() -> None:
    tidied: list[float] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            tidied.append(now())

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            await Deadlines(SECONDS).within(tidy())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    virtual_clock.run(scenario())
    assert tidied == [10]


def test_whoever_else_cancels_has_his_way() -> None:
    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)
        early, at_once, late = (asyncio.create_task(deadlines.within(asyncio.sleep(60))) for _ in range(3))
        ends = [asyncio.create_task(tells_when(task)) for task in (early, at_once, late)]
        loop = asyncio.get_running_loop()
        loop.call_at(START + 5, early.cancel)
        # The deadline's own timer was set before: both strike in one turn of the loop.
        loop.call_at(START + SECONDS, at_once.cancel)
        return list(await asyncio.gather(*ends))

    assert virtual_clock.run(scenario()) == [("cancelled", 5), ("cancelled", 10), ("late", 10)]


def test_after_the_close_nothing_is_cut_short() -> None:
    async def scenario() -> str:
        deadlines = Deadlines(SECONDS)
        work = asyncio.create_task(deadlines.within(asyncio.sleep(60, "done")))
        await settle()
        deadlines.close()
        return await work

    assert virtual_clock.run(scenario()) == "done"
