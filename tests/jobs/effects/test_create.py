"""Objects that are created and deleted: found again by what is theirs alone, left alone, made anew."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import msgspec
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from checkpoints.records import Item, NewItem
from engine.evidence import Accepted, AlreadyThere, Lost, RowRefused
from engine.job import CannotLook, Different, Found, Prepared, ReadBack
from engine.rows import Row
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload, payload_of
from jobs.access.vault import Vault
from jobs.catalogue.built_in import ATTRIBUTE, CONNECT_SERVICE, DELETE_ACCOUNT, DELETE_SERVICES
from jobs.catalogue.typed_call import call_kind
from jobs.effects.delete import DeleteEffect
from jobs.effects.effect import Irreversible
from jobs.effects.factory import effect_of as effect_made
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import Step
from jobs.job import BillingJob, build
from jobs.rows.binding import Bound
from jobs.rows.input import Input
from jobs.spec.chain import chain_text, parse
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import parameters_of
from lab.mock.server import MockBilling
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.importing import planned as plan_steps
from tests.jobs.importing import subscriber
from tests.jobs.making import (
    RUN,
    THIRD_RUN,
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

TO_CONNECT = "abonent_id\n9001\n9002\n"
TO_GIVE = "contract_number;attribute_id;value\n00123;1012;телеграм\nA15;7;0015\n"
CONNECTED = "USERS_USLUGA"
VALUES = "ATTRIBUTE_VALUES"


async def connecting(gateway: Gateway, *, text: str = TO_CONNECT, **given: str) -> list[Item]:
    rows = rows_of(text)
    return await planned(job_of(gateway, CONNECT_SERVICE, rows, usluga="240", manager="33", **given))


async def giving(gateway: Gateway, *, text: str = TO_GIVE) -> list[Item]:
    return await planned(job_of(gateway, ATTRIBUTE, rows_of(text)))


# ---- services ----------------------------------------------------------------------------------------------------


# ---- attributes --------------------------------------------------------------------------------------------------


# ---- what was made anew ------------------------------------------------------------------------------------------


async def test_what_is_there_again_is_not_made_anew(gateway: Gateway, execute: Execute) -> None:
    job = effect_of(gateway, ATTRIBUTE)
    undo = await undone(job, await sent(job, await giving(gateway)))
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    execute("insert into attribute_values values (90001, 9001, 1012, 'вайбер')")
    execute("update abonents set deleted = 1 where id = 9003")
    again = await undone(undo.effect, backs)
    (left,) = again.done.items
    assert left.skip_reason == (
        "changed since: the run deleted it, and now there is attribute value 90001 with abonent_id 9001, "
        "attribute_id 1012"
    )
    assert [one.reason for one in again.done.refusals] == [
        "abonent 9003 is deleted since: nothing can be given to it"
    ]


async def test_a_comment_gives_way_to_the_new_mark(both: Gateway, database: Database, execute: Execute) -> None:
    job = effect_of(both, CONNECT_SERVICE)
    done = await sent(job, await connecting(both, text="abonent_id\n9001\n"))
    execute("update users_usluga set comment = ?, next_date = '2026-05-01' where id = ?", "я" * 255, done[0].answer)
    undo = await undone(job, done)
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    again = await undone(undo.effect, backs)
    ((_, arguments),) = payload_of(again.items[0]).steps
    assert arguments["next_date"] == "2026-05-01 00:00:00"
    assert arguments["comment"] == "я" * 222 + "…"
    (anew,) = await sent(again.effect, again.items, THIRD_RUN)
    ((comment, due),) = database.query(
        "select comment, next_date from users_usluga where id = :id", {"id": anew.answer}
    )
    assert comment.endswith("я… [cm v8v8v/1]")
    assert f"{due:%Y-%m-%d %H:%M}" == "2026-05-01 00:00"
    # The billing has charged for it since: it is still what was connected.
    execute("update users_usluga set next_date = '2026-06-01', enabled = 0 where id = ?", anew.answer)
    assert await sightings(again.effect, again.items, THIRD_RUN) == [Found(anew.answer, marked=True)]


# ---- whose answer it is ------------------------------------------------------------------------------------------


async def test_what_the_billing_refuses_is_of_the_row(gateway: Gateway, mock_billing: MockBilling) -> None:
    job = effect_of(gateway, CONNECT_SERVICE)
    first, second = await connecting(gateway, text="abonent_id\n9001\n9002\n")
    await sent(job, [first])
    twice = msgspec.structs.replace(first, number=7)
    assert await job.send(RUN, twice) == RowRefused("Обещанный платеж уже подключен")
    await sent(job, [second])
    assert mock_billing.ledger.effects("UsersUsluga") == {9001: 1, 9002: 1}


PERSON = 'objects.create {"contract_number": "{number}", "name": "{name}", "parent_id": 9100}'
SHELF = 'objects.create {"is_folder": 1, "name": "{name}", "parent_id": 9100}'
LOGIN = 'objects.create {"abonent_id": {abonent_id}, "login": "{login}", "pull": 6}'

CALLS = [
    ("Abonents", PERSON, "number;name\n00777;Новиков\n", "00777", "contract:00777"),
    ("Abonents", SHELF, "name\nНовая\n", "Новая/9100", "folders"),
    ("Users", LOGIN, "abonent_id;login\n9001;novikov\n", "novikov", "account:9001"),
]
"""Model, call, a row, and the item's key and lane."""


