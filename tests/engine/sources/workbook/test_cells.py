"""Numbers come as they are, dates by their format: what a cell holds, its format, and what is read of it."""

from pathlib import Path

import pytest

from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from tests.engine.sources.reading import cells_of, refusals_of
from tests.engine.sources.workbook.writing import (
    data,
    excel,
    inline,
    number_formats,
    odf,
    odf_cell,
    odf_row,
    odf_text,
)

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
    "12345678901234567": "12345678901234567",
    "007": "7",
    " 7 ": "7",
}
BY_FORMAT = [
    ("123", "00000", "00123"),
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


def test_what_is_no_date(tmp_path: Path) -> None:
    wrong = ("-1", "0", "60", "2958466", "2958465.9999999", "x")
    rows = data(inline("n"), *(f'<c s="0"><v>{text}</v></c>' for text in wrong))
    told = refusals_of(open_input(excel(tmp_path / "a.xlsx", rows, styles=number_formats(DATE)), Layout()))
    assert len(told) == len(wrong)
    assert all(any(why in one.reason for why in ("no date", "no day", "no number")) for one in told)


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("date", "2019-06-01", "2019-06-01"),
        ("date", "2019-06-01T13:45:12.500", "2019-06-01 13:45:12"),
        ("time", "PT12H30M00S", "12:30:00"),
        ("time", "PT36H", "36:00:00"),
        ("time", "PT5M", "00:05:00"),
        *(("date", wrong, "is no date") for wrong in ("", "01.06.2019", "2019-06-01 13:45:12")),
        ("time", "12:30", "is no time"),
    ],
)
def test_iso_8601(tmp_path: Path, kind: str, value: str, told: str) -> None:
    cell = odf_cell(f'office:value-type="{kind}" office:{kind}-value="{value}"', "x")
    source = open_input(odf(tmp_path / "a.ods", odf_row(odf_text("n")), odf_row(cell)), Layout())
    read = [*(cell for (cell,) in cells_of(source)), *(one.reason for one in refusals_of(source))]
    assert len(read) == 1
    assert told in read[0]
