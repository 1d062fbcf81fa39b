"""Texts, delimited, of JSON and as isql prints: what is read, and what is refused with its place."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from engine.errors import InputRefused
from engine.job import Row, Source
from engine.sources import detect
from engine.sources.detect import open_input
from engine.sources.sample import LONGEST_CELL, LONGEST_LINE, Layout
from engine.sources.text import open_delimited
from tests.engine.sources.reading import (
    cells_of,
    goes_on_after_every_page,
    memory_is_flat,
    refusals_of,
    rows_of,
    why_refused,
    written,
)
from tests.firebird_server import PROGRAM, FirebirdServer


def delimited(path: Path, layout: Layout | None = None, page_rows: int = 1000) -> Source:
    """Read as delimited text, whatever it looks like."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect, "FORMATS", (open_delimited,))
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

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert refused(path) == f"{path} cannot be read: Permission denied"


# JSON lines: the first object names the columns, numbers are exact text.


def of_lines(folder: Path, *lines: str, page_rows: int = 1000) -> Source:
    return open_input(written(folder, "\n".join(lines), "input.jsonl"), Layout(), page_rows=page_rows)


def why_second_is_refused(folder: Path, line: str) -> str:
    """Why the second line of three is refused."""
    source = of_lines(folder, '{"id": 1, "name": "a"}', line, '{"id": 3}')
    assert rows_of(source) == [Row(1, ("1", "a")), Row(3, ("3", ""))]
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


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": 2, "nmae": 3}', "the first object has no 'nmae'; its keys are: id, name"),
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
        (
            '[{"id": 1},\n {"id": 2}]',
            "is a list of JSON, and one object a line is expected: write it anew with jq -c",
        ),
    ],
)
def test_a_first_object_that_is_no_header(tmp_path: Path, line: str, says: str) -> None:
    assert says in why_refused(written(tmp_path, line, "input.jsonl"))


# ---- what isql prints, in all its forms ----------------------------------------------------------------------------

LIST = "as isql prints it with set list on"
HEADINGS = "as isql prints it, under headings"
BARE = "as isql prints it with set heading off"


def opened(path: Path, *columns: str, page_rows: int = 1000, encoding: str = "auto") -> Source:
    return open_input(path, Layout(columns=columns, encoding=encoding), page_rows=page_rows)


# ---- the real isql -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Isql:
    """The isql of Firebird 3 on a database with 100 subscribers; `reader` reads the same."""

    server: FirebirdServer
    dsn: Dsn
    folder: Path
    reader: Database

    def prints(self, query: str, charset: str = "UTF8") -> Path:
        """The file into which a query's rows are printed."""
        path = self.folder / "printed"
        login = ["-user", self.dsn.user, "-password", self.server.password, "-ch", charset]
        environment = os.environ | {"FIREBIRD": str(self.server.folder / "home")}
        with path.open("wb") as output:
            command = [str(PROGRAM.with_name("isql-fb")), "-q", *login, self.dsn.database]
            subprocess.run(command, input=query.encode(), stdout=output, env=environment, check=True)  # noqa: S603 - our own query
        return path

    def has(self, query: str) -> list[tuple[str, ...]]:
        """The same rows by another way, NULL as ""."""
        return [tuple("" if cell is None else str(cell) for cell in row) for row in self.reader.query(query)]


@pytest.fixture(scope="module")
def isql(firebird_server: FirebirdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isql]:
    dsn = firebird_server.populated(abonents=100)
    with Database(dsn) as database:
        yield Isql(firebird_server, dsn, tmp_path_factory.mktemp("printed"), database)


WIDE = "select first 50 id, name, contract_number, cast(id + 0.25 as numeric(10, 2)) third from abonents order by id"
IDS = "select first 3 id from abonents order by id"


