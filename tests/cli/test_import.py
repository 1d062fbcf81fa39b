"""An import as an administrator types it: planned, sent, killed, resumed, corrected, imported again, taken back."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from billing.api.error_catalogue import LICENCE
from cli.terminal.exits import Exit
from tests.cli.conftest import Place, Typed
from tests.cli.flows import flow
from tests.jobs.whole_database import THERE, changes

HEADER: Final = ("Договор", "ФИО", "Папка", "Логин", "Тариф", "Телефон", "Порог", "Баланс")


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def subscriber(number: int, *, phone: str = "", folder: str = "Новые", balance: str | None = None) -> list[str]:
    return [
        f"Н-{number:04}",
        f"Абонент {number}",
        folder,
        f"new{number}",
        str(number % 3 + 1),
        phone or f"+7912{number:07}",
        f"-{number}",
        f"{number},50" if balance is None else balance,
    ]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


# ---- what is planned ---------------------------------------------------------------------------------------------


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


def test_what_lies_beside_a_table_is_refused_where_it_cannot_be_used(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "subs.csv").write_text(table([subscriber(1)]), encoding="utf-8")
    for words, says in (
        (("--map", "a.toml", "--map", "b.toml"), ["two map files"]),
        (("--dictionary", "names.csv"), ["dictionary: ", "names.csv"]),
    ):
        typed.refused("import", "subs.csv", *words, "--api-url", "http://127.0.0.1:9", says=says)


# ---- what is sent ------------------------------------------------------------------------------------------------

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


async def test_what_is_there_is_left_and_what_is_missing_is_completed(place: Place) -> None:
    rows = [subscriber(number) for number in range(1, 4)]
    place.write(table(rows), "subs.csv")
    closing = await place.cli.closing("import", "subs.csv", "--yes")
    assert closing["subscribers"] == {"all": 3, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
    assert [row[0] for row in people(place)] == ["Н-0001", "Н-0002", "Н-0003"]
    renamed = [[*rows[0][:1], "Другое имя", *rows[0][2:]], *rows[1:], subscriber(4)]
    place.write(table(renamed), "more.csv")
    more = await place.cli("import", "more.csv", "--yes")
    more.saying("there already, and different: name: Абонент 1 → Другое имя")
    assert (people(place)[0][1], len(people(place))) == ("Абонент 1", 4)
    await place.cli("import", "more.csv", "--yes", "--change")
    assert people(place)[0][1] == "Другое имя"


async def test_corrected_rows_complete_what_is_missing(place: Place) -> None:
    place.write(table([subscriber(1), subscriber(2, phone="нет телефона"), subscriber(3)]), "subs.csv")
    await place.cli.refused("import", "subs.csv", "--yes", says="нет телефона")
    assert people(place) == []
    closing = await place.cli.closing("import", "subs.csv", "--yes", "--skip-bad", ends=Exit.REJECTED)
    assert closing["refused"] == 1
    await place.cli("export", closing["run"])
    file = place.cli.folder / f"{closing['run']}-rejected.csv"
    (faulty,) = read(file)
    assert (faulty["Договор"], faulty["carbon_state"]) == ("Н-0002", "refused")
    file.write_text(file.read_text(encoding="utf-8").replace("нет телефона", "+79120000002"), encoding="utf-8")
    again = ("run", "import", file, "--continue", closing["run"], "--yes")
    await place.cli.refused(*again, says="carbon-migrate import FILE")
    await place.cli("import", file, "--yes")
    assert [row[0] for row in people(place)] == ["Н-0001", "Н-0002", "Н-0003"]


async def test_a_row_of_which_a_step_was_refused_is_exported_once_and_whole(place: Place) -> None:
    rows = [subscriber(1), subscriber(2)]
    place.write(table(rows), "subs.csv")
    place.traffic.model = "Users"
    place.traffic.answer = lambda number: web.json_response({"error": "логин запрещён"}) if number == 1 else None
    pacing = ("--yes", "--no-canary", "--settle", "0.1")
    closing = await place.cli.closing("import", "subs.csv", *pacing, ends=Exit.REJECTED)
    assert closing["subscribers"] == {"all": 2, "not_settled": 0, "with_rejected_steps": 1, "different": 0}
    await place.cli("export", closing["run"])
    (row,) = read(place.cli.folder / f"{closing['run']}-rejected.csv")
    assert [row[name] for name in HEADER] in rows
    assert (row["carbon_step"], row["carbon_state"]) == ("account", "rejected")
    assert "логин запрещён" in row["carbon_message"]
    place.traffic.answer = lambda _: None
    await place.cli("import", f"{closing['run']}-rejected.csv", "--yes")
    assert len(place.query(LOGINS)) == 2


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
    stopped = " ".join((await place.cli(*arguments, may_end_with=(Exit.STOPPED,))).out.split())
    (run,) = await place.runs()
    for words in (
        f"stopped: the billing refuses all work: {LICENCE}",
        "have it extended and resume, or take back what is there of this import",
        f"carbon-migrate undo {run.name}",
    ):
        assert words in stopped
    place.traffic.answer = lambda _: None
    for name in ("subs.csv", "map.toml"):
        (place.cli.folder / name).unlink()
    elsewhere = place.cli.on_machine("elsewhere", str(place.cli.journal))
    closing = await elsewhere.closing("resume", run.name, "--yes", "--settle", "0.1")
    assert closing["subscribers"] == {"all": 5, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
    assert len(people(place)) == 5
