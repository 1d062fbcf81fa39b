"""`import FILE --check`: all rows of an input are checked, and nothing is sent; no run is begun.

What is found is grouped while the rows are read, and written into a workbook row by row: memory does not grow with
the rows.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import replace

import anyio.to_thread

from checkpoints.records import Refusal
from cli.output.item_files import OutputFile, refuse_present
from cli.output.tables import CheckedRow, FaultWorkbook, check_target, fault_workbook
from cli.session.order import Order
from cli.session.run_session import caution_unended
from cli.session.session import open_billing
from cli.settings.settings import Settings
from cli.show.input_faults import CheckResult, check_object, check_screen
from cli.show.progress import seen_rows
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen
from cli.terminal.waiting import bytes_read, waiting
from engine.job import RowPage
from jobs.import_job import ImportJob
from jobs.imports.column_map import TABLE_OF_STEP
from jobs.imports.input_checks import MoneyLookout
from jobs.imports.subscriber import Place, Step, ValueFault
from jobs.imports.tables import JoinedTables
from jobs.job import build
from texts.remedies import setting
from texts.said import Said, counted


async def check_input(job: ImportJob, result: CheckResult, target: OutputFile | None = None, sheet: str = "") -> None:
    """Check all rows of a job, and write them with their faults into the workbook `target`, if one is asked for.

    What is found goes into the `result`. Raises `CommandRefused`, `InputRefused` and `LookUpFailed`; then there is no
    workbook.
    """
    source = await anyio.to_thread.run_sync(lambda: job.source)
    header = await anyio.to_thread.run_sync(lambda: source.header)
    unused = job.unused
    money = MoneyLookout(unused)
    with nullcontext() if target is None else fault_workbook(target, header, sheet) as book:
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
                    result.add_stranger(row.faults[0])
                else:
                    result.add(row.line, row.faults, row.warnings)
            if book is not None:
                await anyio.to_thread.run_sync(book.write, rows)
        result.add_entries(job.entry_faults)
        result.add_proposals(job.proposals)
        if book is not None:
            entries = [CheckedRow(None, (), [one]) for one in (*job.entry_faults, *job.proposals)]
            await anyio.to_thread.run_sync(book.write, entries)
        if target is not None and book is not None:
            for step in job.joined.columns:
                await _write_joined(job.joined, step, book)
                result.joined += (TABLE_OF_STEP[step],)
            await anyio.to_thread.run_sync(book.close)
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
            raise CommandRefused("{flag}: only an import is checked by itself", flag=setting("check"))
        job.only_checks = True
        await job.check()
        await caution_unended(job, screen)
        result = CheckResult(name)
        with waiting(lambda: _counted(result, job.rows_seen), lambda: bytes_read(order.rows.file)):
            await check_input(job, result, target, order.rows.sheet)
    code = Exit.DONE if result.is_good else Exit.REFUSED
    screen.result(check_screen(result), good=result.is_good)
    if screen.voice.as_json:
        error = None if result.is_good else str(result.verdict)
        screen.emit({**check_object(result), "exit": int(code), "error": error})
    return code


def _counted(result: CheckResult, seen: int) -> Said:
    if not result.rows:
        return seen_rows(seen, result.file)
    return counted("checking {source}: {n} row", "checking {source}: {n} rows", result.rows, source=result.file)


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
