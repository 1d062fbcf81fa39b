"""What is proposed for the names of an input, and what of an earlier dictionary stays."""

from pathlib import Path

import pytest

from billing.directory.names import NamedObject
from engine.errors import InputRefused
from engine.rows import Row
from jobs.imports import proposals
from jobs.imports.dictionary import COLUMNS, read_dictionary
from jobs.imports.fields import usual_fields
from jobs.imports.names_there import NamesThere
from jobs.imports.proposals import NameStanding, NamesUsed, propose
from jobs.imports.subscriber import Part, Place, Step, Subscriber, Value

THERE = NamesThere.of(
    {
        "Tarif": [
            NamedObject(3, ("Домашний 100",)),
            NamedObject(4, ("Ночной",)),
            NamedObject(5, ("Старый",), deleted=True),
        ],
        "Usluga": [NamedObject(7, ("Аренда",)), NamedObject(8, ("аренда",))],
        "Folder": [NamedObject(89, ("Частный сектор",)), NamedObject(90, ("Мира 5/1",), above=("Частный сектор",))],
    }
)


def used_in(*rows: tuple[Step, dict[str, str]]) -> NamesUsed:
    names = NamesUsed(usual_fields())
    for line, (step, values) in enumerate(rows, 2):
        part = Part(
            step,
            {
                name: Value(text.lstrip("!"), Place() if text.startswith("!") else Place(line, name))
                for name, text in values.items()
            },
        )
        assert names(Subscriber(Row(line, ()), str(line), (part,)))[1] == ()
    return names


def rows_of(names: NamesUsed, there: NamesThere = THERE, old: Path | None = None) -> list[tuple[str, ...]]:
    before = None if old is None else read_dictionary(old, is_checked=False)
    rows = propose(names.names, there, before).rows
    return [tuple("" if cell is None else str(cell) for cell in row.cells) for row in rows]


TARIFFS = [
    (Step.TARIFF, {"tarif_id": "домашний 100"}),
    (Step.TARIFF, {"tarif_id": "Старый"}),
    (Step.TARIFF, {"tarif_id": " домашний  100"}),
    (Step.TARIFF, {"tarif_id": "Ночной (архив)"}),
    (Step.TARIFF, {"tarif_id": "!3"}),
]


def test_each_name_is_counted_with_its_first_line_and_what_it_probably_means() -> None:
    names = used_in(
        *TARIFFS,
        (Step.SERVICE, {"usluga_id": "АРЕНДА", "comment": "Аренда"}),
        (Step.FOLDER, {"path": "Частный сектор/Мира 5\\/1"}),
        (Step.FOLDER, {"path": "Новый/Ленина 1"}),
        (Step.SUBSCRIBER, {"operator_id": "Связь", "name": "Иванов"}),
    )
    assert rows_of(names) == [
        ("tariff", "Старый", "1", "3", "", "", "", "", ""),
        ("tariff", "Ночной (архив)", "1", "5", "4", "Ночной", "near 80", "", ""),
        ("tariff", "домашний 100", "2", "2", "3", "Домашний 100", "equal", "", ""),
        ("service", "АРЕНДА", "1", "7", "", "", "several", "7 Аренда; 8 аренда", ""),
        ("folder", "Новый/Ленина 1", "1", "9", "new", "Новый/Ленина 1", "new", "", ""),
        ("folder", "Частный сектор/Мира 5\\/1", "1", "8", "90", "Частный сектор/Мира 5\\/1", "equal", "", ""),
        ("operator", "Связь", "1", "10", "", "", "", "", ""),
    ]


def test_without_a_billing_nothing_is_proposed() -> None:
    names = used_in(*TARIFFS, (Step.FOLDER, {"path": "Новый"}))
    assert {cells[COLUMNS.index("id")] for cells in rows_of(names, NamesThere())} == {""}


def test_what_a_person_has_decided_stays(tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    old.write_text(
        "kind;name;id;name_here;match;checked\n"
        "tariff;Старый;4;Ночной;near 71;иа\n"
        "tariff;Ночной (архив);3;Домашний 100;near 70;\n"
        "tariff;домашний 100;none;;;\n"
        "tariff;Другой;4;;;\n"
        "tariff;Открытый;;;;\n",
        encoding="utf-8",
    )
    assert rows_of(used_in(*TARIFFS), old=old) == [
        ("tariff", "Открытый", "0", "", "", "", "", "", ""),
        ("tariff", "Ночной (архив)", "1", "5", "4", "Ночной", "near 80", "", ""),
        ("tariff", "домашний 100", "2", "2", "none", "", "", "", ""),
        ("tariff", "Старый", "1", "3", "4", "Ночной", "near 71", "", "иа"),
        ("tariff", "Другой", "0", "", "4", "", "", "", ""),
    ]


def test_what_is_still_to_be_done_is_counted() -> None:
    proposed = propose(used_in(*TARIFFS, (Step.FOLDER, {"path": "Новый"})).names, THERE)
    assert [proposed.count(one) for one in NameStanding] == [1, 2, 1]
    assert [proposed.count(one, "Folder") for one in NameStanding] == [0, 1, 0]
    assert proposed.kinds == ("Tarif", "Folder")


def test_a_column_of_other_things_is_no_column_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "MOST", 3)
    with pytest.raises(InputRefused, match="the column tarif_id has more than 3 different values"):
        used_in(*((Step.TARIFF, {"tarif_id": f"T{number}"}) for number in range(4)))
