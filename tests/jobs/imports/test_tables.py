"""Tables, their map and their columns become subscribers, whose rows are judged once; the fields, and a sample."""

import gc
import os
import re
import resource
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.database.schema import DOCUMENTED, Schema
from billing.profile import UNKNOWN, Fact, Profile
from billing.secret import PLACEHOLDER
from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import Row, RowPage, Source
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault, is_token
from jobs.import_job import RowSample, Sampled, SampleFacts, in_folder, traits_of
from jobs.imports.column_map import ColumnMap, read_map
from jobs.imports.dictionary import NameLookup
from jobs.imports.fields import SEVERAL, FieldKind, untried_fields, usual_fields
from jobs.imports.input_checks import InputChecks, ValueChecks
from jobs.imports.names_there import NamesThere
from jobs.imports.subscriber import (
    STEP_MODELS,
    Judged,
    Place,
    Step,
    Subscriber,
    ValueFault,
    folder_names,
    folder_path,
)
from jobs.imports.tables import MOST, SubscriberReader, TableColumns
from jobs.spec.columns import usual_names
from tests.jobs.imports.conftest import Tables, judged, made, of, refusals, subscribers, texts
from tools.house import ROOT

SECRET = "s3cr3t-пароль"
MAIN = ("Договор;ФИО", "1;Анна", "2;Борис", "3;Вера")


@pytest.fixture
def joined(tables: Tables) -> ColumnMap:
    tables.write("subscribers.csv", *MAIN)
    files = {
        Step.ACCOUNT: tables.write(
            "a.csv", "Номер договора;Логин;Пароль", f"1;anna;{SECRET}", "2;boris;", "9;nobody;"
        ),
        Step.SERVICE: tables.write(
            "s.csv", "Договор,Услуга,Комментарий", "2,ТВ,по акции", "1,Интернет,", "2,Роутер,"
        ),
        Step.ATTRIBUTE: tables.write("t.csv", "Договор\tАтрибут\tЗначение", "2\tПаспорт\t4500"),
    }
    return (
        ColumnMap().with_tables({step: str(path) for step, path in files.items()}).with_pairs({"manager_id:": "33"})
    )


def test_a_joined_row_without_its_subscriber_is_refused_by_its_place(tables: Tables, joined: ColumnMap) -> None:
    tables.write("t.csv", "Договор\tАтрибут\tЗначение", "2\tПаспорт\t4500", "7\tПаспорт\t1", "\tПаспорт\t1", "8\tбез")
    found = refusals(tables.reader(joined))
    folder = tables.folder
    assert [(one.line, one.label, one.reason) for one in found] == [
        (None, "9", f"{folder}/a.csv, line 4, column Номер договора: the main table has no such contract number"),
        (None, "8", f"{folder}/t.csv, line 5: the header has 3 cells, this row 2"),
        (None, "7", f"{folder}/t.csv, line 3, column Договор: the main table has no such contract number"),
        (None, "", f"{folder}/t.csv, line 4, column Договор: the cell is empty"),
    ]


def test_a_reading_that_is_taken_up_again_gives_what_is_left(tables: Tables, joined: ColumnMap) -> None:
    whole = list(tables.reader(joined).source.pages(None))
    for begun in range(len(whole)):
        rest = list(tables.reader(joined).source.pages(whole[begun].cursor))
        assert rest == whole[begun + 1 :]


def test_a_fault_of_a_joined_row_is_its_subscribers(tables: Tables, joined: ColumnMap) -> None:
    tables.write("s.csv", "Договор,Услуга,Комментарий", "2,,по акции")
    faulty = judged(tables.reader(joined))[1]
    assert faulty.faults
    refusal = faulty.refusal()
    assert (refusal.line, refusal.label) == (3, "2")
    assert refusal.reason == f"{tables.folder}/s.csv, line 2, column Услуга: the cell is empty"
    # So are too many of them.
    tables.write("s.csv", "Договор,Услуга", *["2,5"] * (MOST + 1), *["1,5"] * MOST)
    first, second, _ = judged(tables.reader(joined))
    assert not first.faults
    assert second.refusal().reason.endswith("has more than 1000 rows of this contract number")


def test_a_manager_in_each_row_makes_no_service(tables: Tables) -> None:
    tables.write("subscribers.csv", "Договор;ФИО;Услуга;Менеджер", "1;Анна;;33", "2;Борис;ТВ;33", "3;Вера;ТВ;")
    first, second, third = judged(tables.reader())
    assert (first.faults, second.faults) == ([], [])
    assert (of(first.subscriber, Step.SERVICE), of(second.subscriber, Step.SERVICE)) == (
        [],
        [{"usluga_id": "ТВ", "manager_id": "33"}],
    )
    assert third.faults
    assert [one.place.column for one in third.faults] == ["Менеджер"]


