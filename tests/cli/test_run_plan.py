"""`run --plan ID`: what was planned is what is sent; where anything has changed since, it is told, and nothing is."""

import re
import signal
from pathlib import Path

import anyio.to_thread

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.money import SCALE
from tests.cli.conftest import Ended, Place
from tests.cli.terminal.terminals import at_a_terminal


def name_of(ended: Ended) -> str:
    return str(ended.closing["plan"])


def execute(file: Path, sql: str, *values: object) -> None:
    connection = attach(Dsn(str(file)))
    connection.cursor().execute(sql, values)
    connection.commit()
    connection.close()


async def nothing_sent(place: Place, name: str, *arguments: str) -> str:
    """Run the plan, see that it is refused, and return why."""
    before = place.billing.ledger.effects("FinanceOperations")
    ended = await place.cli("run", "--plan", name, "--yes", "--json", *arguments, may_end_with=(2,))
    assert place.billing.ledger.effects("FinanceOperations") == before
    assert ended.closing["error"].endswith("Nothing was sent.")
    return str(ended.closing["error"])


async def test_what_was_planned_is_what_is_sent(place: Place) -> None:
    balances = place.balances(9)
    shown = await place.cli("plan", "balances", balances.path, "--limit", "7", "--set", "descr=Перенос")
    command = next(line for line in shown.out.splitlines() if "run --plan" in line)
    name = command.split("run --plan ")[1].split()[0]
    ended = await place.cli("run", "--plan", name, "--yes", "--json")
    assert (ended.closing["states"], ended.closing["left_out"]) == ({"accepted": 7}, {"--limit": 2})
    (run,) = await place.runs()
    assert (run.parameters["input_plan"], run.parameters["descr"]) == (name, "Перенос")
    # What this run has entered is no part of the plan.
    why = await nothing_sent(place, name)
    assert f"this is not what plan {name} of" in why
    assert "7 × pending then, now skipped" in why
    assert "left out: 2 by --limit then, none now" in why
    assert f"entered by an earlier run: {run.name}" in why


async def test_a_plan_with_nothing_to_send_is_not_offered_to_be_sent(place: Place) -> None:
    place.write("abonent_id;amount\nnobody;1\n", "bad.csv")
    bad = await place.cli("plan", "balances", "bad.csv", may_end_with=(1,))
    assert "There is nothing to send: mend the input, and plan again." in " ".join(bad.out.split())
    assert "run --plan" not in bad.out
    balances = place.balances(1)
    await place.cli("run", "balances", balances.path, "--yes")
    entered = await place.cli("plan", "balances", balances.path)
    assert entered.out.rstrip().endswith("There is nothing to send.")
    assert "run --plan" not in entered.out


async def test_an_input_that_has_changed_is_told_row_by_row(place: Place) -> None:
    balances = place.balances(30)
    header, *lines = balances.path.read_text(encoding="utf-8").splitlines()
    name = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    number = lines[1].split(";")[0]
    changed = [lines[0], f"{number};777", *lines[2:4], "nobody;1", *lines[5:]]
    place.write("\n".join([header, *changed]) + "\n")
    why = await nothing_sent(place, name, "--skip-bad")
    assert "balances.csv has been changed since: its bytes are others" in why
    assert "1 × another amount, 1 × gone, 1 × refused now" in why
    assert f"line 3 ({number}): another amount: 0.08 then, 777.00 now" in why
    assert "line 6 (nobody): refused now: there is no contract number 'nobody'" in why
    # All rows another: the first twenty are named.
    others = [f"{line.partition(';')[0]};{1000 + number}" for number, line in enumerate(lines)]
    place.write("\n".join([header, *others]) + "\n")
    why = await nothing_sent(place, name)
    assert "30 × another amount" in why
    assert "… and 10 more" in why
    assert len([line for line in why.splitlines() if "another amount:" in line]) == 20
    # As it was, it goes.
    place.write("\n".join([header, *lines]) + "\n")
    ended = await place.cli("run", "--plan", name, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 30}
    assert (await place.found()).sum == balances.sum


async def test_a_row_that_another_run_has_entered_meanwhile(place: Place) -> None:
    balances = place.balances(3)
    header, first, *_ = balances.path.read_text(encoding="utf-8").splitlines()
    name = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    place.write(f"{header}\n{first}\n", "one.csv")
    await place.cli("run", "balances", "one.csv", "--yes")
    assert "1 × pending then, now skipped" in await nothing_sent(place, name)


async def test_a_balance_that_would_be_overwritten_has_changed(place: Place) -> None:
    balances = place.balances(3)
    name = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    account = "(select account_id from abonents where contract_number = ? and deleted = 0)"
    change = f"update admin_accounts set ostatok = ?, debit = 0, credit = 0 where id = {account}"  # noqa: S608 - ours
    await anyio.to_thread.run_sync(execute, place.file, change, 4321 * SCALE, balances.numbers[1])
    why = await nothing_sent(place, name)
    assert "1 × something else would be overwritten" in why
    assert f"({balances.numbers[1]})" in why
    assert "balance 4321.00 now" in why


