"""A deadline for each call at next to no cost: one timer serves all, for they fall due in the order they began.

`asyncio.timeout` does the same for a single call, and takes a tenth of the time that a whole call takes.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

Result = TypeVar("Result")


class Deadlines:
    """Gives each piece of work `seconds`. Serves one event loop; a task has one piece of work at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[asyncio.Task[object], float] = {}
        self._cut: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, work: Awaitable[Result]) -> Result:
        """What `work` comes to. Raises TimeoutError when it is not done in time; by then it has been cancelled."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        cancelling = task.cancelling()
        self._due[task] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._cut_short)
        try:
            return await work
        except BaseException as fault:
            # As in asyncio.timeout: if somebody else cancels this task as well, he is to have his way.
            alone = task in self._cut and task.uncancel() <= cancelling
            if alone and isinstance(fault, asyncio.CancelledError):
                raise TimeoutError from fault
            raise
        finally:
            self._due.pop(task, None)
            self._cut.discard(task)

    def close(self) -> None:
        """Cut nothing short any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _cut_short(self) -> None:
        """Cancel what is due, and come back when the next one is."""
        self._timer = None
        now = self._loop.time()
        while self._due:
            task, due = next(iter(self._due.items()))
            if due > now:
                self._timer = self._loop.call_at(due, self._cut_short)
                return
            del self._due[task]
            self._cut.add(task)
            task.cancel()