def test_secrets_are_in_the_vault_alone(tables: Tables, joined: ColumnMap, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "secrets")
    tables.write("subscribers.csv", "Договор;ФИО;Пароль", *(f"{line};{SECRET}" for line in MAIN[1:]))
    reader = tables.reader(joined, vault=vault)
    found = subscribers(reader)
    (token,) = [one["psw"] for one in of(found[0], Step.ACCOUNT)]
    assert is_token(token)
    assert vault.open([token]) == {token: SECRET}
    assert SECRET not in repr(found)
    assert found[0].row.cells == ("1", "Анна", PLACEHOLDER)
    assert reader.columns.assigned.unused == ("Пароль",)


def test_a_secret_of_an_unreadable_row_is_not_shown(tables: Tables, joined: ColumnMap) -> None:
    tables.write("a.csv", "Договор;Логин;Пароль", f"1;anna;{SECRET};{SECRET}")
    tables.write("subscribers.csv", "Договор;ФИО;Пароль", "1;Анна;", f"2;Борис;{SECRET};{SECRET}")
    found = [one for one in refusals(tables.reader(joined)) if "has 3 cells, this row 4" in one.reason]
    assert len(found) == 2
    assert SECRET not in repr(found)


@pytest.mark.parametrize("table", ["subscribers.csv", "a.csv"])
def test_dots_of_an_export_are_no_secret(tables: Tables, joined: ColumnMap, table: str) -> None:
    columns = joined if table == "a.csv" else ColumnMap()
    tables.write(table, "Договор;ФИО;Логин;Пароль", f"1;Анна;anna;{PLACEHOLDER}")
    faulty = judged(tables.reader(columns))[0]
    assert faulty.faults
    assert [one.reason for one in faulty.faults] == ["these dots stand for a secret that was not kept: write it anew"]


def test_a_table_without_its_file_is_asked_for(tables: Tables) -> None:
    tables.write("subscribers.csv", *MAIN)
    reader = tables.reader(tables.map("[tables.accounts]", 'contract_number = "Договор"'))
    with pytest.raises(
        InputRefused, match=r"the table accounts and names no file of it: give it with --accounts FILE"
    ):
        judged(reader)


def test_memory_does_not_grow_with_joined_rows_and_nothing_is_left_of_them(tables: Tables, joined: ColumnMap) -> None:
    numbers = range(1, 6_001)
    comment = "x" * 4_000
    tables.write("subscribers.csv", MAIN[0], *(f"{number};Анна" for number in numbers))
    tables.write("s.csv", "Договор,Услуга,Комментарий", *(f"{number},5,{comment}" for number in numbers))
    reader = tables.reader(joined)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader.stage()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 16_000, "24 MB are staged"
    # A file without a name is gone with its process, however that ends.
    (staged,) = [one for one in open_files() if one.st_size > 20_000_000 and not one.st_nlink]
    assert staged.st_mode & 0o077 == 0
    assert len(reader.examine(next(iter(reader.source.pages(None))).rows)) > 100


def open_files() -> list[os.stat_result]:
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(os.fstat(int(one.name)))
    return found


def test_pages_are_read_beside_each_other(tables: Tables, joined: ColumnMap) -> None:
    numbers = range(1, 2_001)
    tables.write("subscribers.csv", MAIN[0], *(f"{number};Анна" for number in numbers))
    tables.write("s.csv", "Договор,Услуга", *(f"{number},5" for number in numbers))
    reader = tables.reader(joined)
    pages = [page.rows for page in reader.source.pages(None) if page.rows]
    with ThreadPoolExecutor(8) as pool:
        judged = [one for found in pool.map(reader.examine, pages * 4) for one in found]
    read = [one.subscriber for one in judged if not one.faults]
    assert len(read) == 4 * len(numbers)
    assert all(of(one, Step.SERVICE) == [{"manager_id": "33", "usluga_id": "5"}] for one in read)


def test_the_columns_of_joined_tables_are_told(tables: Tables, joined: ColumnMap) -> None:
    tables.write("s.csv", "Договор;Услуга;Скидка", "2;ТВ;5", encoding="cp1251")
    notes = tables.reader(joined).source.notes
    service = [one.removeprefix(f"{tables.folder}/s.csv: ") for one in notes if "/s.csv" in one]
    assert service[-2:] == ["contract_number = Договор, service.usluga_id = Услуга", "not used: Скидка"]
    assert any("CP1251" in one for one in service[:-2])


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


