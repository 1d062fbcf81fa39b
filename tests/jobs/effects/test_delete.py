"""Connected services and accounts that are deleted, and what makes them anew."""

import json
from pathlib import Path
from unittest.mock import AsyncMock

import msgspec
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from checkpoints.records import NewItem
from engine.errors import InputRefused
from engine.evidence import Accepted, Lost, RowRefused
from engine.job import BeforeImageMode, CannotLook, Found, Prepared, ReadBack
from engine.rows import Row
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload, payload_of
from jobs.catalogue.services import DELETE_SERVICES
from jobs.catalogue.subscribers import DELETE_ACCOUNT
from jobs.effects.delete import DeleteEffect
from jobs.effects.effect import Irreversible
from jobs.rows.binding import Bound
from jobs.rows.input import Input
from jobs.spec.chain import parse
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.making import (
    RUN,
    UNDO_RUN,
    effect_of,
    job_of,
    planned,
    prepared,
    readings,
    rows_of,
    sent,
    sightings,
    undone,
    with_fresh_before_images,
)
from tests.jobs.whole_database import changes, new_rows, whole

CONNECTED = "USERS_USLUGA"
COMMENT = "Автоматический%предоплате%2017-12-31%"


@pytest.fixture
def connected(execute: Execute) -> None:
    """Three services, one of them deleted."""
    for key, abonent, comment, deleted in [
        (90001, 9001, "Автоматический по предоплате 2017-12-31 (1)", 0),
        (90002, 9002, "Автоматический по предоплате 2017-12-31", 0),
        (90003, 9003, "Автоматический по предоплате 2017-12-31", 1),
    ]:
        execute(
            "insert into users_usluga (id, abonent_id, usluga_id, manager_id, comment, next_date, deleted) "
            "values (?, ?, 126, 33, ?, '2026-05-01 00:00:00', ?)",
            *(key, abonent, comment, deleted),
        )


@pytest.fixture
def account(execute: Execute) -> int:
    """An account of subscriber 9001, with an open session of the cabinet."""
    execute(
        "insert into users (id, abonent_id, login, ip, pull, enabled) values (90001, 9001, 'ivanov', 167772170, 6, 1)"
    )
    execute("insert into cabinet_sessions (id, suid, user_id, created) values (90001, '12345', 90001, '2026-05-01')")
    return 90001


# ---- services ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("connected")
async def test_services_found_by_their_comment(client: BillingClient, database: Database) -> None:
    gateway = Gateway(client, database)
    done = await prepared(job_of(gateway, DELETE_SERVICES, Input(), comment=COMMENT))
    assert done.refusals == ()
    ours = [one for one in done.items if int(one.key) > 90000]
    assert [(one.key, one.label, one.lane, one.skip_reason) for one in ours] == [
        ("90001", "00123", "account:9001", None),
        ("90002", "123", "account:9002", None),
    ]
    assert len(done.items) > len(ours), "the billing has some of its own"


@pytest.mark.usefixtures("connected")
async def test_services_by_their_ids(gateway: Gateway, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "users_usluga_id\n90001\n90003\n80000\n")
    done = await prepared(job_of(gateway, DELETE_SERVICES, rows))
    assert [(one.key, one.skip_reason) for one in done.items] == [
        ("90001", None),
        ("90003", "already as wanted: UsersUsluga 90003 is deleted"),
    ]
    assert [(one.line, one.reason) for one in done.refusals] == [(4, "there is no UsersUsluga with id 80000")]


async def test_without_comment_and_rows_there_is_nothing_to_delete(gateway: Gateway) -> None:
    with pytest.raises(InputRefused, match="nothing to read rows from"):
        _ = job_of(gateway, DELETE_SERVICES, Input()).source


@pytest.mark.usefixtures("connected")
async def test_what_somebody_changed_between_plan_and_call_is_made_anew(
    gateway: Gateway, tmp_path: Path, execute: Execute, database: Database
) -> None:
    effect = effect_of(gateway, DELETE_SERVICES)
    assert isinstance(effect, DeleteEffect)
    items = await planned(job_of(gateway, DELETE_SERVICES, rows_of(tmp_path, "id\n90001\n90002\n")))
    assert await effect.read_before_images(items) == {}
    execute("update users_usluga set next_date = '2031-02-03' where id = 90001")
    before = whole(database)
    items = await with_fresh_before_images(effect, items)
    evidence = await effect.send(RUN, items[0])
    assert isinstance(evidence, Accepted)
    assert evidence.note == (
        "changed between plan and call: it was next_date 2026-05-01, and then next_date 2031-02-03; an undo brings "
        "the latter back"
    )
    # What is gone is not what was there.
    assert await effect.read_before_images(items) == {}
    undo = await undone(effect, [msgspec.structs.replace(items[0], answer=evidence.answer)])
    await sent(undo.effect, undo.items, UNDO_RUN)
    (anew,) = new_rows(changes(before, whole(database)), CONNECTED)
    assert str(anew["NEXT_DATE"]) == "2031-02-03 00:00:00"


