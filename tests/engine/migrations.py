"""What the tests of the pipeline over a real journal do over and over: prepare a run, carry it out, count."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from checkpoints.journal import Journal
from checkpoints.records import Item, NewRun, Run
from checkpoints.states import State
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import Progress
from lab.crash.loops import loops
from tests.engine.doubles import FakeJob

EVERY_STATE = frozenset(State)
QUICK = Policy(in_flight=4, settle=0, canary=False, retry_floor=1000.0)
PATIENCE = loops(30)


@dataclass(slots=True)
class Migration:
    """One taking up of a run: what drives it, and what can be seen of it."""

    run: Run
    job: FakeJob
    journal: Journal
    policy: Policy
    progress: Progress
    stop: Stop
    enter: Repeat = Repeat.ONCE

    async def go(self) -> "Migration":
        steering = LivePolicy(self.policy, self.progress, self.stop)
        pipeline = Pipeline(self.run, self.job, self.journal, steering, enter=self.enter)
        await asyncio.wait_for(pipeline.migrate(), PATIENCE)
        return self

    async def states(self) -> dict[str, State]:
        return {item.key: item.state for item in await self.items()}

    async def items(self) -> list[Item]:
        return await self.journal.items(self.run, EVERY_STATE, size=10_000)

    async def counts(self) -> dict[State, int]:
        totals = await self.journal.totals(self.run)
        assert +self.progress.counts == totals.counts
        assert totals.frozen == len(self.job.new)
        assert totals.amount == sum((new.amount or Decimal(0) for new in self.job.new), Decimal(0))
        return dict(totals.counts)


async def approved(journal: Journal, job: FakeJob, *, frozen: bool = True) -> Run:
    run = await journal.create_run(NewRun("fake", {}, "http://billing", "memory"))
    if frozen:
        await Intake(run, job, journal, Progress()).freeze_all()
    await journal.approve(run)
    return await journal.run(run.name)


async def prepared(
    journal: Journal, job: FakeJob, policy: Policy = QUICK, *, run: Run | None = None, frozen: bool = True
) -> Migration:
    run = await journal.run(run.name) if run else await approved(journal, job, frozen=frozen)
    return Migration(run, job, journal, policy, Progress(), Stop())


async def migrated(
    journal: Journal, job: FakeJob, policy: Policy = QUICK, *, run: Run | None = None, frozen: bool = True
) -> Migration:
    migration = await prepared(journal, job, policy, run=run, frozen=frozen)
    return await migration.go()


def once_each(job: FakeJob) -> bool:
    """Whether every row has had its effect, exactly once."""
    return job.effects == Counter(new.key for new in job.new)
