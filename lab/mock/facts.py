"""The facts of the billing that the lab goes by, each with its source, and its models: `facts.toml`, read once.

The lab takes none from the product: an error in the product's facts would be repeated here, and no test would see it.
A new model is a new entry of the file; what concerns more than one field is in `lab.mock.chain`.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from billing.database.schema import Schema

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
    columns: dict[str, Field] = {}
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

    def read(fields: dict[str, Field]) -> dict[str, Field]:
        return {
            field: replace(one, name=field, column=one.column or field, fixed=one.fixed or field == model.key_name)
            for field, one in fields.items()
        }

    return replace(
        model,
        name=name,
        table=model.table or re.sub(r"\B(?=[A-Z])", "_", name).lower(),
        fields=read(key | model.fields),
        columns=read(model.columns),
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
