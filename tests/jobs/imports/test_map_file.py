"""A map file: what can be said in it, and where its faults are."""

import pytest

from engine.errors import InputRefused
from jobs.imports.column_map import ColumnMap
from jobs.imports.fields import FieldKind
from jobs.imports.map_file import read_map
from jobs.imports.subscriber import Step
from tests.jobs.imports.reading import Tables, of, subscribers, texts

WHOLE = (
    "[subscriber]",
    'contract_number = "Л/с"',
    'name = ["Фамилия", "Имя", "Отчество"]',
    'operator_id = { value = "Основной" }',
    'folder = ["Город", "Улица"]',
    'op_summa = "Аванс"',
    'debt = "Долг"',
    'email = ""',
    "[account]",
    'login = "Логин"',
    "[[service]]",
    'usluga_id = { value = "Интернет" }',
    'manager_id = { value = "33" }',
    'when = { column = "Инет", is = ["да", "1"] }',
    "[[service]]",
    'usluga_id = { column = "Доп. услуги", split = "," }',
    'manager_id = { value = "33" }',
    "[[attribute]]",
    'attribute_id = { value = "Номер паспорта" }',
    'attribute_value = { columns = ["Серия", "Номер"], between = " № " }',
)
HEADER = "Л/с;Фамилия;Имя;Отчество;Город;Улица;Аванс;Долг;email;Логин;Инет;Доп. услуги;Серия;Номер"


def test_everything_that_a_map_can_say(tables: Tables) -> None:
    tables.write(
        "subscribers.csv",
        HEADER,
        "00123;Иванов;Иван;Иванович;Псков;ул. Мира, 5/1;;100,50;i@example.org;ivan;ДА;ТВ, Роутер,;5800;123456",
        "A-7;ООО «Ромашка»;;;Псков;;20;5.5;;;нет;;;",
    )
    first, second = subscribers(tables.reader(tables.map(*WHOLE)))
    assert first.number == "00123"
    assert texts(first) == [
        ("folder", {"path": "Псков/ул. Мира, 5\\/1"}),
        ("subscriber", {"contract_number": "00123", "name": "Иванов Иван Иванович", "operator_id": "Основной"}),
        ("account", {"login": "ivan"}),
        ("service", {"usluga_id": "Интернет", "manager_id": "33"}),
        ("service", {"usluga_id": "ТВ", "manager_id": "33"}),
        ("service", {"usluga_id": "Роутер", "manager_id": "33"}),
        ("attribute", {"attribute_id": "Номер паспорта", "attribute_value": "5800 № 123456"}),
        ("balance", {"op_summa": "-100.50"}),
    ]
    assert texts(second) == [
        ("folder", {"path": "Псков"}),
        ("subscriber", {"contract_number": "A-7", "name": "ООО «Ромашка»", "operator_id": "Основной"}),
        ("balance", {"op_summa": "14.5"}),
    ]


def test_a_value_has_the_place_that_it_comes_from(tables: Tables) -> None:
    tables.write("subscribers.csv", HEADER, "1;;Анна;;Псков;;;;;anna;;;;7")
    (only,) = subscribers(tables.reader(tables.map(*WHOLE)))
    person = only.part(Step.SUBSCRIBER)
    assert person is not None
    assert (person.values["name"].place.line, person.values["name"].place.column) == (2, "Имя")
    assert person.values["operator_id"].place.line is None


def test_a_field_of_the_billing_is_added_in_the_map(tables: Tables) -> None:
    columns = tables.map(
        "[fields.Abonents.passport]",
        'kind = "text"',
        "longest = 20",
        'columns = ["Паспорт"]',
        "[fields.Abonents.name]",
        "required = false",
    )
    assert columns.fields.models["Abonents"].fields["name"].kind is FieldKind.TEXT
    tables.write("subscribers.csv", "Договор;Паспорт", "1;4500 1")
    (only,) = subscribers(tables.reader(columns))
    assert of(only, Step.SUBSCRIBER) == [{"contract_number": "1", "passport": "4500 1"}]


