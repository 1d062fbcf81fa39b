"""`import FILE --check`: all faults of a table at once, marked in a workbook that comes back corrected."""

from collections.abc import Mapping
from pathlib import Path

import openpyxl
import pytest

from cli.terminal.exits import Exit
from tests.cli.conftest import Place

HEADER = "Договор;ФИО;Телефон;E-mail;Папка;Тариф;Логин;IP;MAC;Услуга;Менеджер;Остаток"
FAULTS: Mapping[str, tuple[str, str, str]] = {
    # What the row has: the column of its fault, in English, in Russian.
    "1,23E+05;Иванов;;;;2;a2;;;127;33;0": ("Договор", "was shortened by a spreadsheet", "таблица сократила номер"),
    "123.0;Иванов;;;;2;a3;;;127;33;0": ("Договор", "was made an amount", "таблица сделала из номера сумму"),
    ";Иванов;;;;2;a4;;;127;33;0": ("Договор", "the cell is empty", "ячейка пуста"),
    "К-5;;;;;2;a5;;;127;33;0": ("ФИО", "the cell is empty", "ячейка пуста"),
    "К-6;Ива\u200bнов;;;;2;a6;;;127;33;0": ("ФИО", "the invisible character U+200B", "невидимый U+200B"),
    f"К-7;{'я' * 300};;;;2;a7;;;127;33;0": ("ФИО", "the billing's column holds", "в столбец биллинга помещается"),
    "К-8;Иванов;84951234567;;;2;a8;;;127;33;0": ("Телефон", "is not a Russian mobile", "не номер российского"),
    "К-9;Иванов;;ivan.ru;;2;a9;;;127;33;0": ("E-mail", "is not an e-mail address", "не адрес электронной почты"),
    "К-10;Иванов;;;;2;us\u0435r;;;127;33;0": ("Логин", "the Cyrillic letter 'е'", "русская буква 'е'"),
    "К-11;Иванов;;;;777;a11;;;127;33;0": ("Тариф", "the billing has no tariff 777", "в биллинге нет"),
    "К-12;Иванов;;;;2;a 12;;;127;33;0": ("Логин", "is a space, and a login has none", "в логине пробелов не бывает"),
    "К-13;Иванов;;;;2;a13;10.0.0.300;;127;33;0": ("IP", "is not an IPv4 address", "не адрес IPv4"),
    "К-14;Иванов;;;;2;a14;;zz;127;33;0": ("MAC", "is not a MAC address", "не MAC-адрес"),
    "К-15;Иванов;;;;2;a15;;;99999;33;0": ("Услуга", "the billing has no service 99999", "в биллинге нет"),
    "К-16;Иванов;;;;2;a16;;;127;33;1,234": ("Остаток", "can be read in two ways", "можно прочитать двояко"),
    "К-17;Иванов;;;;2;a17;;;127;33;0": ("Договор", "is also in line 18", "есть ещё здесь: строка файла 18"),
    "К-17 ;Иванов;;;;2;a18;;;127;33;0": ("Договор", "is also in line 17", "есть ещё здесь: строка файла 17"),
    "А19;Иванов;;;;2;a19;;;127;33;0": ("Договор", "looks like 'A19' in line 20", "похож на 'A19'"),
    "A19;Иванов;;;;2;a20;;;127;33;0": ("Договор", "looks like 'А19' in line 19", "похож на 'А19'"),
    "К-21;Иванов;;;;2;twice;;;127;33;0": ("Логин", "is also in line 22", "есть ещё здесь: строка файла 22"),
    "К-22;Иванов;;;;2;twice;;;127;33;0": ("Логин", "is also in line 21", "есть ещё здесь: строка файла 21"),
    "К-23;Иванов;;;;2;taken;;;127;33;0": ("Логин", "the login is that of", "логин в биллинге уже занят"),
    "К-24;Иванов;;;;2;a24;172.20.0.24;;127;33;0": (
        "IP",
        "is the address of the account taken",
        "у учётной записи taken",
    ),
}


