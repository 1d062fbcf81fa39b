"""The names of rows and their states, of stages, and of what holds a run, as people read them.

Scripts, files and the journal have the words of `State` and `Holds` themselves.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.profile import Standing
from checkpoints.records import Item, Reason
from checkpoints.states import State
from cli.terminal.texts import printable
from engine.pacing.holds import BARRIER, BILLING, IN_DOUBT, PAUSED
from texts.said import Said, said

STATE_NAMES: Final[Mapping[State, Said]] = MappingProxyType(
    {
        State.PENDING: said("pending"),
        State.SKIPPED: said("skipped"),
        State.SENDING: said("sending"),
        State.ACCEPTED: said("accepted"),
        State.REJECTED: said("rejected"),
        State.UNKNOWN: said("unknown"),
        State.MANUAL: said("manual"),
        State.APPLIED: said("applied"),
        State.REPLACED: said("replaced"),
    }
)

OUTCOMES: Final[Mapping[State, Said]] = MappingProxyType(
    {
        State.PENDING: said("to be sent"),
        State.SKIPPED: said("skipped: nothing to do"),
        State.SENDING: said("being sent"),
        State.ACCEPTED: said("accepted, not read back"),
        State.REJECTED: said("rejected by the billing"),
        State.UNKNOWN: said("in doubt: to be looked up"),
        State.MANUAL: said("in doubt: a person decides"),
        State.APPLIED: said("applied: read back as sent"),
        State.REPLACED: said("rejected, and replaced by a corrected row"),
    }
)
"""What became of rows, as a report says it."""

REFUSED: Final = said("refused")
"""Rows of the input that never became part of the run."""

LEFT_OUT: Final = said("left out")
"""Rows that a flag leaves out."""

STAGE_NAMES: Final[Mapping[str, Said]] = MappingProxyType(
    {
        str(stage): stage
        for stage in (
            said("running"),
            said("stopped"),
            said("done"),
            said("purged"),
            said("given up"),
            said("reading, stopped"),
            said("not approved"),
        )
    }
)
"""The stages of a run, by the words that scripts get."""

STANDING_NAMES: Final[Mapping[Standing, Said]] = MappingProxyType(
    {
        Standing.KNOWN: said("known"),
        Standing.DOCUMENTED: said("documented"),
        Standing.ASSUMED: said("assumed"),
    }
)
"""How well a fact of the billing is known."""

_HOLDERS: Final[Mapping[str, Said]] = MappingProxyType(
    {
        IN_DOUBT: said("in doubt"),
        PAUSED: said("paused"),
        BILLING: said("billing"),
        BARRIER: said("barrier"),
    }
)


def name_of_holder(who: str) -> str:
    """What holds a run, by its word in `Holds`; a gauge has the name that it was given."""
    return _HOLDERS.get(who, who)


def kind_of(reason: Reason) -> str:
    """The kind of a reason in the reader's language: a reason begins with its kind, before the first colon."""
    if isinstance(reason.example, Said):
        return printable(reason.example).partition(":")[0]
    return printable(reason.kind)


def place_of(item: Item) -> Said:
    """The place of a row: its line of a file; the rows of a query have no lines, but their numbers in the run."""
    return said("line {line}", line=item.line) if item.line else said("row {number}", number=item.number)
