"""The gauges that need no particular billing: free disk space, and the hours in which a run may send."""

import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Final

import anyio.to_thread

from engine.errors import DiskFull, LookUpFailed
from engine.pacing.throttle import Gauge, GaugeReading
from texts.remedies import setting
from texts.said import Quantity, ValueRefused, said

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
        raise LookUpFailed("{path}: {error}", path=place, error=error.strerror or error) from error
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
