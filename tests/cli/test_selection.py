"""`--limit`, `--only`, `--exclude`, and one subscriber on the command line: all rows add up."""

import tomllib
from pathlib import Path

from tests.cli.conftest import Place

NUMBER = "00003"
GIVEN = ("--set", f"contract_number={NUMBER}")


async def planned(place: Place, *words: str | Path, ends: int = 0) -> dict[str, int]:
    """What a plan says of all rows, by what becomes of them."""
    found = await place.cli.closing("plan", *words, ends=ends)
    return {**found["states"], "refused": found["refused"], **found["left_out"]}


async def test_rows_that_are_refused_or_skipped_do_not_count_and_those_behind_are_not_judged(place: Place) -> None:
    one, other, third, fourth, *_ = place.balances(5).numbers
    lines = ("nobody;1", f"{one};2", f"{one};2", f"{other};3", f"{third};пять", f"{third};4;5", f"{fourth};6")
    limited = ("balances", place.rows("contract_number;amount", *lines), "--limit", "2")
    assert await planned(place, *limited, ends=1) == {"pending": 2, "skipped": 1, "refused": 1, "--limit": 3}
    ended = await place.run(*limited, "--skip-bad", ends=1)
    assert ended["states"] == {"accepted": 2, "skipped": 1}
    assert (ended["refused"], ended["left_out"]) == (1, {"--limit": 3})


async def test_keys_that_are_typed_or_in_a_file(place: Place) -> None:
    balances = place.balances(12)
    one, other, third, *_ = balances.numbers
    place.write(f"{one}\n\n{third}\n", "keys.txt")
    place.write(f"Сумма;Договор\n5;{one}\n7;{other}\n", "keys.csv")
    place.write(f"{one}\nno such number\n", "more.txt")
    all_three = ("--only", f"{one},{other},{third}", "--exclude", third, "--limit", "1")
    for words, left in (
        (("--only", f"{one}, {third}"), {"pending": 2, "--only": 10}),
        (("--exclude", other), {"pending": 11, "--exclude": 1}),
        (all_three, {"pending": 1, "--only": 9, "--exclude": 1, "--limit": 1}),
        (("--only", "keys.txt"), {"pending": 2, "--only": 10}),
        (("--exclude", "keys.csv"), {"pending": 10, "--exclude": 2}),
        (("--exclude", "more.txt"), {"pending": 11, "--exclude": 1}),
    ):
        assert await planned(place, "balances", balances.path, *words) == {"refused": 0, **left}
    told = await place.cli.told("plan", "balances", balances.path, "--exclude", "more.txt")
    assert "--exclude: 1 key is in no row: 'no such number'" in told


async def test_keys_that_no_row_has_are_refused_before_anything_is_sent(place: Place) -> None:
    balances = place.balances(3)
    unknown = f"{balances.numbers[0]},{','.join(f'n{number}' for number in range(25))}"
    for words, says in (
        (("--only", unknown), ["--only: 25 keys are in no row of", "'n0', 'n1'", "and 5 more"]),
        (("--exclude", "keys.tx"), ["There is no file of that name either"]),
        (("--only", ","), ["--only: there is no key in ','"]),
    ):
        error = (await place.run("balances", balances.path, *words, ends=2))["error"]
        assert [one for one in says if one not in error] == []
    for limit in ("0", "-1", "x"):
        await place.cli("run", "balances", "x.csv", "--limit", limit, may_end_with=(2,))
    says = ["--limit: run abcde remembers what it was told"]
    await place.cli.refused("run", "balances", "x.csv", "--continue", "abcde", "--limit", "1", says=says)
    assert (await place.found()).rows == 0


async def test_rows_by_id_and_keys_by_number_and_the_other_way_round(place: Place) -> None:
    query = "select first 3 id, contract_number from abonents where is_folder = 0 and deleted = 0 order by id"
    known = place.query(query)
    ids = place.rows("abonent_id;amount", *(f"{key};1" for key, _ in known), name="ids.csv")
    one_of_three = {"pending": 1, "refused": 0, "--only": 2}
    assert await planned(place, "balances", ids, "--only", known[1][1]) == one_of_three
    numbers = place.rows("contract_number;amount", *(f"{number};1" for _, number in known))
    assert await planned(place, "balances", numbers, "--only", str(known[2][0])) == one_of_three
    # A key that names two subscribers is refused.
    one, other = known[0][0], known[1][0]
    await place.execute("update abonents set contract_number = ? where id = ?", str(one), other)
    two = ("balances", place.rows("abonent_id;amount", f"{one};1", f"{other};2", name="two.csv"))
    says = f"'{one}' names a row by its id, and is the contract number of abonent {other}"
    assert says in (await place.cli.closing("plan", *two, "--only", str(one), ends=2))["error"]
    place.rows("abonent_id", str(one), name="meant.csv")
    assert (await planned(place, *two, "--only", "meant.csv"))["pending"] == 1
    both = place.rows("abonent_id;contract_number;amount", f"{one};;1", f"{other};{one};2", name="both.csv")
    says = "names one row by its id and another by its number"
    await place.cli.refused("plan", "balances", both, "--only", str(one), says=says)


