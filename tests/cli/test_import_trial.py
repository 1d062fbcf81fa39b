"""The trial of an import: names checked, few rows into a test folder, looked at, taken back, and then all of them."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.cli.conftest import Place

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

PEOPLE: Final = (
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


def people(place: Place) -> dict[str, tuple[Any, ...]]:
    """The subscribers that were imported: folder, tariff, balance in kopecks."""
    return {number: tuple(rest) for number, *rest in place.query(PEOPLE)}


def write_tables(place: Place) -> Path:
    place.write(TABLE, "subs.csv")
    place.write(SERVICES, "services.csv")
    return place.write(NAMES, "names.csv")


async def proposed_and_checked(place: Place) -> None:
    """Let the program propose the dictionary, and check it as a person would."""
    file = write_tables(place)
    await place.cli("dictionary", *FILES[:3], "-o", file, "--force", may_end_with=[1])
    with file.open(encoding="utf-8-sig", newline="") as read:
        rows = list(csv.DictReader(read, delimiter=";"))
    for row in rows:
        if row["name"] == "Частный":
            row |= {"id": "89", "name_here": "", "match": ""}
        row["checked"] = "да"
    with file.open("w", encoding="utf-8", newline="") as written:
        writer = csv.DictWriter(written, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


async def test_a_trial_is_looked_at_taken_back_done_again_and_then_done_whole(place: Place) -> None:
    await proposed_and_checked(place)
    trials = []
    for _ in range(2):
        trial = await place.cli.closing("import", *TRIAL, "--yes")
        trials.append(trial["by_step"])
        assert trial["left_out"] == {"--sample": 3}
        assert people(place) == {
            "П-01": ("Проба", 1, 1050),
            "П-02": ("Проба", 2, -700),
            "П-03": ("Проба", 1, 300),
            "П-04": ("Проба", 2, 0),
            "П-05": ("Проба", 1, 500),
        }
        assert place.query(SERVICES_THERE) == [("П-01",)]
        await place.cli("verify", trial["run"])
        await place.cli("undo", trial["run"], "--yes")
        assert (people(place), place.query(FOLDERS), place.query(SERVICES_THERE)) == ({}, [], [])
    assert trials[0] == trials[1]
    whole = await place.cli.closing("import", *FILES, "--yes", "--skip-bad", ends=1)
    assert (whole["refused"], whole["left_out"]) == (1, {})
    there = people(place)
    # Each subscriber of a trial was made three times in all, each other once, and nothing of a trial is left.
    assert Counter(folder for folder, _, _ in there.values()) == {"Частный сектор": 6, "Ленина 5": 1}
    assert sum(balance for _, _, balance in there.values()) == 1450
    assert place.query(SERVICES_THERE) == [("П-01",), ("П-06",)]
    assert place.query(FOLDERS) == [("Ленина 5",)]


async def test_a_trial_that_is_left_standing_is_completed_and_not_moved(place: Place) -> None:
    write_tables(place)
    planned = await place.cli("plan", "import", "subs.csv", "--set", "sample=2", "--set", "dictionary=names.csv")
    planned.saying(
        [
            "a sample of 2 rows out of 8: ",
            "not in the sample: ",
            "1 row has faults and is not chosen from",
        ]
    )
    assert "6 rows by --sample" in planned.out
    await place.cli("import", *TRIAL, "--yes")
    whole = await place.cli.closing("import", *FILES, "--yes", "--skip-bad", ends=1)
    assert whole["by_step"]["subscriber"] == {"accepted": 2, "skipped: there already, and different": 5}
    assert Counter(folder for folder, _, _ in people(place).values()) == {"Проба": 5, "Частный сектор": 2}
    assert sum(balance for _, _, balance in people(place).values()) == 1450


async def test_a_name_without_an_id_is_told_with_its_first_line_and_counted(place: Place) -> None:
    write_tables(place)
    more = "".join(f"П-1{number};Иванов Иван;Ночной;Частный;;;\n" for number in range(4))
    place.write(TABLE + more, "subs.csv")
    says = [
        "tariff 'Ночной' has no id: 4 rows, the first on line 10",
        "a dictionary gives names their ids: `carbon-migrate dictionary FILE --dictionary ",
    ]
    refused = await place.cli.refused("import", *FILES, "--json", says=says)
    assert refused.words.count("the tariff 'Ночной' is not in ") == 1
    assert people(place) == {}
