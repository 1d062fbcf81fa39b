"""Which column is which field: the usual names, questions where two fit, and what is left over."""

from datetime import date

import pytest

from billing.database.schema import DOCUMENTED, Schema
from billing.profile import UNKNOWN, Fact, Profile
from engine.errors import InputRefused
from jobs.imports.column_map import ColumnMap
from jobs.imports.fields import FieldName, usual_fields
from jobs.imports.subscriber import STEP_MODELS, Step
from jobs.imports.table_columns import TableColumns
from tests.jobs.imports.reading import Tables, subscribers, texts

RUSSIAN = (
    "Папка;Номер договора;ФИО;Мобильный телефон;Электронная почта;Оператор;Логин;Пароль;IP-адрес;MAC-адрес;Пул;"
    "Тарифный план;Порог предупреждения;Порог отключения;Баланс, руб;Заметка"
)
ROW = (
    "Псков;7;Анна;+79001234567;a@example.org;Связь;anna;s3cret;10.0.0.1;00:11:22:33:44:55;Дом;Быстрый;-50;-100;12,5;x"
)


def test_a_table_of_usual_names_needs_no_map(tables: Tables) -> None:
    tables.write("subscribers.csv", RUSSIAN, ROW)
    reader = tables.reader()
    (only,) = subscribers(reader)
    assert [(step, sorted(values)) for step, values in texts(only)] == [
        ("folder", ["path"]),
        ("subscriber", ["contract_number", "email", "name", "operator_id", "sms"]),
        ("account", ["ip", "login", "mac", "psw", "pull"]),
        ("tariff", ["tarif_id"]),
        ("threshold", ["limit_warning"]),
        ("limit", ["limit"]),
        ("balance", ["op_summa"]),
    ]
    assigned = reader.columns.assigned
    assert assigned.unused == ("Заметка",)
    assert {name: column.name for name, column in assigned.taken.items()}["account.login"] == "Логин"
    assert list(assigned.taken)[:3] == ["folder", "contract_number", "name"]


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.ATTRIBUTE])
def test_each_usual_name_finds_its_field(step: Step) -> None:
    for name, field in usual_fields().of_step(step).items():
        for title in field.columns:
            joined = step if step in {Step.ACCOUNT, Step.SERVICE} else None
            header = {"contract_number": "Договор", "name": "ФИО", "login": "Логин", "usluga_id": "Услуга"}
            header.pop(name, None)
            pairs = {} if name == "manager_id" or joined is Step.ACCOUNT else {"manager_id:": "33"}
            given = ColumnMap().with_tables(files_of(joined)).with_pairs(pairs)
            columns = TableColumns("t", [*header.values(), title], given, joined)
            assert FieldName(STEP_MODELS[step], name) in columns.used, title


def files_of(joined: Step | None) -> dict[Step, str]:
    return {joined: "t.csv"} if joined else {}


def test_what_one_step_lacks_is_left_over_and_not_given_to_it_in_part() -> None:
    header = ["Договор", "ФИО", "MAC", "Значение", "Комментарий"]
    columns = TableColumns("t", header, ColumnMap())
    assert columns.parts == ()
    assert columns.assigned.unused == ("MAC", "Значение", "Комментарий")


def test_two_columns_that_fit_are_a_question() -> None:
    with pytest.raises(
        InputRefused, match=r"several columns that can be name: 'ФИО', 'Клиент'. Say .* --map name=COLUMN"
    ):
        TableColumns("t.csv", ["Договор", "ФИО", "Клиент"], ColumnMap())
    columns = TableColumns("t.csv", ["Договор", "ФИО", "Клиент"], ColumnMap().with_pairs({"name": "Клиент"}))
    assert columns.assigned.unused == ("ФИО",)


def test_a_field_that_is_needed_is_asked_for() -> None:
    with pytest.raises(
        InputRefused, match=r"t\.csv has no column contract_number; it has: ФИО, Ном\. Say which .* --map"
    ):
        TableColumns("t.csv", ["ФИО", "Ном"], ColumnMap())
    with pytest.raises(InputRefused, match=r"t\.csv has no column login; it has: .* in the map \(--map ip=Адрес\)"):
        TableColumns("t.csv", ["Договор", "ФИО", "Адрес"], ColumnMap().with_pairs({"ip": "Адрес"}))


def test_a_column_that_the_map_names_must_be_there(tables: Tables) -> None:
    columns = tables.map("[subscriber]", 'name = "Абанент"')
    with pytest.raises(InputRefused, match=r"line 2, column 1: t has no column 'Абанент' \(did you mean 'Абонент'"):
        TableColumns("t", ["Договор", "Абонент"], columns)
    with pytest.raises(InputRefused, match=r"'ИМЯ', 'имя'; write the name exactly"):
        TableColumns("t", ["Договор", "ИМЯ", "имя"], tables.map("[subscriber]", 'name = "Имя"'))


def test_columns_of_several_parts_are_told_apart(tables: Tables) -> None:
    columns = tables.map(
        "[[attribute]]",
        'attribute_id = { value = "7" }',
        'attribute_value = "Льгота"',
        "[[attribute]]",
        'attribute_id = { value = "99" }',
        'attribute_value = "Заметка"',
        'when = { column = "Писать" }',
    )
    found = TableColumns("t", ["Договор", "ФИО", "Льгота", "Заметка", "Писать"], columns)
    assert list(found.assigned.taken) == [
        "contract_number",
        "name",
        "attribute 1.attribute_value",
        "attribute 2.attribute_value",
        "attribute 2.when",
    ]
    assert found.assigned.unused == ()


def test_a_field_that_the_billing_lacks_is_named_before_anything_is_sent(tables: Tables) -> None:
    tables.write("subscribers.csv", "Договор;ФИО;Логин;MAC;Дом", "1;Анна;anna;;5")
    reader = tables.reader()
    columns = {table: [name for name in names if name != "MAC"] for table, names in DOCUMENTED.items()}
    schema = Schema.of((table, name) for table, names in columns.items() for name in names)
    with pytest.raises(InputRefused) as raised:
        reader.check_fields(schema, UNKNOWN)
    first, second = str(raised.value).splitlines()
    assert first.startswith("the billing's ABONENTS has no column A_HOME_NUMBER, which the field a_home_number of")
    assert first.endswith(": leave it out with --map a_home_number=")
    assert second.endswith("has no column MAC, which the field mac of Users is kept in: leave it out with --map mac=")
    told = Profile(columns=Fact({"users": ("login",)}, date(2026, 11, 1)))
    with pytest.raises(InputRefused, match=r"USERS has no column MAC"):
        reader.check_fields(None, told)
    left_out = ColumnMap().with_pairs({"mac": "", "a_home_number": ""})
    tables.reader(left_out).check_fields(schema, UNKNOWN)
    reader.check_fields(None, UNKNOWN)
