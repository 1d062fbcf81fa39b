"""The tables of states and transitions in a journal, filled from `states.py` whenever it is opened."""

from typing import Final

from checkpoints.queries import Queries
from checkpoints.states import TRANSITIONS, State

_PROPERTIES: Final = ("open", "settled", "in_effect", "counts_money", "to_send")


def let_enter_in_any_state(db: Queries) -> None:
    """Let items of any state be written, as those of another journal are, until `fill_states` in this transaction."""
    db.write("forget_transitions")
    db.write("fill_transitions", rows=[("", str(state)) for state in State])


def fill_states(db: Queries) -> None:
    """Bring both tables up to date; nothing is written if they are."""
    states = sorted((str(state), *(int(getattr(state, name)) for name in _PROPERTIES)) for state in State)
    found = sorted((row["state"], *(int(row[name]) for name in _PROPERTIES)) for row in db.all("states"))
    if found != states:
        db.write("forget_states")
        db.write("fill_states", rows=states)
    steps = sorted((step.source or "", str(step.target)) for step in TRANSITIONS)
    if sorted((row["source"], row["target"]) for row in db.all("transitions")) != steps:
        db.write("forget_transitions")
        db.write("fill_transitions", rows=steps)
