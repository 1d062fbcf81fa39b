"""Errors of the engine, by who must act, and the remedies that they name.

EngineError
├── InputRefused        the input as a whole is not usable: the operator corrects the file or the query
├── LookUpFailed        the billing or its database cannot be read now: try again later
│   ├── LookUpDelayed   no answer, or overloaded: the engine waits
│   ├── LookUpRefused   the query itself is refused, or its data is missing: the operator acts
│   └── DiskFull        there is no room to write down what is read: the operator makes some
└── CountsDiffer        the journal does not add up: a bug in this program
"""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TypeAlias

import msgspec

from checkpoints.errors import JournalError


class Remedy(msgspec.Struct, frozen=True):
    """A remedy for an error, as data; the command line decides how it is spelled.

    `command` is the command to type, for the run `run` if it has one; "" for a remedy of `settings` alone. Settings
    are pairs of name and value, the value "" for a setting without one. A `lasting` setting may also be given once
    for all runs.
    """

    command: str = ""
    run: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    lasting: bool = False

    def __str__(self) -> str:
        """The remedy as plain text, for a log."""
        given = (f"{name} {value}" if value else name for name, value in self.settings)
        words = " ".join(word for word in (self.command, self.run, *given) if word)
        return f"`{words}`" if self.command else words


Said: TypeAlias = Sequence[str | Remedy]
"""A sentence in parts: texts, and the remedies between them."""

Words: TypeAlias = Callable[[Remedy], str]
"""Renders a remedy as text."""


def setting(name: str, value: str = "") -> Remedy:
    """A remedy that names one setting, to be given or left out."""
    return Remedy(settings=((name, value),))


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that a mistyped one is nearest to, "" where none is near; `_` counts as `-`."""
    by_plain = {_plain(one): str(one) for one in known}
    close = get_close_matches(_plain(word), by_plain, n=1)
    return f"; did you mean {by_plain[close[0]]!r}?" if close else ""


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-")


def sentence(said: Said, words: Words = str) -> str:
    """Join the parts of a sentence into one text."""
    return "".join(part if isinstance(part, str) else words(part) for part in said)


def lines(said: Sequence[Said]) -> Said:
    """Several sentences as one, each on a line of its own."""
    return [part for number, one in enumerate(said) for part in (("\n", *one) if number else one)]


class EngineError(Exception):
    """Root of the engine's errors; `said` is a sentence for the operator, with what to do next."""

    def __init__(self, *said: str | Remedy) -> None:
        super().__init__(sentence(said))
        self.said: Said = said


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
