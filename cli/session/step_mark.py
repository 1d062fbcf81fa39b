"""The mark of a job file's step in its run; a run from the command line has none."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from checkpoints.records import Run

PLACE: Final = "input_place."
"""The prefix of the parameters that hold the mark; they do not affect what the run does."""
JOB_FILE_PARAMETER: Final = f"{PLACE}file"
ROUND: Final = f"{PLACE}round"
NUMBER: Final = f"{PLACE}step"
STEPS: Final = f"{PLACE}steps"
BEGUN: Final = f"{PLACE}begun"
DIGEST: Final = f"{PLACE}digest"


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
        """The mark as parameters of a run."""
        return {
            JOB_FILE_PARAMETER: self.file,
            ROUND: str(self.round),
            NUMBER: str(self.number),
            STEPS: str(self.steps),
            BEGUN: self.begun.isoformat(),
            DIGEST: self.digest,
        }

    @property
    def is_last(self) -> bool:
        """Whether it was the last step of the file."""
        return self.number == self.steps


def mark_of(run: Run) -> StepMark | None:
    """The mark of a run, None for one from the command line."""
    said = run.parameters
    if not {JOB_FILE_PARAMETER, ROUND, NUMBER, STEPS} <= said.keys():
        return None
    begun = datetime.fromisoformat(said[BEGUN]) if BEGUN in said else run.created_at.astimezone()
    return StepMark(
        said[JOB_FILE_PARAMETER], int(said[ROUND]), int(said[NUMBER]), int(said[STEPS]), begun, said.get(DIGEST, "")
    )


def is_followed(run: Run) -> bool:
    """Whether the run is a step of a job file, and not the last one."""
    mark = mark_of(run)
    return mark is not None and not mark.is_last


def holds_its_file(run: Run) -> bool:
    """Whether the run is paused and its job file waits after it, also when the run itself has ended."""
    return run.paused_at is not None and is_followed(run)
