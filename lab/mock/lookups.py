"""Look-ups in Django's notation as SQL: exact, `fk__field`, `__range`, `__in` [?], reverse links.

The SQL is built from the names in `lab.mock.facts`; values are always bound.
"""

from collections.abc import Mapping
from typing import Final

from lab.mock.facts import MockModel, ValueType
from lab.mock.quirks import Filters
from lab.mock.values import UNKNOWN, WRONG, MockRefusal, Stored, stored

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
                raise MockRefusal(WRONG, value)
            conditions.append(f"{alias}.{attribute.column} between ? and ?")
            values.extend(stored(attribute.kind, end) for end in value)
        elif rest == "in" and by_many:
            if not isinstance(value, list):
                raise MockRefusal(WRONG, value)
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
