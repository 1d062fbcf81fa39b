"""A mock billing that lacks tables and columns, as versions of the real one do, and goes on answering."""

import shutil
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from billing.api.calls import Call, ChainStep, filter_
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import TABLES, Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection
from billing.database.schema import DOCUMENTED, TableColumn
from billing.errors import BillingRefused, SettingsError
from engine.evidence import Accepted, RowRefused
from lab.mock.population import create, leave_out
from lab.mock.server import running


@pytest.fixture
def connection(billing_file: Path) -> Iterator[Connection]:
    connection = attach(Dsn(str(billing_file)))
    yield connection
    connection.close()


def test_each_documented_table_and_column_can_be_left_out(tmp_path: Path) -> None:
    create(tmp_path / "template.fdb", subscribers=2, seed=1)
    # The first columns of all tables in one billing, the second ones in another.
    lists = [[TableColumn(table, name) for name in names] for table, names in DOCUMENTED.items()]
    columns = [[one for one in each if one is not None] for each in zip_longest(*lists)]
    tables = [TableColumn(table) for table in DOCUMENTED if table not in TABLES and table != "EVENTS_STACK"]
    for number, names in enumerate([tables, *columns]):
        file = Path(shutil.copy(tmp_path / "template.fdb", tmp_path / f"{number}.fdb"))
        connection = attach(Dsn(str(file)))
        for one in names:
            leave_out(connection, str(one))
        connection.close()
        with Database(Dsn(str(file))) as database:
            assert set(names) <= set(database.schema.missing(names))


@pytest.mark.parametrize("name", ["FINANCE_OPERATIONS.NOTHING", "NOTHING", "MOCK_LEDGER", "ABONENTS.", ""])
def test_what_it_does_not_have_cannot_be_left_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="no such table or column"):
        create(tmp_path / "b.fdb", subscribers=5, seed=1, without=(name,))


async def test_a_field_without_its_column_is_no_attribute(connection: Connection, billing_file: Path) -> None:
    for name in ("FINANCE_OPERATIONS.CODE1C", "FINANCE_OPERATIONS.OP_DATE", "ACCOUNT_STACK.ACCOUNT_ID"):
        leave_out(connection, name)
    async with (
        running(billing_file, stack_rate=1000.0) as billing,
        BillingClient(ClientSettings(billing.url), patience=Patience(attempts=1)) as client,
    ):
        with pytest.raises(BillingRefused, match="code1c"):
            await client.ask(filter_("FinanceOperations", {"abonent_id": 2001}, "code1c"))
        arguments = {"abonent_id": 2001, "op_type_id": 8, "op_summa": "5.00", "descr": "x"}
        created = await client.send(Call("FinanceOperations", (ChainStep("objects.create", arguments),), ("op_id",)))
        assert isinstance(created, Accepted), created
        refused = await client.send(
            Call("FinanceOperations", (ChainStep("objects.create", {**arguments, "code1c": "1"}),), ("op_id",))
        )
        assert isinstance(refused, RowRefused)
        await billing.wait_for_stacks()
    assert billing.ledger.effects("FinanceOperations") == {2001: 1}
