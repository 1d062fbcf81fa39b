"""The faults of the lab: their kinds, plans of them as TOML files or flags, and what fails requests by a plan.

    seed = 1

    [[fault]]
    kind = "reset-after-effect"
    model = "FinanceOperations"   # only these requests; also method = "objects.create"
    share = 0.05                  # of them, drawn from the seed and the request's number
    requests = "10-20"            # and only these numbers, from 1: "10-20", "5,7", "100-"
    from = 5.0                    # and only in this span, in seconds since the plan was set
    to = 10.0
    times = 3                     # at most so often

| key | for |
|---|---|
| `delay`, seconds | queued, slow, trickle, effect-then-silence; with a date also 503 and 429 |
| `retry_after`, seconds or "date" | 503, 429; without it there is no such header |
| `text` | busy, stop, cabinet-error; otherwise one of the catalogue |
| `tries` | busy: a row drawn gets the text so many times, then none |
| `from`, `to` only | refuse |

Entries that could never have an effect are refused as well. Whether a fault hits a request is a pure function of the
plan's seed, the fault's position in the plan and the request's number among those that its filter matches: the same
plan and requests give the same failures. Time spans and `times` are further limits; their state is in the injector.

Whatever answers in the lab fails by an `Injector`: the mock billing, a billing of a fleet, and the proxy before a
billing, whose kinds no plan of a file has.
"""

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from email.utils import formatdate
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, TypeAlias, TypeVar

import anyio
import msgspec
from aiohttp import web
from msgspec.structs import replace
from yarl import URL

from billing.errors import SettingsError
from jobs.spec.toml_places import KeyRefused, Toml, check_known
from lab.mock.chain import Chain
from lab.mock.facts import FACTS, MODELS
from lab.mock.port import reset
from texts.said import reason_of, said, setting

Choice = TypeVar("Choice")
Span: TypeAlias = tuple[int, int | None]
"""A range of request numbers, first and last; None for no end."""


class FaultKind(StrEnum):
    """A kind of fault: of a plan, of the crash lab's proxy, or of both."""

    REFUSE = "refuse"  # the port is closed for a time span: connections are refused
    RESET_BEFORE = "reset-before-effect"  # the connection is reset once the request has come, before any effect
    RESET_AFTER = "reset-after-effect"  # the connection is reset in place of the answer
    SILENCE = "effect-then-silence"  # no answer for `delay` seconds, then the connection is reset
    # The request waits in the billing's queue, `delay` seconds or 10 to 50, before its effect and its answer.
    QUEUED = "queued"
    SLOW = "slow"  # the answer comes `delay` seconds after the effect
    TRICKLE = "trickle"  # the answer comes byte by byte, the last one `delay` seconds after the effect
    HALF = "half-answer"  # the connection is closed after half of the answer
    CRASH_BEFORE = "500-before-effect"  # the page of a crash, before any effect
    CRASH_AFTER = "500-after-effect"  # the page of a crash after the effect
    BAD_GATEWAY = "502-after-effect"  # a proxy's page for a broken connection to the billing, after the effect
    GATEWAY_TIMEOUT = "504-after-effect"  # a proxy's page for a time-out of the billing, after the effect
    UNAVAILABLE = "503"  # the page of an overloaded server, with or without Retry-After; no effect
    TOO_MANY = "429"  # too many requests, with or without Retry-After; no effect
    BUSY = "busy"  # a text of the catalogue that says to come back later; no effect
    STOP = "stop"  # a text of the catalogue that concerns the whole system; no effect
    CABINET_ERROR = "cabinet-error"  # an `error` within the JSON string of a `web_cabinet` answer; no effect
    INVALID_JSON = "invalid-json-after-effect"  # HTTP 200 with an answer whose JSON is cut off
    OTHER_ENCODING = "other-encoding"  # the answer in CP1251, declared as UTF-8 or not declared
    # The answer to another request that succeeded. Writes only, unless the fault names a method.
    FOREIGN = "foreign-answer"
    REDIRECT_BEFORE = "redirect-before-effect"  # HTTP 307 to the same address, before any effect
    REDIRECT_AFTER = "redirect-after-effect"  # HTTP 307 to the same address, after the effect
    # By the crash lab's proxy alone, and by no plan.
    REQUEST_HELD = "held-request"  # the request is passed on late, even after the client has given up
    ANSWER_HELD = "delayed-answer"  # the answer is passed on late
    ANSWER_TWICE = "doubled-answer"  # the answer comes again before that to the next request of the connection
    NEXT_SWALLOWED = "swallowed-request"  # it comes in place of that, and the next request never arrives
    GATEWAY_THEN_ANSWER = "504-then-answer"  # HTTP 504 at once, and the answer as in the one above
    WRONG_BAD_REQUEST = "wrong-400"  # HTTP 400 in place of the answer to a request that has had its effect
    WRONG_TOO_MANY = "wrong-429"  # HTTP 429 in its place
    WRONG_NOT_NOW = "wrong-503"  # HTTP 503 with `Retry-After` in its place

    @property
    def has_effect(self) -> bool:
        """Whether a request that it hits has its effect, as far as the fault lets it come."""
        return not (self.value.endswith("-before-effect") or self in _TEXTS or self in _DATED)


