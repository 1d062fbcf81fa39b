"""The balances of accounts and the tally of an import, beside what the rows of a run say."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, TypeEight
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun, Run
from checkpoints.states import State
from checkpoints.tally import ExtraSubscriber, ImportTally, Subtotal, TallyGroup, TallyKind
from engine.errors import LookUpFailed
from engine.pipeline.intake import Repeat
from jobs import tally as tallies
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload
from jobs.account_balances import AccountDifference, Balances, compare_balances
from jobs.effects.creatable_models import BALANCE
from jobs.imports.subscriber import DIFFERENT, Step
from jobs.spec.parameters import row_key
from jobs.tally import tally_of
from jobs.value_changes import row_changes
from tests.checkpoints.samples import frozen_run
from tests.jobs.conftest import Execute
from tests.jobs.making import rows_of
from tests.jobs.test_undo import Type8, as_file, begin_with, billing, done, undone

BEFORE = (Decimal(100), Decimal(0), Decimal("-7.50"))
"""The balances of the accounts 9001, 9002 and 9003."""
ROWS = {9001: Decimal(10), 9008: Decimal("5.25"), 9002: Decimal(-3)}
"""Two rows on the account 9001, and one on 9002."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A billing with the rows of a run in it."""

    gateway: Gateway
    journal: Journal
    folder: Path
    run: Run

    async def compared(self) -> tuple[Balances, list[str]]:
        found: list[AccountDifference] = []
        result = await compare_balances(self.run, self.gateway, self.journal, found.append)
        return result, [str(one) for one in found]

    async def enters(self, rows: dict[int, Decimal], **given: str) -> None:
        """Another run with these rows."""
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
    assert result == Balances(accounts=2, expected=Decimal("12.25"), found=Decimal("2.25"), different=1)


@pytest.mark.parametrize("type_8", ["adds"])
async def test_where_entries_add_up_the_balance_before_them_counts_as_well(entered: Setting) -> None:
    assert await entered.compared() == (Balances(accounts=2, expected=Decimal("112.25"), found=Decimal("112.25")), [])


async def test_an_account_with_a_later_operation_is_counted_apart(entered: Setting) -> None:
    await entered.enters({9008: Decimal(1)}, op_type="1")
    assert await entered.compared() == (Balances(accounts=1, expected=Decimal(-3), found=Decimal(-3), moved=1), [])


@pytest.mark.parametrize("type_8", ["adds"])
async def test_of_a_run_that_was_taken_back_and_of_its_undo_nothing_is_expected(entered: Setting) -> None:
    undo = await undone(entered.gateway, entered.journal, entered.run, way="opposite", type_8="adds")
    for run in (entered.run, undo):
        assert await replace(entered, run=run).compared() == (Balances(), [])


