"""A plan says what a run would do, and leaves no trace in the billing or in the journal of the runs."""

import hashlib
import re
import signal
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import openpyxl

from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, TypeEight
from cli.session.session import write_profile
from cli.settings.flags import Flags
from cli.settings.settings import load
from tests.cli.conftest import Ended, Place
from tests.cli.terminal.terminals import answered
from tests.cli.test_continue import read

TOGETHER = "update abonents set account_id = (select account_id from abonents where id = 2001) where id = 2003"
"""Two subscribers have one account."""


def digests(journal: Path) -> dict[str, str]:
    """The bytes of the journal and of what SQLite has not yet written into it; its locks are in a third file."""
    there = [path for path in (journal, journal.with_name(f"{journal.name}-wal")) if path.exists()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there if path.stat().st_size}


async def test_a_plan_says_what_a_run_would_do_and_writes_nothing(place: Place) -> None:
    """A shared account, a duplicate, one entered before, one entered by hand, and rows that are refused."""
    await place.execute(TOGETHER)
    # As an old loop leaves it: operations without a mark of ours.
    await place.run("balances", place.rows("abonent_id;amount", "2004;40", "2005;50"), "--journal", "other.journal")
    await place.execute("update finance_operations set descr = 'Остаток'")
    await place.run("balances", place.rows("abonent_id;amount", "2005;50"), "--again")
    lines = (
        "2001;1.10",
        "2003;2,20",
        "2004;40",
        "2005;50",
        "2006;7",
        "2006;7",
        "9;1 000,00",
        "8;пять",
        "7;1;2",
        "6;5",
    )
    all_of_them = place.rows("abonent_id;amount", *lines, name="all.csv")
    before, journal = place.tables, digests(place.cli.journal)
    plan = await place.cli.closing("plan", "balances", all_of_them, "-o", "plan", ends=1)
    assert (place.tables, digests(place.cli.journal)) == (before, journal)
    assert (plan["states"], plan["exit"], plan["error"]) == ({"pending": 4, "skipped": 2}, 1, None)
    assert all("FinanceOperations: objects.create(" in request for request in plan["requests"])
    assert (len(plan["requests"]), plan["seconds"] >= 0) == (3, True)
    assert (plan["kinds"], plan["kind_amounts"]) == ({"new": 4}, {"new": "50.30"})
    assert plan["skipped_amounts"] == {"entered by an earlier run": "50.00", "a duplicate in the input": "7.00"}
    assert (plan["duplicates"], plan["duplicates_amount"]) == (1, "7.00")
    assert (plan["look_alikes"], plan["look_alikes_amount"]) == (1, "40.00")
    assert (plan["shared_accounts"], plan["shared_accounts_rows"], plan["shared_accounts_amount"]) == (1, 2, "3.30")
    assert (plan["refused"], plan["refused_with_amount"], plan["refused_amount"]) == (4, 2, "1005.00")
    files = {name: read(place.cli.folder / "plan" / f"{name}.csv") for name in ("look-alikes", "to-send", "skipped")}
    assert files["to-send"][0][:2] == ["abonent_id", "amount"]
    keys = {name: [row[0] for row in rows] for name, (_, rows) in files.items()}
    assert keys == {"look-alikes": ["2004"], "to-send": ["2001", "2003", "2004", "2006"], "skipped": ["2005", "2006"]}
    assert {row[0] for row in read(place.cli.folder / "plan" / "refused.csv")[1]} == {"9", "8", "7", "6"}
    says = "plan/to-send.csv is there already: name another folder, or give --force"
    await place.cli.refused("plan", "balances", all_of_them, "-o", "plan", says=says)


async def test_while_a_run_goes_on_its_journal_is_not_touched(place: Place) -> None:
    # A process that stands still would keep others out of an embedded database.
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    balances = place.balances(20)

    def slow(_: int) -> None:
        place.billing.latency = 0.5

    place.traffic.answer, place.traffic.method = slow, "objects.create"
    async with place.cli.started("run", "balances", balances.path, "--yes", "--in-flight", "1") as going:
        await place.traffic.reaches(2)
        place.traffic.answer = lambda _: None
        # It stands still for its bytes to be comparable; its journal is open, and its lock held.
        going.signal(signal.SIGSTOP)
        before = digests(place.cli.journal)
        assert len(before) == 2
        place.billing.latency = 0.0
        # It may not be entered beside that run.
        await place.cli.refused("plan", "balances", balances.path, says="is not at its end, and has rows of this")
        assert digests(place.cli.journal) == before
        going.signal(signal.SIGCONT)


