"""The store of a journal in one SQLite file: a read connection, a write thread, and the locks of its runs."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

from checkpoints.errors import JournalNotCleaned, JournalOtherFormat, JournalUnreadable
from checkpoints.journal_file import JournalAddress, JournalFile, none_taken_up
from checkpoints.own_files import check_beside, copy_name, keep_copy
from checkpoints.queries import (
    FIRST_CONVERTED,
    FORMAT,
    FoundRow,
    Queries,
    Result,
    Value,
    are_filled,
    bind,
    blocks,
    fill_states,
    schema,
    upgrade,
)
from checkpoints.states import State
from checkpoints.store import Reader, Store
from checkpoints.transitions import refuse_conversion, refuse_held
from checkpoints.writer import Dialect, Writer
from texts.said import advised, said, text_of

# ---- the blocks of `queries.sql` on a connection of SQLite --------------------------------------------------------


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

    def check(self, name: str, wanted: int, refuse: Callable[[int], None], /, **values: Value) -> None:
        cursor = self.run(name, values)
        rows = len(cursor.fetchall())
        if (found := rows if cursor.description else cursor.rowcount) != wanted:
            refuse(found)

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
    """Open the file at `path` in autocommit mode, for explicit transactions. Raises `JournalUnreadable`."""
    with explained(path):
        connection = connect_to_read(path)
        set_up(connection)
        connection.execute("pragma synchronous = full")
    return connection


def set_up(connection: sqlite3.Connection) -> None:
    """Give a connection what the blocks need of it, wherever its database is."""
    set_up_to_read(connection)
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma recursive_triggers = on")


def set_up_to_read(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.create_function("seconds", 0, _seconds)
    connection.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]  # the stub knows int only


def connect_to_read(database: Path | str) -> sqlite3.Connection:
    """Open a file, or the one that a URI names."""
    is_uri = isinstance(database, str)
    connection = sqlite3.connect(database, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=is_uri)
    set_up_to_read(connection)
    return connection


def connect_to_look(path: Path) -> sqlite3.Connection:
    check_beside(path.resolve())
    with explained(path):
        return connect_to_read(read_only(path))


def _seconds() -> float:
    """The wall clock. SQLite holds the function where the collector of Python does not look: nothing hangs on it."""
    return time.time()


_PRIMARY: Final = 0xFF
"""The bits of an extended error code of SQLite that are its primary one."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise `JournalUnreadable` for an error of SQLite, also in words where another kind of file was named."""
    try:
        yield
    except sqlite3.Error as error:
        why, code = text_of(error), getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        if code == sqlite3.SQLITE_NOTADB:
            why = said("this is another kind of file ({error})", error=why)
        elif code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}:
            why = said("its disk is full, or fails ({error})", error=why)
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


# ---- the schema of a journal file ---------------------------------------------------------------------------------


APPLICATION_ID: Final = 0x434D4A31
"""Marks the file as a journal (`CMJ1`), so that another program's database is never written to."""

_CONVERTED: Final = range(FIRST_CONVERTED, FORMAT)


def prepare(path: Path) -> None:
    """Create a journal in an empty file at `path`, or bring an older one up to date. Raises what `make` raises."""
    with contextlib.closing(connect(path)) as connection:
        make(connection, path)


