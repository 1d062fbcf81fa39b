"""`python -m lab.crash.clock SECONDS COMMAND …`: runs the program with a wall clock that SIGUSR1 sets back.

Setting the machine's clock needs root and affects every process; a shim below the C library is not available
everywhere; a seam in the engine would test the seam. So this launcher replaces `time.time` and `datetime.now` before
any module of the program is imported, and then runs the program. Clocks read by C code (SQLite, Firebird, TLS) and
monotonic clocks are unchanged.
"""

import datetime as dt
import runpy
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

import msgspec

SIGNAL = signal.SIGUSR1

_Real = dt.datetime
Hook = Callable[[type, Any], object]


class _Kind(type):
    """Makes a `datetime` from C code, or from before the replacement, count as an instance of the new class."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _Real)


def install(seconds: float) -> None:
    """Replace the clock for all modules imported from now on; each signal sets it back by so many seconds."""
    real, behind = time.time, 0.0

    def now() -> float:
        return real() - behind

    def set_back(_number: int, _frame: FrameType | None) -> None:
        nonlocal behind
        behind += seconds

    class Datetime(_Real, metaclass=_Kind):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls.fromtimestamp(now(), tz)

    def converted(value: object, kind: type, *, dec_hook: Hook = lambda _, part: part, **how: Any) -> object:  # noqa: ANN401 - as they are given
        def hook(one: type, part: Any) -> object:  # noqa: ANN401 - whatever stands there
            return Datetime.fromisoformat(part) if one is Datetime else dec_hook(one, part)

        return convert(value, kind, dec_hook=hook, **how)

    time.time = now
    # Of dates msgspec knows the real class alone.
    convert, msgspec.convert = msgspec.convert, converted  # type: ignore[assignment]  # as the journal calls it
    dt.datetime = Datetime  # type: ignore[misc]  # replaces the class on purpose
    signal.signal(SIGNAL, set_back)


if __name__ == "__main__":
    install(float(sys.argv.pop(1)))
    # Only now: every import of the program must find the new clock.
    runpy.run_module("cli", run_name="__main__", alter_sys=True)
