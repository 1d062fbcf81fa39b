"""The whole of a billing's database, to be held against itself before and after.

    before = whole(database)
    ...
    assert changes(before, whole(database)) == {"FINANCE_OPERATIONS": {90001: {"STORNO": (0, 1)}}}

What only tells of work in hand is left out: the billing's stacks, the mock's own tables. Generators are no tables.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any, Final, TypeAlias

from billing.database.database import Database
from billing.money import SCALE

Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, dict[Any, Row]]
"""By table and key, which is the first column: what each column holds."""

Changes: TypeAlias = dict[str, dict[Any, dict[str, tuple[Any, Any]]]]
"""By table and key: the columns that differ, each with what it was and what it is."""

THERE: Final = "(there)"
"""Stands among the columns of a row that has come (False, True) or gone (True, False), beside its values."""

_LEFT_OUT: Final = frozenset({
    "ACCOUNT_STACK",
    "ARCH_ACCOUNT_STACK",
    "EVENTS_STACK_COMPACT",
    "MOCK_LEDGER",
    "MOCK_PENDING",
})  # fmt: skip
_COLUMNS: Final = (
    "select trim(r.rdb$relation_name), trim(f.rdb$field_name) from rdb$relations r "
    "join rdb$relation_fields f on f.rdb$relation_name = r.rdb$relation_name "
    "where r.rdb$system_flag = 0 and r.rdb$view_blr is null order by r.rdb$relation_name, f.rdb$field_position"
)


def whole(database: Database) -> Tables:
    tables: dict[str, list[str]] = {}
    for table, column in database.query(_COLUMNS):
        if table not in _LEFT_OUT:
            tables.setdefault(table, []).append(column)
    return {table: _rows(database, table, columns) for table, columns in tables.items()}


def changes(before: Tables, after: Tables) -> Changes:
    """What differs; a row that came or went has all its columns, None on the side where it is not."""
    found = {
        table: {
            key: differing
            for key in before.get(table, {}).keys() | after.get(table, {}).keys()
            if (differing := _differing(before.get(table, {}).get(key), after.get(table, {}).get(key)))
        }
        for table in before.keys() | after.keys()
    }
    return {table: rows for table, rows in found.items() if rows}


def new_rows(found: Changes, table: str) -> list[Row]:
    """The rows of a table that have come, in the order of their keys."""
    rows = found.get(table, {})
    return [
        {column: after for column, (_, after) in rows[key].items() if column != THERE}
        for key in sorted(rows)
        if rows[key].get(THERE) == (False, True)
    ]


def _rows(database: Database, table: str, columns: Sequence[str]) -> dict[Any, Row]:
    wanted = ", ".join(f'"{name}"' for name in columns)
    rows = database.query(f'select {wanted} from "{table}"')  # noqa: S608 - names that the database gave
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


def _differing(before: Row | None, after: Row | None) -> dict[str, tuple[Any, Any]]:
    columns = dict.fromkeys((*(before or {}), *(after or {})))
    was, now = before or {}, after or {}
    differing = {name: (was.get(name), now.get(name)) for name in columns if was.get(name) != now.get(name)}
    if (before is None) != (after is None):
        return {THERE: (before is not None, after is not None), **differing}
    return differing


COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "FINANCE_OPERATIONS": ("ABONENT_ID", "OP_TYPE", "OP_SUMMA", "STORNO", "DESCR"),
    "USERS_USLUGA": ("ABONENT_ID", "USLUGA_ID", "MANAGER_ID", "NEXT_DATE", "DELETED", "COMMENT"),
    "ATTRIBUTE_VALUES": ("ABONENT_ID", "ATTRIBUTE_ID", "ATTRIBUTE_VALUE"),
    "ABONENTS": ("CONTRACT_NUMBER", "NAME", "PARENT_ID", "IS_FOLDER", "DELETED"),
    "USERS": ("ABONENT_ID", "LOGIN", "PULL", "DELETED"),
    "ADMIN_ACCOUNTS": ("BALANCE",),
    "CABINET_SESSIONS": ("USER_ID",),
}
"""What is told of a row that has come."""


def told(before: Tables, after: Tables) -> list[str]:
    """What has changed, a line a row: + where it has come and - where it has gone; #1 is the first new operation."""
    return [line for table, rows in sorted(changes(before, after).items()) for line in _lines(table, rows)]


def _lines(table: str, rows: Mapping[Any, Mapping[str, tuple[Any, Any]]]) -> Iterator[str]:
    new = sorted(key for key, row in rows.items() if THERE in row)
    for key, row in sorted(rows.items()):
        if key in new:
            side = row[THERE].index(True)
            cells = ";".join(_text(row[name][side]) if name in row else "" for name in COLUMNS[table])
            named = re.sub(r"(?<=операции )\d+", lambda number: f"#{new.index(int(number[0])) + 1}", cells)
            yield f"{'-+'[side]}{table} {named}"
        else:
            yield f"{table} {key} " + ", ".join(
                f"{name} {_text(was, name)}→{_text(now, name)}" for name, (was, now) in row.items()
            )


def _text(value: object, name: str = "") -> str:
    """A cell; a sum in roubles, an address with its points."""
    if isinstance(value, int) and name in {"IP", "SNATIP"}:
        return str(IPv4Address(value))
    if isinstance(value, int) and abs(value) > SCALE // 1000:
        return f"{Decimal(value) / SCALE:.2f}"
    return str(value)
