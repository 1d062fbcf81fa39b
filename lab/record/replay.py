"""A recording served over HTTP: the same request gets the same answer.

    POST …               as recorded; HTTP 404 for what is not in the recording
    GET  /mock/health    {"status": "ok"}
    GET  /mock/report    the `ReplayReport` so far

`lab.record.matching` defines which requests are the same. One that was made several times gets its answers in the
recorded order; when they are used up it is refused as an unknown one, since a program that asks more often has
changed. Names of runs in an answer's marks are replaced by that of the asking run.

| recorded | replayed |
|---|---|
| an answer | the same status, headers and body |
| lost | the connection is closed, reset, or (a time-out) kept silent and then closed, without an answer |
| broke off | the head and the part that came, then the same |
| cancelled by the client | skipped while there is an answer to the same request, else as lost |
| not sent | skipped likewise, else the connection is reset: an unreachable server cannot be replayed |
| a subscriber compared with the database | its id alone, whichever is asked for: a replay is no billing to compare |

With the recorded timing each of these comes after its recorded time; else at once, including silence.
"""

import asyncio
import signal
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl

import anyio
import msgspec
from aiohttp import web

from billing.api.secrets import SecretRemover
from lab.record.exchanges import Exchanges, UsedUp
from lab.record.matching import RECORDED_MARK, compared_subscriber, marks, named
from lab.record.recording import Recorded, RecordedAnswer

MAX_UNASKED_SHOWN: Final = 1000
"""Requests of each kind that a report lists; the counts are complete."""

_LARGEST_BODY: Final = 64 * 1024 * 1024
_SLACK: Final = 1.0
"""Seconds that a replayed silence is longer than the recorded one, so that the client's own time-out ends it."""
_ABORT: Final = struct.pack("ii", 1, 0)

