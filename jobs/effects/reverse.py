"""The reversal of finance operations: storno, an opposite entry, or a list for the accountant.

Neither the name of the API's method for storno [?] nor the effect of an entry of type 8 on the balance [?] is known:
the parameters of the undo state them, and without them nothing is sent.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from billing.money import wire
from billing.profile import StornoEffect, TypeEight
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.evidence import Evidence, RowRefused
from engine.job import CannotLook, LookUpResult, Prepared
from jobs.access.gateway import Gateway
from jobs.access.operations import balances, enters_balance, two_decimals
from jobs.access.payload import Payload
from jobs.effects.creatable_models import BALANCE
from jobs.effects.create import Back, CreateEffect, payload_for
from jobs.effects.effect import CallEffect, Irreversible, ItemToUndo
from jobs.effects.entered_operations import (
    MODEL,
    EnteredOperation,
    refused,
    replaced_in_run,
    skip_changed,
    still_in_effect,
    taking_back,
    try_standing,
)
from jobs.effects.storno import StornoReversal
from jobs.spec.chain import parse
from jobs.spec.entries import OPERATION, OPERATIONS, SETS, TYPE_8, UNDO_OF_OPERATIONS
from jobs.spec.undo_words import OPPOSITE, STORNO, WAY
from texts.said import said

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
