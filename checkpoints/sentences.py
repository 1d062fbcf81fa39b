"""The sentences that the journal itself writes to rows, with what SQL puts into them."""

from typing import Final

from texts.said import Said, kind_of, reason, said, setting

CONTRADICTS: Final = said("contradicts another row of the same key with another amount")
"""Of rows of a run with one key, none is taken."""

DUPLICATE: Final = "a duplicate in the input"
"""The code of the reason of skipped rows that repeat an earlier row of the same input."""

AS_WANTED: Final = "already as wanted"
"""The code of the reason of rows that are skipped because nothing is to be done."""

DIFFERENT: Final = "there already, and different"
"""The code of the reason of steps that are skipped because somebody has to decide, see `kind_of`."""

GONE: Final = "gone since"
REVERSED: Final = "already taken back"
AS_IT_WAS: Final = "already as it was"
GOES_ALONG: Final = "goes with its subscriber, which the run has created"
ENTERED_ANEW: Final = "entered anew since"
REPLACED_LATER: Final = "replaced by a later row of its run"
REVERSED_ELSEWHERE: Final = "taken back from another journal"
NOT_IN_EFFECT: Final = frozenset({AS_WANTED, GONE, REVERSED, REVERSED_ELSEWHERE, AS_IT_WAS})
"""The codes of the reasons for which an undo skips a row of which nothing is in effect: it counts as taken back."""
NOTHING_STANDS: Final = NOT_IN_EFFECT | {GOES_ALONG, ENTERED_ANEW, REPLACED_LATER}
"""The same, and those of rows that are in effect for another run, or not for long.

What it skips for another reason it leaves alone, and that stands.
"""

NOT_SENT: Final = "not sent"
"""The code of the reason of rows that cannot be sent, for another row that they need was refused.

Codes that begin with it are those of other reasons of the program's own for not sending a row.
"""


ENTERED: Final = "entered by an earlier run"
ALIKE: Final = "looks as if entered already"
"""The codes of the reasons by which a row is skipped or asked about, for another job has entered it."""

LEFT_OUT: Final = "left out, entered by an earlier run"
"""The code of the reason of skipped rows whose money is left out."""

ANOTHER_COUNTS: Final = f"another row of its account counts ({setting('shared-accounts', 'last')})"
PART_OF_SUM: Final = f"part of the sum of its account ({setting('shared-accounts', 'sum')})"
"""The codes of the reasons of rows that are skipped since another row of their account stands for them."""

NEEDS_NONE: Final = "a balance of 0 needs no operation"
"""The code of the reason of opening balances that are skipped since there is nothing to enter."""

READ_OTHERWISE: Final = "read back, and not as sent"
"""The code of what is said of rows that the billing has accepted, and does not show as they were sent."""

NOT_SHOWN: Final = "entered by an earlier run, and not in the billing any more"
"""The code of the reason of rows that are refused, for the billing does not have what the journal has as entered."""

OVER: Final = "would set the balance over what earlier runs have entered"
"""The code of the reason of rows that are refused, for money of earlier runs would be out of the balance."""

INSTEAD: Final = "would replace the opening balance of its account"
"""The code of the reason of rows that are refused, for another run has set the balance for another row."""

CAME_SINCE: Final = "would set the balance over what came since the list was made"
"""The code of the reason of rows that are not sent, for money that came meanwhile would be out of the balance."""

ON_REQUEST: Final = (NOT_SHOWN, OVER)
"""The codes of the reasons of rows that are entered, alone and as each reason says, with `--again`."""

ENDED: Final = said("the process ended while this was being sent")
"""At start, of the calls that were under way."""

NO_CONNECTION: Final = said("there is no connection to PostgreSQL")
"""In place of what the driver says of one that was lost, in many ways."""

REPLACED: Final = said("replaced by a corrected row: {message}", message="")
SHARED_ID: Final = reason(
    "another row of this run has the same answer, {answer}: of one of the two it is not its own",
    "another row of this run has the same answer",
    answer="",
)


def decided(who: str, why: str) -> Said:
    """The message of a row that a person has decided on."""
    return said("decided by {who}: {why}", who=who, why=why)


def held_back(why: str) -> Said:
    """The program's own reason for not sending a row, told from one of the billing by its code."""
    own = why if isinstance(why, Said) else Said("{why}", {"why": why})
    return Said(own.template, own.values, own.many, own.n, f"{NOT_SENT}: {kind_of(why)}")


def is_held_back(kind: str) -> bool:
    """Whether a rejected row with a reason of this kind was held back, and not rejected by the billing."""
    return kind.partition(":")[0] == NOT_SENT
