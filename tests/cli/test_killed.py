"""A run in real processes, killed with -9 by moment and store, resumed, verified, taken back: each row once.

Each job that writes has its own such life in `test_killed_jobs.py`.
"""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import pytest

from billing.database.dsn import Dsn
from tests.cli.conftest import Place, place_in
from tests.firebird_server import FirebirdServer
from tests.postgres_server import PostgresServer

ROWS: Final = 100
"""More than all lives can send."""
PACING: Final = ("--in-flight", "8", "--settle", "0.1")


@dataclass(frozen=True, slots=True)
class Life:
    """When a run is killed, by which calls of each process have arrived, where its data is, and its way back."""

    kills: tuple[int, ...]
    back: str
    on_servers: bool = False
    """The journal is in PostgreSQL, where another machine goes on with the run, and the billing on Firebird 3."""


LIVES: Final = {
    "again and again": Life((7, 1, 18, 3, 12, 9), "opposite"),
    "before the first answer": Life((1,), "storno"),
    "on servers": Life((20,), "storno", on_servers=True),
}


@pytest.fixture(params=LIVES.values(), ids=[*LIVES])
async def lived(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Life, Place]]:
    life: Life = request.param
    data: Path | Dsn = request.getfixturevalue("billing_file")
    if life.on_servers:
        firebird: FirebirdServer = request.getfixturevalue("firebird_server")
        data = firebird.populated(abonents=300, seed=3)
    async with place_in(tmp_path / "work", data) as place:
        if life.on_servers:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            place.cli.environment["CARBON_MIGRATE_JOURNAL"] = postgres.new_journal()
        yield life, place


@pytest.mark.loops(180)
async def test_killed_again_and_again_every_row_is_entered_exactly_once(lived: tuple[Life, Place]) -> None:
    life, place = lived
    place.billing.latency = 0.01
    balances = place.balances(ROWS)
    words: tuple[str | Path, ...] = ("run", "balances", balances.path, "--yes")
    for calls in life.kills:
        await place.kill_at(place.traffic.arrived + calls, *words, *PACING)
        (left,) = (await place.cli("status", "--json")).closing["runs"]
        assert left["states"]["sending"] > 0
        # The list is in the journal: the file is not needed any more.
        balances.path.unlink(missing_ok=True)
        words = ("resume",)
    cli = place.cli.on_machine("other") if life.on_servers else place.cli
    ended = (await cli("resume", "--json", *PACING)).closing
    assert ended["states"] == {"accepted": ROWS}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (ROWS, balances.sum, 1)
    verified = (await cli("verify", ended["run"], "--json")).closing
    assert (verified["states"], verified["expected"]) == ({"applied": ROWS}, verified["found"])
    await cli("report", ended["run"], "-o", "report.html")
    undone = (await place.cli("undo", ended["run"], "--set", f"way={life.back}", "--yes", "--json")).closing
    assert undone["states"] == {"accepted": ROWS}


async def test_a_run_is_never_inside_the_engine_of_the_billings_file(place: Place) -> None:
    # There a kill would leave the locks that it shares with the billing locked for ever. A keeper is in its place.
    balances = place.balances(20)
    place.cli.real_keepers = True
    async with place.cli.started("run", "balances", balances.path, "--yes", "--rate", "0.2") as run:
        await place.traffic.reaches(1)
        (keeper,) = children_of(run.process.pid)
        assert "libEngine" not in mapped_by(run.process.pid)
        assert "libEngine" in mapped_by(keeper)
        gone = os.pidfd_open(keeper)
        run.signal(signal.SIGKILL)
        await run.ended()
    try:
        await anyio.wait_readable(gone)
    finally:
        os.close(gone)


def children_of(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def mapped_by(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
