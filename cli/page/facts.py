"""The facts of a run at one moment, as its page shows them: counted in the journal, and told by its process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from checkpoints.journal import Journal
from checkpoints.records import Command, Holder, Reason, Refusal, Run, Runner, Stage, Totals
from checkpoints.states import State, states_where
from engine.pipeline.progress import Status
from engine.statistics import PaceSample
from texts.said import Said, kind_of

MOST_COMMANDS: Final = 20
"""The latest commands, which are shown."""

MOST_REASONS: Final = 20
"""The most frequent reasons of a state, which are shown."""

PAUSE: Final = 50
"""Nothing is counted again within so many times of what that took: it takes at most 2 % of a processor."""

TROUBLE: Final = states_where(trouble=True)
ACCEPTED: Final = states_where(in_effect=True)
ASKED: Final = tuple(state for state in State if state is not State.REPLACED)
"""A corrected row is counted once, as the row that replaced it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What has to be counted in the journal, and takes as long as there are rows."""

    totals: Totals
    reasons: Sequence[tuple[State, Reason]]
    first_refusal: Refusal | None


async def count(run: Run, journal: Journal) -> Counted:
    """Count the rows of a run. Raises `JournalError`."""
    totals = await journal.totals(run)
    reasons = [
        (state, reason)
        for state in TROUBLE
        if totals.count(state)
        for reason in await journal.reasons(run, state, size=MOST_REASONS)
    ]
    refusals = await journal.refusals(run, size=1) if totals.refused else []
    return Counted(totals, reasons, refusals[0][1] if refusals else None)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run at one moment.

    `live` is what its process says of it, None where none works on it, or that does not answer, which `unanswered`
    says then. `silent_for` is for how many seconds nobody has worked on it, None while somebody does.
    """

    run: Run
    counted: Counted
    holder: Holder | None
    runners: Sequence[Runner]
    commands: Sequence[Command]
    settings: Mapping[str, str]
    sample: PaceSample
    live: Status | None = None
    unanswered: Said | None = None
    silent_for: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to send and nobody works on it."""
        run = self.run
        if self.holder is not None:
            return False
        waits = run.frozen_at is None or run.approved_at is None or self.counted.totals.count_where(open=True) > 0
        return run.stage is Stage.DISCARDED or run.ended_at is not None or not waits

    @property
    def knows_pace(self) -> bool:
        """Whether its pace is known: not where somebody works on it who is not heard."""
        return self.live is not None or self.holder is None

    @property
    def passing_errors(self) -> Mapping[str, int]:
        """Errors that the process has met and that are the reason of no row's state: what was sent again since."""
        kinds = {reason.kind for _, reason in self.counted.reasons}
        met = self.live.errors if self.live else {}
        return {text: rows for text, rows in met.items() if kind_of(text) not in kinds}

    @property
    def rows(self) -> Mapping[State, int]:
        """The number of rows by state, as the process counts them, which is newer than the journal's count."""
        if self.live is None:
            return self.counted.totals.counts
        return {State(word): number for word, number in self.live.counts.items()}

    def rows_in(self, *states: State) -> int:
        """The number of rows in these states."""
        return sum(self.rows.get(state, 0) for state in states)

    def sum_in(self, *states: State) -> Decimal:
        """The sum of the rows in these states."""
        return sum((self.counted.totals.amounts.get(state, Decimal(0)) for state in states), Decimal(0))

    @property
    def accepted_sum(self) -> Decimal:
        """The sum of what the billing has accepted, as the process adds it up."""
        return self.sum_in(*ACCEPTED) if self.live is None else self.live.entered
