"""The finance operations that a run has entered, as they are now: to take back, or to leave alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from billing.directory.models import OPENING_BALANCE, BillingObject
from billing.profile import Profile
from checkpoints.records import NewItem, Refusal
from jobs.access.gateway import Gateway
from jobs.access.objects import TAKEN_BACK, find, lane_of, needed, try_finding
from jobs.access.payload import Payload, encode_payload
from jobs.access.subscribers import as_bool
from jobs.effects.creatable_models import BALANCE
from jobs.effects.effect import ItemToUndo
from texts.said import enumerated, said

MODEL: Final = "FinanceOperations"
SUM_IN: Final = "SUM_IN"
"""The sum among the wanted fields of a payment. The answer does not contain the id of its operation [?]."""
_DAY: Final = len("2019-06-01")
LAST: Final = "op_id"
"""The subscriber's last operation, in the before-image of a payment."""
FIELDS: Final = ("op_id", "op_type_id", "op_summa", "storno")
BESIDES: Final = ("op_date",)
"""Further fields for display, if the billing has them."""


@dataclass(frozen=True, slots=True)
class EnteredOperation:
    """An unchanged operation of the run; `before` is the account's balance before it, None if not kept."""

    taken: ItemToUndo
    thing: BillingObject
    amount: Decimal
    before: Decimal | None

    @property
    def op_id(self) -> str:
        """The id of the operation."""
        return str(self.thing.values["op_id"])

    @property
    def op_type(self) -> int:
        """The type of the operation."""
        return int(self.thing.values["op_type_id"] or 0)

    @property
    def sets_balance(self) -> bool:
        """Whether it may have set the balance instead of adding to it."""
        return self.op_type == OPENING_BALANCE

    @property
    def left_by_adding(self) -> Decimal:
        """The balance after all operations of its run on the account, if each has added its sum."""
        alone = (self.before or Decimal(0)) + self.amount
        return alone if self.taken.left is None else self.taken.left

    def __str__(self) -> str:
        return said("operation {id} of {amount}", id=self.op_id, amount=self.amount)


Standing: TypeAlias = EnteredOperation | NewItem | Refusal
"""An operation that can be taken back, or the skipped or refused item."""


async def still_in_effect(gateway: Gateway, taken: Sequence[ItemToUndo]) -> list[Standing]:
    """The present state of the operations of these items, in their order. Raises `LookUpFailed`."""
    known = [one for one in taken if has_id(one)]
    unknown = [one for one in taken if not has_id(one) and SUM_IN in one.payload.wanted]
    by_id = await find(gateway, MODEL, [{"op_id": one.answer or ""} for one in known], FIELDS, BESIDES)
    newer = await find(gateway, MODEL, [{"abonent_id": str(one.payload.abonent)} for one in unknown], FIELDS, BESIDES)
    found = {one.item_id: things for one, things in zip(known, by_id, strict=True)}
    found |= {
        one.item_id: since(one.payload.was.get(LAST), amount_of(one), things, gateway.profile)
        for one, things in zip(unknown, newer, strict=True)
    }
    act = str(gateway.profile.act_type.value)
    return [_standing(one, found.get(one.item_id), act) for one in taken]


async def try_standing(gateway: Gateway) -> None:
    """Try each look-up with an id that no operation has. Raises `InputRefused`, `LookUpFailed`."""
    with needed(TAKEN_BACK):
        await try_finding(gateway, MODEL, ("op_id",), FIELDS, BESIDES)
        await try_finding(gateway, MODEL, ("abonent_id",), FIELDS, BESIDES)


def amount_of(one: ItemToUndo) -> Decimal:
    """The sum that an item has entered, in roubles."""
    wanted = one.payload.wanted
    return Decimal(wanted.get(SUM_IN) or wanted.get("op_summa") or 0)


