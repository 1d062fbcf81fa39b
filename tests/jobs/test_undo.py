"""Runs that take runs back through the journal, whatever the kind, however long the chain, on shared accounts too."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import anyio.to_thread
import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.api.calls import NOTHING, ChainStep
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRow, DirectReader
from billing.database.sql_blocks import Value
from billing.money import SCALE, scaled
from billing.profile import UNKNOWN, Fact, TypeEight
from checkpoints.journal import Journal, open_journal
from checkpoints.records import AccountFigures, Change, Item, NewItem, NewRun, Run
from checkpoints.sentences import DIFFERENT
from checkpoints.states import State
from checkpoints.tally import ExtraSubscriber, ImportTally, Subtotal, TallyGroup
from engine.errors import InputRefused
from engine.job import Job
from engine.pipeline.intake import Intake, Repeat, Since
from engine.pipeline.progress import Progress
from engine.pipeline.verifier import verify
from jobs import sums as tallies
from jobs.access.gateway import Gateway
from jobs.access.payload import BALANCE, Payload, encode_payload, payload_of
from jobs.accounts import AccountDifference, compare_balances
from jobs.catalogue.catalogue import BUILT_IN
from jobs.imports.subscriber import Step
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.parameters import row_key
from jobs.spec.spec import parameters_of
from jobs.spec.words import RUN, UNDO
from jobs.sums import tally_of
from jobs.undo import build_undo
from jobs.value_changes import row_changes
from lab.mock.facts import Quirks
from lab.mock.population import create
from lab.mock.server import running
from tests.checkpoints.samples import frozen_run
from tests.conftest import SHARED_FIXTURES
from tests.jobs.conftest import Execute
from tests.jobs.importing import carried_out, sent_to_the_end
from tests.jobs.making import job_of, rows_of
from tests.jobs.whole_database import Tables, changes, new_rows, whole

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


@pytest.mark.parametrize("comes", [True, False])
async def test_what_was_entered_a_moment_ago_is_gone_only_once_the_settle_delay_is_over(
    both: Gateway, journal: Journal, execute: Execute, *, comes: bool
) -> None:
    run = await done(both, journal, "balances", rows_of("abonent_id;amount\n9001;5\n"), {"op_type": "1"})
    execute(
        "update finance_operations set op_id = op_id + 1000000, descr = reverse(descr) "
        "where op_id = (select max(op_id) from finance_operations)"
    )
    shown = "update finance_operations set op_id = op_id - 1000000, descr = reverse(descr) where op_id > 1000000"
    parameters, progress = {RUN: run.name, "way": "opposite"}, Progress()
    back = await build_undo(both, journal, parameters, BUILT_IN)
    undo = await journal.create_run(NewRun(UNDO, parameters, TARGET, "", policy={"settle": "2"}))
    progress.holds.listen(lambda: execute(shown) if comes else None)
    await Intake(undo, back, journal, progress).freeze_all()
    assert await counts(journal, undo) == {"pending" if comes else "skipped": 1, "refused": 0}


async def test_the_same_row_is_one_by_id_and_by_contract_number(both: Gateway, journal: Journal) -> None:
    await done(both, journal, "balances", rows_of("abonent_id;amount\n9001;5\n9002;7\n"))
    by_number = await done(both, journal, "balances", rows_of("Договор;Сумма\n00123;5,00\n123;8\nA15;1\n"))
    assert await counts(journal, by_number) == {"skipped": 1, "accepted": 1, "refused": 1}


def connected(database: Database) -> list[int]:
    """Who has the promised payment connected, once for each time."""
    services = whole(database)["USERS_USLUGA"].values()
    return sorted(one["ABONENT_ID"] for one in services if one["USLUGA_ID"] == 240 and not one["DELETED"])


async def test_a_restored_service_is_known_as_the_row_of_its_load(
    both: Gateway, database: Database, journal: Journal
) -> None:
    """It has a new id and the mark of the undo of its deletion: as nobody's it would be connected and paid twice."""

    async def load() -> Run:
        given = {"usluga": "240", "manager": "33"}
        return await done(both, journal, "connect-service", rows_of("abonent_id\n9001\n9002\n"), given)

    async def first_deleted(run: Run) -> Run:
        first, _ = await journal.items(run, {State.ACCEPTED})
        return await done(both, journal, "delete-services", rows_of(f"id\n{first.answer}\n"))

    before, once = connected(database), await load()
    after = connected(database)
    restoring = await undone(both, journal, await first_deleted(once))
    # Restored before its load is taken back: neither connected again nor left behind.
    again = await load()
    assert await counts(journal, again) == {"skipped": 1, "refused": 1}
    ((_, refusal),) = await journal.refusals(again)
    assert f"run {restoring.name} has restored it after a deletion" in refusal.reason
    assert await counts(journal, await undone(both, journal, once)) == {"accepted": 1, "refused": 1}
    await undone(both, journal, restoring)
    rest = await undone(both, journal, once)
    assert await counts(journal, rest) == {"skipped": 1, "refused": 0}
    await journal.note_gone(rest)
    assert connected(database) == before
    # And after it: what is taken back is not restored.
    twice = await load()
    deletion = await first_deleted(twice)
    await journal.note_gone(await undone(both, journal, twice))
    assert await counts(journal, await undone(both, journal, deletion)) == {"refused": 1}
    assert connected(database) == before
    await load()
    assert connected(database) == after


