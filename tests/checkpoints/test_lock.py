"""One runner a run: the lock on the journal's file, by whatever name the file is reached."""

import os
import signal
import socket
import sqlite3
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from checkpoints.errors import RunHeld
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from tests.checkpoints.processes import PATIENCE, hear, hold, process, race
from tests.checkpoints.samples import NEW_RUN

pytestmark = pytest.mark.slow


@pytest.fixture
async def run(journal: Journal) -> Run:
    return await journal.create_run(NEW_RUN)


async def refused(journal: Journal, run: Run, match: str) -> None:
    with pytest.raises(RunHeld, match=match):
        async with journal.taken_up(run):
            pass


async def test_the_holder_is_named_by_host_process_and_time(journal: Journal, run: Run) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with journal.taken_up(run):
        holder = await journal.holder(run)
        assert holder is not None
        assert (holder.host, holder.process) == (socket.gethostname(), os.getpid())
        since = datetime.strptime(holder.since, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        assert before <= since <= datetime.now(UTC)
        assert str(holder) == f"process {os.getpid()} on {socket.gethostname()}, since {since.isoformat()}"
    assert await journal.holder(run) is None


async def test_a_second_in_the_same_process_is_refused_too(path: Path, journal: Journal, run: Run) -> None:
    async with open_journal(path) as other:
        for one in (journal, other):
            async with journal.taken_up(run):
                await refused(one, run, f"another process works on this run: process {os.getpid()} on ")
                assert await one.holder(run) is not None
        async with other.taken_up(run):
            pass


async def test_the_lock_of_a_killed_process_is_free(path: Path, journal: Journal, run: Run) -> None:
    with process(hold, path) as (child, pipe):
        assert hear(pipe) == "held"
        child.kill()
        child.join(PATIENCE)
        assert child.exitcode == -signal.SIGKILL
        assert await journal.holder(run) is None
        async with journal.taken_up(run):
            holder = await journal.holder(run)
            assert holder is not None
            assert holder.process == os.getpid()


async def test_of_many_that_race_exactly_one_wins_and_is_named_by_the_others(
    path: Path, journal: Journal, run: Run
) -> None:
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


async def test_each_run_has_a_lock_of_its_own(journal: Journal, run: Run) -> None:
    other = await journal.create_run(NEW_RUN)
    async with journal.taken_up(run):
        assert await journal.holder(other) is None
        assert (await journal.run(other.name)).epoch == 0
        async with journal.taken_up(other):
            await refused(journal, run, "another process works on this run")
        assert await journal.holder(run) is not None


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
