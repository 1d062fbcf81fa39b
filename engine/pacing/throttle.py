"""The throttle: holds a run while a gauge is above its threshold; and the rate limit of its calls.

A gauge is read every few seconds. A gauge that grows with each call, such as the depth of a queue, is read again
before the calls since the last reading could have filled the room below its threshold. A call that finds no room
waits for the next reading. So the depth exceeds its threshold only by what other programs add.
"""

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from math import inf
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog

from engine.errors import DiskFull, LookUpFailed
from engine.pacing.holds import Holds, Stop, StopKind
from texts.said import Quantity, ValueRefused, advised, reason_of, said, setting

log = structlog.get_logger(__name__)

EVERY: Final = 2.0
"""Seconds between two readings of a gauge, by default."""

EVERY_WHILE_HELD: Final = 0.5
"""Maximum seconds between two readings while the gauge holds the run."""

LAST_ROOM: Final = 0.1
"""Share of the threshold below which a gauge that grows has no room: the rest would need a reading a call."""


@dataclass(frozen=True, slots=True)
class GaugeReading:
    """A reading of a gauge. The run is held above `high`, goes on at `low` or below, and is stopped above `end`.

    `grows` means that each call adds at most one to the value; such a gauge holds a little before its threshold, to
    leave room for the calls in flight. `text` is shown in place of name, value and threshold. `again` is when the
    value will be low by itself, in seconds, None where nobody knows.
    """

    value: float
    high: float
    low: float
    text: str = ""
    grows: bool = False
    end: float = inf
    again: float | None = None


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that is read beside a run, every `every` seconds.

    `measure` gives None while there is nothing to watch, and raises `LookUpFailed` if it cannot be read.
    """

    name: str
    measure: Callable[[], Awaitable[GaugeReading | None]]
    every: float = EVERY


@dataclass(slots=True)
class _Watched:
    """A gauge and its last reading; `full` and `due` are call counts since the start."""

    gauge: Gauge
    full: float = 0
    """After this call there is no room."""
    due: float = inf
    """After this call the next reading is due."""
    failing_since: float | None = None
    wanted: anyio.Event = field(default_factory=anyio.Event)


class Throttle:
    """Reads gauges beside the workers, and holds the run by their readings.

    `in_flight` gives the number of calls in flight. A gauge that cannot be read holds the run too; after `patience`
    seconds it stops the run. `then` is the remedy after such a stop.
    """

    def __init__(
        self,
        gauges: Sequence[Gauge],
        holds: Holds,
        stop: Stop,
        in_flight: Callable[[], int],
        patience: float,
        then: str = "",
    ) -> None:
        self._watched = [_Watched(gauge) for gauge in gauges]
        self._holds = holds
        self._stop = stop
        self._in_flight = in_flight
        self._patience = patience
        self._then = then or said("take the run up with {resume}", resume=advised("resume"))
        self._read: Callable[[], None] = lambda: None
        self._calls = 0
        self._full: float = 0 if gauges else inf
        self._due = inf

    def listen(self, read: Callable[[], None]) -> None:
        self._read = read

    @property
    def why(self) -> str:
        name = next((one.gauge.name for one in self._watched if one.full <= self._calls), None)
        return said("a gauge is being read") if name is None else said("{gauge} is being read", gauge=name)

    @property
    def has_room(self) -> bool:
        return self._calls < self._full

    def left(self) -> None:
        self._calls += 1
        if self._calls >= self._due:
            for watched in self._watched:
                if self._calls >= watched.due:
                    watched.due = inf
                    watched.wanted.set()
            self._due = min(watched.due for watched in self._watched)

    def look(self) -> None:
        for watched in self._watched:
            watched.wanted.set()

    async def watch(self) -> None:
        async with anyio.create_task_group() as tasks:
            for watched in self._watched:
                tasks.start_soon(self._follow, watched)

    async def _follow(self, watched: _Watched) -> None:
        while not self._stop.requested:
            watched.wanted = anyio.Event()
            await self._measure(watched)
            if self._calls >= watched.due:
                # Enough calls left during the reading to make the next one due.
                continue
            held = watched.gauge.name in self._holds
            with anyio.move_on_after(min(watched.gauge.every, EVERY_WHILE_HELD if held else inf)):
                await watched.wanted.wait()

    async def _measure(self, watched: _Watched) -> None:
        # The reading may or may not include the calls in flight: add them all.
        calls, in_flight = self._calls, self._in_flight()
        try:
            measure = await watched.gauge.measure()
        except LookUpFailed as error:
            now, name = anyio.current_time(), watched.gauge.name
            if watched.failing_since is None:
                watched.failing_since = now
                log.warning("a gauge cannot be read", gauge=name, why=error)
            self._holds.put(name, said("{gauge} cannot be read: {error}", gauge=name, error=error))
            if now - watched.failing_since > self._patience:
                self._stop.request(
                    StopKind.SYSTEM,
                    said(
                        "{gauge} could not be read for {seconds} s: {error}. Nothing is lost; when it can be read "
                        "again, {then}",
                        gauge=name,
                        seconds=Quantity(round(now - watched.failing_since)),
                        error=error,
                        then=self._then,
                    ),
                )
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
        """Hold or release the run by the reading, with hysteresis between `high` and `low`."""
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
                said(
                    "{gauge}. Nothing is lost; once that is mended, {then}",
                    gauge=_describe_gauge(name, measure),
                    then=self._then,
                ),
                measure.again,
            )


def _describe_gauge(name: str, measure: GaugeReading) -> str:
    if measure.text:
        return measure.text
    value, high = Quantity(round(measure.value)), Quantity(round(measure.high))
    if measure.value > measure.high:
        return said("{gauge} {value} > {threshold}", gauge=name, value=value, threshold=high)
    return said("{gauge} {value} of {threshold}", gauge=name, value=value, threshold=high)


LATENESS: Final = 0.01
"""Seconds of delay of one call that the following calls may catch up."""


class Rate:
    """A rate limit by GCRA (the leaky bucket as a meter): at most `per_second` calls, evenly spaced, without bursts.

    It has no clock of its own. `per_second` may be changed at any time, and counts from the last call that left;
    None is no limit.
    """

    def __init__(self, per_second: float | None = None) -> None:
        self.per_second = per_second
        self._last = float("-inf")

    def moment(self, asked: float, now: float) -> float:
        """The time at which a call that was ready at `asked` may leave; at most `now` if it may leave at once."""
        if self.per_second is None:
            return now
        # A call that had to queue leaves on schedule; an idle hour saves up no burst.
        return max(self._last + 1.0 / self.per_second, asked, now - LATENESS)

    def left(self, moment: float) -> None:
        self._last = moment


# ---- the gauges that need no particular billing -------------------------------------------------------------------


DISK: Final = "disk"

MARGIN: Final = 1.1
"""Factor on the required free space at which a held run goes on."""

LAST_RESERVE: Final = 0.25
"""Factor on the required free space below which the run is stopped."""

_MEGABYTE: Final = 1_000_000


def disk_gauge(place: Path, least: Callable[[], int]) -> Gauge:
    async def measure() -> GaugeReading | None:
        wanted = least()
        if not wanted:
            return None
        free = await anyio.to_thread.run_sync(_free, place)
        text = said(
            "disk: {free} MB free for the journal, {wanted} MB wanted",
            free=Quantity(free // _MEGABYTE),
            wanted=Quantity(wanted // _MEGABYTE),
        )
        # A gauge holds above its threshold, so free space is negated.
        return GaugeReading(-free, -wanted, -MARGIN * wanted, text=text, end=-LAST_RESERVE * wanted)

    return Gauge(DISK, measure, every=5.0)


def check_free(place: Path, least: int) -> None:
    """Check that `least` bytes are free at `place`, for what is about to be written there; 0 asks for none.

    Raises `DiskFull`, with what to do, and `LookUpFailed` where the disk cannot be asked.
    """
    if least and (free := _free(place)) < least:
        raise DiskFull(
            "disk: {free} MB free for the journal, {wanted} MB wanted. Make room there, or give another reserve "
            "with {flag}",
            free=Quantity(free // _MEGABYTE),
            wanted=Quantity(least // _MEGABYTE),
            flag=setting("min-disk", "MB"),
        )


def _free(place: Path) -> int:
    try:
        disk = os.statvfs(place)
    except OSError as error:
        raise LookUpFailed("{path}: {error}", path=place, error=reason_of(error)) from error
    return disk.f_bavail * disk.f_frsize


HOURS: Final = "hours"

_SPAN: Final = re.compile(r"\s*([0-9]{1,2}):([0-9]{2})\s*[-–]\s*([0-9]{1,2}):([0-9]{2})\s*")
_MIDNIGHT: Final = (24, 0)


@dataclass(frozen=True, slots=True)
class Hours:
    """A daily time range from `begin`, inclusive, to `end`, exclusive; over midnight if `end` is before `begin`."""

    begin: time
    end: time

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def __contains__(self, moment: datetime) -> bool:
        now = moment.time()
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end

    def begin_in(self, moment: datetime) -> timedelta:
        begin = datetime.combine(moment, self.begin)
        return (begin if begin > moment else begin + timedelta(days=1)) - moment


def hours_of(text: str) -> Hours:
    """Parse a time range such as `01:00-06:00`. Raises `ValueError` with a sentence."""
    matched = _SPAN.fullmatch(text)
    if matched is None:
        raise ValueRefused(
            "{text!r} is not a time range: write it as 01:00-06:00, or 22:00-05:30 over midnight", text=text
        )
    begin, end = (int(matched[1]), int(matched[2])), (int(matched[3]), int(matched[4]))
    try:
        hours = Hours(time(*begin), time() if end == _MIDNIGHT else time(*end))
    except ValueError:
        raise ValueRefused(
            "{text!r} is not a time range: the hours of a day go from 00:00 to 24:00", text=text
        ) from None
    if hours.begin == hours.end:
        raise ValueRefused(
            "{text!r} begins and ends at the same time: leave the hours out for the whole day", text=text
        )
    return hours


def hours_gauge(
    hours: Callable[[], Hours | None], now: Callable[[], Awaitable[datetime]], *, ends: bool = False
) -> Gauge:
    """A gauge that holds the run outside its `hours`, by the clock `now`, or `ends` it; None means all hours."""

    async def measure() -> GaugeReading | None:
        wanted = hours()
        if wanted is None:
            return None
        moment = await now()
        outside = moment not in wanted
        text = said("hours {hours}: it is {now} at the billing", hours=str(wanted), now=f"{moment:%H:%M}")
        if not (outside and ends):
            return GaugeReading(float(outside), 0.0, 0.0, text=text)
        return GaugeReading(1.0, 0.0, 0.0, text=text, end=0.0, again=wanted.begin_in(moment).total_seconds())

    return Gauge(HOURS, measure, every=1.0)
