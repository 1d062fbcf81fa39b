"""The models whose objects jobs create, and how a new object is found again by its mark or its fields.

A subscriber is found by its contract number, an account by its login, a folder by its name and the folder around it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from billing.api.calls import SECRET_ARGUMENTS
from billing.directory.models import BillingObject
from billing.directory.objects import commented, meets_key
from checkpoints.records import Item
from jobs.access.gateway import Gateway
from jobs.access.objects import NOBODY, describe_fields, differences, find
from jobs.access.payload import Payload, payload_of
from jobs.access.subscribers import as_bool
from jobs.spec.entries import (
    CODE_1C,
    CREATED,
    EXACT,
    KEY,
    MARK_ROOM,
    OPERATIONS,
    PAY_ID,
    exact_key,
    exact_prefix,
    find_mark,
    mark_prefix,
)
from texts.remedies import setting
from texts.said import said

FOLDER_FLAG: Final = "is_folder"
BALANCE: Final = "balance"
"""A wanted value of an operation that is not its own field: the account's balance after it."""


@dataclass(frozen=True, slots=True)
class CreatableModel:
    """A model whose objects are created; `noun` is its name for people.

    `key` is the field of the id. `found_by` are the arguments by which a new object is found, `same` those that make
    two rows the same entry. `comment` is the field for the mark, and `column` its table and column; without a comment
    "", and then only `found_by` identifies an object. `ended` is the field of objects that no longer count, and
    `ended_in_words` its meaning; with `key_is_free_again` such an object leaves its key to others, and is none of
    them. `amount` is the field of money. `moving` are fields that the billing later changes by itself: they are sent
    and not compared, and neither are secrets. `taken` are the words of the billing's refusals of a key that another
    object has.
    """

    noun: str
    key: str
    found_by: tuple[str, ...]
    same: tuple[str, ...]
    comment: str = ""
    column: tuple[str, str] = ("", "")
    ended: str = ""
    ended_in_words: str = ""
    amount: str = ""
    moving: frozenset[str] = frozenset()
    key_is_free_again: bool = False
    taken: tuple[str, ...] = ()

    @property
    def apart(self) -> frozenset[str]:
        """The arguments of a new object that are not compared: they find it, mark it, or change later."""
        return frozenset({*self.found_by, *self.moving, *SECRET_ARGUMENTS, self.comment})

    def fields(self, wanted: Collection[str]) -> tuple[str, ...]:
        """The fields to read of an object, to compare it with the wanted fields."""
        key = self.found_by if self.key_is_free_again else ()
        own = (self.key, self.comment, self.ended, *key, *wanted)
        return tuple(dict.fromkeys(name for name in own if name and name != BALANCE))

    def is_taken(self, refusal: str) -> bool:
        """Whether the billing refuses a new object because its key is taken: it may be by our own earlier call."""
        text = refusal.casefold()
        return bool(self.taken) and any(all(word in text for word in words.split()) for words in self.taken)

    def counts(self, thing: BillingObject) -> bool:
        """Whether an object still has its effect."""
        return not (self.ended and as_bool(thing.values.get(self.ended)))

    def described(self, thing: BillingObject, wanted: Collection[str]) -> str:
        """An object in words: `operation 5 of 50.50`."""
        key, values = str(thing.values.get(self.key)), self._values(thing.values, wanted)
        unreadable = tuple(
            said("{name} {fault}", name=name, fault=fault)
            for name, fault in thing.faults.items()
            if name in (*wanted, self.amount)
        )
        if unreadable:
            text = said("{noun} {id}, of which cannot be read: {faults}", noun=self.noun, id=key, faults=unreadable)
        elif self.amount:
            text = said("{noun} {id} of {amount}", noun=self.noun, id=key, amount=values)
        elif not wanted:
            text = said("{noun} {id}", noun=self.noun, id=key)
        else:
            text = said("{noun} {id} with {fields}", noun=self.noun, id=key, fields=values)
        return text if self.counts(thing) else said("{object} ({ended})", object=text, ended=self.ended_in_words)

    def sent(self, wanted: Mapping[str, str | None]) -> Decimal | str:
        """The values sent: the amount of a model of money, the fields of any other."""
        return self._values(wanted, wanted)

    def _values(self, values: Mapping[str, str | None], wanted: Collection[str]) -> Decimal | str:
        if self.amount:
            return Decimal(values.get(self.amount) or 0)
        return describe_fields({name: values.get(name) for name in wanted})


