"""The reversal of finance operations: storno, an opposite entry, or a list for the accountant.

Neither the name of the API's method for storno [?] nor the effect of an entry of type 8 on the balance [?] is known:
the parameters of the undo state them, and without them nothing is sent.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from billing.api.answers import is_about_other_model, judge
from billing.directory.models import BillingObject
from billing.money import wire
from billing.profile import StornoEffect, TypeEight
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_WANTED
from engine.evidence import Accepted, AlreadyThere, Evidence, Lost, RowRefused, Seen
from engine.job import Absent, CannotLook, Found, LookedFor, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import FOUND_AGAIN, NOBODY, find, needed
from jobs.access.operations import balances, enters_balance, two_decimals
from jobs.access.payload import Payload, chain_of, payload_of
from jobs.access.subscribers import as_bool
from jobs.effects.creatable_models import BALANCE
from jobs.effects.create import Back, CreateEffect, payload_for
from jobs.effects.effect import CallEffect, Irreversible, ItemToUndo
from jobs.effects.entered_operations import (
    BESIDES,
    FIELDS,
    MODEL,
    EnteredOperation,
    refused,
    replaced_in_run,
    skip_changed,
    still_in_effect,
    taking_back,
    try_standing,
)
from jobs.spec.chain import parse
from jobs.spec.entries import OPERATION, OPERATIONS, SETS, TYPE_8, UNDO_OF_OPERATIONS
from jobs.spec.words import OPPOSITE, STORNO, WAY
from texts.said import reason, said

# ---- the storno of a finance operation ----------------------------------------------------------------------------
# `objects.get {op_id}` → a method whose name is not documented [?].
#
# It is not known either whether a storno of type 8 restores the balance [?], so the balance is read back.


_REVERSED: Final = "сторнирован"


class StornoReversal(CallEffect):
    """Reverses operations: `objects.get {op_id}` → the storno. A look-up decides whether it is sent again."""

    looked_for = LookedFor.WHEN_TAKEN_UP

    def __init__(self, gateway: Gateway, method: str) -> None:
        super().__init__(gateway)
        self._method = method

    async def try_out(self) -> None:
        """Try each look-up with an id that no operation has. Raises `InputRefused`, `LookUpFailed`."""
        await try_standing(self._gateway)
        with needed(FOUND_AGAIN):
            await balances(self._gateway, [NOBODY])

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """That the method exists and reverses, and for type 8 that it restores the balance."""
        works: dict[str, object] = {"storno_call": self._method, "storno_works": True}
        if any(BALANCE in one.wanted for one in payloads):
            works["storno_type_8"] = StornoEffect.RESTORES
        return works

    async def send(self, run: Run, item: Item) -> Seen:
        """Reverse the operation."""
        payload = payload_of(item)
        return _evidence(await self._gateway.client.send(payload.call), payload, first=not item.attempts)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Whether the operations are reversed. Raises `LookUpFailed`."""
        return {item.item_id: _sighting(item, things) for item, things in await self._now(items)}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """The operations as they are now, and for type 8 also the balance. Raises `LookUpFailed`."""
        payloads = [payload_of(item) for item in items]
        now = await balances(self._gateway, [one.abonent for one in payloads if BALANCE in one.wanted])
        return {item.item_id: _reading(item, things, now) for item, things in await self._now(items)}

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """Irreversible: a storno is final."""
        return Irreversible(
            said(
                "a storno is final. To enter the sums again, export the rows of the run that was taken back, and run "
                "its job on that file: what was taken back counts as never entered"
            )
        )

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """A storno for each unchanged operation. Raises `LookUpFailed`."""
        found = await still_in_effect(self._gateway, taken)
        return Prepared.of([self._storno(one) if isinstance(one, EnteredOperation) else one for one in found])

    def _storno(self, entry: EnteredOperation) -> NewItem:
        wanted = {"storno": "1"}
        if entry.sets_balance and entry.before is not None:
            wanted[BALANCE] = wire(entry.before)
        key = {"op_id": entry.op_id}
        payload = Payload(
            model=MODEL,
            steps=chain_of(("objects.get", {"op_id": int(entry.op_id)}), (self._method, {})),
            fields=("op_id", "storno"),
            abonent=entry.taken.payload.abonent,
            key=key,
            wanted=dict(wanted),
            was={"storno": "0", "op_summa": entry.thing.values["op_summa"]},
        )
        return taking_back(entry, payload, -entry.amount)

    async def _now(self, items: Sequence[Item]) -> list[tuple[Item, list[BillingObject]]]:
        found = await find(self._gateway, MODEL, [payload_of(item).key for item in items], FIELDS, BESIDES)
        return list(zip(items, found, strict=True))


