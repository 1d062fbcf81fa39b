"""The report as PDF: it has each letter that its fonts have, and spells those that PDF/A would refuse."""

import html
import io
import unicodedata
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from pypdf import PdfReader

from cli.report.document import pdf_of
from cli.terminal.language import RUSSIAN, language


def pages_of(section: str) -> Any:
    page = f"""<html><body>
<div class="watermark" aria-hidden="true">ПРЕДВАРИТЕЛЬНЫЙ</div>
<h1>Протокол</h1>
<p class="verdict preliminary">ПРЕДВАРИТЕЛЬНЫЙ. Внесено.</p>
{section}
</body></html>"""
    facts = cast("Any", SimpleNamespace(name="k7m2q", date=datetime(2026, 11, 26, tzinfo=UTC)))
    return PdfReader(io.BytesIO(pdf_of(page, facts, language(RUSSIAN)))).pages


def test_no_letter_of_a_file_keeps_a_report_from_being_made() -> None:
    letters = "".join(map(chr, range(0x20, 0x3000)))
    shown = html.escape("".join(letter for letter in letters if unicodedata.category(letter)[0] != "C"))
    section = f'<h2>Ё № ₽</h2><p class="before">{shown}</p><p class="note">Ёлка 😀 И\u0306 漢</p>'
    text = "".join(page.extract_text() for page in pages_of(section))
    assert "Ё № ₽" in text
    assert r"Ёлка \U0001f600 Й \u6f22" in text


def test_a_word_of_any_length_stays_in_its_column_and_a_row_on_its_page() -> None:
    columns = "".join(f'<col style="width:{width}%">' for width in (20, 50, 30))
    head = "<tr><th>Строка</th><th>Договор</th><th>Сумма</th></tr>"
    cells = f'<td>{"длинное_слово" * 12}</td><td class="number">1,00</td>'
    rows = "\n".join(f"<tr><td>{number}</td>{cells}</tr>" for number in range(60))
    table = f"<colgroup>{columns}</colgroup>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>"
    pages = pages_of(f"<h2>Исключения</h2>\n<table>\n{table}\n</table>")
    assert len(pages) > 1
    for page in pages:
        text = page.extract_text()
        assert "ПРЕДВАРИТЕЛЬНЫЙ" in text
        assert "Договор" in text
        # A row is whole: as many words as amounts.
        assert "".join(text.split()).count("длинное_слово") == 12 * text.count("1,00")
        # A word that ran out of its column would need one line.
        assert text.count("1,00") < 20
