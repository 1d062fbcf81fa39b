"""The tables of other billings in `examples/`: each is read, and becomes the subscribers that it should."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.access.vault import is_token
from jobs.imports.column_map import read_map
from jobs.imports.fields import FieldKind
from jobs.imports.subscriber import Subscriber, ValueFault
from jobs.imports.tables import SubscriberReader
from jobs.imports.value_checks import ValueChecks
from tests.jobs.imports.conftest import refusals, subscribers, texts
from tools.house import ROOT

EXAMPLES = ROOT / "examples"
PASSWORD = "a token"
MANAGER = "Миграция"
Steps = list[tuple[str, dict[str, str]]]

WRITTEN = {
    "utm5": r"""
        71001
          folder: path=Псков/Пригородная ул.
          subscriber: name=Соколов Андрей Викторович | sms=+79000000101 | email=sokolov@example.org |
            a_home_number=5/1, кв. 12
          account: login=sokolov | psw=a token | ip=10.1.0.11 | mac=00:11:22:33:44:11
          tariff: tarif_id=Домашний 100
          service: usluga_id=Аренда роутера
          balance: op_summa=250,50
        71002
          folder: path=Псков/Речная ул.
          subscriber: name=Орлова Марина Сергеевна | sms=8 900 000-01-02 | a_home_number=3
          account: login=orlova | psw=a token | ip=10.1.0.12
          tariff: tarif_id=Домашний 300
          balance: op_summa=-120,00
        71003
          folder: path=Остров/Заводской пр-д
          subscriber: name=ООО «Вектор» | sms=+79000000103 | email=office@example.org | a_home_number=1
          account: login=vektor-1 | psw=a token | ip=10.1.0.13 | mac=00:11:22:33:44:13
          account: login=vektor-2 | psw=a token | ip=10.1.0.14 | mac=00:11:22:33:44:14
          tariff: tarif_id=Бизнес 50
          service: usluga_id=Статический адрес
          service: usluga_id=Аренда роутера
          balance: op_summa=0,00
    """,
    "lanbilling": r"""
        ЛБ-000123
          folder: path=Дачи \/ Север
          subscriber: name=Егоров Павел Ильич | sms=+79000000201 | email=egorov@example.org
          account: login=egorov | ip=10.2.0.21 | enabled=1
          account: login=egorov-tv | ip=10.2.0.22 | enabled=1
          tariff: tarif_id=Домашний 100
          service: usluga_id=Цифровое ТВ
          balance: op_summa=15.7
        ЛБ-000124
          folder: path=Дачи \/ Север
          subscriber: name=Морозова Анна Олеговна
          account: login=morozova | ip=10.2.0.23 | enabled=0
          tariff: tarif_id=Домашний 300
          balance: op_summa=-300
    """,
    "hydra": r"""
        0004501
          folder: path=Гидра
          subscriber: name=Быстров Олег Юрьевич
          account: login=bystrov
          service: usluga_id=Аренда роутера
          balance: op_summa=926,07
        0004502
          folder: path=Гидра
          subscriber: name=АО "Северный ветер"
          account: login=sever-veter
          service: usluga_id=Статический адрес
          service: usluga_id=Цифровое ТВ
          balance: op_summa=-15000
    """,
    "abills": r"""
        A-17
          folder: path=Юг
          subscriber: name=Лебедев Игорь Петрович | sms=+79000000401 | email=lebedev@example.org |
            a_home_number=14
          account: login=lebedev | psw=a token | ip=10.3.0.31 | mac=00:11:22:33:44:31
          tariff: tarif_id=Домашний 100
          service: usluga_id=Цифровое ТВ | comment=карта 77
          attribute: attribute_id=Номер паспорта | attribute_value=5800 000001
          balance: op_summa=99.99
        A-18
          folder: path=Юг
          subscriber: name=Зайцева Ольга, ИП | sms=+79000000402 | a_home_number=16а
          account: login=zaiceva | psw=a token | ip=10.3.0.32
          tariff: tarif_id=Бизнес 50
          balance: op_summa=-45.50
    """,
    "carbon4": r"""
        15J34
          folder: path=Центр
          subscriber: name=Виноградова Татьяна Ивановна | sms=+79000000501
          account: login=vin34 | ip=167968769 | mac=00:11:22:33:44:51
          tariff: tarif_id=Льготный
          balance: op_summa=12.00
        00123
          folder: path=Центр
          subscriber: name=Жуков Степан Андреевич | sms=+79000000502 | email=zhukov@example.org
          account: login=zhukov | ip=167968770
          tariff: tarif_id=Домашний 100
          service: usluga_id=Аренда роутера | next_date=01.12.2026
          balance: op_summa=-7.35
    """,
}
"""The subscribers of each example: a number, and below it a line a step."""


def steps_of(text: str) -> dict[str, Steps]:
    found: dict[str, Steps] = {}
    number = ""
    for line in re.sub(r" \|\n +", " | ", text).strip("\n ").splitlines():
        step, _, values = line.strip().partition(": ")
        if not values:
            number, found[step] = step, []
            continue
        own = {"subscriber": {"contract_number": number}, "service": {"manager_id": MANAGER}}.get(step, {})
        found[number].append((step, own | dict(pair.split("=", 1) for pair in values.split(" | "))))
    return found


EXPECTED: dict[str, dict[str, Steps]] = {name: steps_of(text) for name, text in WRITTEN.items()}


def reader_of(name: str) -> SubscriberReader:
    """The reader of an example's main table."""
    (main,) = (EXAMPLES / name).glob("subscribers.*")
    return SubscriberReader(open_input(main, Layout()), read_map(EXAMPLES / name / "map.toml"))


