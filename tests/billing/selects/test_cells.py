"""Values of a select as the texts of its cells, and texts as its parameters, with Firebird 5 and 3."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.database.database import Database, attach
from billing.errors import StatementRefused
from billing.selects.cells import LONGEST_CELL, CellTrouble, SelectCellFault
from tests.billing.selects.selecting import cells_of, fault_of, rows_of
from tests.conftest import SHARED_FIXTURES

FOR_A_MINUTE = settings(max_examples=60, suppress_health_check=SHARED_FIXTURES)


def among_others(expression: str) -> str:
    return f"select 7 as a, {expression} as b, 'x' as c from rdb$database"  # noqa: S608 - what is tested is SQL


@pytest.mark.parametrize(
    ("expression", "cell"),
    [
        ("7", "7"),
        ("-9223372036854775807", "-9223372036854775807"),
        ("cast(12 as numeric(18, 0))", "12"),
        ("cast(120.5 as numeric(9, 2))", "120.50"),
        ("cast(-0.05 as numeric(9, 2))", "-0.05"),
        ("cast(5 as numeric(9, 1))", "5.0"),
        ("cast(301 as numeric(18, 5))", "301.00"),
        ("cast(1.2340 as numeric(18, 4))", "1.234"),
        ("cast(90071992547409.9301 as numeric(18, 4))", "90071992547409.9301"),
        ("cast(0.5 as double precision)", "0.5"),
        ("cast(0.1 as double precision)", "0.1"),
        ("cast(-1200 as double precision)", "-1200"),
        ("cast(0 as double precision)", "0"),
        ("cast(1e-7 as double precision)", "0.0000001"),
        ("cast(123456789012.25 as double precision)", "123456789012.25"),
        ("cast(0.5 as float)", "0.5"),
        ("cast('2019-06-01' as date)", "2019-06-01"),
        ("cast('0001-02-03' as date)", "0001-02-03"),
        ("cast('2019-06-01' as timestamp)", "2019-06-01 00:00:00"),
        ("cast('2019-06-01 23:59:59.5' as timestamp)", "2019-06-01 23:59:59.5"),
        ("cast('2019-06-01 23:59:59.0001' as timestamp)", "2019-06-01 23:59:59.0001"),
        ("cast('12:30' as time)", "12:30:00"),
        ("cast(null as integer)", ""),
        ("cast(null as double precision)", ""),
        ("cast('АБ' as char(10))", "АБ"),
        ("cast(' x ' as varchar(9))", " x"),
        ("''", ""),
        ("cast('Ёж' as blob sub_type text)", "Ёж"),
        ("1 = 1", "true"),
        ("1 = 0", "false"),
    ],
)
def test_values_as_text(either_database: Database, expression: str, cell: str) -> None:
    assert cells_of(either_database, among_others(expression)) == ("7", cell, "x")


@pytest.mark.parametrize(
    "expression",
    [
        "cast(0.1 as double precision) * 3",
        "cast(0.1 as float)",
        "cast(1e15 as double precision)",
        "cast(1e300 as double precision)",
        "cast(1e-20 as double precision)",
    ],
)
def test_a_float_that_is_not_exact_is_the_rows_fault(either_database: Database, expression: str) -> None:
    (row,) = rows_of(either_database, among_others(expression))
    assert (row.cells[0], row.cells[2]) == ("7", "x")
    assert float(row.cells[1])
    assert row.fault is not None
    assert row.fault.column == "column2"
    assert row.fault.reason.startswith(f"{row.cells[1]} is a floating-point number")
    assert "cast(… as numeric(18,2))" in row.fault.reason


def test_sums_and_quotients_of_a_newer_firebird(database: Database) -> None:
    assert cells_of(
        database,
        "select sum(ostatok), sum(debit) / 100, cast(1 as numeric(10, 2)) / 10000000000, cast(2.5 as decfloat),"
        " cast(current_timestamp as date) - current_date from admin_accounts where id < 0 or id = 2001",
    )[2:] == ("0.00", "2.5", "0")
    (total,) = cells_of(database, "select sum(ostatok) from admin_accounts")
    assert int(total) == sum(row[0] for row in database.query("select ostatok from admin_accounts"))
    with pytest.raises(StatementRefused, match="Integer overflow"):
        cells_of(database, "select sum(ostatok) * 1000000000 from admin_accounts")


def test_texts_that_cannot_be_decoded(database: Database) -> None:
    fault = fault_of(database, "select cast(x'C0C1' as varchar(9) character set none) from rdb$database")
    assert fault == SelectCellFault("column1", CellTrouble.CHARSET)
    assert fault.reason == "has bytes that are not letters of the database's charset: WIN1251 may be the right one"


def test_long_texts(database: Database) -> None:
    connection = attach(database.dsn)
    connection.execute_immediate("create table notes (id integer not null primary key, note blob sub_type text)")
    connection.commit()
    for number, length in enumerate([60_000, LONGEST_CELL, LONGEST_CELL + 1]):
        connection.cursor().execute("insert into notes values (?, ?)", (number, "ж" * length))
    connection.commit()
    connection.close()
    found = rows_of(database, "select id, note from notes")
    assert [len(row.cells[1]) for row in found] == [60_000, LONGEST_CELL, LONGEST_CELL]
    assert {row.cells[1].strip("ж") for row in found} == {""}
    fault = SelectCellFault("column2", CellTrouble.LENGTH)
    assert [row.fault for row in found] == [None, None, fault]
    assert fault.reason == "is longer than 100000 characters"


@FOR_A_MINUTE
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=40))
@example("'; delete from abonents; --")
@example(":a ? \x00")
def test_texts_go_there_and_back(database: Database, text: str) -> None:
    select = "select cast(:text as varchar(60)), cast(:text as blob sub_type text) from rdb$database"
    assert cells_of(database, select, {"text": text}) == (text.rstrip(" "), text.rstrip(" "))


# ---- parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "text", "typed"),
    [
        ("parent_id = :v", "1000", 1000),
        ("id in (2001, :v)", " 2002", 2002),
        ("create_date > :v", "2019-06-01", "2019-06-01 00:00:00"),
        ("need_recalc is null and deleted = :v", "0", 0),
        ("contract_number = :v", "00001", "00001"),
        ("id * 1.5 > :v", "3500.5", "3500.5"),
    ],
)
def test_firebird_casts_a_text_to_what_it_is_compared_with(
    either_database: Database, condition: str, text: str, typed: str | int
) -> None:
    select = f"select id from abonents where {condition} order by id"  # noqa: S608 - what is tested is SQL
    found = rows_of(either_database, select, {"v": text})
    assert found
    assert found == rows_of(either_database, select, {"v": typed})
