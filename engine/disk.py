"""The disk that the journal is on: a run is held before it is full, and stopped before the journal fails."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio.to_thread

from engine.errors import LookUpFailed
from engine.throttle import Gauge, Measure

NAME: Final = "disk"

MARGIN: Final = 1.1
"""Of the least that must be free, this much lets the run go on."""

LAST_RESERVE: Final = 0.25
"""Of the least that must be free, this little ends it."""

_MEGABYTE: Final = 1_000_000


def disk_gauge(place: Path, least: Callable[[], int]) -> Gauge:
    """Holds the run while fewer than `least` bytes are free where `place` is; 0 never holds."""

    async def measure() -> Measure | None:
        wanted = least()
        if not wanted:
            return None
        free = await anyio.to_thread.run_sync(_free, place)
        text = f"disk: {free // _MEGABYTE:,} MB free for the journal, {wanted // _MEGABYTE:,} MB wanted"
        # The less is free, the worse: hence the signs.
        return Measure(-free, -wanted, -MARGIN * wanted, text=text, end=-LAST_RESERVE * wanted)

    return Gauge(NAME, measure, every=5.0)


def _free(place: Path) -> int:
    try:
        found = os.statvfs(place)
    except OSError as error:
        raise LookUpFailed(f"{place}: {error.strerror}") from error
    return found.f_bavail * found.f_frsize
