"""Whatever a client of a door does, it delays nobody, and the next one is answered."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketStream

from cli.session import door
from cli.session.door import Door, DoorLimits
from lab.crash.loops import loops

PATIENCE = loops(30)
QUICK = DoorLimits(clients=3, idle=0.2, unread=0.2)
MUCH = "x" * 1_000_000
GET = b"GET / HTTP/1.1\r\nHost: door\r\n\r\n"


@asynccontextmanager
async def served(limits: DoorLimits = QUICK) -> AsyncIterator[int]:
    """The port of an application that says much; what its server raises, the test raises."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=MUCH if request.path == "/" else "well")

    application = web.Application(client_max_size=1000)
    application.router.add_route("*", "/{any:.*}", answer)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Door(listening, application, limits).serve)
            yield listening.getsockname()[1]
            tasks.cancel_scope.cancel()


async def is_well(port: int) -> None:
    """Another client is answered, as soon as there is room for it."""
    with anyio.fail_after(PATIENCE):
        async with aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{port}/well") as answer:
                        assert await answer.text() == "well"
                        return


async def is_shown_out(client: SocketStream) -> None:
    """Wait until the other side has closed."""
    with anyio.fail_after(PATIENCE), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            await client.receive()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        GET[:10],
        GET[:-2],
        GET[:-2] + b"X: " + b"x" * 1_000_000,
        b"x" * 1_000_000,
        b"\r\n" * 5000,
        b"\xff\x00\n" * 1000,
        b"\x16\x03\x01" * 99,
    ],
    ids=range(8),
)
async def test_one_who_sends_nothing_that_can_be_answered_is_shown_out_in_the_end(sent: bytes) -> None:
    async with served() as port, await anyio.connect_tcp("127.0.0.1", port) as client:
        with suppress(anyio.BrokenResourceError):
            await client.send(sent or GET)
        await is_well(port)
        await is_shown_out(client)


async def test_those_who_never_read_are_dropped_and_delay_nobody() -> None:
    async with served() as port, AsyncExitStack() as deaf:
        for _ in range(QUICK.clients):
            client = await deaf.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
            await client.send(GET * 20)
        await is_well(port)


async def test_one_too_many_is_not_let_in_until_another_goes() -> None:
    async with served(DoorLimits(clients=1)) as port:
        async with await anyio.connect_tcp("127.0.0.1", port) as inside:
            await inside.send(b"GET /well HTTP/1.1\r\nHost: door\r\n\r\n")
            await inside.receive()
            async with await anyio.connect_tcp("127.0.0.1", port) as one_more:
                await is_shown_out(one_more)
        await is_well(port)


async def test_one_who_cannot_be_accepted_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, left = asyncio.get_running_loop(), 1
    accept = loop.sock_accept

    async def without_files(listener: socket.socket) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise OSError(24, "Too many open files")
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", without_files)
    monkeypatch.setattr(door, "_BREATH", 0.01)
    async with served() as port:
        await is_well(port)
    assert left == 0
