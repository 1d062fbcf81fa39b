"""Two copies of a journal on one machine: only one of them is worked with at a time."""

import os
import shutil
import sys
from pathlib import Path

import anyio

from cli.session import machine_lock
from tests.cli.conftest import Cli, Place

HOLDS = """
import os, socket, sys
if os.getuid() == 0:
    os.setuid(4711)
with socket.socket(socket.AF_UNIX) as held:
    held.bind(sys.argv[1].replace("@", chr(0)))
    held.listen()
    print("holds", end="", flush=True)
    sys.stdin.read()
"""


async def test_of_two_copies_only_one_goes_on_and_no_row_is_entered_twice(place: Place, tmp_path: Path) -> None:
    place.billing.latency = 0.02
    balances = place.balances(60)
    await place.kill_at(20, "run", "balances", balances.path, "--yes", "--in-flight", "4")
    other = Cli(tmp_path / "copy", place.cli.environment)
    shutil.copytree(place.cli.folder, other.folder, ignore=shutil.ignore_patterns("*.socket"))
    place.billing.latency = 0.1
    async with place.cli.started("resume", "--yes", "--settle", "0.1", "--in-flight", "2") as first:
        await place.traffic.reaches(place.traffic.arrived + 3)
        refused = await other("resume", "--yes", "--settle", "0.1", may_end_with=(2,))
        assert "with another copy of this journal" in refused.err
        place.billing.latency = 0
        assert (await first.ended(None)).exit == 0
    # What the copy does not know is found in the billing, once nobody works with the other one.
    resumed = await other("resume", "--yes", "--settle", "0.1", "--json")
    assert resumed.closing["states"] == {"accepted": 60}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (60, balances.sum, 1)


async def test_a_name_that_somebody_else_holds_is_not_told_to_be_a_copy_of_this_journal(place: Place) -> None:
    """Whoever knows the name of a run can bind it; that stops the run, and is told for what it is."""
    balances = place.balances(6)
    place.billing.latency = 0.1
    await place.kill_at(2, "run", "balances", balances.path, "--yes", "--in-flight", "1")
    (run,) = await place.runs()
    name = f"@{machine_lock.beginning_for(machine_lock.billing_names(run)[0])}another-{run.name}-1"
    async with await anyio.open_process([sys.executable, "-P", "-c", HOLDS, name]) as holder:
        assert holder.stdout is not None
        assert await holder.stdout.receive() == b"holds"
        before = place.traffic.arrived
        refused = await place.cli("resume", "--yes", "--settle", "0.1", may_end_with=(2,))
        assert (
            f"process {holder.pid} {'of user 4711 sends run' if os.getuid() == 0 else 'works on run'}"
            in refused.words
        )
        assert place.traffic.arrived == before
        holder.kill()
    place.billing.latency = 0
    assert (await place.cli("resume", "--yes", "--settle", "0.1")).exit == 0


async def test_a_run_whose_journal_is_removed_stops_and_sends_nothing_more(place: Place) -> None:
    balances = place.balances(60)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--rate", "15") as load:
        await place.traffic.reaches(5)
        for path in place.cli.folder.glob("carbon-migrate.journal*"):
            path.unlink()
        ended = await load.ended()
    assert ended.exit == 3, ended.err
    assert "was removed or replaced while it was worked on" in ended.words
    assert place.traffic.arrived < 60
    assert (await place.found()).most_for_one == 1


async def test_while_a_run_sends_another_journal_of_the_billing_is_refused(place: Place) -> None:
    place.billing.latency = 0.1
    balances, other = place.balances(40), place.balances(60, "other.csv")
    run = ("--yes", "--json", "--in-flight", "2", "--no-canary")
    elsewhere = ("run", "balances", other.path, *run, "--skip-bad", "--journal", "elsewhere.journal")
    async with place.cli.started("run", "balances", balances.path, *run) as first:
        await place.traffic.reaches(3)
        (sending,) = await place.runs()
        refused = await place.cli(*elsewhere, may_end_with=(2,))
        assert f"process {first.process.pid} sends run {sending.name} to this billing" in refused.words
        assert "with another journal" in refused.words
        # Runs of one journal send beside each other, as before.
        place.write("abonent_id;amount\n2003;5\n", "third.csv")
        beside = await place.cli("run", "balances", "third.csv", *run, "--set", "op_type=2")
        assert beside.closing["states"] == {"accepted": 1}
        place.billing.latency = 0
        assert (await first.ended(None)).exit == 0
    await place.cli(*elsewhere, may_end_with=(1,))
    found = await place.found()
    assert found.most_for_one <= 2
    assert (found.rows, found.sum) == (61, other.sum)
