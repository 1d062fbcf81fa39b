"""What a mock billing holds: its subscribers with all that belongs to them.

Read from the tables themselves, so it tells what is there, while the ledger tells what has been done.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from itertools import groupby
from typing import Final, NamedTuple

from billing.database.database import Database
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import sql_block
from lab.mock.values import roubles

_BELONGINGS: Final = ("accounts", "services", "attributes", "operations")


class HeldAccount(NamedTuple):
    """An account; texts that are not there are ""."""

    login: str
    mac: str


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
    streams = [_rows(database, block, after) for block in ("subscribers", *_BELONGINGS)]
    for key, group in groupby(merge(*streams, key=lambda row: row[0]), key=lambda row: row[0]):
        held: defaultdict[str, list[DatabaseRow]] = defaultdict(list)
        for _, block, row in group:
            held[block].append(row)
        for _, number, name, folder, tariff, operator, *money in held["subscribers"]:
            balance, limit, threshold = (None if value is None else roubles(int(value)) for value in money)
            yield HeldSubscriber(
                key,
                number,
                name,
                folder,
                tariff,
                operator,
                balance,
                limit,
                threshold,
                accounts=tuple(HeldAccount(login or "", (mac or "").rstrip()) for _, login, mac in held["accounts"]),
                services=tuple(service for _, service in held["services"]),
                attributes=tuple((attribute, value) for _, attribute, value in held["attributes"]),
                operations=tuple((kind, roubles(int(summa))) for _, kind, summa in held["operations"]),
            )


def folders(database: Database) -> dict[int, tuple[str, ...]]:
    """The folders that are there: the names of those around each, from the top, and its own."""
    rows = {key: (parent, name or "") for _, _, (key, parent, name) in _rows(database, "folders")}
    return {key: tuple(_names(rows, key)) for key in rows}


def orphans(database: Database) -> dict[str, int]:
    """The number of rows, by table, whose subscriber or folder is not there or is deleted; only tables with any."""
    return {table.strip(): count for _, _, (table, count) in _rows(database, "orphans") if count}


def _names(rows: Mapping[int, tuple[int | None, str]], key: int) -> Iterator[str]:
    parent, name = rows[key]
    if parent is not None and parent in rows:
        yield from _names(rows, parent)
    yield name


def _rows(database: Database, block: str, after: int = 0) -> Iterator[tuple[int, str, DatabaseRow]]:
    """The rows of a block with the subscriber that each is of, in the order of subscribers."""
    statement = sql_block("inventory", block, "lab.mock.sql")
    return ((row[0], block, row) for row in database.query(statement, {"after": after}))
