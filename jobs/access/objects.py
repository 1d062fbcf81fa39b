"""Objects of the billing as they are now, finance operations and balances.

From the database they are read in bulk, from the API with one call a key, or one call a subscriber.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import Final, TypeAlias

from billing.api.answers import created_id
from billing.directory import subscribers as abonents
from billing.directory.models import (
    DAY,
    LARGEST_ID,
    OPENING_BALANCE,
    TEXT_KEYS,
    BillingObject,
    Key,
    as_bool,
    plain_value,
    same_value,
)
from billing.directory.objects import (
    REFERENCES,
    can_be,
    from_database,
    has_table,
    is_there,
    known_to_database,
    meets_key,
    of_answer,
    there_of,
    with_owner,
)
from billing.directory.subscribers import Abonent, Operation, Suggestion
from billing.errors import ColumnsMissing, UnreadableAnswer
from billing.money import from_answer
from billing.profile import Profile, TypeEight
from engine.errors import InputRefused, LookUpDelayed, LookUpFailed, LookUpRefused
from jobs.access.gateway import Criteria, Gateway, Looked, as_engine_errors
from jobs.access.payload import ACCOUNT, BALANCE, OP_TYPE, Payload, decode_payload
from jobs.spec.entries import find_mark, undone_by
from jobs.spec.parameters import whole_id
from texts.said import Quantity, Said, day_in, enumerated, said, wording

_KEYS: Final = frozenset({"id", "pk", "op_id", "abonent_id", "account_id_abonents", *TEXT_KEYS})
_PARENT: Final = "parent_id"
ACCOUNTS: Final = "AdminAccounts"
OF_ABONENT: Final = "account_id_abonents"
"""The key by which the account of a subscriber is found [S]."""


async def find(
    gateway: Gateway, model: str, keys: Sequence[Key], fields: Collection[str], besides: Collection[str] = ()
) -> list[list[BillingObject]]:
    """The objects that each key finds, none to several, with these fields at least.

    `besides` are further fields, read where the billing has them. Raises `LookUpFailed`.
    """
    if not keys:
        return []
    asked = tuple(dict.fromkeys((*fields, *besides)))
    if gateway.database is not None and known_to_database(model, keys, asked):
        return await gateway.read(lambda database: from_database(database, model, keys, fields, besides))
    # The billing refuses calls about impossible keys.
    possible = [
        place
        for place, key in enumerate(keys)
        if all(can_be(name, value) for name, value in key.items() if name in _KEYS)
    ]
    # It is not known how a filter asks for no parent [?]: those with one are left to the reader of the answer.
    criteria = [
        {name: value for name, value in keys[place].items() if value or name != _PARENT} for place in possible
    ]
    ask = partial(_accounts, gateway) if model == ACCOUNTS else partial(gateway.objects_by, model)
    answers = await ask(criteria, with_owner(model, asked))
    found: list[list[BillingObject]] = [[] for _ in keys]
    with as_engine_errors():
        for place, answer in zip(possible, answers, strict=True):
            found[place] = of_answer(model, keys[place], fields, answer, besides)
    return found


async def find_by(
    gateway: Gateway,
    model: str,
    name: str,
    values: Iterable[Looked],
    fields: Collection[str],
    besides: Collection[str] = (),
) -> dict[Looked, list[BillingObject]]:
    """The objects by each of these values of a field, as `find` finds them."""
    each = list(dict.fromkeys(values))
    keys = [{name: str(value)} for value in each]
    return dict(zip(each, await find(gateway, model, keys, fields, besides), strict=True))


async def _accounts(
    gateway: Gateway, keys: Sequence[Criteria], fields: Sequence[str]
) -> list[list[dict[str, object]]]:
    """The accounts that each key finds through the API.

    The link from an account to its subscribers takes no filter by many values. So it is first asked which accounts
    many subscribers have, and then what these accounts are, where one question is known to tell of many.
    """
    are_many = len(keys) > 1 and all(key.keys() == {OF_ABONENT} for key in keys)
    if not are_many or not gateway.asks_by_many("Abonents.id", f"{ACCOUNTS}.id"):
        return await gateway.objects_by(ACCOUNTS, keys, fields)
    subscribers = [{"id": key[OF_ABONENT]} for key in keys]
    found = await gateway.objects_by("Abonents", subscribers, ("id", "account_id"))
    accounts = [str(one[0].get("account_id") or "") if one else "" for one in found]
    there = list(filter(None, accounts))
    answers = await gateway.objects_by(ACCOUNTS, [{"id": one} for one in there], fields)
    by_id = dict(zip(there, answers, strict=True))
    return [by_id.get(one, []) for one in accounts]


async def find_one(
    gateway: Gateway, model: str, keys: Sequence[Key], fields: Collection[str], besides: Collection[str] = ()
) -> list[BillingObject | str]:
    """The one object that each key finds, with fields as in `find`; or the reason why there is not exactly one.

    Raises `LookUpFailed`.
    """
    found = await find(gateway, model, keys, fields, besides)
    # Why no account is found for these: a deleted subscriber has one, but it must not be changed.
    nobodys = {
        text: whole_id(text)
        for key, things in zip(keys, found, strict=True)
        if not things and (text := key.get(OF_ABONENT)) is not None
    }
    ids = [key for key in nobodys.values() if isinstance(key, int)]
    resolved = await SubscriberFinder(gateway).by_ids(ids) if nobodys else {}
    why: dict[str, str] = {}
    for text, number in nobodys.items():
        subscriber = resolved.get(number, number)
        account_less = said("abonent {id} has no account", id=text)
        why[text] = subscriber if isinstance(subscriber, str) else account_less
    ones: list[BillingObject | str] = []
    for key, things in zip(keys, found, strict=True):
        if len(things) != 1:
            nobody = why.get(key.get(OF_ABONENT, "")) if not things else None
            ones.append(nobody or not_one(model, key, len(things)))
        # What cannot be read cannot be compared.
        elif things[0].faults and (faults := faults_of(things[0], fields)):
            what = which(model, key)
            ones.append(said("what {object} has cannot be read: {faults}", object=what, faults=faults))
        else:
            ones.append(things[0])
    return ones


def faults_of(thing: BillingObject, names: Collection[str]) -> tuple[str, ...]:
    return tuple(
        said("{name} {fault}", name=name, fault=fault) for name, fault in thing.faults.items() if name in names
    )


def not_one(model: str, key: Key, number: int) -> str:
    if not number:
        return said("there is no {object}", object=which(model, key))
    return said("{n} of {model} have {key}: name one by its id", n=Quantity(number), model=model, key=_in_words(key))


def which(model: str, key: Key) -> str:
    return said("{model} with {key}", model=model, key=_in_words(key))


def _in_words(key: Key) -> str:
    return ", ".join(f"{name} {value}" for name, value in key.items())


def key_of(arguments: Mapping[str, object]) -> dict[str, str]:
    """The key that the arguments of `objects.get` name, as texts."""
    return {name: "" if value is None else str(value) for name, value in arguments.items()}


def lane_of(model: str, key: Mapping[str, str], thing: BillingObject) -> str:
    """The lane, which allows one write at a time: the account, or the object itself if it has no account."""
    if thing.account_id is not None:
        return f"{ACCOUNT}{thing.account_id}"
    return f"{model}:{'/'.join(key.values())}"


def differences(wanted: Mapping[str, str | None], thing: BillingObject) -> dict[str, str | None]:
    """The fields that are not as wanted, each with its present value."""
    return {
        name: there
        for name, value in wanted.items()
        if (there := thing.values.get(name)) != value and not same_value(name, value, there)
    }


def describe_fields(values: Mapping[str, str | None]) -> str:
    """Values for a sentence, as `pull 6, ip nothing`."""
    return enumerated(
        said("{name} nothing", name=name) if value is None else f"{name} {value}" for name, value in values.items()
    )


def spell_out(arguments: Mapping[str, object]) -> dict[str, str | None]:
    """The arguments of a call in their plain spelling. Raises ValueError for money that is not a number."""
    return {name: plain_value(name, value) for name, value in arguments.items()}


# ---- subscribers --------------------------------------------------------------------------------------------------


Resolved: TypeAlias = Abonent | str
"""The subscriber, live and with an account; or the reason why there is none, for a sentence about the row."""

SUGGESTED_FOR: Final = 200
"""Unknown contract numbers of one run for which similar numbers are searched."""

_ASKED: Final = ("id", "contract_number", "name", "parent_id", "is_folder", "deleted", "account_id")
"""What the API is asked for; recordings of loads have this question."""
_NEEDED: Final = ("id", "is_folder", "deleted")
_OF_ANSWER: Final = (*_NEEDED, "account_id")
_TOLD: Final = ("contract_number", "name")


class SubscriberFinder:
    """Resolves ids and contract numbers to subscribers. One object a run: it limits the suggestions of a run.

    Contract numbers are texts and compared exactly: 00123 is not 123, and a Cyrillic А is not a Latin A.
    """

    def __init__(self, gateway: Gateway, *, suggested_for: int = SUGGESTED_FOR) -> None:
        self._gateway = gateway
        self._suggestions_left = suggested_for

    async def by_ids(self, ids: Collection[int]) -> Mapping[int | str, Resolved]:
        found = await self._having("id", ids)
        return {
            key: _usable(found[key][0]) if key in found else said("there is no abonent {id}", id=key) for key in ids
        }

    async def by_contract_numbers(self, numbers: Collection[str]) -> Mapping[int | str, Resolved]:
        """A subscriber or a reason for each number; the reason for an unknown number names similar ones.

        Raises `LookUpFailed`.
        """
        found = await self._having("contract_number", numbers)
        resolved: dict[int | str, Resolved] = {}
        for number, bearers in found.items():
            # A deleted subscriber's number may have been given to another.
            live = [one for one in bearers if not _is_gone(one)] if len(bearers) > 1 else bearers
            if len(live) > 1:
                resolved[number] = said(
                    "several subscribers have the contract number {number!r}: {subscribers}; tell them apart by "
                    "abonent_id",
                    number=number,
                    subscribers=tuple(
                        said(
                            "abonent {id} ({name})",
                            id=str(one.values["id"]),
                            name=one.values.get("name") or said("no name"),
                        )
                        for one in live
                    ),
                )
            else:
                resolved[number] = _usable((live or bearers)[0])
        unknown = [number for number in dict.fromkeys(numbers) if number not in found]
        searched = unknown[: self._suggestions_left]
        self._suggestions_left -= len(searched)
        near: dict[str, list[Suggestion]] = {}
        if searched and self._gateway.database is not None:
            near = await self._gateway.read(lambda database: abonents.suggestions(database, searched))
        for number in unknown:
            similar = tuple(
                said("{number!r} ({reason})", number=one.contract_number, reason=one.reason)
                for one in near.get(number, ())
            )
            if similar:
                why = wording("there is no contract number {number!r}; there is {similar}")
            elif number in near:
                why = wording("there is no contract number {number!r}, nor one like it")
            elif self._gateway.database is None:
                why = wording(
                    "there is no contract number {number!r} (similar ones are searched for in the database only)"
                )
            else:
                why = wording(
                    "there is no contract number {number!r} (similar ones are no longer searched for: too many "
                    "numbers are unknown)"
                )
            resolved[number] = said(why, number=number, similar=similar)
        return resolved

    async def _having(self, field: str, values: Iterable[Looked]) -> dict[Looked, list[BillingObject]]:
        """By value, the subscribers and folders with exactly this value of a field, deleted ones too.

        Raises `LookUpFailed`.
        """
        gateway = self._gateway
        each = list(dict.fromkeys(values))
        if gateway.database is None:
            each = [value for value in each if can_be(field, str(value))]
        keys = [{field: str(value)} for value in each]
        if gateway.database is not None:
            found = await gateway.read(lambda database: from_database(database, "Abonents", keys, _NEEDED, _TOLD))
        else:
            answers = await gateway.objects_by("Abonents", [{field: value} for value in each], _ASKED)
            with as_engine_errors():
                found = [
                    [one for one in of_answer("Abonents", key, _OF_ANSWER, answer, _TOLD) if meets_key(key, one)]
                    for key, answer in zip(keys, answers, strict=True)
                ]
        return {value: things for value, things in zip(each, found, strict=True) if things}


def name_of(abonent: Abonent) -> str:
    return abonent.contract_number or said("abonent {id}", id=abonent.id)


def _is_gone(thing: BillingObject) -> bool:
    # Of nearly all, both are 0, and each call is counted.
    flags = (thing.values["deleted"], thing.values["is_folder"])
    return flags != ("0", "0") and any(map(as_bool, flags))


def _usable(thing: BillingObject) -> Resolved:
    key, name = thing.values["id"] or "", thing.values.get("name")
    if thing.faults:
        return said("what {object} has cannot be read: {faults}", object=key, faults=faults_of(thing, thing.faults))
    if _is_gone(thing):
        if as_bool(thing.values["is_folder"]):
            return said("abonent {id} is a folder ({name}), no subscriber", id=key, name=name or "")
        return said("abonent {id} is deleted", id=key)
    if thing.account_id is None:
        return said("abonent {id} has no account", id=key)
    return Abonent(int(key), thing.values.get("contract_number"), name, thing.account_id)


# ---- checked once, before the first call -------------------------------------------------------------------------
#
# If a look-up does not work, every lost call stays in doubt. So each effect tries its look-ups first: the same
# statements, filters and fields, for a key that no object has.

NOBODY: Final = LARGEST_ID
"""An id that no object of a billing has: the largest that its columns can hold."""

FOUND_AGAIN: Final = said("lost calls are found again")
KEPT: Final = said("what a call overwrites is kept, to be set back")
FOUND_AGAIN_AND_KEPT: Final = said("lost calls are found again, and what a call overwrites is kept, to be set back")
TAKEN_BACK: Final = said("what the run has done is taken back")
FROM_NEW: Final = said("what is there already is told from what is new")


@contextmanager
def needed(purpose: str) -> Iterator[None]:
    """Refuse a run whose look-up is refused; `purpose` says why it is needed. Raises `InputRefused`."""
    try:
        yield
    except LookUpRefused as error:
        if isinstance(error.__cause__, ColumnsMissing):
            refusal = said(
                "{error}, by which {purpose}: no call is made without it. Ask the vendor what it is called in this "
                "version; with no database set, the API is asked in its place",
                error=error,
                purpose=purpose,
            )
        else:
            refusal = said(
                "{error}; and by this {purpose}: no call is made without it. Ask the vendor how this version is "
                "asked for it",
                error=error,
                purpose=purpose,
            )
        raise InputRefused(refusal) from error


async def try_finding(
    gateway: Gateway, model: str, names: Collection[str], fields: Collection[str], besides: Collection[str] = ()
) -> None:
    """Look for an object by these key fields, with values that no object has. Raises `LookUpFailed`.

    A model or a key without a recipe is not tried: its possible values are not known, and the plan of each row has
    made the same look-up.
    """
    key = dict.fromkeys(names, str(NOBODY))
    if names and known_to_database(model, [key], (*fields, *besides)):
        await find(gateway, model, [key], fields, besides)


# ---- references ---------------------------------------------------------------------------------------------------
# Ids in a job's parameters, checked in the billing before anything is sent.


def nowhere(kind: str, key: str) -> Said:
    return said("the billing has no {noun} {id}, or it is deleted", noun=REFERENCES[kind].noun, id=key)


REMEMBERED: Final = 10_000
"""Ids of a kind that are remembered; the rows of a page mostly share a few."""


class References:
    """Finds the ids that are not in the billing. One object a job: it remembers the answers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._there: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        self._unchecked: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._unchecked.values())

    async def missing(self, kind: str, ids: Collection[str]) -> set[str]:
        """The ids that are not in the billing or are deleted. Raises `LookUpFailed`."""
        known = self._there[kind]
        wanted = [key for key in dict.fromkeys(ids) if key.isascii() and key.isdigit()]
        # Pages are prepared beside each other: what this one needs is taken from no other's memory.
        there = {key: known[key] for key in wanted if key in known}
        if unknown := [key for key in wanted if key not in there]:
            found = await self._asked(kind, unknown)
            there |= found
            if len(known) + len(found) > REMEMBERED:
                known.clear()
            known |= found
        return {key for key, exists in there.items() if not exists}

    async def _asked(self, kind: str, ids: Collection[str]) -> dict[str, bool]:
        reference, gateway = REFERENCES[kind], self._gateway
        possible = {int(key) for key in ids if int(key[:19]) <= LARGEST_ID}
        there: set[int] = set()
        all_known = False
        if gateway.database is not None:
            there = await gateway.read(lambda database: there_of(database, reference, possible))
            all_known = await gateway.read(lambda database: has_table(database, reference))
        left = sorted(possible - there)
        if reference.model and not all_known:
            try:
                flags = tuple(name for name, _ in reference.flags)
                answers = await gateway.objects_by(reference.model, [{"id": key} for key in left], ("id", *flags))
            except LookUpDelayed:
                raise
            except LookUpFailed:
                # The billing may not know the model: this says nothing of its objects.
                pass
            else:
                all_known = True
                there |= {key for key, found in zip(left, answers, strict=True) if is_there(reference, found)}
        if not all_known and (doubtful := sorted(possible - there)):
            self._unchecked.setdefault(
                kind,
                said(
                    "{noun} {id} was not checked: nothing has it yet, and the billing's table of {noun}s is not "
                    "known",
                    noun=reference.noun,
                    id=doubtful[0],
                ),
            )
            there |= possible
        return {key: int(key[:19]) in there for key in ids}