async def test_rows_of_a_select_are_frozen_whole_and_compared(place: Place) -> None:
    arguments = ("warning-threshold", "--set", "folder=89", "--set", "amount=-77", "--json")
    plan = await place.cli("plan", *arguments)
    query = "select first 1 id, contract_number from abonents where parent_id = 89 and is_folder = 0 and deleted = 0"
    ((key, number),) = place.billing.database.query(query)
    await anyio.to_thread.run_sync(execute, place.file, "update abonents set parent_id = 1000 where id = ?", key)
    why = await nothing_sent(place, name_of(plan))
    assert f"1 × gone\n  ({number}): gone: pending then" in why
    await anyio.to_thread.run_sync(execute, place.file, "update abonents set parent_id = 89 where id = ?", key)
    ended = await place.cli("run", "--plan", name_of(plan), "--yes", "--json")
    assert ended.closing["states"]["accepted"] == plan.closing["states"]["pending"]
    runs = await place.runs()
    assert runs[-1].frozen_at
    assert runs[-1].approved_at
    assert runs[-1].frozen_at <= runs[-1].approved_at


async def test_without_a_terminal_it_asks_as_any_run_does(place: Place) -> None:
    balances = place.balances(2)
    name = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    await place.cli.refused("run", "--plan", name, says="--yes")
    assert (await place.found()).rows == 0


async def test_one_that_was_killed_before_it_was_approved_is_held_against_its_plan(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    balances = place.balances(20)
    header, first, *_ = balances.path.read_text(encoding="utf-8").splitlines()
    name = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    place.traffic.model = "Abonents"
    before = place.traffic.arrived
    async with place.cli.started("run", "--plan", name, "--yes", "--rate", "20") as started:
        await place.traffic.reaches(before + 5)
        started.signal(signal.SIGKILL)
        await started.process.wait()
    (left,) = await place.runs()
    assert left.approved_at is None
    place.write(f"{header}\n{first}\n", "one.csv")
    await place.cli("run", "balances", "one.csv", "--yes")
    ended = await place.cli("resume", left.name, "--yes", "--rate", "none", "--json", may_end_with=(2,))
    assert "1 × pending then, now skipped" in ended.closing["error"]
    assert (await place.found()).rows == 1


async def test_plans_that_cannot_be_run_say_why(place: Place) -> None:
    await place.cli.refused("run", "--plan", "abcde", says="there is no plan abcde")
    balances = place.balances(2)
    old = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    new = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    ended = await place.cli("run", "--plan", old, may_end_with=(2,))
    assert f"plan {old} was replaced by plan {new}" in ended.words
    assert f"carbon-migrate run --plan {new}" in ended.words
    await place.cli.refused("run", "--plan", "abcde", says="has no run 'abcde'")
    journal = ("--journal", str(place.cli.journal))
    elsewhere = place.billing.url.replace("127.0.0.1", "localhost")
    alone = ("--api-url", elsewhere, "--database", "")
    ended = await place.cli("run", "--plan", new, *alone, *journal, may_end_with=(2,))
    assert f"plan {new} is for {place.billing.url}, and the settings name {elsewhere}" in ended.words
    ended = await place.cli("run", "balances", "--plan", new, "--again", may_end_with=(2,))
    assert "--again: plan" in ended.words
    assert "says itself what is done" in ended.words
    await place.cli.refused("run", says="name what is to be done")
    assert (await place.found()).rows == 0


async def test_the_billing_is_another_or_of_another_version(place: Place) -> None:
    balances = place.balances(2)
    name = name_of(await place.cli("plan", "balances", balances.path, "--json"))
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    why = await nothing_sent(place, name)
    assert f"another database: {place.file} then, none now" in why


async def test_a_step_of_a_job_file_is_run_by_its_file(place: Place) -> None:
    place.balances(2)
    place.write('[[step]]\njob = "balances"\nfile = "balances.csv"\n', "night.toml")
    planned = await place.cli("plan", "night.toml", "--json")
    assert "run --plan" not in planned.err
    name = planned.closing["steps"][0]["plan"]
    ended = await place.cli("run", "--plan", name, may_end_with=(2,))
    assert "night.toml, whose steps are run together and not by their plans" in ended.words
    await place.cli.refused("run", "night.toml", "--plan", name, says="says itself what is done")


async def test_secrets_of_rows_are_read_again_and_those_given_for_all_are_not_kept(place: Place) -> None:
    query = "select first 2 login from users where deleted = 0 order by id"
    logins = [login for (login,) in place.billing.database.query(query)]
    place.write("login;psw\n" + "".join(f"{login};Ge-heim\n" for login in logins), "new.csv")
    name = name_of(await place.cli("plan", "password", "new.csv", "--json"))
    ended = await place.cli("run", "--plan", name, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 2}
    place.write("login\n" + "\n".join(logins) + "\n", "same.csv")
    with at_a_terminal(place, "plan", "password", "same.csv", "--ask", "psw", "--json") as terminal:
        for question in ("psw: ", "psw once more: "):
            await terminal.shows(question)
            terminal.types("Ge-heim\n")
        assert await terminal.ends() == 0
    name = re.findall(r'"plan":"([a-z0-9]{5})"', terminal.seen)[-1]
    await place.cli.refused("run", "--plan", name, "--yes", says=["was made with a psw for all rows", "--ask psw"])


async def test_a_screen_of_eighty_columns_has_the_command_on_one_line(place: Place) -> None:
    balances = place.balances(2)
    place.cli.environment["COLUMNS"] = "80"
    with at_a_terminal(place, "plan", "balances", str(balances.path), "--limit", "1") as terminal:
        assert await terminal.ends() == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.seen)
    lines = [line.rstrip() for line in plain.splitlines()]
    assert re.search(r"^  carbon-migrate run --plan [a-z0-9]{5} --journal ", "\n".join(lines), re.MULTILINE)
    assert re.search(r"^left out +1 row by --limit$", "\n".join(lines), re.MULTILINE)
