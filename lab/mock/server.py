"""The mock billing over HTTP.

    POST /rest_api/v2/<Model>/    as the real one, or failing as the fault plan has it
    GET  /mock/health             {"status": "ok"}
    GET  /mock/ledger             the effects so far: [{"model": …, "effects": …, "subjects": …, "repeated": {…}}]

What watches and changes it while it serves is on a port of its own; invalid requests get HTTP 400 and {"error": …}:

    GET /faults    the fault plan, and how often each fault was injected
    PUT /faults    another plan, as TOML; an empty body clears it
    GET /ledger    {"totals": as /mock/ledger,
                   "effects": [{"model", "subject", "key", "keys", "times", "requests"}],
                   "next": what `?after=` gets for the page that follows, or null}; `?limit=` effects a page
    GET /state     in flight, waiting, slots, queue, latency, stacks, licence, requests
    PUT /state     any of {"slots": 4, "queue": 8, "latency": 0.02, "stack_rate": 5, "busy": true,
                   "licence": 1000}; a queue or a licence of null has no bound

A request waits for a slot, takes `latency` seconds, and then has its effect, even when the client has gone: the
real one does not notice that either. An effect at the very end is the hardest case for a look-up after a time-out.

In a round it takes all requests that have their slot, carries each out behind a savepoint of its own, commits once,
and then answers all of them: under load many requests share the cost of a commit, and none waits for others to come.
It works in the event loop: a thread of its own would cost two switches a request, and a request takes no longer than
these.

With a rate for the stacks, writes are accepted first and applied later: a write is tried behind its savepoint, so
that it is refused or answered with its final answer, including the key of a new object; then it is rolled back, and
an entry in `ACCOUNT_STACK` (money) or `EVENTS_STACK_COMPACT` (the rest) remains, with the call beside it. Entries
are applied in order, when they are due, each in the transaction that removes it. Both are committed before any
client gets an answer, so an answered entry is applied once, even if the server is killed.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby, islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypedDict, Unpack

import anyio
import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import Value, sql_block
from billing.errors import SettingsError
from lab.mock.chain import Chain, Work, carry_out, parse
from lab.mock.connection import MockConnection, MockRefusal, Stored
from lab.mock.facts import Quirks, describe_quirks
from lab.mock.faults import (
    CRASH,
    FaultPlan,
    Injector,
    MockAnswer,
    form_of,
    nearest,
    page,
    read_plan,
    refused,
    respond,
)
from lab.mock.port import Port, as_json, serving, telling

# ---- a capacity that changes over time ----------------------------------------------------------------------------

Schedule: TypeAlias = tuple[tuple[float, int], ...]
"""Numbers of slots over time: the start of each, in seconds since the server began, in ascending order."""

_FOREVER: Final = 1e9


def read_schedule(text: str) -> Schedule:
    """A schedule from `SECONDS:SLOTS,…`, as `0:8,30:4,60:8`; raises SettingsError."""
    steps: list[tuple[float, int]] = []
    for part in text.split(","):
        moment, colon, slots = part.strip().partition(":")
        try:
            steps.append((float(moment), int(slots)))
        except ValueError:
            colon = ""
        if not colon or not 0 <= steps[-1][0] < _FOREVER or steps[-1][1] < 1:
            raise SettingsError("the capacity {part} is not SECONDS:SLOTS, as 30:4", part=repr(part.strip()))
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(steps)):
        raise SettingsError("the capacity {text} goes back in time: its seconds are to ascend", text=repr(text))
    return tuple(steps)


# ---- the ledger ---------------------------------------------------------------------------------------------------
# Which request changed what, written in the transaction of the change itself. Tests judge by it: it holds what the
# billing did, not what it answered. Effects are counted by `subject`: the subscriber of an operation or a service,
# otherwise the changed object itself.


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads the ledger of a mock billing, from any process."""

    database: Database

    def totals(self) -> list[dict[str, Any]]:
        """The effects so far by model: their number, that of their subjects, and the times of those with several."""
        totals = [dict(zip(("model", "effects", "subjects"), row, strict=True)) for row in self._rows("totals")]
        for total in totals:
            total["repeated"] = {one: times for one, times in self.effects(total["model"]).items() if times > 1}
        return totals

    def effects(self, model: str) -> dict[int, int]:
        return dict(self._rows("effects", model=model))

    def by_subject(self, after: tuple[str, int], limit: int) -> Iterator[dict[str, Any]]:
        """The effects sorted by model and subject, starting after the given subject, each with its requests in order.

        `keys` are those of the changed objects, one for each effect; `key` is the first of them.
        """
        rows = self._rows("by_subject", model=after[0], subject=after[1])
        for (model, subject), group in islice(groupby(rows, key=itemgetter(0, 1)), limit):
            keys, requests = zip(*((key, request) for _, _, key, request in group), strict=True)
            of_all = {"model": model, "subject": subject, "key": keys[0], "times": len(keys)}
            yield of_all | {"keys": keys, "requests": requests}

    def _rows(self, block: str, **values: Value) -> Iterator[DatabaseRow]:
        return self.database.query(sql_block("statements", block, "lab.mock.sql"), values)