def _evidence(evidence: Evidence, payload: Payload, *, first: bool) -> Seen:
    match evidence:
        case RowRefused(text) if first and _REVERSED in text.casefold():
            why = reason(
                "already as wanted: somebody else has reversed it since the list was made: {reason}",
                AS_WANTED,
                reason=text,
            )
            return AlreadyThere(why, payload.key["op_id"])
        # An earlier call of ours may have had its effect late.
        case RowRefused(text) if _REVERSED in text.casefold() or "атрибут" in text.casefold():
            return Lost(said("refused, and whether it is reversed has to be looked up: {reason}", reason=text))
        case Accepted(result=result) if is_about_other_model(result, MODEL):
            return Lost(said("an answer about something else than operation {id}", id=payload.key["op_id"]))
        case Accepted(result={"fields": {"op_id": op_id}}) if str(op_id) != payload.key["op_id"]:
            return Lost(
                said(
                    "an answer about operation {answered}, and {asked} was asked for",
                    answered=str(op_id),
                    asked=payload.key["op_id"],
                )
            )
        case Accepted(result={"fields": {"storno": storno}}) if not as_bool(storno):
            return Lost(
                said("an answer without an error, and operation {id} is not reversed", id=payload.key["op_id"])
            )
    return judge(evidence)


def _sighting(item: Item, things: Sequence[BillingObject]) -> LookUpResult:
    if len(things) != 1:
        gone = payload_of(item).key["op_id"]
        return CannotLook(said("there is no operation {id} any more", id=gone), (gone,))
    return Found(things[0].values["op_id"]) if as_bool(things[0].values["storno"]) else Absent()


def _reading(item: Item, things: Sequence[BillingObject], now: Mapping[int, Decimal]) -> ReadBack:
    payload = payload_of(item)
    op_id = payload.key["op_id"]
    if len(things) != 1:
        return ReadBack(None, said("there is no operation {id} any more", id=op_id))
    if not as_bool(things[0].values["storno"]):
        return ReadBack(None, said("operation {id} is not reversed", id=op_id))
    before, balance = payload.wanted.get(BALANCE), now.get(payload.abonent)
    if before is None or balance is None or balance == Decimal(before):
        return ReadBack(item.amount)
    return ReadBack(
        item.amount,
        said(
            "operation {id} is reversed, but the balance is {balance}, and was {before} before the run: either there "
            "were operations after it, or a storno of type 8 does not bring the balance back",
            id=op_id,
            balance=balance,
            before=Decimal(before),
        ),
    )


# ---- the reversal of finance operations ---------------------------------------------------------------------------


_DEFAULTS: Final = {parameter.name: parameter.default or "" for parameter in UNDO_OF_OPERATIONS}

_ENTRY: Final = parse(OPERATIONS, (OPERATION,))


def undo_of_operations(gateway: Gateway, how: Mapping[str, str]) -> CallEffect:
    """The effect that takes operations back, by the parameters of the undo."""
    parameters = {**_DEFAULTS, **how}
    if parameters[WAY] == STORNO:
        return StornoReversal(gateway, parameters["storno_call"])
    if parameters[WAY] == OPPOSITE:
        back: Back = partial(undo_of_operations, gateway)
        takes_back = partial(_opposites, gateway, parameters)
        return CreateEffect(gateway, _ENTRY, back, taking_back=takes_back, type_8=TypeEight(parameters[TYPE_8]))
    return AccountantsList(gateway)


def way_that_sends(gateway: Gateway, payload: Payload) -> str | None:
    """The way of an undo that takes an operation back; None where this billing is not known to have one.

    Storno is named only where a probe has seen it work. The opposite of an opening balance needs the one before it.
    """
    sets, profile = enters_balance(payload), gateway.profile
    storno_works = profile.storno_call.known and profile.storno_works.known and profile.storno_works.value
    restores = profile.storno_type_8.known and profile.storno_type_8.value is StornoEffect.RESTORES
    if storno_works and (restores or not sets):
        return STORNO
    known_before = gateway.database is not None and payload.was.get(BALANCE) is not None
    return OPPOSITE if known_before or not sets else None


