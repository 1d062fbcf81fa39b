import re
from collections.abc import Mapping

import pytest

from checkpoints.queries import schema
from checkpoints.states import TRANSITIONS, State, states_where

PROPERTIES: Mapping[tuple[tuple[str, bool], ...], str] = {
    (("open", True),): "pending sending unconfirmed unknown",
    (("settled", False),): "pending sending unconfirmed unknown manual",
    (("in_effect", True),): "accepted applied",
    (("counts_money", True),): "sending accepted unconfirmed unknown manual applied",
    (("to_send", True),): "pending sending",
    (("in_doubt", True),): "unconfirmed unknown",
    (("rejected", True),): "rejected replaced",
    (("trouble", True),): "rejected unconfirmed unknown manual",
    # What two properties say together, and what the program asks for so.
    (("settled", True), ("in_effect", False)): "skipped rejected replaced",
    (("open", True), ("counts_money", True)): "sending unconfirmed unknown",
    (("counts_money", True), ("to_send", False)): "accepted unconfirmed unknown manual applied",
}
"""Which states have which properties, written out once more by hand, in the order of the table."""


@pytest.mark.parametrize(("properties", "words"), PROPERTIES.items())
def test_exactly_the_states_of_a_property_are_found(properties: tuple[tuple[str, bool], ...], words: str) -> None:
    assert states_where(**dict(properties)) == tuple(words.split())


def test_what_postgresql_does_not_look_up_stands_in_the_table_of_steps() -> None:
    (condition,) = re.findall(r"create trigger items_step .*?when \((.*?)\)\s+execute", schema("postgres"), re.DOTALL)
    steps = re.findall(r"old\.state = '(\w+)' and new\.state = '(\w+)'", condition)
    assert len(steps) == condition.count("new.state") == 2
    assert {*steps} <= {(step.source, step.target) for step in TRANSITIONS}


def test_each_state_says_how_it_is_written_explained_and_exported() -> None:
    assert all(state.style for state in State)
    places = sorted(state.explained for state in State if state.explained)
    assert places == list(range(1, len(places) + 1))
    files = {state.export for state in State if state.export}
    assert all(State(file).export == file for file in files)
