"""Look-ups in Django's notation as SQL: exact, `fk__field`, `__range`, reverse links.

The SQL is built from the names in `lab.mock.facts`; values are always bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.mock.facts import Field, MockModel, ValueType
from lab.mock.quirks import Filters
from lab.mock.refusals import MockRefusal, unknown_attribute
from lab.mock.values import Stored, stored

_PAIR = 2
_COMMENT = "descr"
_TEXTS = frozenset({ValueType.TEXT, ValueType.CHAR})
_PARTS = {"contains": "position(?, {}) > 0", "icontains": "{} containing ?", "startswith": "{} starting with ?"}
"""Django's look-ups of a part of a text, by name."""


def columns_of(model: MockModel, alias: str = "") -> str:
    """All columns of a model, in the order of its fields."""
    return ", ".join([f"{alias}{attribute.column}" for attribute in model.fields.values()])


@dataclass(slots=True)
class _Query:
    models: Mapping[str, MockModel]
    filters: Filters = "exact"
    joins: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: list[Stored] = field(default_factory=list)

    def join(self, model: MockModel, column: str, to: str) -> str:
        alias = f"t{len(self.joins) + 1}"
        self.joins.append(f"join {model.table} {alias} on {alias}.{column} = {to}")
        return alias


def select(
    models: Mapping[str, MockModel],
    model: MockModel,
    lookups: Mapping[str, object],
    first: int | None = None,
    filters: Filters = "exact",
) -> tuple[str, list[Stored]]:
    """The statement that finds objects of a model, all columns in the order of its fields, and its values.

    They come in no order, for which Firebird would walk the whole index of the keys. `first` is the maximal number,
    None for all, and `filters` the look-ups that comments support.
    Raises `MockRefusal` for an unknown attribute and a value of the wrong type.
    """
    query = _Query(models, filters)
    for lookup, value in lookups.items():
        _add(query, model, "t0", lookup, value)
    joins = "".join(f" {join}" for join in query.joins)
    where = f" where {' and '.join(query.conditions)}" if query.conditions else ""
    most = "" if first is None else f"first {first} "
    sql = f"select {most}{columns_of(model, 't0.')} from {model.table} t0{joins}{where}"  # noqa: S608 - names of ours
    return sql, query.values


def _add(query: _Query, model: MockModel, alias: str, lookup: str, value: object) -> None:
    name, _, rest = lookup.partition("__")
    if name == "pk":
        name = model.key.name
    reverse = model.reverse.get(name)
    # A relation goes by its name too: `abonent` as `abonent_id`, `op_type` as `op_type_id`.
    attribute = model.fields.get(name) or model.fields.get(f"{name}_id")
    relation = model.relation(name)
    if reverse is not None and query.models[reverse.model].methods:
        other = query.models[reverse.model]
        joined = query.join(other, other.fields[reverse.by].column, f"{alias}.{model.key.column}")
        _add(query, other, joined, rest or other.key.name, value)
    elif attribute is not None and name == _COMMENT and query.filters == "none":
        raise unknown_attribute(lookup)
    elif attribute is not None and attribute.kind in _TEXTS and query.filters == "all" and rest in _PARTS:
        query.conditions.append(_PARTS[rest].format(f"{alias}.{attribute.column}"))
        query.values.append(str(value))
    elif attribute is not None and rest in {"", "exact", "range"}:
        _compare(query, attribute, alias, value, ranged=rest == "range")
    elif relation is not None and relation.refers and relation.refers in query.models and rest:
        other = query.models[relation.refers]
        _add(query, other, query.join(other, other.key.column, f"{alias}.{relation.column}"), rest, value)
    else:
        raise unknown_attribute(lookup)


def _compare(query: _Query, attribute: Field, alias: str, value: object, *, ranged: bool) -> None:
    column = f"{alias}.{attribute.column}"
    if ranged:
        if not isinstance(value, list) or len(value) != _PAIR:
            raise MockRefusal(f"Неверное значение {value!r}")
        query.conditions.append(f"{column} between ? and ?")
        query.values.extend(stored(attribute.kind, end) for end in value)
    elif (wanted := stored(attribute.kind, value)) is None:
        query.conditions.append(f"{column} is null")
    else:
        query.conditions.append(f"{column} = ?")
        query.values.append(wanted)
