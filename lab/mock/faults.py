"""The faults of a mock billing: their kinds, which requests each of them hits, and plans as TOML files or flags.

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
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from billing.errors import SettingsError
from jobs.spec.toml_places import Toml
from lab.mock.facts import FACTS, MODELS
from texts.remedies import setting
from texts.said import Given, SaidError, said, wording

Choice = TypeVar("Choice")
Span: TypeAlias = tuple[int, int | None]
"""A range of request numbers, first and last; None for no end."""

CABINET: Final = "web_cabinet."


class FaultKind(StrEnum):
    """A kind of fault."""

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


DELAYS: Final[dict[FaultKind, float]] = {
    FaultKind.SILENCE: 300.0,
    FaultKind.SLOW: 2.0,
    FaultKind.TRICKLE: 2.0,
    FaultKind.UNAVAILABLE: 5.0,
    FaultKind.TOO_MANY: 5.0,
}
"""Seconds for a fault without a delay; for the last two, how far in the future the date of Retry-After is."""

_TEXTS: Final[dict[FaultKind, tuple[str, ...]]] = {
    FaultKind.BUSY: FACTS.errors.busy,
    FaultKind.STOP: FACTS.errors.system,
    FaultKind.CABINET_ERROR: ("Обещанный платеж уже подключен",),
}
SAYING: Final = frozenset(_TEXTS)
"""Kinds that answer with a text."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a plan; the fields have the names of the file, except for `since` and `until`.

    `since` and `until` (`from` and `to`) are in seconds since the plan was set, `delay` in seconds; `retry_after` is
    a number of seconds, or "date". `tries` makes a row busy this many times, however often it is drawn.
    """

    kind: FaultKind
    model: str | None = None
    method: str | None = None
    share: float = 1.0
    requests: tuple[Span, ...] = ()
    since: float = 0.0
    until: float | None = None
    times: int | None = None
    delay: float | None = None
    retry_after: str | None = None
    text: str | None = None
    tries: int | None = None

    def matches(self, model: str, methods: Sequence[str], *, writes: bool) -> bool:
        """Whether the filter matches a request, which then counts; `writes` tells whether it can change anything."""
        match self.kind:
            case FaultKind.REFUSE:
                return False
            # Answers of `web_cabinet.*` alone are a list that starts with a JSON string [I].
            case FaultKind.CABINET_ERROR if not (methods and methods[-1].startswith(CABINET)):
                return False
            case FaultKind.FOREIGN if self.method is None and not writes:
                return False
        return self.model in {None, model} and (self.method is None or self.method in methods)

    def open_at(self, elapsed: float) -> bool:
        return self.since <= elapsed and (self.until is None or elapsed < self.until)

    @property
    def seconds(self) -> float:
        """Its delay in seconds, or the default of its kind."""
        return DELAYS.get(self.kind, 0.0) if self.delay is None else self.delay

    def described(self) -> dict[str, object]:
        """The given values, with the names of the file."""
        usual = Fault(self.kind)
        given = {one.name: getattr(self, one.name) for one in fields(Fault)}
        given = {name: value for name, value in given.items() if value != getattr(usual, name)}
        if self.requests:
            given["requests"] = ",".join(
                str(first) if first == last else f"{first}-{last or ''}" for first, last in self.requests
            )
        names = {field: name for name, field in FIELDS.items()}
        return {"kind": self.kind.value} | {names.get(name, name): value for name, value in given.items()}


FIELDS: Final = {"from": "since", "to": "until"}
"""The fields of a fault that the file calls otherwise."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults in order: the first that hits a request is applied."""

    faults: tuple[Fault, ...] = ()
    seed: int = 1

    def meets(self, index: int, number: int) -> bool:
        """Whether the fault at `index` is drawn for its request of this number, from 1."""
        fault = self.faults[index]
        if fault.requests and not any(first <= number <= (last or number) for first, last in fault.requests):
            return False
        return fault.share >= 1 or chance(self.seed, index, number) < fault.share

    def text(self, index: int, number: int) -> str:
        """The text of the fault at `index` for its request of this number: its own, or one of the catalogue's."""
        fault = self.faults[index]
        return fault.text or pick(self.seed, index, number, _TEXTS[fault.kind])


