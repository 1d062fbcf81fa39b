"""Chains of methods, carried out in one transaction: `objects.get` → `set` → `save`.

Each method belongs to the model or to the object that the previous step gave; the last one's result is the answer's
[S, D]. Refusals have the product's own words, or Django's where Django would raise them.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from lab.mock.connection import MockConnection
from lab.mock.facts import FACTS, RECEIPT, MockModel, ValueType
from lab.mock.objects import Arguments, MockObject, Work, password_columns
from lab.mock.quirks import Quirks
from lab.mock.values import (
    Answered,
    MockRefusal,
    Stored,
    already_deleted,
    none_found,
    required,
    several_found,
    unknown_attribute,
    value_text,
)

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
_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "objects.all": frozenset(),
    "save": frozenset({"allow_set_none_manager"}),
    "delete": frozenset({"clean_links"}),
    "add_payment": frozenset({"SUM_IN"}),
    "get_details": frozenset(),
    _STORNO: frozenset(),
    "set_password": frozenset({"psw", "dontshow"}),
    "get_or_create_dynamic_session": frozenset(),
}
"""Methods that take these arguments alone."""
_OF_OBJECTS: Final = (_TAKES.keys() | {"set"}) - {"objects.all"}
_ANSWERED_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {"CabinetSessions": ("suid", "user_id", "created")}
"""The fields answered for an object whose secret is the purpose of the request."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A request: the methods with their arguments, and the `fields` requested of the last object."""

    model: str
    steps: tuple[tuple[str, Arguments], ...]
    fields: tuple[str, ...] | None = None

    @property
    def writes(self) -> bool:
        return any(method not in _READING for method, _ in self.steps)

    @property
    def enrols(self) -> bool:
        """Whether it creates a subscriber, who counts for the licence."""
        return self.model == "Abonents" and any(
            method == _CREATE and not arguments.get("is_folder") for method, arguments in self.steps
        )

    @property
    def lists(self) -> bool:
        return bool(self.steps) and self.steps[-1][0] in _LISTS

    @property
    def call(self) -> str:
        return ".".join([method for method, _ in self.steps])


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


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MockRefusal(f"{name}: {error}") from error


def carry_out(
    connection: MockConnection,
    chain: Chain,
    request: int = 0,
    *,
    quirks: Quirks | None = None,
    admit: Callable[[], None] | None = None,
    late: bool = False,
) -> object:
    """The answer's `result`; the caller commits, or rolls back after a refusal. Raises `MockRefusal`.

    `request` is the number for the ledger; `late` tells that the call was answered before, and `admit` takes a place
    of the licence for a new subscriber.
    """
    if chain.model == "Version" and chain.call == "get_version":
        return {"version": VERSION, "time": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}  # noqa: DTZ005 - no zone there
    quirks, model = quirks or Quirks(), connection.models.get(chain.model)
    if chain.model == "Version" or (model is not None and model.methods and not chain.steps):
        raise _unknown_method(chain.call)
    if model is None or not model.methods:
        raise MockRefusal(f"Не найдена модель {chain.model}")
    work = Work(connection, request, chain.call, quirks, admit=admit, late=late)
    # Under a quirk the caller's name for the storno differs, or it has none.
    called = quirks.storno_call
    renamed = {} if called == _STORNO else {called: _STORNO, _STORNO: ""}
    target: MockObject | None = None
    result: object = None
    for number, (name, arguments) in enumerate(chain.steps):
        method = renamed.get(name, name)
        if method not in model.methods or (method in _OF_OBJECTS) is (number == 0) or (number and target is None):
            raise _unknown_method(name)
        if target is not None and target.gone:
            raise already_deleted()
        if unknown := [argument for argument in arguments if argument not in _TAKES.get(method, arguments)]:
            raise unknown_attribute(unknown[0])
        result = _step(work, model, target, method, arguments)
        if target is None and isinstance(result, MockObject):
            target = result
    answer = _answer(work, chain.fields, target, result)
    if chain.steps[-1][0] != _CREATE or not isinstance(answer, dict):
        return answer
    fields = dict(answer["fields"])
    if not quirks.descr_returned:
        fields.pop("descr", None)
    match quirks.create_answers:
        case "object":
            return {**answer, "fields": fields}
        case "list":
            return [{**answer, "fields": fields}]
        case "fields":
            return {model.key_name: answer["pk"], **fields}
        case "id":
            return answer["pk"]


