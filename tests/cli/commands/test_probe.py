"""The probe as an operator has it: what it learns of a billing that answers otherwise or lacks columns."""

import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
import pytest
from yarl import URL

from billing.database.dsn import Dsn
from billing.money import SCALE
from checkpoints.states import State
from lab.mock.facts import Quirks
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.server import running
from tests.cli import conftest
from tests.cli.conftest import PATIENCE, Place, place_in

Opened = Callable[..., AbstractAsyncContextManager[Place]]
SETTLE = ("--settle", "0.2")
MARKED = "select op_id, op_type, storno, descr from finance_operations where descr containing 'cm-probe'"
USUAL = {
    "receipt_type": 2,
    "act_type": 1,
    "code1c_key": True,
    "type_8": "sets",
    "descr_kept": True,
    "descr_returned": True,
    "descr_filters": ["exact"],
    "create_answers": "object",
    "storno_call": "storno",
    "storno_works": True,
    "error_status": 200,
    "money_scale": SCALE,
}


@pytest.fixture
def opened(billing_file: Path, tmp_path: Path) -> Opened:
    """Opens a place whose billing has quirks, lacks columns, or has slow stacks."""

    @asynccontextmanager
    async def open_place(
        quirks: Quirks | None = None, *without: str, stack_rate: float = 0.0
    ) -> AsyncIterator[Place]:
        conftest.without(billing_file, *without)
        served = {"quirks": quirks or Quirks(), "stack_rate": stack_rate}
        async with place_in(tmp_path / "work", billing_file, **served) as place:
            yield place

    return open_place


def subscriber(place: Place) -> int:
    """A live subscriber with an account of its own."""
    return place.subscribers(1)[0]


def probing(place: Place, *more: str, abonent: int = 0) -> tuple[str, ...]:
    return ("probe", "--abonent", str(abonent or subscriber(place)), "--yes", *SETTLE, *more)


async def probed(place: Place, *more: str, ends: int = 0, abonent: int = 0) -> dict[str, Any]:
    """How a probe closes."""
    return await place.cli.closing(*probing(place, *more, abonent=abonent), ends=ends)


def intents(place: Place) -> list[Path]:
    return list((place.cli.folder / "state").rglob("*.probe"))


@pytest.mark.parametrize(
    ("quirks", "call", "more"),
    [
        (Quirks(), "", {}),
        (Quirks("adds", 60, descr_returned=False, create_answers="list", error_status=400), "", {}),
        (
            Quirks(descr_filters="all", create_answers="fields"),
            "storno",
            {"descr_filters": ["exact", "contains", "icontains", "startswith"], "storno_type_8": "subtracts"},
        ),
        (
            Quirks(descr_filters="none", create_answers="id", storno_call="reverse", storno_type_8="keeps"),
            "reverse",
            {"descr_filters": [], "descr_returned": False},
        ),
        (Quirks(type_8="adds"), "storno", {"storno_type_8": "restores"}),
    ],
    ids=["usual", "adds", "filters", "id", "restores"],
)
async def test_each_quirk_is_learned_and_the_subscriber_is_as_before(
    opened: Opened, quirks: Quirks, call: str, more: dict[str, Any]
) -> None:
    """A quirk is learned by its name and value, but for what `more` says."""
    told = ("--set", f"storno_call={call}") if call else ()
    learned = dict(asdict(quirks).items() - asdict(Quirks()).items()) | more
    async with opened(quirks) as place:
        abonent = subscriber(place)
        before = place.balance(abonent)
        usual = USUAL | {"descr_length": place.billing.database.longest("FINANCE_OPERATIONS", "DESCR")}
        closing = await probed(place, *told)
        expected = usual | learned
        if not told:
            expected = {name: value for name, value in expected.items() if not name.startswith("storno")}
        names = usual.keys() | learned.keys()
        assert {name: value for name, value in closing["learned"].items() if name in names} == expected
        assert closing["left"] == []
        assert place.balance(abonent) == before == Decimal(closing["balance_after"])
        assert intents(place) == []


