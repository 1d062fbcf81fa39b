"""The wire: one POST at a time over each kept-alive connection, and an exact account of how far it got.

Name resolution, TCP, TLS, the parser of answers and the time-out of silence are aiohttp's. This module takes the
place of its `ClientSession`, between the connector and the parser, for two reasons. A session hands the request to a
task and cannot tell whether a byte of it has left: here the whole request is one write, and `left` is set in the line
before it. And a session takes three times as long, because it builds again for each call what is common to all. The
connector's pool is slow too, so idle connections, which all lead to one server, rest here between two calls. What
of connector and parser aiohttp does not document stands in `aiohttp_parts.py` alone.

An answer belongs to its request, or it is lost. HTTP/1.1 tells answers apart by their order alone, and a proxy may
answer one request twice, or answer one late that it has already answered with 504. So a connection is used again only
after a clean 2xx that was read to its end, and only for calls whose answers name their row. Any other call has a
connection of its own. Bytes that come over an idle connection are unasked: they put the row that was answered there
last in doubt.

Nothing is ever sent a second time, and no redirect is followed. (A session silently sends GET, PUT and DELETE again
on a kept connection that has died, and follows a 307 by posting again.)

Nothing is sent after its call has ended. A connection that is closed normally goes on sending its data for minutes,
even when its process has ended: a look-up would find nothing, and then the request would arrive. So a failed call
aborts its connection, and the kernel drops the unsent data. A call also ends at its deadline: one timer keeps the
deadlines of all calls (`Deadlines`).

A `Flight` tells how far a call got; a `CallRecord` is what a listener, such as a recorder, receives of it.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

import aiohttp
from yarl import URL

from billing.api.aiohttp_parts import (
    Connection,
    RawResponseMessage,
    ResponseHandler,
    ServerTarget,
    behind,
    break_off,
    connect,
    ends,
    is_gone,
    prepare,
)
from billing.api.calls import Call
from engine.evidence import Evidence, Lost, NotSent
from texts.said import counted, said

Reply: TypeAlias = tuple[int, Mapping[str, str], bytes] | NotSent | Lost
"""The status, headers and body of an answer as it came, or why there is none."""

ConnectionEnd: TypeAlias = Literal["closed", "reset", "silence"]
"""How a connection ended before a whole answer had come: closed normally, reset, or after a time-out."""


@dataclass(frozen=True, slots=True, repr=False)
class CallRecord:
    """One call and its answer, with all secrets: remove them before keeping it.

    `form` is the request's body; `left` tells whether a byte of the request may have left; `seconds` is the duration.
    `status` is None if no head of an answer came; `answer` is the body, or the part of it that came before `ending`.
    `evidence` is None for a cancelled call.
    """

    call: Call
    form: bytes
    left: bool
    seconds: float
    status: int | None
    headers: Mapping[str, str]
    answer: bytes
    ending: ConnectionEnd | None
    evidence: Evidence | None


class CallObserver(Protocol):
    """A listener to the calls of a client; it must neither raise nor take long."""

    async def ready(self) -> None:
        """Wait until there is room for one more call. Called before the call, when a stop is still harmless."""

    def heard(self, heard: CallRecord) -> None:
        """Take one finished call, at once: the client does not wait for its listener."""


def ending_of(fault: BaseException) -> ConnectionEnd:
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return "silence"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "reset"
        cause = cause.__cause__
    # aiohttp wraps an OSError into its own class, which keeps only the number.
    return "reset" if isinstance(fault, OSError) else "closed"


Result = TypeVar("Result")


class Deadlines:
    """Limits each piece of work to `seconds`. Serves one event loop; a task has one piece of work at a time.

    One timer serves all, because they expire in the order they began. `asyncio.timeout` does the same for a single
    call, but costs a tenth of the time of a whole call.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[asyncio.Task[object], float] = {}
        self._cut: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, work: Awaitable[Result]) -> Result:
        """The result of `work`. Raises TimeoutError when it is not done in time; it has been cancelled then."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        cancelling = task.cancelling()
        self._due[task] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._cut_short)
        try:
            return await work
        except BaseException as fault:
            # As in asyncio.timeout: a cancellation from elsewhere stays a cancellation.
            alone = task in self._cut and task.uncancel() <= cancelling
            if alone and isinstance(fault, asyncio.CancelledError):
                raise TimeoutError from fault
            raise
        finally:
            self._due.pop(task, None)
            self._cut.discard(task)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _cut_short(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._due:
            task, due = next(iter(self._due.items()))
            if due > now:
                self._timer = self._loop.call_at(due, self._cut_short)
                return
            del self._due[task]
            self._cut.add(task)
            task.cancel()


_SWITCHING: Final = 101
_INTERIM: Final = range(100, 200)
_MOST_INTERIM: Final = 16
_CLEAN: Final = range(200, 300)
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing the socket resets the connection, also when the process is killed."""
RESTING: Final = 15.0
"""Seconds after which an idle connection is not used again: the server may be about to close it."""


