"""`python -m lab.crash.stranger BILLING STATEMENTS`: somebody else at work on a billing, while the load lies frozen.

A process of its own, as whoever opens the billing's file can hang on what a killed process has left locked there. It
changes the tables past the API, so the ledger has the effects of the load alone.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.database.sql_blocks import sql_block
from lab.mock.facts import ACT, OPENING_BALANCE, RECEIPT, SCALE

NAME: Final = "Чужая рука"
"""The comment of what a stranger creates."""
MARK: Final = f"{NAME} [cm zzzzz/7]"
"""The same with the mark of a run that no journal here knows."""

OPERATIONS: Final = "finance_operations"
_PAID: Final = Decimal(50)


class Deed(StrEnum):
    """What a stranger does to a row that has not been sent."""

    CREATES = "creates"
    """He creates what the row is to create, by hand."""
    ENTERS = "enters"
    """He enters it from another journal, with the mark of its run."""
    RENAMES = "renames"
    """He gives the contract number to another subscriber."""
    MERGES = "merges"
    """He gives the subscriber the account of another one."""
    PAYS = "pays"
    """He enters a receipt of another sum."""
    CHARGES = "charges"
    """He enters an act of the row's sum."""
    DELETES = "deletes"
    """He deletes what the row is about."""


CREATING: Final = frozenset({Deed.CREATES, Deed.ENTERS})
"""Deeds that need something that the row creates."""

Value: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class Victim:
    """A row in the hands of a stranger, who does not know of the row.

    `subscriber` is whose it is, None for nobody's; `other` is a subscriber of no row. `table` and `object` are what
    the row changes. `creates` is the table of what it creates, `kind` the type, service or attribute there, and
    `value` its amount or text. `cells` are those of a subscriber that an import creates.
    """

    key: str
    subscriber: int | None
    other: int
    table: str
    object: int
    creates: str = ""
    kind: int = 0
    value: Decimal | str = ""
    cells: Mapping[str, Value] = field(default_factory=dict, hash=False)


STANDING: Final = frozenset(
    f"stranger_creates_{table}" for table in (OPERATIONS, "users_usluga", "abonents", "users")
)
"""The statements that create what must stand in the end; nothing tells a stranger's attribute from others."""

Statement: TypeAlias = tuple[str, dict[str, Value]]
"""A block of queries.sql, and its values."""


def statements_of(deed: Deed, victim: Victim) -> Iterator[Statement]:
    """The statements of a deed; none where it does not apply to the row."""
    abonent, text = victim.subscriber, MARK if deed is Deed.ENTERS else NAME
    if victim.creates == SUBSCRIBERS:
        if deed is Deed.CREATES:
            yield from _subscriber(victim)
    elif abonent is not None:
        match deed:
            case Deed.CREATES | Deed.ENTERS:
                yield from _created(victim, abonent, text)
            case Deed.RENAMES:
                yield "stranger_takes_number", {"abonent": abonent, "other": victim.other}
                yield "stranger_renumbers", {"abonent": abonent}
            case Deed.MERGES:
                yield "stranger_merges", {"abonent": abonent, "other": victim.other}
            case Deed.PAYS:
                yield from _operation(abonent, RECEIPT, _PAID, text)
            case Deed.CHARGES:
                amount = victim.value if isinstance(victim.value, Decimal) else _PAID
                yield from _operation(abonent, ACT, amount, text)
            case Deed.DELETES if victim.table:
                yield f"stranger_deletes_{victim.table}", {"object": victim.object}


def must_not_be_sent(deed: Deed, victim: Victim, *, by_number: bool) -> bool:
    """Whether a row must have no effect after a deed: the other hand's effect would be doubled or overwritten."""
    if deed in CREATING:
        return bool(victim.creates)
    if deed is Deed.RENAMES:
        return by_number
    sets = victim.creates == OPERATIONS and victim.kind == OPENING_BALANCE
    return sets and deed in {Deed.MERGES, Deed.PAYS, Deed.CHARGES}


SUBSCRIBERS: Final = "abonents"


def _created(victim: Victim, abonent: int, comment: str) -> Iterator[Statement]:
    value = victim.value
    if victim.creates == OPERATIONS and isinstance(value, Decimal):
        yield from _operation(abonent, victim.kind, value, comment)
    elif victim.creates:
        yield (
            f"stranger_creates_{victim.creates}",
            {"abonent": abonent, "kind": victim.kind, "value": str(value), "text": comment},
        )


def _operation(abonent: int, kind: int, amount: Decimal, comment: str) -> Iterator[Statement]:
    summa = int(amount * SCALE)
    yield (
        f"stranger_creates_{OPERATIONS}",
        {"abonent": abonent, "kind": kind, "value": summa, "text": comment},
    )
    if kind in _BALANCE:
        yield f"stranger_{_BALANCE[kind]}", {"abonent": abonent, "value": summa}


_BALANCE: Final = {RECEIPT: "pays", ACT: "charges", OPENING_BALANCE: "sets"}


def _subscriber(victim: Victim) -> Iterator[Statement]:
    yield "stranger_creates_abonents", dict(victim.cells)
    if victim.cells["login"]:
        yield "stranger_creates_users", dict(victim.cells)


def carry_out(billing: str, statements: Sequence[Statement]) -> None:
    """Carry out all statements in one transaction."""
    connection = attach(Dsn(billing))
    try:
        cursor = connection.cursor()
        for name, values in statements:
            text, ordered = sql_block("queries", name, "lab.crash").bind(values)
            cursor.execute(text, ordered)
        connection.commit()
    finally:
        connection.close()


if __name__ == "__main__":
    carry_out(sys.argv[1], msgspec.json.decode(sys.argv[2], type=list[Statement]))
