"""The window: how many calls may be in flight, found from how long the answers take.

A server works on a few calls at a time; the rest wait in a queue that makes every answer later and none sooner. So
the window is what the server works on and a little more:

    delivery rate x the server's own latency + a tenth + a few

The rate is that of the calls themselves: n calls in flight of which each takes L seconds are n / L answers a second
(Little's law). With l, what an answer takes when nothing waits, n * l / L calls are being worked on and the others
wait. This is what BBR does for a network path. While nothing waits (L is l), the sum is more than the window: it
grows, a tenth and a few at a time. Once calls wait it stands still, where an answer takes some 1.2 to 1.5 times l.
The few are what makes several windows on one server equal: they weigh more in the smaller one.

All rests on l. Taken from answers that had to wait, it would make the window call its own queue the server's speed,
and feed it: limits that learn under load what a good latency is run away like that. So the window goes down to half
every now and then and measures l anew. Half is enough: where all the window does is fill a queue, what is taken for l
halves each time. What is doubtful is measured at a quarter: after the start, and when half of the window has gone.
The moments are multiples of a period of the clock, so that windows of one process, which may share a server, go down
together and none takes the queue of another for the server.

The states, of which each lasts for rounds (as many answers as calls in flight, more where answer times scatter):

    state      | calls in flight            | until
    -----------+----------------------------+--------------------------------------------------------------------
    STARTING   | twice as many every round  | answers wait, too many calls come to grief, or the cap is reached
    CRUISING   | the sum above              | it is time to measure
    MEASURING  | half                       | as many calls were begun, or more if they are soon answered

Trouble (429, 503, a busy text, a time-out, a reset) cuts whatever the state is, at once, and only once for the calls
that were in flight together. The cut holds for one round trip; then the window comes back, except while one answer in
five is a trouble: that is no accident, and each round trip cuts deeper. A trouble has no say in any estimate and so
never makes the window grow; neither do calls that hang, nor rounds in which the application had less to send than the
window would have taken. Such rounds do not make it shrink either.

Nothing here has a clock. Times are seconds of one monotonic clock, told by the caller; what a call costs does not
depend on how many went before it, nor does the memory.
"""

from enum import StrEnum
from math import floor, inf, sqrt
from typing import NamedTuple, Protocol

from engine.pacing.latency import OwnLatency, Times

GROWTH = 1.1
"""More calls than the server works on, so that a growing capacity is noticed."""

FEW = 0.8
"""The few more, at least: with a whole one, a window on a server of two slots would take three quarters of it."""

CALM = 1.1
"""Answers that take no longer than this times the own latency did not wait."""

CALM_WHILE_STARTING = 1.25
"""The same while the window doubles: then twice as long is to be told from as long, and answers are few."""

CUT = 0.7
"""What a trouble leaves of the window."""

COMEBACK = 0.95
"""What comes back of the window after a cut that helped, so that it settles below what makes trouble."""

OVERLOAD = 0.2
"""The share of troubles among the answers above which cuts are for good."""

SHARE_WEIGHT = 1 / 50
"""The weight of one answer in that share."""

ROUGH = 0.15
"""The relative error that the mean answer time of a round should have."""

ALIKE = 0.1
"""The spread below which the first answers are taken as all the same, and four of them as enough."""

SHORTEST_ROUND, LONGEST_ROUND = 4, 16
"""Answers a round at least, and enough for any round of a small window."""

SLOW = 2.0
"""Seconds after which a round of a starting window is over, however much its answers scatter."""

PERIOD = 2.5
"""Seconds between two measurements; twice, four times, ... as much for servers that are slow to answer."""

LATENCIES_A_PERIOD = 24
"""A period is at least so many times the own latency, or measuring would cost too much."""

MEASURING_SHARE = 0.02
"""Of a period a measurement takes at least this, which gives fast servers many answers for it."""

MUCH_LESS = 2 / 3
"""Of what was thought: what was doubtful and is now found to be so little is measured once more, at once."""

DOUBTFUL = 8
"""Calls that a measurement takes at least while the own latency is doubtful or hardly known, if they scatter."""


class Phase(StrEnum):
    """What a window is doing."""

    STARTING = "starting"
    CRUISING = "cruising"
    MEASURING = "measuring"