def test_every_example_has_what_is_expected_of_it() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/map.toml")}
    assert folders == set(EXPECTED)
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == folders


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_becomes_its_subscribers(name: str) -> None:
    reader = reader_of(name)
    found = {
        one.number: [(step, without_tokens(values)) for step, values in texts(one)] for one in subscribers(reader)
    }
    assert found == EXPECTED[name]
    assert refusals(reader) == []
    tables = (reader.columns, *reader.tables.columns.values())
    assert [table.assigned.unused for table in tables] == [()] * len(tables)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_tables_have_the_columns_that_are_selected(name: str) -> None:
    selects = re.findall(
        r"^-- file: (\S+)\n(?:select)\n(.*?)^from ",
        (EXAMPLES / name / "export.sql").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL | re.IGNORECASE,
    )
    selected = {file: [column_of(one) for one in re.split(r",\n", columns.strip())] for file, columns in selects}
    tables = [path for path in (EXAMPLES / name).iterdir() if path.suffix in {".csv", ".tsv"}]
    assert {path.name: list(header_of(path)) for path in tables} == selected


def column_of(expression: str) -> str:
    """The name of a selected column: its alias, or what stands after the dot."""
    return re.split(r"[\s.]+", expression.strip())[-1]


def header_of(path: Path) -> tuple[str, ...]:
    return open_input(path, Layout()).header


def without_tokens(values: dict[str, str] | object) -> dict[str, str]:
    """The texts, with one word for every token of the vault."""
    assert isinstance(values, dict)
    return {name: PASSWORD if is_token(text) else text for name, text in values.items()}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_values_of_an_example_are_those_of_a_call(name: str) -> None:
    columns = read_map(EXAMPLES / name / "map.toml")
    names = {(step, field) for step, field, one in columns.fields.names() if one.kind is FieldKind.ID}

    def with_ids(subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        # Names become ids by a dictionary, which belongs to the billing that they are imported into.
        parts = tuple(
            replace(
                part,
                values={
                    key: replace(value, text="7") if (part.step, key) in names else value
                    for key, value in part.values.items()
                },
            )
            for part in subscriber.parts
        )
        return replace(subscriber, parts=parts), ()

    (main,) = (EXAMPLES / name).glob("subscribers.*")
    checks = ValueChecks(columns.fields, today=lambda: date(2026, 11, 26))
    reader = SubscriberReader(open_input(main, Layout()), columns, [with_ids, checks])
    assert [one.number for one in subscribers(reader)] == list(EXPECTED[name])
