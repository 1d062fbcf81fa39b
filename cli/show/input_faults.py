"""What the check of an input has found: kinds of faults with their first lines, and what to do next."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import RenderableType

from cli.terminal.drawing import drawn
from engine.job import STDIN
from jobs.imports.subscriber import OF_ALL_ROWS, ValueFault
from texts.said import Quantity, Said, counted

_MOST_GROUPS: Final = 200
"""Kinds of faults that are told apart; those of later ones are only counted."""
_MOST_LINES: Final = 10
"""Lines that a kind of fault names."""
_SHOWN_GROUPS: Final = 25
"""Kinds of faults that a screen shows."""


@dataclass(slots=True)
class FaultGroup:
    """The faults of one kind in one column: the first of them, how many they are, and the lines of the first.

    `subscribers` counts the rows of the main table that have one; `others` are the first other cells, where the
    faults are those of names.
    """

    table: str | None
    column: str | None
    cell: str
    reason: str
    count: int = 0
    lines: list[int] = field(default_factory=list)
    subscribers: int = 0
    others: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FaultGroups:
    """Faults by table, column and kind; `beyond` counts those of kinds that are not told apart any more."""

    groups: dict[tuple[str, str, str], FaultGroup] = field(default_factory=dict)
    total: int = 0
    beyond: int = 0

    def add(self, fault: ValueFault, line: int | None) -> FaultGroup | None:
        """Count a fault of the row in a line; one of a joined table has its own, and one of all rows is no group."""
        self.total += 1
        place = fault.place
        if fault.reason == OF_ALL_ROWS:
            return None
        key = (place.table, place.column, fault.code or _kind(fault.reason))
        if key not in self.groups and len(self.groups) >= _MOST_GROUPS:
            self.beyond += 1
            return None
        new = FaultGroup(place.table or None, place.column or None, fault.cell, fault.reason)
        group = self.groups.setdefault(key, new)
        group.count += 1
        line = line if place.line is None else place.line
        if line is not None and len(group.lines) < _MOST_LINES and line not in group.lines:
            group.lines.append(line)
        if fault.code and len(group.others) < _MOST_LINES and fault.cell not in {group.cell, *group.others}:
            group.others.append(fault.cell)
        return group

    def largest_first(self) -> list[FaultGroup]:
        return sorted(self.groups.values(), key=lambda one: -one.count)


def _kind(reason: str) -> str:
    """What faults of one kind share: the templates of their sentences."""
    if not isinstance(reason, Said):
        return reason
    inner = [_kind(value) for value in reason.values.values() if isinstance(value, Said)]
    return "|".join((reason.template, *inner))


@dataclass(slots=True)
class CheckResult:
    """What the check of an input has found; `faulty` rows cannot be imported, `doubtful` ones are to be looked at.

    `refusals` say what keeps all rows from being imported. `strangers` are rows of joined tables that are nobody's,
    or cannot be read; `entries` are faults of the dictionary, `proposals` its names that nobody has confirmed. The
    `notes` say what may be forgotten, and `unused` are the columns of the main table that nothing uses.
    """

    name: str
    rows: int = 0
    faulty: int = 0
    doubtful: int = 0
    strangers: int = 0
    entries: int = 0
    proposals: int = 0
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    way_out: str | None = None
    faults: FaultGroups = field(default_factory=FaultGroups)
    warnings: FaultGroups = field(default_factory=FaultGroups)
    unchecked: tuple[str, ...] = ()
    workbook: Path | None = None
    comments_left_out: bool = False
    joined: tuple[str, ...] = ()

    def add(self, line: int | None, faults: Iterable[ValueFault], warnings: Iterable[ValueFault]) -> None:
        self.rows += 1
        before = self.faults.total, self.warnings.total
        for groups, found in ((self.faults, faults), (self.warnings, warnings)):
            for group in {id(one): one for fault in found if (one := groups.add(fault, line))}.values():
                group.subscribers += 1
        self.faulty += self.faults.total > before[0]
        self.doubtful += self.faults.total == before[0] and self.warnings.total > before[1]

    def add_stranger(self, fault: ValueFault) -> None:
        """Count a row of a joined table that belongs to no row of the main one."""
        self.strangers += 1
        self.faults.add(fault, None)

    def add_entries(self, faults: Collection[ValueFault]) -> None:
        """Count faults of the dictionary."""
        self.entries += len(faults)
        for fault in faults:
            self.faults.add(fault, None)

    def add_proposals(self, faults: Collection[ValueFault]) -> None:
        self.proposals += len(faults)
        for fault in faults:
            self.faults.add(fault, None)

    @property
    def is_good(self) -> bool:
        return not self.faults.total and not self.refusals

    @property
    def file(self) -> str:
        return "stdin" if self.name == STDIN else self.name

    @property
    def verdict(self) -> Said:
        if self.refusals:
            return counted(
                "none of the {rows} subscribers of {file} can be imported yet; {n} of them has a fault of its own",
                "none of the {rows} subscribers of {file} can be imported yet; {n} of them have faults of their own",
                self.faulty,
                file=self.file,
                rows=Quantity(self.rows),
            )
        if self.faulty:
            return counted(
                "{n} subscriber of {file} cannot be imported, of {rows} in all",
                "{n} subscribers of {file} cannot be imported, of {rows} in all",
                self.faulty,
                file=self.file,
                rows=Quantity(self.rows),
            )
        if self.entries:
            return counted(
                "{n} entry of the dictionary has to be mended: without it, nothing in {file} is wrong",
                "{n} entries of the dictionary have to be mended: without them, nothing in {file} is wrong",
                self.entries,
                file=self.file,
            )
        if self.strangers:
            return counted(
                "{n} row of the tables joined to {file} cannot be imported",
                "{n} rows of the tables joined to {file} cannot be imported",
                self.strangers,
                file=self.file,
            )
        if self.proposals:
            return counted(
                "{n} name of the dictionary is only a proposal: with it, nothing in {file} is wrong",
                "{n} names of the dictionary are only proposals: with them, nothing in {file} is wrong",
                self.proposals,
                file=self.file,
            )
        return counted(
            "{n} row of {file}, and nothing in it is wrong",
            "{n} rows of {file}, and nothing in them is wrong",
            self.rows,
            file=self.file,
        )


def check_object(result: CheckResult) -> dict[str, object]:
    return {
        "file": result.name,
        "rows": result.rows,
        "faulty_rows": result.faulty,
        "doubtful_rows": result.doubtful,
        "joined_rows": result.strangers,
        "faults": result.faults.largest_first(),
        "warnings": result.warnings.largest_first(),
        "refusals": result.refusals,
        "notes": result.notes,
        "unused_columns": result.unused,
        "unchecked": result.unchecked,
        "workbook": result.workbook,
    }


def check_screen(result: CheckResult) -> RenderableType:
    return drawn("check.j2", result=result, most=_SHOWN_GROUPS)
