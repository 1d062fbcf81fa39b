"""A recording served again, over real sockets."""

import asyncio
import gzip
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from billing.api.calls import Call, ChainStep, create, filter_, get, version
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.secret import Secret
from engine.evidence import Accepted, Busy, Evidence, Lost, RowRefused, SystemRefused
from lab.mock.server import MockBilling
from lab.record.matching import request_of
from lab.record.recording import Recording, open_recorder
from lab.record.replay import ReplayReport, replaying
from tests.billing.api.scripted_server import answer, close, half, reset, scripted
from tests.billing.saving import get_set_save

READ = filter_("Users", {"id": 1}, "login")


def client_of(url: str, **more: Any) -> BillingClient:
    times: dict[str, Any] = {"connect": 10.0, "read": 10.0, "deadline": 10.0}
    return BillingClient(ClientSettings(url, **(times | more)), patience=Patience(attempts=1))


async def sent(url: str, calls: Sequence[Call], **more: Any) -> list[Evidence]:
    async with client_of(url, **more) as client:
        return [await client.send(call) for call in calls]


async def record(path: Path, url: str, calls: Sequence[Call], **more: Any) -> list[Evidence]:
    settings = ClientSettings(url, **more)
    async with open_recorder(path, settings) as recorder, BillingClient(settings, listener=recorder) as client:
        return [await client.send(call) for call in calls]


def written(path: Path, exchanges: Sequence[dict[str, Any]], **header: Any) -> Path:
    """A recording made by hand."""
    first = {"recording": 1, "program": "x", "base_path": "", "started": ""} | header
    lines = [first]
    for number, exchange in enumerate(exchanges, 1):
        frame = {"number": number, "at": 0.0, "path": "/rest_api/v2/Users/", "seconds": 0.0, "outcome": "answered"}
        lines.append(frame | exchange)
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0))
    return path


def exchange_of(name: str, result: object = 1, **more: Any) -> dict[str, Any]:
    text = json.dumps({"call": "x", "result": result})
    return {
        "form": [["method1", name], ["arg1", "{}"]],
        "answer": {"status": 200, "headers": {}, "text": text},
    } | more


def ask(name: str) -> Call:
    return Call("Users", (ChainStep(name),))


async def test_a_load_replayed_twice_on_other_ports(tmp_path: Path, mock_billing: MockBilling) -> None:
    calls = [version(), filter_("Users", {"abonent_id": 2001})]
    for key in (2001, 2002, 89, 2001):
        calls.append(create("FinanceOperations", abonent_id=key, op_summa="1.50", op_type_id=8, descr="[cm one/1]"))
        calls.append(filter_("FinanceOperations", {"abonent_id": key}))
    calls.append(get_set_save("Abonents", {"id": 2001}, {"sms": "+79000000000"}))
    path = tmp_path / "r.gz"
    first = await record(path, f"{mock_billing.url}/", calls)
    assert {type(exchange) for exchange in first} == {Accepted, RowRefused}
    ports = []
    for _ in range(2):
        async with replaying(path) as replay:
            ports.append(replay.url)
            assert await sent(replay.url, calls) == first
            assert replay.report() == ReplayReport(len(calls), (), 0, (), 0)
        assert replay.report().same
    assert mock_billing.url not in ports
    assert mock_billing.ledger.effects("FinanceOperations")[2001] == 2


async def test_repeated_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    names = ["a", "b"] * 30
    path = written(tmp_path / "r.gz", [exchange_of(name, place) for place, name in enumerate(names)])
    async with replaying(path) as replay:
        in_turn = sorted(range(60), key=lambda place: names[place])
        assert await sent(replay.url, [ask(names[place]) for place in in_turn]) == [
            Accepted(result=each) for each in in_turn
        ]
        for more in await sent(replay.url, [ask("a"), ask("b")]):
            assert isinstance(more, SystemRefused)
            assert "asked more often than it was recorded" in more.text
    unknown = tuple(f"/rest_api/v2/Users/ method1={name} arg1={{}}" for name in "ab")
    assert replay.report() == ReplayReport(60, unknown, 2, (), 0)


