"""The profile of a billing: its undocumented facts, each with how well it is known.

A fact is *known* (a probe has asked this billing), *documented* (the vendor says so) or *assumed*. Jobs read the
value; texts for people show the standing beside it. `docs/explanation/profile.md` has each fact with its evidence.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Final, Generic, TypeVar

import msgspec

from billing.money import SCALE
from texts.said import Said, reason, said, wording

Value = TypeVar("Value")


class Standing(StrEnum):
    """How well a fact is known."""

    KNOWN = "known"
    DOCUMENTED = "documented"
    ASSUMED = "assumed"


class TypeEight(StrEnum):
    """The effect of an operation of type 8 on the balance."""

    SETS = "sets"
    """The sum becomes the balance."""
    ADDS = "adds"
    """The sum is added to the balance."""


class Shape(StrEnum):
    """The shape of a method's `result`."""

    OBJECT = "object"
    """`{"pk", "model", "fields"}`."""
    LIST = "list"
    """A list with that object."""
    FIELDS = "fields"
    """Only the fields, as one object."""
    ID = "id"
    """Only the id, a number or a text."""
    NOTHING = "nothing"
    """`null`, an empty text, or `true`."""
    OTHER = "other"


class StornoEffect(StrEnum):
    """The effect of the storno of an operation of type 8 on the balance."""

    RESTORES = "restores"
    """The balance is the one before the operation."""
    SUBTRACTS = "subtracts"
    """The sum is subtracted from the balance, even if the operation had set it."""
    KEEPS = "keeps"
    """The balance does not change."""


