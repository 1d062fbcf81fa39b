"""What a live billing answers differently; and that nothing but reads ever reaches it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import Call, ChainStep, create, filter_, get, version
from billing.api.client import BillingClient, ClientSettings
from billing.errors import BillingAway
from billing.secret import Secret
from lab.record.diff import Differ, Difference, Tally, differences, read_only
from lab.record.pseudonyms import Pseudonyms
from lab.record.recording import Recorded, RecordingError, open_recorder
from tests.billing.api.scripted_server import Scripted, answer, scripted
from tests.billing.saving import get_set_save

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


async def record(path: Path, url: str, calls: Sequence[Call], pseudonyms: Pseudonyms | None = None) -> None:
    settings = ClientSettings(url, extra={"hash_key": Secret("hidden-key"), "api_key": Secret("other-key")})
    recording = open_recorder(path, settings, pseudonyms=pseudonyms)
    async with recording as recorder, BillingClient(settings, listener=recorder) as client:
        for call in calls:
            await client.send(call)


async def found(path: Path, url: str, **more: Any) -> tuple[list[Difference], Tally]:
    async with BillingClient(ClientSettings(url)) as client:
        differ = Differ(path, client, **more)
        return [each async for each in differ], differ.tally


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
        await record(path, server.url, calls, people)
        asked = len(server.forms)
        assert (await found(path, server.url, pseudonyms=people)) == ([], Tally(asked=1, made_up=1))
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
        await record(path, server.url, [*WRITES, *READS, *WRITES, READS[0]])
        assert len(server.forms) == 2 * len(WRITES) + len(READS) + 1
    async with answering(cabinet) as server:
        seen, tally = await found(path, server.url)
    assert seen == []
    assert tally == Tally(asked=4, writes=2 * len(WRITES), repeated=1)
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
        await record(path, server.url, READS)
        assert await found(path, server.url) == ([], Tally(asked=4))
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
        await record(path, server.url, READS[:2])
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
        await record(path, server.url, [READS[0], with_secret])
        asked = len(server.forms)
        seen, tally = await found(path, server.url)
        assert len(server.forms) == asked
    assert (seen, tally) == ([], Tally(secret=1, unanswered=1))


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
