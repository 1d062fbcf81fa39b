"""The store of a journal in PostgreSQL, for several machines: a read connection, a write thread, locks of runs.

A run is locked by an advisory lock of a session of its own, which the server releases when the process dies or its
connection is lost. A connection is not opened again: what works on a run ends with an error, the run is taken up
anew, and what was under way is looked up in the billing.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.to_thread

from checkpoints import queries
from checkpoints.address import JournalAddress, PostgresAddress
from checkpoints.dialects import schema
from checkpoints.errors import JournalNotCleaned, JournalOtherFormat, JournalUnreadable
from checkpoints.postgres_connection import (
    PostgresQueries,
    WritingConnection,
    connect,
    explained,
    in_a_line,
    is_lost,
    parameters_of,
)
from checkpoints.queries import Queries, Result, Value, fill_states, upgrade
from checkpoints.states import State
from checkpoints.store import Reader, Store, WaitForNews
from checkpoints.transitions import refuse_conversion, refuse_held
from checkpoints.writer import Dialect, Writer

if TYPE_CHECKING:
    from checkpoints.postgres_connection import PostgresConnection


_BEHIND: Final = 4
FORMAT: Final = queries.FORMAT - _BEHIND
"""The format of the schema in PostgreSQL."""

LOOK: Final = 3.0
"""Seconds between two looks into a mailbox without a notification."""

_NOTED: Final = 1.0
"""Seconds within which who has taken the lock of a run has noted that it works on it."""

_AGAIN: Final = 2.0
"""Seconds after which a lost connection is opened again."""

_CONVERTED: Final = range(1, FORMAT)


class PostgresStore(Store):
    """The store at an address."""

    _locks: Reader
    _written: "PostgresConnection"
    _writer: Writer

    def __init__(self, place: JournalAddress, address: PostgresAddress) -> None:
        self.address = place
        self.name = address.name
        self._channel = f"carbon_migrate_{hashlib.sha256(address.schema.encode()).hexdigest()[:16]}"
        self._address = address
        self._held: set[int] = set()

    def _open(self, opened: contextlib.ExitStack, loop: asyncio.AbstractEventLoop) -> None:
        # What this machine keeps of the journal, its socket, log and secrets, stands beside a file of its own.
        self.address.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.address.path.touch(mode=0o600)

        def reader() -> Reader:
            connection = connect(self._address)
            return opened.enter_context(
                contextlib.closing(Reader(connection, PostgresQueries(connection, self.name)))
            )

        self._reader, self._locks = reader(), reader()
        with contextlib.ExitStack() as unless_it_fails:
            self._written = unless_it_fails.enter_context(contextlib.closing(connect(self._address)))
            with explained(self.name):
                _prepare(self._written, self._address)
            # Only now: who has no driver is told so by `connect`.
            import psycopg  # noqa: PLC0415 - an extra

            dialect = Dialect("begin", psycopg.Error, WritingConnection.cancel, is_lost)
            self._writer = Writer(WritingConnection(self._written), dialect, loop)
            unless_it_fails.pop_all()
        opened.callback(self._writer.close)

    @contextlib.contextmanager
    def look(self) -> Iterator[Queries | None]:
        address = self._address
        with contextlib.closing(connect(address)) as connection, explained(address.name):
            db = PostgresQueries(connection, address.name)
            db.ask("only_look")
            is_there = db.ask("has_journal")
            if is_there and db.ask("format_of_journal") in _CONVERTED:
                with contextlib.closing(connect(address)) as writing:
                    _prepare(writing, address)
            if is_there:
                _check_format(db, address)
            yield db if is_there else None

    @contextlib.contextmanager
    def look_while_idle(self) -> Iterator[Queries | None]:
        with self.look() as db:
            if db is not None and (held := db.first("keep_runs_idle")) is not None:
                refuse_held(db, held["run_id"])
            yield db

    @contextlib.contextmanager
    def filled(self) -> Iterator[Queries]:
        with contextlib.closing(connect(self._address)) as connection:
            # Only now: who has no driver is told so by `connect`.
            import psycopg  # noqa: PLC0415 - an extra

            try:
                with connection.transaction():
                    _prepare(connection, self._address)
                    yield PostgresQueries(connection, self.name)
            except psycopg.Error as error:
                raise JournalUnreadable(
                    "the journal {name} cannot be written: {error}", name=self.name, error=in_a_line(error)
                ) from error

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        def judged(connection: WritingConnection) -> Result:
            result = work(PostgresQueries(connection, self.name))
            connection.judge()
            return result

        return await self._writer.do(judged)

    async def size(self) -> int:
        found = await self.read(lambda db: db.one("size"))
        return int(found["bytes"])

    async def clean(self) -> None:
        await anyio.to_thread.run_sync(self._clean)

    def _clean(self) -> None:
        try:
            with explained(self.name), contextlib.closing(connect(self._address)) as connection:
                db = PostgresQueries(connection, self.name)
                db.ask("rewrite_tables")
                db.write("mark_cleaned", is_cleaned=1)
        except JournalUnreadable as error:
            raise JournalNotCleaned(
                "what is removed may still be in the files of the server: {error}", error=error
            ) from error

    async def lock(self, run_id: int) -> bool:
        if run_id in self._held:
            return False
        taken = bool(await self._ask("lock_run", run_id))
        if not taken and (session := await self._ask("lapsed_holder", run_id)):
            # Who has only just taken the lock notes that it works on the run; the lease is another one's until then.
            await asyncio.sleep(_NOTED)
            if await self._ask("lapsed_holder", run_id) == session:
                # A process that is frozen keeps its connection, and has stopped itself by now.
                await self._ask("end_session", run_id, session=cast("int", session))
            taken = bool(await self._ask("lock_run", run_id))
        if taken:
            self._held.add(run_id)
        return taken

    async def unlock(self, run_id: int) -> None:
        """Release the lock of a run; one that was lost with its connection is released already."""
        self._held.discard(run_id)
        with contextlib.suppress(JournalUnreadable):
            await self._ask("unlock_run", run_id)

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        held = await self.read(lambda db: {row["run_id"] for row in db.all("locked_runs")})
        return (held | self._held).intersection(run_ids)

    async def renew(self, run_id: int, epoch: int, pace: str | None) -> bool:
        """Renew a lease over the connection of the locks: one that was cut off renews nothing."""
        return bool(await self._ask("renew_lease", run_id, epoch=epoch, pace=pace))

    @asynccontextmanager
    async def listening(self, run_id: int) -> AsyncIterator[WaitForNews]:
        """News of a mailbox are announced with NOTIFY; a look every few seconds finds what was missed."""
        heard = asyncio.Event()

        async def news() -> None:
            with anyio.move_on_after(LOOK):
                await heard.wait()
            heard.clear()

        listening = asyncio.create_task(self._listen(run_id, heard))
        try:
            yield news
        finally:
            listening.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, run_id: int, heard: asyncio.Event) -> None:
        import psycopg  # noqa: PLC0415 - an extra

        address = self._address
        while True:
            # Nothing of this blocks: psycopg waits for the socket on the event loop.
            with suppress(psycopg.Error, OSError):
                async with await psycopg.AsyncConnection.connect(
                    address.url, autocommit=True, **parameters_of(address)
                ) as connection:
                    await connection.execute(cast("Any", f"listen {self._channel}_{run_id}"))
                    heard.set()
                    async for _ in connection.notifies():
                        heard.set()
            await asyncio.sleep(_AGAIN)

    def announce(self, db: Queries, run_id: int) -> None:
        db.write("announce", channel=f"{self._channel}_{run_id}")

    def cut(self) -> None:
        """Shut the sockets down, so that a thread that waits for an answer gets an error."""
        for connection in (self._locks.connection, self._reader.connection, self._written):
            with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)

    async def _ask(self, name: str, run_id: int, **values: Value) -> object:
        db = cast("PostgresQueries", self._locks.db)
        return await self._locks.do(lambda _: db.ask(name, run_id=run_id, **values))


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server: its version, whether this role may make the journal there, and how many seconds its clock is away.

    `logs_statements` is whether its own log has the statements of a run, and with them names and amounts;
    `plain_host` is its host, "" where the way to it is encrypted, or is a socket of this machine.
    """

    version: str
    may_make: bool
    skew: float
    logs_statements: bool
    plain_host: str


