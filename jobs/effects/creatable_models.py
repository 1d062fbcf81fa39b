"""The models whose objects jobs create, and how what is there already is found: ahead, at the call, and afterwards.

A new object is found again by its mark, or by its fields: a subscriber by its contract number, an account by its
login, a folder by its name and the folder around it. Entries like it, operations of its type or services of its id,
may be by another journal's run, by hand, or by another program: the same query finds them.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType
from typing import Final

import msgspec

from billing.api.calls import SECRET_ARGUMENTS
from billing.directory.models import (
    AMOUNTS,
    DAY,
    OPENING_BALANCE,
    RECEIPT,
    BillingObject,
    Values,
    as_bool,
    same_value,
)
from billing.directory.objects import can_be, commented, meets_key
from billing.money import scaled
from billing.profile import Profile
from checkpoints.records import NewItem
from engine.job import NO_ENTRIES, Entries, Marked
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    FOUND_AGAIN,
    FROM_NEW,
    NOBODY,
    describe_fields,
    described,
    differences,
    enters_balance,
    faults_of,
    find,
    needed,
    sets_balance,
    sharers_of,
    try_finding,
)
from jobs.access.payload import BALANCE, OP_TYPE, Payload, decode_payload, encode_payload
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
    undone_by,
)
from texts.said import Said, said, setting, some_of

SERVICES: Final = "UsersUsluga"
SUBSCRIBERS: Final = "Abonents"
FOLDER_FLAG: Final = "is_folder"
_ISO_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True)
class CreatableModel:
    """A model whose objects are created; `noun` is its name for people.

    `key` is the field of the id. `found_by` are the arguments by which a new object is found, `same` those that make
    two rows the same entry, and `alike` the field by which an entry of somebody else is equal to them. `comment` is
    the field for the mark, and `column` its table and column; without a comment "", and then only `found_by`
    identifies an object. `ended` is the field of objects that no longer count, and `ended_in_words` its meaning; with
    `key_is_free_again` such an object leaves its key to others, and is none of them. `amount` is the field of money.
    `moving` are fields that the billing later changes by itself: they are sent and not compared, and neither are
    secrets. `taken` are the words of the billing's refusals of a key that another object has.
    """

    noun: str
    found_by: tuple[str, ...]
    same: tuple[str, ...]
    key: str = "id"
    alike: str = ""
    comment: str = ""
    column: tuple[str, str] = ("", "")
    ended: str = "deleted"
    ended_in_words: str = said("deleted")
    amount: str = ""
    moving: frozenset[str] = frozenset()
    key_is_free_again: bool = False
    taken: tuple[str, ...] = ()

    @cached_property
    def apart(self) -> frozenset[str]:
        """The arguments of a new object that are not compared: they find it, mark it, or change later."""
        return frozenset({*self.found_by, *self.moving, *SECRET_ARGUMENTS, self.comment})

    def fields(self, wanted: Collection[str]) -> tuple[str, ...]:
        key = self.found_by if self.key_is_free_again else ()
        own = (self.key, self.comment, self.ended, *key, *wanted)
        return tuple(dict.fromkeys(name for name in own if name and name != BALANCE))

    def is_taken(self, refusal: str) -> bool:
        """Whether the billing refuses a new object because its key is taken: it may be by our own earlier call."""
        text = refusal.casefold()
        return any(all(word in text for word in words.split()) for words in self.taken)

    def counts(self, thing: BillingObject) -> bool:
        return not (self.ended and as_bool(thing.values.get(self.ended)))

    def described(self, thing: BillingObject, wanted: Collection[str]) -> str:
        """An object in words: `operation 5 of 50.50`."""
        key, values = str(thing.values.get(self.key)), self.sent({name: thing.values.get(name) for name in wanted})
        if unreadable := faults_of(thing, (*wanted, self.amount)):
            text = said("{noun} {id}, of which cannot be read: {faults}", noun=self.noun, id=key, faults=unreadable)
        elif self.amount:
            amount = Decimal(thing.values.get(self.amount) or 0)
            text = said("{noun} {id} of {amount}", noun=self.noun, id=key, amount=amount)
        elif not wanted:
            text = said("{noun} {id}", noun=self.noun, id=key)
        else:
            text = said("{noun} {id} with {fields}", noun=self.noun, id=key, fields=values)
        return text if self.counts(thing) else said("{object} ({ended})", object=text, ended=self.ended_in_words)

    def sent(self, wanted: Mapping[str, str | None]) -> Decimal | str:
        """The values sent: the amount of a model of money, the fields of any other."""
        return Decimal(wanted.get(self.amount) or 0) if self.amount else describe_fields(wanted)


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
        SERVICES: CreatableModel(
            noun=said("connected service"),
            found_by=("abonent_id",),
            same=("abonent_id", "usluga_id"),
            alike="usluga_id",
            comment=CREATED[SERVICES],
            column=("USERS_USLUGA", "COMMENT"),
            moving=frozenset({"next_date", "enabled"}),
        ),
        "AttributeValues": CreatableModel(
            said("attribute value"), ("abonent_id", "attribute_id"), ("abonent_id", "attribute_id"), ended=""
        ),
        SUBSCRIBERS: CreatableModel(
            noun=said("subscriber"),
            found_by=("contract_number",),
            same=("contract_number",),
            key_is_free_again=True,
            taken=("номер договора закреплен",),
        ),
        "Users": CreatableModel(
            noun=said("account"),
            found_by=("login",),
            same=("login",),
            key_is_free_again=True,
            # How the billing words it is not known [?]; the look-up decides.
            taken=("логин уже", "логин занят", "login already", "login exists"),
        ),
    }
)
"""The models whose objects the recipes create [S, I], and subscribers and their accounts [?]."""

FOLDERS: Final = CreatableModel(
    noun=said("folder"),
    found_by=("name", FOLDER_FLAG, "parent_id"),
    same=("name", "parent_id"),
    key_is_free_again=True,
)
"""A folder is an object of the model Abonents as well, and has no contract number [V]."""


def creatable_model(model: str, arguments: Mapping[str, object]) -> CreatableModel:
    is_folder = model == SUBSCRIBERS and as_bool(arguments.get(FOLDER_FLAG))
    return FOLDERS if is_folder else CREATABLE_MODELS[model]


def model_of(payload: Payload) -> CreatableModel:
    # This is asked for each row several times.
    return (
        creatable_model(SUBSCRIBERS, payload.key) if payload.model == SUBSCRIBERS else CREATABLE_MODELS[payload.model]
    )


# ---- the objects of a payload ----------------------------------------------------------------------------------


def own_of(payload: Payload, things: Sequence[BillingObject], own: tuple[str, int]) -> list[BillingObject]:
    """The objects found for an item that are its own: by its mark or exact key, if the model has comments."""
    comment = model_of(payload).comment
    if not comment:
        return list(things)
    name = EXACT[payload.exact] if payload.exact else ""
    exact = exact_key(payload.exact, *own)[name] if name else None
    return [
        thing
        for thing in things
        if thing.abonent_id == payload.abonent
        and (find_mark(thing.values.get(comment) or "") == own or (name and thing.values.get(name) == exact))
        and meets_key(payload.key, thing)
    ]


async def under_marks(
    gateway: Gateway, payloads: Mapping[tuple[str, int], Payload]
) -> dict[tuple[str, int], list[BillingObject]]:
    """The objects under each of these marks: those in effect, or all if none is. A call that came twice makes two.

    Raises `LookUpFailed`.
    """
    found: dict[tuple[str, int], list[BillingObject]] = {}
    there = await marked_or_alike(gateway, list(payloads.values()))
    for (mark, payload), things in zip(payloads.items(), there, strict=True):
        own = own_of(payload, things, mark)
        if len(own) > 1:
            own = [thing for thing in own if model_of(payload).counts(thing)] or own
        if own:
            found[mark] = own
    return found


def several(payload: Payload, things: Sequence[BillingObject], own: str) -> Said:
    """Why an item is not taken back of which the billing has several objects in effect; the id of its `own`."""
    kind = model_of(payload)
    shown = () if kind.amount else (kind.alike,) if kind.alike else tuple(payload.wanted)
    found = tuple(kind.described(thing, shown) for thing in things)
    if not kind.comment:
        return said(
            "left alone, for it is in the billing {n} times: {found}. Take back there, by their ids, all but {id}; "
            "then type the command again",
            n=len(things),
            found=found,
            id=own,
        )
    return said(
        "left alone, for it is in the billing {n} times under its one mark: {found}. Take back there, by their ids, "
        "all but one; then type the command again",
        n=len(things),
        found=found,
    )


def is_still(kind: CreatableModel, then: Values, now: Values) -> bool:
    """Whether an object with an id is the one that was read `then`: ids begin anew where a billing is put back.

    Its subscriber, its sum and its mark tell. What was not kept is not compared.
    """
    for name in (*kind.same, kind.amount):
        if name in then and then[name] != now.get(name) and not same_value(name, then[name], now.get(name)):
            return False
    text, there = then.get(kind.comment), now.get(kind.comment)
    return text == there or kind.comment not in then or find_mark(text or "") == find_mark(there or "")


def still_there(payload: Payload, then: Values, things: Sequence[BillingObject]) -> list[BillingObject]:
    """Those of the objects with the id of a payload's that are its own, as it was read `then`."""
    kind = model_of(payload)
    return [thing for thing in things if thing.abonent_id == payload.abonent and is_still(kind, then, thing.values)]


