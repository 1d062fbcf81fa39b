"""A run is steered from another terminal while it runs, and what it was told survives whatever happens to it."""

import json
import signal
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio

from checkpoints.records import Command, Run
from engine.control.address import connect
from tests.cli.conftest import PATIENCE, Place, Started

ROWS = 80
SLOW = 0.5
"""Seconds of an answer while a run is steered: it is still there when the next command has begun."""

ENOUGH = 4
"""Calls after which a run is steered: it sends for certain, and most is still to come."""


@asynccontextmanager
async def a_load(place: Place) -> AsyncIterator[tuple[Started, str]]:
    """A load in the middle of its work, two calls at a time, and the name of its run."""
    balances = place.balances(ROWS)
    arguments = ("run", "balances", balances.path, "--yes", "--json", "--in-flight", "2")
    place.billing.latency = 0.05
    async with place.cli.started(*arguments) as load:
        await place.traffic.reaches(place.traffic.arrived + ENOUGH)
        place.billing.latency = SLOW
        yield load, (await place.runs())[-1].name


async def a_stopped_load(place: Place) -> str:
    async with a_load(place) as (load, name):
        load.signal(signal.SIGTERM)
        await load.ended()
    place.billing.latency = 0.0
    return name


def socket_of(place: Place, name: str) -> Path:
    return place.cli.journal.with_name(f"{place.cli.journal.name}-{name}.socket")


async def told(place: Place, name: str) -> tuple[Run, list[Command]]:
    """The run as the journal has it, and what it was told."""
    async with place.journal() as journal:
        run = await journal.run(name)
        return run, await journal.history.commands(run)


async def is_still(place: Place, name: str) -> int:
    """Wait until nothing is in flight; how many calls have been made until then."""
    with anyio.fail_after(PATIENCE):
        while (await live(place, name))["in_flight"]:
            pass
    return place.traffic.arrived


async def live(place: Place, name: str) -> dict[str, Any]:
    """What the run says of itself over its socket."""
    seen: dict[str, Any] = json.loads((await place.cli("status", name, "--json")).out)
    found: dict[str, Any] = seen["live"]
    return found


async def each_row_landed_once(place: Place) -> None:
    found = await place.found()
    assert (found.rows, found.most_for_one) == (ROWS, 1)


# ---- pause and continue ------------------------------------------------------------------------------------------


async def test_a_paused_run_is_killed_and_comes_back_paused_and_each_row_lands_once(place: Place) -> None:
    async with a_load(place) as (load, name):
        assert f"run {name}: paused" in (await place.cli("pause", name)).out
        before = await is_still(place, name)
        assert before < ROWS
        load.signal(signal.SIGKILL)
        await load.ended()
    place.billing.latency = 0.0
    assert await anyio.Path(socket_of(place, name)).is_socket()
    by = (await told(place, name))[0].paused_by
    assert by is not None
    async with place.cli.started("resume", "--json", "--settle", "0.1") as load:
        heard = await load.said(f"carbon-migrate continue {name}")
        assert by in " ".join(heard.split())
        # It answers over its own socket, and has the time to send, were it to.
        assert (await live(place, name))["paused"]
        shown = (await place.cli("status", name)).out
        assert "running, paused" in shown
        assert by in shown
        assert place.traffic.arrived == before
        assert "it goes on" in (await place.cli("continue", name)).out
        ended = await load.ended()
    assert (ended.exit, ended.closing["states"]) == (0, {"accepted": ROWS})
    await each_row_landed_once(place)
    assert not await anyio.Path(socket_of(place, name)).exists()
    assert (await told(place, name))[0].paused_at is None


async def test_a_pause_ends_where_it_began_and_all_that_was_said_is_on_record(place: Place) -> None:
    async with a_load(place) as (load, name):
        await place.cli("pause", name)
        before = await is_still(place, name)
        assert "it was paused already, by " in (await place.cli("pause", name)).out
        assert place.traffic.arrived == before
        place.billing.latency = 0.0
        await place.cli("continue", name)
        assert (await load.ended()).exit == 0
    await each_row_landed_once(place)
    _, commands = await told(place, name)
    assert [one.command for one in commands] == ["pause", "pause", "continue"]
    assert all(f"@{socket.gethostname()}, process " in one.who for one in commands)
    assert len({one.who for one in commands}) == 3  # each from a process of its own
    shown = (await place.cli("status", name)).out
    for one in commands:
        assert one.who in shown


async def test_a_run_that_was_paused_at_rest_waits_when_it_is_taken_up(place: Place) -> None:
    name = await a_stopped_load(place)
    before = place.traffic.arrived
    assert "nobody works on it" in (await place.cli("pause", name)).out
    async with place.cli.started("resume", "--settle", "0", name) as load:
        await load.said("is paused")
        # What Ctrl-C ends is the waiting: the run stays paused.
        load.signal(signal.SIGINT)
        assert (await load.ended()).exit == 130
    assert place.traffic.arrived == before
    assert (await told(place, name))[0].paused_at is not None
    # A script says at once that it is to go on.
    assert (await place.cli("resume", "--settle", "0", "--unpause", "--json")).closing["states"] == {"accepted": ROWS}
    await each_row_landed_once(place)
    run, commands = await told(place, name)
    assert run.paused_at is None
    assert [one.command for one in commands] == ["pause", "taken up with --settle 0", "resume --unpause"]


# ---- set and get -------------------------------------------------------------------------------------------------


