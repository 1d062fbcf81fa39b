"""Values of an input: names by a dictionary, and what is read, held against each other and against the billing."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.client import BillingClient
from billing.directory.names import NamedObject
from billing.directory.subscribers import undressed
from engine.errors import InputRefused
from jobs.access.gateway import Gateway
from jobs.access.objects import References
from jobs.imports import dictionary as of_names
from jobs.imports.dictionary import Match
from jobs.imports.fields import usual_fields
from jobs.imports.input_checks import BillingChecks, SeenValues, TextLimits, ValueChecks
from jobs.imports.names_there import NamesThere, read_names
from jobs.imports.subscriber import FOLDER_ID, NUMBER, PATH, Judged, Place, Step, Subscriber, ValueFault
from tests.jobs.conftest import Execute
from tests.jobs.imports.conftest import account, made, subscriber
from texts.said import said

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


def read(file: Path, *lines: str, header: str = HEADER) -> of_names.Dictionary:
    file.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    return of_names.read_dictionary(file)


def refused(file: Path, *lines: str, header: str = HEADER) -> list[str]:
    with pytest.raises(InputRefused) as caught:
        read(file, *lines, header=header)
    return str(caught.value).replace(str(file), "FILE").splitlines()


def looked_up(
    dictionary: of_names.Dictionary | None, *parts: tuple[Step, dict[str, str]], there: NamesThere = NAMES_HERE
) -> tuple[list[tuple[Step, dict[str, str]]], list[str]]:
    """The parts after the look-up, and the reasons of the faults."""
    done, faults = of_names.NameLookup(dictionary, usual_fields(), there)(made(2, *parts))
    found = [(part.step, {name: value.text for name, value in part.values.items()}) for part in done.parts]
    return found, [one.reason for one in faults]


FAULTY: Final = """\
tariff;A;;;3;;;;
tarif;B;;;3;;;; → column kind: there is no kind 'tarif' (did you mean 'tariff'?); there are: tariff, service, \
folder, operator, administrator, attribute, pool, snat pool
tariff;;;;3;;;; → column name: it is empty
tariff;C;;;-5;;;; → column id: '-5' is not an id; write one, or none
tariff;D;;;new;;;; → column id: 'new' is not an id; write one, or none
folder;D;;;nothing;;;; → column id: 'nothing' is not an id; write one, or new or none
tariff;A;;;4;;;; → column id: 'A' has another id on line 2: leave one of the two lines
tariff;E;;;3;Тариф 3;near 80;; → column checked: 'E': 3 Тариф 3 is only proposed: write yes here if it is right, or \
another id
tariff;F;;;3;Тариф 3;id;;нет → column checked: 'F': 3 Тариф 3 is only proposed: write yes here if it is right, or \
another id
tariff;G;;;;;near 80;;
folder;H;;;new;//;;; → column name_here: it is no path of a folder
tariff;A;;;3;;;;
"""
"""Lines of a dictionary, and what is said of them; a name may stand twice with one id."""


def test_all_faults_of_a_file_are_said_with_line_and_column(written: Path) -> None:
    lines = [line.partition(" → ")[::2] for line in FAULTY.splitlines()]
    assert refused(written, *(line for line, _ in lines)) == [
        "FILE: 9 entries of the dictionary have to be mended:",
        *(f"line {number}, {told}" for number, (_, told) in enumerate(lines, 2) if told),
    ]


def test_another_table_is_no_dictionary(written: Path) -> None:
    (told,) = refused(written, "1;2", header="Договор;name\n")
    assert told == "FILE is no dictionary: it has no column kind, id; it has: Договор, name"


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
    assert await of_names.faults_there(good, there, References(gateway)) == []
    bad = read(written, "tariff;A;;;77;;;;", "tariff;B;;;3;Тариф 4;equal;;", "service;C;;;240;;;;")
    with pytest.raises(InputRefused) as caught:
        of_names.refuse_entries(bad.file, await of_names.faults_there(bad, there, References(gateway)))
    assert str(caught.value).replace(str(written), "FILE").splitlines() == [
        "FILE: 2 entries of the dictionary have to be mended:",
        "line 2, column id: the billing has no tariff 77, or it is deleted",
        ("line 3, column name_here: the tariff 3 is 'Тариф 3' in this billing: correct the id, or empty this cell"),
    ]


COMPLETES = "`carbon-migrate dictionary FILE --dictionary FILE --output FILE --force`"
LACKS = f"{{}} is not in FILE: add it there; {COMPLETES} does so"
BOTH = "'{}' can be the id of a {}, and it is the name of another one: say in a dictionary which is meant"
NO_DICTIONARY = "'Домашний' is no id of a tariff: a dictionary says which it is, given with --dictionary FILE"
NO_SUCH_NAME = "the billing has no tariff 'Архив 2' (did you mean 'Архив'?); it has: 5 100, 100 Архив, 3 Тариф 3"
FOLDERS_OF_FILE = (
    "folder;Ленина 5;;;new;Частный сектор/Ленина 5;;;",
    "folder;Мира 1;;;new;;;;",
    "folder;Частный;;;89;;;;",
    "folder;Корень;;;none;;;;",
)
TARIFF, FOLDER = (Step.TARIFF, "tarif_id"), (Step.FOLDER, PATH)
OTHERS: Final = (("tariff;A;;;3;;;;",), None)
LOOKED_UP: Final[Sequence[tuple[Sequence[Sequence[str] | None], tuple[Step, str], Mapping[str, str]]]] = (
    # A name of the dictionary goes before an id.
    ([("tariff;100;;;3;;;;",)], TARIFF, {"100": "tarif_id 3"}),
    # A number that it lacks is no id; what the map gives for all rows is an id of this billing.
    ([("tariff;A;;;3;;;;",)], TARIFF, {"3": LACKS.format("the tariff '3'"), "!3": "tarif_id 3"}),
    # Without names of a kind a number is an id unless it is a name too.
    ([None, ("service;A;;;3;;;;",)], TARIFF, {"3": "tarif_id 3", "100": BOTH.format("100", "tariff")}),
    ([None], TARIFF, {"Домашний": NO_DICTIONARY}),
    # What the map gives for all rows is a name of this billing, unless the dictionary has it.
    (OTHERS, TARIFF, {"!тариф 3": "tarif_id 3", "!Архив 2": NO_SUCH_NAME}),
    ([("tariff;Тариф 3;;;5;;;;",)], TARIFF, {"!Тариф 3": "tarif_id 5"}),
    # A folder is there, or to be made, or left out; one for all rows need not be in the dictionary.
    (
        [FOLDERS_OF_FILE],
        FOLDER,
        {
            "Ленина 5": "path Частный сектор/Ленина 5",
            "Мира 1": "path Мира 1",
            "Мира 2": LACKS.format("the folder 'Мира 2'"),
            "Корень": "",
            "!Проба": "path Проба",
            **dict.fromkeys(("Частный", "!Частный"), "id 89"),
        },
    ),
    (OTHERS, FOLDER, {"Частный сектор/Новая": "path Частный сектор/Новая", "12": BOTH.format("12", "folder")}),
    (OTHERS, (Step.FOLDER, FOLDER_ID), {"89": "id 89"}),
)
"""Dictionaries, the field, and what becomes of its cells."""


def test_without_names_of_a_kind_a_number_is_an_id_unless_it_is_a_name_too(written: Path) -> None:
    for dictionaries, (step, name), cells in LOOKED_UP:
        for lines in dictionaries:
            dictionary = None if lines is None else read(written, *lines)
            for cell, wanted in cells.items():
                parts, faults = looked_up(dictionary, (step, {name: cell}))
                told = [reason.replace(str(written), "FILE") for reason in faults]
                assert told or [f"{key} {text}" for _, values in parts for key, text in values.items()] == (
                    [wanted] if wanted else []
                ), cell
                assert told in ([], [wanted]), cell


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
    stage = of_names.NameLookup(dictionary, usual_fields(), NAMES_HERE)
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
            f"`carbon-migrate dictionary FILE --dictionary {written} --output {written} --force` does so"
        ),
        "the tariff 'Open' has no id, as on line 2",
        "the tariff 'Open' has no id, as on line 2",
    ]
    assert [str(note) for note in stage.notes] == [
        "tariff 'Open' has no id: 3 rows, the first on line 2",
        "tariff 'Gone' has no id: 1 row, on line 3",
    ]


def test_what_is_remembered_of_names_without_an_id_is_bounded(written: Path) -> None:
    stage = of_names.NameLookup(read(written, "tariff;A;;;3;;;;"), usual_fields(), NAMES_HERE)
    for line in range(2, of_names.REMEMBERED + 12):
        stage(made(line, (Step.TARIFF, {"tarif_id": f"T{line}"})))
    assert len(stage.notes) == of_names.REMEMBERED + 1
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


def used_in(*rows: tuple[Step, dict[str, str]]) -> of_names.NamesUsed:
    names = of_names.NamesUsed(usual_fields())
    for line, (step, values) in enumerate(rows, 2):
        assert names(made(line, (step, values)))[1] == ()
    return names


def rows_of(names: of_names.NamesUsed, there: NamesThere = THERE, old: Path | None = None) -> list[tuple[str, ...]]:
    before = None if old is None else of_names.read_dictionary(old, is_checked=False)
    rows = of_names.propose(names.names, there, before).rows
    return [tuple("" if cell is None else str(cell) for cell in row.cells({})) for row in rows]


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


def test_what_is_still_to_be_done_is_counted_and_without_a_billing_nothing_is_proposed() -> None:
    names = used_in(*TARIFFS, (Step.FOLDER, {"path": "Новый"}))
    assert {cells[of_names.COLUMNS.index("id")] for cells in rows_of(names, NamesThere())} == {""}
    proposed = of_names.propose(names.names, THERE)
    assert [proposed.count(one) for one in of_names.NameStanding] == [1, 2, 1]
    assert [proposed.count(one, "Folder") for one in of_names.NameStanding] == [0, 1, 0]
    assert proposed.kinds == ("Tarif", "Folder")


def test_a_column_of_other_things_is_no_column_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_names, "MOST_USED", 3)
    with pytest.raises(InputRefused, match="the column tarif_id has more than 3 different values"):
        used_in(*((Step.TARIFF, {"tarif_id": f"T{number}"}) for number in range(4)))


NAMES: Final = (
    "Домашний 50|Домашний 100|Безлимит|Безлимит+|Старт 2019|Ночной|Юрлица 10 Мбит/с|Тариф 1|Тариф 1,5|Ёлка|Ёлка"
)
HERE = of_names.Matcher(NamedObject(key, (name,)) for key, name in enumerate(NAMES.split("|"), 1))
FOLDERS = of_names.Matcher(
    [
        NamedObject(1, ("Частный сектор",)),
        NamedObject(2, ("Частный сектор/Ленина 5", "Ленина 5")),
        NamedObject(3, ("Дома",)),
        NamedObject(4, ("Дома/Ленина 7", "Ленина 7")),
        NamedObject(5, ("Посёлок/Ленина 7", "Ленина 7")),
        NamedObject(6, ("Посёлок/Дома", "Дома")),
    ]
)


PROPOSED: Final[Mapping[Match, str]] = {
    # What differs in writing alone; the letters o, and T, are Latin ones.
    Match.EQUAL: "Домашний 100=2|  ДОМАШНИЙ   100 =2|домашний-100=2|«Домашний» №100=2|Безлимит=3|Безлимит +=4|"
    "Нoчнoй=6|Tариф 1.5=9",
    # What is alike, and never equal.
    Match.NEAR: "Домашний 100 (архив)=2|100 Домашний=2|Домашнй 50=1|Start 2019=5|Nochnoy=6|Старт=5|Юр. лица 10Мбит=7",
    Match.ID: " 7 =7",
    Match.SEVERAL: "елка=None",
    # Another number is another tariff.
    Match.NONE: "Домашний 75=None|Тариф 15=None|Тариф 3=None|Корпоративный=None|=None|+=None|Хомяк=None|"
    f"{9:9<20}=None",
}


def test_another_number_is_another_tariff_and_what_is_only_alike_is_never_equal() -> None:
    for match, names in PROPOSED.items():
        for name, _, found in (one.rpartition("=") for one in names.split("|")):
            proposal = HERE.propose(name)
            assert (proposal.match, str(proposal.found and proposal.found.id)) == (match, found), name
            assert match is not Match.NEAR or 0 < proposal.likeness < 100
    assert [one.id for one in HERE.propose("елка").others] == [10, 11]


def test_of_several_near_ones_the_others_are_named() -> None:
    proposal = HERE.propose("Домашний")
    assert proposal.match is Match.NEAR
    assert proposal.found is not None
    assert {proposal.found.id, *(one.id for one in proposal.others)} == {1, 2}


def test_the_path_of_a_folder_goes_before_its_own_name() -> None:
    for path, match, found in (
        ("частный сектор / ленина, 5", Match.EQUAL, 2),
        ("Ленина 5", Match.EQUAL, 2),
        ("Дома", Match.EQUAL, 3),  # by its path, before the one of that name further down
        ("Ленина 7", Match.SEVERAL, None),
        ("Посёлок/Ленина 7", Match.EQUAL, 5),
    ):
        proposal = FOLDERS.propose(path)
        assert (proposal.match, proposal.found and proposal.found.id) == (match, found)


TODAY = date(2026, 11, 26)


def checks(limits: TextLimits | None = None) -> ValueChecks:
    return ValueChecks(usual_fields(), limits, today=lambda: TODAY)


def value_of(step: Step, name: str, text: str, limits: TextLimits | None = None) -> str:
    """The value of a text; a fault as the sentence behind ✗."""
    made = subscriber(7, "15", {step: {name: text}})
    checked, faults = checks(limits)(made)
    if not faults:
        part = checked.part(step)
        assert part is not None
        return part.text(name)
    (fault,) = faults
    assert fault.place == Place(7, name)
    return f"✗ {fault.reason}"


VALUES: Final = """
subscriber contract_number
  ␣00123␣ → 00123
  15J34 | 1E5 | Total17 → {}
  Итого: → ✗ '{}' is no contract number but the sum of the table
  1,23E+05 → ✗ '{}' was shortened by a spreadsheet
  123.0 | 123,00 → ✗ '{}' was made an amount by a spreadsheet
  12\u200b3 → ✗ character 3 is the invisible character U+200B (ZERO WIDTH SPACE)
  12¶3 → ✗ character 3 is a line end: write the text in one line
