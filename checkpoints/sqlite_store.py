"""A journal in one SQLite file: a connection that reads, a thread that writes, and the locks of its runs.

This is all that the journal asks of its database: blocks run in a transaction, durable when they return, and one
runner a run. Connections are opened and closed in worker threads. A task that is cancelled leaves its thread alone
with what it does, so the close waits for an opening that is still under way, and nothing is left open by it.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from checkpoints.journal_file import JournalFile
from checkpoints.queries import Queries
from checkpoints.sqlite_connection import BUSY_SECONDS, JournalReader, connect
from checkpoints.sqlite_schema import prepare
from checkpoints.sqlite_writer import Writer

Result = TypeVar("Result")


class SqliteStore:
    """The journal at `path`; it can be read and written once it is open."""

    _file: JournalFile
    _reader: JournalReader
    _writer: Writer

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path.resolve()
        self._loop = loop
        self._one_at_a_time = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._closed = False

    def open(self) -> None:
        """Open the journal, making it where there is none; blocks. Raises what `prepare` raises."""
        with self._one_at_a_time, contextlib.ExitStack() as opened:
            if self._closed:
                # Given up before this thread had its turn.
                return
            self._file = JournalFile(self.path)
            opened.callback(self._file.close)
            # Two that make it at one moment would find it half made, or SQLite busy with changing its mode.
            with self._file.making(BUSY_SECONDS):
                prepare(self.path)
            self._reader = JournalReader(connect(self.path), self.path)
            opened.callback(self._reader.close)
            self._writer = Writer(connect(self.path), self._loop)
            opened.callback(self._writer.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Finish what was handed over, and close all that is open; blocks. Raises `JournalNotClosed`."""
        with self._one_at_a_time:
            self._closed = True
            self._opened.close()

    async def read(self, work: Callable[[Queries], Result]) -> Result:
        """What `work` reads of what was committed. Raises `JournalUnreadable`."""
        return await self._reader.do(lambda connection: work(Queries(connection)))

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Do `work` in one transaction, durable when this returns. Raises what `Writer.do` raises."""
        return await self._writer.do(lambda connection: work(Queries(connection)))

    def lock(self, run_id: int) -> bool:
        """Take the lock of a run; False when somebody else has it, in this process or in another."""
        return self._file.lock(run_id)

    def unlock(self, run_id: int) -> None:
        """Let go of the lock of a run."""
        self._file.unlock(run_id)

    def is_locked(self, run_id: int) -> bool:
        """Whether anybody has the lock of a run, ourselves included."""
        return self._file.is_locked(run_id)


@asynccontextmanager
async def open_store(path: Path) -> AsyncIterator[SqliteStore]:
    """The journal at `path`, open for as long as the context lasts."""
    store = SqliteStore(path, asyncio.get_running_loop())
    try:
        await anyio.to_thread.run_sync(store.open)
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(store.close)
