"""The store of a journal: what the journal needs of a database.

Two stores have it: `sqlite_store.py`, one file on this machine, and `postgres_store.py`, for several machines.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import anyio
import anyio.to_thread

from checkpoints.journal_file import JournalAddress
from checkpoints.queries import FoundRow, Queries, Value
from checkpoints.rows import Record, record

Result = TypeVar("Result")

WaitForNews = Callable[[], Awaitable[None]]
"""Waits until there may be something new in the mailbox."""

LOOK: Final = 0.2
"""Seconds between two looks into a mailbox whose news nobody announces."""


class Reader:
    """What worker threads read with, one at a time, and what is closed when none is inside.

    A cancelled task leaves its thread inside, and closing a connection of SQLite in use is a segmentation fault. So a
    thread lock, which no cancellation can break, separates a read from the close.
    """

    def __init__(self, connection: Any, db: Queries) -> None:  # noqa: ANN401 - whatever can be closed
        self.connection = connection
        self.db = db
        self._inside = threading.Lock()
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def do(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` in a worker thread. Raises `JournalUnreadable`."""

        def read() -> Result:
            with self._inside:
                return self.db.attempt(work)

        return await anyio.to_thread.run_sync(read, limiter=self._one_at_a_time)

    def close(self) -> None:
        with self._inside:
            self.connection.close()


class Store(ABC):
    """A store of transactions that are durable when they return, and of one runner a run.

    Connections are opened and closed in worker threads. The thread of a cancelled task runs on, so closing waits for
    an opening under way, and no connection is left open.

    `kept_copy` is the copy of a journal of an earlier format that was made when this store opened it, None where it
    had to convert nothing.
    """

    address: JournalAddress
    kept_copy: Path | None = None
    _reader: Reader

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """The store, created where there is none, open for as long as the context lasts.

        Raises `JournalOtherFormat`, `JournalUnreadable` and, where it would be converted, `RunHeld`; and
        `JournalNotClosed`.
        """
        one_at_a_time, kept, closed = threading.Lock(), ExitStack(), threading.Event()

        def open_all(loop: asyncio.AbstractEventLoop) -> None:
            with one_at_a_time, ExitStack() as opened:
                # Closed before this thread had its turn?
                if not closed.is_set():
                    self._open(opened, loop)
                    kept.push(opened.pop_all())

        def close_all() -> None:
            with one_at_a_time:
                closed.set()
                kept.close()

        try:
            await anyio.to_thread.run_sync(open_all, asyncio.get_running_loop())
            yield self
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(close_all)

    def _open(self, opened: ExitStack, loop: asyncio.AbstractEventLoop) -> None:
        """Open what reads and writes; `opened` closes it. Blocks."""

    async def read(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` on the committed data. Raises `JournalUnreadable`."""
        return await self._reader.do(work)

    @abstractmethod
    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` in one transaction, durable when this returns. Raises what `Writer.do` raises."""

    async def all(self, name: str, /, **values: Value) -> list[FoundRow]:
        return await self.read(lambda db: db.all(name, **values))

    async def first(self, name: str, /, **values: Value) -> FoundRow | None:
        """The first row of a block, None if there is none."""
        return await self.read(lambda db: db.first(name, **values))

    async def records(self, kind: type[Record], name: str, /, **values: Value) -> list[Record]:
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

    async def is_locked(self, run_id: int) -> bool:
        """Whether the lock of a run is held, by this process or another. Raises `JournalUnreadable`."""
        return run_id in await self.locked_runs([run_id])

    @abstractmethod
    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        """Those of the runs whose locks are held. Raises `JournalUnreadable`."""

    @asynccontextmanager
    async def listening(self, run_id: int) -> AsyncIterator[WaitForNews]:
        """Gives what waits for news of a run's mailbox; what is announced between two waits ends the next at once."""
        yield partial(anyio.sleep, LOOK)

    async def analyze(self, run_id: int) -> None:
        """Let the database learn of the whole list of a run, where it plans by what it knows."""

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

    async def clean(self) -> None:
        """Rewrite what is stored without what was deleted from it. Raises `JournalNotCleaned`."""
        await anyio.to_thread.run_sync(self._clean)

    def _clean(self) -> None:
        """Do what `clean` does; blocks."""