@pytest.mark.parametrize(
    ("job", "given", "rows"),
    [
        ("connect-service", {"usluga": "240", "manager": "33"}, "abonent_id\n9001\n9002\n"),
        ("attribute", {"attribute": "7"}, "abonent_id;value\n9001;x\n9002;y\n"),
    ],
)
async def test_what_an_undo_of_an_undo_has_made_anew_is_in_effect(
    gateway: Gateway, database: Database, journal: Journal, job: str, given: dict[str, str], rows: str
) -> None:
    """It has new ids, by which the load does not know it: nothing of it seemed to be in effect."""
    before = whole(database)
    runs = [await done(gateway, journal, job, rows_of(rows), given)]
    read = build(BUILT_IN.named(job), gateway, runs[0].parameters, Input())
    for _ in range(2):
        last = await undone(gateway, journal, await undone(gateway, journal, runs[-1]))
        assert await counts(journal, last) == {"accepted": 2, "refused": 0}
        figures = await verify(runs[0], read, journal, lambda *_: None)
        assert (figures.as_wanted, figures.different) == (2, 0)
        for run in runs:
            back = await undone(gateway, journal, run)
            assert await counts(journal, back) == {"refused": 2}
            ((_, refusal), _) = await journal.refusals(back)
            advice = f"Take that back first: `carbon-migrate undo {last.name}`"
            assert refusal.reason == f"left alone: run {last.name} has restored it. {advice}"
        runs.append(last)
    assert await counts(journal, await undone(gateway, journal, runs[-1])) == {"accepted": 2, "refused": 0}
    left = [
        row
        for table in ("USERS_USLUGA", "ATTRIBUTE_VALUES")
        for row in new_rows(changes(before, whole(database)), table)
    ]
    assert [row for row in left if not row.get("DELETED")] == []


async def test_an_attribute_that_a_proxy_has_doubled_is_left_alone_with_both_ids(
    gateway: Gateway, journal: Journal, execute: Execute
) -> None:
    """Nothing but its fields tells it: the second one stayed behind an undo that ended well."""
    rows = rows_of("abonent_id;value\n9001;x\n9002;y\n")
    run = await done(gateway, journal, "attribute", rows, {"attribute": "7"})
    first, _ = await journal.items(run, {State.ACCEPTED})
    execute.put("attribute_values", id=77777, abonent_id=9001, attribute_id=7, attribute_value="x")
    back = await undone(gateway, journal, run)
    assert await counts(journal, back) == {"accepted": 1, "skipped": 1, "refused": 0}
    (left,) = await reasons(journal, back)
    assert left == (
        f"left alone, for it is in the billing 2 times: attribute value {first.answer} with attribute_value x, "
        "attribute value 77777 with attribute_value x. Take back there, by their ids, all but "
        f"{first.answer}; then type the command again"
    )
    execute("delete from attribute_values where id = 77777")
    assert await counts(journal, await undone(gateway, journal, run)) == {"accepted": 1, "refused": 0}


