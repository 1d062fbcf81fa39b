"""Objects of the billing as they are now, in bulk: whose they are, and what their fields hold.

A key is what `objects.get` would be given, as {"account_id_abonents": "5"} or {"abonent_id": "94", "usluga_id":
"127"}. Values are texts in one plain spelling, whichever way they came: money in roubles, dates as 2019-06-01, with a
time as 2019-06-01 00:00:00, addresses dotted; None where there is nothing.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Final, TypeAlias

from billing.api.answers import objects
from billing.api.calls import Call, filter_
from billing.database.database import Database, chunks
from billing.database.reader import DatabaseRow
from billing.database.schema import Schema, TableColumn, columns_of, require
from billing.database.sql_blocks import SqlStatement, sql_block
from billing.errors import UnreadableAnswer
from billing.money import from_answer, roubles, wire

_sql: Final = partial(sql_block, "objects", folder="billing.directory")

Key: TypeAlias = Mapping[str, str]
Values: TypeAlias = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class BillingObject:
    """One object. `abonent_id` and `account_id` are None where it belongs to nobody, as a service on offer does.

    A value that cannot be read is None, and `faults` says by the name of its field what is wrong with it.
    """

    abonent_id: int | None
    account_id: int | None
    label: str
    values: Values
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """How objects of a model are read from the database: the statement of `objects.sql`, its fields, its keys.

    `columns` say by which expression each field is selected, in the aliases of the statement; one whose columns the
    billing lacks is left out. `keys` tells by which field of a key objects are looked for, and the end of the
    statement that does it; `owner` is the way from an object to its account in REST, "" where there is none;
    `commented` is the end that looks into the comments, "" where there are none.
    """

    statement: str
    columns: Mapping[str, str]
    keys: Mapping[str, str]
    owner: str = ""
    commented: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are documented."""
        return tuple(self.columns)

    def needs(self, field: str) -> frozenset[TableColumn]:
        """The tables and columns that a field is read from."""
        return columns_of(self.columns[field], _sql(self.statement).text)

    def there(self, schema: Schema) -> tuple[str, ...]:
        """The fields that this billing has."""
        return tuple(field for field in self.columns if self.needs(field) <= schema.there)

    def selecting(self, fields: Sequence[str], end: str) -> SqlStatement:
        """The statement that gives these fields of the objects that one of its ends finds."""
        columns = ", ".join(self.columns[field] for field in fields)
        head = _sql(self.statement).text.replace("{columns}", columns)
        return SqlStatement(end, f"{head}\n{_sql(end).text}", ours=True)


def _model(name: str, alias: str, fields: str, owner: str = "", commented: str = "", **keys: str) -> Model:
    """A model; `fields` are columns behind the alias, or `field:expression` where it is another one."""
    pairs = [field.partition(":") for field in fields.split()]
    columns = {field: expression or f"{alias}.{field}" for field, _, expression in pairs}
    if "balance" in columns:
        columns["balance"] = _sql("balance").text
    return Model(name, MappingProxyType(columns), MappingProxyType(keys), owner, commented)


