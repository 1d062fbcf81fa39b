"""Whatever a server sends in answer to a call, it is lost in bounded time and memory, and the call ends."""

import asyncio
import json
import time
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from billing.api.answers import read_answer
from billing.api.client import BillingClient
from engine.evidence import Accepted, Lost, RowRefused
from lab.crash.loops import loops
from tests.billing.api.bare_server import AMPLE, WRITE, Peer, client_of, served

MEBIBYTE = 2**20
LIMIT = MEBIBYTE // 4
"""The longest answer that the client of these tests takes."""
MOST_MEMORY = 8 * MEBIBYTE
MOST_SECONDS = loops(20)

Script = Callable[[Peer], Awaitable[None]]


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(*lines: str, body: bytes = b"", status: str = "200 OK") -> bytes:
    return head(*lines, f"Content-Length: {len(body)}", status=status) + body


def once(answer: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(answer)
        await peer.writer.drain()
        await peer.server.over.wait()

    return script


def without_end(first: bytes, piece: bytes) -> Script:
    """A server that writes the same again and again, until the call has ended."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(first)
        while not peer.server.over.is_set():
            peer.writer.write(piece)
            await peer.writer.drain()

    return script


async def attacked(script: Script, deadline: float = AMPLE) -> tuple[object, int]:
    """What a call sees of the server, and the most memory that it took."""
    async with served(script) as server, client_of(server.url, answer_limit=LIMIT, deadline=deadline) as client:
        tracemalloc.start()
        try:
            seen = await sent(client)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            server.over.set()
        assert server.connections == 1
        return seen, most


async def sent(client: BillingClient) -> object:
    return await asyncio.wait_for(client.send(WRITE), MOST_SECONDS)


def packed(window: int, mebibytes: int = 16) -> bytes:
    pack = zlib.compressobj(1, wbits=window)
    return b"".join([*(pack.compress(b" " * MEBIBYTE) for _ in range(mebibytes)), pack.flush()])


GZIP, DEFLATE, RAW = 31, 15, -15
BOMB = packed(GZIP)
TOO_LONG = "an answer of more than 256 KiB, not read to its end"
NO_HTTP = "what came back is not HTTP"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (once(whole("Content-Encoding: gzip", body=BOMB)), TOO_LONG),
        (once(whole("Content-Encoding: deflate", body=packed(DEFLATE))), TOO_LONG),
        (once(whole("Content-Encoding: deflate", body=packed(RAW))), TOO_LONG),
        (once(whole("Content-Encoding: gzip", body=BOMB, status="500 Oops")), TOO_LONG),
        (once(whole("Content-Encoding: gzip", body=b"\x1f\x8bno gzip")), "the answer broke off"),
        (once(whole("Content-Encoding: gzip", body=zlib.compressobj(wbits=GZIP).flush() * 5000)), "broke off"),
        (without_end(head("Transfer-Encoding: chunked"), b"8000\r\n" + b" " * 2**15 + b"\r\n"), TOO_LONG),
        (without_end(head("Transfer-Encoding: chunked"), b"4\r\n    \r\n" * 1000), TOO_LONG),
        (without_end(head(), b" " * 2**15), TOO_LONG),
        (without_end(head("Content-Length: 999999999999999"), b" " * 2**15), TOO_LONG),
        (without_end(head()[:-2], b"X: y\r\n" * 1000), NO_HTTP),
        (without_end(head()[:-2] + b"X: ", b"y" * 2**15), NO_HTTP),
        (without_end(b"HTTP/1.1 200 ", b"y" * 2**15), NO_HTTP),
        (without_end(head("Transfer-Encoding: chunked") + b"1\r\n1\r\n0\r\n", b"X: y\r\n" * 1000), "HTTP"),
        (without_end(b"", head(status="100 Continue") * 1000), "16 times that it is about to answer, and has not"),
        (once(head("Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n"), NO_HTTP),
        (once(head("Transfer-Encoding: chunked") + b"-5\r\n"), NO_HTTP),
        (once(head("Content-Length: -1") + b"{}"), NO_HTTP),
        (once(head("Content-Length: +2") + b"{}"), NO_HTTP),
        (once(head(f"Content-Length: {'9' * 4000}") + b"{}"), NO_HTTP),
        (once(head("Content-Length: 2", "Content-Length: 3") + b"{}"), NO_HTTP),
        (once(whole("Location: /", status="302 Found")), "a redirect to /, not followed"),
        (once(whole("Location: \x1b]0;x\x07", status="307 Temporary Redirect")), r"a redirect to \x1b]0;x\x07"),
    ],
    ids=count(),
)
async def test_an_answer_that_attacks_is_lost(script: Script, told: str) -> None:
    began = time.perf_counter()
    seen, most = await attacked(script)
    assert isinstance(seen, Lost), seen
    assert told in seen.text
    assert seen.text.isprintable()
    assert most < MOST_MEMORY
    assert time.perf_counter() - began < MOST_SECONDS


async def test_an_answer_that_trickles_ends_at_the_deadline() -> None:
    extension = without_end(head("Transfer-Encoding: chunked") + b"1;", b"x" * 2**15)
    seen, most = await attacked(extension, deadline=0.5)
    assert isinstance(seen, Lost)
    assert most < MOST_MEMORY


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        f'{{"result": {DEEP}}}',
        f'{{"error": {DEEP}}}',
        f'{{"result": 1, "other": {DEEP}}}',
        DEEP,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        json.dumps({"result": [DEEP]}),
    ],
    ids=["result", "error", "other", "alone", "objects", "in a text"],
)
@pytest.mark.parametrize("status", ["200 OK", "500 Oops", "400 Bad Request"])
async def test_an_answer_that_is_nested_without_end_is_no_fault(body: str, status: str) -> None:
    seen, most = await attacked(once(whole(body=body.encode(), status=status)))
    assert isinstance(seen, Lost | RowRefused | Accepted)
    assert most < MOST_MEMORY


@pytest.mark.parametrize(
    "page",
    [
        "<p><style>" * 10_000,
        "<p><!--" * 10_000,
        "<script><head>" * 10_000,
        "<p>" + "Метод " * 150_000,
        "<title>" * 10_000,
    ],
    ids=count(),
)
def test_a_page_of_errors_holds_nobody_up(page: str) -> None:
    """What an answer is read for stands at its beginning, and is found without going to its end again and again."""
    body = json.dumps({"error": page}).encode()
    began = time.process_time()
    for _ in range(20):
        assert isinstance(read_answer(200, {}, body), RowRefused)
        assert isinstance(read_answer(500, {}, page.encode()), Lost)
    assert time.process_time() - began < MOST_SECONDS / 2
