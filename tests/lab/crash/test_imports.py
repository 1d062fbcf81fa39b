"""An import in the crash lab: what it reads of the billing, and what its verdict finds."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from checkpoints.states import State
from jobs.imports.subscriber import Step
from lab.crash.books import held_things, held_totals
from lab.crash.import_table import RequestedImport, WantedSubscriber, folder_key, live_content, step_key
from lab.crash.judge import GroupTotal, ImportBooks, ImportItem, UndoneImport, judge_import
from lab.crash.program import ExitCode
from lab.mock.chain import Chain, Chains
from lab.mock.connection import MockConnection

NEW_FOLDER = ("Новый город", "Юг")


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


def test_what_the_billing_holds_has_the_keys_of_the_steps(session: MockConnection, billing_file: Path) -> None:
    def call(model: str, *steps: tuple[str, dict[str, Any]]) -> int:
        answer = Chains(session).carry_out(Chain(model, steps), 1)
        session.commit()
        return int(answer["pk"]) if isinstance(answer, dict) else 0

    def create(model: str, **values: Any) -> int:
        return call(model, ("objects.create", values))

    with Database(Dsn(str(billing_file))) as database:
        ((last,),) = database.query("select max(id) from abonents")
        before = live_content(database)
    parent: int | None = None
    for name in NEW_FOLDER:
        parent = create("Abonents", name=name, is_folder=1, parent_id=parent)
    key = create("Abonents", name="Новый", contract_number="Н/1", parent_id=parent, operator_id=3)
    create("Users", abonent_id=key, login="n1", mac="02:00:00:00:00:01")
    for _ in range(2):
        create("UsersUsluga", abonent_id=key, usluga_id=301, manager_id=33)
    create("AttributeValues", abonent_id=key, attribute_id=7, attribute_value="да")
    create("FinanceOperations", abonent_id=key, op_type_id=8, op_summa="-7.05")
    call("Abonents", ("objects.get", {"id": key}), ("set", {"tarif_id": 4}), ("save", {}))
    limits = {"limit": "-5", "limit_warning": "1.5"}
    call("AdminAccounts", ("objects.get", {"account_id_abonents": key}), ("set", limits), ("save", {}))
    with Database(Dsn(str(billing_file))) as database:
        held, totals, after = held_things(database, last), held_totals(database, last), live_content(database)
    assert held == {
        folder_key(NEW_FOLDER[:1]): ("",),
        folder_key(NEW_FOLDER): ("",),
        step_key("Н/1", Step.SUBSCRIBER): ("Новый; Новый город/Юг; 3",),
        step_key("Н/1", Step.ACCOUNT, "n1"): ("02:00:00:00:00:01",),
        step_key("Н/1", Step.TARIFF): ("4",),
        step_key("Н/1", Step.SERVICE, 301): ("301", "301"),
        step_key("Н/1", Step.ATTRIBUTE, 7): ("да",),
        step_key("Н/1", Step.THRESHOLD): ("1.50",),
        step_key("Н/1", Step.LIMIT): ("-5.00",),
        step_key("Н/1", Step.BALANCE): ("-7.05",),
    }
    one = GroupTotal(1, Decimal("-7.05"))
    assert totals == {("folder", "Новый город/Юг"): one, ("tariff", "4"): one}
    assert {table for table in before if before[table] != after[table]} == set(before)


# ---- what is judged ------------------------------------------------------------------------------------------------

FIRST = WantedSubscriber(
    "Н-1",
    NEW_FOLDER,
    3,
    Decimal("10.00"),
    {
        step_key("Н-1", Step.SUBSCRIBER): "Первый; Новый город/Юг; 3",
        step_key("Н-1", Step.ACCOUNT, "n1"): "",
        step_key("Н-1", Step.TARIFF): "3",
        step_key("Н-1", Step.BALANCE): "10.00",
    },
)
SECOND = WantedSubscriber(
    "Н-2", NEW_FOLDER, None, Decimal(0), {step_key("Н-2", Step.SUBSCRIBER): "Второй; Новый город/Юг; 3"}
)
FOLDERS = frozenset({folder_key(NEW_FOLDER[:1]), folder_key(NEW_FOLDER)})
ACCOUNT, BALANCE = step_key("Н-1", Step.ACCOUNT, "n1"), step_key("Н-1", Step.BALANCE)
TEXT = "нет счета"
WANTED = {**dict.fromkeys(sorted(FOLDERS), ""), **FIRST.things, **SECOND.things}
ITEMS = [ImportItem(key, key.split("/")[1], State.ACCEPTED, 1) for key in WANTED]
HELD = {key: (value,) for key, value in WANTED.items()}
STEPS: Mapping[tuple[str, str], int] = {
    (State.PENDING, State.SENDING): len(ITEMS),
    (State.SENDING, State.ACCEPTED): len(ITEMS),
}
TOTALS = {
    ("folder", "Новый город/Юг"): GroupTotal(2, Decimal("10.00")),
    ("tariff", "3"): GroupTotal(1, Decimal("10.00")),
    ("tariff", ""): GroupTotal(1, Decimal(0)),
}
GOOD = ImportBooks(
    requested=RequestedImport((FIRST, SECOND), FOLDERS, faulty=3, last=0, content={}, refusals=(TEXT,)),
    refused=3,
    items=ITEMS,
    held=HELD,
    totals=TOTALS,
    orphans={},
    steps=STEPS,
    verified=ExitCode.DONE,
    undone=UndoneImport(ExitCode.DONE, {}, ()),
)


def turned(key: str, state: State, message: str = "", **more: Any) -> list[ImportItem]:
    """The items, one of which came to another end."""
    return [replace(one, state=state, message=message, **more) if one.key == key else one for one in ITEMS]


def held_without(*keys: str) -> dict[str, tuple[str, ...]]:
    return {key: there for key, there in HELD.items() if key not in keys}


REFUSED = turned(ACCOUNT, State.REJECTED, f"{TEXT} для проведения")
NOT_SENT = [*turned(BALANCE, State.REJECTED, "not sent", needs=(ACCOUNT,))]
AFTER_IT = [refused if refused.key == ACCOUNT else one for refused, one in zip(REFUSED, NOT_SENT, strict=True)]
NO_MONEY = {group: replace(total, balance=Decimal(0)) for group, total in TOTALS.items()}


@pytest.mark.parametrize(
    ("doctored", "found"),
    [
        ({}, []),
        ({"held": HELD | {BALANCE: ("10.00",) * 2}}, [f"{BALANCE}: had its effect 2 times (10.00, 10.00)"]),
        ({"held": held_without(ACCOUNT)}, [f"{ACCOUNT}: is accepted and had no effect"]),
        ({"held": HELD | {BALANCE: ("9.99",)}}, [f"{BALANCE}: asked for 10.00, the billing has 9.99"]),
        (
            {"held": HELD | {"Н-3/subscriber/": ("x",)}},
            ["Н-3/subscriber/: is in the billing, and no row asks for it: x"],
        ),
        (
            {"items": turned(ACCOUNT, State.UNKNOWN)},
            [f"{ACCOUNT}: left unknown, with 1 time ()", "verify ended with 0"],
        ),
        (
            {"items": ITEMS[:-1], "steps": {**STEPS, (State.PENDING, State.SENDING): 6}},
            [f"{ITEMS[-1].key}: stands in the input and was never frozen"],
        ),
        (
            {"items": [*ITEMS, replace(ITEMS[0], key="Н-9/subscriber/", attempts=0)]},
            ["Н-9/subscriber/: was frozen and does not stand in the input"],
        ),
        ({"refused": 2}, ["faulty rows: 3; refused: 2"]),
        ({"steps": {**STEPS, (State.ACCEPTED, State.PENDING): 1}}, ["an item went from accepted to pending"]),
        ({"items": REFUSED, "held": held_without(ACCOUNT), "verified": ExitCode.REJECTED}, []),
        (
            {"items": REFUSED},
            [f"{ACCOUNT}: is rejected and had its effect: 1 time ()", "verify ended with 0"],
        ),
        (
            {
                "items": AFTER_IT,
                "held": held_without(ACCOUNT, BALANCE),
                "totals": NO_MONEY,
                "verified": ExitCode.REJECTED,
            },
            [],
        ),
        (
            {"items": turned(ACCOUNT, State.REJECTED, "лицензия"), "held": held_without(ACCOUNT)},
            [f"{ACCOUNT}: is rejected, and nothing is wrong with it: лицензия"],
        ),
        (
            {"totals": {**TOTALS, ("tariff", "3"): GroupTotal(1, Decimal("9.99"))}},
            ["tariff 3: subscribers accepted: 1, with 10.00; in the billing: 1, with 9.99"],
        ),
        ({"orphans": {"users": 2}}, ["2 rows of users are without their subscriber or folder"]),
        (
            {"undone": UndoneImport(ExitCode.REJECTED, {ACCOUNT: ("",)}, ("users",))},
            [
                "undo ended with 1",
                f"{ACCOUNT}: is left after the undo: ",
                "users is not as it was before the import",
            ],
        ),
    ],
)
def test_what_is_wrong_in_the_books_of_an_import_is_found(doctored: dict[str, Any], found: list[str]) -> None:
    verdict = judge_import(replace(GOOD, **doctored))
    told = [str(problem) for problem in verdict.problems]
    assert [one for one in found if one not in told] == [], told
    assert bool(told) == bool(found), told
    if not doctored:
        assert (verdict.once, verdict.twice, verdict.lost, verdict.foreign, verdict.attempts) == (7, 0, 0, 0, 7)
