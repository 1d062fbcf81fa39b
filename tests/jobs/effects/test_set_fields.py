"""The effect `get → set → save`, shown by the warning threshold: what it plans, sends, finds and says."""

from pathlib import Path

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.database.dsn import Dsn
from engine.errors import InputRefused, LookUpFailed
from engine.job import Absent, CannotLook, Job, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload
from jobs.catalogue.subscribers import WARNING_THRESHOLD
from jobs.catalogue.typed_call import call_kind
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import RUN, effect_of, job_of, prepared, rows_of, undone
from tests.jobs.making import planned as planned_items

BY_SUBSCRIBER: dict[str, object] = {"account_id_abonents": 9002}
GET = ("objects.get", BY_SUBSCRIBER)
NOTHING: dict[str, object] = {}
SAVE = ("save", NOTHING)


def threshold(gateway: Gateway, amount: str, rows: Input | None = None) -> Job:
    if rows is None:
        return job_of(gateway, WARNING_THRESHOLD, Input(), folder=str(FOLDER), amount=amount)
    return job_of(gateway, WARNING_THRESHOLD, rows, amount=amount)


# ---- rows to items ---------------------------------------------------------------------------------------------


async def test_all_live_subscribers_of_a_folder(both: Gateway) -> None:
    job = threshold(both, "-120,00")
    assert job.source.name.startswith("select a.id as abonent_id, a.contract_number from abonents a where")
    done = await prepared(job)
    assert [(item.key, item.label, item.lane, item.skip_reason) for item in done.items] == [
        ("9001", "00123", "account:9001", "already as wanted: limit_warning -120"),
        ("9002", "123", "account:9002", None),
        ("9003", "A15", "account:9003", None),
        ("9004", "ДУБЛЬ", "account:9004", None),
        ("9005", "ДУБЛЬ", "account:9005", None),
        ("9008", "ВТОРОЙ", "account:9001", "already as wanted: limit_warning -120"),
        ("9010", "77/2", "account:9010", None),
    ]
    second = done.items[1]
    assert second.row == ("9002", "123")
    assert second.amount is None
    assert second.payload == encode_payload(
        Payload(
            "AdminAccounts",
            (GET, ("set", {"limit_warning": "-120"}), SAVE),
            abonent=9002,
            key={"account_id_abonents": "9002"},
            wanted={"limit_warning": "-120"},
            was={"limit_warning": None},
            named={"contract_number": "123", "abonent_id": "9002"},
        )
    )
    assert [(one.label, one.reason) for one in done.refusals] == [("9007", "abonent 9007 has no account")]


async def test_a_folder_without_subscribers_has_no_rows(both: Gateway) -> None:
    for folder in ("9001", "99999"):
        done = await prepared(job_of(both, WARNING_THRESHOLD, Input(), folder=folder, amount="1"))
        assert (done.items, done.refusals) == ((), ())


async def test_what_chooses_the_rows_is_said_once(both: Gateway, client: BillingClient, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="there is nothing to read rows from: give --set folder=…"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), amount="1").source
    rows = rows_of(tmp_path, "abonent_id\n9002\n")
    with pytest.raises(InputRefused, match=r"nothing would look at it\. Leave out --set folder=…, or the other rows"):
        _ = job_of(both, WARNING_THRESHOLD, rows, folder="89", amount="1").source
    with pytest.raises(InputRefused, match=r"^--set folder=…"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), folder="89", amount="1", abonent_id="9002").source
    with pytest.raises(InputRefused, match="no database is set"):
        _ = threshold(Gateway(client), "1").source
    with pytest.raises(InputRefused, match="has no column amount"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), folder="89").source


# ---- sending and looking ---------------------------------------------------------------------------------------


async def test_another_value_is_absent_and_told(gateway: Gateway, execute: Execute, tmp_path: Path) -> None:
    job = threshold(gateway, "7", rows_of(tmp_path, "abonent_id\n9001\n"))
    (item,) = await planned_items(job)
    assert await job.effect.look_up(RUN, [item]) == {item.item_id: Absent()}
    assert await job.effect.read_back(RUN, [item]) == {
        item.item_id: ReadBack(None, "wanted limit_warning 7; there is limit_warning -120")
    }
    execute("update abonents set account_id = null where id = 9001")
    gone = "abonent 9001 has no account"
    assert await job.effect.look_up(RUN, [item]) == {item.item_id: CannotLook(gone)}
    assert await job.effect.read_back(RUN, [item]) == {item.item_id: ReadBack(None, gone)}


async def test_a_subscriber_who_is_deleted_has_an_account_and_is_said_to_be_deleted(
    both: Gateway, execute: Execute, tmp_path: Path
) -> None:
    chain = ('objects.get {"account_id_abonents": {id}}', 'set {"limit_warning": "5"}', "save")
    kind = call_kind({"model": "AdminAccounts", "chain": chain_text(chain)})
    rows = rows_of(tmp_path, "id\n9006\n9007\n99999\n9100\n007\n9002\n")
    job = job_of(both, kind, rows, model="AdminAccounts", chain=chain_text(chain))
    done = await prepared(job)
    assert [(one.line, one.reason) for one in done.refusals] == [
        (2, "abonent 9006 is deleted"),
        (3, "abonent 9007 has no account"),
        (4, "there is no abonent 99999"),
        (5, "abonent 9100 is a folder (Странные), no subscriber"),
        (6, "'007' is not an id, for it starts with a zero; is it a contract number?"),
    ]
    (item,) = [sending_item(new) for new in done.items]
    execute("update abonents set deleted = 1 where id = 9002")
    assert await job.effect.look_up(RUN, [item]) == {item.item_id: CannotLook("abonent 9002 is deleted")}
    assert await job.effect.read_back(RUN, [item]) == {item.item_id: ReadBack(None, "abonent 9002 is deleted")}
    effect = effect_of(both, kind, model="AdminAccounts", chain=chain_text(chain))
    assert (await undone(effect, [item])).refused == ["abonent 9002 is deleted"]


async def test_a_database_that_is_away(client: BillingClient, tmp_path: Path) -> None:
    gateway = Gateway(client, Database(Dsn(str(tmp_path / "none.fdb"))))
    job = threshold(gateway, "1", rows_of(tmp_path, "abonent_id\n9002\n"))
    good = threshold(Gateway(client), "1", rows_of(tmp_path, "abonent_id\n9002\n"))
    (item,) = await planned_items(good)
    for asking in (
        job.effect.look_up(RUN, [item]),
        job.effect.read_back(RUN, [item]),
        job.effect.unfinished_work([item]),
        prepared(job),
    ):
        with pytest.raises(LookUpFailed, match=r"none\.fdb"):
            await asking
