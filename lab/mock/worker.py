"""The worker: the single thread that works on the mock billing's database.

It takes all waiting requests, carries each out behind a savepoint of its own, commits once, and then answers all of
them: under load many requests share the cost of a commit, and none waits for others to come. With a rate for the
stacks, writes wait there, and the worker applies them when they are due.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Final

import msgspec
import structlog

from billing.database.dsn import Dsn
from lab.mock.chain import Chain, Chains
from lab.mock.connection import MockConnection
from lab.mock.ledger import last_request
from lab.mock.licence import Licence
from lab.mock.quirks import Quirks
from lab.mock.refusals import MockRefusal
from lab.mock.rules import set_scale
from lab.mock.stack import ReservingConnection, Stack, Stacks

_AT_ONCE: Final = 256
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """The body of an answer: JSON, or a page of a crash when `status` is 500."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Job:
    chain: Chain
    future: asyncio.Future[MockAnswer]


class _Signal(Enum):
    """Other messages to the thread."""

    LOOK = "something has been set anew"
    END = "there will be no more"


CRASH: Final = MockAnswer(
    500, b"<html><head><title>Server Error (500)</title></head><body>Server Error</body></html>"
)


class Worker:
    """The thread, from `start` to `stop`; `do` may be awaited by any number of tasks of one event loop.

    `stack_rate` is in entries a second, 0 for effects at once; `busy` tells whether a write is refused while an entry
    concerns the same subscriber or account.
    """

    def __init__(
        self, dsn: Dsn, quirks: Quirks, licence: Licence, *, stack_rate: float = 0.0, busy: bool = True
    ) -> None:
        self.busy = busy
        self.licence = licence
        self.stacks = Stacks(0, 0)
        self._stack_rate = stack_rate
        self._dsn = dsn
        self._quirks = quirks
        self._jobs: SimpleQueue[_Job | _Signal] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._request = 0
        self._empty = asyncio.Event()

    @property
    def stack_rate(self) -> float:
        """Entries of the stacks that are applied a second; setting it to 0 applies all at once."""
        return self._stack_rate

    @stack_rate.setter
    def stack_rate(self, rate: float) -> None:
        self._stack_rate = rate
        self._jobs.put(_Signal.LOOK)

    async def start(self) -> None:
        """Open the database; raises what `billing.database.database.attach` raises."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, args=(opened,), name="mock billing", daemon=True)
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Carry out all requests so far, and close the database."""
        if self._thread is not None:
            self._jobs.put(_Signal.END)
            await asyncio.to_thread(self._thread.join)

    async def wait_for_stacks(self) -> None:
        """Wait until the stacks are empty."""
        await self._empty.wait()

    async def do(self, chain: Chain) -> MockAnswer:
        """Carry out a chain; returns its answer once its effect is committed."""
        assert self._loop is not None  # noqa: S101 - set by `start`
        job = _Job(chain, self._loop.create_future())
        self._jobs.put(job)
        return await job.future

    def _work(self, opened: asyncio.Future[None]) -> None:
        assert self._loop is not None  # noqa: S101 - set by `start`
        try:
            connection = ReservingConnection(self._dsn)
            chains = Chains(connection, self._quirks, self.licence)
            set_scale(connection, self._quirks.money_scale)
            stack = Stack(connection, chains)
            stack.load()
            self._request = max(last_request(connection), stack.last_request())
            connection.commit()
        except Exception as error:  # noqa: BLE001 - `start` raises it
            self._call(_fail, opened, error)
            return
        self._call(self._set_depth, stack.depth)
        self._call(_succeed, opened, None)
        try:
            more = True
            while more:
                jobs, more = self._waiting(stack.wait(self._stack_rate))
                answers = self._carry_out(connection, chains, stack, jobs)
                # Before any answer: a client that asks after its answer must find its entry counted.
                self._call(self._set_depth, stack.depth)
                self._call(_answer, jobs, answers)
        finally:
            connection.close()

    def _set_depth(self, stacks: Stacks) -> None:
        self.stacks = stacks
        if stacks.accounts or stacks.events:
            self._empty.clear()
        else:
            self._empty.set()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None  # noqa: S101 - set by `start`
        # A closed loop has no clients that wait for answers.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _waiting(self, patience: float | None) -> tuple[list[_Job], bool]:
        """All waiting jobs, and whether more may come.

        Waits for the first one, at most `patience` seconds, or without limit where that is None.
        """
        jobs: list[_Job] = []
        with suppress(Empty):
            job = self._jobs.get(timeout=patience)
            while job is not _Signal.END:
                if isinstance(job, _Job):
                    jobs.append(job)
                if len(jobs) == _AT_ONCE:
                    return jobs, True
                job = self._jobs.get_nowait()
            return jobs, False
        return jobs, True

    def _carry_out(
        self, connection: MockConnection, chains: Chains, stack: Stack, jobs: list[_Job]
    ) -> list[MockAnswer]:
        try:
            stack.apply_due(self._stack_rate)
            answers = [self._one(connection, chains, stack, job.chain) for job in jobs]
            connection.commit()
        except Exception:  # noqa: BLE001 - logged with its traceback
            # The database is gone or full: these changes are lost, and their clients get an error.
            _log.exception("the mock billing's database fails")
            stack.failed()
            with suppress(Exception):
                connection.abandon()
                stack.load()
            return [CRASH] * len(jobs)
        return answers

    def _one(self, connection: MockConnection, chains: Chains, stack: Stack, chain: Chain) -> MockAnswer:
        self._request += 1
        if chain.writes:
            connection.save_here()
        try:
            # While entries wait, a write with an effect at once would overtake them.
            if chain.writes and (self._stack_rate or stack.waits):
                result = stack.accept(chain, self._request, busy=self.busy)
            else:
                result = chains.carry_out(chain, self._request)
            return MockAnswer(200, msgspec.json.encode({"call": chain.call, "result": result}))
        except MockRefusal as refusal:
            if chain.writes:
                connection.go_back()
            return refused(
                chain.call,
                str(refusal),
                self._quirks.error_status,
                lists=chain.lists and self._quirks.list_errors == "list",
            )
        except Exception:  # noqa: BLE001 - the same
            _log.exception("a call to the mock billing fails", model=chain.model, call=chain.call)
            if chain.writes:
                connection.go_back()
            return CRASH


def refused(call: str, error: str, status: int = 200, *, lists: bool = False) -> MockAnswer:
    """The answer to a refused call: the error is in the same object, with HTTP 200 [D, ?].

    Of an answer that would have been a list it is a list of texts, of which the last one is the message [I].
    """
    said = ["Traceback (most recent call last)", error] if lists else error
    return MockAnswer(status, msgspec.json.encode({"call": call, "error": said}))


def _succeed(future: asyncio.Future[None], result: None) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _answer(jobs: list[_Job], answers: list[MockAnswer]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if not job.future.done():
            job.future.set_result(answer)