CREATABLE_MODELS: Final[Mapping[str, CreatableModel]] = MappingProxyType(
    {
        OPERATIONS: CreatableModel(
            noun=said("operation"),
            key="op_id",
            found_by=("abonent_id", "op_type_id"),
            same=("abonent_id", "op_type_id"),
            comment=CREATED[OPERATIONS],
            column=("FINANCE_OPERATIONS", "DESCR"),
            ended="storno",
            ended_in_words=said("reversed by storno"),
            amount="op_summa",
        ),
        "UsersUsluga": CreatableModel(
            noun=said("connected service"),
            key="id",
            found_by=("abonent_id",),
            same=("abonent_id", "usluga_id"),
            comment=CREATED["UsersUsluga"],
            column=("USERS_USLUGA", "COMMENT"),
            ended="deleted",
            ended_in_words=said("deleted"),
            moving=frozenset({"next_date", "enabled"}),
        ),
        "AttributeValues": CreatableModel(
            noun=said("attribute value"),
            key="id",
            found_by=("abonent_id", "attribute_id"),
            same=("abonent_id", "attribute_id"),
        ),
        "Abonents": CreatableModel(
            noun=said("subscriber"),
            key="id",
            found_by=("contract_number",),
            same=("contract_number",),
            ended="deleted",
            ended_in_words=said("deleted"),
            key_is_free_again=True,
            taken=("номер договора закреплен",),
        ),
        "Users": CreatableModel(
            noun=said("account"),
            key="id",
            found_by=("login",),
            same=("login",),
            ended="deleted",
            ended_in_words=said("deleted"),
            key_is_free_again=True,
            # How the billing words it is not known [?]; the look-up decides.
            taken=("логин уже", "логин занят", "login already", "login exists"),
        ),
    }
)
"""The models whose objects the recipes create [S, I], and subscribers and their accounts [?]."""

FOLDERS: Final = CreatableModel(
    noun=said("folder"),
    key="id",
    found_by=("name", FOLDER_FLAG, "parent_id"),
    same=("name", "parent_id"),
    ended="deleted",
    ended_in_words=said("deleted"),
    key_is_free_again=True,
)
"""A folder is an object of the model Abonents as well, and has no contract number [V]."""


def creatable_model(model: str, arguments: Mapping[str, object]) -> CreatableModel:
    """How an object with these arguments is created and found again."""
    if model == "Abonents" and as_bool(arguments.get(FOLDER_FLAG)):
        return FOLDERS
    return CREATABLE_MODELS[model]


def model_of(payload: Payload) -> CreatableModel:
    """How the object of a payload is created and found again."""
    return creatable_model(payload.model, payload.key)


async def created(gateway: Gateway, run_name: str, items: Sequence[Item]) -> dict[int, list[BillingObject]]:
    """The objects of each item, by item_id, including those that no longer count. Raises `LookUpFailed`."""
    payloads = [payload_of(item) for item in items]
    if not payloads:
        return {}
    model = payloads[0].model
    fields = fields_of(payloads)
    if not model_of(payloads[0]).comment:
        found = await like_these(gateway, payloads)
        return {item.item_id: things for item, things in zip(items, found, strict=True)}
    marked = await _marked(gateway, model, run_name, payloads, fields)
    keyed = await _keyed(gateway, run_name, items, payloads, fields)
    return {
        item.item_id: [
            thing
            for thing in _each_once(marked.get((payload.abonent, item.number), []), keyed.get(item.item_id, []))
            if meets_key(payload.key, thing)
        ]
        for item, payload in zip(items, payloads, strict=True)
    }


async def like_these(gateway: Gateway, payloads: Sequence[Payload]) -> list[list[BillingObject]]:
    """The objects with the keys of these payloads, of a model without comments. Raises `LookUpFailed`."""
    if not payloads:
        return []
    kind = model_of(payloads[0])
    keys = [payload.key for payload in payloads]
    found = await find(gateway, payloads[0].model, keys, fields_of(payloads))
    if not kind.key_is_free_again:
        return found
    return [
        [thing for thing in things if kind.counts(thing) and meets_key(key, thing)]
        for key, things in zip(keys, found, strict=True)
    ]


