"""The population of a new mock billing: its tables, filled with made-up subscribers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Final

from billing.database.database import attach, write_unforced
from billing.database.database import create as create_database
from billing.database.dsn import Dsn
from billing.database.reader import Connection, Prepared
from billing.database.schema import Schema
from billing.database.sql_blocks import Value, sql_block
from billing.errors import SettingsError
from lab.mock import people as made_up
from lab.mock.facts import MODELS, SCALE
from lab.mock.people import People, PopulationRows

_COMPUTED: Final = frozenset({"OSTATOK", "DEBIT", "CREDIT"})
"""The columns that BALANCE of ADMIN_ACCOUNTS is computed from: it is dropped with any of them."""


def leave_out(connection: Connection, name: str) -> None:
    """Drop a table, or a column as `FINANCE_OPERATIONS.DESCR`, from a mock billing, with all that depends on it.

    Raises `SettingsError` where it does not exist, or is one of the mock's own.
    """
    table, column = _named(connection, name)
    if table == "ADMIN_ACCOUNTS" and column in _COMPUTED and _schema(connection).has(table, "BALANCE"):
        _execute(connection, f"alter table {table} drop balance")
    for (statement,) in _rows(connection, "dependents", table=table, column=column):
        _execute(connection, statement)
    _execute(connection, f'alter table {table} drop "{column}"' if column else f"drop table {table}")


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
    return Schema.of((table, column) for table, column in _rows(connection, "columns"))


def _rows(connection: Connection, name: str, **values: Value) -> list[tuple[str, ...]]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(*sql_block("population", name, _SQL).bind(values))
        return [tuple(str(value).rstrip() for value in row) for row in cursor.fetchall()]


def _execute(connection: Connection, sql: str) -> None:
    connection.execute_immediate(sql)
    connection.commit()


# ---- a new billing ------------------------------------------------------------------------------------------------

_SQL: Final = "lab.mock.sql"
_A_PAGE: Final = 1_000
_PAGES_A_COMMIT: Final = 50
_INDEXING: Final = 5
"""All subscribers are made in this many times the time that their indexes take."""

_COLUMNS: Final = {
    "vpn_const": ("const_id", "const_value"),
    "operators": ("id", "name"),
    "tarif": ("id", "name", "users_limit_warning"),
    "usluga": ("id", "name", "summa", "operator_id", "promised"),
    "ip_pulls": ("id", "name", "first_ip", "last_ip"),
    "attributes": ("id", "name"),
    "django_users_profile": ("id", "username", "name", "email"),
    "tarif_users_usluga": ("id", "tarif_id", "usluga_id"),
    "admin_accounts": ("id", "ostatok", "debit", "credit", '"limit"', "limit_warning"),
    "abonents": (
        *("id", "parent_id", "is_folder", "name", "contract_number", "account_id", "tarif_id", "operator_id"),
        *("sms", "email", "create_date", "deleted"),
    ),
    "users": ("id", "abonent_id", "login", "ip", "mac", "pull", "psw", "psw_hash", "enabled", "deleted"),
    "users_usluga": ("id", "abonent_id", "usluga_id", "manager_id", "comment", "next_date", "deleted"),
    "finance_operations": ("op_id", "abonent_id", "op_type", "op_summa", "op_date", "descr"),
    "abonents_block_history": ("id", "abonent_id", "time_changed", "time_del"),
    "attribute_values": ("id", "abonent_id", "attribute_id", "attribute_value"),
}
"""The columns of the rows that a new billing has, by table, in an order that satisfies foreign keys."""


def create(
    place: Dsn | Path | str,
    *,
    subscribers: int,
    seed: int,
    without: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Create the database at `place` with this many `subscribers` that can receive a balance, and some deleted ones.

    Returns how many are deleted. The same seed gives the same rows. Additional rows: the folders 89, 1000, 1316 and
    1400 (which lies within 1000), 3 % deleted subscribers, 1 % who share an account with the previous one, contract
    numbers with letters, Cyrillic and leading zeros; from 100 subscribers on, some are those of `lab.mock.people`.
    `without` names tables and columns to leave out, as `ACCOUNT_STACK` and `FINANCE_OPERATIONS.DESCR`. `on_progress`
    gets how much is done, and how much there is to do. Raises `DatabaseAway` when there is a database already,
    `SettingsError` for an unknown name in `without`.
    """
    indexes = list(_indexes())
    # Each index takes about as long as this many subscribers.
    for_an_index = subscribers // (_INDEXING * len(indexes))
    work = subscribers + for_an_index * len(indexes)
    dsn = place if isinstance(place, Dsn) else Dsn(str(place))
    people = People(seed)
    create_database(dsn).close()
    # Before the rows: each of their commits would wait for the disk.
    write_unforced(dsn)
    with closing(attach(dsn)) as connection:
        for statement in _definitions():
            connection.execute_immediate(statement)
        connection.commit()
        for name in without:
            _named(connection, name)
        _insert(connection, dsn.encoding, _fixed_rows())
        for number, rows in enumerate(people.pages(subscribers, _A_PAGE), 1):
            _insert(connection, dsn.encoding, rows)
            on_progress(min(number * _A_PAGE, subscribers), work)
            if number % _PAGES_A_COMMIT == 0:
                connection.commit()
        connection.commit()
        for number, statement in enumerate(indexes, 1):
            # Firebird makes an index when it is committed.
            _execute(connection, statement)
            on_progress(subscribers + for_an_index * number, work)
        last = people.last | {"tarif": max(made_up.TARIFFS), "usluga": max(made_up.NAMED_SERVICES)}
        for table, key in last.items():
            connection.execute_immediate(f"set generator gen_{table}_id to {key}")
        address = made_up.FIRST_ADDRESS + people.last["users"]
        connection.execute_immediate(f"set generator gen_users_ip to {address}")
        connection.commit()
        for name in without:
            leave_out(connection, name)
    return people.deleted