subscriber name
  Иванов\u00a0Иван␣ → Иванов Иван
  Иванов\tИван → ✗ character 7 is a tab: write a space in its place
subscriber sms
  8.916.123.45.67 | +7 916 123–45–67 → +79161234567
  8 (495) 123-45-67 | +380671234567 | ٨٩١٦١٢٣٤٥٦٧ → ✗ '{}' is not a Russian mobile number
  7,91612E+10 → ✗ '{}' was shortened by a spreadsheet
  89161234567, 89161234568 → ✗ '{}' is more than one phone
subscriber email
  ivan@mail.ru | ivan@почта.рф → {}
  иван@почта.рф | ivan@mail | ivan.mail.ru → ✗ '{}' is not an e-mail address
  i@a.ru, i@b.ru → ✗ '{}' is more than one e-mail address
  iv\u0430n@mail.ru → ✗ character 3 is the Cyrillic letter 'а' among Latin ones
subscriber operator_id
  3 → 3
  007 → ✗ '{}' is not an id, for it starts with a zero
  Ростелеком → ✗ '{}' is not an id
account login
  user94 → user94
  user 94 → ✗ character 5 of '{}' is a space, and a login has none
  us\u0435r94 → ✗ character 3 is the Cyrillic letter 'е' among Latin ones
