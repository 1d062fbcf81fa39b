"""What a journal has of earlier runs, for whoever only wants to look: it is opened for reading and nothing else."""

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from checkpoints import rows
from checkpoints.errors import JournalTooNew, JournalUnreadable
from checkpoints.records import Twin
from checkpoints.statements import formats, statement
from checkpoints.store import BUSY_SECONDS, format_of


class Earlier:
    """The items of all runs, by business key. Used from a worker thread, one call at a time."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    def twins(self, job: str, keys: Collection[str]) -> list[Twin]:
        """Items of the same job, on any target, whose key is one of these and whose effect stands."""
        if self._connection is None:
            return []
        wanted = {"job": job, "keys": msgspec.json.encode(sorted(keys)).decode()}
        try:
            return [rows.to_twin(row) for row in self._connection.execute(statement("earlier"), wanted)]
        except sqlite3.Error as error:
            raise JournalUnreadable(f"the journal cannot be read: {error}") from error


@contextmanager
def earlier_runs(path: Path) -> Iterator[Earlier]:
    """The journal at `path`, none of whose bytes can be changed through it; empty where there is no journal.

    Raises `JournalUnreadable` and `JournalTooNew`.
    """
    if not path.exists():
        yield Earlier(None)
        return
    with contextlib.closing(_opened(path)) as connection:
        yield Earlier(connection if _has_runs(connection, path) else None)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        # Percent-encoding: a path may hold what a URI would take for its own.
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be opened as a journal: {error}") from error


def _has_runs(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether there is something to look at: a file that is empty yet is as good as none."""
    try:
        found, newest = format_of(connection, path), len(formats())
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be read as a journal: {error}") from error
    if found > newest:
        raise JournalTooNew(
            f"{path} was written by a newer carbon-migrate (format {found}; this one knows {newest}): install that "
            "version or name another journal"
        )
    if 0 < found < newest:
        raise JournalUnreadable(
            f"{path} was written by an earlier carbon-migrate (format {found}; this one has {newest}), and only "
            "looking changes nothing: type carbon-migrate status once, which brings it up to date"
        )
    return found > 0
