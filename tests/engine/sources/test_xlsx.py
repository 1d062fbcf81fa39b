"""Workbooks: as LibreOffice writes them, and as nobody does but might; what a cell holds, and what is read of it."""

import random
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from engine.job import Row
from engine.sources.detect import open_input
from engine.sources.sample import LARGEST_PAGE, LONGEST_CELL, Layout
from engine.sources.xlsx import SpilledStrings, unescaped
from tests.engine.sources.reading import cells_of, refusals_of, rows_of, why_refused, why_refused_or_its_row
from tests.engine.sources.writing import (
    MAIN,
    data,
    excel,
    excel_parts,
    inline,
    number_formats,
    odf,
    odf_cell,
    odf_parts,
    odf_row,
    odf_text,
    packed,
)

HEAD = inline("id", "name")


def sheet(path: Path, rows: str) -> Path:
    return excel(path, f"<sheetData>{rows}</sheetData>")


def first_row(path: Path) -> tuple[str, ...]:
    (row,) = cells_of(open_input(path, Layout()))
    return row


@pytest.mark.parametrize("kind", ["xlsx", "collapse", "filter"])
def test_rows_that_are_hidden_are_read_and_counted_below_the_header(tmp_path: Path, kind: str) -> None:
    def written(name: str, *rows: tuple[str, str, bool]) -> Path:
        if kind == "xlsx":
            shown = (f'<row hidden="{int(hides)}">{inline(*cells)}</row>' for *cells, hides in rows)
            return sheet(tmp_path / f"{name}.xlsx", "".join(shown) + '<row hidden="1"/>')
        says = f'table:visibility="{kind}"'
        filled = (odf_row(*map(odf_text, cells), attributes=says * hides) for *cells, hides in rows)
        return odf(tmp_path / f"{name}.ods", *filled)

    head, row = ("id", "name"), ("1", "a")
    source = open_input(written("a", (*head, True), (*row, False), (*row, True), (*row, True)), Layout())
    assert len(cells_of(source)) == 3
    assert source.notes[1:] == ("2 rows of the sheet are hidden, and are read too",)
    # Read once more, they are counted once.
    assert (len(cells_of(source)), len(source.notes)) == (3, 2)
    source = open_input(written("b", (*head, True), (*row, False)), Layout())
    assert (len(cells_of(source)), len(source.notes)) == (1, 1)


# ---- values --------------------------------------------------------------------------------------------------------

WITHOUT_VALUE = (
    "the cell B3 holds a formula without its value: open the workbook in Excel or LibreOffice, save it, and take that"
    " file"
)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("<c><f>A2*2</f></c>", WITHOUT_VALUE),
        ('<c t="d"><v>x</v></c>', "the cell B3 holds what its kind does not allow: 'x' is no date"),
        *(
            (f'<c s="1"><v>{day}</v></c>', f"the cell B3 holds what its kind does not allow: '{day}' is no date")
            for day in ("-1", "0", "2958466", "2958465.9999999")
        ),
    ],
)
def test_a_cell_that_refuses_its_row(tmp_path: Path, cell: str, reason: str) -> None:
    rows = data(HEAD, "", f"<c><v>1</v></c>{cell}", "<c><v>2</v></c><c><v>5</v></c>")
    path = excel(tmp_path / "a.xlsx", rows, styles=number_formats("General", "dd.mm.yyyy"))
    source = open_input(path, Layout())
    assert rows_of(source) == [Row(4, ("2", "5"))]
    (refusal,) = refusals_of(source)
    assert (refusal.line, refusal.column, refusal.label, refusal.row) == (3, "name", "1", ("1", ""))
    assert refusal.reason == reason


def test_what_merged_cells_hide_is_not_read(tmp_path: Path) -> None:
    hidden = odf_text("hidden").replace("table:table-cell", "table:covered-table-cell")
    path = odf(tmp_path / "a.ods", TITLES, odf_row(odf_text("1", 'table:number-columns-spanned="2"'), hidden))
    assert first_row(path) == ("1", "")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        # As Excel ends a formula without a text, and a moment.
        ('<c t="str"><f>""</f><v></v></c>', ""),
        ('<c t="d"><v>2019-06-01T13:45:12.000</v></c>', "2019-06-01 13:45:12"),
        *((f'<c s="{style}"><v>5</v></c>', "5") for style in ("9" * 5000, "٣", "-1")),
    ],
    ids=lambda given: given[:60],
)
def test_what_a_cell_of_excel_holds(tmp_path: Path, cell: str, told: str) -> None:
    assert first_row(excel(tmp_path / "a.xlsx", data(HEAD, inline("1") + cell))) == ("1", told)


