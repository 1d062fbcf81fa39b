import os
from pathlib import Path

import pytest

from engine.errors import LookUpFailed
from engine.pacing.gauges import disk_gauge
from engine.pacing.throttle import GaugeReading


async def read(place: Path, least: int) -> GaugeReading | None:
    return await disk_gauge(place, lambda: least).measure()


async def test_what_is_free_is_asked_of_the_real_disk(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    free = found.f_bavail * found.f_frsize
    plenty, little = await read(tmp_path, free // 2), await read(tmp_path, free * 2)
    assert plenty is not None
    assert little is not None
    assert plenty.value < plenty.low
    assert little.value > little.high
    assert little.value < little.end
    assert "MB free for the journal" in little.text


class Found:
    """A disk with so much free."""

    f_frsize = 4096

    def __init__(self, free: int) -> None:
        self.f_bavail = free // self.f_frsize


@pytest.mark.parametrize(
    ("megabytes", "held", "stopped"), [(230, False, False), (199, True, False), (60, True, False), (40, True, True)]
)
async def test_a_little_is_held_and_far_less_is_the_end(
    megabytes: int, held: bool, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: Found(megabytes * 1_000_000))
    measure = await read(Path("journal"), 200_000_000)
    assert measure is not None
    assert (measure.value > measure.high, measure.value > measure.end) == (held, stopped)


async def test_a_disk_that_is_gone_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LookUpFailed, match="nowhere: No such file"):
        await read(tmp_path / "nowhere", 1)
