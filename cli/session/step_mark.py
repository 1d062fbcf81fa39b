"""What a run remembers of the job file that it is a step of; a run that was typed remembers none."""

from dataclasses import dataclass
from typing import Final

from checkpoints.records import Run

PLACE: Final = "input_place."
"""Begins the names under which a run remembers which step of which job file it is; no part of what it does."""
JOB_FILE_PARAMETER: Final = f"{PLACE}file"
ROUND: Final = f"{PLACE}round"
NUMBER: Final = f"{PLACE}step"
STEPS: Final = f"{PLACE}steps"


@dataclass(frozen=True, slots=True)
class StepMark:
    """What a run remembers of its job file: it is step `number` of the `steps` that there were, in that round."""

    file: str
    round: int
    number: int
    steps: int

    def to_parameters(self) -> dict[str, str]:
        """As parameters of a run."""
        return {
            JOB_FILE_PARAMETER: self.file,
            ROUND: str(self.round),
            NUMBER: str(self.number),
            STEPS: str(self.steps),
        }

    @property
    def is_last(self) -> bool:
        """Whether no step came after it."""
        return self.number == self.steps


def mark_of(run: Run) -> StepMark | None:
    """Which step of which job file a run is, None for one that was typed."""
    said = run.parameters
    if not {JOB_FILE_PARAMETER, ROUND, NUMBER, STEPS} <= said.keys():
        return None
    return StepMark(said[JOB_FILE_PARAMETER], int(said[ROUND]), int(said[NUMBER]), int(said[STEPS]))


def is_followed(run: Run) -> bool:
    """Whether it is a step of a job file, and not the last one."""
    mark = mark_of(run)
    return mark is not None and not mark.is_last


def holds_its_file(run: Run) -> bool:
    """Whether it is paused and its job file waits behind it, also when the run itself is at its end."""
    return run.paused_at is not None and is_followed(run)
