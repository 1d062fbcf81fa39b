"""Which sheet is read, and what its header must be like: the same for both kinds of workbook."""

import shutil
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from engine.rows import Row
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from tests.engine.sources.reading import cells_of, refusals_of, rows_of, why_refused
from tests.engine.sources.workbook.writing import (
    MAIN,
    data,
    excel,
    excel_parts,
    inline,
    odf_parts,
    odf_row,
    odf_text,
    packed,
)

Write = Callable[[Mapping[str, Sequence[Sequence[str]]]], Path]
"""Writes a workbook of these sheets, each the rows of its texts."""


@pytest.fixture(params=["xlsx", "ods"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    def excel(sheets: Mapping[str, Sequence[Sequence[str]]]) -> Path:
        contents = {name: data(*(inline(*row) for row in rows)) for name, rows in sheets.items()}
        return packed(tmp_path / "a.xlsx", excel_parts(contents))

    def ods(sheets: Mapping[str, Sequence[Sequence[str]]]) -> Path:
        contents = {name: [odf_row(*map(odf_text, row)) for row in rows] for name, rows in sheets.items()}
        return packed(tmp_path / "a.ods", odf_parts(contents))

    return excel if request.param == "xlsx" else ods


TABLE = [["id", "amount"], ["1", "5"]]


def test_hundreds_of_sheets_are_not_looked_into(write: Write) -> None:
    path = write({f"Лист {number}": TABLE if number == 150 else [] for number in range(201)})
    assert why_refused(path).endswith("and 181 more. Name the one to read with --sheet NAME")
    assert "has 201 sheets: 'Лист 0', 'Лист 1'" in why_refused(path)
    assert rows_of(open_input(path, Layout(sheet="Лист 150"))) == [Row(2, ("1", "5"))]


def test_two_sheets_that_hold_something_are_asked_about(write: Write) -> None:
    path = write({"Январь": TABLE, "Пустой": [], "Февраль": TABLE})
    assert why_refused(path).endswith(
        "has 2 sheets that hold something: 'Январь', 'Февраль'. Name the one to read with --sheet NAME"
    )


def test_a_sheet_by_its_name(write: Write) -> None:
    path = write({"Январь": TABLE, "Февраль": [["id"], ["2"]]})
    assert cells_of(open_input(path, Layout(sheet="Февраль"))) == [("2",)]
    assert cells_of(open_input(path, Layout(sheet=" февраль"))) == [("2",)]
    assert why_refused(path, Layout(sheet="Март")).endswith("has no sheet 'Март'; it has: 'Январь', 'Февраль'")


def test_nothing_to_read(write: Write) -> None:
    assert "is empty" in why_refused(write({"Лист": []}))
    assert "sheet 'Пустой' is empty" in why_refused(write({"Лист": TABLE, "Пустой": []}), Layout(sheet="Пустой"))


def test_the_header_is_the_first_row_that_says_something(write: Write) -> None:
    source = open_input(write({"Лист": [[], [" "], *TABLE, [], [" ", ""], ["2", "6"]]}), Layout())
    assert source.header == ("id", "amount")
    assert rows_of(source) == [Row(4, ("1", "5")), Row(7, ("2", "6"))]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            ["id", "", "amount"],
            "sheet 'Лист': cell B1 of the header has no name; row 1, the first that is not empty, must",
        ),
        (["", "id"], "cell A1 of the header has no name"),
        (["id", "b", " ID "], "cell A1 and cell C1 of the header have the same name, 'ID'; rename one of them"),
        (["17", "100,50"], "holds numbers (17, 100,50) where the names of the columns are expected"),
    ],
)
def test_a_header_that_is_none(write: Write, header: list[str], says: str) -> None:
    assert says in why_refused(write({"Лист": [header, ["1", "2", "3"]]}))


def test_rows_of_the_wrong_width(write: Write) -> None:
    source = open_input(
        write({"Лист": [["id", "amount", " "], ["1"], ["2", "3", "", " "], ["4", "5", "6"]]}), Layout()
    )
    assert source.header == ("id", "amount")
    assert rows_of(source) == [Row(2, ("1", "")), Row(3, ("2", "3"))]
    assert [(one.line, one.reason) for one in refusals_of(source)] == [(4, "the header has 2 cells, this row 3")]


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_merged_cells_in_the_header(tmp_path: Path, kind: str) -> None:
    if kind == "xlsx":
        merges = '<mergeCells><mergeCell ref="A2:A9"/><mergeCell ref="B1:C1"/></mergeCells>'
        content = data(inline("id", "amount"), inline("1", "5")) + merges
        path = packed(tmp_path / "a.xlsx", excel_parts({"Лист": content}))
    else:
        head = odf_row(odf_text("id"), odf_text("amount", 'table:number-columns-spanned="2"'))
        path = packed(tmp_path / "a.ods", odf_parts({"Лист": [head, odf_row(odf_text("1"))]}))
    assert "the cells B1:C1 are merged, and row 1 is the header: which column has which name cannot be told" in (
        why_refused(path)
    )


def test_a_bad_cell_in_the_header(tmp_path: Path) -> None:
    content = data(inline("id") + '<c t="e"><v>#N/A</v></c>', inline("1"))
    path = packed(tmp_path / "a.xlsx", excel_parts({"Лист": content}))
    assert why_refused(path).endswith("a.xlsx: the cell B1 of the header holds the error #N/A")


def test_what_a_sheet_takes_from_another_file_is_no_sheet_of_it(tmp_path: Path) -> None:
    rows = [odf_row(odf_text("id")), odf_row(odf_text("1"))]
    parts = odf_parts({"Лист": rows, "'file:///home/admin/other.ods'#$Лист1": rows})
    assert cells_of(open_input(packed(tmp_path / "a.ods", parts), Layout())) == [("1",)]


