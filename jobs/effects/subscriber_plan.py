"""From the subscribers of a table to the items of their steps, compared with what the billing has.

    folder ─▶ subscriber ─▶ account ─▶ tariff ─▶ service ─▶ attribute ─▶ threshold ─▶ limit ─▶ balance

Each step needs the one before it. The id of what is not there yet is filled in from the answer of the step that
creates it. What is there and equal is skipped; what is there and differs is named, or changed if that was said.
"""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Final, TypeAlias, TypeVar

from msgspec.structs import replace

from billing.api.calls import ChainStep, is_secret
from billing.directory.models import LONGEST_NAME, MODELS, OPENING_BALANCE, BillingObject, Values, as_bool
from billing.money import two_decimals, wire
from billing.profile import TypeEight
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_WANTED, DIFFERENT, NEEDS_NONE
from engine.evidence import Seen
from engine.job import Absent, BeforeImageMode, CannotLook, LookedFor, LookUpResult, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    OF_ABONENT,
    SubscriberFinder,
    describe_fields,
    differences,
    faults_of,
    find_by,
    key_of,
    newest,
    sharers_of,
    spell_out,
)
from jobs.access.payload import BALANCE, FOLDER_LANE, OP_TYPE, Payload, encode_payload, payload_of
from jobs.effects.creatable_models import CREATABLE_MODELS, FOLDER_FLAG, creatable_model, since_opening, too_long
from jobs.effects.create import payload_for
from jobs.effects.effect import CallEffect
from jobs.imports.fields import FieldKind, usual_fields
from jobs.imports.names_there import FOLDER, NamesThere, plain_name
from jobs.imports.subscriber import (
    FOLDER_ID,
    LANE,
    NUMBER,
    PATH,
    STEP_MODELS,
    STEP_NAMES,
    Part,
    Step,
    Subscriber,
    Value,
    folder_names,
    folder_path,
)
from jobs.rows.binding import ABONENT, LOGIN, amount_fault
from jobs.spec.parameters import row_key, whole_id
from jobs.spec.spec import GET, SAVE, SET
from texts.said import Given, reason, said, some_of, wording
from texts.said import setting as flag

# ---- the steps, their keys, and the payloads of their calls -------------------------------------------------------
# A payload shows which object a step creates or sets, and each is sent, looked up and read back by the effect that a
# job with this one call would have. Steps need each other by their keys:
#
# folder/Дома/Новые     00777/subscriber/     00777/account/ivanov     00777/service/126     00777/balance/

PARENT: Final = "parent_id"
OBJECT: Final = "id"
"""The places of ids that are filled in."""

SUM: Final = "op_summa"
_TARIFF: Final = "tarif_id"
OF_MONEY: Final[Mapping[Step, str]] = {
    Step.THRESHOLD: "limit_warning",
    Step.LIMIT: "limit",
    Step.BALANCE: BALANCE,
}
"""The field of a money account that a step sets."""

DETAILS: Final[Mapping[Step, str]] = {
    Step.ACCOUNT: LOGIN,
    Step.SERVICE: "usluga_id",
    Step.ATTRIBUTE: "attribute_id",
}
"""The value that tells parts of one step apart."""

_T = TypeVar("_T")
FolderName: TypeAlias = tuple[str, str]
"""How a row names its folder: by `FOLDER_ID` or by `PATH`, and that text, "" for the top."""


