"""Calls as they are written, the settings of the client, and how it asks again."""

import datetime as dt
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import Call, ChainStep, create, describe, encode, filter_, get, secrets_of, version
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.errors import BillingAway, BillingBusy, BillingRefused, NotTheBilling, SettingsError, SystemRefusal
from billing.secret import Secret
from engine.evidence import Accepted, RowRefused
from tests.billing.api.bare_server import Do, Step, served, talk, whole
from tests.billing.saving import get_set_save


def form(call: Call, **extra: str) -> dict[str, str]:
    return dict(parse_qsl(encode(call, extra).decode("ascii"), keep_blank_values=True, strict_parsing=True))


def test_saving_takes_arguments_of_its_own() -> None:
    call = get_set_save(
        "UsersUsluga",
        {"abonent_id": 94, "usluga_id": "127"},
        {"next_date": dt.datetime(2020, 9, 13)},  # noqa: DTZ001 — the billing's local time
        save={"allow_set_none_manager": True},
    )
    assert form(call)["arg2"] == '{"next_date":"2020-09-13 00:00:00"}'
    assert form(call)["arg3"] == '{"allow_set_none_manager":true}'
    assert form(Call("Users", (ChainStep("delete"),)))["arg1"] == "{}"


def test_values_are_written_in_the_billing_s_way() -> None:
    call = create(
        "Any",
        day=dt.date(2019, 6, 1),
        thousand=Decimal("1E+3"),
        span=(Decimal("0.10"), None),
        deep={"a": MappingProxyType({"b": Decimal(1)})},
    )
    assert json.loads(form(call)["arg1"]) == {
        "day": "2019-06-01",
        "thousand": "1000",
        "span": ["0.10", None],
        "deep": {"a": {"b": "1"}},
    }


@pytest.mark.parametrize("value", [50.5, [50.5], {1}, b"x", dt.datetime(2020, 1, 1, tzinfo=dt.UTC)])
def test_values_without_a_sure_spelling_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode(create("Any", value=value))


def test_the_health_check_has_a_form_of_its_own_and_another_call_a_method() -> None:
    assert encode(version(), {"hash_key": "k y"}) == b"get_version=True&hash_key=k+y"
    assert describe(version()) == "Version: get_version=True"
    with pytest.raises(ValueError, match="method"):
        Call("Users", ())


