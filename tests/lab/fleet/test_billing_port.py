"""The mock billing in memory: what it answers, how it fails, and what it measures of its callers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from urllib.parse import urlencode

import aiohttp
import msgspec
import pytest

from lab.fleet.billing import FIRST, LedgerBilling
from lab.fleet.billing_port import WORKER, AnswerTraits, BillingFault, BillingPort, Looks
from tests.lab.mock.waiting import until

WELL = AnswerTraits(latency=0.01, faults={}, silence=5.0)


@asynccontextmanager
async def billing(traits: AnswerTraits = WELL) -> AsyncIterator[BillingPort]:
    async with Looks().kept() as looks:
        port = BillingPort(LedgerBilling(5), traits, Random(1), looks)
        async with port.serving():
            yield port


async def ask(port: BillingPort, model: str, method: str, arguments: object, **more: object) -> dict[str, object]:
    form = {"method1": method, "arg1": msgspec.json.encode(arguments).decode()}
    form |= {name: msgspec.json.encode(value).decode() for name, value in more.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{port.url}/rest_api/v2/{model}/", data=urlencode(form), headers={WORKER: "w1"}) as answer,
    ):
        found: dict[str, object] = msgspec.json.decode(await answer.read())
        return found


async def enter(port: BillingPort, subscriber: int = FIRST, amount: str = "12.30") -> dict[str, object]:
    created = {"abonent_id": subscriber, "op_type_id": 8, "op_summa": amount, "descr": "[cm abcde/1]"}
    return await ask(port, "FinanceOperations", "objects.create", created, fields=["op_id", "descr"])


async def test_what_is_entered_is_found_by_its_subscriber_and_stands_in_the_ledger() -> None:
    async with billing() as port:
        answer = await enter(port)
        assert answer["result"] == {
            "pk": 1, "model": "FinanceOperations", "fields": {"op_id": 1, "descr": "[cm abcde/1]"},
        }  # fmt: skip
        wanted = {"abonent_id": str(FIRST), "op_type_id": "8"}
        found = await ask(
            port, "FinanceOperations", "objects.filter", wanted, fields=["op_summa", "abonent__account_id"]
        )
        assert found["result"] == [
            {
                "pk": 1,
                "model": "FinanceOperations",
                "fields": {
                    "op_summa": "12.30",
                    "abonent": {"pk": FIRST, "model": "Abonents", "fields": {"account_id": FIRST}},
                },
            }
        ]
        assert [(entry.subscriber, entry.amount) for entry in port.billing.ledger] == [(FIRST, Decimal("12.30"))]
        assert (await ask(port, "Abonents", "objects.filter", {"id": "1"}))["result"] == []


@pytest.mark.parametrize("fault", BillingFault)
async def test_a_fault_is_before_the_effect_or_after_it(fault: BillingFault) -> None:
    async with billing(AnswerTraits(latency=0.01, faults={fault: 1.0}, silence=0.05)) as port:
        with pytest.raises((aiohttp.ClientError, msgspec.DecodeError)):
            await enter(port)
        before = fault in {BillingFault.RESET_BEFORE, BillingFault.UNAVAILABLE}
        assert (len(port.billing.ledger), port.done[fault]) == (0 if before else 1, 1)
        port.is_calm = True
        await enter(port)
        assert len(port.billing.ledger) == (1 if before else 2)


async def test_it_measures_what_it_has_at_one_time_and_of_whom_and_one_who_goes_away_leaves_its_effect() -> None:
    async with billing(AnswerTraits(latency=0.1, faults={}, silence=5.0)) as port:
        entering = [asyncio.ensure_future(enter(port, FIRST + number)) for number in range(4)]
        await until(lambda: port.measured.writes == 4)
        entering[0].cancel()
        await asyncio.gather(*entering, return_exceptions=True)
        await ask(port, "Abonents", "objects.filter", {"id": str(FIRST)})
        measured = port.measured
        assert (measured.writes, measured.most_in_flight, measured.most_writes, measured.most_reads) == (4, 4, 4, 1)
        assert [(turn.worker, turn.writes) for turn in measured.turns] == [("w1", 4)]
        await until(lambda: len(port.billing.ledger) == 4)
