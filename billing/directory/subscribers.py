"""Subscribers, their balances and their operations, read from the billing's database.

Money is Decimal roubles.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address
from typing import Any, Final

from billing.contract_numbers import Search, Suggestion
from billing.database.database import Database, chunks
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import sql_block
from billing.directory.models import DAY, as_bool, plain_value, stored_value
from billing.errors import ColumnsMissing, UnreadableAnswer
from billing.money import stored_roubles
from texts.said import said

_sql: Final = partial(sql_block, "subscribers", folder="billing.directory")

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


def rows(database: Database, name: str, keys: Iterable[int | str], **values: int) -> list[DatabaseRow]:
    return [
        row for chunk in chunks(dict.fromkeys(keys)) for row in database.query(_sql(name), {"keys": chunk, **values})
    ]


def since(database: Database, ids: Iterable[int], after: int) -> list[tuple[int, Operation]]:
    """The operations with an id above `after` on the account of each of these subscribers, with the subscriber."""
    return [(own, _operation(row)) for own, *row in rows(database, "since", ids, after=after)]


@dataclass(frozen=True, slots=True)
class Abonent:
    """A live subscriber, and its account."""

    id: int
    contract_number: str | None
    name: str | None
    account_id: int


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
    found = [_member(row) for row in rows(database, "in_folders", sorted(folders), after=after, size=size)]
    return sorted(found, key=lambda one: one.id)[:size]


def members_by_numbers(database: Database, numbers: Collection[str]) -> list[FolderMember]:
    # Firebird refuses a statement with a number that does not fit the column.
    longest = database.longest("ABONENTS", "CONTRACT_NUMBER")
    possible = database.writable(number for number in numbers if len(number) <= longest)
    found = [_member(row) for row in rows(database, "members_by_numbers", possible)]
    return [one for one in found if one.contract_number in numbers]


def balances(database: Database, ids: Iterable[int]) -> dict[int, Decimal]:
    """The present balance of each of these subscribers that has an account: ostatok + debit − credit."""
    return {abonent: stored_roubles(scaled, _BALANCE) for abonent, scaled in rows(database, "balances", ids)}


def accounts(database: Database, ids: Iterable[int]) -> list[tuple[int, int, int, Decimal | None]]:
    """The subscribers of the account of each, with the last operation of each, 0 without, and the balance."""
    return [
        (own, sharer, last or 0, None if scaled is None else stored_roubles(scaled, _BALANCE))
        for own, sharer, last, scaled in rows(database, "accounts", ids)
    ]


def within(database: Database, folder: int, n: int) -> Iterator[str]:
    """The contract numbers or names of at most `n` subscribers and folders that lie in a folder."""
    for key, number, name in database.query(_sql("within"), {"folder": folder, "size": n}):
        yield next(str(one) for one in (number, name, key) if one not in {None, ""})


def suggestions(database: Database, unknown: Collection[str]) -> dict[str, list[Suggestion]]:
    """At most three similar contract numbers of live subscribers for each unknown one.

    Reads all numbers once, page by page: about ten seconds for a million.
    """
    search = Search(unknown)
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
    return Operation(op_id, abonent, kind, roubles, str(descr or ""), bool(storno), str(happened or "")[:DAY])


def _member(row: DatabaseRow) -> FolderMember:
    key, number, name, *ids, scaled = row
    folder, tariff, operator = (one or 0 for one in ids)
    balance = stored_roubles(scaled, _BALANCE)
    return FolderMember(key, _text(number), _text(name), folder, tariff, operator, balance)


# ---- what is taken in a billing -----------------------------------------------------------------------------------
# Contract numbers, logins and addresses, of deleted objects too; and the pools.
#
# All of them are read once, page by page; whoever asks keeps what concerns him.


_taken_sql: Final = partial(sql_block, "taken", folder="billing.directory")
NUMBER_FIELDS: Final = ("id", "contract_number", "is_folder", "deleted")
ACCOUNT_FIELDS: Final = ("id", "login", "ip", "deleted", "abonent_id")


@dataclass(frozen=True, slots=True)
class Taken:
    """A subscriber or an account of the billing: the id and the contract number of the subscriber, "" if not known.

    `login` and `ip` are those of an account.
    """

    deleted: bool
    abonent: str
    number: str
    login: str = ""
    ip: str = ""


def numbers_taken(database: Database) -> Iterator[list[Taken]]:
    for page in database.pages(_taken_sql("numbers")):
        yield [Taken(bool(deleted), str(key), _text(number)) for key, number, deleted in page]


def accounts_taken(database: Database) -> Iterator[list[Taken]]:
    for page in database.pages(_taken_sql("accounts")):
        yield [
            Taken(bool(deleted), _text(abonent), _text(number), _text(login), _address_of(ip, stored_value))
            for _, login, ip, deleted, abonent, number in page
        ]


def pool_ranges(database: Database) -> dict[str, tuple[IPv4Address, IPv4Address]]:
    ranges = {}
    for key, *ends in database.query(_taken_sql("pools")):
        first, last = (_address_of(end, stored_value) for end in ends)
        if first and last:
            ranges[str(key)] = (IPv4Address(first), IPv4Address(last))
    return ranges


def _text(value: object) -> str:
    return "" if value is None else str(value).rstrip(" ")


def _address_of(value: object, spell: Callable[[str, object], str | None]) -> str:
    try:
        return spell("ip", value) or ""
    except ValueError:
        # What is no address cannot be the one that is looked for.
        return ""


# ---- through the API ----------------------------------------------------------------------------------------------


def numbers_of(answer: Iterable[Mapping[str, object]]) -> list[Taken]:
    return [
        Taken(as_bool(one.get("deleted")), _text(one.get("id", one.get("pk"))), _given(one, "contract_number"))
        for one in answer
        if not as_bool(one.get("is_folder"))
    ]


def accounts_of(answer: Iterable[Mapping[str, object]], numbers: Mapping[str, str]) -> list[Taken]:
    """The accounts of an answer; `numbers` has the contract numbers of subscribers, as far as they are known."""
    return [
        Taken(
            as_bool(one.get("deleted")),
            abonent := _given(one, "abonent_id"),
            numbers.get(abonent, ""),
            _given(one, "login"),
            _address_of(_given(one, "ip"), plain_value),
        )
        for one in answer
    ]


def _given(found: Mapping[str, object], name: str) -> str:
    if name not in found:
        raise UnreadableAnswer(
            "The billing was asked for {model}, and its answer has no {fields}.",
            model="Users" if name in ACCOUNT_FIELDS else "Abonents",
            fields=name,
        )
    return _text(found[name])
