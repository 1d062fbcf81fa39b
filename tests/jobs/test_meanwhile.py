"""What somebody else does between list and calls: what they have done stays, and nothing reaches others."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import SCALE
from billing.profile import Fact, Profile, Standing, TypeEight
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.evidence import Seen
from engine.job import ReadBack
from engine.pipeline.verifier import verify
from jobs.access.gateway import Gateway
from jobs.billing_job import BillingJob
from jobs.catalogue.money import BALANCES, PAYMENT
from jobs.catalogue.services import ATTRIBUTE, DELETE_SERVICES
from jobs.catalogue.subscribers import SNAT_POOL, WARNING_THRESHOLD
from jobs.effects.effect import CallEffect
from jobs.undo import EarlierItems, UndoJob
from jobs.value_changes import overwritten
from tests.jobs.conftest import Execute
from tests.jobs.importing import carried_out, states
from tests.jobs.making import job_of, rows_of
from tests.jobs.whole_database import changes, whole

ADDS = Profile(type_8=Fact(TypeEight.ADDS, None, Standing.ASSUMED))


def back_of(gateway: Gateway, job: BillingJob, journal: Journal, run: Run, **how: str) -> UndoJob:
    back = job.effect.undo(how)
    assert isinstance(back, CallEffect)
    return UndoJob(gateway, journal, EarlierItems(run, journal), back)


async def differences(job: BillingJob, journal: Journal, run: Run) -> dict[str, str]:
    """What `verify` finds different, by label."""
    found: dict[str, str] = {}

    def report(item: Item, reading: ReadBack) -> None:
        found[item.label] = reading.difference or ""

    await verify(run, job, journal, report)
    return found


# ---- what others have brought about ------------------------------------------------------------------------------


async def test_what_somebody_else_has_deleted_by_now_is_not_made_anew_by_an_undo(
    both: Gateway, journal: Journal, database: Database, tmp_path: Path, execute: Execute
) -> None:
    for key in (90001, 90002):
        execute("insert into users_usluga (id, abonent_id, usluga_id, manager_id) values (?, 9001, 126, 33)", key)
    job = job_of(both, DELETE_SERVICES, rows_of(tmp_path, "id\n90001\n90002\n"))
    run = await carried_out(job, journal, lambda: execute("update users_usluga set deleted = 1 where id = 90001"))
    why = "already as wanted: somebody else has deleted UsersUsluga 90001 since the list was made"
    assert await states(journal, run) == {"90001": (State.SKIPPED, why), "90002": (State.ACCEPTED, "")}
    before = whole(database)
    await carried_out(back_of(both, job, journal, run), journal)
    assert len(changes(before, whole(database))["USERS_USLUGA"]) == 1, "the run's own deletion alone is taken back"


async def test_an_attribute_that_somebody_else_has_given_by_now_stays(
    both: Gateway, journal: Journal, database: Database, tmp_path: Path, execute: Execute
) -> None:
    rows = "contract_number;attribute_id;attribute_value\n00123;1012;телеграм\nA15;7;0015\n123;7;1\n"
    job = job_of(both, ATTRIBUTE, rows_of(tmp_path, rows))

    def meanwhile() -> None:
        execute("insert into attribute_values values (90001, 9001, 1012, 'телеграм')")
        execute("insert into attribute_values values (90002, 9003, 7, 'другое')")

    run = await carried_out(job, journal, meanwhile)
    found = await states(journal, run)
    assert [state for state, _ in found.values()] == [State.SKIPPED, State.REJECTED, State.ACCEPTED]
    assert found["9001/1012"][1] == "already as wanted: somebody else has made it since the list was made (id 90001)"
    assert found["9003/7"][1].startswith("there already since the list was made, and different: sent attribute_value")
    theirs = whole(database)
    await carried_out(back_of(both, job, journal, run), journal)
    assert not {90001, 90002} & changes(theirs, whole(database))["ATTRIBUTE_VALUES"].keys()


async def test_an_operation_that_somebody_else_has_reversed_by_now_is_not_counted_as_taken_back(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    job = job_of(both, BALANCES, rows_of(tmp_path, "contract_number;amount\n00123;50\nA15;60\n"))
    run = await carried_out(job, journal)
    first = (await journal.items(run, {State.ACCEPTED}))[0]
    back = back_of(both, job, journal, run, way="storno", storno_call="storno")
    undo = await carried_out(
        back, journal, lambda: execute("update finance_operations set storno = 1 where op_id = ?", first.answer)
    )
    assert [state for state, _ in (await states(journal, undo)).values()] == [State.SKIPPED, State.ACCEPTED]


# ---- whose a number is -------------------------------------------------------------------------------------------

NUMBER_MOVES = (
    "update abonents set contract_number = '00123-old' where id = 9001",
    "update abonents set contract_number = '00123' where id = 9003",
)


def moves(execute: Execute) -> Callable[[], None]:
    def meanwhile() -> None:
        for statement in NUMBER_MOVES:
            execute(statement)

    return meanwhile


@pytest.mark.parametrize("database_too", [True, False], ids=["with a database", "through the API"])
async def test_a_number_that_was_given_to_another_subscriber_gets_nothing(
    both: Gateway, journal: Journal, database: Database, tmp_path: Path, execute: Execute, database_too: bool
) -> None:
    gateway = both if database_too else replace(both, database=None)
    job = job_of(gateway, BALANCES, rows_of(tmp_path, "contract_number;amount\n00123;129.22\nВТОРОЙ;1\n"))
    before = whole(database)
    run = await carried_out(job, journal, moves(execute))
    found = await states(journal, run)
    state, why = found["9001/8"]
    assert state is State.REJECTED
    assert why == (
        "given to another subscriber since: contract number 00123 was abonent 9001 when the list was made, and now "
        "it is abonent 9003"
    )
    operations = changes(before, whole(database)).get("FINANCE_OPERATIONS", {})
    assert {row["ABONENT_ID"] for row in operations.values()}.isdisjoint({(None, 9001), (None, 9003)})


async def test_a_row_by_its_id_is_sent_whatever_number_its_subscriber_has_by_now(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    job = job_of(both, BALANCES, rows_of(tmp_path, "abonent_id;amount\n9001;129.22\n"))
    run = await carried_out(job, journal, moves(execute))
    assert [state for state, _ in (await states(journal, run)).values()] == [State.ACCEPTED]


async def test_verify_says_that_a_number_is_another_subscribers(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    job = job_of(both, BALANCES, rows_of(tmp_path, "contract_number;amount\n00123;129.22\nA15;1\n"))
    run = await carried_out(job, journal)
    moves(execute)()
    found = await differences(job, journal, run)
    assert set(found) == {"00123", "A15"}
    assert "contract number 00123 was abonent 9001 when the list was made" in found["00123"]


async def test_a_number_without_a_bearer_and_a_login_of_another_account_get_nothing(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    for key, login in ((90001, "ivanov"), (90002, "petrov")):
        execute("insert into users (id, abonent_id, login, enabled) values (?, 9001, ?, 1)", key, login)
    pools = job_of(both, SNAT_POOL, rows_of(tmp_path, "login;pool\nivanov;5\npetrov;5\n"))
    run = await carried_out(
        pools, journal, lambda: execute("update users set login = login || '-old' where id = 90001")
    )
    found = await states(journal, run)
    assert found["90001"][0] is State.REJECTED
    assert "login ivanov was account 90001 when the list was made, and now it is nobody's" in found["90001"][1]
    assert found["90002"][0] is State.ACCEPTED
    payments = job_of(both, PAYMENT, rows_of(tmp_path, "contract_number;amount\nA15;50\n"))
    paid = await carried_out(
        payments, journal, lambda: execute("update abonents set contract_number = 'A16' where id = 9003")
    )
    ((state, why),) = (await states(journal, paid)).values()
    assert (state, "and now it is nobody's alone" in why) == (State.REJECTED, True)


# ---- balances that are set ---------------------------------------------------------------------------------------


def pays(execute: Execute, abonent: int = 9003) -> Callable[[], None]:
    """Somebody pays 50.00."""

    def meanwhile() -> None:
        execute(
            "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) "
            "values (900001, ?, 2, ?, '2026-11-29')",
            *(abonent, 50 * SCALE),
        )

    return meanwhile


async def balance_run(gateway: Gateway, journal: Journal, folder: Path, meanwhile: Callable[[], None]) -> Run:
    job = job_of(gateway, BALANCES, rows_of(folder, "contract_number;amount\nA15;100\n123;70\n"))
    return await carried_out(job, journal, meanwhile)


@pytest.mark.parametrize("database_too", [True, False], ids=["with a database", "through the API"])
async def test_a_payment_that_has_come_since_is_never_overwritten(
    both: Gateway, journal: Journal, database: Database, tmp_path: Path, execute: Execute, database_too: bool
) -> None:
    gateway = both if database_too else replace(both, database=None)
    before = whole(database)
    run = await balance_run(gateway, journal, tmp_path, pays(execute))
    found = await states(journal, run)
    state, why = found["9003/8"]
    assert state is State.REJECTED
    assert why == (
        "changed since the list was made: 50.00 came to the account, and this row would set its balance over it: "
        "operation 900001 of 50.00, 2026-11-29. Enter the row again to have it compared anew"
    )
    assert found["9002/8"][0] is State.ACCEPTED
    operations = changes(before, whole(database))["FINANCE_OPERATIONS"]
    assert {row["ABONENT_ID"] for key, row in operations.items() if key != 900001} == {(None, 9002)}
    # Told so by entering it again: the list is made anew, with the payment.
    again = await balance_run(gateway, journal, tmp_path, lambda: None)
    assert (await states(journal, again))["9003/8"][0] is State.ACCEPTED


async def test_a_payment_of_another_subscriber_of_the_account_is_seen_as_well(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    job = job_of(both, BALANCES, rows_of(tmp_path, "contract_number;amount\n00123;100\n"))
    run = await carried_out(job, journal, pays(execute, 9008))
    ((state, why),) = (await states(journal, run)).values()
    assert (state, "operation 900001 of 50.00" in why) == (State.REJECTED, True)


@pytest.mark.parametrize("key", ["contract_number;amount\nA15;100\n", "abonent_id;amount\n9003;100\n"])
async def test_a_balance_is_not_set_on_an_account_that_was_merged_since(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute, key: str
) -> None:
    job = job_of(both, BALANCES, rows_of(tmp_path, key))
    run = await carried_out(job, journal, lambda: execute("update abonents set account_id = 9002 where id = 9003"))
    ((state, why),) = (await states(journal, run)).values()
    assert state is State.REJECTED
    assert "abonent 9003 had account 9003, and now it has account 9002" in why


@pytest.mark.parametrize("is_asked", [True, False], ids=["with a database", "without a database"])
async def test_fields_are_not_set_on_an_account_that_was_merged_since(
    both: Gateway, client: BillingClient, journal: Journal, tmp_path: Path, execute: Execute, *, is_asked: bool
) -> None:
    gateway = both if is_asked else Gateway(client)
    job = job_of(gateway, WARNING_THRESHOLD, rows_of(tmp_path, "contract_number;amount\nA15;-77\n00123;-77\n"))
    run = await carried_out(job, journal, lambda: execute("update abonents set account_id = 9002 where id = 9003"))
    found = await states(journal, run)
    assert found["9003"][0] is State.REJECTED
    assert found["9003"][1].endswith("had account 9003, and now it has account 9002, whose fields this would set")
    assert found["9001"][0] is State.ACCEPTED


async def test_where_type_8_adds_a_payment_harms_nothing(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    run = await balance_run(replace(both, profile=ADDS), journal, tmp_path, pays(execute))
    assert {state for state, _ in (await states(journal, run)).values()} == {State.ACCEPTED}


class PaysLate:
    """Somebody pays after the last look, just before the first call leaves."""

    def __init__(self, job: BillingJob, pay: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
        self._send, self._pay = job.effect.send, pay
        self._paid = False
        monkeypatch.setattr(job.effect, "send", self.send)

    async def send(self, run: Run, item: Item) -> Seen:
        if not self._paid:
            self._paid = True
            self._pay()
        return await self._send(run, item)


async def test_an_undo_sets_no_balance_back_over_a_payment_that_has_come_since_its_list(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    job = job_of(both, BALANCES, rows_of(tmp_path, "contract_number;amount\nA15;100\n123;70\n"))
    run = await carried_out(job, journal)
    account = "(select account_id from abonents where id = 9003)"
    paid = f"update admin_accounts set debit = debit + {50 * SCALE} where id = {account}"  # noqa: S608 - numbers of ours
    undo = await carried_out(back_of(both, job, journal, run, way="opposite"), journal, lambda: execute(paid))
    found = await states(journal, undo)
    assert found[f"{run.name}/1"] == (
        State.REJECTED,
        "changed since the plan: the balance was 100.00, and now it is 150.00",
    )
    assert found[f"{run.name}/2"][0] is State.ACCEPTED


async def test_a_payment_that_was_overwritten_all_the_same_is_said_by_verify(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(both, BALANCES, rows_of(tmp_path, "contract_number;amount\nA15;100\n"))
    PaysLate(job, pays(execute), monkeypatch)
    execute("set generator gen_finance_operations_id to 900100")
    run = await carried_out(job, journal)
    assert [state for state, _ in (await states(journal, run)).values()] == [State.ACCEPTED]
    assert await differences(job, journal, run) == {
        "A15": "overwritten: 50.00 came to the account after the list was made and before this row set its balance: "
        "operation 900001 of 50.00, 2026-11-29"
    }


async def test_fields_that_somebody_has_changed_meanwhile_are_counted(
    both: Gateway, journal: Journal, tmp_path: Path, execute: Execute
) -> None:
    rows = "contract_number;amount\n00123;-77\nA15;-77\n123;-77\n"
    job = job_of(both, WARNING_THRESHOLD, rows_of(tmp_path, rows))

    def meanwhile() -> None:
        execute("update admin_accounts set limit_warning = ? where id = 9003", -5 * SCALE)
        # As wanted already: nothing of theirs is overwritten.
        execute("update admin_accounts set limit_warning = ? where id = 9002", -77 * SCALE)

    run = await carried_out(job, journal, meanwhile)
    found = await overwritten(run, journal)
    assert (found.rows, found.amount) == (1, Decimal(0))
