"""API and database are one billing, and a run goes on with the one that it was begun on, by whatever address."""

import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
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
    """A run that was interrupted after a few of its calls, and waits no longer than needed for what it has lost."""
    place.billing.latency, before = 0.1, place.traffic.arrived
    name = balances.path.name
    async with place.cli.started("run", "balances", name, "--yes", "--json", "--settle", "0.2", *words) as run:
        await place.traffic.reaches(before + 3)
        run.signal(signal.SIGTERM)
        ended = await run.ended()
    place.billing.latency = 0.0
    return str(ended.closing["run"])


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
    await place.cli.refused("resume", run, "--yes", says=f"run {run} was begun on another billing")
    assert ((await place.found()).rows, entered(other)) == (before, 0)
    # What was entered in the other one does not count for this one, without a question: it is not in its database.
    await place.execute("delete from finance_operations where descr containing 'Платёж'")
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
    await place.cli.refused("resume", run, "--yes", says=f"--database {database}")
    ended = await place.cli("resume", run, "--yes", "--database", "", "--settle", "0.5", "--json")
    assert ended.closing["states"] == {"accepted": ROWS}
    assert (await place.found()).most_for_one == 1


async def test_an_identity_outlives_what_happens_to_its_oldest_subscribers(place: Place) -> None:
    run = await stopped(place, place.balances(ROWS))
    await place.execute("update abonents set name = 'renamed', deleted = 1, parent_id = 89 where id < 2004")
    # One that was removed for good.
    await place.execute("update abonents set create_date = null where id = 2005")
    by_name = place.billing.url.replace("127.0.0.1", "localhost")
    await place.cli("resume", run, "--yes", "--api-url", by_name, may_end_with=(0, 1))


async def test_who_changes_a_name_between_the_two_readings_stops_nothing(place: Place) -> None:
    place.traffic.model = "Abonents"

    def rename(arrived: int) -> None:
        if arrived == 1:
            connection = attach(Dsn(str(place.file)))
            connection.cursor().execute("update abonents set name = name || ' II'")
            connection.commit()
            connection.close()

    place.traffic.answer = rename
    await place.cli("run", "balances", place.balances(2).path, "--yes")


@pytest.mark.parametrize("words", [(), ("--no-canary",)], ids=["canary", "no canary"])
async def test_a_run_stops_where_the_database_does_not_show_its_first_row(
    place: Place, words: tuple[str, ...]
) -> None:
    """API and database are two copies of one billing: nothing but what is entered tells them apart."""
    copy = Path(shutil.copy(place.file, place.file.with_name("copy.fdb")))
    balances = place.balances(ROWS)
    typed = ("--yes", "--json", "--settle", "0.5", "--database", copy)
    ended = await place.cli("run", "balances", balances.path, *typed, *words, may_end_with=(3,))
    run, closing = ended.closing["run"], ended.closing
    assert closing["states"] == {"accepted": 1, "pending": ROWS - 1}
    assert closing["stopped_by"] == "budget"
    assert "its database does not show it: row 1 " in closing["stopped"]
    assert (await place.found()).rows == 1
    # Who resumes it without having looked risks one more row.
    ended = await place.cli("resume", run, *typed[:1], *typed[2:], *words, may_end_with=(3,))
    assert "with --trust-journal it goes on without looking" in " ".join(ended.out.split())
    assert (await place.found()).rows == 2
    ended = await place.cli("resume", run, *typed, "--trust-journal")
    assert ended.closing["states"] == {"accepted": ROWS}
    assert (await place.found()).most_for_one == 1


async def test_the_first_row_is_waited_for_while_it_is_in_the_stacks(place: Place) -> None:
    copy = Path(shutil.copy(place.file, place.file.with_name("copy.fdb")))
    typed = ("--yes", "--json", "--settle", "0.2", "--database", copy)
    async with running(Dsn(str(copy)), stack_rate=0.7) as slow:
        balances = place.balances(2).path
        ended = await place.cli("run", "balances", balances, *typed, "--api-url", slow.url)
    assert ended.closing["states"] == {"accepted": 2}


def by_name(place: Place) -> str:
    return place.billing.url.replace("127.0.0.1", "localhost")


def at_default_place(place: Place) -> Path:
    """Let the journal be where it is by default; the folder of it."""
    del place.cli.environment["CARBON_MIGRATE_JOURNAL"]
    return place.cli.folder / "state" / "carbon-migrate"


async def test_one_billing_has_one_journal_by_whatever_address(place: Place) -> None:
    folder, balances = at_default_place(place), place.balances(ROWS)
    run = await stopped(place, balances)
    ended = await place.cli("resume", run, "--yes", "--api-url", by_name(place), "--json")
    assert ended.closing["states"] == {"accepted": ROWS}
    ended = await place.cli("run", "balances", balances.path, "--yes", "--api-url", by_name(place), "--json")
    assert ended.closing["states"] == {"skipped": ROWS}
    assert run in (await place.cli("status", "--api-url", by_name(place))).out
    (journal,) = (path for path in folder.glob("*.journal") if not path.is_symlink())
    assert journal.name == f"127.0.0.1-{place.billing.url.rpartition(':')[2]}.journal"


async def test_a_journal_of_before_is_found_by_its_address(place: Place) -> None:
    """A run of an earlier version knows no identity: its billing is known by the address alone."""
    folder, balances = at_default_place(place), place.balances(ROWS)
    run = await stopped(place, balances)
    (journal,) = folder.glob("*.journal")
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute(
            "update runs set parameters = json_remove(parameters, '$.\"input_place.settings_oldest_rows\"', "
            "'$.\"input_place.settings_api\"', '$.\"input_place.settings_database\"')"
        )
        connection.commit()
    await place.cli.refused("resume", run, "--yes", "--api-url", by_name(place), says="there is no journal")
    ended = await place.cli("resume", run, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": ROWS}


async def test_a_copy_of_the_billing_is_not_taken_for_it(place: Place) -> None:
    """A trial on a copy says nothing of the billing, and a run of the billing does not go on in the copy."""
    copy = Path(shutil.copy(place.file, place.file.with_name("copy.fdb")))
    payment = place.write("contract_number;amount\n00003;5\n", "payment.csv")
    async with running(Dsn(str(copy))) as billing:
        there = ("--api-url", billing.url, "--database", copy)
        await place.cli("run", "payment", payment, "--yes", *there)
        await place.cli.refused("run", "payment", payment, "--yes", says="--another-billing")
        await place.cli("run", "payment", payment, "--yes", "--another-billing")
        run = await stopped(place, place.balances(ROWS))
        ended = await place.cli("resume", run, "--yes", *there, may_end_with=(2,))
        assert f"leads to a copy of the billing of run {run}" in ended.words
        assert f"--api-url {place.billing.url}" in ended.words
        assert sum(billing.ledger.effects("FinanceOperations").values()) == 1
