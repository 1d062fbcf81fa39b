"""The reader of a `Database` over an fdb connection of this process."""

import ctypes
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final, TypeAlias

import fdb
from fdb import fbcore

from billing.database.columns import SelectColumns, describe_columns, is_select
from billing.database.sql_blocks import Value, blocks
from billing.errors import NotASelect
from texts.said import said

# ---- a statement that runs many times -----------------------------------------------------------------------------
# Its values and rows pass through buffers that are laid out once.
#
# fdb lays them out anew for each run and each row, which takes three times as long as Firebird takes for the
# statement.


# Firebird's types, from its ibase.h; an odd number is the same type with nulls.
_TEXT: Final = 452
_VARYING: Final = 448
_DOUBLE: Final = 480
_SHORT: Final = 500
_LONG: Final = 496
_INT64: Final = 580
_TIMESTAMP: Final = 510
_DATE: Final = 570
_TEXTS: Final = (_TEXT, _VARYING)
_OCTETS: Final = 1
"""The number of the character set of bytes."""
_CLOSE: Final = 1
_END: Final = 100
_SHORTEST: Final = 64
"""Bytes for a value of any column: a date may be given as a text."""
_BYTES_A_LETTER: Final = {4: 4, 69: 4, 3: 3}
"""By the number of a character set, the bytes of its widest letter."""

_ODD: Final = "replace"
"""What becomes of bytes that are no letters, as with fdb."""

_POINTER: Final = ctypes.POINTER(ctypes.c_char)
_MIDNIGHT: Final = datetime(1858, 11, 17)  # noqa: DTZ001 - Firebird's dates have no zone
_FIRST_DAY: Final = _MIDNIGHT.toordinal()
_UNITS_A_SECOND: Final = 10_000

_Variable: TypeAlias = Any  # a structure of ctypes
_Row: TypeAlias = tuple[Any, ...]
_Read: TypeAlias = Callable[[tuple[Any, ...], int], object]


class Prepared:
    """A statement of one transaction, for one thread at a time.

    `cursor` only prepares it, and may be one for all statements: a commit closes each cursor there is. Raises what
    fdb's cursor raises. A value or a column of a rare type, as a blob, goes through a `cursor` of its own, which the
    reader of its rows then has to ask. With `trim` texts come without trailing blanks.
    """

    def __init__(
        self,
        transaction: Any,  # noqa: ANN401 - fdb's, as its cursor
        cursor: Any,  # noqa: ANN401
        sql: str,
        encoding: str,
        *,
        trim: bool = False,
    ) -> None:
        self._encoding = encoding
        self._trim = trim
        self._transaction = transaction
        self._status = fbcore.ISC_STATUS_ARRAY()
        self.cursor: Any = None
        self._prepares = cursor
        self._statement = cursor.prep(sql)
        given, found = self._statement._in_sqlda, self._statement._out_sqlda  # noqa: SLF001 - there is no other door
        values, columns = given.sqlvar[: given.sqld], found.sqlvar[: found.sqld]
        if not all(map(_is_common, (*columns, *values))):
            self.cursor = transaction.cursor()
            self._statement = self.cursor.prep(sql)
        self.is_select = is_select(self._statement)
        self._ended = True
        self._given = _passed(given) if values else None
        self._found = _passed(found) if columns else None
        self._values = [_GivenValue(place, one) for place, one in enumerate(values)]
        self._lay_out(columns if self.cursor is None else ())

    def run(self, values: Sequence[Value]) -> list[_Row]:
        answered = self.execute(values)
        if self.cursor is not None:
            rows: list[_Row] = self.cursor.fetchall() if self._found else []
            return rows
        return self.fetch() if self.is_select else answered

    def execute(self, values: Sequence[Value]) -> list[_Row]:
        """Run it; the row that a statement other than a select answers, or an empty list."""
        if self.cursor is not None:
            self.cursor.execute(self._statement, values)
            return []
        for place, value in zip(self._values, values, strict=True):
            place.give(value, self._encoding)
        transaction = self._transaction
        if transaction._tr_handle is None:  # noqa: SLF001 - as above
            transaction.begin()
        handle, api, status = self._statement._stmt_handle, fbcore.api, self._status  # noqa: SLF001 - as above
        answered = None if self.is_select else self._found
        if api.isc_dsql_execute2(status, transaction._tr_handle, handle, 3, self._given, answered):  # noqa: SLF001 - as above
            raise self._error()
        self._ended = not self.is_select
        return [self._row()] if answered else []

    def fetch(self, most: int | None = None) -> list[_Row]:
        """The next rows of a select without a cursor, at most as many; none behind the last."""
        handle, api, status = self._statement._stmt_handle, fbcore.api, self._status  # noqa: SLF001 - as above
        rows: list[_Row] = []
        while not self._ended and len(rows) != most:
            if not (ended := api.isc_dsql_fetch(status, handle, 3, self._found)):
                rows.append(self._row())
                continue
            self._ended = True
            error = None if ended == _END else self._error()
            api.isc_dsql_free_statement(status, handle, _CLOSE)
            if error is not None:
                raise error
        return rows

    def close(self) -> None:
        with suppress(fdb.Error):
            self._statement.close()

    def _error(self) -> Exception:
        error: Exception = fbcore.exception_from_status(
            fdb.DatabaseError, self._status, "Error while executing SQL statement:"
        )
        return error

    def _lay_out(self, columns: Sequence[_Variable]) -> None:
        form, places, reads = "=", [], []
        values = 0
        for one in columns:
            form += f"{-struct.calcsize(form) % 8}x"
            start = struct.calcsize(form)
            kind = one.sqltype & ~1
            part, width, read = _COLUMNS[kind](one, self._encoding)
            if self._trim and kind in _TEXTS:
                read = _trimmed(read)
            form += part
            places.append((start, struct.calcsize(form)))
            form += "h"
            reads.append((values + width, values, read))
            values += width + 1
        self._layout = struct.Struct(form)
        self._buffer = ctypes.create_string_buffer(max(self._layout.size, 1))
        base = ctypes.addressof(self._buffer)
        for one, (start, null) in zip(columns, places, strict=True):
            one.sqldata = ctypes.cast(base + start, _POINTER)
            one.sqlind = ctypes.cast(base + null, ctypes.POINTER(ctypes.c_short))
        self._columns: tuple[tuple[int, int, _Read], ...] = tuple(reads)

    def _row(self) -> _Row:
        found = self._layout.unpack_from(self._buffer)
        return tuple([None if found[null] else read(found, place) for null, place, read in self._columns])


