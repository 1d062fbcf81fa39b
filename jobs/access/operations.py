"""Finance operations and balances: from the database in bulk, or from the API with one call a subscriber."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from billing.api.answers import created_id
from billing.directory import subscribers as abonents
from billing.directory.models import DAY, OPENING_BALANCE, as_bool
from billing.directory.subscribers import Operation
from billing.errors import UnreadableAnswer
from billing.money import from_answer
from billing.profile import Profile, TypeEight
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.payload import BALANCE, OP_TYPE, Payload, decode_payload
from texts.said import Quantity, day_in, enumerated, said


def enters_balance(payload: Payload) -> bool:
    return payload.model == "FinanceOperations" and payload.key.get(OP_TYPE) == str(OPENING_BALANCE)


def sets_balance(payload: Payload, profile: Profile) -> bool:
    return enters_balance(payload) and profile.type_8.value is TypeEight.SETS


def replaces_balance(profile: Profile) -> Callable[[str], bool] | None:
    """Tells of an encoded payload whether its call replaces a balance; None where no call does.

    A difference goes on top of a balance, and replaces none.
    """
    if profile.type_8.value is not TypeEight.SETS:
        return None

    def replaces(payload: str) -> bool:
        decoded = decode_payload(payload)
        return enters_balance(decoded) and BALANCE not in decoded.wanted

    return replaces


_FIELDS: Final = ("op_id", "op_summa", "descr", "storno", "op_date")
_NAMED: Final = 3
_ASKED: Final = said("finance operations")


async def sharers_of(gateway: Gateway, accounts: Collection[int]) -> Mapping[int | None, list[int]]:
    """The subscribers of each of these accounts, deleted ones too. Raises `LookUpFailed`."""
    asked = said("the subscribers of an account")
    found = await gateway.look_for(
        lambda database: abonents.rows(database, "of_accounts", accounts),
        "Abonents",
        accounts,
        lambda account: {"account_id": account},
        ("id",),
        lambda account, fields: (account, _whole(fields.get("id", fields.get("pk")), asked, "id")),
    )
    sharers: defaultdict[int | None, list[int]] = defaultdict(list)
    for account, abonent_id in found:
        sharers[account].append(abonent_id)
    return sharers


def some_of(named: Sequence[str]) -> str:
    """The first few names and the number of the others, for a sentence."""
    if len(named) <= _NAMED:
        return enumerated(named)
    return said("{names} and {more} more", names=tuple(named[:_NAMED]), more=Quantity(len(named) - _NAMED))


@dataclass(slots=True)
class AccountNow:
    """An account: its balance, None if that is not known; its last operation, 0 without one; and its subscribers."""

    balance: Decimal | None = None
    newest: int = 0
    sharers: list[int] = field(default_factory=list)


async def accounts_now(gateway: Gateway, accounts: Mapping[int, int]) -> Mapping[int, AccountNow]:
    """The accounts of these subscribers, whose ids are given, as they are now. Raises `LookUpFailed`.

    Through the API alone their balances are not known, and only each subscriber's own operations are seen.
    """
    if gateway.database is None:
        last, sharers = await newest(gateway, accounts), await sharers_of(gateway, {*accounts.values()})
        return {one: AccountNow(None, last[one], sharers[account]) for one, account in accounts.items()}
    now = {one: AccountNow() for one in accounts}
    found = await gateway.read(lambda database: abonents.accounts(database, accounts))
    for own, sharer, newest_of, balance in found:
        account = now[own]
        account.balance, account.newest = balance, max(account.newest, newest_of)
        account.sharers.append(sharer)
    return now


async def newest(gateway: Gateway, ids: Collection[int]) -> Mapping[int, int]:
    """The id of the last operation of any type on the account of each of these subscribers; 0 if there is none.

    Through the API alone only the subscriber's own operations are seen. Raises `LookUpFailed`.
    """
    if gateway.database is not None:
        return {one: account.newest for one, account in (await accounts_now(gateway, dict.fromkeys(ids, 0))).items()}
    found = await gateway.objects_by("FinanceOperations", [{"abonent_id": one} for one in ids], ("op_id",))
    with as_engine_errors():
        return {one: max(map(op_id_of, own), default=0) for one, own in zip(ids, found, strict=True)}


async def operations_since(gateway: Gateway, last: Mapping[int, int]) -> Mapping[int, list[Operation]]:
    """By subscriber, the operations on its account behind its `last` one. Raises `LookUpFailed`.

    Through the API alone only the subscriber's own operations are seen.
    """
    newer: defaultdict[int, list[Operation]] = defaultdict(list)
    if not last:
        return newer
    found = await gateway.look_for(
        lambda database: abonents.since(database, last, min(last.values())),
        "FinanceOperations",
        last,
        lambda one: {"abonent_id": one},
        ("op_type_id", *_FIELDS),
        lambda one, fields: (one, _operation(fields, one, _whole(fields.get(OP_TYPE), _ASKED, OP_TYPE))),
    )
    for abonent, operation in found:
        if operation.op_id > last[abonent]:
            newer[abonent].append(operation)
    return newer


async def balances(gateway: Gateway, ids: Collection[int]) -> Mapping[int, Decimal]:
    """The balances of these subscribers' accounts in roubles; nothing without a database. Raises `LookUpFailed`."""
    if gateway.database is None or not ids:
        return {}
    return await gateway.read(lambda database: abonents.balances(database, ids))


def described(one: Operation) -> str:
    """An operation in words: `operation 5 of 50.50, 2026-11-01`."""
    return said("operation {id} of {amount}, {day}", id=one.op_id, amount=one.op_summa, day=day_in(one.day))


def _operation(fields: Mapping[str, object], abonent_id: int, op_type: int) -> Operation:
    """An operation from the fields of an answer. Raises `UnreadableAnswer` if a needed field is missing."""
    summa, storno = fields.get("op_summa"), fields.get("storno")
    if not isinstance(summa, int | str | Decimal) or "storno" not in fields:
        raise UnreadableAnswer(
            said("The billing was asked for finance operations, and its answer has no op_summa or storno.")
        )
    try:
        return Operation(
            op_id=op_id_of(fields),
            abonent_id=abonent_id,
            op_type=op_type,
            op_summa=from_answer(summa),
            descr=str(fields.get("descr") or ""),
            storno=as_bool(storno),
            day=str(fields.get("op_date") or "")[:DAY],
        )
    except ValueError as error:
        raise UnreadableAnswer(
            "A finance operation of the billing's answer cannot be read: {error}", error=error
        ) from error


def op_id_of(fields: Mapping[str, object]) -> int:
    """The id of an operation from the fields of an answer. Raises `UnreadableAnswer` for one that is no number."""
    return _whole(fields.get("op_id", fields.get("pk")), _ASKED, "op_id")


def _whole(key: object, asked: str, name: str) -> int:
    if not isinstance(key, int | str) or created_id(key) is None:
        raise UnreadableAnswer(
            "The billing was asked for {asked}, and its answer has no {name}.", asked=asked, name=name
        )
    return int(key)
