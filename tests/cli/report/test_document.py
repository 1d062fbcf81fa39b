"""The report as PDF: it has each letter that its fonts have, and spells those that PDF/A would refuse."""

import io
import unicodedata
from datetime import UTC, datetime

from pypdf import PdfReader

from cli.report.content import ReportContent
from cli.report.document import to_pdf
from cli.report.tables import ReportTable, Section


def pdf_of(*sections: Section) -> bytes:
    content = ReportContent(
        language="ru",
        name="k7m2q",
        date=datetime(2026, 11, 26, tzinfo=UTC),
        title="Протокол",
        subtitle="№ k7m2q",
        page="стр.",
        of_pages="из",
        watermark="ПРЕДВАРИТЕЛЬНЫЙ",
        verdict="Внесено.",
        sections=sections,
        signatures=(),
        signature="подпись",
        day="дата",
        refusal="Не сдаётся.",
    )
    return to_pdf(content)


def test_no_letter_of_a_file_keeps_a_report_from_being_made() -> None:
    letters = "".join(map(chr, range(0x20, 0x3000)))
    shown = "".join(letter for letter in letters if unicodedata.category(letter)[0] != "C")
    pdf = pdf_of(Section("Ё № ₽", before=shown, after="Ёлка 😀 И\u0306 漢"))
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    assert "Ё № ₽" in text
    assert r"Ёлка \U0001f600 Й \u6f22" in text


def test_a_word_of_any_length_stays_in_its_column_and_a_row_on_its_page() -> None:
    rows = tuple((str(number), "длинное_слово" * 12, "1,00") for number in range(60))
    table = ReportTable(("Строка", "Договор", "Сумма"), rows, (20, 50, 30), frozenset({2}))
    pages = PdfReader(io.BytesIO(pdf_of(Section("Исключения", (table,))))).pages
    assert len(pages) > 1
    for page in pages:
        text = page.extract_text()
        assert "ПРЕДВАРИТЕЛЬНЫЙ" in text
        assert "Договор" in text
        # A row is whole: as many words as amounts.
        assert "".join(text.split()).count("длинное_слово") == 12 * text.count("1,00")
        # A word that ran out of its column would need one line.
        assert text.count("1,00") < 20
