"""The tally of an import: its table, as the journal has it, beside the folders of the billing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import SCALE
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun, Run
from checkpoints.states import State
from checkpoints.tally import Count, ExtraSubscriber, ImportTally, TallyGroup, TallyKind
from engine.errors import LookUpFailed
from jobs import tally as tallies
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload
from jobs.imports.subscriber import DIFFERENT, Step
from jobs.spec.parameters import row_key
from jobs.tally import tally_of
from tests.checkpoints.samples import frozen_run
from tests.jobs.conftest import Execute

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
class Setting:
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
) -> AsyncIterator[Setting]:
    for key, name in {FOLDER: "Улица", OTHER: "Площадь"}.items():
        execute("insert into abonents (id, is_folder, name) values (?, 1, ?)", key, name)
    async with open_journal(tmp_path / "journal") as journal:
        yield Setting(Gateway(client, database), journal, execute)


def of(subscribers: int, balance: str = "0") -> Count:
    return Count(subscribers, Decimal(balance))


async def test_equal_totals_are_counted_by_each_kind(setting: Setting) -> None:
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


async def test_what_is_missing_and_what_is_too_much_stands_first(setting: Setting) -> None:
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


async def test_another_tariff_or_folder_is_a_difference_on_both_sides(setting: Setting) -> None:
    setting.has(9201, "1", tariff=3)
    setting.has(9202, "2", folder=OTHER)
    setting.has(9203, "3", folder=OTHER)
    tally = await setting.tally(Row("1"), Row("2"), Row("3", folder=str(OTHER)))
    gaps = {(one.kind, one.key): one.difference.subscribers for one in tally.groups}
    assert gaps == {
        (TallyKind.FOLDER, "9200"): -1,
        (TallyKind.FOLDER, "9300"): 1,
        (TallyKind.TARIFF, "2"): -1,
        (TallyKind.TARIFF, "3"): 1,
        (TallyKind.OPERATOR, "3"): 0,
    }
    assert tally.different == 4


async def test_who_is_in_the_folder_and_not_in_the_file_is_named_and_no_difference(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
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


async def test_a_balance_that_was_left_as_it_was_is_not_entered(setting: Setting) -> None:
    setting.has(9201, "1", balance=3)
    tally = await setting.tally(Row("1", balance="10.00", left=True))
    folder = tally.groups[0]
    assert (folder.difference, folder.not_entered) == (of(0, "-7"), of(0, "10"))


async def test_balances_that_later_operations_have_moved_are_no_difference(setting: Setting) -> None:
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


async def test_what_rows_do_not_say_is_not_compared(setting: Setting) -> None:
    setting.has(9201, "1", balance=500)
    setting.has(9202, "2", tariff=3)
    tally = await setting.tally(Row("1", tariff="", operator=""), Row("2", tariff="3", operator=""))
    assert tally.different == 0
    assert [(one.kind, one.key, one.billing) for one in tally.groups] == [
        (TallyKind.FOLDER, "9200", of(2)),
        (TallyKind.TARIFF, "", of(1)),
        (TallyKind.TARIFF, "3", of(1)),
    ]


async def test_who_has_no_folder_in_the_file_is_found_in_any(setting: Setting) -> None:
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


async def test_a_folder_that_was_never_made_has_nobody(setting: Setting) -> None:
    setting.execute("update abonents set name = 'Переулок' where id = ?", FOLDER)
    tally = await setting.tally(Row("1", state=REFUSED), folder="")
    folder = tally.groups[0]
    assert (folder.key, folder.name, folder.file, folder.billing) == ("Улица", "", of(1), of(0))
    assert folder.is_different


async def test_it_needs_a_database(setting: Setting, client: BillingClient) -> None:
    run = await setting.imported(Row("1"))
    with pytest.raises(LookUpFailed, match="needs the billing's database"):
        await tally_of(run, Gateway(client), setting.journal)
