"""The billing's database, read in short read-only transactions over fdb.

All of it is synchronous; callers in an event loop use `anyio.to_thread.run_sync`. Statements have named parameters,
see `billing.database.sql_blocks`.
"""

import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypeVar

import fdb

from billing.database import client_library as embedded
from billing.database.columns import SelectColumns
from billing.database.dsn import CHARSETS, Dsn
from billing.database.reader import ROWS_A_PAGE, Connection, DatabaseRow, DirectReader
from billing.database.schema import ASKED_FOR, Schema, fitted, parts_of
from billing.database.sql_blocks import SqlStatement, Value, Values, sql_block
from billing.errors import (
    DatabaseAway,
    DatabaseError,
    NoDatabase,
    NotTheBilling,
    SettingsError,
    StatementRefused,
    WrongPassword,
)
from texts.said import reason_of, said, setting

if TYPE_CHECKING:
    from billing.database.file_database import FileDatabase

T = TypeVar("T")

Reader: TypeAlias = "DirectReader | FileDatabase"

TABLES: Final = frozenset({"ABONENTS", "ADMIN_ACCOUNTS", "FINANCE_OPERATIONS"})
# Firebird 2.1 accepts 1,499 values in one `in (…)`.
KEYS_A_STATEMENT: Final = 500
PATIENCE: Final = 5.0
"""Seconds for which closing waits for the call of another thread."""

# Firebird's error codes, from its message file.
_LOST: Final = frozenset({
    335544344,  # i/o error: no such file, or another process has it
    335544375,  # unavailable database
    335544379,  # made by another version
    335544421,  # connection rejected
    335544528,  # database shut down
    335544648,  # connection lost to pipe server
    335544721,  # network error
    335544722,  # establishing a connection
    335544723,  # the same, address
    335544724,  # the same, waiting
    335544725,  # the same, accepting
    335544726,  # reading from the connection
    335544727,  # writing to the connection
    335544741,  # connection lost to database
    335544856,  # connection shut down
})  # fmt: skip
_BAD_FORMAT: Final = 335544323
_BAD_PATH: Final = 335544972
_NOT_CHECKED: Final = 335545106
"""The code of a login that the server could not check. Firebird 3 fails so, once, where it is just closing the idle
database of its users ("connection shutdown" in its firebird.log)."""
_WRONG_PASSWORD: Final = frozenset({335544472, _NOT_CHECKED})
_LOGIN_GAPS: Final = (0.1, 0.5)
"""Seconds before a login that was not checked is tried again."""


