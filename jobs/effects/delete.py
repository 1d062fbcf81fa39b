"""Deletions: `objects.get → delete` [S], recognised by the object's absence.

A lost call is not sent again without a look-up. A second call would delete nothing, because the object is named by
its id and ids are not reused [?]; but its error would make a deleted row look refused. All fields of the object are
kept with the item and are its answer too: `export` shows them to anyone who must create it again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from billing.api.calls import ChainStep
from billing.directory.models import MODELS, BillingObject, Key, as_bool
from billing.directory.objects import meets_key
from billing.directory.subscribers import within
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_IT_WAS, AS_WANTED, held_back
from engine.errors import LookUpFailed
from engine.evidence import Accepted, AlreadyThere, Lost, NotSent, RowRefused, Seen
from engine.job import Absent, BeforeImageMode, CannotLook, Found, LookedFor, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    FOUND_AGAIN_AND_KEPT,
    NOBODY,
    TAKEN_BACK,
    differences,
    find,
    find_by,
    key_of,
    lane_of,
    needed,
    not_one,
    try_finding,
)
from jobs.access.payload import Payload, payload_of
from jobs.effects.creatable_models import (
    CREATABLE_MODELS,
    FOLDER_FLAG,
    SUBSCRIBERS,
    difference,
    fields_of,
    is_still,
    like_these,
    model_of,
    own_of,
    several,
    taken_back_by,
    under_marks,
)
from jobs.effects.create import Back
from jobs.effects.effect import (
    CallEffect,
    ItemToUndo,
    about_another,
    changed_meanwhile,
    describe_change,
    has_id,
    is_anothers,
    of_each,
    refresh_before_image,
    skip_changed,
    with_note,
)
from jobs.rows.binding import ABONENT, Bound
from jobs.spec.chain import Template
from jobs.spec.entries import OPERATIONS
from jobs.spec.spec import DELETE, GET
from texts.said import Quantity, enumerated, reason, said, some_of

# ---- what hangs on a subscriber or a folder -----------------------------------------------------------------------
# It is not deleted while anything of others does.

_SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    OPERATIONS: ("op_summa",),
    "UsersUsluga": ("usluga_id",),
    "AttributeValues": ("attribute_id", "attribute_value"),
    "Users": ("login",),
}
"""The models whose objects belong to a subscriber, each with the fields by which it is named to people."""

_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Belonging:
    """An object of a subscriber, by its model and its id; `text` names it to people."""

    model: str
    key: str
    text: str


async def belongings(gateway: Gateway, subscribers: Collection[int]) -> dict[int, list[Belonging]]:
    """What each of these subscribers has: operations, services, attributes, accounts. Raises `LookUpFailed`.

    Operations that an opposite entry has taken back cancel each other, and count no more.
    """
    having: dict[int, list[Belonging]] = {one: [] for one in subscribers}
    for model, shown in _SHOWN.items():
        kind = CREATABLE_MODELS[model]
        for owner, things in (await find_by(gateway, model, ABONENT, subscribers, kind.fields(shown))).items():
            live = {str(one.values[kind.key]): one for one in things if kind.counts(one)}
            there = [*live.values()]
            taken_back = {key: taken_back_by(kind, one, there, sets=True) for key, one in live.items()}
            cancelled = {key for pair in taken_back.items() if pair[1] for key in pair}
            live = {key: one for key, one in live.items() if key not in cancelled}
            having[owner] += [Belonging(model, key, kind.described(one, shown)) for key, one in live.items()]
    return having


def in_words(things: Sequence[Belonging]) -> str:
    return some_of([one.text for one in things])


async def in_the_way(gateway: Gateway, payload: Payload, *, yields: bool) -> str | None:
    """Why an object must not be deleted now, None if it may be: it is another by now, or, if so, it `yields`.

    Raises `LookUpFailed`.
    """
    kind = CREATABLE_MODELS.get(payload.model)
    is_another = kind is not None and not is_still(kind, payload.planned, payload.was)
    if (yields or is_another) and (changed := changed_meanwhile(payload, model_of(payload).moving)):
        return said("left alone, for it was changed since the plan: {change}", change=changed)
    if not yields or payload.model != SUBSCRIBERS:
        return None
    key = int(payload.key["id"])
    if not as_bool(payload.was.get(FOLDER_FLAG)):
        having = (await belongings(gateway, [key]))[key]
        return said("left alone, for it has {things}", things=in_words(having)) if having else None
    if gateway.database is not None:
        names = await gateway.read(lambda database: list(within(database, key, _NAMED + 1)))
    else:
        fields = ("id", "contract_number", "name", "deleted")
        (found,) = await find(gateway, SUBSCRIBERS, [{"parent_id": str(key)}], fields)
        live = [one.values for one in found if CREATABLE_MODELS[SUBSCRIBERS].counts(one)]
        names = [one["contract_number"] or one["name"] or str(one["id"]) for one in live]
    if not names:
        return None
    there = enumerated(names)
    if len(names) > _NAMED:
        there = said("{names} and others", names=tuple(names[:_NAMED]))
    return said("left alone, for the folder is not empty: {names}", names=there)


# ---- deletions ----------------------------------------------------------------------------------------------------

DELETED: Final = "deleted"
_SAYS_GONE: Final = ("удалён", "удален", "does not exist")


class DeleteEffect(CallEffect):
    """Deletes objects: those of an input, or those created by an earlier run.

    With `yields` an object is left alone that was changed after the plan, or that something hangs on; without it one
    that is another by now.
    """

    looked_for = LookedFor.WHEN_TAKEN_UP
    no_way_back = said(
        "what was deleted is left to a person: its fields are in the column carbon_answer of an export"
    )

    def __init__(
        self, gateway: Gateway, template: Template, back: Back | None = None, *, yields: bool = False
    ) -> None:
        super().__init__(gateway, template)
        self._yields = yields
        self._back = back
        model = self._model = template.model
        self._id = CREATABLE_MODELS[model].key if model in CREATABLE_MODELS else "id"
        self._fields = MODELS[model].fields if model in MODELS else ("id",)
        """All known fields of the model's objects; those that are `_telling` show whether one is deleted."""
        self._telling = tuple(name for name in (self._id, DELETED) if name in self._fields)
        together = gateway.database is not None and model in MODELS
        self.keeps = BeforeImageMode.TOGETHER if together else BeforeImageMode.ONE_BY_ONE

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        model = self._model
        steps = [self._template.fill(one.values) for one in bound]
        keys = [key_of(get.arguments) for get, _ in steps]
        entries: list[NewItem | Refusal] = []
        for one, key, things, (_, delete) in zip(bound, keys, await self._find(keys), steps, strict=True):
            if len(things) != 1:
                entries.append(one.refused(not_one(model, key, len(things))))
                continue
            (thing,) = things
            named = thing.values[self._id] or ""
            payload = msgspec.structs.replace(self._payload(thing, delete.arguments), named=dict(one.named))
            gone = reason("already as wanted: {model} {id} is deleted", AS_WANTED, model=model, id=named)
            entries.append(
                one.item(
                    named,
                    thing.label or one.label,
                    lane_of(model, key, thing),
                    payload,
                    skip_reason=gone if _gone(things) else None,
                )
            )
        return Prepared.of(entries)

    def shows_entered(self, payload: str) -> bool:
        return True

    async def try_out(self) -> None:
        with needed(FOUND_AGAIN_AND_KEPT):
            get = self._template.links[0].arguments
            await try_finding(self._gateway, self._model, get, self._telling, self._fields)
        if self._yields and self._model == SUBSCRIBERS:
            with needed(TAKEN_BACK):
                await belongings(self._gateway, [NOBODY])

    async def send(self, run: Run, item: Item) -> Seen:
        payload = payload_of(item)
        if as_bool(payload.was.get(DELETED)):
            return AlreadyThere(self._by_others(payload))
        try:
            obstacle = await in_the_way(self._gateway, payload, yields=self._yields)
        except LookUpFailed as error:
            return NotSent(said("what hangs on it cannot be read: {error}", error=error))
        if obstacle is not None:
            return RowRefused(held_back(obstacle))
        evidence = await self._gateway.client.send(payload.call)
        match evidence:
            case RowRefused(text) if any(word in text.casefold() for word in _SAYS_GONE):
                if not item.attempts:
                    return AlreadyThere(self._by_others(payload))
                # An earlier call of ours may have had its effect late.
                return Lost(said("rejected, and whether it is gone has to be looked up: {reason}", reason=text))
            case Accepted(result={"pk": pk, **more}):
                model = more.get("model", payload.model)
                if (model, str(pk)) != (payload.model, payload.key[self._id]):
                    return about_another(f"{model} {pk}" if "model" in more else str(pk), self._named(payload))
        return with_note(Accepted(_kept(payload)), payload) if isinstance(evidence, Accepted) else evidence

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """What is gone before the first call was deleted by somebody else, and is kept so."""

        def before(item: Item, payload: Payload, things: Sequence[BillingObject]) -> Payload | None:
            if _gone(things):
                return None if item.attempts else refresh_before_image(payload, {**payload.was, DELETED: "1"})
            return refresh_before_image(payload, things[0].values) if len(things) == 1 else None

        return await of_each(items, lambda payloads: self._find([one.key for one in payloads]), before)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        def seen(_: Item, payload: Payload, things: Sequence[BillingObject]) -> LookUpResult:
            if len(things) > 1:
                n, named = Quantity(len(things)), self._named(payload)
                several = said("the billing has {n} of {object}", n=n, object=named)
                return CannotLook(several, tuple(str(thing.values.get("id")) for thing in things))
            return Found(_kept(payload), describe_change(payload)) if _gone(things) else Absent()

        return await of_each(items, self._now, seen)

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        def read(_: Item, payload: Payload, things: Sequence[BillingObject]) -> ReadBack:
            there = said("{object} is still there", object=self._named(payload))
            return ReadBack(None, None if _gone(things) else there)

        return await of_each(items, self._now, read)

    def undo(self, how: Mapping[str, str]) -> CallEffect | str:
        return self._back(how) if self._back else super().undo(how)

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        marked = {one.mark: one.payload for one in taken if has_id(one) and model_of(one.payload).comment}
        by_mark = await under_marks(self._gateway, marked)
        ids = {one.item_id: one.answer or "" for one in taken if has_id(one)}
        ids |= {one.item_id: by_mark[one.mark][0].values[self._id] or "" for one in taken if one.mark in by_mark}
        known = {ids[one.item_id]: one.payload for one in taken if one.item_id in ids}
        unmarked = [one for one in taken if one.item_id in ids and not model_of(one.payload).comment]
        alike = await like_these(self._gateway, [one.payload for one in unmarked])
        by_fields = {
            one.item_id: [thing for thing in things if not differences(one.payload.wanted, thing)]
            for one, things in zip(unmarked, alike, strict=True)
        }
        # Fields that were sent and are not documented are compared as well.
        sent = dict.fromkeys(name for one in known.values() for name in (*fields_of([one]), *one.key))
        there = await find_by(self._gateway, self._model, "id", known, (*self._telling, *sent), self._fields)
        model, entries = self._model, list[NewItem | Refusal]()
        for one in taken:
            things = there.get(key := ids.get(one.item_id, ""))
            if things is None:
                by_hand = said("the id of what was created is not known: delete the {model} by hand", model=model)
                entries.append(one.refused(by_hand))
            elif len(twins := by_fields.get(one.item_id) or by_mark.get(one.mark) or ()) > 1 and not _gone(twins):
                entries.append(skip_changed(one, several(one.payload, twins, key)))
            elif _gone(things) or (
                not (own := own_of(one.payload, things, one.mark))
                and is_anothers(one, things[0].values.get(model_of(one.payload).comment))
            ):
                noun = model_of(one.payload).noun
                gone = reason("already as it was: {noun} {id} is gone", AS_IT_WAS, noun=noun, id=key)
                entries.append(skip_changed(one, gone))
            elif not own or not meets_key(one.payload.key, things[0]):
                kind = model_of(one.payload)
                shown = [name for name in (*kind.found_by, kind.comment) if name]
                another = said(
                    "left alone, for it was changed, or its id is another's by now: {found}. Was the billing put "
                    "back from its backup since?",
                    found=tuple(kind.described(thing, shown) for thing in things),
                )
                entries.append(skip_changed(one, another))
            elif differs := difference(one.payload, things):
                entries.append(skip_changed(one, said("changed since: {change}", change=differs)))
            else:
                (thing,) = things
                payload = self._payload(thing, self._template.fill({"id": key})[1].arguments)
                entries.append(one.item(lane_of(model, {"id": key}, thing), payload))
        return Prepared.of(entries)

    async def _find(self, keys: Sequence[Key]) -> list[list[BillingObject]]:
        return await find(self._gateway, self._model, keys, self._telling, self._fields)

    async def _now(self, payloads: Sequence[Payload]) -> list[list[BillingObject]]:
        return await find(self._gateway, self._model, [payload.key for payload in payloads], self._telling)

    def _payload(self, thing: BillingObject, arguments: Mapping[str, object]) -> Payload:
        key = str(thing.values[self._id])
        return Payload(
            model=self._model,
            # The call names the id, whatever key found the object, so it cannot reach another one.
            steps=(ChainStep(GET, {self._id: int(key)}), ChainStep(DELETE, arguments)),
            abonent=thing.abonent_id or 0,
            key={self._id: key},
            wanted={DELETED: "1"},
            was=dict(thing.values),
        )

    def _named(self, payload: Payload) -> str:
        return f"{payload.model} {payload.key[self._id]}"

    def _by_others(self, payload: Payload) -> str:
        return reason(
            "already as wanted: somebody else has deleted {object} since the list was made",
            AS_WANTED,
            object=self._named(payload),
        )


def _gone(things: Sequence[BillingObject]) -> bool:
    return all(as_bool(thing.values.get(DELETED)) for thing in things)


def _kept(payload: Payload) -> str:
    """The deleted object as JSON, which the item keeps as its answer."""
    return msgspec.json.encode({name: value for name, value in payload.was.items() if value is not None}).decode()
