"""The reversal of finance operations: storno, an opposite entry, or a list for the accountant.

Neither the name of the API's method for storno [?] nor the effect of an entry of type 8 on the balance [?] is known:
the parameters of the undo state them, and without them nothing is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final, TypeAlias

import msgspec

from billing.api.answers import is_about_other_model, judge
from billing.api.calls import ChainStep
from billing.directory.models import OPENING_BALANCE, BillingObject, as_bool
from billing.money import two_decimals, wire
from billing.profile import Profile, StornoEffect, TypeEight
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_WANTED, GONE, REVERSED
from checkpoints.states import State
from engine.evidence import Accepted, AlreadyThere, Evidence, Lost, RowRefused, Seen
from engine.job import Absent, CannotLook, Found, LookedFor, LookUpResult, Prepared, ReadBack
from engine.pipeline.foreign_entries import taken_back_elsewhere
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    FOUND_AGAIN,
    NOBODY,
    TAKEN_BACK,
    balances,
    described,
    enters_balance,
    find,
    lane_of,
    needed,
    try_finding,
)
from jobs.access.payload import BALANCE, OP_TYPE, Payload, payload_of
from jobs.effects.creatable_models import (
    entries_of,
    fields_of,
    marked_or_alike,
    several,
    still_there,
    under_marks,
)
from jobs.effects.create import Back, CreateEffect, gone_since, payload_for
from jobs.effects.effect import (
    OF_ANOTHER_MODEL,
    CallEffect,
    ItemToUndo,
    about_another,
    has_id,
    is_anothers,
    of_each,
    replaced_in_run,
    says,
    skip_changed,
    without_its_mark,
)
from jobs.spec.chain import fill_arguments, parse
from jobs.spec.entries import CREATED, OPERATION, OPERATIONS, TYPE_8, UNDO_OF_OPERATIONS, find_mark
from jobs.spec.words import OPPOSITE, STORNO, WAY
from texts.said import Said, day_in, enumerated, in_clauses, reason, said, setting

# ---- the operations that a run has entered, as they are now -------------------------------------------------------

SUM_IN: Final = "SUM_IN"
"""The sum among the wanted fields of a payment. The answer does not contain the id of its operation [?]."""
LAST: Final = "op_id"
"""The subscriber's last operation, in the before-image of a payment."""
FIELDS: Final = ("op_id", "op_type_id", "op_summa", "storno")
COMMENT: Final = CREATED[OPERATIONS]
TAKEN: Final = (*FIELDS, COMMENT)
"""Those of an operation that is to be taken back: by its comment it is told whose it is."""
BESIDES: Final = ("op_date",)
"""Further fields for display, if the billing has them."""


class EnteredOperation(msgspec.Struct, frozen=True, gc=False):
    """An unchanged operation of the run; `before` is the account's balance before it, None if not kept.

    One of the type of an opening balance may have set the balance instead of adding to it.
    """

    taken: ItemToUndo
    thing: BillingObject
    op_id: str
    op_type: int
    amount: Decimal
    before: Decimal | None

    def __str__(self) -> str:
        return said("operation {id} of {amount}", id=self.op_id, amount=self.amount)

    def taken_back(self, payload: Payload, amount: Decimal, skip_reason: str | None = None) -> NewItem:
        return self.taken.item(lane_of(OPERATIONS, {"op_id": self.op_id}, self.thing), payload, amount, skip_reason)


def _each(standing: Sequence["Standing"], back: Callable[[EnteredOperation], NewItem | Refusal]) -> Prepared:
    """What takes each operation `back` that is still in effect; all others are skipped or refused."""
    return Prepared.of([back(one) if isinstance(one, EnteredOperation) else one for one in standing])


Standing: TypeAlias = EnteredOperation | NewItem | Refusal
"""An operation that can be taken back, or the skipped or refused item."""


