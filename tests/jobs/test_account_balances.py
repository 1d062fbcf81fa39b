"""The balances of accounts against the rows of a run: what is expected of each, and which cannot be compared."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from billing.database.database import Database
from billing.profile import UNKNOWN, Fact, TypeEight
from checkpoints.journal import Journal
from checkpoints.records import Run
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from jobs.account_balances import AccountDifference, Balances, compare_balances
from tests.jobs.conftest import Execute
from tests.jobs.making import rows_of
from tests.jobs.test_undo import done, undone
from tests.jobs.test_undo_of_shared_accounts import Type8, as_file, begin_with, billing

BEFORE = (Decimal(100), Decimal(0), Decimal("-7.50"))
"""The balances of the accounts 9001, 9002 and 9003."""
ROWS = {9001: Decimal(10), 9008: Decimal("5.25"), 9002: Decimal(-3)}
"""Two rows on the account 9001, and one on 9002."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A billing with the rows of a run in it."""

    gateway: Gateway
    journal: Journal
    folder: Path
    run: Run

    async def compared(self) -> tuple[Balances, list[str]]:
        found: list[AccountDifference] = []
        result = await compare_balances(self.run, self.gateway, self.journal, found.append)
        return result, [str(one) for one in found]

    async def enters(self, rows: dict[int, Decimal], **given: str) -> None:
        """Another run with these rows."""
        file = rows_of(self.folder, as_file(rows))
        await done(self.gateway, self.journal, "balances", file, given, enter=Repeat.AGAIN)


@pytest.fixture
def type_8() -> Type8:
    return "sets"


@pytest.fixture
async def entered(
    billing_file: Path, database: Database, execute: Execute, tmp_path: Path, type_8: Type8
) -> AsyncIterator[Setting]:
    begin_with(execute, BEFORE)
    async with billing(billing_file, database, type_8) as (gateway, journal):
        known = replace(gateway, profile=msgspec.structs.replace(UNKNOWN, type_8=Fact(TypeEight(type_8))))
        run = await done(known, journal, "balances", rows_of(tmp_path, as_file(ROWS)))
        yield Setting(known, journal, tmp_path, run)


async def test_where_the_last_entry_counts_the_others_of_its_account_are_missing(entered: Setting) -> None:
    result, told = await entered.compared()
    assert told == ["account 9001 (lines 2, 3): 15.25 expected, the balance is 5.25"]
    assert result == Balances(accounts=2, expected=Decimal("12.25"), found=Decimal("2.25"), different=1)


@pytest.mark.parametrize("type_8", ["adds"])
async def test_where_entries_add_up_the_balance_before_them_counts_as_well(entered: Setting) -> None:
    assert await entered.compared() == (Balances(accounts=2, expected=Decimal("112.25"), found=Decimal("112.25")), [])


async def test_an_account_with_a_later_operation_is_counted_apart(entered: Setting) -> None:
    await entered.enters({9008: Decimal(1)}, op_type="1")
    assert await entered.compared() == (Balances(accounts=1, expected=Decimal(-3), found=Decimal(-3), moved=1), [])


@pytest.mark.parametrize("type_8", ["adds"])
async def test_of_a_run_that_was_taken_back_and_of_its_undo_nothing_is_expected(entered: Setting) -> None:
    undo = await undone(entered.gateway, entered.journal, entered.run, way="opposite", type_8="adds")
    for run in (entered.run, undo):
        assert await replace(entered, run=run).compared() == (Balances(), [])
