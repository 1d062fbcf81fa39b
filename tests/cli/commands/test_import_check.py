"""`import FILE --check`: all faults of a table at once, marked in a workbook that comes back corrected."""

import csv
import re
import shlex
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


async def test_a_sample_has_no_row_that_another_row_of_the_table_contradicts(place: Place) -> None:
    twins = ("Н-2;Иванов;;;;2;u2;;;127;33;0", "Н-2;Петров;;;;2;u3;;;127;33;0")
    file = table(place, *twins, "Н-4;Сидоров;;;;2;u4;;;127;33;0")
    planned = await place.cli("plan", "import", file, "--set", "sample=3", "--json")
    planned.saying("2 rows have faults")
    assert planned.closing["refused"] == 0


async def test_a_dictionary_for_a_russian_reader_is_read_back_by_anybody(place: Place) -> None:
    file = table(place, "Н-2;Иванов;;;Улица/Дом;Тариф-2;u2;;;127;33;0")
    await place.cli("dictionary", file, "-o", "имена.csv", "--lang", "ru", may_end_with=[1])
    names = place.cli.folder / "имена.csv"
    header, *rows = names.read_text(encoding="utf-8-sig").splitlines()
    assert header == "вид;название;строк;первая_строка;id;название_здесь;совпадение;другие;проверено"
    assert "тариф;Тариф-2;1;2;2;Тариф 2;равно;;" in rows
    assert "папка;Улица/Дом;1;2;новая;Улица/Дом;новая;;" in rows
    check = ("import", file, "--dictionary", names, "--check")
    told = (await place.cli.closing(*check, ends=Exit.REFUSED))["faults"]
    assert {(one["column"], one["count"]) for one in told} == {("проверено", 3)}
    names.write_text(
        names.read_text(encoding="utf-8-sig").replace("новая;;", "новая;;да").replace(";id;;", ";id;;да"),
        encoding="utf-8",
    )
    assert (await place.cli.closing(*check))["faults"] == []


async def test_proposals_that_nobody_has_confirmed_are_named_beside_the_faults_of_the_rows(place: Place) -> None:
    rows = ["Н-2;Иванов;12;;;Дом;u2;;;127;33;0", "Н-3;Петров;;;;Дом;u3;;;127;33;0"]
    names = place.write("kind;name;id;match;checked\ntariff;Дом;2;near 84;\n", "names.csv")
    faults = place.cli.folder / "faults.xlsx"
    command = ("import", table(place, *rows), "--dictionary", names)
    closing = await place.cli.closing(*command, "--check", "-o", faults, ends=Exit.REFUSED)
    assert (closing["rows"], closing["faulty_rows"], closing["joined_rows"]) == (2, 1, 0)
    told = {(one["column"], one["table"] and Path(one["table"]).name): one["lines"] for one in closing["faults"]}
    assert told == {("Телефон", None): [2], ("checked", "names.csv"): [2]}
    assert [(line.rpartition("/")[2], column) for line, column, _ in listed(faults)] == [
        ("2", "Телефон"),
        ("names.csv:2", "checked"),
    ]
    table(place, *rows[1:])
    closing = await place.cli.closing(*command, "--check", ends=Exit.REFUSED)
    assert closing["error"] == (
        f"1 name of the dictionary is only a proposal: with it, nothing in {command[1]} is wrong"
    )
    await place.cli.refused(*command, "--yes", says="'Дом': ")


OF_AN_UNKNOWN_PROGRAM = """\
№ дог.;Абонент;Район;Тел.;Тариф;Услуги;Сальдо на 31.10;Начислено за октябрь;Логин PPPoE;Пароль;Паспорт
Н-1;Иванова Анна;Дачи;8 (900) 000-00-01;Домашний;;-12,50;300,00;new1;pass-1;4500 1
Н-2;Петров Пётр;Дачи;2-15-02;Домашний;Роутер;0,00;300,00;new2;pass-2;4500 2
Н-3;Яшин Олег;Центр;+79000000003, 2-15-03;Ночной;Роутер, Цифровое ТВ;20,00;450,00;new3;pass-3;
Н-4;Орлов Иван;Центр;;Ночной;Цифровое ТВ;;450,00;new4;;4500 4
Н-5;Котов Глеб;Центр;;Ночной;Цифровое ТВ, Роутер;40,00;450,00;new5;pass-5;
"""
MAP = """
[subscriber]
folder = "Район"
sms = ""

[account]
login = "Логин PPPoE"

[[service]]
usluga_id = {{ column = "Услуги", split = "," }}
manager_id = {{ value = "{manager}" }}

[[attribute]]
attribute_id = {{ value = "{attribute}" }}
attribute_value = "Паспорт"
"""


