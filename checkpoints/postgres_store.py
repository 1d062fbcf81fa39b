"""The store of a journal in PostgreSQL, for several machines: a read connection, a write thread, locks of runs.

A run is locked by an advisory lock of a session of its own, which the server releases when the process dies or its
connection is lost. A connection is not opened again: what works on a run ends with an error, the run is taken up
anew, and what was under way is looked up in the billing.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.to_thread

from checkpoints import queries
from checkpoints.errors import JournalAway, JournalNotCleaned, JournalOtherFormat, JournalUnreadable
from checkpoints.journal_file import JournalAddress, PostgresAddress
from checkpoints.queries import FoundRow, Queries, Result, Value, bind, blocks, fill_states, schema, upgrade
from checkpoints.sentences import NO_CONNECTION
from checkpoints.states import State
from checkpoints.store import Reader, Store, WaitForNews
from checkpoints.transitions import refuse_conversion, refuse_held
from checkpoints.writer import Dialect, Writer
from texts.said import said

if TYPE_CHECKING:
    import psycopg

    PostgresConnection = psycopg.Connection[dict[str, Any]]


# ---- connections to a journal in PostgreSQL -----------------------------------------------------------------------
# psycopg is an extra of the program, and is imported where a connection is opened.


CONNECT_SECONDS: Final = 10
_PING_SECONDS: Final = 5
LOCK_SECONDS: Final = 30
"""Seconds that a write waits for another process's commit."""

IDLE_SECONDS: Final = 10
"""Seconds after which the server ends a transaction whose process does nothing: a frozen one must not hold others."""

