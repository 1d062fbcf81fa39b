"""What a journal has of earlier runs, for whoever only wants to look: it is opened for reading and nothing else."""

import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from checkpoints import sqlite_rows as rows
from checkpoints.errors import JournalTooNew, JournalUnreadable
from checkpoints.records import EarlierEntry, KnownMark
from checkpoints.sqlite_reader import Reader
from checkpoints.sqlite_store import BUSY_SECONDS, format_of
from checkpoints.statements import formats, statement


class Earlier:
    """The items of all runs, by business key."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader

    async def twins(self, job: str, keys: Collection[str]) -> list[EarlierEntry]:
        """Items of the same job, on any target, whose key is one of these and whose effect stands."""
        if self._reader is None:
            return []
        wanted = {"job": job, "keys": msgspec.json.encode(sorted(keys)).decode()}
        return await self._reader.do(
            lambda db: [rows.to_twin(row) for row in db.execute(statement("earlier"), wanted)]
        )

    async def known_marks(self, marks: Collection[tuple[str, int]]) -> list[KnownMark]:
        """Of these marks, by run and number, those whose items are in the journal."""
        if self._reader is None:
            return []
        wanted = {"marks": msgspec.json.encode(sorted(marks)).decode()}
        return await self._reader.do(
            lambda db: [rows.to_known_mark(row) for row in db.execute(statement("known_marks"), wanted)]
        )


@asynccontextmanager
async def earlier_runs(path: Path) -> AsyncIterator[Earlier]:
    """The journal at `path`, none of whose bytes can be changed through it; empty where there is no journal.

    Raises `JournalUnreadable` and `JournalTooNew`.
    """
    if not await anyio.Path(path).exists():
        yield Earlier(None)
        return
    reader = Reader(_opened(path), path)
    try:
        has_runs = await reader.do(lambda db: _has_runs(db, path))
        yield Earlier(reader if has_runs else None)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(reader.close)


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
