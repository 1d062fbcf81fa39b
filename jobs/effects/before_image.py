"""What an item keeps of what its call overwrites: seen anew before the call, told, and found again by an undo."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from billing.directory.values import Values, same_value, same_values
from billing.money import wire
from engine.evidence import Accepted
from jobs.access.objects import describe_fields
from jobs.access.payload import Payload
from jobs.effects.creatable_models import BALANCE

FOUND_OWN: Final = "found what an earlier row of this run had set"
"""The kind of rows that reach an account which the run has written to before: counted, and no warning."""


def refresh_before_image(payload: Payload, now: Values) -> Payload | None:
    """The payload with what there is now as what it overwrites; None where it keeps just that."""
    if same_values(now, payload.was):
        return None
    planned = payload.planned or payload.was
    planned = {} if same_values(planned, now) else planned
    return msgspec.structs.replace(payload, was=dict(now), planned=planned, after=0)


def found_own(number: int, payload: Payload, mates: Sequence["Mate"]) -> Payload:
    """The payload of an item, with the number of the earlier one of its run that has set what it overwrites.

    `mates` are the accepted items of its lane, in their order: the last one to write to the same place counts.
    """
    earlier = [one for one in _at_its_place(payload, mates) if one.number < number]
    if not earlier or not any(same_values(payload.was, left) for left in _left_by(earlier[-1].payload)):
        return payload
    return msgspec.structs.replace(payload, after=earlier[-1].number)


def changed_meanwhile(payload: Payload) -> str | None:
    """What was changed between the plan and the call, and is overwritten; None where nothing was."""
    wanted, planned = payload.wanted, payload.planned
    changed = {
        name: value
        for name, value in payload.was.items()
        if planned
        and not same_value(name, value, planned.get(name))
        and not (name in wanted and same_value(name, value, wanted[name]))
    }
    if not changed:
        return None
    was = {name: planned.get(name) for name in changed}
    return f"it was {describe_fields(was)}, and then {describe_fields(changed)}"


def describe_change(payload: Payload) -> str | None:
    """What a person should know of an item that was accepted."""
    changed = changed_meanwhile(payload)
    if changed is None:
        return None
    if payload.after:
        return f"{FOUND_OWN}: row {payload.after}; an undo brings back what was there before the run"
    return f"changed between plan and call: {changed}; an undo brings the latter back"


def with_note(evidence: Accepted, payload: Payload) -> Accepted:
    """A call that was accepted, with what a person should know of it."""
    return msgspec.structs.replace(evidence, note=describe_change(payload), own=bool(payload.after))


@dataclass(frozen=True, slots=True)
class Mate:
    """An accepted item of a run, beside the others of its lane; `stands` while nothing has taken it back."""

    number: int
    payload: Payload
    stands: bool


def value_before_run(number: int, payload: Payload, mates: Sequence[Mate]) -> Values:
    """What there was before the first item of the run that wrote to the same place, one after the other.

    `mates` are the accepted items of its lane, in their order. Two subscribers with one account are two rows of a run
    for one place, and what the second has found there is what the first has set.
    """
    was: Values = payload.was
    for one in reversed(_at_its_place(payload, mates)):
        if one.number < number and any(same_values(was, left) for left in _left_by(one.payload)):
            was = one.payload.was
    return was


def replaced_by(number: int, payload: Payload, mates: Sequence[Mate]) -> int | None:
    """The number of the last item that wrote to the same place after this one and stands, None where none did."""
    later = [one.number for one in _at_its_place(payload, mates) if one.stands and one.number > number]
    return max(later, default=None)


def left_by_adding(payload: Payload, mates: Sequence[Mate]) -> Decimal | None:
    """The balance that the operations of a lane left if each has added its sum, None where nobody kept it."""
    there = [one for one in _at_its_place(payload, mates) if _may_set_balance(one.payload)]
    if not there:
        return None
    last = there[-1].payload
    taken_back = sum((_sum(one.payload) for one in there if not one.stands), Decimal(0))
    return Decimal(last.was[BALANCE] or 0) + _sum(last) - taken_back


def shares_place(payload: Payload) -> bool:
    """Whether two rows of a run may write to its place: it is the account, and two subscribers may have one."""
    return _may_set_balance(payload) or "account_id_abonents" in payload.key


def _at_its_place(payload: Payload, mates: Sequence[Mate]) -> list[Mate]:
    return [one for one in mates if _place(one.payload) == _place(payload)]


def _place(payload: Payload) -> tuple[str, ...]:
    """What tells places apart that lie in one lane."""
    # The lane is that of the account: where the account is the place, it needs no name.
    return (payload.model,) if shares_place(payload) else (payload.model, *payload.key.values())


def _may_set_balance(payload: Payload) -> bool:
    return payload.model == "FinanceOperations" and BALANCE in payload.was


def _left_by(payload: Payload) -> tuple[Values, ...]:
    """What there may be after its call; whether an entry of type 8 sets a balance or adds to it is not known [?]."""
    if not _may_set_balance(payload):
        return (payload.wanted,)
    entered, before = _sum(payload), Decimal(payload.was[BALANCE] or 0)
    return ({BALANCE: wire(entered)}, {BALANCE: wire(before + entered)})


def _sum(payload: Payload) -> Decimal:
    return Decimal(payload.wanted["op_summa"] or 0)
