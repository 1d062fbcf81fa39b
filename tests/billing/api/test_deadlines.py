"""Many deadlines on one timer, on a virtual clock: what is late is cut short, what is not is left alone."""

import asyncio
from collections.abc import Awaitable

from billing.api.wire import Deadlines
from tests import virtual_clock
from tests.virtual_clock import START, settle

SECONDS = 10.0


def now() -> float:
    return asyncio.get_running_loop().time() - START


async def end_of(work: Awaitable[object]) -> tuple[str, float]:
    """How it ended, and when."""
    try:
        result = await work
    except TimeoutError:
        task = asyncio.current_task()
        return "late, and cancelled" if task and task.cancelling() else "late", now()
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
            ends.append(asyncio.create_task(end_of(work)))
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


def test_what_is_cut_short_has_ended_and_what_was_in_time_is_left_alone() -> None:
    tidied: list[float] = []

    async def works(deadlines: Deadlines, *needs: float) -> str:
        for seconds in needs:
            try:
                await deadlines.within(asyncio.sleep(seconds))
            finally:
                tidied.append(now())
            await asyncio.sleep(20)
        return "done"

    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)
        ends = await asyncio.gather(*(end_of(works(deadlines, *needs)) for needs in ((2, 9.5), (1, 30), (3, 9))))
        work = asyncio.create_task(end_of(deadlines.within(asyncio.sleep(60, "closed"))))
        await settle()
        deadlines.close()
        return [*ends, await work]

    assert virtual_clock.run(scenario()) == [("done", 51.5), ("late", 31), ("done", 52), ("closed", 112)]
    assert tidied == [1, 2, 3, 31, 31.5, 32]


def test_whoever_else_cancels_has_his_way() -> None:
    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)
        early, at_once, late = (asyncio.create_task(deadlines.within(asyncio.sleep(60))) for _ in range(3))
        ends = [asyncio.create_task(end_of(task)) for task in (early, at_once, late)]
        loop = asyncio.get_running_loop()
        loop.call_at(START + 5, early.cancel)
        # The deadline's own timer was set before: both strike in one turn of the loop.
        loop.call_at(START + SECONDS, at_once.cancel)
        return list(await asyncio.gather(*ends))

    assert virtual_clock.run(scenario()) == [("cancelled", 5), ("cancelled", 10), ("late", 10)]
