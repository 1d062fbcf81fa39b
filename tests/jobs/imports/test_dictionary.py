"""A dictionary as a person gives it back: read, checked against the billing, and used."""

from pathlib import Path

import pytest
from openpyxl import Workbook

from billing.directory.names import NamedObject
from engine.errors import InputRefused
from engine.rows import Row
from jobs.access.gateway import Gateway
from jobs.access.references import References
from jobs.imports.dictionary import Dictionary, check_dictionary, read_dictionary
from jobs.imports.fields import usual_fields
from jobs.imports.name_lookup import REMEMBERED, NameLookup
from jobs.imports.names_there import NamesThere, read_names
from jobs.imports.subscriber import Part, Place, Step, Subscriber, Value

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


def subscriber(line: int, *parts: tuple[Step, dict[str, str]]) -> Subscriber:
    """A subscriber whose values stand in columns of their own names; a value with a ! before it is a constant."""
    return Subscriber(
        Row(line, ()),
        f"N{line}",
        tuple(
            Part(
                step,
                {
                    name: Value(text.lstrip("!"), Place() if text.startswith("!") else Place(line, name))
                    for name, text in values.items()
                },
            )
            for step, values in parts
        ),
    )


def looked_up(
    dictionary: Dictionary | None, *parts: tuple[Step, dict[str, str]], there: NamesThere = NAMES_HERE
) -> tuple[list[tuple[Step, dict[str, str]]], list[str]]:
    """The parts after the look-up, and the reasons of the faults."""
    done, faults = NameLookup(dictionary, usual_fields(), there)(subscriber(2, *parts))
    made = [(part.step, {name: value.text for name, value in part.values.items()}) for part in done.parts]
    return made, [one.reason for one in faults]


# ---- the file ---------------------------------------------------------------------------------------------------


def test_names_become_ids(written: Path) -> None:
    dictionary = read(
        written,
        "tariff;Домашний  100;12;2;3;Тариф 3;equal;;",
        "Service;Аренда;;;301;;;;",
        "SNAT pool;NAT;;;1030;;near 80;;да",
        "operator;'=Связь;;;3;;;;",
    )
    made, faults = looked_up(
        dictionary,
        (Step.SUBSCRIBER, {"name": "Аренда", "operator_id": "=Связь"}),
        (Step.ACCOUNT, {"login": "a", "snat_pull": "NAT"}),
        (Step.TARIFF, {"tarif_id": " Домашний 100"}),
        (Step.SERVICE, {"usluga_id": "Аренда"}),
    )
    assert faults == []
    assert made == [
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
    made, faults = looked_up(
        dictionary,
        (Step.SUBSCRIBER, {"name": "И", "operator_id": "Никто"}),
        (Step.SERVICE, {"usluga_id": "Старая", "manager_id": "Петров"}),
        (Step.SERVICE, {"usluga_id": "Аренда", "manager_id": "Петров"}),
    )
    assert (made, faults) == ([(Step.SUBSCRIBER, {"name": "И"}), (Step.SERVICE, {"usluga_id": "301"})], [])


def test_a_name_without_an_id_is_explained_once_and_then_counted(written: Path) -> None:
    dictionary = read(written, "tariff;A;;;3;;;;", "tariff;Open;;;;;near 70;;")
    stage = NameLookup(dictionary, usual_fields(), NAMES_HERE)
    readings = [
        [
            stage(subscriber(line, (Step.TARIFF, {"tarif_id": name})))[1][0].reason
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
        stage(subscriber(line, (Step.TARIFF, {"tarif_id": f"T{line}"})))
    assert len(stage.unknown) == REMEMBERED
    assert str(stage.notes[-1]) == "more names have no id: each is told with its row"
