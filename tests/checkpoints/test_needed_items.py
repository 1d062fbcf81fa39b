"""What the journal knows of items that others need: which of a key counts, and what was completed for a call."""

import pytest

from checkpoints.errors import ForbiddenTransition
from checkpoints.journal import Journal
from checkpoints.records import Change, Correction, Item, Run
from checkpoints.sentences import DUPLICATE
from checkpoints.states import State
from tests.checkpoints.samples import all_items, frozen_run, ids, keep, new_item, states


async def numbers(journal: Journal, run: Run, *keys: str) -> dict[str, int]:
    return {item.key: item.number for item in await journal.items_by_key(run, keys)}


async def rejected(journal: Journal, run: Run, item_id: int) -> None:
    await journal.claim(run, [item_id])
    await journal.record(run, [Change(item_id, State.REJECTED, message="no")])


async def test_of_a_key_the_item_counts_that_repeats_no_other(journal: Journal) -> None:
    same = f"{DUPLICATE}: the same key as line 2"
    run = await frozen_run(
        journal,
        new_item("a"),
        new_item("a", skip_reason=same),
        new_item("b", skip_reason="already as wanted: b"),
        new_item("b", skip_reason=same),
        new_item("c", skip_reason=same),
    )
    await frozen_run(journal, new_item("a"), new_item("d"))
    assert await numbers(journal, run, "a", "b", "c", "d") == {"a": 1, "b": 3}
    assert await numbers(journal, run) == {}


async def test_of_a_corrected_key_the_corrected_row_counts(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"), new_item("b"))
    named = await ids(journal, run)
    await rejected(journal, run, named["a"])
    await rejected(journal, run, named["b"])
    assert await numbers(journal, run, "a", "b") == {"a": 1, "b": 2}
    corrected = [Correction(new_item("a", skip_reason="already as wanted"), number=1)]
    await journal.correct(run, [*corrected, Correction(new_item("other"), number=2)], keep)
    assert await numbers(journal, run, "a", "b") == {"a": 3, "b": 2}
    assert (await states(journal, run))["b"] is State.REPLACED


async def test_what_was_completed_is_there_with_the_intent_or_not_at_all(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "abc"))
    other = await frozen_run(journal, new_item("d"))
    named, (foreign,) = await ids(journal, run), await all_items(journal, other)
    await journal.claim(run, [named["a"], named["b"]], {named["a"]: '{"parent":5}'})
    sent = {item.key: (item.state, item.payload) for item in await all_items(journal, run)}
    assert sent["a"] == (State.SENDING, '{"parent":5}')
    assert sent["b"] == (State.SENDING, '{"x":1}')
    with pytest.raises(ForbiddenTransition):
        await journal.claim(run, [named["c"], foreign.item_id], {named["c"]: '{"parent":6}'})
    last = (await all_items(journal, run))[-1]
    assert (last.state, last.payload) == (State.PENDING, '{"x":1}')


async def test_what_is_in_effect_is_read_from_the_last_to_the_first_page_by_page(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "abcde"))
    named = await ids(journal, run)
    await journal.claim(run, [named[key] for key in "abde"])
    await journal.record(run, [Change(named[key], State.ACCEPTED) for key in "abde"])
    read: list[Item] = []
    while page := await journal.in_effect_last_first(run, before=read[-1].number if read else None, size=2):
        assert len(page) <= 2
        read += page
    assert [item.key for item in read] == ["e", "d", "b", "a"]


async def test_the_last_item_that_is_not_settled_is_found_before_a_number(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "abcde"))
    named = await ids(journal, run)
    await journal.claim(run, [named[key] for key in "bcd"])
    await journal.record(run, [Change(named["b"], State.UNKNOWN), Change(named["c"], State.ACCEPTED)])
    await rejected(journal, run, named["a"])
    last = {before: [one.key for one in await journal.last_unsettled(run, before)] for before in range(1, 7)}
    assert last == {1: [], 2: [], 3: ["b"], 4: ["b"], 5: ["d"], 6: ["e"]}
