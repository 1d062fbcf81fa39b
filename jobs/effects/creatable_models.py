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
from billing.directory.models import AMOUNTS, BillingObject
from billing.directory.objects import can_be, commented, meets_key
from billing.money import scaled
from billing.profile import Profile
from checkpoints.records import Item
from jobs.access.gateway import Gateway
from jobs.access.objects import NOBODY, describe_fields, differences, find
from jobs.access.operations import enters_balance
from jobs.access.payload import OP_TYPE, Payload, decode_payload
from jobs.access.subscribers import as_bool
from jobs.spec.entries import (
    CODE_1C,
    CREATED,
    EXACT,
    KEY,
    MARK_BEGIN,
    MARK_ROOM,
    OPERATIONS,
    PAY_ID,
    exact_key,
    find_mark,
    mark_prefix,
)
from texts.remedies import setting
from texts.said import said

FOLDER_FLAG: Final = "is_folder"
_BESIDES: Final[Mapping[str, tuple[str, ...]]] = {OPERATIONS: ("op_date", OP_TYPE)}
"""Further fields for people, if the billing has them."""

BALANCE: Final = "balance"
"""A wanted value of an operation that is not its own field: the account's balance after it."""


@dataclass(frozen=True, slots=True)
class CreatableModel:
    """A model whose objects are created; `noun` is its name for people.

    `key` is the field of the id. `found_by` are the arguments by which a new object is found, `same` those that make
    two rows the same entry, and `alike` the field by which an entry of somebody else is equal to them. `comment` is
    the field for the mark, and `column` its table and column; without a comment "", and then only `found_by`
    identifies an object. `ended` is the field of objects that no longer count, and `ended_in_words` its meaning; with
    `key_is_free_again` such an object leaves its key to others, and is none of them. `amount` is the field of money.
    `moving` are fields that the billing later changes by itself: they are sent and not compared, and neither are
    secrets. `taken` are the words of the billing's refusals of a key that another
    object has.
    """

    noun: str
    key: str
    found_by: tuple[str, ...]
    same: tuple[str, ...]
    alike: str = ""
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
            alike="op_summa",
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
            alike="usluga_id",
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
    return (
        CREATABLE_MODELS[payload.model] if payload.model != "Abonents" else creatable_model("Abonents", payload.key)
    )


async def created(gateway: Gateway, run_name: str, items: Sequence[Item]) -> dict[int, list[BillingObject]]:
    """The objects of each item, by item_id, including those that no longer count. Raises `LookUpFailed`."""
    payloads = [decode_payload(item.payload) for item in items]
    if not payloads:
        return {}
    if not model_of(payloads[0]).comment:
        found = await like_these(gateway, payloads)
    else:
        found = await marked_or_alike(gateway, payloads, of_run=run_name)
    return {
        item.item_id: own_of(payload, things, (run_name, item.number))
        for item, payload, things in zip(items, payloads, found, strict=True)
    }


def own_of(payload: Payload, things: Sequence[BillingObject], own: tuple[str, int]) -> list[BillingObject]:
    """The objects found for an item that are its own: by its mark or exact key, if the model has comments."""
    comment = model_of(payload).comment
    if not comment:
        return list(things)
    return [
        thing
        for thing in things
        if thing.abonent_id == payload.abonent
        and (find_mark(thing.values.get(comment) or "") == own or has_exact_key(payload, thing, own))
        and meets_key(payload.key, thing)
    ]


def has_exact_key(payload: Payload, thing: BillingObject, own: tuple[str, int]) -> bool:
    """Whether an operation has the exact key of an item that is sent with one."""
    if not payload.exact:
        return False
    name = EXACT[payload.exact]
    return thing.values.get(name) == exact_key(payload.exact, *own)[name]