def same_but_for_mark(payload: Payload, things: Sequence[BillingObject], answer: str | None) -> BillingObject | None:
    """The operation of these that has the id of an item's, its subscriber and its sum, and no mark at all."""
    kind = model_of(payload)
    return next(
        (
            thing
            for thing in things
            if kind.amount and thing.values[kind.key] == answer and thing.abonent_id == payload.abonent
            if kind.counts(thing) and find_mark(thing.values[kind.comment] or "") is None
            if _alike(payload, thing, (kind.alike,))
        ),
        None,
    )


async def marked_or_alike(
    gateway: Gateway, payloads: Sequence[Payload], *, of_run: str = "", what_came: bool = False
) -> list[list[BillingObject]]:
    """For each payload the objects of its subscribers that have a mark or are alike, of a model with comments.

    Through the API alone these are all objects with its key, and those by `what_came` over which it would set a
    balance; with `of_run` only those with marks of that run are needed, and asked for where the billing can tell.
    Raises `LookUpFailed`.
    """
    if not payloads:
        return []
    model, fields = payloads[0].model, fields_of(payloads)
    kind = model_of(payloads[0])
    whose = [dict.fromkeys((payload.abonent, *payload.sharers)) for payload in payloads]
    # The day and the type are for people, if the billing has them.
    besides = ("op_date", OP_TYPE) if model == OPERATIONS else ()
    if gateway.database is not None:
        alike: list[int] = []
        for payload in payloads:
            # As the database keeps it; a value that no object can have finds none.
            value = payload.wanted.get(kind.alike) or ""
            if kind.alike in AMOUNTS:
                alike.append(scaled(Decimal(value or 0)))
            else:
                alike.append(int(value) if value and can_be(kind.alike, value) else NOBODY)
        wanted = [(abonent, like) for like, abonents in zip(alike, whose, strict=True) for abonent in abonents]
        things = await gateway.read(lambda database: commented(database, model, wanted, MARK_BEGIN, fields, besides))
    else:
        more = {}
        if of_run and model == OPERATIONS and "contains" in gateway.profile.descr_filters.value:
            more = {"descr__contains": mark_prefix(of_run)}
        keys: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        for payload, abonents in zip(payloads, whose, strict=True):
            asked = {**payload.key}
            if may_be_of_any_type(payload, gateway.profile) or (what_came and sets_balance(payload, gateway.profile)):
                asked.pop(OP_TYPE, None)
            # A mark that was lost does not hide what an exact key finds.
            narrow = {} if payload.exact else more
            for abonent in abonents:
                key = {**asked, "abonent_id": str(abonent), **narrow}
                keys[tuple(key.items())] = key
        found = await find(gateway, model, list(keys.values()), fields, besides)
        things = [thing for each in found for thing in each]
    if not things:
        return [[] for _ in payloads]
    by_abonent: defaultdict[int | None, list[BillingObject]] = defaultdict(list)
    for thing in things:
        by_abonent[thing.abonent_id].append(thing)
    return [[thing for abonent in abonents for thing in by_abonent[abonent]] for abonents in whose]


