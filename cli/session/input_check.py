"""`import FILE --check`: all rows of an input are checked, and nothing is sent; no run is begun.

What is found is grouped by kind, with the first lines, while the rows are read, and written into a workbook row by
row: memory does not grow with the rows.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio.to_thread

from checkpoints.records import Refusal
from cli.session.order import Order
from cli.session.run_session import caution_unended
from cli.session.session import open_billing
from cli.settings.settings import Settings
from cli.show.files import (
    CheckedRow,
    FaultWorkbook,
    OutputFile,
    check_target,
    fault_workbook,
    in_thread,
    refuse_present,
)
from cli.show.progress import seen_rows
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import drawn
from cli.terminal.screen import Screen
from cli.terminal.streams import bytes_read, waiting
from engine.job import STDIN, RowPage
from jobs.import_job import ImportJob
from jobs.imports.column_map import TABLE_OF_STEP
from jobs.imports.input_checks import MoneyLookout
from jobs.imports.subscriber import OF_ALL_ROWS, Place, Step, ValueFault
from jobs.imports.tables import JoinedTables
from jobs.job import build
from texts.said import Quantity, Said, counted, said

_MOST_GROUPS: Final = 200
"""Kinds of faults that are told apart; those of later ones are only counted."""
_MOST_LINES: Final = 10
"""Lines that a kind of fault names."""
SHOWN_GROUPS: Final = 25
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

    def add_beside(self, faults: Iterable[ValueFault]) -> int:
        """Count faults that are of no row of the main table; returns their number."""
        before = self.total
        for fault in faults:
            self.add(fault, None)
        return self.total - before

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
                "none of the {rows} subscribers of {file} can be imported yet; {n} of them "
                "[has a fault|have faults] of [its|their] own",
                self.faulty,
                file=self.file,
                rows=Quantity(self.rows),
            )
        if self.faulty:
            return counted(
                "{n} subscriber[s] of {file} cannot be imported, of {rows} in all",
                self.faulty,
                file=self.file,
                rows=Quantity(self.rows),
            )
        if self.entries:
            return counted(
                "{n} [entry|entries] of the dictionary [has|have] to be mended: without [it|them], nothing in "
                "{file} is wrong",
                self.entries,
                file=self.file,
            )
        if self.strangers:
            return counted(
                "{n} row[s] of the tables joined to {file} cannot be imported", self.strangers, file=self.file
            )
        if self.proposals:
            return counted(
                "{n} name[s] of the dictionary [is|are] only [a proposal|proposals]: with [it|them], nothing in "
                "{file} is wrong",
                self.proposals,
                file=self.file,
            )
        return counted("{n} row[s] of {file}, and nothing in [it|them] is wrong", self.rows, file=self.file)


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


# ---- the check ----------------------------------------------------------------------------------------------------


async def check_input(job: ImportJob, result: CheckResult, target: OutputFile | None = None, sheet: str = "") -> None:
    """Check all rows of a job, and write them with their faults into the workbook `target`, if one is asked for.

    What is found goes into the `result`. Raises `CommandRefused`, `InputRefused` and `LookUpFailed`; then there is no
    workbook.
    """
    source = await anyio.to_thread.run_sync(lambda: job.source)
    header = await anyio.to_thread.run_sync(lambda: source.header)
    unused = job.unused
    money = MoneyLookout(unused)
    async with nullcontext() if target is None else in_thread(fault_workbook(target, header, sheet)) as book:
        async for page in _each(source.pages(None)):
            judged = zip(page.rows, await job.judge(page.rows), strict=True)
            money.see(page.rows)
            # The cells are those of the input, also its secrets: the workbook is the table itself, and comes back.
            rows = [CheckedRow(row.line, row.cells, one.faults, one.warnings, row.truths) for row, one in judged]
            # A row that cannot be read; of a joined table it has no line here, and no cells.
            rows += [CheckedRow(one.line, one.row, [_fault_of(one)]) for one in page.refusals]
            rows.sort(key=lambda row: (row.line is None, row.line or 0))
            for row in rows:
                if row.line is None and not row.cells:
                    result.strangers += result.faults.add_beside(row.faults)
                else:
                    result.add(row.line, row.faults, row.warnings)
            if book is not None:
                await anyio.to_thread.run_sync(book.write, rows)
        result.entries = result.faults.add_beside(job.entry_faults)
        result.proposals = result.faults.add_beside(job.proposals)
        if book is not None:
            entries = [CheckedRow(None, (), [one]) for one in (*job.entry_faults, *job.proposals)]
            await anyio.to_thread.run_sync(book.write, entries)
        if target is not None and book is not None:
            for step in job.joined.columns:
                await _write_joined(job.joined, step, book)
                result.joined += (TABLE_OF_STEP[step],)
            result.workbook, result.comments_left_out = target.path, book.lacks_marks
    result.unchecked = tuple(job.unchecked)
    result.refusals = tuple(job.refusals)
    result.notes = tuple(job.column_notes(money.titles))
    result.unused = tuple(one.name for one in unused)
    result.way_out = job.way_out


async def check_order(order: Order, name: str, target: OutputFile | None, settings: Settings, screen: Screen) -> Exit:
    """Check the input of an import and show what is found. No journal is opened.

    `name` is the table's as it was typed. Raises `CommandRefused`, `InputRefused`, `LookUpFailed` and `BillingError`.
    """
    if target is not None:
        check_target(target)
        refuse_present(target)
    async with open_billing(settings) as billing:
        job = build(order.kind, billing.gateway, order.parameters, order.rows)
        if not isinstance(job, ImportJob):
            raise CommandRefused(said("--check: only an import is checked by itself"))
        job.only_checks = True
        await job.check()
        await caution_unended(job, screen)
        result = CheckResult(name)
        with waiting(lambda: _counted(result, job.rows_seen), lambda: bytes_read(order.rows.file)):
            await check_input(job, result, target, order.rows.sheet)
    code = Exit.DONE if result.is_good else Exit.REFUSED
    screen.result(drawn("check.j2", result=result, most=SHOWN_GROUPS), good=result.is_good)
    if screen.voice.as_json:
        error = None if result.is_good else str(result.verdict)
        screen.emit({**check_object(result), "exit": int(code), "error": error})
    return code


def _counted(result: CheckResult, seen: int) -> Said:
    if not result.rows:
        return seen_rows(seen, result.file)
    return counted("checking {source}: {n} row[s]", result.rows, source=result.file)


async def _write_joined(tables: JoinedTables, step: Step, book: FaultWorkbook) -> None:
    name, of = TABLE_OF_STEP[step], tables.columns[step].name
    header = await anyio.to_thread.run_sync(tables.header, step)
    async for page in _each(tables.pages(step)):
        refused = {one.line: one for one in page.refusals}
        rows = [CheckedRow(row.line, row.cells, truths=row.truths) for row in page.rows]
        rows += [CheckedRow(one.line, one.row) for one in page.refusals if one.row]
        marked = [
            replace(row, faults=[_fault_of(refused[row.line], of)]) if row.line in refused else row
            for row in sorted(rows, key=lambda row: row.line or 0)
        ]
        await anyio.to_thread.run_sync(book.write_joined, name, of, header, marked)


async def _each(pages: Iterator[RowPage]) -> AsyncIterator[RowPage]:
    while (page := await anyio.to_thread.run_sync(next, pages, None)) is not None:
        yield page


def _fault_of(refusal: Refusal, table: str = "") -> ValueFault:
    return ValueFault(Place(refusal.line, refusal.column or "", table), "", refusal.reason)
