"""What the journal takes and gives, as frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Unpack

import msgspec

from checkpoints.states import State, StateProperties, states_where


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
    secret. `header` names the input's own columns, for exports. `policy` is how the run is to be driven, as texts by
    name; what is not in it is as it is by default.
    """

    job: str
    parameters: Mapping[str, str]
    target: str
    source: str
    source_digest: str = ""
    header: tuple[str, ...] = ()
    policy: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the journal has it. Times are UTC; `name` is the short word the operator types.

    One with a `paused_at` sends nothing until somebody lets it go on, whoever takes it up; and whoever does drives it
    by its `policy`. `epoch` says how often it had been taken up when this was read: under another one than the
    journal's nothing of a runner is written.
    """

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
    paused_at: datetime | None = None
    paused_by: str | None = None
    policy: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0

    @property
    def stage(self) -> Stage:
        """How far the run has come."""
        if self.discarded_at:
            return Stage.DISCARDED
        if self.approved_at:
            return Stage.APPROVED
        return Stage.FROZEN if self.frozen_at else Stage.INTAKE


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a run, or has taken it up last; `since` is UTC, in words."""

    host: str
    process: int
    since: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


@dataclass(frozen=True, slots=True)
class NewItem:
    """One row to be frozen.

    `key` is the business key (what must not be entered twice), `label` what people call it, `lane` what allows only
    one write at a time, `payload` the JSON that the job makes its call from, `row` the input's own cells. An item
    with a `skip_reason` is frozen as skipped. `undoes` is the item of an earlier run that it takes back. `wanted`
    says what the row asks for, where no amount does: rows of one key that ask for different things contradict each
    other. `note` is what a person should know of it before it is sent.
    """

    key: str
    label: str
    lane: str
    payload: str
    amount: Decimal | None = None
    line: int | None = None
    row: tuple[str, ...] = ()
    skip_reason: str | None = None
    undoes: int | None = None
    wanted: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of the input that did not become an item; `column` is its name, None for the row as a whole.

    A `conflict` names the key for which this row and another ask for different things: at the end of the intake all
    rows of that key are refused.
    """

    line: int | None
    column: str | None
    label: str
    reason: str
    row: tuple[str, ...] = ()
    conflict: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What one page of the source became; `cursor` is where the source goes on after it.

    `left_out` counts the rows that the run was told to leave out, by which flag: they become nothing.
    """

    items: tuple[NewItem, ...]
    refusals: tuple[Refusal, ...]
    cursor: str | None
    left_out: Mapping[str, int] = field(default_factory=dict)


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A frozen item, its fields in the order of the block `as_items`.

    `number` counts from 1 within its run; `message` is the error or the reason it was skipped.
    """

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


class Change(msgspec.Struct, frozen=True):
    """A step of one item to another state, with what the billing said.

    `created` tells that the answer is the id of a new object, which no other item of the run can have.
    """

    item_id: int
    state: State
    answer: str | None = None
    message: str | None = None
    created: bool = False


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
class Command:
    """What somebody told a run: `who` is a user, host and process, `command` as typed, `answer` what came of it."""

    who: str
    command: str
    answer: str
    given_at: datetime


@dataclass(frozen=True, slots=True)
class EarlierEntry:
    """An item of the same effect that the journal already has: same job, same key, on the `target` of its run."""

    run: str
    key: str
    amount: Decimal | None
    wanted: str | None
    state: State
    line: int | None
    changed_at: str
    target: str


@dataclass(frozen=True, slots=True)
class KnownMark:
    """An item of this journal whose mark was met in the billing: its run and that run's target, and its state."""

    run: str
    number: int
    target: str
    state: State

    @property
    def had_effect(self) -> bool:
        """Whether the journal knows that the item has had its effect, or may have had it."""
        return self.state.in_effect or not self.state.settled


@dataclass(frozen=True, slots=True)
class Shared:
    """Lanes (accounts) that more than one pending item reaches, those items, and what they add up to."""

    lanes: int = 0
    items: int = 0
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows of one account that become one: the item that carries the others, and why these are skipped.

    With a `payload` it carries their sum, its `amount`; without one it counts in their place.
    """

    carrier: int
    carried: tuple[int, ...]
    reason: str
    payload: str | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """How many items are in each state and what their amounts add up to; `refused` rows are no items.

    Nor are those that are `left_out`, by the flag that said so. All of them together are the rows that were read.
    """

    counts: Mapping[State, int] = field(default_factory=dict)
    amounts: Mapping[State, Decimal] = field(default_factory=dict)
    refused: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """All rows of the input."""
        return self.frozen + self.refused + sum(self.left_out.values())

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

    def count_where(self, **properties: Unpack[StateProperties]) -> int:
        """How many items are in one of the states that have all these properties."""
        return self.count(*states_where(**properties))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some items are in the state they are in: the kind, how many and how much, and the first of them."""

    kind: str
    items: int
    amount: Decimal
    line: int | None
    label: str
    example: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A corrected row for a run: the item it became, and what it takes the place of.

    That is a rejected item of the run, by its number, or a refused row, by its id.
    """

    item: NewItem
    number: int | None = None
    refusal_id: int | None = None
