"""Each part of aiohttp that its documentation does not describe, held to what the wire needs of it.

A release of aiohttp that changes one of them fails here by its name, before a call of the wire fails without one.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from billing.api.aiohttp_parts import (
    Connection,
    HttpProcessingError,
    ServerTarget,
    behind,
    break_off,
    connect,
    ends,
    is_gone,
    prepare,
    quoted,
)
from tests.billing.api.bare_server import AMPLE, TINY, Peer, Server, served
from tests.lab.mock.waiting import until

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
NO_LIMIT = aiohttp.ClientTimeout(total=None)


class Answering:
    """A server that answers each request with these bytes."""

    def __init__(self, answer: bytes, *, closes: bool = False) -> None:
        self.answer = answer
        self.closes = closes

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        peer.writer.write(self.answer)
        if not self.closes:
            await peer.server.over.wait()


@asynccontextmanager
async def connected(server: Server, silence: float = AMPLE) -> AsyncIterator[Connection]:
    connector = aiohttp.TCPConnector(limit=0)
    try:
        connection = await connect(connector, ServerTarget(URL(server.url)), NO_LIMIT)
        prepare(ends(connection)[0], silence)
        yield connection
        break_off(connection)
    finally:
        await connector.close()


async def asked(connection: Connection) -> tuple[Any, aiohttp.StreamReader]:
    """The head of the next answer to a request, and its body."""
    parser, transport = ends(connection)
    transport.write(REQUEST)
    parser.start_timeout()
    return await parser.read()


class Nameless(AbstractResolver):
    """A resolver that knows no name."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        raise OSError(None, f"no {host}")

    async def close(self) -> None:
        """Nothing is open."""


async def refused(target: ServerTarget, **connector: Any) -> aiohttp.ClientConnectorError:
    made = aiohttp.TCPConnector(limit=0, **connector)
    try:
        with pytest.raises(aiohttp.ClientConnectorError) as raised:
            await connect(made, target, NO_LIMIT)
        return raised.value
    finally:
        await made.close()


async def test_a_connector_takes_our_target_and_its_errors_name_host_and_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fault = await refused(ServerTarget(URL(f"http://127.0.0.1:{port}")))
    assert (fault.host, fault.port) == ("127.0.0.1", port)
    assert f"127.0.0.1:{port}" in str(fault)
    nameless = await refused(ServerTarget(URL("http://billing.example:8082")), resolver=Nameless())
    assert isinstance(nameless, aiohttp.ClientConnectorDNSError)
    assert (nameless.host, nameless.port) == ("billing.example", 8082)


async def test_a_target_of_https_is_met_with_tls_alone() -> None:
    async def plain(peer: Peer) -> None:
        peer.writer.write(b"220 no TLS here\r\n")
        await peer.reader.read()

    async with served(plain) as server:
        fault = await refused(ServerTarget(URL(server.url.replace("http:", "https:"))))
        assert isinstance(fault, aiohttp.ClientConnectorSSLError)


async def test_an_answer_is_parsed_into_code_headers_and_body() -> None:
    async with served(Answering(ANSWER)) as server, connected(server) as connection:
        head, body = await asked(connection)
        assert (head.code, head.headers["content-type"], await body.readany()) == (200, "x/y", b"ok")
        assert body.at_eof()
        parser, _ = ends(connection)
        assert not parser.should_close
        assert not behind(parser)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    whole = Answering(b"HTTP/1.1 200 OK\r\n\r\nok", closes=True)
    async with served(whole) as server, connected(server) as connection:
        _, body = await asked(connection)
        assert await body.read() == b"ok"


async def test_a_silence_of_the_server_ends_the_reading() -> None:
    async with served(Answering(b"")) as server, connected(server, TINY) as connection:
        with pytest.raises(TimeoutError):
            await asked(connection)


async def test_another_answer_behind_the_first_is_seen() -> None:
    async with served(Answering(ANSWER + ANSWER)) as server, connected(server) as connection:
        _, body = await asked(connection)
        assert await body.readany() == b"ok"
        assert behind(ends(connection)[0])


async def test_what_comes_before_the_question_marks_the_connection() -> None:
    async def greets(peer: Peer) -> None:
        peer.writer.write(ANSWER)
        await peer.server.over.wait()

    async with served(greets) as server, connected(server) as connection:
        await until(lambda: ends(connection)[0].should_close)


async def test_what_is_no_http_is_told_so() -> None:
    async with served(Answering(b"220 ready\r\n\r\n")) as server, connected(server) as connection:
        with pytest.raises(HttpProcessingError):
            await asked(connection)


async def test_a_connection_that_the_server_closes_at_once_is_gone() -> None:
    async def hangs_up(peer: Peer) -> None:
        peer.writer.close()

    async with served(hangs_up) as server, connected(server) as connection:
        await until(lambda: is_gone(connection))


async def test_a_connection_that_is_broken_off_sends_nothing_more() -> None:
    arrived = bytearray()
    full, over = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer) -> None:
        await full.wait()
        try:
            while part := await peer.reader.read(2**16):
                arrived.extend(part)
        except ConnectionError:
            pass
        over.set()

    async with served(slow) as server:
        async with connected(server) as connection:
            _, transport = ends(connection)
            sent = 0
            while transport.get_write_buffer_size() < 2**20:
                transport.write(bytes(2**20))
                sent += 2**20
            break_off(connection)
            assert connection.closed
            full.set()
        await over.wait()
    assert len(arrived) < sent


@given(name=st.text(st.characters(codec="utf-8")), value=st.text(st.characters(codec="utf-8")))
def test_a_name_and_a_value_of_a_form_are_written_as_in_the_query_of_a_url(name: str, value: str) -> None:
    assert f"{quoted(name)}={quoted(value)}" == URL().with_query([(name, value)]).raw_query_string