_ALIVE: Final[Mapping[str, Any]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Who has gone away without a word is noticed in some ten seconds: the server here (libpq, "Parameter Key Words"),
and this machine there ("TCP Settings"), where the locks of one without power would else be held for two hours.
"""

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_COMMENT: Final = re.compile(r"(?m)^ *--.*\n")
_NUL: Final = re.compile(r"\\*\\u0000")


def connect(address: PostgresAddress) -> "PostgresConnection":
    """Open a connection in autocommit mode, for explicit transactions.

    Raises `JournalAway` where no server takes connections there, and `JournalUnreadable`.
    """
    try:
        import psycopg  # noqa: PLC0415 - an extra
        from psycopg.rows import dict_row  # noqa: PLC0415 - as above
    except ImportError as error:
        raise JournalUnreadable(
            "a journal in PostgreSQL needs a library that is not installed: pip install {package}",
            package="'carbon-migrate[postgres]'",
        ) from error
    try:
        return psycopg.connect(
            address.url,
            autocommit=True,
            row_factory=dict_row,
            # Parameters are put into the text of the statement: types are found as in SQLite, by what is compared.
            cursor_factory=psycopg.ClientCursor,
            **parameters_of(address),
        )
    except (psycopg.Error, UnicodeError) as error:
        is_away = isinstance(error, psycopg.OperationalError) and _is_away(address)
        raise (JournalAway if is_away else JournalUnreadable)(
            said("the journal {name} cannot be opened: {error}", name=address.name, error=_in_its_words(error))
        ) from error


def parameters_of(address: PostgresAddress) -> dict[str, Any]:
    idle = round(min(IDLE_SECONDS, address.lease) * 1000)
    alive = " ".join(f"-c tcp_{name.removeprefix('tcp_')}={value}" for name, value in _ALIVE.items())
    # A commit is on the disk, whatever the server's own setting is. Nothing is compiled: the planner takes what looks
    # for undos of undos for so dear that it would compile seconds for a statement of a millisecond.
    options = (
        f"-c search_path={address.schema} -c synchronous_commit=on -c lock_timeout={LOCK_SECONDS}s "
        f"-c idle_in_transaction_session_timeout={idle}ms -c client_encoding=UTF8 -c timezone=UTC -c jit=off {alive}"
    )
    return {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "carbon-migrate",
        "options": options,
        **_ALIVE,
    }


def _is_away(address: PostgresAddress) -> bool:
    """Whether no server takes connections at the address now, whoever asks.

    An error of connecting has no code, and its text is in the language of the server. To this question libpq needs
    neither user nor password nor database ("PQpingParams").
    """
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - an extra
    from psycopg.pq import PGconn, Ping  # noqa: PLC0415 - as above

    asked = make_conninfo(address.url, connect_timeout=_PING_SECONDS)
    return PGconn.ping(asked.encode()) in {Ping.REJECT, Ping.NO_RESPONSE}


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Raise `JournalUnreadable` for an error of the driver, `JournalAway` where it has lost the connection."""
    import psycopg  # noqa: PLC0415 - an extra

    try:
        yield
    except psycopg.Error as error:
        raise (JournalAway if is_lost(error) else JournalUnreadable)(
            said("the journal {name} cannot be read: {error}", name=name, error=in_a_line(error))
        ) from error


def is_lost(error: Exception) -> bool:
    """Whether the connection was lost, or the server is ending or starting: then the same works later."""
    import psycopg  # noqa: PLC0415 - an extra

    # An error of the way to the server has no code of the server; 57P are its own interventions (PostgreSQL, app. A).
    return isinstance(error, psycopg.OperationalError) and (error.sqlstate or _LOST).startswith(("08", _LOST))


_LOST: Final = "57P"
_NOT_EXACTLY: Final = "22012"
"""The error of the block `exactly`: a division by zero."""


def in_a_line(error: Exception) -> str:
    """What the driver or the server says; where that is that there is no connection, in our words."""
    return NO_CONNECTION if is_lost(error) else _in_its_words(error)


def _in_its_words(error: Exception) -> str:
    return " ".join(str(error).split())


class PostgresQueries(Queries):
    """Runs blocks on a connection to PostgreSQL. Raises `psycopg.Error`."""

    def __init__(self, connection: "PostgresConnection", name: str) -> None:
        self._connection = connection
        self._name = name

    def execute(self, mark: str, /) -> None:
        """Begin or end a transaction."""
        self._connection.execute(cast("Any", mark))

    def run(self, name: str, values: Mapping[str, Value]) -> "psycopg.Cursor[dict[str, Any]]":
        # The blocks are the program's own text.
        return self._connection.execute(cast("Any", _block(name)), _bound(values))

    def check(self, name: str, wanted: int, refuse: Callable[[int], None], /, **values: Value) -> None:
        if (found := self.run(name, values).rowcount) != wanted:
            refuse(found)

    def later(self, name: str, /, **values: Value) -> list[FoundRow]:
        found = self.run(name, values)
        return [*found.fetchall()] if found.description else []

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._connection.execute("begin isolation level repeatable read read only")
        try:
            yield
        finally:
            self._connection.execute("rollback")

    def exclude_others(self) -> None:
        self.ask("exclude_others")

    def ask(self, name: str, /, **values: Value) -> object:
        """The answer of a block that PostgreSQL alone has, None for none."""
        found = self.run(name, values)
        row = found.fetchone() if found.description else None
        return row.get("answer") if row else None

    def attempt(self, work: Callable[[Queries], Result]) -> Result:
        with explained(self._name):
            return work(self)


_BEGIN: Final = "begin"

PREPARED: Final = ("exactly(taken_over)", "exactly(claim)", "exactly(record)", "keep", "doubt_shared_ids")
"""The blocks of each group of rows: a connection that writes has the server read and plan them once."""


class WritingQueries(PostgresQueries):
    """Gathers the blocks of a transaction, and sends them in one text.

    That is where the result of one is asked for, or where the transaction ends: a text alone is a transaction by
    itself. An error is raised by what it went with; `careful` sends each block by itself, and has it judged.
    """

    def __init__(self, connection: "PostgresConnection", name: str) -> None:
        super().__init__(connection, name)
        self.careful = PostgresQueries(connection, name)
        self._ahead: list[tuple[str, list[FoundRow] | None]] = []
        self._cursor = cast("psycopg.ClientCursor[dict[str, Any]]", connection.cursor())
        """For texts, and for results that are read at once: a new one costs as much as a statement."""
        with explained(name):
            connection.execute(cast("Any", "; ".join(_preparation(block) for block in PREPARED)))

    def execute(self, mark: str, /) -> None:
        if mark == "rollback":
            self._ahead = []
            super().execute(mark)
        elif mark == "commit" and self._ahead[:1] == [(_BEGIN, None)]:
            del self._ahead[0]
            if self._ahead:
                self._send()
        else:
            self._ahead.append((mark, None))
            if mark == "commit":
                self._send()

    def run(self, name: str, values: Mapping[str, Value]) -> "psycopg.Cursor[dict[str, Any]]":
        return self._send(self._text(name, values))

    def check(self, name: str, wanted: int, refuse: Callable[[int], None], /, **values: Value) -> None:
        self._ahead.append((self._text(f"exactly({name})", {**values, "wanted": wanted}), None))

    def later(self, name: str, /, **values: Value) -> list[FoundRow]:
        found: list[FoundRow] = []
        self._ahead.append((self._text(name, values), found))
        return found

    def _send(self, *last: str) -> "psycopg.Cursor[dict[str, Any]]":
        # What goes with a statement that fails is not sent again.
        ahead, self._ahead = self._ahead, []
        text = cast("Any", "; ".join([*(text for text, _ in ahead), *last]))
        ran = self._connection.execute(text) if last else self._cursor.execute(text)
        for place, (_, found) in enumerate(ahead):
            if found is not None and ran.set_result(place).description:
                found.extend(ran.fetchall())
        return ran.set_result(-1)

    def _text(self, name: str, values: Mapping[str, Value]) -> str:
        text = _execution(name) if name in PREPARED else _block(name)
        return self._cursor.mogrify(cast("Any", text), _bound(values))

    def cancel(self) -> None:
        self._connection.cancel()

    def close(self) -> None:
        self._connection.close()


def _bound(values: Mapping[str, Value]) -> dict[str, str | int | None]:
    """The parameters of a block; PostgreSQL keeps no character 0 in a text, which is shown as unreadable instead."""

    def replaced(found: re.Match[str]) -> str:
        # An even number of backslashes is so many backslashes, and no escape.
        slashes = len(found[0]) - len("u0000")
        return found[0] if slashes % 2 == 0 else f"{found[0][: -len('u0000')]}ufffd"

    bound = bind(values)
    for name, value in bound.items():
        if isinstance(value, str) and ("\0" in value or "u0000" in value):
            bound[name] = _NUL.sub(replaced, value.replace("\0", "\ufffd"))
    return bound


@cache
def _block(name: str) -> str:
    """A block as psycopg takes it: `%(name)s` for `:name`."""
    return _PARAMETER.sub(r"%(\1)s", blocks("postgres")[name].replace("%", "%%"))


def _parameters(name: str) -> list[str]:
    return [*dict.fromkeys(_PARAMETER.findall(_COMMENT.sub("", blocks("postgres")[name])))]


def _preparation(name: str) -> str:
    """What prepares a block under its own name; types of parameters follow from what they are compared with."""
    places = {parameter: f"${place}" for place, parameter in enumerate(_parameters(name), 1)}
    text = _PARAMETER.sub(lambda found: places[found[1]], _COMMENT.sub("", blocks("postgres")[name]))
    return f'prepare "{name}" as {text}'


@cache
def _execution(name: str) -> str:
    """A prepared block as psycopg takes it."""
    return f'execute "{name}" ({", ".join(f"%({parameter})s" for parameter in _parameters(name))})'


# ---- the store of a journal in PostgreSQL, for several machines ---------------------------------------------------


_BEHIND: Final = 4
FORMAT: Final = queries.FORMAT - _BEHIND
"""The format of the schema in PostgreSQL."""

LOOK: Final = 3.0
"""Seconds between two looks into a mailbox without a notification."""

_NOTED: Final = 1.0
"""Seconds within which who has taken the lock of a run has noted that it works on it."""

_AGAIN: Final = 2.0
"""Seconds after which a lost connection is opened again."""

_LONG: Final = 1_000
"""Items of a list that is read page by page."""

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

            dialect = Dialect(
                _BEGIN,
                psycopg.Error,
                WritingQueries.cancel,
                is_lost,
                lambda error: isinstance(error, psycopg.Error) and error.sqlstate == _NOT_EXACTLY,
                lambda writing: writing.careful,
            )
            self._writer = Writer(WritingQueries(self._written, self.name), dialect, loop)
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
        return await self._writer.do(work)

    async def analyze(self, run_id: int) -> None:
        def work(db: Queries) -> None:
            if db.one("last_number", run_id=run_id)["number"] >= _LONG:
                db.write("analyze_items")

        await self.read(work)

    async def size(self) -> int:
        found = await self.read(lambda db: db.one("size"))
        return int(found["bytes"])

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
