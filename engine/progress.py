"""Where a run stands at this moment, for whoever shows it. Counts follow the journal, transition by transition."""

from collections import Counter

import anyio

from checkpoints.records import Totals
from checkpoints.states import State

FINAL = (State.SKIPPED, State.ACCEPTED, State.REJECTED, State.MANUAL, State.APPLIED)


class Progress:
    """Counts by state, calls, the last error, and why nothing moves when nothing moves."""

    def __init__(self) -> None:
        self.counts: Counter[State] = Counter()
        self.refused = 0
        self.calls = 0
        self.retries = 0
        self.intake_ended = False
        self.last_error: str | None = None
        self.held: str | None = None
        self.started = anyio.current_time()

    def take_up(self, totals: Totals, *, intake_ended: bool) -> None:
        """Begin from what the journal says."""
        self.counts = Counter(totals.counts)
        self.refused = totals.refused
        self.intake_ended = intake_ended

    def frozen(self, pending: int, skipped: int, refused: int) -> None:
        """A page was frozen."""
        self.counts[State.PENDING] += pending
        self.counts[State.SKIPPED] += skipped
        self.refused += refused

    def moved(self, source: State, target: State, items: int = 1) -> None:
        """Items went from one state to another."""
        self.counts[source] -= items
        self.counts[target] += items

    def hold(self, reason: str | None) -> None:
        """Nothing moves, because of `reason`; None when it moves again."""
        self.held = reason

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
