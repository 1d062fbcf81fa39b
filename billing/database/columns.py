"""What Firebird tells of a statement that is prepared: its columns, and how it will find the rows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fdb import ibase


class ColumnType(StrEnum):
    """What the values of a column are."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIME = "time"
    BOOLEAN = "boolean"
    TEXT = "text"
    BINARY = "binary"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a statement's rows.

    `name` is the alias, else the column's own name, as Firebird spells it. `table` and `field` tell where the values
    are from; of an expression `table` is "", and `field` what Firebird calls it: CONSTANT, CAST, COALESCE. `places`
    counts the decimals of a `ColumnType.DECIMAL`.
    """

    name: str
    kind: ColumnType
    table: str = ""
    field: str = ""
    places: int = 0
    nullable: bool = True

    @property
    def named(self) -> bool:
        """Whether somebody gave it its name: an expression without an alias has none."""
        return bool(self.table) or self.name != self.field


@dataclass(frozen=True, slots=True)
class SelectColumns:
    """A statement, prepared and not executed. `plan` is Firebird's own text, "" where it tells none."""

    reads: bool
    columns: tuple[Column, ...]
    plan: str


_SELECTS: Final = frozenset({ibase.isc_info_sql_stmt_select, ibase.isc_info_sql_stmt_select_for_upd})
_INTEGERS: Final = frozenset({ibase.SQL_SHORT, ibase.SQL_LONG, ibase.SQL_INT64})
_TEXTS: Final = frozenset({ibase.SQL_TEXT, ibase.SQL_VARYING})
_FLOATS: Final = frozenset({ibase.SQL_FLOAT, ibase.SQL_DOUBLE, ibase.SQL_D_FLOAT})
_OTHERS: Final = {
    ibase.SQL_TIMESTAMP: ColumnType.TIMESTAMP,
    ibase.SQL_TYPE_DATE: ColumnType.DATE,
    ibase.SQL_TYPE_TIME: ColumnType.TIME,
    ibase.SQL_BOOLEAN: ColumnType.BOOLEAN,
}
_OCTETS: Final = 1  # the number of this character set
_TEXT_BLOB: Final = 1  # the number of this subtype of blobs


def describe_columns(prepared: Any, encoding: str) -> SelectColumns:  # noqa: ANN401 - fdb's prepared statement has no types
    """What an fdb prepared statement tells of itself; `encoding` is the connection's, in Python's spelling."""
    # fdb's own description neither tells an alias from a name, nor where a column is from.
    output = prepared._out_sqlda  # noqa: SLF001 - there is no other door
    return SelectColumns(
        reads=prepared.statement_type in _SELECTS,
        columns=tuple(_column(variable, encoding) for variable in output.sqlvar[: output.sqld]),
        plan=prepared.plan or "",
    )


def _column(variable: Any, encoding: str) -> Column:  # noqa: ANN401 - a structure of ctypes
    def text(name: bytes, length: int) -> str:
        # A name that is too long for its place may be cut in the middle of a letter.
        return name[:length].decode(encoding, errors="replace")

    return Column(
        name=text(variable.aliasname, variable.aliasname_length),
        kind=_kind(variable.sqltype & ~1, variable.sqlsubtype, variable.sqlscale),
        table=text(variable.relname, variable.relname_length),
        field=text(variable.sqlname, variable.sqlname_length),
        places=-variable.sqlscale if variable.sqltype & ~1 in _INTEGERS else 0,
        nullable=bool(variable.sqltype & 1),
    )


def _kind(code: int, subtype: int, scale: int) -> ColumnType:
    if code in _INTEGERS:
        return ColumnType.DECIMAL if scale else ColumnType.INTEGER
    if code in _TEXTS:
        return ColumnType.BINARY if subtype == _OCTETS else ColumnType.TEXT
    if code in _FLOATS:
        return ColumnType.FLOAT
    if code == ibase.SQL_BLOB:
        return ColumnType.TEXT if subtype == _TEXT_BLOB else ColumnType.BINARY
    return _OTHERS.get(code, ColumnType.UNKNOWN)
