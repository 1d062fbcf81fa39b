"""Subscribers, their balances and their operations, read from the billing's database.

Money is Decimal roubles.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

from billing.contract_numbers import Search, Suggestion
from billing.database.database import Database, chunks
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import Values, sql_block
from billing.directory.models import OPENING_BALANCE
from billing.errors import ColumnsMissing
from billing.money import stored_roubles
from texts.said import said

_sql: Final = partial(sql_block, "subscribers", folder="billing.directory")

_DAY: Final = len("2019-06-01")
_BALANCE: Final = said("the balance")


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of `FINANCE_OPERATIONS`; `op_summa` in roubles, `storno` if reversed, `day` as 2019-06-01."""

    op_id: int
    abonent_id: int
    op_type: int
    op_summa: Decimal
    descr: str
    storno: bool
    day: str = ""


def of_abonents(database: Database, ids: Iterable[int], op_type: int = OPENING_BALANCE) -> Iterator[Operation]:
    """All operations of one type of these subscribers, reversed ones too."""
    for chunk in chunks(dict.fromkeys(ids)):
        yield from map(_operation, database.query(_sql("of_abonents"), {"ids": chunk, "type": op_type}))


def since(database: Database, ids: Iterable[int], after: int) -> Iterator[tuple[int, Operation]]:
    """The operations with an id above `after` on the account of each of these subscribers, with the subscriber."""
    for chunk in chunks(dict.fromkeys(ids)):
        for own, *operation in database.query(_sql("since"), {"ids": chunk, "after": after}):
            yield own, _operation(operation)


def newest_on_account(database: Database, ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The id of the last operation on the account of each of these subscribers that has one."""
    for chunk in chunks(dict.fromkeys(ids)):
        for row in database.query(_sql("newest_on_account"), {"ids": chunk}):
            abonent, op_id = row
            yield abonent, op_id


def of_accounts(database: Database, accounts: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Pairs of an account and a subscriber, for all subscribers of these accounts, deleted ones too."""
    for chunk in chunks(dict.fromkeys(accounts)):
        for row in database.query(_sql("of_accounts"), {"accounts": chunk}):
            account, abonent = row
            yield account, abonent


def newest(database: Database, ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The id of the last operation, of any type, of each of these subscribers that has one."""
    for chunk in chunks(dict.fromkeys(ids)):
        for row in database.query(_sql("newest"), {"ids": chunk}):
            abonent, op_id = row
            yield abonent, op_id


@dataclass(frozen=True, slots=True)
class Abonent:
    """A row of `ABONENTS`: a subscriber, or a folder of subscribers, which takes no finance operations."""

    id: int
    contract_number: str | None
    name: str | None
    parent_id: int | None
    is_folder: bool
    deleted: bool
    account_id: int | None


def by_ids(database: Database, ids: Iterable[int]) -> Iterator[Abonent]:
    """The subscribers with these ids in any order, also folders and deleted ones; unknown ids are left out."""
    for chunk in chunks(dict.fromkeys(ids)):
        yield from map(_abonent, database.query(_sql("by_ids"), {"ids": chunk}))


def by_contract_numbers(database: Database, numbers: Iterable[str]) -> Iterator[Abonent]:
    """The subscribers with these numbers, also folders and deleted ones; a number can occur twice, once deleted.

    The database compares numbers exactly, except for trailing spaces.
    """
    for chunk in chunks(_possible(database, numbers)):
        yield from map(_abonent, database.query(_sql("by_contract_numbers"), {"numbers": chunk}))


@dataclass(frozen=True, slots=True)
class FolderMember:
    """A live subscriber of a folder; a folder, a tariff or an operator of 0 is none, or not known."""

    id: int
    contract_number: str
    name: str
    folder: int
    tariff: int
    operator: int
    balance: Decimal


def page_of_folders(
    database: Database, folders: Collection[int], *, after: int = 0, size: int = 5_000
) -> list[FolderMember]:
    """Up to `size` subscribers of these folders with ids after `after`, by id."""
    # More folders than one statement names are read side by side: what is beyond the page is read again.
    found: list[FolderMember] = []
    for chunk in chunks(sorted(folders)):
        values: Values = {"folders": chunk, "after": after, "size": size}
        found += map(_member, database.query(_sql("in_folders"), values))
    return sorted(found, key=lambda one: one.id)[:size]


def members_by_numbers(database: Database, numbers: Collection[str]) -> list[FolderMember]:
    """The live subscribers with these contract numbers, in whatever folder they are."""
    found: list[FolderMember] = []
    for chunk in chunks(_possible(database, numbers)):
        found += map(_member, database.query(_sql("members_by_numbers"), {"numbers": chunk}))
    return [one for one in found if one.contract_number in numbers]


def balances(database: Database, ids: Iterable[int]) -> Iterator[tuple[int, Decimal]]:
    """The present balance of each of these subscribers that has an account: ostatok + debit − credit."""
    for chunk in chunks(dict.fromkeys(ids)):
        for abonent, scaled in database.query(_sql("balances"), {"ids": chunk}):
            yield abonent, stored_roubles(scaled, _BALANCE)


def within(database: Database, folder: int, n: int) -> Iterator[str]:
    """The contract numbers or names of at most `n` subscribers and folders that lie in a folder."""
    for key, number, name in database.query(_sql("within"), {"folder": folder, "size": n}):
        yield next(str(one) for one in (number, name, key) if one not in {None, ""})


def suggestions(database: Database, unknown: Collection[str], n: int = 3) -> dict[str, list[Suggestion]]:
    """At most `n` similar contract numbers of live subscribers for each unknown one.

    Reads all numbers once, page by page: about ten seconds for a million.
    """
    search = Search(unknown, n)
    for page in database.pages(_sql("contract_numbers")):
        search.offer(number for _, number in page)
    return search.found()


def any_name(database: Database) -> str | None:
    """The name of any subscriber, to check the charset; None without one."""
    try:
        row = next(database.query(_sql("a_name")), None)
    except ColumnsMissing:
        return None
    return None if row is None else str(row[0])


def _operation(row: Sequence[Any]) -> Operation:
    op_id, abonent, kind, summa, descr, storno, happened = row
    roubles = stored_roubles(summa, "FINANCE_OPERATIONS.OP_SUMMA")
    return Operation(op_id, abonent, kind, roubles, str(descr or ""), bool(storno), str(happened or "")[:_DAY])


def _abonent(row: DatabaseRow) -> Abonent:
    key, number, name, parent, is_folder, deleted, account = row
    # A text from a column of any type: a contract number may be stored as an integer.
    number = None if number is None else str(number)
    name = None if name is None else str(name)
    return Abonent(key, number, name, parent, bool(is_folder), bool(deleted), account)


def _possible(database: Database, numbers: Iterable[str]) -> list[str]:
    """The numbers that a subscriber can have: Firebird refuses a statement with one that does not fit the column."""
    longest = database.longest("ABONENTS", "CONTRACT_NUMBER")
    return database.writable(number for number in dict.fromkeys(numbers) if len(number) <= longest)


def _member(row: DatabaseRow) -> FolderMember:
    key, number, name, folder, tariff, operator, scaled = row
    return FolderMember(
        id=key,
        contract_number="" if number is None else str(number),
        name="" if name is None else str(name),
        folder=folder or 0,
        tariff=tariff or 0,
        operator=operator or 0,
        balance=stored_roubles(scaled, _BALANCE),
    )
