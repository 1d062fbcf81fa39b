"""Jobs that enter, create, pay and delete, each on the mock billing: there and back again, and answers that are lost.

One table of jobs, one way for all: look, call, lose, find, read back, and take back, as often as that goes. The whole
of the billing's database is held against what it was. Those that set fields are in `catalogue/test_fields.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import pytest

from billing.database.database import Database
from billing.money import SCALE
from checkpoints.records import Item, Run
from engine.evidence import Lost
from engine.job import Absent, Effect, Found
from jobs.access.gateway import Gateway
from jobs.catalogue.built_in import ATTRIBUTE, BALANCES, CONNECT_SERVICE, DELETE_ACCOUNT, DELETE_SERVICES, PAYMENT
from jobs.catalogue.typed_call import call_kind
from jobs.effects.effect import CallEffect, Irreversible
from jobs.spec.chain import chain_text
from jobs.spec.spec import JobSpec
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.server import MockBilling
from tests.jobs.conftest import Execute
from tests.jobs.making import (
    RUN,
    THIRD_RUN,
    UNDO_RUN,
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
from tests.jobs.whole_database import changes, told, whole


def entered(op_type: int, *sums: str, run: Run = RUN, storno: int = 0, undoes: int = 0) -> list[str]:
    """New operations of 9001 and the next ones; those that take others back name the first that they do."""
    texts = [f"Отмена операции #{undoes + n}" if undoes else "Миграция балансов" for n in range(len(sums))]
    rows = enumerate(zip(sums, texts, strict=True), 1)
    return [
        f"+FINANCE_OPERATIONS {9000 + n};{op_type};{amount};{storno};{text} [cm {run.name}/{n}]"
        for n, (amount, text) in rows
    ]


@dataclass(frozen=True, slots=True)
class Way:
    """A job's rows and what is given for all; what it changes, and what differs from before once it is taken back."""

    kind: JobSpec
    rows: str
    done: Sequence[str]
    undone: Sequence[str] = ()
    again: Sequence[str] | None = None
    """After the undo of the undo; None of one that is final, or deletes for good."""
    given: Mapping[str, str] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)
    needs_database: bool = False
    is_known: bool = False
    """Whether the same row of another run is there already."""


def typed(model: str, chain: str, rows: str, made: str, *besides: str) -> Way:
    """The job `call`, with what it makes, which is only marked as deleted when it is taken back."""
    given = {"model": model, "chain": chain_text([chain])}
    return Way(call_kind(given), rows, [f"{made};0", *besides], [f"{made};1", *besides], given=given, is_known=True)


def operations(op_type: int, *accounts: str) -> tuple[list[str], list[str], list[str]]:
    """Three of them, taken back, and restored."""
    there = entered(op_type, *SUMS)
    back = [*there, *entered(op_type, *BACK, run=UNDO_RUN, undoes=1)]
    return [*accounts, *there], back, [*accounts, *back, *entered(op_type, *SUMS, run=THIRD_RUN, undoes=4)]


