"""What the lab does to the journal's file, and that it leaves it as it was."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lab.crash.journals import Alias, Elsewhere, aliased, back_up, forgotten_by, put_back, set_aside


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "the.journal"


@pytest.fixture
def writer(journal: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who has it open, and whose entries are in the write-ahead log alone."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table t (n integer)")
        connection.execute("insert into t values (1)")
        yield connection


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("select n from t")]


def test_a_copy_has_what_was_there_at_its_moment_and_takes_the_journals_place(
    journal: Path, writer: sqlite3.Connection
) -> None:
    copy = journal.with_name("copy")
    back_up(journal, copy)
    writer.execute("insert into t values (2)")
    assert (numbers(journal), numbers(copy)) == ([1, 2], [1])
    back_up(journal, copy)
    writer.execute("insert into t values (3)")
    put_back(copy, journal)
    assert numbers(journal) == [1, 2]
    assert not copy.exists()


@pytest.mark.parametrize("alias", [Alias.SYMBOLIC_LINK, Alias.HARD_LINK])
def test_a_link_is_another_name_of_the_same_file_and_leaves_nothing(alias: Alias, journal: Path) -> None:
    journal.write_bytes(b"")
    with aliased(journal, alias) as name:
        assert name != journal
        assert name.samefile(journal)
        assert (alias is Alias.SYMBOLIC_LINK) == name.is_symlink()
        name.with_name(f"{name.name}-wal").touch()
    assert [path.name for path in journal.parent.iterdir()] == [journal.name]


def test_the_lock_files_go_and_no_others(journal: Path) -> None:
    for file in ("the.journal", "the.journal-k7m2q.lock", "other.lock"):
        journal.with_name(file).touch()
    with aliased(journal, Alias.NO_LOCK_FILES) as name:
        assert name == journal
    assert sorted(path.name for path in journal.parent.iterdir()) == ["other.lock", "the.journal"]


@pytest.mark.parametrize("elsewhere", list(Elsewhere))
def test_a_journal_that_was_set_aside_comes_back_whole(
    elsewhere: Elsewhere, journal: Path, writer: sqlite3.Connection
) -> None:
    assert writer.execute("select count(*) from t").fetchone() == (1,)
    with set_aside(journal, elsewhere) as other:
        assert (other == journal) == (elsewhere is not Elsewhere.OTHER_FOLDER)
        assert other.exists() == (elsewhere is Elsewhere.EMPTY)
        other.write_bytes(b"somebody else's")
    assert numbers(journal) == [1]


def test_rows_that_were_sent_since_the_copy_are_told(journal: Path) -> None:
    copy = journal.with_name("copy")
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("create table runs (run_id integer, discarded_at text)")
        connection.execute("create table items (run_id integer, key text, attempts integer)")
        connection.execute("insert into runs values (1, null), (2, '2026-01-01T00:00:00Z')")
        connection.execute(
            "insert into items values (1, 'sent', 1), (1, 'waits', 0), (1, 'again', 1), (2, 'given up', 0)"
        )
        back_up(journal, copy)
        connection.execute("update items set attempts = attempts + 1 where key in ('again', 'waits', 'given up')")
        connection.execute("insert into items values (1, 'new', 1)")
    assert forgotten_by(copy, journal) == {"again", "waits", "new"}