@pytest.mark.parametrize("charset", ["UTF8", "WIN1251", "NONE"])
def test_all_forms_say_what_is_there(isql: Isql, charset: str) -> None:
    there = isql.has(WIDE)
    assert len(there) == 50
    assert any(not row[0].isascii() or not row[1].isascii() for row in there)
    listed = opened(isql.prints(f"set list on; {WIDE};", charset))
    assert (listed.header, listed.notes[0]) == (("ID", "NAME", "CONTRACT_NUMBER", "THIRD"), LIST)
    assert cells_of(listed) == there
    headed = opened(isql.prints(f"{WIDE};", charset))
    assert (headed.header, headed.notes[0]) == (listed.header, HEADINGS)
    assert cells_of(headed) == there
    # The prefixes of contract numbers are too few letters for their encoding to be told.
    encoding = "cp1251" if charset == "WIN1251" else "auto"
    numbers = isql.prints(f"set heading off; {WIDE.replace('name, ', '')};", charset)
    bare = opened(numbers, "id", "number", "third", encoding=encoding)
    assert (bare.header, bare.notes[0]) == (("id", "number", "third"), BARE)
    assert cells_of(bare) == [(row[0], *row[2:]) for row in there]


def test_several_wide_columns(isql: Isql) -> None:
    query = "select first 30 name, email, id, name n2, create_date, contract_number c, 1e0 / 4 d from abonents"
    there = [(*row[:4], row[4] and f"{row[4]}.0000", row[5], "0.2500000000000000") for row in isql.has(query)]
    assert cells_of(opened(isql.prints(f"set list on; {query};"))) == there
    assert cells_of(opened(isql.prints(f"{query};"))) == there


def test_bare_ids_joined_values_and_the_lines_that_were_printed(isql: Isql) -> None:
    source = opened(isql.prints(f"set heading off; {IDS};"))
    assert source.header == ("id",)
    assert rows_of(source) == [Row(line, row) for line, row in enumerate(isql.has(IDS), 2)]
    source = opened(isql.prints("set heading off; select first 3 id || ' ' || (id + 0.5) from abonents;"), "a", "b")
    assert cells_of(source) == isql.has("select first 3 id, id + 0.5 from abonents")
    listed = rows_of(opened(isql.prints(f"set list on; {WIDE};")))
    assert [row.line for row in listed[:3]] == [2, 7, 12]
    headed = rows_of(opened(isql.prints(f"{WIDE};")))
    assert [row.line for row in headed[18:22]] == [22, 23, 27, 28]


def test_a_value_with_a_line_end_refuses_its_row(isql: Isql) -> None:
    query = "select first 3 id, cast('a' || ascii_char(10) || 'b' as varchar(20)) nl, 5 five from abonents"
    for form in ("set list on; ", ""):
        source = opened(isql.prints(f"{form}{query};"))
        assert rows_of(source) == []
        assert "a value" in refusals_of(source)[0].reason
    source = opened(isql.prints(f"set list on; {query.replace(', 5 five', '')};"))
    assert rows_of(source) == []
    assert [refusal.line for refusal in refusals_of(source)] == [2, 6, 10]


def test_counts_are_no_rows_no_rows_nothing_to_read_and_two_columns_of_one_name_no_two_rows(isql: Isql) -> None:
    assert "is empty" in why_refused(isql.prints("set list on; select id from abonents where 1 = 0;"))
    for form in ("set heading off; ", "set list on; ", ""):
        source = opened(isql.prints(f"set count on; {form}{IDS};"))
        assert (cells_of(source), refusals_of(source)) == (isql.has(IDS), [])
    for twins in ("set list on; select first 2 id, id from abonents;", "select first 2 id, id from abonents;"):
        told = why_refused(isql.prints(twins))
        assert "line 2" in told
        assert "have the same name, 'ID'" in told


# ---- as pipes and hands have left it ------------------------------------------------------------------------------


def pair(name: str, value: str) -> str:
    return f"{name:31} {value}\n"


def table(*rows: str, heading: str = "          ID NAME                 ") -> str:
    return "\n".join(["", heading, "============ ====================", *rows, ""])


