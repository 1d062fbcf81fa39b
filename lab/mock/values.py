"""Values of the REST API and the database: roubles and scaled integers, dotted addresses and integers."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import AddressValueError, IPv4Address
from typing import Any, Final, TypeAlias

from lab.mock.facts import SCALE, ValueType

Stored: TypeAlias = int | str | date | datetime | None
Answered: TypeAlias = int | float | str | None
Columns: TypeAlias = dict[str, Any]
"""Values of an object by the names of its fields."""


class MockRefusal(Exception):
    """Raised when a call is refused: nothing is kept, and its text is the answer's `error`.

    Texts are the product's own words [V] or Django's; that of what is missing is assumed [?].
    """

    def __init__(self, text: str, *values: object) -> None:
        super().__init__(text.format(*values) if values else text)


UNKNOWN: Final = "Не найден атрибут {}"
NONE_FOUND: Final = "{} matching query does not exist."
SEVERAL_FOUND: Final = "get() returned more than one {} -- it returned {}!"
DELETED: Final = "Объект уже удалён"
REQUIRED: Final = "Поле {} обязательно"
WRONG: Final = "Неверное значение {!r}"

_DATE: Final = "%Y-%m-%d"
_TIMESTAMP: Final = "%Y-%m-%d %H:%M:%S"
_KOPECK: Final = Decimal("0.01")
_UNIT: Final = 1 / Decimal(SCALE)
_LARGEST: Final = 2**63
_LARGEST_POWER: Final = 40


def roubles(units: int) -> Decimal:
    """The exact roubles of the database's units, with two decimals, or more if needed."""
    amount = Decimal(units) * _UNIT
    short = amount.quantize(_KOPECK)
    return short if short == amount else amount.normalize()


def scaled(amount: Decimal) -> int:
    """The database's units of an amount; raises ValueError where it has none."""
    if not amount.is_finite() or abs(amount.adjusted()) > _LARGEST_POWER:
        raise ValueError
    numerator, denominator = amount.as_integer_ratio()
    units, rest = divmod(numerator * SCALE, denominator)
    if rest or not -_LARGEST <= units < _LARGEST:
        raise ValueError
    return units


def stored(kind: ValueType, value: object) -> Stored:
    """The value in the database's form; raises `MockRefusal`."""
    if value is None:
        return None
    try:
        return _STORED[kind](value)
    except (ValueError, TypeError, InvalidOperation, AddressValueError) as error:
        raise MockRefusal(WRONG, value) from error


def value_text(kind: ValueType, value: Stored) -> Answered:
    """The value in the REST API's form."""
    if kind is ValueType.ADDRESS:
        return str(IPv4Address(value)) if isinstance(value, int) and value else ""
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, date):
        return value.isoformat()
    if kind is ValueType.MONEY and isinstance(value, int):
        return format(roubles(value), "f")
    return value


def _integer(value: object) -> int:
    # bool is a subclass of int, and int(1.5) would be 1.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _flag(value: object) -> int:
    flag = int(value) if isinstance(value, bool) else _integer(value)
    if flag not in {0, 1}:
        raise ValueError
    return flag


def _text(value: object) -> str:
    if not isinstance(value, str | int | float):
        raise TypeError
    return str(value)


def _moment(value: object) -> datetime:
    text = _text(value)
    return datetime.strptime(text, _TIMESTAMP if " " in text else _DATE)  # noqa: DTZ007 - the billing has no zone


_STORED: Final[dict[ValueType, Callable[[object], Stored]]] = {
    ValueType.INTEGER: _integer,
    ValueType.TEXT: _text,
    ValueType.CHAR: _text,
    ValueType.MONEY: lambda value: scaled(Decimal(_text(value))),
    ValueType.NUMBER: _text,
    ValueType.FLAG: _flag,
    ValueType.DATE: lambda value: datetime.strptime(_text(value), _DATE).date(),  # noqa: DTZ007 - the same
    ValueType.TIMESTAMP: _moment,
    ValueType.ADDRESS: lambda value: int(IPv4Address(_text(value))) if value not in {"", 0} else None,
}
