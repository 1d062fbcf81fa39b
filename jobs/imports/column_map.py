"""The map of an import: which columns, or which constant, make the fields of a subscriber and of what belongs to it.

It is read from a file (`map_file.py`), given as pairs of field and column, or both. What it does not name is found by
its usual names, see `row_parts.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from engine.errors import InputRefused, nearest
from engine.sources.raw.sample import Layout
from jobs.imports.fields import SEVERAL, FieldTable, usual_fields
from jobs.imports.subscriber import Step
from texts.remedies import Remedy, setting

SPACE: Final = " "
CONSTANT: Final = ":"
"""Ends a field whose pair has a constant, and no column."""


@dataclass(frozen=True, slots=True)
class CellRule:
    """Where a text comes from: one column, several joined with `between`, or a constant `value`.

    A rule without either takes nothing, also not by the field's usual names. `split` separates several texts in a
    cell: of a folder its levels, of an account, a service or an attribute several parts. `are_levels` says that each
    column is one level of a folder. `where` is the place of the rule, for messages.
    """

    columns: tuple[str, ...] = ()
    value: str | None = None
    between: str = SPACE
    split: str = ""
    are_levels: bool = False
    where: str = ""

    @property
    def takes_nothing(self) -> bool:
        """Whether the field is not taken from the table."""
        return not self.columns and self.value is None


@dataclass(frozen=True, slots=True)
class Condition:
    """When a row has a part: a column has one of these texts, or any text if there is none. Case does not matter."""

    column: str
    texts: frozenset[str] = frozenset()
    where: str = ""

    def holds(self, cell: str) -> bool:
        """Whether a cell of the column meets it."""
        plain = cell.strip().casefold()
        return plain in self.texts if self.texts else bool(plain)


@dataclass(frozen=True, slots=True)
class PartRule:
    """One account, service or attribute of each row: the rules of its fields by name, and when a row has it."""

    step: Step
    rules: Mapping[str, CellRule]
    when: Condition | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A joined table: its file, how it is read, and its column of contract numbers, None for the usual names."""

    file: str
    layout: Layout = field(default_factory=Layout)
    number: CellRule | None = None


TABLE_OF_STEP: Final[Mapping[Step, str]] = MappingProxyType(
    {Step.ACCOUNT: "accounts", Step.SERVICE: "services", Step.ATTRIBUTE: "attributes"}
)
"""The joined tables by the step that their rows are for."""


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """`once` has the rules of fields that a subscriber has once, by name; `parts` those of what it has several of.

    `file` and `digest` are those of the map file, "" without one.
    """

    once: Mapping[str, CellRule] = field(default_factory=lambda: MappingProxyType({}))
    parts: tuple[PartRule, ...] = ()
    tables: Mapping[Step, TableFile] = field(default_factory=lambda: MappingProxyType({}))
    fields: FieldTable = field(default_factory=usual_fields)
    file: str = ""
    digest: str = ""

    def of_step(self, step: Step) -> tuple[PartRule, ...]:
        """The rules of the parts of a step."""
        return tuple(rule for rule in self.parts if rule.step is step)

    def with_pairs(self, pairs: Mapping[str, str]) -> "ColumnMap":
        """The map with columns by field, as they are typed; an empty column takes nothing.

        A field with `:` behind it has a constant instead, typed as `manager_id:=33`. A field of an account, a service
        or an attribute may need its step before it: `service.enabled`. Raises `InputRefused` for a field that is not
        known, or is one of several in the map.
        """
        changed = self
        for typed, column in pairs.items():
            changed = changed._with_pair(typed, column)
        return changed

    def with_tables(self, files: Mapping[Step, str]) -> "ColumnMap":
        """The map with the files of joined tables, in place of those that it names itself."""
        given = {
            step: replace(self.tables[step], file=file) if step in self.tables else TableFile(file)
            for step, file in files.items()
            if file
        }
        return replace(self, tables=MappingProxyType({**self.tables, **given}))

    def _with_pair(self, typed: str, column: str) -> "ColumnMap":
        where = setting("map", f"{typed}={column}")
        step, name = self._field(typed.removesuffix(CONSTANT), where)
        if typed.endswith(CONSTANT):
            rule = CellRule(value=column, where=str(where))
        else:
            rule = CellRule((column,) if column.strip() else (), where=str(where))
        if step not in SEVERAL:
            return replace(self, once=MappingProxyType({**self.once, name: rule}))
        there = self.of_step(step)
        if len(there) > 1:
            raise InputRefused(
                "{setting}: the map has several tables [[{step}]], so a pair does not say which is meant: "
                "change it in {file}",
                setting=where,
                step=step,
                file=self.file,
            )
        old = there[0] if there else PartRule(step, MappingProxyType({}), where=str(where))
        new = replace(old, rules=MappingProxyType({**old.rules, name: rule}))
        others = tuple(one for one in self.parts if one.step is not step)
        return replace(self, parts=(*others, new))

    def _field(self, typed: str, where: Remedy) -> tuple[Step, str]:
        """The step and the name of a field as it is typed."""
        owner, dot, bare = typed.rpartition(".")
        found = [(step, name) for step, name, _ in self.fields.names() if name == bare and owner in {"", step}]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputRefused(
                "{setting}: several steps have a field {name}; write one of: {names}",
                setting=where,
                name=bare,
                names=tuple(f"{step}.{name}" for step, name in found),
            )
        known = [f"{step}.{name}" if dot else name for step, name, _ in self.fields.names()]
        raise InputRefused(
            "{setting}: an import has no field {name}{nearest}; it has: {known}. Another field of the billing is "
            "named in a map file, as a table [fields.MODEL.NAME]",
            setting=where,
            name=typed,
            nearest=nearest(typed, known),
            known=tuple(dict.fromkeys(known)),
        )
