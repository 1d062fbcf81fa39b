"""What a probe leaves in the billing for a while: how it is noted, sent, waited for, found again, and taken back.

Each operation or object that it is about to make is durable in an intent file before the call leaves: JSON lines, one
a call. The file exists from the probe's first call until all is taken back, and is locked while the probe runs: an
unlocked file belongs to a killed probe. Operations for the test subscriber are found by their marks.
"""

import fcntl
import os
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

import anyio
import msgspec

from billing.api.answers import created_id, objects
from billing.api.calls import NOTHING, Call, ChainStep, create, filter_, get
from billing.directory.models import ACT, OPENING_BALANCE, RECEIPT
from billing.directory.subscribers import Abonent, Operation
from billing.money import from_answer, wire
from checkpoints.own_files import append_durably, keep_name, open_beside
from engine.errors import EngineError, LookUpFailed
from engine.evidence import Accepted, Busy, Evidence, NotSent, RowRefused, SystemRefused
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.objects import balances, op_id_of, operations_since
from texts.said import reason_of, said

# ---- traces -------------------------------------------------------------------------------------------------------


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
        return 0.0 if _is_refused(evidence) else self.settle


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


def _is_refused(evidence: Evidence) -> bool:
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


# ---- operations for the test subscriber ---------------------------------------------------------------------------


MODEL: Final = "FinanceOperations"
TYPES: Final = (RECEIPT, ACT, OPENING_BALANCE)
_UNDOING: Final = "Проба, отмена"
_PROBE_MARK: Final = re.compile(
    r"\[cm-probe ([a-z0-9]{1,16})/([1-9][0-9]{0,3})"
    r"(?: undoes ([1-9][0-9]{0,17}))?(?: before (-?[0-9]{1,15}(?:\.[0-9]{1,10})?))?\]"
)


@dataclass(frozen=True, slots=True)
class ProbeMark:
    """The mark of a probe's operation: the probe, and the number of the operation.

    `undoes` is the id of the operation that this one takes back; `before` is the balance in roubles before an
    operation of type 8.
    """

    probe: str
    number: int
    undoes: int | None = None
    before: Decimal | None = None

    def __str__(self) -> str:
        undoes = f" undoes {self.undoes}" if self.undoes is not None else ""
        before = f" before {wire(self.before)}" if self.before is not None else ""
        return f"[cm-probe {self.probe}/{self.number}{undoes}{before}]"


def find_probe_mark(comment: str) -> ProbeMark | None:
    found = _PROBE_MARK.search(comment)
    if found is None:
        return None
    probe, number, undoes, before = found.groups()
    return ProbeMark(probe, int(number), int(undoes) if undoes else None, Decimal(before) if before else None)


@dataclass(frozen=True, slots=True)
class Entered:
    """An operation of a probe in the billing; `seconds` is the time from the answer to its effect.

    `result` is the answer to its creation, None if lost, and `sent` is the comment as it was sent; `moved` is what it
    has moved the balance by, None if that is not known.
    """

    operation: Operation
    mark: ProbeMark
    sent: str = ""
    result: object = None
    seconds: float = 0.0
    moved: Decimal | None = None

    def __str__(self) -> str:
        one = self.operation
        return said(
            "operation {id} of {amount}, type {type} ({mark})",
            id=one.op_id,
            amount=one.op_summa,
            type=one.op_type,
            mark=str(self.mark),
        )


