"""The store of a journal in one SQLite file: a read connection, a write thread, and the locks of its runs.

The journal needs this of its database: transactions that are durable when they return, and one runner a run.
Connections are opened and closed in worker threads. The thread of a cancelled task runs on, so `close` waits for an
opening under way, and no connection is left open.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from checkpoints.address import JournalAddress
from checkpoints.dialects import schema
from checkpoints.errors import JournalNotCleaned, JournalOtherFormat, JournalUnreadable
from checkpoints.guards import refuse_conversion
from checkpoints.journal_file import JournalFile
from checkpoints.own_files import copy_name, keep_copy
from checkpoints.queries import FIRST_CONVERTED, FORMAT, Queries, fill_states, upgrade, upgrade_early
from checkpoints.sqlite_connection import (
    BUSY_SECONDS,
    SQLITE,
    JournalReader,
    SqliteQueries,
    connect,
    why_sqlite,
)
from checkpoints.states import State
from checkpoints.store import Store
from checkpoints.writer import Writer
from texts.remedies import Remedy
from texts.said import Said, said

# ---- the schema of a journal file ---------------------------------------------------------------------------------


APPLICATION_ID: Final = 0x434D4A31
"""Marks the file as a journal (`CMJ1`), so that another program's database is never written to."""

_CONVERTED: Final = range(FIRST_CONVERTED, FORMAT)


def prepare(path: Path, *, in_use: bool = False) -> Path | None:
    """Create a journal in an empty file at `path`, or bring an older one and its table of states up to date.

    Returns the copy of an older one that is kept beside it, None where nothing was converted. Raises
    `JournalOtherFormat` for a journal of another format or with newer states, `JournalUnreadable` for a file that is
    not a journal, or of which no copy can be kept, and `RunHeld` for an older one that is `in_use`; none of them is
    changed.
    """
    with prepared(path, in_use=in_use) as (_, copy):
        return copy


@contextlib.contextmanager
def prepared(path: Path, *, in_use: bool = False) -> Iterator[tuple[SqliteQueries, Path | None]]:
    """The journal of `prepare` and its copy, in one transaction with what is written in the context.

    Raises what `prepare` raises.
    """
    _refuse_strangers(path)
    with contextlib.closing(connect(path)) as connection:
        copy = None
        try:
            connection.execute("begin immediate")
            found = _format_of(connection, path)
            if found in _CONVERTED:
                if in_use:
                    refuse_conversion(path)
                # In the transaction, so that nobody writes between the copy and the conversion.
                copy = keep_copy(path, found)
            if found != FORMAT:
                if found and not SqliteQueries(connection).all("runners_have_hosts"):
                    _run_script(connection, upgrade_early())
                _run_script(connection, upgrade(found) if found else schema())
                connection.execute(f"pragma application_id = {APPLICATION_ID}")
                connection.execute(f"pragma user_version = {FORMAT}")
            fill_states(SqliteQueries(connection))
            yield SqliteQueries(connection), copy
            # What is not committed is rolled back when the connection is closed.
            connection.execute("commit")
        except sqlite3.Error as error:
            raise JournalUnreadable(
                "{path} cannot be used as a journal: {error}", path=path, error=why_sqlite(error)
            ) from error