@pytest.mark.parametrize(
    ("name", "why"), [("recalculate", "a recalculation cannot be taken back"), ("administrators", "")]
)
async def test_what_cannot_be_taken_back_says_why(both: Gateway, journal: Journal, name: str, why: str) -> None:
    run = await journal.create_run(NewRun(name, parameters_of(BUILT_IN.named(name), {}), TARGET, "rows.csv"))
    with pytest.raises(InputRefused, match=f"run {run.name} .{name}. cannot be taken back: {why}"):
        await build_undo(both, journal, {RUN: run.name}, BUILT_IN)


async def test_a_storno_is_final(both: Gateway, journal: Journal) -> None:
    run = await done(both, journal, "balances", rows_of("abonent_id;amount\n9001;5\n"))
    storno = await undone(both, journal, run, way="storno")
    assert storno.job == UNDO
    with pytest.raises(InputRefused, match="a storno is final"):
        await build_undo(both, journal, {RUN: storno.name}, BUILT_IN)


FEW, MANY = 3, 40
PAGES: Sequence[tuple[str, Mapping[str, str], Mapping[str, str]]] = (
    ("balances", {"amount": "50.50"}, {"way": "opposite", "type_8": "sets"}),
    ("balances", {"amount": "50.50", "op_type": "1"}, {"way": "storno"}),
    ("warning-threshold", {"amount": "-77"}, {}),
    ("operator", {"operator": "1444"}, {}),
)


class CountingReader(DirectReader):
    def __init__(self, dsn: Dsn, counted: list[str]) -> None:
        super().__init__(attach(dsn), dsn.encoding)
        self._counted = counted

    def select(self, sql: str, values: Sequence[Value]) -> tuple[int, list[DatabaseRow]]:
        self._counted.append(sql)
        return super().select(sql, values)


@pytest.fixture
def selects() -> list[str]:
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
DRAWN: Final = st.dictionaries(st.sampled_from((*ON_ONE, *ALONE)), AMOUNTS, min_size=1, max_size=6)

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
    names = "id contract_number parent_id name account_id tarif_id"
    execute.rows("abonents", names, *((key, f"ЕЩЁ-{key}", 9100, "Ещё один", 9001, 2) for key in ON_ONE[2:]))


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
@given(balances=BALANCES, rows=DRAWN, again=DRAWN)
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


@pytest.mark.parametrize("way", ["opposite", "storno", "list"])
async def test_a_payment_that_an_opening_balance_has_replaced_is_left_alone(
    gateway: Gateway, database: Database, journal: Journal, way: str
) -> None:
    """Its sum is in the balance no more: taken back, it would be missing from another one."""
    paid = await done(gateway, journal, "payment", rows_of("abonent_id;amount\n9001;50\n9002;7\n"))
    rows = rows_of("abonent_id;amount\n9001;3\n")
    loaded = await done(gateway, journal, "balances", rows, enter=Repeat.AGAIN)
    after = whole(database)
    back = await undone(gateway, journal, paid, way=way)
    left = next(one for one in await reasons(journal, back) if one and one.startswith("replaced since"))
    assert re.match(
        r"replaced since: operation \d+ of 3.00, \S+ of type 8 has set the balance of its account, and this sum is "
        rf"out of it. To take back both, begin there: `carbon-migrate undo {loaded.name} --set way=opposite`. If ",
        left,
    )
    assert (await counts(journal, back))["skipped"] == (2 if way == "list" else 1)
    assert 9001 not in changes(after, whole(database)).get("ADMIN_ACCOUNTS", {})
    if way == "opposite" and gateway.database is not None:
        await undone(gateway, journal, loaded, way=way)
        assert await counts(journal, await undone(gateway, journal, paid, way=way)) == {"accepted": 1, "refused": 0}


