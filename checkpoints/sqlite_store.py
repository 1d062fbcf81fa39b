"""Opening a journal's file: its pragmas, its format, its exact sums."""

import contextlib
import fcntl
import glob
import sqlite3
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from checkpoints.errors import JournalTooNew, JournalTooOld, JournalUnreadable
from checkpoints.records import PAYLOADS
from checkpoints.statements import formats, statement
from checkpoints.states import TRANSITIONS

APPLICATION_ID = 0x434D4A31
"""Marks the file as ours (`CMJ1`), so that another program's database is never written to."""

LOCKED_ITSELF: Final = 3
"""The format of the journal since which the locks of its runs are on its own file."""

BUSY_SECONDS = 30
"""How long a write waits for another process's commit."""


class _DecimalSum:
    """`decimal_sum(amount)`: exact, of text; the `sqlite3` shell has one of the same name."""

    def __init__(self) -> None:
        self._sum = Decimal(0)

    def step(self, value: str | None) -> None:
        if value is not None:
            self._sum += Decimal(value)

    def finalize(self) -> str:
        return format(self._sum, "f")


def _decimal_cmp(one: str, other: str) -> int:
    """`decimal_cmp(amount, amount)`: -1, 0 or 1, of text; the `sqlite3` shell has one of the same name."""
    return int(Decimal(one).compare(Decimal(other)))


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal at `path`, in autocommit: transactions are begun by name."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]  # the stub knows int only
        connection.create_function("decimal_cmp", 2, _decimal_cmp, deterministic=True)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma recursive_triggers = on")
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be opened as a journal: {error}") from error
    return connection


def prepare(path: Path, scripts: Sequence[str] | None = None) -> None:
    """Make the file at `path` a journal of the newest format, whatever it is now.

    Raises `JournalTooNew` for one of a later format, `JournalTooOld` for one of an earlier format with runs that
    nobody could finish then, and `JournalUnreadable` for a file that is no journal; none is touched. `scripts`
    are the steps from format to format, the project's own by default.
    """
    steps = formats() if scripts is None else scripts
    _refuse_strangers(path)
    connection = connect(path)
    try:
        connection.execute("begin immediate")
        found = format_of(connection, path)
        if found > len(steps):
            raise JournalTooNew(
                f"{path} was written by a newer carbon-migrate (format {found}; this one knows {len(steps)}): "
                "install that version or name another journal"
            )
        if 0 < found < LOCKED_ITSELF:
            _refuse_held(path)
        if 0 < found < PAYLOADS:
            _refuse_unfinished(connection, path, found)
        for number, script in enumerate(steps[found:], found + 1):
            _run_script(connection, script)
            connection.execute(f"pragma user_version = {number}")
        if found < len(steps):
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute("delete from transitions")
            connection.executemany(
                "insert into transitions (source, target) values (?, ?)",
                [(step.source or "", step.target) for step in TRANSITIONS],
            )
        connection.execute("commit")
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be used as a journal: {error}") from error
    finally:
        connection.close()


def _refuse_held(path: Path) -> None:
    """Until format 3 a runner locked a file of its own beside the journal: one that is held by nobody is removed."""
    for place in sorted(path.parent.glob(f"{glob.escape(path.name)}-*.lock")):
        with place.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise JournalTooOld(
                    f"an earlier carbon-migrate works on {path} at this moment ({place.name} is locked): wait until "
                    "it has ended, or stop it, then this one goes on with the journal"
                ) from None
            place.unlink(missing_ok=True)


def _refuse_unfinished(connection: sqlite3.Connection, path: Path, found: int) -> None:
    if runs := [name for (name,) in connection.execute(statement("unfinished"))]:
        raise JournalTooOld(
            f"{path} was written by an earlier carbon-migrate (format {found}), whose calls this one cannot read, "
            f"and these runs of it are not at their ends: {', '.join(runs)}. Finish them with the version that wrote "
            "them (resume, reconcile, decide), then this one goes on with the journal. Or name another journal, and "
            "take out of the input what these runs have entered: that journal does not know of it"
        )


def _refuse_strangers(path: Path) -> None:
    """Look before `connect` does anything: it would turn another program's database into one with a WAL."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            format_of(connection, path)
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{path} cannot be opened as a journal: {error}") from error


def format_of(connection: sqlite3.Connection, path: Path) -> int:
    """The format of the journal that is open, 0 for an empty file. Raises `JournalUnreadable` for a stranger's.

    It is told in one transaction, the caller's where one is open: between two, another process may make the journal,
    and its tables without its identity would be a stranger's.
    """
    with _snapshot(connection):
        (application,) = connection.execute("pragma application_id").fetchone()
        (version,) = connection.execute("pragma user_version").fetchone()
        (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise JournalUnreadable(f"{path} is a database of another program, not a journal: name another file")
    return int(version)


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
    """Run a script inside the transaction that is open; `executescript` would commit it first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
