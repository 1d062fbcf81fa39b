"""The network between processes and billing, with a proxy in it: delays, losses, and the proxy's own words.

A request arrives or is lost; it has its effect or not; its answer arrives whole, in part, twice, or not at all. Each
of these is drawn for each request, until the faults end. Two wires lead here: `DirectWire` takes the place of the
client's own, `Connection` is a transport below it, so that the real client parses real bytes.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import copy_context
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from msgspec import Struct

from billing.api.wire import FenceClosed, Flight, Limits, Unasked
from lab.simulation.billing import Billing
from lab.simulation.loop import PROCESS, START, Process, SeededLoop

ARRIVES: Final = "arrives: "
"""Precedes a form in the story, which is decoded where somebody reads it."""
LONGEST_HOLD: Final = 2.0
"""Seconds that the billing may hold a request before it begins with it: less than the settle delay."""


class Fault(StrEnum):
    """What happens to a request, and where: before its effect, or after it."""

    REFUSED = "connection refused"
    RESET_BEFORE = "reset before the effect"
    ERROR_BEFORE = "500 before the effect"
    BUSY = "busy"
    PROXY_BUSY_BEFORE = "503 of a proxy before the effect"
    RESET_AFTER = "reset after the effect"
    ERROR_AFTER = "500 after the effect"
    PROXY_BUSY_AFTER = "503 of a proxy after the effect"
    TOO_MANY_AFTER = "429 after the effect"
    BAD_REQUEST_AFTER = "400 of a proxy after the effect"
    GARBAGE_AFTER = "an answer that is no JSON after the effect"
    CUT_AFTER = "an answer that ends in the middle"
    SILENCE = "no answer after the effect"
    LATE = "504, and the effect later"
    QUEUED = "held in the billing's queue"
    TWICE = "an answer that comes twice"


class Answer(Struct, frozen=True):
    """What comes back; `ends` for one that breaks off."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    ends: bool = False


RESET: Final = Answer(0, b"")
NO_SOCKET: Final = SimpleNamespace(setblocking=lambda _: None, close=lambda: None)
"""What a connection is made over."""
_PAGE: Final = b"<html><body>Bad</body></html>"
_WRITES: Final = (b"objects.create", b"=save", b"=delete", b"=storno", b"=add_payment", b"=set_password")


_SAID: Final[Mapping[Fault | None, Answer]] = {
    Fault.RESET_BEFORE: RESET,
    Fault.ERROR_BEFORE: Answer(500, _PAGE),
    Fault.BUSY: Answer(200, '{"error": ["абонент обрабатывается, попробуйте позже"]}'.encode()),
    Fault.PROXY_BUSY_BEFORE: Answer(503, _PAGE, {"Retry-After": "1"}),
    Fault.LATE: Answer(504, _PAGE),
    Fault.RESET_AFTER: RESET,
    Fault.ERROR_AFTER: Answer(500, _PAGE),
    Fault.PROXY_BUSY_AFTER: Answer(503, _PAGE, {"Retry-After": "1"}),
    Fault.TOO_MANY_AFTER: Answer(429, _PAGE),
    Fault.BAD_REQUEST_AFTER: Answer(400, _PAGE),
}
"""What is answered in place of the billing's own answer."""
_BEFORE: Final = {Fault.RESET_BEFORE, Fault.ERROR_BEFORE, Fault.BUSY, Fault.PROXY_BUSY_BEFORE, Fault.LATE}
"""Faults before the effect, or without it."""


class Sent(Struct):
    """A call that has left: by whom, when, and when its answer came or its caller gave it up."""

    process: Process
    path: str
    form: bytes
    left: float
    writes: bool
    ended: float | None = None
    is_lost: bool = False
    fault: Fault | None = None
    arrived: float | None = None
    waiting: int = 0
    """Effects that waited in the billing's stacks when it arrived."""


