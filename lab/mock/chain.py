"""Chains of methods, carried out in one transaction: `objects.get` → `set` → `save`.

Each method belongs to the model or to the object that the previous step gave; the last one's result is the answer's
[S, D]. Refusals have the product's own words, or Django's where Django would raise them.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from lab.mock import cabinet, refusals
from lab.mock.connection import MockConnection
from lab.mock.facts import RECEIPT
from lab.mock.licence import Licence
from lab.mock.models import MockModel
from lab.mock.objects import Arguments, MockObject, MockObjects
from lab.mock.quirks import Quirks
from lab.mock.refusals import MockRefusal
from lab.mock.values import BadValue, ValueType

_Tree: TypeAlias = Mapping[str, "_Tree"]


def shape(objects: MockObjects, target: MockObject, fields: Iterable[str] | None) -> dict[str, object]:
    """An object with the requested `fields`, or all but the secret ones; raises `MockRefusal` for unknown fields."""
    return _shape(objects, target, None if fields is None else _tree(fields))


def _tree(fields: Iterable[str]) -> _Tree:
    tree: dict[str, list[str]] = {}
    for path in fields:
        name, _, rest = path.partition("__")
        tree.setdefault(name, []).extend([rest] if rest else [])
    return {name: _tree(rest) for name, rest in tree.items()}


def _shape(objects: MockObjects, target: MockObject, tree: _Tree | None) -> dict[str, object]:
    if tree is None:
        tree = {name: {} for name, attribute in target.model.fields.items() if not attribute.secret}
    return {
        "pk": objects.answered(ValueType.INTEGER, target.key),
        "model": target.model.name,
        "fields": {name: _attribute(objects, target, name, rest) for name, rest in tree.items()},
    }


def _attribute(objects: MockObjects, target: MockObject, name: str, rest: _Tree) -> object:
    model = target.model
    relation, reverse = model.relation(name), model.reverse.get(name)
    if name == "pk" and not rest:
        return objects.answered(ValueType.INTEGER, target.key)
    if name in model.fields and not rest:
        return objects.answered(model.fields[name].kind, target.value(name))
    if relation is not None and relation.refers in objects.connection.models:
        other = objects.connection.models[relation.refers]
        key = target.value(relation.name)
        found = objects.find(other, {other.key.name: key}) if key is not None else []
        return _shape(objects, found[0], rest or None) if found else None
    if reverse is not None and objects.connection.models[reverse.model].methods:
        linked = objects.find(objects.connection.models[reverse.model], {reverse.by: target.key})
        return [_shape(objects, each, rest or None) for each in linked]
    raise refusals.unknown_attribute(name)


VERSION: Final = "5.24.06"
_CREATE: Final = "objects.create"
_STORNO: Final = "storno"
_READING: Final = frozenset(
    {
        "objects.get",
        "objects.filter",
        "objects.all",
        "get_details",
        "get_version",
        "get_user_by_suid",
        "web_cabinet.get_usluga_list",
    }
)

_LISTS: Final = frozenset({"objects.filter", "objects.all", "get_details"})
"""Methods whose result is a list."""

Result: TypeAlias = object


@dataclass(frozen=True, slots=True)
class Chain:
    """A request: the methods with their arguments, and the `fields` requested of the last object."""

    model: str
    steps: tuple[tuple[str, Arguments], ...]
    fields: tuple[str, ...] | None = None

    @property
    def writes(self) -> bool:
        """Whether it can change anything."""
        return any(method not in _READING for method, _ in self.steps)

    @property
    def enrols(self) -> bool:
        """Whether it creates a subscriber, who counts for the licence."""
        return self.model == "Abonents" and any(
            method == _CREATE and not arguments.get("is_folder") for method, arguments in self.steps
        )

    @property
    def lists(self) -> bool:
        """Whether its result is a list."""
        return bool(self.steps) and self.steps[-1][0] in _LISTS

    @property
    def call(self) -> str:
        """The name of the call in the answer."""
        return ".".join(method for method, _ in self.steps)


def parse(model: str, form: Mapping[str, str]) -> Chain:
    """A request's form as a chain, as tolerant as the real one: a missing `argN` is `{}` [S].

    Raises `MockRefusal` for invalid JSON.
    """
    steps: list[tuple[str, Arguments]] = []
    if form.get("get_version"):
        steps.append(("get_version", {}))
    while method := form.get(f"method{len(steps) + 1}"):
        name = f"arg{len(steps) + 1}"
        arguments = _json(name, form.get(name) or "{}")
        if not isinstance(arguments, dict):
            raise MockRefusal(f"{name}: нужен объект JSON")
        steps.append((method, arguments))
    fields = form.get("fields") or form.get(f"fields{len(steps)}")
    wanted = _json("fields", fields) if fields else None
    if wanted is not None and not isinstance(wanted, list):
        raise MockRefusal("fields: нужен список JSON")
    return Chain(model, tuple(steps), None if wanted is None else tuple(map(str, wanted)))


class Chains:
    """Carries out chains in the transaction of a connection; the caller commits, or rolls back after a refusal."""

    def __init__(
        self, connection: MockConnection, quirks: Quirks | None = None, licence: Licence | None = None
    ) -> None:
        self._connection = connection
        self._quirks = quirks or Quirks()
        self._licence = licence or Licence()

    def carry_out(self, chain: Chain, request: int = 0, *, late: bool = False) -> Result:
        """The answer's `result`; raises `MockRefusal`.

        `request` is the number for the ledger; `late` tells that the call was answered before.
        """
        if chain.model == "Version":
            if chain.call != "get_version":
                raise refusals.unknown_method(chain.call)
            return {"version": VERSION, "time": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}  # noqa: DTZ005 - no zone there
        model = self._connection.models.get(chain.model)
        if model is None or not model.methods:
            raise refusals.unknown_model(chain.model)
        if not chain.steps:
            raise refusals.unknown_method("")
        objects = MockObjects(self._connection, request, chain.call, self._quirks, self._licence, late=late)
        try:
            return _Work(objects, model, chain, self._quirks).carry_out()
        except BadValue as error:
            raise MockRefusal(str(error)) from error


class _Work:
    """One chain in progress."""

    def __init__(self, objects: MockObjects, model: MockModel, chain: Chain, quirks: Quirks) -> None:
        self._objects = objects
        self._model = model
        self._chain = chain
        self._quirks = quirks

    def carry_out(self) -> Result:
        target: MockObject | None = None
        result: Result = None
        for number, (named, arguments) in enumerate(self._chain.steps):
            method = self._usual_method(named)
            if method not in self._model.methods:
                raise refusals.unknown_method(named)
            if number == 0 and method in _OF_MODEL:
                result = _OF_MODEL[method](self._objects, self._model, arguments)
                target = result if isinstance(result, MockObject) else None
            elif target is not None and method in _OF_OBJECT:
                if target.gone:
                    raise refusals.already_deleted()
                result = _OF_OBJECT[method](self._objects, target, arguments)
            else:
                raise refusals.unknown_method(named)
        answer = self._answer(target, result)
        return self._creation_answer(answer) if self._chain.steps[-1][0] == _CREATE else answer

    def _usual_method(self, method: str) -> str:
        """The usual name of a method; under a quirk the caller's name for the storno differs, or it has none."""
        called = self._quirks.storno_call
        return method if called == _STORNO else {called: _STORNO, _STORNO: ""}.get(method, method)

    def _creation_answer(self, answer: Result) -> Result:
        """The answer to a creation, in the form that the quirks set."""
        if not isinstance(answer, dict):
            return answer
        fields = dict(answer["fields"])
        if not self._quirks.descr_returned:
            fields.pop("descr", None)
        match self._quirks.create_answers:
            case "object":
                return {**answer, "fields": fields}
            case "list":
                return [{**answer, "fields": fields}]
            case "fields":
                return {self._model.key.name: answer["pk"], **fields}
            case "id":
                return answer["pk"]

    def _answer(self, target: MockObject | None, result: Result) -> Result:
        fields = self._chain.fields
        if isinstance(result, list):
            return [shape(self._objects, each, fields) if isinstance(each, MockObject) else each for each in result]
        if isinstance(result, MockObject):
            return shape(self._objects, result, _ANSWERED_FIELDS.get(result.model.name) if fields is None else fields)
        # `fields` after a `save` asks for the object's new state [S, the recipe of pools].
        if result is None and target is not None and fields is not None and not target.gone:
            return shape(self._objects, target, fields)
        return result


