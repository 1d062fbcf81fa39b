"""Rows out of Firebird, and the lists of a plan, of a verification and of an undo.

The lists are of the same CSV file of opening balances, over a mock billing's database, beside reading and saving the
same rows, which asks the billing nothing. Nothing is sent: an earlier run's answers are written into the journal, and
its operations into the database. What looks up is a process of its own, `python -m benchmarks.lists FOLDER WORK…`,
which prints its figures as JSON.
"""

import gc
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from benchmarks.page import Part, Size, ratio, shown
from benchmarks.rig import DATABASE, SELECT, peak_kib, populated, processor_of_children, scratch, timed
from benchmarks.senders import AMOUNT, NOWHERE, OPENING, Entering, Ids, on_uvloop, quietly, ready, save_list
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.database.file_database import open_file_database
from billing.money import scaled
from checkpoints.journal import Journal, earlier_runs, open_journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from engine.job import Job
from engine.pipeline.verifier import verify
from jobs.access.gateway import Gateway
from jobs.access.payload import ACCOUNT, payload_of
from jobs.accounts import compare_balances
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.job import build
from jobs.rows.input import Input, select_source
from jobs.spec.entries import with_mark
from jobs.spec.spec import parameters_of
from jobs.spec.words import RUN
from jobs.undo import build_undo
from lab.mock.connection import MockConnection
from lab.mock.population import insert_statement
from tools.markdown import table

# ---- rows out of Firebird -----------------------------------------------------------------------------------------

_TYPED: Final = "select id, '50.50' as amount from abonents where is_folder = 0 and deleted = 0"
"""A typical operator's select; the jobs' source finds that it can be read along its key."""


def intake(size: Size) -> Part:
    fetched, frozen = [], []

    async def freeze() -> float:
        async with ready(NOWHERE, source) as work:
            return work.freezing

    with scratch() as folder:
        populated(folder / DATABASE, (100_000, 20_000, 500)[size])
        with Database(Dsn(str(folder / DATABASE))) as database:
            source = select_source(database, _TYPED, {})
            if source.is_read_whole:
                raise RuntimeError("the select is read at once, not along its key: figures would be of another way")
            for _ in range((3, 2, 1)[size]):
                began = time.perf_counter()
                rows = sum(len(page.rows) for page in source.pages(None))
                fetched.append(rows / (time.perf_counter() - began))
                frozen.append(rows / on_uvloop(freeze))
    lines = [["fetched, page by page", shown(fetched), ""]]
    lines.append(["frozen in the journal", shown(frozen), ratio(frozen, fetched)])
    return [table(["rows out of Firebird", "rows/s", "ratio"], lines)]


# ---- the lists ----------------------------------------------------------------------------------------------------

_TOLD: Final = {
    "read": "read from the file",
    "selected": "read from Firebird, ids alone",
    "save": "saved in the journal",
    "both": "read and saved",
    "plan": "planned",
    "enter": "",
    "verify": "verified",
    "undo": "listed by an undo",
}
"""What is measured, by its method of `_Works`, in this order, with its name in the table; the run is only entered."""


class Figures(msgspec.Struct):
    """What a measured process says: its rows, and what they took it and its keeper of the database."""

    rows: int
    seconds: float
    processor: float
    keeper: float
    peak_kib: int


