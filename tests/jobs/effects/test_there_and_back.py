"""Every job that writes, on the mock billing: there and back again, lost answers, and what others change meanwhile.

One table of jobs, one way for all: look, call, lose, find, read back, and take back, as often as that goes. The whole
of the billing's database is held against what it was.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import msgspec
import pytest

from billing.database.database import Database
from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, Profile, StornoEffect
from checkpoints.records import Item, Run
from engine.evidence import Accepted, Lost, RowRefused
from engine.job import Absent, Effect, Found
from jobs.access.gateway import Gateway
from jobs.catalogue.built_in import IMPORT, PASSWORDS
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import TYPED_CALL, call_kind
from jobs.effects.effect import CallEffect
from jobs.effects.set_fields import SetFieldsEffect
from jobs.spec.chain import chain_text
from jobs.spec.spec import JobSpec
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.server import MockBilling
from tests.jobs import making
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import Execute, filled, insert_odd_ones
from tests.jobs.whole_database import changes, told, whole

THIS_MONTH: Final = first_of(0)


def entered(op_type: int, *sums: str, run: Run = making.RUN, storno: int = 0, undoes: int = 0) -> list[str]:
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
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Other rows, and why they are refused."""
    needs_database: bool = False
    profile: Profile = UNKNOWN
    is_known: bool = False
    """Whether the same row of another run is there already."""
    sets: bool = False
    """Whether it sets fields."""


def typed(model: str, chain: str, rows: str, made: str, *besides: str) -> Way:
    """The job `call`, with what it makes, which is only marked as deleted when it is taken back."""
    given = {"model": model, "chain": chain_text([chain])}
    return Way(call_kind(given), rows, [f"{made};0", *besides], [f"{made};1", *besides], given=given, is_known=True)


