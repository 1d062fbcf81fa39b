"""No two billings are alike: a statement names only what is there, and odd values end nothing."""

import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.schema import DOCUMENTED, POSSIBLE, Schema, TableColumn, documented, fitted, whole
from billing.database.sql_blocks import SqlStatement, Value, blocks
from billing.directory.models import MODELS, BillingObject
from billing.directory.objects import commented, from_database
from billing.directory.subscribers import of_abonents
from billing.directory.system import Stacks, waiting_for
from billing.errors import ColumnsMissing, UnreadableAnswer
from lab.mock.population import create, leave_out
from tests.billing.selects.selecting import change

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


def test_what_stands_in_brackets_is_left_out_where_it_is_not_there() -> None:
    sql = "select o.op_id[, o.descr] from finance_operations o"
    assert text_of(sql, ALL) == "select o.op_id, o.descr from finance_operations o"
    assert text_of(sql, without("FINANCE_OPERATIONS.DESCR")) == "select o.op_id from finance_operations o"


def test_the_first_of_several_that_is_there_is_taken() -> None:
    sql = "select [a.name || a.sms|a.name|null] from abonents a"
    assert text_of(sql, ALL) == "select a.name || a.sms from abonents a"
    assert text_of(sql, without("ABONENTS.SMS")) == "select a.name from abonents a"
    assert text_of(sql, without("ABONENTS.NAME")) == "select null from abonents a"


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
        assert [one.descr for one in of_abonents(database, range(2001, 2100), 1)].count("") > 0


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


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "billing.fdb"
    create(path, subscribers=5, seed=1)
    return path


def statements() -> Iterator[SqlStatement]:
    for file, folder in FILES:
        yield from blocks(file, folder).values()


@pytest.mark.parametrize("gone", TOGETHER, ids=lambda gone: f"{gone[0]} and {len(gone) - 1} more")
def test_a_statement_is_taken_or_names_what_is_missing(
    template: Path, tmp_path: Path, gone: list[TableColumn]
) -> None:
    file = Path(shutil.copy(template, tmp_path / "billing.fdb"))
    connection = attach(Dsn(str(file)))
    for one in gone:
        leave_out(connection, str(one))
    connection.close()
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
                    from_database(database, model, [{way: "2001"}])
                    if known.commented:
                        commented(database, model, [(2001, 1)], "[cm ")
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
        ((thing,),) = from_database(database, model, [key])
        return thing


@pytest.mark.parametrize(
    ("stored", "address"),
    [(-1062731775, "192.168.0.1"), (-1, "255.255.255.255"), (3232235521, "192.168.0.1"), (0, None)],
)
def test_a_signed_address_is_the_unsigned_one(billing_file: Path, stored: int, address: str) -> None:
    change(billing_file, f"update users set ip = {stored} where id = (select min(id) from users)")  # noqa: S608 - a number of ours
    with Database(Dsn(str(billing_file))) as database:
        ((key,),) = database.query("select min(id) from users")
    thing = found(billing_file, "Users", id=str(key))
    assert thing.values["ip"] == address
    assert not thing.faults


@pytest.mark.parametrize("stored", [2**32, -(2**31) - 1, 2**62])
def test_what_is_no_address_is_the_objects_own_fault(billing_file: Path, stored: int) -> None:
    change(billing_file, f"update users set ip = {stored} where id = (select min(id) from users)")  # noqa: S608 - a number of ours
    with Database(Dsn(str(billing_file))) as database:
        ((key,),) = database.query("select min(id) from users")
    thing = found(billing_file, "Users", id=str(key))
    assert thing.values["ip"] is None
    assert str(stored) in thing.faults["ip"]


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
        assert {(one.op_summa, one.day) for one in of_abonents(database, range(2001, 2200), 1)} == {
            (Decimal(0), "yesterday")
        }
    change(billing_file, "update finance_operations set op_summa = '505000000000'")
    with Database(Dsn(str(billing_file))) as database:
        assert {one.op_summa for one in of_abonents(database, range(2001, 2200), 1)} == {Decimal("50.50")}
        ((key,),) = database.query("select min(op_id) from finance_operations")
    assert found(billing_file, "FinanceOperations", op_id=str(key)).values["op_summa"] == "50.5"
    change(billing_file, "update finance_operations set op_summa = 'much'")
    with (
        Database(Dsn(str(billing_file))) as database,
        pytest.raises(UnreadableAnswer, match=r"OP_SUMMA holds 'much'"),
    ):
        list(of_abonents(database, range(2001, 2200), 1))
