"""Requests to the process that works on a run, handed over in the journal where its socket does not reach.

    asker:   ask ───▶ answered, or withdrawn because nobody has taken it
    owner:   serve ─▶ takes each once, carries it out, answers

A journal of one machine has none of this: there the socket of the run reaches everybody.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from checkpoints.records import Run

PATIENCE: Final = 10.0
"""Seconds in which a request has to be taken; afterwards it never takes effect."""


@dataclass(frozen=True, slots=True)
class TakenRequest:
    """A request to a run: who gives it by his own word, and its text; meant for the process of `epoch`."""

    request_id: int
    epoch: int
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a request.

    One that was not taken has no effect, now or later. One that was taken has no answer if its process has ended, or
    takes too long: whether it was carried out is not known then.
    """

    is_taken: bool = False
    answer: str | None = None


NOBODY: Final = Handed()
"""Nobody has taken a request."""

CarryOut = Callable[[TakenRequest], Awaitable[str]]
"""Carries a request out, and returns the text of its answer."""


class Requests:
    """The requests of a journal; of one that a single machine has open there are none."""

    async def ask(self, run: Run, who: str, text: str, patience: float = PATIENCE) -> Handed:
        """Hand a request over to the process that works on `run` under its epoch, and wait for the answer.

        Raises `JournalUnreadable`. A cancellation withdraws it if nobody has taken it.
        """
        return NOBODY

    async def serve(self, run: Run, carry_out: CarryOut) -> None:
        """Carry out the requests to the run that this process has taken up, each once, until cancelled.

        Returns at once where there are none. An error of the journal is waited out: a run ends by its lease.
        """
