"""What can go wrong with the journal.

JournalError
├── JournalUnreadable     not a journal, damaged, or the folder cannot be written
├── JournalAliased        the file has several names: SQLite keeps a log beside each
├── JournalOtherFormat    written by another version of carbon-migrate
├── JournalNotClosed      a write does not end: the disk, or a fault of ours
├── ForbiddenTransition   a step that the table of states does not have: a fault of ours
├── RunHeld               another process is working on the run
├── RunTakenOver          another process has taken the run up since: this one writes and sends nothing any more
└── NoSuchRun             no run of that name
"""


class JournalError(Exception):
    """Root of what the journal raises; its text is a sentence for the operator."""


class JournalUnreadable(JournalError):
    """Raised when the file cannot be opened, read or written as a journal."""


class JournalAliased(JournalError):
    """Raised when the journal's file has several names; a process that opens it by another would not see this one."""


class JournalOtherFormat(JournalError):
    """Raised when another version of this program wrote the file; the text says which of the two to use."""


class JournalNotClosed(JournalError):
    """Raised when a write is still under way that closing the journal has waited for; its fate is not known."""


class ForbiddenTransition(JournalError):
    """Raised when a write would break the table of states; nothing of that write is kept."""


class RunHeld(JournalError):
    """Raised when another process holds the run; the text names it."""


class RunTakenOver(JournalError):
    """Raised when the run has another runner by now; nothing of the write is kept, and the text names the runner."""


class NoSuchRun(JournalError):
    """Raised when the journal has no run of the given name."""
