"""What the client makes of real sockets that behave badly. No call ever reaches a server twice."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from socket import socket

import pytest

from billing.api.calls import filter_, version
from billing.errors import BillingAway, NotTheBilling
from engine.evidence import Accepted, Busy, Lost, NotSent, SystemRefused
from tests.billing.api.bare_server import TINY, WRITE, Peer, client_of, give_up, seen_by, served

READ = filter_("Users", {"id": 1})


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# What does not leave


async def test_nobody_listens() -> None:
    async with client_of(f"http://127.0.0.1:{free_port()}") as client:
        seen = await client.send(WRITE)
        assert isinstance(seen, NotSent)
        assert "no connection to 127.0.0.1" in seen.text
        with pytest.raises(BillingAway, match="Nobody answers at"):
            await client.health()
        with pytest.raises(BillingAway, match="asked 2 times"):
            await client.ask(READ)


async def test_a_name_that_does_not_resolve() -> None:
    async with client_of("http://no-such-billing.invalid:8082") as client:
        seen = await client.send(WRITE)
    assert seen == NotSent("the name no-such-billing.invalid is not known")


async def test_a_server_without_tls() -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with served(plain) as server, client_of(server.url.replace("http:", "https:")) as client:
        seen = await client.send(WRITE)
    assert isinstance(seen, NotSent)
    assert "no TLS with 127.0.0.1" in seen.text
    assert server.paths == []


async def test_a_deadline_before_anything_left() -> None:
    async def silent_in_the_handshake(peer: Peer) -> None:
        await peer.server.over.wait()

    for settings in ({"connect": TINY}, {"deadline": TINY}):
        async with (
            served(silent_in_the_handshake) as server,
            client_of(server.url.replace("http:", "https:"), **settings) as client,
        ):
            seen = await client.send(WRITE)
            server.over.set()
        assert isinstance(seen, NotSent)
        assert "no connection in time" in seen.text


# What left and found no answer


async def close_before_reading(peer: Peer) -> None:
    peer.writer.close()


async def read_and_close(peer: Peer) -> None:
    await peer.request()


async def read_the_head_and_reset(peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    peer.reset()


async def half_a_head(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-")


async def half_a_body(peer: Peer) -> None:
    await peer.request()
    peer.answer(body=b'{"result": ', Content_Length="20")


async def half_a_json(peer: Peer) -> None:
    await peer.request()
    peer.answer(body=b'{"result": ')


async def broken_gzip(peer: Peer) -> None:
    await peer.request()
    peer.answer(body=b"not gzip at all", Content_Encoding="gzip")


async def broken_chunks(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n")


async def no_http(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def endless_header(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")


async def crash(peer: Peer) -> None:
    await peer.request()
    peer.answer(500, b"<html><h1>Server Error</h1></html>", Content_Type="text/html")


async def unavailable(peer: Peer) -> None:
    await peer.request()
    peer.answer(503)


@pytest.mark.parametrize(
    "script",
    [
        close_before_reading,
        read_and_close,
        read_the_head_and_reset,
        half_a_head,
        half_a_body,
        half_a_json,
        broken_gzip,
        broken_chunks,
        no_http,
        endless_header,
        crash,
        unavailable,
    ],
)
async def test_what_left_and_found_no_answer_is_lost_and_not_repeated(
    script: Callable[[Peer], Awaitable[None]],
) -> None:
    seen, server = await seen_by(script)
    assert isinstance(seen, Lost)
    assert server.connections == 1
    assert len(server.paths) <= 1


@pytest.mark.parametrize("settings", [{"read": TINY}, {"deadline": TINY}])
async def test_silence_is_lost(settings: dict[str, float]) -> None:
    async def silence(peer: Peer) -> None:
        await peer.request()
        await peer.server.over.wait()

    async with served(silence) as server, client_of(server.url, **settings) as client:
        seen = await client.send(WRITE)
        server.over.set()
    assert isinstance(seen, Lost)
    assert "no answer in time" in seen.text
    assert server.connections == 1


async def test_a_deadline_within_the_body_is_lost() -> None:
    async def trickle(peer: Peer) -> None:
        await peer.request()
        peer.answer(body=b'{"result"', Content_Length="100")
        await peer.server.over.wait()

    async with served(trickle) as server, client_of(server.url, deadline=TINY) as client:
        seen = await client.send(WRITE)
        server.over.set()
    assert isinstance(seen, Lost)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async def redirect(peer: Peer) -> None:
        while await peer.request():
            peer.answer(status, b"", Location="/elsewhere")

    seen, server = await seen_by(redirect)
    assert isinstance(seen, Lost)
    assert "/elsewhere, not followed" in seen.text
    assert server.paths == [WRITE.path]


async def test_an_answer_beyond_the_limit_is_lost() -> None:
    async def flood(peer: Peer) -> None:
        await peer.request()
        peer.answer(
            body=gzip.compress(json.dumps({"result": "x" * 100_000}).encode(), mtime=0), Content_Encoding="gzip"
        )

    seen, _ = await seen_by(flood, answer_limit=50_000)
    assert seen == Lost("HTTP 200 with an answer of more than 48 KiB, not read to its end")
    seen, _ = await seen_by(flood)
    assert isinstance(seen, Accepted)


async def test_a_kept_connection_that_died_is_lost_and_not_sent_again() -> None:
    """aiohttp would silently send a GET, PUT or DELETE again here."""

    async def answer_once_then_reset_at_the_next(peer: Peer) -> None:
        await peer.request()
        peer.answer()
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.server.paths.append("second")
        peer.reset()

    async with served(answer_once_then_reset_at_the_next) as server, client_of(server.url) as client:
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        assert isinstance(await client.send(WRITE, row=1), Lost)
        assert server.paths == [WRITE.path, "second"]
        assert server.connections == 1


async def test_a_kept_connection_closed_in_idleness_is_replaced() -> None:
    async def answer_and_close(peer: Peer) -> None:
        await peer.request()
        peer.answer()

    async with served(answer_and_close) as server, client_of(server.url) as client:
        seen = [await client.send(WRITE) for _ in range(5)]
        # Lost where the close is not seen in time; sent twice in neither case.
        assert all(isinstance(each, Accepted | Lost) for each in seen)
        assert len(server.paths) == seen.count(Accepted(result=1))


# What was answered


async def test_a_connection_is_kept_for_the_next_call() -> None:
    async def answers(peer: Peer) -> None:
        while await peer.request():
            peer.answer(Set_Cookie="a=b")

    async with served(answers) as server, client_of(f"{server.url}/prefix/") as client:
        for _ in range(3):
            assert await client.send(WRITE, row=1) == Accepted(result=1)
        assert server.connections == 1
        assert server.paths == [f"/prefix{WRITE.path}"] * 3


async def test_the_request_as_it_goes_over_the_wire() -> None:
    requests: list[bytes] = []

    async def record(peer: Peer) -> None:
        for _ in range(2):
            requests.append(await peer.request())
            peer.answer(Set_Cookie="a=b")

    async with (
        served(record) as server,
        client_of(server.url, extra={"hash_key": "k+y"}, headers={"X-Key": "z"}) as client,
    ):
        for _ in range(2):
            await client.send(WRITE)
    head, _, body = requests[1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /rest_api/v2/FinanceOperations/ HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in head
    assert b"\r\nX-Key: z\r\n" in head
    assert b"Cookie" not in head
    assert head.count(b"\r\nContent-Length: %d" % len(body)) == head.lower().count(b"content-length") == 1
    assert head.count(f"\r\nHost: {server.url.removeprefix('http://')}\r\n".encode()) == 1
    assert body.endswith(b"&hash_key=k%2By")


async def test_busy_answers() -> None:
    async def busy(peer: Peer) -> None:
        first = peer.server.connections == 1
        await peer.request()
        peer.answer(503, b"", Retry_After="2") if first else peer.answer(429, b"")

    async with served(busy) as server, client_of(server.url) as client:
        assert await client.send(WRITE) == Busy("HTTP 503 Service Unavailable", 2.0, recognised=False)
        assert await client.send(WRITE) == Busy("HTTP 429 Too Many Requests", None, recognised=False)


async def test_a_refusal_of_everything() -> None:
    async def forbidden(peer: Peer) -> None:
        await peer.request()
        peer.answer(403, "<h1>Нельзя</h1>".encode(), Content_Type="text/html; charset=utf-8")

    seen, _ = await seen_by(forbidden)
    assert seen == SystemRefused("HTTP 403 Forbidden: Нельзя", recognised=False)


async def test_health_tells_the_billing_from_others() -> None:
    async def one_then_the_other(peer: Peer) -> None:
        first = peer.server.connections == 1
        await peer.request()
        if first:
            peer.answer(body=b'{"result": {"version": "5", "time": "2024-01-01 00:00:00"}}')
            return
        peer.answer(body=b"<html>Welcome to nginx!</html>", Content_Type="text/html")
        peer.writer.close()

    async with served(one_then_the_other) as server, client_of(server.url) as client:
        assert (await client.health()).version == "5"
        with pytest.raises(NotTheBilling, match=r"Welcome to nginx!\. Check address and port"):
            await client.health()
        assert server.paths == [version().path] * 2


# The caller's part


async def test_a_cancellation_goes_through() -> None:
    arrived = asyncio.Event()

    async def silence(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.server.over.wait()

    async with served(silence) as server, client_of(server.url) as client:
        await give_up(client, arrived)
        server.over.set()
    assert server.connections == 1


async def test_many_at_once_each_arrive_once() -> None:
    async def answers(peer: Peer) -> None:
        while await peer.request():
            peer.answer()

    async with served(answers) as server, client_of(server.url) as client:
        seen = await asyncio.gather(*(client.send(WRITE) for _ in range(64)))
        assert seen == [Accepted(result=1)] * 64
        assert len(server.paths) == 64


async def test_a_client_is_opened_first_and_not_used_after() -> None:
    client = client_of("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="async with"):
        await client.send(WRITE)
    async with client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await client.send(WRITE)