def test_the_file_of_a_table_lies_beside_the_map(tables: Tables) -> None:
    columns = tables.map("[tables.services]", 'file = "услуги.csv"', 'delimiter = ";"', 'contract_number = "Номер"')
    assert columns.tables[Step.SERVICE].file == str(tables.folder / "услуги.csv")
    assert columns.with_tables({Step.SERVICE: "other.csv"}).tables[Step.SERVICE].layout.delimiter == ";"


FAULTS: Final = """
[subsriber] → line 1, column 2: there is no key 'subsriber' here (did you mean 'subscriber'
[subscriber] / nmae = "ФИО" → line 2, column 1: there is no key 'nmae' here (did you mean
[subscriber] / name = 7 → line 2, column 1: a column, a list of columns, or a table with
[subscriber] / name = [] → line 2, column 1: a column, a list of columns, or a table with
[subscriber] / name = { colum = "A" } → line 2, column 10: there is no key 'colum' here
[subscriber] / name = { } → line 2, column 1: it needs either a column, columns, or a value
[[service]] / usluga_id = "A" / [[service]] / usluga_id = { columns = ["A", "B"], split = "," }
 → line 4, column 1: a split needs one column
[[service]] / usluga_id = { column = "A", split = 7 } → line 2, column 29: a text is expected, not { split = 7 }
[fields.Abonents.x] / kind = "text" / longest = "12" → a whole number is expected, not { longest = "12" }
[[service]] / when = { is = 1, column = "A" } → a table with column and is is expected, not { is = 1 }
[account] / login = { column = "A", split = "," } / ip = { column = "B", split = "," }
 → line 3, column 1: only one field of a table can have a split
[[service]] / when = { is = 1 } → line 2, column 10: a table with column and is is expected
[tables.payments] / file = "p.csv" → line 1, column 2: there is no key 'payments' here
[tables.services] / fil = "p.csv" → line 2, column 1: there is no key 'fil' here (did you mean
[fields.Payments.x] / kind = "text" → there is no key 'Payments' here
[fields.Abonents.x] / kind = "colour" → columns, column, step is expected; a kind is one of text, phone
[fields.Abonents.x] / longest = 5 → line 1, column 2: a table with kind
[fields.Abonents.x] / kind = "text" / step = "account"
 → line 3, column 1: a field of this model cannot be moved to another step
format = 9 → line 1, column 1: format = 9 is not known; this version knows 1
subscriber = 5 → line 1, column 1: a table is expected, not 5
[subscriber → is not TOML
"""


def test_a_fault_is_named_by_its_place(tables: Tables) -> None:
    for text, fault in (line.split(" → ") for line in FAULTS.strip().replace("\n →", " →").splitlines()):
        with pytest.raises(InputRefused, match=r"map\.toml") as raised:
            tables.map(*text.split(" / "))
        assert fault in str(raised.value)


def test_all_faults_of_a_map_are_named_at_once(tables: Tables) -> None:
    """A person who has to try again for each of them gives up."""
    with pytest.raises(InputRefused) as raised:
        tables.map(
            "subsriber = 1",
            "[subscriber]",
            'nmae = "ФИО"',
            "name = 7",
            'sms = "Тел"',
            "[account]",
            'login = { colum = "A" }',
            "[tables.services]",
            "fil = 1",
        )
    told = [re.sub(r".*(line \d+).*?: (.*?) .*", r"\1 \2", line) for line in str(raised.value).splitlines()]
    assert told == ["line 1 there", "line 3 there", "line 4 a", "line 7 there", "line 9 there"]


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


def test_a_pair_that_means_nothing_is_refused(tables: Tables) -> None:
    for name, fault in (
        ("colour", "--map colour=A: an import has no field colour"),
        ("logn", "did you mean 'login'?"),
        ("enabled", "several steps have a field enabled; write one of: account.enabled, service.enabled"),
        ("usluga_id", "the map has several tables [[service]], so a pair does not say which is meant"),
    ):
        with pytest.raises(InputRefused, match=re.escape(fault)):
            tables.map(*WHOLE).with_pairs({name: "A"})


def test_what_one_step_lacks_is_left_over_and_not_given_to_it_in_part() -> None:
    header = ["Договор", "ФИО", "MAC", "Значение", "Комментарий"]
    columns = TableColumns("t", header, ColumnMap())
    assert columns.parts == ()
    assert columns.assigned.unused == ("MAC", "Значение", "Комментарий")


