"""The worker, which alone works on the mock billing's database.

It takes all waiting requests, carries each out behind a savepoint of its own, commits once, and then answers all of
them: under load many requests share the cost of a commit, and none waits for others to come. With a rate for the
stacks, writes wait there, and the worker applies them when they are due. It works in the event loop: a thread of its
own would cost two switches a request, and a request takes no longer than these.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
import structlog

from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import SqlStatement, sql_block
from lab.mock.chain import Chain, Chains, Result
from lab.mock.connection import MockConnection
from lab.mock.ledger import last_request
from lab.mock.licence import Licence
from lab.mock.quirks import Quirks
from lab.mock.refusals import MockRefusal
from lab.mock.rules import set_scale

# ---- the stacks of a mock billing ---------------------------------------------------------------------------------
# Writes are accepted first and applied later.
#
# A write is tried behind a savepoint, so that it is refused or answered with its final answer, including the key of a
# new object; then it is rolled back, and an entry in `ACCOUNT_STACK` (money) or `EVENTS_STACK_COMPACT` (the rest)
# remains, with the call beside it. Entries are applied in order, at a given rate, each in the transaction that
# removes it. Both are committed before any client gets an answer, so an answered entry is applied once, even if the
# server is killed.


BUSY_TEXT: Final = "Абонент обрабатывается, попробуйте позже"
AT_ONCE: Final = 256
"""Entries that are applied in one transaction."""

_ACCOUNTS: Final = "account_stack"
_EVENTS: Final = "events_stack_compact"
_WHOSE: Final = {_ACCOUNTS: "ACCOUNT_ID", _EVENTS: "ABONENT_ID"}
_MONEY: Final = frozenset({"FinanceOperations", "AdminAccounts"})
_LONGEST_WAIT: Final = 3600.0
_AFTER_A_FAILURE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Stacks:
    """The number of waiting entries in each stack."""

    accounts: int
    events: int


class ReservingConnection(MockConnection):
    """A connection that can reuse keys: those that were reserved for the objects of a call.

    `given` are the generators and keys used since `reserve`.
    """

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(dsn)
        self.given: list[tuple[str, int]] = []
        self._reserved: dict[str, deque[int]] = {}

    def reserve(self, keys: list[tuple[str, int]]) -> None:
        """Use these keys first, each for its generator."""
        self.given = []
        self._reserved = {}
        for generator, key in keys:
            self._reserved.setdefault(generator, deque()).append(key)

    def next_key(self, generator: str) -> int:
        """The next key of a generator: a reserved one, or its next value."""
        waiting = self._reserved.get(generator)
        key = waiting.popleft() if waiting else super().next_key(generator)
        self.given.append((generator, key))
        return key


class _Call(msgspec.Struct, frozen=True):
    """The content of an entry: the call, and the keys reserved for its objects."""

    chain: Chain
    keys: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class _Concerned:
    """The subject of a change, as far as it is known, and the stack that it goes through."""

    stack: str
    account: int | None
    abonent: int | None


_CALL: Final = msgspec.json.Decoder(_Call)


class Stack:
    """The waiting entries, in the thread and on the connection of the worker; the caller commits."""

    def __init__(
        self, connection: ReservingConnection, chains: Chains, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._chains = chains
        self._clock = clock
        self._depths: Counter[str] = Counter()
        self._rate = 0.0
        self._last = 0.0  # when the last entry was applied, or the first one came
        self._not_before = 0.0

    def load(self) -> None:
        """Read the tables: at the start, and after a rollback."""
        self._depths = Counter(dict(self._connection.run(_sql("depths"), {})))
        self._last = self._clock()

    def failed(self) -> None:
        """Delay the next entry after a database failure."""
        self._not_before = self._clock() + _AFTER_A_FAILURE

    @property
    def depth(self) -> Stacks:
        """The number of waiting entries."""
        return Stacks(self._depths[_ACCOUNTS], self._depths[_EVENTS])

    @property
    def waits(self) -> bool:
        """Whether an entry waits."""
        return self._depths.total() > 0

    def last_request(self) -> int:
        """The highest request number of the waiting entries; 0 for none."""
        ((number,),) = self._connection.run(_sql("last_request"), {})
        return int(number)

    def wait(self, rate: float) -> float | None:
        """Seconds until the next entry is due at a rate, in entries a second, 0 for all at once.

        None when no entry waits.
        """
        if not self.waits:
            return None
        now = self._clock()
        if rate != self._rate:
            # Time at the previous rate does not count at the new one.
            self._rate, self._last = rate, now
        due = max(self._last + 1 / rate if rate else now, self._not_before)
        return min(max(due - now, 0.0), _LONGEST_WAIT)

    def apply_due(self, rate: float) -> bool:
        """Apply the entries that are due, in order; each is applied and removed in one step. False if none is."""
        if self.wait(rate) != 0:
            return False
        now = self._clock()
        count = min(max(int((now - self._last) * rate), 1) if rate else AT_ONCE, AT_ONCE)
        for row in self._connection.run(_sql("first"), {"count": count}):
            self._apply(row)
        self._last = max(self._last + count / rate, now - 1 / rate) if rate else now
        return True

    def accept(self, chain: Chain, request: int, *, busy: bool) -> Result:
        """The answer to a write that is applied later; raises `MockRefusal`.

        With `busy` it is refused while an entry concerns the same subscriber or account. A call that changes no
        object of the API, such as a session of the cabinet, is done at once. The caller has set a savepoint.
        """
        connection = self._connection
        connection.reserve([])
        result = self._chains.carry_out(chain, request)
        touched = connection.run(_sql("touched"), {"request": request})
        concerned = [self._concerned(*row) for row in touched if self._is_object(row[0])]
        if not concerned:
            return result
        keys = list(connection.given)
        connection.go_back()
        if busy and any(map(self._waits, concerned)):
            raise MockRefusal(BUSY_TEXT)
        self._push(concerned[0], _Call(chain, keys), request)
        return result

    def _push(self, concerned: _Concerned, call: _Call, request: int) -> None:
        connection, stack = self._connection, concerned.stack
        if not self.waits:
            self._last = self._clock()
        key = connection.next_key(f"gen_{stack}_id")
        asked = datetime.now().replace(microsecond=0)  # noqa: DTZ005 - the database's dates have no zone
        whose = concerned.account if stack == _ACCOUNTS else concerned.abonent
        if pushing := self._pushing(stack):
            connection.run(_sql(pushing), {"id": key, "key": whose, "asked": asked})
        connection.run(
            _sql("push"),
            {
                "request": request,
                "asked": asked,
                "stack": stack,
                "id": key,
                "account": concerned.account,
                "abonent": concerned.abonent,
                "enrols": int(call.chain.enrols),
                "call": msgspec.json.encode(call).decode(),
            },
        )
        self._depths[stack] += 1

    def _pushing(self, stack: str) -> str:
        """The block that adds an entry to a stack's table, "" where this billing has none."""
        if not self._connection.schema.has(stack.upper()):
            return ""
        return f"push_{stack}" if self._connection.schema.has(stack.upper(), _WHOSE[stack]) else f"push_{stack}_bare"

    def _apply(self, row: DatabaseRow) -> None:
        entry, request, stack, key, text = row
        connection = self._connection
        connection.run(_sql("pop"), {"entry": entry})
        if connection.schema.has(stack.upper()):
            connection.run(_sql(f"pop_{stack}"), {"id": key})
        self._depths[stack] -= 1
        call = _CALL.decode(text)
        connection.save_here()
        connection.reserve(call.keys)
        try:
            self._chains.carry_out(call.chain, request, late=True)
        except MockRefusal as refusal:
            # The call was valid when it was answered; a later change made it invalid. The real billing does the same.
            _log.warning("an accepted call is refused when it is carried out", request=request, error=str(refusal))
            connection.go_back()
        except Exception:  # noqa: BLE001 - logged with its traceback
            # If it stayed in its stack it would fail again and again, and block all later entries.
            _log.exception("an accepted call fails when it is carried out", request=request)
            connection.go_back()
        finally:
            connection.reserve([])

    def _concerned(self, model: str, table: str, key: int, subject: int) -> _Concerned:
        """The subscriber and the account of a changed object, which may be gone by now."""
        stack = _ACCOUNTS if model in _MONEY else _EVENTS
        if model == "AdminAccounts":
            return _Concerned(stack, key, None)
        known = self._connection.models.get(model)
        abonent: int | None = None
        if model == "Abonents":
            abonent = key
        elif known is not None and known.subject == "abonent_id":
            abonent = subject
        elif known is not None and "abonent_id" in known.fields:
            found = self._connection.execute(
                f"select abonent_id from {table} where {known.key.column} = ?",  # noqa: S608 - names of ours
                (key,),
            )
            abonent = found[0][0] if found else None
        rows = self._connection.run(_sql("of_abonent"), {"key": abonent}) if abonent is not None else []
        return _Concerned(stack, rows[0][1] if rows else None, abonent)

    def _is_object(self, model: str) -> bool:
        known = self._connection.models.get(model)
        return known is not None and bool(known.methods)

    def _waits(self, concerned: _Concerned) -> bool:
        ((count,),) = self._connection.run(
            _sql("waiting"), {"abonent": concerned.abonent, "account": concerned.account}
        )
        return bool(count)


def _sql(name: str) -> SqlStatement:
    return sql_block("stack", name, "lab.mock.sql")


# ---- the worker, which alone works on the mock billing's database -------------------------------------------------


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
