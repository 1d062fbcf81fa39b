"""JSON lines: the first object names the columns, numbers are exact text."""

from pathlib import Path

import pytest

from checkpoints.records import Refusal
from engine.rows import Row, Source
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from engine.sources.raw.source import LONGEST_CELL
from tests.engine.sources.reading import cells_of, refusals_of, rows_of, why_refused


def written(folder: Path, *lines: str) -> Path:
    path = folder / "input.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def opened(folder: Path, *lines: str, page_rows: int = 1000) -> Source:
    return open_input(written(folder, *lines), Layout(), page_rows=page_rows)


def reason(folder: Path, line: str) -> str:
    """Why the second line of two is refused."""
    source = opened(folder, '{"id": 1, "name": "a"}', line)
    assert rows_of(source) == [Row(1, ("1", "a"))]
    (refusal,) = refusals_of(source)
    assert (refusal.line, refusal.row) == (2, (line.strip(),))
    return refusal.reason


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("50.50", "50.50"),
        ("0.1", "0.1"),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ("1e5", "100000"),
        ("1.5E-3", "0.0015"),
        ("-0", "-0"),
        ('"1E5"', "1E5"),
        ('"00123"', "00123"),
        ("null", ""),
        ("true", "true"),
        ("false", "false"),
        (r'"\u0416\n\ud83d\ude00"', "Ж\n😀"),
        ('""', ""),
    ],
)
def test_values_as_text(tmp_path: Path, value: str, cell: str) -> None:
    assert cells_of(opened(tmp_path, f'{{"id": {value}, "name": 1}}')) == [(cell, "1")]


def test_true_and_false_are_told_from_their_words(tmp_path: Path) -> None:
    source = opened(tmp_path, '{"a": "true", "b": true, "c": 1}\n{"c": false}\n')
    assert rows_of(source) == [
        Row(1, ("true", "true", "1"), frozenset({1})),
        Row(2, ("", "", "false"), frozenset({2})),
    ]


def test_a_key_that_the_first_has_not_refuses_the_row(tmp_path: Path) -> None:
    source = opened(tmp_path, '{"id": 1}', '{"id": 2, "nmae": 3}', '{"id": 3}')
    assert cells_of(source) == [("1",), ("3",)]
    line = '{"id": 2, "nmae": 3}'
    assert refusals_of(source) == [
        Refusal(2, None, line, "the first object has no 'nmae'; its keys are: id", (line,))
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": [1]}', "'id' holds a list; a cell is text, a number, true, false or null"),
        ('{"id": {"a": 1}}', "'id' holds an object"),
        ('{"id": 1, "id": 2}', "the key 'id' is there twice; which is meant?"),
        ('{"id": 1', "column 9: this is not JSON"),
        ("{'id': 1}", "column 2: this is not JSON"),
        ('{"id": 1} {"id": 2}', "column 11: this is not JSON"),
        ("[1, 2]", "an object is expected"),
        ("17", "an object is expected"),
        ("null", 'an object is expected, as {"id": 1}, and there is null'),
        ('{"id": NaN}', "NaN is no number of JSON"),
        ('{"id": 1e999999999}', "1e999999999 is no number that can be written out"),
        (f'{{"id": 1e{"9" * 30}}}', "no number that can be written out"),
        (r'{"id": "\ud83d"}', "'id' holds half of a character (U+D83D)"),
        (r'{"id": "a\u0000"}', "'id' holds a NUL character"),
        (f'{{"id": "{"x" * (LONGEST_CELL + 1)}"}}', "'id' is longer than 1000000 characters"),
        (f'{{"id": {"9" * (LONGEST_CELL + 1)}}}', "'id' is longer than 1000000 characters"),
        ('{"id": ' + "[" * 100_000, "brackets in brackets"),
    ],
)
def test_a_row_that_is_refused(tmp_path: Path, line: str, says: str) -> None:
    assert says in reason(tmp_path, line)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": 1', "line 1, column 9: this is not JSON"),
        ("{}", "line 1: the first object is empty"),
        ('{"": 1}', "column 1 of the header has no name"),
        ('{"id": 1, "ID ": 2}', "columns 1 and 2 of the header have the same name, 'ID'"),
        ('{"id": {"a": 1}}', "line 1: 'id' holds an object"),
    ],
)
def test_a_first_object_that_is_no_header(tmp_path: Path, line: str, says: str) -> None:
    assert says in why_refused(written(tmp_path, line))


def test_a_list_of_objects_is_named(tmp_path: Path) -> None:
    told = why_refused(written(tmp_path, '[{"id": 1},', ' {"id": 2}]'))
    assert "is a list of JSON, and one object a line is expected: write it anew with jq -c '.[]'" in told
