"""The jobs that read, each on the mock billing: what they ask, and what of the answers is kept."""

import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from billing.api.calls import ChainStep
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import Database
from billing.money import SCALE
from checkpoints.records import Item, NewItem
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, Seen
from engine.job import Absent, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload
from jobs.access.vault import Vault
from jobs.catalogue.built_in import READINGS, a_phone, an_address
from jobs.effects.answer_cells import decode_answer, encode_answer, flat
from jobs.rows.input import Input
from jobs.spec.chain import parse
from jobs.spec.parameters import Parameter
from jobs.spec.spec import ChainKind, JobSpec, kind_of
from tests.billing.api.scripted_server import answer, scripted
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.making import RUN, effect_of, job_of, planned, prepared, rows_of
from tests.jobs.whole_database import changes, whole

PERSON = {"abonent__name": "Иванов Александр Александрович", "abonent__contract_number": "Д94/2018"}
CASES: tuple[tuple[str, dict[str, str], object], ...] = (
    ("administrators", {}, {"id": 33, "username": "migration", "email": "migration@example.org", "is_active": 1}),
    ("at-ip", {"ip": "127.1.2.3"}, {"id": 4084, "login": "user4084", **PERSON}),
    ("by-sms", {"sms": "8 123 456-78-99"}, {"id": 1111, "contract_number": "test", "sms": "+71234567899"}),
    ("blocked", {"user_id": "4084"}, {"login": "user4084", "ip": "127.1.2.3"}),
    ("session-account", {"suid": "12345"}, {"id": 4084, "ip": "127.1.2.3", "abonent_id": 94, **PERSON}),
    ("services-on-offer", {"abonent_id": "94"}, {"service": "offered", "pk": 127, "summa": "450.00"}),
)


@pytest.fixture
def with_session(client: BillingClient, database: Database, execute: Execute, tmp_path: Path) -> Gateway:
    execute.put("cabinet_sessions", id=1, suid="12345", user_id=4084, created="2026-05-01")
    return Gateway(client, database, vault=Vault(tmp_path / "secrets"))


def test_each_has_its_case_and_none_of_them_writes() -> None:
    assert {name for name, _, _ in CASES} == {kind.name for kind in READINGS}
    assert not any(kind.writes for kind in READINGS)


@pytest.mark.parametrize(("name", "given", "object_"), CASES, ids=[name for name, _, _ in CASES])
async def test_a_job_that_reads(
    with_session: Gateway, database: Database, name: str, given: dict[str, str], object_: dict[str, object]
) -> None:
    job = job_of(with_session, name, Input(), **given)
    (item,) = await planned(job)
    before = whole(database)
    evidence = await job.effect.send(RUN, item)
    assert isinstance(evidence, Accepted), evidence
    answered = json.loads(evidence.answer or "")
    assert any(object_.items() <= one.items() for one in answered), answered
    assert changes(before, whole(database)) == {}


def test_a_number_is_read_however_people_write_it() -> None:
    for text in (
        *("+79123456789", "8 912 345-67-89", "89123456789", "79123456789", "9123456789", "8 (912) 345 67 89"),
        " +7\u00a0912 345–67–89 ",
    ):
        assert a_phone(text) == "+79123456789", text
    for text in ("", "+", "12345", "8912345678", "+7912345678", "+7912345678a", "891234567890", "٨٩١٢٣٤٥٦٧٨٩"):
        with pytest.raises(ValueError, match="number"):
            a_phone(text)
    assert a_phone("+380 44 123-45-67") == "+380441234567"
    assert an_address(" 10.0.0.1 ") == "10.0.0.1"


async def test_who_is_blocked_comes_out_of_the_database(with_session: Gateway, execute: Execute) -> None:
    holds = ((-101, -100), (-100, -100), (50, None), (-1, None), (50, 0), (50, 0), (-500, -100))
    accounts = dict(enumerate(holds, 1))
    blocks = {5: None, 6: "2019-06-03"}
    for abonent, (balance, limit) in accounts.items():
        key = 9200 + abonent
        held = (key, balance * SCALE, None if limit is None else limit * SCALE)
        execute.rows("admin_accounts", 'id ostatok "limit"', held)
        gone = int(abonent == 7)
        execute.put("abonents", id=key, account_id=key, contract_number=f"N{key}", deleted=gone)
        execute.put("users", id=90000 + abonent, abonent_id=key, login=f"u{abonent}")
    for abonent, until in blocks.items():
        key, names = 9200 + abonent, "id abonent_id time_changed time_del"
        execute.rows("abonents_block_history", names, (key, key, "2019-05-20", until))
    job = job_of(with_session, "blocked", Input())
    assert job.source.header == ("user_id", "account", "abonent_id", "contract_number")
    done = await prepared(job)
    assert done.refusals == ()
    ours = [item.row for item in done.items if int(item.key) > 90000]
    assert ours == [
        ("90001", "u1", "9201", "N9201"),
        ("90004", "u4", "9204", "N9204"),
        ("90005", "u5", "9205", "N9205"),
    ]


