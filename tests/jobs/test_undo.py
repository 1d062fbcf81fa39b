"""Runs that take runs back through the journal, whatever the kind, however long the chain, on shared accounts too."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, TypeAlias

import anyio.to_thread
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.api.calls import NOTHING
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow, DirectReader
from billing.database.sql_blocks import Value
from billing.money import scaled
from checkpoints.journal import Journal, open_journal
from checkpoints.records import NewRun, Run
from checkpoints.states import State
from engine.errors import InputRefused
from engine.job import Job
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.catalogue import BUILT_IN
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.spec import parameters_of
from jobs.spec.words import RUN, UNDO
from jobs.undo import build_undo
from lab.mock.population import create
from lab.mock.quirks import Quirks
from lab.mock.server import running
from tests.conftest import SHARED_FIXTURES
from tests.jobs.conftest import Execute
from tests.jobs.importing import carried_out
from tests.jobs.making import job_of, rows_of
from tests.jobs.whole_database import Tables, changes, whole

TARGET = "http://billing"


async def done(
    gateway: Gateway,
    journal: Journal,
    name: str,
    rows: Input,
    given: Mapping[str, str] = NOTHING,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    enter: Repeat = Repeat.ONCE,
) -> Run:
    parameters = parameters_of(BUILT_IN.named(name), given)
    job = build(BUILT_IN.named(name), gateway, parameters, rows)
    return await carried_out(job, journal, meanwhile, parameters, enter)


async def undone(gateway: Gateway, journal: Journal, run: Run, **how: str) -> Run:
    parameters = {RUN: run.name, **how}
    back = await build_undo(gateway, journal, parameters, BUILT_IN)
    return await carried_out(back, journal, parameters=parameters)


async def counts(journal: Journal, run: Run) -> dict[str, int]:
    totals = await journal.totals(run)
    return {**{str(state): number for state, number in totals.counts.items()}, "refused": totals.refused}


async def reasons(journal: Journal, run: Run) -> list[str | None]:
    return [item.message for item in await journal.items(run, {State.SKIPPED})]


KINDS = [
    ("warning-threshold", "abonent_id\n9001\n9002\n9003\n", {"amount": "-77"}),
    ("operator", "abonent_id\n9001\n9002\n9003\n", {"operator": "1444"}),
    ("snat-pool", "user_id\n{0}\n{1}\n{2}\n", {"pool": "1030"}),
    ("ip-pool", "user_id\n{0}\n{1}\n{2}\n", {"pool": "6"}),
]


def users(database: Database) -> list[str]:
    query = "select first 3 id from users where deleted = 0 and ip is not null order by id"
    return [str(number) for (number,) in database.query(query)]


CHANGED = [
    "update admin_accounts set limit_warning = -5550000000000 where id in (9001, 9003)",
    "update abonents set operator_id = 3 where id in (9001, 9003)",
    "update users set snat_pull = 1040 where id in ({0}, {2})",
    "update users set pull = 1030, ip = 167900001 where id = {0}",
]
"""What somebody does to rows of each of the kinds."""


@pytest.mark.parametrize(
    ("name", "text", "given", "change"), [(*kind, change) for kind, change in zip(KINDS, CHANGED, strict=True)]
)
async def test_the_first_state_is_the_one_that_was_overwritten_whenever_the_plan_was_made(
    both: Gateway,
    database: Database,
    journal: Journal,
    execute: Execute,
    name: str,
    text: str,
    given: dict[str, str],
    change: str,
) -> None:
    rows = rows_of(text.format(*users(database)))
    planned = whole(database)
    first: Tables = {}

    def meanwhile() -> None:
        if change:
            execute(change.format(*users(database)))
        first.update(whole(database))

    run = await done(both, journal, name, rows, given, meanwhile=meanwhile)
    assert bool(changes(planned, first)) is bool(change)
    second = whole(database)
    for turn in range(4):
        run = await undone(both, journal, run)
        assert await counts(journal, run) == {"accepted": 3, "refused": 0}
        assert changes(second if turn % 2 else first, whole(database)) == {}, turn


def changed(then: str) -> str:
    return (
        f"changed between plan and call: it was limit_warning -120, and then limit_warning {then}; an undo brings "
        "the latter back"
    )


@pytest.mark.parametrize("meant", ["", "update admin_accounts set limit_warning = -5550000000000 where id = 9001"])
async def test_two_rows_of_one_account_are_taken_back_to_what_was_before_the_first(
    both: Gateway, database: Database, journal: Journal, execute: Execute, meant: str
) -> None:
    """9001 and 9008 have one account: what the second row finds there is what the first has set."""
    rows = rows_of("abonent_id;limit_warning\n9001;-5\n9002;-6\n9008;-7\n")
    first: Tables = {}

    def meanwhile() -> None:
        if meant:
            execute(meant)
        first.update(whole(database))

    run = await done(both, journal, "tariff-threshold", rows, meanwhile=meanwhile)
    sent = {item.key: item for item in await journal.items(run, {State.ACCEPTED})}
    assert payload_of(sent["9008"]).was == {"limit_warning": "-5"}
    # What somebody meant is told and brought back; what the first row has set is the run's own.
    notes = {key: item.message for key, item in sent.items()}
    assert notes == {
        "9001": changed("-555") if meant else None,
        "9002": None,
        "9008": "found what an earlier row of this run had set: row 1; an undo brings back what was there before "
        "the run",
    }
    back = await undone(both, journal, run)
    assert changes(first, whole(database)) == {}
    assert await counts(journal, back) == {"accepted": 2, "skipped": 1, "refused": 0}


async def test_objects_are_deleted_made_anew_and_deleted(both: Gateway, database: Database, journal: Journal) -> None:
    rows = rows_of("abonent_id\n9001\n9002\n")
    run = await done(both, journal, "connect-service", rows, {"usluga": "240", "manager": "33"})
    gateway = {row["ID"] for row in _of(database, "9001") + _of(database, "9002")}
    assert len(gateway) == 2
    back = await undone(both, journal, run)
    assert _of(database, "9001") == []
    forth = await undone(both, journal, back)
    assert await counts(journal, forth) == {"accepted": 2, "refused": 0}
    assert len(_of(database, "9001")) == 1
    # The first run's objects stand again, by other ids: what takes them back is the undo of what has made them.
    assert len(await journal.in_effect(run)) == 2
    again = await undone(both, journal, forth)
    assert await counts(journal, again) == {"accepted": 2, "refused": 0}
    assert _of(database, "9001") + _of(database, "9002") == []


def _of(database: Database, abonent: str) -> list[dict[str, object]]:
    tables = whole(database)["USERS_USLUGA"]
    return [row for row in tables.values() if str(row["ABONENT_ID"]) == abonent and not row.get("DELETED")]


async def test_what_is_entered_anew_is_not_restored_too(both: Gateway, database: Database, journal: Journal) -> None:
    text = "abonent_id;amount\n9001;5\n9002;7\n"
    run = await done(both, journal, "balances", rows_of(text))
    opposite = await undone(both, journal, run, way="opposite")
    anew = await done(both, journal, "balances", rows_of("abonent_id;amount\n9002;7\n"))
    before = whole(database)
    back = await undone(both, journal, opposite, way="storno")
    assert await counts(journal, back) == {"accepted": 1, "skipped": 1, "refused": 0}
    assert await reasons(journal, back) == [f"entered anew since: run {anew.name} has this row again"]
    assert len(changes(before, whole(database))["FINANCE_OPERATIONS"]) == 1


async def test_the_same_row_is_one_by_id_and_by_contract_number(both: Gateway, journal: Journal) -> None:
    await done(both, journal, "balances", rows_of("abonent_id;amount\n9001;5\n9002;7\n"))
    by_number = await done(both, journal, "balances", rows_of("Договор;Сумма\n00123;5,00\n123;8\nA15;1\n"))
    assert await counts(journal, by_number) == {"skipped": 1, "accepted": 1, "refused": 1}


@pytest.mark.parametrize(
    ("name", "text", "given", "why"),
    [
        ("recalculate", "abonent_id;since\n9001;2026-01-01\n", {}, "a recalculation cannot be taken back"),
        ("administrators", None, {}, ""),
    ],
)
async def test_what_cannot_be_taken_back_says_why(
    both: Gateway, journal: Journal, name: str, text: str | None, given: dict[str, str], why: str
) -> None:
    rows = Input() if text is None else rows_of(text)
    run = await journal.create_run(NewRun(name, parameters_of(BUILT_IN.named(name), given), TARGET, rows.file))
    with pytest.raises(InputRefused, match=f"run {run.name} .{name}. cannot be taken back: {why}"):
        await build_undo(both, journal, {RUN: run.name}, BUILT_IN)


async def test_a_storno_is_final(both: Gateway, journal: Journal) -> None:
    run = await done(both, journal, "balances", rows_of("abonent_id;amount\n9001;5\n"))
    storno = await undone(both, journal, run, way="storno")
    assert storno.job == UNDO
    with pytest.raises(InputRefused, match="a storno is final"):
        await build_undo(both, journal, {RUN: storno.name}, BUILT_IN)


async def test_steps_are_taken_back_from_the_last_to_the_first_and_entered_again_from_the_first(
    both: Gateway, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.effects.set_fields.SetFieldsEffect.has_steps", True)
    monkeypatch.setattr("jobs.undo._PAGE", 2)
    file = tmp_path / "input.csv"
    file.write_text("abonent_id\n9001\n9002\n9003\n", encoding="utf-8")
    run = await done(both, journal, "warning-threshold", Input(file=str(file)), {"amount": "-77"})
    labels = [item.label for item in await journal.items(run, set(State))]
    assert len(labels) == 3
    back = await undone(both, journal, run)
    again = await undone(both, journal, back)
    assert [item.label for item in await journal.items(back, set(State))] == labels[::-1]
    assert [item.label for item in await journal.items(again, set(State))] == labels


FEW, MANY = 3, 40
PAGES: Sequence[tuple[str, Mapping[str, str], Mapping[str, str]]] = (
    ("balances", {"amount": "50.50"}, {"way": "opposite", "type_8": "sets"}),
    ("balances", {"amount": "50.50", "op_type": "1"}, {"way": "storno"}),
    ("warning-threshold", {"amount": "-77"}, {}),
    ("operator", {"operator": "1444"}, {}),
)


class CountingReader(DirectReader):
    """A reader that counts its selects."""

    def __init__(self, dsn: Dsn, counted: list[str]) -> None:
        super().__init__(attach(dsn), dsn.encoding)
        self._counted = counted

    def select(self, sql: str, values: Sequence[Value]) -> tuple[int, list[DatabaseRow]]:
        self._counted.append(sql)
        return super().select(sql, values)


@pytest.fixture
def selects() -> list[str]:
    """The selects so far."""
    return []


@pytest.fixture
def counted(client: BillingClient, billing_file: Path, selects: list[str]) -> Iterator[Gateway]:
    with Database(Dsn(str(billing_file)), lambda dsn: CountingReader(dsn, selects)) as database:
        yield Gateway(client, database)


async def _for_a_page(job: Job, rows: int, selects: list[str]) -> int:
    """The number of selects for the first so many rows."""
    page = await anyio.to_thread.run_sync(lambda: next(job.source.pages(None)))
    assert len(page.rows) >= rows
    # What is asked once a run is asked now.
    await job.prepare(page.rows[:1])
    before = len(selects)
    prepared = await job.prepare(page.rows[:rows])
    assert len(prepared.items) == rows
    await job.find_entries(prepared.items)
    return len(selects) - before


def _subscribers(gateway: Gateway) -> str:
    """A file of subscribers who share no account."""
    assert gateway.database is not None
    ids = gateway.database.query(
        "select min(id) from abonents where is_folder = 0 and deleted = 0 group by account_id order by 1"
    )
    return "\n".join(["abonent_id", *(str(key) for (key,) in ids)]) + "\n"


@pytest.mark.parametrize(("name", "given", "how"), PAGES)
async def test_plan_and_undo_ask_as_often_for_many_rows_as_for_few(
    name: str,
    given: Mapping[str, str],
    how: Mapping[str, str],
    counted: Gateway,
    selects: list[str],
    journal: Journal,
) -> None:
    rows = rows_of(_subscribers(counted))
    job = job_of(counted, BUILT_IN.named(name), rows, **given)
    assert await _for_a_page(job, FEW, selects) == await _for_a_page(job, MANY, selects) > 0
    run = await done(counted, journal, name, rows, given)
    undo = await build_undo(counted, journal, {RUN: run.name, **how}, BUILT_IN)
    assert await _for_a_page(undo, FEW, selects) == await _for_a_page(undo, MANY, selects) > 0


Type8: TypeAlias = Literal["sets", "adds"]
Rows: TypeAlias = dict[int, Decimal]

ON_ONE: Final = (9001, 9008, 9011, 9012)
"""Subscribers of the account 9001."""
ALONE: Final = (9002, 9003)
ACCOUNTS: Final = (9001, 9002, 9003)


KOPECKS: Final = st.decimals("-9999.99", "9999.99", places=2)
# Equal amounts, round ones, and one that is spelled in two ways: they are what goes wrong.
AMOUNTS: Final = KOPECKS | st.sampled_from([Decimal(text) for text in ("0", "10", "-459.90", "-459.91", "100.00")])
BALANCES: Final = st.tuples(*[AMOUNTS] * len(ACCOUNTS))
ROWS: Final = st.dictionaries(st.sampled_from((*ON_ONE, *ALONE)), AMOUNTS, min_size=1, max_size=6)

ANY: Final = settings(
    max_examples=5, phases=[Phase.explicit, Phase.reuse, Phase.generate], suppress_health_check=SHARED_FIXTURES
)


@pytest.fixture(scope="session")
def billing_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mock billing of a few subscribers: it is read whole many times over."""
    path = tmp_path_factory.mktemp("few") / "billing.fdb"
    create(path, subscribers=60, seed=7)
    return path


