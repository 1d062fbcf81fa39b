"""One number for what became of a run."""

import pytest

from checkpoints.records import Totals
from checkpoints.states import State
from cli.terminal.exits import Exit, exit_of
from engine.pacing.holds import StopKind

GOOD = {State.ACCEPTED: 3, State.APPLIED: 1, State.SKIPPED: 2}


@pytest.mark.parametrize(
    ("totals", "stopped", "intake_ended", "code"),
    [
        (Totals(GOOD), None, True, Exit.DONE),
        (Totals(), None, True, Exit.DONE),
        (Totals(GOOD | {State.REJECTED: 1}), None, True, Exit.REJECTED),
        (Totals(GOOD | {State.REJECTED: 1, State.MANUAL: 1}), None, True, Exit.UNDECIDED),
        (Totals(GOOD | {State.UNKNOWN: 1}), None, True, Exit.UNDECIDED),
        (Totals(GOOD | {State.MANUAL: 1, State.PENDING: 1}), StopKind.SYSTEM, True, Exit.STOPPED),
        (Totals(GOOD | {State.UNKNOWN: 1}), StopKind.SYSTEM, True, Exit.STOPPED),
        (Totals(GOOD | {State.REJECTED: 1, State.PENDING: 1}), StopKind.BUDGET, True, Exit.STOPPED),
        (Totals(GOOD | {State.PENDING: 1}), None, True, Exit.STOPPED),
        (Totals(GOOD | {State.SENDING: 1, State.MANUAL: 1}), StopKind.INTERRUPTED, True, Exit.INTERRUPTED),
        (Totals(GOOD | {State.UNKNOWN: 1}), StopKind.INTERRUPTED, True, Exit.INTERRUPTED),
        # A stop that came when all was done has stopped nothing.
        (Totals(GOOD), StopKind.INTERRUPTED, True, Exit.DONE),
        (Totals(GOOD | {State.REJECTED: 1}), StopKind.BUDGET, True, Exit.REJECTED),
        # Rows that were left out do not end as if all went in, and a list that was not read to its end is not done.
        (Totals(GOOD, refused=2), None, True, Exit.REJECTED),
        (Totals(GOOD), None, False, Exit.STOPPED),
        (Totals(), StopKind.INTERRUPTED, False, Exit.INTERRUPTED),
    ],
)
def test_the_worst_that_is_left_gives_the_code(
    totals: Totals, stopped: StopKind | None, intake_ended: bool, code: Exit
) -> None:
    assert exit_of(totals, stopped, intake_ended=intake_ended) is code
