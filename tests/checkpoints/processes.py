"""Other processes on the same journal: what they run, and how a test speaks with them."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import anyio

from checkpoints.errors import JournalError, RunHeld
from checkpoints.journal import open_journal
from checkpoints.records import Change
from checkpoints.states import State
from lab.crash.loops import loops
from tests.checkpoints.samples import NEW_RUN, keep, new_item, page

PATIENCE = loops(30)

_spawning = multiprocessing.get_context("spawn")


@contextmanager
def process(target: Callable[[Connection, Path], None], path: Path) -> Iterator[tuple[SpawnProcess, Connection]]:
    """A process that runs `target`, with our end of the pipe to it; killed in the end when it still lives."""
    ours, theirs = _spawning.Pipe()
    child = _spawning.Process(target=target, args=(theirs, path))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join(PATIENCE)
        ours.close()


def hear(pipe: Connection) -> object:
    """The next word from the other side."""
    assert pipe.poll(PATIENCE), "the other process is silent"
    return pipe.recv()


def race(pipe: Connection, path: Path) -> None:
    """Try to work on the first run at the signal; the winner does until told to let go."""

    async def work() -> None:
        async with open_journal(path) as journal:
            (run, *_) = await journal.runs()
            pipe.send("ready")
            await asyncio.to_thread(pipe.recv)
            try:
                async with journal.taken_up(run):
                    pipe.send("won")
                    await asyncio.to_thread(pipe.recv)
            except RunHeld as held:
                pipe.send(str(held))

    asyncio.run(work())


def take_and_let_go(pipe: Connection, path: Path) -> None:
    """Take the run up 100 times; meanwhile nobody else may be between the two marks. Tells the refusals."""

    async def work() -> int:
        async with open_journal(path) as journal:
            (run, *_) = await journal.runs()
            pipe.send("ready")
            await asyncio.to_thread(pipe.recv)
            taken = refused = 0
            mark = anyio.Path(path.with_suffix(".inside"))
            while taken < 100:
                try:
                    async with journal.taken_up(run):
                        await mark.touch(exist_ok=False)
                        await mark.unlink()
                        taken += 1
                except RunHeld:
                    refused += 1
            return refused

    pipe.send(asyncio.run(work()))


def open_many(pipe: Connection, path: Path) -> None:
    """Open a journal at each name that is told, and tell what came of it."""

    async def look(name: str) -> str:
        async with open_journal(path / name) as journal:
            run = await journal.create_run(NEW_RUN)
            return run.name

    pipe.send("ready")
    while (name := pipe.recv()) is not None:
        try:
            pipe.send(asyncio.run(look(name)))
        except JournalError as error:
            pipe.send(error)


def write_for_ever(pipe: Connection, path: Path) -> None:
    """Freeze, claim and record without end; tell of each step only when the journal has acknowledged it."""

    async def work() -> None:
        async with open_journal(path) as journal:
            run = await journal.create_run(NEW_RUN)
            pipe.send(("run", run.name))
            number = 0
            async with anyio.create_task_group() as tasks:

                async def one(key: str, item_id: int) -> None:
                    await journal.claim(run, [item_id])
                    pipe.send(("sending", key))
                    await journal.record(run, [Change(item_id, State.ACCEPTED, answer=f"id {key}")])
                    pipe.send(("accepted", key))

                while True:
                    keys = [str(number + one) for one in range(20)]
                    rows = page(*(new_item(key, str(Decimal(key) / 100)) for key in keys), cursor=keys[-1])
                    await journal.freeze(run, rows, keep)
                    pipe.send(("frozen", keys[-1]))
                    for item in await journal.items(run, {State.PENDING}, after=number):
                        tasks.start_soon(one, item.key, item.item_id)
                    number += len(keys)

    asyncio.run(work())
