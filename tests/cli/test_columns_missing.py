"""A billing that lacks documented columns: a run is settled without them, or refused before its first call."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import pytest
from yarl import URL

from billing.database.database import attach
from billing.database.dsn import Dsn
from checkpoints.states import State
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.population import leave_out
from lab.mock.server import running
from tests.cli.conftest import Place, place_in

PACING = ("--in-flight", "2", "--settle", "0.1", "--no-canary")


@pytest.fixture
def billing_file(billing_template: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A billing without the tables and columns that the test names."""
    file = Path(shutil.copy(billing_template, tmp_path / "billing.fdb"))
    _leave_out(file, request.param)
    return file


def without(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("billing_file", [names], indirect=True, ids=["-".join(names)])


@without("FINANCE_OPERATIONS.SYNC1C", "FINANCE_OPERATIONS.CODE1C", "FINANCE_OPERATIONS.OP_DATE", "ACCOUNT_STACK")
async def test_lost_answers_are_settled_without_what_can_be_done_without(place: Place) -> None:
    balances = place.balances(rows=8)
    place.billing.faults.set(FaultPlan((Fault(FaultKind.RESET_AFTER, method="objects.create", times=3),)))
    closing = await place.run("balances", balances.path, *PACING)
    assert closing["states"] == {State.ACCEPTED: 8}
    await place.each_landed_once(balances)
    await place.cli("verify", closing["run"])
    undone = await place.cli.closing("undo", closing["run"], "--set", "way=opposite", "--yes", *PACING)
    assert undone["states"] == {State.ACCEPTED: 8}


@without("FINANCE_OPERATIONS.DESCR")
async def test_a_run_whose_lost_calls_could_not_be_found_is_refused_before_the_first(place: Place) -> None:
    balances = place.balances(rows=8)
    select = ("--sql", "select id as abonent_id, 5 as amount from abonents where is_folder = 0 and deleted = 0")
    says = "FINANCE_OPERATIONS has no column DESCR, by which lost calls are found again"
    for name, *words in (("plan", balances.path), ("run", balances.path, "--yes"), ("run", *select, "--yes")):
        await place.cli.refused(str(name), "balances", *words, says=says)
    assert place.traffic.arrived == 0
    # A job that does without goes on.
    await place.cli("run", "operator", "--set", "from=3", "--set", "operator=1444", "--yes")


@without("ADMIN_ACCOUNTS.LIMIT_WARNING", "ABONENTS.PARENT_ID")
async def test_what_only_some_jobs_need_does_not_disturb_the_others(place: Place) -> None:
    rows = place.write("abonent_id;amount\n2001;-120\n", "rows.csv")
    refused = await place.cli("run", "warning-threshold", rows, "--yes", may_end_with=(2,))
    assert "ADMIN_ACCOUNTS has no column LIMIT_WARNING" in refused.words
    refused = await place.cli("run", "cutoff-limit", "--set", "folder=89", "--yes", may_end_with=(2,))
    assert "ABONENTS has no column PARENT_ID, which the job's own select reads its rows from" in refused.words
    await place.cli("run", "cutoff-limit", rows, "--yes")
    await place.cli("run", "balances", rows, "--yes", *PACING)


@without("FINANCE_OPERATIONS.OP_TYPE")
async def test_without_a_database_the_api_is_asked_whether_it_can_look(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    rows = place.write("abonent_id;amount\n2001;50\n", "rows.csv")
    says = ["op_type_id", "and by this lost calls are found again: no call is made without it"]
    await place.cli.refused("run", "balances", rows, "--yes", says=says)
    assert place.billing.ledger.effects("FinanceOperations") == {}


@without("FINANCE_OPERATIONS.DESCR", "FINANCE_OPERATIONS.CODE1C", "ABONENTS.NAME", "ABONENTS.EMAIL", "TARIF")
async def test_doctor_lists_what_is_missing_and_what_then_does_not_work(place: Place) -> None:
    said = (await place.cli("doctor")).out
    words = " ".join(said.split())
    assert "not there, and left out of what is read and shown: ABONENTS.EMAIL" in words
    assert "import: the billing's ABONENTS has no column NAME" in words
    assert "balances, payment: the billing's FINANCE_OPERATIONS has no column DESCR" in words
    assert "passed-to-1c: the billing's FINANCE_OPERATIONS has no column CODE1C" in words
    assert "tariff-threshold: the billing's database has no table TARIF, which the job's own select needs" in words
    assert "operator:" not in words


async def test_a_run_that_is_taken_up_is_kept_as_it_is(billing_template: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(billing_template, tmp_path / "billing.fdb"))
    async with place_in(tmp_path / "work", file) as place:
        rows = place.rows("abonent_id;amount", "2001;50", "2002;60")
        closing = await place.run("balances", rows, "--limit-money", "55", *PACING, ends=3)
        assert closing["states"] == {State.ACCEPTED: 1, State.PENDING: 1}
    await anyio.to_thread.run_sync(_leave_out, file, ["FINANCE_OPERATIONS.DESCR"])
    async with running(Dsn(str(file)), port=URL(place.billing.url).port or 0):
        says = "FINANCE_OPERATIONS has no column DESCR, by which lost calls are found again"
        await place.cli.refused("resume", closing["run"], "--yes", says=says)
    totals = await place.totals(closing["run"])
    assert totals.count(State.PENDING) == 1


def _leave_out(file: Path, names: Sequence[str]) -> None:
    # Nobody else has it open: what is in use cannot be altered.
    connection = attach(Dsn(str(file)))
    try:
        for name in names:
            leave_out(connection, name)
    finally:
        connection.close()
