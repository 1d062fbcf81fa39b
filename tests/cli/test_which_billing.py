"""API and database are one billing, and a run goes on with the one that it was begun on, by whatever address."""

import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from lab.mock.population import create
from lab.mock.server import MockBilling, running
from tests.cli.conftest import Balances, Place

ROWS = 20


@pytest.fixture(scope="session")
def other_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "billing.fdb"
    create(path, subscribers=200, seed=77)
    return path


@dataclass(frozen=True, slots=True)
class Other:
    """Another billing, with the same ids and most of the same contract numbers."""

    billing: MockBilling
    file: Path


@pytest.fixture
async def other(other_template: Path, tmp_path: Path) -> AsyncIterator[Other]:
    file = Path(shutil.copy(other_template, tmp_path / "other.fdb"))
    async with running(Dsn(str(file))) as billing:
        yield Other(billing, file)


async def stopped(place: Place, balances: Balances, *words: str) -> str:
    """A run that was interrupted after a few of its calls."""
    place.billing.latency = 0.1
    async with place.cli.started("run", "balances", balances.path, "--yes", *words) as run:
        await place.traffic.reaches(3)
        run.signal(signal.SIGTERM)
        await run.ended()
    place.billing.latency = 0.0
    return (await place.runs())[-1].name


def entered(other: Other) -> int:
    return sum(other.billing.ledger.effects("FinanceOperations").values())


async def test_nothing_is_sent_where_api_and_database_are_of_two_billings(place: Place, other: Other) -> None:
    balances = place.balances(ROWS)
    done = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    more = place.balances(2 * ROWS, "more.csv").path
    left = place.write('[[step]]\njob = "balances"\nfile = "more.csv"\n', "steps.toml")
    place.write("contract_number;name;folder\nN-1;A;Частный сектор\n", "people.csv")
    before = (await place.found()).rows
    for typed in (
        ("run", "balances", more, "--yes"),
        ("run", left, "--yes"),
        ("run", "call", more, "--yes", "--model", "Abonents", "--chain", "objects.get {}"),
        ("import", "people.csv", "--yes"),
        ("plan", "balances", more),
        ("undo", done, "--yes"),
        ("verify", done),
        ("doctor",),
    ):
        for wrong in (("--api-url", other.billing.url), ("--database", other.file)):
            ended = await place.cli(*typed, *wrong, may_end_with=(2,))
            told = f"{ended.words} {' '.join(ended.out.split())}"
            assert "API and database are not of one billing: " in told, typed
            assert "abonent" in told
            assert str(wrong[1]) in told
            assert f"from {wrong[0]}" in told
    assert ((await place.found()).rows, entered(other)) == (before, 0)


async def test_a_run_goes_on_with_its_billing_alone(place: Place, other: Other) -> None:
    payment = place.write("contract_number;amount\n00003;5\n", "payment.csv")
    await place.cli("run", "payment", payment, "--yes")
    run = await stopped(place, place.balances(ROWS))
    there = ("--api-url", other.billing.url, "--database", other.file)
    ended = await place.cli("resume", run, "--yes", *there, may_end_with=(2,))
    assert f"run {run} works on {place.billing.url}" in ended.words
    assert f"--api-url {place.billing.url}" in ended.words
    # The same address, and another billing behind it.
    before = (await place.found()).rows
    await place.execute("update abonents set create_date = dateadd(1 month to create_date)")
    ended = await place.cli("resume", run, "--yes", may_end_with=(2,))
    assert f"run {run} was begun on another billing" in ended.words
    assert ((await place.found()).rows, entered(other)) == (before, 0)
    # What was entered in the other one does not count for this one, without a question.
    ended = await place.cli("run", "payment", payment, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 1}


async def test_a_run_goes_on_with_its_billing_by_another_address(place: Place) -> None:
    run = await stopped(place, place.balances(ROWS))
    by_name = place.billing.url.replace("127.0.0.1", "localhost")
    ended = await place.cli("resume", run, "--yes", "--api-url", by_name, "--json")
    assert ended.closing["states"] == {"accepted": ROWS}
    await place.cli("verify", run, "--api-url", by_name)
    found = await place.found()
    assert (found.rows, found.most_for_one) == (ROWS, 1)


async def test_a_run_with_a_database_does_not_go_on_without_one_by_oversight(place: Place) -> None:
    run = await stopped(place, place.balances(ROWS))
    database = place.cli.environment.pop("CARBON_MIGRATE_DATABASE")
    ended = await place.cli("resume", run, "--yes", may_end_with=(2,))
    assert f"--database {database}" in ended.words
    ended = await place.cli("resume", run, "--yes", "--database", "", "--settle", "0.5", "--json")
    assert ended.closing["states"] == {"accepted": ROWS}
    assert (await place.found()).most_for_one == 1


async def test_an_identity_outlives_what_happens_to_its_oldest_subscribers(place: Place) -> None:
    run = await stopped(place, place.balances(ROWS))
    await place.execute("update abonents set name = 'renamed', deleted = 1, parent_id = 89 where id < 2004")
    await place.execute("delete from abonents where id = 2005")
    by_name = place.billing.url.replace("127.0.0.1", "localhost")
    await place.cli("resume", run, "--yes", "--api-url", by_name, may_end_with=(0, 1))


async def test_who_has_changed_a_name_meanwhile_stops_nothing(place: Place) -> None:
    connection = attach(Dsn(str(place.file)))
    connection.cursor().execute("update abonents set name = name || ' II'")
    connection.commit()
    connection.close()
    await place.cli("run", "balances", place.balances(2).path, "--yes")
