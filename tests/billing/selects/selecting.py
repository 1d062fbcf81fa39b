"""What the tests of selects do over and over: read one, and take its cells."""

from collections.abc import Mapping
from pathlib import Path

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.sql_blocks import Value
from billing.selects.select import select_of
from billing.selects.select_reader import SelectCellFault, SelectedRow, SelectReader, reading


def change(billing: Dsn | Database | Path, *statements: str) -> None:
    """Carry these out behind the billing's back, each with its commit."""
    dsn = billing.dsn if isinstance(billing, Database) else billing if isinstance(billing, Dsn) else Dsn(str(billing))
    connection = attach(dsn)
    for statement in statements:
        connection.execute_immediate(statement)
        connection.commit()
    connection.close()


ENDLESS = "select count(*) from abonents a, abonents b, abonents c, abonents d"


def wait_until_it_counts(dsn: Dsn) -> None:
    """Wait until somebody executes `ENDLESS`."""
    running = "select count(*) from mon$statements where mon$state = 1 and mon$sql_text containing 'abonents d'"
    with Database(dsn) as beside:
        # The second is this very question.
        while list(beside.query(running)) != [(2,)]:
            pass


def read(
    database: Database, text: str, values: Mapping[str, Value] | None = None, names: tuple[str, ...] = ()
) -> SelectReader:
    return reading(database, select_of(text), values or {}, names)


def rows_of(database: Database, text: str, values: Mapping[str, Value] | None = None) -> list[SelectedRow]:
    names = tuple(f"column{number}" for number in range(1, len(database.describe(text, values).columns) + 1))
    return [row for page in read(database, text, values, names).pages() for row in page.rows]


def cells_of(database: Database, text: str, values: Mapping[str, Value] | None = None) -> tuple[str, ...]:
    (row,) = rows_of(database, text, values)
    assert row.fault is None
    return row.cells


def fault_of(database: Database, text: str) -> SelectCellFault:
    (row,) = rows_of(database, text)
    assert row.fault is not None
    return row.fault
