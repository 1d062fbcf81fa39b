"""An import as an administrator types it: planned, sent, killed, resumed, corrected, imported again, taken back."""

import csv
import hashlib
import io
import json
import re
import signal
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from billing.api.error_catalogue import LICENCE
from billing.money import SCALE
from checkpoints.states import State
from cli.terminal.exits import Exit
from tests.cli.commands.test_import_check import rows_of, write
from tests.cli.commands.test_report import Page, number
from tests.cli.commands.test_report import read as read_report
from tests.cli.conftest import Place
from tests.cli.flows import flow
from tests.cli.test_continue import read as cells_of
from tests.jobs.whole_database import THERE, changes

HEADER: Final = ("Договор", "ФИО", "Папка", "Логин", "Тариф", "Телефон", "Порог", "Баланс")


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def subscriber(number: int, *, phone: str = "", folder: str = "Новые", balance: str | None = None) -> list[str]:
    line = f"Н-{number:04};Абонент {number};{folder};new{number};{number % 3 + 1};{phone or f'+7912{number:07}'}"
    return [*line.split(";"), f"-{number}", f"{number},50" if balance is None else balance]


async def test_a_plan_counts_steps_and_subscribers_and_so_does_a_limit(place: Place) -> None:
    place.write(table([subscriber(number) for number in range(1, 6)]), "subs.csv")
    plan = ("plan", "import", "subs.csv")
    planned = await place.cli.closing(*plan)
    assert planned["subscribers"] == {"all": 5, "not_settled": 5, "with_rejected_steps": 0, "different": 0}
    steps = ("folder", "subscriber", "account", "tariff", "threshold", "balance")
    assert planned["by_step"] == {step: {"pending": 1 if step == "folder" else 5} for step in steps}
    few = await place.cli.closing(*plan, "--limit", "3")
    assert (few["subscribers"]["all"], few["left_out"]) == (3, {"--limit": 2})
    sampled = await place.cli.closing(*plan, "--sample", "2", "--folder", "Проба")
    assert (sampled["subscribers"]["all"], sampled["by_step"]["folder"]) == (2, {"pending": 1})
    # Files are kept with their digests, and a job file names them relative.
    place.write('format = 1\n[subscriber]\nemail = ""\n', "map.toml")
    await place.cli("import", "subs.csv", "--map", "map.toml", "--map", "sms=Телефон", "--save", "move.toml")
    saved = (place.cli.folder / "move.toml").read_text(encoding="utf-8")
    assert ('job = "import"' in saved, 'map = "map.toml"' in saved, "sha256" in saved) == (True, True, False)
    shown = (await place.cli("plan", "move.toml")).out
    assert (f"map={place.cli.folder / 'map.toml'}" in shown, "map_sha256=" in shown) == (True, True)


_WHERE: Final = "a.contract_number starting with 'Н-' and a.deleted = 0"
PEOPLE: Final = f"select a.contract_number, a.name, a.tarif_id from abonents a where {_WHERE} order by 1"  # noqa: S608 - a constant
LOGINS: Final = (
    f"select u.login, a.contract_number from users u join abonents a on a.id = u.abonent_id where {_WHERE} order by 1"  # noqa: S608 - a constant
)
BALANCES: Final = (
    "select a.contract_number, cast((m.ostatok + m.debit - m.credit) / 100000000 as bigint) from abonents a "  # noqa: S608 - a constant
    f"join admin_accounts m on m.id = a.account_id where {_WHERE} order by 1"
)


def people(place: Place) -> list[tuple[Any, ...]]:
    return place.query(PEOPLE)


