"""An event loop whose clock jumps: when nothing is ready it is the time of the next timer at once.

For tests of what waits. Nothing in them may use a thread or a socket: the clock would not wait for it.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

START = 1_000_000.0
"""Where the clock stands at first: not at zero, which a wrong comparison might take for "never"."""


class NothingWillHappen(RuntimeError):
    """Raised when all tasks wait, and not for a time: a real loop would hang."""


class _JumpingSelector(selectors.DefaultSelector):
    """Asks without waiting; instead of waiting it moves the clock."""

    now = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(0):
            return ready
        if timeout is None:
            raise NothingWillHappen("all tasks wait for each other")
        self.now += max(0.0, timeout)
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """A loop factory: `asyncio.Runner(loop_factory=VirtualClockLoop)`."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run `coroutine` to its end on a virtual clock of its own."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(coroutine)


async def settle() -> None:
    """Let all that can go on without the clock go on."""
    for _ in range(50):
        await asyncio.sleep(0)
