"""How long calls take: a histogram of fixed size, whose buckets grow with what they hold."""

import math
from typing import Final

SHORTEST: Final = 1e-4
"""Seconds of the first bucket, and of all below it."""

GROWTH: Final = 1.1
"""Each bucket ends so much later than the one before: a quantile is right to 5 %."""

BUCKETS: Final = 170
"""Up to about a thousand seconds; what takes longer is in the last."""

_PER_STEP: Final = 1 / math.log(GROWTH)


class Histogram:
    """Times of calls, in seconds."""

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