async def test_one_check_of_an_unknown_export_tells_all_that_its_import_needs(place: Place) -> None:
    place.write(OF_AN_UNKNOWN_PROGRAM, "export.csv")
    closing = await place.cli.closing("import", "export.csv", "--check", ends=Exit.REFUSED)
    # What the header lacks, with what this billing has for it, and what may have been forgotten.
    (refusal,) = closing["refusals"]
    assert "no column manager_id" in refusal
    assert refusal.endswith("the billing has: 1 Администратор, 33 Миграция, 34 Поддержка")
    account, money = closing["notes"]
    assert account.startswith(
        "no account is made of Пароль, as no column is login: say which one is with --map login="
    )
    assert money == (
        "Начислено за октябрь: this looks like money, and is not used; the opening balance is Сальдо на 31.10"
    )
    assert closing["unused_columns"] == ["Район", "Начислено за октябрь", "Логин PPPoE", "Пароль", "Паспорт"]
    # Each kind of fault once, counted in subscribers.
    told = {(one["column"], one["cell"]): (one["subscribers"], one["others"]) for one in closing["faults"]}
    assert told == {
        ("Тариф", "Домашний"): (5, ["Ночной"]),
        ("Услуги", "Роутер"): (2, ["Цифровое ТВ"]),
        ("Услуги", "Роутер, Цифровое ТВ"): (2, []),
        ("Тел.", "2-15-02"): (1, []),
        ("Тел.", "+79000000003, 2-15-03"): (1, []),
    }
    (several,) = [one["reason"] for one in closing["faults"] if one["cell"] == "Роутер, Цифровое ТВ"]
    assert several.endswith('this under [[service]] splits it: usluga_id = { column = "Услуги", split = "," }')
    assert closing["error"].startswith("none of the 5 subscribers of export.csv can be imported yet; 5 of them have")
    # What was asked for and is declined is not asked for again.
    declined = ("--map", "login=", "--map", "op_summa=", "--map", "usluga_id=")
    answered = await place.cli.closing("import", "export.csv", "--check", *declined, ends=Exit.REFUSED)
    assert (answered["refusals"], answered["notes"]) == ([], [])
    # The command that it advises works as it is.
    shown = (await place.cli("import", "export.csv", "--check", may_end_with=[Exit.REFUSED])).out
    (advised,) = re.findall(r"`carbon-migrate (dictionary .*?)`", shown)
    await place.cli(*shlex.split(advised), may_end_with=[Exit.REJECTED])
    assert {row["name"] for row in rows_of(place.cli.folder / "dictionary.csv")} >= {"Ночной", "Роутер"}


async def test_constants_of_a_map_are_looked_up_by_their_names_and_a_wrong_one_is_told_by_its_place(
    place: Place,
) -> None:
    place.write(OF_AN_UNKNOWN_PROGRAM, "export.csv")
    names = "tariff;Домашний;2\ntariff;Ночной;3\nservice;Роутер;127\nservice;Цифровое ТВ;126\n"
    place.write(f"kind;name;id\n{names}", "names.csv")
    place.write(MAP.format(manager="Миграцыя", attribute="Паспорт"), "map.toml")
    command = ("import", "export.csv", "--map", "map.toml", "--dictionary", "names.csv")
    closing = await place.cli.closing(*command, "--check", ends=Exit.REFUSED)
    manager, attribute = (one.partition("map.toml, ")[2] for one in closing["refusals"])
    assert manager == (
        "line 11, column 1: manager_id: the billing has no administrator 'Миграцыя' (did you mean 'Миграция'?); it "
        "has: 1 Администратор, 33 Миграция, 34 Поддержка"
    )
    assert attribute == (
        "line 14, column 1: attribute_id: the billing has no attribute 'Паспорт' (did you mean 'Номер паспорта'?); "
        "it has: 1014 Код домофона, 7 Льгота, 1012 Мессенджер, 1013 Номер паспорта, 99 Примечание"
    )
    assert (closing["faulty_rows"], closing["faults"]) == (5, [])
    await place.cli.refused(*command, "--yes", says="the billing has no administrator 'Миграцыя'")
    # The second try enters all of it.
    place.write(MAP.format(manager="миграция", attribute="Номер паспорта"), "map.toml")
    done = await place.cli.closing(*command, "--yes")
    assert done["subscribers"] == {"all": 5, "not_settled": 0, "with_rejected_steps": 0, "different": 0}
    assert {step: states.get("accepted") for step, states in done["by_step"].items()} == {
        "folder": 2,
        "subscriber": 5,
        "account": 5,
        "tariff": 5,
        "service": 6,
        "attribute": 3,
        "balance": 3,
    }
    of_ours = "from {} t join abonents a on a.id = t.abonent_id where a.contract_number starting with 'Н-'"
    assert place.query("select distinct t.manager_id " + of_ours.format("users_usluga")) == [(33,)]
    assert place.query("select distinct t.attribute_id " + of_ours.format("attribute_values")) == [(1013,)]