def operations(op_type: int, *accounts: str) -> tuple[list[str], list[str], list[str]]:
    """Three of them, taken back, and restored."""
    there = entered(op_type, *SUMS)
    back = [*there, *entered(op_type, *BACK, run=making.UNDO_RUN, undoes=1)]
    return [*accounts, *there], back, [*accounts, *back, *entered(op_type, *SUMS, run=making.THIRD_RUN, undoes=4)]


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
SET_BACK = [*OPENINGS, *entered(8, "0", "7.00", "0", run=making.UNDO_RUN, undoes=1)]
PAYMENTS = (
    "+FINANCE_OPERATIONS 9001;2;5.00;{};Платёж [cm k7m2q/1]; +FINANCE_OPERATIONS 9002;2;7.00;{};Платёж [cm k7m2q/2]"
)
SERVICE = "+USERS_USLUGA {};240;33;;{};Обещанный [cm {}/{}]"
CONNECTED, DISCONNECTED, CONNECTED_AGAIN = (
    [SERVICE.format(9001, gone, run.name, 1), SERVICE.format(9002, gone, run.name, 2)]
    for gone, run in ((0, making.RUN), (1, making.RUN), (0, making.THIRD_RUN))
)
GIVEN = ["+ATTRIBUTE_VALUES 9001;1012;телеграм", "+ATTRIBUTE_VALUES 9003;7;0015"]
DELETED = ["USERS_USLUGA 90001 DELETED 0→1", "USERS_USLUGA 90002 DELETED 0→1"]
ANEW = "+USERS_USLUGA {};{};33;2020-08-13 00:00:00;{};Автоматический {} [cm u7u7u/{}]"
PERSON = 'objects.create {"contract_number": "{number}", "name": "{name}", "parent_id": 9100}'
SHELF = 'objects.create {"is_folder": 1, "name": "{name}", "parent_id": 9100}'
LOGIN = 'objects.create {"abonent_id": {abonent_id}, "login": "{login}", "pull": 6}'
FIELDS_SET: Final = f"""
warning-threshold abonent_id;amount / 9002;-120,00 / 9003;-7.5
  ADMIN_ACCOUNTS 9002 LIMIT_WARNING None→-120.00 / ADMIN_ACCOUNTS 9003 LIMIT_WARNING None→-7.50
  ✗ 9002;1.0055 / 2 amount: '1.0055' (column 2):
  ✗ 9007;5 / 2 abonent_id: abonent 9007 has no account
  ✗ 9006;5 / 2 abonent_id: abonent 9006 is deleted
tariff-threshold contract_number;limit_warning / 00123;-50 / 123;-50
  ADMIN_ACCOUNTS 9001 LIMIT_WARNING -120.00→-50.00 / ADMIN_ACCOUNTS 9002 LIMIT_WARNING None→-50.00
  ✗ ДУБЛЬ;5 / several
cutoff-limit abonent_id;limit / 9002;701 / 9003;0,01
  ADMIN_ACCOUNTS 9002 limit None→701.00 / ADMIN_ACCOUNTS 9003 limit None→0.01
snat-pool user_id;pool / 90001;1030 / 90002;1030
  USERS 90001 SNATIP 10.0.0.1→None, SNAT_PULL 1040→1030 / USERS 90002 SNAT_PULL 1040→1030
  ✗ 90003;1030 / Users with id 90003 is deleted
  ✗ 90009;1030 / there is no Users with id 90009
ip-pool login;pull / ivanov;6 / petrov;6
  USERS 90001 IP 10.3.82.241→NEW, PULL 5→6 / USERS 90002 IP 10.3.82.242→NEW, PULL 5→6
  ✗ nobody;6 / 2 login: there is no account with the login 'nobody'
  ✗ ivanov;six / 'six' is not an id
operator abonent_id;operator_id / 9001;1444 / 9002;3
  ABONENTS 9001 OPERATOR_ID None→1444 / ABONENTS 9002 OPERATOR_ID None→3
recalculate abonent_id;since / 9001;{THIS_MONTH} / 9002;{first_of(-6)}
  ABONENTS 9001 NEED_RECALC None→{THIS_MONTH} / ABONENTS 9002 NEED_RECALC None→{first_of(-6)}
  ✗ 9001;{THIS_MONTH[:-2]}02 / is not the first of a month
  ✗ 9001;{first_of(-7)} / is 7 months back: the billing recalculates 6 at most
  ✗ 9001;{first_of(1)} / is still to come
tariff-next abonent_id;tariff;date / 9001;4;01.09.2020 / 9002;6;2020-10-01
  ABONENTS 9001 TARIF_NEXT_ID None→4, TARIF_NEXT_DATE None→2020-09-01 00:00:00 /
  ABONENTS 9002 TARIF_NEXT_ID None→6, TARIF_NEXT_DATE None→2020-10-01 00:00:00
  ✗ 9001;4;soon / 'soon' is not a date
tariff-now abonent_id;tarif_id / 9001;4 / 9003;6
  ABONENTS 9001 TARIF_ID 2→4 / ABONENTS 9003 TARIF_ID 3→6
voluntary-block abonent_id;start;end / 9001;2020-07-01;31.07.2020 / 9002;2020-07-02;2020-07-02
  ABONENTS 9001 OWN_DISABLED_START None→2020-07-01, OWN_DISABLED_END None→2020-07-31 /
  ABONENTS 9002 OWN_DISABLED_START None→2020-07-02, OWN_DISABLED_END None→2020-07-02
  ✗ 9001;2020-07-02;2020-07-01 / it would end at 2020-07-01, before it begins at 2020-07-02
block-history id;time_changed;time_del / 90001;2019-06-01;2019-06-02 12:30 / 90002;2019-06-03;2019-06-04
  ABONENTS_BLOCK_HISTORY 90001 TIME_CHANGED None→2019-06-01 00:00:00, TIME_DEL None→2019-06-02 12:30:00 /
  ABONENTS_BLOCK_HISTORY 90002 TIME_CHANGED None→2019-06-03 00:00:00, TIME_DEL None→2019-06-04 00:00:00
  ✗ 90001;2019-06-02;2019-06-01 / before it begins
  ✗ 90009;2019-06-01;2019-06-02 / there is no AbonentsBlockHistory with id 90009
service-operator id;operator / 105;1444 / 126;1444
  USLUGA 105 OPERATOR_ID 3→1444 / USLUGA 126 OPERATOR_ID 3→1444
  ✗ 77;3 / there is no Usluga with id 77
next-charge abonent_id;usluga_id;next_date / 9001;126;13.09.2020 / 9002;127;2020-09-13 06:00
  USERS_USLUGA 90001 NEXT_DATE 2020-08-13 00:00:00→2020-09-13 00:00:00 /
  USERS_USLUGA 90002 NEXT_DATE 2020-08-13 00:00:00→2020-09-13 06:00:00
  ✗ 9003;126;2020-09-13 / 2 of UsersUsluga have abonent_id 9003, usluga_id 126: name one by its id
  ✗ 9001;127;2020-09-13 / there is no UsersUsluga with abonent_id 9001, usluga_id 127
passed-to-1c op_id;code1c / 90001;00-0001 / 90002;№ 7 «б»
  FINANCE_OPERATIONS 90001 SYNC1C 0→1, CODE1C None→00-0001 / FINANCE_OPERATIONS 90002 SYNC1C 0→1, CODE1C None→№ 7 «б»
  ✗ 90001;{"7" * 65} / at most 64 are taken
"""
"""A job that sets fields, and its rows; what they change; other rows, and why they are refused."""


