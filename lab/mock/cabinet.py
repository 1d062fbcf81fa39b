"""The subscriber's cabinet in the API: sessions, services on offer, the recovery of a password.

`web_cabinet.*` answers a list whose first element is a JSON string, and puts its errors in there as well [I]. The
string's content is known from what integrators read of it [I], the rest is assumed [?].
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from billing.database.sql_blocks import SqlStatement, sql_block
from lab.mock import refusals
from lab.mock.facts import FACTS
from lab.mock.objects import Arguments, MockObject, MockObjects
from lab.mock.refusals import MockRefusal
from lab.mock.rules import password_columns
from lab.mock.values import ValueType, value_text


def _sql(name: str) -> SqlStatement:
    return sql_block("cabinet", name, "lab.mock.sql")


def open_session(objects: MockObjects, user: MockObject) -> MockObject:
    """The session of an account, created if needed: `get_or_create_dynamic_session`, `fields.suid` of it [I]."""
    if user.values.get("deleted"):
        raise refusals.already_deleted()
    model = objects.connection.models["CabinetSessions"]
    found = objects.find(model, {"user_id": user.key}, first=1)
    if found:
        return found[0]
    least = 10 ** (FACTS.suid_digits.value - 1)
    suid = str(least + secrets.randbelow(9 * least))
    return objects.create(model, {"suid": suid, "user_id": user.key, "created": _now()})


def user_of(objects: MockObjects, arguments: Arguments) -> MockObject:
    """The account of a session: `get_user_by_suid` [S]."""
    suid = arguments.get("suid")
    if not suid:
        raise refusals.required("suid")
    found = objects.find(objects.connection.models["CabinetSessions"], {"suid": suid}, first=1)
    if not found:
        raise refusals.no_session()
    return objects.get(objects.connection.models["Users"], {"id": found[0].values["user_id"]})


def set_password(objects: MockObjects, user: MockObject, arguments: Arguments) -> None:
    """Set a password at once, without `save`; `dontshow` hides it from administrators [S]."""
    password = arguments.get("psw")
    if not isinstance(password, str):
        raise refusals.required("psw")
    # Values that were assigned and not saved stay assigned and unsaved.
    assigned, user.assigned = user.assigned, password_columns(password, hidden=bool(arguments.get("dontshow")))
    objects.write(user)
    user.assigned = assigned


def answer(objects: MockObjects, method: str, arguments: Arguments) -> list[str]:
    """The answer of a method of `web_cabinet`, or its refusal."""
    try:
        result = _METHODS[method](objects, arguments)
    except MockRefusal as refusal:
        result = {"error": str(refusal)}
    return [msgspec.json.encode(result).decode()]


def _services(objects: MockObjects, arguments: Arguments) -> object:
    """Two lists: the services on offer, and with `get_user_uslugas_all` the connected ones [S]."""
    user = {"user": user_of(objects, arguments).key}
    offered = [
        {"pk": key, "name": name, "summa": price, "__self": f"{name}: ({price} руб.)"}
        for key, name, scaled in objects.connection.run(_sql("offered"), user)
        for price in (value_text(ValueType.MONEY, scaled),)
    ]
    if not arguments.get("get_user_uslugas_all"):
        return [offered, []]
    connected = [
        {
            "pk": key,
            "usluga_id": service,
            "__usluga": f"{name}: ({value_text(ValueType.MONEY, scaled)} руб.)",
            "next_date": value_text(ValueType.TIMESTAMP, due),
        }
        for key, service, name, scaled, due in objects.connection.run(_sql("connected"), user)
    ]
    return [offered, connected]


def _recover(objects: MockObjects, arguments: Arguments) -> object:
    """Send the subscriber a link below `base_url`; the password stays until the link is followed [?]."""
    login = arguments.get("login")
    if not isinstance(login, str) or not login:
        raise refusals.required("login")
    base_url = arguments.get("base_url")
    if base_url is None:
        raise refusals.required("base_url")
    found = objects.connection.run(_sql("bearers_of_login"), {"login": login})
    if not found:
        raise refusals.none_found("Users")
    if len(found) > 1:
        raise refusals.several_found("Users", len(found))
    ((user,),) = found
    objects.create(
        objects.connection.models["PasswordRecoveries"], {"user_id": user, "base_url": base_url, "created": _now()}
    )
    return {"result": "ok", "uid": user}


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d %H:%M:%S}"  # noqa: DTZ005 - the billing's dates have no zone


_METHODS: Final[Mapping[str, Callable[[MockObjects, Arguments], object]]] = {
    "web_cabinet.get_usluga_list": _services,
    "web_cabinet.reset_password": _recover,
}
