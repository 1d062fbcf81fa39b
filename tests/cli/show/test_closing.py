"""The last sentence of a command: what became of the run, with the number of what is missing."""

import pytest

from checkpoints.records import Totals
from checkpoints.states import State
from cli.show.closing import Closing, headline
from cli.terminal.exits import Exit
from cli.terminal.streams import plain


@pytest.mark.parametrize(
    ("totals", "says"),
    [
        (Totals({State.ACCEPTED: 5, State.REJECTED: 19}, refused=1), "20 rows were not entered"),
        (Totals({State.ACCEPTED: 5, State.REJECTED: 1}), "1 row was not entered"),
        (Totals({State.ACCEPTED: 5}, refused=1), "1 row was not entered"),
    ],
)
def test_rows_that_were_rejected_or_refused_are_counted_in_the_headline(totals: Totals, says: str) -> None:
    told = headline(Closing(Exit.REJECTED, "k7m2q", totals=totals)).plain
    assert plain(told) == f"! run k7m2q is done; {says}"


def test_a_run_without_a_missing_row_is_done() -> None:
    closing = Closing(Exit.DONE, "k7m2q", totals=Totals({State.ACCEPTED: 5}))
    assert headline(closing).plain == "✓ run k7m2q is done"
