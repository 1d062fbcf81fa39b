"""Values that no column should hold: they are read as what they are, or told, and end nothing."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.directory.models import BillingObject
from billing.directory.objects import from_database
from billing.directory.subscribers import balances, by_ids, of_abonents
from billing.errors import UnreadableAnswer

Change = Callable[..., None]


@pytest.fixture
def change(billing_file: Path) -> Iterator[Change]:
    connection = attach(Dsn(str(billing_file)))

    def run(*statements: str) -> None:
        for statement in statements:
            connection.execute_immediate(statement)
            connection.commit()

    yield run
    connection.close()


def found(file: Path, model: str, **key: str) -> BillingObject:
    with Database(Dsn(str(file))) as database:
        ((thing,),) = from_database(database, model, [key])
        return thing


@pytest.mark.parametrize(
    ("stored", "address"),
    [(-1062731775, "192.168.0.1"), (-1, "255.255.255.255"), (3232235521, "192.168.0.1"), (0, None)],
)
def test_a_signed_address_is_the_unsigned_one(change: Change, billing_file: Path, stored: int, address: str) -> None:
    change(f"update users set ip = {stored} where id = (select min(id) from users)")  # noqa: S608 - a number of ours
    with Database(Dsn(str(billing_file))) as database:
        ((key,),) = database.query("select min(id) from users")
    thing = found(billing_file, "Users", id=str(key))
    assert thing.values["ip"] == address
    assert not thing.faults


@pytest.mark.parametrize("stored", [2**32, -(2**31) - 1, 2**62])
def test_what_is_no_address_is_the_objects_own_fault(change: Change, billing_file: Path, stored: int) -> None:
    change(f"update users set ip = {stored} where id = (select min(id) from users)")  # noqa: S608 - a number of ours
    with Database(Dsn(str(billing_file))) as database:
        ((key,),) = database.query("select min(id) from users")
    thing = found(billing_file, "Users", id=str(key))
    assert thing.values["ip"] is None
    assert str(stored) in thing.faults["ip"]


def test_text_where_money_is_expected(change: Change, billing_file: Path) -> None:
    change(
        "alter table admin_accounts drop limit_warning",
        "alter table admin_accounts add limit_warning varchar(20)",
        "update admin_accounts set limit_warning = 'n/a'",
    )
    with Database(Dsn(str(billing_file))) as database:
        ((key,),) = database.query("select min(account_id) from abonents where is_folder = 0 and deleted = 0")
    thing = found(billing_file, "AdminAccounts", id=str(key))
    assert thing.values["limit_warning"] is None
    assert "'n/a' is not a number" in thing.faults["limit_warning"]


def test_an_operation_without_a_sum_or_with_a_text_for_it(change: Change, billing_file: Path) -> None:
    change(
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
    change("update finance_operations set op_summa = '505000000000'")
    with Database(Dsn(str(billing_file))) as database:
        assert {one.op_summa for one in of_abonents(database, range(2001, 2200), 1)} == {Decimal("50.50")}
        ((key,),) = database.query("select min(op_id) from finance_operations")
    assert found(billing_file, "FinanceOperations", op_id=str(key)).values["op_summa"] == "50.5"
    change("update finance_operations set op_summa = 'much'")
    with (
        Database(Dsn(str(billing_file))) as database,
        pytest.raises(UnreadableAnswer, match=r"OP_SUMMA holds 'much'"),
    ):
        list(of_abonents(database, range(2001, 2200), 1))


def test_flags_and_numbers_of_another_type(change: Change, billing_file: Path) -> None:
    change(
        "drop index abonents_contract_number",
        "alter table abonents drop contract_number",
        "alter table abonents add contract_number integer",
        "update abonents set contract_number = id",
    )
    with Database(Dsn(str(billing_file))) as database:
        (one,) = by_ids(database, [2001])
        assert one.contract_number == "2001"
        assert [abonent for abonent, _ in balances(database, [2001])] == [2001]