def fields() -> Iterator[Way]:
    for block in re.split(r"\n(?=\S)", FIELDS_SET.strip()):
        rows, done, *wrong = re.sub(r" /\n +", " / ", block).replace("\n  ", "\n").splitlines()
        name, _, text = rows.partition(" ")
        changed = done.split(" / ")
        refusals = dict(one.removeprefix("✗ ").split(" / ") for one in wrong)
        text = text.replace(" / ", "\n") + "\n"
        yield Way(JOBS[name], text, changed, again=changed, wrong=refusals, is_known=True, sets=True)


FIELDS: Final = tuple(fields())
WAYS: Final[Mapping[str, Way]] = {
    "balances, by storno": Way(
        JOBS["balances"],
        "abonent_id;amount\n9001;50,50\n",
        [OPENED[0], *entered(8, "50.50")],
        entered(8, "50.50", storno=1),
        how=STORNO,
        needs_database=True,
        profile=Profile(storno_type_8=Fact(StornoEffect.SUBTRACTS)),
    ),
    "acts, by storno": Way(
        JOBS["balances"],
        THREE,
        [*CHARGED, *entered(1, *SUMS)],
        entered(1, *SUMS, storno=1),
        given={"op_type": "1"},
        how=STORNO,
    ),
    "balances, set back": Way(
        JOBS["balances"],
        THREE,
        [*OPENED, *OPENINGS],
        SET_BACK,
        [*OPENED, *SET_BACK, *entered(8, *SUMS, run=making.THIRD_RUN, undoes=4)],
        how=OPPOSITE,
        needs_database=True,
    ),
    "acts": Way(JOBS["balances"], THREE, *operations(1, *CHARGED), given={"op_type": "1"}, how=OPPOSITE),
    "receipts by code1c": Way(
        JOBS["balances"], THREE, *operations(2, *PAID), given={"op_type": "2", "key": "code1c"}, how=OPPOSITE
    ),
    "payment": Way(
        JOBS["payment"],
        "abonent_id;amount;number\n9001;5;17\n9002;7;18\n",
        [
            "ADMIN_ACCOUNTS 9001 DEBIT 0→5.00, BALANCE 0→5.00",
            "ADMIN_ACCOUNTS 9002 DEBIT 2.00→9.00, BALANCE 7.00→14.00",
            *PAYMENTS.format(0, 0).split("; "),
        ],
        PAYMENTS.format(1, 1).split("; "),
        how=STORNO,
    ),
    "connect-service": Way(
        JOBS["connect-service"],
        "abonent_id\n9001\n9002\n",
        CONNECTED,
        DISCONNECTED,
        [*DISCONNECTED, *CONNECTED_AGAIN],
        given={"usluga": "240", "manager": "33", "comment": "Обещанный"},
    ),
    "attribute": Way(
        JOBS["attribute"],
        "contract_number;attribute_id;value\n00123;1012;телеграм\nA15;7;0015\n",
        GIVEN,
        again=GIVEN,
        is_known=True,
    ),
    "delete-services": Way(
        JOBS["delete-services"],
        "id\n90001\n90002\n",
        DELETED,
        [ANEW.format(9001, 126, 0, "(1)", 1), ANEW.format(9002, 127, 0, "(2)", 2), *DELETED],
        [ANEW.format(9001, 126, 1, "(1)", 1), ANEW.format(9002, 127, 1, "(2)", 2), *DELETED],
    ),
    "delete-account": Way(
        JOBS["delete-account"], "login\nivanov\n", ["-CABINET_SESSIONS 90001", "USERS 90001 DELETED 0→1"]
    ),
    "a subscriber": typed(
        "Abonents", PERSON, "number;name\n00777;Новиков\n", "+ABONENTS 00777;Новиков;9100;0", "+ADMIN_ACCOUNTS 0"
    ),
    "a folder": typed("Abonents", SHELF, "name\nНовая\n", "+ABONENTS ;Новая;9100;1"),
    "an account": typed("Users", LOGIN, "abonent_id;login\n9001;novikov\n", "+USERS 9001;novikov;6"),
    **{way.kind.name: way for way in FIELDS},
}
OF_FIELDS: Final = pytest.mark.parametrize("way", FIELDS, ids=lambda way: way.kind.name)


