"""The pipeline: moves every row from the frozen list to its outcome.

    intake ──▶ journal ──▶ backlog ──▶ claims ──▶ gate ──▶ workers ──▶ landed ──▶ journal
    (frozen,   (pending)   (one a      (sending,  (may it  (one call   (outcomes in groups)
    a page a               lane)       durable)   leave?)  each)
    commit)

Read it from `migrate` downwards. A durable commit stands between an item's claim and its call; another, made in
groups, records the call's outcome. A kill at any instant leaves in doubt the items that were claimed and not
recorded: at most twice the window of calls in flight and one group. A window that was cut counts with its former size
until the items claimed for it are sent; an adaptive window has at least sixteen rows ready.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Final

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.errors import CountsDiffer, EngineError, LookUpDelayed, LookUpFailed, cause_of
from engine.evidence import Lost, NotSent, Seen
from engine.job import Job, shown
from engine.outcomes import Cause, Outcome, decide
from engine.pacing.breaker import Breaker, RetryBudget, Tries, backoff
from engine.pacing.holds import Canary, ErrorBudget, Spending, StopKind, canary_of
from engine.pacing.throttle import Gauge, Throttle
from engine.pipeline.backlog import MOST_HELD, MOST_HELD_OF_STEPS, Backlog, Claims
from engine.pipeline.gate import CHECKED, Gate, Ownership
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.precedence import Precedence
from engine.pipeline.progress import LivePolicy, Sending
from engine.pipeline.reconciler import IN_DOUBT, Reconciler
from engine.pipeline.witness import FRESH, LONGEST_ASKING, READING_COUNTS, Witness
from texts.said import Quantity, Said, advised, counted, said, setting, text_of, wording

log = structlog.get_logger(__name__)

# ---- the recorder -------------------------------------------------------------------------------------------------


NOT_SENT: Final = Outcome(State.PENDING, Cause.STOPPED, message=said("not sent: the run was stopped"))
"""The outcome of items that were claimed but not sent when a stop was requested."""

UNASKED: Final = said(
    "something came over the connection of its answer that nobody had asked for: the answer may be another row's"
)

_ONE_ID: Final = wording(
    "two rows have the answer {answer}, the id of one new object: perhaps the API leads to another billing by now, "
    "or a proxy mixes up answers. Look at what is between here and the API; {resume} looks both rows up"
)


class CallResult(msgspec.Struct, frozen=True):
    """The result of a call; `blameless` means that its failure is independent of the row."""

    item: Item
    outcome: Outcome
    blameless: bool = False


class Recorder:
    """Records the results of calls, a group a commit, and follows each up only after the commit.

    That frees the row's lane or schedules a retry, and counts the row against the limits. An accepted row whose
    answer comes into doubt becomes unknown, before or after it is recorded, and is looked up before the run ends.
    `canary` holds the canary steps of this process, `first` is the first row that the billing has accepted in it.
    """

    def __init__(  # noqa: PLR0913 - what an outcome is told to
        self,
        run: Run,
        job: Job,
        journal: Journal,
        steering: LivePolicy,
        *,
        backlog: Backlog,
        reconciler: Reconciler,
        precedence: Precedence,
        ownership: Ownership,
        tries: Tries,
        spending: Spending,
    ) -> None:
        self.canary = Canary(wanted=False)
        self.first: Item | None = None
        self.under_way = 0
        self._run = run
        self._effect = job.effect
        self._journal = journal
        self._steering = steering
        self._progress = steering.progress
        self._stop = steering.stopping
        self._backlog = backlog
        self._reconciler = reconciler
        self._precedence = precedence
        self._ownership = ownership
        self._tries = tries
        self._spending = spending
        self._errors = ErrorBudget()
        self._landed: list[CallResult] = []
        self._landing = anyio.Event()
        self._recorded = anyio.Event()
        self._doubted: set[int] = set()
        """Items whose answers are in doubt and not recorded yet."""
        self._new_doubts: list[int] = []
        """Items whose doubt is not in the journal yet; they may be recorded already, or under way."""
        self._reopened = False

    def land(self, landed: CallResult) -> None:
        self._landed.append(landed)
        self._landing.set()

    def doubt(self, item_id: int) -> None:
        """Doubt the answer of an item; the settle delay restarts before the journal shows it as unknown."""
        self._reconciler.lost()
        self._doubted.add(item_id)
        self._new_doubts.append(item_id)
        self._landing.set()

    async def all_recorded(self) -> None:
        """Wait until nothing is under way."""
        while self.under_way or self._new_doubts:
            await self._recorded.wait()
        # The remaining items were not recorded as accepted.
        self._doubted.clear()

    def settled(self) -> bool:
        """Whether no recorded item has come into doubt since the last call."""
        reopened, self._reopened = self._reopened, False
        return not reopened

    async def record(self) -> None:
        """Record what lands, until cancelled."""
        while True:
            await self._landing.wait()
            self._landing = anyio.Event()
            group, self._landed = self._landed, []
            if self._doubted:
                self._judge(group)
            began = anyio.current_time()
            changes = [landed.outcome.change_of(landed.item) for landed in group]
            shared = await self._journal.record(self._run, changes)
            self._ownership.told(began)
            earlier: list[Item] = []
            places = {landed.item.item_id: place for place, landed in enumerate(group)} if shared else {}
            if shared and self._effect.reads_apart:
                # What another billing has created would never be found in the database, and be sent again.
                told = said(_ONE_ID, answer=shared[0].answer or "", resume=advised("resume", self._run.name))
                self._stop.request(StopKind.SYSTEM, told)
            for item in shared:
                if (place := places.get(item.item_id)) is None:
                    earlier.append(item)
                else:
                    unknown = Outcome(State.UNKNOWN, Cause.NO_ANSWER, message=item.message)
                    group[place] = CallResult(group[place].item, unknown)
            for landed in group:
                self._follow(landed)
            if self._effect.has_steps:
                self._precedence.heed(landed.item for landed in group if not landed.outcome.state.to_send)
            self._reopen(earlier)
            if doubted := [*self._new_doubts]:
                self._reopen(await self._journal.doubt_answers(self._run, doubted, UNASKED))
                # Only now: the run would otherwise end while they are being written, and leave their rows.
                del self._new_doubts[: len(doubted)]
            self.under_way -= len(group)
            self._recorded.set()
            self._recorded = anyio.Event()

    def _judge(self, group: list[CallResult]) -> None:
        """Replace the doubtful outcomes in a group that is about to be recorded."""
        unknown = decide(Lost(UNASKED), only_reads=self._effect.only_reads)
        for place, landed in enumerate(group):
            if landed.item.item_id in self._doubted:
                self._doubted.discard(landed.item.item_id)
                if landed.outcome.state is State.ACCEPTED:
                    group[place] = CallResult(landed.item, unknown)

    def _reopen(self, doubted: Sequence[Item]) -> None:
        """Follow up accepted items that the journal has turned into unknown ones."""
        for item in doubted:
            self._doubted.discard(item.item_id)
            self._reopened = True
            self._progress.moved(State.ACCEPTED, State.UNKNOWN, amount=item.change)
            self._progress.met(item.label, item.message or "")
            self._backlog.shut_lane(item.lane)
            log.warning("accepted, and in doubt now", item=item.number, label=item.label, why=item.message)
        self._precedence.doubt(doubted)

    def _follow(self, landed: CallResult) -> None:
        item, outcome = landed.item, landed.outcome
        state = outcome.state
        self._progress.moved(State.SENDING, state, amount=item.change, why=outcome.message)
        self._spending.came_out(item, state)
        if outcome.cause is Cause.STOPPED:
            return
        if outcome.message:
            if not state.settled or state is State.REJECTED:
                self._progress.met(item.label, outcome.message)
            if not outcome.own:
                log.warning(str(state), item=item.number, label=item.label, why=outcome.message)
        if state is State.PENDING or state is State.UNKNOWN:
            self._failed(landed)
            return
        self.canary.answered()
        if state is State.UNCONFIRMED:
            # It counts at once as well: of a file whose every row is refused, not all are to be sent first.
            self._reconciler.lost()
            self._backlog.shut(item)
        else:
            if self._tries.forget(item):
                self._backlog.retries.answered()
            self._backlog.finish(item)
        if state is State.ACCEPTED or state is State.SKIPPED:
            if state is State.ACCEPTED and self.first is None:
                self.first = msgspec.structs.replace(item, state=state, answer=outcome.answer)
            self._errors.add(wrong=False)
            self._backlog.retries.succeeded()
        else:
            self._went_wrong(item, outcome)

    def _failed(self, landed: CallResult) -> None:
        """Retry a row, or leave an unknown one to the reconciler; only while it has tries left."""
        item, outcome = landed.item, landed.outcome
        if outcome.cause is Cause.REFUSES_ALL:
            self._stop.request(
                StopKind.SYSTEM, said("the billing rejects all work: {why}", why=outcome.message or "")
            )
        blameless = landed.blameless or outcome.cause.says_nothing_of_row
        has_tries_left = self._tries.failed(item, blameless=blameless)
        if outcome.state is State.UNKNOWN:
            self._reconciler.lost()
            self._backlog.shut(item)
        elif has_tries_left:
            self._progress.retries += 1
            if outcome.cause is Cause.HALFWAY:
                # The second half of a row is expected and costs no retry budget.
                self._backlog.retries.answered()
            called = msgspec.structs.replace(item, attempts=item.attempts + 1)
            self._backlog.again(called, backoff(max(self._tries.of(item), 1), outcome.retry_after))
        else:
            self._backlog.shut(item)
        if not has_tries_left:
            self._went_wrong(item, outcome, tries=self._tries.most)

    def _went_wrong(self, item: Item, outcome: Outcome, *, tries: int | None = None) -> None:
        """Count a row that was refused or is out of tries, and stop the run at its limits."""
        self._errors.add(wrong=True)
        limit = self._steering.policy.stop_after_errors
        if spent := self._errors.spent(limit):
            # Where none is in these states, the rows that went wrong are out of tries, and pending.
            states = (State.REJECTED, State.UNCONFIRMED, State.MANUAL)
            where = next((state for state in states if self._progress.counts[state]), State.PENDING)
            self._stop.request(
                StopKind.BUDGET,
                said(
                    "{spent} ({limit}). Look at them with {export}; {resume} goes on",
                    spent=spent,
                    limit=setting("stop-after-errors", str(limit)),
                    export=advised("export", self._run.name, ("state", where)),
                    resume=advised("resume"),
                ),
            )
        if alarm := self.canary.alarm(item, outcome.message or "", self._run.name, tries=tries):
            self._stop.request(StopKind.BUDGET, alarm)


# ---- the pipeline -------------------------------------------------------------------------------------------------


_GAP: Final = 1.0
"""Seconds between two looks for the first row."""

MOST_LOOKED_AT: Final = 256
"""Maximum number of items looked at in one go before their claims."""

_OVERWRITES: Final = wording("what this would overwrite cannot be read: {error}")
_CHANGED: Final = wording("what has changed since the list cannot be seen: {error}")
_THERE: Final = wording("whether it is in the billing already cannot be seen: {error}")


class Pipeline:
    """Runs an approved run from its present state to its end, or to a stop after which it can be resumed.

    The caller has taken the run up, so `run` has this process's epoch. `gauges` are read beside the run and hold it;
    `enter` may allow rows that an earlier run has entered. Items up to number `known` were in the journal before this
    process, or may have been; `trust_journal` turns off the look-ups before each call. Times are the event loop's.
    """

    def __init__(
        self,
        run: Run,
        job: Job,
        journal: Journal,
        steering: LivePolicy,
        *,
        gauges: Sequence[Gauge] = (),
        enter: Repeat = Repeat.ONCE,
        known: int = 0,
        trust_journal: bool = False,
    ) -> None:
        self._run = run
        self._job = job
        self._effect = effect = job.effect
        self._journal = journal
        self._steering = steering
        self._policy = policy = steering.policy
        self._progress = steering.progress
        self._stop = stop = steering.stopping
        self._intake = Intake(
            run,
            job,
            journal,
            self._progress,
            enter=enter,
            least_free=lambda: steering.policy.min_disk,
        )
        self._ownership = Ownership(run, journal, policy.settle)
        self._reconciler = Reconciler(run, job, journal, policy, self._progress, stop)
        # A copy of the journal that was put back may know nothing of rows that were sent since.
        known = sys.maxsize if run.epoch > 1 and run.frozen_at is None else known
        self._witness = Witness(
            run, job, journal, steering, foreign=self._intake.foreign, known=known, trusted=trust_journal
        )
        self._spending = Spending(lambda: steering.policy.limit_money)
        self._tries = Tries(policy.tries)
        retries = RetryBudget(policy.retry_share, policy.retry_floor)
        self._backlog = Backlog(
            self._read_page,
            retries,
            intake_ended=run.frozen_at is not None,
            left_out=self._tries.out,
            most_held=MOST_HELD_OF_STEPS if effect.has_steps else MOST_HELD,
        )
        holds = self._progress.holds
        self._breaker = Breaker(effect.probe, policy, holds, stop)
        self._precedence = Precedence(run, effect, journal, self._backlog, self._breaker, steering)
        self._recorder = Recorder(
            run,
            job,
            journal,
            steering,
            backlog=self._backlog,
            reconciler=self._reconciler,
            precedence=self._precedence,
            ownership=self._ownership,
            tries=self._tries,
            spending=self._spending,
        )
        self._throttle = Throttle(gauges, holds, stop, lambda: self._gate.in_flight, policy.away_patience)
        self._gate = Gate(steering, self._breaker, self._throttle)
        # Only a database shows by itself what the API has answered.
        self._looks_at_first = effect.reads_apart and not trust_journal
        self._claims = Claims(self._gate.ahead)
        self._claiming = self._sends_others = False
        self._taken_in = anyio.Event()
        self._looking = anyio.CancelScope()
        self._workers = 0
        self._progress.sending = self._sending
        steering.end_waits = self._end_waits
        for heed in (self._heed_limit, self._gate.heed_change, self._throttle.look, self._claims.look):
            steering.listen(heed)

    async def migrate(self) -> None:
        """Send all pending items and settle all unknown ones, until none is left or a stop is requested.

        Raises `JournalError` if the journal fails, `CountsDiffer` if its counts do not add up, and `RunTakenOver` if
        another process has taken the run up. Items in flight are then `sending` in the journal, and the next process
        looks them up.
        """
        await self._journal.doubt(self._run)
        is_frozen = self._run.frozen_at is not None
        if is_frozen:
            self._taken_in.set()
        self._progress.take_up(await self._journal.totals(self._run), intake_ended=is_frozen)
        try:
            # Doubts about answers are reported while calls may be under way.
            with self._effect.doubts(self._recorder.doubt), self._effect.fenced(self._ownership.may_leave):
                async with anyio.create_task_group() as tasks:
                    if not is_frozen:
                        tasks.start_soon(self._take_in)
                    tasks.start_soon(self._recorder.record)
                    tasks.start_soon(self._breaker.keep)
                    tasks.start_soon(self._throttle.watch)
                    tasks.start_soon(self._heed_stop)
                    tasks.start_soon(self._ownership.stop_when_lost, self._stop)
                    if self._effect.has_steps:
                        tasks.start_soon(self._precedence.watch)
                    await self._alternate(tasks)
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise cause_of(group) from group
        await self._check_sums()

    async def _alternate(self, tasks: TaskGroup) -> None:
        """Settle unknown items, then send pending ones, and repeat while sending leaves unknown items."""
        await self._ownership.wait_for_earlier(self._progress, self._stop)
        self._ownership.carry_on(self._gate)
        await self._take_up()
        canary = self._recorder.canary = await canary_of(
            self._run, self._journal, self._progress.counts, wanted=self._policy.canary
        )
        await self._send_others(tasks)
        while not self._stop.requested:
            try:
                await self._settle()
            except EngineError as error:
                self._stop.request(
                    StopKind.SYSTEM, said("rows in doubt could not be looked up: {error}", error=error)
                )
                return
            await self._begin_pass()
            if not await self._send_pending(tasks) and self._recorder.settled():
                break
            if not self._looks_at_first or await self._first_is_shown():
                canary.passed()
        if why := self._left():
            waits_for_person = self._precedence.waits_for_person and not self._backlog.passed_over
            self._stop.request(StopKind.DECISION if waits_for_person else StopKind.SYSTEM, why)

    async def _begin_pass(self) -> None:
        if self._spending.must_look:
            await self._spending.look(self._run, self._journal)
        self._backlog.begin(1 if self._looks_at_first else self._recorder.canary.rows)
        self._precedence.begin()

    # ---- rows that were never in doubt ----

    async def _send_others(self, tasks: TaskGroup) -> None:
        """Send the rows of other lanes while rows in doubt wait for calls of an earlier owner."""
        if not self._doubts_wait():
            return
        self._sends_others = True
        tasks.start_soon(self._end_sending_others)
        while self._doubts_wait() and not self._stop.requested:
            await self._begin_pass()
            async for page in self._journal.each_page(self._run, IN_DOUBT, size=self._policy.page):
                for item in page:
                    self._backlog.shut_lane(item.lane)
            if not await self._send_pending(tasks):
                break
            if not self._looks_at_first or await self._first_is_shown():
                self._recorder.canary.passed()
        self._sends_others = False

    def _doubts_wait(self) -> bool:
        """Whether rows in doubt wait for an earlier owner's calls, and those of other lanes need not.

        Steps need each other, and of a limited sum it has to be known first what is spent.
        """
        waits = self._progress.in_doubt > 0 and self._reconciler.until_looked_up > 0
        return waits and not self._effect.has_steps and self._steering.policy.limit_money is None

    async def _end_sending_others(self) -> None:
        """Keep places free for the earlier owner's calls until they have ended; end the pass when doubts can."""
        self._gate.foreign = self._progress.in_doubt
        await anyio.sleep(self._reconciler.until_calls_end)
        self._gate.foreign = 0
        self._gate.ring()
        await anyio.sleep(self._reconciler.until_looked_up)
        if self._sends_others:
            self._backlog.end()

    async def _first_is_shown(self) -> bool:
        """Wait until the database shows the first accepted row; False while there is none, and where the run stops.

        Rows that it does not show are in another billing, or nowhere. Absence counts once the settle delay is over
        and the stacks hold nothing of the row, as it does in a look-up.
        """
        first, policy = self._recorder.first, self._policy
        if first is None:
            return False
        began = anyio.current_time()
        waiting: str | None = None
        while not self._stop.requested:
            try:
                waiting = await self._effect.unfinished_work([first])
                read = await shown(self._effect, self._run, first)
            except LookUpDelayed as error:
                why = text_of(error)
            except EngineError as error:
                self._stop.request(StopKind.SYSTEM, self._unshown(first, text_of(error)))
                return False
            else:
                if read is None or read.difference is None:
                    self._looks_at_first = False
                    return True
                why = read.difference
            elapsed = anyio.current_time() - began
            if elapsed >= policy.patience(waiting):
                self._stop.request(StopKind.BUDGET, self._unshown(first, waiting or why))
                return False
            self._progress.hold(said("first row: waiting for the database to show it"))
            with anyio.move_on_after(min(_GAP, max(policy.settle - elapsed, _GAP / 10))):
                await self._stop.wait()
            self._progress.hold(None)
        return False

    def _unshown(self, first: Item, why: str) -> Said:
        """The stop message for a first row that the database does not show."""
        return said(
            "the billing has accepted the first row, and its database does not show it: row {row} ({label}), {why}. "
            "Nothing else was sent. Perhaps API and database are of two billings, or the billing does not work off "
            "what it has accepted: look for the row there. {resume} looks again before it sends anything; with "
            "{trust} it goes on without looking",
            row=first.number,
            label=first.label,
            why=why,
            resume=advised("resume", self._run.name),
            trust=setting("trust-journal"),
        )

    def _left(self) -> str | None:
        """The stop message for rows that are left pending, None if there are none."""
        failed, behind = self._backlog.passed_over, self._backlog.behind
        waiting = self._precedence.left(self._progress.counts[State.PENDING] - failed)
        if not failed:
            return waiting
        others = ""
        if behind and waiting is None:
            others = said(", and {behind} more wait, each for an earlier row of its account", behind=Quantity(behind))
        left = counted(
            "{n} row[s] [is|are] left pending, having failed {tries} times[ each]{others}; {resume} tries again, in "
            "the order of the list",
            failed,
            tries=self._tries.most,
            others=others,
            resume=advised("resume", self._run.name),
        )
        return left if waiting is None else said("{failed}. {waiting}", failed=left, waiting=waiting)

    async def _take_up(self) -> None:
        """Look up items that another copy of the journal may have sent, once the whole list is frozen."""
        if not self._witness.wants_whole_list:
            return
        await self._taken_in.wait()
        try:
            await self._once_the_billing_answers(self._witness.take_up)
        except EngineError as error:
            self._stop.request(
                StopKind.SYSTEM, said("whether rows are in the billing already cannot be seen: {error}", error=error)
            )

    async def _send_pending(self, tasks: TaskGroup) -> int:
        """Send one pass over the list, and wait for its outcomes; returns the number of items that it has moved."""
        sent = done = size = 0
        began = since = anyio.current_time()
        while True:
            room = await self._room()
            if self._effect.looks_together and (passed := began - since) >= FRESH:
                # One question tells of many: as many are looked at in one go as leave while the answer counts.
                size = min(int((sent - self._recorder.under_way - done) * FRESH / passed), MOST_LOOKED_AT)
                since, done = began, sent - self._recorder.under_way
            if not (group := await self._backlog.take(max(room, size))):
                break
            if self._effect.has_steps:
                group = await self._precedence.sift(group)
            group = await self._witness.ahead(group)
            while affordable := await self._affordable(group[:room]):
                claimed, group = group[:affordable], group[affordable:]
                # Counted before the claim, so that a limit lowered meanwhile applies to them.
                self._spending.sent(claimed)
                self._claiming = True
                began = anyio.current_time()
                completed = self._precedence.completed(claimed)
                await self._journal.claim(self._run, [item.item_id for item in claimed], completed)
                self._ownership.told(began)
                self._claiming = False
                amount = sum((item.change for item in claimed if item.change), Decimal(0))
                self._progress.moved(State.PENDING, State.SENDING, affordable, amount=amount)
                self._recorder.under_way += affordable
                sent += affordable
                self._claims.put(claimed)
                self._employ(tasks)
                if group:
                    room = await self._room()
        await self._recorder.all_recorded()
        return sent + self._precedence.refused

    # ---- what runs beside it: intake, workers, recorder ----

    async def _take_in(self) -> None:
        """Freeze the rest of the list while its first pages are sent."""
        try:
            await self._intake.freeze_all(self._backlog)
        except EngineError as error:
            self._stop.request(StopKind.SYSTEM, said("the rows could not be read to their end: {error}", error=error))
        self._taken_in.set()

    async def _work(self) -> None:
        """Make one call after the other until cancelled."""
        while True:
            item = await self._claims.next()
            passed, evidence = await self._gate.enter(), None
            self._claims.passed()
            while passed is not None:
                item, evidence = await self._call(item)
                if evidence is not None:
                    break
                self._gate.step_aside(passed)
                passed = await self._gate.enter()
            if passed is None or evidence is None:
                # Claimed ahead, and provably not sent.
                self._recorder.land(CallResult(item, NOT_SENT))
                continue
            outcome = decide(evidence, only_reads=self._effect.only_reads)
            again = not outcome.cause.answered and self._tries.has_failed(item)
            blameless = self._gate.leave(passed, outcome, again=again)
            self._recorder.land(CallResult(item, outcome, blameless=blameless))

    async def _call(self, item: Item) -> tuple[Item, Seen | None]:
        """Send the item with its present before-image, unless it is in the billing already; None if it has to wait.

        Before-image and look-ups must have succeeded, and this process must still own the run. The look for the row
        comes last: it keeps the row from being entered twice. Where questions are asked again, the answers before
        them grow old, and all is read once more. More than that would help nothing where each answer takes long; but
        a row whose questions take longer than `LONGEST_ASKING` is not sent. Where somebody has paused the run
        meanwhile, or made its window smaller, the call waits at the gate again.
        """
        for is_last in (False, True):
            fault, began = _OVERWRITES, anyio.current_time()
            try:
                item = await self._witness.before_image(item)
                fault = _CHANGED
                if self._effect.has_steps and not await self._precedence.shows(item):
                    return item, NotSent(said("not sent: the billing does not show any more what it needs"))
                overtaken = await self._witness.overtaken(item)
                fault = _THERE
                read = anyio.current_time()
                seen = await self._witness.at_call(item) or overtaken
            except LookUpFailed as error:
                return item, NotSent(said(fault, error=error))
            if seen is not None:
                return item, seen
            looked = anyio.current_time()
            await self._ownership.confirm()
            if self._gate.is_withdrawn():
                return item, None
            now = anyio.current_time()
            is_current = now - began <= LONGEST_ASKING and (is_last or now - read <= READING_COUNTS)
            if now - looked <= FRESH and is_current:
                checked = CHECKED.set(now)
                try:
                    return item, await self._effect.send(self._run, item)
                finally:
                    CHECKED.reset(checked)
        return item, NotSent(
            said("not sent: what had to be asked before the call was answered too slowly to be still true")
        )

    async def _heed_stop(self) -> None:
        """Wake all waiting tasks when a stop is requested."""
        await self._stop.wait()
        log.info("stopping", why=self._stop.reason, in_flight=self._recorder.under_way)
        self._taken_in.set()
        self._backlog.close()
        self._progress.holds.release()
        self._looking.cancel()
        self._gate.release()
        self._claims.close()

    def _heed_limit(self) -> None:
        """Stop if a lowered money limit is already passed; claimed items are then returned as not sent."""
        if why := self._spending.overdrawn(self._run):
            self._stop.request(StopKind.BUDGET, why)

    def _end_waits(self) -> list[str]:
        """End the waits for a billing that is away or busy; returns what follows, in words.

        Rows in doubt wait on: what is looked up before a late call has its effect would be sent a second time.
        """
        ended: list[str] = []
        if self._breaker.ask_now():
            ended.append(said("the billing is asked at once; if it refuses again, the wait begins anew"))
        if rows := self._backlog.retry_now():
            ended.append(counted("{n} row[s] [is|are] tried again at once", rows))
        return ended

    # ---- the steps in between ----

    async def _settle(self) -> None:
        """Look up unknown items, once the billing answers; their amounts may no longer count as sent.

        A stop ends the look-up: the items looked up by then are settled, the rest stays unknown.
        """
        if self._progress.in_doubt:
            self._spending.must_look = True
        await self._once_the_billing_answers(self._reconciler.settle)

    async def _once_the_billing_answers(self, look: Callable[[], Awaitable[None]]) -> None:
        """Run a look-up, and repeat it while the billing does not answer; a stop ends it."""
        while not self._stop.requested:
            try:
                with anyio.CancelScope() as self._looking:
                    await look()
            except LookUpDelayed as error:
                self._breaker.look_up_failed(text_of(error))
                await self._breaker.let_through()
                # A frozen billing may finish the calls that it had begun only now: restart the settle delay.
                self._reconciler.lost()
            else:
                return

    async def _room(self) -> int:
        """Wait until nothing holds the run and more items may be claimed; returns their number."""
        while True:
            room = await self._claims.room()
            if not self._progress.holds or self._stop.requested:
                return room
            await self._until_free()

    async def _until_free(self) -> None:
        """Wait until nothing holds the run, or it stops."""
        while self._progress.holds and not self._stop.requested:
            await self._progress.holds.lifted()

    async def _affordable(self, group: Sequence[Item]) -> int:
        """The number of leading items of `group` within the money limit; 0 if none is left or the run stops."""
        if group:
            # The run may have been held while the group was waited for.
            await self._until_free()
        if not group or self._stop.requested:
            return 0
        if not self._spending.fitting(group):
            # Rows refused meanwhile make room within the limit.
            await self._recorder.all_recorded()
        fitting = self._spending.fitting(group)
        if not fitting:
            self._stop.request(StopKind.BUDGET, self._spending.told(group[0], self._run))
        return fitting

    async def _read_page(self, after: int) -> list[Item]:
        return await self._journal.items(self._run, {State.PENDING}, after=after, size=self._policy.page)

    def _employ(self, tasks: TaskGroup) -> None:
        """Start as many workers as there are calls to make at once."""
        while self._workers < min(self._gate.size, self._recorder.under_way):
            tasks.start_soon(self._work)
            self._workers += 1

    def _sending(self) -> Sending:
        """The state of the calls, for the status."""
        limit, trial = self._gate.why, self._recorder.canary.why
        if self._claims.full or self._gate.keeps_back:
            why = limit or trial
        else:
            why = trial or self._backlog.why or limit or (said("journal") if self._claiming else "")
        return Sending(self._gate.in_flight, self._gate.size, why)

    async def _check_sums(self) -> None:
        """Check that the counts kept in memory equal those of the journal."""
        totals = await self._journal.totals(self._run)
        kept = {state: count for state, count in self._progress.counts.items() if count}
        if kept != dict(totals.counts):
            # Another process may have gone on with the run while this one was stopped.
            await self._journal.confirm(self._run)
            raise CountsDiffer(
                "the journal has {counts}, what was done adds up to {kept}: please report",
                counts=tuple(said("{state} {n}", state=said(state.value), n=n) for state, n in totals.counts.items()),
                kept=tuple(said("{state} {n}", state=said(state.value), n=n) for state, n in kept.items()),
            )
