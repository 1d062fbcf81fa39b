"""The facts of the billing that the lab goes by, each with its source: `facts.toml`, read once; models and quirks.

The lab takes none from the product: an error in the product's facts would be repeated here, and no test would see it.
A new model is a new entry of the file; what concerns more than one field is in `lab.mock.chain`.

Quirks are alternatives to undocumented behaviour of the real billing: `mock serve --quirk NAME=VALUE`, repeatable; a
test gives a `Quirks`. `CHOICES` has, by name, the values for random draws.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Final, Literal, NamedTuple, TypeAlias, get_args, get_type_hints

import msgspec
from msgspec.structs import replace

from billing.database.schema import Schema
from billing.errors import SettingsError
from texts.said import setting

Effect = Literal["charges", "pays", "sets", "closes", ""]
"""What an operation does to the balance; the file explains the words."""


class ValueType(StrEnum):
    """The type of a column, and its notation in the REST API [S, D]."""

    INTEGER = "integer"  # taken as a string too
    TEXT = "text"
    CHAR = "char"
    MONEY = "money"  # roubles as a string, scaled by 10^10 in the database
    NUMBER = "number"  # with decimals; only read
    FLAG = "flag"  # 0 or 1, taken as a boolean too
    DATE = "date"  # 2019-06-01
    TIMESTAMP = "timestamp"  # 2019-06-01 00:00:00; a date alone is its midnight
    ADDRESS = "address"  # a dotted IPv4 address, an integer in the database; none is an empty string


_SQL: Final = {
    ValueType.TEXT: "varchar",
    ValueType.MONEY: "bigint",
    ValueType.NUMBER: "double precision",
    ValueType.FLAG: "smallint",
    ValueType.ADDRESS: "bigint",
}

_WORDS: Final = {"source": "from", "value": "is", "kind": "is", "word": "with", "refers": "to", "key_name": "key"}
"""The file's words for fields that Python has other names for."""


class _Sourced(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_WORDS):
    source: str


class Fact(_Sourced, frozen=True):
    """A number."""

    value: int


class OperationType(_Sourced, frozen=True):
    """A type of finance operations."""

    name: str
    does: Effect


class ErrorTexts(_Sourced, frozen=True):
    """The known texts of errors, by what they concern; "…" stands for any text."""

    system: tuple[str, ...]
    busy: tuple[str, ...]
    row: tuple[str, ...]


class Method(_Sourced, frozen=True):
    """A method; the file explains the traits."""

    word: str = ""
    of_objects: bool = False
    takes: frozenset[str] | None = None
    reads: bool = False
    lists: bool = False


class Field(_Sourced, frozen=True):
    """An attribute: its REST name, its type, its column; the file explains the traits."""

    kind: ValueType
    name: str = ""
    longest: int | None = None
    column: str = ""
    refers: str = ""
    loose: bool = False
    tie: Literal["stays", "goes", "holds"] = "stays"
    fixed: bool = False
    secret: bool = False
    needed: bool = False
    required: bool = False
    indexed: bool = False
    default: int | None = None
    now: bool = False
    shape: tuple[str, str] = ("", "")
    unique: str = ""
    computed: str = ""

    @property
    def stored_as(self) -> str:
        """The column as Firebird spells it."""
        return self.column.strip('"') if self.column.startswith('"') else self.column.upper()

    @property
    def definition(self) -> str:
        if self.computed:
            return f"{self.column} computed by ({self.computed})"
        text = f"{self.column} {_SQL.get(self.kind, self.kind)}{f'({self.longest})' if self.longest else ''}"
        if self.default is not None:
            return f"{text} default {self.default} not null"
        return f"{text} not null" if self.needed else text


class Reverse(NamedTuple):
    """A reverse link: objects of this model, found by its field that holds our key."""

    model: str
    by: str


class MockModel(_Sourced, frozen=True):
    """A model and its table; `subject` is the field that identifies the subject of an effect.

    `reverse` are the links of others to it, named as the billing names them: `abonent_id_users` [D]. A model without
    methods is an internal table and unknown to callers.
    """

    fields: dict[str, Field]
    table: str = ""
    methods: frozenset[str] = frozenset()
    key_name: str = "id"
    subject: str = ""
    name: str = ""
    reverse: dict[str, Reverse] = {}

    @property
    def key(self) -> Field:
        return self.fields[self.key_name]

    def relation(self, name: str) -> Field | None:
        """The foreign key followed as `name__…`: `tarif_id` as `tarif`."""
        field = self.fields.get(f"{name}_id")
        return field if field is not None and field.refers else None

    @property
    def marks_deleted(self) -> bool:
        return "deleted" in self.fields


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All facts."""

    scale: Fact
    months_back: Fact
    suid_digits: Fact
    shortest_queue: Fact
    longest_queue: Fact
    operations: dict[int, OperationType]
    errors: ErrorTexts
    methods: dict[str, Method]
    models: dict[str, MockModel]


FACTS: Final = msgspec.toml.decode(files("lab.mock").joinpath("facts.toml").read_bytes(), type=Facts)

SCALE: Final = FACTS.scale.value
"""The database's units of money in a rouble."""

_TYPES: Final = {kind.does: number for number, kind in FACTS.operations.items()}
ACT, RECEIPT, OPENING_BALANCE = _TYPES["charges"], _TYPES["pays"], _TYPES["sets"]


def _read(name: str, model: MockModel) -> MockModel:
    """A model of the file, with what the file does not repeat."""
    key = {"id": Field(model.source, ValueType.INTEGER)} if model.key_name == "id" else {}
    fields = {
        field: replace(one, name=field, column=one.column or field, fixed=one.fixed or field == model.key_name)
        for field, one in (key | model.fields).items()
    }
    return replace(
        model,
        name=name,
        table=model.table or re.sub(r"\B(?=[A-Z])", "_", name).lower(),
        fields=fields,
        methods=frozenset(one for one, fact in FACTS.methods.items() if model.methods & {one, fact.word}),
        subject=model.subject or model.key_name,
    )


def _linked(models: Mapping[str, MockModel]) -> dict[str, MockModel]:
    links: dict[str, dict[str, Reverse]] = {name: {} for name in models}
    for model in models.values():
        for field in model.fields.values():
            if field.refers in links:
                links[field.refers][f"{field.name}_{model.table}"] = Reverse(model.name, field.name)
    return {name: replace(model, reverse=links[name]) for name, model in models.items()}


MODELS: Final[Mapping[str, MockModel]] = _linked({name: _read(name, model) for name, model in FACTS.models.items()})


def models_with(schema: Schema) -> dict[str, MockModel]:
    """The models of a billing that may lack tables and columns.

    A field without its column and a model without its key are left out.
    """
    found: dict[str, MockModel] = {}
    for name, model in MODELS.items():
        table = model.table.upper()
        fields = {field: one for field, one in model.fields.items() if schema.has(table, one.stored_as)}
        if model.key_name in fields:
            subject = model.subject if model.subject in fields else model.key_name
            found[name] = replace(model, fields=fields, subject=subject)
    return _linked(found)


# ---- quirks -------------------------------------------------------------------------------------------------------


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
