"""The door: what an input is, is told by its first bytes, and by its name where they leave it open."""

import codecs
import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputRefused
from engine.job import Source
from engine.sources.detect import open_input
from engine.sources.exported import COLUMNS, RUN, as_it_was, harmless
from engine.sources.sample import LONGEST_CELL, Layout
from tests.conftest import SHARED_FIXTURES
from tests.engine.sources.reading import (
    cells_of,
    memory_is_flat,
    refusals_of,
    rows_of,
    why_refused,
    why_refused_or_its_row,
    written,
)
from tests.engine.sources.writing import data, excel, inline, odf, odf_row, odf_text

CSV = "id;name\n1;a\n"
JSON = '{"id": 1, "name": "a"}\n'


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a", "a.xlsx", "a.json.bak"])
def test_the_bytes_say_more_than_the_name(tmp_path: Path, name: str) -> None:
    for text in (CSV, JSON, f"\n\n{JSON}", codecs.BOM_UTF8.decode() + JSON, "[id];name\n1;a\n", "[1];[2]\n1;a\n"):
        source = open_input(written(tmp_path, text, name), Layout())
        assert cells_of(source) == [("1", "a")]
        assert source.notes == (("JSON lines",) if "{" in text else ())


def test_the_name_says_the_rest(tmp_path: Path) -> None:
    assert "column 1: this is not JSON" in why_refused(written(tmp_path, "x\n18 x\n18;\n", "a.jsonl"))
    assert cells_of(open_input(written(tmp_path, "17\n18\n", "a.txt"), Layout())) == [("17",), ("18",)]
    told = why_refused(written(tmp_path, "17\n18\n", "a.csv"))
    assert "the first line holds numbers (17) where the names of the columns are expected" in told
    assert "columns a" in told


OLD_KIND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("data", "layout", "says"),
    [
        (OLD_KIND + bytes(600), Layout(), "is an Excel workbook of the old kind (.xls)"),
        (b"\x1f\x8b\x08\x00", Layout(), "is compressed with gzip"),
        (b"%PDF-1.7\n", Layout(), "is a PDF document"),
        (b"{\\rtf1 a}", Layout(), "is a text document (RTF)"),
        (b"\xef\xbb\xbf\r\n <HTML><table><tr><td>id", Layout(), "is a page of HTML or XML, whatever its name says"),
        (b'<?xml version="1.0"?><Workbook/>', Layout(), "is a page of HTML or XML"),
        # The mark of a password may lie between two blocks.
        (
            OLD_KIND.ljust(1024 * 1024 - 10, b"\0") + "EncryptedPackage".encode("utf-16-le") + bytes(600),
            Layout(),
            "is behind a password",
        ),
        ("", Layout(), "is empty"),
        (" \n\n", Layout(), "is empty"),
        ("i\0d\n1\n", Layout(), "line 1, column 2: a NUL byte"),
        (CSV, Layout(sheet="Лист1"), "is not a workbook and has no sheets: leave --sheet out"),
        (JSON, Layout(columns=("id",)), "names its columns itself: leave --columns out"),
    ],
    ids=lambda given: given[:20] if isinstance(given, str) else "",
)
def test_what_it_is_not_or_what_does_not_fit_it_is_named(
    tmp_path: Path, data: str | bytes, layout: Layout, says: str
) -> None:
    assert says in why_refused(written(tmp_path, data, "a.xls"), layout)


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (Layout(delimiter=";;"), "delimiter ;;: one character is expected"),
        (Layout(delimiter='"'), "one character is expected"),
        *((Layout(encoding=wrong), f"there is no encoding '{wrong}'") for wrong in ("cp12510", "rot13", "")),
        (Layout(columns=("a", " ", "b")), "columns a, ,b: the name number 2 is empty"),
        (Layout(columns=("a", "b", " A")), "columns a,b, A: the name 'A' is there twice"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused_at_once(layout: Layout, says: str) -> None:
    with pytest.raises(InputRefused) as caught:
        open_input(None, layout)
    assert says in str(caught.value)


# What an export has made harmless is read as it was before, and what no export has written is left alone.


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "-",
        "+",
        "=",
        "\n=1",
        "\uff1d1+1",
        "\uff0b1+1",
        "\uff0d2+3",
        "\uff20A1",
    ],
)
def test_what_would_run_as_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-12.5", "-12,50", "+7", "-1 234,50", "00123", "15J34", "АБ-1", "", " x", "a=b"])
def test_plain_numbers_and_texts_stay_as_they_are(cell: str) -> None:
    assert harmless(cell) == cell


@given(st.text(st.sampled_from("'=+-@\t1a,\uff1d\uff0b\uff0d\uff20")) | st.text())
def test_every_cell_comes_back_as_it_was(cell: str) -> None:
    assert as_it_was(harmless(cell)) == cell


def exported(folder: Path, header: Sequence[str], *rows: Sequence[str]) -> Source:
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerows([header, *rows])
    path = folder / "rows.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return open_input(path, Layout())


@pytest.mark.parametrize("column", [*COLUMNS, "carbon_row_2", " Carbon_Line ", RUN, "carbon_run_2"])
def test_one_column_of_ours_tells_an_export(tmp_path: Path, column: str) -> None:
    rows = (["1", "'-тире", "x"], ["2", "''=1", "y"], ["3", "'-20", ""], ["'-a"])
    source = exported(tmp_path, ["id", "'=text", column], *rows)
    assert source.header == ("id", "=text", column)
    assert cells_of(source) == [("1", "-тире", "x"), ("2", "'=1", "y"), ("3", "-20", "")]
    assert [refusal.row for refusal in refusals_of(source)] == [("-a",)]


