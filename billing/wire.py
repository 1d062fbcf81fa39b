"""One POST at a time over each of aiohttp's kept-alive connections, and an exact account of how far it got.

Names, TCP, TLS, the parser of answers and the time-out of silence are aiohttp's. This module stands where its
`ClientSession` stands, between the connector and the parser, for two reasons. A session hands the request to a task
and cannot say whether a byte of it has gone: here the whole request is one write, and `left` is set in the line
before it. And a session builds anew for each call what is the same for all: it takes three times as long. So does the
connector's pool, in its measure: connections, which all lead to one server, rest here between two calls.

Nothing is ever sent a second time, and no redirect is followed. (A session silently sends GET, PUT and DELETE again
on a kept connection that has died, and follows a 307 by posting again.)

And nothing is sent once its call is over. A connection that is closed in good form goes on sending what it was given,
for minutes, even when its process is gone: a look-up would find nothing, and then the request would arrive. So a call
that fails breaks its connection off, and the kernel drops what it has not sent yet.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from billing.calls import Call
from billing.deadlines import Deadlines
from billing.exchange import Exchange
from billing.listening import Ending, Heard, Seen

_SWITCHING: Final = 101
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: whoever closes the socket, also the kernel of a process that is killed, resets the connection."""
RESTING: Final = 15.0
"""Seconds without a call after which a connection is not used any more: the server may be about to close it."""
STALE_AT_MOST: Final = 64
"""Connections that turn out to be of no use for a call, after which it is given up."""


class StaleConnection(ConnectionError):
    """Raised when nothing could be sent: what came over a connection before the request is no answer to it."""


class Flight:
    """How far one request got. `left` is set just before its first byte goes, and never otherwise.

    `status` and `headers` are of the answer's head, None and empty until it is there; `parts` are what came of a body
    that is not whole.
    """

    __slots__ = ("ending", "form", "headers", "left", "parts", "status")

    def __init__(self, form: bytes) -> None:
        self.form = form
        self.left = False
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.parts: list[bytes] = []
        self.ending: Ending | None = None

    def heard(self, call: Call, seconds: float, seen: Seen | None = None, exchange: Exchange | None = None) -> Heard:
        """The call for a listener; without `seen` it was cancelled."""
        if isinstance(seen, tuple):
            return Heard(call, self.form, self.left, seconds, *seen, None, exchange)
        # An answer that is too long is left by this side: nothing was raised.
        ending = self.ending or "closed"
        part = b"".join(self.parts)
        return Heard(call, self.form, self.left, seconds, self.status, self.headers, part, ending, exchange)


@dataclass(frozen=True, slots=True)
class _Post:
    """What is the same for all requests of one path: whom to connect to, and the head but for the length."""

    target: aiohttp.ClientRequest
    head: bytes


class Wire:
    """Connections to one server; used within one event loop, and closed at the end.

    `headers` go with each request. `connect` and `read` are seconds, for a connection with its TLS and for each
    silence of the server; `deadline` for the whole of a call. Of an answer no more than `limit` bytes are taken.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str],
        *,
        connect: float,
        read: float,
        deadline: float,
        limit: int,
    ) -> None:
        self._base = base
        self._headers = headers
        self._read = read
        self._limit = limit
        # Whoever calls bounds what is in flight: waiting for a free connection would only hide it.
        self._connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket)
        self._resting: deque[tuple[float, Connection]] = deque()
        self._now = asyncio.get_running_loop().time
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        self._deadlines = Deadlines(deadline)
        self._posts: dict[str, _Post] = {}

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._connector.closed

    async def close(self) -> None:
        """Close all connections."""
        self._deadlines.close()
        for _, connection in self._resting:
            connection.release()
        self._resting.clear()
        await self._connector.close()

    async def post(self, path: str, flight: Flight) -> bytes | None:
        """Send `flight.form` once; the body of the answer, or None when it is longer than the limit.

        Whatever is raised, `flight` tells how far it got. Raises what aiohttp raises: ClientError,
        HttpProcessingError, OSError, and TimeoutError among them.
        """
        return await self._deadlines.within(self._exchange(self._post(path), flight))

    async def _exchange(self, post: _Post, flight: Flight) -> bytes | None:
        connection = await self._connection(post)
        try:
            protocol, transport = _ends(connection)
            # Nothing is awaited between the look at the connection and the write: nobody can have closed it.
            flight.left = True
            transport.write(b"%b%d\r\n\r\n%b" % (post.head, len(flight.form), flight.form))
            protocol.start_timeout()
            message, content = await protocol.read()
            while message.code < 200 and message.code != _SWITCHING:  # noqa: PLR2004 - 100 Continue and its like
                message, content = await protocol.read()
            flight.status, flight.headers = message.code, message.headers
            body = await _whole(content, self._limit, flight)
        except BaseException:
            _break_off(connection)
            raise
        if body is None or protocol.should_close:
            # The answer may be there before the whole of the request has gone.
            _break_off(connection)
        else:
            self._resting.append((self._now(), connection))
        return body

    async def _connection(self, post: _Post) -> Connection:
        """A connection on which the next thing that comes is the answer to what is sent.

        A server may write unasked, as "408 Request Timeout" before it closes an idle connection: that must not be
        taken for the answer to the next request.
        """
        for _ in range(STALE_AT_MOST):
            connection = self._rested() or await self._connector.connect(post.target, [], self._timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.is_connected():
                connection.close()
                raise StaleConnection("the server closed the connection as soon as it was made")
            if not protocol.should_close:
                protocol.set_response_params(read_until_eof=True, read_timeout=self._read)
                return connection
            connection.close()
        raise StaleConnection("the server writes to its connections before it is asked, which is not HTTP")

    def _rested(self) -> Connection | None:
        """A connection that an earlier call has left, and that the server has not closed since; None without one."""
        while self._resting:
            since, connection = self._resting.popleft()
            if not connection.closed and self._now() - since < RESTING:
                return connection
            connection.close()
        return None

    def _post(self, path: str) -> _Post:
        post = self._posts.get(path)
        if post is None:
            target = aiohttp.ClientRequest(
                "POST", URL(self._base + path), headers=self._headers, loop=asyncio.get_running_loop()
            )
            lines = [f"POST {target.url.raw_path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in target.headers.items() if name != "Content-Length"]
            head = "\r\n".join([*lines, "Content-Length: "]).encode()
            post = self._posts[path] = _Post(target, head)
        return post


def _ends(connection: Connection) -> tuple[ResponseHandler, asyncio.Transport]:
    protocol, transport = connection.protocol, connection.transport
    assert protocol is not None and transport is not None  # noqa: S101, PT018 - of a connection that is in use
    return protocol, transport


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    return made


def _break_off(connection: Connection) -> None:
    """Close, and drop what has not been sent; `close` alone would first send it."""
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


async def _whole(content: aiohttp.StreamReader, limit: int, flight: Flight) -> bytes | None:
    """The body, or None when it is longer than the limit."""
    body = await content.readany()
    if len(body) <= limit and content.at_eof():
        return body
    flight.parts = parts = [body]
    size = len(body)
    while size <= limit:
        part = await content.readany()
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    return None
