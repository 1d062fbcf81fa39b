"""Words of an undo and of an import in the parameters of a run, for code that needs nothing else of a job."""

from enum import StrEnum
from typing import Final

from checkpoints.records import Run
from engine.job import STANDARD_INPUT
from texts.said import said

UNDO: Final = "undo"
"""The name of the job that takes a run back."""
RUN: Final = "run"
"""The parameter of an undo that names the run to take back; all others are parameters of the undo."""
SINCE: Final = "since-run"
"""The parameter of a delta: the run to whose rows it enters the differences. No job has one of that name."""
WAY: Final = "way"
LIST: Final = "list"
"""The way that sends nothing: the rows are listed for the accountant."""
STORNO: Final = "storno"
"""The way that reverses each operation."""
OPPOSITE: Final = "opposite"
"""The way that enters the opposite sum of each operation."""

UNPROVEN: Final = "unproven"
"""The parameter of an undo of a run that has found objects without a mark, which may be somebody else's."""
TAKE: Final = "take"
LEAVE: Final = "leave"


class SharedAccountsRule(StrEnum):
    """The rule for several opening balances of one account."""

    SUM = "sum"
    LAST = "last"
    REFUSE = "refuse"


AMOUNT: Final = "amount"
"""The column of an undo's rows that has their sum."""

ONE_ROW: Final = said("one row, as given")
"""The name of a source that has no file: its run has the English text of it, as of `STANDARD_INPUT`."""


def source_of(run: Run) -> str:
    """Where the rows of a run come from, for people: of an undo the run that it takes back."""
    if run.job == UNDO and RUN in run.parameters:
        return said("run {run}", run=run.parameters[RUN])
    return next((one for one in (STANDARD_INPUT, ONE_ROW) if one == run.source), run.source)


# ---- the words of an import that are asked where runs are only looked at ------------------------------------------


IMPORT: Final = "import"

MAP: Final = "map"
DICTIONARY: Final = "dictionary"
TABLES: Final = ("accounts", "services", "attributes")
"""The parameters that name a table beside the main one."""
FOLDER: Final = "folder"
SAMPLE: Final = "sample"
CHANGE: Final = "change"
ALIKE: Final = "alike"

VALUES: Final = (MAP, DICTIONARY, *TABLES, FOLDER)
SWITCHES: Final = (CHANGE, ALIKE)
"""The parameters that are typed again where another table is imported in the same way: with a value, or without."""
YES: Final = "yes"

COLUMN: Final = "input_map."
"""The beginning of the names under which a run keeps the columns that were given, by field."""

ANSWER_FILE_PARAMETER: Final = "input_answers"
"""The parameter that holds the path of the run's answer file."""
PLACE: Final = "input_place."
"""The prefix of the parameters that hold a run's place in a job file; they do not affect what the run does."""
