"""One number for what became of a run."""

from collections.abc import Mapping

import pytest

from checkpoints.records import Totals
from checkpoints.states import State
from cli.terminal.exits import Exit, exit_of
from engine.pacing.holds import StopKind

GOOD = {State.ACCEPTED: 3, State.APPLIED: 1, State.SKIPPED: 2}


@pytest.mark.parametrize(
    ("counts", "stopped", "code"),
    [
        (GOOD, None, Exit.DONE),
        ({}, None, Exit.DONE),
        (GOOD | {State.REJECTED: 1}, None, Exit.REJECTED),
        (GOOD | {State.REJECTED: 1, State.MANUAL: 1}, None, Exit.UNDECIDED),
        (GOOD | {State.UNKNOWN: 1}, None, Exit.UNDECIDED),
        (GOOD | {State.MANUAL: 1, State.PENDING: 1}, StopKind.SYSTEM, Exit.STOPPED),
        (GOOD | {State.UNKNOWN: 1}, StopKind.SYSTEM, Exit.STOPPED),
        (GOOD | {State.REJECTED: 1, State.PENDING: 1}, StopKind.BUDGET, Exit.STOPPED),
        (GOOD | {State.PENDING: 1}, None, Exit.STOPPED),
        (GOOD | {State.SENDING: 1, State.MANUAL: 1}, StopKind.INTERRUPTED, Exit.INTERRUPTED),
        (GOOD | {State.UNKNOWN: 1}, StopKind.INTERRUPTED, Exit.INTERRUPTED),
    ],
)
def test_the_worst_that_is_left_gives_the_code(
    counts: Mapping[State, int], stopped: StopKind | None, code: Exit
) -> None:
    assert exit_of(Totals(counts), stopped) is code


def test_a_stop_that_came_when_all_was_done_has_stopped_nothing() -> None:
    assert exit_of(Totals(GOOD), StopKind.INTERRUPTED) is Exit.DONE
    assert exit_of(Totals(GOOD | {State.REJECTED: 1}), StopKind.BUDGET) is Exit.REJECTED


def test_rows_that_were_left_out_do_not_end_as_if_all_went_in() -> None:
    assert exit_of(Totals(GOOD, refused=2)) is Exit.REJECTED


def test_a_list_that_was_not_read_to_its_end_is_not_done() -> None:
    assert exit_of(Totals(GOOD), intake_ended=False) is Exit.STOPPED
    assert exit_of(Totals(), StopKind.INTERRUPTED, intake_ended=False) is Exit.INTERRUPTED
