"""Rows a second of a plan's list and of an undo's list, beside reading and saving the same rows.

All from the same CSV file of opening balances, over a mock billing's database. Reading and saving alone asks the
billing nothing; a plan looks up each subscriber, its balance and its operations; an undo looks up each operation of
an earlier run, and the balance that it left. Nothing is sent: the earlier run's answers are written into the journal,
and its operations into the database.
"""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread

from benchmarks.entering import AMOUNT, NOWHERE, OPENING, Entering, on_uvloop, save_list
from benchmarks.figures import Part, Size, Spread, table
from benchmarks.rig import populated
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
from engine.pipeline.intake import Rehearsal, Repeat
from jobs.access.gateway import Gateway
from jobs.access.payload import ACCOUNT, payload_of
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.entries import with_mark
from jobs.spec.spec import parameters_of
from jobs.spec.undo_words import RUN
from jobs.undo import build_undo
from lab.mock.connection import MockConnection

SUBSCRIBERS: Final = Size(60_000, quick=10_000, smoke=300)
ROUNDS: Final = Size(3, quick=2, smoke=1)
HEADER: Final = ("list of opening balances", "rows", "rows/s", "to reading and saving")

_JOB: Final = JOBS["balances"]
_sql: Final = partial(sql_block, folder="lab.mock.sql")
_OPPOSITE: Final = {"way": "opposite", "type_8": "adds"}


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds for the list of each kind."""

    bare: float
    plan: float
    undo: float


def measure(size: str) -> Part:
    """The table: each kind once a round, with ratios for each round."""
    took = []
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        template, rows = Path(folder) / "template.fdb", Path(folder) / "balances.csv"
        ids = populated(template, int(SUBSCRIBERS.of(size)))
        rows.write_text("".join(["abonent_id;amount\n", *(f"{key};{AMOUNT}\n" for key in ids)]), encoding="utf-8")
        for number in range(int(ROUNDS.of(size))):
            place = Path(folder) / str(number)
            place.mkdir()
            shutil.copy(template, place / "billing.fdb")
            took.append(on_uvloop(_round, place, rows))
    bare = [one.bare for one in took]
    kinds = {
        "read and saved": bare,
        "of a plan": [one.plan for one in took],
        "of an undo": [one.undo for one in took],
    }
    return Part(table(HEADER, [_line(name, len(ids), seconds, bare) for name, seconds in kinds.items()]))


def _line(name: str, rows: int, seconds: Sequence[float], bare: Sequence[float]) -> list[str]:
    ratio = Spread.of([one / own for one, own in zip(bare, seconds, strict=True)])
    return [name, f"{rows:,}", Spread.of([rows / one for one in seconds]).shown(), ratio.shown(".2f")]


async def _round(place: Path, rows: Path) -> Took:
    """All three kinds, each into a journal of its own."""
    database = open_file_database(Dsn(str(place / "billing.fdb")))
    parameters = parameters_of(_JOB, {})
    recorded = {**parameters, **Input(file=str(rows)).to_parameters()}
    async with AsyncExitStack() as opened:
        opened.callback(database.close)
        client = await opened.enter_async_context(BillingClient(ClientSettings(NOWHERE)))
        bare, journal, plans = [
            await opened.enter_async_context(open_journal(place / name)) for name in ("bare", "journal", "plans")
        ]
        earlier = await opened.enter_async_context(earlier_runs(journal.path))
        gateway = Gateway(client, database)
        job = build(_JOB, gateway, parameters, Input(file=str(rows)))
        _, of_bare = await save_list(Entering(client, job.source), bare)
        _, of_plan = await save_list(Rehearsal(job, NOWHERE, earlier), plans, enter=Repeat.AGAIN)
        run, _ = await save_list(job, journal, recorded=recorded)
        await _accept(run, journal, database.dsn)
        how = {RUN: run.name, **_OPPOSITE}
        undo, of_undo = await save_list(await build_undo(gateway, journal, how, BUILT_IN), journal, recorded=how)
        if not (await journal.totals(undo)).count(State.PENDING):
            raise RuntimeError("the undo would take nothing back: its figure would mean nothing")
    return Took(of_bare, of_plan, of_undo)


async def _accept(run: Run, journal: Journal, dsn: Dsn) -> None:
    """Have each row of a run accepted, and its operation in the database."""
    await journal.approve(run)
    first = await anyio.to_thread.run_sync(_last_operation, dsn)
    async for page in journal.each_page(run, {State.PENDING}):
        await journal.claim(run, [item.item_id for item in page])
        changes = [Change(item.item_id, State.ACCEPTED, str(first + item.number)) for item in page]
        await journal.record(run, changes)
        await anyio.to_thread.run_sync(_enter, dsn, run.name, page, first)


def _last_operation(dsn: Dsn) -> int:
    with Database(dsn) as database:
        ((last,),) = database.query("select max(op_id) from finance_operations")
    return int(last)


def _enter(dsn: Dsn, run_name: str, page: Sequence[Item], first: int) -> None:
    """Enter the operations of a page, and add each to the balance of its account."""
    connection = MockConnection(dsn)
    try:
        for item in page:
            summa, mark = scaled(item.amount or Decimal(0)), with_mark("", run_name, item.number)
            operation = (first + item.number, payload_of(item).abonent, OPENING, summa, datetime.now(UTC), mark)
            connection.execute(_sql("population", "finance_operations").text, operation)
            account = int(item.lane.removeprefix(ACCOUNT))
            connection.run(_sql("rules", "balance_adds"), {"summa": summa, "account": account})
        connection.commit()
    finally:
        connection.close()
