"""What stops the engine, by who must act, and what can be done about it.

EngineError
├── InputRefused        the input as a whole cannot be taken: the operator mends the file or the query
├── LookUpFailed        the billing or its database cannot be asked now: try again later
│   ├── LookUpDelayed   nobody: it does not answer, or has too much to do, and is waited for
│   └── LookUpRefused   the operator: it refuses the question itself, or lacks what is asked for
└── CountsDiffer        the journal does not add up: a fault of ours
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from checkpoints.errors import JournalError


class Remedy(msgspec.Struct, frozen=True):
    """What a person can type about a trouble, as a value: only the command line knows how it is spelled.

    `command` is to be typed, for `run` where it is about one; "" where `settings` alone are meant. These are to be
    given by name, each with its value, "" for one that has none. Where it is `lasting`, what is given once for all
    runs will do as well.
    """

    command: str = ""
    run: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    lasting: bool = False

    def __str__(self) -> str:
        """The remedy in plain words, for a log."""
        given = (f"{name} {value}" if value else name for name, value in self.settings)
        words = " ".join(word for word in (self.command, self.run, *given) if word)
        return f"`{words}`" if self.command else words


Said: TypeAlias = Sequence[str | Remedy]
"""A sentence in parts: texts, and the remedies between them."""

Words: TypeAlias = Callable[[Remedy], str]
"""How a remedy is told."""


def setting(name: str, value: str = "") -> Remedy:
    """The remedy of giving a setting, or of leaving it out."""
    return Remedy(settings=((name, value),))


def sentence(said: Said, words: Words = str) -> str:
    """A sentence in parts, as one text."""
    return "".join(part if isinstance(part, str) else words(part) for part in said)


def lines(said: Sequence[Said]) -> Said:
    """Several sentences as one, each on a line of its own."""
    return [part for number, one in enumerate(said) for part in (("\n", *one) if number else one)]


class EngineError(Exception):
    """Root of what the engine raises; what is `said` is a sentence for the operator, with what to do next."""

    def __init__(self, *said: str | Remedy) -> None:
        super().__init__(sentence(said))
        self.said: Said = said


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