def test_what_xml_cannot_hold_is_escaped_in_texts() -> None:
    assert unescaped("a_x000D_b_x005F_x000D_") == "a\rb_x000D_"
    assert unescaped("_xD83D__xDE00_") == "😀"
    for kept in ("_xD83D_", "_x0000_", "_x00_", "x000D"):
        assert unescaped(kept) == kept


def test_texts_that_are_put_aside_come_back_in_whatever_order_and_take_no_memory(tmp_path: Path) -> None:
    many = 3_000
    # In their order, backwards, at random, and one again and again among others that come once.
    numbers = [*range(many), *reversed(range(many)), *(one if one % 2 else 3 for one in range(many))]
    numbers += random.Random(1).choices(range(many), k=many)
    rows = data(inline("id"), *(f'<c t="s"><v>{number}</v></c>' for number in numbers))
    texts = (f"<t>Иванов {number}</t>" for number in range(many))
    source = open_input(excel(tmp_path / "a.xlsx", rows, texts=texts), Layout())
    assert cells_of(source) == [(f"Иванов {number}",) for number in numbers]
    strings = SpilledStrings("x" * 100_000 for _ in range(600))
    tracemalloc.start()
    try:
        assert all(len(strings[number]) == 100_000 for number in range(600))
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    for number in (-1, 600, 10**12):
        with pytest.raises(IndexError):
            _ = strings[number]


# ---- rows and columns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        f'<row r="5">{HEAD}</row><row r="5"/>',
        '<row r="1048577"/>',
        '<row><c r="XFE1"><v>1</v></c></row>',
        '<row r="3"><c r="A3"><v>1</v></c><c r="C3"><v>1</v></c><c r="B3"><v>1</v></c></row>',
    ],
)
def test_rows_and_cells_where_there_can_be_none(tmp_path: Path, rows: str) -> None:
    assert "is out of its order, or beyond any sheet" in why_refused(sheet(tmp_path / "a.xlsx", rows))


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


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (f'<row r="{"9" * 5000}"><c><v>1</v></c></row>', "is out of its order, or beyond any sheet"),
        ('<row r="٣"><c><v>1</v></c></row>', "is out of its order, or beyond any sheet"),
        (f'<row><c t="s"><v>{"9" * 5000}</v></c></row>', "it has no text number 99999999999999999999"),
        ('<row><c t="s"><v>7</v></c></row>', "is broken: it has no text number 7, which row 1 refers to"),
        (f"<row><c><v>{'9' * 5000}</v></c></row>", "is no number that can be written out"),
        ("<row><c><v>1e300000000</v></c></row>", "is no number"),
        ("<row><c><v>1e300000</v></c></row>", "is no number that can be written out"),
        ('<row><c t="d"><v>2026-13-45</v></c></row>', "'2026-13-45' is no date"),
        ('<row><c t="b"><v>yes</v></c></row>', "not of the kind that it names"),
    ],
    ids=lambda given: given[:60],
)
def test_what_no_program_writes_is_refused_with_its_place(tmp_path: Path, rows: str, told: str) -> None:
    assert told in why_refused_or_its_row(sheet(tmp_path / "a.xlsx", rows), Layout(columns=("a",)))


# OpenDocument spreadsheets: as LibreOffice writes them, and as nobody does but might.

RECORDED = Path(__file__).parent / "recorded"
TITLES = odf_row(odf_text("id"), odf_text("name"))


def number(value: str, text: str = "", attributes: str = "") -> str:
    return odf_cell(f'office:value-type="float" office:value="{value}" {attributes}', text or value)


