"""The progress of a run: kept up to date as it goes (`Progress`), and as a snapshot for display (`Status`).

Counts follow the journal, transition by transition.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import anyio
import structlog

from checkpoints.records import Change, Item, NewItem, Totals
from checkpoints.sentences import is_held_back
from checkpoints.states import State, states_where
from engine.pacing.holds import IN_DOUBT, PAUSED, Holds, Stop, StopKind
from engine.pacing.policy import Policy, describe_policy
from engine.statistics import SPAN, ErrorGroups, Histogram, Pace, PaceSample, RecentCalls
from texts.said import kind_of, name_of_sender, said


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot of a run. Times are seconds, rates are rows a second; all of it can be written as JSON.

    `why` is what limits the speed of the run, "" for nothing; `held` is why nothing moves, None while it does.
    `window` is the number of calls that may be in flight now. `eta` is None while the run is held or rows are
    read, and until the pace after a hold is known.
    """

    counts: Mapping[str, int]
    total: int
    done: int
    skipped: int
    refused: int
    intake_ended: bool
    calls: int
    retries: int
    seconds: float
    rate: float
    average: float
    eta: float | None
    in_flight: int
    window: int
    p50: float | None
    p95: float | None
    why: str
    held: str | None
    held_seconds: Mapping[str, float]
    paused: bool
    errors: Mapping[str, int]
    last_error: str | None
    entered: Decimal = Decimal(0)
    """The sum of the rows that the billing has accepted."""
    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    """The sums of the rows by state, of states that have rows."""
    has_steps: bool = False
    """Whether several rows of the run are steps of one row of its input."""
    held_back: int = 0
    """The rejected rows that were not sent, for a reason of the program's own."""

    @property
    def sent(self) -> int:
        return self.done - self.skipped

    @property
    def under_way(self) -> Mapping[str, int]:
        """The counts as people are shown them: what is claimed and has not left yet is still to be sent."""
        waiting = max(self.counts.get(State.SENDING, 0) - self.in_flight, 0)
        moved = {State.SENDING: -waiting, State.PENDING: waiting} if waiting else {}
        return {**self.counts, **{state: self.counts.get(state, 0) + rows for state, rows in moved.items()}}

    @property
    def to_send(self) -> int:
        """Rows that need a call or needed one."""
        return self.total - self.skipped


@dataclass(frozen=True, slots=True)
class Sending:
    """The state of the pipeline's calls: the number in flight, the maximum, and the reason for it."""

    in_flight: int = 0
    window: int = 0
    why: str = ""


