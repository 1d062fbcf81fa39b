"""kill -9 in the middle of every job that writes, as a real process: resumed, verified, and taken back."""

import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from billing.database import Database, Dsn
from billing.mockserver.population import create
from billing.mockserver.server import running
from checkpoints.states import State
from cli.selftest.checking import judge
from cli.selftest.gathering import books
from cli.selftest.loading import order
from cli.selftest.plan import WARNING_THRESHOLD, draw
from cli.selftest.trials import TRIALS, Trial
from cli.selftest.watching import Watched
from jobs.catalogue import JOBS
from tests.cli.conftest import PATIENCE, Cli, clean_environment
from tests.jobs.whole_database import changes, whole

ROWS = 8
KILLED_AT = 3
PACING = ("--in-flight", "2", "--settle", "0.1")

NEVER_AS_IT_WAS = frozenset({
    "balances",
    "payment",
    "connect-service",
    "attribute",
    "delete-services",
    "delete-account",
    "recalculate",
    "password",
    "random-password",
    "password-recovery",
})  # fmt: skip
"""Jobs whose undo leaves something behind, or that have none: their own tests tell what."""


@dataclass(slots=True)
class Arrivals:
    """Counts the calls on a model that arrive, and lets a test wait for one."""

    model: str
    number: int = 0
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.endswith(f"/{self.model}") or f"/{self.model}/" in request.path:
            self.number += 1
            self._changed.set()
            self._changed = anyio.Event()
        return await handler(request)

    async def reach(self, number: int) -> None:
        with anyio.fail_after(PATIENCE):
            while self.number < number:
                await self._changed.wait()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A billing with a few subscribers; not to be opened, only copied."""
    path = tmp_path_factory.mktemp("few") / "billing.fdb"
    create(path, abonents=5 * ROWS, seed=1)
    return path


def test_every_job_that_writes_is_tried() -> None:
    assert set(TRIALS) == {name for name, kind in JOBS.items() if kind.writes}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("trial", TRIALS.values(), ids=list(TRIALS))
async def test_killed_and_resumed(trial: Trial, few: Path, tmp_path: Path) -> None:
    file = Path(shutil.copyfile(few, tmp_path / "billing.fdb"))
    plan = draw(1, job=trial.job, rows=ROWS, faults="")
    asked = await anyio.to_thread.run_sync(order, tmp_path, plan, file)
    arrivals = Arrivals(trial.called or trial.model)
    with Database(Dsn(str(file))) as database:
        before = whole(database)
    async with running(Dsn(str(file)), middlewares=[arrivals.count]) as billing:
        billing.latency = 0.1
        environment = clean_environment() | {
            "CARBON_MIGRATE_API_URL": billing.url,
            "CARBON_MIGRATE_DATABASE": str(file),
            "COLUMNS": "200",
        }
        cli = Cli(tmp_path, environment)
        watched = Watched(cli.journal).prepared()
        async with cli.started("run", *asked.arguments, "--yes", *PACING) as run:
            await arrivals.reach(KILLED_AT)
            run.signal(signal.SIGKILL)
            await run.ended()
        assert watched.glance().in_flight > 0
        billing.latency = 0.0
        ended = await cli("resume", "--yes", "--json", *PACING, may_end_with=(0, 4))
        verified = await cli("verify", ended.closing["run"], may_end_with=(0, 1, 4))
        verdict = judge(await books(plan, asked, watched, file, ended.closing["run"], verified.exit))
        assert verdict.problems == ()
        assert verdict.once + verdict.asked == len(asked.wanted)
        assert (verdict.twice, verdict.lost, verdict.foreign) == (0, 0, 0)
        assert trial.may_ask or not verdict.asked
        assert trial.job == WARNING_THRESHOLD or len(asked.wanted) == ROWS
        if trial.job in NEVER_AS_IT_WAS:
            return
        undone = await cli("undo", ended.closing["run"], "--yes", "--json", *PACING)
        assert undone.closing["states"] == {State.ACCEPTED: len(asked.wanted)}
    with Database(Dsn(str(file))) as database:
        assert changes(before, whole(database)) == {}