def _set(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    objects.assign(target, arguments)
    return None


def _save(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    _check_arguments(arguments, "allow_set_none_manager")
    objects.save(target, arguments)
    return None


def _delete(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    _check_arguments(arguments, "clean_links")
    objects.delete(target, clean_links=bool(arguments.get("clean_links")))
    return None


def _pay(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    _check_arguments(arguments, "SUM_IN")
    if arguments.get("SUM_IN") is None:
        raise refusals.required("SUM_IN")
    operation = {"abonent_id": target.key, "op_type_id": RECEIPT, "op_summa": arguments["SUM_IN"]}
    objects.create(objects.connection.models["FinanceOperations"], operation)
    return None


def _reverse(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    _check_arguments(arguments)
    objects.reverse(target)
    return None


def _details(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    _check_arguments(arguments)
    details = objects.connection.models.get("FinanceOperationDetails")
    return [] if details is None else objects.find(details, {"op_id": target.key})


def _all(objects: MockObjects, model: MockModel, arguments: Arguments) -> Result:
    _check_arguments(arguments)
    return objects.find(model, {})


def _set_password(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    _check_arguments(arguments, "psw", "dontshow")
    cabinet.set_password(objects, target, arguments)
    return None


def _open_session(objects: MockObjects, target: MockObject, arguments: Arguments) -> Result:
    _check_arguments(arguments)
    return cabinet.open_session(objects, target)


def _check_arguments(arguments: Arguments, *known: str) -> None:
    """Refuse unknown arguments of a method."""
    for name in arguments:
        if name not in known:
            raise refusals.unknown_attribute(name)


def _of_cabinet(method: str) -> Callable[[MockObjects, MockModel, Arguments], Result]:
    return lambda objects, _, arguments: cabinet.answer(objects, method, arguments)


_OF_MODEL: Final[Mapping[str, Callable[[MockObjects, MockModel, Arguments], Result]]] = {
    "objects.get": lambda objects, model, arguments: objects.get(model, arguments),
    "objects.filter": lambda objects, model, arguments: objects.find(model, arguments),
    "objects.all": _all,
    _CREATE: lambda objects, model, arguments: objects.create(model, arguments),
    "get_user_by_suid": lambda objects, _, arguments: cabinet.user_of(objects, arguments),
    "web_cabinet.get_usluga_list": _of_cabinet("web_cabinet.get_usluga_list"),
    "web_cabinet.reset_password": _of_cabinet("web_cabinet.reset_password"),
}
_OF_OBJECT: Final[Mapping[str, Callable[[MockObjects, MockObject, Arguments], Result]]] = {
    "set": _set,
    "save": _save,
    "delete": _delete,
    "add_payment": _pay,
    "get_details": _details,
    _STORNO: _reverse,
    "set_password": _set_password,
    "get_or_create_dynamic_session": _open_session,
}
_ANSWERED_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {"CabinetSessions": ("suid", "user_id", "created")}
"""The fields answered for an object whose secret is the purpose of the request."""


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MockRefusal(f"{name}: {error}") from error
