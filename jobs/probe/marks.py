"""The mark of an operation that a probe has entered, as `[cm-probe k7m2q/3 before 500.00]`.

It is none of `jobs.access.marks`: a run never takes a probe's operation for its own or for another run's.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.money import wire

_MARK: Final = re.compile(
    r"\[cm-probe ([a-z0-9]{1,16})/([1-9][0-9]{0,3})"
    r"(?: undoes ([1-9][0-9]{0,17}))?(?: before (-?[0-9]{1,15}(?:\.[0-9]{1,10})?))?\]"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Which probe entered an operation, and its number there.

    `undoes` is the id of the operation that this one takes back; `before` the balance in roubles that an operation of
    type 8 has changed.
    """

    probe: str
    number: int
    undoes: int | None = None
    before: Decimal | None = None

    def __str__(self) -> str:
        undoes = f" undoes {self.undoes}" if self.undoes is not None else ""
        before = f" before {wire(self.before)}" if self.before is not None else ""
        return f"[cm-probe {self.probe}/{self.number}{undoes}{before}]"


def find(comment: str) -> Mark | None:
    """The mark in a comment, None where there is none."""
    found = _MARK.search(comment)
    if found is None:
        return None
    probe, number, undoes, before = found.groups()
    return Mark(probe, int(number), int(undoes) if undoes else None, Decimal(before) if before else None)
