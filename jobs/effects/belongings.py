"""What hangs on a subscriber or a folder: it is not deleted while anything of others does.

Operations that an opposite entry has taken back cancel each other, and count no more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from billing.directory.models import BillingObject
from billing.directory.subscribers import within
from jobs.access.gateway import Gateway
from jobs.access.objects import NOBODY, TAKEN_BACK, find, needed
from jobs.access.operations import some_of
from jobs.access.payload import Payload
from jobs.access.subscribers import as_bool
from jobs.effects.before_image import changed_meanwhile
from jobs.effects.creatable_models import CREATABLE_MODELS, FOLDER_FLAG
from jobs.spec.entries import OPERATIONS, find_mark, without_marks
from texts.said import enumerated, said

_SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    OPERATIONS: ("op_summa",),
    "UsersUsluga": ("usluga_id",),
    "AttributeValues": ("attribute_id", "attribute_value"),
    "Users": ("login",),
}
"""The models whose objects belong to a subscriber, each with the fields by which it is named to people."""

_CHILDREN: Final = ("id", "contract_number", "name", "deleted")
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Belonging:
    """An object of a subscriber, by its model and its id; `text` names it to people."""

    model: str
    key: str
    text: str


async def belongings(gateway: Gateway, subscribers: Collection[int]) -> dict[int, list[Belonging]]:
    """What each of these subscribers has: operations, services, attributes, accounts. Raises `LookUpFailed`."""
    having: dict[int, list[Belonging]] = {one: [] for one in subscribers}
    for model, shown in _SHOWN.items():
        kind = CREATABLE_MODELS[model]
        fields = kind.fields((*shown, *((kind.comment,) if kind.comment else ())))
        found = await find(gateway, model, [{"abonent_id": str(one)} for one in having], fields)
        for owner, things in zip(having, found, strict=True):
            live = [one for one in things if kind.counts(one)]
            if model == OPERATIONS:
                live = _not_cancelled(live)
            having[owner] += [Belonging(model, str(one.values[kind.key]), kind.described(one, shown)) for one in live]
    return having


async def try_belongings(gateway: Gateway) -> None:
    """Look for what a subscriber has that no billing has. Raises `InputRefused`, `LookUpFailed`."""
    with needed(TAKEN_BACK):
        await belongings(gateway, [NOBODY])


async def inhabitants(gateway: Gateway, folder: int) -> str | None:
    """What lies in a folder, in words; None if it is empty. Raises `LookUpFailed`."""
    if gateway.database is not None:
        names = await gateway.read(lambda database: list(within(database, folder, _NAMED + 1)))
    else:
        (found,) = await find(gateway, "Abonents", [{"parent_id": str(folder)}], _CHILDREN)
        live = [one.values for one in found if CREATABLE_MODELS["Abonents"].counts(one)]
        names = [one["contract_number"] or one["name"] or str(one["id"]) for one in live]
    if len(names) > _NAMED:
        return said("{names} and others", names=tuple(names[:_NAMED]))
    return enumerated(names) if names else None


async def in_the_way(gateway: Gateway, payload: Payload) -> str | None:
    """Why an object must not be deleted now by an undo, None if it may be. Raises `LookUpFailed`."""
    if changed := changed_meanwhile(payload):
        return said("left alone, for it was changed since the plan: {change}", change=changed)
    if payload.model != "Abonents":
        return None
    key = int(payload.key["id"])
    if as_bool(payload.was.get(FOLDER_FLAG)):
        there = await inhabitants(gateway, key)
        return said("left alone, for the folder is not empty: {names}", names=there) if there else None
    having = (await belongings(gateway, [key]))[key]
    return said("left alone, for it has {things}", things=in_words(having)) if having else None


def in_words(things: Sequence[Belonging]) -> str:
    """Some of these objects, for a sentence."""
    return some_of([one.text for one in things])


def _not_cancelled(operations: Sequence[BillingObject]) -> list[BillingObject]:
    """The operations without those that an opposite entry has taken back, and without these entries."""
    ids = {str(one.values["op_id"]) for one in operations}
    opposites = {str(one.values["op_id"]): undone for one in operations if (undone := _undone_by(one)) in ids}
    cancelled = {*opposites, *opposites.values()}
    return [one for one in operations if str(one.values["op_id"]) not in cancelled]


def _undone_by(operation: BillingObject) -> str:
    """The id of the operation whose opposite this one is, "" for any other: an undo writes it before its mark."""
    comment = operation.values.get("descr") or ""
    return without_marks(comment).rpartition(" ")[2] if find_mark(comment) else ""
