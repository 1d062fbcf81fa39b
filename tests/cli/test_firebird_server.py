"""Both jobs against a real Firebird 3 server over TCP, as the billing has one: run, killed, resumed, verified."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from billing.money import SCALE
from lab.mock.server import running
from tests.cli.conftest import Cli, Place, Traffic, clean_environment
from tests.firebird_server import FirebirdServer

FOLDER = "1316"


@pytest.fixture
async def place_on_server(firebird_server: FirebirdServer, tmp_path: Path) -> AsyncIterator[Place]:
    dsn = firebird_server.populated(abonents=300, seed=3)
    traffic = Traffic()
    async with running(dsn, middlewares=[traffic.count]) as billing:
        environment = clean_environment() | {
            "CARBON_MIGRATE_API_URL": billing.url,
            "CARBON_MIGRATE_DATABASE": dsn.database,
            "CARBON_MIGRATE_DATABASE_PASSWORD": dsn.password.reveal(),
            "COLUMNS": "200",
        }
        yield Place(Cli(tmp_path, environment), billing, traffic, Path(dsn.database))


async def test_balances_are_entered_once_though_killed_and_resumed(place_on_server: Place) -> None:
    place = place_on_server
    place.billing.latency = 0.01
    balances = place.balances(200)
    await place.kill_at(60, "run", "balances", balances.path, "--yes", "--in-flight", "8")
    resumed = await place.cli("resume", "--settle", "0.3", "--json")
    assert resumed.closing["states"] == {"accepted": 200}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (200, balances.sum, 1)
    verified = await place.cli("verify", resumed.closing["run"], "--json")
    assert verified.closing["states"] == {"applied": 200}


async def test_thresholds_of_a_folder_are_set_and_verified(place_on_server: Place) -> None:
    place = place_on_server
    thresholds = (
        "select aa.limit_warning from abonents a join admin_accounts aa on aa.id = a.account_id"
        " where a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0"
    )
    wanted = list(place.billing.database.query(thresholds, {"folder": int(FOLDER)}))
    settings = ("--set", f"folder={FOLDER}", "--set", "amount=-777")
    ended = await place.cli("run", "warning-threshold", *settings, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": len(wanted)}
    assert wanted
    assert set(place.billing.database.query(thresholds, {"folder": int(FOLDER)})) == {(-777 * SCALE,)}
    verified = await place.cli("verify", ended.closing["run"], "--json")
    assert verified.closing["states"] == {"applied": len(wanted)}


async def test_the_password_is_nowhere_in_what_it_leaves_behind(place_on_server: Place) -> None:
    place = place_on_server
    await place.cli("run", "balances", place.balances(3).path, "--yes", "--verbose")
    password = place.cli.environment["CARBON_MIGRATE_DATABASE_PASSWORD"].encode()
    left_behind = [path for path in place.cli.folder.iterdir() if path.name.startswith("carbon-migrate")]
    assert left_behind
    assert [path for path in left_behind if password in path.read_bytes()] == []
