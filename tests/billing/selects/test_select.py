"""Selects that an administrator types: what is taken, its cells, and its pages."""

import tempfile
import tracemalloc
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.database.database import Database, attach, create
from billing.database.dsn import Dsn
from billing.database.sql_blocks import SqlStatement
from billing.errors import NoRoom, NotASelect, RowsChanged, StatementRefused
from billing.selects.select import Select, columns, select_of
from billing.selects.select_reader import LONGEST_CELL, SelectReader, reading
from tests.billing.selects.selecting import cells_of, change, fault_of, read, rows_of
from tests.conftest import SHARED_FIXTURES

# ---- what is typed ----------------------------------------------------------------------------------------------


PIECES = st.sampled_from(
    ["select", " ", "\n", "'", "''", '"', "--", "/*", "*/", ":a", ":б", "x:b1", "::c", "7:d", "(", ")", "я", "$:e"]
)


@given(st.lists(PIECES, max_size=12).map(lambda pieces: "select " + "".join(pieces)))
@example("select 'a''b:c' :d")
def test_the_parameters_are_those_that_are_bound(text: str) -> None:
    try:
        select = select_of(text)
    except NotASelect:
        return
    bound = []

    class Asked(dict[str, str]):
        def __missing__(self, name: str) -> str:
            bound.append(name)
            return "v"

    sql, values = SqlStatement("as it is typed", select.text).bind(Asked())
    assert select.parameters == tuple(dict.fromkeys(bound))
    assert select.statement.bind(Asked())[0].replace(" ", "") == sql.replace(" ", "")
    assert len(select.statement.bind(Asked())[0]) == len(select.text)
    assert len(values) == len(bound) // 3


@pytest.mark.parametrize("setting", ["set list on", "set list", "SET HEADING OFF", "set width name 10"])
def test_a_setting_of_isql_is_left_out_with_a_note(setting: str) -> None:
    select = select_of(f"{setting};\n select id\nfrom tarif;")
    assert select.notes == (f"{setting!r} is a setting of isql, which is not needed here: it was left out",)
    assert select.text == " " * (len(setting) + 1) + "\n select id\nfrom tarif"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing is there to be read"),
        (" ;; -- nothing\n", "nothing is there to be read"),
        ("set list on;", "nothing is there to be read"),
        ("update abonents set name = 'x'", "line 1, column 1: 'update' does not begin a select"),
        ("\n  delete from abonents", "line 2, column 3: 'delete' does not begin a select"),
        ("execute block as begin end", "'execute' does not begin a select"),
        ("(select id from tarif)", r"'\(' does not begin a select"),
        (
            "select 1 as a from tarif;\n delete from tarif",
            "line 2, column 2: a second statement begins here, 'delete'",
        ),
        ("set list on; select 1 as a from tarif; select 2 as b from tarif", "column 40: a second statement"),
        (
            "set generator gen_abonents_id to 1; select id from tarif",
            "'set generator gen_abonents_id to 1' is not a sel",
        ),
        ("set; select id from tarif", "'set' is not a select"),
        ("set heading off select id from tarif", "nothing is there to be read"),
        ("select id from tarif where id = ?", "line 1, column 33: a parameter needs a name"),
        ("select id from tarif where name = 'x", "line 1, column 35: ' is opened here and never closed"),
        ('select id as "x from tarif', 'line 1, column 14: " is opened here'),
        ("select id /* all\nfrom tarif", r"column 11: /\* is opened here"),
        ("select gen_id(gen_users_id, 1) as n from tarif", "line 1, column 8: gen_id changes its generator"),
        ("select gen_id(g, mod(3, 0) + 1) as n from tarif", "gen_id changes its generator"),
        ("select GEN_ID(g, (0)) as n, 0 from tarif", "gen_id changes its generator"),
        ("select next value for gen_users_id from tarif", "'next value for' changes a generator"),
    ],
)
def test_what_is_no_select(text: str, why: str) -> None:
    with pytest.raises(NotASelect, match=why):
        select_of(text)


