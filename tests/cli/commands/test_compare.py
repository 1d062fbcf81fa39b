"""The guard against a load that is unlike the last one; `transcripts/billing/compare.txt` has what `compare` says."""

from decimal import Decimal

from tests.cli.conftest import Place
from tests.cli.terminal.terminals import answered


async def load(place: Place, name: str, *rows: str, ends: int = 0) -> str:
    place.rows("abonent_id;amount", *rows, name=name)
    return str((await place.run("balances", name, "--skip-bad", ends=ends))["run"])


async def test_two_undos_are_compared_by_the_rows_that_they_take_back(place: Place) -> None:
    """Not by their calls, of which each brings back the balance that it has found."""
    one, two, three = place.subscribers(3)
    first = await load(place, "first.csv", f"{one};100", f"{two};50")
    place.rows("abonent_id;amount", f"{one};130.50", f"{three};3", name="second.csv")
    second = (await place.run("balances", "second.csv", "--again"))["run"]
    back = ("--set", "way=opposite", "--yes", "--settle", "0.1")
    undos = [(await place.cli.closing("undo", name, *back))["run"] for name in (second, first)]
    shown = [
        f"run {undos[0]} undo, from run {second}",
        "= 1 row in both ≠ 1 row with another sum, 30.50 in all",
        "accepted, −130.50 before, −100.00 now: 30.50",
        f"1 row only in run {undos[0]}, −3.00 in total",
        f"1 row only in run {undos[1]}, −50.00 in total",
    ]
    await place.cli.told("compare", *undos, ends=1, says=shown)
    assert (await place.cli.closing("compare", first, undos[1], ends=1))["rows"]["both"] == 2


async def test_a_load_that_is_unlike_the_last_one_of_its_job_is_asked_about(place: Place) -> None:
    ids = place.subscribers(9)
    like = ("--like-last", "50%")
    # Nothing to be like yet; and a part of a file is no load.
    place.rows("abonent_id;amount", f"{ids[0]};100", f"{ids[1]};100", name="first.csv")
    await place.run("balances", "first.csv")
    place.rows("abonent_id;amount", f"{ids[2]};1", f"{ids[3]};1", name="part.csv")
    await place.run("balances", "part.csv", "--limit", "1")
    place.rows("abonent_id;amount", *(f"{one};70" for one in ids[4:7]), name="alike.csv")
    words = ("run", "balances", "unlike.csv", *like)
    for amounts in ("450",), ("-1", "-1"), tuple("1234"):
        rows = [f"{one};{amount}" for one, amount in zip(ids[5:], amounts, strict=False)]
        place.rows("abonent_id;amount", *rows, name="unlike.csv")
        ended = await place.cli.refused(*words, "--yes", says="and the last one of the job")
        again = f"carbon-migrate run balances {place.cli.folder}/unlike.csv --yes --like-last none --journal "
        ended.saying(["more than 50% apart", again])
    # With what else is wrong of it at once.
    whole = (place.cli.folder / "unlike.csv").read_text()
    place.write(f"{whole}nobody;1\n", "unlike.csv")
    await place.cli.refused(*words, "--yes", says=["1 row of the input is refused", "more than 50% apart"])
    place.write(whole, "unlike.csv")
    assert (await place.found()).rows == 3
    await answered(place, *words, says=[("Is that right?", "n")], ends=2)
    asked = [("Is that right?", "y"), ("Send these 4 rows", "n")]
    await answered(place, *words, says=asked, ends=2)
    assert (await place.run("balances", "alike.csv", *like))["amounts"] == {"accepted": "210.00"}
    # As a key of a job file, for its steps.
    job = 'format = 1\n[run]\nlike_last = "10%"\n[[step]]\njob = "balances"\nfile = "unlike.csv"\n'
    place.write(job, "load.toml")
    await place.cli.refused("run", "load.toml", "--yes", "--skip-bad", says="more than 10% apart")
    assert (await place.found()).sum == Decimal(411)
