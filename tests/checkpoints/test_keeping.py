"""What items keep of what their calls overwrite, and what an undo asks of it."""

from checkpoints.journal import Journal
from checkpoints.records import Change
from checkpoints.states import State
from tests.checkpoints.samples import all_items, frozen_run, ids, new_item


async def test_what_is_not_sent_yet_is_given_another_payload_and_what_was_sent_keeps_its_own(
    journal: Journal,
) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "1234"))
    named = await ids(journal, run)
    await journal.claim(run, [named["2"], named["3"]])
    await journal.record(run, [Change(named["3"], State.ACCEPTED)])
    await journal.keep(run, {named[key]: f"new {key}" for key in "123"})
    assert {item.key: item.payload for item in await all_items(journal, run)} == {
        "1": "new 1",
        "2": "new 2",
        "3": '{"x":1}',
        "4": '{"x":1}',
    }


async def test_what_was_accepted_has_a_reason_only_where_there_is_something_to_say(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "123"))
    named = await ids(journal, run)
    await journal.claim(run, list(named.values()))
    await journal.record(
        run, [Change(named["1"], State.ACCEPTED), Change(named["2"], State.ACCEPTED, message="moved: a")]
    )
    assert [(one.kind, one.items) for one in await journal.reasons(run, State.ACCEPTED)] == [("moved", 1)]