@pytest.fixture
async def taken(place: Place) -> None:
    """An account of the billing whose login and address the table has for others."""
    ((owner,),) = place.query("select min(abonent_id) from users where deleted = 0")
    address = (172 << 24) + (20 << 16) + 24
    sql = "insert into users (id, abonent_id, login, ip) values (999001, ?, 'taken', ?)"
    await place.execute(sql, owner, address)


def table(place: Place, *rows: str) -> Path:
    return place.write("\n".join([HEADER, *rows]) + "\n", "subscribers.csv")


def listed(workbook: Path) -> list[tuple[str, str, str]]:
    """Line, column and reason of each fault in the sheet of faults."""
    sheet = openpyxl.load_workbook(workbook)["carbon_faults"]
    return [(str(row[0]), str(row[1]), str(row[4])) for row in sheet.iter_rows(min_row=2, values_only=True)]


@pytest.mark.usefixtures("taken")
async def test_every_kind_of_fault_is_named_with_line_and_column_in_both_languages(place: Place) -> None:
    file, faults = table(place, *FAULTS), place.cli.folder / "faults.xlsx"
    for language, which in (("en", 1), ("ru", 2)):
        arguments = ("import", file, "--check", "-o", faults, "--force", "--lang", language)
        await place.cli(*arguments, may_end_with=[Exit.REFUSED])
        found = listed(faults)
        wanted = [(str(line), told[0], told[which]) for line, told in enumerate(FAULTS.values(), 2)]
        assert [(line, column) for line, column, _ in found] == [(line, column) for line, column, _ in wanted]
        assert [text for (_, _, reason), (_, _, text) in zip(found, wanted, strict=True) if text not in reason] == []
    assert not place.cli.journal.exists()


async def test_faults_are_grouped_by_kind_with_their_first_lines(place: Place) -> None:
    rows = [f"Н-{line};Иванов;123;;;2;u{line};;;127;33;0" for line in range(2, 15)]
    ended = await place.cli("import", table(place, *rows), "--check", may_end_with=[Exit.REFUSED])
    assert "✗ 13 rows of" in ended.out
    assert "✗ Телефон, lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more: '123' is not a Russian mobile" in ended.out
    assert "Nothing was sent." in ended.out
    closing = await place.cli.closing("import", "subscribers.csv", "--check", ends=Exit.REFUSED)
    assert closing["file"] == "subscribers.csv"
    (group,) = closing["faults"]
    assert (group["column"], group["count"], group["lines"]) == ("Телефон", 13, list(range(2, 12)))
    assert (closing["exit"], closing["rows"], closing["faulty_rows"], closing["workbook"]) == (2, 13, 13, None)


async def test_a_clean_table_has_exit_code_0_and_tells_what_is_to_be_looked_at(place: Place) -> None:
    rows = [f"Н-{line};Иванов;89161234567;;;2;u{line};;;127;33;0" for line in (2, 3)]
    ended = await place.cli.closing("import", table(place, *rows), "--check")
    assert ended["faults"] == []
    (group,) = ended["warnings"]
    assert (group["column"], group["lines"], group["reason"]) == (
        "Телефон",
        [2, 3],
        "'+79161234567' is also in line 3",
    )
    assert (ended["exit"], ended["doubtful_rows"], ended["error"]) == (0, 2, None)


