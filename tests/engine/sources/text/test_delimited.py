import csv
import gzip
import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import Row, Source
from engine.sources.detect import open_input
from engine.sources.raw.charset import LONGEST_LINE
from engine.sources.raw.original import FileOnDisk
from engine.sources.raw.sample import Layout, Sample
from engine.sources.raw.source import LARGEST_PAGE, LONGEST_CELL
from engine.sources.text.delimited import opens
from tests.conftest import SHARED_FIXTURES
from tests.engine.sources.reading import goes_on_after_every_page, memory_is_flat, refusals_of, rows_of


def written(folder: Path, data: str | bytes) -> Path:
    path = folder / "input.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def delimited(
    path: Path,
    *,
    encoding: str = "utf-8",
    delimiter: str = "",
    columns: tuple[str, ...] = (),
    page_rows: int = 1000,
) -> Source:
    layout = Layout(encoding, delimiter, columns=columns)
    return opens(Sample(FileOnDisk(path), layout, page_rows))[0]


def refused(path: Path, encoding: str = "utf-8") -> str:
    with pytest.raises(InputRefused) as caught:
        list(delimited(path, encoding=encoding).pages(None))
    return str(caught.value)


# ---- what is read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    lines = ["contract_number", "amount"], ["00123", "50.5"]
    path = written(tmp_path, "\n".join(delimiter.join(line) for line in lines))
    source = delimited(path)
    assert source.header == ("contract_number", "amount")
    assert rows_of(source) == [Row(2, ("00123", "50.5"))]


def test_a_comma_in_a_name_is_no_delimiter_beside_a_semicolon(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, 'Сумма, руб, без НДС;"Договор; номер"\n1 000,50;7\n'))
    assert source.header == ("Сумма, руб, без НДС", "Договор; номер")
    assert rows_of(source) == [Row(2, ("1 000,50", "7"))]


@pytest.mark.parametrize("announced", ["sep=,", "\ufeffsep=,", '"sep=,"', "\nSEP=,\n"])
def test_the_line_by_which_excel_knows_the_delimiter_is_no_header(tmp_path: Path, announced: str) -> None:
    source = delimited(written(tmp_path, f"{announced}\r\n\r\na;b,c\r\n1,2\r\n3\r\n5,6"), page_rows=1)
    first = 4 + announced.count("\n")
    assert source.header == ("a;b", "c")
    assert rows_of(source) == [Row(first, ("1", "2")), Row(first + 2, ("5", "6"))]
    assert [refusal.line for refusal in refusals_of(source)] == [first + 1]
    goes_on_after_every_page(source)


@pytest.mark.parametrize("delimiter", ["|", "\t", ";"])
def test_what_that_line_says_counts_for_rows_without_a_header_too(tmp_path: Path, delimiter: str) -> None:
    path = written(tmp_path, f"sep={delimiter}\n1,5{delimiter}2\n")
    for source in (delimited(path, columns=("a", "b")), open_input(path, Layout(columns=("a", "b")))):
        assert rows_of(source) == [Row(2, ("1,5", "2"))]
    assert rows_of(delimited(path, columns=("a", "b"), delimiter=","))[0].cells == ("1", f"5{delimiter}2")


def test_a_file_with_nothing_behind_that_line_is_empty(tmp_path: Path) -> None:
    assert "is empty" in refused(written(tmp_path, "sep=;\n\n"))


def test_a_header_that_only_looks_like_it_is_one(tmp_path: Path) -> None:
    assert delimited(written(tmp_path, "sep=x\n1\n")).header == ("sep=x",)
    assert delimited(written(tmp_path, "sep=;a\n1;2\n")).header == ("sep=", "a")


def test_one_column_is_a_file_too(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "abonent_id\n17\n"))
    assert source.header == ("abonent_id",)
    assert rows_of(source) == [Row(2, ("17",))]


def test_a_line_is_the_physical_one_where_the_row_begins(tmp_path: Path) -> None:
    text = 'id;name\r\n\r\n1;"two\r\nlines"\r\n   \r\n;\r\n2;x\r\n"3";"a\n\nb"\r\n4;last'
    rows = rows_of(delimited(written(tmp_path, text)))
    assert rows == [
        Row(3, ("1", "two\r\nlines")),
        Row(7, ("2", "x")),
        Row(8, ("3", "a\n\nb")),
        Row(11, ("4", "last")),
    ]


def test_a_name_may_hold_a_line_end(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, 'id;"amount,\nroubles"\n1;2\n'))
    assert source.header == ("id", "amount,\nroubles")
    assert rows_of(source) == [Row(3, ("1", "2"))]


