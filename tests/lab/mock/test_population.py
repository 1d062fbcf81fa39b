"""The made-up billing is what real ones are, and always the same one."""

from pathlib import Path

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.errors import DatabaseError
from lab.mock.population import _COLUMNS, create


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