async def _still_in_effect(gateway: Gateway, taken: Sequence[ItemToUndo]) -> list[Standing]:
    """The present state of the operations of these items, in their order. Raises `LookUpFailed`."""
    known = [one for one in taken if has_id(one)]
    unknown = [one for one in taken if not has_id(one) and SUM_IN in one.payload.wanted]
    marked = {one.mark: one for one in known if one.payload.model == OPERATIONS}
    payloads = {mark: one.payload for mark, one in marked.items()}
    fields = tuple(dict.fromkeys([*TAKEN, *(fields_of([*payloads.values()]) if payloads else ())]))
    by_mark = {marked[mark].item_id: there for mark, there in (await under_marks(gateway, payloads)).items()}
    known = [one for one in known if one.item_id not in by_mark]
    by_id = await find(gateway, OPERATIONS, [{"op_id": one.answer or ""} for one in known], fields, BESIDES)
    nobodys = [{"abonent_id": str(one.payload.abonent)} for one in unknown]
    newer = await find(gateway, OPERATIONS, nobodys, TAKEN, BESIDES)
    found = by_mark | {one.item_id: things for one, things in zip(known, by_id, strict=True)}
    for one, things in zip(unknown, newer, strict=True):
        found[one.item_id] = since(one.payload, _amount_of(one), things, gateway.profile)
    act = str(gateway.profile.act_type.value)
    return [_standing(one, found.get(one.item_id), act, is_marked=one.item_id in by_mark) for one in taken]


async def _but_taken_back_elsewhere(gateway: Gateway, taken: Sequence[ItemToUndo]) -> list[Standing]:
    """As `_still_in_effect`; what another journal has entered the opposite of is not. Raises `LookUpFailed`.

    An opposite entry that is about to be made is looked for itself.
    """
    standing = await _still_in_effect(gateway, taken)
    entered = [one for one in standing if isinstance(one, EnteredOperation)]
    opposites = [
        Payload(
            OPERATIONS,
            (),
            abonent=one.taken.payload.abonent,
            key={"abonent_id": str(one.taken.payload.abonent), OP_TYPE: str(one.op_type)},
            wanted={"op_summa": wire(-one.amount)},
            undone={"op_id": one.op_id},
        )
        for one in entered
    ]
    elsewhere: dict[int, NewItem] = {}
    for one, payload, things in zip(entered, opposites, await marked_or_alike(gateway, opposites), strict=True):
        others = [thing for thing in things if thing.values["op_id"] != one.op_id]
        for entry in entries_of(payload, [one.thing, *others], gateway.profile).marked if others else ():
            if entry.takes_back:
                elsewhere[one.taken.item_id] = skip_changed(one.taken, taken_back_elsewhere(entry))
    return [elsewhere.get(one.taken.item_id, one) if isinstance(one, EnteredOperation) else one for one in standing]


async def _try_standing(gateway: Gateway) -> None:
    """Try each look-up with an id that no operation has. Raises `InputRefused`, `LookUpFailed`."""
    with needed(TAKEN_BACK):
        await try_finding(gateway, OPERATIONS, ("op_id",), FIELDS, BESIDES)
        await try_finding(gateway, OPERATIONS, ("abonent_id",), FIELDS, BESIDES)


def _sum_of(thing: BillingObject) -> Decimal:
    return Decimal(thing.values["op_summa"] or 0)


def _amount_of(one: ItemToUndo) -> Decimal:
    wanted = one.payload.wanted
    return Decimal(wanted.get(SUM_IN) or wanted.get("op_summa") or 0)


def since(
    payload: Payload, amount: Decimal, things: Sequence[BillingObject], profile: Profile
) -> list[BillingObject]:
    """The operations of this sum that are newer than the plan of a payment, or were reversed then and are not now.

    Ids ascend [?]. Acts are left out where a probe has seen which type they have, because the charge of a month often
    equals its payment. Any other type may be a payment, and so may an operation that cannot be read.
    """
    last, acts = int(payload.was.get(LAST) or 0), str(profile.act_type.value) if profile.act_type.known else None
    return [
        thing
        for thing in things
        for key in [thing.values["op_id"]]
        if "op_id" in thing.faults
        or int(key or 0) > last
        or (key in payload.there and not as_bool(thing.values["storno"]))
        if "op_summa" in thing.faults or Decimal(thing.values["op_summa"] or 0) == amount
        if acts is None or thing.values["op_type_id"] != acts
    ]


def list_objects(things: Sequence[BillingObject]) -> str:
    return enumerated(
        said("{operation} (type {type})", operation=_listed(thing), type=str(thing.values["op_type_id"]))
        for thing in things
    )


def _listed(thing: BillingObject) -> str:
    amount = thing.faults.get("op_summa") or Decimal(thing.values["op_summa"] or 0)
    text = described(thing.values["op_id"], amount, thing.values.get("op_date") or "")
    return said("{operation} (reversed by storno)", operation=text) if as_bool(thing.values["storno"]) else text


