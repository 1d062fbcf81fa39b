"""What the client makes of real sockets that behave badly. No call ever reaches a server twice.

Nor is an answer taken for that of another call, and what may have left is told from what cannot have.
"""

import asyncio
import json
import time
import tracemalloc
import zlib
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from socket import socket
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from billing.api import wire
from billing.api.calls import filter_
from billing.api.wire import Deadlines
from billing.errors import BillingAway
from engine.evidence import Accepted, Lost, NotSent, RowRefused
from lab.crash.loops import loops
from tests import virtual_clock
from tests.billing.api.bare_server import (
    AMPLE,
    CLEAN,
    TINY,
    WRITE,
    Do,
    Ear,
    Endless,
    Peer,
    Step,
    client_of,
    give_up,
    head,
    seen_of,
    served,
    talk,
    whole,
)
from tests.virtual_clock import START, settle

READ, HEAD, RESET, STAY, EACH = Do
ASK = filter_("Users", {"id": 1})
MEBIBYTE = 2**20
LIMIT = MEBIBYTE // 4
"""The longest answer that the client of these tests takes."""
MOST_MEMORY = 8 * MEBIBYTE
MOST_SECONDS = loops(20)


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ---- what does not leave ----------------------------------------------------------------------------------------


async def test_nobody_listens_or_the_name_does_not_resolve() -> None:
    async with client_of(f"http://127.0.0.1:{free_port()}") as client:
        seen = await client.send(WRITE)
        assert isinstance(seen, NotSent)
        assert "no connection to 127.0.0.1" in seen.text
        with pytest.raises(BillingAway, match="Nobody answers at"):
            await client.health()
        with pytest.raises(BillingAway, match="asked 2 times"):
            await client.ask(ASK)
    async with client_of("http://no-such-billing.invalid:8082") as client:
        assert await client.send(WRITE) == NotSent("the name no-such-billing.invalid is not known")


@pytest.mark.parametrize(
    ("answer", "settings", "told"),
    [
        (head(status="400 Bad Request"), {}, "no TLS with 127.0.0.1"),
        (b"", {"connect": TINY}, "no connection in time"),
        (b"", {"deadline": TINY}, "no connection in time"),
    ],
)
async def test_a_server_without_tls_or_silent_at_first(answer: bytes, settings: dict[str, Any], told: str) -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.writer.write(answer)
        await (peer.server.over.wait() if not answer else asyncio.sleep(0))

    async with served(plain) as server, client_of(server.url.replace("http:", "https:"), **settings) as client:
        seen = await client.send(WRITE)
        server.over.set()
    assert isinstance(seen, NotSent)
    assert told in seen.text
    assert server.paths == []


# ---- what left and found no answer -------------------------------------------------------------------------------


def packed(window: int) -> bytes:
    pack = zlib.compressobj(1, wbits=window)
    return b"".join([*(pack.compress(b" " * MEBIBYTE) for _ in range(16)), pack.flush()])


GZIP, DEFLATE, RAW = 31, 15, -15
BOMB: Final = packed(GZIP)
CHUNKED: Final = head("Transfer-Encoding: chunked")
TOO_LONG = "an answer of more than 256 KiB, not read to its end"
NO_HTTP = "what came back is not HTTP"
LATE: Final = whole(body=b'{"result": 9}')
STRAY: Final = whole(status="408 Request Timeout")

