"""Our reader of workbooks against another one, python-calamine: where they differ, a line says why ours is right."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

import pytest
import python_calamine
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputRefused
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from tests.conftest import SHARED_FIXTURES
from tests.engine.sources.writing import (
    data,
    excel,
    number_formats,
    odf_cell,
    odf_parts,
    odf_row,
    odf_text,
    packed,
)

WIDTH: Final = 6
LAYOUT: Final = Layout(columns=tuple("abcdef"))
MANIFEST: Final = '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
TEXTS: Final = (
    "<t>00123</t>",
    "<r><t>Ива</t></r><r><rPr/><t>нов</t></r>",
    '<t>東京</t><rPh sb="0"><t>とう</t></rPh>',
)
CODES: Final = ("General", "dd.mm.yyyy", "00000", "[h]:mm:ss", "h:mm", "dd.mm.yyyy hh:mm", '#,##0.00" р."')

Rows: TypeAlias = dict[int, tuple[str | Decimal, ...]]
"""The rows that hold something, by their numbers. What is a number is compared as one."""


def ours(path: Path) -> Rows | str:
    """What our reader makes of it: the rows, or why something is refused."""
    read: Rows = {}
    try:
        for page in open_input(path, LAYOUT).pages(None):
            if page.refusals:
                return page.refusals[0].reason
            read |= {row.line or 0: tuple(map(as_number, row.cells)) for row in page.rows}
    except InputRefused as error:
        return "" if "there is nothing to do" in str(error) or "is empty" in str(error) else str(error)
    return read


def theirs(path: Path) -> Rows | str:
    """The same by the oracle."""
    try:
        sheet = python_calamine.load_workbook(path).get_sheet_by_index(0)
        rows = [
            (*map(written, row), *[""] * (WIDTH - len(row)))[:WIDTH] for row in sheet.to_python(skip_empty_area=False)
        ]
    except python_calamine.CalamineError as error:
        return f"refused: {error}"
    return {
        number: tuple(map(as_number, row)) for number, row in enumerate(rows, 1) if any(map(str.strip, row))
    } or ""


def as_number(text: str) -> str | Decimal:
    """A text that is written as a number, without the zeros at its end that say nothing."""
    plain = text.removeprefix("-")
    is_one = plain.replace(".", "", 1).isdigit() and plain.isascii() and (plain[0] != "0" or plain[:2] in {"0", "0."})
    return Decimal(text) if is_one else text


def written(value: object) -> str:
    """A value of the oracle as our reader writes it."""
    match value:
        case bool():
            return str(value).upper()
        case float():
            return f"{Decimal(repr(value)):f}".removesuffix(".0")
        case dt.timedelta():
            minutes, second = divmod(round(value.total_seconds()), 60)
            return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
        case dt.datetime() | dt.time():
            return str(value.replace(microsecond=0))
    return str(value)


# ---- workbooks that programs write ---------------------------------------------------------------------------------

AMOUNTS = st.decimals(-(10**9), 10**9, places=2).map(float)
DAYS = st.dates(dt.date(1900, 3, 2), dt.date(2100, 1, 1))


# ---- workbooks by hand ---------------------------------------------------------------------------------------------

WORDS = st.text("абвXY z09<&_", max_size=8).map(lambda text: text.strip().replace("&", "&amp;").replace("<", "&lt;"))
NOONS = st.integers(61, 70_000).map(lambda day: day + 0.5)
DIGITS = st.integers(-(10**12), 10**12)
RAW = st.one_of(
    st.builds("<c><v>{}</v></c>".format, DIGITS),
    st.builds("<c><f>A1+{0}</f><v>{0}</v></c>".format, DIGITS),
    st.builds('<c t="n" s="{}"><v>{}</v></c>'.format, st.sampled_from((0, 6)), DIGITS),
    st.builds('<c s="{}"><v>{}</v></c>'.format, st.sampled_from((1, 5)), NOONS),
    st.builds('<c s="3"><v>{}</v></c>'.format, st.integers(1, 999).map(lambda hours: hours / 24)),
    st.builds('<c t="s"><v>{}</v></c>'.format, st.integers(0, 2)),
    st.builds('<c t="str"><f>A1</f><v>{}</v></c>'.format, WORDS),
    st.builds('<c t="inlineStr"><is><t>{}</t></is></c>'.format, WORDS),
    st.builds('<c t="inlineStr"><v>7</v><is><t>{}</t></is></c>'.format, WORDS),
    st.builds('<c t="inlineStr"><is><r><t>{}</t></r><r><rPr/><t>{}</t></r></is></c>'.format, WORDS, WORDS),
    st.builds('<c t="inlineStr"><is><t>{}</t><rPh sb="0" eb="1"><t>{}</t></rPh></is></c>'.format, WORDS, WORDS),
    st.builds('<c t="b"><v>{}</v></c>'.format, st.sampled_from((0, 1, "true", "false"))),
    st.sampled_from(('<c t="d"><v>2019-06-01</v></c>', '<c t="d"><v>2019-06-01T13:45:12</v></c>')),
    st.sampled_from(("<c/>", "<c><v/></c>")),
)  # fmt: skip


@settings(suppress_health_check=SHARED_FIXTURES, max_examples=40)
@given(rows=st.lists(st.lists(RAW, max_size=WIDTH), min_size=1, max_size=6))
def test_sheets_by_hand_are_read_as_the_oracle_reads_them(tmp_path: Path, rows: list[list[str]]) -> None:
    path = excel(tmp_path / "a.xlsx", data(*map("".join, rows)), texts=TEXTS, styles=number_formats(*CODES))
    assert ours(path) == theirs(path)


def written_odf(path: Path, *rows: str) -> Path:
    # The oracle wants a manifest, and LibreOffice does without.
    return packed(path, odf_parts({"Лист1": rows}) | {"META-INF/manifest.xml": MANIFEST})


STRING: Final = 'office:value-type="string"'
PLAIN_WORDS = st.text("абвXYz09", max_size=8)
OPEN_DOCUMENT = st.one_of(
    st.builds(odf_text, PLAIN_WORDS),
    st.builds(odf_text, PLAIN_WORDS, st.integers(1, 3).map('table:number-columns-repeated="{}"'.format)),
    st.builds('{}<text:s text:c="3"/>{}<text:span>{}</text:span>'.format, *[PLAIN_WORDS] * 3).map(
        lambda inside: odf_cell(STRING, inside)
    ),
    st.builds(
        "<table:table-cell {}><office:annotation><text:p>{}</text:p></office:annotation><text:p>{}</text:p>"
        "</table:table-cell>".format,
        st.just(STRING),
        PLAIN_WORDS,
        PLAIN_WORDS,
    ),
    DIGITS.map(lambda number: odf_cell(f'office:value-type="float" office:value="{number}"', str(number))),
    AMOUNTS.map(lambda number: odf_cell(f'office:value-type="currency" office:value="{number:.2f}"', f"{number} р.")),
    st.sampled_from(("true", "false")).map(
        lambda one: odf_cell(f'office:value-type="boolean" office:boolean-value="{one}"', "X")
    ),
    DAYS.map(lambda day: odf_cell(f'office:value-type="date" office:date-value="{day}"', f"{day:%d.%m.%Y}")),
    st.just("<table:table-cell/>"),
)  # fmt: skip


@settings(suppress_health_check=SHARED_FIXTURES, max_examples=40)
@given(rows=st.lists(st.tuples(st.lists(OPEN_DOCUMENT, max_size=2), st.integers(1, 4)), min_size=1, max_size=5))
def test_open_documents_are_read_as_the_oracle_reads_them(tmp_path: Path, rows: list[tuple[list[str], int]]) -> None:
    repeated = [odf_row(*cells, attributes=f'table:number-rows-repeated="{times}"') for cells, times in rows]
    path = written_odf(tmp_path / "a.ods", *repeated)
    assert ours(path) == theirs(path)


# ---- where they differ ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that the two read differently, and why ours is right; of a refusal a part of its reason is given."""

    cell: str
    ours: str
    theirs: str
    why: str


