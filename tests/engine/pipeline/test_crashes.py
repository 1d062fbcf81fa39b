"""Killed at any moment, any number of times, under any mix of faults, where the simulation has no such load."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Item, NewRun
from checkpoints.states import State
from engine.evidence import Busy, NotSent
from engine.job import BeforeImageMode
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy, Progress
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, Call, FakeJob, OverwritingJob, SteppedJob, rows

pytestmark = [pytest.mark.usefixtures("no_waiting"), pytest.mark.slow]

ROWS = 30
LANES = 9
MOST_LIVES = 60

IN_FLIGHT = 4
POLICY = Policy(in_flight=IN_FLIGHT, settle=0, tries=1000, retry_floor=1000.0, stop_after_errors=None, page=7)


class Crash(BaseException):
    """The process is gone; nothing tidies up behind it."""


class Bomb:
    """Ends the process at the `fuse`-th moment: by an error out of nowhere, or by cancelling all."""

    def __init__(self, fuse: int, *, cancels: bool) -> None:
        self._left = fuse
        self._cancels = cancels
        self.task: asyncio.Task[None] | None = None

    async def tick(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        if not self._cancels:
            raise Crash
        if self.task is not None and self._left == 0:
            self.task.cancel()
        await asyncio.sleep(0)


def fragile(journal: Journal, bomb: Bomb) -> Journal:
    """A journal whose process may end just before or just after each of its writes."""

    def around(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def ticked(*given: Any, **more: Any) -> Any:
            await bomb.tick()
            done = await write(*given, **more)
            await bomb.tick()
            return done

        return ticked

    for write in ("freeze", "doubt", "claim", "keep", "record"):
        setattr(journal, write, around(getattr(journal, write)))
    return journal


def faults(draw: random.Random) -> dict[str, list[Call]]:
    kinds = [LOST_WITH_EFFECT, LOST_WITHOUT, Call(Busy("locked")), Call(NotSent("refused"))]
    plan: dict[str, list[Call]] = {}
    for key in range(ROWS):
        troubles = draw.choices(kinds, k=draw.choice([0, 0, 1, 2, 3]))
        # Nothing goes again behind an answer that was lost with its effect: so it stands last.
        plan[str(key)] = sorted(troubles, key=lambda call: call.effect)
        while plan[str(key)].count(LOST_WITH_EFFECT) > 1:
            plan[str(key)].remove(LOST_WITH_EFFECT)
    return plan


async def live(path: Path, name: str, job: FakeJob, bomb: Bomb) -> bool:
    """One life of the process; whether it came to the end of the run."""

    async def moment(_item: Item) -> None:
        await asyncio.sleep(0)
        await bomb.tick()

    job.during = job.after = moment
    async with open_journal(path) as sound:
        journal = fragile(sound, bomb)
        run = await journal.run(name)
        pipeline = Pipeline(run, job, journal, LivePolicy(POLICY, Progress(), Stop()))
        bomb.task = asyncio.create_task(pipeline.migrate())
        with contextlib.suppress(Crash, asyncio.CancelledError):
            await bomb.task
            return True
        return False


async def lives(path: Path, draw: random.Random, job: FakeJob, between: Callable[[], None] = lambda: None) -> None:
    """Live until the end of the run is reached, with `between` between two lives."""
    async with open_journal(path) as journal:
        run = await journal.create_run(NewRun("fake", {}, "http://billing", "memory"))
        await journal.approve(run)
    for _ in range(1, MOST_LIVES):
        if await live(path, run.name, job, Bomb(draw.randint(1, 60), cancels=draw.random() < 0.5)):
            return
        between()
    assert await live(path, run.name, job, Bomb(10**9, cancels=False))


@pytest.mark.parametrize("seed", [1, 3])
async def test_killed_at_any_moment_no_row_goes_before_its_needs(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.pipeline.precedence.LONGEST_GAP", 0.01)
    monkeypatch.setattr("engine.pipeline.precedence.GAP", 0.01)
    draw = random.Random(seed)
    path = tmp_path / "journal.db"
    needed = {str(key): [str(draw.randrange(key)) for _ in range(draw.choice([0, 1, 2]))] for key in range(1, ROWS)}
    job = SteppedJob(needed, faults(draw), new=rows(ROWS, lanes=LANES))
    await lives(path, draw, job)
    assert job.effects == Counter(str(key) for key in range(ROWS))
    async with open_journal(path) as journal:
        (run,) = await journal.runs()
        kept = {one.key: one.payload for one in await journal.items(run, {State.ACCEPTED})}
    assert kept == {key: ", ".join(dict.fromkeys(f"id {one}" for one in needed.get(key, []))) or "{}" for key in kept}
    assert len(kept) == ROWS


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.prove) for seed in range(6, 20))])
async def test_killed_at_any_moment_each_row_keeps_what_it_has_overwritten(tmp_path: Path, seed: int) -> None:
    """While the process is gone, people set what they like, also where a call of ours has had its effect."""
    draw = random.Random(seed)
    path = tmp_path / "journal.db"
    new = [structs.replace(one, payload="old") for one in rows(ROWS, lanes=LANES)]
    job = OverwritingJob(
        new, faults(draw), keeps=draw.choice([BeforeImageMode.TOGETHER, BeforeImageMode.ONE_BY_ONE]), page=7
    )

    def between() -> None:
        for key in draw.sample(range(ROWS), 8):
            job.there[str(key)] = f"somebody's {draw.random()}"

    await lives(path, draw, job, between)
    async with open_journal(path) as journal:
        (run,) = await journal.runs()
        kept = {one.key: one.payload for one in await journal.items(run, {State.ACCEPTED})}
    assert kept.keys() == {str(key) for key in range(ROWS)}
    for key, calls in job.overwritten.items():
        *_, last = [there for there, _ in calls if there != job.SET]
        assert kept[key] == last
