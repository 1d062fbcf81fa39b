"""No two billings are alike: a statement names only what is there, and odd values end nothing."""

import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import fdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.database import database as databases
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection, FirebirdRefusal, Prepared
from billing.database.schema import DOCUMENTED, POSSIBLE, Schema, TableColumn, documented, fitted, whole
from billing.database.sql_blocks import SqlStatement, Value, Values, blocks
from billing.directory.models import MODELS, BillingObject
from billing.directory.objects import commented, from_database
from billing.directory.subscribers import since
from billing.directory.system import Stacks, waiting_for
from billing.errors import ColumnsMissing, DatabaseAway, StatementRefused, UnreadableAnswer, WrongPassword
from billing.secret import Secret
from lab.mock.population import create
from tests.billing.selects.selecting import ENDLESS, change, wait_until_it_counts
from tests.conftest import SHARED_FIXTURES
from tests.firebird_server import FirebirdServer

FILES = [
    ("database", "billing.database"),
    ("subscribers", "billing.directory"),
    ("system", "billing.directory"),
    ("selects", "jobs.catalogue"),
]
ALL = Schema(frozenset(documented()))
TOTAL = SqlStatement("total", "select count(*) from finance_operations f where f.op_id > 0", ours=True)


def without(*names: str) -> Schema:
    gone = {TableColumn(*name.split(".")) for name in names}
    return Schema(frozenset(one for one in ALL.there if one not in gone and TableColumn(one.table) not in gone))


def text_of(sql: str, schema: Schema) -> str:
    return fitted(SqlStatement("x", sql, ours=True), schema).text


def test_the_first_of_several_that_is_there_is_taken_also_a_table() -> None:
    sql = "select o.op_id[, o.descr] from finance_operations o"
    assert text_of(sql, ALL) == "select o.op_id, o.descr from finance_operations o"
    assert text_of(sql, without("FINANCE_OPERATIONS.DESCR")) == "select o.op_id from finance_operations o"
    sql = "select [a.name || a.sms|a.name|null] from abonents a"
    assert text_of(sql, ALL) == "select a.name || a.sms from abonents a"
    assert text_of(sql, without("ABONENTS.SMS")) == "select a.name from abonents a"
    assert text_of(sql, without("ABONENTS.NAME")) == "select null from abonents a"
    table = "select a.id from abonents a [left join tarif t on t.id = a.tarif_id] where a.id > 0"
    assert text_of(table, without("TARIF")) == "select a.id from abonents a  where a.id > 0"
    text = "select a.id from abonents a where a.name <> 'o.descr [x]'"
    assert text_of(text, ALL) == text, "a text names no column"


@pytest.mark.parametrize(("file", "folder"), FILES)
def test_every_statement_names_what_is_documented(file: str, folder: str) -> None:
    for block in blocks(file, folder).values():
        assert fitted(block, ALL).text == whole(block).text, block.name
        tables = {table.upper() for table in re.findall(r"(?<!distinct )(?<!:)(?:from|join) (\w[\w$]*)", block.text)}
        assert {table for table in tables if not table.startswith("RDB$")} <= {*DOCUMENTED, *POSSIBLE}, block.name


def test_what_is_there_is_found_once_a_connection(billing_file: Path) -> None:
    with Database(Dsn(str(billing_file))) as database:
        # The mock billing has no devices, and so no stack for them.
        assert database.schema.missing(documented()) == (TableColumn("EVENTS_STACK"),)
        assert list(database.query(TOTAL))
        database.close()
        change(billing_file, "alter table finance_operations drop descr")
        # A connection that was lost is opened anew, and the billing may be another version by then.
        assert not database.schema.has("FINANCE_OPERATIONS", "DESCR")
        assert database.schema.has("FINANCE_OPERATIONS", "STORNO")
        assert [one.descr for _, one in since(database, range(2001, 2100), 0)].count("") > 0


def test_a_stack_that_does_not_say_whose_its_entries_are_is_counted_whole(billing_file: Path) -> None:
    change(
        billing_file,
        "insert into events_stack_compact (id, abonent_id) values (1, 5)",
        "alter table events_stack_compact drop abonent_id",
    )
    with Database(Dsn(str(billing_file))) as database:
        assert waiting_for(database, accounts=[17], abonents=[6]) == Stacks(0, 1)


LISTS = [[TableColumn(table, name) for name in names] for table, names in DOCUMENTED.items()]
TOGETHER = [[one for one in each if one is not None] for each in zip_longest(*LISTS)]
"""The first columns of all tables, the second ones, and so on: a billing lacks those of one list."""


class Nothing(dict[str, Value]):
    """A value for each parameter: what is only prepared needs none."""

    def __missing__(self, name: str) -> Value:
        return None


def statements() -> Iterator[SqlStatement]:
    for file, folder in FILES:
        yield from blocks(file, folder).values()


