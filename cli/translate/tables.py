"""The tables that feed a loop, and the placeholders that a call has for their columns."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.scope import Scope, undefined
from cli.translate.words import Quote, Variable
from texts.said import said

TEXTS: Final = frozenset(
    {"name", "contract_number", "sms", "email", "login", "comment", "descr", "attribute_value", "op_descr", "address"}
)
"""Columns of the billing that hold texts, which may contain spaces or consist of digits."""

_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def column_of(variable: str) -> str:
    """The name of a loop variable as that of a column: without the braces of what xargs puts in."""
    return variable.strip("{}")


class LoopTable(ABC):
    """Where the rows of a loop come from, with a name for each column."""

    file: str = ""
    """The file of the rows, - for standard input, "" for neither."""
    text: str = ""
    """The rows themselves, where the line has them: what standard input is to be given."""
    pipe: str = ""
    """Shell commands that print the rows for standard input."""
    names: tuple[str, ...]

    @abstractmethod
    def never_empty(self, used: Collection[str]) -> Collection[str]:
        """The variables of the loop that have a value in each row that the run takes; `used` as for `options`."""

    @abstractmethod
    def options(self, used: Collection[str]) -> tuple[str, ...]:
        """The options that say what the rows are; `used` are the columns that the call has."""

    @abstractmethod
    def options_of_job(self, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The same for a job, which must take no other column than these, by the names of its values."""

    @property
    @abstractmethod
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong with the way of the rows into the loop."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What else is said of them."""

    @abstractmethod
    def name_of(self, variable: Variable) -> str:
        """The column of a loop variable. Raises `CommandRefused` where it is not a single one."""

    @abstractmethod
    def title_of(self, variable: Variable) -> str | None:
        """The name that the rows themselves have for that column."""

    def named_for(self, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The names of the columns for a job: those of its values, and a number for what it must not take."""
        of_job = {column: name for name, column in columns.items()}
        return tuple(of_job.get(name, f"column_{at}") for at, name in enumerate(self.names, 1))

    def refuse_secrets(self, columns: Collection[str], place: LinePlace) -> None:
        """Raise `CommandRefused` where the line itself has the values of a column of secrets."""
        for name in columns:
            if self.text and name in self.names:
                raise refused(
                    place,
                    said(
                        "{name} is a secret, and the line itself has its values: put the rows into a file",
                        name=named(name),
                    ),
                )


@dataclass(frozen=True, slots=True)
class Lookup:
    """A variable that a select finds for each row: the `id` of the one whose `key` is a column or a known text."""

    id: str
    key: str
    variable: Variable | None
    text: str
    place: LinePlace


@dataclass(frozen=True, slots=True)
class Placeholders:
    """The placeholders of a call's variables: a column of the row, or the variable's own name where undefined.

    `lookups` are the variables that the run finds by itself. `used` collects the placeholders.
    """

    table: LoopTable | None
    scope: Scope
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def name_of(self, variable: Variable) -> str:
        """The name of a variable's placeholder. Raises `CommandRefused` where its value must be known."""
        name = self._name_of(variable)
        for lookup in self.lookups.values():
            if name == lookup.key:
                raise refused(
                    variable.place,
                    said(
                        "${name} names the row, and is a value of the call too: a run finds the {id} of a row by its "
                        "{key}, and sends that alone",
                        name=named(variable.name),
                        id=lookup.id,
                        key=lookup.key,
                    ),
                )
        self.used.add(name)
        return name

    def _name_of(self, variable: Variable) -> str:
        if variable.name in self.lookups:
            return self.lookups[variable.name].id
        table = self._table_of(variable)
        if table is not None:
            return table.name_of(variable)
        is_column = self.table is not None and variable.name in self.table.names
        if is_column or not _NAME.fullmatch(variable.name):
            raise undefined(variable)
        return variable.name

    def refuse_columns_called(self, secrets: Sequence[str], place: LinePlace) -> None:
        """Raise `CommandRefused` where a column has the name of a secret that the line contains."""
        for name in secrets:
            if self.table is not None and name in self.table.names:
                raise refused(
                    place, said("{name} is told in the data, and is a column of the rows too: rename that", name=name)
                )

    def is_text(self, variable: Variable) -> bool:
        """Whether the values of a variable are texts even when they are digits: 00123 is not a number."""
        table = self._table_of(variable)
        return table is not None and table.title_of(variable) in TEXTS

    def faults_of(self, variable: Variable, alone: Collection[Variable]) -> Iterator[Finding]:
        """The faults of one use of a variable: it is undefined, or a text is split there.

        Variables that stand `alone` have no quotes around them.
        """
        if variable.name in self.lookups:
            return
        table = self._table_of(variable)
        if table is None:
            yield findings.NOT_DEFINED.at(variable.place, name=variable.name)
            return
        column = table.title_of(variable)
        if column is None or column not in TEXTS:
            return
        if variable in alone:
            yield findings.TEXT_WITHOUT_QUOTES.at(variable.place, column=named(column))
        is_cut = any(fault == findings.SPACES.at(fault.place, column=named(column)) for fault in table.faults)
        if variable.quote is Quote.NONE and not is_cut:
            yield findings.SPACES.at(variable.place, column=named(column))

    def _table_of(self, variable: Variable) -> LoopTable | None:
        is_of_row = variable.name in self.scope.of_row and variable.name not in self.lookups
        return self.table if is_of_row else None
