"""`run --plan ID`: what was planned is what is sent; where anything has changed since, it is told, and nothing is."""

import re
import signal

from billing.money import SCALE
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import answered, at_a_terminal


async def planned(place: Place, *words: str, ends: int = 0) -> str:
    """The name of a plan."""
    return str((await place.cli.closing("plan", *words, ends=ends))["plan"])


async def nothing_sent(place: Place, name: str, *arguments: str) -> str:
    """Run the plan, see that it is refused, and return why."""
    before = place.billing.ledger.effects("FinanceOperations")
    closing = await place.run("--plan", name, *arguments, ends=2)
    assert place.billing.ledger.effects("FinanceOperations") == before
    assert closing["error"].endswith("Nothing was sent.")
    return str(closing["error"])


async def test_what_was_planned_is_what_is_sent(place: Place) -> None:
    path = place.balances(9).path
    shown = await place.cli("plan", "balances", path, "--limit", "7", "--set", "descr=Перенос")
    name = shown.out.split("run --plan ")[1].split()[0]
    # Without a terminal it asks as any run does.
    await place.cli.refused("run", "--plan", name, says="--yes")
    ended = await place.run("--plan", name)
    assert (ended["states"], ended["left_out"]) == ({"accepted": 7}, {"--limit": 2})
    run = (await place.runs())[-1]
    assert (run.parameters["input_plan"], run.parameters["descr"]) == (name, "Перенос")
    # What this run has entered is no part of the plan.
    why = await nothing_sent(place, name)
    for words in (
        f"this is not what plan {name} of",
        "7 × pending then, now skipped",
        "left out: 2 by --limit then, none now",
        f"entered by an earlier run: {run.name}",
    ):
        assert words in why


async def test_a_plan_with_nothing_to_send_is_not_offered_to_be_sent(place: Place) -> None:
    place.rows("abonent_id;amount", "nobody;1", name="bad.csv")
    bad = await place.cli("plan", "balances", "bad.csv", may_end_with=(1,))
    assert "There is nothing to send: mend the input, and plan again." in " ".join(bad.out.split())
    path = place.balances(1).path
    await place.run("balances", path)
    entered = await place.cli("plan", "balances", path)
    assert entered.out.rstrip().endswith("There is nothing to send.")
    assert "run --plan" not in bad.out + entered.out


async def test_an_input_that_has_changed_is_told_row_by_row(place: Place) -> None:
    balances = place.balances(30)
    header, *lines = balances.path.read_text(encoding="utf-8").splitlines()
    name = await planned(place, "balances", "balances.csv")
    number = lines[1].split(";")[0]
    changed = [lines[0], f"{number};777", *lines[2:4], "nobody;1", *lines[5:]]
    place.rows(header, *changed, name="balances.csv")
    why = await nothing_sent(place, name, "--skip-bad")
    for words in (
        "balances.csv has been changed since: its bytes are others",
        "1 × another amount, 1 × gone, 1 × refused now",
        f"line 3 ({number}): another amount: 0.08 then, 777.00 now",
        "line 6 (nobody): refused now: there is no contract number 'nobody'",
    ):
        assert words in why
    # All rows another: the first twenty are named.
    others = [f"{line.partition(';')[0]};{1000 + number}" for number, line in enumerate(lines)]
    place.rows(header, *others, name="balances.csv")
    why = await nothing_sent(place, name)
    assert ("30 × another amount" in why, "… and 10 more" in why, why.count("another amount:")) == (True, True, 20)
    # As it was, it goes.
    place.rows(header, *lines, name="balances.csv")
    assert (await place.run("--plan", name))["states"] == {"accepted": 30}
    assert (await place.found()).sum == balances.sum


async def test_what_another_run_has_entered_or_set_meanwhile_is_told(place: Place) -> None:
    balances = place.balances(3)
    header, first, *_ = balances.path.read_text(encoding="utf-8").splitlines()
    name = await planned(place, "balances", "balances.csv")
    account = "(select account_id from abonents where contract_number = ? and deleted = 0)"
    change = f"update admin_accounts set ostatok = ?, debit = 0, credit = 0 where id = {account}"  # noqa: S608 - ours
    await place.execute(change, 4321 * SCALE, balances.numbers[1])
    why = await nothing_sent(place, name)
    for words in ("1 × something else would be overwritten", f"({balances.numbers[1]})", "balance 4321.00 now"):
        assert words in why
    await place.run("balances", place.rows(header, first))
    assert "1 × pending then, now skipped" in await nothing_sent(place, name)
    # The billing itself is another: none of its tables is read any more.
    place.without_database()
    assert f"another database: {place.file} then, none now" in await nothing_sent(place, name)


