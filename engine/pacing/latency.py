"""What an answer takes when nothing waits: the server's own latency, told apart from its queue.

Service times scatter, so one fast answer says little and the fastest of many says less than nothing: it makes a
server look quicker than it is. The latency is therefore a mean, and it carries how far it can be trusted. The means
of successive measurements are pooled, but no more of the past is kept than precision asks for: where answers take
equal times the newest measurement is all there is, and a change is seen at once; where they scatter, a hundred
answers are remembered.
"""

import math

PRECISE = 0.1
"""The relative error that old answers are kept for; twice as much will do for a while."""

FAMILIAR = 100
"""Answers after which the spread is taken as known; older ones fade."""


class Times:
    """Count and sums of some answer times, in seconds. Constant in size."""

    __slots__ = ("count", "squares", "total")

    def __init__(self) -> None:
        self.count = 0.0
        self.total = 0.0
        self.squares = 0.0

    def add(self, seconds: float) -> None:
        """One more answer."""
        self.count += 1
        self.total += seconds
        self.squares += seconds * seconds

    def join(self, other: "Times", *, keeping: float = math.inf) -> None:
        """The other's answers as well; of one's own so many at most, as if the others had never been."""
        kept = min(1.0, keeping / self.count) if self.count else 0.0
        self.count = self.count * kept + other.count
        self.total = self.total * kept + other.total
        self.squares = self.squares * kept + other.squares

    @property
    def mean(self) -> float:
        """Seconds; there must be an answer."""
        return self.total / self.count

    @property
    def variance(self) -> float:
        """Relative to the square of the mean; 0 where all took the same."""
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
        """Whether anything was measured yet."""
        return self._times.count > 0

    @property
    def well_known(self) -> bool:
        """Whether enough was measured to rest on."""
        return self._times.count >= self.answers_for(2 * PRECISE)

    @property
    def seconds(self) -> float:
        """The mean; there must have been a measurement."""
        return self._times.mean

    @property
    def spread(self) -> float:
        """The standard deviation of answer times relative to their mean; 1, as of a memoryless server, if unknown."""
        return math.sqrt(self._deviations / self._deviates) if self._deviates else 1.0

    @property
    def at_most(self) -> float:
        """The mean and half its standard error: the benefit of the doubt, which is small where little is in doubt."""
        return self.seconds * (1 + min(0.5, self.spread / math.sqrt(self._times.count)) / 2)

    def answers_for(self, error: float) -> float:
        """How many answers have a mean with this relative error."""
        return (self.spread / error) ** 2

    def measured(self, times: Times, *, doubtful: bool = False) -> None:
        """Take in answers that had nothing to wait for.

        Where the past is `doubtful`, it counts a quarter of what they do.
        """
        familiar = min(1.0, FAMILIAR / self._deviates) if self._deviates else 0.0
        self._deviates = self._deviates * familiar + times.count - 1
        self._deviations = self._deviations * familiar + times.variance * times.count
        keeping = self.answers_for(PRECISE)
        self._times.join(times, keeping=min(keeping, times.count / 4) if doubtful else keeping)
