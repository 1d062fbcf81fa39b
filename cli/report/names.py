"""The names of states in a report, in the language of its reader."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from checkpoints.states import State
from texts.said import Said, said

STATES: Final[Mapping[State, Said]] = MappingProxyType(
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
REFUSED: Final = said("refused before sending")
LEFT_OUT: Final = said("left out of the run")
