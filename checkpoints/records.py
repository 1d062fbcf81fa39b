"""What the journal takes and gives, as frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from checkpoints.states import State


class Stage(StrEnum):
    """How far a run has come, told from its times."""

    INTAKE = "intake"
    """Rows are still being frozen."""
    FROZEN = "frozen"
    """The list is complete and nobody has approved it yet: nothing was sent."""
    APPROVED = "approved"
    """May send, or has sent."""
    DISCARDED = "discarded"
    """Given up before anything was sent; its items are gone, its refusals are kept."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is, told before its first row is read.

    `parameters`, `target` and `source` identify it: the same three again are the same work. None of them holds a
    secret. `header` names the input's own columns, for exports.
    """

    job: str
    parameters: Mapping[str, str]
    target: str
    source: str
    source_digest: str = ""
    header: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the journal has it. Times are UTC; `name` is the short word the operator types."""

    run_id: int
    name: str
    job: str
    parameters: Mapping[str, str]
    target: str
    source: str
    source_digest: str
    header: tuple[str, ...]
    cursor: str | None
    created_at: datetime
    frozen_at: datetime | None
    approved_at: datetime | None
    discarded_at: datetime | None

    @property
    def stage(self) -> Stage:
        """How far the run has come."""
        if self.discarded_at:
            return Stage.DISCARDED
        if self.approved_at:
            return Stage.APPROVED
        return Stage.FROZEN if self.frozen_at else Stage.INTAKE


@dataclass(frozen=True, slots=True)
class NewItem:
    """One row to be frozen.

    `key` is the business key (what must not be entered twice), `label` what people call it, `lane` what allows only
    one write at a time, `payload` the JSON that the job makes its call from, `row` the input's own cells. An item
    with a `skip_reason` is frozen as skipped.
    """

    key: str
    label: str
    lane: str
    payload: str
    amount: Decimal | None = None
    line: int | None = None
    row: tuple[str, ...] = ()
    skip_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of the input that did not become an item; `column` is its name, None for the row as a whole.

    A `conflict` names the key that this row and another give different amounts: at the end of the intake all rows
    of that key are refused.
    """

    line: int | None
    column: str | None
    label: str
    reason: str
    row: tuple[str, ...] = ()
    conflict: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What one page of the source became; `cursor` is where the source goes on after it."""

    items: tuple[NewItem, ...]
    refusals: tuple[Refusal, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """A frozen item. `number` counts from 1 within its run; `message` is the error or the reason it was skipped."""

    item_id: int
    number: int
    key: str
    label: str
    lane: str
    payload: str
    amount: Decimal | None
    line: int | None
    row: tuple[str, ...]
    state: State
    attempts: int
    answer: str | None
    message: str | None
    changed_at: str


@dataclass(frozen=True, slots=True)
class Change:
    """A step of one item to another state, with what the billing said."""

    item_id: int
    state: State
    answer: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided of an item: `state` is accepted or pending, `who` a user and host."""

    number: int
    label: str
    state: State
    who: str
    why: str
    decided_at: str


@dataclass(frozen=True, slots=True)
class Twin:
    """An item of the same effect that the journal already has: same job, same target, same key."""

    run: str
    key: str
    amount: Decimal | None
    state: State
    line: int | None
    changed_at: str


@dataclass(frozen=True, slots=True)
class Totals:
    """How many items are in each state and what their amounts add up to; `refused` rows are no items."""

    counts: Mapping[State, int] = field(default_factory=dict)
    amounts: Mapping[State, Decimal] = field(default_factory=dict)
    refused: int = 0

    @property
    def frozen(self) -> int:
        """All items, in whatever state."""
        return sum(self.counts.values())

    @property
    def amount(self) -> Decimal:
        """The sum of all amounts, in whatever state."""
        return sum(self.amounts.values(), Decimal(0))

    def count(self, *states: State) -> int:
        """How many items are in one of `states`."""
        return sum(self.counts.get(state, 0) for state in states)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some items are in the state they are in: the kind, how many and how much, and the first of them."""

    kind: str
    items: int
    amount: Decimal
    line: int | None
    label: str
    example: str
