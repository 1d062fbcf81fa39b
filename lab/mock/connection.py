"""A writing connection of the mock billing, with its statements prepared once, and the values on both sides of it.

Values of the REST API are roubles and dotted addresses, those of the database scaled integers and integers.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import AddressValueError, IPv4Address
from typing import Any, Final, TypeAlias

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection, DatabaseRow, FirebirdError, FirebirdRefusal, Prepared
from billing.database.schema import Schema, fitted
from billing.database.sql_blocks import SqlStatement, Value, sql_block
from billing.errors import ColumnsMissing
from lab.mock.facts import SCALE, Filters, MockModel, ValueType, models_with

# ---- values of the REST API and of the database -------------------------------------------------------------------


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
_WRONG: Final = "Неверное значение {!r}"

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
        raise MockRefusal(_WRONG, value) from error


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


# ---- the connection -----------------------------------------------------------------------------------------------


_KEPT = 300  # prepared statements; filters produce any number of different ones


class MockConnection:
    """A connection for one thread; `execute` returns all rows, and nothing is kept before `commit`.

    `schema` describes the database, and `models` the models that it supports. `given` are the generators and the keys
    used since `reserve`.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._connection: Connection = attach(dsn)
        self._cursor = self._connection.cursor()
        self._encoding = dsn.encoding
        self._prepared: dict[str, Prepared] = {}
        self._fitted: dict[str, SqlStatement] = {}
        rows = self.execute(sql_block("statements", "columns", "lab.mock.sql").text)
        self.schema = Schema.of((table.rstrip(), name.rstrip()) for table, name in rows)
        self.models = models_with(self.schema)
        self.reserve()

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[DatabaseRow]:
        """Run a statement; returns its rows, or an empty list.

        Raises `MockRefusal` when Firebird refuses it: a value too long, a foreign key without a target.
        """
        try:
            return (self._prepared.get(sql) or self._prepare(sql)).run(parameters)
        except (FirebirdRefusal, ValueError) as error:
            raise MockRefusal(" ".join(str(error.args[0]).split())) from error

    def _prepare(self, sql: str) -> Prepared:
        if len(self._prepared) >= _KEPT:
            self._prepared.clear()
        transaction = self._connection.main_transaction
        self._prepared[sql] = prepared = Prepared(transaction, self._cursor, sql, self._encoding)
        return prepared

    def run(self, block: str, **values: Value) -> list[DatabaseRow]:
        """Run a block of `sql/statements.sql` with its parameters.

        Raises `MockRefusal`, also where this billing lacks a table or column of it.
        """
        wanted = sql_block("statements", block, "lab.mock.sql")
        try:
            fit = self._fitted.get(wanted.text) or self._fitted.setdefault(wanted.text, fitted(wanted, self.schema))
        except ColumnsMissing as error:
            raise MockRefusal(str(error)) from error
        return self.execute(*fit.bind(values))

    def reserve(self, keys: Iterable[tuple[str, int]] = ()) -> None:
        """Use these keys first, each for its generator."""
        self.given: list[tuple[str, int]] = []
        self._reserved: defaultdict[str, deque[int]] = defaultdict(deque)
        for generator, key in keys:
            self._reserved[generator].append(key)

    def next_key(self, generator: str) -> int:
        """The next key of a generator: a reserved one, or its next value, which stays used even after a rollback."""
        if waiting := self._reserved.get(generator):
            key = waiting.popleft()
        else:
            ((key,),) = self.execute(f"select gen_id({generator}, 1) from rdb$database")  # noqa: S608 - ours
        self.given.append((generator, int(key)))
        return int(key)

    def save_here(self) -> None:
        self.execute("savepoint this_call")

    def go_back(self) -> None:
        self.execute("rollback to savepoint this_call")

    def commit(self) -> None:
        self._connection.commit()

    def abandon(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._prepared.clear()
        with suppress(FirebirdError):
            self._connection.close()


# ---- look-ups in Django's notation: exact, `fk__field`, `__range`, `__in` [?], reverse links ----------------------
# The SQL is built from the names in `lab.mock.facts`; values are always bound.

_PAIR: Final = 2
_TEXTS: Final = frozenset({ValueType.TEXT, ValueType.CHAR})
_PARTS: Final = {
    "contains": "position(?, {}) > 0",
    "icontains": "{} containing ?",
    "startswith": "{} starting with ?",
}
"""Django's look-ups of a part of a text, by name."""


def columns_of(model: MockModel, alias: str = "") -> str:
    """All columns of a model, in the order of its fields."""
    return ", ".join([f"{alias}{attribute.column}" for attribute in model.fields.values()])


def select(
    models: Mapping[str, MockModel],
    model: MockModel,
    lookups: Mapping[str, object],
    first: int | None = None,
    filters: Filters = "exact",
    *,
    by_many: bool = True,
) -> tuple[str, list[Stored]]:
    """The statement that finds objects of a model, all columns in the order of its fields, and its values.

    They come in no order, for which Firebird would walk the whole index of the keys. `first` is the maximal number,
    None for all, `filters` the look-ups that comments support, and `by_many` whether `__in` is one.
    Raises `MockRefusal` for an unknown attribute and a value of the wrong type.
    """
    joins: list[str] = []
    conditions: list[str] = []
    values: list[Stored] = []

    def join(other: MockModel, column: str, to: str) -> str:
        alias = f"t{len(joins) + 1}"
        joins.append(f" join {other.table} {alias} on {alias}.{column} = {to}")
        return alias

    def add(model: MockModel, alias: str, lookup: str, value: object) -> None:
        name, _, rest = lookup.partition("__")
        if name == "pk":
            name = model.key_name
        reverse, relation = model.reverse.get(name), model.relation(name)
        # A relation goes by its name too: `abonent` as `abonent_id`, `op_type` as `op_type_id`.
        attribute = model.fields.get(name) or model.fields.get(f"{name}_id")
        if reverse is not None and (other := models[reverse.model]).methods:
            joined = join(other, other.fields[reverse.by].column, f"{alias}.{model.key.column}")
            add(other, joined, rest or other.key_name, value)
        elif attribute is None or (name == "descr" and filters == "none"):
            raise MockRefusal(UNKNOWN, lookup)
        elif attribute.kind in _TEXTS and filters == "all" and rest in _PARTS:
            conditions.append(_PARTS[rest].format(f"{alias}.{attribute.column}"))
            values.append(str(value))
        elif rest == "range":
            if not isinstance(value, list) or len(value) != _PAIR:
                raise MockRefusal(_WRONG, value)
            conditions.append(f"{alias}.{attribute.column} between ? and ?")
            values.extend(stored(attribute.kind, end) for end in value)
        elif rest == "in" and by_many:
            if not isinstance(value, list):
                raise MockRefusal(_WRONG, value)
            places = ", ".join(["?"] * len(value))
            conditions.append(f"{alias}.{attribute.column} in ({places})" if value else "1 = 0")
            values.extend(stored(attribute.kind, one) for one in value)
        elif rest in {"", "exact"}:
            wanted = stored(attribute.kind, value)
            conditions.append(f"{alias}.{attribute.column} {'is null' if wanted is None else '= ?'}")
            values.extend([] if wanted is None else [wanted])
        elif relation is not None and relation.refers in models:
            other = models[relation.refers]
            add(other, join(other, other.key.column, f"{alias}.{relation.column}"), rest, value)
        else:
            raise MockRefusal(UNKNOWN, lookup)

    for lookup, value in lookups.items():
        add(model, "t0", lookup, value)
    where = f" where {' and '.join(conditions)}" if conditions else ""
    most = "" if first is None else f"first {first} "
    source = f"{model.table} t0{''.join(joins)}"
    return f"select {most}{columns_of(model, 't0.')} from {source}{where}", values  # noqa: S608 - names of ours
