"""The mock billing over HTTP.

    POST /rest_api/v2/<Model>/    as the real one, or failing as the fault plan has it
    GET  /mock/health             {"status": "ok"}
    GET  /mock/ledger             the effects so far: [{"model": …, "effects": …, "subjects": …, "repeated": {…}}]

What watches and changes it while it serves is on a port of its own, see `lab.mock.control_port`.

A request waits for a slot, takes `latency` seconds, and then has its effect, even when the client has gone: the
real one does not notice that either. An effect at the very end is the hardest case for a look-up after a time-out.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from billing.database.database import Database
from billing.database.dsn import Dsn
from lab.mock import control_port as control
from lab.mock.capacity import QueueFull, Schedule, Slots
from lab.mock.chain import parse
from lab.mock.fault_injector import Injector, page, respond
from lab.mock.faults import FaultPlan
from lab.mock.ledger import Ledger
from lab.mock.licence import Licence
from lab.mock.port import Port
from lab.mock.quirks import Quirks, describe_quirks
from lab.mock.refusals import MockRefusal
from lab.mock.worker import MockAnswer, Worker, refused

LOOPBACK: Final = "127.0.0.1"
"""The control endpoint is only for this machine."""

_LARGEST_BODY: Final = 1024 * 1024
_BETWEEN_LOOKS: Final = 0.01


class MockBilling:
    """A running mock billing; its settings may be changed while it runs, in its event loop.

    `url` and `control_url` are its addresses, the latter empty without a control endpoint. `latency` is in seconds.
    """

    def __init__(
        self, worker: Worker, database: Database, latency: float, slots: Slots, faults: Injector, quirks: Quirks
    ) -> None:
        self.url = ""
        self.control_url = ""
        self.database = database
        self.ledger = Ledger(database)
        self.latency = latency
        self.faults = faults
        self.quirks = quirks
        self._worker = worker
        self._slots = slots
        self._door: Port | None = None
        self._requests = 0
        self._turned_away = 0

    @property
    def slots(self) -> int:
        """The number of requests in work at one time; the others wait."""
        return self._slots.total

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots.total = slots

    @property
    def queue(self) -> int | None:
        """The number of requests that may wait for a slot; None for any number."""
        return self._slots.queue

    @queue.setter
    def queue(self, queue: int | None) -> None:
        self._slots.queue = queue

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a slot."""
        return self._slots.waiting

    @property
    def stack_rate(self) -> float:
        """Entries of the stacks applied a second; 0 means effects at once."""
        return self._worker.stack_rate

    @stack_rate.setter
    def stack_rate(self, rate: float) -> None:
        self._worker.stack_rate = rate

    @property
    def busy(self) -> bool:
        """Whether writes to a subscriber or an account with an entry in a stack are refused as busy."""
        return self._worker.busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._worker.busy = busy

    @property
    def licence(self) -> int | None:
        """The number of subscribers that it may have; None for any number."""
        return self._worker.licence.limit

    @licence.setter
    def licence(self, subscribers: int | None) -> None:
        self._worker.licence.limit = subscribers

    def open_at(self, door: Port) -> None:
        """Note the port that it is served at."""
        self._door, self.url = door, door.url

    def application(self, middlewares: Sequence[Middleware]) -> web.Application:
        """The aiohttp application; middlewares can disturb it."""
        application = web.Application(middlewares=middlewares, client_max_size=_LARGEST_BODY)
        application.router.add_post("/rest_api/v2/{model}/", self._api)
        application.router.add_get("/mock/health", self._health)
        application.router.add_get("/mock/ledger", self._summary)
        return application

    def state(self) -> dict[str, object]:
        """Its current state and its settings."""
        return {
            "in_flight": self._slots.taken,
            "waiting": self._slots.waiting,
            "slots": self.slots,
            "queue": self.queue,
            "latency": self.latency,
            "stack_rate": self.stack_rate,
            "busy": self.busy,
            "licence": self.licence,
            "quirks": describe_quirks(self.quirks),
            "stack": asdict(self._worker.stacks),
            "requests": self._requests,
            "turned_away": self._turned_away,
        }

    def summary(self) -> list[dict[str, object]]:
        """The effects so far by model; reads the database, so not for an event loop."""
        return [asdict(total) | {"repeated": self.ledger.repeated(total.model)} for total in self.ledger.totals()]

    async def wait_for_stacks(self) -> None:
        """Wait until the stacks are empty."""
        await self._worker.wait_for_stacks()

    async def wait_for_requests(self) -> None:
        """Wait until all requests so far have had their effect."""
        await self._slots.wait_until_idle()

    async def wait_for_clients(self) -> None:
        """Wait until all clients have gone, and all their requests have had their effect."""
        while self._door is not None and self._door.connections:  # noqa: ASYNC110 - aiohttp tells nobody when one closes
            await asyncio.sleep(_BETWEEN_LOOKS)
        await self.wait_for_requests()

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
        try:
            self._slots.enter(partial(self._begin, model, form, answer))
        except QueueFull:
            self._turned_away += 1
            answer.set_result(page(web.HTTPServiceUnavailable.status_code))
        return answer

    def _begin(self, model: str, form: Mapping[str, str], answer: asyncio.Future[MockAnswer]) -> None:
        if self.latency:
            asyncio.get_running_loop().call_later(self.latency, self._work, model, form, answer)
        else:
            self._work(model, form, answer)

    def _work(self, model: str, form: Mapping[str, str], answer: asyncio.Future[MockAnswer]) -> None:
        try:
            chain = parse(model, form)
        except MockRefusal as refusal:
            answered = refused("", str(refusal), self.quirks.error_status)
            asyncio.get_running_loop().call_soon(self._answer, answer, answered)
        else:
            self._worker.do(chain, partial(self._answer, answer))

    def _answer(self, answer: asyncio.Future[MockAnswer], said: MockAnswer) -> None:
        self._slots.leave()
        # Its handler may have been cancelled.
        if not answer.done():
            answer.set_result(said)

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _summary(self, _: web.Request) -> web.Response:
        return _json(await anyio.to_thread.run_sync(self.summary))


