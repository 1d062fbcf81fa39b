"""Rows of several tables become subscribers: joined by contract number, with their faults, without their secrets."""

import os
import resource
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from billing.secret import PLACEHOLDER
from engine.errors import InputRefused
from jobs.access.vault import Vault, is_token
from jobs.imports.column_map import ColumnMap
from jobs.imports.subscriber import Faulty, Step, Subscriber, ValueFault
from jobs.imports.tables import MOST
from tests.jobs.imports.reading import Tables, judged, of, refusals, subscribers

SECRET = "s3cr3t-пароль"
MAIN = ("Договор;ФИО", "1;Анна", "2;Борис", "3;Вера")


@pytest.fixture
def joined(tables: Tables) -> ColumnMap:
    """Three tables beside the main one."""
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


def test_rows_are_joined_by_contract_number(tables: Tables, joined: ColumnMap) -> None:
    first, second, third = subscribers(tables.reader(joined))
    assert [part.step for part in second.parts] == [
        Step.SUBSCRIBER,
        Step.ACCOUNT,
        Step.SERVICE,
        Step.SERVICE,
        Step.ATTRIBUTE,
    ]
    assert of(second, Step.SERVICE) == [
        {"manager_id": "33", "usluga_id": "ТВ", "comment": "по акции"},
        {"manager_id": "33", "usluga_id": "Роутер"},
    ]
    assert of(second, Step.ACCOUNT) == [{"login": "boris"}]
    assert of(first, Step.SERVICE) == [{"manager_id": "33", "usluga_id": "Интернет"}]
    assert [part.step for part in third.parts] == [Step.SUBSCRIBER]
    place = second.of(Step.SERVICE)[1].values["usluga_id"].place
    assert (place.line, place.column, place.table) == (4, "Услуга", str(tables.folder / "s.csv"))


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
    assert isinstance(faulty, Faulty)
    refusal = faulty.refusal()
    assert (refusal.line, refusal.label) == (3, "2")
    assert refusal.reason == f"{tables.folder}/s.csv, line 2, column Услуга: the cell is empty"


def test_all_faults_of_a_row_are_told_at_once(tables: Tables) -> None:
    tables.write("subscribers.csv", "Договор;ФИО;Логин;MAC", "1;;;00:00:00:00:00:01", ";Анна;;")

    def nobody(subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        part = subscriber.part(Step.ACCOUNT)
        return subscriber, [ValueFault(part.values["mac"].place, "00", "a strange MAC")] if part else []

    first, second = judged(tables.reader(stages=[nobody]))
    assert isinstance(first, Faulty)
    assert [(one.place.column, one.reason) for one in first.faults] == [
        ("ФИО", "the cell is empty"),
        ("Логин", "the cell is empty"),
        ("MAC", "a strange MAC"),
    ]
    assert isinstance(second, Faulty)
    assert [one.place.column for one in second.faults] == ["Договор"]


def test_a_manager_in_each_row_makes_no_service(tables: Tables) -> None:
    tables.write("subscribers.csv", "Договор;ФИО;Услуга;Менеджер", "1;Анна;;33", "2;Борис;ТВ;33", "3;Вера;ТВ;")
    first, second, third = judged(tables.reader())
    assert isinstance(first, Subscriber)
    assert isinstance(second, Subscriber)
    assert (of(first, Step.SERVICE), of(second, Step.SERVICE)) == ([], [{"usluga_id": "ТВ", "manager_id": "33"}])
    assert isinstance(third, Faulty)
    assert [one.place.column for one in third.faults] == ["Менеджер"]


def test_stages_follow_each_other(tables: Tables) -> None:
    tables.write("subscribers.csv", "Договор;ФИО;Тариф", "1;Анна;Быстрый")

    def to_id(subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        parts = tuple(part.with_texts({"tarif_id": "7"}) for part in subscriber.parts)
        return Subscriber(subscriber.row, subscriber.number, parts), ()

    def plus_one(subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        tariff = subscriber.part(Step.TARIFF)
        assert tariff is not None
        parts = (tariff.with_texts({"tarif_id": str(int(tariff.text("tarif_id")) + 1)}),)
        return Subscriber(subscriber.row, subscriber.number, parts), ()

    (only,) = subscribers(tables.reader(stages=[to_id, plus_one]))
    assert of(only, Step.TARIFF) == [{"tarif_id": "8"}]


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
    assert isinstance(faulty, Faulty)
    assert [one.reason for one in faulty.faults] == ["these dots stand for a secret that was not kept: write it anew"]


def test_a_table_without_its_file_is_asked_for(tables: Tables) -> None:
    tables.write("subscribers.csv", *MAIN)
    reader = tables.reader(tables.map("[tables.accounts]", 'contract_number = "Договор"'))
    with pytest.raises(
        InputRefused, match=r"the table accounts and names no file of it: give it with --accounts FILE"
    ):
        judged(reader)


def test_a_number_with_too_many_rows_is_refused(tables: Tables, joined: ColumnMap) -> None:
    tables.write("s.csv", "Договор,Услуга", *["2,5"] * (MOST + 1), *["1,5"] * MOST)
    first, second, _ = judged(tables.reader(joined))
    assert isinstance(first, Subscriber)
    assert isinstance(second, Faulty)
    assert second.refusal().reason.endswith("has more than 1000 rows of this contract number")


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
    assert len(reader.read(next(iter(reader.source.pages(None))).rows)[0]) > 100


def open_files() -> list[os.stat_result]:
    """The files that this process has open."""
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
        read = [one for found, _ in pool.map(reader.read, pages * 4) for one in found]
    assert len(read) == 4 * len(numbers)
    assert all(of(one, Step.SERVICE) == [{"manager_id": "33", "usluga_id": "5"}] for one in read)


def test_the_columns_of_joined_tables_are_told(tables: Tables, joined: ColumnMap) -> None:
    tables.write("s.csv", "Договор;Услуга;Скидка", "2;ТВ;5", encoding="cp1251")
    notes = tables.reader(joined).source.notes
    service = [one.removeprefix(f"{tables.folder}/s.csv: ") for one in notes if "/s.csv" in one]
    assert service[-2:] == ["contract_number = Договор, service.usluga_id = Услуга", "not used: Скидка"]
    assert any("CP1251" in one for one in service[:-2])