PLANNED: Final = tuple(FaultKind)[: tuple(FaultKind).index(FaultKind.REQUEST_HELD)]
"""The kinds that a plan of a file can have."""
MISPLACED: Final = tuple(FaultKind)[len(PLANNED) : tuple(FaultKind).index(FaultKind.WRONG_BAD_REQUEST)]
"""What a load balancer does to requests and answers."""
WRONG: Final = tuple(FaultKind)[len(PLANNED) + len(MISPLACED) :]
"""Faults in which the proxy speaks in the billing's place. A reading that is refused concerns no row."""

_DELAYS: Final = {FaultKind.SILENCE: 300.0, FaultKind.UNAVAILABLE: 5.0, FaultKind.TOO_MANY: 5.0}
"""Seconds where no delay is given and it is not 2; for the last two, how far ahead the date of Retry-After is."""
_TEXTS: Final[Mapping[FaultKind, tuple[str, ...]]] = {
    FaultKind.BUSY: FACTS.errors.busy,
    FaultKind.STOP: FACTS.errors.system,
    FaultKind.CABINET_ERROR: ("Обещанный платеж уже подключен",),
}
_CABINET: Final = "web_cabinet."

# ---- plans --------------------------------------------------------------------------------------------------------

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\S")]


class Fault(msgspec.Struct, frozen=True, omit_defaults=True, rename={"since": "from", "until": "to"}):
    """One entry of a plan."""

    kind: FaultKind
    model: str | None = None
    method: _Text | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    requests: tuple[Span, ...] = ()
    since: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0
    until: _Seconds | None = None
    times: _Count | None = None
    delay: _Seconds | None = None
    retry_after: Annotated[str, msgspec.Meta(pattern="^([0-9]+|date)$")] | None = None
    text: _Text | None = None
    tries: _Count | None = None

    def matches(self, model: str, methods: Sequence[str], *, writes: bool) -> bool:
        """Whether the filter matches a request, which then counts; `writes` tells whether it can change anything."""
        match self.kind:
            case FaultKind.REFUSE:
                return False
            # Answers of `web_cabinet.*` alone are a list that starts with a JSON string [I].
            case FaultKind.CABINET_ERROR if not (methods and methods[-1].startswith(_CABINET)):
                return False
            case FaultKind.FOREIGN if self.method is None and not writes:
                return False
        return self.model in {None, model} and (self.method is None or self.method in methods)

    def open_at(self, elapsed: float) -> bool:
        return self.since <= elapsed and (self.until is None or elapsed < self.until)

    @property
    def seconds(self) -> float:
        return _DELAYS.get(self.kind, 2.0) if self.delay is None else self.delay

    def described(self) -> dict[str, object]:
        """The given values, with the names of the file."""
        requests = [str(first) if first == last else f"{first}-{last or ''}" for first, last in self.requests]
        given: dict[str, object] = msgspec.to_builtins(self)
        given |= {"requests": ",".join(requests)} if requests else {}
        return {key: value for key, value in given.items() if value != {"from": 0, "share": 1}.get(key)}