class Fact(msgspec.Struct, Generic[Value], frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value and its standing; `learned` is the day of the probe, None without one.

    In a profile's file a fact without a standing is known.
    """

    value: Value
    learned: date | None = None
    standing: Standing = Standing.KNOWN

    @property
    def known(self) -> bool:
        return self.standing is Standing.KNOWN

    @property
    def day(self) -> date | str:
        return self.learned or said("unknown")


def assumed(value: Value) -> Fact[Value]:
    return Fact(value, None, Standing.ASSUMED)


def documented(value: Value) -> Fact[Value]:
    return Fact(value, None, Standing.DOCUMENTED)


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The facts of one billing; `billing` is its address and `version` its version at the probe.

    Times are in seconds, latencies in milliseconds. `read_latency` has the median by the number of calls in flight,
    as text ("1", "2", "4", "8"); `columns` the columns by table, in small letters. `storno_call` is the API's name of
    the method that reverses an operation. `receipt_type` and `act_type` are the types of operations that raise and
    lower the balance: the vendor's own exchange with 1C loads cash orders as type 2 and acts as type 1, and enters
    receipts as type 2 [V]. While they are not known, a look for an operation leaves no type out. `create_fields` has
    by model the fields that `objects.create` was tried with, and whether it took them. `in_filters` has the fields by
    which one filter finds objects of many values (`id__in`), as "Abonents.id", each with the number of objects that
    such an answer was seen to hold whole.
    """

    billing: str = ""
    version: str = ""
    receipt_type: Fact[int] = documented(2)
    act_type: Fact[int] = documented(1)
    type_8: Fact[TypeEight] = assumed(TypeEight.SETS)
    descr_kept: Fact[bool] = assumed(True)  # noqa: FBT003 - a value
    descr_length: Fact[int] = assumed(255)
    descr_returned: Fact[bool] = assumed(True)  # noqa: FBT003
    descr_filters: Fact[tuple[str, ...]] = assumed(())
    in_filters: Fact[Mapping[str, int]] = assumed({})
    code1c_key: Fact[bool] = assumed(False)  # noqa: FBT003
    pay_id_key: Fact[bool] = assumed(False)  # noqa: FBT003
    create_answers: Fact[Shape] = assumed(Shape.OBJECT)
    save_answers: Fact[Shape] = assumed(Shape.NOTHING)
    delete_answers: Fact[Shape] = assumed(Shape.NOTHING)
    storno_call: Fact[str] = assumed("storno")
    storno_works: Fact[bool] = assumed(True)  # noqa: FBT003
    storno_type_8: Fact[StornoEffect] = assumed(StornoEffect.SUBTRACTS)
    error_status: Fact[int] = assumed(200)
    stack_seconds: Fact[float] = documented(180.0)
    read_latency: Fact[Mapping[str, float]] = assumed({})
    create_fields: Fact[Mapping[str, Mapping[str, bool]]] = assumed({})
    models: Fact[tuple[str, ...]] = assumed(())
    columns: Fact[Mapping[str, tuple[str, ...]]] = assumed({})
    charset: Fact[str] = assumed("UTF8")
    money_scale: Fact[int] = documented(SCALE)

    def facts(self) -> Iterator[tuple[str, Fact[object]]]:
        for name in self.__struct_fields__:
            if isinstance(fact := getattr(self, name), Fact):
                yield name, fact


UNKNOWN: Final = Profile()
"""The profile of a billing without a probe."""


# ---- in words ---------------------------------------------------------------------------------------------------

TAKES_FIELDS: Final = wording("objects.create takes these fields: {value}")
"""The template of the sentence about what a create takes, whose code is `create_fields`."""

_VALUES: Final[Mapping[tuple[str, object], Said]] = {
    ("descr_kept", True): said("a comment is kept as it was sent"),
    ("descr_kept", False): said("a comment is not kept as it was sent"),
    ("descr_returned", True): said("objects.create answers the comment"),
    ("descr_returned", False): said("objects.create does not answer the comment"),
    ("code1c_key", True): said("an operation takes a code1c, and is found by it"),
    ("code1c_key", False): said("an operation is not found by a code1c"),
    ("pay_id_key", True): said("an operation takes an operator_pay_id_str, and is found by it"),
    ("pay_id_key", False): said("an operation is not found by an operator_pay_id_str"),
    ("storno_works", True): said("the method for storno reverses an operation"),
    ("storno_works", False): said("the method for storno reverses nothing"),
    ("type_8", TypeEight.SETS): said("an operation of type 8 sets the balance to its sum"),
    ("type_8", TypeEight.ADDS): said("an operation of type 8 adds its sum to the balance"),
    ("storno_type_8", StornoEffect.RESTORES): said("a storno of type 8 brings the balance back"),
    ("storno_type_8", StornoEffect.SUBTRACTS): said("a storno of type 8 takes its sum from the balance"),
    ("storno_type_8", StornoEffect.KEEPS): said("a storno of type 8 leaves the balance as it is"),
}
_TEMPLATES: Final[Mapping[str, str]] = {
    "receipt_type": wording("an operation of type {value} raises the balance by its sum"),
    "act_type": wording("an operation of type {value} lowers the balance by its sum"),
    "descr_length": wording("a comment holds {value} characters"),
    "descr_filters": wording("comments can be filtered by: {value}"),
    "in_filters": wording("one filter by many values answers whole: {value}"),
    "create_answers": wording("objects.create answers: {value}"),
    "save_answers": wording("save answers: {value}"),
    "delete_answers": wording("delete answers: {value}"),
    "storno_call": wording("the method for storno is called {value}"),
    "error_status": wording("errors come with HTTP {value}"),
    "stack_seconds": wording("an answered operation has its effect within {value} s"),
    "read_latency": wording("a reading call takes, by calls at once: {value}"),
    "create_fields": TAKES_FIELDS,
    "models": wording("models that answer: {value}"),
    "columns": wording("columns that are there: {value}"),
    "charset": wording("the database's charset is {value}"),
    "money_scale": wording("{value} in the database are one rouble"),
}


def describe_fact(name: str, value: object) -> Said:
    """A fact as a sentence without its full stop; `name`, its field in the profile, is the code of the sentence."""
    if isinstance(value, bool | StrEnum) and (name, value) in _VALUES:
        sentence = _VALUES[name, value]
    else:
        sentence = said(_TEMPLATES[name], value=_in_words(name, value))
    return Said(sentence.template, sentence.values, code=name)


def _in_words(name: str, value: object) -> str | float | tuple[str, ...]:
    match value:
        case Mapping() if name == "columns":
            return ", ".join(f"{table} {len(there)}" for table, there in value.items())
        case Mapping() if name == "create_fields":
            return tuple(_of_create(model, fields) for model, fields in value.items()) or said("none")
        case Mapping() if name == "in_filters":
            return ", ".join(f"{field} {most}" for field, most in value.items()) or said("none")
        case Mapping():
            return tuple(said("{calls}: {latency} ms", calls=key, latency=one) for key, one in value.items())
        case tuple():
            return ", ".join(map(str, value)) or said("none")
        case float():
            return value
    return str(value)


def _of_create(model: str, fields: Mapping[str, bool]) -> str:
    taken = ", ".join(name for name, is_taken in fields.items() if is_taken)
    refused = ", ".join(name for name, is_taken in fields.items() if not is_taken)
    if not refused:
        return said("{model} ({taken})", model=model, taken=taken)
    return said("{model} ({taken}; not {refused})", model=model, taken=taken, refused=refused)


def unconfirmed(profile: Profile, rests_on: Mapping[str, object]) -> list[Said]:
    """The values that no probe has confirmed, each a sentence; `rests_on` has the values by fact."""
    facts = dict(profile.facts())
    sentences: list[Said] = []
    for name, value in rests_on.items():
        fact = facts[name]
        if not fact.known:
            sentences.append(describe_fact(name, value))
        elif fact.value != value:
            sentences.append(
                reason(
                    "{wanted} (the probe of {day} says: {learned})",
                    name,
                    wanted=describe_fact(name, value),
                    day=fact.day,
                    learned=describe_fact(name, fact.value),
                )
            )
    return sentences