# ---- as LibreOffice writes them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["ods", "xlsx"])
def test_the_same_book_of_libreoffice_in_both_kinds(ending: str) -> None:
    source = open_input(RECORDED / f"libreoffice.{ending}", Layout())
    assert source.header == ("№ договора", "Сумма", "Дата", "Время", "Да", "Номер", "Формула", "Текст")
    first = ("00123", "50.5", "2019-06-01", "2019-06-01 00:00:00", "TRUE", "00123", "101", "два\nстроки  и   пробелы")
    assert rows_of(source) == [
        Row(2, first, frozenset({4})),
        Row(4, ("15Ж", f"1{'0' * 21}", "", "36:00:00", "", "0.5", "", '<&>"😀')),
        *(Row(line, ("равные", "7", "", "", "", "", "", "")) for line in (5, 6, 7)),
        Row(10, ("далеко", "1234.56", "", "", "", "", "", "")),
    ]
    (refusal,) = refusals_of(source)
    assert (refusal.line, refusal.reason) == (3, "the cell G3 holds the error #DIV/0!")
    assert refusal.row == (
        *("1E5", "0.3", "2019-06-01 13:45:12", "12:30:00", "FALSE", "-00123", "", " с пробелом и\tтабуляцией"),
    )
    kind = {"ods": "an OpenDocument spreadsheet", "xlsx": "an Excel workbook"}[ending]
    assert source.notes == (f"{kind}, sheet 'Остатки'",)


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (number("1E+05"), "100000"),
        (number("50.5", "50,50 р."), "50.5"),
        (number("-123", "-00123"), "-00123"),
        (number("124", "00123"), "124"),
        (number("0.5", "00"), "0.5"),
        (number("7", "7", 'table:formula="of:=A1"'), "7"),
        (odf_cell('office:value-type="percentage" office:value="0.5"', "50%"), "0.5"),
        (odf_cell('office:value-type="date" office:date-value="2019-06-01"', "01.06.19 0:00"), "2019-06-01 00:00:00"),
        (odf_cell('office:value-type="date" office:date-value="2019-06-01T13:45:12"', "x"), "2019-06-01 13:45:12"),
        (odf_cell('office:value-type="date" office:date-value="2019-06-01T13:45:12.5"', "x"), "2019-06-01 13:45:12"),
        (odf_cell('office:value-type="time" office:time-value="PT12H30M00S"', "12:30"), "12:30:00"),
        (odf_cell('office:value-type="time" office:time-value="PT36H"', "x"), "36:00:00"),
        (odf_cell('office:value-type="time" office:time-value="PT5M"', "x"), "00:05:00"),
        (odf_cell('office:value-type="string" office:string-value="00123"', "shown otherwise"), "00123"),
        (odf_cell("", "text of no kind"), "text of no kind"),
        (odf_cell('office:value-type="string"', "#REF!"), "#REF!"),
        (odf_cell('office:value-type="string"', 'a<text:s text:c="3"/>b<text:s/>c<text:line-break/>d'), "a   b c\nd"),
        (odf_cell('office:value-type="string"', "a<text:span>b<text:a>c</text:a></text:span>"), "abc"),
        (odf_cell('table:formula="of:=&quot;&quot;"'), ""),
        # What stands beside a text is no part of it.
        (odf_cell('office:value-type="string"', "a<office:annotation><text:p>b</text:p></office:annotation>c"), "ac"),
        *(
            (odf_cell('office:value-type="string"', inside), "a")
            for inside in (
                "<text:ruby><text:ruby-base>a</text:ruby-base><text:ruby-text>zz</text:ruby-text></text:ruby>",
                "a<text:note><text:note-body><text:p>zz</text:p></text:note-body></text:note>",
                'a<d:frame xmlns:d="d"><d:text-box><text:p>zz</text:p></d:text-box></d:frame>',
            )
        ),
    ],
)
def test_what_a_cell_holds(tmp_path: Path, cell: str, told: str) -> None:
    assert first_row(odf(tmp_path / "a.ods", TITLES, odf_row(odf_text("1"), cell))) == ("1", told)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ('<table:table-cell table:formula="of:=A1"/>', "holds a formula without its value"),
        ('<table:table-cell table:formula="of:=A1" office:value-type="float"/>', "holds a formula without its value"),
        (
            odf_cell('table:formula="of:=A1" office:value-type="string" calcext:value-type="error"', "#REF!"),
            "holds the error #REF!",
        ),
        (number("0", "#DIV/0!", 'table:formula="of:=1/0"'), "holds the error #DIV/0!"),
        (number("0", "Err:502", 'table:formula="of:=1/0"'), "holds the error Err:502"),
        (number("x"), "holds what its kind does not allow: 'x' is no number"),
        (odf_cell('office:value-type="date"', "01.06.19"), "holds what its kind does not allow: '' is no date"),
        *(
            (odf_cell(attributes, "x"), told)
            for attributes, told in (
                ('office:value-type="boolean" office:boolean-value="yes"', "'yes' is neither true nor false"),
                ('office:value-type="zz" office:value="5"', "'zz' is no kind of a value"),
                (f'office:value-type="float" office:value="{"9" * 5000}"', "is no number that can be written out"),
                ('office:value-type="float" office:value="1_0"', "'1_0' is no number"),
                (f'office:value-type="time" office:time-value="PT{"9" * 5000}H"', "is no time"),
                ('office:value-type="time" office:time-value="12:30"', "is no time"),
                *(
                    (f'office:value-type="date" office:date-value="{wrong}"', f"'{wrong}' is no date")
                    for wrong in ("2026-02-30", "", "01.06.2019", "2019-06-01 13:45:12")
                ),
            )
        ),
    ],
)
def test_a_cell_of_open_documents_that_refuses_its_row(tmp_path: Path, cell: str, reason: str) -> None:
    source = open_input(odf(tmp_path / "a.ods", TITLES, "<table:table-row/>", odf_row(odf_text("1"), cell)), Layout())
    (refusal,) = refusals_of(source)
    assert (refusal.line, refusal.column, refusal.label) == (3, "name", "1")
    assert refusal.reason.startswith("the cell B3 holds ")
    assert reason in refusal.reason