def _standing(one: ItemToUndo, things: Sequence[BillingObject] | None, act: str, *, is_marked: bool) -> Standing:
    """The state of the item whose operations these are: by its mark if it `is_marked`, else by its id or its sum.

    Ids begin anew where a billing is put back from its backup. A payment by `add_payment` has no mark: its operation
    is known by subscriber and sum, and bears none at all.
    """
    amount = _amount_of(one)
    if things is None:
        return one.refused(
            said("the id of its operation of {amount} is not known: take it back by hand", amount=amount)
        )
    if len(things) > 1 and is_marked and not as_bool(things[0].values["storno"]):
        return skip_changed(one, several(one.payload, things, one.answer or ""))
    if (len(things) > 1 and not is_marked) or (things and not has_id(one) and things[0].values["op_type_id"] == act):
        return skip_changed(
            one,
            said(
                "which operation is its own cannot be told: {operations}. Take the right one back by hand",
                operations=list_objects(things),
            ),
        )
    changed: str | None = None
    if not things:
        changed = reason("gone since: an operation of {amount} is no longer there", GONE, amount=amount)
        if one.answer:
            changed = reason("gone since: operation {id} is no longer there", GONE, id=one.answer)
    elif not is_marked and (
        one.payload.model == OPERATIONS
        or things[0].abonent_id != one.payload.abonent
        or find_mark(things[0].values[COMMENT] or "") is not None
    ):
        changed = said(
            "left alone, for its id is another's by now: {operation} is of abonent {id}, with the comment "
            "{comment!r}. Was the billing put back from its backup since?",
            operation=_listed(things[0]),
            id=str(things[0].abonent_id),
            comment=things[0].values[COMMENT] or "",
        )
        if has_id(one) and is_anothers(one, things[0].values[COMMENT]):
            changed = reason(
                "gone since: its id is another's by now, {operation}", GONE, operation=_listed(things[0])
            )
        elif has_id(one) and things[0].abonent_id == one.payload.abonent and _sum_of(things[0]) == amount:
            left = without_its_mark(_listed(things[0]), one.mark)
            changed = said("left alone: {why}", why=left)
    elif as_bool(things[0].values["storno"]):
        changed = reason("already taken back: {operation}", REVERSED, operation=_listed(things[0]))
    elif _sum_of(things[0]) != amount:
        there = _listed(things[0])
        changed = said(
            "changed since: the run entered {amount}, and now there is {operation}", amount=amount, operation=there
        )
    if changed is not None:
        return skip_changed(one, changed)
    before, values = _balance_before(one.payload), things[0].values
    op_id, op_type = str(values["op_id"]), int(values["op_type_id"] or 0)
    return EnteredOperation(one, things[0], op_id, op_type, amount, None if before is None else Decimal(before))


# ---- the way ------------------------------------------------------------------------------------------------------


def undo_of_operations(gateway: Gateway, how: Mapping[str, str]) -> CallEffect:
    parameters = {**{one.name: one.default or "" for one in UNDO_OF_OPERATIONS}, **how}
    if parameters[WAY] == STORNO:
        return StornoReversal(gateway, parameters["storno_call"], TypeEight(parameters[TYPE_8]))
    if parameters[WAY] == OPPOSITE:
        back: Back = partial(undo_of_operations, gateway)
        takes_back = partial(_opposites, gateway, parameters)
        return CreateEffect(gateway, _ENTRY, back, taking_back=takes_back, type_8=TypeEight(parameters[TYPE_8]))
    return AccountantsList(gateway, TypeEight(parameters[TYPE_8]))


def way_that_sends(gateway: Gateway, payload: Payload) -> str | None:
    """The way of an undo that takes an operation back; None where this billing is not known to have one.

    Storno is named only where a probe has seen it work. The opposite of an opening balance needs the one before it.
    """
    sets, profile = enters_balance(payload), gateway.profile
    storno_works = profile.storno_call.known and profile.storno_works.known and profile.storno_works.value
    restores = profile.storno_type_8.known and profile.storno_type_8.value is StornoEffect.RESTORES
    if storno_works and (restores or not sets):
        return STORNO
    known_before = _is_of_new(payload) or (gateway.database is not None and _balance_before(payload) is not None)
    return OPPOSITE if known_before or not sets else None


