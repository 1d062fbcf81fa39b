"""The store of a journal by its address: opened to work with, or only to look into its earlier runs."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from checkpoints import rows
from checkpoints.journal_file import JournalAddress
from checkpoints.queries import Queries, Result
from checkpoints.records import Run
from checkpoints.sqlite_store import SqliteStore, empty
from checkpoints.store import Reader, Store

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


class LookedAt(Store):
    """The store of a journal that is only read, of an empty one where there is none: what would write in it fails."""

    def __init__(self, where: Path | JournalAddress) -> None:
        self._looked_at = store_of(where)
        self.address = self._looked_at.address

    def _open(self, opened: ExitStack, loop: asyncio.AbstractEventLoop) -> None:
        if not self.address.is_shared:
            self.address = JournalAddress(self.address.path.resolve())
        looking = ExitStack()
        db = looking.enter_context(self._looked_at.look())
        self._reader = Reader(looking, looking.enter_context(empty()) if db is None else db)
        opened.callback(self._reader.close)

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        return await self.read(work)

    async def lock(self, run_id: int) -> bool:
        return False

    async def unlock(self, run_id: int) -> None:
        """No lock was taken."""

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        raise NotImplementedError

    async def size(self) -> int:
        raise NotImplementedError


def runs_of(where: Path | JournalAddress) -> list[Run]:
    """The runs of a journal, the oldest first, read-only and at once; none if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    with store_of(where).look() as db:
        return [] if db is None else [rows.to_run(row) for row in db.each("runs")]