async def test_corrected_rows_complete_what_is_missing_and_change_what_is_there_only_on_request(place: Place) -> None:
    place.write(table([subscriber(1), subscriber(2, phone="нет телефона"), subscriber(3)]), "subs.csv")
    await place.cli.refused("import", "subs.csv", "--yes", says="нет телефона")
    assert people(place) == []
    closing = await place.cli.closing("import", "subs.csv", "--yes", "--skip-bad", ends=Exit.REJECTED)
    assert closing["refused"] == 1
    file = place.cli.folder / f"{closing['run']}-bad.csv"
    await place.cli("export", closing["run"], "--state", "bad", "-o", file)
    (faulty,) = rows_of(file)
    assert (faulty["Договор"], faulty["carbon_state"]) == ("Н-0002", "refused")
    file.write_text(file.read_text(encoding="utf-8").replace("нет телефона", "+79120000002"), encoding="utf-8")
    again = ("run", "import", file, "--continue", closing["run"], "--yes")
    assert (await place.cli.closing(*again))["refused"] == 0
    assert [row[0] for row in people(place)] == ["Н-0001", "Н-0002", "Н-0003"]
    place.write(table([["Н-0001", "Другое имя", *subscriber(1)[2:]], subscriber(4)]), "more.csv")
    for more, name in (((), "Абонент 1"), (("--change",), "Другое имя")):
        await place.cli("import", "more.csv", "--yes", *more)
        assert (people(place)[0][1], len(people(place))) == (name, 4)


async def test_an_opening_balance_is_never_set_over_money_that_came_and_the_script_is_told(place: Place) -> None:
    place.write(table([subscriber(1, balance=""), subscriber(2, balance="")]), "subs.csv")
    await place.cli("import", "subs.csv", "--yes")
    place.rows("contract_number;amount;document", "Н-0001;7;d1", name="p.csv")
    await place.run("payment", "p.csv")
    place.write(table([subscriber(1, balance="1"), subscriber(2, balance="2")]), "subs.csv")
    for more, says in (
        ((), "--change enters it where nothing but opening balances has come to the account"),
        (
            ("--change",),
            ["the row says 1.00, and would be set over operation", "moved by 7.00: enter 8.00 with the job"],
        ),
        (("--database", ""), "enters it where nothing"),
        (("--database", "", "--change"), "and would be set over operation"),
    ):
        told = await place.cli.told("import", "subs.csv", "--yes", *more, ends=Exit.REJECTED, says=says)
        assert "is done; 1 opening balance was left out, as what is there differs" in told
        owned = "select m.balance from abonents a join admin_accounts m on m.id = a.account_id where {} order by a.id"
        balances = place.query(owned.format("a.contract_number starting with 'Н-000'"))
        assert balances == [(7 * SCALE,), (2 * SCALE,)]


@pytest.mark.parametrize("database", [(), ("--database", "")], ids=["the database", "the API"])
async def test_a_bill_keeps_no_opening_balance_from_being_set_and_a_payment_before_it_does(
    place: Place, database: Sequence[str]
) -> None:
    """What leaves the balance as the last opening balance has set it is no money, whatever its type is."""
    place.write(table([subscriber(1, balance="5"), subscriber(2, balance="5")]), "subs.csv")
    await place.cli("import", "subs.csv", "--yes")
    place.rows("contract_number;amount;document", "Н-0001;7;d1", name="p.csv")
    await place.run("payment", "p.csv")
    for bill, contract in enumerate(("Н-0001", "Н-0002"), 9_000_001):
        await place.execute(
            "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) "
            "select ?, id, 3, ?, ? from abonents where contract_number = ? and deleted = 0",
            *(bill, 90 * SCALE, "2026-11-29", contract),
        )
    place.write(table([subscriber(1, balance="9"), subscriber(2, balance="9")]), "subs.csv")
    says = [
        "the balance is 12.00, the row says 9.00, and would be set over operation",
        "enter 16.00 with the job balances and --again",
    ]
    changes = ("import", "subs.csv", "--yes", "--change", "--again", *database)
    await place.cli.told(*changes, ends=Exit.REJECTED, says=says)
    assert place.query(BALANCES) == [("Н-0001", 1200), ("Н-0002", 900)]
    # As it is told. What is set by that, and taken back, leaves the payment where it was.
    place.rows("contract_number;amount", "Н-0001;16", name="told.csv")
    told = (await place.run("balances", "told.csv", "--again", *database))["run"]
    assert place.query(BALANCES)[0] == ("Н-0001", 1600)
    if not database:
        await place.cli("undo", told, "--yes", "--set", "way=opposite", "--settle", "0.1")
        await place.cli.told(*changes, ends=Exit.REJECTED, says=says)
        assert place.query(BALANCES)[0] == ("Н-0001", 1200)


