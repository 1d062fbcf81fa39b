"""The fault injector: applies a fault plan to requests, before or after their effect.

The plan may be replaced at any time; request numbers and time spans then start anew.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, TypeAlias

import anyio
import msgspec
from aiohttp import web

from lab.mock.chain import Chain
from lab.mock.facts import FACTS
from lab.mock.faults import SAYING, Fault, FaultKind, FaultPlan, chance, pick
from lab.mock.port import reset

# ---- answers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """The body of an answer: JSON, or a page of a crash when `status` is 500."""

    status: int
    body: bytes


CRASH: Final = MockAnswer(
    500, b"<html><head><title>Server Error (500)</title></head><body>Server Error</body></html>"
)


def refused(call: str, error: str, status: int = 200, *, lists: bool = False) -> MockAnswer:
    """The answer to a refused call: the error is in the same object, with HTTP 200 [D, ?].

    Of an answer that would have been a list it is a list of texts, of which the last one is the message [I].
    """
    said = ["Traceback (most recent call last)", error] if lists else error
    return MockAnswer(status, msgspec.json.encode({"call": call, "error": said}))


def respond(answer: MockAnswer) -> web.Response:
    kind = "text/html" if answer.body.startswith(b"<") else "application/json"
    return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": f"{kind}; charset=utf-8"})


def page(status: int) -> MockAnswer:
    """A page that a server or a proxy generates itself."""
    text = f"{status} {'Gateway Time-out' if status == HTTPStatus.GATEWAY_TIMEOUT else HTTPStatus(status).phrase}"
    body = f"<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"
    return MockAnswer(status, body.encode())


# ---- the injector -------------------------------------------------------------------------------------------------

CarryOut: TypeAlias = Callable[[], Awaitable[MockAnswer]]

_SMALLEST_GAP: Final = 0.001
"""Seconds between the pieces of a trickle: an event loop's clock is no finer."""
_NO_OTHER: Final = MockAnswer(200, b'{"call":"get_version","result":{"version":"0","time":"2000-01-01 00:00:00"}}')


@dataclass(frozen=True, slots=True)
class _DrawnFault:
    """A fault that was drawn for a request; `number` counts the requests of the fault."""

    fault: Fault
    seed: int
    index: int
    number: int
    text: str
    lists: bool