@pytest.mark.parametrize("gone", TOGETHER, ids=lambda gone: f"{gone[0]} and {len(gone) - 1} more")
def test_a_statement_is_taken_or_names_what_it_lacks(tmp_path: Path, gone: list[TableColumn]) -> None:
    file = tmp_path / "billing.fdb"
    create(file, subscribers=5, seed=1, without=[str(one) for one in gone])
    named: set[str] = set()
    with Database(Dsn(str(file))) as database:
        for statement in statements():
            try:
                database.describe(statement, Nothing(none=None))
            except ColumnsMissing as error:
                named |= set(error.missing)
        for model, known in MODELS.items():
            for way in known.keys:
                try:
                    from_database(database, model, [{way: "2001"}], (), known.fields)
                    if known.commented:
                        commented(database, model, [(2001, 1)], "[cm ", (), known.fields)
                except ColumnsMissing as error:
                    named |= set(error.missing)
    # Anything else that Firebird has to say of a statement is an error that comes out here.
    assert named <= {*map(str, gone), "EVENTS_STACK"}


@pytest.mark.parametrize(
    ("file", "folder"),
    [("database", "billing.database"), *((name, "billing.directory") for name in ("subscribers", "system"))],
)
def test_every_statement_is_firebird_2_1s(file: str, folder: str) -> None:
    assert blocks(file, folder)
    for block in blocks(file, folder).values():
        words = set(block.text.lower().replace("(", " ").split())
        assert words.isdisjoint({"over", "offset", "fetch", "with", "returning", "lateral"}), block.name


def found(file: Path, model: str, **key: str) -> BillingObject:
    with Database(Dsn(str(file))) as database:
        ((thing,),) = from_database(database, model, [key], (), MODELS[model].fields)
        return thing


@pytest.mark.parametrize(
    ("stored", "address"),
    [
        (-1062731775, "192.168.0.1"),
        (-1, "255.255.255.255"),
        (3232235521, "192.168.0.1"),
        (0, None),
        *((none, None) for none in (2**32, -(2**31) - 1, 2**62)),
    ],
)
def test_an_address_is_unsigned_and_what_is_none_is_the_objects_own_fault(
    billing_file: Path, stored: int, address: str | None
) -> None:
    change(billing_file, f"update users set ip = {stored} where id = (select min(id) from users)")  # noqa: S608 - a number of ours
    with Database(Dsn(str(billing_file))) as database:
        ((key,),) = database.query("select min(id) from users")
    thing = found(billing_file, "Users", id=str(key))
    assert thing.values["ip"] == address
    assert [str(stored) in fault for fault in thing.faults.values()] == [True] * (not address and stored != 0)


def test_an_operation_without_a_sum_or_with_a_text_for_it(billing_file: Path) -> None:
    change(
        billing_file,
        "alter table finance_operations drop op_summa",
        "alter table finance_operations add op_summa varchar(30)",
        "alter table finance_operations drop op_date",
        "alter table finance_operations add op_date varchar(30)",
        "update finance_operations set op_date = 'yesterday'",
    )
    with Database(Dsn(str(billing_file))) as database:
        assert {(one.op_summa, one.day) for _, one in since(database, range(2001, 2200), 0)} == {
            (Decimal(0), "yesterday")
        }
    change(billing_file, "update finance_operations set op_summa = '505000000000'")
    with Database(Dsn(str(billing_file))) as database:
        assert {one.op_summa for _, one in since(database, range(2001, 2200), 0)} == {Decimal("50.50")}
        ((key,),) = database.query("select min(op_id) from finance_operations")
    assert found(billing_file, "FinanceOperations", op_id=str(key)).values["op_summa"] == "50.5"
    change(billing_file, "update finance_operations set op_summa = 'much'")
    with (
        Database(Dsn(str(billing_file))) as database,
        pytest.raises(UnreadableAnswer, match=r"OP_SUMMA holds 'much'"),
    ):
        since(database, range(2001, 2200), 0)


# The one door to the billing's database, against the embedded Firebird 5 and a Firebird 3 server.

LIVE = "select id from abonents where is_folder = 0 order by id"


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


REFUSED: Mapping[str, tuple[str, Values]] = {
    "this is not a select": ("update abonents set name = 'x' where id = 2001", {}),
    "read-only": ("select id from tarif with lock", {}),
    "(?i)column unknown": ("select nothing from abonents", {}),
    "too long|truncation": ("select id from abonents where contract_number = :n", {"n": "x" * 100}),
}


def test_what_is_refused_writes_nothing_and_leaves_the_connection_usable(either_database: Database) -> None:
    for _ in range(3):
        for told, (sql, values) in REFUSED.items():
            with pytest.raises(StatementRefused, match=told):
                list(either_database.query(sql, values))
    assert list(either_database.query("select count(*) from tarif")) == [(6,)]


def test_threads_share_one_connection(either_database: Database) -> None:
    wanted = list(either_database.query(LIVE))
    together = threading.Barrier(6)

    def read(_: int) -> list[tuple[int, ...]]:
        together.wait()
        return list(either_database.query(LIVE))

    with ThreadPoolExecutor(6) as pool:
        assert all(rows == wanted for rows in pool.map(read, range(6)))


def test_what_a_server_refuses(firebird_server: FirebirdServer, billing_on_server: Dsn) -> None:
    with pytest.raises(DatabaseAway, match="cannot be reached"):
        Database(Dsn("127.0.0.1/1:/x.fdb", password=Secret("x"))).connect()
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
def test_what_is_given_is_what_fdb_reads_and_we_read(connection: Connection, rows: list[tuple[Value, ...]]) -> None:
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