async def marked_or_alike(
    gateway: Gateway, payloads: Sequence[Payload], *, of_run: str = ""
) -> list[list[BillingObject]]:
    """For each payload the objects of its subscribers that have a mark or are alike, of a model with comments.

    Through the API alone these are all objects with its key; with `of_run` only those with marks of that run are
    needed, and asked for where the billing can tell. Raises `LookUpFailed`.
    """
    if not payloads:
        return []
    model, fields = payloads[0].model, fields_of(payloads)
    kind = model_of(payloads[0])
    whose = [dict.fromkeys((payload.abonent, *payload.sharers)) for payload in payloads]
    if gateway.database is not None:
        alike = [_stored(kind.alike, payload.wanted.get(kind.alike) or "") for payload in payloads]
        wanted = [(abonent, value) for value, abonents in zip(alike, whose, strict=True) for abonent in abonents]
        things = await gateway.read(lambda database: commented(database, model, wanted, MARK_BEGIN, fields))
    else:
        more = {}
        if of_run and model == OPERATIONS and "contains" in gateway.profile.descr_filters.value:
            more = {"descr__contains": mark_prefix(of_run)}
        keys: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        for payload, abonents in zip(payloads, whose, strict=True):
            # A mark that was lost does not hide what an exact key finds.
            narrow = {} if payload.exact else more
            for abonent in abonents:
                key = {**_kind_of(gateway, payload), "abonent_id": str(abonent), **narrow}
                keys[tuple(key.items())] = key
        found = await find(gateway, model, list(keys.values()), fields, _BESIDES.get(model, ()))
        things = [thing for each in found for thing in each]
    if not things:
        return [[] for _ in payloads]
    by_abonent: defaultdict[int | None, list[BillingObject]] = defaultdict(list)
    for thing in things:
        by_abonent[thing.abonent_id].append(thing)
    return [[thing for abonent in abonents for thing in by_abonent[abonent]] for abonents in whose]


def _kind_of(gateway: Gateway, payload: Payload) -> dict[str, str]:
    """The key by which entries like that of a payload are asked for, for whatever subscriber."""
    of_any_type = may_be_of_any_type(payload, gateway.profile)
    return {name: value for name, value in payload.key.items() if not (of_any_type and name == OP_TYPE)}


def may_be_of_any_type(payload: Payload, profile: Profile) -> bool:
    """Whether an entry like an operation may have another type.

    It may until a probe has seen which types raise and lower the balance; the type of an opening balance is certain.
    """
    if payload.model != OPERATIONS or enters_balance(payload):
        return False
    return not (profile.receipt_type.known and profile.act_type.known)


def _stored(field: str, value: str) -> int:
    """A value by which objects are alike, as the database keeps it; one that no object can have finds none."""
    if field in AMOUNTS:
        return scaled(Decimal(value or 0))
    return int(value) if value and can_be(field, value) else NOBODY


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
    kind = creatable_model(model, arguments)
    fields = kind.fields(
        [*(name for name in arguments if name not in kind.apart), *([EXACT[exact]] if exact else [])]
    )
    if gateway.database is not None and kind.comment:
        await gateway.read(lambda database: commented(database, model, [(NOBODY, NOBODY)], MARK_BEGIN, fields))
    else:
        key = {name: "1" if name == FOLDER_FLAG else str(NOBODY) for name in kind.found_by}
        await find(gateway, model, [key], fields)


def fields_of(payloads: Sequence[Payload]) -> tuple[str, ...]:
    """The fields to read of the objects of these payloads, which are of one model."""
    kind = model_of(payloads[0])
    exact = {EXACT[payload.exact]: None for payload in payloads if payload.exact}
    return kind.fields([*(name for payload in payloads for name in payload.wanted), *exact])


def difference(payload: Payload, found: Sequence[BillingObject]) -> str | None:
    """The difference between the objects found and the one sent, with both sides; None without one."""
    kind = model_of(payload)
    wanted = payload.wanted
    if BALANCE in wanted:
        wanted = {name: value for name, value in wanted.items() if name != BALANCE}
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
    if len(found) == 1:
        return found
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
