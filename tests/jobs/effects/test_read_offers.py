"""Services on offer: one account, a session that nobody sees, and two lists."""

import json
from pathlib import Path

import pytest
from aiohttp import web

from billing.api.client import BillingClient, ClientSettings
from checkpoints.records import Item, NewItem
from engine.evidence import Accepted, Busy, Evidence, Lost, RowRefused
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload
from jobs.catalogue.readings import SERVICES_ON_OFFER
from jobs.effects.effect import Irreversible
from lab.mock.server import MockBilling
from lab.record.recorder import open_recorder
from lab.record.recording import Recording
from tests.billing.api.scripted_server import answer, scripted
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.making import RUN, effect_of, job_of, planned, prepared, rows_of

SUID = "144997776676316356"
NO_SUID = Lost("the billing was asked for a session, and its answer has no suid")
TWO_ACCOUNTS = (
    "the subscriber has several accounts: 90003 (u90003), 90004 (u90004). A session is opened for a subscriber's "
    "only one; take this row out"
)


@pytest.fixture
def accounts(execute: Execute) -> None:
    for user, abonent, deleted in [(90001, 9001, 0), (90002, 9001, 1), (90003, 9002, 0), (90004, 9002, 0)]:
        execute(
            "insert into users (id, abonent_id, login, deleted) values (?, ?, ?, ?)",
            *(user, abonent, f"u{user}", deleted),
        )
    execute("insert into users_usluga (id, abonent_id, usluga_id) values (90001, 9001, 127)")


@pytest.mark.usefixtures("accounts")
async def test_only_who_has_one_account_is_taken(gateway: Gateway, tmp_path: Path) -> None:
    job = job_of(gateway, SERVICES_ON_OFFER, rows_of(tmp_path, "abonent_id\n9001\n9002\n9003\n9006\n"))
    done = await prepared(job)
    assert [item.key for item in done.items] == ["9001"]
    assert [(one.line, one.reason) for one in done.refusals] == [
        (3, TWO_ACCOUNTS),
        (4, "the subscriber has no account, and so no cabinet"),
        (5, "abonent 9006 is deleted"),
    ]


@pytest.mark.usefixtures("accounts")
async def test_what_is_offered_and_what_is_connected(gateway: Gateway, tmp_path: Path) -> None:
    job = job_of(gateway, SERVICES_ON_OFFER, rows_of(tmp_path, "contract_number\n00123\n"))
    (item,) = await planned(job)
    assert item.label == "00123"
    assert job.effect.describe("k7m2q", item) == (
        "Users: objects.get(id=90001) → get_or_create_dynamic_session(); "
        "Users: web_cabinet.get_usluga_list(suid=•••, get_user_uslugas_all=1)"
    )
    evidence = await job.effect.send(RUN, item)
    assert isinstance(evidence, Accepted)
    rows = json.loads(evidence.answer or "")
    offered = [one for one in rows if one["service"] == "offered"]
    assert {"pk", "name", "summa"} <= offered[0].keys()
    (connected,) = [one for one in rows if one["service"] == "connected"]
    assert connected["usluga_id"] == 127
    # Asked again it is the same session, and the same answer.
    assert await job.effect.send(RUN, item) == evidence
    assert job.effect.repeatable
    assert isinstance(job.effect.undo({}), Irreversible)


@pytest.mark.usefixtures("accounts")
async def test_the_session_leaves_the_process_in_no_other_way(
    execute: Execute, mock_billing: MockBilling, tmp_path: Path
) -> None:
    execute("insert into cabinet_sessions (id, suid, user_id, created) values (1, ?, 90001, '2026-05-01')", SUID)
    settings = ClientSettings(mock_billing.url)
    path = tmp_path / "recording.gz"
    async with open_recorder(path, settings) as recorder, BillingClient(settings, listener=recorder) as client:
        job = job_of(Gateway(client), SERVICES_ON_OFFER, rows_of(tmp_path, "abonent_id\n9001\n"))
        (item,) = await planned(job)
        evidence = await job.effect.send(RUN, item)
    assert isinstance(evidence, Accepted)
    assert SUID not in repr((item, evidence))
    with Recording(path) as recording:
        exchanges = list(recording)
    assert [one.outcome for one in exchanges] == ["answered"] * len(exchanges)
    assert ("arg1", '{"suid":"•••","get_user_uslugas_all":1}') in exchanges[-1].form
    assert SUID not in repr(exchanges)


def session(suid: object) -> object:
    return {"pk": 1, "model": "CabinetSessions", "fields": {"suid": suid, "user_id": 5}}


@pytest.mark.parametrize(
    ("opened", "listed", "evidence", "requests"),
    [
        (session(SUID), answer([json.dumps([[{"pk": 1}], []])]), Accepted('[{"service":"offered","pk":1}]'), 2),
        (SUID, answer([json.dumps([[], [{"pk": 2}]])]), Accepted('[{"service":"connected","pk":2}]'), 2),
        (session(int(SUID)), answer([json.dumps({"odd": 1})]), Accepted('[{"odd":1}]'), 2),
        (session(SUID), answer([json.dumps({"error": f"no {SUID}"})]), RowRefused("no •••", recognised=False), 2),
        (session(SUID), web.Response(status=502, text=SUID), Lost("HTTP 502 Bad Gateway: •••"), 2),
        (session(None), answer([]), NO_SUID, 1),
        ([session(SUID)] * 2, answer([]), NO_SUID, 1),
        (None, answer([]), NO_SUID, 1),
    ],
)  # fmt: skip
async def test_what_comes_of_the_two_requests(
    opened: object, listed: web.Response, evidence: Evidence, requests: int
) -> None:
    async def script(_: web.Request, form: dict[str, str]) -> web.Response:
        return listed if form["method1"].startswith("web_cabinet") else answer(opened)

    async with scripted(script) as server, BillingClient(ClientSettings(server.url)) as client:
        assert await effect_of(Gateway(client), SERVICES_ON_OFFER).send(RUN, item_of()) == evidence
        assert len(server.forms) == requests


async def test_half_an_answer_is_not_shown_for_the_session_may_be_in_it() -> None:
    async def script(_: web.Request, __: dict[str, str]) -> web.Response:
        return web.Response(text=f'{{"result": "{SUID}')

    async with scripted(script) as server, BillingClient(ClientSettings(server.url)) as client:
        evidence = await effect_of(Gateway(client), SERVICES_ON_OFFER).send(RUN, item_of())
    assert isinstance(evidence, Lost)
    assert evidence.text.startswith("HTTP 200, but not the billing's JSON;")
    assert SUID[:4] not in evidence.text


async def test_the_second_request_is_not_made_where_the_first_was_not_answered() -> None:
    async def script(_: web.Request, __: dict[str, str]) -> web.Response:
        return web.json_response({"call": "x", "error": "Слишком частые запросы"})

    async with scripted(script) as server, BillingClient(ClientSettings(server.url)) as client:
        assert await effect_of(Gateway(client), SERVICES_ON_OFFER).send(RUN, item_of()) == Busy(
            "Слишком частые запросы"
        )
        assert len(server.forms) == 1


def item_of() -> Item:
    steps: tuple[tuple[str, dict[str, object]], ...] = (
        ("objects.get", {"id": 5}),
        ("get_or_create_dynamic_session", {}),
    )
    return sending_item(NewItem("5", "5", "reading:5", encode_payload(Payload("Users", steps))))