def test_a_cell_that_is_too_long(tmp_path: Path) -> None:
    for text in (f'x<text:s text:c="{LONGEST_CELL}"/>', '<text:s text:c="999999999"/>'):
        path = odf(tmp_path / "a.ods", TITLES, odf_row(odf_text("1"), odf_cell('office:value-type="string"', text)))
        assert why_refused(path).endswith("cell B2 is longer than 1000000 characters")


def test_rows_in_groups(tmp_path: Path) -> None:
    groups = (
        f"<table:table-header-rows>{TITLES}</table:table-header-rows>",
        f"<table:table-row-group>{TITLES}</table:table-row-group>",
    )
    assert rows_of(open_input(odf(tmp_path / "a.ods", *groups), Layout())) == [Row(2, ("id", "name"))]


# ---- what is written once for many ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        odf_row(odf_text("x"), attributes='table:number-rows-repeated="1048577"'),
        odf_row(odf_text("x", 'table:number-columns-repeated="16385"')),
        odf_row('<table:table-cell table:number-columns-repeated="16384"/>', odf_text("x")),
    ],
)
def test_more_than_any_sheet_has(tmp_path: Path, row: str) -> None:
    assert "is out of its order, or beyond any sheet" in why_refused(odf(tmp_path / "a.ods", TITLES, row))


WIDE = odf_text("x", 'table:number-columns-repeated="16384"')


def repeated(times: int, *cells: str) -> str:
    return odf_row(*cells, attributes=f'table:number-rows-repeated="{times}"')


@pytest.mark.parametrize(
    "cells", [WIDE, odf_text("1"), odf_text(" "), odf_cell('calcext:value-type="error"', "#N/A")]
)
def test_a_sheet_that_is_a_few_bytes_and_a_million_rows_is_refused(tmp_path: Path, cells: str) -> None:
    path = odf(tmp_path / "a.ods", TITLES, odf_row(odf_text("1")), repeated(1_000_000, cells))
    assert path.stat().st_size < 1000
    assert "999999 rows of the sheet 'Лист1' repeat the row above them, the last of them the rows 4 to 1000002" in (
        why_refused(path)
    )


@pytest.mark.parametrize("times", [5, 16_000])
def test_a_row_that_is_too_long_together_is_refused(tmp_path: Path, times: int) -> None:
    long = odf_text("x" * 900_000, f'table:number-columns-repeated="{times}"')
    told = why_refused(odf(tmp_path / "a.ods", TITLES, odf_row(long)), Layout(columns=tuple(map(str, range(times)))))
    assert told.endswith("a.ods, line 2: the row is longer than 4000000 characters")


