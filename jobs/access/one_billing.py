"""Whether API and database are one billing: a handful of subscribers is read from both, others each time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import Final

from billing.api.answers import objects
from billing.api.calls import Call, filter_
from billing.directory.identity import drawn_subscribers, identity_of
from billing.directory.subscribers import Abonent, by_ids
from engine.errors import LookUpDelayed
from jobs.access.gateway import Gateway, as_engine_errors
from texts.said import Said, said

_FIELDS: Final = ("contract_number", "name", "parent_id")

_TRIES: Final = 3
"""Readings of the API, of which any may be lost; and of both sides, in between which somebody may change a name."""


@dataclass(frozen=True, slots=True)
class OneBilling:
    """The billing of an API and a database that were compared.

    `identity` tells it from others whatever its address, "" where nothing does, as without a database; `compared`
    counts the subscribers that are equal on both sides, 0 without a database or without subscribers; `differs` says
    how another one differs.
    """

    identity: str = ""
    compared: int = 0
    differs: Said | None = None


async def compare_billing(gateway: Gateway) -> OneBilling:
    """Compare subscribers of the database with those of the API, by id, contract number, name and folder.

    Costs a few small statements and a call a subscriber. Raises `LookUpFailed` where one side cannot be read.
    """
    if gateway.database is None:
        return OneBilling()
    identity = await gateway.read(identity_of)
    ids = await gateway.read(lambda database: drawn_subscribers(database, SystemRandom()))
    schema = await gateway.read(lambda database: database.schema)
    # The fields that this version has.
    fields = [name for name in _FIELDS if schema.has("ABONENTS", name.upper())]
    calls = [filter_("Abonents", {"id": key}, "id", *fields) for key in ids]
    differs: Said | None = None
    for _ in range(_TRIES):
        stored = {row.id: row for row in await gateway.read(lambda database: list(by_ids(database, ids)))}
        answers = await _asked(gateway, calls)
        with as_engine_errors():
            pairs = [(stored.get(key), objects(answer)) for key, answer in zip(ids, answers, strict=True)]
        differs = next((one for row, found in pairs if row and (one := _difference(row, found))), None)
        if differs is None:
            return OneBilling(identity, len(stored))
    return OneBilling(identity, differs=differs)


async def _asked(gateway: Gateway, calls: Sequence[Call]) -> Sequence[object]:
    """The answers of the API. Raises `LookUpFailed`, also where each try was lost."""
    for _ in range(_TRIES - 1):
        try:
            return await gateway.ask(calls)
        except LookUpDelayed:
            continue
    return await gateway.ask(calls)


def _difference(stored: Abonent, found: Sequence[Mapping[str, object]]) -> Said | None:
    """How a subscriber of the database differs from the one that the API has found, None for equal ones.

    What one side does not tell is not compared.
    """
    if not found:
        return said(
            "the database has abonent {id} ({number}, {name}), and the API has none with this id",
            id=stored.id,
            number=stored.contract_number or said("no contract number"),
            name=stored.name or said("no name"),
        )
    for name, ours, theirs in (
        (said("contract number"), stored.contract_number, found[0].get("contract_number")),
        (said("name"), stored.name, found[0].get("name")),
        (said("folder"), stored.parent_id, found[0].get("parent_id")),
    ):
        if ours is not None and theirs is not None and str(ours).strip() != str(theirs).strip():
            return said(
                "abonent {id}: {field} {ours} in the database, {theirs} by the API",
                id=stored.id,
                field=name,
                ours=str(ours),
                theirs=str(theirs),
            )
    return None