@pytest.mark.parametrize("database", [(), ("--database", "")], ids=["the database", "the API"])
async def test_a_change_adds_no_service_and_no_login_beside_the_old_one(
    place: Place, database: Sequence[str]
) -> None:
    header = ("Договор", "ФИО", "Папка", "Логин", "Тариф", "Телефон", "Порог", "Баланс", "Услуга")
    place.write('format = 1\n[[service]]\nusluga_id = "Услуга"\nmanager_id = { value = "1" }\n', "map.toml")
    old = subscriber(1)
    place.write(table([[*old, "126"]], header), "subs.csv")
    await place.cli("import", "subs.csv", "--yes", "--map", "map.toml", *database)
    place.write(table([[*old[:3], "another", *old[4:], "127"]], header), "subs.csv")
    words = ("import", "subs.csv", "--yes", "--map", "map.toml", *database)
    beside = ["with usluga_id 126 would stay beside", f"login {old[3]} would stay beside"]
    await place.cli.told(*words, "--change", says=[*beside, "job delete-services", "job delete-account"])
    of_him = "abonent_id in (select id from abonents where contract_number = 'Н-0001' and deleted = 0)"
    there = [f"select count(*) from {table} where deleted = 0 and {of_him}" for table in ("users", "users_usluga")]  # noqa: S608
    assert [place.query(one) for one in there] == [[(1,)], [(1,)]]
    await place.cli(*words)
    assert [place.query(one) for one in there] == [[(2,)], [(2,)]]


async def test_what_has_come_since_explains_the_balances_of_an_import_on_top_of_another(place: Place) -> None:
    """As those of the first one."""
    rows = [subscriber(number) for number in (1, 2, 3)]
    payments = ("payment", "pay.csv", "--yes", "--settle", "0.1")
    place.write(table(rows[:2]), "subs.csv")
    first = (await place.cli.closing("import", "subs.csv", "--yes"))["run"]
    place.write("contract_number;amount;document\nН-0001;100;A\n", "pay.csv")
    await place.cli("run", *payments)
    place.write(table(rows), "subs.csv")
    second = (await place.cli.closing("import", "subs.csv", "--yes"))["run"]
    place.write("contract_number;amount;document\nН-0002;7;B\nН-0003;7;C\n", "pay.csv")
    await place.cli("run", *payments)
    for run, moved in ((first, "107.00"), (second, "114.00")):
        found = await place.cli.closing("verify", run)
        (folder,) = (one for one in found["tally"]["groups"] if one["kind"] == "folder")
        assert (folder["later_operations"]["balance"], found["tally"]["different"]) == (moved, 0)


@pytest.mark.parametrize("database", [(), ("--database", "")], ids=["the database", "the API"])
async def test_a_limit_is_not_changed_for_another_subscriber_of_the_account(
    place: Place, database: Sequence[str]
) -> None:
    rows = [subscriber(number)[:-1] for number in (1, 2)]
    place.write(table(rows, HEADER[:-1]), "subs.csv")
    await place.cli("import", "subs.csv", "--yes", *database)
    of = "(select {} from abonents where contract_number = '{}' and deleted = 0)"
    first, second = of.format("account_id", "Н-0001"), of.format("account_id", "Н-0002")
    await place.execute(f"update abonents set account_id = {first} where account_id = {second}")  # noqa: S608
    rows[1][-1] = "-77"
    place.write(table(rows, HEADER[:-1]), "subs.csv")
    threshold = f"select limit_warning from admin_accounts where id = {first}"  # noqa: S608
    before = place.query(threshold)
    says = ["limit_warning: -1 → -77; this would change it for abonent", "job tariff-threshold"]
    await place.cli.told("import", "subs.csv", "--yes", "--change", *database, says=says)
    assert place.query(threshold) == before


