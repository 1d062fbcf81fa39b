"""What an open journal has open: its file, the connection that reads, and the thread that writes.

They are opened and closed in worker threads. A task that is cancelled leaves its thread alone with what it does, so
the close waits for an opening that is still under way, and nothing is left open by it.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from checkpoints.journal_file import JournalFile
from checkpoints.sqlite_reader import Reader
from checkpoints.sqlite_store import BUSY_SECONDS, connect, prepare
from checkpoints.sqlite_writer import Writer


class Connections:
    """The connections of the journal at `path`; they are there once it is open."""

    file: JournalFile
    reader: Reader
    writer: Writer

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path.resolve()
        self._loop = loop
        self._one_at_a_time = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._closed = False

    def open(self) -> None:
        """Open the journal, making or migrating it as needed; blocks. Raises what `prepare` raises."""
        with self._one_at_a_time, contextlib.ExitStack() as opened:
            if self._closed:
                # Given up before this thread had its turn.
                return
            self.file = JournalFile(self.path)
            opened.callback(self.file.close)
            # Two that make it at one moment would find it half made, or SQLite busy with changing its mode.
            with self.file.making(BUSY_SECONDS):
                prepare(self.path)
            self.reader = Reader(connect(self.path), self.path)
            opened.callback(self.reader.close)
            self.writer = Writer(connect(self.path), self._loop)
            opened.callback(self.writer.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Finish what was handed over, and close all that is open; blocks. Raises `JournalNotClosed`."""
        with self._one_at_a_time:
            self._closed = True
            self._opened.close()


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Connections]:
    """The connections of the journal at `path` for as long as the context lasts."""
    connections = Connections(path, asyncio.get_running_loop())
    try:
        await anyio.to_thread.run_sync(connections.open)
        yield connections
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(connections.close)
