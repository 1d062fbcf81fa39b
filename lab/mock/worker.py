"""The worker, which alone works on the mock billing's database.

It takes all waiting requests, carries each out behind a savepoint of its own, commits once, and then answers all of
them: under load many requests share the cost of a commit, and none waits for others to come. With a rate for the
stacks, writes wait there, and the worker applies them when they are due. It works in the event loop: a thread of its
own would cost two switches a request, and a request takes no longer than these.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import structlog

from billing.database.dsn import Dsn
from lab.mock.chain import Chain, Chains
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


CRASH: Final = MockAnswer(
    500, b"<html><head><title>Server Error (500)</title></head><body>Server Error</body></html>"
)


Answer: TypeAlias = Callable[[MockAnswer], None]


class Worker:
    """The worker, from `start` to `stop`, in one event loop.

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
        self._waiting: list[tuple[Chain, Answer]] = []
        self._next: asyncio.Handle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._request = 0
        self._empty = asyncio.Event()

    @property
    def stack_rate(self) -> float:
        """Entries of the stacks that are applied a second; setting it to 0 applies all at once."""
        return self._stack_rate

    @stack_rate.setter
    def stack_rate(self, rate: float) -> None:
        self._stack_rate = rate
        self._work_soon()

    async def start(self) -> None:
        """Open the database; raises what `billing.database.database.attach` raises."""
        self._loop = asyncio.get_running_loop()
        # Opening may wait for a server.
        await asyncio.to_thread(self._open)
        self._set_depth()
        self._work_soon()

    async def stop(self) -> None:
        """Carry out all requests so far, and close the database."""
        while self._waiting:
            self._work()
        for handle in (self._next, self._due):
            if handle is not None:
                handle.cancel()
        await asyncio.to_thread(self._connection.close)

    async def wait_for_stacks(self) -> None:
        """Wait until the stacks are empty."""
        await self._empty.wait()

    def do(self, chain: Chain, answer: Answer) -> None:
        """Carry out a chain; `answer` is called once its effect is committed."""
        self._waiting.append((chain, answer))
        self._work_soon()

    def _open(self) -> None:
        self._connection = connection = ReservingConnection(self._dsn)
        self._chains = Chains(connection, self._quirks, self.licence)
        set_scale(connection, self._quirks.money_scale)
        self._stack = stack = Stack(connection, self._chains)
        stack.load()
        self._request = max(last_request(connection), stack.last_request())
        connection.commit()

    def _work_soon(self) -> None:
        if self._next is None:
            self._next = self._loop.call_soon(self._work)

    def _work(self) -> None:
        """A round: the requests that wait, and the entries of the stacks that are due."""
        self._next = None
        if self._due is not None:
            self._due.cancel()
        jobs, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        answers = self._carry_out([chain for chain, _ in jobs])
        # Before any answer: a client that asks after its answer must find its entry counted.
        self._set_depth()
        for (_, answer), said in zip(jobs, answers, strict=True):
            answer(said)
        if self._waiting:
            self._work_soon()
        patience = self._stack.wait(self._stack_rate)
        self._due = None if patience is None else self._loop.call_later(patience, self._work)

    def _set_depth(self) -> None:
        self.stacks = self._stack.depth
        if self._stack.waits:
            self._empty.clear()
        else:
            self._empty.set()

    def _carry_out(self, chains: list[Chain]) -> list[MockAnswer]:
        try:
            applied = self._stack.apply_due(self._stack_rate)
            answers = [self._one(chain) for chain in chains]
            # What was only read needs no commit: the transaction sees what others commit.
            if applied or any(chain.writes for chain in chains):
                self._connection.commit()
        except Exception:  # noqa: BLE001 - logged with its traceback
            # The database is gone or full: these changes are lost, and their clients get an error.
            _log.exception("the mock billing's database fails")
            self._stack.failed()
            with suppress(Exception):
                self._connection.abandon()
                self._stack.load()
            return [CRASH] * len(chains)
        return answers

    def _one(self, chain: Chain) -> MockAnswer:
        self._request += 1
        writes = chain.writes
        if writes:
            self._connection.save_here()
        try:
            # While entries wait, a write with an effect at once would overtake them.
            if writes and (self._stack_rate or self._stack.waits):
                result = self._stack.accept(chain, self._request, busy=self.busy)
            else:
                result = self._chains.carry_out(chain, self._request)
            return MockAnswer(200, msgspec.json.encode({"call": chain.call, "result": result}))
        except MockRefusal as refusal:
            if writes:
                self._connection.go_back()
            return refused(
                chain.call,
                str(refusal),
                self._quirks.error_status,
                lists=chain.lists and self._quirks.list_errors == "list",
            )
        except Exception:  # noqa: BLE001 - the same
            _log.exception("a call to the mock billing fails", model=chain.model, call=chain.call)
            if writes:
                self._connection.go_back()
            return CRASH


def refused(call: str, error: str, status: int = 200, *, lists: bool = False) -> MockAnswer:
    """The answer to a refused call: the error is in the same object, with HTTP 200 [D, ?].

    Of an answer that would have been a list it is a list of texts, of which the last one is the message [I].
    """
    said = ["Traceback (most recent call last)", error] if lists else error
    return MockAnswer(status, msgspec.json.encode({"call": call, "error": said}))
