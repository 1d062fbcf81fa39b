"""The undo: a run whose rows are the items of an earlier run, and whose effect takes them back.

It is a run like any other: planned, shown, resumable, verified, and it can itself be undone.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import anyio.from_thread
from msgspec.structs import replace

from billing.directory.subscribers import Operation
from billing.profile import TypeEight
from checkpoints.journal import Journal
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_IT_WAS, ENTERED_ANEW, NOT_IN_EFFECT, NOTHING_STANDS
from engine.errors import InputRefused
from engine.job import NO_ENTRIES, AskMates, Entries, Job, Look, Prepared, Row, RowPage, Source
from engine.pipeline.foreign_entries import with_later_runs
from jobs.access.gateway import Gateway
from jobs.access.objects import balances_set, described, enters_balance, operations_since
from jobs.access.payload import Payload, decode_payload, payload_of
from jobs.catalogue.catalogue import Catalogue
from jobs.effects.creatable_models import SERVICES, entries_of, marked_or_alike
from jobs.effects.effect import (
    CallEffect,
    ItemToUndo,
    Mate,
    as_before_run,
    leave_unproven,
    shares_place,
)
from jobs.effects.factory import effect_of
from jobs.effects.reverse import SUM_IN, AccountantsList
from jobs.job import BillingJob
from jobs.rows.input import job_parameters
from jobs.spec.entries import CREATED, TYPE_8, find_mark
from jobs.spec.spec import DELETE, parameters_of
from jobs.spec.words import AMOUNT, OPPOSITE, RUN, TAKE, UNDO, UNPROVEN, WAY
from texts.said import advised, kind_of, reason, said, setting

HEADER: Final = ("run", "row", "key", "label", AMOUNT, "answer")
"""The columns of an undo's rows; `answer` is the id of the created object."""

_PAGE: Final = 1_000
_ID: Final = "op_id"


class ItemRow(Row, frozen=True, kw_only=True, gc=False):
    """An item of an earlier run as a row of its undo; the cells are for display."""

    item: Item


@dataclass(frozen=True, slots=True)
class EarlierItems(Source):
    """The items of a run whose effect stands or may stand, in order; with `last_first` the last one comes first.

    All of them are read before anything is sent, so that the plan shows everything that will be done.
    """

    run: Run
    journal: Journal
    last_first: bool = False
    header: tuple[str, ...] = HEADER
    digest: str = ""
    is_read_whole: bool = True

    @property
    def name(self) -> str:
        return said("run {run}", run=self.run.name)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """Pages of items behind a number. Used in a worker thread, while the event loop runs."""
        number = None if after is None else int(after)
        while items := anyio.from_thread.run(self._page, number):
            number = items[-1].number
            yield RowPage(tuple(ItemRow(None, self._cells(item), item=item) for item in items), (), str(number))

    def _cells(self, item: Item) -> tuple[str, ...]:
        amount = "" if item.amount is None else format(item.amount, "f")
        return (self.run.name, str(item.number), item.key, item.label, amount, item.answer or "")

    async def _page(self, after: int | None) -> list[Item]:
        size = _PAGE
        if not self.last_first:
            return await self.journal.in_effect(self.run, after=after or 0, size=size)
        # A page ends with the end of a lane: the steps of a subscriber are taken back together.
        while len(items := await self.journal.in_effect_last_first(self.run, before=after, size=size)) == size:
            last = items[-1].lane
            while items and items[-1].lane == last:
                items.pop()
            if items:
                return items
            size *= 2
        return items


