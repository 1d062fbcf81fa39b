"""The mock billing over real sockets: its answers, its slots, its control endpoint, and two processes on one file."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.directory.subscribers import of_abonents
from billing.errors import SettingsError
from lab.mock.ledger import Ledger
from lab.mock.server import MockBilling, read_schedule, running
from tests.lab.mock.calling import until

MODEL = "FinanceOperations"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def _enter(http: aiohttp.ClientSession, url: str, abonent: int) -> Any:
    values = {"abonent_id": abonent, "op_summa": "50.5", "op_type_id": 8, "descr": "Миграция балансов"}
    form = {"method1": "objects.create", "arg1": json.dumps(values, ensure_ascii=False), "fields": '["op_id"]'}
    return await _post(http, url, form)


async def _post(http: aiohttp.ClientSession, url: str, body: dict[str, str] | bytes) -> Any:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(f"{url}/rest_api/v2/{MODEL}/", data=body, headers=headers) as response:
        assert response.status == 200
        return await response.json()


async def _live(server: MockBilling) -> list[int]:
    live = "select id from abonents where is_folder = 0 and deleted = 0 order by id"
    return [key for (key,) in await asyncio.to_thread(lambda: list(server.database.query(live)))]


# ---- answers -------------------------------------------------------------------------------------------------------


async def test_what_is_answered_is_as_documented(mock_billing: MockBilling, http: aiohttp.ClientSession) -> None:
    answer = await _enter(http, mock_billing.url, 2001)
    key = answer["result"]["pk"]
    assert answer == {"call": "objects.create", "result": {"pk": key, "model": MODEL, "fields": {"op_id": key}}}
    assert await _enter(http, mock_billing.url, 89) == {
        "call": "objects.create",
        "error": "Группе нельзя добавлять финансовую операцию",
    }
    assert "error" in await _post(http, mock_billing.url, b"method1=objects.get&arg1={")
    # The vendor's own line is not encoded.
    line = 'arg1={"abonent_id": 2003, "op_summa": "50.5", "op_type_id": 8, "descr": "Миграция балансов"}'
    await _post(http, mock_billing.url, f"method1=objects.create&{line}".encode())
    await _enter(http, mock_billing.url, 2003)
    operations = list(of_abonents(mock_billing.database, [2001, 2003]))
    assert {(str(each.op_summa), each.descr) for each in operations} == {("50.50", "Миграция балансов")}
    for path, told in (
        ("health", {"status": "ok"}),
        ("ledger", [{"model": MODEL, "effects": 3, "subjects": 2, "repeated": {"2003": 2}}]),
    ):
        async with http.get(f"{mock_billing.url}/mock/{path}") as response:
            assert await response.json() == told
    assert mock_billing.control_url == ""


# ---- slots, and clients that go ------------------------------------------------------------------------------------


async def test_the_effect_happens_once_when_the_client_has_gone_and_when_the_server_ends(
    billing_file: Path, http: aiohttp.ClientSession
) -> None:
    async with running(billing_file, latency=0.2, slots=1) as server:
        abonents = (await _live(server))[:3]
        for number, abonent in enumerate(abonents, 1):  # the second and third wait for the slot
            call = asyncio.create_task(_enter(http, server.url, abonent))
            await until(lambda number=number: server.state()["requests"] == number)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await server.wait_for_requests()
        assert server.ledger.effects(MODEL) == dict.fromkeys(abonents, 1)
        last = asyncio.create_task(_enter(http, server.url, 2001))
        await until(lambda: server.state()["in_flight"] == 1)
    await asyncio.gather(last, return_exceptions=True)
    with Database(Dsn(str(billing_file))) as database:
        assert Ledger(database).effects(MODEL) == dict.fromkeys({*abonents}, 1) | {2001: 1 + (2001 in abonents)}


async def test_a_capacity_changes_by_its_schedule(billing_file: Path) -> None:
    assert read_schedule("0:8, 30:4,60.5:16") == ((0.0, 8), (30.0, 4), (60.5, 16))
    for text in ("", "8", "a:8", "0:b", "0:0", "-1:5", "30:4,20:8", "nan:4"):
        with pytest.raises(SettingsError):
            read_schedule(text)
    async with running(billing_file, capacity=((0.0, 8), (0.01, 4), (0.02, 2))) as server:
        await until(lambda: server.slots == 2)


async def test_who_finds_no_room_is_turned_away_without_an_effect(
    billing_file: Path, http: aiohttp.ClientSession
) -> None:
    async with running(billing_file, slots=9, queue=1, latency=0.2, capacity=read_schedule("0:1")) as server:
        await until(lambda: server.slots == 1)
        sent = [_enter(http, server.url, abonent) for abonent in range(2001, 2009)]
        seen = await asyncio.gather(*sent, return_exceptions=True)
        assert [isinstance(each, AssertionError) and "503" in str(each) for each in seen].count(True) == 6
        assert (sum(server.ledger.effects(MODEL).values()), server.state()["turned_away"]) == (2, 6)


# ---- the control endpoint ------------------------------------------------------------------------------------------

Control = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def controlled(billing_file: Path, http: aiohttp.ClientSession) -> AsyncIterator[tuple[MockBilling, Control]]:
    async with running(billing_file, control_port=0, slots=3, queue=5, latency=0.01) as server:

        async def control(path: str, body: str | None = None) -> tuple[int, Any]:
            method = "GET" if body is None else "PUT"
            async with http.request(method, server.control_url + path, data=(body or "").encode()) as response:
                return response.status, (await response.json() if response.status != 404 else None)

        yield server, control


async def test_faults_are_changed_while_it_serves(
    controlled: tuple[MockBilling, Control], http: aiohttp.ClientSession
) -> None:
    server, control = controlled
    assert (await control("/faults"))[1]["faults"] == []
    status, report = await control("/faults", 'seed = 9\n[[fault]]\nkind = "429"\nretry_after = "3"')
    assert (status, report["seed"]) == (200, 9)
    with pytest.raises(AssertionError, match="429"):
        await _enter(http, server.url, 2001)
    before = server.faults.plan
    status, answer = await control("/faults", '[[fault]]\nkind = "busi"')
    assert (status, server.faults.plan) == (400, before)
    assert answer["error"] == "the plan:2: fault 1: there is no kind 'busi' (did you mean 'busy'?)"
    report = (await control("/faults"))[1]
    assert report["faults"] == [{"kind": "429", "retry_after": "3", "matched": 1, "injected": 1}]
    await control("/faults", '[[fault]]\nkind = "refuse"')
    assert (await control("/state"))[1]["requests"] == 1, "it is there while the port is closed"
    assert (await control("/faults", ""))[1]["injected"] == {"429": 1, "refuse": 1}


async def test_the_ledger_by_subject_a_page_at_a_time(
    controlled: tuple[MockBilling, Control], http: aiohttp.ClientSession
) -> None:
    server, control = controlled
    for abonent in (2003, 2001, 2003):
        await _enter(http, server.url, abonent)
    whole = (await control("/ledger"))[1]
    assert whole["totals"] == [{"model": MODEL, "effects": 3, "subjects": 2, "repeated": {"2003": 2}}]
    once, twice = whole["effects"]
    assert (once["model"], once["subject"], once["times"], once["requests"]) == (MODEL, 2001, 1, [2])
    assert (twice["subject"], twice["times"], twice["requests"]) == (2003, 2, [1, 3])
    assert (twice["keys"], twice["key"]) == ([once["key"] - 1, once["key"] + 1], once["key"] - 1)
    paged: list[Any] = []
    after: str | None = ""
    while after is not None:
        page = (await control(f"/ledger?limit=1&after={after}"))[1]
        paged += page["effects"]
        after = page["next"]
    assert (paged, whole["next"]) == (whole["effects"], None)
    for query in ("after=x:y", "limit=0", "limit=x"):
        assert (await control(f"/ledger?{query}"))[0] == 400


async def test_the_state_is_seen_and_changed(
    controlled: tuple[MockBilling, Control], http: aiohttp.ClientSession
) -> None:
    server, control = controlled
    await _enter(http, server.url, 2001)
    at_rest = {"in_flight": 0, "waiting": 0, "stack": {"accounts": 0, "events": 0}, "turned_away": 0}
    settings = {"slots": 3, "queue": 5, "latency": 0.01, "stack_rate": 0.0, "busy": True, "licence": None}
    assert (await control("/state"))[1] == {**at_rest, **settings, "quirks": [], "requests": 1}
    for body, said in (
        ("{", "this is not JSON"),
        ("[]", "a JSON object is needed"),
        ('{"slot": 3}', "there is no 'slot' to set (did you mean 'slots'?)"),
        ('{"latency": 1, "slots": 0}', "slots: 0 cannot be set"),
        ('{"stack_rate": true}', "stack_rate: True cannot be set"),
        ('{"licence": -1}', "licence: -1 cannot be set"),
    ):
        status, answer = await control("/state", body)
        assert (status, said in answer["error"], server.latency) == (400, True, 0.01), answer
    wanted = {"slots": 7, "queue": None, "latency": 0, "stack_rate": 0.001, "busy": False, "licence": 0}
    status, state = await control("/state", json.dumps(wanted))
    assert (status, state | wanted) == (200, state)
    assert (server.slots, server.queue, server.latency, server.stack_rate) == (7, None, 0, 0.001)
    await _enter(http, server.url, 2003)
    assert (await control("/state"))[1]["stack"] == {"accounts": 1, "events": 0}
