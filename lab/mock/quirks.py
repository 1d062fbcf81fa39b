"""Quirks of a mock billing: alternatives to undocumented behaviour of the real one.

`mock serve --quirk NAME=VALUE`, repeatable; a test gives a `Quirks`. `CHOICES` has, by name, the values for random
draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args, get_type_hints

from billing.errors import SettingsError
from lab.mock.facts import SCALE
from texts.remedies import setting

OpeningBalance: TypeAlias = Literal["sets", "adds"]
"""Whether an operation of type 8 sets the balance to its sum, or adds it: the real behaviour is not known [?]."""

Answers: TypeAlias = Literal["object", "list", "fields", "id"]
"""The answer of `objects.create`: the object, a list with it, its fields alone, or its id alone."""

Filters: TypeAlias = Literal["exact", "all", "none"]
"""Filters on an operation's comment: exact only; also by a part; none."""

StornoEffect: TypeAlias = Literal["subtracts", "keeps"]
"""The effect of the storno of type 8 on the balance: its sum is subtracted, or nothing happens."""

DeletedNumbers: TypeAlias = Literal["free", "held"]
"""Whether the contract number and the login of what is deleted can be given again."""

TooLong: TypeAlias = Literal["refused", "cut"]
"""What becomes of a text that is longer than its column."""

ValueTypes: TypeAlias = Literal["usual", "numbers", "texts"]
"""How ids and money are written in answers: ids as numbers and money as texts; both as numbers; both as texts."""

ListErrors: TypeAlias = Literal["list", "text"]
"""The `error` of an answer that would have been a list: texts of which the last one is the message, or that alone."""

ClosedPeriod: TypeAlias = Literal["reverses", "ignores"]
"""What an operation does that is dated into a month with an act: it reverses the act, or nothing more."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """Undocumented behaviour of a mock billing; the defaults are the usual values.

    `descr_length` truncates comments of operations; 0 means no limit. A `storno_call` of "" means no such method.
    `money_scale` is the value in row 1 of `VPN_CONST`.
    """

    type_8: OpeningBalance = "sets"
    descr_length: int = 0
    descr_returned: bool = True
    descr_filters: Filters = "exact"
    create_answers: Answers = "object"
    storno_call: str = "storno"
    storno_type_8: StornoEffect = "subtracts"
    error_status: int = 200
    deleted_numbers: DeletedNumbers = "free"
    too_long: TooLong = "refused"
    value_types: ValueTypes = "usual"
    list_errors: ListErrors = "list"
    closed_period: ClosedPeriod = "reverses"
    money_scale: int = SCALE


CHOICES: Final[Mapping[str, tuple[object, ...]]] = MappingProxyType(
    {
        "type_8": ("sets", "adds"),
        "descr_length": (0, 60, 120, 255),
        "descr_returned": (True, False),
        "descr_filters": ("exact", "all", "none"),
        "create_answers": ("object", "list", "fields", "id"),
        "storno_call": ("storno", "make_storno", ""),
        "storno_type_8": ("subtracts", "keeps"),
        "error_status": (200, 400, 422),
        "deleted_numbers": ("free", "held"),
        "too_long": ("refused", "cut"),
        "value_types": ("usual", "numbers", "texts"),
        "list_errors": ("list", "text"),
        "closed_period": ("reverses", "ignores"),
    }
)
"""Values by name, the usual one first. Other money scales are left out, since every command refuses them."""

_KINDS: Final = get_type_hints(Quirks)
_WORDS: Final = MappingProxyType({"yes": True, "no": False})
_LEAST: Final = {"descr_length": 0, "error_status": 200, "money_scale": 1}


def read_quirks(words: Sequence[str], quirks: Quirks | None = None) -> Quirks:
    """Parse NAME=VALUE words into quirks, over those of `quirks`. Raises `SettingsError` naming the fault."""
    changes: dict[str, object] = {}
    for each in words:
        name, equals, text = each.partition("=")
        if name not in _KINDS:
            raise SettingsError(
                "{option}: there is no such quirk; there are: {known}",
                option=setting("quirk", each),
                known=tuple(_KINDS),
            )
        if not equals:
            raise SettingsError(
                "{option}: write it as {form}", option=setting("quirk", each), form=setting("quirk", f"{name}=VALUE")
            )
        if name in changes:
            raise SettingsError("{option} is given twice: which is meant?", option=setting("quirk", f"{name}=…"))
        changes[name] = _value(name, text)
    return replace(quirks or Quirks(), **changes)  # type: ignore[arg-type] # each has the type of its field


def describe_quirks(quirks: Quirks) -> list[str]:
    """The quirks that differ from the defaults, as they are typed."""
    usual = Quirks()
    return [
        f"{one.name}={_text(getattr(quirks, one.name))}"
        for one in fields(Quirks)
        if getattr(quirks, one.name) != getattr(usual, one.name)
    ]


def _value(name: str, text: str) -> object:
    kind, option = _KINDS[name], setting("quirk", f"{name}={text}")
    if kind is bool:
        if text not in _WORDS:
            raise SettingsError("{option}: it is yes or no", option=option)
        return _WORDS[text]
    if kind is int:
        if not (text.isascii() and text.isdigit()) or int(text) < _LEAST[name]:
            raise SettingsError("{option}: a whole number from {least} on", option=option, least=_LEAST[name])
        return int(text)
    if (choices := get_args(kind)) and text not in choices:
        raise SettingsError("{option}: one of {choices}", option=option, choices=tuple(choices))
    return text


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
