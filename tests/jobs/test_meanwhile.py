"""What somebody else does between list and calls: what they have done stays, and nothing reaches others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import pytest

from billing.database.database import Database
from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, Profile, Standing, TypeEight
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.evidence import Seen
from engine.job import ReadBack
from engine.pipeline.verifier import verify
from jobs.access.gateway import Gateway
from jobs.catalogue.built_in import ATTRIBUTE, BALANCES, DELETE_SERVICES, PAYMENT, SNAT_POOL, WARNING_THRESHOLD
from jobs.effects.effect import CallEffect
from jobs.job import BillingJob
from jobs.spec.spec import JobSpec
from jobs.undo import EarlierItems, UndoJob
from jobs.value_changes import overwritten
from tests.jobs.conftest import Execute
from tests.jobs.importing import carried_out, states
from tests.jobs.making import job_of, rows_of
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


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """A job's rows, what somebody else does between list and calls, and what becomes of each row."""

    kind: JobSpec
    rows: str
    done: Sequence[str]
    found: Mapping[str, tuple[State, str]]
    """By key: the state, and what is said of it."""
    again: bool = False
    """Whether the rows are taken when they are entered again, with a new list."""
    profile: Profile = UNKNOWN
    needs_database: bool = False


DONE: Final = (State.ACCEPTED, "")
NUMBER_MOVES = (
    "update abonents set contract_number = '00123-old' where id = 9001",
    "update abonents set contract_number = '00123' where id = 9003",
)
MERGED = ("update abonents set account_id = 9002 where id = 9003",)
OTHERS_ACCOUNT = "abonent 9003 had account 9003, and now it has account 9002"
OPPOSITE = {"way": "opposite"}


def pays(abonent: int = 9003) -> str:
    """Somebody pays 50.00."""
    values = f"900001, {abonent}, 2, {50 * SCALE}, '2026-11-29'"
    return f"insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) values ({values})"  # noqa: S608


OTHERS: Final[Mapping[str, Meanwhile]] = {
    "has deleted it": Meanwhile(
        DELETE_SERVICES,
        "id\n90001\n90002\n",
        ["update users_usluga set deleted = 1 where id = 90001"],
        {
            "90001": (
                State.SKIPPED,
                "already as wanted: somebody else has deleted UsersUsluga 90001 since the list was made",
            ),
            "90002": DONE,
        },
    ),
    "has given the attribute": Meanwhile(
        ATTRIBUTE,
        "contract_number;attribute_id;attribute_value\n00123;1012;телеграм\nA15;7;0015\n123;7;1\n",
        [
            "insert into attribute_values values (90001, 9001, 1012, 'телеграм')",
            "insert into attribute_values values (90002, 9003, 7, 'другое')",
        ],
        {
            "9001/1012": (
                State.SKIPPED,
                "already as wanted: somebody else has made it since the list was made (id 90001)",
            ),
            "9003/7": (State.REJECTED, "there already since the list was made, and different: sent attribute_value"),
            "9002/7": DONE,
        },
        needs_database=True,
    ),
    "has given the number to another": Meanwhile(
        BALANCES,
        "contract_number;amount\n00123;129.22\n77/2;1\n",
        NUMBER_MOVES,
        {
            "9001/8": (
                State.REJECTED,
                (
                    "given to another subscriber since: contract number 00123 was abonent 9001 when the list was "
                    "made, and now it is abonent 9003"
                ),
            ),
            "9010/8": DONE,
        },
    ),
    "has moved the number of a row by its id": Meanwhile(
        BALANCES, "abonent_id;amount\n9001;129.22\n", NUMBER_MOVES, {"9001/8": DONE}
    ),
    "has renamed the login": Meanwhile(
        SNAT_POOL,
        "login;pool\nivanov;5\npetrov;5\n",
        ["update users set login = login || '-old' where id = 90001"],
        {
            "90001": (
                State.REJECTED,
                "login ivanov was account 90001 when the list was made, and now it is nobody's",
            ),
            "90002": DONE,
        },
    ),
    "has renamed the number": Meanwhile(
        PAYMENT,
        "contract_number;amount\nA15;50\n",
        ["update abonents set contract_number = 'A16' where id = 9003"],
        {"9003": (State.REJECTED, "and now it is nobody's alone")},
    ),
    "has paid": Meanwhile(
        BALANCES,
        "contract_number;amount\nA15;100\n123;70\n",
        [pays()],
        {
            "9003/8": (
                State.REJECTED,
                (
                    "changed since the list was made: 50.00 came to the account, and this row would set its balance "
                    "over it: operation 900001 of 50.00, 2026-11-29. Enter the row again to have it compared anew"
                ),
            ),
            "9002/8": DONE,
        },
        again=True,
    ),
    "has paid to the account for another": Meanwhile(
        BALANCES,
        "contract_number;amount\n00123;100\n",
        [pays(9008)],
        {"9001/8": (State.REJECTED, "operation 900001 of 50.00")},
        needs_database=True,
    ),
    "has paid where type 8 adds": Meanwhile(
        BALANCES,
        "contract_number;amount\nA15;100\n123;70\n",
        [pays()],
        {"9003/8": DONE, "9002/8": DONE},
        profile=Profile(type_8=Fact(TypeEight.ADDS, None, Standing.ASSUMED)),
    ),
    "has merged the account of a number": Meanwhile(
        BALANCES, "contract_number;amount\nA15;100\n", MERGED, {"9003/8": (State.REJECTED, OTHERS_ACCOUNT)}
    ),
    "has merged the account of an id": Meanwhile(
        BALANCES, "abonent_id;amount\n9003;100\n", MERGED, {"9003/8": (State.REJECTED, OTHERS_ACCOUNT)}
    ),
    "has merged an account whose fields are set": Meanwhile(
        WARNING_THRESHOLD,
        "contract_number;amount\nA15;-77\n00123;-77\n",
        MERGED,
        {"9003": (State.REJECTED, f"{OTHERS_ACCOUNT}, whose fields this would set"), "9001": DONE},
    ),
}


