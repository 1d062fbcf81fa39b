"""Opening balances: what becomes of rows, what is found again, and what a billing that is not well says of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import pytest

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.money import SCALE
from checkpoints.records import Item, NewItem
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, NotSent, RowRefused
from engine.job import Absent, BeforeImageMode, Different, Entries, Found, Job, Marked, ReadBack
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


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as a file has them: key, label, lane and call of each that is taken, and why others are not."""

    text: str
    taken: Sequence[str] = ()
    refused: Sequence[str] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)


PEOPLE = "Номер;Код;Сумма, руб;Итог\nA15;9001;7;8\n"
ROWS: Final[Mapping[str, Rows]] = {
    "by id": Rows(
        "abonent_id;amount;note\n9001;50,5;x\n9002; 1 200 ;y\n9003;-0;z\n",
        [
            "9001/8 00123 account:9001 50.50 8 Миграция балансов",
            "9002/8 123 account:9002 1200.00 8 Миграция балансов",
            "9003/8 A15 account:9003 0.00 8 Миграция балансов",
        ],
    ),
    "contract numbers are texts": Rows(
        " Contract_Number ,AMOUNT\n00123,1\n123,2\nA15,3\n77/2,4\nВТОРОЙ,5\n",
        [
            "9001/8 00123 account:9001 1.00 8 x",
            "9002/8 123 account:9002 2.00 8 x",
            "9003/8 A15 account:9003 3.00 8 x",
            "9010/8 77/2 account:9010 4.00 8 x",
            "9008/8 ВТОРОЙ account:9001 5.00 8 x",
        ],
        given={"descr": "x"},
    ),
    "numbers that name nobody usable": Rows(
        "contract_number;op_summa\n;1\nДУБЛЬ;1\nГОСТЬ-1;1\nБЕЗСЧЁТА;1\n",
        refused=[
            "2 contract_number: the cell is empty",
            (
                "3 contract_number: several subscribers have the contract number 'ДУБЛЬ': abonent 9004 (Иванов), "
                "abonent 9005 (Иванов); tell them apart by abonent_id"
            ),
            "4 contract_number: abonent 9006 is deleted",
            "5 contract_number: abonent 9007 has no account",
        ],
    ),
    "ids that name nobody usable": Rows(
        "abonent_id;amount\n;1\n9100;1\n9006;1\n9007;1\n8999;1\n99999999999;1\n00123;1\n12a;1\n0;1\n",
        refused=[
            "2 abonent_id: the cell is empty",
            "3 abonent_id: abonent 9100 is a folder (Странные), no subscriber",
            "4 abonent_id: abonent 9006 is deleted",
            "5 abonent_id: abonent 9007 has no account",
            "6 abonent_id: there is no abonent 8999",
            "7 abonent_id: there is no abonent 99999999999",
            "8 abonent_id: '00123' is not an id, for it starts with a zero; is it a contract number?",
            "9 abonent_id: '12a' is not an id: a whole number is expected",
            "10 abonent_id: '0' is not an id, for it starts with a zero; is it a contract number?",
        ],
    ),
    "bad amounts have line, column and character": Rows(
        "abonent_id;Amount\n9001;\n9002;12O\n9003;5.5555\n9010;  5.5555\n",
        refused=[
            "2 Amount: the cell is empty",
            "3 Amount: '12O' (column 2): character 3 is the Latin letter 'O', which looks like a zero",
            *(
                f"{line} Amount: '5.5555' (column 2): 5.5555 has 4 decimals; the billing's kopecks take 2"
                for line in (4, 5)
            ),
        ],
    ),
    "of two keys the id is used and the number checked": Rows(
        "contract_number;abonent_id;amount\n00123;9001;1\n;9002;1\n123;9003;1\n",
        ["9001/8 00123 account:9001 1.00 8 x", "9002/8 123 account:9002 1.00 8 x"],
        ["4 contract_number: abonent 9003 has the contract number 'A15', this column says '123'"],
        {"descr": "x"},
    ),
    "by number, mapped": Rows(
        PEOPLE,
        ["9003/8 A15 account:9003 7.00 8 x"],
        given={"descr": "x"},
        mapping={"contract_number": "номер", "amount": "СУММА, РУБ"},
    ),
    "by id, mapped": Rows(
        PEOPLE,
        ["9001/8 00123 account:9001 8.00 8 x"],
        given={"descr": "x"},
        mapping={"abonent_id": "Код", "amount": "Итог"},
    ),
    "rows may say type and comment": Rows(
        "abonent_id;op_summa;op_type_id;descr\n9001;5;1;Касса\n9002;6;;\n",
        ["9001/1 00123 account:9001 5.00 1 Касса", "9002/2 123 account:9002 6.00 2 Акт"],
        given={"op_type": "2", "descr": "Акт"},
    ),
    "a comment may be given as empty": Rows(
        "abonent_id;amount\n9001;5\n", ["9001/8 00123 account:9001 5.00 8 "], given={"descr": ""}
    ),
    "a comment may be empty": Rows(
        "abonent_id;amount;descr\n9001;5;\n", ["9001/8 00123 account:9001 5.00 8 "], given={"descr": ""}
    ),
    "columns as people call them": Rows(
        "№ договора;Абонент;Входящий остаток, руб.\n00123;Иванов И. И.;50,50\n",
        ["9001/8 00123 account:9001 50.50 8 Миграция балансов"],
    ),
}