async def test_a_plan_shows_each_value_before_and_after(place: Place) -> None:
    ids = place.subscribers(27)
    await place.execute("update admin_accounts set limit_warning = 0")
    # Rows that are as wanted already are never sent.
    before = place.rows("abonent_id;amount", *(f"{one};-120" for one in ids[25:]), name="before.csv")
    await place.run("warning-threshold", before)
    place.rows("abonent_id;amount", *(f"{one};-120" for one in ids))
    plan = await place.cli.closing("plan", "warning-threshold", "rows.csv", "-o", "values.xlsx")
    assert (plan["states"], plan["kinds"]) == ({"pending": 25, "skipped": 2}, {"to be changed": 25})
    assert plan["skipped"] == {"already as wanted": 2}
    values = plan["value_changes"]
    assert values["groups"] == [
        {"kind": "changed", "model": "AdminAccounts", "fields": ["limit_warning"], "rows": 25}
    ]
    assert len(values["first"]) == 20
    assert values["first"][0]["line"] == 2
    assert values["first"][0]["fields"] == [
        {"field": "limit_warning", "old": "0.00", "new": "-120.00", "issued": False}
    ]
    assert (values["balances"], values["rows_not_known"]) == (None, 0)
    sheet = openpyxl.load_workbook(place.cli.folder / "values.xlsx").active
    assert sheet is not None
    header, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert header == ["line", "row", "label", "model", "object", "change", "field", "old", "new"]
    assert [row[:2] for row in rows] == [[number + 1, number] for number in range(1, 26)]
    assert [row[3:] for row in rows] == [
        ["AdminAccounts", f"account_id_abonents {one}", "changed", "limit_warning", 0, -120] for one in ids[:25]
    ]
    await place.cli.refused("plan", "warning-threshold", "rows.csv", "-o", "values.xlsx", says="is there already")
    await place.cli.refused("plan", "warning-threshold", "rows.csv", "-o", "values.doc", says="says what it is to be")
    place.write('[[step]]\njob = "warning-threshold"\n', "night.toml")
    says = "a job file has a table for each of its steps: name a folder for them"
    await place.cli.refused("plan", "night.toml", "-o", "night.xlsx", says=says)
    await place.cli("plan", "warning-threshold", "rows.csv", "-o", "folder")
    await place.cli("plan", "warning-threshold", "rows.csv", "-o", "папка", "--lang", "ru")
    names = {path.name for path in (place.cli.folder / "папка").iterdir()}
    assert names == {"к-отправке.csv", "пропущено.csv", "не-принято.csv", "похожие.csv", "изменения-значений.csv"}
    await place.cli("plan", "warning-threshold", "rows.csv", "-o", "json", "--lang", "ru", "--json")
    names = {path.name for path in (place.cli.folder / "json").iterdir()}
    assert names == {path.name for path in (place.cli.folder / "folder").iterdir()}
    lines = read(place.cli.folder / "folder" / "value-changes.csv")[1]
    russian = await place.cli("plan", "warning-threshold", "rows.csv", "-o", "russian.csv", "--lang", "ru")
    assert "0,00 ₽ → −120,00 ₽" in russian.out.replace("\u00a0", " ")
    columns, first, *_ = (place.cli.folder / "russian.csv").read_text("utf-8-sig").splitlines()
    assert first.endswith(";0,00;-120,00")
    assert columns == "строка файла;строка;метка;модель;объект;изменение;поле;старое;новое"
    assert [line[-2:] for line in lines] == [["0.00", "-120.00"]] * 25


async def test_a_plan_adds_up_the_balances_before_and_after(place: Place) -> None:
    """Two subscribers have one account: it counts once, and its second row finds what the first has left."""
    await place.execute(TOGETHER)
    await place.execute("update admin_accounts set ostatok = 1000000000000, debit = 0, credit = 0")
    place.write("abonent_id;amount\n2001;1,10\n2004;40\n2003;-2,20\n", "rows.csv")
    arguments = ("plan", "balances", "rows.csv", "--json")

    def told(ended: Ended) -> tuple[list[tuple[str, str]], dict[str, Any]]:
        values = ended.closing["value_changes"]
        fields = [one for row in values["first"] for one in row["fields"]]
        assert {one["field"] for one in fields} == {"balance"}
        return [(one["old"], one["new"]) for one in fields], values["balances"]

    ended = await place.cli(*arguments, "-o", "values.csv", may_end_with=(1,))
    _, rows = read(place.cli.folder / "values.csv")
    ((account,),) = place.query("select account_id from abonents where id = 2001")
    assert rows[0] == ["2", "1", rows[0][2], "AdminAccounts", f"id {account}", "changed", "balance", "100.00", "1.10"]
    assert told(ended) == (
        [("100.00", "1.10"), ("100.00", "40.00"), ("1.10", "-2.20")],
        {"accounts": 2, "before": "200.00", "after": "37.80"},
    )
    ended = await place.cli(*arguments, "--shared-accounts", "sum")
    assert told(ended)[1] == {"accounts": 2, "before": "200.00", "after": "38.90"}
    settings = load(Flags(api_url=place.billing.url), place.cli.environment, place.cli.folder)
    adds = Fact(TypeEight.ADDS, date(2026, 11, 25))
    write_profile(settings, msgspec.structs.replace(UNKNOWN, billing=settings.target, version="5.24.06", type_8=adds))
    assert told(await place.cli(*arguments)) == (
        [("100.00", "101.10"), ("100.00", "140.00"), ("101.10", "98.90")],
        {"accounts": 2, "before": "200.00", "after": "238.90"},
    )
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    ended = await place.cli(*arguments)
    assert ended.closing["value_changes"]["balances"] is None
    assert "balances not known what they are now: no database is read" in ended.words