# ---- the billing --------------------------------------------------------------------------------------------------

PAGE: Final = 1000
"""Effects on a page of the ledger, by default."""

_LONGEST_PAGE: Final = 100_000
_LARGEST_BODY: Final = 1024 * 1024
_BETWEEN_LOOKS: Final = 0.01

_AT_ONCE: Final = 256
"""Requests of a round, and entries that are applied in one transaction."""
_ACCOUNTS: Final = "account_stack"
_EVENTS: Final = "events_stack_compact"
_MODELS: Final = {_ACCOUNTS: "AccountStack", _EVENTS: "EventsStackCompact"}
_OF_MONEY: Final = frozenset({"FinanceOperations", "AdminAccounts"})
_LONGEST_WAIT: Final = 3600.0
_AFTER_A_FAILURE: Final = 1.0
_log = structlog.get_logger(__name__)


class _Call(msgspec.Struct, frozen=True):
    """The content of an entry: the call, and the keys reserved for its objects."""

    chain: Chain
    keys: list[tuple[str, int]]


_CALL: Final = msgspec.json.Decoder(_Call)


class Traits(TypedDict, total=False):
    """How a mock billing serves; changed while it runs by the control endpoint, or in its event loop.

    `slots` is the number of requests in work, and `queue` of those that may wait for a slot, None for any number: a
    small threaded server rejects the rest at once. `latency` is in seconds. With a `stack_rate`, in entries a second,
    a write has its effect after its answer, and `busy` refuses conflicting writes until then; at 0 all is applied at
    once. `licence` is the number of subscribers that it may have.
    """

    slots: Annotated[int, msgspec.Meta(ge=1)]
    queue: Annotated[int, msgspec.Meta(ge=0)] | None
    latency: Annotated[float, msgspec.Meta(ge=0)]
    stack_rate: Annotated[float, msgspec.Meta(ge=0)]
    busy: bool
    licence: Annotated[int, msgspec.Meta(ge=0)] | None