@pytest.mark.usefixtures("connected")
async def test_a_deletion_whose_effect_came_late_is_looked_up(gateway: Gateway, tmp_path: Path) -> None:
    job = effect_of(gateway, DELETE_SERVICES)
    items = await planned(job_of(gateway, DELETE_SERVICES, rows_of(tmp_path, "id\n90001\n")))
    (first,) = await sent(job, items)
    assert await job.send(RUN, items[0]) == Lost(
        "refused, and whether it is gone has to be looked up: Объект уже удалён"
    )
    assert await sightings(job, items) == [Found(first.answer)]
    assert not job.repeatable


@pytest.mark.usefixtures("connected")
async def test_a_service_that_was_connected_again_is_left_alone(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    job = effect_of(gateway, DELETE_SERVICES)
    items = await planned(job_of(gateway, DELETE_SERVICES, rows_of(tmp_path, "id\n90001\n90002\n")))
    done = await sent(job, items)
    execute("insert into users_usluga (id, abonent_id, usluga_id) values (90009, 9001, 126)")
    execute("update users_usluga set deleted = 0 where id = 90002")
    assert (await undone(job, done)).left_alone == [
        f"changed since: the run deleted it, and now there is connected service {key} with abonent_id {abonent}, "
        "usluga_id 126"
        for key, abonent in ((90009, 9001), (90002, 9002))
    ]


# ---- accounts ----------------------------------------------------------------------------------------------------


async def test_an_account_goes_with_what_points_to_it(
    gateway: Gateway, account: int, tmp_path: Path, database: Database
) -> None:
    job = effect_of(gateway, DELETE_ACCOUNT)
    items = await planned(job_of(gateway, DELETE_ACCOUNT, rows_of(tmp_path, "login\nivanov\n")))
    assert [(one.key, one.lane) for one in items] == [(str(account), "account:9001")]
    assert job.describe(RUN.name, items[0]) == "Users: objects.get(id=90001) → delete(clean_links=true)"
    before = whole(database)
    (done,) = await sent(job, items)
    found = changes(before, whole(database))
    assert found.keys() == {"USERS", "CABINET_SESSIONS"}
    assert found["USERS"] == {account: {"DELETED": (0, 1)}}
    assert await readings(job, items) == [ReadBack(None)]
    # What it was is kept, for a person; passwords were never read.
    kept = json.loads(done.answer or "")
    assert (kept["login"], kept["ip"], kept["pull"]) == ("ivanov", "10.0.0.10", "6")
    assert not [name for name in payload_of(items[0]).was if "psw" in name]
    way = job.undo({})
    assert isinstance(way, Irreversible)
    assert "carbon_answer" in way.text


async def test_an_account_that_is_pointed_to_stays_without_clean_links(
    gateway: Gateway, account: int, tmp_path: Path, database: Database
) -> None:
    rows = rows_of(tmp_path, f"user_id\n{account}\n")
    job = job_of(gateway, DELETE_ACCOUNT, rows, clean_links="no")
    items = await planned(job)
    before = whole(database)
    assert await job.effect.send(RUN, items[0]) == RowRefused("На объект ссылаются: CabinetSessions")
    assert changes(before, whole(database)) == {}


# ---- any other chain that deletes --------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "known"), [("Users", True), ("Tarif", False)])
@pytest.mark.parametrize("with_database", [False, True])
def test_all_fields_are_kept_in_one_go_only_where_the_database_has_them(
    database: Database, model: str, *, known: bool, with_database: bool
) -> None:
    gateway = Gateway(AsyncMock(spec=BillingClient), database if with_database else None)
    effect = DeleteEffect(gateway, parse(model, ('objects.get {"id": {id}}', "delete")))
    assert effect.keeps is (BeforeImageMode.TOGETHER if known and with_database else BeforeImageMode.ONE_BY_ONE)


async def test_a_model_that_nobody_here_knows(gateway: Gateway, database: Database) -> None:
    effect = DeleteEffect(gateway, parse("Tarif", ('objects.get {"id": {id}}', "delete")))
    done = await effect.plan([Bound(Row(2, (key,)), key, {"id": key}) for key in ("6", "60")])
    assert [(one.key, one.lane) for one in done.items] == [("6", "Tarif:6")]
    assert [one.reason for one in done.refusals] == ["there is no Tarif with id 60"]
    assert isinstance(effect.undo({}), Irreversible)
    item = sending_item(done.items[0])
    before = whole(database)
    evidence = await effect.send(RUN, item)
    assert evidence == RowRefused("На объект ссылаются: Abonents")
    assert changes(before, whole(database)) == {}


async def test_what_cannot_be_told() -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.return_value = [{"pk": 5, "fields": {"id": 5}}, {"pk": 6, "fields": {"id": 5}}]
    payload = Payload("Tarif", (("objects.get", {"id": 5}), ("delete", {})), key={"id": "5"})
    item = sending_item(NewItem("5", "5", "Tarif:5", encode_payload(payload)))
    effect = DeleteEffect(Gateway(client), parse("Tarif", ('objects.get {"id": {id}}', "delete")))
    assert await sightings(effect, [item]) == [CannotLook("the billing has 2 of Tarif 5")]
    assert await effect.take_back([]) == Prepared((), ())