LONG, LONGER = "N" * 31, "M" * 40
BY_BYTES = f"Иванов{' ' * 8}"
"""Padded by an old isql to 20 bytes."""
IN_ONE = "several values in the one column contract_number"
WITH_A_SPACE = (
    "3 words for 2 columns: a value has a space in it, or is empty. Where only the last column has spaces, name the"
    " columns number,amount...; with set list on, isql prints each value with its name"
)
NO_ID = "is not an id: the column has to be named by what it holds"


@pytest.mark.parametrize(
    ("text", "columns", "rows", "refused"),
    [
        # Lists: without their blank lines, cut off, with something between the rows, with long names.
        (
            "".join(pair("ID", str(number)) + pair("NAME", "") for number in range(3)),
            (),
            {1: ("0", ""), 3: ("1", ""), 5: ("2", "")},
            {},
        ),
        (
            pair("ID", "1") + pair("NAME", "a") + "\n" + pair("ID", "2"),
            (),
            {1: ("1", "a")},
            {4: "it ends before the column NAME"},
        ),
        (
            pair("ID", "1") + "\nStatement failed, SQLSTATE = 42000\n\n" + pair("ID", "2"),
            (),
            {5: ("2",)},
            {1: "line 3 is not the beginning of a row; "},
        ),
        (f"{LONG} 1\n{LONGER} 2\n\n{LONG} 3\n{LONGER} 4\n", (), {1: ("1", "2"), 4: ("3", "4")}, {}),
        # Headings: with spaces cut off, padded by bytes, and lines that do not stand under them.
        (
            table("           1 Иванов И. И.", "           2 <null>", heading="          ID NAME"),
            (),
            {4: ("1", "Иванов И. И."), 5: ("2", "")},
            {},
        ),
        (
            table(f"           1 {BY_BYTES} ", "           2 Ivanov               "),
            (),
            {4: ("1", "Иванов"), 5: ("2", "Ivanov")},
            {},
        ),
        (
            "\nNAME             N \n================ = \nИванов     5 \nIvanov           6 \n",
            (),
            {4: ("Иванов", "5"), 5: ("Ivanov", "6")},
            {},
        ),
        (
            table("           1 a                    ", "           2 b ", "1234567890123b                    "),
            (),
            {4: ("1", "a")},
            {5: "its 15 characters do not stand under the headings, of 34", 6: ""},
        ),
        (
            "AAAA B\n==== =\nЖЖ 5 6\nЖЖ   7\n",
            (),
            {4: ("ЖЖ", "7")},
            {3: "where its cells begin can be told in two ways; print with set list on"},
        ),
        # Bare values.
        (
            "17 100.00\nАБ 1 100.00\n18\n",
            ("number", "amount"),
            {1: ("17", "100.00")},
            {2: WITH_A_SPACE, 3: "1 word for 2 columns"},
        ),
        (
            "17 Дом 5,  кв. 7 \n18 <null>\n19\n",
            ("id", "address..."),
            {1: ("17", "Дом 5,  кв. 7"), 2: ("18", "")},
            {3: ""},
        ),
        (
            "\n15 Ж     \n00123     \n<null>    \n17         100.00\n",
            ("contract_number",),
            {2: ("15 Ж",), 3: ("00123",), 4: ("",)},
            {5: IN_ONE},
        ),
        (
            "17\n00123\nАБ-1\n-5\n18 19\n٣\n18\n",
            (),
            {1: ("17",), 7: ("18",)},
            {2: f"'00123' {NO_ID}"} | dict.fromkeys((3, 4, 5, 6), ""),
        ),
        ("\nАБ-00001      \n00123         \n", (), {}, {2: NO_ID, 3: NO_ID}),
        ("\n  17 100,50 \n", ("id", "amount"), {2: ("17", "100,50")}, {}),
        # A table with commas is not taken for what isql prints.
        ("\nid, amount \n1,2\n", (), {3: ("1", "2")}, {}),
        *(
            (text, ("id", "number..."), {1: ("17", "АБ 1"), 2: ("18", "x")}, {})
            for text in ("17;АБ 1\n18;x\n", "17\tАБ 1\n18\tx\n", '"17","АБ 1"\n18,x\n')
        ),
    ],
)
def test_what_is_read_and_which_rows_are_refused(
    tmp_path: Path,
    text: str,
    columns: tuple[str, ...],
    rows: dict[int, tuple[str, ...]],
    refused: dict[int, str],
) -> None:
    source = opened(written(tmp_path, text, "printed"), *columns)
    assert rows_of(source) == [Row(line, cells) for line, cells in rows.items()]
    told = {refusal.line: refusal.reason for refusal in refusals_of(source)}
    assert told.keys() == refused.keys()
    assert [line for line, reason in refused.items() if reason not in told[line]] == [], told


