"""The door of an HTTP application on TCP: lets several clients in at once, none of which can harm the run beside it.

A client that stays silent, sends without end or does not read is dropped, and so is one too many.
"""

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import Final

import anyio
import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

LOOPBACK: Final = "127.0.0.1"

_BREATH: Final = 1.0
"""Seconds to wait after a client could not be accepted: the machine has run out of a resource."""

_LINGER: Final = 1.0
"""Seconds in which the rest of a request is read that is answered already."""


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Limits of a door. Times are seconds."""

    clients: int
    idle: float = 60.0
    """Maximum time between two requests."""
    unread: float = 5.0
    """Maximum time for a client to read what it is sent."""
    ending: float = 1.0
    """Maximum time for requests in work when the door is closed."""


async def serve_clients(listening: socket.socket, application: web.Application, limits: DoorLimits) -> None:
    """Accept the clients of a listening socket, which is closed in the end, until cancelled.

    An answer under way is sent to its end.
    """
    quiet = logging.getLogger(__name__)
    # What clients do wrong is told to them, and to nobody else.
    quiet.disabled = True
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=quiet,
        keepalive_timeout=limits.idle,
        lingering_time=_LINGER,
        shutdown_timeout=limits.ending,
        tcp_keepalive=False,
        auto_decompress=False,
    )
    await runner.setup()
    loop, server = asyncio.get_running_loop(), runner.server
    assert server is not None, "a runner that is set up has one"  # noqa: S101 - for mypy
    try:
        while True:
            try:
                client, _ = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("a client could not be let in", why=error)
                await anyio.sleep(_BREATH)
                continue
            try:
                if len(server.connections) >= limits.clients:
                    client.close()
                    continue
                # The kernel drops who does not read (tcp(7)); how much waits for it meanwhile is bounded.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(limits.unread * 1000))
                client.setblocking(False)  # noqa: FBT003 - the socket's own signature
                await loop.connect_accepted_socket(server, client)
            except OSError:
                # It has gone already.
                client.close()
    finally:
        listening.close()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
