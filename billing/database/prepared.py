"""A statement that runs many times: its values and rows pass through buffers that are laid out once.

fdb lays them out anew for each run and each row, which takes three times as long as Firebird takes for the statement.
"""

import ctypes
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

import fdb
from fdb import fbcore

from billing.database.reader import Connection, Cursor, DatabaseRow
from billing.database.sql_blocks import Value

# Firebird's types, from its ibase.h; an odd number is the same type with nulls.
_TEXT: Final = 452
_VARYING: Final = 448
_DOUBLE: Final = 480
_SHORT: Final = 500
_LONG: Final = 496
_INT64: Final = 580
_TIMESTAMP: Final = 510
_DATE: Final = 570
_CLOSE: Final = 1
_END: Final = 100
_SHORTEST: Final = 64
"""Bytes for a value of any column: a date may be given as a text."""
_BYTES_A_LETTER: Final = {4: 4, 69: 4, 3: 3}
"""By the number of a character set, the bytes of its widest letter."""

_POINTER: Final = ctypes.POINTER(ctypes.c_char)
_MIDNIGHT: Final = datetime(1858, 11, 17)  # noqa: DTZ001 - Firebird's dates have no zone
_FIRST_DAY: Final = _MIDNIGHT.toordinal()
_UNITS_A_SECOND: Final = 10_000

_Variable: TypeAlias = Any  # a structure of ctypes
_Read: TypeAlias = Callable[[tuple[Any, ...], int], object]


class Prepared:
    """A statement of one connection, for one thread at a time, in the connection's own transaction.

    `cursor` only prepares it, and may be one for all statements: a commit closes each cursor there is. Raises what
    fdb's cursor raises. A value or a column of a rare type, as a blob, goes through a cursor of fdb.
    """

    def __init__(self, connection: Connection, cursor: Cursor, sql: str, encoding: str) -> None:
        self._encoding = encoding
        self._transaction = connection.main_transaction
        self._status = fbcore.ISC_STATUS_ARRAY()
        self._cursor: Cursor | None = None
        self._statement = cursor.prep(sql)
        given, found = self._statement._in_sqlda, self._statement._out_sqlda  # noqa: SLF001 - there is no other door
        values, columns = given.sqlvar[: given.sqld], found.sqlvar[: found.sqld]
        kinds = {one.sqltype & ~1 for one in columns}, {one.sqltype & ~1 for one in values}
        if not kinds[0] <= _COLUMNS.keys() or not kinds[1] <= _COLUMNS.keys():
            self._cursor = connection.cursor()
            self._statement = self._cursor.prep(sql)
        self._is_select = self._statement.statement_type == fdb.isc_info_sql_stmt_select
        self._given = _passed(given) if values else None
        self._found = _passed(found) if columns else None
        self._values = [_GivenValue(place, one) for place, one in enumerate(values)]
        self._lay_out(columns if self._cursor is None else ())

    def run(self, values: Sequence[Value]) -> list[DatabaseRow]:
        """Run it; its rows, or an empty list."""
        if self._cursor is not None:
            self._cursor.execute(self._statement, values)
            return self._cursor.fetchall() if self._found else []
        for place, value in zip(self._values, values, strict=True):
            place.give(value, self._encoding)
        transaction = self._transaction
        if transaction._tr_handle is None:  # noqa: SLF001 - as above
            transaction.begin()
        handle, api, status = self._statement._stmt_handle, fbcore.api, self._status  # noqa: SLF001 - as above
        answered = None if self._is_select else self._found
        if api.isc_dsql_execute2(status, transaction._tr_handle, handle, 3, self._given, answered):  # noqa: SLF001 - as above
            raise self._error()
        if not self._is_select:
            return [self._row()] if answered else []
        rows = []
        while not (ended := api.isc_dsql_fetch(status, handle, 3, self._found)):
            rows.append(self._row())
        error = None if ended == _END else self._error()
        api.isc_dsql_free_statement(status, handle, _CLOSE)
        if error is not None:
            raise error
        return rows

    def _error(self) -> Exception:
        error: Exception = fbcore.exception_from_status(
            fdb.DatabaseError, self._status, "Error while executing SQL statement:"
        )
        return error

    def _lay_out(self, columns: Sequence[_Variable]) -> None:
        """One buffer for a row, with a null mark after each column."""
        form, places, reads = "=", [], []
        count = 0
        for one in columns:
            form += f"{-struct.calcsize(form) % 8}x"
            start = struct.calcsize(form)
            part, width, read = _COLUMNS[one.sqltype & ~1](one, self._encoding)
            form += part
            places.append((start, struct.calcsize(form)))
            form += "h"
            reads.append((count + width, count, read))
            count += width + 1
        self._layout = struct.Struct(form)
        self._buffer = ctypes.create_string_buffer(max(self._layout.size, 1))
        base = ctypes.addressof(self._buffer)
        for one, (start, null) in zip(columns, places, strict=True):
            one.sqldata = ctypes.cast(base + start, _POINTER)
            one.sqlind = ctypes.cast(base + null, ctypes.POINTER(ctypes.c_short))
        self._columns: tuple[tuple[int, int, _Read], ...] = tuple(reads)

    def _row(self) -> DatabaseRow:
        found = self._layout.unpack_from(self._buffer)
        return tuple([None if found[null] else read(found, place) for null, place, read in self._columns])


