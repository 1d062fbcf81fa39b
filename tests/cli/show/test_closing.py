"""The last sentence of a command: what became of the run, with the number of what is missing."""

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from checkpoints.records import Holder, Refusal, Totals
from checkpoints.states import State
from cli.show.closing import Closing, StepOutcome, headline, refused_rows, steps_of_file
from cli.show.input_faults import CheckResult, check_object, check_screen
from cli.show.preview import columns_line
from cli.terminal.exits import Exit
from cli.terminal.language import ENGLISH, RUSSIAN, set_reader
from cli.terminal.names import name_of_command, name_of_holder, name_of_sender
from cli.terminal.streams import lasting, plain
from cli.terminal.texts import JOINT, printable
from jobs.imports import subscriber
from jobs.imports.subscriber import ValueFault
from jobs.spec.columns import Assigned, Column
from tests.cli.conftest import Place
from texts.said import said, wording


@pytest.fixture
def in_russian() -> Iterator[None]:
    set_reader(RUSSIAN)
    yield
    set_reader(ENGLISH)


@pytest.mark.usefixtures("in_russian")
@pytest.mark.parametrize(
    ("language", "rejected", "refused", "says"),
    [
        (ENGLISH, 0, 0, "✓ run k7m2q is done"),
        (ENGLISH, 19, 1, "! run k7m2q is done; 20 rows were not entered"),
        (ENGLISH, 1, 0, "! run k7m2q is done; 1 row was not entered"),
        (ENGLISH, 0, 1, "! run k7m2q is done; 1 row was not entered"),
        (RUSSIAN, 1, 0, "! загрузка k7m2q завершена; не внесена 1 строка"),
        (RUSSIAN, 3, 0, "! загрузка k7m2q завершена; не внесены 3 строки"),
        (RUSSIAN, 11, 0, "! загрузка k7m2q завершена; не внесено 11 строк"),
        (RUSSIAN, 21, 0, "! загрузка k7m2q завершена; не внесена 21 строка"),
        (RUSSIAN, 12_345, 0, "! загрузка k7m2q завершена; не внесено 12 345 строк"),
    ],
)
def test_rows_that_were_rejected_or_refused_are_counted_in_the_headline(
    language: str, rejected: int, refused: int, says: str
) -> None:
    set_reader(language)
    totals = Totals({State.ACCEPTED: 5, State.REJECTED: rejected}, refused=refused)
    code = Exit.REJECTED if rejected or refused else Exit.DONE
    file = StringIO()
    Console(file=lasting(file), width=160).print(headline(Closing(code, "k7m2q", totals=totals)))
    assert plain(file.getvalue()).strip() == says


@pytest.mark.parametrize("why", ["[red]$ a[/] \\", "¦a", "=1|2", "»x\\[b]", "$ rm", "{{ x }} {% if %}"])
def test_what_a_value_says_is_no_markup_and_no_sign_of_a_template(why: str) -> None:
    file = StringIO()
    told = [headline(Closing(Exit.FAULT, "k7m2q", error=why)), refused_rows([Refusal(7, None, why, why)], 1, "")]
    Console(file=lasting(file), width=160).print(*told)
    head, _, row = file.getvalue().splitlines()
    assert head.strip() == f"✗ run k7m2q: {why}"
    assert plain(row).strip() == f"✗ line 7 ({why}): {why}"


@pytest.mark.usefixtures("in_russian")
def test_the_steps_of_a_job_file_in_russian() -> None:
    done = Closing(Exit.REJECTED, "k7m2q", "balances", Totals({State.ACCEPTED: 12_339, State.REJECTED: 3}))
    stopped = said("no connection to {server}: {why}", server="example.org", why="refused")
    steps = (
        StepOutcome(1, "warning-threshold", replace(done, exit=Exit.DONE), done_before=True),
        StepOutcome(2, "balances", done),
        StepOutcome(3, "tariff-threshold", replace(done, exit=Exit.STOPPED, stopped=stopped), "answers.csv"),
        StepOutcome(4, "passwords"),
    )
    file = StringIO()
    Console(file=lasting(file), width=160).print(steps_of_file(steps))
    assert [" ".join(line.split()) for line in file.getvalue().splitlines()] == [
        "шаг задание загрузка строки итог",
        "1 warning-threshold k7m2q 12 342 выполнена ранее",
        "2 balances k7m2q 12 342 завершена; не внесены 3 строки",
        "3 tariff-threshold k7m2q 12 342 остановлена: нет соединения с example.org: refused; answers.csv",
        "4 passwords – – не начата",
    ]


@pytest.mark.usefixtures("in_russian")
def test_what_the_journal_notes_in_english_words_is_told_in_russian() -> None:
    told = [
        name_of_holder("hours"),
        name_of_sender("root@vm, process 12427"),
        name_of_command("taken up with --rate 20"),
    ]
    assert [printable(one) for one in told] == ["окно времени", "root@vm, процесс 12427", "продолжена с --rate 20"]
    assert [name_of_sender("root@vm"), name_of_command("pause")] == ["root@vm", "pause"]
    assert ".11.2026 " in printable(Holder("vm", 7, "2026-11-26 14:32:57 UTC").sentence), "as all other moments"
    assert "since just now" in str(Holder("vm", 7, "just now"))


# ---- What a check has found is grouped by kind, and a screen stays readable however much it is


