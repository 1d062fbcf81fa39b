"""What a probe leaves in the billing for a while: how it is noted, sent, waited for, found again, and taken back.

Each operation or object that it is about to make is durable in an intent file before the call leaves: JSON lines, one
a call. The file exists from the probe's first call until all is taken back, and is locked while the probe runs: an
unlocked file belongs to a killed probe.
"""

import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

import anyio
import msgspec

from billing.api.calls import Call
from checkpoints.own_files import open_beside
from engine.errors import EngineError
from engine.evidence import Accepted, Busy, Evidence, NotSent, RowRefused, SystemRefused
from jobs.access.durable import append_durably, keep_name
from jobs.access.gateway import Gateway
from texts.said import reason_of, said


class ProbeHeld(EngineError):
    """Raised when another probe of the same billing is running."""


class IntentFailed(EngineError):
    """Raised when the intent file cannot be read or written; nothing may be entered without it."""


class Intended(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One operation that was about to be entered; `amount` and `before` are roubles."""

    probe: str
    number: int
    abonent: int
    account: int
    op_type: int
    amount: Decimal
    at: datetime
    undoes: int | None = None
    before: Decimal | None = None


class IntendedObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object that was about to be created for a test subscriber of the probe's own."""

    probe: str
    model: str
    at: datetime


Record = TypeVar("Record", Intended, IntendedObject)


class Intents(Generic[Record]):
    """An open intent file; `earlier` is what a killed probe has left in it."""

    def __init__(self, path: Path, descriptor: int, earlier: tuple[Record, ...]) -> None:
        self.path = path
        self.earlier: tuple[Record, ...] = earlier
        self._descriptor = descriptor

    def keep(self, intended: Record) -> None:
        """Write an intent durably. Raises `IntentFailed`."""
        try:
            append_durably(self._descriptor, msgspec.json.encode(intended) + b"\n")
        except OSError as error:
            why = reason_of(error)
            raise IntentFailed("{path} cannot be written: {reason}", path=self.path, reason=why) from error

    def restart(self) -> None:
        """Empty the file, after the entries of earlier probes are settled."""
        os.ftruncate(self._descriptor, 0)
        self.earlier = ()

    def forget(self) -> None:
        """Remove the file, after all is taken back."""
        self.path.unlink(missing_ok=True)
        self.earlier = ()


@contextmanager
def open_intents(path: Path, record: type[Record]) -> Iterator[Intents[Record]]:
    """The intent file of such records, locked. Raises `ProbeHeld` and `IntentFailed`."""
    try:
        descriptor = _locked(path)
    except OSError as error:
        why = reason_of(error)
        raise IntentFailed("{path} cannot be opened: {reason}", path=path, reason=why) from error
    try:
        yield Intents(path, descriptor, _read(path, descriptor, record))
    finally:
        # Also where the probe was interrupted at its question: an empty file is nobody's.
        if os.fstat(descriptor).st_size == 0 and _is_there(path, descriptor):
            path.unlink()
        os.close(descriptor)


def _locked(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = open_beside(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise ProbeHeld(
                "another probe of this billing is under way ({path}): wait for its end", path=path
            ) from error
        # A probe that has just ended may have removed the file between the two calls.
        if _is_there(path, descriptor):
            keep_name(path.parent)
            return descriptor
        os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    return path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino


def _read(path: Path, descriptor: int, record: type[Record]) -> tuple[Record, ...]:
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    *whole, torn = text.split(b"\n")
    if torn:
        # The call of an incomplete line never left, because the line was not durable.
        os.ftruncate(descriptor, len(text) - len(torn))
    try:
        return tuple(msgspec.json.decode(line, type=record) for line in whole)
    except msgspec.DecodeError as error:
        raise IntentFailed(
            "{path} cannot be read: {error}. It names what an earlier probe has made: look in the billing for "
            "'cm-probe' in comments and contract numbers, take it back, and remove the file",
            path=path,
            error=error,
        ) from error


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
    return isinstance(evidence, RowRefused | SystemRefused) and evidence.recognised


def why_of(evidence: Evidence) -> str:
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
