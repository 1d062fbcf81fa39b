"""The kinds of fault of a mock billing, and which requests each of them hits.

Whether a fault hits a request is a pure function of the plan's seed, the fault's position in the plan and the
request's number among those that its filter matches: the same plan and requests give the same failures. Time spans
and `times` are further limits; their state is in `fault_injector`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar

from lab.mock.facts import FACTS

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
        """Whether its time span includes the moment."""
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
