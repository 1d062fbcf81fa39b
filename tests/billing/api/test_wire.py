"""What may have left and what cannot have, and that no answer is taken for that of another call."""

import asyncio
from contextlib import suppress

import pytest

from billing.api import wire
from engine.evidence import Accepted, Lost, NotSent
from tests.billing.api.bare_server import WRITE, Ear, Peer, client_of, give_up, overheard, seen_by, served, settle


async def test_left_is_told_of_what_may_have_left_and_of_nothing_else() -> None:
    """Of each call the server saw a part, or may have, if and only if it is told as left."""
    ear = Ear()

    async def answer_then_die(peer: Peer) -> None:
        await peer.request()
        peer.answer()
        await peer.reader.readexactly(1)
        peer.reset()

    async with served(answer_then_die) as server, overheard(server.url, ear) as client:
        assert isinstance(await client.send(WRITE, row=1), Accepted)
        assert isinstance(await client.send(WRITE, row=1), Lost)
        port = int(server.url.rpartition(":")[2])
    assert ear.left == [True, True]
    async with overheard(f"http://127.0.0.1:{port}", ear) as client:
        assert isinstance(await client.send(WRITE, row=1), NotSent)
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
        await give_up(client, arrived)
        server.over.set()
    assert ear.left == [False]


async def test_a_call_cancelled_before_its_first_step_is_not_even_begun() -> None:
    async def answers(peer: Peer) -> None:
        await peer.request()
        peer.answer()

    async with served(answers) as server, client_of(server.url) as client:
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
        await give_up(client, arrived)
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
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        idle.set()
        await settle()
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        server.over.set()
        assert (server.connections, len(server.paths)) == (2, 2)
    assert ear.left == [True, True]


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


async def test_no_call_leaves_before_who_listens_has_room_for_it() -> None:
    """What waits to be written of a recording is bounded."""
    ear = FullEar()

    async def answers(peer: Peer) -> None:
        await peer.request()
        peer.answer()

    async with served(answers) as server, overheard(server.url, ear) as client:
        call = asyncio.ensure_future(client.send(WRITE))
        await settle()
        assert server.connections == 0
        ear.room.set()
        assert await call == Accepted(result=1)


class FullEar(Ear):
    """A listener that has no room until somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.room = asyncio.Event()

    async def ready(self) -> None:
        await self.room.wait()


async def test_a_connection_that_has_rested_for_long_is_not_used_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may be about to close it, and the call would be lost."""

    async def answers(peer: Peer) -> None:
        while await peer.request():
            peer.answer()

    async with served(answers) as server, client_of(server.url) as client:
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        assert server.connections == 1
        monkeypatch.setattr("billing.api.wire.RESTING", 0.0)
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        assert server.connections == 2


UNASKED = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
STRAY = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"result": "stray"}\n'


@pytest.mark.parametrize("unasked", [UNASKED, STRAY])
async def test_what_a_server_writes_unasked_is_no_answer_to_the_next_call(unasked: bytes) -> None:
    """A session of aiohttp's would take it for that: a row would be accepted that nobody has read."""
    idle = asyncio.Event()

    async def chatter(peer: Peer) -> None:
        mine = peer.server.connections
        await peer.request()
        peer.answer(body=b'{"result": %d}' % mine)
        if mine == 1:
            await idle.wait()
            peer.writer.write(unasked)
        await peer.server.over.wait()

    async with served(chatter) as server, client_of(server.url) as client:
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        idle.set()
        await settle()
        assert await client.send(WRITE, row=2) == Accepted(result=2)
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
        await give_up(client, arrived)
        given_up.set()
        assert await client.send(WRITE) == Accepted(result=2)
        server.over.set()


async def test_a_server_that_speaks_first_is_never_taken_for_the_billing() -> None:
    async def greets(peer: Peer) -> None:
        peer.writer.write(b"220 ready\r\n")
        await peer.reader.read(1)

    seen, _ = await seen_by(greets)
    assert isinstance(seen, NotSent | Lost)


async def test_an_interim_answer_is_passed_over() -> None:
    async def early_hints(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        peer.answer()

    seen, server = await seen_by(early_hints)
    assert seen == Accepted(result=1)
    assert len(server.paths) == 1


async def test_a_change_of_protocol_is_lost() -> None:
    async def upgrade(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")

    seen, _ = await seen_by(upgrade)
    assert isinstance(seen, Lost)
