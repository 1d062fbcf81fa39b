"""The throttle: holds a run that would do harm, by what gauges read beside it; and the rate of its calls.

A gauge is read every few seconds. One that grows with each call, as the depth of a queue does, is read again before
the calls that have left since could have filled what room there was: a call that finds no room left waits for the
next reading, and so the depth never passes its threshold by more than what others put there.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

import anyio
import structlog

from engine.errors import LookUpFailed, Remedy, Said
from engine.pacing.holds import Holds, Stop, StopKind

log = structlog.get_logger(__name__)

EVERY: Final = 2.0
"""Seconds between two readings of a gauge, unless it says otherwise."""

EVERY_WHILE_HELD: Final = 0.5
"""The same at most, while it holds the run."""

RESUME: Final[Said] = ("take the run up with ", Remedy("resume"))
"""What there is to do after a stop, once what has stopped the run is mended."""

LAST_ROOM: Final = 0.1
"""Of a threshold: with less room than this left, one that grows holds; to fill the rest call by call, with a reading
for each, would gain nothing."""


@dataclass(frozen=True, slots=True)
class GaugeReading:
    """What a gauge reads: the more, the worse. Above `high` the run is held, and goes on at `low` or below.

    One that `grows` is added to by every call, by one at most; it holds a little before, while those that are on
    their way still find room. Above `end` the run is stopped. `text` is told in place of name, value and threshold.
    """

    value: float
    high: float
    low: float
    text: str = ""
    grows: bool = False
    end: float = inf


@dataclass(frozen=True, slots=True)
class Gauge:
    """Something to be read beside a run, `every` so many seconds.

    `measure` gives None while there is nothing to watch, and raises `LookUpFailed` when it cannot be read.
    """

    name: str
    measure: Callable[[], Awaitable[GaugeReading | None]]
    every: float = EVERY


@dataclass(slots=True)
class _Watched:
    """A gauge and its last reading; `full` and `due` count calls since the beginning."""

    gauge: Gauge
    full: float = 0
    """The call after this one finds no room left."""
    due: float = inf
    """After this call it is time for the next reading."""
    failing_since: float | None = None
    wanted: anyio.Event = field(default_factory=anyio.Event)


class Throttle:
    """Reads gauges beside the workers, and holds the run by them.

    `in_flight` tells how many calls are on their way. A gauge that cannot be read holds as well, for who cannot see
    what he does may not go on; after `patience` seconds of that the run is stopped. `then` is what there is to
    do once that is mended.
    """

    def __init__(
        self,
        gauges: Sequence[Gauge],
        holds: Holds,
        stop: Stop,
        in_flight: Callable[[], int],
        patience: float,
        then: Said = RESUME,
    ) -> None:
        self._watched = [_Watched(gauge) for gauge in gauges]
        self._holds = holds
        self._stop = stop
        self._in_flight = in_flight
        self._patience = patience
        self._then = then
        self._read: Callable[[], None] = lambda: None
        self._calls = 0
        self._full: float = 0 if gauges else inf
        self._due = inf

    def listen(self, read: Callable[[], None]) -> None:
        """Call `read` whenever a reading may have made room."""
        self._read = read

    @property
    def why(self) -> str:
        """Which gauge is being read while calls wait for it."""
        name = next((one.gauge.name for one in self._watched if one.full <= self._calls), "a gauge")
        return f"{name} is being read"

    @property
    def has_room(self) -> bool:
        """Whether one more call may leave before the next reading."""
        return self._calls < self._full

    def left(self) -> None:
        """A call has left."""
        self._calls += 1
        if self._calls >= self._due:
            for watched in self._watched:
                if self._calls >= watched.due:
                    watched.due = inf
                    watched.wanted.set()
            self._due = min(watched.due for watched in self._watched)

    def look(self) -> None:
        """Read all gauges now: a threshold was changed."""
        for watched in self._watched:
            watched.wanted.set()

    async def watch(self) -> None:
        """Read the gauges until a stop is asked for."""
        async with anyio.create_task_group() as tasks:
            for watched in self._watched:
                tasks.start_soon(self._follow, watched)

    async def _follow(self, watched: _Watched) -> None:
        while not self._stop.requested:
            watched.wanted = anyio.Event()
            await self._measure(watched)
            if self._calls >= watched.due:
                # So many have left while it was being read.
                continue
            held = watched.gauge.name in self._holds
            with anyio.move_on_after(min(watched.gauge.every, EVERY_WHILE_HELD if held else inf)):
                await watched.wanted.wait()

    async def _measure(self, watched: _Watched) -> None:
        # Of the calls in flight nobody knows whether the gauge will have counted them: all are added to it.
        calls, in_flight = self._calls, self._in_flight()
        try:
            measure = await watched.gauge.measure()
        except LookUpFailed as error:
            self._blind(watched, error)
            return
        watched.failing_since = None
        room = inf
        if measure is not None and measure.grows:
            room = max(0.0, measure.high - measure.value - in_flight)
        watched.full = calls + room
        watched.due = calls + max(1.0, room // 2) if room < inf else inf
        self._heed(watched.gauge.name, measure, in_flight, room)
        self._full = min(each.full for each in self._watched)
        self._due = min(each.due for each in self._watched)
        self._read()

    def _heed(self, name: str, measure: GaugeReading | None, in_flight: int, room: float) -> None:
        """Hold or let go by what was read, and by what it read before."""
        if measure is None:
            self._holds.lift(name)
            return
        expected = measure.value + in_flight if measure.grows else measure.value
        above = room < max(1.0, LAST_ROOM * measure.high) if measure.grows else expected > measure.high
        if above or (name in self._holds and expected > measure.low):
            self._holds.put(name, measure.text or _describe_gauge(name, measure))
        else:
            self._holds.lift(name)
        if measure.value > measure.end:
            self._stop.request(
                StopKind.SYSTEM,
                f"{_describe_gauge(name, measure)}. Nothing is lost; once that is mended, ",
                *self._then,
            )

    def _blind(self, watched: _Watched, error: LookUpFailed) -> None:
        now = anyio.current_time()
        if watched.failing_since is None:
            watched.failing_since = now
            log.warning("a gauge cannot be read", gauge=watched.gauge.name, why=str(error))
        name = watched.gauge.name
        self._holds.put(name, f"{name} cannot be read: {error}")
        if now - watched.failing_since > self._patience:
            self._stop.request(
                StopKind.SYSTEM,
                f"{name} could not be read for {now - watched.failing_since:.0f} s: {error}. Nothing is lost; "
                "when it can be read again, ",
                *self._then,
            )


def _describe_gauge(name: str, measure: GaugeReading) -> str:
    if measure.text:
        return measure.text
    sign = ">" if measure.value > measure.high else "of"
    return f"{name} {measure.value:,.0f} {sign} {measure.high:,.0f}"


LATENESS: Final = 0.01
"""Seconds that a call which leaves later than it might have may be behind without the next ones losing them."""


class Rate:
    """GCRA (the leaky bucket as a meter): at most `per_second` calls, evenly spaced, without a burst.

    A pure function of the times it is asked at: no clock of its own. `per_second` may be changed at any time, and
    counts from the last call that left; None is no limit.
    """

    def __init__(self, per_second: float | None = None) -> None:
        self.per_second = per_second
        self._last = float("-inf")

    def moment(self, asked: float, now: float) -> float:
        """When the next call may leave that was ready at `asked`; not after `now` when it may leave at once."""
        if self.per_second is None:
            return now
        # Whoever had to wait in a queue leaves on schedule; whoever comes after an idle hour finds no burst saved up.
        return max(self._last + 1.0 / self.per_second, asked, now - LATENESS)

    def left(self, moment: float) -> None:
        """A call has left, whose moment was `moment`."""
        self._last = moment
