"""The states of an item, and the one table that says which may follow which.

The journal's trigger and the table in `docs/architecture.md` are both drawn from `TRANSITIONS`.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where an item stands. The value is the word used in the journal, on screen and in exports."""

    PENDING = "pending"
    """Frozen, to be sent."""
    SKIPPED = "skipped"
    """Nothing to do."""
    SENDING = "sending"
    """The intent is durable; the call may be on its way."""
    ACCEPTED = "accepted"
    """The billing took it."""
    REJECTED = "rejected"
    """The billing refused this row for good."""
    UNKNOWN = "unknown"
    """It may have had its effect or not: only a look-up decides."""
    MANUAL = "manual"
    """A person has to decide."""
    APPLIED = "applied"
    """Read back from the billing as wanted."""
    REPLACED = "replaced"
    """Rejected, and a corrected row of the same run has taken its place."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One permitted step of an item; `source` is None for the first state of a newly frozen one."""

    source: State | None
    target: State
    when: str


TRANSITIONS: tuple[Transition, ...] = (
    Transition(None, State.PENDING, "frozen"),
    Transition(
        None,
        State.SKIPPED,
        "nothing to do: already as wanted, a duplicate of the input, entered by an earlier run",
    ),
    Transition(
        State.PENDING,
        State.SKIPPED,
        "before the run is approved: another row of its account stands for it (`--shared-accounts`)",
    ),
    Transition(
        State.PENDING,
        State.SENDING,
        "the intent is durable (calls that must not be repeated: before the first byte leaves)",
    ),
    Transition(State.SENDING, State.ACCEPTED, "answered, no error at either level"),
    Transition(State.SENDING, State.REJECTED, "the billing refused the row for good"),
    Transition(State.SENDING, State.PENDING, "provably not sent, or refused as busy; to be tried again"),
    Transition(
        State.SENDING,
        State.UNKNOWN,
        "anything else: time-out after sending, connection lost, 5xx, unreadable answer, redirect, the process died",
    ),
    Transition(State.UNKNOWN, State.ACCEPTED, "found in the billing, equal to what was sent"),
    Transition(
        State.UNKNOWN,
        State.PENDING,
        "provably absent, after the settle delay and with the stacks drained",
    ),
    Transition(State.UNKNOWN, State.MANUAL, "found but different, or no way to look"),
    Transition(
        State.MANUAL, State.ACCEPTED, "looked up again and found equal, or a person decided that it is in the billing"
    ),
    Transition(State.MANUAL, State.PENDING, "a person decided that it is not in the billing and is to be sent"),
    Transition(State.ACCEPTED, State.APPLIED, "read back as wanted"),
    Transition(
        State.ACCEPTED,
        State.UNKNOWN,
        "its answer may be another row's: something came over its connection that nobody had asked for, or another "
        "row of the run has the same new id",
    ),
    Transition(State.REJECTED, State.REPLACED, "a corrected row of the input has taken its place"),
)

OPEN: frozenset[State] = frozenset({State.PENDING, State.SENDING, State.UNKNOWN})
"""States that a run still has work with: while one is left, the run can be resumed."""


def may_follow(source: State | None, target: State) -> bool:
    """Tell whether `target` may directly follow `source`."""
    return any(step.source == source and step.target == target for step in TRANSITIONS)


def as_markdown() -> str:
    """The table as it stands in `docs/architecture.md`."""
    rows = ["| from | to | when |", "|---|---|---|"]
    rows += [f"| {step.source or '–'} | {step.target} | {step.when} |" for step in TRANSITIONS]
    return "\n".join(rows)
