"""One runner a run: the lock on the journal's file, by whatever name the file is reached."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
import pytest

from checkpoints.errors import JournalUnreadable, RunHeld
from checkpoints.journal import Journal, earlier_runs, open_journal
from checkpoints.journal_file import JournalAddress
from checkpoints.queries import Queries
from checkpoints.records import Item, Run
from checkpoints.sqlite_store import SqliteStore
from checkpoints.states import State
from tests.checkpoints.processes import (
    PATIENCE,
    hear,
    open_many,
    process,
    race,
    take_and_let_go,
    write_for_ever,
)
from tests.checkpoints.samples import NEW_RUN, all_items, keep, new_item, page

pytestmark = pytest.mark.slow


@pytest.fixture
async def run(journal: Journal) -> Run:
    return await journal.create_run(NEW_RUN)


async def test_a_run_has_one_holder_who_is_named(journal: Journal, journal_address: JournalAddress, run: Run) -> None:
    before, beside = datetime.now(UTC) - timedelta(seconds=1), await journal.create_run(NEW_RUN)
    async with open_journal(journal_address) as other:
        for one in (journal, other):
            async with one.taken_up(run):
                for again in (journal, other):
                    with pytest.raises(RunHeld, match="another process works on this run: process "):
                        await again.taken_up(run).__aenter__()
                holder = await other.holder(run)
                assert holder is not None
                assert (holder.host, holder.process) == (socket.gethostname(), os.getpid())
                since = datetime.strptime(holder.since, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
                assert before <= since <= datetime.now(UTC)
                assert str(holder) == f"process {os.getpid()} on {socket.gethostname()}, since {since.isoformat()}"
                assert await journal.holder(beside) is None
                async with other.taken_up(beside):
                    assert await journal.holder(beside) is not None
            assert await journal.holder(run) is None


async def test_the_lock_of_a_killed_process_is_free(path: Path, journal: Journal, run: Run) -> None:
    with process(race, path) as (child, pipe):
        assert hear(pipe) == "ready"
        pipe.send("go")
        assert hear(pipe) == "won"
        child.kill()
        child.join(PATIENCE)
        assert child.exitcode == -signal.SIGKILL
        assert await journal.holder(run) is None
        async with journal.taken_up(run):
            holder = await journal.holder(run)
            assert holder is not None
            assert holder.process == os.getpid()


async def test_of_many_that_race_one_wins_and_is_named_by_the_others(path: Path, journal: Journal, run: Run) -> None:
    assert run in await journal.runs()
    with ExitStack() as stack:
        racers = [stack.enter_context(process(race, path)) for _ in range(4)]
        for _, pipe in racers:
            assert hear(pipe) == "ready"
        for _, pipe in racers:
            pipe.send("go")
        answers = {child.pid: hear(pipe) for child, pipe in racers}
        (winner,) = [pid for pid, answer in answers.items() if answer == "won"]
        for pid, answer in answers.items():
            if pid != winner:
                assert f"process {winner} on" in str(answer) or "just now" in str(answer)
        for child, pipe in racers:
            if child.pid == winner:
                pipe.send("enough")
            child.join(PATIENCE)


async def test_a_journal_that_is_open_twice_in_one_process_keeps_its_locks_when_one_is_closed(path: Path) -> None:
    """Closing any descriptor of a file drops all POSIX locks of the process, and SQLite's are such locks.

    The first would write into a log that the shell has removed, as the last to leave a journal that nobody uses.
    """
    async with open_journal(path) as one:
        async with open_journal(path):
            pass
        assert _quits_as_the_last(path) is False
        run = await one.create_run(NEW_RUN)
    async with open_journal(path) as again:
        assert [other.name for other in await again.runs()] == [run.name]


def _quits_as_the_last(path: Path) -> bool:
    """Whether another process that opens the journal and closes it takes its log away."""
    with process(_open_and_close, path) as (_, pipe):
        hear(pipe)
    return not path.with_name(f"{path.name}-wal").exists()


def _open_and_close(pipe: Connection, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("select count(*) from runs").fetchone()
    pipe.send("closed")


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


class Interrupted(sqlite3.Connection):
    """A connection that says when it was interrupted."""

    once = threading.Event()

    def interrupt(self) -> None:
        super().interrupt()
        self.once.set()


@pytest.mark.parametrize("begins", ["before", "just after it is interrupted"])
async def test_a_journal_that_is_closed_is_one_file_also_when_a_read_was_broken_off(path: Path, begins: str) -> None:
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
        reader.connection.close()
        reader.connection = connection = sqlite3.connect(path, factory=Interrupted, check_same_thread=False)
        Interrupted.once.clear()

        def read(_: Queries) -> None:
            loop.call_soon_threadsafe(begun.set)
            if begins != "before":
                connection.once.wait()
            connection.execute(endless).fetchone()

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


async def test_asking_who_holds_it_hinders_neither_holder_nor_next(path: Path, journal: Journal, run: Run) -> None:
    with process(take_and_let_go, path) as (_, pipe):
        assert hear(pipe) == "ready"
        pipe.send("go")
        asked = 0
        while not pipe.poll():
            await journal.holder(run)
            asked += 1
        assert pipe.recv() == 0  # it was alone but for us, who only asked
        assert asked > 0