account ip
  10.0.0.5 | 167772165 → 10.0.0.5
  10.0.0.256 | 010.0.0.5 → ✗ '{}' is not an IPv4 address: four numbers from 0 to 255
  10.0.0.5/24 → ✗ '{}' has a mask: write the one address of the account
  fe80::1 → ✗ '{}' is not an IPv4 address, which is what an account has
  224.0.0.1 → ✗ {} is an address that no subscriber can have
account mac
  00:1a:2b:3c:4d → ✗ '{}' is not a MAC address
  00:1\u0410:2b:3c:4d:5e → ✗ character 5 of '{}' is the Cyrillic letter
  ff:ff:ff:ff:ff:ff → ✗ '{}' is a MAC address that no device has
account enabled
  Да → 1
  отключён → 0
  может → ✗ '{}' is neither yes nor no
service next_date
  2026-06-01 00:00:00 → 2026-06-01
  01.06.2026 12:30 → 2026-06-01 12:30:00
  31.02.2026 → ✗ '{}' is a day that no calendar has
  01.06.26 → ✗ '{}' is not a date
  31.12.2999 | 01.01.1601 → ✗ '{}' is too far off to be meant
balance op_summa
  1 234,50 → 1234.50
  1,234 → ✗ '{}': {} has three decimals, or a separator
  1,5E+03 → ✗ '{}': an exponent is not allowed
  l50 → ✗ '{}': character 1 is the Latin letter 'l', which looks like a one
