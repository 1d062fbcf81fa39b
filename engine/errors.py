"""Errors of the engine, by who must act.

EngineError
├── InputRefused        the input as a whole is not usable: the operator corrects the file or the query
├── LookUpFailed        the billing or its database cannot be read now: try again later
│   ├── LookUpDelayed   no answer, or overloaded: the engine waits
│   ├── LookUpRefused   the query itself is refused, or its data is missing: the operator acts
│   └── DiskFull        there is no room to write down what is read: the operator makes some
└── CountsDiffer        the journal does not add up: a bug in this program
"""

from collections.abc import Iterable
from difflib import get_close_matches

from checkpoints.errors import JournalError
from texts.said import SaidError, said


def nearest(word: str, known: Iterable[str]) -> str:
    """A phrase in brackets that follows the mistyped word, with the known word nearest to it; "" where none is near.

    `_` counts as `-`.
    """
    by_plain = {_plain(one): str(one) for one in known}
    close = get_close_matches(_plain(word), by_plain, n=1)
    return said(" (did you mean {word!r}?)", word=by_plain[close[0]]) if close else ""


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-")


class EngineError(SaidError):
    """Root of the engine's errors, made of one sentence for the operator that says what to do next."""


class InputRefused(EngineError):
    """Raised when the input as a whole is not usable; nothing was sent."""


class LookUpFailed(EngineError):
    """Raised when the billing cannot be read; the item states are unchanged."""


class LookUpDelayed(LookUpFailed):
    """Raised when the billing does not answer or is busy: waiting may help."""


class LookUpRefused(LookUpFailed):
    """Raised when the billing refuses the query itself, or lacks the data it needs: a retry does not help."""


class DiskFull(LookUpFailed):
    """Raised when the journal's disk has too little room for more rows."""


class CountsDiffer(EngineError):
    """Raised when the state counts of a run do not add up to the number of frozen rows."""


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error behind an exception group: its first journal error, otherwise its first error."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = next((inner for inner in error.exceptions if isinstance(inner, JournalError)), error.exceptions[0])
    return error
