"""The verifier: reads items back from the billing, and compares them with what was sent."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from msgspec.structs import replace

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, RowFigures, Run
from checkpoints.states import State, states_where
from engine.job import CannotLook, Effect, Job, Marked, ReadBack
from engine.pipeline.foreign_entries import known_of, with_later_runs
from engine.pipeline.intake import in_turn
from texts.said import in_clauses, said

Report = Callable[[Item, ReadBack | CannotLook], None]
"""Receives each item that differs, and each that cannot be read back."""


_Looked: TypeAlias = tuple[
    Sequence[Item], Mapping[int, ReadBack | CannotLook], Mapping[int, Sequence[Marked]], Mapping[int, str]
]
"""A page of items with what the billing says of them, the strangers' entries beside them, and what was overtaken."""

_UNTOLD: Final = ReadBack(None, said("the billing says nothing of it"))


async def verify(
    run: Run, job: Job, journal: Journal, report: Report, *, page: int = 1000, figures: RowFigures | None = None
) -> RowFigures:
    """Read back every accepted and applied item that was not taken back since; only those as wanted are applied then.

    The `figures`, if given, are counted up on the way. Items that cannot be read back are counted, and keep their
    state. Raises `LookUpFailed` if the billing cannot be read; the results until then are kept.
    """
    summary, effect = figures or RowFigures(), job.effect
    after = 0

    async def read() -> Sequence[Item] | None:
        nonlocal after
        items = await journal.in_effect(run, after=after, size=page)
        after = items[-1].number if items else after
        gone = await journal.lanes_gone(run, {item.lane for item in items}) if items else ()
        return [item for item in items if item.state.in_effect and item.lane not in gone] if items else None

    async def look(items: Sequence[Item]) -> _Looked:
        readings = dict(await effect.read_back(run, items))
        readings |= await _made_anew(run, items, readings, effect, journal)
        read = [(item, reading) for item in items if isinstance(reading := readings.get(item.item_id), ReadBack)]
        differing = {item.key: (item, one.difference) for item, one in read if one.difference is not None}
        set_over = await with_later_runs(run, differing, effect, journal)
        again = [(item.item_id, one) for item, one in read if item.item_id in set_over]
        readings |= {item_id: replace(one, difference=set_over[item_id]) for item_id, one in again}
        besides = [(item, one) for item, reading in read for one in reading.besides]
        known = await known_of(journal, {(one.run, one.number, item.lane, item.key) for item, one in besides})
        strangers: dict[int, list[Marked]] = {}
        for item, one in besides:
            own = known.get((one.run, one.number, item.key))
            if own is None or not (own.had_effect and own.made(one.entry_id, one.amount)):
                strangers.setdefault(item.item_id, []).append(one)
        return items, readings, strangers, await effect.outdated(run, items)

    async def judge(looked: _Looked) -> None:
        items, readings, strangers, outdated = looked
        changed: list[Change] = []
        for item in items:
            reading = readings.get(item.item_id, _UNTOLD)
            if isinstance(reading, CannotLook):
                summary.unreadable += 1
                report(item, reading)
                continue
            if reading.difference is None and item.item_id in outdated:
                reading = replace(reading, difference=outdated[item.item_id])
            besides = strangers.get(item.item_id, ())
            if undone := [one for one in besides if one.takes_back]:
                summary.taken_back_elsewhere += 1
                elsewhere = said(
                    "taken back from another journal: by run {run}, {entry}",
                    run=undone[-1].run,
                    entry=undone[-1].text,
                )
                reading = replace(reading, amount=Decimal(0), difference=elsewhere)
            elif besides:
                summary.entered_twice += 1
                others = tuple(
                    said("row {number} of run {run}, {entry}", number=one.number, run=one.run, entry=one.text)
                    for one in besides
                )
                twice = said(
                    "entered twice: as row {number} of run {run}, and with the marks of others: {others}",
                    number=item.number,
                    run=run.name,
                    others=others,
                )
                amount = None
                if reading.amount is not None:
                    amount = sum((one.amount for one in besides if one.amount), reading.amount)
                why = twice if reading.difference is None else in_clauses([reading.difference, twice])
                reading = replace(reading, amount=amount, difference=why)
            else:
                summary.entered_twice += len(reading.ids) > 1
            summary.expected += item.amount or 0
            summary.found += reading.amount or 0
            if reading.difference is not None:
                summary.different += 1
                summary.different_sum += item.amount or 0
                summary.gone += bool(item.amount) and not reading.amount
                report(item, reading)
                if item.state is State.APPLIED:
                    changed.append(Change(item.item_id, State.ACCEPTED, message=item.message, unproven=item.unproven))
                continue
            summary.as_wanted += 1
            summary.with_later_operations += reading.later_operations
            if item.state is State.ACCEPTED:
                changed.append(Change(item.item_id, State.APPLIED, message=item.message))
        await journal.record(run, changed)

    await in_turn(read, look, judge, effect)
    # What sets fields enters nothing under a mark.
    bears_marks = effect.has_steps or not effect.repeatable
    if bears_marks and await journal.taken_back(run):
        await _left_behind(run, job, journal, report, summary, page)
    return summary


async def _made_anew(
    run: Run, items: Sequence[Item], readings: Mapping[int, ReadBack | CannotLook], effect: Effect, journal: Journal
) -> dict[int, ReadBack | CannotLook]:
    """Of the items that differ those whose objects undoes of undoes have made anew, read under the last run's marks.

    Raises `LookUpFailed`.
    """
    differing = [key for key, one in readings.items() if isinstance(one, ReadBack) and one.difference is not None]
    anew, by_run = await journal.restored_by(differing), dict[str, list[Item]]()
    for item in items:
        if item.item_id in anew:
            name, number, payload = anew[item.item_id]
            by_run.setdefault(name, []).append(replace(item, number=number, payload=payload))
    read: dict[int, ReadBack | CannotLook] = {}
    for name, restored in by_run.items():
        read |= await effect.read_back(dataclasses.replace(run, name=name), restored)
    return read


async def _left_behind(run: Run, job: Job, journal: Journal, report: Report, summary: RowFigures, page: int) -> None:
    """Count the rows that were taken back, and of which the billing has an entry all the same, by its mark.

    A call that came twice has entered two, or one of them after the undo. Raises `LookUpFailed`.
    """
    after = 0
    while items := await journal.items(run, states_where(in_effect=True), after=after, size=page):
        after = items[-1].number
        gone = await journal.taken_back_of(items)
        items = [item for item in items if item.item_id in gone]
        readings = await job.effect.read_back(run, items) if items else {}
        for item in items:
            if not isinstance(reading := readings.get(item.item_id), ReadBack):
                continue
            # What an opposite entry takes back stays there beside it.
            known = {one.takes_back for one in reading.besides} | {None if item.amount is None else item.answer}
            if left := sorted({*reading.ids} - known, key=int):
                summary.different += 1
                summary.found += (item.amount or 0) * len(left)
                why = said(
                    "taken back, and yet the billing has it under its mark, with the id {ids}. Take that back there; "
                    "then verify again",
                    ids=tuple(left),
                )
                report(item, replace(reading, difference=why))
