"""The mock billing over HTTP.

    POST /rest_api/v2/<Model>/    as the real one, or failing as the fault plan has it
    GET  /mock/health             {"status": "ok"}
    GET  /mock/ledger             the effects so far: [{"model": …, "effects": …, "subjects": …, "repeated": {…}}]

What watches and changes it while it serves is on a port of its own; invalid requests get HTTP 400 and {"error": …}:

    GET /faults    the fault plan, and how often each fault was injected
    PUT /faults    another plan, as TOML; an empty body clears it
    GET /ledger    {"totals": as /mock/ledger,
                   "effects": [{"model", "subject", "key", "keys", "times", "requests"}],
                   "next": what `?after=` gets for the page that follows, or null}; `?limit=` effects a page
    GET /state     in flight, waiting, slots, queue, latency, stacks, licence, requests
    PUT /state     any of {"slots": 4, "queue": 8, "latency": 0.02, "stack_rate": 5, "busy": true,
                   "licence": 1000}; a queue or a licence of null has no bound

A request waits for a slot, takes `latency` seconds, and then has its effect, even when the client has gone: the
real one does not notice that either. An effect at the very end is the hardest case for a look-up after a time-out.
"""

import asyncio
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.errors import SettingsError
from lab.mock.chain import parse
from lab.mock.fault_injector import Injector, page, respond
from lab.mock.faults import FaultPlan, PlanError, nearest, read_plan
from lab.mock.ledger import Ledger
from lab.mock.quirks import Quirks, describe_quirks
from lab.mock.refusals import MockRefusal
from lab.mock.worker import MockAnswer, Worker, refused

LOOPBACK: Final = "127.0.0.1"
"""It is only for this machine."""

_WAITING_CONNECTIONS: Final = 512
_PATIENCE: Final = 3600.0
"""Seconds for requests in work when the port is closed."""


