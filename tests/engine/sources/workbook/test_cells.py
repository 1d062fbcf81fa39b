"""Numbers come as they are, dates by their format."""

import pytest

from engine.sources.workbook.cells import (
    PLAIN,
    CellFormat,
    Format,
    cell_text,
    format_of,
    iso_date,
    iso_time,
    plain_number,
)

DATE, MOMENT, TIME, ELAPSED = (
    Format(kind) for kind in (CellFormat.DATE, CellFormat.MOMENT, CellFormat.TIME, CellFormat.ELAPSED)
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50.5", "50.5"),
        ("50.50", "50.5"),
        ("100000", "100000"),
        ("1E+05", "100000"),
        ("1e5", "100000"),
        ("1.0", "1"),
        ("0", "0"),
        ("-0", "0"),
        ("0.0", "0"),
        ("-0.5", "-0.5"),
        (".5", "0.5"),
        ("1.1000000000000001", "1.1"),
        ("50.500000000000007", "50.5"),
        ("0.30000000000000004", "0.3"),
        ("300.29999999999995", "300.3"),
        ("-1234.5600000000002", "-1234.56"),
        ("99999999.999999999", "100000000"),
        ("123456789012.34", "123456789012.34"),
        ("1E-05", "0.00001"),
        ("1E+021", "1000000000000000000000"),
        ("12345678901234567", "12345678901234567"),
        ("007", "7"),
        (" 7 ", "7"),
    ],
)
def test_numbers_in_full(text: str, number: str) -> None:
    assert plain_number(text) == number


@pytest.mark.parametrize(
    ("code", "form"),
    [
        ("General", PLAIN),
        ("@", PLAIN),
        ("0.00", PLAIN),
        ("#,##0.00", PLAIN),
        ('# ##0.00" дн."', PLAIN),
        ('0" h"', PLAIN),
        ("0\\d", PLAIN),
        ("[Red]0", PLAIN),
        ("0%", PLAIN),
        ("0.00E+00", PLAIN),
        ("00000", Format(zeros=5)),
        ("00000;[Red]-00000", Format(zeros=5)),
        ('000000"x"', Format(zeros=6)),
        ("dd.mm.yyyy", DATE),
        ("[$-419]d mmmm yyyy;@", DATE),
        ("mmm", DATE),
        ("DD.MM.YYYY HH:MM", MOMENT),
        ('yyyy\\-mm\\-dd"T"hh:mm:ss', MOMENT),
        ("h:mm", TIME),
        ("mm:ss.0", TIME),
        ("h:mm AM/PM", TIME),
        ("[h]:mm:ss", ELAPSED),
        ("[mm]:ss", ELAPSED),
    ],
)
def test_what_a_format_means(code: str, form: Format) -> None:
    assert format_of(164, code) == form


def test_formats_that_need_no_code() -> None:
    assert [format_of(number, None) for number in (0, 2, 14, 20, 22, 46)] == [
        PLAIN,
        PLAIN,
        DATE,
        TIME,
        MOMENT,
        ELAPSED,
    ]


@pytest.mark.parametrize(
    ("text", "form", "told"),
    [
        ("123", Format(zeros=5), "00123"),
        ("-123", Format(zeros=5), "-00123"),
        ("123456", Format(zeros=5), "123456"),
        ("1.5", Format(zeros=5), "1.5"),
        ("43617", DATE, "2019-06-01"),
        ("43617", MOMENT, "2019-06-01 00:00:00"),
        ("43617.57305555556", MOMENT, "2019-06-01 13:45:12"),
        ("43617.5", DATE, "2019-06-01 12:00:00"),
        ("43617.999999", MOMENT, "2019-06-02 00:00:00"),
        ("1", DATE, "1900-01-01"),
        ("59", DATE, "1900-02-28"),
        ("61", DATE, "1900-03-01"),
        ("2958465", DATE, "9999-12-31"),
        ("0.5208333333333334", TIME, "12:30:00"),
        ("43617.5", TIME, "2019-06-01 12:00:00"),
        ("1.5", ELAPSED, "36:00:00"),
    ],
)
def test_numbers_by_their_format(text: str, form: Format, told: str) -> None:
    assert cell_text(text, form) == told


def test_workbooks_that_count_from_1904() -> None:
    assert cell_text("42155", DATE, since_1904=True) == "2019-06-01"
    assert cell_text("0", DATE, since_1904=True) == "1904-01-01"


@pytest.mark.parametrize("text", ["-1", "0", "60", "2958466", "2958465.9999999", "x"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"no date|no day|no number"):
        cell_text(text, DATE)


def test_iso_8601() -> None:
    assert iso_date("2019-06-01") == "2019-06-01"
    assert iso_date("2019-06-01T13:45:12.500") == "2019-06-01 13:45:12"
    assert (iso_time("PT12H30M00S"), iso_time("PT36H"), iso_time("PT5M")) == ("12:30:00", "36:00:00", "00:05:00")
    for wrong in ("", "01.06.2019", "2019-06-01 13:45:12"):
        with pytest.raises(ValueError, match="is no date"):
            iso_date(wrong)
    with pytest.raises(ValueError, match="is no time"):
        iso_time("12:30")
