"""Every job that sets fields, on the mock billing: there and back again, the whole of its database compared."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import msgspec
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import SCALE
from checkpoints.records import Item, Run
from engine.evidence import Accepted, Lost, RowRefused
from engine.job import Absent, Effect, Found, Job, ReadBack
from jobs.access.gateway import Gateway
from jobs.catalogue.built_in import (
    BLOCK_HISTORY,
    CUTOFF_LIMIT,
    IP_POOL,
    NEXT_CHARGE,
    OPERATOR,
    PASSED_TO_1C,
    RECALCULATE,
    SERVICE_OPERATOR,
    SNAT_POOL,
    TARIFF_NEXT,
    TARIFF_NOW,
    TARIFF_THRESHOLD,
    VOLUNTARY_BLOCK,
    WARNING_THRESHOLD,
)
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import TYPED_CALL
from jobs.effects.effect import Irreversible
from jobs.effects.factory import effect_of as made
from jobs.effects.set_fields import SetFieldsEffect
from jobs.spec.spec import JobSpec
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.server import MockBilling
from tests.checkpoints.samples import sending_item
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import Execute, filled, insert_odd_ones
from tests.jobs.making import (
    RUN,
    effect_behind,
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
    with_fresh_before_images,
)
from tests.jobs.whole_database import changes, told, whole

THIS_MONTH: Final = first_of(0)


@dataclass(frozen=True, slots=True)
class Case:
    """A job, two of its rows as a file has them, and what they change, a line an object."""

    kind: JobSpec
    rows: str
    changed: Sequence[str]
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Other rows, and why they are refused."""

    @property
    def header(self) -> str:
        return self.rows.split("\n", 1)[0]


