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
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import Progress
from tests.engine.doubles import A_RUN, LOST_WITH_EFFECT, LOST_WITHOUT, FakeJob, MemoryJournal, item
from tests.virtual_clock import settle

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


class Setting:
    """A run of so many rows on a server."""

    def __init__(self, slots: int, count: int, in_flight: int | None = None) -> None:
        self.server = Server(slots)
        self.stop = Stop()
        self.journal = MemoryJournal(*(item(number) for number in range(1, count + 1)))
        policy = Policy(in_flight=in_flight, canary=False)
        self.steering = LivePolicy(policy, Progress(), self.stop)
        self.pipeline = Pipeline(A_RUN, self.server, self.journal, self.steering)

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """The run goes while the body does, and is stopped after it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.pipeline.migrate)
            await settle()
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
    async with setting.going():
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


async def test_the_rows_that_met_the_spell_are_no_slower_than_the_others() -> None:
    setting = Setting(4, 100, in_flight=64)
    setting.server.sick = True
    async with setting.going():
        await anyio.sleep(5.0)
        setting.server.sick = False
        await anyio.sleep(5.0 + 100 * SECONDS / 4)
        assert setting.journal.states() == {str(number): State.ACCEPTED for number in range(1, 101)}


@pytest.mark.parametrize(("each", "least"), [(25, 0.9), (10, 0.85)])
async def test_locked_accounts_do_not_hold_the_others(each: int, least: float) -> None:
    setting = Setting(4, 4000, in_flight=6)
    setting.server.locked = {f"account {number}" for number in range(1, 4000, each)}
    async with setting.going():
        await anyio.sleep(10.0)
        assert await setting.load(50.0) >= least
    assert "billing" not in setting.steering.look().held_seconds


async def test_twenty_locked_accounts_that_follow_each_other_hold_the_others_for_about_a_minute() -> None:
    setting = Setting(4, 4000, in_flight=6)
    setting.server.locked = {f"account {number}" for number in range(101, 121)}
    async with setting.going():
        await anyio.sleep(80.0)
        assert await setting.load(20.0) >= 0.9
    assert 0.0 < setting.steering.look().held_seconds["billing"] <= 70.0


async def test_a_server_that_is_busy_from_the_first_calls_on_costs_no_row_its_tries() -> None:
    setting = Setting(4, 100, in_flight=8)
    setting.server.sick = True
    async with setting.going():
        await anyio.sleep(500.0)
        setting.server.sick = False
        await anyio.sleep(20.0)
        assert set(setting.journal.states().values()) == {State.ACCEPTED}


async def test_a_server_that_is_busy_for_ever_stops_the_run_when_its_patience_is_over() -> None:
    setting = Setting(4, 8, in_flight=8)
    setting.server.sick = True
    began = anyio.current_time()
    await setting.pipeline.migrate()
    assert 600.0 < anyio.current_time() - began <= 640.0
    assert setting.stop.kind is StopKind.SYSTEM
    assert "Слишком частые запросы" in setting.stop.reason
    assert setting.journal.states() == {str(number): State.PENDING for number in range(1, 9)}


# ---- look-ups ----------------------------------------------------------------------------------------------------


class InDoubt:
    """A run that has a row in doubt when the billing goes away."""

    def __init__(self, patience: float = 600.0) -> None:
        self.job = FakeJob(plan={"1": [LOST_WITH_EFFECT], "2": [LOST_WITHOUT]})
        self.stop = Stop()
        self.journal = MemoryJournal(*(item(number) for number in range(1, 5)))
        policy = Policy(in_flight=4, canary=False, settle=10.0, away_patience=patience)
        self.steering = LivePolicy(policy, Progress(), self.stop)
        self.pipeline = Pipeline(A_RUN, self.job, self.journal, self.steering)

    def go_away(self) -> None:
        self.job.look_up_error = LookUpDelayed("connection refused")
        self.job.probe_errors.extend([LookUpDelayed("connection refused")] * 1000)

    def come_back(self) -> None:
        self.job.look_up_error = None
        self.job.probe_errors.clear()

    async def stops_at_once_after(self, seconds: float) -> None:
        """The run is told to stop then, and is at its end in that moment."""
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.pipeline.migrate)
            await anyio.sleep(seconds)
            self.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
        assert anyio.current_time() - began == pytest.approx(seconds)


async def test_a_billing_that_is_away_when_rows_are_looked_up_is_waited_for() -> None:
    setting = InDoubt()
    setting.go_away()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.pipeline.migrate)
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
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.pipeline.migrate)
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
    began = anyio.current_time()
    await setting.pipeline.migrate()
    assert 120.0 <= anyio.current_time() - began <= 180.0
    assert setting.stop.kind is StopKind.SYSTEM
    assert "connection refused" in setting.stop.reason
    assert "`carbon-migrate resume`" in setting.stop.reason
    assert setting.journal.states()["1"] is State.UNKNOWN


async def test_a_database_that_is_away_alone_is_asked_ever_more_rarely_too() -> None:
    setting = InDoubt(patience=300.0)
    setting.job.look_up_error = LookUpDelayed("the database is away")
    await setting.pipeline.migrate()
    assert "the database is away" in setting.stop.reason
    assert setting.job.probes <= 14


async def test_a_stop_ends_the_waiting_for_a_look_up_at_once() -> None:
    setting = InDoubt()
    setting.go_away()
    await setting.stops_at_once_after(100.5)


async def test_a_stop_breaks_a_look_up_off_that_takes_long() -> None:
    setting = InDoubt()
    look_up = setting.job.look_up

    async def slow(run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        await anyio.sleep(3000.0)
        return await look_up(run, items)

    setattr(setting.job, "look_up", slow)  # noqa: B010 - mypy would not have it otherwise
    await setting.stops_at_once_after(100.5)
    assert setting.journal.states() == {
        "1": State.UNKNOWN,
        "2": State.UNKNOWN,
        "3": State.ACCEPTED,
        "4": State.ACCEPTED,
    }
