"""Deletions: `objects.get → delete` [S], recognised by the object's absence.

A lost call is not sent again without a look-up. A second call would delete nothing, because the object is named by
its id and ids are not reused [?]; but its error would make a deleted row look refused. All fields of the object are
kept with the item and are its answer too: `export` shows them to anyone who must create it again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from billing.directory.models import MODELS, BillingObject, Key
from billing.directory.subscribers import within
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_WANTED
from engine.errors import LookUpFailed
from engine.evidence import Accepted, AlreadyThere, Evidence, Lost, NotSent, RowRefused, Seen
from engine.job import Absent, BeforeImageMode, CannotLook, Found, LookedFor, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    FOUND_AGAIN_AND_KEPT,
    NOBODY,
    TAKEN_BACK,
    find,
    key_of,
    lane_of,
    needed,
    not_one,
    try_finding,
)
from jobs.access.operations import some_of
from jobs.access.payload import Payload, chain_of, encode_payload, payload_of
from jobs.access.subscribers import as_bool
from jobs.effects.before_image import changed_meanwhile, describe_change, refresh_before_image, with_note
from jobs.effects.creatable_models import CREATABLE_MODELS, FOLDER_FLAG, difference, model_of
from jobs.effects.create import Back
from jobs.effects.effect import CallEffect, Irreversible, ItemToUndo
from jobs.effects.entered_operations import has_id, refused, skip_changed
from jobs.rows.binding import Bound
from jobs.spec.chain import Template
from jobs.spec.entries import OPERATIONS, find_mark, without_marks
from jobs.spec.spec import DELETE, GET
from texts.said import Quantity, enumerated, reason, said

# ---- what hangs on a subscriber or a folder -----------------------------------------------------------------------
# It is not deleted while anything of others does.
#
# Operations that an opposite entry has taken back cancel each other, and count no more.


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


# ---- deletions ----------------------------------------------------------------------------------------------------


DELETED: Final = "deleted"

_SAYS_GONE: Final = ("удалён", "удален", "does not exist")


_LEFT_TO_A_PERSON: Final = said(
    "what was deleted is left to a person: its fields are in the column carbon_answer of an export"
)


class DeleteEffect(CallEffect):
    """Deletes objects: those of an input, or those created by an earlier run.

    With `yields` an object is left alone that was changed after the plan, or that something hangs on.
    """

    looked_for = LookedFor.WHEN_TAKEN_UP

    def __init__(
        self, gateway: Gateway, template: Template, back: Back | None = None, *, yields: bool = False
    ) -> None:
        super().__init__(gateway, template.names)
        self._yields = yields
        self._template = template
        self._back = back
        together = gateway.database is not None and template.model in MODELS
        self.keeps = BeforeImageMode.TOGETHER if together else BeforeImageMode.ONE_BY_ONE

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        """Turn rows into items, which keep all fields. Raises `LookUpFailed`."""
        model = self._template.model
        steps = [self._template.fill(one.values) for one in bound]
        keys = [key_of(get.arguments) for get, _ in steps]
        found = await find(self._gateway, model, keys, _telling(model), _fields(model))
        return Prepared.of(
            [
                self._entry(one, key, things, delete.arguments)
                for one, key, things, (_, delete) in zip(bound, keys, found, steps, strict=True)
            ]
        )

    async def try_out(self) -> None:
        """Try the look-up with an id that no object has. Raises `InputRefused`, `LookUpFailed`."""
        model, get = self._template.model, self._template.links[0].arguments
        with needed(FOUND_AGAIN_AND_KEPT):
            await try_finding(self._gateway, model, get, _telling(model), _fields(model))
        if self._yields:
            await try_belongings(self._gateway)

    async def send(self, run: Run, item: Item) -> Seen:
        """Delete the object."""
        payload = payload_of(item)
        if as_bool(payload.was.get(DELETED)):
            return AlreadyThere(_by_others(payload))
        if self._yields:
            try:
                obstacle = await in_the_way(self._gateway, payload)
            except LookUpFailed as error:
                return NotSent(said("what hangs on it cannot be read: {error}", error=error))
            if obstacle is not None:
                return RowRefused(obstacle)
        return _evidence(await self._gateway.client.send(payload.call), payload, first=not item.attempts)

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """The payloads with the present values of their objects, where they have changed. Raises `LookUpFailed`.

        What is gone before the first call was deleted by somebody else, and is kept so.
        """
        payloads = [payload_of(item) for item in items]
        model = self._template.model
        keys = [payload.key for payload in payloads]
        found = await find(self._gateway, model, keys, _telling(model), _fields(model))
        anew = {
            item.item_id: refresh_before_image(payload, things[0].values)
            for item, payload, things in zip(items, payloads, found, strict=True)
            if len(things) == 1 and not _gone(things)
        } | {
            item.item_id: refresh_before_image(payload, {**payload.was, DELETED: "1"})
            for item, payload, things in zip(items, payloads, found, strict=True)
            if _gone(things) and not item.attempts
        }
        return {item_id: payload for item_id, payload in anew.items() if payload is not None}

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Whether the objects are gone. Raises `LookUpFailed`."""
        return {item.item_id: _sighting(payload_of(item), things) for item, things in await self._now(items)}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """Whether the objects are gone. Raises `LookUpFailed`."""
        return {
            item.item_id: ReadBack(None, None if _gone(things) else _still_there(payload_of(item)))
            for item, things in await self._now(items)
        }

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """The effect that creates the objects again, if there is one."""
        return self._back(how) if self._back else Irreversible(_LEFT_TO_A_PERSON)

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """Delete the objects that an earlier run created, unless changed since. Raises `LookUpFailed`."""
        model = self._template.model
        known = [one for one in taken if has_id(one)]
        keys = [{"id": one.answer or ""} for one in known]
        # Fields that were sent and are not documented are compared as well.
        sent = dict.fromkeys(name for one in known for name in one.payload.wanted)
        found = await find(self._gateway, model, keys, (*_telling(model), *sent), _fields(model))
        there = {one.item_id: things for one, things in zip(known, found, strict=True)}
        return Prepared.of([self._back_again(one, there.get(one.item_id)) for one in taken])

    def _entry(
        self, one: Bound, key: Key, things: Sequence[BillingObject], arguments: Mapping[str, object]
    ) -> NewItem | Refusal:
        model = self._template.model
        if len(things) != 1:
            return one.refused(not_one(model, key, len(things)))
        (thing,) = things
        named = thing.values[_id(model)] or ""
        return NewItem(
            key=named,
            label=thing.label or one.label,
            lane=lane_of(model, key, thing),
            payload=encode_payload(msgspec.structs.replace(_payload(model, thing, arguments), named=dict(one.named))),
            line=one.row.line,
            row=one.row.cells,
            skip_reason=_is_deleted(model, named) if _gone(things) else None,
        )

    def _back_again(self, one: ItemToUndo, things: Sequence[BillingObject] | None) -> NewItem | Refusal:
        model = self._template.model
        if things is None or one.answer is None:
            return refused(
                one, said("the id of what was created is not known: delete the {model} by hand", model=model)
            )
        if _gone(things):
            return skip_changed(
                one,
                said("already as it was: {noun} {id} is gone", noun=model_of(one.payload).noun, id=one.answer),
            )
        if differs := difference(one.payload, things):
            return skip_changed(one, said("changed since: {change}", change=differs))
        (thing,) = things
        return NewItem(
            key=one.key,
            label=one.label,
            lane=lane_of(model, {"id": one.answer}, thing),
            payload=encode_payload(_payload(model, thing, self._template.fill({"id": one.answer})[1].arguments)),
            row=one.cells,
            undoes=one.item_id,
        )

    async def _now(self, items: Sequence[Item]) -> list[tuple[Item, list[BillingObject]]]:
        model = self._template.model
        found = await find(self._gateway, model, [payload_of(item).key for item in items], _telling(model))
        return list(zip(items, found, strict=True))


