"""What the check of an input has found: kinds of faults with their first lines, and what to do next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from cli.terminal.layout import Hanging, labelled, render
from cli.terminal.texts import printable
from engine.rows import STDIN
from jobs.imports.subscriber import ValueFault
from texts.remedies import setting
from texts.said import Quantity, Said, counted, said

_MOST_GROUPS: Final = 200
"""Kinds of faults that are told apart; those of later ones are only counted."""
_MOST_LINES: Final = 10
"""Lines that a kind of fault names."""
_SHOWN_GROUPS: Final = 25
"""Kinds of faults that a screen shows."""


_STDIN: Final = "stdin"


@dataclass(slots=True)
class FaultGroup:
    """The faults of one kind in one column: the first of them, how many they are, and the lines of the first."""

    table: str
    column: str
    cell: str
    reason: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def add(self, line: int | None) -> None:
        """Count a fault in a line."""
        self.count += 1
        if line is not None and len(self.lines) < _MOST_LINES:
            self.lines.append(line)

    @property
    def first(self) -> Said | None:
        """The column and the first lines, in words; None where the reason has them."""
        if not self.lines:
            return said("column {column}", column=self.column) if self.column else None
        lines = ", ".join(map(str, self.lines))
        if self.count > len(self.lines):
            where = said("lines {lines} and {more} more", lines=lines, more=Quantity(self.count - len(self.lines)))
        elif len(self.lines) > 1:
            where = said("lines {lines}", lines=lines)
        else:
            where = said("line {line}", line=lines)
        if self.table:
            where = said("{table}, {where}", table=self.table, where=where)
        return said("{column}, {where}", column=self.column, where=where) if self.column else where


class FaultGroups:
    """Faults by table, column and kind; `beyond` counts those of kinds that are not told apart any more."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], FaultGroup] = {}
        self.total = 0
        self.beyond = 0

    def add(self, fault: ValueFault, line: int | None) -> None:
        """Count a fault of the row in a line; a fault of a joined table has its own."""
        self.total += 1
        place = fault.place
        key = (place.table, place.column, _kind(fault.reason))
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= _MOST_GROUPS:
                self.beyond += 1
                return
            group = self._groups[key] = FaultGroup(place.table, place.column, fault.cell, fault.reason)
        group.add(line if place.line is None else place.line)

    def largest_first(self) -> list[FaultGroup]:
        """The groups, the largest first."""
        return sorted(self._groups.values(), key=lambda one: -one.count)


def _kind(reason: str) -> str:
    """What faults of one kind share: the templates of their sentences."""
    if not isinstance(reason, Said):
        return reason
    inner = [_kind(value) for value in reason.values.values() if isinstance(value, Said)]
    return "|".join((reason.template, *inner))


