"""Workers: what is handed in is sent, taken over when a worker dies, and left to a person where it has to be."""

import signal
from dataclasses import replace

import pytest

from tests.cli.conftest import Place
from tests.cli.test_billing_lease import asked, cli_with
from tests.postgres_server import PostgresServer

ROWS = 60
WORKER = ("worker", "--stalled-after", "2")


@pytest.fixture
def shared(place: Place, postgres_server: PostgresServer) -> Place:
    """A billing whose journal is in PostgreSQL, with a short lease."""
    place.billing.latency = 0.02
    return replace(place, cli=cli_with(place.cli, f"{postgres_server.new_journal()}&lease=3", "one"))


async def hand_in(place: Place, rows: int, *words: str) -> str:
    """The name of a run that is handed in."""
    balances = place.balances(rows)
    ended = await place.cli(
        "run", "balances", balances.path, "--yes", "--detach", "--settle", "0.3", "--json", *words
    )
    assert "is handed in: a worker sends its 60 rows" in ended.words
    return str(ended.closing["run"])


async def accepted(place: Place) -> int:
    """How many rows the journal has as accepted."""
    ((rows,),) = asked(place, "select count(*) from items where state = 'accepted'")
    assert isinstance(rows, int)
    return rows


async def test_a_worker_sends_what_is_handed_in_and_ends_in_order(shared: Place) -> None:
    run = await hand_in(shared, ROWS)
    assert shared.traffic.arrived == 0
    async with shared.cli.started(*WORKER) as worker:
        await worker.said(f"{run}: done")
        assert await accepted(shared) == ROWS
        second = await shared.cli("resume", run, "--json")
        assert second.exit == 0
        worker.signal(signal.SIGTERM)
        ended = await worker.ended()
    assert ended.exit == 0
    assert asked(shared, "select count(*) from procrastinate_jobs") == [(0,)]
    found = await shared.found()
    assert (found.rows, found.most_for_one) == (ROWS, 1)


async def test_the_runs_of_a_worker_that_is_killed_are_taken_over(shared: Place) -> None:
    run = await hand_in(shared, ROWS, "--rate", "15")
    other = cli_with(shared.cli, shared.cli.environment["CARBON_MIGRATE_JOURNAL"], "other")
    async with shared.cli.started(*WORKER) as worker:
        await shared.traffic.reaches(10)
        worker.signal(signal.SIGKILL)
        await worker.ended()
    async with other.started(*WORKER) as worker:
        await worker.said(f"{run}: done")
    found = await shared.found()
    assert (found.rows, found.most_for_one) == (ROWS, 1)


async def test_a_run_is_handed_back_when_its_worker_ends(shared: Place) -> None:
    run = await hand_in(shared, ROWS, "--rate", "15")
    async with shared.cli.started(*WORKER) as worker:
        await shared.traffic.reaches(10)
        worker.signal(signal.SIGTERM)
        ended = await worker.ended()
    assert ended.exit == 0
    assert asked(shared, "select status::text, args->>'run' from procrastinate_jobs") == [("todo", run)]
    async with shared.cli.started(*WORKER) as worker:
        await worker.said(f"{run}: done")
    found = await shared.found()
    assert (found.rows, found.most_for_one) == (ROWS, 1)