def _fields(model: str) -> tuple[str, ...]:
    """All known fields of a model's objects."""
    return MODELS[model].fields if model in MODELS else ("id",)


def _telling(model: str) -> tuple[str, ...]:
    """The fields that show whether an object is deleted."""
    return tuple(name for name in (_id(model), DELETED) if name in _fields(model))


def _id(model: str) -> str:
    return CREATABLE_MODELS[model].key if model in CREATABLE_MODELS else "id"


def _payload(model: str, thing: BillingObject, arguments: Mapping[str, object]) -> Payload:
    name = _id(model)
    key = str(thing.values[name])
    return Payload(
        model=model,
        # The call names the id, whatever key found the object, so it cannot reach another one.
        steps=chain_of((GET, {name: int(key)}), (DELETE, arguments)),
        abonent=thing.abonent_id or 0,
        key={name: key},
        wanted={DELETED: "1"},
        was=dict(thing.values),
    )


def _evidence(evidence: Evidence, payload: Payload, *, first: bool) -> Seen:
    match evidence:
        case RowRefused(text) if first and any(word in text.casefold() for word in _SAYS_GONE):
            return AlreadyThere(_by_others(payload))
        # An earlier call of ours may have had its effect late.
        case RowRefused(text) if any(word in text.casefold() for word in _SAYS_GONE):
            return Lost(said("refused, and whether it is gone has to be looked up: {reason}", reason=text))
        case Accepted(result={"pk": pk, "model": model}) if (model, str(pk)) != (payload.model, _key(payload)):
            return _about_another(f"{model} {pk}", payload)
        case Accepted(result={"pk": pk}) if str(pk) != _key(payload):
            return _about_another(str(pk), payload)
        case Accepted():
            return with_note(Accepted(_kept(payload)), payload)
    return evidence


def _about_another(answered: str, payload: Payload) -> Evidence:
    return Lost(said("an answer about {answered}, and {object} was to go", answered=answered, object=_named(payload)))


def _is_deleted(model: str, named: str) -> str:
    return reason("already as wanted: {model} {id} is deleted", AS_WANTED, model=model, id=named)


def _by_others(payload: Payload) -> str:
    return reason(
        "already as wanted: somebody else has deleted {object} since the list was made",
        AS_WANTED,
        object=_named(payload),
    )


def _still_there(payload: Payload) -> str:
    return said("{object} is still there", object=_named(payload))


def _sighting(payload: Payload, things: Sequence[BillingObject]) -> LookUpResult:
    if len(things) > 1:
        return CannotLook(
            said("the billing has {n} of {object}", n=Quantity(len(things)), object=_named(payload)),
            tuple(str(thing.values.get("id")) for thing in things),
        )
    return Found(_kept(payload), describe_change(payload)) if _gone(things) else Absent()


def _gone(things: Sequence[BillingObject]) -> bool:
    return all(as_bool(thing.values.get(DELETED)) for thing in things)


def _kept(payload: Payload) -> str:
    """The deleted object as JSON, which the item keeps as its answer."""
    return msgspec.json.encode({name: value for name, value in payload.was.items() if value is not None}).decode()


def _key(payload: Payload) -> str:
    return payload.key[_id(payload.model)]


def _named(payload: Payload) -> str:
    return f"{payload.model} {_key(payload)}"
