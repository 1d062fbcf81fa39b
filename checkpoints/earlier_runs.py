"""The earlier runs of a journal, opened for reading only."""

import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.to_thread

from checkpoints import sqlite_rows as rows
from checkpoints.errors import JournalUnreadable
from checkpoints.intake_pages import standing_items, twins_of
from checkpoints.queries import Queries
from checkpoints.records import EarlierEntry, KnownMark, NewItem, Run, StandingItem
from checkpoints.sqlite_connection import JournalReader, connect_to_look
from checkpoints.sqlite_schema import has_format
from texts.said import said


class Earlier:
    """The items of all runs, by business key."""

    def __init__(self, reader: JournalReader | None) -> None:
        self._reader = reader

    async def twins(self, job: str, items: Sequence[NewItem]) -> list[list[EarlierEntry]]:
        """For each item of a job, the items with its key whose effect stands, on any target."""
        if self._reader is None:
            return [[] for _ in items]
        return await self._reader.do(lambda db: twins_of(Queries(db), job, items))

    async def known_marks(self, marks: Collection[tuple[str, int]]) -> list[KnownMark]:
        """Those of the marks (pairs of run and number) whose items are in the journal."""
        if self._reader is None:
            return []
        return await self._reader.do(
            lambda db: [rows.to_known_mark(row) for row in Queries(db).each("known_marks", marks=marks)]
        )

    async def standing_in_lanes(
        self, job: str, target: str, items: Sequence[NewItem], own: str
    ) -> list[StandingItem]:
        """The items in the lanes of these whose effect stands, of the job's runs for a target but the run `own`."""
        if self._reader is None:
            return []
        return await self._reader.do(lambda db: standing_items(Queries(db), job, target, items, own))


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
        raise JournalUnreadable(
            said("{path} cannot be read as a journal: {error}", path=path, error=error)
        ) from error


def runs_of(path: Path) -> list[Run]:
    """The runs of the journal at `path`, the oldest first, read-only and at once; none if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    if not path.exists():
        return []
    with closing(connect_to_look(path)) as connection:
        if not _has_runs(connection, path):
            return []
        try:
            return [rows.to_run(row) for row in Queries(connection).each("runs")]
        except sqlite3.Error as error:
            raise JournalUnreadable(
                said("{path} cannot be read as a journal: {error}", path=path, error=error)
            ) from error
