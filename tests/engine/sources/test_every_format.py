"""What is so in every format: a row a format, written by the program's own means or by hand."""

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
from engine.rows import Source
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from engine.sources.raw.source import LONGEST_CELL
from tests.conftest import SHARED_FIXTURES
from tests.engine.sources.reading import cells_of, memory_is_flat, rows_of, why_refused, why_refused_or_its_row
from tests.engine.sources.workbook.writing import data, excel, inline, odf, odf_row, odf_text

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
