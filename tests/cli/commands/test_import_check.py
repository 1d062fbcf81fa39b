"""`import FILE --check`: all faults of a table at once, marked in a workbook that comes back corrected.

`transcripts/billing/import-check.txt` has what is said of tables and of dictionaries.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import openpyxl
import pytest

from cli.terminal.exits import Exit
from engine.job import FAULTS as SHEETS
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
    "К-16;Иванов;;;;2;a16;;;127;33;1,234": ("Остаток", "has three decimals, or", "три знака после запятой"),
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


def listed(workbook: Path, sheet_name: str = "carbon_faults") -> list[tuple[str, str, str]]:
    """Line, column and reason of each fault in the sheet of faults."""
    sheet = openpyxl.load_workbook(workbook)[sheet_name]
    return [(str(row[0]), str(row[1]), str(row[4])) for row in sheet.iter_rows(min_row=2, values_only=True)]


@pytest.mark.usefixtures("taken")
async def test_every_kind_of_fault_is_named_with_line_and_column_in_both_languages(place: Place) -> None:
    file, faults = table(place, *FAULTS), place.cli.folder / "faults.xlsx"
    for language, which in (("en", 1), ("ru", 2)):
        arguments = ("import", file, "--check", "-o", faults, "--force", "--lang", language)
        await place.cli(*arguments, may_end_with=[Exit.REFUSED])
        found = listed(faults, SHEETS[which - 1])
        wanted = [(str(line), told[0], told[which]) for line, told in enumerate(FAULTS.values(), 2)]
        assert [(line, column) for line, column, _ in found] == [(line, column) for line, column, _ in wanted]
        assert [text for (_, _, reason), (_, _, text) in zip(found, wanted, strict=True) if text not in reason] == []
    assert not place.cli.journal.exists()


async def test_a_marked_workbook_is_corrected_and_imported_in_place_of_its_tables(place: Place) -> None:
    rows = ["0990777;Иванов;84951234567;;;2;;;;;;0", "0990778;Петров;;;;2;;;;;;-12,5", "0990779;Яшин;;;;2;y;;;;;1"]
    lines = "0990777;ivanov;10.0.0.300\n0990778;ivanov;\n0990999;petrov;\n"
    accounts = place.write(f"Договор;Логин;IP\n{lines}", "accounts.csv")
    faults = place.cli.folder / "faults.xlsx"
    file = table(place, *rows)
    check = ("import", file, "--accounts", accounts, "--check", "-o", faults)
    closing = await place.cli.closing(*check, ends=Exit.REFUSED)
    assert (closing["file"], closing["rows"], closing["faulty_rows"], closing["joined_rows"]) == (str(file), 3, 2, 1)
    told = {
        (Path(one["table"] or file).name, one["column"]): (one["count"], one["lines"]) for one in closing["faults"]
    }
    assert told == {
        ("subscribers.csv", "Телефон"): (1, [2]),
        ("accounts.csv", "IP"): (1, [2]),
        ("accounts.csv", "Логин"): (2, [2, 3]),
        ("subscribers.csv", None): (1, []),
    }
    assert "accounts.csv, line 4, column Договор: the main table has no such contract number" in str(closing)
    again = await place.cli.closing("import", faults, "--accounts", faults, "--check", ends=Exit.REFUSED)
    assert {(one["column"], one["count"]) for one in again["faults"]} == {
        *(("Логин", 2), ("Телефон", 1), ("IP", 1), (None, 1)),
    }
    book = openpyxl.load_workbook(faults)
    sheet, joined = book.worksheets[0], book["accounts"]
    assert "is not a Russian mobile" in sheet["C2"].comment.text
    assert "is not an IPv4 address" in joined["C2"].comment.text
    assert joined["A4"].comment.text == "the main table has no such contract number"
    sheet["C2"], joined["C2"] = "+7 916 123-45-67", "172.20.0.2"
    joined["B3"], joined["A4"] = "petrov", "0990779"
    joined["B4"] = "yashin"
    book.save(faults)
    await place.cli("import", faults, "--accounts", faults, "--yes")
    found = place.query(
        "select a.contract_number, a.name, a.sms, min(u.login) from abonents a join users u on u.abonent_id = a.id "
        "where a.contract_number starting with '09907' group by 1, 2, 3 order by 1"
    )
    assert found == [
        ("0990777", "Иванов", "+79161234567", "ivanov"),
        ("0990778", "Петров", None, "petrov"),
        ("0990779", "Яшин", None, "yashin"),
    ]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
