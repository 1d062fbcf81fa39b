"""The window: how many calls may be in flight, found from how long the answers take.

A server works on a few calls at a time; the rest wait in a queue that only delays the answers. So the window is what
the server works on and a little more:

    delivery rate x the server's own latency + a tenth + a few

The rate is that of the calls themselves: n calls in flight of which each takes L seconds are n / L answers a second
(Little's law). With l, what an answer takes when nothing waits, n * l / L calls are being worked on and the others
wait. This is what BBR does for a network path. While nothing waits (L is l), the sum is more than the window: it
grows, a tenth and a few at a time. Once calls wait it stands still, where an answer takes some 1.2 to 1.5 times l.
The few are what makes several windows on one server equal: they weigh more in the smaller one.

All depends on l. If l were measured from answers that had to wait, the window would take its own queue for the
server's speed and grow without limit; adaptive limits that learn the latency under load fail in this way. So the
window goes down to half from time to time and measures l again. Half is enough: where the window only fills a queue,
the measured l halves each time. A doubtful l is measured at a quarter: after the start, and after the window has lost
half of its size. The times are multiples of a period of the clock, so that windows of one process, which may share a
server, go down together and none takes the queue of another for the server.

The states, of which each lasts for rounds (as many answers as calls in flight, more where answer times scatter):

    state      | calls in flight            | until
    -----------+----------------------------+--------------------------------------------------------------------
    STARTING   | twice as many every round  | answers wait, too many calls fail, or the cap is reached
    CRUISING   | the sum above              | it is time to measure
    MEASURING  | half                       | as many calls were begun, or more if they are soon answered

Trouble (429, 503, a busy text, a time-out, a reset) cuts whatever the state is, at once, and only once for the calls
that were in flight together. The cut holds for one round trip; then the window comes back, except while one answer in
five is a trouble: then each round trip cuts deeper. A trouble counts in no estimate and so never makes the window
grow; neither do calls that hang, nor rounds in which the application had less to send than the window allowed. Such
rounds do not make it shrink either.

Nothing here has a clock. Times are seconds of one monotonic clock, given by the caller. Time and memory for a call do
not depend on the number of earlier calls.
"""

import math
from enum import StrEnum
from math import floor, inf, sqrt
from typing import NamedTuple

from checkpoints.lease import WindowPace
from texts.said import reason, said

# ---- the server's own latency -------------------------------------------------------------------------------------
# The answer time of a call that does not wait in a queue.
#
# Service times scatter, and the fastest of many answers makes a server look faster than it is. The latency is
# therefore a mean with a known precision. The means of successive measurements are pooled, but only as many old
# answers are kept as the precision needs: where answer times are equal, only the newest measurement counts and a
# change is seen at once; where they scatter, a hundred answers are kept.


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
        return self._times.count > 0

    @property
    def well_known(self) -> bool:
        return self._times.count >= self.answers_for(2 * PRECISE)

    @property
    def seconds(self) -> float:
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


# ---- the window ---------------------------------------------------------------------------------------------------


GROWTH = 1.1
"""More calls than the server works on, so that a growing capacity is noticed."""

FEW = 0.8
"""Minimum number of extra calls: with 1.0, one window on a server of two slots would take three quarters of it."""

CALM = 1.1
"""Answers that take no longer than this times the own latency did not wait."""

CALM_WHILE_STARTING = 1.25
"""The same factor while the window doubles: answers are few, and only a doubled answer time has to be seen."""

CUT = 0.7
"""Factor on the window after a trouble."""

COMEBACK = 0.95
"""Factor on the former window after a cut that helped, so that it settles below the size that makes trouble."""

FLOOR = 1

OVERLOAD = 0.2
"""Share of troubles among the answers above which cuts are permanent."""

SHARE_WEIGHT = 1 / 50
"""The weight of one answer in that share."""

ROUGH = 0.15
"""The relative error that the mean answer time of a round should have."""

ALIKE = 0.1
"""Spread below which the first answer times count as equal, and four of them as enough."""

SHORTEST_ROUND, LONGEST_ROUND = 4, 16
"""Minimum answers of a round, and the number that is enough for a small window."""

SLOW = 2.0
"""Maximum seconds of a round of a starting window."""

PERIOD = 2.5
"""Seconds between two measurements, doubled as often as needed for slow servers."""

LATENCIES_A_PERIOD = 24
"""Minimum period as a multiple of the own latency, to limit the cost of measuring."""

MEASURING_SHARE = 0.02
"""Minimum share of a period that a measurement takes, which gives many answers on fast servers."""

MUCH_LESS = 2 / 3
"""Factor below which a new value of a doubtful latency is measured again at once."""

DOUBTFUL = 8
"""Minimum calls of a measurement while the own latency is doubtful or hardly known, if answer times scatter."""


class Phase(StrEnum):
    """The state of a window."""

    STARTING = "starting"
    CRUISING = "cruising"
    MEASURING = "measuring"


class Ticket(NamedTuple):
    """A started call: its time, the calls in flight including it, and whether it measures the own latency."""

    started: float
    in_flight: int
    measures: bool