@pytest.fixture
def shared_accounts(execute: Execute) -> None:
    """Two more subscribers of the account that two of the odd ones have."""
    for key in ON_ONE[2:]:
        execute.put(
            "abonents",
            id=key,
            parent_id=9100,
            name="Ещё один",
            contract_number=f"ЕЩЁ-{key}",
            account_id=9001,
            tarif_id=2,
        )


@asynccontextmanager
async def billing(file: Path, database: Database, type_8: Type8) -> AsyncIterator[tuple[Gateway, Journal]]:
    """A billing whose entries of type 8 set or add, and a new journal."""
    number = len(list(file.parent.glob("journal-*.db")))
    async with (
        running(file, quirks=Quirks(type_8=type_8)) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
        open_journal(file.parent / f"journal-{number}.db") as journal,
    ):
        yield Gateway(client, database), journal


def begin_with(execute: Execute, balances: Sequence[Decimal]) -> None:
    """Set the balances, and take the marks off what the example before has entered: its journal is another one."""
    execute("update finance_operations set descr = 'before'")
    for account, balance in zip(ACCOUNTS, balances, strict=True):
        execute("update admin_accounts set ostatok = ? - debit + credit where id = ?", scaled(balance), account)


def as_file(rows: Rows, column: str = "amount") -> str:
    return "\n".join([f"abonent_id;{column}", *(f"{key};{amount}" for key, amount in rows.items())]) + "\n"


