import asyncio
import fcntl
import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.errors import JournalTooNew, JournalTooOld, JournalUnreadable
from checkpoints.journal import open_journal
from checkpoints.sqlite_store import APPLICATION_ID, connect, prepare
from checkpoints.statements import formats
from checkpoints.states import State
from tests.checkpoints.samples import all_items, frozen_run, new_item

ADD_COLOUR = "-- Colours.\nalter table items add column colour text;\ncreate index by_colour\non items (colour);\n"


@contextmanager
def plain(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def pragma(path: Path, name: str) -> int:
    with plain(path) as connection:
        return int(connection.execute(f"pragma {name}").fetchone()[0])


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def contents(path: Path) -> dict[str, str]:
    return {entry.name: fingerprint(entry) for entry in path.parent.iterdir()}


# ---- a new file and one that was there ---------------------------------------------------------------------------


async def test_a_fresh_file_becomes_a_journal_of_the_newest_format(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "journal.db"
    async with open_journal(path) as journal:
        assert await journal.runs() == []
    assert pragma(path, "user_version") == len(formats())
    assert pragma(path, "application_id") == APPLICATION_ID


async def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    written(path, b"")
    async with open_journal(path) as journal:
        assert await journal.runs() == []


async def test_reopening_finds_what_was_there(path: Path) -> None:
    async with open_journal(path) as journal:
        run = await frozen_run(journal, new_item("1"), new_item("2"))
        before = await all_items(journal, run)
    async with open_journal(path) as journal:
        assert await journal.runs() == [run]
        assert await all_items(journal, run) == before


def test_preparing_twice_changes_nothing(path: Path) -> None:
    prepare(path)
    before = contents(path)
    prepare(path)
    assert contents(path) == before


@pytest.mark.parametrize(("name", "wanted"), [("synchronous", 2), ("foreign_keys", 1)])
def test_every_connection_is_durable_and_keeps_references(path: Path, name: str, wanted: int) -> None:
    prepare(path)
    with closing(connect(path)) as connection:
        assert connection.execute(f"pragma {name}").fetchone() == (wanted,)
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


async def test_what_was_loaded_is_nobody_elses_business(path: Path) -> None:
    old = os.umask(0)
    try:
        async with open_journal(path) as journal:
            run = await frozen_run(journal, new_item("1"))
            async with journal.taken_up(run):
                modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert path.name in modes
    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}


# ---- formats -----------------------------------------------------------------------------------------------------


def test_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    prepare(path, [*formats(), ADD_COLOUR])
    before = contents(path)
    known = len(formats())
    with pytest.raises(JournalTooNew, match=rf"format {known + 1}; this one knows {known}.*install that version"):
        prepare(path)
    assert contents(path) == before


async def test_a_newer_format_is_refused_at_the_door(path: Path) -> None:
    prepare(path, [*formats(), ADD_COLOUR])
    before = contents(path)
    with pytest.raises(JournalTooNew):
        async with open_journal(path):
            pass
    assert contents(path) == before


async def test_an_older_format_is_migrated_and_keeps_its_rows(path: Path) -> None:
    async with open_journal(path) as journal:
        run = await frozen_run(journal, new_item("1"), new_item("2"))
        before = await all_items(journal, run)
    prepare(path, [*formats(), ADD_COLOUR])
    assert pragma(path, "user_version") == len(formats()) + 1
    with plain(path) as connection:
        assert connection.execute("select number, colour from items").fetchall() == [(1, None), (2, None)]
    shutil.copy(path, path.with_suffix(".copy"))
    with plain(path) as connection:
        connection.execute(f"pragma user_version = {len(formats())}")
    async with open_journal(path) as journal:
        assert await all_items(journal, run) == before


def test_a_journal_that_an_earlier_version_works_on_is_not_taken_from_under_it(path: Path) -> None:
    prepare(path, formats()[:2])
    lock = path.with_name(f"{path.name}-k7m2q.lock")
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(JournalTooOld, match=r"works on .* at this moment \(journal\.db-k7m2q\.lock is locked\)"):
            prepare(path)
        assert pragma(path, "user_version") == 2
    # What was left by a process that was killed is in nobody's way.
    prepare(path)
    assert pragma(path, "user_version") == len(formats())
    assert not lock.exists()


def test_only_the_missing_steps_are_made(path: Path) -> None:
    prepare(path)
    prepare(path, ["this step was made long ago;", *formats()[1:], ADD_COLOUR])
    assert pragma(path, "user_version") == len(formats()) + 1


@pytest.mark.parametrize("broken", ["insert into nowhere values (1);", "create table runs (a);", "gibberish;"])
def test_a_migration_that_fails_leaves_the_old_format_whole(path: Path, broken: str) -> None:
    prepare(path)
    with plain(path) as connection:
        before = list(connection.iterdump())
    with pytest.raises(JournalUnreadable, match="cannot be used as a journal"):
        prepare(path, [*formats(), ADD_COLOUR, f"create table half (a integer);\n{broken}\n"])
    with plain(path) as connection:
        assert list(connection.iterdump()) == before
    assert pragma(path, "user_version") == len(formats())
    prepare(path)


def test_a_first_format_that_fails_leaves_an_empty_file(path: Path) -> None:
    with pytest.raises(JournalUnreadable):
        prepare(path, [f"{formats()[0]}\ngibberish;\n"])
    with plain(path) as connection:
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
    prepare(path)


# ---- what is no journal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_another_programs_database_is_refused_and_left_alone(path: Path, mode: str) -> None:
    with plain(path) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
        connection.execute("create table bookmarks (url text)")
        connection.execute("insert into bookmarks values ('http://example.org')")
    before = fingerprint(path)
    with pytest.raises(JournalUnreadable, match="a database of another program"):
        async with open_journal(path):
            pass
    assert fingerprint(path) == before
    with plain(path) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == (mode,)


@pytest.mark.parametrize("text", ["id;amount\n1;50\n", "xy", "SQLite format 3\0 but not really" + "." * 5000])
async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, text: str) -> None:
    written(path, text.encode())
    before = contents(path)
    with pytest.raises(JournalUnreadable, match=path.name):
        async with open_journal(path):
            pass
    assert contents(path) == before


