"""The gateway of a job to the billing: its API, and its database where there is one."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from random import SystemRandom
from typing import Final, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from billing.api.answers import objects
from billing.api.calls import Call, filter_
from billing.api.client import BillingClient
from billing.database.database import Database
from billing.directory.identity import drawn_subscribers, identity_of
from billing.directory.models import Values
from billing.directory.objects import from_database
from billing.directory.system import waiting_for
from billing.errors import (
    BillingAway,
    BillingBusy,
    BillingError,
    BillingRefused,
    DatabaseAway,
    DatabaseError,
    NoDatabase,
    StatementRefused,
)
from billing.profile import UNKNOWN, Profile
from engine.errors import LookUpDelayed, LookUpFailed, LookUpRefused
from engine.pacing.throttle import Rate
from jobs.access.vault import Vault
from texts.said import Said, said, text_of

Result = TypeVar("Result")
Looked = TypeVar("Looked", int, str)

Criteria: TypeAlias = Mapping[str, object]
"""What objects are asked for by: values by field."""

MANY: Final = 100
"""Values that one question names at most."""


@dataclass(slots=True)
class Questions:
    """The questions of the present look-ups through the API: their number, how many are answered, and since when.

    `at_once` has by model the values that one question may name, where answers to more could not be believed.
    """

    number: int = 0
    answered: int = 0
    began: float = 0.0
    at_once: dict[str, int] = field(default_factory=dict)

    def count(self) -> tuple[int, int, float]:
        """Answered questions, all of them, and the seconds since they began. May be called in any thread."""
        return self.answered, self.number, time.monotonic() - self.began


@dataclass(frozen=True, slots=True)
class Gateway:
    """The access to one billing. `asked_at_once` limits the reading calls of one look-up that are in flight.

    `rate` limits the reading calls a second and may be changed at any time; calls that write have a rate of their
    own. `questions` counts the reading calls of look-ups. `vault` keeps the secrets of the current run; without one
    they are not kept, as in a plan. `profile` holds the known facts of the billing, each with how well it is known.
    """

    client: BillingClient
    database: Database | None = None
    asked_at_once: int = 4
    vault: Vault | None = None
    rate: Rate = field(default_factory=Rate)
    profile: Profile = UNKNOWN
    questions: Questions = field(default_factory=Questions)

    async def read(self, work: Callable[[Database], Result]) -> Result:
        """Run `work` on the database, in a thread. Raises `LookUpFailed`."""
        database = self.database
        if database is None:
            raise LookUpFailed(said("this needs the billing's database, and none is configured; give its address"))

        def guarded() -> Result:
            with as_engine_errors():
                return work(database)

        return await anyio.to_thread.run_sync(guarded)

    async def look_for(
        self,
        stored: Callable[[Database], Sequence[Result]],
        model: str,
        keys: Iterable[Looked],
        criteria: Callable[[Looked], Criteria],
        fields: Sequence[str],
        read: Callable[[Looked, dict[str, object]], Result],
    ) -> Sequence[Result]:
        """What these keys find: from the database, or without one what is `read` of the objects that the API has.

        Raises `LookUpFailed`.
        """
        if self.database is not None:
            return await self.read(stored)
        each = list(dict.fromkeys(keys))
        found = await self.objects_by(model, [criteria(key) for key in each], fields)
        with as_engine_errors():
            return [read(key, one) for key, objects_ in zip(each, found, strict=True) for one in objects_]

    def asks_by_many(self, *fields: str) -> bool:
        """Whether one question is known to tell of many values of each of these fields, as "Abonents.id"."""
        return self.database is None and self.profile.in_filters.value.keys() >= set(fields)

    async def objects_by(
        self, model: str, keys: Sequence[Criteria], fields: Sequence[str]
    ) -> list[list[dict[str, object]]]:
        """The objects that each key finds through the API, with these fields. Raises `LookUpFailed`.

        Keys that differ in one field are asked for together where the billing is known to tell of many values of it.
        It does not say whether an answer is whole. So a question is asked again in halves, in the end for each key
        alone, if it is refused, if its answer has more objects than any was seen to hold, or one of none of the keys.
        """
        many, at_once = self.profile.in_filters.value, self.questions.at_once
        whole = max(many.values(), default=0)
        alike: defaultdict[tuple[object, ...], dict[str, Criteria]] = defaultdict(dict)
        where: list[tuple[tuple[object, ...], str]] = []
        for key in keys:
            by = next((name for name in key if f"{model}.{name}" in many), "")
            where.append(((by, *((name, value) for name, value in key.items() if name != by)), str(key.get(by, ""))))
            alike[where[-1][0]][where[-1][1]] = key
        size = max(1, min(at_once.get(model, MANY), whole))
        left = [
            (kind, dict(islice(group.items(), first, first + size)))
            for kind, group in alike.items()
            for first in range(0, len(group), size)
        ]
        found: dict[tuple[tuple[object, ...], str], list[dict[str, object]]] = {}
        while left:
            calls = [_question(model, str(kind[0]), list(group.values()), fields) for kind, group in left]
            answers: list[list[dict[str, object]] | None] = []
            try:
                with as_engine_errors():
                    answers += map(objects, await self.ask(calls))
            except LookUpRefused:
                if all(len(group) == 1 for _, group in left):
                    raise
                answers = [None] * len(left)
            again = []
            for (kind, group), answer in zip(left, answers, strict=True):
                told = None if answer is None else _told_apart(answer, str(kind[0]), group, whole)
                if told is not None:
                    found |= {(kind, value): things for value, things in told.items()}
                    continue
                at_once[model] = min(at_once.get(model, MANY), half := (len(group) + 1) // 2)
                again += [(kind, dict(islice(group.items(), first, first + half))) for first in (0, half)]
            left = [(kind, group) for kind, group in again if group]
        return [found[one] for one in where]

    async def ask(self, calls: Sequence[Call]) -> list[object]:
        """The results of reading calls, in their order, a few at a time. Raises `LookUpFailed`."""
        results: list[object] = [None] * len(calls)
        # The workers share one iterator: each takes the next call when its last one has ended.
        rest = iter(enumerate(calls))
        failed: list[LookUpFailed] = []
        questions, answered = self.questions, 0

        async def work() -> None:
            nonlocal answered
            for place, call in rest:
                if failed:
                    return
                try:
                    # Wait until the rate allows one more reading call; waiting calls leave in turn.
                    now = anyio.current_time()
                    moment = self.rate.moment(now, now)
                    self.rate.left(moment)
                    if moment > now:
                        await anyio.sleep(moment - now)
                    with as_engine_errors():
                        results[place] = await self.client.ask(call)
                    questions.answered += 1
                    answered += 1
                except LookUpFailed as error:
                    failed.append(error)

        if not questions.number:
            questions.began = time.monotonic()
        questions.number += len(calls)
        try:
            # Most ask a single question, which needs no task, and anyio's group costs as much as half of one.
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.asked_at_once, len(calls)) - 1):
                    group.create_task(work())
                await work()
        finally:
            questions.number -= len(calls)
            questions.answered -= answered
        if failed:
            raise failed[0]
        return results

    async def unfinished_work(
        self, accounts: Collection[int], abonents: Collection[int], *, new: bool = False
    ) -> str | None:
        """Work that the billing has accepted for these and not yet done, as "ACCOUNT_STACK holds 12 entries".

        With `new` also that for subscribers that are not there yet, whose ids nobody knows. None when no work waits.
        Without a database it is not known and also None: then only the engine's settle delay separates a lost answer
        from its look-up. Raises `LookUpFailed`.
        """
        if self.database is None:
            return None
        waiting = await self.read(
            lambda database: waiting_for(database, accounts=accounts, abonents=abonents, new=new)
        )
        return waiting.described or None

    async def probe(self) -> None:
        with as_engine_errors():
            await self.client.health()


def _question(model: str, by: str, keys: Sequence[Criteria], fields: Sequence[str]) -> Call:
    if len(keys) == 1:
        return filter_(model, keys[0], *fields)
    one_of = {by: (f"{by}__in", [key[by] for key in keys])}
    criteria = dict(one_of.get(name, (name, value)) for name, value in keys[0].items())
    return filter_(model, criteria, *dict.fromkeys((*fields, by)))


def _told_apart(
    answer: list[dict[str, object]], by: str, values: Iterable[str], whole: int
) -> dict[str, list[dict[str, object]]] | None:
    """The objects of an answer by the value that they were asked for; None where it is not to be believed."""
    told: dict[str, list[dict[str, object]]] = {value: [] for value in values}
    if len(told) == 1:
        return dict.fromkeys(told, answer)
    for one in answer:
        if (things := told.get(str(one.get(by)))) is None:
            return None
        things.append(one)
    return told if len(answer) <= whole else None


@contextmanager
def as_engine_errors() -> Iterator[None]:
    """Turn errors of the billing and its database into `LookUpFailed`, with the same sentence."""
    try:
        yield
    except (BillingAway, BillingBusy, DatabaseAway, NoDatabase) as error:
        # A database that was there when the command began comes back.
        raise LookUpDelayed(text_of(error)) from error
    except (BillingRefused, StatementRefused) as error:
        raise LookUpRefused(text_of(error)) from error
    except (BillingError, DatabaseError) as error:
        raise LookUpFailed(text_of(error)) from error


# ---- whether API and database are one billing ---------------------------------------------------------------------
# A handful of subscribers is read from both, others each time.


_FIELDS: Final = {"contract_number": said("contract number"), "name": said("name"), "parent_id": said("folder")}

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
    keys = [{"id": str(key)} for key in ids]
    differs: Said | None = None
    for _ in range(_TRIES):
        stored = await gateway.read(lambda database: from_database(database, "Abonents", keys, ("id",), fields))
        answers = await _asked(gateway, calls)
        with as_engine_errors():
            pairs = [(things[0], objects(one)) for things, one in zip(stored, answers, strict=True) if things]
        differs = next((one for row, found in pairs if (one := _difference(row.values, found))), None)
        if differs is None:
            return OneBilling(identity, len(pairs))
    return OneBilling(identity, differs=differs)


async def _asked(gateway: Gateway, calls: Sequence[Call]) -> Sequence[object]:
    """The answers of the API. Raises `LookUpFailed`, also where each try was lost."""
    for _ in range(_TRIES - 1):
        try:
            return await gateway.ask(calls)
        except LookUpDelayed:
            continue
    return await gateway.ask(calls)


def _difference(stored: Values, found: Sequence[Mapping[str, object]]) -> Said | None:
    """How a subscriber of the database differs from the one that the API has found, None for equal ones.

    What one side does not tell is not compared.
    """
    if not found:
        return said(
            "the database has abonent {id} ({number}, {name}), and the API has none with this id",
            id=str(stored["id"]),
            number=stored.get("contract_number") or said("no contract number"),
            name=stored.get("name") or said("no name"),
        )
    for name, noun in _FIELDS.items():
        ours, theirs = stored.get(name), found[0].get(name)
        if ours is not None and theirs is not None and ours.strip() != str(theirs).strip():
            return said(
                "abonent {id}: {field} {ours} in the database, {theirs} by the API",
                id=str(stored["id"]),
                field=noun,
                ours=ours,
                theirs=str(theirs),
            )
    return None