def apart_from_operations(before: Tables, after: Tables) -> object:
    """What differs, but for operations that have come: no way back makes an operation disappear."""
    found = changes(before, after)
    if all(set(row) >= {"(there)"} for row in found.get("FINANCE_OPERATIONS", {}).values()):
        found.pop("FINANCE_OPERATIONS", None)
    return found


async def there_and_back(
    gateway: Gateway, journal: Journal, database: Database, run: Run, first: Tables, **how: str
) -> None:
    """Undo, undo of the undo, and so on: each gives the one state or the other, and nothing is refused."""
    second = whole(database)
    for turn in range(4):
        run = await undone(gateway, journal, run, **how)
        assert (await counts(journal, run))["refused"] == 0
        assert apart_from_operations(second if turn % 2 else first, whole(database)) == {}, turn


@pytest.mark.usefixtures("shared_accounts")
@pytest.mark.parametrize("type_8", ["sets", "adds"])
@pytest.mark.loops(300)
@ANY
@given(balances=BALANCES, rows=ROWS, again=ROWS)
async def test_opening_balances_are_taken_back_and_restored(
    type_8: Type8,
    balances: tuple[Decimal, ...],
    rows: Rows,
    again: Rows,
    billing_file: Path,
    database: Database,
    execute: Execute,
) -> None:
    begin_with(execute, balances)
    async with billing(billing_file, database, type_8) as (gateway, journal):
        zero = whole(database)
        earlier = await done(gateway, journal, "balances", rows_of(as_file(rows)))
        one = whole(database)
        later = await done(gateway, journal, "balances", rows_of(as_file(again)), enter=Repeat.AGAIN)
        how: dict[str, str] = {"way": "opposite", "type_8": type_8}
        await there_and_back(gateway, journal, database, later, one, **how)
        # Four times is where it was: once more, and the earlier run is on top.
        await undone(gateway, journal, later, **how)
        assert apart_from_operations(one, whole(database)) == {}
        await there_and_back(gateway, journal, database, earlier, zero, **how)