class OfSteps(CallEffect):
    """The effect of items that are steps: each has the ordinary effect that a job with its one call would have."""

    has_steps = True
    looked_for = LookedFor.ALWAYS

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.keeps = BeforeImageMode.TOGETHER if gateway.database is not None else BeforeImageMode.ONE_BY_ONE

    @abstractmethod
    def _of(self, payload: Payload) -> CallEffect:
        """The effect of a step: which it is, its call shows."""

    async def _of_each(
        self,
        ask: Callable[[CallEffect, list[Item]], Awaitable[Mapping[int, _T]]],
        items: Sequence[Item],
        *,
        whole: bool = True,
    ) -> dict[int, _T]:
        """What the effect of each step says of its items; only of those with all ids, if they are to be `whole`."""
        groups: defaultdict[CallEffect, list[Item]] = defaultdict(list)
        for item in items:
            payload = payload_of(item)
            if not whole or payload.is_whole:
                groups[self._of(payload)].append(item)
        return {key: one for effect, group in groups.items() for key, one in (await ask(effect, group)).items()}

    def needs(self, item: Item) -> Sequence[str]:
        return payload_of(item).needs

    def name_of(self, item: Item) -> str:
        return said("{step} of {whose}", step=STEP_NAMES[Step(payload_of(item).step)], whose=item.label)

    def describe(self, run_name: str, item: Item) -> str:
        return self._of(payload_of(item)).describe(run_name, item)

    async def send(self, run: Run, item: Item) -> Seen:
        return await self._of(payload_of(item)).send(run, item)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        found = await self._of_each(lambda effect, group: effect.look_up(run, group), items)
        # A step without the id of its subscriber was never sent.
        return {one.item_id: Absent() for one in items if not payload_of(one).is_whole} | found

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        return await self._of_each(lambda effect, group: effect.read_back(run, group), items, whole=False)

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        return await self._of_each(lambda effect, group: effect.read_before_images(group), items)


# ---- keys --------------------------------------------------------------------------------------------------------


def folder_key(path: str) -> str:
    return row_key((Step.FOLDER, path))


def step_key(number: str, step: Step, detail: str = "") -> str:
    return row_key((number, step, detail))


def folder_name(subscriber: Subscriber) -> FolderName:
    part = subscriber.part(Step.FOLDER)
    if part is None:
        return PATH, ""
    return (FOLDER_ID, part.text(FOLDER_ID)) if part.text(FOLDER_ID) else (PATH, part.text(PATH))


def detail_of(part: Part) -> str:
    """The value that tells a part from others of its step, "" where there is one part alone."""
    return part.text(DETAILS[part.step]) if part.step in DETAILS else ""


def groups_of(subscriber: Subscriber) -> dict[str, str]:
    """What the subscriber is counted by in the reconciliation of a report."""
    person, tariff, balance = (subscriber.part(step) for step in (Step.SUBSCRIBER, Step.TARIFF, Step.BALANCE))
    named = {
        "folder": folder_name(subscriber)[1],
        "tariff": "" if tariff is None else tariff.text(_TARIFF),
        "operator": "" if person is None else person.text("operator_id"),
        "balance": "" if balance is None else balance.text(SUM),
    }
    return {name: text for name, text in named.items() if text}


# ---- payloads ---------------------------------------------------------------------------------------------------


def arguments_of(part: Part) -> dict[str, object]:
    """The values of a part as arguments of a call: ids and flags as numbers, empty ones left out."""
    return {
        name: int(text) if text.isascii() and text.isdigit() and _is_number(part.step, name) else text
        for name, value in part.values.items()
        if (text := value.text)
    }


def setting(
    step: Step, key: Mapping[str, object], assigned: Mapping[str, object], was: Mapping[str, str | None], abonent: int
) -> Payload:
    return Payload(
        model=STEP_MODELS[step],
        steps=(ChainStep(GET, key), ChainStep(SET, assigned), ChainStep(SAVE)),
        abonent=abonent,
        key=key_of(key),
        wanted=spell_out(assigned),
        was=dict(was),
        step=step,
    )


def comparable(arguments: Mapping[str, object]) -> dict[str, str | None]:
    """The arguments in their plain spelling, without secrets, which are never read."""
    return {name: value for name, value in spell_out(arguments).items() if not is_secret(name)}


@cache
def _is_number(step: Step, name: str) -> bool:
    """Whether a field is an id or a flag; one of a map file that nobody knows is one by its name."""
    known = usual_fields().by_value.get((step, name))
    return name.endswith("_id") if known is None else known.kind in {FieldKind.ID, FieldKind.FLAG}


# ---- folders by their paths ---------------------------------------------------------------------------------------
# The ids of those that the billing has, and the names of those that it has not yet.
#
# Дома/Новостройки     Дома ── there, id 1000      Новостройки ── to be created, within 1000