def _is_of_new(payload: Payload) -> bool:
    """Whether its subscriber is one that the same run has created."""
    return "abonent_id" in payload.fills


def _balance_before(payload: Payload) -> str | None:
    """The balance before an operation; a subscriber that the run has created has had none."""
    return payload.was.get(BALANCE) or ("0" if _is_of_new(payload) else None)


def _may_lose_balance(entry: EnteredOperation, profile: Profile, type_8: TypeEight) -> bool:
    """Whether the storno of an operation of type 8 may leave another balance than the one before it.

    It may where no probe has seen what such a storno does. An operation of a wanted balance, as a difference on top
    of what was there, has set it.
    """
    if entry.op_type != OPENING_BALANCE:
        return False
    sets = type_8 is TypeEight.SETS or BALANCE in entry.taken.payload.wanted
    brings_back = {
        StornoEffect.RESTORES: True,
        StornoEffect.SUBTRACTS: not sets or entry.before == 0,
        StornoEffect.KEEPS: entry.amount == (entry.before if sets else 0),
    }
    return not (profile.storno_type_8.known and brings_back[profile.storno_type_8.value])


# ---- the storno of a finance operation ----------------------------------------------------------------------------
# `objects.get {op_id}` → a method whose name is not documented [?].
#
# It is not known either whether a storno of type 8 restores the balance [?], so the balance is read back.

_SAYS_REVERSED: Final = "сторнирован"


class StornoReversal(CallEffect):
    """Reverses operations: `objects.get {op_id}` → the storno. A look-up decides whether it is sent again."""

    looked_for = LookedFor.WHEN_TAKEN_UP
    no_way_back = said(
        "a storno is final. To enter the sums again, export the rows of the run that was taken back, and run its job "
        "on that file: what was taken back counts as never entered"
    )

    def __init__(self, gateway: Gateway, method: str, type_8: TypeEight = TypeEight.SETS) -> None:
        super().__init__(gateway)
        self._method = method
        self._type_8 = type_8

    async def try_out(self) -> None:
        await _try_standing(self._gateway)
        with needed(FOUND_AGAIN):
            await balances(self._gateway, [NOBODY])

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """That the method exists and reverses; what it does to a balance is never assumed."""
        return {"storno_call": self._method, "storno_works": True}

    async def send(self, run: Run, item: Item) -> Seen:
        payload = payload_of(item)
        asked, evidence = payload.key["op_id"], await self._gateway.client.send(payload.call)
        match evidence:
            case RowRefused(text) if not item.attempts and _SAYS_REVERSED in text.casefold():
                why = reason(
                    "already as wanted: somebody else has reversed it since the list was made: {reason}",
                    AS_WANTED,
                    reason=text,
                )
                return AlreadyThere(why, asked)
            # An earlier call of ours may have had its effect late.
            case RowRefused(text) if _SAYS_REVERSED in text.casefold() or "атрибут" in text.casefold():
                return Lost(said("rejected, and whether it is reversed has to be looked up: {reason}", reason=text))
            case Accepted(result=result) if is_about_other_model(result, OPERATIONS):
                return about_another(OF_ANOTHER_MODEL, f"{OPERATIONS} {asked}")
            case Accepted(result={"fields": {"op_id": op_id}}) if str(op_id) != asked:
                return about_another(f"{OPERATIONS} {op_id}", f"{OPERATIONS} {asked}")
            case Accepted(result={"fields": dict() as fields}) if not _is_told_of(payload, fields):
                return Lost(_anothers(asked))
            case Accepted(result={"fields": {"storno": storno}}) if not as_bool(storno):
                return Lost(said("an answer without an error, and operation {id} is not reversed", id=asked))
        return judge(evidence)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        def seen(item: Item, payload: Payload, things: Sequence[BillingObject]) -> LookUpResult:
            op_id = payload.key["op_id"]
            if things:
                return Found(op_id) if as_bool(things[0].values["storno"]) else Absent()
            # What is pending is not sent either.
            return Absent() if item.state is State.PENDING else CannotLook(_anothers(op_id), (op_id,))

        return await of_each(items, self._now, seen)

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        owners = [one.abonent for one in map(payload_of, items) if BALANCE in one.wanted]
        now = await balances(self._gateway, owners)

        def read(item: Item, payload: Payload, things: Sequence[BillingObject]) -> ReadBack:
            op_id, differs = payload.key["op_id"], None
            before, balance = payload.wanted.get(BALANCE), now.get(payload.abonent)
            is_reversed = len(things) == 1 and as_bool(things[0].values["storno"])
            if len(things) != 1:
                differs = said("there is no operation {id} any more", id=op_id)
            elif not is_reversed:
                differs = said("operation {id} is not reversed", id=op_id)
            elif before is not None and balance is not None and balance != Decimal(before):
                differs = said(
                    "operation {id} is reversed, but the balance is {balance}, and was {before} before the run: "
                    "either there were operations after it, or a storno of type 8 does not bring the balance back",
                    id=op_id,
                    balance=balance,
                    before=Decimal(before),
                )
            return ReadBack(item.amount if is_reversed else None, differs)

        return await of_each(items, self._now, read)

    async def _now(self, payloads: Sequence[Payload]) -> list[list[BillingObject]]:
        """The operations that are to be reversed; one that has the id of another by now is none of them."""
        found = await find(self._gateway, OPERATIONS, [payload.key for payload in payloads], TAKEN, BESIDES)
        return [still_there(one, one.was, things) for one, things in zip(payloads, found, strict=True)]

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        """Whose operation is not there to be reversed. Raises `LookUpFailed`."""
        return await gone_since(self._gateway, [(item, payload_of(item)) for item in items])

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        def reversed_(entry: EnteredOperation) -> NewItem | Refusal:
            if _may_lose_balance(entry, self._gateway.profile, self._type_8):
                return entry.taken.refused(_lost_by_storno(entry))
            wanted: dict[str, str | None] = {"storno": "1"}
            if entry.op_type == OPENING_BALANCE and entry.before is not None:
                wanted[BALANCE] = wire(entry.before)
            payload = Payload(
                model=OPERATIONS,
                steps=(ChainStep("objects.get", {"op_id": int(entry.op_id)}), ChainStep(self._method)),
                fields=(*TAKEN, "abonent_id"),
                abonent=entry.taken.payload.abonent,
                key={"op_id": entry.op_id},
                wanted=wanted,
                was={name: entry.thing.values[name] for name in ("storno", "op_summa", COMMENT)},
            )
            return entry.taken_back(payload, -entry.amount)

        return _each(await _but_taken_back_elsewhere(self._gateway, taken), reversed_)


