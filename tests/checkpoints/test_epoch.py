"""The fence: a write names the epoch of its run, and under an older one nothing is written."""

import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from checkpoints.address import JournalAddress
from checkpoints.errors import ForbiddenTransition, RunTakenOver
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, Correction, Item, Merged, Run
from checkpoints.states import State
from tests.checkpoints.samples import all_items, frozen_run, keep, new_item, page
from tests.checkpoints.shells import shell

Write = Callable[[Journal, Run, Item], Awaitable[object]]

WRITES: Final[Mapping[str, Write]] = {
    "approve": lambda journal, run, _: journal.approve(run),
    "end_intake": lambda journal, run, _: journal.end_intake(run),
    "discard": lambda journal, run, _: journal.discard(run),
    "end": lambda journal, run, _: journal.end(run, "olga@ops", "the wrong file"),
    "keep_policy": lambda journal, run, _: journal.keep_policy(run, {"rate": "5"}),
    "freeze": lambda journal, run, _: journal.freeze(run, page(new_item("new"), cursor="2"), keep),
    "correct": lambda journal, run, _: journal.correct(run, [Correction(new_item("corrected"), number=3)], keep),
    "claim": lambda journal, run, item: journal.claim(run, [item.item_id]),
    "keep": lambda journal, run, item: journal.keep(run, {item.item_id: "{}"}),
    "record": lambda journal, run, item: journal.record(run, [Change(item.item_id + 1, State.ACCEPTED)]),
    "doubt_answers": lambda journal, run, item: journal.doubt_answers(run, [item.item_id + 3], "why"),
    "doubt": lambda journal, run, _: journal.doubt(run),
    "merge": lambda journal, run, item: journal.merge(run, [Merged(item.item_id, (), "sum", "{}", Decimal(5))]),
    "refuse": lambda journal, run, item: journal.refuse(run, {item.item_id: "nobody can tell"}),
}
"""All that only the runner of a run writes, on a run whose items are pending, sending, rejected and accepted."""

AT_REST: Final = {"create_run", "pause", "unpause", "take_up", "decide", "note_seen", "purge"}
"""Writes that need no epoch, and those on manual rows and `carbon-migrate purge`, which have tests of their own."""


def dump(place: JournalAddress) -> list[object]:
    with shell(place) as tables:
        return [
            list(tables.execute(f"select * from {table} order by 1, 2"))  # noqa: S608 - our own tables
            for table in ("runs", "items", "refusals", "decisions", "commands", "runners")
        ]


async def begun(journal: Journal) -> tuple[Run, Item]:
    run = await frozen_run(journal, *(new_item(key) for key in "abcd"))
    first, second, third, fourth = await all_items(journal, run)
    await journal.claim(run, [second.item_id, third.item_id, fourth.item_id])
    await journal.record(run, [Change(third.item_id, State.REJECTED), Change(fourth.item_id, State.ACCEPTED)])
    return run, first


@pytest.mark.parametrize("name", WRITES)
async def test_under_an_old_epoch_nothing_is_written_and_the_runner_is_named(
    name: str, journal_address: JournalAddress
) -> None:
    async with open_journal(journal_address) as journal, open_journal(journal_address) as other:
        run, item = await begun(journal)
        run = await journal.take_up(run)
        # The lock is left out: this is a second runner that it has not kept away.
        await other.take_up(run)
        before = dump(journal_address)
        us = re.escape(f"process {os.getpid()} on {socket.gethostname()}")
        with pytest.raises(RunTakenOver, match=f"run {run.name} was taken over by {us}, since .*sends and records"):
            await WRITES[name](journal, run, item)
        assert dump(journal_address) == before


async def test_a_step_that_may_not_follow_those_of_the_next_runner_is_refused_as_its_own(
    journal_address: JournalAddress,
) -> None:
    async with open_journal(journal_address) as journal, open_journal(journal_address) as other:
        run, pending = await begun(journal)
        _, sent, *_ = await all_items(journal, run)
        run = await journal.take_up(run)
        theirs = await other.take_up(run)
        await other.record(theirs, [Change(sent.item_id, State.ACCEPTED)])
        await other.claim(theirs, [pending.item_id])
        before = dump(journal_address)
        for write in (
            journal.claim(run, [pending.item_id]),
            journal.record(run, [Change(sent.item_id, State.PENDING)]),
        ):
            with pytest.raises(RunTakenOver):
                await write
        assert dump(journal_address) == before


@pytest.mark.parametrize("name", WRITES)
async def test_under_its_own_epoch_a_runner_writes_whoever_takes_up_another_run(
    name: str, journal_address: JournalAddress
) -> None:
    async with open_journal(journal_address) as journal:
        run, item = await begun(journal)
        other, _ = await begun(journal)
        run = await journal.take_up(run)
        await journal.take_up(other)
        before = dump(journal_address)
        await WRITES[name](journal, run, item)
        assert dump(journal_address) != before


async def test_a_decision_under_an_old_epoch_is_none(journal_address: JournalAddress) -> None:
    async with open_journal(journal_address) as journal:
        run, _ = await begun(journal)
        _, item, *_ = await all_items(journal, run)
        await journal.record(run, [Change(item.item_id, State.UNKNOWN)])
        await journal.record(run, [Change(item.item_id, State.MANUAL)])
        await journal.take_up(run)
        before = dump(journal_address)
        with pytest.raises(RunTakenOver):
            await journal.decide(run, item, State.ACCEPTED, who="olga", why="seen")
        assert dump(journal_address) == before


async def test_whoever_looks_again_hears_that_the_run_is_another_ones(journal: Journal) -> None:
    run = await journal.take_up(await frozen_run(journal, new_item("a")))
    await journal.take_up(run)
    for look in (journal.confirm, journal.again):
        with pytest.raises(RunTakenOver):
            await look(run)


async def test_an_item_of_another_run_is_not_written(journal_address: JournalAddress, journal: Journal) -> None:
    run, item = await begun(journal)
    other, _ = await begun(journal)
    before = dump(journal_address)
    await journal.keep(other, {item.item_id: "{}"})
    for name in ("claim", "record"):
        with pytest.raises(ForbiddenTransition, match="1 items were to be written and 0 are of this run"):
            await WRITES[name](journal, other, item)
    with pytest.raises(ForbiddenTransition, match="is not manual"):
        await journal.decide(other, item, State.PENDING, who="olga", why="seen")
    assert run.run_id != other.run_id
    assert dump(journal_address) == before


def test_every_write_of_the_journal_is_held_to_its_epoch_or_says_why_not() -> None:
    source = Path(__file__).parents[2].joinpath("checkpoints", "journal.py").read_text(encoding="utf-8")
    methods = re.split(r"\n    async def ", source)[1:]
    writing = {method.partition("(")[0] for method in methods if re.search(r"self\._(write|store\.write)\(", method)}
    assert writing - {"_write"} == set(WRITES) | AT_REST