@pytest.mark.parametrize("answers", ["whole", "cut", "none"])
async def test_rows_are_looked_for_by_the_hundred_only_where_such_answers_were_seen_whole(
    opened: Opened, answers: Literal["whole", "cut", "none"]
) -> None:
    rows = 150
    async with opened(Quirks(in_filters=answers)) as place:
        learned = (await probed(place, abonent=place.subscribers(rows + 1)[-1]))["learned"]
        assert ("FinanceOperations.abonent_id" in learned.get("in_filters", {})) is (answers == "whole")
        place.without_database()
        place.traffic.model, before, balances = "", (await place.found()).rows, place.balances(rows)
        await place.cli("plan", "balances", balances.path)
        # Whose the number is, the last operation, who shares the account, what was entered: four questions.
        assert place.traffic.arrived < rows / 2 if answers == "whole" else place.traffic.arrived > 4 * rows, (
            place.traffic.arrived
        )
        # Who has these numbers and logins, before each row is checked and when it is planned.
        subscribers = "".join(f"Н-{n};Новиков Пётр;new{n}\n" for n in range(rows))
        place.write(f"Договор;ФИО;Логин\n{subscribers}", "subscribers.csv")
        before_import = place.traffic.arrived
        await place.cli("plan", "import", "subscribers.csv")
        asked = place.traffic.arrived - before_import
        assert asked < rows / 2 if answers == "whole" else asked >= 4 * rows, asked
        closing = await place.run("balances", balances.path, "--in-flight", "64", "--no-canary")
        assert closing["states"] == {"accepted": rows}
        assert (await place.found()).rows == before + rows


async def test_without_a_database_the_rest_stays_assumed_and_says_so(opened: Opened) -> None:
    async with opened(Quirks(type_8="adds")) as place:
        abonent = subscriber(place)
        before = place.balance(abonent)
        closing = await probed(place, "--database", "")
        assert closing["learned"]["type_8"] == "adds"
        assert closing["not_learned"]["columns"] == "only the database tells it, and none is set"
        assert {"charset", "money_scale", "storno_call", "delete_answers"} <= set(closing["not_learned"])
        assert "it is tried only where --create-in FOLDER names" in closing["not_learned"]["create_fields"]
        assert place.balance(abonent) == before
        # A balance of nothing is asked twice: one kopeck below, the first receipt makes it nothing.
        await place.execute(
            "update admin_accounts set ostatok = -200000000, debit = 0, credit = 0 "
            "where id = (select account_id from abonents where id = ?)",
            abonent,
        )
        assert (await probed(place))["learned"]["type_8"] == "adds"
        assert place.balance(abonent) == Decimal("-0.02")


async def test_with_stacks_the_effect_is_waited_for(opened: Opened) -> None:
    async with opened(stack_rate=4.0) as place:
        abonent = subscriber(place)
        before = place.balance(abonent)
        # Another probe of this billing is refused meanwhile.
        async with place.cli.started(*probing(place), "--json") as started:
            await started.said("· enter a receipt")
            await place.cli.refused(*probing(place), says="another probe of this billing is under way")
            learned = (await started.ended()).closing["learned"]
        assert learned["type_8"] == "sets"
        assert learned["stack_seconds"] >= 0.1
        assert place.balance(abonent) == before


async def test_comments_that_are_not_kept_end_the_probe_and_all_is_taken_back(opened: Opened) -> None:
    async with opened(Quirks(descr_length=8)) as place:
        abonent = subscriber(place)
        before = place.balance(abonent)
        closing = await probed(place, ends=3)
        assert (closing["learned"]["descr_kept"], closing["learned"]["descr_length"]) == (False, 8)
        assert "nothing more is entered" in closing["error"]
        assert place.balance(abonent) == before
        assert intents(place) == []