def may_be_of_any_type(payload: Payload, profile: Profile) -> bool:
    """Whether an entry like an operation may have another type.

    It may until a probe has seen which types raise and lower the balance; the type of an opening balance is certain.
    """
    if payload.model != OPERATIONS or enters_balance(payload):
        return False
    return not (profile.receipt_type.known and profile.act_type.known)


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


def fields_of(payloads: Sequence[Payload]) -> tuple[str, ...]:
    exact = {EXACT[payload.exact]: None for payload in payloads if payload.exact}
    return model_of(payloads[0]).fields([*(name for payload in payloads for name in payload.wanted), *exact])


async def try_finding_created(gateway: Gateway, model: str, arguments: Mapping[str, object], exact: str = "") -> None:
    """Look for an object with these arguments that cannot exist, and for entries of a subscriber that no billing has.

    Raises `InputRefused`, `LookUpFailed`.
    """
    kind = creatable_model(model, arguments)
    sent = [name for name in arguments if name not in kind.apart]
    fields = kind.fields([*sent, *([EXACT[exact]] if exact else [])])
    with needed(FOUND_AGAIN):
        if gateway.database is not None and kind.comment:
            await gateway.read(lambda database: commented(database, model, [(NOBODY, NOBODY)], MARK_BEGIN, fields))
        else:
            key = {name: "1" if name == FOLDER_FLAG else str(NOBODY) for name in kind.found_by}
            await find(gateway, model, [key], fields)
    with needed(FROM_NEW):
        if model == OPERATIONS:
            await sharers_of(gateway, [NOBODY])
            for op_type in (OPENING_BALANCE, RECEIPT):
                nobodys = {"abonent_id": str(NOBODY), OP_TYPE: str(op_type)}
                entry = Payload(model, (), abonent=NOBODY, key=nobodys, wanted={"op_summa": "0"})
                await marked_or_alike(gateway, [entry])
        elif model == SERVICES:
            await try_finding(gateway, model, kind.same, kind.fields(("usluga_id",)))


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


