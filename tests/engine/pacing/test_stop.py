import anyio
import pytest

from engine.pacing.holds import Stop, StopKind
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


async def test_nobody_has_asked_at_first() -> None:
    stop = Stop()
    assert (stop.requested, stop.kind, stop.reason) == (False, None, "")


async def test_the_first_reason_is_the_one_that_is_kept() -> None:
    stop = Stop()
    stop.request(StopKind.BUDGET, "100 rows went wrong")
    stop.request(StopKind.INTERRUPTED, "Ctrl-C")
    assert (stop.requested, stop.kind, stop.reason) == (True, StopKind.BUDGET, "100 rows went wrong")


async def test_all_that_wait_for_it_are_woken() -> None:
    stop = Stop()
    woken: list[int] = []

    async def wait(number: int) -> None:
        await stop.wait()
        woken.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(wait, number)
        await settle()
        assert woken == []
        stop.request(StopKind.INTERRUPTED, "enough")
    assert sorted(woken) == [0, 1, 2]


async def test_a_sleep_lasts_as_long_as_it_should() -> None:
    before = anyio.current_time()
    await Stop().sleep(1000.0)
    assert anyio.current_time() - before == pytest.approx(1000.0)


async def test_a_sleep_ends_with_the_wish_to_stop() -> None:
    stop = Stop()
    before = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop.sleep, 1000.0)
        await anyio.sleep(3.0)
        stop.request(StopKind.INTERRUPTED, "enough")
    assert anyio.current_time() - before == pytest.approx(3.0)
    await stop.sleep(1000.0)
    assert anyio.current_time() - before == pytest.approx(3.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_time_is_no_sleep(seconds: float) -> None:
    before = anyio.current_time()
    await Stop().sleep(seconds)
    assert anyio.current_time() == before
