"""The mock billing over real sockets."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.directory.subscribers import of_abonents
from billing.errors import DatabaseAway
from lab.crash.loops import loops
from lab.mock.ledger import Ledger
from lab.mock.quirks import Quirks
from lab.mock.server import MockBilling, running
from tests.firebird_server import FirebirdServer
from tests.lab.mock.waiting import until

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


def _body(abonent: int, summa: str = "50.5") -> bytes:
    values = {"abonent_id": abonent, "op_summa": summa, "op_type_id": 8, "descr": "Миграция балансов"}
    form = {"method1": "objects.create", "arg1": json.dumps(values, ensure_ascii=False), "fields": '["op_id"]'}
    return urlencode(form).encode()


async def _post(http: aiohttp.ClientSession, url: str, body: bytes, model: str = "FinanceOperations") -> Any:
    async with http.post(f"{url}/rest_api/v2/{model}/", data=body, headers=FORM) as response:
        assert response.status == 200
        return await response.json()


async def _live(server: MockBilling) -> list[int]:
    rows = await asyncio.to_thread(
        lambda: list(server.database.query("select id from abonents where is_folder = 0 and deleted = 0 order by id"))
    )
    return [key for (key,) in rows]


async def test_a_create_is_answered_as_documented(mock_billing: MockBilling, http: aiohttp.ClientSession) -> None:
    answer = await _post(http, mock_billing.url, _body(2001))
    assert answer == {
        "call": "objects.create",
        "result": {
            "pk": answer["result"]["pk"],
            "model": "FinanceOperations",
            "fields": {"op_id": answer["result"]["pk"]},
        },
    }
    assert mock_billing.ledger.effects("FinanceOperations") == {2001: 1}
    (operation,) = of_abonents(mock_billing.database, [2001])
    assert (str(operation.op_summa), operation.descr) == ("50.50", "Миграция балансов")


async def test_a_refusal_is_an_error_with_http_200(mock_billing: MockBilling, http: aiohttp.ClientSession) -> None:
    assert await _post(http, mock_billing.url, _body(89)) == {
        "call": "objects.create",
        "error": "Группе нельзя добавлять финансовую операцию",
    }
    assert (await _post(http, mock_billing.url, b"", "Nothing"))["error"] == "Не найдена модель Nothing"
    assert "error" in await _post(http, mock_billing.url, b"method1=objects.get&arg1={", "Users")
    assert mock_billing.ledger.totals() == []


async def test_the_vendors_own_line_works_unencoded(mock_billing: MockBilling, http: aiohttp.ClientSession) -> None:
    line = (
        'method1=objects.create&arg1={"abonent_id": 2001, "op_summa": "50.5", "op_type_id": 8,'
        ' "descr": "Миграция балансов"}'
    )
    await _post(http, mock_billing.url, line.encode())
    (operation,) = of_abonents(mock_billing.database, [2001])
    assert operation.descr == "Миграция балансов"


async def test_health_and_ledger(mock_billing: MockBilling, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{mock_billing.url}/mock/health") as response:
        assert await response.json() == {"status": "ok"}
    for abonent in (2001, 2001, 2003):
        await _post(http, mock_billing.url, _body(abonent))
    async with http.get(f"{mock_billing.url}/mock/ledger") as response:
        assert await response.json() == [
            {"model": "FinanceOperations", "effects": 3, "subjects": 2, "repeated": {"2001": 2}}
        ]


async def test_many_at_a_time_each_exactly_once(mock_billing: MockBilling, http: aiohttp.ClientSession) -> None:
    abonents = await _live(mock_billing)
    # Refused ones among them: the others of the same commit are not touched by that.
    work = iter([key for abonent in abonents for key in ((abonent, 89) if abonent % 10 == 0 else (abonent,))])

    async def send() -> None:
        for abonent in work:
            answer = await _post(http, mock_billing.url, _body(abonent))
            assert ("error" in answer) == (abonent == 89)

    await asyncio.gather(*[send() for _ in range(64)])
    assert mock_billing.ledger.effects("FinanceOperations") == dict.fromkeys(abonents, 1)


async def test_slots_and_latency_bound_the_throughput(billing_file: Path, http: aiohttp.ClientSession) -> None:
    async with running(billing_file, latency=0.05, slots=2) as server:
        started = time.perf_counter()
        await asyncio.gather(*[_post(http, server.url, _body(abonent)) for abonent in range(2001, 2011)])
        assert time.perf_counter() - started >= 5 * 0.05
        server.slots, server.latency = 10, 1.0
        calls = [asyncio.create_task(_post(http, server.url, _body(abonent))) for abonent in range(2011, 2021)]
        await until(lambda: server.state()["in_flight"] == 10)
        assert server.state()["waiting"] == 0
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_the_effect_happens_once_when_the_client_has_gone(
    billing_file: Path, http: aiohttp.ClientSession
) -> None:
    async with running(billing_file, latency=0.2, slots=1) as server:
        abonents = (await _live(server))[:3]
        for number, abonent in enumerate(abonents, 1):  # the second and third wait for the slot
            call = asyncio.create_task(_post(http, server.url, _body(abonent)))
            await until(lambda number=number: server.state()["requests"] == number)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await server.wait_for_requests()
        assert server.ledger.effects("FinanceOperations") == dict.fromkeys(abonents, 1)


async def test_what_arrived_before_the_end_has_its_effect(billing_file: Path, http: aiohttp.ClientSession) -> None:
    async with running(billing_file, latency=0.1) as server:
        lost = asyncio.ensure_future(_post(http, server.url, _body(2001)))
        await until(lambda: server.state()["in_flight"] == 1)
    await asyncio.gather(lost, return_exceptions=True)
    with Database(Dsn(str(billing_file))) as database:
        assert Ledger(database).effects("FinanceOperations") == {2001: 1}


async def test_middlewares_can_make_it_misbehave(billing_file: Path, http: aiohttp.ClientSession) -> None:
    @web.middleware
    async def lose_the_answer(request: web.Request, handler: Any) -> web.StreamResponse:
        await handler(request)
        raise web.HTTPBadGateway

    async with running(billing_file, middlewares=[lose_the_answer]) as server:
        async with http.post(
            f"{server.url}/rest_api/v2/FinanceOperations/", data=_body(2001), headers=FORM
        ) as response:
            assert response.status == 502
        assert server.ledger.effects("FinanceOperations") == {2001: 1}


async def test_an_opening_balance_that_adds(billing_file: Path, http: aiohttp.ClientSession) -> None:
    balance = (
        "select aa.ostatok + aa.debit - aa.credit from abonents a join admin_accounts aa on aa.id = a.account_id"
    )
    async with running(billing_file, quirks=Quirks(type_8="adds")) as server:
        query = f"{balance} where a.id = 2001"
        ((before,),) = list(server.database.query(query))
        await _post(http, server.url, _body(2001))
        assert list(server.database.query(query)) == [(before + 505_000_000_000,)]


async def test_request_numbers_go_on_after_a_restart(billing_file: Path, http: aiohttp.ClientSession) -> None:
    for done in ([1], [1, 2]):
        async with running(billing_file) as server:
            await _post(http, server.url, _body(2001))
            assert [entry.request for entry in server.ledger.entries("FinanceOperations", 2001)] == done


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway):
        async with running(tmp_path / "none.fdb"):
            pass


async def test_over_a_real_firebird_server(firebird_server: FirebirdServer, http: aiohttp.ClientSession) -> None:
    dsn = await asyncio.to_thread(firebird_server.populated, abonents=50)
    async with running(dsn) as server:
        abonents = await _live(server)
        await asyncio.gather(*[_post(http, server.url, _body(abonent)) for abonent in abonents])
        assert server.ledger.effects("FinanceOperations") == dict.fromkeys(abonents, 1)


async def test_two_processes_on_one_database(billing_file: Path, http: aiohttp.ClientSession) -> None:
    served = f"asyncio.run(serve(running({str(billing_file)!r})))"
    script = f"import asyncio; from lab.mock.server import running, serve\n{served}"
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", script, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(loops(30)):
            url = (await process.stdout.readline()).decode().strip()
        with Database(Dsn(str(billing_file))) as database:
            live = "select first 200 id from abonents where is_folder = 0 and deleted = 0 order by id"
            abonents = [key for (key,) in database.query(live)]
            assert Ledger(database).totals() == []
            for place in range(0, len(abonents), 50):
                chunk = abonents[place : place + 50]
                await asyncio.gather(*[_post(http, url, _body(abonent)) for abonent in chunk])
                # What the other process answered is seen here at once, on a connection that was open before.
                operations = await asyncio.to_thread(list, of_abonents(database, chunk))
                assert sorted(operation.abonent_id for operation in operations) == chunk
            assert Ledger(database).effects("FinanceOperations") == dict.fromkeys(abonents, 1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(loops(30)):
            rest = await process.stderr.read()
            assert await process.wait() == 0
        assert rest == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