def make(connection: sqlite3.Connection, path: Path, *, in_use: bool = False) -> Path | None:
    """Create a journal in an empty file, or bring an older one and its table of states up to date.

    Returns the copy of an older one that is kept beside it, None where nothing was converted. Raises
    `JournalOtherFormat` for a journal of another format or with newer states, `JournalUnreadable` for a file that is
    not a journal, or of which no copy can be kept, and `RunHeld` for an older one that is `in_use`; none of them is
    changed. Closing the connection rolls back what it had begun.
    """
    db, copy = SqliteQueries(connection), None
    with explained(path):
        # First, for WAL mode would change another program's database.
        found = _format_of(connection, path)
        connection.execute("pragma journal_mode = wal")
        if found != FORMAT or not are_filled(db):
            connection.execute("begin immediate")
            found = _format_of(connection, path)
            if found in _CONVERTED:
                if in_use:
                    refuse_conversion(path)
                # In the transaction, so that nobody writes between the copy and the conversion.
                copy = keep_copy(path, found)
            if found != FORMAT:
                _run_script(connection, upgrade(found) if found else schema())
                connection.execute(f"pragma application_id = {APPLICATION_ID}")
                connection.execute(f"pragma user_version = {FORMAT}")
            fill_states(db)
            connection.execute("commit")
    # SQLite has created its own files only now.
    check_beside(path)
    return copy


@contextmanager
def empty() -> Iterator[Queries]:
    """The blocks of an empty journal in memory, read-only; blocks."""
    with contextlib.closing(connect_to_read("file::memory:")) as connection:
        connection.executescript(schema())
        fill_states(SqliteQueries(connection))
        connection.execute("pragma query_only = on")
        yield SqliteQueries(connection)


def _format_of(connection: sqlite3.Connection, path: Path) -> int:
    """The format of the open file, one that can be used or converted; 0 for an empty file.

    Raises `JournalOtherFormat`, also for a state of a newer version, whose items could not be read; and
    `JournalUnreadable` for another program's database. All of its head is read by one statement: otherwise a journal
    that another process creates meanwhile could show tables without the application id, and look like another
    program's database.
    """
    db = SqliteQueries(connection)
    head = db.one("head_of_file")
    application, found, tables = head["application"], head["format"], head["tables"]
    is_journal = tables and application == APPLICATION_ID and found in {*_CONVERTED, FORMAT}
    states = db.all("states") if is_journal else []
    if tables and application != APPLICATION_ID:
        raise JournalUnreadable(
            "{path} is a database of another program, not a journal: name another file", path=path
        )
    formats = {"path": path, "found": found, "known": FORMAT}
    if found > FORMAT and (copy := copy_name(path, FORMAT)).exists():
        raise JournalOtherFormat(
            "{path} was written by a newer carbon-migrate (format {found}; this one knows {known}): install that "
            "version; or go back to the copy that it has kept, {copy}: move {path} away with what is named like "
            "it and ends with -wal or -shm, and give the copy its name. What was sent since then is found by its "
            "marks in the billing, which payments have not",
            copy=copy.name,
            **formats,
        )
    if found > FORMAT:
        raise JournalOtherFormat(
            "{path} was written by a newer carbon-migrate (format {found}; this one knows {known}): install that "
            "version or name another journal",
            **formats,
        )
    if 0 < found < FIRST_CONVERTED:
        raise JournalOtherFormat(
            "{path} was written by an earlier carbon-migrate (format {found}; this one knows {known}), which "
            "this one cannot read: finish its runs with the version that wrote it, then move the file away or "
            "name another journal. That journal does not know what these runs have entered: take it out of the "
            "input",
            **formats,
        )
    if unknown := {row["state"] for row in states} - set(State):
        raise JournalOtherFormat(
            "{path} was written by a newer carbon-migrate (its state {states} is not known to this one): install "
            "that version or name another journal",
            path=path,
            states=tuple(sorted(unknown)),
        )
    return int(found)


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run a script inside the open transaction; `executescript` would commit it first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


# ---- the store of a journal in one SQLite file --------------------------------------------------------------------