def calling(gateway: Gateway, model: str, chain: str, rows: Input) -> BillingJob:
    told = {"model": model, "chain": chain_text([chain])}
    kind = call_kind(told)
    return build(kind, gateway, parameters_of(kind, told), rows)


async def test_a_number_that_is_taken_is_refused_only_where_the_subscriber_is_another(
    gateway: Gateway, execute: Execute
) -> None:
    job = calling(gateway, "Abonents", PERSON, rows_of("number;name\n00777;Новиков\n00778;Попов\n"))
    items = [msgspec.structs.replace(one, attempts=0) for one in await planned(job)]
    # Between plan and call: the first is as this row wants it, the second is somebody else.
    for key, number, name in [(9777, "00777", "Новиков"), (9778, "00778", "Серов")]:
        execute.put("abonents", id=key, parent_id=9100, name=name, contract_number=number)
    first, second = [await job.effect.send(RUN, item) for item in items]
    assert first == AlreadyThere("already as wanted: somebody else has made it just before (id 9777)", "9777")
    # A row that was sent before may have made it, or somebody else has.
    sent_before = await job.effect.send(RUN, msgspec.structs.replace(items[0], attempts=1))
    assert isinstance(sent_before, Accepted)
    assert (sent_before.answer, sent_before.unproven, sent_before.created) == ("9777", True, False)
    assert isinstance(second, RowRefused)
    assert second.text == (
        "Номер договора уже закреплен: 00778; the billing has subscriber 9778 with name Серов, parent_id 9100"
    )
    assert isinstance((await sightings(job, items[1:]))[0], Different)


def test_whether_it_is_a_folder_is_written_in_the_call(client: BillingClient) -> None:
    told = {"model": "Abonents", "chain": chain_text(['objects.create {"is_folder": {what}, "name": "{name}"}'])}
    kind = call_kind(told)
    with pytest.raises(ParameterRefused, match="write is_folder as 1 or 0"):
        effect_made(Gateway(client), kind, parameters_of(kind, told))


@pytest.mark.parametrize("chain", ['objects.create {"name": "{name}"}', 'objects.create {"login": "x"}'])
def test_what_tells_it_from_others_is_in_the_call(client: BillingClient, chain: str) -> None:
    told = {"model": "Abonents", "chain": chain_text([chain])}
    kind = call_kind(told)
    with pytest.raises(ParameterRefused, match="has to say contract_number: by contract_number a subscriber is told"):
        effect_made(Gateway(client), kind, parameters_of(kind, told))