def _is_common(variable: _Variable) -> bool:
    """Whether the layout has its type; bytes are read by fdb."""
    kind = variable.sqltype & ~1
    return kind in _COLUMNS and not (kind in _TEXTS and variable.sqlsubtype == _OCTETS)


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
        self._longest = variable.sqllen if variable.sqltype & ~1 in _TEXTS else len(self._room)
        variable.sqldata = ctypes.cast(self._buffer, _POINTER)
        variable.sqlind = ctypes.pointer(ctypes.c_short(-1))

    def give(self, value: Value, encoding: str) -> None:
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
            if length > (room := self._longest):
                # As fdb says it.
                raise ValueError(f"Value of parameter ({self._place}) is too long, expected {room}, found {length}")
            self._room[:length] = data
            variable.sqllen = length
        elif isinstance(value, datetime):
            since = value.replace(tzinfo=None) - _MIDNIGHT
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
        unit = 10**-variable.sqlscale
        return letter, 1, lambda found, place: Decimal(found[place]) / unit

    return column


def _varying(variable: _Variable, encoding: str) -> tuple[str, int, _Read]:
    return f"H{variable.sqllen}s", 2, lambda found, place: found[place + 1][: found[place]].decode(encoding, _ODD)


def _padded(variable: _Variable, encoding: str) -> tuple[str, int, _Read]:
    letters = variable.sqllen // _BYTES_A_LETTER.get(variable.sqlsubtype, 1)
    return f"{variable.sqllen}s", 1, lambda found, place: found[place].decode(encoding, _ODD)[:letters]


def _trimmed(read: _Read) -> _Read:
    return lambda found, place: str(read(found, place)).rstrip(" ")


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


# ---- the reader of a `Database` -----------------------------------------------------------------------------------


DatabaseRow = tuple[Any, ...]  # only the caller knows the types of the columns

FirebirdError: Final = fdb.Error
"""Any error of Firebird or of fdb, for whoever holds a `Connection`: this folder alone imports fdb."""
FirebirdRefusal: Final = fdb.DatabaseError
"""An error of Firebird's own, about a statement or its values."""

ROWS_A_PAGE: Final = 1_000


Connection: TypeAlias = Any
"""An fdb connection; fdb has no types."""


