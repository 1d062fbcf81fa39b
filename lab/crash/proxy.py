"""The proxies of the lab: one before a billing, as a bad load balancer, and one before PostgreSQL, as a bad network.

They run in the lab's own process with real sockets, so they survive kills of a load or worker and restarts of what is
behind them. Each connection has one connection there.

`Proxy` disturbs some requests to a billing, chosen by the seed and the number of the request, see
`lab.mock.faults.chance`. Undisturbed traffic is passed on byte by byte, including the way a connection ends: reset,
closed, or silent. `JournalWay` knows no requests: it can be cut, or swallow whatever comes.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lab.mock.faults import FaultKind, chance
from lab.mock.port import LOOPBACK, reset

_LONGEST_HEAD: Final = 64 * 1024
_PART: Final = 64 * 1024


MISPLACED: Final = (
    FaultKind.REQUEST_HELD,
    FaultKind.ANSWER_HELD,
    FaultKind.ANSWER_TWICE,
    FaultKind.NEXT_SWALLOWED,
    FaultKind.GATEWAY_THEN_ANSWER,
)
"""What a load balancer does to requests and answers."""
WRONG: Final = MappingProxyType(
    {
        FaultKind.WRONG_BAD_REQUEST: (400, "Bad Request", ""),
        FaultKind.WRONG_TOO_MANY: (429, "Too Many Requests", ""),
        FaultKind.WRONG_NOT_NOW: (503, "Service Unavailable", "Retry-After: 1\r\n"),
    }
)
"""Faults in which the proxy speaks in the billing's place: the status, its phrase, and a header."""
_SWALLOWING: Final = frozenset({FaultKind.NEXT_SWALLOWED, FaultKind.GATEWAY_THEN_ANSWER})
"""Faults whose late answer replaces the next request's answer, however long it waits."""
_LATE: Final = _SWALLOWING | {FaultKind.ANSWER_TWICE}
WRITES: Final = re.compile(rb"method\d+=(?:objects\.create|save|delete|add_payment|set_password)\b")
_LENGTH: Final = re.compile(rb"(?im)^content-length:\s*(\d+)\s*$")


@dataclass(frozen=True, slots=True)
class Interference:
    """The faults of a proxy: for each the share of requests, and their model ("" for any).

    `delay` is the time in seconds that held messages are held, and that a second answer waits for the next request of
    its connection before it is sent without one.
    """

    seed: int
    shares: Mapping[FaultKind, float]
    model: str = ""
    delay: float = 0.1


class Broken(Exception):
    """Raised when the other end has gone: `reset`, or closed normally."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


class End:
    """One end of a connection that carries whole messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @property
    def is_over(self) -> bool:
        """Whether the other side has closed it."""
        return self.reader.at_eof() or self.reader.exception() is not None or self._writer.is_closing()

    async def receive(self, copy: "End | None" = None) -> bytes:
        """The next message; each part is sent to `copy` as it comes. Raises `Broken`."""
        try:
            message = await self.reader.readuntil(b"\r\n\r\n")
            if copy is not None:
                copy.send(message)
            found = _LENGTH.search(message)
            left = int(found[1]) if found else 0
            while left:
                part = await self.reader.read(min(left, _PART))
                if not part:
                    raise Broken(reset=False)
                if copy is not None:
                    copy.send(part)
                message += part
                left -= len(part)
        except asyncio.IncompleteReadError as error:
            raise Broken(reset=False) from error
        except OSError as error:
            raise Broken(reset=True) from error
        return message

    def send(self, message: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(message)

    def close(self, *, with_reset: bool = False) -> None:
        if with_reset:
            reset(self._writer.transport)
        self._writer.close()


class _Listener:
    """Listens on the port `port` of this machine, 0 for a free one, while `serving` lasts."""

    port: int

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)
            # A task that is cancelled before its first step closes nothing itself.
            task.add_done_callback(lambda _: writer.close())

        server = await asyncio.start_server(accept, LOOPBACK, self.port, limit=_LONGEST_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in tuple(connections):
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)