@pytest.mark.parametrize(("call", "year"), [(3, ""), (12, "2001"), (14, "2099"), (20, "")], ids=str)
async def test_a_probe_that_was_killed_finds_what_it_left_and_takes_it_back(
    opened: Opened, call: int, year: str
) -> None:
    """The third call enters the first receipt, the twelfth the second, the next two type 8 and an act.

    Receipts with exact keys follow, each filtered by its key, and then all is taken back. A clock that was set since,
    ahead or back, does not change the wait.
    """
    async with opened() as place:
        abonent = subscriber(place)
        before = place.balance(abonent)
        place.traffic.looks = True
        await place.kill_at(call, *probing(place))
        (intent,) = intents(place)
        if year:
            text = intent.read_text()
            intent.write_text(re.sub(r'"at":"\d{4}', f'"at":"{year}', text))
            assert intent.read_text() != text
        ended = await place.cli(*probing(place), "--json")
        ended.saying("an earlier probe was killed: waiting")
        assert ended.closing["left"] == []
        assert place.balance(abonent) == before
        assert intents(place) == []


_ACCOUNT = "(select account_id from abonents where id = new.abonent_id)"
SWAPPED = f"""
create trigger swapped for finance_operations active after insert as
begin
    if (new.op_type in (1, 2)) then
        update admin_accounts set debit = debit + iif(new.op_type = 1, 2, -2) * new.op_summa where id = {_ACCOUNT};
end
"""  # noqa: S608 - of constants
"""What makes type 1 raise the balance and type 2 lower it."""


@pytest.mark.parametrize("database", [True, False])
async def test_the_types_that_raise_and_lower_the_balance_are_learned(opened: Opened, *, database: bool) -> None:
    """Where they are the other way round, all is taken back as well, and a payment raises the balance."""
    async with opened() as place:
        await place.execute(SWAPPED)
        abonent = subscriber(place)
        if not database:
            place.without_database()
        before = place.balance(abonent)
        closing = await probed(place)
        assert (closing["learned"]["receipt_type"], closing["learned"]["act_type"]) == (1, 2)
        assert (closing["left"], place.balance(abonent)) == ([], before)
        await place.run("payment", place.rows("abonent_id;amount", f"{abonent};500"))
        assert place.balance(abonent) == before + 500


async def test_it_asks_first_and_is_refused_for_who_is_no_test_subscriber(opened: Opened) -> None:
    async with opened() as place:
        says = ["enter a receipt of 0.01", "enter an operation of type 8 of about", "no terminal to confirm on"]
        await place.cli.refused("probe", "--abonent", str(subscriber(place)), says=says)
        ((folder,),) = place.query("select first 1 id from abonents where is_folder = 1")
        ((deleted,),) = place.query("select first 1 id from abonents where deleted = 1")
        _, one, _ = place.of_one_account()
        for abonent, why in (
            (folder, "is a folder"),
            (deleted, "is deleted"),
            (99_999_999, "there is no abonent"),
            (one, "shares its account"),
        ):
            await place.cli.refused("probe", "--abonent", str(abonent), "--yes", says=why)
        # Nor while a run works on the billing.
        run = ("run", "balances", place.balances(30).path, "--yes")
        async with place.holding(), place.cli.started(*run) as started:
            await place.traffic.reaches(1)
            assert "another process works on this run" in (await probed(place, ends=2))["error"]
            started.signal(signal.SIGKILL)
        assert place.query(MARKED) == []


# ---- it creates a subscriber where it is told to, and learns which fields a create takes -------------------------

OWN = (
    "select id from abonents where (contract_number starting with 'cm-probe-' or name starting with 'cm-probe-') "
    "and deleted = 0"
)
LIKE = (
    "select first 1 a.id, a.parent_id from abonents a join users_usluga c on c.abonent_id = a.id "
    "join users u on u.abonent_id = a.id where a.is_folder = 0 and a.deleted = 0 and c.deleted = 0 and u.deleted = 0 "
    "and (select count(*) from abonents b where b.account_id = a.account_id) = 1"
)
"""A subscriber with an account and a service, and its folder."""


