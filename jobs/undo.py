"""The way back: a run whose rows are the items of an earlier run, and whose effect takes theirs back.

It is a run like any other: planned, shown, resumable, verified, and it can be taken back itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import anyio.from_thread
import msgspec

from checkpoints.journal import Journal
from checkpoints.records import Item, NewItem, Run
from engine.errors import InputRefused
from engine.job import Entries, Job, Prepared
from engine.pipeline.foreign_entries import Finder
from engine.rows import Row, RowPage
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload, payload_of
from jobs.catalogue.catalogue import job_of
from jobs.effects.before_image import Mate, left_by_adding, replaced_by, shares_place, value_before_run
from jobs.effects.effect import Effect, Irreversible, ItemToUndo, Reversal
from jobs.job import Work
from jobs.rows.input import job_parameters
from jobs.spec.spec import parameters_of

UNDO: Final = "undo"
RUN: Final = "run"
"""The parameter that names the run to take back; all others say how."""

HEADER: Final = ("run", "row", "key", "label", "amount", "answer")
"""What an undo's rows say of the items that they take back; `answer` is the id of what was created."""

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class EarlierItems:
    """A `Source`: the items of a run whose effect stands, in their order.

    All of them are read before anything is sent, so that what is shown is what will be done.
    """

    run: Run
    journal: Journal
    header: tuple[str, ...] = HEADER
    digest: str = ""
    checked_whole: bool = True

    @property
    def name(self) -> str:
        """The run, in words."""
        return f"run {self.run.name}"

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """Pages of items behind a number. Used in a worker thread, while the event loop runs."""
        number = int(after or 0)
        while items := anyio.from_thread.run(self._page, number):
            number = items[-1].number
            yield RowPage(tuple(_row(self.run, item) for item in items), (), str(number))

    async def _page(self, after: int) -> list[Item]:
        return await self.journal.in_effect(self.run, after=after, size=_PAGE)


class FromRun:
    """Items of an earlier run, turned into items that take them back."""

    def __init__(self, source: EarlierItems, reversal: Reversal, journal: Journal) -> None:
        self._source = source
        self._reversal = reversal
        self._journal = journal

    @property
    def source(self) -> EarlierItems:
        """The items of the run."""
        return self._source

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """What takes these back. Raises `LookUpFailed`.

        The undo of an undo restores what was taken back: where another run has entered that anew since, it is left.
        """
        taken = await self._beside_mates([_taken(row) for row in rows])
        prepared = await self._reversal.take_back(taken)
        anew = await self._journal.entered_anew([one.item_id for one in taken])
        return replace(prepared, items=tuple(_unless_anew(item, anew) for item in prepared.items))

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """Entries of the same sum that bear a mark: another copy of the journal may have taken the run back already.

        What else has been changed since is told by the plan itself. Raises `LookUpFailed`.
        """
        if not isinstance(self._reversal, Finder):
            return {}
        found = await self._reversal.find_entries(items)
        amounts = {item.key: item.amount for item in items}
        return {
            key: Entries(tuple(one for one in entries.marked if one.amount == amounts[key]))
            for key, entries in found.items()
        }

    async def _beside_mates(self, taken: Sequence[ItemToUndo]) -> list[ItemToUndo]:
        """The items, each with what there was before the run: what one has found may be what another had set."""
        lanes = {one.lane for one in taken if shares_place(one.payload)}
        mates: defaultdict[str, list[Mate]] = defaultdict(list)
        if lanes:
            standing = {
                item.item_id for item in await self._journal.lane_mates(self._source.run, lanes, standing=True)
            }
            for item in await self._journal.lane_mates(self._source.run, lanes):
                mates[item.lane].append(Mate(item.number, payload_of(item), item.item_id in standing))
        return [_beside(one, mates[one.lane]) if one.lane in lanes else one for one in taken]


async def build_undo(services: Gateway, journal: Journal, parameters: Mapping[str, str]) -> Job:
    """The job that takes a run back, from the parameters of the undo.

    Raises `InputRefused` when the run's effect has no way back, and what `Journal.run` raises.
    """
    run = await journal.run(parameters[RUN])
    how = {name: value for name, value in parameters.items() if name != RUN}
    reversal = (await effect_of(services, journal, run)).way_back(how)
    if isinstance(reversal, Irreversible):
        raise InputRefused(f"run {run.name} ({run.job}) cannot be taken back: {reversal.text}")
    source = EarlierItems(run, journal)
    return Work(UNDO, services, FromRun(source, reversal, journal), reversal)


async def effect_of(services: Gateway, journal: Journal, run: Run) -> Effect:
    """What the items of a run do; of an undo, what takes the other run's items back."""
    if run.job != UNDO:
        wanted = job_of(run)
        return wanted.effect(services, parameters_of(wanted, job_parameters(run.parameters)))
    other = await journal.run(run.parameters[RUN])
    reversal = (await effect_of(services, journal, other)).way_back(job_parameters(run.parameters))
    if isinstance(reversal, Irreversible):
        raise InputRefused(f"run {run.name} takes back run {other.name}, and nothing can: {reversal.text}")
    return reversal


def _unless_anew(item: NewItem, anew: Mapping[int, str]) -> NewItem:
    name = anew.get(item.undoes) if item.undoes is not None and item.skip_reason is None else None
    return item if name is None else replace(item, skip_reason=f"entered anew since: run {name} has this row again")


def _row(run: Run, item: Item) -> Row:
    amount = "" if item.amount is None else format(item.amount, "f")
    shown = (run.name, str(item.number), item.key, item.label, amount, item.answer or "")
    return Row(None, (*shown, str(item.item_id), item.lane, item.payload))


def _beside(one: ItemToUndo, mates: Sequence[Mate]) -> ItemToUndo:
    was = dict(value_before_run(one.number, one.payload, mates))
    return replace(
        one,
        payload=msgspec.structs.replace(one.payload, was=was),
        later=replaced_by(one.number, one.payload, mates),
        left=left_by_adding(one.payload, mates),
    )


def _taken(row: Row) -> ItemToUndo:
    run, number, _, label, amount, answer, item_id, lane, payload = row.cells
    return ItemToUndo(
        item_id=int(item_id),
        number=int(number),
        key=f"{run}/{number}",
        label=label,
        payload=decode_payload(payload),
        amount=Decimal(amount) if amount else None,
        answer=answer or None,
        cells=row.cells[: len(HEADER)],
        lane=lane,
    )