def test_firebird_itself_says_that_it_is_no_select(either_database: Database) -> None:
    with pytest.raises(NotASelect, match="this is not a select: update tarif"):
        columns(either_database, Select("update tarif set name = 'x'"))


# ---- columns ----------------------------------------------------------------------------------------------------


def test_columns_that_cannot_be_taken(either_database: Database) -> None:
    for text, names, why in [
        (
            "select id, 1 from tarif",
            (),
            "column 2 has no name, Firebird only calls it CONSTANT. Name it with as, as in: … as amount$",
        ),
        ("select coalesce(id, 0) from tarif", (), "column 1 has no name, Firebird only calls it COALESCE"),
        ("select max(id), 1 as x from tarif", (), "column 1 has no name, Firebird only calls it MAX"),
        ("select id, name as id from tarif", (), "columns 1 and 2 have the same name, id. .*as other_id"),
        ('select id, name as "iD" from tarif', (), "columns 1 and 2 have the same name"),
        ("select id, name from tarif", ("a",), "gives 2 columns, and 1 names were given"),
        ("select id, name from tarif", ("a", "b", "c"), "gives 2 columns, and 3 names were given"),
        ("select id, name from tarif", ("a", "A"), "columns 1 and 2 have the same name, A"),
        ("select id, name from tarif", ("a", " "), "the name given for column 2 is empty"),
        ("select cast('x' as blob) as b from tarif", (), "column 1, b, holds bytes and no text"),
        ("select id, rdb$db_key from tarif", (), "column 2, db_key, holds bytes"),
        ("select cast('x' as char(3) character set octets) as b from tarif", ("o",), "column 1, o, holds bytes"),
    ]:
        with pytest.raises(StatementRefused, match=why):
            columns(either_database, select_of(text), names=names)


def test_a_name_that_is_cut_off(database: Database) -> None:
    with pytest.raises(StatementRefused, match="the name of column 1 is too long, Firebird tells only 'Очень длин"):
        columns(database, select_of('select 1 as "Очень длинное имя" from tarif'))


def test_a_type_that_is_not_known(database: Database) -> None:
    change(database, "create table odd (id integer not null primary key, many integer [3])")
    with pytest.raises(StatementRefused, match=r"column 2, many, is of a type .* as many$"):
        columns(database, select_of("select id, many from odd"))


# ---- what Firebird refuses --------------------------------------------------------------------------------------


def test_what_firebird_refuses_is_told_with_its_place(either_database: Database) -> None:
    for text, sentence in [
        ("select nothing from tarif", "line 1, column 8: Column unknown: NOTHING"),
        ("select id,\n  'Ёлка' as x, nothing from tarif", "line 2, column 16: Column unknown: NOTHING"),
        ("select id from tarif where id = :a and nothing = 1", "line 1, column 40: Column unknown: NOTHING"),
        ("set list on; -- Ё\nselect nothing from tarif", "line 2, column 8: Column unknown: NOTHING"),
        ("select id from tariff", "line 1, column 16: Table unknown: TARIFF"),
        ("select id form tarif", "line 1, column 16: Token unknown: tarif"),
        ("select id from tarif into :a", "line 1, column 22: Token unknown: into"),
        (
            "select :a as a from tarif",
            "Data type unknown, of a parameter: say what it is, as in: cast(:folder as integer)",
        ),
        ("select id from tarif where id = :a", 'conversion error from string "x1"'),
    ]:
        with pytest.raises(StatementRefused) as refused:
            list(read(either_database, text, {"a": "x1"}).pages())
        assert str(refused.value) == sentence


def test_a_value_that_is_too_long_is_told_with_its_name(either_database: Database) -> None:
    for text in [
        "select id from abonents where id > :a and sms = :sms",
        "select id from abonents where id > :a and sms = :sms order by name",
    ]:
        wide = read(either_database, text, {"a": "1", "sms": "7" * 500})
        assert wide.at_once is text.endswith("name")
        with pytest.raises(
            StatementRefused, match=r"the value of :sms is too long: it has 500 bytes, .* at most 128$"
        ):
            list(wide.pages())