@pytest.mark.parametrize(("model", "chain", "text"), [one[:3] for one in CALLS[:2]], ids=["subscriber", "folder"])
async def test_what_something_hangs_on_is_not_deleted_again(
    gateway: Gateway, execute: Execute, model: str, chain: str, text: str
) -> None:
    job = calling(gateway, model, chain, rows_of(text))
    (done,) = await sent(job, await planned(job))
    back = await undone(job.effect, [done])
    (item,) = back.items
    if "is_folder" in chain:
        execute.put("abonents", id=9999, parent_id=done.answer, name="x", contract_number="9999")
    else:
        execute.put("users", id=9999, abonent_id=done.answer, login="novikov")
    evidence = await back.effect.send(UNDO_RUN, item)
    assert isinstance(evidence, RowRefused)
    assert evidence.text in {
        "left alone, for the folder is not empty: 9999",
        "left alone, for it has account 9999 with login novikov",
    }


async def test_the_password_of_a_new_account_is_in_the_vault_until_its_call(
    gateway: Gateway, tmp_path: Path, database: Database
) -> None:
    vault = Vault(tmp_path / "vault")
    steps = SubscriberSteps(replace(gateway, vault=vault))
    (token,) = vault.seal(["geheim77"])
    part = (Step.ACCOUNT, {"login": "novikov", "psw": token})
    (_, item) = await plan_steps(steps, [subscriber("00123", 1, part)])
    assert "geheim77" not in item.payload + steps.describe(RUN.name, item) + (item.message or "")
    assert isinstance(await steps.send(RUN, item), Accepted)
    assert list(database.query("select psw from users where login = 'novikov'")) == [("geheim77",)]
    assert await readings(steps, [item]) == [ReadBack(None)]


COMMENT = "Автоматический%предоплате%2017-12-31%"


@pytest.fixture
def connected(execute: Execute) -> None:
    """Three services, one of them deleted."""
    for key, abonent, comment, deleted in [
        (90001, 9001, "Автоматический по предоплате 2017-12-31 (1)", 0),
        (90002, 9002, "Автоматический по предоплате 2017-12-31", 0),
        (90003, 9003, "Автоматический по предоплате 2017-12-31", 1),
    ]:
        execute.put(
            "users_usluga",
            id=key,
            abonent_id=abonent,
            usluga_id=126,
            manager_id=33,
            comment=comment,
            next_date="2026-05-01 00:00:00",
            deleted=deleted,
        )


@pytest.fixture
def account(execute: Execute) -> int:
    """An account of subscriber 9001, with an open session of the cabinet."""
    execute.put("users", id=90001, abonent_id=9001, login="ivanov", ip=167772170, pull=6, enabled=1)
    execute.put("cabinet_sessions", id=90001, suid="12345", user_id=90001, created="2026-05-01")
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
async def test_what_somebody_changed_between_plan_and_call_is_made_anew(
    gateway: Gateway, execute: Execute, database: Database
) -> None:
    effect = effect_of(gateway, DELETE_SERVICES)
    assert isinstance(effect, DeleteEffect)
    items = await planned(job_of(gateway, DELETE_SERVICES, rows_of("id\n90001\n90002\n")))
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
async def test_a_deletion_whose_effect_came_late_is_looked_up(gateway: Gateway) -> None:
    job = effect_of(gateway, DELETE_SERVICES)
    items = await planned(job_of(gateway, DELETE_SERVICES, rows_of("id\n90001\n")))
    (first,) = await sent(job, items)
    assert await job.send(RUN, items[0]) == Lost(
        "refused, and whether it is gone has to be looked up: Объект уже удалён"
    )
    assert await sightings(job, items) == [Found(first.answer)]
    assert not job.repeatable


# ---- accounts ----------------------------------------------------------------------------------------------------


async def test_an_account_goes_with_what_points_to_it(gateway: Gateway, account: int, database: Database) -> None:
    job = effect_of(gateway, DELETE_ACCOUNT)
    items = await planned(job_of(gateway, DELETE_ACCOUNT, rows_of("login\nivanov\n")))
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
    gateway: Gateway, account: int, database: Database
) -> None:
    rows = rows_of(f"user_id\n{account}\n")
    job = job_of(gateway, DELETE_ACCOUNT, rows, clean_links="no")
    items = await planned(job)
    before = whole(database)
    assert await job.effect.send(RUN, items[0]) == RowRefused("На объект ссылаются: CabinetSessions")
    assert changes(before, whole(database)) == {}


# ---- any other chain that deletes --------------------------------------------------------------------------------


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
