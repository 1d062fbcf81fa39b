"""The way back of an import: what it has created is deleted by its ids, the last first; what it has set is set back.

    balance ─▶ services, attributes ─▶ accounts ─▶ subscriber ─▶ ... all other subscribers ... ─▶ folders

A subscriber that the run has created goes whole or stays whole: if somebody has changed it since, or has given it
something, all of it is left alone and named. A folder goes when it is empty.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import msgspec

from checkpoints.records import Item, NewItem, Refusal, Run
from engine.job import (
    ALL_BEFORE,
    Absent,
    LookedFor,
    Prepared,
)
from jobs.access.gateway import Gateway
from jobs.access.objects import describe_fields, differences, find, find_one
from jobs.access.payload import Payload, decode_payload, encode_payload, payload_of
from jobs.effects.creatable_models import CREATABLE_MODELS
from jobs.effects.create import Back
from jobs.effects.delete import Belonging, DeleteEffect, belongings, in_words
from jobs.effects.effect import CallEffect, Irreversible, ItemToUndo, has_id, leave_unproven, skip_changed
from jobs.effects.import_calls import OfSteps, creates
from jobs.effects.reverse import undo_of_operations, way_that_sends
from jobs.effects.set_fields import SetFieldsEffect
from jobs.imports.subscriber import STEP_MODELS, Step
from jobs.spec.chain import parse
from jobs.spec.entries import AUTO
from jobs.spec.spec import DELETE
from jobs.spec.words import LIST, OPPOSITE, STORNO, WAY
from texts.said import in_clauses, said

_DELETES: Final[Mapping[Step, str]] = {
    Step.FOLDER: DELETE,
    Step.SUBSCRIBER: DELETE,
    # The vendor's recipe: sessions of the cabinet hang on an account [S].
    Step.ACCOUNT: f'{DELETE} {{"clean_links": true}}',
    Step.SERVICE: DELETE,
    Step.ATTRIBUTE: DELETE,
}
_LAST_IN_FOLDER: Final = 20
"""Objects of a folder whose deletion the billing has to show before the folder goes: more than are under way."""

_IN_FOLDERS: Final = frozenset({Step.SUBSCRIBER, Step.FOLDER})
_GOES_ALONG: Final = said("goes with its subscriber, which the run has created")
_FINAL: Final = said(
    "an import that was taken back is not made again from here: deleted accounts have lost their passwords, and "
    "everything would have another id. Import the same table once more: what was taken back counts as never entered"
)


_Entry: TypeAlias = NewItem | Refusal


class SubscriberRemoval(OfSteps):
    """Takes an import back. `how` are the parameters of the undo, which say how opening balances are taken back.

    One object an undo: it remembers in which folders something stays.
    """

    def __init__(self, gateway: Gateway, sets: Mapping[Step, SetFieldsEffect], how: Mapping[str, str]) -> None:
        super().__init__(gateway)
        self._how = dict(how)
        self._stays: dict[str, str] = {}
        back: Back = self.undo
        self._deletes = {
            step: DeleteEffect(
                gateway, parse(STEP_MODELS[step], ('objects.get {"id": {id}}', delete)), back, yields=True
            )
            for step, delete in _DELETES.items()
        }
        self._sets = {step: effect.setting_back() for step, effect in sets.items()}
        self._ways = {way: undo_of_operations(gateway, {**how, WAY: way}) for way in (LIST, STORNO, OPPOSITE)}

    # ---- items of the import to items of its undo ----

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """Turn the items of an import, the last first, into items that take them back. Raises `LookUpFailed`.

        All steps of a subscriber have to be in one page.
        """
        entries = {one.item_id: entry for one, entry in await self._one_by_one(taken)}
        live = await self._live(taken)
        made = [one for one in taken if _step(one) is Step.SUBSCRIBER and _creates(one) and _own_id(one) in live]
        having = await belongings(self._gateway, [_own_id(one) for one in made])
        changed = await self._changed([one for one in taken if not _creates(one) and one.payload.abonent in live])
        for one in taken:
            if not _creates(one) and one.payload.abonent not in live:
                gone = said("already as it was: subscriber {id} is gone", id=one.payload.abonent)
                entries[one.item_id] = skip_changed(one, gone)
        by_lane: defaultdict[str, list[ItemToUndo]] = defaultdict(list)
        for one in taken:
            by_lane[one.lane].append(one)
        for person in made:
            steps = [one for one in by_lane[person.lane] if one.number >= person.number]
            entries |= _whole_or_not(person, steps, entries, having[_own_id(person)], changed)
        made_entries = [_with_step(one, entries[one.item_id]) for one in taken]
        return Prepared.of(_folders_last(taken, made_entries, live, self._stays))

    async def _one_by_one(self, taken: Sequence[ItemToUndo]) -> list[tuple[ItemToUndo, _Entry]]:
        """Each item with what would take it back, were it alone. Raises `LookUpFailed`."""
        groups: defaultdict[tuple[str, ...], list[ItemToUndo]] = defaultdict(list)
        for one in taken:
            groups[self._kind(one)].append(one)
        entries: list[tuple[ItemToUndo, _Entry]] = []
        for (step, way, *_), ones in groups.items():
            effect = self._ways[way] if way else self._effect(Step(step), deletes=_creates(ones[0]))
            prepared = await effect.take_back(ones)
            items = {item.undoes: item for item in prepared.items}
            refusals = {one.row: one for one in prepared.refusals}
            found = [(one, items.get(one.item_id) or refusals[one.cells]) for one in ones]
            entries += [(one, leave_unproven(one, entry)) for one, entry in found]
        return entries

    def _kind(self, one: ItemToUndo) -> tuple[str, ...]:
        """The step of an item with the kind of its call, and of an opening balance the way that it goes."""
        if _step(one) is not Step.BALANCE:
            return one.payload.step, "", str(_creates(one))
        way = self._how.get(WAY, AUTO)
        return one.payload.step, (way_that_sends(self._gateway, one.payload) or LIST) if way == AUTO else way

    def _effect(self, step: Step, *, deletes: bool) -> CallEffect:
        return self._deletes[step] if deletes else self._sets[step]

    async def _live(self, taken: Sequence[ItemToUndo]) -> set[int]:
        """The subscribers and folders of these items that are not deleted, by id. Raises `LookUpFailed`."""
        made = [_own_id(one) for one in taken if _step(one) in _IN_FOLDERS and _creates(one)]
        ids = [one for one in dict.fromkeys([*made, *(one.payload.abonent for one in taken)]) if one]
        found = await find(self._gateway, "Abonents", [{"id": str(one)} for one in ids], ("id", "deleted"))
        kind = CREATABLE_MODELS["Abonents"]
        return {key for key, things in zip(ids, found, strict=True) if any(map(kind.counts, things))}

    async def _changed(self, taken: Sequence[ItemToUndo]) -> dict[int, str]:
        """What somebody has changed since of the fields that these items set, by item_id. Raises `LookUpFailed`."""
        changed: dict[int, str] = {}
        by_model: defaultdict[str, list[ItemToUndo]] = defaultdict(list)
        for one in taken:
            by_model[one.payload.model].append(one)
        for model, ones in by_model.items():
            fields = dict.fromkeys(name for one in ones for name in one.payload.wanted)
            found = await find_one(self._gateway, model, [one.payload.key for one in ones], tuple(fields))
            for one, thing in zip(ones, found, strict=True):
                if isinstance(thing, str):
                    changed[one.item_id] = thing
                elif now := differences(one.payload.wanted, thing):
                    changed[one.item_id] = said(
                        "changed since: the run set {sent}, and now it is {now}",
                        sent=describe_fields({name: one.payload.wanted[name] for name in now}),
                        now=describe_fields(now),
                    )
        return changed

    # ---- a call ----

    async def visible(self, run: Run, items: Sequence[Item]) -> Collection[int]:
        """The items whose effect the billing shows. Raises `LookUpFailed`."""
        seen = await self.look_up(run, items)
        return {item_id for item_id, one in seen.items() if not isinstance(one, Absent)}

    def looks_for(self, item: Item) -> LookedFor:
        """As the effect of its call says."""
        return self._of(payload_of(item)).looked_for

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """What taking back the opening balances rests on."""
        rests: dict[str, object] = {}
        for one in payloads:
            if one.step == Step.BALANCE:
                rests |= self._of(one).rests_on([one])
        return rests

    async def try_out(self) -> None:
        """Try each look-up with ids that no object has. Raises `InputRefused`, `LookUpFailed`."""
        for effect in (*self._deletes.values(), *self._sets.values(), self._ways[LIST]):
            await effect.try_out()

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """Irreversible: importing the table again makes all of it, with passwords."""
        return Irreversible(_FINAL)

    def _of(self, payload: Payload) -> CallEffect:
        step, (method, _) = Step(payload.step), payload.steps[-1]
        if step is Step.BALANCE:
            return self._ways[OPPOSITE if creates(payload) else STORNO]
        return self._effect(step, deletes=method == DELETE)


# ---- one subscriber: as a whole, or not at all -------------------------------------------------------------------


def _whole_or_not(
    person: ItemToUndo,
    steps: Sequence[ItemToUndo],
    entries: Mapping[int, _Entry],
    having: Sequence[Belonging],
    changed: Mapping[int, str],
) -> dict[int, _Entry]:
    """What takes a created subscriber back with all its steps; or all of them left alone, with the reason."""
    reasons = list(_reasons(person, steps, entries, having, changed))
    if reasons:
        why = said("left alone with its subscriber: {reasons}", reasons=in_clauses(reasons))
        return {one.item_id: _left(one, entries[one.item_id], why) for one in steps}
    taken: dict[int, _Entry] = {}
    before: tuple[str, ...] = ()
    for one in steps:
        entry = entries[one.item_id]
        if not _creates(one):
            entry = skip_changed(one, _GOES_ALONG)
        elif isinstance(entry, NewItem):
            entry = _needing(entry, before)
        taken[one.item_id] = entry
        # What is skipped is done at once: the step before it has to be waited for all the same.
        if isinstance(entry, NewItem) and entry.skip_reason is None:
            before = (one.key,)
    return taken


def _reasons(
    person: ItemToUndo,
    steps: Sequence[ItemToUndo],
    entries: Mapping[int, _Entry],
    having: Sequence[Belonging],
    changed: Mapping[int, str],
) -> Iterator[str]:
    """Why a subscriber is left alone: itself, a step of it, or something that the run has not given it."""
    there, named = {(one.model, one.key) for one in having}, set[tuple[str, str]]()
    for one in steps:
        entry, own = entries[one.item_id], (one.payload.model, one.answer or "")
        if isinstance(entry, Refusal):
            yield entry.reason
        elif one.item_id in changed:
            yield changed[one.item_id]
        elif _creates(one) and entry.skip_reason and (one is person or own in there):
            yield entry.skip_reason
        if _creates(one):
            named.add(own)
    if others := [one for one in having if (one.model, one.key) not in named]:
        yield said("it has {things}, which this undo does not take away", things=in_words(others))


def _left(one: ItemToUndo, entry: _Entry, why: str) -> _Entry:
    if isinstance(entry, Refusal) or entry.skip_reason is not None:
        return entry
    return skip_changed(one, why)


def _with_step(one: ItemToUndo, entry: _Entry) -> _Entry:
    """The item with its step."""
    if isinstance(entry, Refusal):
        return entry
    payload = msgspec.structs.replace(decode_payload(entry.payload), step=one.payload.step, fills={}, groups={})
    return replace(entry, payload=encode_payload(payload))


def _folders_last(
    taken: Sequence[ItemToUndo], entries: Sequence[_Entry], live: Collection[int], stays: dict[str, str]
) -> Iterator[_Entry]:
    """The items, of which each folder needs all before it: they may lie in it.

    The last of those that do lie in it are named: the billing has to show that these are gone. What it has taken
    before them it has carried out before them. A folder in which something stays is left alone; `stays` has what it
    is, by the folder's id.
    """
    within: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_LAST_IN_FOLDER))
    for one, entry in zip(taken, entries, strict=True):
        if not (_creates(one) and _step(one) in _IN_FOLDERS):
            yield entry
            continue
        made, own = entry, one.answer or ""
        goes = isinstance(entry, NewItem) and entry.skip_reason is None
        if goes and own in stays:
            goes = False
            made = skip_changed(one, said("left alone, for the folder is not empty: {names}", names=stays[own]))
        elif isinstance(entry, NewItem) and goes and _step(one) is Step.FOLDER:
            made = _needing(entry, (*within[own], ALL_BEFORE))
        parent = {**one.payload.wanted, **one.payload.key}.get("parent_id")
        if parent and goes:
            within[parent].append(one.key)
        elif parent and _own_id(one) in live:
            stays.setdefault(parent, one.label)
        yield made


def _needing(entry: NewItem, keys: tuple[str, ...]) -> NewItem:
    payload = msgspec.structs.replace(decode_payload(entry.payload), needs=keys)
    return replace(entry, payload=encode_payload(payload))


def _step(one: ItemToUndo) -> Step:
    return Step(one.payload.step)


def _creates(one: ItemToUndo) -> bool:
    return creates(one.payload)


def _own_id(one: ItemToUndo) -> int:
    """The id of what the item has created, 0 if it is not known."""
    return int(one.answer or 0) if has_id(one) else 0