def test_quotes_inside_an_unquoted_cell_are_what_they_are(tmp_path: Path) -> None:
    rows = rows_of(delimited(written(tmp_path, 'id;name\n1;ООО "Ромашка"\n2;"ООО ""Ива"""\n')))
    assert [row.cells[1] for row in rows] == ['ООО "Ромашка"', 'ООО "Ива"']


@pytest.mark.parametrize("encoding", ["auto", "utf-8", "UTF8", "utf-8-sig"])
def test_a_bom_is_no_part_of_the_first_name(tmp_path: Path, encoding: str) -> None:
    source = delimited(written(tmp_path, b"\xef\xbb\xbf" + "договор;x\n1;ё\n".encode()), encoding=encoding)
    assert source.header == ("договор", "x")
    assert rows_of(source) == [Row(2, ("1", "ё"))]


@pytest.mark.parametrize("encoding", ["cp1251", "windows-1251", "koi8-r", "utf-16", "cp866"])
def test_other_encodings_by_their_name(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "договор;сумма\n15Ж;1\n".encode(encoding))
    assert rows_of(delimited(path, encoding=encoding)) == [Row(2, ("15Ж", "1"))]


def test_trailing_empty_cells_beyond_the_header_are_tolerated(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "id;amount\n1;2;;;\n"))
    assert rows_of(source) == [Row(2, ("1", "2"))]


def test_rows_of_the_wrong_width_are_refused_one_by_one(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "id;amount\n1\n2;3\n4;5;6\n"))
    assert rows_of(source) == [Row(3, ("2", "3"))]
    assert refusals_of(source) == [
        Refusal(2, None, "1", "the header has 2 cells, this row 1", ("1",)),
        Refusal(4, None, "4", "the header has 2 cells, this row 3", ("4", "5", "6")),
    ]


def test_the_name_and_the_digest_are_the_files(tmp_path: Path) -> None:
    path = written(tmp_path, "id\n1\n")
    source = delimited(path)
    assert source.name == str(path)
    assert source.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.is_read_whole


def test_no_rows_and_only_refusals_are_two_things(tmp_path: Path) -> None:
    assert "a header and no rows" in refused(written(tmp_path, "id;amount\n"))
    assert len(refusals_of(delimited(written(tmp_path, "id;amount\n1\n")))) == 1


# ---- pages ---------------------------------------------------------------------------------------------------------


def test_goes_on_exactly_after_every_page(tmp_path: Path) -> None:
    text = "id;name\n" + "".join(f'{number};"a\n{number}"\n\n' for number in range(23))
    source = delimited(written(tmp_path, text), page_rows=5)
    pages = list(source.pages(None))
    whole = [row for page in pages for row in page.rows]
    assert [len(page.rows) for page in pages] == [5, 5, 5, 5, 3]
    for number, page in enumerate(pages, 1):
        assert rows_of(source, page.cursor) == whole[5 * number :]