def test_what_cannot_be_told_or_is_needed_is_asked_for() -> None:
    for header, pairs, told in (
        ("Договор ФИО Клиент", {}, r"several columns that can be name: 'ФИО', 'Клиент'. Say .* --map name=COLUMN"),
        (
            "ФИО Ном",
            {},
            r"t\.csv has no column contract_number, which each subscriber needs; it has: ФИО, Ном\. Say .* --map",
        ),
        (
            "Договор ФИО Адрес",
            {"ip": "Адрес"},
            r"has no column login, which each account needs; it has: .* in the map \(--map ip=Адрес\)",
        ),
    ):
        with pytest.raises(InputRefused, match=told):
            TableColumns("t.csv", header.split(), ColumnMap().with_pairs(pairs))
    columns = TableColumns("t.csv", ["Договор", "ФИО", "Клиент"], ColumnMap().with_pairs({"name": "Клиент"}))
    assert columns.assigned.unused == ("ФИО",)


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
    first, second = reader.absent_fields(schema, UNKNOWN)
    assert first.startswith("the billing's ABONENTS has no column A_HOME_NUMBER, which the field a_home_number of")
    assert first.endswith(": leave it out with --map a_home_number=")
    assert second.endswith("has no column MAC, which the field mac of Users is kept in: leave it out with --map mac=")
    told = Profile(columns=Fact({"users": ("login",)}, date(2026, 11, 1)))
    assert [one for one in reader.absent_fields(None, told) if "USERS has no column MAC" in one]
    left_out = ColumnMap().with_pairs({"mac": "", "a_home_number": ""})
    assert tables.reader(left_out).absent_fields(schema, UNKNOWN) == reader.absent_fields(None, UNKNOWN) == []


WITH_A_DATABASE = pytest.mark.parametrize("gateway", ["with a database"], indirect=True)


class Input:
    def __init__(self, folder: Path, gateway: Gateway, *rows: str) -> None:
        path = folder / "subscribers.csv"
        path.write_text("\n".join(["Договор;ФИО;Телефон;Логин;Пароль", *rows, ""]), encoding="utf-8")
        self.vault = folder / "vault"
        reader = SubscriberReader(open_input(path, Layout(), page_rows=2), ColumnMap(), vault=Vault(self.vault))
        self.checks = InputChecks(gateway, reader, usual_fields())
        self._source = reader.source

    def pages(self) -> list[RowPage]:
        return list(self._source.pages(None))

    def secrets(self) -> int:
        with sqlite3.connect(self.vault) as vault:
            ((number,),) = vault.execute("select count(*) from secrets").fetchall()
        vault.close()
        return int(number)


def reasons(judged: Sequence[Judged]) -> list[tuple[list[str], list[str]]]:
    return [([one.reason for one in each.faults], [one.reason for one in each.warnings]) for each in judged]


@WITH_A_DATABASE
async def test_a_row_is_judged_by_all_of_the_input_and_refused_with_all_reasons(
    tmp_path: Path, gateway: Gateway
) -> None:
    rows = [f"Н-{line};Иванов;;u{line};" for line in range(6, 10)]
    bad = "Н-2;Иванов;123;u 2;пароль", "Н-3;Иванов;123;u3;", "Н-4;Иванов;;u4;", "Н-5;Иванов;;u5;"
    given = Input(tmp_path, gateway, *bad, *rows, "Н-4;Петров;;u10;")
    first, second, *_ = [await given.checks.judge(page.rows) for page in given.pages()]
    # What is wrong is no warning besides; a row of the last page is a fault of one in an earlier one.
    assert [warnings for _, warnings in reasons([*first, *second])] == [[]] * 4
    assert reasons(second) == [(["'Н-4' is also in line 10"], []), ([], [])]
    refusal = first[0].refusal()
    assert (refusal.line, refusal.column, refusal.label) == (2, "Телефон", "Н-2")
    assert refusal.reason == (
        "'123' is not a Russian mobile number: write it as +79 and nine digits, or leave the cell empty; Логин: "
        "character 2 of 'u 2' is a space, and a login has none"
    )
    assert "пароль" not in refusal.row


@WITH_A_DATABASE
async def test_pages_are_judged_beside_each_other_and_all_is_seen_once(tmp_path: Path, gateway: Gateway) -> None:
    given = Input(tmp_path, gateway, *(f"Н-{line};Иванов;;u{line};secret{line}" for line in range(2, 12)))
    judged: list[Judged] = []

    async def judge(rows: Sequence[Row]) -> None:
        judged.extend(await given.checks.judge(rows))

    async with anyio.create_task_group() as group:
        for page in given.pages():
            group.start_soon(judge, page.rows)
    assert sorted(one.subscriber.number for one in judged) == sorted(f"Н-{line}" for line in range(2, 12))
    assert not any(one.faults for one in judged)
    # What was only seen has left nothing in the vault.
    assert given.secrets() == len(judged)


