"""What the billing has of the subscribers of a table, read in bulk: themselves, and what belongs to them.

    contract numbers ──▶ subscribers ──▶ services, attributes, money accounts      logins ──▶ accounts

Only what the table has a part for is read. Deleted objects do not count.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from billing.api.calls import is_secret
from billing.directory.models import MODELS, BillingObject
from billing.profile import TypeEight
from jobs.access.gateway import Gateway
from jobs.access.objects import OF_ABONENT, find
from jobs.access.operations import newest_on_account, sharers_of
from jobs.access.subscribers import SubscriberFinder, as_bool
from jobs.effects.creatable_models import BALANCE, CREATABLE_MODELS, FOLDER_FLAG
from jobs.imports.subscriber import NUMBER, STEP_MODELS, Step, Subscriber

LOGIN: Final = "login"
OF_MONEY: Final[Mapping[Step, str]] = {
    Step.THRESHOLD: "limit_warning",
    Step.LIMIT: "limit",
    Step.BALANCE: BALANCE,
}
"""The field of a money account that a step sets."""

_PARENT: Final = "parent_id"
_TARIFF: Final = "tarif_id"
_ABONENT: Final = "abonent_id"


@dataclass(frozen=True, slots=True)
class SubscriberThere:
    """A subscriber of the billing. `money` is its account of money, None without one.

    `services` and `attributes` are by the id of the service and of the attribute. `sharers` are other live
    subscribers of its account, `newest` is the last operation on it, where its balance is to be set.
    """

    thing: BillingObject
    services: Mapping[str, Sequence[BillingObject]] = field(default_factory=dict)
    attributes: Mapping[str, Sequence[BillingObject]] = field(default_factory=dict)
    money: BillingObject | None = None
    sharers: tuple[str, ...] = ()
    newest: int = 0

    @property
    def id(self) -> int:
        """Its id."""
        return int(self.thing.values["id"] or 0)

    def is_called(self, name: str) -> bool:
        """Whether it may be who is meant by that name: with another one it may be somebody else with its number."""
        there = self.thing.values.get("name")
        return not name or not there or _plain(there) == _plain(name)


@dataclass(frozen=True, slots=True)
class PageThere:
    """What there is of a page of subscribers: live ones by contract number, accounts by login."""

    bearers: Mapping[str, Sequence[SubscriberThere]]
    accounts: Mapping[str, Sequence[BillingObject]]


async def read_page(gateway: Gateway, page: Sequence[Subscriber]) -> PageThere:
    """Read what there is of these subscribers. Raises `LookUpFailed`."""
    things = await _bearers(gateway, page)
    there = {number: one for number, found in things.items() for one in found if len(found) == 1}
    having = {step: _of_these(page, there, step) for step in Step}
    services, attributes = [
        await _belonging(gateway, step, having[step], _fields(page, step)) for step in (Step.SERVICE, Step.ATTRIBUTE)
    ]
    money = await _money(gateway, having)
    sharers = await _sharers(gateway, having[Step.BALANCE])
    setting = list(map(int, having[Step.BALANCE])) if gateway.profile.type_8.value is TypeEight.SETS else []
    last = await newest_on_account(gateway, setting) if setting else {}
    return PageThere(
        {
            number: [
                SubscriberThere(
                    one,
                    services.get(_id(one), {}),
                    attributes.get(_id(one), {}),
                    money.get(_id(one)),
                    sharers.get(_id(one), ()),
                    last.get(int(_id(one) or 0), 0),
                )
                for one in found
            ]
            for number, found in things.items()
        },
        await _accounts(gateway, page),
    )


# ---- subscribers and accounts -----------------------------------------------------------------------------------


async def _bearers(gateway: Gateway, page: Sequence[Subscriber]) -> dict[str, list[BillingObject]]:
    """The live subscribers with each number, with all fields that the page has of them."""
    kind, numbers = CREATABLE_MODELS["Abonents"], list(dict.fromkeys(one.number for one in page))
    fields = [*_fields(page, Step.SUBSCRIBER), *_fields(page, Step.TARIFF)]
    own, others = _split("Abonents", fields)
    found = await find(
        gateway, "Abonents", [{NUMBER: number} for number in numbers], kind.fields((FOLDER_FLAG, _PARENT, *own))
    )
    live = {
        number: [one for one in things if kind.counts(one) and not as_bool(one.values[FOLDER_FLAG])]
        for number, things in zip(numbers, found, strict=True)
    }
    return await _completed(gateway, "Abonents", live, others)


async def _accounts(gateway: Gateway, page: Sequence[Subscriber]) -> dict[str, list[BillingObject]]:
    """The live accounts with each login, with all fields that the page has of them."""
    kind = CREATABLE_MODELS["Users"]
    logins = list(dict.fromkeys(part.text(LOGIN) for one in page for part in one.of(Step.ACCOUNT)))
    own, others = _split("Users", _fields(page, Step.ACCOUNT))
    found = await find(gateway, "Users", [{LOGIN: login} for login in logins], kind.fields((_ABONENT, *own)))
    live = {login: [one for one in things if kind.counts(one)] for login, things in zip(logins, found, strict=True)}
    return await _completed(gateway, "Users", live, others)


async def _completed(
    gateway: Gateway, model: str, live: Mapping[str, list[BillingObject]], others: Sequence[str]
) -> dict[str, list[BillingObject]]:
    """The objects with fields that the database is not known to have, asked for through the API."""
    if not others:
        return dict(live)
    ids = [_id(one) for things in live.values() for one in things]
    found = await find(gateway, model, [{"id": key} for key in ids], ("id", *others))
    more = {key: things[0].values for key, things in zip(ids, found, strict=True) if len(things) == 1}
    return {
        key: [
            BillingObject(
                one.abonent_id, one.account_id, one.label, {**one.values, **more.get(_id(one), {})}, one.faults
            )
            for one in things
        ]
        for key, things in live.items()
    }


# ---- what belongs to them ---------------------------------------------------------------------------------------


def _of_these(page: Sequence[Subscriber], there: Mapping[str, BillingObject], step: Step) -> dict[str, BillingObject]:
    """The subscribers that are there and have a part of a step, by id."""
    found = (there[one.number] for one in page if one.number in there and one.part(step) is not None)
    return {_id(one): one for one in found}


async def _belonging(
    gateway: Gateway, step: Step, owners: Mapping[str, BillingObject], fields: Iterable[str]
) -> dict[str, dict[str, list[BillingObject]]]:
    """The live objects of a model by subscriber and by the id that tells them apart."""
    model, name = STEP_MODELS[step], "usluga_id" if step is Step.SERVICE else "attribute_id"
    kind = CREATABLE_MODELS[model]
    keys = [{_ABONENT: owner} for owner in owners]
    wanted = kind.fields((name, *(one for one in fields if one != _ABONENT)))
    found = await find(gateway, model, keys, wanted) if keys else []
    belonging: dict[str, dict[str, list[BillingObject]]] = {}
    for owner, things in zip(owners, found, strict=True):
        by_id: defaultdict[str, list[BillingObject]] = defaultdict(list)
        for one in things:
            if kind.counts(one):
                by_id[one.values[name] or ""].append(one)
        belonging[owner] = dict(by_id)
    return belonging


async def _money(gateway: Gateway, having: Mapping[Step, Mapping[str, BillingObject]]) -> dict[str, BillingObject]:
    """The accounts of money of subscribers, by their ids."""
    owners = list(dict.fromkeys(owner for step in OF_MONEY for owner in having[step]))
    fields = [name for step, name in OF_MONEY.items() if having[step]]
    keys = [{OF_ABONENT: owner} for owner in owners]
    found = await find(gateway, "AdminAccounts", keys, ("id", *fields)) if keys else []
    return {owner: things[0] for owner, things in zip(owners, found, strict=True) if len(things) == 1}


async def _sharers(gateway: Gateway, owners: Mapping[str, BillingObject]) -> dict[str, tuple[str, ...]]:
    """The other subscribers whose balance the opening balance of each would replace, where type 8 sets it."""
    accounts = {owner: one.account_id for owner, one in owners.items() if one.account_id is not None}
    if gateway.profile.type_8.value is not TypeEight.SETS or not accounts:
        return {}
    found = await sharers_of(gateway, set(accounts.values()))
    others = {
        owner: [one for one in found.get(account, ()) if str(one) != owner] for owner, account in accounts.items()
    }
    ids = {one for ones in others.values() for one in ones}
    live = await SubscriberFinder(gateway).by_ids(ids) if ids else {}
    return {
        owner: tuple(str(one) for one in ones if not isinstance(live[one], str)) for owner, ones in others.items()
    }


# ---- fields -----------------------------------------------------------------------------------------------------


def _fields(page: Sequence[Subscriber], step: Step) -> list[str]:
    """The fields that the parts of a step have, without secrets, which are never read."""
    names = dict.fromkeys(name for one in page for part in one.of(step) for name in part.values)
    return [name for name in names if not is_secret(name)]


def _split(model: str, fields: Collection[str]) -> tuple[list[str], list[str]]:
    """The fields that are documented, and the others: only the API may know these."""
    known = MODELS[model].fields
    own = [name for name in fields if name in known]
    return own, [name for name in fields if name not in known]


def _id(thing: BillingObject) -> str:
    return thing.values["id"] or ""


def _plain(name: str) -> str:
    """A name as two are compared: without case, dots, and the dots of ё."""
    return " ".join(name.casefold().replace("ё", "е").replace(".", " ").split())
