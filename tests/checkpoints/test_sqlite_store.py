import asyncio
import hashlib
import os
import re
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from checkpoints.errors import JournalError, JournalOtherFormat, JournalUnreadable
from checkpoints.journal import earlier_runs, open_journal
from checkpoints.queries import FORMAT, blocks, schema
from checkpoints.records import Change
from checkpoints.sqlite_store import APPLICATION_ID, connect, prepare
from checkpoints.states import State, states_where
from tests.checkpoints.samples import all_items, frozen_run, new_item


@contextmanager
def plain(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def pragma(path: Path, name: str) -> int:
    with plain(path) as connection:
        return int(connection.execute(f"pragma {name}").fetchone()[0])


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(path: Path) -> dict[str, str]:
    return {entry.name: fingerprint(entry) for entry in path.parent.iterdir()}


async def test_a_fresh_file_becomes_a_journal_of_the_newest_format(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "journal.db"
    async with open_journal(path) as journal:
        assert await journal.runs() == []
    assert pragma(path, "user_version") == FORMAT
    assert pragma(path, "application_id") == APPLICATION_ID


@pytest.mark.parametrize(("name", "wanted"), [("synchronous", 2), ("foreign_keys", 1)])
def test_every_connection_is_durable_and_keeps_references(path: Path, name: str, wanted: int) -> None:
    prepare(path)
    with closing(connect(path)) as connection:
        assert tuple(connection.execute(f"pragma {name}").fetchone()) == (wanted,)
        assert tuple(connection.execute("pragma journal_mode").fetchone()) == ("wal",)


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


def by_hand(*statements: str, ours: bool = True) -> Callable[[Path], object]:
    """Makes a journal, or a database of another program, to which this was done."""

    def make(path: Path) -> None:
        if ours:
            prepare(path)
        with plain(path) as connection:
            for statement in statements:
                connection.execute(statement)

    return make


def written(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


BOOKMARKS: Final = ("create table bookmarks (url text)", "insert into bookmarks values ('http://example.org')")
NEWER: Final = rf"newer carbon-migrate \(format {FORMAT + 1}; this one knows {FORMAT}\): install that version or name"
NO_JOURNALS: Final[Mapping[str, tuple[Callable[[Path], object], type[JournalError], str]]] = {
    "a newer format": (by_hand(f"pragma user_version = {FORMAT + 1}"), JournalOtherFormat, NEWER),
    "format 4": (
        by_hand("pragma user_version = 4"),
        JournalOtherFormat,
        r"earlier carbon-migrate \(format 4; .*finish its runs with the version that wrote it",
    ),
    "format 1": (
        by_hand("pragma user_version = 1"),
        JournalOtherFormat,
        r"earlier carbon-migrate \(format 1; .*move the file away or name another journal",
    ),
    "a newer state": (
        by_hand("insert into states values ('paid', 0, 1, 1, 1, 0)"),
        JournalOtherFormat,
        r"\(its state paid is not known .*install that",
    ),
    **{
        f"another program's, in {mode}": (
            by_hand(f"pragma journal_mode = {mode}", *BOOKMARKS, ours=False),
            JournalUnreadable,
            "a database of another program",
        )
        for mode in ("delete", "wal")
    },
    **{
        f"{text[:3]}, no database": (written(text), JournalUnreadable, "journal.db")
        for text in ("id;amount\n1;50\n", "xy", "SQLite format 3\0 but not really" + "." * 5000)
    },
}


@pytest.mark.parametrize(("make", "error", "told"), NO_JOURNALS.values(), ids=list(NO_JOURNALS))
async def test_what_is_no_journal_of_this_version_is_refused_with_what_to_do_and_left_alone(
    path: Path, make: Callable[[Path], object], error: type[JournalError], told: str
) -> None:
    make(path)
    before = contents(path)
    with pytest.raises(error, match=told):
        async with open_journal(path):
            pass
    assert contents(path) == before
    # Nor is it looked at.
    with pytest.raises(error, match=told):
        async with earlier_runs(path):
            pass


async def test_an_existing_journal_takes_a_new_state_and_its_steps(path: Path) -> None:
    async with open_journal(path) as journal:
        run = await frozen_run(journal, new_item("1"))
    with plain(path) as connection:
        # As a version has made it that knew neither the state nor a property of another one as we do.
        connection.execute("delete from states where state = 'manual'")
        connection.execute("delete from transitions where 'manual' in (source, target)")
        connection.execute("update states set open = 0 where state = 'unknown'")
    async with open_journal(path) as journal:
        (item,) = await all_items(journal, run)
        await journal.claim(run, [item.item_id])
        for state in (State.UNKNOWN, State.MANUAL, State.ACCEPTED):
            await journal.record(run, [Change(item.item_id, state)])
        (item,) = await all_items(journal, run)
        assert item.state is State.ACCEPTED
    with plain(path) as connection:
        found = connection.execute("select state from states where open order by state").fetchall()
        assert found == [(state,) for state in sorted(states_where(open=True))]


def test_a_journal_that_is_up_to_date_is_opened_without_a_write(path: Path) -> None:
    prepare(path)
    before = contents(path)
    prepare(path)
    assert contents(path) == before


async def test_a_journal_that_is_up_to_date_is_opened_while_somebody_writes_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(path)
    monkeypatch.setattr("checkpoints.sqlite_store.BUSY_SECONDS", 0.01)
    with plain(path) as writer:
        writer.execute("begin immediate")
        async with open_journal(path) as journal:
            assert await journal.runs() == []


def test_a_schema_that_fails_leaves_an_empty_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("checkpoints.sqlite_store.schema", lambda: f"{schema()}\ngibberish;\n")
        with pytest.raises(JournalUnreadable, match="cannot be used as a journal"):
            prepare(path)
    with plain(path) as connection:
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
    prepare(path)


async def test_a_folder_in_the_place_of_the_file_and_a_place_that_is_closed_are_told(tmp_path: Path) -> None:
    # Not even root can make a file there.
    for place, told in ((tmp_path, "Is a directory"), (Path("/proc/journal.db"), "/proc/journal")):
        with pytest.raises(JournalUnreadable, match=told):
            async with open_journal(place):
                pass


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


def test_the_shell_adds_up_as_the_first_lines_of_the_schema_say(path: Path) -> None:
    async def write() -> None:
        async with open_journal(path) as journal:
            await frozen_run(journal, new_item("1", "0.10"), new_item("2", "0.20"))

    asyncio.run(write())
    question = schema().splitlines()[1].removeprefix("--").strip()
    assert question.startswith("select state, count(*), decimal_sum(amount)")
    shell = shutil.which("sqlite3") or ""
    answer = subprocess.run([shell, path, question], capture_output=True, text=True, check=True)  # noqa: S603 - the shell that stands on this machine, with our own question
    state, count, amount = answer.stdout.strip().split("|")
    assert (state, count, Decimal(amount)) == ("pending", "2", Decimal("0.30"))


def plan(path: Path, name: str) -> str:
    prepare(path)
    sql = blocks()[name]
    with closing(connect(path)) as db:
        rows: list[tuple[int, int, int, str]] = db.execute(
            f"explain query plan {sql}", dict.fromkeys(re.findall(r":(\w+)", sql), "[]")
        ).fetchall()
    return "\n".join(row[-1] for row in rows)


ALONG_THE_LIST: Final = r"(?s)(?!.*ORDER BY).*SEARCH items USING INDEX items_by_run \(run_id=\? AND number<\?\)"
PLANS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("claim", "record", "keep", "doubt_answers", "merge_carrier", "merge_rows", "refuse_items"),
            *("withdraw_items", "taken_back_of"),
        ),
        r"(?s).*SEARCH (items|i) USING INTEGER PRIMARY KEY",
    ),
    **dict.fromkeys(
        ("lane_mates", "mates_in_shared_lanes", "first_in_lanes", "standing_by_lane"),
        r"(?s).*SEARCH items USING INDEX items_by_lane \(run_id=\? AND lane=\?\)",
    ),
    "doubt_shared_ids": (
        r"(?s)(?=.*SEARCH (items|i) USING INTEGER PRIMARY KEY)"
        r".*SEARCH one USING INDEX items_by_answer \(run_id=\? AND answer=\?\)"
    ),
    "items_by_key": r"(?s).*SEARCH one USING INDEX items_by_key \(key=\?\)",
    **dict.fromkeys(("in_effect_last_first", "last_unsettled"), ALONG_THE_LIST),
}
"""How a statement finds its items."""


@pytest.mark.parametrize("name", PLANS)
def test_items_are_found_by_an_index(path: Path, name: str) -> None:
    assert re.match(PLANS[name], found := plan(path, name)), found