def chance(seed: int, index: int, number: int, salt: str = "") -> float:
    """A uniformly distributed number from 0 to 1 that depends only on the arguments."""
    digest = hashlib.blake2b(f"{seed}/{index}/{number}/{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def pick(seed: int, index: int, number: int, options: Sequence[Choice]) -> Choice:
    """One of the options, chosen in the same way; independent of whether the fault is drawn."""
    return options[int(chance(seed, index, number, "pick") * len(options)) % len(options)]


# ---- plans --------------------------------------------------------------------------------------------------------


class PlanError(SettingsError):
    """Raised for an invalid fault plan; its text names the file, the line if it is known, and the reason."""


class _Wrong(SaidError, ValueError):
    """A reason, and the way to the key that it concerns."""

    def __init__(self, reason: str, /, *way: str | int, **values: Given) -> None:
        super().__init__(reason, **values)
        self.way = way


_TOP: Final = ("seed", "fault")
PLAN_FILE: Final = ".toml"
"""The suffix by which `--fault` tells a plan's file from a kind."""


def read_plan(text: str, name: str = "the plan") -> FaultPlan:
    """The plan of a TOML text; `name` is used in the messages. An empty text is a plan without faults.

    Raises `PlanError`.
    """
    try:
        toml = Toml(text)
    except ValueError as error:
        raise PlanError("{name}: this is not TOML: {error}", name=name, error=error) from error
    try:
        return _plan(toml.content)
    except _Wrong as error:
        raise PlanError(
            "{name}{place}: {error}", name=name, place=f":{toml.place(*error.way).line}", error=error
        ) from error


def _plan(whole: Mapping[str, object]) -> FaultPlan:
    for key in whole:
        if key not in _TOP:
            raise _Wrong("a plan has no {key}{hint}", key, key=repr(key), hint=nearest(key, _TOP))
    seed, entries = whole.get("seed", 1), whole.get("fault", [])
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise _Wrong("seed: {seed} is not a whole number", "seed", seed=repr(seed))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _Wrong(said("write each fault under a heading [[fault]]"), "fault")
    faults: list[Fault] = []
    for index, entry in enumerate(entries):
        try:
            faults.append(_fault(entry))
        except _Wrong as error:
            way = ("fault", index, *error.way)
            raise _Wrong("fault {index}: {error}", *way, index=index + 1, error=error) from error
    return FaultPlan(tuple(faults), seed)


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
            reason = error.strerror or str(error) if isinstance(error, OSError) else said("it is not UTF-8")
            raise PlanError("the plan {path} cannot be read: {reason}", path=path, reason=reason) from error
        read_plan(text, str(path))
    for word in words:
        if not word.endswith(PLAN_FILE):
            kind, _, share = word.partition(":")
            try:
                fault = _fault({"kind": kind, "share": share} if ":" in word else {"kind": kind})
            except _Wrong as error:
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


# ---- one fault of a plan ------------------------------------------------------------------------------------------

_KINDS: Final = tuple(kind.value for kind in FaultKind)
_OF_MODELS: Final = (*MODELS, "Version")
_WAITS: Final = frozenset({FaultKind.UNAVAILABLE, FaultKind.TOO_MANY})
_TAKES: Final[Mapping[str, frozenset[FaultKind]]] = {
    "delay": frozenset({FaultKind.QUEUED, FaultKind.SLOW, FaultKind.TRICKLE, FaultKind.SILENCE}) | _WAITS,
    "retry_after": _WAITS,
    "text": SAYING,
    "tries": frozenset({FaultKind.BUSY}),
}
"""Keys that only some kinds accept."""
_SPAN: Final = re.compile(r"(\d+)(?:\s*(-)\s*(\d*))?")


def _fault(entry: Mapping[str, object]) -> Fault:
    values: dict[str, Any] = {}  # each value has the type of its reader
    for key in entry:
        if key not in _READ:
            raise _Wrong("it has no {key}{hint}", key, key=repr(key), hint=nearest(key, _READ))
    if "kind" not in entry:
        raise _Wrong(said("it needs a kind"))
    if entry["kind"] not in _KINDS:
        wrong = str(entry["kind"])
        raise _Wrong("there is no kind {kind}{hint}", "kind", kind=repr(wrong), hint=nearest(wrong, _KINDS))
    kind = FaultKind(str(entry["kind"]))
    for key, value in entry.items():
        if kind is FaultKind.REFUSE and key not in {"kind", "from", "to"}:
            raise _Wrong(
                "a port is refused to everybody: {kind} takes `from` and `to`, and no {key}",
                key,
                kind=kind,
                key=repr(key),
            )
        if kind not in _TAKES.get(key, FaultKind):
            kinds = tuple(sorted(_TAKES[key]))
            raise _Wrong("{kind} takes no {key}; it is for {kinds}", key, kind=kind, key=repr(key), kinds=kinds)
        read, holds, why = _READ[key]
        try:
            values[FIELDS.get(key, key)] = found = read(value)
            if not holds(found):
                hint = nearest(str(value), _OF_MODELS) if key == "model" else ""
                raise _Wrong(why, value=repr(value), hint=hint)
        except ValueError as error:
            raise _Wrong("{key}: {error}", key, key=key, error=error) from error
    fault = Fault(**values)
    if fault.until is not None and fault.until <= fault.since:
        raise _Wrong(said("to: it lies before from: the span is empty"), "to")
    if kind is FaultKind.CABINET_ERROR and fault.method and not fault.method.startswith(CABINET):
        raise _Wrong(
            "method: only answers of {cabinet}* hold a JSON string, and {method} is none of these",
            "method",
            cabinet=CABINET,
            method=repr(fault.method),
        )
    if kind in _WAITS and fault.delay is not None and fault.retry_after != "date":
        raise _Wrong('delay: {kind} takes it with retry_after = "date" only', "delay", kind=kind)
    return fault


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _word(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _number(value: object) -> float:
    try:
        number = (
            float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else float("nan")
        )
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise _Wrong("{value} is not a number", value=repr(value))
    return number


def _spans(value: object) -> tuple[Span, ...]:
    spans: list[Span] = []
    for part in _word(value).split(","):
        found = _SPAN.fullmatch(part.strip())
        if found is None:
            raise _Wrong('{value} are not numbers of requests, as "10-20", "5,7" or "100-"', value=repr(value))
        first = int(found[1])
        spans.append((first, first if found[2] is None else int(found[3]) if found[3] else None))
    return tuple(spans)


_IS_TEXT: Final = (_text, str.strip, wording("{value} is not a text"))
_FROM_ONE: Final = (_whole, lambda number: number >= 1, wording("{value} is not a whole number from 1"))
_A_WHILE: Final = (_number, lambda seconds: seconds > 0, wording("{value} is not a span of seconds above 0"))
_READ: Final[Mapping[str, tuple[Callable[[object], Any], Callable[[Any], object], str]]] = {
    "kind": (lambda value: FaultKind(str(value)), lambda _: True, ""),
    "model": (_text, _OF_MODELS.__contains__, wording("there is no model {value}{hint}")),
    "method": _IS_TEXT,
    "share": (_number, lambda share: 0 < share <= 1, wording("{value} is not a share: above 0, and at most 1")),
    "requests": (
        _spans,
        lambda spans: all(1 <= first <= (first if last is None else last) for first, last in spans),
        wording("{value}: numbers begin with 1 and go up"),
    ),
    "from": (_number, lambda seconds: seconds >= 0, wording("{value} lies before the beginning")),
    "to": _A_WHILE,
    "times": _FROM_ONE,
    "delay": _A_WHILE,
    "retry_after": (
        _word,
        lambda text: text == "date" or (text.isascii() and text.isdigit()),
        wording('{value} is neither whole seconds nor "date"'),
    ),
    "text": _IS_TEXT,
    "tries": _FROM_ONE,
}
"""By key: what reads its value, what holds of that, and what it is refused with where that does not hold."""
