"""Excel workbooks: as openpyxl and LibreOffice write them, and as nobody does but might."""

from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import pytest
from hypothesis import strategies as st

from engine.errors import InputRefused
from engine.rows import Row
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from engine.sources.raw.source import LONGEST_CELL
from engine.sources.workbook.xlsx_parts import unescaped
from tests.engine.sources.reading import (
    cells_of,
    refusals_of,
    rows_of,
    why_refused,
)
from tests.engine.sources.workbook.writing import MAIN, data, excel, excel_parts, inline, number_formats, packed

HEAD = inline("id", "name")


def book(folder: Path, *rows: list[object], **formats: str) -> Path:
    """A workbook with these rows, written by openpyxl; `formats` are those of cells, by their addresses."""
    workbook = openpyxl.Workbook()
    sheet = workbook.worksheets[0]
    for row in rows:
        sheet.append(row)
    for where, code in formats.items():
        sheet[where].number_format = code
    workbook.save(folder / "a.xlsx")
    return folder / "a.xlsx"


def first_row(path: Path) -> tuple[str, ...]:
    (row,) = cells_of(open_input(path, Layout()))
    return row


# ---- values --------------------------------------------------------------------------------------------------------


def test_contract_numbers_stay_text(tmp_path: Path) -> None:
    path = book(tmp_path, ["a", "b", "c", "d"], ["00123", "1E5", "15Ж", 123], D2="00000")
    assert first_row(path) == ("00123", "1E5", "15Ж", "00123")


def test_numbers_are_exact(tmp_path: Path) -> None:
    numbers: list[object] = [50.5, 100000, 1e5, 1.0, 0.1 + 0.2, 1e21, -0.07, 1234.56]
    path = book(tmp_path, [*"abcdefgh"], numbers, H2='#,##0.00" р."')
    assert first_row(path) == ("50.5", "100000", "100000", "1", "0.3", f"1{'0' * 21}", "-0.07", "1234.56")


def test_dates_by_their_format(tmp_path: Path) -> None:
    moments: list[object] = [date(2019, 6, 1), datetime(2019, 6, 1), datetime(2019, 6, 1, 13, 45, 12), time(12, 30)]  # noqa: DTZ001 - cells know no zones
    path = book(tmp_path, [*"abcd"], moments, A2="dd.mm.yyyy", B2="dd.mm.yyyy hh:mm")
    assert first_row(path) == ("2019-06-01", "2019-06-01 00:00:00", "2019-06-01 13:45:12", "12:30:00")


def test_dates_that_are_written_out(tmp_path: Path) -> None:
    cells = '<c t="d"><v>2019-06-01</v></c><c t="d"><v>2019-06-01T13:45:12.000</v></c><c t="d"><v>x</v></c>'
    path = excel(tmp_path / "a.xlsx", data(inline("a", "b", "c"), cells, cells[: cells.rindex("<c")]))
    source = open_input(path, Layout())
    assert cells_of(source) == [("2019-06-01", "2019-06-01 13:45:12", "")]
    assert refusals_of(source)[0].reason == "the cell C2 holds what its kind does not allow: 'x' is no date"


def test_workbooks_of_the_mac(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.epoch = datetime(1904, 1, 1)  # noqa: DTZ001 - cells know no zones
    workbook.worksheets[0].append(["day"])
    workbook.worksheets[0].append([date(2019, 6, 1)])
    workbook.save(tmp_path / "a.xlsx")
    assert first_row(tmp_path / "a.xlsx") == ("2019-06-01",)


def test_booleans(tmp_path: Path) -> None:
    path = book(tmp_path, ["a", "b", "c", "d"], [True, "TRUE", None, False])
    assert rows_of(open_input(path, Layout())) == [Row(2, ("TRUE", "TRUE", "", "FALSE"), frozenset({0, 3}))]


def test_formulas_give_their_value(tmp_path: Path) -> None:
    cells = (
        '<c><f>1+1</f><v>2</v></c><c t="str"><f>A1</f><v>x</v></c><c t="str"><f>""</f><v></v></c><c t="str"><v/></c>'
    )
    path = excel(tmp_path / "a.xlsx", data(inline(*"abcd"), cells))
    assert first_row(path) == ("2", "x", "", "")


def test_a_formula_without_its_value_refuses_the_row(tmp_path: Path) -> None:
    source = open_input(book(tmp_path, ["id", "sum"], [1, "=A2*2"], [2, 5]), Layout())
    assert rows_of(source) == [Row(3, ("2", "5"))]
    (refusal,) = refusals_of(source)
    assert (refusal.line, refusal.column, refusal.label, refusal.row) == (2, "sum", "1", ("1", ""))
    assert refusal.reason == (
        "the cell B2 holds a formula without its value: open the workbook in Excel or LibreOffice, save it, and take "
        "that file"
    )


def test_an_error_refuses_the_row(tmp_path: Path) -> None:
    cells = '<c r="A7"><v>1</v></c><c r="B7" t="e"><f>Z1</f><v>#REF!</v></c>'
    path = excel(tmp_path / "a.xlsx", f"<sheetData><row>{HEAD}</row><row r='7'>{cells}</row></sheetData>")
    (refusal,) = refusals_of(open_input(path, Layout()))
    assert (refusal.line, refusal.column, refusal.reason) == (7, "name", "the cell B7 holds the error #REF!")


def test_a_number_or_a_date_that_is_none(tmp_path: Path) -> None:
    cells = "<c><v>x</v></c>", '<c s="1"><v>-1</v></c>'
    styles = number_formats("General", "dd.mm.yyyy")
    path = excel(tmp_path / "a.xlsx", data(inline("id"), *cells), styles=styles)
    assert [(one.line, one.reason) for one in refusals_of(open_input(path, Layout()))] == [
        (2, "the cell A2 holds what its kind does not allow: 'x' is no number"),
        (3, "the cell A3 holds what its kind does not allow: '-1' is no date"),
    ]


def test_texts_in_pieces_and_without_their_readings(tmp_path: Path) -> None:
    texts = ["<r><t>Ива</t></r><r><rPr/><t>нов</t></r>", "<t>東京</t><rPh sb='0' eb='2'><t>とうきょう</t></rPh>"]
    cells = '<c t="s"><v>0</v></c><c t="s"><v>1</v></c>'
    rich = '<c t="inlineStr"><is><r><t> a</t></r><r><t>b </t></r><rPh><t>x</t></rPh></is></c><c/>'
    path = excel(tmp_path / "a.xlsx", data(HEAD, cells, rich), texts=texts)
    assert cells_of(open_input(path, Layout())) == [("Иванов", "東京"), (" ab ", "")]


def test_what_xml_cannot_hold_is_escaped_in_texts() -> None:
    assert unescaped("a_x000D_b_x005F_x000D_") == "a\rb_x000D_"
    assert unescaped("_xD83D__xDE00_") == "😀"
    for kept in ("_xD83D_", "_x0000_", "_x00_", "x000D"):
        assert unescaped(kept) == kept


def test_a_text_that_is_not_there(tmp_path: Path) -> None:
    path = excel(tmp_path / "a.xlsx", data(HEAD, '<c t="s"><v>7</v></c>'), texts=["<t>a</t>"])
    assert "is broken: it has no text number 7, which row 2 refers to" in why_refused(path)


def test_texts_that_are_too_long(tmp_path: Path) -> None:
    fits = "x" * LONGEST_CELL
    assert len(cells_of(open_input(excel(tmp_path / "a.xlsx", data(HEAD, inline(fits))), Layout()))) == 1
    path = excel(tmp_path / "a.xlsx", data(HEAD, inline("1", fits + "x")))
    assert why_refused(path).endswith("a.xlsx, cell B2 is longer than 1000000 characters")
    path = excel(tmp_path / "a.xlsx", data(HEAD), texts=["<t>a</t>", f"<t>{fits}x</t>"])
    assert "text number 1 of its cells is longer than 1000000 characters" in why_refused(path)


# ---- rows and columns ----------------------------------------------------------------------------------------------


def test_rows_and_cells_stand_where_they_say(tmp_path: Path) -> None:
    rows = (
        '<row r="3"><c r="A3" t="inlineStr"><is><t>id</t></is></c><c r="C3" t="inlineStr"><is><t>c</t></is></c>'
        '<c r="B3" t="inlineStr"><is><t>b</t></is></c></row>'
    )
    assert "the cell B3 is out of its order" in why_refused(
        excel(tmp_path / "a.xlsx", f"<sheetData>{rows}</sheetData>")
    )
    rows = (
        f'<row r="3">{inline("id", "b", "c")}</row><row r="5"/><row r="9"><c r="C9"><v>7</v></c></row>'
        '<row><c><v>1</v></c><c r="C10"><v>2</v></c></row>'
    )
    source = open_input(excel(tmp_path / "a.xlsx", f"<sheetData>{rows}</sheetData>"), Layout())
    assert rows_of(source) == [Row(9, ("", "", "7")), Row(10, ("1", "", "2"))]


@pytest.mark.parametrize(
    "rows",
    ['<row r="5"><c><v>1</v></c></row><row r="5"/>', '<row r="1048577"/>', '<row><c r="XFE1"><v>1</v></c></row>'],
)
def test_rows_and_cells_where_there_can_be_none(tmp_path: Path, rows: str) -> None:
    assert "is out of its order, or beyond any sheet" in why_refused(
        excel(tmp_path / "a.xlsx", f"<sheetData>{rows}</sheetData>")
    )


def test_the_last_cell_of_the_largest_sheet(tmp_path: Path) -> None:
    rows = f'<row>{inline("id")}</row><row r="1048576"><c r="A1048576"><v>1</v></c></row>'
    assert rows_of(open_input(excel(tmp_path / "a.xlsx", f"<sheetData>{rows}</sheetData>"), Layout())) == [
        Row(1_048_576, ("1",))
    ]


def test_the_strict_dialect_and_prefixes(tmp_path: Path) -> None:
    parts = excel_parts({"Лист1": data(HEAD, inline("1", "a"))})
    prefixed = {
        name: text.replace(f'xmlns="{MAIN}"', 'xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"')
        .replace("</", "</x:")
        .replace("<", "<x:")
        .replace("<x:/x:", "</x:")
        if MAIN in text
        else text
        for name, text in parts.items()
    }
    assert prefixed != parts
    assert first_row(packed(tmp_path / "a.xlsx", prefixed)) == ("1", "a")


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (f'<row r="{"9" * 5000}"><c><v>1</v></c></row>', "is out of its order, or beyond any sheet"),
        ('<row r="٣"><c><v>1</v></c></row>', "is out of its order, or beyond any sheet"),
        (f'<row><c t="s"><v>{"9" * 5000}</v></c></row>', "it has no text number 99999999999999999999"),
        (f"<row><c><v>{'9' * 5000}</v></c></row>", "is no number that can be written out"),
        ("<row><c><v>1e300000000</v></c></row>", "is no number"),
        ("<row><c><v>1e300000</v></c></row>", "is no number that can be written out"),
        ('<row><c t="d"><v>2026-13-45</v></c></row>', "'2026-13-45' is no date"),
        ('<row><c t="b"><v>yes</v></c></row>', "not of the kind that it names"),
        ('<row><c r="C7"><v>1</v></c></row>', "a cell in row 1 says that it is 'C7'"),
    ],
)
def test_what_no_program_writes_is_refused_with_its_place(tmp_path: Path, rows: str, told: str) -> None:
    path = excel(tmp_path / "a.xlsx", f"<sheetData>{rows}</sheetData>")
    assert told in why_refused_or_row_refused(path)


def why_refused_or_row_refused(path: Path) -> str:
    try:
        (refusal,) = refusals_of(open_input(path, Layout(columns=("a",))))
    except InputRefused as error:
        return str(error)
    return refusal.reason


@pytest.mark.parametrize("style", ["9" * 5000, "٣", "-1"])
def test_a_style_that_is_none_is_plain(tmp_path: Path, style: str) -> None:
    path = excel(tmp_path / "a.xlsx", data(inline("a"), f'<c s="{style}"><v>5</v></c>'))
    assert first_row(path) == ("5",)
