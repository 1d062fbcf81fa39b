"""A load with its journal in PostgreSQL, steered and moved by another machine; `test_killed.py` kills one there."""

import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from checkpoints.address import journal_in_postgres
from checkpoints.errors import JournalUnreadable
from checkpoints.postgres_connection import connect
from cli.commands.doctor_journal import is_this_machine
from cli.terminal.exits import Exit, code_of
from tests.checkpoints.shells import shell
from tests.cli.conftest import Place
from tests.postgres_server import PostgresServer


@pytest.fixture
def shared(place: Place, postgres_server: PostgresServer) -> Place:
    """A billing whose journal is in PostgreSQL."""
    return replace(place, cli=place.cli.on_machine("work", postgres_server.new_journal()))


async def test_two_machines_do_not_work_on_one_run(shared: Place) -> None:
    shared.billing.latency = 0.05
    balances = shared.balances(100)
    async with shared.cli.started("run", "balances", balances.path, "--yes", "--in-flight", "2") as load:
        await shared.traffic.reaches(10)
        other = shared.cli.on_machine("other")
        refused = await other("resume", may_end_with=(2,))
        assert "another process works on this run" in refused.err
        await load.ended(None)
    assert (await shared.found()).most_for_one == 1


async def test_another_machine_pauses_a_run_and_lets_it_go_on(shared: Place) -> None:
    shared.billing.latency = 0.05
    balances = shared.balances(150)
    other = shared.cli.on_machine("other")
    async with shared.cli.started("run", "balances", balances.path, "--yes", "--in-flight", "2") as load:
        await shared.traffic.reaches(10)
        (run,) = (await other("status", "--json")).closing["runs"]
        await other("pause", run["run"])
        await load.said("paused")
        # What was in flight takes 0.05 s, a command more than that.
        await other("status")
        arrived = shared.traffic.arrived
        await other("status")
        assert shared.traffic.arrived == arrived < 150
        await other("continue", run["run"])
        assert (await load.ended(None)).exit == 0
    found = await shared.found()
    assert (found.rows, found.most_for_one) == (150, 1)


async def test_a_connection_that_is_cut_lets_nothing_new_leave(shared: Place) -> None:
    shared.billing.latency = 0.05
    balances = shared.balances(200)
    async with shared.cli.started("run", "balances", balances.path, "--yes", "--in-flight", "4") as load:
        await shared.traffic.reaches(40)
        shared.asked(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'carbon-migrate'"
        )
        ended = await load.ended(None)
    assert ended.exit == 3, ended.err
    resumed = await shared.cli("resume", "--settle", "0.3", "--json")
    assert resumed.closing["states"] == {"accepted": 200}
    found = await shared.found()
    assert (found.rows, found.sum, found.most_for_one) == (200, balances.sum, 1)


