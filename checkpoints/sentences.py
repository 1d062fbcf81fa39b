"""The sentences that the journal itself writes to rows, with what SQL puts into them."""

from typing import Final

from texts.said import Said, said

CONTRADICTS: Final = said("contradicts another row of the same key with another amount")
"""Of rows of a run with one key, none is taken."""

DUPLICATE: Final = "a duplicate in the input"
"""The kind by which journals count skipped rows that repeat an earlier row of the same input.

It is the English text of their reason up to the colon, see `reasons` of the journal.
"""

LEFT_OUT: Final = "left out, entered by an earlier run"
"""The kind of skipped rows whose money is left out, as `DUPLICATE`."""

ENDED: Final = said("the process ended while this was being sent")
"""At start, of the calls that were under way."""

REPLACED: Final = said("replaced by a corrected row: {message}", message="")
SHARED_ID: Final = said(
    "another row of this run has the same answer, {answer}: of one of the two it is not its own", answer=""
)


def decided(who: str, why: str) -> Said:
    """The message of a row that a person has decided on."""
    return said("decided by {who}: {why}", who=who, why=why)
