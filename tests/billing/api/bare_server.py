"""A server on a bare socket, which does with a connection whatever a test tells it, and clients of it."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from socket import SO_LINGER, SOL_SOCKET, socket
from typing import Any, Final, TypeAlias

import pytest

from billing.api.calls import create
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.api.wire import CallRecord
from billing.secret import Secret
from engine.evidence import Evidence

WRITE = create("FinanceOperations", abonent_id=1, op_summa="50.50", descr="Миграция")
TINY = 0.25
AMPLE = 600.0
"""Longer than a test may take: what waits for it in vain does not pass."""


class Do(Enum):
    """What a server does with a connection: it reads a request, or its head alone, resets the connection, stays until
    the test is over, or answers each request that comes."""

    READ = auto()
    HEAD = auto()
    RESET = auto()
    STAY = auto()
    EACH = auto()


@dataclass(frozen=True, slots=True)
class Endless:
    """The same again and again, until the test is over."""

    piece: bytes


Step: TypeAlias = bytes | Do | Endless | asyncio.Event | Callable[[], object]
"""Bytes are written, an event is waited for, and a function is called."""


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(*lines: str, body: bytes = b"", status: str = "200 OK") -> bytes:
    """An answer with its length."""
    return head(*lines, f"Content-Length: {len(body)}", status=status) + body


CLEAN: Final = whole(body=b'{"result": 1}')


@dataclass(slots=True)
class Peer:
    """One connection to the server of a test."""

    server: "Server"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """Read one whole request and count it; its head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        self.server.paths.append(head.split(b" ", 2)[1].decode())
        return head + await self.reader.readexactly(length)

    async def do(self, step: Step) -> None:
        match step:
            case bytes():
                self.writer.write(step)
                await self.writer.drain()
            case Endless():
                while not self.server.over.is_set():
                    self.writer.write(step.piece)
                    await self.writer.drain()
            case asyncio.Event():
                await step.wait()
            case Do.READ:
                await self.request()
            case Do.HEAD:
                await self.reader.readuntil(b"\r\n\r\n")
            case Do.RESET:
                # Close with a RST instead of a FIN.
                raw: socket = self.writer.get_extra_info("socket")
                raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
            case Do.STAY:
                await self.server.over.wait()
            case Do.EACH:
                while await self.request():
                    self.writer.write(CLEAN)
            case _:
                assert callable(step)
                step()


@dataclass(slots=True)
class Server:
    """A server on a port of its own; `script` is what it does with each connection."""

    script: Callable[[Peer], Awaitable[Any]]
    url: str = ""
    connections: int = 0
    paths: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.script(Peer(self, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Ear:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard_of: list[CallRecord] = []

    async def ready(self) -> None:
        """There is always room."""

    def heard(self, heard: CallRecord) -> None:
        self.heard_of.append(heard)

    @property
    def left(self) -> list[bool]:
        return [heard.left for heard in self.heard_of]


def talk(*connections: Sequence[Step]) -> Callable[[Peer], Awaitable[None]]:
    """A server that goes through these steps with each connection in turn, and with all others as with the last."""

    async def script(peer: Peer) -> None:
        for step in connections[min(peer.server.connections, len(connections)) - 1]:
            await peer.do(step)

    return script


@asynccontextmanager
async def served(script: Callable[[Peer], Awaitable[Any]]) -> AsyncIterator[Server]:
    server = Server(script)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(server.serve(reader, writer)))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        server.over.set()
        listener.close()
        await asyncio.gather(*tasks)
        await listener.wait_closed()


def client_of(url: str, listener: Ear | None = None, **settings: Any) -> BillingClient:
    times: dict[str, Any] = {"connect": AMPLE, "read": AMPLE, "deadline": AMPLE}
    for name in settings.keys() & {"extra", "headers"}:
        settings[name] = {key: Secret(value) for key, value in settings[name].items()}
    patience = Patience(attempts=2, base=0.0)
    return BillingClient(ClientSettings(url, **(times | settings)), patience=patience, listener=listener)


async def seen_of(*steps: Step, **settings: Any) -> tuple[Evidence, Server]:
    """What one call makes of a server that does this with its connection, and the server."""
    async with served(talk(steps)) as server, client_of(server.url, **settings) as client:
        seen = await client.send(WRITE)
        server.over.set()
        return seen, server


async def give_up(client: BillingClient, arrived: asyncio.Event) -> None:
    """Cancel a call once it has arrived; that goes through."""
    task = asyncio.ensure_future(client.send(WRITE))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
