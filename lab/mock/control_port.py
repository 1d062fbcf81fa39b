"""The control endpoint of a mock billing, on a port of its own.

    GET /faults    the fault plan, and how often each fault was injected
    PUT /faults    another plan, as TOML; an empty body clears it
    GET /ledger    {"totals": as /mock/ledger, "effects": [{"model", "subject", "key", "keys", "times", "requests"}],
                   "next": what `?after=` gets for the page that follows, or null}; `?limit=` effects a page
    GET /state     in flight, waiting, slots, queue, latency, stacks, licence, requests
    PUT /state     any of {"slots": 4, "queue": 8, "latency": 0.02, "stack_rate": 5, "busy": true, "licence": 1000}; a
                   queue or a licence of null has no bound

Invalid requests get HTTP 400 and {"error": …}, and nothing is changed.
"""

from collections.abc import Callable
from typing import Final, Protocol

import anyio
import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from lab.mock.fault_injector import Injector
from lab.mock.fault_plan import PlanError, nearest, read_plan
from lab.mock.faults import FaultPlan
from lab.mock.ledger import Ledger

PAGE: Final = 1000
"""Effects on a page of the ledger, by default."""

_LONGEST_PAGE: Final = 100_000


class Controlled(Protocol):
    """The parts of a mock billing that can be watched and changed."""

    faults: Injector
    ledger: Ledger
    latency: float
    slots: int
    queue: int | None
    stack_rate: float
    busy: bool
    licence: int | None

    def summary(self) -> list[dict[str, object]]: ...  # noqa: D102 - the effects so far, read in a thread
    def state(self) -> dict[str, object]: ...  # noqa: D102 - what it is doing now


def application(server: Controlled) -> web.Application:
    """The aiohttp application of the control endpoint."""
    control = _Control(server)
    made = web.Application(middlewares=[_answer_control_error])
    made.router.add_get("/faults", control.faults)
    made.router.add_put("/faults", control.set_faults)
    made.router.add_get("/ledger", control.ledger)
    made.router.add_get("/state", control.state)
    made.router.add_put("/state", control.set_state)
    return made


class _Refused(Exception):
    """Raised when a request cannot be carried out; the text says why."""


class _Control:
    def __init__(self, server: Controlled) -> None:
        self._server = server

    async def faults(self, _: web.Request) -> web.Response:
        return _json(self._server.faults.report())

    async def set_faults(self, request: web.Request) -> web.Response:
        try:
            plan: FaultPlan = read_plan(await request.text(), "the plan")
        except (PlanError, UnicodeDecodeError) as error:
            raise _Refused(str(error)) from error
        self._server.faults.set(plan)
        return _json(self._server.faults.report())

    async def ledger(self, request: web.Request) -> web.Response:
        model, _, subject = request.query.get("after", "").rpartition(":")
        limit = request.query.get("limit", str(PAGE))
        try:
            start, size = int(subject or 0), int(limit)
        except ValueError as error:
            raise _Refused("after: as `next` of the page before; limit: a whole number") from error
        if not 1 <= size <= _LONGEST_PAGE:
            raise _Refused(f"limit: 1 to {_LONGEST_PAGE}")
        return _json(await anyio.to_thread.run_sync(self._page, model, start, size))

    def _page(self, model: str, subject: int, size: int) -> dict[str, object]:
        effects = self._server.ledger.by_subject((model, subject), size)
        following = f"{effects[-1].model}:{effects[-1].subject}" if len(effects) == size else None
        return {"totals": self._server.summary(), "effects": effects, "next": following}

    async def state(self, _: web.Request) -> web.Response:
        return _json(self._server.state())

    async def set_state(self, request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read())
        except msgspec.DecodeError as error:
            raise _Refused(f"this is not JSON: {error}") from error
        if not isinstance(wanted, dict):
            raise _Refused("a JSON object is needed")
        for name, value in wanted.items():
            if name not in _SETTABLE:
                raise _Refused(f"there is no {name!r} to set{nearest(name, _SETTABLE)}")
            if not _SETTABLE[name](value):
                raise _Refused(f"{name}: {value!r} cannot be set")
        for name, value in wanted.items():
            setattr(self._server, name, value)
        return _json(self._server.state())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_SETTABLE: Final[dict[str, Callable[[object], bool]]] = {
    "slots": _is_count,
    "queue": lambda value: value is None or _is_count(value, least=0),
    "licence": lambda value: value is None or _is_count(value, least=0),
    "latency": _is_number,
    "stack_rate": _is_number,
    "busy": lambda value: isinstance(value, bool),
}


@web.middleware
async def _answer_control_error(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _Refused as error:
        return web.Response(
            status=400, body=msgspec.json.encode({"error": str(error)}), content_type="application/json"
        )


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