def like(place: Place) -> tuple[int, str]:
    """The subscriber that is probed, and the folder in which one is created."""
    ((abonent, folder),) = place.query(LIKE)
    return int(abonent), str(folder)


def left(place: Place) -> list[object]:
    """What is there of a probe: its subscribers, and the files of its intents."""
    return [*place.query(OWN), *(place.cli.folder / "state").rglob("*.probe*")]


async def test_the_fields_that_a_create_takes_are_learned(opened: Opened) -> None:
    """Whatever is created is applied late, and waited for."""
    async with opened(None, "USERS.SNATIP", stack_rate=20.0) as place:
        abonent, folder = like(place)
        # It says first what it will create, and where it could not.
        says = [f"create a folder in the folder {folder}, and a subscriber in it", "no terminal to confirm on"]
        await place.cli.refused("probe", "--abonent", str(abonent), "--create-in", folder, says=says)
        nowhere = await probed(place, "--create-in", str(abonent), abonent=abonent, ends=2)
        assert "there is no folder" in nowhere["error"]
        assert left(place) == []
        closing = await probed(place, "--create-in", folder, abonent=abonent)
        fields = closing["learned"]["create_fields"]
        assert fields["Abonents"].items() >= {"contract_number": True, "name": True, "sms": True}.items()
        assert fields["Users"].items() >= {"login": True, "psw": True, "snatip": False}.items()
        assert fields["UsersUsluga"].items() >= {"usluga_id": True, "comment": True}.items()
        assert (closing["learned"]["delete_answers"], closing["created_left"], left(place)) == ("nothing", [], [])
        profile = next((place.cli.folder / "state").rglob("*.profile.toml")).read_text(encoding="utf-8")
        assert "snatip = false" in profile
        told = (await place.cli("doctor", "-v", may_end_with=(0, 1, 2))).told
        assert "objects.create takes these fields: Abonents (name, is_folder, parent_id, contract_number" in told
        assert "; not snatip), UsersUsluga (" in told


async def test_a_probe_that_was_killed_while_it_created_is_cleaned_up_by_the_next(opened: Opened) -> None:
    created, answered = anyio.Event(), anyio.Event()

    async def hold(_: int) -> None:
        created.set()
        await answered.wait()

    async with opened() as place:
        abonent, folder = like(place)
        place.traffic.model, place.traffic.method = "UsersUsluga", "objects.create"
        place.traffic.afterwards = hold
        async with place.cli.started(*probing(place, "--create-in", folder, abonent=abonent)) as started:
            with anyio.fail_after(PATIENCE):
                await created.wait()
            started.signal(signal.SIGKILL)
            await started.process.wait()
        answered.set()
        await place.billing.wait_for_requests()
        assert left(place) != []
        assert (await probed(place, abonent=abonent))["created_left"] == []
        assert left(place) == []


# ---- a billing that lacks documented columns: a run is settled without them, or refused --------------------------

PACING = ("--in-flight", "2", "--settle", "0.1", "--no-canary")


def without(*names: str) -> pytest.MarkDecorator:
    """The billing lacks these."""
    return pytest.mark.parametrize("place", [names], indirect=True, ids=["-".join(names)])


@without("FINANCE_OPERATIONS.SYNC1C", "FINANCE_OPERATIONS.CODE1C", "FINANCE_OPERATIONS.OP_DATE", "ACCOUNT_STACK")
async def test_lost_answers_are_settled_without_what_can_be_done_without(place: Place) -> None:
    balances = place.balances(rows=8)
    place.billing.faults.set(FaultPlan((Fault(FaultKind.RESET_AFTER, method="objects.create", times=3),)))
    closing = await place.run("balances", balances.path, *PACING)
    assert closing["states"] == {State.ACCEPTED: 8}
    await place.each_landed_once(balances)
    await place.cli("verify", closing["run"])
    undone = await place.cli.closing("undo", closing["run"], "--set", "way=opposite", "--yes", *PACING)
    assert undone["states"] == {State.ACCEPTED: 8}