MODELS: Final[Mapping[str, Model]] = MappingProxyType(
    {
        "Abonents": _model(
            "abonents",
            "a",
            "id operator_id tarif_id tarif_next_id tarif_next_date need_recalc own_disabled_start own_disabled_end "
            "parent_id name contract_number sms email is_folder deleted",
            owner="account_id",
            id="abonents_by_id",
        ),
        "AdminAccounts": _model(
            "accounts",
            "aa",
            'id account_id_abonents:a.id limit:aa."limit" limit_warning balance',
            owner="id",
            id="accounts_by_id",
            account_id_abonents="accounts_by_abonent",
        ),
        "Users": _model(
            "users",
            "u",
            "id abonent_id login ip mac pull snatip snat_pull enabled deleted",
            owner="abonent__account_id",
            id="users_by_id",
            abonent_id="users_by_abonent",
            login="users_by_login",
        ),
        "UsersUsluga": _model(
            "connected",
            "c",
            "id abonent_id usluga_id manager_id comment next_date enabled deleted",
            owner="abonent__account_id",
            commented="connected_commented",
            id="connected_by_id",
            abonent_id="connected_by_abonent",
        ),
        "Usluga": _model("services", "s", "id name summa operator_id", id="services_by_id"),
        "FinanceOperations": _model(
            "operations",
            "o",
            "op_id abonent_id op_type_id:o.op_type op_summa op_date descr storno sync1c code1c",
            owner="abonent__account_id",
            commented="operations_commented",
            op_id="operations_by_id",
            pk="operations_by_id",
            abonent_id="operations_by_abonent",
        ),
        "AbonentsBlockHistory": _model(
            "blocks", "h", "id abonent_id time_changed time_del", owner="abonent__account_id", id="blocks_by_id"
        ),
        "AttributeValues": _model(
            "attributes",
            "v",
            "id abonent_id attribute_id attribute_value",
            owner="abonent__account_id",
            id="attributes_by_id",
            abonent_id="attributes_by_abonent",
        ),
    }
)
"""The models whose objects can be read in bulk; those of the recipes [S]."""


# ---- values in one spelling -------------------------------------------------------------------------------------


