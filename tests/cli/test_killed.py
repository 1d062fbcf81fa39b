"""kill -9 at many instants of a real process, and resumed until it ends: each row once, the sum to the kopeck."""

import os
import random
import signal
from pathlib import Path

import anyio
import pytest

from checkpoints.states import State
from tests.cli.conftest import Place

ROWS = 120
KILLS = 6


@pytest.mark.loops(180)
async def test_killed_again_and_again_every_row_is_entered_exactly_once(place: Place) -> None:
    place.billing.latency = 0.01
    balances = place.balances(ROWS)
    draw = random.Random(5)
    arguments: tuple[str, ...] = ("run", "balances", str(balances.path), "--yes")
    killed_with_calls_in_flight = 0
    for _ in range(KILLS):
        before = place.traffic.arrived
        async with place.cli.started(*arguments, "--in-flight", "8", "--settle", "0.1") as run:
            # From the very first call to some way on: in flight, answered, half recorded.
            await place.traffic.reaches(before + draw.randrange(1, 20))
            run.signal(signal.SIGKILL)
            await run.ended()
        async with place.journal() as journal:
            (left,) = await journal.runs()
            killed_with_calls_in_flight += (await journal.totals(left)).count(State.SENDING) > 0
        arguments = ("resume",)
    assert killed_with_calls_in_flight == KILLS
    ended = await place.cli("resume", "--json", "--settle", "0.1")
    assert ended.closing["states"] == {"accepted": ROWS}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (ROWS, balances.sum, 1)
    verified = (await place.cli("verify", ended.closing["run"], "--json")).closing
    assert (verified["states"], verified["expected"]) == ({"applied": ROWS}, verified["found"])


async def test_killed_before_the_first_call_it_goes_on_from_the_frozen_list(place: Place) -> None:
    balances = place.balances(20)
    await place.kill_at(1, "run", "balances", balances.path, "--yes", "--rate", "0.2")
    # The list is in the journal: the file is not needed any more.
    balances.path.unlink()
    ended = await place.cli("resume", "--json", "--settle", "0.1", "--rate", "none")
    assert ended.closing["states"] == {"accepted": 20}
    assert (await place.found()).most_for_one == 1


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
