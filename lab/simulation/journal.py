"""The journal's disk: a database of SQLite in memory that outlives processes, and the stores that they open on it.

The blocks, triggers and the group commit are the product's; what differs is where they run. A commit is a step of its
own, some time after its first order: a process that is killed before it has written nothing, one that is killed after
it never hears of it. `copy` and `put_back` are what people do with a journal's file.

For a journal of several machines there is a server of PostgreSQL in memory: its sessions, locks, clock and losses.
The store, its connections and its requests are the product's own (checkpoints/postgres_*.py), and so are the blocks:
those that only PostgreSQL has, and those of leases and epochs, are put into the words of SQLite by `translated`; the
tables that both stores have are SQLite's. `driver` stands in the place of psycopg. From PostgreSQL's manual (16):

- an advisory lock of a session is held until it is given back or the session ends (13.3.5);
- a session that idles in a transaction for longer than the limit that it was opened with is ended (20.11.1);
- the statements of a `with` that write do not see each other's changes (7.8.4);
- `skip locked` passes over what another transaction has locked (SELECT, "The Locking Clause");
- a notification is delivered once its transaction has committed, to who listens then (NOTIFY, LISTEN);
- a connection whose bytes nobody acknowledges for `tcp_user_timeout` is closed on this side (34.1.2); the server ends
  its side after `tcp_keepalives_idle` and so many intervals, by default the system's: two hours (20.3.2; tcp(7)).

A transaction runs within one step. One in twenty is stopped before its commit, as between two of its statements: what
it has locked, others wait for, and it is done once more from its start.
"""

import asyncio
import json
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from math import inf
from pathlib import Path
from sys import modules
from types import SimpleNamespace
from typing import Any, ClassVar, Final, Self, TypeVar
from weakref import proxy

from billing.database.sql_blocks import sql_block
from checkpoints.errors import JournalUnreadable, RunTakenOver
from checkpoints.journal_file import JournalAddress, PostgresAddress
from checkpoints.queries import Queries, blocks, fill_states, schema
from checkpoints.sqlite_store import SQLITE, SqliteQueries, set_up
from checkpoints.store import Store
from checkpoints.writer import Dialect, Order, commit, wake
from lab.simulation.loop import PROCESS, Process, SeededLoop, Waits, in_a_step, replaced

# ---- one machine: SQLite ------------------------------------------------------------------------------------------


Result = TypeVar("Result")

_DELAYS: Final = (0.0, 0.0, 0.001, 0.01, 0.2)
"""Seconds of a commit, or of an answer of the server."""


@dataclass(frozen=True, slots=True)
class Death:
    """What a process that was killed has left in a journal."""

    process: Process
    runs: Mapping[str, sqlite3.Row]
    had_orders: bool
    """Whether something of it waited for a commit."""


class Connection(sqlite3.Connection):
    """A connection that outlives its disk, and is emptied for the next: so its statements stay prepared."""

    disk: "Disk"


