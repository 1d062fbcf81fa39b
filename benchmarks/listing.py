"""Rows a second of a plan's list, of a verification and of an undo's list, beside reading and saving the same rows.

All from the same CSV file of opening balances, over a mock billing's database. Reading and saving alone asks the
billing nothing; a plan looks up each subscriber, its balance and its operations; a verification reads each operation
and each balance back; an undo looks up each operation of an earlier run, and the balance that it left. Nothing is
sent: the earlier run's answers are written into the journal, and its operations into the database.

What looks up is a process of its own, `python -m benchmarks.listing FOLDER WORK…`, which prints its figures as JSON.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from benchmarks.entering import AMOUNT, NOWHERE, OPENING, Entering, Ids, on_uvloop, quietly, save_list
from benchmarks.figures import Part, Size, table
from benchmarks.machine import peak_kib, processor_of_family, timed
from benchmarks.rig import SELECT, populated
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.database.file_database import open_file_database
from billing.database.sql_blocks import sql_block
from billing.money import scaled
from checkpoints.earlier_runs import earlier_runs
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from engine.job import Job
from engine.pipeline.intake import Rehearsal, Repeat
from engine.pipeline.verifier import verify
from jobs.access.gateway import Gateway
from jobs.access.payload import ACCOUNT, payload_of
from jobs.account_balances import compare_balances
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.entries import with_mark
from jobs.spec.spec import parameters_of
from jobs.spec.undo_words import RUN
from jobs.undo import build_undo
from lab.mock.connection import MockConnection

PLANNED: Final = Size(200_000, quick=10_000, smoke=300)
SENT: Final = Size(120_000, quick=10_000, smoke=300)
"""Rows of a plan, and of a run that is verified and taken back."""
PART: Final = 10
"""The part of the rows beside which the memory for all of them is seen."""
HEADER: Final = (
    "opening balances",
    "rows",
    "rows/s",
    "of reading and saving",
    "processor, µs a row",
    "the database's",
    "peak memory",
    "for a tenth",
)

_JOB: Final = JOBS["balances"]
_sql: Final = partial(sql_block, folder="lab.mock.sql")
_OPPOSITE: Final = {"way": "opposite", "type_8": "sets"}
KINDS: Final = {
    "read": "read from the file",
    "selected": "read from Firebird, ids alone",
    "save": "saved in the journal",
    "both": "read and saved",
    "plan": "planned",
    "verify": "verified",
    "undo": "listed by an undo",
}
"""What is measured, and its name in the table."""


class Figures(msgspec.Struct):
    """What a measured process says: its rows, and what they took it and its keeper of the database."""

    rows: int
    seconds: float
    processor: float
    keeper: float
    peak_kib: int


def measure(size: str) -> Part:
    """The table: each kind for all rows, and its memory beside that for a tenth of them."""
    planned, sent = int(PLANNED.of(size)), int(SENT.of(size))
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        template = Path(name) / "template.fdb"
        ids = populated(template, planned)
        whole = small = _measured(Path(name) / "whole", template, ids, sent)
        if size != "smoke":
            small = _measured(Path(name) / "part", template, ids[: planned // PART], sent // PART)
    bare = whole["both"]
    lines = [_line(KINDS[kind], one, bare, small[kind]) for kind, one in whole.items()]
    return Part(table(HEADER, lines))


def _measured(folder: Path, template: Path, ids: Sequence[int], sent: int) -> dict[str, Figures]:
    """All kinds, one after the other; the run is entered before it is verified."""
    folder.mkdir()
    shutil.copy(template, folder / "billing.fdb")
    for name, keys in (("planned", ids), ("sent", ids[:sent])):
        lines = ["abonent_id;amount\n", *(f"{key};{AMOUNT}\n" for key in keys)]
        (folder / f"{name}.csv").write_text("".join(lines), encoding="utf-8")
    found: dict[str, Figures] = {}
    for kinds in (("read", "selected", "save", "both"), ("plan",), ("enter",), ("verify",), ("undo",)):
        said = timed([sys.executable, "-m", "benchmarks.listing", str(folder), *kinds]).said
        found |= msgspec.json.decode(said, type=dict[str, Figures])
    del found["enter"]
    return found


def _line(name: str, one: Figures, bare: Figures, small: Figures) -> list[str]:
    each, of_bare = one.seconds / one.rows, bare.seconds / bare.rows
    return [
        name,
        f"{one.rows:,}",
        f"{1 / each:,.0f}",
        f"{of_bare / each:.2f}",
        f"{one.processor / one.rows * 1e6:,.0f}",
        f"{one.keeper / one.rows * 1e6:,.0f}" if one.keeper else "",
        f"{one.peak_kib / 1024:,.0f} MiB",
        f"{small.peak_kib / 1024:,.0f} MiB",
    ]


# ---- a measured process -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """The folder of the measured processes, with the billing and this process's journals."""

    folder: Path
    gateway: Gateway
    stack: AsyncExitStack

    async def journal(self, name: str) -> Journal:
        """A journal by its name."""
        return await self.stack.enter_async_context(open_journal(self.folder / name))

    def job(self, name: str) -> Job:
        """The job over a file of opening balances."""
        return build(_JOB, self.gateway, parameters_of(_JOB, {}), self.rows(name))

    def rows(self, name: str) -> Input:
        """A file of opening balances."""
        return Input(file=str(self.folder / f"{name}.csv"))

    async def run(self, journal: Journal) -> Run:
        """The run that was sent."""
        return next(run for run in await journal.runs() if run.job == _JOB.name)


