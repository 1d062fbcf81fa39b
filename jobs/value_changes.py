"""The values that the rows of a run change: before and after its calls, field by field, as far as they are known.

Several rows may reach one account. Each of them finds what the one before has left, so the value before it is not the
one that the billing has now.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from billing.directory.models import AMOUNTS, same_value
from billing.money import two_decimals
from billing.profile import Profile, TypeEight
from checkpoints.journal import Journal
from checkpoints.records import Item, PendingBefore, Run
from checkpoints.states import State
from jobs.access.objects import describe_fields, enters_balance
from jobs.access.payload import ACCOUNT, BALANCE, Payload, decode_payload, payload_of
from jobs.access.vault import mask_secrets
from jobs.effects.effect import changed_meanwhile, shares_place
from jobs.effects.set_fields import emptied
from jobs.imports.subscriber import Step
from jobs.spec.spec import DELETE, SET
from jobs.spec.words import IMPORT

_SUM: Final = "op_summa"


class ChangeKind(StrEnum):
    """What a call does to its object."""

    CHANGED = "changed"
    NEW = "new"
    REMOVED = "removed"


class FieldChange(msgspec.Struct, frozen=True, gc=False):
    """A field before and after a call; None is an empty field, money has two decimals or more.

    A field that is `issued` gets its new value from the billing.
    """

    name: str
    old: str | None
    new: str | None
    issued: bool = False


class RowChange(msgspec.Struct, frozen=True, gc=False):
    """What the call of a row, with its `payload`, changes; it has no `fields` if its effect is not known.

    `model` and `key` name the object that is changed: of an opening balance its account. `first` is False for a row
    whose account an earlier row of the run changes.
    """

    item: Item
    payload: Payload
    model: str
    key: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...]
    first: bool = True


@dataclass(slots=True)
class BalanceSums:
    """The sums of the balances that a run sets or adds to; `unread` are the rows whose balance is not known."""

    accounts: int = 0
    before: Decimal = field(default=Decimal(0))
    after: Decimal = field(default=Decimal(0))
    unread: int = 0

    def add(self, change: RowChange) -> None:
        payload = change.payload
        if not enters_balance(payload):
            return
        if not change.fields or (balance := change.fields[0]).name != BALANCE:
            # A subscriber that the run creates has no balance yet.
            self.unread += not payload.step
            return
        old, new = Decimal(balance.old or 0), Decimal(balance.new or 0)
        if change.first:
            self.accounts += 1
            self.before += old
            self.after += old
        self.after += new - old


async def balances_of(run: Run, journal: Journal, profile: Profile) -> BalanceSums:
    sums = BalanceSums()
    async for changes in row_changes(run, journal, profile):
        for change in changes:
            sums.add(change)
    return sums


@dataclass(frozen=True, slots=True)
class Overwritten:
    """The rows of a run that overwrote what others had changed since the list, and the change of their balances."""

    rows: int = 0
    amount: Decimal = Decimal(0)


async def overwritten(run: Run, journal: Journal) -> Overwritten:
    """What the calls of a run have overwritten that the list did not have; nothing once its rows are purged."""
    rows, amount, after = 0, Decimal(0), 0
    while items := await journal.found_changed(run, after=after):
        after = items[-1].number
        for payload in map(payload_of, items):
            if changed_meanwhile(payload) is not None:
                rows += 1
                amount += Decimal(payload.was.get(BALANCE) or 0) - Decimal(payload.planned.get(BALANCE) or 0)
    return Overwritten(rows, amount)


async def row_changes(run: Run, journal: Journal, profile: Profile) -> AsyncIterator[list[RowChange]]:
    """What each row to be sent changes, page by page."""
    # The steps of an import share the lane of their subscriber, and no place.
    shared = run.job != IMPORT and bool((await journal.shared_lanes(run)).lanes)
    left: dict[str, PendingBefore] = {}
    async for page in journal.each_page(run, {State.PENDING}):
        if shared:
            lanes = {item.lane for item in page}
            # What the page before has left is known: an account of very many rows is not added up for each page.
            known = {lane: before for lane, before in left.items() if lane in lanes}
            left = known | await journal.pending_before(run, lanes - known.keys(), page[0].number, _shares_place)
        earlier = _earlier(page, left) if shared else {}
        yield [_change_of(item, earlier.get(item.number), profile) for item in page]


def _shares_place(payload: str) -> bool:
    decoded = decode_payload(payload)
    return not decoded.step and shares_place(decoded)


def _earlier(items: Sequence[Item], known: dict[str, PendingBefore]) -> dict[int, PendingBefore]:
    """By number, what the rows before each of these items do to its account.

    `known` is that before the first of them, by lane; it becomes that after the last.
    """
    found: dict[int, PendingBefore] = {}
    for item in items:
        if not _shares_place(item.payload):
            continue
        before = known.get(item.lane)
        if before is not None:
            found[item.number] = before
        total = (before.amount if before else Decimal(0)) + (item.amount or Decimal(0))
        known[item.lane] = PendingBefore(item.payload, total)
    return found


def _change_of(item: Item, before: PendingBefore | None, profile: Profile) -> RowChange:
    payload = payload_of(item)
    if payload.step and (payload.creates or not payload.was):
        # A new object, or a field of one that the run itself creates.
        kind = ChangeKind.NEW
    elif (enters_balance(payload) and BALANCE in payload.was) or SET in payload.methods:
        kind = ChangeKind.CHANGED
    else:
        kind = ChangeKind.REMOVED if DELETE in payload.methods else ChangeKind.NEW
    if BALANCE in payload.was and _SUM in payload.wanted:
        fields: tuple[FieldChange, ...] = (_balance(payload, before, profile),)
    else:
        fields = tuple(
            FieldChange(one.name, _spelled(one.name, one.old), _spelled(one.name, one.new), one.issued)
            for one in _fields(payload, kind, before)
        )
    model, key = payload.model, ""
    if fields and fields[0].name == BALANCE and not payload.step:
        model, key = "AdminAccounts", f"id {item.lane.removeprefix(ACCOUNT)}"
    return RowChange(item, payload, model, key or describe_fields(payload.key), kind, fields, before is None)


def _fields(payload: Payload, kind: ChangeKind, earlier: PendingBefore | None) -> Iterator[FieldChange]:
    if kind is ChangeKind.CHANGED:
        was = payload.was if earlier is None else {**payload.was, **decode_payload(earlier.payload).wanted}
        issued = emptied(payload.model, payload.wanted)
        for name, new in payload.wanted.items():
            if name in issued or not same_value(name, was.get(name), new):
                yield FieldChange(name, was.get(name), new, issued=name in issued)
    elif kind is ChangeKind.REMOVED:
        yield from (FieldChange(name, old, None) for name, old in payload.was.items() if old is not None)
    else:
        # A new object that has nothing but its key is told by that, and an account by its login in any case.
        made = payload.wanted or (payload.key if payload.step else {})
        made = payload.key | payload.wanted if payload.step == Step.ACCOUNT else made
        empty = {None, ""} if payload.step else {None}
        yield from (FieldChange(name, None, new) for name, new in made.items() if new not in empty)


def _balance(payload: Payload, earlier: PendingBefore | None, profile: Profile) -> FieldChange:
    """The balance that an operation of type 8 sets or adds to, for people."""
    now, entered = Decimal(payload.was[BALANCE] or 0), Decimal(payload.wanted[_SUM] or 0)
    if profile.type_8.value is TypeEight.SETS:
        last = decode_payload(earlier.payload).wanted[_SUM] if earlier else None
        was = now if earlier is None else Decimal(last or 0)
        return FieldChange(BALANCE, two_decimals(was), two_decimals(entered))
    old = now + (earlier.amount if earlier else Decimal(0))
    return FieldChange(BALANCE, two_decimals(old), two_decimals(old + entered))


def _spelled(name: str, value: str | None) -> str | None:
    """A value for people: dots for a secret, at least two decimals for money."""
    if value is None:
        return None
    return two_decimals(Decimal(value)) if name in AMOUNTS else mask_secrets(value)
