"""The stacks of a mock billing: writes are accepted first and applied later.

A write is tried behind a savepoint, so that it is refused or answered with its final answer, including the key of a
new object; then it is rolled back, and an entry in `ACCOUNT_STACK` (money) or `EVENTS_STACK_COMPACT` (the rest)
remains, with the call beside it. Entries are applied in order, at a given rate, each in the transaction that removes
it. Both are committed before any client gets an answer, so an answered entry is applied once, even if the server is
killed.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import structlog

from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import SqlStatement, sql_block
from lab.mock.chain import Chain, Chains, Result
from lab.mock.connection import MockConnection
from lab.mock.refusals import MockRefusal

BUSY_TEXT: Final = "Абонент обрабатывается, попробуйте позже"
AT_ONCE: Final = 256
"""Entries that are applied in one transaction."""

_ACCOUNTS: Final = "account_stack"
_EVENTS: Final = "events_stack_compact"
_WHOSE: Final = {_ACCOUNTS: "ACCOUNT_ID", _EVENTS: "ABONENT_ID"}
_MONEY: Final = frozenset({"FinanceOperations", "AdminAccounts"})
_LONGEST_WAIT: Final = 3600.0
_AFTER_A_FAILURE: Final = 1.0
_log = structlog.get_logger(__name__)


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
