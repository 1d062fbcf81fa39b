"""`--limit`, `--only` and `--exclude`: the first test subscriber is one flag away, and all rows add up."""

import tomllib
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from tests.cli.conftest import Ended, Place


def planned(ended: Ended) -> dict[str, int]:
    """What a plan says of all rows, by what becomes of them."""
    found = ended.closing
    return {**found["states"], "refused": found["refused"], **found["left_out"]}


async def test_the_whole_story_of_a_first_subscriber(place: Place) -> None:
    balances = place.balances(30)
    arguments = ("balances", balances.path)
    plan = await place.cli("plan", *arguments, "--limit", "1", "--json")
    assert planned(plan) == {"pending": 1, "refused": 0, "--limit": 29}
    assert "read 30 rows" in plan.words
    assert "left out 29 rows by --limit" in plan.words
    first = await place.cli("run", *arguments, "--limit", "1", "--yes", "--json")
    assert (first.closing["states"], first.closing["left_out"]) == ({"accepted": 1}, {"--limit": 29})
    assert "left out 29 rows by --limit" in first.words
    found = await place.found()
    assert (found.rows, found.sum) == (1, Decimal("-0.01"))
    again = await place.cli("run", *arguments, "--limit", "3", "--yes", "--json")
    assert again.closing["states"] == {"skipped": 1, "accepted": 3}
    assert again.closing["left_out"] == {"--limit": 26}
    rest = await place.cli("run", *arguments, "--yes", "--json")
    assert rest.closing["states"] == {"skipped": 4, "accepted": 26}
    assert "entered by an earlier run" in rest.words
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (30, balances.sum, 1)


async def test_rows_that_are_refused_or_skipped_do_not_count_and_those_behind_are_not_judged(place: Place) -> None:
    one, other, third, fourth, *_ = place.balances(5).numbers
    place.write(
        f"contract_number;amount\nnobody;1\n{one};2\n{one};2\n{other};3\n{third};пять\n{third};4;5\n{fourth};6\n"
    )
    plan = await place.cli("plan", "balances", "balances.csv", "--limit", "2", "--json", may_end_with=(1,))
    assert planned(plan) == {"pending": 2, "skipped": 1, "refused": 1, "--limit": 3}
    ended = await place.cli(
        "run", "balances", "balances.csv", "--limit", "2", "--skip-bad", "--yes", "--json", may_end_with=(1,)
    )
    assert ended.closing["states"] == {"accepted": 2, "skipped": 1}
    assert (ended.closing["refused"], ended.closing["left_out"]) == (1, {"--limit": 3})


async def test_keys_that_are_typed_or_in_a_file(place: Place) -> None:
    balances = place.balances(12)
    one, other, third, *_ = balances.numbers
    arguments = ("plan", "balances", balances.path, "--json")
    plan = await place.cli(*arguments, "--only", f"{one}, {third}")
    assert planned(plan) == {"pending": 2, "refused": 0, "--only": 10}
    plan = await place.cli(*arguments, "--exclude", other)
    assert planned(plan) == {"pending": 11, "refused": 0, "--exclude": 1}
    plan = await place.cli(*arguments, "--only", f"{one},{other},{third}", "--exclude", third, "--limit", "1")
    assert planned(plan) == {"pending": 1, "refused": 0, "--only": 9, "--exclude": 1, "--limit": 1}
    place.write(f"{one}\n\n{third}\n", "keys.txt")
    plan = await place.cli(*arguments, "--only", "keys.txt")
    assert planned(plan) == {"pending": 2, "refused": 0, "--only": 10}
    place.write(f"Сумма;Договор\n5;{one}\n7;{other}\n", "keys.csv")
    plan = await place.cli(*arguments, "--exclude", "keys.csv")
    assert planned(plan) == {"pending": 10, "refused": 0, "--exclude": 2}
    place.write(f"{one}\nno such number\n", "more.txt")
    plan = await place.cli(*arguments, "--exclude", "more.txt")
    assert planned(plan) == {"pending": 11, "refused": 0, "--exclude": 1}
    assert "--exclude: 1 key is in no row: 'no such number'" in plan.words


async def test_keys_that_no_row_has_are_refused_before_anything_is_sent(place: Place) -> None:
    balances = place.balances(3)
    unknown = ",".join(f"n{number}" for number in range(25))
    arguments = ("run", "balances", balances.path, "--yes", "--json")
    ended = await place.cli(*arguments, "--only", f"{balances.numbers[0]},{unknown}", may_end_with=(2,))
    assert "--only: 25 keys are in no row of" in ended.closing["error"]
    assert "'n0', 'n1'" in ended.closing["error"]
    assert "and 5 more" in ended.closing["error"]
    ended = await place.cli(*arguments, "--exclude", "keys.tx", may_end_with=(2,))
    assert "There is no file of that name either" in ended.closing["error"]
    ended = await place.cli(*arguments, "--only", ",", may_end_with=(2,))
    assert "--only: there is no key in ','" in ended.closing["error"]
    assert (await place.found()).rows == 0


