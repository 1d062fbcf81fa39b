"""The one door to the billing's database: short read-only transactions over fdb.

All of it is synchronous; callers in an event loop go through `anyio.to_thread.run_sync`. Statements have named
parameters, see `billing.statements`.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import fdb

from billing import embedded
from billing.database_errors import DatabaseAway, DatabaseError, StatementRefused, WrongPassword
from billing.described import Described, described
from billing.errors import NotTheBilling
from billing.statements import Statement, Values, blocks, statement

T = TypeVar("T")
Row = tuple[Any, ...]  # what the columns of a statement give is known to the caller only

TABLES: Final = frozenset({"ABONENTS", "ADMIN_ACCOUNTS", "FINANCE_OPERATIONS"})
# Firebird 2.1 takes 1,499 values in one `in (…)`.
KEYS_A_STATEMENT: Final = 500
_FETCHED_AT_ONCE: Final = 1_000

_SERVER = re.compile(r"^(inet\d?://|(\[[^]]+\]|\w[^/\\:]*)(/\w+)?:)")
# Firebird's own codes of errors, from its message file.
_LOST: Final = frozenset({
    335544323,  # bad database format
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
_WRONG_PASSWORD: Final = frozenset({335544472, 335545106})


@dataclass(frozen=True, slots=True)
class Dsn:
    """Where the billing's database is.

    `database` is a path, opened by the embedded engine, or `host:path` or `host/port:path`, opened by that server.
    `charset` is `UTF8`, or `WIN1251` for version 4 of the billing. `client_library` is a `libfbclient` to use in
    place of the one that came along.
    """

    database: str
    user: str = "sysdba"
    password: str = field(default="", repr=False)
    charset: str = "UTF8"
    client_library: Path | None = None

    @property
    def on_server(self) -> bool:
        """Whether a server opens the database, not this process."""
        return _SERVER.match(self.database) is not None

    @property
    def parts(self) -> tuple[str, str]:
        """The server, empty for the embedded engine, and the path as it knows it."""
        if not self.on_server:
            return "", self.database
        server, _, path = self.database.rpartition(":")
        return server, path

    @property
    def encoding(self) -> str:
        """The charset in Python's spelling."""
        return {"WIN1251": "cp1251"}.get(self.charset, self.charset)

    def __str__(self) -> str:
        return self.database


class Cursor(Protocol):
    """What is used of an fdb cursor."""

    @property
    def description(self) -> Sequence[Sequence[Any]]: ...  # noqa: D102 - PEP 249
    def prep(self, sql: str) -> object: ...  # noqa: D102 - a prepared statement, to give to execute
    def execute(self, operation: object, parameters: Sequence[object] = ...) -> object: ...  # noqa: D102 - PEP 249
    def fetchone(self) -> Row | None: ...  # noqa: D102 - PEP 249
    def fetchmany(self, size: int) -> list[Row]: ...  # noqa: D102 - PEP 249
    def fetchall(self) -> list[Row]: ...  # noqa: D102 - PEP 249
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


def attach(dsn: Dsn) -> Connection:
    """A connection of its own, for one thread at a time, as the mock billing needs it; `Database` is for readers.

    Raises `RuntimeMissing`, `DatabaseAway`, `WrongPassword`.
    """
    embedded.load(dsn.client_library)
    if not dsn.on_server:
        _check_file(Path(dsn.database))
    connection: Connection = _attempt(dsn, lambda: fdb.connect(**_arguments(dsn)))
    return connection


def create(dsn: Dsn) -> Connection:
    """A new, empty database, with a connection to it; raises `DatabaseAway` where one is already."""
    embedded.load(dsn.client_library)
    connection: Connection = _attempt(dsn, lambda: fdb.create_database(**_arguments(dsn), page_size=8192))
    return connection


def write_unforced(dsn: Dsn) -> None:
    """Let the system's cache keep what is written to a database: for the mock billing, whose loss is no loss."""
    # The dialect's own door to this is the services manager, which needs the path as the server sees it.
    host, path = dsn.parts
    service = _attempt(dsn, lambda: fdb.services.connect(host=host, user=dsn.user, password=dsn.password or "-"))
    try:
        service.set_write_mode(path, fdb.services.WRITE_BUFFERED)
    finally:
        service.close()