def listing(size: Size) -> Part:
    planned, sent = ((200_000, 120_000), (10_000, 10_000), (300, 300))[size]
    with scratch() as folder:
        template = folder / "template.fdb"
        ids = populated(template, planned)
        whole = small = _measured(folder / "whole", template, ids, sent)
        if size is not Size.SMOKE:
            small = _measured(folder / "part", template, ids[: planned // 10], sent // 10)
    lines = []
    for kind, one in whole.items():
        to_bare = (whole["both"].seconds / whole["both"].rows) / (one.seconds / one.rows)
        own, keeper = (round(seconds / one.rows * 1e6) for seconds in (one.processor, one.keeper))
        cells = [f"{one.rows:,}", f"{one.rows / one.seconds:,.0f}", f"{to_bare:.2f}", f"{own:,}"]
        peaks = [f"{peak / 1024:,.0f} MiB" for peak in (one.peak_kib, small[kind].peak_kib)]
        lines.append([_TOLD[kind], *cells, f"{keeper:,}" if keeper else "", *peaks])
    header = ("opening balances", "rows", "rows/s", "of reading and saving", "processor, µs a row")
    return [table((*header, "the database's", "peak memory", "for a tenth"), lines)]


def _measured(folder: Path, template: Path, ids: Sequence[int], sent: int) -> dict[str, Figures]:
    """All kinds, one after the other; the run is entered before it is verified."""
    folder.mkdir()
    shutil.copy(template, folder / DATABASE)
    for name, keys in (("planned", ids), ("sent", ids[:sent])):
        lines = ["abonent_id;amount\n", *(f"{key};{AMOUNT}\n" for key in keys)]
        (folder / f"{name}.csv").write_text("".join(lines), encoding="utf-8")
    found: dict[str, Figures] = {}
    for kind in _TOLD:
        said = timed([sys.executable, "-m", "benchmarks.lists", str(folder), kind]).said
        found[kind] = msgspec.json.decode(said, type=Figures)
    del found["enter"]
    return found


# ---- a measured process -------------------------------------------------------------------------------------------

_JOB: Final = JOBS["balances"]


@dataclass(frozen=True, slots=True)
class _Works:
    """The works, in a folder with the billing and the measured processes' journals; each gives its rows."""

    folder: Path
    gateway: Gateway
    stack: AsyncExitStack

    async def journal(self, name: str = "journal") -> Journal:
        return await self.stack.enter_async_context(open_journal(self.folder / name))

    def job(self, file: str) -> Job:
        return build(_JOB, self.gateway, parameters_of(_JOB, {}), Input(file=str(self.folder / f"{file}.csv")))

    async def saved(self, job: Job, name: str, *, earlier: Journal | None = None) -> int:
        journal = await self.journal(name)
        run, _ = await save_list(job, journal, earlier=earlier)
        return (await journal.totals(run)).count(State.PENDING)

    async def read(self) -> int:
        source = self.job("planned").source
        return await anyio.to_thread.run_sync(lambda: sum(len(page.rows) for page in source.pages(None)))

    async def selected(self) -> int:
        return await self.gateway.read(lambda database: sum(1 for _ in database.query(SELECT)))

    async def save(self) -> int:
        return await self.saved(Entering(self.gateway.client, Ids(range(1, await self.read() + 1))), "saved")

    async def both(self) -> int:
        return await self.saved(Entering(self.gateway.client, self.job("planned").source), "bare")

    async def plan(self) -> int:
        earlier = await self.stack.enter_async_context(earlier_runs((await self.journal("bare")).path))
        return await self.saved(self.job("planned"), "plans", earlier=earlier)

    async def enter(self) -> int:
        """Enter the operations, each of which sets the balance of its account, as type 8 is assumed to."""
        journal = await self.journal()
        recorded = {**parameters_of(_JOB, {}), **Input(file=str(self.folder / "sent.csv")).to_parameters()}
        run, _ = await save_list(self.job("sent"), journal, recorded=recorded)
        await journal.approve(run)
        dsn = Dsn(str(self.folder / DATABASE))
        with Database(dsn) as database:
            ((first,),) = database.query("select max(op_id) from finance_operations")

        def set_balances(page: Sequence[Item]) -> None:
            with closing(MockConnection(dsn)) as connection:
                for item in page:
                    summa, mark = scaled(item.amount or Decimal(0)), with_mark("", run.name, item.number)
                    subscriber = payload_of(item).abonent
                    operation = (first + item.number, subscriber, OPENING, summa, datetime.now(UTC), mark)
                    connection.execute(insert_statement("finance_operations"), operation)
                    account = int(item.lane.removeprefix(ACCOUNT))
                    connection.run("balance_sets", summa=summa, account=account)
                connection.commit()

        async for page in journal.each_page(run, {State.PENDING}):
            await journal.claim(run, [item.item_id for item in page])
            accepted = [Change(item.item_id, State.ACCEPTED, str(first + item.number)) for item in page]
            await journal.record(run, accepted)
            await anyio.to_thread.run_sync(set_balances, page)
        return (await journal.totals(run)).count(State.ACCEPTED)

    async def verify(self) -> int:
        journal = await self.journal()
        run = await self.sent(journal)
        verdict = await verify(run, self.job("sent"), journal, lambda _item, _reading: None)
        balances = await compare_balances(run, self.gateway, journal, lambda _: None)
        # Of two subscribers of one account the balance is that of the last.
        if verdict.different or balances.different > balances.compared // 10:
            raise RuntimeError(f"{verdict.different} rows and {balances.different} balances differ: no figure")
        return verdict.as_wanted

    async def undo(self) -> int:
        journal = await self.journal()
        how = {RUN: (await self.sent(journal)).name, "way": "opposite", "type_8": "sets"}
        undo, _ = await save_list(await build_undo(self.gateway, journal, how, BUILT_IN), journal, recorded=how)
        totals = await journal.totals(undo)
        if totals.count(State.PENDING) < totals.frozen * 9 // 10:
            raise RuntimeError("the undo would take little back: its figure would mean nothing")
        return totals.frozen

    async def sent(self, journal: Journal) -> Run:
        return next(run for run in await journal.runs() if run.job == _JOB.name)


async def _main(folder: Path, kind: str) -> Figures:
    async with AsyncExitStack() as stack:
        database = open_file_database(Dsn(str(folder / DATABASE)))
        stack.callback(database.close)
        client = await stack.enter_async_context(BillingClient(ClientSettings(NOWHERE)))
        began, used = time.perf_counter(), time.process_time()
        rows = await getattr(_Works(folder, Gateway(client, database), stack), kind)()
        seconds, processor = time.perf_counter() - began, time.process_time() - used
    if not rows:
        raise RuntimeError(f"{kind}: no row was worked on, so its figure would mean nothing")
    # The process that reads the database has ended by now.
    return Figures(rows, seconds, processor, processor_of_children(), await anyio.to_thread.run_sync(peak_kib))


if __name__ == "__main__":
    quietly()
    # As `cli.main` does once a command is imported.
    gc.freeze()
    gc.set_threshold(10_000)
    print(msgspec.json.encode(on_uvloop(_main, Path(sys.argv[1]), sys.argv[2])).decode())
