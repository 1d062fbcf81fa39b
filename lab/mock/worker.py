"""The worker, which alone works on the mock billing's database.

It takes all waiting requests, carries each out behind a savepoint of its own, commits once, and then answers all of
them: under load many requests share the cost of a commit, and none waits for others to come. It works in the event
loop: a thread of its own would cost two switches a request, and a request takes no longer than these.

With a rate for the stacks, writes are accepted first and applied later: a write is tried behind its savepoint, so
that it is refused or answered with its final answer, including the key of a new object; then it is rolled back, and
an entry in `ACCOUNT_STACK` (money) or `EVENTS_STACK_COMPACT` (the rest) remains, with the call beside it. Entries
are applied in order, when they are due, each in the transaction that removes it. Both are committed before any
client gets an answer, so an answered entry is applied once, even if the server is killed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import structlog

from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow
from lab.mock.chain import Chain, Result, carry_out
from lab.mock.connection import MockConnection
from lab.mock.ledger import last_request
from lab.mock.objects import Work
from lab.mock.quirks import Quirks
from lab.mock.refusals import MockRefusal
from lab.mock.values import Stored

BUSY_TEXT: Final = "Абонент обрабатывается, попробуйте позже"

_AT_ONCE: Final = 256
"""Requests of a round, and entries that are applied in one transaction."""
_ACCOUNTS: Final = "account_stack"
_EVENTS: Final = "events_stack_compact"
_MODELS: Final = {_ACCOUNTS: "AccountStack", _EVENTS: "EventsStackCompact"}
_OF_MONEY: Final = frozenset({"FinanceOperations", "AdminAccounts"})
_LONGEST_WAIT: Final = 3600.0
_AFTER_A_FAILURE: Final = 1.0
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


class _Call(msgspec.Struct, frozen=True):
    """The content of an entry: the call, and the keys reserved for its objects."""

    chain: Chain
    keys: list[tuple[str, int]]


_CALL: Final = msgspec.json.Decoder(_Call)


class Worker:
    """The worker, from `start` to `stop`, in one event loop.

    `stack_rate` is in entries a second, 0 for effects at once; `busy` tells whether a write is refused while an entry
    concerns the same subscriber or account. `licence` is the number of subscribers that it may have, None for any.
    """

    def __init__(self, dsn: Dsn, quirks: Quirks, stack_rate: float) -> None:
        self.busy = True
        self.licence: int | None = None
        self.quirks = quirks
        self._stack_rate = stack_rate
        self._dsn = dsn
        self._waiting: list[tuple[Chain, Answer]] = []
        self._next: asyncio.Handle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._request = 0
        self._depths: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._rate = 0.0  # of the last look
        self._last = 0.0  # when the last entry was applied, or the first one came
        self._not_before = 0.0
        self._licensed: tuple[int | None, int] = (None, 0)

    @property
    def stack_rate(self) -> float:
        """Entries of the stacks that are applied a second; setting it to 0 applies all at once."""
        return self._stack_rate

    @stack_rate.setter
    def stack_rate(self, rate: float) -> None:
        self._stack_rate = rate
        self._work_soon()

    @property
    def stacks(self) -> dict[str, int]:
        """The number of waiting entries in each stack."""
        return {"accounts": self._depths[_ACCOUNTS], "events": self._depths[_EVENTS]}

    async def start(self) -> None:
        """Open the database; raises what `billing.database.database.attach` raises."""
        self._loop = asyncio.get_running_loop()
        # Opening may wait for a server.
        await asyncio.to_thread(self._open)
        self._tell_depth()
        self._work_soon()

    def _open(self) -> None:
        self._connection = connection = MockConnection(self._dsn)
        connection.run("rules", "set_scale", scale=str(self.quirks.money_scale))
        self._load()
        ((waiting,),) = connection.run("stack", "last_request")
        self._request = max(last_request(connection), int(waiting))
        connection.commit()

    def _load(self) -> None:
        self._depths = Counter(dict(self._connection.run("stack", "depths")))
        self._last = time.monotonic()

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

    def _work_soon(self) -> None:
        if self._next is None:
            self._next = self._loop.call_soon(self._work)

    def _work(self) -> None:
        """A round: the requests that wait, and the entries of the stacks that are due."""
        self._next = None
        if self._due is not None:
            self._due.cancel()
        jobs, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        try:
            applied = self._apply_due()
            answers = [self._one(chain) for chain, _ in jobs]
            # What was only read needs no commit: the transaction sees what others commit.
            if applied or any(chain.writes for chain, _ in jobs):
                self._connection.commit()
        except Exception:  # noqa: BLE001 - logged with its traceback
            # The database is gone or full: these changes are lost, and their clients get an error.
            _log.exception("the mock billing's database fails")
            self._not_before = time.monotonic() + _AFTER_A_FAILURE
            with suppress(Exception):
                self._connection.abandon()
                self._load()
            answers = [CRASH] * len(jobs)
        # Before any answer: a client that asks after its answer must find its entry counted.
        self._tell_depth()
        for (_, answer), said in zip(jobs, answers, strict=True):
            answer(said)
        if self._waiting:
            self._work_soon()
        patience = self._patience()
        self._due = None if patience is None else self._loop.call_later(patience, self._work)

    def _tell_depth(self) -> None:
        if self._depths.total():
            self._empty.clear()
        else:
            self._empty.set()

    def _one(self, chain: Chain) -> MockAnswer:
        self._request += 1
        connection, writes = self._connection, chain.writes
        if writes:
            connection.save_here()
            connection.reserve()
        try:
            result = self._effect(chain, self._request)
            # While entries wait, a write with an effect at once would overtake them.
            if writes and (self._stack_rate or self._depths.total()):
                self._postpone(chain, self._request)
            return MockAnswer(200, msgspec.json.encode({"call": chain.call, "result": result}))
        except MockRefusal as refusal:
            lists = chain.lists and self.quirks.list_errors == "list"
            answer = refused(chain.call, str(refusal), self.quirks.error_status, lists=lists)
        except Exception:  # noqa: BLE001 - the same
            _log.exception("a call to the mock billing fails", model=chain.model, call=chain.call)
            answer = CRASH
        if writes:
            connection.go_back()
        return answer

    def _effect(self, chain: Chain, request: int, *, late: bool = False) -> Result:
        return carry_out(
            self._connection, chain, request, quirks=self.quirks, admit=self._admit_subscriber, late=late
        )

    def _admit_subscriber(self) -> None:
        """Take a place of the licence for a new subscriber; raises `MockRefusal` where there is none.

        Subscribers that wait in a stack count: their calls were answered. They are counted anew only when the room
        that was found before is used up, for a billing of many subscribers is slow to count.
        """
        limit, (counted_for, room) = self.licence, self._licensed
        if limit is None:
            return
        if room <= 0 or limit != counted_for:
            ((taken,),) = self._connection.run("rules", "licensed")
            room = limit - int(taken)
        # Too few are left where the call is refused for another reason: then they are counted anew.
        self._licensed = limit, room - 1
        if room <= 0:
            raise MockRefusal("Превышена лицензия: достигнуто максимальное число абонентов")

    # ---- the stacks ------------------------------------------------------------------------------------------------

    def _patience(self) -> float | None:
        """Seconds until the next entry is due; None when no entry waits."""
        if not self._depths.total():
            return None
        now, rate = time.monotonic(), self._stack_rate
        if rate != self._rate:
            # Time at the previous rate does not count at the new one.
            self._rate, self._last = rate, now
        due = max(self._last + 1 / rate if rate else now, self._not_before)
        return min(max(due - now, 0.0), _LONGEST_WAIT)

    def _apply_due(self) -> bool:
        """Apply the entries that are due, in order; each is applied and removed in one step. False if none is."""
        if self._patience() != 0:
            return False
        now, rate = time.monotonic(), self._stack_rate
        count = min(max(int((now - self._last) * rate), 1) if rate else _AT_ONCE, _AT_ONCE)
        for row in self._connection.run("stack", "first", count=count):
            self._apply(row)
        self._last = max(self._last + count / rate, now - 1 / rate) if rate else now
        return True

    def _apply(self, row: DatabaseRow) -> None:
        entry, request, stack, key, text = row
        connection = self._connection
        connection.run("stack", "pop", entry=entry)
        if model := connection.models.get(_MODELS[stack]):
            connection.execute(f"delete from {model.table} where id = ?", (key,))  # noqa: S608 - names of ours
        self._depths[stack] -= 1
        call = _CALL.decode(text)
        connection.save_here()
        connection.reserve(call.keys)
        try:
            self._effect(call.chain, request, late=True)
        except MockRefusal as refusal:
            # The call was valid when it was answered; a later change made it invalid. The real billing does the same.
            _log.warning("an accepted call is refused when it is carried out", request=request, error=str(refusal))
            connection.go_back()
        except Exception:  # noqa: BLE001 - logged with its traceback
            # If it stayed in its stack it would fail again and again, and block all later entries.
            _log.exception("an accepted call fails when it is carried out", request=request)
            connection.go_back()
        finally:
            connection.reserve()

    def _postpone(self, chain: Chain, request: int) -> None:
        """Take back what a write has just done, for an entry in its stack; raises `MockRefusal` where that is busy.

        A call that changes no object of the API, such as a session of the cabinet, stays done.
        """
        connection = self._connection
        work = Work(connection, request, "", self.quirks)
        touched = connection.run("stack", "touched", request=request)
        concerned = [
            _concerned(work, *row) for row in touched if row[0] in work.models and work.models[row[0]].methods
        ]
        if not concerned:
            return
        keys = [*connection.given]
        connection.go_back()
        for _, account, abonent in concerned if self.busy else ():
            ((waiting,),) = connection.run("stack", "waiting", abonent=abonent, account=account)
            if waiting:
                raise MockRefusal(BUSY_TEXT)
        if not self._depths.total():
            self._last = time.monotonic()
        stack, account, abonent = concerned[0]
        asked = work.now.replace(microsecond=0)
        if model := work.models.get(_MODELS[stack]):
            values = {"account_id": account, "abonent_id": abonent, "created": asked}
            key = work.insert(model, {name: value for name, value in values.items() if name in model.fields}).key
        else:
            key = 0  # this billing has no such table
        connection.run(
            "stack",
            "push",
            request=request,
            asked=asked,
            stack=stack,
            id=key,
            account=account,
            abonent=abonent,
            enrols=int(chain.enrols),
            call=msgspec.json.encode(_Call(chain, keys)).decode(),
        )
        self._depths[stack] += 1


def _concerned(work: Work, model: str, key: int, subject: int) -> tuple[str, Stored, Stored]:
    """The stack of a change, and the account and the subscriber that it concerns, which may be gone by now."""
    stack = _ACCOUNTS if model in _OF_MONEY else _EVENTS
    if model == "AdminAccounts":
        return stack, key, None
    abonent: Stored = None
    if model == "Abonents":
        abonent = key
    elif work.models[model].subject == "abonent_id":
        abonent = subject
    elif "abonent_id" in work.models[model].fields and (found := work.seen(model, key)):
        abonent = found.stored["abonent_id"]
    owner = work.seen("Abonents", abonent) if abonent is not None else None
    return stack, owner.stored.get("account_id") if owner else None, abonent


def refused(call: str, error: str, status: int = 200, *, lists: bool = False) -> MockAnswer:
    """The answer to a refused call: the error is in the same object, with HTTP 200 [D, ?].

    Of an answer that would have been a list it is a list of texts, of which the last one is the message [I].
    """
    said = ["Traceback (most recent call last)", error] if lists else error
    return MockAnswer(status, msgspec.json.encode({"call": call, "error": said}))
