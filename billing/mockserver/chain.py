"""A chain of methods, carried out in one transaction: `objects.get` → `set` → `save`.

Each method is one of the model or of the object that the step before gave; the last one's result is the answer's
[S, D]. Refusals come in the product's own words; Django's where Django itself would speak.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from billing.mockserver import lookups, refusals
from billing.mockserver.ledger import Entry, enter
from billing.mockserver.models import MODELS, Model
from billing.mockserver.refusals import Refusal
from billing.mockserver.rules import Columns, OpeningBalance, before_create, before_save
from billing.mockserver.session import Session
from billing.mockserver.values import BadValue, shown, stored
from billing.operations import RECEIPT

VERSION: Final = "5.24.06"
_READING: Final = frozenset({"objects.get", "objects.filter", "get_version"})

Arguments: TypeAlias = Mapping[str, object]
Result: TypeAlias = object


@dataclass(frozen=True, slots=True)
class Chain:
    """One request: the methods with their arguments, and the `fields` wanted of the last object."""

    model: str
    steps: tuple[tuple[str, Arguments], ...]
    fields: tuple[str, ...] | None = None

    @property
    def writes(self) -> bool:
        """Whether it can change anything."""
        return any(method not in _READING for method, _ in self.steps)

    @property
    def call(self) -> str:
        """What the answer calls it."""
        return ".".join(method for method, _ in self.steps)


@dataclass(slots=True)
class Thing:
    """An object in the middle of a chain: what is stored, and what was assigned and is not yet saved."""

    model: Model
    values: Columns
    assigned: Columns = field(default_factory=dict)
    gone: bool = False

    @property
    def key(self) -> int:
        """The value of its key."""
        return _whole(self.values[self.model.key.name])


def parse(model: str, form: Mapping[str, str]) -> Chain:
    """A request's form as a chain, as tolerant as the real one: a missing `argN` is `{}` [S].

    Raises `Refusal` for JSON that cannot be read.
    """
    steps: list[tuple[str, Arguments]] = []
    if form.get("get_version"):
        steps.append(("get_version", {}))
    while method := form.get(f"method{len(steps) + 1}"):
        name = f"arg{len(steps) + 1}"
        arguments = _json(name, form.get(name) or "{}")
        if not isinstance(arguments, dict):
            raise Refusal(f"{name}: нужен объект JSON")
        steps.append((method, arguments))
    wanted = _json("fields", form["fields"]) if form.get("fields") else None
    if wanted is not None and not isinstance(wanted, list):
        raise Refusal("fields: нужен список JSON")
    return Chain(model, tuple(steps), None if wanted is None else tuple(map(str, wanted)))


class Chains:
    """Carries out chains in the transaction of a session; the caller commits, or goes back after a `Refusal`."""

    def __init__(self, session: Session, opening_balance: OpeningBalance = "sets") -> None:
        self._session = session
        self._opening_balance = opening_balance

    def carry_out(self, chain: Chain, request: int = 0) -> Result:
        """The answer's `result`; raises `Refusal`. `request` is the number that the ledger keeps."""
        if chain.model == "Version" and chain.call == "get_version":
            return {"version": VERSION, "time": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}  # noqa: DTZ005 - no zone there
        model = MODELS.get(chain.model)
        if model is None:
            raise refusals.unknown_model(chain.model)
        if not chain.steps:
            raise refusals.unknown_method("")
        work = _Work(self._session, model, chain, request, self._opening_balance)
        try:
            return work.carry_out()
        except BadValue as error:
            raise Refusal(str(error)) from error


