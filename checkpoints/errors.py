"""Errors of the journal, by cause."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from texts.said import SaidError, command_line, said


class JournalError(SaidError):
    """Root of the journal's errors; its text is a sentence for the operator."""


class JournalUnreadable(JournalError):
    """Raised when the file cannot be opened, read or written as a journal."""


class JournalAway(JournalUnreadable):
    """Raised when the journal's server does not answer, or is starting or ending: later, the same command works."""


class JournalOtherFormat(JournalError):
    """Raised when another version of this program wrote the file; the text says what to do."""


class JournalNotClosed(JournalError):
    """Raised when closing has waited too long for a write, which may or may not be kept."""


_LISTED: Final = 10
"""Runs that a sentence lists."""


class NoSuchRun(JournalError):
    """Raised when the journal has no run of the given name; of the known ones the text lists the last."""

    def __init__(self, journal: str, name: str, known: Sequence[str]) -> None:
        if known := known[-_LISTED:]:
            super().__init__(
                said("{path} has no run {name!r}; its runs: {known}", path=journal, name=name, known=tuple(known))
            )
        else:
            super().__init__(said("{path} has no run {name!r}; its runs: none yet", path=journal, name=name))


class RunHeld(JournalError):
    """Raised when another process holds the run; the text names it."""


class BillingHeld(RunHeld):
    """Raised when another machine works on the billing, with the run `run`; the text names its process."""

    def __init__(self, why: str, run: str) -> None:
        super().__init__(why)
        self.run = run


class RunTakenOver(JournalError):
    """Raised when another runner has taken the run up; the write is not kept, and the text names the runner."""


class JournalNotCopied(JournalError):
    """Raised when a journal cannot be copied, or is not there; the target is as it was."""


class RunPurged(JournalError):
    """Raised when the rows of a purged run are asked for."""

    def __init__(self, name: str, purged_at: datetime) -> None:
        super().__init__(
            said(
                "run {run} was purged on {day}: names, values and answers of its rows are removed, so nothing of it "
                "can be undone, verified, exported, corrected or looked up any more; its totals are kept",
                run=name,
                day=purged_at.date(),
            )
        )


class RunGivenUp(JournalError):
    """Raised when a run that another process has given up is to be worked on."""

    def __init__(self, name: str) -> None:
        super().__init__(
            said(
                "run {run} was given up by another process, which began the same while nobody worked on this one: "
                "nothing of it was sent, and nothing will be. The other run stands in {command}",
                run=name,
                command=command_line("status"),
            )
        )


class RunUnfinished(JournalError):
    """Raised when a run that is to be purged has work left, for itself or for a person; nothing was removed."""


class JournalNotCleaned(JournalError):
    """Raised when a purge is written, and the file could not be rewritten without what was removed."""


class ForbiddenTransition(JournalError):
    """Raised when a write breaks the table of states; the write is not kept."""