class UndoJob(BillingJob):
    """A job whose rows are the items of an earlier run, and whose calls take them back.

    What may be somebody else's is left alone, unless it `takes_unproven`.
    """

    takes_back = True

    def __init__(
        self,
        gateway: Gateway,
        journal: Journal,
        source: EarlierItems,
        effect: CallEffect,
        *,
        takes_unproven: bool = False,
        type_8: TypeEight | None = None,
    ) -> None:
        super().__init__(UNDO, gateway, effect)
        self._takes_unproven = takes_unproven
        self._type_8 = type_8 or gateway.profile.type_8.value
        self._source = source
        self._journal = journal

    @property
    def source(self) -> EarlierItems:
        return self._source

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Turn rows into the items that take them back. Raises `LookUpFailed`.

        The undo of an undo restores what was taken back, unless another run has entered it again since. Where a later
        run has entered again what has no mark, that is the later run's: the billing was put back from its backup.
        """
        taken = await self._with_mates([self._taken(row) for row in rows])
        prepared = await self.effect.take_back(taken)
        # What bears no mark is told from what a later run has entered or deleted again by the journal alone.
        undoes = self._source.run.job == UNDO
        unmarked = {one.item_id for one in taken if undoes or _bears_no_mark(one.payload)}
        # What belongs to a subscriber whom a later run has made again is that one's too, whatever differs in it.
        steps = {one.item_id for one in taken if one.payload.step and not CREATED.get(one.payload.model)}
        anew = await self._journal.entered_anew([*(unmarked | steps)])
        differing = await self._journal.differences_on([one.item_id for one in taken])
        unproven = {one.item_id: one for one in taken if one.unproven}
        items_of = {row.item.item_id: row.item for row in rows if isinstance(row, ItemRow)}
        changed = {
            item.key: (item, new.skip_reason)
            for new in (prepared.items if self.effect.repeatable or self.effect.has_steps else ())
            if new.skip_reason and kind_of(new.skip_reason) not in NOTHING_STANDS
            for item in [items_of[new.undoes or 0]]
        }
        set_over = await with_later_runs(self._source.run, changed, self.effect, self._journal)
        restored = await self._restored(taken, prepared.items)
        is_list = isinstance(self.effect, AccountantsList)
        due = [
            one
            for one in prepared.items
            if not one.skip_reason or (is_list and kind_of(one.skip_reason) not in NOTHING_STANDS)
        ]
        replaced = await self._replaced(due)
        gone_at = ""
        items: list[NewItem | Refusal] = []
        for item in prepared.items:
            if item.undoes in restored:
                items.append(restored[item.undoes])
                continue
            kind = kind_of(item.skip_reason or "")
            if item.undoes is not None and kind in NOT_IN_EFFECT:
                gone_at = max(gone_at, items_of[item.undoes].changed_at)
            is_anew = item.undoes in (unmarked if item.skip_reason is None else steps)
            if is_anew and item.undoes in anew and kind not in NOTHING_STANDS:
                again = reason(
                    "entered anew since: run {run} has this row again", ENTERED_ANEW, run=anew[item.undoes]
                )
                item = replace(item, skip_reason=again)  # noqa: PLW2901 - the item of that row
            elif item.key in replaced:
                item = replace(item, skip_reason=replaced[item.key])  # noqa: PLW2901
            elif item.undoes in set_over:
                item = replace(item, skip_reason=set_over[item.undoes])  # noqa: PLW2901
            elif item.undoes in differing:
                item = replace(item, skip_reason=_differs(differing[item.undoes], self._source.run))  # noqa: PLW2901
            items.append(leave_unproven(unproven[item.undoes], item) if item.undoes in unproven else item)
        return replace(Prepared.of([*items, *prepared.refusals]), gone_at=gone_at)

    async def _restored(self, taken: Sequence[ItemToUndo], back: Sequence[NewItem]) -> dict[int, Refusal]:
        """By item_id, the objects that a person has to decide on. Raises `LookUpFailed`.

        One is gone, and the undo of an undo, or of a deletion, has restored it under another id; or a deleted service
        is of a run that is taken back since.
        """
        gone = {item.undoes for item in back if kind_of(item.skip_reason or "") == AS_IT_WAS}
        services = {str(one.item_id): one for one in taken if one.payload.model == SERVICES}
        connected = [one for one in services.values() if one.payload.creates and one.item_id in gone]
        found = await marked_or_alike(self._gateway, [one.payload for one in connected])
        marks = [
            (one, (entry.run, entry.number))
            for one, things in zip(connected, found, strict=True)
            for entry in entries_of(one.payload, things, self._gateway.profile).marked
        ]
        # The undo of an undo restores what that has taken back itself.
        is_load = self._source.run.job != UNDO
        deleted = [one for one in services.values() if is_load and one.payload.methods[-1] == DELETE]
        marks += [(one, mark) for one in deleted if (mark := find_mark(one.payload.was.get("comment") or ""))]
        asked = {(*mark, one.lane, str(one.item_id)) for one, mark in marks}
        anew = await self._journal.restored_by([one.item_id for one in taken if one.item_id in gone])
        restored = {one.item_id: _restored_by(one, anew[one.item_id][0]) for one in taken if one.item_id in anew}
        for known in await self._journal.known_marks(asked) if asked else ():
            one = services[known.row_key]
            if one.payload.creates and known.sign < 0:
                restored[one.item_id] = _restored_by(one, known.run)
            elif not one.payload.creates and known.sign > 0 and known.taken_back:
                why = said(
                    "left alone: it is of run {run}, taken back since. To connect it, load its row again",
                    run=known.first_run,
                )
                restored[one.item_id] = one.refused(why)
        return restored

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        replaced = await self._replaced(items)
        found = {item.item_id: replaced[item.key] for item in items if item.key in replaced}
        return {**found, **await super().outdated(run, items)}

    async def _replaced(self, items: Sequence[NewItem | Item]) -> dict[str, str]:
        """By the key of an item, why operations are left alone: a balance was set over their sums since.

        None is a balance that was set and taken back, and a difference, which goes on top. Raises `LookUpFailed`.
        """
        if self._type_8 is not TypeEight.SETS:
            return {}
        payloads = [(item.key, decode_payload(item.payload)) for item in items]
        own = {key: (one, int(op)) for key, one in payloads if (op := one.undone.get(_ID) or one.key.get(_ID))}
        last: dict[int, int] = {}
        for payload, its in own.values():
            if its <= last.get(payload.abonent, its):
                last[payload.abonent] = its
        newer = await operations_since(self._gateway, last)
        openings = {abonent: balances_set(found) for abonent, found in newer.items()}
        marks = {mark: one for found in openings.values() for one in found if (mark := find_mark(one.descr))}
        asked = {(*mark, "", "") for mark in marks}
        known = {(one.run, one.number): one for one in await self._journal.known_marks(asked)} if asked else {}
        replaced: dict[str, str] = {}
        for key, (payload, its) in own.items():
            for one in openings.get(payload.abonent, ()):
                adds = not enters_balance(payload) and "storno" not in payload.wanted
                by = known.get(mark) if (mark := find_mark(one.descr)) else None
                is_other = adds or mark is None or mark[0] != self._source.run.name
                if one.op_id > its and is_other and (by is None or by.amount is not None):
                    replaced[key] = _replaced_by(one, None if by is None else by.run)
        return replaced

    def _taken(self, row: Row) -> ItemToUndo:
        if not isinstance(row, ItemRow):
            raise TypeError(f"no row of an earlier run: {row}")
        item = row.item
        in_effect = item.state.in_effect
        return ItemToUndo(
            item_id=item.item_id,
            number=item.number,
            key=f"{self._source.run.name}/{item.number}",
            label=item.label,
            payload=payload_of(item),
            amount=item.amount,
            answer=item.answer,
            cells=row.cells,
            lane=item.lane,
            unproven=item.unproven and in_effect and not self._takes_unproven,
            unanswered=not in_effect,
        )

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """Marked entries of the same sum: another copy of the journal may have taken the run back already.

        Other changes since the run appear in the plan itself. Raises `LookUpFailed`.
        """
        found = await self.effect.find_entries(items)
        amounts = {item.key: item.amount for item in items}
        return {key: _of_amount(entries, amounts[key]) for key, entries in found.items()}

    async def look(self, run: Run, items: Sequence[Item], mates: AskMates) -> Mapping[int, Look]:
        """The same, as it is when the calls would leave. Raises `LookUpFailed`."""
        looks = await self.effect.look(run, items, mates)
        return {
            item.item_id: replace(look, entries=_of_amount(look.entries, item.amount))
            if look.entries is not NO_ENTRIES
            else look
            for item in items
            if (look := looks.get(item.item_id))
        }

    async def _with_mates(self, taken: Sequence[ItemToUndo]) -> list[ItemToUndo]:
        """The items, each with the values before the run: its before-image may be the effect of another item.

        That of an item which has its lane for itself is no other item's.
        """
        run = self._source.run
        lanes = {one.lane for one in taken if shares_place(one.payload)}
        shared, taken_back = await self._journal.mates_in_shared_lanes(run, lanes)
        mates: defaultdict[str, list[Mate]] = defaultdict(list)
        for item in shared:
            mates[item.lane].append(Mate(item.number, payload_of(item), item.item_id not in taken_back))
        return [as_before_run(one, mates[one.lane]) if one.lane in mates else one for one in taken]


async def build_undo(gateway: Gateway, journal: Journal, parameters: Mapping[str, str], catalogue: Catalogue) -> Job:
    """The job that takes a run back, from the parameters of the undo.

    Raises `InputRefused` when the run cannot be taken back, and what `Journal.run` raises.
    """
    run = await journal.run(parameters[RUN])
    how = {name: value for name, value in parameters.items() if name not in {RUN, UNPROVEN}}
    effect = await effect_of_run(gateway, journal, run, catalogue)
    back = effect.undo(how)
    if isinstance(back, str):
        raise InputRefused("run {run} ({job}) cannot be taken back: {reason}", run=run.name, job=run.job, reason=back)
    source = EarlierItems(run, journal, last_first=effect.has_steps)
    type_8 = TypeEight(parameters[TYPE_8]) if TYPE_8 in parameters else None
    return UndoJob(gateway, journal, source, back, takes_unproven=parameters.get(UNPROVEN) == TAKE, type_8=type_8)


async def effect_of_run(gateway: Gateway, journal: Journal, run: Run, catalogue: Catalogue) -> CallEffect:
    """The effect of a run's items; for an undo, the effect that takes the other run's items back."""
    if run.job != UNDO:
        wanted = catalogue.of(run)
        return effect_of(gateway, wanted, parameters_of(wanted, job_parameters(run.parameters)))
    other = await journal.run(run.parameters[RUN])
    back = (await effect_of_run(gateway, journal, other, catalogue)).undo(job_parameters(run.parameters))
    if isinstance(back, str):
        raise InputRefused(
            "run {run} takes back run {other}, and that cannot be taken back: {reason}",
            run=run.name,
            other=other.name,
            reason=back,
        )
    return back


def _differs(delta: str, run: Run) -> str:
    return said(
        "changed since: the difference that run {delta} has entered on top of it stands. A file with the sum that is "
        "right, given with {since}, corrects the row and keeps what has come since",
        delta=delta,
        since=setting("since", run.name),
    )


def _restored_by(one: ItemToUndo, run: str) -> Refusal:
    undo = advised(UNDO, run)
    return one.refused(
        said("left alone: run {run} has restored it. Take that back first: {undo}", run=run, undo=undo)
    )


def _replaced_by(opening: Operation, run: str | None) -> str:
    """Why an operation is left alone over which another one has set the balance, and what to do."""
    return said(
        "replaced since: {operation} of type 8 has set the balance of its account, and this sum is out of it. To "
        "take back both, begin there: {first}. If its sum counts this one in, load the right balance with {again} "
        "instead",
        operation=described(opening.op_id, opening.op_summa, opening.day),
        first=said("by hand") if run is None else advised(UNDO, run, ("set", f"{WAY}={OPPOSITE}")),
        again=setting("again"),
    )


def _bears_no_mark(payload: Payload) -> bool:
    is_new = payload.creates and not CREATED.get(payload.model)
    return is_new or SUM_IN in payload.wanted or payload.steps[-1].method == DELETE


def _of_amount(entries: Entries, amount: Decimal | None) -> Entries:
    if not (entries.marked or entries.unmarked or entries.replaced):
        return entries
    return Entries(tuple([one for one in entries.marked if one.amount == amount]), payload=entries.payload)
