"""The port of a mock billing in memory: HTTP by hand, its faults, and what it measures of its callers.

    request ──▶ a fault before the effect?  ──▶ latency ──▶ effect ──▶ a fault after it?  ──▶ answer

A write has its effect even when its caller has gone meanwhile. The port counts by itself how many writes are in
flight, from their last byte to their answer or the end of their connection, and how many come within a second.
"""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final, cast

from lab.crash.proxy import reset
from lab.fleet.billing import OPERATIONS, LedgerBilling

HOST: Final = "127.0.0.1"
WORKER: Final = "X-Lab-Worker"
"""The header by which a billing knows whose settings a call was made with."""


class BillingFault(StrEnum):
    """What happens to one write in place of its answer."""

    RESET_BEFORE = "reset-before-effect"
    UNAVAILABLE = "503"
    RESET_AFTER = "reset-after-effect"
    CRASH_AFTER = "500-after-effect"
    SILENCE = "effect-then-silence"


@dataclass(frozen=True, slots=True)
class AnswerTraits:
    """How a billing answers: seconds of a write, the share of writes that each fault hits, seconds of a silence."""

    latency: float
    faults: Mapping[BillingFault, float]
    silence: float


@dataclass(slots=True)
class CallerCounts:
    """What a billing has measured of its callers.

    `most_in_flight` is the largest number of writes at one time; `most_writes` and `most_reads` are the largest
    numbers that came within a second for certain. `turns` are the workers whose writes came one after the other.
    """

    writes: int = 0
    most_in_flight: int = 0
    most_writes: int = 0
    most_reads: int = 0
    turns: list["Turn"] = field(default_factory=list)


@dataclass(slots=True)
class Turn:
    """The writes of one worker without another's between them: their number, and when the first and the last came."""

    worker: str
    first: float
    last: float
    writes: int = 1


class BillingPort:
    """A billing on a port of 127.0.0.1 that the kernel has given."""

    def __init__(self, billing: LedgerBilling, traits: AnswerTraits, draw: Random, looks: "Looks") -> None:
        self.billing = billing
        self.measured = CallerCounts()
        self.done: Counter[BillingFault] = Counter()
        self.port = 0
        self.is_calm = False
        self.traits = traits
        self._draw = draw
        self._in_flight = 0
        self._writes = _LastSecond()
        self._reads = _LastSecond()
        self._looks = looks
        self._connections: set[_Connection] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve while the context lasts."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self, self._connections), HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for connection in tuple(self._connections):
                connection.reset()

    def measure(self) -> None:
        """Begin to measure anew."""
        self.measured = CallerCounts(most_in_flight=self._in_flight)

    def write_arrived(self, worker: str) -> None:
        """Note that a write has come."""
        now, measured = asyncio.get_running_loop().time(), self.measured
        # What comes while this process is busy may have come as early as it last looked.
        moment = time.time() - max(now - self._looks.last, 0.0)
        measured.writes += 1
        self._in_flight += 1
        measured.most_in_flight = max(measured.most_in_flight, self._in_flight)
        measured.most_writes = max(measured.most_writes, self._writes.count(now, self._looks.last))
        if measured.turns and measured.turns[-1].worker == worker:
            measured.turns[-1].last = moment
            measured.turns[-1].writes += 1
        else:
            measured.turns.append(Turn(worker, moment, moment))

    def read_arrived(self) -> None:
        """Note that a reading call has come."""
        now = asyncio.get_running_loop().time()
        self.measured.most_reads = max(self.measured.most_reads, self._reads.count(now, self._looks.last))

    def gone(self) -> None:
        """Note that a write is in flight no longer."""
        self._in_flight -= 1

    def draw_fault(self) -> BillingFault | None:
        """The fault of the next write, None for none."""
        place = self._draw.random()
        for fault, share in () if self.is_calm else self.traits.faults.items():
            if place < share:
                self.done[fault] += 1
                return fault
            place -= share
        return None


class _LastSecond:
    """Calls of the last second. What comes while this process is busy may have come as early as it last looked."""

    def __init__(self) -> None:
        self._came: deque[float] = deque()

    def count(self, now: float, looked: float) -> int:
        """Count a call, and return the number of those that came within the last second for certain."""
        self._came.append(min(now, looked))
        while self._came[0] <= now - 1.0:
            self._came.popleft()
        return len(self._came)


class Looks:
    """When this process last looked for what has come, in the loop's time."""

    def __init__(self) -> None:
        self.last = asyncio.get_running_loop().time()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator["Looks"]:
        """Look on while the context lasts."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(_LOOK, lambda: None)

        def look() -> None:
            nonlocal timer
            self.last = loop.time()
            timer = loop.call_later(_LOOK, look)

        look()
        try:
            yield self
        finally:
            timer.cancel()


_LOOK: Final = 0.005
_LENGTH: Final = re.compile(rb"(?im)^content-length:\s*(\d+)")
_WORKER: Final = re.compile(rb"(?im)^%s:\s*(\S+)" % WORKER.encode())
_PATH: Final = re.compile(rb"POST /rest_api/v2/(\w+)/ ")
_BEFORE: Final = frozenset({BillingFault.RESET_BEFORE, BillingFault.UNAVAILABLE})
_PHRASES: Final = {200: "OK", 500: "Internal Server Error", 503: "Service Unavailable"}


class _Connection(asyncio.Protocol):
    """One connection of a caller, with one request at a time."""

    def __init__(self, port: BillingPort, connections: "set[_Connection]") -> None:
        self._port = port
        self._connections = connections
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop is no subclass.
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        self._uncount()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length is not None and len(body) < int(length[1])):
            return
        self._received = b""
        path, worker = _PATH.match(head), _WORKER.search(head)
        if path is None:
            self._respond(b"", 500)
            return
        model = path[1].decode()
        is_write = model == OPERATIONS and b"objects.create" in body
        if not is_write:
            self._port.read_arrived()
            self._respond(self._port.billing.answer(model, body))
            return
        self._counted = True
        self._port.write_arrived(worker[1].decode() if worker else "")
        fault = self._port.draw_fault()
        if fault in _BEFORE:
            self._after(lambda: self._fail(fault))
        else:
            # Not bound to this connection: the caller may go, and the effect stays.
            self._after(lambda: self._carry_out(model, body, fault))

    def reset(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            reset(self._transport)

    def _carry_out(self, model: str, body: bytes, fault: BillingFault | None) -> None:
        answer = self._port.billing.answer(model, body)
        if fault is None:
            self._respond(answer)
        else:
            self._fail(fault)

    def _fail(self, fault: BillingFault) -> None:
        match fault:
            case BillingFault.RESET_BEFORE | BillingFault.RESET_AFTER:
                self.reset()
            case BillingFault.UNAVAILABLE:
                self._respond(b"<html><body>Service Unavailable</body></html>", 503)
            case BillingFault.CRASH_AFTER:
                self._respond(b"<html><body>Server Error (500)</body></html>", 500)
            case BillingFault.SILENCE:
                asyncio.get_running_loop().call_later(self._port.traits.silence, self.reset)

    def _respond(self, body: bytes, status: int = 200) -> None:
        self._uncount()
        if self._transport is None or self._transport.is_closing():
            return
        kind = b"application/json" if status == 200 else b"text/html"  # noqa: PLR2004 - HTTP's own number
        self._transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: %b; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"
            % (status, _PHRASES[status].encode(), kind, len(body), body)
        )

    def _after(self, work: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(self._port.traits.latency, work)

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self._port.gone()