# ---- entries like those that a job is about to create -------------------------------------------------------------


async def entries_like(gateway: Gateway, items: Sequence[NewItem], *, equal: bool = False) -> dict[str, Entries]:
    """Entries of the same kind for the same subscribers, by item key; with marks, if so, only `equal` ones.

    Raises `LookUpFailed`.

    These are operations of the same type that are not reversed, and connected services of the same id. While no probe
    has seen which types raise and lower the balance, an operation without a mark and of another type is one of them.
    Of an operation that replaces the balance of its account, also the marked ones of the account's other subscribers,
    and the receipts and acts since it was set last.
    """
    payloads = {item.key: decode_payload(item.payload) for item in items}
    entries: dict[str, Entries] = {}
    for model in (OPERATIONS, SERVICES):
        these = {key: payload for key, payload in payloads.items() if payload.model == model}
        found = await marked_or_alike(gateway, list(these.values()), what_came=not equal)
        for (key, payload), things in zip(these.items(), found, strict=True):
            if things or payload.sharers:
                entries[key] = entries_of(payload, things, gateway.profile, equal=equal)
            # A difference goes on top of what came.
            sets = things and not equal and BALANCE not in payload.wanted and sets_balance(payload, gateway.profile)
            if sets and (came := _what_came(things, gateway.profile)):
                balance = Decimal(payload.was[BALANCE] or 0) if BALANCE in payload.was else None
                entries[key] = replace(entries[key], came=came, balance=balance)
    return {key: found for key, found in entries.items() if found.payload or found.came}