async def test_rows_become_items_or_are_refused_with_their_place(gateway: Gateway) -> None:
    for case in ROWS.values():
        done = await prepared(job_of(gateway, case.text, mapping=dict(case.mapping), **case.given))
        taken = []
        for one in done.items:
            payload = decode_payload(one.payload)
            ((method, arguments),) = payload.steps
            assert (method, arguments["abonent_id"], arguments["op_summa"]) == (
                "objects.create",
                payload.abonent,
                str(one.amount),
            )
            taken.append(
                f"{one.key} {one.label} {one.lane} {one.amount} {arguments['op_type_id']} {arguments['descr']}"
            )
        assert taken == list(case.taken)
        assert [f"{one.line} {one.column}: {one.reason}" for one in done.refusals] == list(case.refused)
        lines = [tuple(re.split("[;,]" if ";" not in case.text else ";", line)) for line in case.text.splitlines()]
        kept = [*((one.line, one.row) for one in done.items), *((one.line, one.row) for one in done.refusals)]
        assert [row for _, row in kept] == [lines[(line or 0) - 1] for line, _ in kept]


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


async def test_only_the_mark_of_run_and_item_counts(gateway: Gateway, execute: Execute) -> None:
    job = job_of(gateway, FILE)
    item = await one_of(job)
    for number, abonent, kind, descr in [
        (90001, 9001, 8, "Ввод [cm k7m2q/2]"),  # another item
        (90002, 9001, 8, "Ввод [cm aaaaa/1]"),  # another run
        (90003, 9002, 8, "Ввод [cm k7m2q/1]"),  # another subscriber
        (90004, 9001, 1, "Ввод [cm k7m2q/1]"),  # another type
        (90005, 9001, 8, "Ввод"),
    ]:
        execute(
            "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr) "
            "values (?, ?, ?, ?, current_timestamp, ?)",
            *(number, abonent, kind, 505 * SCALE // 10, descr),
        )
    assert await sighting(job, item) == Absent()


async def test_what_is_found_and_differs(gateway: Gateway, execute: Execute) -> None:
    job = job_of(gateway, FILE)
    item = await one_of(job)
    accepted = await job.effect.send(RUN, item)
    assert isinstance(accepted, Accepted)
    first = accepted.answer

    execute("update finance_operations set op_summa = ? where op_id = ?", 7 * SCALE, first)
    text = f"sent 50.50; the billing has operation {first} of 7.00"
    assert await sighting(job, item) == Different(text, marked=True)
    assert await reading(job, item) == ReadBack(Decimal(7), text)

    execute("update finance_operations set op_summa = ?, storno = 1 where op_id = ?", 505 * SCALE // 10, first)
    text = f"sent 50.50; the billing has operation {first} of 50.50 (reversed by storno)"
    assert await sighting(job, item) == Different(text, marked=True)
    assert await reading(job, item) == ReadBack(None, text)

    # Somebody has sent the very same once more.
    again = await job.effect.send(RUN, item)
    assert isinstance(again, Accepted)
    text += f", operation {again.answer} of 50.50"
    assert await sighting(job, item) == Different(text, marked=True)
    execute("update finance_operations set storno = 0 where op_id = ?", first)
    text = (
        f"sent 50.50 once; under its one mark the billing has 2: operation {first} of 50.50, operation "
        f"{again.answer} of 50.50. Take back there, by their ids, all but one; then verify again"
    )
    assert await sighting(job, item) == Different(text, marked=True)
    assert await reading(job, item) == ReadBack(Decimal(101), text)


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


async def test_what_looks_the_same_is_named(gateway: Gateway, execute: Execute) -> None:
    entered = "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr, storno) values "
    for op_id, abonent, kind, kopecks, descr, storno in [
        (90001, 9001, 8, 5050, "по письму", 0),
        (90002, 9001, 8, 5050, None, 0),
        (90003, 9001, 8, 5050, "сторно", 1),
        (90004, 9001, 8, 5051, "другая сумма", 0),
        (90005, 9001, 1, 5050, "другой вид", 0),
        (90006, 9002, 8, 100, "Ввод [cm aaaaa/1]", 0),
        (90007, 9003, 8, 5050, "чужая", 0),
    ]:
        execute(
            entered + "(?, ?, ?, ?, '2026-02-03 10:00:00', ?, ?)",
            *(op_id, abonent, kind, kopecks * SCALE // 100, descr, storno),
        )
    job = job_of(gateway, "abonent_id;amount\n9001;50,50\n9002;1\n9010;50,50\n")
    items = (await prepared(job)).items
    assert await job.find_entries(items) == {
        "9001/8": Entries(unmarked="operation 90001 of 50.50, 2026-02-03, operation 90002 of 50.50, 2026-02-03"),
        "9002/8": Entries((Marked("aaaaa", 1, "90006", "operation 90006 of 1.00, 2026-02-03", Decimal("1.00")),)),
    }


async def test_a_long_list_of_the_same_is_cut(gateway: Gateway, execute: Execute) -> None:
    for op_id in range(90001, 90006):
        execute.put(
            "finance_operations",
            op_id=op_id,
            abonent_id=9001,
            op_type=8,
            op_summa=505 * SCALE // 10,
            op_date="2026-02-03",
        )
    job = job_of(gateway, FILE)
    (found,) = (await job.find_entries((await prepared(job)).items)).values()
    assert found.unmarked.startswith("operation 90001 ")
    assert found.unmarked.endswith("operation 90003 of 50.50, 2026-02-03 and 2 more")
