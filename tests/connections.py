"""A server of a test that leaves no connection open when it ends, however the test came to its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection."""


@asynccontextmanager
async def served_connections(serve: Serve, port: int = 0) -> AsyncIterator[int]:
    """Serve connections with `serve`; gives the port. At the end those still open are cancelled and closed.

    `asyncio.Server.close` leaves them to the end of the loop: their tasks are cancelled there without a chance to
    close, and the collector of garbage finds the open sockets in the middle of another test.
    """
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[asyncio.ensure_future(attend(reader, writer))] = writer

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.sleep(0)
        await server.wait_closed()
