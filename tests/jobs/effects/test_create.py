"""Services that are connected and attributes that are given: created, found again, deleted again, and made anew."""

from pathlib import Path

import msgspec

from billing.api.client import BillingClient
from billing.database.database import Database
from checkpoints.records import Item
from engine.evidence import RowRefused
from engine.job import Different, Entries, Found, Marked, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.services import ATTRIBUTE, CONNECT_SERVICE
from jobs.rows.input import Input
from lab.mock.server import MockBilling
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import (
    RUN,
    THIRD_RUN,
    UNDO_RUN,
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
)

TO_CONNECT = "abonent_id\n9001\n9002\n"
TO_GIVE = "contract_number;attribute_id;value\n00123;1012;телеграм\nA15;7;0015\n"
CONNECTED = "USERS_USLUGA"
VALUES = "ATTRIBUTE_VALUES"


async def connecting(gateway: Gateway, folder: Path, *, text: str = TO_CONNECT, **given: str) -> list[Item]:
    rows = rows_of(folder, text)
    return await planned(job_of(gateway, CONNECT_SERVICE, rows, usluga="240", manager="33", **given))


async def giving(gateway: Gateway, folder: Path, *, text: str = TO_GIVE) -> list[Item]:
    return await planned(job_of(gateway, ATTRIBUTE, rows_of(folder, text)))


# ---- services ----------------------------------------------------------------------------------------------------


async def test_a_folder_is_connected_by_the_jobs_own_select(client: BillingClient, database: Database) -> None:
    given = {"folder": str(FOLDER), "usluga": "126", "manager": "33"}
    done = await prepared(job_of(Gateway(client, database), CONNECT_SERVICE, Input(), **given))
    assert [one.label for one in done.items] == ["00123", "123", "A15", "ДУБЛЬ", "ДУБЛЬ", "ВТОРОЙ", "77/2"]
    assert [one.reason for one in done.refusals] == ["abonent 9007 has no account"]
    assert [sending_item(one).lane for one in done.items[:1]] == ["account:9001"]