def _is_told_of(payload: Payload, fields: Mapping[str, object]) -> bool:
    """Whether the answer to a storno is about the run's own operation, as far as it tells."""
    own = {"abonent_id": str(payload.abonent), "op_summa": payload.was.get("op_summa")}
    marks = {find_mark(str(one.get(COMMENT) or "")) for one in (fields, payload.was)}
    has_mark = COMMENT not in fields or len(marks) == 1
    return has_mark and all(says(fields, name, value) for name, value in own.items() if name in fields)


def _anothers(op_id: str) -> Said:
    """Why a person has to look at a storno that was sent."""
    return said(
        "operation {id} is gone, or another one has its id by now: look in the billing whether this storno has "
        "reversed that one",
        id=op_id,
    )


def _lost_by_storno(entry: EnteredOperation) -> Said:
    """Why an operation is not reversed, and what takes it back."""
    if entry.before is None:
        return said(
            "{operation} is of type 8, and its storno might not bring back the balance before it, which is not "
            "known: no database was read. Leave it to the accountant: without {flag} it is listed",
            operation=str(entry),
            flag=setting("set", f"{WAY}={STORNO}"),
        )
    return said(
        "{operation} is of type 8, and its storno might not bring back the balance before it, {before}: take it back "
        "with {flag}",
        operation=str(entry),
        before=entry.before,
        flag=setting("set", f"{WAY}={OPPOSITE}"),
    )


# ---- the opposite entry -----------------------------------------------------------------------------------------

_ENTRY: Final = parse(OPERATIONS, (OPERATION,))


