"""Account balances, compared with the operations of type 8 of a run.

Even if all operations are in the billing, a balance may be wrong: if type 8 sets the balance, a second operation on
the same account replaces the first, while the sums of the operations agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Final

from billing.profile import TypeEight
from checkpoints.journal import Journal
from checkpoints.records import AccountFigures, Item, Run
from jobs.access.gateway import Gateway
from jobs.access.objects import OF_ABONENT, find_by
from jobs.access.operations import enters_balance, newest
from jobs.access.payload import ACCOUNT, BALANCE, payload_of
from jobs.spec.words import UNDO
from texts.said import Quantity, Value, counted, said

_NAMED: Final = 5
"""Rows of an account that a sentence names; the others are only counted."""

PAGE: Final = 500
"""Accounts that are read at a time."""


@dataclass(frozen=True, slots=True)
class AccountDifference:
    """An account whose balance differs from its rows."""

    account: str
    rows: tuple[Item, ...]
    expected: Decimal
    found: Decimal

    def __str__(self) -> str:
        # The rows are named by their lines, or by their numbers where they come from no file.
        named: Value = tuple(str(item.line or item.number) for item in self.rows[:_NAMED])
        more = len(self.rows) - _NAMED
        if more > 0:
            named = said("{names} and {more} more", names=named, more=Quantity(more))
        if self.rows[0].line:
            places = counted("line[s] {names}", len(self.rows), names=named)
        else:
            places = counted("row[s] {names}", len(self.rows), names=named)
        return said(
            "account {account} ({rows}): {expected} expected, the balance is {found}",
            account=self.account,
            rows=places,
            expected=self.expected,
            found=self.found,
        )


async def compare_balances(
    run: Run, gateway: Gateway, journal: Journal, report: Callable[[AccountDifference], None]
) -> AccountFigures:
    """Compare the balance of each account with the standing rows of the run; `report` receives the differences.

    The balance of an account with later operations cannot be compared. Raises `LookUpFailed`.
    """
    result, after = AccountFigures(), ""
    while run.job != UNDO and (page := await journal.standing_by_lane(run, after=after, size=PAGE)):
        after = page[-1].lane
        each = [list(items) for _, items in groupby(page, key=attrgetter("lane"))]
        pairs = [(rows, [payload_of(item) for item in rows]) for rows in each]
        lanes = [(rows, payloads) for rows, payloads in pairs if any(map(enters_balance, payloads))]
        owners = [payloads[0].abonent for _, payloads in lanes]
        found = await find_by(gateway, "AdminAccounts", OF_ABONENT, owners, (BALANCE,))
        told: list[tuple[list[Item], Decimal, Decimal]] = []
        for rows, payloads in lanes:
            accounts, expected = found[payloads[0].abonent], Decimal(0)
            for item in rows:
                expected += item.amount or 0
            before = payloads[0].was.get(BALANCE)
            sets = gateway.profile.type_8.value is TypeEight.SETS
            if len(accounts) != 1 or not (sets or before) or not all(map(enters_balance, payloads)):
                result.not_compared += 1
                continue
            # A difference is entered on top of what was there, also where it sets the balance.
            if not sets or BALANCE in payloads[-1].wanted:
                expected += Decimal(before or 0)
            told.append((rows, expected, Decimal(accounts[0].values[BALANCE] or 0)))
        differing = [item for rows, expected, balance in told if balance != expected for item in rows]
        latest = await newest(gateway, [payload_of(item).abonent for item in differing])
        for rows, expected, balance in told:
            if balance != expected:
                # A subscriber of the account may have an operation newer than those of the run.
                own = [int(item.answer) for item in rows if item.answer and item.answer.isdecimal()]
                if own and any(latest.get(payload_of(item).abonent, 0) > max(own) for item in rows):
                    result.with_later_operations += 1
                    continue
            result.compared += 1
            result.expected += expected
            result.found += balance
            if balance != expected:
                result.different += 1
                report(AccountDifference(rows[0].lane.removeprefix(ACCOUNT), tuple(rows), expected, balance))
    return result