@pytest.mark.parametrize("column", ["row", "carbon", "carbon_rows", "my_carbon_row", "carbon_row_x"])
def test_any_other_file_is_read_as_it_is(tmp_path: Path, column: str) -> None:
    source = exported(tmp_path, ["id", "'=text", column], ["1", "'-тире", "x"])
    assert source.header == ("id", "'=text", column)
    assert cells_of(source) == [("1", "'-тире", "x")]


# ---- what is so in every format ------------------------------------------------------------------------------------

Rows: TypeAlias = Sequence[Sequence[str]]
"""The rows of a table; the first names the columns."""


def by_csv(path: Path, rows: Rows) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


def by_json(path: Path, rows: Rows) -> Path:
    header, *others = rows
    lines = [json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in others]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def as_list(path: Path, rows: Rows) -> Path:
    """As isql prints it with `set list on`."""
    header, *others = rows
    pairs = ["".join(f"{name:31} {cell}\n" for name, cell in zip(header, row, strict=True)) for row in others]
    path.write_text("\n".join(pairs), encoding="utf-8")
    return path


def under_headings(path: Path, rows: Rows) -> Path:
    """As isql prints it without."""
    header, *others = [" ".join(f"{cell:12}" for cell in row) for row in rows]
    marks = " ".join(["=" * 12] * len(rows[0]))
    path.write_text("\n".join(["", header, marks, *others, ""]), encoding="utf-8")
    return path


def as_xlsx(path: Path, rows: Rows) -> Path:
    return excel(path, data(*(inline(*row) for row in rows)))


def with_shared_texts(path: Path, rows: Rows) -> Path:
    """A workbook whose texts stand in a part of their own."""
    numbers = iter(range(sum(map(len, rows))))
    cells = ["".join(f'<c t="s"><v>{next(numbers)}</v></c>' for _ in row) for row in rows]
    return excel(path, data(*cells), texts=(f"<t>{cell}</t>" for row in rows for cell in row))


def as_ods(path: Path, rows: Rows) -> Path:
    return odf(path, *(odf_row(*map(odf_text, row)) for row in rows))


@dataclass(frozen=True, slots=True)
class Format:
    """How a table is written, and which cells it can hold."""

    write: Callable[[Path, Rows], Path]
    cells: st.SearchStrategy[str]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12).filter(
    lambda word: word != "<null>"
)
# XML has no other control characters, and no half of a character.
OF_XML = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff_", include_characters="\t\n"),
    max_size=20,
)
FORMATS = {
    "csv": Format(by_csv, TEXTS),
    "json lines": Format(by_json, TEXTS),
    "isql, a list": Format(as_list, WORDS),
    "isql, headings": Format(under_headings, WORDS),
    "xlsx": Format(as_xlsx, OF_XML),
    "xlsx, shared texts": Format(with_shared_texts, st.sampled_from(("а", "x", "1"))),
    "ods": Format(as_ods, OF_XML),
}
HEADER = ("KEY", "ONE", "TWO")
every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))


def opened(path: Path, page_rows: int = 1000) -> Source:
    # Named, for of a few signs that are no Russian letters nobody can tell it.
    return open_input(path, Layout("utf-8"), page_rows=page_rows)


@every_format
@settings(suppress_health_check=SHARED_FIXTURES, max_examples=50)
@given(drawn=st.data())
def test_what_is_written_is_read_back_and_goes_on_after_any_page(
    tmp_path: Path, form: Format, drawn: st.DataObject
) -> None:
    rows = drawn.draw(st.lists(st.tuples(form.cells, form.cells), min_size=2, max_size=12))
    told = [(f"k{number}", *row) for number, row in enumerate(rows)]
    source = opened(form.write(tmp_path / "input", [HEADER, *told]), drawn.draw(st.integers(1, 5)))
    pages = list(source.pages(None))
    read = [row for page in pages for row in page.rows]
    assert source.header == HEADER
    assert [row.cells for row in read] == told
    for number, page in enumerate(pages, 1):
        assert list(source.pages(page.cursor)) == pages[number:]


@pytest.mark.slow
@every_format
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, form: Format) -> None:
    def write(many: int) -> Path:
        rows = ((f"АБ-{number:06}", f"{number},50") for number in range(many))
        return form.write(tmp_path / "input", [HEADER[:2], *rows])

    memory_is_flat(write)


@every_format
def test_a_cell_that_is_too_long_is_named(tmp_path: Path, form: Format) -> None:
    fits = "x" * LONGEST_CELL
    first, last = ("1", "a", "b"), ("3", "a", "b")
    path = tmp_path / "input"
    # What stands under headings has their width.
    if form.write is not under_headings:
        assert cells_of(opened(form.write(path, [HEADER, first, ("2", fits, "b"), last])))[1][1] == fits
        told = why_refused_or_its_row(form.write(path, [HEADER, first, ("2", fits + "x", "b")]), Layout("utf-8"))
        assert "longer than 1000000 characters" in told


@every_format
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, form: Format) -> None:
    rows = [HEADER, *((str(number), "x", "y") for number in range(9))]
    path = form.write(tmp_path / "input", rows)
    pages = opened(path, 1).pages(None)
    next(pages)
    os.utime(path, (1, 1))
    next(pages)  # It was only touched.
    form.write(path, [*rows[:-1], ("8", "x", "z")])
    with pytest.raises(InputRefused, match="the file changed while it was read"):
        list(pages)


@every_format
def test_nothing_to_read(tmp_path: Path, form: Format) -> None:
    path = form.write(tmp_path / "input", [HEADER])
    told = why_refused(path, Layout("utf-8"))
    assert "is empty" in told or "has a header and no rows" in told
    assert rows_of(opened(form.write(path, [HEADER, ("1", "2", "3")])))[0].cells == ("1", "2", "3")
