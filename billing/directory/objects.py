"""Objects of the billing as they are now, in bulk: their fields, subscribers and accounts.

A key has the arguments of `objects.get`: {"account_id_abonents": "5"} or {"abonent_id": "94", "usluga_id": "127"}.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from billing.database.database import Database, chunks
from billing.database.reader import DatabaseRow
from billing.database.schema import require
from billing.database.sql_blocks import sql_block
from billing.directory.models import (
    IDS,
    LARGEST_ID,
    MODELS,
    TEXT_KEYS,
    BillingObject,
    Key,
    Model,
    as_bool,
    plain_value,
    same_value,
    stored_columns,
)
from billing.errors import ColumnsMissing, UnreadableAnswer
from texts.said import Said, ValueRefused, said, text_of

_LONGEST_KEY: Final = 18


# ---- from the database, in bulk ---------------------------------------------------------------------------------


def known_to_database(model: str, keys: Collection[Key], fields: Collection[str]) -> bool:
    """Whether `from_database` can find these: the model, one field of each key, and all fields are documented."""
    known = MODELS.get(model)
    if known is None or not known.columns.keys() >= set(fields):
        return False
    return all(_way(known, names) for names in {tuple(key) for key in keys})


def from_database(
    database: Database, model: str, keys: Sequence[Key], fields: Collection[str], besides: Collection[str] = ()
) -> list[list[BillingObject]]:
    """The objects that each key finds, none to several, with these fields, and those `besides` that the billing has.

    Raises `ColumnsMissing` if one of `fields` or of the keys is missing, and what `Database.query` raises.
    """
    known = MODELS[model]
    way_of = {names: _way(known, names) for names in {tuple(key) for key in keys}}
    named = {"op_id" if name == "pk" else name for names in way_of for name in names}
    there = _there(database, known, {*fields, *named}, besides)
    wanted = [(way := way_of[tuple(key)], key[way]) for key in keys]
    ways: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for way, value in wanted:
        ways[way][value] = None
    found: defaultdict[tuple[str, str], list[BillingObject]] = defaultdict(list)
    for way, values in ways.items():
        statement = known.selecting(there, known.keys[way])
        own = "op_id" if way == "pk" else way
        # Firebird refuses a text that its column or charset does not hold.
        if way in TEXT_KEYS:
            (column,) = (one for one in known.needs(way) if one.name)
            longest = database.longest(column.table, column.name) or TEXT_KEYS[way]
            possible = database.writable([value for value in values if len(value) <= longest])
        else:
            possible = [value for value in values if can_be(way, value)]
        for chunk in chunks(possible):
            asked: tuple[str, ...] | tuple[int, ...] = chunk if way in TEXT_KEYS else tuple(map(int, chunk))
            for thing in _things(there, database.query(statement, {"keys": asked})):
                things = found[way, thing.values[own] or ""]
                # An account of several subscribers is one object, but the statement has a row for each of them.
                if way != "id" or not things:
                    things.append(thing)
    # What was found by its only name has it.
    return [
        found.get(way, []) if len(key) == 1 else [thing for thing in found.get(way, ()) if meets_key(key, thing)]
        for way, key in zip(wanted, keys, strict=True)
    ]


def commented(
    database: Database,
    model: str,
    wanted: Collection[tuple[int, int]],
    text: str,
    fields: Collection[str],
    besides: Collection[str] = (),
) -> list[BillingObject]:
    """The objects of subscribers whose comment contains a text, in any case, or that are alike; deleted ones too.

    `wanted` has pairs of a subscriber and the value that makes an object alike, as it is stored: the sum of an
    operation, the service of a connected one. The value of any pair finds objects of each subscriber.

    Raises `ColumnsMissing` if one of `fields` is missing, and what `Database.query` raises.
    """
    known = MODELS[model]
    there = _there(database, known, fields, besides)
    statement = known.selecting(there, known.commented)
    found: list[BillingObject] = []
    for chunk in chunks(dict.fromkeys(wanted)):
        abonents, values = (tuple(dict.fromkeys(each)) for each in zip(*chunk, strict=True))
        values_of = {"keys": abonents, "values": values, "text": text}
        found += _things(there, database.query(statement, values_of))
    return found


def _there(database: Database, model: Model, fields: Collection[str], besides: Collection[str]) -> tuple[str, ...]:
    """Those of the fields that this billing has; each one costs for each object."""
    there = model.there(database.schema)
    lacking = [name for name in fields if name not in there and name in model.columns]
    require(database.schema, (column for name in lacking for column in model.needs(name)))
    asked = {*fields, *besides}
    return tuple([name for name in there if name in asked])


def _things(fields: Sequence[str], found: Iterable[DatabaseRow]) -> list[BillingObject]:
    abonents, accounts, labels, *columns = list(zip(*found, strict=True)) or [()] * (3 + len(fields))
    values, faults = stored_columns(fields, columns)
    things = zip(abonents, accounts, labels, values, strict=True)
    return [
        BillingObject(abonent, account, str(label or ""), own, faults.get(place, {}))
        for place, (abonent, account, label, own) in enumerate(things)
    ]


def _way(model: Model, names: Collection[str]) -> str:
    return next((name for name in names if name in model.keys), "")


def can_be(name: str, value: str) -> bool:
    """Whether an object can have this value as its key; Firebird refuses a statement with an impossible one.

    An id is a whole number of 32 bits; a login is a text, and no longer than its column.
    """
    if name in TEXT_KEYS:
        return len(value) <= TEXT_KEYS[name]
    digits = value.lstrip("0")
    if not (value.isascii() and value.isdigit() and len(digits) <= len(str(LARGEST_ID))):
        return False
    return int(digits or 0) <= LARGEST_ID


def meets_key(key: Key, thing: BillingObject) -> bool:
    for name, value in key.items():
        there = thing.values.get(name, value)
        if there != value and not same_value(name, there, plain_value(name, value)):
            return False
    return True


# ---- through the API ----------------------------------------------------------------------------------------------


def with_owner(model: str, fields: Collection[str]) -> tuple[str, ...]:
    """The fields to ask for: these, and the path to the account."""
    owner = MODELS[model].owner if model in MODELS else ""
    own = ("abonent_id",) if owner.startswith("abonent__") else ()
    return tuple(dict.fromkeys((*fields, *own, *([owner] if owner else []))))


def of_answer(
    model: str,
    key: Key,
    fields: Collection[str],
    answer: Iterable[Mapping[str, object]],
    besides: Collection[str] = (),
) -> list[BillingObject]:
    """The objects of an answer about a key, with the fields `besides` if the answer has them.

    Raises `UnreadableAnswer` if one of `fields` is missing: nothing is guessed.
    """
    owner = MODELS[model].owner if model in MODELS else ""
    label = " ".join(str(value) for value in key.values())
    read: list[BillingObject] = []
    for found in answer:
        if missing := tuple(name for name in fields if name not in found):
            raise UnreadableAnswer(
                "The billing was asked for {model}, and its answer has no {fields}.", model=model, fields=missing
            )
        told = (*fields, *(name for name in besides if name in found))
        values: dict[str, str | None] = {}
        faults: dict[str, str] = {}
        for name in told:
            try:
                values[name] = _of_answer(name, found[name])
            except ValueError as error:
                values[name], faults[name] = None, text_of(error)
        own = key.get("id") if model == "Abonents" else ""
        abonent = key.get("account_id_abonents") or found.get("abonent_id") or own
        read.append(BillingObject(_whole(abonent), _whole(_follow(found, owner)), label, values, faults))
    return read


def _of_answer(name: str, value: object) -> str | None:
    """A value of an answer in its plain spelling. Raises ValueError like `plain_value`, and for a wrong id."""
    text = plain_value(name, value)
    if name in IDS and text is not None and _whole(text) is None:
        raise ValueRefused("{text} is not an id", text=repr(text[:20]))
    return text


def _follow(found: object, path: str) -> object:
    """The value at a path like `abonent__account_id`: `{"abonent": {"fields": {"account_id": 5}}}` [D]."""
    head, _, rest = path.partition("__")
    if not head or not isinstance(found, Mapping):
        return None
    value = found.get(head)
    if not rest:
        return value
    inner = value.get("fields", value) if isinstance(value, Mapping) else None
    return _follow(inner, rest)


def _whole(value: object) -> int | None:
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY else None


# ---- references ---------------------------------------------------------------------------------------------------
# The tariffs, services, folders, operators and others that objects name by id.
#
# Not all of their tables are documented. If a table is missing, the API is asked, provided the model is known. If
# neither is known, an id that is already in use exists, and any other id remains unknown.


@dataclass(frozen=True, slots=True)
class Reference:
    """A kind of reference, and how its ids are checked; `noun` is its name for people.

    `statement` finds the names in `table`, and the ids themselves where that table is documented; `in_use` finds ids
    that objects refer to, `model` is that of the API; "" if unknown. `flags` are fields that must be set or not set
    in an object of the model.
    """

    noun: Said
    table: str
    statement: str
    in_use: str = ""
    model: str = ""
    flags: tuple[tuple[str, bool], ...] = ()


REFERENCES: Final[Mapping[str, Reference]] = {
    "Tarif": Reference(said("tariff"), "TARIF", "tariffs", model="Tarif"),
    "Usluga": Reference(said("service"), "USLUGA", "services", model="Usluga"),
    "Folder": Reference(
        said("folder"),
        "ABONENTS",
        "folders",
        model="Abonents",
        flags=(("is_folder", True), ("deleted", False)),
    ),
    "Operator": Reference(said("operator"), "OPERATORS", "operators", "operators_in_use"),
    "Manager": Reference(
        said("administrator"),
        "DJANGO_USERS_PROFILE",
        "administrators",
        "administrators_in_use",
        model="DjangoUsersProfile",
    ),
    "Attribute": Reference(said("attribute"), "", "attributes", "attributes_in_use"),
    "Pool": Reference(said("pool"), "", "pools", "pools_in_use"),
    "SnatPool": Reference(said("SNAT pool"), "", "pools", "snat_pools_in_use"),
}
"""The references by the names that parameters use."""


def has_table(database: Database, reference: Reference) -> bool:
    return bool(reference.table) and database.schema.has(reference.table, "ID")


def there_of(database: Database, reference: Reference, ids: Collection[int]) -> set[int]:
    def found_by(name: str, left: Collection[int]) -> set[int]:
        wanted = sql_block("references", name, "billing.directory")
        return {key for chunk in chunks(sorted(left)) for (key,) in database.query(wanted, {"keys": chunk})}

    found = found_by(reference.statement, ids) if has_table(database, reference) else set()
    left = set(ids) - found
    if reference.in_use and left:
        # Without these columns fewer ids are known.
        with suppress(ColumnsMissing):
            found |= found_by(reference.in_use, left)
    return found


def is_there(reference: Reference, found: Iterable[Mapping[str, object]]) -> bool:
    return any(all(as_bool(one.get(name)) == wanted for name, wanted in reference.flags) for one in found)
