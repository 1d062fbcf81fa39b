"""Finance operations, read from the database."""

from decimal import Decimal
from pathlib import Path

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.directory import subscribers as operations
from billing.directory.models import RECEIPT
from billing.directory.subscribers import Operation
from lab.mock.connection import MockConnection


def test_operations_of_one_type_on_many_subscribers(either_database: Database) -> None:
    rows = list(
        either_database.query(
            "select op_id, abonent_id, op_summa, descr, op_date from finance_operations where op_type = 2"
        )
    )
    found = list(operations.of_abonents(either_database, range(2001, 3_500), RECEIPT))
    assert {o.op_id: o for o in found} == {
        op: Operation(op, abonent, RECEIPT, Decimal(summa) / 10**10, descr, False, f"{happened:%Y-%m-%d}")
        for op, abonent, summa, descr, happened in rows
    }
    assert list(operations.of_abonents(either_database, range(2001, 3_500))) == [], "no opening balance yet"


def test_reversed_ones_and_empty_comments(billing_file: Path) -> None:
    dsn = Dsn(str(billing_file))
    session = MockConnection(dsn)
    session.execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, storno)"
        " values (900001, 2001, 8, -505000000000, '2026-02-03 23:59:59', 1)"
    )
    session.commit()
    session.close()
    with Database(dsn) as database:
        assert list(operations.of_abonents(database, [2001])) == [
            Operation(900001, 2001, 8, Decimal("-50.50"), "", True, "2026-02-03")
        ]
        assert dict(operations.newest(database, [2001])) == {2001: 900001}


def test_the_last_operation_of_each(either_database: Database) -> None:
    rows = either_database.query("select abonent_id, op_id from finance_operations order by op_id")
    assert dict(operations.newest(either_database, range(2001, 3_500))) == dict(rows)
