"""The records that the journal takes and returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, TypeAlias, Unpack

import msgspec

from checkpoints.states import State, StateProperties, states_where
from checkpoints.tally import NOTHING, ImportTally, Subtotal
from texts.said import Said, kind_of, said

Sentence: TypeAlias = Annotated[str, "json"]
"""A sentence, or a text that is the same in all languages."""


class Stage(StrEnum):
    """The stage of a run, derived from its times."""

    INTAKE = "intake"
    """Rows are still being frozen."""
    FROZEN = "frozen"
    """The list is complete and not approved: nothing was sent."""
    APPROVED = "approved"
    """The run may send, or has sent."""
    DISCARDED = "discarded"
    """Given up before anything was sent; its items are deleted, its refusals kept."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """The definition of a run, before its first row is read.

    `parameters`, `target` and `source` identify it: the same three again are the same work. None of them holds a
    secret. `header` names the input's own columns, for exports. `policy` holds the settings that differ from their
    defaults, as texts by name.
    """

    job: str
    parameters: Mapping[str, str]
    target: str
    source: str
    source_digest: str = ""
    header: tuple[str, ...] = ()
    policy: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(NewRun):
    """A run in the journal. Times are UTC; `name` is the short word that the operator types.

    A run with a `paused_at` sends nothing until a person continues it, in any process. `policy` applies in every
    process that takes the run up. `epoch` counts how often the run was taken up; a write under an older epoch than
    the journal's is refused. The rows of a run with a `purged_at` have no content any more;
    if it `has_only_totals`, they do not prove its totals either.

    A run with an `ended_at` has ended for good: its pending rows are never sent, and hold no other run back. Its last
    undo, `undone_by`, has ended it when it was approved, or a person did for the reason `ended_why`.
    """

    run_id: int
    name: str
    created_at: datetime
    cursor: str | None = None
    frozen_at: datetime | None = None
    approved_at: datetime | None = None
    discarded_at: datetime | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    epoch: int = 0
    purged_at: datetime | None = None
    has_only_totals: bool = False
    ended_at: datetime | None = None
    ended_by: str = ""
    ended_why: str | None = None
    undone_by: str | None = None

    @property
    def stage(self) -> Stage:
        if self.discarded_at:
            return Stage.DISCARDED
        if self.approved_at:
            return Stage.APPROVED
        return Stage.FROZEN if self.frozen_at else Stage.INTAKE


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that works on a run, or took it up last; `since` is UTC, as text."""

    host: str
    process: int
    since: str

    @property
    def sentence(self) -> Said:
        """The process in words; the moment is one that each language writes as its own."""
        day, zone, rest = self.since.partition(" UTC")
        since = datetime.fromisoformat(day).replace(tzinfo=UTC) if zone and not rest else self.since
        return said("process {process} on {host}, since {since}", process=self.process, host=self.host, since=since)

    def __str__(self) -> str:
        return str(self.sentence)


@dataclass(frozen=True, slots=True)
class NewRunner:
    """A process that takes a run up: its command, user and host, and the versions of the program and of the billing.

    `billing` is "" where the billing was not asked. A call of it ends within `call_seconds`, 0 if it sends nothing.
    """

    purpose: str = ""
    who: str = ""
    version: str = ""
    billing: str = ""
    call_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SentSpan:
    """The items of a run that were sent last within so many `seconds` from `at`, in seconds since 1970.

    Of all that were `sent`, `accepted` are in effect, with their `amount`, and `failed` rejected or in doubt. The
    `calls` are more than they are, where some were repeated.
    """

    at: int
    seconds: int
    sent: int
    accepted: int
    failed: int
    calls: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class LookUps:
    """Rows in doubt that were looked up: found in the billing, absent and sent again, or left to a person."""

    found: int = 0
    absent: int = 0
    left: int = 0

    def __bool__(self) -> bool:
        return bool(self.found or self.absent or self.left)


@dataclass(frozen=True, slots=True)
class Runner:
    """A process that took a run up. One without an `ended_at` was killed, or works on it now. Times are UTC.

    `look_ups` are the rows whose outcome it has looked up.
    """

    purpose: str
    who: str
    process: int
    version: str
    billing: str
    began_at: datetime
    ended_at: datetime | None
    look_ups: LookUps


class RowFigures(msgspec.Struct, rename={"entered_twice": "twice", "taken_back_elsewhere": "elsewhere"}):
    """What was read back of the rows of a run: rows as wanted and different, and the sums of both sides.

    Those that are `unreadable` are in no other figure. Of those as wanted the accounts of some had later operations.
    Of the different ones, sent with `different_sum`, another run has entered some as well, whose sums are in `found`,
    another journal has taken some back, and those that are `gone` have no sum there any more.
    """

    as_wanted: int = 0
    different: int = 0
    entered_twice: int = 0
    taken_back_elsewhere: int = 0
    with_later_operations: int = 0
    unreadable: int = 0
    expected: Decimal = Decimal(0)
    found: Decimal = Decimal(0)
    gone: int = 0
    different_sum: Decimal = Decimal(0)

    @property
    def read(self) -> int:
        return self.as_wanted + self.different + self.unreadable


