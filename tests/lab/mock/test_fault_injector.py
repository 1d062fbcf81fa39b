"""Every way to fail, over real sockets: what the billing did, and what the client makes of it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from billing.api.answers import created_id
from billing.api.calls import Call, ChainStep, create, encode, filter_, version
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import Database
from billing.database.dsn import Dsn
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from lab.crash.loops import loops
from lab.mock.fault_plan import read_plan
from lab.mock.ledger import Ledger
from lab.mock.server import MockBilling, running
from tests.billing.saving import get_set_save
from tests.lab.mock.waiting import until

MODEL = "FinanceOperations"
CABINET = Call("Users", (ChainStep("web_cabinet.get_usluga_list", {"suid": "1"}),))


def _write(abonent: int = 2001) -> Call:
    return create(MODEL, abonent_id=abonent, op_summa="50.5", op_type_id=8, descr="Миграция").asking("op_id", "descr")


def _plan(kind: str, *more: str) -> str:
    return "\n".join(["[[fault]]", f'kind = "{kind}"', *more])


@asynccontextmanager
async def _failing(
    file: Path, plan: str, *, read: float = 30.0, **traits: Any
) -> AsyncIterator[tuple[MockBilling, BillingClient]]:
    async with (
        running(file, faults=read_plan(plan), **traits) as server,
        BillingClient(ClientSettings(server.url, connect=30.0, read=read, deadline=30.0)) as client,
    ):
        yield server, client


async def _seen(file: Path, plan: str, call: Call, *, read: float = 30.0) -> tuple[Evidence, int]:
    """What the client sees of one call, and how many effects it had."""
    async with _failing(file, plan, read=read) as (server, client):
        seen = await client.send(call)
        await server.wait_for_requests()
        return seen, sum(server.ledger.effects(MODEL).values())


@pytest.mark.parametrize(
    ("kind", "more", "evidence", "effects"),
    [
        ("refuse", (), NotSent, 0),
        ("reset-before-effect", (), Lost, 0),
        ("reset-after-effect", (), Lost, 1),
        ("queued", ("delay = 0.01",), Accepted, 1),
        ("slow", ("delay = 0.01",), Accepted, 1),
        ("trickle", ("delay = 0.2",), Accepted, 1),
        ("half-answer", (), Lost, 1),
        ("500-before-effect", (), Lost, 0),
        ("500-after-effect", (), Lost, 1),
        ("502-after-effect", (), Lost, 1),
        ("504-after-effect", (), Lost, 1),
        ("503", (), Lost, 0),
        ("503", ("retry_after = 5",), Busy, 0),
        ("429", (), Busy, 0),
        ("busy", (), Busy, 0),
        ("busy", ('text = "с проводками в стеке"',), Busy, 0),
        ("stop", (), SystemRefused, 0),
        ("invalid-json-after-effect", (), Lost, 1),
        ("other-encoding", (), Lost, 1),
        ("redirect-before-effect", (), Lost, 0),
        ("redirect-after-effect", (), Lost, 1),
    ],
)
async def test_what_is_seen_and_what_was_done(
    billing_file: Path, kind: str, more: tuple[str, ...], evidence: type[Evidence], effects: int
) -> None:
    seen, done = await _seen(billing_file, _plan(kind, *more), _write())
    assert isinstance(seen, evidence), seen
    assert done == effects


async def test_silence_outlasts_the_client(billing_file: Path) -> None:
    seen, done = await _seen(billing_file, _plan("effect-then-silence"), _write(), read=0.3)
    assert (type(seen), done) == (Lost, 1)


async def test_who_waits_in_the_queue_has_its_effect_after_the_client_has_gone(billing_file: Path) -> None:
    plan = _plan("queued", "delay = 1.0", 'method = "objects.create"')
    async with _failing(billing_file, plan, read=0.2) as (server, client):
        assert isinstance(await client.send(_write()), Lost)
        found = await client.send(filter_(MODEL, {"abonent_id": 2001, "op_type_id": 8}))
        assert found == Accepted(result=[])
        await until(lambda: server.ledger.effects(MODEL) == {2001: 1})


async def test_a_queue_is_as_long_as_live_ones(billing_file: Path) -> None:
    async with _failing(billing_file, _plan("queued"), read=0.2) as (server, client):
        assert isinstance(await client.send(_write()), Lost)
        assert server.ledger.effects(MODEL) == {}
    # A server that ends lets nobody wait: the effect is there.
    with Database(Dsn(str(billing_file))) as database:
        assert Ledger(database).effects(MODEL) == {2001: 1}


async def test_a_busy_list_is_refused_as_lists_are(billing_file: Path) -> None:
    text = "с проводками в стеке"
    plan = _plan("busy", f'text = "{text}"')
    async with _failing(billing_file, plan) as (server, _), aiohttp.ClientSession() as http:
        for method, listed in (("objects.filter", True), ("objects.create", False)):
            async with http.post(f"{server.url}/rest_api/v2/{MODEL}/", data={"method1": method}) as answer:
                error = (await answer.json())["error"]
            assert (error[-1] if listed else error) == text


async def test_silence_ends_with_a_reset(billing_file: Path) -> None:
    seen, done = await _seen(billing_file, _plan("effect-then-silence", "delay = 0.05"), _write())
    assert (type(seen), done) == (Lost, 1)
    assert isinstance(seen, Lost)
    assert "broke" in seen.text


@pytest.mark.parametrize(
    ("kind", "header", "wait"),
    [("429", "", None), ("429", "retry_after = 7", 7.0), ("503", 'retry_after = "7"', 7.0)],
)
async def test_how_long_to_wait(billing_file: Path, kind: str, header: str, wait: float | None) -> None:
    seen, _ = await _seen(billing_file, _plan(kind, header), _write())
    assert isinstance(seen, Busy)
    assert seen.retry_after == wait


async def test_a_date_to_wait_for(billing_file: Path) -> None:
    seen, _ = await _seen(billing_file, _plan("503", 'retry_after = "date"', "delay = 100"), _write())
    assert isinstance(seen, Busy)
    assert seen.retry_after is not None
    assert 90 < seen.retry_after <= 100


async def test_an_error_within_the_cabinets_string(billing_file: Path) -> None:
    async with _failing(billing_file, _plan("cabinet-error")) as (_, client):
        assert await client.send(CABINET) == RowRefused("Обещанный платеж уже подключен", recognised=True)
        assert isinstance(await client.send(_write()), Accepted)


async def test_the_answer_of_another_request(billing_file: Path) -> None:
    async with _failing(billing_file, _plan("foreign-answer", "requests = 2")) as (server, client):
        first, second = await client.send(_write(2001)), await client.send(_write(2003))
        assert first == second
        assert server.ledger.effects(MODEL) == {2001: 1, 2003: 1}
        assert isinstance(await client.send(filter_(MODEL, {"abonent_id": 2003})), Accepted)


async def test_without_another_request_it_is_a_health_checks(billing_file: Path) -> None:
    seen, done = await _seen(billing_file, _plan("foreign-answer"), _write())
    assert isinstance(seen, Accepted)
    assert (created_id(seen.result), done) == (None, 1)


async def test_a_reset_is_no_orderly_end(billing_file: Path) -> None:
    for kind, broken in (("reset-after-effect", True), ("half-answer", False)):
        async with running(billing_file, faults=read_plan(_plan(kind))) as server:
            host, port = server.url.removeprefix("http://").split(":")
            assert await asyncio.to_thread(_raw, host, int(port)) is broken


def _raw(host: str, port: int) -> bool:
    """Whether the connection breaks with a RST."""
    body = encode(_write())
    head = f"POST /rest_api/v2/{MODEL}/ HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            return True
    return False


async def test_a_trickle_comes_in_pieces(billing_file: Path) -> None:
    plan = _plan("trickle", "delay = 0.4")
    async with running(billing_file, faults=read_plan(plan)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = encode(version())
        writer.write(
            f"POST /rest_api/v2/Version/ HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        await reader.readuntil(b"\r\n\r\n")
        pieces = 0
        text = b""
        while not text.endswith(b"}}"):
            text += await reader.read(4096)
            pieces += 1
        assert pieces > 20
        writer.close()
        await writer.wait_closed()


async def test_a_row_is_busy_so_many_times(billing_file: Path) -> None:
    async with _failing(billing_file, _plan("busy", "tries = 2", "share = 0.5")) as (server, client):
        tries: dict[int, int] = {}
        for abonent in range(2001, 2021):
            call = _write(abonent)
            tries[abonent] = 1
            while isinstance(await client.send(call), Busy):
                tries[abonent] += 1
        assert set(tries.values()) == {1, 3}
        assert set(server.ledger.effects(MODEL).values()) == {1}


async def test_so_many_times_and_no_more(billing_file: Path) -> None:
    async with _failing(billing_file, _plan("500-after-effect", "times = 2")) as (server, client):
        seen = [type(await client.send(_write(abonent))) for abonent in (2001, 2003, 2004, 2005)]
        assert seen == [Lost, Lost, Accepted, Accepted]
        assert server.faults.report()["faults"] == [
            {"kind": "500-after-effect", "times": 2, "matched": 4, "injected": 2}
        ]


async def test_the_first_fault_that_is_drawn_happens(billing_file: Path) -> None:
    plan = _plan("busy", "requests = 2") + "\n" + _plan("500-before-effect", 'model = "Users"') + "\n" + _plan("429")
    async with _failing(billing_file, plan) as (server, client):
        users = get_set_save("Users", {"id": 7}, {"pull": 5})
        seen = [type(await client.send(call)) for call in (_write(), _write(), users)]
        assert seen == [Busy, Busy, Lost]
        assert server.faults.report()["injected"] == {"429": 1, "500-before-effect": 1, "busy": 1}


async def test_a_plan_is_repeatable(billing_file: Path) -> None:
    plan = "seed = 5\n" + _plan("429", "share = 0.3") + "\n" + _plan("stop", "share = 0.2")
    seen = []
    for _ in range(2):
        async with _failing(billing_file, plan) as (_, client):
            seen.append([type(await client.send(version())) for _ in range(60)])
    assert seen[0] == seen[1]
    assert set(seen[0]) == {Accepted, Busy, SystemRefused}


async def _refused(client: BillingClient) -> bool:
    return isinstance(await client.send(version()), NotSent)


async def _answered(client: BillingClient) -> bool:
    return isinstance(await client.send(version()), Accepted)


async def test_the_port_is_closed_and_opened_again(billing_file: Path) -> None:
    async with _failing(billing_file, "") as (server, client):
        assert isinstance(await client.send(_write(2001)), Accepted)
        server.faults.set(read_plan(_plan("refuse")))
        # The connection that was kept open is no way around.
        await until(partial(_refused, client))
        assert isinstance(await client.send(_write(2003)), NotSent)
        url = server.url
        server.faults.set(read_plan(""))
        await until(partial(_answered, client))
        assert isinstance(await client.send(_write(2004)), Accepted)
        assert server.url == url
        assert server.ledger.effects(MODEL) == {2001: 1, 2004: 1}
        assert server.faults.report()["injected"] == {"refuse": 1}


async def test_a_span_of_refusal_ends_by_itself(billing_file: Path) -> None:
    async with _failing(billing_file, "") as (server, client):
        now = 0.0
        server.faults._clock = lambda: now
        server.faults.set(read_plan(_plan("refuse", "to = 0.1")))
        await until(partial(_refused, client))
        now = 0.1
        await until(partial(_answered, client))


async def test_a_server_that_ends_waits_for_no_delay(billing_file: Path) -> None:
    async with asyncio.timeout(loops(20)):
        async with _failing(billing_file, _plan("slow", "delay = 600")) as (server, client):
            slow = asyncio.ensure_future(client.send(_write()))
            await until(lambda: bool(server.ledger.totals()))
        await slow


async def test_what_was_in_hand_when_the_port_closed_is_answered(billing_file: Path) -> None:
    async with _failing(billing_file, "", latency=0.3) as (server, client):
        asked = asyncio.ensure_future(client.send(_write()))
        await until(lambda: server.state()["in_flight"] == 1)
        server.faults.set(read_plan(_plan("refuse")))
        await until(partial(_refused, client))
        assert isinstance(await asked, Accepted)
