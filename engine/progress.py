"""Where a run stands at this moment, for whoever shows it. Counts follow the journal, transition by transition."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio

from checkpoints.records import Totals
from checkpoints.states import State
from engine.histogram import Histogram
from engine.holds import IN_DOUBT, PAUSED, Holds
from engine.kinds import Kinds
from engine.pace import Pace
from engine.status import Status

FINAL: Final = frozenset({State.SKIPPED, State.ACCEPTED, State.REJECTED, State.MANUAL, State.APPLIED, State.REPLACED})


@dataclass(frozen=True, slots=True)
class Sending:
    """What the pipeline says of its calls: how many are in flight, how many may be, and why not more."""

    in_flight: int = 0
    window: int = 0
    why: str = ""


class Progress:
    """Counts by state, calls, errors, pace, and why nothing moves when nothing moves."""

    def __init__(self) -> None:
        self.counts: Counter[State] = Counter()
        self.refused = 0
        self.calls = 0
        self.retries = 0
        self.intake_ended = False
        self.last_error: str | None = None
        self.holds = Holds()
        self.started = anyio.current_time()
        self.sending: Callable[[], Sending] = Sending
        self._times = Histogram()
        self._errors = Kinds()
        self._pace = Pace(time.monotonic())

    def take_up(self, totals: Totals, *, intake_ended: bool) -> None:
        """Begin from what the journal says."""
        self.counts = Counter(totals.counts)
        self.refused = totals.refused
        self.intake_ended = intake_ended
        self.started = anyio.current_time()
        self._pace = Pace(time.monotonic())

    def frozen(self, pending: int, skipped: int, refused: int) -> None:
        """A page was frozen."""
        self.counts[State.PENDING] += pending
        self.counts[State.SKIPPED] += skipped
        self.refused += refused

    def moved(self, source: State, target: State, items: int = 1) -> None:
        """Items went from one state to another."""
        self.counts[source] -= items
        self.counts[target] += items
        if target in FINAL:
            self._pace.add(time.monotonic(), items)

    def called(self, seconds: float) -> None:
        """A call has come back."""
        self.calls += 1
        self._times.add(seconds)

    def met(self, label: str, error: str) -> None:
        """A row met an error."""
        self.last_error = f"{label}: {error}"
        self._errors.add(error)

    def hold(self, reason: str | None) -> None:
        """Nothing moves while rows in doubt are looked up, because of `reason`; None when it moves again."""
        if reason is None:
            self.holds.lift(IN_DOUBT)
        else:
            self.holds.put(IN_DOUBT, reason)

    @property
    def held(self) -> str | None:
        """Why nothing moves, None when it does."""
        return self.holds.why

    @property
    def total(self) -> int:
        """All items frozen so far."""
        return self.counts.total()

    @property
    def done(self) -> int:
        """Items that need no further call."""
        return sum(self.counts[state] for state in FINAL)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return anyio.current_time() - self.started

    def status(self) -> Status:
        """All of it at this moment."""
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
            eta=(self.total - self.done) / rate if rate and self.intake_ended and not held else None,
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
        )
