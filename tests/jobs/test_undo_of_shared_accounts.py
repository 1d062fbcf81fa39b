"""Any rows on accounts that several of them reach: run, taken back, restored, as often as anybody likes.

The whole database is held against what it was, and what was entered against what stands.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.money import scaled
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from lab.mock.population import create
from lab.mock.quirks import Quirks
from lab.mock.server import running
from tests.conftest import SHARED_FIXTURES
from tests.jobs.conftest import Execute
from tests.jobs.making import rows_of
from tests.jobs.test_undo import counts, done, reasons, undone
from tests.jobs.whole_database import Tables, changes, whole

Type8: TypeAlias = Literal["sets", "adds"]
Rows: TypeAlias = dict[int, Decimal]

ON_ONE: Final = (9001, 9008, 9011, 9012)
"""Subscribers of the account 9001."""
ALONE: Final = (9002, 9003)
ACCOUNTS: Final = (9001, 9002, 9003)

MANY: Final = 1000

KOPECKS: Final = st.decimals("-9999.99", "9999.99", places=2)
# Equal amounts, round ones, and one that is spelled in two ways: they are what goes wrong.
AMOUNTS: Final = KOPECKS | st.sampled_from([Decimal(text) for text in ("0", "10", "-459.90", "-459.91", "100.00")])
BALANCES: Final = st.tuples(*[AMOUNTS] * len(ACCOUNTS))
ROWS: Final = st.dictionaries(st.sampled_from((*ON_ONE, *ALONE)), AMOUNTS, min_size=1, max_size=6)

ANY: Final = settings(
    max_examples=5, phases=[Phase.explicit, Phase.reuse, Phase.generate], suppress_health_check=SHARED_FIXTURES
)


@pytest.fixture(scope="session")
def billing_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mock billing of a few subscribers: it is read whole many times over."""
    path = tmp_path_factory.mktemp("few") / "billing.fdb"
    create(path, subscribers=20, seed=7)
    return path


@pytest.fixture
def shared_accounts(execute: Execute) -> None:
    """Two more subscribers of the account that two of the odd ones have."""
    for key in ON_ONE[2:]:
        execute.put(
            "abonents",
            id=key,
            parent_id=9100,
            name="Ещё один",
            contract_number=f"ЕЩЁ-{key}",
            account_id=9001,
            tarif_id=2,
        )


@asynccontextmanager
async def billing(file: Path, database: Database, type_8: Type8) -> AsyncIterator[tuple[Gateway, Journal]]:
    """A billing whose entries of type 8 set or add, and a new journal."""
    number = len(list(file.parent.glob("journal-*.db")))
    async with (
        running(file, quirks=Quirks(type_8=type_8)) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
        open_journal(file.parent / f"journal-{number}.db") as journal,
    ):
        yield Gateway(client, database), journal


def begin_with(execute: Execute, balances: Sequence[Decimal]) -> None:
    """Set the balances, and take the marks off what the example before has entered: its journal is another one."""
    execute("update finance_operations set descr = 'before'")
    for account, balance in zip(ACCOUNTS, balances, strict=True):
        execute("update admin_accounts set ostatok = ? - debit + credit where id = ?", scaled(balance), account)


def as_file(rows: Rows, column: str = "amount") -> str:
    return "\n".join([f"abonent_id;{column}", *(f"{key};{amount}" for key, amount in rows.items())]) + "\n"


def apart_from_operations(before: Tables, after: Tables) -> object:
    """What differs, but for operations that have come: no way back makes an operation disappear."""
    found = changes(before, after)
    if all(set(row) >= {"(there)"} for row in found.get("FINANCE_OPERATIONS", {}).values()):
        found.pop("FINANCE_OPERATIONS", None)
    return found


async def there_and_back(
    gateway: Gateway, journal: Journal, database: Database, run: Run, first: Tables, **how: str
) -> None:
    """Undo, undo of the undo, and so on: each gives the one state or the other, and nothing is refused."""
    second = whole(database)
    for turn in range(4):
        run = await undone(gateway, journal, run, most=MANY, **how)
        assert (await counts(journal, run))["refused"] == 0
        assert apart_from_operations(second if turn % 2 else first, whole(database)) == {}, turn


@pytest.mark.usefixtures("shared_accounts")
@pytest.mark.parametrize("type_8", ["sets", "adds"])
@pytest.mark.loops(300)
@ANY
@given(balances=BALANCES, rows=ROWS, again=ROWS)
async def test_opening_balances_are_taken_back_and_restored(
    type_8: Type8,
    balances: tuple[Decimal, ...],
    rows: Rows,
    again: Rows,
    billing_file: Path,
    database: Database,
    execute: Execute,
) -> None:
    begin_with(execute, balances)
    async with billing(billing_file, database, type_8) as (gateway, journal):
        zero = whole(database)
        earlier = await done(gateway, journal, "balances", rows_of(as_file(rows)))
        one = whole(database)
        later = await done(gateway, journal, "balances", rows_of(as_file(again)), enter=Repeat.AGAIN)
        how: dict[str, str] = {"way": "opposite", "type_8": type_8}
        await there_and_back(gateway, journal, database, later, one, **how)
        # Four times is where it was: once more, and the earlier run is on top.
        await undone(gateway, journal, later, most=MANY, **how)
        assert apart_from_operations(one, whole(database)) == {}
        await there_and_back(gateway, journal, database, earlier, zero, **how)


@pytest.mark.usefixtures("shared_accounts")
@pytest.mark.loops(300)
@ANY
@given(
    limits=st.tuples(*[st.none() | AMOUNTS] * len(ACCOUNTS)),
    rows=ROWS,
    name=st.sampled_from(["tariff-threshold", "cutoff-limit"]),
)
async def test_fields_of_an_account_are_taken_back_and_restored(
    limits: tuple[Decimal | None, ...],
    rows: Rows,
    name: str,
    billing_file: Path,
    database: Database,
    execute: Execute,
) -> None:
    column = "limit_warning" if name == "tariff-threshold" else '"limit"'
    for account, limit in zip(ACCOUNTS, limits, strict=True):
        value = None if limit is None else scaled(limit)
        execute(f"update admin_accounts set {column} = ? where id = ?", value, account)  # noqa: S608
    async with billing(billing_file, database, "sets") as (gateway, journal):
        first = whole(database)
        run = await done(gateway, journal, name, rows_of(as_file(rows)))
        await there_and_back(gateway, journal, database, run, first)


@pytest.mark.usefixtures("shared_accounts")
async def test_a_row_that_a_later_one_has_replaced_is_left_alone_and_says_so(
    billing_file: Path, database: Database, execute: Execute
) -> None:
    begin_with(execute, [Decimal(7), Decimal(0), Decimal(0)])
    async with billing(billing_file, database, "sets") as (gateway, journal):
        # Equal sums: the balance alone does not tell whose it is.
        run = await done(gateway, journal, "balances", rows_of("abonent_id;amount\n9001;50\n9008;50\n"))
        back = await undone(gateway, journal, run, way="opposite")
        (left,) = await reasons(journal, back)
        assert left == "row 2 of the same run has replaced it: taking that one back brings back what was before both"
