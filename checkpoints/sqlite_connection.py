"""Connections to a journal's file: their pragmas, their SQL functions, and the read connection."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

from checkpoints.errors import JournalUnreadable
from checkpoints.own_files import check_beside
from checkpoints.queries import FoundRow, Queries, Result, Value, bind, blocks
from checkpoints.store import Reader
from checkpoints.writer import Dialect
from texts.said import said

# ---- the blocks of `queries.sql` on a connection of SQLite ----------------------------


class SqliteQueries(Queries):
    """Runs blocks on a connection of SQLite. Raises `sqlite3.Error`."""

    def __init__(self, connection: sqlite3.Connection, name: Path | str = "") -> None:
        self._connection = connection
        self._name = name

    def run(self, name: str, values: Mapping[str, Value]) -> sqlite3.Cursor:
        return self._connection.execute(blocks()[name], bind(values))

    # Most calls of a run are these two: each with a frame less than that of all stores.

    def first(self, name: str, /, **values: Value) -> FoundRow | None:
        row: FoundRow | None = self._connection.execute(blocks()[name], bind(values)).fetchone()
        return row

    def write(self, name: str, /, **values: Value) -> int:
        return self._connection.execute(blocks()[name], bind(values)).rowcount

    def check(self, name: str, judge: Callable[[int], None], /, **values: Value) -> None:
        cursor = self.run(name, values)
        found = len(cursor.fetchall())
        judge(found if cursor.description else cursor.rowcount)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._connection.execute("begin")
        try:
            yield
        finally:
            self._connection.execute("rollback")

    def attempt(self, work: Callable[[Queries], Result]) -> Result:
        try:
            return work(self)
        except sqlite3.Error as error:
            raise JournalUnreadable(
                "the journal {name} cannot be read: {error}", name=self._name, error=error
            ) from error


# ---- connections to a journal's file ------------------------------------------------------------------------------


BUSY_SECONDS: Final = 30
"""Maximum seconds that a write waits for another process's commit."""

_BETWEEN_INTERRUPTS: Final = 0.05


class _DecimalSum:
    """`decimal_sum(amount)`: the exact sum of decimals as text; the `sqlite3` shell has one of the same name."""

    def __init__(self) -> None:
        self._sum = Decimal(0)

    def step(self, value: str | None) -> None:
        if value is not None:
            self._sum += Decimal(value)

    def finalize(self) -> str:
        return format(self._sum, "f")


SQLITE: Final[Dialect] = Dialect("begin immediate", sqlite3.Error, sqlite3.Connection.interrupt)
"""For the writer of a journal."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal at `path` in autocommit mode, for explicit transactions. Raises `JournalUnreadable`."""
    with explained(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        set_up(connection)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
    # SQLite has created its own files only now.
    check_beside(path)
    return connection


def set_up(connection: sqlite3.Connection) -> None:
    """Give a connection what the blocks need of it, wherever its database is."""
    connection.row_factory = sqlite3.Row
    _add_functions(connection)
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma recursive_triggers = on")


def connect_to_look(path: Path) -> sqlite3.Connection:
    check_beside(path.resolve())
    with explained(path):
        connection = sqlite3.connect(read_only(path), uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    _add_functions(connection)
    return connection


def _add_functions(connection: sqlite3.Connection) -> None:
    connection.create_function("seconds", 0, _seconds)
    connection.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]  # the stub knows int only


def _seconds() -> float:
    """The wall clock. SQLite holds the function where the collector of Python does not look: nothing hangs on it."""
    return time.time()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise `JournalUnreadable` for an error of SQLite, also in words where another kind of file was named."""
    try:
        yield
    except sqlite3.Error as error:
        why = str(error)
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            why = said("this is another kind of file ({error})", error=why)
        raise JournalUnreadable("{path} cannot be used as a journal: {error}", path=path, error=why) from error


def read_only(path: Path) -> str:
    """The SQLite URI that opens a file read-only; special characters of the path are percent-encoded."""
    return f"{path.absolute().as_uri()}?mode=ro"


class JournalReader(Reader):
    """The read connection to a journal in a file; a read that does not end is interrupted by the close."""

    def close(self) -> None:
        """Interrupt the read under way, and close the connection once no thread is inside; blocks."""
        if not self._inside.acquire(blocking=False):
            self.connection.interrupt()
            # Repeated, because SQLite ignores an interruption that comes just before its statement.
            while not self._inside.acquire(timeout=_BETWEEN_INTERRUPTS):
                self.connection.interrupt()
            # The interruption outlives its statement and would prevent the checkpoint of the log at close.
            self.connection.execute("select 1")
        try:
            self.connection.close()
        finally:
            self._inside.release()