class _Work:
    """One chain at work."""

    def __init__(
        self, session: Session, model: Model, chain: Chain, request: int, opening_balance: OpeningBalance
    ) -> None:
        self._session = session
        self._model = model
        self._chain = chain
        self._request = request
        self._opening_balance: OpeningBalance = opening_balance

    def carry_out(self) -> Result:
        thing: Thing | None = None
        result: Result = None
        for method, arguments in self._chain.steps:
            if thing is None and method == "objects.get":
                result = thing = self._get(arguments)
            elif thing is None and method == "objects.create":
                result = thing = self._create(self._model, arguments)
            elif thing is None and method == "objects.filter" and result is None:
                result = self._filter(arguments)
            elif thing is not None and method in {"set", "save", "delete", "add_payment"}:
                result = self._on_thing(thing, method, arguments)
            else:
                raise refusals.unknown_method(method)
        if isinstance(result, list):
            return [self._shown(found) for found in result]
        if isinstance(result, Thing):
            return self._shown(result)
        # `fields` after a `save` asks for the object as it now is [S, the recipe of pools].
        if thing is not None and self._chain.fields is not None and not thing.gone:
            return self._shown(thing)
        return result

    def _on_thing(self, thing: Thing, method: str, arguments: Arguments) -> Result:
        if thing.gone:
            raise refusals.already_deleted()
        if method == "set":
            thing.assigned |= self._read(thing.model, arguments, fixed=False)
        elif method == "save":
            self._save(thing)
        elif method == "delete":
            self._delete(thing)
        else:
            self._pay(thing, arguments)
        return None

    def _get(self, arguments: Arguments) -> Thing:
        found = self._filter(arguments)
        if not found:
            raise refusals.none_found(self._model.name)
        if len(found) > 1:
            raise refusals.several_found(self._model.name, len(found))
        return found[0]

    def _filter(self, arguments: Arguments) -> list[Thing]:
        return self._find(self._model, arguments)

    def _find(self, model: Model, arguments: Arguments) -> list[Thing]:
        rows = self._session.execute(*lookups.select(model, arguments))
        return [Thing(model, dict(zip(model.fields, map(_stripped, row), strict=True))) for row in rows]

    def _create(self, model: Model, arguments: Arguments) -> Thing:
        values = self._read(model, arguments, fixed=True)
        before_create(self._session, model.name, values, self._opening_balance)
        key = self._session.next_key(model.generator)
        values[model.key.name] = key
        columns = ", ".join(model.fields[name].column for name in values)
        marks = ", ".join("?" * len(values))
        self._session.execute(f"insert into {model.table} ({columns}) values ({marks})", tuple(values.values()))  # noqa: S608 - names of ours
        # Read back, for the columns have defaults of their own.
        (thing,) = self._find(model, {model.key.name: key})
        self._enter(thing, {name: values[name] for name in values if name != model.key.name})
        return thing

    def _save(self, thing: Thing) -> None:
        model = thing.model
        before_save(self._session, model.name, thing.key, thing.values, thing.assigned)
        if thing.assigned:
            columns = ", ".join(f"{model.fields[name].column} = ?" for name in thing.assigned)
            self._session.execute(
                f"update {model.table} set {columns} where {model.key.column} = ?",  # noqa: S608 - names of ours
                (*thing.assigned.values(), thing.key),
            )
        thing.values |= thing.assigned
        self._enter(thing, thing.assigned)
        thing.assigned = {}

    def _delete(self, thing: Thing) -> None:
        model = thing.model
        if thing.values.get("deleted"):
            raise refusals.already_deleted()
        action = f"update {model.table} set deleted = 1" if model.marks_deleted else f"delete from {model.table}"  # noqa: S608 - names of ours
        self._session.execute(f"{action} where {model.key.column} = ?", (thing.key,))
        thing.gone = True
        self._enter(thing, {"deleted": 1})

    def _pay(self, thing: Thing, arguments: Arguments) -> None:
        if thing.model.name != "Abonents":
            raise refusals.unknown_method("add_payment")
        operation = {"abonent_id": thing.key, "op_type_id": RECEIPT, "op_summa": arguments.get("SUM_IN")}
        self._create(MODELS["FinanceOperations"], operation)

    def _read(self, model: Model, arguments: Arguments, *, fixed: bool) -> Columns:
        """The arguments as the columns hold them; what `set` may not assign is refused unless `fixed` is taken."""
        values: Columns = {}
        for name, value in arguments.items():
            attribute = model.fields.get(name)
            if attribute is None or attribute is model.key or (attribute.fixed and not fixed):
                raise refusals.unknown_attribute(name)
            values[name] = stored(attribute.kind, value)
        return values

    def _enter(self, thing: Thing, written: Columns) -> None:
        model = thing.model
        kinds = {name: attribute.kind for name, attribute in model.fields.items()}
        what = {name: shown(kinds[name], value) if name in kinds else value for name, value in written.items()}
        enter(
            self._session,
            Entry(
                request=self._request,
                happened=datetime.now(),  # noqa: DTZ005 - the database's dates have no zone
                model=model.name,
                methods=self._chain.call,
                table=model.table,
                key=thing.key,
                subject=_whole(thing.values[model.subject]),
                what=msgspec.json.encode(what).decode(),
            ),
        )

    def _shown(self, thing: Thing) -> dict[str, object]:
        names = thing.model.fields if self._chain.fields is None else self._chain.fields
        return {
            "pk": thing.key,
            "model": thing.model.name,
            "fields": {name: self._attribute(thing, name) for name in names},
        }

    def _attribute(self, thing: Thing, path: str) -> object:
        """An attribute, or one of an object that a key refers to: `tarif__name`."""
        name, _, rest = path.partition("__")
        if name == "pk" and not rest:
            return thing.key
        if not rest:
            if name not in thing.model.fields:
                raise refusals.unknown_attribute(path)
            value = thing.assigned.get(name, thing.values[name])
            return shown(thing.model.fields[name].kind, value)
        relation = thing.model.relation(name)
        if relation is None or relation.refers is None:
            raise refusals.unknown_attribute(path)
        other = MODELS[relation.refers]
        key = thing.values[relation.name]
        found = self._find(other, {other.key.name: key}) if key is not None else []
        return self._attribute(found[0], rest) if found else None


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Refusal(f"{name}: {error}") from error


def _stripped(value: Any) -> Any:  # noqa: ANN401 - what a column gives
    return value.rstrip(" ") if isinstance(value, str) else value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a key")
    return value
