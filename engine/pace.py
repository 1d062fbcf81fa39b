"""How fast rows come to their end: now, and on average."""

from collections import deque
from typing import Final

SPAN: Final = 10
"""Seconds that "now" is measured over."""


class Pace:
    """Rows a second. A pure function of what it is told and when; times are seconds of one clock, and ascend."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._rows = 0
        self._by_second: deque[tuple[int, int]] = deque(maxlen=SPAN + 1)

    def add(self, now: float, rows: int = 1) -> None:
        """So many more are done."""
        self._rows += rows
        second = int(now)
        if self._by_second and self._by_second[-1][0] == second:
            self._by_second[-1] = (second, self._by_second[-1][1] + rows)
        else:
            self._by_second.append((second, rows))

    def recent(self, now: float) -> float:
        """Rows a second over the last `SPAN` seconds, or since the beginning when that is less."""
        first = int(now) - SPAN + 1
        done = sum(rows for second, rows in self._by_second if second >= first)
        return _per_second(done, now - max(first, self._began))

    def average(self, now: float) -> float:
        """Rows a second since the beginning."""
        return _per_second(self._rows, now - self._began)


def _per_second(rows: int, seconds: float) -> float:
    return rows / seconds if seconds > 0 else 0.0
