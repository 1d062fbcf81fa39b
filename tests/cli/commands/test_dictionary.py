"""`dictionary`: names of a table are collected, proposed, written to be checked, and completed."""

import csv
from pathlib import Path

from tests.cli.conftest import Place, Typed

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
    assert made == {
        "file": str(table),
        "dictionary": "dictionary.csv",
        "rows": 4,
        "refused": 0,
        "names": 9,
        "open": 2,
        "near": 3,
        "matched": 4,
        "kinds": {
            "tariff": {"open": 1, "near": 1, "matched": 1},
            "service": {"open": 1, "near": 0, "matched": 1},
            "folder": {"open": 0, "near": 1, "matched": 1},
            "operator": {"open": 0, "near": 1, "matched": 1},
        },
        "kinds_without_names": [],
        "exit": 1,
        "error": None,
    }
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


def test_without_a_billing_nothing_is_proposed(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE + "A5;;;\n", encoding="utf-8")
    made = typed("dictionary", "table.csv", "-o", "made.csv")
    assert made.exit == 1
    assert "tariff      0 matched, 0 to confirm, 3 open" in made.out
    assert "Check the dictionary: 7 ids to fill in." in made.out
    assert "no billing is set, so nothing is proposed: give --api-url URL, and --database PATH" in made.out
    assert "1 row cannot be read, and its names are not in the dictionary" in made.out
    assert "carbon-migrate dictionary table.csv --dictionary made.csv -o made.csv --force" in made.out
    assert {row["id"] for row in rows_of(tmp_path / "made.csv")} == {""}


def test_a_map_says_which_column_holds_what(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("Договор;ФИО;Plan\nA1;И;Домашний\n", encoding="utf-8")
    assert typed("dictionary", "table.csv", "--map", "tarif_id=Plan").exit == 1
    assert [row["name"] for row in rows_of(tmp_path / "dictionary.csv")] == ["Домашний"]
    (tmp_path / "map.toml").write_text('[subscriber]\ntarif_id = "Plan"\n', encoding="utf-8")
    assert typed("dictionary", "table.csv", "--map", "map.toml", "-o", "other.csv").exit == 1
    assert rows_of(tmp_path / "other.csv") == rows_of(tmp_path / "dictionary.csv")
    two = typed("dictionary", "table.csv", "--map", "map.toml", "--map", "map.toml", "-o", "third.csv")
    assert (two.exit, "two map files are given" in two.err) == (2, True)


def test_what_cannot_be_used_is_refused_and_nothing_is_written(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "old.csv").write_text("kind;name;id\nplan;A;3\n", encoding="utf-8")
    for words, told in (
        (("missing.csv",), "missing.csv"),
        (("table.csv", "-o", "made.txt"), "made.txt: the name of the file says what it is to be"),
        (("table.csv", "--dictionary", "old.csv"), "line 2, column kind: there is no kind 'plan'"),
        (("table.csv", "--dictionary", "none.csv"), "none.csv"),
        (("table.csv", "--map", "no_such_field=Тариф"), "no_such_field"),
    ):
        typed.refused("dictionary", *words, says=told)
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["old.csv", "table.csv"]
    # A table without names needs no dictionary.
    (tmp_path / "table.csv").write_text("Договор;ФИО\nA1;И\n", encoding="utf-8")
    made = typed("dictionary", "table.csv")
    assert (made.exit, "The table has no names to look up." in made.out) == (0, True)
