"""Rows a second read from Firebird by the jobs' source: discarded, and saved in the journal."""

import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.entering import freeze, on_uvloop
from benchmarks.figures import Part, Size, Spread, table
from billing.database.database import Database
from billing.database.dsn import Dsn
from jobs.rows.select_source import select_source
from lab.mock.population import create

ABONENTS: Final = Size(100_000, quick=20_000, smoke=500)
RUNS: Final = Size(3, quick=2, smoke=1)
SELECT: Final = "select id, '50.50' as amount from abonents where is_folder = 0 and deleted = 0"
"""A typical operator's select; the jobs' source finds that it can be read along its key."""


def measure(size: str) -> Part:
    """The table: the source alone, then the source and the journal, in turn."""
    fetched: list[float] = []
    frozen: list[float] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        billing = Path(folder) / "billing.fdb"
        create(billing, subscribers=int(ABONENTS.of(size)), seed=1)
        with Database(Dsn(str(billing))) as database:
            source = select_source(database, SELECT, {})
            if source.is_read_whole:
                raise RuntimeError(
                    "the select is read at once, and not along its key: the figures would be of another way"
                )
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
