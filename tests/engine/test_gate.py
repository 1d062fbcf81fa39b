import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.states import State
from engine.breaker import Breaker
from engine.gate import FixedGate, Rate
from engine.outcomes import Outcome
from engine.policy import Policy
from engine.progress import Progress
from engine.stop import Stop, StopKind
from tests.virtual_clock import settle

AWAY = Outcome(State.PENDING, message="refused", unsent=True, away=True)


def departures(rate: Rate, moments: list[float]) -> list[float]:
    """When each call leaves that asks at one of `moments` and waits as it is told."""
    return [moment + rate.reserve(moment) for moment in moments]


@given(
    per_second=st.floats(0.01, 10_000),
    gaps=st.lists(st.floats(0, 100), min_size=1, max_size=60),
)
def test_never_more_than_the_rate_allows_in_any_window(per_second: float, gaps: list[float]) -> None:
    now = 0.0
    moments = [now := now + gap for gap in gaps]
    leaving = departures(Rate(per_second), moments)
    assert leaving == sorted(leaving)
    for first, start in enumerate(leaving):
        for last in range(first, len(leaving)):
            window = leaving[last] - start
            assert last - first + 1 <= per_second * window * (1 + 1e-9) + 1 + 1e-6


@given(per_second=st.floats(0.1, 1000), count=st.integers(2, 50))
def test_who_asks_all_at_once_leaves_evenly_spaced_without_loss(per_second: float, count: int) -> None:
    leaving = departures(Rate(per_second), [5.0] * count)
    assert leaving[0] == 5.0
    for place, moment in enumerate(leaving):
        assert moment == pytest.approx(5.0 + place / per_second)


@given(moments=st.lists(st.floats(0, 1000), min_size=1, max_size=30).map(sorted))
def test_who_asks_slower_than_the_rate_never_waits(moments: list[float]) -> None:
    rate = Rate(10.0)
    spaced = [moment + 0.2 * place for place, moment in enumerate(moments)]
    assert [rate.reserve(moment) for moment in spaced] == [0.0] * len(spaced)


def test_an_idle_hour_saves_up_no_burst() -> None:
    rate = Rate(10.0)
    rate.reserve(0.0)
    assert departures(rate, [3600.0] * 3) == pytest.approx([3600.0, 3600.1, 3600.2])


class Setting:
    """A gate with its breaker and its wish to stop."""

    def __init__(self, rate: float | None = None) -> None:
        self.stop = Stop()
        self.breaker = Breaker(self.probe, Policy(away_after=2), Progress(), self.stop)
        self.gate = FixedGate(self.breaker, Rate(rate) if rate else None, self.stop)
        self.began = anyio.current_time()
        self.entered: list[float] = []

    async def probe(self) -> None:
        """Always well."""

    async def enter(self) -> None:
        await self.gate.enter()
        self.entered.append(round(anyio.current_time() - self.began, 6))


@pytest.mark.virtual_clock
async def test_without_a_rate_calls_leave_at_once() -> None:
    setting = Setting()
    for _ in range(5):
        await setting.enter()
    assert setting.entered == [0.0] * 5


@pytest.mark.virtual_clock
async def test_many_workers_together_keep_the_rate() -> None:
    setting = Setting(rate=4.0)
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(setting.enter)
    assert sorted(setting.entered) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


@pytest.mark.virtual_clock
async def test_nobody_passes_while_the_billing_is_away() -> None:
    setting = Setting()
    for _ in range(2):
        setting.gate.leave(AWAY, 0.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.enter)
        await anyio.sleep(50)
        assert setting.entered == []
        tasks.start_soon(setting.breaker.keep)
        await settle()
        assert setting.entered == [50.0]
        tasks.cancel_scope.cancel()


@pytest.mark.virtual_clock
async def test_nobody_waits_any_longer_when_a_stop_is_asked_for() -> None:
    setting = Setting(rate=0.001)
    await setting.enter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.enter)
        await anyio.sleep(3)
        setting.stop.request(StopKind.INTERRUPTED, "enough")
    await setting.enter()
    assert setting.entered == [0.0, 3.0, 3.0]