@pytest.mark.parametrize("model", ["", "../x", "A/B", "A?b=1", "Абонент", "A B"])
def test_a_model_is_a_name(model: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        create(model, a=1)


def test_only_cabinet_calls_are_cabinet_calls() -> None:
    assert Call("Users", (ChainStep("web_cabinet.get_usluga_list", {"suid": "1"}),)).of_cabinet
    assert not create("Users", login="web_cabinet.x").of_cabinet
    assert not version().of_cabinet


def test_a_preview_is_one_readable_line() -> None:
    call = get_set_save("Users", {"id": 324}, {"ip": "", "pull": "6", "d": Decimal("1.5")}).asking("ip", "pull")
    assert describe(call) == ('Users: objects.get(id=324) → set(ip="", pull="6", d="1.5") → save() | ip, pull')
    assert "\n" not in describe(create("A", text="a\nb\u202e\x1b"))
    assert describe(create("A", x=1.5)) == "A: objects.create(x=1.5)"


@pytest.mark.parametrize("show", [describe, repr, str])
def test_secrets_are_masked_and_found_at_any_depth_and_in_any_case(show: object) -> None:
    call = get("Users", {"id": 4084}, ChainStep("set_password", {"psw": "тайна1", "dontshow": False}))
    assert callable(show)
    text = show(call) + repr(call.steps)
    assert "тайна1" not in text
    assert "psw=•••" in text
    assert "dontshow=false" in text
    assert secrets_of(call) == ["тайна1"]
    assert form(call)["arg2"] == '{"psw":"тайна1","dontshow":false}'
    call = create("Users", PSW="a1", about={"of": [{"suid": "b2"}], "login": "c3"}, hash_key={"x": ["d4"]}, psws="e5")
    assert secrets_of(call) == ["a1", "b2", "d4"]
    assert "a1" not in show(call)


@given(
    st.dictionaries(st.text(), st.text() | st.integers(min_value=-(2**63), max_value=2**63) | st.booleans()),
    st.dictionaries(st.text(alphabet="abc", min_size=1), st.text()),
)
def test_what_is_encoded_can_be_decoded(arguments: dict[str, object], extra: dict[str, str]) -> None:
    sent = form(Call("Any", (ChainStep("objects.create", arguments),)), **extra)
    assert json.loads(sent.pop("arg1")) == arguments
    assert sent == {"method1": "objects.create", **extra}


ASK = filter_("Users", {"id": 1}, "login")


class Naps:
    """Waits that take no time and are remembered."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def told(body: object = "", *headers: str, status: int = 200) -> list[Step]:
    """A connection with one answer, as JSON unless it is a text."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return [Do.READ, whole("Content-Type: application/json", *headers, body=text.encode(), status=f"{status} X")]


@asynccontextmanager
async def asking(*connections: Sequence[Step]) -> AsyncIterator[tuple[BillingClient, Naps]]:
    """A client of a server that answers so in turn, with the last of them for ever, and its waits."""
    naps, patience = Naps(), Patience(attempts=4, base=1.0, longest=3.0, limit=10.0)
    key, header = {"hash_key": Secret("тайна")}, {"X-Key": Secret("also-secret")}
    async with served(talk(*connections)) as server:
        settings = ClientSettings(f"{server.url}/", extra=key, headers=header)
        async with BillingClient(settings, patience=patience, sleep=naps, chance=lambda: 1.0) as client:
            yield client, naps


async def test_a_cabinet_s_answer_is_read_at_both_levels() -> None:
    async with asking(told({"result": ['{"error": "x"}']})) as (client, _):
        reset = get("Users", {"id": 1}, ChainStep("web_cabinet.reset_password", {"login": "a"}))
        assert await client.send(reset) == RowRefused("x", recognised=False)
        assert await client.send(ASK) == Accepted(result=['{"error": "x"}'])


async def test_a_read_is_asked_again_and_given_up() -> None:
    busy = told({"error": "Слишком частые запросы"}, "Retry-After: 9")
    oops = told("<h1>Oops</h1>", status=500)
    async with asking([Do.HEAD, Do.RESET], busy, oops, told({"result": []}), told(status=502)) as (client, naps):
        assert await client.ask(ASK) == []
        assert naps.taken == [1.0, 9.0, 3.0]
        with pytest.raises(BillingAway, match=r"asked 4 times: HTTP 502 Bad Gateway\. Check"):
            await client.ask(ASK)
        assert len(naps.taken) == 6


async def test_a_long_wait_is_not_waited_for_and_a_refused_read_is_not_repeated() -> None:
    refused, forbidden = told({"error": "Не найден атрибут"}), told({"error": "Доступ запрещён"})
    async with asking(told("", "Retry-After: 11", status=429), refused, forbidden) as (client, naps):
        with pytest.raises(BillingBusy, match="asked once"):
            await client.ask(ASK)
        with pytest.raises(
            BillingRefused, match=r"refuses Users: objects\.filter\(id=1\) | login: Не найден атрибут"
        ):
            await client.ask(ASK)
        with pytest.raises(SystemRefusal, match="administrator"):
            await client.ask(ASK)
        assert naps.taken == []


async def test_health() -> None:
    healthy: Sequence[tuple[object, str, str | None]] = [
        ({"version": "5.20.1", "server_time": "2024-01-02 03:04:05"}, "5.20.1", "2024-01-02 03:04:05"),
        ({"get_version": 5, "date": "2024-01-02"}, "5", "2024-01-02"),
        ([{"Version": "5"}], "5", None),
        ("5.20.1", "5.20.1", None),
    ]
    async with asking(*(told({"result": result}) for result, _, _ in healthy)) as (client, _):
        for _, version_, clock in healthy:
            health = await client.health()
            assert (health.version, health.server_time) == (version_, clock)
            assert health.seconds >= 0


ILL: Final[Mapping[type[Exception], Sequence[tuple[int, str]]]] = {
    NotTheBilling: [
        (200, "<html><h1>It works!</h1></html>"),
        (200, '{"status": "ok"}'),
        (200, '{"result": {"a": 1}}'),
        (200, '{"result": null}'),
        (200, '{"result": true}'),
        (200, '{"result": []}'),
        (200, '{"error": "what?"}'),
        (200, '{"error": "Не найдена модель"}'),
        *((status, "") for status in (302, 400, 404, 405)),
    ],
    SystemRefusal: [(401, ""), (403, "")],
    BillingBusy: [(429, "")],
    BillingAway: [(503, ""), (500, "<h1>Oops</h1>")],
}


@pytest.mark.parametrize("error", ILL)
async def test_ill_health(error: type[Exception]) -> None:
    async with asking(*(told(body, status=status) for status, body in ILL[error])) as (client, _):
        for _ in ILL[error]:
            with pytest.raises(error):
                await client.health()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "billing:8082",
        "billing",
        "ftp://billing",
        "file:///etc/passwd",
        "http://",
        "http://:8082",
        "http://h:port",
        "http://h:99999",
        "http://user:s3cret@h",
        "http://user@h",
        "http://h/?hash_key=s3cret",
        "http://h/#x",
        "http://h?",
        "http://h:8082/billing#",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        ClientSettings(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"extra": {"arg1": "x"}},
        {"extra": {"fields": "x"}},
        {"extra": {"": "x"}},
        {"extra": {"hash_key": "k\udcd0y"}},
        {"extra": {"hash\udcd0key": "x"}},
        {"headers": {"Content-Type": "x"}},
        {"headers": {"A B": "x"}},
        {"headers": {"A": "x\r\nB: y"}},
        {"read": 0},
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    for name in settings.keys() & {"extra", "headers"}:
        settings = {name: {key: Secret(value) for key, value in settings[name].items()}}
    with pytest.raises(SettingsError):
        ClientSettings("http://h", **settings)