class MockBilling:
    """A running mock billing; its traits are attributes.

    `url` and `control_url` are its addresses, the latter empty without a control endpoint.
    """

    slots: int = 64
    queue: int | None = None
    latency: float = 0.0
    busy: bool = True
    licence: int | None = None
    _stack_rate: float = 0.0

    def __init__(self, dsn: Dsn, faults: Injector, quirks: Quirks, traits: Traits) -> None:
        self.faults = faults
        self.quirks = quirks
        self.url = self.control_url = ""
        self.port: Port | None = None
        self.database = Database(dsn)
        self.ledger = Ledger(self.database)
        self._dsn = dsn
        self._loop = asyncio.get_running_loop()
        # Requests that wait for a slot, and those that have one and wait for the next round.
        self._queued: deque[tuple[str, Mapping[str, str], asyncio.Future[MockAnswer]]] = deque()
        self._waiting: list[tuple[Chain, asyncio.Future[MockAnswer]]] = []
        self._in_flight = self._requests = self._turned_away = 0
        self._request = 0  # the number of the last one in the ledger
        self._idle, self._empty = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._next: asyncio.Handle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._depths: Counter[str] = Counter()
        self._rate = 0.0  # of the last look
        self._last = 0.0  # when the last entry was applied, or the first one came
        self._not_before = 0.0
        self._set(traits)

    @property
    def stack_rate(self) -> float:
        return self._stack_rate

    @stack_rate.setter
    def stack_rate(self, rate: float) -> None:
        self._stack_rate = rate
        if self._due is not None:
            # An entry waits for its moment at the rate before.
            self._work_soon()

    def application(self, middlewares: Sequence[Middleware]) -> web.Application:
        application = web.Application(middlewares=middlewares, client_max_size=_LARGEST_BODY)
        application.router.add_post("/rest_api/v2/{model}/", self._api)
        application.router.add_get("/mock/health", telling(lambda: {"status": "ok"}))
        application.router.add_get("/mock/ledger", self._summary)
        return application

    def control(self) -> web.Application:
        application = web.Application(middlewares=[_answer_control_error])
        for path, tell, change in (
            ("/faults", self.faults.report, lambda body: self.faults.set(read_plan(body.decode()))),
            ("/state", self.state, self._set_state),
        ):
            application.router.add_get(path, telling(tell))
            application.router.add_put(path, telling(tell, change))
        application.router.add_get("/ledger", self._ledger_page)
        return application

    def state(self) -> dict[str, object]:
        return {
            "in_flight": self._in_flight,
            "waiting": len(self._queued),
            **{name: getattr(self, name) for name in Traits.__annotations__},
            "quirks": describe_quirks(asdict(self.quirks)),
            "stack": {"accounts": self._depths[_ACCOUNTS], "events": self._depths[_EVENTS]},
            "requests": self._requests,
            "turned_away": self._turned_away,
        }

    async def wait_for_requests(self) -> None:
        """Wait until all requests so far have had their effect."""
        await self._idle.wait()

    async def wait_for_clients(self) -> None:
        """Wait until all clients have gone, and all their requests have had their effect."""
        while self.port is not None and self.port.connections:  # noqa: ASYNC110 - aiohttp tells nobody of a close
            await asyncio.sleep(_BETWEEN_LOOKS)
        await self.wait_for_requests()

    async def follow(self, capacity: Schedule) -> None:
        """Change the slots at their times; returns after the last change."""
        clock = self._loop.time
        began = clock()
        for since, wanted in capacity:
            if (wait := since - (clock() - began)) > 0:
                await asyncio.sleep(wait)
            self.slots = wanted
            self._admit()

    # ---- the way of a request ------------------------------------------------------------------------------------

    async def _api(self, request: web.Request) -> web.StreamResponse:
        self._requests += 1
        carry_out = partial(self._carry_out, request.match_info["model"], form_of(await request.read()))
        if not self.faults.plan.faults:
            return respond(await carry_out())
        return await self.faults.serve(request, carry_out)

    def _carry_out(self, model: str, form: Mapping[str, str]) -> asyncio.Future[MockAnswer]:
        """The answer; the effect comes even if nobody waits for it any more."""
        answer: asyncio.Future[MockAnswer] = self._loop.create_future()
        if self.queue is not None and self._in_flight >= self.slots and len(self._queued) >= self.queue:
            self._turned_away += 1
            answer.set_result(page(web.HTTPServiceUnavailable.status_code))
        else:
            self._idle.clear()
            self._queued.append((model, form, answer))
            self._admit()
        return answer

    def _admit(self) -> None:
        while self._queued and self._in_flight < self.slots:
            self._in_flight += 1
            request = self._queued.popleft()
            if self.latency:
                self._loop.call_later(self.latency, self._parse, *request)
            else:
                self._parse(*request)

    def _parse(self, model: str, form: Mapping[str, str], answer: asyncio.Future[MockAnswer]) -> None:
        try:
            chain = parse(model, form)
        except MockRefusal as refusal:
            answered = refused("", str(refusal), self.quirks.error_status)
            self._loop.call_soon(self._answer, answer, answered)
        else:
            self._waiting.append((chain, answer))
            self._work_soon()

    def _answer(self, answer: asyncio.Future[MockAnswer], said: MockAnswer) -> None:
        self._in_flight -= 1
        self._admit()
        if not self._in_flight:
            self._idle.set()
        # Its handler may have been cancelled.
        if not answer.done():
            answer.set_result(said)

    # ---- rounds: the requests that wait are carried out together -------------------------------------------------

    async def start(self) -> None:
        """Open the database; raises what `billing.database.database.attach` raises."""
        # Opening may wait for a server.
        await asyncio.to_thread(self._open)
        self._work_soon()

    def _open(self) -> None:
        self._connection = connection = MockConnection(self._dsn)
        connection.run("set_scale", scale=str(self.quirks.money_scale))
        self._load()
        ((self._request,),) = connection.run("last_request")
        connection.commit()

    def _load(self) -> None:
        self._depths = Counter(dict(self._connection.run("depths")))
        self._last = time.monotonic()

    async def stop(self) -> None:
        while self._waiting:
            self._work()
        for handle in (self._next, self._due):
            if handle is not None:
                handle.cancel()
        await asyncio.to_thread(self._connection.close)

    async def wait_for_stacks(self) -> None:
        await self._empty.wait()

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
        if self._depths.total():
            self._empty.clear()
        else:
            self._empty.set()
        for (_, answer), said in zip(jobs, answers, strict=True):
            self._answer(answer, said)
        if self._waiting:
            self._work_soon()
        patience = self._patience()
        self._due = None if patience is None else self._loop.call_later(patience, self._work)

    def _one(self, chain: Chain) -> MockAnswer:
        self._request += 1
        connection, writes = self._connection, chain.writes
        if writes:
            connection.save_here()
            connection.reserve()
        try:
            result = carry_out(connection, chain, self._request, self.quirks, admit=self._admit_subscriber)
            # While entries wait, a write with an effect at once would overtake them.
            if writes and (self.stack_rate or self._depths.total()):
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

    def _admit_subscriber(self) -> None:
        """Raise `MockRefusal` where the licence has no place for a new subscriber.

        Subscribers that wait in a stack count: their calls were answered.
        """
        if self.licence is not None and self._connection.run("licensed")[0][0] >= self.licence:
            raise MockRefusal("Превышена лицензия: достигнуто максимальное число абонентов")

    # ---- the stacks ------------------------------------------------------------------------------------------------

    def _patience(self) -> float | None:
        """Seconds until the next entry is due; None when no entry waits."""
        if not self._depths.total():
            return None
        now, rate = time.monotonic(), self.stack_rate
        if rate != self._rate:
            # Time at the previous rate does not count at the new one.
            self._rate, self._last = rate, now
        due = max(self._last + 1 / rate if rate else now, self._not_before)
        return min(max(due - now, 0.0), _LONGEST_WAIT)

    def _apply_due(self) -> bool:
        """Apply the entries that are due, in order; each is applied and removed in one step. False if none is."""
        if self._patience() != 0:
            return False
        now, rate = time.monotonic(), self.stack_rate
        count = min(max(int((now - self._last) * rate), 1) if rate else _AT_ONCE, _AT_ONCE)
        for row in self._connection.run("first", count=count):
            self._apply(row)
        self._last = max(self._last + count / rate, now - 1 / rate) if rate else now
        return True

    def _apply(self, row: DatabaseRow) -> None:
        entry, request, stack, key, text = row
        connection = self._connection
        connection.run("pop", entry=entry)
        if model := connection.models.get(_MODELS[stack]):
            connection.execute(f"delete from {model.table} where id = ?", (key,))  # noqa: S608 - names of ours
        self._depths[stack] -= 1
        call = _CALL.decode(text)
        connection.save_here()
        connection.reserve(call.keys)
        try:
            carry_out(connection, call.chain, request, self.quirks)
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
        work = Work(connection, self.quirks)
        touched = connection.run("touched", request=request)
        concerned = [
            _concerned(work, *row) for row in touched if row[0] in work.models and work.models[row[0]].methods
        ]
        if not concerned:
            return
        keys = [*connection.given]
        connection.go_back()
        for _, account, abonent in concerned if self.busy else ():
            ((waiting,),) = connection.run("waiting", abonent=abonent, account=account)
            if waiting:
                raise MockRefusal("Абонент обрабатывается, попробуйте позже")
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

    # ---- what is told, and the control endpoint ------------------------------------------------------------------

    async def _summary(self, _: web.Request) -> web.Response:
        return as_json(await anyio.to_thread.run_sync(self.ledger.totals))

    async def _ledger_page(self, request: web.Request) -> web.Response:
        model, _, subject = request.query.get("after", "").rpartition(":")
        try:
            start, size = int(subject or 0), int(request.query.get("limit", PAGE))
        except ValueError as error:
            raise ValueError("after: as `next` of the page before; limit: a whole number") from error
        if not 1 <= size <= _LONGEST_PAGE:
            raise ValueError(f"limit: 1 to {_LONGEST_PAGE}")

        def read() -> dict[str, object]:
            effects = list(self.ledger.by_subject((model, start), size))
            following = "{model}:{subject}".format_map(effects[-1]) if len(effects) == size else None
            return {"totals": self.ledger.totals(), "effects": effects, "next": following}

        return as_json(await anyio.to_thread.run_sync(read))

    def _set_state(self, body: bytes) -> None:
        try:
            wanted = msgspec.json.decode(body, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise ValueError(f"a JSON object is needed: {error}") from error
        for name in wanted:
            if name not in Traits.__annotations__:
                raise ValueError(f"there is no {name!r} to set{nearest(name, Traits.__annotations__)}")
        try:
            traits = msgspec.convert(wanted, Traits)
        except msgspec.ValidationError as error:
            name = str(error).rstrip("`").rpartition("$.")[2]
            raise ValueError(f"{name}: {wanted[name]!r} cannot be set") from None
        self._set(traits)
        self._admit()
        self._work_soon()

    def _set(self, traits: Traits) -> None:
        for name, value in traits.items():
            setattr(self, name, value)


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


@web.middleware
async def _answer_control_error(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValueError as error:
        return as_json({"error": str(error)}, web.HTTPBadRequest.status_code)


# ---- from its start to its end ------------------------------------------------------------------------------------


@asynccontextmanager
async def running(
    place: Dsn | Path | str,
    *,
    port: int = 0,
    control_port: int | None = None,
    capacity: Schedule | None = None,
    faults: FaultPlan | None = None,
    quirks: Quirks | None = None,
    middlewares: Sequence[Middleware] = (),
    **traits: Unpack[Traits],
) -> AsyncIterator[MockBilling]:
    """A mock billing over a database made by `population.create`, while the context lasts.

    `port` 0 takes a free one; with a `control_port` there is a control endpoint, 0 as before. `capacity` changes the
    slots over time, and `quirks` undocumented behaviour. Requests that arrived before the end are answered; entries
    of a stack stay for the next server. Raises what `billing.database.database` raises, and OSError for a port taken.
    """
    quirks = quirks or Quirks()
    injector = Injector(faults or FaultPlan(), list_errors=quirks.list_errors == "list")
    server = MockBilling(place if isinstance(place, Dsn) else Dsn(str(place)), injector, quirks, traits)
    async with AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(anyio.to_thread.run_sync, server.database.close)
        stack.push_async_callback(server.stop)
        stack.push_async_callback(server.wait_for_requests)
        door = await stack.enter_async_context(serving(server.application(middlewares), port))
        stack.callback(injector.end)
        server.port, server.url = door, door.url
        if control_port is not None:
            server.control_url = (await stack.enter_async_context(serving(server.control(), control_port))).url
        await _run_beside(stack, injector.watch_port(door.open, door.close))
        if capacity is not None:
            await _run_beside(stack, server.follow(capacity))
        yield server


async def _run_beside(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    """A task beside the server, until the stack unwinds."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    stack.push_async_callback(end)
