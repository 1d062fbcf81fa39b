"""The store of a journal: what the journal needs of a database.

Two stores have it: `sqlite_store.py`, one file on this machine, and `postgres_store.py`, for several machines.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from checkpoints.address import JournalAddress
from checkpoints.queries import Queries
from checkpoints.records import Run

# ---- requests to the process that works on a run ------------------------------------------------------------------


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


# ---- the store ----------------------------------------------------------------------------------------------------


Result = TypeVar("Result")


class Store(ABC):
    """An open store: transactions that are durable when they return, and one runner a run.

    `kept_copy` is the copy of a journal of an earlier format that was made when this store opened it, None where it
    had to convert nothing. `requests` are those to runs that a socket of this machine does not reach.
    """

    address: JournalAddress
    kept_copy: Path | None = None
    requests: Requests = Requests()

    @abstractmethod
    async def read(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` on the committed data. Raises `JournalUnreadable`."""

    @abstractmethod
    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` in one transaction, durable when this returns. Raises what `Writer.do` raises."""

    @abstractmethod
    async def lock(self, run_id: int) -> bool:
        """Take the lock of a run; False if it is held, in this process or in another. Raises `JournalUnreadable`."""

    @abstractmethod
    async def unlock(self, run_id: int) -> None:
        """Release the lock of a run."""

    @abstractmethod
    async def is_locked(self, run_id: int) -> bool:
        """Whether the lock of a run is held, by this process or another. Raises `JournalUnreadable`."""

    @abstractmethod
    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        """Those of the runs whose locks are held. Raises `JournalUnreadable`."""

    async def renew(self, run_id: int, epoch: int, pace: str | None) -> bool:
        """Renew the lease of a runner; False where it has none, or no longer. Raises `JournalUnreadable`.

        The `pace` of its billing is kept for the next owner, None keeps the one that is there.
        """
        return True

    def cut(self) -> None:
        """End the connections to a database that does not answer: what waits for it fails. Does not block."""

    @abstractmethod
    async def size(self) -> int:
        """The bytes of all that is stored. Raises `JournalUnreadable`."""

    @abstractmethod
    async def clean(self) -> None:
        """Rewrite what is stored without what was deleted from it. Raises `JournalNotCleaned`."""