class InFlight:
    """A limit on the calls in flight, constant here. Each call is reported twice: when it starts and when it ends.

    `size` is the number of calls that may be in flight now; calls above it are not cancelled.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def why(self) -> str:
        return reason("in-flight {calls}", "in-flight", calls=self.size)

    def started(self, now: float, in_flight: int) -> Ticket:
        """Note a started call; `in_flight` includes it."""
        return Ticket(now, in_flight, measures=False)

    def delivered(self, now: float, ticket: Ticket) -> None:
        """Note an answered call: accepted, or refused because of the row."""

    def troubled(self, now: float, ticket: Ticket, trouble: str) -> None:
        """Note a call that met an overload or got no answer; `trouble` names it in a word or two."""

    def dismissed(self, now: float, ticket: Ticket) -> None:
        """Note a call whose end says nothing about the load of the server."""


class _Round:
    """A round since `began`: its answers, its started calls, and how many of these filled the window."""

    __slots__ = ("began", "begun", "filling", "in_flight", "times")

    def __init__(self, began: float) -> None:
        self.began = began
        self.times = Times()
        self.in_flight = 0
        self.begun = 0
        self.filling = 0

    @property
    def used_up(self) -> bool:
        return 0 < self.begun <= self.filling * 2

    def hanging(self, now: float) -> bool:
        """Whether more than half of the calls in flight get no answers."""
        answered = self.times.total / (now - self.began) if now > self.began else inf
        return answered < self.in_flight / self.times.count / 2


class Window(InFlight):
    """An adaptive limit on the calls in flight, between `FLOOR` and `cap`. See the module's docstring."""

    def __init__(self, cap: int = 64, start: int = 2) -> None:
        if not FLOOR <= start <= cap:
            raise ValueError(f"start {start}, cap {cap}: each is at least the one before, and {FLOOR}")
        super().__init__(start)
        self._cap = cap
        self._state = Phase.STARTING
        self._limit = float(start)
        """The size without the temporary effects of a cut and of measuring."""

        self._latency = OwnLatency()
        self._round = _Round(-inf)
        self._needed = LONGEST_ROUND

        self._next_measurement = -inf
        self._measuring_until = -inf
        self._to_begin = 0
        self._limit_then = 0.0
        self._doubtful = True
        self._sample: Times | None = None
        self._awaited = 0

        self._cut = False
        self._cut_at = -inf
        self._cut_helped = True
        self._last_cut: str | None = None
        self._trouble_share = 0.0

    # ---- events of calls ----

    def started(self, now: float, in_flight: int) -> Ticket:
        measures = False
        if self._state is Phase.CRUISING:
            if now >= self._next_measurement:
                self._go_down(now)
        elif self._state is Phase.MEASURING and in_flight <= self.size:
            measures = self._to_begin > 0 or now < self._measuring_until
            if measures:
                self._to_begin -= 1
                self._awaited += 1
            else:
                # After enough of them, the window comes back.
                self._state = Phase.CRUISING
                self._resize(self._limit)
                self._next_round(now)
                self._measuring_call_ended(now)
        seen = self._round
        if not seen.begun and not seen.times.count:
            seen.began = now
        seen.begun += 1
        seen.filling += in_flight * 4 >= self.size * 3
        return Ticket(now, in_flight, measures)

    def delivered(self, now: float, ticket: Ticket) -> None:
        seconds = now - ticket.started
        self._trouble_share -= self._trouble_share * SHARE_WEIGHT
        if ticket.measures and self._sample is not None:
            self._sample.add(seconds)
            self._measuring_call_ended(now)
        if self._cut and ticket.started >= self._cut_at:
            # After one round trip the window comes back unless the troubles go on.
            self._cut = False
            if self._trouble_share > OVERLOAD:
                self._limit *= CUT
            elif self._cut_helped:
                self._limit *= COMEBACK
            self._cut_helped = True
            self._resize(self._limit)
        seen = self._round
        seen.times.add(seconds)
        seen.in_flight += ticket.in_flight
        if seen.times.count < self._needed and not (self._state is Phase.STARTING and self._has_seen_enough(now)):
            return
        if self._state is not Phase.MEASURING and seen.used_up:
            if not self._latency.known:
                self._latency.measured(seen.times)
            self._conclude(seen, now)
        self._next_round(now)

    def troubled(self, now: float, ticket: Ticket, trouble: str) -> None:
        self._trouble_share += (1 - self._trouble_share) * SHARE_WEIGHT
        self.dismissed(now, ticket)
        if ticket.started < self._cut_at:
            return
        overload = self._trouble_share > OVERLOAD
        if self._cut:
            self._cut_helped = False
            if overload:
                self._limit *= CUT
        if overload and self._state is Phase.STARTING and self._latency.known:
            self._state = Phase.CRUISING
        self._cut = True
        self._cut_at = now
        self._last_cut = trouble
        self._resize(self._limit)

    def dismissed(self, now: float, ticket: Ticket) -> None:
        if ticket.measures and self._sample is not None:
            self._awaited -= 1
            self._measuring_call_ended(now)

    def bound(self, cap: int) -> None:
        self._cap = cap
        self._resize(self._limit)

    # ---- what the next owner of the billing goes on with ----

    @property
    def pace(self) -> WindowPace | None:
        """What was learned of the server; None while its latency is not known."""
        own = self._latency
        if not own.known or own.seconds <= 0:
            return None
        return WindowPace(self._limit, own.answers, own.seconds, own.spread, self._trouble_share)

    def go_on(self, pace: WindowPace) -> None:
        """Go on with what another window has learned, within this one's cap; the latency is measured again soon."""
        self._state = Phase.CRUISING
        self._latency.measured(Times.alike(pace.answers, pace.seconds, pace.spread))
        self._trouble_share = pace.troubles
        self._doubtful = False
        self._resize(pace.size)

    # ---- status ----

    @property
    def why(self) -> str:
        if self._cut:
            why = said("cut: {trouble}", trouble=self._last_cut or "")
        elif self._state is Phase.STARTING:
            why = said("finding the server's limit")
        elif self._state is Phase.MEASURING:
            why = said("measuring the server's own latency")
        else:
            why = said("at its cap") if self.size == self._cap else said("the server's limit")
        return said("window {calls} ({reason})", calls=self.size, reason=why)

    # ---- rounds: where the window grows and shrinks ----

    def _has_seen_enough(self, now: float) -> bool:
        seen = self._round
        if seen.times.count < max(SHORTEST_ROUND, self._limit):
            return False
        if now - seen.began >= SLOW:
            return True
        return not self._latency.known and seen.times.variance <= ALIKE**2

    def _conclude(self, seen: _Round, now: float) -> None:
        waited = seen.times.mean / self._latency.at_most if self._latency.at_most else 1.0
        may_grow = self._trouble_share <= OVERLOAD and not seen.hanging(now)
        if self._state is Phase.STARTING:
            if waited <= CALM_WHILE_STARTING and self._limit < self._cap:
                self._resize(self._limit * 2 if may_grow else self._limit)
                return
            self._state = Phase.CRUISING
        if waited > CALM:
            worked_on = seen.in_flight / seen.times.count / waited
            # Half of the way: one round is not precise enough for a full step.
            wanted = (self._limit + _with_a_few_more(worked_on)) / 2
            self._resize(wanted if may_grow else min(self._limit, wanted))
        elif may_grow:
            self._resize(_with_a_few_more(self._limit))

    def _next_round(self, now: float) -> None:
        self._round = _Round(now)
        enough = max(LONGEST_ROUND, 2 * self._limit)
        self._needed = int(max(self._limit, SHORTEST_ROUND, min(enough, self._latency.answers_for(ROUGH))))

    def _resize(self, limit: float) -> None:
        """Set the window to `limit`, reduced by a present cut or measurement."""
        self._limit = min(max(limit, FLOOR), self._cap)
        size = self._limit * CUT if self._cut else self._limit
        calls = floor(size + 0.5)
        if self._state is Phase.MEASURING:
            calls //= 4 if self._doubtful else 2
        self.size = max(FLOOR, calls)

    # ---- measuring the server's own latency ----

    def _go_down(self, now: float) -> None:
        if self._sample is not None:
            self._learn(self._sample, now)
        self._plan_next(now)
        if self.size <= FLOOR:
            return
        self._doubtful = self._doubtful or self._limit < self._limit_then / 2
        self._limit_then = self._limit
        self._state = Phase.MEASURING
        self._resize(self._limit)
        hardly_known = self._doubtful or not self._latency.well_known
        self._to_begin = max(self.size, int(min(DOUBTFUL, self._latency.answers_for(ROUGH))) if hardly_known else 0)
        self._measuring_until = now + (self._next_measurement - now) * MEASURING_SHARE
        self._sample = Times()
        self._awaited = 0

    def _measuring_call_ended(self, now: float) -> None:
        """Learn from the sample once all its calls have ended: the first answers alone would be a biased sample."""
        if self._state is not Phase.MEASURING and self._sample is not None and self._sample.count >= self._awaited:
            self._learn(self._sample, now)

    def _learn(self, sample: Times, now: float) -> None:
        self._sample = None
        if not sample.count:
            return
        had_a_queue = self._doubtful and sample.mean < MUCH_LESS * self._latency.seconds
        self._latency.measured(sample, doubtful=self._doubtful)
        self._plan_next(now)
        self._doubtful = had_a_queue
        if had_a_queue:
            # A queue may be left: measure again, with the window that follows from the new latency.
            self._next_measurement = now

    def _plan_next(self, now: float) -> None:
        period = PERIOD
        while period < LATENCIES_A_PERIOD * self._latency.seconds:
            period *= 2
        self._next_measurement = (now // period + 1) * period


def _with_a_few_more(calls: float) -> float:
    return GROWTH * calls + max(FEW, sqrt(calls) / 2)
