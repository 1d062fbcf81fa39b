"""The effect of an import: subscribers of a table with all that belongs to them, a step a call.

Each step is planned here, and made by the ordinary effect that its call has (`subscriber_plan.py`). A lost call is
looked up and never sent again on a guess: a subscriber is found by its contract number, an account by its login, a
folder by its name and the folder around it, services and the balance by their marks.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from billing.api.answers import created_id
from billing.api.calls import ChainStep
from billing.directory.models import LARGEST_ID
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_IT_WAS, GOES_ALONG
from checkpoints.states import State
from engine.errors import InputRefused
from engine.job import ALL_BEFORE, NOT_THERE, Absent, AskMates, Different, Entries, Found, Look, LookedFor, Prepared
from jobs.access.gateway import Gateway
from jobs.access.objects import FROM_NEW, NOBODY, OF_ABONENT, describe_fields, differences, find_by, find_one, needed
from jobs.access.payload import FOLDER_LANE, Payload, decode_payload, encode_payload, payload_of
from jobs.effects.creatable_models import CREATABLE_MODELS, entries_like, mark_fault, room_for_text
from jobs.effects.create import Back, CreateEffect
from jobs.effects.delete import Belonging, DeleteEffect, belongings, in_words
from jobs.effects.effect import CallEffect, ItemToUndo, has_id, leave_unproven, skip_changed
from jobs.effects.reverse import undo_of_operations, way_that_sends
from jobs.effects.set_fields import SetFieldsEffect
from jobs.effects.subscriber_plan import (
    OBJECT,
    OF_MONEY,
    FolderTree,
    OfSteps,
    PlanContext,
    plan_row,
    read_page,
)
from jobs.imports.names_there import FOLDER, read_names
from jobs.imports.subscriber import STEP_MODELS, Step, Subscriber
from jobs.rows.binding import ABONENT
from jobs.spec.chain import parse
from jobs.spec.entries import AUTO, OPERATIONS
from jobs.spec.spec import CREATE, DELETE, GET, SAVE, SET
from jobs.spec.words import LIST, OPPOSITE, STORNO, WAY
from texts.said import in_clauses, reason, said

_WITH_COMMENTS: Final = (STEP_MODELS[Step.SERVICE], STEP_MODELS[Step.BALANCE])
_ONCE: Final = frozenset({Step.SERVICE, Step.BALANCE})
"""The steps that an earlier run of the journal keeps from being entered again; all others the billing shows."""

_REMEMBERED: Final = 10_000


_CREATED: Final[Mapping[Step, str]] = {
    Step.FOLDER: '{"is_folder": 1, "name": "{name}", "parent_id": {parent_id}}',
    Step.SUBSCRIBER: '{"contract_number": "{contract_number}", "name": "{name}", "parent_id": {parent_id}}',
    Step.ACCOUNT: '{"abonent_id": {abonent_id}, "login": "{login}"}',
    Step.SERVICE: '{"abonent_id": {abonent_id}, "usluga_id": {usluga_id}, "manager_id": {manager_id}}',
    Step.ATTRIBUTE: '{"abonent_id": {abonent_id}, "attribute_id": {attribute_id}, "attribute_value": "{value}"}',
    Step.BALANCE: '{"abonent_id": {abonent_id}, "op_summa": "{sum}", "op_type_id": 8, "descr": "{descr}"}',
}
"""What the calls of the steps create, by the fields that each has."""

_SET: Final[Mapping[Step, tuple[str, str]]] = {
    Step.SUBSCRIBER: ("id", "name"),
    Step.ACCOUNT: ("id", "login"),
    Step.TARIFF: ("id", "tarif_id"),
    Step.SERVICE: ("id", "manager_id"),
    Step.ATTRIBUTE: ("id", "attribute_value"),
    Step.THRESHOLD: (OF_ABONENT, "limit_warning"),
    Step.LIMIT: (OF_ABONENT, "limit"),
}
"""The key of the object whose fields a step sets, and one of these fields."""


class SubscriberSteps(OfSteps):
    """Creates subscribers, step by step. With `change`, what is there and differs is changed to what the table says.

    One object a job: it remembers which row has asked for a new folder first. `folders` are those of the billing,
    which are read when they are needed, unless somebody has set them.
    """

    folders: FolderTree | None = None

    def __init__(self, gateway: Gateway, *, change: bool = False) -> None:
        super().__init__(gateway)
        self._change = change
        self._created = {
            step: CreateEffect(gateway, parse(STEP_MODELS[step], (f"{CREATE} {arguments}",)), self.undo)
            for step, arguments in _CREATED.items()
        }
        self._set = {
            step: SetFieldsEffect(
                gateway,
                parse(STEP_MODELS[step], (f'{GET} {{"{key}": {{{key}}}}}', f'{SET} {{"{name}": {{{name}}}}}', SAVE)),
            )
            for step, (key, name) in _SET.items()
        }
        self._asked_first: dict[str, int] = {}

    # ---- rows to items ----

    async def plan_subscribers(self, subscribers: Sequence[Subscriber]) -> Prepared:
        if any(one.part(Step.BALANCE) for one in subscribers) and (fault := mark_fault(self._gateway, OPERATIONS)):
            raise InputRefused(fault)
        if self.folders is None:
            self.folders = FolderTree(await read_names(self._gateway, [FOLDER]))
        context = PlanContext(
            self._gateway,
            *await read_page(self._gateway, subscribers, change=self._change),
            self.folders,
            self._change,
            {model: await room_for_text(self._gateway, model) for model in _WITH_COMMENTS},
        )
        entries: list[NewItem | Refusal] = []
        for one in subscribers:
            planned = plan_row(one, context)
            for entry in [planned] if isinstance(planned, Refusal) else planned:
                # A folder is created for the first row that asks for it. A page may be planned twice, and beside
                # another one: what slips through is a duplicate for the journal.
                if isinstance(entry, NewItem) and entry.lane == FOLDER_LANE:
                    line = entry.line or 0
                    if self._asked_first.get(entry.key, line) < line:
                        continue
                    if len(self._asked_first) >= _REMEMBERED:
                        self._asked_first.clear()
                    self._asked_first[entry.key] = line
                entries.append(entry)
        return Prepared.of(entries)

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        asked = [
            item
            for item in items
            if item.skip_reason is None
            and (payload := decode_payload(item.payload)).abonent
            and Step(payload.step) in _ONCE
            and payload.creates
        ]
        return await entries_like(self._gateway, asked)

    def may_repeat(self, payload: str) -> bool:
        """Whether only the billing decides if the step is needed, whatever an earlier run has done."""
        return Step(decode_payload(payload).step) not in _ONCE

    def shows_entered(self, payload: str) -> bool:
        return not (self.may_repeat(payload) or self.is_for_new(payload))

    def is_for_new(self, payload: str) -> bool:
        return not decode_payload(payload).abonent

    # ---- what a step needs ----

    def fill(self, item: Item, needed: Mapping[str, Item]) -> str:
        """The payload with the ids from the answers of the needed steps. Raises `InputRefused` for one without."""
        payload = payload_of(item)
        if not payload.fills:
            return item.payload
        ids: dict[str, int] = {}
        for place, one in ((place, needed[key]) for place, key in payload.fills.items()):
            if one.state is State.SKIPPED and payload_of(one).step == Step.SUBSCRIBER:
                raise InputRefused(
                    "somebody else has made subscriber {number} since the list was made. Import the table once "
                    "more: what the row says is then compared with what is there",
                    number=one.label,
                )
            answer = created_id(one.answer) if one.answer else None
            if answer is None or int(answer) > LARGEST_ID:
                raise InputRefused("the id of {what} is not known", what=one.label)
            ids[place] = int(answer)
        # They stand in the arguments, and in the fields by which the object is found and compared.
        texts = {name: str(value) for name, value in ids.items()}
        key = {name: texts.get(name, value) for name, value in payload.key.items()}
        wanted = payload.wanted | {
            name: text for name, text in texts.items() if name not in key and name != OF_ABONENT
        }
        owners = [value for name, value in ids.items() if name in {ABONENT, OF_ABONENT, OBJECT}]
        payload = _with_arguments(payload, ids)
        abonent = owners[0] if owners else payload.abonent
        return encode_payload(replace(payload, key=key, wanted=wanted, abonent=abonent))

    async def visible(self, run: Run, items: Sequence[Item]) -> Collection[int]:
        # What is found and differs is shown as well: somebody may have changed it since, or the billing spells it in
        # its own way. Not so an object of another id than the answer, which a person may have given. A field that is
        # not as wanted yet is waited for while its account has unfinished work.
        shown: set[int] = set()
        answers = {item.item_id: item.answer for item in items if payload_of(item).creates_subscriber}
        for item_id, seen in (await self.look_up(run, items)).items():
            if isinstance(seen, Found | Different):
                ids = (seen.answer,) if isinstance(seen, Found) else seen.seen
                if not any(ids) or answers.get(item_id) in {None, *ids}:
                    shown.add(item_id)
        waiting = {item.item_id: item for item in items if item.item_id not in shown and not payload_of(item).creates}
        if waiting and self._gateway.database is not None:
            worked_on, _ = await self.worked_on([*waiting.values()])
            shown |= waiting.keys() - {item.item_id for item in worked_on}
        return shown

    def looks_for(self, item: Item) -> LookedFor:
        """Before each call that creates, where one query looks up many; else as the effect of the step says."""
        payload = payload_of(item)
        if not payload.creates:
            return LookedFor.NEVER
        return LookedFor.ALWAYS if self.looks_together else self._of(payload).looked_for

    # ---- a call ----

    def _of(self, payload: Payload) -> CallEffect:
        step = Step(payload.step)
        return self._created[step] if payload.creates else self._set[step]

    async def look(self, run: Run, items: Sequence[Item], mates: AskMates) -> Mapping[int, Look]:
        found = await self._of_each(lambda effect, group: effect.look(run, group, mates), items)
        return {one.item_id: NOT_THERE for one in items} | found

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        return await self._of_each(lambda effect, group: effect.outdated(run, group), items)

    def describe(self, run_name: str, item: Item) -> str:
        """The call of the step; an id that is not known yet is that of another item, by its key."""
        payload = payload_of(item)
        if not payload.is_whole:
            keys = {place: f"<{key}>" for place, key in payload.fills.items()}
            item = replace(item, payload=encode_payload(_with_arguments(payload, keys)))
        return super().describe(run_name, item)

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        return self._created[Step.BALANCE].rests_on([one for one in payloads if one.step == Step.BALANCE])

    async def try_out(self) -> None:
        for effect in (*self._created.values(), *self._set.values()):
            await effect.try_out()
        with needed(FROM_NEW):
            await find_by(self._gateway, "AdminAccounts", OF_ABONENT, [NOBODY], ("id", *OF_MONEY.values()))

    # ---- undo ----

    def undo(self, how: Mapping[str, str]) -> CallEffect | str:
        return SubscriberRemoval(self._gateway, self._set, how)


def _with_arguments(payload: Payload, values: Mapping[str, object]) -> Payload:
    steps = tuple(
        ChainStep(step.method, {name: values.get(name, value) for name, value in step.arguments.items()})
        for step in payload.steps
    )
    return replace(payload, steps=steps)


# ---- the way back -------------------------------------------------------------------------------------------------
# What an import has created is deleted by its ids, the last first; what it has set is set back.
#
#     balance ─▶ services, attributes ─▶ accounts ─▶ subscriber ─▶ ... all other subscribers ... ─▶ folders
#
# A subscriber that the run has created goes whole or stays whole: if somebody has changed it since, or has given it
# something, all of it is left alone and named. A folder goes when it is empty.

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
_GOES_ALONG: Final = reason("goes with its subscriber, which the run has created", GOES_ALONG)


_Entry: TypeAlias = NewItem | Refusal


class SubscriberRemoval(OfSteps):
    """Takes an import back. `how` are the parameters of the undo, which say how opening balances are taken back.

    One object an undo: it remembers in which folders something stays.
    """

    no_way_back = said(
        "an import that was taken back is not made again from here: deleted accounts have lost their passwords, and "
        "everything would have another id. Import the same table once more: what was taken back counts as never "
        "entered"
    )

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
        """The last items of the import come first, and all steps of a subscriber in one page."""
        entries = await self._one_by_one(taken)
        live = await self._live(taken)
        made = [
            one
            for one in taken
            if one.payload.step == Step.SUBSCRIBER and one.payload.creates and _own_id(one) in live
        ]
        having = await belongings(self._gateway, [_own_id(one) for one in made])
        sets = [one for one in taken if not one.payload.creates]
        changed = await self._changed([one for one in sets if one.payload.abonent in live])
        for one in sets:
            if one.payload.abonent not in live:
                gone = reason("already as it was: subscriber {id} is gone", AS_IT_WAS, id=one.payload.abonent)
                entries[one.item_id] = skip_changed(one, gone)
        by_lane: defaultdict[str, list[ItemToUndo]] = defaultdict(list)
        for one in taken:
            by_lane[one.lane].append(one)
        for person in made:
            steps = [one for one in by_lane[person.lane] if one.number >= person.number]
            entries |= _whole_or_not(person, steps, entries, having[_own_id(person)], changed)
        return Prepared.of(_folders_last(taken, entries, live, self._stays))

    async def _one_by_one(self, taken: Sequence[ItemToUndo]) -> dict[int, _Entry]:
        """What would take each item back, were it alone, by item_id. Raises `LookUpFailed`."""
        groups: defaultdict[CallEffect, list[ItemToUndo]] = defaultdict(list)
        for one in taken:
            step = Step(one.payload.step)
            if step is Step.BALANCE:
                way = self._how.get(WAY, AUTO)
                way = (way_that_sends(self._gateway, one.payload) or LIST) if way == AUTO else way
                groups[self._ways[way]].append(one)
            else:
                groups[self._deletes[step] if one.payload.creates else self._sets[step]].append(one)
        entries: dict[int, _Entry] = {}
        for effect, ones in groups.items():
            prepared = await effect.take_back(ones)
            items = {item.undoes: item for item in prepared.items}
            refusals = {one.row: one for one in prepared.refusals}
            for one in ones:
                entries[one.item_id] = leave_unproven(one, items.get(one.item_id) or refusals[one.cells])
        return entries

    async def _live(self, taken: Sequence[ItemToUndo]) -> set[int]:
        """The subscribers and folders of these items that are not deleted, by id. Raises `LookUpFailed`."""
        made = [_own_id(one) for one in taken if one.payload.step in _IN_FOLDERS and one.payload.creates]
        ids = filter(None, [*made, *(one.payload.abonent for one in taken)])
        found = await find_by(self._gateway, "Abonents", "id", ids, ("id", "deleted"))
        kind = CREATABLE_MODELS["Abonents"]
        return {key for key, things in found.items() if any(map(kind.counts, things))}

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
        seen = await self.look_up(run, items)
        return {item_id for item_id, one in seen.items() if not isinstance(one, Absent)}

    def looks_for(self, item: Item) -> LookedFor:
        return self._of(payload_of(item)).looked_for

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        rests: dict[str, object] = {}
        for one in payloads:
            if one.step == Step.BALANCE:
                rests |= self._of(one).rests_on([one])
        return rests

    async def try_out(self) -> None:
        for effect in (*self._deletes.values(), *self._sets.values(), self._ways[LIST]):
            await effect.try_out()

    def _of(self, payload: Payload) -> CallEffect:
        step = Step(payload.step)
        if step is Step.BALANCE:
            return self._ways[OPPOSITE if payload.creates else STORNO]
        return self._deletes[step] if payload.methods[-1] == DELETE else self._sets[step]


# ---- one subscriber: as a whole, or not at all -------------------------------------------------------------------


def _whole_or_not(
    person: ItemToUndo,
    steps: Sequence[ItemToUndo],
    entries: Mapping[int, _Entry],
    having: Sequence[Belonging],
    changed: Mapping[int, str],
) -> dict[int, _Entry]:
    """What takes a created subscriber back with all its steps; or all of them left alone, with the reason."""
    reasons: list[str] = []
    there = {(one.model, one.key) for one in having}
    own = {one.item_id: (one.payload.model, one.answer or "") for one in steps if one.payload.creates}
    for one in steps:
        entry = entries[one.item_id]
        if isinstance(entry, Refusal):
            reasons.append(entry.reason)
        elif one.item_id in changed:
            reasons.append(changed[one.item_id])
        elif entry.skip_reason and (made := own.get(one.item_id)) and (one is person or made in there):
            reasons.append(entry.skip_reason)
    if others := [one for one in having if (one.model, one.key) not in own.values()]:
        reasons.append(said("it has {things}, which this undo does not take away", things=in_words(others)))
    left = said("left alone with its subscriber: {reasons}", reasons=in_clauses(reasons)) if reasons else ""
    taken: dict[int, _Entry] = {}
    before: tuple[str, ...] = ()
    for one in steps:
        entry = entries[one.item_id]
        if left:
            is_item = isinstance(entry, NewItem) and entry.skip_reason is None
            taken[one.item_id] = skip_changed(one, left) if is_item else entry
            continue
        if not one.payload.creates:
            entry = skip_changed(one, _GOES_ALONG)
        elif isinstance(entry, NewItem):
            entry = _with(entry, needs=before)
        taken[one.item_id] = entry
        # What is skipped is done at once: the step before it has to be waited for all the same.
        if isinstance(entry, NewItem) and entry.skip_reason is None:
            before = (one.key,)
    return taken


def _folders_last(
    taken: Sequence[ItemToUndo], entries: Mapping[int, _Entry], live: Collection[int], stays: dict[str, str]
) -> Iterator[_Entry]:
    """The items with their steps, of which each folder needs all before it: they may lie in it.

    The last of those that do lie in it are named: the billing has to show that these are gone. What it has taken
    before them it has carried out before them. A folder in which something stays is left alone; `stays` has what it
    is, by the folder's id.
    """
    within: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_LAST_IN_FOLDER))
    for one in taken:
        entry = entries[one.item_id]
        if isinstance(entry, NewItem):
            entry = _with(entry, step=one.payload.step, fills={}, groups={})
        if not (one.payload.creates and one.payload.step in _IN_FOLDERS):
            yield entry
            continue
        own = one.answer or ""
        goes = isinstance(entry, NewItem) and entry.skip_reason is None and own not in stays
        if isinstance(entry, NewItem) and entry.skip_reason is None and not goes:
            yield skip_changed(one, said("left alone, for the folder is not empty: {names}", names=stays[own]))
        elif isinstance(entry, NewItem) and goes and one.payload.step == Step.FOLDER:
            yield _with(entry, needs=(*within[own], ALL_BEFORE))
        else:
            yield entry
        parent = {**one.payload.wanted, **one.payload.key}.get("parent_id")
        if parent and goes:
            within[parent].append(one.key)
        elif parent and _own_id(one) in live:
            stays.setdefault(parent, one.label)


def _with(entry: NewItem, **changed: object) -> NewItem:
    payload = replace(decode_payload(entry.payload), **changed)
    return replace(entry, payload=encode_payload(payload))


def _own_id(one: ItemToUndo) -> int:
    """The id of what the item has created, 0 if it is not known."""
    return int(one.answer or 0) if has_id(one) else 0
