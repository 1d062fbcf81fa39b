"""An import as a run, and its undo: what it has made goes again, and what others have changed since stays."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import anyio.to_thread
import pytest

from billing.database.database import Database
from billing.money import SCALE
from billing.profile import Fact, Profile, StornoEffect
from checkpoints.errors import ForbiddenTransition
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.session.order import parse_order
from engine.errors import InputRefused
from engine.evidence import Seen
from engine.job import Job
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.access.vault import Vault
from jobs.billing_job import BillingJob
from jobs.catalogue.catalogue import BUILT_IN
from jobs.effects.effect import Irreversible
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import Step
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.errors import ParameterRefused
from lab.mock.server import MockBilling
from tests.jobs.conftest import Execute
from tests.jobs.importing import (
    POLICY,
    TableJob,
    approved,
    carried_out,
    sent_to_the_end,
    states,
    subscriber,
    undo_of,
    whole,
)
from tests.jobs.making import prepared
from tests.jobs.whole_database import Changes, Tables, changes, new_rows
from tests.jobs.whole_database import whole as whole_database

THREE = [whole(f"0077{one}", one, f"novikov{one}", f"Дома/{one % 2}") for one in range(1, 4)]
"""The first and the third lie in one folder, the second in another."""

ONE_BY_ONE = replace(POLICY, in_flight=1)
COUNTS = {
    "ABONENTS": 6,
    "ADMIN_ACCOUNTS": 3,
    "USERS": 3,
    "USERS_USLUGA": 3,
    "ATTRIBUTE_VALUES": 3,
    "FINANCE_OPERATIONS": 3,
}
"""The rows of the three and of their folders."""


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is looked at again soon."""
    for name in ("GAP", "LONGEST_GAP"):
        monkeypatch.setattr(f"engine.pipeline.needs.{name}", 0.05)
    monkeypatch.setattr("engine.pipeline.precedence.GAP", 0.02)


def still_there(before: Tables, after: Tables) -> Changes:
    """What differs but for rows that are deleted again, operations, and accounts of money that are empty."""
    found = changes(before, after)
    kept = {
        table: {key: row for key, row in each.items() if not _without_effect(table, row)}
        for table, each in found.items()
    }
    return {table: rows for table, rows in kept.items() if rows}


def _without_effect(table: str, row: dict[str, tuple[object, object]]) -> bool:
    if table == "ADMIN_ACCOUNTS":
        return row.get("BALANCE") == (None, 0)
    return table == "FINANCE_OPERATIONS" or row.get("DELETED") == (None, 1)


def counted(before: Tables, after: Tables) -> dict[str, int]:
    """How many rows have come to each table."""
    found = changes(before, after)
    return {table: number for table in found if (number := len(new_rows(found, table)))}


async def left_alone(journal: Journal, run: Run) -> set[str]:
    """The labels of the items that an undo has left alone, but for those that go with their subscriber."""
    return {
        item.label
        for item in await journal.items(run, {State.SKIPPED, State.REJECTED})
        if not (item.message or "").startswith("goes with its subscriber")
    }