class StaleConnection(ConnectionError):
    """Raised when nothing could be sent: bytes that came before the request cannot be its answer."""


class NoAnswer(ConnectionError):
    """Raised when a server says again and again that it is about to answer."""


class FenceClosed(ConnectionError):
    """Raised when a call may not leave at this moment; nothing was sent."""

    def __init__(self) -> None:
        super().__init__(said("this process has lost its lease, or stood still when the call was to leave"))


class UnaskedAnswer(ConnectionError):
    """Raised when bytes follow the end of an answer: either of the two may be ours."""


Unasked: TypeAlias = Callable[[int, bytes], None]
"""Takes the row that a connection answered last, and the bytes that came over it while it was idle."""


class Flight:
    """How far one request got. `left` is set just before its first byte leaves, and never otherwise.

    `row` is the row that the answer names, which identifies the answer; None if it names none, and then the request
    has a connection of its own. `status` and `headers` are those of the answer, None and empty until its head has
    come; `parts` are the parts of an incomplete body. `line` is the connection that may be used again, from a clean
    answer until `Wire.finish`.
    """

    __slots__ = ("ending", "form", "headers", "left", "line", "parts", "row", "status")

    def __init__(self, form: bytes, row: int | None = None) -> None:
        self.form = form
        self.row = row
        self.line: _Line | None = None
        self.left = False
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.parts: list[bytes] = []
        self.ending: ConnectionEnd | None = None

    def heard(
        self, call: Call, seconds: float, seen: Reply | None = None, evidence: Evidence | None = None
    ) -> CallRecord:
        if isinstance(seen, tuple):
            return CallRecord(call, self.form, self.left, seconds, *seen, None, evidence)
        # Nothing is raised for an answer that is too long: this side closes.
        ending = self.ending or "closed"
        part = b"".join(self.parts)
        return CallRecord(call, self.form, self.left, seconds, self.status, self.headers, part, ending, evidence)


@dataclass(frozen=True, slots=True)
class _Post:
    """The parts common to all requests of one path: the target, and the head without the length.

    `last_head` is the head of a request after which the connection is closed.
    """

    target: ServerTarget
    head: bytes
    last_head: bytes


class _Line(asyncio.Protocol):
    """A connection with its parser and its transport.

    While it is idle it takes the parser's place, and receives unasked bytes.
    """

    def __init__(self, connection: Connection, unasked: Unasked) -> None:
        self.connection = connection
        self.parser, self.transport = ends(connection)
        self.since = 0.0
        self._row = 0
        self._unasked = unasked

    def rest(self, row: int, since: float) -> None:
        self._row, self.since = row, since
        self.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Abort the connection. Empty lines are ignored: some servers write one too many."""
        if data.strip(b"\r\n"):
            break_off(self.connection)
            self._unasked(self._row, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.parser.connection_lost(exc)

    def resume(self) -> None:
        if not self.connection.closed:
            self.transport.set_protocol(self.parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a call: times in seconds, and `answer_limit`, the largest answer in bytes.

    `connect` is for the connection, TLS included, `read` for each silence of the server, `deadline` for the whole
    call.
    """

    connect: float = 10.0
    read: float = 60.0
    deadline: float = 120.0
    answer_limit: int = 8 * 1024 * 1024


