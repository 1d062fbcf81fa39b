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
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl

import anyio
from aiohttp import web

from billing.api.secrets import SecretRemover
from billing.database.sql_blocks import sql_block
from jobs.spec.columns import KNOWN, normalise_header, titles_of
from jobs.spec.spec import JobSpec
from lab.mock.port import as_json, reset, serving, telling
from lab.record.matching import RECORDED_MARK, compared_subscriber, marks, named, request_of
from lab.record.pseudonyms import Pseudonyms, kind_of
from lab.record.recording import NotARecording, Recorded, RecordedAnswer, Recording, RecordingError

MAX_UNASKED_SHOWN: Final = 1000
"""Requests of each kind that a report lists; the counts are complete."""

_MOST_VEILS: Final = 1000
"""Different sets of places with a `•••`: each is looked for at every request. The jobs make a few."""
_LARGEST_BODY: Final = 64 * 1024 * 1024
_SLACK: Final = 1.0
"""Seconds that a replayed silence is longer than the recorded one, so that the client's own time-out ends it."""

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
        return not self.unknown_count and not self.never_made_count


class Replay:
    """A running replay, at `url`; made by `replaying`.

    A recording can be gigabytes: it is unpacked into a temporary database. `•••` in a request's texts, which matches
    anything, is rare; the places with it are known, and such requests are found by their other texts.
    """

    def __init__(self, path: Path | str, speed: Speed) -> None:
        """Unpack and index; raises NotARecording and RecordingError."""
        self.url = ""
        self._speed: Speed = speed
        self._served = 0
        self._refused: Counter[str] = Counter()
        self._refused_more = 0
        self._runs: dict[str, str] = {}
        self._final: ReplayReport | None = None
        self._veils: list[frozenset[str]] = []
        # The database keeps the file open that goes with its name, and nothing is ever committed to it.
        with tempfile.NamedTemporaryFile() as file:
            self._database = sqlite3.connect(file.name, check_same_thread=False)
            self._run("unlogged")
            self._run("table")
        try:
            with Recording(path) as recording:
                self._recording = recording
                self._hidden = recording.header.hidden_fields
                self._take_in(recording)
            self._run("index")
        except sqlite3.Error as fault:
            self._database.close()
            raise RecordingError(
                "The recording {path} cannot be unpacked into {folder}: {why}. Make room there, or set "
                "TMPDIR to another folder.",
                path=path,
                folder=tempfile.gettempdir(),
                why=str(fault),
            ) from None
        except BaseException:
            self._database.close()
            raise
        self._remover = SecretRemover(self._hidden)

    def report(self) -> ReplayReport:
        """The report so far, or the final one when it has ended."""
        if self._final is not None:
            return self._final
        lines = self._run("never_made", most=MAX_UNASKED_SHOWN)
        never_made = [self._recording.decode(line) for (line,) in lines]
        ((due,),) = self._run("due")
        return ReplayReport(
            self._served,
            tuple(self._refused),
            self._refused.total() + self._refused_more,
            tuple(named(recorded.path, recorded.form) for recorded in never_made),
            due,
        )

    def end(self) -> None:
        """Keep the report and delete the temporary database."""
        self._final = self.report()
        self._database.close()

    def application(self) -> web.Application:
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_get("/mock/health", telling(lambda: {"status": "ok"}))
        application.router.add_get("/mock/report", telling(self.report))
        application.router.add_route("*", "/{path:.*}", self._serve)
        return application

    def _take_in(self, recording: Recording) -> None:
        veils: set[frozenset[str]] = set()
        for line in recording.lines:
            recorded = recording.decode(line)
            request = request_of(recorded.path, recorded.form, self._hidden)
            veils.add(request.veiled)
            if len(veils) > _MOST_VEILS:
                raise NotARecording(
                    "The recording hides secrets in more than {most} different places.", most=_MOST_VEILS
                )
            # They never reached a billing, or the client cancelled them, or they ask for other subscribers each time.
            instead = recorded.instead
            spare = instead is not None and (instead.what == "cancelled" or not instead.left)
            spare = spare or compared_subscriber(recorded.path, recorded.form) is not None
            self._run("add", digest=request.digest(request.veiled), spare=spare, line=line)
        self._veils = sorted(veils - {frozenset()}, key=sorted)

    def _take(self, path: str, form: list[tuple[str, str]]) -> Recorded | str:
        """The next recorded exchange of a request, or why there is none.

        Exchanges that never reached the billing, or that the client cancelled, are skipped as long as there is an
        answer.
        """
        base = self._recording.header.base_path
        request = request_of(path.removeprefix(base) if path.startswith(f"{base}/") else path, form, self._hidden)
        why = "is not in the recording"
        for veil in (frozenset[str](), *self._veils):
            if not veil <= request.texts.keys():
                continue
            for number, served, line in self._run("of_request", digest=request.digest(veil)):
                recorded = self._recording.decode(line)
                if veil and not request.meets(request_of(recorded.path, recorded.form, self._hidden)):
                    continue
                if not served:
                    self._run("serve", number=number)
                    return recorded
                why = "is asked more often than it was recorded"
                break
        return why

    def _run(self, block: str, **values: object) -> sqlite3.Cursor:
        return self._database.execute(sql_block("replay", block, "lab.record").text, values)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode("utf-8", "replace")
        form = parse_qsl(body, keep_blank_values=True, errors="replace")
        if request.method != "POST":
            return self._refuse(f"{request.method} {request.path}", form, "is not a call")
        if (subscriber := compared_subscriber(request.path, form)) is not None:
            alone = {"pk": subscriber, "model": "Abonents", "fields": {"id": subscriber}}
            return as_json({"call": "objects.filter", "result": [alone]})
        recorded = self._take(request.path, form)
        if isinstance(recorded, str):
            return self._refuse(request.path, form, recorded)
        self._served += 1
        requested = marks(form)
        self._runs |= {run: requested[number] for number, run in marks(recorded.form).items() if number in requested}
        answer, instead = recorded.answer, recorded.instead
        if self._speed == "recorded":
            silent = instead is not None and instead.left and instead.how == "silence"
            await asyncio.sleep(recorded.seconds + (_SLACK if silent else 0.0))
        response = web.StreamResponse()
        if answer is not None:
            content = self._body(answer)
            if instead is None:
                return web.Response(body=content, status=answer.status, headers=answer.headers)
            # The length announces one byte that never comes.
            headers = answer.headers | {"Content-Length": str(len(content) + 1)}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            await response.write(content)
        # While the handler's answer is pending.
        if instead is None or instead.what == "not sent" or instead.how == "reset":
            reset(request.transport)
        elif request.transport is not None:
            request.transport.close()
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
        return as_json({"error": f"This request {why}: {name}"}, web.HTTPNotFound.status_code)


