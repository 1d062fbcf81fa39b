"""`compare`: two runs beside each other, as a rehearsal and its night, or last month's load and this month's."""

import os
from contextlib import nullcontext

from checkpoints.comparison import Side
from checkpoints.journal import Journal
from cli.commands.execution import with_settings
from cli.session.comparison import compare_runs
from cli.session.journal import open_existing
from cli.settings.flags import RUN_NAME, JournalFlags
from cli.settings.places import typed_journal
from cli.terminal.exits import Exit
from cli.terminal.layout import drawn
from cli.terminal.names import STATE_NAMES, name_of_outcome
from cli.terminal.options import argument, option
from cli.terminal.screen import JsonVoice, Screen
from cli.terminal.streams import waiting
from jobs.spec.words import source_of
from texts.said import said


@with_settings(
    "compare", JournalFlags, JsonVoice, reads=True, about=lambda given: {"runs": [given["first"], given["second"]]}
)
async def _compare(
    journal: Journal,
    screen: Screen,
    first: str = RUN_NAME,
    second: str = argument("OTHER", "The run to compare it with."),
    other_journal: str | None = option(
        "FILE", "The journal of the other run, where that is not in this one: a file, or postgresql://HOST/DATABASE."
    ),
) -> Exit:
    """Compare two runs: rows, sums, pace and errors, and which rows only one of them has.

    Rows are compared by their keys: whose they are, and what tells them from others of the same subscriber.
    """
    where = None if other_journal is None else typed_journal(other_journal, "--other-journal", os.environ)
    async with nullcontext(journal) if where is None else open_existing(where) as other:
        sides = Side(await journal.run(first), journal), Side(await other.run(second), other)
        with waiting(said("comparing the rows of two runs")):
            found = await compare_runs(sides)
    code = Exit.DONE if found.is_same else Exit.REJECTED
    if screen.voice.as_json:
        screen.emit({**found.facts, "exit": int(code), "error": None})
    else:
        screen.show(drawn("compare.j2", found=found, source_of=source_of, outcome=name_of_outcome, names=STATE_NAMES))
    return code
