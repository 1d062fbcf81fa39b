"""The base of all effects: the calls of a job, and how they are taken back.

An effect turns rows into items (`plan`), makes one call (`send`), finds out its outcome (`look_up`), reads the
present values (`read_back`), and names the effect that takes it back (`undo`). See `create.py` and `set_fields.py`
for complete examples.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from billing.api.answers import objects
from billing.api.calls import Call, describe
from billing.directory.models import Values, plain_value, same_value, same_values
from billing.errors import BillingError
from billing.money import wire
from billing.secret import PLACEHOLDER
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import REPLACED_LATER, held_back
from engine.evidence import Accepted, Evidence, Lost, NotSent, RowRefused
from engine.job import Absent, AskMates, CannotLook, Effect, LookUpResult, Prepared, ReadBack, SameKey
from jobs.access.gateway import Gateway
from jobs.access.objects import Resolved, SubscriberFinder, describe_fields, enters_balance, find_by
from jobs.access.payload import BALANCE, Payload, account_of, decode_payload, encode_payload, payload_of
from jobs.access.vault import mask_secrets, unseal
from jobs.rows.binding import ABONENT, LOGIN, NUMBER, USER, Bound
from jobs.spec.chain import Template
from jobs.spec.entries import ADD_PAYMENT, OPERATIONS, find_mark, with_mark
from jobs.spec.errors import SecretAltered, SecretGone, VaultFailed
from jobs.spec.spec import SET
from texts.said import Said, reason, said, text_of

There = TypeVar("There")
Judged = TypeVar("Judged")

# ---- before-images: the values that a call overwrites, read again before it and restored by an undo ----------------


def refresh_before_image(payload: Payload, now: Values) -> Payload | None:
    """The payload with the present values as its before-image; None if it has them already."""
    if same_values(now, payload.was):
        return None
    planned = payload.planned or payload.was
    planned = {} if same_values(planned, now) else planned
    return replace(payload, was=dict(now), planned=planned, after=0)


def changed_meanwhile(payload: Payload, but: Collection[str] = ()) -> str | None:
    """The values changed between plan and call that the call overwrites, in words, `but` some; None without any."""
    wanted, planned = payload.wanted, payload.planned
    changed = {
        name: value
        for name, value in payload.was.items()
        if planned
        and name not in but
        and not same_value(name, value, planned.get(name))
        and not (name in wanted and same_value(name, value, wanted[name]))
    }
    if not changed:
        return None
    was = {name: planned.get(name) for name in changed}
    return said("it was {was}, and then {changed}", was=describe_fields(was), changed=describe_fields(changed))


def describe_change(payload: Payload) -> str | None:
    """The note on an accepted item for people, None without one."""
    changed = changed_meanwhile(payload)
    if changed is None:
        return None
    if payload.after:
        # Such rows are counted without a warning.
        return said(
            "found what an earlier row of this run had set: row {number}; an undo brings back what was there before "
            "the run",
            number=payload.after,
        )
    return said("changed between plan and call: {change}; an undo brings the latter back", change=changed)


def with_note(evidence: Accepted, payload: Payload) -> Accepted:
    return replace(evidence, note=describe_change(payload), own=bool(payload.after))


class Mate(msgspec.Struct, frozen=True, gc=False):
    """An accepted item in the same lane of a run; `stands` until it is taken back."""

    number: int
    payload: Payload
    stands: bool


def as_before_run(taken: "ItemToUndo", mates: Sequence[Mate]) -> "ItemToUndo":
    """The item with what its place was before its run; `mates` are the accepted items of its lane, in order.

    Two subscribers with one account are two rows for one place: the second overwrites the values of the first.
    """
    there = at_its_place(taken.payload, mates)
    was: Values = taken.payload.was
    for one in reversed(there):
        if one.number < taken.number and any(same_values(was, left) for left in _left_by(one.payload)):
            was = one.payload.was
    later = max((one.number for one in there if one.stands and one.number > taken.number), default=None)
    left = None
    if keeping := [one for one in there if _may_set_balance(one.payload)]:
        last = keeping[-1].payload
        taken_back = sum((_sum(one.payload) for one in keeping if not one.stands), Decimal(0))
        left = Decimal(last.was[BALANCE] or 0) + _sum(last) - taken_back
    return replace(taken, payload=replace(taken.payload, was=dict(was)), later=later, left=left)


def shares_place(payload: Payload) -> bool:
    """Whether two rows of a run may write to its place: the account, which two subscribers may share."""
    return _may_set_balance(payload) or "account_id_abonents" in payload.key


def at_its_place(payload: Payload, mates: Sequence[Mate]) -> list[Mate]:
    """Those of the accepted items of a lane that write to the place of a payload, in their order."""

    def place(one: Payload) -> tuple[str, ...]:
        # The lane already names the account, so a place that is the account needs no key. An import sets fields of
        # one object one by one.
        key = () if shares_place(one) else one.key.values()
        return (one.model, *key, *(sorted(one.wanted) if SET in one.methods else ()))

    own = place(payload)
    return [one for one in mates if place(one.payload) == own]


def _may_set_balance(payload: Payload) -> bool:
    return payload.model == "FinanceOperations" and BALANCE in payload.was


def _left_by(payload: Payload) -> tuple[Values, ...]:
    """The possible values after its call; it is not known whether type 8 sets a balance or adds to it [?]."""
    if not _may_set_balance(payload):
        return (payload.wanted,)
    entered, before = _sum(payload), Decimal(payload.was[BALANCE] or 0)
    return ({BALANCE: wire(entered)}, {BALANCE: wire(before + entered)})


def _sum(payload: Payload) -> Decimal:
    return Decimal(payload.wanted["op_summa"] or 0)


# ---- the effects of calls ------------------------------------------------------------------------------------------


class ItemToUndo(msgspec.Struct, frozen=True, gc=False):
    """An item of an earlier run to take back; `cells` are its row in the undo's input.

    `later` is the number of a later item of that run that has written to the same place and still stands. `left` is
    the balance that all operations of the run left on its account if each has added its sum, None if unknown. What is
    `unproven` may be somebody else's, and is left alone. What is `unanswered` is not in effect, and may be.
    """

    item_id: int
    number: int
    key: str
    label: str
    payload: Payload
    amount: Decimal | None
    answer: str | None
    cells: tuple[str, ...]
    lane: str = ""
    later: int | None = None
    left: Decimal | None = None
    unproven: bool = False
    unanswered: bool = False

    @property
    def mark(self) -> tuple[str, int]:
        """The run and number in the mark of what it has entered."""
        return self.key.partition("/")[0], self.number

    def item(
        self, lane: str, payload: Payload, amount: Decimal | None = None, skip_reason: str | None = None
    ) -> NewItem:
        """The item that takes this one back; the same effect must not be taken back twice."""
        text = encode_payload(payload)
        return NewItem(
            self.key, self.label, lane, text, amount, row=self.cells, skip_reason=skip_reason, undoes=self.item_id
        )

    def refused(self, reason: str) -> Refusal:
        return Refusal(None, None, self.label, reason, self.cells)


def has_id(one: ItemToUndo) -> bool:
    """Whether the id of the object that an item created is known."""
    return bool(one.answer) and str(one.answer).isdecimal()


def skip_changed(one: ItemToUndo, why: str) -> NewItem:
    """The item that leaves one alone; by the code of the reason it is known whether something of it stands."""
    amount = None if one.amount is None else -one.amount
    return one.item(f"item:{one.item_id}", one.payload, amount, skip_reason=why)


def is_anothers(one: ItemToUndo, comment: str | None) -> bool:
    """Whether an object with the id of an item's has another row's mark: the billing was put back, ours is gone."""
    return find_mark(comment or "") not in {None, one.mark}


def without_its_mark(operation: str, mark: tuple[str, int]) -> str:
    """What is said of the operation with the id, the subscriber and the sum of an item's, and without its mark."""
    return said(
        "{operation} is there with the same subscriber and sum, and without its mark: somebody has changed its "
        "comment, or it is another one by now. If it is the row's own, write {mark} at the end of its comment in the "
        "billing, and type the command again",
        operation=operation,
        mark=with_mark("", *mark),
    )