@asynccontextmanager
async def _a_place(folder: Path) -> AsyncIterator[_Place]:
    database = open_file_database(Dsn(str(folder / "billing.fdb")))
    async with AsyncExitStack() as stack:
        stack.callback(database.close)
        client = await stack.enter_async_context(BillingClient(ClientSettings(NOWHERE)))
        yield _Place(folder, Gateway(client, database), stack)


async def _read(place: _Place) -> int:
    job = place.job("planned")
    return await anyio.to_thread.run_sync(lambda: sum(len(page.rows) for page in job.source.pages(None)))


async def _selected(place: _Place) -> int:
    return await place.gateway.read(lambda database: sum(1 for _ in database.query(SELECT)))


async def _save(place: _Place) -> int:
    rows = sum(len(page.rows) for page in place.job("planned").source.pages(None))
    return await _saved(Entering(place.gateway.client, Ids(range(1, rows + 1))), await place.journal("saved"))


async def _both(place: _Place) -> int:
    return await _saved(Entering(place.gateway.client, place.job("planned").source), await place.journal("bare"))


async def _plan(place: _Place) -> int:
    earlier = await place.stack.enter_async_context(earlier_runs((await place.journal("bare")).path))
    rehearsal = Rehearsal(place.job("planned"), NOWHERE, earlier)
    return await _saved(rehearsal, await place.journal("plans"), enter=Repeat.AGAIN)


async def _enter(place: _Place) -> int:
    journal = await place.journal("journal")
    recorded = {**parameters_of(_JOB, {}), **place.rows("sent").to_parameters()}
    run, _ = await save_list(place.job("sent"), journal, recorded=recorded)
    dsn = Dsn(str(place.folder / "billing.fdb"))
    await journal.approve(run)
    first = await anyio.to_thread.run_sync(_last_operation, dsn)
    async for page in journal.each_page(run, {State.PENDING}):
        await journal.claim(run, [item.item_id for item in page])
        changes = [Change(item.item_id, State.ACCEPTED, str(first + item.number)) for item in page]
        await journal.record(run, changes)
        await anyio.to_thread.run_sync(_set_balances, dsn, run.name, page, first)
    return (await journal.totals(run)).count(State.ACCEPTED)


async def _verify(place: _Place) -> int:
    journal = await place.journal("journal")
    run = await place.run(journal)
    verdict = await verify(run, place.job("sent"), journal, lambda _item, _reading: None)
    balances = await compare_balances(run, place.gateway, journal, lambda _: None)
    # Of two subscribers of one account the balance is that of the last.
    if verdict.different or balances.different > balances.accounts // 10:
        raise RuntimeError(f"{verdict.different} rows and {balances.different} balances differ: no figure")
    return verdict.as_wanted


async def _undo(place: _Place) -> int:
    journal = await place.journal("journal")
    how = {RUN: (await place.run(journal)).name, **_OPPOSITE}
    undo, _ = await save_list(await build_undo(place.gateway, journal, how, BUILT_IN), journal, recorded=how)
    totals = await journal.totals(undo)
    if totals.count(State.PENDING) < totals.frozen * 9 // 10:
        raise RuntimeError("the undo would take little back: its figure would mean nothing")
    return totals.frozen


_WORKS: Final = {
    "read": _read,
    "selected": _selected,
    "save": _save,
    "both": _both,
    "plan": _plan,
    "enter": _enter,
    "verify": _verify,
    "undo": _undo,
}


async def _saved(job: Job, journal: Journal, *, enter: Repeat = Repeat.ONCE) -> int:
    run, _ = await save_list(job, journal, enter=enter)
    return (await journal.totals(run)).count(State.PENDING)


def _last_operation(dsn: Dsn) -> int:
    with Database(dsn) as database:
        ((last,),) = database.query("select max(op_id) from finance_operations")
    return int(last)


def _set_balances(dsn: Dsn, run_name: str, page: Sequence[Item], first: int) -> None:
    """Enter the operations of a page, each of which sets the balance of its account, as type 8 is assumed to."""
    connection = MockConnection(dsn)
    try:
        for item in page:
            summa, mark = scaled(item.amount or Decimal(0)), with_mark("", run_name, item.number)
            operation = (first + item.number, payload_of(item).abonent, OPENING, summa, datetime.now(UTC), mark)
            connection.execute(_sql("population", "finance_operations").text, operation)
            account = int(item.lane.removeprefix(ACCOUNT))
            connection.run(_sql("rules", "balance_sets"), {"summa": summa, "account": account})
        connection.commit()
    finally:
        connection.close()


async def _main(folder: Path, *kinds: str) -> dict[str, Figures]:
    return {kind: await _figures(kind, folder) for kind in kinds}


async def _figures(kind: str, folder: Path) -> Figures:
    async with _a_place(folder) as place:
        began, own, both = time.perf_counter(), time.process_time(), processor_of_family(os.getpid())
        rows = await _WORKS[kind](place)
        seconds, processor = time.perf_counter() - began, time.process_time() - own
        keeper = max(processor_of_family(os.getpid()) - both - processor, 0)
        if not rows:
            raise RuntimeError(f"{kind}: no row was worked on, so its figure would mean nothing")
        return Figures(rows, seconds, processor, keeper, await anyio.to_thread.run_sync(peak_kib))


if __name__ == "__main__":
    quietly()
    print(msgspec.json.encode(on_uvloop(_main, Path(sys.argv[1]), *sys.argv[2:])).decode())
