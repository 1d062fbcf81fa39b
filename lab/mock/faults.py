"""The kinds of fault of a mock billing, and which requests each of them hits.

Whether a fault hits a request is a pure function of the plan's seed, the fault's position in the plan and the
request's number among those that its filter matches: the same plan and requests give the same failures. Time spans
and `times` are further limits; their state is in `fault_injector`.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar

from lab.mock.facts import FACTS

Choice = TypeVar("Choice")
Span: TypeAlias = tuple[int, int | None]
"""A range of request numbers, first and last; None for no end."""

CABINET: Final = "web_cabinet."


class FaultKind(StrEnum):
    """A kind of fault."""

    REFUSE = "refuse"
    """The port is closed for a time span: connections are refused."""
    RESET_BEFORE = "reset-before-effect"
    """The connection is reset once the request has come, before any effect."""
    RESET_AFTER = "reset-after-effect"
    """The connection is reset in place of the answer."""
    SILENCE = "effect-then-silence"
    """No answer for `delay` seconds, then the connection is reset."""
    QUEUED = "queued"
    """The request waits in the billing's queue, `delay` seconds or 10 to 50, before its effect and its answer."""
    SLOW = "slow"
    """The answer comes `delay` seconds after the effect."""
    TRICKLE = "trickle"
    """The answer comes byte by byte, the last one `delay` seconds after the effect."""
    HALF = "half-answer"
    """The connection is closed after half of the answer."""
    CRASH_BEFORE = "500-before-effect"
    """The page of a crash, before any effect."""
    CRASH_AFTER = "500-after-effect"
    """The page of a crash after the effect."""
    BAD_GATEWAY = "502-after-effect"
    """A proxy's page for a broken connection to the billing, after the effect."""
    GATEWAY_TIMEOUT = "504-after-effect"
    """A proxy's page for a time-out of the billing, after the effect."""
    UNAVAILABLE = "503"
    """The page of an overloaded server, with or without Retry-After; no effect."""
    TOO_MANY = "429"
    """Too many requests, with or without Retry-After; no effect."""
    BUSY = "busy"
    """A text of the catalogue that says to come back later; no effect."""
    STOP = "stop"
    """A text of the catalogue that concerns the whole system; no effect."""
    CABINET_ERROR = "cabinet-error"
    """An `error` within the JSON string of a `web_cabinet` answer; no effect."""
    INVALID_JSON = "invalid-json-after-effect"
    """HTTP 200 with an answer whose JSON is cut off."""
    OTHER_ENCODING = "other-encoding"
    """The answer in CP1251, declared as UTF-8 or not declared."""
    FOREIGN = "foreign-answer"
    """The answer to another request that succeeded. Writes only, unless the fault names a method."""
    REDIRECT_BEFORE = "redirect-before-effect"
    """HTTP 307 to the same address, before any effect."""
    REDIRECT_AFTER = "redirect-after-effect"
    """HTTP 307 to the same address, after the effect."""


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
class RequestedFault:
    """The facts of a request: its model and methods, whether it can change anything, whether it asks for a list."""

    model: str
    methods: tuple[str, ...]
    writes: bool = True
    lists: bool = False

    @property
    def of_cabinet(self) -> bool:
        """Whether its answer has the form of `web_cabinet.*`: a list that starts with a JSON string [I]."""
        return bool(self.methods) and self.methods[-1].startswith(CABINET)


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

    def matches(self, asked: RequestedFault) -> bool:
        """Whether the filter matches a request, which then counts."""
        if self.kind is FaultKind.REFUSE or (self.model is not None and self.model != asked.model):
            return False
        if self.kind is FaultKind.CABINET_ERROR and not asked.of_cabinet:
            return False
        if self.kind is FaultKind.FOREIGN and self.method is None and not asked.writes:
            return False
        return self.method is None or self.method in asked.methods

    def open_at(self, elapsed: float) -> bool:
        """Whether its time span includes the moment."""
        return self.since <= elapsed and (self.until is None or elapsed < self.until)

    @property
    def seconds(self) -> float:
        """Its delay in seconds, or the default of its kind."""
        return DELAYS.get(self.kind, 0.0) if self.delay is None else self.delay

    def described(self) -> dict[str, object]:
        """The given values, with the names of the file."""
        values: dict[str, object] = {"kind": self.kind.value, "model": self.model, "method": self.method}
        values |= {"share": self.share if self.share < 1 else None, "requests": written(self.requests) or None}
        values |= {"from": self.since or None, "to": self.until, "times": self.times, "delay": self.delay}
        values |= {"retry_after": self.retry_after, "text": self.text, "tries": self.tries}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults in order: the first that hits a request is applied."""

    faults: tuple[Fault, ...] = ()
    seed: int = 1

    def meets(self, index: int, number: int) -> bool:
        """Whether the fault at `index` is drawn for its request of this number, from 1."""
        fault = self.faults[index]
        if fault.requests and not within(number, fault.requests):
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


def within(number: int, spans: Collection[Span]) -> bool:
    """Whether a number lies in one of the spans."""
    return any(first <= number and (last is None or number <= last) for first, last in spans)


def written(spans: Collection[Span]) -> str:
    """Spans in the notation of a plan: `10-20,30,40-`."""
    return ",".join(
        str(first) if first == last else f"{first}-{'' if last is None else last}" for first, last in spans
    )
