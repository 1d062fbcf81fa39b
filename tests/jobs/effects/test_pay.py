"""Payments without a mark, and the ways back from operations: storno, the opposite entry, a list."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.money import SCALE
from billing.profile import Fact, Profile, StornoEffect
from checkpoints.records import Item
from checkpoints.states import State
from engine.evidence import Lost, RowRefused
from engine.job import Absent, CannotLook, Different, Found, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.built_in import BALANCES, PAYMENT
from jobs.effects.effect import Irreversible
from jobs.spec.entries import UNDO_OF_OPERATIONS
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import check_parameters
from lab.mock.quirks import Quirks
from lab.mock.server import MockBilling, running
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.making import (
    UNDO_RUN,
    Undo,
    effect_of,
    job_of,
    planned,
    prepared,
    readings,
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