NO_BEGINNING = "line 1: it cannot be told from the headings where the columns begin; print with set list on"
FITTING = pair("ID", "1") + pair("NAME", "x" * LONGEST_CELL)


@pytest.mark.parametrize(
    ("text", "layout", "told"),
    [
        (
            pair("ID", "1") + "\n" + pair("ID", "2"),
            Layout(columns=("a", "b")),
            "names its columns itself, from line 1 on: leave --columns a,b out",
        ),
        (
            "\nID \n== \n 1 \n",
            Layout(columns=("a",)),
            "names its columns itself, from line 2 on: leave --columns a out",
        ),
        (f"{'A':100} the name\n{'=' * 79} {'=' * 79}\nx\n", Layout(), NO_BEGINNING),
        (
            "\n          17      100.00 \n",
            Layout(),
            "line 2: 2 values and no names of columns. Name them with --columns a,b, or print with set list on",
        ),
        ("17 100.00\n18 5\n", Layout(), "Name them with --columns a,b"),
        (
            "17 100,50\n",
            Layout(columns=("id", "amount")),
            "line 1: the line can be taken apart at its commas and at its spaces",
        ),
        (
            pair("ID", "1") + pair("NAME", "a") + FITTING.replace("x", "xx", 1),
            Layout(),
            ", line 3: column 2 is longer than 1000000 characters",
        ),
    ],
    ids=["names twice", "names twice, headings", "wide", "bare", "bare without a margin", "commas", "too long"],
)
def test_what_is_refused_as_a_whole(tmp_path: Path, text: str, layout: Layout, told: str) -> None:
    assert told in why_refused(written(tmp_path, text, "printed"), layout)


def test_a_block_without_an_end_is_not_held(tmp_path: Path) -> None:
    memory_is_flat(lambda rows: written(tmp_path, pair("ID", "1") + pair("ID", "2") + "line\n" * rows, "printed"))


# ---- words, as the shell's read takes them -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns", "rows", "refused"),
    [
        ("  17 \t 5,00\n\n18 6;7\n", ("id", "sum"), [("17", "5,00"), ("18", "6;7")], {}),
        # Whatever it looks like.
        ("ID                              17\n18,5 x\n", ("a", "b"), [("ID", "17"), ("18,5", "x")], {}),
        # The last column takes the rest; what is behind the last is passed over.
        ("17 a  b\n18 c\n", ("id", "name..."), [("17", "a  b"), ("18", "c")], {}),
        (" a  b \n", ("line...",), [("a  b",)], {}),
        ("17 5 x y\n18 6\n19\n", ("id", "sum", "..."), [("17", "5"), ("18", "6")], {3: "1 word for 2 columns"}),
        (
            "17\n18 19\n",
            ("id",),
            [("17",)],
            {2: "2 words for 1 column: a value has a space in it, or is empty"},
        ),
    ],
)
def test_a_line_is_taken_apart_at_any_white_space(
    tmp_path: Path, text: str, columns: tuple[str, ...], rows: list[tuple[str, ...]], refused: dict[int, str]
) -> None:
    source = open_input(written(tmp_path, text), Layout(columns=columns, delimiter=" "))
    assert cells_of(source) == rows
    assert source.notes == ("columns with spaces between them",)
    told = {refusal.line: refusal.reason for refusal in refusals_of(source)}
    assert told.keys() == refused.keys()
    assert all(told[line].startswith(reason) for line, reason in refused.items())