_STORED: Final = {"compared": "", "with_later_operations": "_moved", "not_compared": "_untold"}


class AccountFigures(msgspec.Struct, rename=lambda name: f"accounts{_STORED.get(name, f'_{name}')}"):
    """The balances of the accounts of a run, with the sums of those that were `compared`."""

    compared: int = 0
    expected: Decimal = Decimal(0)
    found: Decimal = Decimal(0)
    different: int = 0
    with_later_operations: int = 0
    not_compared: int = 0

    def __bool__(self) -> bool:
        return bool(self.compared or self.with_later_operations or self.not_compared)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was read back of a run: its rows, its accounts, and of an import its tally."""

    verified_at: datetime
    who: str
    rows: RowFigures
    accounts: AccountFigures = field(default_factory=AccountFigures)
    tally: ImportTally | None = None

    @property
    def is_as_sent(self) -> bool:
        wrong = self.rows.different or self.rows.unreadable or self.accounts.different
        return not (wrong or (self.tally and self.tally.different))


def figures_by_name(rows: RowFigures, accounts: AccountFigures) -> dict[str, str | int]:
    """The counts and sums of a verification as the journal has them; those of accounts only where there are any."""
    found: dict[str, str | int] = msgspec.to_builtins(rows)
    del found["with_later_operations"]
    return found | (msgspec.to_builtins(accounts) if accounts else {})


@dataclass(frozen=True, slots=True)
class RunHistory:
    """The last moment of which a run has a note, in UTC.

    `assumptions` is what its sums rest on and no probe has confirmed, a sentence a line; None where nothing was sent.
    """

    changed_at: datetime
    assumptions: Sentence | None


@dataclass(frozen=True, slots=True)
class ReportRoot:
    """The Merkle root of a report of a run, in hexadecimal digits."""

    run: str
    made_at: datetime
    root: str


class NewItem(msgspec.Struct, frozen=True, gc=False):
    """One row to be frozen.

    `key` is the business key, which must not be entered twice; `label` is the name for people; `lane` is the account,
    with one write at a time; `payload` is the JSON from which the job makes its call; `row` holds the input's own
    cells. An item with a `skip_reason` is frozen as skipped. `undoes` is the item of an earlier run that it takes
    back. `wanted` holds the values that the row asks for where there is no amount: rows with the same key and
    different values contradict each other. `note` is a remark for people before it is sent.
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

    @property
    def is_difference(self) -> bool:
        """Whether `amount` is a difference to what is entered already, and `wanted` the whole sum."""
        return self.amount is not None and self.wanted is not None


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """A row of the input that did not become an item; `column` names the faulty column, None for the whole row.

    A `conflict` is the key on which this row contradicts another: at the end of the intake all rows with that key are
    refused.
    """

    line: int | None
    column: str | None
    label: str
    reason: Sentence
    row: tuple[str, ...] = ()
    conflict: str | None = None


class Page(msgspec.Struct, frozen=True, gc=False):
    """The items and refusals of one page of the source; `cursor` is where the next page begins.

    `left_out` counts the rows that flags leave out, by flag: they become neither items nor refusals. The numbers of
    its items are higher than `above`.
    """

    items: tuple[NewItem, ...]
    refusals: tuple[Refusal, ...]
    cursor: str | None
    left_out: Mapping[str, int] = {}
    above: int = 0


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A frozen item; its fields are in the order of the block `as_items`.

    `number` counts from 1 within its run; `message` is the error, or the reason why it was skipped. `unproven` means
    that its effect was found without a mark when its outcome was looked up, so it may be somebody else's; of an item
    that is not in effect, that it may have had its effect all the same.
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
    message: Said | None
    changed_at: str
    seen: tuple[str, ...] = ()
    """What a look-up has shown to the person who decides on it, or has decided that it is sent, by ids."""
    unproven: bool = False
    change: Decimal | None = None
    """Its amount; of an undo what it takes back, whatever sum its call carries."""

    @property
    def kind(self) -> str:
        """What its message is counted and compared by, "" without one."""
        return kind_of(self.message) if self.message else ""


