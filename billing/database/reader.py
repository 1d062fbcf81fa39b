"""The reader of a `Database` over an fdb connection of this process."""

import ctypes
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from sys import maxsize
from typing import Any, Final, TypeAlias

import fdb
from fdb import fbcore, ibase

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
_BYTES_AT_ONCE: Final = 1_000_000
"""Bytes of rows that are read at once, column by column."""
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
_Read: TypeAlias = Callable[..., Any]


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
        self._values = _GivenValues(given, values)
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
        self._values.give(values, self._encoding)
        transaction = self._transaction
        if transaction._tr_handle is None:  # noqa: SLF001 - as above
            transaction.begin()
        handle, api, status = self._statement._stmt_handle, fbcore.api, self._status  # noqa: SLF001 - as above
        answered = None if self.is_select else self._found
        if api.isc_dsql_execute2(status, transaction._tr_handle, handle, 3, self._given, answered):  # noqa: SLF001 - as above
            raise self._error()
        self._ended = not self.is_select
        return self._rows([self._buffer.raw]) if answered else []

    def fetch(self, most: int = maxsize) -> list[_Row]:
        """The next rows of a select without a cursor, at most as many; none behind the last."""
        handle, api, status = self._statement._stmt_handle, fbcore.api, self._status  # noqa: SLF001 - as above
        rows: list[_Row] = []
        fetched: list[bytes] = []
        while not self._ended and len(rows) + len(fetched) < most:
            if not (ended := api.isc_dsql_fetch(status, handle, 3, self._found)):
                fetched.append(self._buffer.raw)
                if len(fetched) == self._at_once:
                    rows += self._rows(fetched)
                    fetched.clear()
                continue
            self._ended = True
            error = None if ended == _END else self._error()
            api.isc_dsql_free_statement(status, handle, _CLOSE)
            if error is not None:
                raise error
        return rows + self._rows(fetched)

    def close(self) -> None:
        with suppress(fdb.Error):
            self._statement.close()

    def _error(self) -> Exception:
        error: Exception = fbcore.exception_from_status(
            fdb.DatabaseError, self._status, "Error while executing SQL statement:"
        )
        return error

    def _lay_out(self, columns: Sequence[_Variable]) -> None:
        form, places = "=", []
        reads: list[tuple[int, int, _Read | None]] = []
        values = 0
        for one in columns:
            form += f"{-struct.calcsize(form) % 8}x"
            start = struct.calcsize(form)
            kind = one.sqltype & ~1
            part, width, read = _COLUMNS[kind](one, self._encoding, " " if self._trim else "")
            form += part
            places.append((start, struct.calcsize(form)))
            form += "h"
            reads.append((values, values + width, read))
            values += width + 1
        self._layout = struct.Struct(form)
        self._at_once = max(1, _BYTES_AT_ONCE // max(self._layout.size, 1))
        self._buffer = ctypes.create_string_buffer(max(self._layout.size, 1))
        base = ctypes.addressof(self._buffer)
        for one, (start, null) in zip(columns, places, strict=True):
            one.sqldata = ctypes.cast(base + start, _POINTER)
            one.sqlind = ctypes.cast(base + null, ctypes.POINTER(ctypes.c_short))
        self._columns = tuple(reads)

    def _rows(self, fetched: Sequence[bytes]) -> list[_Row]:
        """The rows in these bytes, read column by column."""
        values = tuple(zip(*self._layout.iter_unpack(b"".join(fetched)), strict=True))
        columns: list[Iterable[object]] = []
        for start, null, read in self._columns if values else ():
            found, nulls = values[start:null], values[null]
            if any(nulls):
                each = zip(nulls, *found, strict=True)
                columns.append([None if is_null else read(*one) if read else one[0] for is_null, *one in each])
            else:
                columns.append(map(read, *found) if read else found[0])
        return list(zip(*columns, strict=True))


def _is_common(variable: _Variable) -> bool:
    """Whether the layout has its type; bytes are read by fdb."""
    kind = variable.sqltype & ~1
    return kind in _COLUMNS and not (kind in _TEXTS and variable.sqlsubtype == _OCTETS)


def _passed(structure: Any) -> Any:  # noqa: ANN401 - structures of ctypes
    return ctypes.cast(ctypes.pointer(structure), fbcore.XSQLDA_PTR)


_HEAD: Final = struct.Struct("@4h2P")
"""The beginning of a variable: its type, scale, subtype and length, and where its value and its null are."""
_VARIABLE: Final = ctypes.sizeof(ibase.XSQLVAR)
_FIRST: Final = ibase.XSQLDA.sqlvar.offset
_TO_LENGTH: Final = ibase.XSQLVAR.sqllen.offset
_NULL: Final = ctypes.c_short(-1)
"""What says that a value is null, of the types that may be."""


class _GivenValues:
    """The places of values in one buffer. A value is given as what it is; Firebird makes it that of the column."""

    def __init__(self, structure: Any, variables: Sequence[_Variable]) -> None:  # noqa: ANN401 - a structure of ctypes
        self._structure = structure
        self._subtypes = [one.sqlsubtype for one in variables]
        # Firebird may read a number only where its address is a multiple of its length.
        self._rooms = [max(-(-one.sqllen // 8) * 8, _SHORTEST) for one in variables]
        self._longest = [one.sqllen if one.sqltype & ~1 in _TEXTS else _SHORTEST for one in variables]
        self._buffer = ctypes.create_string_buffer(max(sum(self._rooms), 1))
        self._kinds: list[type] = []
        self._layout = struct.Struct("")

    def give(self, values: Sequence[Value], encoding: str) -> None:
        kinds = list(map(type, values))
        if kinds != self._kinds:
            self._lay_out(kinds)
        given: list[object] = []
        for place, value in enumerate(values):
            if isinstance(value, str):
                data = value.encode(encoding)
                if len(data) > (room := self._longest[place]):
                    # As fdb says it.
                    found = len(data)
                    raise ValueError(f"Value of parameter ({place}) is too long, expected {room}, found {found}")
                struct.pack_into("@h", self._structure, _FIRST + place * _VARIABLE + _TO_LENGTH, len(data))
                given.append(data)
            elif isinstance(value, datetime):
                since = value.replace(tzinfo=None) - _MIDNIGHT
                given += since.days, since.seconds * _UNITS_A_SECOND + since.microseconds // 100
            elif isinstance(value, date):
                given.append(value.toordinal() - _FIRST_DAY)
            elif value is not None:
                given.append(value)
        try:
            self._layout.pack_into(self._buffer, 0, *given)
        except struct.error:
            largest = max([one for one in given if isinstance(one, int)], key=abs)
            raise ValueError(f"{largest} does not fit into 64 bits") from None

    def _lay_out(self, kinds: list[type]) -> None:
        form, place, head = "=", ctypes.addressof(self._buffer), _FIRST
        for kind, room, subtype in zip(kinds, self._rooms, self._subtypes, strict=True):
            code, length, letters = _VALUES[kind]
            part = letters or f"{room}s"
            form += f"{part}{room - struct.calcsize(part)}x"
            of_text = subtype if kind is str else 0
            _HEAD.pack_into(self._structure, head, code, 0, of_text, length, place, ctypes.addressof(_NULL))
            place, head = place + room, head + _VARIABLE
        self._layout, self._kinds = struct.Struct(form), kinds


_VALUES: Final[dict[type, tuple[int, int, str]]] = {
    int: (_INT64, 8, "q"),
    bool: (_INT64, 8, "q"),
    str: (_TEXT, 0, ""),
    datetime: (_TIMESTAMP, 8, "iI"),
    date: (_DATE, 4, "i"),
    type(None): (_TEXT | 1, 0, "0x"),
}
"""By the type of a value, how it is given, its length, and the letters of its bytes; a text has all of its room."""


def _number(letter: str) -> Callable[[_Variable, str, str], tuple[str, int, _Read | None]]:
    def column(variable: _Variable, _: str, __: str) -> tuple[str, int, _Read | None]:
        if not variable.sqlscale:
            return letter, 1, None
        unit = 10**-variable.sqlscale
        return letter, 1, lambda found: Decimal(found) / unit

    return column


def _varying(variable: _Variable, encoding: str, blank: str) -> tuple[str, int, _Read]:
    return f"H{variable.sqllen}s", 2, lambda length, found: found[:length].decode(encoding, _ODD).rstrip(blank)


def _padded(variable: _Variable, encoding: str, blank: str) -> tuple[str, int, _Read]:
    letters = variable.sqllen // _BYTES_A_LETTER.get(variable.sqlsubtype, 1)
    return f"{variable.sqllen}s", 1, lambda found: found.decode(encoding, _ODD)[:letters].rstrip(blank)


_COLUMNS: Final[dict[int, Callable[[_Variable, str, str], tuple[str, int, _Read | None]]]] = {
    _SHORT: _number("h"),
    _LONG: _number("i"),
    _INT64: _number("q"),
    _DOUBLE: _number("d"),
    _VARYING: _varying,
    _TEXT: _padded,
    _TIMESTAMP: lambda *_: ("iI", 2, lambda days, units: _MIDNIGHT + timedelta(days, 0, units * 100)),
    _DATE: lambda *_: ("i", 1, lambda days: date.fromordinal(_FIRST_DAY + days)),
}
"""By the type of a column: the letters of its bytes, how many values they give, and how these are read if not as
they are."""


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
