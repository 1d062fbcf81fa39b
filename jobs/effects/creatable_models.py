"""The models whose objects jobs create, and how a new object is found again by its mark or its fields."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from billing.directory.models import BillingObject
from billing.directory.objects import commented, meets_key
from checkpoints.records import Item
from jobs.access.gateway import Gateway
from jobs.access.objects import NOBODY, describe_fields, differences, find
from jobs.access.operations import two_decimals
from jobs.access.payload import Payload, payload_of
from jobs.access.subscribers import as_bool
from jobs.spec.entries import CREATED, MARK_ROOM, OPERATIONS, find_mark, mark_prefix

BALANCE: Final = "balance"
"""A wanted value of an operation that is not its own field: the account's balance after it."""


@dataclass(frozen=True, slots=True)
class CreatableModel:
    """A model whose objects are created; `noun` is its name for people.

    `key` is the field of the id. `found_by` are the arguments by which a new object is found, `same` those that make
    two rows the same entry. `comment` is the field for the mark, and `column` its table and column; without a comment
    "", and then only `found_by` identifies an object. `ended` is the field of objects that no longer count, and
    `ended_in_words` its meaning. `amount` is the field of money. `moving` are fields that the billing later changes
    by itself: they are sent and not compared.
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

    @property
    def apart(self) -> frozenset[str]:
        """The arguments of a new object that are not compared: they find it, mark it, or change later."""
        return frozenset({*self.found_by, *self.moving, self.comment})

    def fields(self, wanted: Collection[str]) -> tuple[str, ...]:
        """The fields to read of an object, to compare it with the wanted fields."""
        own = (self.key, self.comment, self.ended, *wanted)
        return tuple(dict.fromkeys(name for name in own if name and name != BALANCE))

    def counts(self, thing: BillingObject) -> bool:
        """Whether an object still has its effect."""
        return not (self.ended and as_bool(thing.values.get(self.ended)))

    def described(self, thing: BillingObject, wanted: Collection[str]) -> str:
        """An object in words: `operation 5 of 50.50`."""
        said = f"{self.noun} {thing.values.get(self.key)} {self._values(thing.values, wanted)}"
        if unreadable := [
            f"{name} {fault}" for name, fault in thing.faults.items() if name in (*wanted, self.amount)
        ]:
            said = f"{self.noun} {thing.values.get(self.key)}, of which cannot be read: {', '.join(unreadable)}"
        return said if self.counts(thing) else f"{said} ({self.ended_in_words})"

    def sent(self, wanted: Mapping[str, str | None]) -> str:
        """The values sent, in words."""
        return self._values(wanted, wanted).removeprefix("of ").removeprefix("with ")

    def _values(self, values: Mapping[str, str | None], wanted: Collection[str]) -> str:
        if self.amount:
            return f"of {two_decimals(Decimal(values.get(self.amount) or 0))}"
        return f"with {describe_fields({name: values.get(name) for name in wanted})}"


CREATABLE_MODELS: Final[Mapping[str, CreatableModel]] = MappingProxyType(
    {
        OPERATIONS: CreatableModel(
            noun="operation",
            key="op_id",
            found_by=("abonent_id", "op_type_id"),
            same=("abonent_id", "op_type_id"),
            comment=CREATED[OPERATIONS],
            column=("FINANCE_OPERATIONS", "DESCR"),
            ended="storno",
            ended_in_words="reversed by storno",
            amount="op_summa",
        ),
        "UsersUsluga": CreatableModel(
            noun="connected service",
            key="id",
            found_by=("abonent_id",),
            same=("abonent_id", "usluga_id"),
            comment=CREATED["UsersUsluga"],
            column=("USERS_USLUGA", "COMMENT"),
            ended="deleted",
            ended_in_words="deleted",
            moving=frozenset({"next_date", "enabled"}),
        ),
        "AttributeValues": CreatableModel(
            noun="attribute value",
            key="id",
            found_by=("abonent_id", "attribute_id"),
            same=("abonent_id", "attribute_id"),
        ),
    }
)
"""The models whose objects the recipes create [S, I]."""


async def created(gateway: Gateway, run_name: str, items: Sequence[Item]) -> dict[int, list[BillingObject]]:
    """The objects of each item, by item_id, including those that no longer count. Raises `LookUpFailed`."""
    payloads = [payload_of(item) for item in items]
    if not payloads:
        return {}
    model = payloads[0].model
    kind = CREATABLE_MODELS[model]
    fields = fields_of(payloads)
    if not kind.comment:
        found = await find(gateway, model, [payload.key for payload in payloads], fields)
        return {item.item_id: things for item, things in zip(items, found, strict=True)}
    marked = await _marked(gateway, model, run_name, payloads, fields)
    return {
        item.item_id: [
            thing for thing in marked.get((payload.abonent, item.number), []) if meets_key(payload.key, thing)
        ]
        for item, payload in zip(items, payloads, strict=True)
    }


async def try_finding_created(gateway: Gateway, model: str, arguments: Collection[str]) -> None:
    """Look, as `created` does, for an object with these arguments that cannot exist. Raises `LookUpFailed`."""
    kind = CREATABLE_MODELS[model]
    fields = kind.fields([name for name in arguments if name not in kind.apart])
    if gateway.database is not None and kind.comment:
        text = mark_prefix("0")
        await gateway.read(lambda database: commented(database, model, [NOBODY], text, fields))
    else:
        await find(gateway, model, [dict.fromkeys(kind.found_by, str(NOBODY))], fields)


def fields_of(payloads: Sequence[Payload]) -> tuple[str, ...]:
    """The fields to read of the objects of these payloads, which are of one model."""
    kind = CREATABLE_MODELS[payloads[0].model]
    return kind.fields([name for payload in payloads for name in payload.wanted])


def difference(payload: Payload, found: Sequence[BillingObject]) -> str | None:
    """The difference between the objects found and the one sent, with both sides; None without one."""
    kind = CREATABLE_MODELS[payload.model]
    wanted = {name: value for name, value in payload.wanted.items() if name != BALANCE}
    if len(found) == 1 and kind.counts(found[0]) and not differences(wanted, found[0]):
        return None
    there = ", ".join(kind.described(thing, wanted) for thing in found)
    none = f"no {kind.noun} with this mark" if kind.comment else f"no {kind.noun} like it"
    return f"sent {kind.sent(wanted)}; the billing has {there or none}"


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
        return (
            f"this billing does not keep comments as they are sent (the probe of {profile.descr_kept.learned}): an "
            "operation could not be found again by its mark, and a lost answer not be settled. Nothing can be entered"
        )
    if profile.descr_length.known and profile.descr_length.value < MARK_ROOM:
        return (
            f"this billing keeps {profile.descr_length.value} characters of a comment (the probe of "
            f"{profile.descr_length.learned}), and a mark needs {MARK_ROOM}. Nothing can be entered"
        )
    return None


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
