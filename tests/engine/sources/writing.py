"""Workbooks that no program would write, or not as fast: their parts by hand."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
ODF = "urn:oasis:names:tc:opendocument:xmlns"


def packed(path: Path, parts: Mapping[str, str], *, level: int = 1) -> Path:
    """An archive of these parts, in their order."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


# ---- Excel ---------------------------------------------------------------------------------------------------------


def relations(*targets: tuple[str, str]) -> str:
    """Relationships of these kinds to these targets, with the ids rId1, rId2, …"""
    listed = "".join(
        f'<Relationship Id="rId{number}" Type="{RELATIONS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{PACKAGE}">{listed}</Relationships>'


def excel_parts(
    sheets: Mapping[str, str], *, texts: Iterable[str] = (), styles: str = "", workbook: str = ""
) -> dict[str, str]:
    """The parts of a workbook; a sheet is what stands in its `worksheet`, a text what stands in its `si`."""
    kinds = [*(("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1))]
    names = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(sheets, 1)
    )
    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}">{workbook}<sheets>{names}</sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": relations(
            *kinds, ("styles", "/xl/styles.xml"), ("sharedStrings", "sharedStrings.xml")
        ),
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{"".join(f"<si>{text}</si>" for text in texts)}</sst>',
        **{
            f"xl/worksheets/sheet{number}.xml": f'<worksheet xmlns="{MAIN}">{content}</worksheet>'
            for number, content in enumerate(sheets.values(), 1)
        },
    }


def excel(path: Path, content: str, *, texts: Iterable[str] = (), styles: str = "", workbook: str = "") -> Path:
    """A workbook with one sheet, "Лист1"."""
    return packed(path, excel_parts({"Лист1": content}, texts=texts, styles=styles, workbook=workbook))


def data(*rows: str) -> str:
    """The data of a sheet whose rows hold these cells."""
    return f"<sheetData>{''.join(f'<row>{cells}</row>' for cells in rows)}</sheetData>"


def inline(*texts: str) -> str:
    """Cells that hold these texts themselves."""
    return "".join(f'<c t="inlineStr"><is><t>{escape(text)}</t></is></c>' for text in texts)


def number_formats(*codes: str) -> str:
    """Styles 0, 1, … of these formats."""
    formats = "".join(
        f'<numFmt numFmtId="{id_}" formatCode={quoteattr(code)}/>' for id_, code in enumerate(codes, 164)
    )
    cells = "".join(f'<xf numFmtId="{id_}"/>' for id_ in range(164, 164 + len(codes)))
    # Styles of another kind, which must not be counted, come before those of the cells.
    return f'<numFmts>{formats}</numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs>{cells}</cellXfs>'


# ---- OpenDocument --------------------------------------------------------------------------------------------------


def odf_parts(sheets: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The parts of a spreadsheet; a sheet is the rows in its `table:table`."""
    spaces = "".join(f' xmlns:{name}="{ODF}:{name}:1.0"' for name in ("office", "table", "text"))
    tables = "".join(
        f"<table:table table:name={quoteattr(name)}>{''.join(rows)}</table:table>" for name, rows in sheets.items()
    )
    return {
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "content.xml": (
            f'<office:document-content{spaces} xmlns:calcext="urn:org:documentfoundation:names:experimental:calc">'
            f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>"
        ),
    }


def odf(path: Path, *rows: str) -> Path:
    """A spreadsheet with one sheet, "Лист1"."""
    return packed(path, odf_parts({"Лист1": rows}))


def odf_row(*cells: str, attributes: str = "") -> str:
    """A row of these cells."""
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


def odf_text(text: str, attributes: str = "") -> str:
    """A cell of text, as LibreOffice writes it: a paragraph a line, what XML would lose as elements."""
    lines = "".join(
        f"<text:p>{escape(line, {chr(9): '<text:tab/>', chr(13): '&#13;'})}</text:p>" for line in text.split("\n")
    )
    return f'<table:table-cell office:value-type="string" {attributes}>{lines}</table:table-cell>'


def odf_cell(attributes: str, text: str = "") -> str:
    """A cell with these attributes, that shows this text."""
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"