@dataclass(slots=True)
class CheckResult:
    """What the check of an input has found; `faulty` rows cannot be imported, `doubtful` ones are to be looked at.

    `strangers` are rows of joined tables that are nobody's, or cannot be read.
    """

    name: str
    rows: int = 0
    faulty: int = 0
    doubtful: int = 0
    strangers: int = 0
    faults: FaultGroups = field(default_factory=FaultGroups)
    warnings: FaultGroups = field(default_factory=FaultGroups)
    unchecked: tuple[str, ...] = ()
    workbook: Path | None = None
    comments_left_out: bool = False
    joined: tuple[str, ...] = ()

    def add(self, line: int | None, faults: Iterable[ValueFault], warnings: Iterable[ValueFault]) -> None:
        """Count a row with what was found in it."""
        self.rows += 1
        before = self.faults.total, self.warnings.total
        for fault in faults:
            self.faults.add(fault, line)
        for warning in warnings:
            self.warnings.add(warning, line)
        if self.faults.total > before[0]:
            self.faulty += 1
        elif self.warnings.total > before[1]:
            self.doubtful += 1

    def add_stranger(self, fault: ValueFault) -> None:
        """Count a row of a joined table that belongs to no row of the main one."""
        self.strangers += 1
        self.faults.add(fault, None)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with the input."""
        return not self.faults.total

    @property
    def verdict(self) -> Said:
        """The result in a sentence."""
        if self.strangers and not self.faulty:
            return counted(
                "{n} row of the tables joined to {file} cannot be imported",
                "{n} rows of the tables joined to {file} cannot be imported",
                self.strangers,
                file=self.file,
            )
        if self.faulty:
            return counted(
                "{n} row of {file} cannot be imported, of {rows} in all",
                "{n} rows of {file} cannot be imported, of {rows} in all",
                self.faulty,
                file=self.file,
                rows=Quantity(self.rows),
            )
        return counted(
            "{n} row of {file}, and nothing in it is wrong",
            "{n} rows of {file}, and nothing in them is wrong",
            self.rows,
            file=self.file,
        )

    @property
    def file(self) -> str:
        """The table in words."""
        return _STDIN if self.name == STDIN else self.name


def check_screen(result: CheckResult) -> RenderableType:
    """The result for people: the verdict, kinds of faults and warnings, what was not checked, what to do next."""
    sign = Text("✓ ", "green") if result.is_good else Text("✗ ", "bold red")
    parts: list[RenderableType] = [Hanging(sign, render(result.verdict, "bold"))]
    if result.faults.total:
        parts += [Text(""), *_groups(result.faults, "✗ ", "red")]
    if result.warnings.total:
        parts += [Text(""), render(said("To be looked at:")), *_groups(result.warnings, "? ", "yellow")]
    parts += [labelled(said("not checked:"), one) for one in result.unchecked]
    return Group(*parts, Text(""), *(render(one) for one in _next_steps(result)))


def _groups(groups: FaultGroups, sign: str, style: str) -> list[RenderableType]:
    found = groups.largest_first()
    lines: list[RenderableType] = []
    for group in found[:_SHOWN_GROUPS]:
        where, reason = group.first, printable(group.reason)
        line = render(reason) if where is None else render(where, "bold").append(f": {reason}")
        lines.append(Hanging(Text(sign, style), line))
    others = sum(group.count for group in found[_SHOWN_GROUPS:]) + groups.beyond
    if others:
        lines.append(render(said("… and {n} more of other kinds", n=Quantity(others)), "dim"))
    return lines


def _next_steps(result: CheckResult) -> Sequence[Said]:
    """What to do with the result."""
    steps = [said("Nothing was sent.")]
    if result.workbook is not None:
        steps.append(
            said(
                "{file} is the table with these cells marked, its secrets too: correct it there and import it in "
                "place of the old one. What the check has added to it is passed over.",
                file=result.workbook,
            )
        )
        if result.joined:
            flags = tuple(str(setting(name, str(result.workbook))) for name in result.joined)
            steps.append(said("It has the joined tables too: {flags} reads them out of it.", flags=" ".join(flags)))
        if result.comments_left_out:
            steps.append(
                said("Not all cells are marked, for they are too many; the sheet carbon_faults lists what was found.")
            )
    elif not result.is_good or result.warnings.total:
        steps.append(
            said(
                "{flag} writes the table with these cells marked, to be corrected.",
                flag=setting("output", "FILE.xlsx"),
            )
        )
    return steps


def check_object(result: CheckResult) -> dict[str, object]:
    """The result for scripts."""
    return {
        "file": result.name,
        "rows": result.rows,
        "faulty_rows": result.faulty,
        "doubtful_rows": result.doubtful,
        "joined_rows": result.strangers,
        "faults": [_group_object(one) for one in result.faults.largest_first()],
        "warnings": [_group_object(one) for one in result.warnings.largest_first()],
        "unchecked": list(result.unchecked),
        "workbook": None if result.workbook is None else str(result.workbook),
    }


def _group_object(group: FaultGroup) -> Mapping[str, object]:
    return {
        "table": group.table or None,
        "column": group.column or None,
        "cell": group.cell,
        "reason": group.reason,
        "count": group.count,
        "lines": group.lines,
    }
