"""The fault injector: applies a fault plan to requests, before or after their effect.

The plan may be replaced at any time; request numbers and time spans then start anew.
"""

import asyncio
import hashlib
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from socket import SO_LINGER, SOL_SOCKET
from typing import Final, TypeAlias

import anyio
import msgspec
from aiohttp import web

from lab.mock.chain import Chain
from lab.mock.facts import FACTS
from lab.mock.faults import Fault, FaultKind, FaultPlan, RequestedFault, chance, pick
from lab.mock.worker import CRASH, MockAnswer, refused

CarryOut: TypeAlias = Callable[[], Awaitable[MockAnswer]]

_ABORT: Final = struct.pack("ii", 1, 0)
_SMALLEST_GAP: Final = 0.001
"""Seconds between the pieces of a trickle: an event loop's clock is no finer."""


@dataclass(slots=True)
class _Count:
    """Counts of a fault: requests that its filter matched, and how often it was injected."""

    matched: int = 0
    injected: int = 0


@dataclass(frozen=True, slots=True)
class _DrawnFault:
    """A fault that was drawn for a request; `number` counts the requests of the fault."""

    index: int
    number: int
    fault: Fault
    seed: int
    text: str
    lists: bool


class Injector:
    """The fault plan of one server and its counts; used only in the server's event loop."""

    def __init__(
        self, plan: FaultPlan, clock: Callable[[], float] = time.monotonic, *, list_errors: bool = True
    ) -> None:
        self._list_errors = list_errors
        self._clock = clock
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._injected: Counter[str] = Counter()
        self._foreign: tuple[bytes, MockAnswer] | None = None
        self.set(plan)

    def set(self, plan: FaultPlan) -> None:
        """Replace the plan; the totals are kept."""
        self.plan = plan
        self._since = self._clock()
        self._counts = [_Count() for _ in plan.faults]
        self._busy: dict[tuple[int, bytes], int] = {}
        self._changed.set()

    @property
    def idle(self) -> bool:
        """Whether no fault is planned."""
        return not self.plan.faults

    def report(self) -> dict[str, object]:
        """The plan, the count of each of its faults, and the count of each kind since the server began."""
        return {
            "seed": self.plan.seed,
            "elapsed": round(self._clock() - self._since, 3),
            "faults": [
                {**fault.described(), "matched": count.matched, "injected": count.injected}
                for fault, count in zip(self.plan.faults, self._counts, strict=True)
            ],
            "injected": dict(sorted(self._injected.items())),
        }

    def end(self) -> None:
        """End all waits, since the server ends."""
        self._ended.set()

    async def serve(
        self, request: web.Request, model: str, form: Mapping[str, str], body: bytes, carry_out: CarryOut
    ) -> web.StreamResponse:
        """Answer a request, or fail it; `carry_out` applies its effect and gives its answer."""
        drawn = self._draw(_requested(model, form), body, model)
        if drawn is None:
            answer = await carry_out()
            self._remember(body, answer)
            return respond(answer)
        self._count(drawn.index)
        if drawn.fault.kind in _BEFORE:
            return _BEFORE[drawn.fault.kind](request, drawn)
        if drawn.fault.kind is FaultKind.QUEUED:
            await self._wait(_in_queue(drawn))
        answer = await carry_out()
        if drawn.fault.kind is FaultKind.QUEUED:
            return respond(answer)
        if drawn.fault.kind is FaultKind.FOREIGN:
            return respond(self._others(body))
        if drawn.fault.kind in _AFTER:
            return _AFTER[drawn.fault.kind](request, drawn, answer)
        return await self._slowly(request, drawn.fault, answer)

    async def watch_port(
        self, open_port: Callable[[], Awaitable[None]], close_port: Callable[[], Awaitable[None]]
    ) -> None:
        """Close the port while the plan says so, and reopen it, until cancelled."""
        refusing: set[int] = set()
        while True:
            self._changed.clear()
            elapsed = self._clock() - self._since
            mine = [(index, fault) for index, fault in enumerate(self.plan.faults) if fault.kind is FaultKind.REFUSE]
            now = {index for index, fault in mine if fault.open_at(elapsed)}
            if now and not refusing:
                await close_port()
            elif refusing and not now:
                await open_port()
            for index in now:
                # A new plan counts its own spans, even if the port stays closed throughout.
                if not self._counts[index].injected:
                    self._count(index)
            refusing = now
            ahead = [
                moment - elapsed
                for _, fault in mine
                for moment in (fault.since, fault.until)
                if moment is not None and moment > elapsed
            ]
            with anyio.move_on_after(min(ahead, default=float("inf"))):
                await self._changed.wait()

    def _count(self, index: int) -> None:
        self._counts[index].injected += 1
        self._injected[self.plan.faults[index].kind.value] += 1

    def _draw(self, requested: RequestedFault, body: bytes, model: str) -> _DrawnFault | None:
        """The first fault that is drawn for a request; the later ones count the request all the same."""
        elapsed = self._clock() - self._since
        found: _DrawnFault | None = None
        for index, fault in enumerate(self.plan.faults):
            if not fault.matches(requested):
                continue
            count = self._counts[index]
            count.matched += 1
            if found is not None or not fault.open_at(elapsed):
                continue
            if fault.times is not None and count.injected >= fault.times:
                continue
            met = self.plan.meets(index, count.matched)
            if fault.tries is not None:
                met = self._busy_again(
                    index, fault.tries, hashlib.blake2b(body, key=model.encode()).digest(), met=met
                )
            if met:
                text = self.plan.text(index, count.matched) if fault.kind in _WITH_TEXT else ""
                found = _DrawnFault(
                    index, count.matched, fault, self.plan.seed, text, self._list_errors and requested.lists
                )
        return found

    def _busy_again(self, index: int, tries: int, row: bytes, *, met: bool) -> bool:
        """Whether a row is still busy: the draw at its first request holds for the following ones."""
        left = self._busy.setdefault((index, row), tries if met else 0)
        if left:
            self._busy[index, row] = left - 1
        return left > 0

    def _remember(self, body: bytes, answer: MockAnswer) -> None:
        # Only successful answers are passed to other requests; a foreign failure would be taken as the request's own.
        if not self.idle and answer.status == web.HTTPOk.status_code and not _failed(answer):
            self._foreign = body, answer

    def _others(self, body: bytes) -> MockAnswer:
        """The last answer to another request; that of a health check where there was none yet."""
        if self._foreign is not None and self._foreign[0] != body:
            return self._foreign[1]
        return MockAnswer(200, b'{"call":"get_version","result":{"version":"0","time":"2000-01-01 00:00:00"}}')

    async def _slowly(self, request: web.Request, fault: Fault, answer: MockAnswer) -> web.StreamResponse:
        if fault.kind is FaultKind.TRICKLE:
            return await self._trickle(request, fault, answer)
        await self._wait(fault.seconds)
        return _reset(request) if fault.kind is FaultKind.SILENCE else respond(answer)

    async def _trickle(self, request: web.Request, fault: Fault, answer: MockAnswer) -> web.StreamResponse:
        response = await _begin(request, answer)
        gap = fault.seconds / max(len(answer.body), 1)
        step = max(1, round(_SMALLEST_GAP / gap))
        for place in range(0, len(answer.body), step):
            await self._wait(gap * step)
            await response.write(answer.body[place : place + step])
        await response.write_eof()
        return response

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._ended.wait()


