"""Two runs beside each other, and the guard against a load that is unlike the last one."""

import shutil
from decimal import Decimal

from tests.cli.conftest import Place
from tests.cli.terminal.terminals import answered


async def load(place: Place, name: str, *rows: str, ends: int = 0) -> str:
    place.rows("abonent_id;amount", *rows, name=name)
    return str((await place.run("balances", name, "--skip-bad", ends=ends))["run"])


async def test_two_runs_stand_beside_each_other_and_the_code_says_whether_they_differ(place: Place) -> None:
    ids = place.subscribers(4)
    first = await load(place, "first.csv", f"{ids[0]};1,50", f"{ids[1]};2", f"{ids[2]};3")
    second = await load(place, "second.csv", f"{ids[1]};2", f"{ids[2]};3", f"{ids[3]};-4", "0;5", ends=1)
    told = await place.cli.told(
        *("compare", first, second),
        ends=1,
        says=[
            f"{first} {second} rows read 3 4 rows entered 3 1 sum entered 6.50 −4.00 skipped 0 2 accepted 3 1",
            "refused 0 1 calls 3 1",
            "= 2 rows in both = 0 rows with another sum",
            f"≠ 1 row only in run {first}, 1.50 in total",
            f"≠ 1 row only in run {second}, −4.00 in total",
        ],
    )
    assert "Errors" not in told
    found = (await place.cli("compare", first, second, "--json", may_end_with=(1,))).closing
    assert [one["states"] for one in found["runs"]] == [{"accepted": 3}, {"skipped": 2, "accepted": 1}]
    assert found["rows"]["only_first"]["first"][0]["amount"] == "1.50"
    assert (found["rows"]["both"], found["exit"]) == (2, 1)
    assert (await place.cli.closing("compare", first, first))["rows"]["both"] == 3


async def test_a_changed_row_shows_what_it_was_what_it_is_and_the_difference(place: Place) -> None:
    one, two, three = place.subscribers(3)
    first = await load(place, "first.csv", f"{one};100", f"{two};50", f"{three};3")
    place.rows("abonent_id;amount", f"{one};130.50", f"{two};20", f"{three};3", name="second.csv")
    second = (await place.run("balances", "second.csv", "--again", "--limit-money", "140", "--settle", "0", ends=3))[
        "run"
    ]
    shown = [
        "2 rows with another sum, 0.50 in all",
        "line 2: accepted, 100.00 before, 130.50 now: 30.50",
        "line 3: accepted → pending, 50.00 before, 20.00 now: −30.00",
    ]
    await place.cli.told("compare", first, second, ends=1, says=shown)
    closing = await place.cli.closing("compare", first, second, ends=1)
    changed = closing["rows"]["changed"]["first"]
    assert [(one["amount"], one["before"]["amount"]) for one in changed] == [("130.50", "100.00"), ("20.00", "50.00")]
    assert closing["rows"]["only_first"]["first"] == []


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


async def test_runs_of_two_journals_are_compared(place: Place) -> None:
    ids = place.subscribers(2)
    first = await load(place, "first.csv", f"{ids[0]};1")
    shutil.copy(place.cli.journal, place.cli.folder / "rehearsal.journal")
    second = await load(place, "second.csv", f"{ids[1]};2")
    words = ("compare", second, first, "--other-journal", "rehearsal.journal")
    assert (await place.cli.closing(*words, ends=1))["rows"]["only_second"]["rows"] == 1
    await place.cli.refused("compare", first, second, "--other-journal", "rehearsal.journal", says=second)


async def test_rows_of_a_purged_run_are_not_compared_and_its_figures_are(place: Place) -> None:
    (one,) = place.subscribers(1)
    name = await load(place, "first.csv", f"{one};1")
    await place.cli("purge", name, "--yes")
    closing = await place.cli.closing("compare", name, name, ends=1)
    assert (closing["rows"], closing["runs"][0]["amounts"]) == (None, {"accepted": "1.00"})
    await place.cli.told("compare", name, name, ends=1, says="those of a purged run have no keys any more")


async def test_a_load_that_is_unlike_the_last_one_of_its_job_is_asked_about(place: Place) -> None:
    ids = place.subscribers(9)
    like = ("--like-last", "50%")
    # Nothing to be like yet; and a part of a file is no load.
    await load(place, "first.csv", f"{ids[0]};100", f"{ids[1]};100")
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