class Change(msgspec.Struct, frozen=True):
    """A transition of one item to another state, with the billing's answer.

    `created` means that the answer is the id of a new object, which no other item of the run can have; `unproven` is
    as in `Item`.
    """

    item_id: int
    state: State
    answer: str | None = None
    message: str | None = None
    created: bool = False
    unproven: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision on an item: `state` is accepted or pending, `who` a user and host."""

    number: int
    label: str
    state: State
    who: str
    why: str
    decided_at: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command to a run: `who` is a user, host and process, `command` as typed, `answer` its result."""

    who: str
    command: str
    answer: Sentence
    given_at: datetime


class EarlierEntry(msgspec.Struct, frozen=True, gc=False):
    """An item of the journal with the same effect: the same job and key, on the `target` of its run.

    If its run was purged, `wanted` is the digest of what it asked for, `row` is empty, and `is_purged` is true.
    `number` is that of its mark; None where another row of its account has carried it, or counts in its place and
    `is_replaced`. Its call has left at `entered_at`; a reading back changes it later. One that `is_taken_back` is to
    be entered again by an undo of its undo, which is not at its end.
    """

    run: str
    key: str
    amount: Decimal | None
    wanted: str | None
    state: State
    line: int | None
    changed_at: str
    entered_at: str
    target: str
    is_purged: bool = False
    is_replaced: bool = False
    number: int | None = None
    row: tuple[str, ...] = ()
    is_taken_back: bool = False

    @property
    def is_difference(self) -> bool:
        """As in `NewItem`; of a purged item it is not known."""
        return self.amount is not None and self.wanted is not None and not self.is_purged


class StandingItem(msgspec.Struct, frozen=True, gc=False):
    """An item of another run in a lane (account), whose effect stands or may stand."""

    run: str
    lane: str
    key: str
    payload: str
    label: str
    line: int | None
    number: int
    state: State
    is_purged: bool = False


class KnownMark(msgspec.Struct, frozen=True, gc=False):
    """An item of this journal whose mark is in the billing: its run, the run's target, and its state.

    `lane` is that of the entry that bears the mark, `in_lane` that it is the item's own. `amount` is None where the
    journal does not tell what was entered. What `stands` is a row's entry, or what has restored it, that no undo has
    taken back. `first_run`, its `first_job` and `first_number` are the mark at the start of its chain of undos: what
    that has entered, a `sign` of -1 takes back and 1 enters or restores, and it is `taken_back` in all. `in_row` says
    that it is the entry of the row with the key `row_key`.
    """

    run: str
    number: int
    lane: str
    target: str
    state: State
    has_ended: bool
    in_lane: bool
    stands: bool
    amount: Decimal | None
    answer: str | None
    row_key: str
    first_run: str
    first_job: str
    first_number: int
    sign: int
    taken_back: bool
    in_row: bool

    @property
    def had_effect(self) -> bool:
        """Whether the item has, or may have, had its effect according to the journal."""
        never_sent = self.has_ended and self.state is State.PENDING
        return self.state.in_effect or not (self.state.settled or never_sent)

    def is_doubled_by(self, entry_id: str, amount: Decimal | None) -> bool:
        """Whether an entry with the mark of the row's own item is another one than that, of the same sum."""
        return self.in_row and self.state.in_effect and self.answer not in {None, entry_id} and amount == self.amount

    def made(self, entry_id: str, amount: Decimal | None) -> bool:
        """Whether the entry with its mark is its own: by the id, or by lane and amount where no id is known.

        Another copy of the journal may have given the item's number to another row.
        """
        if self.state.in_effect and self.answer:
            return self.answer == entry_id
        return self.in_lane and (self.amount is None or amount is None or self.amount == amount)


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge has removed from a run: rows emptied, rows removed, and what they held."""

    emptied: int = 0
    removed: int = 0
    refusals: int = 0
    calls: int = 0
    answers: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class PendingBefore:
    """The pending items of a lane before another one: the payload of the last, and the sum of all."""

    payload: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Shared:
    """The lanes (accounts) with more than one pending item: their number, their items, and the sum of these."""

    lanes: int = 0
    items: int = 0
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows of one account merged into one: the item that carries the others, and why these are skipped.

    With a `payload` the carrier's `amount` is the sum of all; without one the carrier replaces the others.
    """

    carrier: int
    carried: tuple[int, ...]
    reason: str
    payload: str | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of a run, to be compared with those of another one by its key; `amount` is what it asks for in all."""

    number: int
    key: str
    line: int | None
    label: str
    state: State
    kind: str
    taken_back: bool
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The lines of two rows of one key with different sums, and their name for people."""

    first: int | None
    second: int | None
    label: str


