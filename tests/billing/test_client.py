"""What the client makes of real sockets that behave badly. No call ever reaches a server twice."""

import asyncio
import gzip
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET, socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calls import create, filter_, version
from billing.client import BillingClient, ClientSettings, Patience
from billing.errors import BillingAway, NotTheBilling, SettingsError
from billing.exchange import Answered, Busy, Exchange, Lost, NotSent, SystemRefused
from billing.listening import Heard
from billing.wire import STALE_AT_MOST

WRITE = create("FinanceOperations", abonent_id=1, op_summa="50.50", descr="Миграция")
READ = filter_("Users", {"id": 1})
TINY = 0.25
AMPLE = 600.0
"""Longer than a test may take: what waits for it in vain does not pass."""


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

    def answer(self, status: int = 200, body: bytes = b'{"result": 1}', **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if "Content_Length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        raw: socket = self.writer.get_extra_info("socket")
        raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


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
        self.heard_of: list[Heard] = []

    async def ready(self) -> None:
        """There is always room."""

    def heard(self, heard: Heard) -> None:
        self.heard_of.append(heard)

    @property
    def left(self) -> list[bool]:
        return [heard.left for heard in self.heard_of]


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


def client_of(url: str, **settings: Any) -> BillingClient:
    times: dict[str, Any] = {"connect": AMPLE, "read": AMPLE, "deadline": AMPLE}
    return BillingClient(ClientSettings(url, **(times | settings)), patience=Patience(attempts=2, base=0.0))


def overheard(url: str, ear: Ear) -> BillingClient:
    return BillingClient(ClientSettings(url, connect=AMPLE, read=AMPLE, deadline=AMPLE), listener=ear)


async def seen_by(script: Callable[[Peer], Awaitable[Any]], **settings: Any) -> tuple[Exchange, Server]:
    """What one call makes of a server, and the server."""
    async with served(script) as server, client_of(server.url, **settings) as client:
        return await client.send(WRITE), server


async def settle() -> None:
    """Let both ends of all connections read what has been written to them."""
    for _ in range(50):
        await asyncio.sleep(0)


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
        peer.answer(body=gzip.compress(json.dumps({"result": "x" * 100_000}).encode()), Content_Encoding="gzip")

    seen, _ = await seen_by(flood, answer_limit=50_000)
    assert seen == Lost("HTTP 200 with an answer of more than 48 KiB, not read to its end")
    seen, _ = await seen_by(flood)
    assert isinstance(seen, Answered)


async def test_a_kept_connection_that_died_is_lost_and_not_sent_again() -> None:
    """aiohttp would silently send a GET, PUT or DELETE again here."""

    async def answer_once_then_reset_at_the_next(peer: Peer) -> None:
        await peer.request()
        peer.answer()
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.server.paths.append("second")
        peer.reset()

    async with served(answer_once_then_reset_at_the_next) as server, client_of(server.url) as client:
        assert await client.send(WRITE) == Answered(1)
        assert isinstance(await client.send(WRITE), Lost)
        assert server.paths == [WRITE.path, "second"]
        assert server.connections == 1


async def test_a_kept_connection_closed_in_idleness_is_replaced() -> None:
    async def answer_and_close(peer: Peer) -> None:
        await peer.request()
        peer.answer()

    async with served(answer_and_close) as server, client_of(server.url) as client:
        seen = [await client.send(WRITE) for _ in range(5)]
        # Lost where the close is not seen in time; sent twice in neither case.
        assert all(isinstance(each, Answered | Lost) for each in seen)
        assert len(server.paths) == seen.count(Answered(1))


# What may have left, and what cannot have


async def test_left_is_told_of_what_may_have_left_and_of_nothing_else() -> None:
    """Of each call the server saw a part, or may have, if and only if it is told as left."""
    ear = Ear()

    async def answer_then_die(peer: Peer) -> None:
        await peer.request()
        peer.answer()
        await peer.reader.readexactly(1)
        peer.reset()

    async with served(answer_then_die) as server, overheard(server.url, ear) as client:
        assert isinstance(await client.send(WRITE), Answered)
        assert isinstance(await client.send(WRITE), Lost)
        port = int(server.url.rpartition(":")[2])
    assert ear.left == [True, True]
    async with overheard(f"http://127.0.0.1:{port}", ear) as client:
        assert isinstance(await client.send(WRITE), NotSent)
    assert ear.left == [True, True, False]


async def test_a_call_cancelled_while_it_connects_has_not_left() -> None:
    ear = Ear()
    arrived = asyncio.Event()

    async def silent_in_the_handshake(peer: Peer) -> None:
        await peer.reader.read(1)
        arrived.set()
        await peer.server.over.wait()

    async with (
        served(silent_in_the_handshake) as server,
        overheard(server.url.replace("http:", "https:"), ear) as client,
    ):
        task = asyncio.ensure_future(client.send(WRITE))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.over.set()
    assert ear.left == [False]


async def test_a_call_cancelled_before_its_first_step_is_not_even_begun() -> None:
    async with served(crash) as server, client_of(server.url) as client:
        task = asyncio.ensure_future(client.send(WRITE))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (server.connections, server.paths) == (0, [])


async def test_a_call_cancelled_while_it_waits_for_the_answer_has_left() -> None:
    ear = Ear()
    arrived = asyncio.Event()

    async def silence(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.server.over.wait()

    async with served(silence) as server, overheard(server.url, ear) as client:
        task = asyncio.ensure_future(client.send(WRITE))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.over.set()
        assert len(server.paths) == 1
    assert ear.left == [True]


async def test_a_connection_that_died_while_idle_carries_nothing() -> None:
    """The next call goes over a new one, and its account says so."""
    ear = Ear()
    idle = asyncio.Event()

    async def die_idle(peer: Peer) -> None:
        await peer.request()
        peer.answer()
        if peer.server.connections == 1:
            await idle.wait()
            peer.reset()
            return
        await peer.server.over.wait()

    async with served(die_idle) as server, overheard(server.url, ear) as client:
        assert await client.send(WRITE) == Answered(1)
        idle.set()
        await settle()
        assert await client.send(WRITE) == Answered(1)
        server.over.set()
        assert (server.connections, len(server.paths)) == (2, 2)
    assert ear.left == [True, True]


async def test_a_connection_that_has_rested_for_long_is_not_used_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may be about to close it, and the call would be lost."""

    async def answers(peer: Peer) -> None:
        while await peer.request():
            peer.answer()

    async with served(answers) as server, client_of(server.url) as client:
        assert await client.send(WRITE) == Answered(1)
        assert await client.send(WRITE) == Answered(1)
        assert server.connections == 1
        monkeypatch.setattr("billing.wire.RESTING", 0.0)
        assert await client.send(WRITE) == Answered(1)
        assert server.connections == 2


UNASKED = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
STRAY = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"result": "stray"}\n'


@pytest.mark.parametrize("unasked", [UNASKED, STRAY])
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_a_server_writes_unasked_is_no_answer_to_the_next_call(unasked: bytes, *, at_once: bool) -> None:
    """A session of aiohttp's would take it for that: a row would be accepted that nobody has read."""
    idle = asyncio.Event()

    async def chatter(peer: Peer) -> None:
        mine = peer.server.connections
        await peer.request()
        peer.answer(body=b'{"result": %d}' % mine)
        if not at_once:
            await idle.wait()
        peer.writer.write(unasked)
        await peer.server.over.wait()

    async with served(chatter) as server, client_of(server.url) as client:
        assert await client.send(WRITE) == Answered(1)
        idle.set()
        await settle()
        assert await client.send(WRITE) == Answered(2)
        server.over.set()
        assert (server.connections, len(server.paths)) == (2, 2)


async def test_the_answer_to_a_call_that_was_given_up_is_not_that_of_the_next() -> None:
    arrived, given_up = asyncio.Event(), asyncio.Event()

    async def late(peer: Peer) -> None:
        mine = peer.server.connections
        await peer.request()
        arrived.set()
        if mine == 1:
            await given_up.wait()
        peer.answer(body=b'{"result": %d}' % mine)
        await peer.server.over.wait()

    async with served(late) as server, client_of(server.url) as client:
        task = asyncio.ensure_future(client.send(WRITE))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        given_up.set()
        assert await client.send(WRITE) == Answered(2)
        server.over.set()


async def test_nothing_is_sent_while_every_connection_is_written_to_unasked() -> None:
    ear = Ear()
    kept = STALE_AT_MOST + 1
    all_there, idle = asyncio.Event(), asyncio.Event()

    async def chatter(peer: Peer) -> None:
        await peer.request()
        if len(peer.server.paths) == kept:
            all_there.set()
        await all_there.wait()
        peer.answer()
        await idle.wait()
        peer.writer.write(STRAY)
        await peer.server.over.wait()

    async with served(chatter) as server, overheard(server.url, ear) as client:
        assert await asyncio.gather(*(client.send(WRITE) for _ in range(kept))) == [Answered(1)] * kept
        idle.set()
        await settle()
        seen = await client.send(WRITE)
        server.over.set()
        assert (server.connections, len(server.paths)) == (kept, kept)
    assert seen == NotSent("the server writes to its connections before it is asked, which is not HTTP")
    assert ear.left == [True] * kept + [False]


async def test_an_interim_answer_is_passed_over() -> None:
    async def early_hints(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        peer.answer()

    seen, server = await seen_by(early_hints)
    assert seen == Answered(1)
    assert len(server.paths) == 1


async def test_a_change_of_protocol_is_lost() -> None:
    async def upgrade(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")

    seen, _ = await seen_by(upgrade)
    assert isinstance(seen, Lost)


# What was answered


async def test_a_connection_is_kept_for_the_next_call() -> None:
    async def answers(peer: Peer) -> None:
        while await peer.request():
            peer.answer(Set_Cookie="a=b")

    async with served(answers) as server, client_of(f"{server.url}/prefix/") as client:
        for _ in range(3):
            assert await client.send(WRITE) == Answered(1)
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
        await peer.request()
        peer.answer(503, b"", Retry_After="2")
        await peer.request()
        peer.answer(429, b"")

    async with served(busy) as server, client_of(server.url) as client:
        assert await client.send(WRITE) == Busy("HTTP 503 Service Unavailable", 2.0)
        assert await client.send(WRITE) == Busy("HTTP 429 Too Many Requests", None)


async def test_a_refusal_of_everything() -> None:
    async def forbidden(peer: Peer) -> None:
        await peer.request()
        peer.answer(403, "<h1>Нельзя</h1>".encode(), Content_Type="text/html; charset=utf-8")

    seen, _ = await seen_by(forbidden)
    assert seen == SystemRefused("HTTP 403 Forbidden: Нельзя")


async def test_health_tells_the_billing_from_others() -> None:
    async def one_then_the_other(peer: Peer) -> None:
        await peer.request()
        peer.answer(body=b'{"result": {"version": "5", "time": "2024-01-01 00:00:00"}}')
        await peer.request()
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
        task = asyncio.ensure_future(client.send(WRITE))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.over.set()
    assert server.connections == 1


async def test_many_at_once_each_arrive_once() -> None:
    async def answers(peer: Peer) -> None:
        while await peer.request():
            peer.answer()

    async with served(answers) as server, client_of(server.url) as client:
        seen = await asyncio.gather(*(client.send(WRITE) for _ in range(64)))
        assert seen == [Answered(1)] * 64
        assert len(server.paths) == 64


async def test_a_client_is_opened_first_and_not_used_after() -> None:
    client = client_of("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="async with"):
        await client.send(WRITE)
    async with client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await client.send(WRITE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "billing:8082",
        "billing",
        "ftp://billing",
        "file:///etc/passwd",
        "http://",
        "http://:8082",
        "http://h:port",
        "http://h:99999",
        "http://user:s3cret@h",
        "http://user@h",
        "http://h/?hash_key=s3cret",
        "http://h/#x",
        "http://h?",
        "http://h:8082/billing#",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        ClientSettings(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"extra": {"arg1": "x"}},
        {"extra": {"fields": "x"}},
        {"extra": {"": "x"}},
        {"extra": {"hash_key": "k\udcd0y"}},
        {"extra": {"hash\udcd0key": "x"}},
        {"headers": {"Content-Type": "x"}},
        {"headers": {"A B": "x"}},
        {"headers": {"A": "x\r\nB: y"}},
        {"read": 0},
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        ClientSettings("http://h", **settings)


@given(st.text())
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        assert ClientSettings(url).base_url == url
    except SettingsError as refusal:
        assert str(refusal).isprintable()  # noqa: PT017 — either way is right


@given(
    attempt=st.integers(min_value=0, max_value=50),
    chance=st.floats(min_value=0, max_value=1),
    asked=st.none() | st.floats(min_value=0, max_value=3600),
)
def test_patience_waits_at_least_as_long_as_asked(attempt: int, chance: float, asked: float | None) -> None:
    wait = Patience().wait(attempt, chance, asked)
    assert (asked or 0.0) <= wait <= max(asked or 0.0, Patience().longest)
