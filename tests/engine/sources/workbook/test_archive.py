"""What is broken, hostile or behind a password is refused before it does harm."""

import tracemalloc
import zipfile
from pathlib import Path

import pytest

from tests.engine.sources.reading import why_refused
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
