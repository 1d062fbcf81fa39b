"""The operations that a probe enters for its test subscriber, finds by their marks, and takes back."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeVar

import anyio

from billing.api.answers import created_id, objects
from billing.api.calls import NOTHING, ChainStep, create, filter_, get
from billing.directory.models import ACT, OPENING_BALANCE, RECEIPT
from billing.directory.subscribers import Abonent, Operation
from billing.money import from_answer, wire
from engine.errors import EngineError, LookUpFailed
from engine.evidence import Accepted, Busy, Evidence, NotSent, RowRefused, SystemRefused
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.operations import balances, of_type, op_id_of
from jobs.probe.intent import Intended, Intents
from texts.said import said

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
    """The mark in a comment, None without one."""
    found = _PROBE_MARK.search(comment)
    if found is None:
        return None
    probe, number, undoes, before = found.groups()
    return ProbeMark(probe, int(number), int(undoes) if undoes else None, Decimal(before) if before else None)


MODEL: Final = "FinanceOperations"
TYPES: Final = (RECEIPT, ACT, OPENING_BALANCE)
"""The types that a probe enters."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0

Found = TypeVar("Found")


class ProbeStopped(EngineError):
    """Raised when a probe cannot continue; its intent file and its marks name its entries."""


@dataclass(frozen=True, slots=True)
class Entered:
    """An operation of a probe in the billing; `seconds` is the time from the answer to its effect.

    `result` is the answer to its creation, None if lost, and `sent` is the comment as it was sent.
    """

    operation: Operation
    mark: ProbeMark
    sent: str = ""
    result: object = None
    seconds: float = 0.0
    moved: Decimal | None = None
    """What it has moved the balance by, None if it is not known."""

    def __str__(self) -> str:
        one = self.operation
        return said(
            "operation {id} of {amount}, type {type} ({mark})",
            id=one.op_id,
            amount=one.op_summa,
            type=one.op_type,
            mark=str(self.mark),
        )


@dataclass(frozen=True, slots=True)
class ProbePatience:
    """The waits of a probe in seconds: for an effect, and until an absent operation counts as not entered."""

    effect: float = 300.0
    settle: float = 30.0