@pytest.mark.usefixtures("shared_accounts")
@pytest.mark.loops(300)
@ANY
@given(
    limits=st.tuples(*[st.none() | AMOUNTS] * len(ACCOUNTS)),
    rows=ROWS,
    name=st.sampled_from(["tariff-threshold", "cutoff-limit"]),
)
async def test_fields_of_an_account_are_taken_back_and_restored(
    limits: tuple[Decimal | None, ...],
    rows: Rows,
    name: str,
    billing_file: Path,
    database: Database,
    execute: Execute,
) -> None:
    column = "limit_warning" if name == "tariff-threshold" else '"limit"'
    for account, limit in zip(ACCOUNTS, limits, strict=True):
        value = None if limit is None else scaled(limit)
        execute(f"update admin_accounts set {column} = ? where id = ?", value, account)  # noqa: S608
    async with billing(billing_file, database, "sets") as (gateway, journal):
        first = whole(database)
        run = await done(gateway, journal, name, rows_of(as_file(rows)))
        await there_and_back(gateway, journal, database, run, first)


@pytest.mark.usefixtures("shared_accounts")
async def test_a_row_that_a_later_one_has_replaced_is_left_alone_and_says_so(
    billing_file: Path, database: Database, execute: Execute
) -> None:
    begin_with(execute, [Decimal(7), Decimal(0), Decimal(0)])
    async with billing(billing_file, database, "sets") as (gateway, journal):
        # Equal sums: the balance alone does not tell whose it is.
        run = await done(gateway, journal, "balances", rows_of("abonent_id;amount\n9001;50\n9008;50\n"))
        back = await undone(gateway, journal, run, way="opposite")
        (left,) = await reasons(journal, back)
        assert left == "row 2 of the same run has replaced it: taking that one back brings back what was before both"
