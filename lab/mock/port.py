"""The port of a server, which can be closed for a while: connections are refused, and the port stays reserved."""

import asyncio
import socket
from contextlib import suppress
from typing import Final

from aiohttp import web

_WAITING_CONNECTIONS: Final = 512
_PATIENCE: Final = 3600.0
"""Seconds for requests in work when the port is closed."""


class Port:
    """An address of a server; `open` and `close` may alternate. Raises OSError when it is taken."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner = runner
        self._site: web.SockSite | None = None
        # Bound without listening: this reserves the port while it is closed, and connections are refused.
        self._claim = _bind(host, port)
        self.number: int = self._claim.getsockname()[1]
        self._host = host
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.number}"

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._runner.server.connections) if self._runner.server is not None else 0

    async def open(self) -> None:
        """Start to listen."""
        if self._site is None:
            listening = _bind(self._host, self.number)
            site = web.SockSite(self._runner, listening, backlog=_WAITING_CONNECTIONS)
            try:
                await site.start()
            except BaseException:
                listening.close()
                raise
            self._site = site

    async def close(self) -> None:
        """Stop listening, and close the kept connections, which would otherwise stay usable."""
        site, self._site = self._site, None
        if site is not None:
            await site.stop()
            for connection in self._runner.server.connections if self._runner.server is not None else ():
                # The first call wakes a handler that waits for a request, the second ends one that has answered;
                # without the second, the connection would stay open and unanswered.
                connection.close()
                ending = asyncio.create_task(connection.shutdown(_PATIENCE))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
            # The loop releases the listening socket in its next round.
            await asyncio.sleep(0)

    def release(self) -> None:
        """Release the port for good."""
        for ending in self._ending:
            ending.cancel()
        with suppress(OSError):
            self._claim.close()


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)  # noqa: FBT003 - the socket's own signature
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