def spoil(path: Path) -> None:
    """Leave the first page, with all that tells a journal, and make noise of the rest."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


async def test_a_damaged_journal_is_told_as_one(path: Path) -> None:
    async with open_journal(path) as journal:
        await frozen_run(journal, *(new_item(str(number)) for number in range(200)))
    spoil(path)
    with pytest.raises(JournalUnreadable):
        async with open_journal(path) as journal:
            await journal.runs()


async def test_a_folder_that_cannot_be_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnreadable, match=r"journal\.db cannot be written: "):
        async with open_journal(tmp_path / "file" / "journal.db"):
            pass


async def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalUnreadable, match="Is a directory"):
        async with open_journal(tmp_path):
            pass


async def test_a_place_that_nobody_may_write_to_is_told() -> None:
    # Not even root can make a file there.
    with pytest.raises(JournalUnreadable, match="/proc/journal"):
        async with open_journal(Path("/proc/journal.db")):
            pass


# ---- for other eyes ----------------------------------------------------------------------------------------------


async def test_anybody_can_read_a_journal_while_it_is_open(path: Path) -> None:
    async with open_journal(path) as journal:
        await frozen_run(journal, new_item("1", "0.10"), new_item("2", "0.20"))
        with plain(path) as connection:
            assert connection.execute("select key, amount, state from items order by number").fetchall() == [
                ("1", "0.10", "pending"),
                ("2", "0.20", "pending"),
            ]


async def test_not_even_by_hand_can_a_forbidden_step_be_written(path: Path) -> None:
    async with open_journal(path) as journal:
        run = await frozen_run(journal, new_item("1"))
        with plain(path) as connection:
            with pytest.raises(sqlite3.IntegrityError, match="forbidden transition"):
                connection.execute("update items set state = 'accepted'")
            with pytest.raises(sqlite3.IntegrityError, match="forbidden transition"):
                connection.execute(
                    "insert into items (run_id, number, key, label, lane, payload, row, state, frozen_at, changed_at)"
                    " select run_id, 2, key, label, lane, payload, row, 'accepted', frozen_at, changed_at from items"
                )
        assert [item.state for item in await all_items(journal, run)] == [State.PENDING]


def test_the_shell_adds_up_as_the_first_lines_of_the_format_say(path: Path) -> None:
    async def write() -> None:
        async with open_journal(path) as journal:
            await frozen_run(journal, new_item("1", "0.10"), new_item("2", "0.20"))

    asyncio.run(write())
    question = formats()[0].splitlines()[1].removeprefix("--").strip()
    assert question.startswith("select state, count(*), decimal_sum(amount)")
    shell = shutil.which("sqlite3") or ""
    answer = subprocess.run([shell, path, question], capture_output=True, text=True, check=True)  # noqa: S603 - the shell that stands on this machine, with our own question
    state, count, amount = answer.stdout.strip().split("|")
    assert (state, count, Decimal(amount)) == ("pending", "2", Decimal("0.30"))
