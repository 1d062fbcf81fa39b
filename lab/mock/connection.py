"""One writing connection of the mock billing, its statements prepared once."""

from collections.abc import Sequence
from contextlib import suppress

import fdb

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection, Cursor, DatabaseRow
from billing.database.schema import Schema, fitted
from billing.database.sql_blocks import SqlStatement, Values, sql_block
from billing.errors import ColumnsMissing
from lab.mock.models import MockModel, models_with
from lab.mock.refusals import MockRefusal

_KEPT = 300  # other statements than these come from filters, and are as many as the callers make up
_SAVEPOINT = "this_call"


class MockConnection:
    """A connection for one thread; `execute` gives all rows, and nothing is kept before `commit`.

    `schema` is what the database has, and `models` what it has of the models.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._connection: Connection = attach(dsn)
        self._prepared: dict[str, tuple[Cursor, object]] = {}
        self._fitted: dict[str, SqlStatement] = {}
        rows = self.execute(sql_block("population", "columns", "lab.mock.sql").text)
        self.schema = Schema.of((table.rstrip(), name.rstrip()) for table, name in rows)
        self.models: dict[str, MockModel] = models_with(self.schema.has)

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[DatabaseRow]:
        """Run a statement; the rows that it gives, or an empty list.

        Raises `MockRefusal` when Firebird refuses it: a value too long, a key that refers to nothing.
        """
        try:
            return self._execute(sql, parameters)
        except (fdb.DatabaseError, ValueError) as error:
            raise MockRefusal(" ".join(str(error.args[0]).split())) from error

    def _execute(self, sql: str, parameters: Sequence[object]) -> list[DatabaseRow]:
        if sql not in self._prepared:
            if len(self._prepared) >= _KEPT:
                self._prepared.clear()
            cursor = self._connection.cursor()
            self._prepared[sql] = cursor, cursor.prep(sql)
        cursor, prepared = self._prepared[sql]
        try:
            cursor.execute(prepared, parameters)
        except (fdb.Error, ValueError):
            # fdb believes that a select which failed is open, and would fail again at the commit to close it.
            with suppress(fdb.Error):
                cursor.close()
            del self._prepared[sql]
            raise
        # Statements that give no rows have no description.
        return cursor.fetchall() if cursor.description else []

    def run(self, wanted: SqlStatement, values: Values) -> list[DatabaseRow]:
        """Run a named statement with its parameters.

        Raises `MockRefusal`, also where this billing lacks what it names.
        """
        try:
            fit = self._fitted.get(wanted.text) or self._fitted.setdefault(wanted.text, fitted(wanted, self.schema))
        except ColumnsMissing as error:
            raise MockRefusal(str(error)) from error
        return self.execute(*fit.bind(values))

    def next_key(self, generator: str) -> int:
        """The next value of a generator; it is used up even if the transaction is not kept."""
        ((key,),) = self.execute(f"select gen_id({generator}, 1) from rdb$database")  # noqa: S608 - a name of ours
        return int(key)

    def save_here(self) -> None:
        """Mark the place that `go_back` returns to."""
        self._connection.savepoint(_SAVEPOINT)

    def go_back(self) -> None:
        """Undo what was done since `save_here`."""
        self._connection.rollback(savepoint=_SAVEPOINT)

    def commit(self) -> None:
        """Keep what was done."""
        self._connection.commit()

    def abandon(self) -> None:
        """Undo what was done since the last commit."""
        self._connection.rollback()

    def close(self) -> None:
        """Close the connection; what was not committed is lost."""
        self._prepared.clear()
        with suppress(fdb.Error):
            self._connection.close()