async def test_a_journal_that_is_away_is_asked_again_later(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    away = place.cli.on_machine("away", f"postgresql://load@127.0.0.1:{port}/load")
    rows = place.balances(1).path
    place.write(f'format = 1\n[[step]]\njob = "balances"\nfile = "{rows.name}"\n', "night.toml")
    ended = await away("run", place.cli.folder / "night.toml", "--yes", "--json", may_end_with=(Exit.STOPPED,))
    assert "Connection refused" in ended.err
    assert ended.closing["exit"] == Exit.STOPPED


def test_a_database_that_is_not_there_asks_for_a_person(postgres_server: PostgresServer, tmp_path: Path) -> None:
    nowhere = journal_in_postgres(postgres_server.url.replace("/postgres", "/nowhere"), tmp_path).postgres
    assert nowhere is not None
    with pytest.raises(JournalUnreadable, match="does not exist") as refused:
        connect(nowhere)
    assert code_of(refused.value) == Exit.REFUSED


@pytest.mark.parametrize(
    "address", ["postgresql://u:secret1@127.0.0.1/db", "postgresql://127.0.0.1/db?password=secret1"]
)
async def test_a_password_is_not_typed_and_not_kept(shared: Place, address: str) -> None:
    refused = await shared.cli("status", "--journal", address, may_end_with=(2,))
    assert "PGPASSWORD" in refused.err
    assert "secret1" not in refused.err


async def test_a_journal_is_moved_into_postgres_and_the_load_goes_on_there(
    place: Place, postgres_server: PostgresServer
) -> None:
    place.billing.latency = 0.01
    balances = place.balances(60)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--in-flight", "4") as load:
        await place.traffic.reaches(20)
        # Those in flight and all others are still to come when it is killed.
        place.billing.latency = 2
        refused = await place.cli("journal", "copy", place.cli.journal, "early.journal", may_end_with=(2,))
        assert "another process works on run" in refused.err
        load.signal(signal.SIGKILL)
        await load.ended()
    # A call takes longer here than the settle delay below.
    await place.billing.wait_for_requests()
    place.billing.latency = 0
    address = postgres_server.new_journal()
    copied = await place.cli("journal", "copy", place.cli.journal, address, "--json")
    (run,) = copied.closing["runs"]
    assert (run["rows"], run["sum"]) == (60, str(balances.sum))
    assert address.partition("@")[2] in copied.words
    moved = place.cli.on_machine("moved", address)
    resumed = await moved("resume", "--settle", "0.3", "--json")
    assert resumed.closing["states"] == {"accepted": 60}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (60, balances.sum, 1)
    again = await place.cli("journal", "copy", place.cli.journal, address, may_end_with=(2,))
    assert "with runs already" in again.words
    back = await place.cli("journal", "copy", address, "back.journal", "--json")
    assert back.closing["runs"][0]["rows"] == 60
    assert back.closing["runs"][0]["root"] != run["root"]
    assert "accepted" in (await place.cli("status", run["run"], "--journal", "back.journal")).out


async def test_what_was_planned_is_what_is_sent(shared: Place) -> None:
    balances = shared.balances(5)
    planned = await shared.cli("plan", "balances", balances.path, "--json")
    ended = await shared.cli("run", "--plan", planned.closing["plan"], "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 5}
    # What this run has entered is no part of the plan.
    refused = await shared.cli("run", "--plan", planned.closing["plan"], "--yes", "--json", may_end_with=(2,))
    assert "5 × pending then, now skipped" in refused.closing["error"]
    assert (await shared.found()).most_for_one == 1


async def test_a_purge_says_what_the_tables_have_become(shared: Place) -> None:
    await shared.cli("run", "balances", shared.balances(5).path, "--yes")
    purged = await shared.cli("purge", "--older-than", "0d", "--yes", "--json")
    assert purged.closing["bytes_before"] > 0
    assert purged.closing["bytes_after"] > 0


async def test_doctor_says_of_the_server_what_a_run_rests_on(shared: Place) -> None:
    good = await shared.cli("doctor", may_end_with=(0, 2))
    assert "will be made by the first run" in good.out
    assert "s between its clock and this one" in good.out
    away = await shared.cli("doctor", "--journal", "postgresql://127.0.0.1:1/db", may_end_with=(2,))
    assert "cannot be opened: connection failed" in " ".join(away.out.split())


async def test_doctor_tells_that_the_log_of_the_server_gets_what_a_run_writes(shared: Place) -> None:
    told = "PostgreSQL writes statements to its own log, and they hold names and amounts of subscribers"
    address = journal_in_postgres(shared.cli.environment["CARBON_MIGRATE_JOURNAL"], shared.cli.folder)
    assert told not in " ".join((await shared.cli("doctor")).out.split())
    with shell(address) as server:
        server.execute("alter role current_user set log_statement = 'mod'")
        try:
            doctor = await shared.cli("doctor")
        finally:
            server.execute("alter role current_user reset log_statement")
    assert told in " ".join(doctor.out.split())
    # A server on this machine is no way that anybody listens to.
    assert "not encrypted" not in doctor.out


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *[(name, True) for name in ("", "/run/postgresql", "localhost", "127.0.0.2", "::1")],
        *[(name, False) for name in ("10.0.0.5", "db.example")],
    ],
)
def test_a_way_that_leaves_the_machine_is_known(host: str, here: bool) -> None:
    assert is_this_machine(host) is here
