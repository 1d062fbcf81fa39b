"""Before-images: the values that a call overwrites, read again before the call and restored by an undo."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import msgspec

from billing.directory.models import Values, same_value, same_values
from billing.money import wire
from engine.evidence import Accepted
from jobs.access.objects import describe_fields
from jobs.access.payload import Payload
from jobs.effects.creatable_models import BALANCE
from jobs.spec.spec import SET
from texts.said import said


def refresh_before_image(payload: Payload, now: Values) -> Payload | None:
    """The payload with the present values as its before-image; None if it has them already."""
    if same_values(now, payload.was):
        return None
    planned = payload.planned or payload.was
    planned = {} if same_values(planned, now) else planned
    return msgspec.structs.replace(payload, was=dict(now), planned=planned, after=0)


def found_own(number: int, payload: Payload, mates: Sequence["Mate"]) -> Payload:
    """The payload of an item, with the number of the earlier item of its run whose values it overwrites.

    `mates` are the accepted items of its lane, in order; the last earlier one at the same place counts.
    """
    earlier = [one for one in at_its_place(payload, mates) if one.number < number]
    if not earlier or not any(same_values(payload.was, left) for left in _left_by(earlier[-1].payload)):
        return payload
    return msgspec.structs.replace(payload, after=earlier[-1].number)


def changed_meanwhile(payload: Payload) -> str | None:
    """The values changed between plan and call that the call overwrites, in words; None without any."""
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
    return said("it was {was}, and then {changed}", was=describe_fields(was), changed=describe_fields(changed))


def describe_change(payload: Payload) -> str | None:
    """The note on an accepted item for people, None without one."""
    changed = changed_meanwhile(payload)
    if changed is None:
        return None
    if payload.after:
        # Such rows are counted without a warning.
        return said(
            "found what an earlier row of this run had set: row {number}; an undo brings back what was there before "
            "the run",
            number=payload.after,
        )
    return said("changed between plan and call: {change}; an undo brings the latter back", change=changed)


def with_note(evidence: Accepted, payload: Payload) -> Accepted:
    """The evidence of an accepted call, with its note."""
    return msgspec.structs.replace(evidence, note=describe_change(payload), own=bool(payload.after))


@dataclass(frozen=True, slots=True)
class Mate:
    """An accepted item in the same lane of a run; `stands` until it is taken back."""

    number: int
    payload: Payload
    stands: bool


class BeforeRun(NamedTuple):
    """What the place of an item was before its run, and what became of it since.

    `was` are the values before the first item of the run wrote there: two subscribers with one account are two rows
    for one place, and the second overwrites the values of the first. `later` is the number of the last later item
    there that still stands. `left` is the balance after all of them if each has added its sum, None if none keeps a
    balance.
    """

    was: Values
    later: int | None
    left: Decimal | None


def before_run(number: int, payload: Payload, mates: Sequence[Mate]) -> BeforeRun:
    """What the place of an item was before its run; `mates` are the accepted items of its lane, in order."""
    there = at_its_place(payload, mates)
    was: Values = payload.was
    for one in reversed(there):
        if one.number < number and any(same_values(was, left) for left in _left_by(one.payload)):
            was = one.payload.was
    later = max((one.number for one in there if one.stands and one.number > number), default=None)
    left = None
    if keeping := [one for one in there if _may_set_balance(one.payload)]:
        last = keeping[-1].payload
        taken_back = sum((_sum(one.payload) for one in keeping if not one.stands), Decimal(0))
        left = Decimal(last.was[BALANCE] or 0) + _sum(last) - taken_back
    return BeforeRun(was, later, left)


def shares_place(payload: Payload) -> bool:
    """Whether two rows of a run may write to its place: the account, which two subscribers may share."""
    return _may_set_balance(payload) or "account_id_abonents" in payload.key


def at_its_place(payload: Payload, mates: Sequence[Mate]) -> list[Mate]:
    """Those of the accepted items of a lane that write to the place of a payload, in their order."""

    def place(one: Payload) -> tuple[str, ...]:
        # The lane already names the account, so a place that is the account needs no key. An import sets fields of
        # one object one by one.
        key = () if shares_place(one) else one.key.values()
        is_set = any(method == SET for method, _ in one.steps)
        return (one.model, *key, *(sorted(one.wanted) if is_set else ()))

    own = place(payload)
    return [one for one in mates if place(one.payload) == own]


def _may_set_balance(payload: Payload) -> bool:
    return payload.model == "FinanceOperations" and BALANCE in payload.was


def _left_by(payload: Payload) -> tuple[Values, ...]:
    """The possible values after its call; it is not known whether type 8 sets a balance or adds to it [?]."""
    if not _may_set_balance(payload):
        return (payload.wanted,)
    entered, before = _sum(payload), Decimal(payload.was[BALANCE] or 0)
    return ({BALANCE: wire(entered)}, {BALANCE: wire(before + entered)})


def _sum(payload: Payload) -> Decimal:
    return Decimal(payload.wanted["op_summa"] or 0)
