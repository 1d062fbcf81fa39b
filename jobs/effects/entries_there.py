"""Entries of the billing like those that a job is about to create: operations of a type, services of a subscriber.

They may be by another journal's run, by hand, or by another program: the intake asks what is meant.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from billing.directory.models import OPENING_BALANCE, RECEIPT
from checkpoints.records import NewItem
from engine.job import Entries, Marked
from jobs.access.gateway import Gateway
from jobs.access.objects import NOBODY, find, try_finding
from jobs.access.operations import Sum, find_entries, sets_balance, some_of
from jobs.access.payload import OP_TYPE, Payload, account_of, decode_payload
from jobs.effects.creatable_models import CREATABLE_MODELS
from jobs.spec.entries import OPERATIONS, find_mark

SERVICES: Final = "UsersUsluga"


async def entries_like(gateway: Gateway, items: Sequence[NewItem]) -> dict[str, Entries]:
    """Entries of the same kind for the same subscribers, by item key. Raises `LookUpFailed`.

    These are operations of the same type that are not reversed, and connected services of the same id.
    """
    payloads = {item.key: decode_payload(item.payload) for item in items}
    sums = {
        item.key: _sum_of(gateway, payloads[item.key], item.lane)
        for item in items
        if payloads[item.key].model == OPERATIONS
    }
    services = {key: payload for key, payload in payloads.items() if payload.model == SERVICES}
    operations = await find_entries(gateway, sums) if sums else {}
    return operations | (await _same_services(gateway, services) if services else {})


async def try_entries(gateway: Gateway, model: str) -> None:
    """Look for entries of a subscriber that no billing has. Raises `LookUpFailed`."""
    if model == OPERATIONS:
        opening, receipt = (Sum(NOBODY, OPENING_BALANCE, Decimal(0), NOBODY), Sum(NOBODY, RECEIPT, Decimal(0)))
        await find_entries(gateway, {"8": opening, "2": receipt})
    elif model == SERVICES:
        kind = CREATABLE_MODELS[model]
        await try_finding(gateway, model, kind.same, kind.fields(("usluga_id",)))


def _sum_of(gateway: Gateway, payload: Payload, lane: str) -> Sum:
    account = account_of(lane) if sets_balance(payload, gateway.profile) else None
    amount = Decimal(payload.wanted["op_summa"] or 0)
    return Sum(payload.abonent, int(payload.key[OP_TYPE]), amount, account, since=payload.day)


async def _same_services(gateway: Gateway, payloads: Mapping[str, Payload]) -> dict[str, Entries]:
    kind = CREATABLE_MODELS[SERVICES]
    keys = [{**payload.key, "usluga_id": str(payload.wanted["usluga_id"])} for payload in payloads.values()]
    found = await find(gateway, SERVICES, keys, kind.fields(("usluga_id",)))
    entries: dict[str, Entries] = {}
    for key, things in zip(payloads, found, strict=True):
        told = [
            (find_mark(thing.values.get("comment") or ""), kind.described(thing, ("usluga_id",)))
            for thing in things
            if kind.counts(thing)
        ]
        marked = tuple(Marked(*mark, text) for mark, text in told if mark is not None)
        alike = [text for mark, text in told if mark is None]
        if told:
            entries[key] = Entries(marked, some_of(alike) if alike else "")
    return entries
