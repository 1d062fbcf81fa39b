"""The client's reading and asking, against answers without sockets."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import pytest
from aioresponses import CallbackResult, aioresponses

from billing.calls import Step, create, filter_, get, version
from billing.client import BillingClient, ClientSettings, Patience
from billing.errors import BillingAway, BillingBusy, BillingRefused, NotTheBilling, SystemRefusal
from billing.exchange import Answered, NotSent, Refused

BASE = "http://billing.invalid:8082"
USERS = f"{BASE}/rest_api/v2/Users/"
VERSION = f"{BASE}/rest_api/v2/Version/"
READ = filter_("Users", {"id": 1}, "login")
BUSY = {"error": "Слишком частые запросы"}


class Naps:
    """Waits that take no time and are remembered."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(naps: Naps) -> AsyncIterator[BillingClient]:
    settings = ClientSettings(f"{BASE}/", extra={"hash_key": "тайна"}, headers={"X-Key": "also-secret"})
    patience = Patience(attempts=4, base=1.0, longest=3.0, limit=10.0)
    async with BillingClient(settings, patience=patience, sleep=naps, chance=lambda: 1.0) as client:
        yield client


async def test_a_call_is_one_post_with_the_extra_fields(client: BillingClient, http_double: aioresponses) -> None:
    seen: list[dict[str, list[str]]] = []

    def answer(_: object, *, data: bytes, **__: object) -> CallbackResult:
        seen.append(parse_qs(data.decode()))
        return CallbackResult(payload={"result": {"pk": 5}})

    http_double.post(USERS, callback=answer)
    assert await client.send(create("Users", login="a+b")) == Answered({"pk": 5})
    assert seen == [{"method1": ["objects.create"], "arg1": ['{"login":"a+b"}'], "hash_key": ["тайна"]}]


async def test_a_cabinet_s_answer_is_read_at_both_levels(client: BillingClient, http_double: aioresponses) -> None:
    http_double.post(USERS, payload={"result": ['{"error": "x"}']}, repeat=True)
    seen = await client.send(get("Users", {"id": 1}, Step("web_cabinet.reset_password", {"login": "a"})))
    assert seen == Refused("x", recognised=False)
    assert await client.send(READ) == Answered(['{"error": "x"}'])


async def test_secrets_echoed_by_the_billing_are_hidden(client: BillingClient, http_double: aioresponses) -> None:
    http_double.post(USERS, payload={"error": "bad key тайна or also-secret or p+w"})
    seen = await client.send(get("Users", {"id": 1}, Step("set_password", {"psw": "p+w"})))
    assert seen == Refused("bad key ••• or ••• or •••", recognised=False)


def test_secrets_stand_in_no_repr(client: BillingClient) -> None:
    shown = f"{client!r} {client._settings!r} {client._settings}"
    assert "тайна" not in shown
    assert "also-secret" not in shown


async def test_a_read_is_asked_again(client: BillingClient, http_double: aioresponses, naps: Naps) -> None:
    http_double.post(USERS, exception=OSError("gone"))
    http_double.post(USERS, payload=BUSY, headers={"Retry-After": "9"})
    http_double.post(USERS, status=500, body="<h1>Oops</h1>")
    http_double.post(USERS, payload={"result": []})
    assert await client.ask(READ) == []
    assert naps.taken == [1.0, 9.0, 3.0]


async def test_a_read_is_given_up(client: BillingClient, http_double: aioresponses, naps: Naps) -> None:
    http_double.post(USERS, status=502, repeat=True)
    with pytest.raises(BillingAway, match=r"asked 4 times: HTTP 502 Bad Gateway\. Check"):
        await client.ask(READ)
    assert len(naps.taken) == 3


async def test_a_long_wait_is_not_waited_for(client: BillingClient, http_double: aioresponses, naps: Naps) -> None:
    http_double.post(USERS, status=429, headers={"Retry-After": "11"})
    with pytest.raises(BillingBusy, match="asked once") as busy:
        await client.ask(READ)
    assert busy.value.retry_after == pytest.approx(11.0)
    assert naps.taken == []


async def test_a_refused_read_is_not_repeated(client: BillingClient, http_double: aioresponses, naps: Naps) -> None:
    http_double.post(USERS, payload={"error": "Не найден атрибут"})
    http_double.post(USERS, payload={"error": "Доступ запрещён"})
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
    client: BillingClient,
    http_double: aioresponses,
    result: object,
    version_: str,
    clock: str | None,
) -> None:
    http_double.post(VERSION, payload={"result": result})
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
    client: BillingClient,
    http_double: aioresponses,
    status: int,
    body: str,
    error: type[Exception],
) -> None:
    http_double.post(VERSION, status=status, body=body)
    with pytest.raises(error):
        await client.health()


async def test_nobody_answers(client: BillingClient, http_double: aioresponses) -> None:
    http_double.post(VERSION, timeout=True, repeat=True)
    assert isinstance(await client.send(version()), NotSent)
    with pytest.raises(BillingAway, match="Check host and port"):
        await client.health()