def _definitions() -> Iterator[str]:
    for model in MODELS.values():
        key, *others = (field.definition for field in (*model.fields.values(), *model.columns.values()))
        yield f"create table {model.table} ({', '.join((f'{key} not null primary key', *others))})"
        yield f"create generator gen_{model.table}_id"
    text = files(_SQL).joinpath("schema.sql").read_text(encoding="utf-8")
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    yield from (part for part in plain.split(";") if part.strip())


def _indexes() -> Iterator[str]:
    """The statements that make indexes and constraints besides the keys: after the rows, which is faster."""
    for model in MODELS.values():
        for field in model.fields.values():
            if field.refers and not field.loose:
                other = MODELS[field.refers]
                reference = f"references {other.table} ({other.key.column})"
                yield f"alter table {model.table} add foreign key ({field.column}) {reference}"
            if field.indexed:
                yield f"create index {model.table}_{field.column} on {model.table} ({field.column})"


def _fixed_rows() -> PopulationRows:
    services = {
        key: (f"Услуга {key}", price) for key, price in sorted((made_up.SERVICES | made_up.OTHER_SERVICES).items())
    }
    pairs = [(tariff, service) for tariff in made_up.TARIFFS for service in tuple(made_up.SERVICES)[: tariff % 3 + 1]]
    return {
        "vpn_const": [(1, str(SCALE))],
        "operators": list(made_up.OPERATORS.items()),
        "tarif": [
            (key, f"Тариф {key}", None if limit is None else limit * SCALE) for key, limit in made_up.TARIFFS.items()
        ],
        "usluga": [
            (key, name, price * SCALE, 3, int(key == made_up.PROMISED))
            for key, (name, price) in (services | made_up.NAMED_SERVICES).items()
        ],
        "ip_pulls": [(key, name, int(first), int(last)) for key, (name, first, last) in made_up.POOLS.items()],
        "attributes": list(made_up.ATTRIBUTES.items()),
        "django_users_profile": [
            (key, username, name, f"{username}@example.org") for key, (username, name) in made_up.MANAGERS.items()
        ],
        "tarif_users_usluga": [(number, *pair) for number, pair in enumerate(pairs, 1)],
        "abonents": [
            (key, made_up.NESTED.get(key), 1, name, *[None] * 7, 0) for key, name in sorted(made_up.FOLDERS.items())
        ],
    }


def insert_statement(table: str) -> str:
    columns = _COLUMNS[table]
    return f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"  # noqa: S608 - ours


def _insert(connection: Connection, encoding: str, rows: PopulationRows) -> None:
    for table in filter(rows.__contains__, _COLUMNS):
        with closing(connection.cursor()) as cursor:
            insert = Prepared(connection.main_transaction, cursor, insert_statement(table), encoding)
            for row in rows[table]:
                insert.run(row)
