"""The control endpoint, while the billing serves."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from billing.api.calls import Call, create
from billing.api.client import BillingClient, ClientSettings
from engine.evidence import Accepted, Busy, Lost, SystemRefused
from lab.mock.server import MockBilling, running
from tests.billing.saving import get_set_save

MODEL = "FinanceOperations"


class Control:
    """Talks to a control endpoint."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path) as response:
            assert response.status == 200
            return await response.json()

    async def put(self, path: str, body: str) -> tuple[int, Any]:
        async with self.session.put(self.url + path, data=body.encode()) as response:
            return response.status, await response.json()


@asynccontextmanager
async def _controlled(file: Path, **traits: Any) -> AsyncIterator[tuple[MockBilling, BillingClient, Control]]:
    async with (
        running(file, control_port=0, **traits) as server,
        BillingClient(ClientSettings(server.url)) as client,
        aiohttp.ClientSession() as session,
    ):
        yield server, client, Control(session, server.control_url)


def _write(abonent: int, text: str = "Миграция") -> Call:
    return create(MODEL, abonent_id=abonent, op_summa="50.5", op_type_id=8, descr=text)


async def test_a_plan_is_changed_while_it_serves(billing_file: Path) -> None:
    async with _controlled(billing_file) as (_, client, control):
        assert (await control.get("/faults"))["faults"] == []
        assert isinstance(await client.send(_write(2001)), Accepted)
        status, report = await control.put("/faults", 'seed = 9\n[[fault]]\nkind = "429"\nretry_after = "3"')
        assert (status, report["seed"]) == (200, 9)
        assert await client.send(_write(2001)) == Busy(
            "HTTP 429 Too Many Requests: 429 Too Many Requests", 3.0, recognised=False
        )
        report = await control.get("/faults")
        assert report["faults"] == [{"kind": "429", "retry_after": "3", "matched": 1, "injected": 1}]
        await control.put("/faults", '[[fault]]\nkind = "500-before-effect"')
        assert isinstance(await client.send(_write(2001)), Lost)
        status, report = await control.put("/faults", "")
        assert (report["faults"], report["injected"]) == ([], {"429": 1, "500-before-effect": 1})
        assert isinstance(await client.send(_write(2003)), Accepted)


async def test_a_plan_that_is_wrong_changes_nothing(billing_file: Path) -> None:
    async with _controlled(billing_file) as (server, _, control):
        await control.put("/faults", '[[fault]]\nkind = "429"')
        before = server.faults.plan
        status, answer = await control.put("/faults", '[[fault]]\nkind = "busi"')
        assert (status, server.faults.plan) == (400, before)
        assert answer["error"] == "the plan:2: fault 1: there is no kind 'busi' (did you mean 'busy'?)"


async def test_the_ledger_by_subject_a_page_at_a_time(billing_file: Path) -> None:
    async with _controlled(billing_file) as (_, client, control):
        for abonent in (2003, 2001, 2003):
            await client.send(_write(abonent))
        await client.send(get_set_save("Users", {"id": 7}, {"pull": 5}))
        whole = await control.get("/ledger")
        assert whole["totals"] == [
            {"model": MODEL, "effects": 3, "subjects": 2, "repeated": {"2003": 2}},
            {"model": "Users", "effects": 1, "subjects": 1, "repeated": {}},
        ]
        once, twice, user = whole["effects"]
        assert (once["model"], once["subject"], once["times"], once["requests"]) == (MODEL, 2001, 1, [2])
        assert (twice["subject"], twice["times"], twice["requests"]) == (2003, 2, [1, 3])
        assert twice["keys"] == [once["key"] - 1, once["key"] + 1]
        assert twice["key"] == twice["keys"][0]
        assert (user["model"], user["subject"], user["key"]) == ("Users", 7, 7)
        assert whole["next"] is None
        paged: list[Any] = []
        after: str | None = ""
        while after is not None:
            page = await control.get(f"/ledger?limit=1&after={after}")
            paged += page["effects"]
            after = page["next"]
        assert paged == whole["effects"]


async def test_the_state_is_seen_and_changed(billing_file: Path) -> None:
    async with _controlled(billing_file, slots=3, queue=5, latency=0.01) as (server, client, control):
        await client.send(_write(2001))
        assert await control.get("/state") == {
            "in_flight": 0,
            "waiting": 0,
            "slots": 3,
            "queue": 5,
            "latency": 0.01,
            "stack_rate": 0.0,
            "busy": True,
            "licence": None,
            "quirks": [],
            "stack": {"accounts": 0, "events": 0},
            "requests": 1,
            "turned_away": 0,
        }
        wanted = {"slots": 7, "queue": None, "latency": 0, "stack_rate": 0.001, "busy": False, "licence": 0}
        status, state = await control.put("/state", json.dumps(wanted))
        assert status == 200
        assert state | wanted == state
        assert (server.slots, server.queue, server.latency, server.stack_rate) == (7, None, 0, 0.001)
        await client.send(_write(2003))
        assert (await control.get("/state"))["stack"] == {"accounts": 1, "events": 0}
        refused = await client.send(create("Abonents", name="Новый", contract_number="Н1"))
        assert isinstance(refused, SystemRefused)
        await control.put("/state", '{"licence": null}')
        assert isinstance(await client.send(create("Abonents", name="Новый", contract_number="Н1")), Accepted)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "this is not JSON"),
        ("[]", "a JSON object is needed"),
        ('{"slot": 3}', "there is no 'slot' to set (did you mean 'slots'?)"),
        ('{"latency": 1, "slots": 0}', "slots: 0 cannot be set"),
        ('{"stack_rate": true}', "stack_rate: True cannot be set"),
        ('{"licence": -1}', "licence: -1 cannot be set"),
    ],
)
async def test_what_cannot_be_set(billing_file: Path, body: str, said: str) -> None:
    async with _controlled(billing_file) as (server, _, control):
        status, answer = await control.put("/state", body)
        assert status == 400
        assert said in answer["error"]
        assert (server.slots, server.latency) == (64, 0.0)


async def test_a_page_that_there_is_none_of(billing_file: Path) -> None:
    async with _controlled(billing_file) as (_, _, control):
        for query in ("after=x:y", "limit=0", "limit=x"):
            async with control.session.get(f"{control.url}/ledger?{query}") as response:
                assert response.status == 400


async def test_it_is_there_while_the_port_is_closed(billing_file: Path) -> None:
    async with _controlled(billing_file) as (_, _, control):
        await control.put("/faults", '[[fault]]\nkind = "refuse"')
        assert (await control.get("/state"))["requests"] == 0


async def test_without_being_asked_for_there_is_none(mock_billing: MockBilling) -> None:
    assert mock_billing.control_url == ""
