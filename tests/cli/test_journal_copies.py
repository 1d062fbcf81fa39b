"""Two copies of a journal on one machine: only one of them is worked with at a time."""

import shutil
from pathlib import Path

from tests.cli.conftest import Cli, Place


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
