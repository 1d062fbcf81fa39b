"""The columns and the plan of a prepared Firebird statement."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class ColumnType(StrEnum):
    """The type of the values of a column."""

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
class SelectColumn:
    """A column of a statement's rows.

    `name` is the alias, or else the column's own name, as Firebird spells it. `table` and `field` are the source of
    the values; for an expression `table` is "" and `field` is Firebird's word for it: CONSTANT, CAST, COALESCE.
    `places` is the number of decimals of a `ColumnType.DECIMAL`.
    """

    name: str
    kind: ColumnType
    table: str = ""
    field: str = ""
    places: int = 0
    nullable: bool = True

    @property
    def named(self) -> bool:
        """Whether the column has a name; an expression without an alias has none."""
        return bool(self.table) or self.name != self.field


@dataclass(frozen=True, slots=True)
class SelectColumns:
    """A prepared statement, not executed. `plan` is Firebird's own text, or ""."""

    reads: bool
    columns: tuple[SelectColumn, ...]
    plan: str


# Firebird's type numbers, from its ibase.h. This file does not import fdb.
_SELECTS: Final = frozenset({1, 12})  # select, select for update
_INTEGERS: Final = frozenset({500, 496, 580})  # short, long, int64
_BLOB: Final = 520
_KINDS: Final = {
    **dict.fromkeys(_INTEGERS, ColumnType.INTEGER),
    **dict.fromkeys((452, 448), ColumnType.TEXT),  # text, varying
    **dict.fromkeys((482, 480, 530), ColumnType.FLOAT),  # float, double, d_float
    _BLOB: ColumnType.BINARY,
    510: ColumnType.TIMESTAMP,
    570: ColumnType.DATE,
    560: ColumnType.TIME,
    32764: ColumnType.BOOLEAN,
}
_OCTETS: Final = 1  # the number of this character set
_TEXT_BLOB: Final = 1  # the number of this subtype of blobs


def is_select(prepared: Any) -> bool:  # noqa: ANN401 - fdb's prepared statement has no types
    return prepared.statement_type in _SELECTS


def describe_columns(prepared: Any, encoding: str) -> SelectColumns:  # noqa: ANN401 - fdb's prepared statement has no types
    """The columns of an fdb prepared statement; `encoding` is that of the connection, in Python's spelling."""
    # fdb's own description does not separate alias and name, and does not name the table.
    output = prepared._out_sqlda  # noqa: SLF001 - there is no other door
    return SelectColumns(
        reads=is_select(prepared),
        columns=tuple(_column(variable, encoding) for variable in output.sqlvar[: output.sqld]),
        plan=prepared.plan or "",
    )


def _column(variable: Any, encoding: str) -> SelectColumn:  # noqa: ANN401 - a structure of ctypes
    def text(name: bytes, length: int) -> str:
        # A long name may be cut in the middle of a letter.
        return name[:length].decode(encoding, errors="replace")

    code = variable.sqltype & ~1
    kind = _KINDS.get(code, ColumnType.UNKNOWN)
    if kind is ColumnType.INTEGER and variable.sqlscale:
        kind = ColumnType.DECIMAL
    elif kind is ColumnType.TEXT and variable.sqlsubtype == _OCTETS:
        kind = ColumnType.BINARY
    elif code == _BLOB and variable.sqlsubtype == _TEXT_BLOB:
        kind = ColumnType.TEXT
    return SelectColumn(
        name=text(variable.aliasname, variable.aliasname_length),
        kind=kind,
        table=text(variable.relname, variable.relname_length),
        field=text(variable.sqlname, variable.sqlname_length),
        places=-variable.sqlscale if code in _INTEGERS else 0,
        nullable=bool(variable.sqltype & 1),
    )
