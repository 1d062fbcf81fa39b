"""Connections to a journal's file: their pragmas, their exact sums, and how one of them is read and closed."""

import sqlite3
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from checkpoints.errors import JournalUnreadable

Result = TypeVar("Result")

BUSY_SECONDS: Final = 30
"""How long a write waits for another process's commit."""


class _DecimalSum:
    """`decimal_sum(amount)`: exact, of text; the `sqlite3` shell has one of the same name."""

    def __init__(self) -> None:
        self._sum = Decimal(0)

    def step(self, value: str | None) -> None:
        if value is not None:
            self._sum += Decimal(value)

    def finalize(self) -> str:
        return format(self._sum, "f")


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal at `path`, in autocommit: transactions are begun by name. Raises `JournalUnreadable`."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]  # the stub knows int only
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma recursive_triggers = on")
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be opened as a journal: {error}") from error
    return connection


class JournalReader:
    """The connection that reads the journal at `path`, which it takes over; any thread may have opened it.

    Worker threads use it, one at a time, and it is closed when none is inside. A task that is cancelled leaves its
    thread inside SQLite, and to close a connection under a thread is a segmentation fault. So what excludes a read
    from the close is a lock of the threads, which no cancellation can break.
    """

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