# What is broken, hostile or behind a password is refused before it does harm.

RECORDED = Path(__file__).parent / "recorded"
GOOD = data(inline("id", "name"), inline("1", "a"))
HIDES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("name", ["password.xlsx", "password-agile.xlsx", "password.ods"])
def test_a_password(name: str) -> None:
    """Of LibreOffice, and in the way that Excel has encrypted since 2010."""
    assert why_refused(RECORDED / name).endswith("is behind a password: save it without one")


def test_a_password_of_the_archive(tmp_path: Path) -> None:
    path = excel(tmp_path / "a.xlsx", GOOD)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("xl/workbook.xml")
        central = path.read_bytes().index(b"PK\x01\x02")
    raw = bytearray(path.read_bytes())
    for place in (info.header_offset + 6, raw.index(b"xl/workbook.xml", central) - 46 + 8):
        raw[place] |= 1
    path.write_bytes(raw)
    assert why_refused(path).endswith("is behind a password: save it without one")


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
def test_a_file_that_was_not_copied_whole(tmp_path: Path, kind: str, keep: float) -> None:
    whole = (RECORDED / f"libreoffice.{kind}").read_bytes()
    (tmp_path / "a").write_bytes(whole[: int(len(whole) * keep)])
    assert "is broken, as a file that was not copied whole" in why_refused(tmp_path / "a")


def test_bytes_that_were_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    shutil.copy(RECORDED / "libreoffice.xlsx", path)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("xl/worksheets/sheet1.xml").header_offset
    raw = bytearray(path.read_bytes())
    raw[start + 200 : start + 220] = bytes(20)
    path.write_bytes(raw)
    assert "is broken" in why_refused(path)


def test_xml_that_is_broken_is_named_with_its_place(tmp_path: Path) -> None:
    path = excel(tmp_path / "a.xlsx", "<sheetData>\n<row></sheetData>")
    told = why_refused(path)
    assert "is broken: line 2, column 8 of xl/worksheets/sheet1.xml: mismatched tag" in told


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("xlsx", "xl/workbook.xml"),
        ("xlsx", "xl/sharedStrings.xml"),
        ("xlsx", "xl/worksheets/sheet1.xml"),
        ("ods", "content.xml"),
    ],
)
def test_entities_are_not_even_declared(tmp_path: Path, kind: str, part: str) -> None:
    parts = excel_parts({"Лист1": GOOD}) if kind == "xlsx" else odf_parts({"Лист1": [odf_row(odf_text("id"))]})
    parts[part] = HIDES + parts[part]
    told = why_refused(packed(tmp_path / "a", parts))
    assert f"{part} declares a document type, which no spreadsheet program does" in told


def test_a_part_that_is_made_to_burst(tmp_path: Path) -> None:
    parts = excel_parts({"Лист1": f"<sheetData>{' ' * 100 * 1024**2}</sheetData>"})
    told = why_refused(packed(tmp_path / "a.xlsx", parts, level=9))
    assert "xl/worksheets/sheet1.xml in it unpacks from " in told
    assert "which no table of rows does" in told


def test_a_tag_without_an_end_is_not_held(tmp_path: Path) -> None:
    noise = bytes(range(0x30, 0x3A)) * 1024
    parts = excel_parts({"Лист1": GOOD}) | {
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}" a="{(noise * 4096).decode()}"/>'
    }
    path = packed(tmp_path / "a.xlsx", parts)
    del parts
    tracemalloc.start()
    try:
        told = why_refused(path)
        assert tracemalloc.get_traced_memory()[1] < 12 * 1024**2
    finally:
        tracemalloc.stop()
    assert "has a tag without an end" in told


def test_a_part_that_is_missing(tmp_path: Path) -> None:
    for part in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"):
        parts = excel_parts({"Лист1": GOOD})
        del parts[part]
        assert f"is no whole workbook: {part} is missing in it" in why_refused(packed(tmp_path / "a.xlsx", parts))


def test_other_archives(tmp_path: Path) -> None:
    def told(**parts: str) -> str:
        return why_refused(
            packed(tmp_path / "a.xlsx", {name.replace("_", "/", 1): text for name, text in parts.items()})
        )

    assert told(readme="x").endswith("is a ZIP archive and no workbook: unpack it first")
    assert "is a binary Excel workbook (.xlsb)" in told(**{"xl_workbook.bin": ""})
    document = {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<a/>"}
    assert "is a document, but no spreadsheet" in why_refused(packed(tmp_path / "a.odt", document))
    with zipfile.ZipFile(tmp_path / "empty.xlsx", "w"):
        pass
    assert "is a ZIP archive and no workbook" in why_refused(tmp_path / "empty.xlsx")


def test_a_workbook_through_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("xlsx", "ods"):
        with (RECORDED / f"libreoffice.{kind}").open(encoding="latin-1") as file:
            monkeypatch.setattr("sys.stdin", file)
            source = open_input(None, Layout())
            assert len(rows_of(source)) == 6
            assert source.name == "standard input"


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_a_cell_of_endless_pieces_is_not_held(tmp_path: Path, kind: str) -> None:
    pieces = "<t/>" * 100_001
    parts = (
        excel_parts({"Лист1": data(inline("id"), f'<c t="inlineStr"><is>{pieces}</is></c>')})
        if kind == "xlsx"
        else odf_parts(
            {"Лист1": [odf_row(odf_text("id")), odf_row(f"<table:table-cell>{pieces}</table:table-cell>")]}
        )
    )
    assert "cell A2 is longer than" in why_refused(packed(tmp_path / "a", parts))
