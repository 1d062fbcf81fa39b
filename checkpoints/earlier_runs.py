"""The earlier runs of a journal, opened for reading only."""

import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from checkpoints import sqlite_rows as rows
from checkpoints.errors import JournalUnreadable
from checkpoints.queries import Queries
from checkpoints.records import EarlierEntry, KnownMark, StandingItem
from checkpoints.sqlite_connection import BUSY_SECONDS, JournalReader
from checkpoints.sqlite_schema import has_format


class Earlier:
    """The items of all runs, by business key."""

    def __init__(self, reader: JournalReader | None) -> None:
        self._reader = reader

    async def twins(self, job: str, keys: Collection[str]) -> list[EarlierEntry]:
        """The items of a job with one of these keys whose effect stands, on any target."""
        if self._reader is None:
            return []
        return await self._reader.do(
            lambda db: [rows.to_twin(row) for row in Queries(db).each("earlier", job=job, keys=keys)]
        )

    async def known_marks(self, marks: Collection[tuple[str, int]]) -> list[KnownMark]:
        """Those of the marks (pairs of run and number) whose items are in the journal."""
        if self._reader is None:
            return []
        return await self._reader.do(
            lambda db: [rows.to_known_mark(row) for row in Queries(db).each("known_marks", marks=marks)]
        )

    async def standing_in_lanes(self, job: str, target: str, lanes: Collection[str], own: str) -> list[StandingItem]:
        """The items in these lanes whose effect stands, of the job's runs for a target other than the run `own`."""
        if self._reader is None:
            return []
        values = {"job": job, "target": target, "lanes": lanes, "own": own}
        return await self._reader.do(
            lambda db: [rows.to_standing_item(row) for row in Queries(db).each("standing_in_lanes", **values)]
        )


@asynccontextmanager
async def earlier_runs(path: Path) -> AsyncIterator[Earlier]:
    """The runs of the journal at `path`, opened read-only; no runs if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    if not await anyio.Path(path).exists():
        yield Earlier(None)
        return
    reader = JournalReader(connect_to_look(path), path)
    try:
        has_runs = await reader.do(lambda db: _has_runs(db, path))
        yield Earlier(reader if has_runs else None)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(reader.close)


def _has_runs(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is a journal; False for an empty file."""
    try:
        return has_format(connection, path)
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be read as a journal: {error}") from error


def connect_to_look(path: Path) -> sqlite3.Connection:
    """Open the journal at `path` read-only. Raises `JournalUnreadable`."""
    try:
        connection = sqlite3.connect(read_only(path), uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be opened as a journal: {error}") from error
    connection.row_factory = sqlite3.Row
    return connection


def read_only(path: Path) -> str:
    """The SQLite URI that opens a file read-only; special characters of the path are percent-encoded."""
    return f"{path.absolute().as_uri()}?mode=ro"
