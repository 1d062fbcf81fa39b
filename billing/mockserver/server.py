"""The mock billing over HTTP.

    POST /rest_api/v2/<Model>/    as the real one
    GET  /mock/health             {"status": "ok"}
    GET  /mock/ledger             the effects so far: [{"model": …, "effects": …, "subjects": …, "repeated": {…}}]

A request waits for one of the slots, takes `latency` seconds, and then has its effect, whether or not anybody still
waits for the answer: the real one does not notice either that a client has gone. That the effect comes last is the
hardest case for whoever looks for it after a time-out.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

import anyio
import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from billing.database import Database, Dsn
from billing.mockserver.chain import parse
from billing.mockserver.ledger import Ledger
from billing.mockserver.refusals import Refusal
from billing.mockserver.rules import OpeningBalance
from billing.mockserver.worker import Answer, Worker, refused

_LARGEST_BODY: Final = 1024 * 1024


class MockBilling:
    """A running mock billing; `latency` (seconds) and `slots` may be changed while it runs."""

    def __init__(self, worker: Worker, database: Database, latency: float, slots: int) -> None:
        self.url = ""
        self.database = database
        self.ledger = Ledger(database)
        self.latency = latency
        self._worker = worker
        self._slots = anyio.CapacityLimiter(slots)
        self._tasks: set[asyncio.Task[Answer]] = set()

    @property
    def slots(self) -> int:
        """How many requests are worked on at a time; the others wait."""
        return int(self._slots.total_tokens)

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots.total_tokens = slots

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return self._slots.statistics().tasks_waiting

    def application(self, middlewares: Sequence[Middleware]) -> web.Application:
        """The aiohttp application; middlewares can make it misbehave."""
        application = web.Application(middlewares=middlewares, client_max_size=_LARGEST_BODY)
        application.router.add_post("/rest_api/v2/{model}/", self._api)
        application.router.add_get("/mock/health", self._health)
        application.router.add_get("/mock/ledger", self._summary)
        return application

    async def settled(self) -> None:
        """Wait until every request that arrived has had its effect."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _api(self, request: web.Request) -> web.Response:
        body = await request.read()
        task = asyncio.create_task(self._process(request.match_info["model"], body))
        # Held here, for the loop itself keeps no task alive; shielded, for the client may go.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        answer = await asyncio.shield(task)
        kind = "application/json" if answer.status == web.HTTPOk.status_code else "text/html"
        return web.Response(body=answer.body, status=answer.status, content_type=kind, charset="utf-8")

    async def _process(self, model: str, body: bytes) -> Answer:
        async with self._slots:
            if self.latency:
                await asyncio.sleep(self.latency)
            try:
                # Tolerant as the real one: what is no pair is passed over, letters that are none are replaced.
                chain = parse(
                    model, dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace"))
                )
            except Refusal as refusal:
                return refused("", str(refusal))
            return await self._worker.do(chain)

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _summary(self, _: web.Request) -> web.Response:
        return _json(await anyio.to_thread.run_sync(self._summarise))

    def _summarise(self) -> list[dict[str, object]]:
        return [asdict(total) | {"repeated": self.ledger.repeated(total.model)} for total in self.ledger.totals()]


@asynccontextmanager
async def running(  # noqa: PLR0913 - each is a trait of a server, all but the first by name
    place: Dsn | Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    latency: float = 0.0,
    slots: int = 64,
    opening_balance: OpeningBalance = "sets",
    middlewares: Sequence[Middleware] = (),
) -> AsyncIterator[MockBilling]:
    """A mock billing over a database made by `population.create`, for as long as the context lasts.

    `port` 0 takes a free one, `latency` is in seconds, `slots` as many requests as are worked on at a time. What
    arrived before the end still has its effect. Raises what `billing.database` raises, and OSError for a port taken.
    """
    dsn = place if isinstance(place, Dsn) else Dsn(str(place))
    worker = Worker(dsn, opening_balance)
    await worker.start()
    database = Database(dsn)
    server = MockBilling(worker, database, latency, slots)
    runner = web.AppRunner(server.application(middlewares), access_log=None, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        server.url = f"http://{host}:{runner.addresses[0][1]}"
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
            await server.settled()
            await worker.stop()
            await anyio.to_thread.run_sync(database.close)


async def serve(  # noqa: PLR0913 - as `running`
    place: Dsn | Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8082,
    latency: float = 0.0,
    slots: int = 64,
    opening_balance: OpeningBalance = "sets",
    announce: Callable[[str], None] | None = None,
) -> None:
    """Run a mock billing until SIGTERM or SIGINT; `announce` gets its URL, or it is printed."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with running(
            place, host=host, port=port, latency=latency, slots=slots, opening_balance=opening_balance
        ) as server:
            (announce or _print)(server.url)
            async for _ in signals:
                return


def _print(url: str) -> None:
    # Flushed, for whoever started it may read this from a pipe.
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