async def test_rows_of_a_select_are_frozen_whole_and_compared(place: Place) -> None:
    arguments = ("warning-threshold", "--set", "folder=89", "--set", "amount=-77")
    plan = await place.cli.closing("plan", *arguments)
    query = "select first 1 id, contract_number from abonents where parent_id = 89 and is_folder = 0 and deleted = 0"
    ((key, number),) = place.query(query)
    await place.execute("update abonents set parent_id = 1000 where id = ?", key)
    assert f"1 × gone\n  ({number}): gone: pending then" in await nothing_sent(place, plan["plan"])
    await place.execute("update abonents set parent_id = 89 where id = ?", key)
    ended = await place.run("--plan", plan["plan"])
    assert ended["states"]["accepted"] == plan["states"]["pending"]
    run = (await place.runs())[-1]
    assert run.frozen_at
    assert run.approved_at
    assert run.frozen_at <= run.approved_at


async def test_one_that_was_killed_before_it_was_approved_is_held_against_its_plan(place: Place) -> None:
    place.without_database()
    header, first, *_ = place.balances(20).path.read_text(encoding="utf-8").splitlines()
    name = await planned(place, "balances", "balances.csv")
    place.traffic.model = "Abonents"
    before = place.traffic.arrived
    async with place.cli.started("run", "--plan", name, "--yes", "--rate", "20") as started:
        await place.traffic.reaches(before + 5)
        started.signal(signal.SIGKILL)
        await started.process.wait()
    (left,) = await place.runs()
    assert left.approved_at is None
    await place.run("balances", place.rows(header, first))
    ended = await place.cli.closing("resume", left.name, "--yes", "--rate", "none", ends=2)
    assert "1 × pending then, now skipped" in ended["error"]
    assert (await place.found()).rows == 1


async def test_plans_that_cannot_be_run_say_why(place: Place) -> None:
    await place.cli.refused("run", "--plan", "abcde", says="there is no plan abcde")
    place.balances(2)
    old, new = [await planned(place, "balances", "balances.csv") for _ in range(2)]
    says = [f"plan {old} was replaced by plan {new}", f"carbon-migrate run --plan {new}"]
    await place.cli.refused("run", "--plan", old, says=says)
    await place.cli.refused("run", "--plan", "abcde", says="has no run 'abcde'")
    alone = ("--api-url", place.by_name, "--database", "", "--journal", place.cli.journal)
    says = [f"plan {new} is for {place.billing.url}, and the settings name {place.by_name}"]
    await place.cli.refused("run", "--plan", new, *alone, says=says)
    says = ["--again: plan", "says itself what is done"]
    await place.cli.refused("run", "balances", "--plan", new, "--again", says=says)
    await place.cli.refused("run", says="name what is to be done")
    # A step of a job file is run by its file.
    place.write('[[step]]\njob = "balances"\nfile = "balances.csv"\n', "night.toml")
    night = await place.cli("plan", "night.toml", "--json")
    assert "run --plan" not in night.err
    name = night.closing["steps"][0]["plan"]
    says = ["night.toml, whose steps are run together and not by their plans"]
    await place.cli.refused("run", "--plan", name, says=says)
    await place.cli.refused("run", "night.toml", "--plan", name, says="says itself what is done")
    assert (await place.found()).rows == 0


async def test_secrets_of_rows_are_read_again_and_those_given_for_all_are_not_kept(place: Place) -> None:
    logins = [login for (login,) in place.query("select first 2 login from users where deleted = 0 order by id")]
    place.rows("login;psw", *(f"{login};Ge-heim" for login in logins), name="new.csv")
    name = await planned(place, "password", "new.csv")
    again = await place.cli.closing("plan", "password", "new.csv")
    assert (again["states"], again["changes"]) == ({"pending": 2}, {})
    assert (await place.run("--plan", again["plan"]))["states"] == {"accepted": 2}
    place.rows("login", *logins, name="same.csv")
    says = [(question, "Ge-heim") for question in ("psw: ", "psw once more: ")]
    seen = await answered(place, "plan", "password", "same.csv", "--ask", "psw", "--json", says=says)
    name = re.findall(r'"plan":"([a-z0-9]{5})"', seen)[-1]
    await place.cli.refused("run", "--plan", name, "--yes", says=["was made with a psw for all rows", "--ask psw"])


async def test_a_screen_of_eighty_columns_has_the_command_on_one_line(place: Place) -> None:
    balances = place.balances(2)
    place.cli.environment["COLUMNS"] = "80"
    with at_a_terminal(place, "plan", "balances", str(balances.path), "--limit", "1") as terminal:
        assert await terminal.ends() == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.seen)
    lines = "\n".join(line.rstrip() for line in plain.splitlines())
    assert re.search(r"^  carbon-migrate run --plan [a-z0-9]{5} --journal ", lines, re.MULTILINE)
    assert re.search(r"^left out +1 row by --limit$", lines, re.MULTILINE)
