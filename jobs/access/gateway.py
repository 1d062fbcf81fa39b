"""What a job has to work with: the billing's API, and its database where there is one."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread

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

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Gateway:
    """The doors to one billing. `asked_at_once` bounds the reading calls of one look-up that are in flight.

    `rate` bounds the reading calls a second, and may be changed at any time; what is sent has a rate of its own, for
    a run sends and looks up by turns. `vault` keeps the secrets of the run that is worked on; without one they are
    kept nowhere, as those of a plan. `profile` is what is known of the billing; each fact says how well.
    """

    client: BillingClient
    database: Database | None = None
    asked_at_once: int = 4
    vault: Vault | None = None
    rate: Rate = field(default_factory=Rate)
    profile: Profile = UNKNOWN

    async def read(self, work: Callable[[Database], Result]) -> Result:
        """What `work` reads from the database, done in a thread. Raises `LookUpFailed`."""
        database = self.database
        if database is None:
            raise LookUpFailed("this needs the billing's database, and none is configured; give its address")

        def guarded() -> Result:
            with as_engine_errors():
                return work(database)

        return await anyio.to_thread.run_sync(guarded)

    async def ask(self, calls: Sequence[Call]) -> list[object]:
        """The results of reading calls, in their order, a few at a time. Raises `LookUpFailed`."""
        results: list[object] = [None] * len(calls)
        # The workers share one iterator: each takes the next call when it is done with its last.
        rest = iter(enumerate(calls))
        failed: list[LookUpFailed] = []

        async def work() -> None:
            for place, call in rest:
                if failed:
                    return
                try:
                    await self._turn()
                    with as_engine_errors():
                        results[place] = await self.client.ask(call)
                except LookUpFailed as error:
                    failed.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(min(self.asked_at_once, len(calls))):
                group.start_soon(work)
        if failed:
            raise failed[0]
        return results

    async def _turn(self) -> None:
        """Wait until one more reading call may leave; others that wait leave after it."""
        now = anyio.current_time()
        moment = self.rate.moment(now, now)
        self.rate.left(moment)
        if moment > now:
            await anyio.sleep(moment - now)

    async def unfinished_work(self, accounts: Collection[int], abonents: Collection[int]) -> str | None:
        """What the billing has accepted for these and not yet worked off, as "ACCOUNT_STACK holds 12 entries".

        None when nothing waits, and without a database, where nobody can tell: then the engine's settle delay alone
        stands between a lost answer and the look-up. Raises `LookUpFailed`.
        """
        if self.database is None:
            return None
        return (
            str(await self.read(lambda database: waiting_for(database, accounts=accounts, abonents=abonents))) or None
        )

    async def probe(self) -> None:
        """Ask the billing for its version. Raises `LookUpFailed` with the reason when it is not well."""
        with as_engine_errors():
            await self.client.health()


@contextmanager
def as_engine_errors() -> Iterator[None]:
    """What the billing and its database raise becomes `LookUpFailed`, with the same sentence."""
    try:
        yield
    except (BillingAway, BillingBusy, DatabaseAway) as error:
        raise LookUpDelayed(str(error)) from error
    except (BillingRefused, StatementRefused) as error:
        raise LookUpRefused(str(error)) from error
    except (BillingError, DatabaseError) as error:
        raise LookUpFailed(str(error)) from error