Speed: TypeAlias = Literal["recorded", "at once"]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The result of a replay.

    `served` counts requests that got a recorded answer. `unknown` lists refused requests, each once, and
    `unknown_count` counts every time; `never_made` lists recorded requests that were not made, `never_made_count`
    counts them.
    """

    served: int
    unknown: tuple[str, ...]
    unknown_count: int
    never_made: tuple[str, ...]
    never_made_count: int

    @property
    def same(self) -> bool:
        """Whether exactly the recorded requests were made."""
        return not self.unknown_count and not self.never_made_count


class Replay:
    """A running replay, at `url`; made by `replaying`. `whole` tells whether the recording is complete."""

    def __init__(self, exchanges: Exchanges, speed: Speed) -> None:
        self.url = ""
        self.whole = exchanges.whole
        self._exchanges = exchanges
        self._speed: Speed = speed
        self._remover = SecretRemover(exchanges.header.hidden_fields)
        self._served = 0
        self._refused: Counter[str] = Counter()
        self._refused_more = 0
        self._runs: dict[str, str] = {}
        self._final: ReplayReport | None = None

    def report(self) -> ReplayReport:
        """The report so far, or the final one when it has ended."""
        if self._final is not None:
            return self._final
        never = [named(recorded.path, recorded.form) for recorded in self._exchanges.never_made(MAX_UNASKED_SHOWN)]
        return ReplayReport(
            self._served,
            tuple(self._refused),
            self._refused.total() + self._refused_more,
            tuple(never),
            self._exchanges.due(),
        )

    def end(self) -> None:
        """Keep the report and close the recording."""
        self._final = self.report()
        self._exchanges.close()

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_get("/mock/health", self._health)
        application.router.add_get("/mock/report", self._report)
        application.router.add_route("*", "/{path:.*}", self._serve)
        return application

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _report(self, _: web.Request) -> web.Response:
        return _json(asdict(self.report()))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode("utf-8", "replace")
        form = parse_qsl(body, keep_blank_values=True, errors="replace")
        if request.method != "POST":
            return self._refuse(f"{request.method} {request.path}", form, "is not a call")
        if (subscriber := compared_subscriber(request.path, form)) is not None:
            alone = {"pk": subscriber, "model": "Abonents", "fields": {"id": subscriber}}
            return _json({"call": "objects.filter", "result": [alone]})
        try:
            recorded = self._exchanges.take(self._exchanges.request(request.path, form))
        except UsedUp:
            return self._refuse(request.path, form, "is asked more often than it was recorded")
        if recorded is None:
            return self._refuse(request.path, form, "is not in the recording")
        self._served += 1
        requested = marks(form)
        self._runs |= {run: requested[number] for number, run in marks(recorded.form).items() if number in requested}
        await self._take_time(recorded)
        answer = recorded.answer
        if recorded.instead is None and answer is not None:
            return web.Response(body=self._body(answer), status=answer.status, headers=answer.headers)
        response: web.StreamResponse = web.Response()
        if answer is not None:
            response = await self._part(request, answer)
        instead = recorded.instead
        _hang_up(request, reset=instead is None or instead.what == "not sent" or instead.how == "reset")
        return response

    async def _take_time(self, recorded: Recorded) -> None:
        if self._speed == "recorded":
            instead = recorded.instead
            silent = instead is not None and instead.left and instead.how == "silence"
            await asyncio.sleep(recorded.seconds + (_SLACK if silent else 0.0))

    async def _part(self, request: web.Request, answer: RecordedAnswer) -> web.StreamResponse:
        body = self._body(answer)
        # The length announces one byte that never comes.
        headers = answer.headers | {"Content-Length": str(len(body) + 1)}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        await response.write(body)
        return response

    def _body(self, answer: RecordedAnswer) -> bytes:
        if self._runs and answer.text is not None:
            return RECORDED_MARK.sub(
                lambda found: f"[cm {self._runs.get(found[1], found[1])}/{found[2]}]", answer.text
            ).encode()
        return answer.body

    def _refuse(self, path: str, form: list[tuple[str, str]], why: str) -> web.Response:
        # The request comes from the program under test and may hold secrets, known only by their names.
        remover = self._remover.knowing(self._remover.secrets_in(form))
        name = named(path, remover.form(form))
        if name in self._refused or len(self._refused) < MAX_UNASKED_SHOWN:
            self._refused[name] += 1
        else:
            self._refused_more += 1
        return _json({"error": f"This request {why}: {name}"}, web.HTTPNotFound.status_code)


@asynccontextmanager
async def replaying(
    path: Path | str, *, host: str = "127.0.0.1", port: int = 0, speed: Speed = "at once"
) -> AsyncIterator[Replay]:
    """A recording served while the context lasts; its `report` is available during it and after.

    `port` 0 takes a free one. Raises NotARecording, RecordingError, and OSError for a port taken.
    """
    exchanges = await anyio.to_thread.run_sync(Exchanges, path)
    replay = Replay(exchanges, speed)
    runner = web.AppRunner(replay.application(), access_log=None, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        replay.url = f"http://{host}:{runner.addresses[0][1]}"
        yield replay
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
            replay.end()


async def serve_replay(
    path: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8082,
    speed: Speed = "at once",
    stop: Callable[[], Awaitable[object]] | None = None,
    announce: Callable[[str], None] | None = None,
) -> ReplayReport:
    """Serve a recording until `stop()` returns, or until SIGTERM or SIGINT; `announce` gets the URL.

    Raises what `replaying` raises.
    """
    async with replaying(path, host=host, port=port, speed=speed) as replay:
        if announce is not None:
            announce(replay.url)
        await (stop or _signalled)()
    return replay.report()


async def _signalled() -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


def _hang_up(request: web.Request, *, reset: bool) -> None:
    """Close the connection while the handler's answer is pending."""
    transport = request.transport
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    if (socket := transport.get_extra_info("socket")) is not None:
        # A linger time of zero turns the close into a reset.
        socket.setsockopt(SOL_SOCKET, SO_LINGER, _ABORT)
    transport.abort()


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
