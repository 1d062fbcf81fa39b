"""Connections to a journal in PostgreSQL: how they are opened, and how blocks run on them.

psycopg is an extra of the program, and is imported where a connection is opened.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from checkpoints.address import PostgresAddress
from checkpoints.errors import JournalAway, JournalUnreadable
from checkpoints.queries import Queries, Result, Value, bind, blocks
from texts.said import said

if TYPE_CHECKING:
    import psycopg

    PostgresConnection = psycopg.Connection[dict[str, Any]]

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
            said("the journal {name} cannot be opened: {error}", name=address.name, error=in_a_line(error))
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


def in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


class WritingConnection:
    """A connection that sends the marks of a transaction, and what is to be judged, along with the next statement.

    Each would be a round trip to the server. An error of its begin, such as a lost connection, is raised by the
    statement that it went with.
    """

    def __init__(self, connection: "PostgresConnection") -> None:
        self._connection = connection
        self._ahead: list[tuple[str, Callable[[int], None] | None]] = []

    def execute(self, sql: str, /) -> None:
        """Run a statement without parameters, a mark at the latest with the next one."""
        if sql.startswith("rollback"):
            # What has not been sent needs no taking back; its marks are not to be missing.
            self._ahead = [] if sql == "rollback" else [one for one in self._ahead if one[0] in _MARKS]
        self._ahead.append((sql, None))
        if sql not in _MARKS:
            self._send()

    def check(self, sql: str, values: Mapping[str, Any], judge: Callable[[int], None]) -> None:
        """Run a statement at the latest with the next one, and let `judge` have the number of its rows."""
        self._ahead.append((self._text(sql, values), judge))

    def judge(self) -> None:
        if any(judge for _, judge in self._ahead):
            self._send()

    def run(self, sql: str, values: Mapping[str, Any]) -> "psycopg.Cursor[dict[str, Any]]":
        """Run a statement, after what was to go before it; the cursor is at its result."""
        self._ahead.append((self._text(sql, values), None))
        return self._send()

    def _send(self) -> "psycopg.Cursor[dict[str, Any]]":
        # What goes with a statement that fails is not sent again.
        ahead, self._ahead = self._ahead, []
        # The statements are the program's own text.
        cursor = self._connection.execute(cast("Any", "; ".join(text for text, _ in ahead)))
        for place, (_, judge) in enumerate(ahead):
            if place:
                cursor.nextset()
            if judge is not None:
                judge(cursor.rowcount)
        return cursor

    def _text(self, sql: str, values: Mapping[str, Any]) -> str:
        cursor = cast("psycopg.ClientCursor[dict[str, Any]]", self._connection.cursor())
        return cursor.mogrify(cast("Any", sql), values)

    def cancel(self) -> None:
        self._connection.cancel()

    def close(self) -> None:
        self._connection.close()


_MARKS: Final = frozenset({"begin", "savepoint piece", "rollback to piece", "release piece"})


class PostgresQueries(Queries):
    """Runs blocks on a connection to PostgreSQL. Raises `psycopg.Error`."""

    def __init__(self, connection: "PostgresConnection | WritingConnection", name: str) -> None:
        self._connection = connection
        self._name = name

    def run(self, name: str, values: Mapping[str, Value]) -> "psycopg.Cursor[dict[str, Any]]":
        sql, bound = _block(name), _bound(values)
        if isinstance(self._connection, WritingConnection):
            return self._connection.run(sql, bound)
        # The blocks are the program's own text.
        return self._connection.execute(cast("Any", sql), bound)

    def check(self, name: str, judge: Callable[[int], None], /, **values: Value) -> None:
        if isinstance(self._connection, WritingConnection):
            self._connection.check(_block(name), _bound(values), judge)
        else:
            judge(self.run(name, values).rowcount)

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
