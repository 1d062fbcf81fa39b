"""What may be somebody else's, in the journal: unproven rows, what other runs have made, what had changed."""

from dataclasses import replace

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from tests.checkpoints.samples import NEW_RUN, all_items, frozen_run, new_item

CREATES = '{"model":"Users","steps":[["objects.create",{}]]}'
SETS = '{"model":"Users","steps":[["objects.get",{}],["set",{}]]}'


async def one_of(journal: Journal, payload: str, key: str = "1", target: str = NEW_RUN.target) -> tuple[Run, Item]:
    run = await frozen_run(journal, replace(new_item(key), payload=payload), new=replace(NEW_RUN, target=target))
    (item,) = await all_items(journal, run)
    await journal.claim(run, [item.item_id])
    return run, item


async def test_a_row_stays_unproven_until_another_answer_has_come(journal: Journal) -> None:
    run, item = await one_of(journal, CREATES)

    async def after(state: State, *, unproven: bool = False) -> bool:
        await journal.record(run, [Change(item.item_id, state, unproven=unproven)])
        (now,) = await all_items(journal, run)
        assert await journal.unproven(run) == (now.unproven and now.state.in_effect)
        return now.unproven

    assert not await after(State.UNKNOWN)
    assert await after(State.ACCEPTED, unproven=True)
    assert await after(State.APPLIED), "it is as wanted, and may be somebody else's all the same"


async def test_an_answer_of_its_own_makes_an_unproven_row_its_own(journal: Journal) -> None:
    run, item = await one_of(journal, CREATES)
    await journal.record(run, [Change(item.item_id, State.ACCEPTED, "5", unproven=True)])
    await journal.doubt_answers(run, [item.item_id], "in doubt")
    await journal.record(run, [Change(item.item_id, State.PENDING)])
    await journal.claim(run, [item.item_id])
    await journal.record(run, [Change(item.item_id, State.ACCEPTED, "6", created=True)])
    assert await journal.unproven(run) == 0


async def test_an_object_is_another_runs_where_that_one_has_created_it(journal: Journal) -> None:
    first, made = await one_of(journal, CREATES)
    await journal.record(first, [Change(made.item_id, State.ACCEPTED, "5", created=True)])
    second, item = await one_of(journal, CREATES)
    assert await journal.made_by_others(second, []) == {}
    assert await journal.made_by_others(second, [(item.item_id, "5")]) == {item.item_id: first.name}
    assert await journal.made_by_others(second, [(item.item_id, "6")]) == {}
    # Its own run, another billing, and a row that creates nothing have made nothing for it.
    assert await journal.made_by_others(first, [(made.item_id, "5")]) == {}
    elsewhere, other = await one_of(journal, CREATES, target="http://other")
    assert await journal.made_by_others(elsewhere, [(other.item_id, "5")]) == {}
    third, sets = await one_of(journal, SETS)
    assert await journal.made_by_others(third, [(sets.item_id, "5")]) == {}


async def test_rows_that_have_found_something_else_than_their_list(journal: Journal) -> None:
    payloads = [SETS, SETS[:-1] + ',"planned":{"pull":"5"}}', SETS[:-1] + ',"planned":{"pull":"5"},"after":1}']
    run = await frozen_run(
        journal, *(replace(new_item(str(number)), payload=one) for number, one in enumerate(payloads))
    )
    items = await all_items(journal, run)
    await journal.claim(run, [item.item_id for item in items])
    assert await journal.found_changed(run) == []
    await journal.record(run, [Change(item.item_id, State.ACCEPTED) for item in items])
    assert [item.number for item in await journal.found_changed(run)] == [2]
    assert await journal.found_changed(run, after=2) == []