async def test_a_row_of_which_a_step_was_refused_is_exported_once_and_whole(place: Place) -> None:
    rows = [subscriber(1), subscriber(2)]
    place.write(table(rows), "subs.csv")
    place.traffic.model = "Users"
    place.traffic.answer = lambda number: web.json_response({"error": "логин запрещён"}) if number == 1 else None
    pacing = ("--yes", "--no-canary", "--settle", "0.1")
    closing = await place.cli.closing("import", "subs.csv", *pacing, ends=Exit.REJECTED)
    assert closing["subscribers"] == {"all": 2, "not_settled": 0, "with_rejected_steps": 1, "different": 0}
    await place.cli("export", closing["run"])
    (row,) = rows_of(place.cli.folder / f"{closing['run']}-rejected.csv")
    assert [row[name] for name in HEADER] in rows
    assert (row["carbon_step"], row["carbon_state"]) == ("account", "rejected")
    assert "логин запрещён" in row["carbon_message"]
    place.traffic.answer = lambda _: None
    await place.cli("import", f"{closing['run']}-rejected.csv", "--yes")
    assert len(place.query(LOGINS)) == 2


async def test_what_waits_for_a_decision_about_a_subscriber_ends_the_import_as_undecided(place: Place) -> None:
    place.write(table([subscriber(1), subscriber(2)]), "subs.csv")
    place.traffic.model, place.traffic.method = "Abonents", "objects.create"

    async def renamed(number: int) -> web.Response | None:
        if number == 1:
            return None
        await place.execute("update abonents set name = 'Somebody' where name = 'Абонент 1'")
        return web.Response(status=500) if number == 2 else None

    place.traffic.afterwards = renamed
    pacing = ("--yes", "--no-canary", "--settle", "0.1", "--in-flight", "1")
    closing = await place.cli.closing("import", "subs.csv", *pacing, ends=Exit.UNDECIDED)
    assert (closing["states"], closing["stopped_by"]) == ({"pending": 4, "accepted": 6, "manual": 1}, "decision")
    assert "a person has to decide on subscriber of Н-0001 first" in closing["stopped"]
    ended = await place.cli("resume", closing["run"], *pacing, may_end_with=[Exit.UNDECIDED])
    assert "4 rows are left pending, for they wait for others" in ended.words
    assert place.traffic.arrived == 3


