"""Requests to the process that works on a run, in a table of PostgreSQL, announced with NOTIFY.

Each run has a channel, on which its process and whoever asks it listen, on connections of their own. A notification
only says that there is something to be seen, and both look every few seconds besides: one can be lost with its
connection. A lost connection is opened again, and ends nothing.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, cast

import anyio

from checkpoints.address import PostgresAddress
from checkpoints.errors import JournalError
from checkpoints.postgres_connection import hear
from checkpoints.queries import Queries
from checkpoints.records import Run
from checkpoints.requests import PATIENCE, CarryOut, Handed, Requests, TakenRequest
from checkpoints.store import Store

LOOK: Final = 3.0
"""Seconds between two looks without a notification."""

WORK: Final = 35.0
"""Seconds to wait for the answer to a request that was taken: a little more than it may take there."""

_AGAIN: Final = 2.0
"""Seconds after which a lost connection is opened again."""


class PostgresRequests(Requests):
    """The requests of a journal in PostgreSQL."""

    def __init__(self, store: Store, address: PostgresAddress) -> None:
        self._store = store
        self._address = address
        self._channel = f"carbon_migrate_{hashlib.sha256(address.schema.encode()).hexdigest()[:16]}"

    async def ask(self, run: Run, who: str, text: str, patience: float = PATIENCE) -> Handed:
        """Hand a request over, and wait for its answer."""
        async with self._listening(run) as heard:
            # Where it were cancelled, nobody would know whether there is a request to withdraw.
            with anyio.CancelScope(shield=True):
                request_id = await self._hand_over(run, who, text, patience)
            try:
                with anyio.move_on_after(patience):
                    return await self._answered(request_id, heard)
                if await self._withdraw(request_id):
                    return Handed()
                with anyio.move_on_after(WORK):
                    return await self._answered(request_id, heard)
                return Handed(is_taken=True)
            except BaseException:
                with anyio.CancelScope(shield=True), suppress(JournalError):
                    await self._withdraw(request_id)
                raise

    async def serve(self, run: Run, carry_out: CarryOut) -> None:
        """Carry out what is asked of the run, each request once, until cancelled."""
        async with self._listening(run) as heard:
            while True:
                heard.clear()
                # What is taken is answered, also where the run ends just then, as after a stop.
                with suppress(JournalError), anyio.CancelScope(shield=True):
                    for request in await self._take(run):
                        await self._answer(run, request, await carry_out(request))
                with anyio.move_on_after(LOOK):
                    await heard.wait()

    # ---- the table ----

    async def _hand_over(self, run: Run, who: str, text: str, patience: float) -> int:
        def work(db: Queries) -> int:
            db.write("forget_requests", run_id=run.run_id)
            # It expires by itself where its asker is killed.
            within = round(patience * 1000)
            row = db.one("new_request", run_id=run.run_id, epoch=run.epoch, who=who, request=text, within=within)
            self._announce(db, run)
            return int(row["request_id"])

        return await self._store.write(work)

    async def _take(self, run: Run) -> list[TakenRequest]:
        """Take what nobody has taken, withdrawn or waited too long for, if this process still has the run."""
        found = await self._store.write(lambda db: db.all("take_requests", run_id=run.run_id, epoch=run.epoch))
        taken = [TakenRequest(row["request_id"], row["epoch"], row["who"], row["request"]) for row in found]
        return sorted(taken, key=lambda one: one.request_id)

    async def _answer(self, run: Run, request: TakenRequest, answer: str) -> None:
        def work(db: Queries) -> None:
            db.write("answer_request", request_id=request.request_id, answer=answer)
            self._announce(db, run)

        await self._store.write(work)

    async def _answered(self, request_id: int, heard: asyncio.Event) -> Handed:
        """The answer, when it is there; it is not kept, as the run's history has the command."""
        while True:
            heard.clear()
            row = await self._store.read(lambda db: db.one("request", request_id=request_id))
            if row["answer"] is not None:
                with anyio.CancelScope(shield=True):
                    await self._store.write(lambda db: db.write("forget_request", request_id=request_id))
                return Handed(is_taken=True, answer=cast("str", row["answer"]))
            with anyio.move_on_after(LOOK):
                await heard.wait()

    async def _withdraw(self, request_id: int) -> bool:
        """Withdraw a request; False if it was taken before."""
        return bool(await self._store.write(lambda db: db.write("withdraw_request", request_id=request_id)))

    # ---- what is announced ----

    def _announce(self, db: Queries, run: Run) -> None:
        """Wake whoever listens for the run, when the transaction is committed."""
        db.write("announce", channel=self._channel_of(run))

    @asynccontextmanager
    async def _listening(self, run: Run) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever there may be something new to be seen of the run's requests."""
        heard = asyncio.Event()
        listening = asyncio.create_task(self._listen(self._channel_of(run), heard))
        try:
            yield heard
        finally:
            listening.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, channel: str, heard: asyncio.Event) -> None:
        """Set the event at each notification, over a connection that is opened again whenever it is lost."""
        while True:
            with suppress(JournalError):
                async for _ in hear(self._address, channel):
                    heard.set()
            await asyncio.sleep(_AGAIN)

    def _channel_of(self, run: Run) -> str:
        return f"{self._channel}_{run.run_id}"