async def test_a_payment_under_a_difference_is_taken_back(both: Gateway, journal: Journal) -> None:
    first = await done(both, journal, "balances", rows_of("abonent_id;amount\n9001;5\n"))
    paid = await done(both, journal, "payment", rows_of("abonent_id;amount\n9001;50\n"))
    job = job_of(both, "balances", rows_of("abonent_id;amount\n9001;6\n"))
    new = NewRun(job.name, {}, TARGET, "", job.source.digest, policy={"settle": "0"})
    delta = await journal.create_run(new)
    await Intake(delta, job, journal, Progress(), since=Since(runs=frozenset({first.name}))).freeze_all()
    await journal.approve(delta)
    assert await counts(journal, await sent_to_the_end(job, journal, delta.name)) == {"accepted": 1, "refused": 0}
    assert await counts(journal, await undone(both, journal, paid, way="opposite")) == {"accepted": 1, "refused": 0}


async def test_a_payment_that_is_replaced_after_the_list_of_its_undo_is_not_taken_back(
    both: Gateway, journal: Journal, execute: Execute
) -> None:
    paid = await done(both, journal, "payment", rows_of("abonent_id;amount\n9001;50\n"))
    parameters = {RUN: paid.name, "way": "opposite"}

    def set_anew() -> None:
        execute.put(
            "finance_operations",
            op_id=10**6,
            abonent_id=9001,
            op_type=8,
            op_summa=3 * SCALE,
            storno=0,
            op_date="2026-01-01",
        )

    back = await carried_out(await build_undo(both, journal, parameters, BUILT_IN), journal, set_anew, parameters)
    (item,) = await journal.items(back, {State.REJECTED})
    assert "replaced since: operation 1000000 of 3.00" in (item.message or "")
    assert "begin there: by hand" in (item.message or "")


# ---- the balances of accounts and the tally of an import, beside what the rows of a run say ------------------------

BEFORE = (Decimal(100), Decimal(0), Decimal("-7.50"))
"""The balances of the accounts 9001, 9002 and 9003."""
ROWS = {9001: Decimal(10), 9008: Decimal("5.25"), 9002: Decimal(-3)}
"""Two rows on the account 9001, and one on 9002."""


@dataclass(frozen=True, slots=True)
class Setting:
    gateway: Gateway
    journal: Journal
    folder: Path
    run: Run

    async def compared(self) -> tuple[AccountFigures, list[str]]:
        found: list[AccountDifference] = []
        result = await compare_balances(self.run, self.gateway, self.journal, found.append)
        return result, [str(one) for one in found]

    async def enters(self, rows: dict[int, Decimal], **given: str) -> None:
        file = rows_of(as_file(rows))
        await done(self.gateway, self.journal, "balances", file, given, enter=Repeat.AGAIN)


@pytest.fixture
def type_8() -> Type8:
    return "sets"


@pytest.fixture
async def entered(
    billing_file: Path, database: Database, execute: Execute, tmp_path: Path, type_8: Type8
) -> AsyncIterator[Setting]:
    begin_with(execute, BEFORE)
    async with billing(billing_file, database, type_8) as (gateway, journal):
        known = replace(gateway, profile=msgspec.structs.replace(UNKNOWN, type_8=Fact(TypeEight(type_8))))
        run = await done(known, journal, "balances", rows_of(as_file(ROWS)))
        yield Setting(known, journal, tmp_path, run)


async def test_where_the_last_entry_counts_the_others_of_its_account_are_missing(entered: Setting) -> None:
    result, told = await entered.compared()
    assert told == ["account 9001 (lines 2, 3): 15.25 expected, the balance is 5.25"]
    assert result == AccountFigures(compared=2, expected=Decimal("12.25"), found=Decimal("2.25"), different=1)
    # An account with a later operation is counted apart.
    await entered.enters({9008: Decimal(1)}, op_type="1")
    assert await entered.compared() == (
        AccountFigures(compared=1, expected=Decimal(-3), found=Decimal(-3), with_later_operations=1),
        [],
    )