CASES: Final = (
    Case(
        WARNING_THRESHOLD,
        "abonent_id;amount\n9002;-120,00\n9003;-7.5\n",
        ["ADMIN_ACCOUNTS 9002 LIMIT_WARNING None→-120.00", "ADMIN_ACCOUNTS 9003 LIMIT_WARNING None→-7.50"],
        {
            "9002;1.0055": "2 amount: '1.0055' (column 2): ",
            "9007;5": "2 abonent_id: abonent 9007 has no account",
            "9006;5": "2 abonent_id: abonent 9006 is deleted",
        },
    ),
    Case(
        TARIFF_THRESHOLD,
        "contract_number;limit_warning\n00123;-50\n123;-50\n",
        ["ADMIN_ACCOUNTS 9001 LIMIT_WARNING -120.00→-50.00", "ADMIN_ACCOUNTS 9002 LIMIT_WARNING None→-50.00"],
        {"ДУБЛЬ;5": "several"},
    ),
    Case(
        CUTOFF_LIMIT,
        "abonent_id;limit\n9002;701\n9003;0,01\n",
        ["ADMIN_ACCOUNTS 9002 limit None→701.00", "ADMIN_ACCOUNTS 9003 limit None→0.01"],
    ),
    Case(
        SNAT_POOL,
        "user_id;pool\n90001;1030\n90002;1030\n",
        ["USERS 90001 SNATIP 10.0.0.1→None, SNAT_PULL 1040→1030", "USERS 90002 SNAT_PULL 1040→1030"],
        {"90003;1030": "Users with id 90003 is deleted", "90009;1030": "there is no Users with id 90009"},
    ),
    Case(
        IP_POOL,
        "login;pull\nivanov;6\npetrov;6\n",
        ["USERS 90001 IP 10.3.82.241→NEW, PULL 5→6", "USERS 90002 IP 10.3.82.242→NEW, PULL 5→6"],
        {"nobody;6": "2 login: there is no account with the login 'nobody'", "ivanov;six": "'six' is not an id"},
    ),
    Case(
        OPERATOR,
        "abonent_id;operator_id\n9001;1444\n9002;3\n",
        ["ABONENTS 9001 OPERATOR_ID None→1444", "ABONENTS 9002 OPERATOR_ID None→3"],
    ),
    Case(
        RECALCULATE,
        f"abonent_id;since\n9001;{THIS_MONTH}\n9002;{first_of(-6)}\n",
        [f"ABONENTS 9001 NEED_RECALC None→{THIS_MONTH}", f"ABONENTS 9002 NEED_RECALC None→{first_of(-6)}"],
        {
            f"9001;{THIS_MONTH[:-2]}02": "is not the first of a month",
            f"9001;{first_of(-7)}": "is 7 months back: the billing recalculates 6 at most",
            f"9001;{first_of(1)}": "is still to come",
        },
    ),
    Case(
        TARIFF_NEXT,
        "abonent_id;tariff;date\n9001;4;01.09.2020\n9002;6;2020-10-01\n",
        [
            "ABONENTS 9001 TARIF_NEXT_ID None→4, TARIF_NEXT_DATE None→2020-09-01 00:00:00",
            "ABONENTS 9002 TARIF_NEXT_ID None→6, TARIF_NEXT_DATE None→2020-10-01 00:00:00",
        ],
        {"9001;4;soon": "'soon' is not a date"},
    ),
    Case(
        TARIFF_NOW,
        "abonent_id;tarif_id\n9001;4\n9003;6\n",
        ["ABONENTS 9001 TARIF_ID 2→4", "ABONENTS 9003 TARIF_ID 3→6"],
    ),
    Case(
        VOLUNTARY_BLOCK,
        "abonent_id;start;end\n9001;2020-07-01;31.07.2020\n9002;2020-07-02;2020-07-02\n",
        [
            "ABONENTS 9001 OWN_DISABLED_START None→2020-07-01, OWN_DISABLED_END None→2020-07-31",
            "ABONENTS 9002 OWN_DISABLED_START None→2020-07-02, OWN_DISABLED_END None→2020-07-02",
        ],
        {"9001;2020-07-02;2020-07-01": "it would end at 2020-07-01, before it begins at 2020-07-02"},
    ),
    Case(
        BLOCK_HISTORY,
        "id;time_changed;time_del\n90001;2019-06-01;2019-06-02 12:30\n90002;2019-06-03;2019-06-04\n",
        [
            "ABONENTS_BLOCK_HISTORY 90001 TIME_CHANGED None→2019-06-01 00:00:00, TIME_DEL None→2019-06-02 12:30:00",
            "ABONENTS_BLOCK_HISTORY 90002 TIME_CHANGED None→2019-06-03 00:00:00, TIME_DEL None→2019-06-04 00:00:00",
        ],
        {
            "90001;2019-06-02;2019-06-01": "before it begins",
            "90009;2019-06-01;2019-06-02": "there is no AbonentsBlockHistory with id 90009",
        },
    ),
    Case(
        SERVICE_OPERATOR,
        "id;operator\n105;1444\n126;1444\n",
        ["USLUGA 105 OPERATOR_ID 3→1444", "USLUGA 126 OPERATOR_ID 3→1444"],
        {"77;3": "there is no Usluga with id 77"},
    ),
    Case(
        NEXT_CHARGE,
        "abonent_id;usluga_id;next_date\n9001;126;13.09.2020\n9002;127;2020-09-13 06:00\n",
        [
            "USERS_USLUGA 90001 NEXT_DATE 2020-08-13 00:00:00→2020-09-13 00:00:00",
            "USERS_USLUGA 90002 NEXT_DATE 2020-08-13 00:00:00→2020-09-13 06:00:00",
        ],
        {
            "9003;126;2020-09-13": "2 of UsersUsluga have abonent_id 9003, usluga_id 126: name one by its id",
            "9001;127;2020-09-13": "there is no UsersUsluga with abonent_id 9001, usluga_id 127",
        },
    ),
    Case(
        PASSED_TO_1C,
        "op_id;code1c\n90001;00-0001\n90002;\u2116 7 «б»\n",
        [
            "FINANCE_OPERATIONS 90001 SYNC1C 0→1, CODE1C None→00-0001",
            "FINANCE_OPERATIONS 90002 SYNC1C 0→1, CODE1C None→\u2116 7 «б»",
        ],
        {"90001;" + "7" * 65: "at most 64 are taken"},
    ),
)
OF_KINDS: Final = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind.name)
TAKEN_BACK: Final = pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind is not RECALCULATE], ids=lambda case: case.kind.name
)


@pytest.fixture
def billing_file(billing_template: Path, tmp_path: Path) -> Path:
    """A copy of a billing that has the odd ones and their things."""
    return Path(
        shutil.copy(filled(billing_template, "things", insert_odd_ones, insert_things), tmp_path / "billing.fdb")
    )


def insert_things(execute: Execute) -> None:
    """Accounts, services, operations and blocks of the odd ones, and a third operator."""
    execute.put("operators", id=5, name="Третий")
    for key, abonent, login, snat, deleted in [
        (90001, 9001, "ivanov", 167772161, 0),
        (90002, 9002, "petrov", None, 0),
        (90003, 9003, "gone", None, 1),
    ]:
        execute.put(
            "users",
            id=key,
            abonent_id=abonent,
            login=login,
            ip=167900000 + key,
            pull=5,
            snatip=snat,
            snat_pull=1040,
            deleted=deleted,
            psw_hash="x",
        )
    for key, abonent, service in [(90001, 9001, 126), (90002, 9002, 127), (90003, 9003, 126), (90004, 9003, 126)]:
        execute.put("users_usluga", id=key, abonent_id=abonent, usluga_id=service, next_date="2020-08-13 00:00:00")
    for key in (90001, 90002):
        execute.put("abonents_block_history", id=key, abonent_id=key - 81000)
        execute.put(
            "finance_operations", op_id=key, abonent_id=key - 81000, op_type=1, op_summa=SCALE, op_date="2020-01-01"
        )


