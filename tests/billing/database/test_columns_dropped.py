"""Whichever documented columns a billing lacks: Firebird takes our statements, or what is missing is named."""

import shutil
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.schema import DOCUMENTED, TableColumn
from billing.database.sql_blocks import SqlStatement, Value, blocks
from billing.directory.models import MODELS
from billing.directory.objects import commented, from_database
from billing.errors import ColumnsMissing
from lab.mock.leaving_out import leave_out
from lab.mock.population import create

LISTS = [[TableColumn(table, name) for name in names] for table, names in DOCUMENTED.items()]
TOGETHER = [[one for one in each if one is not None] for each in zip_longest(*LISTS)]
"""The first columns of all tables, the second ones, and so on: a billing lacks those of one list."""

FILES = [
    ("database", "billing.database"),
    ("subscribers", "billing.directory"),
    ("system", "billing.directory"),
    ("selects", "jobs.catalogue"),
]


class Nothing(dict[str, Value]):
    """A value for each parameter: what is only prepared needs none."""

    def __missing__(self, name: str) -> Value:
        return None


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "billing.fdb"
    create(path, subscribers=5, seed=1)
    return path


def statements() -> Iterator[SqlStatement]:
    for file, folder in FILES:
        yield from blocks(file, folder).values()


@pytest.mark.parametrize("gone", TOGETHER, ids=lambda gone: f"{gone[0]} and {len(gone) - 1} more")
def test_a_statement_is_taken_or_names_what_is_missing(
    template: Path, tmp_path: Path, gone: list[TableColumn]
) -> None:
    file = Path(shutil.copy(template, tmp_path / "billing.fdb"))
    connection = attach(Dsn(str(file)))
    for one in gone:
        leave_out(connection, str(one))
    connection.close()
    named: set[str] = set()
    with Database(Dsn(str(file))) as database:
        for statement in statements():
            try:
                database.describe(statement, Nothing(none=None))
            except ColumnsMissing as error:
                named |= set(error.missing)
        for model, known in MODELS.items():
            for way in known.keys:
                try:
                    from_database(database, model, [{way: "2001"}])
                    if known.commented:
                        commented(database, model, [(2001, 1)], "[cm ")
                except ColumnsMissing as error:
                    named |= set(error.missing)
    # Anything else that Firebird has to say of a statement is an error that comes out here.
    assert named <= {*map(str, gone), "EVENTS_STACK"}