def since(
    last: str | None, amount: Decimal, things: Sequence[BillingObject], profile: Profile
) -> list[BillingObject]:
    """The operations of this sum that are newer than the one with the id `last`; ids ascend [?].

    Acts are left out where a probe has seen which type they have, because the charge of a month often equals its
    payment. Any other type may be a payment, and so may an operation that cannot be read.
    """
    acts = str(profile.act_type.value) if profile.act_type.known else None
    return [
        thing
        for thing in things
        if ("op_id" in thing.faults or int(thing.values["op_id"] or 0) > int(last or 0))
        and ("op_summa" in thing.faults or Decimal(thing.values["op_summa"] or 0) == amount)
        and (acts is None or thing.values["op_type_id"] != acts)
    ]


def list_objects(things: Sequence[BillingObject]) -> str:
    """Operations in words, each with its type."""
    return enumerated(
        said("{operation} (type {type})", operation=_listed(thing), type=str(thing.values["op_type_id"]))
        for thing in things
    )


def _listed(thing: BillingObject) -> str:
    text = said(
        "operation {id} of {amount}, {day}",
        id=str(thing.values["op_id"]),
        amount=thing.faults.get("op_summa") or Decimal(thing.values["op_summa"] or 0),
        day=str(thing.values.get("op_date") or "")[:_DAY] or said("without a date"),
    )
    return said("{operation} (reversed by storno)", operation=text) if as_bool(thing.values["storno"]) else text


def has_id(one: ItemToUndo) -> bool:
    """Whether the id of the object that an item created is known."""
    return bool(one.answer) and str(one.answer).isdecimal()


def skip_changed(one: ItemToUndo, reason: str) -> NewItem:
    """A skipped item, which takes nothing back."""
    return NewItem(
        key=one.key,
        label=one.label,
        lane=f"item:{one.item_id}",
        payload=encode_payload(one.payload),
        row=one.cells,
        skip_reason=reason,
        undoes=one.item_id,
    )


def leave_unproven(one: ItemToUndo, entry: NewItem | Refusal) -> NewItem | Refusal:
    """The entry that takes an item back, skipped where the item may be somebody else's."""
    if not one.unproven or isinstance(entry, Refusal) or entry.skip_reason is not None:
        return entry
    return skip_changed(one, _UNPROVEN)


_UNPROVEN: Final = said(
    "left alone, for it may be somebody else's: it was found without a mark when its outcome was looked up"
)


def replaced_in_run(later: int) -> str:
    """Why an item is left alone if a later one of its run has written to the same place."""
    return said(
        "row {number} of the same run has replaced it: taking that one back brings back what was before both",
        number=later,
    )


def taking_back(
    entry: EnteredOperation, payload: Payload, amount: Decimal, skip_reason: str | None = None
) -> NewItem:
    """The item that takes an operation back; the operation itself must not be taken back twice."""
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


def _standing(one: ItemToUndo, things: Sequence[BillingObject] | None, act: str) -> Standing:
    amount = amount_of(one)
    if things is None:
        return refused(
            one, said("the id of its operation of {amount} is not known: take it back by hand", amount=amount)
        )
    if len(things) > 1 or (things and not has_id(one) and things[0].values["op_type_id"] == act):
        return skip_changed(
            one,
            said(
                "which operation is its own cannot be told: {operations}. Take the right one back by hand",
                operations=list_objects(things),
            ),
        )
    if reason := _changed(one, amount, things[0] if things else None):
        return skip_changed(one, reason)
    before = one.payload.was.get(BALANCE)
    return EnteredOperation(one, things[0], amount, None if before is None else Decimal(before))


def _changed(one: ItemToUndo, amount: Decimal, thing: BillingObject | None) -> str | None:
    """How an operation has been changed since, None if it is as the run entered it."""
    if thing is None:
        if one.answer:
            return said("changed since: operation {id} is no longer there", id=one.answer)
        return said("changed since: an operation of {amount} is no longer there", amount=amount)
    if thing.abonent_id != one.payload.abonent:
        return said(
            "{operation} is one of abonent {id}, and not of {label}",
            operation=_listed(thing),
            id=str(thing.abonent_id),
            label=one.label,
        )
    if as_bool(thing.values["storno"]):
        return said("already taken back: {operation}", operation=_listed(thing))
    if Decimal(thing.values["op_summa"] or 0) != amount:
        return said(
            "changed since: the run entered {amount}, and now there is {operation}",
            amount=amount,
            operation=_listed(thing),
        )
    return None
