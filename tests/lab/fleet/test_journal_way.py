"""The way to the journal that can be cut: what comes through it, and what does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from lab.fleet.journal_way import JournalWay


class Again(asyncio.Protocol):
    """Says everything again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@asynccontextmanager
async def echo() -> AsyncIterator[JournalWay]:
    """A way to a server that says everything again."""
    server = await asyncio.get_running_loop().create_server(Again, "127.0.0.1", 0)
    way = JournalWay(server.sockets[0].getsockname()[1])
    async with server, way.serving():
        yield way


class Client:
    """A connection through the way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def said_again(self, words: bytes) -> bytes:
        self.writer.write(words)
        return await self.reader.readexactly(len(words))


@asynccontextmanager
async def client(way: JournalWay) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_what_comes_is_passed_on_until_it_is_cut_and_again_when_it_is_mended() -> None:
    async with echo() as way:
        async with client(way) as one:
            assert await one.said_again(b"one") == b"one"
            way.cut()
            with pytest.raises(ConnectionResetError):
                await one.reader.read(1)
        async with client(way) as refused:
            with pytest.raises(ConnectionResetError):
                await refused.reader.read(1)
        way.mend()
        async with client(way) as two:
            assert await two.said_again(b"two") == b"two"


async def test_a_black_hole_keeps_every_connection_and_passes_nothing() -> None:
    async with echo() as way, client(way) as old:
        assert await old.said_again(b"one") == b"one"
        way.swallow()
        async with client(way) as new:
            answers = [asyncio.ensure_future(each.said_again(b"two")) for each in (old, new)]
            done, _ = await asyncio.wait(answers, timeout=0.1)
            assert not done
            way.mend()
            assert await asyncio.gather(*answers) == [b"two", b"two"]
