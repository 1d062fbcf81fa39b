"""`doctor`, `mock` and `demo`."""

import re

import anyio
import pytest

from tests.cli.conftest import Place


async def test_doctor_finds_nothing_in_the_way(place: Place) -> None:
    said = (await place.cli("doctor")).out
    assert "✗" not in said
    assert "CARBON_MIGRATE_API_URL" in said
    assert "nothing is in the way of a run" in said


async def test_doctor_says_what_is_wrong_and_goes_on(place: Place) -> None:
    place.cli.environment["CARBON_MIGRATE_DATABASE_PASSWORD"] = "do-not-show"
    ended = await place.cli(
        "doctor", "--api-url", "http://127.0.0.1:9", "--database", "nowhere.fdb", may_end_with=(2,)
    )
    said = " ".join(ended.out.split())
    assert "✗ api Nobody answers" in said
    assert "✗ database" in said
    assert "✓ journal" in said
    assert "2 in the way of a run" in said
    assert "do-not-show" not in said


async def test_a_mock_is_made_once_and_served(place: Place) -> None:
    made = await place.cli("mock", "init", "b.fdb", "--abonents", "20", "--seed", "3")
    assert "20 subscribers" in made.words
    again = await place.cli("mock", "init", "b.fdb", "--abonents", "20", may_end_with=(2,))
    assert "is there already" in again.words
    missing = await place.cli("mock", "serve", "nowhere.fdb", may_end_with=(2,))
    assert "there is no nowhere.fdb" in missing.words
    port = place.billing.url.rpartition(":")[2]
    taken = await place.cli("mock", "serve", "b.fdb", "--port", port, may_end_with=(2,))
    assert f"port {port}" in taken.words


@pytest.mark.timeout(90)
async def test_the_demo_proves_itself(place: Place) -> None:
    ended = await place.cli("demo", "--abonents", "600")
    assert "the proof holds" in ended.out
    assert re.search(r"rows, and operations\s+600\s+600\s+✓", ended.out)
    assert re.search(r"\$ kill -9 \d+", ended.out)
    assert await anyio.Path(place.cli.folder / ".demo" / "carbon-migrate.journal").exists()