async def test_a_check_names_what_the_plan_would_refuse_and_the_faults_of_a_dictionary_too(place: Place) -> None:
    await place.execute("insert into abonents (id, is_folder, name, deleted) values (999101, 1, 'Двойная', 0)")
    await place.execute("insert into abonents (id, is_folder, name, deleted) values (999102, 1, 'Двойная', 0)")
    place.write("Договор;ФИО;Папка;Тариф\nН-1;Иванов;Двойная;Дом\nН-2;Петров;;Дом\n", "subs.csv")
    place.write("kind;name;id\ntariff;Дом;2\nservice;ТВ;77777\n", "names.csv")
    command = ("import", "subs.csv", "--dictionary", "names.csv", "--check")
    closing = await place.cli.closing(*command, ends=Exit.REFUSED)
    told = {(one["column"], tuple(one["lines"])): one["reason"] for one in closing["faults"]}
    assert "is there 2 times" in told["Папка", (2,)]
    # A name that is still open in the dictionary is another kind than one that it lacks.
    place.write("kind;name;id\ntariff;Дом;\n", "open.csv")
    place.write("Договор;ФИО;Тариф\nН-1;Иванов;Дом\nН-2;Петров;Ночь\nН-3;Орлов;День\nН-4;Яшин;Дом\n", "more.csv")
    more = await place.cli.closing("import", "more.csv", "--dictionary", "open.csv", "--check", ends=Exit.REFUSED)
    assert sorted((one["cell"], one["others"], one["lines"]) for one in more["faults"]) == [
        ("Дом", [], [2, 5]),
        ("Ночь", ["День"], [3, 4]),
    ]
    assert "the billing has no service 77777" in told["id", (3,)]
    assert (closing["faulty_rows"], closing["rows"]) == (1, 2)


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


# ---- names of a table are collected, proposed, checked, and completed ----------------------------------------------

TABLE = """Договор;ФИО;Тариф;Папка;Оператор;Логин
A1;Иванов;тариф-2;Новостройки;Старый оператор;a1
A2;Петров;тариф-2;Ленина 5;Новый оператр;a2
A3;Сидоров;Тариф 3 (архив);Ленина 5;Старый оператор;a3
A4;Ёлкин;Безлимит;Ленина 5;Старый оператор;a4
"""
SERVICES = "Договор;Услуга\nA1;Аренда роутера\nA2;=Антивирус\n"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


async def test_a_dictionary_is_proposed_checked_and_completed(place: Place) -> None:
    table, services = place.write(TABLE, "table.csv"), place.write(SERVICES, "services.csv")
    given = (table, "--services", services, "--map", "manager_id:=33")
    made = await place.cli.closing("dictionary", *given, ends=1)
    file = place.cli.folder / "dictionary.csv"
    counts = {name: made[name] for name in ("rows", "refused", "names", "open", "near", "matched", "exit")}
    assert counts == {"rows": 4, "refused": 0, "names": 9, "open": 2, "near": 3, "matched": 4, "exit": 1}
    assert made["kinds"]["tariff"] == {"open": 1, "near": 1, "matched": 1}
    assert made["kinds"].keys() == {"tariff", "service", "folder", "operator"}
    rows = rows_of(file)
    assert [(row["name"], row["rows"], row["first_line"], row["id"], row["match"].split(" ")[0]) for row in rows] == [
        ("Безлимит", "1", "5", "", ""),
        ("Тариф 3 (архив)", "1", "4", "3", "near"),
        ("тариф-2", "2", "2", "2", "equal"),
        ("'=Антивирус", "1", "3", "", ""),
        ("Аренда роутера", "1", "2", "301", "equal"),
        ("Ленина 5", "3", "3", "new", "new"),
        ("Новостройки", "1", "2", "1400", "equal"),
        ("Новый оператр", "1", "3", "1444", "near"),
        ("Старый оператор", "3", "2", "3", "equal"),
    ]
    # A person fills in what is open, and confirms what is near.
    for row in rows:
        row["id"] = row["id"] or "none"
        row["checked"] = "" if row["match"] == "equal" else "да"
    rows[0]["id"] = "6"
    write(file, rows)
    refused = await place.cli("dictionary", table, may_end_with=[2])
    assert "dictionary.csv is there already: name another file, or give --force" in refused.words
    again = await place.cli("dictionary", *given, "--dictionary", file, "-o", file, "--force")
    assert "All names have their ids." in again.out
    tables = f"{table} --map manager_id:=33 --services {services} --dictionary {file}"
    assert f"carbon-migrate import {tables} --sample 20 --folder NAME" in again.out
    assert {row["name"]: row["id"] for row in rows_of(file)} == {row["name"]: row["id"] for row in rows}


async def test_what_the_billing_does_not_tell_is_said(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    made = await place.cli("dictionary", place.write(TABLE, "table.csv"), may_end_with=[1])
    assert "operator: the billing does not tell these names; look the ids up there, and fill them in" in made.out
    assert "tariff      1 matched, 1 to confirm, 1 open" in made.out