EXCEL: Final = [
    Difference('<c t="s"><v>0</v><is><t>7</t></is></c>', "00123", "7", "an inline text counts for its kind alone"),
    Difference("<c><v>5</v><is><t>55</t></is></c>", "5", "55", "the same, and an amount"),
    Difference('<c t="str"><v>q</v><is><t>x</t></is></c>', "q", "x", "the same, and the value of a formula"),
    Difference('<c t="inlineStr"><v>7</v></c>', "not of the kind", "", "a value is not lost in silence"),
    Difference("<c><is><t>7</t></is></c>", "not of the kind", "7", "a number that is a text is no number"),
    Difference("<c><v>1</v><v>2</v></c>", "not of the kind", "2", "which is meant nobody can tell"),
    Difference('<c t="inlineStr"><is><t>a</t></is><is><t>b</t></is></c>', "not of the kind", "b", "the same"),
    Difference(
        '<c t="inlineStr"><is><r><t>a</t></r><r><t> </t></r><r><t>b</t></r></is></c>',
        "a b",
        "ab",
        "a space between two words is a part of the text",
    ),
    Difference('<c t="e"><v>#REF!</v></c>', "holds the error #REF!", "", "an error is no empty cell"),
    Difference("<c><f>1+1</f></c>", "a formula without its value", "", "what nobody has worked out is no empty cell"),
    Difference('<c s="2"><v>123</v></c>', "00123", "123", "the format shows a contract's number with its zeros"),
    Difference("<c><v>12345678901234567</v></c>", "12345678901234567", "12345678901234568", "a float rounds"),
    Difference("<c><v>1_0</v></c>", "is no number", "1_0", "a number that is none is no text"),
    Difference("<c><v>NaN</v></c>", "is no number", "NaN", "the same"),
    Difference('<c s="5"><v>43617</v></c>', "2019-06-01 00:00:00", "2019-06-01", "the format has a time of day"),
    Difference('<c s="1"><v>60</v></c>', "was no day", "1900-02-28", "Excel's 29 February 1900 is no other day"),
    Difference('<c s="1"><v>-1</v></c>', "is no date", "00:00:00", "a date before the first is none"),
    Difference("<c><v>1</v><extLst><ext/></extLst></c>", "1", "refused", "the standard allows extensions"),
    Difference('<c r="C9"><v>1</v></c>', "says that it is 'C9'", "1", "whose row it is nobody can tell"),
    Difference('<c t="s"><v>3</v></c>', "a", "azz", "an extension is no part of the text"),
]

