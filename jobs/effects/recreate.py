"""Deleted objects, created again with their kept fields and new ids."""

from collections.abc import Sequence
from typing import Final

from billing.directory.models import BillingObject
from checkpoints.records import NewItem, Refusal
from engine.job import Prepared
from jobs.access.gateway import Gateway
from jobs.access.objects import find, lane_of
from jobs.access.payload import encode_payload
from jobs.effects.creatable_models import CREATABLE_MODELS, room_for_text
from jobs.effects.create import payload_for
from jobs.effects.effect import ItemToUndo
from jobs.effects.entered_operations import refused, skip_changed
from jobs.spec.entries import LONGEST_COMMENT, MARK_ROOM, without_marks
from texts.said import said

_OWN: Final = frozenset({"id", "deleted"})
"""Fields that the billing sets itself in a new object."""
_NUMBERS: Final = frozenset({"abonent_id", "usluga_id", "manager_id", "attribute_id", "enabled"})
_LONGEST_NUMBER: Final = 18
_MOMENTS: Final = frozenset({"next_date"})
_DAY: Final = len("2019-06-01")


async def renew(gateway: Gateway, model: str, taken: Sequence[ItemToUndo]) -> Prepared:
    """A new object for each deleted one, unless an equal one exists again. Raises `LookUpFailed`."""
    kind = CREATABLE_MODELS[model]
    same = [{name: one.payload.was.get(name) or "" for name in kind.same} for one in taken]
    alike = await find(gateway, model, same, kind.fields(kind.same))
    owners = await find(gateway, "Abonents", [{"id": str(one.payload.abonent)} for one in taken], ("id", "deleted"))
    room = await room_for_text(gateway, model)
    return Prepared.of(
        [_renewed(model, *each, room) for each in zip(taken, alike, owners, strict=True)],
    )


def _renewed(
    model: str, one: ItemToUndo, alike: Sequence[BillingObject], owners: Sequence[BillingObject], room: int | None
) -> NewItem | Refusal:
    kind = CREATABLE_MODELS[model]
    there = [thing for thing in alike if kind.counts(thing)]
    if there:
        found = tuple(kind.described(thing, kind.same) for thing in there)
        return skip_changed(one, said("changed since: the run deleted it, and now there is {found}", found=found))
    if len(owners) != 1 or owners[0].values.get("deleted") != "0":
        return refused(
            one,
            said("abonent {id} is deleted since: nothing can be given to it", id=one.payload.abonent),
        )
    old = str(one.payload.was.get("id"))
    arguments = _arguments(one, kind.comment, room)
    return NewItem(
        key=one.key,
        label=one.label,
        lane=lane_of(model, {"id": old}, owners[0]),
        payload=encode_payload(payload_for(model, arguments, one.payload.abonent)),
        row=one.cells,
        undoes=one.item_id,
    )


def _arguments(one: ItemToUndo, comment: str, room: int | None) -> dict[str, object]:
    """The kept fields as arguments of a call; the comment is shortened to fit the new mark."""
    kept = {name: value for name, value in one.payload.was.items() if value is not None and name not in _OWN}
    arguments: dict[str, object] = {name: _argument(name, value) for name, value in kept.items()}
    if comment and comment in kept:
        text = without_marks(kept[comment])
        longest = LONGEST_COMMENT - MARK_ROOM if room is None else room
        arguments[comment] = text if len(text) <= longest else text[: max(longest - 1, 0)].rstrip() + "…"
    return arguments


def _argument(name: str, value: str) -> object:
    if name in _NUMBERS and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    # The plain spelling leaves out the time of a midnight.
    return f"{value} 00:00:00" if name in _MOMENTS and len(value) == _DAY else value
