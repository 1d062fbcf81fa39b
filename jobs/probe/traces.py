"""What a probe leaves in the billing for a while: how it is sent, waited for, found again, and taken back."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

import anyio

from billing.api.calls import Call
from engine.errors import EngineError
from engine.evidence import Accepted, Busy, Evidence, NotSent, RowRefused, SystemRefused
from jobs.access.gateway import Gateway
from jobs.probe.intent import Intents, Record
from texts.said import said

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0

Found = TypeVar("Found")
Trace = TypeVar("Trace")
Say: TypeAlias = Callable[[str], None]


class ProbeStopped(EngineError):
    """Raised when a probe cannot continue; its intent files and its marks name what it has made."""


@dataclass(frozen=True, slots=True)
class ProbePatience:
    """The waits of a probe in seconds: for an effect, and until what is absent counts as not made."""

    effect: float = 300.0
    settle: float = 30.0

    def after(self, evidence: Evidence) -> float:
        """Seconds in which a call with this evidence may still have its effect."""
        if isinstance(evidence, Accepted):
            return self.effect
        # It is not documented whether the billing refuses before or after an effect, but where it says so itself [?].
        return 0.0 if is_refused(evidence) else self.settle


@dataclass(slots=True)
class Traces(ABC, Generic[Record, Trace]):
    """What the probe of this name makes in a billing, each noted in `intents` before; and what others have left."""

    gateway: Gateway
    intents: Intents[Record]
    probe: str
    patience: ProbePatience = field(default_factory=ProbePatience)

    @abstractmethod
    async def left(self) -> Sequence[Trace]:
        """What this and earlier probes have left, in the order in which it is taken back. Raises `LookUpFailed`."""

    @abstractmethod
    async def take_back(self, one: Trace) -> str | None:
        """Take it back; None on success, else the reason. Raises `ProbeStopped`, `LookUpFailed`, `IntentFailed`."""

    async def take_all_back(self) -> AsyncIterator[tuple[Trace, str | None]]:
        """Take back what is left, each with the reason why it could not be. Raises as `take_back`."""
        for one in await self.left():
            yield one, await self.take_back(one)

    async def send(self, call: Call) -> Evidence:
        """The evidence of a call, sent again as long as it was provably not carried out. Raises `ProbeStopped`."""

        async def once() -> Evidence | None:
            evidence = await self.gateway.client.send(call)
            is_busy = isinstance(evidence, Busy) and evidence.recognised
            return None if is_busy or isinstance(evidence, NotSent) else evidence

        evidence: Evidence | None = await until(once, self.patience.effect)
        if evidence is None:
            raise ProbeStopped(said("the billing is busy or away for too long: nothing more was entered"))
        return evidence


def is_refused(evidence: Evidence) -> bool:
    """Whether the billing itself says that it has refused the call."""
    return isinstance(evidence, RowRefused | SystemRefused) and evidence.recognised


def why_of(evidence: Evidence) -> str:
    """Why a call has failed, "" where it was accepted."""
    return "" if isinstance(evidence, Accepted) else evidence.text


async def until(look: Callable[[], Awaitable[Found | None]], patience: float) -> Found | None:
    """The result of `look`, repeated until it finds something or the patience, in seconds, is over."""
    end, pause = anyio.current_time() + patience, _FIRST_PAUSE
    while True:
        found = await look()
        if found is not None or anyio.current_time() >= end:
            return found
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
