"""The proxies of the lab: one before a billing, as a bad load balancer, and one before PostgreSQL, as a bad network.

They run in the lab's own process with real sockets, so they survive kills of a load or worker and restarts of what is
behind them.

`Proxy` disturbs some requests to a billing, as `lab.mock.faults` has it. All others are passed on part by part,
including the way a connection ends: reset, closed, or silent. `JournalWay` knows no requests: it can be cut, or
swallow whatever comes.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiohttp
from aiohttp import web

from lab.mock.faults import Fault, FaultKind, FaultPlan, Injector, MockAnswer, page, respond
from lab.mock.port import LOOPBACK, reset, serving

_PART: Final = 64 * 1024
_PAUSE: Final = 0.005
WRITES: Final = re.compile(rb"method\d+=(?:objects\.create|save|delete|add_payment|set_password)\b")
_KEPT: Final = ("Content-Type", "Location", "Retry-After")


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


class Proxy:
    """Listens on a port of 127.0.0.1, and passes requests on to the port `target`; `faults` are its own."""

    def __init__(self, port: int, target: int, plan: Interference) -> None:
        self.port = port
        faults = (
            Fault(kind, plan.model or None, share=share, delay=plan.delay)
            for kind, share in sorted(plan.shares.items())
        )
        self.faults = Injector(FaultPlan(tuple(faults), plan.seed))
        self._target = f"http://{LOOPBACK}:{target}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_post("/rest_api/v2/{model}/", self._serve)
        # A connection a request: none is left over from a billing that has gone meanwhile.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(self._target, connector=connector, timeout=timeout) as self._session,
            serving(application, self.port),
        ):
            try:
                yield
            finally:
                self.faults.end()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self.faults.serve(
                request, partial(self._carry_out, request), partial(self._pass_on, request)
            )
        except aiohttp.ClientConnectorError:
            return respond(page(web.HTTPBadGateway.status_code))
        except aiohttp.ClientOSError:
            reset(request.transport)
        except aiohttp.ClientError:
            # It was closed without an answer, or in the middle of one.
            if request.transport is not None:
                request.transport.close()
        return web.Response()

    @asynccontextmanager
    async def _asked(self, request: web.Request) -> AsyncIterator[aiohttp.ClientResponse]:
        body = await request.read()
        # The billing is to know itself by the name that it was asked by.
        headers = {name: request.headers[name] for name in ("Host", "Content-Type") if name in request.headers}
        async with self._session.post(request.path, data=body, headers=headers, allow_redirects=False) as answer:
            yield answer

    async def _carry_out(self, request: web.Request) -> MockAnswer:
        async with self._asked(request) as answer:
            return MockAnswer(answer.status, await answer.read(), _kept(answer))

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        async with self._asked(request) as answer:
            length = {"Content-Length": answer.headers.get("Content-Length", "0")}
            response = web.StreamResponse(status=answer.status, headers=_kept(answer) | length)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
            return response


def _kept(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in _KEPT if name in answer.headers}


class JournalWay:
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

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut()
            # Who waits to pass something on finds both ends gone.
            self._open.set()
            while self._ends:  # noqa: ASYNC110 - they are only waited for here
                await asyncio.sleep(_PAUSE)

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