@pytest.mark.usefixtures("_soon")
async def test_an_import_is_undone_to_the_last_folder(
    both: Gateway, journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page of fewer items than a subscriber has steps.
    monkeypatch.setattr("jobs.undo._PAGE", 5)
    before = whole_database(database)
    run = await carried_out(TableJob(both, THREE), journal)
    assert {state for state, _ in (await states(journal, run)).values()} == {State.ACCEPTED}
    assert counted(before, whole_database(database)) == COUNTS

    back = await carried_out(undo_of(both, journal, run), journal)

    assert await left_alone(journal, back) == set()
    folders = [item.label for item in await journal.items(back, {State.ACCEPTED}) if item.label.startswith("Дома")]
    assert folders == ["Дома/0", "Дома/1", "Дома"]
    assert still_there(before, whole_database(database)) == {}
    # And once more from the beginning: what was taken back counts as never entered.
    again = await carried_out(TableJob(both, THREE), journal)
    assert {state for state, _ in (await states(journal, again)).values()} == {State.ACCEPTED}


@pytest.mark.usefixtures("_soon")
async def test_an_undo_is_undone_by_importing_again(both: Gateway) -> None:
    back = SubscriberSteps(both).undo({})
    assert not isinstance(back, Irreversible)
    await back.try_out()
    again = back.undo({})
    assert isinstance(again, Irreversible)
    assert "Import the same table once more" in again.text


# ---- changed since ----------------------------------------------------------------------------------------------

CHANGED = {
    "its name": "update abonents set name = 'Другой' where contract_number = '00771'",
    "its tariff": "update abonents set tarif_id = 3 where contract_number = '00771'",
    "its limit": (
        'update admin_accounts set "limit" = -7 where id = '
        "(select account_id from abonents where contract_number = '00771')"
    ),
    "its service": (
        "update users_usluga set manager_id = 34 where abonent_id = "
        "(select id from abonents where contract_number = '00771')"
    ),
    "another service": (
        "insert into users_usluga (id, abonent_id, usluga_id) "
        "select 90001, id, 127 from abonents where contract_number = '00771'"
    ),
    "another account": (
        "insert into users (id, abonent_id, login) "
        "select 90001, id, 'other' from abonents where contract_number = '00771'"
    ),
    "an operation": (
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) "
        "select 90001, id, 1, 50000000000, '2026-01-02' from abonents where contract_number = '00771'"
    ),
}


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("change", CHANGED)
async def test_a_subscriber_that_somebody_has_changed_stays_with_all_it_has(
    both: Gateway, journal: Journal, database: Database, execute: Execute, change: str
) -> None:
    before = whole_database(database)
    run = await carried_out(TableJob(both, THREE), journal)
    execute(CHANGED[change])
    then = whole_database(database)

    back = await carried_out(undo_of(both, journal, run), journal)

    assert await left_alone(journal, back) == {"00771", "Дома/1", "Дома"}
    reasons = await states(journal, back)
    folder, person = reasons[f"{run.name}/2"], reasons[f"{run.name}/3"]
    assert folder == (State.SKIPPED, "left alone, for the folder is not empty: 00771")
    assert reasons[f"{run.name}/1"] == (State.SKIPPED, "left alone, for the folder is not empty: Дома/1")
    # The folder that the run has created after it is empty, and goes.
    assert reasons[f"{run.name}/11"][0] is State.ACCEPTED
    assert person[0] is State.SKIPPED
    # Of the first nothing has changed by the undo; of the others nothing is left.
    left = still_there(before, whole_database(database))
    assert len(new_rows(left, "ABONENTS")) == 3
    assert {len(new_rows(left, table)) for table in ("ATTRIBUTE_VALUES",)} == {1}
    (mine,) = [row["ID"] for row in new_rows(left, "ABONENTS") if row.get("CONTRACT_NUMBER") == "00771"]
    touched = changes(then, whole_database(database))
    assert mine not in touched["ABONENTS"]
    assert mine not in {row["ABONENT_ID"] for row in new_rows(touched, "FINANCE_OPERATIONS")}