def _unknown_method(name: str) -> MockRefusal:
    """The method is unknown, or not allowed at this place of the chain."""
    return MockRefusal(f"Метод {name} нельзя вызвать")


def _step(work: Work, model: MockModel, target: MockObject | None, method: str, arguments: Arguments) -> object:
    """Carry out a method of the model, or of the object that the step before gave."""
    if target is None:
        match method:
            case "objects.get":
                return work.get(model, arguments)
            case "objects.filter" | "objects.all":
                return work.find(model, arguments)
            case "objects.create":
                return work.create(model, arguments)
            case "get_user_by_suid":
                return _user_of(work, arguments)
        # `web_cabinet.*` answers a list whose first element is a JSON string, and puts its errors in there as well
        # [I]. The string's content is known from what integrators read of it [I], the rest is assumed [?].
        cabinet = {"web_cabinet.get_usluga_list": _services, "web_cabinet.reset_password": _recover}[method]
        try:
            said = cabinet(work, arguments)
        except MockRefusal as refusal:
            said = {"error": str(refusal)}
        return [msgspec.json.encode(said).decode()]
    match method:
        case "set":
            work.assign(target, arguments)
        case "save":
            work.save(target, arguments)
        case "delete":
            work.delete(target, clean_links=bool(arguments.get("clean_links")))
        case "add_payment":
            if arguments.get("SUM_IN") is None:
                raise required("SUM_IN")
            operation = {"abonent_id": target.key, "op_type_id": RECEIPT, "op_summa": arguments["SUM_IN"]}
            work.create(work.models["FinanceOperations"], operation)
        case "storno":
            work.reverse(target)
        case "get_details":
            details = work.models.get("FinanceOperationDetails")
            return [] if details is None else work.find(details, {"op_id": target.key})
        case "set_password":
            # At once, without `save`; `dontshow` hides it from administrators [S].
            # Values that were assigned and not saved stay assigned and unsaved.
            written = target.written
            target.written = password_columns(arguments.get("psw"), hidden=bool(arguments.get("dontshow")))
            work.write(target)
            target.written = written
        case "get_or_create_dynamic_session":
            return _session(work, target)
    return None


# ---- the subscriber's cabinet: sessions, services on offer, the recovery of a password ----------------------------


def _session(work: Work, user: MockObject) -> MockObject:
    """The session of an account, created if needed; its fields have `suid` [I]."""
    if user.stored.get("deleted"):
        raise already_deleted()
    model = work.models["CabinetSessions"]
    if found := work.find(model, {"user_id": user.key}, first=1):
        return found[0]
    least = 10 ** (FACTS.suid_digits.value - 1)
    suid = str(least + secrets.randbelow(9 * least))
    return work.create(model, {"suid": suid, "user_id": user.key, "created": f"{work.now:%Y-%m-%d %H:%M:%S}"})


def _user_of(work: Work, arguments: Arguments) -> MockObject:
    """The account of a session: `get_user_by_suid` [S]."""
    suid = arguments.get("suid")
    if not suid:
        raise required("suid")
    found = work.find(work.models["CabinetSessions"], {"suid": suid}, first=1)
    if not found:
        raise MockRefusal("Сессия не найдена")  # the text is assumed [?]
    return work.get(work.models["Users"], {"id": found[0].stored["user_id"]})


