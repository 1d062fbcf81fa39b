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
from checkpoints.journal import open_journal
from checkpoints.records import Item, Totals
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
from lab.mock.inventory import HeldSubscriber, folders, orphans, subscribers
from lab.mock.values import roubles
from texts.said import said

_MARK: Final = re.compile(r"\[cm ([a-z0-9]+)/([0-9]+)\]")
"""The mark of run and row in a comment, as the documentation has it."""


async def read_books(
    plan: ExperimentPlan, requested: RequestedLoad, observer: Observer, billing: Path, run: str, verified: int
) -> Books:
    """The books of a finished experiment; no process may work on journal or billing any more."""
    items, totals, refused = await _journal(observer.path, run)
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


async def _journal(path: Path, name: str) -> tuple[list[Item], Totals, int]:
    """All items of a run, its totals, and the number of lines that it has refused."""
    async with open_journal(path) as journal:
        run = await journal.run(name)
        items = [item async for page in journal.each_page(run, frozenset(State)) for item in page]
        refused, after = 0, 0
        while page := await journal.refusals(run, after=after):
            refused, after = refused + len(page), page[-1][0]
        return items, await journal.totals(run), refused


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
        without = orphans(database)
    touched = {key.partition("/")[0]: one for key, one in books.touched.items()}
    books = replace(books, rows=rows, effects=held, touched=touched, imported=requested)
    return replace(books, refused=refused, totals=totals, orphans=without)


def read_undone(billing: Path, requested: RequestedImport) -> tuple[list[Effect], list[str]]:
    """What is left after an undo of the import, and the tables that differ; the billing is stopped."""
    with Database(Dsn(str(billing))) as database:
        held, _ = _held(database, requested.last)
        content = live_content(database)
    return held, [name for name, digest in content.items() if digest != requested.content[name]]


def _held(database: Database, last: int) -> tuple[list[Effect], dict[Group, tuple[int, Decimal]]]:
    """What new subscribers and folders have, those with an id above `last`, by the keys of the steps of an import.

    And the counts and sums of these subscribers by folder and tariff.
    """
    names = folders(database)
    held = [(folder_key(path), "") for key, path in names.items() if key > last]
    balances: defaultdict[Group, list[Decimal]] = defaultdict(list)
    for one in subscribers(database, last):
        path = "/".join(names.get(one.folder or 0, ()))
        held += _things(one, path)
        for group in (("folder", path), ("tariff", str(one.tariff or ""))):
            balances[group].append(one.balance or Decimal(0))
    totals = {group: (len(sums), sum(sums, Decimal(0))) for group, sums in balances.items()}
    return [Effect("", 0, key, value) for key, value in held], totals


def _things(one: HeldSubscriber, path: str) -> Iterator[tuple[str, str]]:
    number = one.number or ""
    yield step_key(number, Step.SUBSCRIBER), f"{one.name}; {path}; {one.operator}"
    for account in one.accounts:
        yield step_key(number, Step.ACCOUNT, account.login), account.mac
    if one.tariff is not None:
        yield step_key(number, Step.TARIFF), str(one.tariff)
    for service in one.services:
        yield step_key(number, Step.SERVICE, service), str(service)
    for attribute, value in one.attributes:
        yield step_key(number, Step.ATTRIBUTE, attribute), value
    for step, amount in ((Step.THRESHOLD, one.threshold), (Step.LIMIT, one.limit)):
        if amount is not None:
            yield step_key(number, step), money_text(amount)
    for kind, amount in one.operations:
        is_balance = kind == OPENING_BALANCE
        yield (
            step_key(number, Step.BALANCE if is_balance else "operation", "" if is_balance else kind),
            money_text(amount),
        )
