"""The books of an experiment: the final state of journal and billing, read for the verdict."""

import csv
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from checkpoints.journal import open_journal
from checkpoints.records import Item, Totals
from checkpoints.states import State
from jobs.spec.chain import Template
from lab.crash.experiment_plan import ExperimentPlan
from lab.crash.fields import fields_now
from lab.crash.judge import BookRow, Books, LedgerEffect
from lab.crash.load import RequestedLoad
from lab.crash.observer import Observer
from lab.crash.proxy import WRONG
from lab.crash.stranger import NAME
from lab.crash.trials import OPERATIONS, TRIALS, By, Trial, Wanted, sql
from lab.mock.connection import MockConnection
from lab.mock.values import roubles
from texts.said import said

_MARK: Final = re.compile(r"\[cm ([a-z0-9]+)/([0-9]+)\]")
"""The mark of run and row in a comment, as the documentation has it."""


async def read_books(
    plan: ExperimentPlan, requested: RequestedLoad, observer: Observer, billing: Path, run: str, verified: int
) -> Books:
    """The books of a finished experiment; no process may work on journal or billing any more."""
    trial = plan.own or TRIALS[plan.job]
    steps = observer.steps()
    items, totals = await _journal(observer.path, run)
    effects, entered, ends = await anyio.to_thread.run_sync(_ledger, trial, requested, billing)
    made_up = await anyio.to_thread.run_sync(_generated_values, billing.parent, trial)
    return Books(
        run=run,
        model=trial.model,
        once=trial.once,
        requested=requested.wanted,
        rows=[_row(item, requested, made_up) for item in items],
        effects=effects,
        frozen=totals.frozen,
        sum=totals.amount,
        steps=steps,
        verified=verified,
        entered=entered,
        ends=ends,
        marked=trial.by is By.MARK,
        may_ask=trial.may_ask,
        unreadable=trial.unreadable,
        other_balances=plan.other_balances,
        forgotten=observer.forgotten,
        touched=observer.touched,
        others=observer.others,
        racing=observer.racing,
        misled=plan.proxy is not None and not WRONG.keys().isdisjoint(plan.proxy.shares),
    )


def strangers_have(billing: Path) -> int:
    """How many objects of strangers stand; those of their subscribers are removed, for all else to be compared."""
    connection = attach(Dsn(str(billing)))
    try:
        cursor = connection.cursor()
        cursor.execute(*sql("stranger_has").bind({"name": NAME}))
        ((found,),) = cursor.fetchall()
        for table in ("users", "abonents"):
            cursor.execute(*sql(f"stranger_leaves_{table}").bind({}))
        connection.commit()
    finally:
        connection.close()
    return int(found)


async def _journal(path: Path, name: str) -> tuple[list[Item], Totals]:
    async with open_journal(path) as journal:
        run = await journal.run(name)
        items = [item async for page in journal.each_page(run, frozenset(State)) for item in page]
        return items, await journal.totals(run)


def _row(item: Item, requested: RequestedLoad, made_up: Mapping[str, str]) -> BookRow:
    wanted = requested.wanted.get(item.key, "") if item.amount is None else item.amount
    return BookRow(
        number=item.number,
        key=item.key,
        label=item.label,
        subject=requested.objects.get(item.key, 0),
        wanted=made_up.get(item.key, wanted),
        state=item.state,
        attempts=item.attempts,
        unproven=item.unproven and item.state.in_effect,
    )


def _generated_values(folder: Path, trial: Trial) -> dict[str, str]:
    """The values that the billing has generated, by key, from the job's own file; the first column is the key."""
    if not trial.file or not (path := folder / trial.file).exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return {trial.key(cells[0]): cells[-1] for cells in csv.reader(stream, delimiter=";")}


def _ledger(
    trial: Trial, requested: RequestedLoad, billing: Path
) -> tuple[list[LedgerEffect], tuple[int, Decimal] | None, dict[str, Wanted | None]]:
    with Database(Dsn(str(billing))) as database:
        effects = list(_effects(database, trial))
        entered = None
        # Counted and summed in the table of the billing too, where it creates some.
        if trial.model == OPERATIONS and trial.sets is None:
            ((count, scaled),) = database.query(sql("entered_operations"), {"before": requested.last})
            entered = count, roubles(scaled)
        found = list(database.query(sql(trial.ends))) if trial.ends else []
    if trial.sets is not None:
        found = list(_fields_now(trial.sets, billing).items())
    return effects, entered, {trial.key(key): _end(trial, value) for key, value in found}


def _fields_now(chain: Template, billing: Path) -> Mapping[str, str]:
    connection = MockConnection(Dsn(str(billing)))
    try:
        return fields_now(chain, connection)
    finally:
        connection.close()


def _end(trial: Trial, value: object) -> Wanted | None:
    if value is None or (trial.amount and value == ""):
        return None
    return Decimal(str(value)) if trial.amount else str(value)


def _effects(database: Database, trial: Trial) -> Iterator[LedgerEffect]:
    for model, request, subject, key, what in database.query(sql("effects")):
        written = msgspec.json.decode(what, type=dict[str, object])
        text = str(written.get("descr") or written.get("comment") or "")
        of = key if trial.by is By.OBJECT else subject
        marks = _MARK.findall(text)
        mark = (marks[-1][0], int(marks[-1][1])) if marks else None
        yield LedgerEffect(model, request, of, _value(trial, written), mark)


def _value(trial: Trial, written: Mapping[str, object]) -> Wanted | None:
    value = written.get(trial.amount or trial.entered)
    if not isinstance(value, str | int | float):
        return None
    if trial.kind and written.get("op_type_id") != trial.kind:
        return said("{value} as type {type}", value=str(value), type=str(written.get("op_type_id")))
    return Decimal(str(value)) if trial.amount else str(int(value) if isinstance(value, bool) else value)
