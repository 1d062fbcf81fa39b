"""The doors to a billing: what cannot be read and for how long, what is there, and what a probe writes down."""

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal
from unittest.mock import AsyncMock

import anyio
import msgspec
import pytest

from billing import errors
from billing.api.calls import Call, version
from billing.api.client import BillingClient, ClientSettings, Health
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.directory.subscribers import Abonent, Operation
from billing.directory.system import STACKS
from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, Profile, TypeEight
from checkpoints.own_files import append_durably, keep_name
from cli.terminal.texts import RUSSIAN, language
from engine.errors import InputRefused, LookUpDelayed, LookUpFailed
from engine.evidence import Accepted, Lost
from engine.job import Found
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge, GaugeReading, Rate, hours_of
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    OF_ABONENT,
    References,
    SubscriberFinder,
    balances,
    find,
    newest,
    operations_since,
    sharers_of,
)
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.catalogue.typed_call import call_kind
from jobs.gauges import MEASURED_EVERY, BillingClock, gauges_of
from jobs.probe.entries import Intended, IntentFailed, Intents, ProbeEntries, open_intents, why_of
from jobs.probe.probe import threshold_of
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.errors import ParameterRefused
from lab.mock.facts import Quirks
from lab.mock.population import create
from lab.mock.server import running
from tests.jobs.conftest import Execute
from tests.jobs.making import RUN, effect_of, job_of, planned, rows_of
from tests.virtual_clock import run
from texts.said import said


@pytest.mark.parametrize(
    ("error", "is_waited_for"),
    [
        (errors.BillingAway("nobody answers"), True),
        (errors.BillingBusy("it is busy"), True),
        (errors.DatabaseAway("no connection"), True),
        (errors.NoDatabase("no such file"), True),
        (errors.StatementRefused("no such column"), False),
        (errors.BillingRefused("no such field"), False),
        (errors.SystemRefusal("no rights"), False),
        (errors.UnreadableAnswer("a list was expected"), False),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_only_what_ends_by_itself_is_waited_for(error: errors.BillingError, is_waited_for: bool) -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.side_effect = error
    with pytest.raises(LookUpFailed, match=str(error)) as failed:
        await operations_since(Gateway(client), {9001: 0})
    assert isinstance(failed.value, LookUpDelayed) is is_waited_for
    # Nor is a database that is missing.
    with pytest.raises(LookUpFailed) as failed:
        await Gateway(client).read(lambda database: database)
    assert not isinstance(failed.value, LookUpDelayed)


def test_reading_calls_keep_the_rate_and_another_one_counts_from_then_on() -> None:
    client = AsyncMock(spec=BillingClient)
    gateway = Gateway(client, rate=Rate(2.0))
    moments: list[float] = []

    async def asked(_: Call) -> object:
        moments.append(anyio.current_time())
        return "5.24"

    async def read() -> None:
        await gateway.ask([version()] * 5)
        gateway.rate.per_second = None
        await gateway.ask([version()] * 3)

    client.ask.side_effect = asked
    run(read())
    assert [moment - moments[0] for moment in moments] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0])


def test_without_a_rate_a_few_are_asked_at_once() -> None:
    client = AsyncMock(spec=BillingClient)
    gateway = Gateway(client, asked_at_once=3)

    async def asked(_: Call) -> None:
        await anyio.sleep(1.0)

    client.ask.side_effect = asked

    async def read() -> float:
        began = anyio.current_time()
        await gateway.ask([version()] * 9)
        return anyio.current_time() - began

    assert run(read()) == pytest.approx(3.0)