def chosen(lines: Sequence[str]) -> list[str]:
    """The lines, in which an address that the billing has chosen is NEW; no two of them are one."""
    made = re.findall(r"IP [\d.]+→([\d.]+)", "\n".join(lines))
    assert len(set(made)) == len(made)
    return [re.sub(r"(?<=IP )([\d.]+)→[\d.]+", r"\1→NEW", line) for line in lines]


def test_every_job_that_sets_fields_has_its_case(client: BillingClient) -> None:
    setting = {one.name for one in JOBS.values() if one is not TYPED_CALL and _sets_fields(one, Gateway(client))}
    assert setting == {case.kind.name for case in CASES}


def _sets_fields(kind: JobSpec, gateway: Gateway) -> bool:
    effect = made(gateway, kind, {one.name: one.default or "1" for one in kind.parameters})
    return isinstance(effect, SetFieldsEffect)


@OF_KINDS
async def test_there_and_back_again(gateway: Gateway, case: Case, database: Database) -> None:
    before = whole(database)
    job = job_of(gateway, case.kind, rows_of(case.rows))
    items = await planned(job)
    assert len(items) == 2
    assert changes(before, whole(database)) == {}
    assert job.effect.repeatable
    assert [isinstance(one, Absent) for one in await sightings(job, items)] == [True, True]
    # Whether a recalculation is still to come or done already nobody can see.
    assert all(one.difference for one in await readings(job, items)) == (case.kind is not RECALCULATE)

    done = await sent(job, items)
    assert chosen(told(before, whole(database))) == case.changed
    assert [type(one) for one in await sightings(job, done)] == [Found, Found]
    assert await readings(job, done) == [ReadBack(None), ReadBack(None)]

    effect = effect_of(gateway, case.kind)
    if case.kind is RECALCULATE:
        assert isinstance(effect.undo({}), Irreversible)
        return
    back = await undone(effect, done)
    taken_back = await sent(back.effect, back.items)
    assert changes(before, whole(database)) == {}
    assert await readings(back.effect, taken_back) == [ReadBack(None), ReadBack(None)]
    assert (await undone(effect, done)).left_alone == [
        one.skip_reason for one in (await undone(effect, done)).done.items
    ]

    again = await undone(back.effect, taken_back)
    done_again = await sent(again.effect, again.items)
    assert chosen(told(before, whole(database))) == case.changed
    assert await readings(again.effect, done_again) == [ReadBack(None), ReadBack(None)]


@OF_KINDS
async def test_what_is_as_wanted_is_never_sent(gateway: Gateway, case: Case) -> None:
    rows = rows_of(case.rows)
    await sent(job_of(gateway, case.kind, rows), (await planned(job_of(gateway, case.kind, rows)))[:1])
    done = await prepared(job_of(gateway, case.kind, rows))
    first, second = done.items
    assert (first.skip_reason or "").startswith("already as wanted: ")
    assert second.skip_reason is None


async def test_what_is_wrong_is_refused(gateway: Gateway) -> None:
    for case in CASES:
        for row, why in case.wrong.items():
            (reason,) = await refused(job_of(gateway, case.kind, rows_of(f"{case.header}\n{row}\n")))
            assert why in reason, case.kind.name


@TAKEN_BACK
async def test_what_somebody_has_changed_since_is_left_alone(
    gateway: Gateway, case: Case, execute: Execute, database: Database
) -> None:
    job = job_of(gateway, case.kind, rows_of(case.rows))
    done = await sent(job, await planned(job))
    table = case.changed[0].split()[0]
    change_first(case, execute)
    before = whole(database)
    back = await undone(effect_of(gateway, case.kind), done)
    first, second = back.left_alone
    assert (first or "").startswith("changed since: the run set ")
    assert second is None
    await sent(back.effect, [sending_item(back.done.items[1])])
    assert list(changes(before, whole(database))) == [table]


