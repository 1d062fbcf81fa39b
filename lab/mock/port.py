"""The port of a server, which can be closed for a while: connections are refused then, and the port stays ours."""

import asyncio
import socket
from contextlib import suppress
from typing import Final

from aiohttp import web

_WAITING_CONNECTIONS: Final = 512
_PATIENCE: Final = 3600.0
"""Seconds for a request that was in hand when the port was closed."""


class Port:
    """One address of a server. Raises OSError when it is taken; `open` and `close` may be called in turn."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner = runner
        self._site: web.SockSite | None = None
        # Bound and never listening: nobody gets the port while it is closed, and whoever connects is refused.
        self._claim = _bind(host, port)
        self.number: int = self._claim.getsockname()[1]
        self._host = host
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.number}"

    async def open(self) -> None:
        """Listen."""
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
        """Listen no more, and end the connections that are kept open: they would be a way around."""
        site, self._site = self._site, None
        if site is not None:
            await site.stop()
            for connection in self._runner.server.connections if self._runner.server is not None else ():
                # The first wakes it where it waits for a request, the second ends it when it has answered; without
                # the second it would stay open and deaf.
                connection.close()
                ending = asyncio.create_task(connection.shutdown(_PATIENCE))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
            # The loop lets go of the listening socket in its next round.
            await asyncio.sleep(0)

    def release(self) -> None:
        """Give the port back, for good."""
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