class Disk:
    """The file of a journal on one machine, with the locks of its runs. Some of its commits fail, for a time."""

    idle: ClassVar[list[Connection]] = []
    """Connections that earlier disks have left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.locks: dict[int, Process] = {}
        self.is_full = False
        self.failed = 0
        """Commits that have failed."""
        self.was_put_back = self.forgot = False
        """Whether a copy was put back, and whether one of them knew less than the file."""
        self.too_late = 0
        """Writes that have waited until their run was another process's."""
        self.deaths: list[Death] = []
        self._opened: list[Connection] = []
        if self.idle:
            self._use(self.idle.pop())
            for table in self.all("filled"):
                self.db.execute(f"delete from {table['name']}")  # noqa: S608 - of the schema
        else:
            self._use(self.connected())
            self.fill()

    def __del__(self) -> None:
        self.idle.extend(self._opened)

    def copy(self) -> bytes:
        return self.db.serialize()

    def put_back(self, copy: bytes) -> None:
        stood = self.rows_that_stand().total()
        # In a connection of its own: SQLite fails where a statement of the old one is not at its end.
        self._use(self.connected())
        self.db.deserialize(copy)
        self.was_put_back = True
        self.forgot |= self.rows_that_stand().total() < stood

    def _use(self, db: Connection) -> None:
        self.db = db
        # What SQLite keeps the collector does not see: nothing of it may hold the disk.
        db.disk = proxy(self)
        self._opened.append(db)

    @classmethod
    def connected(cls) -> Connection:
        db = Connection(":memory:", isolation_level=None, check_same_thread=False, cached_statements=1000)
        set_up(db)
        return db

    def fill(self) -> None:
        self.db.executescript(schema())
        fill_states(SqliteQueries(self.db))

    # ---- what can be read of the file ----

    def all(self, block: str, **values: str | int) -> list[sqlite3.Row]:
        return self.db.execute(sql_block("journal", block, "lab.simulation").text, values).fetchall()

    def newest(self, but: Collection[str] = ()) -> str | None:
        """The newest run that was not given up, and is none of these."""
        return next((run["name"] for run in self.all("names") if run["name"] not in but), None)

    def left(self, name: str) -> int:
        """The rows of a run that a resume has to work on."""
        return next(_left(run) for run in self.runs() if run["name"] == name)

    def runs(self) -> list[sqlite3.Row]:
        """The runs that were not given up, the oldest first."""
        return self.all("runs")

    def unfinished(self) -> list[str]:
        """The runs that a resume has to work on."""
        return [run["name"] for run in self.runs() if _left(run)]

    def but(self, name: str) -> set[str]:
        return {run["name"] for run in self.runs()} - {name}

    def rows_that_stand(self) -> Counter[int]:
        """How often each row of the input stands in the billing, as the journal says."""
        return Counter((row["line"] or 1) - 1 for row in self.all("stand"))

    def differences(self) -> Counter[int]:
        """How often the difference of each row to a later file was entered."""
        return Counter(row["line"] - 1 for row in self.all("differences"))

    def sources_that_stand(self) -> list[tuple[int, str]]:
        """The rows that stand, as above, each with its file, "" for one that is not known any more."""
        return [((row["line"] or 1) - 1, row["source"]) for row in self.all("stand")]

    def rows_perhaps(self) -> set[int]:
        """The rows of which no answer says whether they stand, and at which no undo has looked."""
        return {row["line"] - 1 for row in self.all("perhaps")}

    def rows_in_doubt(self) -> set[tuple[str, int]]:
        """The rows of a run of which the journal does not say whether they stand in the billing."""
        return {(row["name"], row["line"] - 1) for row in self.all("doubt")}

    def sent(self) -> dict[tuple[str, int], sqlite3.Row]:
        """The `amount` and the `lane` of each row of a run."""
        return {(row["name"], row["line"] - 1): row for row in self.all("sent")}

    def states(self, name: str) -> dict[str, int]:
        return {row["state"]: row["rows"] for row in self.all("states", run=name)}


def _left(run: sqlite3.Row) -> int:
    return 0 if run["ended_at"] else int(run["open"] if run["frozen_at"] and run["approved_at"] else 1)