_DEEPEST: Final = 30
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a path: the `parent` is the id of the last one that is there, None for the top.

    `missing` are the paths of those that are not there, from the outermost; without any the `parent` is the folder.
    """

    parent: int | None = None
    missing: tuple[str, ...] = ()


TOP: Final = Folder()
"""No folder: a subscriber without one is at the top."""


class FolderTree:
    """The folders of a billing as its names were read. Who creates one that is missing is the run that is planned."""

    def __init__(self, there: NamesThere) -> None:
        self._there = there
        self._within: defaultdict[tuple[int | None, str], list[int]] = defaultdict(list)
        for one in there.live(FOLDER):
            self._within[one.parent, plain_name(one.names[-1])].append(one.id)

    def find(self, how: str, text: str) -> Folder | str:
        """The folder that a row names, or why none is meant by it."""
        if how == FOLDER_ID:
            key = whole_id(text)
            if isinstance(key, str):
                return key
            found = self._there.get(FOLDER, key)
            if found is None or found.deleted:
                return said("there is no folder {id}, or it is deleted", id=key)
            return Folder(key)
        names = folder_names(text)
        if len(names) > _DEEPEST:
            return said("a path of {n} folders is too deep", n=len(names))
        if names and not self._there.knows(FOLDER):
            return said("the billing does not list its folders: give the id of the one that is meant")
        parent: int | None = None
        for depth, name in enumerate(names):
            ids = self._within.get((parent, plain_name(name)), ())
            if len(ids) > 1:
                return said(
                    "the folder {path} is there {n} times, with the ids {ids}: give the id of the one that is meant",
                    path=folder_path(names[: depth + 1]),
                    n=len(ids),
                    ids=tuple(str(one) for one in ids[:_SHOWN]),
                )
            if not ids:
                return Folder(parent, tuple(folder_path(names[:end]) for end in range(depth + 1, len(names) + 1)))
            parent = ids[0]
        return Folder(parent)


# ---- what the billing has of a page of subscribers, read in bulk --------------------------------------------------
# contract numbers ──▶ subscribers ──▶ services, attributes, money accounts      logins ──▶ accounts
#
# Only what the table has a part for is read. Deleted objects do not count.


@dataclass(slots=True)
class SubscriberThere:
    """A subscriber of the billing, with its services and attributes by step and the id that tells them apart.

    `money` is its account of money, None without one. `sharers` are other live subscribers of its account, where that
    is to be changed; `newest` is the last operation on it, where its balance is to be set. `came` names the last one
    over which it would be set, and says by how much the balance has moved since the last opening balance.
    """

    thing: BillingObject
    having: defaultdict[tuple[Step, str], list[BillingObject]] = field(default_factory=lambda: defaultdict(list))
    money: BillingObject | None = None
    sharers: tuple[str, ...] = ()
    newest: int = 0
    came: tuple[str, Decimal] | None = None

    @property
    def id(self) -> int:
        return int(_id(self.thing) or 0)


async def read_page(
    gateway: Gateway, page: Sequence[Subscriber], *, change: bool
) -> tuple[dict[str, list[SubscriberThere]], dict[str, list[BillingObject]]]:
    """What there is of these subscribers: live ones by contract number, accounts by login. Raises `LookUpFailed`.

    With `change` balances that are there are to be set. Of several with one number nothing more is read.
    """
    fields = [*_fields(page, Step.SUBSCRIBER), *_fields(page, Step.TARIFF)]
    live = await _live(gateway, "Abonents", NUMBER, [one.number for one in page], (FOLDER_FLAG, PARENT), fields)
    bearers = {number: [SubscriberThere(one) for one in things] for number, things in live.items()}
    alone = [(one, bearers[one.number][0]) for one in page if len(bearers[one.number]) == 1]
    owners = {step: {own.id: own for one, own in alone if one.part(step)} for step in Step}
    for step in (Step.SERVICE, Step.ATTRIBUTE):
        kind, name = CREATABLE_MODELS[STEP_MODELS[step]], DETAILS[step]
        wanted = kind.fields((name, *(one for one in _fields(page, step) if one != ABONENT)))
        for owner, things in (await find_by(gateway, STEP_MODELS[step], ABONENT, owners[step], wanted)).items():
            for thing in filter(kind.counts, things):
                owners[step][owner].having[step, thing.values[name] or ""].append(thing)
    with_money = {owner: own for step in OF_MONEY for owner, own in owners[step].items()}
    names = ("id", *(name for step, name in OF_MONEY.items() if owners[step]))
    for owner, accounts in (await find_by(gateway, "AdminAccounts", OF_ABONENT, with_money, names)).items():
        with_money[owner].money = accounts[0] if len(accounts) == 1 else None
    # The other live subscribers whose balance or limit would be set as well.
    accounts_of = {own.thing.account_id for own in with_money.values() if own.thing.account_id is not None}
    there = await sharers_of(gateway, accounts_of) if accounts_of else {}
    others = {
        owner: [one for one in there.get(own.thing.account_id, ()) if one != owner]
        for owner, own in with_money.items()
    }
    ids = {one for ones in others.values() for one in ones} - with_money.keys()
    resolved = await SubscriberFinder(gateway).by_ids(ids) if ids else {}
    for owner, own in with_money.items():
        own.sharers = tuple(
            str(one) for one in others[owner] if one in with_money or not isinstance(resolved[one], str)
        )
    if gateway.profile.type_8.value is TypeEight.SETS and (entering := owners[Step.BALANCE]):
        last = await newest(gateway, entering)
        for owner, own in entering.items():
            own.newest = last[owner]
        if change:
            await _read_what_came(gateway, [(own, part) for one, own in alone if (part := one.part(Step.BALANCE))])
    logins = [part.text(LOGIN) for one in page for part in one.of(Step.ACCOUNT)]
    by_login = await _live(gateway, "Users", LOGIN, logins, (ABONENT,), _fields(page, Step.ACCOUNT))
    # Beside which accounts a new one would come.
    parts = [(own, part) for one, own in alone if change for part in one.of(Step.ACCOUNT)]
    given = {own.id: own for own, part in parts if not by_login[part.text(LOGIN)]}
    kind = CREATABLE_MODELS["Users"]
    for owner, things in (await find_by(gateway, "Users", ABONENT, given, kind.fields((LOGIN,)))).items():
        for thing in filter(kind.counts, things):
            given[owner].having[Step.ACCOUNT, thing.values[LOGIN] or ""].append(thing)
    return bearers, by_login


async def _read_what_came(gateway: Gateway, entering: Sequence[tuple[SubscriberThere, Part]]) -> None:
    """Note what has come to the accounts whose balances these parts would set anew."""
    model, kind = STEP_MODELS[Step.BALANCE], CREATABLE_MODELS[STEP_MODELS[Step.BALANCE]]
    differing = [
        (own, money)
        for own, part in entering
        if (money := own.money) and Decimal(money.values[BALANCE] or 0)
        if differences({BALANCE: part.text(SUM)}, money)
    ]
    operations = await find_by(gateway, model, ABONENT, [own.id for own, _ in differing], kind.fields((SUM, OP_TYPE)))
    for own, money in differing:
        opening, since = since_opening(operations[own.id])
        # A bill, of whatever type, moves none.
        moved = Decimal(money.values[BALANCE] or 0) - (Decimal(opening.values[SUM] or 0) if opening else 0)
        if since and moved:
            own.came = kind.described(since[0], (SUM,)), moved


async def _live(
    gateway: Gateway, model: str, key: str, texts: Sequence[str], needed: Sequence[str], fields: Iterable[str]
) -> dict[str, list[BillingObject]]:
    """The live objects with each of these texts, none of them a folder, with all fields that the page has of them.

    Fields that the database is not known to have are asked for through the API.
    """
    kind, known = CREATABLE_MODELS[model], MODELS[model].fields
    own = [name for name in fields if name in known]
    others = [name for name in fields if name not in known]
    found = await find_by(gateway, model, key, texts, kind.fields((*needed, *own)))
    live = {
        text: [one for one in things if kind.counts(one) and not as_bool(one.values.get(FOLDER_FLAG))]
        for text, things in found.items()
    }
    if not others:
        return live
    ids = [_id(one) for things in live.values() for one in things]
    asked = await find_by(gateway, model, "id", ids, ("id", *others))
    more = {one: things[0].values for one, things in asked.items() if len(things) == 1}
    return {
        text: [replace(one, values={**one.values, **more.get(_id(one), {})}) for one in things]
        for text, things in live.items()
    }


def _fields(page: Sequence[Subscriber], step: Step) -> list[str]:
    """The fields that the parts of a step have, without secrets, which are never read."""
    names = dict.fromkeys(name for one in page for part in one.parts if part.step is step for name in part.values)
    return [name for name in names if not is_secret(name)]


def _id(thing: BillingObject) -> str:
    return thing.values["id"] or ""


def _plain(name: str) -> str:
    """A name as two are compared: without case, dots, and the dots of ё."""
    return " ".join(name.casefold().replace("ё", "е").replace(".", " ").split())


# ---- from a subscriber to the items of its steps ------------------------------------------------------------------

COMMENT: Final = "Миграция балансов"
"""The comment of opening balances that have none of their own, as that of the job `balances`."""

_ONE_FIELD: Final = frozenset({Step.TARIFF, Step.THRESHOLD, Step.LIMIT})
"""The steps whose field is set without being asked where it is empty: then nothing is there yet."""

_SET_BY: Final = {Step.THRESHOLD: "tariff-threshold", Step.LIMIT: "cutoff-limit"}
_DELETED_BY: Final = {Step.SERVICE: "delete-services", Step.ACCOUNT: "delete-account"}
"""The steps of which a subscriber has several, as a rule one, each with the job that deletes the old one."""

_ANOTHER: Final = reason(
    "there already, and different: who has this number has another name, and may be somebody else; {change} renames",
    DIFFERENT,
    change=flag("change"),
)


class _Refused(Exception):
    """Raised for a subscriber that cannot be imported as its row says, with the reason and the value at fault."""

    def __init__(self, why: str, value: Value | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.column = (value.place.column or None) if value else None


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What the plan of a page rests on: what `read_page` has found, and what is meant to happen to it.

    `change` says that what differs is changed; `rooms` are the characters of a comment by model, None where they are
    not known.
    """

    gateway: Gateway
    bearers: Mapping[str, Sequence[SubscriberThere]]
    accounts: Mapping[str, Sequence[BillingObject]]
    folders: FolderTree
    change: bool
    rooms: Mapping[str, int | None]


