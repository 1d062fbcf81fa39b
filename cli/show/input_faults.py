"""What the check of an input has found: kinds of faults with their first lines, and what to do next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from cli.show.parts import Part, section, stack
from cli.terminal.layout import Hanging, labelled, render
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


@dataclass(slots=True)
class FaultGroup:
    """The faults of one kind in one column: the first of them, how many they are, and the lines of the first."""

    table: str | None
    column: str | None
    cell: str
    reason: str
    count: int = 0
    lines: list[int] = field(default_factory=list)


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
        if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
            self.beyond += 1
            return
        new = FaultGroup(place.table or None, place.column or None, fault.cell, fault.reason)
        group = self._groups.setdefault(key, new)
        group.count += 1
        line = line if place.line is None else place.line
        if line is not None and len(group.lines) < _MOST_LINES:
            group.lines.append(line)

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
    def file(self) -> str:
        """The table in words."""
        return "stdin" if self.name == STDIN else self.name

    @property
    def verdict(self) -> Said:
        """The result in a sentence."""
        file = self.file
        if self.strangers and not self.faulty:
            return counted(
                "{n} row of the tables joined to {file} cannot be imported",
                "{n} rows of the tables joined to {file} cannot be imported",
                self.strangers,
                file=file,
            )
        if self.faulty:
            return counted(
                "{n} row of {file} cannot be imported, of {rows} in all",
                "{n} rows of {file} cannot be imported, of {rows} in all",
                self.faulty,
                file=file,
                rows=Quantity(self.rows),
            )
        return counted(
            "{n} row of {file}, and nothing in it is wrong",
            "{n} rows of {file}, and nothing in them is wrong",
            self.rows,
            file=file,
        )


def check_object(result: CheckResult) -> dict[str, object]:
    """The result for scripts."""
    return {
        "file": result.name,
        "rows": result.rows,
        "faulty_rows": result.faulty,
        "doubtful_rows": result.doubtful,
        "joined_rows": result.strangers,
        "faults": result.faults.largest_first(),
        "warnings": result.warnings.largest_first(),
        "unchecked": result.unchecked,
        "workbook": result.workbook,
    }


def check_screen(result: CheckResult) -> RenderableType:
    """The result for people: the verdict, kinds of faults and warnings, what was not checked, what to do next."""
    sign = Text("✓ ", "green") if result.is_good else Text("✗ ", "bold red")
    warnings = _groups(result.warnings, "? ", "yellow")
    return stack(
        Hanging(sign, render(result.verdict, "bold")),
        section(*_groups(result.faults, "✗ ", "red")),
        section(said("To be looked at:"), *warnings) if warnings else None,
        *(labelled(said("not checked:"), one) for one in result.unchecked),
        "",
        *_next_steps(result),
    )


def _groups(groups: FaultGroups, sign: str, style: str) -> list[Part]:
    """The largest groups, each behind a sign with its column and its first lines, if the reason has them not."""
    found = groups.largest_first()
    parts: list[Part] = []
    for group in found[:_SHOWN_GROUPS]:
        where = said("column {column}", column=group.column) if group.column else None
        if group.lines:
            lines, more = ", ".join(map(str, group.lines)), group.count - len(group.lines)
            where = said("lines {lines}", lines=lines) if len(group.lines) > 1 else said("line {line}", line=lines)
            if more > 0:
                where = said("lines {lines} and {more} more", lines=lines, more=Quantity(more))
            where = said("{table}, {where}", table=group.table, where=where) if group.table else where
            where = said("{column}, {where}", column=group.column, where=where) if group.column else where
        reason = render(group.reason)
        line = render(where, "bold").append(": ").append_text(reason) if where else reason
        parts.append(Hanging(Text(sign, style), line))
    if others := sum(group.count for group in found[_SHOWN_GROUPS:]) + groups.beyond:
        parts.append(render(said("… and {n} more of other kinds", n=Quantity(others)), "dim"))
    return parts


def _next_steps(result: CheckResult) -> Iterator[Said]:
    """What to do with the result."""
    yield said("Nothing was sent.")
    if result.workbook is not None:
        yield said(
            "{file} is the table with these cells marked, its secrets too: correct it there and import it in place "
            "of the old one. What the check has added to it is passed over.",
            file=result.workbook,
        )
        if result.joined:
            flags = " ".join(str(setting(name, str(result.workbook))) for name in result.joined)
            yield said("It has the joined tables too: {flags} reads them out of it.", flags=flags)
        if result.comments_left_out:
            yield said(
                "Not all cells are marked, for they are too many; the sheet carbon_faults lists what was found."
            )
    elif not result.is_good or result.warnings.total:
        yield said(
            "{flag} writes the table with these cells marked, to be corrected.", flag=setting("output", "FILE.xlsx")
        )