@pytest.fixture
def things(execute: Execute) -> None:
    for key, login in ((90001, "ivanov"), (90002, "petrov")):
        execute.put("users_usluga", id=key, abonent_id=9001, usluga_id=126, manager_id=33)
        execute.put("users", id=key, abonent_id=9001, login=login, enabled=1)


@pytest.mark.parametrize("case", OTHERS.values(), ids=list(OTHERS))
@pytest.mark.usefixtures("things")
async def test_what_somebody_else_does_between_list_and_calls_stands(
    gateway: Gateway, journal: Journal, database: Database, execute: Execute, case: Meanwhile
) -> None:
    """A row that would undo it, or reach another, is not sent, and says so; an undo touches the run's own alone."""
    if case.needs_database and not gateway.database:
        return
    gateway = replace(gateway, profile=case.profile)
    given = {"amount": "-77"} if case.kind is WARNING_THRESHOLD else {}
    job = job_of(gateway, case.kind, rows_of(case.rows), **given)

    def meanwhile() -> None:
        for statement in case.done:
            execute(statement)
        execute("set generator gen_finance_operations_id to 900100")
        theirs.update(whole(database))

    theirs: Tables = {}
    run = await carried_out(job, journal, meanwhile)
    found = await states(journal, run)
    assert {key: state for key, (state, _) in found.items()} == {key: state for key, (state, _) in case.found.items()}
    assert all(text in found[key][1] for key, (_, text) in case.found.items())
    taken = {key.split("/")[0] for key, (state, _) in case.found.items() if state is State.ACCEPTED}
    made = changes(theirs, whole(database))
    assert {str(row["ABONENT_ID"]) for row in new_rows(made, "FINANCE_OPERATIONS")} <= taken
    if case.again:
        again = await carried_out(job_of(gateway, case.kind, rows_of(case.rows)), journal)
        assert [state for state, _ in (await states(journal, again)).values()].count(State.ACCEPTED) == 1
        return
    how = OPPOSITE if case.kind in {BALANCES, PAYMENT} else {}
    await carried_out(back_of(gateway, job, journal, run, **how), journal)
    left = changes(theirs, whole(database))
    # What their hands have made, or have deleted, is as they left it.
    assert not any({90001, 900001} & rows.keys() for rows in left.values())


async def test_an_operation_that_somebody_else_has_reversed_by_now_is_not_counted_as_taken_back(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    job = job_of(both, BALANCES, rows_of("contract_number;amount\n00123;50\nA15;60\n"))
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
    job = job_of(both, BALANCES, rows_of("contract_number;amount\n00123;129.22\nA15;1\n"))
    run = await carried_out(job, journal)
    for statement in NUMBER_MOVES:
        execute(statement)
    found = await differences(job, journal, run)
    assert set(found) == {"00123", "A15"}
    assert "contract number 00123 was abonent 9001 when the list was made" in found["00123"]


async def test_an_undo_sets_no_balance_back_over_a_payment_that_has_come_since_its_list(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    job = job_of(both, BALANCES, rows_of("contract_number;amount\nA15;100\n123;70\n"))
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
    job = job_of(both, BALANCES, rows_of("contract_number;amount\nA15;100\n"))
    send = job.effect.send

    async def late(run: Run, item: Item) -> Seen:
        execute(pays())
        return await send(run, item)

    monkeypatch.setattr(job.effect, "send", late)
    execute("set generator gen_finance_operations_id to 900100")
    run = await carried_out(job, journal)
    assert [state for state, _ in (await states(journal, run)).values()] == [State.ACCEPTED]
    assert await differences(job, journal, run) == {
        "A15": "overwritten: 50.00 came to the account after the list was made and before this row set its balance: "
        "operation 900001 of 50.00, 2026-11-29"
    }


async def test_fields_that_somebody_has_changed_meanwhile_are_counted(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    rows = "contract_number;amount\n00123;-77\nA15;-77\n123;-77\n"
    job = job_of(both, WARNING_THRESHOLD, rows_of(rows))

    def meanwhile() -> None:
        execute("update admin_accounts set limit_warning = ? where id = 9003", -5 * SCALE)
        # As wanted already: nothing of theirs is overwritten.
        execute("update admin_accounts set limit_warning = ? where id = 9002", -77 * SCALE)

    run = await carried_out(job, journal, meanwhile)
    found = await overwritten(run, journal)
    assert (found.rows, found.amount) == (1, Decimal(0))
