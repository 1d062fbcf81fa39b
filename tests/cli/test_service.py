"""A job file as a service of systemd: a real process, against a notify socket of our own."""

import signal

import anyio

from cli.terminal.exits import Exit
from tests.cli.conftest import Cli, Place
from tests.cli.service.conftest import Listener, listener

__all__ = ["listener"]

ROWS = 60
SETTINGS = """\
[hooks]
on-start = ["sh", "-c", "env > environment"]
"""
NIGHT = """\
format = 1

[run]
in_flight = 4
settle = 0.1

[[step]]
job = "balances"
file = "balances.csv"
"""
COMMAND = ("run", "night.toml", "--yes", "--quiet")


def as_service(cli: Cli, listener: Listener) -> None:
    cli.environment |= {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "200000"}


async def test_a_load_says_how_it_is_and_a_stop_waits_for_what_is_in_flight(place: Place, listener: Listener) -> None:
    place.write(SETTINGS, "carbon-migrate.toml")
    place.write(NIGHT, "night.toml")
    place.balances(ROWS)
    place.billing.latency = 0.3
    as_service(place.cli, listener)
    async with place.cli.started(*COMMAND) as run:
        await listener.hears("READY")
        await listener.hears("STATUS", f" of {ROWS} rows (")
        await listener.hears("WATCHDOG", times=3)
        await place.traffic.reaches(10)
        run.signal(signal.SIGTERM)
        await listener.hears("STOPPING")
        ended = await run.ended()
    listener.waiting()
    assert ended.exit == Exit.INTERRUPTED
    assert listener.names("READY", "STOPPING") == ["READY", "STOPPING"]
    sent = place.traffic.arrived
    assert sent < ROWS
    assert listener.status.endswith(f"; pending {ROWS - sent}, accepted {sent}")
    assert "exit code 130" in listener.status
    environment = await anyio.Path(place.cli.folder / "environment").read_text()
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG_USEC" not in environment
    # Begun again, as the timer does it the next night, it goes on.
    place.billing.latency = 0.0
    listener.forget()
    async with place.cli.started(*COMMAND) as run:
        await listener.hears("STOPPING")
        assert (await run.ended()).exit == Exit.DONE
    assert listener.names("READY", "STOPPING") == ["READY", "STOPPING"]
    assert listener.status.endswith(f"exit code 0; accepted {ROWS}")
    await place.landed_once(ROWS)


async def test_a_service_whose_billing_is_away_was_not_started_and_one_whose_socket_goes_away_ends_no_load(
    place: Place, listener: Listener
) -> None:
    place.write(NIGHT, "night.toml")
    place.balances(ROWS)
    as_service(place.cli, listener)
    for wrong in (("--api-url", "http://127.0.0.1:1"), ("--database", "127.0.0.1/1:/billing.fdb")):
        listener.forget()
        ended = await place.cli(*COMMAND, *wrong, may_end_with=(Exit.STOPPED,))
        listener.waiting()
        assert listener.names("READY", "STOPPING") == ["STOPPING"]
        assert "127.0.0.1" in listener.status
        assert f"carbon-migrate run {place.cli.folder.resolve() / 'night.toml'} " in ended.err
    # As soon as it is back:
    listener.forget()
    place.billing.latency = 0.1
    async with place.cli.started("run", "night.toml", "--yes", "--json") as run:
        await listener.hears("READY")
        await anyio.Path(listener.address).unlink()
        listener.close()
        ended = await run.ended()
    assert ended.exit == Exit.DONE
    assert ended.err.count("systemd cannot be told of the run") == 1
    assert (await place.found()).rows == ROWS