def test_a_refused_row_that_is_too_long_leaves_the_other_rows_good(tmp_path: Path) -> None:
    long = odf_text("x" * 900_000, 'table:number-columns-repeated="16000"')
    path = odf(tmp_path / "a.ods", TITLES, odf_row(long), odf_row(odf_text("1"), odf_text("a")))
    source = open_input(path, Layout())
    assert rows_of(source) == [Row(3, ("1", "a"))]
    (refusal,) = refusals_of(source)
    assert refusal.line == 2
    assert "this row 16000; the row is longer than 4000000 characters, and only these are kept" in refusal.reason
    assert sum(map(len, refusal.row)) < LARGEST_PAGE


# ---- numbers come as they are, dates by their format ---------------------------------------------------------------

DATE, MOMENT, TIME, ELAPSED = "dd.mm.yyyy", "DD.MM.YYYY HH:MM", "h:mm", "[h]:mm:ss"
PLAIN = ("General", "@", "0.00", "#,##0.00", '# ##0.00" дн."', '0" h"', "0\\d", "[Red]0", "0%", "0.00E+00")
NUMBERS = {
    "50.5": "50.5",
    "50.50": "50.5",
    "100000": "100000",
    "1E+05": "100000",
    "1e5": "100000",
    "1.0": "1",
    "0": "0",
    "-0": "0",
    "0.0": "0",
    "-0.5": "-0.5",
    ".5": "0.5",
    "1.1000000000000001": "1.1",
    "50.500000000000007": "50.5",
    "0.30000000000000004": "0.3",
    "300.29999999999995": "300.3",
    "-1234.5600000000002": "-1234.56",
    "99999999.999999999": "100000000",
    "123456789012.34": "123456789012.34",
    "1E-05": "0.00001",
    "1E+021": "1000000000000000000000",
    "007": "7",
    " 7 ": "7",
}
BY_FORMAT = [
    ("-123", "00000;[Red]-00000", "-00123"),
    ("123456", "00000", "123456"),
    ("1.5", "00000", "1.5"),
    ("123", '000000"x"', "000123"),
    *(("43617", code, "2019-06-01") for code in (DATE, "[$-419]d mmmm yyyy;@", "mmm")),
    *(("43617", code, "2019-06-01 00:00:00") for code in (MOMENT, 'yyyy\\-mm\\-dd"T"hh:mm:ss')),
    ("43617.57305555556", MOMENT, "2019-06-01 13:45:12"),
    ("43617.5", DATE, "2019-06-01 12:00:00"),
    ("43617.999999", MOMENT, "2019-06-02 00:00:00"),
    ("1", DATE, "1900-01-01"),
    ("59", DATE, "1900-02-28"),
    ("61", DATE, "1900-03-01"),
    ("2958465", DATE, "9999-12-31"),
    *(("0.5208333333333334", code, "12:30:00") for code in (TIME, "mm:ss.0", "h:mm AM/PM")),
    ("43617.5", TIME, "2019-06-01 12:00:00"),
    *(("1.5", code, "36:00:00") for code in (ELAPSED, "[mm]:ss")),
]


def test_a_number_is_read_by_its_format(tmp_path: Path) -> None:
    cases = [*((text, "General", told) for text, told in NUMBERS.items()), *BY_FORMAT]
    cases += [("43617", code, "43617") for code in PLAIN]
    codes = list(dict.fromkeys(code for _, code, _ in cases))
    rows = [f'<c s="{codes.index(code)}"><v>{text}</v></c>' for text, code, _ in cases]
    path = excel(tmp_path / "a.xlsx", data(inline("n"), *rows), styles=number_formats(*codes))
    read = [cell for (cell,) in cells_of(open_input(path, Layout()))]
    assert [(text, code, cell) for (text, code, _), cell in zip(cases, read, strict=True)] == cases


def test_formats_that_need_no_code(tmp_path: Path) -> None:
    told = {0: "43617", 2: "43617", 14: "2019-06-01", 20: "2019-06-01 00:00:00", 22: "2019-06-01 00:00:00"}
    told[46] = "1046808:00:00"
    styles = "".join(f'<xf numFmtId="{number}"/>' for number in told)
    rows = [f'<c s="{style}"><v>43617</v></c>' for style in range(len(told))]
    path = excel(tmp_path / "a.xlsx", data(inline("n"), *rows), styles=f"<cellXfs>{styles}</cellXfs>")
    assert [cell for (cell,) in cells_of(open_input(path, Layout()))] == [*told.values()]


