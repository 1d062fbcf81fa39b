"""Values of fields in one plain spelling, so that values from any source can be compared.

They are texts: money in roubles, dates as 2019-06-01, with a time as 2019-06-01 00:00:00, addresses dotted; None
if empty.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Final, TypeAlias

from billing.money import LARGEST_STORED, from_answer, shortest, unscaled
from texts.said import ValueRefused, text_of

Values: TypeAlias = Mapping[str, str | None]


def _number(amount: Decimal) -> str:
    whole = amount.to_integral_value()
    spelled = whole if amount == whole else amount.normalize()
    return format(spelled or abs(spelled), "f")


def _address(value: object) -> str | None:
    return str(IPv4Address(value)) if isinstance(value, int) and value else str(value or "") or None


_MIDNIGHT: Final = " 00:00:00"
_LONGEST_VALUE: Final = 32_765
"""Characters of the longest text column of Firebird."""
AMOUNTS: Final = frozenset({"limit", "limit_warning", "balance", "summa", "op_summa", "SUM_IN"})
"""Fields of money; in a call they are roubles."""
ADDRESSES: Final = frozenset({"ip", "snatip"})
_SPELLED: Final = AMOUNTS | ADDRESSES
_LARGEST_NUMBER: Final = 10**18 - 1
"""The largest number of 18 digits; an id has no more."""
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
    """A value of a call or of an answer in its plain spelling.

    A date and its midnight are the same; trailing blanks, which Firebird does not compare, are removed; "", and 0 for
    an address, are None. Raises ValueError for invalid money, for an invalid address, and for a value longer than any
    field.
    """
    if value is None or value == "":
        return None
    if field in AMOUNTS:
        return _number(from_answer(value))
    if field in ADDRESSES:
        return _address(value)
    if field in _MOMENTS:
        return str(value).removesuffix(_MIDNIGHT)
    if isinstance(value, bool):
        return str(int(value))
    text = str(value)
    if len(text) > _LONGEST_VALUE:
        raise ValueRefused(
            "{text}… of {characters} characters is longer than any field", text=repr(text[:20]), characters=len(text)
        )
    return text.rstrip(" ") or None


def read_values(
    fields: Iterable[tuple[str, object]], spell: Callable[[str, object], str | None]
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Values by field, and the faults of those that cannot be read, whose values are None.

    Most are whole numbers and nothing, which have one spelling everywhere.
    """
    values: dict[str, str | None] = {}
    faults: dict[str, str] = {}
    for name, value in fields:
        if value is None or (type(value) is int and 0 <= value <= _LARGEST_NUMBER and name not in _SPELLED):
            values[name] = None if value is None else str(value)
            continue
        try:
            values[name] = spell(name, value)
        except ValueError as error:
            values[name] = None
            faults[name] = text_of(error)
    return values, faults


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
    """Whether two objects have the same fields with the same values."""
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
        return value.strftime("%Y-%m-%d %H:%M:%S").removesuffix(_MIDNIGHT)
    return plain_value(field, value.isoformat() if isinstance(value, dt.date) else value)