def _services(work: Work, arguments: Arguments) -> object:
    """Two lists: the services of the tariff, and with `get_user_uslugas_all` the connected ones [S]."""
    abonent = work.get(work.models["Abonents"], {"id": _user_of(work, arguments).stored["abonent_id"]})

    def service(link: MockObject) -> tuple[MockObject, Answered, str]:
        found = work.get(work.models["Usluga"], {"id": link.stored["usluga_id"]})
        price = value_text(ValueType.MONEY, found.stored["summa"])
        return found, price, f"{found.stored['name']}: ({price} руб.)"

    links = work.find(work.models["TarifUsersUsluga"], {"tarif_id": abonent.stored["tarif_id"]})
    offered = [
        {"pk": one.key, "name": one.stored["name"], "summa": price, "__self": text}
        for one, price, text in sorted(map(service, links), key=lambda each: each[0].key)
    ]
    connected: list[object] = []
    if arguments.get("get_user_uslugas_all"):
        for link in work.find(work.models["UsersUsluga"], {"abonent_id": abonent.key, "deleted": 0, "enabled": 1}):
            one, _, text = service(link)
            due = value_text(ValueType.TIMESTAMP, link.stored["next_date"])
            connected.append({"pk": link.key, "usluga_id": one.key, "__usluga": text, "next_date": due})
    return [offered, connected]


def _recover(work: Work, arguments: Arguments) -> object:
    """Send the subscriber a link below `base_url`; the password stays until the link is followed [?]."""
    login, base_url = arguments.get("login"), arguments.get("base_url")
    if not isinstance(login, str) or not login:
        raise required("login")
    if base_url is None:
        raise required("base_url")
    users = work.models["Users"]
    # By login, or by the subscriber's e-mail address.
    found = {one.key for name in ("login", "abonent__email") for one in work.find(users, {name: login, "deleted": 0})}
    if not found:
        raise none_found("Users")
    if len(found) > 1:
        raise several_found("Users", len(found))
    (user,) = found
    created = f"{work.now:%Y-%m-%d %H:%M:%S}"
    work.create(work.models["PasswordRecoveries"], {"user_id": user, "base_url": base_url, "created": created})
    return {"result": "ok", "uid": user}


# ---- answers ------------------------------------------------------------------------------------------------------

_Tree: TypeAlias = Mapping[str, "_Tree"]


def _answer(work: Work, fields: tuple[str, ...] | None, target: MockObject | None, result: object) -> object:
    """The objects of a result with the requested `fields`, or all but the secret ones."""
    # `fields` after a `save` asks for the object's new state [S, the recipe of pools].
    if result is None and target is not None and fields is not None and not target.gone:
        result = target
    if isinstance(result, MockObject):
        asked = _ANSWERED_FIELDS.get(result.model.name) if fields is None else fields
        return _shape(work, result, None if asked is None else _tree(asked))
    if isinstance(result, list):
        tree = None if fields is None else _tree(fields)
        return [_shape(work, each, tree) if isinstance(each, MockObject) else each for each in result]
    return result


def _tree(fields: Iterable[str]) -> _Tree:
    tree: dict[str, list[str]] = {}
    for path in fields:
        name, _, rest = path.partition("__")
        tree.setdefault(name, []).extend([rest] if rest else [])
    return {name: _tree(rest) for name, rest in tree.items()}


def _shape(work: Work, target: MockObject, tree: _Tree | None) -> dict[str, object]:
    if tree is None:
        tree = {name: {} for name, attribute in target.model.fields.items() if not attribute.secret}
    return {
        "pk": work.answered(ValueType.INTEGER, target.key),
        "model": target.model.name,
        "fields": {name: _attribute(work, target, name, rest) for name, rest in tree.items()},
    }


def _attribute(work: Work, target: MockObject, name: str, rest: _Tree) -> object:
    model = target.model
    if name == "pk" and not rest:
        return work.answered(ValueType.INTEGER, target.key)
    if name in model.fields and not rest:
        return work.answered(model.fields[name].kind, target.value(name))
    relation, reverse = model.relation(name), model.reverse.get(name)
    if relation is not None and relation.refers in work.models:
        key: Stored = target.value(relation.name)
        found = work.seen(relation.refers, key) if key is not None else None
        return _shape(work, found, rest or None) if found else None
    if reverse is not None and work.models[reverse.model].methods:
        linked = work.find(work.models[reverse.model], {reverse.by: target.key})
        return [_shape(work, each, rest or None) for each in linked]
    raise unknown_attribute(name)
