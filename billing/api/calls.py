"""Calls of the REST API v2: a model, a chain of methods, and the form that carries them.

    POST /rest_api/v2/<Model>/        application/x-www-form-urlencoded
    method1=objects.get&arg1={"id": 5}&method2=set&arg2={…}&method3=save&arg3={}&fields=["id"]

Each method is a method of the model, or of the object that the step before returned; only the result of the last
one comes back [S, D]. The builders here know these shapes, but no particular model.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from billing.money import wire
from engine.evidence import readable
from texts.said import ValueRefused

NOTHING: Final[Mapping[str, str]] = {}

SECRET_ARGUMENTS: Final = frozenset({"psw", "password", "hash_key", "suid"})
"""Arguments whose values are never shown: passwords, keys, and the session of a cabinet [S]."""

_PREVIEW: Final = 1000
_PLAIN: Final = frozenset({str, int, bool, type(None)})
_ENCODER: Final = msgspec.json.Encoder()


class ChainStep(msgspec.Struct, frozen=True, array_like=True):
    """One method and its keyword arguments; as JSON a list of the two.

    Values are str, int, bool, None, Decimal for money, date and datetime, and lists or mappings of these.
    """

    method: str
    arguments: Mapping[str, object] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return _describe_step(self)


class Call(msgspec.Struct, frozen=True):
    """One request: the steps, which the billing takes in order, and the `fields` wanted of the last object.

    Without `fields` the billing returns all of them, with a query for each reverse link [D, V]. `form` is sent
    unchanged beside the steps; only the health check needs it. Raises ValueError when the model is not a name,
    because it becomes a part of the address.
    """

    model: str
    steps: tuple[ChainStep, ...]
    fields: tuple[str, ...] = ()
    form: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not (self.model.isidentifier() and self.model.isascii()):
            raise ValueRefused("{model} is not the name of a model", model=repr(self.model))
        if not (self.steps or self.form):
            raise ValueRefused("a call of {model} needs a method", model=self.model)

    @property
    def path(self) -> str:
        return f"/rest_api/v2/{self.model}/"

    @property
    def of_cabinet(self) -> bool:
        """Whether the last method is a `web_cabinet.*`, which answers a list that starts with a JSON string [I]."""
        return bool(self.steps) and self.steps[-1].method.startswith("web_cabinet.")

    def asking(self, *fields: str) -> "Call":
        """The same call with these `fields` of the last object: "ip", "tarif__name" [S, D]."""
        return msgspec.structs.replace(self, fields=fields)

    def __repr__(self) -> str:
        return f"<Call {describe(self)}>"


def create(model: str, /, **values: object) -> Call:
    """The call that creates an object of the model; it needs no `save` [S]. Must not be repeated."""
    return Call(model, (ChainStep("objects.create", values),))


def get(model: str, key: Mapping[str, object], /, *steps: ChainStep) -> Call:
    """The call that finds one object by its key and applies `steps` to it in order, if any.

    If the key finds none or several, the billing answers with an error [I, S].
    """
    return Call(model, (ChainStep("objects.get", key), *steps))


def filter_(model: str, criteria: Mapping[str, object] = NOTHING, /, *fields: str) -> Call:
    """The call that finds all objects by Django's criteria: exact, `a__b`, `__range` [D], `__in` [?]."""
    return Call(model, (ChainStep("objects.filter", criteria),), fields)


def version() -> Call:
    """The health check: version and time of the server. It has no methods, but a form field of its own [V]."""
    return Call("Version", (), form=(("get_version", "True"),))


def encode(call: Call, extra: Mapping[str, str] = NOTHING) -> bytes:
    """The body of the request, form-encoded: `+` becomes %2B, Cyrillic in the JSON is UTF-8.

    `argN` is always sent, `{}` when empty [S, D]; Decimal becomes a string in plain notation; dates are written as
    2019-06-01, with time as 2019-06-01 00:00:00 [S]. `extra` are the configured form fields, such as a key or a
    password. Raises TypeError for a float, because money is never a float.
    """
    # Imported here because most commands make no call.
    from billing.api.aiohttp_parts import quoted  # noqa: PLC0415

    # A form is encoded like the query of a URL; yarl does it in C, in a tenth of the time of urlencode.
    form: list[str] = []
    for number, step in enumerate(call.steps, 1):
        # msgspec encodes no mappings other than dict.
        arguments = dict(step.arguments)
        if not _PLAIN.issuperset(map(type, arguments.values())):
            arguments = {name: _sendable(value) for name, value in arguments.items()}
        form.append(f"method{number}={quoted(step.method)}")
        form.append(f"arg{number}={quoted(_ENCODER.encode(arguments).decode())}")
    if call.fields:
        form.append(f"fields={quoted(_ENCODER.encode(call.fields).decode())}")
    for name, value in (*call.form, *extra.items()):
        form.append(f"{quoted(name)}={quoted(value)}")
    return "&".join(form).encode("ascii")


def secrets_of(call: Call) -> list[str]:
    """The secret values of a call, at any depth; the case of the argument's name does not matter."""
    secrets: list[str] = []
    for step in call.steps:
        # This runs for every call, so plain values without a secret are skipped at once.
        if SECRET_ARGUMENTS.isdisjoint(map(str.casefold, step.arguments)) and _PLAIN.issuperset(
            map(type, step.arguments.values())
        ):
            continue
        secrets += [str(value) for _, value in under_secrets(step.arguments)]
    return secrets


def under_secrets(value: object, secret: str = "") -> Iterator[tuple[str, object]]:
    """The values of secret arguments, at any depth, each with the argument's name.

    `secret` is the name of the secret argument around the value, "" without one.
    """
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from under_secrets(inner, secret or (name if is_secret(str(name)) else ""))
        case list() | tuple():
            for inner in value:
                yield from under_secrets(inner, secret)
        case _ if secret:
            yield secret, value


def is_secret(name: str) -> bool:
    return name.casefold() in SECRET_ARGUMENTS


def describe(call: Call) -> str:
    """One readable line for a preview or a log, without secrets.

    Example: `AdminAccounts: objects.get(account_id_abonents=5) → set(limit_warning="-120") → save()`.
    """
    line = f"{call.model}: " + " → ".join(_describe_step(step) for step in call.steps)
    if call.form:
        line += ", ".join(f"{name}={value}" for name, value in call.form)
    if call.fields:
        line += " | " + ", ".join(call.fields)
    return readable(line, limit=_PREVIEW)


def _describe_step(step: ChainStep) -> str:
    described: list[str] = []
    for name, value in step.arguments.items():
        # An empty password clears the old one and is not a secret.
        if is_secret(name) and value not in ("", None):
            shown = "•••"
        else:
            shown = str(value) if isinstance(value, float) else _ENCODER.encode(_sendable(value)).decode()
        described.append(f"{name}={shown}")
    return f"{step.method}({', '.join(described)})"


def _sendable(value: object) -> object:
    """A value in the form that the billing's JSON needs; msgspec writes Decimal as 1E+2 and datetime with a T."""
    match value:
        case None | str() | int():
            return value
        case Decimal():
            return wire(value)
        case dt.datetime():
            if value.tzinfo is not None:
                raise TypeError(f"{value} has a time zone: the billing knows its own local time only")
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case dt.date():
            return value.isoformat()
        case Mapping():
            return {str(name): _sendable(item) for name, item in value.items()}
        case list() | tuple():
            return [_sendable(item) for item in value]
    raise TypeError(f"{value!r}, a {type(value).__name__}, cannot be sent to the billing")