@asynccontextmanager
async def running(  # noqa: PLR0913 - each is a trait of a server, all but the first by name
    place: Dsn | Path | str,
    *,
    host: str = "127.0.0.1",
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

    `port` 0 takes a free one; with a `control_port` there is a control endpoint on 127.0.0.1, 0 as before. `latency`
    is in seconds, `slots` the number of requests in work, `queue` the number that may wait, and `capacity` changes
    the slots over time. With a `stack_rate`, in entries a second, a write has its effect after its answer, and `busy`
    refuses conflicting writes until then. `licence` is the number of subscribers that it may have. `quirks` changes
    undocumented behaviour. Requests that arrived before the end are answered; entries in a stack stay there for the
    next server. Raises what `billing.database.database` raises, and OSError for a port taken.
    """
    dsn = place if isinstance(place, Dsn) else Dsn(str(place))
    quirks = quirks or Quirks()
    worker = Worker(dsn, quirks, Licence(licence), stack_rate=stack_rate, busy=busy)
    database = Database(dsn)
    injector = Injector(faults or FaultPlan(), list_errors=quirks.list_errors == "list")
    counter = Slots(slots, queue)
    server = MockBilling(worker, database, latency, counter, injector, quirks)
    async with AsyncExitStack() as stack:
        await worker.start()
        stack.push_async_callback(anyio.to_thread.run_sync, database.close)
        stack.push_async_callback(worker.stop)
        stack.push_async_callback(server.wait_for_requests)
        door = await _open_port(stack, server.application(middlewares), host, port)
        stack.callback(injector.end)
        server.open_at(door)
        if control_port is not None:
            beside = await _open_port(stack, control.application(server), LOOPBACK, control_port)
            server.control_url = beside.url
        await _run_beside(stack, injector.watch_port(door.open, door.close))
        if capacity is not None:
            await _run_beside(stack, capacity.follow(counter))
        yield server


async def _open_port(stack: AsyncExitStack, application: web.Application, host: str, port: int) -> Port:
    """An application on a port, until the stack unwinds."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    door = Port(runner, host, port)
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
            _print(server.url)
            if server.control_url:
                _print(f"control: {server.control_url}")
            async for _ in signals:
                return


def _print(line: str) -> None:
    # Flush, since a parent process may read this from a pipe.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
