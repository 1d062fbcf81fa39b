"""A recording served over HTTP, and compared with a live billing after its update.

    POST …               as recorded; HTTP 404 for what is not in the recording
    GET  /mock/health    {"status": "ok"}
    GET  /mock/report    the `ReplayReport` so far

A request that was made several times gets its answers in the recorded order; when they are used up it is refused as
an unknown one, since a program that asks more often has changed. Names of runs in an answer's marks are replaced by
that of the asking run.

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
import re
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl

import anyio
import msgspec
from aiohttp import web

from billing.api.answers import charset_of
from billing.api.calls import SECRET_ARGUMENTS, Call, ChainStep
from billing.api.client import BillingClient
from billing.api.secrets import SecretRemover, json_text, nested_json
from billing.api.wire import Reply
from billing.database.sql_blocks import sql_block
from billing.errors import BillingAway
from billing.secret import PLACEHOLDER
from engine.evidence import Lost, NotSent, readable
from jobs.spec.columns import KNOWN, normalise_header, titles_of
from jobs.spec.spec import JobSpec
from lab.mock.port import as_json, reset, serving, telling
from lab.record.pseudonyms import RECORDED_MARK, PeopleRemover, Pseudonyms, kind_of
from lab.record.recording import Recorded, RecordedAnswer, Recording, RecordingError
from texts.said import Said, said

# ---- which requests are the same ----------------------------------------------------------------------------------
# Those with the same path and the same form fields, in any order and JSON spacing. Ignored are the run's name in a
# mark `[cm run/number]`, the values of secret arguments, and secret form fields altogether, since a replay needs no
# key. A `•••` within a recorded text matches anything.

_COMPARED: Final = ["id", "contract_number", "name", "parent_id"]
"""The fields of a subscriber by which a database is seen to be of the billing; a load asks for more or for fewer."""

_HIDDEN: Final = "\0hidden"
_DIGEST: Final = 16


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request in comparable form: its path, and the text at each place of its form, as "arg1/abonent_id"."""

    path: str
    texts: Mapping[str, str]

    @property
    def veiled(self) -> frozenset[str]:
        """The places whose texts contain a `•••`."""
        return frozenset(place for place, text in self.texts.items() if PLACEHOLDER in text)

    def digest(self, veiled: Collection[str] = ()) -> bytes:
        """A digest of the request without the texts at the `veiled` places."""
        said = [(place, None if place in veiled else text) for place, text in sorted(self.texts.items())]
        return blake2b(msgspec.msgpack.encode((self.path, said)), digest_size=_DIGEST).digest()

    def meets(self, recorded: "RecordedRequest") -> bool:
        """Whether it matches the recorded request, in which `•••` matches anything."""
        return (
            self.path == recorded.path
            and self.texts.keys() == recorded.texts.keys()
            and all(meets_veiled(self.texts[place], text) for place, text in recorded.texts.items())
        )


def request_of(path: str, form: Iterable[tuple[str, str]], hidden_fields: Collection[str] = ()) -> RecordedRequest:
    """The request with this path and these decoded fields; `hidden_fields` are names of secret form fields."""
    hidden = {name.casefold() for name in hidden_fields} | SECRET_ARGUMENTS
    texts: dict[str, str] = {}
    repeated: Counter[str] = Counter()
    for name, value in form:
        if name.casefold() in hidden:
            continue
        repeated[name] += 1
        place = name if repeated[name] == 1 else f"{name}+{repeated[name]}"
        texts[place] = ""
        try:
            parsed = msgspec.json.decode(value) if value.startswith(("{", "[")) else None
            leaves = {} if parsed is None else dict(_leaves(place, parsed))
        except (msgspec.DecodeError, RecursionError):
            leaves = {}
        texts.update(leaves or {place: _comparable(value)})
    return RecordedRequest(path, texts)


