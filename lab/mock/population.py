"""The population of a new mock billing: its tables, filled with made-up subscribers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeAlias

from billing.database.database import attach, write_unforced
from billing.database.database import create as create_database
from billing.database.dsn import Dsn
from billing.database.reader import Connection, DatabaseRow, Prepared
from billing.database.schema import Schema
from billing.database.sql_blocks import Value, sql_block
from billing.errors import SettingsError
from lab.mock.facts import FACTS, SCALE
from lab.mock.people import (
    ATTRIBUTES,
    FIRST_ADDRESS,
    FOLDERS,
    MANAGERS,
    NAMED_SERVICES,
    NESTED,
    OPERATORS,
    OTHER_SERVICES,
    POOLS,
    PROMISED,
    SERVICES,
    TARIFFS,
    Columns,
    People,
    PopulationRows,
)

# ---- missing tables and columns of a mock billing, as in versions of the real one ---------------------------------


_COMPUTED: Final = frozenset({"OSTATOK", "DEBIT", "CREDIT"})
"""The columns that BALANCE of ADMIN_ACCOUNTS is computed from: it is dropped with any of them."""


def check_names(connection: Connection, names: Sequence[str]) -> None:
    """Raise `SettingsError` for a table or column that a new mock billing does not have."""
    for name in names:
        _named(connection, name)


def leave_out(connection: Connection, name: str) -> None:
    """Drop a table, or a column as `FINANCE_OPERATIONS.DESCR`, from a mock billing, with all that depends on it.

    Raises `SettingsError` where it does not exist, or is one of the mock's own.
    """
    table, column = _named(connection, name)
    if not column:
        _drop_references(connection, table)
        _execute(connection, f"drop table {table}")
        return
    if table == "ADMIN_ACCOUNTS" and column in _COMPUTED and _schema(connection).has(table, "BALANCE"):
        _execute(connection, f"alter table {table} drop balance")
    if (column,) in _rows(connection, "key_of", table=table):
        _drop_references(connection, table)
    for (constraint,) in _rows(connection, "constraints_on", table=table, column=column):
        _execute(connection, f"alter table {table} drop constraint {constraint}")
    for (index,) in _rows(connection, "indexes_on", table=table, column=column):
        _execute(connection, f"drop index {index}")
    _execute(connection, f'alter table {table} drop "{column}"')


def _named(connection: Connection, name: str) -> tuple[str, str]:
    """Table and column as Firebird spells them, the column "" for a table alone."""
    table, dot, column = name.strip().partition(".")
    table = table.upper()
    found = _schema(connection)
    column = column if found.has(table, column) else column.upper()
    if not found.has(table, column) or table.startswith("MOCK_") or (dot and not column):
        raise SettingsError(
            "{name}: the mock billing has no such table or column that it could do without; write a "
            "column as FINANCE_OPERATIONS.DESCR, and a table as ACCOUNT_STACK",
            name=repr(name),
        )
    return table, column


def _schema(connection: Connection) -> Schema:
    return Schema.of((str(table), str(column)) for table, column in _rows(connection, "columns"))


def _drop_references(connection: Connection, table: str) -> None:
    for other, constraint in _rows(connection, "constraints_to", table=table):
        _execute(connection, f"alter table {other} drop constraint {constraint}")


def _rows(connection: Connection, name: str, **values: Value) -> list[DatabaseRow]:
    cursor = connection.cursor()
    try:
        cursor.execute(*sql_block("population", name, "lab.mock.sql").bind(values))
        return [tuple(str(value).rstrip() for value in row) for row in cursor.fetchall()]
    finally:
        cursor.close()


def _execute(connection: Connection, sql: str) -> None:
    connection.execute_immediate(sql)
    connection.commit()


# ---- the population of a new mock billing -------------------------------------------------------------------------


_SQL = "lab.mock.sql"
_A_PAGE = 1_000
_PAGES_A_COMMIT = 50
_INDEXING = 5
"""All subscribers are made in this many times the time that their indexes take."""
_Insert: TypeAlias = Callable[[str, list[Columns]], None]


@dataclass(frozen=True, slots=True)
class Population:
    """The content of a new billing; `subscribers` counts those that can receive a balance."""

    subscribers: int
    deleted: int
    accounts: int
    users: int
    operations: int
    folders: tuple[int, ...]


def create(
    place: Dsn | Path | str,
    *,
    subscribers: int,
    seed: int,
    without: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Population:
    """Create the database at `place` with this many `subscribers` that can receive a balance.

    The same seed gives the same rows. Additional rows: the folders 89, 1000, 1316 and 1400 (which lies within 1000),
    3 % deleted subscribers, 1 % who share an account with the previous one, contract numbers with letters, Cyrillic
    and leading zeros; from 100 subscribers on, some are those of `lab.mock.people`. `without` names tables
    and columns to leave out, as `ACCOUNT_STACK` and `FINANCE_OPERATIONS.DESCR`. `on_progress` gets how much is done,
    and how much there is to do. Raises `DatabaseAway` when there is a database already, `SettingsError` for an
    unknown name in `without`.
    """
    indexes = _statements("indexes")
    # Each index takes about as long as this many subscribers.
    for_an_index = subscribers // (_INDEXING * len(indexes))
    work = subscribers + for_an_index * len(indexes)
    dsn = place if isinstance(place, Dsn) else Dsn(str(place))
    people = People(seed)
    create_database(dsn).close()
    # Before the rows: each of their commits would wait for the disk.
    write_unforced(dsn)
    connection = attach(dsn)
    try:
        for model in FACTS.models.values():
            connection.execute_immediate(model.definition())
            connection.execute_immediate(f"create generator gen_{model.table}_id")
        for statement in _statements("schema"):
            connection.execute_immediate(statement)
        connection.commit()
        check_names(connection, without)
        insert = partial(_insert, connection, dsn.encoding)
        _insert_fixed(insert)
        for number, rows in enumerate(people.pages(subscribers, _A_PAGE), 1):
            _insert_rows(insert, rows)
            on_progress(min(number * _A_PAGE, subscribers), work)
            if number % _PAGES_A_COMMIT == 0:
                connection.commit()
        connection.commit()
        for number, statement in enumerate(indexes, 1):
            connection.execute_immediate(statement)
            # Firebird makes an index when it is committed.
            connection.commit()
            on_progress(subscribers + for_an_index * number, work)
        last = people.last | {"tarif": max(TARIFFS), "usluga": max(NAMED_SERVICES)}
        _set_generators(connection, {f"{table}_id": key for table, key in last.items()})
        _set_generators(connection, {"users_ip": FIRST_ADDRESS + people.last["users"]})
        connection.commit()
        for name in without:
            leave_out(connection, name)
    finally:
        connection.close()
    return Population(
        subscribers=subscribers,
        deleted=people.made["abonents"] - subscribers,
        accounts=people.made["admin_accounts"],
        users=people.made["users"],
        operations=people.made["finance_operations"],
        folders=tuple(FOLDERS),
    )


def _statements(name: str) -> list[str]:
    """The statements of a file."""
    text = files(_SQL).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part for part in plain.split(";") if part.strip()]


def _insert_fixed(insert: _Insert) -> None:
    insert("vpn_const", [(1, str(SCALE))])
    insert("operators", list(OPERATORS.items()))
    insert(
        "tarif",
        [(key, f"Тариф {key}", None if limit is None else limit * SCALE) for key, limit in TARIFFS.items()],
    )
    services = {key: (f"Услуга {key}", price) for key, price in sorted((SERVICES | OTHER_SERVICES).items())}
    insert(
        "usluga",
        [
            (key, name, price * SCALE, 3, int(key == PROMISED))
            for key, (name, price) in (services | NAMED_SERVICES).items()
        ],
    )
    insert(
        "ip_pulls",
        [(key, pool.name, int(pool.first), int(pool.last)) for key, pool in POOLS.items()],
    )
    insert("attributes", list(ATTRIBUTES.items()))
    insert(
        "django_users_profile",
        [(key, username, name, f"{username}@example.org") for key, (username, name) in MANAGERS.items()],
    )
    pairs = [(tariff, service) for tariff in TARIFFS for service in tuple(SERVICES)[: tariff % 3 + 1]]
    insert("tarif_users_usluga", [(number, *pair) for number, pair in enumerate(pairs, 1)])
    insert(
        "abonents",
        [
            (key, NESTED.get(key), 1, name, None, None, None, None, None, None, None, 0)
            for key, name in sorted(FOLDERS.items())
        ],
    )


def _insert_rows(insert: _Insert, rows: PopulationRows) -> None:
    for table in PopulationRows.__slots__:
        insert(table, getattr(rows, table))


def _insert(connection: Connection, encoding: str, table: str, rows: list[Columns]) -> None:
    cursor = connection.cursor()
    insert = Prepared(connection.main_transaction, cursor, sql_block("population", table, _SQL).text, encoding)
    for row in rows:
        insert.run(row)
    cursor.close()


def _set_generators(connection: Connection, last: dict[str, int]) -> None:
    for name, value in last.items():
        connection.execute_immediate(f"set generator gen_{name} to {value}")
