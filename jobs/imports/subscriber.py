"""A subscriber as a table wants it: the record between a row and the steps of an import.

    row of the table ──▶ Subscriber of texts ──▶ names become ids ──▶ texts become values of calls ──▶ items

Each stage gives a `Subscriber` and the faults that it has found in it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from checkpoints.records import Refusal
from engine.rows import Row
from texts.said import Said, in_clauses, said


class Step(StrEnum):
    """A step of a subscriber's import: one object that is created, or one field that is set. In this order."""

    FOLDER = "folder"
    SUBSCRIBER = "subscriber"
    ACCOUNT = "account"
    TARIFF = "tariff"
    SERVICE = "service"
    ATTRIBUTE = "attribute"
    THRESHOLD = "threshold"
    LIMIT = "limit"
    BALANCE = "balance"


STEP_NAMES: Final[Mapping[Step, Said]] = MappingProxyType(
    {
        Step.FOLDER: said("folder"),
        Step.SUBSCRIBER: said("subscriber"),
        Step.ACCOUNT: said("account"),
        Step.TARIFF: said("tariff"),
        Step.SERVICE: said("service"),
        Step.ATTRIBUTE: said("attribute"),
        Step.THRESHOLD: said("warning threshold"),
        Step.LIMIT: said("cut-off limit"),
        Step.BALANCE: said("opening balance"),
    }
)
"""The steps in words."""

STEP_MODELS: Final[Mapping[Step, str]] = MappingProxyType(
    {
        Step.FOLDER: "Abonents",
        Step.SUBSCRIBER: "Abonents",
        Step.ACCOUNT: "Users",
        Step.TARIFF: "Abonents",
        Step.SERVICE: "UsersUsluga",
        Step.ATTRIBUTE: "AttributeValues",
        Step.THRESHOLD: "AdminAccounts",
        Step.LIMIT: "AdminAccounts",
        Step.BALANCE: "FinanceOperations",
    }
)
"""The model that the call of a step names."""

LANE: Final = "contract:"
"""The beginning of the lanes of subscribers; behind it is the contract number."""

DIFFERENT: Final = "there already, and different"
"""The code of the reason of steps that are skipped because somebody has to decide, see `kind_of`."""

NUMBER: Final = "contract_number"
"""The field by which a subscriber is known."""

PATH: Final = "path"
"""The value of a folder's part that is not there yet: its names from the top, with `APART` between them."""

FOLDER_ID: Final = "id"
"""The value of a folder's part that is there."""

APART: Final = "/"
"""Stands between the names of folders in a path; within a name it is escaped, see `folder_path`."""

_LEVEL: Final = re.compile(r"((?:\\.|[^\\/])*)(/|\Z)", re.DOTALL)


def folder_path(names: Iterable[str]) -> str:
    r"""The path of a folder: the names of those above it, and its own; "/" and "\" in a name are escaped by "\"."""
    return APART.join(
        name.strip().replace("\\", "\\\\").replace(APART, f"\\{APART}") for name in names if name.strip()
    )


def folder_names(path: str) -> tuple[str, ...]:
    """The names in a path from the top, without empty ones."""
    levels = (re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL).strip() for found in _LEVEL.finditer(path))
    return tuple(name for name in levels if name)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the line and the column of its table; `table` is "" for the main one.

    A constant of a map has neither line nor column.
    """

    line: int | None = None
    column: str = ""
    table: str = ""


@dataclass(frozen=True, slots=True)
class ValueFault:
    """A fault of a value: its place, the cell as it stands, and a sentence that says what is wrong with it."""

    place: Place
    cell: str
    reason: str


@dataclass(frozen=True, slots=True)
class Value:
    """A value as text, and its place. Money is a decimal number, dates and times are as the API takes them."""

    text: str
    place: Place = Place()

    def fault(self, reason: str) -> ValueFault:
        """A fault of it."""
        return ValueFault(self.place, self.text, reason)


@dataclass(frozen=True, slots=True)
class Part:
    """What one step is to create or to set: its values by the model's fields; empty values are left out."""

    step: Step
    values: Mapping[str, Value]

    def text(self, name: str) -> str:
        """The text of a value, "" without one."""
        value = self.values.get(name)
        return "" if value is None else value.text

    def with_texts(self, texts: Mapping[str, str]) -> "Part":
        """The part with other texts at the places of its values."""
        values = {name: replace(one, text=texts.get(name, one.text)) for name, one in self.values.items()}
        return replace(self, values=values)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscriber of the main table: its row, its contract number, and its parts in the order of the steps.

    It has one SUBSCRIBER part, at most one of each step that sets a field or the balance, any number of others.
    """

    row: Row
    number: str
    parts: tuple[Part, ...]

    def part(self, step: Step) -> Part | None:
        """The first part of a step, None without one."""
        return next((one for one in self.parts if one.step is step), None)

    def of(self, step: Step) -> tuple[Part, ...]:
        """All parts of a step."""
        return tuple(one for one in self.parts if one.step is step)


Stage = Callable[[Subscriber], tuple[Subscriber, Sequence[ValueFault]]]
"""A stage of reading: gives the subscriber with what the stage has made of its values, and the faults found."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A row that is not imported, with all its faults."""

    row: Row
    number: str
    faults: tuple[ValueFault, ...] = field(default=())

    def refusal(self) -> Refusal:
        """The refusal of the row: the column of its first fault, and all reasons; of other columns with these."""
        column = self.faults[0].place.column or None
        reasons = [_reason(one, column) for one in self.faults]
        return Refusal(self.row.line, column, self.number[:64], in_clauses(reasons), self.row.cells)


def _reason(fault: ValueFault, column: str | None) -> str:
    """The reason of a fault; with its place, where that is not the named column, or in a joined table."""
    place = fault.place
    if not place.table:
        is_named = place.column in {"", column}
        return fault.reason if is_named else said("{column}: {why}", column=place.column, why=fault.reason)
    return said(
        "{table}, line {line}, column {column}: {reason}",
        table=place.table,
        line=place.line or 0,
        column=place.column,
        reason=fault.reason,
    )