def reading(*chain: str, model: str = "Users", fields: tuple[str, ...] = (), secret: str = "") -> JobSpec:
    template = parse(model, chain, fields)
    parameters = tuple(Parameter(name, "", columns=(), secret=name == secret) for name in template.names)
    return JobSpec("reading", "", model, chain, "", fields=fields, parameters=parameters)


@pytest.fixture
def accounts(execute: Execute) -> None:
    execute.put("users", id=90001, abonent_id=9001, login="ivanov", ip=167772170)
    execute.put("users", id=90002, abonent_id=9001, login="petrov", ip=167772170)
    execute.put("cabinet_sessions", id=90001, suid="12345", user_id=90001, created="2026-05-01")


def told(evidence: Seen) -> Any:
    assert isinstance(evidence, Accepted), evidence
    assert evidence.answer is not None
    return json.loads(evidence.answer)


def test_what_only_reads_is_known_and_nothing_else_is_taken_for_it() -> None:
    by_suid = (f'{method} {{"suid": "{{suid}}"}}' for method in ("get_user_by_suid", "web_cabinet.get_usluga_list"))
    for reading_ in ('objects.get {"id": {id}}', "objects.filter", *by_suid):
        assert kind_of(parse("Users", (reading_,))) is ChainKind.READS
    for chain in (
        ('web_cabinet.reset_password {"login": "a"}',),
        ('objects.get {"id": {id}}', "get_or_create_dynamic_session"),
        ('objects.get {"id": {id}}', "delete"),
        ('objects.create {"a": 1}',),
        ("objects.get_or_create",),
    ):
        assert kind_of(parse("Users", chain)) is not ChainKind.READS


@pytest.mark.usefixtures("accounts")
async def test_one_object_or_several_or_none_and_nothing_of_it_changes_anything(
    gateway: Gateway, database: Database
) -> None:
    before = whole(database)
    one = reading('objects.get {"id": {id}}', fields=("login", "abonent__name"))
    job = job_of(gateway, one, rows_of("id\n90001\n77777777\n"))
    items = await planned(job)
    found, none = [await job.effect.send(RUN, item) for item in items]
    assert told(found) == [{"login": "ivanov", "abonent__name": "Иванов"}]
    assert none == RowRefused("Users matching query does not exist.", recognised=True)
    assert [await job.effect.send(RUN, item) for item in items] == [found, none]
    assert job.effect.repeatable
    assert len({item.lane for item in items}) == 2
    assert [item.amount for item in items] == [None, None]
    assert await job.effect.unfinished_work(items) is None
    assert await job.effect.look_up(RUN, items) == {item.item_id: Absent() for item in items}
    assert await job.effect.read_back(RUN, items) == {item.item_id: ReadBack(None) for item in items}
    assert job.effect.undo({}) == "it changed nothing"
    several = reading('objects.filter {"ip": "{ip}"}', fields=("id", "login"))
    job = job_of(gateway, several, rows_of("ip\n10.0.0.10\n10.99.99.99\n"))
    found, none = [await job.effect.send(RUN, item) for item in await planned(job)]
    assert [row["id"] for row in told(found) if row["id"] > 90000] == [90001, 90002]
    assert (told(none), changes(before, whole(database))) == ([], {})


async def test_without_its_secret_a_row_is_not_sent(client: BillingClient, tmp_path: Path) -> None:
    kind = reading('get_user_by_suid {"suid": "{suid}"}', secret="suid")
    vault = Vault(tmp_path / "secrets")
    rows = rows_of("suid\n12345\n")
    job = job_of(Gateway(client, None, vault=vault), kind, rows)
    (item,) = await planned(job)
    vault.forget([])
    gone = await job.effect.send(RUN, item)
    assert isinstance(gone, RowRefused)
    assert "kept no longer" in gone.text
    (tmp_path / "secrets").write_text("broken" * 500, encoding="utf-8")
    assert isinstance(await job.effect.send(RUN, item), NotSent)


SUID = "144997776676316356"
HALF = Lost("HTTP 200, but not the billing's JSON; what it says is not shown, for a secret may be in it")
NO_SUID = Lost("the billing was asked for a session, and its answer has no suid")


@pytest.fixture
def cabinets(execute: Execute) -> None:
    for user, abonent, deleted in [(90001, 9001, 0), (90002, 9001, 1), (90003, 9002, 0), (90004, 9002, 0)]:
        execute.put("users", id=user, abonent_id=abonent, login=f"u{user}", deleted=deleted)
    execute.put("users_usluga", id=90001, abonent_id=9001, usluga_id=127)