def _what_came(things: Sequence[BillingObject], profile: Profile) -> tuple[Marked, ...]:
    """The receipts and acts with marks since the last opening balance with one; the sum of an act is below zero."""
    kind, came = CREATABLE_MODELS[OPERATIONS], list[Marked]()
    signs = {str(profile.receipt_type.value): 1, str(profile.act_type.value): -1}
    _, since = since_opening([one for one in things if find_mark(one.values[kind.comment] or "")])
    for thing in since:
        mark, sign = find_mark(thing.values[kind.comment] or ""), signs.get(thing.values.get(OP_TYPE) or "")
        if mark and sign:
            amount = sign * Decimal(thing.values[kind.amount] or 0)
            came.append(Marked(*mark, thing.values[kind.key] or "", _described(kind, thing), amount))
    return tuple(came)


def since_opening(things: Sequence[BillingObject]) -> tuple[BillingObject | None, list[BillingObject]]:
    """The last opening balance of these operations of an account, and those since, the newest first.

    What was taken back is none of them, and neither is what takes it back.
    """
    kind, since, taken_back = CREATABLE_MODELS[OPERATIONS], list[BillingObject](), set[str]()
    for thing in sorted(filter(kind.counts, things), key=lambda one: -int(one.values[kind.key] or 0)):
        opens = thing.values.get(OP_TYPE) == str(OPENING_BALANCE)
        if str(thing.values[kind.key]) in taken_back:
            continue
        if undone := taken_back_by(kind, thing, things, sets=opens):
            taken_back.add(undone)
        elif opens:
            return thing, since
        else:
            since.append(thing)
    return None, since


def entries_of(
    payload: Payload,
    things: Sequence[BillingObject],
    profile: Profile,
    own: tuple[str, int] | None = None,
    *,
    equal: bool = False,
) -> Entries:
    """The entries among the objects found for a payload, without its `own` and those that its list has known.

    Of those with marks only those that are `equal` to the payload's, if so; the others are known from then on.
    """
    if not things and (own is not None or not payload.sharers):
        return NO_ENTRIES
    kind = model_of(payload)
    # Behind the subscriber, who may be another of the account.
    same = kind.same[1:]
    sets = enters_balance(payload)
    # Where one is gone the billing was put back, perhaps: another that its list has known may stand again by that.
    all_there = not payload.there or set(payload.there) <= {thing.values[kind.key] for thing in things}
    known = payload.there if all_there else ()
    there: list[str] = []
    marked: list[Marked] = []
    replaced: list[Marked] = []
    alike: list[str] = []
    if len(things) > 1:
        things = sorted(things, key=lambda thing: int(thing.values[kind.key] or 0))
    for thing in things:
        key = thing.values[kind.key] or ""
        mark = find_mark(thing.values[kind.comment] or "")
        is_own = own is not None and bool(own_of(payload, [thing], own))
        day = day_of(thing)
        # None that is older than the row's own day is the row's.
        too_old = payload.day and _ISO_DAY.fullmatch(day) and day < payload.day
        if is_own or key in known or not kind.counts(thing) or too_old:
            continue
        of_its_kind = _alike(payload, thing, same)
        if not of_its_kind and (mark is not None or not may_be_of_any_type(payload, profile)):
            continue
        if mark is not None:
            if not equal or _alike(payload, thing, (kind.alike,)):
                takes_back = taken_back_by(kind, thing, things, sets=sets)
                # What takes something back is entered already where the same was taken back, and not restored since.
                if payload.undone and takes_back:
                    restored = {taken_back_by(kind, one, things, sets=sets) for one in things}
                    if takes_back != payload.undone[kind.key] or key in restored:
                        continue
                amount = Decimal(thing.values[kind.amount] or 0) if kind.amount else None
                entry = Marked(*mark, key, _described(kind, thing), amount, takes_back)
                (marked if thing.abonent_id == payload.abonent else replaced).append(entry)
        elif thing.abonent_id == payload.abonent and _alike(payload, thing, (kind.alike,)):
            text = _described(kind, thing)
            if not of_its_kind:
                text = said("{operation} (type {type})", operation=text, type=str(thing.values.get(OP_TYPE)))
            alike.append(text)
        else:
            continue
        there.append(key)
    if not there and (own is not None or not payload.sharers):
        return NO_ENTRIES
    asked = msgspec.structs.replace(payload, there=(*known, *there))
    return Entries(tuple(marked), some_of(alike) if alike else "", tuple(replaced), encode_payload(asked))


