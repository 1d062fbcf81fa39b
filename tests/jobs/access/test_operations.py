"""Operations and balances through either door, and answers that cannot be believed."""

from decimal import Decimal
from unittest.mock import AsyncMock

import pytest

from billing.api.client import BillingClient
from billing.directory.subscribers import Operation
from billing.money import SCALE
from engine.errors import LookUpFailed
from jobs.access.gateway import Gateway
from jobs.access.operations import balances, newest, of_type, two_decimals
from tests.jobs.conftest import Execute


async def test_operations_are_the_same_through_both_doors(gateway: Gateway, execute: Execute) -> None:
    for key, kind, storno, descr in [(90001, 8, 0, "Ввод"), (90002, 8, 1, None), (90003, 1, 0, "Касса")]:
        execute(
            "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr, storno) "
            "values (?, 9001, ?, ?, '2026-02-03 23:59:59', ?, ?)",
            *(key, kind, -505 * SCALE // 10, descr, storno),
        )
    found = await of_type(gateway, [9001, 9002], 8)
    assert dict(found) == {
        9001: [
            Operation(90001, 9001, 8, Decimal("-50.50"), "Ввод", False, "2026-02-03"),
            Operation(90002, 9001, 8, Decimal("-50.50"), "", True, "2026-02-03"),
        ]
    }
    assert await newest(gateway, [9001, 9002]) == {9001: 90003, 9002: 0}


async def test_balances_are_known_with_a_database_only(gateway: Gateway, execute: Execute) -> None:
    execute("update admin_accounts set ostatok = ?, credit = ? where id = 9001", 10 * SCALE, 3 * SCALE)
    found = await balances(gateway, [9001, 9008, 9002])
    there = {9001: Decimal(7), 9008: Decimal(7), 9002: Decimal(0)}
    assert found == (there if gateway.database else {})


@pytest.mark.parametrize(
    "fields",
    [
        {"op_id": 5, "storno": 0},
        {"op_id": 5, "op_summa": "1.00"},
        {"op_summa": "1.00", "storno": 0},
        {"op_id": "five", "op_summa": "1.00", "storno": 0},
        {"op_id": 5, "op_summa": "one", "storno": 0},
    ],
)
async def test_an_answer_with_a_part_missing_is_not_believed(fields: dict[str, object]) -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.return_value = [fields]
    with pytest.raises(LookUpFailed):
        await of_type(Gateway(client), [9001], 8)


async def test_a_last_operation_without_an_id_is_not_believed() -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.return_value = [{"storno": 0}]
    with pytest.raises(LookUpFailed, match="has no op_id"):
        await newest(Gateway(client), [9001])


@pytest.mark.parametrize(
    ("amount", "text"), [("50.5", "50.50"), ("7", "7.00"), ("-0", "0.00"), ("0.005", "0.005"), ("-1200", "-1200.00")]
)
def test_roubles_as_people_write_them(amount: str, text: str) -> None:
    assert two_decimals(Decimal(amount)) == text
