"""Rows a second out of Firebird: fetched and thrown away, and frozen into the journal."""

import tempfile
import time
from pathlib import Path

import anyio

from benchmarks.figures import Spread, table
from billing.client import BillingClient, ClientSettings
from billing.database import Database, Dsn
from billing.mockserver.population import create
from checkpoints.journal import open_journal
from checkpoints.records import NewRun
from engine.intake import Intake
from engine.job import Job
from engine.progress import Progress
from jobs.kinds import parameters_of
from jobs.services import Services
from jobs.warning_threshold import WARNING_THRESHOLD

ABONENTS = 100_000
RUNS = 3


def measure() -> str:
    """The table: the source alone, then the source and the journal, in turn."""
    fetched, frozen = [], []
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        billing = Path(folder) / "billing.fdb"
        create(billing, abonents=ABONENTS, seed=1)
        with Database(Dsn(str(billing))) as database:
            services = Services(BillingClient(ClientSettings("http://127.0.0.1:9")), database)
            for number in range(RUNS):
                job = WARNING_THRESHOLD.build(services, parameters_of(WARNING_THRESHOLD, {"from": "tariff"}), None)
                fetched.append(_fetch(job))
                frozen.append(anyio.run(_freeze, job, Path(folder) / f"journal-{number}.db"))
    ratio = Spread.of([two / one for one, two in zip(fetched, frozen, strict=True)])
    return table(
        ["rows out of Firebird", "rows/s", "ratio"],
        [
            ["fetched, page by page", Spread.of(fetched).shown(), ""],
            ["frozen in the journal", Spread.of(frozen).shown(), ratio.shown(".2f")],
        ],
    )


def _fetch(job: Job) -> float:
    began = time.perf_counter()
    rows = sum(len(page.rows) for page in job.source.pages(None))
    return rows / (time.perf_counter() - began)


async def _freeze(job: Job, path: Path) -> float:
    async with open_journal(path) as journal:
        run = await journal.create_run(NewRun(job.name, {}, "nowhere", job.source.name))
        began = time.perf_counter()
        await Intake(run, job, journal, Progress()).freeze_all()
        seconds = time.perf_counter() - began
        return (await journal.totals(run)).frozen / seconds


if __name__ == "__main__":
    print(measure())
