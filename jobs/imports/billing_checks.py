"""An input against the billing, before anything is sent: what is taken there, and what is not there.

With a database the billing is read once, page by page, and only what the input has is kept (`seen_values.py`).
Without one the API is asked for each page of rows; what it cannot tell is noted.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final, TypeAlias

import anyio.to_thread

from billing.contract_numbers import reason
from billing.database.database import Database
from billing.directory.objects import can_be
from billing.directory.references import REFERENCES
from billing.directory.taken import (
    AccountTaken,
    accounts_of,
    accounts_taken,
    call_for_account,
    call_for_number,
    numbers_of,
    numbers_taken,
    pool_ranges,
)
from billing.errors import ColumnsMissing
from engine.errors import LookUpRefused
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.references import References
from jobs.imports.duplicates import ALIKE
from jobs.imports.fields import FieldKind, FieldTable, part_key
from jobs.imports.seen_values import ADDRESSES, LOGINS, NUMBERS, SeenValues, Taken, Watched
from jobs.imports.subscriber import FOLDER_ID, NUMBER, Part, Step, Subscriber, Value, ValueFault
from jobs.imports.value_checks import ValueName, values_of
from texts.remedies import setting
from texts.said import Said, said

Look: TypeAlias = Callable[[Watched, str], Sequence[Taken]]
"""Gives what the billing has of a value, live ones first."""

_FOLDER: Final = "Folder"
_NETWORK: Final = 256
"""Addresses of the smallest network that a pool is likely to be made of."""
_MOST_NETWORKS: Final = 50_000


@dataclass(slots=True)
class BillingFindings:
    """What is found of one subscriber: faults, and what may be right and is to be looked at."""

    faults: list[ValueFault] = field(default_factory=list)
    warnings: list[ValueFault] = field(default_factory=list)


class BillingChecks:
    """The checks of subscribers against the billing; `survey` is called once, after all rows were seen.

    With `alike` a contract number that only looks like one of the billing is no fault.
    """

    def __init__(self, gateway: Gateway, fields: FieldTable, seen: SeenValues, *, alike: bool = False) -> None:
        self._gateway = gateway
        self._seen = seen
        self._alike = alike
        self._kinds = dict(_reference_kinds(fields))
        self._references = References(gateway)
        self._pools: Mapping[str, tuple[IPv4Address, IPv4Address]] = {}
        self._networks: set[int] = set()
        self._from_database = False
        self._notes: list[Said] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be checked, a sentence each."""
        return (*self._notes, *self._references.notes)

    async def survey(self) -> None:
        """Read what is taken in the billing. Raises `LookUpFailed` and `InputRefused`."""
        self._from_database = await self._has_read(self._take_all)
        if not self._from_database:
            self._notes.append(
                said(
                    "contract numbers of the billing that only look like one of the input, and addresses out of its "
                    "pools, were not looked for: that takes the billing's database"
                )
            )
        elif not await self._has_read(self._read_pools):
            self._notes.append(
                said(
                    "addresses were compared with the networks in which the billing has accounts, for its table of "
                    "pools is not known"
                )
            )

    async def _has_read(self, work: Callable[[Database], None]) -> bool:
        """Whether there is a database, and it has the columns that are read. Raises `LookUpFailed`."""
        if self._gateway.database is None:
            return False
        try:
            await self._gateway.read(work)
        except LookUpRefused as error:
            if isinstance(error.__cause__, ColumnsMissing):
                return False
            raise
        return True

    def _read_pools(self, database: Database) -> None:
        self._pools = pool_ranges(database)

    async def judge(self, subscribers: Sequence[Subscriber]) -> list[BillingFindings]:
        """What is found of each subscriber of a page. Raises `LookUpFailed`."""
        missing = await self._missing(subscribers)
        look = self._seen.taken if self._from_database else await self._asked(subscribers)

        def work() -> list[BillingFindings]:
            return [self._of(one, look, missing) for one in subscribers]

        return await anyio.to_thread.run_sync(work)

    # ---- what is there --------------------------------------------------------------------------------------------

    def _take_all(self, database: Database) -> None:
        for numbers in numbers_taken(database):
            self._seen.take(NUMBERS, [Taken(one.number, one.deleted, one.abonent, one.number) for one in numbers])
        for accounts in accounts_taken(database):
            self._seen.take(LOGINS, [_as_taken(one, one.login) for one in accounts])
            with_address = [one for one in accounts if one.address and not one.deleted]
            self._seen.take(ADDRESSES, [_as_taken(one, one.address) for one in with_address])
            if len(self._networks) < _MOST_NETWORKS:
                self._networks |= {int(IPv4Address(one.address)) // _NETWORK for one in with_address}
        if len(self._networks) >= _MOST_NETWORKS:
            # Not all of them are known then, and being in none of the others means nothing.
            self._networks.clear()

    async def _asked(self, subscribers: Sequence[Subscriber]) -> Look:
        """What the API has of the values of a page, a call a value; none for a value that no object can have."""
        numbers = [one for one in _texts(subscribers, Step.SUBSCRIBER, NUMBER) if can_be(NUMBER, one)]
        by_field = {
            (LOGINS, "login"): [one for one in _texts(subscribers, Step.ACCOUNT, "login") if can_be("login", one)],
            (ADDRESSES, "ip"): [one for one in _texts(subscribers, Step.ACCOUNT, "ip") if _is_address(one)],
        }
        answers = await self._gateway.ask([call_for_number(number) for number in numbers])
        found: defaultdict[tuple[str, str], list[Taken]] = defaultdict(list)
        owners: dict[str, str] = {}
        with as_engine_errors():
            for answer in answers:
                for one in (one for one in numbers_of(answer) if one.number in numbers):
                    owners[one.abonent] = one.number
                    found[NUMBERS.kind, one.number].append(Taken(one.number, one.deleted, one.abonent, one.number))
        for (watched, name), values in by_field.items():
            answers = await self._gateway.ask([call_for_account(name, value) for value in values])
            with as_engine_errors():
                for value, answer in zip(values, answers, strict=True):
                    found[watched.kind, value] += [
                        _as_taken(one, value, owners.get(one.abonent, ""))
                        for one in accounts_of(answer)
                        if value in {one.login, one.address}
                    ]
        return lambda watched, text: sorted(found[watched.kind, text], key=lambda one: one.deleted)

    async def _missing(self, subscribers: Sequence[Subscriber]) -> Mapping[str, Collection[str]]:
        """The ids of a page that are not in the billing, by kind."""
        wanted: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for one in subscribers:
            for name, value in values_of(one, self._kinds):
                wanted[self._kinds[name]][value.text] = None
        return {kind: await self._references.missing(kind, ids) for kind, ids in wanted.items()}

    # ---- what is said of it ---------------------------------------------------------------------------------------

    def _of(self, subscriber: Subscriber, look: Look, missing: Mapping[str, Collection[str]]) -> BillingFindings:
        found = BillingFindings()
        for _, value in values_of(subscriber, [(Step.SUBSCRIBER, NUMBER)]):
            self._judge_number(value, look(NUMBERS, value.text), found)
        for account in subscriber.of(Step.ACCOUNT):
            self._judge_account(account, subscriber.number, look, found)
        for name, value in values_of(subscriber, self._kinds):
            kind = self._kinds[name]
            if value.text in missing[kind]:
                found.faults.append(
                    _fault(
                        value,
                        said(
                            "the billing has no {noun} {id}, or it is deleted",
                            noun=REFERENCES[kind].noun,
                            id=value.text,
                        ),
                    )
                )
        return found

    def _judge_number(self, value: Value, taken: Sequence[Taken], found: BillingFindings) -> None:
        same = [one for one in taken if one.value == value.text]
        live = [one for one in taken if not one.deleted]
        if same and all(one.deleted for one in same):
            found.warnings.append(
                _fault(
                    value,
                    said(
                        "a deleted subscriber of the billing, abonent {id}, has the contract number: the billing may "
                        "refuse it",
                        id=same[0].abonent,
                    ),
                )
            )
        elif not same and live and not self._alike:
            found.faults.append(
                _fault(
                    value,
                    said(
                        "the billing has the contract number {other!r}, {reason}: write it in the same way if it is "
                        "the same subscriber, or give {flag} if both are right",
                        other=live[0].value,
                        reason=reason(value.text, live[0].value),
                        flag=setting(ALIKE),
                    ),
                )
            )

    def _judge_account(self, account: Part, number: str, look: Look, found: BillingFindings) -> None:
        login, address = account.values.get("login"), account.values.get("ip")
        if login is not None:
            _judge_login(login, number, [one for one in look(LOGINS, login.text) if one.value == login.text], found)
        if address is None:
            return
        taken = [one for one in look(ADDRESSES, address.text) if not one.deleted]
        others = [one for one in taken if login is None or one.login != login.text]
        if others:
            why = said(
                "{address} is the address of the account {login} in the billing, of {subscriber}",
                address=address.text,
                login=others[0].login,
                subscriber=_owner(others[0]),
            )
            found.faults.append(_fault(address, why))
        elif not taken:
            self._judge_pool(address, account.text("pull"), found)

    def _judge_pool(self, value: Value, pool: str, found: BillingFindings) -> None:
        if not _is_address(value.text):
            # It has a fault of its own.
            return
        address = IPv4Address(value.text)
        if pool in self._pools:
            first, last = self._pools[pool]
            if not first <= address <= last:
                why = said(
                    "{address} is not in the pool {pool}, which goes from {first} to {last}",
                    address=value.text,
                    pool=pool,
                    first=str(first),
                    last=str(last),
                )
                found.faults.append(_fault(value, why))
        elif self._pools:
            if not any(first <= address <= last for first, last in self._pools.values()):
                found.warnings.append(
                    _fault(value, said("{address} is in none of the billing's pools", address=value.text))
                )
        elif self._networks and int(address) // _NETWORK not in self._networks:
            why = said("{address} is in none of the networks in which the billing has accounts", address=value.text)
            found.warnings.append(_fault(value, why))


def _judge_login(value: Value, number: str, taken: Sequence[Taken], found: BillingFindings) -> None:
    live = [one for one in taken if not one.deleted]
    others = [one for one in live if one.number != number]
    if others:
        why = said("the login is that of {subscriber} in the billing", subscriber=_owner(others[0]))
        found.faults.append(_fault(value, why))
    elif taken and not live:
        why = said(
            "the login is that of a deleted account of {subscriber}: the billing may refuse it",
            subscriber=_owner(taken[0]),
        )
        found.warnings.append(_fault(value, why))


def _reference_kinds(fields: FieldTable) -> Iterator[tuple[ValueName, str]]:
    """The kind of reference of each value that is an id."""
    for step, name, one in fields.names():
        key = part_key(step, name)
        if step is Step.FOLDER and key == FOLDER_ID:
            yield (step, key), _FOLDER
        elif one.kind is FieldKind.ID and one.dictionary in REFERENCES:
            yield (step, key), one.dictionary


def _texts(subscribers: Sequence[Subscriber], step: Step, name: str) -> dict[str, None]:
    """The texts of a value of a page, each once."""
    return dict.fromkeys(value.text for one in subscribers for _, value in values_of(one, [(step, name)]))


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _as_taken(account: AccountTaken, value: str, number: str = "") -> Taken:
    return Taken(value, account.deleted, account.abonent, account.number or number, account.login)


def _owner(taken: Taken) -> Said:
    """The subscriber of the billing that has a value."""
    if taken.number:
        return said("contract number {number}", number=taken.number)
    return said("abonent {id}", id=taken.abonent)


def _fault(value: Value, why: Said) -> ValueFault:
    return ValueFault(value.place, value.text, why)
