"""A subscriber as a table wants it: the record between a row and the steps of an import.

    row of the table ──▶ Subscriber of texts ──▶ names become ids ──▶ texts become values of calls ──▶ items

Each stage gives a `Subscriber` and the faults that it has found in it.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from checkpoints.records import Refusal
from engine.job import Row
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


_STEPS: Final[Mapping[Step, tuple[Said, str]]] = {
    Step.FOLDER: (said("folder"), "Abonents"),
    Step.SUBSCRIBER: (said("subscriber"), "Abonents"),
    Step.ACCOUNT: (said("account"), "Users"),
    Step.TARIFF: (said("tariff"), "Abonents"),
    Step.SERVICE: (said("service"), "UsersUsluga"),
    Step.ATTRIBUTE: (said("attribute"), "AttributeValues"),
    Step.THRESHOLD: (said("warning threshold"), "AdminAccounts"),
    Step.LIMIT: (said("cut-off limit"), "AdminAccounts"),
    Step.BALANCE: (said("opening balance"), "FinanceOperations"),
}
STEP_NAMES: Final[Mapping[Step, Said]] = {step: name for step, (name, _) in _STEPS.items()}
"""The steps in words."""
STEP_MODELS: Final[Mapping[Step, str]] = {step: model for step, (_, model) in _STEPS.items()}
"""The model that the call of a step names."""

LANE: Final = "contract:"
"""The prefix of the lane of a subscriber that may not be there yet, and of all that is created for it."""

OF_ALL_ROWS: Final = said("a value that the map gives for all rows is wrong")
"""What is wrong with a row where a check has told it for all of them."""

NUMBER: Final = "contract_number"

PATH: Final = "path"
"""The value of a folder's part that is not there yet: its names from the top, with `APART` between them."""

FOLDER_ID: Final = "id"
"""The value of a folder's part that is there."""

APART: Final = "/"
"""Stands between the names of folders in a path; within a name it is escaped, see `folder_path`."""

_LEVEL: Final = re.compile(r"((?:\\.|[^\\/])*)(/|\Z)", re.DOTALL)
_LONGEST_LABEL: Final = 64


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
    """A fault of a value: its place, the cell as it stands, and a sentence that says what is wrong with it.

    Faults of one `code` are one kind, whichever names their sentences have.
    """

    place: Place
    cell: str
    reason: str
    code: str = ""

    def described(self, column: str | None = None) -> str:
        """The reason; with the place, where that is not the named column, or in a joined table."""
        place = self.place
        if not place.table:
            is_named = place.column in {"", column}
            return self.reason if is_named else said("{column}: {why}", column=place.column, why=self.reason)
        table, line, reason = place.table, place.line or 0, self.reason
        if not place.column:
            return said("{table}, line {line}: {reason}", table=table, line=line, reason=reason)
        return said(
            "{table}, line {line}, column {column}: {reason}",
            table=table,
            line=line,
            column=place.column,
            reason=reason,
        )


@dataclass(frozen=True, slots=True)
class Value:
    """A value as text, its place, and the sign at which a map has `split` its cell, "" for none.

    Money is a decimal number, dates and times are as the API takes them.
    """

    text: str
    place: Place = Place()
    split: str = ""

    def fault(self, reason: str, code: str = "") -> ValueFault:
        return ValueFault(self.place, self.text, reason, code)


@dataclass(frozen=True, slots=True)
class Part:
    """What one step is to create or to set: its values by the model's fields; empty values are left out."""

    step: Step
    values: Mapping[str, Value]

    def text(self, name: str) -> str:
        value = self.values.get(name)
        return "" if value is None else value.text


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscriber of the main table: its row, its contract number, and its parts in the order of the steps.

    It has one SUBSCRIBER part, at most one of each step that sets a field or the balance, any number of others.
    """

    row: Row
    number: str
    parts: tuple[Part, ...]

    def part(self, step: Step) -> Part | None:
        return next((one for one in self.parts if one.step is step), None)

    def of(self, step: Step) -> tuple[Part, ...]:
        return tuple(one for one in self.parts if one.step is step)

    def values(self, wanted: Container[tuple[Step, str]]) -> list[tuple[tuple[Step, str], Value]]:
        """Its values, of those that are wanted by step and name, in the order of its parts."""
        return [
            ((part.step, name), value)
            for part in self.parts
            for name, value in part.values.items()
            if value.text and (part.step, name) in wanted
        ]


Stage = Callable[[Subscriber], tuple[Subscriber, Sequence[ValueFault]]]
"""A stage of reading: gives the subscriber with what the stage has made of its values, and the faults found."""


@dataclass(slots=True)
class Judged:
    """A subscriber as far as it could be read, its faults, and what may be right and is to be looked at.

    A value that has a fault has to be corrected anyway: what else is found of it is left out.
    """

    subscriber: Subscriber
    faults: list[ValueFault] = field(default_factory=list)
    warnings: list[ValueFault] = field(default_factory=list)

    def fault(self, value: Value, reason: str) -> None:
        self.faults += self.sound([value.fault(reason)])

    def warn(self, value: Value, reason: str) -> None:
        self.warnings.append(value.fault(reason))

    def go_through(self, stage: Stage) -> None:
        self.subscriber, found = stage(self.subscriber)
        self.faults += self.sound(found)

    def sound(self, found: Sequence[ValueFault]) -> Sequence[ValueFault]:
        if not found or not self.faults:
            return found
        wrong = {(fault.place, fault.cell) for fault in self.faults}
        return [one for one in found if (one.place, one.cell) not in wrong]

    def refusal(self) -> Refusal:
        """The refusal of a faulty row: the column of its first fault, and all reasons; others name their columns."""
        column = self.faults[0].place.column or None
        reasons = [one.described(column) for one in self.faults]
        row = self.subscriber.row
        return Refusal(row.line, column, self.subscriber.number[:_LONGEST_LABEL], in_clauses(reasons), row.cells)
