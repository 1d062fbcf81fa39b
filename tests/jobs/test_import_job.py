"""An import: its steps, its run, and its undo: what it has made goes again, and what others have changed stays."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
import msgspec
import pytest

from billing.database.database import Database
from billing.money import SCALE
from billing.profile import Fact, Profile, StornoEffect, TypeEight
from checkpoints.errors import ForbiddenTransition
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.session.order import parse_order
from engine.errors import InputRefused
from engine.evidence import Accepted, Seen
from engine.job import Absent, Entries, Found, Job, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload, payload_of
from jobs.access.vault import Vault
from jobs.catalogue.catalogue import BUILT_IN
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import Step, Subscriber
from jobs.job import BillingJob, build
from jobs.rows.input import Input
from jobs.spec.errors import ParameterRefused
from lab.mock.server import MockBilling
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.importing import (
    POLICY,
    TableJob,
    approved,
    carried_out,
    filled,
    planned,
    sent_to_the_end,
    states,
    step_by_step,
    subscriber,
    undo_of,
    whole,
)
from tests.jobs.making import RUN, prepared, readings, sightings
from tests.jobs.whole_database import Changes, Tables, changes, new_rows
from tests.jobs.whole_database import whole as whole_database

THREE = [whole(f"0077{one}", one, f"novikov{one}", f"Дома/{one % 2}") for one in range(1, 4)]
"""The first and the third lie in one folder, the second in another."""

SERVICE = (Step.SERVICE, {"usluga_id": "126", "manager_id": "33"})
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


def still_there(before: Tables, after: Tables) -> Changes:
    """What differs but for rows that are deleted again, operations, and accounts of money that are empty."""
    kept = {
        table: {key: row for key, row in each.items() if not _without_effect(table, row)}
        for table, each in changes(before, after).items()
    }
    return {table: rows for table, rows in kept.items() if rows}


def _without_effect(table: str, row: dict[str, tuple[object, object]]) -> bool:
    if table == "ADMIN_ACCOUNTS":
        return row.get("BALANCE") == (None, 0)
    return table == "FINANCE_OPERATIONS" or row.get("DELETED") == (None, 1)


@dataclass(frozen=True, slots=True)
class There:
    gateway: Gateway
    journal: Journal
    database: Database
    execute: Execute
    before: Tables

    def now(self) -> Tables:
        return whole_database(self.database)

    async def imported(self, rows: Sequence[Subscriber], *meanwhile: str, change: bool = False) -> Run:
        """A run of the import; the statements are carried out between list and calls."""
        job = TableJob(self.gateway, rows, change=change)
        return await carried_out(job, self.journal, lambda: self.meanwhile(*meanwhile))

    async def undone(self, run: Run, *meanwhile: str, takes_unproven: bool = False, **how: str) -> Run:
        undo = undo_of(self.gateway, self.journal, run, takes_unproven=takes_unproven, **how)
        return await carried_out(undo, self.journal, lambda: self.meanwhile(*meanwhile))

    def meanwhile(self, *statements: str) -> None:
        for statement in statements:
            self.execute(statement)

    async def found(self, run: Run) -> dict[str, tuple[State, str]]:
        return await states(self.journal, run)

    async def is_accepted(self, run: Run) -> bool:
        return {state for state, _ in (await self.found(run)).values()} == {State.ACCEPTED}

    async def left_alone(self, run: Run) -> set[str]:
        """The labels of the items that an undo has left alone, but for those that go with their subscriber."""
        return {
            item.label
            for item in await self.journal.items(run, {State.SKIPPED, State.REJECTED})
            if not (item.message or "").startswith("goes with its subscriber")
        }

    async def answer_of(self, run: Run, key: str) -> str:
        (item,) = await self.journal.items_by_key(run, [key])
        return item.answer or ""

    def counted(self) -> dict[str, int]:
        found = changes(self.before, self.now())
        return {table: number for table in found if (number := len(new_rows(found, table)))}

    def is_as_before(self) -> bool:
        return still_there(self.before, self.now()) == {}


@pytest.fixture
def there(both: Gateway, journal: Journal, database: Database, execute: Execute) -> There:
    return There(both, journal, database, execute, whole_database(database))


async def test_an_undo_is_undone_by_importing_again(both: Gateway) -> None:
    back = SubscriberSteps(both).undo({})
    assert not isinstance(back, str)
    await back.try_out()
    again = back.undo({})
    assert isinstance(again, str)
    assert "Import the same table once more" in again


OF_MINE = "(select id from abonents where contract_number = '00771')"
CHANGED = {
    "its name": "update abonents set name = 'Другой' where contract_number = '00771'",
    "its tariff": "update abonents set tarif_id = 3 where contract_number = '00771'",
    "its limit": (
        'update admin_accounts set "limit" = -7 where id = '
        "(select account_id from abonents where contract_number = '00771')"
    ),
    "its service": f"update users_usluga set manager_id = 34 where abonent_id = {OF_MINE}",  # noqa: S608
    "another service": f"insert into users_usluga (id, abonent_id, usluga_id) values (90001, {OF_MINE}, 127)",  # noqa: S608
    "another account": f"insert into users (id, abonent_id, login) values (90001, {OF_MINE}, 'other')",  # noqa: S608
    "an operation": (
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) "  # noqa: S608
        f"values (90001, {OF_MINE}, 1, 50000000000, '2026-01-02')"
    ),
}


@pytest.mark.parametrize("change", CHANGED)
async def test_a_subscriber_that_somebody_has_changed_stays_with_all_it_has(there: There, change: str) -> None:
    run = await there.imported(THREE)
    there.execute(CHANGED[change])
    then = there.now()
    back = await there.undone(run)
    assert await there.left_alone(back) == {"00771", "Дома/1", "Дома"}
    reasons = await there.found(back)
    assert reasons[f"{run.name}/1"] == (State.SKIPPED, "left alone, for the folder is not empty: Дома/1")
    assert reasons[f"{run.name}/2"] == (State.SKIPPED, "left alone, for the folder is not empty: 00771")
    assert reasons[f"{run.name}/3"][0] is State.SKIPPED
    # The folder that the run has created after it is empty, and goes.
    assert reasons[f"{run.name}/11"][0] is State.ACCEPTED
    # Of the first nothing has changed by the undo; of the others nothing is left.
    left = still_there(there.before, there.now())
    assert (len(new_rows(left, "ABONENTS")), len(new_rows(left, "ATTRIBUTE_VALUES"))) == (3, 1)
    (mine,) = [row["ID"] for row in new_rows(left, "ABONENTS") if row.get("CONTRACT_NUMBER") == "00771"]
    touched = changes(then, there.now())
    assert mine not in touched["ABONENTS"]
    assert mine not in {row["ABONENT_ID"] for row in new_rows(touched, "FINANCE_OPERATIONS")}


async def test_what_changes_between_the_list_and_the_call_is_left_alone_as_well(there: There) -> None:
    run = await there.imported(THREE)
    back = await there.undone(run, CHANGED["another service"])
    why = "left alone, for it has connected service 90001 with usluga_id 127"
    assert (await there.found(back))[f"{run.name}/3"] == (State.REJECTED, why)


async def test_what_was_set_on_a_subscriber_that_was_there_is_set_back(there: There) -> None:
    parts = [
        (Step.TARIFF, {"tarif_id": "3"}),
        SERVICE,
        (Step.THRESHOLD, {"limit_warning": "-50"}),
        (Step.LIMIT, {"limit": "-100"}),
        (Step.BALANCE, {"op_summa": "12.50"}),
    ]
    run = await there.imported([subscriber("123", 1, *parts, name="Петров")], change=True)
    found = changes(there.before, there.now())
    assert found["ABONENTS"][9002] == {"NAME": ("Иванов", "Петров"), "TARIF_ID": (2, 3)}
    assert found["ADMIN_ACCOUNTS"][9002]["BALANCE"] == (0, 1250 * SCALE // 100)
    await there.undone(run)
    assert there.is_as_before()


async def test_a_field_that_nobody_documents_is_compared_and_taken_back_as_well(there: There) -> None:
    rows = [
        subscriber(f"0077{one}", one, name="Новиков", create_date=f"2020-01-0{one} 00:00:00") for one in range(1, 3)
    ]
    run = await there.imported(rows)
    made = new_rows(changes(there.before, there.now()), "ABONENTS")
    assert [row["CREATE_DATE"].day for row in made] == [1, 2]
    there.execute("update abonents set create_date = '2021-05-05' where contract_number = '00771'")
    assert await there.left_alone(await there.undone(run)) == {"00771"}


async def test_a_balance_that_is_not_taken_back_keeps_its_subscriber(there: There) -> None:
    run = await there.imported(THREE[:1])
    reasons = await there.found(await there.undone(run, way="list"))
    assert "for the accountant" in reasons[f"{run.name}/10"][1]
    assert "for the accountant" in reasons[f"{run.name}/3"][1]
    assert there.counted()["ABONENTS"] == 3
    # Another undo, with a way that sends.
    await there.undone(run, way="opposite")
    assert there.is_as_before()


async def test_balances_go_by_storno_where_that_is_known_to_work(there: There) -> None:
    known = Profile(storno_call=Fact("storno"), storno_works=Fact(True), storno_type_8=Fact(StornoEffect.RESTORES))
    there = replace(there, gateway=replace(there.gateway, profile=known))
    await there.undone(await there.imported(THREE[:1]))
    assert there.is_as_before()
    operations = changes(there.before, there.now())["FINANCE_OPERATIONS"]
    assert [row["STORNO"] for row in operations.values()] == [(None, 1)]


# ---- made by somebody else between list and call -----------------------------------------------------------------

PLAIN = [
    subscriber(f"0077{one}", one, (Step.ACCOUNT, {"login": f"novikov{one}"}), SERVICE, name="Новиков")
    for one in (1, 2)
]
"""Two subscribers at the top, with an account and a service each."""
SUBSCRIBER = "insert into abonents (id, name, contract_number, account_id) values (90001, '{}', '00771', 90001)"
MADE_MEANWHILE = {
    "a whole subscriber": (
        "insert into admin_accounts (id) values (90001)",
        SUBSCRIBER.format("Новиков"),
        "insert into users (id, abonent_id, login) values (90001, 90001, 'novikov1')",
    ),
    "a subscriber of another name": ("insert into admin_accounts (id) values (90001)", SUBSCRIBER.format("Серов")),
    "an account": ("insert into users (id, abonent_id, login) values (90001, 9001, 'novikov1')",),
}


@pytest.mark.parametrize("made", MADE_MEANWHILE)
async def test_what_somebody_else_has_made_between_list_and_call_is_never_taken_for_our_own(
    there: There, made: str
) -> None:
    run = await there.imported(PLAIN, *MADE_MEANWHILE[made])
    found = await there.found(run)
    steps = {state for key, (state, _) in found.items() if "00771" in key}
    assert State.REJECTED in steps, "the table has to be imported once more: nothing is done in silence"
    assert {one.answer for one in await there.journal.items(run, {State.ACCEPTED})}.isdisjoint({"90001"})
    theirs = there.now()
    back = await there.undone(run)
    touched = changes(theirs, there.now())
    assert not any(90001 in rows for rows in touched.values()), "an undo has changed what somebody else has made"
    assert {item.label for item in await there.journal.items(back, {State.ACCEPTED})} >= {"00772"}
    if made != "a whole subscriber":
        return
    assert found["00771/subscriber/"] == (
        State.SKIPPED,
        "already as wanted: somebody else has made it since the list was made (id 90001)",
    )
    why = found["00771/account/novikov1"][1]
    assert why.startswith("not sent: somebody else has made subscriber 00771 since the list was made. Import the ")
    anew = await there.found(await there.imported(PLAIN))
    assert anew["00771/account/novikov1"][0] is State.SKIPPED
    assert anew["00771/service/126"][0] is State.ACCEPTED


async def test_a_folder_that_somebody_else_has_made_by_now_is_used_and_stays(there: There) -> None:
    made = "insert into abonents (id, name, is_folder) values (90001, 'Дома', 1)"
    run = await there.imported([whole(folder="Дома")], made)
    found = await there.found(run)
    assert {state for key, (state, _) in found.items() if key != "folder/Дома"} == {State.ACCEPTED}
    assert found["folder/Дома"][0] is State.SKIPPED
    (person,) = await there.journal.items_by_key(run, ["00777/subscriber/"])
    assert payload_of(person).wanted["parent_id"] == "90001"
    theirs = there.now()
    await there.undone(run)
    assert 90001 not in changes(theirs, there.now())["ABONENTS"]


async def test_two_imports_of_one_journal_make_a_subscriber_once_and_each_undo_takes_its_own(there: There) -> None:
    first = TableJob(there.gateway, PLAIN[:1])
    one = await approved(first, there.journal)
    with pytest.raises(InputRefused, match=f"run {one.name} is not at its end"):
        await approved(TableJob(there.gateway, PLAIN), there.journal)
    await sent_to_the_end(first, there.journal, one.name)
    second = TableJob(there.gateway, PLAIN)
    other = await approved(second, there.journal)
    await sent_to_the_end(second, there.journal, other.name)
    assert there.counted()["ABONENTS"] == 2
    mine = await there.answer_of(one, "00771/subscriber/")
    assert (await there.found(other))["00771/subscriber/"][0] is State.SKIPPED
    then = there.now()
    await there.undone(other)
    assert int(mine) not in changes(then, there.now())["ABONENTS"]
    await there.undone(one)
    assert there.is_as_before()


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


async def test_what_was_found_after_a_kill_stays_until_somebody_says_that_it_is_ours(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call of the first account is lost before it leaves; then somebody else makes an account of that login."""
    job = TableJob(there.gateway, PLAIN)
    run = await approved(job, there.journal)
    Mortal(job, 3, monkeypatch)
    with pytest.raises(Killed):
        await sent_to_the_end(job, there.journal, run.name, ONE_BY_ONE)
    # The second subscriber may be claimed, too.
    sending = await there.journal.items(run, {State.SENDING})
    (lost,) = (item for item in sending if payload_of(item).step == Step.ACCOUNT)
    owner = await there.answer_of(run, f"{lost.label}/subscriber/")
    there.execute.put("users", id=90001, abonent_id=owner, login=payload_of(lost).key["login"])
    await sent_to_the_end(TableJob(there.gateway, PLAIN), there.journal, run.name)
    assert await there.journal.unproven(run) == 1
    then = there.now()
    back = await there.undone(run)
    gone = changes(then, there.now())
    assert 90001 not in gone.get("USERS", {})
    assert int(owner) not in gone["ABONENTS"], "its subscriber would take it along"
    assert lost.label in await there.left_alone(back)
    await there.undone(run, takes_unproven=True)
    assert there.is_as_before()


