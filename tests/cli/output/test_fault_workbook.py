"""A checked table goes out with its faults marked, and comes back as the table that it was."""

import re
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.output import fault_workbook as module
from cli.output.fault_workbook import CheckedRow, check_target, fault_workbook
from cli.output.item_files import OutputFile
from cli.terminal.exits import CommandRefused
from engine.errors import InputRefused
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.imports.subscriber import Place, ValueFault
from texts.said import said

HEADER = ("договор", "телефон", "логин")
NO_PHONE = ValueFault(Place(2, "телефон"), "12", said("no phone"))
TWICE = ValueFault(Place(2, "договор"), "00123", said("it is there twice"))


def written(path: Path, rows: Sequence[CheckedRow], header: Sequence[str] = HEADER, sheet: str = "") -> Path:
    with fault_workbook(OutputFile(path, force=True), header, sheet) as book:
        book.write(rows)
    return path


def read(path: Path, sheet: str = "") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    source = open_input(path, Layout(sheet=sheet))
    return source.header, [row.cells for page in source.pages(None) for row in page.rows]


def read_joined(path: Path, table: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    source = open_input(path, Layout(table=table))
    return source.header, [tuple(row.cells) for page in source.pages(None) for row in page.rows]


def part(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as book:
        return book.read(name).decode()


def test_faulty_cells_are_filled_and_commented_with_what_to_do(tmp_path: Path) -> None:
    rows = [CheckedRow(2, ("00123", "12", "ivan"), [NO_PHONE], [TWICE]), CheckedRow(3, ("15", "", "petr"))]
    path = written(tmp_path / "faults.xlsx", rows)
    sheet, comments = part(path, "xl/worksheets/sheet1.xml"), part(path, "xl/comments1.xml")
    styles = dict(re.findall(r'<c r="([A-Z]+\d)"(?: s="(\d+)")?', sheet))
    assert styles["B2"] not in {"", styles["C2"], styles["A2"]}
    assert styles["A2"] != ""
    assert styles["C2"] == styles["A3"] == styles["C3"] == ""
    assert re.findall(r'ref="(\w+)"', comments) == ["A2", "B2"]
    assert re.findall(r"<t>(.*?)</t>", comments) == ["it is there twice", "no phone"]
    assert "телефон: no phone; to be looked at: договор: it is there twice" in sheet
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_sheet_lists_each_fault_with_line_column_cell_and_reason(tmp_path: Path) -> None:
    joined = ValueFault(Place(7, "ip", "accounts.csv"), "10.0.0.5", said("taken"))
    path = written(tmp_path / "faults.xlsx", [CheckedRow(2, ("00123", "12", ""), [NO_PHONE, joined], [TWICE])])
    header, rows = read(path, "carbon_faults")
    assert header == ("line", "column", "cell", "what it is", "reason", "cell of this workbook")
    assert rows == [
        ("2", "телефон", "12", "fault", "no phone", "B2"),
        ("accounts.csv:7", "ip", "10.0.0.5", "fault", "taken", "D2"),
        ("2", "договор", "00123", "to be looked at", "it is there twice", "A2"),
    ]


def test_a_row_of_a_joined_table_is_only_listed(tmp_path: Path) -> None:
    nobody = CheckedRow(None, (), [ValueFault(Place(), "", said("accounts.csv, line 3: nobody has it"))])
    path = written(tmp_path / "faults.xlsx", [CheckedRow(2, ("00123", "", ""), [NO_PHONE]), nobody])
    assert read(path) == (HEADER, [("00123", "", "")])
    _, listed = read(path, "carbon_faults")
    assert listed[-1] == ("", "", "", "fault", "accounts.csv, line 3: nobody has it", "")


OF_EXPORT = ("договор", "carbon_row", "carbon_message")


@pytest.mark.parametrize(
    ("header", "rows", "back"),
    [
        # A row that was emptied is none any more; a table of an export has its own columns.
        (HEADER, [("", " ", ""), ("15", "", "")], [("15", "", "")]),
        (OF_EXPORT, [("'=1", "k7m2q/r1", "no phone"), ("=2", "k7m2q/r2", "")], None),
    ],
)
def test_a_table_comes_back_as_it_was(
    header: tuple[str, ...], rows: list[tuple[str, ...]], back: list[tuple[str, ...]] | None, tmp_path: Path
) -> None:
    checked = [CheckedRow(line, cells, [NO_PHONE] if line == 2 else []) for line, cells in enumerate(rows, 2)]
    assert read(written(tmp_path / "faults.xlsx", checked, header)) == (header, rows if back is None else back)


def test_a_flag_comes_back_as_one_and_a_table_that_is_checked_again_has_one_column_of_faults(tmp_path: Path) -> None:
    row = CheckedRow(2, ("00123", "12", "TRUE"), [NO_PHONE], truths=frozenset({2}))
    first = written(tmp_path / "first.xlsx", [row])
    (found,) = (row for page in open_input(first, Layout()).pages(None) for row in page.rows)
    assert (found.cells, found.truths) == (row.cells, row.truths)
    header, cells = read(first)
    again = written(tmp_path / "again.xlsx", [CheckedRow(2, cells[0], [NO_PHONE])], header)
    assert part(again, "xl/worksheets/sheet1.xml").count("carbon_faults") == 1
    assert read(again) == (HEADER, cells)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("Абоненты", "Абоненты"), ("a/b", "rows"), ("carbon_faults", "rows"), ("я" * 32, "rows"), ("accounts", "rows")],
)
def test_a_sheet_keeps_its_name_where_a_workbook_can_have_it(wanted: str, name: str, tmp_path: Path) -> None:
    row = CheckedRow(2, ("00123", "12", "ivan"), [NO_PHONE])
    assert read(written(tmp_path / "faults.xlsx", [row], sheet=wanted), name) == (HEADER, [("00123", "12", "ivan")])
    with pytest.raises(CommandRefused, match=re.escape("faults.csv: a checked table is written as a workbook")):
        check_target(OutputFile(tmp_path / "faults.csv"))


