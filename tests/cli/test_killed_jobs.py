"""Every job that writes, in real processes: planned, run, killed with -9 in the middle, resumed, verified, undone."""

import shutil
import signal
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from checkpoints.states import State
from jobs.catalogue.catalogue import JOBS
from lab.crash.books import read_books
from lab.crash.drawing import draw
from lab.crash.experiment_plan import BALANCES, IMPORT, WARNING_THRESHOLD
from lab.crash.judge import judge
from lab.crash.load import prepare_load
from lab.crash.observer import Observer
from lab.crash.trials import TRIALS, Trial
from lab.mock.population import create
from lab.mock.server import running
from tests.cli.conftest import Cli, clean_environment
from tests.cli.flows import Arrivals
from tests.jobs.whole_database import Tables, changes, whole

ROWS = 8
KILLED_AT = 3
PACING = ("--in-flight", "2", "--settle", "0.1")

NO_WAY_BACK = frozenset({"recalculate", "delete-account", "password", "random-password", "password-recovery"})
LEFT_BEHIND = {
    "balances": {"FINANCE_OPERATIONS"},
    "payment": {"FINANCE_OPERATIONS"},
    "connect-service": {"USERS_USLUGA"},
    "delete-services": {"USERS_USLUGA"},
}
"""The tables in which an undo leaves entries, its own or marked as deleted; all others are as they were before."""
HOW = {"balances": ("--set", "way=opposite"), "payment": ("--set", "way=opposite")}
"""How entries of money are taken back here; left alone they become a list for the accountant."""


async def whole_of(file: Path) -> Tables:
    def read() -> Tables:
        with Database(Dsn(str(file))) as database:
            return whole(database)

    return await anyio.to_thread.run_sync(read)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A billing with a few subscribers; not to be opened, only copied."""
    path = tmp_path_factory.mktemp("few") / "billing.fdb"
    create(path, subscribers=5 * ROWS, seed=1)
    return path


def test_every_job_that_writes_is_tried() -> None:
    # An import is planned, killed and taken back by tests of its own, see proofs.py.
    assert {*TRIALS, IMPORT} == {name for name, kind in JOBS.items() if kind.writes}


@pytest.mark.loops(120)
@pytest.mark.parametrize(
    ("trial", "without"),
    [
        *(pytest.param(trial, "", id=name) for name, trial in TRIALS.items()),
        # By the vendor's call a payment whose answer is lost is left to a person; usually it has a mark.
        pytest.param(TRIALS["payment"], "way=add_payment", id="payment-marked"),
    ],
)
async def test_planned_run_killed_resumed_verified_and_undone(
    trial: Trial, without: str, few: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copyfile(few, tmp_path / "billing.fdb"))
    plan = replace(draw(1, job=trial.job, rows=ROWS, faults=""), own=trial)
    asked = await anyio.to_thread.run_sync(prepare_load, tmp_path, plan, file)
    words = [*asked.arguments]
    if without:
        at = words.index(without)
        del words[at - 1 : at + 1]
    arrivals = Arrivals(trial.called if trial.called and not without else trial.model)
    before = await whole_of(file)
    async with running(Dsn(str(file)), middlewares=[arrivals.count]) as billing:
        environment = clean_environment() | {
            "CARBON_MIGRATE_API_URL": billing.url,
            "CARBON_MIGRATE_DATABASE": str(file),
            "COLUMNS": "200",
        }
        cli = Cli(tmp_path, environment)
        planned = (await cli("plan", *words[1:], "--json")).closing
        assert planned["states"] == {State.PENDING: len(asked.wanted)}
        assert changes(before, await whole_of(file)) == {}
        assert arrivals.number == 0
        billing.latency = 0.1
        observer = Observer(cli.journal).prepare()
        async with cli.started(*words, "--yes", *PACING) as run:
            await run.until(partial(arrivals.reach, KILLED_AT))
            run.signal(signal.SIGKILL)
            await run.ended()
        assert observer.view().in_flight > 0
        billing.latency = 0.0
        ended = await cli("resume", "--yes", "--json", *PACING, may_end_with=(0, 4))
        verified = await cli("verify", ended.closing["run"], may_end_with=(0, 4))
        verdict = judge(await read_books(plan, asked, observer, file, ended.closing["run"], verified.exit))
        assert verdict.problems == ()
        assert verdict.once + verdict.asked == len(asked.wanted)
        assert (verdict.twice, verdict.lost, verdict.foreign) == (0, 0, 0)
        assert (trial.may_ask and not without) or not verdict.asked
        assert trial.job == WARNING_THRESHOLD or len(asked.wanted) == ROWS
        how = (*HOW.get(trial.job, ()), "--set", "unproven=take")
        undo = ("undo", ended.closing["run"], *how, "--yes", "--json", *PACING)
        if trial.job in NO_WAY_BACK:
            await cli(*undo, may_end_with=(2,))
            return
        undone = (await cli(*undo)).closing
        # Of two balances of one account the first was overwritten by the second: it is left alone.
        twice = planned["shared_accounts"] if trial.job == BALANCES else 0
        states = {State.ACCEPTED: len(asked.wanted) - verdict.asked - twice, State.SKIPPED: twice}
        assert Counter(undone["states"]) == Counter(states)
        await cli("verify", undone["run"])
    left = changes(before, await whole_of(file))
    # A payment that nobody has decided on may be there.
    undecided = {"ADMIN_ACCOUNTS"} if verdict.asked else set()
    assert set(left) - undecided == LEFT_BEHIND.get(trial.job, set())