class Wire:
    """Connections to one server; used within one event loop, and closed at the end.

    `headers` go with each request. `unasked` is called, in the event loop, with bytes from an idle connection.
    `may_leave` is asked in the line before each write.
    """

    def __init__(
        self, base: str, headers: Mapping[str, str], limits: Limits, unasked: Unasked = lambda _row, _data: None
    ) -> None:
        self._base = base
        self._headers = headers
        self._read = limits.read
        self._limit = limits.answer_limit
        # The caller limits the calls in flight: a wait for a free connection would only hide it.
        self._connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket)
        self._unasked = unasked
        self.may_leave: Callable[[], bool] = lambda: True
        self._resting: deque[_Line] = deque()
        self._now = asyncio.get_running_loop().time
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect)
        self._deadlines = Deadlines(limits.deadline)
        self._posts: dict[str, _Post] = {}
        self.closed = False

    async def close(self) -> None:
        self.closed = True
        self._deadlines.close()
        while self._resting:
            line = self._resting.popleft()
            line.resume()
            line.connection.release()
        await self._connector.close()

    async def post(self, path: str, flight: Flight) -> bytes | None:
        """Send `flight.form` once; the body of the answer, or None when it is longer than the limit.

        `flight` tells how far the call got, also after an error. Raises the errors of aiohttp: ClientError,
        HttpProcessingError, OSError, TimeoutError. Call `finish` when the answer has been judged.
        """
        post = self._posts.get(path)
        if post is None:
            post = self._posts[path] = self._prepared(path)
        return await self._deadlines.within(self._exchange(post, flight))

    def finish(self, flight: Flight, *, clean: bool) -> None:
        """Keep the connection of a flight for the next call, or abort it if its answer was not `clean`."""
        line, flight.line = flight.line, None
        if line is None:
            return
        if clean and flight.row is not None:
            line.rest(flight.row, self._now())
            self._resting.append(line)
        else:
            break_off(line.connection)

    async def _exchange(self, post: _Post, flight: Flight) -> bytes | None:
        shared = flight.row is not None
        line = await self._connection(post, shared=shared)
        protocol, transport = line.parser, line.transport
        try:
            head = post.head if shared else post.last_head
            # Nothing is awaited between these checks and the write: the connection cannot be closed between.
            if not self.may_leave():
                raise FenceClosed  # noqa: TRY301 - a function a row less
            flight.left = True
            transport.write(b"%b%d\r\n\r\n%b" % (head, len(flight.form), flight.form))
            protocol.start_timeout()
            message, content = await _final(protocol)
            flight.status, flight.headers = message.code, message.headers
            body = await _whole(content, self._limit, flight)
            if behind(protocol):
                raise UnaskedAnswer(_SECOND)  # noqa: TRY301 - as above
        except BaseException:
            break_off(line.connection)
            raise
        unsent = transport.get_write_buffer_size()
        if body is None or unsent or protocol.should_close or not (shared and message.code in _CLEAN):
            # The answer may come before the whole request has left.
            break_off(line.connection)
        else:
            flight.line = line
        return body

    async def _connection(self, post: _Post, *, shared: bool) -> _Line:
        """A connection on which the next bytes are the answer to the next request.

        A server may write unasked, such as "408 Request Timeout" before it closes an idle connection; this must not
        be taken for the answer to the next request.
        """
        line: _Line | None = None
        while shared and self._resting and line is None:
            line = self._resting.popleft()
            line.resume()
            if line.connection.closed or self._now() - line.since >= RESTING:
                line.connection.close()
                line = None
        if line is None:
            connection = await connect(self._connector, post.target, self._timeout)
            if is_gone(connection):
                connection.close()
                raise StaleConnection(said("the server closed the connection as soon as it was made"))
            line = _Line(connection, self._unasked)
        if line.parser.should_close:
            break_off(line.connection)
            raise StaleConnection(said("the server writes to a connection before it is asked, which is not HTTP"))
        prepare(line.parser, self._read)
        return line

    def _prepared(self, path: str) -> _Post:
        url = URL(self._base + path)
        lines = [f"POST {url.raw_path} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        head, last_head = (
            "\r\n".join([*lines, *more, "Content-Length: "]).encode() for more in ((), ("Connection: close",))
        )
        return _Post(ServerTarget(url), head, last_head)


async def _final(parser: ResponseHandler) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    """The head of the answer and its body; 100 Continue and its like are passed over."""
    for _ in range(_MOST_INTERIM):
        message, content = await parser.read()
        if message.code not in _INTERIM or message.code == _SWITCHING:
            return message, content
    raise NoAnswer(counted("the server has said {n} time[s] that it is about to answer, and has not", _MOST_INTERIM))


_SECOND: Final = said("there was a second answer behind the first, and nobody can tell which is ours")


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    return made


async def _whole(content: aiohttp.StreamReader, limit: int, flight: Flight) -> bytes | None:
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
