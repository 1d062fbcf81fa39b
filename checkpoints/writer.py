"""The writer of the journal: one thread with natural group commit.

It takes all waiting pieces of work, runs them in one transaction, commits once, and wakes the waiters. It adds no
delay: the next group forms while one commit is being flushed to the disk.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from checkpoints.errors import ForbiddenTransition, JournalAway, JournalNotClosed, JournalUnreadable
from checkpoints.sentences import NO_CONNECTION
from texts.said import said

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a driver begins a transaction that writes, interrupts a statement from another thread, and fails.

    `error` is the root of its errors, and `is_lost` whether the connection was lost by one. `careful` gives the
    connection on which each statement is run and judged by itself, `is_vague` whether that says more than an error.
    """

    begin: str
    error: type[Exception]
    interrupt: Callable[[Any], None]
    is_lost: Callable[[Exception], bool] = lambda _: False
    is_vague: Callable[[Exception], bool] = lambda _: False
    careful: Callable[[Any], Any] = lambda connection: connection


PATIENCE: Final = 75.0
"""Seconds that closing waits for accepted work: more than twice the time that a commit waits for another process."""

LAST_PATIENCE: Final = 5.0
"""Further seconds that closing waits for an interrupted statement."""


@dataclass(slots=True)
class Order:
    """A piece of work with its result and the future of its waiter."""

    work: Callable[[Any], Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs pieces of work on one connection in one thread; each is atomic, and durable when its await returns.

    A piece may be run again from its start, where what was to be committed with it has failed.
    """

    def __init__(self, connection: Any, dialect: Dialect, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ANN401 - any driver's
        """Take ownership of the connection: only the thread uses it from now on, and closes it."""
        self._connection = connection
        self._dialect = dialect
        self._closed = False
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._loop = loop
        self._thread = threading.Thread(target=self._serve, name="journal-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[Any], Result]) -> Result:
        """Run `work` and wait until its effect is on the disk.

        Raises `ForbiddenTransition` if it breaks the table of states, `JournalUnreadable` if it cannot be written;
        nothing of it is kept then. A cancellation does not undo work that was handed over.
        """
        if self._closed:
            raise JournalUnreadable(said("the journal is closed"))
        future: asyncio.Future[Result] = self._loop.create_future()
        self._orders.put(Order(work, future))
        return await future

    def close(self, patience: float = PATIENCE) -> None:
        """Finish all accepted work and end the thread; blocks.

        A statement still running after `patience` seconds is interrupted, which its waiters get as an error. Raises
        `JournalNotClosed` if the thread still does not end.
        """
        self._closed = True
        self._orders.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            # The connection cannot be closed meanwhile: only the thread closes it, and it is still running.
            with contextlib.suppress(self._dialect.error):
                self._dialect.interrupt(self._connection)
            self._thread.join(LAST_PATIENCE)
        if self._thread.is_alive():
            raise JournalNotClosed(
                "the journal could not be closed: a write has been under way for {seconds} s and does not end. "
                "What was acknowledged before it is kept. Does the disk answer?",
                seconds=round(patience + LAST_PATIENCE),
            )

    def _serve(self) -> None:
        with contextlib.closing(self._connection) as connection:
            open_for_orders = True
            while open_for_orders:
                # All waiting orders, at least one.
                group: list[Order] = []
                order = self._orders.get()
                while order is not None:
                    group.append(order)
                    try:
                        order = self._orders.get_nowait()
                    except queue.Empty:
                        break
                open_for_orders = order is not None
                if not group:
                    continue
                commit(connection, self._dialect, group)
                # The loop is closed if the program ended early: there are no waiters left.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(wake, group)


def commit(connection: Any, dialect: Dialect, group: list[Order]) -> None:  # noqa: ANN401 - any driver's
    """Run the group in one transaction; where that fails, each piece is run anew in one of its own."""
    error = _failed(connection, dialect, group)
    if error is None:
        return
    if len(group) > 1 or dialect.is_vague(error):
        for order in group:
            if alone := _failed(dialect.careful(connection), dialect, [order]):
                order.error = _as_journal_error(dialect, alone)
    else:
        group[0].error = _as_journal_error(dialect, error)


def _failed(connection: Any, dialect: Dialect, group: list[Order]) -> Exception | None:  # noqa: ANN401 - any driver's
    """Run the group in one transaction; the error for which nothing of it is kept."""
    try:
        connection.execute(dialect.begin)
        for order in group:
            order.result = order.work(connection)
        connection.execute("commit")
    except Exception as error:  # noqa: BLE001 - every error is passed on to the waiter
        with contextlib.suppress(dialect.error):
            connection.execute("rollback")
        return error
    return None


def _as_journal_error(dialect: Dialect, error: Exception) -> Exception:
    if isinstance(error, dialect.error):
        # So say the triggers of the table of states.
        if str(error).startswith("forbidden transition"):
            return ForbiddenTransition(str(error))
        is_lost = dialect.is_lost(error)
        return (JournalAway if is_lost else JournalUnreadable)(
            said("the journal cannot be written: {error}", error=NO_CONNECTION if is_lost else error)
        )
    return error


def wake(group: list[Order]) -> None:
    for order in group:
        if order.future.cancelled():
            continue
        if order.error is not None:
            order.future.set_exception(order.error)
        else:
            order.future.set_result(order.result)