def test_of_many_faults_the_first_are_commented_and_all_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_COMMENTS", 3)
    rows = [CheckedRow(line, (str(line), "12", ""), [NO_PHONE]) for line in range(2, 12)]
    path = written(tmp_path / "faults.xlsx", rows)
    assert part(path, "xl/comments1.xml").count("<comment ref") == 3
    assert part(path, "xl/worksheets/sheet1.xml").count("телефон: no phone") == 10


def test_more_faults_than_a_cell_can_hold_are_all_in_the_sheet_of_faults(tmp_path: Path) -> None:
    many = [ValueFault(Place(line, "ip", "accounts.csv"), "x", said("no address")) for line in range(2, 2002)]
    path = written(tmp_path / "faults.xlsx", [CheckedRow(2, ("00123", "", ""), [*many, *[NO_PHONE] * 2000])])
    assert len(read(path, "carbon_faults")[1]) == 4000
    assert read(path) == (HEADER, [("00123", "", "")])


def test_a_table_that_a_sheet_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHEET_ROWS", 3)
    rows = [CheckedRow(line, (str(line), "", "")) for line in range(2, 6)]
    with pytest.raises(CommandRefused, match="a sheet holds 2 rows, and the table has more"):
        written(tmp_path / "faults.xlsx", rows)
    assert list(tmp_path.iterdir()) == []


ACCOUNTS = ("договор", "ip")


def test_joined_tables_have_sheets_of_their_own_with_their_faults_marked(tmp_path: Path) -> None:
    path = tmp_path / "faults.xlsx"
    no_address = ValueFault(Place(3, "ip", "accounts.csv"), "x", said("no address"))
    nobodys = ValueFault(Place(4, "договор", "accounts.csv"), "", said("nobody has it"))
    with fault_workbook(OutputFile(path), HEADER) as book:
        book.write([CheckedRow(2, ("00123", "", ""), [no_address])])
        rows = [
            CheckedRow(2, ("00123", "10.0.0.1")),
            CheckedRow(3, ("00123", "x")),
            CheckedRow(4, ("7", ""), [nobodys]),
        ]
        book.write_joined("accounts", "accounts.csv", ACCOUNTS, rows[:2])
        book.write_joined("accounts", "accounts.csv", ACCOUNTS, rows[2:])
    assert re.findall(r'ref="(\w+)"', part(path, "xl/comments1.xml")) == ["B3", "A4"]
    # Without a name the first sheet of a checked workbook is its table, and a joined one is asked for by its own.
    assert read(path) == (HEADER, [("00123", "", "")])
    assert read_joined(path, "accounts") == (ACCOUNTS, [row.cells for row in rows])
    with pytest.raises(InputRefused, match="has no sheet 'services'"):
        read_joined(path, "services")


# What the file of a workbook cannot hold: halves of characters, and the NUL.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TABLE = st.lists(st.tuples(CELLS, CELLS, CELLS).filter(lambda cells: any(map(str.strip, cells))), min_size=1)


@given(TABLE)
@settings(max_examples=15)
def test_any_cell_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.xlsx"
    rows = [CheckedRow(line, cells, [NO_PHONE] if line % 2 else []) for line, cells in enumerate(table, 2)]
    assert read(written(path, rows)) == (HEADER, table)