STORNO, OPPOSITE = {"way": "storno"}, {"way": "opposite"}
THREE = "abonent_id;amount\n9001;50,50\n9002;-7\n9003;0\n"
SUMS, BACK = ("50.50", "-7.00", "0"), ("-50.50", "7.00", "0")
OPENED = (
    "ADMIN_ACCOUNTS 9001 OSTATOK 0→50.50, BALANCE 0→50.50",
    "ADMIN_ACCOUNTS 9002 OSTATOK 5.00→-9.00, BALANCE 7.00→-7.00",
)
CHARGED = (
    "ADMIN_ACCOUNTS 9001 CREDIT 0→50.50, BALANCE 0→-50.50",
    "ADMIN_ACCOUNTS 9002 CREDIT 0→-7.00, BALANCE 7.00→14.00",
)
PAID = ("ADMIN_ACCOUNTS 9001 DEBIT 0→50.50, BALANCE 0→50.50", "ADMIN_ACCOUNTS 9002 DEBIT 2.00→-5.00, BALANCE 7.00→0")
OPENINGS = entered(8, *SUMS)
SET_BACK = [*OPENINGS, *entered(8, "0", "7.00", "0", run=UNDO_RUN, undoes=1)]
SERVICE = "+USERS_USLUGA {};240;33;;{};Обещанный [cm {}/{}]"
CONNECTED, DISCONNECTED, CONNECTED_AGAIN = (
    [SERVICE.format(9001, gone, run.name, 1), SERVICE.format(9002, gone, run.name, 2)]
    for gone, run in ((0, RUN), (1, RUN), (0, THIRD_RUN))
)
GIVEN = ["+ATTRIBUTE_VALUES 9001;1012;телеграм", "+ATTRIBUTE_VALUES 9003;7;0015"]
DELETED = ["USERS_USLUGA 90001 DELETED 0→1", "USERS_USLUGA 90002 DELETED 0→1"]
ANEW = "+USERS_USLUGA {};126;33;2026-05-01 00:00:00;{};{} [cm u7u7u/{}]"
PERSON = 'objects.create {"contract_number": "{number}", "name": "{name}", "parent_id": 9100}'
SHELF = 'objects.create {"is_folder": 1, "name": "{name}", "parent_id": 9100}'
LOGIN = 'objects.create {"abonent_id": {abonent_id}, "login": "{login}", "pull": 6}'
WAYS: Final[Mapping[str, Way]] = {
    "balances, by storno": Way(
        BALANCES,
        "abonent_id;amount\n9001;50,50\n",
        [OPENED[0], *entered(8, "50.50")],
        entered(8, "50.50", storno=1),
        how=STORNO,
    ),
    "balances, set back": Way(
        BALANCES,
        THREE,
        [*OPENED, *OPENINGS],
        SET_BACK,
        [*OPENED, *SET_BACK, *entered(8, *SUMS, run=THIRD_RUN, undoes=4)],
        how=OPPOSITE,
        needs_database=True,
    ),
    "acts": Way(BALANCES, THREE, *operations(1, *CHARGED), given={"op_type": "1"}, how=OPPOSITE),
    "receipts by code1c": Way(
        BALANCES, THREE, *operations(2, *PAID), given={"op_type": "2", "key": "code1c"}, how=OPPOSITE
    ),
    "payment": Way(
        PAYMENT,
        "abonent_id;amount;number\n9001;5;17\n",
        ["ADMIN_ACCOUNTS 9001 DEBIT 0→5.00, BALANCE 0→5.00", "+FINANCE_OPERATIONS 9001;2;5.00;0;Платёж [cm k7m2q/1]"],
        ["+FINANCE_OPERATIONS 9001;2;5.00;1;Платёж [cm k7m2q/1]"],
        how=STORNO,
    ),
    "connect-service": Way(
        CONNECT_SERVICE,
        "abonent_id\n9001\n9002\n",
        CONNECTED,
        DISCONNECTED,
        [*DISCONNECTED, *CONNECTED_AGAIN],
        given={"usluga": "240", "manager": "33", "comment": "Обещанный"},
    ),
    "attribute": Way(
        ATTRIBUTE,
        "contract_number;attribute_id;value\n00123;1012;телеграм\nA15;7;0015\n",
        GIVEN,
        again=GIVEN,
        is_known=True,
    ),
    "delete-services": Way(
        DELETE_SERVICES,
        "id\n90001\n90002\n",
        DELETED,
        [ANEW.format(9002, 0, "Автоматический (1)", 1), ANEW.format(9003, 0, "Автоматический", 2), *DELETED],
        [ANEW.format(9002, 1, "Автоматический (1)", 1), ANEW.format(9003, 1, "Автоматический", 2), *DELETED],
    ),
    "delete-account": Way(DELETE_ACCOUNT, "login\nivanov\n", ["-CABINET_SESSIONS 90001", "USERS 90001 DELETED 0→1"]),
    "a subscriber": typed(
        "Abonents", PERSON, "number;name\n00777;Новиков\n", "+ABONENTS 00777;Новиков;9100;0", "+ADMIN_ACCOUNTS 0"
    ),
    "a folder": typed("Abonents", SHELF, "name\nНовая\n", "+ABONENTS ;Новая;9100;1"),
    "an account": typed("Users", LOGIN, "abonent_id;login\n9001;novikov\n", "+USERS 9001;novikov;6"),
}
EACH: Final = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@pytest.fixture
def things(execute: Execute) -> None:
    """Services to be deleted, an account with an open session of the cabinet, and a balance."""
    for key, abonent, comment in [(90001, 9002, "Автоматический (1)"), (90002, 9003, "Автоматический")]:
        execute.put(
            "users_usluga",
            id=key,
            abonent_id=abonent,
            usluga_id=126,
            manager_id=33,
            comment=comment,
            next_date="2026-05-01",
        )
    execute.put("users", id=90001, abonent_id=9002, login="ivanov", ip=167772170, pull=6)
    execute.put("cabinet_sessions", id=90001, suid="12345", user_id=90001, created="2026-05-01")
    execute("update admin_accounts set ostatok = ?, debit = ? where id = 9002", 5 * SCALE, 2 * SCALE)