class Ticket(NamedTuple):
    """A call that was begun: when, how many were in flight then with it, and whether it measures the own latency."""

    started: float
    in_flight: int
    measures: bool


class InFlight(Protocol):
    """A bound on the calls in flight. Each call that is begun is told about once more, when it has ended."""

    size: int
    """How many calls may be in flight now; those above it are left alone."""

    @property
    def why(self) -> str:
        """What holds calls back when this does, in words for the status line."""
        ...

    def started(self, now: float, in_flight: int) -> Ticket:
        """A call is begun; `in_flight` counts it."""
        ...

    def delivered(self, now: float, ticket: Ticket) -> None:
        """It was answered: accepted, or refused because of the row."""
        ...

    def troubled(self, now: float, ticket: Ticket, trouble: str) -> None:
        """The server had too much to do, or did not answer; `trouble` says which, in a word or two."""
        ...

    def dismissed(self, now: float, ticket: Ticket) -> None:
        """It ended in a way that says nothing of how busy the server is."""
        ...


class FixedWindow:
    """So many calls in flight, whatever the server does."""

    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def why(self) -> str:
        """The operator's wish."""
        return f"in-flight {self.size}"

    def started(self, now: float, in_flight: int) -> Ticket:
        """As for any window."""
        return Ticket(now, in_flight, measures=False)

    def delivered(self, now: float, ticket: Ticket) -> None:
        """Nothing follows."""

    def troubled(self, now: float, ticket: Ticket, trouble: str) -> None:
        """Nothing follows."""

    def dismissed(self, now: float, ticket: Ticket) -> None:
        """Nothing follows."""


class _Round:
    """What was seen since `began`: answers, and of the calls begun how many filled the window."""

    __slots__ = ("began", "begun", "filling", "in_flight", "times")

    def __init__(self, began: float) -> None:
        self.began = began
        self.times = Times()
        self.in_flight = 0
        self.begun = 0
        self.filling = 0

    @property
    def used_up(self) -> bool:
        """Whether the window was what bounded the calls, rather than the application."""
        return 0 < self.begun <= self.filling * 2

    def hanging(self, now: float) -> bool:
        """Whether more than half of the calls in flight were none of those that get answers."""
        answered = self.times.total / (now - self.began) if now > self.began else inf
        return answered < self.in_flight / self.times.count / 2


