"""`python -m lab.crash.stranger BILLING STATEMENTS`: somebody else at work on a billing, while the load lies frozen.

A process of its own, as whoever opens the billing's file can hang on what a killed process has left locked there. It
changes the tables past the API, so the ledger has the effects of the load alone.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
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
SUBSCRIBERS: Final = "abonents"
STANDING: Final = frozenset(
    f"stranger_creates_{table}" for table in (OPERATIONS, "users_usluga", SUBSCRIBERS, "users")
)
"""The statements that create what must stand in the end; nothing tells a stranger's attribute from others."""
_PAID: Final = Decimal(50)
_BALANCE: Final = {RECEIPT: "pays", ACT: "charges", OPENING_BALANCE: "sets"}


class Deed(StrEnum):
    """What a stranger does to a row that has not been sent."""

    CREATES = "creates"  # He creates what the row is to create, by hand
    ENTERS = "enters"  # He enters it from another journal, with the mark of its run
    RENAMES = "renames"  # He gives the contract number to another subscriber
    MERGES = "merges"  # He gives the subscriber the account of another one
    PAYS = "pays"  # He enters a receipt of another sum
    CHARGES = "charges"  # He enters an act of the row's sum
    DELETES = "deletes"  # He deletes what the row is about


CREATING: Final = frozenset({Deed.CREATES, Deed.ENTERS})
"""Deeds that need something that the row creates."""

Value: TypeAlias = str | int | None
Statement: TypeAlias = tuple[str, dict[str, Value]]
"""A block of queries.sql, and its values."""


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


def statements_of(deed: Deed, victim: Victim) -> Iterator[Statement]:
    """The statements of a deed; none where it does not apply to the row."""
    abonent, text, value = victim.subscriber, MARK if deed is Deed.ENTERS else NAME, victim.value
    if victim.creates == SUBSCRIBERS and deed is Deed.CREATES:
        yield "stranger_creates_abonents", dict(victim.cells)
        if victim.cells["login"]:
            yield "stranger_creates_users", dict(victim.cells)
    if abonent is None:
        return
    amount = value if isinstance(value, Decimal) else _PAID
    of_two: dict[str, Value] = {"abonent": abonent, "other": victim.other}
    match deed:
        case Deed.CREATES | Deed.ENTERS if victim.creates == OPERATIONS:
            yield from _operation(abonent, victim.kind, amount, text)
        case Deed.CREATES | Deed.ENTERS if victim.creates:
            values: dict[str, Value] = {"abonent": abonent, "kind": victim.kind, "value": str(value), "text": text}
            yield f"stranger_creates_{victim.creates}", values
        case Deed.RENAMES:
            yield "stranger_takes_number", of_two
            yield "stranger_renumbers", {"abonent": abonent}
        case Deed.MERGES:
            yield "stranger_merges", of_two
        case Deed.PAYS:
            yield from _operation(abonent, RECEIPT, _PAID, text)
        case Deed.CHARGES:
            yield from _operation(abonent, ACT, amount, text)
        case Deed.DELETES if victim.table:
            yield f"stranger_deletes_{victim.table}", {"object": victim.object}


def _operation(abonent: int, kind: int, amount: Decimal, comment: str) -> Iterator[Statement]:
    summa = int(amount * SCALE)
    values: dict[str, Value] = {"abonent": abonent, "kind": kind, "value": summa, "text": comment}
    yield f"stranger_creates_{OPERATIONS}", values
    if kind in _BALANCE:
        yield f"stranger_{_BALANCE[kind]}", {"abonent": abonent, "value": summa}


def must_not_be_sent(deed: Deed, victim: Victim, *, by_number: bool) -> bool:
    """Whether a row must have no effect after a deed: the other hand's effect would be doubled or overwritten."""
    if deed in CREATING:
        return bool(victim.creates)
    if deed is Deed.RENAMES:
        return by_number
    sets = victim.creates == OPERATIONS and victim.kind == OPENING_BALANCE
    return sets and deed in {Deed.MERGES, Deed.PAYS, Deed.CHARGES}


def change(billing: str, statements: Iterable[Statement]) -> None:
    """Carry out statements on a billing's tables, in one transaction."""
    with closing(attach(Dsn(billing))) as connection:
        cursor = connection.cursor()
        for name, given in statements:
            cursor.execute(*sql_block("queries", name, "lab.crash").bind(given))
        connection.commit()


if __name__ == "__main__":
    change(sys.argv[1], msgspec.json.decode(sys.argv[2], type=list[Statement]))