def has_format(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the open file is a journal of the present format; False for an empty file.

    Raises `JournalOtherFormat` and `JournalUnreadable`, as `prepare` does, also for a journal that only `prepare` can
    convert.
    """
    found = _format_of(connection, path)
    if found in _CONVERTED:
        raise JournalOtherFormat(
            "{path} was written by an earlier carbon-migrate (format {found}; this one knows {known}): it is "
            "converted when a run of it is looked at, as with {status}",
            path=path,
            found=found,
            known=FORMAT,
            status=Remedy("status", settings=(("journal", str(path)),)),
        )
    return bool(found)


def _format_of(connection: sqlite3.Connection, path: Path) -> int:
    """The format of the open file, one that can be used or converted; 0 for an empty file.

    Raises `JournalOtherFormat`, also for a state of a newer version, whose items could not be read; and
    `JournalUnreadable` for another program's database. All is read in one transaction, the caller's if one is open:
    otherwise a journal that another process creates meanwhile could show tables without the application id, and look
    like another program's database.
    """
    with _snapshot(connection):
        (application,) = connection.execute("pragma application_id").fetchone()
        (found,) = connection.execute("pragma user_version").fetchone()
        (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
        is_journal = tables and application == APPLICATION_ID and found in {*_CONVERTED, FORMAT}
        states = SqliteQueries(connection).all("states") if is_journal else []
    if tables and application != APPLICATION_ID:
        raise JournalUnreadable(
            "{path} is a database of another program, not a journal: name another file", path=path
        )
    if found > FORMAT:
        raise JournalOtherFormat(_of_newer(path, found))
    if 0 < found < FIRST_CONVERTED:
        raise JournalOtherFormat(
            "{path} was written by an earlier carbon-migrate (format {found}; this one knows {known}), which "
            "this one cannot read: finish its runs with the version that wrote it, then move the file away or "
            "name another journal. That journal does not know what these runs have entered: take it out of the "
            "input",
            path=path,
            found=found,
            known=FORMAT,
        )
    if unknown := {row["state"] for row in states} - set(State):
        raise JournalOtherFormat(
            "{path} was written by a newer carbon-migrate (its state {states} is not known to this one): install "
            "that version or name another journal",
            path=path,
            states=tuple(sorted(unknown)),
        )
    return int(found)


def _of_newer(path: Path, found: int) -> Said:
    if not (copy := copy_name(path, FORMAT)).exists():
        return said(
            "{path} was written by a newer carbon-migrate (format {found}; this one knows {known}): install that "
            "version or name another journal",
            path=path,
            found=found,
            known=FORMAT,
        )
    return said(
        "{path} was written by a newer carbon-migrate (format {found}; this one knows {known}): install that "
        "version; or go back to the copy that it has kept, {copy}: move {path} away with what is named like it and "
        "ends with -wal or -shm, and give the copy its name. What was sent since then is found by its marks in the "
        "billing, which payments have not",
        path=path,
        found=found,
        known=FORMAT,
        copy=copy.name,
    )


def _refuse_strangers(path: Path) -> None:
    """Check the file before `connect`, which would switch another program's database to WAL mode."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            _format_of(connection, path)
    except sqlite3.Error as error:
        raise JournalUnreadable(
            "{path} cannot be opened as a journal: {error}", path=path, error=why_sqlite(error)
        ) from error


@contextlib.contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    if connection.in_transaction:
        yield
        return
    connection.execute("begin")
    try:
        yield
    finally:
        connection.execute("rollback")


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run a script inside the open transaction; `executescript` would commit it first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


# ---- the store of a journal in one SQLite file --------------------------------------------------------------------


Result = TypeVar("Result")


class SqliteStore(Store):
    """The store at `path`; it can be read and written once it is open."""

    _file: JournalFile
    _reader: JournalReader
    _writer: Writer[sqlite3.Connection]

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path.resolve()
        self.address = JournalAddress(self.path)
        self._loop = loop
        self._one_at_a_time = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._closed = False

    def open(self) -> None:
        """Open the journal, and create it if it does not exist; blocks. Raises what `prepare` raises."""
        with self._one_at_a_time, contextlib.ExitStack() as opened:
            if self._closed:
                # Closed before this thread had its turn.
                return
            self._file = JournalFile(self.path)
            opened.callback(self._file.close)
            # Two processes that create it at once would find it incomplete, or SQLite busy changing its mode.
            with self._file.making(BUSY_SECONDS):
                self.kept_copy = prepare(self.path, in_use=self._file.is_in_use())
            self._reader = JournalReader(connect(self.path), self.path)
            opened.callback(self._reader.close)
            self._writer = Writer(connect(self.path), SQLITE, self._loop)
            opened.callback(self._writer.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Finish all accepted writes, and close everything; blocks. Raises `JournalNotClosed`."""
        with self._one_at_a_time:
            self._closed = True
            self._opened.close()

    async def read(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` on the committed data. Raises `JournalUnreadable`."""
        return await self._reader.do(work)

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` in one transaction, durable when this returns. Raises what `Writer.do` raises.

        A journal that was removed meanwhile is not written.
        """

        def in_the_file(connection: sqlite3.Connection) -> Result:
            self._file.require_there()
            return work(SqliteQueries(connection))

        return await self._writer.do(in_the_file)

    async def size(self) -> int:
        """The bytes of the file with its log."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(one.stat().st_size for one in files if one.exists())

    async def clean(self) -> None:
        """Rewrite the file without what was deleted from it. Raises `JournalNotCleaned`."""
        await anyio.to_thread.run_sync(self._clean)

    def _clean(self) -> None:
        with self._one_at_a_time, contextlib.closing(connect(self.path)) as connection:
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
        """Take the lock of a run; False if it is held, in this process or in another."""
        return self._file.lock(run_id)

    async def unlock(self, run_id: int) -> None:
        """Release the lock of a run."""
        self._file.unlock(run_id)

    async def is_locked(self, run_id: int) -> bool:
        """Whether the lock of a run is held, by this process or another."""
        return self._file.is_locked(run_id)

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        """Those of the runs whose locks are held."""
        return {run_id for run_id in run_ids if self._file.is_locked(run_id)}


@contextlib.contextmanager
def filled_sqlite(path: Path) -> Iterator[Queries]:
    """A journal at `path` that is made, and written in the context, in one transaction; blocks.

    Raises `JournalUnreadable`, also for what fails within the context, and what `prepare` raises.
    """
    path = path.resolve()
    with contextlib.closing(JournalFile(path)) as file, file.making(BUSY_SECONDS), prepared(path) as (db, _):
        yield db


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqliteStore]:
    """The store at `path`, open for as long as the context lasts."""
    store = SqliteStore(path, asyncio.get_running_loop())
    try:
        await anyio.to_thread.run_sync(store.open)
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(store.close)
