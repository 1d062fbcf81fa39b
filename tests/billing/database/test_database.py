"""The one door to the billing's database, against the embedded Firebird 5 and a Firebird 3 server."""

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import fdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.database import database as databases
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection, FirebirdRefusal, Prepared
from billing.database.sql_blocks import Value, Values, blocks
from billing.errors import DatabaseAway, StatementRefused, WrongPassword
from billing.secret import Secret
from tests.billing.selects.selecting import ENDLESS, change, wait_until_it_counts
from tests.conftest import SHARED_FIXTURES
from tests.firebird_server import FirebirdServer

ALL = "select id from abonents where is_folder = 0 order by id"


@pytest.mark.parametrize(
    ("database", "on_server", "parts"),
    [
        ("/var/db/billing.gdb", False, ("", "/var/db/billing.gdb")),
        ("billing.fdb", False, ("", "billing.fdb")),
        ("./a:b/billing.fdb", False, ("", "./a:b/billing.fdb")),
        ("127.0.0.1:/app/billing.gdb", True, ("127.0.0.1", "/app/billing.gdb")),
        ("127.0.0.1/3050:/app/billing.gdb", True, ("127.0.0.1/3050", "/app/billing.gdb")),
        ("billing.example.org:alias", True, ("billing.example.org", "alias")),
        ("[::1]/3050:/app/billing.gdb", True, ("[::1]/3050", "/app/billing.gdb")),
    ],
)
def test_what_is_a_server_and_what_a_file(database: str, on_server: bool, parts: tuple[str, str]) -> None:
    dsn = Dsn(database)
    assert dsn.on_server is on_server
    assert dsn.parts == parts


def test_every_statement_is_accepted(either_database: Database) -> None:
    # One value suits a list and a single parameter alike, and a 1 nearly all of them.
    values: Values = defaultdict(lambda: (1,), {"numbers": ("1",), "table": "ABONENTS", "column": "ID"})
    for file, folder in (("database", "database"), ("subscribers", "directory"), ("system", "directory")):
        for block in blocks(file, f"billing.{folder}").values():
            # The mock billing has no such stack, as many a real one.
            if block.name != "EVENTS_STACK":
                list(either_database.query(block, values))


def test_no_transaction_is_open_between_pages(billing_file: Path) -> None:
    paged = "select first :size id from abonents where id > :after order by id"
    with Database(Dsn(str(billing_file))) as database, Database(Dsn(str(billing_file))) as other:
        pages = database.pages(paged, size=100)
        next(pages)
        # The attachment of `other` and its own transaction are all that may be seen.
        open_ones = list(other.query("select mon$attachment_id from mon$transactions where mon$state = 1"))
        assert len(open_ones) == 1
        del pages


def test_nothing_can_be_written(either_database: Database) -> None:
    with pytest.raises(StatementRefused, match="this is not a select"):
        list(either_database.query("update abonents set name = 'x' where id = 2001"))
    with pytest.raises(StatementRefused, match="read-only"):
        list(either_database.query("select id from tarif with lock"))
    assert list(either_database.query("select count(*) from tarif")) == [(6,)]


def test_a_refused_statement_leaves_the_connection_usable(either_database: Database) -> None:
    for _ in range(3):
        with pytest.raises(StatementRefused, match=r"(?i)column unknown"):
            list(either_database.query("select nothing from abonents"))
        with pytest.raises(StatementRefused, match=r"too long|truncation"):
            list(either_database.query("select id from abonents where contract_number = :n", {"n": "x" * 100}))
    assert list(either_database.query("select count(*) from tarif")) == [(6,)]


def test_threads_share_one_connection(either_database: Database) -> None:
    wanted = list(either_database.query(ALL))
    together = threading.Barrier(6)

    def read(_: int) -> list[tuple[int, ...]]:
        together.wait()
        return list(either_database.query(ALL))

    with ThreadPoolExecutor(6) as pool:
        assert all(rows == wanted for rows in pool.map(read, range(6)))


def test_a_server_that_is_down() -> None:
    with pytest.raises(DatabaseAway, match="cannot be reached"):
        Database(Dsn("127.0.0.1/1:/x.fdb", password=Secret("x"))).connect()


def test_what_a_server_refuses(firebird_server: FirebirdServer, billing_on_server: Dsn) -> None:
    path = billing_on_server.parts[1]
    with pytest.raises(WrongPassword) as refused:
        Database(firebird_server.dsn(path, password="wrong-one")).connect()
    assert "wrong-one" not in str(refused.value)
    with pytest.raises(DatabaseAway, match=r"(?i)no such file"):
        Database(firebird_server.dsn("/nowhere/x.fdb")).connect()


NOT_CHECKED = fdb.DatabaseError(
    "Error while connecting:\n- SQLCODE: -902\n- Error occurred during login", -902, 335545106
)


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_login_that_the_server_could_not_check_is_tried_again(
    failures: int, billing_on_server: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Firebird 3 closes the database of its users when that is idle, and a login of this moment fails."""
    connect, left = fdb.connect, [NOT_CHECKED] * failures

    def connected(**arguments: object) -> object:
        if left:
            raise left.pop()
        return connect(**arguments)

    monkeypatch.setattr(fdb, "connect", connected)
    if failures == 3:
        with pytest.raises(WrongPassword):
            attach(billing_on_server)
    else:
        attach(billing_on_server).close()
    assert left == []


@pytest.mark.parametrize("charset", ["UTF8", "WIN1251"])
def test_a_user_and_a_password_may_be_cyrillic_whatever_the_charset(charset: str, billing_on_server: Dsn) -> None:
    change(billing_on_server, "create or alter user \"ВАСЯ\" password 'пароль'")
    dsn = replace(billing_on_server, user='"ВАСЯ"', password=Secret("пароль"), charset=charset)
    attach(dsn).close()
    with pytest.raises(WrongPassword, match="the server refuses"):
        attach(replace(dsn, password=Secret("парол")))


def test_a_path_that_firebird_cannot_read_is_told(billing_file: Path) -> None:
    odd = billing_file.rename(billing_file.with_name(os.fsdecode("биллинг.fdb".encode("cp1251"))))
    with pytest.raises(DatabaseAway, match=r"cannot read the path .* LC_ALL=C\.UTF-8"):
        attach(Dsn(str(odd)))


def test_a_lost_connection_is_told_and_the_next_use_connects_anew(either_dsn: Dsn) -> None:
    with Database(either_dsn) as database:
        list(database.query("select count(*) from tarif"))
        # Somebody at the server throws us out.
        change(either_dsn, "delete from mon$attachments where mon$attachment_id <> current_connection")
        with pytest.raises(DatabaseAway):
            list(database.query("select count(*) from tarif"))
        assert list(database.query("select count(*) from tarif")) == [(6,)]


def test_closing_breaks_a_select_without_end_off(either_dsn: Dsn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "PATIENCE", 0.05)
    database = Database(either_dsn)
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(list, database.query(ENDLESS))
        wait_until_it_counts(either_dsn)
        database.close()
        with pytest.raises(StatementRefused, match="operation was cancelled"):
            counting.result()
    assert database._reader is None


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
