"""The made-up billing is always the same one, and lacks tables and columns as versions of the real one do."""

import shutil
from itertools import zip_longest
from pathlib import Path

import pytest

from billing.database.database import TABLES, Database, attach
from billing.database.dsn import Dsn
from billing.database.schema import DOCUMENTED, TableColumn
from billing.errors import DatabaseError, SettingsError
from lab.mock.population import _COLUMNS, create, leave_out


def _all(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with Database(Dsn(str(path))) as database:
        return {table: list(database.query(f"select * from {table} order by 1")) for table in _COLUMNS}  # noqa: S608


def test_the_same_seed_gives_the_same_rows_and_it_tells_what_it_made(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.fdb" for number in range(3)]
    made = [create(path, subscribers=200, seed=seed) for path, seed in zip(paths, (1, 1, 2), strict=True)]
    first, second, other = map(_all, paths)
    assert first == second
    assert first["abonents"] != other["abonents"]
    assert made[0].subscribers == 200
    with Database(Dsn(str(paths[0]))) as database:
        ((deleted, forced),) = database.query(
            "select (select count(*) from abonents where deleted = 1), mon$forced_writes from mon$database"
        )
    assert (made[0].deleted, forced) == (deleted, 0)
    with pytest.raises(DatabaseError):
        create(paths[0], subscribers=1, seed=1)
    assert _all(paths[0]) == first, "what is there is left alone"


def test_each_documented_table_and_column_can_be_left_out(tmp_path: Path) -> None:
    create(tmp_path / "template.fdb", subscribers=2, seed=1)
    # The first columns of all tables in one billing, the second ones in another.
    lists = [[TableColumn(table, name) for name in names] for table, names in DOCUMENTED.items()]
    columns = [[one for one in each if one is not None] for each in zip_longest(*lists)]
    tables = [TableColumn(table) for table in DOCUMENTED if table not in TABLES and table != "EVENTS_STACK"]
    for number, names in enumerate([tables, *columns]):
        file = Path(shutil.copy(tmp_path / "template.fdb", tmp_path / f"{number}.fdb"))
        connection = attach(Dsn(str(file)))
        for one in names:
            leave_out(connection, str(one))
        connection.close()
        with Database(Dsn(str(file))) as database:
            assert set(names) <= set(database.schema.missing(names))


@pytest.mark.parametrize("name", ["FINANCE_OPERATIONS.NOTHING", "NOTHING", "MOCK_LEDGER", "ABONENTS.", ""])
def test_what_it_does_not_have_cannot_be_left_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="no such table or column"):
        create(tmp_path / "b.fdb", subscribers=5, seed=1, without=(name,))