def _money(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return _number(roubles(value))
    return _number(_decimal(value))


def _number(amount: Decimal) -> str:
    whole = amount.to_integral_value()
    return wire(whole if amount == whole else amount.normalize())


def _decimal(value: object) -> Decimal:
    return from_answer(value if isinstance(value, int | float | Decimal) else str(value))


def _address(value: object) -> str | None:
    return str(IPv4Address(value)) if isinstance(value, int) and value else str(value or "") or None


def _moment(value: object) -> str:
    text = str(value)
    return text.removesuffix(_MIDNIGHT)


_MIDNIGHT: Final = " 00:00:00"
_LONGEST_KEY: Final = 18
_IDS: Final = frozenset({"id", "op_id", "op_type_id", "abonent_id", "usluga_id", "attribute_id"})
_LONGEST_VALUE: Final = 32_765
"""Characters: the longest text column that Firebird has."""
AMOUNTS: Final = frozenset({"limit", "limit_warning", "balance", "summa", "op_summa", "SUM_IN"})
"""Fields of money, roubles in a call."""
ADDRESSES: Final = frozenset({"ip", "snatip"})
_MOMENTS: Final = frozenset(
    {
        "tarif_next_date",
        "need_recalc",
        "own_disabled_start",
        "own_disabled_end",
        "next_date",
        "op_date",
        "time_changed",
        "time_del",
    }
)


def plain_value(field: str, value: object) -> str | None:
    """A value of a call, or of an answer, in its one spelling, so that two of them can be held against each other.

    A date and its midnight are the same; blanks at the end, which Firebird does not compare, make no difference; "",
    and 0 for an address, are nothing. Raises ValueError for money that is no number, for an address that is none, and
    for what is longer than any field is.
    """
    if value is None or value == "":
        return None
    if field in AMOUNTS:
        return _number(_decimal(value))
    if field in ADDRESSES:
        return _address(value)
    if field in _MOMENTS:
        return _moment(value)
    if isinstance(value, bool):
        return str(int(value))
    text = str(value)
    if len(text) > _LONGEST_VALUE:
        raise ValueError(f"{text[:20]!r}… of {len(text)} characters is longer than any field")
    return text.rstrip(" ") or None


def read_values(
    fields: Iterable[tuple[str, object]], spell: Callable[[str, object], str | None]
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Values by the names of their fields, and what is wrong with those that cannot be read, which are None."""
    values: dict[str, str | None] = {}
    faults: dict[str, str] = {}
    for name, value in fields:
        try:
            values[name] = spell(name, value)
        except ValueError as error:
            values[name] = None
            faults[name] = str(error)
    return values, faults


def same_value(field: str, one: str | None, other: str | None) -> bool:
    """Whether two values of a field are the same, by its kind: money as numbers, dates as moments, all else as text.

    How they are spelled makes no difference, "-459.9" and "-459.90" are one amount; nothing equals nothing alone.
    """
    if one == other or one is None or other is None:
        return one == other
    try:
        if field in AMOUNTS:
            return from_answer(one) == from_answer(other)
        if field in _MOMENTS:
            return dt.datetime.fromisoformat(one) == dt.datetime.fromisoformat(other)
        if field in ADDRESSES:
            return IPv4Address(one) == IPv4Address(other)
    except ValueError:
        # One of them is of no such kind, and the other is another text.
        return False
    return False


def same_values(one: Values, other: Values) -> bool:
    """Whether two objects have the same fields with the same values."""
    return one.keys() == other.keys() and all(same_value(name, value, other[name]) for name, value in one.items())


def _stored(field: str, value: object) -> str | None:
    """The same of a value of the database, where money is scaled."""
    if value is None:
        return None
    if field in AMOUNTS:
        return _money(value)
    if field in ADDRESSES and isinstance(value, int) and -(2**31) <= value < 0:
        # A signed column of 32 bits can hold an address above 127.255.255.255 only as a negative number [?].
        return _address(value + 2**32)
    if isinstance(value, dt.datetime):
        return _moment(value.strftime("%Y-%m-%d %H:%M:%S"))
    return plain_value(field, value.isoformat() if isinstance(value, dt.date) else value)


# ---- from the database, in bulk ---------------------------------------------------------------------------------


def known_to_database(model: str, keys: Collection[Key], fields: Collection[str]) -> bool:
    """Whether `from_database` can find these: a model, a way to look, and fields that are documented."""
    known = MODELS.get(model)
    return known is not None and set(fields) <= set(known.fields) and all(_way(known, key) for key in keys)


def from_database(
    database: Database, model: str, keys: Sequence[Key], fields: Collection[str] = ()
) -> list[list[BillingObject]]:
    """The objects that each key finds, none to several, with all fields that this billing has.

    Raises `ColumnsMissing` where one of `fields` or of the keys is not among them, and what `Database.query` raises.
    """
    known = MODELS[model]
    _require(database.schema, known, {*fields, *(name for key in keys for name in key)})
    ways: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for key in keys:
        way = _way(known, key)
        if can_be(way, key[way]):
            ways[way][key[way]] = None
    found = {
        (way, value): things for way, values in ways.items() for value, things in _read(database, known, way, values)
    }
    return [_matching(found.get((_way(known, key), key[_way(known, key)]), []), key) for key in keys]


def commented(
    database: Database, model: str, abonents: Collection[int], text: str, fields: Collection[str] = ()
) -> list[BillingObject]:
    """The objects of these subscribers that have a text in their comment, whatever its case; deleted ones too.

    Raises `ColumnsMissing` where one of `fields` is not there, and what `Database.query` raises.
    """
    known = MODELS[model]
    _require(database.schema, known, fields)
    there = known.there(database.schema)
    return [
        _thing(there, row)
        for chunk in chunks(dict.fromkeys(abonents))
        for row in database.query(known.selecting(there, known.commented), {"keys": chunk, "text": text})
    ]


def _require(schema: Schema, model: Model, fields: Collection[str]) -> None:
    require(schema, (column for name in fields if name in model.columns for column in model.needs(name)))


def _read(
    database: Database, model: Model, way: str, values: Collection[str]
) -> Iterator[tuple[str, list[BillingObject]]]:
    there = model.there(database.schema)
    wanted = model.selecting(there, model.keys[way])
    own = "op_id" if way == "pk" else way
    by_value: defaultdict[str, list[BillingObject]] = defaultdict(list)
    for chunk in chunks(values):
        keys: tuple[str, ...] | tuple[int, ...] = chunk if way == "login" else tuple(map(int, chunk))
        for row in database.query(wanted, {"keys": keys}):
            thing = _thing(there, row)
            found = by_value[thing.values[own] or ""]
            # An account that serves several subscribers is one object, though the statement gives it for each.
            if way != "id" or not found:
                found.append(thing)
    yield from by_value.items()


def _thing(fields: Sequence[str], row: DatabaseRow) -> BillingObject:
    abonent, account, label, *values = row
    return BillingObject(abonent, account, str(label or ""), *read_values(zip(fields, values, strict=True), _stored))


def _way(model: Model, key: Key) -> str:
    return next((name for name in key if name in model.keys), "")


LONGEST_NAME: Final = 64
"""Characters of a contract's number or of a login. The columns of the real billing are not known [?]."""
_LARGEST: Final = 2**31 - 1


def can_be(name: str, value: str) -> bool:
    """Whether an object can have the value as its key: Firebird refuses the whole statement for one that it cannot.

    An id is a whole number of 32 bits; a login is a text, and no longer than its column.
    """
    if name == "login":
        return len(value) <= LONGEST_NAME
    digits = value.lstrip("0")
    if not (value.isascii() and value.isdigit() and len(digits) <= len(str(_LARGEST))):
        return False
    return int(digits or 0) <= _LARGEST


def _matching(things: Sequence[BillingObject], key: Key) -> list[BillingObject]:
    def meets(thing: BillingObject) -> bool:
        return all(
            name not in thing.values or same_value(name, thing.values[name], plain_value(name, value))
            for name, value in key.items()
        )

    return [thing for thing in things if meets(thing)]


# ---- through the API, a call a key ------------------------------------------------------------------------------


def call_for(model: str, key: Key, fields: Collection[str]) -> Call:
    """The reading call that finds what a key finds, with these fields and the way to the account."""
    owner = MODELS[model].owner if model in MODELS else ""
    own = ("abonent_id",) if owner.startswith("abonent__") else ()
    wanted = dict.fromkeys((*fields, *own, *([owner] if owner else [])))
    return filter_(model, key, *wanted)


def of_answer(
    model: str, key: Key, fields: Collection[str], result: object, besides: Collection[str] = ()
) -> list[BillingObject]:
    """The objects of that call's answer, `besides` taken along where it is there.

    Raises `UnreadableAnswer` where one of `fields` is missing: nothing is guessed.
    """
    owner = MODELS[model].owner if model in MODELS else ""
    answered = objects(result)
    return [
        _answered(model, key, (*fields, *(name for name in besides if name in found)), found, owner)
        for found in answered
    ]


def _answered(
    model: str, key: Key, fields: Collection[str], found: Mapping[str, object], owner: str
) -> BillingObject:
    missing = [name for name in fields if name not in found]
    if missing:
        raise UnreadableAnswer(f"The billing was asked for {model}, and its answer has no {', '.join(missing)}.")
    values, faults = read_values(((name, found[name]) for name in fields), _of_answer)
    abonent = (
        key.get("account_id_abonents") or found.get("abonent_id") or (key.get("id") if model == "Abonents" else "")
    )
    label = " ".join(str(value) for value in key.values())
    return BillingObject(_whole(abonent), _whole(_follow(found, owner)), label, values, faults)


def _of_answer(name: str, value: object) -> str | None:
    """A value of an answer, in its one spelling. Raises ValueError as `plain_value` does, and for a wrong id."""
    text = plain_value(name, value)
    if name in _IDS and text is not None and _whole(text) is None:
        raise ValueError(f"{text[:20]!r} is not an id")
    return text


def _follow(found: object, path: str) -> object:
    """The value behind `abonent__account_id`: `{"abonent": {"fields": {"account_id": 5}}}` [D]."""
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