class Database:
    """A reader of the billing's database.

    Connects at its first use, and anew after a connection was lost. May be shared by threads: each call to Firebird
    is one thread's at a time. No transaction lives longer than the iteration over one statement's rows.
    """

    def __init__(self, dsn: Dsn) -> None:
        self.dsn = dsn
        # Reentrant: the garbage collector may close an abandoned iterator while this thread is inside a call.
        self._one_at_a_time = threading.RLock()
        self._connection: Connection | None = None
        self._lengths: dict[tuple[str, str], int] = {}

    def connect(self) -> None:
        """Connect, and see that it is a billing.

        Raises `RuntimeMissing`, `DatabaseAway`, `WrongPassword`, `NotTheBilling`.
        """
        with self._one_at_a_time:
            if self._connection is not None:
                return
            self._connection = attach(self.dsn)
            _speak_as_old_ones_do(self._connection)
            found = {name for (name,) in self.query(statement("billing", "tables"))}
            if missing := TABLES - found:
                self.close()
                raise NotTheBilling(
                    f"{self.dsn} is not a Carbon Billing's database: it has no table {', '.join(sorted(missing))}"
                )

    def query(self, query: Statement | str, values: Values | None = None) -> Iterator[Row]:
        """The rows, a thousand fetched at a time, in a read-only read-committed transaction of their own.

        Text comes as str without trailing blanks (which Firebird does not compare either), whole numbers as int
        however they are declared. Raises `DatabaseAway`, `StatementRefused`.
        """
        wanted = query if isinstance(query, Statement) else Statement("of the user", query)
        sql, parameters = wanted.bind(values or {})
        transaction = cursor = None
        try:
            with self._calling():
                self.connect()
                assert self._connection is not None  # noqa: S101 - connect made it
                transaction = self._connection.trans(_read_only())
                transaction.begin()
                cursor = transaction.cursor()
                cursor.execute(sql, parameters)
                plain = _plain(cursor.description)
            while True:
                with self._calling():
                    rows = cursor.fetchmany(_FETCHED_AT_ONCE)
                if not rows:
                    return
                yield from map(plain, rows)
        finally:
            with self._one_at_a_time:
                _close(cursor, transaction)

    def describe(self, query: Statement | str, values: Values | None = None) -> Described:
        """What a statement would give and how, told without running it. Raises `DatabaseAway`, `StatementRefused`."""
        wanted = query if isinstance(query, Statement) else Statement("of the user", query)
        sql, _ = wanted.bind(values or {})
        transaction = cursor = None
        with self._calling():
            try:
                self.connect()
                assert self._connection is not None  # noqa: S101 - connect made it
                transaction = self._connection.trans(_read_only())
                transaction.begin()
                cursor = transaction.cursor()
                return described(cursor.prep(sql), self.dsn.encoding)
            finally:
                _close(cursor, transaction)

    def pages(
        self, query: Statement | str, values: Values | None = None, *, after: int = 0, size: int = 5_000
    ) -> Iterator[list[Row]]:
        """The rows page by page along their key, an integer, which is the first column.

        The statement has `first :size` and `where key > :after … order by key`. Each page is a transaction of its
        own, over when the caller gets it: one may take minutes over a page, and go on in another process with the
        last key as `after`.
        """
        while page := list(self.query(query, {**(values or {}), "size": size, "after": after})):
            yield page
            if len(page) < size:
                return
            after = page[-1][0]

    def longest(self, table: str, column: str) -> int:
        """How many characters a text column holds; 0 when there is no such column."""
        with self._one_at_a_time:
            if (table, column) not in self._lengths:
                found = list(self.query(statement("billing", "length_of_column"), {"table": table, "column": column}))
                self._lengths[table, column] = found[0][0] if found else 0
            return self._lengths[table, column]

    def writes(self, text: str) -> bool:
        """Whether the connection's charset has all letters of a text."""
        try:
            text.encode(self.dsn.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._one_at_a_time:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(fdb.Error):
                    connection.close()

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _calling(self) -> "_Calling":
        return _Calling(self)


class _Calling:
    """One call to Firebird: alone on the connection, its errors told in our words."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database._one_at_a_time.acquire()  # noqa: SLF001 - a part of Database

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, fdb.Error | ValueError):
                told = _told(self._database.dsn, error)
                if isinstance(told, DatabaseAway):
                    self._database.close()
                raise told from error
        finally:
            self._database._one_at_a_time.release()  # noqa: SLF001 - a part of Database


def chunks(keys: Iterable[T], size: int = KEYS_A_STATEMENT) -> Iterator[tuple[T, ...]]:
    """The keys, as many at a time as go into one `in (…)`."""
    rest = iter(keys)
    while chunk := tuple(islice(rest, size)):
        yield chunk


def _arguments(dsn: Dsn) -> dict[str, str]:
    return {"dsn": dsn.database, "user": dsn.user, "password": dsn.password or "-", "charset": dsn.charset}


def _attempt(dsn: Dsn, connect: Callable[[], T]) -> T:
    try:
        return connect()
    except fdb.Error as error:
        raise _told(dsn, error) from error


def _check_file(path: Path) -> None:
    try:
        owner = path.stat().st_uid
    except OSError as error:
        raise DatabaseAway(f"the database {path} cannot be opened: {error.strerror}") from error
    if owner != embedded.owner() and not embedded.lock_folder_is_shared():
        # Two lock tables on one file would corrupt it, and its owner's processes have their own.
        raise DatabaseAway(
            f"the database {path} belongs to another user: run as that user, or set FIREBIRD_LOCK, "
            "for all processes that open it, to one folder that both can write to"
        )


def _close(*opened: Cursor | Transaction | None) -> None:
    # A connection that was lost took its transaction along; and fdb believes that a select which failed is open, so
    # that closing it fails as well.
    for one in opened:
        if one is not None:
            with suppress(fdb.Error, ReferenceError):
                one.close()


def _speak_as_old_ones_do(connection: Connection) -> None:
    transaction = connection.trans(_read_only())
    # Firebird before version 4 knows no such statement, and needs none.
    with suppress(fdb.Error):
        for block in blocks("session").values():
            transaction.execute_immediate(block.text)
    with suppress(fdb.Error):
        transaction.close()


def _read_only() -> object:
    tpb = fdb.TPB()
    tpb.access_mode = fdb.isc_tpb_read
    tpb.isolation_level = (fdb.isc_tpb_read_committed, fdb.isc_tpb_rec_version)
    return tpb


def _plain(description: Sequence[Sequence[Any]]) -> Callable[[Row], Row]:
    """What makes a row of plain values: only the columns that need it are touched."""
    texts = [number for number, column in enumerate(description) if column[1] is str]
    # A numeric(18, 0) is a whole number, which fdb gives as a Decimal.
    wholes = [number for number, column in enumerate(description) if column[1] is Decimal and column[5] == 0]
    if not texts and not wholes:
        return lambda row: row

    def plain(row: Row) -> Row:
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


def _told(dsn: Dsn, error: Exception) -> DatabaseError:
    codes = {code for code in error.args[1:] if isinstance(code, int)}
    # fdb's own first line says which of its functions failed, the second Firebird's SQLCODE.
    lines = [line.removeprefix("- ") for line in str(error.args[0] if error.args else error).split("\n")]
    text = "; ".join(line for line in lines if not line.startswith("SQLCODE")).strip()
    if isinstance(error, UnicodeDecodeError):
        return StatementRefused(f"the texts of {dsn} are not in {dsn.charset}: set its charset, WIN1251 perhaps")
    if isinstance(error, UnicodeEncodeError):
        return StatementRefused(f"{dsn.charset}, the charset of {dsn}, has no letters for {error.object!r}")
    if codes & _WRONG_PASSWORD:
        return WrongPassword(f"{dsn}: the server refuses the user {dsn.user} or the password")
    if codes & _LOST:
        return DatabaseAway(f"{dsn} cannot be reached: {text}")
    return StatementRefused(text)