# ---- the opposite entry -----------------------------------------------------------------------------------------


async def _opposites(gateway: Gateway, parameters: Mapping[str, str], taken: Sequence[ItemToUndo]) -> Prepared:
    """An opposite entry for each unchanged operation. Raises `LookUpFailed`."""
    found = await still_in_effect(gateway, taken)
    entries = [one for one in found if isinstance(one, EnteredOperation)]
    now = await balances(gateway, [one.taken.payload.abonent for one in entries if one.sets_balance])
    return Prepared.of(
        [_opposite(one, parameters, now) if isinstance(one, EnteredOperation) else one for one in found]
    )


def _opposite(
    entry: EnteredOperation, parameters: Mapping[str, str], now: Mapping[int, Decimal]
) -> NewItem | Refusal:
    abonent = entry.taken.payload.abonent
    if not entry.sets_balance:
        return _entered(entry, parameters, -entry.amount)
    sets, balance = parameters["type_8"] == SETS, now.get(abonent)
    if entry.before is None or balance is None:
        return refused(
            entry.taken,
            said(
                "{operation} is of type 8, and what the balance was before it is not known: the database has to be "
                "set, for the run and for its undo. Take it back by hand",
                operation=str(entry),
            ),
        )
    if sets and entry.taken.later is not None:
        return skip_changed(entry.taken, replaced_in_run(entry.taken.later))
    left = entry.amount if sets else entry.left_by_adding
    if balance != left:
        return skip_changed(
            entry.taken,
            said(
                "changed since: {operation} left the balance at {left}, if type 8 {sets_or_adds}, and now it is "
                "{balance}",
                operation=str(entry),
                left=left,
                sets_or_adds=said("sets") if sets else said("adds"),
                balance=balance,
            ),
        )
    if sets:
        return _entered(entry, parameters, entry.before, before=entry.before, balance=balance)
    # An added entry does not disturb other operations of the account, so no balance is restored.
    return _entered(entry, parameters, -entry.amount, balance=balance)


def _entered(
    entry: EnteredOperation,
    parameters: Mapping[str, str],
    amount: Decimal,
    *,
    before: Decimal | None = None,
    balance: Decimal | None = None,
) -> NewItem:
    """The new entry; `before` is the balance that it restores, `balance` the present one."""
    abonent = entry.taken.payload.abonent
    values = {
        "abonent_id": str(abonent),
        "amount": two_decimals(amount),
        "op_type": str(entry.op_type),
        "descr": f"{parameters['descr']} {entry.op_id}",
    }
    arguments = _ENTRY.fill(values)[0].arguments
    payload = payload_for(
        MODEL,
        arguments,
        abonent,
        was={} if balance is None else {BALANCE: wire(balance)},
        balance=None if before is None else wire(before),
    )
    return taking_back(entry, payload, amount)


# ---- the list ---------------------------------------------------------------------------------------------------


class AccountantsList(CallEffect):
    """Sends nothing: each operation is skipped with an instruction for the accountant, for `export`."""

    async def try_out(self) -> None:
        """Try each look-up with an id that no operation has. Raises `InputRefused`, `LookUpFailed`."""
        await try_standing(self._gateway)

    async def send(self, run: Run, item: Item) -> Evidence:
        """Never called: all items are skipped."""
        return RowRefused(said("this undo is a list for the accountant: nothing is sent"))

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Cannot look, because nothing was sent."""
        reason = CannotLook(said("nothing was sent: it is on the accountant's list"))
        return {item.item_id: reason for item in items}

    def describe(self, run_name: str, item: Item) -> str:
        """A text that nothing is sent."""
        return said("nothing is sent")

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """Irreversible, because nothing was changed."""
        return Irreversible(said("a list for the accountant has changed nothing"))

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """The list of operations as skipped items. Raises `LookUpFailed`."""
        found = await still_in_effect(self._gateway, taken)
        return Prepared.of([_on_the_list(one) if isinstance(one, EnteredOperation) else one for one in found])


def _on_the_list(entry: EnteredOperation) -> NewItem:
    when = str(entry.thing.values.get("op_date") or "")[:10]
    return taking_back(
        entry,
        entry.taken.payload,
        -entry.amount,
        said(
            "for the accountant: reverse {operation} of {day} on {label}; nothing was sent (the parameter way=storno "
            "or way=opposite would send)",
            operation=str(entry),
            day=when,
            label=entry.taken.label,
        ),
    )
