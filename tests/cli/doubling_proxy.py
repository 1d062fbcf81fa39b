"""A proxy between the command line and the billing that gives one answer twice, late, or speaks in its place."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from urllib.parse import urlsplit

from tests.connections import served_connections


def _page(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


TIMED_OUT = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"


class Fault(StrEnum):
    """What the proxy does to one answer."""

    HELD = "held"
    """It passes the answer on, gives it again to the next request of that connection, and swallows that one."""
    AT_ONCE = "at once"
    """It writes the answer twice in one go, and swallows the next request of that connection."""
    TIMED_OUT = "timed out"
    """It answers 504 at once, and passes the real answer on when the next request of that connection is there."""
    IDLE = "idle"
    """It passes the answer on, and again when the client has had the time to let its connection rest."""
    TOO_MANY = "429 after the effect"
    NOT_NOW = "503 after the effect"
    BAD_REQUEST = "400 after the effect"
    FORBIDDEN = "403 after the effect"
    UNKNOWN_ERROR = "unknown error after the effect"


INSTEAD = {
    Fault.TOO_MANY: _page("429 Too Many Requests", b"<h1>Too many</h1>"),
    Fault.NOT_NOW: _page("503 Service Unavailable", b"<h1>Later</h1>", "Retry-After: 1\r\n"),
    Fault.BAD_REQUEST: _page("400 Bad Request", b"<h1>Bad request</h1>"),
    Fault.FORBIDDEN: _page("403 Forbidden", b"<h1>Forbidden</h1>"),
    Fault.UNKNOWN_ERROR: _page("200 OK", b'{"call": "x", "error": "division by zero"}'),
}
"""What the proxy says in place of the billing's answer, when the call has had its effect."""


class DoublingProxy:
    """`fault` happens to the answer to call number `place` of those whose request holds `text`."""

    def __init__(self, upstream: str, text: str, place: int, fault: Fault) -> None:
        self._upstream = urlsplit(upstream)
        self._text = text.encode()
        self._place = place
        self._fault = fault
        self._calls = 0
        self.url = ""
        self.swallowed = 0
        self.connections: Counter[str] = Counter()
        self.happened = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the client's."""
        seen: set[str] = set()
        try:
            while True:
                request = await _message(reader)
                model = request.split(b" ", 2)[1].decode().strip("/").rpartition("/")[2]
                self.connections[model] += model not in seen
                seen.add(model)
                self._calls += self._text in request
                if self._calls == self._place and not self.happened:
                    self.happened = True
                    await self._misbehave(request, reader, writer)
                else:
                    writer.write(await self._pass_on(request))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _misbehave(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await self._pass_on(request)
        match self._fault:
            case Fault.HELD:
                writer.write(answer)
                await self._swallow(reader)
                writer.write(answer)
            case Fault.AT_ONCE:
                writer.write(answer + answer)
                await self._swallow(reader)
            case Fault.TIMED_OUT:
                writer.write(TIMED_OUT)
                await self._swallow(reader)
                writer.write(answer)
            case fault if fault in INSTEAD:
                writer.write(INSTEAD[fault])
            case Fault.IDLE:
                writer.write(answer)
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.write(answer)
                await self._swallow(reader)

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        await _message(reader)
        self.swallowed += 1

    async def _pass_on(self, request: bytes) -> bytes:
        upstream, back = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            back.write(request)
            return await _message(upstream)
        finally:
            back.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def doubling(upstream: str, model: str, place: int, fault: Fault) -> AsyncIterator[DoublingProxy]:
    """The proxy, before the billing at `upstream`."""
    proxy = DoublingProxy(upstream, model, place, fault)
    async with served_connections(proxy.serve) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy
