"""Rows as CSV, workbook and JSON lines: texts stay as they are, and a file is whole or not there."""

import re
import stat
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from cli.output import tables
from cli.output.item_files import OutputFile
from cli.output.tables import TableRow, suffix_of, table_at
from cli.terminal.exits import CommandRefused

NAMES = ("договор", "amount", "flag")
ROWS: tuple[TableRow, ...] = (
    ("00123", "-5.50", True),
    ("=1+1", None, False),
    ("1E5", 2**53, None),
    ('а;"б"', 12, ""),
)


def written(path: Path, rows: Sequence[TableRow] = ROWS, *, fails: bool = False) -> Path:
    with table_at(OutputFile(path), NAMES, len(rows)) as put:
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
    path = written(tmp_path / "out.CSV")
    assert path.read_bytes().decode() == (
        '\ufeffдоговор;amount;flag\r\n00123;-5.50;true\r\n\'=1+1;;false\r\n1E5;9007199254740992;\r\n"а;""б""";12;\r\n'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_cells_of_a_workbook_are_texts_and_no_formulas(tmp_path: Path) -> None:
    path = written(tmp_path / "out.xlsx")
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
    path = written(
        tmp_path / "out.xlsx", (("a", Decimal("-120.00"), None), ("b", Decimal("1234567890.1234567"), None))
    )
    assert sheet_of(path)[1:] == [
        [("inlineStr", "a"), ("number", "-120")],
        [("inlineStr", "b"), ("inlineStr", "1234567890.1234567")],
    ]
    with zipfile.ZipFile(path) as book:
        assert 'formatCode="#,##0.00########"' in book.read("xl/styles.xml").decode()


def test_the_columns_of_a_workbook_are_as_wide_as_their_cells(tmp_path: Path) -> None:
    path = written(tmp_path / "out.xlsx", (("x" * 20, 1, None), ("x" * 500, 2, None)))
    with zipfile.ZipFile(path) as book:
        text = book.read("xl/worksheets/sheet1.xml").decode()
    assert [float(width) // 1 for width in re.findall(r'<col [^>]*width="([\d.]+)"', text)] == [60, 9, 8]
    assert '<autoFilter ref="A1:C3"/>' in text
    assert 'state="frozen"' in text


def test_json_lines_keep_what_was_answered(tmp_path: Path) -> None:
    assert written(tmp_path / "out.jsonl").read_text("utf-8").splitlines() == [
        '{"договор":"00123","amount":"-5.50","flag":true}',
        '{"договор":"=1+1","amount":null,"flag":false}',
        '{"договор":"1E5","amount":9007199254740992,"flag":null}',
        '{"договор":"а;\\"б\\"","amount":12,"flag":""}',
    ]


@pytest.mark.parametrize("suffix", tables.KINDS)
def test_a_file_is_whole_or_not_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with pytest.raises(RuntimeError):
        written(path, fails=True)
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(CommandRefused, match="is there already"):
        written(path)
    assert path.read_text("utf-8") == "mine"
    with pytest.raises(CommandRefused, match="cannot be written"):
        written(tmp_path / "nowhere" / f"out{suffix}")


@pytest.mark.parametrize("name", ["out", "out.xls", "out.csv.gz", ".csv"])
def test_the_name_says_what_the_file_is_to_be(name: str) -> None:
    with pytest.raises(CommandRefused, match=r"\.csv, \.xlsx, \.jsonl"):
        suffix_of(Path(name))


def test_what_a_workbook_cannot_hold_is_refused_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.xlsx"
    with pytest.raises(CommandRefused, match="row 2, column 1: a cell of a workbook cannot hold so much text"):
        written(path, (("x" * 40_000, 1, 2),))
    monkeypatch.setattr(tables, "SHEET_ROWS", 4)
    with pytest.raises(CommandRefused, match="a sheet holds 3 rows, and there are 4"):
        written(path)
    assert list(tmp_path.iterdir()) == []
    written(path, ROWS[:3])
