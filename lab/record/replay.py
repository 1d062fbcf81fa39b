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
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from heapq import nsmallest
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import BinaryIO, Final, Literal, Self, TypeAlias
from urllib.parse import parse_qsl

import anyio
import msgspec
from aiohttp import web

from billing.api.secrets import SecretRemover
from jobs.spec.columns import KNOWN, normalise_header, titles_of
from jobs.spec.spec import JobSpec
from lab.record.matching import RECORDED_MARK, RecordedRequest, compared_subscriber, marks, named, request_of
from lab.record.people_remover import kind_of
from lab.record.pseudonyms import PersonalKind, Pseudonyms
from lab.record.recording import NotARecording, Recorded, RecordedAnswer, Recording, RecordingError, RecordingHeader

# ---- exchanges of a recording, found by their requests ------------------------------------------------------------
# A recording can be gigabytes: it is unpacked into a temporary file, and memory holds 17 bytes an exchange, a digest
# of its request and the offset of its line. `•••` in a request's texts, which matches anything, is rare; the places
# with it are known, and such requests are found by their other texts.


_DUE: Final = 0
_SERVED: Final = 1
_SPARE: Final = 2
"""Exchanges that need not be replayed: they never reached a billing, or the client cancelled them, or they ask for
subscribers that are others each time.
"""
_LONG: Final = 16
_MOST_VEILS: Final = 1000
"""Different sets of places with a `•••`: each is looked for at every request. The jobs make a few."""


class UsedUp(LookupError):
    """Raised when a request was recorded, and all of its answers have been given already."""


class Exchanges:
    """The exchanges to replay; a context manager, or `close` it. Not thread-safe."""

    def __init__(self, path: Path | str) -> None:
        """Unpack and index; raises NotARecording and RecordingError."""
        self._spool: BinaryIO = tempfile.TemporaryFile("w+b")  # noqa: SIM115 — closed by `close`
        self._digests = array("Q")
        self._offsets = array("Q")
        self._states = bytearray()
        self._veils: list[frozenset[str]] = []
        self._begins: dict[int, int] = {}
        try:
            with Recording(path) as recording:
                self.header: RecordingHeader = recording.header
                self._take_in(recording)
                self.whole: bool = recording.whole
        except OSError as fault:
            self._spool.close()
            folder = tempfile.gettempdir()
            raise RecordingError(
                "The recording {path} cannot be unpacked into {folder}: {why}. Make room there, or set "
                "TMPDIR to another folder.",
                path=path,
                folder=folder,
                why=fault.strerror or str(fault),
            ) from None
        except BaseException:
            self._spool.close()
            raise
        self._recording = recording

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._states)

    @property
    def held(self) -> int:
        """Bytes of memory that the index takes."""
        arrays = (self._digests, self._offsets)
        return sum(each.itemsize * len(each) for each in arrays) + len(self._states)

    def close(self) -> None:
        """Delete the temporary file."""
        self._spool.close()

    def request(self, path: str, form: list[tuple[str, str]]) -> RecordedRequest:
        """The request in comparable form, from its path as it came over HTTP."""
        base = self.header.base_path
        if base and path.startswith(f"{base}/"):
            path = path[len(base) :]
        return request_of(path, form, self.header.hidden_fields)

    def take(self, request: RecordedRequest) -> Recorded | None:
        """The next recorded exchange of this request, None when it was never recorded.

        Exchanges that never reached the billing, or that the client cancelled, are skipped as long as there is an
        answer. Raises UsedUp.
        """
        known = False
        for veil in (frozenset[str](), *self._veils):
            if veil and not veil <= request.texts.keys():
                continue
            group = self._group(request.digest(veil))
            place, met = self._next(group, request if veil else None)
            known = known or met
            if place is not None:
                self._states[place] = _SERVED
                return self._at(place)
        if known:
            raise UsedUp
        return None

    def never_made(self, most: int) -> Iterator[Recorded]:
        """The first `most` exchanges that were not requested, in the order of the recording."""
        offsets = (self._offsets[place] for place, state in enumerate(self._states) if state == _DUE)
        yield from map(self._read, nsmallest(most, offsets))

    def due(self) -> int:
        """The number of exchanges that were not requested."""
        return self._states.count(_DUE)

    def _take_in(self, recording: Recording) -> None:
        digests, offsets, states = array("Q"), array("Q"), bytearray()
        veils: set[frozenset[str]] = set()
        offset = 0
        for line in recording.lines():
            recorded = recording.decode(line)
            request = request_of(recorded.path, recorded.form, self.header.hidden_fields)
            veiled = request.veiled
            veils.add(veiled)
            if len(veils) > _MOST_VEILS:
                raise NotARecording(
                    "The recording hides secrets in more than {most} different places.", most=_MOST_VEILS
                )
            digests.append(request.digest(veiled))
            offsets.append(offset)
            states.append(_SPARE if _is_spare(recorded) else _DUE)
            self._spool.write(line + b"\n")
            offset += len(line) + 1
        self._spool.flush()
        # A stable sort, which keeps the answers to one request in order.
        order = sorted(range(len(digests)), key=digests.__getitem__)
        self._digests = array("Q", (digests[place] for place in order))
        self._offsets = array("Q", (offsets[place] for place in order))
        self._states = bytearray(states[place] for place in order)
        self._veils = sorted(veils - {frozenset()}, key=sorted)

    def _group(self, digest: int) -> range:
        first = bisect_left(self._digests, digest)
        return range(first, bisect_right(self._digests, digest, lo=first))

    def _next(self, group: range, request: RecordedRequest | None) -> tuple[int | None, bool]:
        """The place of a group's next exchange, and whether it has any for the request, which may be None."""
        spare: int | None = None
        met = bool(group) and request is None
        begin = self._begins.get(group.start, group.start)
        while begin < group.stop and self._states[begin] == _SERVED:
            begin += 1
        if len(group) > _LONG:
            self._begins[group.start] = begin
        for place in range(begin if request is None else group.start, group.stop):
            if request is not None:
                recorded = self._at(place)
                if not request.meets(request_of(recorded.path, recorded.form, self.header.hidden_fields)):
                    continue
                met = True
            if self._states[place] == _DUE:
                return place, True
            if self._states[place] == _SPARE and spare is None:
                spare = place
        return spare, met

    def _at(self, place: int) -> Recorded:
        return self._read(self._offsets[place])

    def _read(self, offset: int) -> Recorded:
        self._spool.seek(offset)
        return self._recording.decode(self._spool.readline())


