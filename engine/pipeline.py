"""The pipeline: the way of every row, from the frozen list to its outcome.

    intake ──▶ journal ──▶ backlog ──▶ claimed ──▶ gate ──▶ workers ──▶ landed ──▶ journal
    (frozen,   (pending)   (one a      (sending,            (one call   (outcomes in groups)
    a page a               lane)       durable)             each)
    commit)

Read it from `migrate` downwards. Between an item's claim and its call stands one durable commit; between a call's
outcome and the journal another, made in groups. What a kill at any instant leaves in doubt is what was claimed and
not recorded: at most twice `policy.in_flight` items and one group.
"""

import time
from dataclasses import dataclass

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from engine.backlog import Backlog
from engine.breaker import Breaker
from engine.errors import CountsDiffer, EngineError
from engine.gate import FixedGate, Gate, Rate
from engine.intake import Intake
from engine.job import Job
from engine.outcomes import Outcome, decide
from engine.policy import Policy
from engine.progress import Progress
from engine.reconciler import Reconciler
from engine.retries import backoff
from engine.stop import Stop, StopKind

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Landed:
    """A call that has come back."""

    item: Item
    outcome: Outcome


NOT_SENT = Outcome(State.PENDING, message="not sent: the run was stopped", unsent=True)


class Pipeline:
    """Takes an approved run from wherever it stands to its end, or to a stop that leaves it resumable.

    The caller holds the run's lock. Times are the event loop's.
    """

    def __init__(self, run: Run, job: Job, journal: Journal, policy: Policy, progress: Progress, stop: Stop) -> None:
        self._run = run
        self._job = job
        self._journal = journal
        self._policy = policy
        self._progress = progress
        self._stop = stop
        self._breaker = Breaker(job.probe, policy, progress, stop)
        self._gate: Gate = FixedGate(self._breaker, Rate(policy.rate) if policy.rate else None, stop)
        self._reconciler = Reconciler(run, job, journal, policy, progress, stop)
        self._out_of_tries: set[int] = set()
        self._failures: dict[int, int] = {}
        self._rejected = 0
        self._backlog = self._new_backlog(intake_ended=run.frozen_at is not None)
        self._waiting = 0
        self._under_way = 0
        self._landed: list[Landed] = []
        self._landing = anyio.Event()
        self._recorded = anyio.Event()
        self._emptied = anyio.Event()

    async def migrate(self) -> None:
        """Send all that is pending and settle all that is unknown, until nothing is left or a stop is asked for.

        Raises `JournalError` when the journal fails and `CountsDiffer` when it does not add up; then what was in
        flight is `sending` in the journal, and the next start looks it up.
        """
        await self._journal.doubt(self._run)
        self._progress.take_up(await self._journal.totals(self._run), intake_ended=self._run.frozen_at is not None)
        claimed, to_send = anyio.create_memory_object_stream[Item](self._policy.in_flight)
        try:
            async with claimed, to_send, anyio.create_task_group() as tasks:
                if self._run.frozen_at is None:
                    tasks.start_soon(self._take_in)
                for _ in range(self._policy.in_flight):
                    tasks.start_soon(self._work, to_send)
                tasks.start_soon(self._record_outcomes)
                tasks.start_soon(self._breaker.keep)
                tasks.start_soon(self._heed_stop)
                await self._alternate(claimed)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _cause(group) from group
        await self._check_sums()

    async def _alternate(self, claimed: MemoryObjectSendStream[Item]) -> None:
        """Settle what is unknown, send what is pending, and again while sending has left something unknown."""
        while not self._stop.requested:
            try:
                await self._reconciler.settle()
            except EngineError as error:
                self._stop.request(StopKind.SYSTEM, f"rows in doubt could not be looked up: {error}")
                return
            if not await self._send_pending(claimed):
                break
            self._backlog = self._new_backlog(intake_ended=True)
        if self._out_of_tries:
            self._stop.request(
                StopKind.SYSTEM,
                f"{len(self._out_of_tries)} rows are left pending, having failed {self._policy.tries} times each; "
                "`carbon-migrate resume` tries them again",
            )

    async def _send_pending(self, claimed: MemoryObjectSendStream[Item]) -> int:
        """One pass over the list; returns how many items were claimed, once each of them has its outcome."""
        sent = 0
        while group := await self._backlog.take(await self._room()):
            await self._journal.claim([item.item_id for item in group])
            self._progress.moved(State.PENDING, State.SENDING, len(group))
            self._waiting += len(group)
            self._under_way += len(group)
            sent += len(group)
            for item in group:
                claimed.send_nowait(item)
        while self._under_way:
            await self._recorded.wait()
        return sent

    # ---- what runs beside it: intake, workers, recorder ----

    async def _take_in(self) -> None:
        """Freeze the rest of the list while its first pages are already being sent."""
        try:
            await Intake(self._run, self._job, self._journal, self._progress).freeze_all(self._backlog)
        except EngineError as error:
            self._stop.request(StopKind.SYSTEM, f"the rows could not be read to their end: {error}")

    async def _work(self, to_send: MemoryObjectReceiveStream[Item]) -> None:
        """One call at a time, for ever."""
        while True:
            item = await self._next_claimed(to_send)
            await self._gate.enter()
            if self._stop.requested:
                # Claimed ahead, and provably not sent.
                outcome = NOT_SENT
            else:
                started = time.monotonic()
                outcome = decide(await self._job.send(self._run, item), repeatable=self._job.repeatable)
                self._gate.leave(outcome, time.monotonic() - started)
                self._progress.calls += 1
            self._land(item, outcome)

    async def _record_outcomes(self) -> None:
        """Make all that has landed durable, a group a commit; only then does anything follow from it."""
        while True:
            await self._landing.wait()
            self._landing = anyio.Event()
            group, self._landed = self._landed, []
            await self._journal.record([_change(landed) for landed in group])
            for landed in group:
                self._follow_up(landed.item, landed.outcome)
            self._under_way -= len(group)
            self._recorded.set()
            self._recorded = anyio.Event()

    async def _heed_stop(self) -> None:
        """When a stop is asked for, let nobody wait for work that will not come."""
        await self._stop.wait()
        log.info("stopping: finishing what is in flight", why=self._stop.reason, in_flight=self._under_way)
        self._backlog.close()
        self._breaker.release()
        self._emptied.set()

    # ---- the steps in between ----

    async def _room(self) -> int:
        """Wait until half of the places for claimed items are empty, so that claims come in groups; how many are."""
        half = self._policy.in_flight // 2
        while self._waiting > half and not self._stop.requested:
            self._emptied = anyio.Event()
            await self._emptied.wait()
        return self._policy.in_flight - self._waiting

    async def _next_claimed(self, to_send: MemoryObjectReceiveStream[Item]) -> Item:
        try:
            item = to_send.receive_nowait()
        except anyio.WouldBlock:
            item = await to_send.receive()
        self._waiting -= 1
        if self._waiting <= self._policy.in_flight // 2:
            self._emptied.set()
        return item

    def _land(self, item: Item, outcome: Outcome) -> None:
        self._landed.append(Landed(item, outcome))
        self._landing.set()

    def _follow_up(self, item: Item, outcome: Outcome) -> None:
        """What follows from a recorded outcome: for the lane, for the row's next try, for the run."""
        self._progress.moved(State.SENDING, outcome.state)
        if outcome.message and outcome is not NOT_SENT:
            self._progress.last_error = f"{item.label}: {outcome.message}"
            log.warning(str(outcome.state), item=item.number, label=item.label, why=outcome.message)
        if outcome.stop:
            self._stop.request(StopKind.SYSTEM, f"the billing refuses all work: {outcome.message}")
        match outcome.state:
            case State.PENDING if self._has_tries_left(item, outcome):
                self._progress.retries += 1
                self._backlog.again(item, backoff(self._failures.get(item.item_id, 1), outcome.retry_after))
            case State.UNKNOWN:
                self._has_tries_left(item, outcome)
                self._reconciler.lost()
                self._backlog.shut(item)
            case _:
                self._failures.pop(item.item_id, None)
                self._rejected += outcome.state is State.REJECTED
                self._backlog.finish(item)
        self._watch_budget()

    def _has_tries_left(self, item: Item, outcome: Outcome) -> bool:
        """Count a failure against the row, unless not even the request left: that says nothing about the row."""
        if outcome.unsent:
            return True
        failures = self._failures.get(item.item_id, 0) + 1
        self._failures[item.item_id] = failures
        if failures < self._policy.tries:
            return True
        self._out_of_tries.add(item.item_id)
        return False

    def _watch_budget(self) -> None:
        errors = self._rejected + len(self._out_of_tries)
        if self._policy.stop_after_errors is not None and errors >= self._policy.stop_after_errors:
            self._stop.request(
                StopKind.BUDGET,
                f"{errors} rows went wrong (--stop-after-errors {self._policy.stop_after_errors}). Look at them with "
                f"`carbon-migrate export {self._run.name} --state rejected`; `carbon-migrate resume` goes on",
            )

    def _new_backlog(self, *, intake_ended: bool) -> Backlog:
        async def read_page(after: int) -> list[Item]:
            return await self._journal.items(self._run, {State.PENDING}, after=after, size=self._policy.page)

        return Backlog(read_page, intake_ended=intake_ended, left_out=self._out_of_tries)

    async def _check_sums(self) -> None:
        """The counts kept while running and those of the journal are two books; they must agree."""
        totals = await self._journal.totals(self._run)
        kept = {state: count for state, count in self._progress.counts.items() if count}
        if kept != dict(totals.counts):
            raise CountsDiffer(
                f"the journal has {dict(totals.counts)}, what was done adds up to {kept}: please report"
            )


def _change(landed: Landed) -> Change:
    outcome = landed.outcome
    return Change(landed.item.item_id, outcome.state, outcome.answer, outcome.message)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What the tasks of a group failed of: the first of them; the rest were its consequences."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = next((one for one in error.exceptions if isinstance(one, JournalError)), error.exceptions[0])
    return error
