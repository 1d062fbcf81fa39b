"""The facts of the billing that the lab goes by, each with its source: `facts.toml`, read once.

The lab takes none from the product: an error in the product's facts would be repeated here, and no test would see it.
"""

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal

import msgspec

Effect = Literal["charges", "pays", "sets", "closes", ""]
"""What an operation does to the balance; the file explains the words."""


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"value": "is", "source": "from"}):
    """A number, with its source."""

    value: int
    source: str


class OperationType(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """A type of finance operations."""

    name: str
    does: Effect
    source: str


class ErrorTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """The known texts of errors, by what they concern; "…" stands for any text."""

    source: str
    system: tuple[str, ...]
    busy: tuple[str, ...]
    row: tuple[str, ...]


class FieldFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"kind": "is", "source": "from"}):
    """An attribute of a model and its column; the file explains the traits."""

    kind: str
    source: str
    column: str = ""
    to: str = ""
    tie: Literal["stays", "goes", "holds"] = "stays"
    fixed: bool = False
    secret: bool = False
    needed: bool = False
    default: int | None = None
    computed: str = ""

    def definition(self, name: str) -> str:
        """The column's definition in SQL."""
        kind, _, length = self.kind.partition(" ")
        column = self.column or name
        if self.computed:
            return f"{column} computed by ({self.computed})"
        text = f"{column} {_SQL[kind]}{f'({length})' if length else ''}"
        if self.default is not None:
            return f"{text} default {self.default} not null"
        return f"{text} not null" if self.needed else text


_SQL: Final = {
    "integer": "integer",
    "text": "varchar",
    "char": "char",
    "money": "bigint",
    "number": "double precision",
    "flag": "smallint",
    "date": "date",
    "timestamp": "timestamp",
    "address": "bigint",
}


class ModelFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """A model and its table."""

    table: str
    source: str
    fields: dict[str, FieldFact]
    columns: dict[str, FieldFact] = {}
    methods: tuple[str, ...] = ()
    key: str = "id"
    subject: str = ""

    def definition(self) -> str:
        """The statement that creates the table."""
        columns = (fact.definition(name) for name, fact in {**self.fields, **self.columns}.items())
        key, *others = columns
        return f"create table {self.table} ({', '.join((f'{key} not null primary key', *others))})"


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All facts."""

    scale: Fact
    months_back: Fact
    suid_digits: Fact
    shortest_queue: Fact
    longest_queue: Fact
    operations: dict[int, OperationType]
    errors: ErrorTexts
    models: dict[str, ModelFact]


FACTS: Final = msgspec.toml.decode(files("lab.mock").joinpath("facts.toml").read_bytes(), type=Facts)

SCALE: Final = FACTS.scale.value
"""The database's units of money in a rouble."""

OPERATION_TYPES: Final[Mapping[int, OperationType]] = MappingProxyType(FACTS.operations)


def the_type(does: Effect) -> int:
    """The number of the only type of operations with an effect."""
    (number,) = (number for number, kind in OPERATION_TYPES.items() if kind.does == does)
    return number


ACT: Final = the_type("charges")
RECEIPT: Final = the_type("pays")
OPENING_BALANCE: Final = the_type("sets")
