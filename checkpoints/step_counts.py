"""Counts of a run whose rows have steps, several for a row of its input: by step, and by lane."""

from dataclasses import dataclass
from decimal import Decimal

from checkpoints.queries import FoundRow
from checkpoints.states import State


@dataclass(frozen=True, slots=True)
class StepCount:
    """Items of one step in one state; `kind` is that of the reason of skipped ones.

    `changes` is whether their calls change what was there when the list was made. Of the items the effects of so many
    were `taken_back` and not restored since.
    """

    step: str
    state: State
    changes: bool
    kind: str
    items: int
    amount: Decimal
    taken_back: int = 0


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """Lanes of a run: all; those with an unsettled item; other ones with a rejected item; those not only skipped.

    `left_alone` are those of all others with an item that is skipped for a kind of reason.
    `lines` are those of the input, over the whole run, with an item that is not skipped.
    """

    all: int = 0
    open: int = 0
    rejected: int = 0
    left_alone: int = 0
    sent: int = 0
    lines: int = 0


def to_step_count(row: FoundRow) -> StepCount:
    """A row of `step_counts`."""
    state, amount = State(row["state"]), Decimal(row["amount"] or 0)
    return StepCount(row["step"], state, bool(row["changes"]), row["kind"], row["items"], amount, row["taken_back"])


def to_lane_counts(row: FoundRow) -> LaneCounts:
    """The row of `lane_counts`."""
    return LaneCounts(row["lanes"], row["open"], row["rejected"], row["left_alone"], row["sent"], row["lines"])
