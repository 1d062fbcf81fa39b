"""The doors to a billing: what cannot be read and for how long, what is there, and what a probe writes down."""

import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import anyio
import msgspec
import pytest

from billing.api.calls import Call, version
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.directory.subscribers import Abonent, Operation
from billing.errors import (
    BillingAway,
    BillingBusy,
    BillingError,
    BillingRefused,
    DatabaseAway,
    StatementRefused,
    SystemRefusal,
    UnreadableAnswer,
)
from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, Profile, TypeEight
from cli.terminal.language import RUSSIAN, language
from engine.errors import InputRefused, LookUpDelayed, LookUpFailed
from engine.evidence import Accepted, Lost
from engine.job import Found
from engine.pacing.throttle import Rate
from jobs.access.durable import append_durably, keep_name
from jobs.access.gateway import Gateway
from jobs.access.operations import balances, newest, of_type
from jobs.access.references import References
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.catalogue.typed_call import call_kind
from jobs.probe.entries import ProbeEntries
from jobs.probe.intent import Intended, IntentFailed, Intents, open_intents
from jobs.probe.readings import threshold_of
from jobs.probe.traces import why_of
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.errors import ParameterRefused
from lab.mock.population import leave_out
from lab.mock.quirks import Quirks
from lab.mock.server import running
from tests.jobs.conftest import Execute
from tests.jobs.making import RUN, effect_of, job_of, planned, rows_of
from tests.virtual_clock import run
from texts.said import said


