"""The models of the billing: their fields, the columns of the fields, and the keys of their objects."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address
from typing import Final, TypeAlias

import msgspec

from billing.database.schema import Schema, TableColumn, columns_of
from billing.database.sql_blocks import SqlStatement, sql_block
from billing.money import LARGEST_STORED, from_answer, shortest, unscaled
from billing.profile import UNKNOWN
from texts.said import ValueRefused, text_of

# ---- values of fields in one plain spelling, so that values from any source can be compared -----------------------
# They are texts: money in roubles, dates as 2019-06-01, with a time as 2019-06-01 00:00:00, addresses dotted; None if
# empty.


Values: TypeAlias = Mapping[str, str | None]


def _number(amount: Decimal) -> str:
    whole = amount.to_integral_value()
    spelled = whole if amount == whole else amount.normalize()
    return format(spelled or abs(spelled), "f")


def _address(value: object) -> str | None:
    return str(IPv4Address(value)) if isinstance(value, int) and value else str(value or "") or None


DAY: Final = len("2019-06-01")
"""The length of a day as the billing writes it, and as a moment of it begins."""
MIDNIGHT: Final = " 00:00:00"
"""The time of a moment of the billing that is only a day; the plain spelling leaves it out."""
_LONGEST_VALUE: Final = 32_765
"""Characters of the longest text column of Firebird."""
AMOUNTS: Final = frozenset({"limit", "limit_warning", "balance", "summa", "op_summa", "SUM_IN"})
"""Fields of money; in a call they are roubles."""
ADDRESSES: Final = frozenset({"ip", "snatip"})
_SPELLED: Final = AMOUNTS | ADDRESSES
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


IDS: Final = frozenset({"id", "op_id", "op_type_id", "abonent_id", "usluga_id", "attribute_id"})
_NO_TEXTS: Final = _SPELLED | _MOMENTS | IDS


def as_bool(value: object) -> bool:
    """A flag of an answer, in any of the spellings that the billing may use [?]."""
    return str(value).casefold() not in {"", "0", "false", "none"}


def plain_value(field: str, value: object) -> str | None:
    """A value of a call or of an answer in its plain spelling.

    A date and its midnight are the same; trailing blanks, which Firebird does not compare, are removed; "", and 0 for
    an address, are None. Raises ValueError for invalid money, for an invalid address, and for a value longer than any
    field.
    """
    if type(value) is int and field not in _SPELLED:
        return str(value)
    if value is None or value == "":
        return None
    if field in AMOUNTS:
        return _number(from_answer(value))
    if field in ADDRESSES:
        return _address(value)
    if field in _MOMENTS:
        return str(value).removesuffix(MIDNIGHT)
    if isinstance(value, bool):
        return str(int(value))
    text = str(value)
    if len(text) > _LONGEST_VALUE:
        raise ValueRefused(
            "{text}… of {characters} characters is longer than any field", text=repr(text[:20]), characters=len(text)
        )
    return text.rstrip(" ") or None


def same_value(field: str, one: str | None, other: str | None) -> bool:
    """Whether two values of a field are the same: money as numbers, dates as moments, all others as texts.

    The spelling does not matter: "-459.9" and "-459.90" are one amount. None equals only None.
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
        # One of them is not valid, and the texts differ.
        return False
    return False


def same_values(one: Values, other: Values) -> bool:
    if one == other:
        return True
    return one.keys() == other.keys() and all(same_value(name, value, other[name]) for name, value in one.items())


def stored_value(field: str, value: object) -> str | None:
    """A value of the database, where money is scaled, in its plain spelling."""
    if value is None:
        return None
    if field in AMOUNTS:
        if type(value) is int and abs(value) <= LARGEST_STORED:
            return shortest(value)
        return _number(unscaled(value))
    if field in ADDRESSES and isinstance(value, int) and -(2**31) <= value < 0:
        # A signed column of 32 bits can hold an address above 127.255.255.255 only as a negative number [?].
        return _address(value + 2**32)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "seconds").removesuffix(MIDNIGHT)
    return plain_value(field, value.isoformat() if isinstance(value, dt.date) else value)


def stored_columns(
    fields: Sequence[str], columns: Sequence[Sequence[object]]
) -> tuple[list[dict[str, str | None]], dict[int, dict[str, str]]]:
    """The values of the database in their plain spelling, by row and field; and the faults of those, spelled None.

    Many rows have the same values. Most are whole numbers, texts and nothing, which have one spelling everywhere.
    """
    spelled: list[Iterable[str | None]] = []
    faults: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for field, column in zip(fields, columns, strict=True):
        texts: dict[object, str | None] = {}
        faulty: dict[object, str] = {}
        has_texts, has_numbers = field not in _NO_TEXTS, field not in _SPELLED
        for value in set(column):
            if has_numbers and type(value) is int:
                texts[value] = str(value)
            elif has_texts and type(value) is str and len(value) <= _LONGEST_VALUE:
                texts[value] = value.rstrip(" ") or None
            else:
                try:
                    texts[value] = stored_value(field, value)
                except ValueError as error:
                    texts[value], faulty[value] = None, text_of(error)
        for place, value in enumerate(column if faulty else ()):
            if value in faulty:
                faults[place][field] = faulty[value]
        spelled.append(map(texts.__getitem__, column))
    return [dict(zip(fields, row, strict=True)) for row in zip(*spelled, strict=True)], faults