class Progress:
    """Counts by state, calls, errors, pace, and the holds of a run."""

    def __init__(self, *, has_steps: bool = False) -> None:
        self.counts: Counter[State] = Counter()
        self.refused = 0
        self.held_back = 0
        self.calls = 0
        self.retries = 0
        self.intake_ended = False
        self.has_steps = has_steps
        self.last_error: str | None = None
        self.amounts: defaultdict[State, Decimal] = defaultdict(Decimal)
        self.holds = Holds()
        self.started = anyio.current_time()
        self.sending: Callable[[], Sending] = Sending
        self._times = Histogram()
        self._recent = RecentCalls()
        self._errors = ErrorGroups()
        self._pace = Pace(time.monotonic())

    def take_up(self, totals: Totals, *, intake_ended: bool) -> None:
        self.counts = Counter(totals.counts)
        self.refused, self.held_back = totals.refused, totals.held_back.rows
        self.amounts = defaultdict(Decimal, totals.amounts)
        self.intake_ended = intake_ended
        self.started = anyio.current_time()
        self._pace = Pace(time.monotonic())

    def frozen(self, items: Iterable[NewItem], refused: int) -> None:
        for item in items:
            state = State.PENDING if item.skip_reason is None else State.SKIPPED
            self.counts[state] += 1
            self.amounts[state] += item.amount or 0
        self.refused += refused

    def moved(
        self, source: State, target: State, items: int = 1, *, amount: Decimal | None = None, why: str | None = None
    ) -> None:
        self.counts[source] -= items
        self.counts[target] += items
        self.held_back += target is State.REJECTED and is_held_back(kind_of(why or ""))
        if amount:
            self.amounts[source] -= amount
            self.amounts[target] += amount
        if not target.open:
            self._pace.add(time.monotonic(), items)

    def recorded(self, items: Sequence[Item], changes: Sequence[Change]) -> None:
        before = {item.item_id: item for item in items}
        for change in changes:
            item = before[change.item_id]
            self.moved(item.state, change.state, amount=item.change, why=change.message)

    def called(self, seconds: float) -> None:
        self.calls += 1
        self._times.add(seconds)

    def met(self, label: str, error: str) -> None:
        self.last_error = said("{label}: {error}", label=label, error=error)
        self._errors.add(error)

    def hold(self, reason: str | None) -> None:
        """Hold the run for `reason` while rows in doubt are looked up; None releases it."""
        if reason is None:
            self.holds.lift(IN_DOUBT)
        else:
            self.holds.put(IN_DOUBT, reason)

    @property
    def held(self) -> str | None:
        return self.holds.why

    @property
    def total(self) -> int:
        """The rows of the run; a corrected one counts once."""
        return self.counts.total() - self.counts[State.REPLACED]

    @property
    def entered(self) -> Decimal:
        """The sum of the items that the billing has accepted."""
        return sum((self.amounts[state] for state in states_where(in_effect=True)), Decimal(0))

    @property
    def in_doubt(self) -> int:
        return sum(self.counts[state] for state in states_where(in_doubt=True))

    @property
    def done(self) -> int:
        """Items that need no further call."""
        return self.total - sum(self.counts[state] for state in states_where(open=True))

    @property
    def seconds(self) -> float:
        return anyio.current_time() - self.started

    def status(self) -> Status:
        now = time.monotonic()
        rate, sending, held = self._pace.recent(now), self.sending(), self.held
        return Status(
            counts={str(state): self.counts[state] for state in State if self.counts[state]},
            total=self.total,
            done=self.done,
            skipped=self.counts[State.SKIPPED],
            refused=self.refused,
            intake_ended=self.intake_ended,
            calls=self.calls,
            retries=self.retries,
            seconds=self.seconds,
            rate=rate,
            average=self._pace.average(now),
            # Before that the rate is partly that of the hold.
            eta=(self.total - self.done) / rate
            if rate and self.intake_ended and self.holds.was_free_for(SPAN)
            else None,
            in_flight=sending.in_flight,
            window=sending.window,
            p50=self._times.quantile(0.5),
            p95=self._times.quantile(0.95),
            why=held or sending.why,
            held=held,
            held_seconds=self.holds.seconds,
            paused=PAUSED in self.holds,
            errors=self._errors.counted(),
            last_error=self.last_error,
            entered=self.entered,
            amounts={str(state): self.amounts[state] for state in State if self.counts[state]},
            has_steps=self.has_steps,
            held_back=self.held_back,
        )

    def sample(self) -> PaceSample:
        """The pace since the sample before; to be taken once a second."""
        rate, times = self._recent.mark(anyio.current_time(), self.calls, self._times)
        sending = self.sending()
        return PaceSample(
            t=time.time(),
            rate=rate,
            window=sending.window,
            in_flight=sending.in_flight,
            p50=times.quantile(0.5),
            p95=times.quantile(0.95),
        )


# ---- the live policy ----------------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)


class LivePolicy:
    """The control of a live run. Changes take effect at once, in this process only.

    `policy` is the policy in force; all tasks of the run read it when they need it.
    """

    def __init__(self, policy: Policy, progress: Progress, stopping: Stop) -> None:
        self.policy = policy
        self.progress = progress
        self.stopping = stopping
        self.end_waits: Callable[[], Sequence[str]] = tuple
        """Ends the waits that the run has chosen for the billing's sake, and says what follows."""
        self._listeners: list[Callable[[], None]] = []

    def take(self, policy: Policy) -> None:
        before, self.policy = self.policy, policy
        if policy == before:
            return
        log.info("driven", how=describe_policy(policy))
        for heard in self._listeners:
            heard()

    def pause(self, who: str) -> None:
        """Begin no call until `unpause`; calls in flight finish. The first person to pause is shown."""
        if PAUSED not in self.progress.holds:
            self.progress.holds.put(PAUSED, said("paused by {who}", who=name_of_sender(who)))

    def unpause(self) -> None:
        self.progress.holds.lift(PAUSED)

    def stop(self, who: str) -> None:
        """Begin nothing new and stop the run once the calls in flight are finished; it can be resumed."""
        self.stopping.request(StopKind.INTERRUPTED, said("stopped by {who}", who=name_of_sender(who)))

    def look(self) -> Status:
        return self.progress.status()

    def sample(self) -> PaceSample:
        return self.progress.sample()

    def listen(self, heard: Callable[[], None]) -> None:
        self._listeners.append(heard)