def entered_besides(
    payload: Payload,
    things: Sequence[BillingObject],
    mine: Sequence[BillingObject],
    profile: Profile,
    own: tuple[str, int],
) -> tuple[Marked, ...]:
    """The entries with marks of others that are equal to the own one, `mine`, and that its list has not known.

    And those that take it back and are not taken back themselves.

    A later payment of the same sum is another one: it has to be of the same day, unless a balance is entered, of
    which a subscriber has one. No money is entered twice by entries of nothing.
    """
    if payload.model == OPERATIONS and not Decimal(payload.wanted["op_summa"] or 0):
        return ()
    days, kind = {day_of(thing) for thing in mine}, model_of(payload)
    sets = enters_balance(payload)
    undoes = {str(thing.values[kind.key]): taken_back_by(kind, thing, things, sets=sets) for thing in things}
    taken_back = set(undoes.values())
    ids = {str(thing.values[kind.key]) for thing in mine}
    alike = [
        thing
        for thing in things
        for key in [str(thing.values[kind.key])]
        if (undoes[key] in ids and key not in taken_back)
        or (not undoes[key] and _alike(payload, thing, (kind.alike,)) and (sets or day_of(thing) in days))
    ]
    return entries_of(payload, alike, profile, own).marked


def taken_back_by(kind: CreatableModel, thing: BillingObject, things: Sequence[BillingObject], *, sets: bool) -> str:
    """The id of the operation of these that one with a mark takes back as its opposite, "" for none.

    The comment of an undo ends with it. One that `sets` the balance has another sum than the opposite.
    """
    named = undone_by(thing.values[kind.comment] or "") if kind.amount else ""
    if not named or not kind.counts(thing):
        return ""
    for one in things:
        if one.values[kind.key] == named and one.abonent_id == thing.abonent_id:
            sums = [Decimal(each.values[kind.amount] or 0) for each in (one, thing)]
            return named if sets or not sum(sums) else ""
    return ""


def _alike(payload: Payload, thing: BillingObject, names: Collection[str]) -> bool:
    """Whether fields of an object are those of a payload; one that cannot be read may be."""
    for name in names:
        value = payload.key.get(name, payload.wanted.get(name))
        there = thing.values.get(name, value)
        if there != value and name not in thing.faults and not same_value(name, value, there):
            return False
    return True


def _described(kind: CreatableModel, thing: BillingObject) -> str:
    if not kind.amount or kind.amount in thing.faults:
        return kind.described(thing, (kind.alike,))
    return described(thing.values[kind.key], Decimal(thing.values[kind.amount] or 0), day_of(thing))


def day_of(thing: BillingObject) -> str:
    return (thing.values.get("op_date") or "")[:DAY]


# ---- comments, and their marks ------------------------------------------------------------------------------------


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


def mark_fault(gateway: Gateway, model: str, exact: str = "") -> str | None:
    """Why this billing's objects of the model cannot be found by their marks and exact keys, None if they can."""
    profile = gateway.profile
    if model != OPERATIONS:
        return None
    if profile.descr_kept.known and not profile.descr_kept.value:
        return said(
            "this billing does not keep comments as they are sent (the probe of {day}): an operation could not be "
            "found again by its mark, and a lost answer not be settled. Nothing can be entered",
            day=profile.descr_kept.day,
        )
    if profile.descr_length.known and profile.descr_length.value < MARK_ROOM:
        return said(
            "this billing keeps {length} characters of a comment (the probe of {day}), and a mark needs {mark}. "
            "Nothing can be entered",
            length=profile.descr_length.value,
            day=profile.descr_length.day,
            mark=MARK_ROOM,
        )
    fact = {CODE_1C: profile.code1c_key, PAY_ID: profile.pay_id_key}.get(exact)
    if fact is None or not fact.known or fact.value:
        return None
    return said(
        "{setting}: the probe of {day} has found no operation by it: leave it out, and the mark alone tells",
        setting=setting("set", f"{KEY.name}={exact}"),
        day=fact.day,
    )
