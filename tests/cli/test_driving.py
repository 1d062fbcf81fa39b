"""A run keeps how it is driven: what it was begun with and what was set since holds after whatever happens to it."""

import json
import signal

from engine.pacing.policy import Policy
from tests.cli.commands.test_control import a_load, told
from tests.cli.conftest import Place

SUM_OF_15 = "7.50"
"""What the first fifteen amounts of a file of balances add up to, signs left out."""

NO_WAITING = ("--settle", "0.1")


async def hours_with(place: Place, first: int, last: int) -> str:
    """Hours of the day from so many after the billing's own to so many."""
    ((hour,),) = place.billing.database.query("select extract(hour from current_timestamp) from rdb$database")
    return f"{(hour + first) % 24:02}:00-{(hour + last) % 24:02}:00"


async def settings(place: Place, name: str) -> dict[str, str]:
    """What `get` says of a run that works."""
    found: dict[str, str] = json.loads((await place.cli("get", name, "--json")).out)["settings"]
    return found


async def test_after_a_kill_a_plain_resume_is_held_by_limit_hours_and_rate_as_before(place: Place) -> None:
    hours = await hours_with(place, -1, 2)
    begun = ("--limit-money", SUM_OF_15, "--hours", hours, "--rate", "5", "--in-flight", "2", "--max-stack", "70")
    path = place.balances(200).path
    await place.kill_at(4, "run", "balances", path, "--yes", *begun, *NO_WAITING, "--no-canary")
    (left,) = await place.runs()
    assert f"at most {SUM_OF_15} in this run" in (await place.cli("status", left.name)).out
    ended = await place.cli("resume", "--settle", "0", "--json", may_end_with=(3,))
    begin, end = hours.split("-")
    assert (
        f"pacing: parallel calls: 2; at most 5 calls a second; from {begin} to {end}; "
        "held above 70 entries in a stack; "
        f"stops after 100 errors; at most {SUM_OF_15} in this run; "
    ) in ended.words
    assert f"kept with the run: in-flight=2, rate=5, hours={hours}, max-stack=70, limit-money=7.50," in ended.words
    assert "--limit-money 7.50" in ended.closing["stopped"]
    assert 0 < ended.closing["calls"] <= 5 * ended.closing["seconds"] + 1
    found = await place.found()
    assert (found.rows, found.most_for_one) == (15, 1)


async def test_what_was_set_on_a_live_run_survives_a_kill(place: Place) -> None:
    async with a_load(place) as (load, name):
        hours = await hours_with(place, 11, 12)
        await place.cli("set", name, f"hours={hours}", "rate=7", "limit-money=100")
        load.signal(signal.SIGKILL)
        await load.ended()
    # A call takes longer here than the settle delay below.
    await place.billing.wait_for_requests()
    place.billing.latency = 0.0
    before = place.traffic.arrived
    async with place.cli.started("resume", "--settle", "0", name, "--json", *NO_WAITING) as load:
        await load.said("at the billing")
        in_force = await settings(place, name)
        assert (in_force["hours"], in_force["rate"], in_force["limit-money"]) == (hours, "7", "100")
        assert place.traffic.arrived == before
        await place.cli("set", name, "hours=always", "rate=none")
        ended = await load.ended()
    assert ended.exit == 3
    assert "--limit-money 100.00" in ended.closing["stopped"]
    assert (await place.found()).rows == 53
    # What was set back to what it is by default is kept no more.
    assert (await told(place, name))[0].policy == {"in-flight": "2", "limit-money": "100", "settle": "0.1"}


async def test_a_run_that_stopped_at_its_limit_stops_there_again_and_a_higher_one_is_kept_in_turn(
    place: Place,
) -> None:
    path = place.balances(60).path
    limited = ("--limit-money", SUM_OF_15, "--settle", "0")
    ended = await place.cli("run", "balances", path, "--yes", "--json", *limited, may_end_with=(3,))
    name = ended.closing["run"]
    kept = json.loads((await place.cli("status", name, "--json")).out)["settings"]
    assert kept == {"limit-money": SUM_OF_15, "settle": "0"}
    again = await place.cli("resume", name, "--json", may_end_with=(3,))
    assert (again.closing["calls"], (await place.found()).rows) == (0, 15)
    assert f"`carbon-migrate resume {name} --limit-money AMOUNT --journal " in again.closing["stopped"]
    assert "pacing: " in again.words
    higher = await place.cli("resume", name, "--json", "--limit-money", "20", may_end_with=(3,))
    assert higher.closing["calls"] > 0
    assert (await place.cli("resume", name, "--json", may_end_with=(3,))).closing["calls"] == 0
    run, commands = await told(place, name)
    assert run.policy == {"limit-money": "20", "settle": "0"}
    assert [one.command for one in commands] == ["taken up with --limit-money 20"]
    assert (await place.cli("resume", name, "--json", "--limit-money", "none")).closing["states"] == {"accepted": 60}
    assert (await place.found()).most_for_one == 1


async def test_a_run_that_nobody_works_on_says_what_it_keeps(place: Place) -> None:
    path = place.balances(60).path
    ended = await place.cli("run", "balances", path, "--yes", "--json", "--limit-money", SUM_OF_15, may_end_with=(3,))
    refused = await place.cli("get", ended.closing["run"], may_end_with=(2,))
    assert f"it keeps limit-money={SUM_OF_15}, which a flag changes: carbon-migrate resume" in refused.words


async def test_a_select_that_is_none_is_not_kept(place: Place) -> None:
    path = place.balances(60).path
    ended = await place.cli("run", "balances", path, "--yes", "--json", "--limit-money", SUM_OF_15, may_end_with=(3,))
    mistyped = ("--throttle-sql", "select nothing", "--throttle-above", "5", "--limit-money", "none")
    await place.cli.refused("resume", ended.closing["run"], *mistyped, says="--throttle-sql")
    assert (await told(place, ended.closing["run"]))[0].policy == {"limit-money": SUM_OF_15}


async def test_reconcile_waits_as_long_as_the_run_does(place: Place) -> None:
    place.billing.latency = 0.3
    path = place.balances(60).path
    await place.kill_at(6, "run", "balances", path, "--yes", "--in-flight", "4", *NO_WAITING)
    place.billing.latency = 0.0
    (left,) = await place.runs()
    await place.cli("reconcile", left.name, may_end_with=(0, 3))
    async with place.journal() as journal:
        assert "unknown" not in (await journal.totals(left)).counts
        *_, process = await journal.history.runners(left)
    assert process.purpose == "reconcile"
    assert process.ended_at is not None
    assert (process.ended_at - process.began_at).total_seconds() < Policy().settle


async def test_a_step_of_a_job_file_that_is_taken_up_keeps_its_limits_and_a_flag_changes_them(place: Place) -> None:
    place.balances(60)
    place.write(
        '[run]\nlimit_money = 7.5\nin_flight = "auto"\n[[step]]\njob = "balances"\nfile = "balances.csv"\n',
        "night.toml",
    )
    stopped = await place.cli("run", "night.toml", "--yes", "--json", "--settle", "0", may_end_with=(3,))
    assert (await place.found()).rows == 15
    place.write('[[step]]\njob = "balances"\nfile = "balances.csv"\n', "night.toml")
    again = await place.cli("run", "night.toml", "--yes", "--json", may_end_with=(3,))
    assert (again.closing["run"], again.closing["calls"]) == (stopped.closing["run"], 0)
    ended = await place.cli("run", "night.toml", "--yes", "--json", "--limit-money", "none")
    assert ended.closing["states"] == {"accepted": 60}