def test_workbooks_that_count_from_1904(tmp_path: Path) -> None:
    rows = data(inline("n"), '<c s="0"><v>42155</v></c>', '<c s="0"><v>0</v></c>')
    path = excel(tmp_path / "a.xlsx", rows, styles=number_formats(DATE), workbook='<workbookPr date1904="1"/>')
    assert cells_of(open_input(path, Layout())) == [("2019-06-01",), ("1904-01-01",)]


# ---- which sheet is read, and what its header must be like: the same for both kinds of workbook --------------------

Write = Callable[[Mapping[str, Sequence[Sequence[str]]]], Path]
"""Writes a workbook of these sheets, each the rows of its texts."""


@pytest.fixture(params=["xlsx", "ods"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    def excel(sheets: Mapping[str, Sequence[Sequence[str]]]) -> Path:
        contents = {name: data(*(inline(*row) for row in rows)) for name, rows in sheets.items()}
        return packed(tmp_path / "a.xlsx", excel_parts(contents))

    def ods(sheets: Mapping[str, Sequence[Sequence[str]]]) -> Path:
        contents = {name: [odf_row(*map(odf_text, row)) for row in rows] for name, rows in sheets.items()}
        return packed(tmp_path / "a.ods", odf_parts(contents))

    return excel if request.param == "xlsx" else ods


TABLE = [["id", "amount"], ["1", "5"]]


def test_hundreds_of_sheets_are_not_looked_into(write: Write) -> None:
    path = write({f"Лист {number}": TABLE if number == 150 else [] for number in range(201)})
    assert why_refused(path).endswith("and 181 more. Name the one to read with --sheet NAME")
    assert "has 201 sheets: 'Лист 0', 'Лист 1'" in why_refused(path)
    assert rows_of(open_input(path, Layout(sheet="Лист 150"))) == [Row(2, ("1", "5"))]


def test_two_sheets_that_hold_something_are_asked_about(write: Write) -> None:
    path = write({"Январь": TABLE, "Пустой": [], "Февраль": TABLE})
    assert why_refused(path).endswith(
        "has 2 sheets that hold something: 'Январь', 'Февраль'. Name the one to read with --sheet NAME"
    )


def test_a_sheet_by_its_name(write: Write) -> None:
    path = write({"Январь": TABLE, "Февраль": [["id"], ["2"]]})
    assert cells_of(open_input(path, Layout(sheet="Февраль"))) == [("2",)]
    assert cells_of(open_input(path, Layout(sheet=" февраль"))) == [("2",)]
    assert why_refused(path, Layout(sheet="Март")).endswith("has no sheet 'Март'; it has: 'Январь', 'Февраль'")


def test_nothing_to_read(write: Write) -> None:
    assert "is empty" in why_refused(write({"Лист": []}))
    assert "sheet 'Пустой' is empty" in why_refused(write({"Лист": TABLE, "Пустой": []}), Layout(sheet="Пустой"))


def test_the_header_is_the_first_row_that_says_something(write: Write) -> None:
    source = open_input(write({"Лист": [[], [" "], *TABLE, [], [" ", ""], ["2", "6"]]}), Layout())
    assert source.header == ("id", "amount")
    assert rows_of(source) == [Row(4, ("1", "5")), Row(7, ("2", "6"))]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            ["id", "", "amount"],
            "sheet 'Лист': cell B1 of the header has no name; row 1, the first that is not empty, must",
        ),
        (["", "id"], "cell A1 of the header has no name"),
        (["id", "b", " ID "], "cell A1 and cell C1 of the header have the same name, 'ID'; rename one of them"),
        (["17", "100,50"], "holds numbers (17, 100,50) where the names of the columns are expected"),
    ],
)
def test_a_header_that_is_none(write: Write, header: list[str], says: str) -> None:
    assert says in why_refused(write({"Лист": [header, ["1", "2", "3"]]}))