OPEN: Final = [
    Difference(
        odf_cell(f'table:formula="of:=1/0" {STRING} office:string-value="" calcext:value-type="error"', "#DIV/0!"),
        "holds the error #DIV/0!",
        "",
        "an error is no empty cell",
    ),
    Difference(
        odf_cell('office:value-type="float" office:value="123"', "00123"), "00123", "123", "the zeros are shown"
    ),
]


def shown(read: Rows | str) -> str:
    """The first cell of what was read, or the reason."""
    return read if isinstance(read, str) else str(next(cell for row in read.values() for cell in row if cell != ""))


@pytest.mark.parametrize("one", EXCEL, ids=lambda one: one.cell)
def test_where_they_differ_in_excel_ours_is_right(tmp_path: Path, one: Difference) -> None:
    texts = (*TEXTS, "<t>a</t><extLst><ext><t>zz</t></ext></extLst>")
    path = excel(tmp_path / "a.xlsx", data("", one.cell), texts=texts, styles=number_formats(*CODES))
    compare(path, one)


@pytest.mark.parametrize("one", OPEN, ids=lambda one: one.why)
def test_where_they_differ_in_an_open_document_ours_is_right(tmp_path: Path, one: Difference) -> None:
    compare(written_odf(tmp_path / "a.ods", odf_row(one.cell)), one)


def compare(path: Path, one: Difference) -> None:
    assert one.ours in shown(ours(path))
    found = shown(theirs(path))
    assert found == one.theirs or (one.theirs.startswith("refused") and found.startswith(one.theirs))
    assert found != shown(ours(path)), f"no difference any more: {one.why}"
