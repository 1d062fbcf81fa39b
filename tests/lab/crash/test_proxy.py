"""What the lab's proxy does to requests and answers, seen from both of its ends over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest

from lab.crash.loops import loops
from lab.crash.mock_process import free_ports
from lab.crash.proxy import WRONG, Interference, Proxy, ProxyFault
from tests.connections import served_connections
from tests.lab.mock.waiting import until

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PATIENCE = loops(30)


@dataclass
class Server:
    """Answers each request by its body in capitals; one that says `reset` or `half` is failed so."""

    port: int = 0
    seen: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while body := await message(reader):
            self.seen.append(body)
            if body == "reset":
                writer.transport.abort()
                return
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((head + body.upper()).encode() if body != "half" else head.encode() + b"HA")
            if body == "half":
                writer.close()
                return
        writer.close()


async def message(reader: asyncio.StreamReader) -> str:
    """The body of the next message; "" at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return (await reader.readexactly(length)).decode()


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    server = Server()
    async with served_connections(server.serve) as server.port:
        yield server


@asynccontextmanager
async def proxied(
    target: int, fault: ProxyFault | None, *, times: int = 1, model: str = "", delay: float = 0.05
) -> AsyncIterator[Proxy]:
    """A proxy that disturbs the first `times` requests, and calms down then."""
    shares = {} if fault is None else {fault: 1.0}
    proxy = Proxy(free_ports(1)[0], target, Interference(1, shares, model, delay))
    drawn, left = proxy.draw, [times]

    def first_ones(request: bytes) -> ProxyFault | None:
        found = drawn(request)
        if found is not None:
            left[0] -= 1
        if not left[0]:
            proxy.calm()
        return found

    proxy.draw = first_ones  # type: ignore[method-assign]  # chance has tests of its own
    async with asyncio.timeout(PATIENCE), proxy.serving():
        yield proxy


def connected(proxy: Proxy) -> "asyncio.Future[Streams]":
    return asyncio.ensure_future(asyncio.open_connection("127.0.0.1", proxy.port))


def send(streams: Streams, body: str, model: str = "Abonents") -> None:
    head = f"POST /rest_api/v2/{model}/ HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    streams[1].write((head + body).encode())


WRITE = "method1=objects.create&arg1={}"


@pytest.mark.parametrize(
    ("fault", "delay", "heard", "seen"),
    [
        (None, 0.0, ["ONE", "TWO", "THREE"], ["one", "two", "three"]),
        (ProxyFault.REQUEST_HELD, 0.2, ["ONE", "TWO", "THREE"], ["one", "two", "three"]),
        (ProxyFault.ANSWER_HELD, 0.2, ["ONE", "TWO", "THREE"], ["one", "two", "three"]),
        # An answer comes twice, and every later one is of the request before.
        (ProxyFault.ANSWER_TWICE, PATIENCE, ["ONE", "ONE", "TWO"], ["one", "two", "three"]),
        # A request is swallowed, and gets the answer of the one before.
        (ProxyFault.NEXT_SWALLOWED, 0.0, ["ONE", "ONE", "THREE"], ["one", "three"]),
        # The real answer goes to the next request, which does not arrive.
        (ProxyFault.GATEWAY_TIMEOUT, 0.0, ["504 Gateway Time-out", "ONE", "THREE"], ["one", "three"]),
    ],
    ids=["nothing", "request held", "answer held", "answer twice", "next swallowed", "gateway timeout"],
)
async def test_what_a_client_hears_and_a_billing_sees(
    fault: ProxyFault | None, delay: float, heard: list[str], seen: list[str]
) -> None:
    async with served() as server, proxied(server.port, fault, delay=delay) as proxy:
        streams = await connected(proxy)
        began = asyncio.get_running_loop().time()
        for body, answer in zip(("one", "two", "three"), heard, strict=True):
            send(streams, body)
            assert answer in await message(streams[0])
        await until(lambda: server.seen == seen)
        if delay != PATIENCE:
            assert asyncio.get_running_loop().time() - began >= delay
        assert proxy.done == ({} if fault is None else {fault: 1})
        streams[1].close()


@pytest.mark.parametrize(("fault", "status"), [(fault, status) for fault, (status, *_) in WRONG.items()])
async def test_a_proxy_speaks_in_place_of_the_billing_when_a_write_has_had_its_effect(
    fault: ProxyFault, status: int
) -> None:
    async with served() as server, proxied(server.port, fault) as proxy:
        streams = await connected(proxy)
        # A reading is passed on.
        for body in ("method1=objects.filter&arg1={}", WRITE):
            send(streams, body)
        assert await message(streams[0]) == "METHOD1=OBJECTS.FILTER&ARG1={}"
        head = (await streams[0].readuntil(b"\r\n\r\n")).decode()
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert ("Retry-After: 1" in head) == (fault is ProxyFault.WRONG_NOT_NOW)
        assert (server.seen[1:], proxy.done) == ([WRITE], {fault: 1})
        streams[1].close()


async def test_only_requests_of_its_model_are_disturbed_and_what_breaks_behind_it_breaks_before_it() -> None:
    async with served() as server, proxied(server.port, ProxyFault.GATEWAY_TIMEOUT, model="Users") as proxy:
        streams = await connected(proxy)
        send(streams, "one", "Abonents")
        assert await message(streams[0]) == "ONE"
        send(streams, "two", "Users")
        assert "504" in await message(streams[0])
        streams[1].close()
        for body in ("reset", "half"):
            streams = await connected(proxy)
            send(streams, body)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await streams[0].readexactly(1000)
            streams[1].close()