def compared_subscriber(path: str, form: Iterable[tuple[str, str]]) -> int | None:
    """The id, where a command asks for a subscriber to see whether API and database are one billing, else None.

    These are others each time, so that no recording has the answers.
    """
    given = dict(form)
    if not path.endswith("/Abonents/") or given.get("method1") != "objects.filter":
        return None
    key, fields = (nested_json(given.get(name, "")) for name in ("arg1", "fields"))
    if fields != _COMPARED or not isinstance(key, dict) or [*key] != ["id"]:
        return None
    return key["id"] if isinstance(key["id"], int) else None


def named(path: str, form: Iterable[tuple[str, str]]) -> str:
    """One line that names a request, for people: `/rest_api/v2/Users/ method1=objects.get arg1={"id":5}`."""
    return readable(" ".join((path, *(f"{name}={value}" for name, value in form))))


def marks(form: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The names of runs in the marks of a form, by the item's number."""
    return {number: run for _, value in form for run, number in RECORDED_MARK.findall(value)}


def _leaves(place: str, value: object) -> Iterator[tuple[str, str]]:
    """The texts within a JSON value by their places; an empty value is a text of its own."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            secret = name.casefold() in SECRET_ARGUMENTS and bool(item)
            inner = f"{place}/{name}"
            yield from [(inner, _HIDDEN)] if secret else _leaves(inner, item)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _leaves(f"{place}/{number}", item)
    else:
        yield place, _comparable(msgspec.json.encode(value).decode())


def _comparable(text: str) -> str:
    return RECORDED_MARK.sub(r"[cm /\2]", text)


def meets_veiled(text: str, recorded: str) -> bool:
    """Whether a text is the recorded one, in which each `•••` matches anything."""
    first, *others = recorded.split(PLACEHOLDER)
    if not others:
        return text == recorded
    *between, last = others
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    # The first place that fits leaves most room for the rest, so nothing has to be tried twice.
    place, end = len(first), len(text) - len(last)
    for part in between:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


# ---- the replay ---------------------------------------------------------------------------------------------------

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
        self.url = ""
        self._speed: Speed = speed
        self._served = self._unknown = 0
        self._refused: dict[str, None] = {}
        self._runs: dict[str, str] = {}
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
        never_made = [self._recording.decode(line) for (line,) in self._run("never_made", most=MAX_UNASKED_SHOWN)]
        names = tuple(named(recorded.path, recorded.form) for recorded in never_made)
        ((due,),) = self._run("due")
        return ReplayReport(self._served, tuple(self._refused), self._unknown, names, due)

    def end(self) -> None:
        """Keep the report and delete the temporary database."""
        final = self.report()
        self.report = lambda: final  # type: ignore[method-assign] # there is no database to ask any more
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
                raise RecordingError(
                    "The recording hides secrets in more than {most} different places.", most=_MOST_VEILS
                )
            # They never reached a billing, or the client cancelled them, or they ask for other subscribers each time.
            instead = recorded.instead
            spare = instead is not None and (instead.what == "cancelled" or not instead.left)
            spare = spare or compared_subscriber(recorded.path, recorded.form) is not None
            self._run("add", digest=request.digest(request.veiled), spare=spare, line=line)
        self._veils = sorted(veils - {frozenset()}, key=sorted)

    def _take(self, path: str, form: list[tuple[str, str]]) -> Recorded | str:
        """The next recorded exchange of a request, or why there is none."""
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
        self._unknown += 1
        if len(self._refused) < MAX_UNASKED_SHOWN:
            self._refused[name] = None
        return as_json({"error": f"This request {why}: {name}"}, web.HTTPNotFound.status_code)


@asynccontextmanager
async def replaying(path: Path | str, *, port: int = 0, speed: Speed = "at once") -> AsyncIterator[Replay]:
    """A recording served while the context lasts; its `report` is available during it and after.

    `port` 0 takes a free one. Raises RecordingError, and OSError for a port taken.
    """
    replay = await anyio.to_thread.run_sync(Replay, path, speed)
    try:
        async with serving(replay.application(), port) as door:
            replay.url = door.url
            yield replay
    finally:
        replay.end()


# ---- what a live billing answers differently ----------------------------------------------------------------------
# Only known reads are sent; a request that could write is never sent. Each is sent once, however often it was
# recorded, and compared with its first recorded answer, from before the run's own writes. Requests recorded with a
# secret cannot be repeated.

_VOLATILE: Final = ("Version:result.*time*", "Version:result.*date*")
"""Values that differ in every answer: the server's clock."""

_READS: Final = frozenset({"objects.get", "objects.filter", "get_user_by_suid", "web_cabinet.get_usluga_list"})
"""Methods known to change nothing [S]. The prefix `get` is not enough: `get_or_create_dynamic_session`."""
_PATH: Final = re.compile(r"/rest_api/v2/([A-Za-z_]\w*)/", re.ASCII)
_LONGEST: Final = 120
_DEEPEST: Final = 64
"""Levels of nested values that are compared one by one; an answer with more is compared as a text."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the live answer differs.

    `path` as `result[pk=5].fields.ip`, or `status`; a missing value on one side is `msgspec.UNSET`.
    """

    number: int
    request: str
    path: str
    recorded: object
    now: object

    @property
    def text(self) -> Said:
        return said(
            "{request}: {path} was {recorded}, now {now}",
            request=self.request,
            path=self.path,
            recorded=_shown(self.recorded),
            now=_shown(self.now),
        )


async def differing(
    path: Path | str, client: BillingClient, tally: Counter[str], pseudonyms: Pseudonyms | None = None
) -> AsyncIterator[Difference]:
    """The differences between the live billing of `client` and a recording.

    Of a recording with made-up people the live answers are compared by the same `pseudonyms`. `tally` counts the
    recorded exchanges: `asked` again, or why not: `writes` are all that are not known reads, `secret` those with a
    secret in the request, `repeated` those asked already, `unanswered` reads without a usable answer, `made_up` those
    that ask by a made-up name or number. Raises BillingAway when the billing does not answer, and RecordingError.
    """
    asked: set[bytes] = set()
    with await anyio.to_thread.run_sync(Recording, path) as recording:
        made_up = pseudonyms if recording.header.made_up else None
        if recording.header.made_up and (made_up is None or made_up.key != recording.header.made_up):
            raise RecordingError(
                said(
                    "The people of this recording are made up with the key of another machine or user: compare "
                    "there, or record with real names."
                )
            )
        hidden, exchanges = recording.header.hidden_fields, iter(recording)
        while (recorded := await anyio.to_thread.run_sync(next, exchanges, None)) is not None:
            call, form = read_only(recorded, hidden), list(recorded.form)
            digest = request_of(recorded.path, form, hidden).digest()
            if call is None:
                tally["writes"] += 1
                continue
            if any(PLACEHOLDER in value for name, value in form if name not in hidden):
                fate = "secret"
            # For the value of a person the live billing would find nobody.
            elif made_up is not None and PeopleRemover(made_up, call.model).form(form) != form:
                fate = "made_up"
            elif recorded.outcome not in {"answered", "refused"}:
                fate = "unanswered"
            else:
                fate = "repeated" if digest in asked else "asked"
            tally[fate] += 1
            if fate != "asked":
                continue
            asked.add(digest)
            seen, _ = await client.observe(call)
            if isinstance(seen, NotSent):
                raise BillingAway("There is no billing to compare with: {why}.", why=seen.text)
            if made_up is not None and not isinstance(seen, Lost):
                status, headers, body = seen
                seen = status, headers, PeopleRemover(made_up, call.model).body(headers, body)
            for place, was, now in _compared(recorded, seen):
                where = f"{call.model}:{place}"
                if not any(fnmatchcase(where, pattern) for pattern in _VOLATILE):
                    yield Difference(recorded.number, named(recorded.path, recorded.form), place, was, now)


def read_only(recorded: Recorded, hidden_fields: Collection[str] = ()) -> Call | None:
    """The recorded request as a call, None unless every part of it is known to change nothing."""
    path = _PATH.fullmatch(recorded.path)
    form = [pair for pair in recorded.form if pair[0] not in hidden_fields and pair[0] not in SECRET_ARGUMENTS]
    given = dict(form)
    if path is None or len(given) != len(form):
        return None
    model = path[1]
    if model == "Version":
        return Call(model, (), form=(("get_version", "True"),)) if given == {"get_version": "True"} else None
    # A single method and nothing else: the effect of a second method on the first one's object is unknown.
    if not {"method1"} <= given.keys() <= {"method1", "arg1", "fields"} or given["method1"] not in _READS:
        return None
    arguments, fields = nested_json(given.get("arg1", "{}")), nested_json(given.get("fields", "[]"))
    if not isinstance(arguments, dict) or not isinstance(fields, list):
        return None
    return Call(model, (ChainStep(given["method1"], arguments),), tuple(map(str, fields)))


def differences(recorded: object, now: object, place: str = "") -> Iterator[tuple[str, object, object]]:
    """Differences of two JSON values: place, recorded, now.

    Objects in lists are paired by their `pk` where all have one. A `•••` in a recorded text matches anything.
    """
    if isinstance(recorded, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*recorded, *now)):
            inner = f"{place}.{name}" if place else str(name)
            yield from differences(recorded.get(name, msgspec.UNSET), now.get(name, msgspec.UNSET), inner)
    elif isinstance(recorded, list) and isinstance(now, list):
        ours, theirs = _by_key(recorded), _by_key(now)
        if ours is None or theirs is None:
            ours, theirs = ({str(number): item for number, item in enumerate(each)} for each in (recorded, now))
        for name in dict.fromkeys((*ours, *theirs)):
            yield from differences(ours.get(name, msgspec.UNSET), theirs.get(name, msgspec.UNSET), f"{place}[{name}]")
    elif not _equal(recorded, now):
        yield place, recorded, now