# ---- the models of the billing ------------------------------------------------------------------------------------


_sql: Final = partial(sql_block, "objects", folder="billing.directory")
_FROM: Final = "from "
_OF_ABONENT: Final = "abonent__account_id"


Key: TypeAlias = Mapping[str, str]

LARGEST_ID: Final = 2**31 - 1
"""The largest Firebird integer; the database refuses a statement with a larger key."""


class BillingObject(msgspec.Struct, frozen=True, gc=False):
    """One object. `abonent_id` and `account_id` are None if it belongs to no subscriber, such as a service on offer.

    A value that cannot be read is None, and `faults` has the reason by field.
    """

    abonent_id: int | None
    account_id: int | None
    label: str
    values: Values
    faults: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Model:
    """How objects of a model are read from the database: the statement of `objects.sql`, its fields, its keys.

    `columns` has the expression of each field, with the aliases of the statement; fields whose columns the billing
    lacks are left out. `keys` has the fields by which objects are found, each with the end of the statement for it;
    `owner` is the path from an object to its account in REST, "" without one; `commented` is the end of the statement
    that searches the comments and a value, "" without comments.
    """

    statement: str
    columns: Mapping[str, str]
    keys: Mapping[str, str]
    owner: str = ""
    commented: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.columns)

    def needs(self, field: str) -> frozenset[TableColumn]:
        return columns_of(self.columns[field], _sql(self.statement).text)

    def there(self, schema: Schema) -> tuple[str, ...]:
        text = _sql(self.statement).text
        return tuple([field for field, column in self.columns.items() if columns_of(column, text) <= schema.there])

    def selecting(self, fields: Sequence[str], end: str) -> SqlStatement:
        columns = ", ".join(self.columns[field] for field in fields)
        head = _sql(self.statement).text
        if end.startswith(_FROM):
            head = head.partition(f"\n{_FROM}")[0]
        return SqlStatement(self.statement, f"{head.replace('{columns}', columns)}\n{end}", ours=True)


def _model(name: str, alias: str, fields: str, keys: str, owner: str = "", commented: str = "") -> Model:
    """A model; `fields` are columns of the alias, or `field:expression`.

    `keys` are fields, or `field:end` of those whose objects another end of the statement finds than `by`.
    """
    columns = {field: expression or f"{alias}.{field}" for field, _, expression in _pairs(fields)}
    if "balance" in columns:
        columns["balance"] = _sql("balance").text
    ends = {
        key: _sql(end or "by").text.format(key=columns.get(key, f"{alias}.op_id"), alias=alias)
        for key, _, end in _pairs(keys)
    }
    return Model(name, columns, ends, owner, _sql(commented).text if commented else "")


def _pairs(text: str) -> list[tuple[str, str, str]]:
    return [one.partition(":") for one in text.split()]


MODELS: Final[Mapping[str, Model]] = {
    "Abonents": _model(
        "abonents",
        "a",
        "id operator_id tarif_id tarif_next_id tarif_next_date need_recalc own_disabled_start own_disabled_end "
        "parent_id name contract_number sms email is_folder deleted",
        # No index has the name: only the few names of folders are looked up by it.
        "id contract_number name",
        "account_id",
    ),
    "AdminAccounts": _model(
        "accounts",
        "aa",
        'id account_id_abonents:a.id limit:aa."limit" limit_warning balance',
        "id account_id_abonents:accounts_by_abonent",
        "id",
    ),
    "Users": _model(
        "users",
        "u",
        "id abonent_id login ip mac pull snatip snat_pull enabled deleted",
        "id abonent_id:live_by login:live_by",
        _OF_ABONENT,
    ),
    "UsersUsluga": _model(
        "connected",
        "c",
        "id abonent_id usluga_id manager_id comment next_date enabled deleted",
        "id abonent_id:live_by",
        _OF_ABONENT,
        "connected_commented",
    ),
    "Usluga": _model("services", "s", "id name summa operator_id", "id"),
    "FinanceOperations": _model(
        "operations",
        "o",
        "op_id abonent_id op_type_id:o.op_type op_summa op_date descr storno sync1c code1c operator_pay_id_str",
        "op_id pk abonent_id",
        _OF_ABONENT,
        "operations_commented",
    ),
    "AbonentsBlockHistory": _model("blocks", "h", "id abonent_id time_changed time_del", "id", _OF_ABONENT),
    "AttributeValues": _model(
        "attributes", "v", "id abonent_id attribute_id attribute_value", "id abonent_id", _OF_ABONENT
    ),
}
"""The models whose objects can be read in bulk: those of the recipes [S]."""


LONGEST_NAME: Final = 64
"""Characters of a contract number or of a login. The columns of the real billing are not known [?]."""

LONGEST_TITLE: Final = 255
"""Characters of the name of a subscriber or of a folder; that column is not known either [?]."""

TEXT_KEYS: Final[Mapping[str, int]] = {"login": LONGEST_NAME, "contract_number": LONGEST_NAME, "name": LONGEST_TITLE}
"""The fields that are keys and hold texts, with the length of their columns; all other keys are ids."""

ACT: Final = UNKNOWN.act_type.value
RECEIPT: Final = UNKNOWN.receipt_type.value
OPENING_BALANCE: Final = 8
"""Types of operations as documented: an act, which charges, and a receipt, money paid in (see `billing.profile`), and
the entry of an initial balance [S]."""