@pytest.fixture
def billing_file(billing_template: Path, tmp_path: Path) -> Path:
    """A copy of a billing that has the odd ones and their things."""
    return Path(
        shutil.copy(filled(billing_template, "things", insert_odd_ones, insert_things), tmp_path / "billing.fdb")
    )


def insert_things(execute: Execute) -> None:
    """Accounts, services, operations and blocks of the odd ones, operators, a session and money."""
    execute.rows("operators", "id name", *((key, f"Оператор {key}") for key in (5, 6)))
    accounts = (90001, 9001, "ivanov", 167772161, 0), (90002, 9002, "petrov", None, 0), (90003, 9003, "gone", None, 1)
    names = "id abonent_id login snatip deleted ip pull snat_pull psw_hash"
    execute.rows("users", names, *((*one, 167900000 + one[0], 5, 1040, "x") for one in accounts))
    services = (90001, 9001, 126), (90002, 9002, 127), (90003, 9003, 126), (90004, 9003, 126)
    names = "id abonent_id usluga_id manager_id next_date comment"
    since = "2020-08-13 00:00:00"
    execute.rows(
        "users_usluga", names, *((*one, 33, since, f"Автоматический ({one[0] - 90000})") for one in services)
    )
    both = ((90001, 9001), (90002, 9002))
    execute.rows("abonents_block_history", "id abonent_id", *both)
    names = "op_id abonent_id op_type op_summa op_date"
    execute.rows("finance_operations", names, *((*one, 1, SCALE, "2020-01-01") for one in both))
    execute.put("cabinet_sessions", id=90001, suid="12345", user_id=90001, created="2026-05-01")
    execute("update admin_accounts set ostatok = ?, debit = ? where id = 9002", 5 * SCALE, 2 * SCALE)


def chosen(lines: Sequence[str]) -> list[str]:
    """The lines, in which an address that the billing has chosen is NEW; no two of them are one."""
    made = re.findall(r"IP [\d.]+→([\d.]+)", "\n".join(lines))
    assert len(set(made)) == len(made)
    return [re.sub(r"(?<=IP )([\d.]+)→[\d.]+", r"\1→NEW", line) for line in lines]


