"""A probe asks a billing that nobody knows: what cannot be read of an answer is a sentence, or is not learned."""

from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock

import pytest

from billing.api.client import BillingClient
from billing.directory.subscribers import Abonent
from engine.errors import LookUpFailed
from engine.evidence import Accepted
from jobs.access.gateway import Gateway
from jobs.probe.entries import ProbeEntries
from jobs.probe.intent import Intents
from jobs.probe.readings import threshold_of


def entries(answered: Any) -> ProbeEntries:
    client = AsyncMock(spec=BillingClient)
    client.send.return_value = Accepted(result=answered)
    abonent = Abonent(5, "00005", "x", 1, is_folder=False, deleted=False, account_id=6)
    return ProbeEntries(Gateway(client), AsyncMock(spec=Intents), abonent, "7q2k")


@pytest.mark.parametrize("op_id", ["abc", "", None, 1.5, "5\x1b[31m", "9" * 5000, -1])
async def test_an_operation_whose_id_is_no_number_is_a_sentence(op_id: object) -> None:
    with pytest.raises(LookUpFailed, match="op_id"):
        await entries([{"pk": op_id, "fields": {"op_id": op_id, "storno": 0}}]).filtered({"descr": "x"})


@pytest.mark.parametrize(
    ("answered", "balance"),
    [
        ([{"pk": 6, "fields": {"balance": "50.5"}}], Decimal("50.5")),
        ([{"pk": 6, "fields": {"balance": "n/a"}}], None),
        ([{"pk": 6, "fields": {"balance": "1e999999999"}}], None),
        ([{"pk": 6, "fields": {"balance": [1]}}], None),
        ([{"pk": 6, "fields": {}}], None),
        ([], None),
    ],
)
async def test_a_balance_that_is_no_amount_is_not_known(answered: Any, balance: Decimal | None) -> None:
    assert await entries(answered).balance() == balance


@pytest.mark.parametrize("value", ["n/a", "1e999999999", "1" * 5000])
def test_a_threshold_that_is_no_amount_is_none(value: str) -> None:
    assert threshold_of({"fields": {"limit_warning": value}}) is None
