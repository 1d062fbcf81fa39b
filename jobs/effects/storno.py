"""The storno of a finance operation: `objects.get {op_id}` → a method whose name is not documented [?].

It is not known either whether a storno of type 8 restores the balance [?], so the balance is read back.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from billing.api.answers import is_about_other_model, judge
from billing.directory.models import BillingObject
from billing.money import wire
from billing.profile import StornoEffect
from checkpoints.records import Item, NewItem, Run
from checkpoints.sentences import AS_WANTED
from engine.evidence import Accepted, AlreadyThere, Evidence, Lost, RowRefused, Seen
from engine.job import Absent, CannotLook, Found, LookedFor, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import FOUND_AGAIN, NOBODY, find, needed
from jobs.access.operations import balances
from jobs.access.payload import Payload, chain_of, payload_of
from jobs.access.subscribers import as_bool
from jobs.effects.creatable_models import BALANCE
from jobs.effects.effect import CallEffect, Irreversible, ItemToUndo
from jobs.effects.entered_operations import (
    BESIDES,
    FIELDS,
    MODEL,
    EnteredOperation,
    still_in_effect,
    taking_back,
    try_standing,
)
from texts.said import reason, said

_REVERSED: Final = "сторнирован"


class StornoReversal(CallEffect):
    """Reverses operations: `objects.get {op_id}` → the storno. A look-up decides whether it is sent again."""

    looked_for = LookedFor.WHEN_TAKEN_UP

    def __init__(self, gateway: Gateway, method: str) -> None:
        super().__init__(gateway)
        self._method = method

    async def try_out(self) -> None:
        """Try each look-up with an id that no operation has. Raises `InputRefused`, `LookUpFailed`."""
        await try_standing(self._gateway)
        with needed(FOUND_AGAIN):
            await balances(self._gateway, [NOBODY])

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """That the method exists and reverses, and for type 8 that it restores the balance."""
        works: dict[str, object] = {"storno_call": self._method, "storno_works": True}
        if any(BALANCE in one.wanted for one in payloads):
            works["storno_type_8"] = StornoEffect.RESTORES
        return works

    async def send(self, run: Run, item: Item) -> Seen:
        """Reverse the operation."""
        payload = payload_of(item)
        return _evidence(await self._gateway.client.send(payload.call), payload, first=not item.attempts)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Whether the operations are reversed. Raises `LookUpFailed`."""
        return {item.item_id: _sighting(item, things) for item, things in await self._now(items)}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """The operations as they are now, and for type 8 also the balance. Raises `LookUpFailed`."""
        payloads = [payload_of(item) for item in items]
        now = await balances(self._gateway, [one.abonent for one in payloads if BALANCE in one.wanted])
        return {item.item_id: _reading(item, things, now) for item, things in await self._now(items)}

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """Irreversible: a storno is final."""
        return Irreversible(
            said(
                "a storno is final. To enter the sums again, export the rows of the run that was taken back, and run "
                "its job on that file: what was taken back counts as never entered"
            )
        )

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """A storno for each unchanged operation. Raises `LookUpFailed`."""
        found = await still_in_effect(self._gateway, taken)
        return Prepared.of([self._storno(one) if isinstance(one, EnteredOperation) else one for one in found])

    def _storno(self, entry: EnteredOperation) -> NewItem:
        wanted = {"storno": "1"}
        if entry.sets_balance and entry.before is not None:
            wanted[BALANCE] = wire(entry.before)
        key = {"op_id": entry.op_id}
        payload = Payload(
            model=MODEL,
            steps=chain_of(("objects.get", {"op_id": int(entry.op_id)}), (self._method, {})),
            fields=("op_id", "storno"),
            abonent=entry.taken.payload.abonent,
            key=key,
            wanted=dict(wanted),
            was={"storno": "0", "op_summa": entry.thing.values["op_summa"]},
        )
        return taking_back(entry, payload, -entry.amount)

    async def _now(self, items: Sequence[Item]) -> list[tuple[Item, list[BillingObject]]]:
        found = await find(self._gateway, MODEL, [payload_of(item).key for item in items], FIELDS, BESIDES)
        return list(zip(items, found, strict=True))


def _evidence(evidence: Evidence, payload: Payload, *, first: bool) -> Seen:
    match evidence:
        case RowRefused(text) if first and _REVERSED in text.casefold():
            why = reason(
                "already as wanted: somebody else has reversed it since the list was made: {reason}",
                AS_WANTED,
                reason=text,
            )
            return AlreadyThere(why, payload.key["op_id"])
        # An earlier call of ours may have had its effect late.
        case RowRefused(text) if _REVERSED in text.casefold() or "атрибут" in text.casefold():
            return Lost(said("refused, and whether it is reversed has to be looked up: {reason}", reason=text))
        case Accepted(result=result) if is_about_other_model(result, MODEL):
            return Lost(said("an answer about something else than operation {id}", id=payload.key["op_id"]))
        case Accepted(result={"fields": {"op_id": op_id}}) if str(op_id) != payload.key["op_id"]:
            return Lost(
                said(
                    "an answer about operation {answered}, and {asked} was asked for",
                    answered=str(op_id),
                    asked=payload.key["op_id"],
                )
            )
        case Accepted(result={"fields": {"storno": storno}}) if not as_bool(storno):
            return Lost(
                said("an answer without an error, and operation {id} is not reversed", id=payload.key["op_id"])
            )
    return judge(evidence)


def _sighting(item: Item, things: Sequence[BillingObject]) -> LookUpResult:
    if len(things) != 1:
        gone = payload_of(item).key["op_id"]
        return CannotLook(said("there is no operation {id} any more", id=gone), (gone,))
    return Found(things[0].values["op_id"]) if as_bool(things[0].values["storno"]) else Absent()


def _reading(item: Item, things: Sequence[BillingObject], now: Mapping[int, Decimal]) -> ReadBack:
    payload = payload_of(item)
    op_id = payload.key["op_id"]
    if len(things) != 1:
        return ReadBack(None, said("there is no operation {id} any more", id=op_id))
    if not as_bool(things[0].values["storno"]):
        return ReadBack(None, said("operation {id} is not reversed", id=op_id))
    before, balance = payload.wanted.get(BALANCE), now.get(payload.abonent)
    if before is None or balance is None or balance == Decimal(before):
        return ReadBack(item.amount)
    return ReadBack(
        item.amount,
        said(
            "operation {id} is reversed, but the balance is {balance}, and was {before} before the run: either there "
            "were operations after it, or a storno of type 8 does not bring the balance back",
            id=op_id,
            balance=balance,
            before=Decimal(before),
        ),
    )
