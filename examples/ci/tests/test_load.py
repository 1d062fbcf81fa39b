"""The load that was rehearsed: this version of carbon-migrate still asks the billing what it asked then."""

from pathlib import Path

from carbon_migrate_testing import OpenReplay

RECORDINGS = Path(__file__).parents[1] / "recordings"


def test_the_load_asks_what_was_recorded(carbon_replay: OpenReplay) -> None:
    with carbon_replay(RECORDINGS / "balances.rec") as billing:
        ended = billing.run("run", "balances", RECORDINGS / "balances.csv", "--yes")
        assert ended.returncode == 0, ended.stderr
