"""Outcome of a call, decided from its evidence in this one place (table: `docs/architecture.md`)."""

from enum import Enum
from typing import assert_never

import msgspec

from checkpoints.records import Change, Item
from checkpoints.states import State
from engine.evidence import Accepted, AlreadyThere, Busy, Lost, NotSent, RowRefused, Seen, SystemRefused, Undecided


class Cause(Enum):
    """The cause of an outcome, for the pacing of the calls."""

    answered: bool
    """The billing processed the row."""
    away: bool
    """The cause suggests that the billing is away."""
    says_nothing_of_row: bool
    """It is independent of the row: the row was not processed, and any other would fail too."""

    #             word            answered away  says nothing of row
    ANSWERED = "answered", True, False, False
    """The billing processed the row: it accepted or refused it."""
    HALFWAY = "halfway", True, False, False
    """A first call of the row was answered and keeps the billing busy: the row is sent again, as expected."""
    BUSY = "busy", False, False, False
    """The billing is busy, with this row or with all: the answer does not say which."""
    NOT_NOW = "not_now", False, False, True
    """The billing as a whole accepts no calls for now, and says so."""
    REFUSES_ALL = "refuses_all", False, False, True
    """The billing refuses every row until a person acts: the run stops."""
    NOT_REACHED = "not_reached", False, True, True
    """No byte left: the billing may be away."""
    NO_ANSWER = "no_answer", False, True, False
    """The effect of the call is unknown: the billing may be away."""
    STOPPED = "stopped", False, False, True
    """The run was stopped before the call left."""

    def __init__(self, _: str, *columns: bool) -> None:
        self.answered, self.away, self.says_nothing_of_row = columns


class Outcome(msgspec.Struct, frozen=True):
    """The next state of an item, and its cause.

    A pending item is sent again, after at least `retry_after` seconds if the billing asked for that. `created` means
    that no other row can have this answer, `own` that the message is about the run's own work, `unproven` that the
    effect may be somebody else's.
    """

    state: State
    cause: Cause
    answer: str | None = None
    message: str | None = None
    retry_after: float | None = None
    created: bool = False
    own: bool = False
    unproven: bool = False

    def change_of(self, item: Item) -> Change:
        return Change(item.item_id, self.state, self.answer, self.message, self.created, self.unproven)


def decide(evidence: Seen, *, only_reads: bool = False) -> Outcome:
    """The outcome of one call. One that `only_reads` has no effect that could be unknown."""
    doubtful, refused = (State.PENDING, State.REJECTED) if only_reads else (State.UNKNOWN, State.UNCONFIRMED)
    match evidence:
        case Accepted(answer, note, created, own, unproven=unproven):
            return Outcome(State.ACCEPTED, Cause.ANSWERED, answer, note, created=created, own=own, unproven=unproven)
        case AlreadyThere(text, answer):
            return Outcome(State.SKIPPED, Cause.ANSWERED, answer, text)
        case RowRefused(text, recognised):
            return Outcome(State.REJECTED if recognised else refused, Cause.ANSWERED, message=text)
        case Busy(text, halfway=True):
            return Outcome(State.PENDING, Cause.HALFWAY, message=text)
        case Busy(text, retry_after, recognised=recognised):
            state, cause = State.PENDING if recognised else doubtful, Cause.NOT_NOW if retry_after else Cause.BUSY
            return Outcome(state, cause, message=text, retry_after=retry_after)
        case NotSent(text):
            return Outcome(State.PENDING, Cause.NOT_REACHED, message=text)
        case SystemRefused(text, recognised):
            return Outcome(State.PENDING if recognised else doubtful, Cause.REFUSES_ALL, message=text)
        case Lost(text):
            return Outcome(doubtful, Cause.NO_ANSWER, message=text)
        case Undecided(text):
            return Outcome(State.MANUAL, Cause.ANSWERED, message=text)
        case _:
            assert_never(evidence)