@pytest.mark.parametrize("type_8", ["adds"])
async def test_where_entries_add_up_the_balance_before_counts_and_nothing_of_what_was_taken_back(
    entered: Setting,
) -> None:
    assert await entered.compared() == (
        AccountFigures(compared=2, expected=Decimal("112.25"), found=Decimal("112.25")),
        [],
    )
    undo = await undone(entered.gateway, entered.journal, entered.run, way="opposite", type_8="adds")
    for run in (entered.run, undo):
        assert await replace(entered, run=run).compared() == (AccountFigures(), [])


FOLDER, OTHER = 9200, 9300
IMPORT = NewRun("import", {}, "http://billing", "subscribers.csv")
TALLIES: Final = """
equal totals are counted by each kind
  there 9201 00123 balance=10 / 9202 15J34 balance=-3 tariff=3
  file 00123 balance=10.00 / 15J34 balance=-3.00 tariff=3
  0 different
  folder 9200 Улица: 2 7, there 2 7
  tariff 2 Тариф 2: 1 10, there 1 10
  tariff 3 Тариф 3: 1 -3, there 1 -3
  operator 3 Старый оператор: 2 7, there 2 7
what is missing, and what is too much, stands first: the sums show it, and each tariff
  there 9201 1 balance=10 / 9202 2 tariff=5 / 9203 2 tariff=5
  file 1 balance=10.00 / 2 tariff=5 / 3 balance=4.50 state=rejected
  4 different
  folder 9200 Улица: 3 14.5, there 3 10, not entered 1 4.5
  tariff 2 Тариф 2: 2 14.5, there 1 10, not entered 1 4.5
  tariff 5 Тариф 5: 1 0, there 2 0
another tariff or folder is a difference on both sides
  there 9201 1 tariff=3 / 9202 2 folder=9300 / 9203 3 folder=9300
  file 1 / 2 / 3 folder=9300
  4 different
  folder 9300 Площадь: 1 0, there 2 0
  folder 9200 Улица: 2 0, there 1 0
  tariff 2 Тариф 2: 3 0, there 2 0
  tariff 3 Тариф 3: 0 0, there 1 0
a balance that was left as it was is not entered
  there 9201 1 balance=3
  file 1 balance=10.00 left=yes
  3 different
  folder 9200 Улица: 1 10, there 1 3, not entered 0 10
  tariff 2 Тариф 2: 1 10, there 1 3, not entered 0 10
what rows do not say is not compared
  there 9201 1 balance=500 / 9202 2 tariff=3
  file 1 tariff= operator= / 2 tariff=3 operator=
  0 different
  folder 9200 Улица: 2 0, there 2 0
  tariff: 1 0, there 1 0
  tariff 3 Тариф 3: 1 0, there 1 0
who has no folder in the file is found in any
  there 9201 1 balance=5 / 9202 2 folder=9300 / 9203 3
  file 1 folder= balance=5.00 / 2 folder= / 3 / 4 folder=
  3 different
  folder: 3 5, there 2 5
"""
"""Subscribers of the billing by their ids, and rows of a file; the first groups, those that differ before others.

A group has subscribers and their balances, by the file and in the billing.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: what it says, and what became of its steps; `entry` is the id of its operation."""

    number: str
    folder: str = "Улица"
    tariff: str = "2"
    operator: str = "3"
    balance: str = ""
    state: str = State.ACCEPTED
    entry: str = "1"
    left: str = ""
    """Says something where another balance is there, and was left."""

    def items(self) -> list[NewItem]:
        groups = {"folder": self.folder, "tariff": self.tariff, "operator": self.operator, "balance": self.balance}
        told = {name: text for name, text in groups.items() if text}
        return [self._item(Step.SUBSCRIBER, told), *([self._item(Step.BALANCE, {})] if self.balance else [])]

    def _item(self, step: Step, groups: dict[str, str]) -> NewItem:
        payload = encode_payload(Payload("Abonents", (), step=step, groups=groups))
        why = f"{DIFFERENT}: the balance" if self.left and step is Step.BALANCE else None
        key = row_key((self.number, step, ""))
        return NewItem(key, self.number, f"contract:{self.number}", payload, skip_reason=why)


