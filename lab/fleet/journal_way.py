"""The way of one worker to PostgreSQL: a proxy that can be cut, or swallow whatever comes.

It runs in the lab's own process, so it survives kills of the worker and restarts of the server.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

_HOST: Final = "127.0.0.1"
_ABORT: Final = struct.pack("ii", 1, 0)
_PART: Final = 64 * 1024


class JournalWay:
    """Passes the connections to a port of 127.0.0.1 on to the server's port `target`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._is_cut = False
        self._open = asyncio.Event()
        self._open.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve while the context lasts; all connections are reset at its end."""
        server = await asyncio.start_server(self._accept, _HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset all connections, and each new one, until it is mended."""
        self._is_cut = True
        for end in tuple(self._ends):
            _reset(end)

    def swallow(self) -> None:
        """Pass nothing on any more, and keep every connection; nor does a new one lead anywhere."""
        self._open.clear()

    def mend(self) -> None:
        """Let it pass again: what was swallowed goes on its way, where both ends are still there."""
        self._is_cut = False
        self._open.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step closes nothing itself.
        task.add_done_callback(lambda _: _reset(writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return
        self._ends.add(writer)
        try:
            await self._open.wait()
            from_server, to_server = await asyncio.open_connection(_HOST, self._target)
        except OSError:
            self._ends.discard(writer)
            return
        self._ends.add(to_server)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, to_server))
                both.create_task(self._pass(from_server, writer))
        finally:
            self._ends -= {writer, to_server}
            _reset(to_server)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await source.read(_PART):
                await self._open.wait()
                target.write(part)
                await target.drain()
        # One end has gone, by whatever way: so goes the other.
        target.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    socket = writer.get_extra_info("socket")
    if socket is not None:
        # A transport that has ended has no socket any more: uvloop says so with a ValueError.
        with suppress(OSError, ValueError):
            socket.setsockopt(SOL_SOCKET, SO_LINGER, _ABORT)
    writer.transport.abort()
    writer.close()
