"""Delimited text: what is read, what is refused with its place, and what is told from outside."""

import os
from pathlib import Path

import pytest

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import Row, Source
from engine.sources import detect
from engine.sources.detect import open_input
from engine.sources.raw.charset import LONGEST_LINE
from engine.sources.raw.sample import Layout
from engine.sources.raw.source import LONGEST_CELL
from engine.sources.text.delimited import opens
from tests.engine.sources.reading import cells_of, goes_on_after_every_page, refusals_of, rows_of, why_refused


def written(folder: Path, data: str | bytes) -> Path:
    path = folder / "input.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def delimited(path: Path, layout: Layout | None = None, page_rows: int = 1000) -> Source:
    """Read as delimited text, whatever it looks like."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect, "FORMATS", (opens,))
        source = detect.open_input(path, layout or Layout("utf-8"), page_rows=page_rows)
        assert source.header
    return source


def refused(path: Path, encoding: str = "utf-8") -> str:
    with pytest.raises(InputRefused) as caught:
        list(delimited(path, Layout(encoding)).pages(None))
    return str(caught.value)


BOM = b"\xef\xbb\xbf"
NAMED = Layout("utf-8", columns=("id", "amount"))
TABLE = "договор;сумма\n15Ж;1\n"


@pytest.mark.parametrize(
    ("data", "layout", "header", "rows"),
    [
        *(
            (f"id{one}amount\n00123{one}50.5", Layout("utf-8"), ("id", "amount"), {2: ("00123", "50.5")})
            for one in (";", ",", "\t")
        ),
        # A comma in a name is no delimiter beside a semicolon.
        (
            'Сумма, руб, без НДС;"Договор; номер"\n1 000,50;7\n',
            Layout("utf-8"),
            ("Сумма, руб, без НДС", "Договор; номер"),
            {2: ("1 000,50", "7")},
        ),
        ("id|a;b\n1|2;3\n", Layout("utf-8", "|"), ("id", "a;b"), {2: ("1", "2;3")}),
        ("abonent_id\n17\n", Layout("utf-8"), ("abonent_id",), {2: ("17",)}),
        ('id;"amount,\nroubles"\n1;2\n', Layout("utf-8"), ("id", "amount,\nroubles"), {3: ("1", "2")}),
        # A line is the physical one where the row begins.
        (
            'id;name\r\n\r\n1;"two\r\nlines"\r\n   \r\n;\r\n2;x\r\n"3";"a\n\nb"\r\n4;last',
            Layout("utf-8"),
            ("id", "name"),
            {3: ("1", "two\r\nlines"), 7: ("2", "x"), 8: ("3", "a\n\nb"), 11: ("4", "last")},
        ),
        # Quotes inside an unquoted cell are what they are.
        (
            'id;name\n1;ООО "Ромашка"\n2;"ООО ""Ива"""\n',
            Layout("utf-8"),
            ("id", "name"),
            {2: ("1", 'ООО "Ромашка"'), 3: ("2", 'ООО "Ива"')},
        ),
        # A BOM is no part of the first name.
        *(
            (BOM + TABLE.encode(), Layout(encoding), ("договор", "сумма"), {2: ("15Ж", "1")})
            for encoding in ("auto", "utf-8", "UTF8", "utf-8-sig")
        ),
        *(
            (TABLE.encode(encoding), Layout(encoding), ("договор", "сумма"), {2: ("15Ж", "1")})
            for encoding in ("cp1251", "windows-1251", "koi8-r", "utf-16", "cp866")
        ),
        # Trailing empty cells beyond the header are tolerated.
        ("id;amount\n1;2;;;\n", Layout("utf-8"), ("id", "amount"), {2: ("1", "2")}),
        # A header that only looks like the line of Excel.
        ("sep=x\n1\n", Layout("utf-8"), ("sep=x",), {2: ("1",)}),
        ("sep=;a\n1;2\n", Layout("utf-8"), ("sep=", "a"), {2: ("1", "2")}),
        # Names that are given mean that there is no header.
        ("1;2,5\n3;4\n", NAMED, ("id", "amount"), {1: ("1", "2,5"), 2: ("3", "4")}),
        ("\n1\t2,5\n3\t4", NAMED, ("id", "amount"), {2: ("1", "2,5"), 3: ("3", "4")}),
        ('"1","2,5"\n3,4', NAMED, ("id", "amount"), {1: ("1", "2,5"), 2: ("3", "4")}),
        # The delimiter makes as many cells as there are names.
        ("Иванов; Пётр; брат\t5\n", NAMED, ("id", "amount"), {1: ("Иванов; Пётр; брат", "5")}),
    ],
)
def test_what_is_read(
    tmp_path: Path, data: str | bytes, layout: Layout, header: tuple[str, ...], rows: dict[int, tuple[str, ...]]
) -> None:
    source = delimited(written(tmp_path, data), layout)
    assert source.header == header
    assert rows_of(source) == [Row(line, cells) for line, cells in rows.items()]
    assert refusals_of(source) == []


@pytest.mark.parametrize("announced", ["sep=,", "\ufeffsep=,", '"sep=,"', "\nSEP=,\n"])
def test_the_line_by_which_excel_knows_the_delimiter_is_no_header(tmp_path: Path, announced: str) -> None:
    path = written(tmp_path, f"{announced}\r\n\r\na;b,c\r\n1,2\r\n3\r\n5,6")
    source = delimited(path, page_rows=1)
    first = 4 + announced.count("\n")
    assert source.header == ("a;b", "c")
    assert rows_of(source) == [Row(first, ("1", "2")), Row(first + 2, ("5", "6"))]
    assert [refusal.line for refusal in refusals_of(source)] == [first + 1]
    goes_on_after_every_page(source)


