"""The probe as an operator has it: what it learns of a billing that answers otherwise, and what it leaves behind."""

import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.money import SCALE
from lab.mock.quirks import Quirks
from lab.mock.server import running
from tests.cli.conftest import Cli, Ended, Place, Traffic, clean_environment

Opened = Callable[..., AbstractAsyncContextManager[Place]]
SETTLE = ("--settle", "0.2")
MARKED = "select op_id, op_type, storno, descr from finance_operations where descr containing 'cm-probe'"


@pytest.fixture
def opened(billing_file: Path, tmp_path: Path) -> Opened:
    """Opens a place whose billing has quirks; without a database where told so."""

    @asynccontextmanager
    async def open_place(quirks: Quirks, *, database: bool = True, stack_rate: float = 0.0) -> AsyncIterator[Place]:
        folder = tmp_path / "work"
        folder.mkdir()
        traffic = Traffic()
        async with running(
            Dsn(str(billing_file)), quirks=quirks, middlewares=[traffic.count], stack_rate=stack_rate
        ) as billing:
            environment = clean_environment() | {
                "CARBON_MIGRATE_API_URL": billing.url,
                "XDG_STATE_HOME": str(folder / "state"),
                "COLUMNS": "200",
            }
            if database:
                environment["CARBON_MIGRATE_DATABASE"] = str(billing_file)
            yield Place(Cli(folder, environment), billing, traffic, billing_file)

    return open_place


def subscriber(place: Place) -> int:
    """A live subscriber with an account of its own."""
    query = (
        "select first 1 min(id) from abonents where is_folder = 0 and deleted = 0 and account_id is not null "
        "group by account_id having count(*) = 1 order by 1"
    )
    ((found,),) = place.billing.database.query(query)
    return int(found)


def balance(place: Place, abonent: int) -> Decimal:
    ((scaled,),) = place.billing.database.query(
        "select cast(aa.ostatok + aa.debit - aa.credit as bigint) from abonents a "
        "join admin_accounts aa on aa.id = a.account_id where a.id = :id",
        {"id": abonent},
    )
    return Decimal(scaled) / SCALE


async def write(place: Place, sql: str) -> None:
    def work() -> None:
        connection = attach(Dsn(str(place.file)))
        try:
            connection.cursor().execute(sql)
            connection.commit()
        finally:
            connection.close()

    await anyio.to_thread.run_sync(work)


async def probe(place: Place, *more: str, may_end_with: tuple[int, ...] = (0,)) -> Ended:
    return await place.cli(
        "probe", "--abonent", str(subscriber(place)), "--yes", "--json", *SETTLE, *more, may_end_with=may_end_with
    )


def intents(place: Place) -> list[Path]:
    return list((place.cli.folder / "state").rglob("*.probe"))


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


@pytest.mark.parametrize(
    ("quirks", "told", "learned"),
    [
        (Quirks(), (), {}),
        (
            Quirks(type_8="adds", descr_length=60, descr_returned=False, create_answers="list", error_status=400),
            (),
            {
                "type_8": "adds",
                "descr_length": 60,
                "descr_returned": False,
                "create_answers": "list",
                "error_status": 400,
            },
        ),
        (
            Quirks(descr_filters="all", create_answers="fields"),
            ("--set", "storno_call=storno"),
            {
                "descr_filters": ["exact", "contains", "icontains", "startswith"],
                "create_answers": "fields",
                "storno_type_8": "subtracts",
            },
        ),
        (
            Quirks(descr_filters="none", create_answers="id", storno_call="reverse", storno_type_8="keeps"),
            ("--set", "storno_call=reverse"),
            {
                "descr_filters": [],
                "create_answers": "id",
                "descr_returned": False,
                "storno_call": "reverse",
                "storno_type_8": "keeps",
            },
        ),
        (
            Quirks(type_8="adds"),
            ("--set", "storno_call=storno"),
            {"type_8": "adds", "storno_type_8": "restores"},
        ),
    ],
    ids=["usual", "adds", "filters", "id", "restores"],
)
async def test_each_quirk_is_learned_and_the_subscriber_is_as_before(
    opened: Opened, quirks: Quirks, told: tuple[str, ...], learned: dict[str, Any]
) -> None:
    async with opened(quirks) as place:
        abonent = subscriber(place)
        before = balance(place, abonent)
        usual = USUAL | {"descr_length": place.billing.database.longest("FINANCE_OPERATIONS", "DESCR")}
        closing = (await probe(place, *told)).closing
        found = {name: closing["learned"][name] for name in usual if name in closing["learned"]}
        expected = usual | learned
        if not told:
            expected = {name: value for name, value in expected.items() if not name.startswith("storno")}
        assert found == {name: value for name, value in expected.items() if name in usual}
        for name, value in learned.items():
            assert closing["learned"][name] == value
        assert closing["left"] == []
        assert balance(place, abonent) == before == Decimal(closing["balance_after"])
        assert intents(place) == []