FOLDER, OTHER = 9200, 9300
IMPORT = NewRun("import", {}, "http://billing", "subscribers.csv")
REFUSED = State.REJECTED


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: what it says, and what became of its steps; `entry` is the id of its operation."""

    number: str
    folder: str = "Улица"
    tariff: str = "2"
    operator: str = "3"
    balance: str = ""
    state: State = State.ACCEPTED
    entry: str = "1"
    left: bool = False
    """Whether another balance is there, and was left."""

    def items(self) -> list[NewItem]:
        groups = {"folder": self.folder, "tariff": self.tariff, "operator": self.operator, "balance": self.balance}
        told = {name: text for name, text in groups.items() if text}
        return [self._item(Step.SUBSCRIBER, told), *([self._item(Step.BALANCE, {})] if self.balance else [])]

    def _item(self, step: Step, groups: dict[str, str]) -> NewItem:
        payload = encode_payload(Payload("Abonents", (), step=step, groups=groups))
        why = f"{DIFFERENT}: the balance" if self.left and step is Step.BALANCE else None
        return NewItem(
            row_key((self.number, step, "")), self.number, f"contract:{self.number}", payload, skip_reason=why
        )


@dataclass(frozen=True, slots=True)
class TallySetting:
    """A billing with two empty folders, and a journal."""

    gateway: Gateway
    journal: Journal
    execute: Execute

    def has(self, key: int, number: str, *, balance: int = 0, tariff: int = 2, folder: int = FOLDER) -> None:
        """Put a subscriber into the billing."""
        self.execute("insert into admin_accounts (id, ostatok) values (?, ?)", key, balance * SCALE)
        self.execute(
            "insert into abonents (id, parent_id, name, contract_number, account_id, tarif_id, operator_id) "
            "values (?, ?, 'Иванов', ?, ?, ?, 3)",
            *(key, folder, number, key, tariff),
        )

    async def imported(self, *rows: Row, folder: str = str(FOLDER)) -> Run:
        """A run of these rows that has made the folder "Улица"; "" where it has not."""
        made = Payload("Abonents", (), step=Step.FOLDER)
        items = [NewItem(row_key((Step.FOLDER, "Улица")), "Улица", "folders", encode_payload(made))]
        run = await frozen_run(self.journal, *items, *(item for row in rows for item in row.items()), new=IMPORT)
        await self.journal.approve(run)
        frozen = await self.journal.items(run, {State.PENDING})
        await self.journal.claim(run, [item.item_id for item in frozen])
        became = {"Улица": (State.ACCEPTED if folder else REFUSED, folder)}
        became |= {row.number: (row.state, row.entry) for row in rows}
        changes = [Change(item.item_id, *became[item.label]) for item in frozen]
        await self.journal.record(run, changes)
        return run

    async def tally(self, *rows: Row, folder: str = str(FOLDER)) -> ImportTally:
        return await tally_of(await self.imported(*rows, folder=folder), self.gateway, self.journal)


@pytest.fixture
async def setting(
    client: BillingClient, database: Database, execute: Execute, tmp_path: Path
) -> AsyncIterator[TallySetting]:
    for key, name in {FOLDER: "Улица", OTHER: "Площадь"}.items():
        execute.put("abonents", id=key, is_folder=1, name=name)
    async with open_journal(tmp_path / "journal") as journal:
        yield TallySetting(Gateway(client, database), journal, execute)


def of(subscribers: int, balance: str = "0") -> Subtotal:
    return Subtotal(subscribers, Decimal(balance))


async def test_equal_totals_are_counted_by_each_kind(setting: TallySetting) -> None:
    setting.has(9201, "00123", balance=10)
    setting.has(9202, "15J34", balance=-3, tariff=3)
    tally = await setting.tally(Row("00123", balance="10.00"), Row("15J34", balance="-3.00", tariff="3"))
    assert tally.different == tally.extra == 0
    both, ten, less = of(2, "7"), of(1, "10"), of(1, "-3")
    assert tally.groups == (
        TallyGroup(TallyKind.FOLDER, "9200", "Улица", both, both),
        TallyGroup(TallyKind.TARIFF, "2", "Тариф 2", ten, ten),
        TallyGroup(TallyKind.TARIFF, "3", "Тариф 3", less, less),
        TallyGroup(TallyKind.OPERATOR, "3", tally.of(TallyKind.OPERATOR)[0].name, both, both),
    )


async def test_what_is_missing_and_what_is_too_much_stands_first(setting: TallySetting) -> None:
    setting.has(9201, "1", balance=10)
    setting.has(9202, "2", tariff=5)
    setting.has(9203, "2", tariff=5)
    rows = (Row("1", balance="10.00"), Row("2", tariff="5"), Row("3", balance="4.50", state=REFUSED))
    tally = await setting.tally(*rows)
    folder, none_of_three, twice, _ = tally.groups
    assert (folder.file, folder.billing, folder.not_entered) == (of(3, "14.50"), of(3, "10"), of(1, "4.50"))
    # As many as the file has, and not the same ones: the sum shows it, and each tariff.
    assert folder.is_different
    assert (none_of_three.key, none_of_three.difference) == ("2", of(-1, "-4.50"))
    assert (twice.key, twice.difference) == ("5", of(1))
    assert tally.different == 4


async def test_another_tariff_or_folder_is_a_difference_on_both_sides(setting: TallySetting) -> None:
    setting.has(9201, "1", tariff=3)
    setting.has(9202, "2", folder=OTHER)
    setting.has(9203, "3", folder=OTHER)
    tally = await setting.tally(Row("1"), Row("2"), Row("3", folder=str(OTHER)))
    gaps = {(one.kind, one.key): one.difference.rows for one in tally.groups}
    assert gaps == {
        (TallyKind.FOLDER, "9200"): -1,
        (TallyKind.FOLDER, "9300"): 1,
        (TallyKind.TARIFF, "2"): -1,
        (TallyKind.TARIFF, "3"): 1,
        (TallyKind.OPERATOR, "3"): 0,
    }
    assert tally.different == 4


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


async def test_a_balance_that_was_left_as_it_was_is_not_entered(setting: TallySetting) -> None:
    setting.has(9201, "1", balance=3)
    tally = await setting.tally(Row("1", balance="10.00", left=True))
    folder = tally.groups[0]
    assert (folder.difference, folder.not_entered) == (of(0, "-7"), of(0, "10"))


async def test_balances_that_later_operations_have_moved_are_no_difference(setting: TallySetting) -> None:
    setting.has(9201, "1", balance=7)
    setting.has(9202, "2", balance=7)
    for op, abonent in ((900_001, 9201), (900_002, 9201), (900_001 + 10, 9202)):
        setting.execute(
            "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) "
            "values (?, ?, 1, 0, current_timestamp)",
            *(op, abonent),
        )
    rows = (Row("1", balance="10.00", entry="900001"), Row("2", balance="10.00", entry="900011"))
    tally = await setting.tally(*rows)
    folder = tally.groups[0]
    assert (folder.difference, folder.moved) == (of(0, "-6"), of(1, "-3"))
    assert folder.is_different
    setting.execute("update admin_accounts set ostatok = ? where id = 9202", 10 * SCALE)
    moved = await tally_of((await setting.journal.runs())[0], setting.gateway, setting.journal)
    assert (moved.different, moved.groups[0].moved) == (0, of(1, "-3"))


async def test_what_rows_do_not_say_is_not_compared(setting: TallySetting) -> None:
    setting.has(9201, "1", balance=500)
    setting.has(9202, "2", tariff=3)
    tally = await setting.tally(Row("1", tariff="", operator=""), Row("2", tariff="3", operator=""))
    assert tally.different == 0
    assert [(one.kind, one.key, one.billing) for one in tally.groups] == [
        (TallyKind.FOLDER, "9200", of(2)),
        (TallyKind.TARIFF, "", of(1)),
        (TallyKind.TARIFF, "3", of(1)),
    ]


async def test_who_has_no_folder_in_the_file_is_found_in_any(setting: TallySetting) -> None:
    setting.has(9201, "1", balance=5)
    setting.has(9202, "2", folder=OTHER)
    setting.has(9203, "3")
    tally = await setting.tally(
        Row("1", folder="", balance="5.00"), Row("2", folder=""), Row("3"), Row("4", folder="")
    )
    assert [(one.kind, one.key, one.file, one.billing) for one in tally.groups[:2]] == [
        (TallyKind.FOLDER, "", of(3, "5"), of(2, "5")),
        (TallyKind.FOLDER, "9200", of(1), of(1)),
    ]
    assert tally.extra == 0


async def test_a_folder_that_was_never_made_has_nobody(setting: TallySetting) -> None:
    setting.execute("update abonents set name = 'Переулок' where id = ?", FOLDER)
    tally = await setting.tally(Row("1", state=REFUSED), folder="")
    folder = tally.groups[0]
    assert (folder.key, folder.name, folder.file, folder.billing) == ("Улица", "", of(1), of(0))
    assert folder.is_different


async def test_it_needs_a_database(setting: TallySetting, client: BillingClient) -> None:
    run = await setting.imported(Row("1"))
    with pytest.raises(LookUpFailed, match="needs the billing's database"):
        await tally_of(run, Gateway(client), setting.journal)


PAGE = 1000
"""Rows that are read at a time."""


def operation(key: str, lane: str, amount: str, op_type: int, balance: str | None) -> NewItem:
    payload = Payload(
        model="FinanceOperations",
        steps=(("create", {"abonent_id": 9, "op_type_id": op_type, "op_summa": amount}),),
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