class Injector:
    """The fault plan of one server and its counts; used only in the server's event loop."""

    def __init__(self, plan: FaultPlan, *, list_errors: bool = True) -> None:
        self._list_errors = list_errors
        self._clock: Callable[[], float] = time.monotonic
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._injected: Counter[str] = Counter()
        self._last: tuple[bytes, MockAnswer] = b"", _NO_OTHER
        self.set(plan)

    def set(self, plan: FaultPlan) -> None:
        """Replace the plan; the totals are kept."""
        self.plan = plan
        self._since = self._clock()
        # By the place of a fault: requests that its filter matched, and how often it was injected.
        self._matched, self._times = Counter[int](), Counter[int]()
        self._busy: dict[tuple[int, bytes], int] = {}
        self._changed.set()

    @property
    def idle(self) -> bool:
        return not self.plan.faults

    def report(self) -> dict[str, object]:
        """The plan, the count of each of its faults, and the count of each kind since the server began."""
        return {
            "seed": self.plan.seed,
            "elapsed": round(self._clock() - self._since, 3),
            "faults": [
                fault.described() | {"matched": self._matched[index], "injected": self._times[index]}
                for index, fault in enumerate(self.plan.faults)
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
        drawn = self._draw(model, form, body)
        if drawn is None:
            answer = await carry_out()
            # A failure would be taken as the other request's own.
            if answer.status == web.HTTPOk.status_code and b'"error"' not in answer.body:
                self._last = body, answer
            return respond(answer)
        self._count(drawn.index)
        fault = drawn.fault
        if (failed := _in_place_of_effect(request, drawn)) is not None:
            return failed
        if fault.kind is FaultKind.QUEUED:
            least, most = FACTS.shortest_queue.value, FACTS.longest_queue.value
            share = chance(drawn.seed, drawn.index, drawn.number, "queue")
            await self._wait(fault.delay or least + share * (most - least))
        answer = await carry_out()
        match fault.kind:
            case FaultKind.FOREIGN:
                asked, other = self._last
                return respond(other if asked != body else _NO_OTHER)
            case FaultKind.TRICKLE:
                return await self._trickle(request, fault, answer)
            case FaultKind.SLOW | FaultKind.SILENCE:
                await self._wait(fault.seconds)
        return _in_place_of_answer(request, drawn, answer)

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
                if not self._times[index]:
                    self._count(index)
            refusing = now
            moments = [moment for _, fault in mine for moment in (fault.since, fault.until) if moment is not None]
            ahead = (moment - elapsed for moment in moments if moment > elapsed)
            with anyio.move_on_after(min(ahead, default=float("inf"))):
                await self._changed.wait()

    def _count(self, index: int) -> None:
        self._times[index] += 1
        self._injected[self.plan.faults[index].kind.value] += 1

    def _draw(self, model: str, form: Mapping[str, str], body: bytes) -> _DrawnFault | None:
        """The first fault that is drawn for a request; the later ones count the request all the same."""
        methods = ["get_version"] if form.get("get_version") else []
        while method := form.get(f"method{len(methods) + 1}"):
            methods.append(method)
        chain = Chain(model, tuple((method, {}) for method in methods))
        elapsed = self._clock() - self._since
        found: _DrawnFault | None = None
        for index, fault in enumerate(self.plan.faults):
            if not fault.matches(model, methods, writes=chain.writes):
                continue
            self._matched[index] += 1
            number = self._matched[index]
            used_up = fault.times is not None and self._times[index] >= fault.times
            if found is not None or used_up or not fault.open_at(elapsed):
                continue
            met = self.plan.meets(index, number)
            if fault.tries is not None:
                # A row is still busy: the draw at its first request holds for the following ones.
                row = index, hashlib.blake2b(body, key=model.encode()).digest()
                left = self._busy.setdefault(row, fault.tries if met else 0)
                self._busy[row] = max(left - 1, 0)
                met = left > 0
            if met:
                text = self.plan.text(index, number) if fault.kind in SAYING else ""
                lists = self._list_errors and chain.lists
                found = _DrawnFault(fault, self.plan.seed, index, number, text, lists)
        return found

    async def _trickle(self, request: web.Request, fault: Fault, answer: MockAnswer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Length": str(len(answer.body))})
        response.content_type = "application/json"
        await response.prepare(request)
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


def _in_place_of_effect(request: web.Request, drawn: _DrawnFault) -> web.Response | None:
    """The failure of a request without an effect; None for a fault that comes after it."""
    match drawn.fault.kind:
        case FaultKind.RESET_BEFORE:
            return _reset(request)
        case FaultKind.CRASH_BEFORE:
            return respond(CRASH)
        case FaultKind.UNAVAILABLE | FaultKind.TOO_MANY:
            # To come back later, with or without a header.
            response = respond(page(int(drawn.fault.kind.value)))
            if (after := drawn.fault.retry_after) is not None:
                moment = formatdate(time.time() + drawn.fault.seconds, usegmt=True)
                response.headers["Retry-After"] = moment if after == "date" else after
            return response
        case FaultKind.BUSY | FaultKind.STOP:
            return respond(refused("", drawn.text, lists=drawn.lists))
        case FaultKind.CABINET_ERROR:
            inner = msgspec.json.encode({"error": drawn.text}).decode()
            return respond(MockAnswer(200, msgspec.json.encode({"call": "", "result": [inner]})))
        case FaultKind.REDIRECT_BEFORE:
            return _redirected(request)
    return None


def _in_place_of_answer(request: web.Request, drawn: _DrawnFault, answer: MockAnswer) -> web.Response:
    """What comes after the effect: the answer, for a fault that only delays it."""
    match drawn.fault.kind:
        case FaultKind.RESET_AFTER | FaultKind.SILENCE:
            return _reset(request)
        case FaultKind.CRASH_AFTER:
            return respond(CRASH)
        case FaultKind.BAD_GATEWAY | FaultKind.GATEWAY_TIMEOUT as kind:
            return respond(page(int(kind.value[:3])))
        case FaultKind.REDIRECT_AFTER:
            return _redirected(request)
        case FaultKind.INVALID_JSON:
            return respond(MockAnswer(200, answer.body[: max(1, len(answer.body) * 2 // 3)]))
        case FaultKind.OTHER_ENCODING:
            types = ("application/json", "application/json; charset=utf-8")
            content_type = pick(drawn.seed, drawn.index, drawn.number, types)
            body = answer.body.decode("utf-8", "replace").encode("cp1251", "replace")
            return web.Response(body=body, status=answer.status, headers={"Content-Type": content_type})
        case FaultKind.HALF:
            # The head announces the whole body, half of it is sent, and the connection is closed.
            if request.transport is not None:
                head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: application/json\r\n"
                head += f"Content-Length: {len(answer.body)}\r\n\r\n"
                request.transport.write(head.encode() + answer.body[: len(answer.body) // 2])
                # Data written before is still sent.
                request.transport.close()
            return web.Response()
    return respond(answer)


def _redirected(request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": str(request.url)})


def _reset(request: web.Request) -> web.Response:
    reset(request.transport)
    return web.Response()
