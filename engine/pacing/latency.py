"""The server's own latency: the answer time of a call that does not wait in a queue.

Service times scatter, and the fastest of many answers makes a server look faster than it is. The latency is
therefore a mean with a known precision. The means of successive measurements are pooled, but only as many old
answers are kept as the precision needs: where answer times are equal, only the newest measurement counts and a
change is seen at once; where they scatter, a hundred answers are kept.
"""

import math

PRECISE = 0.1
"""The relative error that old answers are kept for; twice this error is enough for `well_known`."""

FAMILIAR = 100
"""Number of answers after which the spread counts as known; older answers fade."""


class Times:
    """Count and sums of answer times, in seconds, in constant memory."""

    __slots__ = ("count", "squares", "total")

    def __init__(self) -> None:
        self.count = 0.0
        self.total = 0.0
        self.squares = 0.0

    def add(self, seconds: float) -> None:
        """Add one answer time."""
        self.count += 1
        self.total += seconds
        self.squares += seconds * seconds

    @classmethod
    def alike(cls, count: float, mean: float, spread: float) -> "Times":
        """So many answer times with this mean, and this standard deviation relative to it."""
        times = cls()
        times.count, times.total, times.squares = count, count * mean, count * mean**2 * (1 + spread**2)
        return times

    def join(self, other: "Times", *, keeping: float = math.inf) -> None:
        """Add the answers of `other`, after scaling the present ones down to at most `keeping` answers."""
        kept = min(1.0, keeping / self.count) if self.count else 0.0
        self.count = self.count * kept + other.count
        self.total = self.total * kept + other.total
        self.squares = self.squares * kept + other.squares

    @property
    def mean(self) -> float:
        """The mean in seconds; requires an answer."""
        return self.total / self.count

    @property
    def variance(self) -> float:
        """The variance relative to the square of the mean; 0 for equal times."""
        if not self.total:
            return 0.0
        return max(0.0, self.squares * self.count / self.total**2 - 1.0)


class OwnLatency:
    """The mean answer time of a server that has nothing waiting, and how well it is known."""

    def __init__(self) -> None:
        self._times = Times()
        self._deviations = 0.0
        self._deviates = 0.0

    @property
    def known(self) -> bool:
        """Whether there is a measurement."""
        return self._times.count > 0

    @property
    def well_known(self) -> bool:
        """Whether the mean is known within twice `PRECISE`."""
        return self._times.count >= self.answers_for(2 * PRECISE)

    @property
    def seconds(self) -> float:
        """The mean in seconds; requires a measurement."""
        return self._times.mean

    @property
    def spread(self) -> float:
        """The standard deviation of answer times relative to their mean; 1 (a memoryless server) if unknown."""
        return math.sqrt(self._deviations / self._deviates) if self._deviates else 1.0

    @property
    def at_most(self) -> float:
        """The mean plus half its standard error, in seconds."""
        return self.seconds * (1 + min(0.5, self.spread / math.sqrt(self._times.count)) / 2)

    @property
    def answers(self) -> float:
        """The number of answers that the mean rests on."""
        return self._times.count

    def answers_for(self, error: float) -> float:
        """The number of answers whose mean has this relative error."""
        return (self.spread / error) ** 2

    def measured(self, times: Times, *, doubtful: bool = False) -> None:
        """Add answer times measured without a queue.

        With `doubtful`, earlier measurements count a quarter of these.
        """
        familiar = min(1.0, FAMILIAR / self._deviates) if self._deviates else 0.0
        self._deviates = self._deviates * familiar + times.count - 1
        self._deviations = self._deviations * familiar + times.variance * times.count
        keeping = self.answers_for(PRECISE)
        self._times.join(times, keeping=min(keeping, times.count / 4) if doubtful else keeping)