def test_a_billing_of_version_4(tmp_path: Path) -> None:
    dsn = Dsn(str(tmp_path / "old.fdb"), charset="WIN1251")
    connection = create(dsn)
    for table in ("abonents (id integer not null primary key, name varchar(20))", "admin_accounts (id integer)"):
        connection.execute_immediate(f"create table {table}")
    connection.execute_immediate("create table finance_operations (id integer)")
    connection.commit()
    connection.cursor().execute("insert into abonents values (1, 'Ёлкин')")
    connection.commit()
    connection.close()
    with Database(dsn) as database:
        assert cells_of(database, "select id, name from abonents where name = :n", {"n": "Ёлкин"}) == ("1", "Ёлкин")
        with pytest.raises(StatementRefused, match="line 1, column 22: Column unknown: NOTHING"):
            read(database, "select 'Ёлкин' as n, nothing from abonents")
        with pytest.raises(
            StatementRefused, match=r"line 2, column 23: the database's charset WIN1251 has no .* '日'"
        ):
            read(database, "select id\n from abonents where '日' = name")
        with pytest.raises(StatementRefused, match=r"WIN1251, the charset of .*, has no letters for '日'"):
            list(read(database, "select id from abonents where name = :n", {"n": "日"}).pages())


FOR_A_MINUTE = settings(max_examples=60, suppress_health_check=SHARED_FIXTURES)


def among_others(expression: str) -> str:
    return f"select 7 as a, {expression} as b, 'x' as c from rdb$database"  # noqa: S608 - what is tested is SQL


def test_values_as_text(either_database: Database) -> None:
    for expression, cell in [
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
    ]:
        assert cells_of(either_database, among_others(expression)) == ("7", cell, "x")


def test_a_float_that_is_not_exact_is_the_rows_fault(either_database: Database) -> None:
    for expression in [
        "cast(0.1 as double precision) * 3",
        "cast(0.1 as float)",
        "cast(1e15 as double precision)",
        "cast(1e300 as double precision)",
        "cast(1e-20 as double precision)",
    ]:
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
    assert fault.column == "column1"
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
    faults = [row.fault and (row.fault.column, row.fault.reason) for row in found]
    assert faults == [None, None, ("column2", "is longer than 100000 characters")]


@FOR_A_MINUTE
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=40))
@example("'; delete from abonents; --")
@example(":a ? \x00")
def test_texts_go_there_and_back(database: Database, text: str) -> None:
    select = "select cast(:text as varchar(60)), cast(:text as blob sub_type text) from rdb$database"
    assert cells_of(database, select, {"text": text}) == (text.rstrip(" "), text.rstrip(" "))


# ---- page by page -----------------------------------------------------------------------------------------------


FOLDER = 1000
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
    change(database, "insert into tarif (id, name) values (-5, 'x')", "insert into tarif (id, name) values (0, 'x')")
    walked = read(database, "select id from tarif")
    assert not walked.at_once
    assert [page.cursor for page in walked.pages(size=1)] == ["-5", "0", "1", "2", "3", "4", "5", "6"]
    assert next(walked.pages("-5", size=1)).cursor == "0"


# ---- read at once -----------------------------------------------------------------------------------------------


@pytest.fixture
def in_order(database: Database) -> SelectReader:
    return read(database, "select id, name from tarif order by name, id")


def test_what_changes_behind_the_cursor_is_taken(database: Database, in_order: SelectReader) -> None:
    second = list(in_order.pages(size=2))[1]
    change(database, "update tarif set name = 'я' where id = 6", "insert into tarif (id, name) values (7, 'я')")
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
    change(database, "delete from tarif_users_usluga", "update abonents set tarif_id = null")
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


