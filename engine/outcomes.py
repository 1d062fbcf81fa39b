"""From evidence to outcome: the one place that decides what an item becomes (table: `docs/architecture.md`)."""

from enum import Enum, auto
from typing import assert_never

import msgspec

from checkpoints.states import State
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused


class Cause(Enum):
    """What an outcome comes from: whoever paces the calls asks for it."""

    ANSWERED = auto()
    """The billing has worked on the row as it should: it has taken it, or refused it."""
    HALFWAY = auto()
    """A first call of the row was answered, and keeps the billing busy: it goes again, as was to be expected."""
    BUSY = auto()
    """It is busy, with this row or with all: nobody can tell."""
    NOT_NOW = auto()
    """The billing as a whole takes nothing for now, and says so."""
    REFUSES_ALL = auto()
    """The billing refuses every row until somebody acts: the run stops."""
    NOT_REACHED = auto()
    """Not a byte has left: the billing may be away."""
    NO_ANSWER = auto()
    """Nobody knows what came of the call: the billing may be away."""
    STOPPED = auto()
    """The run was stopped before the call left."""

    @property
    def away(self) -> bool:
        """Whether it speaks for a billing that is away."""
        return self is Cause.NOT_REACHED or self is Cause.NO_ANSWER

    @property
    def says_nothing_of_row(self) -> bool:
        """Whether the row had no try: nothing was done with it, and any other row would have fared alike."""
        return self in {Cause.NOT_NOW, Cause.REFUSES_ALL, Cause.NOT_REACHED, Cause.STOPPED}


class Outcome(msgspec.Struct, frozen=True):
    """The next state of an item, and why.

    A pending item goes again, no sooner than `retry_after` seconds when the billing has asked for that. `created`
    tells that no other row can have this answer, `own` that the message tells of the run's own doing.
    """

    state: State
    cause: Cause
    answer: str | None = None
    message: str | None = None
    retry_after: float | None = None
    created: bool = False
    own: bool = False

    @property
    def answered(self) -> bool:
        """Whether the billing has worked on the row as it should."""
        return self.cause is Cause.ANSWERED or self.cause is Cause.HALFWAY


def decide(evidence: Evidence, *, repeatable: bool) -> Outcome:  # noqa: PLR0911 - a table
    """The outcome of one call. What must not be repeated is never sent again on a guess."""
    match evidence:
        case Accepted(answer, note, created, own):
            return Outcome(State.ACCEPTED, Cause.ANSWERED, answer, note, created=created, own=own)
        case RowRefused(text):
            return Outcome(State.REJECTED, Cause.ANSWERED, message=text)
        case Busy(text, halfway=True):
            return Outcome(State.PENDING, Cause.HALFWAY, message=text)
        case Busy(text, retry_after):
            cause = Cause.NOT_NOW if retry_after else Cause.BUSY
            return Outcome(State.PENDING, cause, message=text, retry_after=retry_after)
        case NotSent(text):
            return Outcome(State.PENDING, Cause.NOT_REACHED, message=text)
        case SystemRefused(text):
            return Outcome(State.PENDING, Cause.REFUSES_ALL, message=text)
        case Lost(text):
            return Outcome(State.PENDING if repeatable else State.UNKNOWN, Cause.NO_ANSWER, message=text)
        case _:
            assert_never(evidence)
