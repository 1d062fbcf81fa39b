"""The door: what an input is, is told by its first bytes, and by its name where they leave it open."""

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputRefused
from engine.rows import Source
from engine.sources.detect import open_input
from engine.sources.exported import COLUMNS, RUN, as_it_was, harmless
from engine.sources.raw.sample import Layout
from tests.engine.sources.reading import cells_of, refusals_of, why_refused

CSV = "id;name\n1;a\n"
JSON = '{"id": 1, "name": "a"}\n'


def written(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a", "a.xlsx", "a.json.bak"])
def test_the_bytes_say_more_than_the_name(tmp_path: Path, name: str) -> None:
    for text in (CSV, JSON, f"\n\n{JSON}", codecs.BOM_UTF8.decode() + JSON, "[id];name\n1;a\n"):
        source = open_input(written(tmp_path, name, text), Layout())
        assert cells_of(source) == [("1", "a")]
        assert source.notes == (("JSON lines",) if "{" in text else ())


def test_the_name_says_the_rest(tmp_path: Path) -> None:
    assert "column 1: this is not JSON" in why_refused(
        written(tmp_path, "a.jsonl", "17\n18 x\n18;\n".replace("17", "x"))
    )
    assert cells_of(open_input(written(tmp_path, "a.txt", "17\n18\n"), Layout())) == [("17",), ("18",)]
    told = why_refused(written(tmp_path, "a.csv", "17\n18\n"))
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
    assert says in why_refused(written(tmp_path, "a.xls", data), layout)


def test_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    assert "there is no file" in why_refused(tmp_path / "missing")
    assert "is a folder" in why_refused(tmp_path)


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (Layout(delimiter=";;"), "delimiter ;;: one character is expected"),
        (Layout(delimiter='"'), "one character is expected"),
        (Layout(encoding="cp12510"), "there is no encoding 'cp12510'"),
        (Layout(columns=("a", " ", "b")), "columns a, ,b: the name number 2 is empty"),
        (Layout(columns=("a", "b", " A")), "columns a,b, A: the name 'A' is there twice"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused_at_once(layout: Layout, says: str) -> None:
    with pytest.raises(InputRefused) as caught:
        open_input(None, layout)
    assert says in str(caught.value)


def test_json_is_read_as_a_table_where_that_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "[1];[2]\n1;2\n")
    assert open_input(path, Layout()).header == ("[1]", "[2]")


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


def opened(folder: Path, header: Sequence[str], *rows: Sequence[str]) -> Source:
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerows([header, *rows])
    path = folder / "rows.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return open_input(path, Layout())


@pytest.mark.parametrize("column", [*COLUMNS, "carbon_row_2", " Carbon_Line ", RUN, "carbon_run_2"])
def test_one_column_of_ours_tells_an_export(tmp_path: Path, column: str) -> None:
    source = opened(tmp_path, ["id", "'=text", column], ["1", "'-тире", "x"], ["2", "''=1", "y"], ["'-a"])
    assert source.header == ("id", "=text", column)
    assert cells_of(source) == [("1", "-тире", "x"), ("2", "'=1", "y")]
    assert [refusal.row for refusal in refusals_of(source)] == [("-a",)]


@pytest.mark.parametrize("column", ["row", "carbon", "carbon_rows", "my_carbon_row", "carbon_row_x"])
def test_any_other_file_is_read_as_it_is(tmp_path: Path, column: str) -> None:
    source = opened(tmp_path, ["id", "'=text", column], ["1", "'-тире", "x"])
    assert source.header == ("id", "'=text", column)
    assert cells_of(source) == [("1", "'-тире", "x")]
