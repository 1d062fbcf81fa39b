"""Time limits in loops: a slow machine needs longer for everything, and a limit only says that something hangs.

A loop is what twenty million `s += i * i` take in Python, measured once a process under the load of the moment.
"""

import time
from functools import cache
from typing import Final

_LOOP: Final = 20_000_000
_SHARE: Final = 1 / 40
_SAMPLES: Final = 3
_QUICK: Final = 1.2
"""Seconds that a loop counts for at least: a moment in which a machine is quick does not last."""


def loops(number: float) -> float:
    """The seconds of so many loops on this machine."""
    return number * _seconds_of_a_loop()


def loop_now(share: float) -> float:
    """The seconds of a loop at this moment, beside all that the machine does, measured by a share of one."""
    count = round(_LOOP * share)
    began, total = time.perf_counter(), 0
    for number in range(count):
        total += number * number
    return (time.perf_counter() - began) * _LOOP / count


@cache
def _seconds_of_a_loop() -> float:
    return max(_QUICK, *(loop_now(_SHARE) for _ in range(_SAMPLES)))
