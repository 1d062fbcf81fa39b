"""A process that is cancelled at every moment: whether it dies of it is seen from outside, by its exit code."""

import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, Run
from checkpoints.states import State
from tests.checkpoints.samples import EVERY_STATE, NEW_RUN, keep, new_item, page

ROWS = 3_000
ROUNDS = 200
LONGEST = 0.02
"""Seconds until the latest cancellation: longer than it takes to open a journal, and shorter than it is worked on."""


async def _prepared(path: Path) -> str:
    async with open_journal(path) as journal:
        run = await journal.create_run(NEW_RUN)
        await journal.freeze(run, page(*(new_item(str(key)) for key in range(ROWS))), keep)
        return run.name


async def _read(journal: Journal, run: Run) -> None:
    while True:
        await journal.totals(run)
        await journal.items(run, EVERY_STATE, size=ROWS)
        await journal.shared_lanes(run)


async def _write(journal: Journal, run: Run, number: int) -> None:
    (item,) = await journal.items(run, {State.PENDING}, after=number, size=1)
    await journal.claim(run, [item.item_id])
    while True:
        await journal.record(run, [Change(item.item_id, State.PENDING)])
        await journal.claim(run, [item.item_id])


async def _work(path: Path, name: str, number: int) -> None:
    async with open_journal(path) as journal:
        run = await journal.run(name)
        await asyncio.gather(_read(journal, run), _read(journal, run), _write(journal, run, number))


async def _cancelled(path: Path, seed: int) -> None:
    draw = random.Random(seed)
    name = await _prepared(path)
    for number in range(ROUNDS):
        task = asyncio.create_task(_work(path, name, number))
        for _ in range(draw.randint(1, 2)):
            # The second comes while the first is being heeded.
            await asyncio.sleep(draw.random() * LONGEST)
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    async with open_journal(path) as journal:
        totals = await journal.totals(await journal.run(name))
        assert totals.frozen == ROWS


if __name__ == "__main__":
    asyncio.run(_cancelled(Path(sys.argv[1]), int(sys.argv[2])))