async def test_a_service_that_is_no_longer_as_it_was_connected(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    job = effect_of(gateway, CONNECT_SERVICE)
    items = await connecting(gateway, tmp_path)
    first, second = [one.answer for one in await sent(job, items)]
    execute("update users_usluga set usluga_id = 126 where id = ?", first)
    # Deleted by somebody before anybody has looked: it is no reason to connect it once more.
    execute("update users_usluga set deleted = 1 where id = ?", second)
    sent_text = "sent usluga_id 240, manager_id 33; the billing has connected service"
    texts = [
        f"{sent_text} {first} with usluga_id 126, manager_id 33",
        f"{sent_text} {second} with usluga_id 240, manager_id 33 (deleted)",
    ]
    assert await sightings(job, items) == [Different(text, marked=True) for text in texts]
    assert await readings(job, items) == [ReadBack(None, text) for text in texts]


async def test_a_service_that_looks_the_same_is_named(gateway: Gateway, tmp_path: Path, execute: Execute) -> None:
    for key, abonent, usluga, comment, deleted in [
        (90001, 9001, 240, "по звонку", 0),
        (90002, 9001, 126, None, 0),
        (90003, 9002, 240, None, 1),
        (90004, 9003, 240, "[cm aaaaa/1]", 0),
    ]:
        execute(
            "insert into users_usluga (id, abonent_id, usluga_id, comment, deleted) values (?, ?, ?, ?, ?)",
            *(key, abonent, usluga, comment, deleted),
        )
    rows = rows_of(tmp_path, "abonent_id\n9001\n9002\n9003\n")
    job = job_of(gateway, CONNECT_SERVICE, rows, usluga="240", manager="33")
    assert await job.find_entries((await prepared(job)).items) == {
        "9001/240": Entries(unmarked="connected service 90001 with usluga_id 240"),
        "9003/240": Entries((Marked("aaaaa", 1, "90004", "connected service 90004 with usluga_id 240"),)),
    }


async def test_a_service_that_somebody_has_changed_is_left_alone(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    job = effect_of(gateway, CONNECT_SERVICE)
    done = await sent(job, await connecting(gateway, tmp_path))
    execute("update users_usluga set manager_id = 34 where id = ?", done[0].answer)
    execute("update users_usluga set deleted = 1 where id = ?", done[1].answer)
    undo = await undone(job, done)
    there = f"connected service {done[0].answer} with usluga_id 240, manager_id 34"
    assert undo.left_alone == [
        f"changed since: sent usluga_id 240, manager_id 33; the billing has {there}",
        f"already as it was: connected service {done[1].answer} is gone",
    ]


async def test_a_service_whose_id_nobody_knows(gateway: Gateway, tmp_path: Path) -> None:
    items = await connecting(gateway, tmp_path, text="abonent_id\n9001\n")
    assert (await undone(effect_of(gateway, CONNECT_SERVICE), items)).refused == [
        "the id of what was created is not known: delete the UsersUsluga by hand"
    ]


# ---- attributes --------------------------------------------------------------------------------------------------


async def test_a_value_that_is_there_already(gateway: Gateway, tmp_path: Path, execute: Execute) -> None:
    execute("insert into attribute_values values (90001, 9001, 1012, 'телеграм')")
    execute("insert into attribute_values values (90002, 9003, 7, '15')")
    done = await prepared(job_of(gateway, ATTRIBUTE, rows_of(tmp_path, TO_GIVE)))
    assert [(one.key, one.skip_reason) for one in done.items] == [
        ("9001/1012", "already as wanted: attribute value 90001 with attribute_value телеграм")
    ]
    (refusal,) = done.refusals
    assert refusal.reason == (
        "abonent 9003, attribute 7 has another value already: attribute value 90002 with attribute_value 15, and the "
        "row says attribute_value 0015. This job adds and never changes: change it with the job `call`, "
        "AttributeValues: objects.get by its id → set → save"
    )


async def test_a_value_that_differs_when_it_is_looked_for(gateway: Gateway, tmp_path: Path, execute: Execute) -> None:
    job = effect_of(gateway, ATTRIBUTE)
    items = await giving(gateway, tmp_path, text="abonent_id;attribute_id;value\n9001;7;да\n")
    execute("insert into attribute_values values (90001, 9001, 7, 'нет')")
    text = "sent attribute_value да; the billing has attribute value 90001 with attribute_value нет"
    assert await sightings(job, items) == [Different(text)]
    assert await readings(job, items) == [ReadBack(None, text)]
    changed = [msgspec.structs.replace(item, answer="90001") for item in items]
    assert (await undone(job, changed)).left_alone == [f"changed since: {text}"]


# ---- what was made anew ------------------------------------------------------------------------------------------


async def test_what_is_there_again_is_not_made_anew(gateway: Gateway, tmp_path: Path, execute: Execute) -> None:
    job = effect_of(gateway, ATTRIBUTE)
    undo = await undone(job, await sent(job, await giving(gateway, tmp_path)))
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


async def test_a_comment_gives_way_to_the_new_mark(
    client: BillingClient, database: Database, tmp_path: Path, execute: Execute
) -> None:
    gateway = Gateway(client, database)
    job = effect_of(gateway, CONNECT_SERVICE)
    done = await sent(job, await connecting(gateway, tmp_path, text="abonent_id\n9001\n"))
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


async def test_what_the_billing_refuses_is_of_the_row(
    gateway: Gateway, tmp_path: Path, mock_billing: MockBilling
) -> None:
    job = effect_of(gateway, CONNECT_SERVICE)
    first, second = await connecting(gateway, tmp_path, text="abonent_id\n9001\n9002\n")
    await sent(job, [first])
    twice = msgspec.structs.replace(first, number=7)
    assert await job.send(RUN, twice) == RowRefused("Обещанный платеж уже подключен")
    await sent(job, [second])
    assert mock_billing.ledger.effects("UsersUsluga") == {9001: 1, 9002: 1}
