import anyio
import pytest

from engine.pacing.holds import PAUSED, Holds
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


async def test_the_first_reason_is_told_until_it_is_lifted_and_a_persons_comes_before_all() -> None:
    holds = Holds()
    holds.put("hours", "it is noon")
    holds.put("disk", "it is full")
    assert holds.why == "it is noon"
    holds.put(PAUSED, "paused by olga")
    assert holds.why == "paused by olga"
    holds.lift("hours")
    holds.lift(PAUSED)
    assert holds.why == "it is full"
    assert "disk" in holds
    assert "hours" not in holds


async def test_each_counts_its_own_time_also_while_it_still_holds() -> None:
    holds = Holds()
    holds.put("hours", "it is noon")
    await anyio.sleep(10)
    holds.put("disk", "it is full")
    await anyio.sleep(5)
    holds.put("hours", "it is one o'clock")  # the same hold, another text
    holds.lift("disk")
    await anyio.sleep(1)
    assert holds.seconds == pytest.approx({"hours": 16.0, "disk": 5.0})
    holds.lift("hours")
    await anyio.sleep(100)
    holds.put("disk", "again")
    await anyio.sleep(2)
    assert holds.seconds == pytest.approx({"hours": 16.0, "disk": 7.0})


async def test_who_waits_goes_when_the_last_reason_is_gone() -> None:
    holds = Holds()
    heard: list[bool] = []
    holds.listen(lambda: heard.append(bool(holds)))
    holds.put("hours", "it is noon")
    holds.put("disk", "it is full")
    free: list[str] = []

    async def wait() -> None:
        await holds.lifted()
        free.append("free")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        holds.lift("hours")
        holds.lift("nobody")
        await settle()
        assert free == []
        holds.lift("disk")
    assert free == ["free"]
    assert heard == [True, True, True, False]
