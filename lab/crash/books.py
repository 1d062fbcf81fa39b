"""The books of an experiment: the final state of journal and billing, read for the verdict."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import sql_block
from checkpoints.journal import open_journal
from checkpoints.records import Item
from checkpoints.states import State
from jobs.access.payload import payload_of
from jobs.imports.subscriber import Step
from lab.crash.import_table import RequestedImport, folder_key, live_content, money_text, step_key
from lab.crash.judge import BookRow, Books, Effect, Group
from lab.crash.load import RequestedLoad
from lab.crash.observer import Observer
from lab.crash.plan import ExperimentPlan
from lab.crash.proxy import WRONG
from lab.crash.stranger import NAME, change
from lab.crash.trials import OPERATIONS, TRIALS, By, Trial, Wanted, fields_now, sql
from lab.mock.connection import MockConnection
from lab.mock.facts import OPENING_BALANCE
from lab.mock.values import roubles
from texts.said import said

_MARK: Final = re.compile(r"\[cm ([a-z0-9]+)/([0-9]+)\]")
"""The mark of run and row in a comment, as the documentation has it."""


async def read_books(
    plan: ExperimentPlan, requested: RequestedLoad, observer: Observer, billing: Path, run: str, verified: int
) -> Books:
    """The books of a finished experiment; no process may work on journal or billing any more."""
    async with open_journal(observer.path) as journal:
        known = await journal.run(run)
        items = [item async for page in journal.each_page(known, frozenset(State)) for item in page]
        refused = after = 0
        while page := await journal.refusals(known, after=after):
            refused, after = refused + len(page), page[-1][0]
        totals = await journal.totals(known)
    books = Books(
        run=run,
        model="",
        once=True,
        requested=requested.wanted,
        rows=(),
        effects=(),
        steps=observer.steps(),
        verified=verified,
        touched=observer.touched,
    )
    if requested.imported is not None:
        return await anyio.to_thread.run_sync(_of_import, books, requested.imported, billing, items, refused)
    trial = plan.own or TRIALS[plan.job]
    effects, entered, ends = await anyio.to_thread.run_sync(_ledger, trial, requested, billing)
    # The values that the billing has generated, from the job's own file; the first column is the key.
    made_up: Mapping[str, str] = {}
    if trial.file and (path := billing.with_name(trial.file)).exists():
        lines = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";")
        made_up = {trial.key(cells[0]): cells[-1] for cells in lines}
    rows = []
    for item in items:
        wanted = requested.wanted.get(item.key, "") if item.amount is None else item.amount
        row = _row(item, requested.objects.get(item.key, 0), made_up.get(item.key, wanted))
        rows.append(replace(row, unproven=item.unproven and item.state.in_effect))
    return replace(
        books,
        model=trial.model,
        once=trial.once,
        rows=rows,
        effects=effects,
        frozen=totals.frozen,
        sum=totals.amount,
        entered=entered,
        ends=ends,
        marked=trial.by is By.MARK,
        may_ask=trial.may_ask,
        unreadable=trial.unreadable,
        other_balances=plan.other_balances,
        forgotten=observer.forgotten,
        others=observer.others,
        racing=observer.racing,
        misled=plan.proxy is not None and not WRONG.keys().isdisjoint(plan.proxy.shares),
    )


def _row(item: Item, subject: object, wanted: Wanted) -> BookRow:
    return BookRow(item.number, item.key, subject, wanted, item.state, item.attempts, item.unproven)


def strangers_have(billing: Path) -> int:
    """How many objects of strangers stand; those of their subscribers are removed, for all else to be compared."""
    with Database(Dsn(str(billing))) as database:
        ((found,),) = database.query(sql("stranger_has"), {"name": NAME})
    change(str(billing), [("stranger_leaves_users", {}), ("stranger_leaves_abonents", {})])
    return int(found)


def _ledger(
    trial: Trial, requested: RequestedLoad, billing: Path
) -> tuple[list[Effect], tuple[int, Decimal] | None, dict[str, Wanted | None]]:
    with Database(Dsn(str(billing))) as database:
        effects = list(_effects(database, trial))
        entered = None
        # Counted and summed in the table of the billing too, where it creates some.
        if trial.model == OPERATIONS and trial.sets is None:
            ((count, scaled),) = database.query(sql("entered_operations"), {"before": requested.last})
            entered = count, roubles(scaled)
    found: dict[str, object] = {}
    if trial.ends or trial.sets is not None:
        with closing(MockConnection(Dsn(str(billing)))) as connection:
            found = fields_now(trial, connection)
    ends: dict[str, Wanted | None] = {}
    for key, value in found.items():
        is_nothing = value is None or (trial.amount and value == "")
        ends[trial.key(key)] = None if is_nothing else Decimal(str(value)) if trial.amount else str(value)
    return effects, entered, ends


def _effects(database: Database, trial: Trial) -> Iterator[Effect]:
    for model, request, subject, key, what in database.query(sql("effects")):
        written = msgspec.json.decode(what, type=dict[str, object])
        text = str(written.get("descr") or written.get("comment") or "")
        marks = _MARK.findall(text)
        mark = (marks[-1][0], int(marks[-1][1])) if marks else None
        value = written.get(trial.amount or trial.entered)
        entered: Wanted | None = None
        if isinstance(value, str | int | float):
            if trial.kind and written.get("op_type_id") != trial.kind:
                entered = said("{value} as type {type}", value=str(value), type=str(written.get("op_type_id")))
            elif trial.amount:
                entered = Decimal(str(value))
            else:
                entered = str(int(value) if isinstance(value, bool) else value)
        yield Effect(model, request, key if trial.by is By.OBJECT else subject, entered, mark)


# ---- imports ----------------------------------------------------------------------------------------------------


def _of_import(books: Books, requested: RequestedImport, billing: Path, items: Sequence[Item], refused: int) -> Books:
    rows = []
    for item in items:
        payload, row = payload_of(item), _row(item, item.key, str(books.requested.get(item.key, "")))
        rows.append(replace(row, step=payload.step, needs=payload.needs, message=item.message or ""))
    with Database(Dsn(str(billing))) as database:
        held, totals = _held(database, requested.last)
        orphans = {table.strip(): count for table, count in _inventory(database, "orphans") if count}
    touched = {key.partition("/")[0]: one for key, one in books.touched.items()}
    books = replace(books, rows=rows, effects=held, touched=touched, imported=requested)
    return replace(books, refused=refused, totals=totals, orphans=orphans)


def read_undone(billing: Path, requested: RequestedImport) -> tuple[list[Effect], list[str]]:
    """What is left after an undo of the import, and the tables that differ; the billing is stopped."""
    with Database(Dsn(str(billing))) as database:
        held, _ = _held(database, requested.last)
        content = live_content(database)
    return held, [name for name, digest in content.items() if digest != requested.content[name]]


def _inventory(database: Database, block: str, after: int = 0) -> Iterator[DatabaseRow]:
    return database.query(sql_block("inventory", block, "lab.mock.sql"), {"after": after})


def _held(database: Database, last: int) -> tuple[list[Effect], dict[Group, tuple[int, Decimal]]]:
    """What new subscribers and folders have, those with an id above `last`, by the keys of the steps of an import.

    And the counts and sums of these subscribers by folder and tariff. Read from the tables themselves: the ledger
    tells what has been done, and not what is there.
    """
    held: list[tuple[str, str]] = []
    folders = {key: (parent, name or "") for key, parent, name in _inventory(database, "folders")}

    def path(folder: int | None) -> tuple[str, ...]:
        """The names of the folders from the top to this one."""
        parent, name = folders.get(folder or 0, (None, ""))
        return (*path(parent), name) if folder in folders else ()

    held += [(folder_key(path(key)), "") for key in folders if key > last]
    numbers: dict[int, str] = {}
    balances: defaultdict[Group, list[Decimal]] = defaultdict(list)
    for key, number, name, folder, tariff, operator, *money in _inventory(database, "subscribers", last):
        numbers[key], where = number or "", "/".join(path(folder))
        balance, limit, threshold = (None if value is None else roubles(int(value)) for value in money)
        held.append((step_key(numbers[key], Step.SUBSCRIBER), f"{name}; {where}; {operator}"))
        if tariff is not None:
            held.append((step_key(numbers[key], Step.TARIFF), str(tariff)))
        for step, amount in ((Step.THRESHOLD, threshold), (Step.LIMIT, limit)):
            if amount is not None:
                held.append((step_key(numbers[key], step), money_text(amount)))
        for group in (("folder", where), ("tariff", str(tariff or ""))):
            balances[group].append(balance or Decimal(0))
    for block in ("accounts", "services", "attributes", "operations"):
        # What is there twice has two rows.
        for owner, of, *value in _inventory(database, block, last):
            if (own := numbers.get(owner)) is None:
                continue
            match block:
                case "accounts":
                    thing = step_key(own, Step.ACCOUNT, of or ""), (value[0] or "").rstrip()
                case "services":
                    thing = step_key(own, Step.SERVICE, of), str(of)
                case "attributes":
                    thing = step_key(own, Step.ATTRIBUTE, of), value[0]
                case _:
                    key = step_key(own, Step.BALANCE) if of == OPENING_BALANCE else step_key(own, "operation", of)
                    thing = key, money_text(roubles(int(value[0])))
            held.append(thing)
    totals = {group: (len(sums), sum(sums, Decimal(0))) for group, sums in balances.items()}
    return [Effect("", 0, key, value) for key, value in held], totals