class Network:
    """The way to one billing; `trouble` is the share of requests with a fault until the faults end."""

    def __init__(self, loop: SeededLoop, billing: Billing, seed: str, trouble: float, reached: Counter[str]) -> None:
        self.loop, self.billing, self.trouble, self.reached = loop, billing, trouble, reached
        self.draw = random.Random(f"{seed} network")
        self.calls: list[Sent] = []
        self.kinds = self.draw.sample(list(Fault), self.draw.randint(2, len(Fault)))
        self.is_away = False
        self.cut_off: set[str] = set()
        """Machines that have no way to the billing: what they send arrives nowhere."""
        self.on_call: list[Callable[[Sent], None]] = []

    def refuses(self) -> bool:
        if PROCESS.get().machine in self.cut_off:
            return True
        return self.is_away or (Fault.REFUSED in self.kinds and self.draw.random() < self.trouble / len(self.kinds))

    def request(self, path: str, form: bytes, heard: Callable[[Answer], None]) -> Sent:
        """Take a request of the process that runs; `heard` is called with what comes back, if anything does."""
        process = PROCESS.get()
        sent = Sent(process, path, form, self.loop.now, any(map(form.__contains__, _WRITES)))
        self.calls.append(sent)
        sent.is_lost = process.machine in self.cut_off
        sent.fault = fault = self.draw.choice(self.kinds) if self.draw.random() < self.trouble else None
        with self.loop.outside():
            for seen in self.on_call:
                seen(sent)
            delay = self.draw.random() * 0.02 + (self.draw.random() * LONGEST_HOLD if fault is Fault.QUEUED else 0)
            self.loop.call_later(delay, self._arrived, sent, fault, heard)
        return sent

    def given_up(self, sent: Sent) -> None:
        """The caller has broken off: what has not arrived may be lost."""
        if sent.ended is None:
            sent.ended = self.loop.now
            sent.is_lost = self.draw.random() < 0.5  # noqa: PLR2004

    def _arrived(self, sent: Sent, fault: Fault | None, heard: Callable[[Answer], None]) -> None:
        if sent.is_lost:
            return
        what = sent.path.rsplit("/", 2)[-2]
        if fault is not None:
            self.reached[fault] += sent.writes
            self.loop.happened(f"{what}: {fault}", sent.process)

        def reply(answer: Answer) -> None:
            self.loop.call_later(self.draw.random() * 0.02, self._reply, sent, answer, heard)

        if fault in _BEFORE:
            if fault is Fault.LATE:
                self.loop.call_later(self.draw.random() * LONGEST_HOLD, self._effect, sent)
            reply(_SAID[fault])
            return
        body = self._effect(sent)
        if fault is Fault.SILENCE:
            return
        if fault is Fault.TWICE:
            reply(Answer(200, body))
        kept = body[: len(body) // 2] if fault is Fault.GARBAGE_AFTER else body
        reply(_SAID.get(fault) or Answer(200, kept, ends=fault is Fault.CUT_AFTER))

    def _effect(self, sent: Sent) -> bytes:
        sent.arrived, sent.waiting = self.loop.now, self.billing.depth
        if sent.writes:
            self.loop.happened(ARRIVES + sent.form.decode(), sent.process)
        return self.billing.answer(sent.path, sent.form, sent.process.name, sent.left - START)

    def _reply(self, sent: Sent, answer: Answer, heard: Callable[[Answer], None]) -> None:
        if sent.ended is None or answer.status:
            sent.ended = sent.ended or self.loop.now
            heard(answer)


class DirectWire:
    """In place of `billing.api.wire.Wire`: the same calls, without connections and HTTP."""

    def __init__(
        self,
        network: Network,
        base: str,
        headers: Mapping[str, str],
        limits: Limits,
        unasked: Unasked = lambda _row, _data: None,
    ) -> None:
        self._network = network
        self._deadline = min(limits.read, limits.deadline)
        self._unasked = unasked
        self.may_leave: Callable[[], bool] = lambda: True
        self.closed = False

    async def close(self) -> None:
        self.closed = True

    def finish(self, flight: Flight, *, clean: bool) -> None:
        """No connection is kept."""

    async def post(self, path: str, flight: Flight) -> bytes | None:
        network = self._network
        loop = network.loop
        await asyncio.sleep(0)
        if network.refuses():
            raise ConnectionRefusedError("connection refused")
        if not self.may_leave():
            raise FenceClosed
        flight.left = True
        answered: asyncio.Future[Answer] = loop.create_future()
        process, context = PROCESS.get(), copy_context()

        def heard(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)
            elif flight.row is not None and process.is_alive:
                loop.call_soon(self._unasked, flight.row, answer.body, context=context)

        sent = network.request(path, flight.form, heard)
        timer = loop.call_later(self._deadline, _time_out, answered)
        PROCESS.get().at_death.append(lambda: network.given_up(sent))
        try:
            answer = await answered
        finally:
            timer.cancel()
            network.given_up(sent)
        if not answer.status:
            raise ConnectionResetError("reset by peer")
        flight.status, flight.headers = answer.status, answer.headers
        if answer.ends:
            raise aiohttp.ClientPayloadError("the answer ends in the middle")
        return answer.body


class Connection(asyncio.Transport):
    """A connection to the billing, as a transport below the client's own wire."""

    def __init__(self, loop: SeededLoop, network: Network, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._loop, self._network, self._protocol = loop, network, protocol
        self._context = copy_context()
        self._unread = b""
        self._sent: Sent | None = None
        self._is_closing = False
        PROCESS.get().at_death.append(self._reset)
        protocol.connection_made(self)

    # ---- what a client does with it ----

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Take bytes; with the last one of a request it is under way."""
        self._unread += data
        head, end, body = self._unread.partition(b"\r\n\r\n")
        if self._is_closing or not end or len(body) < int(head.rpartition(b"Content-Length: ")[2]):
            return
        self._unread = b""
        self._sent = self._network.request(head.split(b" ", 2)[1].decode(), body, self._heard)

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; nothing unsent is left."""
        if not self._is_closing:
            self._reset()
            self._loop.call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        return default

    def pause_reading(self) -> None:
        """Answers are small."""

    def resume_reading(self) -> None:
        """Answers are small."""

    # ---- what comes back ----

    def _heard(self, answer: Answer) -> None:
        if self._is_closing:
            return
        if self._sent is not None:
            # HTTP does not say which call an answer belongs to: one that comes twice ends the next call.
            self._sent.ended = self._sent.ended or self._loop.now
        if not answer.status:
            self._is_closing = True
            self._loop.call_soon(self._lost, ConnectionResetError("reset by peer"), context=self._context)
            return
        size = len(answer.body) + (10 if answer.ends else 0)
        lines = [f"HTTP/1.1 {answer.status} OK", "Content-Type: application/json", f"Content-Length: {size}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        data = "\r\n".join([*lines, "", ""]).encode() + answer.body
        self._loop.call_soon(self._receive, data, context=self._context)
        if answer.ends:
            self._is_closing = True
            self._loop.call_soon(self._lost, None, context=self._context)

    def _receive(self, data: bytes) -> None:
        protocol: Any = self._protocol
        protocol.data_received(data)

    def _lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)

    def _reset(self) -> None:
        self._is_closing = True
        if self._sent is not None:
            self._network.given_up(self._sent)


def _time_out(answered: "asyncio.Future[Answer]") -> None:
    if not answered.done():
        answered.set_exception(TimeoutError())