@pytest.mark.usefixtures("cabinets")
async def test_what_is_offered_and_what_is_connected(gateway: Gateway) -> None:
    job = job_of(gateway, "services-on-offer", rows_of("contract_number\n00123\n"))
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
    assert isinstance(job.effect.undo({}), str)


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
        # The session may be in half an answer.
        (web.Response(text=f'{{"result": "{SUID}'), answer([]), HALF, 1),
        (web.json_response({"error": "Слишком частые запросы"}), answer([]), Busy("Слишком частые запросы"), 1),
    ],
)  # fmt: skip
async def test_what_both_calls_give(opened: object, listed: web.Response, evidence: Evidence, requests: int) -> None:
    async def script(_: web.Request, form: dict[str, str]) -> web.Response:
        if form["method1"].startswith("web_cabinet"):
            return listed
        return opened if isinstance(opened, web.Response) else answer(opened)

    async with scripted(script) as server, BillingClient(ClientSettings(server.url)) as client:
        assert await effect_of(Gateway(client), "services-on-offer").send(RUN, item_of()) == evidence
        assert len(server.forms) == requests


def item_of() -> Item:
    steps = (ChainStep("objects.get", {"id": 5}), ChainStep("get_or_create_dynamic_session"))
    return sending_item(NewItem("5", "5", "reading:5", encode_payload(Payload("Users", steps))))


def thing(key: int, **fields: Any) -> dict[str, Any]:
    return {"pk": key, "model": "Users", "fields": fields}


def test_a_result_becomes_rows() -> None:
    for result, rows in (
        (None, []),
        ([], []),
        ("5", [{"result": "5"}]),
        ([1, 2], [{"result": 1}, {"result": 2}]),
        (thing(5, login="a"), [{"login": "a", "pk": 5}]),
        ([thing(5, id=5, login="a"), thing(6, id=6)], [{"id": 5, "login": "a"}, {"id": 6}]),
        (thing(5, op_id=5), [{"op_id": 5}]),
        (thing(5, id=7), [{"id": 7, "pk": 5}]),
        ({"a": 1, "b": {"c": {"d": 2}}}, [{"a": 1, "b__c__d": 2}]),
        (
            thing(5, abonent=thing(7, name="Иванов", tarif=thing(2, name="Тариф"))),
            [{"abonent__name": "Иванов", "abonent__tarif__name": "Тариф", "pk": 5}],
        ),
        (
            thing(5, users=[thing(1, ip="10.0.0.1"), thing(2, ip=None)], tags=["a", 3], none=[]),
            [{"users__ip": "10.0.0.1, ", "tags": "a, 3", "none": None, "pk": 5}],
        ),
        ([[{"a": 1}], [{"b": 2}, {"b": 3}]], [{"list": 1, "a": 1}, {"list": 2, "b": 2}, {"list": 2, "b": 3}]),
        ({"sum": Decimal("50.50"), "flag": True, "no": None}, [{"sum": "50.50", "flag": True, "no": None}]),
    ):
        assert flat(result) == rows
        assert decode_answer(encode_answer(flat(result))) == rows


def test_secrets_become_dots_by_their_names() -> None:
    found = thing(5, psw="abc", psw_hash="def", suid=123456, user=thing(6, password="x", psw=""), hash_key=None)
    hidden = dict.fromkeys(("psw", "psw_hash", "suid", "user__password"), "•••")
    assert flat(found) == [hidden | {"user__psw": "", "hash_key": None, "pk": 5}]


@pytest.mark.parametrize("answer", [None, "", "90001", '{"ip": "10.0.0.1"}', "[1, 2]", "[broken"])
def test_answers_of_other_jobs_are_none_of_these(answer: str | None) -> None:
    assert decode_answer(answer) is None


def test_an_object_that_no_model_has_is_told_in_one_cell() -> None:
    for result, told in (
        ({str(place): 1 for place in range(1001)}, "not read: an object of more than 1000 fields"),
        ({"a" * 301: 1}, "not read: a field whose name is longer than 300 characters"),
        ({"a" * 200: {"b" * 200: 1}}, "not read: a field whose name is longer than 300 characters"),
        ({"a" * 200: [{"b" * 200: 1}]}, "not read: a field whose name is longer than 300 characters"),
    ):
        assert flat(result) == [{"result": told}]
        assert flat([thing(5, **result), thing(6, id=6)]) == [{"result": told}, {"id": 6}]


def test_a_long_name_around_many_fields_takes_no_memory() -> None:
    answer = {"a" * 1_000_000: {str(place): 1 for place in range(100_000)}}
    tracemalloc.start()
    try:
        assert len(flat(answer)) == 1
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
