"""What the tests of the jobs share: a billing with some odd subscribers in it, and both ways to reach it."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import Connection
from billing.money import SCALE
from jobs.access.gateway import Gateway
from lab.mock.population import create


@dataclass(frozen=True, slots=True)
class Execute:
    """Runs statements with their values on a billing's file, behind the billing's back."""

    connection: Connection

    def __call__(self, sql: str, *values: object) -> None:
        self.connection.cursor().execute(sql, values)
        self.connection.commit()

    def put(self, table: str, **row: object) -> None:
        self.rows(table, " ".join(row), tuple(row.values()))

    def rows(self, table: str, names: str, *rows: Sequence[object]) -> None:
        """New rows, of which these columns have these values."""
        for row in rows:
            marks = ", ".join("?" * len(row))
            self(f"insert into {table} ({', '.join(names.split())}) values ({marks})", *row)  # noqa: S608 - names of ours


ODD_ONES = (
    # id, contract number, account, tariff, deleted
    (9001, "00123", 9001, 2, 0),
    (9002, "123", 9002, 2, 0),
    (9003, "A15", 9003, 3, 0),
    (9004, "ДУБЛЬ", 9004, 1, 0),
    (9005, "ДУБЛЬ", 9005, 5, 0),
    (9006, "ГОСТЬ-1", 9006, 2, 1),
    (9007, "БЕЗСЧЁТА", None, 2, 0),
    (9008, "ВТОРОЙ", 9001, 2, 0),
    (9009, "77/2", 9009, 2, 1),
    (9010, "77/2", 9010, 2, 0),
)
FOLDER = 9100
WITH_THRESHOLD = 9001


@pytest.fixture(scope="session")
def billing_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mock billing of as few subscribers as have each kind among them: it is read whole many times over."""
    path = tmp_path_factory.mktemp("hundred") / "billing.fdb"
    create(path, subscribers=100, seed=7)
    return path


@pytest.fixture
def billing_file(billing_template: Path, tmp_path: Path) -> Path:
    """A copy of the template for one test, with the odd ones in it."""
    return Path(shutil.copy(filled(billing_template, "odd", insert_odd_ones), tmp_path / "billing.fdb"))


@pytest.fixture
def execute(billing_file: Path) -> Iterator[Execute]:
    """Runs a statement with its values on the billing's file, behind the billing's back."""
    with _executing(billing_file) as run:
        yield run


@contextmanager
def _executing(file: Path) -> Iterator[Execute]:
    connection = attach(Dsn(str(file)))
    yield Execute(connection)
    connection.close()


def filled(template: Path, name: str, *fillings: Callable[[Execute], None]) -> Path:
    """The template with more in it, made beside it by the first test that asks for it."""
    made = template.with_name(f"{name}.fdb")
    if not made.exists():
        shutil.copy(template, made)
        with _executing(made) as execute:
            for fill in fillings:
                fill(execute)
    return made


def insert_odd_ones(execute: Execute) -> None:
    """The folder 9100 with the odd ones; account 9001 warns at -120, the others have no threshold."""
    execute("insert into abonents (id, is_folder, name) values (?, 1, 'Странные')", FOLDER)
    accounts = {account for _, _, account, _, _ in ODD_ONES if account is not None}
    for account in sorted(accounts):
        limit = -120 * SCALE if account == WITH_THRESHOLD else None
        execute("insert into admin_accounts (id, limit_warning) values (?, ?)", account, limit)
    names = "id contract_number account_id tarif_id deleted parent_id name"
    execute.rows("abonents", names, *((*one, FOLDER, "Иванов") for one in ODD_ONES))


@pytest.fixture(params=["with a database", "without a database"])
def gateway(request: pytest.FixtureRequest, client: BillingClient, database: Database) -> Gateway:
    return Gateway(client, database if request.param == "with a database" else None)


@pytest.fixture
def both(client: BillingClient, database: Database) -> Gateway:
    return Gateway(client, database)
