"""The tally of an import: subscribers and balances by folder, tariff and operator, the file beside the billing.

It is kept with the verification that it was made by, and bounded: a kind has `MAX_GROUPS` groups, and of the extra
subscribers `MAX_EXTRA` are kept; what is beyond is summed up, and counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import Final

import msgspec

MAX_GROUPS: Final = 200
"""Groups of a kind that a tally keeps; the others are summed up in one."""

MAX_EXTRA: Final = 20_000
"""Extra subscribers that a tally keeps; the others are only counted."""


class TallyKind(StrEnum):
    """What subscribers are counted by."""

    FOLDER = "folder"
    TARIFF = "tariff"
    OPERATOR = "operator"


class Subtotal(msgspec.Struct, frozen=True, omit_defaults=True, rename={"rows": "subscribers", "amount": "balance"}):
    """A number of rows and their amount in roubles; the amounts of `unreadable` ones are not in it.

    In a tally, as the journal keeps it, the rows are subscribers and the amounts balances.
    """

    rows: int = 0
    amount: Decimal = Decimal(0)
    unreadable: int = 0

    @property
    def is_readable(self) -> bool:
        """Whether the amount of any of them can be read, where there are rows."""
        return self.unreadable < self.rows or not self.rows

    def __add__(self, other: "Subtotal") -> "Subtotal":
        return Subtotal(self.rows + other.rows, self.amount + other.amount, self.unreadable + other.unreadable)

    def __sub__(self, other: "Subtotal") -> "Subtotal":
        return Subtotal(self.rows - other.rows, self.amount - other.amount, self.unreadable - other.unreadable)

    def __bool__(self) -> bool:
        return bool(self.rows or self.amount)


NOTHING: Final = Subtotal()


@dataclass(frozen=True, slots=True)
class TallyGroup:
    """The subscribers of one folder, tariff or operator. A `key` of "" is none, one of `ALL_OTHERS` a sum of groups.

    `file` is what the table asks for, `not_entered` the part of it that is not in the billing as the journal knows.
    `billing` are those of the table's subscribers that the billing has in the group. `moved` are those with later
    operations, and by how much these have moved their balances. `extra` are others, which are not in the table.
    """

    kind: TallyKind
    key: str
    name: str = ""
    file: Subtotal = NOTHING
    billing: Subtotal = NOTHING
    not_entered: Subtotal = NOTHING
    moved: Subtotal = NOTHING
    extra: Subtotal = NOTHING
    groups: int = 1

    @property
    def difference(self) -> Subtotal:
        """What the billing has more than the table asks for."""
        return self.billing - self.file

    @property
    def is_different(self) -> bool:
        """Whether subscribers are missing or too many, or balances differ by more than later operations explain."""
        return bool(self.difference.rows) or self.difference.amount != self.moved.amount

    def joined(self, other: "TallyGroup") -> "TallyGroup":
        sums = ("file", "billing", "not_entered", "moved", "extra", "groups")
        return TallyGroup(
            self.kind, ALL_OTHERS, **{name: getattr(self, name) + getattr(other, name) for name in sums}
        )


ALL_OTHERS: Final = "*"
"""The key of a group that sums up those for which there is no room."""


@dataclass(frozen=True, slots=True)
class ExtraSubscriber:
    """A subscriber of a folder of the import that is not in its table; a `folder` of 0 is the top."""

    abonent_id: int
    number: str
    name: str
    folder: int
    balance: Decimal


@dataclass(frozen=True, slots=True)
class ImportTally:
    """The groups, different ones first within their kind; the number of different ones, and of extra subscribers.

    `first_extra` are the first of these. `refused` is the number of rows of the table that were refused before
    sending: they are in no group.
    """

    groups: tuple[TallyGroup, ...] = ()
    different: int = 0
    refused: int = 0
    extra: int = 0
    first_extra: tuple[ExtraSubscriber, ...] = ()

    def of(self, kind: TallyKind) -> tuple[TallyGroup, ...]:
        return tuple(one for one in self.groups if one.kind is kind)


def arranged(groups: Iterable[TallyGroup]) -> tuple[TallyGroup, ...]:
    by_kind: dict[TallyKind, list[TallyGroup]] = {kind: [] for kind in TallyKind}
    for one in groups:
        by_kind[one.kind].append(one)
    kept: list[TallyGroup] = []
    for of_kind in by_kind.values():
        of_kind.sort(key=lambda one: (not one.is_different, -max(one.file.rows, one.billing.rows), one.name, one.key))
        if len(of_kind) > MAX_GROUPS:
            of_kind[MAX_GROUPS - 1 :] = [summed(of_kind[MAX_GROUPS - 1 :])]
        kept += of_kind
    return tuple(kept)


def summed(groups: Sequence[TallyGroup]) -> TallyGroup:
    return reduce(TallyGroup.joined, groups)
