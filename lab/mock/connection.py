"""A writing connection of the mock billing, with its statements prepared once."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection, DatabaseRow, FirebirdError, FirebirdRefusal, Prepared
from billing.database.schema import Schema, fitted
from billing.database.sql_blocks import SqlStatement, Value, sql_block
from billing.errors import ColumnsMissing
from lab.mock.facts import models_with
from lab.mock.values import MockRefusal

_KEPT = 300  # prepared statements; filters produce any number of different ones


class MockConnection:
    """A connection for one thread; `execute` returns all rows, and nothing is kept before `commit`.

    `schema` describes the database, and `models` the models that it supports. `given` are the generators and the keys
    used since `reserve`.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._connection: Connection = attach(dsn)
        self._cursor = self._connection.cursor()
        self._encoding = dsn.encoding
        self._prepared: dict[str, Prepared] = {}
        self._fitted: dict[str, SqlStatement] = {}
        rows = self.execute(sql_block("population", "columns", "lab.mock.sql").text)
        self.schema = Schema.of((table.rstrip(), name.rstrip()) for table, name in rows)
        self.models = models_with(self.schema)
        self.reserve()

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[DatabaseRow]:
        """Run a statement; returns its rows, or an empty list.

        Raises `MockRefusal` when Firebird refuses it: a value too long, a foreign key without a target.
        """
        try:
            return (self._prepared.get(sql) or self._prepare(sql)).run(parameters)
        except (FirebirdRefusal, ValueError) as error:
            raise MockRefusal(" ".join(str(error.args[0]).split())) from error

    def _prepare(self, sql: str) -> Prepared:
        if len(self._prepared) >= _KEPT:
            self._prepared.clear()
        transaction = self._connection.main_transaction
        self._prepared[sql] = prepared = Prepared(transaction, self._cursor, sql, self._encoding)
        return prepared

    def run(self, block: str, **values: Value) -> list[DatabaseRow]:
        """Run a block of `sql/requests.sql` with its parameters.

        Raises `MockRefusal`, also where this billing lacks a table or column of it.
        """
        wanted = sql_block("requests", block, "lab.mock.sql")
        try:
            fit = self._fitted.get(wanted.text) or self._fitted.setdefault(wanted.text, fitted(wanted, self.schema))
        except ColumnsMissing as error:
            raise MockRefusal(str(error)) from error
        return self.execute(*fit.bind(values))

    def reserve(self, keys: Iterable[tuple[str, int]] = ()) -> None:
        """Use these keys first, each for its generator."""
        self.given: list[tuple[str, int]] = []
        self._reserved: defaultdict[str, deque[int]] = defaultdict(deque)
        for generator, key in keys:
            self._reserved[generator].append(key)

    def next_key(self, generator: str) -> int:
        """The next key of a generator: a reserved one, or its next value, which stays used even after a rollback."""
        if waiting := self._reserved.get(generator):
            key = waiting.popleft()
        else:
            ((key,),) = self.execute(f"select gen_id({generator}, 1) from rdb$database")  # noqa: S608 - ours
        self.given.append((generator, int(key)))
        return int(key)

    def save_here(self) -> None:
        self.execute("savepoint this_call")

    def go_back(self) -> None:
        self.execute("rollback to savepoint this_call")

    def commit(self) -> None:
        self._connection.commit()

    def abandon(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._prepared.clear()
        with suppress(FirebirdError):
            self._connection.close()
