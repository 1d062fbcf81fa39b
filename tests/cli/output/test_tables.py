"""A checked table goes out with its faults marked, and comes back as the table that it was."""

import re
import stat
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.output import tables
from cli.output.item_files import OutputFile
from cli.output.tables import CheckedRow, TableRow, check_target, fault_workbook, table_at
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
    # A row of a joined table that is nobody's is only listed.
    nobody = CheckedRow(None, (), [ValueFault(Place(), "", said("accounts.csv, line 3: nobody has it"))])
    rows = [CheckedRow(2, ("00123", "12", ""), [NO_PHONE, joined], [TWICE]), nobody]
    path = written(tmp_path / "faults.xlsx", rows)
    assert read(path) == (HEADER, [("00123", "12", "")])
    header, listed = read(path, "carbon_faults")
    assert header == ("line", "column", "cell", "what it is", "reason", "cell of this workbook")
    assert listed == [
        ("2", "телефон", "12", "fault", "no phone", "B2"),
        ("accounts.csv:7", "ip", "10.0.0.5", "fault", "taken", "D2"),
        ("2", "договор", "00123", "to be looked at", "it is there twice", "A2"),
        ("", "", "", "fault", "accounts.csv, line 3: nobody has it", ""),
    ]


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


def test_the_first_of_many_faults_are_commented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_COMMENTS", 3)
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
    monkeypatch.setattr(tables, "SHEET_ROWS", 3)
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
def test_each_cell_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.xlsx"
    rows = [CheckedRow(line, cells, [NO_PHONE] if line % 2 else []) for line, cells in enumerate(table, 2)]
    assert read(written(path, rows)) == (HEADER, table)


# ---- Rows as CSV, workbook and JSON lines: texts stay as they are, and a file is whole or not there


COLUMNS = ("договор", "amount", "flag")
CELLS_OF_ALL_KINDS: tuple[TableRow, ...] = (
    ("00123", "-5.50", True),
    ("=1+1", None, False),
    ("1E5", 2**53, None),
    ('а;"б"', 12, ""),
)


def table_written(path: Path, rows: Sequence[TableRow] = CELLS_OF_ALL_KINDS, *, fails: bool = False) -> Path:
    with table_at(OutputFile(path), COLUMNS, len(rows)) as put:
        put(rows[:2])
        if fails:
            raise RuntimeError
        put(rows[2:])
    return path


def sheet_of(path: Path) -> list[list[tuple[str, str]]]:
    """The cells of the one sheet, row by row: each with its type and what is written in it."""
    with zipfile.ZipFile(path) as book:
        text = book.read("xl/worksheets/sheet1.xml").decode()
    rows = re.findall(r"<row [^>]*>(.*?)</row>", text, re.DOTALL)
    cell = re.compile(
        r'<c r="[A-Z]+\d+"(?: s="\d+")?(?: t="(\w+)")?>(?:<is><t[^>]*>(.*?)</t></is>|<v>(.*?)</v>)</c>', re.DOTALL
    )
    return [[(kind or "number", inline or value) for kind, inline, value in cell.findall(row)] for row in rows]


def test_a_csv_is_defused(tmp_path: Path) -> None:
    path = table_written(tmp_path / "out.CSV")
    assert path.read_bytes().decode() == (
        '\ufeffдоговор;amount;flag\r\n00123;-5.50;true\r\n\'=1+1;;false\r\n1E5;9007199254740992;\r\n"а;""б""";12;\r\n'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_cells_of_a_workbook_are_texts_and_no_formulas(tmp_path: Path) -> None:
    path = table_written(tmp_path / "out.xlsx")
    assert sheet_of(path) == [
        [("inlineStr", "договор"), ("inlineStr", "amount"), ("inlineStr", "flag")],
        [("inlineStr", "00123"), ("inlineStr", "-5.50"), ("inlineStr", "true")],
        [("inlineStr", "=1+1"), ("inlineStr", "false")],
        # A number that a spreadsheet would round stays a text.
        [("inlineStr", "1E5"), ("inlineStr", "9007199254740992")],
        [("inlineStr", 'а;"б"'), ("number", "12")],
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.xlsx"]


def test_amounts_of_a_workbook_are_numbers_where_all_digits_are_kept(tmp_path: Path) -> None:
    path = table_written(
        tmp_path / "out.xlsx", (("a", Decimal("-120.00"), None), ("b", Decimal("1234567890.1234567"), None))
    )
    assert sheet_of(path)[1:] == [
        [("inlineStr", "a"), ("number", "-120")],
        [("inlineStr", "b"), ("inlineStr", "1234567890.1234567")],
    ]
    with zipfile.ZipFile(path) as book:
        assert 'formatCode="#,##0.00########"' in book.read("xl/styles.xml").decode()


def test_the_columns_of_a_workbook_are_as_wide_as_their_cells(tmp_path: Path) -> None:
    path = table_written(tmp_path / "out.xlsx", (("x" * 20, 1, None), ("x" * 500, 2, None)))
    with zipfile.ZipFile(path) as book:
        text = book.read("xl/worksheets/sheet1.xml").decode()
    assert [float(width) // 1 for width in re.findall(r'<col [^>]*width="([\d.]+)"', text)] == [60, 9, 8]
    assert '<autoFilter ref="A1:C3"/>' in text
    assert 'state="frozen"' in text


def test_json_lines_keep_what_was_answered(tmp_path: Path) -> None:
    assert table_written(tmp_path / "out.jsonl").read_text("utf-8").splitlines() == [
        '{"договор":"00123","amount":"-5.50","flag":true}',
        '{"договор":"=1+1","amount":null,"flag":false}',
        '{"договор":"1E5","amount":9007199254740992,"flag":null}',
        '{"договор":"а;\\"б\\"","amount":12,"flag":""}',
    ]


@pytest.mark.parametrize("suffix", tables.KINDS)
def test_a_file_is_whole_or_not_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with pytest.raises(RuntimeError):
        table_written(path, fails=True)
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(CommandRefused, match="is there already"):
        table_written(path)
    assert path.read_text("utf-8") == "mine"
    with pytest.raises(CommandRefused, match="cannot be written"):
        table_written(tmp_path / "nowhere" / f"out{suffix}")


def test_what_a_workbook_cannot_hold_is_refused_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.xlsx"
    with pytest.raises(CommandRefused, match="row 2, column 1: a cell of a workbook cannot hold so much text"):
        table_written(path, (("x" * 40_000, 1, 2),))
    monkeypatch.setattr(tables, "SHEET_ROWS", 4)
    with pytest.raises(CommandRefused, match="a sheet holds 3 rows, and there are 4"):
        table_written(path)
    assert list(tmp_path.iterdir()) == []
    table_written(path, CELLS_OF_ALL_KINDS[:3])