LOST: Final[Mapping[str, tuple[Sequence[Step], str]]] = {
    "closed at once": ([], ""),
    "read and closed": ([READ], ""),
    "reset within the body": ([HEAD, RESET], ""),
    "half a head": ([READ, b"HTTP/1.1 200 OK\r\nContent-"], ""),
    "half a body": ([READ, head("Content-Length: 20") + b'{"result": '], "the answer broke off"),
    "half a JSON": ([READ, whole(body=b'{"result": ')], "not the billing's JSON"),
    "no gzip": ([READ, whole("Content-Encoding: gzip", body=b"not gzip at all")], "the answer broke off"),
    "no chunk": ([READ, CHUNKED, b"zz\r\n{}\r\n"], ""),
    "no HTTP": ([READ, b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], NO_HTTP),
    "a crash": ([READ, whole("Content-Type: text/html", body=b"<h1>Oops</h1>", status="500 X")], "HTTP 500"),
    "unavailable": ([READ, whole(body=b'{"result": 1}', status="503 X")], "HTTP 503"),
    "a change of protocol": ([READ, head("Connection: Upgrade", "Upgrade: x", status="101 X")], ""),
    "a bomb": ([READ, whole("Content-Encoding: gzip", body=BOMB), STAY], TOO_LONG),
    "a bomb, deflated": ([READ, whole("Content-Encoding: deflate", body=packed(DEFLATE)), STAY], TOO_LONG),
    "a bomb, raw": ([READ, whole("Content-Encoding: deflate", body=packed(RAW)), STAY], TOO_LONG),
    "a crash's bomb": ([READ, whole("Content-Encoding: gzip", body=BOMB, status="500 X"), STAY], TOO_LONG),
    "empty packs": (
        [READ, whole("Content-Encoding: gzip", body=zlib.compressobj(wbits=GZIP).flush() * 5000), STAY],
        "broke off",
    ),
    "chunks without end": ([READ, CHUNKED, Endless(b"8000\r\n" + b" " * 2**15 + b"\r\n")], TOO_LONG),
    "small chunks": ([READ, CHUNKED, Endless(b"4\r\n    \r\n" * 1000)], TOO_LONG),
    "a body without end": ([READ, head(), Endless(b" " * 2**15)], TOO_LONG),
    "a long body": ([READ, head("Content-Length: 999999999999999"), Endless(b" " * 2**15)], TOO_LONG),
    "headers without end": ([READ, head()[:-2], Endless(b"X: y\r\n" * 1000)], NO_HTTP),
    "a header without end": ([READ, head()[:-2] + b"X: ", Endless(b"y" * 2**15)], NO_HTTP),
    "a status without end": ([READ, b"HTTP/1.1 200 ", Endless(b"y" * 2**15)], NO_HTTP),
    "trailers without end": ([READ, CHUNKED + b"1\r\n1\r\n0\r\n", Endless(b"X: y\r\n" * 1000)], "HTTP"),
    "about to answer": (
        [READ, Endless(head(status="100 Continue") * 1000)],
        "16 times that it is about to answer, and has not",
    ),
    "a huge chunk": ([READ, CHUNKED + b"f" * 40 + b"\r\n", STAY], NO_HTTP),
    "a negative chunk": ([READ, CHUNKED + b"-5\r\n", STAY], NO_HTTP),
    **{
        f"the length {length[:9]}": ([READ, head(f"Content-Length: {length}") + b"{}", STAY], NO_HTTP)
        for length in ("-1", "+2", "9" * 4000, "2\r\nContent-Length: 3")
    },
    **{
        f"a redirect {status}": ([READ, whole("Location: /", status=f"{status} X"), EACH], "to /, not followed")
        for status in (301, 302, 303, 307, 308)
    },
    "an odd redirect": ([READ, whole("Location: \x1b]0;x\x07", status="307 X"), STAY], r"a redirect to \x1b]0;x\x07"),
}


@pytest.mark.parametrize(("steps", "told"), LOST.values(), ids=list(LOST))
async def test_what_left_and_found_no_answer_is_lost_and_not_repeated(steps: Sequence[Step], told: str) -> None:
    """In bounded time and memory, whatever a server sends."""
    began = time.perf_counter()
    tracemalloc.start()
    try:
        seen, server = await asyncio.wait_for(seen_of(*steps, answer_limit=LIMIT), MOST_SECONDS)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(seen, Lost), seen
    assert told in seen.text
    assert seen.text.isprintable()
    assert server.connections == 1
    assert len(server.paths) <= 1
    assert most < MOST_MEMORY
    assert time.perf_counter() - began < MOST_SECONDS


@pytest.mark.parametrize(
    ("steps", "settings", "told"),
    [
        ([STAY], {"read": TINY}, "no answer in time"),
        ([STAY], {"deadline": TINY}, "no answer in time"),
        ([head("Content-Length: 100") + b'{"result"', STAY], {"deadline": TINY}, ""),
        ([CHUNKED + b"1;", Endless(b"x" * 2**15)], {"deadline": 0.5}, ""),
    ],
    ids=["reading", "silence", "within the body", "trickling"],
)
async def test_an_answer_that_does_not_come_or_trickles_is_lost_at_the_deadline(
    steps: Sequence[Step], settings: dict[str, Any], told: str
) -> None:
    seen, server = await asyncio.wait_for(seen_of(READ, *steps, **settings), MOST_SECONDS)
    assert isinstance(seen, Lost)
    assert told in seen.text
    assert server.connections == 1


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
    tracemalloc.start()
    try:
        seen, _ = await seen_of(READ, whole(body=body.encode(), status=status), STAY, answer_limit=LIMIT)
        assert isinstance(seen, Lost | RowRefused | Accepted)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


