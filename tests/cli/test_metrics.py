"""The metrics of a load as a scraper has them: from a real process, while it works, after a kill, and at its end."""

import re
import signal
from pathlib import Path

import aiohttp
import anyio
import pytest

from checkpoints.states import State
from cli.terminal.exits import Exit
from tests.cli.conftest import PATIENCE, Place
from tests.cli.metrics.test_reader import of, scraped

SETTINGS = """\
[metrics]
file = "metrics/carbon-{run}.prom"
"""
ROWS = 30


async def the_file_in(folder: Path) -> anyio.Path:
    """The one file of metrics, once it is there."""
    with anyio.fail_after(PATIENCE):
        while True:
            if found := [path async for path in anyio.Path(folder).glob("*.prom")]:
                (file,) = found
                return file
            await anyio.sleep(0.01)


async def test_a_load_leaves_its_figures_also_where_it_is_killed(place: Place) -> None:
    place.write(SETTINGS, "carbon-migrate.toml")
    # A load without a place for them says so, and goes on.
    ended = await place.cli("run", "balances", place.balances(3, "three.csv").path, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 3}
    assert ended.err.count("the file of the metrics cannot be written") == 1
    await place.cli("undo", ended.closing["run"], "--set", "way=opposite", "--yes")
    place.traffic.arrived = 0
    folder = place.cli.folder / "metrics"
    await anyio.Path(folder).mkdir()
    balances = place.balances(ROWS)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--rate", "2") as run:
        file = await the_file_in(folder)
        await place.traffic.reaches(1)
        run.signal(signal.SIGKILL)
        await run.ended()
    killed = scraped(await file.read_text())
    assert of(killed, "working") == 1
    assert sum(of(killed, "items", state=state) for state in State) == ROWS
    assert sum(of(killed, "roubles", state=state) for state in State) == pytest.approx(float(balances.sum))
    resumed = await place.cli.closing("resume", "--settle", "0.1", "--rate", "none")
    done = scraped(await file.read_text())
    assert file.name == f"carbon-{resumed['run']}.prom"
    assert of(done, "items", state="accepted") == ROWS == resumed["states"]["accepted"]
    assert of(done, "roubles", state="accepted") == float(balances.sum)
    assert (of(done, "calls_total"), of(done, "last_exit_code")) == (resumed["calls"], 0)


async def test_every_scrape_of_a_load_is_whole_and_the_same_rows_are_in_each(place: Place) -> None:
    place.write("[metrics]\nport = 0\n", "carbon-migrate.toml")
    place.billing.latency = 0.02
    # The scraper is done long before the run is, which has both on one event loop.
    balances = place.balances(10 * ROWS)
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
        for calls in range(1, ROWS, 4):
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
