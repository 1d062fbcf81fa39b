"""Pages that are prepared beside each other, and finished in their order."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from engine.errors import cause_of
from engine.job import Effect

Page = TypeVar("Page")
Ready = TypeVar("Ready")

PREPARED_AT_ONCE: Final = 2
"""Pages in memory where one query looks up many rows: the database works on one while this process does on the other.

Through the API alone one page is prepared at a time, as each of its rows is a call.
"""


def at_once(effect: Effect) -> int:
    """How many pages of an effect's rows are prepared beside each other."""
    return PREPARED_AT_ONCE if effect.looks_together else 1


async def in_turn(
    read: Callable[[], Awaitable[Page | None]],
    prepare: Callable[[Page], Awaitable[Ready]],
    finish: Callable[[Ready], Awaitable[None]],
    tasks: int,
) -> None:
    """Read page after page until None, prepare as many at a time as `tasks`, and finish them in their order.

    An error ends it after the pages before its own, as if one page were prepared at a time.
    """
    reading, last = anyio.Lock(), anyio.Event()
    last.set()

    async def work() -> None:
        nonlocal last
        while True:
            before, done = last, anyio.Event()
            try:
                async with reading:
                    before, last = last, done
                    page = await read()
                ready = None if page is None else await prepare(page)
            finally:
                await before.wait()
            if ready is not None:
                await finish(ready)
            done.set()
            if page is None:
                return

    try:
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(work)
    except BaseExceptionGroup as failed:
        raise cause_of(failed) from failed
