"""What the journal keeps of a run beside its rows: who worked on it, what was read back, the roots of its reports."""

from datetime import datetime, timedelta

import pytest

from checkpoints.address import JournalAddress
from checkpoints.errors import RunTakenOver
from checkpoints.journal import Journal
from checkpoints.records import Change, LookUps, NewRunner
from checkpoints.states import State
from tests.checkpoints.samples import frozen_run, new_item
from tests.checkpoints.shells import shell
from texts.said import Said, said

RESUME = NewRunner("resume", "olga@console", "0.1.0", "5.24.06")


async def test_each_process_is_noted_with_its_begin_and_its_orderly_end(journal: Journal) -> None:
    run, other = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    async with journal.taken_up(run, RESUME) as ours:
        (runner,) = await journal.history.runners(run)
        assert runner.ended_at is None
        async with journal.taken_up(other):
            pass
    with pytest.raises(LookupError):
        async with journal.taken_up(run, NewRunner("verify")):
            raise LookupError
    first, second = await journal.history.runners(run)
    assert (first.purpose, first.who, first.version, first.billing) == ("resume", "olga@console", "0.1.0", "5.24.06")
    assert first.ended_at is not None
    assert timedelta(0) <= first.ended_at - first.began_at < timedelta(minutes=1)
    assert (second.purpose, second.ended_at is None) == ("verify", False)
    assert ours.epoch == 1
    assert len(await journal.history.runners(other)) == 1


async def test_a_process_that_lost_the_run_ends_its_own_line_alone(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"))
    async with journal.taken_up(run, NewRunner("run")) as ours:
        await journal.take_up(run, NewRunner("resume"))
        with pytest.raises(RunTakenOver):
            await journal.claim(ours, [1])
    first, second = await journal.history.runners(run)
    assert (first.purpose, first.ended_at is None) == ("run", False)
    assert (second.purpose, second.ended_at is None) == ("resume", True)


async def test_look_ups_add_up_for_each_process_and_the_first_assumptions_count(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"))
    assert (await journal.history.of_run(run)).assumptions is None
    for found in (1, 2):
        run = await journal.take_up(run, RESUME)
        await journal.history.note_look_ups(run, LookUps(found=found))
        await journal.history.note_look_ups(run, LookUps(absent=3, left=4))
    runners = await journal.history.runners(run)
    assert [one.look_ups for one in runners] == [LookUps(1, 3, 4), LookUps(2, 3, 4)]
    for sentence in (said("type 8 {what}", what="sets"), said("nothing")):
        await journal.history.note_assumptions(run, sentence)
    assumptions = (await journal.history.of_run(run)).assumptions
    assert assumptions == "type 8 sets"
    assert isinstance(assumptions, Said)


async def test_a_report_names_the_one_before_it_however_often_it_is_made(journal: Journal) -> None:
    run, other = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    assert await journal.history.report_before(run, "aa") is None
    for one, root in ((run, "aa"), (other, "aa"), (run, "bb"), (run, "aa"), (other, "aa")):
        await journal.history.note_report(one, root)
    assert await journal.history.report_before(run, "aa") is None
    before = [await journal.history.report_before(other, "aa"), await journal.history.report_before(run, "bb")]
    assert [(one.run, one.root) for one in before if one] == [(run.name, "aa"), (other.name, "aa")]
    new = await journal.history.report_before(other, "cc")
    assert new is not None
    assert (new.run, new.root) == (run.name, "bb")


@pytest.mark.parametrize(
    "latest",
    [
        "update items set changed_at = ? where number = 1",
        "update items set changed_at = ? where number = 2",
        "update runners set ended_at = ? where epoch = 1",
        "update runners set began_at = ?, ended_at = null where epoch = 2",
        "update verifications set verified_at = ? where verification_id = 1",
        "update decisions set decided_at = ? where decision_id = 1",
    ],
)
async def test_a_run_has_changed_when_anything_of_it_has_changed_last(
    journal: Journal, journal_address: JournalAddress, latest: str
) -> None:
    run = await frozen_run(journal, new_item("a"), new_item("b"))
    for _ in range(2):
        async with journal.taken_up(run, NewRunner("run")):
            pass
    run = await journal.run(run.name)
    await journal.claim(run, [1, 2])
    for state in (State.UNKNOWN, State.MANUAL):
        await journal.record(run, [Change(1, state), Change(2, state)])
    for item in await journal.items(run, {State.MANUAL}):
        await journal.decide(run, item, State.ACCEPTED, who="olga", why="seen")
        await journal.history.note_verification(run, "olga", {})
    moment = "2999-01-01T00:00:00+00:00"
    with shell(journal_address) as behind:
        assert behind.execute(latest, (moment,)).rowcount == 1
    assert (await journal.history.of_run(run)).changed_at == datetime.fromisoformat(moment)