@dataclass(slots=True)
class ProbeEntries:
    """Enters, finds and takes back operations on one subscriber, one at a time.

    `storno_call` is the method that reverses an operation, once it is known to work.
    """

    gateway: Gateway
    intents: Intents[Intended]
    abonent: Abonent
    probe: str
    patience: ProbePatience = field(default_factory=ProbePatience)
    storno_call: str | None = None
    receipt_type: int = RECEIPT
    """The type that raises the balance, as the vendor's programs say [V] until it is seen."""
    numbers: int = 0
    entered: list[Entered] = field(default_factory=list)

    async def balance(self) -> Decimal | None:
        """The balance in roubles, None if the billing returns no amount. Raises `LookUpFailed`."""
        if self.gateway.database is not None:
            return (await balances(self.gateway, [self.abonent.id])).get(self.abonent.id)
        call = get("AdminAccounts", {"account_id_abonents": self.abonent.id}).asking("balance")
        evidence = await self.gateway.client.send(call)
        match evidence:
            case Accepted(result=result):
                with as_engine_errors():
                    found = objects(result)
                return _amount(found[0].get("balance")) if found else None
            case RowRefused():
                return None
        raise LookUpFailed(
            said("the balance of abonent {id} cannot be read: {reason}", id=self.abonent.id, reason=evidence.text)
        )

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
        earlier = await self.balance()
        assert self.abonent.account_id is not None  # noqa: S101 - looked at before the probe began
        self.intents.keep(
            Intended(
                probe=self.probe,
                number=mark.number,
                abonent=self.abonent.id,
                account=self.abonent.account_id,
                op_type=op_type,
                amount=amount,
                at=datetime.now(UTC),
                undoes=undoes,
                before=before,
            )
        )
        call = create(MODEL, abonent_id=self.abonent.id, op_summa=amount, op_type_id=op_type, descr=descr, **fields)
        evidence = await send_until_taken(
            lambda: self.gateway.client.send(call.asking("op_id", "descr")), self.patience.effect
        )
        begun = anyio.current_time()
        match evidence:
            case Accepted(result=result):
                found = await self._seen(op_type, mark, created_id(result), self.patience.effect)
                if found is None:
                    raise ProbeStopped(
                        said(
                            "the billing has answered an operation of {amount} ({mark}), and it is not there "
                            "{seconds} s later",
                            amount=amount,
                            mark=str(mark),
                            seconds=f"{self.patience.effect:g}",
                        )
                    )
                await self._settled(earlier)
                seconds = round(anyio.current_time() - begun, 1)
                return self._keep(Entered(found, mark, descr, result, seconds, await self._moved(earlier)))
            case RowRefused(refusal) | SystemRefused(refusal):
                # It is not documented whether the billing refuses before or after it enters [?].
                found = await self._seen(op_type, mark, None, 0.0 if is_refused(evidence) else self.patience.settle)
                return refusal if found is None else self._keep(Entered(found, mark, descr))
        found = await self._seen(op_type, mark, None, self.patience.settle)
        if found is None:
            raise ProbeStopped(
                said(
                    "the answer to an operation of {amount} ({mark}) was lost: {reason}",
                    amount=amount,
                    mark=str(mark),
                    reason=_why(evidence),
                )
            )
        await self._settled(earlier)
        return self._keep(Entered(found, mark, descr))

    async def storno(self, operation: Operation, method: str) -> str | None:
        """Reverse an operation by a method and wait; None on success, otherwise the reason."""
        call = get(MODEL, {"op_id": operation.op_id}, ChainStep(method)).asking("op_id", "storno")
        earlier = await self.balance()
        evidence = await send_until_taken(lambda: self.gateway.client.send(call), self.patience.effect)

        async def reversed_() -> bool | None:
            now = await self.operation(operation.op_id)
            return True if now is not None and now.storno else None

        wait = 0.0 if is_refused(evidence) else self.patience.settle
        if await until(reversed_, wait):
            await self._settled(earlier)
            return None
        return _why(evidence) or said("it was answered without an error, and the operation is not reversed")

    async def take_back(self, entered: Entered) -> str | None:
        """Take an operation back by storno, or else by an opposite entry; None on success, otherwise the reason.

        For type 8 the balance before it is restored. Raises as `enter`.
        """
        operation, before = entered.operation, entered.mark.before
        if operation.op_type == OPENING_BALANCE:
            return await self._bring_back(operation, before)
        if self.storno_call is not None:
            return await self.storno(operation, self.storno_call)
        # The same type moves the balance back whatever it does to it; of a pair of types the other one as well.
        return await self._enter_one_of(
            (operation.op_type, -operation.op_summa),
            (ACT if operation.op_type == RECEIPT else RECEIPT, operation.op_summa),
            undoes=operation.op_id,
        )

    async def left(self) -> list[Entered]:
        """The operations of this and earlier probes for the subscriber that are not taken back, the newest first.

        Raises `LookUpFailed`.
        """
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

    async def operations(self) -> list[Operation]:
        """The subscriber's operations of the types that a probe enters. Raises `LookUpFailed`."""
        ids = [self.abonent.id]
        found = [(await of_type(self.gateway, ids, op_type)).get(self.abonent.id, []) for op_type in TYPES]
        return [one for of_one_type in found for one in of_one_type]

    async def operation(self, op_id: int) -> Operation | None:
        """One of these operations by its id, None if missing. Raises `LookUpFailed`."""
        return next((one for one in await self.operations() if one.op_id == op_id), None)

    async def drained(self) -> None:
        """Wait until the stacks hold nothing for the subscriber. Raises `ProbeStopped`, `LookUpFailed`."""

        async def nothing() -> bool | None:
            accounts = [] if self.abonent.account_id is None else [self.abonent.account_id]
            return None if await self.gateway.unfinished_work(accounts, [self.abonent.id]) else True

        if not await until(nothing, self.patience.effect):
            raise ProbeStopped(
                said("the billing's stacks hold entries of abonent {id} for too long", id=self.abonent.id)
            )

    async def filtered(self, criteria: dict[str, object]) -> list[int] | None:
        """The ids of the subscriber's operations that a filter finds, None if it is refused."""
        evidence = await self.gateway.client.send(
            filter_(MODEL, {"abonent_id": self.abonent.id, **criteria}, "op_id", "storno")
        )
        if not isinstance(evidence, Accepted):
            return None
        with as_engine_errors():
            return [op_id_of(one) for one in objects(evidence.result)]

    async def _bring_back(self, operation: Operation, before: Decimal | None) -> str | None:
        now = await self.balance()
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
        return await self._move(before - now, operation.op_id)

    async def _move(self, amount: Decimal, undoes: int) -> str | None:
        """Move the balance by a receipt, or by an act if a negative receipt is refused."""
        act = ACT if self.receipt_type == RECEIPT else RECEIPT
        return await self._enter_one_of((self.receipt_type, amount), (act, -amount), undoes=undoes)

    async def _enter_one_of(
        self, first: tuple[int, Decimal], second: tuple[int, Decimal], *, undoes: int
    ) -> str | None:
        """Enter an operation of a type and a sum, or another one if a negative sum is refused; None on success."""
        refused = await self.enter(*first, "Проба, отмена", undoes=undoes)
        if isinstance(refused, Entered):
            return None
        if first[1] < 0 and isinstance(await self.enter(*second, "Проба, отмена", undoes=undoes), Entered):
            return None
        return said("an opposite entry is refused: {reason}", reason=refused)

    async def _moved(self, earlier: Decimal | None) -> Decimal | None:
        now = None if earlier is None else await self.balance()
        return None if now is None or earlier is None else now - earlier

    async def _seen(self, op_type: int, mark: ProbeMark, op_id: str | None, patience: float) -> Operation | None:
        """The operation once it exists and the stacks are empty; None when the patience is over."""

        async def there() -> Operation | None:
            found = (await of_type(self.gateway, [self.abonent.id], op_type)).get(self.abonent.id, [])
            return next((one for one in found if find_probe_mark(one.descr) == mark or str(one.op_id) == op_id), None)

        if (found := await until(there, patience)) is not None:
            await self.drained()
        return found

    async def _settled(self, earlier: Decimal | None) -> None:
        """Wait until the balance is final: with a database until the stacks are empty, otherwise until it moves."""
        if self.gateway.database is not None:
            await self.drained()
            return

        async def moved() -> bool | None:
            return None if await self.balance() == earlier else True

        if earlier is not None:
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


