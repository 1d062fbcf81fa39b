"""Starts a module of the program on a machine or with a clock that the lab makes up.

    python -P -m lab.crash.launch clock SECONDS -P -m MODULE …     SIGUSR1 sets its wall clock back
    python -P -m lab.crash.launch machine NAME PYTHON -P -m MODULE …   it is on a machine of its own

Both replace what tells the time, or machines apart, before any module of the program is imported. Setting the
machine's clock needs root and affects every process; clocks read by C code (SQLite, Firebird, TLS) and monotonic
clocks are unchanged. A namespace for a machine would take the network as well, and with it the billing. `PYTHON` is a
program that runs this launcher again, for what the module starts.
"""

import datetime as dt
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import msgspec

SIGNAL = signal.SIGUSR1
_NAMES: Final = Path("/proc/net/unix")

_Real = dt.datetime
Hook = Callable[[type, Any], object]


class _Kind(type):
    """Makes a `datetime` from C code, or from before the replacement, count as an instance of the new class."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _Real)


def set_clock(seconds: float) -> None:
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


def set_machine(name: str) -> None:
    from checkpoints import lease  # noqa: PLC0415 - after the clock, and not where only that is set

    # The modules of the program take these by name when they are imported, which is later.
    lease.machine = lambda: name  # type: ignore[assignment]  # replaced on purpose
    socket.gethostname = lambda: name
    # Names in the abstract namespace (unix(7)) reach as far as a machine.
    bind, read_text = socket.socket.bind, Path.read_text

    def bind_apart(self: socket.socket, address: Any) -> None:  # noqa: ANN401 - as the standard library has it
        is_abstract = isinstance(address, str) and address.startswith("\0")
        bind(self, f"\0{name}-{address[1:]}" if is_abstract else address)

    def read_own(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        return "" if self == _NAMES else read_text(self, encoding, errors)

    socket.socket.bind = bind_apart  # type: ignore[assignment]  # replaced on purpose
    Path.read_text = read_own  # type: ignore[method-assign]  # replaced on purpose


def main() -> None:
    if sys.argv.pop(1) == "clock":
        set_clock(float(sys.argv.pop(1)))
    else:
        set_machine(sys.argv.pop(1))
        sys.executable = sys.argv.pop(1)
    if sys.argv[1:3] != ["-P", "-m"]:
        sys.exit(f"{sys.argv[1]}: only modules are run, and none of the working folder")
    module = sys.argv[3]
    del sys.argv[1:4]
    # Only now: every import of the program must find the new clock, or machine.
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
