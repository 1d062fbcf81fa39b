"""Finance operations and balances: from the database in bulk, or from the API with one call a subscriber."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.api.answers import created_id, objects
from billing.api.calls import filter_
from billing.directory import subscribers as abonents
from billing.directory.models import OPENING_BALANCE
from billing.directory.subscribers import Operation, of_abonents, with_sums
from billing.directory.subscribers import newest as newest_in_database
from billing.errors import UnreadableAnswer
from billing.money import from_answer, wire
from billing.profile import Profile, TypeEight
from engine.job import Entries, Marked
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.payload import OP_TYPE, Payload
from jobs.access.subscribers import as_bool
from jobs.spec.entries import find_mark
from texts.said import Quantity, enumerated, said


def enters_balance(payload: Payload) -> bool:
    """Whether a call enters an initial balance."""
    return payload.model == "FinanceOperations" and payload.key.get(OP_TYPE) == str(OPENING_BALANCE)


def sets_balance(payload: Payload, profile: Profile) -> bool:
    """Whether a call replaces the balance instead of adding to it."""
    return enters_balance(payload) and profile.type_8.value is TypeEight.SETS


_FIELDS: Final = ("op_id", "op_summa", "descr", "storno", "op_date")
_KOPECK: Final = Decimal("0.01")
_DAY: Final = len("2019-06-01")
_NAMED: Final = 3
_ISO_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum in roubles to enter for a subscriber; `replaces` is the account whose balance it sets anew, or None.

    `since` is the day before which it cannot have been entered, as 2026-11-05, "" where none is known.
    """

    abonent_id: int
    op_type: int
    amount: Decimal
    replaces: int | None = None
    since: str = ""

    def can_be(self, one: Operation) -> bool:
        """Whether an operation that stands may be this sum's, as far as its day tells."""
        return not one.storno and not (self.since and _ISO_DAY.fullmatch(one.day) and one.day < self.since)


def two_decimals(amount: Decimal) -> str:
    """An amount in roubles with two decimals, or more if it has more."""
    exact = amount.quantize(_KOPECK)
    return wire(exact if exact == amount else amount)


async def of_type(gateway: Gateway, ids: Collection[int], op_type: int) -> Mapping[int, list[Operation]]:
    """The operations of one type by subscriber, reversed ones too. Raises `LookUpFailed`."""
    if gateway.database is None:
        return await _through_api(gateway, ids, op_type)
    return _by_abonent(await gateway.read(lambda database: list(of_abonents(database, ids, op_type))))


async def _of_any_type(gateway: Gateway, wanted: Collection[Sum]) -> Mapping[int, list[Operation]]:
    """The operations by subscriber that may be one of these sums, whatever their type."""
    if gateway.database is None:
        return await _through_api(gateway, [one.abonent_id for one in wanted], None)
    pairs = [(one.abonent_id, one.amount) for one in wanted]
    return _by_abonent(await gateway.read(lambda database: list(with_sums(database, pairs))))


async def _through_api(gateway: Gateway, ids: Collection[int], op_type: int | None) -> Mapping[int, list[Operation]]:
    each = list(dict.fromkeys(ids))
    of_one = {} if op_type is None else {OP_TYPE: op_type}
    fields = _FIELDS if op_type is not None else (*_FIELDS, OP_TYPE)
    answers = await gateway.ask(
        [filter_("FinanceOperations", {"abonent_id": abonent_id, **of_one}, *fields) for abonent_id in each]
    )
    with as_engine_errors():
        return _by_abonent(
            _operation(found, abonent_id, op_type)
            for abonent_id, answer in zip(each, answers, strict=True)
            for found in objects(answer)
        )


def _by_abonent(operations: Iterable[Operation]) -> Mapping[int, list[Operation]]:
    found: defaultdict[int, list[Operation]] = defaultdict(list)
    for one in operations:
        found[one.abonent_id].append(one)
    return found