class DirectReader:
    """Reads over a connection of this process, which it owns: one call at a time, except `break_off`.

    Each select has a read-only read-committed transaction of its own. It ends with a page shorter than `ROWS_A_PAGE`,
    with an error, or when it is left. Raises `fdb.Error`, ValueError, and `NotASelect` for a statement that is none.
    """

    def __init__(self, connection: Connection, encoding: str) -> None:
        self._connection = connection
        self._encoding = encoding
        self._open: dict[int, tuple[Prepared, Any]] = {}
        self._numbers = count(1)
        transaction = connection.trans(_read_only())
        # Firebird before version 4 does not know these statements and does not need them.
        with suppress(fdb.Error):
            for block in blocks("session", "billing.database").values():
                transaction.execute_immediate(block.text)
        _close(transaction)

    def select(self, sql: str, values: Sequence[Value]) -> tuple[int, list[DatabaseRow]]:
        """Execute a select with `?` for its values; its number, and its first page."""
        transaction = self._begun()
        try:
            statement = Prepared(transaction, transaction.cursor(), sql, self._encoding, trim=True)
            if not statement.is_select:
                raise NotASelect(said("this is not a select, and only a select is taken"))  # noqa: TRY301 - as it is
            statement.execute(values)
        except BaseException:
            _close(transaction)
            raise
        number = next(self._numbers)
        self._open[number] = statement, transaction
        return number, self.page(number)

    def page(self, number: int) -> list[DatabaseRow]:
        """The next rows of a select, at most `ROWS_A_PAGE`, as plain values."""
        statement, _ = self._open[number]
        page: list[DatabaseRow] = []
        try:
            if (cursor := statement.cursor) is None:
                page = statement.fetch(ROWS_A_PAGE)
            else:
                # A numeric(18, 0) is a whole number, which fdb returns as a Decimal.
                wholes = [column[5] == 0 for column in cursor.description]
                page = [tuple(map(_plain, row, wholes)) for row in cursor.fetchmany(ROWS_A_PAGE)]
            return page
        finally:
            if len(page) < ROWS_A_PAGE:
                self.leave(number)

    def leave(self, number: int) -> None:
        """End a select, if it has not ended; raises nothing."""
        if number in self._open:
            statement, transaction = self._open.pop(number)
            statement.close()
            _close(transaction)

    def describe(self, sql: str) -> SelectColumns:
        transaction = self._begun()
        try:
            # fdb's statement refers to its cursor weakly.
            cursor = transaction.cursor()
            return describe_columns(cursor.prep(sql), self._encoding)
        finally:
            _close(transaction)

    def break_off(self) -> None:
        """Cancel the call of another thread, if there is one; that call raises."""
        # fdb does not offer this, and the library of Firebird 2.1 does not have it.
        cancel = getattr(fdb.fbcore.api.client_library, "fb_cancel_operation", None)
        handle = getattr(self._connection, "_db_handle", None)
        if cancel is not None and handle is not None:
            # The status is ignored: there may have been nothing to cancel.
            cancel(fdb.fbcore.ISC_STATUS_ARRAY(), ctypes.byref(handle), _CANCEL_RAISE)

    def close(self) -> None:
        """Close the connection and everything open on it; raises nothing."""
        for number in tuple(self._open):
            self.leave(number)
        with suppress(fdb.Error):
            self._connection.close()

    def _begun(self) -> Any:  # noqa: ANN401 - a transaction of fdb
        transaction = self._connection.trans(_read_only())
        try:
            transaction.begin()
        except BaseException:
            _close(transaction)
            raise
        return transaction


_CANCEL_RAISE: Final = ctypes.c_ushort(3)


def _close(transaction: Any) -> None:  # noqa: ANN401 - fdb's
    # The transaction of a lost connection is lost too, and fdb takes a failed select for open: closing it fails.
    with suppress(fdb.Error, ReferenceError):
        transaction.close()


def _read_only() -> object:
    tpb = fdb.TPB()
    tpb.access_mode = fdb.isc_tpb_read
    tpb.isolation_level = (fdb.isc_tpb_read_committed, fdb.isc_tpb_rec_version)
    return tpb


def _plain(value: Any, is_whole: bool) -> object:  # noqa: ANN401, FBT001 - fdb's values have no type; of a column
    # A long blob is a file to read from; values without a charset are bytes and stay bytes.
    whole = value.read() if isinstance(value, fdb.BlobReader) else value
    if isinstance(whole, str):
        return whole.rstrip(" ")
    return int(whole) if is_whole and isinstance(whole, Decimal) else whole
