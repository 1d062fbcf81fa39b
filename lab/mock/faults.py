"""The ways in which a mock billing fails, and which requests each of them meets.

Whether a fault meets a request is a pure function of the plan's seed, the fault's place in the plan and the request's
number among those that its filter lets through: the same plan and the same requests give the same failures.
Spans of time and `times` bound that further; what has to be remembered for them is kept in `fault_injector`.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar

from billing.api.error_catalogue import CATALOGUE, ErrorKind

Choice = TypeVar("Choice")
Span: TypeAlias = tuple[int, int | None]
"""Numbers of requests, the first and the last; None for all that follow."""

CABINET: Final = "web_cabinet."


class FaultKind(StrEnum):
    """A way to fail."""

    REFUSE = "refuse"
    """The port is closed for a span of time, and opened again: connections are refused."""
    RESET_BEFORE = "reset-before-effect"
    """The connection is reset when the request has come, and nothing is done."""
    RESET_AFTER = "reset-after-effect"
    """The connection is reset in place of the answer."""
    SILENCE = "effect-then-silence"
    """Nothing comes for `delay` seconds, then the connection is reset."""
    SLOW = "slow"
    """The answer comes `delay` seconds after the effect."""
    TRICKLE = "trickle"
    """The answer comes byte by byte, the last one `delay` seconds after the effect."""
    HALF = "half-answer"
    """The connection is closed after half of the answer."""
    CRASH_BEFORE = "500-before-effect"
    """The page of a crash, and nothing is done."""
    CRASH_AFTER = "500-after-effect"
    """The page of a crash after the effect."""
    BAD_GATEWAY = "502-after-effect"
    """A proxy's page: the connection to the billing broke, after the effect."""
    GATEWAY_TIMEOUT = "504-after-effect"
    """A proxy's page: the billing took too long, and had its effect."""
    UNAVAILABLE = "503"
    """The page of an overloaded server, with or without Retry-After; nothing is done."""
    TOO_MANY = "429"
    """Too many requests, with or without Retry-After; nothing is done."""
    BUSY = "busy"
    """A text of the catalogue that says to come back later; nothing is done."""
    STOP = "stop"
    """A text of the catalogue that concerns the whole system; nothing is done."""
    CABINET_ERROR = "cabinet-error"
    """An `error` within the JSON string of a `web_cabinet` answer; nothing is done."""
    INVALID_JSON = "invalid-json-after-effect"
    """HTTP 200 with an answer that breaks off in the middle of its JSON."""
    OTHER_ENCODING = "other-encoding"
    """The answer in CP1251, said to be UTF-8 or not said to be anything."""
    FOREIGN = "foreign-answer"
    """The answer to another request that succeeded. Writes only, unless the fault names a method."""
    REDIRECT_BEFORE = "redirect-before-effect"
    """HTTP 307 to the very same address, and nothing is done."""
    REDIRECT_AFTER = "redirect-after-effect"
    """HTTP 307 to the very same address, after the effect."""


DELAYS: Final[dict[FaultKind, float]] = {
    FaultKind.SILENCE: 300.0,
    FaultKind.SLOW: 2.0,
    FaultKind.TRICKLE: 2.0,
    FaultKind.UNAVAILABLE: 5.0,
    FaultKind.TOO_MANY: 5.0,
}
"""Seconds where a fault names none; for the last two, how far away the date of Retry-After lies."""

_TEXTS: Final[dict[FaultKind, tuple[str, ...]]] = {
    FaultKind.BUSY: tuple(text for text, meaning in CATALOGUE if meaning is ErrorKind.BUSY),
    FaultKind.STOP: tuple(text for text, meaning in CATALOGUE if meaning is ErrorKind.SYSTEM),
    FaultKind.CABINET_ERROR: ("Обещанный платеж уже подключен",),
}
SAYING: Final = frozenset(_TEXTS)
"""Kinds that answer with a text."""


@dataclass(frozen=True, slots=True)
class RequestedFault:
    """What is known of a request: its model and methods, and whether it can change anything."""

    model: str
    methods: tuple[str, ...]
    writes: bool = True

    @property
    def of_cabinet(self) -> bool:
        """Whether its answer is one of `web_cabinet.*`: a list that starts with a JSON string [I]."""
        return bool(self.methods) and self.methods[-1].startswith(CABINET)


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a plan; the fields have the names that they have in the file, but for `since` and `until`.

    `since` and `until` (`from` and `to`) are in seconds since the plan was set, `delay` in seconds; `retry_after` is
    a number of seconds, or "date". `tries` makes a row busy so many times, however often it is drawn.
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
        """Whether the filter lets a request through, and its number goes up."""
        if self.kind is FaultKind.REFUSE or (self.model is not None and self.model != asked.model):
            return False
        if self.kind is FaultKind.CABINET_ERROR and not asked.of_cabinet:
            return False
        if self.kind is FaultKind.FOREIGN and self.method is None and not asked.writes:
            return False
        return self.method is None or self.method in asked.methods

    def open_at(self, elapsed: float) -> bool:
        """Whether its span of time holds the moment."""
        return self.since <= elapsed and (self.until is None or elapsed < self.until)

    @property
    def seconds(self) -> float:
        """Its delay, or that of its kind."""
        return DELAYS.get(self.kind, 0.0) if self.delay is None else self.delay

    def described(self) -> dict[str, object]:
        """What was set, under the names of the file."""
        values: dict[str, object] = {"kind": self.kind.value, "model": self.model, "method": self.method}
        values |= {"share": self.share if self.share < 1 else None, "requests": written(self.requests) or None}
        values |= {"from": self.since or None, "to": self.until, "times": self.times, "delay": self.delay}
        values |= {"retry_after": self.retry_after, "text": self.text, "tries": self.tries}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults in their order: the first that meets a request is what happens to it."""

    faults: tuple[Fault, ...] = ()
    seed: int = 1

    def meets(self, index: int, number: int) -> bool:
        """Whether the fault at `index` is drawn for the request of that number, from 1, among its own."""
        fault = self.faults[index]
        if fault.requests and not within(number, fault.requests):
            return False
        return fault.share >= 1 or chance(self.seed, index, number) < fault.share

    def text(self, index: int, number: int) -> str:
        """What the fault at `index` says to the request of that number: its own text, or one of the catalogue's."""
        fault = self.faults[index]
        return fault.text or pick(self.seed, index, number, _TEXTS[fault.kind])


def chance(seed: int, index: int, number: int, salt: str = "") -> float:
    """A number from 0 to 1, evenly spread, that depends on nothing but the arguments."""
    digest = hashlib.blake2b(f"{seed}/{index}/{number}/{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def pick(seed: int, index: int, number: int, options: Sequence[Choice]) -> Choice:
    """One of the options, by the same rule; independent of whether the fault is drawn."""
    return options[int(chance(seed, index, number, "pick") * len(options)) % len(options)]


def within(number: int, spans: Collection[Span]) -> bool:
    """Whether a number lies in one of the spans."""
    return any(first <= number and (last is None or number <= last) for first, last in spans)


def written(spans: Collection[Span]) -> str:
    """Spans as a plan has them: `10-20,30,40-`."""
    return ",".join(
        str(first) if first == last else f"{first}-{'' if last is None else last}" for first, last in spans
    )
