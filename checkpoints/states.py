"""The states of an item with their properties, and the table of permitted transitions.

Every difference in behaviour between states is a column here. Python reads a property of a state (`item.state.open`)
or selects states by property (`states_where(in_effect=True)`). The journal's triggers and the table in
`docs/architecture.md` are generated from `TRANSITIONS`.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, Self, TypedDict, Unpack


class State(StrEnum):
    """The state of an item. The value is the word used in the journal, on screen and in exports.

    A new state is one line here, and its steps in `TRANSITIONS`; a line without all columns fails at import.
    """

    open: bool
    """The run still has work to do on it: a run with such an item can be resumed."""
    settled: bool
    """No work is left on it, neither for the run nor for a person."""
    in_effect: bool
    """The billing accepted it: it can be verified and taken back."""
    counts_money: bool
    """Its effect is in the billing or may be: its amount counts as sent."""
    to_send: bool
    """It is to be sent, or is being sent."""
    in_doubt: bool
    """Whether it had its effect is unknown: a look-up decides."""
    rejected: bool
    """The billing rejected it: a corrected row may replace it, or has replaced it."""
    trouble: bool
    """The short progress line shows it."""
    explained: int
    """The position of its reasons in the closing screen, from 1; 0 if they are not shown."""
    style: str
    """The Rich style of its word on screen."""
    export: str
    """The file of a whole export that lists it, named by a state; "" for none."""

    # fmt: off
    #                            open   sett-  in     counts to     in     rejec- trou-  explained         export
    #             word                  led    effect money  send   doubt  ted    ble       style
    PENDING     = "pending",     True,  False, False, False, True,  False, False, False, 0, "dim",         ""
    """Frozen, to be sent."""
    SKIPPED     = "skipped",     False, True,  False, False, False, False, False, False, 5, "dim",         ""
    """Nothing to do."""
    SENDING     = "sending",     True,  False, False, True,  True,  False, False, False, 0, "cyan",        "unknown"
    """The intent is durable; the call may be under way."""
    ACCEPTED    = "accepted",    False, True,  True,  True,  False, False, False, False, 6, "green",       "accepted"
    """The billing accepted it."""
    REJECTED    = "rejected",    False, True,  False, False, False, False, True,  True,  1, "red",         "rejected"
    """The billing rejected this row for good."""
    UNCONFIRMED = "unconfirmed", True,  False, False, True,  False, True,  False, True,  3, "yellow",      "unknown"
    """Refused, but not by a word that is known to be the billing's: a look-up decides."""
    UNKNOWN     = "unknown",     True,  False, False, True,  False, True,  False, True,  4, "yellow",      "unknown"
    """Its effect is unknown: a look-up decides."""
    MANUAL      = "manual",      False, False, False, True,  False, False, False, True,  2, "bold yellow", "manual"
    """A person has to decide."""
    APPLIED     = "applied",     False, True,  True,  True,  False, False, False, False, 7, "bold green",  "accepted"
    """Read back from the billing as wanted."""
    REPLACED    = "replaced",    False, True,  False, False, False, False, True,  False, 0, "dim",         ""
    """Rejected, and replaced by a corrected row of the same run."""
    # fmt: on

    def __new__(cls, word: str, *columns: Any) -> Self:  # noqa: ANN401 - each as its column is declared
        """Build a state from its line; the columns are in the order of their declaration."""
        state = str.__new__(cls, word)
        state._value_ = word
        for name, value in zip(cls.__annotations__, columns, strict=True):
            setattr(state, name, value)
        return state


class StateProperties(TypedDict, total=False):
    """The properties by which states are selected."""

    open: bool
    settled: bool
    in_effect: bool
    counts_money: bool
    to_send: bool
    in_doubt: bool
    rejected: bool
    trouble: bool


@cache
def states_where(**properties: Unpack[StateProperties]) -> tuple[State, ...]:
    wanted = properties.items()
    return tuple([state for state in State if wanted <= vars(state).items()])


@dataclass(frozen=True, slots=True)
class Transition:
    """One permitted step of an item; `source` is None for the first state of a newly frozen one."""

    source: State | None
    target: State
    when: str


TRANSITIONS: Final = tuple(
    Transition(source, target, when)
    for source, steps in {
        None: {
            State.PENDING: "frozen",
            State.SKIPPED: "nothing to do: already as wanted, a duplicate of the input, entered by an earlier run",
        },
        State.PENDING: {
            State.SKIPPED: "before the run is approved: another row of its account stands for it, as the "
            "operator has said",
            State.SENDING: "the intent is durable (calls that must not be repeated: before the first byte leaves)",
            State.REJECTED: "not sent: a step that it needs was refused",
        },
        State.SENDING: {
            State.ACCEPTED: "answered, no error at either level",
            State.REJECTED: "the billing rejected the row for good, by an error that is known",
            State.SKIPPED: "not sent: since the list was made somebody else has brought about what it asks for",
            State.UNCONFIRMED: "refused by a page or an error that is not known, which may be said after the effect",
            State.PENDING: "provably not sent, or refused as busy; to be tried again",
            State.UNKNOWN: "anything else: time-out after sending, connection lost, 5xx, unreadable answer, "
            "redirect, the process died",
            State.MANUAL: "not sent: an equal entry without a mark has come into the billing since the list was made",
        },
        State.UNKNOWN: {
            State.ACCEPTED: "found in the billing, equal to what was sent",
            State.PENDING: "provably absent, after the settle delay and with the stacks drained",
            State.MANUAL: "found but different, or no way to look",
            State.SKIPPED: "found in the billing, and another run of the journal has made it",
        },
        State.UNCONFIRMED: {
            State.ACCEPTED: "found in the billing, equal to what was sent",
            State.REJECTED: "provably absent, after the settle delay and with the stacks drained",
            State.MANUAL: "found but different, or no way to look",
            State.SKIPPED: "found in the billing, and another run of the journal has made it",
        },
        State.MANUAL: {
            State.SKIPPED: "looked up again and found, and another run of the journal has made it",
            State.ACCEPTED: "looked up again and found equal, or a person decided that it is in the billing",
            State.PENDING: "a person decided that it is not in the billing and is to be sent",
        },
        State.ACCEPTED: {
            State.APPLIED: "read back as wanted",
            State.UNKNOWN: "its answer may be another row's: something came over its connection that nobody had "
            "asked for, or another row of the run has the same new id",
        },
        State.APPLIED: {
            State.ACCEPTED: "read back again, and not as wanted any more",
        },
        State.REJECTED: {
            State.REPLACED: "a corrected row of the input has taken its place",
        },
    }.items()
    for target, when in steps.items()
)


def may_follow(source: State | None, target: State) -> bool:
    return any(step.source == source and step.target == target for step in TRANSITIONS)


def as_markdown() -> str:
    """The table of transitions in `docs/architecture.md`."""
    rows = ["| from | to | when |", "|---|---|---|"]
    rows += [f"| {step.source or '–'} | {step.target} | {step.when} |" for step in TRANSITIONS]
    return "\n".join(rows)