@dataclass(slots=True, kw_only=True)
class ProbeEntries(Traces[Intended, Entered]):
    """Enters, finds and takes back operations on one subscriber, one at a time.

    `storno_call` is the method that reverses an operation, once it is known to work. `receipt_type` is the type that
    raises the balance, as the vendor's programs say [V] until it is seen.
    """

    abonent: Abonent
    storno_call: str | None = None
    receipt_type: int = RECEIPT
    numbers: int = 0
    entered: list[Entered] = field(default_factory=list)

    async def balance(self) -> Decimal | None:
        """The balance in roubles, None if the billing returns no amount. Raises `LookUpFailed`."""
        if self.gateway.database is not None:
            return (await balances(self.gateway, [self.abonent.id])).get(self.abonent.id)
        call = get("AdminAccounts", {"account_id_abonents": self.abonent.id}).asking("balance")
        evidence = await self.gateway.client.send(call)
        if isinstance(evidence, RowRefused):
            return None
        if not isinstance(evidence, Accepted):
            why = evidence.text
            raise LookUpFailed("the balance of abonent {id} cannot be read: {reason}", id=self.abonent.id, reason=why)
        with as_engine_errors():
            found = objects(evidence.result)
        value = found[0].get("balance") if found else None
        with suppress(ValueError):
            return from_answer(value) if isinstance(value, int | str | Decimal) else None
        return None

    async def enter(
        self,
        op_type: int,
        amount: Decimal,
        text: str,
        *,
        undoes: int | None = None,
        before: Decimal | None = None,
        fields: Mapping[str, str] = NOTHING,
    ) -> Entered | str:
        """Enter an operation, with further `fields`, and wait for its effect; a refusal is returned as its text.

        Raises `ProbeStopped` if its outcome remains unknown, `IntentFailed`, `LookUpFailed`.
        """
        self.numbers += 1
        mark = ProbeMark(self.probe, self.numbers, undoes, before)
        # The mark comes first, so that a short column cuts the text before the mark.
        descr = f"{mark} {text}"
        earlier, abonent = await self.balance(), self.abonent
        at = datetime.now(UTC)
        self.intents.keep(
            Intended(self.probe, mark.number, abonent.id, abonent.account_id, op_type, amount, at, undoes, before)
        )
        call = create(MODEL, abonent_id=abonent.id, op_summa=amount, op_type_id=op_type, descr=descr, **fields)
        evidence = await self.send(call.asking("op_id", "descr"))
        begun = anyio.current_time()
        number = created_id(evidence.result) if isinstance(evidence, Accepted) else None
        found = await self._seen(op_type, mark, number, self.patience.after(evidence))
        if isinstance(evidence, RowRefused | SystemRefused):
            return evidence.text if found is None else self._keep(Entered(found, mark, descr))
        if found is None and isinstance(evidence, Accepted):
            raise ProbeStopped(
                "the billing has answered an operation of {amount} ({mark}), and it is not there {seconds} s later",
                amount=amount,
                mark=str(mark),
                seconds=self.patience.effect,
            )
        if found is None:
            raise ProbeStopped(
                "the answer to an operation of {amount} ({mark}) was lost: {reason}",
                amount=amount,
                mark=str(mark),
                reason=why_of(evidence),
            )
        await self._settled(earlier)
        if not isinstance(evidence, Accepted):
            return self._keep(Entered(found, mark, descr))
        seconds = round(anyio.current_time() - begun, 1)
        now = None if earlier is None else await self.balance()
        moved = None if now is None or earlier is None else now - earlier
        return self._keep(Entered(found, mark, descr, evidence.result, seconds, moved))

    async def storno(self, operation: Operation, method: str) -> str | None:
        """Reverse an operation by a method and wait; None on success, otherwise the reason."""
        earlier = await self.balance()
        call = get(MODEL, {"op_id": operation.op_id}, ChainStep(method)).asking("op_id", "storno")
        evidence = await self.send(call)

        async def reversed_() -> bool | None:
            return any(one.op_id == operation.op_id and one.storno for one in await self.operations()) or None

        if await until(reversed_, 0.0 if _is_refused(evidence) else self.patience.settle):
            await self._settled(earlier)
            return None
        return why_of(evidence) or said("it was answered without an error, and the operation is not reversed")

    async def take_back(self, one: Entered) -> str | None:
        """Take an operation back by storno, or else by an opposite entry; of type 8 restore the balance."""
        operation, receipt = one.operation, self.receipt_type
        if operation.op_type != OPENING_BALANCE:
            if self.storno_call is not None:
                return await self.storno(operation, self.storno_call)
            # The same type moves the balance back whatever it does to it; of a pair of types the other one as well.
            back, receipt = -operation.op_summa, operation.op_type
        else:
            before, now = one.mark.before, await self.balance()
            if before is None or now is None:
                return said("what the balance was before is not known")
            if now == before:
                return None
            explained = {operation.op_summa, before + operation.op_summa}
            if operation.storno:
                # The balance that it had set, minus its sum.
                explained.add(Decimal(0))
            if now not in explained:
                return said(
                    "the balance was {before} before it and is {now} now: somebody else has moved it since",
                    before=before,
                    now=now,
                )
            back = before - now
        refused = await self.enter(receipt, back, _UNDOING, undoes=operation.op_id)
        if isinstance(refused, str) and back < 0:
            # A negative sum is refused: the other type has the same effect.
            act = ACT if receipt == RECEIPT else RECEIPT
            if isinstance(await self.enter(act, -back, _UNDOING, undoes=operation.op_id), Entered):
                return None
        return said("an opposite entry is rejected: {reason}", reason=refused) if isinstance(refused, str) else None

    async def left(self) -> list[Entered]:
        """The operations of this and earlier probes for the subscriber that are not taken back, the newest first."""
        found = await self.marked()
        taken = {one.mark.undoes for one in found if not one.operation.storno}
        open_probes = {one.probe for one in self.intents.earlier} | {self.probe}
        left = [
            one
            for one in found
            if one.mark.undoes is None
            and one.operation.op_id not in taken
            and (not one.operation.storno or (one.mark.before is not None and one.mark.probe in open_probes))
        ]
        return sorted(left, key=lambda one: one.operation.op_id, reverse=True)

    async def marked(self) -> list[Entered]:
        """The operations of this and earlier probes for the subscriber. Raises `LookUpFailed`."""
        own = {one.operation.op_id: one.mark for one in self.entered}
        there = await self.operations()
        return [Entered(one, mark) for one in there if (mark := own.get(one.op_id) or self._mark_of(one)) is not None]

    async def not_found(self) -> list[Intended]:
        """The intended operations of earlier probes that are not in the billing. Raises `LookUpFailed`.

        Their calls never arrived, or the billing keeps no comments.
        """
        there = {(one.mark.probe, one.mark.number) for one in await self.marked()}
        return [one for one in self.intents.earlier if (one.probe, one.number) not in there]

    async def operations(self, types: tuple[int, ...] = TYPES) -> list[Operation]:
        """The subscriber's operations of the types that a probe enters. Raises `LookUpFailed`."""
        there = await operations_since(self.gateway, {self.abonent.id: 0})
        return [one for one in there.get(self.abonent.id, ()) if one.op_type in types]

    async def drained(self) -> None:
        """Wait until the stacks hold nothing for the subscriber. Raises `ProbeStopped`, `LookUpFailed`."""

        async def nothing() -> bool | None:
            return None if await self.gateway.unfinished_work([self.abonent.account_id], [self.abonent.id]) else True

        if not await until(nothing, self.patience.effect):
            raise ProbeStopped("the billing's stacks hold entries of abonent {id} for too long", id=self.abonent.id)

    async def filtered(self, criteria: dict[str, object]) -> list[int] | None:
        """The ids of the subscriber's operations that a filter finds, None if it is refused."""
        evidence = await self.gateway.client.send(
            filter_(MODEL, {"abonent_id": self.abonent.id, **criteria}, "op_id", "storno")
        )
        if not isinstance(evidence, Accepted):
            return None
        with as_engine_errors():
            return [op_id_of(one) for one in objects(evidence.result)]

    async def _seen(self, op_type: int, mark: ProbeMark, op_id: str | None, patience: float) -> Operation | None:
        """The operation once it exists and the stacks are empty; None when the patience is over."""

        async def there() -> Operation | None:
            found = await self.operations((op_type,))
            return next((one for one in found if find_probe_mark(one.descr) == mark or str(one.op_id) == op_id), None)

        if (found := await until(there, patience)) is not None:
            await self.drained()
        return found

    async def _settled(self, earlier: Decimal | None) -> None:
        """Wait until the balance is final: with a database until the stacks are empty, otherwise until it moves."""

        async def moved() -> bool | None:
            return None if await self.balance() == earlier else True

        if self.gateway.database is not None:
            await self.drained()
        elif earlier is not None:
            await until(moved, self.patience.settle)

    def _keep(self, entered: Entered) -> Entered:
        self.entered.append(entered)
        return entered

    def _mark_of(self, operation: Operation) -> ProbeMark | None:
        """The mark of a probe's operation; a mark cut by a short column is completed by sum and type."""
        if (mark := find_probe_mark(operation.descr)) is not None:
            return mark
        for one in self.intents.earlier:
            mark = ProbeMark(one.probe, one.number, one.undoes, one.before)
            same = (one.op_type, one.amount) == (operation.op_type, operation.op_summa)
            if same and operation.descr and str(mark).startswith(operation.descr):
                return mark
        return None
