"""The mailbox of a journal: what a run is asked while a process works on it, and what that process says of itself.

    who asks ──▶ requests ──▶ taken once, by who has the run ──▶ answered in its row, which the asker removes
    who reads ◀── live, a row a run, and samples, a ring of fifteen minutes ◀── written once a second

It is the same in both stores, on one machine or several: a store only says how news is waited for. Whoever may write
into the journal may steer its runs. All ages are told by one clock, that of the journal: the block `seconds()`.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio

from checkpoints.errors import JournalError
from checkpoints.queries import FoundRow, Queries
from checkpoints.records import Run
from checkpoints.store import Store, WaitForNews

PATIENCE: Final = 10.0
"""Seconds in which a request has to be taken; afterwards it never takes effect."""

LEFT: Final = 7 * 24 * 3600.0
"""Seconds in which the process that a request is left for may wake."""

WORK: Final = 35.0
"""Seconds to wait for the answer to a request that was taken: a little more than it may take there."""

KEPT: Final = 15 * 60
"""Samples of a run that are kept: one a second."""


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


@dataclass(frozen=True, slots=True)
class LiveRow:
    """What the process that works on a run has said of it, `age` seconds ago."""

    status: str
    age: float


class Mailbox:
    """The requests to the runs of a journal, and the live rows of those that are worked on."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # ---- who asks, and who reads ----

    async def ask(self, run: Run, who: str, text: str, patience: float = PATIENCE, *, stays: bool = False) -> Handed:
        """Hand a request over to the process that works on `run` under its epoch, and wait for the answer.

        One that `stays` is taken by that process also later, when it wakes. Raises `JournalUnreadable`. A
        cancellation withdraws it if nobody has taken it.
        """
        async with self._store.listening(run.run_id) as news:
            # Where it were cancelled, nobody would know whether there is a request to withdraw.
            with anyio.CancelScope(shield=True):
                request_id = await self._hand_over(run, who, text, LEFT if stays else patience)
            try:
                with anyio.move_on_after(patience):
                    return await self._answered(request_id, news)
                if stays or await self._withdraw(request_id):
                    return NOBODY
                with anyio.move_on_after(WORK):
                    return await self._answered(request_id, news)
                return Handed(is_taken=True)
            except BaseException:
                with anyio.CancelScope(shield=True), suppress(JournalError):
                    await self._withdraw(request_id)
                raise

    async def live(self, run: Run) -> LiveRow | None:
        """What the process says that works on `run` under its epoch; None where it does not listen, or has ended."""
        return next(iter(await self._store.records(LiveRow, "live", run_id=run.run_id, epoch=run.epoch)), None)

    async def samples(self, run: Run, after: float = 0.0, *, within: int = KEPT) -> list[tuple[float, str]]:
        """The samples of the last fifteen minutes, each with its moment, that were written `after` a moment.

        `within` so many seconds, there are those of the last fifteen minutes in which it was worked on.
        """
        found = await self._store.all("samples", run_id=run.run_id, after=repr(after), seconds=within)
        return [(row["at"], row["sample"]) for row in found]

    # ---- who works on the run ----

    async def serve(self, run: Run, carry_out: CarryOut) -> None:
        """Carry out the requests to the run that this process has taken up, each once, until cancelled.

        An error of the journal is waited out: it ends the run by other ways.
        """
        async with self._store.listening(run.run_id) as news:
            while True:
                # What is taken is answered, also where the run ends just then, as after a stop.
                with suppress(JournalError), anyio.CancelScope(shield=True):
                    for request in await self._take(run):
                        await self._answer(run, request.request_id, await carry_out(request))
                await news()

    async def tell(self, run: Run, status: str, number: int, sample: str) -> str | None:
        """Write what the run is like now, and its sample of this number; returns who has paused it, None for nobody.

        Nothing is written where another process has taken the run up since.
        """

        def work(db: Queries) -> Sequence[FoundRow]:
            db.later("tell", run_id=run.run_id, epoch=run.epoch, status=status)
            db.later("sample", run_id=run.run_id, epoch=run.epoch, slot=number % KEPT, sample=sample)
            return db.later("run_by_name", name=run.name)

        (row,) = await self._store.write(work)
        return (row["paused_by"] or "") if row["paused_at"] else None

    async def fall_silent(self, run: Run) -> None:
        """Take back what this process has said of the run: it listens no longer."""
        await self._store.do("fall_silent", run_id=run.run_id, epoch=run.epoch)

    # ---- the table of requests ----

    async def _hand_over(self, run: Run, who: str, text: str, patience: float) -> int:
        def work(db: Queries) -> int:
            db.write("forget_requests", run_id=run.run_id)
            # It expires by itself where its asker is killed.
            within = round(patience * 1000)
            row = db.one("new_request", run_id=run.run_id, epoch=run.epoch, who=who, request=text, within=within)
            self._store.announce(db, run.run_id)
            return int(row["request_id"])

        return await self._store.write(work)

    async def _take(self, run: Run) -> list[TakenRequest]:
        """Take what nobody has taken, withdrawn or waited too long for, if this process still has the run."""
        if await self._store.first("waiting_request", run_id=run.run_id) is None:
            return []
        found = await self._store.write(lambda db: db.all("take_requests", run_id=run.run_id, epoch=run.epoch))
        taken = [TakenRequest(row["request_id"], row["epoch"], row["who"], row["request"]) for row in found]
        return sorted(taken, key=lambda one: one.request_id)

    async def _answer(self, run: Run, request_id: int, answer: str) -> None:
        def work(db: Queries) -> None:
            db.write("answer_request", request_id=request_id, answer=answer)
            self._store.announce(db, run.run_id)

        await self._store.write(work)

    async def _answered(self, request_id: int, news: WaitForNews) -> Handed:
        """The answer, when it is there; it is not kept, as the run's history has the command."""
        while True:
            row = await self._store.first("request", request_id=request_id)
            if row is None:
                # A purge has removed it.
                return Handed(is_taken=True)
            if row["answer"] is not None:
                with anyio.CancelScope(shield=True):
                    await self._store.do("forget_request", request_id=request_id)
                return Handed(is_taken=True, answer=str(row["answer"]))
            await news()

    async def _withdraw(self, request_id: int) -> bool:
        return bool(await self._store.do("withdraw_request", request_id=request_id))
