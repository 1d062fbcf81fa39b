"""From evidence to outcome: the one place that decides what an item becomes (table: `docs/architecture.md`)."""

from typing import assert_never

import msgspec

from checkpoints.states import State
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused


class Outcome(msgspec.Struct, frozen=True):
    """The next state of an item.

    A pending one goes again, no sooner than `retry_after` seconds when the billing has asked for that. `unsent` marks
    what says nothing about the row, because not a byte of it left; `away` what speaks for the billing being down,
    `not_now` what it says of itself as a whole; `stop` what ends the run: the message is the reason. One that
    is `halfway` goes again as was to be expected. `created` tells that no other row can have this answer.
    """

    state: State
    answer: str | None = None
    message: str | None = None
    retry_after: float | None = None
    unsent: bool = False
    away: bool = False
    not_now: bool = False
    stop: bool = False
    halfway: bool = False
    created: bool = False
    own: bool = False

    @property
    def answered(self) -> bool:
        """Whether the billing has worked on the row as it should."""
        return self.state is State.ACCEPTED or self.state is State.REJECTED or self.halfway


def decide(evidence: Evidence, *, repeatable: bool) -> Outcome:  # noqa: PLR0911 - a table
    """The outcome of one call. What must not be repeated is never sent again on a guess."""
    match evidence:
        case Accepted(answer, note, created, own):
            return Outcome(State.ACCEPTED, answer=answer, message=note, created=created, own=own)
        case RowRefused(text):
            return Outcome(State.REJECTED, message=text)
        case Busy(text, halfway=True):
            return Outcome(State.PENDING, message=text, halfway=True)
        case Busy(text, retry_after):
            return Outcome(State.PENDING, message=text, retry_after=retry_after, not_now=bool(retry_after))
        case NotSent(text):
            return Outcome(State.PENDING, message=text, unsent=True, away=True)
        case SystemRefused(text, passing=True):
            return Outcome(State.PENDING, message=text, unsent=True, not_now=True)
        case SystemRefused(text):
            return Outcome(State.PENDING, message=text, unsent=True, stop=True)
        case Lost(text):
            return Outcome(State.PENDING if repeatable else State.UNKNOWN, message=text, away=True)
        case _:
            assert_never(evidence)