async def find_entries(gateway: Gateway, wanted: Mapping[str, Sum]) -> dict[str, Entries]:
    """By key, the operations of the same type that carry a mark, and those of the same sum that carry none.

    While no probe has seen which types raise and lower the balance, a sum that adds up is looked for among the
    operations of all types. Of a sum that replaces the balance of its account, also the marked ones of the account's
    other subscribers are found. Reversed operations do not count. Raises `LookUpFailed`.
    """
    sharers = await sharers_of(gateway, {one.replaces for one in wanted.values() if one.replaces is not None})
    types_known = gateway.profile.receipt_type.known and gateway.profile.act_type.known
    widely = {key for key, one in wanted.items() if one.op_type != OPENING_BALANCE and not types_known}
    of_any_type = await _of_any_type(gateway, [wanted[key] for key in widely]) if widely else {}
    by_type: defaultdict[int, set[int]] = defaultdict(set)
    for key, one in wanted.items():
        # Through the API, all operations of a subscriber are one call.
        if gateway.database is not None or key not in widely:
            by_type[one.op_type].update((one.abonent_id, *sharers.get(one.replaces, ())))
    there = {op_type: await of_type(gateway, ids, op_type) for op_type, ids in by_type.items()}
    found = {
        key: _entries(
            one,
            there.get(one.op_type, of_any_type),
            set(sharers.get(one.replaces, ())) - {one.abonent_id},
            of_any_type if key in widely else {},
        )
        for key, one in wanted.items()
    }
    return {key: entries for key, entries in found.items() if entries != Entries()}


async def sharers_of(gateway: Gateway, accounts: Collection[int]) -> Mapping[int | None, list[int]]:
    """The subscribers of each of these accounts, deleted ones too. Raises `LookUpFailed`."""
    if gateway.database is not None:
        found = await gateway.read(lambda database: list(abonents.of_accounts(database, accounts)))
    else:
        each = list(accounts)
        answers = await gateway.ask([filter_("Abonents", {"account_id": account}, "id") for account in each])
        with as_engine_errors():
            found = [
                (account, _id_of(fields))
                for account, answer in zip(each, answers, strict=True)
                for fields in objects(answer)
            ]
    sharers: defaultdict[int | None, list[int]] = defaultdict(list)
    for account, abonent_id in found:
        sharers[account].append(abonent_id)
    return sharers


def some_of(named: Sequence[str]) -> str:
    """The first few names and the number of the others, for a sentence."""
    if len(named) <= _NAMED:
        return enumerated(named)
    return said("{names} and {more} more", names=tuple(named[:_NAMED]), more=Quantity(len(named) - _NAMED))


async def newest(gateway: Gateway, ids: Collection[int]) -> Mapping[int, int]:
    """The id of each subscriber's last operation of any type; 0 if there is none. Raises `LookUpFailed`."""
    none = dict.fromkeys(ids, 0)
    if gateway.database is not None:
        return none | await gateway.read(lambda database: dict(newest_in_database(database, ids)))
    answers = await gateway.ask([filter_("FinanceOperations", {"abonent_id": one}, "op_id") for one in none])
    with as_engine_errors():
        return {
            abonent_id: max((op_id_of(fields) for fields in objects(answer)), default=0)
            for abonent_id, answer in zip(none, answers, strict=True)
        }


async def newest_on_account(gateway: Gateway, ids: Collection[int]) -> Mapping[int, int]:
    """The id of the last operation of any type on the account of each of these subscribers; 0 if there is none.

    Through the API alone only the subscriber's own operations are seen. Raises `LookUpFailed`.
    """
    if gateway.database is None:
        return await newest(gateway, ids)
    return dict.fromkeys(ids, 0) | await gateway.read(
        lambda database: dict(abonents.newest_on_account(database, ids))
    )


