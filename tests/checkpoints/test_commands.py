"""What people tell a run: that it pauses, and everything else, is kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Command
from tests.checkpoints.samples import NEW_RUN


async def test_a_new_run_is_not_paused_and_was_told_nothing(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    assert (run.paused_at, run.paused_by) == (None, None)
    assert await journal.history.commands(run) == []


async def test_a_pause_outlives_whoever_made_it(path: Path) -> None:
    async with open_journal(path) as journal:
        run = await journal.create_run(NEW_RUN)
        await journal.pause(run, "olga@ops, process 7")
    async with open_journal(path) as journal:
        (found,) = await journal.runs()
    assert found.paused_by == "olga@ops, process 7"
    assert found.paused_at is not None
    assert timedelta(0) <= datetime.now(UTC) - found.paused_at < timedelta(seconds=10)


async def test_the_first_pause_is_the_one_that_counts_until_it_ends(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    await journal.pause(run, "olga")
    first = await journal.run(run.name)
    await anyio.sleep(0.002)  # times are kept to the millisecond
    await journal.pause(run, "pjotr")
    assert await journal.run(run.name) == first
    await journal.unpause(run)
    assert await journal.run(run.name) == run
    await journal.pause(run, "pjotr")
    assert (await journal.run(run.name)).paused_by == "pjotr"


async def test_a_pause_is_of_one_run_alone(journal: Journal) -> None:
    run, other = await journal.create_run(NEW_RUN), await journal.create_run(NEW_RUN)
    await journal.pause(run, "olga")
    assert await journal.run(other.name) == other
    await journal.pause(other, "olga")
    await journal.unpause(run)
    assert (await journal.run(other.name)).paused_at is not None


async def test_commands_are_kept_in_order_with_their_senders_and_answers(journal: Journal) -> None:
    run, other = await journal.create_run(NEW_RUN), await journal.create_run(NEW_RUN)
    told = [(f"olga@ops, process {number}", f"set rate={number}", "«да»; 'rate'") for number in range(5)]
    for who, command, answer in told:
        await journal.history.note_command(run, who, command, answer)
    found = await journal.history.commands(run)
    assert [(one.who, one.command, one.answer) for one in found] == told
    assert found[0] == Command(*told[0], found[0].given_at)
    assert found[0].given_at.tzinfo is not None
    assert await journal.history.commands(run, size=2) == found[-2:]
    assert await journal.history.commands(other) == []
