"""`--limit`, `--only` and `--exclude` outlive a kill; `transcripts/billing/selection.txt` has what they choose."""

from tests.cli.conftest import Place


async def test_what_was_chosen_is_a_part_of_the_run_and_outlives_a_kill_in_the_intake(place: Place) -> None:
    """The billing is away after the first page; its rows are frozen, and the limit goes on to count from there."""
    place.without_database()
    balances = place.balances(40)
    place.rows(*balances.numbers[:30], name="keys.txt")
    chosen = ("--only", "keys.txt", "--limit", "25")
    place.traffic.model = "Abonents"
    async with place.cli.started("run", "balances", balances.path, *chosen, "--yes", "--rate", "20") as started:
        await place.traffic.reaches(10)
        started.process.kill()
        await started.process.wait()
    (run,) = await place.runs()
    assert (run.frozen_at, run.parameters["input_limit"]) == (None, "25")
    place.rows(*balances.numbers[:31], name="keys.txt")
    await place.cli.refused("resume", "--yes", says="keys.txt has changed since the run began with it")
    assert (await place.found()).rows == 0
