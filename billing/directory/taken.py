"""What is taken in a billing: contract numbers, logins and addresses, of deleted objects too; and the pools.

All of them are read once, page by page; whoever asks keeps what concerns him.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from typing import Final

from billing.api.answers import objects
from billing.api.calls import Call, filter_
from billing.database.database import Database
from billing.database.sql_blocks import sql_block
from billing.directory.values import plain_value, stored_value
from billing.errors import UnreadableAnswer

_sql: Final = partial(sql_block, "taken", folder="billing.directory")
_NUMBER_FIELDS: Final = ("id", "contract_number", "is_folder", "deleted")
_ACCOUNT_FIELDS: Final = ("id", "login", "ip", "deleted", "abonent_id")
_UNSET: Final = frozenset({"", "0", "false", "none"})


@dataclass(frozen=True, slots=True)
class NumberTaken:
    """A contract number of the billing, and the id of its subscriber."""

    number: str
    deleted: bool
    abonent: str


@dataclass(frozen=True, slots=True)
class AccountTaken:
    """An account of the billing, with the id and the contract number of its subscriber, "" if they are not known."""

    login: str
    address: str
    deleted: bool
    abonent: str
    number: str = ""


def numbers_taken(database: Database) -> Iterator[list[NumberTaken]]:
    """The contract numbers of all subscribers, page by page. Raises what `Database.query` raises."""
    for page in database.pages(_sql("numbers")):
        yield [NumberTaken(_text(number), bool(deleted), str(key)) for key, number, deleted in page]


def accounts_taken(database: Database) -> Iterator[list[AccountTaken]]:
    """All accounts, page by page. Raises what `Database.query` raises."""
    for page in database.pages(_sql("accounts")):
        yield [
            AccountTaken(_text(login), _address_of(ip, stored_value), bool(deleted), _text(abonent), _text(number))
            for _, login, ip, deleted, abonent, number in page
        ]


def pool_ranges(database: Database) -> dict[str, tuple[IPv4Address, IPv4Address]]:
    """The first and the last address of each pool by its id. Raises what `Database.query` raises."""
    ranges = {}
    for key, *ends in database.query(_sql("pools")):
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


# ---- through the API, a call a value ------------------------------------------------------------------------------


def call_for_number(number: str) -> Call:
    """The reading call for the subscribers with a contract number."""
    return filter_("Abonents", {"contract_number": number}, *_NUMBER_FIELDS)


def call_for_account(field: str, value: str) -> Call:
    """The reading call for the accounts with a login or an address."""
    return filter_("Users", {field: value}, *_ACCOUNT_FIELDS)


def numbers_of(answer: object) -> list[NumberTaken]:
    """The contract numbers of an answer, without those of folders. Raises `UnreadableAnswer`."""
    return [
        NumberTaken(_given(one, "contract_number"), _is_set(one, "deleted"), _text(one.get("id", one.get("pk"))))
        for one in objects(answer)
        if not _is_set(one, "is_folder")
    ]


def accounts_of(answer: object) -> list[AccountTaken]:
    """The accounts of an answer. Raises `UnreadableAnswer`."""
    return [
        AccountTaken(
            _given(one, "login"),
            _address_of(_given(one, "ip"), plain_value),
            _is_set(one, "deleted"),
            _given(one, "abonent_id"),
        )
        for one in objects(answer)
    ]


def _given(found: Mapping[str, object], name: str) -> str:
    if name not in found:
        raise UnreadableAnswer(
            "The billing was asked for {model}, and its answer has no {fields}.",
            model="Users" if name in _ACCOUNT_FIELDS else "Abonents",
            fields=name,
        )
    return _text(found[name])


def _is_set(found: Mapping[str, object], name: str) -> bool:
    return str(found.get(name)).casefold() not in _UNSET