ROWS_READ = """
select r.mon$record_seq_reads + r.mon$record_idx_reads
from mon$record_stats r join mon$attachments a on a.mon$stat_id = r.mon$stat_id
where a.mon$attachment_id = current_connection
"""

WALKED = (
    "select id from abonents",
    "select * from abonents",
    "select a.* from abonents as a where a.parent_id = 1000 or a.parent_id = 1316",
    "select ID as x, 1 as one from ABONENTS order by id",
    "select a.id, a.name from abonents a where exists (select 1 from users u where u.pull = a.id) order by a.id asc",
    "select id, parent_id from abonents where parent_id is distinct from 1000 order by 1",
    "select op_id, op_summa / 10000000000 as summa from finance_operations where op_type = 8",
    "select u.id, a.name from users u left join abonents a on a.id = u.abonent_id where a.parent_id = 1000",
    """select a.id, t.name, aa.limit_warning from abonents a left outer join tarif t on a.tarif_id = t.id
    left join admin_accounts aa on 1 = 1 and aa.id = a.account_id
    where t.users_limit_warning <> aa.limit_warning""",
    "select abonents.id from abonents left join tarif on tarif.id = abonents.tarif_id",
    "select a.id from abonents a inner join admin_accounts aa on aa.id = a.account_id -- all\n where a.deleted = 0",
)
# Along their key as well, but Firebird would begin elsewhere and sort all rows for every page.
SORTED = (
    "select a.id from abonents a join tarif t on t.id = a.tarif_id and t.name <> 'x' where a.deleted = 0",
    "select id from abonents where id in (select distinct abonent_id from users)",
    "select a.id, (select max(u.id) from users u where u.abonent_id = a.id) as u from abonents a",
)
READ_AT_ONCE = (
    "select distinct id from abonents",
    "select first 10 id from abonents order by id",
    "select skip 10 id from abonents order by id",
    "select id from abonents rows 10",
    "select id from abonents where id > 0 rows 10",
    "select id from abonents where id > 0 fetch first 5 row only",
    "select id from abonents where id > 0 offset 5 row",
    "select id from abonents where id > 0 plan (abonents natural)",
    "select id from abonents where id > 0 for update",
    "select id from abonents where id > 0 group by id",
    "select id from abonents where id > 0 group by id having count(*) > 0",
    "select id from abonents where id > 0 union select id from tarif",
    "select all id from abonents",
    "select id, count(*) over () as n from abonents where id > 0",
    "with id as (select 1 as x from tarif) select distinct id from abonents",
    "select id from abonents order by name",
    "select id from abonents order by id desc",
    "select id from abonents order by id, name",
    "select id, deleted as id2 from abonents order by 2",
    "select name, id from abonents",
    "select id + 0 as id from abonents",
    "select parent_id from abonents",
    "select contract_number from abonents",
    "select max(id) as id from abonents",
    "select parent_id, count(*) as n from abonents group by parent_id",
    "select id from abonents union all select id from tarif",
    "with q as (select id from abonents) select id from q",
    "select id from (select id from abonents) q",
    "select a.id from abonents a, tarif t where t.id = a.tarif_id",
    "select t.id from abonents a left join tarif t on t.id = a.tarif_id",
    "select b.id from abonents a left join abonents b on b.id = a.parent_id",
    "select a.id, u.login from abonents a join users u on u.abonent_id = a.id",
    "select a.id from abonents a join tarif t on t.id > a.tarif_id",
    "select a.id from abonents a join tarif t on t.id = a.tarif_id or t.id = 1",
    "select a.id from abonents a join tarif t on t.id = t.id and a.deleted = 0",
    "select a.id from abonents a join tarif t on t.name = 'x' or t.name <> 'y' and t.id = a.tarif_id",
    "select a.id from abonents a join tarif t on case when t.id > 0 and t.id = a.id and 1 = 1 then 1 else 1 end = 1",
    "select a.id from abonents a join tarif t on not t.id = a.tarif_id",
    "select t.id from abonents a join tarif t on t.id = a.tarif_id",
    "select op_id from finance_operations right join abonents a on a.id = finance_operations.abonent_id",
    "select a.id from abonents a left join (select id from tarif) t on t.id = a.tarif_id",
    "select a.id from abonents a left join users u left join tarif t on t.id = u.pull on u.id = a.id",
    "select a.id from abonents a right join tarif t on t.id = a.tarif_id where a.id > 0",
    "select a.id from abonents a full join tarif t on t.id = a.tarif_id where a.id > 0",
    "select a.id from abonents a cross join tarif t",
    "select op_id from finance_operations cross join tarif where tarif.id = finance_operations.op_type",
    "select op_id from finance_operations natural join tarif where tarif.id = finance_operations.op_type",
    "select a.id from abonents a natural join vpn_const v",
    "select id from abonents a join abonents_block_history h using (id)",
    "select id from abonents for update",
    "select id from abonents where id > :page_after",
)


