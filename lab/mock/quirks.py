"""Quirks of a mock billing: alternatives to undocumented behaviour of the real one.

`mock serve --quirk NAME=VALUE`, repeatable; a test gives a `Quirks`. `CHOICES` has, by name, the values for random
draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias, get_args, get_type_hints

from billing.errors import SettingsError
from lab.mock.facts import SCALE
from texts.remedies import setting

Filters: TypeAlias = Literal["exact", "all", "none"]
"""Filters on an operation's comment: exact only; also by a part; none."""
CUT_AT: Final = 20
"""Objects that a filter by many values answers, where answers are cut."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """Undocumented behaviour of a mock billing [?]; the defaults are the usual values."""

    type_8: Literal["sets", "adds"] = "sets"
    """Whether an operation of type 8 sets the balance to its sum, or adds it."""
    descr_length: int = 0
    """To how many characters comments of operations are cut; 0 means no limit."""
    descr_returned: bool = True
    descr_filters: Filters = "exact"
    in_filters: Literal["whole", "cut", "none"] = "whole"
    """What a filter by many values (`id__in`) answers: all objects; the first few; it is refused."""
    create_answers: Literal["object", "list", "fields", "id"] = "object"
    """The answer of `objects.create`: the object, a list with it, its fields alone, or its id alone."""
    storno_call: str = "storno"
    """The name of the method; "" means that there is none."""
    storno_type_8: Literal["subtracts", "keeps"] = "subtracts"
    """The effect of the storno of type 8 on the balance: its sum is subtracted, or nothing happens."""
    error_status: int = 200
    deleted_numbers: Literal["free", "held"] = "free"
    """Whether the contract number and the login of what is deleted can be given again."""
    too_long: Literal["refused", "cut"] = "refused"
    """What becomes of a text that is longer than its column."""
    value_types: Literal["usual", "numbers", "texts"] = "usual"
    """How ids and money are written: ids as numbers and money as texts; both as numbers; both as texts."""
    list_errors: Literal["list", "text"] = "list"
    """The `error` of an answer that would have been a list: texts, the last one the message, or that alone."""
    closed_period: Literal["reverses", "ignores"] = "reverses"
    """What an operation does that is dated into a month with an act: it reverses the act, or nothing more."""
    money_scale: int = SCALE
    """The value in row 1 of `VPN_CONST`."""


_KINDS: Final = get_type_hints(Quirks)
_LEAST: Final = {"descr_length": 0, "error_status": 200, "money_scale": 1}

CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    **{name: get_args(kind) for name, kind in _KINDS.items() if get_args(kind)},
    "descr_length": (0, 60, 120, 255),
    "descr_returned": (True, False),
    "storno_call": ("storno", "make_storno", ""),
    "error_status": (200, 400, 422),
}
"""Values by name, the usual one first. Other money scales are left out, since every command refuses them."""


def read_quirks(words: Sequence[str]) -> Quirks:
    """Parse NAME=VALUE words into quirks. Raises `SettingsError` naming the fault."""
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
        kind, option = _KINDS[name], setting("quirk", each)
        choices = ("yes", "no") if kind is bool else get_args(kind)
        if choices and text not in choices:
            raise SettingsError("{option}: one of {choices}", option=option, choices=tuple(choices))
        if kind is int and (not (text.isascii() and text.isdigit()) or int(text) < _LEAST[name]):
            raise SettingsError("{option}: a whole number from {least} on", option=option, least=_LEAST[name])
        changes[name] = text == "yes" if kind is bool else int(text) if kind is int else text
    return Quirks(**changes)  # type: ignore[arg-type] # each has the type of its field


def describe_quirks(quirks: Mapping[str, object]) -> list[str]:
    """The quirks that differ from the defaults, as they are typed."""
    usual, words = asdict(Quirks()), {True: "yes", False: "no"}
    return [
        f"{name}={words[value] if isinstance(value, bool) else value}"
        for name, value in quirks.items()
        if value != usual[name]
    ]
