"""The store of a journal: what the journal needs of a database.

Two stores have it: `sqlite_store.py`, one file on this machine, and `postgres_store.py`, for several machines.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio

from checkpoints.address import JournalAddress
from checkpoints.queries import FoundRow, Queries, Value
from checkpoints.rows import Record, record

Result = TypeVar("Result")

WaitForNews = Callable[[], Awaitable[None]]
"""Waits until there may be something new in the mailbox."""

LOOK: Final = 0.2
"""Seconds between two looks into a mailbox whose news nobody announces."""


class Store(ABC):
    """An open store: transactions that are durable when they return, and one runner a run.

    `kept_copy` is the copy of a journal of an earlier format that was made when this store opened it, None where it
    had to convert nothing.
    """

    address: JournalAddress
    kept_copy: Path | None = None

    @abstractmethod
    async def read(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` on the committed data. Raises `JournalUnreadable`."""

    @abstractmethod
    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` in one transaction, durable when this returns. Raises what `Writer.do` raises."""

    async def all(self, name: str, /, **values: Value) -> list[FoundRow]:
        """All rows of a block."""
        return await self.read(lambda db: db.all(name, **values))

    async def first(self, name: str, /, **values: Value) -> FoundRow | None:
        """The first row of a block, None if there is none."""
        return await self.read(lambda db: db.first(name, **values))

    async def records(self, kind: type[Record], name: str, /, **values: Value) -> list[Record]:
        """The rows of a block as records."""
        return [record(kind, row) for row in await self.all(name, **values)]

    async def do(self, name: str, /, **values: Value) -> int:
        """Run a block that writes, in a transaction of its own; returns the number of rows written."""
        return await self.write(lambda db: db.write(name, **values))

    @abstractmethod
    async def lock(self, run_id: int) -> bool:
        """Take the lock of a run; False if it is held, in this process or in another. Raises `JournalUnreadable`."""

    @abstractmethod
    async def unlock(self, run_id: int) -> None:
        """Release the lock of a run."""

    @abstractmethod
    async def is_locked(self, run_id: int) -> bool:
        """Whether the lock of a run is held, by this process or another. Raises `JournalUnreadable`."""

    @abstractmethod
    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        """Those of the runs whose locks are held. Raises `JournalUnreadable`."""

    @asynccontextmanager
    async def listening(self, run_id: int) -> AsyncIterator[WaitForNews]:
        """Gives what waits for news of a run's mailbox; what is announced between two waits ends the next at once."""
        yield partial(anyio.sleep, LOOK)

    def announce(self, db: Queries, run_id: int) -> None:
        """Wake who listens for a run's mailbox, when the transaction is committed."""

    async def renew(self, run_id: int, epoch: int, pace: str | None) -> bool:
        """Renew the lease of a runner; False where it has none, or no longer. Raises `JournalUnreadable`.

        The `pace` of its billing is kept for the next owner, None keeps the one that is there.
        """
        return True

    def cut(self) -> None:
        """End the connections to a database that does not answer: what waits for it fails. Does not block."""

    @abstractmethod
    async def size(self) -> int:
        """The bytes of all that is stored. Raises `JournalUnreadable`."""

    @abstractmethod
    async def clean(self) -> None:
        """Rewrite what is stored without what was deleted from it. Raises `JournalNotCleaned`."""
