"""The billing says itself how its money is scaled, and is believed before any sum is read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection
from billing.directory.system import check_scale
from billing.errors import OtherScale


@pytest.fixture
def connection(billing_file: Path) -> Iterator[Connection]:
    connection = attach(Dsn(str(billing_file)))
    yield connection
    connection.close()


def done(connection: Connection, file: Path, statement: str, *values: str) -> Database:
    connection.cursor().execute(statement, values)
    connection.commit()
    return Database(Dsn(str(file)))


def test_the_usual_scale(either_database: Database) -> None:
    assert check_scale(either_database)


def test_the_same_number_written_otherwise(connection: Connection, billing_file: Path) -> None:
    with done(connection, billing_file, "update vpn_const set const_value = ' 10000000000.00 '") as database:
        assert check_scale(database)


@pytest.mark.parametrize("value", ["1000000", "100", "1e9", "much", ""])
def test_another_scale_is_refused_by_its_number(connection: Connection, billing_file: Path, value: str) -> None:
    with (
        done(connection, billing_file, "update vpn_const set const_value = ?", value) as database,
        pytest.raises(OtherScale) as caught,
    ):
        check_scale(database)
    assert f"a rouble is {value!r}" in str(caught.value)
    assert "10000000000" in str(caught.value)


@pytest.mark.parametrize(
    "statement", ["update vpn_const set const_value = null", "delete from vpn_const", "drop table vpn_const"]
)
def test_where_it_is_not_said_that_is_told(connection: Connection, billing_file: Path, statement: str) -> None:
    with done(connection, billing_file, statement) as database:
        assert not check_scale(database)