def test_refused_rows_fill_a_page_as_well(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "id;amount\n" + "1\n" * 12), page_rows=5)
    assert [len(page.refusals) for page in source.pages(None)] == [5, 5, 2]


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(suppress_health_check=SHARED_FIXTURES)
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=12),
    delimiter=st.sampled_from([";", ",", "\t"]),
    page_rows=st.integers(1, 5),
)
def test_what_csv_has_written_is_read_back(
    tmp_path: Path, rows: list[list[str]], delimiter: str, page_rows: int
) -> None:
    told = [[f"k{number}", *row] for number, row in enumerate(rows)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([["key", "one", "two", "three"], *told])
    source = delimited(written(tmp_path, text.getvalue()), page_rows=page_rows)
    pages = list(source.pages(None))
    read = [row for page in pages for row in page.rows]
    assert [list(row.cells) for row in read] == told
    middle = pages[len(pages) // 2]
    assert rows_of(source, middle.cursor) == read[sum(len(page.rows) for page in pages[: len(pages) // 2 + 1]) :]


# ---- refused as a whole --------------------------------------------------------------------------------------------


def test_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path / "missing.csv")
    assert "is a folder" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")
    with pytest.raises(InputRefused, match="there is no file"):
        _ = delimited(tmp_path / "missing.csv").digest


def test_an_unreadable_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "id\n1\n")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert refused(path) == f"{path} cannot be read: Permission denied"


@pytest.mark.parametrize("data", ["", "\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path: Path, data: str | bytes) -> None:
    assert "is empty" in refused(written(tmp_path, data))


def test_a_header_with_names_twice_or_none(tmp_path: Path) -> None:
    assert "columns 1 and 3 of the header have the same name, 'ID'" in refused(
        written(tmp_path, "id;b; ID \n1;2;3\n")
    )
    assert "column 2 of the header has no name" in refused(written(tmp_path, "id; ;x\n1;2;3\n"))


def test_bytes_of_cp1251_are_named_with_their_place(tmp_path: Path) -> None:
    path = written(tmp_path, "id;name\r\n1;abc\r\n22;д Иванов\r\n".encode("cp1251"))
    assert refused(path) == (
        f"{path}, line 3, column 4: byte 0xE4 (byte 20 of the file) is not UTF-8; it looks like CP1251: "
        "give --encoding cp1251"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_bad_byte_far_into_the_file_has_its_place(tmp_path: Path, end: str) -> None:
    good = f"id;name{end}" + f"1;Жук{end}" * 30_000
    path = written(tmp_path, good.encode() + b"7;\xd0\xd0\xbe")
    text = refused(path)
    assert "line 30002, column 3: byte 0xD0" in text
    assert f"(byte {len(good.encode()) + 3} of the file)" in text


def test_a_file_cut_in_the_middle_of_a_letter(tmp_path: Path) -> None:
    assert "line 2, column 3: byte 0xD0" in refused(written(tmp_path, b"id;name\n1;\xd0"))


def test_a_codec_that_does_not_fit_or_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, b"id;name\n1;\x98\n")
    assert "line 2, column 3: byte 0x98 (byte 11 of the file) is not cp1251" in refused(path, "cp1251")
    for wrong in ("cp12510", "rot13", ""):
        with pytest.raises(InputRefused, match="there is no encoding"):
            delimited(path, encoding=wrong)


def test_other_kinds_of_file_are_named(tmp_path: Path) -> None:
    workbook, archive = tmp_path / "a.xlsx", tmp_path / "a.zip"
    with zipfile.ZipFile(workbook, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("xl/workbook.xml", "<workbook/>")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.csv", "id;amount")
    assert refused(workbook).endswith("is an Excel workbook: save it as CSV UTF-8")
    assert "is a ZIP archive" in refused(archive)
    assert "gzip" in refused(written(tmp_path, gzip.compress(b"id\n1\n", mtime=0)))
    assert "Excel workbook of the old kind" in refused(
        written(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9))
    )
    assert "UTF-16" in refused(written(tmp_path, "id\n1\n".encode("utf-16")))


def test_nul_bytes(tmp_path: Path) -> None:
    assert "line 3, column 2: a NUL byte" in refused(written(tmp_path, "id;n\n1;2\n3\0;4\n"))
    assert "line 1, column 2: a NUL byte" in refused(written(tmp_path, "id\n1\n".encode("utf-16-le")))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('id;name\n1;a\n2;"open\n3;c\n', "line 3, column 3"),
        ('id;name;x\n1;"a\nb";"open\n3;c;d\n', "line 3, column 4"),
        ('id;name\n1;"""open\n', "line 2, column 3"),
        ('id;"name\n1;2\n', "line 1, column 4"),
    ],
)
def test_a_quote_that_never_closes_is_named_where_it_opens(tmp_path: Path, text: str, place: str) -> None:
    assert f"{place}: a quote opens that is never closed" in refused(written(tmp_path, text))


def test_a_quote_that_swallows_a_large_file_is_found_without_reading_it_all(tmp_path: Path) -> None:
    path = written(tmp_path, 'id;name\n1;"open\n' + "1;some name\n" * 100_000)
    assert "line 2, column 3: a quote opens that is not closed within 1000000 characters" in refused(path)


def test_a_single_quote_inside_a_quoted_cell(tmp_path: Path) -> None:
    path = written(tmp_path, 'id;name\n1;a\n2;"ООО "Ромашка"";x\n')
    assert refused(path).startswith(f"{path}, line 3, column 9: 'Р' after the closing quote of a cell")


def test_a_cell_that_is_too_long(tmp_path: Path) -> None:
    fits = "x" * LONGEST_CELL
    assert len(rows_of(delimited(written(tmp_path, f"id;name\n1;{fits}\n")))) == 1
    told = "line 2, column 3: a cell begins that is longer than 1000000 characters"
    assert told in refused(written(tmp_path, f"id;name\n1;{fits}x\n"))
    assert told in refused(written(tmp_path, f"id;name\n1;{fits * 2}\n"))
    assert f"line 2 is longer than {LONGEST_LINE}" in refused(written(tmp_path, f"id;name\n1;{fits * 8}\n"))


# ---- told from outside ---------------------------------------------------------------------------------------------


def test_a_delimiter_that_is_given(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "id|a;b\n1|2;3\n"), delimiter="|")
    assert source.header == ("id", "a;b")
    assert rows_of(source) == [Row(2, ("1", "2;3"))]


@pytest.mark.parametrize("text", ["1;2,5\n3;4\n", "\n1\t2,5\n3\t4", '"1","2,5"\n3,4'])
def test_names_that_are_given_mean_that_there_is_no_header(tmp_path: Path, text: str) -> None:
    source = delimited(written(tmp_path, text), columns=("id", "amount"))
    assert source.header == ("id", "amount")
    assert [row.cells for row in rows_of(source)] == [("1", "2,5"), ("3", "4")]
    assert rows_of(source)[0].line == (2 if text.startswith("\n") else 1)


def test_the_delimiter_makes_as_many_cells_as_there_are_names(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "Иванов; Пётр; брат\t5\n"), columns=("name", "amount"))
    assert rows_of(source) == [Row(1, ("Иванов; Пётр; брат", "5"))]


def test_rows_that_do_not_fit_the_names_that_are_given(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "1;2;3\n"), columns=("id", "amount"))
    assert [refusal.reason for refusal in refusals_of(source)] == ["the header has 2 cells, this row 3"]


