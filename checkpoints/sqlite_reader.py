"""The connection that reads the journal: worker threads use it, one at a time, and it is closed when none is inside.

A task that is cancelled leaves its thread inside SQLite, and to close a connection under a thread is a segmentation
fault. So what excludes a read from the close is a lock of the threads, which no cancellation can break.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from checkpoints.errors import JournalUnreadable

Result = TypeVar("Result")


class Reader:
    """Reads the journal at `path`. Takes the connection over; it may have been opened by any thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._inside = threading.Lock()
        self._closed = False
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What `work` reads, in a thread. Raises `JournalUnreadable`."""
        return await anyio.to_thread.run_sync(self._read, work, limiter=self._one_at_a_time)

    def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._inside:
            if self._closed:
                raise JournalUnreadable(f"the journal {self._path} is closed")
            try:
                return work(self._connection)
            except sqlite3.Error as error:
                raise JournalUnreadable(f"the journal {self._path} cannot be read: {error}") from error

    def close(self) -> None:
        """Break off the read that is under way, and close once no thread is inside. Blocks for as long."""
        self._closed = True
        if not self._inside.acquire(blocking=False):
            self._connection.interrupt()
            self._inside.acquire()
            # An interruption outlives the statement, and would keep the close from taking the log into the journal.
            self._connection.execute("select 1")
        try:
            self._connection.close()
        finally:
            self._inside.release()