def test_the_file_of_a_table_lies_beside_the_map(tables: Tables) -> None:
    columns = tables.map("[tables.services]", 'file = "услуги.csv"', 'delimiter = ";"', 'contract_number = "Номер"')
    assert columns.tables[Step.SERVICE].file == str(tables.folder / "услуги.csv")
    assert columns.with_tables({Step.SERVICE: "other.csv"}).tables[Step.SERVICE].layout.delimiter == ";"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (("[subsriber]",), "map.toml, line 1, column 2: there is no key 'subsriber' here (did you mean 'subscriber'"),
        (("[subscriber]", 'nmae = "ФИО"'), "map.toml, line 2, column 1: there is no key 'nmae' here (did you mean"),
        (("[subscriber]", "name = 7"), "map.toml, line 2, column 1: a column, a list of columns, or a table with"),
        (("[subscriber]", "name = []"), "map.toml, line 2, column 1: a column, a list of columns, or a table with"),
        (("[subscriber]", 'name = { colum = "A" }'), "map.toml, line 2, column 10: there is no key 'colum' here"),
        (("[subscriber]", "name = { }"), "map.toml, line 2, column 1: it needs either a column, columns, or a value"),
        (
            ("[[service]]", 'usluga_id = "A"', "[[service]]", 'usluga_id = { columns = ["A", "B"], split = "," }'),
            "map.toml, line 4, column 1: a split needs one column",
        ),
        (
            ("[account]", 'login = { column = "A", split = "," }', 'ip = { column = "B", split = "," }'),
            "map.toml, line 3, column 1: only one field of a table can have a split",
        ),
        (("[[service]]", "when = { is = 1 }"), "map.toml, line 2, column 10: a table with column and is is expected"),
        (("[tables.payments]", 'file = "p.csv"'), "map.toml, line 1, column 2: there is no key 'payments' here"),
        (
            ("[tables.services]", 'fil = "p.csv"'),
            "map.toml, line 2, column 1: there is no key 'fil' here (did you mean",
        ),
        (("[fields.Payments.x]", 'kind = "text"'), "there is no key 'Payments' here"),
        (
            ("[fields.Abonents.x]", 'kind = "colour"'),
            "columns, column, step is expected; a kind is one of text, phone",
        ),
        (("[fields.Abonents.x]", "longest = 5"), "map.toml, line 1, column 2: a table with kind"),
        (
            ("[fields.Abonents.x]", 'kind = "text"', 'step = "account"'),
            "map.toml, line 3, column 1: a field of this model cannot be moved to another step",
        ),
        (("format = 9",), "map.toml, line 1, column 1: format = 9 is not known; this version knows 1"),
        (("subscriber = 5",), "map.toml, line 1, column 1: a table is expected, not 5"),
        (("[subscriber",), "map.toml is not TOML"),
    ],
)
def test_a_fault_is_named_by_its_place(tables: Tables, lines: tuple[str, ...], fault: str) -> None:
    with pytest.raises(InputRefused, match=r".") as raised:
        tables.map(*lines)
    assert fault in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tables: Tables) -> None:
    path = tables.folder / "map.toml"
    with pytest.raises(InputRefused, match=r"map\.toml cannot be read: No such file"):
        read_map(path)
    path.write_bytes(b"\xff\xfe[")
    with pytest.raises(InputRefused, match=r"map\.toml cannot be read: it is not UTF-8"):
        read_map(path)


def test_pairs_are_put_over_a_map(tables: Tables) -> None:
    tables.write("subscribers.csv", "Номер счета;Клиент;Мобильный;Услуга;Включена услуга", "1;Анна;8-900;5;да")
    pairs = {"contract_number": "Номер счета", "sms": "", "service.enabled": "Включена услуга", "manager_id:": "33"}
    (only,) = subscribers(tables.reader(ColumnMap().with_pairs(pairs)))
    assert texts(only) == [
        ("subscriber", {"contract_number": "1", "name": "Анна"}),
        ("service", {"enabled": "да", "manager_id": "33", "usluga_id": "5"}),
    ]


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        ({"colour": "A"}, "--map colour=A: an import has no field colour"),
        ({"logn": "A"}, "did you mean 'login'?"),
        ({"enabled": "A"}, "several steps have a field enabled; write one of: account.enabled, service.enabled"),
        ({"usluga_id": "A"}, "the map has several tables [[service]], so a pair does not say which is meant"),
    ],
)
def test_a_pair_that_means_nothing_is_refused(tables: Tables, pairs: dict[str, str], fault: str) -> None:
    with pytest.raises(InputRefused, match=r".") as raised:
        tables.map(*WHOLE).with_pairs(pairs)
    assert fault in str(raised.value)
