"""The ways back from finance operations: storno, the opposite entry, the list for the accountant."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.money import SCALE
from billing.profile import StornoEffect
from checkpoints.records import Item
from engine.errors import LookUpFailed
from engine.evidence import Lost, RowRefused
from engine.job import Absent, CannotLook, Different, Found, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.money import BALANCES
from jobs.effects.effect import Irreversible
from jobs.effects.reverse import undo_of_operations
from jobs.spec.entries import UNDO_OF_OPERATIONS
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import check_parameters
from lab.mock.quirks import Quirks
from lab.mock.server import MockBilling, running
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.making import UNDO_RUN, Undo, effect_of, job_of, planned, readings, rows_of, sent, sightings, undone
from tests.jobs.whole_database import changes, whole

THREE = "abonent_id;amount\n9001;50,50\n9002;-7\n9003;0\n"
OPERATIONS = "FINANCE_OPERATIONS"


@pytest.fixture
async def adding(billing_file: Path, database: Database) -> AsyncIterator[Gateway]:
    """A billing whose entries of type 8 add to the balance."""
    async with (
        running(billing_file, quirks=Quirks(type_8="adds")) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
    ):
        yield Gateway(client, database)


async def entered(gateway: Gateway, folder: Path, *, text: str = THREE, **given: str) -> list[Item]:
    """The operations of a run of balances."""
    job = job_of(gateway, BALANCES, rows_of(folder, text), **given)
    return await sent(job, await planned(job))


async def taking_back(gateway: Gateway, items: list[Item], **how: str) -> Undo:
    return await undone(effect_of(gateway, BALANCES), items, **how)


def balance_of(database: Database, account: int) -> Decimal:
    ((scaled,),) = database.query("select balance from admin_accounts where id = :id", {"id": account})
    return Decimal(scaled) / SCALE


# ---- storno ------------------------------------------------------------------------------------------------------


async def test_a_billing_that_knows_no_such_method(gateway: Gateway, tmp_path: Path) -> None:
    items = await entered(gateway, tmp_path, text="abonent_id;amount\n9001;1\n")
    undo = await taking_back(gateway, items, way="storno", storno_call="reverse")
    assert await undo.effect.send(UNDO_RUN, undo.items[0]) == RowRefused("Метод reverse нельзя вызвать")


async def test_a_storno_that_had_its_effect_already_is_looked_up(gateway: Gateway, tmp_path: Path) -> None:
    items = await entered(gateway, tmp_path, text="abonent_id;amount\n9001;1\n")
    undo = await taking_back(gateway, items, way="storno")
    (back,) = undo.items
    await sent(undo.effect, [back], UNDO_RUN)
    assert await undo.effect.send(UNDO_RUN, back) == Lost(
        "refused, and whether it is reversed has to be looked up: Операция уже сторнирована"
    )
    assert await sightings(undo.effect, [back], UNDO_RUN) == [Found(items[0].answer)]
    assert not undo.effect.repeatable


async def test_a_balance_that_a_storno_does_not_bring_back(both: Gateway, tmp_path: Path, execute: Execute) -> None:
    execute("update admin_accounts set ostatok = ? where id = 9002", 7 * SCALE)
    items = await entered(both, tmp_path, text="abonent_id;amount\n9002;50\n")
    undo = await taking_back(both, items, way="storno")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    (reading,) = await readings(undo.effect, backs, UNDO_RUN)
    assert reading.difference is not None
    assert f"operation {items[0].answer} is reversed, but the balance is 0.00, and was 7.00" in reading.difference


@pytest.mark.parametrize(("op_type", "type_8"), [("1", {}), ("8", {"storno_type_8": StornoEffect.RESTORES})])
async def test_a_storno_rests_on_its_name_and_of_opening_balances_on_what_it_restores(
    both: Gateway, tmp_path: Path, op_type: str, type_8: dict[str, object]
) -> None:
    items = await entered(both, tmp_path, op_type=op_type)
    undo = await taking_back(both, items, way="storno")
    backs = [payload_of(item) for item in undo.items]
    assert undo.effect.rests_on(backs) == {"storno_call": "storno", "storno_works": True, **type_8}


async def test_a_storno_where_type_8_adds(
    adding: Gateway, tmp_path: Path, execute: Execute, database: Database
) -> None:
    execute("update admin_accounts set ostatok = ? where id = 9002", 7 * SCALE)
    items = await entered(adding, tmp_path, text="abonent_id;amount\n9002;50\n")
    assert balance_of(database, 9002) == 57
    undo = await taking_back(adding, items, way="storno")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert balance_of(database, 9002) == 7
    assert await readings(undo.effect, backs, UNDO_RUN) == [ReadBack(Decimal(-50))]


async def test_what_is_read_back_of_a_storno(gateway: Gateway, tmp_path: Path, execute: Execute) -> None:
    items = await entered(gateway, tmp_path, text="abonent_id;amount\n9001;1\n")
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


async def test_a_balance_that_was_added_to(
    adding: Gateway, tmp_path: Path, execute: Execute, database: Database
) -> None:
    execute("update admin_accounts set ostatok = ? where id = 9002", 7 * SCALE)
    items = await entered(adding, tmp_path, text="abonent_id;amount\n9002;50\n")
    (left,) = (await taking_back(adding, items, way="opposite", type_8="sets")).left_alone
    assert left == (
        f"changed since: operation {items[0].answer} of 50.00 left the balance at 50.00, if type 8 sets, and now "
        "it is 57.00"
    )
    undo = await taking_back(adding, items, way="opposite", type_8="adds")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert balance_of(database, 9002) == 7
    assert await readings(undo.effect, backs, UNDO_RUN) == [ReadBack(Decimal(-50))]


async def test_a_wrong_belief_about_type_8_is_told(adding: Gateway, tmp_path: Path, database: Database) -> None:
    """From a balance of nothing, setting and adding come to the same: only reading back tells."""
    items = await entered(adding, tmp_path, text="abonent_id;amount\n9002;50\n")
    undo = await taking_back(adding, items, way="opposite", type_8="sets")
    backs = await sent(undo.effect, undo.items, UNDO_RUN)
    assert balance_of(database, 9002) == 50
    (reading,) = await readings(undo.effect, backs, UNDO_RUN)
    assert reading.difference is not None
    assert "is entered, but the balance is 50.00 and not 0.00" in reading.difference


async def test_type_8_needs_to_know_what_the_balance_was(
    client: BillingClient, both: Gateway, tmp_path: Path
) -> None:
    items = await entered(Gateway(client), tmp_path, text="abonent_id;amount\n9002;50\n")
    (reason,) = (await taking_back(both, items, way="opposite")).refused
    assert "is of type 8, and what the balance was before it is not known" in reason


async def test_opposite_entries_of_one_run_are_told_from_those_of_another(gateway: Gateway, tmp_path: Path) -> None:
    items = await entered(gateway, tmp_path, text="abonent_id;amount\n9002;50\n", op_type="1")
    undo = await taking_back(gateway, items, way="opposite")
    backs = undo.items
    await sent(undo.effect, backs, UNDO_RUN)
    assert await sightings(undo.effect, backs, replace(UNDO_RUN, name="other")) == [Absent()]
    await sent(undo.effect, backs, UNDO_RUN)
    (twice,) = await sightings(undo.effect, backs, UNDO_RUN)
    assert isinstance(twice, Different)


# ---- the list ----------------------------------------------------------------------------------------------------


async def test_without_a_word_nothing_is_sent(gateway: Gateway, tmp_path: Path, database: Database) -> None:
    items = await entered(gateway, tmp_path)
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


@pytest.mark.parametrize("way", ["list", "storno", "opposite"])
async def test_what_was_changed_since_is_left_alone(
    gateway: Gateway, tmp_path: Path, execute: Execute, way: str
) -> None:
    text = "abonent_id;amount\n9001;1\n9002;2\n9003;3\n9010;4\n"
    items = await entered(gateway, tmp_path, text=text, op_type="1")
    first, second, third, fourth = (item.answer for item in items)
    execute("update finance_operations set storno = 1, op_date = '2026-01-05' where op_id = ?", first)
    execute("update finance_operations set op_summa = ?, op_date = '2026-01-05' where op_id = ?", 5 * SCALE, second)
    execute("delete from finance_operations where op_id = ?", third)
    execute("update finance_operations set abonent_id = 9001, op_date = '2026-01-05' where op_id = ?", fourth)
    undo = await taking_back(gateway, items, way=way)
    assert undo.left_alone == [
        f"already taken back: operation {first} of 1.00, 2026-01-05 (reversed by storno)",
        f"changed since: the run entered 2.00, and now there is operation {second} of 5.00, 2026-01-05",
        f"changed since: operation {third} is no longer there",
        f"operation {fourth} of 4.00, 2026-01-05 is one of abonent 9001, and not of 77/2",
    ]
    assert [one.undoes for one in undo.done.items] == [item.item_id for item in items]


async def test_a_balance_with_later_operations_is_left_alone(both: Gateway, tmp_path: Path, execute: Execute) -> None:
    items = await entered(both, tmp_path, text="abonent_id;amount\n9002;50\n")
    execute("update admin_accounts set debit = ? where id = 9002", 10 * SCALE)
    (reason,) = (await taking_back(both, items, way="opposite")).left_alone
    assert reason == (
        f"changed since: operation {items[0].answer} of 50.00 left the balance at 50.00, if type 8 sets, and now "
        "it is 60.00"
    )


async def test_an_operation_whose_id_nobody_knows(gateway: Gateway, tmp_path: Path) -> None:
    items = await entered(gateway, tmp_path, text="abonent_id;amount\n9002;50\n")
    decided = [msgspec.structs.replace(item, answer=None) for item in items]
    assert (await taking_back(gateway, decided, way="storno")).refused == [
        "the id of its operation of 50.00 is not known: take it back by hand"
    ]


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


async def test_the_comment_of_opposite_entries(gateway: Gateway, tmp_path: Path, mock_billing: MockBilling) -> None:
    items = await entered(gateway, tmp_path, text="abonent_id;amount\n9002;50\n", op_type="1")
    undo = await taking_back(gateway, items, way="opposite", descr="Ошибка ввода")
    (back,) = undo.items
    assert payload_of(back).steps[0][1]["descr"] == f"Ошибка ввода {items[0].answer}"
    assert f"[cm {UNDO_RUN.name}/1]" in undo.effect.describe(UNDO_RUN.name, back)
    assert mock_billing.ledger.effects("FinanceOperations") == {9002: 1}
