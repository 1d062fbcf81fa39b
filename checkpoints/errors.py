"""What can go wrong with the journal, by who has to do something about it.

JournalError
├── JournalUnreadable     the file is not a journal, damaged, or not to be read or written
├── JournalAliased        the file has several names, and SQLite keeps a log beside each
├── JournalOtherFormat    another version of carbon-migrate wrote the file
├── JournalNotClosed      the disk: a write does not end
├── NoSuchRun             the operator: no run has that name
├── RunHeld               another process is working on the run
├── RunTakenOver          another process has taken the run up since: this one writes and sends nothing more
└── ForbiddenTransition   a fault of ours: a step that is not in the table of states
"""


class JournalError(Exception):
    """Root of what the journal raises; its text is a sentence for the operator."""


class JournalUnreadable(JournalError):
    """Raised when the file cannot be opened, read or written as a journal."""


class JournalAliased(JournalError):
    """Raised when the file has several names: a process that opens it by another one would not see this one."""


class JournalOtherFormat(JournalError):
    """Raised when another version of this program wrote the file; the text says what to do."""


class JournalNotClosed(JournalError):
    """Raised when closing has waited in vain for a write; whether that write is kept is not known."""


class NoSuchRun(JournalError):
    """Raised when the journal has no run of the given name; the text names those that it has."""


class RunHeld(JournalError):
    """Raised when another process holds the run; the text names it."""


class RunTakenOver(JournalError):
    """Raised when the run has another runner by now; nothing of the write is kept, and the text names the runner."""


class ForbiddenTransition(JournalError):
    """Raised when a write would break the table of states; nothing of that write is kept."""
