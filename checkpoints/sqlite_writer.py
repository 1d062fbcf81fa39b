"""The one thread that writes the journal: natural group commit.

It takes all that waits, does it in one transaction, commits once, and wakes the waiters. It never lingers for
more: while one commit is on its way to the disk, the next group gathers by itself.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from checkpoints.errors import ForbiddenTransition, JournalNotClosed, JournalUnreadable

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]

PATIENCE: Final = 75.0
"""Seconds that closing waits for what was handed over: twice as long as a commit waits for another process's."""

LAST_PATIENCE: Final = 5.0
"""Seconds that it waits after that for a statement that was broken off."""


class _Order:
    """A piece of work, and where its result goes."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work[Any], future: "asyncio.Future[Any]") -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """Runs pieces of work on one connection in one thread; each is atomic, and durable when its await returns."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Takes the connection over: it is this thread's alone from now on, and closed by it."""
        self._connection = connection
        self._closed = False
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._loop = loop
        self._thread = threading.Thread(target=self._serve, name="journal-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Work[Result]) -> Result:
        """Run `work` and wait until its effect is on the disk.

        Raises `ForbiddenTransition` when it breaks the table of states, `JournalUnreadable` when it cannot be
        written; nothing of it is kept then. Being cancelled does not undo what has been handed over.
        """
        if self._closed:
            raise JournalUnreadable("the journal is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._orders.put(_Order(work, future))
        return await future

    def close(self, patience: float = PATIENCE) -> None:
        """Finish what was handed over and end the thread. Blocks for as long.

        A statement that is not at its end after `patience` seconds is broken off, and its waiters are told. Raises
        `JournalNotClosed` when the thread does not end all the same.
        """
        self._closed = True
        self._orders.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            # The connection cannot be closed meanwhile: only this thread closes it, and it is not at its end.
            with contextlib.suppress(sqlite3.ProgrammingError):
                self._connection.interrupt()
            self._thread.join(LAST_PATIENCE)
        if self._thread.is_alive():
            raise JournalNotClosed(
                f"the journal could not be closed: a write has been under way for {patience + LAST_PATIENCE:.0f} s "
                "and does not end. What was acknowledged before it is kept. Does the disk answer?"
            )

    def _serve(self) -> None:
        with contextlib.closing(self._connection) as connection:
            open_for_orders = True
            while open_for_orders:
                group, open_for_orders = self._gather()
                _commit(connection, group)
                # The loop is closed when the program was ended in the middle of things: nobody is left to wake.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(_wake, group)

    def _gather(self) -> tuple[list[_Order], bool]:
        """All that waits now, at least one; False with it when no more will come."""
        group: list[_Order] = []
        order = self._orders.get()
        while order is not None:
            group.append(order)
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return group, True
        return group, False


def _commit(connection: sqlite3.Connection, group: list[_Order]) -> None:
    """Do the group in one transaction; a piece that fails takes only itself back."""
    try:
        connection.execute("begin immediate")
        for order in group:
            connection.execute("savepoint piece")
            try:
                order.result = order.work(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the waiter, not to this thread
                order.error = _as_journal_error(error)
                connection.execute("rollback to piece")
            connection.execute("release piece")
        connection.execute("commit")
    except sqlite3.Error as error:
        for order in group:
            order.error = order.error or _as_journal_error(error)
        with contextlib.suppress(sqlite3.Error):
            connection.execute("rollback")


def _as_journal_error(error: Exception) -> Exception:
    if isinstance(error, sqlite3.IntegrityError) and str(error).startswith("forbidden transition"):
        return ForbiddenTransition(str(error))
    if isinstance(error, sqlite3.Error):
        return JournalUnreadable(f"the journal cannot be written: {error}")
    return error


def _wake(group: list[_Order]) -> None:
    for order in group:
        if order.future.cancelled():
            continue
        if order.error is not None:
            order.future.set_exception(order.error)
        else:
            order.future.set_result(order.result)