@pytest.mark.usefixtures("_soon")
async def test_what_changes_between_the_list_and_the_call_is_left_alone_as_well(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    run = await carried_out(TableJob(both, THREE), journal)
    back = await carried_out(
        undo_of(both, journal, run), journal, meanwhile=lambda: execute(CHANGED["another service"])
    )
    reasons = await states(journal, back)
    assert reasons[f"{run.name}/3"] == (
        State.REJECTED,
        "left alone, for it has connected service 90001 with usluga_id 127",
    )


# ---- subscribers that were there --------------------------------------------------------------------------------


@pytest.mark.usefixtures("_soon")
async def test_what_was_set_on_a_subscriber_that_was_there_is_set_back(
    both: Gateway, journal: Journal, database: Database
) -> None:
    rows = [
        subscriber(
            "123",
            1,
            (Step.TARIFF, {"tarif_id": "3"}),
            (Step.SERVICE, {"usluga_id": "126", "manager_id": "33"}),
            (Step.THRESHOLD, {"limit_warning": "-50"}),
            (Step.LIMIT, {"limit": "-100"}),
            (Step.BALANCE, {"op_summa": "12.50"}),
            name="Петров",
        )
    ]
    before = whole_database(database)
    run = await carried_out(TableJob(both, rows, change=True), journal)
    found = changes(before, whole_database(database))
    assert found["ABONENTS"][9002] == {"NAME": ("Иванов", "Петров"), "TARIF_ID": (2, 3)}
    assert found["ADMIN_ACCOUNTS"][9002]["BALANCE"] == (0, 1250 * SCALE // 100)
    await carried_out(undo_of(both, journal, run), journal)
    assert still_there(before, whole_database(database)) == {}


@pytest.mark.usefixtures("_soon")
async def test_a_field_that_nobody_documents_is_compared_and_taken_back_as_well(
    both: Gateway, journal: Journal, database: Database, execute: Execute
) -> None:
    rows = [
        subscriber(f"0077{one}", one, name="Новиков", create_date=f"2020-01-0{one} 00:00:00") for one in range(1, 3)
    ]
    before = whole_database(database)
    run = await carried_out(TableJob(both, rows), journal)
    assert [row["CREATE_DATE"].day for row in new_rows(changes(before, whole_database(database)), "ABONENTS")] == [
        1,
        2,
    ]
    execute("update abonents set create_date = '2021-05-05' where contract_number = '00771'")
    back = await carried_out(undo_of(both, journal, run), journal)
    assert await left_alone(journal, back) == {"00771"}


# ---- opening balances -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_soon")
async def test_a_balance_that_is_not_taken_back_keeps_its_subscriber(
    both: Gateway, journal: Journal, database: Database
) -> None:
    before = whole_database(database)
    run = await carried_out(TableJob(both, THREE[:1]), journal)
    back = await carried_out(undo_of(both, journal, run, way="list"), journal)
    reasons = await states(journal, back)
    assert "for the accountant" in reasons[f"{run.name}/10"][1]
    assert "for the accountant" in reasons[f"{run.name}/3"][1]
    assert counted(before, whole_database(database))["ABONENTS"] == 3
    # Another undo, with a way that sends.
    await carried_out(undo_of(both, journal, run, way="opposite"), journal)
    assert still_there(before, whole_database(database)) == {}


@pytest.mark.usefixtures("_soon")
async def test_balances_go_by_storno_where_that_is_known_to_work(
    both: Gateway, journal: Journal, database: Database
) -> None:
    known = Profile(storno_call=Fact("storno"), storno_works=Fact(True), storno_type_8=Fact(StornoEffect.RESTORES))
    gateway, before = replace(both, profile=known), whole_database(database)
    run = await carried_out(TableJob(gateway, THREE[:1]), journal)
    await carried_out(undo_of(gateway, journal, run), journal)
    assert still_there(before, whole_database(database)) == {}
    operations = changes(before, whole_database(database))["FINANCE_OPERATIONS"]
    assert [row["STORNO"] for row in operations.values()] == [(None, 1)]


# ---- made by somebody else between list and call -----------------------------------------------------------------

PLAIN = [
    subscriber(
        f"0077{one}",
        one,
        (Step.ACCOUNT, {"login": f"novikov{one}"}),
        (Step.SERVICE, {"usluga_id": "126", "manager_id": "33"}),
        name="Новиков",
    )
    for one in range(1, 3)
]
"""Two subscribers at the top, with an account and a service each."""

MADE_MEANWHILE = {
    "a whole subscriber": (
        "insert into admin_accounts (id) values (90001)",
        "insert into abonents (id, name, contract_number, account_id) values (90001, 'Новиков', '00771', 90001)",
        "insert into users (id, abonent_id, login) values (90001, 90001, 'novikov1')",
    ),
    "a subscriber of another name": (
        "insert into admin_accounts (id) values (90001)",
        "insert into abonents (id, name, contract_number, account_id) values (90001, 'Серов', '00771', 90001)",
    ),
    "an account": ("insert into users (id, abonent_id, login) values (90001, 9001, 'novikov1')",),
}


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("made", MADE_MEANWHILE)
async def test_what_somebody_else_has_made_between_list_and_call_is_never_taken_for_our_own(
    both: Gateway, journal: Journal, database: Database, execute: Execute, made: str
) -> None:
    def meanwhile() -> None:
        for statement in MADE_MEANWHILE[made]:
            execute(statement)

    run = await carried_out(TableJob(both, PLAIN), journal, meanwhile)

    steps = {key: state for key, (state, _) in (await states(journal, run)).items() if "00771" in key}
    assert State.REJECTED in steps.values(), "the table has to be imported once more: nothing is done in silence"
    assert {one.answer for one in await journal.items(run, {State.ACCEPTED}, size=100)}.isdisjoint({"90001"})
    theirs = whole_database(database)

    back = await carried_out(undo_of(both, journal, run), journal)

    touched = changes(theirs, whole_database(database))
    assert not any(90001 in rows for rows in touched.values()), "an undo has changed what somebody else has made"
    assert {item.label for item in await journal.items(back, {State.ACCEPTED}, size=100)} >= {"00772"}


@pytest.mark.usefixtures("_soon")
async def test_an_equal_subscriber_that_is_there_by_now_is_skipped_and_completed_by_the_next_import(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    def meanwhile() -> None:
        for statement in MADE_MEANWHILE["a whole subscriber"]:
            execute(statement)

    run = await carried_out(TableJob(both, PLAIN), journal, meanwhile)
    found = await states(journal, run)
    assert found["00771/subscriber/"] == (
        State.SKIPPED,
        "already as wanted: somebody else has made it since the list was made (id 90001)",
    )
    state, why = found["00771/account/novikov1"]
    assert state is State.REJECTED
    assert why.startswith("not sent: somebody else has made subscriber 00771 since the list was made. Import the ")
    again = await carried_out(TableJob(both, PLAIN), journal)
    anew = {key: state for key, (state, _) in (await states(journal, again)).items()}
    assert anew["00771/account/novikov1"] is State.SKIPPED
    assert anew["00771/service/126"] is State.ACCEPTED


@pytest.mark.usefixtures("_soon")
async def test_a_folder_that_somebody_else_has_made_by_now_is_used_and_stays(
    both: Gateway, journal: Journal, database: Database, execute: Execute
) -> None:
    rows = [whole(folder="Дома")]
    run = await carried_out(
        TableJob(both, rows),
        journal,
        lambda: execute("insert into abonents (id, name, is_folder) values (90001, 'Дома', 1)"),
    )
    found = await states(journal, run)
    assert {state for key, (state, _) in found.items() if key != "folder/Дома"} == {State.ACCEPTED}
    assert found["folder/Дома"][0] is State.SKIPPED
    (person,) = [
        item for item in await journal.items(run, {State.ACCEPTED}) if payload_of(item).step == Step.SUBSCRIBER
    ]
    assert payload_of(person).wanted["parent_id"] == "90001"
    theirs = whole_database(database)
    await carried_out(undo_of(both, journal, run), journal)
    assert 90001 not in changes(theirs, whole_database(database))["ABONENTS"]


@pytest.mark.usefixtures("_soon")
async def test_two_imports_of_one_journal_make_a_subscriber_once_and_each_undo_takes_its_own(
    both: Gateway, journal: Journal, database: Database
) -> None:
    before = whole_database(database)
    first, second = TableJob(both, PLAIN[:1]), TableJob(both, PLAIN)
    one, other = await approved(first, journal), await approved(second, journal)
    await sent_to_the_end(first, journal, one.name)
    await sent_to_the_end(second, journal, other.name)
    assert counted(before, whole_database(database))["ABONENTS"] == 2
    found = await states(journal, other)
    assert found["00771/subscriber/"] == (
        State.SKIPPED,
        f"already as wanted: run {one.name} has made it (id {await answer_of(journal, one, '00771/subscriber/')})",
    )
    then = whole_database(database)
    await carried_out(undo_of(both, journal, other), journal)
    mine = int(await answer_of(journal, one, "00771/subscriber/"))
    assert mine not in changes(then, whole_database(database))["ABONENTS"]
    await carried_out(undo_of(both, journal, one), journal)
    assert still_there(before, whole_database(database)) == {}


@pytest.mark.usefixtures("_soon")
async def test_what_another_run_has_made_while_this_one_was_dead_is_that_runs(
    both: Gateway, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = TableJob(both, PLAIN[:1]), TableJob(both, PLAIN[:1])
    one, other = await approved(first, journal), await approved(second, journal)
    Mortal(second, 1, monkeypatch)
    with pytest.raises(Killed):
        await sent_to_the_end(second, journal, other.name)
    await sent_to_the_end(first, journal, one.name)
    await sent_to_the_end(TableJob(both, PLAIN[:1]), journal, other.name)
    assert (await states(journal, other))["00771/subscriber/"] == (
        State.SKIPPED,
        f"already as wanted: run {one.name} has made it (id {await answer_of(journal, one, '00771/subscriber/')})",
    )
    assert await journal.unproven(other) == 0
    assert await journal.in_effect(other) == []


async def answer_of(journal: Journal, run: Run, key: str) -> str:
    """The id of what an item has made."""
    (item,) = await journal.items_by_key(run, [key])
    return item.answer or ""


@pytest.mark.usefixtures("_soon")
async def test_what_was_found_after_a_kill_stays_until_somebody_says_that_it_is_ours(
    both: Gateway, journal: Journal, database: Database, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call of the first account is lost before it leaves; then somebody else makes an account of that login."""
    before = whole_database(database)
    job = TableJob(both, PLAIN)
    run = await approved(job, journal)
    Mortal(job, 3, monkeypatch)
    with pytest.raises(Killed):
        await sent_to_the_end(job, journal, run.name, ONE_BY_ONE)
    # The second subscriber may be claimed, too.
    (lost,) = (item for item in await journal.items(run, {State.SENDING}) if payload_of(item).step == Step.ACCOUNT)
    owner = await answer_of(journal, run, f"{lost.label}/subscriber/")
    execute("insert into users (id, abonent_id, login) values (90001, ?, ?)", owner, payload_of(lost).key["login"])
    await sent_to_the_end(TableJob(both, PLAIN), journal, run.name)
    assert await journal.unproven(run) == 1
    then = whole_database(database)

    back = await carried_out(undo_of(both, journal, run), journal)

    gone = changes(then, whole_database(database))
    assert 90001 not in gone.get("USERS", {})
    assert int(owner) not in gone["ABONENTS"], "its subscriber would take it along"
    assert lost.label in await left_alone(journal, back)
    await carried_out(undo_of(both, journal, run, takes_unproven=True), journal)
    assert still_there(before, whole_database(database)) == {}


# ---- killed, and late -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """Lets the process die at every so many calls, in turn before one and after one."""

    def __init__(self, job: Job, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._send, self._calls, self._count = job.effect.send, calls, 0
        monkeypatch.setattr(job.effect, "send", self.send)

    async def send(self, run: Run, item: Item) -> Seen:
        self._count += 1
        turn, rest = divmod(self._count, self._calls)
        if not rest and turn % 2:
            raise Killed
        evidence = await self._send(run, item)
        if not rest:
            raise Killed
        return evidence


async def lives(job: Job, journal: Journal, run: Run) -> int:
    """Take the run up until it is at its end; how often the process has died."""
    for died in range(100):
        try:
            await sent_to_the_end(job, journal, run.name)
        except Killed:
            continue
        return died
    raise AssertionError("it never comes to its end")


@pytest.mark.usefixtures("_soon")
async def test_killed_between_any_two_calls_each_object_is_there_once_and_gone_once(
    both: Gateway, journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole_database(database)
    job = TableJob(both, THREE)
    run = await approved(job, journal)
    Mortal(job, 3, monkeypatch)
    assert await lives(job, journal, run) > 5
    assert {state for state, _ in (await states(journal, run)).values()} == {State.ACCEPTED}
    assert counted(before, whole_database(database)) == COUNTS
    # What was found after a kill may be somebody else's, but for what has a mark.
    unproven = [item for item in await journal.items(run, {State.ACCEPTED}, size=100) if item.unproven]
    assert await journal.unproven(run) == len(unproven) > 0
    assert not {payload_of(item).step for item in unproven} & {Step.SERVICE, Step.BALANCE}

    undo = undo_of(both, journal, run, takes_unproven=True)
    back = await approved(undo, journal)
    Mortal(undo, 3, monkeypatch)
    assert await lives(undo, journal, back) > 3
    assert await left_alone(journal, back) == set()
    assert still_there(before, whole_database(database)) == {}
    # Each operation has one opposite.
    assert counted(before, whole_database(database))["FINANCE_OPERATIONS"] == 6


@pytest.mark.usefixtures("_soon")
async def test_half_an_import_is_undone_and_half_an_undo_goes_on(
    both: Gateway, journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole_database(database)
    job = TableJob(both, THREE)
    run = await approved(job, journal)
    Mortal(job, 14, monkeypatch)
    with pytest.raises(Killed):
        await sent_to_the_end(job, journal, run.name, ONE_BY_ONE)
    undo = undo_of(both, journal, run)
    back = await approved(undo, journal)
    Mortal(undo, 3, monkeypatch)
    with pytest.raises(Killed):
        await sent_to_the_end(undo, journal, back.name, ONE_BY_ONE)
    # Another undo begins nothing of what that one has begun.
    other = await carried_out(undo_of(both, journal, run), journal)
    assert await journal.items(other, {State.ACCEPTED}) == []

    assert await lives(undo, journal, back) > 0
    assert await left_alone(journal, back) == set()
    assert still_there(before, whole_database(database)) == {}
    # The half that was not sent is never sent.
    left = await journal.items(await journal.run(run.name), {State.PENDING})
    for item in left:
        with pytest.raises(ForbiddenTransition):
            await journal.claim(await journal.run(run.name), [item.item_id])
    assert len(left) > 1
    assert still_there(before, whole_database(database)) == {}


@pytest.mark.usefixtures("_soon")
async def test_a_billing_that_applies_late_gets_each_step_when_it_shows_the_one_before(
    both: Gateway, journal: Journal, database: Database, mock_billing: MockBilling
) -> None:
    before = whole_database(database)
    # The mock refuses what overlaps with work on the same subscriber.
    mock_billing.stack_rate = 60
    run = await carried_out(TableJob(both, THREE), journal)
    await mock_billing.wait_for_stacks()
    assert {state for state, _ in (await states(journal, run)).values()} == {State.ACCEPTED}
    assert counted(before, whole_database(database)) == COUNTS
    back = await carried_out(undo_of(both, journal, run), journal)
    await mock_billing.wait_for_stacks()
    assert await left_alone(journal, back) == set()
    assert still_there(before, whole_database(database)) == {}


@pytest.mark.usefixtures("_soon")
async def test_a_step_that_is_skipped_does_not_part_those_around_it(
    both: Gateway, journal: Journal, database: Database, mock_billing: MockBilling
) -> None:
    """The tariff goes with its subscriber, who waits all the same until the billing shows the service gone."""
    before = whole_database(database)
    parts = (Step.TARIFF, {"tarif_id": "2"}), (Step.SERVICE, {"usluga_id": "126", "manager_id": "33"})
    run = await carried_out(TableJob(both, [subscriber("00771", 1, *parts, name="Новиков Пётр")]), journal)
    mock_billing.stack_rate, mock_billing.busy = 10, False
    back = await carried_out(undo_of(both, journal, run), journal)
    await mock_billing.wait_for_stacks()
    assert await left_alone(journal, back) == set()
    assert still_there(before, whole_database(database)) == {}


HEADER = "Договор;ФИО;Телефон;Почта\n"
ROW = "Н-1;Иванов;;ivanov@example.org\n"


def import_of(gateway: Gateway, place: Path, **given: str) -> BillingJob:
    """The job, as a command line orders it."""
    table = place / "subscribers.csv"
    table.write_text(HEADER + ROW, encoding="utf-8")
    order = parse_order("import", Input(file=str(table)), given, BUILT_IN)
    return build(order.kind, gateway, order.parameters, order.rows)


def a_map(folder: Path) -> Path:
    file = folder / "map.toml"
    file.write_text('[subscriber]\nemail = ""\n', encoding="utf-8")
    return file


def test_a_map_that_has_changed_since_refuses_the_run(gateway: Gateway, tmp_path: Path) -> None:
    file = a_map(tmp_path)
    job = import_of(gateway, tmp_path, map=str(file))
    file.write_text('[subscriber]\nemail = "Почта"\n', encoding="utf-8")
    with pytest.raises(InputRefused, match="has changed since the run began with it"):
        _ = job.source


def test_another_digest_than_the_one_that_is_given(gateway: Gateway, tmp_path: Path) -> None:
    file = a_map(tmp_path)
    with pytest.raises(ParameterRefused, match=r"map_sha256: .* has another SHA-256"):
        import_of(gateway, tmp_path, map=str(file), map_sha256="0" * 64)


async def test_a_run_whose_rows_are_read_is_shown_without_its_map(gateway: Gateway, tmp_path: Path) -> None:
    file = a_map(tmp_path)
    job = import_of(gateway, tmp_path, map=str(file))
    header = tuple(HEADER.strip().split(";"))
    assert list(job.assigned(header).taken) == ["contract_number", "name", "sms"]
    assert job.assigned(header).unused == ("Почта",)
    file.unlink()
    assert job.assigned(header).taken == {}


async def test_a_table_that_the_map_names_belongs_to_the_run(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text('[tables.accounts]\nfile = "accounts.csv"\n', encoding="utf-8")
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("Договор;Логин\nН-1;neu1\n", encoding="utf-8")
    first, second = (import_of(gateway, tmp_path, map=str(file)) for _ in range(2))
    assert [item.key for item in (await prepared(first)).items] == ["Н-1/subscriber/", "Н-1/account/neu1"]
    accounts.write_text("Договор;Логин\nН-1;neu2\n", encoding="utf-8")
    with pytest.raises(InputRefused, match=r"accounts: .* has changed since"):
        _ = second.source


async def test_a_folder_for_all_has_to_be_there_by_its_id(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(ParameterRefused, match="folder: the billing has no folder 424242"):
        await import_of(gateway, tmp_path, folder="424242").check()
    done = await prepared(import_of(gateway, tmp_path, folder="Проба"))
    assert [item.key for item in done.items] == ["folder/Проба", "Н-1/subscriber/"]


async def test_of_rows_that_a_sample_leaves_out_no_secret_is_kept(gateway: Gateway, tmp_path: Path) -> None:
    table = tmp_path / "subscribers.csv"
    rows = "".join(f"Н-{number};Иванов;u{number};secret{number}\n" for number in range(30))
    table.write_text(f"Договор;ФИО;Логин;Пароль\n{rows}", encoding="utf-8")
    order = parse_order("import", Input(file=str(table)), {"sample": "4"}, BUILT_IN)
    vault = tmp_path / "vault"
    job = build(order.kind, replace(gateway, vault=Vault(vault)), order.parameters, order.rows)
    pages = await anyio.to_thread.run_sync(lambda: list(job.source.pages(None)))
    done = await job.prepare([row for page in pages for row in page.rows])
    assert [item.key for item in done.items if "/account/" in item.key] == [f"Н-{n}/account/u{n}" for n in range(4)]
    with sqlite3.connect(vault) as database:
        assert database.execute("select count(*) from secrets").fetchall() == [(4,)]
    database.close()


async def test_a_proposal_that_nobody_has_confirmed_refuses_the_whole_import(
    gateway: Gateway, tmp_path: Path
) -> None:
    file = tmp_path / "names.csv"
    for entry, told in (
        ("tariff;Ночной;3;Тариф 3;near 71;", "line 2, column checked: 'Ночной' is only a proposal"),
        ("tariff;Ночной;77;;;", "line 2, column id: the billing has no tariff 77, or it is deleted"),
        ("tariff;Ночной;3;Тариф 4;equal;", "line 2, column name_here: the tariff 3 is 'Тариф 3' in this billing"),
    ):
        file.write_text(f"kind;name;id;name_here;match;checked\n{entry}\n", encoding="utf-8")
        with pytest.raises(InputRefused, match=told):
            await prepared(import_of(gateway, tmp_path, dictionary=str(file)))