def leave_unproven(one: ItemToUndo, entry: NewItem | Refusal) -> NewItem | Refusal:
    """The entry that takes an item back, skipped where the item may be somebody else's."""
    if not one.unproven or isinstance(entry, Refusal) or entry.skip_reason is not None:
        return entry
    return skip_changed(
        one,
        said("left alone, for it may be somebody else's: it was found without a mark when its outcome was looked up"),
    )


def replaced_in_run(later: int) -> str:
    """Why an item is left alone if a later one of its run has written to the same place."""
    return reason(
        "row {number} of the same run has replaced it: taking that one back brings back what was before both",
        REPLACED_LATER,
        number=later,
    )


async def of_each(
    items: Sequence[Item],
    find: Callable[[Sequence[Payload]], Awaitable[Sequence[There]]],
    judge: Callable[[Item, Payload, There], Judged | None],
) -> dict[int, Judged]:
    """By item_id, what is judged of each item by what one question finds of all; what is None is left out."""
    payloads = [payload_of(item) for item in items]
    judged = map(judge, items, payloads, await find(payloads))
    return {item.item_id: one for item, one in zip(items, judged, strict=True) if one is not None}


class CallEffect(Effect):
    """The effect of the calls of a job. Its items carry a `Payload`.

    `names` are the values that it needs from each row or from the parameters; `cautions` are sentences that the
    operator should read before approval. One that `recognises` its effect can look it up and read it back.
    `no_way_back` says why it cannot be taken back, where it cannot. `unreadable` says why its effect cannot be read,
    where nothing shows it.
    """

    cautions: tuple[str, ...] = ()
    recognises: bool = True
    no_way_back: str = said("nobody knows what takes it back")
    unreadable: str = said("nobody knows how to read it back")

    def __init__(self, gateway: Gateway, template: Template | None = None, further: Sequence[str] = ()) -> None:
        self._gateway = gateway
        if template is not None:
            self._template = template
        self.names = tuple(dict.fromkeys((*(template.names if template else ()), *further)))
        self.looks_together = self.reads_apart = gateway.database is not None
        self._answers_name_rows = False

    # ---- rows to items ----

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        """Turn rows into items and refusals, with bulk reads of the billing. Raises `LookUpFailed`, `InputRefused`.

        An effect that only takes back refuses all rows.
        """
        only_back = said("this only takes back what an earlier run has done")
        return Prepared((), tuple(one.refused(only_back) for one in bound))

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """The undocumented facts that these payloads rely on, as values by the names in the profile."""
        return {}

    def without_document(self, item: NewItem) -> tuple[str, Sequence[str]]:
        # Of most rows nothing has to be decoded.
        if '"document"' not in item.payload or not (payload := decode_payload(item.payload)).document:
            return "", ()
        key = item.key.removesuffix(f"/{payload.document}")
        return payload.document, (key, f"{key}/{payload.day}")

    def sets(self, payload: str) -> frozenset[str]:
        return decode_payload(payload).sets

    def same_key(self, payload: str) -> SameKey:
        """Opening balances and what is no money are entered once, other money as often as it is told.

        A payment may be next month's.
        """
        decoded = decode_payload(payload)
        adds = decoded.creates and decoded.model == OPERATIONS and not enters_balance(decoded)
        if not (adds or ADD_PAYMENT in decoded.methods):
            return SameKey.ENTERED
        return SameKey.LEFT_OUT if decoded.told_by else SameKey.DOUBT

    # ---- a call ----

    def describe(self, run_name: str, item: Item) -> str:
        return mask_secrets(describe(payload_of(item).call))

    async def _sent(self, item: Item, call: Call, row: int | None = None) -> Evidence:
        """The evidence of the call of an item, made with the secrets in place of their tokens."""
        # Every token of a secret begins so.
        if PLACEHOLDER in item.payload:
            try:
                call = await unseal(self._gateway.vault, call)
            except (SecretGone, SecretAltered) as error:
                return RowRefused(held_back(text_of(error)))
            except VaultFailed as error:
                return NotSent(text_of(error))
        return await self._gateway.client.send(call, row=row)

    def _row(self, item: Item) -> int | None:
        """The row that the answer will name; None if the call needs a connection of its own."""
        return item.item_id if self._answers_name_rows else None

    def _believes(self, row: int | None, *, named: bool) -> bool:
        """Whether an answer that has `named` its row, or nobody, is accepted as the answer to the row.

        `row` is what `_row` returned before the call.
        """
        self._answers_name_rows = named
        return named or row is None

    def fenced(self, may_leave: Callable[[], bool]) -> AbstractContextManager[None]:
        return self._gateway.client.fenced(may_leave)

    def doubts(self, report: Callable[[int], None]) -> AbstractContextManager[None]:
        return self._gateway.client.doubts(report)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """As nothing shows its effect: what is repeatable may be sent again, all else is left to a person."""
        seen = Absent() if self.repeatable else CannotLook(self.unreadable)
        return {item.item_id: seen for item in items}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        return {item.item_id: CannotLook(self.unreadable) for item in items}

    async def probe(self) -> None:
        await self._gateway.probe()

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        accounts = [account for item in items if (account := account_of(item.lane)) is not None]
        payloads = [payload_of(item) for item in items]
        abonents = [payload.abonent for payload in payloads if payload.abonent]
        new = any(payload.creates_subscriber for payload in payloads)
        if not (accounts or abonents or new):
            return None
        return await self._gateway.unfinished_work(accounts, abonents, new=new)

    # ---- before-images ----

    async def renew_before_images(self, items: Sequence[Item], mates: AskMates) -> Mapping[int, str]:
        if not (anew := await self.read_before_images(items)):
            return {}
        changed = [item for item in items if item.item_id in anew]
        by_lane: defaultdict[str, list[Mate]] = defaultdict(list)
        for one in await mates({item.lane for item in changed}):
            by_lane[one.lane].append(Mate(one.number, payload_of(one), stands=True))
        renewed: dict[int, str] = {}
        for item in changed:
            payload = anew[item.item_id]
            # The last earlier item of the run at the same place may have set the values that this one overwrites.
            earlier = [one for one in at_its_place(payload, by_lane[item.lane]) if one.number < item.number]
            if earlier and any(same_values(payload.was, left) for left in _left_by(earlier[-1].payload)):
                payload = replace(payload, after=earlier[-1].number)
            renewed[item.item_id] = encode_payload(payload)
        return renewed

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """The new payloads of items whose before-images have changed, by item_id, whoever has made the change.

        Raises `LookUpFailed`.
        """
        return {}

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        """By item_id, whose contract number or login belongs to another now, or whose account is another.

        The account counts where its balance is set, and would be another's. Raises `LookUpFailed`.
        """
        return await self._moved_since(items, [decode_payload(item.payload) for item in items])

    async def _moved_since(self, items: Sequence[Item], payloads: Sequence[Payload]) -> dict[int, str]:
        """As `outdated` says, of items with these payloads."""
        now: dict[int | str, Resolved] = {}
        finder = SubscriberFinder(self._gateway, suggested_for=0)
        if numbers := [one.named[NUMBER] for one in payloads if NUMBER in one.named]:
            now |= await finder.by_contract_numbers(numbers)
        if ids := {one.abonent for one in payloads if one.newest is not None and NUMBER not in one.named}:
            now |= await finder.by_ids(ids)
        logins = [one.named[LOGIN] for one in payloads if LOGIN in one.named]
        found = await find_by(self._gateway, "Users", LOGIN, logins, ("id", LOGIN))
        users = {login: {one.values["id"] for one in things} for login, things in found.items()}
        reasons: dict[int, str] = {}
        for item, payload in zip(items, payloads, strict=True):
            if LOGIN in payload.named:
                login, then = payload.named[LOGIN], payload.named[USER]
                if then not in users[login]:
                    reasons[item.item_id] = said(
                        "given to another account since: login {login} was account {then} when the list was made, "
                        "and now it is {now}",
                        login=login,
                        then=then,
                        now=tuple(sorted(one or "" for one in users[login])) or said("nobody's"),
                    )
            elif why := _moved(item, payload, now.get(payload.named.get(NUMBER, payload.abonent))):
                reasons[item.item_id] = why
        return reasons

    # ---- undo ----

    def undo(self, how: Mapping[str, str]) -> "CallEffect | str":
        """The effect that takes this one back, or why none can; `how` are the parameters of the undo."""
        return self.no_way_back

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """Turn items of an earlier run into items that take them back, `undoes` set on each.

        An object changed since then is skipped, with a reason that names both values. An item that cannot be taken
        back is refused. Raises `LookUpFailed`.
        """
        return Prepared((), tuple(one.refused(said("nobody knows how to take it back")) for one in taken))