@dataclass(frozen=True, slots=True)
class Losing:
    """Makes calls of which the first is lost twice: before its effect, and with it. What stands is looked up."""

    server: MockBilling
    database: Database

    async def sent(self, does: Effect, run: Run, items: Sequence[Item]) -> list[Item]:
        first, *others = items
        before = whole(self.database)
        await self._lost(does, run, first, FaultKind.CRASH_BEFORE)
        assert changes(before, whole(self.database)) == {}
        assert await sightings(does, items, run) == [Absent()] * len(items)
        await self._lost(does, run, first, FaultKind.RESET_AFTER)
        (found,) = await sightings(does, [first], run)
        assert isinstance(found, Found), found
        assert found.marked is ("[cm " in does.describe(run.name, first))
        self.server.faults.set(FaultPlan(()))
        done = [msgspec.structs.replace(first, answer=found.answer), *await sent(does, others, run)]
        assert [isinstance(one, Found) for one in await sightings(does, done, run)] == [True] * len(done)
        return done

    async def _lost(self, does: Effect, run: Run, item: Item, kind: FaultKind) -> None:
        self.server.faults.set(FaultPlan((Fault(kind, times=1),)))
        assert isinstance(await does.send(run, item), Lost)


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.usefixtures("things")
async def test_there_and_back_again_though_answers_are_lost(
    gateway: Gateway, mock_billing: MockBilling, database: Database, way: Way
) -> None:
    if way.needs_database and not gateway.database:
        return
    losing, before = Losing(mock_billing, database), whole(database)
    job = job_of(gateway, way.kind, rows_of(way.rows), **way.given)
    await job.try_out()
    items = await planned(job)
    effect: CallEffect = effect_of(gateway, way.kind, **way.given)
    for run, stands in ((RUN, way.done), (UNDO_RUN, way.undone), (THIRD_RUN, way.again)):
        if run is not RUN:
            back = effect.undo(way.how)
            if isinstance(back, Irreversible):
                assert not stands
                break
            undo = await undone(effect, items, **way.how)
            assert [one.undoes for one in undo.done.items] == [item.item_id for item in items]
            effect, items = undo.effect, undo.items
        assert all(one.difference for one in await readings(effect, items, run))
        # To take back what something may hang on is more than one call.
        loses = run is RUN or not way.given.get("chain")
        items = await losing.sent(effect, run, items) if loses else await sent(effect, items, run)
        assert told(before, whole(database)) == list(stands or ())
        assert [one.difference for one in await readings(effect, items, run)] == [None] * len(items)
        known = {(one.skip_reason or "").split(":")[0] for one in (await prepared(job)).items if way.is_known}
        assert known <= ({""} if run is UNDO_RUN else {"already as wanted"})


@pytest.mark.parametrize("name", ["acts", "payment", "connect-service", "attribute", "delete-services"])
@pytest.mark.usefixtures("things")
async def test_an_answer_to_somebody_else_is_no_answer(both: Gateway, mock_billing: MockBilling, name: str) -> None:
    other = job_of(both, BALANCES, rows_of("abonent_id;amount\n9003;1\n"))
    # Only what was answered while a plan was set is handed on.
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1, requests=((9, None),)),)))
    await sent(other, await planned(other))
    way = WAYS[name]
    job = job_of(both, way.kind, rows_of(way.rows), **way.given)
    (first, *_) = [msgspec.structs.replace(one, number=7) for one in await planned(job)]
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1),)))
    assert isinstance(await job.effect.send(RUN, first), Lost)
    assert [isinstance(one, Found) for one in await sightings(job, [first])] == [True]


async def test_what_waits_in_a_stack_is_not_absent(both: Gateway, mock_billing: MockBilling) -> None:
    """Accepted is not applied: while the entry waits, its absence proves nothing."""
    job = job_of(both, CONNECT_SERVICE, rows_of("abonent_id\n9001\n"), usluga="240", manager="33")
    items = await planned(job)
    mock_billing.stack_rate = 0.001
    (done,) = await sent(job, items)
    assert await sightings(job, items) == [Absent()]
    assert await job.effect.unfinished_work(items) == "EVENTS_STACK_COMPACT holds 1 entry"
    mock_billing.stack_rate = 0
    await mock_billing.wait_for_stacks()
    assert await job.effect.unfinished_work(items) is None
    assert await sightings(job, items) == [Found(done.answer, marked=True)]