@WITH_A_DATABASE
async def test_a_value_that_one_stage_refuses_is_not_refused_again(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "subscribers.csv"
    path.write_text("Договор;ФИО;Тариф;Телефон\nН-2;Иванов;Быстрый;12\n", encoding="utf-8")
    fields = usual_fields()
    lookup = NameLookup(None, fields, NamesThere())
    reader = SubscriberReader(open_input(path, Layout()), ColumnMap(), (lookup,))
    checks = InputChecks(gateway, reader, fields)
    (page,) = reader.source.pages(None)
    ((faults, _),) = reasons(await checks.judge(page.rows))
    assert [one.partition(" ")[0] for one in faults] == ["'Быстрый'", "'12'"]
    assert "a dictionary says which it is" in faults[0]


FIELDS = usual_fields()
ALL = [(step, name) for step, name, _ in FIELDS.names()]
BEYOND_THE_DOCUMENTED = {(Step.SUBSCRIBER, "a_home_number")}


def documented(without: str = "") -> Schema:
    """A billing with the documented columns, less one."""
    pairs = ((table, name) for table, names in DOCUMENTED.items() for name in names)
    return Schema.of(pair for pair in pairs if ".".join(pair) != without)


def test_every_field_is_a_documented_column_or_named_here_and_no_name_stands_for_two_of_a_row() -> None:
    absent = FIELDS.absent(ALL, documented(), Profile())
    assert {(step, name) for step, name, _ in absent} == BEYOND_THE_DOCUMENTED
    once = [name for step, name, field in FIELDS.names() if not (step in SEVERAL and field.own_table)]
    assert sorted(once) == sorted(set(once))
    # One that a probe has seen refused is absent.
    told = Profile(create_fields=Fact({"Users": {"login": True, "mac": False}}, date(2026, 11, 1)))
    absent = FIELDS.absent([(Step.ACCOUNT, "login"), (Step.ACCOUNT, "mac")], documented(), told)
    assert [(name, str(why)) for _, name, why in absent] == [
        ("mac", "objects.create of Users does not take the field mac (the probe of 2026-11-01)")
    ]


def test_fields_that_no_probe_has_tried_are_told() -> None:
    created = {"Abonents": ["name", "sms", "name"], "Users": ["login"]}
    assert untried_fields(created, Profile()) == [
        "objects.create takes these fields: Abonents (name, sms), Users (login)"
    ]
    facts = {"Abonents": {"name": True, "sms": True}, "Users": {"login": False}}
    told = Profile(create_fields=Fact(facts, date(2026, 11, 1)))
    assert untried_fields(created, told) == ["objects.create takes these fields: Users (login)"]
    assert untried_fields({"Abonents": ["name"]}, told) == []


@given(st.lists(st.text(min_size=1).map(str.strip).filter(bool), max_size=4))
def test_the_names_of_folders_come_back_from_their_path(names: list[str]) -> None:
    assert folder_names(folder_path(names)) == tuple(names)


def test_the_page_has_every_field_with_its_usual_names() -> None:
    page = (ROOT / "docs" / "reference" / "import.md").read_text(encoding="utf-8")
    for step, name, known in FIELDS.names():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {step} | `{name}` |")]
        names = () if known.only_named else (*usual_names(name, known.columns), *known.columns)
        own = "only in a table of its own: " if known.own_table else ""
        needed = "yes" if known.required else ""
        cells = [step, f"`{name}`", STEP_MODELS[step], known.kind, needed, own + ", ".join(names)]
        assert row == f"| {' | '.join(cells)} |"
    assert all(kind in page for kind in FieldKind)


def test_the_map_of_the_page_is_one(tables: Tables) -> None:
    page = (ROOT / "docs" / "reference" / "import.md").read_text(encoding="utf-8")
    text = next(one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[subscriber]" in one)
    columns = tables.map(*text.splitlines())
    assert len(columns.parts) == 4
    assert columns.once.keys() == {"contract_number", "name", "operator_id", "folder", "debt", "email"}
    assert columns.fields.of_step(Step.SUBSCRIBER)["inn"].longest == 12


REFERENCES = usual_fields().references


@dataclass(slots=True)
class Table(Source):
    """A table of subscribers, three rows a page; what its rows are was said before."""

    subscribers: Sequence[Judged]
    unreadable: tuple[Refusal, ...] = ()
    readings: list[str | None] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "subscribers.csv"

    @property
    def header(self) -> tuple[str, ...]:
        return ("n",)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        self.readings.append(after)
        rows = [one.subscriber.row for one in self.subscribers]
        for at in range(int(after or 0), max(len(rows), 1), 3):
            yield RowPage(tuple(rows[at : at + 3]), () if at else self.unreadable, str(at + 3))


def row(line: int, *parts: tuple[Step, dict[str, str]]) -> Judged:
    return Judged(made(line, *parts, cells=(str(line),)))


def of_tariff(line: int, tariff: str) -> Judged:
    return row(line, (Step.SUBSCRIBER, {"name": "И"}), (Step.TARIFF, {"tarif_id": tariff}))


def chosen(size: int, table: Table) -> SampleFacts:
    sample = RowSample(size, usual_fields())
    by_line = {one.subscriber.row.line: one for one in table.subscribers}

    def judge(rows: Sequence[Row]) -> list[Judged]:
        judged = [by_line[one.line] for one in rows]
        for one in judged:
            if not one.faults:
                sample(one.subscriber)
        return judged

    return sample.choose(table, judge)


def told(facts: SampleFacts) -> list[str]:
    return [str(note) for note in facts.notes]


SUMS: Final = {6: "-5", 7: "5", 8: "0.00", 9: "7"}


def test_every_tariff_service_and_kind_of_row_is_in_the_sample() -> None:
    person = (Step.SUBSCRIBER, {"name": "И"})
    balances = [row(line, person, (Step.BALANCE, {"op_summa": sum_})) for line, sum_ in SUMS.items()]
    two_logins = ((Step.ACCOUNT, {"login": login}) for login in "xy")
    television = (Step.SERVICE, {"usluga_id": "TV", "manager_id": "М"})
    in_folder = (Step.FOLDER, {"path": "Дома"}), (Step.SUBSCRIBER, {"name": "И", "email": "a@example.org"})
    rows = (row(5, person, *two_logins), *balances, row(10, person, television), row(11, *in_folder))
    table = Table([of_tariff(2, "A"), of_tariff(3, "A"), of_tariff(4, "B"), *rows])
    facts = chosen(8, table)
    assert facts.lines == {2, 4, 5, 6, 7, 8, 10, 11}
    assert facts.needed == 8
    (note,) = told(facts)
    assert note == (
        "a sample of 8 rows out of 10: kind of row: 19 of 19, tariff: 2 of 2, service: 1 of 1, "
        "administrator: 1 of 1, folder: 1 of 1"
    )


def test_what_a_sample_has_no_room_for_is_named_with_the_rows_that_would_be_needed() -> None:
    facts = chosen(2, Table([of_tariff(line, f"T{line % 9}") for line in range(2, 40)]))
    assert len(facts.lines) == 2
    assert facts.needed == 9
    assert told(facts)[1] == (
        "not in the sample: tariff 'T4', tariff 'T5', tariff 'T6', tariff 'T7', tariff 'T8' and more; "
        "--sample 9 has everything"
    )
    assert chosen(9, Table([of_tariff(line, f"T{line % 9}") for line in range(2, 40)])).missing == ()


def test_rows_with_faults_are_not_chosen_from() -> None:
    bad = Judged(made(3, cells=("3",)), [ValueFault(Place(3, "n"), "x", "bad")])
    table = Table([of_tariff(2, "A"), bad, of_tariff(4, "B")], unreadable=(Refusal(9, None, "", "torn", ()),))
    facts = chosen(5, table)
    assert (sorted(facts.lines), facts.rows, facts.faulty) == ([2, 4], 4, 2)
    assert told(facts)[-1] == "2 rows have faults and are not chosen from"


def test_the_rows_left_out_are_counted_also_after_a_kill() -> None:
    table = Table([of_tariff(line, "A") for line in range(2, 12)], unreadable=(Refusal(99, None, "", "torn", ()),))
    source = Sampled(table, lambda: chosen(2, table))
    pages = list(source.pages(None))
    assert [one.line for page in pages for one in page.rows] == [2, 3]
    assert sum(page.left_out["--sample"] for page in pages) == 9
    assert [page.refusals for page in pages] == [()] * 4
    again = list(Sampled(table, lambda: chosen(2, table)).pages("3"))
    assert [one.left_out["--sample"] for one in again] == [3, 3, 1]


ROWS = st.lists(
    st.tuples(st.sets(st.sampled_from("ABCDEFG"), max_size=3), st.sets(st.sampled_from("xyz"), max_size=2)),
    max_size=24,
)


@given(ROWS, st.integers(1, 8))
def test_a_choice_is_greedy_and_the_same_each_time(made: list[tuple[set[str], set[str]]], size: int) -> None:
    def of_line(line: int, services: set[str], attributes: set[str]) -> Judged:
        named = [(Step.SERVICE, {"usluga_id": one}) for one in sorted(services)]
        named += [(Step.ATTRIBUTE, {"attribute_id": one}) for one in sorted(attributes)]
        return row(line, (Step.SUBSCRIBER, {"name": "И"}), *named)

    table = Table([of_line(line, *one) for line, one in enumerate(made, 2)])
    facts = chosen(size, table)
    subscribers = [one.subscriber for one in table.subscribers]
    order = list(one_by_one(subscribers))
    assert facts.needed == len(order)
    assert set(order[:size]) <= facts.lines
    assert len(facts.lines) == min(size, len(made))
    assert facts == chosen(size, table)


def one_by_one(subscribers: Iterable[Subscriber]) -> Iterator[int]:
    """The lines of a greedy choice, as a book would write it."""
    left = {one.row.line or 0: set(traits_of(one, REFERENCES)) for one in subscribers}
    while left and (best := max(left, key=lambda line: len(left[line]))) and left[best]:
        yield best
        added = left.pop(best)
        left = {line: traits - added for line, traits in left.items()}


def test_memory_does_not_grow_with_the_rows() -> None:
    sample = RowSample(20, usual_fields())
    blocks: list[int] = []

    class Long(Table):
        def pages(self, after: str | None) -> Iterator[RowPage]:
            for at in range(0, 10_100, 100):
                if at in {2_000, 10_000}:
                    gc.collect()
                    blocks.append(sys.getallocatedblocks())
                yield RowPage(tuple(Row(line, ()) for line in range(at + 1, at + 101)), (), str(at))

    def judge(page: Sequence[Row]) -> list[Judged]:
        judged = [of_tariff(one.line or 0, f"T{(one.line or 0) % 50}") for one in page]
        for one in judged:
            sample(one.subscriber)
        return judged

    assert len(sample.choose(Long([]), judge).lines) == 20
    # Whatever is kept of a row is a block at least.
    assert blocks[1] - blocks[0] < 2_000


def test_a_trial_goes_into_one_folder_whatever_the_rows_say() -> None:
    one = row(2, (Step.FOLDER, {"path": "Дома/Мира 5"}), (Step.SUBSCRIBER, {"name": "И"}))
    for folder, is_id, name in (("Проба", False, "path"), ("89", True, "id")):
        put, faults = in_folder(folder, is_id=is_id)(one.subscriber)
        assert [(part.step, part.text(name)) for part in put.parts] == [(Step.FOLDER, folder), (Step.SUBSCRIBER, "")]
        assert list(faults) == []


# ---- the tables of other billings in examples/ --------------------------------------------------------------------

EXAMPLES = ROOT / "examples"
PASSWORD = "a token"
MANAGER = "Миграция"
Steps = list[tuple[str, dict[str, str]]]

EXPECTED_TEXT: Final = r"""
utm5
  71001 / folder: path=Псков/Пригородная ул. / subscriber: name=Соколов Андрей Викторович | sms=+79000000101 |
      email=sokolov@example.org | a_home_number=5/1, кв. 12 / account: login=sokolov | psw=a token | ip=10.1.0.11 |
      mac=00:11:22:33:44:11 / tariff: tarif_id=Домашний 100 / service: usluga_id=Аренда роутера / balance:
      op_summa=250,50
  71002 / folder: path=Псков/Речная ул. / subscriber: name=Орлова Марина Сергеевна | sms=8 900 000-01-02 |
      a_home_number=3 / account: login=orlova | psw=a token | ip=10.1.0.12 / tariff: tarif_id=Домашний 300 /
      balance: op_summa=-120,00
  71003 / folder: path=Остров/Заводской пр-д / subscriber: name=ООО «Вектор» | sms=+79000000103 |
      email=office@example.org | a_home_number=1 / account: login=vektor-1 | psw=a token | ip=10.1.0.13 |
      mac=00:11:22:33:44:13 / account: login=vektor-2 | psw=a token | ip=10.1.0.14 | mac=00:11:22:33:44:14 / tariff:
      tarif_id=Бизнес 50 / service: usluga_id=Статический адрес / service: usluga_id=Аренда роутера / balance:
      op_summa=0,00
lanbilling
  ЛБ-000123 / folder: path=Дачи \/ Север / subscriber: name=Егоров Павел Ильич | sms=+79000000201 |
      email=egorov@example.org / account: login=egorov | ip=10.2.0.21 | enabled=1 / account: login=egorov-tv |
      ip=10.2.0.22 | enabled=1 / tariff: tarif_id=Домашний 100 / service: usluga_id=Цифровое ТВ / balance:
      op_summa=15.7
  ЛБ-000124 / folder: path=Дачи \/ Север / subscriber: name=Морозова Анна Олеговна / account: login=morozova |
      ip=10.2.0.23 | enabled=0 / tariff: tarif_id=Домашний 300 / balance: op_summa=-300
hydra
  0004501 / folder: path=Гидра / subscriber: name=Быстров Олег Юрьевич / account: login=bystrov / service:
      usluga_id=Аренда роутера / balance: op_summa=926,07
  0004502 / folder: path=Гидра / subscriber: name=АО "Северный ветер" / account: login=sever-veter / service:
      usluga_id=Статический адрес / service: usluga_id=Цифровое ТВ / balance: op_summa=-15000
abills
  A-17 / folder: path=Юг / subscriber: name=Лебедев Игорь Петрович | sms=+79000000401 | email=lebedev@example.org
      | a_home_number=14 / account: login=lebedev | psw=a token | ip=10.3.0.31 | mac=00:11:22:33:44:31 / tariff:
      tarif_id=Домашний 100 / service: usluga_id=Цифровое ТВ | comment=карта 77 / attribute: attribute_id=Номер
      паспорта | attribute_value=5800 000001 / balance: op_summa=99.99
  A-18 / folder: path=Юг / subscriber: name=Зайцева Ольга, ИП | sms=+79000000402 | a_home_number=16а / account:
      login=zaiceva | psw=a token | ip=10.3.0.32 / tariff: tarif_id=Бизнес 50 / balance: op_summa=-45.50
carbon4
  15J34 / folder: path=Центр / subscriber: name=Виноградова Татьяна Ивановна | sms=+79000000501 / account:
      login=vin34 | ip=167968769 | mac=00:11:22:33:44:51 / tariff: tarif_id=Льготный / balance: op_summa=12.00
  00123 / folder: path=Центр / subscriber: name=Жуков Степан Андреевич | sms=+79000000502 |
      email=zhukov@example.org / account: login=zhukov | ip=167968770 / tariff: tarif_id=Домашний 100 / service:
      usluga_id=Аренда роутера | next_date=01.12.2026 / balance: op_summa=-7.35
"""
"""By example its subscribers, each a number and its steps."""


def expected() -> Iterator[tuple[str, dict[str, Steps]]]:
    for block in re.split(r"\n(?=\S)", EXPECTED_TEXT.strip()):
        name, *subscribers = re.sub(r"\n {6}", " ", block).split("\n  ")
        found: dict[str, Steps] = {}
        for number, *steps in (one.split(" / ") for one in subscribers):
            found[number] = []
            for step, values in (one.split(": ", 1) for one in steps):
                own = {"subscriber": {"contract_number": number}, "service": {"manager_id": MANAGER}}.get(step, {})
                found[number].append((step, own | dict(pair.split("=", 1) for pair in values.split(" | "))))
        yield name, found


EXPECTED: Final = dict(expected())


def reader_of(name: str) -> SubscriberReader:
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
        one.number: [
            (step, {name: PASSWORD if is_token(text) else text for name, text in values.items()})
            for step, values in texts(one)
        ]
        for one in subscribers(reader)
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
    # The name of a selected column is its alias, or what stands after the dot.
    selected = {file: tuple(re.findall(r"(\S+?)(?:,\n|\s*\Z)", columns)) for file, columns in selects}
    selected = {file: tuple(one.rpartition(".")[2] for one in columns) for file, columns in selected.items()}
    tables = [path for path in (EXAMPLES / name).iterdir() if path.suffix in {".csv", ".tsv"}]
    assert {path.name: open_input(path, Layout()).header for path in tables} == selected


@pytest.mark.parametrize("name", EXPECTED)
def test_the_values_of_an_example_are_those_of_a_call(name: str) -> None:
    columns = read_map(EXAMPLES / name / "map.toml")
    names = {(step, field) for step, field, one in columns.fields.names() if one.kind is FieldKind.ID}

    def with_ids(subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        # Names become ids by a dictionary, which belongs to the billing that they are imported into.
        parts = []
        for part in subscriber.parts:
            ids = {key: replace(value, text="7") for key, value in part.values.items() if (part.step, key) in names}
            parts.append(replace(part, values={**part.values, **ids}))
        return replace(subscriber, parts=tuple(parts)), ()

    (main,) = (EXAMPLES / name).glob("subscribers.*")
    checks = ValueChecks(columns.fields, today=lambda: date(2026, 11, 26))
    reader = SubscriberReader(open_input(main, Layout()), columns, [with_ids, checks])
    assert [one.number for one in subscribers(reader)] == list(EXPECTED[name])