@dataclass(frozen=True, slots=True)
class TallySetting:
    """A billing with two empty folders, and a journal."""

    gateway: Gateway
    journal: Journal
    execute: Execute

    def has(self, key: int, number: str, *, balance: int = 0, tariff: int = 2, folder: int = FOLDER) -> None:
        self.execute.put("admin_accounts", id=key, ostatok=balance * SCALE)
        names = "id parent_id name contract_number account_id tarif_id operator_id"
        self.execute.rows("abonents", names, (key, folder, "Иванов", number, key, tariff, 3))

    async def imported(self, *rows: Row, folder: str = str(FOLDER)) -> Run:
        """A run of these rows that has made the folder "Улица"; "" where it has not."""
        made = Payload("Abonents", (), step=Step.FOLDER)
        items = [NewItem(row_key((Step.FOLDER, "Улица")), "Улица", "folders", encode_payload(made))]
        run = await frozen_run(self.journal, *items, *(item for row in rows for item in row.items()), new=IMPORT)
        await self.journal.approve(run)
        frozen = await self.journal.items(run, {State.PENDING})
        await self.journal.claim(run, [item.item_id for item in frozen])
        became = {"Улица": (State.ACCEPTED if folder else State.REJECTED, folder)}
        became |= {row.number: (State(row.state), row.entry) for row in rows}
        changes = [Change(item.item_id, *became[item.label]) for item in frozen]
        await self.journal.record(run, changes)
        return run

    async def tally(self, *rows: Row, folder: str = str(FOLDER)) -> ImportTally:
        return await tally_of(await self.imported(*rows, folder=folder), self.gateway, self.journal)


@pytest.fixture
async def setting(both: Gateway, execute: Execute, journal: Journal) -> TallySetting:
    for key, name in {FOLDER: "Улица", OTHER: "Площадь"}.items():
        execute.put("abonents", id=key, is_folder=1, name=name)
    return TallySetting(both, journal, execute)


def of(subscribers: int, balance: str = "0") -> Subtotal:
    return Subtotal(subscribers, Decimal(balance))


def group_line(one: TallyGroup) -> str:
    line = f"{one.kind} {one.key} {one.name}".rstrip()
    sums = {"": one.file, "there ": one.billing, "not entered ": one.not_entered, "moved ": one.moved}
    shown = {name: one for name, one in sums.items() if one != of(0) or name in {"", "there "}}
    said = [f"{name}{one.rows} {one.amount.normalize():f}" for name, one in shown.items()]
    return f"{line}: {', '.join(said)}"


@pytest.mark.parametrize("scene", re.split(r"\n(?=\S)", TALLIES.strip()))
async def test_subscribers_are_counted_by_each_kind(setting: TallySetting, scene: str) -> None:
    def said(line: str) -> Iterator[tuple[list[str], dict[str, str]]]:
        for words in (one.split() for one in line.split(" ", 1)[1].split(" / ")):
            named = [word for word in words if "=" in word]
            yield [word for word in words if "=" not in word], dict(word.split("=") for word in named)

    _, there, file, different, *groups = scene.split("\n  ")
    for (key, number), more in said(there):
        setting.has(int(key), number, **{name: int(value) for name, value in more.items()})
    tally = await setting.tally(*(Row(number, **more) for (number,), more in said(file)))
    assert [group_line(one) for one in tally.groups][: len(groups)] == groups
    assert (f"{tally.different} different", tally.extra) == (different, 0)


async def test_who_is_in_the_folder_and_not_in_the_file_is_named_and_no_difference(
    setting: TallySetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "PAGE", 2)
    setting.has(9201, "1", balance=10)
    for key in range(9202, 9207):
        setting.has(key, f"old-{key}", balance=key)
    setting.has(9207, "2")
    setting.execute("update abonents set deleted = 1 where id = 9206")
    tally = await setting.tally(Row("1", balance="10.00"), Row("2"))
    assert (tally.different, tally.extra) == (0, 4)
    assert tally.first_extra[0] == ExtraSubscriber(9202, "old-9202", "Иванов", FOLDER, Decimal(9202))
    assert [one.abonent_id for one in tally.first_extra] == [9202, 9203, 9204, 9205]
    assert tally.groups[0].extra == of(4, str(9202 + 9203 + 9204 + 9205))