@asynccontextmanager
async def replaying(path: Path | str, *, port: int = 0, speed: Speed = "at once") -> AsyncIterator[Replay]:
    """A recording served while the context lasts; its `report` is available during it and after.

    `port` 0 takes a free one. Raises NotARecording, RecordingError, and OSError for a port taken.
    """
    replay = await anyio.to_thread.run_sync(Replay, path, speed)
    try:
        async with serving(replay.application(), port) as door:
            replay.url = door.url
            yield replay
    finally:
        replay.end()


# ---- the rows of an input with made-up people ---------------------------------------------------------------------
# The replay of a recording can be run with these, without the real file.
#
# A cell gets the value that a recording of the same key has in its place: what is asked for then is what was
# recorded. Columns that the job does not use are emptied, for nobody knows what is in them.


def made_up_rows(
    pseudonyms: Pseudonyms, spec: JobSpec, header: Sequence[str], mapping: Mapping[str, str]
) -> Callable[[Sequence[str]], list[str]]:
    """Makes up the cells of a row of a job's input with this header; surplus cells are left out.

    `mapping` assigns columns to its names, as its run was told.
    """
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
    names = [named.get(normalise_header(title), "") for title in header]
    kinds = [fields.get(name) or kind_of(name, spec.model) for name in names]
    return lambda cells: [
        pseudonyms.of(kind, cell) if name and kind else cell if name else ""
        for name, kind, cell in zip(names, kinds, cells, strict=False)
    ]