@OF_KINDS
async def test_what_somebody_changed_between_plan_and_call_comes_back(
    gateway: Gateway, case: Case, execute: Execute, database: Database
) -> None:
    effect = effect_of(gateway, case.kind)
    assert isinstance(effect, SetFieldsEffect)
    items = await planned(job_of(gateway, case.kind, rows_of(case.rows)))
    change_first(case, execute)
    before = whole(database)
    items = await with_fresh_before_images(effect, [msgspec.structs.replace(one, attempts=0) for one in items])
    notes = []
    for item in items:
        evidence = await effect.send(RUN, item)
        assert isinstance(evidence, Accepted)
        notes.append(evidence.note)
    assert [(note or "").split(": ")[0] for note in notes] == ["changed between plan and call", ""]
    if case.kind is RECALCULATE:
        return
    # After another kill: what our own call has set is not what there was before.
    done = await with_fresh_before_images(effect, [msgspec.structs.replace(one, attempts=1) for one in items])
    assert done == [msgspec.structs.replace(one, attempts=1) for one in items]
    issued = await sightings(effect, done)
    done = [
        msgspec.structs.replace(one, answer=seen.answer)
        for one, seen in zip(done, issued, strict=True)
        if isinstance(seen, Found)
    ]
    back = await undone(effect, done)
    await sent(back.effect, back.items)
    assert changes(before, whole(database)) == {}


@TAKEN_BACK
async def test_an_undo_yields_to_what_somebody_changed_between_its_plan_and_its_call(
    gateway: Gateway, case: Case, execute: Execute, database: Database
) -> None:
    job = job_of(gateway, case.kind, rows_of(case.rows))
    back = await undone(effect_of(gateway, case.kind), await sent(job, await planned(job)))
    assert isinstance(back.effect, SetFieldsEffect)
    items = [msgspec.structs.replace(one, attempts=0) for one in back.items]
    change_first(case, execute)
    before = whole(database)
    first, second = await with_fresh_before_images(back.effect, items)
    evidence = await back.effect.send(RUN, first)
    assert isinstance(evidence, RowRefused)
    assert evidence.text.startswith("changed since the plan: it was ")
    assert changes(before, whole(database)) == {}
    await sent(back.effect, [second])


def change_first(case: Case, execute: Execute) -> None:
    """Somebody changes a field of the first row, behind the billing's back: the second of two, which is its own."""
    table, key, *_ = case.changed[0].split()
    names = re.findall(r"([A-Za-z]\w*) \S+(?: [\d:]+)?→", case.changed[0])
    # The second field of two, the one that nobody else has: of a pool its address.
    name = "IP" if "IP" in names else names[-1]
    own = "op_id" if table == "FINANCE_OPERATIONS" else "id"
    execute(f'update {table} set "{name}" = {_another(name)} where {own} = ?', key)  # noqa: S608 - names of ours


def _another(column: str) -> str:
    if any(word in column for word in ("DATE", "TIME", "DISABLED", "RECALC")):
        return "'2031-01-01'"
    if column == "IP":
        return str(int(IPv4Address("10.9.9.9")))
    return "5" if column != "CODE1C" else "'x'"


@OF_KINDS
async def test_lost_answers(gateway: Gateway, case: Case, database: Database, mock_billing: MockBilling) -> None:
    """Lost before its effect, and with it; found again, and taken back from what was found."""
    before = whole(database)
    job = job_of(gateway, case.kind, rows_of(case.rows))
    items = await planned(job)
    await _lost(job, RUN, items[0], mock_billing, FaultKind.CRASH_BEFORE)
    assert changes(before, whole(database)) == {}
    assert await sightings(job, items[:1]) == [Absent()]
    found = []
    for item in items:
        await _lost(job, RUN, item, mock_billing, FaultKind.RESET_AFTER)
        (sighting,) = await sightings(job, [item])
        assert isinstance(sighting, Found), sighting
        found.append(msgspec.structs.replace(item, answer=sighting.answer))
    mock_billing.faults.set(FaultPlan(()))
    assert chosen(told(before, whole(database))) == case.changed
    if case.kind is RECALCULATE:
        return
    back = await undone(effect_of(gateway, case.kind), found)
    await sent(back.effect, back.items)
    assert changes(before, whole(database)) == {}


async def _lost(does: Job | Effect, run: Run, item: Item, server: MockBilling, kind: FaultKind) -> None:
    server.faults.set(FaultPlan((Fault(kind, times=1),)))
    evidence = await effect_behind(does).send(run, item)
    assert isinstance(evidence, Lost), evidence


@OF_KINDS
async def test_an_answer_to_another_row_is_no_answer(gateway: Gateway, case: Case, mock_billing: MockBilling) -> None:
    job = job_of(gateway, case.kind, rows_of(case.rows))
    first, second = await planned(job)
    # Only what was answered while a plan was set is handed on.
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1, requests=((9, None),)),)))
    await sent(job, [first])
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1),)))
    evidence = await job.effect.send(RUN, second)
    assert isinstance(evidence, Lost), evidence
