"""Names of another billing: what is proposed for them, and the dictionary that a person gives back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from openpyxl import Workbook

from billing.directory.names import NamedObject
from engine.errors import InputRefused
from jobs.access.gateway import Gateway
from jobs.access.references import References
from jobs.imports import dictionary as of_names
from jobs.imports.dictionary import (
    COLUMNS,
    Dictionary,
    Match,
    Matcher,
    NameStanding,
    NamesUsed,
    check_dictionary,
    propose,
    read_dictionary,
)
from jobs.imports.fields import usual_fields
from jobs.imports.name_lookup import REMEMBERED, NameLookup
from jobs.imports.names_there import NamesThere, read_names
from jobs.imports.subscriber import Step
from tests.jobs.imports.conftest import made

HEADER = "kind;name;rows;first_line;id;name_here;match;others;checked\n"
NAMES_HERE = NamesThere.of(
    {
        "Tarif": [NamedObject(3, ("Тариф 3",)), NamedObject(100, ("Архив",)), NamedObject(5, ("100",))],
        "Folder": [
            NamedObject(89, ("Частный сектор",)),
            NamedObject(12, ("Дом",)),
            NamedObject(13, ("Дом/12", "12")),
        ],
    }
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "dictionary.csv"


def read(file: Path, *lines: str, header: str = HEADER) -> Dictionary:
    file.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    return read_dictionary(file)


def refused(file: Path, *lines: str, header: str = HEADER) -> list[str]:
    with pytest.raises(InputRefused) as caught:
        read(file, *lines, header=header)
    return str(caught.value).replace(str(file), "FILE").splitlines()


def looked_up(
    dictionary: Dictionary | None, *parts: tuple[Step, dict[str, str]], there: NamesThere = NAMES_HERE
) -> tuple[list[tuple[Step, dict[str, str]]], list[str]]:
    """The parts after the look-up, and the reasons of the faults."""
    done, faults = NameLookup(dictionary, usual_fields(), there)(made(2, *parts))
    found = [(part.step, {name: value.text for name, value in part.values.items()}) for part in done.parts]
    return found, [one.reason for one in faults]


# ---- the file ---------------------------------------------------------------------------------------------------


def test_names_become_ids(written: Path) -> None:
    dictionary = read(
        written,
        "tariff;Домашний  100;12;2;3;Тариф 3;equal;;",
        "Service;Аренда;;;301;;;;",
        "SNAT pool;NAT;;;1030;;near 80;;да",
        "operator;'=Связь;;;3;;;;",
    )
    parts, faults = looked_up(
        dictionary,
        (Step.SUBSCRIBER, {"name": "Аренда", "operator_id": "=Связь"}),
        (Step.ACCOUNT, {"login": "a", "snat_pull": "NAT"}),
        (Step.TARIFF, {"tarif_id": " Домашний 100"}),
        (Step.SERVICE, {"usluga_id": "Аренда"}),
    )
    assert faults == []
    assert parts == [
        (Step.SUBSCRIBER, {"name": "Аренда", "operator_id": "3"}),
        (Step.ACCOUNT, {"login": "a", "snat_pull": "1030"}),
        (Step.TARIFF, {"tarif_id": "3"}),
        (Step.SERVICE, {"usluga_id": "301"}),
    ]


def test_a_workbook_is_read_as_well(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["kind", "name", "id"], ["tariff", "Домашний", 3], ["tariff", "+100", 5]):
        sheet.append(row)
    book.save(tmp_path / "dictionary.xlsx")
    dictionary = read_dictionary(tmp_path / "dictionary.xlsx")
    assert looked_up(dictionary, (Step.TARIFF, {"tarif_id": "+100"})) == ([(Step.TARIFF, {"tarif_id": "5"})], [])
    assert len(dictionary.digest) == 64


def test_all_faults_of_a_file_are_said_with_line_and_column(written: Path) -> None:
    assert refused(
        written,
        "tariff;A;;;3;;;;",
        "tarif;B;;;3;;;;",
        "tariff;;;;3;;;;",
        "tariff;C;;;-5;;;;",
        "tariff;D;;;new;;;;",
        "folder;D;;;nothing;;;;",
        "tariff;A;;;4;;;;",
        "tariff;E;;;3;Тариф 3;near 80;;",
        "tariff;F;;;3;Тариф 3;id;;нет",
        "tariff;G;;;;;near 80;;",
        "folder;H;;;new;//;;;",
    ) == [
        "FILE: 9 entries of the dictionary have to be mended:",
        (
            "line 3, column kind: there is no kind 'tarif' (did you mean 'tariff'?); there are: tariff, service, "
            "folder, operator, administrator, attribute, pool, snat pool"
        ),
        "line 4, column name: it is empty",
        "line 5, column id: '-5' is not an id; write one, or none",
        "line 6, column id: 'new' is not an id; write one, or none",
        "line 7, column id: 'nothing' is not an id; write one, or new or none",
        "line 8, column id: 'A' has another id on line 2: leave one of the two lines",
        ("line 9, column checked: 'E' is only a proposal (near 80): write yes here if it is right, or another id"),
        "line 10, column checked: 'F' is only a proposal (id): write yes here if it is right, or another id",
        "line 12, column name_here: it is no path of a folder",
    ]


def test_a_name_may_stand_twice_with_one_id(written: Path) -> None:
    assert len(read(written, "tariff;A;;;3;;;;", "tariff;A;;;3;;;;", "service;A;;;7;;;;").entries) == 2


def test_another_table_is_no_dictionary(written: Path) -> None:
    (told,) = refused(written, "1;2", header="Договор;name\n")
    assert told == "FILE is no dictionary: it has no column kind, id; it has: Договор, name"


# ---- against the billing ----------------------------------------------------------------------------------------


async def test_ids_are_checked_in_the_billing_and_their_names_beside_them(gateway: Gateway, written: Path) -> None:
    there = await read_names(gateway)
    good = read(
        written,
        "tariff;A;;;3;тариф-3;equal;;",
        "folder;B;;;1400;Новостройки;equal;;",
        "folder;C;;;1400;Многоквартирные дома/Новостройки;equal;;",
        "folder;D;;;new;Новая;new;;да",
        "administrator;E;;;33;migration;equal;;",
        "service;F;;;none;;;;",
    )
    await check_dictionary(good, there, References(gateway))
    bad = read(written, "tariff;A;;;77;;;;", "tariff;B;;;3;Тариф 4;equal;;", "service;C;;;240;;;;")
    with pytest.raises(InputRefused) as caught:
        await check_dictionary(bad, there, References(gateway))
    assert str(caught.value).replace(str(written), "FILE").splitlines() == [
        "FILE: 2 entries of the dictionary have to be mended:",
        "line 2, column id: the billing has no tariff 77, or it is deleted",
        ("line 3, column name_here: the tariff 3 is 'Тариф 3' in this billing: correct the id, or empty this cell"),
    ]


# ---- the look-up ------------------------------------------------------------------------------------------------


def test_a_name_of_the_dictionary_goes_before_an_id(written: Path) -> None:
    dictionary = read(written, "tariff;100;;;3;;;;")
    assert looked_up(dictionary, (Step.TARIFF, {"tarif_id": "100"})) == ([(Step.TARIFF, {"tarif_id": "3"})], [])


def test_a_number_that_the_dictionary_lacks_is_no_id(written: Path) -> None:
    dictionary = read(written, "tariff;A;;;3;;;;")
    _, faults = looked_up(dictionary, (Step.TARIFF, {"tarif_id": "3"}))
    assert faults == [
        (
            f"the tariff '3' is not in {written}: add it there; "
            f"`carbon-migrate dictionary --dictionary {written}` does so"
        )
    ]
    # What the map gives for all rows is an id of this billing.
    assert looked_up(dictionary, (Step.TARIFF, {"tarif_id": "!3"})) == ([(Step.TARIFF, {"tarif_id": "3"})], [])


def test_without_names_of_a_kind_a_number_is_an_id_unless_it_is_a_name_too(written: Path) -> None:
    for dictionary in (None, read(written, "service;A;;;3;;;;")):
        assert looked_up(dictionary, (Step.TARIFF, {"tarif_id": "3"})) == ([(Step.TARIFF, {"tarif_id": "3"})], [])
        _, faults = looked_up(dictionary, (Step.TARIFF, {"tarif_id": "100"}))
        assert faults == [
            "'100' can be the id of a tariff, and it is the name of another one: say in a dictionary which is meant"
        ]
    _, faults = looked_up(None, (Step.TARIFF, {"tarif_id": "Домашний"}))
    assert faults == [
        (
            "'Домашний' is no id of a tariff, and there is no dictionary that says which it is: "
            "`carbon-migrate dictionary` makes one, and --dictionary FILE names it"
        )
    ]


def test_a_folder_is_there_or_to_be_made_or_left_out(written: Path) -> None:
    dictionary = read(
        written,
        "folder;Ленина 5;;;new;Частный сектор/Ленина 5;;;",
        "folder;Мира 1;;;new;;;;",
        "folder;Частный;;;89;;;;",
        "folder;Корень;;;none;;;;",
    )
    assert [
        looked_up(dictionary, (Step.FOLDER, {"path": name}))[0]
        for name in ("Ленина 5", "Мира 1", "Частный", "Корень")
    ] == [
        [(Step.FOLDER, {"path": "Частный сектор/Ленина 5"})],
        [(Step.FOLDER, {"path": "Мира 1"})],
        [(Step.FOLDER, {"id": "89"})],
        [],
    ]
    _, faults = looked_up(dictionary, (Step.FOLDER, {"path": "Мира 2"}))
    assert len(faults) == 1


def test_a_folder_that_is_given_for_all_rows_need_not_be_in_the_dictionary(written: Path) -> None:
    dictionary = read(written, "folder;Частный;;;89;;;;")
    given = [(Step.FOLDER, {"path": "!Проба"})]
    assert looked_up(dictionary, *given) == ([(Step.FOLDER, {"path": "Проба"})], [])
    assert looked_up(dictionary, (Step.FOLDER, {"path": "!Частный"})) == ([(Step.FOLDER, {"id": "89"})], [])


def test_without_a_dictionary_a_folder_keeps_its_path(written: Path) -> None:
    for dictionary in (None, read(written, "tariff;A;;;3;;;;")):
        kept = [(Step.FOLDER, {"path": "Частный сектор/Новая"})]
        assert looked_up(dictionary, *kept) == (kept, [])
        assert looked_up(dictionary, (Step.FOLDER, {"id": "89"})) == ([(Step.FOLDER, {"id": "89"})], [])
        _, faults = looked_up(dictionary, (Step.FOLDER, {"path": "12"}))
        assert faults == [
            "'12' can be the id of a folder, and it is the name of another one: say in a dictionary which is meant"
        ]


def test_what_is_left_out_leaves_its_part_out_or_its_value_alone(written: Path) -> None:
    dictionary = read(
        written,
        "service;Старая;;;none;;;;",
        "service;Аренда;;;301;;;;",
        "administrator;Петров;;;none;;;;",
        "operator;Никто;;;none;;;;",
    )
    parts, faults = looked_up(
        dictionary,
        (Step.SUBSCRIBER, {"name": "И", "operator_id": "Никто"}),
        (Step.SERVICE, {"usluga_id": "Старая", "manager_id": "Петров"}),
        (Step.SERVICE, {"usluga_id": "Аренда", "manager_id": "Петров"}),
    )
    assert (parts, faults) == ([(Step.SUBSCRIBER, {"name": "И"}), (Step.SERVICE, {"usluga_id": "301"})], [])


def test_a_name_without_an_id_is_explained_once_and_then_counted(written: Path) -> None:
    dictionary = read(written, "tariff;A;;;3;;;;", "tariff;Open;;;;;near 70;;")
    stage = NameLookup(dictionary, usual_fields(), NAMES_HERE)
    readings = [
        [
            stage(made(line, (Step.TARIFF, {"tarif_id": name})))[1][0].reason
            for line, name in enumerate(["Open", "Gone", "Open", "Open"], 2)
        ]
        for _ in range(2)
    ]
    told = readings[0]
    assert readings[1] == told
    assert told == [
        f"the tariff 'Open' has no id in {written}, line 3: fill it in",
        (
            f"the tariff 'Gone' is not in {written}: add it there; "
            f"`carbon-migrate dictionary --dictionary {written}` does so"
        ),
        "the tariff 'Open' has no id, as on line 2",
        "the tariff 'Open' has no id, as on line 2",
    ]
    assert [str(note) for note in stage.notes] == [
        "tariff 'Open' has no id: 3 rows, the first on line 2",
        "tariff 'Gone' has no id: 1 row, on line 3",
    ]


def test_what_is_remembered_of_names_without_an_id_is_bounded(written: Path) -> None:
    stage = NameLookup(read(written, "tariff;A;;;3;;;;"), usual_fields(), NAMES_HERE)
    for line in range(2, REMEMBERED + 12):
        stage(made(line, (Step.TARIFF, {"tarif_id": f"T{line}"})))
    assert len(stage.notes) == REMEMBERED + 1
    assert str(stage.notes[-1]) == "more names have no id: each is told with its row"


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
        assert names(made(line, (step, values)))[1] == ()
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
    monkeypatch.setattr(of_names, "MOST_USED", 3)
    with pytest.raises(InputRefused, match="the column tarif_id has more than 3 different values"):
        used_in(*((Step.TARIFF, {"tarif_id": f"T{number}"}) for number in range(4)))


HERE = Matcher(
    NamedObject(key, (name,))
    for key, name in enumerate(
        [
            "Домашний 50",
            "Домашний 100",
            "Безлимит",
            "Безлимит+",
            "Старт 2019",
            "Ночной",
            "Юрлица 10 Мбит/с",
            "Тариф 1",
            "Тариф 1,5",
            "Ёлка",
            "Ёлка",
        ],
        1,
    )
)
FOLDERS = Matcher(
    [
        NamedObject(1, ("Частный сектор",)),
        NamedObject(2, ("Частный сектор/Ленина 5", "Ленина 5")),
        NamedObject(3, ("Дома",)),
        NamedObject(4, ("Дома/Ленина 7", "Ленина 7")),
        NamedObject(5, ("Посёлок/Ленина 7", "Ленина 7")),
        NamedObject(6, ("Посёлок/Дома", "Дома")),
    ]
)


PROPOSED: Final[Mapping[Match, Mapping[str, int | None]]] = {
    # What differs in writing alone; the letters o, and T, are Latin ones.
    Match.EQUAL: {
        "Домашний 100": 2,
        "  ДОМАШНИЙ   100 ": 2,
        "домашний-100": 2,
        "«Домашний» №100": 2,
        "Безлимит": 3,
        "Безлимит +": 4,
        "Нoчнoй": 6,
        "Tариф 1.5": 9,
    },
    # What is alike, and never equal.
    Match.NEAR: {
        "Домашний 100 (архив)": 2,
        "100 Домашний": 2,
        "Домашнй 50": 1,
        "Start 2019": 5,
        "Nochnoy": 6,
        "Старт": 5,
        "Юр. лица 10Мбит": 7,
    },
    Match.ID: {" 7 ": 7},
    Match.SEVERAL: {"елка": None},
    # Another number is another tariff.
    Match.NONE: dict.fromkeys(
        ("Домашний 75", "Тариф 15", "Тариф 3", "Корпоративный", "", "+", "Хомяк", "9" * 20), None
    ),
}


def test_another_number_is_another_tariff_and_what_is_only_alike_is_never_equal() -> None:
    for match, names in PROPOSED.items():
        for name, found in names.items():
            proposal = HERE.propose(name)
            assert (proposal.match, proposal.found and proposal.found.id) == (match, found), name
            assert match is not Match.NEAR or 0 < proposal.likeness < 100
    assert [one.id for one in HERE.propose("елка").others] == [10, 11]


def test_of_several_near_ones_the_others_are_named() -> None:
    proposal = HERE.propose("Домашний")
    assert proposal.match is Match.NEAR
    assert proposal.found is not None
    assert {proposal.found.id, *(one.id for one in proposal.others)} == {1, 2}


@pytest.mark.parametrize(
    ("path", "match", "found"),
    [
        ("частный сектор / ленина, 5", Match.EQUAL, 2),
        ("Ленина 5", Match.EQUAL, 2),
        ("Дома", Match.EQUAL, 3),  # by its path, before the one of that name further down
        ("Ленина 7", Match.SEVERAL, None),
        ("Посёлок/Ленина 7", Match.EQUAL, 5),
    ],
)
def test_the_path_of_a_folder_goes_before_its_own_name(path: str, match: Match, found: int | None) -> None:
    proposal = FOLDERS.propose(path)
    assert (proposal.match, proposal.found and proposal.found.id) == (match, found)
