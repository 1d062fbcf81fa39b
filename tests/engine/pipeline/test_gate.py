from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest

from checkpoints.lease import BillingPace, WindowPace
from checkpoints.records import Item
from checkpoints.states import State
from engine.outcomes import Cause, Outcome
from engine.pacing.breaker import Breaker, RetryBudget
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pacing.throttle import Throttle
from engine.pipeline.backlog import Backlog
from engine.pipeline.gate import Gate
from engine.pipeline.progress import LivePolicy, Progress
from tests.engine.doubles import change, item
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


WELL = Outcome(State.ACCEPTED, Cause.ANSWERED)


class Setting:
    """A gate with all that may hold a call, and calls that leave when the test says so."""

    def __init__(self, in_flight: int | None = 100, rate: float | None = None) -> None:
        stop = Stop()
        policy = Policy(in_flight=in_flight, rate=rate, away_after=2)
        self.steering = LivePolicy(policy, Progress(), stop)
        holds = self.steering.progress.holds
        breaker = Breaker(anyio.lowlevel.checkpoint, policy, holds, stop)
        throttle = Throttle((), holds, stop, lambda: self.gate.in_flight, 600.0)
        self.gate = Gate(self.steering, breaker, throttle)
        self.steering.listen(self.gate.heed_change)
        self.began = anyio.current_time()
        self.left: list[float] = []

    async def call(self, seconds: float) -> None:
        passed = await self.gate.enter()
        assert passed
        self.left.append(round(anyio.current_time() - self.began, 6))
        await anyio.sleep(seconds)
        self.gate.leave(passed, WELL)


async def test_another_cap_leaves_a_window_what_it_has_learned() -> None:
    setting = Setting(in_flight=None)
    async with anyio.create_task_group() as tasks:
        for _ in range(2000):
            tasks.start_soon(setting.call, 1.0)
        await anyio.sleep(6.5)
        grown = setting.gate.size
        assert grown >= 8
        change(setting.steering, "max-in-flight", "100")
        assert setting.gate.size == grown
        change(setting.steering, "rate", "1000")
        assert setting.gate.size == grown
        change(setting.steering, "max-in-flight", "5")
        assert setting.gate.size == 5
        await anyio.sleep(10.0)
        assert setting.gate.in_flight <= 5
        change(setting.steering, "max-in-flight", "64")
        await anyio.sleep(20.0)
        assert setting.gate.in_flight > 5
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("cap", "first"), [("64", 2), ("1", 1)])
async def test_a_window_that_was_fixed_begins_with_two_when_it_is_to_follow_the_billing(cap: str, first: int) -> None:
    setting = Setting(in_flight=50)
    async with anyio.create_task_group() as tasks:
        for _ in range(60):
            tasks.start_soon(setting.call, 1.0)
        await anyio.sleep(0.5)
        change(setting.steering, "max-in-flight", cap)
        assert setting.gate.size == 50
        change(setting.steering, "in-flight", "auto")
        assert setting.gate.size == first


@pytest.mark.parametrize(("waits", "first"), [(0.0, 1.5), (1.0, 0.5), (60.0, 0.0)])
async def test_at_a_take_over_no_call_leaves_sooner_than_the_rate_allows(waits: float, first: float) -> None:
    before = Setting(rate=0.5)
    await before.call(0.0)
    await before.call(0.5)
    assert before.left == [0.0, 2.0]
    pace = before.gate.pace()
    assert pace.since_call == 0
    setting = Setting(rate=0.5)
    setting.gate.go_on(pace.after(0.5 + waits))
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(setting.call, 1.0)
    assert setting.left == [first, first + 2, first + 4]


async def test_a_window_that_was_learned_is_gone_on_with_and_a_fixed_one_stays() -> None:
    learned = BillingPace(WindowPace(size=9.4, answers=40, seconds=1.0, spread=0.1), since_call=5.0)
    setting = Setting(in_flight=None)
    assert (setting.gate.size, setting.gate.pace().window) == (2, None)
    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(setting.call, 1.0)
        await settle()
        setting.gate.go_on(learned)
        await settle()
        assert setting.gate.in_flight == 9
    window = setting.gate.pace().window
    assert window is not None
    assert window.seconds == pytest.approx(1.0)
    fixed = Setting(in_flight=3)
    fixed.gate.go_on(learned)
    assert (fixed.gate.size, fixed.gate.pace().window) == (3, None)


async def test_what_goes_again_waits_for_the_retry_budget_and_says_so() -> None:
    async def read(after: int) -> Sequence[Item]:
        await anyio.lowlevel.checkpoint()
        return [] if after else [item(1)]

    retries = RetryBudget(share=0.1, floor=0.1)
    while retries.take(anyio.current_time()):
        pass
    backlog = Backlog(read, retries, intake_ended=True)
    (one,) = await backlog.take(1)
    backlog.again(one, 0.0)
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(backlog.take, 1)
        await anyio.sleep(5.0)
        assert backlog.why == "retry budget"
    assert anyio.current_time() - began == pytest.approx(10.0)