def attach(dsn: Dsn) -> Connection:
    """A new connection for one thread at a time, for the mock billing; readers use `Database`.

    Raises `RuntimeMissing`, `NoDatabase`, `DatabaseAway`, `WrongPassword`.
    """
    embedded.load(dsn.client_library)
    _check_letters(dsn)
    if not dsn.on_server:
        try:
            # Firebird would say so in many words, and not as what it is.
            if stat.S_ISDIR((found := Path(dsn.database).stat()).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except OSError as error:
            raise NoDatabase(
                "the database {path} cannot be opened: {why}. Name the file of the billing's database: {flag}",
                path=Path(dsn.database),
                why=reason_of(error),
                flag=setting("database", "PATH"),
            ) from error
        if found.st_uid != embedded.owner() and not embedded.lock_folder_is_shared():
            # The owner's processes use another lock table, and two lock tables on one file would corrupt it.
            raise DatabaseAway(
                "the database {path} belongs to another user: run as that user, or set FIREBIRD_LOCK, for all "
                "processes that open it, to one folder that both can write to",
                path=Path(dsn.database),
            )
    # As UTF-8: otherwise Firebird takes user, password and path to be in the encoding of the locale.
    path = dsn.database.encode("utf-8", "surrogateescape")
    connection: Connection = _attempt(
        dsn, lambda: fdb.connect(**{**_arguments(dsn), "dsn": path, "utf8params": True})
    )
    return connection


def create(dsn: Dsn) -> Connection:
    """Create an empty database and connect to it.

    Raises `DatabaseAway` if the file exists, `SettingsError` for a name that fdb cannot pass on.
    """
    embedded.load(dsn.client_library)
    _check_letters(dsn)
    encoding = sys.getfilesystemencoding()
    try:
        dsn.database.encode(encoding)
    except UnicodeEncodeError:
        raise SettingsError(
            "{database}: the encoding here, {encoding}, does not hold this name: give the new database a name "
            "and a folder in Latin letters, or type this again with LC_ALL=C.UTF-8",
            database=str(dsn),
            encoding=encoding,
        ) from None
    connection: Connection = _attempt(dsn, lambda: fdb.create_database(**_arguments(dsn), page_size=8192))
    return connection


def write_unforced(dsn: Dsn) -> None:
    # This is set through the services manager, which needs the path as the server sees it.
    host, path = dsn.parts
    service = _attempt(dsn, lambda: fdb.services.connect(host=host, user=dsn.user, password=_password(dsn)))
    try:
        # As bytes: fdb refuses a text with letters that are not ASCII, and a folder may have any.
        service.set_write_mode(os.fsencode(path), fdb.services.WRITE_BUFFERED)
    finally:
        service.close()


def direct(dsn: Dsn) -> DirectReader:
    return DirectReader(attach(dsn), dsn.encoding)


class Database:
    """A reader of the billing's database.

    Connects at its first use and again after a lost connection, with `opened`. Threads may share it: calls to
    Firebird are made one at a time. No transaction outlives the iteration over one statement's rows.
    """

    def __init__(self, dsn: Dsn, opened: Callable[[Dsn], Reader] = direct) -> None:
        self.dsn = dsn
        # Reentrant: the garbage collector may close an abandoned iterator during a call of this thread.
        self._one_at_a_time = threading.RLock()
        self._opened = opened
        self._reader: Reader | None = None
        self._lengths: dict[tuple[str, str], int] = {}
        self._schema: Schema | None = None
        self._fitted: dict[str, SqlStatement] = {}

    def connect(self) -> "Reader":
        """Connect, and check that it is the database of a billing.

        Raises `RuntimeMissing`, `NoDatabase`, `DatabaseAway`, `WrongPassword`, `NotTheBilling`.
        """
        with self._one_at_a_time:
            if self._reader is not None:
                return self._reader
            self._reader = reader = self._opened(self.dsn)
            try:
                columns = sql_block("database", "columns", "billing.database")
                self._schema = schema = Schema.of(self.query(columns, {"tables": ASKED_FOR}))
                if missing := sorted(table for table in TABLES if not schema.has(table)):
                    raise NotTheBilling(  # noqa: TRY301 - what is opened is closed
                        "{database} is not a Carbon Billing's database: it has no table {tables}",
                        database=str(self.dsn),
                        tables=tuple(missing),
                    )
            except BaseException:
                self.close()
                raise
            return reader

    @property
    def schema(self) -> Schema:
        """The documented tables and columns that exist, read once a connection. Raises what `query` raises."""
        with self._one_at_a_time:
            if self._reader is None:
                self.connect()
            assert self._schema is not None  # noqa: S101 - connected
            return self._schema

    def fit(self, query: SqlStatement) -> SqlStatement:
        """A statement of ours, fitted to this billing. Raises `ColumnsMissing`, and what `query` raises."""
        with self._one_at_a_time:
            if query.text not in self._fitted:
                self._fitted[query.text] = fitted(query, self.schema)
            return self._fitted[query.text]

    def query(self, query: SqlStatement | str, values: Values | None = None) -> Iterator[DatabaseRow]:
        """The rows, fetched page by page, in a read-only read-committed transaction of their own.

        Text is str without trailing blanks, which Firebird does not compare either; whole numbers of any type are
        int. Raises `DatabaseAway`, `StatementRefused`, and its subclass `ColumnsMissing` if a statement of ours names
        a missing column.
        """
        sql, parameters = self._bound(query, values)

        def begun() -> tuple[Reader, int, list[DatabaseRow]]:
            reader = self.connect()
            return reader, *reader.select(sql, parameters)

        reader, number, page = self._called(begun)
        try:
            yield from page
            while len(page) == ROWS_A_PAGE:
                page = self._called(partial(reader.page, number), reader)
                yield from page
        finally:
            # A short page has ended the select.
            if len(page) == ROWS_A_PAGE:
                with self._one_at_a_time:
                    reader.leave(number)

    def describe(self, query: SqlStatement | str, values: Values | None = None) -> SelectColumns:
        """The columns and the plan of a statement, without running it. Raises `DatabaseAway`, `StatementRefused`."""
        sql, _ = self._bound(query, values)
        return self._called(lambda: self.connect().describe(sql))

    def _called(self, call: Callable[[], T], reader: "Reader | None" = None) -> T:
        """Make one call to Firebird, alone on the connection; its errors become `DatabaseError`.

        `reader` is the connection of the call, if known: an error of an earlier connection does not close the current
        one.
        """
        with self._one_at_a_time:
            try:
                return call()
            except (fdb.Error, ValueError, DatabaseAway) as error:
                known = error if isinstance(error, DatabaseError) else as_database_error(self.dsn, error)
                if isinstance(known, DatabaseAway) and (reader or self._reader) is self._reader:
                    self.close()
                if known is error:
                    raise
                raise known from error

    def _bound(self, query: SqlStatement | str, values: Values | None) -> tuple[str, tuple[Value, ...]]:
        wanted = query if isinstance(query, SqlStatement) else SqlStatement("of the user", query)
        # Statements on Firebird's own tables are not fitted; the schema itself is read by one.
        fits = wanted.ours and parts_of(wanted.text).aliases
        return (self.fit(wanted) if fits else wanted).bind(values or {})

    def pages(
        self, query: SqlStatement | str, values: Values | None = None, *, after: int = 0, size: int = 5_000
    ) -> Iterator[list[DatabaseRow]]:
        """The rows page by page along their key, an integer in the first column.

        The statement has `first :size` and `where key > :after … order by key`. Each page has a transaction of its
        own, which has ended when the caller gets the page. So a page may be worked on for minutes, and another
        process may continue with the last key as `after`.
        """
        while page := list(self.query(query, {**(values or {}), "size": size, "after": after})):
            yield page
            if len(page) < size:
                return
            after = page[-1][0]

    def longest(self, table: str, column: str) -> int:
        with self._one_at_a_time:
            if (table, column) not in self._lengths:
                found = list(
                    self.query(
                        sql_block("database", "length_of_column", "billing.database"),
                        {"table": table, "column": column},
                    )
                )
                self._lengths[table, column] = found[0][0] if found else 0
            return self._lengths[table, column]

    def writes(self, text: str) -> bool:
        try:
            text.encode(self.dsn.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def writable(self, texts: Iterable[str]) -> list[str]:
        each = list(texts)
        return each if self.writes("".join(each)) else [text for text in each if self.writes(text)]

    def close(self) -> None:
        """Close the connection; the next use opens another. A call of another thread is aborted after `PATIENCE`."""
        if not self._one_at_a_time.acquire(timeout=PATIENCE):
            if (busy := self._reader) is not None:
                busy.break_off()
            self._one_at_a_time.acquire()
        try:
            reader, self._reader, self._schema = self._reader, None, None
            self._fitted.clear()
            if reader is not None:
                reader.close()
        finally:
            self._one_at_a_time.release()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def chunks(keys: Iterable[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(keys)
    while chunk := tuple(islice(rest, KEYS_A_STATEMENT)):
        yield chunk


def _arguments(dsn: Dsn) -> dict[str, str]:
    return {"dsn": dsn.database, "user": dsn.user, "password": _password(dsn), "charset": dsn.charset}


def _password(dsn: Dsn) -> str:
    # Without one, fdb would take a password out of the environment.
    return dsn.password.reveal() or "-"


def _check_letters(dsn: Dsn) -> None:
    """Raise `WrongPassword` for a user or a password that the charset cannot hold; fdb would show them."""
    # What is no charset is refused by Firebird.
    encoding = CHARSETS.get(dsn.charset, "utf-8")
    for what, text in ((said("the user's name"), dsn.user), (said("the password"), dsn.password.reveal())):
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            # The error of the codec goes no further: it holds the text.
            raise WrongPassword(
                "{database}: {what} has letters that {charset}, the charset of the database, does not have: "
                "name the billing's charset, or let its administrator change it",
                database=str(dsn),
                what=what,
                charset=dsn.charset,
            ) from None


def _attempt(dsn: Dsn, connect: Callable[[], T], gaps: tuple[float, ...] = _LOGIN_GAPS) -> T:
    """Connect; a login that the server could not check is tried again after each of the gaps, for it did nothing."""
    try:
        return connect()
    except fdb.Error as error:
        if not gaps or _NOT_CHECKED not in error.args:
            raise as_database_error(dsn, error) from error
    time.sleep(gaps[0])
    return _attempt(dsn, connect, gaps[1:])


def as_database_error(dsn: Dsn, error: Exception) -> DatabaseError:
    """The `DatabaseError` for an error of fdb, or of its decoding of texts."""
    codes = {code for code in error.args[1:] if isinstance(code, int)}
    # fdb's first line names its own function, the second is Firebird's SQLCODE.
    lines = [line.removeprefix("- ") for line in str(error.args[0] if error.args else error).split("\n")]
    text = dsn.mask("; ".join(line for line in lines if not line.startswith("SQLCODE")).strip())
    if isinstance(error, UnicodeDecodeError):
        return StatementRefused(
            "the texts of {database} are not in {charset}: set its charset, WIN1251 perhaps",
            database=str(dsn),
            charset=dsn.charset,
        )
    if isinstance(error, UnicodeEncodeError):
        letters = error.object[error.start : error.end]
        return StatementRefused(
            "{charset}, the charset of {database}, has no letters for {letters}",
            charset=dsn.charset,
            database=str(dsn),
            letters=repr(letters),
        )
    if _BAD_PATH in codes and not dsn.database.isascii():
        return DatabaseAway(
            "Firebird cannot read the path {database} in the locale of this command: type it again with "
            "LC_ALL=C.UTF-8, or give the database a path in Latin letters",
            database=str(dsn),
        )
    if _BAD_FORMAT in codes:
        return NoDatabase(
            "{database} is not a database of Firebird. Name the billing's database: {flag}",
            database=str(dsn),
            flag=setting("database", "PATH"),
        )
    if codes & _WRONG_PASSWORD:
        return WrongPassword(
            "{database}: the server refuses the user {user} or the password", database=str(dsn), user=dsn.user
        )
    if codes & _LOST:
        return DatabaseAway("{database} cannot be reached: {why}", database=str(dsn), why=text)
    return StatementRefused(text)