async def test_a_kept_connection_that_died_is_lost_and_not_sent_again() -> None:
    """aiohttp would silently send a GET, PUT or DELETE again here."""
    second = asyncio.Event()
    steps: list[Step] = [READ, CLEAN, HEAD, second.set, RESET]
    async with served(talk(steps)) as server, client_of(server.url) as client:
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        assert isinstance(await client.send(WRITE, row=1), Lost)
        assert second.is_set()
        assert (server.paths, server.connections) == ([WRITE.path], 1)


# ---- what goes over the wire -------------------------------------------------------------------------------------


async def test_a_server_that_speaks_first_is_never_taken_for_the_billing() -> None:
    seen, _ = await seen_of(b"220 ready\r\n", HEAD)
    assert isinstance(seen, NotSent | Lost)


async def test_the_request_as_it_goes_over_the_wire() -> None:
    requests: list[bytes] = []

    async def record(peer: Peer) -> None:
        while request := await peer.request():
            requests.append(request)
            peer.writer.write(whole("Set-Cookie: a=b", body=b'{"result": 1}'))

    extra: Mapping[str, Any] = {"extra": {"hash_key": "k+y"}, "headers": {"X-Key": "z"}}
    async with served(record) as server, client_of(f"{server.url}/prefix/", **extra) as client:
        for _ in range(3):
            assert await client.send(WRITE, row=1) == Accepted(result=1)
        assert (server.connections, server.paths) == (1, [f"/prefix{WRITE.path}"] * 3)
    first, _, body = requests[2].partition(b"\r\n\r\n")
    assert first.startswith(b"POST /prefix/rest_api/v2/FinanceOperations/ HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in first
    assert b"\r\nX-Key: z\r\n" in first
    assert b"Cookie" not in first
    assert first.count(b"\r\nContent-Length: %d" % len(body)) == first.lower().count(b"content-length") == 1
    assert first.count(f"\r\nHost: {server.url.removeprefix('http://')}\r\n".encode()) == 1
    assert body.endswith(b"&hash_key=k%2By")


# ---- the caller's part -------------------------------------------------------------------------------------------


async def test_a_client_is_opened_first_and_not_used_after() -> None:
    client = client_of("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="async with"):
        await client.send(WRITE)
    async with client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await client.send(WRITE)


@pytest.mark.parametrize("connects", [True, False], ids=["connecting", "waiting"])
async def test_a_call_that_is_cancelled_has_left_where_it_was_connected(*, connects: bool) -> None:
    ear, arrived = Ear(), asyncio.Event()

    async def silent(peer: Peer) -> None:
        await (peer.reader.read(1) if connects else peer.request())
        arrived.set()
        await peer.server.over.wait()

    async with served(silent) as server:
        url = server.url.replace("http:", "https:") if connects else server.url
        async with client_of(url, ear) as client:
            await give_up(client, arrived)
            server.over.set()
    assert ear.left == [not connects]
    assert (server.connections, len(server.paths)) == (1, 0 if connects else 1)


async def test_a_connection_that_is_dead_as_soon_as_it_is_made_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = asyncio.Event()

    async def waits(peer: Peer) -> None:
        with suppress(ConnectionResetError):
            await peer.reader.read()
        closed.set()

    monkeypatch.setattr(wire, "is_gone", lambda _: True)
    async with served(waits) as server, client_of(server.url) as client:
        assert isinstance(await client.send(WRITE), NotSent)
        await closed.wait()
        assert server.paths == []


# ---- the fence before the write: a call that may not leave is not sent, whatever was awaited before --------------


async def test_a_call_that_may_not_leave_is_not_sent_on_a_new_or_a_kept_connection() -> None:
    async with served(talk([EACH])) as server, client_of(server.url) as client:
        with client.fenced(lambda: False):
            assert isinstance(await client.send(WRITE, row=1), NotSent)
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        with client.fenced(lambda: False):
            refused = await client.send(WRITE, row=2)
        assert isinstance(refused, NotSent)
        assert "this process has lost its lease, or stood still when the call was to leave" in refused.text
        assert await client.send(WRITE, row=2) == Accepted(result=1)
        assert len(server.paths) == 2


async def test_the_fence_is_asked_when_the_connection_is_made_and_nothing_is_awaited_any_more() -> None:
    """What closes it while name, TCP and TLS are waited for still holds the call back."""
    async with served(talk([EACH])) as server, client_of(server.url) as client:
        with client.fenced(lambda: server.connections == 0):
            assert isinstance(await client.send(WRITE, row=1), NotSent)
        assert server.paths == []


# ---- which connection is used again, and what comes over it unasked -----------------------------------------------

NOT_CLEAN: Final = (
    whole(status="504 Gateway Timeout"),
    whole(body=b"oops", status="500 Internal Server Error"),
    whole("Retry-After: 0", status="503 Service Unavailable"),
    whole(status="429 Too Many Requests"),
    whole(status="400 Bad Request"),
    whole("Location: /", status="302 Found"),
    whole(body=b'{"error": "boom"}'),
    whole(body=b"<ok/>"),
)


@pytest.mark.parametrize("answer", NOT_CLEAN)
async def test_a_connection_is_used_again_after_a_clean_answer_alone(answer: bytes) -> None:
    async with served(talk([READ, answer, EACH], [EACH])) as server, client_of(server.url) as client:
        await client.send(WRITE, row=7)
        assert await client.send(WRITE, row=7) == Accepted(result=1)
        assert await client.send(WRITE, row=7) == Accepted(result=1)
        assert server.connections == 2


async def test_calls_of_rows_share_a_connection_that_has_not_rested_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of no row goes over one that was not used before nor is after; a rested one is about to be closed."""
    async with served(talk([EACH])) as server, client_of(server.url) as client:
        for row, connections in ((1, 1), (2, 1), (None, 2), (None, 3), (3, 3)):
            assert await client.send(WRITE, row=row) == Accepted(result=1)
            assert server.connections == connections
        monkeypatch.setattr("billing.api.wire.RESTING", 0.0)
        assert await client.send(WRITE, row=3) == Accepted(result=1)
        assert server.connections == 4


@pytest.mark.parametrize("row", [7, None])
@pytest.mark.parametrize("behind", [LATE, STRAY, b"\0\0\0"])
async def test_an_answer_with_something_behind_it_is_lost_and_no_other_rows(behind: bytes, row: int | None) -> None:
    """It answers one row twice and swallows the next: the second answer came before that was written."""
    async with served(talk([READ, CLEAN + behind, READ], [EACH])) as server, client_of(server.url) as client:
        assert isinstance(await client.send(WRITE, row=row), Lost)
        assert await client.send(WRITE, row=row) == Accepted(result=1)
        server.over.set()


IDLE: Final[Mapping[str, Step]] = {"a reset": RESET, "a 408": STRAY, "an answer": LATE, "a close": b""}


@pytest.mark.parametrize("unasked", IDLE.values(), ids=list(IDLE))
async def test_what_a_server_does_unasked_is_no_answer_to_the_next_call(unasked: Step) -> None:
    """A session of aiohttp's would take it for that: a row would be accepted that nobody has read."""
    ear, idle = Ear(), asyncio.Event()
    first: list[Step] = [READ, CLEAN, idle, unasked]
    second: list[Step] = [READ, whole(body=b'{"result": 2}'), STAY]
    async with served(talk(first, second)) as server, client_of(server.url, ear) as client:
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        idle.set()
        await settle()
        assert await client.send(WRITE, row=2) == Accepted(result=2)
        server.over.set()
        assert (server.connections, len(server.paths)) == (2, 2)
    assert ear.left == [True, True]


async def test_the_answer_to_a_call_that_was_given_up_is_not_that_of_the_next() -> None:
    arrived, given_up = asyncio.Event(), asyncio.Event()
    late: list[Step] = [READ, arrived.set, given_up, CLEAN, STAY]
    async with served(talk(late, [READ, LATE, STAY])) as server, client_of(server.url) as client:
        await give_up(client, arrived)
        given_up.set()
        assert await client.send(WRITE) == Accepted(result=9)
        server.over.set()


async def test_what_comes_over_a_resting_connection_puts_its_last_row_in_doubt() -> None:
    idle, heard = asyncio.Event(), asyncio.Event()
    doubted: list[int] = []

    def hear(row: int) -> None:
        doubted.append(row)
        heard.set()

    steps: list[Step] = [READ, CLEAN, READ, CLEAN, idle, LATE, READ]
    async with served(talk(steps)) as server, client_of(server.url) as client:
        with client.doubts(hear), capture_logs() as logged:
            assert await client.send(WRITE, row=1) == Accepted(result=1)
            assert await client.send(WRITE, row=2) == Accepted(result=1)
            assert server.connections == 1
            idle.set()
            await asyncio.wait_for(heard.wait(), AMPLE)
    assert doubted == [2]
    assert [(one["log_level"], one["row"], one["beginning"]) for one in logged] == [("warning", 2, "HTTP/1.1 200 OK")]


async def test_an_empty_line_is_no_answer_and_does_no_harm() -> None:
    idle = asyncio.Event()
    doubted: list[int] = []
    polite: list[Step] = [READ, CLEAN, idle, b"\r\n", READ, CLEAN]
    async with served(talk(polite)) as server, client_of(server.url) as client:
        with client.doubts(doubted.append):
            assert await client.send(WRITE, row=1) == Accepted(result=1)
            idle.set()
            await settle()
            assert await client.send(WRITE, row=2) == Accepted(result=1)
    assert (doubted, server.connections) == ([], 1)


# Many deadlines on one timer, on a virtual clock: what is late is cut short, what is not is left alone.

SECONDS = 10.0


def now() -> float:
    return asyncio.get_running_loop().time() - START


async def end_of(work: Awaitable[object]) -> tuple[str, float]:
    """How it ended, and when."""
    try:
        result = await work
    except TimeoutError:
        task = asyncio.current_task()
        return "late, and cancelled" if task and task.cancelling() else "late", now()
    except asyncio.CancelledError:
        return "cancelled", now()
    return str(result), now()


def test_each_has_its_time_from_its_own_beginning() -> None:
    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)
        ends = []
        for begin, needs in ((0, 30), (1, 2), (1, 9.5), (4, 30), (4, 10.5), (25, 3), (25, 30)):
            await asyncio.sleep(begin - now())
            work = asyncio.create_task(deadlines.within(asyncio.sleep(needs, "done")))
            ends.append(asyncio.create_task(end_of(work)))
        return list(await asyncio.gather(*ends))

    assert virtual_clock.run(scenario()) == [
        ("late", 10),
        ("done", 3),
        ("done", 10.5),
        ("late", 14),
        ("late", 14),
        ("done", 28),
        ("late", 35),
    ]


def test_what_is_cut_short_has_ended_and_what_was_in_time_is_left_alone() -> None:
    tidied: list[float] = []

    async def works(deadlines: Deadlines, *needs: float) -> str:
        for seconds in needs:
            try:
                await deadlines.within(asyncio.sleep(seconds))
            finally:
                tidied.append(now())
            await asyncio.sleep(20)
        return "done"

    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)
        ends = await asyncio.gather(*(end_of(works(deadlines, *needs)) for needs in ((2, 9.5), (1, 30), (3, 9))))
        work = asyncio.create_task(end_of(deadlines.within(asyncio.sleep(60, "closed"))))
        await settle()
        deadlines.close()
        return [*ends, await work]

    assert virtual_clock.run(scenario()) == [("done", 51.5), ("late", 31), ("done", 52), ("closed", 112)]
    assert tidied == [1, 2, 3, 31, 31.5, 32]


def test_whoever_else_cancels_has_his_way() -> None:
    async def scenario() -> list[tuple[str, float]]:
        deadlines = Deadlines(SECONDS)
        early, at_once, late = (asyncio.create_task(deadlines.within(asyncio.sleep(60))) for _ in range(3))
        ends = [asyncio.create_task(end_of(task)) for task in (early, at_once, late)]
        loop = asyncio.get_running_loop()
        loop.call_at(START + 5, early.cancel)
        # The deadline's own timer was set before: both strike in one turn of the loop.
        loop.call_at(START + SECONDS, at_once.cancel)
        return list(await asyncio.gather(*ends))

    assert virtual_clock.run(scenario()) == [("cancelled", 5), ("cancelled", 10), ("late", 10)]