def _compared(recorded: Recorded, seen: Reply) -> Iterator[tuple[str, object, object]]:
    answer = recorded.answer
    if answer is None:
        return
    if isinstance(seen, Lost | NotSent):
        yield "answer", f"HTTP {answer.status}", seen.text
        return
    status, headers, body = seen
    if status != answer.status:
        yield "status", answer.status, status
    ours, theirs = _read(answer.body, answer.headers), _read(body, headers)
    yield from differences(ours, theirs, "" if isinstance(ours, dict) and isinstance(theirs, dict) else "body")


def _read(body: bytes, headers: Mapping[str, str]) -> object:
    try:
        text = body.decode(charset_of(headers))
    except (LookupError, UnicodeError):
        text = body.decode("utf-8", "replace")
    return _opened(text.removeprefix("\ufeff"))


def _by_key(items: list[object]) -> dict[str, object] | None:
    """The objects of a list by their `pk`, None unless each has one of its own."""
    found: dict[str, object] = {f"pk={item['pk']}": item for item in items if isinstance(item, dict) and "pk" in item}
    return found if len(found) == len(items) else None


def _equal(recorded: object, now: object) -> bool:
    if isinstance(recorded, str) and isinstance(now, str) and PLACEHOLDER in recorded:
        return meets_veiled(now, recorded)
    if recorded == PLACEHOLDER:
        return now is not msgspec.UNSET
    # True differs from 1, and "50.5" from 50.5; but 50 equals 50.0.
    if isinstance(recorded, bool) or isinstance(now, bool):
        return recorded is now
    return recorded == now


def _opened(value: object, room: int = _DEEPEST) -> object:
    """A value with the JSON in its texts read as well. Raises ValueError where it is nested too deeply."""
    if not room:
        raise ValueError
    match value:
        case dict():
            return {name: _opened(item, room - 1) for name, item in value.items()}
        case list():
            return [_opened(item, room - 1) for item in value]
        case str() if (inner := nested_json(value)) is not None:
            try:
                return _opened(inner, room - 1)
            except ValueError:
                return value
    return value


def _shown(value: object) -> str:
    if value is msgspec.UNSET:
        return said("not there")
    return readable(json_text(value), limit=_LONGEST)


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
