"""Whether API and database are one billing: a handful of subscribers is read from both, others each time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import Final

from billing.database.database import Database
from billing.directory import subscribers
from billing.directory.identity import drawn_subscribers, identity_of
from billing.directory.subscribers import Abonent
from engine.errors import LookUpDelayed
from jobs.access.gateway import Gateway
from jobs.access.subscribers import Resolved, SubscriberFinder
from texts.said import Said, said

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
    identity, ids = await gateway.read(_drawn)
    through_api = SubscriberFinder(replace(gateway, database=None), suggested_for=0)
    differs: Said | None = None
    for _ in range(_TRIES):
        stored = await gateway.read(lambda database: list(subscribers.by_ids(database, ids)))
        answered = await _answered(through_api, ids)
        differs = next((one for row in stored if (one := _difference(row, answered[row.id]))), None)
        if differs is None:
            return OneBilling(identity, len(stored))
    return OneBilling(identity, differs=differs)


def _drawn(database: Database) -> tuple[str, Sequence[int]]:
    return identity_of(database), drawn_subscribers(database, SystemRandom())


async def _answered(finder: SubscriberFinder, ids: Collection[int]) -> Mapping[int | str, Resolved]:
    """The subscribers as the API shows them. Raises `LookUpFailed`, also where each try was lost."""
    for _ in range(_TRIES - 1):
        try:
            return await finder.by_ids(ids)
        except LookUpDelayed:
            continue
    return await finder.by_ids(ids)


def _difference(stored: Abonent, answered: Resolved) -> Said | None:
    """How a subscriber of the database differs from the one of the API, None for equal ones.

    What one side does not tell is not compared.
    """
    if not isinstance(answered, Abonent):
        return said(
            "the database has abonent {id} ({number}, {name}), and the API says: {answer}",
            id=stored.id,
            number=stored.contract_number or said("no contract number"),
            name=stored.name or said("no name"),
            answer=answered,
        )
    for name, ours, theirs in (
        (said("contract number"), stored.contract_number, answered.contract_number),
        (said("name"), stored.name, answered.name),
        (said("folder"), stored.parent_id, answered.parent_id),
    ):
        if None not in {ours, theirs} and str(ours).strip() != str(theirs).strip():
            return said(
                "abonent {id}: {field} {ours} in the database, {theirs} by the API",
                id=stored.id,
                field=name,
                ours=str(ours),
                theirs=str(theirs),
            )
    return None