async def test_operations_are_the_same_through_both_doors(gateway: Gateway, execute: Execute) -> None:
    entered = (90001, 8, 0, "Ввод"), (90002, 8, 1, None), (90003, 1, 0, "Касса")
    names = "op_id op_type storno descr abonent_id op_summa op_date"
    same = (9001, -505 * SCALE // 10, "2026-02-03 23:59:59")
    execute.rows("finance_operations", names, *((*one, *same) for one in entered))
    found = await operations_since(gateway, {9001: 0, 9002: 0})
    assert dict(found) == {
        9001: [
            Operation(90001, 9001, 8, Decimal("-50.50"), "Ввод", False, "2026-02-03"),
            Operation(90002, 9001, 8, Decimal("-50.50"), "", True, "2026-02-03"),
            Operation(90003, 9001, 1, Decimal("-50.50"), "Касса", False, "2026-02-03"),
        ]
    }
    assert await newest(gateway, [9001, 9002]) == {9001: 90003, 9002: 0}


BY_MANY = (
    *("Abonents.id", "Abonents.contract_number", "Abonents.account_id"),
    *("AdminAccounts.id", "FinanceOperations.abonent_id"),
)


@pytest.mark.parametrize(
    ("answers", "whole", "all_at_once"), [("whole", 100, True), ("whole", 3, False), ("none", 100, False)]
)
async def test_a_question_by_many_values_tells_what_one_each_tells(
    answers: Literal["whole", "none"], whole: int, all_at_once: bool, both: Gateway, billing_file: Path
) -> None:
    """Nothing is believed of an answer that may be cut, or where the billing refuses what it has once answered."""
    every = await both.read(lambda database: [key for (key,) in database.query("select id from abonents")])
    ids, numbers = [*every[:90], 2**31 - 1], ["D-0"]
    known = msgspec.structs.replace(UNKNOWN, in_filters=Fact(dict.fromkeys(BY_MANY, whole)))

    async def found(gateway: Gateway) -> list[object]:
        finder = SubscriberFinder(gateway)
        there = await finder.by_ids(ids)
        numbers.extend(one.contract_number or "" for one in there.values() if isinstance(one, Abonent))
        return [
            there,
            await finder.by_contract_numbers(dict.fromkeys(numbers)),
            await newest(gateway, ids),
            await operations_since(gateway, dict.fromkeys(ids, 0)),
            await sharers_of(gateway, [one.account_id or 1 for one in there.values() if isinstance(one, Abonent)]),
            await find(gateway, "FinanceOperations", [{"abonent_id": str(one)} for one in ids], ("op_id", "descr")),
            await find(gateway, "AdminAccounts", [{OF_ABONENT: str(one)} for one in ids], ("id", "limit")),
        ]

    dsn = Dsn(str(billing_file))
    quirks = Quirks(in_filters=answers)
    async with running(dsn, quirks=quirks) as mock, BillingClient(ClientSettings(mock.url)) as client:
        apart = await found(Gateway(client))
        before = int(str(mock.state()["requests"]))
        assert await found(Gateway(client, profile=known)) == apart
        asked = int(str(mock.state()["requests"])) - before
    assert 5 * len(ids) < before
    # Whose the accounts are is a question of its own.
    assert (asked == len(apart) + 1) is all_at_once


async def test_balances_are_known_with_a_database_only(gateway: Gateway, execute: Execute) -> None:
    execute("update admin_accounts set ostatok = ?, credit = ? where id = 9001", 10 * SCALE, 3 * SCALE)
    found = await balances(gateway, [9001, 9008, 9002])
    there = {9001: Decimal(7), 9008: Decimal(7), 9002: Decimal(0)}
    assert found == (there if gateway.database else {})


OPERATION = {"op_id": 5, "op_type_id": 8, "op_summa": "1.00", "storno": 0}
PART_MISSING = [{name: value for name, value in OPERATION.items() if name != gone} for gone in OPERATION]


@pytest.mark.parametrize("fields", [*PART_MISSING, {**OPERATION, "op_id": "five"}, {**OPERATION, "op_summa": "one"}])
async def test_an_answer_with_a_part_missing_is_not_believed(fields: dict[str, object]) -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.return_value = [fields]
    with pytest.raises(LookUpFailed):
        await operations_since(Gateway(client), {9001: 0})
    if not isinstance(fields.get("op_id"), int):
        with pytest.raises(LookUpFailed, match="op_id"):
            await newest(Gateway(client), [9001])


async def test_what_is_given_for_all_rows_is_refused_as_a_parameter(gateway: Gateway) -> None:
    links = ['objects.get {"id": {id}}', 'set {"tarif_id": {tarif_id}}', "save"]
    chain = {"model": "Abonents", "chain": chain_text(links)}
    connect, gone = {"usluga": "240", "manager": "33"}, ", or it is deleted"
    for kind, given, why in (
        (JOBS["tariff-next"], {"tariff": "77", "date": "2030-01-01"}, f"tariff: the billing has no tariff 77{gone}"),
        (JOBS["connect-service"], {**connect, "folder": "2001"}, f"folder: the billing has no folder 2001{gone}"),
        (
            JOBS["connect-service"],
            {**connect, "manager": "35"},
            f"manager: the billing has no administrator 35{gone}",
        ),
        # A placeholder that is named as a field of the billing refers as well.
        (
            call_kind(chain),
            {**chain, "tarif_id": "77", "id": "9001"},
            f"tarif_id: the billing has no tariff 77{gone}",
        ),
    ):
        with pytest.raises(ParameterRefused) as refused:
            await job_of(gateway, kind, Input(file="rows.csv"), **given).check()
        assert str(refused.value) == why
    await job_of(gateway, "connect-service", Input(), folder="89", **connect).check()
    await job_of(gateway, "tariff-now", Input(), tariff="6").check()
    await job_of(gateway, "operator", Input(), operator="1444", **{"from": "3"}).check()


async def test_operators_have_a_table_that_only_a_database_shows(both: Gateway, client: BillingClient) -> None:
    job = job_of(both, "operator", Input(), operator="5")
    with pytest.raises(ParameterRefused, match="operator: the billing has no operator 5"):
        await job.check()
    job = job_of(Gateway(client), "operator", Input(), operator="5")
    await job.check()
    assert job.cautions == (
        "operator 5 was not checked: nothing has it yet, and the billing's table of operators is not known",
    )


async def test_where_the_table_is_not_known_an_id_that_is_in_use_is_there(both: Gateway, execute: Execute) -> None:
    execute("update users set pull = 6 where id = (select min(id) from users where deleted = 0)")
    for kind, given, noun in (
        (JOBS["ip-pool"], {"pool": "777"}, "pool"),
        (JOBS["attribute"], {"attribute": "9999"}, "attribute"),
    ):
        job = job_of(both, kind, Input(), **given)
        await job.check()
        (note,) = job.cautions
        assert note.startswith(f"{noun} {next(iter(given.values()))} was not checked: nothing has it yet")
    job = job_of(both, "ip-pool", Input(), pool="6")
    await job.check()
    assert job.cautions == ()


async def test_what_is_deleted_is_not_there(
    both: Gateway, client: BillingClient, billing_file: Path, execute: Execute
) -> None:
    execute("update abonents set deleted = 1 where id = 1400")
    for gateway in (both, Gateway(client)):
        assert await References(gateway).missing("Folder", {"89", "1400"}) == {"1400"}
    # A column that marks what is deleted counts where it is there.
    execute("update tarif set deleted = 1 where id = 4")
    with Database(Dsn(str(billing_file))) as database:
        assert await References(Gateway(client, database)).missing("Tarif", {"3", "4", "77"}) == {"4", "77"}


async def test_an_id_is_asked_for_once_within_bounds(client: BillingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.access.objects.REMEMBERED", 3)
    asked: list[int] = []
    gateway = Gateway(client)

    async def ask(calls: list[object]) -> list[object]:
        asked.append(len(calls))
        return [[{"pk": 1, "fields": {"id": 1}}] for _ in calls]

    monkeypatch.setattr(Gateway, "ask", lambda _self, calls: ask(calls))
    references = References(gateway)
    assert await references.missing("Tarif", {"1", "2"}) == set()
    assert await references.missing("Tarif", {"1", "2"}) == set()
    assert await references.missing("Tarif", {"3"}) == set()
    assert await references.missing("Tarif", {"4"}) == set()
    assert await references.missing("Tarif", {"1"}) == set()
    assert asked == [2, 1, 1, 1]


async def test_two_pages_forget_nothing_of_each_other(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of ids is emptied when it is full, also while another page waits for an answer."""
    monkeypatch.setattr("jobs.access.objects.REMEMBERED", 2)
    references = References(gateway)
    assert await references.missing("Tarif", {"77"}) == {"77"}
    missing: dict[str, set[str]] = {}

    async def ask(*ids: str) -> None:
        missing[ids[0]] = await references.missing("Tarif", ids)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "77", "78")
        group.start_soon(ask, "79", "80", "81")
    assert missing == {"77": {"77", "78"}, "79": {"79", "80", "81"}}


@pytest.mark.parametrize(
    ("name", "gone", "told"),
    [
        ("balances", "FINANCE_OPERATIONS.DESCR", "DESCR, by which lost calls are found again"),
        ("balances", "ABONENTS.DELETED", "DELETED, by which the subscribers"),
        ("warning-threshold", "ADMIN_ACCOUNTS.LIMIT_WARNING", "LIMIT_WARNING, by which lost calls are found again"),
        ("warning-threshold", "ABONENTS.IS_FOLDER", "IS_FOLDER, by which lost calls are found again"),
    ],
)
async def test_what_a_look_up_needs_and_is_not_there_is_told(
    name: str, gone: str, told: str, tmp_path: Path, client: BillingClient
) -> None:
    lacking = tmp_path / "lacking.fdb"
    create(lacking, subscribers=5, seed=1, without=(gone,))
    with Database(Dsn(str(lacking))) as database:
        given = {"amount": "5"} if name == "warning-threshold" else {}
        effect = effect_of(Gateway(client, database), BUILT_IN.named(name), **given)
        with pytest.raises(InputRefused, match=told):
            await effect.try_out()


DAY = date(2026, 11, 25)
ONE = "abonent_id;amount\n9001;12,50\n"


def known(**facts: object) -> Profile:
    learned = {name: Fact(value, DAY) for name, value in facts.items()}
    return msgspec.structs.replace(UNKNOWN, **learned)


@pytest.fixture
def alone(client: BillingClient) -> Gateway:
    """A billing with quirks, reached through its API alone."""
    return Gateway(client)


@pytest.mark.parametrize("quirks", [Quirks(descr_length=60)])
async def test_a_short_comment_leaves_room_for_the_mark(alone: Gateway) -> None:
    gateway = replace(alone, profile=known(descr_length=60))
    rows = rows_of(ONE)
    with pytest.raises(InputRefused, match="keeps 60 characters of a comment"):
        await planned(job_of(gateway, "balances", rows, descr="а" * 29))
    job = job_of(gateway, "balances", rows, descr="а" * 28)
    (item,) = await planned(job)
    assert isinstance(await job.effect.send(RUN, item), Accepted)
    assert isinstance((await job.effect.look_up(RUN, [item]))[item.item_id], Found)


@pytest.mark.parametrize(
    ("facts", "why"), [({"descr_kept": False}, "does not keep comments"), ({"descr_length": 20}, "a mark needs 32")]
)
async def test_without_a_mark_nothing_is_entered(alone: Gateway, facts: dict[str, object], why: str) -> None:
    gateway = replace(alone, profile=known(**facts))
    with pytest.raises(InputRefused, match=why):
        await planned(job_of(gateway, "balances", rows_of(ONE)))


@pytest.mark.parametrize("quirks", [Quirks(descr_returned=False)])
@pytest.mark.parametrize(("profile", "evidence"), [(UNKNOWN, Accepted), (known(descr_returned=True), Lost)])
async def test_a_billing_that_is_known_to_tell_comments_has_answered_somebody_else(
    alone: Gateway, profile: Profile, evidence: type
) -> None:
    job = job_of(replace(alone, profile=profile), "balances", rows_of(ONE))
    (item,) = await planned(job)
    assert isinstance(await job.effect.send(RUN, item), evidence)


@pytest.mark.parametrize("quirks", [Quirks(descr_filters="all")])
async def test_a_known_filter_narrows_the_look(alone: Gateway) -> None:
    job = job_of(replace(alone, profile=known(descr_filters=("exact", "contains"))), JOBS["balances"], rows_of(ONE))
    (item,) = await planned(job)
    await job.effect.send(RUN, item)
    assert isinstance((await job.effect.look_up(RUN, [item]))[item.item_id], Found)
    other = replace(RUN, name="x1x1x")
    assert not isinstance((await job.effect.look_up(other, [item]))[item.item_id], Found)


async def test_what_no_probe_has_confirmed_is_named(alone: Gateway) -> None:
    rows = rows_of(ONE)

    async def named(profile: Profile, **given: str) -> list[str]:
        job = job_of(replace(alone, profile=profile), "balances", rows, **given)
        return list(job.assumptions(await planned(job)))

    assert await named(UNKNOWN) == [
        "a comment is kept as it was sent",
        "a comment holds 255 characters",
        "an operation of type 8 sets the balance to its sum",
    ]
    kept = known(descr_kept=True, descr_length=255)
    assert await named(kept) == ["an operation of type 8 sets the balance to its sum"]
    assert await named(kept, op_type="2") == ["an operation of type 2 raises the balance by its sum"]
    assert await named(known(descr_kept=True, descr_length=255, act_type=1), op_type="1") == []
    assert await named(known(descr_kept=True, descr_length=255, type_8=TypeEight.ADDS)) == []


WRITE, FSYNC = os.write, os.fsync


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "probe.jsonl"


def intended(number: int) -> Intended:
    return Intended("7q2k", number, 5, 6, 8, Decimal("1.23"), datetime(2026, 11, 1, tzinfo=UTC))


def test_a_short_write_goes_on_until_the_line_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_intents(path, Intended) as intents:
        monkeypatch.setattr(os, "write", lambda descriptor, data: WRITE(descriptor, data[:7]))
        intents.keep(intended(1))
        intents.keep(intended(2))
    with open_intents(path, Intended) as intents:
        assert intents.earlier == (intended(1), intended(2))


def test_a_probe_that_is_interrupted_before_its_first_call_leaves_no_file(path: Path) -> None:
    def interrupted() -> None:
        with open_intents(path, Intended):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not path.exists()


def test_a_disk_that_fills_stops_the_probe_and_leaves_no_half_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [7]

    def filling(descriptor: int, data: bytes) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return WRITE(descriptor, data[: room.pop()])

    with open_intents(path, Intended) as intents:
        intents.keep(intended(1))
        with monkeypatch.context() as full:
            full.setattr(os, "write", filling)
            with pytest.raises(IntentFailed, match="cannot be written: No space left on device"):
                intents.keep(intended(2))
        intents.keep(intended(3))
    with open_intents(path, Intended) as intents:
        assert intents.earlier == (intended(1), intended(3))


def test_the_name_of_the_new_file_is_kept_before_its_first_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[bool] = []

    def fsync(descriptor: int) -> None:
        kinds.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        FSYNC(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with open_intents(path, Intended) as intents:
        assert kinds == [True]
        intents.keep(intended(1))
    assert kinds == [True, False]


def entries(answered: Any) -> ProbeEntries:
    client = AsyncMock(spec=BillingClient)
    client.send.return_value = Accepted(result=answered)
    abonent = Abonent(5, "00005", "x", account_id=6)
    return ProbeEntries(Gateway(client), AsyncMock(spec=Intents), "7q2k", abonent=abonent)


@pytest.mark.parametrize("op_id", ["abc", "", None, 1.5, "5\x1b[31m", "9" * 5000, -1])
async def test_an_operation_whose_id_is_no_number_is_a_sentence(op_id: object) -> None:
    with pytest.raises(LookUpFailed, match="op_id"):
        await entries([{"pk": op_id, "fields": {"op_id": op_id, "storno": 0}}]).filtered({"descr": "x"})


async def test_money_that_is_no_amount_is_not_known() -> None:
    for balance in ("n/a", "1e999999999", [1], "1" * 5000):
        assert await entries([{"pk": 6, "fields": {"balance": balance}}]).balance() is None
        assert threshold_of({"fields": {"limit_warning": balance}}) is None
    assert await entries([{"pk": 6, "fields": {"balance": "50.5"}}]).balance() == Decimal("50.5")
    for nothing in ([{"pk": 6, "fields": {}}], []):
        assert await entries(nothing).balance() is None


def test_a_line_that_is_not_durable_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [OSError(5, "Input/output error"), OSError(22, "Invalid argument")]

    def refused(_: int) -> None:
        raise errors.pop(0)

    lines = tmp_path / "lines"
    descriptor = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        append_durably(descriptor, b"one line\n")
        monkeypatch.setattr(os, "fsync", refused)
        with pytest.raises(OSError, match="Input/output error"):
            append_durably(descriptor, b"another\n")
    finally:
        os.close(descriptor)
    assert lines.read_bytes() == b"one line\n"
    # A folder may keep no names, but not be missing.
    keep_name(tmp_path)
    with pytest.raises(FileNotFoundError):
        keep_name(tmp_path / "none")


def test_why_a_call_of_a_probe_has_failed_is_told_in_the_language_of_the_reader() -> None:
    assert (
        language(RUSSIAN).render(why_of(Lost(said("the look-up finds nothing"))))
        == "запрос проверки ничего не находит"
    )
    assert why_of(Accepted()) == ""


# ---- the gauges: what they read; what they hold stands in tests/engine/pacing --------------------------------------

JOURNAL = Path(gettempdir())


async def gauge_of(gateway: Gateway, name: str, policies: Sequence[Policy]) -> Gauge:
    """The gauge of a name; the last of the policies is in force."""
    gauges = await gauges_of(gateway, lambda: policies[-1], JOURNAL)
    (found,) = [gauge for gauge in gauges if gauge.name == name]
    return found


async def measured(gateway: Gateway, name: str, policy: Policy) -> GaugeReading:
    measure = await (await gauge_of(gateway, name, [policy])).measure()
    assert measure is not None
    return measure


async def test_there_is_a_gauge_for_each_stack_that_the_billing_has(both: Gateway, execute: Execute) -> None:
    # The mock has no third stack; a billing that has it gets a gauge of its own.
    assert [one.name for one in await gauges_of(both, Policy, JOURNAL)] == ["disk", "hours", *STACKS[:2], "latency"]
    without = await gauges_of(replace(both, database=None), Policy, JOURNAL)
    assert [one.name for one in without] == ["disk", "hours", "latency"]
    execute("create table events_stack (id integer not null primary key)")
    execute.put("events_stack", id=1)
    # What a billing has is asked for once a connection.
    assert both.database
    both.database.close()
    assert await measured(both, "EVENTS_STACK", Policy(max_stack=1000)) == GaugeReading(1, 1000, 800, grows=True)


async def test_the_threshold_is_that_in_force_and_0_is_none(both: Gateway) -> None:
    policies = [Policy(max_stack=50)]
    stack = await gauge_of(both, "ACCOUNT_STACK", policies)
    assert await stack.measure() == GaugeReading(0, 50, 40, grows=True)
    policies.append(Policy(max_stack=7))
    assert await stack.measure() == GaugeReading(0, 7, 5, grows=True)
    policies.append(Policy(max_stack=0))
    assert await stack.measure() is None


HERE = datetime(2025, 11, 24, 12, 0)  # noqa: DTZ001 - a billing's time has no zone


class Told(BillingClient):
    """A client of a billing that tells another time than ours, or none, or is away."""

    def __init__(self, server_time: str | None) -> None:
        super().__init__(ClientSettings("http://localhost:1"))
        self.server_time = server_time
        self.away = False
        self.asked = 0

    async def health(self, *, attempts: int = 1) -> Health:
        self.asked += 1
        if self.away:
            raise errors.BillingAway("nobody answers")
        return Health("5.24", self.server_time, 2.0)


async def test_the_time_is_the_billings_and_ours_where_it_tells_none() -> None:
    for told, there in (
        ("2025-11-24 17:00:00", HERE + timedelta(hours=5, seconds=1)),
        ("2025-11-24T17:00:00.500+05:00", HERE + timedelta(hours=5, seconds=1.5)),
        ("2025-11-23 23:00:00", HERE - timedelta(hours=13, seconds=-1)),
        ("half past five", HERE),
        (None, HERE),
    ):
        assert await BillingClock(Gateway(Told(told)), lambda: HERE).now() == there


async def test_the_clock_is_asked_at_times_and_goes_on_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Told("2025-11-24 17:00:00")
    clock = BillingClock(Gateway(client), lambda: HERE)
    client.away = True
    with pytest.raises(LookUpFailed, match="nobody answers"):
        await clock.now()
    client.away = False
    there = await clock.now()
    for _ in range(9):
        there = await clock.now()
    assert client.asked == 2
    client.away = True
    monkeypatch.setattr("jobs.gauges.MEASURED_EVERY", -1.0)
    assert await clock.now() == there
    client.away, client.server_time = False, "2025-11-24 18:00:00"
    assert await clock.now() == there + timedelta(hours=1)
    assert MEASURED_EVERY >= 60


async def test_the_hours_are_those_of_the_billing() -> None:
    gateway = Gateway(Told(f"{datetime.now() + timedelta(hours=12):%Y-%m-%d %H:%M:%S}"))  # noqa: DTZ005
    hour = datetime.now().hour  # noqa: DTZ005
    there = f"{(hour + 11) % 24:02}:00-{(hour + 14) % 24:02}:00"
    here = f"{(hour - 1) % 24:02}:00-{(hour + 2) % 24:02}:00"
    inside = await measured(gateway, "hours", Policy(hours=hours_of(there)))
    outside = await measured(gateway, "hours", Policy(hours=hours_of(here)))
    assert inside.value <= inside.low
    assert outside.value > outside.high


async def test_without_a_threshold_nobody_asks_for_the_latency_and_one_that_comes_later_is_heeded() -> None:
    client, policies = Told(None), [Policy()]
    gauge = await gauge_of(Gateway(client), "latency", policies)
    assert (await gauge.measure(), client.asked) == (None, 0)
    policies.append(Policy(max_latency=1.5))
    assert await gauge.measure() == GaugeReading(
        2.0, 1.5, 1.2000000000000002, text="latency: the billing takes 2 s, 1.5 s are the most"
    )
    policies.append(Policy(max_latency=2.2))
    measure = await gauge.measure()
    assert measure is not None
    assert measure.text == "latency: the billing takes 2 s, goes on at 1.76 s"


def own(select: str, above: float) -> Policy:
    return Policy(throttle_sql=select, throttle_above=above)


async def test_a_select_of_ones_own_goes_on_at_less_than_it_holds_at(both: Gateway) -> None:
    for number, above, low, text in [
        (5_120_000, 1000.0, 800.0, "5,120,000 > 1,000"),
        (900, 1000.0, 800.0, "900 goes on at 800"),
        (1, 0.0, 0.0, "1 > 0"),
        (-9, -10.0, -12.0, "-9 > -10"),
    ]:
        policies = [own(f"select {number} from rdb$database", 4.0)]  # noqa: S608 - a number
        gauge = await gauge_of(both, "throttle-sql", policies)
        # Another number counts at once.
        policies.append(replace(policies[0], throttle_above=above))
        measure = await gauge.measure()
        assert measure is not None
        assert (measure.value, measure.high, measure.low, measure.grows) == (number, above, low, False)
        assert measure.text == f"throttle-sql {text}"


async def test_a_select_that_gives_no_number_is_refused_before_anything_is_sent(both: Gateway) -> None:
    for select, why in [
        ("select count(*) from no_such_table", "NO_SUCH_TABLE"),
        ("select id, id from abonents", "one row with one number"),
        ("select id from abonents", "one row with one number"),
        ("select name from abonents where id = (select min(id) from abonents)", "one row with one number"),
        ("select id from abonents where 1 = 0", "one row with one number"),
        ("select null from rdb$database", "one row with one number"),
        ("delete from abonents", ""),
    ]:
        with pytest.raises(InputRefused, match=r"^--throttle-sql ") as refused:
            await gauge_of(both, "throttle-sql", [own(select, 3.0)])
        assert why in str(refused.value)
    assert both.database
    assert list(both.database.query("select count(*) from abonents")) != [(0,)]
    with pytest.raises(InputRefused, match="needs the billing's database"):
        await gauge_of(replace(both, database=None), "throttle-sql", [own("select 1 from rdb$database", 3.0)])
