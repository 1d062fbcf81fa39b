"""Missing tables and columns of a mock billing, as in versions of the real one."""

from collections.abc import Sequence
from typing import Final

from billing.database.reader import Connection, DatabaseRow
from billing.database.schema import Schema
from billing.database.sql_blocks import Value, sql_block
from billing.errors import SettingsError

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
