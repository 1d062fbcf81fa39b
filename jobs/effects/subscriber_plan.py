"""From the subscribers of a table to the items of their steps, compared with what the billing has.

    folder ─▶ subscriber ─▶ account ─▶ tariff ─▶ service ─▶ attribute ─▶ threshold ─▶ limit ─▶ balance

Each step needs the one before it. The id of what is not there yet is filled in from the answer of the step that
creates it. What is there and equal is skipped; what is there and differs is named, or changed if that was said.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from billing.directory.models import LONGEST_NAME, OPENING_BALANCE, BillingObject, Values
from billing.money import wire
from billing.profile import TypeEight
from checkpoints.records import NewItem, Refusal
from checkpoints.sentences import AS_WANTED
from jobs.access.gateway import Gateway
from jobs.access.objects import OF_ABONENT, describe_fields, differences, find
from jobs.access.operations import two_decimals
from jobs.access.payload import CONTRACT, FOLDER_LANE, OP_TYPE, Payload, encode_payload
from jobs.access.references import References
from jobs.access.subscribers import as_bool
from jobs.effects.creatable_models import BALANCE, FOLDER_FLAG, FOLDERS, creatable_model, too_long
from jobs.effects.create import payload_for
from jobs.effects.import_calls import (
    DETAILS,
    FolderName,
    arguments_of,
    comparable,
    detail_of,
    folder_key,
    folder_name,
    groups_of,
    setting,
    step_key,
)
from jobs.effects.subscribers_there import LOGIN, OF_MONEY, PageThere, SubscriberThere
from jobs.imports.subscriber import (
    DIFFERENT,
    FOLDER_ID,
    NUMBER,
    PATH,
    STEP_MODELS,
    Part,
    Step,
    Subscriber,
    Value,
    folder_names,
    folder_path,
)
from jobs.rows.binding import amount_fault
from jobs.spec.parameters import whole_id
from texts.remedies import setting as flag
from texts.said import Said, reason, said

# ---- folders by their paths ---------------------------------------------------------------------------------------
# The ids of those that the billing has, and the names of those that it has not yet.
#
# Дома/Новостройки     Дома ── there, id 1000      Новостройки ── to be created, within 1000


REMEMBERED: Final = 10_000
"""Paths that are remembered; the rows of a table mostly share a few."""

_DEEPEST: Final = 30
_SHOWN: Final = 5
_PARENT: Final = "parent_id"
_FIELDS: Final = FOLDERS.fields(())


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
    """The folders of one billing. One object a job: it remembers what it has found, and what is missing.

    A path that was missing is not looked up again: who creates it is the run that is being planned.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._references = References(gateway)
        self._known: dict[tuple[str, ...], Folder | str] = {}

    async def find(self, paths: Collection[str]) -> dict[str, Folder | str]:
        """The folder of each path, or why none is meant by it. Raises `LookUpFailed`."""
        named = {path: folder_names(path) for path in dict.fromkeys(paths)}
        # Pages are prepared beside each other: what this one needs is taken from no other's memory.
        found: dict[tuple[str, ...], Folder | str] = {(): TOP}
        found |= {names: self._known[names] for names in named.values() if names in self._known}
        await self._look(found, [names for names in named.values() if names not in found])
        if len(self._known) + len(found) > REMEMBERED:
            self._known.clear()
        self._known |= found
        return {path: found[names] for path, names in named.items()}

    async def by_ids(self, ids: Collection[str]) -> dict[str, Folder | str]:
        """The folder of each id, or why there is none. Raises `LookUpFailed`."""
        numbers = {text: whole_id(text) for text in ids}
        possible = [text for text, key in numbers.items() if isinstance(key, int)]
        missing = await self._references.missing("Folder", possible)
        found: dict[str, Folder | str] = {}
        for text, key in numbers.items():
            found[text] = key if isinstance(key, str) else Folder(key)
            if text in missing:
                found[text] = said("there is no folder {id}, or it is deleted", id=key)
        return found

    async def _look(self, found: dict[tuple[str, ...], Folder | str], wanted: Sequence[tuple[str, ...]]) -> None:
        """Add the folders of these names to those that are found, level by level."""
        deepest = max(map(len, wanted), default=0)
        for names in wanted:
            if len(names) > _DEEPEST:
                found[names] = said("a path of {n} folders is too deep", n=len(names))
        for depth in range(1, min(deepest, _DEEPEST) + 1):
            level = dict.fromkeys(names[:depth] for names in wanted if _DEEPEST >= len(names) >= depth)
            await self._look_within(found, [names for names in level if names not in found])

    async def _look_within(
        self, found: dict[tuple[str, ...], Folder | str], level: Sequence[tuple[str, ...]]
    ) -> None:
        """Add folders whose outer ones are found."""
        within: dict[tuple[str, ...], int | None] = {}
        for names in level:
            outer = found[names[:-1]]
            if isinstance(outer, str):
                found[names] = outer
            elif outer.missing:
                found[names] = Folder(outer.parent, (*outer.missing, folder_path(names)))
            else:
                within[names] = outer.parent
        keys = [
            {"name": names[-1], FOLDER_FLAG: "1", _PARENT: "" if parent is None else str(parent)}
            for names, parent in within.items()
        ]
        things = await find(self._gateway, "Abonents", keys, _FIELDS) if keys else []
        for (names, parent), there in zip(within.items(), things, strict=True):
            found[names] = _the_one(folder_path(names), parent, there)


