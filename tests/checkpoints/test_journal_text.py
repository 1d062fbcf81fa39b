"""Whatever people write: the journal gives it back as it was."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints.journal import Journal
from checkpoints.records import Change, NewItem, NewRun, Refusal, Totals
from checkpoints.states import State
from tests.checkpoints.samples import NEW_RUN, all_items, keep, new_item, page
from tests.conftest import SHARED_FIXTURES

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
AMOUNT = st.none() | st.decimals(-(10**15), 10**15, places=4)
FORBIDDEN = "a\ud800b"


@settings(max_examples=40, suppress_health_check=SHARED_FIXTURES)
@given(
    words=st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT, AMOUNT), min_size=1, max_size=5),
    cells=st.lists(TEXT, max_size=4),
    said=TEXT,
)
async def test_any_text_comes_back_as_it_went_in(
    journal: Journal,
    words: list[tuple[str, str, str, str, Decimal | None]],
    cells: list[str],
    said: str,
) -> None:
    new = NewRun(said, {said: said}, said, said, said, tuple(cells))
    run = await journal.create_run(new)
    assert (run.job, run.parameters, run.header) == (said, {said: said}, tuple(cells))
    given_items = [
        NewItem(key, label, lane, payload, amount, number, tuple(cells))
        for number, (key, label, lane, payload, amount) in enumerate(words)
    ]
    refusal = Refusal(1, said, said, said, tuple(cells))
    await journal.freeze(run, page(*given_items, refusals=[refusal], cursor=said), keep)
    found = await all_items(journal, run)
    assert [
        NewItem(item.key, item.label, item.lane, item.payload, item.amount, item.line, item.row) for item in found
    ] == given_items
    assert [str(item.amount) for item in found] == [
        str(None if item.amount is None else format(item.amount, "f")) for item in given_items
    ]
    assert [told for _, told in await journal.refusals(run)] == [refusal]
    assert (await journal.run(run.name)).cursor == said
    await journal.claim(run, [item.item_id for item in found])
    await journal.record(run, [Change(item.item_id, State.ACCEPTED, said, said) for item in found])
    assert {(item.answer, item.message) for item in await all_items(journal, run)} == {(said, said)}
    totals = await journal.totals(run)
    assert totals.amount == sum((item.amount or Decimal(0) for item in given_items), Decimal(0))


async def test_a_lone_surrogate_cannot_be_written_and_nothing_of_its_page_is(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    with pytest.raises(UnicodeEncodeError):
        await journal.freeze(run, page(new_item("1"), new_item(FORBIDDEN), cursor="x"), keep)
    assert await journal.totals(run) == Totals()
    assert (await journal.run(run.name)).cursor is None