async def operations_since(gateway: Gateway, last: Mapping[int, int]) -> Mapping[int, list[Operation]]:
    """By subscriber, the operations on its account behind its `last` one. Raises `LookUpFailed`.

    Through the API alone only the subscriber's own operations are seen.
    """
    newer: defaultdict[int, list[Operation]] = defaultdict(list)
    if not last:
        return newer
    if gateway.database is not None:
        after = min(last.values())
        found = await gateway.read(lambda database: list(abonents.since(database, last, after)))
    else:
        answers = await gateway.ask(
            [filter_("FinanceOperations", {"abonent_id": one}, "op_type_id", *_FIELDS) for one in last]
        )
        with as_engine_errors():
            found = [
                (
                    one,
                    _operation(
                        fields, one, _whole(fields.get("op_type_id"), said("finance operations"), "op_type_id")
                    ),
                )
                for one, answer in zip(last, answers, strict=True)
                for fields in objects(answer)
            ]
    for abonent, operation in found:
        if operation.op_id > last[abonent]:
            newer[abonent].append(operation)
    return newer


async def balances(gateway: Gateway, ids: Collection[int]) -> Mapping[int, Decimal]:
    """The balances of these subscribers' accounts in roubles; nothing without a database. Raises `LookUpFailed`."""
    if gateway.database is None or not ids:
        return {}
    return await gateway.read(lambda database: dict(abonents.balances(database, ids)))


def _entries(
    wanted: Sum,
    there: Mapping[int, Sequence[Operation]],
    others: Collection[int],
    of_any_type: Mapping[int, Sequence[Operation]],
) -> Entries:
    own = [one for one in there.get(wanted.abonent_id, ()) if one.op_type == wanted.op_type and wanted.can_be(one)]
    further = [
        one for one in of_any_type.get(wanted.abonent_id, ()) if one.op_type != wanted.op_type and wanted.can_be(one)
    ]
    alike = [
        described(one) if one.op_type == wanted.op_type else _with_type(one)
        for one in (*own, *further)
        if find_mark(one.descr) is None and one.op_summa == wanted.amount
    ]
    replaced = tuple(entry for other in sorted(others) for entry in _marked(there.get(other, ())))
    return Entries(_marked(own), some_of(alike) if alike else "", replaced)


def _marked(there: Iterable[Operation]) -> tuple[Marked, ...]:
    standing = [(one, find_mark(one.descr)) for one in there if not one.storno]
    return tuple(Marked(*mark, described(one), one.op_summa) for one, mark in standing if mark is not None)


def described(one: Operation) -> str:
    """An operation in words: `operation 5 of 50.50, 2026-11-01`."""
    return said("operation {id} of {amount}, {day}", id=one.op_id, amount=one.op_summa, day=one.day)


def _with_type(one: Operation) -> str:
    return said("{operation} (type {type})", operation=described(one), type=str(one.op_type))


def _operation(fields: Mapping[str, object], abonent_id: int, op_type: int | None) -> Operation:
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
            op_type=_whole(fields.get(OP_TYPE), said("finance operations"), OP_TYPE) if op_type is None else op_type,
            op_summa=from_answer(summa),
            descr=str(fields.get("descr") or ""),
            storno=as_bool(storno),
            day=str(fields.get("op_date") or "")[:_DAY],
        )
    except ValueError as error:
        raise UnreadableAnswer(
            said("A finance operation of the billing's answer cannot be read: {error}", error=error)
        ) from error


def op_id_of(fields: Mapping[str, object]) -> int:
    """The id of an operation from the fields of an answer. Raises `UnreadableAnswer` for one that is no number."""
    return _whole(fields.get("op_id", fields.get("pk")), said("finance operations"), "op_id")


def _id_of(fields: Mapping[str, object]) -> int:
    return _whole(fields.get("id", fields.get("pk")), said("the subscribers of an account"), "id")


def _whole(key: object, asked: str, name: str) -> int:
    if not isinstance(key, int | str) or created_id(key) is None:
        raise UnreadableAnswer(
            said("The billing was asked for {asked}, and its answer has no {name}.", asked=asked, name=name)
        )
    return int(key)