async def test_a_plan_shows_what_is_new_and_what_is_removed(place: Place) -> None:
    ((service,),) = place.query("select first 1 id from usluga order by id")
    place.write(f"abonent_id;usluga_id;manager_id\n2001;{service};33\n", "new.csv")
    ended = await place.cli("plan", "connect-service", "new.csv", "--json", "-o", "new.jsonl")
    (row,) = ended.closing["value_changes"]["first"]
    assert (row["kind"], row["model"]) == ("new", "UsersUsluga")
    assert {"field": "usluga_id", "old": None, "new": str(service), "issued": False} in row["fields"]
    lines = [msgspec.json.decode(line) for line in (place.cli.folder / "new.jsonl").read_bytes().splitlines()]
    assert [(one["field"], one["old"], one["new"]) for one in lines] == [
        (one["field"], one["old"], one["new"]) for one in row["fields"]
    ]
    ((user,),) = place.query("select first 1 id from users where deleted = 0 order by id")
    ended = await place.cli("plan", "delete-account", "--set", f"user_id={user}", "--json")
    (row,) = ended.closing["value_changes"]["first"]
    assert (row["kind"], row["model"]) == ("removed", "Users")
    assert {"field": "id", "old": str(user), "new": None, "issued": False} in row["fields"]


# ---- `run --plan ID`: what was planned is what is sent -------------------------------------------------------------


async def a_plan(place: Place, *words: str, ends: int = 0) -> str:
    """The name of a plan."""
    return str((await place.cli.closing("plan", *words, ends=ends))["plan"])


async def nothing_sent(place: Place, name: str, *arguments: str) -> str:
    """Run the plan, see that it is refused, and return why."""
    before = place.billing.ledger.effects("FinanceOperations")
    closing = await place.run("--plan", name, *arguments, ends=2)
    assert place.billing.ledger.effects("FinanceOperations") == before
    assert closing["error"].endswith("Nothing was sent.")
    return str(closing["error"])


async def test_what_another_run_has_entered_or_set_meanwhile_is_told(place: Place) -> None:
    balances = place.balances(3)
    header, first, *others = balances.path.read_text(encoding="utf-8").splitlines()
    name = await a_plan(place, "balances", "balances.csv")
    account = "(select account_id from abonents where contract_number = ? and deleted = 0)"
    change = f"update admin_accounts set ostatok = ?, debit = 0, credit = 0 where id = {account}"  # noqa: S608 - ours
    await place.execute(change, 4321 * SCALE, balances.numbers[1])
    why = await nothing_sent(place, name)
    for words in ("1 × something else would be overwritten", f"({balances.numbers[1]})", "balance 4321.00 now"):
        assert words in why
    # A payment that leaves no trace in what the journal calls the balance is told by its operation.
    await place.execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr) select "
        "gen_id(gen_finance_operations_id, 1), id, 2, 30000000000, 'today', 'x' from abonents "
        "where contract_number = ?",
        balances.numbers[2],
    )
    why = await nothing_sent(place, name)
    assert "2 × something else would be overwritten" in why
    assert re.search(rf"\({balances.numbers[2]}\): something else would be overwritten: .*op_id \d+ now", why)
    # A call with other arguments, by those.
    place.rows(f"{header};descr", *(f"{line};other" for line in (first, *others)), name="balances.csv")
    assert "another call: descr Миграция балансов then, descr other now" in await nothing_sent(place, name)
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
    name = await a_plan(place, "balances", "balances.csv")
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


async def test_secrets_of_rows_are_read_again_and_those_given_for_all_are_not_kept(place: Place) -> None:
    logins = [login for (login,) in place.query("select first 2 login from users where deleted = 0 order by id")]
    place.rows("login;psw", *(f"{login};Ge-heim" for login in logins), name="new.csv")
    name = await a_plan(place, "password", "new.csv")
    again = await place.cli.closing("plan", "password", "new.csv")
    assert (again["states"], again["changes"]) == ({"pending": 2}, {})
    assert (await place.run("--plan", again["plan"]))["states"] == {"accepted": 2}
    place.rows("login", *logins, name="same.csv")
    says = [(question, "Ge-heim") for question in ("psw: ", "psw once more: ")]
    seen = await answered(place, "plan", "password", "same.csv", "--ask", "psw", "--json", says=says)
    name = re.findall(r'"plan":"([a-z0-9]{5})"', seen)[-1]
    await place.cli.refused("run", "--plan", name, "--yes", says=["was made with a psw for all rows", "--ask psw"])
