"""Answers that are no longer known to be the rows' own: accepted rows become unknown, of one run and of no other."""

from dataclasses import replace

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, NewItem, NewRun, Run
from checkpoints.states import State
from tests.checkpoints.samples import NEW_RUN, all_items, frozen_run, keep, new_item, page, states


async def answered(journal: Journal, run: Run, answer: str, *keys: str, created: bool = True) -> list[Item]:
    """Send these rows, which all get this answer; those that are in doubt then."""
    ids = [item.item_id for item in await all_items(journal, run) if item.key in keys]
    await journal.claim(run, ids)
    return await journal.record(run, [Change(key, State.ACCEPTED, answer=answer, created=created) for key in ids])


async def test_two_rows_of_a_run_with_one_new_id_are_both_unknown(journal: Journal) -> None:
    run, other = [await frozen_run(journal, *map(new_item, "abcd")) for _ in range(2)]
    assert await answered(journal, other, "5", "a") == []
    assert await answered(journal, run, "5", "a") == []
    assert await answered(journal, run, "6", "b") == []
    before = await all_items(journal, other)
    doubted = await answered(journal, run, "5", "c")
    assert [(item.key, item.state) for item in doubted] == [("a", State.UNKNOWN), ("c", State.UNKNOWN)]
    assert "has the same answer, 5" in (doubted[0].message or "")
    assert [item.key for item in await answered(journal, run, "5", "d")] == ["d"], "a third one as well"
    assert await states(journal, run) == {
        "a": State.UNKNOWN,
        "b": State.ACCEPTED,
        "c": State.UNKNOWN,
        "d": State.UNKNOWN,
    }
    assert await all_items(journal, other) == before


async def test_objects_of_two_models_may_have_one_id(journal: Journal) -> None:
    models = {"a": "Abonents", "b": "Users", "c": "Abonents"}
    items = [replace(new_item(key), payload=f'{{"model":"{model}"}}') for key, model in models.items()]
    run = await frozen_run(journal, *items)
    assert await answered(journal, run, "5", "a", "b") == []
    assert [item.key for item in await answered(journal, run, "5", "c")] == ["a", "c"]


async def test_an_answer_that_is_no_new_id_may_be_that_to_many(journal: Journal) -> None:
    run = await frozen_run(journal, *map(new_item, "abc"))
    assert await answered(journal, run, "5", "a", "b", created=False) == []
    assert set((await states(journal, run)).values()) == {State.ACCEPTED, State.PENDING}


async def test_the_same_id_of_a_row_that_was_not_entered_is_nobodys(journal: Journal) -> None:
    run = await frozen_run(journal, *map(new_item, "ab"))
    (first, _) = await all_items(journal, run)
    await answered(journal, run, "5", "a")
    await journal.doubt_answers(run, [first.item_id], "why")
    await journal.record(run, [Change(first.item_id, State.PENDING, message="looked up and not there")])
    assert await answered(journal, run, "5", "b") == []


async def test_an_undo_in_doubt_has_taken_nothing_back_until_it_is_found(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"))
    await answered(journal, run, "5", "a")
    (entered,) = await all_items(journal, run)
    undo = await journal.create_run(NewRun("undo", {}, NEW_RUN.target, "run other"))
    await journal.freeze(undo, page(NewItem("x/1", "a", "account a", "{}", undoes=entered.item_id)), keep)
    await answered(journal, undo, "9", "x/1")
    assert await journal.in_effect(run) == []
    (item,) = await all_items(journal, undo)
    await journal.doubt_answers(undo, [item.item_id], "why")
    assert [one.key for one in await journal.in_effect(run)] == ["a"]
    await journal.record(undo, [Change(item.item_id, State.ACCEPTED, answer="9")])
    assert await journal.in_effect(run) == []
