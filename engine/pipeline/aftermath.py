"""The aftermath of a recorded outcome: releases the lane, schedules a retry, counts it against the limits."""

from typing import Final, assert_never

import msgspec
import structlog

from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.outcomes import Cause, Outcome
from engine.pacing.canary import Canary
from engine.pacing.holds import StopKind
from engine.pacing.limits import ErrorBudget, Spending
from engine.pacing.retries import Tries, backoff
from engine.pipeline.backlog import Backlog
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.reconciler import Reconciler
from texts.remedies import Remedy, setting
from texts.said import said

log = structlog.get_logger(__name__)

NOT_SENT: Final = Outcome(State.PENDING, Cause.STOPPED, message=said("not sent: the run was stopped"))
"""The outcome of items that were claimed but not sent when a stop was requested."""


class CallResult(msgspec.Struct, frozen=True):
    """The result of a call; `blameless` means that its failure is independent of the row."""

    item: Item
    outcome: Outcome
    blameless: bool = False


class Aftermath:
    """Follows up outcomes in the order of their recording.

    `canary` holds the canary steps of this process, `first` is the first row that the billing has accepted in it.
    """

    def __init__(
        self,
        run: Run,
        steering: LivePolicy,
        backlog: Backlog,
        reconciler: Reconciler,
        tries: Tries,
        spending: Spending,
    ) -> None:
        self.canary = Canary(wanted=False)
        self.first: Item | None = None
        self._run = run
        self._steering = steering
        self._progress = steering.progress
        self._stop = steering.stopping
        self._backlog = backlog
        self._reconciler = reconciler
        self._tries = tries
        self._spending = spending
        self._errors = ErrorBudget()

    def follow(self, landed: CallResult) -> None:
        """Follow up one outcome, which is already recorded in the journal."""
        item, outcome = landed.item, landed.outcome
        self._progress.moved(State.SENDING, outcome.state, amount=item.amount)
        self._spending.came_out(item, outcome.state)
        if outcome.cause is Cause.STOPPED:
            return
        if outcome.message:
            if not outcome.state.settled or outcome.state is State.REJECTED:
                self._progress.met(item.label, outcome.message)
            if not outcome.own:
                log.warning(str(outcome.state), item=item.number, label=item.label, why=outcome.message)
        if outcome.cause is Cause.REFUSES_ALL:
            self._stop.request(
                StopKind.SYSTEM, said("the billing refuses all work: {why}", why=outcome.message or "")
            )
        match outcome.state:
            case State.ACCEPTED | State.SKIPPED:
                self._went_through(item, outcome)
            case State.REJECTED | State.UNCONFIRMED | State.MANUAL:
                self._refused(item, outcome)
            case State.PENDING | State.UNKNOWN:
                self._failed(landed)
            case State.SENDING | State.APPLIED | State.REPLACED:
                raise ValueError(f"a call has no outcome {outcome.state}")
            case _:
                assert_never(outcome.state)

    def _went_through(self, item: Item, outcome: Outcome) -> None:
        """Count a row that is in the billing as wanted; the first that this process has entered is kept."""
        if outcome.state is State.ACCEPTED and self.first is None:
            self.first = msgspec.structs.replace(item, state=outcome.state, answer=outcome.answer)
        self._errors.add(wrong=False)
        self._backlog.retries.succeeded()
        self._done(item)

    def _refused(self, item: Item, outcome: Outcome) -> None:
        """Count a row that went wrong; one whose refusal is unconfirmed is left to the reconciler.

        That one counts at once as well: of a file whose every row is refused, not all are to be sent first.
        """
        if outcome.state is State.UNCONFIRMED:
            self.canary.answered()
            self._reconciler.lost()
            self._backlog.shut(item)
        else:
            self._done(item)
        self._went_wrong(item, outcome)

    def _done(self, item: Item) -> None:
        """Finish an answered row, which needs no further call."""
        self.canary.answered()
        if self._tries.forget(item):
            self._backlog.retries.answered()
        self._backlog.finish(item)

    def _failed(self, landed: CallResult) -> None:
        """Retry a row, or leave an unknown one to the reconciler; only while it has tries left."""
        item, outcome = landed.item, landed.outcome
        if landed.blameless:
            self._tries.excuse(item)
        has_tries_left = landed.blameless or self._tries.failed(item, outcome)
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
                    export=Remedy("export", self._run.name, (("state", where),)),
                    resume=Remedy("resume"),
                ),
            )
        if alarm := self.canary.alarm(item, outcome.message or "", self._run.name, tries=tries):
            self._stop.request(StopKind.BUDGET, alarm)
