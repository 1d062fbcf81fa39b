"""Rows a second out of Firebird: fetched and thrown away, and frozen into the journal."""

import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.entering import AMOUNT, freeze, on_uvloop
from benchmarks.figures import Part, Size, Spread, table
from billing.database import Database, Dsn
from billing.mockserver.population import create
from engine.job import Row, RowPage
from engine.sources.query import PagedQuery

ABONENTS: Final = Size(100_000, quick=20_000, smoke=500)
RUNS: Final = Size(3, quick=2, smoke=1)
SELECT: Final = "select first :size id from abonents where is_folder = 0 and deleted = 0 and id > :after order by id"
"""A page along the key."""


def measure(size: str) -> Part:
    """The table: the source alone, then the source and the journal, in turn."""
    fetched: list[float] = []
    frozen: list[float] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        billing = Path(folder) / "billing.fdb"
        create(billing, abonents=int(ABONENTS.of(size)), seed=1)
        with Database(Dsn(str(billing))) as database:
            source = _source(database)
            for _ in range(int(RUNS.of(size))):
                began = time.perf_counter()
                rows = sum(len(page.rows) for page in source.pages(None))
                fetched.append(rows / (time.perf_counter() - began))
                frozen.append(rows / on_uvloop(freeze, source))
    ratio = Spread.of([two / one for one, two in zip(fetched, frozen, strict=True)])
    return Part(
        table(
            ["rows out of Firebird", "rows/s", "ratio"],
            [
                ["fetched, page by page", Spread.of(fetched).shown(), ""],
                ["frozen in the journal", Spread.of(frozen).shown(), ratio.shown(".2f")],
            ],
        )
    )


def _source(database: Database) -> PagedQuery:
    def fetch(after: str | None) -> RowPage | None:
        found = next(database.pages(SELECT, after=int(after or 0), size=1000), None)
        if found is None:
            return None
        return RowPage(tuple(Row(None, (str(key), AMOUNT)) for (key,) in found), (), str(found[-1][0]))

    return PagedQuery("subscribers", ("abonent_id", "amount"), fetch)
