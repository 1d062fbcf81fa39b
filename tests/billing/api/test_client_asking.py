"""What the client makes of answers, and how it asks again, against a server that answers as it is told."""

import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from billing.api.calls import ChainStep, create, filter_, get
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.errors import BillingAway, BillingBusy, BillingRefused, NotTheBilling, SystemRefusal
from billing.secret import Secret
from engine.evidence import Accepted, RowRefused
from tests.billing.api.scripted_server import reset, scripted

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
async def client(answers: Answers, naps: Naps) -> AsyncIterator[BillingClient]:
    settings = ClientSettings(
        f"{answers.url}/", extra={"hash_key": Secret("тайна")}, headers={"X-Key": Secret("also-secret")}
    )
    patience = Patience(attempts=4, base=1.0, longest=3.0, limit=10.0)
    async with BillingClient(settings, patience=patience, sleep=naps, chance=lambda: 1.0) as client:
        yield client


async def test_a_call_is_one_post_with_the_extra_fields(client: BillingClient, answers: Answers) -> None:
    answers.give({"result": {"pk": 5}})
    assert await client.send(create("Users", login="a+b")) == Accepted(result={"pk": 5})
    assert answers.forms == [{"method1": "objects.create", "arg1": '{"login":"a+b"}', "hash_key": "тайна"}]


async def test_a_cabinet_s_answer_is_read_at_both_levels(client: BillingClient, answers: Answers) -> None:
    answers.give({"result": ['{"error": "x"}']})
    seen = await client.send(get("Users", {"id": 1}, ChainStep("web_cabinet.reset_password", {"login": "a"})))
    assert seen == RowRefused("x", recognised=False)
    assert await client.send(READ) == Accepted(result=['{"error": "x"}'])


async def test_secrets_echoed_by_the_billing_are_hidden(client: BillingClient, answers: Answers) -> None:
    answers.give({"error": "bad key тайна or also-secret or p+w"})
    seen = await client.send(get("Users", {"id": 1}, ChainStep("set_password", {"psw": "p+w"})))
    assert seen == RowRefused("bad key ••• or ••• or •••", recognised=False)


def test_secrets_stand_in_no_repr(client: BillingClient) -> None:
    shown = f"{client!r} {client._settings!r} {client._settings}"
    assert "тайна" not in shown
    assert "also-secret" not in shown


async def test_a_read_is_asked_again(client: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.hang_up()
    answers.give(BUSY, Retry_After="9")
    answers.give(status=500, body="<h1>Oops</h1>")
    answers.give({"result": []})
    assert await client.ask(READ) == []
    assert naps.taken == [1.0, 9.0, 3.0]


async def test_a_read_is_given_up(client: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.give(status=502, body="")
    with pytest.raises(BillingAway, match=r"asked 4 times: HTTP 502 Bad Gateway\. Check"):
        await client.ask(READ)
    assert len(naps.taken) == 3


async def test_a_long_wait_is_not_waited_for(client: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.give(status=429, body="", Retry_After="11")
    with pytest.raises(BillingBusy, match="asked once") as busy:
        await client.ask(READ)
    assert busy.value.retry_after == pytest.approx(11.0)
    assert naps.taken == []


async def test_a_refused_read_is_not_repeated(client: BillingClient, answers: Answers, naps: Naps) -> None:
    answers.give({"error": "Не найден атрибут"})
    answers.give({"error": "Доступ запрещён"})
    with pytest.raises(BillingRefused, match=r"refuses Users: objects\.filter\(id=1\) | login: Не найден атрибут"):
        await client.ask(READ)
    with pytest.raises(SystemRefusal, match="administrator"):
        await client.ask(READ)
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
    client: BillingClient, answers: Answers, result: object, version_: str, clock: str | None
) -> None:
    answers.give({"result": result})
    health = await client.health()
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
    client: BillingClient, answers: Answers, status: int, body: str, error: type[Exception]
) -> None:
    answers.give(status=status, body=body)
    with pytest.raises(error):
        await client.health()
