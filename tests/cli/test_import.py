"""An import as an administrator types it: planned, sent, killed, resumed, corrected, imported again, taken back."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from billing.api.error_catalogue import LICENCE
from cli.terminal.exits import Exit
from tests.cli.conftest import Cli, Place, Typed
from tests.cli.flows import flow
from tests.jobs.whole_database import THERE, changes, whole

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
    planned = (await place.cli("plan", "import", "subs.csv", "--json")).closing
    assert planned["subscribers"] == {"all": 5, "not_settled": 5, "with_rejected_steps": 0, "different": 0}
    assert planned["by_step"] == {
        "folder": {"pending": 1},
        "subscriber": {"pending": 5},
        "account": {"pending": 5},
        "tariff": {"pending": 5},
        "threshold": {"pending": 5},
        "balance": {"pending": 5},
    }
    few = (await place.cli("plan", "import", "subs.csv", "--limit", "3", "--json")).closing
    assert few["subscribers"]["all"] == 3
    assert few["left_out"] == {"--limit": 2}
    sampled = (await place.cli("plan", "import", "subs.csv", "--sample", "2", "--folder", "Проба", "--json")).closing
    assert (sampled["subscribers"]["all"], sampled["by_step"]["folder"]) == (2, {"pending": 1})


async def test_files_are_kept_with_their_digests_and_a_job_file_names_them_relative(place: Place) -> None:
    place.write(table([subscriber(1)]), "subs.csv")
    place.write('format = 1\n[subscriber]\nemail = ""\n', "map.toml")
    await place.cli("import", "subs.csv", "--map", "map.toml", "--map", "sms=Телефон", "--save", "move.toml")
    saved = (place.cli.folder / "move.toml").read_text(encoding="utf-8")
    assert 'job = "import"' in saved
    assert 'map = "map.toml"' in saved
    assert "sha256" not in saved
    shown = await place.cli("plan", "move.toml")
    assert f"map={place.cli.folder / 'map.toml'}" in shown.out
    assert "map_sha256=" in shown.out


def test_two_map_files_are_a_question(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "subs.csv").write_text(table([subscriber(1)]), encoding="utf-8")
    ended = typed("import", "subs.csv", "--map", "a.toml", "--map", "b.toml", "--api-url", "http://127.0.0.1:9")
    assert ended.exit == Exit.REFUSED
    assert "two map files" in ended.err


def test_a_file_beside_the_table_that_is_not_there(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "subs.csv").write_text(table([subscriber(1)]), encoding="utf-8")
    ended = typed("import", "subs.csv", "--dictionary", "names.csv", "--api-url", "http://127.0.0.1:9")
    assert ended.exit == Exit.REFUSED
    assert "dictionary: " in ended.err
    assert "names.csv" in ended.err


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
    return [tuple(row) for row in place.billing.database.query(PEOPLE)]


async def test_what_is_there_is_left_and_what_is_missing_is_completed(place: Place) -> None:
    rows = [subscriber(number) for number in range(1, 4)]
    place.write(table(rows), "subs.csv")
    closing = (await place.cli("import", "subs.csv", "--yes", "--json")).closing
    assert closing["subscribers"] == {"all": 3, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
    assert [row[0] for row in people(place)] == ["Н-0001", "Н-0002", "Н-0003"]

    renamed = [[*rows[0][:1], "Другое имя", *rows[0][2:]], *rows[1:], subscriber(4)]
    place.write(table(renamed), "more.csv")
    more = await place.cli("import", "more.csv", "--yes")
    assert "there already, and different: name: Абонент 1 → Другое имя" in more.words
    assert people(place)[0][1] == "Абонент 1"
    assert len(people(place)) == 4
    await place.cli("import", "more.csv", "--yes", "--change")
    assert people(place)[0][1] == "Другое имя"


async def test_corrected_rows_complete_what_is_missing(place: Place) -> None:
    rows = [subscriber(1), subscriber(2, phone="нет телефона"), subscriber(3)]
    place.write(table(rows), "subs.csv")
    await place.cli.refused("import", "subs.csv", "--yes", says="нет телефона")
    assert people(place) == []
    closing = (
        await place.cli("import", "subs.csv", "--yes", "--skip-bad", "--json", may_end_with=(Exit.REJECTED,))
    ).closing
    assert closing["refused"] == 1
    await place.cli("export", closing["run"])
    file = place.cli.folder / f"{closing['run']}-rejected.csv"
    (faulty,) = read(file)
    assert faulty["Договор"] == "Н-0002"
    assert faulty["carbon_state"] == "refused"
    file.write_text(file.read_text(encoding="utf-8").replace("нет телефона", "+79120000002"), encoding="utf-8")
    await place.cli.refused(
        "run", "import", file, "--continue", closing["run"], "--yes", says="carbon-migrate import FILE"
    )
    await place.cli("import", file, "--yes")
    assert [row[0] for row in people(place)] == ["Н-0001", "Н-0002", "Н-0003"]


async def test_a_row_of_which_a_step_was_refused_is_exported_once_and_whole(place: Place) -> None:
    rows = [subscriber(1), subscriber(2)]
    place.write(table(rows), "subs.csv")
    place.traffic.model = "Users"
    place.traffic.answer = lambda number: web.json_response({"error": "логин запрещён"}) if number == 1 else None
    closing = (
        await place.cli(
            "import", "subs.csv", "--yes", "--json", "--no-canary", "--settle", "0.1", may_end_with=(Exit.REJECTED,)
        )
    ).closing
    assert closing["subscribers"] == {"all": 2, "not_settled": 0, "with_rejected_steps": 1, "different": 0}
    await place.cli("export", closing["run"])
    (row,) = read(place.cli.folder / f"{closing['run']}-rejected.csv")
    assert [row[name] for name in HEADER] in rows
    assert (row["carbon_step"], row["carbon_state"]) == ("account", "rejected")
    assert "логин запрещён" in row["carbon_message"]
    place.traffic.answer = lambda _: None
    await place.cli("import", f"{closing['run']}-rejected.csv", "--yes")
    assert len(list(place.billing.database.query(LOGINS))) == 2


async def test_an_import_is_killed_resumed_verified_and_taken_back(billing_file: Path, tmp_path: Path) -> None:
    rows = [subscriber(number, folder=f"Новые/{number % 2}") for number in range(1, 13)]
    async with flow(billing_file, tmp_path / "flow") as flown:
        before = whole(flown.billing.database)
        flown.write(table(rows), "subs.csv")
        closing = await flown.go("import", "subs.csv", kill_at=25)
        assert closing["subscribers"] == {"all": 12, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
        assert flown.query(PEOPLE) == [(row[0], row[1], int(row[4])) for row in rows]
        assert flown.query(LOGINS) == sorted((row[3], row[0]) for row in rows)
        assert flown.query(BALANCES) == [(row[0], number * 100 + 50) for number, row in enumerate(rows, 1)]
        again = await flown.cli("import", "subs.csv", "--yes", "--json")
        assert (again.closing["calls"], again.closing["states"].keys()) == (0, {"skipped"})
        # What was found after the kill may be somebody else's: it stays, and the exit code says so.
        unproven = closing["unproven"]
        first = await flown.cli("undo", closing["run"], "--yes", "--json", may_end_with=(1 if unproven else 0,))
        assert first.closing["unproven"] == unproven
        assert ("--set unproven=take" in first.words) == bool(unproven)
        if unproven:
            taken = await flown.cli("undo", closing["run"], "--set", "unproven=take", "--yes", "--json")
            assert taken.closing["unproven"] == 0
        left = changes(before, whole(flown.billing.database))
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
    stopped = await place.cli(
        "import", "subs.csv", "--map", "map.toml", "--yes", "--in-flight", "1", may_end_with=(Exit.STOPPED,)
    )
    shown = " ".join(stopped.out.split())
    assert f"stopped: the billing refuses all work: {LICENCE}" in shown
    assert "have it extended and resume, or take back what is there of this import" in shown
    (run,) = await place.runs()
    assert f"carbon-migrate undo {run.name}" in stopped.out
    place.traffic.answer = lambda _: None
    for name in ("subs.csv", "map.toml"):
        (place.cli.folder / name).unlink()
    elsewhere = place.cli.folder / "elsewhere"
    elsewhere.mkdir()
    cli = Cli(elsewhere, place.cli.environment)
    closing = (
        await cli("resume", run.name, "--yes", "--json", "--settle", "0.1", "--journal", place.cli.journal)
    ).closing
    assert closing["subscribers"] == {"all": 5, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
    assert len(people(place)) == 5