def _is_spare(recorded: Recorded) -> bool:
    if compared_subscriber(recorded.path, recorded.form) is not None:
        return True
    instead = recorded.instead
    return instead is not None and (instead.what == "cancelled" or not instead.left)


# ---- a recording served over HTTP ---------------------------------------------------------------------------------


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


# ---- the rows of an input with made-up people ---------------------------------------------------------------------
# The rows of an input with made-up people, so that the replay of a recording can be run without the real file.
#
# A cell gets the value that a recording of the same key has in its place: what is asked for then is what was
# recorded. Columns that the job does not use are emptied, for nobody knows what is in them.


_DROPPED: Final = "dropped"
_KEPT: Final = "kept"


class MadeUpRows:
    """The rows of a job's input with this header; `mapping` assigns columns to its names, as its run was told."""

    def __init__(
        self, pseudonyms: Pseudonyms, spec: JobSpec, header: Sequence[str], mapping: Mapping[str, str]
    ) -> None:
        self._pseudonyms = pseudonyms
        self._uses = list(_uses(spec, header, mapping))

    def row(self, cells: Sequence[str]) -> list[str]:
        """The cells with made-up values; surplus cells are left out."""
        return [self._cell(use, cell) for use, cell in zip(self._uses, cells, strict=False)]

    def _cell(self, use: PersonalKind | str, cell: str) -> str:
        if isinstance(use, PersonalKind):
            return self._pseudonyms.of(use, cell)
        return cell if use == _KEPT else ""


def _uses(spec: JobSpec, header: Sequence[str], mapping: Mapping[str, str]) -> Iterator[PersonalKind | str]:
    """What each column is of: something of a person, kept as it is, or not used by the job."""
    # A value is what its field in the call is, as in the recording.
    fields = {
        name: kind
        for template in spec.templates
        for link in template.links
        for field, name in link.places
        if (kind := kind_of(field, template.model))
    }
    placeholders = (name for template in spec.templates for name in template.names)
    further: dict[str, tuple[str, ...]] = dict.fromkeys((*placeholders, *KNOWN), ())
    further |= {one.name: one.columns or () for one in spec.parameters}
    # A title that two names claim goes to the first, and the call's own stand there first.
    named = {normalise_header(column): name for name, column in mapping.items()}
    for name, others in further.items():
        named |= {title: name for title in titles_of(name, others) if title not in named}
    for title in header:
        name = named.get(normalise_header(title), "")
        yield (fields.get(name) or kind_of(name, spec.model) or _KEPT) if name else _DROPPED
