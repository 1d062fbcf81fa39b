"""The gateway of a job to the billing: its API, and its database where there is one."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread

from billing.api.answers import objects
from billing.api.calls import Call
from billing.api.client import BillingClient
from billing.database.database import Database
from billing.directory.system import waiting_for
from billing.errors import (
    BillingAway,
    BillingBusy,
    BillingError,
    BillingRefused,
    DatabaseAway,
    DatabaseError,
    StatementRefused,
)
from billing.profile import UNKNOWN, Profile
from engine.errors import LookUpDelayed, LookUpFailed, LookUpRefused
from engine.pacing.throttle import Rate
from jobs.access.vault import Vault
from texts.said import said, text_of

Result = TypeVar("Result")
Looked = TypeVar("Looked", int, str)


@dataclass(slots=True)
class Questions:
    """The questions of the present look-ups through the API: their number, how many are answered, and since when."""

    number: int = 0
    answered: int = 0
    began: float = 0.0

    def count(self) -> tuple[int, int, float]:
        """Answered questions, all of them, and the seconds since they began. May be called in any thread."""
        return self.answered, self.number, time.monotonic() - self.began


@dataclass(frozen=True, slots=True)
class Gateway:
    """The access to one billing. `asked_at_once` limits the reading calls of one look-up that are in flight.

    `rate` limits the reading calls a second and may be changed at any time; calls that write have a rate of their
    own. `questions` counts the reading calls of look-ups. `vault` keeps the secrets of the current run; without one
    they are not kept, as in a plan. `profile` holds the known facts of the billing, each with how well it is known.
    """

    client: BillingClient
    database: Database | None = None
    asked_at_once: int = 4
    vault: Vault | None = None
    rate: Rate = field(default_factory=Rate)
    profile: Profile = UNKNOWN
    questions: Questions = field(default_factory=Questions)

    async def read(self, work: Callable[[Database], Result]) -> Result:
        """Run `work` on the database, in a thread. Raises `LookUpFailed`."""
        database = self.database
        if database is None:
            raise LookUpFailed(said("this needs the billing's database, and none is configured; give its address"))

        def guarded() -> Result:
            with as_engine_errors():
                return work(database)

        return await anyio.to_thread.run_sync(guarded)

    async def look_for(
        self,
        keys: Iterable[Looked],
        stored: Callable[[Database], Sequence[Result]],
        call: Callable[[Looked], Call],
        read: Callable[[Looked, dict[str, object]], Result],
    ) -> Sequence[Result]:
        """What these keys find: from the database in bulk, or without one by a call a key, whose objects are `read`.

        Raises `LookUpFailed`.
        """
        if self.database is not None:
            return await self.read(stored)
        each = list(dict.fromkeys(keys))
        answers = await self.ask([call(key) for key in each])
        with as_engine_errors():
            return [read(key, one) for key, answer in zip(each, answers, strict=True) for one in objects(answer)]

    async def ask(self, calls: Sequence[Call]) -> list[object]:
        """The results of reading calls, in their order, a few at a time. Raises `LookUpFailed`."""
        results: list[object] = [None] * len(calls)
        # The workers share one iterator: each takes the next call when its last one has ended.
        rest = iter(enumerate(calls))
        failed: list[LookUpFailed] = []
        questions, answered = self.questions, 0

        async def work() -> None:
            nonlocal answered
            for place, call in rest:
                if failed:
                    return
                try:
                    # Wait until the rate allows one more reading call; waiting calls leave in turn.
                    now = anyio.current_time()
                    moment = self.rate.moment(now, now)
                    self.rate.left(moment)
                    if moment > now:
                        await anyio.sleep(moment - now)
                    with as_engine_errors():
                        results[place] = await self.client.ask(call)
                    questions.answered += 1
                    answered += 1
                except LookUpFailed as error:
                    failed.append(error)

        if not questions.number:
            questions.began = time.monotonic()
        questions.number += len(calls)
        try:
            # Most ask a single question, which needs no task, and anyio's group costs as much as half of one.
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.asked_at_once, len(calls)) - 1):
                    group.create_task(work())
                await work()
        finally:
            questions.number -= len(calls)
            questions.answered -= answered
        if failed:
            raise failed[0]
        return results

    async def unfinished_work(
        self, accounts: Collection[int], abonents: Collection[int], *, new: bool = False
    ) -> str | None:
        """Work that the billing has accepted for these and not yet done, as "ACCOUNT_STACK holds 12 entries".

        With `new` also that for subscribers that are not there yet, whose ids nobody knows. None when no work waits.
        Without a database it is not known and also None: then only the engine's settle delay separates a lost answer
        from its look-up. Raises `LookUpFailed`.
        """
        if self.database is None:
            return None
        waiting = await self.read(
            lambda database: waiting_for(database, accounts=accounts, abonents=abonents, new=new)
        )
        return waiting.described or None

    async def probe(self) -> None:
        with as_engine_errors():
            await self.client.health()


@contextmanager
def as_engine_errors() -> Iterator[None]:
    """Turn errors of the billing and its database into `LookUpFailed`, with the same sentence."""
    try:
        yield
    except (BillingAway, BillingBusy, DatabaseAway) as error:
        raise LookUpDelayed(text_of(error)) from error
    except (BillingRefused, StatementRefused) as error:
        raise LookUpRefused(text_of(error)) from error
    except (BillingError, DatabaseError) as error:
        raise LookUpFailed(text_of(error)) from error
