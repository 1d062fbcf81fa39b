"""What somebody else does between list and calls: what they have done stays, and nothing reaches others."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

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
from jobs.catalogue.catalogue import BUILT_IN
from jobs.effects.effect import CallEffect
from jobs.job import BillingJob
from jobs.undo import EarlierItems, UndoJob
from jobs.value_changes import overwritten
from tests.jobs.conftest import Execute
from tests.jobs.importing import carried_out, states
from tests.jobs.making import job_of, rows_of
from tests.jobs.test_scenes import Scene, carry_out, pairs, scenes
from tests.jobs.whole_database import Tables, changes, new_rows, whole


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


DONE: Final = (State.ACCEPTED, "")
OPPOSITE = {"way": "opposite"}
NUMBER_MOVES = (
    "update abonents set contract_number = '00123-old' where id = 9001",
    "update abonents set contract_number = '00123' where id = 9003",
)
PAID = "operation 900001;9003;2;50"
OTHERS: Final = """
has deleted it
  run delete-services
  rows id / 90001 / 90002
  then update users_usluga set deleted = 1 where id = 90001
  skipped 90001: already as wanted: somebody else has deleted UsersUsluga 90001 since the list was made
  accepted 90002
has given the attribute
  database
  run attribute
  rows contract_number;attribute_id;attribute_value / 00123;1012;телеграм / A15;7;0015 / 123;7;1
  then put attribute_values id;abonent_id;attribute_id;attribute_value = 90001;9001;1012;телеграм /
      90002;9003;7;другое
  skipped 9001/1012: already as wanted: somebody else has made it since the list was made (id 90001)
  rejected 9003/7: there already since the list was made, and different: sent attribute_value
  accepted 9002/7
has given the number to another
  run balances
  rows contract_number;amount / 00123;129.22 / 77/2;1
  then update abonents set contract_number = '00123-old' where id = 9001
  then update abonents set contract_number = '00123' where id = 9003
  rejected 9001/8: given to another subscriber since: contract number 00123 was abonent 9001 when the list was made,
      and
      now it is abonent 9003
  accepted 9010/8
has moved the number of a row by its id
  run balances
  rows abonent_id;amount / 9001;129.22
  then update abonents set contract_number = '00123-old' where id = 9001
  then update abonents set contract_number = '00123' where id = 9003
  accepted 9001/8
has renamed the login
  run snat-pool
  rows login;pool / ivanov;5 / petrov;5
  then update users set login = login || '-old' where id = 90001
  rejected 90001: login ivanov was account 90001 when the list was made, and now it is nobody's
  accepted 90002
has renamed the number
  run payment
  rows contract_number;amount / A15;50
  then update abonents set contract_number = 'A16' where id = 9003
  rejected 9003: and now it is nobody's alone
has paid
  run balances
  rows contract_number;amount / A15;100 / 123;70
  then operation 900001;9003;2;50
  rejected 9003/8: changed since the list was made: 50.00 came to the account, and this row would set its balance
      over it:
      operation 900001 of 50.00, 2026-02-03. Enter the row again to have it compared anew
  accepted 9002/8
  again
has paid to the account for another
  database
  run balances
  rows contract_number;amount / 00123;100
  then operation 900001;9008;2;50
  rejected 9001/8: operation 900001 of 50.00
has paid where type 8 adds
  adds
  run balances
  rows contract_number;amount / A15;100 / 123;70
  then operation 900001;9003;2;50
  accepted 9003/8
  accepted 9002/8
has merged the account of a number
  run balances
  rows contract_number;amount / A15;100
  then update abonents set account_id = 9002 where id = 9003
  rejected 9003/8: abonent 9003 had account 9003, and now it has account 9002
has merged the account of an id
  run balances
  rows abonent_id;amount / 9003;100
  then update abonents set account_id = 9002 where id = 9003
  rejected 9003/8: abonent 9003 had account 9003, and now it has account 9002
has merged an account whose fields are set
  run warning-threshold amount=-77
  rows contract_number / A15 / 00123
  then update abonents set account_id = 9002 where id = 9003
  rejected 9003: abonent 9003 had account 9003, and now it has account 9002, whose fields this would set
  accepted 9001
