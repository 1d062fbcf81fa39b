"""Calls as they are written, the settings of the client, and how it asks again."""

import datetime as dt
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import Call, ChainStep, create, describe, encode, filter_, get, secrets_of, version
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.errors import BillingAway, BillingBusy, BillingRefused, NotTheBilling, SettingsError, SystemRefusal
from billing.secret import Secret
from engine.evidence import Accepted, RowRefused
from tests.billing.api.scripted_server import reset, scripted
from tests.billing.saving import get_set_save


def form(call: Call, **extra: str) -> dict[str, str]:
    return dict(parse_qsl(encode(call, extra).decode("ascii"), keep_blank_values=True, strict_parsing=True))


def test_an_initial_balance_as_in_the_recipe() -> None:
    call = create(
        "FinanceOperations", abonent_id=1111, op_summa=Decimal("50.50"), op_type_id=8, descr="Миграция балансов"
    )
    assert call.path == "/rest_api/v2/FinanceOperations/"
    assert form(call.asking("id")) == {
        "method1": "objects.create",
        "arg1": '{"abonent_id":1111,"op_summa":"50.50","op_type_id":8,"descr":"Миграция балансов"}',
        "fields": '["id"]',
    }


def test_a_plus_is_encoded() -> None:
    body = encode(filter_("Abonents", {"sms": "+71234567899"}, "id", "name"))
    assert b"%2B71234567899" in body
    assert b"+" not in body


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


def test_the_health_check_has_a_form_of_its_own() -> None:
    assert encode(version(), {"hash_key": "k y"}) == b"get_version=True&hash_key=k+y"
    assert describe(version()) == "Version: get_version=True"