def test_numbers_are_no_names(tmp_path: Path) -> None:
    told = refused(written(tmp_path, "17;100,50\n18;3\n"))
    assert "line 1: the first line holds numbers (17, 100,50) where the names of the columns are expected" in told
    assert "columns a,b" in told


# ---- a file that changes -------------------------------------------------------------------------------------------

CHANGED = "the file changed while it was read"


@pytest.mark.parametrize("longer", [False, True])
def test_a_file_that_changes_between_two_pages(tmp_path: Path, longer: bool) -> None:
    text = "id;amount\n" + "".join(f"{number};5\n" for number in range(100_000))
    path = written(tmp_path, text)
    pages = delimited(path, page_rows=10).pages(None)
    next(pages)
    written(tmp_path, text + "1;1\n" if longer else text.replace("99999;5", "99999;6"))
    with pytest.raises(InputRefused, match=CHANGED):
        list(pages)


def test_a_file_that_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "id;amount\n1;5\n2;6\n")
    pages = delimited(path, page_rows=1).pages(None)
    next(pages)
    (tmp_path / "other").write_text("id;amount\n1;50\n2;60\n")
    (tmp_path / "other").replace(path)
    with pytest.raises(InputRefused, match=CHANGED):
        list(pages)


def test_columns_that_change_places_after_the_header_was_read(tmp_path: Path) -> None:
    source = delimited(written(tmp_path, "id;amount\n17;5\n"))
    assert source.header == ("id", "amount")
    written(tmp_path, "amount;id\n5;17\n")
    with pytest.raises(InputRefused, match=CHANGED):
        list(source.pages(None))


def test_a_fault_of_a_file_that_changes_is_that_it_changes(tmp_path: Path) -> None:
    path = written(tmp_path, "id;amount\n" + "17;5\n" * 100_000)
    pages = delimited(path, page_rows=10).pages(None)
    next(pages)
    written(tmp_path, "id;amount\n" + "17;5\n" * 50_000 + '18;"6')
    with pytest.raises(InputRefused, match=CHANGED):
        list(pages)


def test_a_file_that_is_only_touched_has_not_changed(tmp_path: Path) -> None:
    path = written(tmp_path, "id;amount\n17;5\n18;6\n")
    pages = delimited(path, page_rows=1).pages(None)
    next(pages)
    os.utime(path, (1, 1))
    assert len(list(pages)) == 1


# ---- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def write(rows: int) -> Path:
        lines = "".join(f"АБ-{number:06};{number},50\n" for number in range(rows))
        return written(tmp_path, f"договор;сумма\n{lines}")

    memory_is_flat(write)


def test_memory_does_not_grow_with_the_cells(tmp_path: Path) -> None:
    row = f"1;{'x' * (LARGEST_PAGE // 4)}\n"
    pages = list(delimited(written(tmp_path, "id;name\n" + row * 9)).pages(None))
    assert [len(page.rows) for page in pages] == [4, 4, 1]
    goes_on_after_every_page(delimited(tmp_path / "input.csv"))


def test_cells_behind_the_last_column_are_passed_over_where_that_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, "1;2;3;4\n5;6\n7\n")
    source = delimited(path, delimiter=";", columns=("a", "b", "..."))
    assert source.header == ("a", "b")
    assert [row.cells for row in rows_of(source)] == [("1", "2"), ("5", "6")]
    assert [refusal.line for refusal in refusals_of(source)] == [3]
    assert [refusal.line for refusal in refusals_of(delimited(path, delimiter=";", columns=("a", "b")))] == [1, 3]