def facts_of_server(address: PostgresAddress) -> ServerFacts:
    with contextlib.closing(connect(address)) as connection, explained(address.name):
        before = time.time()
        row = PostgresQueries(connection, address.name).one("facts_of_server", schema=address.schema)
        now = (before + time.time()) / 2
        plain_host = "" if connection.pgconn.ssl_in_use else connection.info.host
        return ServerFacts(
            row["version"], row["may_make"], float(row["now"]) - now, bool(row["logs_statements"]), plain_host
        )


def _prepare(connection: "PostgresConnection", address: PostgresAddress) -> None:
    """Create the journal in its schema, or bring it and its states up to date.

    Raises `JournalOtherFormat`, and `RunHeld` for an older one while somebody works on a run of it.
    """
    db = PostgresQueries(connection, address.name)
    with connection.transaction():
        # Two processes that create it at once would both find nothing.
        db.ask("exclude_makers", schema=address.schema)
        if not db.ask("has_journal"):
            connection.execute(cast("Any", schema("postgres").replace("carbon_migrate", address.schema)))
            db.write("note_format", format=FORMAT)
        elif (found := db.ask("format_of_journal")) in _CONVERTED:
            if db.first("locked_runs") is not None:
                refuse_conversion(address.name)
            connection.execute(cast("Any", upgrade(cast("int", found) + _BEHIND, "postgres")))
            db.write("change_format", format=FORMAT)
        _check_format(db, address)
        fill_states(db)


def _check_format(db: PostgresQueries, address: PostgresAddress) -> None:
    """Raise `JournalOtherFormat` for a journal of another version, also for a state that this one does not know."""
    found = db.ask("format_of_journal")
    if found != FORMAT or {row["state"] for row in db.all("states")} - set(State):
        raise JournalOtherFormat(
            "{name} was written by another carbon-migrate (format {found}; this one knows {known}): use one "
            "version on all machines, or name another schema",
            name=address.name,
            found=str(found),
            known=FORMAT,
        )