def fault(line: int, kind: int, column: str = "телефон") -> ValueFault:
    return ValueFault(
        subscriber.Place(line, column), "12", said(wording(f"fault of kind {kind}: {{cell}}"), cell=str(line))
    )


def shown(result: CheckResult) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(check_screen(result))
    return [line.strip() for line in capture.get().replace(JOINT, " ").splitlines() if line.strip()]


def test_faults_of_one_kind_and_column_are_one_line_with_the_first_lines() -> None:
    result = CheckResult("a.csv")
    for line in range(2, 30):
        result.add(line, [fault(line, 1)], [])
    result.add(30, [fault(30, 1, "логин"), fault(30, 2)], [])
    result.add(31, [], [fault(31, 3)])
    result.add(32, [], [])
    lines = shown(result)
    assert lines[0] == "✗ 29 rows of a.csv cannot be imported, of 31 in all"
    assert lines[1:4] == [
        "✗ телефон, lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 18 more: fault of kind 1: 2",
        "✗ логин, line 30: fault of kind 1: 30",
        "✗ телефон, line 30: fault of kind 2: 30",
    ]
    assert lines[4:6] == ["To be looked at:", "? телефон, line 31: fault of kind 3: 31"]
    assert (result.rows, result.faulty, result.doubtful) == (31, 29, 1)


def test_a_fault_of_a_joined_table_has_the_line_of_that_table() -> None:
    result = CheckResult("a.csv")
    result.add(2, [ValueFault(subscriber.Place(7, "ip", "accounts.csv"), "x", said("no address"))], [])
    assert "✗ ip, accounts.csv, line 7: no address" in shown(result)


def test_a_row_of_a_joined_table_that_is_nobodys_is_no_row_of_the_table() -> None:
    result = CheckResult("-")
    result.add(2, [], [])
    result.add_stranger(ValueFault(subscriber.Place(), "", "accounts.csv, line 3: nobody has it"))
    lines = shown(result)
    assert lines[:2] == [
        "✗ 1 row of the tables joined to stdin cannot be imported",
        "✗ accounts.csv, line 3: nobody has it",
    ]
    assert (result.rows, result.faulty, result.is_good) == (1, 0, False)


def test_more_kinds_than_a_screen_holds_are_counted_and_memory_is_bounded() -> None:
    result = CheckResult("a.csv")
    for line in range(2, 1002):
        result.add(line, [fault(line, line)], [])
    lines = shown(result)
    told = [line for line in lines if line.startswith("✗ телефон")]
    assert len(told) == 25
    assert "… and 975 more of other kinds" in lines
    listed = check_object(result)["faults"]
    assert isinstance(listed, list)
    assert (len(listed), result.faults.total, result.faults.beyond) == (200, 1000, 800)


def test_a_clean_table_says_so_and_what_was_not_checked() -> None:
    result = CheckResult("a.csv", unchecked=("addresses were not compared",))
    result.add(2, [], [])
    assert shown(result) == [
        "✓ 1 row of a.csv, and nothing in it is wrong",
        "not checked: addresses were not compared",
        "Nothing was sent.",
    ]


# ---- Which column is taken for what is shown, by `run` and by `plan`, before anything is sent


@pytest.mark.parametrize(
    ("taken", "unused", "line"),
    [
        ({}, (), ""),
        ({"id": "id"}, (), "id"),
        ({"amount": "[red]Сумма\x1b[2J"}, ("carbon_row", "ФИО"), r"amount = [red]Сумма\x1b[2J; not used: ФИО"),
        ({}, ("ФИО",), "not used: ФИО"),
        ({"amount": "С" * 99}, (), f"amount = {'С' * 39}…"),
        ({}, tuple(f"c{number}" for number in range(1_000)), None),
    ],
)
def test_columns_in_one_line(taken: dict[str, str], unused: tuple[str, ...], line: str | None) -> None:
    columns = {name: Column(title, place) for place, (name, title) in enumerate(taken.items())}
    found = plain(columns_line(Assigned(columns, unused)).plain)
    if line is None:
        assert found.endswith("c10, c11 and 988 more")
    else:
        assert found == line


async def test_a_run_shows_which_column_it_takes_for_what(place: Place) -> None:
    header = "Лицевой счёт;Комментарий;К зачислению;id;code"
    place.write(f"{header}\n00001;x;5;2001;y\n", encoding="cp1251")
    mapping = ("--map", "amount=К зачислению")
    taken = "contract_number = Лицевой счёт, amount = К зачислению, abonent_id = id"
    line = f"columns {taken}; not used: Комментарий, code"
    await place.cli.refused("run", "balances", "balances.csv", *mapping, says=line)
    says = [line, "note: read as CP1251, for its bytes are not UTF-8"]
    planning = (await place.cli("plan", "balances", "balances.csv", *mapping, "--json")).saying(says)
    plan = planning.closing
    assert plan["columns"] == {"contract_number": "Лицевой счёт", "amount": "К зачислению", "abonent_id": "id"}
    assert plan["columns_not_used"] == ["Комментарий", "code"]
    sql = "select id as abonent_id, name from abonents where id = 2001"
    of_select = await place.cli("plan", "operator", "--sql", sql, "--set", "operator=1444")
    assert "columns abonent_id; not used: name" in " ".join(of_select.out.split())