def plan_row(subscriber: Subscriber, context: PlanContext) -> list[NewItem] | Refusal:
    """The items of a subscriber in the order of its steps, or the refusal of its row."""
    try:
        return list(_RowPlan(subscriber, context).items())
    except _Refused as verdict:
        row = subscriber.row
        return Refusal(row.line, verdict.column, subscriber.number[:LONGEST_NAME], verdict.why, row.cells)


class _RowPlan:
    """The plan of one row. `_before` is the key of the last step so far that makes a call, "" for none."""

    def __init__(self, subscriber: Subscriber, context: PlanContext) -> None:
        self._subscriber = subscriber
        self._context = context
        self._before = ""
        number = subscriber.number
        if not number or len(number) > LONGEST_NAME:
            why = said("{text!r} is not a contract number", text=number[:LONGEST_NAME])
            raise _Refused(why, self._value(Step.SUBSCRIBER, NUMBER))
        bearers = context.bearers.get(number, ())
        if len(bearers) > 1:
            ids = tuple(str(one.id) for one in bearers)
            raise _Refused(
                said("several subscribers have the contract number {number!r}: {ids}", number=number, ids=ids)
            )
        self._there = there = bearers[0] if bearers else None
        self._owner = None if there is None else there.id
        self._owner_fill = {ABONENT: step_key(number, Step.SUBSCRIBER)} if there is None else {}
        self._sets = context.gateway.profile.type_8.value is TypeEight.SETS
        # Who has the number and another name may be somebody else.
        called = (there and there.thing.values.get("name")) or ""
        names = [part.text("name") for part in subscriber.of(Step.SUBSCRIBER)] if called else []
        self._is_another = any(name and _plain(name) != _plain(called) for name in names)
        folder = context.folders.find(*folder_name(subscriber))
        if isinstance(folder, str):
            raise _Refused(folder, self._value(Step.FOLDER, PATH, FOLDER_ID))
        self._folder = folder

    def items(self) -> Iterator[NewItem]:
        # Of one login, service or attribute that is there twice it is not known which is meant.
        named: set[tuple[Step, str]] = set()
        for part in (part for part in self._subscriber.parts if part.step is not Step.FOLDER):
            detail = detail_of(part)
            if (part.step, detail) in named:
                what = describe_fields({DETAILS.get(part.step, part.step): detail})
                raise _Refused(said("{what} twice for one subscriber", what=what))
            named.add((part.step, detail))
            if part.step in DETAILS and not detail:
                raise _Refused(said("{names} is empty: which object is meant?", names=(DETAILS[part.step],)))
        # The folders of its path that are not there, unless the subscriber stays where it is.
        outer = ""
        for path in self._folder.missing if self._there is None or self._context.change else ():
            parent = None if outer else self._folder.parent
            payload = payload_for("Abonents", {FOLDER_FLAG: 1, "name": folder_names(path)[-1], PARENT: parent}, 0)
            fills = {PARENT: folder_key(outer)} if outer else {}
            payload = replace(payload, step=Step.FOLDER, fills=fills, needs=tuple(fills.values()))
            yield NewItem(
                key=folder_key(path),
                label=path,
                lane=FOLDER_LANE,
                payload=encode_payload(payload),
                line=self._subscriber.row.line,
                wanted=describe_fields({PATH: path}),
            )
            outer = path
        for part in (part for part in self._subscriber.parts if part.step is not Step.FOLDER):
            item = self._makers.get(part.step, _RowPlan._field)(self, part)
            # What is skipped is done at once: the step before it has to be waited for all the same.
            if item.skip_reason is None:
                self._before = item.key
            yield item

    # ---- the row as a whole ----

    def _value(self, step: Step, *names: str) -> Value | None:
        """The first of these values that the row has in a column."""
        part = self._subscriber.part(step)
        values = [part.values[name] for name in names if name in part.values] if part else []
        return next((one for one in values if one.place.column), None)

    # ---- one step ----

    def _person(self, part: Part) -> NewItem:
        arguments = {NUMBER: self._subscriber.number} | {
            name: one for name, one in arguments_of(part).items() if name != NUMBER
        }
        fills: dict[str, str] = {}
        if self._subscriber.part(Step.FOLDER) is not None and self._folder != TOP:
            arguments[PARENT] = None if self._folder.missing else self._folder.parent
            fills = {PARENT: folder_key(self._folder.missing[-1])} if self._folder.missing else {}
        if self._there is None:
            return self._created(part, arguments, fills)
        wanted = {name: value for name, value in comparable(arguments).items() if name != NUMBER}
        return self._compared(part, self._there.thing, wanted, {OBJECT: self._there.id}, fills)

    def _account(self, part: Part) -> NewItem:
        login, there = part.text(LOGIN), self._there
        if len(login) > LONGEST_NAME:
            raise _Refused(said("{text!r} is not a login", text=login[:LONGEST_NAME]), part.values[LOGIN])
        bearers = self._context.accounts.get(login, ())
        if others := [one for one in bearers if there is None or one.abonent_id != there.id]:
            why = said(
                "the login {login!r} is that of abonent {id} already", login=login, id=str(others[0].abonent_id)
            )
            raise _Refused(why, part.values[LOGIN])
        if len(bearers) > 1:
            raise _Refused(said("several accounts have the login {login!r}", login=login))
        arguments = arguments_of(part)
        if not bearers:
            return self._created(part, {ABONENT: self._owner, **arguments}, self._owner_fill)
        wanted = {name: value for name, value in comparable(arguments).items() if name != LOGIN}
        return self._compared(part, bearers[0], wanted, {OBJECT: int(_id(bearers[0]) or 0)}, {})

    def _belonging(self, part: Part) -> NewItem:
        detail, arguments = detail_of(part), {ABONENT: self._owner, **arguments_of(part)}
        kind = creatable_model(STEP_MODELS[part.step], arguments)
        self._check_comment(part, kind.comment)
        found = () if self._there is None else self._there.having.get((part.step, detail), ())
        if not found:
            return self._created(part, arguments, self._owner_fill)
        own = {name: value for name, value in arguments.items() if name not in {*kind.apart, DETAILS[part.step]}}
        wanted = {name: value for name, value in comparable(own).items() if name != ABONENT}
        # Of several the one counts that is as wanted.
        thing = next((one for one in found if not differences(wanted, one)), found[0])
        return self._compared(part, thing, wanted, {OBJECT: int(_id(thing) or 0)}, {})

    def _field(self, part: Part) -> NewItem:
        """A tariff, or a limit of the account of money."""
        is_tariff, arguments = part.step is Step.TARIFF, arguments_of(part)
        self._check_amounts(part)
        place = OBJECT if is_tariff else OF_ABONENT
        if self._there is None:
            payload = setting(part.step, {place: None}, arguments, {}, 0)
            return self._made(part, payload, {place: step_key(self._subscriber.number, Step.SUBSCRIBER)})
        thing = self._there.thing if is_tariff else self._money(part.step)
        return self._compared(part, thing, comparable(arguments), {place: self._there.id}, {})

    def _balance(self, part: Part) -> NewItem:
        self._check_amounts(part)
        self._check_comment(part, "descr")
        amount, there = Decimal(part.text(SUM) or 0), self._there
        now = Decimal(0) if there is None else Decimal(self._money(part.step).values[BALANCE] or 0)
        if there is not None and there.sharers and self._sets:
            raise _Refused(
                said(
                    "its account of money is also that of abonent {ids}, whose balance this would replace: leave the "
                    "balance out here, and enter it with the job balances",
                    ids=there.sharers,
                )
            )
        arguments = {
            ABONENT: self._owner,
            SUM: two_decimals(amount),
            OP_TYPE: OPENING_BALANCE,
            "descr": part.text("descr") or COMMENT,
        }
        # What it was before is kept where it can be read again before the call.
        was = {} if self._context.gateway.database is None else {BALANCE: wire(now)}
        payload = payload_for(STEP_MODELS[part.step], arguments, self._owner or 0, was=was)
        if self._sets:
            payload = replace(payload, newest=0 if there is None else there.newest)
        return self._made(part, payload, self._owner_fill, self._why_not(now, amount), amount=amount)

    def _why_not(self, now: Decimal, amount: Decimal) -> str | None:
        """Why a balance is not entered, None if it is: one that is there is replaced only where that was said."""
        if now == amount:
            if not amount:
                return reason("a balance of 0 needs no operation", NEEDS_NONE)
            return reason("already as wanted: the balance is {amount}", AS_WANTED, amount=now)
        came = None if self._there is None else self._there.came
        if not now or (self._sets and self._context.change and not came):
            return None
        why = wording(
            "there already, and different: the balance is {now}, the row says {amount}, and an opening balance is "
            "added to what is there. Enter what is missing with the job balances"
        )
        told: dict[str, Given] = {}
        if came:
            operation, moved = came
            told = {"operation": operation, "moved": moved, "sum": amount + moved, "again": flag("again")}
            why = wording(
                "there already, and different: the balance is {now}, the row says {amount}, and would be set over "
                "{operation}. Since the last opening balance it has moved by {moved}: enter {sum} with the job "
                "balances and {again}"
            )
        elif self._sets:
            why = wording(
                "there already, and different: the balance is {now}, the row says {amount}; {change} enters it where "
                "nothing but opening balances has come to the account"
            )
        return reason(why, DIFFERENT, now=now, amount=amount, change=flag("change"), **told)

    _makers: Final = {
        Step.SUBSCRIBER: _person,
        Step.ACCOUNT: _account,
        Step.SERVICE: _belonging,
        Step.ATTRIBUTE: _belonging,
        Step.BALANCE: _balance,
    }

    # ---- parts of items ----

    def _money(self, step: Step) -> BillingObject:
        money = None if self._there is None else self._there.money
        if money is None:
            raise _Refused(said("abonent {id} has no account", id=str(self._owner)))
        self._check_readable(money, (OF_MONEY[step],))
        return money

    def _check_readable(self, thing: BillingObject, names: Collection[str]) -> None:
        """Refuse a row whose object has a value that cannot be read, and so cannot be compared."""
        if faults := faults_of(thing, names):
            number = self._subscriber.number
            raise _Refused(said("what {object} has cannot be read: {faults}", object=number, faults=faults))

    def _check_amounts(self, part: Part) -> None:
        for name, value in part.values.items():
            if name in {SUM, *OF_MONEY.values()} and (fault := amount_fault(name, {name: value.text})):
                raise _Refused(fault, value)

    def _check_comment(self, part: Part, name: str) -> None:
        if fault := too_long(part.text(name), self._context.rooms.get(STEP_MODELS[part.step])):
            raise _Refused(fault, part.values[name])

    def _created(self, part: Part, arguments: Mapping[str, object], fills: Mapping[str, str]) -> NewItem:
        payload = payload_for(STEP_MODELS[part.step], arguments, self._owner or 0)
        may_stay = self._context.change and part.step in _DELETED_BY
        named = {detail_of(one) for one in self._subscriber.of(part.step)}
        there = self._there.having.items() if self._there and may_stay else ()
        staying = [
            thing for (step, name), things in there if step is part.step and name not in named for thing in things
        ]
        if not staying:
            return self._made(part, payload, fills)
        kind = creatable_model(STEP_MODELS[part.step], arguments)
        why = reason(
            "there already, and different: {found} would stay beside that of the row, for {change} replaces none. To "
            "have both, import the row without {change}; to have the new one alone, delete the old one first, with "
            "the job {job}",
            DIFFERENT,
            found=some_of([kind.described(thing, (DETAILS[part.step],)) for thing in staying]),
            change=flag("change"),
            job=_DELETED_BY[part.step],
        )
        return self._made(part, payload, {}, why)

    def _compared(
        self,
        part: Part,
        thing: BillingObject,
        wanted: Values,
        key: Mapping[str, object],
        fills: Mapping[str, str],
    ) -> NewItem:
        """The item of an object that is there: skipped, or set where it differs."""
        self._check_readable(thing, wanted)
        # A folder that is not there yet is another one than any that is there.
        was = {name: one for name, one in differences(wanted, thing).items() if name not in fills}
        was |= {name: thing.values.get(name) for name in fills}
        given = arguments_of(part)
        if PARENT in wanted:
            given[PARENT] = None if self._folder.missing else self._folder.parent
        arguments = {name: given[name] for name in wanted if name in was}
        payload = setting(part.step, key, arguments, was, self._owner or 0)
        if not was:
            if part.step in _ONE_FIELD:
                there = describe_fields({name: value for name, value in wanted.items() if value is not None})
                return self._made(part, payload, {}, reason("already as wanted: {fields}", AS_WANTED, fields=there))
            noun = creatable_model(STEP_MODELS[part.step], {}).noun
            named = said("{noun} {id}", noun=noun, id=str(thing.values["id"]))
            return self._made(part, payload, {}, reason("already as wanted: {object}", AS_WANTED, object=named))
        sharers = self._there.sharers if self._there and part.step in OF_MONEY else ()
        if not sharers and (self._context.change or (part.step in _ONE_FIELD and not any(was.values()))):
            return self._made(part, payload, fills)
        # What differs of an object that is there, and how it is changed.
        path = self._folder.missing[-1] if self._folder.missing else ""
        changes = tuple(
            said(
                "{name}: {old} → {new}",
                name=name,
                old=said("nothing") if old is None else old,
                new=path if name == PARENT and path else wanted[name] or said("nothing"),
            )
            for name, old in was.items()
        )
        if sharers:
            why = reason(
                "there already, and different: {changes}; this would change it for abonent {ids} as well, who shares "
                "the account. If that is meant, set it with the job {job}",
                DIFFERENT,
                changes=changes,
                ids=sharers,
                job=_SET_BY[part.step],
            )
            return self._made(part, payload, {}, why)
        why = reason(
            "there already, and different: {changes}; {change} changes it",
            DIFFERENT,
            changes=changes,
            change=flag("change"),
        )
        return self._made(part, payload, {}, why)

    def _made(
        self,
        part: Part,
        payload: Payload,
        fills: Mapping[str, str],
        skip_reason: str | None = None,
        *,
        amount: Decimal | None = None,
    ) -> NewItem:
        subscriber, is_person = self._subscriber, part.step is Step.SUBSCRIBER
        if self._is_another and not self._context.change and not is_person and skip_reason is None:
            skip_reason = _ANOTHER
        payload = replace(
            payload,
            step=part.step,
            needs=tuple(dict.fromkeys(key for key in (self._before, *fills.values()) if key)),
            fills=dict(fills),
            groups=groups_of(subscriber) if is_person else {},
            named={} if self._owner is None else {NUMBER: subscriber.number, ABONENT: str(self._owner)},
        )
        return NewItem(
            key=step_key(subscriber.number, part.step, detail_of(part)),
            label=subscriber.number,
            lane=f"{LANE}{subscriber.number}",
            payload=encode_payload(payload),
            amount=amount,
            line=subscriber.row.line,
            # The cells are kept once, with the step that each row has.
            row=subscriber.row.cells if is_person else (),
            skip_reason=skip_reason,
            wanted=None if amount is not None else describe_fields(comparable(arguments_of(part))),
        )
