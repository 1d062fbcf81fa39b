"""Calls that only read: what is answered is kept with the item, and nothing else happens."""

import json
from pathlib import Path

import pytest

from billing.api.client import BillingClient, ClientSettings
from billing.database.database import Database
from engine.evidence import Accepted, Lost, NotSent, RowRefused, Seen
from engine.job import Absent, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault
from jobs.effects.effect import Irreversible
from jobs.rows.input import Input
from jobs.spec.chain import parse
from jobs.spec.chain_kind import ChainKind, kind_of
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.server import MockBilling
from tests.jobs.conftest import Execute
from tests.jobs.making import RUN, job_of, planned, rows_of
from tests.jobs.whole_database import changes, whole

LOGIN_OF = ('objects.get {"id": {id}}',)


def reading(*chain: str, model: str = "Users", fields: tuple[str, ...] = (), secret: str = "") -> JobSpec:
    template = parse(model, chain, fields)
    parameters = tuple(Parameter(name, "", columns=(), secret=name == secret) for name in template.names)
    return JobSpec("reading", "", model, chain, "", fields=fields, parameters=parameters)


@pytest.fixture
def accounts(execute: Execute) -> None:
    execute("insert into users (id, abonent_id, login, ip) values (90001, 9001, 'ivanov', 167772170)")
    execute("insert into users (id, abonent_id, login, ip) values (90002, 9001, 'petrov', 167772170)")
    execute("insert into cabinet_sessions (id, suid, user_id, created) values (90001, '12345', 90001, '2026-05-01')")


async def asked(gateway: Gateway, kind: JobSpec, rows: Input) -> list[Seen]:
    job = job_of(gateway, kind, rows)
    return [await job.effect.send(RUN, item) for item in await planned(job)]


def told(evidence: Seen) -> object:
    assert isinstance(evidence, Accepted), evidence
    assert evidence.answer is not None
    return json.loads(evidence.answer)


@pytest.mark.parametrize(
    ("chain", "reads"),
    [
        (('objects.get {"id": {id}}',), True),
        (("objects.filter",), True),
        (('get_user_by_suid {"suid": "{suid}"}',), True),
        (('web_cabinet.get_usluga_list {"suid": "{suid}"}',), True),
        (('web_cabinet.reset_password {"login": "a"}',), False),
        (('objects.get {"id": {id}}', "get_or_create_dynamic_session"), False),
        (('objects.get {"id": {id}}', "delete"), False),
        (('objects.create {"a": 1}',), False),
        (("objects.get_or_create",), False),
    ],
)
def test_what_only_reads_is_known_and_nothing_else_is_taken_for_it(chain: tuple[str, ...], reads: bool) -> None:
    assert (kind_of(parse("Users", chain)) is ChainKind.READS) is reads


@pytest.mark.usefixtures("accounts")
async def test_one_object_or_none(gateway: Gateway, tmp_path: Path) -> None:
    kind = reading(*LOGIN_OF, fields=("login", "abonent__name"))
    found, none = await asked(gateway, kind, rows_of(tmp_path, "id\n90001\n77777777\n"))
    assert told(found) == [{"login": "ivanov", "abonent__name": "Иванов"}]
    assert none == RowRefused("Users matching query does not exist.", recognised=True)


@pytest.mark.usefixtures("accounts")
async def test_several_objects_or_none(gateway: Gateway, tmp_path: Path) -> None:
    kind = reading('objects.filter {"ip": "{ip}"}', fields=("id", "login"))
    found, none = await asked(gateway, kind, rows_of(tmp_path, "ip\n10.0.0.10\n10.99.99.99\n"))
    ids = [one["id"] for one in told(found) if one["id"] > 90000]  # type: ignore[attr-defined]
    assert ids == [90001, 90002]
    assert told(none) == []


