"""The journal between processes that live and die."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
import pytest

from checkpoints.earlier_runs import earlier_runs
from checkpoints.errors import JournalUnreadable
from checkpoints.journal import open_journal
from checkpoints.queries import Queries
from checkpoints.records import Item
from checkpoints.sqlite_store import SqliteStore
from checkpoints.states import State
from tests.checkpoints.processes import PATIENCE, hear, open_many, process, write_for_ever
from tests.checkpoints.samples import NEW_RUN, all_items, keep, new_item, page

pytestmark = pytest.mark.slow

MADE = 60
"""Journals that are made by two at once."""

APART = 0.01
"""Seconds between the two at most: about as long as making one takes."""


async def _after_the_kill(path: Path, name: str) -> tuple[dict[str, Item], str | None]:
    async with open_journal(path) as journal:
        run = await journal.run(name)
        items = {item.key: item for item in await all_items(journal, run)}
        totals = await journal.totals(run)
        assert totals.frozen == len(items)
        assert totals.amount == sum((item.amount or Decimal(0) for item in items.values()), Decimal(0))
        assert [item.number for item in items.values()] == list(range(1, len(items) + 1))
        sending = totals.count(State.SENDING)
        assert await journal.doubt(run) == sending
        await journal.freeze(run, page(new_item("after the kill"), cursor="x"), keep)
        return items, run.cursor


@pytest.mark.parametrize("words", [3, 47, 200, 401])
def test_what_was_acknowledged_before_a_kill_is_there_after_it(path: Path, words: int) -> None:
    with process(write_for_ever, path) as (child, pipe):
        _, name = _word(hear(pipe))
        told = [_word(hear(pipe)) for _ in range(words)]
        child.kill()
        child.join(PATIENCE)
        assert child.exitcode == -signal.SIGKILL
        # What it said before it died and we have not yet heard was acknowledged too.
        told += _last_words(pipe)
    items, cursor = asyncio.run(_after_the_kill(path, name))
    frozen = max((int(key) for what, key in told if what == "frozen"), default=-1)
    assert cursor is not None
    assert int(cursor) >= frozen
    assert {str(key) for key in range(frozen + 1)} <= set(items)
    assert len(items) == int(cursor) + 1
    for what, key in told:
        if what == "sending":
            assert (items[key].state, items[key].attempts) in {(State.SENDING, 1), (State.ACCEPTED, 1)}
        if what == "accepted":
            assert (items[key].state, items[key].answer) == (State.ACCEPTED, f"id {key}")


def _word(said: object) -> tuple[str, str]:
    assert isinstance(said, tuple)
    what, key = said
    return str(what), str(key)


def _last_words(pipe: Connection) -> list[tuple[str, str]]:
    words: list[tuple[str, str]] = []
    with contextlib.suppress(EOFError, ConnectionResetError):
        while pipe.poll():
            words.append(_word(pipe.recv()))
    return words


async def test_two_that_make_one_journal_at_the_same_moment_both_get_it(tmp_path: Path) -> None:
    draw = random.Random(3)
    with process(open_many, tmp_path) as (_, one), process(open_many, tmp_path) as (_, two):
        assert [hear(one), hear(two)] == ["ready", "ready"]
        for number in range(MADE):
            one.send(f"{number}.journal")
            await asyncio.sleep(draw.random() * APART)
            two.send(f"{number}.journal")
            names = {hear(one), hear(two)}
            async with open_journal(tmp_path / f"{number}.journal") as journal:
                assert {run.name for run in await journal.runs()} == names
        one.send(None)
        two.send(None)


async def test_whoever_only_looks_sees_none_or_a_journal_while_it_is_made(tmp_path: Path) -> None:
    draw = random.Random(4)
    with process(open_many, tmp_path) as (_, one):
        assert hear(one) == "ready"
        for number in range(MADE):
            one.send(f"{number}.journal")
            await asyncio.sleep(draw.random() * APART)
            while not one.poll():
                async with earlier_runs(tmp_path / f"{number}.journal") as earlier:
                    assert await earlier.twins("balances", [new_item("1")]) == [[]]
            assert isinstance(hear(one), str)
        one.send(None)


async def test_a_journal_that_is_closed_is_one_file_also_when_a_read_was_broken_off(path: Path) -> None:
    endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n"
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    async with open_journal(path) as journal:
        await journal.create_run(NEW_RUN)
    assert [entry.name async for entry in anyio.Path(path.parent).iterdir()] == [path.name]
    async with open_journal(path) as journal:
        await journal.create_run(NEW_RUN)
        store = journal._store
        assert isinstance(store, SqliteStore)
        reader = store._reader

        def read(_: Queries) -> None:
            loop.call_soon_threadsafe(begun.set)
            reader._connection.execute(endless).fetchone()

        reading = asyncio.create_task(reader.do(read))
        await begun.wait()
    with pytest.raises(JournalUnreadable, match="interrupted"):
        await reading
    assert [entry.name async for entry in anyio.Path(path.parent).iterdir()] == [path.name]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_process_that_is_cancelled_at_every_moment_does_not_die_of_it(path: Path, seed: int) -> None:
    # In a process of its own, for what it would die of is a segmentation fault.
    command = [sys.executable, "-W", "error", "-m", "tests.checkpoints.cancelled", str(path), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE * 3)  # noqa: S603 - our own
    assert (done.returncode, done.stderr) == (0, "")
