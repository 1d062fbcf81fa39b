"""What the tests of pacing share: a run over items in memory, on a virtual clock, each call of a second."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import anyio

from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from checkpoints.transitions import NO_PAYLOADS
from engine.evidence import RowRefused
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import Progress, Status
from tests.engine.doubles import A_RUN, Call, FakeJob, MemoryJournal, item
from tests.virtual_clock import settle

STEADY = Policy(in_flight=4, canary=False, stop_after_errors=None)
REFUSED = Call(RowRefused("no such tariff 17"))


def items(count: int, *, amount: str = "1.10", lanes: int | None = None) -> list[Item]:
    return [item(number, amount=amount, lane=str(number % (lanes or count))) for number in range(1, count + 1)]


class Setting:
    """A run over items in memory; each call takes `takes` seconds."""

    def __init__(
        self,
        kept: Sequence[Item] | MemoryJournal,
        policy: Policy = STEADY,
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        job: FakeJob | None = None,
        takes: float = 1.0,
        gauges: Sequence[Gauge] = (),
        paused_by: str | None = None,
        known: int = 0,
        trust_journal: bool = False,
    ) -> None:
        self.job = job or FakeJob(plan=plan)
        self.job.during = self.during
        self.takes = takes
        self.journal = kept if isinstance(kept, MemoryJournal) else MemoryJournal(*kept)
        self.policy = policy
        self.gauges = gauges
        self.known = known
        self.trust_journal = trust_journal
        self.take_up()
        if paused_by is not None:
            self.steering.pause(paused_by)
        self.began = anyio.current_time()
        self.sent: list[tuple[float, str]] = []

    def take_up(self) -> None:
        """Begin anew, as another process does."""
        self.stop = Stop()
        self.steering = LivePolicy(self.policy, Progress(), self.stop)
        self.pipeline = Pipeline(
            A_RUN,
            self.job,
            self.journal,
            self.steering,
            gauges=self.gauges,
            known=self.known,
            trust_journal=self.trust_journal,
        )

    @property
    def now(self) -> float:
        return round(anyio.current_time() - self.began, 3)

    @property
    def status(self) -> Status:
        return self.steering.look()

    async def during(self, one: Item) -> None:
        self.sent.append((self.now, one.key))
        await anyio.sleep(self.takes)

    def moments(self, key: str) -> list[float]:
        return [moment for moment, sent in self.sent if sent == key]

    async def go(self) -> Self:
        await self.pipeline.migrate()
        return self

    async def stopped_at(self, seconds: float) -> Self:
        """The run goes, and somebody stops it then."""
        async with self.going():
            await anyio.sleep(seconds)
            self.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
        return self

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """The run goes while the body does, and to its end after it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.pipeline.migrate)
            await settle()
            yield

    def counts(self) -> dict[State, int]:
        return dict(Counter(self.journal.states().values()))

    def sent_at(self) -> list[tuple[float, int]]:
        """How many calls began at each moment."""
        return sorted(Counter(moment for moment, _ in self.sent).items())


class Watchful(MemoryJournal):
    """A journal that takes a second for each commit, and notes the most that was claimed and not recorded."""

    def __init__(self, *kept: Item) -> None:
        super().__init__(*kept)
        self.most_in_doubt = 0

    async def claim(self, run: Run, item_ids: Sequence[int], payloads: Mapping[int, str] = NO_PAYLOADS) -> None:
        await anyio.sleep(0.3)
        await super().claim(run, item_ids, payloads)
        sending = sum(one.state is State.SENDING for one in self.kept.values())
        self.most_in_doubt = max(self.most_in_doubt, sending)

    async def record(self, run: Run, changes: Sequence[Change]) -> list[Item]:
        await anyio.sleep(0.3)
        return await super().record(run, changes)
