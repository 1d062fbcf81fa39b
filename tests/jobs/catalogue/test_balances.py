"""Opening balances: what becomes of rows, what is found again, and what a billing that is not well says of it."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.money import SCALE
from checkpoints.records import Item, NewItem
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, NotSent, RowRefused
from engine.job import BeforeImageMode, Found, Job
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload, encode_payload, payload_of
from jobs.access.subscribers import SubscriberFinder
from jobs.catalogue.built_in import BALANCES
from jobs.effects.creatable_models import BALANCE
from jobs.effects.create import payload_for
from jobs.rows.input import Input
from tests.checkpoints.samples import sending_item
from tests.jobs import making
from tests.jobs.conftest import Execute
from tests.jobs.making import (
    RUN,
    UNDO_RUN,
    effect_of,
    planned,
    prepared,
    refused,
    sent,
    sightings,
    undone,
    with_fresh_before_images,
)


def job_of(gateway: Gateway, text: str, *, mapping: dict[str, str] | None = None, **given: str) -> Job:
    return making.job_of(gateway, BALANCES, making.rows_of(text, **(mapping or {})), **given)


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
    items = await planned(job_of(both, text))
    assert [payload_of(one).was for one in items] == [{BALANCE: "0.00"}, {BALANCE: "5.00"}, {}]
    alone = replace(both, database=None)
    without = await prepared(job_of(alone, text))
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
    reasons = await refused(job_of(both, text))
    assert "there is no contract number 'А15'; there is 'A15' (the same in Latin letters)" in reasons[0]
    assert "'00123' (the same" in reasons[1]
    assert reasons[2].endswith("', nor one like it")
    (reason, *_) = await refused(job_of(replace(both, database=None), text))
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
        job = job_of(gateway, f"{header}\n1;2\n")
        with pytest.raises(InputRefused, match=reason):
            _ = job.source


async def test_it_needs_rows(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="nothing to read rows from"):
        _ = making.job_of(gateway, BALANCES, Input()).source
    with pytest.raises(InputRefused, match="there is no file"):
        _ = making.job_of(gateway, BALANCES, Input(file=str(tmp_path / "none.csv"), encoding="cp1251")).source


# ---- sending and looking -------------------------------------------------------------------------------------

FILE = "abonent_id;amount\n9001;50,50\n"


async def sighting(job: Job, item: Item) -> object:
    return (await job.effect.look_up(RUN, [item]))[item.item_id]


async def reading(job: Job, item: Item) -> object:
    return (await job.effect.read_back(RUN, [item]))[item.item_id]


async def test_the_billings_refusal_is_of_the_row(gateway: Gateway, execute: Execute) -> None:
    job = job_of(gateway, FILE)
    item = await one_of(job)
    await job.effect.probe()
    execute("update abonents set deleted = 1 where id = 9001")
    assert await job.effect.send(RUN, item) == RowRefused("Объект уже удалён", recognised=True)


# ---- when the billing is not well ----------------------------------------------------------------------------


async def test_absence_proves_nothing_while_entries_of_the_row_wait(
    both: Gateway, client: BillingClient, execute: Execute
) -> None:
    job = job_of(both, FILE)
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
    assert await job_of(Gateway(client), FILE).effect.unfinished_work([item]) is None, "nobody can tell"


async def test_a_billing_that_is_away() -> None:
    async with BillingClient(ClientSettings("http://127.0.0.1:9"), patience=Patience(attempts=1)) as client:
        job = job_of(Gateway(client), FILE)
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
    job = job_of(Gateway(client, Database(Dsn(str(tmp_path / "none.fdb")))), FILE)
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
        await prepared(job_of(both, FILE, descr="x" * 20))


async def test_a_row_whose_comment_has_no_room_for_its_mark(
    both: Gateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "longest", lambda *_: 40)
    text = "abonent_id;amount;descr\n9001;1;короткий\n9002;2;слишком длинный\n"
    done = await prepared(job_of(both, text, descr="x"))
    assert [one.key for one in done.items] == ["9001/8"]
    (refusal,) = done.refusals
    assert (refusal.line, refusal.column) == (3, "descr")
    assert "shorten this one to 8 characters" in refusal.reason


# ---- what was entered by hand ------------------------------------------------------------------------------------