def test_every_job_that_writes_has_its_way() -> None:
    apart = {TYPED_CALL.name, IMPORT.name, *(kind.name for kind in PASSWORDS)}
    assert {way.kind.name for way in WAYS.values()} - apart == {
        one.name for one in JOBS.values() if one.writes
    } - apart


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
        assert await making.sightings(does, items, run) == [Absent()] * len(items)
        await self._lost(does, run, first, FaultKind.RESET_AFTER)
        (found,) = await making.sightings(does, [first], run)
        assert isinstance(found, Found), found
        assert found.marked is ("[cm " in does.describe(run.name, first))
        self.server.faults.set(FaultPlan(()))
        done = [msgspec.structs.replace(first, answer=found.answer), *await making.sent(does, others, run)]
        assert [isinstance(one, Found) for one in await making.sightings(does, done, run)] == [True] * len(done)
        return done

    async def _lost(self, does: Effect, run: Run, item: Item, kind: FaultKind) -> None:
        self.server.faults.set(FaultPlan((Fault(kind, times=1),)))
        assert isinstance(await does.send(run, item), Lost)


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
async def test_there_and_back_again_though_answers_are_lost(
    gateway: Gateway, mock_billing: MockBilling, database: Database, way: Way
) -> None:
    if way.needs_database and not gateway.database:
        return
    losing, before = Losing(mock_billing, database), whole(database)
    gateway = replace(gateway, profile=way.profile)
    job = making.job_of(gateway, way.kind, making.rows_of(way.rows), **way.given)
    await job.try_out()
    items = await making.planned(job)
    effect: CallEffect = making.effect_of(gateway, way.kind, **way.given)
    assert effect.repeatable is isinstance(effect, SetFieldsEffect) is way.sets
    before_it = making.RUN
    for run, stands in ((making.RUN, way.done), (making.UNDO_RUN, way.undone), (making.THIRD_RUN, way.again)):
        if run is not making.RUN:
            back = effect.undo(way.how)
            if isinstance(back, str):
                assert not stands
                break
            undo = await making.undone(effect, items, before_it, **way.how)
            assert [one.undoes for one in undo.done.items] == [item.item_id for item in items]
            effect, items, before_it = undo.effect, undo.items, run
        # Whether a recalculation is still to come or done already nobody can see.
        assert all(one.difference for one in await making.readings(effect, items, run)) is (
            way.kind.name != "recalculate"
        )
        # To take back what something may hang on is more than one call.
        loses = run is making.RUN or not way.given.get("chain")
        items = await losing.sent(effect, run, items) if loses else await making.sent(effect, items, run)
        assert chosen(told(before, whole(database))) == list(stands or ())
        assert [one.difference for one in await making.readings(effect, items, run)] == [None] * len(items)
        known = {(one.skip_reason or "").split(":")[0] for one in (await making.prepared(job)).items if way.is_known}
        assert known <= ({""} if run is making.UNDO_RUN else {"already as wanted"})


async def test_what_is_wrong_is_refused(gateway: Gateway) -> None:
    for way in FIELDS:
        for row, why in way.wrong.items():
            header, *_ = way.rows.splitlines()
            (reason,) = await making.refused(making.job_of(gateway, way.kind, making.rows_of(f"{header}\n{row}\n")))
            assert why in reason, way.kind.name