def _in_queue(drawn: _DrawnFault) -> float:
    """Seconds that a request waits before its effect."""
    least, most = FACTS.shortest_queue.value, FACTS.longest_queue.value
    share = chance(drawn.seed, drawn.index, drawn.number, "queue")
    return drawn.fault.delay or least + share * (most - least)


def respond(answer: MockAnswer) -> web.Response:
    """An answer as an HTTP response."""
    kind = "text/html" if answer.body.startswith(b"<") else "application/json"
    return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": f"{kind}; charset=utf-8"})


def page(status: int) -> MockAnswer:
    """A page that a server or a proxy generates itself."""
    phrase = _PHRASES[status]
    text = f"<html><head><title>{status} {phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>"
    return MockAnswer(status, text.encode())


_PHRASES: Final = {
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Time-out",
}


def _requested(model: str, form: Mapping[str, str]) -> RequestedFault:
    methods: list[str] = ["get_version"] if form.get("get_version") else []
    while method := form.get(f"method{len(methods) + 1}"):
        methods.append(method)
    chain = Chain(model, tuple((method, {}) for method in methods))
    return RequestedFault(model, tuple(methods), chain.writes, chain.lists)


def _failed(answer: MockAnswer) -> bool:
    return b'"error"' in answer.body


async def _begin(request: web.Request, answer: MockAnswer) -> web.StreamResponse:
    """A response whose head has been sent."""
    response = web.StreamResponse(status=answer.status, headers={"Content-Length": str(len(answer.body))})
    response.content_type = "application/json"
    await response.prepare(request)
    return response


