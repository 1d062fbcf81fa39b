"""Jobs against a real Firebird 3 server over TCP, as the billing has one; `test_life_of_a_run.py` kills one there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from billing.money import SCALE
from tests.cli.conftest import Place, place_in
from tests.firebird_server import FirebirdServer

FOLDER = "1316"


@pytest.fixture
async def place_on_server(firebird_server: FirebirdServer, tmp_path: Path) -> AsyncIterator[Place]:
    async with place_in(tmp_path / "work", firebird_server.populated(abonents=300, seed=3)) as made:
        yield made


async def test_thresholds_of_a_folder_are_set_and_verified(place_on_server: Place) -> None:
    place = place_on_server
    thresholds = (
        "select aa.limit_warning from abonents a join admin_accounts aa on aa.id = a.account_id"
        " where a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0"
    )
    wanted = list(place.billing.database.query(thresholds, {"folder": int(FOLDER)}))
    settings = ("--set", f"folder={FOLDER}", "--set", "amount=-777")
    ended = await place.run("warning-threshold", *settings)
    assert ended["states"] == {"accepted": len(wanted)}
    assert wanted
    assert set(place.billing.database.query(thresholds, {"folder": int(FOLDER)})) == {(-777 * SCALE,)}
    verified = await place.cli.closing("verify", ended["run"])
    assert verified["states"] == {"applied": len(wanted)}
