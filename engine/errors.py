"""Errors of the engine, by who must act, and the remedies that they name.

EngineError
├── InputRefused        the input as a whole is not usable: the operator corrects the file or the query
├── LookUpFailed        the billing or its database cannot be read now: try again later
│   ├── LookUpDelayed   no answer, or overloaded: the engine waits
│   ├── LookUpRefused   the query itself is refused, or its data is missing: the operator acts
│   └── DiskFull        there is no room to write down what is read: the operator makes some
└── CountsDiffer        the journal does not add up: a bug in this program
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TypeAlias

from checkpoints.errors import JournalError
from texts.remedies import Remedy

Parts: TypeAlias = Sequence[str | Remedy]
"""A sentence in parts: texts, and the remedies between them."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that a mistyped one is nearest to, "" where none is near; `_` counts as `-`."""
    by_plain = {_plain(one): str(one) for one in known}
    close = get_close_matches(_plain(word), by_plain, n=1)
    return f"; did you mean {by_plain[close[0]]!r}?" if close else ""


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-")


def sentence(said: Parts) -> str:
    """Join the parts of a sentence into one text."""
    if len(said) == 1 and isinstance(said[0], str):
        return said[0]
    return "".join(str(part) for part in said)


def lines(said: Sequence[Parts]) -> Parts:
    """Several sentences as one, each on a line of its own."""
    return [part for number, one in enumerate(said) for part in (("\n", *one) if number else one)]


class EngineError(Exception):
    """Root of the engine's errors; `said` is a sentence for the operator, with what to do next."""

    def __init__(self, *said: str | Remedy) -> None:
        super().__init__(sentence(said))
        self.said: Parts = said


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