folder path
  Центр / Ленина | Центр//Ленина/ → Центр/Ленина
  Центр/ Мира 5\\/1 → Центр/Мира 5\\/1
"""
"""Of each field what is made of its texts; ␣ and ¶ are a space and a line end, {} is the text."""
FIELDS: Final = re.findall(r"^(\S+) (\S+)((?:\n  .+)+)", VALUES, re.MULTILINE)


@pytest.mark.parametrize(("step", "name", "lines"), FIELDS)
def test_a_text_becomes_a_value_or_says_what_to_do(step: str, name: str, lines: str) -> None:
    for texts, value in (line.split(" → ") for line in lines.strip().splitlines()):
        for text in texts.strip(" ").replace("␣", " ").replace("¶", "\n").split(" | "):
            found, wanted = value_of(Step(step), name, text), value.replace("{}", text)
            assert (found[: len(wanted)] if wanted.startswith("✗") else found) == wanted, text


def test_a_text_is_as_long_as_its_column_and_no_longer() -> None:
    assert value_of(Step.SUBSCRIBER, "name", "я" * 255) == "я" * 255
    too_long = "✗ the text has 256 characters, and the billing's column holds 255"
    assert value_of(Step.SUBSCRIBER, "name", "я" * 256).startswith(too_long)


def test_the_database_tells_how_long_a_text_may_be_and_which_letters_it_has() -> None:
    limits = TextLimits({(Step.SUBSCRIBER, "name"): 10}, lambda text: "😀" not in text)
    too_long = "✗ the text has 11 characters, and the billing's column holds 10: shorten it"
    assert value_of(Step.SUBSCRIBER, "name", "я" * 11, limits) == too_long
    unwritable = "✗ character 3, '😀', is none that the billing's database can hold: leave it out"
    assert value_of(Step.SUBSCRIBER, "name", "Ян😀", limits) == unwritable
    # A column that the database does not tell of has the length of the fields' own table.
    assert value_of(Step.ACCOUNT, "login", "u" * 65, limits).startswith("✗ the text has 65 characters")


@given(st.integers(0, 10**9 - 1), st.sampled_from(["+7{}", "8{}", "7{}", "{}", "8 ({0:.3}) {0}"]))
def test_any_mobile_number_becomes_the_one_form(number: int, form: str) -> None:
    digits = f"9{number:09}"
    text = f"8 ({digits[:3]}) {digits[3:6]}-{digits[6:]}" if "(" in form else form.format(digits)
    assert value_of(Step.SUBSCRIBER, "sms", text) == f"+7{digits}"


@given(st.binary(min_size=6, max_size=6).filter(lambda raw: any(raw) and not raw[0] & 1), st.sampled_from(":- "))
def test_any_mac_address_becomes_the_one_form(raw: bytes, between: str) -> None:
    wanted = raw.hex(":")
    for text in (raw.hex(between).upper(), raw.hex(), raw.hex(".", 2)):
        assert value_of(Step.ACCOUNT, "mac", text) == wanted


@given(st.dates(date(1900, 1, 1), TODAY + timedelta(days=365 * 20)))
def test_a_date_is_read_in_both_spellings(day: date) -> None:
    assert value_of(Step.SERVICE, "next_date", f"{day:%d.%m.}{day.year:04}") == day.isoformat()
    assert value_of(Step.SERVICE, "next_date", day.isoformat()) == day.isoformat()


@given(st.text(max_size=40))
def test_what_is_read_is_read_the_same_again(text: str) -> None:
    for step, name, _ in FIELDS:
        value = value_of(Step(step), name, text)
        assert value.startswith("✗") or value_of(Step(step), name, value) == value


def faults(seen: SeenValues, subscribers: Sequence[Subscriber]) -> dict[int | None, list[str]]:
    """The reasons by line of all subscribers, of which the last are added as a page of their own."""
    seen.add(subscribers[:-1])
    seen.add(subscribers[-1:])
    return {one.row.line: [fault.reason for fault in judged(seen, one).faults] for one in subscribers}


def judged(seen: SeenValues, one: Subscriber) -> Judged:
    found = Judged(one)
    seen.judge(found)
    return found


def numbers(*texts: str, **values: str) -> list[Subscriber]:
    return [subscriber(line, text, {Step.SUBSCRIBER: values}) for line, text in enumerate(texts, 2)]


def accounts(*logins: str, **values: str) -> list[Subscriber]:
    return [account(line, str(line), login=login, **values) for line, login in enumerate(logins, 2)]


MANY_ROWS = "'15' is also in line {}, line {}, line {} and 6 more"
LOST = (
    "'456' has 3 digits, and 2 numbers that begin with a zero have 5: a spreadsheet may have removed a zero before it"
)
SCRIPTS = "character 1 is the Latin letter 'A' among Cyrillic ones; is it so in the contract?"
LETTER_CASE = "'{}' is also in line {}, in another letter case: '{}'"
SEEN: Final[Mapping[str, tuple[list[Subscriber], Mapping[int, list[str]]]]] = {
    "a number twice": (
        numbers("00123", "15777", "00123"),
        {2: ["'00123' is also in line 4"], 3: [], 4: ["'00123' is also in line 2"]},
    ),
    "of many the first are named": (
        numbers(*["15"] * 10),
        {2: [MANY_ROWS.format(3, 4, 5)], 11: [MANY_ROWS.format(2, 3, 4)]},
    ),
    "of one account each": (
        accounts("ivan", "ivan", table="a.csv", ip="10.0.0.5", mac="00:1a:2b:3c:4d:5e"),
        {
            line: [
                f"'{one}' is also in line {5 - line} of a.csv" for one in ("ivan", "10.0.0.5", "00:1a:2b:3c:4d:5e")
            ]
            for line in (2, 3)
        },
    ),
    "a login in another letter case": (
        accounts("Ivan", "ivan"),
        {2: [LETTER_CASE.format("Ivan", 3, "ivan")], 3: [LETTER_CASE.format("ivan", 2, "Ivan")]},
    ),
    "a phone of several rows": (
        numbers("2", "3", sms="+79161234567"),
        {2: ["? '+79161234567' is also in line 3"], 3: ["? '+79161234567' is also in line 2"]},
    ),
    "a number that may have lost its zero": (
        numbers("00123", "04567", "456", "12345"),
        {2: [], 3: [], 4: [f"? {LOST}"], 5: []},
    ),
    "a number of two scripts": (numbers("AБ15"), {2: [f"? {SCRIPTS}"]}),
}
"""Rows, and the faults of a line, or the warnings behind a question mark."""


@pytest.mark.parametrize(("rows", "told"), SEEN.values(), ids=list(SEEN))
def test_what_stands_in_two_rows_or_looks_wrong(rows: list[Subscriber], told: Mapping[int, list[str]]) -> None:
    seen = SeenValues()
    found = faults(seen, rows)
    for row in rows:
        found[row.row.line] += [f"? {one.reason}" for one in judged(seen, row).warnings]
    assert {line: found[line] for line in told} == told


def test_numbers_that_look_alike_are_a_fault_at_first() -> None:
    for one, other, why in (
        ("А15", "A15", "the same in Latin letters"),
        ("00123", "123", "the same without leading zeros"),
        ("15 д", "15д", "the same without spaces"),
        ("15д", "15Д", "the same in another letter case"),
    ):
        rows = numbers(one, other)
        (reason,) = faults(SeenValues(), rows)[2]
        assert reason == (
            f"{one!r} looks like {other!r} in line 3, {why}: correct one of them, or give --alike if both are right"
        )
        assert faults(SeenValues(alike=True), rows) == {2: [], 3: []}


@given(
    st.lists(st.text(st.sampled_from("01AАoО "), min_size=1, max_size=3).filter(str.strip), min_size=2, max_size=12)
)
def test_a_number_is_a_fault_exactly_where_another_one_is_equal_or_looks_alike(numbers: list[str]) -> None:
    rows = [subscriber(line, number) for line, number in enumerate(numbers, 2)]
    found = faults(SeenValues(), rows)
    for row in rows:
        alike = [other for other in rows if other is not row and undressed(other.number) == undressed(row.number)]
        equal = [other for other in alike if other.number == row.number]
        told = " ".join(found[row.row.line])
        assert bool(told) is bool(alike)
        assert all(f"line {other.row.line}" in told for other in equal[:3])
        assert ("looks like" in told) is bool(alike and not equal)


WITH_A_DATABASE = pytest.mark.parametrize("gateway", ["with a database"], indirect=True)


async def found(
    gateway: Gateway, subscribers: Sequence[Subscriber], *, alike: bool = False
) -> tuple[dict[str, str], dict[str, str], Sequence[str]]:
    """The reasons of faults and of warnings, by line and column, and what was not checked."""
    seen = SeenValues()
    seen.add(subscribers)
    checks = BillingChecks(gateway, usual_fields(), seen, alike=alike)
    await checks.survey()
    findings = [Judged(one) for one in subscribers]
    await checks.judge(findings)
    return (
        _by_place([fault for one in findings for fault in one.faults]),
        _by_place([warning for one in findings for warning in one.warnings]),
        checks.notes,
    )


def _by_place(faults: Sequence[ValueFault]) -> dict[str, str]:
    return {f"{one.place.line} {one.place.column}": one.reason for one in faults}


IVAN: Final = {"id": 8001, "abonent_id": 9002, "login": "ivan", "ip": int(IPv4Address("10.11.222.49"))}


IDS: Final = {
    Step.FOLDER: {FOLDER_ID: "9100"},
    Step.TARIFF: {"tarif_id": "2"},
    Step.SERVICE: {"usluga_id": "127", "manager_id": "33"},
}
NO_IDS: Final = {
    Step.FOLDER: {FOLDER_ID: "94"},
    Step.TARIFF: {"tarif_id": "777"},
    Step.SERVICE: {"usluga_id": "99999999999", "manager_id": "3333"},
}
OF_DELETED: Final = (
    f"? 2 {NUMBER}: a deleted subscriber of the billing, abonent 9006, has the contract number: the billing may\n"
    "? 2 login: the login is that of a deleted account of "
)
CHECKED: Final[Mapping[str, tuple[list[Subscriber], str]]] = {
    "what is there already": ([account(2, "123", login="ivan", ip="10.11.222.49"), subscriber(3, "нов-1")], ""),
    "a login of another subscriber": (
        [account(2, "нов-1", login="ivan"), account(3, "A15", login="user-new")],
        "2 login: the login is that of ",
    ),
    "an address of another account": (
        [account(2, "123", login="petr", ip="10.11.222.49")],
        "2 ip: 10.11.222.49 is the address of the account ivan in the billing, of ",
    ),
    "what a deleted object has": ([account(2, "ГОСТЬ-1", login="ivan")], OF_DELETED),
    # 77/2 is that of a deleted subscriber and of a live one.
    "a number that was given to another": ([subscriber(2, "77/2")], ""),
    "ids that the billing does not have": (
        [subscriber(2, "нов-1", IDS), subscriber(3, "нов-2", NO_IDS)],
        "\n".join(
            f"3 {column}: the billing has no {what}, or it is deleted"
            for column, what in (
                ("id", "folder 94"),
                ("tarif_id", "tariff 777"),
                ("usluga_id", "service 99999999999"),
                ("manager_id", "administrator 3333"),
            )
        ),
    ),
    # Its faults are told by others; the billing refuses a call about it.
    "what no object can have": (
        [account(2, "н" * 100, login="л" * 100, ip="10.0.0.300"), account(3, "", login="", ip="")],
        "",
    ),
}
"""Rows of an input, and the beginnings of what is said of them, by line and column; a ? stands before a warning."""


@pytest.mark.parametrize("case", CHECKED)
async def test_what_is_taken_there_and_what_is_missing(gateway: Gateway, execute: Execute, case: str) -> None:
    rows, wanted = CHECKED[case]
    execute.put("users", **IVAN, deleted=int("deleted" in case))
    faults, warnings, _ = await found(gateway, rows)
    told = [f"{place}: {text}" for place, text in faults.items()]
    told += [f"? {place}: {text}" for place, text in warnings.items()]
    assert [one for one, text in zip(told, wanted.splitlines(), strict=True) if not one.startswith(text)] == []


@WITH_A_DATABASE
async def test_a_number_that_looks_like_one_of_the_billing_is_a_fault_until_said_otherwise(gateway: Gateway) -> None:
    # The billing has 00123 and 123, and A15 in Latin letters.
    rows = [subscriber(2, "0123"), subscriber(3, "А15"), subscriber(4, "123"), subscriber(5, "гость-1")]
    faults, _, _ = await found(gateway, rows)
    assert faults[f"3 {NUMBER}"] == (
        "the billing has the contract number 'A15', the same in Latin letters: write it in the same way if it is the "
        "same subscriber, or give --alike if both are right"
    )
    assert sorted(faults) == [f"2 {NUMBER}", f"3 {NUMBER}"]
    assert (await found(gateway, rows, alike=True))[0] == {}


@WITH_A_DATABASE
async def test_an_address_is_held_against_the_pools(gateway: Gateway) -> None:
    rows = [
        account(2, "нов-1", login="a", ip="172.20.1.1", pull="1040"),
        account(3, "нов-2", login="b", ip="172.20.1.2", pull="1050"),
        account(4, "нов-3", login="c", ip="203.0.113.7"),
        account(5, "нов-4", login="d", ip="198.51.100.9"),
    ]
    faults, warnings, _ = await found(gateway, rows)
    assert faults == {"3 ip": "172.20.1.2 is not in the pool 1050, which goes from 198.51.100.1 to 198.51.100.254"}
    assert warnings == {"4 ip": "203.0.113.7 is in none of the billing's pools"}


@WITH_A_DATABASE
async def test_without_a_table_of_pools_the_networks_in_use_are_known(gateway: Gateway, execute: Execute) -> None:
    execute("drop table ip_pulls")
    assert gateway.database is not None
    # Its next use reads the schema anew.
    gateway.database.close()
    rows = [account(2, "нов-1", login="a", ip="10.0.3.250"), account(3, "нов-2", login="b", ip="172.20.1.2")]
    execute.put("users", id=8001, abonent_id=9002, login="ivan", ip=int(IPv4Address("10.0.3.7")))
    faults, warnings, notes = await found(gateway, rows)
    assert faults == {}
    assert warnings == {"3 ip": "172.20.1.2 is in none of the networks in which the billing has accounts"}
    assert list(notes) == [
        said(
            "addresses were compared with the networks in which the billing has accounts, for its table of pools is "
            "not known"
        )
    ]


async def test_the_api_alone_says_what_it_could_not_check(client: BillingClient) -> None:
    _, _, notes = await found(Gateway(client), [subscriber(2, "0123")])
    assert list(notes) == [
        said(
            "contract numbers of the billing that only look like one of the input, and addresses out of its pools, "
            "were not looked for: that takes the billing's database"
        )
    ]
