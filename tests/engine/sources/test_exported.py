"""What an export has made harmless is read as it was before, and what no export has written is left alone."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rows import Source
from engine.sources.detect import open_input
from engine.sources.exported import COLUMNS, RUN, as_it_was, harmless
from engine.sources.raw.sample import Layout
from tests.engine.sources.reading import cells_of, refusals_of


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
