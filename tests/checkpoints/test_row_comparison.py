"""Two runs compared by the keys of their rows, and what a delta differs in, on both stores."""

from dataclasses import replace
from decimal import Decimal

from msgspec import structs

from checkpoints.comparison import SHOWN, Side, compare_rows
from checkpoints.journal import Journal
from checkpoints.records import Differences, Merged
from checkpoints.sentences import DUPLICATE
from checkpoints.states import State
from tests.checkpoints.samples import NEW_RUN, frozen_run, keep, new_item, page, sent_run
from texts.said import reason

ACCEPTED = State.ACCEPTED


async def test_rows_are_compared_by_their_keys_and_examples_are_bounded(journal: Journal) -> None:
    double = new_item("same", skip_reason=reason("a duplicate: {key}", DUPLICATE, key="same"))
    fates = {1: ACCEPTED, 2: ACCEPTED, 3: ACCEPTED}
    first = await sent_run(
        journal,
        new_item("same"),
        new_item("more", "2.00"),
        new_item("came in"),
        new_item("gone", "-4.00"),
        double,
        fates=fates | {4: ACCEPTED},
    )
    many = [new_item(f"new {number:04}", "0.10") for number in range(1500)]
    second = await sent_run(
        journal,
        new_item("same"),
        new_item("more", "2.50"),
        new_item("came in"),
        *many,
        fates=fates | {3: State.REJECTED},
    )
    found = await compare_rows(Side(first, journal), Side(second, journal))
    assert found.both == 3
    assert (found.changed.rows, found.changed.sum, found.changed.first[0].key) == (1, Decimal("0.50"), "more")
    assert [(one.key, one.state) for one in found.other_outcome.first] == [("came in", State.REJECTED)]
    assert (found.only_first.rows, found.only_first.sum) == (1, Decimal(-4))
    assert (found.only_second.rows, found.only_second.sum, len(found.only_second.first)) == (
        1500,
        Decimal(150),
        SHOWN,
    )
    assert not found.is_same
    assert (await compare_rows(Side(first, journal), Side(first, journal))).is_same


async def test_a_difference_counts_as_what_its_file_has(journal: Journal) -> None:
    load = await sent_run(journal, new_item("a", "100.00"), new_item("b", "5.00"), fates={1: ACCEPTED, 2: ACCEPTED})
    up = structs.replace(new_item("a", "20.00"), wanted="120.00")
    down = structs.replace(new_item("b", "-7.00"), wanted="-2.00")
    delta = await frozen_run(journal, up, down, new_item("c", "3.00"))
    asked = Differences(changed=2, raised=Decimal(20), lowered=Decimal(-7), new=1, new_sum=Decimal(3))
    assert await journal.differences(delta) == asked
    rows = await journal.rows_with(delta, {"a", "b", "c", "none"})
    assert {key: row.amount for key, row in rows.items()} == {"a": 120, "b": -2, "c": 3}
    assert await journal.contradiction(delta) is None
    await journal.freeze(delta, page(new_item("b", "5.00", line=9, skip_reason="entered by an earlier run")), keep)
    found = await journal.contradiction(delta)
    assert found is not None
    assert (found.second, found.label) == (9, "subscriber b")
    # Only what was approved stands on the load.
    ids = [item.item_id for run in (load, delta) for item in await journal.items(run, frozenset(State))]
    assert (await journal.followed_by(load), await journal.differences_on(ids)) == ([], {})
    await journal.approve(delta)
    assert await journal.followed_by(load) == [delta.name]
    assert await journal.differences_on(ids) == dict.fromkeys(ids[:2], delta.name)
    assert await journal.followed_by(delta) == []
    assert await journal.replaced_in_lanes(load) == 0
    both = await frozen_run(journal, new_item("d"), new_item("e"))
    first, last = await journal.items(both, {State.PENDING})
    await journal.merge(both, [Merged(last.item_id, (first.item_id,), "the last one counts")])
    assert await journal.replaced_in_lanes(both) == 1
    elsewhere = await sent_run(journal, new_item("a"), fates={}, new=replace(NEW_RUN, target="http://other"))
    assert await journal.followed_by(elsewhere) == []