class Port:
    """A port of this machine; `open` and `close` may alternate. Raises OSError when it is taken."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self._site: web.SockSite | None = None
        # Bound without listening: this reserves the port while it is closed, and connections are refused.
        self._claim = _bound(port)
        self._number: int = self._claim.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self._number}"
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> list[web.RequestHandler]:
        """The open connections."""
        return self._runner.server.connections if self._runner.server is not None else []

    async def open(self) -> None:
        """Start to listen."""
        if self._site is None:
            site = web.SockSite(self._runner, _bound(self._number), backlog=_WAITING_CONNECTIONS)
            await site.start()
            self._site = site

    async def close(self) -> None:
        """Stop listening, and close the kept connections, which would otherwise stay usable."""
        site, self._site = self._site, None
        if site is not None:
            await site.stop()
            for connection in self.connections:
                # The first call wakes a handler that waits for a request, the second ends one that has answered;
                # without the second, the connection would stay open and unanswered.
                connection.close()
                ending = asyncio.create_task(connection.shutdown(_PATIENCE))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
            # The loop releases the listening socket in its next round.
            await asyncio.sleep(0)

    def release(self) -> None:
        """Release the port for good."""
        for ending in self._ending:
            ending.cancel()
        self._claim.close()


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)  # noqa: FBT003 - the socket's own signature
        made.bind((LOOPBACK, port))
    except OSError:
        made.close()
        raise
    return made


# ---- a capacity that changes over time ----------------------------------------------------------------------------

Schedule: TypeAlias = tuple[tuple[float, int], ...]
"""Numbers of slots over time: the start of each, in seconds since the server began, in ascending order."""

_FOREVER: Final = 1e9


def read_schedule(text: str) -> Schedule:
    """A schedule from `SECONDS:SLOTS,…`, as `0:8,30:4,60:8`; raises SettingsError."""
    steps: list[tuple[float, int]] = []
    for part in text.split(","):
        moment, colon, slots = part.strip().partition(":")
        try:
            steps.append((float(moment), int(slots)))
        except ValueError:
            colon = ""
        if not colon or not 0 <= steps[-1][0] < _FOREVER or steps[-1][1] < 1:
            raise SettingsError("the capacity {part} is not SECONDS:SLOTS, as 30:4", part=repr(part.strip()))
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(steps)):
        raise SettingsError("the capacity {text} goes back in time: its seconds are to ascend", text=repr(text))
    return tuple(steps)


# ---- the billing --------------------------------------------------------------------------------------------------

PAGE: Final = 1000
"""Effects on a page of the ledger, by default."""

_LONGEST_PAGE: Final = 100_000
_LARGEST_BODY: Final = 1024 * 1024
_BETWEEN_LOOKS: Final = 0.01


class _Refused(Exception):
    """Raised when a request to the control endpoint cannot be carried out; the text says why."""


class MockBilling(Worker):
    """A running mock billing; its settings may be changed while it runs, in its event loop.

    `url` and `control_url` are its addresses, the latter empty without a control endpoint. `latency` is in seconds;
    `queue` is the number of requests that may wait for a slot, None for any number: a small threaded server rejects
    the rest at once.
    """

    def __init__(self, dsn: Dsn, faults: Injector, quirks: Quirks, stack_rate: float) -> None:
        super().__init__(dsn, quirks, stack_rate)
        self.url = ""
        self.control_url = ""
        self.database = Database(dsn)
        self.ledger = Ledger(self.database)
        self.latency = 0.0
        self.faults = faults
        self.queue: int | None = None
        self._slots = 1
        self._in_flight = 0
        self._queued: deque[Callable[[], None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._port: Port | None = None
        self._requests = 0
        self._turned_away = 0

    @property
    def slots(self) -> int:
        """The number of requests in work at one time; the others wait. After it was lowered there may be more."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots = slots
        self._admit()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a slot."""
        return len(self._queued)

    def open_at(self, port: Port) -> None:
        """Note the port that it is served at."""
        self._port, self.url = port, port.url

    def application(self, middlewares: Sequence[Middleware]) -> web.Application:
        """The aiohttp application; middlewares can disturb it."""
        application = web.Application(middlewares=middlewares, client_max_size=_LARGEST_BODY)
        application.router.add_post("/rest_api/v2/{model}/", self._api)
        application.router.add_get("/mock/health", partial(_tell, lambda: {"status": "ok"}))
        application.router.add_get("/mock/ledger", self._summary)
        return application

    def control(self) -> web.Application:
        """The aiohttp application of the control endpoint."""
        application = web.Application(middlewares=[_answer_control_error])
        for path, tell, change in (
            ("/faults", self.faults.report, self._set_faults),
            ("/state", self.state, self._set_state),
        ):
            application.router.add_get(path, partial(_tell, tell))
            application.router.add_put(path, partial(_change, change, tell))
        application.router.add_get("/ledger", self._ledger_page)
        return application

    def state(self) -> dict[str, object]:
        """Its current state and its settings."""
        return {
            "in_flight": self._in_flight,
            "waiting": self.waiting,
            **{name: getattr(self, name) for name in _SETTABLE},
            "quirks": describe_quirks(self.quirks),
            "stack": self.stacks,
            "requests": self._requests,
            "turned_away": self._turned_away,
        }

    def summary(self) -> list[dict[str, object]]:
        """The effects so far by model; reads the database, so not for an event loop."""
        return [asdict(total) | {"repeated": self.ledger.repeated(total.model)} for total in self.ledger.totals()]

    async def wait_for_requests(self) -> None:
        """Wait until all requests so far have had their effect."""
        await self._idle.wait()

    async def wait_for_clients(self) -> None:
        """Wait until all clients have gone, and all their requests have had their effect."""
        while self._port is not None and self._port.connections:  # noqa: ASYNC110 - aiohttp tells nobody of a close
            await asyncio.sleep(_BETWEEN_LOOKS)
        await self.wait_for_requests()

    async def follow(self, capacity: Schedule) -> None:
        """Change the slots at their times; returns after the last change."""
        clock = asyncio.get_running_loop().time
        began = clock()
        for since, wanted in capacity:
            if (wait := since - (clock() - began)) > 0:
                await asyncio.sleep(wait)
            self.slots = wanted

    # ---- the way of a request ------------------------------------------------------------------------------------

    async def _api(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        model = request.match_info["model"]
        self._requests += 1
        # As tolerant as the real one: invalid pairs are skipped, undecodable bytes replaced.
        query = URL.build(query_string=body.decode("utf-8", "replace"), encoded=True).query
        form = dict(query.items())
        if self.faults.idle:
            return respond(await self._carry_out(model, form))
        return await self.faults.serve(request, model, form, body, partial(self._carry_out, model, form))

    def _carry_out(self, model: str, form: Mapping[str, str]) -> asyncio.Future[MockAnswer]:
        """The answer; the effect comes even if nobody waits for it any more."""
        answer: asyncio.Future[MockAnswer] = asyncio.get_running_loop().create_future()
        if self.queue is not None and self._in_flight >= self._slots and self.waiting >= self.queue:
            self._turned_away += 1
            answer.set_result(page(web.HTTPServiceUnavailable.status_code))
        else:
            self._idle.clear()
            self._queued.append(partial(self._start_work, model, form, answer))
            self._admit()
        return answer

    def _admit(self) -> None:
        while self._queued and self._in_flight < self._slots:
            self._in_flight += 1
            self._queued.popleft()()

    def _start_work(self, model: str, form: Mapping[str, str], answer: asyncio.Future[MockAnswer]) -> None:
        if self.latency:
            asyncio.get_running_loop().call_later(self.latency, self._parse, model, form, answer)
        else:
            self._parse(model, form, answer)

    def _parse(self, model: str, form: Mapping[str, str], answer: asyncio.Future[MockAnswer]) -> None:
        try:
            chain = parse(model, form)
        except MockRefusal as refusal:
            answered = refused("", str(refusal), self.quirks.error_status)
            asyncio.get_running_loop().call_soon(self._answer, answer, answered)
        else:
            self.do(chain, partial(self._answer, answer))

    def _answer(self, answer: asyncio.Future[MockAnswer], said: MockAnswer) -> None:
        self._in_flight -= 1
        self._admit()
        if not self._in_flight:
            self._idle.set()
        # Its handler may have been cancelled.
        if not answer.done():
            answer.set_result(said)

    async def _summary(self, _: web.Request) -> web.Response:
        return _json(await anyio.to_thread.run_sync(self.summary))

    # ---- the control endpoint ------------------------------------------------------------------------------------

    async def _ledger_page(self, request: web.Request) -> web.Response:
        model, _, subject = request.query.get("after", "").rpartition(":")
        try:
            start, size = int(subject or 0), int(request.query.get("limit", PAGE))
        except ValueError as error:
            raise _Refused("after: as `next` of the page before; limit: a whole number") from error
        if not 1 <= size <= _LONGEST_PAGE:
            raise _Refused(f"limit: 1 to {_LONGEST_PAGE}")

        def read() -> dict[str, object]:
            effects = self.ledger.by_subject((model, start), size)
            following = f"{effects[-1].model}:{effects[-1].subject}" if len(effects) == size else None
            return {"totals": self.summary(), "effects": effects, "next": following}

        return _json(await anyio.to_thread.run_sync(read))

    def _set_faults(self, body: bytes) -> None:
        try:
            self.faults.set(read_plan(body.decode(), "the plan"))
        except (PlanError, UnicodeDecodeError) as error:
            raise _Refused(str(error)) from error

    def _set_state(self, body: bytes) -> None:
        try:
            wanted = msgspec.json.decode(body)
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
            setattr(self, name, value)


async def _tell(tell: Callable[[], object], _: web.Request) -> web.Response:
    return _json(tell())


async def _change(change: Callable[[bytes], None], tell: Callable[[], object], request: web.Request) -> web.Response:
    change(await request.read())
    return _json(tell())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_bound(value: object) -> bool:
    return value is None or _is_count(value, least=0)


_SETTABLE: Final[dict[str, Callable[[object], bool]]] = {
    "slots": _is_count,
    "queue": _is_bound,
    "latency": _is_number,
    "stack_rate": _is_number,
    "busy": lambda value: isinstance(value, bool),
    "licence": _is_bound,
}


@web.middleware
async def _answer_control_error(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _Refused as error:
        return _json({"error": str(error)}, web.HTTPBadRequest.status_code)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


# ---- from its start to its end ------------------------------------------------------------------------------------


@asynccontextmanager
async def running(  # noqa: PLR0913 - each is a trait of a server, all but the first by name
    place: Dsn | Path | str,
    *,
    port: int = 0,
    latency: float = 0.0,
    slots: int = 64,
    queue: int | None = None,
    capacity: Schedule | None = None,
    stack_rate: float = 0.0,
    busy: bool = True,
    licence: int | None = None,
    faults: FaultPlan | None = None,
    control_port: int | None = None,
    quirks: Quirks | None = None,
    middlewares: Sequence[Middleware] = (),
) -> AsyncIterator[MockBilling]:
    """A mock billing over a database made by `population.create`, while the context lasts.

    `port` 0 takes a free one; with a `control_port` there is a control endpoint, 0 as before. `latency`
    is in seconds, `slots` the number of requests in work, `queue` the number that may wait, and `capacity` changes
    the slots over time. With a `stack_rate`, in entries a second, a write has its effect after its answer, and `busy`
    refuses conflicting writes until then. `licence` is the number of subscribers that it may have. `quirks` changes
    undocumented behaviour. Requests that arrived before the end are answered; entries in a stack stay there for the
    next server. Raises what `billing.database.database` raises, and OSError for a port taken.
    """
    dsn = place if isinstance(place, Dsn) else Dsn(str(place))
    quirks = quirks or Quirks()
    injector = Injector(faults or FaultPlan(), list_errors=quirks.list_errors == "list")
    server = MockBilling(dsn, injector, quirks, stack_rate)
    server.latency, server.slots, server.queue = latency, slots, queue
    server.busy, server.licence = busy, licence
    async with AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(anyio.to_thread.run_sync, server.database.close)
        stack.push_async_callback(server.stop)
        stack.push_async_callback(server.wait_for_requests)
        door = await _open_port(stack, server.application(middlewares), port)
        stack.callback(injector.end)
        server.open_at(door)
        if control_port is not None:
            server.control_url = (await _open_port(stack, server.control(), control_port)).url
        await _run_beside(stack, injector.watch_port(door.open, door.close))
        if capacity is not None:
            await _run_beside(stack, server.follow(capacity))
        yield server


async def _open_port(stack: AsyncExitStack, application: web.Application, port: int) -> Port:
    """An application on a port, until the stack unwinds."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    door = Port(runner, port)
    stack.callback(door.release)
    await door.open()
    return door


async def _run_beside(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    """A task beside the server, until the stack unwinds."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    stack.push_async_callback(end)


async def serve(mock: AbstractAsyncContextManager[MockBilling]) -> None:
    """Run a mock billing, as `running` gives it, until SIGTERM or SIGINT.

    Prints a line with its URL, and one with `control: URL` if there is a control endpoint.
    """
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with mock as server:
            control = f"control: {server.control_url}\n" if server.control_url else ""
            # Flush, since a parent process may read this from a pipe.
            sys.stdout.write(f"{server.url}\n{control}")
            sys.stdout.flush()
            async for _ in signals:
                return