async def test_without_a_database_the_rest_stays_assumed_and_says_so(opened: Opened) -> None:
    async with opened(Quirks(type_8="adds"), database=False) as place:
        abonent = subscriber(place)
        before = balance(place, abonent)
        closing = (await probe(place)).closing
        assert closing["learned"]["type_8"] == "adds"
        assert closing["not_learned"]["columns"] == "only the database tells it, and none is set"
        assert {"charset", "money_scale", "storno_call", "delete_answers"} <= set(closing["not_learned"])
        assert "it is tried only where --create-in FOLDER names" in closing["not_learned"]["create_fields"]
        assert balance(place, abonent) == before


async def test_with_stacks_the_effect_is_waited_for(opened: Opened) -> None:
    async with opened(Quirks(), stack_rate=4.0) as place:
        abonent = subscriber(place)
        before = balance(place, abonent)
        closing = (await probe(place)).closing
        assert closing["learned"]["type_8"] == "sets"
        assert closing["learned"]["stack_seconds"] >= 0.1
        assert balance(place, abonent) == before


async def test_comments_that_are_not_kept_end_the_probe_and_all_is_taken_back(opened: Opened) -> None:
    async with opened(Quirks(descr_length=8)) as place:
        abonent = subscriber(place)
        before = balance(place, abonent)
        closing = (await probe(place, may_end_with=(3,))).closing
        assert closing["learned"]["descr_kept"] is False
        assert closing["learned"]["descr_length"] == 8
        assert "nothing more is entered" in closing["error"]
        assert balance(place, abonent) == before
        assert intents(place) == []


async def test_a_balance_of_nothing_is_asked_twice(opened: Opened) -> None:
    async with opened(Quirks(type_8="adds")) as place:
        abonent = subscriber(place)
        # One kopeck below: the first receipt makes it nothing, and the second one kopeck.
        await write(
            place,
            f"update admin_accounts set ostatok = -200000000, debit = 0, credit = 0 "  # noqa: S608 - a number
            f"where id = (select account_id from abonents where id = {abonent})",
        )
        closing = (await probe(place)).closing
        assert closing["learned"]["type_8"] == "adds"
        assert balance(place, abonent) == Decimal("-0.02")


@pytest.mark.parametrize("call", [3, 12, 13, 14, 15, 18, 20])
async def test_a_probe_that_was_killed_finds_what_it_left_and_takes_it_back(opened: Opened, call: int) -> None:
    """The third call enters the first receipt, the twelfth the second, the next two type 8 and an act.

    Receipts with exact keys follow, each filtered by its key, and then all is taken back.
    """
    async with opened(Quirks()) as place:
        abonent = subscriber(place)
        before = balance(place, abonent)
        async with place.cli.started("probe", "--abonent", str(abonent), "--yes", *SETTLE) as started:
            await place.traffic.reaches(call)
            started.signal(signal.SIGKILL)
            await started.process.wait()
        await place.billing.wait_for_requests()
        assert len(intents(place)) == 1
        closing = (await probe(place)).closing
        assert closing["left"] == []
        assert balance(place, abonent) == before
        assert intents(place) == []


