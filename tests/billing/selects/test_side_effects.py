"""A select that an operator gives changes nothing: what a read-only transaction stops, and what is refused for it.

Against the embedded Firebird 5 and a Firebird 3 server, each with procedures, functions, views and computed columns
as a billing may have them.
"""

from collections.abc import Iterator

import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.errors import NotASelect, StatementRefused
from billing.selects.select import check_reached, prepared, select_of
from lab.mock.population import create
from tests.billing.selects.selecting import read
from tests.firebird_server import FirebirdServer

SCHEMA = (
    "create generator g",
    "create table t (id integer)",
    "create table counted (id integer, number computed by (gen_id(g, 1)))",
    "create procedure reads returns (x bigint) as begin select count(*) from t into x; suspend; end",
    "create procedure counts returns (x bigint) as begin x = gen_id(g, 1); suspend; end",
    "create procedure counts_by_another returns (x bigint) as begin select x from counts into x; suspend; end",
    "create procedure writes returns (x bigint) as begin insert into t values (1); x = 1; suspend; end",
    """create procedure writes_apart returns (x bigint) as begin
        in autonomous transaction do insert into t values (2); x = 1; suspend; end""",
    """create procedure by_text returns (x bigint) as begin
        execute /* ! */ statement 'select gen_id(g, 1) from rdb$database' into x; suspend; end""",
    "create function next_number returns bigint as begin return gen_id(g, 1); end",
    "create function half (x bigint) returns bigint as begin return x / 2; end",
    "create view counting as select gen_id(g, 1) as x from rdb$database",
    "create view counting_below as select x from counts_by_another",
    "create view harmless as select half(id) as x from t",
    "create domain d_counts as bigint check (value > 0 and gen_id(g, 1) > 0)",
    "create domain d_plain as bigint check (value > 0)",
    "create procedure of_domain (y d_counts) returns (x bigint) as begin x = y; suspend; end",
    """create procedure by_variable returns (x bigint) as declare variable y d_counts;
        begin y = 1; x = y; suspend; end""",
    "create view casts as select cast(1 as d_counts) as x from rdb$database",
    "create package p as begin function f returns bigint; end",
    "create package body p as begin function f returns bigint as begin return gen_id(g, 1); end end",
    "create view packed as select p.f() as x from rdb$database",
)


@pytest.fixture(scope="module", params=["embedded", "server"])
def dsn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dsn:
    """A billing with all of them."""
    if request.param == "server":
        server = request.getfixturevalue("firebird_server")
        assert isinstance(server, FirebirdServer)
        made = server.populated(abonents=1)
    else:
        path = tmp_path_factory.mktemp("writing") / "billing.fdb"
        create(path, subscribers=1, seed=1)
        made = Dsn(str(path))
    connection = attach(made)
    try:
        for statement in SCHEMA:
            connection.execute_immediate(statement)
            connection.commit()
        connection.execute_immediate("insert into t values (7)")
        connection.execute_immediate("insert into counted (id) values (7)")
        connection.commit()
    finally:
        connection.close()
    return made


@pytest.fixture
def database(dsn: Dsn) -> Iterator[Database]:
    """A reader of it; whatever a test does, generator and table are as before."""
    with Database(dsn) as database:
        before = _state(database)
        yield database
        assert _state(database) == before


def _state(database: Database) -> list[tuple[object, ...]]:
    return list(database.query("select gen_id(g, 0), (select count(*) from t) from rdb$database"))


def test_what_may_change_something_is_refused(database: Database) -> None:
    for text, why in [
        ("select gen_id(g, 1) as n from tarif", "column 8: gen_id changes its generator .*: gen_id.g, 0. reads it"),
        ("select next value for g as n from tarif", "'next value for' changes .*: gen_id.g, 0. reads it"),
        ("select id from t\nwith lock", "line 2, column 1: 'with lock' locks the rows for others"),
        ("select q'[a']', gen_id(g,1) as x from rdb$database -- '", "column 8: a text is written in single quotes"),
        ("select p.f() as x from rdb$database", "what p.f changes cannot be seen, since it is of a package"),
        (
            "execute block returns (x bigint) as begin x = gen_id(g, 1); suspend; end",
            "'execute' does not begin a select",
        ),
        ("create user somebody password 'x'", "'create' does not begin a select"),
        ("select id from t; delete from t", "a second statement begins here"),
        ("select x from counts", "^COUNTS may change the generator G, which no read-only transaction stops: read"),
        ("select gen_id(g, 0) as n, x from counts", "^COUNTS may change the generator G"),
        ("select id from t where id in (select x from counts)", "^COUNTS may change the generator G"),
        ("select t.id from t, counts", "^COUNTS may change the generator G"),
        ('select x from "COUNTS"', "^COUNTS may change the generator G"),
        ("select x from counts_by_another", "^COUNTS, which COUNTS_BY_ANOTHER uses, may change the generator G"),
        ("select x from by_text", "^BY_TEXT executes a text as a statement, and what that changes cannot be seen"),
        ("select cast(1 as d_counts) as x from rdb$database", "^D_COUNTS may change the generator G"),
        ('select cast(1 as "D_COUNTS") as x from rdb$database', "^D_COUNTS may change the generator G"),
        ("select x from of_domain(1)", "^D_COUNTS, which OF_DOMAIN uses, may change the generator G"),
        ("select x from by_variable", "^D_COUNTS, which BY_VARIABLE uses, may change the generator G"),
        ("select x from casts", "^D_COUNTS, which CASTS uses, may change the generator G"),
        ("select next_number() as x from rdb$database", "^NEXT_NUMBER may change the generator G"),
        ("select x from counting", "^COUNTING may change the generator G"),
        ("select x from counting_below", "^COUNTS, which COUNTING_BELOW uses, may change the generator G"),
        ("select number from counted", "^COUNTED may change the generator G"),
        ("select x from packed", "package P|^F, which PACKED uses, has no text in the database"),
    ]:
        with pytest.raises(NotASelect, match=why):
            prepared(database, select_of(text))


def test_what_only_reads_is_read(database: Database) -> None:
    for text in [
        "select x from reads",
        "select x from harmless",
        "select half(id) as x from t",
        "select cast(id as d_plain) as x from t",
        "select gen_id(g, 0) as x from rdb$database",
        "select id as counts, number as writes from (select id, id as number from t) q",
        "with lock as (select id as x from t) select x from lock",
        "select 'gen_id(g, 1)' as x, \"ID\" from t /* next value for g */ -- with lock",
    ]:
        assert [len(page.rows) for page in read(database, text).pages()] == [1]


def test_a_change_of_rows_is_stopped_by_the_transaction(database: Database) -> None:
    for procedure in ["writes", "writes_apart"]:
        reader = read(database, f"select x from {procedure}")  # noqa: S608 - names of ours
        with pytest.raises(StatementRefused, match="attempted update during read-only transaction"):
            list(reader.pages())


def test_a_library_is_refused_unless_it_is_firebirds_own(dsn: Dsn) -> None:
    connection = attach(dsn)
    declared = "declare external function {name} double precision returns double precision by value entry_point 'x'"
    try:
        for name, module in (("own_sine", "ib_udf"), ("sine", "mine")):
            connection.execute_immediate(f"{declared.format(name=name)} module_name '{module}'")
            connection.commit()
    finally:
        connection.close()
    with Database(dsn) as database:
        # Neither library is there, so Firebird itself would prepare no select that calls them.
        check_reached(database, "select own_sine(id) as x from t")
        with pytest.raises(NotASelect, match=r"^SINE is a function of the library mine, and what that changes"):
            check_reached(database, "select own_sine(sine(id)) as x from t")