# ---- refused as a whole --------------------------------------------------------------------------------------------

FITS = "x" * LONGEST_CELL
TOO_LONG = "line 2, column 3: a cell begins that is longer than 1000000 characters"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (BOM, "is empty"),
        ("sep=;\n\n", "is empty"),
        ("id;b; ID \n1;2;3\n", "column 1 and column 3 of the header have the same name, 'ID'"),
        ("id; ;x\n1;2;3\n", "column 2 of the header has no name"),
        ("17;100,50\n18;3\n", "line 1: the first line holds numbers (17, 100,50) where the names"),
        (
            "id;name\r\n1;abc\r\n22;д Иванов\r\n".encode("cp1251"),
            "line 3, column 4: byte 0xE4 (byte 20 of the file) is not UTF-8; it looks like CP1251: give --encoding",
        ),
        # Far into a file, and in the middle of a letter.
        *(
            (f"id;name{end}".encode() + f"1;Жук{end}".encode() * 30_000 + b"7;\xd0\xd0\xbe", told)
            for end in ("\n", "\r\n", "\r")
            for told in (f"line 30002, column 3: byte 0xD0 (byte {10 + 8 * 30_000 + 30_001 * len(end)} of the file)",)
        ),
        (b"id;name\n1;\xd0", "line 2, column 3: byte 0xD0"),
        ("id\n1\n".encode("utf-16"), "UTF-16"),
        ("id;n\n1;2\n3\0;4\n", "line 3, column 2: a NUL byte"),
        ("id\n1\n".encode("utf-16-le"), "line 1, column 2: a NUL byte"),
        ('id;name\n1;a\n2;"open\n3;c\n', "line 3, column 3: a quote opens that is never closed"),
        ('id;name;x\n1;"a\nb";"open\n3;c;d\n', "line 3, column 4: a quote opens that is never closed"),
        ('id;name\n1;"""open\n', "line 2, column 3: a quote opens that is never closed"),
        ('id;"name\n1;2\n', "line 1, column 4: a quote opens that is never closed"),
        # It swallows a large file, and is found without reading it all.
        (
            'id;name\n1;"open\n' + "1;some name\n" * 100_000,
            "line 2, column 3: a quote opens that is not closed within 1000000 characters",
        ),
        ('id;name\n1;a\n2;"ООО "Ромашка"";x\n', ", line 3, column 9: 'Р' after the closing quote of a cell"),
        (f"id;name\n1;{FITS}x\n", TOO_LONG),
        (f"id;name\n1;{FITS * 2}\n", TOO_LONG),
        (f"id;name\n1;{FITS * 8}\n", f"line 2 is longer than {LONGEST_LINE}"),
    ],
    ids=lambda given: None if isinstance(given, str) and len(given) < 90 else "data",
)
def test_what_is_refused_with_its_place(tmp_path: Path, data: str | bytes, told: str) -> None:
    assert told in refused(written(tmp_path, data))


def test_what_is_no_text_or_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, told in (
        (tmp_path / "missing.csv", "there is no file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "not a regular file"),
    ):
        assert told in refused(path)
    path = written(tmp_path, b"id;name\n1;\x98\n")
    assert "line 2, column 3: byte 0x98 (byte 11 of the file) is not cp1251" in refused(path, "cp1251")
    for wrong in ("cp12510", "rot13", ""):
        with pytest.raises(InputRefused, match="there is no encoding"):
            delimited(path, Layout(wrong))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert refused(path) == f"{path} cannot be read: Permission denied"


# JSON lines: the first object names the columns, numbers are exact text.


def json_file(folder: Path, *lines: str) -> Path:
    path = folder / "input.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def of_lines(folder: Path, *lines: str, page_rows: int = 1000) -> Source:
    return open_input(json_file(folder, *lines), Layout(), page_rows=page_rows)


def why_second_is_refused(folder: Path, line: str) -> str:
    """Why the second line of two is refused."""
    source = of_lines(folder, '{"id": 1, "name": "a"}', line)
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
    assert cells_of(of_lines(tmp_path, f'{{"id": {value}, "name": 1}}')) == [(cell, "1")]


def test_true_and_false_are_told_from_their_words(tmp_path: Path) -> None:
    source = of_lines(tmp_path, '{"a": "true", "b": true, "c": 1}\n{"c": false}\n')
    assert rows_of(source) == [
        Row(1, ("true", "true", "1"), frozenset({1})),
        Row(2, ("", "", "false"), frozenset({2})),
    ]


def test_a_key_that_the_first_has_not_refuses_the_row(tmp_path: Path) -> None:
    source = of_lines(tmp_path, '{"id": 1}', '{"id": 2, "nmae": 3}', '{"id": 3}')
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
    assert says in why_second_is_refused(tmp_path, line)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": 1', "line 1, column 9: this is not JSON"),
        ("{}", "line 1: the first object is empty"),
        ('{"": 1}', "column 1 of the header has no name"),
        ('{"id": 1, "ID ": 2}', "column 1 and column 2 of the header have the same name, 'ID'"),
        ('{"id": {"a": 1}}', "line 1: 'id' holds an object"),
    ],
)
def test_a_first_object_that_is_no_header(tmp_path: Path, line: str, says: str) -> None:
    assert says in why_refused(json_file(tmp_path, line))


def test_a_list_of_objects_is_named(tmp_path: Path) -> None:
    told = why_refused(json_file(tmp_path, '[{"id": 1},', ' {"id": 2}]'))
    assert "is a list of JSON, and one object a line is expected: write it anew with jq -c '.[]'" in told