def test_rows_of_the_wrong_width(write: Write) -> None:
    source = open_input(
        write({"Лист": [["id", "amount", " "], ["1"], ["2", "3", "", " "], ["4", "5", "6"]]}), Layout()
    )
    assert source.header == ("id", "amount")
    assert rows_of(source) == [Row(2, ("1", "")), Row(3, ("2", "3"))]
    assert [(one.line, one.reason) for one in refusals_of(source)] == [(4, "the header has 2 cells, this row 3")]


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_merged_cells_in_the_header(tmp_path: Path, kind: str) -> None:
    if kind == "xlsx":
        merges = '<mergeCells><mergeCell ref="A2:A9"/><mergeCell ref="B1:C1"/></mergeCells>'
        content = data(inline("id", "amount"), inline("1", "5")) + merges
        path = packed(tmp_path / "a.xlsx", excel_parts({"Лист": content}))
    else:
        head = odf_row(odf_text("id"), odf_text("amount", 'table:number-columns-spanned="2"'))
        path = packed(tmp_path / "a.ods", odf_parts({"Лист": [head, odf_row(odf_text("1"))]}))
    assert "the cells B1:C1 are merged, and row 1 is the header: which column has which name cannot be told" in (
        why_refused(path)
    )


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_a_title_above_the_header_is_passed_over_and_told(tmp_path: Path, kind: str) -> None:
    if kind == "xlsx":
        merges = '<mergeCells><mergeCell ref="A1:B1"/><mergeCell ref="A2:B2"/></mergeCells>'
        content = data(inline("Абоненты"), inline("на 30.11"), inline("id", "amount"), inline("1", "5")) + merges
        path = packed(tmp_path / "a.xlsx", excel_parts({"Лист": content}))
    else:
        wide = [odf_row(odf_text(text, 'table:number-columns-spanned="2"')) for text in ("Абоненты", "на 30.11")]
        rows = [*wide, odf_row(odf_text("id"), odf_text("amount")), odf_row(odf_text("1"), odf_text("5"))]
        path = packed(tmp_path / "a.ods", odf_parts({"Лист": rows}))
    source = open_input(path, Layout())
    assert (source.header, rows_of(source)) == (("id", "amount"), [Row(4, ("1", "5"))])
    assert "the header is in row 3; above it is a title" in source.notes


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["Абоненты на 30.11"], [], ["id", "amount"], ["1", "5"]], ("id", "amount")),
        # A column of keys is no title, and neither is the heading of one.
        ([["id"], ["1"], ["2"]], ("id",)),
        ([["id"]], ("id",)),
    ],
)
def test_one_cell_alone_above_a_row_of_several_is_a_title(
    write: Write, rows: list[list[str]], header: tuple[str, ...]
) -> None:
    assert open_input(write({"Лист": rows}), Layout()).header == header


def test_a_bad_cell_in_the_header(tmp_path: Path) -> None:
    content = data(inline("id") + '<c t="e"><v>#N/A</v></c>', inline("1"))
    path = packed(tmp_path / "a.xlsx", excel_parts({"Лист": content}))
    assert why_refused(path).endswith("a.xlsx: the cell B1 of the header holds the error #N/A")


def test_what_a_sheet_takes_from_another_file_is_no_sheet_of_it(tmp_path: Path) -> None:
    rows = [odf_row(odf_text("id")), odf_row(odf_text("1"))]
    parts = odf_parts({"Лист": rows, "'file:///home/admin/other.ods'#$Лист1": rows})
    assert cells_of(open_input(packed(tmp_path / "a.ods", parts), Layout())) == [("1",)]


# What is broken, hostile or behind a password is refused before it does harm.

GOOD = data(inline("id", "name"), inline("1", "a"))
HIDES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("name", ["password.xlsx", "password-agile.xlsx", "password.ods"])
def test_a_password(name: str) -> None:
    """Of LibreOffice, and in the way that Excel has encrypted since 2010."""
    assert why_refused(RECORDED / name).endswith("is behind a password: save it without one")


def test_a_password_of_the_archive(tmp_path: Path) -> None:
    path = excel(tmp_path / "a.xlsx", GOOD)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("xl/workbook.xml")
        central = path.read_bytes().index(b"PK\x01\x02")
    raw = bytearray(path.read_bytes())
    for place in (info.header_offset + 6, raw.index(b"xl/workbook.xml", central) - 46 + 8):
        raw[place] |= 1
    path.write_bytes(raw)
    assert why_refused(path).endswith("is behind a password: save it without one")


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
def test_a_file_that_was_not_copied_whole(tmp_path: Path, kind: str, keep: float) -> None:
    whole = (RECORDED / f"libreoffice.{kind}").read_bytes()
    (tmp_path / "a").write_bytes(whole[: int(len(whole) * keep)])
    assert "is broken, as a file that was not copied whole" in why_refused(tmp_path / "a")