def is_refused(evidence: Evidence) -> bool:
    """Whether the billing itself says that it has refused the call."""
    return isinstance(evidence, RowRefused | SystemRefused) and evidence.recognised


async def send_until_taken(send: Callable[[], Awaitable[Evidence]], patience: float) -> Evidence:
    """The evidence of a call that is sent again as long as it was provably not carried out. Raises `ProbeStopped`."""

    async def once() -> Evidence | None:
        evidence = await send()
        is_busy = isinstance(evidence, Busy) and evidence.recognised
        return None if is_busy or isinstance(evidence, NotSent) else evidence

    evidence: Evidence | None = await until(once, patience)
    if evidence is None:
        raise ProbeStopped(said("the billing is busy or away for too long: nothing more was entered"))
    return evidence


async def until(look: Callable[[], Awaitable[Found | None]], patience: float) -> Found | None:
    """The result of `look`, repeated until it finds something or the patience, in seconds, is over."""
    end, pause = anyio.current_time() + patience, _FIRST_PAUSE
    while True:
        found = await look()
        if found is not None or anyio.current_time() >= end:
            return found
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def named(entered: Sequence[Entered]) -> str:
    """Operations in words."""
    return ", ".join(map(str, entered))


def _why(evidence: Evidence) -> str:
    return "" if isinstance(evidence, Accepted) else str(evidence.text)


def _amount(value: object) -> Decimal | None:
    try:
        return from_answer(value) if isinstance(value, int | str | Decimal) else None
    except ValueError:
        return None