async def try_finding_created(gateway: Gateway, model: str, arguments: Mapping[str, object], exact: str = "") -> None:
    """Look, as `created` does, for an object with these arguments that cannot exist. Raises `LookUpFailed`."""
    if exact:
        await _with_exact_keys(gateway, "0", exact, [(NOBODY, 1)], ("op_id",))
    kind = creatable_model(model, arguments)
    fields = kind.fields([name for name in arguments if name not in kind.apart])
    if gateway.database is not None and kind.comment:
        text = mark_prefix("0")
        await gateway.read(lambda database: commented(database, model, [NOBODY], text, fields))
    else:
        key = {name: "1" if name == FOLDER_FLAG else str(NOBODY) for name in kind.found_by}
        await find(gateway, model, [key], fields)


def fields_of(payloads: Sequence[Payload]) -> tuple[str, ...]:
    """The fields to read of the objects of these payloads, which are of one model."""
    kind = model_of(payloads[0])
    return kind.fields([name for payload in payloads for name in payload.wanted])


def difference(payload: Payload, found: Sequence[BillingObject]) -> str | None:
    """The difference between the objects found and the one sent, with both sides; None without one."""
    kind = model_of(payload)
    wanted = {name: value for name, value in payload.wanted.items() if name != BALANCE}
    if len(found) == 1 and kind.counts(found[0]) and not differences(wanted, found[0]):
        return None
    sent = kind.sent(wanted)
    if found:
        there = tuple(kind.described(thing, wanted) for thing in found)
        if kind.comment and sum(map(kind.counts, found)) > 1:
            return said(
                "sent {sent} once; under its one mark the billing has {n}: {found}. Take back there, by their ids, "
                "all but one; then verify again",
                sent=sent,
                n=len(found),
                found=there,
            )
        return said("sent {sent}; the billing has {found}", sent=sent, found=there)
    if kind.comment:
        return said("sent {sent}; the billing has no {noun} with this mark", sent=sent, noun=kind.noun)
    return said("sent {sent}; the billing has no {noun} like it", sent=sent, noun=kind.noun)


def in_effect(payload: Payload, found: Sequence[BillingObject]) -> Sequence[BillingObject]:
    """Of the objects of an item those that still count; all of them where none does."""
    kind = model_of(payload)
    return [thing for thing in found if kind.counts(thing)] or found


def has_another(payload: Payload, there: Sequence[BillingObject]) -> str:
    """Why a new object is refused where others are at its place."""
    kind = model_of(payload)
    return said(
        "{place} has another value already: {found}, and the row says {sent}. This job adds and never changes: "
        "change it with the job `call`, {model}: objects.get by its id → set → save",
        place=describe_fields({name.removesuffix("_id"): value for name, value in payload.key.items()}),
        found=tuple(kind.described(thing, payload.wanted) for thing in there),
        sent=kind.sent(payload.wanted),
        model=payload.model,
    )


def too_long(text: str, room: int | None) -> str | None:
    """Why a comment is too long, None if it is not: a comment cut by the database would lose its mark."""
    if room is None or len(text) <= room:
        return None
    return said(
        "the billing keeps {kept} characters of a comment, and {mark} of them are for the mark: shorten this one to "
        "{room} characters",
        kept=room + MARK_ROOM,
        mark=MARK_ROOM,
        room=room,
    )


async def room_for_text(gateway: Gateway, model: str) -> int | None:
    """Characters of a comment beside its mark, None if unknown. Raises `LookUpFailed`."""
    table, column = CREATABLE_MODELS[model].column
    known = gateway.profile.descr_length
    rooms = [known.value] if model == OPERATIONS and known.known else []
    if gateway.database is not None and table:
        rooms.append(await gateway.read(lambda database: database.longest(table, column)))
    room = min((room for room in rooms if room), default=None)
    return None if room is None else max(room - MARK_ROOM, 0)


def mark_fault(gateway: Gateway, model: str) -> str | None:
    """Why this billing's objects of the model cannot be found by their marks, None if they can."""
    profile = gateway.profile
    if model != OPERATIONS:
        return None
    if profile.descr_kept.known and not profile.descr_kept.value:
        return said(
            "this billing does not keep comments as they are sent (the probe of {day}): an operation could not be "
            "found again by its mark, and a lost answer not be settled. Nothing can be entered",
            day=str(profile.descr_kept.learned),
        )
    if profile.descr_length.known and profile.descr_length.value < MARK_ROOM:
        return said(
            "this billing keeps {length} characters of a comment (the probe of {day}), and a mark needs {mark}. "
            "Nothing can be entered",
            length=profile.descr_length.value,
            day=str(profile.descr_length.learned),
            mark=MARK_ROOM,
        )
    return None