@pytest.mark.parametrize("year", ["2001", "2099"], ids=["ahead since", "set back since"])
async def test_a_clock_that_was_set_does_not_change_the_wait_for_a_killed_probe(opened: Opened, year: str) -> None:
    async with opened(Quirks()) as place:
        abonent = subscriber(place)
        async with place.cli.started("probe", "--abonent", str(abonent), "--yes", *SETTLE) as started:
            await place.traffic.reaches(12)
            started.signal(signal.SIGKILL)
            await started.process.wait()
        await place.billing.wait_for_requests()
        (intent,) = intents(place)
        text = intent.read_text()
        intent.write_text(re.sub(r'"at":"\d{4}', f'"at":"{year}', text))
        assert intent.read_text() != text
        ended = await probe(place)
        assert "an earlier probe was killed: waiting" in ended.words
        assert ended.closing["left"] == []


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
    async with opened(Quirks(), database=database) as place:
        await write(place, SWAPPED)
        abonent = subscriber(place)
        before = balance(place, abonent)
        closing = (await probe(place)).closing
        assert (closing["learned"]["receipt_type"], closing["learned"]["act_type"]) == (1, 2)
        assert closing["left"] == []
        assert balance(place, abonent) == before
        place.write(f"abonent_id;amount\n{abonent};500\n", "payments.csv")
        await place.cli("run", "payment", "payments.csv", "--yes")
        assert balance(place, abonent) == before + 500


async def test_it_asks_first_and_names_each_sum(opened: Opened) -> None:
    async with opened(Quirks()) as place:
        abonent = subscriber(place)
        ended = await place.cli("probe", "--abonent", str(abonent), may_end_with=(2,))
        assert "enter a receipt of 0.01" in ended.words
        assert "enter an operation of type 8 of about" in ended.words
        assert "no terminal to confirm on" in ended.words
        assert list(place.billing.database.query(MARKED)) == []


async def test_who_is_no_test_subscriber_is_refused(opened: Opened) -> None:
    async with opened(Quirks()) as place:
        query = "select first 1 id from abonents where is_folder = 1"
        ((folder,),) = place.billing.database.query(query)
        ((deleted,),) = place.billing.database.query("select first 1 id from abonents where deleted = 1")
        shared = (
            "select first 1 min(id) from abonents where is_folder = 0 and deleted = 0 and account_id is not null "
            "group by account_id having count(*) > 1"
        )
        found = list(place.billing.database.query(shared))
        refused = {folder: "is a folder", deleted: "is deleted", 99_999_999: "there is no abonent"}
        refused |= {one: "shares its account" for (one,) in found}
        for abonent, why in refused.items():
            await place.cli.refused("probe", "--abonent", str(abonent), "--yes", says=why)
        assert found
        assert list(place.billing.database.query(MARKED)) == []


async def test_two_probes_of_one_billing_are_refused(opened: Opened) -> None:
    async with opened(Quirks(), stack_rate=0.2) as place:
        abonent = str(subscriber(place))
        async with place.cli.started("probe", "--abonent", abonent, "--yes") as started:
            await started.said("entering a receipt")
            ended = await place.cli("probe", "--abonent", abonent, "--yes", may_end_with=(2,))
            assert "another probe of this billing is under way" in ended.words


async def test_it_is_refused_while_a_run_works_on_the_billing(opened: Opened) -> None:
    async with opened(Quirks()) as place:
        balances = place.balances(30)
        place.billing.latency = 2.0
        async with place.cli.started("run", "balances", balances.path, "--yes") as started:
            await place.traffic.reaches(1)
            ended = await probe(place, may_end_with=(2,))
            assert "works on run" in ended.closing["error"]
            started.signal(signal.SIGKILL)