@pytest.mark.usefixtures("accounts")
async def test_nothing_of_it_changes_anything(client: BillingClient, database: Database, tmp_path: Path) -> None:
    before = whole(database)
    job = job_of(Gateway(client, database), reading(*LOGIN_OF), rows_of(tmp_path, "id\n90001\n90002\n"))
    items = await planned(job)
    assert [await job.effect.send(RUN, item) for item in items] == [
        await job.effect.send(RUN, item) for item in items
    ]
    assert changes(before, whole(database)) == {}
    assert job.effect.repeatable
    assert len({item.lane for item in items}) == 2
    assert [item.amount for item in items] == [None, None]
    assert await job.effect.unfinished_work(items) is None
    assert await job.effect.look_up(RUN, items) == {item.item_id: Absent() for item in items}
    assert await job.effect.read_back(RUN, items) == {item.item_id: ReadBack(None) for item in items}
    back = job.effect.undo({})
    assert back == Irreversible("it changed nothing")


@pytest.mark.usefixtures("accounts")
async def test_what_is_lost_may_be_asked_again(mock_billing: MockBilling, gateway: Gateway, tmp_path: Path) -> None:
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.CRASH_BEFORE, times=1),)))
    kind = reading(*LOGIN_OF, fields=("login",))
    job = job_of(gateway, kind, rows_of(tmp_path, "id\n90001\n"))
    (item,) = await planned(job)
    assert isinstance(await job.effect.send(RUN, item), Lost)
    assert told(await job.effect.send(RUN, item)) == [{"login": "ivanov"}]


@pytest.mark.usefixtures("accounts")
async def test_a_secret_key_is_in_the_call_and_nowhere_else(client: BillingClient, tmp_path: Path) -> None:
    kind = reading('get_user_by_suid {"suid": "{suid}"}', fields=("login",), secret="suid")
    gateway = Gateway(client, None, vault=Vault(tmp_path / "secrets"))
    job = job_of(gateway, kind, rows_of(tmp_path, "suid;note\n12345;a\n12345;b\n99999;c\n"))
    items = await planned(job)
    assert "12345" not in repr(items)
    assert [item.label for item in items] == ["line 2", "line 3", "line 4"]
    assert len({item.key for item in items}) == 3
    assert job.effect.describe("k7m2q", items[0]) == "Users: get_user_by_suid(suid=•••) | login"
    first, second, unknown = [await job.effect.send(RUN, item) for item in items]
    assert told(first) == told(second) == [{"login": "ivanov"}]
    assert unknown == RowRefused("Сессия не найдена", recognised=False)


async def test_without_its_secret_a_row_is_not_sent(client: BillingClient, tmp_path: Path) -> None:
    kind = reading('get_user_by_suid {"suid": "{suid}"}', secret="suid")
    vault = Vault(tmp_path / "secrets")
    rows = rows_of(tmp_path, "suid\n12345\n")
    job = job_of(Gateway(client, None, vault=vault), kind, rows)
    (item,) = await planned(job)
    vault.forget([])
    gone = await job.effect.send(RUN, item)
    assert isinstance(gone, RowRefused)
    assert "kept no longer" in gone.text
    (tmp_path / "secrets").write_text("broken" * 500, encoding="utf-8")
    assert isinstance(await job.effect.send(RUN, item), NotSent)


async def test_a_billing_that_is_not_there(tmp_path: Path) -> None:
    async with BillingClient(ClientSettings("http://127.0.0.1:9")) as nobody:
        (evidence,) = await asked(Gateway(nobody), reading(*LOGIN_OF), rows_of(tmp_path, "id\n5\n"))
    assert isinstance(evidence, NotSent)


@pytest.mark.usefixtures("accounts")
async def test_the_cabinet_s_own_lists(client: BillingClient, tmp_path: Path) -> None:
    kind = reading('web_cabinet.get_usluga_list {"suid": "{suid}", "get_user_uslugas_all": 1}', secret="suid")
    gateway = Gateway(client, None, vault=Vault(tmp_path / "secrets"))
    (evidence,) = await asked(gateway, kind, rows_of(tmp_path, "suid\n12345\n"))
    rows = told(evidence)
    assert {one["list"] for one in rows} == {1}  # type: ignore[attr-defined]
    assert {"pk", "name", "summa"} <= rows[0].keys()  # type: ignore[index]


async def test_a_call_without_placeholders_is_one_row(gateway: Gateway) -> None:
    kind = reading("objects.filter", model="DjangoUsersProfile", fields=("username",))
    (evidence,) = await asked(gateway, kind, Input())
    assert told(evidence) == [{"username": "admin"}, {"username": "migration"}, {"username": "support"}]