class Window:
    """The calls in flight that a server has use for, between `floor` and `cap`. See the module's docstring."""

    def __init__(self, cap: int = 64, floor: int = 1, start: int = 2) -> None:
        if not 1 <= floor <= start <= cap:
            raise ValueError(f"floor {floor}, start {start}, cap {cap}: each is at least the one before, and 1")
        self.size = start
        self._floor = floor
        self._cap = cap
        self._state = Phase.STARTING
        self._limit = float(start)
        """The size, but for a cut and for measuring, which pass."""

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

    # ---- what is told ----

    def started(self, now: float, in_flight: int) -> Ticket:
        """A call is begun; `in_flight` counts it."""
        measures = False
        if self._state is Phase.CRUISING:
            if now >= self._next_measurement:
                self._go_down(now)
        elif self._state is Phase.MEASURING and in_flight <= self.size:
            measures = self._begin_measuring_call(now)
        seen = self._round
        if not seen.begun and not seen.times.count:
            seen.began = now
        seen.begun += 1
        seen.filling += in_flight * 4 >= self.size * 3
        return Ticket(now, in_flight, measures)

    def delivered(self, now: float, ticket: Ticket) -> None:
        """It was answered: accepted, or refused because of the row."""
        seconds = now - ticket.started
        self._trouble_share -= self._trouble_share * SHARE_WEIGHT
        if ticket.measures and self._sample is not None:
            self._sample.add(seconds)
            self._measuring_call_ended(now)
        if self._cut and ticket.started >= self._cut_at:
            self._lift_cut()
        seen = self._round
        seen.times.add(seconds)
        seen.in_flight += ticket.in_flight
        if seen.times.count >= self._needed or (self._state is Phase.STARTING and self._has_seen_enough(now)):
            self._end_round(now)

    def troubled(self, now: float, ticket: Ticket, trouble: str) -> None:
        """The server had too much to do, or did not answer: cut, unless that was done since the call began."""
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
        """It ended in a way that says nothing of how busy the server is."""
        if ticket.measures and self._sample is not None:
            self._awaited -= 1
            self._measuring_call_ended(now)

    def bound(self, cap: int) -> None:
        """Let it never pass `cap` from now on; what was learned stays."""
        self._cap = cap
        self._resize(self._limit)

    # ---- what is asked ----

    @property
    def why(self) -> str:
        """What holds calls back when the window does, in words for the status line."""
        return f"window {self.size} ({self._reason()})"

    def _reason(self) -> str:
        if self._cut:
            return f"cut: {self._last_cut}"
        if self._state is Phase.STARTING:
            return "finding the server's limit"
        if self._state is Phase.MEASURING:
            return "measuring the server's own latency"
        return "at its cap" if self.size == self._cap else "the server's limit"

    # ---- rounds: where the window grows and shrinks ----

    def _has_seen_enough(self, now: float) -> bool:
        """Whether the round of a starting window can end before its time."""
        seen = self._round
        if seen.times.count < max(SHORTEST_ROUND, self._limit):
            return False
        if now - seen.began >= SLOW:
            return True
        return not self._latency.known and seen.times.variance <= ALIKE**2

    def _end_round(self, now: float) -> None:
        """Draw the conclusion from a round, and begin the next."""
        seen = self._round
        if self._state is not Phase.MEASURING and seen.used_up:
            if not self._latency.known:
                self._latency.measured(seen.times)
            self._conclude(seen, now)
        self._next_round(now)

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
            # Half of the way: one round is not known well enough for all of it.
            wanted = (self._limit + _with_a_few_more(worked_on)) / 2
            self._resize(wanted if may_grow else min(self._limit, wanted))
        elif may_grow:
            self._resize(_with_a_few_more(self._limit))

    def _next_round(self, now: float) -> None:
        self._round = _Round(now)
        enough = max(LONGEST_ROUND, 2 * self._limit)
        self._needed = int(max(self._limit, SHORTEST_ROUND, min(enough, self._latency.answers_for(ROUGH))))

    def _resize(self, limit: float) -> None:
        """Let the window be `limit`, or what a cut or measuring leaves of it for now."""
        self._limit = min(max(limit, self._floor), self._cap)
        size = self._limit * CUT if self._cut else self._limit
        calls = floor(size + 0.5)
        if self._state is Phase.MEASURING:
            calls //= 4 if self._doubtful else 2
        self.size = max(self._floor, calls)

    # ---- measuring the server's own latency ----

    def _go_down(self, now: float) -> None:
        """Let no more than half be in flight, or a quarter, and measure."""
        if self._sample is not None:
            self._learn(self._sample, now)
        self._plan_next(now)
        if self.size <= self._floor:
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

    def _begin_measuring_call(self, now: float) -> bool:
        """Whether one more call is to measure; when there were enough of them, the window comes back."""
        if self._to_begin > 0 or now < self._measuring_until:
            self._to_begin -= 1
            self._awaited += 1
            return True
        self._state = Phase.CRUISING
        self._resize(self._limit)
        self._next_round(now)
        self._measuring_call_ended(now)
        return False

    def _measuring_call_ended(self, now: float) -> None:
        """All are waited for: the first to be answered are the fast ones, and would be a biased sample."""
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
            # Then there may be one left: measure again, from the window that follows from what is known now.
            self._next_measurement = now

    def _plan_next(self, now: float) -> None:
        period = PERIOD
        while period < LATENCIES_A_PERIOD * self._latency.seconds:
            period *= 2
        self._next_measurement = (now // period + 1) * period

    # ---- cuts ----

    def _lift_cut(self) -> None:
        """A round trip is over since the cut: what comes back depends on whether it was the window's fault."""
        self._cut = False
        if self._trouble_share > OVERLOAD:
            self._limit *= CUT
        elif self._cut_helped:
            self._limit *= COMEBACK
        self._cut_helped = True
        self._resize(self._limit)


def _with_a_few_more(calls: float) -> float:
    """The window for so many calls that the server works on."""
    return GROWTH * calls + max(FEW, sqrt(calls) / 2)