async def test_rows_of_selects(place: Place) -> None:
    query = "select id from abonents where parent_id = 89 and is_folder = 0 and deleted = 0 order by id"
    ids = [str(key) for (key,) in place.query(query)]
    threshold = ("warning-threshold", "--set", "folder=89", "--set", "amount=-77")
    ended = await place.run(*threshold, "--limit", "2")
    assert sum(ended["states"].values()) - ended["states"].get("skipped", 0) == 2
    assert sum(ended["states"].values()) + ended["left_out"]["--limit"] == len(ids)
    (run,) = await place.runs()
    assert run.approved_at
    assert run.frozen_at
    assert run.approved_at < run.frozen_at
    for words, left in ((("--only", ids[-1]), len(ids) - 1), (("--exclude", ",".join(ids[:5])), 5)):
        ended = await place.run(*threshold, *words)
        assert ended["left_out"] == {words[0]: left}
        assert sum(ended["states"].values()) == len(ids) - left


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


async def test_a_job_file_keeps_what_was_chosen(place: Place) -> None:
    balances = place.balances(6)
    place.write(f"{balances.numbers[0]}\n", "keys.txt")
    arguments = ("run", "balances", balances.path, "--limit", "2", "--exclude", "keys.txt")
    await place.cli(*arguments, "--save", "some.toml")
    (step,) = tomllib.loads((place.cli.folder / "some.toml").read_text(encoding="utf-8"))["step"]
    assert (step["limit"], step["exclude"]) == (2, "keys.txt")
    ended = await place.run("some.toml")
    assert (ended["states"], ended["left_out"]) == ({"accepted": 2}, {"--exclude": 1, "--limit": 3})
    # A limit counts the rows that are still to be sent.
    again = await place.cli("run", "some.toml", "--yes", "--json")
    assert again.closing["states"] == {"skipped": 2, "accepted": 2}
    again.saying(["entered by an earlier run", "left out 1 row by --exclude", "left out 1 row by --limit"])
    place.write('[[step]]\njob = "balances"\nfile = "balances.csv"\nlimit = 0\n', "none.toml")
    says = ["line 4", "limit: a whole number above zero is expected"]
    await place.cli.refused("run", "none.toml", "--yes", says=says)


# ---- one subscriber, by the contract number that people have -----------------------------------------------------


def entered(place: Place) -> list[tuple[int, str]]:
    return place.query(
        "select o.op_summa, a.contract_number from finance_operations o join abonents a on a.id = o.abonent_id "
        "where o.op_type = 8 order by o.op_id"
    )


def id_of(place: Place, number: str) -> str:
    query = "select id from abonents where contract_number = :number and deleted = 0"
    ((key,),) = place.query(query, number=number)
    return str(key)


async def test_the_one_row_is_named_by_contract_number(asked: Place) -> None:
    arguments = ("balances", *GIVEN, "--set", "amount=5")
    assert await planned(asked, *arguments) == {"pending": 1, "refused": 0}
    # A job file says it, too.
    await asked.cli("run", *arguments, "--save", "one.toml")
    assert f'contract_number = "{NUMBER}"' in (asked.cli.folder / "one.toml").read_text(encoding="utf-8")
    assert (await asked.run("one.toml"))["states"] == {"accepted": 1}
    assert entered(asked) == [(5 * 10**10, NUMBER)]
    (run,) = await asked.runs()
    assert run.parameters["contract_number"] == NUMBER
    assert (await asked.run(*arguments))["states"] == {"skipped": 1}


async def test_who_is_named_twice_or_not_exactly_is_refused(place: Place) -> None:
    """The job's own select would find every subscriber, and what was typed would count for none."""
    key, other = id_of(place, NUMBER), id_of(place, "00005")
    place.rows("contract_number;amount", "00003;1", name="balances.csv")
    rows = "names its own in the column"
    by_id = ("balances", "--set", f"abonent_id={key}", "--set", "amount=5")
    differs = f"abonent {key} has the contract number '{NUMBER}', contract_number=…, given for all rows, says '00005'"
    for words, says in (
        (("balances", "--set", "contract_number=3", "--set", "amount=5"), ["there is no contract number '3'"]),
        (("tariff-threshold", *GIVEN), ["--set contract_number=… names one for all rows", f"{rows} abonent_id"]),
        (("tariff-threshold", *by_id[1:3]), ["--set abonent_id=… names one for all rows", f"{rows} abonent_id"]),
        (("balances", "balances.csv", "--set", f"abonent_id={other}"), [f"{rows} contract_number"]),
        ((*by_id, "--set", "contract_number=00005"), [differs]),
    ):
        await place.cli.refused("run", *words, "--yes", says=says)
    assert entered(place) == []
    assert (await place.run(*by_id, *GIVEN))["states"] == {"accepted": 1}


async def test_jobs_and_chains_take_number_and_login(place: Place) -> None:
    chain = ("--model", "AdminAccounts", "--chain", 'objects.get {"account_id_abonents": {abonent_id}}')
    ((login,),) = place.query("select first 1 login from users where deleted = 0 order by id")
    threshold = ("warning-threshold", *GIVEN, "--set", "amount=-77")
    for words in (
        ("tariff-next", *GIVEN, "--set", "tariff=2", "--set", "date=2030-01-01"),
        threshold,
        ("call", *chain, "--chain", 'set {"limit_warning": "-78"}', "--chain", "save", *GIVEN),
        ("ip-pool", "--set", f"login={login}", "--set", "pool=6"),
    ):
        assert (await place.run(*words))["states"] == {"accepted": 1}
    says = "--set folder=… chooses rows for the job's own select"
    await place.cli.refused("run", *threshold, "--set", "folder=89", "--yes", says=says)
    nobody = ("ip-pool", "--set", "login=nobody", "--set", "pool=6", "--yes")
    await place.cli.refused("run", *nobody, says="there is no account with the login 'nobody'")
