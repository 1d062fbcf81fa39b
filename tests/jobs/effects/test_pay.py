"""Payments, which carry no mark: what a look-up can tell of them, and what it leaves to a person."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from billing.database.database import Database
from billing.money import SCALE
from billing.profile import Fact, Profile
from checkpoints.records import Item
from checkpoints.states import State
from engine.job import Absent, CannotLook, Entries, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.money import PAYMENT
from tests.jobs.conftest import Execute
from tests.jobs.making import (
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
from tests.jobs.whole_database import changes, new_rows, whole

TWO = "contract_number;amount\n00123;50,50\n123;7\n"
OPERATIONS = "FINANCE_OPERATIONS"


@pytest.fixture
def earlier(execute: Execute) -> None:
    """Subscriber 9001 has paid the same before, and 9002 something else."""
    execute("set generator gen_finance_operations_id to 90000")
    for key, abonent, kopecks in [(80001, 9001, 5050), (80002, 9002, 100)]:
        operation(execute, key, abonent, kopecks)


def operation(execute: Execute, key: int, abonent: int, kopecks: int, kind: int = 2, storno: int = 0) -> None:
    execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, storno) "
        "values (?, ?, ?, ?, '2026-02-03', ?)",
        *(key, abonent, kind, kopecks * SCALE // 100, storno),
    )


def lost(items: Sequence[Item]) -> list[Item]:
    return [msgspec.structs.replace(one, state=State.UNKNOWN) for one in items]


async def paying(gateway: Gateway, folder: Path, text: str = TWO) -> list[Item]:
    items = await planned(job_of(gateway, PAYMENT, rows_of(folder, text), way="add_payment"))
    return [msgspec.structs.replace(one, state=State.PENDING) for one in items]


@pytest.mark.usefixtures("earlier")
async def test_payments_are_planned_with_the_last_operation(gateway: Gateway, tmp_path: Path) -> None:
    items = await paying(gateway, tmp_path, TWO + "A15;1\n")
    assert [(one.key, one.label, one.lane, one.amount) for one in items] == [
        ("9001", "00123", "account:9001", Decimal("50.50")),
        ("9002", "123", "account:9002", Decimal(7)),
        ("9003", "A15", "account:9003", Decimal(1)),
    ]
    assert [payload_of(one).was for one in items] == [{"op_id": "80001"}, {"op_id": "80002"}, {"op_id": "0"}]
    job = effect_of(gateway, PAYMENT, way="add_payment")
    assert job.describe("k7m2q", items[0]) == 'Abonents: objects.get(id=9001) → add_payment(SUM_IN="50.50")'
    assert not job.repeatable


@pytest.mark.usefixtures("earlier")
async def test_a_payment_that_was_made_before_is_named(gateway: Gateway, tmp_path: Path) -> None:
    job = job_of(gateway, PAYMENT, rows_of(tmp_path, TWO), way="add_payment")
    found = await job.find_entries((await prepared(job)).items)
    assert found == {"9001": Entries(unmarked="operation 80001 of 50.50, 2026-02-03")}


TWICE = "abonent_id;amount;document\n9001;5;17\n9001;5;18\n9001;6;17/a\n9002;7;\n"


async def test_payments_of_one_subscriber_are_told_apart_by_their_documents(gateway: Gateway, tmp_path: Path) -> None:
    job = effect_of(gateway, PAYMENT, way="add_payment")
    items = await paying(gateway, tmp_path, TWICE)
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


async def test_the_column_of_the_documents_is_named_by_the_operator(gateway: Gateway, tmp_path: Path) -> None:
    text = "abonent_id;amount;№ документа\n9001;5;17\n"
    plain = job_of(gateway, PAYMENT, rows_of(tmp_path, text), way="add_payment")
    assert [one.key for one in (await prepared(plain)).items] == ["9001"]
    named = job_of(gateway, PAYMENT, rows_of(tmp_path, text, document="№ документа"), way="add_payment")
    assert [one.key for one in (await prepared(named)).items] == ["9001/17"]
    assert any("map document=COLUMN" in caution for caution in plain.cautions)


async def test_a_lost_payment_is_always_left_to_a_person(gateway: Gateway, tmp_path: Path, execute: Execute) -> None:
    job = effect_of(gateway, PAYMENT, way="add_payment")
    items = await paying(gateway, tmp_path, "abonent_id;amount\n9001;5\n")
    assert await sightings(job, lost(items)) == [
        CannotLook(
            "a payment bears no mark, and since the plan there is no operation of 5.00: look in the billing whether "
            "it has the payment in another form"
        )
    ]
    operation(execute, 80005, 9001, 500)
    operation(execute, 80006, 9001, 600)
    operation(execute, 80007, 9002, 500)
    maybe = CannotLook(
        "a payment bears no mark, and since the plan there is operation 80005 of 5.00, 2026-02-03 (type 2): it may "
        "be this row's, or somebody else's. Look in the billing which it is"
    )
    assert await sightings(job, items) == await sightings(job, lost(items)) == [maybe]
    operation(execute, 80008, 9001, 500)
    (reading,) = await readings(job, items)
    assert reading == ReadBack(
        Decimal(5),
        "sent 5.00; since the plan the billing has operation 80005 of 5.00, 2026-02-03 (type 2), "
        "operation 80008 of 5.00, 2026-02-03 (type 2)",
    )


@pytest.mark.parametrize(("kind", "storno"), [(5, 0), (1, 0), (2, 1)])
async def test_nothing_newer_of_that_sum_is_the_only_absence(
    gateway: Gateway, tmp_path: Path, execute: Execute, kind: int, storno: int
) -> None:
    """Of which type a payment is, and whether somebody has reversed it by now, nobody knows for certain."""
    items = await paying(gateway, tmp_path, "abonent_id;amount\n9001;5\n")
    job = effect_of(gateway, PAYMENT, way="add_payment")
    assert await sightings(job, items) == [Absent()]
    operation(execute, 80005, 9001, 500, kind, storno)
    (sighting,) = await sightings(job, items)
    assert isinstance(sighting, CannotLook)


async def test_an_act_says_nothing_of_a_payment_once_a_probe_has_seen_it(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    items = await paying(gateway, tmp_path, "abonent_id;amount\n9001;5\n")
    known = replace(gateway, profile=Profile(receipt_type=Fact(2), act_type=Fact(1)))
    operation(execute, 80004, 9001, 500, kind=1)
    assert await sightings(effect_of(known, PAYMENT, way="add_payment"), items) == [Absent()]


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ("5.5555", "'5.5555' (column 2): 5.5555 has 4 decimals"),
        ("0", "0 is not a payment: an amount above zero is expected"),
        ("-5", "-5 is not a payment: an amount above zero is expected"),
    ],
)
async def test_bad_amounts(gateway: Gateway, tmp_path: Path, amount: str, reason: str) -> None:
    rows = rows_of(tmp_path, f"abonent_id;sum_in\n9001;{amount}\n")
    (told,) = await refused(job_of(gateway, PAYMENT, rows, way="add_payment"))
    assert told.startswith(f"2 sum_in: {reason}")


# ---- the way back ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("way", ["storno", "opposite"])
async def test_payments_are_taken_back(gateway: Gateway, tmp_path: Path, database: Database, way: str) -> None:
    job = effect_of(gateway, PAYMENT, way="add_payment")
    before = whole(database)
    done = await sent(job, await paying(gateway, tmp_path))
    assert [one.answer for one in done] == [None, None]
    undo = await undone(job, done, way=way)
    assert [one.amount for one in undo.done.items] == [Decimal("-50.50"), Decimal(-7)]
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert await readings(undo.effect, backs, UNDO_RUN) == [ReadBack(Decimal("-50.50")), ReadBack(Decimal(-7))]
    found = changes(before, whole(database))
    assert found.keys() == {OPERATIONS}
    if way == "storno":
        assert [row["STORNO"] for row in new_rows(found, OPERATIONS)] == [1, 1]


async def test_a_payment_that_cannot_be_told_from_another_is_left_alone(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    job = effect_of(gateway, PAYMENT, way="add_payment")
    done = await sent(job, await paying(gateway, tmp_path))
    execute("update finance_operations set op_id = 80001, op_date = '2026-02-03' where abonent_id = 9001")
    operation(execute, 80002, 9001, 5050)
    execute("delete from finance_operations where abonent_id = 9002")
    undo = await undone(job, done, way="storno")
    both = ", ".join(f"operation {key} of 50.50, 2026-02-03 (type 2)" for key in (80001, 80002))
    assert undo.left_alone == [
        f"which operation is its own cannot be told: {both}. Take the right one back by hand",
        "changed since: an operation of 7.00 is no longer there",
    ]
    # One whose id a look-up has found is known.
    known = [msgspec.structs.replace(one, answer="80001") for one in done[:1]]
    assert [one.skip_reason for one in (await undone(job, known, way="storno")).done.items] == [None]
