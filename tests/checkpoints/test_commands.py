"""What people tell a run: that it pauses, and everything else, is kept."""

import anyio

from checkpoints.journal import Journal
from checkpoints.records import Command
from tests.checkpoints.samples import NEW_RUN


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
