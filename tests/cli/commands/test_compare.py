"""The guard against a load that is unlike the last one; `transcripts/billing/compare.txt` has what `compare` says."""

from decimal import Decimal

from tests.cli.conftest import Place
from tests.cli.terminal.terminals import answered


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
