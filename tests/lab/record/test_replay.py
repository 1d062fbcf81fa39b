"""A recording served again over real sockets, and compared with what a live billing answers."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import Call, ChainStep, create, filter_, get, version
from billing.api.client import BillingClient, ClientSettings
from billing.errors import BillingAway
from billing.secret import Secret
from engine.evidence import Accepted, Busy, Evidence, Lost, SystemRefused
from lab.record.pseudonyms import Pseudonyms
from lab.record.recording import Recorded, Recording, RecordingError, open_recorder
from lab.record.replay import Difference, ReplayReport, differences, differing, read_only, replaying, request_of
from tests.billing.api.bare_server import client_of
from tests.billing.api.scripted_server import Scripted, answer, close, half, reset, scripted
from tests.billing.saving import get_set_save

READ = filter_("Users", {"id": 1}, "login")


async def sent(url: str, calls: Sequence[Call], **more: Any) -> list[Evidence]:
    async with client_of(url, **more) as client:
        return [await client.send(call) for call in calls]


async def record(
    path: Path, url: str, calls: Sequence[Call], pseudonyms: Pseudonyms | None = None, **more: Any
) -> list[Evidence]:
    settings = ClientSettings(url, **more)
    recording = open_recorder(path, settings, pseudonyms=pseudonyms)
    async with recording as recorder, BillingClient(settings, listener=recorder) as client:
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
        seen = await sent(replay.url, [ask("asked"), secret, secret], extra={"hash_key": "topsecret"})
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
        assert await sent(f"{replay.url}/there", other[1:], extra={"api_key": "key-two"}) == [
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

    path, names = tmp_path / "r.gz", ("close", "reset", "half", "silence", "long", "busy")
    calls = [ask(name) for name in names]
    async with scripted(script) as server:
        settings, first = ClientSettings(server.url, answer_limit=1024), list[Evidence]()
        async with open_recorder(path, settings) as recorder:
            for name, call in zip(names, calls, strict=True):
                # The others are waited for, however busy the machine is.
                patient = replace(settings, read=0.2) if name == "silence" else settings
                async with BillingClient(patient, listener=recorder) as client:
                    first.append(await client.send(call))
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
        assert await sent(replay.url, [ask("silence")], read=0.2, deadline=10.0) == [
            Lost("no answer in time (0.2 s of silence, 10 s in all)")
        ]


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


# ---- what a live billing answers differently, and that nothing but reads ever reaches it --------------------------

READS = (
    get("Users", {"id": 1}).asking("ip"),
    filter_("Users", {"abonent_id": 5}),
    Call("Users", (ChainStep("web_cabinet.get_usluga_list", {"get_user_uslugas_all": 1}),)),
    version(),
)
WRITES = (
    create("Users", login="a"),
    get("Users", {"id": 1}, ChainStep("set_password", {"dontshow": 1})),
    get("Users", {"id": 1}, ChainStep("delete")),
    get("Users", {"id": 1}, ChainStep("get_or_create_dynamic_session")),
    get("Users", {"id": 1}, ChainStep("objects.get", {"id": 2})),
    get_set_save("Users", {"id": 1}, {"ip": ""}),
    Call("Users", (ChainStep("web_cabinet.reset_password", {"login": "a"}),)),
    Call("Users", (ChainStep("web_cabinet.get_something_new", {}),)),
    Call("Users", (ChainStep("get_or_create_dynamic_session", {}),)),
    Call("Version", (ChainStep("objects.get", {}),), form=(("get_version", "True"),)),
    Call("Users", (ChainStep("objects.get", {}),), form=(("unheard_of", "1"),)),
)


async def kept(path: Path, url: str, calls: Sequence[Call], pseudonyms: Pseudonyms | None = None) -> None:
    keys = {"hash_key": Secret("hidden-key"), "api_key": Secret("other-key")}
    await record(path, url, calls, pseudonyms, extra=keys)


async def found(path: Path, url: str, **more: Any) -> tuple[list[Difference], Counter[str]]:
    tally = Counter[str]()
    async with BillingClient(ClientSettings(url)) as client:
        return [each async for each in differing(path, client, tally, **more)], tally


@asynccontextmanager
async def answering(results: dict[str, Any]) -> AsyncIterator[Scripted]:
    """Answers by method, the version under "version"."""

    async def script(_: web.Request, form: dict[str, str]) -> web.StreamResponse:
        result = results.get(form.get("method1", "version"), [1])
        return result if isinstance(result, web.Response) else answer(result)

    async with scripted(script) as server:
        yield server


def person(name: str, balance: int = 5) -> dict[str, Any]:
    return {"pk": 1, "model": "Abonents", "fields": {"name": name, "balance": balance}}


async def test_made_up_people_are_compared_by_the_same_key(tmp_path: Path) -> None:
    path, people = tmp_path / "r.gz", Pseudonyms(bytes(32))
    calls = [get("Abonents", {"id": 1}), filter_("Abonents", {"contract_number": "00123"})]
    async with answering({"objects.get": person("Канарейкина Вера")}) as server:
        await kept(path, server.url, calls, people)
        asked = len(server.forms)
        assert (await found(path, server.url, pseudonyms=people)) == ([], Counter(asked=1, made_up=1))
        assert len(server.forms) == asked + 1
    async with answering({"objects.get": person("Канарейкина Вера", 6)}) as server:
        (difference,), _ = await found(path, server.url, pseudonyms=people)
        assert (difference.path, difference.recorded, difference.now) == ("result.fields.balance", 5, 6)
        for other in (None, Pseudonyms(bytes(31) + b"1")):
            with pytest.raises(RecordingError, match="made up with the key of another machine"):
                await found(path, server.url, pseudonyms=other)


async def test_reads_are_asked_and_no_write_ever_is(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    cabinet = {"web_cabinet.get_usluga_list": ["{}"]}
    async with answering(cabinet) as server:
        await kept(path, server.url, [*WRITES, *READS, *WRITES, READS[0]])
        assert len(server.forms) == 2 * len(WRITES) + len(READS) + 1
    async with answering(cabinet) as server:
        seen, tally = await found(path, server.url)
    assert seen == []
    assert tally == Counter(asked=4, writes=2 * len(WRITES), repeated=1)
    assert server.forms == [
        {"method1": "objects.get", "arg1": '{"id":1}', "fields": '["ip"]'},
        {"method1": "objects.filter", "arg1": '{"abonent_id":5}'},
        {"method1": "web_cabinet.get_usluga_list", "arg1": '{"get_user_uslugas_all":1}'},
        {"get_version": "True"},
    ]


async def test_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    person = {"pk": 1, "fields": {"ip": "10.0.0.1", "sum": "50.5", "on": True, "gone": 1}}
    inner = json.dumps([{"id": 1, "price": 5}])
    then = {
        "objects.get": person,
        "objects.filter": [{"pk": 1, "a": 1}, {"pk": 2, "a": 2}, {"pk": 3, "a": 3}],
        "web_cabinet.get_usluga_list": [inner],
        "version": {"version": "5.1", "time": "2020-01-01 00:00:00"},
    }
    now = {
        "objects.get": {"pk": 1, "fields": {"ip": "10.0.0.2", "sum": 50.5, "on": 1, "new": None}},
        "objects.filter": [{"pk": 3, "a": 3}, {"pk": 1, "a": 10}, {"pk": 4, "a": 4}],
        "web_cabinet.get_usluga_list": [inner.replace("5", "6")],
        "version": {"version": "5.2", "time": "2021-01-01 00:00:00"},
    }
    async with answering(then) as server:
        await kept(path, server.url, READS)
        assert await found(path, server.url) == ([], Counter(asked=4))
    async with answering(now) as server:
        seen, _ = await found(path, server.url)
    unset = msgspec.UNSET
    assert [(each.number, each.path, each.recorded, each.now) for each in seen] == [
        (1, "result.fields.ip", "10.0.0.1", "10.0.0.2"),
        (1, "result.fields.sum", "50.5", pytest.approx(50.5)),
        (1, "result.fields.on", True, 1),
        (1, "result.fields.gone", 1, unset),
        (1, "result.fields.new", unset, None),
        (2, "result[pk=1].a", 1, 10),
        (2, "result[pk=2]", {"pk": 2, "a": 2}, unset),
        (2, "result[pk=4]", unset, {"pk": 4, "a": 4}),
        (3, "result[0][0].price", 5, 6),
        (4, "result.version", "5.1", "5.2"),
    ]
    assert seen[3].text == (
        '/rest_api/v2/Users/ method1=objects.get arg1={"id":1} fields=["ip"] hash_key=••• api_key=•••: '
        "result.fields.gone was 1, now not there"
    )


async def test_other_statuses_pages_and_silences(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    async with answering({}) as server:
        await kept(path, server.url, READS[:2])
    page = web.Response(text="<h1>Crash</h1>", status=500, content_type="text/html")
    async with answering({"objects.get": page}) as server:
        seen, _ = await found(path, server.url)
    assert [(each.path, each.now) for each in seen] == [("status", 500), ("body", "<h1>Crash</h1>")]

    async def hang_up(request: web.Request, _: dict[str, str]) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with scripted(hang_up) as server:
        seen, _ = await found(path, server.url)
    assert [(each.path, each.recorded) for each in seen] == [("answer", "HTTP 200")] * 2
    with pytest.raises(BillingAway, match="no billing to compare with"):
        await found(path, server.url)


async def test_what_cannot_be_asked_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    busy = web.Response(status=503, headers={"Retry-After": "1"})
    with_secret = Call("Users", (ChainStep("get_user_by_suid", {"suid": "5u1d-secret"}),))
    async with answering({"objects.get": busy, "get_user_by_suid": {"suid": "5u1d-secret", "id": 1}}) as server:
        await kept(path, server.url, [READS[0], with_secret])
        asked = len(server.forms)
        seen, tally = await found(path, server.url)
        assert len(server.forms) == asked
    assert (seen, tally) == ([], Counter(secret=1, unanswered=1))


def test_a_recorded_secret_stands_for_anything() -> None:
    secrets = {"a": "x•••y", "b": "•••"}
    assert list(differences(secrets, {"a": "x123y", "b": 5})) == []
    assert list(differences(secrets, {"a": "x123"})) == [("a", "x•••y", "x123"), ("b", "•••", msgspec.UNSET)]


NAMES = st.sampled_from(
    ["objects.get", "objects.filter", "set", "save", "delete", "objects.create", "get_usluga_list"]
)
FIELDS = st.sampled_from(["method1", "method2", "method3", "arg1", "arg2", "fields", "get_version", "Method1", "x"])


@given(
    st.lists(
        st.tuples(FIELDS, NAMES | st.sampled_from(["{}", "[]", "True", '{"id": 1}', "{broken", ""])), max_size=5
    ),
    st.sampled_from(["/rest_api/v2/Users/", "/rest_api/v2/Version/", "/rest_api/v2/Users/../x/", "/admin/"]),
)
def test_only_what_is_wholly_known_is_a_read(form: list[tuple[str, str]], path: str) -> None:
    call = read_only(Recorded(1, 0.0, path, tuple(form), 0.0, "answered"))
    if call is None:
        return
    given = dict(form)
    assert len(given) == len(form)
    assert (given == {"get_version": "True"} and call.model == "Version") or (
        given.keys() <= {"method1", "arg1", "fields"} and given["method1"] in {"objects.get", "objects.filter"}
    )
