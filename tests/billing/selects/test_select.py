"""Selects that an administrator types, against the embedded Firebird 5 and a Firebird 3 server."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.database.columns import ColumnType
from billing.database.database import Database, attach, create
from billing.database.dsn import Dsn
from billing.database.sql_blocks import SqlStatement
from billing.errors import DatabaseAway, NotASelect, StatementRefused
from billing.selects.select import Select, columns, select_of
from tests.billing.selects.selecting import cells_of, read, rows_of

# ---- what is typed ----------------------------------------------------------------------------------------------


def test_a_select_and_its_parameters() -> None:
    select = select_of("select id\nfrom abonents where parent_id = :folder and id > :id and id < :folder")
    assert select.parameters == ("folder", "id")
    assert select.notes == ()
    assert select.on_one_line == "select id from abonents where parent_id = :folder and id > :id and id < :folder"
    sql, values = select.statement.bind({"folder": "7", "id": 5})
    assert re.sub(" +", " ", sql) == "select id\nfrom abonents where parent_id = ? and id > ? and id < ? "
    assert values == ("7", 5, "7")


def test_what_is_quoted_or_a_comment_has_no_parameters() -> None:
    select = select_of("select ':a' as \":b\" /* :c */ -- :d\nfrom tarif where name = 'it''s :e; here' and id = :f")
    assert select.parameters == ("f",)


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


@pytest.mark.parametrize(
    "text",
    [
        "select id from tarif",
        "select id from tarif;",
        "  -- all of them\n select id from tarif /* six */ ; -- that's all\n",
        "WITH q as (select id from tarif) select id from q",
        "select id from tarif for update",
    ],
)
def test_what_is_a_select(text: str, either_database: Database) -> None:
    assert len(rows_of(either_database, select_of(text).text)) == 6
    assert select_of(text).notes == ()


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


def test_a_generator_may_be_looked_at(database: Database) -> None:
    look = "select gen_id(gen_users_id, 0) as n from rdb$database"
    assert cells_of(database, look) == cells_of(database, look)


def test_firebird_itself_says_that_it_is_no_select(either_database: Database) -> None:
    with pytest.raises(NotASelect, match="this is not a select: update tarif"):
        columns(either_database, Select("update tarif set name = 'x'"))


# ---- columns ----------------------------------------------------------------------------------------------------


def test_the_columns_and_their_kinds(either_database: Database) -> None:
    select = select_of(
        "select a.id, a.name as Who, cast(1.5 as numeric(9, 2)) as sum_, cast(7 as numeric(18, 0)) n,"
        ' a.create_date, a.need_recalc, cast(1.5 as double precision) as f, "limit" as "Предел",'
        " cast('x' as blob sub_type text) as t, cast('12:00' as time) as at_, null as nothing"
        " from abonents a left join admin_accounts aa on aa.id = a.account_id where a.parent_id = :folder"
    )
    found = columns(either_database, select, {"folder": "no number: nothing is executed"})
    assert [(column.name, column.kind) for column in found[:10]] == [
        ("id", ColumnType.INTEGER),
        ("who", ColumnType.TEXT),
        ("sum_", ColumnType.DECIMAL),
        ("n", ColumnType.INTEGER),
        ("create_date", ColumnType.TIMESTAMP),
        ("need_recalc", ColumnType.DATE),
        ("f", ColumnType.FLOAT),
        ("предел", ColumnType.INTEGER),
        ("t", ColumnType.TEXT),
        ("at_", ColumnType.TIME),
    ]
    assert [column.nullable for column in found[:2]] == [False, True]


def test_given_names_take_the_place_of_the_selects_own(either_database: Database) -> None:
    select = select_of("select id, 1, name, name from tarif")
    assert [column.name for column in columns(either_database, select, names=["id", " Один", "a", "b"])] == [
        "id",
        "Один",
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("text", "names", "why"),
    [
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
    ],
)
def test_columns_that_cannot_be_taken(either_database: Database, text: str, names: tuple[str, ...], why: str) -> None:
    with pytest.raises(StatementRefused, match=why):
        columns(either_database, select_of(text), names=names)


def test_a_name_that_is_cut_off(database: Database) -> None:
    with pytest.raises(StatementRefused, match="the name of column 1 is too long, Firebird tells only 'Очень длин"):
        columns(database, select_of('select 1 as "Очень длинное имя" from tarif'))


def test_a_type_that_is_not_known(database: Database) -> None:
    connection = attach(database.dsn)
    connection.execute_immediate("create table odd (id integer not null primary key, many integer [3])")
    connection.commit()
    connection.close()
    with pytest.raises(StatementRefused, match=r"column 2, many, is of a type .* as many$"):
        columns(database, select_of("select id, many from odd"))


# ---- what Firebird refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
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
    ],
)
def test_what_firebird_refuses_is_told_with_its_place(either_database: Database, text: str, sentence: str) -> None:
    with pytest.raises(StatementRefused) as refused:
        list(read(either_database, text, {"a": "x1"}).pages())
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "text",
    [
        "select id from abonents where id > :a and sms = :sms",
        "select id from abonents where id > :a and sms = :sms order by name",
    ],
)
def test_a_value_that_is_too_long_is_told_with_its_name(either_database: Database, text: str) -> None:
    wide = read(either_database, text, {"a": "1", "sms": "7" * 500})
    assert wide.at_once is text.endswith("name")
    with pytest.raises(StatementRefused, match=r"the value of :sms is too long: it has 500 bytes, .* at most 128$"):
        list(wide.pages())


def test_a_database_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway):
        read(Database(Dsn(str(tmp_path / "none.fdb"))), "select id from tarif")


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