"""
"""Words as in `test_scenes.py`; `then` is between list and calls, and below it stands what becomes of each row."""


@pytest.fixture
def things(execute: Execute) -> None:
    for key, login in ((90001, "ivanov"), (90002, "petrov")):
        execute.put("users_usluga", id=key, abonent_id=9001, usluga_id=126, manager_id=33)
        execute.put("users", id=key, abonent_id=9001, login=login, enabled=1)


@pytest.mark.parametrize("scene", scenes(OTHERS).values(), ids=list(scenes(OTHERS)))
@pytest.mark.usefixtures("things")
async def test_what_somebody_else_does_between_list_and_calls_stands(
    gateway: Gateway, journal: Journal, database: Database, execute: Execute, scene: Scene
) -> None:
    """A row that would undo it, or reach another, is not sent, and says so; an undo touches the run's own alone."""
    said = dict(scene)
    if "database" in said and not gateway.database:
        return
    if "adds" in said:
        gateway = replace(gateway, profile=Profile(type_8=Fact(TypeEight.ADDS, None, Standing.ASSUMED)))
    name, _, given = said["run"][0].partition(" ")
    rows = rows_of(said["rows"][0].replace(" / ", "\n") + "\n")
    job = job_of(gateway, BUILT_IN.named(name), rows, **pairs(given))

    def meanwhile() -> None:
        for statement in said["then"]:
            carry_out(statement, execute)
        execute("set generator gen_finance_operations_id to 900100")
        theirs.update(whole(database))

    theirs: Tables = {}
    run = await carried_out(job, journal, meanwhile)
    found = await states(journal, run)
    became = {line.split(": ")[0]: (word, line) for word, lines in scene if word in set(State) for line in lines}
    assert {key: str(state) for key, (state, _) in found.items()} == {key: word for key, (word, _) in became.items()}
    assert all(line.partition(": ")[2] in found[key][1] for key, (_, line) in became.items())
    taken = {key.split("/")[0] for key, (word, _) in became.items() if word == State.ACCEPTED}
    made = changes(theirs, whole(database))
    assert {str(row["ABONENT_ID"]) for row in new_rows(made, "FINANCE_OPERATIONS")} <= taken
    if "again" in said:
        again = await carried_out(job_of(gateway, BUILT_IN.named(name), rows), journal)
        assert [state for state, _ in (await states(journal, again)).values()].count(State.ACCEPTED) == 1
        return
    how = OPPOSITE if name in {"balances", "payment"} else {}
    await carried_out(back_of(gateway, job, journal, run, **how), journal)
    left = changes(theirs, whole(database))
    # What their hands have made, or have deleted, is as they left it.
    assert not any({90001, 900001} & rows.keys() for rows in left.values())


async def test_an_operation_that_somebody_else_has_reversed_by_now_is_not_counted_as_taken_back(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    job = job_of(both, "balances", rows_of("contract_number;amount\n00123;50\nA15;60\n"))
    run = await carried_out(job, journal)
    first = (await journal.items(run, {State.ACCEPTED}))[0]
    back = back_of(both, job, journal, run, way="storno", storno_call="storno")
    undo = await carried_out(
        back, journal, lambda: execute("update finance_operations set storno = 1 where op_id = ?", first.answer)
    )
    assert [state for state, _ in (await states(journal, undo)).values()] == [State.SKIPPED, State.ACCEPTED]


async def test_verify_says_that_a_number_is_another_subscribers(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    job = job_of(both, "balances", rows_of("contract_number;amount\n00123;129.22\nA15;1\n"))
    run = await carried_out(job, journal)
    for statement in NUMBER_MOVES:
        execute(statement)
    found = await differences(job, journal, run)
    assert set(found) == {"00123", "A15"}
    assert "contract number 00123 was abonent 9001 when the list was made" in found["00123"]


async def test_an_undo_sets_no_balance_back_over_a_payment_that_has_come_since_its_list(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    job = job_of(both, "balances", rows_of("contract_number;amount\nA15;100\n123;70\n"))
    run = await carried_out(job, journal)
    paid = f"update admin_accounts set debit = debit + {50 * SCALE} where id = 9003"  # noqa: S608 - numbers of ours
    undo = await carried_out(back_of(both, job, journal, run, **OPPOSITE), journal, lambda: execute(paid))
    assert await states(journal, undo) == {
        f"{run.name}/1": (State.REJECTED, "changed since the plan: the balance was 100.00, and now it is 150.00"),
        f"{run.name}/2": DONE,
    }


async def test_a_payment_that_was_overwritten_all_the_same_is_said_by_verify(
    both: Gateway, journal: Journal, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pays after the last look, just before the call leaves."""
    job = job_of(both, "balances", rows_of("contract_number;amount\nA15;100\n"))
    send = job.effect.send

    async def late(run: Run, item: Item) -> Seen:
        carry_out(PAID, execute)
        return await send(run, item)

    monkeypatch.setattr(job.effect, "send", late)
    execute("set generator gen_finance_operations_id to 900100")
    run = await carried_out(job, journal)
    assert [state for state, _ in (await states(journal, run)).values()] == [State.ACCEPTED]
    assert await differences(job, journal, run) == {
        "A15": "overwritten: 50.00 came to the account after the list was made and before this row set its balance: "
        "operation 900001 of 50.00, 2026-02-03"
    }


async def test_fields_that_were_changed_meanwhile_are_counted(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    rows = "contract_number;amount\n00123;-77\nA15;-77\n123;-77\n"
    job = job_of(both, "warning-threshold", rows_of(rows))

    def meanwhile() -> None:
        execute("update admin_accounts set limit_warning = ? where id = 9003", -5 * SCALE)
        # As wanted already: nothing of theirs is overwritten.
        execute("update admin_accounts set limit_warning = ? where id = 9002", -77 * SCALE)

    run = await carried_out(job, journal, meanwhile)
    found = await overwritten(run, journal)
    assert (found.rows, found.amount) == (1, Decimal(0))