def test_selects_that_are_read_along_their_key(either_database: Database) -> None:
    for text in WALKED:
        walked = read(either_database, text)
        assert not walked.at_once
        wanted = sorted(int(row[0]) for row in either_database.query(text))
        pages = list(walked.pages(size=100))
        assert [int(row.cells[0]) for page in pages for row in page.rows] == wanted
        assert {len(page.rows) for page in pages[:-1]} <= {100}
        assert [page.cursor for page in pages] == [page.rows[-1].cells[0] for page in pages]


def test_a_plan_that_sorts_is_no_way_for_pages(either_database: Database) -> None:
    for text in SORTED:
        sorted_ = read(either_database, text)
        assert sorted_.at_once
        assert sorted_.walk is not None
        wanted = [str(row[0]) for row in either_database.query(text)]
        assert [row.cells[0] for page in sorted_.pages() for row in page.rows] == wanted
        # A run that began page by page, when the plan was another one, goes on page by page.
        rest = [row.cells[0] for page in sorted_.pages("2500", size=100) for row in page.rows]
        assert rest == sorted((key for key in wanted if int(key) > 2500), key=int)


def test_selects_that_are_read_at_once(either_database: Database) -> None:
    for text in READ_AT_ONCE:
        values = {"page_after": 2500}
        at_once = read(either_database, text, values)
        assert at_once.at_once
        assert at_once.walk is None
        wanted = [str(row[0] or "") for row in either_database.query(text, values)]
        assert [row.cells[0] for page in at_once.pages(size=100) for row in page.rows] == wanted


def test_a_key_that_is_no_key_is_not_walked(database: Database) -> None:
    change(
        database,
        """create table odd (
            id integer not null, other integer unique, text_key varchar(9) not null primary key,
            price numeric(9, 2) not null unique)""",
        "create view seen (id) as select id from abonents",
        "create table pairs (id integer not null, other integer not null, primary key (id, other))",
    )
    for text in (
        "select id from odd",
        "select other from odd",
        "select price from odd",
        "select text_key from odd",
        "select id from seen",
        "select id from pairs",
        "select a.id from abonents a join odd o on o.text_key = a.id",
        "select a.id from abonents a join pairs p on p.id = a.id",
    ):
        assert reading(database, select_of(text), names=("a",)).walk is None, text
    assert not read(database, "select a.id from abonents a join odd o on o.other = a.id").at_once


def test_a_page_costs_its_own_rows_only(either_database: Database) -> None:
    def rows_read() -> int:
        return int(next(either_database.query(ROWS_READ))[0])

    text = "select a.id, t.name from abonents a left join tarif t on t.id = a.tarif_id where a.is_folder = 0"
    pages = read(either_database, text).pages(size=50)
    next(pages)
    marks = [rows_read() for _ in islice(pages, 6)]
    costs = [later - earlier for earlier, later in pairwise(marks)]
    # A row and its tariff; what asking for the count itself reads comes on top.
    assert max(costs) < 300, costs