@pytest.mark.parametrize(
    ("error", "is_waited_for"),
    [
        (BillingAway("nobody answers"), True),
        (BillingBusy("it is busy", 3.0), True),
        (DatabaseAway("no connection"), True),
        (StatementRefused("no such column"), False),
        (BillingRefused("no such field"), False),
        (SystemRefusal("no rights"), False),
        (UnreadableAnswer("a list was expected"), False),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_only_what_ends_by_itself_is_waited_for(error: BillingError, is_waited_for: bool) -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.side_effect = error
    with pytest.raises(LookUpFailed, match=str(error)) as failed:
        await of_type(Gateway(client), [9001], 8)
    assert isinstance(failed.value, LookUpDelayed) is is_waited_for


async def test_a_database_that_is_missing_is_not_waited_for() -> None:
    with pytest.raises(LookUpFailed) as failed:
        await Gateway(AsyncMock(spec=BillingClient)).read(lambda database: database)
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
    for key, kind, storno, descr in [(90001, 8, 0, "Ввод"), (90002, 8, 1, None), (90003, 1, 0, "Касса")]:
        execute.put(
            "finance_operations",
            op_id=key,
            abonent_id=9001,
            op_type=kind,
            op_summa=-505 * SCALE // 10,
            op_date="2026-02-03 23:59:59",
            descr=descr,
            storno=storno,
        )
    found = await of_type(gateway, [9001, 9002], 8)
    assert dict(found) == {
        9001: [
            Operation(90001, 9001, 8, Decimal("-50.50"), "Ввод", False, "2026-02-03"),
            Operation(90002, 9001, 8, Decimal("-50.50"), "", True, "2026-02-03"),
        ]
    }
    assert await newest(gateway, [9001, 9002]) == {9001: 90003, 9002: 0}


async def test_balances_are_known_with_a_database_only(gateway: Gateway, execute: Execute) -> None:
    execute("update admin_accounts set ostatok = ?, credit = ? where id = 9001", 10 * SCALE, 3 * SCALE)
    found = await balances(gateway, [9001, 9008, 9002])
    there = {9001: Decimal(7), 9008: Decimal(7), 9002: Decimal(0)}
    assert found == (there if gateway.database else {})


@pytest.mark.parametrize(
    "fields",
    [
        {"op_id": 5, "storno": 0},
        {"op_id": 5, "op_summa": "1.00"},
        {"op_summa": "1.00", "storno": 0},
        {"op_id": "five", "op_summa": "1.00", "storno": 0},
        {"op_id": 5, "op_summa": "one", "storno": 0},
    ],
)
async def test_an_answer_with_a_part_missing_is_not_believed(fields: dict[str, object]) -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.return_value = [fields]
    with pytest.raises(LookUpFailed):
        await of_type(Gateway(client), [9001], 8)


async def test_a_last_operation_without_an_id_is_not_believed() -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.return_value = [{"storno": 0}]
    with pytest.raises(LookUpFailed, match="has no op_id"):
        await newest(Gateway(client), [9001])


async def test_what_is_given_for_all_rows_is_refused_as_a_parameter(gateway: Gateway) -> None:
    for kind, given, why in [
        (
            JOBS["tariff-next"],
            {"tariff": "77", "date": "2030-01-01"},
            "tariff: the billing has no tariff 77, or it is deleted",
        ),
        (
            JOBS["connect-service"],
            {"folder": "2001", "usluga": "240", "manager": "34"},
            "folder: the billing has no folder 2001, or it is deleted",
        ),
        (
            JOBS["connect-service"],
            {"usluga": "240", "manager": "35"},
            "manager: the billing has no administrator 35, or it is deleted",
        ),
    ]:
        with pytest.raises(ParameterRefused) as refused:
            await job_of(gateway, kind, Input(file="rows.csv"), **given).check()
        assert str(refused.value) == why


async def test_what_is_there_passes(gateway: Gateway) -> None:
    await job_of(gateway, "connect-service", Input(), folder="89", usluga="240", manager="33").check()
    await job_of(gateway, "tariff-now", Input(), tariff="6").check()
    await job_of(gateway, "operator", Input(), operator="1444", **{"from": "3"}).check()


async def test_a_placeholder_that_is_named_as_a_field_of_the_billing_refers_as_well(gateway: Gateway) -> None:
    links = ['objects.get {"id": {id}}', 'set {"tarif_id": {tarif_id}}', "save"]
    chain = {"model": "Abonents", "chain": chain_text(links)}
    job = job_of(gateway, call_kind(chain), Input(), **chain, tarif_id="77", id="9001")
    with pytest.raises(ParameterRefused, match="tarif_id: the billing has no tariff 77"):
        await job.check()


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


async def test_what_is_deleted_is_not_there(both: Gateway, client: BillingClient, execute: Execute) -> None:
    execute("update abonents set deleted = 1 where id = 1400")
    for gateway in (both, Gateway(client)):
        assert await References(gateway).missing("Folder", {"89", "1400"}) == {"1400"}


async def test_a_column_that_marks_what_is_deleted_counts_where_it_is_there(
    client: BillingClient, billing_file: Path, execute: Execute
) -> None:
    execute("update tarif set deleted = 1 where id = 4")
    with Database(Dsn(str(billing_file))) as database:
        missing = await References(Gateway(client, database)).missing("Tarif", {"3", "4", "77"})
    assert missing == {"4", "77"}


async def test_an_id_is_asked_for_once_within_bounds(client: BillingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.access.references.REMEMBERED", 3)
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
    monkeypatch.setattr("jobs.access.references.REMEMBERED", 2)
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
    name: str, gone: str, told: str, billing_file: Path, client: BillingClient
) -> None:
    connection = attach(Dsn(str(billing_file)))
    leave_out(connection, gone)
    connection.close()
    with Database(Dsn(str(billing_file))) as database:
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
def quirks() -> Quirks:
    return Quirks()


@pytest.fixture
async def alone(billing_file: Path, quirks: Quirks) -> AsyncIterator[Gateway]:
    """A billing with quirks, reached through its API alone."""
    async with (
        running(billing_file, quirks=quirks) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
    ):
        yield Gateway(client)


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
    abonent = Abonent(5, "00005", "x", 1, is_folder=False, deleted=False, account_id=6)
    return ProbeEntries(Gateway(client), AsyncMock(spec=Intents), "7q2k", abonent=abonent)


@pytest.mark.parametrize("op_id", ["abc", "", None, 1.5, "5\x1b[31m", "9" * 5000, -1])
async def test_an_operation_whose_id_is_no_number_is_a_sentence(op_id: object) -> None:
    with pytest.raises(LookUpFailed, match="op_id"):
        await entries([{"pk": op_id, "fields": {"op_id": op_id, "storno": 0}}]).filtered({"descr": "x"})


@pytest.mark.parametrize(
    ("answered", "balance"),
    [
        ([{"pk": 6, "fields": {"balance": "50.5"}}], Decimal("50.5")),
        ([{"pk": 6, "fields": {"balance": "n/a"}}], None),
        ([{"pk": 6, "fields": {"balance": "1e999999999"}}], None),
        ([{"pk": 6, "fields": {"balance": [1]}}], None),
        ([{"pk": 6, "fields": {}}], None),
        ([], None),
    ],
)
async def test_a_balance_that_is_no_amount_is_not_known(answered: Any, balance: Decimal | None) -> None:
    assert await entries(answered).balance() == balance


@pytest.mark.parametrize("value", ["n/a", "1e999999999", "1" * 5000])
def test_a_threshold_that_is_no_amount_is_none(value: str) -> None:
    assert threshold_of({"fields": {"limit_warning": value}}) is None


@pytest.fixture
def lines_file(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def opened(lines_file: Path) -> int:
    return os.open(lines_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def test_a_line_that_is_not_durable_is_taken_out(lines_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> None:
        raise OSError(5, "Input/output error")

    descriptor = opened(lines_file)
    try:
        append_durably(descriptor, b"one line\n")
        monkeypatch.setattr(os, "fsync", refused)
        with pytest.raises(OSError, match="Input/output error"):
            append_durably(descriptor, b"another\n")
    finally:
        os.close(descriptor)
    assert lines_file.read_bytes() == b"one line\n"


def test_a_folder_may_keep_no_names_but_not_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    keep_name(tmp_path)
    with pytest.raises(FileNotFoundError):
        keep_name(tmp_path / "none")


def test_why_a_call_of_a_probe_has_failed_is_told_in_the_language_of_the_reader() -> None:
    assert (
        language(RUSSIAN).render(why_of(Lost(said("the look-up finds nothing"))))
        == "запрос проверки ничего не находит"
    )
    assert why_of(Accepted()) == ""