async def _opposites(gateway: Gateway, parameters: Mapping[str, str], taken: Sequence[ItemToUndo]) -> Prepared:
    standing = await _still_in_effect(gateway, taken)
    entered = [one for one in standing if isinstance(one, EnteredOperation)]
    opening = [one.taken.payload.abonent for one in entered if one.op_type == OPENING_BALANCE]
    now = await balances(gateway, opening)

    def opposite(entry: EnteredOperation) -> NewItem | Refusal:
        one, amount = entry.taken, -entry.amount
        restored: Decimal | None = None
        balance: Decimal | None = None
        if entry.op_type == OPENING_BALANCE:
            sets, balance = parameters[TYPE_8] == TypeEight.SETS, now.get(one.payload.abonent)
            if entry.before is None or (balance is None and not _is_of_new(one.payload)):
                return one.refused(
                    said(
                        "{operation} is of type 8, and what the balance was before it is not known: the database has "
                        "to be set, for the run and for its undo. Take it back by hand",
                        operation=str(entry),
                    )
                )
            if sets and one.later is not None:
                return skip_changed(one, replaced_in_run(one.later))
            # The balance after all operations of the run on the account, if each has added its sum.
            added = entry.before + entry.amount if one.left is None else one.left
            left = entry.amount if sets else added
            # What has come to a new subscriber since, without a database, its operations tell.
            if balance not in {None, left}:
                changed = said(
                    "changed since: {operation} left the balance at {left}, if type 8 {sets_or_adds}, and now it "
                    "is {balance}",
                    operation=str(entry),
                    left=left,
                    sets_or_adds=said("sets") if sets else said("adds"),
                    balance=balance,
                )
                if balance == (added if sets else entry.amount):
                    other = setting("set", f"{TYPE_8}={TypeEight.ADDS if sets else TypeEight.SETS}")
                    changed = in_clauses(
                        [changed, said("that is the balance if it is the other way round: {flag}", flag=other)]
                    )
                return skip_changed(one, changed)
            if sets:
                # An added entry does not disturb other operations of the account: only this one restores a balance.
                amount = restored = entry.before
        values = {
            "abonent_id": str(one.payload.abonent),
            "amount": two_decimals(amount),
            "op_type": str(entry.op_type),
            "descr": f"{parameters['descr']} {entry.op_id}",
        }
        payload = payload_for(
            OPERATIONS,
            fill_arguments(_ENTRY.links[0].arguments, values),
            one.payload.abonent,
            was={} if balance is None else {BALANCE: wire(balance)},
            balance=None if restored is None else wire(restored),
            newest=int(entry.op_id) if balance is None and restored is not None else None,
            undone={name: entry.thing.values[name] for name in ("op_id", "op_summa", COMMENT)},
        )
        return entry.taken_back(payload, amount)

    return _each(standing, opposite)


# ---- the list ---------------------------------------------------------------------------------------------------


class AccountantsList(CallEffect):
    """Sends nothing: each operation is skipped with an instruction for the accountant, for `export`."""

    no_way_back = said("a list for the accountant has changed nothing")
    unreadable = said("nothing was sent: it is on the accountant's list")

    def __init__(self, gateway: Gateway, type_8: TypeEight) -> None:
        super().__init__(gateway)
        self._type_8 = type_8

    async def try_out(self) -> None:
        await _try_standing(self._gateway)

    async def send(self, run: Run, item: Item) -> Evidence:
        """Never called: all items are skipped."""
        return RowRefused(said("this undo is a list for the accountant: nothing is sent"))

    def describe(self, run_name: str, item: Item) -> str:
        return said("nothing is sent")

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        def listed(entry: EnteredOperation) -> NewItem:
            day = day_in(str(entry.thing.values.get("op_date") or ""))
            may_lose = _may_lose_balance(entry, self._gateway.profile, self._type_8)
            todo = (
                said(
                    "for the accountant: reverse {operation} of {day} on {label}; nothing was sent (the parameter "
                    "way=storno or way=opposite would send)",
                    operation=str(entry),
                    day=day,
                    label=entry.taken.label,
                )
                if entry.before is None or not may_lose
                else said(
                    "for the accountant: set the balance of {label} to {before} again, with what has come since on "
                    "top, as it was before {operation} of {day}; a storno might not bring it back. Nothing was sent "
                    "(the parameter way=opposite would send)",
                    label=entry.taken.label,
                    before=entry.before,
                    operation=str(entry),
                    day=day,
                )
            )
            payload = msgspec.structs.replace(entry.taken.payload, undone={"op_id": entry.op_id})
            return entry.taken_back(payload, -entry.amount, todo)

        return _each(await _but_taken_back_elsewhere(self._gateway, taken), listed)