async def test_an_import_is_killed_resumed_verified_and_taken_back(billing_file: Path, tmp_path: Path) -> None:
    rows = [subscriber(number, folder=f"Новые/{number % 2}") for number in range(1, 13)]
    async with flow(billing_file, tmp_path / "flow") as flown:
        before = flown.tables
        flown.write(table(rows), "subs.csv")
        closing = await flown.go("import", "subs.csv", kill_at=25)
        assert closing["subscribers"] == {"all": 12, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
        assert flown.query(PEOPLE) == [(row[0], row[1], int(row[4])) for row in rows]
        assert flown.query(LOGINS) == sorted((row[3], row[0]) for row in rows)
        assert flown.query(BALANCES) == [(row[0], number * 100 + 50) for number, row in enumerate(rows, 1)]
        again = await flown.cli.closing("import", "subs.csv", "--yes")
        assert (again["calls"], again["states"].keys()) == (0, {"skipped"})
        # What was found after the kill may be somebody else's: it stays, and the exit code says so.
        unproven = closing["unproven"]
        first = await flown.cli("undo", closing["run"], "--yes", "--json", may_end_with=(1 if unproven else 0,))
        assert first.closing["unproven"] == unproven
        assert ("--set unproven=take" in first.words) == bool(unproven)
        if unproven:
            taken = await flown.cli("undo", closing["run"], "--set", "unproven=take", "--yes", "--json")
            assert taken.closing["unproven"] == 0
        left = changes(before, flown.tables)
        # What was there is as it was. Of what came nobody is left, and no money.
        came = {table: list(rows.values()) for table, rows in left.items()}
        assert all(row.get(THERE) == (False, True) for rows in came.values() for row in rows)
        assert came.keys() <= {"ABONENTS", "USERS", "ADMIN_ACCOUNTS", "FINANCE_OPERATIONS"}
        assert all(row["DELETED"][1] for table in ("ABONENTS", "USERS") for row in came[table])
        assert {row["BALANCE"][1] for row in came["ADMIN_ACCOUNTS"]} == {0}


async def test_a_licence_that_runs_out_stops_the_run_which_goes_on_elsewhere_without_its_files(place: Place) -> None:
    place.write(table([subscriber(number) for number in range(1, 6)]), "subs.csv")
    place.write('[subscriber]\nsms = "Телефон"\n', "map.toml")
    place.traffic.model, place.traffic.method = "Abonents", "objects.create"
    used_up = web.json_response
    place.traffic.answer = lambda number: used_up({"error": LICENCE}) if number > 4 else None
    arguments = ("import", "subs.csv", "--map", "map.toml", "--yes", "--in-flight", "1")
    await place.cli(*arguments, may_end_with=(Exit.STOPPED,))
    (run,) = await place.runs()
    place.traffic.answer = lambda _: None
    for name in ("subs.csv", "map.toml"):
        (place.cli.folder / name).unlink()
    elsewhere = place.cli.on_machine("elsewhere", str(place.cli.journal))
    closing = await elsewhere.closing("resume", run.name, "--yes", "--settle", "0.1")
    assert closing["subscribers"] == {"all": 5, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
    assert len(people(place)) == 5


# ---- what `verify` counts of an import, file beside billing --------------------------------------------------------

REPORT: Final = Path("report.html")
FOLDER: Final = "Новые"


async def imported(place: Place, subscribers: int) -> str:
    place.write(table([subscriber(one) for one in range(1, subscribers + 1)]), "subs.csv")
    return str((await place.cli.closing("import", "subs.csv", "--yes"))["run"])


async def folder_of(place: Place) -> int:
    ((key,),) = place.query("select id from abonents where is_folder = 1 and name = :name", name=FOLDER)
    return int(key)


async def test_an_import_that_is_whole_has_no_difference(place: Place) -> None:
    run = await imported(place, 6)
    folder = await folder_of(place)
    verified = await place.cli.closing("verify", run)
    tally = verified["tally"]
    assert (tally["different"], tally["not_in_file"], verified["exit"]) == (0, 0, 0)
    balances = f"{sum(Decimal(f'{one}.50') for one in range(1, 7)):.2f}"
    whole = {"subscribers": 6, "balance": balances}
    assert tally["groups"][0]["id"] == str(folder)
    assert (tally["groups"][0]["file"], tally["groups"][0]["billing"]) == (whole, whole)
    assert [(one["kind"], one["id"], one["billing"]["subscribers"]) for one in tally["groups"][1:]] == [
        ("tariff", "1", 2),
        ("tariff", "2", 2),
        ("tariff", "3", 2),
    ]
    await place.cli("report", run, "-o", REPORT, "--lang", "ru")
    page = Page(read_report(place))
    assert [number(cell) for cell in page.line(f"{FOLDER} ({folder})")] == [6, 6, 0, 24, 24, 0]
    assert "В каждой группе в биллинге то же, что в файле." in read_report(place)
    assert "В биллинге полностью заведено 6 абонентов из 6" in read_report(place)
    assert page.line("всего абонентов в файле") == ["6"]
    assert page.sums("требуется по файлу") == [6, 24]
    assert (await place.cli("report", "check", REPORT)).exit == 0
    # What was taken back is not counted.
    undo = str((await place.cli.closing("undo", run, "--yes"))["run"])
    told = await place.cli.told("verify", run)
    assert "not counted beside the file: rows of this run were taken back" in told
    await place.cli("report", undo, "-o", REPORT, "--lang", "en", "--force")
    assert "Not counted: rows of this run were taken back." in read_report(place)
    page = Page(read_report(place))
    assert page.line(f"entered by run {run}") == page.lines("taken back since")[0] == ["6", "24.00"]
    assert page.line("still in the billing") == ["0", "0.00"]
    assert f"6 of the 6 subscribers of run {run} are taken back, 24.00 in total" in read_report(place)


async def test_what_differs_is_named_and_who_is_not_in_the_file(place: Place) -> None:
    run = await imported(place, 6)
    folder = await folder_of(place)
    await place.execute("update abonents set tarif_id = 5 where contract_number = 'Н-0001'")
    await place.execute("update abonents set deleted = 1 where contract_number = 'Н-0002'")
    for key in range(900_001, 900_022):
        await place.execute("insert into admin_accounts (id, ostatok) values (?, ?)", key, SCALE)
        await place.execute(
            "insert into abonents (id, parent_id, name, contract_number, account_id) values (?, ?, '<b>', ?, ?)",
            *(key, folder, f"old-{key}", key),
        )
    verified = await place.cli("verify", run, may_end_with=(1,))
    said = " ".join(verified.out.split())
    assert f"✗ folder {FOLDER} ({folder}) subscribers 6 5 −1 balances 24.00 21.50 −2.50" in said
    assert "✗ tariff Тариф 5 (5) subscribers 0 1 +1" in said
    assert "! 21 subscribers are in these folders and not in the file: old-900001 <b> (abonent 900001)" in said
    told = await place.cli.closing("report", run, "-o", REPORT, "--lang", "en")
    (name,) = told["not_in_file_files"]
    beside = place.cli.folder / name
    assert hashlib.sha256(beside.read_bytes()).hexdigest() in read_report(place)
    header, lines = cells_of(beside)
    assert (header, len(lines)) == (["abonent_id", "contract_number", "name", "folder", "balance"], 21)
    assert lines[0] == ["900001", "old-900001", "<b>", str(folder), "1.00"]
    page = Page(read_report(place))
    assert page.line(f"{FOLDER} ({folder})")[:3] == ["6", "5", "−1"]
    assert page.line("old-900001") == ["<b>", "900001", str(folder), "1.00"]
    assert re.search(r"the totals of \d folders, tariffs and operators are others", read_report(place))
    beside.write_text("edited", encoding="utf-8")
    edited = await place.cli.closing("report", "check", REPORT, ends=1)
    assert edited["files"] == [name]


async def test_without_a_database_it_says_what_it_needs(place: Place) -> None:
    place.cli.environment["CARBON_MIGRATE_DATABASE"] = ""
    run = await imported(place, 2)
    # What a new subscriber had before is known: nothing.
    again = await place.cli("plan", "import", place.write(table([subscriber(9)]), "more.csv"))
    assert "an undo cannot take back the opening balances of this run" not in " ".join(again.out.split())
    verified = await place.cli("verify", run)
    assert "cannot be counted beside the file: this needs the billing's database" in " ".join(verified.out.split())
    await place.cli("report", run, "-o", REPORT, "--lang", "en")
    assert f"Not counted in the billing yet. carbon-migrate verify {run} does it" in read_report(place)


# ---- the trial of an import ----------------------------------------------------------------------------------------

TABLE: Final = """Договор;ФИО;Тариф;Группа;Логин;Оператор;Баланс
П-01;Иванов Иван;Тариф-1;Частный;trial1;Старый оператор;10,50
П-02;Петров Пётр;тариф 2;Ленина 5;trial2;Старый оператор;-7
П-03;Сидоров Сидор;Тариф-1;Частный;trial3;Старый оператор;3
П-04;Козлов Козьма;тариф 2;Частный;trial4;Новый оператор;0
П-05;Волков Вадим;Тариф-1;Частный;;Старый оператор;5
П-06;Зайцев Захар;Тариф-1;Частный;trial6;Старый оператор;1
П-07;Лисин Леонид;Тариф-1;Частный;trial7;Старый оператор;2
П-08;Орлов Олег;Тариф-1;Частный;trial8;Старый оператор;сто
"""
SERVICES: Final = "Договор;Услуга;Администратор\nП-01;Аренда роутера;migration\nП-06;Аренда роутера;migration\n"
NAMES: Final = """kind;name;id
tariff;Тариф-1;1
tariff;тариф 2;2
service;Аренда роутера;301
folder;Частный;89
folder;Ленина 5;new
operator;Старый оператор;3
operator;Новый оператор;1444
administrator;migration;33
"""
FILES: Final = ("subs.csv", "--services", "services.csv", "--dictionary", "names.csv")
TRIAL: Final = (*FILES, "--sample", "5", "--folder", "Проба")

TRIED: Final = (
    "select a.contract_number, f.name, a.tarif_id, cast((m.ostatok + m.debit - m.credit) / 100000000 as bigint) "
    "from abonents a join admin_accounts m on m.id = a.account_id left join abonents f on f.id = a.parent_id "
    "where a.contract_number starting with 'П-' and a.deleted = 0 order by 1"
)
FOLDERS: Final = (
    "select a.name from abonents a where a.is_folder = 1 and a.deleted = 0 and a.name in ('Проба', 'Ленина 5')"
)
SERVICES_THERE: Final = (
    "select a.contract_number from users_usluga c join abonents a on a.id = c.abonent_id "
    "where c.deleted = 0 and a.deleted = 0 and a.contract_number starting with 'П-' order by 1"
)


def tried(place: Place) -> dict[str, tuple[Any, ...]]:
    """The subscribers that were imported: folder, tariff, balance in kopecks."""
    return {number: tuple(rest) for number, *rest in place.query(TRIED)}


def write_tables(place: Place) -> Path:
    place.write(TABLE, "subs.csv")
    place.write(SERVICES, "services.csv")
    return place.write(NAMES, "names.csv")


async def proposed_and_checked(place: Place) -> None:
    """Let the program propose the dictionary, and check it as a person would."""
    file = write_tables(place)
    await place.cli("dictionary", *FILES[:3], "-o", file, "--force", may_end_with=[1])
    rows = rows_of(file)
    for row in rows:
        if row["name"] == "Частный":
            row |= {"id": "89", "name_here": "", "match": ""}
        row["checked"] = "да"
    write(file, rows)


async def test_a_trial_is_looked_at_taken_back_done_again_and_then_done_whole(place: Place) -> None:
    await proposed_and_checked(place)
    # The first is stopped in the middle, and taken back.
    place.traffic.model = "/rest_api/"
    async with place.cli.started("import", *TRIAL, "--yes", "--rate", "20", "--in-flight", "2") as going:
        await place.traffic.reaches(place.traffic.arrived + 12)
        going.signal(signal.SIGINT)
        await going.ended()
    (begun,) = await place.runs()
    assert (await place.totals(begun.name)).count(State.PENDING)
    await place.cli("undo", begun.name, "--yes", "--settle", "0.1")
    assert tried(place) == {}
    trials = []
    for _ in range(2):
        trial = await place.cli.closing("import", *TRIAL, "--yes")
        trials.append(trial["by_step"])
        assert trial["left_out"] == {"--sample": 3}
        assert tried(place) == {
            "П-01": ("Проба", 1, 1050),
            "П-02": ("Проба", 2, -700),
            "П-03": ("Проба", 1, 300),
            "П-04": ("Проба", 2, 0),
            "П-05": ("Проба", 1, 500),
        }
        assert place.query(SERVICES_THERE) == [("П-01",)]
        await place.cli("verify", trial["run"])
        await place.cli("undo", trial["run"], "--yes")
        assert (tried(place), place.query(FOLDERS), place.query(SERVICES_THERE)) == ({}, [], [])
    assert trials[0] == trials[1]
    whole = await place.cli.closing("import", *FILES, "--yes", "--skip-bad", ends=1)
    assert (whole["refused"], whole["left_out"]) == (1, {})
    there = tried(place)
    # Each subscriber of a trial was made three times in all, each other once, and nothing of a trial is left.
    assert Counter(folder for folder, _, _ in there.values()) == {"Частный сектор": 6, "Ленина 5": 1}
    assert sum(balance for _, _, balance in there.values()) == 1450
    assert place.query(SERVICES_THERE) == [("П-01",), ("П-06",)]
    assert place.query(FOLDERS) == [("Ленина 5",)]


async def test_a_trial_that_is_left_standing_is_completed_and_not_moved(place: Place) -> None:
    write_tables(place)
    planned = await place.cli("plan", "import", "subs.csv", "--set", "sample=2", "--set", "dictionary=names.csv")
    planned.saying(
        ["a sample of 2 rows out of 8: ", "not in the sample: ", "1 row has faults and is not chosen from"]
    )
    assert "6 rows by --sample" in planned.out
    await place.cli("import", *TRIAL, "--yes")
    whole = await place.cli.closing("import", *FILES, "--yes", "--skip-bad", ends=1)
    assert whole["by_step"]["subscriber"] == {"accepted": 2, "skipped: there already, and different": 5}
    assert Counter(folder for folder, _, _ in tried(place).values()) == {"Проба": 5, "Частный сектор": 2}
    assert sum(balance for _, _, balance in tried(place).values()) == 1450


async def test_what_is_undone_since_is_said_first_and_is_in_no_sum_of_what_the_billing_has(place: Place) -> None:
    run = await imported(place, 4)
    await place.cli("verify", run)
    whole = f"{sum(Decimal(f'{one}.50') for one in range(1, 5)):.2f}"
    undo = str((await place.cli.closing("undo", run, "--yes"))["run"])
    verified = await place.cli("verify", run)
    assert f"taken back since by run {undo}" in verified.out.splitlines()[0]
    assert "found" not in verified.out
    facts = await place.cli.closing("verify", run)
    assert (facts["expected"], facts["found"], facts["different"]) == ("0", "0", 0)
    status = (await place.cli("status", run)).out
    assert "4 subscribers were taken back since; complete in the billing: 0 of 4" in status
    assert "0 opening balances of the run are in the billing, 0.00" in status
    # An undo of an import cannot be undone, so nobody is told to try.
    await place.cli.refused("undo", undo, "--yes", says="import")
    assert f"undo {undo}" not in verified.out + status
    told = await place.cli.closing("report", run, "-o", REPORT)
    sums = told["sums"][run]
    assert sums["entered"] == {"rows": 4, "amount": whole}
    assert sums["undone_since"] == {"rows": 4, "amount": whole}
    assert sums["standing"] == {"rows": 0, "amount": "0.00"}
    shown = (await place.cli("report", run, "-o", REPORT, "--force", may_end_with=(0, 1))).told
    assert f"4 subscribers were taken back since, {whole} in total; 0 of 4 subscribers" in shown
    every = json.loads((await place.cli("status", "--all", "--json")).out.splitlines()[-1])["sums"]
    assert (Decimal(every["entered"]), Decimal(every["standing"])) == (Decimal(whole), Decimal(0))
