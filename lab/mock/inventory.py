"""What a mock billing holds: its subscribers with all that belongs to them.

Read from the tables themselves, so it tells what is there, while the ledger tells what has been done.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias

from billing.database.database import Database
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import SqlStatement, sql_block
from lab.mock.facts import ValueType
from lab.mock.values import roubles, value_text

Belongings: TypeAlias = Callable[[int], list[DatabaseRow]]
"""The rows of a subscriber; asked for in the order of ids."""


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """An account; texts that are not there are ""."""

    login: str
    mac: str
    address: str
    pool: int | None


@dataclass(frozen=True, slots=True)
class HeldSubscriber:
    """A subscriber that is there, with its accounts, its services and attributes by id, and its money in roubles.

    `operations` are the finance operations that count, as type and sum. Each list has an entry for each row, so what
    is there twice stands there twice.
    """

    id: int
    number: str | None
    name: str | None
    folder: int | None
    tariff: int | None
    operator: int | None
    balance: Decimal | None
    limit: Decimal | None
    threshold: Decimal | None
    accounts: tuple[HeldAccount, ...]
    services: tuple[int, ...]
    attributes: tuple[tuple[int, str], ...]
    operations: tuple[tuple[int, Decimal], ...]


def subscribers(database: Database, after: int = 0) -> Iterator[HeldSubscriber]:
    """The subscribers with an id above `after`, in the order of their ids; memory holds one of them."""
    accounts, services = _of(database, "accounts", after), _of(database, "services", after)
    attributes, operations = _of(database, "attributes", after), _of(database, "operations", after)
    for key, number, name, folder, tariff, operator, *money in database.query(_sql("subscribers"), {"after": after}):
        balance, limit, threshold = (None if value is None else roubles(int(value)) for value in money)
        yield HeldSubscriber(
            id=key,
            number=number,
            name=name,
            folder=folder,
            tariff=tariff,
            operator=operator,
            balance=balance,
            limit=limit,
            threshold=threshold,
            accounts=tuple(_account(row) for row in accounts(key)),
            services=tuple(service for _, service in services(key)),
            attributes=tuple((attribute, value) for _, attribute, value in attributes(key)),
            operations=tuple((kind, roubles(int(summa))) for _, kind, summa in operations(key)),
        )


def folders(database: Database) -> dict[int, tuple[str, ...]]:
    """The folders that are there: the names of those around each, from the top, and its own."""
    rows = {key: (parent, name or "") for key, parent, name in database.query(_sql("folders"))}
    return {key: tuple(_names(rows, key)) for key in rows}


def orphans(database: Database) -> dict[str, int]:
    """The number of rows, by table, whose subscriber or folder is not there or is deleted; only tables with any."""
    return {table.strip(): count for table, count in database.query(_sql("orphans")) if count}


def _account(row: DatabaseRow) -> HeldAccount:
    _, login, mac, address, pool = row
    return HeldAccount(login or "", (mac or "").rstrip(), str(value_text(ValueType.ADDRESS, address)), pool)


def _names(rows: Mapping[int, tuple[int | None, str]], key: int) -> Iterator[str]:
    parent, name = rows[key]
    if parent is not None and parent in rows:
        yield from _names(rows, parent)
    yield name


def _of(database: Database, block: str, after: int) -> Belongings:
    """The rows of each subscriber, out of a result in the order of subscribers: read once, beside theirs."""
    groups = groupby(database.query(_sql(block), {"after": after}), key=itemgetter(0))
    waiting: list[tuple[int, list[DatabaseRow]]] = []

    def rows_of(subscriber: int) -> list[DatabaseRow]:
        while not waiting or waiting[0][0] < subscriber:
            waiting.clear()
            following = next(groups, None)
            if following is None:
                return _NOTHING
            waiting.append((following[0], list(following[1])))
        return waiting[0][1] if waiting[0][0] == subscriber else _NOTHING

    return rows_of


_NOTHING: Final[list[DatabaseRow]] = []


def _sql(name: str) -> SqlStatement:
    return sql_block("inventory", name, "lab.mock.sql")