async def test_a_marked_workbook_is_corrected_and_imported_in_place_of_the_table(place: Place) -> None:
    rows = [
        "0990777;Иванов;84951234567;;;2;ivanov;;;;;0",
        "0990778;Петров;;;;2;ivanov;;;;;-12,5",
        "0990779;Яшин;;;;2;y;;;;;1",
    ]
    faults = place.cli.folder / "faults.xlsx"
    await place.cli("import", table(place, *rows), "--check", "-o", faults, may_end_with=[Exit.REFUSED])
    again = await place.cli.closing("import", faults, "--check", ends=Exit.REFUSED)
    assert [(one["column"], one["lines"]) for one in again["faults"]] == [("Логин", [2, 3]), ("Телефон", [2])]
    book = openpyxl.load_workbook(faults)
    sheet = book.worksheets[0]
    assert "is not a Russian mobile" in sheet["C2"].comment.text
    sheet["C2"], sheet["G3"] = "+7 916 123-45-67", "petrov"
    book.save(faults)
    await place.cli("import", faults, "--yes")
    found = place.billing.database.query(
        "select contract_number, name, sms from abonents where contract_number starting with '09907' order by 1"
    )
    assert [tuple(row) for row in found] == [
        ("0990777", "Иванов", "+79161234567"),
        ("0990778", "Петров", None),
        ("0990779", "Яшин", None),
    ]


async def test_a_joined_table_is_marked_on_a_sheet_of_its_own_and_comes_back(place: Place) -> None:
    file = place.write("Договор;ФИО\nН-2;Иванов\nН-3;Петров\n", "subscribers.csv")
    accounts = place.write("Договор;Логин;IP\nН-2;ivanov;10.0.0.300\nН-9;petrov;\n", "accounts.csv")
    faults = place.cli.folder / "faults.xlsx"
    arguments = ("import", file, "--accounts", accounts, "--check", "-o", faults, "--json")
    closing = (await place.cli(*arguments, may_end_with=[Exit.REFUSED])).closing
    first, other = closing["faults"]
    assert (first["table"], first["column"], first["lines"]) == (str(accounts), "IP", [2])
    assert "accounts.csv, line 3, column Договор: the main table has no such contract number" in other["reason"]
    assert (closing["rows"], closing["faulty_rows"], closing["joined_rows"]) == (2, 1, 1)
    book = openpyxl.load_workbook(faults)
    assert [cell.value for cell in book.worksheets[0]["A"]] == ["Договор", "Н-2", "Н-3"]
    sheet = book["accounts"]
    assert "is not an IPv4 address" in sheet["C2"].comment.text
    assert sheet["A3"].comment.text == "the main table has no such contract number"
    sheet["C2"], sheet["A3"] = "172.20.0.2", "Н-3"
    book.save(faults)
    await place.cli("import", faults, "--accounts", faults, "--yes")
    found = place.query("select login from users where login in ('ivanov', 'petrov') order by 1")
    assert [login for (login,) in found] == ["ivanov", "petrov"]


async def test_an_import_makes_the_same_checks_before_anything_is_sent(place: Place) -> None:
    rows = [
        "Н-2;Иванов;;;;2;twice;;;;;1",
        "Н-3;Петров;12;;;2;b;;;;;1",
        "Н-4;Яшин;;;;2;c;;;;;1",
        "Н-5;Яшин;;;;2;twice;;;;;1",
    ]
    await place.cli.refused("import", table(place, *rows), "--yes", says="'twice' is also in line 5")
    assert place.billing.ledger.effects("Abonents") == {}
    await place.cli("import", "subscribers.csv", "--yes", "--skip-bad", may_end_with=[Exit.REJECTED])
    created = place.billing.database.query(
        "select contract_number from abonents where contract_number starting with 'Н-'"
    )
    assert [number for (number,) in created] == ["Н-4"]


async def test_what_cannot_be_written_is_refused_before_anything_is_read(place: Place) -> None:
    place.write("", "there.xlsx")
    file = table(place, *FAULTS)
    for arguments, why in (
        (["-o", "faults.xlsx"], "-o names the workbook of --check, and that is not given"),
        (["--check", "-o", "faults.csv"], "faults.csv: a checked table is written as a workbook; name it .xlsx"),
        (["--check", "-o", "there.xlsx"], "there.xlsx is there already"),
        (["--check", "--save", "job.toml"], "--check sends nothing and begins no run: leave --save out"),
    ):
        await place.cli.refused("import", file, *arguments, says=why)
