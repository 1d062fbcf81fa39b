"""A journal in PostgreSQL, looked at, steered and moved from elsewhere; `test_life_of_a_run.py` ends runs there."""

import socket
from typing import Final

import anyio
import pytest

from checkpoints.errors import JournalUnreadable
from checkpoints.journal_file import journal_in_postgres
from checkpoints.postgres_store import connect
from cli.commands.doctor import is_this_machine
from cli.terminal.exits import Exit, code_of
from tests.cli.conftest import PATIENCE, Place, Typed
from tests.postgres_server import PostgresServer

ROWS: Final = 200
SLOW: Final = ("--rate", "4", "--timeout", "2", "--settle", "0.5")
LOGGED: Final = "PostgreSQL writes statements to its own log, and they hold names and amounts of subscribers"


async def test_a_journal_that_is_away_is_asked_again_later(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    away = place.cli.on_machine("away", f"postgresql://load@127.0.0.1:{port}/load")
    rows = place.balances(1).path
    place.write(f'format = 1\n[[step]]\njob = "balances"\nfile = "{rows.name}"\n', "night.toml")
    ended = await away("run", place.cli.folder / "night.toml", "--yes", "--json", may_end_with=(Exit.STOPPED,))
    assert "Connection refused" in ended.err
    assert ended.closing["exit"] == Exit.STOPPED


def test_an_address_that_cannot_be_used_asks_for_a_person(typed: Typed, postgres_server: PostgresServer) -> None:
    for address in ("postgresql://u:secret1@127.0.0.1/db", "postgresql://127.0.0.1/db?password=secret1"):
        refused = typed("status", "--journal", address)
        assert (refused.exit, "PGPASSWORD" in refused.err, "secret1" in refused.err) == (2, True, False)
    nowhere = journal_in_postgres(postgres_server.url.replace("/postgres", "/nowhere"), postgres_server.folder)
    assert nowhere.postgres is not None
    with pytest.raises(JournalUnreadable, match="does not exist") as absent:
        connect(nowhere.postgres)
    assert code_of(absent.value) == Exit.REFUSED


def test_a_way_that_leaves_the_machine_is_known() -> None:
    assert all(map(is_this_machine, ("", "/run/postgresql", "localhost", "127.0.0.2", "::1")))
    assert not any(map(is_this_machine, ("10.0.0.5", "db.example")))


async def test_it_is_planned_in_sent_from_purged_and_looked_at_as_a_file_is(shared: Place) -> None:
    # ---- what a run rests on, before there is one
    doctor = await shared.cli.told("doctor", "-v")
    assert "will be made by the first run" in doctor
    assert "s between its clock and this one" in doctor
    assert LOGGED not in doctor
    away = await shared.cli.told("doctor", "--journal", "postgresql://127.0.0.1:1/db", ends=2)
    assert "cannot be opened: connection failed" in away
    shared.asked("alter role current_user set log_statement = 'mod'")
    try:
        doctor = await shared.cli.told("doctor")
    finally:
        shared.asked("alter role current_user reset log_statement")
    assert LOGGED in doctor
    # A server on this machine is no way that anybody listens to.
    assert "not encrypted" not in doctor
    # ---- what was planned is what is sent
    plan = (await shared.cli.closing("plan", "balances", shared.balances(5).path))["plan"]
    assert (await shared.run("--plan", plan))["states"] == {"accepted": 5}
    assert (await shared.found()).most_for_one == 1
    purged = await shared.cli.closing("purge", "--older-than", "0d", "--yes")
    assert min(purged["bytes_before"], purged["bytes_after"]) > 0


# ---- steered from another machine, which has the journal and nothing else: another state folder -----------------


async def test_its_commands_are_heard_answered_and_noted_once_with_their_sender(shared: Place) -> None:
    other, words = shared.cli.on_machine("other"), ("run", "balances", shared.balances(ROWS).path, "--yes", "--json")
    async with shared.cli.started(*words, *SLOW) as load:
        await shared.traffic.reaches(2)
        ((name,),) = shared.asked("select name from runs")
        seen = await other.closing("status", name)
        with anyio.fail_after(PATIENCE):
            # It tells of itself each second, and at first does not know its rows.
            while not seen["live"]["total"]:
                seen = await other.closing("status", name)
        assert (seen["holder"]["process"], seen["live"]["total"]) == (load.process.pid, ROWS)
        assert "answers: half in" in await other.told("status", name)
        answered = await other.closing("set", name, "rate=5")
        assert answered["said"] == "rate: at most 5 calls a second"
        assert (await other.closing("get", name))["settings"]["rate"] == "5"
        shared.asked(
            "select pg_terminate_backend(pid) from pg_stat_activity where starts_with(query, 'listen carbon')"
        )
        await other("pause", name)
        assert (await other.closing("status", name))["paused"]
        arrived = shared.traffic.arrived
        await other.refused("set", name, "rate=never", says="'never'")
        assert shared.traffic.arrived == arrived
        await other("continue", name)
        assert (await other.closing("stop", name))["exit"] == 0
        assert (await load.ended(None)).exit == 130
    commands = (await other.closing("status", name))["commands"]
    assert [one["command"] for one in commands] == ["set rate=5", "pause", "set rate=never", "continue", "stop"]
    ((host,),) = shared.asked("select host from runners")
    assert all(f"@{host}, process " in one["who"] for one in commands)
    assert shared.asked("select 1 from requests") == []
    resumed = await other.closing("resume", "--settle", "0.1", "--rate", "none")
    assert resumed["states"] == {"accepted": ROWS}
    assert (await shared.found()).most_for_one == 1
