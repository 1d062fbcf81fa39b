"""What a plan says of rows that reach one account: each of them finds what the rows before it have left."""

from decimal import Decimal
from pathlib import Path

import pytest

from billing.profile import UNKNOWN
from checkpoints.journal import open_journal
from checkpoints.records import NewItem
from jobs.access.payload import Payload, encode_payload
from jobs.effects.creatable_models import BALANCE
from jobs.value_changes import row_changes
from tests.checkpoints.samples import frozen_run

PAGE = 1000
"""Rows that are read at a time."""


def operation(key: str, lane: str, amount: str, op_type: int, balance: str | None) -> NewItem:
    payload = Payload(
        model="FinanceOperations",
        steps=(("create", {"abonent_id": 9, "op_type_id": op_type, "op_summa": amount}),),
        key={"abonent_id": "9", "op_type_id": str(op_type)},
        wanted={"op_summa": amount},
        was={} if balance is None else {BALANCE: balance},
    )
    return NewItem(key, f"subscriber {key}", lane, encode_payload(payload), Decimal(amount))


@pytest.mark.parametrize("between", [0, PAGE - 3, PAGE, 2 * PAGE])
async def test_a_row_finds_the_balance_of_the_rows_before_it_however_far_away(tmp_path: Path, between: int) -> None:
    rows = [
        operation("set", "account:7", "1.10", 8, "100.00"),
        operation("other type", "account:7", "5.00", 3, None),
        *(operation(f"other {one}", f"account:{100 + one}", "2.00", 8, "3.00") for one in range(between)),
        operation("set anew", "account:7", "-2.20", 8, "100.00"),
    ]
    async with open_journal(tmp_path / "journal") as journal:
        run = await frozen_run(journal, *rows)
        found = {one.item.key: one async for page in row_changes(run, journal, UNKNOWN) for one in page}
    first, last = found["set"], found["set anew"]
    assert [(one.old, one.new) for one in first.fields] == [("100.00", "1.10")]
    assert [(one.old, one.new) for one in last.fields] == [("1.10", "-2.20")]
    assert (first.first, last.first) == (True, False)
