"""What effects make of their calls: objects made, changed and deleted, operations, payments, and their ways back."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from unittest.mock import AsyncMock

import msgspec
import pytest

from billing.api.calls import Call, ChainStep
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.money import SCALE
from billing.profile import Fact, Profile, StornoEffect
from checkpoints.records import Item, NewItem
from checkpoints.states import State
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, AlreadyThere, Lost, NotSent, RowRefused
from engine.job import Absent, BeforeImageMode, CannotLook, Different, Found, Job, Prepared, ReadBack
from engine.rows import Row
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, decode_payload, encode_payload, payload_of
from jobs.access.subscribers import SubscriberFinder
from jobs.access.vault import Vault
from jobs.catalogue.built_in import (
    ATTRIBUTE,
    BALANCES,
    CONNECT_SERVICE,
    DELETE_ACCOUNT,
    DELETE_SERVICES,
    NEXT_CHARGE,
    OPERATOR,
    PAYMENT,
    RECALCULATE,
    WARNING_THRESHOLD,
)
from jobs.catalogue.typed_call import call_kind
from jobs.effects.creatable_models import BALANCE
from jobs.effects.create import payload_for
from jobs.effects.delete import DeleteEffect
from jobs.effects.effect import Irreversible
from jobs.effects.factory import effect_of as effect_made
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import Step
from jobs.job import BillingJob, build
from jobs.rows.binding import Bound
from jobs.rows.input import Input
from jobs.spec.chain import chain_text, parse
from jobs.spec.entries import UNDO_OF_OPERATIONS
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import check_parameters
from jobs.spec.spec import JobSpec, parameters_of
from lab.mock.quirks import Quirks
from lab.mock.server import MockBilling, running
from tests.checkpoints.samples import sending_item
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.importing import planned as plan_steps
from tests.jobs.importing import subscriber
from tests.jobs.making import (
    RUN,
    THIRD_RUN,
    UNDO_RUN,
    Undo,
    effect_of,
    job_of,
    planned,
    prepared,
    readings,
    refused,
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


TWO = "contract_number;amount\n00123;50,50\n123;7\n"
OPERATIONS = "FINANCE_OPERATIONS"


@pytest.fixture
def earlier(execute: Execute) -> None:
    """Subscriber 9001 has paid the same before, and 9002 something else."""
    execute("set generator gen_finance_operations_id to 90000")
    for key, abonent, kopecks in [(80001, 9001, 5050), (80002, 9002, 100)]:
        operation(execute, key, abonent, kopecks)


def operation(execute: Execute, key: int, abonent: int, kopecks: int, kind: int = 2, storno: int = 0) -> None:
    execute.put(
        "finance_operations",
        op_id=key,
        abonent_id=abonent,
        op_type=kind,
        op_summa=kopecks * SCALE // 100,
        op_date="2026-02-03",
        storno=storno,
    )


def lost(items: Sequence[Item]) -> list[Item]:
    return [msgspec.structs.replace(one, state=State.UNKNOWN) for one in items]


async def paying(gateway: Gateway, text: str = TWO) -> list[Item]:
    items = await planned(job_of(gateway, PAYMENT, rows_of(text), way="add_payment"))
    return [msgspec.structs.replace(one, state=State.PENDING) for one in items]


TWICE = "abonent_id;amount;document\n9001;5;17\n9001;5;18\n9001;6;17/a\n9002;7;\n"


async def test_payments_of_one_subscriber_are_told_apart_by_their_documents(gateway: Gateway) -> None:
    job = effect_of(gateway, PAYMENT, way="add_payment")
    items = await paying(gateway, TWICE)
    assert [(one.key, one.label, one.amount) for one in items] == [
        ("9001/17", "00123, 17", Decimal(5)),
        ("9001/18", "00123, 18", Decimal(5)),
        ("9001/17/a", "00123, 17/a", Decimal(6)),
        ("9002", "123", Decimal(7)),
    ]
    assert await sightings(job, items) == [Absent()] * 4
    await sent(job, items[:1])
    # What the first has entered is not the second's, for both have the same sum.
    one, other, *rest = await sightings(job, items)
    assert isinstance(one, CannotLook)
    assert isinstance(other, CannotLook)
    assert rest == [Absent(), Absent()]
    first, second, *_ = await readings(job, items)
    assert (first.difference, second.difference) != (None, None), "of two payments one is there"
    await sent(job, items[1:])
    assert await readings(job, items) == [ReadBack(Decimal(amount)) for amount in (5, 5, 6, 7)]


async def test_the_column_of_the_documents_is_named_by_the_operator(gateway: Gateway) -> None:
    text = "abonent_id;amount;№ документа\n9001;5;17\n"
    plain = job_of(gateway, PAYMENT, rows_of(text), way="add_payment")
    assert [one.key for one in (await prepared(plain)).items] == ["9001"]
    named = job_of(gateway, PAYMENT, rows_of(text, document="№ документа"), way="add_payment")
    assert [one.key for one in (await prepared(named)).items] == ["9001/17"]
    assert any("map document=COLUMN" in caution for caution in plain.cautions)


async def test_an_act_says_nothing_of_a_payment_once_a_probe_has_seen_it(gateway: Gateway, execute: Execute) -> None:
    items = await paying(gateway, "abonent_id;amount\n9001;5\n")
    known = replace(gateway, profile=Profile(receipt_type=Fact(2), act_type=Fact(1)))
    operation(execute, 80004, 9001, 500, kind=1)
    assert await sightings(effect_of(known, PAYMENT, way="add_payment"), items) == [Absent()]


# ---- the way back ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("way", ["storno", "opposite"])
async def test_payments_are_taken_back(gateway: Gateway, database: Database, way: str) -> None:
    job = effect_of(gateway, PAYMENT, way="add_payment")
    before = whole(database)
    done = await sent(job, await paying(gateway))
    assert [one.answer for one in done] == [None, None]
    undo = await undone(job, done, way=way)
    assert [one.amount for one in undo.done.items] == [Decimal("-50.50"), Decimal(-7)]
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert await readings(undo.effect, backs, UNDO_RUN) == [ReadBack(Decimal("-50.50")), ReadBack(Decimal(-7))]
    found = changes(before, whole(database))
    assert found.keys() == {OPERATIONS}
    if way == "storno":
        assert [row["STORNO"] for row in new_rows(found, OPERATIONS)] == [1, 1]


THREE = "abonent_id;amount\n9001;50,50\n9002;-7\n9003;0\n"


@pytest.fixture
async def adding(billing_file: Path, database: Database) -> AsyncIterator[Gateway]:
    """A billing whose entries of type 8 add to the balance."""
    async with (
        running(billing_file, quirks=Quirks(type_8="adds")) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
    ):
        yield Gateway(client, database)


async def entered(gateway: Gateway, *, text: str = THREE, **given: str) -> list[Item]:
    """The operations of a run of balances."""
    job = job_of(gateway, BALANCES, rows_of(text), **given)
    return await sent(job, await planned(job))


async def taking_back(gateway: Gateway, items: list[Item], **how: str) -> Undo:
    return await undone(effect_of(gateway, BALANCES), items, **how)


def balance_of(database: Database, account: int) -> Decimal:
    ((scaled,),) = database.query("select balance from admin_accounts where id = :id", {"id": account})
    return Decimal(scaled) / SCALE


# ---- storno ------------------------------------------------------------------------------------------------------


async def test_a_billing_that_knows_no_such_method(gateway: Gateway) -> None:
    items = await entered(gateway, text="abonent_id;amount\n9001;1\n")
    undo = await taking_back(gateway, items, way="storno", storno_call="reverse")
    assert await undo.effect.send(UNDO_RUN, undo.items[0]) == RowRefused("Метод reverse нельзя вызвать")


async def test_a_storno_that_had_its_effect_already_is_looked_up(gateway: Gateway) -> None:
    items = await entered(gateway, text="abonent_id;amount\n9001;1\n")
    undo = await taking_back(gateway, items, way="storno")
    (back,) = undo.items
    await sent(undo.effect, [back], UNDO_RUN)
    assert await undo.effect.send(UNDO_RUN, back) == Lost(
        "refused, and whether it is reversed has to be looked up: Операция уже сторнирована"
    )
    assert await sightings(undo.effect, [back], UNDO_RUN) == [Found(items[0].answer)]
    assert not undo.effect.repeatable


async def test_a_balance_that_a_storno_does_not_bring_back(both: Gateway, execute: Execute) -> None:
    execute("update admin_accounts set ostatok = ? where id = 9002", 7 * SCALE)
    items = await entered(both, text="abonent_id;amount\n9002;50\n")
    undo = await taking_back(both, items, way="storno")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    (reading,) = await readings(undo.effect, backs, UNDO_RUN)
    assert reading.difference is not None
    assert f"operation {items[0].answer} is reversed, but the balance is 0.00, and was 7.00" in reading.difference


@pytest.mark.parametrize(("op_type", "type_8"), [("1", {}), ("8", {"storno_type_8": StornoEffect.RESTORES})])
async def test_a_storno_rests_on_its_name_and_of_opening_balances_on_what_it_restores(
    both: Gateway, op_type: str, type_8: dict[str, object]
) -> None:
    items = await entered(both, op_type=op_type)
    undo = await taking_back(both, items, way="storno")
    backs = [payload_of(item) for item in undo.items]
    assert undo.effect.rests_on(backs) == {"storno_call": "storno", "storno_works": True, **type_8}


async def test_a_storno_where_type_8_adds(adding: Gateway, execute: Execute, database: Database) -> None:
    execute("update admin_accounts set ostatok = ? where id = 9002", 7 * SCALE)
    items = await entered(adding, text="abonent_id;amount\n9002;50\n")
    assert balance_of(database, 9002) == 57
    undo = await taking_back(adding, items, way="storno")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert balance_of(database, 9002) == 7
    assert await readings(undo.effect, backs, UNDO_RUN) == [ReadBack(Decimal(-50))]


async def test_what_is_read_back_of_a_storno(gateway: Gateway, execute: Execute) -> None:
    items = await entered(gateway, text="abonent_id;amount\n9001;1\n")
    undo = await taking_back(gateway, items, way="storno")
    backs = undo.items
    assert await readings(undo.effect, backs, UNDO_RUN) == [
        ReadBack(None, f"operation {items[0].answer} is not reversed")
    ]
    execute("delete from finance_operations where op_id = ?", items[0].answer)
    gone = f"there is no operation {items[0].answer} any more"
    assert await readings(undo.effect, backs, UNDO_RUN) == [ReadBack(None, gone)]
    assert await sightings(undo.effect, backs, UNDO_RUN) == [CannotLook(gone)]


# ---- the opposite entry ------------------------------------------------------------------------------------------


async def test_a_balance_that_was_added_to(adding: Gateway, execute: Execute, database: Database) -> None:
    execute("update admin_accounts set ostatok = ? where id = 9002", 7 * SCALE)
    items = await entered(adding, text="abonent_id;amount\n9002;50\n")
    (left,) = (await taking_back(adding, items, way="opposite", type_8="sets")).left_alone
    assert left == (
        f"changed since: operation {items[0].answer} of 50.00 left the balance at 50.00, if type 8 sets, and now "
        "it is 57.00"
    )
    undo = await taking_back(adding, items, way="opposite", type_8="adds")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert balance_of(database, 9002) == 7
    assert await readings(undo.effect, backs, UNDO_RUN) == [ReadBack(Decimal(-50))]


async def test_a_wrong_belief_about_type_8_is_told(adding: Gateway, database: Database) -> None:
    """From a balance of nothing, setting and adding come to the same: only reading back tells."""
    items = await entered(adding, text="abonent_id;amount\n9002;50\n")
    undo = await taking_back(adding, items, way="opposite", type_8="sets")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert balance_of(database, 9002) == 50
    (reading,) = await readings(undo.effect, backs, UNDO_RUN)
    assert reading.difference is not None
    assert "is entered, but the balance is 50.00 and not 0.00" in reading.difference


async def test_type_8_needs_to_know_what_the_balance_was(client: BillingClient, both: Gateway) -> None:
    items = await entered(Gateway(client), text="abonent_id;amount\n9002;50\n")
    (reason,) = (await taking_back(both, items, way="opposite")).refused
    assert "is of type 8, and what the balance was before it is not known" in reason


async def test_opposite_entries_of_one_run_are_told_from_those_of_another(gateway: Gateway) -> None:
    items = await entered(gateway, text="abonent_id;amount\n9002;50\n", op_type="1")
    undo = await taking_back(gateway, items, way="opposite")
    backs = undo.items
    await sent(undo.effect, backs, UNDO_RUN)
    assert await sightings(undo.effect, backs, replace(UNDO_RUN, name="other")) == [Absent()]
    await sent(undo.effect, backs, UNDO_RUN)
    (twice,) = await sightings(undo.effect, backs, UNDO_RUN)
    assert isinstance(twice, Different)


# ---- the list ----------------------------------------------------------------------------------------------------


async def test_without_a_word_nothing_is_sent(gateway: Gateway, database: Database) -> None:
    items = await entered(gateway)
    before = whole(database)
    undo = await taking_back(gateway, items)
    for item, one, reason in zip(items, undo.done.items, undo.left_alone, strict=True):
        assert reason is not None
        assert reason.startswith(f"for the accountant: reverse operation {item.answer} of {item.amount} of 20")
        assert f" on {item.label}; nothing was sent" in reason
        assert (one.amount, one.undoes, one.row) == (-(item.amount or 0), item.item_id, _cells(item))
    backs = [sending_item(new, number) for number, new in enumerate(undo.done.items, 1)]
    assert await undo.effect.send(UNDO_RUN, backs[0]) == RowRefused(
        "this undo is a list for the accountant: nothing is sent"
    )
    assert [type(one) for one in await sightings(undo.effect, backs, UNDO_RUN)] == [CannotLook] * 3
    assert isinstance(undo.effect.undo({}), Irreversible)
    assert changes(before, whole(database)) == {}


def _cells(item: Item) -> tuple[str, ...]:
    return ("k7m2q", str(item.number), item.key, item.label, str(item.amount or ""), item.answer or "")


# ---- what somebody has changed since -----------------------------------------------------------------------------


# ---- how ---------------------------------------------------------------------------------------------------------


def test_the_parameters_of_an_undo() -> None:
    assert check_parameters("undo", UNDO_OF_OPERATIONS, {}) == {
        "way": "list",
        "storno_call": "storno",
        "type_8": "sets",
        "descr": "Отмена операции",
    }
    for wrong in ({"way": "strono"}, {"storno_call": "a b"}, {"type_8": "8"}):
        with pytest.raises(ParameterRefused):
            check_parameters("undo", UNDO_OF_OPERATIONS, wrong)


async def test_the_comment_of_opposite_entries(gateway: Gateway, mock_billing: MockBilling) -> None:
    items = await entered(gateway, text="abonent_id;amount\n9002;50\n", op_type="1")
    undo = await taking_back(gateway, items, way="opposite", descr="Ошибка ввода")
    (back,) = undo.items
    assert payload_of(back).steps[0][1]["descr"] == f"Ошибка ввода {items[0].answer}"
    assert f"[cm {UNDO_RUN.name}/1]" in undo.effect.describe(UNDO_RUN.name, back)
    assert mock_billing.ledger.effects("FinanceOperations") == {9002: 1}


BY_SUBSCRIBER: dict[str, object] = {"account_id_abonents": 9002}
GET = ("objects.get", BY_SUBSCRIBER)
NOTHING: dict[str, object] = {}
SAVE = ("save", NOTHING)


def threshold(gateway: Gateway, amount: str, rows: Input | None = None) -> Job:
    if rows is None:
        return job_of(gateway, WARNING_THRESHOLD, Input(), folder=str(FOLDER), amount=amount)
    return job_of(gateway, WARNING_THRESHOLD, rows, amount=amount)


# ---- rows to items ---------------------------------------------------------------------------------------------


async def test_what_chooses_the_rows_is_said_once(both: Gateway, client: BillingClient) -> None:
    with pytest.raises(InputRefused, match="there is nothing to read rows from: give --set folder=…"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), amount="1").source
    rows = rows_of("abonent_id\n9002\n")
    with pytest.raises(InputRefused, match=r"nothing would look at it\. Leave out --set folder=…, or the other rows"):
        _ = job_of(both, WARNING_THRESHOLD, rows, folder="89", amount="1").source
    with pytest.raises(InputRefused, match=r"^--set folder=…"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), folder="89", amount="1", abonent_id="9002").source
    with pytest.raises(InputRefused, match="no database is set"):
        _ = threshold(Gateway(client), "1").source
    with pytest.raises(InputRefused, match="has no column amount"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), folder="89").source


# ---- sending and looking ---------------------------------------------------------------------------------------


OTHER = 5


async def test_all_of_an_operator(both: Gateway, database: Database, execute: Execute) -> None:
    execute.put("operators", id=OTHER, name="Третий")
    execute("update abonents set operator_id = ? where id in (9001, 9003, 9006)", OTHER)
    job = job_of(both, OPERATOR, Input(), **{"from": str(OTHER), "operator": "1444"})
    items = await planned(job)
    # 9006 is deleted.
    assert [one.key for one in items] == ["9001", "9003"]
    await sent(job, items)
    query = "select id from abonents where operator_id = 1444 and id > 9000 order by id"
    assert [key for (key,) in database.query(query)] == [9001, 9003]
    assert (await prepared(job_of(both, OPERATOR, Input(), **{"from": str(OTHER), "operator": "3"}))).items == ()


async def test_an_operator_is_named_or_rows_are_given(both: Gateway) -> None:
    with pytest.raises(InputRefused, match="give --set from=… for the job's own select, or name a file"):
        _ = job_of(both, OPERATOR, Input(), operator="3").source
    rows = rows_of("abonent_id\n2001\n")
    for rows_elsewhere in (rows, Input(sql="select id as abonent_id from abonents")):
        with pytest.raises(InputRefused, match=r"^--set from=… chooses rows for the job's own select"):
            _ = job_of(both, OPERATOR, rows_elsewhere, **{"from": "3", "operator": "3"}).source
    # A select that asks for it makes it count.
    asking = Input(sql="select id as abonent_id from abonents where operator_id = :from and id < 2010")
    assert job_of(both, OPERATOR, asking, **{"from": "3", "operator": "1444"}).source.header == ("abonent_id",)


@pytest.mark.parametrize("months", [0, -6])
def test_the_first_and_the_last_month(months: int) -> None:
    day = first_of(months)
    assert parameters_of(RECALCULATE, {"since": ".".join(reversed(day.split("-")))})["since"] == day


async def test_a_service_without_a_manager(gateway: Gateway, execute: Execute) -> None:
    execute.put("users_usluga", id=90001, abonent_id=9001, usluga_id=126)
    rows = rows_of("contract_number;usluga_id;next_date\n00123;126;2020-09-13\n")
    job = job_of(gateway, NEXT_CHARGE, rows)
    items = await planned(job)
    assert payload_of(items[0]).steps == (
        ("objects.get", {"abonent_id": 9001, "usluga_id": 126}),
        ("set", {"next_date": "2020-09-13 00:00:00"}),
        ("save", {"allow_set_none_manager": True}),
    )
    # The billing refuses the same without the word.
    bare = payload_of(items[0]).call.steps[:2]
    evidence = await gateway.client.send(Call("UsersUsluga", (*bare, ChainStep("save", {}))))
    assert isinstance(evidence, RowRefused), evidence
    await sent(job, items)


OLD = 167900000


@pytest.fixture
def addresses(execute: Execute) -> None:
    """Two accounts with an address each."""
    for key, abonent in [(90001, 9001), (90002, 9002)]:
        execute.put(
            "users", id=key, abonent_id=abonent, login=f"user{key}", ip=OLD + key, pull=5, deleted=0, psw_hash="x"
        )


class Called:
    """A `call` of a model with a chain, and what it is told."""

    def __init__(self, gateway: Gateway, model: str, *chain: str) -> None:
        self.gateway = gateway
        self.said = {"model": model, "chain": chain_text(chain)}

    @property
    def kind(self) -> JobSpec:
        return call_kind(self.said)

    def job(self, rows: Input) -> BillingJob:
        return build(self.kind, self.gateway, parameters_of(self.kind, self.said), rows)


def address(database: Database, key: int = 90001) -> IPv4Address:
    ((number,),) = database.query("select ip from users where id = :key", {"key": key})
    return IPv4Address(number)


@pytest.mark.usefixtures("addresses")
async def test_the_vendors_move_to_another_pool_verifies_and_is_taken_back(
    gateway: Gateway, database: Database
) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": "", "pull": "6"}', "save")
    job = call.job(rows_of("id\n90001\n"))
    old = address(database)
    done = await sent(job, await planned(job))
    assert address(database) != old
    assert await readings(job, done) == [ReadBack(None)]
    assert await sightings(job, done) == [Found(done[0].answer)]
    assert [one.skip_reason is None for one in (await prepared(job)).items] == [False], "a second time nothing is new"
    back = await undone(effect_of(gateway, call.kind, **call.said), done)
    backs = await sent(back.effect, back.items)
    assert await readings(back.effect, backs) == [ReadBack(None)]
    assert address(database) == old


@pytest.mark.usefixtures("addresses")
async def test_an_address_alone_that_is_emptied_is_issued_anew(gateway: Gateway, database: Database) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": ""}', "save")
    job = call.job(rows_of("id\n90001\n"))
    items = await planned(job)
    assert [one.state for one in items] == ["sending"]
    assert await sightings(job, items) == [Absent()], "a call that never arrived is not done"
    done = await sent(job, items)
    assert address(database) != IPv4Address(OLD + 90001)
    assert await sightings(job, done) == [Found(done[0].answer)]


def balances_of(gateway: Gateway, text: str, *, mapping: dict[str, str] | None = None, **given: str) -> Job:
    return job_of(gateway, BALANCES, rows_of(text, **(mapping or {})), **given)


def an_item(account: int = 9001) -> NewItem:
    arguments = {"abonent_id": 9001, "op_summa": "50.50", "op_type_id": 8, "descr": "Миграция балансов"}
    return NewItem(
        "9001/8", "00123", f"account:{account}", encode_payload(payload_for("FinanceOperations", arguments, 9001))
    )


async def one_of(job: Job) -> Item:
    (item,) = await planned(job)
    return item


# ---- rows to items -------------------------------------------------------------------------------------------


async def test_what_the_balance_was_is_kept_as_it_was_overwritten(
    both: Gateway, database: Database, execute: Execute
) -> None:
    text = "abonent_id;amount;op_type\n9001;1;8\n9002;2;8\n9003;3;1\n"
    execute("update admin_accounts set ostatok = ? where id = 9002", 5 * SCALE)
    items = await planned(balances_of(both, text))
    assert [payload_of(one).was for one in items] == [{BALANCE: "0.00"}, {BALANCE: "5.00"}, {}]
    alone = replace(both, database=None)
    without = await prepared(balances_of(alone, text))
    assert [decode_payload(one.payload).was for one in without.items] == [{}, {}, {}]
    effect = effect_of(both, BALANCES)
    assert (effect.keeps, effect_of(alone, BALANCES).keeps) == (BeforeImageMode.TOGETHER, BeforeImageMode.NOTHING)
    assert await effect.read_before_images(items) == {}
    execute("update admin_accounts set ostatok = ? where id in (9002, 9003)", 7 * SCALE)
    items = await with_fresh_before_images(effect, items)
    assert [payload_of(one).was for one in items] == [{BALANCE: "0.00"}, {BALANCE: "7.00"}, {}]
    evidence = await effect.send(RUN, items[1])
    assert isinstance(evidence, Accepted)
    note = "changed between plan and call: it was balance 5.00, and then balance 7.00; an undo brings the latter back"
    assert evidence.note == note
    # Found by a look-up, the same is known of it.
    assert await sightings(effect, items[1:2]) == [Found(evidence.answer, note, marked=True)]
    back = await undone(effect, [msgspec.structs.replace(items[1], answer=evidence.answer)], way="opposite")
    await sent(back.effect, back.items, UNDO_RUN)
    assert list(database.query("select balance from admin_accounts where id = 9002")) == [(7 * SCALE,)]


async def test_an_unknown_number_comes_with_the_nearest(both: Gateway) -> None:
    text = f"contract_number;amount\nА15;1\n000123;1\n{'9' * 60};1\n"
    reasons = await refused(balances_of(both, text))
    assert "there is no contract number 'А15'; there is 'A15' (the same in Latin letters)" in reasons[0]
    assert "'00123' (the same" in reasons[1]
    assert reasons[2].endswith("', nor one like it")
    (reason, *_) = await refused(balances_of(replace(both, database=None), text))
    assert reason.endswith("there is no contract number 'А15' (similar ones are searched for in the database only)")
    finder = SubscriberFinder(both, suggested_for=2)
    first = await finder.by_contract_numbers(["А15"])
    second = await finder.by_contract_numbers(["0000123", "B15"])
    assert "'A15'" in str(first["А15"])
    assert "'00123'" in str(second["0000123"])
    assert "no longer searched for" in str(second["B15"])


async def test_missing_columns_refuse_the_file(gateway: Gateway) -> None:
    for header, reason in [
        ("фамилия;amount", "has no column abonent_id or contract_number; it has: фамилия, amount"),
        ("abonent_id;итого", "has no column amount; it has: abonent_id, итого"),
        ("abonent_id;amount;op_summa", "several columns that can be amount: 'amount', 'op_summa'"),
    ]:
        job = balances_of(gateway, f"{header}\n1;2\n")
        with pytest.raises(InputRefused, match=reason):
            _ = job.source


async def test_it_needs_rows(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="nothing to read rows from"):
        _ = job_of(gateway, BALANCES, Input()).source
    with pytest.raises(InputRefused, match="there is no file"):
        _ = job_of(gateway, BALANCES, Input(file=str(tmp_path / "none.csv"), encoding="cp1251")).source


# ---- sending and looking -------------------------------------------------------------------------------------

FILE = "abonent_id;amount\n9001;50,50\n"


async def sighting(job: Job, item: Item) -> object:
    return (await job.effect.look_up(RUN, [item]))[item.item_id]


async def reading(job: Job, item: Item) -> object:
    return (await job.effect.read_back(RUN, [item]))[item.item_id]


async def test_the_billings_refusal_is_of_the_row(gateway: Gateway, execute: Execute) -> None:
    job = balances_of(gateway, FILE)
    item = await one_of(job)
    await job.effect.probe()
    execute("update abonents set deleted = 1 where id = 9001")
    assert await job.effect.send(RUN, item) == RowRefused("Объект уже удалён", recognised=True)


# ---- when the billing is not well ----------------------------------------------------------------------------


async def test_absence_proves_nothing_while_entries_of_the_row_wait(
    both: Gateway, client: BillingClient, execute: Execute
) -> None:
    job = balances_of(both, FILE)
    item = sending_item(an_item(17))
    assert await job.effect.unfinished_work([item]) is None
    execute.put("account_stack", id=1, account_id=18)
    assert await job.effect.unfinished_work([item]) is None, "another's entry"
    execute.put("account_stack", id=2, account_id=17)
    assert await job.effect.unfinished_work([item]) == "ACCOUNT_STACK holds 1 entry"
    execute.put("events_stack_compact", id=1, abonent_id=9001)
    execute.put("events_stack_compact", id=2, abonent_id=9001)
    assert (
        await job.effect.unfinished_work([item])
        == "ACCOUNT_STACK holds 1 entry, EVENTS_STACK_COMPACT holds 2 entries"
    )
    assert await balances_of(Gateway(client), FILE).effect.unfinished_work([item]) is None, "nobody can tell"


async def test_a_billing_that_is_away() -> None:
    async with BillingClient(ClientSettings("http://127.0.0.1:9"), patience=Patience(attempts=1)) as client:
        job = balances_of(Gateway(client), FILE)
        new = an_item()
        assert isinstance(await job.effect.send(RUN, sending_item(new)), NotSent)
        for asking in (
            job.effect.probe(),
            prepared(job),
            sighting(job, sending_item(new)),
            reading(job, sending_item(new)),
        ):
            with pytest.raises(LookUpFailed, match=r"127\.0\.0\.1:9"):
                await asking


async def test_a_database_that_is_away(client: BillingClient, tmp_path: Path) -> None:
    job = balances_of(Gateway(client, Database(Dsn(str(tmp_path / "none.fdb")))), FILE)
    new = an_item()
    for asking in (job.effect.unfinished_work([sending_item(new)]), prepared(job), sighting(job, sending_item(new))):
        with pytest.raises(LookUpFailed, match=r"none\.fdb"):
            await asking


async def test_a_comment_without_room_for_its_mark(
    both: Gateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real column's width is not known: here it is made narrow.
    monkeypatch.setattr(database, "longest", lambda *_: 40)
    with pytest.raises(InputRefused, match="shorten this one to 8 characters"):
        await prepared(balances_of(both, FILE, descr="x" * 20))


async def test_a_row_whose_comment_has_no_room_for_its_mark(
    both: Gateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "longest", lambda *_: 40)
    text = "abonent_id;amount;descr\n9001;1;короткий\n9002;2;слишком длинный\n"
    done = await prepared(balances_of(both, text, descr="x"))
    assert [one.key for one in done.items] == ["9001/8"]
    (refusal,) = done.refusals
    assert (refusal.line, refusal.column) == (3, "descr")
    assert "shorten this one to 8 characters" in refusal.reason


# ---- what was entered by hand ------------------------------------------------------------------------------------
