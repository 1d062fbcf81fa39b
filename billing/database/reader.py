"""What a `Database` needs of a connection, and the one that has it in this process, over fdb."""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, Protocol

import fdb

from billing.database.columns import SelectColumns, describe_columns
from billing.database.sql_blocks import Value, blocks

DatabaseRow = tuple[Any, ...]  # what the columns of a statement give is known to the caller only

ROWS_A_PAGE: Final = 1_000


class DatabaseRows(Protocol):
    """What a select gives, page by page, in a read-only read-committed transaction of its own."""

    def page(self) -> list[DatabaseRow]:
        """The next rows, `ROWS_A_PAGE` at most and plain; none when there are no more."""

    def close(self) -> None:
        """End the transaction; raises nothing."""


class Reader(Protocol):
    """A connection for one call at a time, but for `break_off`. Raises what its maker says."""

    def select(self, sql: str, values: Sequence[Value]) -> DatabaseRows:
        """Execute a select with `?` for its values."""

    def describe(self, sql: str) -> SelectColumns:
        """Prepare a statement, and tell what it would give."""

    def break_off(self) -> None:
        """End the call that another thread is in, if that is possible: it raises then."""

    def close(self) -> None:
        """End the connection; raises nothing."""


class Cursor(Protocol):
    """What is used of an fdb cursor."""

    @property
    def description(self) -> Sequence[Sequence[Any]]: ...  # noqa: D102 - PEP 249
    def prep(self, sql: str) -> object: ...  # noqa: D102 - a prepared statement, to give to execute
    def execute(self, operation: object, parameters: Sequence[object] = ...) -> object: ...  # noqa: D102 - PEP 249
    def fetchone(self) -> DatabaseRow | None: ...  # noqa: D102 - PEP 249
    def fetchmany(self, size: int) -> list[DatabaseRow]: ...  # noqa: D102 - PEP 249
    def fetchall(self) -> list[DatabaseRow]: ...  # noqa: D102 - PEP 249
    def close(self) -> None: ...  # noqa: D102 - PEP 249


class Transaction(Protocol):
    """What is used of an fdb transaction."""

    def begin(self) -> None: ...  # noqa: D102 - as in fdb
    def cursor(self) -> Cursor: ...  # noqa: D102 - as in fdb
    def execute_immediate(self, sql: str) -> None: ...  # noqa: D102 - as in fdb
    def rollback(self) -> None: ...  # noqa: D102 - as in fdb
    def close(self) -> None: ...  # noqa: D102 - as in fdb


class Connection(Protocol):
    """What is used of an fdb connection."""

    def trans(self, default_tpb: object = ...) -> Transaction: ...  # noqa: D102 - as in fdb
    def cursor(self) -> Cursor: ...  # noqa: D102 - PEP 249
    def execute_immediate(self, sql: str) -> None: ...  # noqa: D102 - as in fdb
    def savepoint(self, name: str) -> None: ...  # noqa: D102 - as in fdb
    def commit(self) -> None: ...  # noqa: D102 - PEP 249
    def rollback(self, retaining: bool = ..., savepoint: str | None = ...) -> None: ...  # noqa: D102, FBT001 - fdb's
    def close(self) -> None: ...  # noqa: D102 - PEP 249


class DirectReader:
    """Reads over a connection of this process, which is its own from then on. Raises `fdb.Error` and ValueError."""

    def __init__(self, connection: Connection, encoding: str) -> None:
        self._connection = connection
        self._encoding = encoding
        _speak_as_old_ones_do(connection)

    def select(self, sql: str, values: Sequence[Value]) -> "DirectRows":
        """Execute a select."""
        transaction, cursor = self._begun()
        try:
            cursor.execute(sql, values)
            return DirectRows(cursor, transaction)
        except BaseException:
            _close(cursor, transaction)
            raise

    def describe(self, sql: str) -> SelectColumns:
        """Prepare a statement and tell what it would give."""
        transaction, cursor = self._begun()
        try:
            return describe_columns(cursor.prep(sql), self._encoding)
        finally:
            _close(cursor, transaction)

    def break_off(self) -> None:
        """Cancel the call that another thread is in; where there is none, nothing happens."""
        # fdb has no door to this, and a library of Firebird 2.1 nothing behind it.
        cancel = getattr(fdb.fbcore.api.client_library, "fb_cancel_operation", None)
        handle = getattr(self._connection, "_db_handle", None)
        if cancel is not None and handle is not None:
            # What is answered may be that there was nothing to cancel.
            cancel(fdb.fbcore.ISC_STATUS_ARRAY(), ctypes.byref(handle), _CANCEL_RAISE)

    def close(self) -> None:
        """Close the connection, and all that is open on it."""
        with suppress(fdb.Error):
            self._connection.close()

    def _begun(self) -> tuple[Transaction, Cursor]:
        transaction = self._connection.trans(_read_only())
        try:
            transaction.begin()
            return transaction, transaction.cursor()
        except BaseException:
            _close(transaction)
            raise


class DirectRows:
    """The rows of a `DirectReader`. Raises `fdb.Error` and ValueError."""

    def __init__(self, cursor: Cursor, transaction: Transaction) -> None:
        self._cursor = cursor
        self._transaction = transaction
        self._plain = _plain(cursor.description)

    def page(self) -> list[DatabaseRow]:
        """The next rows."""
        return list(map(self._plain, self._cursor.fetchmany(ROWS_A_PAGE)))

    def close(self) -> None:
        """End cursor and transaction."""
        _close(self._cursor, self._transaction)


_CANCEL_RAISE: Final = ctypes.c_ushort(3)


def _close(*opened: Cursor | Transaction) -> None:
    # A connection that was lost took its transaction along; and fdb believes that a select which failed is open, so
    # that closing it fails as well.
    for one in opened:
        with suppress(fdb.Error, ReferenceError):
            one.close()


def _speak_as_old_ones_do(connection: Connection) -> None:
    transaction = connection.trans(_read_only())
    # Firebird before version 4 knows no such statement, and needs none.
    with suppress(fdb.Error):
        for block in blocks("session", "billing.database").values():
            transaction.execute_immediate(block.text)
    with suppress(fdb.Error):
        transaction.close()


def _read_only() -> object:
    tpb = fdb.TPB()
    tpb.access_mode = fdb.isc_tpb_read
    tpb.isolation_level = (fdb.isc_tpb_read_committed, fdb.isc_tpb_rec_version)
    return tpb


def _plain(description: Sequence[Sequence[Any]]) -> Callable[[DatabaseRow], DatabaseRow]:
    """What makes a row of plain values: only the columns that need it are touched."""
    texts = [number for number, column in enumerate(description) if column[1] is str]
    # A numeric(18, 0) is a whole number, which fdb gives as a Decimal.
    wholes = [number for number, column in enumerate(description) if column[1] is Decimal and column[5] == 0]
    if not texts and not wholes:
        return lambda row: row

    def plain(row: DatabaseRow) -> DatabaseRow:
        values = list(row)
        for number in texts:
            if values[number] is not None:
                values[number] = _text(values[number])
        for number in wholes:
            if values[number] is not None:
                values[number] = int(values[number])
        return tuple(values)

    return plain


def _text(value: Any) -> object:  # noqa: ANN401 - what fdb gives has no type
    # A long blob comes as a file to read from; what has no charset as bytes, and these as they are.
    whole = value.read() if isinstance(value, fdb.BlobReader) else value
    return whole.rstrip(" ") if isinstance(whole, str) else whole