async def test_unknown_and_never_made_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "r.gz", [exchange_of("asked"), exchange_of("not asked"), exchange_of("not asked")])
    secret = Call("Users", (ChainStep("unknown", {"psw": "qwerty"}),))
    async with replaying(path) as replay:
        seen = await sent(replay.url, [ask("asked"), secret, secret], extra={"hash_key": Secret("topsecret")})
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{replay.url}/rest_api/v2/Users/", data=b"a=1") as response:
                assert response.status == 404
                assert await response.json() == {
                    "error": "This request is not in the recording: /rest_api/v2/Users/ a=1"
                }
            async with http.get(f"{replay.url}/rest_api/v2/Users/") as response:
                assert response.status == 404
            async with http.get(f"{replay.url}/mock/health") as response:
                assert await response.json() == {"status": "ok"}
            async with http.get(f"{replay.url}/mock/report") as response:
                assert (await response.json())["never_made_count"] == 2
    assert isinstance(seen[1], SystemRefused)
    report = replay.report()
    assert not report.same
    assert report == ReplayReport(
        1,
        (
            '/rest_api/v2/Users/ method1=unknown arg1={"psw":"•••"} hash_key=•••',
            "/rest_api/v2/Users/ a=1",
            "GET /rest_api/v2/Users/",
        ),
        4,
        ("/rest_api/v2/Users/ method1=not asked arg1={}",) * 2,
        2,
    )


async def test_subscribers_that_are_compared_are_others_each_time(tmp_path: Path) -> None:
    def compared(key: int) -> Call:
        return filter_("Abonents", {"id": key}, "id", "contract_number", "name", "parent_id")

    async def script(_: web.Request, __: dict[str, str]) -> web.Response:
        return answer([])

    path = tmp_path / "r.gz"
    async with scripted(script) as server:
        await record(path, server.url, [compared(2001), READ])
    async with replaying(path) as replay:
        alone, asked = await sent(replay.url, [compared(2002), READ])
        (unknown,) = await sent(replay.url, [filter_("Abonents", {"id": 2002}, "id", "name")])
    assert alone == Accepted(result=[{"pk": 2002, "model": "Abonents", "fields": {"id": 2002}}])
    assert asked == Accepted(result=[])
    assert isinstance(unknown, SystemRefused)
    assert (replay.report().served, replay.report().unknown_count, replay.report().never_made_count) == (1, 1, 0)


async def test_secrets_and_runs_may_be_others(tmp_path: Path) -> None:
    async def script(_: web.Request, form: dict[str, str]) -> web.Response:
        return answer({"descr": json.loads(form["arg1"])["descr"], "key": form.get("api_key")})

    def calls(secret: str, run: str) -> list[Call]:
        return [
            create("Users", psw=secret, descr=f"Ключ «{secret}» [cm {run}/{number}]", number=number)
            for number in (1, 2)
        ]

    path = tmp_path / "r.gz"
    async with scripted(script) as server:
        await record(
            path, f"{server.url}/there", calls("first-secret", "aaaaa"), extra={"api_key": Secret("key-one")}
        )
    async with replaying(path) as replay:
        other = calls("another", "bb")
        # A prefix of the recorded address may be there or not, and so may the keys.
        assert await sent(f"{replay.url}/there", other[1:], extra={"api_key": Secret("key-two")}) == [
            Accepted(result={"descr": "Ключ «•••» [cm bb/2]", "key": "•••"})
        ]
        assert isinstance(
            (await sent(replay.url, [create("Users", psw="x", descr="Ключ «x»", number=1)]))[0], SystemRefused
        )
        assert await sent(replay.url, other[:1]) == [Accepted(result={"descr": "Ключ «•••» [cm bb/1]", "key": "•••"})]
    assert (replay.report().served, replay.report().unknown_count, replay.report().never_made_count) == (2, 1, 0)