async def test_killed_between_any_two_calls_each_object_is_there_once_and_gone_once(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page of fewer items than a subscriber has steps.
    monkeypatch.setattr("jobs.undo._PAGE", 5)
    job = TableJob(there.gateway, THREE)
    run = await approved(job, there.journal)
    Mortal(job, 3, monkeypatch)
    assert await lives(job, there.journal, run) > 5
    assert await there.is_accepted(run)
    assert there.counted() == COUNTS
    # What was found after a kill may be somebody else's, but for what has a mark.
    unproven = [item for item in await there.journal.items(run, {State.ACCEPTED}, size=100) if item.unproven]
    assert await there.journal.unproven(run) == len(unproven) > 0
    assert not {payload_of(item).step for item in unproven} & {Step.SERVICE, Step.BALANCE}

    undo = undo_of(there.gateway, there.journal, run, takes_unproven=True)
    back = await approved(undo, there.journal)
    Mortal(undo, 3, monkeypatch)
    assert await lives(undo, there.journal, back) > 3
    assert await there.left_alone(back) == set()
    done = await there.journal.items(back, {State.ACCEPTED})
    assert [item.label for item in done if item.label.startswith("Дома")] == ["Дома/0", "Дома/1", "Дома"]
    assert there.is_as_before()
    # Each operation has one opposite.
    assert there.counted()["FINANCE_OPERATIONS"] == 6
    # And once more from the beginning: what was taken back counts as never entered.
    assert await there.is_accepted(await there.imported(THREE))


async def test_half_an_import_is_undone_and_half_an_undo_goes_on(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = TableJob(there.gateway, THREE)
    run = await approved(job, there.journal)
    Mortal(job, 14, monkeypatch)
    with pytest.raises(Killed):
        await sent_to_the_end(job, there.journal, run.name, ONE_BY_ONE)
    undo = undo_of(there.gateway, there.journal, run)
    back = await approved(undo, there.journal)
    Mortal(undo, 3, monkeypatch)
    with pytest.raises(Killed):
        await sent_to_the_end(undo, there.journal, back.name, ONE_BY_ONE)
    # Another undo begins nothing of what that one has begun.
    other = await there.undone(run)
    assert await there.journal.items(other, {State.ACCEPTED}) == []

    assert await lives(undo, there.journal, back) > 0
    assert await there.left_alone(back) == set()
    assert there.is_as_before()
    # The half that was not sent is never sent.
    run = await there.journal.run(run.name)
    left = await there.journal.items(run, {State.PENDING})
    for item in left:
        with pytest.raises(ForbiddenTransition):
            await there.journal.claim(run, [item.item_id])
    assert len(left) > 1
    assert there.is_as_before()


async def test_a_step_that_is_skipped_does_not_part_those_around_it(there: There, mock_billing: MockBilling) -> None:
    """The tariff goes with its subscriber, who waits all the same until the billing shows the service gone."""
    parts = (Step.TARIFF, {"tarif_id": "2"}), SERVICE
    run = await there.imported([subscriber("00771", 1, *parts, name="Новиков Пётр")])
    mock_billing.stack_rate, mock_billing.busy = 10, False
    back = await there.undone(run)
    await mock_billing.wait_for_stacks()
    assert await there.left_alone(back) == set()
    assert there.is_as_before()


HEADER = "Договор;ФИО;Телефон;Почта\n"
ROW = "Н-1;Иванов;;ivanov@example.org\n"


def import_of(gateway: Gateway, place: Path, **given: str) -> BillingJob:
    table = place / "subscribers.csv"
    table.write_text(HEADER + ROW, encoding="utf-8")
    order = parse_order("import", Input(file=str(table)), given, BUILT_IN)
    return build(order.kind, gateway, order.parameters, order.rows)


def test_a_run_is_refused_with_another_map_and_is_shown_without_one(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text('[subscriber]\nemail = ""\n', encoding="utf-8")
    job = import_of(gateway, tmp_path, map=str(file))
    header = tuple(HEADER.strip().split(";"))
    assert list(job.assigned(header).taken) == ["contract_number", "name", "sms"]
    assert job.assigned(header).unused == ("Почта",)
    file.write_text('[subscriber]\nemail = "Почта"\n', encoding="utf-8")
    with pytest.raises(InputRefused, match="has changed since the run began with it"):
        _ = job.source
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
        ("tariff;Ночной;3;Тариф 3;near 71;", "line 2, column checked: 'Ночной': 3 Тариф 3 is only proposed"),
        ("tariff;Ночной;77;;;", "line 2, column id: the billing has no tariff 77, or it is deleted"),
        ("tariff;Ночной;3;Тариф 4;equal;", "line 2, column name_here: the tariff 3 is 'Тариф 3' in this billing"),
    ):
        file.write_text(f"kind;name;id;name_here;match;checked\n{entry}\n", encoding="utf-8")
        with pytest.raises(InputRefused, match=told):
            await prepared(import_of(gateway, tmp_path, dictionary=str(file)))


TWO = [whole(), whole("00778", 2, "popov")]
SUM = "op_summa"
STEPS = ["subscriber/", "account/{}", "tariff/", "service/126", "attribute/7", "threshold/", "limit/", "balance/"]


async def reasons(effect: SubscriberSteps, *subscribers: Subscriber) -> dict[str, str | None]:
    done = await effect.plan_subscribers(subscribers)
    assert done.refusals == ()
    return {decode_payload(one.payload).step: one.skip_reason for one in done.items}


async def test_a_subscriber_is_made_step_by_step_and_then_found_as_wanted(
    gateway: Gateway, database: Database
) -> None:
    effect = SubscriberSteps(gateway)
    await effect.try_out()
    items = await planned(effect, TWO)
    assert [item.key for item in items] == [
        "folder/Дома",
        "folder/Дома/Новые",
        *(f"00777/{step}".format("novikov") for step in STEPS),
        *(f"00778/{step}".format("popov") for step in STEPS),
    ]
    assert {item.lane for item in items} == {"folders", "contract:00777", "contract:00778"}
    assert await sightings(effect, items) == [Absent()] * len(items)
    before = whole_database(database)

    done = await step_by_step(effect, items)

    found = changes(before, whole_database(database))
    folders, subscribers = new_rows(found, "ABONENTS")[:2], new_rows(found, "ABONENTS")[2:]
    assert [(one["NAME"], one.get("PARENT_ID"), one["IS_FOLDER"]) for one in folders] == [
        ("Дома", None, 1),
        ("Новые", folders[0]["ID"], 1),
    ]
    assert [(one["CONTRACT_NUMBER"], one["PARENT_ID"], one["TARIF_ID"], one["SMS"]) for one in subscribers] == [
        (number, folders[1]["ID"], 2, "+79001234567") for number in ("00777", "00778")
    ]
    for table in ("USERS", "USERS_USLUGA", "ATTRIBUTE_VALUES", "FINANCE_OPERATIONS"):
        assert [one["ABONENT_ID"] for one in new_rows(found, table)] == [one["ID"] for one in subscribers], table
    money = [(one["BALANCE"], one["LIMIT_WARNING"], one["limit"]) for one in new_rows(found, "ADMIN_ACCOUNTS")]
    assert money == [(1250 * SCALE // 100, -50 * SCALE, -100 * SCALE)] * 2

    assert all(isinstance(one, Found) for one in await sightings(effect, done))
    assert await effect.visible(RUN, done) == {one.item_id for one in done}
    assert all(one.difference is None for one in await readings(effect, done))
    # The id of somebody else, as a person may have typed it: nothing goes to it.
    (person, *_) = [item for item in done if item.key == "00777/subscriber/"]
    assert await effect.visible(RUN, [msgspec.structs.replace(person, answer="9001")]) == set()
    # The same table again, by a journal that knows nothing of it.
    again = await planned(SubscriberSteps(gateway), TWO)
    assert {item.state for item in again} == {State.SKIPPED}


async def test_what_is_filled_in_later_is_no_sooner_looked_for_nor_shown_as_known(gateway: Gateway) -> None:
    effect = SubscriberSteps(gateway)
    items = await planned(effect, TWO[:1])
    by_key = {item.key: item for item in items}
    account, balance = by_key["00777/account/novikov"], by_key["00777/balance/"]
    assert effect.describe(RUN.name, account).startswith('Users: objects.create(abonent_id="<00777/subscriber/>"')
    assert effect.needs(balance) == ("00777/limit/", "00777/subscriber/")
    assert await sightings(effect, [balance]) == [Absent()]
    assert await effect.visible(RUN, [account]) == set()
    # An id that is none is never sent.
    person = by_key["00777/subscriber/"]
    for answer in (None, "", "x", "0", str(2**31)):
        with pytest.raises(InputRefused, match="the id of 00777 is not known"):
            filled(effect, account, {person.key: msgspec.structs.replace(person, answer=answer)})


async def test_a_new_folder_is_asked_for_once_whatever_the_pages(gateway: Gateway) -> None:
    effect = SubscriberSteps(gateway)
    first, second = [await planned(effect, [one]) for one in TWO]
    assert [item.key for item in first + second if item.lane == "folders"] == ["folder/Дома", "folder/Дома/Новые"]
    assert payload_of(second[0]).needs == ("folder/Дома/Новые",)
    # A page that is planned anew has them again.
    assert [item.key for item in await planned(effect, TWO) if item.lane == "folders"] == [
        "folder/Дома",
        "folder/Дома/Новые",
    ]


async def test_a_folder_that_is_there(gateway: Gateway) -> None:
    for folder, parent in [
        ({"path": ""}, None),
        ({"id": str(FOLDER)}, FOLDER),
        ({"path": " Странные / "}, FOLDER),
        ({}, None),
    ]:
        effect = SubscriberSteps(gateway)
        (item,) = await planned(effect, [subscriber("00777", 1, (Step.FOLDER, folder), name="Новиков")])
        assert payload_of(item).steps[0].arguments.get("parent_id") == parent
        assert payload_of(item).fills == {}


async def test_a_lost_subscriber_is_not_absent_while_anything_new_waits_to_be_carried_out(
    gateway: Gateway, mock_billing: MockBilling
) -> None:
    effect = SubscriberSteps(gateway)
    (item,) = await planned(effect, [subscriber("00777", name="Новиков")])
    mock_billing.stack_rate = 0.001
    assert isinstance(await effect.send(RUN, item), Accepted)
    assert await sightings(effect, [item]) == [Absent()]
    assert await effect.visible(RUN, [item]) == set()
    waits = "EVENTS_STACK_COMPACT holds 1 entry" if gateway.database else None
    assert await effect.unfinished_work([item]) == waits
    mock_billing.stack_rate = 0
    await mock_billing.wait_for_stacks()
    assert await effect.unfinished_work([item]) is None
    assert await effect.visible(RUN, [item]) == {item.item_id}


@pytest.fixture
def having(execute: Execute) -> None:
    """What the subscriber 9001 has: an account, a service, an attribute; 9010 has a balance."""
    execute.put("users", id=90001, abonent_id=9001, login="ivanov", pull=5)
    execute.put("users_usluga", id=90001, abonent_id=9001, usluga_id=126, manager_id=34)
    execute.put("attribute_values", id=90001, abonent_id=9001, attribute_id=7, attribute_value="a")
    execute("update admin_accounts set ostatok = ? where id = 9010", 100 * SCALE)


@pytest.fixture
def alone(execute: Execute) -> None:
    """9001 has its account of money for itself."""
    execute("update abonents set deleted = 1 where id = 9008")


DIFFERING = subscriber(
    "00123",
    1,
    (Step.FOLDER, {"path": "Дома/Новые"}),
    (Step.ACCOUNT, {"login": "ivanov", "pull": "6", "psw": "•••0123456789abcdef.0123456789abcdef"}),
    (Step.TARIFF, {"tarif_id": "3"}),
    SERVICE,
    (Step.ATTRIBUTE, {"attribute_id": "7", "attribute_value": "b"}),
    (Step.THRESHOLD, {"limit_warning": "-50.00"}),
    (Step.LIMIT, {"limit": "-100"}),
    name="ИВАНОВ",
)
AGAIN = "; --change changes it"


@pytest.mark.usefixtures("having", "alone")
async def test_what_differs_is_named_and_left_and_what_is_empty_is_set(gateway: Gateway, database: Database) -> None:
    effect = SubscriberSteps(gateway)
    different = "there already, and different: "
    assert await reasons(effect, DIFFERING) == {
        "subscriber": f"{different}name: Иванов → ИВАНОВ, parent_id: 9100 → Дома/Новые{AGAIN}",
        "account": f"{different}pull: 5 → 6{AGAIN}",
        "tariff": f"{different}tarif_id: 2 → 3{AGAIN}",
        "service": f"{different}manager_id: 34 → 33{AGAIN}",
        "attribute": f"{different}attribute_value: a → b{AGAIN}",
        "threshold": f"{different}limit_warning: -120 → -50{AGAIN}",
        # There was none.
        "limit": None,
    }
    before = whole_database(database)
    await step_by_step(effect, await planned(effect, [DIFFERING]))
    assert changes(before, whole_database(database)) == {"ADMIN_ACCOUNTS": {9001: {"limit": (None, -100 * SCALE)}}}


@pytest.mark.usefixtures("having", "alone")
async def test_nothing_is_given_to_who_has_the_number_and_another_name(gateway: Gateway) -> None:
    belongings = (
        (Step.ACCOUNT, {"login": "petrov"}),
        (Step.LIMIT, {"limit": "-100"}),
        (Step.SERVICE, {"usluga_id": "127", "manager_id": "33"}),
    )
    petrov = subscriber("00123", 1, *belongings, name="Петров")
    found = await reasons(SubscriberSteps(gateway), petrov)
    assert all((reason or "").startswith("there already, and different: ") for reason in found.values()), found
    assert found["subscriber"] == f"there already, and different: name: Иванов → Петров{AGAIN}"
    assert "may be somebody else" in (found["account"] or "")
    changed = await reasons(SubscriberSteps(gateway, change=True), petrov)
    assert changed["limit"] is None
    assert "login ivanov would stay beside that of the row" in (changed["account"] or "")


@pytest.mark.usefixtures("having", "alone")
async def test_what_differs_is_changed_where_that_was_said(gateway: Gateway, database: Database) -> None:
    effect = SubscriberSteps(gateway, change=True)
    before = whole_database(database)
    done = await step_by_step(effect, await planned(effect, [DIFFERING]))
    found = changes(before, whole_database(database))
    folders = [row["ID"] for row in new_rows(found, "ABONENTS")]
    assert found.pop("ABONENTS")[9001] == {
        "NAME": ("Иванов", "ИВАНОВ"),
        "PARENT_ID": (FOLDER, folders[1]),
        "TARIF_ID": (2, 3),
    }
    assert found.pop("USERS")[90001]["PULL"] == (5, 6)
    assert found == {
        "USERS_USLUGA": {90001: {"MANAGER_ID": (34, 33)}},
        "ATTRIBUTE_VALUES": {90001: {"ATTRIBUTE_VALUE": ("a", "b")}},
        "ADMIN_ACCOUNTS": {9001: {"LIMIT_WARNING": (-120 * SCALE, -50 * SCALE), "limit": (None, -100 * SCALE)}},
    }
    assert await readings(effect, done) == [ReadBack(None)] * len(done)
    assert await effect.visible(RUN, done) == {one.item_id for one in done}


NEEDS_NONE = "a balance of 0 needs no operation"
THERE = "there already, and different: the balance is 100.00"
REPLACES = "--change enters it where nothing but opening balances has come to the account"
BALANCES: Sequence[tuple[str, str, bool, TypeEight, str | None]] = [
    ("00777", "0", False, TypeEight.SETS, NEEDS_NONE),
    ("123", "0.00", False, TypeEight.SETS, NEEDS_NONE),
    ("123", "50", False, TypeEight.SETS, None),
    ("77/2", "100", False, TypeEight.SETS, "already as wanted: the balance is 100.00"),
    (
        "77/2",
        "50",
        False,
        TypeEight.SETS,
        f"{THERE}, the row says 50.00; {REPLACES}",
    ),
    ("77/2", "0", True, TypeEight.SETS, None),
    ("77/2", "50", True, TypeEight.ADDS, THERE),
]


@pytest.mark.usefixtures("having")
async def test_a_balance_is_entered_where_none_is_there(gateway: Gateway) -> None:
    for number, amount, change, type_8, wanted in BALANCES:
        known = replace(gateway, profile=Profile(type_8=Fact(type_8))) if type_8 is TypeEight.ADDS else gateway
        row = subscriber(number, 1, (Step.BALANCE, {SUM: amount}))
        told = (await reasons(SubscriberSteps(known, change=change), row))["balance"]
        assert told == wanted or (type_8 is TypeEight.ADDS and (told or "").startswith(THERE)), (number, amount)


@pytest.mark.usefixtures("having")
async def test_entries_of_another_journal_are_found_of_subscribers_that_are_there(
    gateway: Gateway, execute: Execute
) -> None:
    names = "op_id abonent_id op_type op_summa op_date descr"
    execute.rows("finance_operations", names, (90001, 9002, 8, 7 * SCALE, "2026-01-02", "[cm aaaaa/1]"))
    effect = SubscriberSteps(gateway)
    rows = [subscriber(number, 1, (Step.BALANCE, {SUM: "50"})) for number in ("00777", "123")]
    items = (await effect.plan_subscribers(rows)).items
    found = await effect.find_entries(items)
    assert found.keys() == {"123/balance/"}
    (marked,) = found["123/balance/"].marked
    assert (marked.run, marked.number) == ("aaaaa", 1)
    assert found["123/balance/"] == Entries((marked,))


SHARED = (
    "its account of money is also that of abonent 9008, whose balance this would replace: leave the balance out "
    "here, and enter it with the job balances"
)
TAKEN = "the login 'ivanov' is that of abonent 9001 already"
NO_AMOUNT = "'5,0' is not an amount: money is written as -1234.50 here"
IVANOV = (Step.ACCOUNT, {"login": "ivanov"})
REFUSED: Sequence[tuple[str, Sequence[tuple[Step, dict[str, str]]], str | None, str]] = [
    ("00777", [IVANOV], "login", TAKEN),
    ("123", [IVANOV], "login", TAKEN),
    ("00777", [(Step.SERVICE, {"usluga_id": "126"})] * 2, None, "usluga_id 126 twice for one subscriber"),
    ("00777", [(Step.ACCOUNT, {"login": ""})], None, "login is empty: which object is meant?"),
    ("ДУБЛЬ", [], None, "several subscribers have the contract number 'ДУБЛЬ': 9004, 9005"),
    ("00777", [(Step.FOLDER, {"id": "9001"})], "id", "there is no folder 9001, or it is deleted"),
    ("00123", [(Step.BALANCE, {SUM: "5"})], None, SHARED),
    ("БЕЗСЧЁТА", [(Step.LIMIT, {"limit": "5"})], None, "abonent 9007 has no account"),
    ("00777", [(Step.BALANCE, {SUM: "5,0"})], SUM, NO_AMOUNT),
    ("", [], "contract_number", "'' is not a contract number"),
]


@pytest.mark.usefixtures("having")
async def test_a_row_is_refused_as_a_whole(gateway: Gateway) -> None:
    effect = SubscriberSteps(gateway)
    for number, parts, column, reason in REFUSED:
        done = await effect.plan_subscribers([subscriber(number, 1, *parts)])
        assert (done.items, [(one.column, one.reason) for one in done.refusals]) == ((), [(column, reason)])
    # A number whose bearer is deleted is free.
    assert await reasons(SubscriberSteps(gateway), subscriber("ГОСТЬ-1", name="Гость")) == {"subscriber": None}
