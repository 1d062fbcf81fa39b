"""A load is told of as it works: to systemd, at a notify socket of our own, and to a scraper of its metrics."""

import re
import signal
from pathlib import Path

import aiohttp
import anyio
import pytest

from checkpoints.states import State
from cli.terminal.exits import Exit
from tests.cli.conftest import PATIENCE, Cli, Place
from tests.cli.metrics.test_reader import of, scraped
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


# ---- metrics: while it works, after a kill, and at its end --------------------------------------------------------

METRICS = """\
[metrics]
file = "metrics/carbon-{run}.prom"
"""
MEASURED = 30


async def the_file_in(folder: Path) -> anyio.Path:
    """The one file of metrics, once it is there."""
    with anyio.fail_after(PATIENCE):
        while True:
            if found := [path async for path in anyio.Path(folder).glob("*.prom")]:
                (file,) = found
                return file
            await anyio.sleep(0.01)


async def test_a_load_leaves_its_figures_also_where_it_is_killed(place: Place) -> None:
    place.write(METRICS, "carbon-migrate.toml")
    # A load without a place for them says so, and goes on.
    ended = await place.cli("run", "balances", place.balances(3, "three.csv").path, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 3}
    assert ended.err.count("the file of the metrics cannot be written") == 1
    await place.cli("undo", ended.closing["run"], "--set", "way=opposite", "--yes")
    place.traffic.arrived = 0
    folder = place.cli.folder / "metrics"
    await anyio.Path(folder).mkdir()
    balances = place.balances(MEASURED)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--rate", "2") as run:
        file = await the_file_in(folder)
        await place.traffic.reaches(1)
        run.signal(signal.SIGKILL)
        await run.ended()
    killed = scraped(await file.read_text())
    assert of(killed, "working") == 1
    assert sum(of(killed, "items", state=state) for state in State) == MEASURED
    assert sum(of(killed, "roubles", state=state) for state in State) == pytest.approx(float(balances.sum))
    resumed = await place.cli.closing("resume", "--settle", "0.1", "--rate", "none")
    done = scraped(await file.read_text())
    assert file.name == f"carbon-{resumed['run']}.prom"
    assert of(done, "items", state="accepted") == MEASURED == resumed["states"]["accepted"]
    assert of(done, "roubles", state="accepted") == float(balances.sum)
    assert (of(done, "calls_total"), of(done, "last_exit_code")) == (resumed["calls"], 0)


async def test_every_scrape_of_a_load_is_whole_and_the_same_rows_are_in_each(place: Place) -> None:
    place.write("[metrics]\nport = 0\n", "carbon-migrate.toml")
    place.billing.latency = 0.02
    # The scraper is done long before the run is, which has both on one event loop.
    balances = place.balances(10 * MEASURED)
    async with (
        aiohttp.ClientSession() as scraper,
        place.cli.started("run", "balances", balances.path, "--yes", "--json", "--in-flight", "2") as run,
    ):
        heard = await run.said("/metrics")
        address = re.search(r"http://127\.0\.0\.1:\d+/metrics", heard)
        assert address is not None
        async with scraper.get(address[0], headers={"Host": "example.org"}) as answer:
            assert answer.status == 403
        accepted: list[float] = []
        for calls in range(1, MEASURED, 4):
            await place.traffic.reaches(calls)
            async with scraper.get(address[0]) as answer:
                assert answer.content_type == "text/plain"
                seen = scraped(await answer.text())
            assert sum(of(seen, "items", state=state) for state in State) == balances.rows
            assert of(seen, "working") == 1
            accepted.append(of(seen, "items", state="accepted"))
        run.signal(signal.SIGINT)
        assert (await run.ended()).exit == Exit.INTERRUPTED
    assert accepted == sorted(accepted)
    assert len(set(accepted)) > 1