async def test_what_is_set_holds_at_once_and_is_shown(place: Place) -> None:
    async with a_load(place) as (load, name):
        before = json.loads((await place.cli("get", name, "--json")).out)["settings"]
        assert before["in-flight"] == "2"
        said = json.loads((await place.cli("set", name, "rate=0.001", "in-flight=8", "--json")).out)
        assert (said["run"], said["command"], said["exit"]) == (name, "set", 0)
        assert {"rate=0.001", "in-flight=8"} <= set((await place.cli("get", name)).out.split())
        slow = await is_still(place, name)
        place.billing.latency = 0.0
        # The next call but one would be a quarter of an hour away.
        assert place.traffic.arrived <= slow + 1 < ROWS
        await place.cli("set", name, "rate=none")
        assert (await load.ended()).exit == 0
    await each_row_landed_once(place)
    _, commands = await told(place, name)
    assert [one.command for one in commands] == ["set rate=0.001 in-flight=8", "set rate=none"]


async def test_where_one_is_wrong_nothing_is_set(place: Place) -> None:
    async with a_load(place) as (load, name):
        before = (await place.cli("get", name)).out
        refused = await place.cli("set", name, "rate=500", "in-flight=3", "hours=25:00-26:00", may_end_with=(2,))
        assert "hours" in refused.words
        assert "nothing was changed" in refused.words
        assert (await place.cli("get", name)).out == before
        load.signal(signal.SIGTERM)
        await load.ended()


# ---- stop --------------------------------------------------------------------------------------------------------


async def test_stop_finishes_what_is_in_flight_and_waits_for_the_end(place: Place) -> None:
    async with a_load(place) as (load, name):
        # The next calls take longer than any command.
        place.billing.latency = 5 * SLOW
        await place.traffic.reaches(place.traffic.arrived + 2)
        stopped = await place.cli("stop", name)
        assert "its process ends with 130" in stopped.words
        assert f"run {name} has stopped" in stopped.out
        assert f"carbon-migrate resume {name}" in stopped.out
        # It had ended when the command did.
        async with place.journal() as journal:
            assert await journal.holder(await journal.run(name)) is None
        ended = await load.ended()
    assert ended.exit == 130
    assert "stopped by " in ended.closing["stopped"]
    assert set(ended.closing["states"]) == {"accepted", "pending"}
    assert (await place.found()).rows == ended.closing["states"]["accepted"] == place.traffic.arrived
    place.billing.latency = 0.0
    assert (await place.cli("resume", "--settle", "0", "--json")).closing["states"] == {"accepted": ROWS}
    await each_row_landed_once(place)


async def test_a_paused_run_is_stopped_and_stays_paused(place: Place) -> None:
    async with a_load(place) as (load, name):
        await place.cli("pause", name)
        said = json.loads((await place.cli("stop", name, "--no-wait", "--json")).out)
        assert (said["command"], said["exit"]) == ("stop", 0)
        assert (await load.ended()).exit == 130
    assert (await told(place, name))[0].paused_at is not None
    shown = (await place.cli("status", name)).out
    assert "stopped, paused" in shown
    assert f"carbon-migrate continue {name}" in shown


# ---- the socket --------------------------------------------------------------------------------------------------


def flood(path: Path) -> list[socket.socket]:
    """Clients that mean no good: garbage, a megabyte without an end, one that never reads, one that never speaks."""
    clients = [connect(path, 10) for _ in range(4)]
    request = b"GET /api/runs/x/settings HTTP/1.1\r\nHost: run\r\n\r\n"
    for client, content in zip(clients, (b"\xff\x00\n" * 1000, b"x" * 1_000_000, request * 5_000, b""), strict=True):
        client.settimeout(0.5)
        with suppress(OSError):
            client.sendall(content)
    return clients


async def test_whatever_a_client_does_the_run_goes_on_and_the_next_is_answered(place: Place) -> None:
    async with a_load(place) as (load, name):
        path = socket_of(place, name)
        assert stat.S_IMODE((await anyio.Path(path).stat()).st_mode) == 0o600
        clients = await anyio.to_thread.run_sync(flood, path)
        assert "rate=" in (await place.cli("get", name)).out
        place.billing.latency = 0.0
        ended = await load.ended()
        for client in clients:
            client.close()
    assert (ended.exit, ended.closing["states"]) == (0, {"accepted": ROWS})
    await each_row_landed_once(place)


async def test_a_journal_may_lie_deeper_than_a_socket_may_be_called(place: Place) -> None:
    folder = place.cli.folder.joinpath(*["a folder with a long name, as people like them"] * 4)
    place.cli.environment["CARBON_MIGRATE_JOURNAL"] = str(folder / "балансы 2025.journal")
    place.billing.latency = SLOW
    async with place.cli.started("run", "balances", place.balances(ROWS).path, "--yes", "--in-flight", "2") as load:
        await place.traffic.reaches(1)
        (found,) = json.loads((await place.cli("status", "--json")).out)["runs"]
        assert found["live"]["total"] == ROWS
        await place.cli("stop", found["run"])
        assert (await load.ended()).exit == 130


async def test_where_no_socket_can_be_a_pause_is_found_in_the_journal(place: Place) -> None:
    name = await a_stopped_load(place)
    await anyio.Path(socket_of(place, name) / "in the way").mkdir(parents=True)
    place.billing.latency = SLOW
    async with place.cli.started("resume", "--settle", "0", name, "--json", "--in-flight", "2") as load:
        before = place.traffic.arrived
        heard = await load.said("hears nothing from other terminals but pause and continue")
        await place.traffic.reaches(before + 1)
        await place.cli.refused("set", name, "rate=5", says=f"kill -INT {load.process.pid}")
        assert "finds it in the journal" in (await place.cli("pause", name)).out
        assert "held" in heard + await load.said("by=paused")
        place.billing.latency = 0.0
        await place.cli("continue", name)
        ended = await load.ended()
    assert ended.closing["states"] == {"accepted": ROWS}
    await each_row_landed_once(place)
