import sqlite3
from itertools import product
from pathlib import Path

import pytest

from checkpoints.journal import open_journal
from checkpoints.states import OPEN, TRANSITIONS, State, as_markdown, may_follow

STEPS = {
    (None, "pending"),
    (None, "skipped"),
    ("pending", "skipped"),
    ("pending", "sending"),
    ("sending", "accepted"),
    ("sending", "rejected"),
    ("sending", "pending"),
    ("sending", "unknown"),
    ("unknown", "accepted"),
    ("unknown", "pending"),
    ("unknown", "manual"),
    ("manual", "accepted"),
    ("manual", "pending"),
    ("accepted", "applied"),
    ("accepted", "unknown"),
    ("rejected", "replaced"),
}
"""Written out once more, by hand: what the table may say, and nothing else."""


@pytest.mark.parametrize(("source", "target"), list(product([None, *State], State)))
def test_exactly_the_steps_of_the_table_are_allowed(source: State | None, target: State) -> None:
    assert may_follow(source, target) == ((source, target) in STEPS)


def test_no_step_stands_in_the_table_twice() -> None:
    assert len({(step.source, step.target) for step in TRANSITIONS}) == len(TRANSITIONS) == len(STEPS)


def test_a_run_has_work_left_exactly_in_the_open_states() -> None:
    assert {"pending", "sending", "unknown"} == OPEN


def test_what_is_sending_or_unknown_never_goes_straight_to_sending_again() -> None:
    assert [step.source for step in TRANSITIONS if step.target is State.SENDING] == [State.PENDING]


def test_the_drawn_table_has_a_line_a_step_with_its_reason() -> None:
    lines = as_markdown().splitlines()
    assert lines[:3] == ["| from | to | when |", "|---|---|---|", "| – | pending | frozen |"]
    assert len(lines) == 2 + len(TRANSITIONS)
    for line, step in zip(lines[2:], TRANSITIONS, strict=True):
        assert line == f"| {step.source.value if step.source else '–'} | {step.target.value} | {step.when} |"


def test_the_page_of_architecture_shows_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    assert as_markdown() in page.read_text(encoding="utf-8")


async def test_the_journal_was_filled_from_the_table(path: Path) -> None:
    async with open_journal(path):
        pass
    reader = sqlite3.connect(path)
    found = {(source or None, target) for source, target in reader.execute("select source, target from transitions")}
    reader.close()
    assert found == STEPS
