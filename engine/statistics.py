"""Statistics of a run in bounded memory: errors by group, rows a second, call times."""

import math
import re
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from texts.said import said

LONGEST: Final = 160
"""Maximum length of a group's text, in characters."""

MOST: Final = 20
"""Maximum number of error groups; the rest is counted as `OTHER`."""

OTHER: Final = said("other errors")

_DIGITS: Final = re.compile(r"\d+")


def error_group(text: str) -> str:
    """The group of an error text, without numbers: "account 17 is locked" and "account 4 is locked" are one group."""
    return " ".join(_DIGITS.sub("", text[: 4 * LONGEST]).split())[:LONGEST]


class ErrorGroups:
    """Error counts by group, in at most `MOST` groups and `OTHER`; a group is shown as its first text."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, text: str) -> None:
        group = error_group(text)
        if group not in self._counts and len(self._counts) >= MOST:
            group = OTHER
        self._first.setdefault(group, OTHER if group == OTHER else _short(text))
        self._counts[group] += 1

    def counted(self) -> dict[str, int]:
        shown: Counter[str] = Counter()
        for group, number in self._counts.items():
            # Long texts of two groups can begin alike.
            shown[self._first[group]] += number
        return dict(shown.most_common())


def _short(text: str) -> str:
    """A text on one line that is not too long; one that is short enough stays as it was said."""
    short = " ".join(text[: 4 * LONGEST].split())[:LONGEST]
    return text if short == text else short


SPAN: Final = 10
"""Seconds over which the recent rate is measured."""


class Pace:
    """Rows a second, without a clock of its own; times are ascending seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._rows = 0
        self._by_second: deque[tuple[int, int]] = deque(maxlen=SPAN + 1)

    def add(self, now: float, rows: int = 1) -> None:
        self._rows += rows
        second = int(now)
        if self._by_second and self._by_second[-1][0] == second:
            self._by_second[-1] = (second, self._by_second[-1][1] + rows)
        else:
            self._by_second.append((second, rows))

    def recent(self, now: float) -> float:
        """Rows a second over the last `SPAN` seconds, or since the start if that is shorter."""
        first = int(now) - SPAN + 1
        done = sum(rows for second, rows in self._by_second if second >= first)
        return _per_second(done, now - max(first, self._began))

    def average(self, now: float) -> float:
        return _per_second(self._rows, now - self._began)


def _per_second(rows: int, seconds: float) -> float:
    return rows / seconds if seconds > 0 else 0.0


SHORTEST: Final = 1e-4
"""Upper bound of the first bucket, in seconds."""

GROWTH: Final = 1.1
"""Ratio of the upper bounds of neighbouring buckets: quantiles are accurate to 5 %."""

BUCKETS: Final = 170
"""Most buckets, up to about 1,000 seconds; longer calls count in the last."""

_PER_STEP: Final = 1 / math.log(GROWTH)


class Histogram:
    """Call times in seconds, in a histogram of bounded size with exponential buckets."""

    def __init__(self) -> None:
        self._counts = Counter[int]()

    def add(self, seconds: float) -> None:
        step = int(math.log(seconds / SHORTEST) * _PER_STEP) + 1 if seconds > SHORTEST else 0
        self._counts[step if step < BUCKETS else BUCKETS - 1] += 1

    def copy(self) -> "Histogram":
        return self.since(Histogram())

    def since(self, earlier: "Histogram") -> "Histogram":
        """The calls that came after an `earlier` moment of this histogram."""
        difference = Histogram()
        difference._counts = self._counts - earlier._counts  # noqa: SLF001 - its own class
        return difference

    def quantile(self, share: float) -> float | None:
        """The quantile `share` (0.95 for p95) in seconds; None before the first call."""
        left = math.ceil(share * self._counts.total())
        for step, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                # The middle of the bucket, on the logarithmic scale.
                return SHORTEST * GROWTH ** (step - 0.5) if step else SHORTEST
        return None


@dataclass(frozen=True, slots=True)
class PaceSample:
    """The pace of a run at one moment, which is `t`, in seconds since 1970.

    `rate` is calls a second since the sample before. Call times, in seconds, are of the last `SPAN` samples, None
    where there was no call.
    """

    t: float
    rate: float
    window: int
    in_flight: int
    p50: float | None
    p95: float | None


class RecentCalls:
    """The calls since the last samples, without a clock of its own; times are ascending seconds of one clock."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int, Histogram]] = deque(maxlen=SPAN)

    def mark(self, now: float, calls: int, times: Histogram) -> tuple[float, Histogram]:
        """Mark the present moment; returns calls a second since the last mark, and the times since the oldest one."""
        if not self._marks:
            self._marks.append((now, calls, times.copy()))
            return 0.0, Histogram()
        (_, _, oldest), (last, counted, _) = self._marks[0], self._marks[-1]
        found = _per_second(calls - counted, now - last), times.since(oldest)
        self._marks.append((now, calls, times.copy()))
        return found
