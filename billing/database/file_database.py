"""A database file, read through a process of its own, the keeper, and never by this process.

A process killed inside the embedded engine can leave a shared mutex locked. Every process that opens the file then
hangs on it. A run may be killed at any instant, so its keeper (`billing.database.file_process`) reads the file. The
keeper has a session of its own, where neither Ctrl-C nor a signal to the run's group reaches it; it ends by itself
when the run has ended, and closes the file properly.

The two processes exchange pickled calls of `DirectReader` and their answers over a pair of sockets. No other process
can write there, so unpickling is safe.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from billing.database.columns import SelectColumns
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import Value
from billing.errors import DatabaseAway
from texts.said import Said, said

LEAVING: Final = 10
"""Seconds within which a keeper ends after its run has ended."""

_ENDING: Final = LEAVING + 5.0
"""Seconds after which a keeper that has not ended is killed."""

_OPENING: Final = 60.0
"""Seconds after which a keeper that has not opened its file is given up."""


def open_file_database(dsn: Dsn) -> Database:
    """A database for a process that may be killed: a file is read through a keeper, a server directly."""
    return Database(dsn) if dsn.on_server else Database(dsn, FileDatabase)


class FileDatabase:
    """Reads through a keeper that it starts. One call at a time, except `break_off`.

    Raises `DatabaseAway`, also when the keeper has ended, and the errors of a `Database` for a statement; at its
    creation also `RuntimeMissing` and `WrongPassword`.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._asking = False
        self._left: list[int] = []
        self._line, far = socket.socketpair()
        # The pipe has a duplicate descriptor, so that another thread can shut down the socket.
        self._pipe = Connection(os.dup(self._line.fileno()))
        with far:
            try:
                self._process = _started(far.fileno())
            except OSError as error:
                self._hang_up()
                raise DatabaseAway(
                    "{database} cannot be reached: no process to read it can be started: {error}",
                    database=str(dsn),
                    error=error,
                ) from error
        try:
            self._ask("open", dsn, patience=_OPENING)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def select(self, sql: str, values: Sequence[Value]) -> tuple[int, list[DatabaseRow]]:
        found: tuple[int, list[DatabaseRow]] = self._ask("select", sql, values)
        return found

    def page(self, number: int) -> list[DatabaseRow]:
        found: list[DatabaseRow] = self._ask("page", number)
        return found

    def describe(self, sql: str) -> SelectColumns:
        columns: SelectColumns = self._ask("describe", sql)
        return columns

    def leave(self, number: int) -> None:
        # The garbage collector may call this while this thread waits for an answer, so the request may have to wait.
        self._left.append(number)
        if not self._asking:
            self._close_left()

    def break_off(self) -> None:
        """Hang up: a waiting call raises `DatabaseAway`, and the keeper ends."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._hang_up()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            # The keeper is stopped, or blocked in the kernel.
            self._process.kill()
            self._process.wait()

    def _ask(self, method: str, *arguments: object, patience: float | None = None) -> Any:  # noqa: ANN401 - any answer
        found = self._exchanged(method, *arguments, patience=patience)
        self._close_left()
        if isinstance(found, BaseException):
            raise found
        return found

    def _close_left(self) -> None:
        # A keeper that has ended has closed all selects.
        with suppress(DatabaseAway):
            while self._left:
                self._exchanged("leave", self._left.pop())

    def _exchanged(self, method: str, *arguments: object, patience: float | None = None) -> object:
        self._asking = True
        try:
            # Not `send`: its buffer cannot be collected with the error of a keeper that has ended, which Python 3.13
            # shows as a traceback.
            self._pipe.send_bytes(pickle.dumps((method, arguments)))
            if self._pipe.poll(patience):
                return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise DatabaseAway(self._end()) from error
        except BaseException:
            # A late answer would be taken for the answer to the next request.
            self.break_off()
            raise
        finally:
            self._asking = False
        self.break_off()
        raise DatabaseAway(
            "{database} cannot be reached: it was not opened within {seconds} s",
            database=str(self._dsn),
            seconds=f"{patience:.0f}",
        )

    def _end(self) -> Said:
        self.break_off()
        try:
            # The keeper hangs up just before it ends.
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return said(
                "{database} cannot be reached: the process that reads it has hung up", database=str(self._dsn)
            )
        if code < 0:
            return said(
                "{database} cannot be reached: the process that reads it was ended by {signal}",
                database=str(self._dsn),
                signal=signal.Signals(-code).name,
            )
        return said(
            "{database} cannot be reached: the process that reads it ended with {code}",
            database=str(self._dsn),
            code=code,
        )

    def _hang_up(self) -> None:
        self.break_off()
        self._pipe.close()
        self._line.close()


def _started(line: int) -> subprocess.Popen[bytes]:
    # The keeper runs the same code as this process, independent of the current folder. It inherits no output of ours:
    # a reader of our output would wait until the keeper has ended as well.
    folders = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path)
    return subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, "-P", "-m", "billing.database.file_process", str(line)],
        pass_fds=(line,),
        env={**os.environ, "PYTHONPATH": folders},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