class FaultPlan(msgspec.Struct, frozen=True):
    """Faults in order: the first that hits a request is applied."""

    faults: tuple[Fault, ...] = ()
    seed: int = 1

    def meets(self, index: int, number: int) -> bool:
        """Whether the fault at `index` is drawn for its request of this number, from 1."""
        fault = self.faults[index]
        if fault.requests and not any(first <= number <= (last or number) for first, last in fault.requests):
            return False
        return fault.share >= 1 or chance(self.seed, index, number) < fault.share

    def pick(self, index: int, number: int, options: Sequence[Choice]) -> Choice:
        """One of the options, chosen in the same way; independent of whether the fault is drawn."""
        return options[int(chance(self.seed, index, number, "pick") * len(options)) % len(options)]

    def text(self, index: int, number: int) -> str:
        """The text of the fault at `index` for its request of this number: its own, or one of the catalogue's."""
        fault = self.faults[index]
        return fault.text or self.pick(index, number, _TEXTS[fault.kind])


def chance(seed: int, index: int, number: int, salt: str = "") -> float:
    """A uniformly distributed number from 0 to 1 that depends only on the arguments."""
    digest = hashlib.blake2b(f"{seed}/{index}/{number}/{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


PLAN_FILE: Final = ".toml"
"""The suffix by which `--fault` tells a plan's file from a kind."""

_OF_MODELS: Final = (*MODELS, "Version")
_OF_ALL: Final = ("kind", "model", "method", "share", "requests", "from", "to", "times")
_DATED: Final = frozenset({FaultKind.UNAVAILABLE, FaultKind.TOO_MANY})
_KEYS: Final[Mapping[FaultKind, tuple[str, ...]]] = {
    **dict.fromkeys((FaultKind.QUEUED, FaultKind.SLOW, FaultKind.TRICKLE, FaultKind.SILENCE), (*_OF_ALL, "delay")),
    **dict.fromkeys(_DATED, (*_OF_ALL, "retry_after", "delay")),
    **dict.fromkeys((FaultKind.STOP, FaultKind.CABINET_ERROR), (*_OF_ALL, "text")),
    FaultKind.BUSY: (*_OF_ALL, "text", "tries"),
    FaultKind.REFUSE: ("kind", "from", "to"),
}
"""The keys of an entry, by kinds that take others than all do."""
_FORMS: Final[Mapping[str, str]] = {
    "share": said("a share: above 0, and at most 1"),
    "requests": said('a list of requests: numbers from 1 that go up, as "10-20", "5,7" or "100-"'),
    "from": said("a number of seconds from 0"),
    **dict.fromkeys(("to", "delay"), said("a number of seconds above 0")),
    **dict.fromkeys(("times", "tries"), said("a whole number from 1")),
    "retry_after": said('whole seconds or "date"'),
}
"""What a value has to be, by key; all others are texts."""
_SPAN: Final = re.compile(r"0*([1-9]\d{0,17})(?:\s*(-)\s*(\d{0,18}))?")


class PlanError(SettingsError):
    """Raised for an invalid fault plan; its text names the file, the line if it is known, and the reason."""


def read_plan(text: str, name: str = "the plan") -> FaultPlan:
    """The plan of a TOML text; `name` is used in the messages. An empty text is a plan without faults.

    Raises `PlanError`.
    """
    try:
        toml = Toml(text)
    except ValueError as error:
        raise PlanError("{name}: this is not TOML: {error}", name=name, error=error) from error
    try:
        check_known((), toml.content, ("seed", "fault"))
        seed, entries = toml.content.get("seed", 1), toml.content.get("fault", [])
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise _wrong((), "seed", seed, said("a whole number"))
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise _wrong((), "fault", entries, said("a list: write each fault under a heading [[fault]]"))
        return FaultPlan(tuple(_fault(entry, ("fault", index)) for index, entry in enumerate(entries)), seed)
    except KeyRefused as error:
        raise PlanError(
            "{name}{place}: {error}", name=name, place=f":{toml.place(*error.way).line}", error=error
        ) from error


def plan_text(words: Sequence[str]) -> str:
    """The plan of all words of `--fault`, as TOML: kinds as `KIND` or `KIND:SHARE`, or the file of a plan.

    Raises `PlanError`, also when the file cannot be read.
    """
    files = [Path(word) for word in words if word.endswith(PLAN_FILE)]
    if len(files) > 1:
        raise PlanError(
            "{option}: one plan is given already, {file}", option=setting("fault", str(files[1])), file=files[0]
        )
    text = ""
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else said("it is not UTF-8")
            raise PlanError("the plan {path} cannot be read: {reason}", path=path, reason=reason) from error
        read_plan(text, str(path))
    for word in words:
        if not word.endswith(PLAN_FILE):
            kind, colon, share = word.partition(":")
            try:
                fault = _fault({"kind": kind, "share": share} if colon else {"kind": kind})
            except KeyRefused as error:
                raise PlanError("{option}: {error}", option=setting("fault", word), error=error) from error
            text += f'\n[[fault]]\nkind = "{fault.kind.value}"\nshare = {fault.share}\n'
    return text


def plan_of_flags(words: Sequence[str], seed: int | None) -> FaultPlan:
    """The plan of all words of `--fault`, and another seed if one is given; raises `PlanError`."""
    plan = read_plan(plan_text(words), "--fault")
    return plan if seed is None else replace(plan, seed=seed)


def nearest(word: str, known: Collection[str]) -> str:
    """The nearest known word as the end of a sentence; all of them where none is near."""
    by_plain = {each.casefold(): each for each in known}
    if found := get_close_matches(word.casefold(), by_plain, n=1, cutoff=0.4):
        return said(" (did you mean {word!r}?)", word=by_plain[found[0]])
    return said("; there are: {known}", known=tuple(known))


def _wrong(way: tuple[str | int, ...], key: str, value: object, form: str, hint: str = "") -> KeyRefused:
    return KeyRefused(
        "{key}: {value} is not {form}{hint}", (*way, key), key=key, value=repr(value), form=form, hint=hint
    )


def _fault(entry: Mapping[str, object], way: tuple[str | int, ...] = ()) -> Fault:
    word = str(entry.get("kind", ""))
    if word not in PLANNED:
        hint = nearest(word, PLANNED)
        raise KeyRefused("there is no kind {kind}{hint}", (*way, "kind"), kind=repr(word), hint=hint)
    kind = FaultKind(word)
    check_known(way, entry, Fault.__struct_encode_fields__)
    keys = _KEYS.get(kind, _OF_ALL)
    if unfit := [key for key in entry if key not in keys]:
        raise KeyRefused(
            "{kind} takes no {key}; it takes {keys}", (*way, unfit[0]), kind=kind, key=unfit[0], keys=keys
        )
    if (model := entry.get("model", "Version")) not in _OF_MODELS:
        raise _wrong(way, "model", model, said("a model"), nearest(str(model), _OF_MODELS))
    read = {**entry}
    if isinstance(entry.get("retry_after"), int):
        read["retry_after"] = str(entry["retry_after"])
    if "requests" in entry:
        parts = [_SPAN.fullmatch(part.strip()) for part in str(entry["requests"]).split(",")]
        spans = [(int(one[1]), int(one[3]) if one[3] else None if one[2] else int(one[1])) for one in parts if one]
        if len(spans) < len(parts) or any(last is not None and last < first for first, last in spans):
            raise _wrong(way, "requests", entry["requests"], _FORMS["requests"])
        read["requests"] = spans
    try:
        fault = msgspec.convert(read, Fault, strict=False)
    except msgspec.ValidationError as error:
        key = str(error).rstrip("`").partition(" - at `$.")[2]
        raise _wrong(way, key, entry[key], _FORMS.get(key, said("a text"))) from error
    if fault.until is not None and fault.until <= fault.since:
        raise KeyRefused(said("to: it lies before from: the span is empty"), (*way, "to"))
    if kind is FaultKind.CABINET_ERROR and fault.method and not fault.method.startswith(_CABINET):
        raise KeyRefused("method: only answers of {cabinet}* hold a JSON string", (*way, "method"), cabinet=_CABINET)
    if kind in _DATED and fault.delay is not None and fault.retry_after != "date":
        raise KeyRefused('delay: {kind} takes it with retry_after = "date" only', (*way, "delay"), kind=kind)
    return fault


# ---- requests and answers -----------------------------------------------------------------------------------------


def form_of(body: bytes) -> dict[str, str]:
    """The fields of a request, as tolerant as the real one: invalid pairs are skipped, undecodable bytes replaced."""
    return dict(URL.build(query_string=body.decode("utf-8", "replace"), encoded=True).query)


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """An answer: JSON, or a page of a crash when `status` is 500; `headers` are those besides the usual one."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


_NO_OTHER: Final = MockAnswer(200, b'{"call":"get_version","result":{"version":"0","time":"2000-01-01 00:00:00"}}')


def refused(call: str, error: str, status: int = 200, *, lists: bool = False) -> MockAnswer:
    """The answer to a refused call: the error is in the same object, with HTTP 200 [D, ?].

    Of an answer that would have been a list it is a list of texts, of which the last one is the message [I].
    """
    said = ["Traceback (most recent call last)", error] if lists else error
    return MockAnswer(status, msgspec.json.encode({"call": call, "error": said}))


def respond(answer: MockAnswer) -> web.Response:
    kind = "text/html" if answer.body.startswith(b"<") else "application/json"
    headers = {"Content-Type": f"{kind}; charset=utf-8", **answer.headers}
    return web.Response(body=answer.body, status=answer.status, headers=headers)


def page(status: int, headers: Mapping[str, str] | None = None) -> MockAnswer:
    """A page that a server or a proxy generates itself, or that of a crash."""
    text = _TITLES.get(status) or f"{status} {HTTPStatus(status).phrase}"
    body = f"<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"
    return MockAnswer(status, body.encode(), headers or {})


_TITLES: Final = {500: "Server Error (500)", 504: "504 Gateway Time-out"}
"""Django's own, and nginx's."""
CRASH: Final = page(500)


# ---- the injector -------------------------------------------------------------------------------------------------

CarryOut: TypeAlias = Callable[[], Coroutine[None, None, MockAnswer] | asyncio.Future[MockAnswer]]
PassOn: TypeAlias = Callable[[], Awaitable[web.StreamResponse]]

_LATE: Final = frozenset({FaultKind.ANSWER_TWICE, FaultKind.NEXT_SWALLOWED, FaultKind.GATEWAY_THEN_ANSWER})
_BETWEEN_LOOKS: Final = 0.01
_STATUS: Final = re.compile(r"[45]\d\d")
"""In the name of a kind that answers with a page."""
_SMALLEST_GAP: Final = 0.001
"""Seconds between the pieces of a trickle: an event loop's clock is no finer."""


class Injector:
    """The fault plan of one server and its counts; used only in the server's event loop.

    The plan may be replaced at any time; request numbers and time spans then start anew.
    """

    def __init__(self, plan: FaultPlan, *, list_errors: bool = True) -> None:
        self._list_errors = list_errors
        self._clock: Callable[[], float] = time.monotonic
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self.injected: Counter[str] = Counter()
        """How often each kind was injected since the server began."""
        self._last: tuple[bytes, MockAnswer] = b"", _NO_OTHER
        # By connection: the answer that comes with the next request, and the timer of one that comes at last without.
        self._late: dict[object, tuple[asyncio.Future[MockAnswer], asyncio.TimerHandle | None]] = {}
        self.set(plan)

    def set(self, plan: FaultPlan) -> None:
        """Replace the plan; the totals are kept."""
        self.plan = plan
        self._since = self._clock()
        # By the place of a fault: requests that its filter matched, and how often it was injected.
        self._matched, self._times = Counter[int](), Counter[int]()
        self._busy: dict[tuple[int, bytes], int] = {}
        self._changed.set()

    def report(self) -> dict[str, object]:
        return {
            "seed": self.plan.seed,
            "elapsed": round(self._clock() - self._since, 3),
            "faults": [
                fault.described() | {"matched": self._matched[index], "injected": self._times[index]}
                for index, fault in enumerate(self.plan.faults)
            ],
            "injected": dict(sorted(self.injected.items())),
        }

    def end(self) -> None:
        self._ended.set()

    async def serve(
        self, request: web.Request, carry_out: CarryOut, pass_on: PassOn | None = None
    ) -> web.StreamResponse:
        """Answer a request to a model, or fail it; `carry_out` applies its effect and gives its answer.

        One that is not disturbed is answered by `pass_on`, where it is given.
        """
        body = await request.read()
        form = form_of(body)
        methods = ["get_version"] if form.get("get_version") else []
        while method := form.get(f"method{len(methods) + 1}"):
            methods.append(method)
        chain = Chain(request.match_info["model"], tuple((method, {}) for method in methods))
        plan, drawn = self.plan, self._draw(chain, methods, body)
        if (late := await self._late_for(request)) is not None:
            return late
        if drawn is None and pass_on is not None:
            return await pass_on()
        if drawn is None:
            answer = await carry_out()
            # A failure would be taken as the other request's own.
            if answer.status == web.HTTPOk.status_code and b'"error"' not in answer.body:
                self._last = body, answer
            return respond(answer)
        index, number = drawn
        self._count(index)
        fault = plan.faults[index]
        if fault.kind in _LATE:
            return await self._answer_late(request, fault, carry_out)
        if fault.kind in {FaultKind.QUEUED, FaultKind.REQUEST_HELD}:
            least, most = FACTS.shortest_queue.value, FACTS.longest_queue.value
            share = chance(plan.seed, index, number, "queue")
            await self._wait(fault.delay or least + share * (most - least))
        answer = await carry_out() if fault.kind.has_effect else _NO_OTHER
        match fault.kind:
            case FaultKind.BUSY | FaultKind.STOP:
                answer = refused("", plan.text(index, number), lists=self._list_errors and chain.lists)
            case FaultKind.CABINET_ERROR:
                inner = msgspec.json.encode({"error": plan.text(index, number)}).decode()
                answer = MockAnswer(200, msgspec.json.encode({"call": "", "result": [inner]}))
            case FaultKind.FOREIGN:
                asked, other = self._last
                answer = other if asked != body else _NO_OTHER
            case FaultKind.OTHER_ENCODING:
                kind = plan.pick(index, number, ("application/json", "application/json; charset=utf-8"))
                body = answer.body.decode("utf-8", "replace").encode("cp1251", "replace")
                return web.Response(body=body, status=answer.status, headers={"Content-Type": kind})
            case FaultKind.TRICKLE:
                return await self._trickle(request, fault, answer)
            case FaultKind.SLOW | FaultKind.ANSWER_HELD:
                await self._wait(fault.seconds)
            case FaultKind.SILENCE:
                with anyio.move_on_after(fault.seconds):
                    while request.transport is not None and not self._ended.is_set():  # noqa: ASYNC110 - aiohttp tells nobody of a close
                        await asyncio.sleep(_BETWEEN_LOOKS)
        return _failed(request, fault, answer)

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
        self.injected[self.plan.faults[index].kind.value] += 1

    def _draw(self, chain: Chain, methods: Sequence[str], body: bytes) -> tuple[int, int] | None:
        """The first fault that is drawn for a request, and the number of the request among those of the fault.

        The later ones count the request all the same.
        """
        elapsed = self._clock() - self._since
        found: tuple[int, int] | None = None
        for index, fault in enumerate(self.plan.faults):
            if not fault.matches(chain.model, methods, writes=chain.writes):
                continue
            self._matched[index] += 1
            number = self._matched[index]
            used_up = fault.times is not None and self._times[index] >= fault.times
            if found is not None or used_up or not fault.open_at(elapsed):
                continue
            met = self.plan.meets(index, number) and (chain.writes or fault.kind not in WRONG)
            if fault.tries is not None:
                # A row is still busy: the draw at its first request holds for the following ones.
                row = index, hashlib.blake2b(body, key=chain.model.encode()).digest()
                left = self._busy.setdefault(row, fault.tries if met else 0)
                self._busy[row] = max(left - 1, 0)
                met = left > 0
            if met:
                found = index, number
        return found

    async def _late_for(self, request: web.Request) -> web.Response | None:
        """The late answer in place of a request's own, which then never arrives; one that comes twice is sent."""
        late, timer = self._late.pop(request.transport, (None, None))
        if late is None:
            return None
        if timer is None:
            return respond(await late)
        timer.cancel()
        _write(request.transport, await late)
        return None

    async def _answer_late(self, request: web.Request, fault: Fault, carry_out: CarryOut) -> web.Response:
        """Answer a request, and once more when the next one of its connection has come."""
        late, transport = asyncio.ensure_future(carry_out()), request.transport
        # Where no request follows, nobody asks what has become of it.
        late.add_done_callback(lambda done: done.cancelled() or done.exception())
        if fault.kind is FaultKind.GATEWAY_THEN_ANSWER:
            self._late[transport] = late, None
            return respond(page(HTTPStatus.GATEWAY_TIMEOUT))
        answer, timer = await asyncio.shield(late), None
        if fault.kind is FaultKind.ANSWER_TWICE:

            def without_request() -> None:
                del self._late[transport]
                _write(transport, answer)

            timer = asyncio.get_running_loop().call_later(fault.seconds, without_request)
        self._late[transport] = late, timer
        return respond(answer)

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


def _failed(request: web.Request, fault: Fault, answer: MockAnswer) -> web.Response:
    """What comes of an answer by a fault that draws nothing; the answer itself where the fault was its delay."""
    if (status := _STATUS.search(fault.kind)) is not None:
        # To come back later, with or without a header.
        after = "1" if fault.kind is FaultKind.WRONG_NOT_NOW else fault.retry_after
        if after == "date":
            after = formatdate(time.time() + fault.seconds, usegmt=True)
        return respond(page(int(status[0]), {"Retry-After": after} if after else None))
    match fault.kind:
        case FaultKind.RESET_BEFORE | FaultKind.RESET_AFTER | FaultKind.SILENCE:
            reset(request.transport)
        case FaultKind.REDIRECT_BEFORE | FaultKind.REDIRECT_AFTER:
            return web.Response(status=307, headers={"Location": str(request.url)})
        case FaultKind.INVALID_JSON:
            return respond(MockAnswer(200, answer.body[: max(1, len(answer.body) * 2 // 3)]))
        case FaultKind.HALF if request.transport is not None:
            # The head announces the whole body, half of it is sent, and the connection is closed.
            _write(request.transport, answer, len(answer.body) // 2)
            # Data written before is still sent.
            request.transport.close()
    return respond(answer)


def _write(transport: asyncio.WriteTransport | None, answer: MockAnswer, size: int | None = None) -> None:
    """Write an answer past the server, or so many bytes of its body, where the connection is still there."""
    if transport is not None and not transport.is_closing():
        head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: application/json\r\n"
        transport.write(f"{head}Content-Length: {len(answer.body)}\r\n\r\n".encode() + answer.body[:size])
