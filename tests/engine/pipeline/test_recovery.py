"""A billing that falls sick and gets well again: what it is asked meanwhile, how soon it is fully loaded after."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.errors import LookUpDelayed
from engine.evidence import Accepted, Busy, Evidence
from engine.job import LookUpResult
from engine.pacing.holds import StopKind
from engine.pacing.policy import Policy
from tests.engine import paced
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, FakeJob
from tests.engine.paced import items

pytestmark = pytest.mark.virtual_clock

SECONDS = 0.1
"""What the server works on a call."""

AT_ONCE = 0.001
"""What a refusal takes."""


class Server(FakeJob):
    """Works on `slots` calls at a time. While it is sick it refuses all, or the accounts in `locked`, at once."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots = anyio.CapacityLimiter(slots)
        self.sick = False
        self.locked: set[str] = set()
        self.moments: list[float] = []
        self.worked = 0

    async def send(self, run: Run, item: Item) -> Evidence:
        self.moments.append(anyio.current_time())
        if self.sick or item.lane in self.locked:
            await anyio.sleep(AT_ONCE)
            return Busy("Слишком частые запросы")
        async with self.slots:
            await anyio.sleep(SECONDS)
            self.worked += 1
        return Accepted(f"id {item.key}")

    def calls_since(self, moment: float) -> int:
        return sum(one >= moment for one in self.moments)


class Setting(paced.Setting):
    """A run of so many rows on a server."""

    def __init__(self, slots: int, count: int, in_flight: int | None = None) -> None:
        self.server = Server(slots)
        super().__init__(items(count), Policy(in_flight=in_flight, canary=False), job=self.server)

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[None]:
        """The run goes while the body does, and is stopped after it."""
        async with self.going():
            yield
            self.stop.request(StopKind.INTERRUPTED, "enough")

    async def load(self, seconds: float) -> float:
        """The share of what the server can do that it did in these seconds."""
        before = self.server.worked
        await anyio.sleep(seconds)
        return (self.server.worked - before) * SECONDS / seconds / self.server.slots.total_tokens


@pytest.mark.slow
@pytest.mark.parametrize("spell", [2.0, 5.0, 60.0, 200.0])
@pytest.mark.parametrize(("slots", "in_flight"), [(4, None), (16, None), (4, 6), (16, 64)])
async def test_a_spell_of_busy_answers_is_met_with_few_calls_and_forgotten_within_ten_seconds(
    slots: int, in_flight: int | None, spell: float
) -> None:
    setting = Setting(slots, 12_000, in_flight)
    async with setting.loaded():
        await anyio.sleep(10.0)
        assert await setting.load(5.0) >= 0.9
        setting.server.sick = True
        began = anyio.current_time()
        await anyio.sleep(spell)
        setting.server.sick = False
        # What was in flight when it began; then a call now and then, and the retries that are always made.
        assert setting.server.calls_since(began) <= 64 + 10 + 1.4 * spell
        assert setting.server.calls_since(began + 1.5) <= 10 + 1.4 * spell
        await anyio.sleep(10.0)
        assert await setting.load(10.0) >= 0.9
    assert setting.steering.look().held_seconds["billing"] >= spell / 2
    assert set(setting.journal.states().values()) == {State.ACCEPTED, State.PENDING}


@pytest.mark.parametrize(("each", "least"), [(25, 0.9), (10, 0.85)])
async def test_locked_accounts_do_not_hold_the_others(each: int, least: float) -> None:
    setting = Setting(4, 4000, in_flight=6)
    setting.server.locked = {f"account {number}" for number in range(1, 4000, each)}
    async with setting.loaded():
        await anyio.sleep(10.0)
        assert await setting.load(50.0) >= least
    assert "billing" not in setting.steering.look().held_seconds


async def test_a_server_that_is_busy_for_ever_stops_the_run_when_its_patience_is_over() -> None:
    setting = Setting(4, 8, in_flight=8)
    setting.server.sick = True
    await setting.go()
    assert 600.0 < setting.now <= 640.0
    assert setting.stop.kind is StopKind.SYSTEM
    assert "Слишком частые запросы" in setting.stop.reason
    assert setting.journal.states() == {str(number): State.PENDING for number in range(1, 9)}


# ---- look-ups ----------------------------------------------------------------------------------------------------


class InDoubt(paced.Setting):
    """A run that has rows in doubt when the billing goes away."""

    def __init__(self, patience: float = 600.0) -> None:
        policy = Policy(in_flight=4, canary=False, settle=10.0, away_patience=patience)
        super().__init__(items(4), policy, {"1": [LOST_WITH_EFFECT], "2": [LOST_WITHOUT]}, takes=0.0)

    def go_away(self) -> None:
        self.job.look_up_error = LookUpDelayed("connection refused")
        self.job.probe_errors.extend([LookUpDelayed("connection refused")] * 1000)

    def come_back(self) -> None:
        self.job.look_up_error = None
        self.job.probe_errors.clear()


async def test_a_billing_that_is_away_when_rows_are_looked_up_is_waited_for() -> None:
    setting = InDoubt()
    setting.go_away()
    async with setting.going():
        await anyio.sleep(100.0)
        held = setting.steering.look().held or ""
        assert held.startswith("asking again in ")
        assert held.endswith(" s: the billing is away (connection refused)")
        assert setting.job.probes <= 8
        setting.come_back()
    assert set(setting.journal.states().values()) == {State.ACCEPTED}
    assert setting.job.effects == {"1": 1, "2": 1, "3": 1, "4": 1}
    assert not setting.stop.requested


async def test_after_it_has_come_back_the_settling_is_waited_for_anew() -> None:
    setting = InDoubt()
    setting.go_away()
    async with setting.going():
        await anyio.sleep(100.0)
        setting.come_back()
        await setting.pipeline._breaker.let_through()
        await anyio.sleep(9.9)
        assert setting.job.looked_up == []
        assert setting.steering.look().held == "2 in doubt: looking them up in 1 s"
        await anyio.sleep(0.2)
        assert setting.job.looked_up == [["1", "2"]]


async def test_a_billing_that_stays_away_while_rows_are_in_doubt_stops_the_run_after_its_patience() -> None:
    setting = InDoubt(patience=120.0)
    setting.go_away()
    await setting.go()
    assert 120.0 <= setting.now <= 180.0
    assert setting.stop.kind is StopKind.SYSTEM
    assert "connection refused" in setting.stop.reason
    assert "`carbon-migrate resume`" in setting.stop.reason
    assert setting.journal.states()["1"] is State.UNKNOWN


async def test_a_stop_breaks_a_look_up_off_that_takes_long() -> None:
    setting = InDoubt()
    look_up = setting.job.look_up

    async def slow(run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        await anyio.sleep(3000.0)
        return await look_up(run, items)

    setattr(setting.job, "look_up", slow)  # noqa: B010 - mypy would not have it otherwise
    await setting.stopped_at(100.5)
    assert setting.now == 100.5
    assert setting.journal.states() == {
        "1": State.UNKNOWN,
        "2": State.UNKNOWN,
        "3": State.ACCEPTED,
        "4": State.ACCEPTED,
    }
