"""The door of an HTTP application: lets several clients in at once, none of which can harm the run.

A client that stays silent, sends without end or does not read is dropped; one too many is told to come again.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

import anyio
import structlog
from aiohttp import web

from engine.control.messages import JSON, ControlAnswer, to_json
from texts.said import counted, text_of

log = structlog.get_logger(__name__)

_BREATH: Final = 1.0
"""Seconds to wait after a client could not be accepted: the machine has run out of a resource."""

_LINGER: Final = 1.0
"""Seconds in which the rest of a request is read that is answered already."""


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Limits of a door. Times are seconds."""

    clients: int = 32
    idle: float = 60.0
    """Maximum time between two requests."""
    unread: float = 2.0
    """Maximum time for a client to read what it is sent."""
    ending: float = 30.0
    """Maximum time for requests in work when the door is closed."""


class NotLetIn(Exception):
    """Raised when a client is not let in; the text, which it is told, says why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


Check = Callable[[socket.socket], None]
"""Looks at a client's connection. Raises `NotLetIn`."""


class Door:
    """Accepts the clients of a listening socket for an application. Takes ownership of the socket."""

    def __init__(
        self, listening: socket.socket, application: web.Application, limits: DoorLimits, check: Check | None = None
    ) -> None:
        self._socket = listening
        self._application = application
        self._limits = limits
        self._check = check
        self._clients = 0
        self._turned_away: deque[socket.socket] = deque()

    async def serve(self) -> None:
        """Serve until cancelled; an answer under way is sent to its end."""
        quiet = logging.getLogger(__name__)
        # What clients do wrong is told to them, and to nobody else.
        quiet.disabled = True
        runner = web.AppRunner(
            self._application,
            access_log=None,
            logger=quiet,
            keepalive_timeout=self._limits.idle,
            lingering_time=_LINGER,
            shutdown_timeout=self._limits.ending,
            tcp_keepalive=False,
            auto_decompress=False,
        )
        await runner.setup()
        try:
            while True:
                await self._accept(runner)
        finally:
            self._socket.close()
            for client in self._turned_away:
                client.close()
            with anyio.CancelScope(shield=True):
                await runner.cleanup()

    async def _accept(self, runner: web.AppRunner) -> None:
        loop, server = asyncio.get_running_loop(), runner.server
        try:
            client, _ = await loop.sock_accept(self._socket)
        except OSError as error:
            log.warning("a client could not be let in", why=str(error))
            await anyio.sleep(_BREATH)
            return
        try:
            self._let_in(client)
        except NotLetIn as refused:
            self._turn_away(client, refused)
            return
        assert server is not None, "a runner that is set up has one"  # noqa: S101 - for mypy
        try:
            await loop.connect_accepted_socket(lambda: _Guest(server(), self._limits.unread, self._left), client)
        except OSError:
            # It has gone already.
            client.close()
            self._clients -= 1

    def _let_in(self, client: socket.socket) -> None:
        if self._check is not None:
            self._check(client)
        if self._clients >= self._limits.clients:
            why = counted(
                "{n} other talks to this run: try again later",
                "{n} others talk to this run: try again later",
                self._limits.clients,
            )
            raise NotLetIn(HTTPStatus.SERVICE_UNAVAILABLE, why)
        client.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._clients += 1

    def _left(self) -> None:
        self._clients -= 1

    def _turn_away(self, client: socket.socket, refused: NotLetIn) -> None:
        """Tell a client why, without waiting for its request; it has a moment to send that and to read."""
        body = to_json(ControlAnswer(text_of(refused), refused=True))
        head = (
            f"HTTP/1.1 {refused.status.value} {refused.status.phrase}\r\nContent-Type: {JSON}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        client.setblocking(False)  # noqa: FBT003 - the socket's own signature
        with suppress(OSError):
            # What does not fit at once is not waited for.
            client.send(head.encode() + body)
            client.shutdown(socket.SHUT_WR)
        self._turned_away.append(client)
        if len(self._turned_away) > self._limits.clients:
            self._turned_away.popleft().close()
        asyncio.get_running_loop().call_later(_LINGER, client.close)


class _Guest(asyncio.Protocol):
    """The connection of one client, which is dropped when it does not read for `unread` seconds."""

    def __init__(self, inner: web.RequestHandler, unread: float, left: Callable[[], None]) -> None:
        self._inner = inner
        self._unread = unread
        self._left = left
        self._transport: asyncio.Transport | None = None
        self._dropping: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # The kernel's buffer is enough: what does not fit in there is not read.
        self._transport.set_write_buffer_limits(high=0)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep()
        self._left()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._dropping = asyncio.get_running_loop().call_later(self._unread, self._transport.abort)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._keep()
        self._inner.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> None:
        self._inner.eof_received()

    def _keep(self) -> None:
        if self._dropping is not None:
            self._dropping.cancel()
            self._dropping = None
