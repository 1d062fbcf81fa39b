"""An answer is the answer to its request: when a connection is used again, and what unasked bytes on it mean."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from engine.evidence import Accepted, Evidence, Lost
from tests.billing.api.bare_server import WRITE, Peer, client_of, served, settle

ROW = 7
CLEAN = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"result": 1}'
LATE = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"result": 9}'
NOT_CLEAN = (
    b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + b'{"error": "boom"}',
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<ok/>",
)


class Each:
    """A server that begins each connection with these bytes, and answers cleanly for the rest of it."""

    def __init__(self, first: Sequence[bytes]) -> None:
        self._first = first

    async def __call__(self, peer: Peer) -> None:
        mine = peer.server.connections
        await peer.request()
        peer.writer.write(self._first[mine - 1] if mine <= len(self._first) else CLEAN)
        while await peer.request():
            peer.writer.write(CLEAN)


@pytest.mark.parametrize("answer", NOT_CLEAN)
async def test_a_connection_is_used_again_after_a_clean_answer_alone(answer: bytes) -> None:
    async with served(Each([answer])) as server, client_of(server.url) as client:
        await client.send(WRITE, row=ROW)
        assert await client.send(WRITE, row=ROW) == Accepted(result=1)
        assert await client.send(WRITE, row=ROW) == Accepted(result=1)
        assert server.connections == 2


async def test_the_answer_that_comes_after_a_504_is_not_that_of_the_next_call() -> None:
    """A proxy gives up waiting, says so, and passes on the real answer when it comes after all."""
    second = asyncio.Event()

    async def proxy(peer: Peer) -> None:
        mine = peer.server.connections
        await peer.request()
        if mine == 1:
            peer.answer(504, b"")
            await second.wait()
            peer.writer.write(LATE)
            await peer.request()
            return
        second.set()
        await settle()
        peer.writer.write(CLEAN)

    async with served(proxy) as server, client_of(server.url) as client:
        assert isinstance(await client.send(WRITE, row=1), Lost)
        assert await client.send(WRITE, row=2) == Accepted(result=1)


async def test_what_comes_over_a_resting_connection_puts_its_last_row_in_doubt() -> None:
    idle, heard = asyncio.Event(), asyncio.Event()
    doubted: list[int] = []

    def hear(row: int) -> None:
        doubted.append(row)
        heard.set()

    async def twice(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(CLEAN)
        await peer.request()
        peer.writer.write(CLEAN)
        await idle.wait()
        peer.writer.write(LATE)
        await peer.request()

    async with served(twice) as server, client_of(server.url) as client:
        with client.doubts(hear), capture_logs() as logged:
            assert await client.send(WRITE, row=1) == Accepted(result=1)
            assert await client.send(WRITE, row=2) == Accepted(result=1)
            assert server.connections == 1
            idle.set()
            await heard.wait()
    assert doubted == [2]
    assert [(one["log_level"], one["row"], one["beginning"]) for one in logged] == [("warning", 2, "HTTP/1.1 200 OK")]


async def test_an_empty_line_is_no_answer_and_does_no_harm() -> None:
    idle = asyncio.Event()
    doubted: list[int] = []

    async def polite(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(CLEAN)
        await idle.wait()
        peer.writer.write(b"\r\n")
        await peer.request()
        peer.writer.write(CLEAN)

    async with served(polite) as server, client_of(server.url) as client:
        with client.doubts(doubted.append):
            assert await client.send(WRITE, row=1) == Accepted(result=1)
            idle.set()
            await settle()
            assert await client.send(WRITE, row=2) == Accepted(result=1)
    assert (doubted, server.connections) == ([], 1)


@pytest.mark.parametrize("behind", [LATE, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"\0\0\0"])
@pytest.mark.parametrize("row", [ROW, None])
async def test_an_answer_with_something_behind_it_is_lost(behind: bytes, row: int | None) -> None:
    seen: list[Evidence] = []

    async def talkative(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(CLEAN + behind)
        await peer.server.over.wait()

    async with served(talkative) as server, client_of(server.url) as client:
        seen.append(await client.send(WRITE, row=row))
        server.over.set()
    assert isinstance(seen[0], Lost)


async def test_a_call_that_names_no_row_goes_over_a_connection_of_its_own() -> None:
    """None that was used before, and none that is used after it."""

    async def answers(peer: Peer) -> None:
        while await peer.request():
            peer.writer.write(CLEAN)

    async with served(answers) as server, client_of(server.url) as client:
        for row, connections in ((1, 1), (2, 1), (None, 2), (None, 3), (3, 3)):
            assert await client.send(WRITE, row=row) == Accepted(result=1)
            assert server.connections == connections


async def test_a_proxy_that_answers_twice_is_believed_once() -> None:
    """It answers row 1 twice and swallows row 2: the second answer came before row 2 was written."""

    async def doubling(peer: Peer) -> None:
        mine = peer.server.connections
        await peer.request()
        peer.writer.write(CLEAN + LATE if mine == 1 else CLEAN)
        if mine == 1:
            await peer.request()

    async with served(doubling) as server, client_of(server.url) as client:
        assert isinstance(await client.send(WRITE), Lost)
        assert await client.send(WRITE) == Accepted(result=1)