def _moved(item: Item, payload: Payload, bearer: Resolved | None) -> Said | None:
    """How a subscriber has changed since the list was made, by its number or id; `bearer` is who has that now."""
    number, then = payload.named.get(NUMBER), payload.named.get(ABONENT, str(payload.abonent))
    if bearer is None:
        return None
    if number is not None and (isinstance(bearer, str) or str(bearer.id) != then):
        return said(
            "given to another subscriber since: contract number {number} was abonent {then} when the list was made, "
            "and now it is {now}",
            number=number,
            then=then,
            now=said("nobody's alone") if isinstance(bearer, str) else said("abonent {id}", id=str(bearer.id)),
        )
    if isinstance(bearer, str):
        return said("changed since the list was made: {why}", why=bearer)
    account = account_of(item.lane)
    if payload.newest is None or account is None or bearer.account_id == account:
        return None
    return said(
        "changed since the list was made: abonent {id} had account {then}, and now it has account {now}, whose "
        "balance this would set",
        id=then,
        then=str(account),
        now=str(bearer.account_id),
    )


# ---- whose an answer is -------------------------------------------------------------------------------------------
# Whether an answer names its row is not documented, so it is learned from the answers.
#
# A call whose answer names its row may share a connection with other calls; any other call needs a connection of its
# own (`billing.api.wire`). So the calls of an effect have their own connections until an answer has named its row,
# and again after an answer on a shared connection has named none. That answer is `Lost`.


NAMELESS: Final = Lost(
    said("the answer does not say whose it is, and came over a connection that other answers come over")
)


def about_another(answered: str, asked: str) -> Lost:
    """The evidence of an answer about another object than that of the call."""
    return Lost(said("an answer about {answered}, and {asked} was asked for", answered=answered, asked=asked))


OF_ANOTHER_MODEL: Final = said("another model")


def one_object(result: object) -> Mapping[str, object]:
    """The fields of the one object of an answer, none for an answer of any other shape."""
    try:
        (found,) = objects(result)
    except (BillingError, ValueError):
        return {}
    return found


def says(fields: Mapping[str, object], name: str, value: str | None) -> bool:
    """Whether a field of an answer has this value; an unreadable field does not."""
    try:
        return same_value(name, plain_value(name, fields[name]), value)
    except ValueError:
        return False
