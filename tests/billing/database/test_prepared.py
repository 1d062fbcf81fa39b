"""A statement laid out once gives the rows that fdb's cursor gives, run after run, whatever its values are."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.database.prepared import Prepared
from billing.database.reader import Connection, FirebirdRefusal
from billing.database.sql_blocks import Value
from tests.conftest import SHARED_FIXTURES

COLUMNS = "small, whole, large, money, share, text, padded, a_day, moment"
TABLE = """
    create table kinds (
        small smallint, whole integer, large bigint, money numeric(18, 2), share double precision,
        text varchar(20), padded char(20), a_day date, moment timestamp, story blob sub_type text)
"""
INSERT = f"insert into kinds ({COLUMNS}) values ({', '.join('?' * 9)})"  # noqa: S608 - names of ours
SELECT = f"select {COLUMNS} from kinds"  # noqa: S608 - the same
SINCE = datetime(1900, 1, 1)  # noqa: DTZ001 - Firebird's dates have no zone
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
ROWS = st.tuples(
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.integers(-(10**12), 10**12),
    st.none() | st.integers(-(2**53), 2**53),
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.none() | st.dates(date(1, 1, 1)),
    st.none() | st.datetimes(SINCE).map(lambda moment: moment.replace(microsecond=0)),
)


@pytest.fixture
def connection(billing_file: Path) -> Iterator[Connection]:
    opened = attach(Dsn(str(billing_file)))
    opened.execute_immediate(TABLE)
    opened.commit()
    yield opened
    opened.close()


def run(connection: Connection, sql: str, *values: Value) -> list[tuple[object, ...]]:
    return prepared(connection, sql).run(values)


def prepared(connection: Connection, sql: str) -> Prepared:
    return Prepared(connection.main_transaction, connection.cursor(), sql, "utf-8")


@settings(suppress_health_check=SHARED_FIXTURES)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_what_is_given_is_what_fdb_reads_and_what_is_read(
    connection: Connection, rows: list[tuple[Value, ...]]
) -> None:
    insert, delete = prepared(connection, INSERT), prepared(connection, "delete from kinds")
    delete.run(())
    for row in rows:
        assert insert.run(row) == []
    wanted = [(*row[:6], None if row[6] is None else f"{row[6]:20}", *row[7:]) for row in rows]
    assert run(connection, SELECT) == wanted
    cursor = connection.cursor()
    cursor.execute(SELECT)
    assert cursor.fetchall() == wanted


def test_a_statement_that_returns_a_row_or_has_a_blob(connection: Connection) -> None:
    insert = prepared(connection, "insert into kinds (whole, story) values (?, ?) returning whole + 1, story")
    for number in (1, 2):
        assert insert.run((number, "long text " * number)) == [(number + 1, "long text " * number)]
    assert run(connection, "insert into kinds (whole, text) values (3, ?) returning text", "short") == [("short",)]
    assert run(connection, "select story from kinds where whole < 3 order by whole") == [
        ("long text ",),
        ("long text long text ",),
    ]
    connection.commit()
    assert insert.run((4, "after a commit")) == [(5, "after a commit")]


@pytest.mark.parametrize(
    ("value", "why"), [("a" * 21, "truncation"), ("я" * 21, "truncation"), ("1" * 100_000, "too long")]
)
def test_a_text_that_is_too_long_is_refused_and_the_next_one_is_taken(
    connection: Connection, value: str, why: str
) -> None:
    insert = prepared(connection, "insert into kinds (text) values (?)")
    with pytest.raises((FirebirdRefusal, ValueError), match=why):
        insert.run((value,))
    insert.run(("я" * 20,))
    assert run(connection, "select text from kinds") == [("я" * 20,)]


def test_a_number_that_the_column_does_not_hold_is_refused(connection: Connection) -> None:
    insert = prepared(connection, "insert into kinds (small) values (?)")
    with pytest.raises(FirebirdRefusal, match="overflow"):
        insert.run((2**15,))
    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        insert.run((2**63,))
    with pytest.raises(ValueError, match="zip"):
        insert.run((1, 2))
    insert.run((7,))
    assert run(connection, "select small from kinds") == [(7,)]


def test_a_select_that_fails_while_it_is_read_can_be_run_again(connection: Connection) -> None:
    run(connection, "insert into kinds (whole, text) values (1, '1')")
    run(connection, "insert into kinds (whole, text) values (2, 'x')")
    select = prepared(connection, "select cast(text as integer) from kinds where whole < ? order by whole")
    for _ in range(2):
        with pytest.raises(FirebirdRefusal, match="conversion error"):
            select.run((3,))
        assert select.run((2,)) == [(1,)]
