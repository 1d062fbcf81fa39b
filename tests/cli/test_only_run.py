"""Commands without a name take the only run there is, and name the runs where there are several."""

from tests.cli.conftest import Place

ROWS = 3
QUICK = ("--yes", "--no-canary", "--settle", "0.1")


async def test_a_run_that_is_the_only_one_is_paused_continued_stopped_verified_and_reported(place: Place) -> None:
    place.balances(40)
    await place.kill_at(10, "run", "balances", "balances.csv", "--in-flight", "2", *QUICK)
    (run,) = await place.runs()
    assert f"run {run.name}: " in (await place.cli("pause")).out
    assert [one.paused_at is not None for one in await place.runs()] == [True]
    assert f"run {run.name}: " in (await place.cli("continue")).out
    for words in (("stop",), ("get",), ("set", "rate=5", "in-flight=2")):
        await place.cli.refused(*words, says=f"run {run.name} ")
    await place.cli.refused("set", run.name, says="nothing is named that is to be set")
    await place.cli("resume", *QUICK)
    assert f"run {run.name}" in (await place.cli("verify")).out
    await place.cli("report")
    assert list(place.cli.folder.glob("report-*.html")) == [place.cli.folder / f"report-{run.name}.html"]
    await place.cli.refused("pause", says="no run is under way; `carbon-migrate status")


async def test_of_several_runs_each_is_named_with_its_command(place: Place) -> None:
    place.balances(ROWS)
    await place.cli("run", "balances", "balances.csv", *QUICK)
    await place.cli("run", "balances", "balances.csv", "--again", *QUICK)
    names = [run.name for run in await place.runs() if run.approved_at]
    asked = await place.cli.refused("verify", says="there are several runs; which?")
    assert [name for name in names if f"carbon-migrate verify {name} " in asked.words] == names


async def test_of_several_runs_the_one_that_somebody_works_on_is_meant(place: Place) -> None:
    await place.stopped("balances", place.balances(9, "stopped.csv").path, "--in-flight", "1", "--no-canary")
    place.traffic.arrived, place.billing.latency = 0, 0.1
    words = ("balances", place.balances(40).path, "--again", "--in-flight", "1", *QUICK)
    async with place.cli.started("run", *words, "--json") as load:
        await load.until(lambda: place.traffic.reaches(2))
        assert "run " in (await place.cli("stop")).out
        assert (await load.ended()).exit == 130