@pytest.mark.parametrize("model", ["", "../x", "A/B", "A?b=1", "Абонент", "A B"])
def test_a_model_is_a_name(model: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        create(model, a=1)


def test_a_call_needs_a_method() -> None:
    with pytest.raises(ValueError, match="method"):
        Call("Users", ())


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
def test_a_password_is_masked(show: object) -> None:
    call = get("Users", {"id": 4084}, ChainStep("set_password", {"psw": "тайна1", "dontshow": False}))
    assert callable(show)
    text = show(call) + repr(call.steps)
    assert "тайна1" not in text
    assert "psw=•••" in text
    assert "dontshow=false" in text
    assert secrets_of(call) == ["тайна1"]
    assert form(call)["arg2"] == '{"psw":"тайна1","dontshow":false}'


def test_secrets_are_found_at_any_depth_and_in_any_case() -> None:
    call = create("Users", PSW="a1", about={"of": [{"suid": "b2"}], "login": "c3"}, hash_key={"x": ["d4"]}, psws="e5")
    assert secrets_of(call) == ["a1", "b2", "d4"]
    assert "a1" not in describe(call)


@given(
    st.dictionaries(st.text(), st.text() | st.integers(min_value=-(2**63), max_value=2**63) | st.booleans()),
    st.dictionaries(st.text(alphabet="abc", min_size=1), st.text()),
)
def test_what_is_encoded_can_be_decoded(arguments: dict[str, object], extra: dict[str, str]) -> None:
    sent = form(Call("Any", (ChainStep("objects.create", arguments),)), **extra)
    assert json.loads(sent.pop("arg1")) == arguments
    assert sent == {"method1": "objects.create", **extra}


READ = filter_("Users", {"id": 1}, "login")
BUSY = {"error": "Слишком частые запросы"}


class Naps:
    """Waits that take no time and are remembered."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@dataclass(slots=True)
class Answers:
    """What the server answers, in turn; the last of them for ever."""

    url: str = ""
    forms: list[dict[str, str]] = field(default_factory=list)
    waiting: deque[web.Response | None] = field(default_factory=deque)

    def give(self, payload: Any = None, status: int = 200, body: str | None = None, **headers: str) -> None:
        text = json.dumps(payload) if body is None else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.waiting.append(web.Response(status=status, text=text, headers=named, content_type="application/json"))

    def hang_up(self) -> None:
        self.waiting.append(None)

    async def serve(self, request: web.Request, form: dict[str, str]) -> web.Response:
        self.forms.append(form)
        told = self.waiting.popleft() if len(self.waiting) > 1 else self.waiting[0]
        if told is None:
            return reset(request)
        return web.Response(status=told.status, body=told.body, headers=told.headers)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def answers() -> AsyncIterator[Answers]:
    answers = Answers()
    async with scripted(answers.serve) as server:
        answers.url = server.url
        yield answers


@pytest.fixture
async def asking(answers: Answers, naps: Naps) -> AsyncIterator[BillingClient]:
    settings = ClientSettings(
        f"{answers.url}/", extra={"hash_key": Secret("тайна")}, headers={"X-Key": Secret("also-secret")}
    )
    patience = Patience(attempts=4, base=1.0, longest=3.0, limit=10.0)
    async with BillingClient(settings, patience=patience, sleep=naps, chance=lambda: 1.0) as asking:
        yield asking


async def test_a_cabinet_s_answer_is_read_at_both_levels(asking: BillingClient, answers: Answers) -> None:
    answers.give({"result": ['{"error": "x"}']})
    seen = await asking.send(get("Users", {"id": 1}, ChainStep("web_cabinet.reset_password", {"login": "a"})))
    assert seen == RowRefused("x", recognised=False)
    assert await asking.send(READ) == Accepted(result=['{"error": "x"}'])


async def test_secrets_echoed_by_the_billing_are_hidden(asking: BillingClient, answers: Answers) -> None:
    answers.give({"error": "bad key тайна or also-secret or p+w"})
    seen = await asking.send(get("Users", {"id": 1}, ChainStep("set_password", {"psw": "p+w"})))
    assert seen == RowRefused("bad key ••• or ••• or •••", recognised=False)


async def test_a_read_is_asked_again(asking: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.hang_up()
    answers.give(BUSY, Retry_After="9")
    answers.give(status=500, body="<h1>Oops</h1>")
    answers.give({"result": []})
    assert await asking.ask(READ) == []
    assert naps.taken == [1.0, 9.0, 3.0]


async def test_a_read_is_given_up(asking: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.give(status=502, body="")
    with pytest.raises(BillingAway, match=r"asked 4 times: HTTP 502 Bad Gateway\. Check"):
        await asking.ask(READ)
    assert len(naps.taken) == 3


async def test_a_long_wait_is_not_waited_for(asking: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.give(status=429, body="", Retry_After="11")
    with pytest.raises(BillingBusy, match="asked once") as busy:
        await asking.ask(READ)
    assert busy.value.retry_after == pytest.approx(11.0)
    assert naps.taken == []


async def test_a_refused_read_is_not_repeated(asking: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.give({"error": "Не найден атрибут"})
    answers.give({"error": "Доступ запрещён"})
    with pytest.raises(BillingRefused, match=r"refuses Users: objects\.filter\(id=1\) | login: Не найден атрибут"):
        await asking.ask(READ)
    with pytest.raises(SystemRefusal, match="administrator"):
        await asking.ask(READ)
    assert naps.taken == []


@pytest.mark.parametrize(
    ("result", "version_", "clock"),
    [
        ({"version": "5.20.1", "server_time": "2024-01-02 03:04:05"}, "5.20.1", "2024-01-02 03:04:05"),
        ({"get_version": 5, "date": "2024-01-02"}, "5", "2024-01-02"),
        ([{"Version": "5"}], "5", None),
        ("5.20.1", "5.20.1", None),
    ],
)
async def test_health(
    asking: BillingClient, answers: Answers, result: object, version_: str, clock: str | None
) -> None:
    answers.give({"result": result})
    health = await asking.health()
    assert (health.version, health.server_time) == (version_, clock)
    assert health.seconds >= 0


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "<html><h1>It works!</h1></html>", NotTheBilling),
        (200, '{"status": "ok"}', NotTheBilling),
        (200, '{"result": {"a": 1}}', NotTheBilling),
        (200, '{"result": null}', NotTheBilling),
        (200, '{"result": true}', NotTheBilling),
        (200, '{"result": []}', NotTheBilling),
        (200, '{"error": "what?"}', NotTheBilling),
        (200, '{"error": "Не найдена модель"}', NotTheBilling),
        (302, "", NotTheBilling),
        (404, "", NotTheBilling),
        (405, "", NotTheBilling),
        (400, "", NotTheBilling),
        (401, "", SystemRefusal),
        (403, "", SystemRefusal),
        (429, "", BillingBusy),
        (503, "", BillingAway),
        (500, "<h1>Oops</h1>", BillingAway),
    ],
)
async def test_ill_health(
    asking: BillingClient, answers: Answers, status: int, body: str, error: type[Exception]
) -> None:
    answers.give(status=status, body=body)
    with pytest.raises(error):
        await asking.health()


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


@given(st.text())
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        assert ClientSettings(url).base_url == url
    except SettingsError as refusal:
        assert str(refusal).isprintable()  # noqa: PT017 — either way is right


def test_a_read_is_asked_again_after_half_a_second_at_most_and_then_after_twice_as_long_up_to_eight() -> None:
    assert [Patience().wait(attempt, 1.0, None) for attempt in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@given(
    attempt=st.integers(min_value=0, max_value=50),
    chance=st.floats(min_value=0, max_value=1),
    asked=st.none() | st.floats(min_value=0, max_value=3600),
)
def test_patience_waits_at_least_as_long_as_asked(attempt: int, chance: float, asked: float | None) -> None:
    wait = Patience().wait(attempt, chance, asked)
    assert (asked or 0.0) <= wait <= max(asked or 0.0, Patience().longest)