async def test_rows_by_id_and_keys_by_number_and_the_other_way_round(place: Place) -> None:
    query = "select first 3 id, contract_number from abonents where is_folder = 0 and deleted = 0 order by id"
    known = list(place.billing.database.query(query))
    place.write("abonent_id;amount\n" + "".join(f"{key};1\n" for key, _ in known), "ids.csv")
    plan = await place.cli("plan", "balances", "ids.csv", "--json", "--only", known[1][1])
    assert planned(plan) == {"pending": 1, "refused": 0, "--only": 2}
    place.write("contract_number;amount\n" + "".join(f"{number};1\n" for _, number in known), "numbers.csv")
    plan = await place.cli("plan", "balances", "numbers.csv", "--json", "--only", str(known[2][0]))
    assert planned(plan) == {"pending": 1, "refused": 0, "--only": 2}


async def test_a_key_that_names_two_subscribers_is_refused(place: Place) -> None:
    query = "select first 2 id, contract_number from abonents where is_folder = 0 and deleted = 0 order by id"
    (one, _), (other, _) = place.billing.database.query(query)
    await anyio.to_thread.run_sync(_rename, place.file, other, str(one))
    place.write(f"abonent_id;amount\n{one};1\n{other};2\n", "ids.csv")
    arguments = ("plan", "balances", "ids.csv", "--json")
    ended = await place.cli(*arguments, "--only", str(one), may_end_with=(2,))
    assert f"'{one}' names a row by its id, and is the contract number of abonent {other}" in ended.closing["error"]
    place.write(f"abonent_id\n{one}\n", "meant.csv")
    assert planned(await place.cli(*arguments, "--only", "meant.csv"))["pending"] == 1
    place.write(f"abonent_id;contract_number;amount\n{one};;1\n{other};{one};2\n", "both.csv")
    ended = await place.cli("plan", "balances", "both.csv", "--only", str(one), may_end_with=(2,))
    assert "names one row by its id and another by its number" in ended.words


async def test_rows_of_selects(place: Place) -> None:
    query = "select id from abonents where parent_id = 89 and is_folder = 0 and deleted = 0 order by id"
    ids = [str(key) for (key,) in place.billing.database.query(query)]
    threshold = ("warning-threshold", "--set", "folder=89", "--set", "amount=-77", "--yes", "--json")
    ended = await place.cli("run", *threshold, "--limit", "2")
    assert sum(ended.closing["states"].values()) - ended.closing["states"].get("skipped", 0) == 2
    assert sum(ended.closing["states"].values()) + ended.closing["left_out"]["--limit"] == len(ids)
    (run,) = await place.runs()
    assert run.approved_at
    assert run.frozen_at
    assert run.approved_at < run.frozen_at
    ended = await place.cli("run", *threshold, "--only", ids[-1])
    assert sum(ended.closing["states"].values()) == 1
    assert ended.closing["left_out"] == {"--only": len(ids) - 1}
    ended = await place.cli("run", *threshold, "--exclude", ",".join(ids[:5]))
    assert ended.closing["left_out"] == {"--exclude": 5}
    assert sum(ended.closing["states"].values()) == len(ids) - 5


async def test_what_was_chosen_is_a_part_of_the_run_and_outlives_a_kill_in_the_intake(place: Place) -> None:
    """The billing is away after the first page; its rows are frozen, and the limit goes on to count from there."""
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    balances = place.balances(40)
    place.write("\n".join(balances.numbers[:30]) + "\n", "keys.txt")
    chosen = ("--only", "keys.txt", "--limit", "25")
    place.traffic.model = "Abonents"
    async with place.cli.started("run", "balances", balances.path, *chosen, "--yes", "--rate", "20") as started:
        await place.traffic.reaches(10)
        started.process.kill()
        await started.process.wait()
    (run,) = await place.runs()
    assert run.frozen_at is None
    assert run.parameters["input_limit"] == "25"
    place.write("\n".join(balances.numbers[:31]) + "\n", "keys.txt")
    await place.cli.refused("resume", "--yes", says="keys.txt has changed since the run began with it")
    assert (await place.found()).rows == 0


async def test_a_job_file_keeps_what_was_chosen(place: Place) -> None:
    balances = place.balances(6)
    place.write(f"{balances.numbers[0]}\n", "keys.txt")
    arguments = ("run", "balances", balances.path, "--limit", "2", "--exclude", "keys.txt")
    await place.cli(*arguments, "--save", "some.toml")
    (step,) = tomllib.loads((place.cli.folder / "some.toml").read_text(encoding="utf-8"))["step"]
    assert (step["limit"], step["exclude"]) == (2, "keys.txt")
    ended = await place.cli("run", "some.toml", "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 2}
    assert ended.closing["left_out"] == {"--exclude": 1, "--limit": 3}
    place.write('[[step]]\njob = "balances"\nfile = "balances.csv"\nlimit = 0\n', "none.toml")
    refused = await place.cli("run", "none.toml", "--yes", may_end_with=(2,))
    assert "line 4" in refused.words
    assert "limit: a whole number above zero is expected" in refused.words


async def test_continue_takes_all_rows_of_its_file(place: Place) -> None:
    ended = await place.cli("run", "balances", "x.csv", "--continue", "abcde", "--limit", "1", may_end_with=(2,))
    assert "--limit: run abcde remembers what it was told" in ended.words


def _rename(file: Path, abonent: int, number: str) -> None:
    connection = attach(Dsn(str(file)))
    connection.cursor().execute("update abonents set contract_number = ? where id = ?", (number, abonent))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("limit", ["0", "-1", "x"])
async def test_a_limit_is_a_number_above_zero(place: Place, limit: str) -> None:
    await place.cli("run", "balances", "x.csv", "--limit", limit, may_end_with=(2,))
    assert not await anyio.Path(place.cli.journal).exists()
