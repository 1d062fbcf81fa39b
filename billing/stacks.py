"""The billing's stacks: what it has answered and not yet acted upon [D, V].

A saved object passes through `ACCOUNT_STACK` (money) and `EVENTS_STACK_COMPACT` (devices) before it has its effect.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from billing.database import Database, chunks
from billing.statements import statement


@dataclass(frozen=True, slots=True)
class Stacks:
    """Rows that wait in `ACCOUNT_STACK` and `EVENTS_STACK_COMPACT`."""

    accounts: int
    events: int

    def __str__(self) -> str:
        held = {"ACCOUNT_STACK": self.accounts, "EVENTS_STACK_COMPACT": self.events}
        return ", ".join(
            f"{name} holds {count} {'entry' if count == 1 else 'entries'}" for name, count in held.items() if count
        )


def depth(database: Database) -> Stacks:
    """How deep the stacks are now."""
    ((accounts, events),) = database.query(statement("billing", "stacks"))
    return Stacks(accounts, events)


def waiting_for(database: Database, *, accounts: Iterable[int], abonents: Iterable[int]) -> Stacks:
    """How many entries wait that concern these accounts and subscribers.

    Which columns the stacks of the real billing have is not known [?]: a stack without one that names its account or
    subscriber is counted whole.
    """
    total = depth(database)
    return Stacks(
        _concerning(database, total.accounts, ("ACCOUNT_STACK", "ACCOUNT_ID"), "waits_for_accounts", accounts),
        _concerning(database, total.events, ("EVENTS_STACK_COMPACT", "ABONENT_ID"), "waits_for_abonents", abonents),
    )


def _concerning(database: Database, total: int, column: tuple[str, str], name: str, keys: Iterable[int]) -> int:
    if not total or not database.schema.has(*column):
        return total
    found = 0
    for chunk in chunks(dict.fromkeys(keys)):
        ((waiting,),) = database.query(statement("billing", name), {"keys": chunk})
        found += waiting
    return found
