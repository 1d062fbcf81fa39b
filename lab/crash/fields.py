"""Fields that a job sets: the wanted values and the values that the billing has in the end.

Both are derived from the job's chain and the mock's models, and so have the same notation; a job declares nothing.
"""

from collections.abc import Mapping

from jobs.spec.chain import Template
from jobs.spec.parameters import row_key
from lab.mock.connection import MockConnection
from lab.mock.constraints import Columns
from lab.mock.lookups import select
from lab.mock.models import MODELS, Field, MockModel
from lab.mock.values import Stored, ValueType, stored, value_text


def wanted_fields(chain: Template, row: Mapping[str, str]) -> str:
    """The values of all fields that the chain sets for a row, in order, as the billing writes them."""
    fields = MODELS[chain.model].fields
    _, put, *_ = chain.fill(row)
    return " ".join(_text(fields[name], stored(fields[name].kind, value)) for name, value in put.arguments.items())


def fields_now(chain: Template, billing: MockConnection) -> dict[str, str]:
    """The current values in the billing, by the keys of rows."""
    model = billing.models[chain.model]
    find, put, *_ = chain.links
    set_now = {_key(row, model.key.name): _fields(model, put.arguments, row) for row in _rows(billing, model)}
    (first, *_) = names = ["pk" if name == model.key.name else name for name in find.arguments]
    if names == ["pk"]:
        return set_now
    if first in model.reverse:
        # Found through the object that points to it, as an account by its subscriber.
        link = model.reverse[first]
        other = billing.models[link.model]
        pointing = {_key(row, other.key.name): _key(row, link.by) for row in _rows(billing, other)}
        return {key: set_now[account] for key, account in pointing.items() if account in set_now}
    live = (row for row in _rows(billing, model) if not row.get("deleted"))
    return {_key(row, *names): _fields(model, put.arguments, row) for row in live}


def money_field(chain: Template) -> str:
    """The only field that the chain sets, where that is an amount of money; else ""."""
    names = tuple(chain.links[1].arguments)
    kinds = {MODELS[chain.model].fields[name].kind for name in names}
    return names[0] if len(names) == 1 and kinds == {ValueType.MONEY} else ""


def _rows(billing: MockConnection, model: MockModel) -> list[Columns]:
    return [dict(zip(model.fields, row, strict=True)) for row in billing.execute(*select(billing.models, model, {}))]


def _fields(model: MockModel, names: Mapping[str, object], row: Columns) -> str:
    return " ".join(_text(model.fields[name], row[name]) for name in names)


def _key(row: Columns, *names: str) -> str:
    return row_key(str(row[name]) for name in names)


def _text(field: Field, value: Stored) -> str:
    return "" if value is None else str(value_text(field.kind, value))