def _each_once(marked: Sequence[BillingObject], keyed: Sequence[BillingObject]) -> list[BillingObject]:
    """The objects that the mark or the exact key of an item finds."""
    return list({thing.values["op_id"]: thing for thing in (*marked, *keyed)}.values()) if keyed else [*marked]


async def _keyed(
    gateway: Gateway, run_name: str, items: Sequence[Item], payloads: Sequence[Payload], fields: Collection[str]
) -> Mapping[int, list[BillingObject]]:
    """The operations with the exact keys of these items, by item_id."""
    found: dict[int, list[BillingObject]] = {}
    for kind in {payload.exact for payload in payloads if payload.exact}:
        owners = {
            (payload.abonent, item.number): item.item_id
            for item, payload in zip(items, payloads, strict=True)
            if payload.exact == kind
        }
        for place, things in (await _with_exact_keys(gateway, run_name, kind, list(owners), fields)).items():
            if place in owners:
                found[owners[place]] = things
    return found


async def _with_exact_keys(
    gateway: Gateway, run_name: str, kind: str, places: Sequence[tuple[int, int]], fields: Collection[str]
) -> Mapping[tuple[int, int], list[BillingObject]]:
    """The operations with an exact key of the run, by subscriber and item number."""
    name = EXACT[kind]
    if gateway.database is None:
        keys = [exact_key(kind, run_name, number) for _, number in places]
        by_place = zip(places, await find(gateway, OPERATIONS, keys, (*fields, "abonent_id")), strict=True)
        return {
            (abonent, number): [thing for thing in things if thing.abonent_id == abonent]
            for (abonent, number), things in by_place
        }
    text, abonents = exact_prefix(run_name), [abonent for abonent, _ in places]
    there = await gateway.read(
        lambda database: commented(database, OPERATIONS, abonents, text, (*fields, name), key=name)
    )
    found: defaultdict[tuple[int, int], list[BillingObject]] = defaultdict(list)
    for thing in there:
        number = (thing.values[name] or "").removeprefix(text)
        if number.isdecimal() and thing.abonent_id is not None:
            found[thing.abonent_id, int(number)].append(thing)
    return found


def key_fault(gateway: Gateway, exact: str) -> str | None:
    """Why this billing's operations cannot be found by such an exact key, None if they can or nobody has tried."""
    facts = {CODE_1C: gateway.profile.code1c_key, PAY_ID: gateway.profile.pay_id_key}
    fact = facts.get(exact)
    if fact is None or not fact.known or fact.value:
        return None
    return said(
        "{setting}: the probe of {day} has found no operation by it: leave it out, and the mark alone tells",
        setting=setting("set", f"{KEY.name}={exact}"),
        day=str(fact.learned),
    )


async def _marked(
    gateway: Gateway, model: str, run_name: str, payloads: Sequence[Payload], fields: Collection[str]
) -> Mapping[tuple[int, int], list[BillingObject]]:
    """The objects with a mark of the run, by subscriber and item number."""
    if gateway.database is not None:
        abonents = [payload.abonent for payload in payloads]
        text = mark_prefix(run_name)
        found = await gateway.read(lambda database: commented(database, model, abonents, text, fields))
    else:
        keys = list({tuple(payload.key.items()): payload.key for payload in payloads}.values())
        if model == OPERATIONS and "contains" in gateway.profile.descr_filters.value:
            keys = [{**key, "descr__contains": mark_prefix(run_name)} for key in keys]
        found = [thing for things in await find(gateway, model, keys, fields) for thing in things]
    by_item: defaultdict[tuple[int, int], list[BillingObject]] = defaultdict(list)
    for thing in found:
        mark = find_mark(thing.values.get(CREATABLE_MODELS[model].comment) or "")
        if mark is not None and mark[0] == run_name and thing.abonent_id is not None:
            by_item[thing.abonent_id, mark[1]].append(thing)
    return by_item