class Proxy(_Listener):
    """Listens on a port of 127.0.0.1, and passes requests on to the port `target`.

    `done` counts the faults that happened, `is_calm` ends them. A second answer counts when it is sent: not where the
    load has closed the connection before.
    """

    def __init__(self, port: int, target: int, interference: Interference) -> None:
        self.port = port
        self.done: Counter[str] = Counter()
        self.is_calm = False
        self._target = target
        self._interference = interference
        self._requests = 0

    def draw(self, request: bytes) -> FaultKind | None:
        """The fault for the request that has just come, or None."""
        plan = self._interference
        if self.is_calm or (plan.model and f"/{plan.model}/".encode() not in request.partition(b"\r\n")[0]):
            return None
        self._requests += 1
        for index, (fault, share) in enumerate(sorted(plan.shares.items())):
            met = chance(plan.seed, index, self._requests) < share
            # A reading that is refused concerns no row, and ends the process.
            if met and (fault not in WRONG or WRITES.search(request)):
                return fault
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on requests one after the other, until one of the ends has gone."""
        client, behind = End(reader, writer), None
        # An answer that waits for the next request, and its fault.
        late: tuple[bytes, FaultKind] | None = None

        def send_late() -> None:
            nonlocal late
            if late is not None:
                client.send(late[0])
                if late[1] is not FaultKind.GATEWAY_THEN_ANSWER:
                    self.done[late[1].value] += 1
                late = None

        try:
            while True:
                asked = asyncio.ensure_future(client.receive())
                try:
                    if late is not None and late[1] not in _SWALLOWING:
                        await asyncio.wait((asked,), timeout=self._interference.delay)
                        if not asked.done():
                            send_late()
                    request = await asked
                finally:
                    asked.cancel()
                fault, swallows = self.draw(request), late is not None and late[1] in _SWALLOWING
                send_late()
                if swallows:
                    continue
                if fault is FaultKind.REQUEST_HELD:
                    await asyncio.sleep(self._interference.delay)
                if behind is not None and behind.is_over:
                    behind.close()
                    behind = None
                try:
                    if behind is None:
                        behind = End(*await asyncio.open_connection(LOOPBACK, self._target, limit=_LONGEST_HEAD))
                except OSError:
                    client.send(page(502, "Bad Gateway"))
                    continue
                answer = await self._pass_on(request, fault, client, behind)
                if fault in _LATE:
                    late = answer, fault
        except Broken as broken:
            client.close(with_reset=broken.reset)
        finally:
            client.close()
            if behind is not None:
                behind.close()

    async def _pass_on(self, request: bytes, fault: FaultKind | None, client: End, behind: End) -> bytes:
        """Let a request come to the billing, and its answer back, as far as the fault allows it; gives the answer."""
        if fault is not None and fault not in _LATE - {FaultKind.GATEWAY_THEN_ANSWER}:
            self.done[fault.value] += 1
        if fault is FaultKind.GATEWAY_THEN_ANSWER:
            client.send(page(504, "Gateway Time-out"))
        is_copied = fault in {None, FaultKind.REQUEST_HELD, FaultKind.ANSWER_TWICE, FaultKind.NEXT_SWALLOWED}
        behind.send(request)
        answer = await behind.receive(client if is_copied else None)
        if fault is FaultKind.ANSWER_HELD:
            await asyncio.sleep(self._interference.delay)
            client.send(answer)
        elif fault is not None and fault in WRONG:
            client.send(page(*WRONG[fault]))
        return answer


def page(status: int, phrase: str, header: str = "") -> bytes:
    """A page that the proxy generates itself; the connection stays open."""
    body = f"<html><head><title>{status} {phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>"
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n{header}\r\n"
    return (head + body).encode()


class JournalWay(_Listener):
    """The way of one worker to PostgreSQL, from a port of 127.0.0.1 to the server's port `target`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._is_cut = False
        self._open = asyncio.Event()
        self._open.set()
        self._ends: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset all connections, and each new one, until it is mended."""
        self._is_cut = True
        for end in tuple(self._ends):
            reset(end.transport)

    def swallow(self) -> None:
        """Pass nothing on any more, and keep every connection; nor does a new one lead anywhere."""
        self._open.clear()

    def mend(self) -> None:
        """Let it pass again: what was swallowed goes on its way, where both ends are still there."""
        self._is_cut = False
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._ends |= ends
        try:
            if self._is_cut:
                return
            await self._open.wait()
            from_server, to_server = await asyncio.open_connection(LOOPBACK, self._target)
            ends.add(to_server)
            self._ends |= ends
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, to_server))
                both.create_task(self._pass(from_server, writer))
        except OSError:
            # The server is away.
            return
        finally:
            self._ends -= ends
            for end in ends:
                reset(end.transport)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await source.read(_PART):
                await self._open.wait()
                target.write(part)
                await target.drain()
        # One end has gone, by whatever way: so goes the other.
        target.close()
