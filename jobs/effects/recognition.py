"""Whether the answers of a billing say whose they are: learned from them, for nobody has documented it.

A call whose answer names its row may be sent over a connection that other answers come over; any other needs one of
its own (`billing.api.wire`). So the calls of an effect have connections of their own until an answer has named its
row, and again once an answer that came over a shared connection names none. That one is `Lost`.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from billing.directory.values import plain_value, same_value
from checkpoints.records import Item
from engine.evidence import Lost


class Names(Enum):
    """What an answer says of whose it is."""

    OURS = auto()
    """It names the row, in a way that no answer to another row does."""
    NOBODY = auto()
    """It may be the row's, and says nothing against it."""
    ANOTHER = auto()
    """It is about something else."""


NAMELESS: Final = Lost("the answer does not say whose it is, and came over a connection that other answers come over")


def says(fields: Mapping[str, object], name: str, value: str | None) -> bool:
    """Whether a field of an answer has this value; one that cannot be read has another."""
    try:
        return same_value(name, plain_value(name, fields[name]), value)
    except ValueError:
        return False


class Recognition:
    """Learns from each answer of one effect; serves one event loop."""

    def __init__(self) -> None:
        self._named = False

    def row(self, item: Item) -> int | None:
        """The row that the answer will name; None where the call needs a connection of its own."""
        return item.item_id if self._named else None

    def believe(self, named: Names, row: int | None) -> bool:
        """Whether an answer is to be taken for that to the row; it came over the connection that `row` chose."""
        if named is Names.ANOTHER:
            return False
        self._named = named is Names.OURS
        return self._named or row is None
