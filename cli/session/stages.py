"""The stage of a run: a word for scripts, which is the same in every language, and its sentence for people."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from checkpoints.records import Run, Stage, Totals

PLACE: Final = "input_place."
"""The prefix of the parameters that hold the mark; they do not affect what the run does."""
_KEYS: Final = tuple(f"{PLACE}{key}" for key in ("file", "round", "step", "steps", "begun", "digest"))


@dataclass(frozen=True, slots=True)
class StepMark:
    """The position of a run in its job file: step `number` of `steps`, in this round, which was begun then.

    What the file names with a date keeps the date of `begun`, however long the round takes. `digest` is the SHA-256
    of the file when the step began.
    """

    file: str
    round: int
    number: int
    steps: int
    begun: datetime
    digest: str = ""

    def to_parameters(self) -> dict[str, str]:
        values = (self.file, self.round, self.number, self.steps, self.begun.isoformat(), self.digest)
        return dict(zip(_KEYS, map(str, values), strict=True))

    @property
    def is_last(self) -> bool:
        return self.number == self.steps


def mark_of(run: Run) -> StepMark | None:
    file, in_round, number, steps, begun, digest = (run.parameters.get(key, "") for key in _KEYS)
    if not (file and in_round and number and steps):
        return None
    began = datetime.fromisoformat(begun) if begun else run.created_at.astimezone()
    return StepMark(file, int(in_round), int(number), int(steps), began, digest)


def is_followed(run: Run) -> bool:
    mark = mark_of(run)
    return mark is not None and not mark.is_last


def holds_its_file(run: Run) -> bool:
    """Whether the run is paused and its job file waits after it, also when the run itself has ended."""
    return run.paused_at is not None and is_followed(run)


RUNNING: Final = "running"
STOPPED: Final = "stopped"
DONE: Final = "done"
CLOSED: Final = "closed"
TAKEN_BACK: Final = "taken back"
ENDED: Final = frozenset({DONE, CLOSED, TAKEN_BACK})
"""The stages of a run for which nothing is left to send."""


def stage_of(run: Run, totals: Totals, *, is_held: bool) -> str:
    """The stage of a run, in a word or two: the same on the screen and for scripts."""
    match run.stage:
        case _ if is_held:
            return RUNNING
        case _ if run.purged_at or run.stage is Stage.DISCARDED:
            return "purged" if run.purged_at else "given up"
        case _ if run.ended_at and (totals.taken_back or totals.unsent or run.frozen_at is None):
            return TAKEN_BACK if totals.taken_back else CLOSED
        case Stage.INTAKE | Stage.FROZEN:
            return "not approved" if run.frozen_at else "reading, stopped"
        case Stage.APPROVED if totals.count_where(open=True) or run.frozen_at is None:
            return STOPPED
        case _:
            return DONE


def ended_facts(run: Run) -> dict[str, object] | None:
    if run.ended_at is None:
        return None
    return {"at": run.ended_at, "by": run.ended_by, "why": run.ended_why, "undone_by": run.undone_by}