def _passed(structure: Any) -> Any:  # noqa: ANN401 - structures of ctypes
    return ctypes.cast(ctypes.pointer(structure), fbcore.XSQLDA_PTR)


_WHOLE: Final = struct.Struct("=q")
_DAY: Final = struct.Struct("=i")
_MOMENT: Final = struct.Struct("=iI")


class _GivenValue:
    """The place of a value; Firebird makes it that of the column."""

    def __init__(self, place: int, variable: _Variable) -> None:
        self._place = place
        self._variable = variable
        self._subtype = variable.sqlsubtype
        self._kind: type | None = None
        self._buffer = ctypes.create_string_buffer(max(variable.sqllen, _SHORTEST))
        self._room = memoryview(self._buffer).cast("B")
        variable.sqldata = ctypes.cast(self._buffer, _POINTER)
        variable.sqlind = ctypes.pointer(ctypes.c_short(-1))

    def give(self, value: Value, encoding: str) -> None:
        """Place the value of the next run."""
        variable, kind = self._variable, type(value)
        if self._kind is not kind:
            self._kind = kind
            variable.sqltype, variable.sqllen = _VALUES[kind]
            variable.sqlscale = 0
            variable.sqlsubtype = self._subtype if kind is str else 0
        if isinstance(value, int):
            try:
                _WHOLE.pack_into(self._room, 0, value)
            except struct.error:
                raise ValueError(f"{value} does not fit into 64 bits") from None
        elif isinstance(value, str):
            data = value.encode(encoding)
            length = len(data)
            if length > len(self._room):
                # As fdb says it.
                room = len(self._room)
                raise ValueError(f"Value of parameter ({self._place}) is too long, expected {room}, found {length}")
            self._room[:length] = data
            variable.sqllen = length
        elif isinstance(value, datetime):
            since = value - _MIDNIGHT
            units = since.seconds * _UNITS_A_SECOND + since.microseconds // 100
            _MOMENT.pack_into(self._room, 0, since.days, units)
        elif value is not None:
            _DAY.pack_into(self._room, 0, value.toordinal() - _FIRST_DAY)


_VALUES: Final[dict[type, tuple[int, int]]] = {
    int: (_INT64, 8),
    bool: (_INT64, 8),
    str: (_TEXT, 0),
    datetime: (_TIMESTAMP, 8),
    date: (_DATE, 4),
    type(None): (_TEXT | 1, 0),
}
"""By the type of a value, how it is given, and its length."""


def _number(letter: str) -> Callable[[_Variable, str], tuple[str, int, _Read]]:
    def column(variable: _Variable, _: str) -> tuple[str, int, _Read]:
        if not variable.sqlscale:
            return letter, 1, lambda found, place: found[place]
        unit = Decimal(10) ** variable.sqlscale
        return letter, 1, lambda found, place: found[place] * unit

    return column


def _varying(variable: _Variable, encoding: str) -> tuple[str, int, _Read]:
    return f"H{variable.sqllen}s", 2, lambda found, place: found[place + 1][: found[place]].decode(encoding)


def _padded(variable: _Variable, encoding: str) -> tuple[str, int, _Read]:
    letters = variable.sqllen // _BYTES_A_LETTER.get(variable.sqlsubtype, 1)
    return f"{variable.sqllen}s", 1, lambda found, place: found[place].decode(encoding)[:letters]


def _moment(_: _Variable, __: str) -> tuple[str, int, _Read]:
    return "iI", 2, lambda found, place: _MIDNIGHT + timedelta(found[place], 0, found[place + 1] * 100)


def _day(_: _Variable, __: str) -> tuple[str, int, _Read]:
    return "i", 1, lambda found, place: date.fromordinal(_FIRST_DAY + found[place])


_COLUMNS: Final[dict[int, Callable[[_Variable, str], tuple[str, int, _Read]]]] = {
    _SHORT: _number("h"),
    _LONG: _number("i"),
    _INT64: _number("q"),
    _DOUBLE: _number("d"),
    _VARYING: _varying,
    _TEXT: _padded,
    _TIMESTAMP: _moment,
    _DATE: _day,
}
"""By the type of a column: the letters of its bytes, how many values they give, and how these are read."""
