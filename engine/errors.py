"""What stops the engine, by who must act.

EngineError
├── InputRefused        the input as a whole cannot be taken: the operator mends the file or the query
├── LookUpFailed        the billing or its database cannot be asked now: try again later
│   ├── LookUpDelayed   nobody: it does not answer, or has too much to do, and is waited for
│   └── LookUpRefused   the operator: it refuses the question itself, or lacks what is asked for
└── CountsDiffer        the journal does not add up: a fault of ours
"""

from checkpoints.errors import JournalError


class EngineError(Exception):
    """Root of what the engine raises; its text is a sentence for the operator, with what to do next."""


class InputRefused(EngineError):
    """Raised when the input as a whole cannot be taken; nothing was sent."""


class LookUpFailed(EngineError):
    """Raised when what the billing has cannot be read; no item's state was changed by it."""


class LookUpDelayed(LookUpFailed):
    """Raised when what the billing has cannot be read because nobody answers, or all are busy: waiting may help."""


class LookUpRefused(LookUpFailed):
    """Raised when the billing refuses the question itself, or has not what is asked for: asking again is no use."""


class CountsDiffer(EngineError):
    """Raised when the states of a run do not add up to what was frozen."""


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What the tasks of a group failed of: the first of them; the rest were its consequences."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = next((one for one in error.exceptions if isinstance(one, JournalError)), error.exceptions[0])
    return error
