"""Objects as answers show them: `{"pk", "model", "fields"}`, and within these the objects that they refer to.

`fields=["tarif__name"]` gives `{"tarif": {"pk", "model", "fields": {"name"}}}`, `tarif` the whole of it, and a link
from others, as `abonent_id_users__ip`, a list of objects [D].
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from billing.mockserver import refusals
from billing.mockserver.things import Thing, Things
from billing.mockserver.values import shown

_Tree: TypeAlias = Mapping[str, "_Tree"]


def shape(things: Things, thing: Thing, fields: Iterable[str] | None) -> dict[str, object]:
    """An object with the `fields` wanted of it, or with all of its own but secrets; raises `Refusal` for others."""
    return _shape(things, thing, None if fields is None else _tree(fields))


def _tree(fields: Iterable[str]) -> _Tree:
    tree: dict[str, list[str]] = {}
    for path in fields:
        name, _, rest = path.partition("__")
        tree.setdefault(name, []).extend([rest] if rest else [])
    return {name: _tree(rest) for name, rest in tree.items()}


def _shape(things: Things, thing: Thing, tree: _Tree | None) -> dict[str, object]:
    if tree is None:
        tree = {name: {} for name, attribute in thing.model.fields.items() if not attribute.secret}
    return {
        "pk": thing.key,
        "model": thing.model.name,
        "fields": {name: _attribute(things, thing, name, rest) for name, rest in tree.items()},
    }


def _attribute(things: Things, thing: Thing, name: str, rest: _Tree) -> object:
    model = thing.model
    relation, reverse = model.relation(name), model.reverse.get(name)
    if name == "pk" and not rest:
        return thing.key
    if name in model.fields and not rest:
        return shown(model.fields[name].kind, thing.value(name))
    if relation is not None and relation.refers in things.session.models:
        other = things.session.models[relation.refers]
        key = thing.value(relation.name)
        found = things.find(other, {other.key.name: key}) if key is not None else []
        return _shape(things, found[0], rest or None) if found else None
    if reverse is not None and things.session.models[reverse.model].methods:
        linked = things.find(things.session.models[reverse.model], {reverse.by: thing.key})
        return [_shape(things, each, rest or None) for each in linked]
    raise refusals.unknown_attribute(name)
