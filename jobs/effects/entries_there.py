"""Entries of the billing like those that a job is about to create: operations of a type, services of a subscriber.

They may be by another journal's run, by hand, or by another program. One query finds them together with the effects
of the rows themselves, for the list and once more before each call.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from billing.directory.models import OPENING_BALANCE, RECEIPT, BillingObject, same_value
from billing.profile import Profile, TypeEight
from checkpoints.records import NewItem
from engine.job import NO_ENTRIES, Entries, Marked
from jobs.access.gateway import Gateway
from jobs.access.objects import NOBODY, try_finding
from jobs.access.operations import enters_balance, sharers_of, some_of
from jobs.access.payload import OP_TYPE, Payload, account_of, decode_payload, encode_payload
from jobs.effects.creatable_models import (
    CREATABLE_MODELS,
    marked_or_alike,
    may_be_of_any_type,
    model_of,
    own_of,
)
from jobs.spec.entries import OPERATIONS, find_mark
from texts.said import said

SERVICES: Final = "UsersUsluga"
_DAY: Final = len("2019-06-01")
_ISO_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


async def entries_like(gateway: Gateway, items: Sequence[NewItem], *, equal: bool = False) -> dict[str, Entries]:
    """Entries of the same kind for the same subscribers, by item key; with marks, if so, only `equal` ones.

    Raises `LookUpFailed`.

    These are operations of the same type that are not reversed, and connected services of the same id. While no probe
    has seen which types raise and lower the balance, an operation without a mark and of another type is one of them.
    Of an operation that replaces the balance of its account, also the marked ones of the account's other subscribers.
    """
    payloads = await _with_sharers(gateway, items)
    entries: dict[str, Entries] = {}
    for model in (OPERATIONS, SERVICES):
        these = {key: payload for key, payload in payloads.items() if payload.model == model}
        found = await marked_or_alike(gateway, list(these.values()))
        entries |= {
            key: entries_of(payload, things, gateway.profile, equal=equal)
            for (key, payload), things in zip(these.items(), found, strict=True)
            if things or payload.sharers
        }
    return {key: found for key, found in entries.items() if found.payload}


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
    same = [name for name in kind.same if name != "abonent_id"]
    there: list[str] = []
    marked: list[Marked] = []
    replaced: list[Marked] = []
    alike: list[str] = []
    for thing in sorted(things, key=lambda thing: int(thing.values[kind.key] or 0)):
        key = thing.values[kind.key] or ""
        mark = find_mark(thing.values[kind.comment] or "")
        is_own = own is not None and bool(own_of(payload, [thing], own))
        if is_own or key in payload.there or not kind.counts(thing) or not _can_be(payload, thing):
            continue
        of_its_kind = _alike(payload, thing, same)
        if not of_its_kind and (mark is not None or not may_be_of_any_type(payload, profile)):
            continue
        if mark is not None:
            if not equal or _alike(payload, thing, (kind.alike,)):
                amount = Decimal(thing.values[kind.amount] or 0) if kind.amount else None
                entry = Marked(*mark, key, _described(payload, thing), amount)
                (marked if thing.abonent_id == payload.abonent else replaced).append(entry)
        elif thing.abonent_id == payload.abonent and _alike(payload, thing, (kind.alike,)):
            text = _described(payload, thing)
            alike.append(text if of_its_kind else _with_type(text, thing))
        else:
            continue
        there.append(key)
    if not there and (own is not None or not payload.sharers):
        return NO_ENTRIES
    known = msgspec.structs.replace(payload, there=(*payload.there, *there))
    return Entries(tuple(marked), some_of(alike) if alike else "", tuple(replaced), encode_payload(known))


def entered_besides(
    payload: Payload,
    things: Sequence[BillingObject],
    mine: Sequence[BillingObject],
    profile: Profile,
    own: tuple[str, int],
) -> tuple[Marked, ...]:
    """The entries with marks of others that are equal to the own one, `mine`, and that its list has not known.

    A later payment of the same sum is another one: it has to be of the same day, unless a balance is entered, of
    which a subscriber has one. No money is entered twice by entries of nothing.
    """
    if payload.model == OPERATIONS and not Decimal(payload.wanted["op_summa"] or 0):
        return ()
    days = {_day(thing) for thing in mine}
    alike = [
        thing
        for thing in things
        if _alike(payload, thing, (model_of(payload).alike,)) and (enters_balance(payload) or _day(thing) in days)
    ]
    return entries_of(payload, alike, profile, own).marked


async def try_entries(gateway: Gateway, model: str) -> None:
    """Look for entries of a subscriber that no billing has. Raises `LookUpFailed`."""
    if model == OPERATIONS:
        await sharers_of(gateway, [NOBODY])
        for op_type in (OPENING_BALANCE, RECEIPT):
            nobodys = {"abonent_id": str(NOBODY), OP_TYPE: str(op_type)}
            await marked_or_alike(
                gateway, [Payload(model, (), abonent=NOBODY, key=nobodys, wanted={"op_summa": "0"})]
            )
    elif model == SERVICES:
        kind = CREATABLE_MODELS[model]
        await try_finding(gateway, model, kind.same, kind.fields(("usluga_id",)))


async def _with_sharers(gateway: Gateway, items: Sequence[NewItem]) -> Mapping[str, Payload]:
    """The payloads by item key, those that set a balance with the other subscribers of their accounts."""
    payloads = {item.key: decode_payload(item.payload) for item in items}
    setting = items if gateway.profile.type_8.value is TypeEight.SETS else ()
    accounts = {
        item.key: account
        for item in setting
        if enters_balance(payloads[item.key]) and (account := account_of(item.lane)) is not None
    }
    sharers = await sharers_of(gateway, set(accounts.values())) if accounts else {}
    for key, account in accounts.items():
        others = tuple(sorted({*sharers.get(account, ())} - {payloads[key].abonent}))
        payloads[key] = msgspec.structs.replace(payloads[key], sharers=others)
    return payloads


def _can_be(payload: Payload, thing: BillingObject) -> bool:
    """Whether an object may be the row's as far as its day says: none that is older than the row's own day."""
    day = _day(thing)
    return not (payload.day and _ISO_DAY.fullmatch(day) and day < payload.day)


def _alike(payload: Payload, thing: BillingObject, names: Collection[str]) -> bool:
    """Whether fields of an object are those of a payload; one that cannot be read may be."""
    for name in names:
        value = payload.key.get(name, payload.wanted.get(name))
        there = thing.values.get(name, value)
        if there != value and name not in thing.faults and not same_value(name, value, there):
            return False
    return True


def _described(payload: Payload, thing: BillingObject) -> str:
    kind = model_of(payload)
    if not kind.amount or kind.amount in thing.faults:
        return kind.described(thing, (kind.alike,))
    return said(
        "operation {id} of {amount}, {day}",
        id=str(thing.values[kind.key]),
        amount=Decimal(thing.values[kind.amount] or 0),
        day=_day(thing),
    )


def _with_type(text: str, thing: BillingObject) -> str:
    return said("{operation} (type {type})", operation=text, type=str(thing.values.get(OP_TYPE)))


def _day(thing: BillingObject) -> str:
    return (thing.values.get("op_date") or "")[:_DAY]
