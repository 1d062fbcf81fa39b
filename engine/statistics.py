"""Statistics of a run in bounded memory: its errors by group, its rows a second, the times of its calls."""

import math
import re
from collections import Counter, deque
from typing import Final

LONGEST: Final = 160
"""Characters of a group's text."""

MOST: Final = 20
"""Groups that are told apart; the rest counts together."""

OTHER: Final = "other errors"

_DIGITS: Final = re.compile(r"\d+")


def error_group(text: str) -> str:
    """What `text` says, without its numbers: "account 17 is locked" and "account 4 is locked" are one group."""
    return " ".join(_DIGITS.sub("", text[: 4 * LONGEST]).split())[:LONGEST]


class ErrorGroups:
    """How often each group of errors was met; however many there are, the memory is that of `MOST`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """One more."""
        group = error_group(text)
        self._counts[group if group in self._counts or len(self._counts) < MOST else OTHER] += 1

    def counted(self) -> dict[str, int]:
        """The commonest first."""
        return dict(self._counts.most_common())


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


SHORTEST: Final = 1e-4
"""Seconds of the first bucket, and of all below it."""

GROWTH: Final = 1.1
"""Each bucket ends so much later than the one before: a quantile is right to 5 %."""

BUCKETS: Final = 170
"""Up to about a thousand seconds; what takes longer is in the last."""

_PER_STEP: Final = 1 / math.log(GROWTH)


class Histogram:
    """Times of calls, in seconds: a histogram of fixed size, whose buckets grow with what they hold."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._total = 0

    def add(self, seconds: float) -> None:
        """One more call."""
        step = int(math.log(seconds / SHORTEST) * _PER_STEP) + 1 if seconds > SHORTEST else 0
        self._counts[step if step < BUCKETS else BUCKETS - 1] += 1
        self._total += 1

    def quantile(self, share: float) -> float | None:
        """Seconds that `share` of the calls took at most, as 0.95; None before the first call."""
        if not self._total:
            return None
        left = math.ceil(share * self._total)
        step = 0
        for step, count in enumerate(self._counts):  # noqa: B007 - where it ends is what is asked for
            left -= count
            if left <= 0:
                break
        # The middle of the bucket, on its own scale.
        return SHORTEST * GROWTH ** (step - 0.5) if step else SHORTEST