class MemoryStore(Store):
    """The store of a journal in one process."""

    def __init__(self, disk: Disk, process: Process, loop: SeededLoop) -> None:
        self.address = JournalAddress(Path("/simulated") / disk.name)
        self._disk, self._process, self._loop = disk, process, loop
        self._orders: list[Order] = []
        process.at_death.append(self._died)

    async def read(self, work: Callable[[Queries], Result]) -> Result:
        if not self._loop.is_in_thread:
            await asyncio.sleep(0)
        try:
            return work(SqliteQueries(self._disk.db))
        except sqlite3.Error as error:
            raise JournalUnreadable("the journal cannot be read: {error}", error=error) from error

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` with the next commit, together with all that waits for it."""
        order = Order(lambda db: work(SqliteQueries(db)), self._loop.create_future())
        self._orders.append(order)
        if len(self._orders) == 1:
            with self._loop.outside():
                self._loop.call_later(self._loop.draw.choice(_DELAYS), self._commit)
        return await order.future  # type: ignore[no-any-return]

    def _commit(self) -> None:
        group = self._orders
        if not self._process.is_alive or not group:
            return
        if self._process.frozen_until > self._loop.now:
            self._loop.call_later(self._process.frozen_until - self._loop.now, self._commit)
            return
        self._orders = []
        if self._disk.is_full:
            self._disk.failed += 1
            for order in group:
                order.error = JournalUnreadable("the journal cannot be written: {error}", error="disk full")
        else:
            commit(self._disk.db, SQLITE, group)
            self._disk.too_late += any(isinstance(order.error, RunTakenOver) for order in group)
        wake(group)

    def _died(self) -> None:
        if self._process.was_killed:
            runs = {run["name"]: run for run in self._disk.all("death")}
            self._disk.deaths.append(Death(self._process, runs, had_orders=bool(self._orders)))
        self._disk.locks = {run: owner for run, owner in self._disk.locks.items() if owner is not self._process}

    async def lock(self, run_id: int) -> bool:
        return self._disk.locks.setdefault(run_id, self._process) is self._process

    async def unlock(self, run_id: int) -> None:
        if self._disk.locks.get(run_id) is self._process:
            del self._disk.locks[run_id]

    async def is_locked(self, run_id: int) -> bool:
        return run_id in self._disk.locks

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        return set(run_ids) & self._disk.locks.keys()

    async def size(self) -> int:
        return len(self._disk.copy())

    async def clean(self) -> None:
        """In memory nobody finds what was removed."""


# ---- several machines: PostgreSQL ---------------------------------------------------------------------------------


LOOK: Final = 0.5
"""Seconds between two looks of what waits."""
SELDOM: Final = 9.0
"""Seconds between two looks for requests that nobody has announced."""
STOPPED: Final = 20
"""Of so many transactions one is stopped in the middle."""

Values = Mapping[str, Any]
Rows = list[dict[str, Any]]


class Error(Exception):
    """The root of the driver's errors."""

    sqlstate: str | None = None


class OperationalError(Error):
    """The connection is lost."""


class IntegrityError(Error):
    """A trigger refuses what is written."""


class DivisionByZero(Error):
    """A block has found or written another number of rows than it was to."""

    sqlstate = "22012"


# ---- its statements in the words of SQLite -----------------------------------------------------------------------

_WORDS: Final = (
    (r"(?m)^--.*\n", ""),
    (r"(:\w+)::json\b", r"json(\1)"),
    (r"::(?:text|float8)\b", ""),
    (r"interval '1 millisecond'", "0.001"),
    # A moment is a number of seconds.
    (r"extract\(epoch from ", "("),
    (r"json_build_object\(", "json_object("),
    (r"\bfor share\b", ""),
    (r"\bfor update of \w+ skip locked\b", "and not is_locked()"),
    (r"current_schema\(\)", "'journal'"),
    (r"\(skip_locked\) ", ""),
    (r"\bupdate (\w+) (\w)\s+set\b", r"update \1 as \2 set"),
    (r"\breturning runs\.target\b", "returning (select target from runs where run_id = :run_id) as target"),
    (r"select distinct on \(run_id\) \*,", "select *, max(epoch) as newest,"),
    (r"order by run_id, epoch desc", "group by run_id"),
    (r"\btimestamptz\b", "real"),
    (r"default (\w+\(\))", r"default (\1)"),
)
_PART: Final = re.compile(r"(?:with |, )(\w+) as (?:materialized )?\((.*?)\n\)", re.DOTALL)
_BOTH: Final = ("begin_runner", "take_up", "new_owner", "taken_over")
"""Blocks of both stores that are about leases and epochs: they are PostgreSQL's here."""


def translated(text: str) -> str:
    """A statement of PostgreSQL as one of SQLite."""
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


_EXACTLY: Final = "exactly("


@cache
def block(name: str) -> str:
    if name.startswith(_EXACTLY):
        return _EXACTLY + block(name.removeprefix(_EXACTLY)[:-1])
    if name in _BOTH or name.partition("(")[0] not in blocks().written:
        return translated(blocks("postgres")[name])
    return blocks()[name]


@cache
def parts_of(text: str) -> tuple[tuple[str, str], ...]:
    """The statements of one that writes in its `with`, each with its name there; "" for the last."""
    if not re.match(r"with \w+ as \(\s*(insert|update)\b", text):
        return (("", text),)
    parts, end = [], 0
    while found := _PART.match(text, end):
        parts.append((found[1], found[2]))
        end = found.end()
    return (*parts, ("", text[end:]))


@cache
def _tables() -> str:
    """What the schema of PostgreSQL has besides, and what tells who has written under an epoch that is not his."""
    own = [re.search(rf"create {what}\b.*?;\n", schema("postgres"), re.DOTALL) for what in _OWN_TABLES]
    return "drop table runners;" + "".join(translated(found[0]) for found in own if found) + _OFFENCES


_OWN_TABLES: Final = ("table runners", "table billings", "view last_runners")
_OFFENCES: Final = """
create view holders as select value ->> 0 as run_id, value ->> 1 as pid from json_each(locks());
create view pg_locks as select pid, 'advisory' as locktype, 'ExclusiveLock' as mode from holders;
create table offences (process integer, run_id integer, number integer);
create trigger items_offend after update of state on items
when writer() is not (select process from runs join runners using (run_id, epoch) where run_id = new.run_id) begin
    insert into offences values (writer(), new.run_id, new.number);
end;
"""


class Server(Disk):
    """The server with its journal. `wall` is how far its own clock was set."""

    idle: ClassVar[list[Connection]] = []

    def __init__(self, loop: SeededLoop, lease: float, reached: Callable[[str], None]) -> None:
        self.loop, self.lease, self.reached = loop, lease, reached
        self.wall = self.set_back = self.away_until = 0.0
        self.lives = 0
        """How often it was started anew."""
        self.swallowed: dict[str, float] = {}
        """Until when the way from a machine swallows what is sent, answers too."""
        self.sessions: list[Session] = []
        self.owners: dict[int, Session] = {}
        """The sessions that hold the locks of runs."""
        self.heard: dict[int, float] = {}
        """When the lease of each process was last renewed."""
        self.asking: Session
        self.listening: dict[str, list[asyncio.Queue[bool]]] = {}
        self.notified: list[str] = []
        super().__init__("one.journal")

    @classmethod
    def connected(cls) -> Connection:
        """A connection with the functions of the server whose file it has then."""
        db = Disk.connected()
        for name, count, work in (
            ("clock_timestamp", 0, lambda own: own.loop.now + own.wall),
            ("seconds", 0, lambda own: own.loop.now + own.wall),
            ("hashtext", 1, lambda _, text: len(text)),
            ("this_journal", 0, lambda own: str(own.lives)),
            ("locks", 0, lambda own: json.dumps([(run, one.pid) for run, one in own.owners.items()])),
            ("writer", 0, lambda own: own.asking.process.number),
            ("is_locked", 0, lambda own: int(own.locker(own.asking) is not None)),
            ("pg_advisory_xact_lock", 2, lambda *_: 1),
            ("pg_try_advisory_lock", 2, lambda own, _, run: own.owners.setdefault(run, own.asking) is own.asking),
            (
                "pg_advisory_unlock",
                2,
                lambda own, _, run: own.owners.get(run) is own.asking and bool(own.owners.pop(run)),
            ),
            ("pg_terminate_backend", 2, lambda own, pid, _: own.terminate(pid)),
            ("pg_notify", 2, lambda own, channel, _: own.notified.append(channel)),
        ):
            db.create_function(name, count, partial(lambda work, *given: work(db.disk, *given), work))
        return db

    def fill(self) -> None:
        """Make a journal without runs."""
        super().fill()
        self.db.executescript(_tables())

    def address(self, machine: str) -> JournalAddress:
        postgres = PostgresAddress("postgresql://server/journal", "journal", self.name, self.lease)
        return JournalAddress(_Nowhere(f"/{machine}/{self.name}"), postgres)

    def terminate(self, pid: int) -> int:
        self.reached("who has taken over ends a lock whose lease has lapsed")
        self.sessions[pid].end()
        return 1

    def locker(self, other: "Session") -> "Session | None":
        """Who is in the middle of a transaction, and has others wait."""
        return next((one for one in self.sessions if one is not other and one.is_in_transaction), None)

    def end_sessions(self, machine: str = "") -> None:
        for one in self.sessions:
            if machine in {"", one.process.machine}:
                one.end()
        self.notify(list(self.listening), is_lost=True)

    def hears_nothing(self, machine: str, seconds: float) -> None:
        """Nothing of a machine is acknowledged for so long."""
        for one in self.sessions:
            if one.process.machine == machine:
                one.falls_silent(seconds)

    def swallow(self, machine: str, seconds: float) -> None:
        """Let the way from a machine, and to it, swallow everything for so long."""
        self.swallowed[machine] = self.loop.now + seconds
        self.hears_nothing(machine, seconds)

    def restart(self, seconds: float) -> None:
        """End all sessions, and take no new ones for a while."""
        self.away_until = self.loop.now + seconds
        self.lives += 1
        self.end_sessions()

    def put_back(self, copy: bytes) -> None:
        """Restore the journal from a copy, in a server that is started anew for it."""
        super().put_back(copy)
        self.restart(0.0)

    def set_clock(self, seconds: float) -> None:
        self.wall += seconds
        self.set_back += max(-seconds, 0.0)

    def notify(self, channels: list[str] | None = None, *, is_lost: bool = False) -> None:
        """Deliver what was announced, now that it is committed."""
        if channels is None:
            channels, self.notified = self.notified, []
        for channel in channels:
            for one in self.listening.get(channel, ()):
                one.put_nowait(is_lost)


class _Nowhere(type(Path())):  # type: ignore[misc]  # a class of its own until Python 3.12
    """A path of which nothing is made."""

    def mkdir(self, *_: object, **__: object) -> None: ...

    def touch(self, *_: object, **__: object) -> None: ...


class Session:
    """A connection of psycopg, and what the server has of it."""

    def __init__(self, server: Server, url: str, **parameters: Any) -> None:  # noqa: ANN401
        self.server, self.process, self.pid = server, PROCESS.get(), len(server.sessions)
        if not self._has_way or server.away_until > server.loop.now:
            raise OperationalError(f"{url}: connection refused")
        self.is_lost = self.is_ended = False
        """Whether this side has lost the connection, and whether the server has ended it."""
        self._user_timeout = parameters["tcp_user_timeout"] / 1000
        self._idle = int(
            parameters["options"].partition("idle_in_transaction_session_timeout=")[2].partition("ms")[0]
        )
        idle, interval, count = (
            int(parameters["options"].partition(f"tcp_keepalives_{what}=")[2].partition(" ")[0] or default)
            for what, default in (("idle", 7200), ("interval", 75), ("count", 9))
        )
        self._unheard = idle + interval * count
        self._stopped_at = self._unheard_since = 0.0
        self._asked: list[tuple[str, Values]] = []
        self._prepared: dict[str, str] = {}
        """The blocks that were prepared, by what runs each."""
        server.sessions.append(self)
        self.process.at_death.append(self._died)

    # ---- what psycopg has ----

    def execute(self, text: str, values: Values | None = None) -> "Cursor":
        """Run a statement, or several that were put into one text."""
        parts = text.split("; ")
        # A text of statements alone is a transaction by itself.
        is_whole = values is None and all(part.isdigit() for part in parts) and not self.server.db.in_transaction
        self._reach(begins=is_whole or text.startswith("begin"))
        if values is not None:
            return Cursor([self._run(text, values)])
        asked, self._asked = self._asked, []
        if is_whole:
            self._mark("begin")
        found = [self._run(*asked[int(part)]) if part.isdigit() else self._mark(part) for part in parts]
        if is_whole:
            self._mark("commit")
        return Cursor(found)

    def cursor(self) -> "Session":
        return self

    def mogrify(self, text: str, values: Values) -> str:
        """The text of a statement with its values: here the number of both."""
        self._asked.append((self._prepared[text.partition(" (")[0]] if text.startswith("execute") else text, values))
        return str(len(self._asked) - 1)

    def fileno(self) -> int:
        """The product asks for the socket only to shut it down."""
        self.is_lost = True
        raise OSError("no socket")

    def cancel(self) -> None:
        """Nothing runs longer than a step."""

    def close(self) -> None:
        self.end()

    # ---- the server's side ----

    def end(self) -> None:
        """End the session: its locks are free, its transaction is undone."""
        self.is_lost = True
        self._let_go()

    def _let_go(self) -> None:
        self.is_ended, self._stopped_at = True, 0.0
        for run in [run for run, one in self.server.owners.items() if one is self]:
            del self.server.owners[run]

    def falls_silent(self, seconds: float) -> None:
        """Acknowledge nothing for so long: the server ends what it probes in vain; this side hears of it later."""
        if self._unheard <= seconds and not self.is_ended:
            self.server.loop.call_later(self._unheard, self._is_given_up)

    def _is_given_up(self) -> None:
        if not self.is_ended:
            self.server.reached("the server gives up a session that it has probed in vain")
            self._let_go()

    def _died(self) -> None:
        # Where the machine has no power, or no way, nobody tells the server.
        silent = inf if self.process.lost_power else self.server.swallowed.get(self.process.machine, 0.0)
        self.is_lost = True
        if silent <= self.server.loop.now:
            self.end()
        else:
            self.server.loop.call_later(min(self._unheard, silent - self.server.loop.now), self._let_go)

    @property
    def is_in_transaction(self) -> bool:
        """Whether it has locked rows; a session that is idle so for too long is ended."""
        if self._stopped_at and self.server.loop.now >= self._stopped_at + self._idle / 1000:
            self.server.reached("a session is ended that was idle in a transaction")
            self.end()
        return bool(self._stopped_at)

    @property
    def _has_way(self) -> bool:
        return self.server.swallowed.get(self.process.machine, 0.0) <= self.server.loop.now

    def _swallows(self) -> bool:
        """Whether nothing arrives now; after the time-out of its bytes the connection is lost."""
        now = self.server.loop.now
        if self._has_way:
            self._unheard_since = 0.0
            return False
        self._unheard_since = self._unheard_since or now
        if now >= self._unheard_since + self._user_timeout:
            self.is_lost = True
        return not self.is_lost

    def _reach(self, *, begins: bool) -> None:
        """Come to the server. Raises `OperationalError`, and `Waits`."""
        server = self.server
        is_swallowed, is_idle = self._swallows(), self.is_in_transaction
        if is_swallowed:
            raise Waits(LOOK)
        if self.is_lost or self.is_ended:
            self.is_lost = True
            raise OperationalError("the connection is lost")
        if begins and not is_idle and server.locker(self) is not None:
            server.reached("a write waits for another process's transaction")
            raise Waits(LOOK)
        server.asking = self
        latency = server.loop.draw.choice(_DELAYS)
        answered_at = server.loop.now + latency

        def answer_in() -> float | None:
            if self._swallows():
                server.reached("an answer of the journal is held up")
                return LOOK
            return None if self.is_lost or self.is_ended else max(answered_at - server.loop.now, 0.0)

        server.loop.answer_in = answer_in

    def _mark(self, mark: str) -> Rows:
        db = self.server.db
        if mark == "commit":
            self._stop_in_the_middle()
            db.execute(mark)
            self.server.notify()
        elif mark.startswith("begin"):
            db.execute("begin")
        elif mark.startswith("prepare"):
            # By their names alone: the text is that of the product's store, and none of SQLite.
            _, name, _ = mark.split('"', 2)
            self._prepared[f'execute "{name}"'] = block(name)
        elif mark != "rollback" or db.in_transaction:
            db.execute(mark)
        return []

    def _stop_in_the_middle(self) -> None:
        loop = self.server.loop
        if self._stopped_at or loop.draw.random() * STOPPED >= 1:
            self._stopped_at = 0.0
            return
        self.server.db.execute("rollback")
        self._stopped_at = loop.now
        raise Waits(loop.draw.choice((0.01, LOOK)))

    def _run(self, text: str, values: Values) -> Rows:
        try:
            return self._run_parts(text, values)
        except sqlite3.IntegrityError as error:
            raise IntegrityError(str(error)) from error

    def _run_parts(self, text: str, values: Values) -> Rows:
        if text.startswith(_EXACTLY):
            if len(found := self._run_parts(text.removeprefix(_EXACTLY), values)) != values["wanted"]:
                raise DivisionByZero
            return found
        db, found, before, given = self.server.db, Rows(), "", dict(values)
        for name, part in parts_of(text):
            cursor = db.execute(f"with {before} {part}" if before else part, given)
            found = [dict(row) for row in cursor.fetchall()]
            if cursor.description is None:
                found = [{}] * max(cursor.rowcount, 0)
            if name and cursor.description:
                columns = [column for column, *_ in cursor.description]
                given[name] = json.dumps([list(row.values()) for row in found])
                picked = ", ".join(f"value ->> {place}" for place in range(len(columns)))
                one = f"{name} ({', '.join(columns)}) as (select {picked} from json_each(:{name}))"  # noqa: S608 - names of the blocks
                before = f"{before}, {one}" if before else one
        if text in (block("renew_lease"), block("begin_runner")) and found:
            self.server.heard[self.process.number] = self.server.loop.now
        if not db.in_transaction:
            self.server.notify()
        return found


class Cursor:
    """A cursor of psycopg: the rows of each statement."""

    def __init__(self, sets: list[Rows]) -> None:
        self._sets, self._set = sets, sets[0]

    @property
    def rowcount(self) -> int:
        """How many rows were found or written."""
        return len(self._set)

    description = True

    def set_result(self, place: int) -> Self:
        """Go to a statement."""
        self._set = self._sets[place]
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.fetchall())

    def fetchall(self) -> Rows:
        return self._set

    def fetchone(self) -> dict[str, Any] | None:
        """The first row."""
        return next(iter(self._set), None)


class Listener:
    """A connection of psycopg that listens."""

    def __init__(self, server: Server) -> None:
        self._server, self._heard = server, asyncio.Queue[bool]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for heard in self._server.listening.values():
            if self._heard in heard:
                heard.remove(self._heard)

    async def execute(self, text: str) -> None:
        self._server.listening.setdefault(text.removeprefix("listen "), []).append(self._heard)

    async def notifies(self) -> AsyncIterator[None]:
        """What is heard. Raises `OperationalError` when the connection is lost."""
        while not await self._heard.get():
            yield
        raise OperationalError("the connection is lost")


class Writer:
    """In place of the product's thread that writes: the same group commit, in steps."""

    def __init__(self, connection: Any, dialect: Dialect, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ANN401
        self._connection, self._dialect, self._loop = connection, dialect, loop
        self._orders: list[Order] = []
        self._writing: asyncio.Task[None] | None = None

    async def do(self, work: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        """Run `work`, and wait until it is committed."""
        order = Order(work, self._loop.create_future())
        self._orders.append(order)
        if self._writing is None or self._writing.done():
            self._writing = self._loop.create_task(self._write())
        return await order.future

    async def _write(self) -> None:
        while self._orders:
            group, self._orders = self._orders, []
            await in_a_step(self._commit, group)
            wake(group)

    def _commit(self, group: list[Order]) -> None:
        for order in group:
            order.error = None
        commit(self._connection, self._dialect, group)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def driver(server: Server, processes: Callable[[], list[Process]] = list) -> Iterator[None]:
    """Let `server` stand behind the modules of psycopg, whether they are installed or not, for these processes."""

    async def connect(_: str, **parameters: Any) -> Listener:  # noqa: ANN401
        Session(server, "listen", **parameters).end()
        return Listener(server)

    psycopg = SimpleNamespace(
        Error=Error,
        OperationalError=OperationalError,
        IntegrityError=IntegrityError,
        ClientCursor=object,
        AsyncConnection=SimpleNamespace(connect=connect),
        connect=lambda url, **parameters: Session(server, url, **parameters),
    )
    names: dict[str, Any] = {"psycopg": psycopg, "psycopg.rows": SimpleNamespace(dict_row=dict)}
    before = {name: modules.get(name) for name in names}
    modules.update(names)
    store = import_module("checkpoints.postgres_store")
    try:
        with replaced(
            [
                (store, "Writer", Writer),
                (store, "_prepare", lambda *_: None),
                (store, "_block", block),
                # A look for what nobody has announced costs as much as three rows.
                (store, "LOOK", SELDOM),
                (store, "_is_away", lambda _: True),
                (import_module("checkpoints.lease"), "Path", partial(_Proc, processes)),
                (import_module("engine.pipeline.gate"), "machine", lambda: PROCESS.get().boot),
            ]
        ):
            yield
    finally:
        for name, module in before.items():
            if module is None:
                del modules[name]
            else:
                modules[name] = module


class _Proc:
    """In place of a file of /proc, by which a process of the same machine is known to be there."""

    def __init__(self, processes: Callable[[], list[Process]], path: str) -> None:
        self._is_there = any(one.number == int(path.split("/")[2]) and one.is_alive for one in processes())

    def read_text(self, **_: object) -> str:
        """Its state. Raises `FileNotFoundError`."""
        if not self._is_there:
            raise FileNotFoundError
        return "1 (carbon-migrate) S"
