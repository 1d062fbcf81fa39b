"""What a check has found is grouped by kind, and a screen stays readable however much it is."""

from rich.console import Console

from cli.show.input_faults import CheckResult, check_object, check_screen
from cli.terminal.texts import JOINT
from jobs.imports.subscriber import Place, ValueFault
from texts.said import said, wording


def fault(line: int, kind: int, column: str = "телефон") -> ValueFault:
    return ValueFault(Place(line, column), "12", said(wording(f"fault of kind {kind}: {{cell}}"), cell=str(line)))


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
    result.add(2, [ValueFault(Place(7, "ip", "accounts.csv"), "x", said("no address"))], [])
    assert "✗ ip, accounts.csv, line 7: no address" in shown(result)


def test_a_row_of_a_joined_table_that_is_nobodys_is_no_row_of_the_table() -> None:
    result = CheckResult("-")
    result.add(2, [], [])
    result.add_stranger(ValueFault(Place(), "", "accounts.csv, line 3: nobody has it"))
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
