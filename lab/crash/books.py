"""The books of an experiment: the final state of journal and billing, read for the verdict."""

import csv
import re
from collections import Counter, defaultdict
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
from jobs.access.payload import payload_of
from jobs.imports.subscriber import Step
from jobs.spec.parameters import row_key
from lab.crash.experiment_plan import ExperimentPlan
from lab.crash.import_table import RequestedImport, folder_key, live_content, money_text, step_key
from lab.crash.judge import (
    BookRow,
    Books,
    Group,
    GroupTotal,
    Held,
    ImportBooks,
    ImportItem,
    LedgerEffect,
    UndoneImport,
)
from lab.crash.load import RequestedLoad
from lab.crash.observer import Observer
from lab.crash.proxy import WRONG
from lab.crash.stranger import NAME
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
    trial = plan.own or TRIALS[plan.job]
    items, totals, _ = await _journal(observer.path, run)
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
        steps=observer.steps(),
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


async def _journal(path: Path, name: str) -> tuple[list[Item], Totals, int]:
    """All items of a run, its totals, and the number of lines that it has refused."""
    async with open_journal(path) as journal:
        run = await journal.run(name)
        items = [item async for page in journal.each_page(run, frozenset(State)) for item in page]
        refused, after = 0, 0
        while page := await journal.refusals(run, after=after):
            refused, after = refused + len(page), page[-1][0]
        return items, await journal.totals(run), refused


def _row(item: Item, requested: RequestedLoad, made_up: Mapping[str, str]) -> BookRow:
    wanted = requested.wanted.get(item.key, "") if item.amount is None else item.amount
    return BookRow(
        number=item.number,
        key=item.key,
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
        connection = MockConnection(Dsn(str(billing)))
        try:
            found = list(fields_now(trial.sets, connection).items())
        finally:
            connection.close()
    return effects, entered, {trial.key(key): _end(trial, value) for key, value in found}


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


# ---- imports ----------------------------------------------------------------------------------------------------


async def read_import(
    requested: RequestedImport, observer: Observer, billing: Path, run: str, verified: int
) -> ImportBooks:
    """The books of an import that has come to its end; no process may work on journal or billing any more."""
    items, _, refused = await _journal(observer.path, run)

    def there() -> tuple[Held, dict[Group, GroupTotal], dict[str, int]]:
        with Database(Dsn(str(billing))) as database:
            last = requested.last
            return held_things(database, last), held_totals(database, last), orphans(database)

    held, totals, without = await anyio.to_thread.run_sync(there)
    return ImportBooks(
        requested=requested,
        refused=refused,
        items=[_step(item) for item in items],
        held=held,
        totals=totals,
        orphans=without,
        steps=observer.steps(),
        verified=verified,
        touched=frozenset(key.partition("/")[0] for key in observer.touched),
    )


async def read_undone(billing: Path, requested: RequestedImport, ended: int) -> UndoneImport:
    """What is left after an undo of the import that ended with an exit code; the billing is stopped."""

    def left() -> tuple[Held, dict[str, str]]:
        with Database(Dsn(str(billing))) as database:
            return held_things(database, requested.last), live_content(database)

    held, content = await anyio.to_thread.run_sync(left)
    changed = tuple(table for table, digest in content.items() if digest != requested.content[table])
    return UndoneImport(ended, held, changed)


def _step(item: Item) -> ImportItem:
    payload = payload_of(item)
    return ImportItem(
        item.key, payload.step, item.state, item.attempts, payload.needs, item.message or "", item.unproven
    )


def held_things(database: Database, last: int) -> Held:
    """What new subscribers and folders have, those with an id above `last`, by the keys of the steps of an import."""
    found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    names = folders(database)
    for key, path in names.items():
        if key > last:
            found[folder_key(path)] += ("",)
    for one in subscribers(database, last):
        for step, value in _things(one, names):
            found[step] += (value,)
    return dict(found)


def held_totals(database: Database, last: int) -> dict[Group, GroupTotal]:
    """The counts and sums of new subscribers by folder and tariff."""
    names = folders(database)
    counts: Counter[Group] = Counter()
    sums: defaultdict[Group, Decimal] = defaultdict(Decimal)
    for one in subscribers(database, last):
        for group in (("folder", _path(one, names)), ("tariff", str(one.tariff or ""))):
            counts[group] += 1
            sums[group] += one.balance or 0
    return {group: GroupTotal(count, sums[group]) for group, count in counts.items()}


def _things(one: HeldSubscriber, names: Mapping[int, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    number = one.number or ""
    yield step_key(number, Step.SUBSCRIBER), f"{one.name}; {_path(one, names)}; {one.operator}"
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
        if kind == OPENING_BALANCE:
            yield step_key(number, Step.BALANCE), money_text(amount)
        else:
            yield row_key((number, "operation", str(kind))), money_text(amount)


def _path(one: HeldSubscriber, names: Mapping[int, tuple[str, ...]]) -> str:
    return "/".join(names.get(one.folder or 0, ()))