def _reset(request: web.Request) -> web.Response:
    """Reset the connection; a FIN would look like a normal end."""
    if request.transport is not None:
        socket = request.transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_LINGER, _ABORT)
        request.transport.abort()
    return web.Response()


def _waiting(drawn: _DrawnFault) -> web.Response:
    """503 or 429: a page that says to come back later, with or without a header."""
    response = respond(page(int(drawn.fault.kind.value)))
    after = drawn.fault.retry_after
    if after is not None:
        moment = formatdate(time.time() + drawn.fault.seconds, usegmt=True)
        response.headers["Retry-After"] = moment if after == "date" else after
    return response


def _refuse(drawn: _DrawnFault) -> web.Response:
    return respond(refused("", drawn.text, lists=drawn.lists))


def _cabinet_error(drawn: _DrawnFault) -> web.Response:
    inner = msgspec.json.encode({"error": drawn.text}).decode()
    return respond(MockAnswer(200, msgspec.json.encode({"call": "", "result": [inner]})))


def _redirected(request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": str(request.url)})


def _half(request: web.Request, answer: MockAnswer) -> web.Response:
    """The head announces the whole body, half of it is sent, and the connection is closed."""
    if request.transport is not None:
        head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer.body)}"
        request.transport.write(head.encode() + b"\r\n\r\n" + answer.body[: len(answer.body) // 2])
        # Data written before is still sent.
        request.transport.close()
    return web.Response()


def _torn(answer: MockAnswer) -> web.Response:
    return respond(MockAnswer(200, answer.body[: max(1, len(answer.body) * 2 // 3)]))


def _recoded(drawn: _DrawnFault, answer: MockAnswer) -> web.Response:
    content_type = pick(
        drawn.seed, drawn.index, drawn.number, ("application/json", "application/json; charset=utf-8")
    )
    body = answer.body.decode("utf-8", "replace").encode("cp1251", "replace")
    return web.Response(body=body, status=answer.status, headers={"Content-Type": content_type})


_BEFORE: Final[dict[FaultKind, Callable[[web.Request, _DrawnFault], web.StreamResponse]]] = {
    FaultKind.RESET_BEFORE: lambda request, _: _reset(request),
    FaultKind.CRASH_BEFORE: lambda _request, _: respond(CRASH),
    FaultKind.UNAVAILABLE: lambda _, drawn: _waiting(drawn),
    FaultKind.TOO_MANY: lambda _, drawn: _waiting(drawn),
    FaultKind.BUSY: lambda _, drawn: _refuse(drawn),
    FaultKind.STOP: lambda _, drawn: _refuse(drawn),
    FaultKind.CABINET_ERROR: lambda _, drawn: _cabinet_error(drawn),
    FaultKind.REDIRECT_BEFORE: lambda request, _: _redirected(request),
}
"""Faults in place of the effect."""

_AFTER: Final[dict[FaultKind, Callable[[web.Request, _DrawnFault, MockAnswer], web.StreamResponse]]] = {
    FaultKind.RESET_AFTER: lambda request, _drawn, _answer: _reset(request),
    FaultKind.CRASH_AFTER: lambda _request, _drawn, _answer: respond(CRASH),
    FaultKind.BAD_GATEWAY: lambda _request, _drawn, _answer: respond(page(502)),
    FaultKind.GATEWAY_TIMEOUT: lambda _request, _drawn, _answer: respond(page(504)),
    FaultKind.HALF: lambda request, _drawn, answer: _half(request, answer),
    FaultKind.INVALID_JSON: lambda _request, _drawn, answer: _torn(answer),
    FaultKind.OTHER_ENCODING: lambda _request, drawn, answer: _recoded(drawn, answer),
    FaultKind.REDIRECT_AFTER: lambda request, _drawn, _answer: _redirected(request),
}
"""Faults in place of the answer; the other kinds delay it."""

_WITH_TEXT: Final = frozenset({FaultKind.BUSY, FaultKind.STOP, FaultKind.CABINET_ERROR})
