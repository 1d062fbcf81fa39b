"""The rows of a select, taken up after any page, whichever way they are read."""

import tempfile
import tracemalloc
from pathlib import Path

import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.errors import NoRoom, RowsChanged
from billing.selects.select_reader import SelectReader, reading
from tests.billing.selects.selecting import read

FOLDER = 1000
OPEN_TRANSACTIONS = "select mon$attachment_id from mon$transactions where mon$state = 1"
BOTH_WAYS = (
    "select id, name, cast(1 as numeric(9, 2)) as n from abonents where parent_id = :folder",
    "select id, name, cast(1 as numeric(9, 2)) as n from abonents where parent_id = :folder order by name",
)


@pytest.mark.parametrize("text", BOTH_WAYS)
def test_it_is_taken_up_after_any_page(database: Database, text: str) -> None:
    again = read(database, text, {"folder": str(FOLDER)})
    pages = list(again.pages(size=60))
    assert len(pages) == 5
    for number, page in enumerate(pages):
        assert list(again.pages(page.cursor, size=60)) == pages[number + 1 :]


def test_negative_keys_come_first(database: Database) -> None:
    connection = attach(database.dsn)
    connection.execute_immediate("insert into tarif (id, name) values (-5, 'x')")
    connection.execute_immediate("insert into tarif (id, name) values (0, 'x')")
    connection.commit()
    connection.close()
    walked = read(database, "select id from tarif")
    assert not walked.at_once
    assert [page.cursor for page in walked.pages(size=1)] == ["-5", "0", "1", "2", "3", "4", "5", "6"]
    assert next(walked.pages("-5", size=1)).cursor == "0"


@pytest.mark.parametrize("text", BOTH_WAYS)
def test_no_transaction_is_open_between_pages(billing_file: Path, text: str) -> None:
    with Database(Dsn(str(billing_file))) as database, Database(Dsn(str(billing_file))) as other:
        pages = read(database, text, {"folder": FOLDER}).pages(size=60)
        next(pages)
        assert len(list(other.query(OPEN_TRANSACTIONS))) == 1
        del pages


# ---- read at once -----------------------------------------------------------------------------------------------


@pytest.fixture
def in_order(database: Database) -> SelectReader:
    return read(database, "select id, name from tarif order by name, id")


def change(database: Database, sql: str) -> None:
    connection = attach(database.dsn)
    connection.execute_immediate(sql)
    connection.commit()
    connection.close()


def test_what_changes_behind_the_cursor_is_taken(database: Database, in_order: SelectReader) -> None:
    second = list(in_order.pages(size=2))[1]
    change(database, "update tarif set name = 'я' where id = 6")
    change(database, "insert into tarif (id, name) values (7, 'я')")
    rest = [row.cells for page in in_order.pages(second.cursor, size=2) for row in page.rows]
    assert rest == [("5", "Тариф 5"), ("6", "я"), ("7", "я")]


@pytest.mark.parametrize(
    "sql",
    [
        "update tarif set name = 'А' where id = 3",
        "update tarif set name = 'Тариф 2 ' || 'б' where id = 2",
        "insert into tarif (id, name) values (7, 'А')",
        "delete from tarif where id in (1)",
        "delete from tarif where id > 1",
    ],
)
def test_what_changes_before_the_cursor_is_told(database: Database, in_order: SelectReader, sql: str) -> None:
    pages = list(in_order.pages(size=2))
    change(database, "delete from tarif_users_usluga")
    change(database, "update abonents set tarif_id = null")
    assert list(in_order.pages(pages[1].cursor, size=2)) == pages[2:]
    change(database, sql)
    with pytest.raises(RowsChanged, match="the first 4 rows are no longer those"):
        next(in_order.pages(pages[1].cursor, size=2))


def test_other_names_or_another_way_are_another_reading(database: Database, in_order: SelectReader) -> None:
    cursor = next(in_order.pages(size=2)).cursor
    renamed = reading(database, in_order.select, names=("key", "name"))
    with pytest.raises(RowsChanged):
        next(renamed.pages(cursor))
    with pytest.raises(RowsChanged, match="along a key"):
        next(in_order.pages("2"))


def test_rows_that_cannot_be_kept(in_order: SelectReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(NoRoom, match=r"temporary folder .*nowhere: No such file .* name another folder with TMPDIR"):
        next(in_order.pages())


def test_a_disk_that_is_full(in_order: SelectReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b", buffering=0))  # noqa: PTH123, SIM115
    with pytest.raises(NoRoom, match="No space left on device"):
        next(in_order.pages())


# ---- many rows --------------------------------------------------------------------------------------------------


def peak_of(many: SelectReader, wanted: int) -> int:
    """Bytes of Python's memory at most, while all pages go through and none is kept."""
    taken = 0
    tracemalloc.start()
    try:
        for page in many.pages():
            taken += len(page.rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken == wanted
    return peak


def test_memory_does_not_grow_with_the_rows(database: Database) -> None:
    change(database, "create table many (id integer not null primary key, name varchar(60))")
    change(
        database,
        "insert into many with recursive n as (select 0 as i from rdb$database union all select i + 1 from n"
        " where i < 999) select a.i * 1000 + b.i, 'Абонент ' || b.i from n a, n b where a.i < 20",
    )
    at_once = read(database, "select name, id from many")
    along_key = read(database, "select id, name from many where id < 15000")
    assert (at_once.at_once, along_key.at_once) == (True, False)
    # Half of what the fewer of these rows would take, were they kept.
    assert peak_of(at_once, 20_000) < 1_500_000
    assert peak_of(along_key, 15_000) < 1_500_000
