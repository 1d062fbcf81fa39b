"""The store of a journal in one SQLite file: a read connection, a write thread, and the locks of its runs.

The journal needs this of its database: transactions that are durable when they return, and one runner a run.
Connections are opened and closed in worker threads. The thread of a cancelled task runs on, so `close` waits for an
opening under way, and no connection is left open.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from checkpoints.address import JournalAddress
from checkpoints.errors import JournalNotCleaned
from checkpoints.journal_file import JournalFile
from checkpoints.queries import Queries
from checkpoints.sqlite_connection import BUSY_SECONDS, SQLITE, JournalReader, SqliteQueries, connect
from checkpoints.sqlite_schema import prepare, prepared
from checkpoints.store import Store
from checkpoints.writer import Writer
from texts.said import said

Result = TypeVar("Result")


class SqliteStore(Store):
    """The store at `path`; it can be read and written once it is open."""

    _file: JournalFile
    _reader: JournalReader
    _writer: Writer[sqlite3.Connection]

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path.resolve()
        self.address = JournalAddress(self.path)
        self._loop = loop
        self._one_at_a_time = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._closed = False

    def open(self) -> None:
        """Open the journal, and create it if it does not exist; blocks. Raises what `prepare` raises."""
        with self._one_at_a_time, contextlib.ExitStack() as opened:
            if self._closed:
                # Closed before this thread had its turn.
                return
            self._file = JournalFile(self.path)
            opened.callback(self._file.close)
            # Two processes that create it at once would find it incomplete, or SQLite busy changing its mode.
            with self._file.making(BUSY_SECONDS):
                self.kept_copy = prepare(self.path, in_use=self._file.is_in_use())
            self._reader = JournalReader(connect(self.path), self.path)
            opened.callback(self._reader.close)
            self._writer = Writer(connect(self.path), SQLITE, self._loop)
            opened.callback(self._writer.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Finish all accepted writes, and close everything; blocks. Raises `JournalNotClosed`."""
        with self._one_at_a_time:
            self._closed = True
            self._opened.close()

    async def read(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` on the committed data. Raises `JournalUnreadable`."""
        return await self._reader.do(work)

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` in one transaction, durable when this returns. Raises what `Writer.do` raises.

        A journal that was removed meanwhile is not written.
        """

        def in_the_file(connection: sqlite3.Connection) -> Result:
            self._file.require_there()
            return work(SqliteQueries(connection))

        return await self._writer.do(in_the_file)

    async def size(self) -> int:
        """The bytes of the file with its log."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(one.stat().st_size for one in files if one.exists())

    async def clean(self) -> None:
        """Rewrite the file without what was deleted from it. Raises `JournalNotCleaned`."""
        await anyio.to_thread.run_sync(self._clean)

    def _clean(self) -> None:
        with self._one_at_a_time, contextlib.closing(connect(self.path)) as connection:
            try:
                connection.execute("vacuum")
                # The log still has the old pages. It is emptied once no other connection reads them.
                (is_busy, *_) = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
                if not is_busy:
                    SqliteQueries(connection).write("mark_cleaned", is_cleaned=1)
            except sqlite3.Error as error:
                raise JournalNotCleaned(
                    said(
                        "what is removed may still be read in free pages of {path}: it cannot be rewritten: {error}",
                        path=self.path,
                        error=error,
                    )
                ) from error
        if is_busy:
            raise JournalNotCleaned(
                said(
                    "what is removed may still be read in {log}: another process reads the journal, and its log "
                    "cannot be emptied",
                    log=f"{self.path}-wal",
                )
            )

    async def lock(self, run_id: int) -> bool:
        """Take the lock of a run; False if it is held, in this process or in another."""
        return self._file.lock(run_id)

    async def unlock(self, run_id: int) -> None:
        """Release the lock of a run."""
        self._file.unlock(run_id)

    async def is_locked(self, run_id: int) -> bool:
        """Whether the lock of a run is held, by this process or another."""
        return self._file.is_locked(run_id)

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        """Those of the runs whose locks are held."""
        return {run_id for run_id in run_ids if self._file.is_locked(run_id)}


@contextlib.contextmanager
def filled_sqlite(path: Path) -> Iterator[Queries]:
    """A journal at `path` that is made, and written in the context, in one transaction; blocks.

    Raises `JournalUnreadable`, also for what fails within the context, and what `prepare` raises.
    """
    path = path.resolve()
    with contextlib.closing(JournalFile(path)) as file, file.making(BUSY_SECONDS), prepared(path) as (db, _):
        yield db


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqliteStore]:
    """The store at `path`, open for as long as the context lasts."""
    store = SqliteStore(path, asyncio.get_running_loop())
    try:
        await anyio.to_thread.run_sync(store.open)
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(store.close)