@dataclass(frozen=True, slots=True)
class Differences:
    """Of the rows that a delta is to send those with a difference to what is entered, up or down, and new ones."""

    changed: int
    raised: Decimal
    lowered: Decimal
    new: int
    new_sum: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """The items of a run by state: counts and sums of amounts.

    `refused` rows and rows `left_out`, by flag, are no items. All three together are the rows read. Of the skipped
    items, the money of `entered_before` is left out, as an earlier run has entered it or the account has another
    balance, and those `left_alone` by an undo are in effect for all that is known.
    `taken_back` are the items in effect that were taken back, and not restored since, with their sum: they are in the
    counts and sums of their states, as are steps of an import that have `gone_along` with their subscriber. They are
    `restorable_by` taking back that undo, which has really changed something and is not final; "" where none is.
    Of the others so many were `different` when they were `read_back` last, `twice` of them entered twice, and others
    `taken_back_elsewhere`: they were sent with `not_as_sent`, and all sums in the billing were more than was sent by
    the `gap`, or less. `unanswered` are those that are to be sent again, or count as refused, and may have had their
    effect all the same.

    The amounts of an undo are what its rows take back, negative, and those of an undo of an undo what they restore.
    `merged` are the skipped rows that another row of their account carries, and `merged_amount` is their own sum: it
    is part of the amounts of the rows that carry them. Of the rejected items the program itself has kept those
    `held_back` from being sent. The unchanged rows of a delta, which it skips, ask for no difference: their amount is
    0.
    """

    counts: Mapping[State, int] = field(default_factory=dict)
    amounts: Mapping[State, Decimal] = field(default_factory=dict)
    refused: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    entered_before: int = 0
    left_alone: int = 0
    taken_back: int = 0
    sum_taken_back: Decimal = Decimal(0)
    restorable_by: str = ""
    gone_along: int = 0
    read_back: datetime | None = None
    different: int = 0
    twice: int = 0
    taken_back_elsewhere: int = 0
    gap: Decimal = Decimal(0)
    not_as_sent: Decimal = Decimal(0)
    unanswered: int = 0
    has_ended: bool = False
    merged: int = 0
    merged_amount: Decimal = Decimal(0)
    held_back: Subtotal = NOTHING

    @property
    def read(self) -> int:
        return self.frozen + self.refused + sum(self.left_out.values())

    @property
    def frozen(self) -> int:
        """The number of items; a corrected row counts once, as the one that has replaced it."""
        return sum(self.counts.values()) - self.count(State.REPLACED)

    @property
    def amount(self) -> Decimal:
        return sum(self.amounts.values(), Decimal(0)) - self.amount_of(State.REPLACED)

    def count(self, *states: State) -> int:
        return sum(self.counts.get(state, 0) for state in states)

    def amount_of(self, *states: State) -> Decimal:
        return sum((self.amounts.get(state, Decimal(0)) for state in states), Decimal(0))

    def count_where(self, **properties: Unpack[StateProperties]) -> int:
        """The number of items in states with all these properties.

        What is pending in a run that has ended is never sent: it counts as settled, and no work is left on it.
        """
        states = set(states_where(**properties))
        if self.has_ended and properties.keys() & {"open", "settled", "to_send"}:
            states.discard(State.PENDING)
        return self.count(*states)

    def sending_as(self, state: State) -> "Totals":
        """The same with what is being sent in another state."""
        if not self.counts.get(State.SENDING):
            return self
        both = (State.SENDING, state)
        counts = {**self.counts, State.SENDING: 0, state: self.count(*both)}
        amounts = {**self.amounts, State.SENDING: Decimal(0), state: self.amount_of(*both)}
        return replace(self, counts=counts, amounts=amounts)

    @property
    def standing(self) -> int:
        """The number of items in effect that were not taken back."""
        return self.count_where(in_effect=True) - self.taken_back - self.gone_along

    @property
    def lacks(self) -> bool:
        """Whether money of the input was left out, or an undo has left something in effect."""
        return bool(self.entered_before or self.left_alone)

    @property
    def unsent(self) -> int:
        """The number of items of a run that has ended which were not sent, and never are."""
        return self.count(State.PENDING) if self.has_ended else 0


@dataclass(frozen=True, slots=True)
class RowAmount:
    """What a row asks for itself, or takes back as one of an undo; and the number of the row that carries it.

    `carries` is its amount with those of the rows that are merged into it, which an undo of it takes back.
    """

    amount: Decimal | None
    carries: Decimal | None
    merged_into: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for the state of items: its kind (`kind_of`), the count and sum of its items, and the first one."""

    kind: str
    items: int
    amount: Decimal
    line: int | None
    label: str
    example: Sentence


@dataclass(frozen=True, slots=True)
class Correction:
    """A corrected row for a run: its item, and the faulty row that it replaces.

    The faulty row is a rejected item of the run, by its number, or a refused row, by its id.
    """

    item: NewItem
    number: int | None = None
    refusal_id: int | None = None