async def test_balances_that_later_operations_have_moved_are_no_difference(setting: TallySetting) -> None:
    setting.has(9201, "1", balance=7)
    setting.has(9202, "2", balance=7)
    operations = ((900_001, 9201), (900_002, 9201), (900_011, 9202))
    names = "op_id abonent_id op_type op_summa op_date"
    setting.execute.rows("finance_operations", names, *((*one, 1, 0, "2026-01-02") for one in operations))
    rows = (Row("1", balance="10.00", entry="900001"), Row("2", balance="10.00", entry="900011"))
    tally = await setting.tally(*rows)
    folder = tally.groups[0]
    assert (folder.difference, folder.moved) == (of(0, "-6"), of(1, "-3"))
    assert folder.is_different
    setting.execute("update admin_accounts set ostatok = ? where id = 9202", 10 * SCALE)
    moved = await tally_of((await setting.journal.runs())[0], setting.gateway, setting.journal)
    assert (moved.different, moved.groups[0].moved) == (0, of(1, "-3"))


async def test_a_folder_that_was_never_made_has_nobody(setting: TallySetting) -> None:
    setting.execute("update abonents set name = 'Переулок' where id = ?", FOLDER)
    tally = await setting.tally(Row("1", state=State.REJECTED), folder="")
    folder = tally.groups[0]
    assert (folder.key, folder.name, folder.file, folder.billing) == ("Улица", "", of(1), of(0))
    assert folder.is_different


PAGE = 1000
"""Rows that are read at a time."""


def operation(key: str, lane: str, amount: str, op_type: int, balance: str | None) -> NewItem:
    payload = Payload(
        model="FinanceOperations",
        steps=(ChainStep("create", {"abonent_id": 9, "op_type_id": op_type, "op_summa": amount}),),
        key={"abonent_id": "9", "op_type_id": str(op_type)},
        wanted={"op_summa": amount},
        was={} if balance is None else {BALANCE: balance},
    )
    return NewItem(key, f"subscriber {key}", lane, encode_payload(payload), Decimal(amount))


@pytest.mark.parametrize("between", [0, PAGE - 3, PAGE, 2 * PAGE])
async def test_a_row_finds_the_balance_of_the_rows_before_it_however_far_away(tmp_path: Path, between: int) -> None:
    rows = [
        operation("set", "account:7", "1.10", 8, "100.00"),
        operation("other type", "account:7", "5.00", 3, None),
        *(operation(f"other {one}", f"account:{100 + one}", "2.00", 8, "3.00") for one in range(between)),
        operation("set anew", "account:7", "-2.20", 8, "100.00"),
    ]
    async with open_journal(tmp_path / "journal") as journal:
        run = await frozen_run(journal, *rows)
        found = {one.item.key: one async for page in row_changes(run, journal, UNKNOWN) for one in page}
    first, last = found["set"], found["set anew"]
    assert [(one.old, one.new) for one in first.fields] == [("100.00", "1.10")]
    assert [(one.old, one.new) for one in last.fields] == [("1.10", "-2.20")]
    assert (first.first, last.first) == (True, False)


async def test_a_delta_asks_the_journal_once_a_page_what_stands(
    gateway: Gateway, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not gateway.database:
        return
    text = "abonent_id;amount\n9001;5\n9002;{}\n"
    await done(gateway, journal, "balances", rows_of(text.format(7)))
    asked, standing = list[int](), Journal.standing_in_lanes

    async def counted(self: Journal, job: str, target: str, items: Sequence[NewItem | Item], own: str) -> list[Any]:
        asked.append(len(items))
        return await standing(self, job, target, items, own)

    monkeypatch.setattr(Journal, "standing_in_lanes", counted)
    job = job_of(gateway, "balances", rows_of(text.format(9)))
    run = await journal.create_run(NewRun("balances", {}, TARGET, "new.csv", job.source.digest))
    await Intake(run, job, journal, Progress(), since=Since()).freeze_all()
    assert (await counts(journal, run), asked) == ({"pending": 1, "skipped": 1, "refused": 0}, [2])
