"""What `verify` counts of an import, file beside billing, and what its report says of it."""

import csv
import hashlib
import re
from decimal import Decimal
from pathlib import Path
from typing import Final

from billing.money import SCALE
from tests.cli.commands.test_report import Page, number, read
from tests.cli.conftest import Place
from tests.cli.test_import import subscriber, table

REPORT: Final = Path("report.html")
FOLDER: Final = "Новые"


async def imported(place: Place, subscribers: int) -> str:
    """The name of a run that has imported so many subscribers."""
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
    page = Page(read(place))
    assert [number(cell) for cell in page.line(f"{FOLDER} ({folder})")] == [6, 6, 0, 24, 24, 0]
    assert "В каждой группе в биллинге то же, что в файле." in read(place)
    assert "В биллинге полностью заведено 6 абонентов из 6" in read(place)
    assert page.line("всего абонентов в файле") == ["6"]
    assert page.sums("требуется по файлу") == [6, 24]
    assert (await place.cli("report", "check", REPORT)).exit == 0


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
    assert hashlib.sha256(beside.read_bytes()).hexdigest() in read(place)
    with beside.open(encoding="utf-8-sig", newline="") as file:
        header, *lines = csv.reader(file, delimiter=";")
    assert (header, len(lines)) == (["abonent_id", "contract_number", "name", "folder", "balance"], 21)
    assert lines[0] == ["900001", "old-900001", "<b>", str(folder), "1.00"]
    page = Page(read(place))
    assert page.line(f"{FOLDER} ({folder})")[:3] == ["6", "5", "−1"]
    assert page.line("old-900001") == ["<b>", "900001", str(folder), "1.00"]
    assert re.search(r"the totals of \d folders, tariffs and operators are others", read(place))
    beside.write_text("edited", encoding="utf-8")
    edited = await place.cli.closing("report", "check", REPORT, ends=1)
    assert edited["files"] == [name]


async def test_what_was_taken_back_is_not_counted(place: Place) -> None:
    run = await imported(place, 2)
    undo = str((await place.cli.closing("undo", run, "--yes"))["run"])
    verified = await place.cli("verify", run, may_end_with=(0, 1))
    assert "not counted beside the file: rows of this run were taken back" in " ".join(verified.out.split())
    await place.cli("report", undo, "-o", REPORT, "--lang", "en")
    assert "Not counted: rows of this run were taken back." in read(place)
    page = Page(read(place))
    assert page.line(f"entered by run {run}") == page.line("taken back since") == ["2", "4.00"]
    assert page.line("still in the billing") == ["0", "0.00"]
    assert f"2 of the 2 subscribers of run {run} are taken back, 4.00 in total" in read(place)


async def test_without_a_database_it_says_what_it_needs(place: Place) -> None:
    place.cli.environment["CARBON_MIGRATE_DATABASE"] = ""
    run = await imported(place, 2)
    # Said before anything is sent.
    again = await place.cli("plan", "import", place.write(table([subscriber(9)]), "more.csv"))
    assert "an undo cannot take back the opening balances of this run" in " ".join(again.out.split())
    verified = await place.cli("verify", run)
    assert "cannot be counted beside the file: this needs the billing's database" in " ".join(verified.out.split())
    await place.cli("report", run, "-o", REPORT, "--lang", "en")
    assert f"Not counted in the billing yet. carbon-migrate verify {run} does it" in read(place)
