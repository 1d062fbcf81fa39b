"""Runs, rows and judges for the tests of the journal."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import anyio

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, EarlierEntry, Item, NewItem, NewRun, Page, Refusal, Run
from checkpoints.states import State

EVERY_STATE = frozenset(State)
Made = TypeVar("Made")

NEW_RUN = NewRun("balances", {"operation": "opening"}, "http://billing/api", "input.csv", "d1", ("id", "сумма"))


def new_item(
    key: str,
    amount: str | None = "1.10",
    *,
    lane: str | None = None,
    line: int | None = None,
    skip_reason: str | None = None,
) -> NewItem:
    return NewItem(
        key=key,
        label=f"subscriber {key}",
        lane=lane or f"account {key}",
        payload='{"x":1}',
        amount=None if amount is None else Decimal(amount),
        line=line,
        row=(key, amount or ""),
        skip_reason=skip_reason,
    )


def sending_item(new: NewItem, number: int = 1) -> Item:
    """The item that the journal makes of a new one, when it is sent for the first time."""
    return Item(
        item_id=100 + number,
        number=number,
        key=new.key,
        label=new.label,
        lane=new.lane,
        payload=new.payload,
        amount=new.amount,
        line=new.line,
        row=new.row,
        state=State.SENDING,
        attempts=1,
        answer=None,
        message=None,
        changed_at="",
    )


def page(*items: NewItem, refusals: Sequence[Refusal] = (), cursor: str | None = None) -> Page:
    return Page(items, tuple(refusals), cursor)


def keep(item: NewItem, _twins: Sequence[EarlierEntry]) -> NewItem:
    return item


async def frozen_run(journal: Journal, *items: NewItem, new: NewRun = NEW_RUN) -> Run:
    run = await journal.create_run(new)
    await journal.freeze(run, page(*items), keep)
    return run


async def seen(journal: Journal, *items: NewItem, run: Run | None = None) -> list[list[EarlierEntry]]:
    """What a run, or a new one, would find of the key of each of these items."""
    found: list[list[EarlierEntry]] = []

    def judge(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem:
        found.append(list(twins))
        return item

    run = run or await journal.create_run(NEW_RUN)
    for item in items:
        await journal.judged(run, [item], judge)
    return found


async def all_items(journal: Journal, run: Run) -> list[Item]:
    return await journal.items(run, EVERY_STATE, size=1_000_000)


async def states(journal: Journal, run: Run) -> dict[str, State]:
    return {item.key: item.state for item in await all_items(journal, run)}


async def ids(journal: Journal, run: Run) -> dict[str, int]:
    return {item.key: item.item_id for item in await all_items(journal, run)}


async def come_to(journal: Journal, run: Run, fates: Mapping[int, State]) -> None:
    """Send the items with these numbers, and let each of them come to its state."""
    of = {item.number: item.item_id for item in await all_items(journal, run)}
    begun = {of[number]: state for number, state in fates.items() if state is not State.PENDING}
    await journal.claim(run, [*begun])
    over = {State.MANUAL: State.UNKNOWN, State.APPLIED: State.ACCEPTED}

    def changes(states: Mapping[int, State]) -> list[Change]:
        return [Change(item, state, str(1000 + item) if state.in_effect else None) for item, state in states.items()]

    sent = {item: over.get(state, state) for item, state in begun.items() if state is not State.SENDING}
    await journal.record(run, changes(sent))
    await journal.record(run, changes({item: state for item, state in begun.items() if state in over}))


async def sent_run(journal: Journal, *items: NewItem, fates: Mapping[int, State], new: NewRun = NEW_RUN) -> Run:
    """An approved run, whose items with these numbers have come to these states."""
    run = await frozen_run(journal, *items, new=new)
    await journal.end_intake(run)
    await journal.approve(run)
    await come_to(journal, run, fates)
    return run


def within(path: Path, work: Callable[[Journal], Awaitable[Made]]) -> Made:
    """What is made in a journal, for a test that waits for nothing else."""

    async def opened() -> Made:
        async with open_journal(path) as journal:
            return await work(journal)

    return anyio.run(opened)
