"""The sentences that the journal itself writes to rows, with what SQL puts into them."""

from typing import Final

from texts.said import Said, reason, said

CONTRADICTS: Final = said("contradicts another row of the same key with another amount")
"""Of rows of a run with one key, none is taken."""

DUPLICATE: Final = "a duplicate in the input"
"""The code of the reason of skipped rows that repeat an earlier row of the same input."""

AS_WANTED: Final = "already as wanted"
"""The code of the reason of rows that are skipped because nothing is to be done."""

NOT_SENT: Final = "not sent"
"""The code of the reason of rows that cannot be sent, for another row that they need was refused."""

LEFT_OUT: Final = "left out, entered by an earlier run"
"""The code of the reason of skipped rows whose money is left out."""

GONE: Final = "entered by an earlier run, and not in the billing any more"
"""The code of the reason of rows that are refused, for the billing does not have what the journal has as entered."""

ENDED: Final = said("the process ended while this was being sent")
"""At start, of the calls that were under way."""

REPLACED: Final = said("replaced by a corrected row: {message}", message="")
SHARED_ID: Final = reason(
    "another row of this run has the same answer, {answer}: of one of the two it is not its own",
    "another row of this run has the same answer",
    answer="",
)


def decided(who: str, why: str) -> Said:
    """The message of a row that a person has decided on."""
    return said("decided by {who}: {why}", who=who, why=why)
