"""How two lists differ: a plan from the plan before it, and a run from its plan in another journal."""

from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.comparison import ListDifferences, changes_between_plans, differences_from_plan
from checkpoints.journal import Journal, open_journal
from checkpoints.records import NewItem, Refusal, Run
from tests.checkpoints.samples import NEW_RUN, frozen_run, keep, new_item, page

pytestmark = pytest.mark.usefixtures("path")
"""Lists are compared in files: those of another journal are copied first."""


async def changes(journal: Journal, before: Run, plan: Run, size: int = 20) -> ListDifferences:
    return await changes_between_plans(journal.path, before, plan, size=size, plain=str)


async def test_how_two_lists_differ(journal: Journal) -> None:
    old = await frozen_run(journal, new_item("a", "1"), new_item("b", "2"), new_item("c", "3"), new_item("e", "5"))
    new = await frozen_run(
        journal,
        new_item("a", "1"),
        new_item("b", "2.50"),
        new_item("d", "4"),
        new_item("e", "5", skip_reason="there"),
    )
    found = await changes(journal, old, new)
    assert found.counts == {"another amount": 1, "gone": 1, "new": 1, "pending before, now skipped": 1}
    told = {one.label: (one.kind, *one.amounts) for one in found.examples}
    assert told["subscriber b"] == ("another amount", Decimal(2), Decimal("2.50"))
    assert told["subscriber c"] == ("gone", Decimal(3), None)
    assert told["subscriber d"] == ("new", None, Decimal(4))
    assert len((await changes(journal, old, new, size=1)).examples) == 1
    assert (await changes(journal, old, old)).counts == {}
    await journal.freeze(new, page(refusals=[Refusal(3, None, "subscriber c", "no amount")]), keep)
    counts = {kind: number for kind, number in found.counts.items() if kind != "gone"}
    assert (await changes(journal, old, new)).counts == {**counts, "refused now": 1}


async def test_payloads_are_compared_as_whoever_asks_sees_them(journal: Journal) -> None:
    old = await frozen_run(journal, NewItem("a", "a", "a", "secret 1", Decimal(1)))
    new = await frozen_run(journal, NewItem("a", "a", "a", "secret 2", Decimal(1)))
    assert (await changes(journal, old, new)).counts == {"another call": 1}
    found = await changes_between_plans(journal.path, old, new, size=20, plain=lambda payload: payload[:6])
    assert found.counts == {}


async def test_rows_of_one_key_are_compared_in_their_order_and_amounts_by_their_values(journal: Journal) -> None:
    rows = [new_item("a", "1"), new_item("a", "2")]
    one, same, turned = [await frozen_run(journal, *new) for new in (rows, rows, rows[::-1])]
    assert (await differences_from_plan(journal.path, one, journal.path, same, size=9, plain=str)).counts == {}
    found = await differences_from_plan(journal.path, one, journal.path, turned, size=9, plain=str)
    assert found.counts == {"another amount": 2}
    # Of two plans, by the first.
    old = await frozen_run(journal, new_item("a", "1"), new_item("a", "1", skip_reason="a duplicate"))
    assert (await changes(journal, old, await frozen_run(journal, new_item("a", "1")))).counts == {}
    old = await frozen_run(journal, new_item("a", "50.5"), new_item("b", "-0.00"), new_item("c", "1"))
    new = await frozen_run(journal, new_item("a", "50.50"), new_item("b", "0"), new_item("c", "1.001"))
    assert (await changes(journal, old, new)).counts == {"another amount": 1}


async def test_a_run_is_held_against_its_plan_by_each_row_and_each_refusal(journal: Journal, tmp_path: Path) -> None:
    plan = await frozen_run(journal, new_item("a", "1", line=1), new_item("a", "1", line=2), new_item("b", line=3))
    await journal.freeze(plan, page(refusals=[Refusal(4, None, "four", "no amount")]), keep)
    another = await frozen_run(journal)
    await journal.freeze(another, page(refusals=[Refusal(9, None, "nine", "of another run")]), keep)
    async with open_journal(tmp_path / "real.journal") as real:
        run, beside = [await real.create_run(NEW_RUN) for _ in range(2)]
        await real.freeze(beside, page(refusals=[Refusal(8, None, "eight", "of another run")]), keep)
        moved = new_item("b", line=5)
        await real.freeze(run, page(new_item("a", "1.00", line=1), moved, refusals=()), keep)
        found = await differences_from_plan(journal.path, plan, real.path, run, size=2, plain=str)
    assert found.counts == {"gone": 1, "no longer refused": 1, "another line": 1}
    assert [(one.line, one.label, one.then, one.now) for one in found.examples] == [
        (2, "subscriber a", "pending 1", ""),
        (4, "four", "no amount", ""),
    ]
