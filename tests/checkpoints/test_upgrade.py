"""A journal of the format before: converted when it is opened, with a copy of it kept for going back."""

import os
import resource
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

import pytest

from checkpoints.errors import JournalOtherFormat, JournalUnreadable, RunHeld
from checkpoints.journal import earlier_runs, open_journal
from checkpoints.journal_file import JournalFile
from checkpoints.own_files import kept_copies
from checkpoints.queries import FORMAT
from checkpoints.sqlite_store import prepare
from tests.checkpoints import format5
from tests.checkpoints.processes import hear, process
from tests.checkpoints.samples import all_items


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.journal"
    format5.write(path)
    return path


def copy_of(path: Path, which: str = "") -> Path:
    return path.with_name(f"{path.name}.format5{which}")


async def test_a_journal_of_the_format_before_is_converted_and_kept_as_it_was(path: Path) -> None:
    with pytest.raises(JournalOtherFormat, match=r"format 5; .*`carbon-migrate status --journal"):
        async with earlier_runs(path):
            pass
    before = format5.content(path)
    # What it holds is in its log alone, as after a kill.
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("pragma wal_autocheckpoint = 0")
        writer.execute("update refusals set reason = 'in the log alone' where refusal_id = 2")
        writer.commit()
        async with open_journal(path) as journal:
            assert journal.kept_copy == copy_of(path)
            done, stopped = [await journal.run(name) for name in (format5.DONE, format5.STOPPED)]
            assert [item.label for item in await all_items(journal, done)] == ["Д94/2018", "test"]
            assert (await journal.totals(stopped)).frozen == 12
            *_, (_, refusal) = await journal.refusals(done, size=9)
            assert refusal.reason == "in the log alone"
    assert format5.format_of(path) == FORMAT
    kept = format5.content(copy_of(path))
    assert kept == before.replace("''x'' (column 2): ''x'' is not an amount", "in the log alone")
    assert format5.format_of(copy_of(path)) == 5
    assert copy_of(path).stat().st_mode & 0o777 == 0o600
    async with open_journal(path) as journal:
        assert journal.kept_copy is None


async def test_a_run_that_was_taken_back_before_has_ended_in_the_converted_journal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as older_program:
        older_program.execute(
            "insert into runs (run_id, name, job, parameters, target, source, source_digest, header, created_at, "
            "approved_at) values (77, 'undo1', 'undo', '{}', 'x', 'x', '', '[]', '2026-11-01T10:00:00+00:00', "
            "'2026-11-02T10:00:00+00:00')"
        )
        older_program.execute(
            "insert into items (run_id, number, key, label, lane, payload, row, state, undoes, frozen_at, "
            "changed_at) select 77, 1, 'x', 'x', 'x', '{}', '[]', 'pending', item_id, '2026-11-02', '2026-11-02' "
            "from items join runs using (run_id) where name = ? and number = 1",
            (format5.DONE,),
        )
        older_program.commit()
    async with open_journal(path) as journal:
        done, stopped = [await journal.run(name) for name in (format5.DONE, format5.STOPPED)]
        assert (done.undone_by, str(done.ended_at)) == ("undo1", "2026-11-02 10:00:00+00:00")
        assert (stopped.undone_by, stopped.ended_at) == (None, None)


async def test_a_copy_that_is_there_is_not_overwritten(path: Path) -> None:
    for _ in range(2):
        # The second time as after a kill just before the journal was converted.
        async with open_journal(path):
            pass
        assert kept_copies(path) == [copy_of(path)]
        shutil.copy(copy_of(path), path)
    first = copy_of(path).read_bytes()
    with closing(sqlite3.connect(path)) as older_program:
        older_program.execute("update runs set paused_at = '2026-11-26'")
        older_program.commit()
    async with open_journal(path) as journal:
        assert journal.kept_copy == copy_of(path, "-2")
    assert copy_of(path).read_bytes() == first
    assert "2026-11-26'" in format5.content(copy_of(path, "-2"))
    assert kept_copies(path) == [copy_of(path), copy_of(path, "-2")]
    assert kept_copies(path.with_name("b.journal")) == []


HALF = 60_000
"""Bytes of the journal of format 5."""


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


async def test_without_room_for_the_copy_nothing_is_converted(path: Path) -> None:
    with files_of_at_most(HALF), pytest.raises(JournalUnreadable) as refused:
        async with open_journal(path):
            pass
    assert "earlier format 5, and is not converted: no copy of it can be kept" in str(refused.value)
    assert "make room there and try again" in str(refused.value)
    assert format5.format_of(path) == 5
    assert kept_copies(path) == []


async def test_a_journal_that_the_program_before_works_on_is_left_alone(path: Path) -> None:
    older_program = JournalFile(path)
    assert older_program.lock(2)
    with pytest.raises(RunHeld, match=r"a run of .*a\.journal is worked on by an earlier carbon-migrate"):
        async with open_journal(path):
            pass
    assert (format5.format_of(path), kept_copies(path)) == (5, [])
    older_program.close()
    async with open_journal(path) as journal:
        assert journal.kept_copy


async def test_a_newer_journal_says_which_copy_goes_back(path: Path) -> None:
    async with open_journal(path):
        pass
    shutil.copy(path, path.with_name(f"{path.name}.format{FORMAT}"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {FORMAT + 1}")
    with pytest.raises(JournalOtherFormat, match=rf"go back to the copy .* a\.journal\.format{FORMAT}:"):
        async with open_journal(path):
            pass


STEPS = {"backup", "close", "connect", "execute", "fsync", "open", "rename", "unlink"}
"""The calls that change something on the disk, and those next to them."""


def prepare_and_die(path: Path, last: int) -> bool:
    """Open the journal in a process that kills itself just before its call of this number; whether it got so far."""
    made = 0

    def count_calls(_frame: FrameType, event: str, function: object) -> None:
        nonlocal made
        if event == "c_call" and getattr(function, "__name__", "") in STEPS:
            made += 1
            if made == last:
                os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        sys.setprofile(count_calls)
        prepare(path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def kill_everywhere(pipe: Connection, path: Path) -> None:
    """Convert the journal again and again, killed at each call; tell what was found after each kill, and None."""
    for last in count(1):
        one = path.with_name(f"{last}.journal")
        shutil.copy(path, one)
        if not prepare_and_die(one, last):
            pipe.send(None)
            return
        left = [copy.suffix for copy in kept_copies(one)]
        before = format5.format_of(one), left
        prepare(one)
        whole = format5.format_of(copy_of(one)) == 5 and format5.content(copy_of(one)) == format5.content(path)
        pipe.send(
            (*before, format5.format_of(one), [copy.name for copy in kept_copies(one)] == [copy_of(one).name], whole)
        )


def test_killed_at_any_call_it_is_the_old_journal_or_the_new_one_and_one_copy(path: Path) -> None:
    found = []
    with process(kill_everywhere, path) as (_, pipe):
        while (one := hear(pipe)) is not None:
            assert isinstance(one, tuple)
            found.append(one)
    assert {one[2:] for one in found} == {(FORMAT, True, True)}, "opened again it is new, with one whole copy"
    befores = [(before, *left) for before, left, *_ in found]
    assert set(befores) == {(5,), (5, ".partial"), (5, ".format5"), (FORMAT, ".format5")}
    assert befores == sorted(befores, key=[(5,), (5, ".partial"), (5, ".format5"), (FORMAT, ".format5")].index)