class SqliteStore(Store):
    """The store of the file at an address."""

    _file: JournalFile
    _writer: Writer

    def __init__(self, address: JournalAddress) -> None:
        self.address, self.path = address, address.path

    def _open(self, opened: contextlib.ExitStack, loop: asyncio.AbstractEventLoop) -> None:
        self.path = self.path.resolve()
        self.address = JournalAddress(self.path)
        self._file = opened.enter_context(contextlib.closing(JournalFile(self.path)))
        with contextlib.ExitStack() as unless_it_fails:
            written = unless_it_fails.enter_context(contextlib.closing(connect(self.path)))
            # Two processes that create it at once would find it incomplete, or SQLite busy changing its mode.
            with self._file.making(BUSY_SECONDS):
                self.kept_copy = make(written, self.path, in_use=self._file.is_in_use())
            connection = connect_to_read(self.path)
            self._reader = JournalReader(connection, SqliteQueries(connection, self.path))
            opened.callback(self._reader.close)
            self._writer = Writer(written, SQLITE, loop)
            unless_it_fails.pop_all()
        opened.callback(self._writer.close)

    @contextlib.contextmanager
    def look(self) -> Iterator[Queries | None]:
        """The blocks for this thread, read-only, None where there is no journal, or an empty one; blocks.

        Raises `JournalUnreadable` and `JournalOtherFormat`, also for what fails within the context.
        """
        if not self.path.exists():
            yield None
            return
        with explained(self.path), contextlib.closing(connect_to_look(self.path)) as connection:
            found = _format_of(connection, self.path)
            if found in _CONVERTED:
                raise JournalOtherFormat(
                    "{path} was written by an earlier carbon-migrate (format {found}; this one knows {known}): it is "
                    "converted when a run of it is looked at, as with {status}",
                    path=self.path,
                    found=found,
                    known=FORMAT,
                    status=advised("status", "", ("journal", str(self.path))),
                )
            yield SqliteQueries(connection, self.path) if found else None

    @contextlib.contextmanager
    def look_while_idle(self) -> Iterator[Queries | None]:
        idle = none_taken_up(self.path) if self.path.exists() else contextlib.nullcontext()
        with idle as held, self.look() as db:
            if db is not None and held is not None:
                refuse_held(db, held)
            yield db

    @contextlib.contextmanager
    def filled(self) -> Iterator[Queries]:
        """The journal, made where there is none, and written in the context, in one transaction; blocks.

        Raises `JournalUnreadable`, also for what fails within the context, and what `prepare` raises.
        """
        path = self.path.resolve()
        with (
            contextlib.closing(JournalFile(path)) as file,
            file.making(BUSY_SECONDS),
            explained(path),
            contextlib.closing(connect(path)) as connection,
        ):
            make(connection, path, in_use=file.is_in_use())
            connection.execute("begin immediate")
            yield SqliteQueries(connection)
            connection.execute("commit")

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` in one transaction, durable when this returns. Raises what `Writer.do` raises.

        A journal that was removed meanwhile is not written.
        """

        def in_the_file(connection: sqlite3.Connection) -> Result:
            self._file.require_there()
            return work(SqliteQueries(connection))

        return await self._writer.do(in_the_file)

    async def size(self) -> int:
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(one.stat().st_size for one in files if one.exists())

    def _clean(self) -> None:
        with contextlib.closing(connect(self.path)) as connection:
            try:
                connection.execute("vacuum")
                # The log still has the old pages. It is emptied once no other connection reads them.
                (is_busy, *_) = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
                if not is_busy:
                    SqliteQueries(connection).write("mark_cleaned", is_cleaned=1)
            except sqlite3.Error as error:
                raise JournalNotCleaned(
                    "what is removed may still be read in free pages of {path}: it cannot be rewritten: {error}",
                    path=self.path,
                    error=error,
                ) from error
        if is_busy:
            raise JournalNotCleaned(
                "what is removed may still be read in {log}: another process reads the journal, and its log "
                "cannot be emptied",
                log=f"{self.path}-wal",
            )

    async def lock(self, run_id: int) -> bool:
        return self._file.lock(run_id)

    async def unlock(self, run_id: int) -> None:
        self._file.unlock(run_id)

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        return {run_id for run_id in run_ids if self._file.is_locked(run_id)}
