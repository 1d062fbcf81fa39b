"""TRUE is no amount and no id; to a placeholder that may be anything it is a flag, 1 or 0."""

import json
from pathlib import Path

import pytest
import xlsxwriter  # type: ignore[import-untyped]

from billing.api.client import BillingClient
from checkpoints.records import Refusal
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload
from jobs.catalogue.money import BALANCES
from jobs.catalogue.typed_call import call_kind
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from tests.jobs.making import job_of, prepared

KINDS = ("rows.xlsx", "rows.jsonl")


def written(folder: Path, name: str, header: list[str], *rows: list[object]) -> Input:
    """A workbook, or JSON lines, by the name."""
    path = folder / name
    if path.suffix == ".xlsx":
        with xlsxwriter.Workbook(path) as book:
            sheet = book.add_worksheet()
            for place, row in enumerate([header, *rows]):
                sheet.write_row(place, 0, row)
    else:
        lines = [json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
    return Input(file=str(path))


@pytest.mark.parametrize("name", KINDS)
async def test_true_is_no_amount_and_no_id(gateway: Gateway, tmp_path: Path, name: str) -> None:
    rows = written(tmp_path, name, ["abonent_id", "amount"], ["9001", True], [True, "5"], ["9002", "6"])
    done = await prepared(job_of(gateway, BALANCES, rows))
    assert [item.label for item in done.items] == ["123"]
    assert [refusal.column for refusal in done.refusals] == ["amount", "abonent_id"]
    amount, key = done.refusals
    assert "is not an amount" in amount.reason
    # What an export has of it can be read as no amount either.
    assert [_plain(refusal) for refusal in (amount, key)] == [("9001", "TRUE"), ("TRUE", "5")]


@pytest.mark.parametrize("name", KINDS)
async def test_a_placeholder_takes_it_as_a_flag(client: BillingClient, tmp_path: Path, name: str) -> None:
    chain = chain_text(['set_flags {"a": {a}, "b": "{b}", "sum": "{sum}"}'])
    parameters = {"model": "Users", "chain": chain}
    rows = written(tmp_path, name, ["a", "b", "sum", "other"], [True, False, True, True], ["true", "x", "7", "y"])
    done = await prepared(job_of(Gateway(client, None), call_kind(parameters), rows, **parameters))
    steps = [decode_payload(item.payload).steps for item in done.items]
    assert [arguments for ((_, arguments),) in steps] == [
        {"a": 1, "b": "0", "sum": "TRUE" if name == "rows.xlsx" else "true"},
        {"a": "true", "b": "x", "sum": "7"},
    ]
    # As a file it comes back as the same call.
    assert done.items[0].row[:2] == ("1", "0")


def _plain(refusal: Refusal) -> tuple[str, ...]:
    return tuple(cell.upper() for cell in refusal.row)
