"""Applications of the lab on ports of this machine, and what they share."""

import asyncio
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, TypeVar

import anyio
import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

Served = TypeVar("Served")

LOOPBACK: Final = "127.0.0.1"
_WAITING_CONNECTIONS: Final = 512
_PATIENCE: Final = 3600.0
"""Seconds for requests in work when the port is closed."""
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""A linger time of zero turns a close into a reset."""


class Port:
    """A port of this machine; `open` and `close` may alternate. Raises OSError when it is taken."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self._site: web.SockSite | None = None
        # Bound without listening: this reserves the port while it is closed, and connections are refused.
        self._claim = bound(port)
        self._number: int = self._claim.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self._number}"
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> list[web.RequestHandler]:
        return self._runner.server.connections if self._runner.server is not None else []

    async def open(self) -> None:
        if self._site is None:
            site = web.SockSite(self._runner, bound(self._number), backlog=_WAITING_CONNECTIONS)
            await site.start()
            self._site = site

    async def close(self) -> None:
        """Stop listening, and close the kept connections, which would otherwise stay usable."""
        site, self._site = self._site, None
        if site is not None:
            await site.stop()
            for connection in self.connections:
                # The first call wakes a handler that waits for a request, the second ends one that has answered;
                # without the second, the connection would stay open and unanswered.
                connection.close()
                ending = asyncio.create_task(connection.shutdown(_PATIENCE))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
            # The loop releases the listening socket in its next round.
            await asyncio.sleep(0)

    def release(self) -> None:
        for ending in self._ending:
            ending.cancel()
        self._claim.close()


def bound(port: int) -> socket.socket:
    """A socket that has a port, 0 for a free one, and does not listen. Raises OSError for a port taken."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)  # noqa: FBT003 - the socket's own signature
        made.bind((LOOPBACK, port))
    except OSError:
        made.close()
        raise
    return made


@asynccontextmanager
async def serving(application: web.Application, port: int) -> AsyncIterator[Port]:
    """An application on a port, 0 for a free one, while the context lasts. Raises OSError for a port taken."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        door = Port(runner, port)
        try:
            await door.open()
            yield door
        finally:
            door.release()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


async def until_told(served: AbstractAsyncContextManager[Served], announced: Callable[[Served], str]) -> None:
    """Serve until SIGTERM or SIGINT; a line for each address goes to the standard output."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with served as server:
            # Flush, since a parent process may read this from a pipe.
            sys.stdout.write(announced(server))
            sys.stdout.flush()
            async for _ in signals:
                return


def as_json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


def telling(tell: Callable[[], object], change: Callable[[bytes], None] = lambda _: None) -> Handler:
    """A handler that answers what is told, once a request's body has changed it."""

    async def answer(request: web.Request) -> web.Response:
        change(await request.read())
        return as_json(tell())

    return answer


def reset(transport: asyncio.WriteTransport | None) -> None:
    """Reset a connection; a normal end would look like an answer that is cut off."""
    if transport is not None:
        # One that has ended has no socket any more: uvloop says so with a ValueError.
        with suppress(OSError, ValueError):
            if (connected := transport.get_extra_info("socket")) is not None:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        transport.abort()