# ---- finance operations and balances ------------------------------------------------------------------------------


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
_OF_OPERATIONS: Final = said("finance operations")


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
        lambda one, fields: (one, _operation(fields, one, _whole(fields.get(OP_TYPE), _OF_OPERATIONS, OP_TYPE))),
    )
    for abonent, operation in found:
        if operation.op_id > last[abonent]:
            newer[abonent].append(operation)
    return newer


def balances_set(operations: Sequence[Operation]) -> list[Operation]:
    """Those of these operations that have set the balance and were not taken back, without what takes one back.

    The balance goes back to what it was before a whole run: with its last operation on an account all are taken back.
    """
    there = [one for one in operations if one.op_type == OPENING_BALANCE and not one.storno]
    there.sort(key=attrgetter("op_id"))
    marks = {str(one.op_id): find_mark(one.descr) or (str(one.op_id), 0) for one in there}
    for one in reversed(there):
        undone = undone_by(one.descr)
        if str(one.op_id) in marks and undone in marks:
            # What takes back something that was taken back itself is gone by now.
            gone = {marks[str(one.op_id)][0], marks[undone][0]}
            marks = {key: mark for key, mark in marks.items() if mark[0] not in gone}
    return [one for one in there if str(one.op_id) in marks]


async def balances(gateway: Gateway, ids: Collection[int]) -> Mapping[int, Decimal]:
    """The balances of these subscribers' accounts in roubles; nothing without a database. Raises `LookUpFailed`."""
    if gateway.database is None or not ids:
        return {}
    return await gateway.read(lambda database: abonents.balances(database, ids))


def described(op_id: object, amount: Decimal | str, moment: str) -> str:
    """An operation in words: `operation 5 of 50.50, 2026-11-01`."""
    day = day_in(moment) or said("without a date")
    return said("operation {id} of {amount}, {day}", id=str(op_id), amount=amount, day=day)


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
    return _whole(fields.get("op_id", fields.get("pk")), _OF_OPERATIONS, "op_id")


def _whole(key: object, asked: str, name: str) -> int:
    if not isinstance(key, int | str) or created_id(key) is None:
        raise UnreadableAnswer(
            "The billing was asked for {asked}, and its answer has no {name}.", asked=asked, name=name
        )
    return int(key)
