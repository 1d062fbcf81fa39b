"""The billing as a whole: its scale of money, its charset, and its stacks.

The stacks hold work that the billing has accepted and not yet done [D, V]: a saved object passes through
`ACCOUNT_STACK` (money) and `EVENTS_STACK_COMPACT` (devices) before it has its effect.
"""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Final, NamedTuple

from billing.database.database import Database, chunks
from billing.database.sql_blocks import SqlStatement, sql_block
from billing.errors import OtherScale, StatementRefused
from billing.money import SCALE
from texts.said import counted, enumerated

_sql: Final = partial(sql_block, "system", folder="billing.directory")


def check_scale(database: Database) -> bool:
    """Whether the billing states the scale of money used here; False if the row or its table is missing.

    Raises `OtherScale` if it states another scale, and what `Database.query` raises.
    """
    try:
        row = next(database.query(_sql("scale")), None)
    except StatementRefused:
        return False
    if row is None or row[0] is None:
        return False
    stated = str(row[0]).strip()
    try:
        same = Decimal(stated) == SCALE
    except InvalidOperation:
        same = False
    if not same:
        raise OtherScale(
            "{database}: by row 1 of its VPN_CONST a rouble is {stated} in this billing's database, and this "
            "program reckons with {scale}: every sum of it would be read wrong. Look at the row; if it is right, "
            "this program must not be used here",
            database=str(database.dsn),
            stated=repr(stated[:40]),
            scale=SCALE,
        )
    return True


def charset(database: Database) -> str | None:
    row = next(database.query(_sql("charset")), None)
    return str(row[0]).strip() if row and row[0] else None


STACKS: Final = ("ACCOUNT_STACK", "EVENTS_STACK_COMPACT", "EVENTS_STACK")
"""The known stacks; not every billing has all of them."""


def count_waiting(stack: str) -> SqlStatement:
    return _sql(stack)


class Stacks(NamedTuple):
    """The number of rows in `ACCOUNT_STACK` and `EVENTS_STACK_COMPACT`."""

    accounts: int
    events: int

    @property
    def described(self) -> str:
        """What the stacks hold, "" for nothing: "ACCOUNT_STACK holds 12 entries"."""
        texts = [
            counted("{stack} holds {n} [entry|entries]", count, stack=name)
            for name, count in zip(STACKS, self, strict=False)
            if count
        ]
        return enumerated(texts) if texts[1:] else next(iter(texts), "")


def depth(database: Database) -> Stacks:
    ((accounts, events),) = database.query(_sql("stacks"))
    return Stacks(accounts, events)


_OF_ABONENTS: Final = ("EVENTS_STACK_COMPACT", "ABONENT_ID")


def waiting_for(database: Database, *, accounts: Iterable[int], abonents: Iterable[int], new: bool = False) -> Stacks:
    """The number of waiting entries for these accounts and subscribers; `new` adds those that are not there yet.

    The columns of the stacks of the real billing are not known [?]: a stack without a column for the account or
    subscriber is counted whole.
    """
    total = depth(database)
    events = _concerning(database, total.events, _OF_ABONENTS, "waits_for_abonents", abonents)
    if new and events < total.events and database.schema.has(*_OF_ABONENTS):
        ((unknown,),) = database.query(_sql("waits_for_new"))
        events += unknown
    of_accounts = ("ACCOUNT_STACK", "ACCOUNT_ID")
    return Stacks(_concerning(database, total.accounts, of_accounts, "waits_for_accounts", accounts), events)


def _concerning(database: Database, total: int, column: tuple[str, str], name: str, keys: Iterable[int]) -> int:
    if not total or not database.schema.has(*column):
        return total
    found = 0
    for chunk in chunks(dict.fromkeys(keys)):
        ((waiting,),) = database.query(_sql(name), {"keys": chunk})
        found += waiting
    return found
