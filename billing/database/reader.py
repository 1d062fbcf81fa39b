"""The reader of a `Database`: the protocol, and the one over an fdb connection of this process."""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, Protocol

import fdb

from billing.database.columns import SelectColumns, describe_columns
from billing.database.prepared import Prepared
from billing.database.sql_blocks import Value, blocks
from billing.errors import NotASelect
from texts.said import said

DatabaseRow = tuple[Any, ...]  # only the caller knows the types of the columns

FirebirdError: Final = fdb.Error
"""Any error of Firebird or of fdb, for whoever holds a `Connection`: this folder alone imports fdb."""
FirebirdRefusal: Final = fdb.DatabaseError
"""An error of Firebird's own, about a statement or its values."""

ROWS_A_PAGE: Final = 1_000


class DatabaseRows(Protocol):
    """The rows of a select, page by page, in a read-only read-committed transaction of its own."""

    def page(self) -> list[DatabaseRow]:
        """The next rows, at most `ROWS_A_PAGE`, as plain values; none at the end."""

    def close(self) -> None:
        """End the transaction; raises nothing."""


class Reader(Protocol):
    """A connection for one call at a time, except `break_off`. Its errors are those of the class."""

    def select(self, sql: str, values: Sequence[Value]) -> DatabaseRows:
        """Execute a select with `?` for its values."""

    def describe(self, sql: str) -> SelectColumns:
        """Prepare a statement; its columns."""

    def break_off(self) -> None:
        """Abort the call of another thread, if possible; that call raises."""

    def close(self) -> None:
        """Close the connection; raises nothing."""


class Cursor(Protocol):
    """The part of an fdb cursor that is used."""

    @property
    def description(self) -> Sequence[Sequence[Any]]: ...  # noqa: D102 - PEP 249
    def prep(self, sql: str) -> Any: ...  # noqa: ANN401, D102 - a prepared statement, for execute
    def execute(self, operation: object, parameters: Sequence[object] = ...) -> object: ...  # noqa: D102 - PEP 249
    def fetchone(self) -> DatabaseRow | None: ...  # noqa: D102 - PEP 249
    def fetchmany(self, size: int) -> list[DatabaseRow]: ...  # noqa: D102 - PEP 249
    def fetchall(self) -> list[DatabaseRow]: ...  # noqa: D102 - PEP 249
    def close(self) -> None: ...  # noqa: D102 - PEP 249


class Transaction(Protocol):
    """The part of an fdb transaction that is used."""

    def begin(self) -> None: ...  # noqa: D102 - as in fdb
    def cursor(self) -> Cursor: ...  # noqa: D102 - as in fdb
    def execute_immediate(self, sql: str) -> None: ...  # noqa: D102 - as in fdb
    def rollback(self) -> None: ...  # noqa: D102 - as in fdb
    def close(self) -> None: ...  # noqa: D102 - as in fdb


class Connection(Protocol):
    """The part of an fdb connection that is used."""

    main_transaction: Any

    def trans(self, default_tpb: object = ...) -> Transaction: ...  # noqa: D102 - as in fdb
    def cursor(self) -> Cursor: ...  # noqa: D102 - PEP 249
    def execute_immediate(self, sql: str) -> None: ...  # noqa: D102 - as in fdb
    def savepoint(self, name: str) -> None: ...  # noqa: D102 - as in fdb
    def commit(self) -> None: ...  # noqa: D102 - PEP 249
    def rollback(self, retaining: bool = ..., savepoint: str | None = ...) -> None: ...  # noqa: D102, FBT001 - fdb's
    def close(self) -> None: ...  # noqa: D102 - PEP 249


class DirectReader:
    """Reads over a connection of this process, which it owns.

    Raises `fdb.Error`, ValueError, and `NotASelect` for a statement that is none.
    """

    def __init__(self, connection: Connection, encoding: str) -> None:
        self._connection = connection
        self._encoding = encoding
        _set_legacy_types(connection)

    def select(self, sql: str, values: Sequence[Value]) -> "DirectRows":
        """Execute a select."""
        transaction = self._begun()
        try:
            statement = Prepared(transaction, transaction.cursor(), sql, self._encoding, trim=True)
            _check_select(statement)
            statement.execute(values)
            return DirectRows(statement, transaction)
        except BaseException:
            _close(transaction)
            raise

    def describe(self, sql: str) -> SelectColumns:
        """Prepare a statement; its columns."""
        transaction = self._begun()
        try:
            # fdb's statement refers to its cursor weakly.
            cursor = transaction.cursor()
            return describe_columns(cursor.prep(sql), self._encoding)
        finally:
            _close(transaction)

    def break_off(self) -> None:
        """Cancel the call of another thread, if there is one."""
        # fdb does not offer this, and the library of Firebird 2.1 does not have it.
        cancel = getattr(fdb.fbcore.api.client_library, "fb_cancel_operation", None)
        handle = getattr(self._connection, "_db_handle", None)
        if cancel is not None and handle is not None:
            # The status is ignored: there may have been nothing to cancel.
            cancel(fdb.fbcore.ISC_STATUS_ARRAY(), ctypes.byref(handle), _CANCEL_RAISE)

    def close(self) -> None:
        """Close the connection and everything open on it."""
        with suppress(fdb.Error):
            self._connection.close()

    def _begun(self) -> Transaction:
        transaction = self._connection.trans(_read_only())
        try:
            transaction.begin()
        except BaseException:
            _close(transaction)
            raise
        return transaction


class DirectRows:
    """The rows of a `DirectReader`. Raises `fdb.Error` and ValueError."""

    def __init__(self, statement: Prepared, transaction: Transaction) -> None:
        self._statement = statement
        self._transaction = transaction

    def page(self) -> list[DatabaseRow]:
        """The next rows."""
        cursor: Cursor | None = self._statement.cursor
        if cursor is None:
            return self._statement.fetch(ROWS_A_PAGE)
        return list(map(_plain(cursor.description), cursor.fetchmany(ROWS_A_PAGE)))

    def close(self) -> None:
        """End statement and transaction."""
        self._statement.close()
        _close(self._transaction)


def _check_select(statement: Prepared) -> None:
    """Raise `NotASelect` for any other, which has no rows to give, as `create user`."""
    if not statement.is_select:
        raise NotASelect(said("this is not a select, and only a select is taken"))


_CANCEL_RAISE: Final = ctypes.c_ushort(3)


def _close(transaction: Transaction) -> None:
    # The transaction of a lost connection is lost too, and fdb takes a failed select for open: closing it fails.
    with suppress(fdb.Error, ReferenceError):
        transaction.close()


def _set_legacy_types(connection: Connection) -> None:
    transaction = connection.trans(_read_only())
    # Firebird before version 4 does not know these statements and does not need them.
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
    """The function that turns a row into plain values; it changes only the columns that need it."""
    texts = [number for number, column in enumerate(description) if column[1] is str]
    # A numeric(18, 0) is a whole number, which fdb returns as a Decimal.
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


def _text(value: Any) -> object:  # noqa: ANN401 - fdb's values have no type
    # A long blob is a file to read from; values without a charset are bytes and stay bytes.
    whole = value.read() if isinstance(value, fdb.BlobReader) else value
    return whole.rstrip(" ") if isinstance(whole, str) else whole
