"""No two billings are alike: a statement names only what is there, and what is missing is named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection
from billing.database.schema import DOCUMENTED, POSSIBLE, Schema, TableColumn, documented, fitted, whole
from billing.database.sql_blocks import SqlStatement, blocks
from billing.directory.objects import from_database
from billing.directory.subscribers import of_abonents
from billing.directory.system import Stacks, depth, waiting_for
from billing.errors import ColumnsMissing

FILES = [
    ("database", "billing.database"),
    ("subscribers", "billing.directory"),
    ("system", "billing.directory"),
    ("selects", "jobs.catalogue"),
]
ALL = Schema(frozenset(documented()))
TOTAL = SqlStatement("total", "select count(*) from finance_operations f where f.op_id > 0", ours=True)


@pytest.fixture
def connection(billing_file: Path) -> Iterator[Connection]:
    connection = attach(Dsn(str(billing_file)))
    yield connection
    connection.close()


def without(*names: str) -> Schema:
    gone = {TableColumn(*name.split(".")) for name in names}
    return Schema(frozenset(one for one in ALL.there if one not in gone and TableColumn(one.table) not in gone))


def changed(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute_immediate(statement)
    connection.commit()


def text_of(sql: str, schema: Schema) -> str:
    return fitted(SqlStatement("x", sql, ours=True), schema).text


def test_what_stands_in_brackets_is_left_out_where_it_is_not_there() -> None:
    sql = "select o.op_id[, o.descr] from finance_operations o"
    assert text_of(sql, ALL) == "select o.op_id, o.descr from finance_operations o"
    assert text_of(sql, without("FINANCE_OPERATIONS.DESCR")) == "select o.op_id from finance_operations o"


def test_the_first_of_several_that_is_there_is_taken() -> None:
    sql = "select [a.name || a.sms|a.name|null] from abonents a"
    assert text_of(sql, ALL) == "select a.name || a.sms from abonents a"
    assert text_of(sql, without("ABONENTS.SMS")) == "select a.name from abonents a"
    assert text_of(sql, without("ABONENTS.NAME")) == "select null from abonents a"


def test_a_table_may_be_left_out_as_well() -> None:
    sql = "select a.id from abonents a [left join tarif t on t.id = a.tarif_id] where a.id > 0"
    assert text_of(sql, without("TARIF")) == "select a.id from abonents a  where a.id > 0"


def test_what_is_required_and_not_there_is_named() -> None:
    sql = (
        'select o.op_id, aa."limit", s.account_id from finance_operations o '
        "join admin_accounts aa on 1 = 1 join account_stack s on 1 = 1"
    )
    with pytest.raises(ColumnsMissing) as caught:
        text_of(sql, without("FINANCE_OPERATIONS.OP_ID", "ADMIN_ACCOUNTS.limit", "ACCOUNT_STACK"))
    assert str(caught.value) == (
        "the billing's database has no table ACCOUNT_STACK, and the billing's ADMIN_ACCOUNTS has no column limit, "
        "and the billing's FINANCE_OPERATIONS has no column OP_ID"
    )
    assert caught.value.missing == ("ACCOUNT_STACK", "ADMIN_ACCOUNTS.limit", "FINANCE_OPERATIONS.OP_ID")


def test_a_text_or_a_comment_names_no_column() -> None:
    sql = "select a.id from abonents a where a.name is distinct from 'o.descr [x]' -- o.descr"
    assert text_of(sql, ALL) == sql


@pytest.mark.parametrize(("file", "folder"), FILES)
def test_every_statement_names_what_is_documented(file: str, folder: str) -> None:
    for block in blocks(file, folder).values():
        assert fitted(block, ALL).text == whole(block).text, block.name
        tables = {table.upper() for table in re.findall(r"(?<!distinct )(?<!:)(?:from|join) (\w[\w$]*)", block.text)}
        assert {table for table in tables if not table.startswith("RDB$")} <= {*DOCUMENTED, *POSSIBLE}, block.name


def test_what_is_there_is_found_once_a_connection(connection: Connection, billing_file: Path) -> None:
    with Database(Dsn(str(billing_file))) as database:
        # The mock billing has no devices, and so no stack for them.
        assert database.schema.missing(documented()) == (TableColumn("EVENTS_STACK"),)
        assert list(database.query(TOTAL))
        database.close()
        changed(connection, "alter table finance_operations drop descr")
        # A connection that was lost is opened anew, and the billing may be another version by then.
        assert not database.schema.has("FINANCE_OPERATIONS", "DESCR")
        assert database.schema.has("FINANCE_OPERATIONS", "STORNO")
        assert [one.descr for one in of_abonents(database, range(2001, 2100), 1)].count("") > 0


def test_objects_come_without_the_fields_that_are_not_there(connection: Connection, billing_file: Path) -> None:
    changed(connection, "alter table finance_operations drop sync1c", "alter table finance_operations drop code1c")
    with Database(Dsn(str(billing_file))) as database:
        ((op_id,),) = database.query("select min(op_id) from finance_operations")
        ((found,),) = from_database(database, "FinanceOperations", [{"op_id": str(op_id)}], ("op_summa", "storno"))
        assert found.values["op_id"] == str(op_id)
        assert found.values.keys().isdisjoint({"sync1c", "code1c"})
        with pytest.raises(ColumnsMissing, match="FINANCE_OPERATIONS has no column SYNC1C"):
            from_database(database, "FinanceOperations", [{"op_id": str(op_id)}], ("op_summa", "sync1c"))


def test_where_a_stack_is_not_there_nothing_waits_in_it(connection: Connection, billing_file: Path) -> None:
    changed(connection, "drop table account_stack", "insert into events_stack_compact (id, abonent_id) values (1, 5)")
    with Database(Dsn(str(billing_file))) as database:
        assert depth(database) == Stacks(0, 1)
        assert waiting_for(database, accounts=[17], abonents=[5]) == Stacks(0, 1)


def test_a_stack_that_does_not_say_whose_its_entries_are_is_counted_whole(
    connection: Connection, billing_file: Path
) -> None:
    changed(
        connection,
        "insert into events_stack_compact (id, abonent_id) values (1, 5)",
        "alter table events_stack_compact drop abonent_id",
    )
    with Database(Dsn(str(billing_file))) as database:
        assert waiting_for(database, accounts=[17], abonents=[6]) == Stacks(0, 1)
