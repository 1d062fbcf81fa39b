"""An import in the crash lab: the table that it draws, what it reads of the billing, and what its verdict finds."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from checkpoints.states import State
from jobs.imports.subscriber import Step
from lab.crash.drawing import draw
from lab.crash.experiment_plan import IMPORT, MARKED_ONLY, SUBSCRIBERS_OF_IMPORTS, Act
from lab.crash.import_books import held_things, held_totals, live_content
from lab.crash.import_judge import GroupTotal, ImportBooks, ImportItem, UndoneImport, judge_import
from lab.crash.import_table import (
    DICTIONARY,
    HEADER,
    TABLE,
    WantedSubscriber,
    draw_rows,
    folder_key,
    new_folders,
    step_key,
    write_table,
)
from lab.crash.load import prepare_load
from lab.crash.program import ExitCode
from lab.mock.chain import Chain, Chains
from lab.mock.connection import MockConnection
from lab.mock.fault_plan import read_plan

NEW_FOLDER = ("Новый город", "Юг")


# ---- what is drawn ----------------------------------------------------------------------------------------------


def test_a_table_has_faulty_rows_of_every_kind_and_is_the_same_for_a_seed(tmp_path: Path) -> None:
    rows = list(write_table(tmp_path, draw_rows(Random(3), 2_000)))
    assert rows == list(draw_rows(Random(3), 2_000))
    with (tmp_path / TABLE).open(encoding="utf-8-sig", newline="") as stream:
        header, *lines = csv.reader(stream, delimiter=";")
    assert tuple(header) == HEADER
    assert list(map(tuple, lines)) == [row.cells for row in rows]
    faulty = [row.cells for row in rows if row.wanted is None]
    assert 0.035 < len(faulty) / len(rows) < 0.065
    wanted = [row.wanted for row in rows if row.wanted is not None]
    keys = Counter(key for one in wanted for key in one.things)
    assert set(keys.values()) == {1}
    # Nothing that a good row has stands in another row, but for names and sums.
    for column in ("Номер договора", "Логин", "IP", "MAC"):
        place = HEADER.index(column)
        own = [row.cells[place] for row in rows if row.wanted is not None and row.cells[place]]
        assert len(own) == len(set(own))
        assert not set(own) & {cells[place] for cells in faulty}
    steps = Counter(key.split("/")[1] for key in keys)
    assert set(steps) == set(Step) - {Step.FOLDER}


def test_each_name_of_the_table_is_in_the_dictionary_but_for_the_faulty_ones(tmp_path: Path) -> None:
    rows = list(write_table(tmp_path, draw_rows(Random(3), 2_000)))
    with (tmp_path / DICTIONARY).open(encoding="utf-8-sig", newline="") as stream:
        known = {(row["kind"], row["name"]) for row in csv.DictReader(stream, delimiter=";")}
    for column, kind in (("Группа", "folder"), ("Тариф", "tariff"), ("Услуга", "service"), ("Пул", "pool")):
        names = {row.cells[HEADER.index(column)] for row in rows if row.wanted is not None} - {""}
        assert {(kind, name) for name in names} <= known
    assert ("folder", "Неизвестная") not in known


def test_folders_on_the_way_are_new_where_none_is_there() -> None:
    assert new_folders(("Частный сектор",)) == []
    assert new_folders(("Многоквартирные дома", "Новостройки")) == []
    assert new_folders(("Перенесённые", "Ленина")) == [("Перенесённые", "Ленина")]
    assert new_folders(NEW_FOLDER) == [("Новый город",), NEW_FOLDER]


def test_drawn_imports_have_licences_stacks_and_all_that_can_be_judged() -> None:
    plans = [draw(seed, job=IMPORT, rows=40) for seed in range(100)]
    assert plans == [draw(seed, job=IMPORT, rows=40) for seed in range(100)]
    acts = {one.act for plan in plans for one in plan.disturbances}
    assert acts == set(Act) - MARKED_ONLY - {Act.FULL_DISK}
    licences = [plan.licence for plan in plans if plan.licence is not None]
    assert all(0 < licence - SUBSCRIBERS_OF_IMPORTS < 40 for licence in licences)
    assert len(plans) / 3 < len(licences) < len(plans) * 2 / 3
    assert {plan.traits.stack_rate is None for plan in plans} == {True, False}
    for plan in plans:
        assert any(fault.text for fault in read_plan(plan.faults).faults) or "text" not in plan.faults
        # What is refused for good could not be taken back.
        assert not any(fault.text for fault in read_plan(plan.undo_faults).faults)


def test_what_is_requested_is_judged_by_the_billing_as_it_was(billing_file: Path, tmp_path: Path) -> None:
    plan = draw(5, job=IMPORT, rows=30)
    requested = prepare_load(tmp_path, plan, billing_file)
    imported = requested.imported
    assert imported is not None
    assert requested == prepare_load(tmp_path, plan, billing_file)
    assert requested.arguments == ("import", TABLE, "--dictionary", DICTIONARY)
    assert set(requested.wanted) == {*imported.folders, *(key for one in imported.subscribers for key in one.things)}
    with Database(Dsn(str(billing_file))) as database:
        assert imported.content == live_content(database)
        assert held_things(database, imported.last) == {}


# ---- what is read -----------------------------------------------------------------------------------------------


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


def call(session: MockConnection, model: str, *steps: tuple[str, dict[str, object]]) -> int:
    answer = Chains(session).carry_out(Chain(model, steps), 1)
    session.commit()
    return int(answer["pk"]) if isinstance(answer, dict) else 0


def test_what_the_billing_holds_has_the_keys_of_the_steps(session: MockConnection, billing_file: Path) -> None:
    with Database(Dsn(str(billing_file))) as database:
        ((last,),) = database.query("select max(id) from abonents")
        before = live_content(database)
    parent: int | None = None
    for name in NEW_FOLDER:
        parent = call(session, "Abonents", ("objects.create", {"name": name, "is_folder": 1, "parent_id": parent}))
    person: dict[str, object] = {"name": "Новый", "contract_number": "Н/1", "parent_id": parent, "operator_id": 3}
    key = call(session, "Abonents", ("objects.create", person))
    call(session, "Users", ("objects.create", {"abonent_id": key, "login": "n1", "mac": "02:00:00:00:00:01"}))
    for step, detail in (("UsersUsluga", {"usluga_id": 301, "manager_id": 33}),) * 2:
        call(session, step, ("objects.create", {"abonent_id": key, **detail}))
    call(
        session,
        "AttributeValues",
        ("objects.create", {"abonent_id": key, "attribute_id": 7, "attribute_value": "да"}),
    )
    call(session, "FinanceOperations", ("objects.create", {"abonent_id": key, "op_type_id": 8, "op_summa": "-7.05"}))
    call(session, "Abonents", ("objects.get", {"id": key}), ("set", {"tarif_id": 4}), ("save", {}))
    limits: dict[str, object] = {"limit": "-5", "limit_warning": "1.5"}
    call(session, "AdminAccounts", ("objects.get", {"account_id_abonents": key}), ("set", limits), ("save", {}))
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


# ---- what is judged ---------------------------------------------------------------------------------------------

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


def good() -> ImportBooks:
    """The books of an import in which all went well."""
    wanted = {**dict.fromkeys(FOLDERS, ""), **FIRST.things, **SECOND.things}
    items = [ImportItem(key, key.split("/")[1], State.ACCEPTED, 1) for key in wanted]
    total = GroupTotal(2, Decimal("10.00"))
    return ImportBooks(
        subscribers=(FIRST, SECOND),
        folders=FOLDERS,
        faulty=3,
        refused=3,
        items=items,
        held={key: (value,) for key, value in wanted.items()},
        totals={
            ("folder", "Новый город/Юг"): total,
            ("tariff", "3"): GroupTotal(1, Decimal("10.00")),
            ("tariff", ""): GroupTotal(1, Decimal(0)),
        },
        orphans={},
        steps={(State.PENDING, State.SENDING): len(items), (State.SENDING, State.ACCEPTED): len(items)},
        verified=ExitCode.DONE,
        refusals=(TEXT,),
        undone=UndoneImport(ExitCode.DONE, {}, ()),
    )


def said(books: ImportBooks) -> list[str]:
    return [str(problem) for problem in judge_import(books).problems]


def with_state(
    books: ImportBooks, key: str, state: State, message: str = "", needs: tuple[str, ...] = ()
) -> ImportBooks:
    items = [
        replace(item, state=state, message=message, needs=needs) if item.key == key else item for item in books.items
    ]
    return replace(books, items=items)


def without(books: ImportBooks, *keys: str) -> ImportBooks:
    return replace(books, held={key: there for key, there in books.held.items() if key not in keys})


def test_an_import_in_which_all_went_well() -> None:
    verdict = judge_import(good())
    assert verdict.problems == ()
    assert (verdict.once, verdict.twice, verdict.lost, verdict.foreign, verdict.attempts) == (7, 0, 0, 0, 7)


def test_what_is_there_twice_or_not_at_all_or_with_another_value() -> None:
    books = good()
    twice = replace(books, held={**books.held, BALANCE: ("10.00", "10.00")})
    assert said(twice) == [f"{BALANCE}: had its effect 2 times (10.00, 10.00)"]
    assert judge_import(twice).twice == 1
    assert said(without(books, ACCOUNT)) == [f"{ACCOUNT}: is accepted and had no effect"]
    other = replace(books, held={**books.held, BALANCE: ("9.99",)})
    assert said(other) == [f"{BALANCE}: asked for 10.00, the billing has 9.99"]
    stray = replace(books, held={**books.held, "Н-3/subscriber/": ("x",)})
    assert said(stray) == ["Н-3/subscriber/: is in the billing, and no row asks for it: x"]


def test_what_is_left_open_or_was_never_read() -> None:
    books = good()
    assert said(with_state(books, ACCOUNT, State.UNKNOWN)) == [
        f"{ACCOUNT}: left unknown, with 1 time ()",
        "verify ended with 0",
    ]
    fewer = replace(books, items=books.items[:-1], steps={(State.PENDING, State.SENDING): 6})
    assert f"{books.items[-1].key}: stands in the input and was never frozen" in said(fewer)
    more = replace(books, items=[*books.items, replace(books.items[0], key="Н-9/subscriber/", attempts=0)])
    assert "Н-9/subscriber/: was frozen and does not stand in the input" in said(more)
    assert said(replace(books, refused=2)) == ["faulty rows: 3; refused: 2"]
    assert said(replace(books, steps={**books.steps, (State.ACCEPTED, State.PENDING): 1})) == [
        "an item went from accepted to pending"
    ]


def test_what_is_rejected_was_refused_or_needs_what_was() -> None:
    refused = with_state(good(), ACCOUNT, State.REJECTED, f"{TEXT} для проведения")
    books = replace(without(refused, ACCOUNT), verified=ExitCode.REJECTED)
    assert said(books) == []
    assert judge_import(books).rejected == 1
    assert said(refused) == [f"{ACCOUNT}: is rejected and had its effect: 1 time ()", "verify ended with 0"]
    after = with_state(books, BALANCE, State.REJECTED, "not sent", needs=(ACCOUNT,))
    gone = without(after, BALANCE)
    none = {group: replace(total, balance=Decimal(0)) for group, total in gone.totals.items()}
    assert said(replace(gone, totals=none)) == []
    assert f"{ACCOUNT}: is rejected, and nothing is wrong with it: лицензия" in said(
        with_state(books, ACCOUNT, State.REJECTED, "лицензия")
    )


def test_sums_are_compared_to_the_kopeck() -> None:
    books = good()
    totals = {**books.totals, ("tariff", "3"): GroupTotal(1, Decimal("9.99"))}
    assert said(replace(books, totals=totals)) == [
        "tariff 3: subscribers accepted: 1, with 10.00; in the billing: 1, with 9.99"
    ]
    assert said(replace(books, orphans={"users": 2})) == ["2 rows of users are without their subscriber or folder"]


def test_what_an_undo_leaves() -> None:
    books = good()
    left = UndoneImport(ExitCode.REJECTED, {ACCOUNT: ("",)}, ("users",))
    assert said(replace(books, undone=left)) == [
        "undo ended with 1",
        f"{ACCOUNT}: is left after the undo: ",
        "users is not as it was before the import",
    ]