@OF_FIELDS
async def test_what_somebody_changes_before_a_call_comes_back_and_an_undo_yields_to_it(
    gateway: Gateway, execute: Execute, database: Database, way: Way
) -> None:
    """Between plan and call, between the plan of the undo and its call, and before the undo is planned."""
    effect = making.effect_of(gateway, way.kind)
    items = await making.planned(making.job_of(gateway, way.kind, making.rows_of(way.rows)))
    with somebody(way, execute, database, 5):
        before = whole(database)
        items = await making.with_fresh_before_images(effect, unsent(items))
        evidence = [await effect.send(making.RUN, item) for item in items]
        notes = [(one.note or "").split(": ")[0] for one in evidence if isinstance(one, Accepted)]
        assert notes == ["changed between plan and call", ""]
        if way.kind.name == "recalculate":
            return
        # After another kill: what our own call has set is not what there was before.
        done = [msgspec.structs.replace(one, attempts=1) for one in items]
        assert await making.with_fresh_before_images(effect, done) == done
        found = zip(done, await making.sightings(effect, done), strict=True)
        done = [msgspec.structs.replace(one, answer=seen.answer) for one, seen in found if isinstance(seen, Found)]
        back = await making.undone(effect, done)
        with somebody(way, execute, database, 6):
            stands = whole(database)
            first, _ = await making.with_fresh_before_images(back.effect, unsent(back.items))
            refusal = await back.effect.send(making.RUN, first)
            assert isinstance(refusal, RowRefused)
            assert refusal.text.startswith("changed since the plan: it was ")
            assert changes(stands, whole(database)) == {}
            left, taken = (await making.undone(effect, done)).left_alone
            assert (left or "").startswith("changed since: the run set ")
            assert taken is None
        await making.sent(back.effect, back.items)
        assert changes(before, whole(database)) == {}


def unsent(items: Sequence[Item]) -> list[Item]:
    return [msgspec.structs.replace(one, attempts=0) for one in items]


@contextmanager
def somebody(way: Way, execute: Execute, database: Database, value: int) -> Iterator[None]:
    """Somebody changes a field of the first row behind the billing's back: the second of two, which is its own."""
    table, key, *_ = way.done[0].split()
    names = re.findall(r"([A-Za-z]\w*) \S+(?: [\d:]+)?→", way.done[0])
    # The second field of two, the one that nobody else has: of a pool its address.
    name = "IP" if "IP" in names else names[-1]
    was = whole(database)[table][int(key)][name]
    own = "op_id" if table == "FINANCE_OPERATIONS" else "id"
    statement = f'update {table} set "{name}" = ? where {own} = ?'  # noqa: S608 - names of ours
    if any(word in name for word in ("DATE", "TIME", "DISABLED", "RECALC")):
        execute(statement, f"203{value}-01-01", key)
    else:
        execute(statement, int(IPv4Address("10.9.9.4")) + value if name == "IP" else value, key)
    yield
    execute(statement, was, key)


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.rows.count("\n") > 2])
async def test_an_answer_to_another_row_is_no_answer(both: Gateway, mock_billing: MockBilling, name: str) -> None:
    way = WAYS[name]
    job = making.job_of(both, way.kind, making.rows_of(way.rows), **way.given)
    _, second, *_ = await making.planned(job)
    other = job if way.sets else making.job_of(both, "balances", making.rows_of("abonent_id;amount\n9003;1\n"))
    # Only what was answered while a plan was set is handed on.
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1, requests=((9, None),)),)))
    await making.sent(other, (await making.planned(other))[:1])
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1),)))
    assert isinstance(await job.effect.send(making.RUN, second), Lost)
    assert [isinstance(one, Found) for one in await making.sightings(job, [second])] == [True]


async def test_what_waits_in_a_stack_is_not_absent(both: Gateway, mock_billing: MockBilling) -> None:
    """Accepted is not applied: while the entry waits, its absence proves nothing."""
    job = making.job_of(both, "connect-service", making.rows_of("abonent_id\n9001\n"), usluga="240", manager="33")
    items = await making.planned(job)
    mock_billing.stack_rate = 0.001
    (done,) = await making.sent(job, items)
    assert await making.sightings(job, items) == [Absent()]
    assert await job.effect.unfinished_work(items) == "EVENTS_STACK_COMPACT holds 1 entry"
    mock_billing.stack_rate = 0
    await mock_billing.wait_for_stacks()
    assert await job.effect.unfinished_work(items) is None
    assert await making.sightings(job, items) == [Found(done.answer, marked=True)]