def _the_one(path: str, parent: int | None, there: Sequence[BillingObject]) -> Folder | str:
    within = None if parent is None else str(parent)
    ids = [
        thing.values["id"]
        for thing in there
        if FOLDERS.counts(thing) and as_bool(thing.values[FOLDER_FLAG]) and thing.values[_PARENT] == within
    ]
    if len(ids) > 1:
        return said(
            "the folder {path} is there {n} times, with the ids {ids}: give the id of the one that is meant",
            path=path,
            n=len(ids),
            ids=tuple(str(one) for one in ids[:_SHOWN]),
        )
    return Folder(int(ids[0] or 0)) if ids else Folder(parent, (path,))


# ---- from the subscribers of a table to the items of their steps, compared with what the billing has --------------


ABONENT: Final = "abonent_id"
PARENT: Final = "parent_id"
OBJECT: Final = "id"
"""The places of ids that are filled in."""

COMMENT: Final = "Миграция балансов"
"""The comment of opening balances that have none of their own, as that of the job `balances`."""

_SUM: Final = "op_summa"


class RowRefusedInPlan(Exception):
    """Raised for a subscriber that cannot be imported as its row says, with the reason and the value at fault."""

    def __init__(self, reason: str, value: Value | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = (value.place.column or None) if value else None


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What the plan of a page rests on: what is there, and what is meant to happen to it.

    `change` says that what differs is changed; `rooms` are the characters of a comment by model, None where they are
    not known.
    """

    gateway: Gateway
    there: PageThere
    folders: Mapping[FolderName, Folder | str]
    change: bool
    rooms: Mapping[str, int | None]


def plan_row(subscriber: Subscriber, context: PlanContext) -> list[NewItem] | Refusal:
    """The items of a subscriber in the order of its steps, or the refusal of its row."""
    try:
        return list(_RowPlan(subscriber, context).items())
    except RowRefusedInPlan as verdict:
        row = subscriber.row
        return Refusal(row.line, verdict.column, subscriber.number[:LONGEST_NAME], verdict.reason, row.cells)


class _RowPlan:
    """The plan of one row. `_before` is the key of the last step so far that makes a call, "" for none."""

    def __init__(self, subscriber: Subscriber, context: PlanContext) -> None:
        self._subscriber = subscriber
        self._context = context
        self._before = ""
        self._there = self._bearer()
        names = [part.text("name") for part in subscriber.of(Step.SUBSCRIBER)]
        self._is_another = self._there is not None and not all(map(self._there.is_called, names))
        folder = context.folders[folder_name(subscriber)]
        if isinstance(folder, str):
            raise RowRefusedInPlan(folder, self._value(Step.FOLDER, PATH, FOLDER_ID))
        self._folder = folder
        self._check_repeated()

    def items(self) -> Iterator[NewItem]:
        """The items, in their order."""
        yield from self._new_folders()
        for part in (part for step in Step if step is not Step.FOLDER for part in self._subscriber.of(step)):
            item = self._item(part)
            # What is skipped is done at once: the step before it has to be waited for all the same.
            if item.skip_reason is None:
                self._before = item.key
            yield item

    # ---- the row as a whole ----

    def _bearer(self) -> SubscriberThere | None:
        number = self._subscriber.number
        if not number or len(number) > LONGEST_NAME:
            raise RowRefusedInPlan(
                said("{text!r} is not a contract number", text=number[:LONGEST_NAME]),
                self._value(Step.SUBSCRIBER, NUMBER),
            )
        bearers = self._context.there.bearers.get(number, ())
        if len(bearers) > 1:
            ids = tuple(str(one.id) for one in bearers)
            raise RowRefusedInPlan(
                said("several subscribers have the contract number {number!r}: {ids}", number=number, ids=ids)
            )
        return bearers[0] if bearers else None

    def _value(self, step: Step, *names: str) -> Value | None:
        """The first of these values that the row has in a column."""
        part = self._subscriber.part(step)
        values = [part.values[name] for name in names if name in part.values] if part else []
        return next((one for one in values if one.place.column), None)

    def _check_repeated(self) -> None:
        """Refuse a row with one login, service or attribute twice: it is not known which of them is meant."""
        named: set[tuple[Step, str]] = set()
        for part in self._subscriber.parts:
            detail = detail_of(part)
            if (part.step, detail) in named and part.step is not Step.FOLDER:
                raise RowRefusedInPlan(
                    said(
                        "{what} twice for one subscriber",
                        what=describe_fields({DETAILS.get(part.step, part.step): detail}),
                    )
                )
            named.add((part.step, detail))
            if part.step in DETAILS and not detail:
                raise RowRefusedInPlan(said("{names} is empty: which object is meant?", names=(DETAILS[part.step],)))

    def _new_folders(self) -> Iterator[NewItem]:
        """The folders of its path that are not there, unless the subscriber stays where it is."""
        if self._there is not None and not self._context.change:
            return
        outer = ""
        for path in self._folder.missing:
            parent = None if outer else self._folder.parent
            arguments = {FOLDER_FLAG: 1, "name": folder_names(path)[-1], PARENT: parent}
            payload = payload_for("Abonents", arguments, 0)
            fills = {PARENT: folder_key(outer)} if outer else {}
            payload = msgspec.structs.replace(payload, step=Step.FOLDER, fills=fills, needs=tuple(fills.values()))
            yield NewItem(
                key=folder_key(path),
                label=path,
                lane=FOLDER_LANE,
                payload=encode_payload(payload),
                line=self._subscriber.row.line,
                wanted=describe_fields({PATH: path}),
            )
            outer = path

    # ---- one step ----

    def _item(self, part: Part) -> NewItem:
        match part.step:
            case Step.SUBSCRIBER:
                return self._person(part)
            case Step.ACCOUNT:
                return self._account(part)
            case Step.BALANCE:
                return self._balance(part)
            case Step.TARIFF | Step.THRESHOLD | Step.LIMIT:
                return self._field(part)
            case _:
                return self._belonging(part)

    def _person(self, part: Part) -> NewItem:
        number, there = self._subscriber.number, self._there
        arguments = {NUMBER: number} | {name: one for name, one in arguments_of(part).items() if name != NUMBER}
        if self._subscriber.part(Step.FOLDER) is not None and self._folder != TOP:
            arguments[PARENT] = None if self._folder.missing else self._folder.parent
        is_new = PARENT in arguments and self._folder.missing
        fills = {PARENT: folder_key(self._folder.missing[-1])} if is_new else {}
        if there is None:
            return self._created(part, arguments, fills)
        wanted = {name: value for name, value in comparable(arguments).items() if name != NUMBER}
        return self._compared(part, there.thing, wanted, {OBJECT: there.id}, fills)

    def _account(self, part: Part) -> NewItem:
        login, there = part.text(LOGIN), self._there
        if len(login) > LONGEST_NAME:
            raise RowRefusedInPlan(said("{text!r} is not a login", text=login[:LONGEST_NAME]), part.values[LOGIN])
        bearers = self._context.there.accounts.get(login, ())
        others = [one for one in bearers if there is None or one.abonent_id != there.id]
        if others:
            raise RowRefusedInPlan(
                said(
                    "the login {login!r} is that of abonent {id} already", login=login, id=str(others[0].abonent_id)
                ),
                part.values[LOGIN],
            )
        if len(bearers) > 1:
            raise RowRefusedInPlan(said("several accounts have the login {login!r}", login=login))
        if not bearers or there is None:
            return self._created(part, {ABONENT: self._owner, **arguments_of(part)}, self._owner_fill)
        (bearer,) = bearers
        wanted = {name: value for name, value in comparable(arguments_of(part)).items() if name != LOGIN}
        return self._compared(part, bearer, wanted, {OBJECT: int(bearer.values["id"] or 0)}, {})

    def _belonging(self, part: Part) -> NewItem:
        """A service or an attribute."""
        detail = detail_of(part)
        arguments = {ABONENT: self._owner, **arguments_of(part)}
        kind = creatable_model(STEP_MODELS[part.step], arguments)
        if fault := too_long(part.text(kind.comment), self._context.rooms.get(STEP_MODELS[part.step])):
            raise RowRefusedInPlan(fault, part.values[kind.comment])
        found: Sequence[BillingObject] = ()
        if self._there is not None:
            by_id = self._there.services if part.step is Step.SERVICE else self._there.attributes
            found = by_id.get(detail, ())
        if not found:
            return self._created(part, arguments, self._owner_fill)
        own = {name: value for name, value in arguments.items() if name not in {*kind.apart, DETAILS[part.step]}}
        wanted = {name: value for name, value in comparable(own).items() if name != ABONENT}
        # Of several the one counts that is as wanted.
        thing = next((one for one in found if not differences(wanted, one)), found[0])
        return self._compared(part, thing, wanted, {OBJECT: int(thing.values["id"] or 0)}, {})

    def _field(self, part: Part) -> NewItem:
        """A tariff, or a limit of the account of money."""
        arguments, there = arguments_of(part), self._there
        if part.step is not Step.TARIFF:
            self._check_amounts(part)
        place = OBJECT if part.step is Step.TARIFF else OF_ABONENT
        if there is None:
            payload = setting(part.step, {place: None}, arguments, {}, 0)
            return self._made(part, payload, {place: step_key(self._subscriber.number, Step.SUBSCRIBER)})
        thing = there.thing if part.step is Step.TARIFF else self._money(part.step)
        return self._compared(part, thing, comparable(arguments), {place: there.id}, {})

    def _balance(self, part: Part) -> NewItem:
        self._check_amounts(part)
        amount, there = Decimal(part.text(_SUM) or 0), self._there
        if fault := too_long(part.text("descr"), self._context.rooms.get(STEP_MODELS[part.step])):
            raise RowRefusedInPlan(fault, part.values["descr"])
        now = Decimal(0) if there is None else Decimal(self._money(part.step).values[BALANCE] or 0)
        if there is not None and there.sharers:
            raise RowRefusedInPlan(
                said(
                    "its account of money is also that of abonent {ids}, whose balance this would replace: leave the "
                    "balance out here, and enter it with the job balances",
                    ids=there.sharers,
                )
            )
        # What it was before is kept where it can be read again before the call.
        was = {} if self._context.gateway.database is None else {BALANCE: wire(now)}
        arguments = {
            ABONENT: self._owner,
            _SUM: two_decimals(amount),
            OP_TYPE: OPENING_BALANCE,
            "descr": part.text("descr") or COMMENT,
        }
        payload = payload_for(STEP_MODELS[part.step], arguments, self._owner or 0, was=was)
        if self._context.gateway.profile.type_8.value is TypeEight.SETS:
            payload = msgspec.structs.replace(payload, newest=0 if there is None else there.newest)
        return self._made(part, payload, self._owner_fill, self._why_not(now, amount), amount=amount)

    def _why_not(self, now: Decimal, amount: Decimal) -> str | None:
        """Why a balance is not entered, None if it is: one that is there is replaced only where that was said."""
        if now == amount:
            if not amount:
                return said("a balance of 0 needs no operation")
            return reason("already as wanted: the balance is {amount}", AS_WANTED, amount=now)
        sets = self._context.gateway.profile.type_8.value is TypeEight.SETS
        if not now:
            return None
        if not sets:
            return reason(
                "there already, and different: the balance is {now}, the row says {amount}, and an opening balance "
                "is added to what is there. Enter what is missing with the job balances",
                DIFFERENT,
                now=now,
                amount=amount,
            )
        if self._context.change:
            return None
        return reason(
            "there already, and different: the balance is {now}, the row says {amount}; {change} enters it",
            DIFFERENT,
            now=now,
            amount=amount,
            change=flag("change"),
        )

    # ---- parts of items ----

    @property
    def _owner(self) -> int | None:
        return None if self._there is None else self._there.id

    @property
    def _owner_fill(self) -> dict[str, str]:
        if self._there is not None:
            return {}
        return {ABONENT: step_key(self._subscriber.number, Step.SUBSCRIBER)}

    def _money(self, step: Step) -> BillingObject:
        money = None if self._there is None else self._there.money
        if money is None:
            raise RowRefusedInPlan(said("abonent {id} has no account", id=str(self._owner)))
        self._check_readable(money, (OF_MONEY[step],))
        return money

    def _check_readable(self, thing: BillingObject, names: Collection[str]) -> None:
        """Refuse a row whose object has a value that cannot be read, and so cannot be compared."""
        faults = tuple(
            said("{name} {fault}", name=name, fault=fault) for name, fault in thing.faults.items() if name in names
        )
        if faults:
            raise RowRefusedInPlan(
                said("what {object} has cannot be read: {faults}", object=self._subscriber.number, faults=faults)
            )

    def _check_amounts(self, part: Part) -> None:
        for name, value in part.values.items():
            if name in {_SUM, *OF_MONEY.values()} and (fault := amount_fault(name, {name: value.text})):
                raise RowRefusedInPlan(fault, value)

    def _created(self, part: Part, arguments: Mapping[str, object], fills: Mapping[str, str]) -> NewItem:
        payload = payload_for(STEP_MODELS[part.step], arguments, self._owner or 0)
        return self._made(part, payload, fills)

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
        differing = {name: one for name, one in differences(wanted, thing).items() if name not in fills}
        missing = {name: thing.values.get(name) for name in fills}
        was = {**differing, **missing}
        given = arguments_of(part)
        if PARENT in wanted:
            given[PARENT] = None if self._folder.missing else self._folder.parent
        arguments = {name: given[name] for name in wanted if name in was}
        payload = setting(part.step, key, arguments, was, self._owner or 0)
        if not was:
            return self._made(part, payload, {}, _as_wanted(part.step, thing, wanted))
        if self._context.change or (part.step in _ONE_FIELD and not any(was.values())):
            return self._made(part, payload, fills)
        return self._made(part, payload, {}, self._named(was, wanted))

    def _named(self, was: Values, wanted: Values) -> Said:
        """What differs of an object that is there, and how it is changed."""
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
        return reason(
            "there already, and different: {changes}; {change} changes it",
            DIFFERENT,
            changes=changes,
            change=flag("change"),
        )

    def _made(
        self,
        part: Part,
        payload: Payload,
        fills: Mapping[str, str],
        skip_reason: str | None = None,
        *,
        amount: Decimal | None = None,
    ) -> NewItem:
        subscriber = self._subscriber
        is_person = part.step is Step.SUBSCRIBER
        if self._is_another and not self._context.change and not is_person and skip_reason is None:
            skip_reason = _ANOTHER
        needs = dict.fromkeys(key for key in (self._before, *fills.values()) if key)
        payload = msgspec.structs.replace(
            payload,
            step=part.step,
            needs=tuple(needs),
            fills=dict(fills),
            groups=groups_of(subscriber) if is_person else {},
            named={} if self._owner is None else {NUMBER: subscriber.number, ABONENT: str(self._owner)},
        )
        return NewItem(
            key=step_key(subscriber.number, part.step, detail_of(part)),
            label=subscriber.number,
            lane=f"{CONTRACT}{subscriber.number}",
            payload=encode_payload(payload),
            amount=amount,
            line=subscriber.row.line,
            # The cells are kept once, with the step that each row has.
            row=subscriber.row.cells if is_person else (),
            skip_reason=skip_reason,
            wanted=None if amount is not None else describe_fields(comparable(arguments_of(part))),
        )


_ONE_FIELD: Final = frozenset({Step.TARIFF, Step.THRESHOLD, Step.LIMIT})
"""The steps whose field is set without being asked where it is empty: then nothing is there yet."""

_ANOTHER: Final = reason(
    "there already, and different: who has this number has another name, and may be somebody else; {change} renames",
    DIFFERENT,
    change=flag("change"),
)


def _as_wanted(step: Step, thing: BillingObject, wanted: Values) -> str:
    """Why a step is skipped whose object is as wanted."""
    if step in _ONE_FIELD:
        given = {name: value for name, value in wanted.items() if value is not None}
        return reason("already as wanted: {fields}", AS_WANTED, fields=describe_fields(given))
    named = said("{noun} {id}", noun=creatable_model(STEP_MODELS[step], {}).noun, id=str(thing.values["id"]))
    return reason("already as wanted: {object}", AS_WANTED, object=named)
