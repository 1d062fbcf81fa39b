"""The store of a journal by its address: opened to work with, or only to look into its earlier runs."""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.to_thread

from checkpoints import rows
from checkpoints.journal_file import JournalAddress
from checkpoints.queries import Queries, Result
from checkpoints.records import EarlierEntry, Item, KnownMark, NewItem, Run, RunRow, StandingItem, Totals
from checkpoints.sqlite_store import SqliteStore
from checkpoints.store import Reader
from checkpoints.transitions import (
    half_undone,
    known_marks,
    left_open,
    rows_of_run,
    rows_with_keys,
    standing_items,
    totals_of,
    twins_of,
)

if TYPE_CHECKING:
    from checkpoints.postgres_store import PostgresStore


AnyStore: TypeAlias = "SqliteStore | PostgresStore"


def store_of(where: Path | JournalAddress) -> AnyStore:
    """The store of a journal, of which nothing is open yet; a path is the whole address of a file."""
    address = JournalAddress(where) if isinstance(where, Path) else where
    if address.postgres is None:
        return SqliteStore(address)
    from checkpoints.postgres_store import PostgresStore  # noqa: PLC0415 - an extra

    return PostgresStore(address, address.postgres)


def is_there(where: Path | JournalAddress) -> bool:
    """Whether there is a journal; an empty file counts as one; blocks. Raises what `SqliteStore.look` raises."""
    store = store_of(where)
    if isinstance(store, SqliteStore):
        return store.path.exists()
    with store.look() as db:
        return db is not None


class Earlier:
    """The items of all runs, by business key; none without a journal.

    A worker thread reads, one at a time, and closing waits for it.
    """

    def __init__(self) -> None:
        self.opened = contextlib.ExitStack()
        self.reader: Reader | None = None

    async def twins(self, job: str, items: Sequence[NewItem]) -> list[list[EarlierEntry]]:
        return await self._read(lambda db: twins_of(db, job, items), [[] for _ in items])

    async def known_marks(self, marks: Collection[tuple[str, int, str, str]]) -> list[KnownMark]:
        return await self._read(lambda db: known_marks(db, marks), [])

    async def standing_in_lanes(
        self, job: str, target: str, items: Sequence[NewItem | Item], own: str
    ) -> list[StandingItem]:
        return await self._read(lambda db: standing_items(db, job, target, items, own), [])

    async def left_open(self, target: str, keys: Collection[str], own: str) -> list[StandingItem]:
        return await self._read(lambda db: left_open(db, target, keys, own), [])

    async def half_undone(self, undos: Sequence[int], run: Run, keys: Sequence[str]) -> int | None:
        return await self._read(lambda db: half_undone(db, undos, run, keys), None)

    async def totals(self, run: Run) -> Totals:
        return await self._read(lambda db: totals_of(db, run), Totals())

    async def rows_of(self, run: Run, *, after: int = 0, size: int = 1000) -> list[RunRow]:
        """The same as of `Journal`."""
        return await self._read(lambda db: rows_of_run(db, run, after=after, size=size), [])

    async def rows_with(self, run: Run, keys: Collection[str]) -> dict[str, RunRow]:
        return await self._read(lambda db: rows_with_keys(db, run, keys), {})

    async def _read(self, work: Callable[[Queries], Result], nothing: Result) -> Result:
        return nothing if self.reader is None else await self.reader.do(work)


@asynccontextmanager
async def earlier_runs(where: Path | JournalAddress) -> AsyncIterator[Earlier]:
    """The runs of a journal, opened read-only; no runs if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    earlier = Earlier()
    try:
        db = await anyio.to_thread.run_sync(earlier.opened.enter_context, store_of(where).look())
        earlier.reader = None if db is None else Reader(earlier.opened, db)
        yield earlier
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync((earlier.reader or earlier.opened).close)


def runs_of(where: Path | JournalAddress) -> list[Run]:
    """The runs of a journal, the oldest first, read-only and at once; none if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    with store_of(where).look() as db:
        return [] if db is None else [rows.to_run(row) for row in db.each("runs")]