@without("FINANCE_OPERATIONS.DESCR")
async def test_a_run_whose_lost_calls_could_not_be_found_is_refused_before_the_first(place: Place) -> None:
    balances = place.balances(rows=8)
    select = ("--sql", "select id as abonent_id, 5 as amount from abonents where is_folder = 0 and deleted = 0")
    says = "FINANCE_OPERATIONS has no column DESCR, by which lost calls are found again"
    for name, *words in (("plan", balances.path), ("run", balances.path, "--yes"), ("run", *select, "--yes")):
        await place.cli.refused(str(name), "balances", *words, says=says)
    assert place.traffic.arrived == 0
    # A job that does without goes on.
    await place.cli("run", "operator", "--set", "from=3", "--set", "operator=1444", "--yes")


@without("ADMIN_ACCOUNTS.LIMIT_WARNING", "ABONENTS.PARENT_ID")
async def test_what_only_some_jobs_need_does_not_disturb_the_others(place: Place) -> None:
    rows = place.write("abonent_id;amount\n2001;-120\n", "rows.csv")
    says = "ADMIN_ACCOUNTS has no column LIMIT_WARNING"
    await place.cli.refused("run", "warning-threshold", rows, "--yes", says=says)
    says = "ABONENTS has no column PARENT_ID, which the job's own select reads its rows from"
    await place.cli.refused("run", "cutoff-limit", "--set", "folder=89", "--yes", says=says)
    await place.cli("run", "cutoff-limit", rows, "--yes")
    await place.cli("run", "balances", rows, "--yes", *PACING)


@without("FINANCE_OPERATIONS.OP_TYPE")
async def test_without_a_database_the_api_is_asked_whether_it_can_look(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    rows = place.write("abonent_id;amount\n2001;50\n", "rows.csv")
    says = ["op_type_id", "and by this lost calls are found again: no call is made without it"]
    await place.cli.refused("run", "balances", rows, "--yes", says=says)
    assert place.billing.ledger.effects("FinanceOperations") == {}


@without("FINANCE_OPERATIONS.DESCR", "FINANCE_OPERATIONS.CODE1C", "ABONENTS.NAME", "ABONENTS.EMAIL", "TARIF")
async def test_doctor_lists_what_is_missing_and_what_then_does_not_work(place: Place) -> None:
    says = [
        "not there, and left out of what is read and shown: ABONENTS.EMAIL",
        "import: the billing's ABONENTS has no column NAME",
        "balances, payment: the billing's FINANCE_OPERATIONS has no column DESCR",
        "passed-to-1c: the billing's FINANCE_OPERATIONS has no column CODE1C",
        "tariff-threshold: the billing's database has no table TARIF, which the job's own select needs",
    ]
    assert "operator:" not in await place.cli.told("doctor", says=says)


async def test_a_run_that_is_taken_up_is_kept_as_it_is(billing_template: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(billing_template, tmp_path / "billing.fdb"))
    async with place_in(tmp_path / "work", file) as place:
        rows = place.rows("abonent_id;amount", "2001;50", "2002;60")
        closing = await place.run("balances", rows, "--limit-money", "55", *PACING, ends=3)
        assert closing["states"] == {State.ACCEPTED: 1, State.PENDING: 1}
    await anyio.to_thread.run_sync(conftest.without, file, "FINANCE_OPERATIONS.DESCR")
    async with running(Dsn(str(file)), port=URL(place.billing.url).port or 0):
        says = "FINANCE_OPERATIONS has no column DESCR, by which lost calls are found again"
        await place.cli.refused("resume", closing["run"], "--yes", says=says)
    assert (await place.totals(closing["run"])).count(State.PENDING) == 1