async def test_what_came_instead_of_an_answer_comes_again(tmp_path: Path) -> None:
    async def script(request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        match form["method1"]:
            case "close":
                return close(request)
            case "reset":
                return reset(request)
            case "half":
                return await half(request)
            case "silence":
                await asyncio.sleep(5)
            case "long":
                return answer("x" * 4096)
        return answer(1, 503, Retry_After="3")

    path = tmp_path / "r.gz"
    calls = [ask(name) for name in ("close", "reset", "half", "silence", "long", "busy")]
    async with scripted(script) as server:
        first = await record(path, server.url, calls, read=0.2, answer_limit=1024)
    assert [type(exchange) for exchange in first] == [Lost] * 5 + [Busy]
    with Recording(path) as recording:
        exchanges = list(recording)
    assert [(e.instead.what, e.instead.how, e.instead.left) for e in exchanges if e.instead is not None] == [
        ("lost", "closed", True),
        ("lost", "reset", True),
        ("broke off", "closed", True),
        ("lost", "silence", True),
        ("broke off", "closed", True),
    ]
    part = exchanges[2].answer
    assert part is not None
    assert not part.whole
    assert b'{"result": ["a'.startswith(part.body)
    async with replaying(path) as replay:
        again = await sent(replay.url, calls)
    assert [type(exchange) for exchange in again] == [Lost] * 5 + [Busy]
    assert (again[0], again[1], again[5]) == (first[0], first[1], first[5])
    assert isinstance(again[2], Lost)
    assert "the answer broke off" in again[2].text
    assert replay.report().same
    # With its timing, the silence outlasts the client's patience as it did.
    async with replaying(path, speed="recorded") as replay:
        assert await sent(replay.url, [ask("silence")], read=0.2) == [
            Lost("no answer in time (0.2 s of silence, 10 s in all)")
        ]


async def test_what_never_arrived_is_passed_over(tmp_path: Path) -> None:
    instead = {"what": "not sent", "left": False, "how": "reset"}
    unsent = exchange_of("a", answer=None, outcome="not sent", instead=instead)
    stopped = exchange_of("c", answer=None, outcome="cancelled", instead={"what": "cancelled", "left": True})
    alone = exchange_of("b", answer=None, outcome="not sent", instead=instead)
    path = written(tmp_path / "r.gz", [unsent, exchange_of("a", 5), alone, stopped])
    async with replaying(path) as replay:
        assert await sent(replay.url, [ask("a")]) == [Accepted(result=5)]
        assert replay.report().same
        (seen, cancelled) = await sent(replay.url, [ask("b"), ask("c")])
    assert isinstance(seen, Lost)
    assert isinstance(cancelled, Lost)
    assert replay.report() == ReplayReport(3, (), 0, (), 0)


@pytest.mark.parametrize(("speed", "seconds", "least"), [("recorded", 0.3, 0.3), ("at once", 3600.0, 0.0)])
async def test_the_recorded_timing(tmp_path: Path, speed: Any, seconds: float, least: float) -> None:
    path = written(tmp_path / "r.gz", [exchange_of("a", seconds=seconds)])
    async with replaying(path, speed=speed) as replay, client_of(replay.url) as client:
        started = time.perf_counter()
        assert await client.send(ask("a")) == Accepted(result=1)
        assert time.perf_counter() - started >= least


async def test_a_body_that_is_no_text_and_one_that_is_not_encoded(tmp_path: Path) -> None:
    async def script(_: web.Request, __: dict[str, str]) -> web.Response:
        body = '{"result": "«Да»"}'.encode("cp1251")
        return web.Response(body=body, headers={"Content-Type": "application/json; charset=cp1251"})

    path, named = tmp_path / "r.gz", get("Users", {"name": "Миграция"})
    async with scripted(script) as server:
        assert await record(path, server.url, [READ, named]) == [Accepted(result="«Да»")] * 2
    with Recording(path) as recording:
        first, second = recording
    assert first.answer is not None
    assert (first.answer.text, first.answer.body) == (None, '{"result": "«Да»"}'.encode("cp1251"))
    async with replaying(path) as replay, aiohttp.ClientSession() as http:
        assert await sent(replay.url, [READ]) == [Accepted(result="«Да»")]
        body = "&".join(f"{name}={value}" for name, value in second.form).encode()
        async with http.post(f"{replay.url}/rest_api/v2/Users/", data=body) as response:
            assert response.status == 200


def test_which_requests_are_the_same() -> None:
    def same(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> bool:
        return request_of("/p", one).digest() == request_of("/p", other).digest()

    arg = [("method1", "m"), ("arg1", '{"a": 1, "b": [1, {}]}')]
    assert same(arg, [("arg1", '{"b":[1,{}],"a":1}'), ("method1", "m")])
    assert not same(arg, [("method1", "m"), ("arg1", '{"a": "1", "b": [1, {}]}')])
    assert not same(arg, [("method1", "m"), ("arg1", '{"a": 1, "b": [1, []]}')])
    assert not same(arg, arg[:1])
    assert same([("d", "x [cm a/7]")], [("d", "x [cm zz9/7]")])
    assert not same([("d", "x [cm a/7]")], [("d", "x [cm a/8]")])
    assert same([("arg1", '{"psw": "a"}')], [("arg1", '{"psw": "b"}')])
    assert not same([("arg1", '{"psw": "a"}')], [("arg1", '{"psw": ""}')])
    assert same([*arg, ("hash_key", "k")], arg)
    assert not same([("a", "1"), ("a", "2")], [("a", "1")])
    assert same([("arg1", "{broken")], [("arg1", "{broken")])
    assert request_of("/p", arg).digest() != request_of("/q", arg).digest()
