"""The books of an import: what its journal says, and what the billing holds, read for the verdict."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import anyio.to_thread

from billing.database.database import Database
from billing.database.dsn import Dsn
from checkpoints.journal import open_journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from jobs.access.payload import payload_of
from jobs.imports.subscriber import Step
from jobs.spec.parameters import row_key
from lab.crash.import_judge import Group, GroupTotal, Held, ImportBooks, ImportItem, UndoneImport
from lab.crash.import_table import RequestedImport, folder_key, money_text, step_key
from lab.crash.trials import sql
from lab.mock.facts import OPENING_BALANCE
from lab.mock.inventory import HeldSubscriber, folders, orphans, subscribers

_LIVE: Final = ("abonents", "users", "users_usluga", "attribute_values", "admin_accounts", "finance_operations")
"""The tables that an import changes; of each what is live is compared."""


def live_content(database: Database) -> dict[str, str]:
    """A digest of what is live in each table; what belongs to a deleted subscriber is not."""
    found: dict[str, str] = {}
    for table in _LIVE:
        digest = hashlib.sha256()
        for row in database.query(sql(f"live_{table}").text):
            digest.update(repr(row).encode())
        found[table] = digest.hexdigest()
    return found


async def read_import(  # noqa: PLR0913 - one for each part of the evidence
    journal: Path,
    run: str,
    billing: Path,
    requested: RequestedImport,
    *,
    steps: Counter[tuple[str, str]],
    verified: int,
    touched: frozenset[str] = frozenset(),
) -> ImportBooks:
    """The books of an import that has come to its end; no process may work on journal or billing any more."""
    items, refused = await _journal(journal, run)
    held, totals, without = await anyio.to_thread.run_sync(_billing, billing, requested.last)
    return ImportBooks(
        subscribers=requested.subscribers,
        folders=requested.folders,
        faulty=requested.faulty,
        refused=refused,
        items=items,
        held=held,
        totals=totals,
        orphans=without,
        steps=steps,
        verified=verified,
        refusals=requested.refusals,
        touched=touched,
    )


async def read_undone(billing: Path, requested: RequestedImport, ended: int) -> UndoneImport:
    """What is left after an undo of the import that ended with an exit code; the billing is stopped."""
    held, content = await anyio.to_thread.run_sync(_left, billing, requested.last)
    changed = tuple(table for table, digest in content.items() if digest != requested.content[table])
    return UndoneImport(ended, held, changed)


def _billing(billing: Path, last: int) -> tuple[Held, dict[Group, GroupTotal], dict[str, int]]:
    with Database(Dsn(str(billing))) as database:
        return held_things(database, last), held_totals(database, last), orphans(database)


def _left(billing: Path, last: int) -> tuple[Held, dict[str, str]]:
    with Database(Dsn(str(billing))) as database:
        return held_things(database, last), live_content(database)


async def _journal(path: Path, name: str) -> tuple[list[ImportItem], int]:
    async with open_journal(path) as journal:
        run: Run = await journal.run(name)
        items = [_item(item) async for page in journal.each_page(run, frozenset(State)) for item in page]
        refused, after = 0, 0
        while page := await journal.refusals(run, after=after):
            refused, after = refused + len(page), page[-1][0]
        return items, refused


def _item(item: Item) -> ImportItem:
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
