"""`python -m lab.crash.clock SECONDS COMMAND …`: the program, with a wall clock that SIGUSR1 sets back.

Moving the machine's clock would need root and hit everybody on it; a shim below the C library is not on every
machine; and a seam in the engine would test the seam. So the lab's own launcher replaces what Python code reads as
the wall clock, `time.time` and `datetime.now`, before anything of the program is imported, and then is the program.
What C code reads (SQLite, Firebird, TLS) stays as it was, and so do the monotonic clocks, as on a machine whose clock
was set.
"""

import datetime as dt
import runpy
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

SIGNAL = signal.SIGUSR1

_Real = dt.datetime


class Clock:
    """A wall clock that runs `behind` the real one by so many seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.behind = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._now() - self.behind


class _Kind(type):
    """Lets a `datetime` of C code, or one made before, count as one of ours."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _Real)


def installed() -> Clock:
    """Put a clock in the place of the real one, for all that is imported from now on."""
    clock = Clock(time.time)

    class Datetime(_Real, metaclass=_Kind):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls.fromtimestamp(clock.time(), tz)

    time.time = clock.time
    dt.datetime = Datetime  # type: ignore[misc]  # that is the point
    return clock


def _main() -> None:
    seconds = float(sys.argv.pop(1))
    clock = installed()

    def set_back(_number: int, _frame: FrameType | None) -> None:
        clock.behind += seconds

    signal.signal(SIGNAL, set_back)
    # Only now: whatever the program imports must find the new clock.
    runpy.run_module("cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
