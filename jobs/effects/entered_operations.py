"""The finance operations that a run has entered, as they are now: what can be taken back, and what is left alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from billing.directory.models import ACT, OPENING_BALANCE, BillingObject
from checkpoints.records import NewItem, Refusal
from jobs.access.gateway import Gateway
from jobs.access.objects import TAKEN_BACK, find, lane_of, needed, try_finding
from jobs.access.operations import two_decimals
from jobs.access.payload import Payload, encode_payload
from jobs.access.subscribers import as_bool
from jobs.effects.creatable_models import BALANCE
from jobs.effects.effect import ItemToUndo

MODEL: Final = "FinanceOperations"
SUM_IN: Final = "SUM_IN"
"""Among the wanted fields of a payment: its sum. What the id of its operation is, its answer does not say [?]."""
LAST: Final = "op_id"
"""Among what was before a payment: the last operation that the subscriber had."""
FIELDS: Final = ("op_id", "op_type_id", "op_summa", "storno")
BESIDES: Final = ("op_date",)
"""What an operation is shown with, where the billing has it."""


@dataclass(frozen=True, slots=True)
class EnteredOperation:
    """An operation that is as the run has entered it; `before` is the account's balance then, None where not kept."""

    taken: ItemToUndo
    thing: BillingObject
    amount: Decimal
    before: Decimal | None

    @property
    def op_id(self) -> str:
        """Its id."""
        return str(self.thing.values["op_id"])

    @property
    def op_type(self) -> int:
        """Its type."""
        return int(self.thing.values["op_type_id"] or 0)

    @property
    def sets_balance(self) -> bool:
        """Whether it may have set the balance, in place of adding to it."""
        return self.op_type == OPENING_BALANCE

    @property
    def left_by_adding(self) -> Decimal:
        """What it left, with the others of its run on the same account, if each has added its sum."""
        alone = (self.before or Decimal(0)) + self.amount
        return alone if self.taken.left is None else self.taken.left

    def __str__(self) -> str:
        return f"operation {self.op_id} of {two_decimals(self.amount)}"


Standing: TypeAlias = EnteredOperation | NewItem | Refusal
"""An operation that can be taken back, or why not."""


async def still_in_effect(gateway: Gateway, taken: Sequence[ItemToUndo]) -> list[Standing]:
    """What became of the operations of these items, in their order. Raises `LookUpFailed`."""
    known = [one for one in taken if has_id(one)]
    unknown = [one for one in taken if not has_id(one) and SUM_IN in one.payload.wanted]
    by_id = await find(gateway, MODEL, [{"op_id": one.answer or ""} for one in known], FIELDS, BESIDES)
    newer = await find(gateway, MODEL, [{"abonent_id": str(one.payload.abonent)} for one in unknown], FIELDS, BESIDES)
    found = {one.item_id: things for one, things in zip(known, by_id, strict=True)}
    found |= {
        one.item_id: since(one.payload.was.get(LAST), amount_of(one), things)
        for one, things in zip(unknown, newer, strict=True)
    }
    return [_standing(one, found.get(one.item_id)) for one in taken]


async def try_standing(gateway: Gateway) -> None:
    """Look for an operation that is not there, in each way that is used. Raises `InputRefused`, `LookUpFailed`."""
    with needed(TAKEN_BACK):
        await try_finding(gateway, MODEL, ("op_id",), FIELDS, BESIDES)
        await try_finding(gateway, MODEL, ("abonent_id",), FIELDS, BESIDES)


def amount_of(one: ItemToUndo) -> Decimal:
    """The sum that an item has entered, in roubles."""
    wanted = one.payload.wanted
    return Decimal(wanted.get(SUM_IN) or wanted.get("op_summa") or 0)


def since(last: str | None, amount: Decimal, things: Sequence[BillingObject]) -> list[BillingObject]:
    """The operations of that sum which are newer than the one of that id, for ids ascend [?].

    Acts are left out: what a month costs and what is paid for it is often the same. Any other may be a payment's, and
    so may one that cannot be read.
    """
    return [
        thing
        for thing in things
        if ("op_id" in thing.faults or int(thing.values["op_id"] or 0) > int(last or 0))
        and ("op_summa" in thing.faults or Decimal(thing.values["op_summa"] or 0) == amount)
        and thing.values["op_type_id"] != str(ACT)
    ]


def list_objects(things: Sequence[BillingObject]) -> str:
    """Operations in a sentence."""
    return ", ".join(
        f"operation {thing.values['op_id']} of {_sum_of(thing)}, "
        f"{str(thing.values.get('op_date') or 'without a date')[:10]}"
        + (" (reversed by storno)" if as_bool(thing.values["storno"]) else "")
        for thing in things
    )


def _sum_of(thing: BillingObject) -> str:
    return thing.faults.get("op_summa") or two_decimals(Decimal(thing.values["op_summa"] or 0))


def has_id(one: ItemToUndo) -> bool:
    """Whether the id of what an item has created is known."""
    return bool(one.answer) and str(one.answer).isdecimal()


def skip_changed(one: ItemToUndo, reason: str) -> NewItem:
    """An item that takes nothing back, for somebody has changed something since."""
    return NewItem(
        key=one.key,
        label=one.label,
        lane=f"item:{one.item_id}",
        payload=encode_payload(one.payload),
        row=one.cells,
        skip_reason=reason,
        undoes=one.item_id,
    )


def replaced_in_run(later: int) -> str:
    """Why an item is left alone whose place a later one of its own run has written to."""
    return f"row {later} of the same run has replaced it: taking that one back brings back what was before both"


def taking_back(
    entry: EnteredOperation, payload: Payload, amount: Decimal, skip_reason: str | None = None
) -> NewItem:
    """The item that takes an operation back; the operation is what must not be taken back twice."""
    one = entry.taken
    return NewItem(
        key=one.key,
        label=one.label,
        lane=lane_of(MODEL, {"op_id": entry.op_id}, entry.thing),
        payload=encode_payload(payload),
        amount=amount,
        row=one.cells,
        skip_reason=skip_reason,
        undoes=one.item_id,
    )


def refused(one: ItemToUndo, reason: str) -> Refusal:
    """An item that cannot be taken back."""
    return Refusal(None, None, one.label, reason, one.cells)


def _standing(one: ItemToUndo, things: Sequence[BillingObject] | None) -> Standing:
    amount = amount_of(one)
    if things is None:
        return refused(one, f"the id of its operation of {two_decimals(amount)} is not known: take it back by hand")
    if len(things) > 1:
        return skip_changed(
            one, f"which operation is its own cannot be told: {list_objects(things)}. Take the right one back by hand"
        )
    if reason := _changed(one, things[0] if things else None):
        return skip_changed(one, reason)
    before = one.payload.was.get(BALANCE)
    return EnteredOperation(one, things[0], amount, None if before is None else Decimal(before))


def _changed(one: ItemToUndo, thing: BillingObject | None) -> str | None:
    """What somebody has done to an operation since, None where it is as the run has entered it."""
    amount = two_decimals(amount_of(one))
    if thing is None:
        named = f"operation {one.answer}" if one.answer else f"an operation of {amount}"
        return f"changed since: {named} is no longer there"
    if thing.abonent_id != one.payload.abonent:
        return f"{list_objects([thing])} is one of abonent {thing.abonent_id}, and not of {one.label}"
    if as_bool(thing.values["storno"]):
        return f"already taken back: {list_objects([thing])}"
    if Decimal(thing.values["op_summa"] or 0) != amount_of(one):
        return f"changed since: the run entered {amount}, and now there is {list_objects([thing])}"
    return None