def test_xml_that_is_broken_is_named_with_its_place(tmp_path: Path) -> None:
    path = excel(tmp_path / "a.xlsx", "<sheetData>\n<row></sheetData>")
    told = why_refused(path)
    assert "is broken: line 2, column 8 of xl/worksheets/sheet1.xml: mismatched tag" in told


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("xlsx", "xl/workbook.xml"),
        ("xlsx", "xl/sharedStrings.xml"),
        ("xlsx", "xl/worksheets/sheet1.xml"),
        ("ods", "content.xml"),
    ],
)
def test_entities_are_not_even_declared(tmp_path: Path, kind: str, part: str) -> None:
    parts = excel_parts({"Лист1": GOOD}) if kind == "xlsx" else odf_parts({"Лист1": [odf_row(odf_text("id"))]})
    parts[part] = HIDES + parts[part]
    told = why_refused(packed(tmp_path / "a", parts))
    assert f"{part} declares a document type, which no spreadsheet program does" in told


def test_a_part_that_is_made_to_burst(tmp_path: Path) -> None:
    parts = excel_parts({"Лист1": f"<sheetData>{' ' * 100 * 1024**2}</sheetData>"})
    told = why_refused(packed(tmp_path / "a.xlsx", parts, level=9))
    assert "xl/worksheets/sheet1.xml in it unpacks from " in told
    assert "which no table of rows does" in told


def test_a_tag_without_an_end_is_not_held(tmp_path: Path) -> None:
    noise = bytes(range(0x30, 0x3A)) * 1024
    parts = excel_parts({"Лист1": GOOD}) | {
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}" a="{(noise * 4096).decode()}"/>'
    }
    path = packed(tmp_path / "a.xlsx", parts)
    del parts
    tracemalloc.start()
    try:
        told = why_refused(path)
        assert tracemalloc.get_traced_memory()[1] < 12 * 1024**2
    finally:
        tracemalloc.stop()
    assert "has a tag without an end" in told


def test_a_part_that_is_missing(tmp_path: Path) -> None:
    for part in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"):
        parts = excel_parts({"Лист1": GOOD})
        del parts[part]
        assert f"is no whole workbook: {part} is missing in it" in why_refused(packed(tmp_path / "a.xlsx", parts))


def test_other_archives(tmp_path: Path) -> None:
    def told(**parts: str) -> str:
        return why_refused(
            packed(tmp_path / "a.xlsx", {name.replace("_", "/", 1): text for name, text in parts.items()})
        )

    assert told(readme="x").endswith("is a ZIP archive and no workbook: unpack it first")
    assert "is a binary Excel workbook (.xlsb)" in told(**{"xl_workbook.bin": ""})
    document = {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<a/>"}
    assert "is a document, but no spreadsheet" in why_refused(packed(tmp_path / "a.odt", document))
    with zipfile.ZipFile(tmp_path / "empty.xlsx", "w"):
        pass
    assert "is a ZIP archive and no workbook" in why_refused(tmp_path / "empty.xlsx")


def test_a_workbook_through_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("xlsx", "ods"):
        with (RECORDED / f"libreoffice.{kind}").open(encoding="latin-1") as file:
            monkeypatch.setattr("sys.stdin", file)
            source = open_input(None, Layout())
            assert len(rows_of(source)) == 6
            assert source.name == "standard input"


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_a_cell_of_endless_pieces_is_not_held(tmp_path: Path, kind: str) -> None:
    pieces = "<t/>" * 100_001
    parts = (
        excel_parts({"Лист1": data(inline("id"), f'<c t="inlineStr"><is>{pieces}</is></c>')})
        if kind == "xlsx"
        else odf_parts(
            {"Лист1": [odf_row(odf_text("id")), odf_row(f"<table:table-cell>{pieces}</table:table-cell>")]}
        )
    )
    assert "cell A2 is longer than" in why_refused(packed(tmp_path / "a", parts))
