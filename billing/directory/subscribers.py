"""Subscribers, their balances and their operations, read from the billing's database; and numbers for a wrong one.

Money is Decimal roubles.

An unknown contract number from a file is often an existing one in another spelling: `А15` with a Cyrillic А for `A15`
with a Latin one, without a leading zero that a spreadsheet removed, in another letter case, with a space. Such
numbers are suggested first, then similar ones.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address
from typing import Any, Final

import msgspec

from billing.database.database import Database, chunks
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import sql_block
from billing.directory.models import DAY, stored_value
from billing.errors import ColumnsMissing
from billing.money import stored_roubles
from texts.said import said

# ---- contract numbers similar to one that does not exist ----------------------------------------------------------


# Cyrillic letters and the Latin letters that look the same.
_LATIN: Final = str.maketrans("АВЕЁКМНОРСТУХІЈЅ", "ABEEKMHOPCTYXIJS")
# Latin letters that look like a digit.
_DIGITS: Final = str.maketrans("OЗI", "031")
_LEADING_ZEROS: Final = re.compile(r"(?<!\d)0+(?=\d)")
_SPACES: Final = re.compile(r"\s+")
_ALIKE_ENOUGH: Final = 65
_SAME: Final = 200.0  # above every ratio


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An existing contract number that may be meant, and the reason for the suggestion."""

    contract_number: str
    reason: str


def undressed(number: str) -> str:
    """The core of a number: equal for numbers that differ only in look-alikes, case, leading zeros or spaces."""
    return _LEADING_ZEROS.sub("", _plain(number))


def _plain(number: str) -> str:
    return _SPACES.sub("", number).upper().translate(_LATIN).translate(_DIGITS)


class Search:
    """A search for many unknown numbers at once, which takes the existing numbers page by page.

    Memory is proportional to the unknown numbers alone. Similar numbers are searched for the first `compared` of them
    only: the comparison is slow, and a file with more unknown numbers is probably the wrong file. Other spellings of
    an existing number are found for all.
    """

    def __init__(self, unknown: Collection[str], n: int = 3, compared: int = 200) -> None:
        self._n = n
        self._best: dict[str, list[tuple[float, str]]] = {number: [] for number in unknown}
        self._by_core: dict[str, list[str]] = {}
        for number in self._best:
            self._by_core.setdefault(undressed(number), []).append(number)
        # The core keeps its zeros here: a short number consists mostly of them.
        self._compared = [(number, _plain(number)) for number in tuple(self._best)[:compared]]

    def offer(self, existing: Iterable[str]) -> None:
        # Imported here: the import takes as long as the rest of a command, and most know all numbers.
        from rapidfuzz import fuzz, process  # noqa: PLC0415

        page = list(existing)
        for number in page:
            for unknown in self._by_core.get(undressed(number), ()):
                self._keep(unknown, _SAME, number)
        cores = [_plain(number) for number in page]
        for unknown, wanted in self._compared:
            best = self._best[unknown]
            least = best[-1][0] if len(best) == self._n else _ALIKE_ENOUGH
            for core, ratio, place in process.extract(
                wanted, cores, scorer=fuzz.ratio, score_cutoff=least, limit=None
            ):
                if undressed(core) != undressed(wanted):
                    self._keep(unknown, ratio, page[place])

    def found(self) -> dict[str, list[Suggestion]]:
        """The suggestions so far by unknown number, nearest first; an empty list if none is near."""
        return {
            unknown: [Suggestion(number, reason(unknown, number)) for _, number in best]
            for unknown, best in self._best.items()
        }

    def _keep(self, unknown: str, likeness: float, number: str) -> None:
        best = {*self._best[unknown], (likeness, number)}
        self._best[unknown] = sorted(best, key=lambda one: (-one[0], one[1]))[: self._n]


def reason(unknown: str, existing: str) -> str:
    if undressed(unknown) != undressed(existing):
        return said("similar")
    differences: list[str] = []
    plain, wanted = _SPACES.sub("", unknown), _SPACES.sub("", existing)
    if len(plain) != len(unknown) or len(wanted) != len(existing):
        differences.append(said("without spaces") if len(plain) != len(unknown) else said("with spaces"))
    zeros, zeros_wanted = (len(_plain(text)) - len(undressed(text)) for text in (unknown, existing))
    if zeros != zeros_wanted:
        differences.append(said("with leading zeros") if zeros < zeros_wanted else said("without leading zeros"))
    short, short_wanted = _LEADING_ZEROS.sub("", plain), _LEADING_ZEROS.sub("", wanted)
    if short.upper().translate(_LATIN) != short_wanted.upper().translate(_LATIN):
        differences.append(said("but for letters that look like digits"))
    elif short.upper() != short_wanted.upper():
        latin = {letter.isascii() for letter in short_wanted if letter.isalpha()}
        scripts = said("in Latin letters") if latin <= {True} else said("in Cyrillic letters")
        differences.append(said("in mixed letters") if len(latin) > 1 else scripts)
    elif short != short_wanted:
        differences.append(said("in another letter case"))
    return said("the same {differences}", differences=tuple(differences)) if differences else said("the same")


# ---- subscribers, their balances and operations -------------------------------------------------------------------


_sql: Final = partial(sql_block, "subscribers", folder="billing.directory")

_BALANCE: Final = said("the balance")


class Operation(msgspec.Struct, frozen=True, gc=False):
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


class Abonent(msgspec.Struct, frozen=True, gc=False):
    """A live subscriber, and its account."""

    id: int
    contract_number: str | None
    name: str | None
    account_id: int


class FolderMember(msgspec.Struct, frozen=True, gc=False):
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
            Taken(bool(deleted), _text(abonent), _text(number), _text(login), _address_of(ip))
            for _, login, ip, deleted, abonent, number in page
        ]


def pool_ranges(database: Database) -> dict[str, tuple[IPv4Address, IPv4Address]]:
    ranges = {}
    for key, *ends in database.query(_taken_sql("pools")):
        first, last = map(_address_of, ends)
        if first and last:
            ranges[str(key)] = (IPv4Address(first), IPv4Address(last))
    return ranges


def _text(value: object) -> str:
    return "" if value is None else str(value).rstrip(" ")


def _address_of(value: object) -> str:
    try:
        return stored_value("ip", value) or ""
    except ValueError:
        # What is no address cannot be the one that is looked for.
        return ""
